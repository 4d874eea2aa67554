
/* ---- LZMA: raw, without its first byte, with an end marker ---- */

enum {
    LZMA_STATES = 12, LZMA_POSITIONS = 16, LZMA_LENGTHS = 2 + 2 * 8 * LZMA_POSITIONS + 256,
    LZMA_CLOSE = 115, LZMA_LITERALS = 0x300
};

typedef uint16_t chance;

typedef struct {
    const uint8_t *at, *end;
    uint32_t range, code;
    int is_short;
} range_decoder;

typedef struct {
    range_decoder bits;
    uint8_t *out;
    size_t made, size, window;
    unsigned state, lc, lp_mask, pb_mask;
    uint32_t distances[4];
    struct {
        chance is_match[LZMA_STATES][LZMA_POSITIONS], is_long[LZMA_STATES][LZMA_POSITIONS];
        chance is_again[LZMA_STATES], is_second[LZMA_STATES], is_third[LZMA_STATES];
        chance is_fourth[LZMA_STATES];
        chance match_length[LZMA_LENGTHS], again_length[LZMA_LENGTHS];
        chance slots[4][64], close[LZMA_CLOSE], low[16];
        chance literals[LZMA_LITERALS << 4]; /* lc + lp is at most 4 */
    } of;
} lzma;

static void refill(range_decoder *bits)
{
    if (bits->range >= 1u << 24)
        return;
    if (bits->at == bits->end)
        bits->is_short = 1;
    bits->range <<= 8;
    bits->code = bits->code << 8 | (bits->at == bits->end ? 0 : *bits->at++);
}

static unsigned read_bit(range_decoder *bits, chance *zero)
{
    uint32_t bound;

    refill(bits);
    bound = (bits->range >> 11) * *zero;
    if (bits->code < bound) {
        bits->range = bound;
        *zero = (chance)(*zero + ((2048 - *zero) >> 5));
        return 0;
    }
    bits->range -= bound;
    bits->code -= bound;
    *zero = (chance)(*zero - (*zero >> 5));
    return 1;
}

/* Read so many bits, the most significant first, each with a chance for what came before. */
static unsigned read_tree(range_decoder *bits, chance *tree, unsigned count)
{
    unsigned node = 1;

    for (unsigned i = 0; i < count; i++)
        node = 2 * node + read_bit(bits, &tree[node]);
    return node - (1u << count);
}

/* The same, the least significant first. */
static uint32_t read_reverse_tree(range_decoder *bits, chance *tree, unsigned count)
{
    unsigned node = 1;
    uint32_t number = 0;

    for (unsigned i = 0; i < count; i++) {
        unsigned bit = read_bit(bits, &tree[node]);
        node = 2 * node + bit;
        number |= (uint32_t)bit << i;
    }
    return number;
}

static uint32_t read_even_bits(range_decoder *bits, unsigned count)
{
    uint32_t number = 0;

    for (unsigned i = 0; i < count; i++) {
        unsigned bit;
        refill(bits);
        bits->range >>= 1;
        bit = bits->code >= bits->range;
        if (bit)
            bits->code -= bits->range;
        number = number << 1 | bit;
    }
    return number;
}

static unsigned read_length(range_decoder *bits, chance *lengths, unsigned position)
{
    chance *low = lengths + 2, *middle = low + 8 * LZMA_POSITIONS;

    if (!read_bit(bits, &lengths[0]))
        return 2 + read_tree(bits, low + 8 * position, 3);
    if (!read_bit(bits, &lengths[1]))
        return 10 + read_tree(bits, middle + 8 * position, 3);
    return 18 + read_tree(bits, middle + 8 * LZMA_POSITIONS, 8);
}

/* Return how far back a match lies, less one; all bits are set in the end marker. */
static uint32_t read_distance(lzma *z, unsigned length)
{
    unsigned slot = read_tree(&z->bits, z->of.slots[length < 6 ? length - 2 : 3], 6), count;
    uint32_t distance;

    if (slot < 4)
        return slot;
    count = slot / 2 - 1;
    distance = (2u | (slot & 1)) << count;
    if (slot < 14)
        return distance + read_reverse_tree(&z->bits, z->of.close + distance - slot, count);
    distance += read_even_bits(&z->bits, count - 4) << 4;
    return distance + read_reverse_tree(&z->bits, z->of.low, 4);
}

