
/* ---- Streams, as the header lists them ---- */

typedef struct {
    uint64_t tensor, part, first, rows;
    const part *of;
} member;

typedef struct {
    const pipeline *how;
    const uint8_t *data, *checksum;
    uint64_t stored, coded, symbols, member_count;
    const member *members;
} stream;

typedef struct {
    stream *streams;
    member *members;
    uint64_t count, member_count;
} directory;

static int read_member(context *c, const plan *p, const uint8_t *at, member *m)
{
    column numbers;
    const tensor *t;
    int is_whole;

    TRY(open_array(c, at, "a member", &numbers));
    is_whole = numbers.left == 2;
    if (!is_whole && numbers.left != 4)
        return fail(c, "a member has neither 2 nor 4 numbers");
    TRY(next_uint(c, &numbers, p->tensor_count, "the tensor of a member", &m->tensor));
    t = &p->tensors[m->tensor];
    TRY(next_uint(c, &numbers, t->part_count, "the part of a member", &m->part));
    m->of = &t->parts[m->part];
    m->rows = m->of->rows;
    if (is_whole)
        return 1;
    TRY(next_uint(c, &numbers, m->of->rows, "the first row of a member", &m->first));
    TRY(next_uint(c, &numbers, m->of->rows - m->first + 1, "the rows of a member", &m->rows));
    return m->rows && m->rows < m->of->rows ? 1
        : fail(c, "a member spells out no rows, or all rows");
}

static int compare_members(const void *a, const void *b)
{
    const member *one = a, *other = b;

    if (one->tensor != other->tensor)
        return one->tensor < other->tensor ? -1 : 1;
    if (one->part != other->part)
        return one->part < other->part ? -1 : 1;
    return (one->first > other->first) - (one->first < other->first);
}

/* Check that each row of each part is in one member; a part without rows is one. */
static int check_cover(context *c, const plan *p, const directory *d)
{
    member *sorted = allocate(c, d->member_count, sizeof *sorted);
    uint64_t place = 0;

    TRY(sorted);
    if (d->member_count)
        memcpy(sorted, d->members, (size_t)d->member_count * sizeof *sorted);
    if (d->member_count > 1)
        qsort(sorted, (size_t)d->member_count, sizeof *sorted, compare_members);
    for (uint64_t t = 0; t < p->tensor_count; t++)
        for (unsigned i = 0; i < p->tensors[t].part_count; i++) {
            const part *wanted = &p->tensors[t].parts[i];
            uint64_t end = 0, begin = place;
            for (; place < d->member_count && sorted[place].of == wanted; place++) {
                if (sorted[place].first != end || (place > begin && !sorted[place].rows))
                    return fail(c, "rows of tensor %llu are there twice, or missing",
                                (unsigned long long)t);
                end += sorted[place].rows;
            }
            if (place == begin || end != wanted->rows)
                return fail(c, "rows of tensor %llu are missing", (unsigned long long)t);
        }
    release(c, sorted);
    return 1;
}

/* Read the next entry of all columns: pipelines, stored_bytes, coded_bytes, members. */
static int read_stream(context *c, const plan *p, column columns[4], directory *d, stream *s)
{
    uint64_t index, most = UINT64_MAX >> 1;
    member *members = d->members + d->member_count;
    column own;

    TRY(next_uint(c, &columns[0], p->pipeline_count, "the pipeline of a stream", &index));
    TRY(next_uint(c, &columns[1], most, "stored_bytes", &s->stored));
    TRY(next_uint(c, &columns[2], most, "coded_bytes", &s->coded));
    TRY(open_array(c, next(c, &columns[3]), "members", &own));
    s->how = &p->pipelines[index];
    s->members = members;
    s->member_count = own.left;
    for (; own.left; members++) {
        TRY(read_member(c, p, next(c, &own), members));
        s->symbols += members->rows * members->of->cols;
        if (members->of->alphabet != s->members->of->alphabet)
            return fail(c, "the members of a stream are not of one alphabet");
    }
    d->member_count += s->member_count;
    if (!s->member_count || s->coded > 2 * s->symbols + 65536)
        return fail(c, "a stream has no members, or claims more bytes than symbols can take");
    return 1;
}

static int count_members(context *c, column streams, uint64_t *count)
{
    for (*count = 0; streams.left;) {
        column own;
        TRY(open_array(c, next(c, &streams), "members", &own));
        *count += own.left;
    }
    return *count <= MOST_MEMBERS ? 1 : fail(c, "the streams have more than 2**18 members");
}

static int read_streams(context *c, const uint8_t *header, const plan *p, directory *d)
{
    static const char *const KEYS[] = {"pipelines", "stored_bytes", "coded_bytes", "members"};
    const uint8_t *map = find_key(c, header, "streams"), *checksums;
    column columns[4];
    uint64_t members, seen = 0;

    TRY(map && check_map(c, map, 5, "`streams`"));
    for (int i = 0; i < 4; i++) {
        TRY(open_column(c, map, KEYS[i], &columns[i]));
        if (columns[i].left != columns[0].left)
            return fail(c, "the columns of `streams` are not of one length");
    }
    d->count = columns[0].left;
    TRY(read_checksums(c, map, "checksums", d->count, &checksums));
    TRY(count_members(c, columns[3], &members));
    TRY(d->members = allocate(c, members, sizeof *d->members));
    TRY(d->streams = allocate(c, d->count, sizeof *d->streams));
    for (uint64_t i = 0; i < d->count; i++) {
        d->streams[i].checksum = checksums + 8 * i;
        TRY(read_stream(c, p, columns, d, &d->streams[i]));
        TRY(check_first_use(c, (uint64_t)(d->streams[i].how - p->pipelines), &seen));
    }
    if (seen != p->pipeline_count)
        return fail(c, "the header has a pipeline that nothing uses");
    return check_cover(c, p, d);
}

/* Divide the bytes of a stream among its tensors. */
static void share_bytes(const plan *p, const stream *s)
{
    for (uint64_t i = 0; i < s->member_count; i++) {
        const member *m = &s->members[i];
        double share = s->symbols ? (double)(m->rows * m->of->cols) / (double)s->symbols
            : 1 / (double)s->member_count;
        p->tensors[m->tensor].stored_bytes += share * (double)s->stored;
    }
}

/* Give each stream its bytes, which with those of carried files must be all that there are. */
static int place_streams(context *c, const plan *p, directory *d, span body, uint64_t file_bytes)
{
    uint64_t left = body.bytes;
    const uint8_t *at = body.text;

    for (uint64_t i = 0; i < d->count; i++) {
        stream *s = &d->streams[i];
        if (s->stored > left)
            return fail(c, "the streams do not end where the trailer begins");
        s->data = at;
        at += s->stored;
        left -= s->stored;
        share_bytes(p, s);
        if (!has_hash(s->data, (size_t)s->stored, s->checksum, 8))
            return fail(c, "stream %llu: the checksum does not match: the file is damaged",
                        (unsigned long long)i);
    }
    return left == file_bytes ? 1 : fail(c, "the streams do not end where the trailer begins");
}
