
/* ---- Symbol coders without statistics ---- */

typedef struct {
    const uint8_t *data;
    uint64_t bits, at; /* counted from the top of the first byte */
} bit_reader;

static unsigned take_bit(bit_reader *bits)
{
    uint64_t at = bits->at++;

    return bits->data[at / 8] >> (7 - at % 8) & 1;
}

static unsigned take_bits(bit_reader *bits, unsigned count)
{
    unsigned number = 0;

    for (; count; count--)
        number = 2 * number + take_bit(bits);
    return number;
}

/* Move to the end of a byte; return whether all that is passed over is zero. */
static int finish_byte(bit_reader *bits)
{
    while (bits->at % 8)
        if (take_bit(bits))
            return 0;
    return 1;
}

static int wrong_size(context *c, const char *coder)
{
    return fail(c, "%s: the bytes are not as many as the symbols take", coder);
}

static int wrong_symbol(context *c, const char *coder)
{
    return fail(c, "%s: a symbol is impossible, or what fills up is not zero", coder);
}

/* Symbols that need no bytes: none, or all 0. */
static int decode_nothing(context *c, span in, uint8_t *out, uint64_t count)
{
    if (count)
        memset(out, 0, (size_t)count);
    return in.bytes ? wrong_size(c, "a stream of one symbol") : 1;
}

static int decode_plain(context *c, span in, uint8_t *out, uint64_t count, unsigned alphabet)
{
    if (in.bytes != count)
        return wrong_size(c, "bytes");
    for (uint64_t i = 0; i < count; i++)
        if ((out[i] = in.text[i]) >= alphabet)
            return wrong_symbol(c, "bytes");
    return 1;
}

static int decode_bits(context *c, span in, uint8_t *out, uint64_t count, unsigned alphabet)
{
    unsigned width = bit_length(alphabet - 1);
    bit_reader bits = {in.text, 8 * (uint64_t)in.bytes, 0};

    if (in.bytes != quotient_up(count * width, 8))
        return wrong_size(c, "bits");
    for (uint64_t i = 0; i < count; i++) {
        unsigned symbol = take_bits(&bits, width);
        if (symbol >= alphabet)
            return wrong_symbol(c, "bits");
        out[i] = (uint8_t)symbol;
    }
    return finish_byte(&bits) ? 1 : wrong_symbol(c, "bits");
}

/* Words of a few bytes, each of so many digits, the first one the least significant. */
static int decode_digits(context *c, span in, uint8_t *out, uint64_t count, unsigned alphabet,
                         unsigned base, unsigned digits, unsigned word_bytes)
{
    if (alphabet > base || in.bytes / word_bytes != quotient_up(count, digits)
        || in.bytes % word_bytes)
        return wrong_size(c, "digits");
    for (uint64_t i = 0; i < count; in.text += word_bytes) {
        uint64_t word = word_bytes == 8 ? little_endian_64(in.text) : *in.text;
        for (unsigned digit = 0; digit < digits && i < count; digit++, word /= base) {
            out[i] = (uint8_t)(word % base);
            if (out[i++] >= alphabet)
                return wrong_symbol(c, "digits");
        }
        if (word)
            return wrong_symbol(c, "digits");
    }
    return 1;
}

/* Read what planes say of symbols, which are 1 in the middle and 0 elsewhere: sign and size. */
static int read_sizes(context *c, bit_reader *bits, uint8_t *out, uint64_t count, unsigned alphabet,
                      uint64_t others)
{
    unsigned middle = alphabet / 2, width = middle < 2 ? 0 : bit_length(middle - 1);
    uint64_t padded = 8 * quotient_up(others, 8), signs = bits->at, seen = 0;

    if (bits->bits - bits->at != padded * (1 + width))
        return wrong_size(c, "planes");
    for (uint64_t i = 0; i < count; i++) {
        unsigned size = 0;
        int symbol;
        if (out[i]) {
            out[i] = (uint8_t)middle;
            continue;
        }
        for (unsigned plane = 1; plane <= width; plane++) {
            bits->at = signs + plane * padded + seen;
            size = 2 * size + take_bit(bits);
        }
        bits->at = signs + seen++;
        symbol = (int)middle + (take_bit(bits) ? -1 : 1) * (int)(size + 1);
        if (symbol < 0 || symbol >= (int)alphabet)
            return wrong_symbol(c, "planes");
        out[i] = (uint8_t)symbol;
    }
    for (unsigned plane = 0; plane <= width; plane++) {
        bits->at = signs + plane * padded + others;
        if (!finish_byte(bits))
            return wrong_symbol(c, "planes");
    }
    return 1;
}

static int decode_planes(context *c, span in, uint8_t *out, uint64_t count, unsigned alphabet)
{
    bit_reader bits = {in.text, 8 * (uint64_t)in.bytes, 0};
    uint64_t others = 0;

    if (bits.bits < count)
        return wrong_size(c, "planes");
    for (uint64_t i = 0; i < count; i++)
        others += !(out[i] = (uint8_t)take_bit(&bits));
    if (!finish_byte(&bits))
        return wrong_symbol(c, "planes");
    return read_sizes(c, &bits, out, count, alphabet, others);
}
