
/* ---- Tensors and banks, with their elements ---- */

static int start_unpacking(context *c, unpacker *u)
{
    const grid *g = u->t->how;

    TRY(u->weights = allocate(c, u->t->cols, sizeof *u->weights));
    if (g->kind == GRID_LATTICE)
        TRY(start_lattice(c, u));
    if ((g->kind == GRID_ROW_INT || g->kind == GRID_GROUPS) && g->scales == SCALES_LOG)
        TRY(make_log_levels(c, u));
    return !g->factors || start_low_rank(c, u);
}

static int unpack_row(context *c, unpacker *u, uint64_t row)
{
    const grid *g = u->t->how;

    switch (g->kind) {
    case GRID_ROW_INT:
        TRY(unpack_scaled(c, u, row, (1 << (g->bits - 1)) - 1, 1));
        break;
    case GRID_PENTANARY:
        TRY(unpack_scaled(c, u, row, 2, 1));
        break;
    case GRID_ASYM:
        TRY(unpack_scaled(c, u, row, 1 << (g->bits - 1), (float)(1 << (g->bits - 1))));
        break;
    case GRID_GROUPS:
        TRY(unpack_groups(c, u, row));
        break;
    case GRID_LATTICE:
        TRY(unpack_lattice(c, u, row));
        break;
    default:
        TRY(unpack_numbers(c, u, row));
    }
    return !g->factors || add_product(c, u, row);
}

/* Write weights in the dtype of their tensor. */
static void put_weights(uint8_t *out, const float *weights, uint64_t count, unsigned type)
{
    for (uint64_t i = 0; i < count; i++) {
        float weight = weights[i];
        double wide = weight;
        uint64_t bits = to_bits(weight);
        if (type == FLOAT64)
            memcpy(&bits, &wide, sizeof bits);
        else if (type == FLOAT16)
            bits = to_small(weight, 5, 10, 0x7c00);
        else if (type == BFLOAT16)
            bits = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
        else if (type == E4M3FN)
            bits = to_small(weight, 4, 3, 0x7f);
        else if (type == E5M2)
            bits = to_small(weight, 5, 2, 0x7c);
        put_number(out + i * DTYPES[type].bytes, bits, DTYPES[type].bytes);
    }
}

static int unpack_weights(context *c, tensor *t)
{
    unpacker u = {0};
    uint64_t row_bytes = t->cols * DTYPES[t->type].bytes;

    u.t = t;
    TRY(start_unpacking(c, &u));
    for (uint64_t row = 0; row < t->rows; row++) {
        TRY(unpack_row(c, &u, row));
        put_weights(t->data + row * row_bytes, u.weights, t->cols, t->type);
    }
    release(c, u.weights);
    release(c, u.products);
    release(c, u.right);
    release(c, u.levels);
    release(c, u.states);
    return 1;
}

/* Put the bytes of the elements of a raw tensor together. */
static void unpack_raw(tensor *t)
{
    unsigned bytes = t->part_count;

    for (uint64_t i = 0; i < t->rows * t->cols; i++) {
        uint8_t *element = t->data + i * bytes;
        unsigned sign;
        for (unsigned b = 0; b < bytes; b++)
            element[b] = t->parts[b].symbols[i];
        if (!t->how->sign_last)
            continue;
        sign = element[0] & 1;
        for (unsigned b = 0; b < bytes; b++)
            element[b] = (uint8_t)(element[b] >> 1
                | (b + 1 < bytes ? element[b + 1] & 1 : sign) << 7);
    }
}

static int check_symbols(context *c, const tensor *t, uint64_t number)
{
    sha256 hash;
    uint8_t digest[32];

    sha256_start(&hash);
    for (unsigned i = 0; i < t->part_count; i++)
        sha256_add(&hash, t->parts[i].symbols, (size_t)(t->parts[i].rows * t->parts[i].cols));
    sha256_end(&hash, digest);
    return !memcmp(digest, t->hash, 8) ? 1
        : fail(c, "tensor %llu: the decoded symbols do not match their hash",
               (unsigned long long)number);
}

static int decode_tensors(context *c, const plan *p)
{
    for (uint64_t i = 0; i < p->tensor_count; i++) {
        tensor *t = &p->tensors[i];
        TRY(check_symbols(c, t, i));
        TRY(t->data = allocate(c, t->rows * t->cols, DTYPES[t->type].bytes));
        if (t->how->kind == GRID_RAW)
            unpack_raw(t);
        else
            TRY(unpack_weights(c, t));
        for (unsigned b = 0; b < t->part_count; b++)
            release(c, t->parts[b].symbols);
    }
    return 1;
}

/* Stack the members of a bank, each of them transposed if the bank is. */
static int fill_bank(context *c, bank *b)
{
    const tensor *first = b->members[0];
    unsigned each = DTYPES[first->type].bytes;
    uint64_t rows = b->is_transposed ? first->rows : 1, count = first->rows * first->cols;
    uint64_t cols = rows ? count / rows : 0;

    TRY(b->data = allocate(c, b->count * count, each));
    for (uint64_t m = 0; m < b->count; m++) {
        tensor *t = b->members[m];
        uint8_t *out = b->data + m * count * each;
        b->stored_bytes += t->stored_bytes;
        for (uint64_t col = 0; col < cols; col++)
            for (uint64_t row = 0; row < rows; row++, out += each)
                memcpy(out, t->data + (row * cols + col) * each, each);
        release(c, t->data);
        t->data = NULL;
    }
    return 1;
}
