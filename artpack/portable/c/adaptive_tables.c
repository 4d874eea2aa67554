
/* ---- The adaptive coder: tables ---- */

enum {
    ADAPTIVE_BUCKETS = 88, ADAPTIVE_CONTEXTS = 6,
    CLASS_TABLE = 2 * ADAPTIVE_BUCKETS * ADAPTIVE_CONTEXTS, ADAPTIVE_TABLES = CLASS_TABLE + 1,
    ESCAPE = 255, SLOT_BITS = 12, SLOTS = 1 << SLOT_BITS, MOST_LANES = 1024
};

typedef struct {
    uint64_t counts[256], total, refined; /* refined: the total at that time */
    uint32_t expected[255];
    uint16_t starts[257];
    uint8_t coarse[SLOTS / 16];           /* the code of each 16th place */
} code_table;

/* Return 2 to the power of i / 16, rounded down, for i up to 496. */
static uint64_t power_of_root(unsigned i)
{
    /* 2**(31 + j / 16), rounded down, which changes nothing in what is rounded down again. */
    static const uint32_t ROOTS[16] = {
        0x80000000, 0x85aac367, 0x8b95c1e3, 0x91c3d373, 0x9837f051, 0x9ef53260, 0xa5fed6a9,
        0xad583eea, 0xb504f333, 0xbd08a39f, 0xc5672a11, 0xce248c15, 0xd744fcca, 0xe0ccdeec,
        0xeac0c6e7, 0xf5257d15,
    };

    return ROOTS[i % 16] >> (31 - i / 16);
}

/* Fill in how much energy each code stands for, in a bucket: what the text calls P. */
static void fill_likelihoods(uint64_t likelihoods[256], unsigned bucket, unsigned spacing,
                             unsigned parity)
{
    uint64_t energies[256], least = UINT64_MAX;

    for (int i = 0; i < 256; i++) {
        int64_t point = (int64_t)spacing * (i - 128) + parity;
        energies[i] = (uint64_t)(point * point) * 47274 * 128 / (9 + 2 * (bucket % 4))
            >> (8 + bucket / 4);
        if (energies[i] < least)
            least = energies[i];
    }
    for (int i = 0; i < 256; i++) {
        uint64_t lost = energies[i] - least;
        likelihoods[i] = lost < 480 ? power_of_root(480 - (unsigned)lost) : 0;
    }
}

/* Add a bucket's share, `weight` times what the text calls Q, to what codes are expected. */
static void add_expectations(uint64_t sums[256], int bucket, unsigned spacing, unsigned parity,
                             unsigned weight)
{
    uint64_t likelihoods[256], sum = 0;

    bucket = bucket < 0 ? 0 : bucket >= ADAPTIVE_BUCKETS ? ADAPTIVE_BUCKETS - 1 : bucket;
    fill_likelihoods(likelihoods, (unsigned)bucket, spacing, parity);
    for (int i = 0; i < 256; i++)
        sum += likelihoods[i];
    for (int i = 0; i < 256; i++)
        sums[i] += weight * ((likelihoods[i] << 24) / sum);
}

static void expect_symbols(code_table *table, unsigned number, unsigned spacing, unsigned alphabet)
{
    int bucket = (int)(number / 2 % ADAPTIVE_BUCKETS), first = 128 - (int)(alphabet / 2);
    unsigned parity = number % 2;
    uint64_t sums[256] = {0}, sum = 1;

    add_expectations(sums, bucket - 4, spacing, parity, 10);
    add_expectations(sums, bucket, spacing, parity, 20);
    add_expectations(sums, bucket + 4, spacing, parity, 10);
    add_expectations(sums, bucket + 8, spacing, parity, 1);
    for (int i = 0; i < 256; i++)
        sum += sums[i];
    for (int i = first; i < first + (int)alphabet && i < ESCAPE; i++)
        table->expected[i] = (uint32_t)((sums[i] << 20) / sum);
}

static void expect_classes(code_table *table)
{
    uint64_t sum = 0, likelihoods[256] = {0};

    for (unsigned i = 128 - 59; i < 128 + 60; i++) {
        likelihoods[i] = power_of_root(480 - 8 * (i < 128 ? 128 - i : i - 128));
        sum += likelihoods[i];
    }
    for (int i = 0; i < ESCAPE; i++)
        table->expected[i] = (uint32_t)((likelihoods[i] << 17) / sum);
}

/* Make frequencies of counts and expectations. */
static void refine(code_table *table)
{
    uint64_t sum = 128, before = 0, factor;
    unsigned code = 0;

    for (int i = 0; i < ESCAPE; i++)
        sum += table->expected[i] + (table->counts[i] << 13);
    factor = ((uint64_t)(SLOTS - 1) << 51) / sum;
    for (int i = 0; i < ESCAPE; i++) {
        table->starts[i] = (uint16_t)(before * factor >> 51);
        before += table->expected[i] + (table->counts[i] << 13);
    }
    table->starts[ESCAPE] = (uint16_t)(before * factor >> 51);
    table->starts[256] = SLOTS;
    for (unsigned slot = 0; slot < SLOTS; slot += 16) {
        while (table->starts[code + 1] <= slot)
            code++;
        table->coarse[slot / 16] = (uint8_t)code;
    }
    table->refined = table->total;
}
