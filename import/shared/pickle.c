#include "import/shared/pickle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_STACK = 1 << 22, /* Python's own pickler puts at most 1000 items there, or a tuple */
    MOST_MEMO = 1 << 24,
    MOST_ITEMS = 1 << 23 /* lists and dicts */
};

int pickle_refuse(const struct pickle *p, const char *what)
{
    return blob_refuse(p->blob, p->err, "%s at byte %td of its pickle; nothing in it was run", what,
                       p->at - p->bytes);
}

/* ---- bytes ---- */

static const uint8_t *take(struct pickle *p, uint64_t n)
{
    const uint8_t *bytes = p->at;

    if (n > (uint64_t)(p->end - p->at)) {
        (void)pickle_refuse(p, "it ends early");
        return NULL;
    }
    p->at += n;
    return bytes;
}

/* A little-endian number of that many bytes. */
static int take_number(struct pickle *p, int width, uint64_t *number)
{
    const uint8_t *bytes = take(p, (uint64_t)width);

    *number = 0;
    for (int i = 0; bytes && i < width; i++)
        *number |= (uint64_t)bytes[i] << (8 * i);
    return bytes ? 0 : -1;
}

/* ---- the stack ---- */

static int push(struct pickle *p, const struct pickled *value)
{
    if (p->depth == p->stack_capacity) {
        size_t capacity = p->stack_capacity ? 2 * p->stack_capacity : 64;
        struct pickled *stack = capacity <= MOST_STACK ? realloc(p->stack, capacity * sizeof *stack) : NULL;
        if (capacity > MOST_STACK)
            return pickle_refuse(p, "more values than anybody writes");
        if (!stack)
            return error_no_memory(p->err, p->blob->path);
        p->stack = stack;
        p->stack_capacity = capacity;
    }
    p->stack[p->depth++] = *value;
    return 0;
}

static int push_kind(struct pickle *p, enum pickled_kind kind, int64_t integer)
{
    return push(p, &(struct pickled){.kind = kind, .integer = integer});
}

static int pop(struct pickle *p, struct pickled *value)
{
    if (p->depth == 0 || p->stack[p->depth - 1].kind == PICKLED_MARK)
        return pickle_refuse(p, "a value is missing");
    *value = p->stack[--p->depth];
    return 0;
}

/* How many values lie above the last mark. */
static int above_mark(struct pickle *p, size_t *n)
{
    *n = 0;
    while (*n < p->depth && p->stack[p->depth - 1 - *n].kind != PICKLED_MARK)
        (*n)++;
    return *n < p->depth ? 0 : pickle_refuse(p, "a mark is missing");
}

/* ---- lists and dicts ---- */

int pickle_new_items(struct pickle *p, enum pickled_kind kind, struct pickled *value)
{
    struct pickled_items *items;

    if (++p->n_items > MOST_ITEMS)
        return pickle_refuse(p, "more lists than anybody writes");
    items = slab_claim(&p->slab, sizeof *items);
    if (!items)
        return error_no_memory(p->err, p->blob->path);
    *items = (struct pickled_items){.next = p->all};
    p->all = items;
    *value = (struct pickled){.kind = kind, .items = items};
    return 0;
}

static int append(struct pickle *p, struct pickled_items *to, const struct pickled *values, size_t n)
{
    if (n > to->capacity - to->n) {
        size_t capacity = to->n + n > 2 * to->capacity ? to->n + n : 2 * to->capacity;
        struct pickled *more = realloc(to->values, capacity * sizeof *more);
        if (!more)
            return error_no_memory(p->err, p->blob->path);
        to->values = more;
        to->capacity = capacity;
    }
    if (n > 0)
        memcpy(to->values + to->n, values, n * sizeof *values);
    to->n += n;
    return 0;
}

/* The n values on top become a tuple. */
static int make_tuple(struct pickle *p, size_t n)
{
    struct pickled tuple;

    if (pickle_new_items(p, PICKLED_LIST, &tuple) || append(p, tuple.items, p->stack + p->depth - n, n))
        return -1;
    p->depth -= n;
    return push(p, &tuple);
}

