
/* ---- Outputs: stored tensors, banks of them, and ties ---- */

enum { MOST_BANK_DIMS = 2 * MOST_DIMS };

typedef struct {
    uint64_t shape[MOST_BANK_DIMS], count, symbols;
    double stored_bytes;
    unsigned dims;
    int is_transposed;
    tensor **members;
    uint8_t *data;
} bank;

typedef struct {
    span name; /* first, so that compare_spans sorts outputs */
    tensor *stored;
    bank *bank;
} output;

typedef struct {
    output *made;           /* in the order of names */
    const output **ordered; /* in the order of the checkpoint */
    bank *banks;
    uint64_t count, bank_count;
} output_list;

static int read_name(context *c, const uint8_t *at, span *name)
{
    head h;

    TRY(read_string(c, at, TEXT, "the name of an output", &h));
    name->text = h.body;
    name->bytes = (size_t)h.number;
    return 1;
}

static const output *find_output(const output *sorted, uint64_t count, const span *name)
{
    return count ? bsearch(name, sorted, (size_t)count, sizeof *sorted, compare_spans) : NULL;
}

static void sort_outputs(output *outputs, uint64_t count)
{
    if (count > 1)
        qsort(outputs, (size_t)count, sizeof *outputs, compare_spans);
}

/* Read the members of a bank, in a list of all stored tensors by name. */
static int read_bank_members(context *c, const uint8_t *at, const output_list *stored, bank *b)
{
    column names;

    TRY(open_array(c, at, "the members of a bank", &names));
    b->count = names.left;
    TRY(b->members = allocate(c, b->count, sizeof *b->members));
    for (uint64_t i = 0; i < b->count; i++) {
        span name;
        const output *found;
        const tensor *first;
        TRY(read_name(c, next(c, &names), &name));
        found = find_output(stored->made, stored->count, &name);
        if (!found || found->stored->is_in_bank)
            return fail(c, "a bank has a member that is not there, or in two banks");
        b->members[i] = found->stored;
        b->symbols += found->stored->symbols;
        found->stored->is_in_bank = 1;
        first = b->members[0];
        if (found->stored->type != first->type || found->stored->dims != first->dims
            || memcmp(found->stored->shape, first->shape, sizeof first->shape))
            return fail(c, "the members of a bank are not of one shape and dtype");
    }
    return b->count ? 1 : fail(c, "a bank has no members");
}

/* Read the axes of a bank; without them there is one, of all members. */
static int read_axes(context *c, column *fields, bank *b)
{
    uint64_t members = 1;
    unsigned least = 2;

    b->shape[0] = b->count;
    b->dims = 1;
    if (!fields->left)
        return 1;
    TRY(read_shape(c, next(c, fields), b->shape, &b->dims));
    for (unsigned i = 0; i < b->dims; i++)
        members *= b->shape[i];
    if (fields->left) {
        head h;
        const uint8_t *at = next(c, fields);
        TRY(at && read_head(c, at, &h));
        if (h.kind != SIMPLE || h.low != CBOR_TRUE || b->members[0]->dims != 2)
            return fail(c, "a transposed bank is not of matrices, or does not say true");
        b->is_transposed = 1;
        least = 0;
    }
    return b->dims >= least && members == b->count ? 1
        : fail(c, "the axes of a bank do not fit its members");
}

static int read_bank(context *c, const uint8_t *at, const output_list *stored, output *made)
{
    column fields;
    bank *b = made->bank;
    const tensor *first;
    const output *same;

    TRY(open_array(c, at, "a bank", &fields));
    if (fields.left < 2 || fields.left > 4)
        return fail(c, "a bank has neither 2, 3 nor 4 fields");
    TRY(read_name(c, next(c, &fields), &made->name));
    TRY(read_bank_members(c, next(c, &fields), stored, b) && read_axes(c, &fields, b));
    first = b->members[0];
    same = find_output(stored->made, stored->count, &made->name);
    if (b->dims ? same != NULL : !same || same->stored != first)
        return fail(c, "a bank has the name of a stored tensor, or a matrix another than its own");
    for (unsigned i = 0; i < first->dims; i++)
        b->shape[b->dims + i] = first->shape[b->is_transposed ? 1 - i : i];
    b->dims += first->dims;
    return 1;
}

