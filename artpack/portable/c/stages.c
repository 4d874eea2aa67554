
/* ---- Stages: quantizers, layouts, symbol coders and codecs, as the header names them ---- */

enum { GRID_ROW_INT, GRID_GROUPS, GRID_PENTANARY, GRID_ASYM, GRID_LOW_RANK, GRID_LATTICE,
       GRID_FP8, GRID_FP16, GRID_BF16, GRID_RAW, GRIDS };
enum { SCALES_FP16, SCALES_LOG, SCALES_FP32 };
enum { FACTORS_NONE, FACTORS_GROUP, FACTORS_ROW };
enum { LAYOUT_ROWS, LAYOUT_COLUMNS, LAYOUT_SIMILAR };
enum { CODER_BYTES, CODER_BITS, CODER_BASE3, CODER_BASE5, CODER_WORD, CODER_PLANES, CODER_RANS,
       CODER_CLASSED, CODER_ADAPTIVE };
enum { CODEC_STORED, CODEC_LZMA };

typedef struct {
    const char *name;
    unsigned bytes;
} dtype;

/* The first six are those that weights may be rounded to, the first four may have the sign last. */
enum { FLOAT64, FLOAT32, FLOAT16, BFLOAT16, E4M3FN, E5M2, ROUNDED_DTYPES, SIGNED_DTYPES = E4M3FN };

static const dtype DTYPES[] = {
    {"float64", 8}, {"float32", 4}, {"float16", 2}, {"bfloat16", 2}, {"float8_e4m3fn", 1},
    {"float8_e5m2", 1}, {"float8_e4m3fnuz", 1}, {"float8_e5m2fnuz", 1}, {"float8_e8m0fnu", 1},
    {"float4_e2m1fn_x2", 1}, {"complex128", 16}, {"complex64", 8}, {"complex32", 4},
    {"int64", 8}, {"int32", 4}, {"int16", 2}, {"int8", 1},
    {"uint64", 8}, {"uint32", 4}, {"uint16", 2}, {"uint8", 1}, {"bool", 1},
    {"int1", 1}, {"int2", 1}, {"int3", 1}, {"int4", 1}, {"int5", 1}, {"int6", 1}, {"int7", 1},
    {"uint1", 1}, {"uint2", 1}, {"uint3", 1}, {"uint4", 1}, {"uint5", 1}, {"uint6", 1},
    {"uint7", 1}, {"bits16", 2}, {"bits8", 1}, {"bits4x2", 1}, {"bits2x4", 1}, {"bits1x8", 1},
};
enum { DTYPE_COUNT = sizeof DTYPES / sizeof *DTYPES };

typedef struct {
    unsigned kind;   /* of a corrected one, that of `inner` */
    unsigned bits, radius, group, states, resolution;
    unsigned scales, scale_bits;
    unsigned factors, rank, factor_group, factor_bits;
    unsigned type;   /* of raw: index into DTYPES */
    int sign_last;
} grid;

typedef struct {
    unsigned layout, coder, states, codec, lzma[3];
} pipeline;

/* Find the id of a stage among names; tell how many fields it has besides. */
static int read_id(context *c, const uint8_t *at, const char *role, const char *const *names,
                   unsigned count, unsigned *kind, uint64_t *fields)
{
    head map, id;
    char shown[33] = "";

    TRY(at && read_head(c, at, &map));
    if (map.kind != MAP)
        return fail(c, "a stage of the header is not a map");
    TRY(read_string(c, find_key(c, at, "id"), TEXT, "the id of a stage", &id));
    *fields = map.number - 1;
    for (*kind = 0; *kind < count; ++*kind)
        if (is_text(&id, names[*kind]))
            return 1;
    for (unsigned i = 0; i < id.number && i < 32; i++)
        shown[i] = (char)(id.body[i] > 32 && id.body[i] < 127 ? id.body[i] : '?');
    return fail(c, "this decoder has no %s '%s'", role, shown);
}

static int check_fields(context *c, uint64_t found, uint64_t wanted)
{
    return found == wanted ? 1 : fail(c, "a stage of the header has unknown or missing fields");
}

