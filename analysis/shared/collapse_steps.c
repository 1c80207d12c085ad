/* Loads step by step: each step alone, which is noisy, and pooled with as many before it as a window has. */
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/collapse.h"

struct pooled { /* one layer's last steps */
    struct monitor_layer of;
    double *load;   /* (n_kept, n_experts) */
    double *tokens; /* (n_kept) */
    double *sum;    /* (n_experts) */
    int n;          /* steps so far; the next goes to place n % n_kept */
};

static int pooled_init(struct pooled *p, const struct monitor_layer *of, int n_kept, struct error *err)
{
    size_t n = (size_t)of->n_experts, kept = (size_t)n_kept;
    *p = (struct pooled){.of = *of};
    p->load = calloc(kept * n, sizeof *p->load);
    p->tokens = calloc(kept, sizeof *p->tokens);
    p->sum = calloc(n, sizeof *p->sum);
    return p->load && p->tokens && p->sum ? 0 : error_no_memory(err, "the loads");
}

static void pooled_release(struct pooled *p)
{
    free(p->load);
    free(p->tokens);
    free(p->sum);
}

/* Counts are whole numbers: adding a step and taking it away again leaves no rounding behind. Returns the
 * step's own loads. */
static const double *pooled_add(struct pooled *p, const struct monitor_load *load, int n_kept)
{
    size_t n = (size_t)p->of.n_experts, place = (size_t)(p->n++ % n_kept);
    double *own = p->load + place * n, decisions = 0;
    for (size_t e = 0; e < n; e++) {
        double asked = (double)(load->assignments[e] + load->dropped[e]);
        p->sum[e] += asked - own[e];
        own[e] = asked;
        decisions += asked;
    }
    p->tokens[place] = p->of.k > 0 ? decisions / p->of.k : load->tokens;
    return own;
}

static double pooled_tokens(const struct pooled *p, int n_kept)
{
    double sum = 0;
    for (int i = 0; i < n_kept; i++)
        sum += p->tokens[i];
    return sum;
}

static void add_figures(struct table *t, const struct load_summary *s)
{
    table_figure(t, s->entropy_k_aware);
    table_figure(t, s->effective_experts);
    table_figure(t, s->max_violation);
    table_figure(t, s->cv);
    table_figure(t, s->gini);
    table_figure(t, s->top_share_of_tokens);
    table_int(t, s->dead_experts);
}

static void add_row(struct pooled *p, const struct load_step *step, int n_kept, struct table *t)
{
    struct load_summary alone, pooled;
    const double *own = pooled_add(p, &step->load, n_kept);
    load_summarise(&alone, own, p->of.n_experts, p->tokens[(p->n - 1) % n_kept]);
    load_summarise(&pooled, p->sum, p->of.n_experts, pooled_tokens(p, n_kept));
    table_int(t, step->step);
    table_int(t, p->of.layer);
    table_figure(t, alone.n_tokens);
    table_figure(t, alone.k);
    add_figures(t, &alone);
    add_figures(t, &pooled);
    table_figure(t, step->load.router_entropy);
}

static int add_rows(struct pooled *p, const struct analysis *a, struct load_steps *ls, int n_kept,
                    struct table *t, struct error *err)
{
    struct load_step step;
    int more;
    while ((more = load_steps_next(ls, &step, err)) == 1)
        add_row(&p[analysis_layer_index(a, step.layer)], &step, n_kept, t);
    return more;
}

int collapse_step_rows(struct collapse *c, const struct analysis *a, struct table *t, struct error *err)
{
    int n_kept = (int)c->monitor.windows[0].steps, result = 0;
    struct load_steps *ls = NULL;
    struct pooled *p = calloc((size_t)c->n_layers, sizeof *p);
    if (!p)
        return error_no_memory(err, "the loads");
    for (int i = 0; i < c->n_layers && result == 0; i++)
        result = pooled_init(&p[i], &c->monitor.series[i].of, n_kept, err);
    if (result == 0)
        result = load_steps_open(&ls, a->logbook, a->run_id, c->split, -1, err);
    if (result == 0)
        result = add_rows(p, a, ls, n_kept, t, err);
    load_steps_close(ls);
    for (int i = 0; i < c->n_layers; i++)
        pooled_release(&p[i]);
    free(p);
    return result;
}
