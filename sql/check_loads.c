/* Loads: each has its layer's experts, the parts of a domain add up to the whole, the whole to the tokens
 * and, over the steps of a window, to the window's. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sql/check.h"
#include "sql/loads.h"

struct entries { /* (n) of one load, or a sum of loads */
    struct load_entry *items;
    int n, capacity;
};

struct layer_loads {  /* a layer of the run at hand */
    int n_experts, k; /* 0: no MoE layer; varies */
    bool sums_to_one;
    struct entries window; /* sums of the window's steps so far; n 0: none */
};

struct loads {
    struct check *check;
    struct check_finding *experts, *domains, *tokens, *probabilities, *windows;
    struct statement rows, passes, window;
    bool more_passes;
    bool has_windows; /* those of schema version 1 are summed as they are read */
    struct layer_loads layers[LOGBOOK_MAX_LAYERS];
    struct entries entries, whole, parts; /* the row's; the group's */
    /* The run, pass and group at hand: a group is the rows of one layer in one pass. */
    int64_t run_id, step, layer, pass_tokens; /* -1: tokens not known */
    char split[64], status[16];
    bool has_whole, has_parts, broken; /* broken: a part of the group is no load of its layer */
    int64_t window_last, windows_met;  /* last step in the window at hand, -1: none */
};

/* ---- entries ---- */

static int entries_reserve(struct entries *e, int n)
{
    if (n <= e->capacity) {
        return 0;
    }
    int capacity = n > 2 * e->capacity ? n : 2 * e->capacity;
    void *items = realloc(e->items, (size_t)capacity * sizeof *e->items);
    if (items == NULL) {
        return -1;
    }
    e->items = items;
    e->capacity = capacity;
    return 0;
}

/* 1: read, 0: the text is no load, -1: short of memory. */
static int entries_read(struct entries *e, const char *text)
{
    struct load_entry entry;
    int result;
    for (e->n = 0; (result = load_entry_next(&text, &entry)) == 1; e->n++) {
        if (e->n >= CODEC_MAX_EXPERTS || entries_reserve(e, e->n + 1) != 0) {
            return e->n >= CODEC_MAX_EXPERTS ? 0 : -1;
        }
        e->items[e->n] = entry;
    }
    return result == 0;
}

/* Adds to a sum, which is empty when its n is 0. */
static int entries_add(struct entries *sum, const struct entries *e)
{
    if (sum->n == 0) {
        if (entries_reserve(sum, e->n) != 0) {
            return -1;
        }
        sum->n = e->n;
        memcpy(sum->items, e->items, (size_t)e->n * sizeof *e->items);
        return 0;
    }
    for (int i = 0; i < e->n && i < sum->n; i++) {
        sum->items[i].assignments += e->items[i].assignments;
        sum->items[i].dropped += e->items[i].dropped;
        sum->items[i].gate_sum += e->items[i].gate_sum;
        sum->items[i].probability_sum += e->items[i].probability_sum;
    }
    return 0;
}

static bool sums_agree(double a, double b)
{
    return isnan(a) || isnan(b) || fabs(a - b) <= rounding_of(a);
}

/* The first expert for which two loads differ; -1: none does. */
static int first_difference(const struct entries *a, const struct entries *b)
{
    for (int i = 0; i < a->n; i++) {
        const struct load_entry *x = &a->items[i], *y = &b->items[i];
        if (i >= b->n || x->assignments != y->assignments || x->dropped != y->dropped ||
            !sums_agree(x->gate_sum, y->gate_sum) || !sums_agree(x->probability_sum, y->probability_sum)) {
            return i;
        }
    }
    return a->n == b->n ? -1 : a->n;
}

/* ---- a group ---- */

static void compare_domains(struct loads *l)
{
    l->domains->checked++;
    int e = l->has_whole ? first_difference(&l->whole, &l->parts) : 0;
    if (e >= 0) {
        violated(l->domains,
                 "run %" PRId64 ", step %" PRId64 " (%s), layer %" PRId64
                 ", expert %d: the domains do not add up to %s",
                 l->run_id, l->step, l->split, l->layer, e,
                 l->has_whole ? "the whole" : "a whole, which is not there");
    }
}