static int read_field(context *c, const uint8_t *stage, const char *name, unsigned lowest,
                      unsigned highest, unsigned *value)
{
    uint64_t number;

    TRY(read_uint(c, find_key(c, stage, name), (uint64_t)highest + 1, name, &number));
    *value = (unsigned)number;
    return number >= lowest ? 1 : fail(c, "%s is %u, at least %u", name, *value, lowest);
}

static int read_states(context *c, const uint8_t *stage, unsigned *states)
{
    TRY(read_field(c, stage, "states", 1, 256, states));
    if (*states == 2 || (*states & (*states - 1)))
        return fail(c, "there is no trellis of %u states", *states);
    return 1;
}

static int read_dtype(context *c, const uint8_t *at, unsigned *type)
{
    head h;

    TRY(read_string(c, at, TEXT, "a dtype", &h));
    for (*type = 0; *type < DTYPE_COUNT; ++*type)
        if (is_text(&h, DTYPES[*type].name))
            return 1;
    return fail(c, "the header names an unknown dtype");
}

/* Check a field that says how the writer chose its steps: a float above 0. */
static int check_float(context *c, const uint8_t *at, double highest)
{
    head h;
    double value;

    TRY(at && read_head(c, at, &h));
    if (h.kind != SIMPLE || !h.size)
        return fail(c, "a field of a clip is not a float");
    if (h.size == 8)
        memcpy(&value, &h.number, sizeof value);
    else
        value = h.size == 4 ? from_bits((uint32_t)h.number) : from_half((unsigned)h.number);
    return value > 0 && value <= highest ? 1 : fail(c, "a field of a clip is out of range");
}

static int check_clip(context *c, const uint8_t *at)
{
    static const char *const NAMES[] = {"std", "percentile", "mse", "given"};
    unsigned kind;
    uint64_t fields;

    TRY(read_id(c, at, "clip", NAMES, 4, &kind, &fields));
    TRY(check_fields(c, fields, kind < 2));
    return kind > 1 || (kind == 0 && check_float(c, find_key(c, at, "k"), DBL_MAX))
        || (kind == 1 && check_float(c, find_key(c, at, "percentile"), 100));
}

static int read_scales(context *c, const uint8_t *at, grid *g)
{
    static const char *const NAMES[] = {"fp16", "log-delta", "fp32"};
    uint64_t fields;

    TRY(read_id(c, at, "kind of scales", NAMES, 3, &g->scales, &fields));
    TRY(check_fields(c, fields, g->scales == SCALES_LOG));
    if (g->scales != SCALES_LOG)
        return 1;
    TRY(read_field(c, at, "bits", 4, 8, &g->scale_bits));
    return g->scale_bits < 6 || g->scale_bits == 8 ? 1
        : fail(c, "log-delta has 4, 5 or 8 bits, not %u", g->scale_bits);
}

static int read_factors(context *c, const uint8_t *at, grid *g)
{
    static const char *const NAMES[] = {"group-factors", "row-factors"};
    uint64_t fields;

    TRY(read_id(c, at, "kind of factors", NAMES, 2, &g->factors, &fields));
    TRY(check_fields(c, fields, 1));
    g->factors += FACTORS_GROUP;
    if (g->factors == FACTORS_GROUP)
        return read_field(c, at, "group", 1, 65536, &g->factor_group);
    return read_field(c, at, "bits", 2, 8, &g->factor_bits);
}

static int read_grid(context *c, const uint8_t *at, grid *g, int is_inner);

static int read_low_rank(context *c, const uint8_t *at, grid *g)
{
    const uint8_t *inner = find_key(c, at, "inner");

    TRY(inner && read_field(c, at, "rank", 1, 256, &g->rank));
    return read_factors(c, find_key(c, at, "factors"), g) && read_grid(c, inner, g, 1);
}

