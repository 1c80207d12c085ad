/* What configurations are worth by metrics that their runs logged, over seeds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/study.h"

struct values {
    const struct study *study;
    struct study_results shown; /* finished runs of the chosen configurations */
    double *value;              /* (shown.n) of one metric; NaN: none */
};

static int read_values(struct values *v, const struct study_view *view, const char *metric, const char *split,
                       const char *ids, struct error *err)
{
    struct query *q = NULL;
    int more;

    for (int i = 0; i < v->shown.n; i++)
        v->value[i] = (double)NAN;
    if (query_open(&q, view->logbook, "analysis/study_metric", err))
        return -1;
    query_bind_text(q, ":name", metric);
    query_bind_text(q, ":split", split);
    query_bind_text(q, ":runs", ids);
    while ((more = query_step(q, err)) == 1)
        for (int i = 0; i < v->shown.n; i++)
            if (v->shown.runs[i].run_id == query_int(q, "run_id"))
                v->value[i] = query_real(q, "value");
    query_close(q);
    return more;
}

/* NaN: that run has not finished, or has no such metric. */
static double value_of(const struct values *v, int configuration, int seed)
{
    const struct study_run *run = study_results_find(&v->shown, configuration, v->study->seeds[seed]);

    return run ? v->value[run - v->shown.runs] : (double)NAN;
}

static void summarise(const struct values *v, int c, bool higher_is_better, struct metric_difference *out)
{
    int reference = study_reference(v->study, v->study->configurations[c].ablation), n = 0, pairs = 0;
    double values[STUDY_MOST_SEEDS], differences[STUDY_MOST_SEEDS];

    for (int k = 0; k < v->study->n_seeds; k++) {
        double mine = value_of(v, c, k), theirs = value_of(v, reference, k);
        if (!isfinite(mine))
            continue;
        values[n++] = mine;
        if (isfinite(theirs) && c != reference) /* judged as a loss is: lower is better */
            differences[pairs++] = higher_is_better ? theirs - mine : mine - theirs;
    }
    out->seeds = n;
    student_interval(values, n, STUDY_LEVEL, &out->value);
    student_interval(differences, pairs, STUDY_LEVEL, &out->difference.i);
}

static void turn(struct interval *i)
{
    double low = i->low;

    i->estimate = 0.0 - i->estimate; /* and no -0 */
    i->low = 0.0 - i->high;
    i->high = 0.0 - low;
}

static int judge_all(const struct study_metrics *asked, struct metric_difference *differences, int n,
                     struct error *err)
{
    int members = 0;
    struct judged **family = malloc((size_t)n * sizeof(struct judged *));

    if (!family)
        return error_no_memory(err, "a study's metrics");
    for (int i = 0; i < n; i++)
        if (differences[i].seeds > 0)
            family[members++] = &differences[i].difference;
    int result = judge_family(family, members, asked->margin, STUDY_LEVEL, err);
    for (int i = 0; i < members && asked->higher_is_better; i++)
        turn(&family[i]->i);
    free(family);
    return result;
}

int study_metrics(const struct study_view *view, const struct study_metrics *asked,
                  struct metric_difference *differences, struct error *err)
{
    int n = view->study->n_configurations, result;
    struct values v = {.study = view->study};
    struct text ids;

    if (study_shown(view, &v.shown, err))
        return -1;
    text_init(&ids);
    study_run_ids(&v.shown, &ids);
    v.value = malloc(((size_t)v.shown.n + 1) * sizeof *v.value);
    result = v.value && !ids.failed ? 0 : error_no_memory(err, "a study's metrics");
    for (int m = 0; m < asked->n && result == 0; m++) {
        result = read_values(&v, view, asked->names[m], asked->split, ids.data, err);
        for (int c = 0; c < n && result == 0; c++)
            summarise(&v, c, asked->higher_is_better, &differences[m * n + c]);
    }
    if (result == 0)
        result = judge_all(asked, differences, asked->n * n, err);
    text_release(&ids);
    free(v.value);
    study_results_release(&v.shown);
    return result;
}
