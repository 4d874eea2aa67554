
/* ---- The header ---- */

typedef struct {
    tensor *tensors;
    grid *grids;
    pipeline *pipelines;
    uint64_t tensor_count, pipeline_count, symbols;
} plan;

/* Check that stages are in the order of their first use. */
static int check_first_use(context *c, uint64_t used, uint64_t *seen)
{
    if (used > *seen)
        return fail(c, "stages are not in the order of their first use");
    *seen += used == *seen;
    return 1;
}

/* Return where each of some stages stands, and check that no two are the same. */
static int open_stages(context *c, const uint8_t *header, const char *key, column *stages)
{
    column walk;
    span *spans;
    int distinct;

    TRY(open_column(c, header, key, stages));
    TRY(spans = allocate(c, stages->left, sizeof *spans));
    walk = *stages;
    for (uint64_t i = 0; i < stages->left; i++) {
        TRY(spans[i].text = next(c, &walk));
        spans[i].bytes = (size_t)(walk.at - spans[i].text);
    }
    distinct = check_distinct(c, spans, stages->left, key);
    release(c, spans);
    return distinct;
}

static int read_grids(context *c, const uint8_t *header, plan *p, uint64_t *count)
{
    column stages;

    TRY(open_stages(c, header, "quantizers", &stages));
    *count = stages.left;
    TRY(p->grids = allocate(c, stages.left, sizeof *p->grids));
    for (uint64_t i = 0; i < *count; i++)
        TRY(read_grid(c, next(c, &stages), &p->grids[i], 0));
    return 1;
}

static int read_pipelines(context *c, const uint8_t *header, plan *p)
{
    column stages;

    TRY(open_stages(c, header, "pipelines", &stages));
    p->pipeline_count = stages.left;
    TRY(p->pipelines = allocate(c, stages.left, sizeof *p->pipelines));
    for (uint64_t i = 0; i < p->pipeline_count; i++)
        TRY(read_pipeline(c, next(c, &stages), &p->pipelines[i]));
    return 1;
}

/* Read the next tensor of all columns: names, shapes, dtypes, quantizers. */
static int read_tensor(context *c, const plan *p, column columns[4], uint64_t grids, tensor *t)
{
    head name;
    uint64_t index;

    TRY(read_string(c, next(c, &columns[0]), TEXT, "the name of a tensor", &name));
    t->name.text = name.body;
    t->name.bytes = (size_t)name.number;
    TRY(read_shape(c, next(c, &columns[1]), t->shape, &t->dims));
    TRY(read_dtype(c, next(c, &columns[2]), &t->type));
    TRY(next_uint(c, &columns[3], grids, "the quantizer of a tensor", &index));
    t->how = &p->grids[index];
    if (t->how->kind == GRID_RAW ? t->type != t->how->type : t->type >= ROUNDED_DTYPES)
        return fail(c, "a tensor has a dtype that its quantizer does not give");
    set_matrix(t);
    return make_parts(c, t);
}

static int check_names(context *c, const plan *p)
{
    span *names = allocate(c, p->tensor_count, sizeof *names);
    int distinct;

    TRY(names);
    for (uint64_t i = 0; i < p->tensor_count; i++)
        names[i] = p->tensors[i].name;
    distinct = check_distinct(c, names, p->tensor_count, "names of tensors");
    release(c, names);
    return distinct;
}

/* Add what is decoded, or made of it again, and compare with what a file of this size may hold. */
static int add_symbols(context *c, plan *p, uint64_t symbols)
{
    p->symbols += symbols;
    return p->symbols <= c->most_symbols ? 1
        : fail(c, "the file claims to decode to more than %llu bytes",
               (unsigned long long)c->most_symbols);
}

static int read_tensors(context *c, const uint8_t *header, plan *p)
{
    static const char *const KEYS[] = {"names", "shapes", "dtypes", "quantizers"};
    const uint8_t *map = find_key(c, header, "tensors"), *hashes;
    column columns[4];
    uint64_t grids, parts = 0, seen = 0;

    TRY(map && check_map(c, map, 5, "`tensors`") && read_grids(c, header, p, &grids));
    for (int i = 0; i < 4; i++) {
        TRY(open_column(c, map, KEYS[i], &columns[i]));
        if (columns[i].left != columns[0].left)
            return fail(c, "the columns of `tensors` are not of one length");
    }
    p->tensor_count = columns[0].left;
    if (p->tensor_count > MOST_MEMBERS)
        return fail(c, "there are more tensors than a file may have members");
    TRY(read_checksums(c, map, "hashes", p->tensor_count, &hashes));
    TRY(p->tensors = allocate(c, p->tensor_count, sizeof *p->tensors));
    for (uint64_t i = 0; i < p->tensor_count; i++) {
        tensor *t = &p->tensors[i];
        t->hash = hashes + 8 * i;
        TRY(read_tensor(c, p, columns, grids, t) && add_symbols(c, p, t->symbols));
        TRY(check_first_use(c, (uint64_t)(t->how - p->grids), &seen));
        if ((parts += t->part_count) > MOST_MEMBERS)
            return fail(c, "there are more parts than a file may have members");
    }
    if (seen != grids)
        return fail(c, "the header has a quantizer that nothing uses");
    return check_names(c, p);
}

/* Check what the header says of carried files, which are passed over. Returns their bytes. */
static int read_files(context *c, const uint8_t *header, plan *p, span *stored,
                      const uint8_t **checksum)
{
    const uint8_t *map = find_key(c, header, "files"), *hash, *codec;
    column names, sizes;
    uint64_t bytes;

    TRY(map && check_map(c, map, 6, "`files`"));
    TRY(open_column(c, map, "names", &names) && open_column(c, map, "sizes", &sizes));
    if (!names.left || names.left > 4096 || names.left != sizes.left)
        return fail(c, "`files` has no names, too many, or not as many sizes");
    while (sizes.left) {
        TRY(next_uint(c, &sizes, UINT64_MAX >> 1, "the size of a file", &bytes));
        TRY(add_symbols(c, p, bytes));
    }
    TRY((codec = find_key(c, map, "codec")) && check_plain(c, codec, "codec"));
    TRY(read_checksums(c, map, "hash", 1, &hash));
    TRY(read_checksums(c, map, "checksum", 1, checksum));
    TRY(read_uint(c, find_key(c, map, "stored_bytes"), UINT64_MAX >> 1, "stored_bytes", &bytes));
    stored->bytes = (size_t)bytes;
    return bytes <= SIZE_MAX ? 1 : fail(c, "the carried files are longer than any file");
}
