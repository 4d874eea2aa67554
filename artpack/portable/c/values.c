
/* ---- Values of the header, of which check_value has seen that they are well formed ---- */

typedef struct {
    const uint8_t *at; /* of the next value */
    uint64_t left;
} column;

/* Return where a value ends. */
static const uint8_t *skip(context *c, const uint8_t *at)
{
    head h;

    for (uint64_t left = 1; left; left--) {
        TRY(read_head(c, at, &h));
        at = h.body + (h.kind == BYTES || h.kind == TEXT ? h.number : 0);
        left += h.kind == ARRAY ? h.number : h.kind == MAP ? 2 * h.number : 0;
    }
    return at;
}

static int is_text(const head *h, const char *text)
{
    return h->kind == TEXT && h->number == strlen(text) && !memcmp(h->body, text, h->number);
}

/* Return the value of a key, or NULL. */
static const uint8_t *find_key(context *c, const uint8_t *map, const char *key)
{
    head h;
    const uint8_t *at;

    TRY(read_head(c, map, &h));
    at = h.body;
    for (uint64_t i = 0; h.kind == MAP && i < h.number; i++) {
        head name;
        TRY(read_head(c, at, &name));
        at = name.body + name.number;
        if (is_text(&name, key))
            return at;
        TRY(at = skip(c, at));
    }
    report(c, "the header has no `%s` where there must be one", key);
    return NULL;
}

/* Check that a value is a map of so many keys. */
static int check_map(context *c, const uint8_t *at, uint64_t keys, const char *what)
{
    head h;

    TRY(read_head(c, at, &h));
    if (h.kind != MAP || h.number != keys)
        return fail(c, "%s is not a map with the keys that it must have", what);
    return 1;
}

static int open_array(context *c, const uint8_t *at, const char *what, column *values)
{
    head h;

    TRY(at && read_head(c, at, &h));
    if (h.kind != ARRAY)
        return fail(c, "`%s` is not an array", what);
    values->at = h.body;
    values->left = h.number;
    return 1;
}

static int open_column(context *c, const uint8_t *map, const char *key, column *values)
{
    return open_array(c, find_key(c, map, key), key, values);
}

/* Move to the next value; there must be one. */
static const uint8_t *next(context *c, column *values)
{
    const uint8_t *at = values->at;

    if (!values->left) {
        report(c, "an array of the header has fewer entries than it must have");
        return NULL;
    }
    values->left--;
    TRY(values->at = skip(c, at));
    return at;
}

static int read_uint(context *c, const uint8_t *at, uint64_t below, const char *what,
                     uint64_t *value)
{
    head h;

    TRY(at && read_head(c, at, &h));
    if (h.kind != UNSIGNED || h.number >= below)
        return fail(c, "%s is not an integer below %llu", what, (unsigned long long)below);
    *value = h.number;
    return 1;
}

static int next_uint(context *c, column *values, uint64_t below, const char *what, uint64_t *value)
{
    return read_uint(c, next(c, values), below, what, value);
}

/* Read a text or a string of bytes. */
static int read_string(context *c, const uint8_t *at, unsigned kind, const char *what, head *h)
{
    TRY(at && read_head(c, at, h));
    return h->kind == kind ? 1 : fail(c, "%s is not %s", what, kind == TEXT ? "text" : "bytes");
}

/* Read the 8 bytes of each of so many checksums. */
static int read_checksums(context *c, const uint8_t *map, const char *key, uint64_t count,
                          const uint8_t **bytes)
{
    head h;

    TRY(read_string(c, find_key(c, map, key), BYTES, key, &h));
    if (h.number % 8 || h.number / 8 != count)
        return fail(c, "`%s` does not hold %llu times 8 bytes", key, (unsigned long long)count);
    *bytes = h.body;
    return 1;
}

/* Check that a value is free of strings of bytes, as what is meant for others must be. */
static int check_plain(context *c, const uint8_t *at, const char *what)
{
    head h;

    for (uint64_t left = 1; left; left--) {
        TRY(read_head(c, at, &h));
        if (h.kind == BYTES)
            return fail(c, "`%s` holds raw bytes", what);
        at = h.body + (h.kind == TEXT ? h.number : 0);
        left += h.kind == ARRAY ? h.number : h.kind == MAP ? 2 * h.number : 0;
    }
    return 1;
}