/* The n values on top go into what lies beneath them, and beneath the mark that may be there. */
static int put_into(struct pickle *p, enum pickled_kind kind, size_t n, size_t mark)
{
    struct pickled *to = p->depth > n + mark ? &p->stack[p->depth - n - mark - 1] : NULL;

    if (!to || to->kind != kind || (kind == PICKLED_DICT && n % 2 != 0))
        return pickle_refuse(p, "items without a list or dict");
    for (size_t i = 0; i < n; i++) {
        if (p->stack[p->depth - n + i].kind == PICKLED_MARK)
            return pickle_refuse(p, "a value is missing");
    }
    if (append(p, to->items, p->stack + p->depth - n, n))
        return -1;
    p->depth -= n + mark;
    return 0;
}

/* ---- opcodes ---- */

static int op_none(struct pickle *p, int opcode)
{
    (void)opcode;
    return push_kind(p, PICKLED_NONE, 0);
}

static int op_truth(struct pickle *p, int opcode)
{
    return push_kind(p, PICKLED_BOOL, opcode == 0x88);
}

static int op_integer(struct pickle *p, int opcode)
{
    uint64_t number;
    int width = opcode == 'K' ? 1 : opcode == 'M' ? 2 : 4;

    if (take_number(p, width, &number))
        return -1;
    return push_kind(p, PICKLED_INTEGER, opcode == 'J' ? (int32_t)number : (int64_t)number);
}

/* Of any length, in two's complement. */
static int op_long(struct pickle *p, int opcode)
{
    uint64_t n, number = 0;
    const uint8_t *bytes;

    if (take_number(p, opcode == 0x8a ? 1 : 4, &n) || !(bytes = take(p, n)))
        return -1;
    if (n > 8)
        return push_kind(p, PICKLED_OTHER, 0);
    if (n > 0 && (bytes[n - 1] & 0x80))
        number = UINT64_MAX;
    for (uint64_t i = n; i > 0; i--)
        number = number << 8 | bytes[i - 1];
    return push_kind(p, PICKLED_INTEGER, (int64_t)number);
}

/* Big-endian, unlike all else. */
static int op_real(struct pickle *p, int opcode)
{
    const uint8_t *bytes = take(p, 8);
    uint64_t bits = 0;
    struct pickled value = {.kind = PICKLED_REAL};

    (void)opcode;
    for (int i = 0; bytes && i < 8; i++)
        bits = bits << 8 | bytes[i];
    memcpy(&value.real, &bits, sizeof bits);
    return bytes ? push(p, &value) : -1;
}

/* Text, or bytes, after their length. */
static int op_text(struct pickle *p, int opcode)
{
    bool text = opcode == 'X' || opcode == 'T' || opcode == 'U' || opcode == 0x8c || opcode == 0x8d;
    int width = opcode == 'U' || opcode == 'C' || opcode == 0x8c     ? 1
                : opcode == 0x8d || opcode == 0x8e || opcode == 0x96 ? 8
                                                                     : 4;
    uint64_t n;
    const uint8_t *bytes;

    if (take_number(p, width, &n) || !(bytes = take(p, n)))
        return -1;
    return push(p, &(struct pickled){.kind = text ? PICKLED_TEXT : PICKLED_OTHER,
                                     .length = (uint32_t)n,
                                     .text = (const char *)bytes});
}

static int op_mark(struct pickle *p, int opcode)
{
    (void)opcode;
    return push_kind(p, PICKLED_MARK, 0);
}

static int op_empty(struct pickle *p, int opcode)
{
    struct pickled value;

    return pickle_new_items(p, opcode == '}' ? PICKLED_DICT : PICKLED_LIST, &value) || push(p, &value) ? -1
                                                                                                       : 0;
}

