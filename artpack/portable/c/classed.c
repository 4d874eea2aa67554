
/* ---- rANS in classes ---- */

typedef struct {
    unsigned count, shift; /* of classes; a run has 2**shift symbols */
    uint64_t runs;
    uint8_t *of_run;
} classes;

/* Read a number, seven bits a byte, the least significant first. */
static int read_varint(span *in, uint64_t *number)
{
    *number = 0;
    for (unsigned shift = 0; shift < 63 && in->bytes; shift += 7) {
        uint8_t byte = *in->text++;
        in->bytes--;
        *number |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return byte || !shift;
    }
    return 0;
}

/* Take the next stream, which is the rest, or has its size in front. */
static int take_stream(context *c, span *in, int is_last, span *taken)
{
    uint64_t bytes = in->bytes;

    if (!is_last && (!read_varint(in, &bytes) || bytes > in->bytes))
        return fail(c, "classed-rans: the size of a class is impossible");
    taken->text = in->text;
    taken->bytes = (size_t)bytes;
    in->text += bytes;
    in->bytes -= (size_t)bytes;
    return 1;
}

static uint64_t run_length(const classes *k, uint64_t run, uint64_t count)
{
    uint64_t begin = run << k->shift, left = count - begin;

    return left >> k->shift ? (uint64_t)1 << k->shift : left;
}

/* Decode the symbols of a class, and put them into its runs. */
static int decode_class(context *c, span in, const classes *k, unsigned which, uint8_t *out,
                        uint64_t count, unsigned alphabet)
{
    uint64_t own = 0, place = 0;
    uint8_t *symbols;

    for (uint64_t run = 0; run < k->runs; run++)
        own += k->of_run[run] == which ? run_length(k, run, count) : 0;
    TRY(symbols = allocate(c, own, 1));
    TRY(decode_rans(c, in, symbols, own, alphabet));
    for (uint64_t run = 0; run < k->runs; run++) {
        uint64_t length = run_length(k, run, count);
        if (k->of_run[run] != which)
            continue;
        memcpy(out + (run << k->shift), symbols + place, (size_t)length);
        place += length;
    }
    release(c, symbols);
    return 1;
}

static int decode_classed(context *c, span in, uint8_t *out, uint64_t count, unsigned alphabet)
{
    classes k;
    span taken;

    if (!count || alphabet == 1)
        return decode_nothing(c, in, out, count);
    if (!in.bytes)
        return wrong_size(c, "classed-rans");
    k.count = *in.text++;
    in.bytes--;
    if (!k.count)
        return decode_rans(c, in, out, count, alphabet);
    k.shift = in.bytes ? *in.text++ : 0;
    if (k.count < 2 || k.count > 32 || (k.count & (k.count - 1)) || k.shift < 7 || k.shift > 11)
        return fail(c, "classed-rans: the number of classes or the runs are impossible");
    in.bytes--;
    k.runs = quotient_up(count, (uint64_t)1 << k.shift);
    TRY(k.of_run = allocate(c, k.runs, 1));
    TRY(take_stream(c, &in, 0, &taken));
    TRY(decode_rans(c, taken, k.of_run, k.runs, k.count));
    for (unsigned which = 0; which < k.count; which++) {
        TRY(take_stream(c, &in, which == k.count - 1, &taken));
        TRY(decode_class(c, taken, &k, which, out, count, alphabet));
    }
    release(c, k.of_run);
    return 1;
}
