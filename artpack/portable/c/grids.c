
/* ---- Symbols to weights ---- */

typedef struct {
    const tensor *t;
    float *weights;        /* a row */
    float *products;       /* a row of the correction of low-rank, or NULL */
    float *right, *levels; /* right factor; scales of log-delta, or powers of a lattice */
    uint8_t *states;       /* of the trellis, one a column */
    trellis path;
    int anchor;            /* of a lattice */
    const part *extra;     /* behind the parts of the inner grid: those of the factors */
} unpacker;

/* Read a number of two or four bytes, the first of which is in this part. */
static uint32_t number_at(const part *planes, uint64_t index, unsigned bytes)
{
    uint32_t number = 0;

    for (unsigned i = bytes; i > 0; i--)
        number = number << 8 | planes[i - 1].symbols[index];
    return number;
}

static int read_fp16_scale(context *c, const part *planes, uint64_t index, float *scale)
{
    unsigned bits = number_at(planes, index, 2);

    *scale = from_half(bits);
    return bits < 0x7c00 ? 1 : fail(c, "a scale is negative, infinite or NaN");
}

static int read_fp32_scale(context *c, const part *planes, uint64_t index, float *scale)
{
    uint32_t bits = number_at(planes, index, 4);

    *scale = from_bits(bits);
    return bits < 0x7f800000 ? 1 : fail(c, "a scale is negative, infinite or NaN");
}

/* Read a scale, by its place among all of a tensor, row-major. */
static int read_scale(context *c, const unpacker *u, uint64_t index, float *scale)
{
    const part *parts = u->t->parts + 1;

    if (u->levels) {
        *scale = u->levels[parts->symbols[index]];
        return 1;
    }
    return u->t->how->scales == SCALES_FP32 ? read_fp32_scale(c, parts, index, scale)
        : read_fp16_scale(c, parts, index, scale);
}

/* Return 2 to the power of e / resolution for a whole e, rounded to fp32 with an exponent of 0. */
static float power_of_steps(int64_t steps, int resolution)
{
    int64_t octave = steps >= 0 ? steps / resolution : -((resolution - 1 - steps) / resolution);
    float fraction = (float)exp2_of_fraction((double)(steps - octave * resolution) / resolution);

    return (float)(fraction * power_of_two((int)octave));
}

/* Make the scales that log-delta has, one for each symbol. */
static int make_log_levels(context *c, unpacker *u)
{
    const part *numbers = u->t->parts + 2;
    unsigned bits = u->t->how->scale_bits, anchor = number_at(numbers, 0, 2);
    unsigned step = number_at(numbers, 1, 2);

    if ((anchor & 0x7c00) == 0x7c00 || (step & 0x7c00) == 0x7c00 || (step > 0x8000))
        return fail(c, "scales have an anchor or a step that is impossible");
    TRY(u->levels = allocate(c, (uint64_t)1 << bits, sizeof *u->levels));
    for (int i = 0; i < 1 << bits; i++) {
        float product = (float)(i - (1 << (bits - 1))) * from_half(step);
        float exponent = from_half(anchor) + product;
        double e = exponent < -24 ? -24 : exponent > 16 ? 16 : exponent, power;
        int whole = (int)(e + 64) - 64;
        power = exp2_of_fraction(e - whole) * power_of_two(whole);
        u->levels[i] = from_half(to_small((float)(power > 65504 ? 65504 : power), 5, 10, 0x7c00));
    }
    return 1;
}

/* Fill a row with codes less their centre times the scale of the row, over a divisor. */
static int unpack_scaled(context *c, unpacker *u, uint64_t row, int centre, float divisor)
{
    const uint8_t *codes = u->t->parts->symbols + row * u->t->cols;
    float scale;

    TRY(read_scale(c, u, row, &scale));
    for (uint64_t i = 0; i < u->t->cols; i++) {
        float product = (float)(codes[i] - centre) * scale;
        u->weights[i] = divisor == 1 ? product : product / divisor;
    }
    return 1;
}

static int unpack_groups(context *c, unpacker *u, uint64_t row)
{
    const grid *g = u->t->how;
    uint64_t cols = u->t->cols, groups = quotient_up(cols, g->group);
    const uint8_t *codes = u->t->parts->symbols + row * cols;

    for (uint64_t group = 0; group < groups; group++) {
        uint64_t begin = group * g->group, end = group == groups - 1 ? cols : begin + g->group;
        unsigned sum = 0;
        float scale, mean;
        TRY(read_scale(c, u, row * groups + group, &scale));
        for (uint64_t i = begin; i < end; i++)
            sum += (unsigned)abs(codes[i] - (int)g->radius);
        mean = (float)sum / (float)g->group;
        scale = sum ? scale / mean : 0;
        if (scale > FLT_MAX)
            return fail(c, "a scale is too large for the codes of its group");
        for (uint64_t i = begin; i < end; i++)
            u->weights[i] = (float)(codes[i] - (int)g->radius) * scale;
    }
    return 1;
}

static int unpack_numbers(context *c, unpacker *u, uint64_t row)
{
    uint64_t first = row * u->t->cols;

    for (uint64_t i = 0; i < u->t->cols; i++) {
        uint32_t bits;
        int is_finite;
        if (u->t->how->kind == GRID_FP8) {
            bits = u->t->parts->symbols[first + i];
            is_finite = (bits & 0x7f) != 0x7f;
            u->weights[i] = from_small(bits, 4, 3);
        } else if (u->t->how->kind == GRID_FP16) {
            bits = number_at(u->t->parts, first + i, 2);
            is_finite = (bits & 0x7c00) != 0x7c00;
            u->weights[i] = from_half(bits);
        } else {
            bits = number_at(u->t->parts, first + i, 2);
            is_finite = (bits & 0x7f80) != 0x7f80;
            u->weights[i] = from_bits(bits << 16);
        }
        if (!is_finite)
            return fail(c, "a weight is infinite or NaN");
    }
    return 1;
}
