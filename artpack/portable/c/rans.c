
/* ---- rANS with a table in front, and in classes ---- */

enum { RANS_BITS = 24, RANS_STATES = 8, RANS_SLOT_BITS = 12, RANS_CODES = 8 };

typedef struct {
    unsigned count;           /* of symbols that occur */
    uint8_t symbols[256];
    uint32_t starts[257];     /* where the frequencies begin of each symbol that occurs */
    uint8_t slots[1 << RANS_SLOT_BITS];
} rans_table;

static int is_short(const bit_reader *bits)
{
    return bits->at >= bits->bits;
}

/* Read so many zeros up to a one; more than `most`, or none at all, is an error. */
static int read_zeros(bit_reader *bits, unsigned most, unsigned *zeros)
{
    for (*zeros = 0; *zeros <= most; ++*zeros) {
        TRY(!is_short(bits));
        if (take_bit(bits))
            return 1;
    }
    return 0;
}

static int read_rest(bit_reader *bits, unsigned count, unsigned *number)
{
    TRY(bits->bits - bits->at >= count);
    *number = *number << count | take_bits(bits, count);
    return 1;
}

static int read_gamma(bit_reader *bits, unsigned *number)
{
    unsigned zeros;

    TRY(read_zeros(bits, 9, &zeros));
    *number = 1;
    return read_rest(bits, zeros, number);
}

static int read_rice(bit_reader *bits, unsigned rice, unsigned *number)
{
    return read_zeros(bits, 1 << 14, number) && read_rest(bits, rice, number);
}

static int read_roots(bit_reader *bits, unsigned rice, unsigned alphabet, unsigned roots[256])
{
    unsigned before = 0, number;

    for (unsigned i = 0; i < alphabet; i++) {
        if (before) {
            TRY(read_rice(bits, rice, &number));
            TRY(!(number & 1) || number / 2 + 1 <= before);
            before = number & 1 ? before - number / 2 - 1 : before + number / 2;
        } else {
            TRY(read_gamma(bits, &number) && number - 1 <= alphabet - i);
            i += number - 1;
            if (i == alphabet)
                return 1;
            TRY(read_rice(bits, rice, &number));
            before = number + 1;
        }
        TRY(before <= 1 << RANS_BITS / 2);
        roots[i] = before;
    }
    return 1;
}

/* Return the bits that roots take with a Rice parameter. */
static uint64_t count_bits(const unsigned *roots, unsigned alphabet, unsigned rice)
{
    uint64_t bits = 0;
    unsigned before = 0;

    for (unsigned i = 0; i < alphabet; i++) {
        unsigned begin = i, number;
        if (before) {
            number = roots[i] < before ? 2 * (before - roots[i]) - 1 : 2 * (roots[i] - before);
        } else {
            while (i < alphabet && !roots[i])
                i++;
            bits += 2 * bit_length(i - begin + 1) - 1;
            if (i == alphabet)
                break;
            number = roots[i] - 1;
        }
        bits += (number >> rice) + 1 + rice;
        before = roots[i];
    }
    return bits;
}

static uint64_t square_root(uint64_t number)
{
    uint64_t root = 0;

    for (uint64_t bit = (uint64_t)1 << 31; bit; bit >>= 1)
        if ((root | bit) * (root | bit) <= number)
            root |= bit;
    return root;
}

/* Check that a table is the one that its symbols have. */
static int is_table_of(const uint8_t *symbols, uint64_t count, unsigned alphabet,
                       const unsigned *roots, unsigned rice)
{
    uint64_t counts[256] = {0}, own[256], sum = UINT64_MAX;

    for (uint64_t i = 0; i < count; i++)
        counts[symbols[i]]++;
    while (sum > 1u << RANS_BITS) {
        if (sum != UINT64_MAX)
            for (unsigned i = 0; i < alphabet; i++)
                counts[i] = counts[i] / 2 + counts[i] % 2;
        sum = 0;
        for (unsigned i = 0; i < alphabet; i++) {
            own[i] = (square_root(2 * counts[i]) + 1) / 2;
            sum += own[i] * own[i];
        }
    }
    for (unsigned i = 0; i < alphabet; i++)
        TRY(own[i] == roots[i]);
    sum = count_bits(roots, alphabet, rice);
    for (unsigned other = 0; other < RANS_CODES; other++)
        TRY(sum < count_bits(roots, alphabet, other) + (other >= rice));
    return 1;
}

/* Turn roots into frequencies; return whether that is possible. */
static int make_rans_table(const unsigned *roots, unsigned alphabet, rans_table *table)
{
    uint64_t sum = 0, before = 0;
    unsigned place = 0;

    table->count = 0;
    for (unsigned i = 0; i < alphabet; i++)
        sum += (uint64_t)roots[i] * roots[i];
    TRY(sum && sum <= 1u << RANS_BITS);
    for (unsigned i = 0; i < alphabet; i++) {
        if (!roots[i])
            continue;
        table->symbols[table->count] = (uint8_t)i;
        table->starts[table->count++] = (uint32_t)((before << RANS_BITS) / sum);
        before += (uint64_t)roots[i] * roots[i];
    }
    table->starts[table->count] = 1u << RANS_BITS;
    for (uint32_t slot = 0; slot < 1u << RANS_SLOT_BITS; slot++) {
        while (table->starts[place + 1] <= slot << (RANS_BITS - RANS_SLOT_BITS))
            place++;
        table->slots[slot] = (uint8_t)place;
    }
    return 1;
}

