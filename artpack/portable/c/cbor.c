
/* ---- CBOR: the deterministic encoding of RFC 8949, without tags ---- */

enum { UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE };
enum { CBOR_DEPTH = 16, CBOR_FALSE = 20, CBOR_TRUE = 21, CBOR_NULL = 22 };

typedef struct {
    unsigned kind, low, size; /* size: of the number, where it does not stand in the first byte */
    uint64_t number;
    const uint8_t *body;
} head;

static int read_head(context *c, const uint8_t *at, head *h)
{
    if (at == c->header_end)
        return fail(c, "the header ends early");
    h->kind = *at >> 5;
    h->low = *at++ & 31;
    h->size = h->low < 24 ? 0 : 1u << (h->low & 3);
    if (h->low > 27 || h->size > (size_t)(c->header_end - at))
        return fail(c, "the header is not valid CBOR");
    h->number = h->size ? 0 : h->low;
    for (unsigned i = 0; i < h->size; i++)
        h->number = h->number << 8 | *at++;
    h->body = at;
    return 1;
}

static int is_utf8(const uint8_t *at, uint64_t bytes)
{
    const uint8_t *end = at + bytes;

    while (at < end) {
        uint32_t point = *at++;
        int more = point < 0x80 ? 0 : point < 0xc2 ? -1 : point < 0xe0 ? 1 : point < 0xf0 ? 2
            : point < 0xf5 ? 3 : -1;
        if (more < 0 || more > end - at)
            return 0;
        if (more)
            point &= 0x3fu >> more;
        for (int i = 0; i < more; i++, at++) {
            if ((*at & 0xc0) != 0x80)
                return 0;
            point = point << 6 | (*at & 0x3f);
        }
        if ((more == 2 && point < 0x800) || (more == 3 && point < 0x10000) || point > 0x10ffff
            || (point >= 0xd800 && point < 0xe000))
            return 0;
    }
    return 1;
}

/* Return whether the bits of a float would fit into one with fewer of exponent and fraction. */
static int fits_float(uint64_t bits, unsigned exponent_bits, unsigned fraction_bits,
                      int small_exponent_bits, int small_fraction_bits)
{
    int bias = (1 << (exponent_bits - 1)) - 1, small_bias = (1 << (small_exponent_bits - 1)) - 1;
    int exponent = (int)(bits >> fraction_bits & ((1u << exponent_bits) - 1)), lowest, highest;
    uint64_t fraction = bits & (((uint64_t)1 << fraction_bits) - 1);

    if (exponent == 2 * bias + 1)
        return 1; /* infinity; and NaN, which is encoded in one way */
    if (exponent)
        fraction |= (uint64_t)1 << fraction_bits;
    if (!fraction)
        return 1;
    lowest = (exponent ? exponent : 1) - bias - (int)fraction_bits;
    highest = lowest + (int)bit_length(fraction) - 1;
    for (; !(fraction & 1); fraction >>= 1)
        lowest++;
    return highest <= small_bias && lowest > -small_bias - small_fraction_bits
        && highest - lowest <= small_fraction_bits;
}

static int is_shortest(const head *h)
{
    if (h->kind != SIMPLE)
        return !h->size || (h->size == 1 ? h->number > 23 : h->number >> 4 * h->size);
    if (h->size == 8)
        return !fits_float(h->number, 11, 52, 8, 23);
    if (h->size == 4)
        return !fits_float(h->number, 8, 23, 5, 10);
    if (h->size == 2)
        return (h->number & 0x7fff) <= 0x7c00 || h->number == 0x7e00;
    return h->low >= CBOR_FALSE && h->low <= CBOR_NULL;
}

/* Check that the key of a map is text, and comes after the one before. */
static int check_key(context *c, const uint8_t *at, const uint8_t *before, size_t before_bytes)
{
    head h;
    size_t bytes;
    int order;

    TRY(read_head(c, at, &h));
    if (h.kind != TEXT || h.number > (size_t)(c->header_end - h.body))
        return fail(c, "a map of the header has a key that is not text");
    bytes = (size_t)(h.body - at) + (size_t)h.number;
    order = before ? memcmp(before, at, bytes < before_bytes ? bytes : before_bytes) : -1;
    if (order > 0 || (!order && before_bytes >= bytes))
        return fail(c, "a map of the header has its keys out of order");
    return 1;
}

/* Check a value and all in it. Returns where it ends. */
static const uint8_t *check_value(context *c, const uint8_t *at, int depth)
{
    head h;
    const uint8_t *key = NULL;
    size_t key_bytes = 0;

    TRY(read_head(c, at, &h));
    if (h.kind == TAG || !is_shortest(&h) || (!depth && h.kind >= ARRAY && h.kind <= MAP)) {
        report(c, "the header is not in the deterministic encoding, or nested too deep");
        return NULL;
    }
    if (h.kind == BYTES || h.kind == TEXT) {
        if (h.number > (size_t)(c->header_end - h.body)
            || (h.kind == TEXT && !is_utf8(h.body, h.number))) {
            report(c, "the header has a text that is not UTF-8, or ends in it");
            return NULL;
        }
        return h.body + h.number;
    }
    at = h.body;
    for (uint64_t i = 0; (h.kind == ARRAY || h.kind == MAP) && i < h.number; i++) {
        if (h.kind == MAP) {
            TRY(check_key(c, at, key, key_bytes));
            key = at;
            TRY(at = check_value(c, at, depth - 1));
            key_bytes = (size_t)(at - key);
        }
        TRY(at = check_value(c, at, depth - 1));
    }
    return at;
}