/* Of one, two or three, or down to the mark. */
static int op_tuple(struct pickle *p, int opcode)
{
    size_t n = opcode >= 0x85 && opcode <= 0x87 ? (size_t)(opcode - 0x84) : 0, there;
    bool marked = n == 0;

    if (marked ? above_mark(p, &n) : p->depth < n)
        return marked ? -1 : pickle_refuse(p, "a value is missing");
    there = p->depth - n;
    for (size_t i = there; i < p->depth; i++) {
        if (p->stack[i].kind == PICKLED_MARK)
            return pickle_refuse(p, "a value is missing");
    }
    if (make_tuple(p, n))
        return -1;
    if (marked) { /* the mark goes */
        p->stack[there - 1] = p->stack[there];
        p->depth--;
    }
    return 0;
}

static int op_append(struct pickle *p, int opcode)
{
    size_t n;

    if (opcode == 'a')
        return put_into(p, PICKLED_LIST, 1, 0);
    return above_mark(p, &n) || put_into(p, PICKLED_LIST, n, 1) ? -1 : 0;
}

static int op_set(struct pickle *p, int opcode)
{
    size_t n;

    if (opcode == 's')
        return put_into(p, PICKLED_DICT, 2, 0);
    return above_mark(p, &n) || put_into(p, PICKLED_DICT, n, 1) ? -1 : 0;
}

/* ---- the memo ---- */

static int remember(struct pickle *p, uint64_t i)
{
    if (p->depth == 0 || p->stack[p->depth - 1].kind == PICKLED_MARK)
        return pickle_refuse(p, "a value is missing");
    /* numbers are given one after the other */
    if (i >= MOST_MEMO || i > (uint64_t)(p->at - p->bytes))
        return pickle_refuse(p, "a memo of a number that nobody gives");
    if (i >= p->memo_size) {
        size_t size = i < 64 ? 64 : 2 * (size_t)i;
        struct pickled *memo = realloc(p->memo, size * sizeof *memo);
        if (!memo)
            return error_no_memory(p->err, p->blob->path);
        for (size_t j = p->memo_size; j < size; j++)
            memo[j] = (struct pickled){.kind = PICKLED_MARK};
        p->memo = memo;
        p->memo_size = size;
    }
    p->memo[i] = p->stack[p->depth - 1];
    p->memo_given += i >= p->memo_given ? i + 1 - p->memo_given : 0;
    return 0;
}

static int op_put(struct pickle *p, int opcode)
{
    uint64_t i = p->memo_given;

    if (opcode != 0x94 && take_number(p, opcode == 'q' ? 1 : 4, &i))
        return -1;
    return remember(p, i);
}

static int op_get(struct pickle *p, int opcode)
{
    uint64_t i;

    if (take_number(p, opcode == 'h' ? 1 : 4, &i))
        return -1;
    if (i >= p->memo_size || p->memo[i].kind == PICKLED_MARK)
        return pickle_refuse(p, "a memo that was not given");
    return push(p, &p->memo[i]);
}

/* ---- what else there is ---- */

static int op_protocol(struct pickle *p, int opcode)
{
    uint64_t protocol;

    (void)opcode;
    if (take_number(p, 1, &protocol))
        return -1;
    return protocol >= 2 && protocol <= 5 ? 0 : pickle_refuse(p, "a protocol other than 2 to 5");
}

static int op_frame(struct pickle *p, int opcode)
{
    uint64_t n;

    (void)opcode;
    return take_number(p, 8, &n);
}

/* Up to the end of the line. */
static int take_line(struct pickle *p, struct pickled *line)
{
    const uint8_t *end = memchr(p->at, '\n', (size_t)(p->end - p->at));

    if (!end || end - p->at > UINT16_MAX)
        return pickle_refuse(p, "a name without an end");
    *line = (struct pickled){
        .kind = PICKLED_TEXT, .length = (uint32_t)(end - p->at), .text = (const char *)p->at};
    p->at = end + 1;
    return 0;
}

