/* Decisions, probabilities and losses of whole passes dropped. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "sql/care.h"
#include "sql/change.h"

struct pass {
    char split[16];
    int64_t step;
};

struct pruning {
    struct logbook *lb;
    const struct prune_request *request;
    struct pruned *pruned;
    int64_t run_id, first_step, last_step; /* of passes of which something was dropped */
    struct pass *passes;
    int n;
};

/* ---- which passes ---- */

static int add_pass(struct pruning *p, int *capacity, struct statement *s, struct error *err)
{
    if (p->n == *capacity) {
        *capacity = *capacity > 0 ? 2 * *capacity : 1024;
        struct pass *grown = realloc(p->passes, (size_t)*capacity * sizeof *grown);
        if (grown == NULL) {
            return error_no_memory(err, "the passes of a run");
        }
        p->passes = grown;
    }
    const char *split = (const char *)sqlite3_column_text(s->handle, 0);
    snprintf(p->passes[p->n].split, sizeof p->passes[p->n].split, "%s", split != NULL ? split : "");
    p->passes[p->n++].step = sqlite3_column_int64(s->handle, 1);
    return 0;
}

static void bind_request(struct statement *s, const struct pruning *p, const struct text *splits)
{
    statement_int(s, ":run", p->run_id);
    statement_text(s, ":splits", splits->data);
    statement_int(s, ":first_step", p->request->first_step);
    statement_int(s, ":last_step", p->request->last_step);
    statement_int(s, ":keep_every", p->request->keep_every);
}

static int read_passes(struct pruning *p, const struct text *splits, struct error *err)
{
    struct statement s;
    int capacity = 0, result = statement_open(&s, p->lb, "store/prune_passes", err);
    if (result == 0) {
        bind_request(&s, p, splits);
        while ((result = statement_step(&s, err)) == 1) {
            if (add_pass(p, &capacity, &s, err) != 0) {
                result = -1;
                break;
            }
        }
    }
    statement_close(&s);
    return result;
}

static int find_passes(struct pruning *p, struct error *err)
{
    struct text splits;
    text_init(&splits);
    for (int i = 0; i < p->request->n_splits; i++) {
        text_add(&splits, i == 0 ? "[" : ", ");
        text_add_json(&splits, p->request->splits[i]);
    }
    text_add(&splits, "]");
    int result = splits.failed ? error_no_memory(err, "the splits") : read_passes(p, &splits, err);
    text_release(&splits);
    return result;
}

/* ---- what is dropped ---- */

/* One kind of things of one pass; *n grows by as many as there were. */
static int drop(struct statement *s, const struct pruning *p, const struct pass *pass, int64_t *n,
                struct error *err)
{
    int result;
    statement_int(s, ":run", p->run_id);
    statement_text(s, ":split", pass->split);
    statement_int(s, ":step", pass->step);
    while ((result = statement_step(s, err)) == 1) {
        *n += sqlite3_column_int64(s->handle, 0);
        p->pruned->bytes += sqlite3_column_int64(s->handle, 1);
    }
    return result;
}

enum { KINDS = 3 };

static void note_pass(struct pruning *p, int64_t step)
{
    bool first = p->pruned->passes++ == 0;
    p->first_step = first || step < p->first_step ? step : p->first_step;
    p->last_step = first || step > p->last_step ? step : p->last_step;
}

static int64_t dropped(const struct pruned *pruned)
{
    return pruned->decisions + pruned->probabilities + pruned->losses;
}

static int drop_passes(struct pruning *p, struct statement kinds[KINDS], struct progress *progress,
                       struct error *err)
{
    struct pruned *pruned = p->pruned;
    int64_t *const counts[KINDS] = {&pruned->decisions, &pruned->probabilities, &pruned->losses};
    for (int i = 0; i < p->n; i++) {
        int64_t before = dropped(pruned);
        for (int k = 0; k < KINDS; k++) {
            if (kinds[k].handle != NULL && drop(&kinds[k], p, &p->passes[i], counts[k], err) != 0) {
                return -1;
            }
        }
        if (dropped(pruned) > before) {
            note_pass(p, p->passes[i].step);
        }
        if (progress != NULL) {
            progress_update(progress, i + 1, NULL);
        }
    }
    return 0;
}