/* Read a tie; its target is among the stored tensors and banks, which are sorted. */
static int read_tie(context *c, const uint8_t *at, const output_list *targets, plan *p,
                    output *made)
{
    column fields;
    span target;
    const output *found;

    TRY(open_array(c, at, "a tie", &fields));
    if (fields.left != 2)
        return fail(c, "a tie has not 2 fields");
    TRY(read_name(c, next(c, &fields), &made->name));
    TRY(read_name(c, next(c, &fields), &target));
    found = find_output(targets->made, targets->count, &target);
    if (!found)
        return fail(c, "a tie refers to something that is not there");
    made->stored = found->stored;
    made->bank = found->bank;
    return add_symbols(c, p, made->bank ? made->bank->symbols : made->stored->symbols);
}

/* Add the stored tensors that are in no bank. */
static void add_stored(plan *p, output_list *list)
{
    for (uint64_t i = 0; i < p->tensor_count; i++)
        if (!p->tensors[i].is_in_bank) {
            list->made[list->count].name = p->tensors[i].name;
            list->made[list->count++].stored = &p->tensors[i];
        }
}

static int read_banks(context *c, plan *p, column banks, output_list *list)
{
    output_list stored = {NULL, NULL, NULL, 0, 0};

    TRY(list->banks = allocate(c, banks.left, sizeof *list->banks));
    TRY(stored.made = allocate(c, p->tensor_count, sizeof *stored.made));
    add_stored(p, &stored);
    sort_outputs(stored.made, stored.count);
    for (; banks.left; list->bank_count++) {
        output *made = &list->made[list->count++];
        made->bank = &list->banks[list->bank_count];
        TRY(read_bank(c, next(c, &banks), &stored, made));
    }
    release(c, stored.made);
    return 1;
}

static int read_ties(context *c, plan *p, column ties, output_list *list)
{
    output_list targets;

    sort_outputs(list->made, list->count);
    targets = *list;
    while (ties.left)
        TRY(read_tie(c, next(c, &ties), &targets, p, &list->made[list->count++]));
    sort_outputs(list->made, list->count);
    return 1;
}

/* Put the outputs in the order that the header gives: each once. */
static int order_outputs(context *c, column names, output_list *list)
{
    uint8_t *taken = allocate(c, list->count, 1);

    TRY(taken);
    for (uint64_t i = 1; i < list->count; i++)
        if (!compare_spans(&list->made[i - 1], &list->made[i]))
            return fail(c, "two outputs have the same name");
    if (names.left != list->count)
        return fail(c, "the outputs are not the stored tensors, banks and ties");
    for (uint64_t i = 0; i < list->count; i++) {
        span name;
        const output *found;
        TRY(read_name(c, next(c, &names), &name));
        found = find_output(list->made, list->count, &name);
        if (!found || taken[found - list->made]++)
            return fail(c, "the outputs are not the stored tensors, banks and ties");
        list->ordered[i] = found;
    }
    release(c, taken);
    return 1;
}

static int read_outputs(context *c, const uint8_t *header, plan *p, output_list *list)
{
    column banks, ties, names;
    uint64_t most;

    TRY(open_column(c, header, "banks", &banks) && open_column(c, header, "ties", &ties));
    TRY(open_column(c, header, "outputs", &names));
    most = p->tensor_count + banks.left + ties.left;
    TRY(list->made = allocate(c, most, sizeof *list->made));
    TRY(list->ordered = allocate(c, most, sizeof *list->ordered));
    if (banks.left || ties.left) {
        TRY(read_banks(c, p, banks, list));
        add_stored(p, list);
        return read_ties(c, p, ties, list) && order_outputs(c, names, list);
    }
    if (names.left)
        return fail(c, "outputs are listed though there are neither ties nor banks");
    add_stored(p, list);
    for (uint64_t i = 0; i < list->count; i++)
        list->ordered[i] = &list->made[i];
    return 1;
}
