
/* ---- Layouts ---- */

enum { MOST_SIMILAR_ROWS = 32768 };

/* Return the bytes of the order of so many rows: of the logarithm of the factorial, rounded up. */
static size_t order_bytes(uint64_t rows)
{
    /* mantissa * 2**exponent is a little below the factorial, never so much that bytes change. */
    uint64_t mantissa = 1;
    size_t exponent = 0;

    for (uint64_t row = 2; row <= rows; row++)
        for (mantissa *= row; mantissa >> 48; exponent++)
            mantissa >>= 1;
    /* Only 0!, 1! and 2! are powers of two; of all others the length is that of what lies below. */
    return rows < 2 ? 0 : (exponent + bit_length(mantissa) - (rows == 2) + 7) / 8;
}

static int side_bytes(context *c, const stream *s, uint64_t *bytes)
{
    *bytes = 0;
    if (s->how->layout != LAYOUT_SIMILAR)
        return 1;
    for (uint64_t i = 0; i < s->member_count; i++) {
        if (s->members[i].rows > MOST_SIMILAR_ROWS)
            return fail(c, "similar-rows has a member of more than 32768 rows");
        if ((*bytes += order_bytes(s->members[i].rows)) > s->stored)
            break;
    }
    return *bytes <= s->stored ? 1 : fail(c, "a stream ends in its side information");
}

/* Divide an integer, the least significant digit first, and return the rest. */
static uint32_t divide(uint16_t *digits, size_t *count, uint32_t by)
{
    uint32_t rest = 0;

    for (size_t i = *count; i > 0; i--) {
        rest = rest << 16 | digits[i - 1];
        digits[i - 1] = (uint16_t)(rest / by);
        rest %= by;
    }
    while (*count && !digits[*count - 1])
        --*count;
    return rest;
}

/* Undo the side information: order[i] becomes the row that comes at place i. */
static int read_order(context *c, const uint8_t *side, size_t bytes, uint32_t *order, uint32_t rows)
{
    size_t count = (bytes + 1) / 2;
    uint16_t *digits = allocate(c, count, sizeof *digits);
    uint32_t *left = allocate(c, rows, sizeof *left);

    TRY(digits && left);
    for (size_t i = 0; i < bytes; i++)
        digits[i / 2] = (uint16_t)(digits[i / 2] | side[i] << 8 * (i % 2));
    for (uint32_t i = 0; i < rows; i++) {
        left[i] = i;
        order[rows - 1 - i] = divide(digits, &count, i + 1);
    }
    if (count)
        return fail(c, "similar-rows has an order that is none");
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t smaller = order[i];
        order[i] = left[smaller];
        memmove(left + smaller, left + smaller + 1, (rows - i - smaller - 1) * sizeof *left);
    }
    release(c, left);
    release(c, digits);
    return 1;
}

/* Put the symbols of a member into its rows of its part. */
static int place_symbols(context *c, const member *m, unsigned layout, const uint8_t *side,
                         const uint8_t *symbols)
{
    uint64_t rows = m->rows, cols = m->of->cols;
    uint8_t *out = m->of->symbols + m->first * cols;
    uint32_t *order = NULL;

    if (layout == LAYOUT_ROWS) {
        memcpy(out, symbols, (size_t)(rows * cols));
        return 1;
    }
    if (layout == LAYOUT_SIMILAR) {
        TRY(order = allocate(c, rows, sizeof *order));
        TRY(read_order(c, side, order_bytes(rows), order, (uint32_t)rows));
    }
    for (uint64_t row = 0; row < rows; row++)
        for (uint64_t col = 0; col < cols; col++)
            out[(order ? order[row] : row) * cols + col] = symbols[col * rows + row];
    release(c, order);
    return 1;
}
