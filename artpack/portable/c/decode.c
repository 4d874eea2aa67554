
/* ---- A stream to the symbols of its members ---- */

static int decode_symbols(context *c, span in, const stream *s, uint8_t *out)
{
    unsigned alphabet = s->members->of->alphabet;
    uint64_t count = s->symbols;

    switch (s->how->coder) {
    case CODER_BYTES:
        return decode_plain(c, in, out, count, alphabet);
    case CODER_BITS:
        return decode_bits(c, in, out, count, alphabet);
    case CODER_BASE3:
        return decode_digits(c, in, out, count, alphabet, 3, 5, 1);
    case CODER_BASE5:
        return decode_digits(c, in, out, count, alphabet, 5, 3, 1);
    case CODER_WORD:
        return decode_digits(c, in, out, count, alphabet, 5, 27, 8);
    case CODER_PLANES:
        return decode_planes(c, in, out, count, alphabet);
    case CODER_RANS:
        return decode_rans(c, in, out, count, alphabet);
    case CODER_CLASSED:
        return decode_classed(c, in, out, count, alphabet);
    default:
        return decode_adaptive(c, in, s, out);
    }
}

/* Undo the codec of what follows the side information. */
static int decode_coded(context *c, const stream *s, uint64_t sides, uint8_t **room, span *coded)
{
    coded->text = s->data + sides;
    coded->bytes = (size_t)(s->stored - sides);
    *room = NULL;
    if (s->how->codec == CODEC_STORED)
        return coded->bytes == s->coded ? 1 : fail(c, "stored: the size is not the one promised");
    TRY(*room = allocate(c, s->coded, 1));
    TRY(decode_lzma(c, coded->text, coded->bytes, *room, (size_t)s->coded, s->how->lzma));
    coded->text = *room;
    coded->bytes = (size_t)s->coded;
    return 1;
}

static int decode_stream(context *c, const stream *s)
{
    uint64_t sides;
    uint8_t *room, *symbols;
    const uint8_t *side = s->data, *at;
    span coded;

    TRY(side_bytes(c, s, &sides) && decode_coded(c, s, sides, &room, &coded));
    TRY(symbols = allocate(c, s->symbols, 1));
    TRY(decode_symbols(c, coded, s, symbols));
    release(c, room);
    at = symbols;
    for (uint64_t i = 0; i < s->member_count; i++) {
        const member *m = &s->members[i];
        TRY(place_symbols(c, m, s->how->layout, side, at));
        at += m->rows * m->of->cols;
        if (s->how->layout == LAYOUT_SIMILAR)
            side += order_bytes(m->rows);
    }
    release(c, symbols);
    return 1;
}

static int decode_streams(context *c, const plan *p, const directory *d)
{
    for (uint64_t t = 0; t < p->tensor_count; t++)
        for (unsigned i = 0; i < p->tensors[t].part_count; i++) {
            part *one = &p->tensors[t].parts[i];
            TRY(one->symbols = allocate(c, one->rows * one->cols, 1));
        }
    for (uint64_t i = 0; i < d->count; i++)
        TRY(decode_stream(c, &d->streams[i]));
    return 1;
}
