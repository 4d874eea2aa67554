
/* ---- Memory and errors ---- */

/* All functions that can fail return 0 or NULL after fail(), which every caller passes on. */
#define TRY(call) do { if (!(call)) return 0; } while (0)

typedef union block {
    struct {
        union block *before, *after;
        uint64_t bytes;
    } is;
    long double widest;
} block;

typedef struct {
    block *blocks;
    uint64_t held, limit, most_symbols;
    const uint8_t *header_end;
    char error[160];
} context;

static void report(context *c, const char *form, ...)
{
    va_list values;

    va_start(values, form);
    vsnprintf(c->error, sizeof c->error, form, values);
    va_end(values);
}

#define fail(c, ...) (report(c, __VA_ARGS__), 0)

/* Return zeroed memory, or NULL where that would be more than is allowed or there is. */
static void *allocate(context *c, uint64_t count, size_t each)
{
    uint64_t left = c->limit - c->held;
    block *made = NULL;

    if (left > SIZE_MAX)
        left = SIZE_MAX;
    if (left >= sizeof *made && count <= (left - sizeof *made) / each)
        made = calloc(1, sizeof *made + (size_t)count * each);
    if (!made) {
        report(c, "the file needs more memory than there is or is allowed");
        return NULL;
    }
    made->is.bytes = sizeof *made + count * each;
    c->held += made->is.bytes;
    made->is.after = c->blocks;
    if (c->blocks)
        c->blocks->is.before = made;
    c->blocks = made;
    return made + 1;
}

static void release(context *c, void *memory)
{
    block *old = memory ? (block *)memory - 1 : NULL;

    if (!old)
        return;
    if (old->is.before)
        old->is.before->is.after = old->is.after;
    else
        c->blocks = old->is.after;
    if (old->is.after)
        old->is.after->is.before = old->is.before;
    c->held -= old->is.bytes;
    free(old);
}

static uint32_t little_endian_32(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t little_endian_64(const uint8_t *at)
{
    return little_endian_32(at) | (uint64_t)little_endian_32(at + 4) << 32;
}

static uint32_t big_endian_32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Write the low bytes of a number, the least significant first. */
static void put_number(uint8_t *at, uint64_t number, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(number >> 8 * i);
}

/* Return how many bits a number has. */
static unsigned bit_length(uint64_t number)
{
    unsigned bits = 0;

    for (; number; number >>= 1)
        bits++;
    return bits;
}
