/* Information given the token id, and the sparse table it comes from. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/labels.h"

static int cell_compare(const void *a, const void *b)
{
    const struct token_cell *x = a, *y = b;
    if (x->token != y->token)
        return x->token < y->token ? -1 : 1;
    if (x->document != y->document)
        return x->document < y->document ? -1 : 1;
    return (x->expert > y->expert) - (x->expert < y->expert);
}

int64_t token_cells_merge(struct token_cell *cells, int64_t n)
{
    int64_t kept = 0;
    if (n > 0)
        qsort(cells, (size_t)n, sizeof *cells, cell_compare);
    for (int64_t i = 0; i < n; i++) {
        if (kept > 0 && cell_compare(&cells[kept - 1], &cells[i]) == 0)
            cells[kept - 1].count += cells[i].count;
        else
            cells[kept++] = cells[i];
    }
    return kept;
}

/* A cell whose document takes part, by its place among the labels. */
struct place_cell {
    int32_t place, expert;
    double count;
};

/* Counts by label and expert of one id, with their sums. Cleared by what was added, since most ids touch
 * few of the cells. */
struct counts {
    double *both;   /* (n_labels, n_experts) */
    double *label;  /* (n_labels) */
    double *expert; /* (n_experts) */
    double all;
};

struct token_work {
    const struct information_options *o;
    size_t n_experts, n_labels, n_folds;
    struct place_cell *cells;
    int64_t n_cells, n_groups;
    int64_t *group;        /* (n_groups + 1) where each id's cells begin */
    double *block;         /* what the counts and shares lie in */
    struct counts *counts; /* (1 + n_folds) of the id at hand: over all folds, then by fold */
    double *share;         /* (n_folds, n_experts) q_e of the other folds */
    double *weight;        /* (n_documents) decisions */
    double *by_document;   /* (n_documents) the caller's, or NULL: what each contributes, cross-fitted */
};

static void work_release(struct token_work *w)
{
    free(w->cells);
    free(w->group);
    free(w->block);
    free(w->counts);
}

static int work_allocate(struct token_work *w, const struct labelling *l, int64_t n_cells, struct error *err)
{
    size_t experts = w->n_experts, labels = w->n_labels, counts = 1 + w->n_folds;
    size_t each = labels * experts + labels + experts;
    w->cells = malloc(((size_t)n_cells + 1) * sizeof *w->cells);
    w->group = malloc(((size_t)n_cells + 1) * sizeof *w->group);
    w->counts = malloc(counts * sizeof *w->counts);
    w->block = calloc(counts * each + w->n_folds * experts + (size_t)l->n_documents, sizeof *w->block);
    if (!w->cells || !w->group || !w->counts || !w->block)
        return error_no_memory(err, "counts by token id, label and expert");
    for (size_t i = 0; i < counts; i++) {
        double *own = w->block + i * each;
        w->counts[i] = (struct counts){own, own + labels * experts, own + labels * experts + labels, 0};
    }
    w->share = w->block + counts * each;
    w->weight = w->share + w->n_folds * experts;
    return 0;
}

static int cells_weigh(struct token_work *w, const struct labelling *l, const struct token_cell *cells,
                       int64_t n_cells, struct error *err)
{
    for (int64_t i = 0; i < n_cells; i++) {
        const struct token_cell *c = &cells[i];
        if (c->document < 0 || c->document >= l->n_documents || c->expert < 0 ||
            (size_t)c->expert >= w->n_experts)
            return error_set(err, STATUS_INPUT, "cell %lld names document %d of %d, expert %d of %zu",
                             (long long)i, c->document, l->n_documents, c->expert, w->n_experts);
        if (i > 0 && cell_compare(&cells[i - 1], c) >= 0)
            return error_set(err, STATUS_INPUT, "cells are not merged: token_cells_merge them first");
        w->weight[c->document] += c->count;
    }
    return 0;
}

