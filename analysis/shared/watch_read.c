#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/probe.h"
#include "analysis/shared/watch.h"

/* Steps that one statement reads at most: none holds a file without WAL for long. */
enum { MOST_STEPS = 4000 };

/* ---- forgetting ---- */

static void forget_events(struct watch *w)
{
    for (int i = 0; i < w->n_events; i++) {
        free(w->events[i].kind);
        free(w->events[i].message);
    }
    w->n_events = 0;
}

/* The run, and all that was read of it. */
static void forget(struct watch *w)
{
    const char *path = w->path, *name = w->name;
    struct logbook *logbook = w->analysis.logbook;
    forget_events(w);
    collapse_release(&w->collapse);
    free(w->analysis.layers);
    free(w->run);
    free(w->router);
    free(w->status);
    free(w->loss);
    memset(w, 0, sizeof *w);
    w->path = path;
    w->name = name;
    w->analysis.logbook = logbook;
}

void watch_release(struct watch *w)
{
    forget(w);
}

/* ---- the run ---- */

static int copy_word(char **to, const char *word, struct error *err)
{
    if (*to && strcmp(*to, word) == 0)
        return 0;
    free(*to);
    *to = strdup(word);
    return *to ? 0 : error_no_memory(err, "the run");
}

static double since(struct query *q, const char *now, const char *early)
{
    return query_real(q, now) - query_real(q, early);
}

/* From the last steps; the first step's time is taken for all where there is no other. */
static void take_speed(struct watch *w, struct query *q)
{
    double steps = since(q, "last_step", "early_step"), seconds = since(q, "seconds", "early_seconds");
    double tokens = since(q, "tokens", "early_tokens");
    if (steps == 0) {
        steps = 1;
        seconds = query_real(q, "seconds");
        tokens = query_real(q, "tokens");
    }
    w->tokens_per_second = seconds > 0 ? tokens / seconds : NAN;
    w->seconds_left = w->planned_steps > 0 && w->step < w->planned_steps
                          ? seconds / steps * (double)(w->planned_steps - w->step)
                          : NAN;
}

static int take_run(struct watch *w, struct query *q, struct error *err)
{
    int64_t resumed = query_int(q, "resumed"), run_id = query_int(q, "run_id");
    if (run_id != w->run_id || resumed != w->resumed)
        forget(w);
    w->run_id = run_id;
    w->resumed = resumed;
    w->seed = query_int(q, "seed");
    w->silent = query_real(q, "silent");
    w->planned_steps = query_is_null(q, "planned_steps") ? 0 : query_int(q, "planned_steps");
    w->step = query_is_null(q, "last_step") ? 0 : query_int(q, "last_step") + 1;
    w->valid_loss = query_real(q, "valid_loss");
    w->valid_step = query_is_null(q, "valid_step") ? -1 : query_int(q, "valid_step");
    take_speed(w, q);
    return copy_word(&w->run, query_word(q, "name"), err) != 0 ||
                   copy_word(&w->router, query_word(q, "router"), err) != 0 ||
                   copy_word(&w->status, query_word(q, "status"), err) != 0
               ? -1
               : 0;
}

static int read_run(struct watch *w, struct logbook *lb, struct error *err)
{
    struct query *q;
    int64_t run_id;
    if (w->name && logbook_find_run(lb, w->name, &run_id, err) != 0)
        return -1;
    if (query_open(&q, lb, "analysis/watch_run", err) != 0)
        return -1;
    if (w->name)
        query_bind_int(q, ":run", run_id);
    int more = query_step(q, err);
    if (more == 1)
        more = take_run(w, q, err);
    else if (more == 0)
        more = error_set(err, STATUS_INPUT, "'%s' holds no run yet; train one", w->path);
    query_close(q);
    return more;
}

/* ---- its loss ---- */

static int put_loss(struct watch *w, int64_t step, double loss, struct error *err)
{
    if (step >= w->capacity) {
        int64_t capacity = step >= 2 * w->capacity ? step + 1024 : 2 * w->capacity;
        double *grown = realloc(w->loss, (size_t)capacity * sizeof *grown);
        if (!grown)
            return error_no_memory(err, "the losses");
        w->loss = grown;
        w->capacity = capacity;
    }
    while (w->n_loss < step)
        w->loss[w->n_loss++] = NAN;
    w->loss[step] = isfinite(loss) ? loss : NAN;
    w->n_loss = step + 1;
    return 0;
}

/* A step beyond reason would take memory beyond reason. */
static bool is_step(const struct watch *w, int64_t step)
{
    enum { MOST = 100000000 };
    return step >= w->n_loss && step < MOST;
}

