
/* ---- The adaptive coder: matrices side by side ---- */

static int compare_matrices(const void *a, const void *b)
{
    const matrix *one = a, *other = b;

    if (one->rows != other->rows)
        return one->rows > other->rows ? -1 : 1;
    return (one->place > other->place) - (one->place < other->place);
}

/* List the matrices that have symbols, as they stand side by side; return how many. */
static uint64_t list_matrices(const stream *s, uint8_t *out, matrix *matrices)
{
    uint64_t count = 0;

    for (uint64_t i = 0; i < s->member_count; i++) {
        uint64_t rows = s->members[i].rows, cols = s->members[i].of->cols;
        if (!rows || !cols)
            continue;
        matrices[count].rows = rows;
        matrices[count].cols = cols;
        matrices[count].place = i;
        matrices[count].symbols = out;
        matrices[count++].class_rows = cols < 32 ? 32 / cols : 1;
        out += rows * cols;
    }
    if (count > 1)
        qsort(matrices, (size_t)count, sizeof *matrices, compare_matrices);
    return count;
}

/* Read what stands in front of the words: the choice of the gain, the escapes, the lanes. */
static int read_front(adaptive *a, span in, uint64_t width)
{
    static const unsigned GAINS[] = {2, 5, 12};
    uint64_t number, most = a->to_come >> 13;

    if (!read_varint(&in, &number) || number / 3 > in.bytes)
        return broken(a);
    a->gain = GAINS[number % 3];
    a->escapes.text = in.text;
    a->escapes.bytes = (size_t)(number / 3);
    in.text += a->escapes.bytes;
    in.bytes -= a->escapes.bytes;
    most = most < 1 ? 1 : most > MOST_LANES ? MOST_LANES : most;
    a->lanes = (unsigned)quotient_up(width, quotient_up(width, most));
    if (in.bytes < 4 * a->lanes || in.bytes % 2)
        return broken(a);
    for (unsigned lane = 0; lane < a->lanes; lane++)
        if ((a->states[lane] = little_endian_32(in.text + 4 * lane)) >> 16 == 0)
            return broken(a);
    a->words.text = in.text + 4 * a->lanes;
    a->words.bytes = in.bytes - 4 * a->lanes;
    return 1;
}

/* Start a sequence of codes whose pieces are counted from here. */
static void start_counting(adaptive *a)
{
    a->seen = 0;
    a->limit = 256;
    a->lane = a->lanes;
}

static int read_rows(adaptive *a, const matrix *matrices, uint64_t count, uint64_t width)
{
    adaptive_column *columns = allocate(a->c, width, sizeof *columns);

    TRY(columns);
    for (uint64_t i = 0; i < width; i++)
        columns[i].variance = 1u << 16;
    for (uint64_t row = 0; row < matrices[0].rows; row++) {
        adaptive_column *own = columns;
        a->lane = a->lanes;
        for (uint64_t i = 0; i < count && row < matrices[i].rows; own += matrices[i++].cols)
            TRY(read_row(a, &matrices[i], own, row));
    }
    release(a->c, columns);
    return 1;
}

static int finish_adaptive(adaptive *a)
{
    TRY(retire(a, 0));
    for (unsigned i = 0; i < a->returned_count; i++)
        if (a->returned[i])
            return broken(a);
    return a->words.bytes || a->escapes.bytes ? broken(a) : 1;
}

static int run_adaptive(adaptive *a, span in, matrix *matrices, uint64_t count)
{
    uint64_t width = 0;

    for (uint64_t i = 0; i < count; i++) {
        width += matrices[i].cols;
        a->to_come += matrices[i].rows * matrices[i].cols
            + quotient_up(matrices[i].rows, matrices[i].class_rows);
    }
    TRY(read_front(a, in, width));
    start_counting(a);
    for (uint64_t i = 0; i < count; i++)
        TRY(read_classes(a, &matrices[i]));
    start_counting(a);
    return read_rows(a, matrices, count, width) && finish_adaptive(a);
}

static int decode_adaptive(context *c, span in, const stream *s, uint8_t *out)
{
    unsigned alphabet = s->members->of->alphabet;
    matrix *matrices;
    adaptive *a;
    uint64_t count;

    if (!s->symbols || alphabet == 1)
        return decode_nothing(c, in, out, s->symbols);
    TRY(matrices = allocate(c, s->member_count, sizeof *matrices));
    TRY(a = allocate(c, 1, sizeof *a));
    a->c = c;
    a->alphabet = alphabet;
    a->spacing = s->how->states > 1 ? 2 : 1;
    make_trellis(&a->path, s->how->states);
    count = list_matrices(s, out, matrices);
    TRY(run_adaptive(a, in, matrices, count));
    for (unsigned i = 0; i < ADAPTIVE_TABLES; i++)
        release(c, a->tables[i]);
    for (uint64_t i = 0; i < count; i++)
        release(c, matrices[i].energies);
    release(c, a);
    release(c, matrices);
    return 1;
}