/* Keeps the cells whose documents take part, and notes where each id begins. */
static int cells_take(struct token_work *w, const struct labelling *l, const struct labels *s,
                      const struct token_cell *cells, int64_t n_cells, struct error *err)
{
    int *place = malloc(((size_t)l->n_documents + 1) * sizeof *place);
    if (!place)
        return error_no_memory(err, "the documents' places");
    for (int d = 0; d < l->n_documents; d++)
        place[d] = -1;
    for (int i = 0; i < s->n; i++)
        place[s->document[i]] = i;
    int32_t last = 0;
    for (int64_t i = 0; i < n_cells; i++) {
        const struct token_cell *c = &cells[i];
        if (place[c->document] < 0 || !(c->count > 0))
            continue;
        if (w->n_cells == 0 || c->token != last)
            w->group[w->n_groups++] = w->n_cells;
        last = c->token;
        w->cells[w->n_cells++] = (struct place_cell){place[c->document], c->expert, c->count};
    }
    w->group[w->n_groups] = w->n_cells;
    free(place);
    return 0;
}

static int work_init(struct token_work *w, struct labels *s, const struct labelling *l,
                     const struct token_cell *cells, int64_t n_cells, int n_experts,
                     const struct information_options *o, const struct random *r, struct error *err)
{
    if (information_check(l, n_experts, o, r, err))
        return -1;
    *w = (struct token_work){
        .o = o,
        .n_experts = (size_t)n_experts,
        .n_labels = (size_t)l->n_labels,
        .n_folds = o->estimator == INFORMATION_CROSS_FITTED ? (size_t)o->n_folds : 0,
    };
    if (work_allocate(w, l, n_cells, err) || cells_weigh(w, l, cells, n_cells, err) ||
        labels_init(s, l, w->weight, err))
        return -1;
    return cells_take(w, l, s, cells, n_cells, err);
}

static void counts_add(struct counts *t, size_t n_experts, int label, int expert, double count)
{
    t->both[(size_t)label * n_experts + (size_t)expert] += count;
    t->label[label] += count;
    t->expert[expert] += count;
    t->all += count;
}

static void counts_clear(struct counts *t, size_t n_experts, int label, int expert)
{
    t->both[(size_t)label * n_experts + (size_t)expert] = 0;
    t->label[label] = t->expert[expert] = t->all = 0;
}

/* ---- plug-in and Miller-Madow ---- */

/* Takes x's number out and returns x ln x, so that a cell met twice counts once. */
static double take(double *x, int *met)
{
    double value = *x;
    *x = 0;
    *met += value > 0;
    return value > 0 ? value * log(value) : 0;
}

/* T_v I(expert; label | v), Miller-Madow's correction taken off if asked for. */
static double group_information(struct token_work *w, const struct labels *s, int64_t first, int64_t end)
{
    struct counts *t = &w->counts[0];
    for (int64_t i = first; i < end; i++)
        counts_add(t, w->n_experts, s->label[w->cells[i].place], w->cells[i].expert, w->cells[i].count);
    double sum = t->all * log(t->all);
    int cells = 0, margins = 0;
    for (int64_t i = first; i < end; i++) {
        size_t label = (size_t)s->label[w->cells[i].place], expert = (size_t)w->cells[i].expert;
        sum += take(&t->both[label * w->n_experts + expert], &cells);
        sum -= take(&t->label[label], &margins) + take(&t->expert[expert], &margins);
    }
    t->all = 0;
    return w->o->estimator == INFORMATION_MILLER_MADOW ? sum - (cells - margins + 1) / 2. : fmax(0, sum);
}

/* ---- cross-fitting ---- */

static void work_share(struct token_work *w, const struct labels *s)
{
    size_t n = w->n_experts;
    double s0 = w->o->smoothing;
    memset(w->share, 0, w->n_folds * n * sizeof *w->share);
    for (int64_t i = 0; i < w->n_cells; i++) {
        size_t own = (size_t)s->fold[w->cells[i].place];
        w->share[own * n + (size_t)w->cells[i].expert] += w->cells[i].count;
    }
    for (size_t e = 0; e < n; e++) { /* of the fold itself -> of all the others */
        double all = 0;
        for (size_t f = 0; f < w->n_folds; f++)
            all += w->share[f * n + e];
        for (size_t f = 0; f < w->n_folds; f++)
            w->share[f * n + e] = all - w->share[f * n + e];
    }
    for (size_t f = 0; f < w->n_folds; f++) {
        double all = 0;
        for (size_t e = 0; e < n; e++)
            all += w->share[f * n + e];
        for (size_t e = 0; e < n; e++)
            w->share[f * n + e] = (w->share[f * n + e] + s0 / (double)n) / (all + s0);
    }
}

