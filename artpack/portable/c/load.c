
/* ---- The file ---- */

enum { PREAMBLE_BYTES = 42, TRAILER_BYTES = 32 };
enum { MOST_HEADER_BYTES = 8 << 20, MOST_OWN_BYTES = 64 << 20 };

typedef struct {
    plan p;
    directory d;
    output_list outputs;
} artifact;

/* Check the first bytes and the hash of a file. Finds the header, and the streams behind it. */
static int check_file(context *c, const uint8_t *data, size_t size, span *header, span *body)
{
    static const uint8_t MAGIC[8] = {0x89, 'A', 'R', 'T', '\r', '\n', 0x1a, '\n'};
    uint64_t stored, decoded, bytes;

    if (!size || memcmp(data, MAGIC, size < 8 ? size : 8))
        return fail(c, "this is not an artpack artifact");
    if (size < PREAMBLE_BYTES)
        return fail(c, "the file ends early: its first part alone has 42 bytes");
    if (data[8] != 1 || data[9])
        return fail(c, "format version %u: this decoder reads version 1", data[8] + 256u * data[9]);
    if (!has_hash(data, 34, data + 34, 8))
        return fail(c, "the preamble's checksum does not match: the file is damaged");
    stored = little_endian_32(data + 10);
    decoded = little_endian_32(data + 14);
    bytes = little_endian_64(data + 18);
    if (stored > MOST_HEADER_BYTES || decoded > MOST_HEADER_BYTES)
        return fail(c, "the header is larger than 8 MiB");
    if (bytes < PREAMBLE_BYTES + stored + TRAILER_BYTES)
        return fail(c, "the file is too small for its header");
    if (bytes != size)
        return fail(c, "the file has %llu bytes, and should have %llu: it %s",
                    (unsigned long long)size, (unsigned long long)bytes,
                    bytes > size ? "ends early" : "goes on behind its end");
    header->text = data + PREAMBLE_BYTES;
    header->bytes = (size_t)stored;
    body->text = header->text + stored;
    body->bytes = size - PREAMBLE_BYTES - (size_t)stored - TRAILER_BYTES;
    if (!has_hash(header->text, header->bytes, data + 26, 8))
        return fail(c, "the header's checksum does not match: the file is damaged");
    return has_hash(data, size - TRAILER_BYTES, data + size - TRAILER_BYTES, TRAILER_BYTES) ? 1
        : fail(c, "the file's hash does not match: the file is damaged");
}

/* Check all that the header says, before anything is decoded. */
static int read_header(context *c, span header, span body, artifact *a)
{
    const uint8_t *map = header.text, *end, *checksum = NULL, *model, *provenance;
    span files = {NULL, 0};
    head h;

    c->header_end = header.text + header.bytes;
    TRY(end = check_value(c, map, CBOR_DEPTH));
    if (end != c->header_end)
        return fail(c, "the header goes on behind its end");
    TRY(read_head(c, map, &h));
    if (h.kind != MAP || (h.number != 9 && h.number != 10))
        return fail(c, "the header is not a map with the keys that it must have");
    TRY((model = find_key(c, map, "model")) && (provenance = find_key(c, map, "provenance")));
    TRY(check_plain(c, model, "model") && check_plain(c, provenance, "provenance"));
    if (*provenance >> 5 != MAP || (*model >> 5 != MAP && (*model & 31) != CBOR_NULL))
        return fail(c, "`model` or `provenance` is not a map");
    TRY(read_tensors(c, map, &a->p) && read_pipelines(c, map, &a->p));
    TRY(read_streams(c, map, &a->p, &a->d) && read_outputs(c, map, &a->p, &a->outputs));
    if (h.number == 10)
        TRY(read_files(c, map, &a->p, &files, &checksum));
    TRY(place_streams(c, &a->p, &a->d, body, files.bytes));
    files.text = body.text + body.bytes - files.bytes;
    return !checksum || has_hash(files.text, files.bytes, checksum, 8) ? 1
        : fail(c, "the carried files' checksum does not match: the file is damaged");
}

static const char *copy_name(context *c, const span *name)
{
    char *copy = allocate(c, (uint64_t)name->bytes + 1, 1);

    if (copy)
        memcpy(copy, name->text, name->bytes);
    return copy;
}

static int give_tensor(context *c, const output *from, artpack_tensor *to)
{
    const tensor *t = from->bank ? from->bank->members[0] : from->stored;
    uint64_t elements = 1;

    TRY(to->name = copy_name(c, &from->name));
    to->name_bytes = from->name.bytes;
    to->dtype = DTYPES[t->type].name;
    to->dims = from->bank ? from->bank->dims : t->dims;
    to->shape = from->bank ? from->bank->shape : t->shape;
    to->data = from->bank ? from->bank->data : t->data;
    to->stored_bytes = from->bank ? from->bank->stored_bytes : t->stored_bytes;
    for (size_t i = 0; i < to->dims; i++)
        elements *= to->shape[i];
    to->bytes = (size_t)(elements * DTYPES[t->type].bytes);
    return 1;
}

/* Decode what a header promises, and list it. */
static int decode(context *c, span header, span body, artpack_result *result)
{
    artifact *a;

    TRY(a = allocate(c, 1, sizeof *a));
    TRY(read_header(c, header, body, a));
    TRY(decode_streams(c, &a->p, &a->d) && decode_tensors(c, &a->p));
    for (uint64_t i = 0; i < a->outputs.bank_count; i++)
        TRY(fill_bank(c, &a->outputs.banks[i]));
    TRY(result->tensors = allocate(c, a->outputs.count, sizeof *result->tensors));
    for (uint64_t i = 0; i < a->outputs.count; i++)
        TRY(give_tensor(c, a->outputs.ordered[i], &result->tensors[i]));
    result->count = (size_t)a->outputs.count;
    return 1;
}

/* Set limits: by the memory that may be used, or by the size of the file. */
static void start(context *c, size_t size, uint64_t max_memory)
{
    memset(c, 0, sizeof *c);
    c->limit = max_memory ? max_memory : UINT64_MAX;
    c->most_symbols = max_memory ? max_memory : MOST_OWN_BYTES + 256 * (uint64_t)size;
}

/* Decompress the header; it is held as long as the tensors, whose names are in it. */
static int open_header(context *c, const uint8_t *data, span *header)
{
    static const unsigned PROPERTIES[3] = {0, 0, 0};
    size_t bytes = little_endian_32(data + 14);
    uint8_t *room = allocate(c, bytes, 1);

    TRY(room && decode_lzma(c, header->text, header->bytes, room, bytes, PROPERTIES));
    header->text = room;
    header->bytes = bytes;
    return 1;
}

int artpack_load(const uint8_t *data, size_t size, uint64_t max_memory, artpack_result *result)
{
    context c;
    span header, body;
    int done;

    memset(result, 0, sizeof *result);
    start(&c, size, max_memory);
    done = check_file(&c, data, size, &header, &body) && open_header(&c, data, &header)
        && decode(&c, header, body, result);
    result->memory = c.blocks;
    if (!done) {
        artpack_free(result);
        memcpy(result->error, c.error, sizeof result->error);
    }
    return done;
}

void artpack_free(artpack_result *result)
{
    block *one = result->memory;

    while (one) {
        block *after = one->is.after;
        free(one);
        one = after;
    }
    memset(result, 0, sizeof *result);
}
