
/* ---- The adaptive coder: lanes, columns and rows ---- */

typedef struct {
    uint64_t rows, cols, place; /* place: among the members */
    uint8_t *symbols;
    uint64_t class_rows;        /* rows that share a class */
    int16_t *energies;          /* of each class: what the text calls u */
} matrix;

typedef struct {
    uint32_t variance; /* what the text calls V; at most 2**28 */
    int32_t lean;      /* M; its size is below 2**29 */
    uint8_t context, is_mirrored, state;
} adaptive_column;

typedef struct {
    context *c;
    code_table *tables[ADAPTIVE_TABLES];
    trellis path;
    unsigned spacing, alphabet, gain;
    span escapes, words;
    uint16_t returned[MOST_LANES];
    uint32_t states[MOST_LANES];
    unsigned returned_count, lanes, lane;
    uint64_t to_come, seen, limit;
} adaptive;

/* Divide by a power of two, rounding down. */
static int64_t shifted(int64_t number, unsigned by)
{
    return number < 0 ? ~(~number >> by) : number >> by;
}

#define broken(a) fail((a)->c, "adaptive: the stream is damaged")

/* Let lanes from this one on retire. */
static int retire(adaptive *a, unsigned first)
{
    for (unsigned lane = a->lanes; lane > first; lane--) {
        if (a->states[lane - 1] >> 17)
            return broken(a);
        a->returned[a->returned_count++] = (uint16_t)a->states[lane - 1];
    }
    a->lanes = first;
    return 1;
}

static int start_chunk(adaptive *a)
{
    while (a->lanes > 1 && a->to_come < 64 * a->lanes)
        TRY(retire(a, a->lanes / 2));
    a->lane = 0;
    return 1;
}

/* Refine the tables that have seen enough. */
static void start_piece_at_limit(adaptive *a)
{
    for (unsigned i = 0; i < ADAPTIVE_TABLES; i++) {
        code_table *table = a->tables[i];
        if (table && 16 * (table->total - table->refined) >= table->total + 128)
            refine(table);
    }
    a->limit += a->seen >> 3 > 256 ? a->seen >> 3 : 256;
    a->lane = a->lanes;
}

static code_table *find_table(adaptive *a, unsigned number)
{
    code_table *table = a->tables[number];

    if (table)
        return table;
    TRY(table = allocate(a->c, 1, sizeof *table));
    if (number == CLASS_TABLE)
        expect_classes(table);
    else
        expect_symbols(table, number, a->spacing, a->alphabet);
    refine(table);
    return a->tables[number] = table;
}

static int take_adaptive_word(adaptive *a, uint32_t *word)
{
    if (a->returned_count) {
        *word = a->returned[--a->returned_count];
        return 1;
    }
    if (!a->words.bytes)
        return broken(a);
    *word = a->words.text[0] | (uint32_t)a->words.text[1] << 8;
    a->words.text += 2;
    a->words.bytes -= 2;
    return 1;
}

/* Take the next code of a table. */
static int take_code(adaptive *a, const code_table *table, unsigned *code)
{
    uint32_t x, place, word, start;

    if (a->lane == a->lanes)
        TRY(start_chunk(a));
    x = a->states[a->lane];
    place = x & (SLOTS - 1);
    *code = table->coarse[place / 16];
    while (table->starts[*code + 1] <= place)
        ++*code;
    start = table->starts[*code];
    x = (table->starts[*code + 1] - start) * (x >> SLOT_BITS) + place - start;
    if (x < 1u << 16) {
        TRY(take_adaptive_word(a, &word));
        x = x << 16 | word;
    }
    a->states[a->lane++] = x;
    a->to_come--;
    return 1;
}

/*
 * Take a value: 128 + k of a symbol, or the code of a class. With `mirror` it is that number less
 * the code, else the code itself.
 */