static int drop_all(struct pruning *p, struct progress *progress, struct error *err)
{
    const struct prune_request *r = p->request;
    struct statement kinds[KINDS] = {{0}};
    int result = 0;
    if (r->decisions) {
        result = statement_open(&kinds[0], p->lb, "store/prune_decisions", err);
    }
    if (result == 0 && r->probabilities) {
        result = statement_open(&kinds[1], p->lb, "store/prune_probabilities", err);
    }
    if (result == 0 && r->losses) {
        result = statement_open(&kinds[2], p->lb, "store/prune_losses", err);
    }
    if (result == 0) {
        result = drop_passes(p, kinds, progress, err);
    }
    for (int k = 0; k < KINDS; k++) {
        statement_close(&kinds[k]);
    }
    return result;
}

/* ---- the run says so ---- */

static void add_listed(struct text *t, const char *what, int i, int n)
{
    text_printf(t, "%s%s", i == 0 ? "" : i == n - 1 ? " and " : ", ", what);
}

/* "decisions and losses of train, steps 0 to 19 without those that 5 divides: 16 passes" */
static void add_words(struct text *t, const struct pruning *p)
{
    const struct prune_request *r = p->request;
    const char *kinds[KINDS];
    int n = 0;
    if (p->pruned->decisions > 0) {
        kinds[n++] = "decisions";
    }
    if (p->pruned->probabilities > 0) {
        kinds[n++] = "probabilities";
    }
    if (p->pruned->losses > 0) {
        kinds[n++] = "token losses";
    }
    for (int i = 0; i < n; i++) {
        add_listed(t, kinds[i], i, n);
    }
    text_add(t, " of ");
    for (int i = 0; i < r->n_splits; i++) {
        add_listed(t, r->splits[i], i, r->n_splits);
    }
    text_printf(t, ", steps %" PRId64 " to %" PRId64, p->first_step, p->last_step);
    if (r->keep_every > 0) {
        text_printf(t, " without those that %" PRId64 " divides", r->keep_every);
    }
    text_printf(t, ": %" PRId64 " passes", p->pruned->passes);
}

static int tell(struct pruning *p, struct error *err)
{
    struct text words;
    text_init(&words);
    add_words(&words, p);
    const struct parameter parameters[] = {{":run", p->run_id, NULL},
                                           {":kind", 0, "pruned"},
                                           {":value", p->pruned->decisions, NULL},
                                           {":message", 0, words.data},
                                           {":note", 0, words.data}};
    int result = words.failed ? error_no_memory(err, "what was pruned") : 0;
    if (result == 0) {
        result = db_script(p->lb, "store/add_event", parameters, 5, err);
    }
    if (result == 0) {
        result = db_script(p->lb, "store/prune_note", parameters, 5, err);
    }
    text_release(&words);
    return result;
}

/* ---- all of it ---- */

static int prune(struct pruning *p, struct progress *progress, struct error *err)
{
    if (change_find_run(p->lb, p->request->run, p->request->force, &p->run_id, err) != 0 ||
        find_passes(p, err) != 0) {
        return -1;
    }
    if (progress != NULL) {
        progress->total = p->n;
    }
    return drop_all(p, progress, err) != 0 ? -1 : p->pruned->passes > 0 ? tell(p, err) : 0;
}

int logbook_prune(struct logbook *lb, const struct prune_request *request, struct pruned *pruned,
                  struct progress *progress, struct error *err)
{
    struct pruning p = {.lb = lb, .request = request, .pruned = pruned};
    *pruned = (struct pruned){0};
    if (change_begin(lb, err) != 0) {
        return -1;
    }
    int result = change_end(lb, prune(&p, progress, err), request->dry_run, err);
    free(p.passes);
    return result;
}