static void compare_tokens(struct loads *l, const struct layer_loads *layer)
{
    int64_t decisions = 0;
    double probability = 0;
    for (int i = 0; i < l->whole.n; i++) {
        decisions += l->whole.items[i].assignments + l->whole.items[i].dropped;
        probability += l->whole.items[i].probability_sum;
    }
    if (layer->k > 0) {
        l->tokens->checked++;
        if (decisions % layer->k != 0 || decisions / layer->k != l->pass_tokens) {
            violated(l->tokens,
                     "run %" PRId64 ", step %" PRId64 " (%s), layer %" PRId64 ": %" PRId64
                     " decisions counted for %" PRId64 " tokens, each to have %d",
                     l->run_id, l->step, l->split, l->layer, decisions, l->pass_tokens, layer->k);
        }
    }
    if (layer->sums_to_one && !isnan(probability)) {
        l->probabilities->checked++;
        if (fabs(probability - (double)l->pass_tokens) > 1e-5 * (1 + (double)l->pass_tokens)) {
            violated(l->probabilities,
                     "run %" PRId64 ", step %" PRId64 " (%s), layer %" PRId64
                     ": probabilities add up to %.6f over %" PRId64 " tokens",
                     l->run_id, l->step, l->split, l->layer, probability, l->pass_tokens);
        }
    }
}

static int add_to_window(struct loads *l, struct layer_loads *layer, struct error *err)
{
    l->window_last = l->step;
    return entries_add(&layer->window, &l->whole) == 0 ? 0 : error_no_memory(err, "the loads of a window");
}

static int end_group(struct loads *l, struct error *err)
{
    int result = 0;
    struct layer_loads *layer = l->layer >= 0 && l->layer < LOGBOOK_MAX_LAYERS ? &l->layers[l->layer] : NULL;
    if (layer != NULL) {
        if (l->has_parts && !l->broken) {
            compare_domains(l);
        }
        if (l->has_whole && l->pass_tokens >= 0) {
            compare_tokens(l, layer);
        }
        if (l->has_whole && l->has_windows && strcmp(l->split, "train") == 0) {
            result = add_to_window(l, layer, err);
        }
    }
    l->layer = -1;
    l->has_whole = l->has_parts = l->broken = false;
    l->whole.n = l->parts.n = 0;
    return result;
}

/* ---- a window ---- */

/* A window that is not at its end may be open still, unless the run has finished. */
static void compare_window(struct loads *l, int layer, bool found)
{
    const struct entries *sum = &l->layers[layer].window;
    int64_t first = l->window_last / LOGBOOK_WINDOW_STEPS * LOGBOOK_WINDOW_STEPS;
    bool closed = l->window_last % LOGBOOK_WINDOW_STEPS == LOGBOOK_WINDOW_STEPS - 1 ||
                  strcmp(l->status, "finished") == 0 || strcmp(l->status, "imported") == 0;
    l->windows->checked++;
    if (!found && closed) {
        violated(l->windows,
                 "run %" PRId64 ", training steps from %" PRId64 " on, layer %d: no load of the window",
                 l->run_id, first, layer);
    } else if (found && (sqlite3_column_int64(l->window.handle, 0) != l->window_last ||
                         first_difference(sum, &l->entries) >= 0)) {
        violated(l->windows,
                 "run %" PRId64 ", training steps from %" PRId64
                 " on, layer %d: the window's load is not that of its "
                 "steps",
                 l->run_id, first, layer);
    }
}

static int end_window_of_layer(struct loads *l, int layer, struct error *err)
{
    statement_int(&l->window, ":run", l->run_id);
    statement_int(&l->window, ":first", l->window_last / LOGBOOK_WINDOW_STEPS * LOGBOOK_WINDOW_STEPS);
    statement_int(&l->window, ":layer", layer);
    int result = statement_step(&l->window, err);
    if (result >= 0) {
        const char *text = result == 1 ? (const char *)sqlite3_column_text(l->window.handle, 1) : NULL;
        l->windows_met += result;
        l->entries.n = 0;
        if (text != NULL && entries_read(&l->entries, text) < 0) {
            result = error_no_memory(err, "the loads of a window");
        } else {
            compare_window(l, layer, result == 1);
        }
        statement_reset(&l->window);
    }
    l->layers[layer].window.n = 0;
    return result < 0 ? -1 : 0;
}