static int take_value(adaptive *a, unsigned number, unsigned mirror, unsigned *value)
{
    code_table *table;
    unsigned code;

    if (a->seen == a->limit)
        start_piece_at_limit(a);
    a->seen++;
    TRY(table = find_table(a, number));
    TRY(take_code(a, table, &code));
    if (code == ESCAPE) {
        if (!a->escapes.bytes)
            return broken(a);
        a->escapes.bytes--;
        *value = *a->escapes.text++;
        code = mirror ? mirror - *value : *value;
        if (code < ESCAPE && table->starts[code + 1] > table->starts[code])
            return broken(a);
    } else {
        *value = mirror ? mirror - code : code;
    }
    table->counts[code < ESCAPE ? code : ESCAPE]++;
    table->total++;
    return 1;
}

static int read_classes(adaptive *a, matrix *m)
{
    int step = m->cols <= 100 ? 8 : m->cols <= 400 ? 4 : m->cols <= 1600 ? 2 : 1, usual = 0;
    uint64_t count = quotient_up(m->rows, m->class_rows);

    TRY(m->energies = allocate(a->c, count, sizeof *m->energies));
    for (uint64_t i = 0; i < count; i++) {
        unsigned value;
        int q;
        TRY(take_value(a, CLASS_TABLE, 0, &value));
        q = (int)value - 128 + (int)shifted(usual + 8, 4);
        if (q * step < -56 || q * step > 128)
            return broken(a);
        m->energies[i] = (int16_t)(q * step);
        usual = i ? usual + (int)shifted(16 * q - usual, 3) : 16 * q;
    }
    return 1;
}

/* See how a column leans, every eight rows. */
static void look_back(adaptive_column *own, uint64_t row)
{
    uint64_t depth = row < 256 ? row : 256, size = own->variance * depth * depth;
    uint64_t square = (uint64_t)((int64_t)own->lean * own->lean);

    own->context = 1;
    if (own->lean)
        own->context = (uint8_t)(1 + (12 * square >= size) + (6 * square >= size)
            + (3 * square >= size) + (3 * square >= 2 * size));
    own->is_mirrored = own->context > 1 && own->lean < 0;
    if (row >= 256)
        own->lean -= (int32_t)shifted(own->lean, 5);
}

static unsigned bucket_of(uint64_t variance)
{
    unsigned octave;

    if (variance > (1u << 24) - 1)
        variance = (1u << 24) - 1;
    if (variance < 4)
        return 0;
    octave = bit_length(variance) - 1;
    return 4 * (octave - 2) + (unsigned)(variance >> (octave - 2) & 3);
}

/* Decode a row of a matrix. */
static int read_row(adaptive *a, const matrix *m, adaptive_column *columns, uint64_t row)
{
    unsigned u = (unsigned)(m->energies[row / m->class_rows] + 56);
    uint64_t scale = power_of_root(128 + 2 * u);
    uint64_t share = 65536 / ((row < 255 ? row : 255) + a->gain);
    int64_t to_lean = (int64_t)power_of_root(312 - u);
    int64_t to_variance = (int64_t)power_of_root(496 - 2 * u);
    uint8_t *out = m->symbols + row * m->cols;

    for (uint64_t i = 0; i < m->cols; i++) {
        adaptive_column *own = &columns[i];
        unsigned parity = own->state >> a->path.parity_shift & 1, value;
        int symbol, k, point;
        uint64_t seen;
        if (row && row % 8 == 0)
            look_back(own, row);
        value = ADAPTIVE_BUCKETS * own->context + bucket_of(own->variance * scale >> 21);
        TRY(take_value(a, 2 * value + parity, own->is_mirrored ? 256 - parity : 0, &value));
        k = (int)value - 128;
        symbol = k + (int)(a->alphabet / 2);
        if (symbol < 0 || symbol >= (int)a->alphabet)
            return broken(a);
        out[i] = (uint8_t)symbol;
        point = (int)a->spacing * k + (int)parity;
        own->lean += (int32_t)shifted(point * to_lean, 8);
        seen = (uint64_t)(point * point * to_variance) >> 8;
        if (seen > 1u << 28)
            seen = 1u << 28;
        own->variance = (uint32_t)((own->variance * (65536 - share) + seen * share) >> 16);
        own->state = a->path.next[own->state][k & 1];
    }
    return 1;
}