/* Return how many states a stream of so many symbols has. */
static unsigned count_states(const rans_table *table, uint64_t count)
{
    uint64_t largest = 0, others, low = count & ((1u << RANS_BITS) - 1);

    for (unsigned i = 0; i < table->count; i++)
        if (table->starts[i + 1] - table->starts[i] > largest)
            largest = table->starts[i + 1] - table->starts[i];
    others = (1u << RANS_BITS) - largest;
    others = (count >> RANS_BITS) * others + (low * others >> RANS_BITS);
    return others >= 1u << 17 ? RANS_STATES : 1;
}

typedef struct {
    const uint8_t *at, *end;
    unsigned zeros;
} word_reader;

static uint32_t take_word(word_reader *words)
{
    uint32_t word = 0;
    int bytes = 4 - (int)words->zeros;

    words->zeros = 0;
    for (; bytes; bytes--)
        word = word << 8 | *words->at++;
    return word;
}

/* Decode symbols into `out`, from so many states. */
static void run_rans(const rans_table *table, word_reader *words, uint64_t *states, unsigned lanes,
                     uint8_t *out, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t x = states[i & (lanes - 1)];
        uint32_t low = (uint32_t)x & ((1u << RANS_BITS) - 1), start;
        unsigned place = table->slots[low >> (RANS_BITS - RANS_SLOT_BITS)];
        while (table->starts[place + 1] <= low)
            place++;
        start = table->starts[place];
        x = (table->starts[place + 1] - start) * (x >> RANS_BITS) + low - start;
        if (x >> 32 == 0 && words->at != words->end)
            x = x << 32 | take_word(words);
        states[i & (lanes - 1)] = x;
        out[i] = table->symbols[place];
    }
}

/* Take the last symbols, which the encoder began with, out of a state. */
static int read_tail(const rans_table *table, uint64_t state, uint8_t *out, unsigned count)
{
    uint64_t number = state - ((uint64_t)1 << 32);

    TRY(state >> 32);
    for (unsigned i = count; i > 0; i--, number /= table->count)
        out[i - 1] = table->symbols[number % table->count];
    return !number;
}

static int decode_words(const rans_table *table, word_reader *words, uint8_t *out, uint64_t count)
{
    unsigned lanes = count_states(table, count), fitting = 0, fewer = 0;
    uint64_t states[RANS_STATES], power = table->count, body = 0;

    for (; power <= (uint64_t)1 << 32; fitting++)
        power *= table->count;
    if (lanes == 1 && fitting > count)
        fitting = (unsigned)count;
    if (lanes > 1)
        fewer = (unsigned)((RANS_STATES - (count - lanes * fitting) % RANS_STATES) % RANS_STATES);
    body = count - lanes * fitting + fewer;
    TRY((size_t)(words->end - words->at) + words->zeros >= 8 * lanes);
    for (unsigned i = 0; i < lanes; i++) {
        states[i] = (uint64_t)take_word(words) << 32;
        states[i] |= take_word(words);
    }
    run_rans(table, words, states, lanes, out, body);
    TRY(words->at == words->end);
    out += body;
    for (unsigned i = 0; i < lanes; i++) {
        unsigned length = fitting - (i >= lanes - fewer);
        TRY(read_tail(table, states[i], out, length));
        out += length;
    }
    return 1;
}

static int decode_rans(context *c, span in, uint8_t *out, uint64_t count, unsigned alphabet)
{
    bit_reader bits = {in.text, 8 * (uint64_t)in.bytes, 5};
    word_reader words;
    unsigned roots[256] = {0}, rice;
    rans_table table;
    int done;

    if (!count || alphabet == 1)
        return decode_nothing(c, in, out, count);
    if (!in.bytes)
        return wrong_size(c, "rans");
    rice = *in.text >> 3 & 7;
    words.zeros = *in.text >> 6;
    if (!read_roots(&bits, rice, alphabet, roots) || !finish_byte(&bits)
        || !make_rans_table(roots, alphabet, &table))
        return fail(c, "rans: the frequency table is impossible");
    words.at = in.text + bits.at / 8;
    words.end = in.text + in.bytes;
    if (table.count == 1) {
        memset(out, table.symbols[0], (size_t)count);
        done = words.at == words.end && !words.zeros;
    } else {
        done = words.at != words.end && *words.at
            && ((size_t)(words.end - words.at) + words.zeros) % 4 == 0
            && decode_words(&table, &words, out, count);
    }
    if (!done)
        return fail(c, "rans: the words do not fit the symbols");
    return is_table_of(out, count, alphabet, roots, rice) ? 1
        : fail(c, "rans: the frequency table is not that of the symbols");
}
