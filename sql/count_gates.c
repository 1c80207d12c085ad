/* Rows that come by key and have a gate each. Counting says how many decisions a group has; their gates are
 * then gathered for as many groups as a window has room for, a part of a large group if need be, in one more
 * scan of what the window's keys leave. SQLite would sort all rows instead, at five times the cost. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sql/count_block.h"

/* Gates in memory: 128 MB. */
enum { MAX_GATES = 1 << 24 };

struct gate_group {
    int64_t at;         /* of the next decision that the scan comes to */
    int64_t first, end; /* of those within the window */
};

static const uint32_t no_group = UINT32_MAX, not_looked = UINT32_MAX - 1;

/* ---- what is in the window ---- */

/* Kept from window to window: fresh memory costs as much as what is put into it. */
static bool reserve_window(struct gate_window *w)
{
    if (w->n > w->capacity) {
        free(w->gates);
        w->gates = malloc((size_t)w->n * sizeof *w->gates);
        w->capacity = w->gates != NULL ? w->n : 0;
    }
    struct gate_group *groups = realloc(w->groups, (w->n_groups + 1) * sizeof *groups);
    w->groups = groups != NULL ? groups : w->groups;
    return w->gates != NULL && groups != NULL;
}

/* From the decision that the cursor stands on. */
static int lay_out(struct cursor *c, struct error *err)
{
    struct gate_window *w = &c->window;
    size_t last = c->group;
    int64_t before = c->groups.sums[c->group].decisions - c->left, n = -before;
    while (last < c->groups.n && n < MAX_GATES) {
        n += c->groups.sums[last++].decisions;
    }
    w->first_group = c->group;
    w->n_groups = last - c->group;
    w->n = n < MAX_GATES ? n : MAX_GATES;
    if (!reserve_window(w)) {
        return error_no_memory(err, "gates in order");
    }
    int64_t at = -before;
    for (size_t i = 0; i < w->n_groups; i++) {
        int64_t end = at + c->groups.sums[c->group + i].decisions;
        w->groups[i] = (struct gate_group){at, at > 0 ? at : 0, end < w->n ? end : w->n};
        at = end;
    }
    return 0;
}

/* Leaves of the scan what the keys of the window's groups can be: those that they have in common, and the
 * span of the first that differs. */
static void start_narrowed(struct cursor *c)
{
    struct gate_window *w = &c->window;
    struct scan_range whole[N_KEYS];
    const int64_t *first = groups_key(&c->groups, w->first_group);
    const int64_t *last = groups_key(&c->groups, w->first_group + w->n_groups - 1);
    memcpy(whole, c->range, sizeof whole);
    for (int i = 0; i < c->plan.n_keys; i++) {
        if (c->plan.keys[i].field != FIELD_SPLIT) { /* whose numbers are ours */
            bool down = c->plan.keys[i].descending;
            c->range[c->plan.keys[i].field] =
                (struct scan_range){down ? last[i] : first[i], down ? first[i] : last[i]};
        }
        if (first[i] != last[i]) {
            break;
        }
    }
    cursor_start_scan(c);
    memcpy(c->range, whole, sizeof whole);
}

/* ---- a block ---- */

static uint32_t group_of_key(const struct cursor *c)
{
    size_t i = groups_number(&c->groups, c->key) - c->window.first_group;
    return i < c->window.n_groups ? (uint32_t)i : no_group;
}

static void put_gate(struct gate_window *w, uint32_t group, const struct packed_block *p, size_t decision)
{
    struct gate_group *g = &w->groups[group];
    int64_t at = g->at++;
    if (at >= g->first && at < g->end) {
        w->gates[at] = p->gates.bytes != NULL ? gate_from_stored(p, packed_gate(p, decision)) : NAN;
    }
}

static void gather_decisions(struct cursor *c)
{
    cursor_enter_block(c);
    while (cursor_step(c)) {
        if (cursor_passes(c)) {
            count_set_keys(c);
            uint32_t group = group_of_key(c);
            if (group != no_group) {
                put_gate(&c->window, group, &c->scan.block.packed, (size_t)c->decision);
            }
        }
    }
}

static bool reserve_experts(struct gate_window *w, int n)
{
    if (n > w->n_experts) {
        uint32_t *more = realloc(w->of_expert, (size_t)n * sizeof *more);
        if (more == NULL) {
            return false;
        }
        w->of_expert = more;
        w->n_experts = n;
    }
    return true;
}

static uint32_t group_of_expert(struct cursor *c, int expert)
{
    if (!cursor_in_range(c, FIELD_EXPERT, expert)) {
        return no_group;
    }
    count_set_key(c, FIELD_EXPERT, expert);
    return group_of_key(c);
}

/* Where nothing but the expert tells the decisions of a block apart: the group of each is looked up once. */
static int gather_by_expert(struct cursor *c, struct error *err)
{
    struct gate_window *w = &c->window;
    const struct scan_block *b = &c->scan.block;
    if (!reserve_experts(w, b->n_experts)) {
        return error_no_memory(err, "gates in order");
    }
    for (int e = 0; e < b->n_experts; e++) {
        w->of_expert[e] = not_looked;
    }
    for (size_t i = 0; i < (size_t)b->n_decisions; i++) {
        int e = packed_expert(&b->packed, b->n_experts, i);
        if (w->of_expert[e] == not_looked) {
            w->of_expert[e] = group_of_expert(c, e);
        }
        if (w->of_expert[e] != no_group) {
            put_gate(w, w->of_expert[e], &b->packed, i);
        }
    }
    return 0;
}

static int gather_block(struct cursor *c, struct error *err)
{
    if (count_enter_keys(c, err) != 0) {
        return -1;
    }
    if (!c->by_decision && !c->uses[FIELD_SLOT] && !c->uses[FIELD_DROPPED]) {
        return gather_by_expert(c, err);
    }
    gather_decisions(c);
    return 0;
}

/* ---- rows ---- */

static int fill_window(struct cursor *c, struct error *err)
{
    int more;
    if (lay_out(c, err) != 0) {
        return -1;
    }
    start_narrowed(c);
    while ((more = scan_next_block_of_any(&c->scan, err)) == 1) {
        if (gather_block(c, err) != 0) {
            return -1;
        }
    }
    c->window.at = 0;
    return more;
}

int count_gates_next(struct cursor *c, struct error *err)
{
    return ++c->window.at < c->window.n ? 0 : fill_window(c, err);
}

void count_gates_release(struct cursor *c)
{
    free(c->window.gates);
    free(c->window.groups);
    free(c->window.of_expert);
    c->window = (struct gate_window){0};
}