static int end_window(struct loads *l, struct error *err)
{
    for (int i = 0; l->window_last >= 0 && i < LOGBOOK_MAX_LAYERS; i++) {
        if (l->layers[i].window.n > 0 && end_window_of_layer(l, i, err) != 0) {
            return -1;
        }
    }
    l->window_last = -1;
    return 0;
}

/* ---- runs and passes ---- */

static void read_layer(struct loads *l, sqlite3_stmt *row)
{
    int64_t layer = sqlite3_column_int64(row, 0);
    if (layer >= 0 && layer < LOGBOOK_MAX_LAYERS) {
        l->layers[layer].n_experts = sqlite3_column_int(row, 1);
        l->layers[layer].k = sqlite3_column_int(row, 2);
        l->layers[layer].sums_to_one = sums_to_one((const char *)sqlite3_column_text(row, 3));
    }
}

static int read_run(struct loads *l, int64_t run_id, struct error *err)
{
    struct statement layers, run = {0};
    int result = statement_open(&layers, l->check->lb, "store/check_layers", err);
    for (int i = 0; i < LOGBOOK_MAX_LAYERS; i++) {
        l->layers[i].n_experts = l->layers[i].k = 0;
        l->layers[i].sums_to_one = false;
    }
    if (result == 0) {
        result = statement_open(&run, l->check->lb, "store/check_run", err);
    }
    if (result == 0) {
        statement_int(&layers, ":run", run_id);
        statement_int(&run, ":run", run_id);
        while ((result = statement_step(&layers, err)) == 1) {
            read_layer(l, layers.handle);
        }
    }
    l->status[0] = '\0';
    if (result == 0 && (result = statement_step(&run, err)) == 1) {
        const char *status = (const char *)sqlite3_column_text(run.handle, 0);
        snprintf(l->status, sizeof l->status, "%s", status != NULL ? status : "");
    }
    statement_close(&layers);
    statement_close(&run);
    l->run_id = run_id;
    return result < 0 ? -1 : 0;
}

/* How the row of tokens at hand is to the pass: before it, at it, behind it. */
static int compare_pass(sqlite3_stmt *row, int64_t run_id, int64_t step, const char *split)
{
    int64_t run = sqlite3_column_int64(row, 0), at = sqlite3_column_int64(row, 1);
    const char *name = (const char *)sqlite3_column_text(row, 2);
    if (run != run_id || at != step) {
        return run != run_id ? (run > run_id) - (run < run_id) : (at > step) - (at < step);
    }
    return strcmp(name != NULL ? name : "", split);
}

/* Both lists are in the same order: each is gone through once. */
static int find_tokens(struct loads *l, int64_t step, const char *split, struct error *err)
{
    int order = 1;
    l->pass_tokens = -1;
    while (l->more_passes && (order = compare_pass(l->passes.handle, l->run_id, step, split)) < 0) {
        int result = statement_step(&l->passes, err);
        if (result < 0) {
            return -1;
        }
        l->more_passes = result == 1;
    }
    if (l->more_passes && order == 0) {
        l->pass_tokens = sqlite3_column_int64(l->passes.handle, 3);
    }
    return 0;
}

static int begin_pass(struct loads *l, int64_t run_id, int64_t step, const char *split, struct error *err)
{
    bool other_run = run_id != l->run_id;
    if (other_run ||
        (l->window_last >= 0 && step / LOGBOOK_WINDOW_STEPS != l->window_last / LOGBOOK_WINDOW_STEPS)) {
        if (end_window(l, err) != 0) {
            return -1;
        }
    }
    if (other_run && read_run(l, run_id, err) != 0) {
        return -1;
    }
    l->step = step;
    snprintf(l->split, sizeof l->split, "%s", split);
    return find_tokens(l, step, split, err);
}

