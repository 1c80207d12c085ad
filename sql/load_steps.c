/* Loads in bulk: JSON texts straight into arrays, and those to a monitor. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "sql/db.h"
#include "sql/loads.h"
#include "sql/read.h"

enum { STEP, LAYER, EXPERTS, ROUTER_ENTROPY, TOKENS }; /* columns of scan/loads */

struct load_steps {
    struct statement rows;
    int64_t *assignments, *dropped; /* (capacity) */
    int capacity;
};

int load_steps_open(struct load_steps **out, struct logbook *lb, int64_t run_id, const char *split,
                    int64_t after, struct error *err)
{
    struct load_steps *ls = *out = calloc(1, sizeof *ls);
    if (ls == NULL) {
        return error_no_memory(err, "a reader of loads");
    }
    if (statement_open(&ls->rows, lb, "scan/loads", err) != 0) {
        load_steps_close(ls);
        *out = NULL;
        return -1;
    }
    statement_int(&ls->rows, ":run", run_id);
    statement_text_copy(&ls->rows, ":split", split);
    statement_int(&ls->rows, ":after", after);
    return 0;
}

void load_steps_close(struct load_steps *ls)
{
    if (ls != NULL) {
        statement_close(&ls->rows);
        free(ls->assignments);
        free(ls->dropped);
        free(ls);
    }
}

static int reserve(struct load_steps *ls, int n, struct error *err)
{
    if (n < ls->capacity) {
        return 0;
    }
    size_t capacity = 2 * (size_t)ls->capacity + 64;
    int64_t *assignments = realloc(ls->assignments, capacity * sizeof *assignments);
    if (assignments == NULL) {
        return error_no_memory(err, "the loads");
    }
    ls->assignments = assignments;
    int64_t *dropped = realloc(ls->dropped, capacity * sizeof *dropped);
    if (dropped == NULL) {
        return error_no_memory(err, "the loads");
    }
    ls->dropped = dropped;
    ls->capacity = (int)capacity;
    return 0;
}

/* *n: entries read; probabilities add up to the tokens where they are of a softmax. */
static int read_entries(struct load_steps *ls, const char *text, int *n, double *probability,
                        struct error *err)
{
    struct load_entry entry;
    int result = -1;
    *n = 0;
    *probability = 0;
    while (text != NULL && *n < CODEC_MAX_EXPERTS && (result = load_entry_next(&text, &entry)) == 1) {
        if (reserve(ls, *n, err) != 0) {
            return -1;
        }
        ls->assignments[*n] = entry.assignments;
        ls->dropped[*n] = entry.dropped;
        *probability += entry.probability_sum;
        ++*n;
    }
    return result == 0 ? 0
                       : error_set(err, STATUS_INPUT,
                                   "step %" PRId64 ", layer %" PRId64
                                   ": its load cannot be read; `moescope check` says more",
                                   (int64_t)sqlite3_column_int64(ls->rows.handle, STEP),
                                   (int64_t)sqlite3_column_int64(ls->rows.handle, LAYER));
}

static double real_or_nan(sqlite3_stmt *row, int column)
{
    return sqlite3_column_type(row, column) == SQLITE_NULL ? NAN : sqlite3_column_double(row, column);
}

int load_steps_next(struct load_steps *ls, struct load_step *step, struct error *err)
{
    sqlite3_stmt *row = ls->rows.handle;
    double probability;
    int n, result = statement_step(&ls->rows, err);
    if (result != 1) {
        return result;
    }
    if (read_entries(ls, (const char *)sqlite3_column_text(row, EXPERTS), &n, &probability, err) != 0) {
        return -1;
    }
    double tokens = real_or_nan(row, TOKENS);
    *step = (struct load_step){.step = sqlite3_column_int64(row, STEP),
                               .layer = sqlite3_column_int(row, LAYER),
                               .n_experts = n,
                               .load = {.assignments = ls->assignments,
                                        .dropped = ls->dropped,
                                        .tokens = tokens > 0        ? tokens
                                                  : probability > 0 ? round(probability)
                                                                    : NAN,
                                        .router_entropy = real_or_nan(row, ROUTER_ENTROPY)}};
    return 1;
}

/* ---- to a monitor ---- */

static int index_of(const struct monitor *m, const struct load_step *step)
{
    for (int i = 0; i < m->n_layers; i++) {
        if (m->series[i].of.layer == step->layer) {
            return m->series[i].of.n_experts == step->n_experts ? i : -1;
        }
    }
    return -1;
}

static int hand_over(struct monitor *m, const struct load_step *step, int64_t last, struct error *err)
{
    int layer = index_of(m, step);
    if (layer < 0) {
        return error_set(err, STATUS_INPUT,
                         "step %" PRId64 ": a load of layer %d with %d experts, which the run does not have",
                         step->step, step->layer, step->n_experts);
    }
    if (step->step != last) {
        if (last >= 0) {
            monitor_end_step(m);
        }
        if (monitor_begin_step(m, step->step, err) != 0) {
            return -1;
        }
    }
    monitor_add(m, layer, &step->load);
    return 0;
}

int monitor_read(struct monitor *m, struct logbook *lb, int64_t run_id, const char *split, int64_t after,
                 int64_t most, int64_t *last, struct error *err)
{
    struct load_steps *ls;
    struct load_step step;
    int64_t at = -1, n = 0;
    int more;
    *last = after;
    if (load_steps_open(&ls, lb, run_id, split, after, err) != 0) {
        return -1;
    }
    while ((more = load_steps_next(ls, &step, err)) == 1) {
        n += step.step != at;
        if (most > 0 && n > most) {
            more = 0;
            break;
        }
        if (hand_over(m, &step, at, err) != 0) {
            more = -1;
            break;
        }
        *last = at = step.step;
    }
    load_steps_close(ls);
    if (more == 0 && at >= 0) {
        monitor_end_step(m);
    }
    return more;
}