static int op_global(struct pickle *p, int opcode)
{
    struct pickled module, name, value;

    if (opcode == 'c' ? take_line(p, &module) || take_line(p, &name) : pop(p, &name) || pop(p, &module))
        return -1;
    return rebuild_global(p, &module, &name, &value) || push(p, &value) ? -1 : 0;
}

static int op_persistent(struct pickle *p, int opcode)
{
    struct pickled id, value;

    (void)opcode;
    return pop(p, &id) || rebuild_storage(p, &id, &value) || push(p, &value) ? -1 : 0;
}

static int op_reduce(struct pickle *p, int opcode)
{
    struct pickled arguments, callable, value;

    (void)opcode;
    return pop(p, &arguments) || pop(p, &callable) || rebuild_call(p, &callable, &arguments, &value) ||
                   push(p, &value)
               ? -1
               : 0;
}

/* Attributes of an OrderedDict: a state_dict has its versions there. They are not wanted. */
static int op_build(struct pickle *p, int opcode)
{
    struct pickled state;

    (void)opcode;
    if (pop(p, &state))
        return -1;
    return p->depth > 0 && p->stack[p->depth - 1].kind == PICKLED_DICT
               ? 0
               : pickle_refuse(p, "attributes of what is no dict");
}

static int (*const opcodes[256])(struct pickle *p, int opcode) = {
    ['N'] = op_none,    [0x88] = op_truth,  [0x89] = op_truth,     ['K'] = op_integer,   ['M'] = op_integer,
    ['J'] = op_integer, [0x8a] = op_long,   [0x8b] = op_long,      ['G'] = op_real,      ['X'] = op_text,
    [0x8c] = op_text,   [0x8d] = op_text,   ['T'] = op_text,       ['U'] = op_text,      ['B'] = op_text,
    ['C'] = op_text,    [0x8e] = op_text,   [0x96] = op_text,      ['('] = op_mark,      ['}'] = op_empty,
    [']'] = op_empty,   [')'] = op_empty,   [0x8f] = op_empty,     ['t'] = op_tuple,     [0x91] = op_tuple,
    [0x85] = op_tuple,  [0x86] = op_tuple,  [0x87] = op_tuple,     ['a'] = op_append,    ['e'] = op_append,
    [0x90] = op_append, ['s'] = op_set,     ['u'] = op_set,        ['q'] = op_put,       ['r'] = op_put,
    [0x94] = op_put,    ['h'] = op_get,     ['j'] = op_get,        [0x80] = op_protocol, [0x95] = op_frame,
    ['c'] = op_global,  [0x93] = op_global, ['Q'] = op_persistent, ['R'] = op_reduce,    ['b'] = op_build,
};

static int unknown(const struct pickle *p, int opcode)
{
    return blob_refuse(
        p->blob, p->err,
        "opcode 0x%02x at byte %td of its pickle is none that torch.save writes for tensors, numbers, "
        "text, lists and dicts; nothing in it was run",
        (unsigned)opcode, p->at - p->bytes - 1);
}

static int run(struct pickle *p)
{
    for (;;) {
        const uint8_t *byte = take(p, 1);
        if (!byte)
            return -1;
        if (*byte == '.')
            return 0;
        if (!opcodes[*byte])
            return unknown(p, *byte);
        if (opcodes[*byte](p, *byte))
            return -1;
    }
}

int pickle_read(struct pickle *p, const struct blob *blob, const uint8_t *bytes, size_t n,
                struct pickled *value, struct error *err)
{
    *p = (struct pickle){.blob = blob, .bytes = bytes, .at = bytes, .end = bytes + n, .err = err};
    return run(p) || pop(p, value) ? -1 : 0;
}

void pickle_release(struct pickle *p)
{
    for (struct pickled_items *i = p->all; i; i = i->next)
        free(i->values);
    slab_release(&p->slab);
    free(p->stack);
    free(p->memo);
    *p = (struct pickle){0};
}