static double cell_log_ratio(const struct token_work *w, size_t fold, int label, int expert)
{
    const struct counts *t = &w->counts[0], *held = &w->counts[1 + fold];
    size_t at = (size_t)label * w->n_experts + (size_t)expert;
    double by_label = t->label[label] - held->label[label], all = t->all - held->all;
    double by_expert = t->expert[expert] - held->expert[expert], s0 = w->o->smoothing;
    /* Elsewhere the label, or the expert, is not there, or no other label: the ratio is 1, and most are. */
    if (!(by_label > 0) || !(by_expert > 0) || !(by_label < all))
        return 0;
    double of_id = (by_expert + s0 * w->share[fold * w->n_experts + (size_t)expert]) / (all + s0);
    return log((t->both[at] - held->both[at] + s0 * of_id) / (by_label * by_expert / all + s0 * of_id));
}

/* An id of one fold alone says nothing of the others. */
static bool lies_in_one_fold(const struct token_work *w, const struct labels *s, int64_t first, int64_t end)
{
    for (int64_t i = first + 1; i < end; i++)
        if (s->fold[w->cells[i].place] != s->fold[w->cells[first].place])
            return false;
    return true;
}

static double group_cross_fit(struct token_work *w, const struct labels *s, int64_t first, int64_t end)
{
    double sum = 0;
    if (lies_in_one_fold(w, s, first, end))
        return 0;
    for (int64_t i = first; i < end; i++) {
        const struct place_cell *c = &w->cells[i];
        counts_add(&w->counts[0], w->n_experts, s->label[c->place], c->expert, c->count);
        counts_add(&w->counts[1 + s->fold[c->place]], w->n_experts, s->label[c->place], c->expert, c->count);
    }
    for (int64_t i = first; i < end; i++) {
        const struct place_cell *c = &w->cells[i];
        double part = c->count * cell_log_ratio(w, (size_t)s->fold[c->place], s->label[c->place], c->expert);
        sum += part;
        if (w->by_document)
            w->by_document[s->document[c->place]] += part;
    }
    for (int64_t i = first; i < end; i++) {
        const struct place_cell *c = &w->cells[i];
        counts_clear(&w->counts[0], w->n_experts, s->label[c->place], c->expert);
        counts_clear(&w->counts[1 + s->fold[c->place]], w->n_experts, s->label[c->place], c->expert);
    }
    return sum;
}

static double token_estimate(void *context, struct labels *s, struct random *r)
{
    struct token_work *w = context;
    int crossed = w->o->estimator == INFORMATION_CROSS_FITTED;
    double sum = 0, total = 0;
    if (s->n == 0)
        return NAN;
    if (crossed) {
        labels_deal(s, w->o->n_folds, r);
        work_share(w, s);
    }
    for (int64_t g = 0; g < w->n_groups; g++)
        sum += crossed ? group_cross_fit(w, s, w->group[g], w->group[g + 1])
                       : group_information(w, s, w->group[g], w->group[g + 1]);
    for (int64_t i = 0; i < w->n_cells; i++)
        total += w->cells[i].count;
    return sum / total;
}

int token_information(const struct labelling *l, const struct token_cell *cells, int64_t n_cells,
                      int n_experts, const struct information_options *o, struct random *r, double *nats,
                      double *by_document, struct error *err)
{
    struct labels s = {0};
    struct token_work w = {0};
    for (int d = 0; by_document && d < l->n_documents; d++)
        by_document[d] = 0;
    int result = work_init(&w, &s, l, cells, n_cells, n_experts, o, r, err);
    w.by_document = by_document;
    if (result == 0)
        *nats = token_estimate(&w, &s, r);
    labels_release(&s);
    work_release(&w);
    return result;
}

int token_information_null(const struct labelling *l, const struct token_cell *cells, int64_t n_cells,
                           int n_experts, const struct information_options *o, int n_permutations,
                           struct random *r, struct permutation_null *null, struct error *err)
{
    struct labels s = {0};
    struct token_work w = {0};
    int result = work_init(&w, &s, l, cells, n_cells, n_experts, o, r, err);
    if (result == 0)
        result = labels_null(&s, token_estimate, &w, n_permutations, r, null, err);
    labels_release(&s);
    work_release(&w);
    return result;
}
