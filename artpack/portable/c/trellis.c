
/* ---- Trellises ---- */

typedef struct {
    unsigned parity_shift;   /* which bit of a state is the parity of its points */
    uint8_t next[256][2];    /* by state, and by whether k is odd */
} trellis;

/* Make the trellis of so many states; with one, all points have the parity 0. */
static void make_trellis(trellis *made, unsigned states)
{
    static const unsigned FIRST[] = {05, 013, 023, 045, 0103, 0235, 0515};
    static const unsigned SECOND[] = {02, 04, 04, 010, 024, 0126, 0362};
    unsigned bits = bit_length(states) - 1, inner = (states - 1) & ~1u;

    memset(made, 0, sizeof *made);
    made->parity_shift = 8;
    if (states == 1)
        return;
    made->parity_shift = bits - 1;
    for (unsigned state = 0; state < states; state++) {
        unsigned parity = state >> (bits - 1);
        unsigned even = (2 * state % states + parity) ^ (parity ? FIRST[bits - 2] & inner : 0);
        made->next[state][0] = (uint8_t)even;
        made->next[state][1] = (uint8_t)(even ^ (SECOND[bits - 2] & inner));
    }
}
