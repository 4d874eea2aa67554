
/* ---- Tensors and their parts ---- */

enum { MOST_DIMS = 8, MOST_PARTS = 16, MOST_MEMBERS = 1 << 18 };

typedef struct {
    uint64_t rows, cols;
    unsigned alphabet;
    uint8_t *symbols;
} part;

typedef struct {
    const uint8_t *text;
    size_t bytes;
} span; /* of the header */

typedef struct {
    span name;
    const grid *how;
    const uint8_t *hash;
    unsigned type, dims, part_count;
    int is_in_bank;
    uint64_t shape[MOST_DIMS], rows, cols, symbols;
    double stored_bytes;
    part *parts;
    uint8_t *data;
} tensor;

typedef struct {
    part parts[MOST_PARTS];
    unsigned count;
} part_list;

static void add_part(part_list *list, uint64_t rows, uint64_t cols, unsigned alphabet)
{
    part *added = &list->parts[list->count++];

    added->rows = rows;
    added->cols = cols;
    added->alphabet = alphabet;
}

static void add_numbers(part_list *list, uint64_t count, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        add_part(list, count, 1, 256);
}

static void add_scales(part_list *list, const grid *g, uint64_t rows, uint64_t cols)
{
    if (g->scales == SCALES_LOG) {
        add_part(list, rows, cols, 1u << g->scale_bits);
        add_numbers(list, 2, 2);
    } else {
        add_numbers(list, rows * cols, g->scales == SCALES_FP32 ? 4 : 2);
    }
}

static uint64_t quotient_up(uint64_t number, uint64_t by)
{
    return number / by + (number % by > 0);
}

/* Return the inner size of the two factors. */
static uint64_t rank_of(const tensor *t)
{
    uint64_t smaller = t->rows < t->cols ? t->rows : t->cols;

    return smaller < t->how->rank ? smaller : t->how->rank;
}

static void add_factors(part_list *list, const tensor *t)
{
    const grid *g = t->how;
    uint64_t rank = rank_of(t);
    int grouped = g->factors == FACTORS_GROUP;

    add_part(list, t->rows, rank, grouped ? 4 : (1u << g->factor_bits) - 1);
    add_part(list, rank, t->cols, grouped ? 16 : (1u << g->factor_bits) - 1);
    add_numbers(list, grouped ? t->rows > 0 : t->rows, 2);
    add_numbers(list, grouped ? quotient_up(rank * t->cols, g->factor_group) : rank, 2);
}

static void add_lattice(part_list *list, const tensor *t)
{
    unsigned alphabet = 2 * t->how->radius + 1;

    add_part(list, t->rows, t->cols, alphabet > 256 ? 256 : alphabet);
    if (t->how->radius > 127)
        add_part(list, t->rows, t->cols, 2 * ((t->how->radius + 128) / 256) + 1);
    add_part(list, t->rows, 1, 256);
    add_part(list, t->cols, 1, 256);
    add_numbers(list, 1, 2);
}

/* List the parts that a tensor of this shape is stored as. */
static void list_parts(part_list *list, const tensor *t)
{
    const grid *g = t->how;
    uint64_t rows = t->rows, cols = t->cols;

    list->count = 0;
    switch (g->kind) {
    case GRID_ROW_INT:
        add_part(list, rows, cols, (1u << g->bits) - 1);
        add_scales(list, g, rows, 1);
        break;
    case GRID_GROUPS:
        add_part(list, rows, cols, 2 * g->radius + 1);
        add_scales(list, g, rows, quotient_up(cols, g->group));
        break;
    case GRID_PENTANARY:
    case GRID_ASYM:
        add_part(list, rows, cols, g->kind == GRID_ASYM ? 1u << g->bits : 5);
        add_numbers(list, rows, 2);
        break;
    case GRID_LATTICE:
        add_lattice(list, t);
        break;
    case GRID_FP8:
        add_part(list, rows, cols, 256);
        break;
    case GRID_FP16:
    case GRID_BF16:
        add_numbers(list, rows * cols, 2);
        break;
    default:
        add_numbers(list, rows * cols, DTYPES[g->type].bytes);
        if (!strcmp(DTYPES[g->type].name, "bool"))
            list->parts[0].alphabet = 2;
    }
    if (g->factors)
        add_factors(list, t);
}

/* Read a shape, or the axes of a bank. */
static int read_shape(context *c, const uint8_t *at, uint64_t shape[MOST_DIMS], unsigned *dims)
{
    column sizes;
    uint64_t weights = 1;

    TRY(open_array(c, at, "a shape", &sizes));
    if (sizes.left > MOST_DIMS)
        return fail(c, "a shape has more than %d dimensions", MOST_DIMS);
    for (*dims = 0; sizes.left; ++*dims) {
        uint64_t size;
        TRY(next_uint(c, &sizes, (uint64_t)1 << 31, "a dimension", &size));
        shape[*dims] = size;
        weights *= size ? size : 1;
        if (weights > (uint64_t)1 << 40)
            return fail(c, "a tensor has more than 2**40 weights");
    }
    return 1;
}

/* See a tensor as a matrix. */
static void set_matrix(tensor *t)
{
    t->rows = t->dims > 1 ? t->shape[0] : 1;
    t->cols = 1;
    for (unsigned i = t->dims > 1; i < t->dims; i++)
        t->cols *= t->shape[i];
    if (!t->rows || !t->cols)
        t->rows = t->cols = 0;
}

static int make_parts(context *c, tensor *t)
{
    part_list list;

    memset(&list, 0, sizeof list);
    list_parts(&list, t);
    TRY(t->parts = allocate(c, list.count, sizeof *t->parts));
    memcpy(t->parts, list.parts, list.count * sizeof *t->parts);
    t->part_count = list.count;
    for (unsigned i = 0; i < list.count; i++)
        t->symbols += t->parts[i].rows * t->parts[i].cols;
    return 1;
}

/* Check that all spans differ; `sorted` is room for as many. */
static int compare_spans(const void *a, const void *b)
{
    const span *one = a, *other = b;
    int order = memcmp(one->text, other->text,
                       one->bytes < other->bytes ? one->bytes : other->bytes);

    return order ? order : (one->bytes > other->bytes) - (one->bytes < other->bytes);
}

static int check_distinct(context *c, span *spans, uint64_t count, const char *what)
{
    if (count > 1)
        qsort(spans, (size_t)count, sizeof *spans, compare_spans);
    for (uint64_t i = 1; i < count; i++)
        if (!compare_spans(&spans[i - 1], &spans[i]))
            return fail(c, "two %s are the same", what);
    return 1;
}