/* ---- a row ---- */

static int add_row(struct loads *l, int64_t domain_id, const char *text, struct error *err)
{
    bool known = l->layer >= 0 && l->layer < LOGBOOK_MAX_LAYERS;
    int n_experts = known ? l->layers[l->layer].n_experts : 0, read = entries_read(&l->entries, text);
    l->experts->checked++;
    if (read < 0) {
        return error_no_memory(err, "a load");
    }
    if (read == 0 || l->entries.n != n_experts || n_experts == 0) {
        l->broken = true;
        violated(l->experts,
                 "run %" PRId64 ", step %" PRId64 " (%s), layer %" PRId64 ": a load of %d experts, not of %d",
                 l->run_id, l->step, l->split, l->layer, l->entries.n, n_experts);
        return 0;
    }
    bool whole = domain_id == 0;
    l->has_whole = l->has_whole || whole;
    l->has_parts = l->has_parts || !whole;
    return entries_add(whole ? &l->whole : &l->parts, &l->entries) == 0 ? 0 : error_no_memory(err, "a load");
}

static int check_row(struct loads *l, struct error *err)
{
    sqlite3_stmt *row = l->rows.handle;
    int64_t run_id = sqlite3_column_int64(row, 0), step = sqlite3_column_int64(row, 1),
            layer = sqlite3_column_int64(row, 3);
    const char *split = (const char *)sqlite3_column_text(row, 2);
    const char *experts = (const char *)sqlite3_column_text(row, 5);
    split = split != NULL ? split : "";
    bool other_pass =
        run_id != l->run_id || step != l->step || strncmp(split, l->split, sizeof l->split - 1) != 0;
    if (other_pass || layer != l->layer) {
        if (end_group(l, err) != 0 || (other_pass && begin_pass(l, run_id, step, split, err) != 0)) {
            return -1;
        }
        l->layer = layer;
    }
    return add_row(l, sqlite3_column_int64(row, 4), experts != NULL ? experts : "", err);
}

static int read_loads(struct loads *l, struct error *err)
{
    struct logbook *lb = l->check->lb;
    int64_t windows = 0;
    if (statement_open(&l->rows, lb, "store/check_all_loads", err) != 0 ||
        statement_open(&l->passes, lb, "store/check_tokens", err) != 0 ||
        statement_open(&l->window, lb, "store/check_window", err) != 0) {
        return -1;
    }
    int result = statement_step(&l->passes, err);
    l->more_passes = result == 1;
    while (result >= 0 && (result = statement_step(&l->rows, err)) == 1) {
        result = check_row(l, err);
        check_advance(l->check, "loads");
    }
    if (result != 0 || end_group(l, err) != 0 || end_window(l, err) != 0 ||
        (l->has_windows && db_scalar(lb, "store/check_windows", &windows, err) != 0)) {
        return -1;
    }
    if (windows != l->windows_met) {
        violated(l->windows, "%" PRId64 " windows of loads without training steps", windows - l->windows_met);
    }
    return 0;
}

static void release(struct loads *l)
{
    statement_close(&l->rows);
    statement_close(&l->passes);
    statement_close(&l->window);
    for (int i = 0; i < LOGBOOK_MAX_LAYERS; i++) {
        free(l->layers[i].window.items);
    }
    free(l->entries.items);
    free(l->whole.items);
    free(l->parts.items);
    free(l);
}

int check_loads(struct check *c, struct error *err)
{
    struct loads *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return error_no_memory(err, "the check of loads");
    }
    l->check = c;
    l->run_id = l->layer = l->window_last = -1;
    l->has_windows = c->lb->version >= 2;
    l->experts = finding_add(c, "load_experts");
    l->domains = finding_add(c, "loads_domains");
    l->tokens = finding_add(c, "loads_tokens");
    l->probabilities = finding_add(c, "loads_probabilities");
    l->windows = finding_add(c, "load_windows");
    int result = read_loads(l, err);
    if (result != 0) {
        result = unreadable(l->experts, err);
    }
    release(l);
    return result;
}
