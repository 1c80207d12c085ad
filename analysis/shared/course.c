#include "analysis/shared/course.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void course_release(struct course *c)
{
    for (int i = 0; c->previous && i < c->n_layers; i++)
        routed_release(&c->previous[i]);
    free(c->passing);
    free(c->choice);
    free(c->previous);
    *c = (struct course){0};
}

static int course_init(struct course *c, int n_layers, int n, int64_t n_tokens, struct error *err)
{
    size_t cells = (size_t)n_layers * (size_t)n;
    *c = (struct course){.n = n, .n_layers = n_layers};
    c->passing = calloc(cells + 1, sizeof *c->passing);
    c->choice = calloc(cells * (size_t)n_tokens + 1, sizeof *c->choice);
    c->previous = calloc((size_t)n_layers, sizeof *c->previous);
    if (c->passing && c->choice && c->previous)
        return 0;
    course_release(c);
    return error_no_memory(err, "the probe's passes");
}

static int compare(const struct routed *x, const struct routed *y, struct agreement_rates *rates,
                   struct error *err)
{
    struct agreement g;
    if (agreement_init(&g, x->n_experts, err) != 0)
        return -1;
    int result = agreement_add(&g, &x->slots, &y->slots, err);
    agreement_rates(&g, rates);
    agreement_release(&g);
    return result;
}

/* How far the pass agrees with the final one, document by document. shared, sizes: (n_documents). */
static int compare_documents(const struct documents *d, const struct routed *now, const struct routed *final,
                             double *shared, double *sizes, struct error *err)
{
    int result = 0;
    for (int i = 0; i < d->n_documents && result == 0; i++) {
        struct slots left = routed_document(now, i), right = routed_document(final, i);
        struct agreement g;
        if (agreement_init(&g, now->n_experts, err) != 0)
            return -1;
        result = agreement_add(&g, &left, &right, err);
        shared[i] = 2 * g.shared;
        sizes[i] = g.sizes[0] + g.sizes[1];
        agreement_release(&g);
    }
    return result;
}

static int set_interval(const struct documents *d, const struct routed *now, const struct routed *final,
                        struct passing *p, struct error *err)
{
    struct interval_options o = interval_defaults();
    struct random r;
    double *shared = malloc(2 * ((size_t)d->n_documents + 1) * sizeof *shared);
    if (!shared)
        return error_no_memory(err, "the probe's passes");
    double *sizes = shared + d->n_documents;
    random_seed(&r, 5, (uint64_t)now->layer);
    int result = compare_documents(d, now, final, shared, sizes, err);
    if (result == 0)
        result = ratio_interval(shared, sizes, d->labels[0].value, d->n_documents, &o, &r, &p->overlap, err);
    free(shared);
    return result;
}

static void keep_first_choices(const struct routed *x, int32_t *choice)
{
    for (int t = 0; t < x->n_tokens; t++) {
        int32_t at = x->slots.offset[t];
        choice[t] = at < x->slots.offset[t + 1] ? x->slots.expert[at] : -1;
    }
}

/* One layer in pass i; the pass goes into c->previous. */
static int follow_layer(struct course *c, const struct documents *d, const struct probe_pass *pass,
                        const struct routed *final, int layer, int i, struct error *err)
{
    struct passing *p = &c->passing[layer * c->n + i];
    struct routed now;
    if (routed_init(&now, d, pass, final->layer, final->n_experts, err) != 0)
        return -1;
    p->step = pass->step;
    p->previous.first = NAN;
    int result = compare(&now, final, &p->final, err);
    if (result == 0 && i > 0)
        result = compare(&now, &c->previous[layer], &p->previous, err);
    if (result == 0)
        result = set_interval(d, &now, final, p, err);
    keep_first_choices(&now, c->choice + (size_t)(layer * c->n + i) * (size_t)now.n_tokens);
    routed_release(&c->previous[layer]);
    c->previous[layer] = now;
    return result;
}

/* first: (n, n_experts + 1) how many tokens each pass gives each expert first, and none. */
static void count_first_choices(const struct course *c, int layer, int64_t n_tokens, int n_experts,
                                double *first)
{
    size_t width = (size_t)n_experts + 1;
    memset(first, 0, (size_t)c->n * width * sizeof *first);
    for (int i = 0; i < c->n; i++) {
        const int32_t *choice = c->choice + (size_t)(layer * c->n + i) * (size_t)n_tokens;
        for (int64_t t = 0; t < n_tokens; t++)
            first[(size_t)i * width + (size_t)(choice[t] < 0 ? n_experts : choice[t])]++;
    }
}

/* What count_unsettled works in. */
struct unsettled {
    int32_t *last;
    double *after, *chance, *first;
};

static void count_layer(struct course *c, struct unsettled *u, int layer, int64_t n_tokens, int n_experts)
{
    size_t row = (size_t)layer * (size_t)c->n;
    fluctuation_last(c->choice + row * (size_t)n_tokens, c->n, n_tokens, u->last);
    fluctuation_after(u->last, c->n, n_tokens, u->after);
    count_first_choices(c, layer, n_tokens, n_experts, u->first);
    fluctuation_chance(u->first, c->n, n_experts + 1, u->chance);
    for (int i = 0; i < c->n; i++) {
        c->passing[row + (size_t)i].unsettled = u->after[i];
        c->passing[row + (size_t)i].unsettled_chance = u->chance[i];
    }
}

static int count_unsettled(struct course *c, const struct routed *final, int64_t n_tokens, struct error *err)
{
    int most = 0;
    for (int layer = 0; layer < c->n_layers; layer++)
        most = final[layer].n_experts > most ? final[layer].n_experts : most;
    size_t n = (size_t)c->n + 1;
    struct unsettled u = {malloc(((size_t)n_tokens + 1) * sizeof *u.last), malloc(n * sizeof *u.after),
                          malloc(n * sizeof *u.chance), malloc(n * ((size_t)most + 1) * sizeof *u.first)};
    bool ready = u.last && u.after && u.chance && u.first;
    for (int layer = 0; ready && layer < c->n_layers; layer++)
        count_layer(c, &u, layer, n_tokens, final[layer].n_experts);
    free(u.last);
    free(u.after);
    free(u.chance);
    free(u.first);
    return ready ? 0 : error_no_memory(err, "the probe's passes");
}

int course_follow(struct course *c, struct logbook *lb, int64_t run_id, const struct documents *d,
                  const struct routed *final, int n_layers, int64_t final_step, struct error *err)
{
    int n = 0, result = 0;
    while (n < d->n_steps && d->steps[n] <= final_step)
        n++;
    if (course_init(c, n_layers, n, d->n_tokens, err) != 0)
        return -1;
    for (int i = 0; i < n && result == 0; i++) {
        struct probe_pass pass;
        result = probe_pass_read(&pass, lb, run_id, d->steps[i], err);
        for (int layer = 0; layer < n_layers && result == 0; layer++)
            result = follow_layer(c, d, &pass, &final[layer], layer, i, err);
        probe_pass_release(&pass);
    }
    if (result == 0)
        result = count_unsettled(c, final, d->n_tokens, err);
    if (result != 0)
        course_release(c);
    return result;
}

int course_settled(const struct course *c, int layer, double level)
{
    const struct passing *p = &c->passing[(size_t)layer * (size_t)c->n];
    int i = c->n - 1;
    while (i > 0 && p[i - 1].final.overlap_above >= level)
        i--;
    return i;
}