static int read_raw(context *c, const uint8_t *at, grid *g, uint64_t fields)
{
    head h;

    TRY(read_dtype(c, find_key(c, at, "dtype"), &g->type));
    if (fields == 1)
        return 1;
    TRY(check_fields(c, fields, 2));
    TRY((at = find_key(c, at, "sign_last")) && read_head(c, at, &h));
    g->sign_last = 1;
    return h.kind == SIMPLE && h.low == CBOR_TRUE && g->type < SIGNED_DTYPES ? 1
        : fail(c, "`sign_last` is not true, or of a type that cannot have it");
}

static int read_lattice(context *c, const uint8_t *at, grid *g)
{
    return read_states(c, at, &g->states) && read_field(c, at, "radius", 1, 8191, &g->radius)
        && read_field(c, at, "resolution", 1, 64, &g->resolution);
}

static int read_grid(context *c, const uint8_t *at, grid *g, int is_inner)
{
    static const char *const NAMES[GRIDS] = {
        "row-int", "group-absmean", "row-pentanary", "row-asym-int", "low-rank", "lattice",
        "fp8", "fp16", "bf16", "raw",
    };
    static const unsigned FIELDS[GRIDS] = {3, 3, 0, 1, 3, 3, 0, 0, 0, 0};
    uint64_t fields;

    TRY(read_id(c, at, "quantizer", NAMES, is_inner ? GRID_LOW_RANK : GRIDS, &g->kind, &fields));
    if (g->kind == GRID_RAW)
        return read_raw(c, at, g, fields);
    TRY(check_fields(c, fields, FIELDS[g->kind]));
    switch (g->kind) {
    case GRID_ROW_INT:
        return read_field(c, at, "bits", 2, 8, &g->bits)
            && check_clip(c, find_key(c, at, "clip"))
            && read_scales(c, find_key(c, at, "scales"), g);
    case GRID_GROUPS:
        return read_field(c, at, "radius", 1, 2, &g->radius)
            && read_field(c, at, "group", 1, 65536, &g->group)
            && read_scales(c, find_key(c, at, "scales"), g);
    case GRID_ASYM:
        return read_field(c, at, "bits", 2, 8, &g->bits);
    case GRID_LOW_RANK:
        return read_low_rank(c, at, g);
    case GRID_LATTICE:
        return read_lattice(c, at, g);
    default:
        return 1;
    }
}

static int read_coder(context *c, const uint8_t *at, pipeline *p)
{
    static const char *const NAMES[] = {
        "bytes", "bits", "base3", "base5", "base5-word", "planes", "rans", "classed-rans",
        "adaptive",
    };
    uint64_t fields;

    TRY(read_id(c, at, "symbol coder", NAMES, 9, &p->coder, &fields));
    TRY(check_fields(c, fields, p->coder == CODER_ADAPTIVE));
    return p->coder != CODER_ADAPTIVE || read_states(c, at, &p->states);
}

static int read_codec(context *c, const uint8_t *at, pipeline *p)
{
    static const char *const NAMES[] = {"stored", "lzma"};
    uint64_t fields;

    TRY(read_id(c, at, "codec", NAMES, 2, &p->codec, &fields));
    TRY(check_fields(c, fields, p->codec == CODEC_LZMA ? 3 : 0));
    if (p->codec == CODEC_STORED)
        return 1;
    TRY(read_field(c, at, "lc", 0, 4, &p->lzma[0]) && read_field(c, at, "lp", 0, 4, &p->lzma[1])
        && read_field(c, at, "pb", 0, 4, &p->lzma[2]));
    return p->lzma[0] + p->lzma[1] <= 4 ? 1 : fail(c, "lc and lp of LZMA are more than 4");
}

static int read_pipeline(context *c, const uint8_t *at, pipeline *p)
{
    static const char *const LAYOUTS[] = {"rows", "columns", "similar-rows"};
    const uint8_t *layout;
    uint64_t fields;

    TRY(check_map(c, at, 3, "a pipeline") && (layout = find_key(c, at, "layout")));
    TRY(read_id(c, layout, "layout", LAYOUTS, 3, &p->layout, &fields));
    TRY(check_fields(c, fields, 0));
    return read_coder(c, find_key(c, at, "coder"), p) && read_codec(c, find_key(c, at, "codec"), p);
}
