#include "metrics/information.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/labels.h"

static double x_ln_x(double x)
{
    return x > 0 ? x * log(x) : 0;
}

/* ---- one table ---- */

/* T I = sum f(n_rc) - sum f(n_r) - sum f(n_c) + f(T) with f(x) = x ln x; `excess` gets cells - rows - columns
 * + 1 counted over what is not empty. */
static double table_information(const double *table, int n_rows, int n_columns, double *total, int *excess)
{
    double sum = 0;
    *total = 0;
    *excess = 1;
    for (int r = 0; r < n_rows; r++) {
        double row = 0;
        for (int c = 0; c < n_columns; c++) {
            double count = table[(size_t)r * (size_t)n_columns + (size_t)c];
            row += count;
            sum += x_ln_x(count);
            *excess += count > 0;
        }
        sum -= x_ln_x(row);
        *total += row;
        *excess -= row > 0;
    }
    for (int c = 0; c < n_columns; c++) {
        double column = 0;
        for (int r = 0; r < n_rows; r++)
            column += table[(size_t)r * (size_t)n_columns + (size_t)c];
        sum -= x_ln_x(column);
        *excess -= column > 0;
    }
    return sum + x_ln_x(*total);
}

double mutual_information(const double *table, int n_rows, int n_columns)
{
    double total;
    int excess;
    double sum = table_information(table, n_rows, n_columns, &total, &excess);
    return total > 0 ? fmax(0, sum / total) : 0;
}

double mutual_information_miller_madow(const double *table, int n_rows, int n_columns)
{
    double total;
    int excess;
    double sum = table_information(table, n_rows, n_columns, &total, &excess);
    return total > 0 ? (sum - excess / 2.) / total : 0;
}

/* ---- documents ---- */

struct document_work {
    const struct information_options *o;
    const double *count; /* (n_documents, n_experts), the caller's */
    size_t n_experts, n_labels;
    double *block;
    double *table;     /* (n_labels, n_experts) all folds */
    double *held;      /* (n_folds, n_labels, n_experts) of one fold; held[0] where there is one only */
    double *log_ratio; /* as held: what a decision there contributes */
    double *expert;    /* (n_experts) sums over labels */
    double *share;     /* (n_experts) q_e */
    double *weight;    /* (n_documents) decisions */
};

static int work_init(struct document_work *w, const struct labelling *l, const double *count, int n_experts,
                     const struct information_options *o, struct error *err)
{
    size_t experts = (size_t)n_experts, labels = (size_t)l->n_labels, documents = (size_t)l->n_documents;
    size_t cells = experts * labels;
    size_t folds = o->estimator == INFORMATION_CROSS_FITTED ? (size_t)o->n_folds : 1;
    *w = (struct document_work){.o = o, .count = count, .n_experts = experts, .n_labels = labels};
    w->block = malloc((cells + 2 * folds * cells + 2 * experts + documents) * sizeof *w->block);
    if (!w->block)
        return error_no_memory(err, "counts by label and expert");
    w->table = w->block;
    w->held = w->table + cells;
    w->log_ratio = w->held + folds * cells;
    w->expert = w->log_ratio + folds * cells;
    w->share = w->expert + experts;
    w->weight = w->share + experts;
    for (size_t d = 0; d < documents; d++) {
        w->weight[d] = 0;
        for (size_t e = 0; e < experts; e++)
            w->weight[d] += count[d * experts + e];
    }
    return 0;
}

static void add_row(double *sum, const double *row, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += row[i];
}

/* Counts by label and expert of all documents, or of each fold in held. */
static void work_count(struct document_work *w, const struct labels *s, int by_fold)
{
    size_t cells = w->n_labels * w->n_experts, folds = by_fold ? (size_t)w->o->n_folds : 1;
    memset(w->held, 0, folds * cells * sizeof *w->held);
    memset(w->table, 0, cells * sizeof *w->table);
    for (int i = 0; i < s->n; i++) {
        size_t fold = by_fold ? (size_t)s->fold[i] : 0;
        double *row = w->held + fold * cells + (size_t)s->label[i] * w->n_experts;
        add_row(row, w->count + (size_t)s->document[i] * w->n_experts, w->n_experts);
    }
    for (size_t f = 0; f < folds; f++)
        add_row(w->table, w->held + f * cells, cells);
}

/* The logarithm of header's formula, from counts n_le, n_l, n_e, n. */
static double log_ratio(double both, double label, double expert, double all, double prior)
{
    if (!(all > 0) || !(label > 0))
        return 0;
    return log((both + prior) / (label * expert / all + prior));
}

