
/* ---- Floating-point numbers ---- */

static float from_bits(uint32_t bits)
{
    float number;

    memcpy(&number, &bits, sizeof number);
    return number;
}

static uint32_t to_bits(float number)
{
    uint32_t bits;

    memcpy(&bits, &number, sizeof bits);
    return bits;
}

/* Return 2 to the power of an integer, -1022 to 1023. */
static double power_of_two(int exponent)
{
    uint64_t bits = (uint64_t)(exponent + 1023) << 52;
    double power;

    memcpy(&power, &bits, sizeof power);
    return power;
}

/* Return 2 to the power of a number from 0 to below 1, to 52 bits: the series of its logarithm. */
static double exp2_of_fraction(double fraction)
{
    double x = fraction * 0.69314718055994530942, sum = 1;

    for (int i = 19; i > 0; i--)
        sum = 1 + sum * x / i;
    return sum;
}

/* Return what small floats stand for: sign, exponent, fraction; a bias; and no special values. */
static float from_small(unsigned bits, unsigned exponent_bits, unsigned fraction_bits)
{
    unsigned sign = bits >> (exponent_bits + fraction_bits) & 1;
    unsigned exponent = bits >> fraction_bits & ((1u << exponent_bits) - 1);
    unsigned fraction = bits & ((1u << fraction_bits) - 1);
    int bias = (1 << (exponent_bits - 1)) - 1;
    double size = exponent ? fraction + (1u << fraction_bits) : fraction;

    size *= power_of_two((exponent ? (int)exponent : 1) - bias - (int)fraction_bits);
    return (float)(sign ? -size : size);
}

/* Return an fp16 as an fp32; infinity and NaN as infinity. */
static float from_half(unsigned bits)
{
    if ((bits & 0x7c00) == 0x7c00)
        return from_bits(bits & 0x8000 ? 0xff800000 : 0x7f800000);
    return from_small(bits, 5, 10);
}

/*
 * Round to a smaller type, to nearest, ties to even. What is too large becomes `above`, the bits
 * of infinity, or of NaN in a type without it.
 */
static uint32_t to_small(float number, int exponent_bits, int fraction_bits, uint32_t above)
{
    uint32_t bits = to_bits(number), sign = bits >> 31, size = bits & 0x7fffffff, kept, half;
    int bias = (1 << (exponent_bits - 1)) - 1, exponent = (int)(size >> 23) - 127;
    int shift = 23 - fraction_bits;
    uint32_t fraction = (size & 0x7fffff) | (exponent > -127 ? 0x800000 : 0);

    sign <<= exponent_bits + fraction_bits;
    if (exponent > bias + 1)
        return sign | above;
    if (exponent < 1 - bias)
        shift += 1 - bias - exponent;
    if (shift > 25)
        return sign;
    half = 1u << (shift - 1);
    kept = (fraction + half - 1 + (fraction >> shift & 1)) >> shift;
    if (exponent >= 1 - bias)
        kept += (uint32_t)(exponent + bias - 1) << fraction_bits;
    return sign | (kept > above ? above : kept);
}