static void read_literal(lzma *z)
{
    unsigned before = z->made ? z->out[z->made - 1] : 0, node = 1;
    size_t place = ((z->made & z->lp_mask) << z->lc) + (before >> (8 - z->lc));
    chance *tree = z->of.literals + LZMA_LITERALS * place;

    if (z->state >= 7) {
        unsigned match = z->out[z->made - z->distances[0] - 1], bit, expected;
        do {
            expected = match >> 7 & 1;
            match <<= 1;
            bit = read_bit(&z->bits, &tree[((1 + expected) << 8) + node]);
            node = 2 * node + bit;
        } while (bit == expected && node < 0x100);
    }
    while (node < 0x100)
        node = 2 * node + read_bit(&z->bits, &tree[node]);
    z->out[z->made++] = (uint8_t)node;
    z->state = z->state < 4 ? 0 : z->state < 10 ? z->state - 3 : z->state - 6;
}

/* Take one of the last four distances to the front. */
static void repeat_distance(lzma *z)
{
    int which = 1;
    uint32_t distance;

    if (read_bit(&z->bits, &z->of.is_third[z->state]))
        which = read_bit(&z->bits, &z->of.is_fourth[z->state]) ? 3 : 2;
    distance = z->distances[which];
    memmove(z->distances + 1, z->distances, (size_t)which * sizeof *z->distances);
    z->distances[0] = distance;
}

/* Read what follows a bit that says match. Returns its length, or 0 at the end marker. */
static unsigned read_match(lzma *z)
{
    unsigned position = (unsigned)z->made & z->pb_mask, length;

    if (!read_bit(&z->bits, &z->of.is_again[z->state])) {
        length = read_length(&z->bits, z->of.match_length, position);
        memmove(z->distances + 1, z->distances, 3 * sizeof *z->distances);
        z->distances[0] = read_distance(z, length);
        z->state = z->state < 7 ? 7 : 10;
        return z->distances[0] == UINT32_MAX ? 0 : length;
    }
    if (read_bit(&z->bits, &z->of.is_second[z->state])) {
        repeat_distance(z);
    } else if (!read_bit(&z->bits, &z->of.is_long[z->state][position])) {
        z->state = z->state < 7 ? 9 : 11;
        return 1;
    }
    length = read_length(&z->bits, z->of.again_length, position);
    z->state = z->state < 7 ? 8 : 11;
    return length;
}

static int copy_match(lzma *z, unsigned length)
{
    size_t distance = z->distances[0];

    if (distance >= z->made || distance >= z->window || length > z->size - z->made)
        return 0;
    for (; length; length--, z->made++)
        z->out[z->made] = z->out[z->made - distance - 1];
    return 1;
}

static int run_lzma(lzma *z)
{
    while (!z->bits.is_short) {
        unsigned position = (unsigned)z->made & z->pb_mask, length;
        if (!read_bit(&z->bits, &z->of.is_match[z->state][position])) {
            TRY(z->made < z->size);
            read_literal(z);
            continue;
        }
        length = read_match(z);
        if (!length) {
            refill(&z->bits);
            return z->made == z->size && !z->bits.code && !z->bits.is_short
                && z->bits.at == z->bits.end;
        }
        TRY(copy_match(z, length));
    }
    return 0;
}

static void start_lzma(lzma *z, unsigned lc, unsigned lp, unsigned pb)
{
    chance *all = (chance *)(void *)&z->of;

    for (size_t i = 0; i < sizeof z->of / sizeof *all; i++)
        all[i] = 1024;
    z->lc = lc;
    z->lp_mask = (1u << lp) - 1;
    z->pb_mask = (1u << pb) - 1;
    z->bits.range = UINT32_MAX;
    for (int i = 0; i < 4; i++)
        z->bits.code = z->bits.code << 8 | *z->bits.at++;
}

/* Decode exactly `size` bytes out of all of a stream. */
static int decode_lzma(context *c, const uint8_t *in, size_t bytes, uint8_t *out, size_t size,
                       const unsigned properties[3])
{
    lzma *z = allocate(c, 1, sizeof *z);
    int done;

    TRY(z);
    z->bits.at = in;
    z->bits.end = in + bytes;
    z->out = out;
    z->size = size;
    z->window = size < 1u << 12 ? 1u << 12 : size > 1u << 26 ? 1u << 26 : size;
    done = bytes >= 4;
    if (done) {
        start_lzma(z, properties[0], properties[1], properties[2]);
        done = run_lzma(z);
    }
    release(c, z);
    return done ? 1 : fail(c, "the file is damaged: LZMA does not give %llu bytes",
                           (unsigned long long)size);
}