static int read_loss(struct watch *w, struct logbook *lb, bool *more, struct error *err)
{
    struct query *q;
    int result, n = 0;
    if (query_open(&q, lb, "analysis/watch_loss", err) != 0)
        return -1;
    query_bind_int(q, ":run", w->run_id);
    query_bind_int(q, ":after", w->n_loss - 1);
    query_bind_int(q, ":most", MOST_STEPS);
    while ((result = query_step(q, err)) == 1) {
        n++;
        if (is_step(w, query_int(q, "step")) &&
            put_loss(w, query_int(q, "step"), query_real(q, "loss"), err) != 0) {
            result = -1;
            break;
        }
    }
    query_close(q);
    *more = n == MOST_STEPS;
    return result;
}

/* ---- its events ---- */

static int add_event(struct watch *w, struct query *q, struct error *err)
{
    struct watch_event *e = &w->events[w->n_events++];
    *e = (struct watch_event){.step = query_is_null(q, "step") ? -1 : query_int(q, "step"),
                              .layer = query_is_null(q, "layer") ? -1 : (int)query_int(q, "layer")};
    return copy_word(&e->kind, query_word(q, "kind"), err) != 0 ||
                   copy_word(&e->message, query_word(q, "message"), err) != 0
               ? -1
               : 0;
}

static int read_events(struct watch *w, struct logbook *lb, struct error *err)
{
    struct query *q;
    int more;
    forget_events(w);
    if (query_open(&q, lb, "analysis/watch_events", err) != 0)
        return -1;
    query_bind_int(q, ":run", w->run_id);
    query_bind_int(q, ":most", WATCH_EVENTS);
    while ((more = query_step(q, err)) == 1 && w->n_events < WATCH_EVENTS)
        if (add_event(w, q, err) != 0) {
            more = -1;
            break;
        }
    query_close(q);
    return more < 0 ? -1 : 0;
}

/* ---- its experts ---- */

static int begin_collapse(struct watch *w, struct error *err)
{
    struct analysis *a = &w->analysis;
    struct error dense;
    a->path = w->path;
    a->run_id = w->run_id;
    a->run = w->run;
    collapse_release(&w->collapse); /* begun in vain before */
    w->collapse = (struct collapse){.rule = collapse_rule_default(), .split = "train"};
    if (!a->layers &&
        analysis_load_layers(a->logbook, w->run_id, w->run, &a->layers, &a->n_layers, &dense) != 0)
        return dense.status == STATUS_INPUT ? 0 : error_set(err, dense.status, "%s", dense.text);
    return collapse_open(&w->collapse, a, err);
}

/* The probe is looked at when there is a new one. */
static int judge_routers(struct watch *w, struct error *err)
{
    int64_t first, last;
    if (probe_span(w->analysis.logbook, w->run_id, &first, &last, err) != 0)
        return -1;
    if (last == w->probe_step)
        return 0;
    w->probe_step = last;
    return collapse_compare_with_start(&w->collapse, &w->analysis, err);
}

static int read_loads(struct watch *w, bool *more, struct error *err)
{
    struct collapse *c = &w->collapse;
    *more = false;
    if (c->n_layers == 0 && begin_collapse(w, err) != 0)
        return -1;
    if (c->n_layers == 0)
        return 0;
    w->analysis.run = w->run;
    if (collapse_read_on(c, &w->analysis, MOST_STEPS, more, err) != 0)
        return -1;
    if (watch_is_over(w) && !*more)
        monitor_finish(&c->monitor);
    if (*more || c->monitor.n_windows == 0)
        return 0;
    if (judge_routers(w, err) != 0)
        return -1;
    collapse_judge_loads(c);
    collapse_judge_untrained(c);
    collapse_find(c);
    return 0;
}

/* ---- all of it ---- */

static int read_all(struct watch *w, struct logbook *lb, struct error *err)
{
    bool more = true;
    if (read_run(w, lb, err) != 0 || read_events(w, lb, err) != 0)
        return -1;
    while (more)
        if (read_loss(w, lb, &more, err) != 0)
            return -1;
    do
        if (read_loads(w, &more, err) != 0)
            return -1;
    while (more);
    return 0;
}

int watch_read(struct watch *w, struct error *err)
{
    struct logbook *lb;
    if (logbook_open(&lb, w->path, err) != 0)
        return -1;
    w->analysis.logbook = lb;
    int result = read_all(w, lb, err);
    w->analysis.logbook = NULL;
    moescope_close(lb);
    return result;
}

bool watch_is_over(const struct watch *w)
{
    return strcmp(w->status, "running") != 0;
}

bool watch_is_stalled(const struct watch *w)
{
    const double long_silence = 60;
    return !watch_is_over(w) && w->silent > long_silence;
}