/* log_ratio (n_labels, n_experts) learned from the table less `held`, which is NULL for nothing less. Zero
 * where nothing is held out, to spare the logarithm. */
static void work_learn(struct document_work *w, const double *held, double smoothing, double *out)
{
    size_t n = w->n_experts;
    double all = 0;
    for (size_t e = 0; e < n; e++) {
        w->expert[e] = 0;
        for (size_t l = 0; l < w->n_labels; l++)
            w->expert[e] += w->table[l * n + e] - (held ? held[l * n + e] : 0);
        all += w->expert[e];
    }
    for (size_t e = 0; e < n; e++)
        w->share[e] = smoothing > 0 ? (w->expert[e] + smoothing / (double)n) / (all + smoothing) : 0;
    for (size_t l = 0; l < w->n_labels; l++) {
        double label = 0;
        for (size_t e = 0; e < n; e++)
            label += w->table[l * n + e] - (held ? held[l * n + e] : 0);
        for (size_t e = 0; e < n; e++) {
            size_t i = l * n + e;
            double both = w->table[i] - (held ? held[i] : 0), used = held ? held[i] : w->table[i];
            out[i] = used > 0 ? log_ratio(both, label, w->expert[e], all, smoothing * w->share[e]) : 0;
        }
    }
}

static double work_cross_fit(struct document_work *w, struct labels *s, struct random *r)
{
    size_t cells = w->n_labels * w->n_experts;
    double sum = 0, total = 0;
    labels_deal(s, w->o->n_folds, r);
    work_count(w, s, 1);
    for (size_t f = 0; f < (size_t)w->o->n_folds; f++) {
        const double *held = w->held + f * cells;
        double *learned = w->log_ratio + f * cells;
        work_learn(w, held, w->o->smoothing, learned);
        for (size_t i = 0; i < cells; i++) {
            sum += held[i] * learned[i];
            total += held[i];
        }
    }
    return total > 0 ? sum / total : NAN;
}

static double work_estimate(void *context, struct labels *s, struct random *r)
{
    struct document_work *w = context;
    if (s->n == 0)
        return NAN;
    if (w->o->estimator == INFORMATION_CROSS_FITTED)
        return work_cross_fit(w, s, r);
    work_count(w, s, 0);
    int n_labels = (int)w->n_labels, n_experts = (int)w->n_experts;
    return w->o->estimator == INFORMATION_PLUG_IN
               ? mutual_information(w->table, n_labels, n_experts)
               : mutual_information_miller_madow(w->table, n_labels, n_experts);
}

/* After work_estimate: each document's decisions judged by the table that it was judged by there. */
static void work_by_document(struct document_work *w, const struct labels *s, double *by_document)
{
    size_t n = w->n_experts, cells = w->n_labels * n;
    int crossed = w->o->estimator == INFORMATION_CROSS_FITTED;
    if (!crossed)
        work_learn(w, NULL, 0, w->log_ratio);
    for (int i = 0; i < s->n; i++) {
        size_t fold = crossed ? (size_t)s->fold[i] : 0;
        const double *learned = w->log_ratio + fold * cells + (size_t)s->label[i] * n;
        const double *row = w->count + (size_t)s->document[i] * n;
        for (size_t e = 0; e < n; e++)
            by_document[s->document[i]] += row[e] * learned[e];
    }
}

int document_information(const struct labelling *l, const double *count, int n_experts,
                         const struct information_options *o, struct random *r, double *nats,
                         double *by_document, struct error *err)
{
    struct labels s = {0};
    struct document_work w = {0};
    int result = -1;
    if (information_check(l, n_experts, o, r, err) || work_init(&w, l, count, n_experts, o, err) ||
        labels_init(&s, l, w.weight, err))
        goto out;
    *nats = work_estimate(&w, &s, r);
    for (int d = 0; by_document && d < l->n_documents; d++)
        by_document[d] = 0;
    if (by_document && s.n > 0)
        work_by_document(&w, &s, by_document);
    result = 0;
out:
    labels_release(&s);
    free(w.block);
    return result;
}

int document_information_null(const struct labelling *l, const double *count, int n_experts,
                              const struct information_options *o, int n_permutations, struct random *r,
                              struct permutation_null *null, struct error *err)
{
    struct labels s = {0};
    struct document_work w = {0};
    int result = -1;
    if (information_check(l, n_experts, o, r, err) || work_init(&w, l, count, n_experts, o, err) ||
        labels_init(&s, l, w.weight, err))
        goto out;
    result = labels_null(&s, work_estimate, &w, n_permutations, r, null, err);
out:
    labels_release(&s);
    free(w.block);
    return result;
}
