
/* ---- Lattices and corrections of low rank ---- */

static unsigned largest_symbol(const part *of)
{
    unsigned largest = 0;

    for (uint64_t i = 0; i < of->rows; i++)
        if (of->symbols[i] > largest)
            largest = of->symbols[i];
    return largest;
}

/* Make the powers of all sums of a row's and a column's symbol. */
static int start_lattice(context *c, unpacker *u)
{
    const grid *g = u->t->how;
    const part *rows = u->t->parts + 1 + (g->radius > 127);
    unsigned span_steps = largest_symbol(rows) + largest_symbol(rows + 1);
    int most = 100 * (int)g->resolution, anchor = (int)number_at(rows + 2, 0, 2);

    anchor -= anchor & 0x8000 ? 0x10000 : 0;
    if (anchor < -most || anchor + (int)span_steps > most)
        return fail(c, "the scales of a lattice are impossible");
    make_trellis(&u->path, g->states);
    TRY(u->states = allocate(c, u->t->cols, 1));
    TRY(u->levels = allocate(c, (uint64_t)span_steps + 1, sizeof *u->levels));
    for (unsigned i = 0; i <= span_steps; i++)
        u->levels[i] = power_of_steps(anchor + (int)i, (int)g->resolution);
    return 1;
}

static int unpack_lattice(context *c, unpacker *u, uint64_t row)
{
    const grid *g = u->t->how;
    const part *parts = u->t->parts, *high = g->radius > 127 ? parts + 1 : NULL;
    const part *rows = parts + 1 + (high != NULL);
    int radius = (int)g->radius, middle = (radius + 128) / 256;

    for (uint64_t i = 0; i < u->t->cols; i++) {
        uint64_t at = row * u->t->cols + i;
        int k = parts->symbols[at], point;
        k = high ? 256 * (high->symbols[at] - middle) + k - 128 : k - radius;
        if (k > radius || k < -radius)
            return fail(c, "a code of a lattice is beyond its radius");
        point = k;
        if (g->states > 1) {
            point = 2 * k + (u->states[i] >> u->path.parity_shift & 1);
            u->states[i] = u->path.next[u->states[i]][k & 1];
        }
        u->weights[i] = (float)point * u->levels[rows->symbols[row] + rows[1].symbols[i]];
    }
    return 1;
}

/* Return an element of the left factor, or of the right one. */
static int read_factor(context *c, const unpacker *u, int is_right, uint64_t row, uint64_t col,
                       float *element)
{
    const grid *g = u->t->how;
    const part *codes = u->extra + is_right, *scales = u->extra + (is_right ? 4 : 2);
    uint64_t at = row * codes->cols + col;
    int centre = (1 << (g->factor_bits - (g->factor_bits > 0))) - 1;
    float scale;

    if (g->factors == FACTORS_GROUP)
        centre = is_right ? 8 : 2;
    TRY(read_fp16_scale(c, scales, g->factors == FACTORS_ROW ? row
                        : is_right ? at / g->factor_group : 0, &scale));
    *element = (float)(codes->symbols[at] - centre) * scale;
    return 1;
}

static int start_low_rank(context *c, unpacker *u)
{
    const tensor *t = u->t;
    uint64_t rank = rank_of(t);

    u->extra = t->parts + t->part_count - 6;
    TRY(u->products = allocate(c, t->cols, sizeof *u->products));
    TRY(u->right = allocate(c, rank * t->cols, sizeof *u->right));
    for (uint64_t k = 0; k < rank; k++)
        for (uint64_t i = 0; i < t->cols; i++)
            TRY(read_factor(c, u, 1, k, i, &u->right[k * t->cols + i]));
    return 1;
}

/* Add a row of the product of the factors, summed in the order that the text gives. */
static int add_product(context *c, unpacker *u, uint64_t row)
{
    uint64_t cols = u->t->cols, rank = rank_of(u->t);

    memset(u->products, 0, (size_t)cols * sizeof *u->products);
    for (uint64_t k = 0; k < rank; k++) {
        const float *right = u->right + k * cols;
        float left;
        TRY(read_factor(c, u, 0, row, k, &left));
        for (uint64_t i = 0; i < cols; i++) {
            double sum = (double)u->products[i] + (double)left * (double)right[i];
            u->products[i] = (float)sum;
        }
    }
    for (uint64_t i = 0; i < cols; i++)
        u->weights[i] += u->products[i];
    return 1;
}
