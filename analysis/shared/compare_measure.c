/* The runs, their losses, and what is measured between them: differences paired by document, by seed between
 * groups, and how far routers agree. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/compare.h"
#include "analysis/shared/imported.h"

void compare_release(struct compare *c)
{
    for (int i = 0; i < c->n_evaluations; i++)
        evaluation_release(&c->evaluations[i]);
    for (int i = 0; i < c->n_probes; i++)
        probe_pass_release(&c->probes[i]);
    for (int i = 0; i < c->reasons.n; i++)
        free(c->reasons.items[i].text);
    free(c->reasons.items);
    free(c->curve);
    free(c->best);
    free(c->routers);
    for (int i = 0; i < c->n_evaluations * N_BUCKETS && c->by_frequency; i++)
        evaluation_release(&c->by_frequency[i]);
    free(c->by_frequency);
    free(c->frequency.items);
    free(c->frequency_seeds.items);
    free(c->key);
    free(c->value);
    free(c->evaluations);
    free(c->probes);
    free(c->differences);
    free(c->agreements);
    free(c->group_differences);
    free(c->names);
    domain_names_release(&c->domains);
    runs_release(&c->runs);
}

/* ---- which runs, against which ---- */

/* Tables whose rows are about single runs: the report asks for them where there is but one. */
static bool speaks_of_one(const char *table)
{
    return table && (strcmp(table, "losses") == 0 || strcmp(table, "domains") == 0 ||
                     strcmp(table, "cost") == 0 || strcmp(table, "curves") == 0 ||
                     strcmp(table, "perplexity") == 0 || strcmp(table, "routers") == 0);
}

int compare_choose_runs(struct compare *c, struct analysis *a, struct error *err)
{
    int n = a->n_operands;
    c->names = malloc(((size_t)n + 1) * sizeof *c->names);
    if (!c->names)
        return error_no_memory(err, "the runs");
    if (n > 0)
        memcpy(c->names, a->operands, (size_t)n * sizeof *c->names);
    for (int i = 0; i < n && c->baseline_name; i++)
        if (strcmp(c->names[i], c->baseline_name) == 0) {
            c->baseline = i;
            c->baseline_name = NULL;
        }
    if (c->baseline_name) { /* not among them: it comes first */
        memmove(c->names + 1, c->names, (size_t)n * sizeof *c->names);
        c->names[0] = (char *)c->baseline_name;
        n++;
    }
    if (n < 2 && !speaks_of_one(a->table))
        return error_set(err, STATUS_USAGE,
                         "only one run: name at least two, the baseline first; 'moescope runs %s' "
                         "lists them",
                         a->path);
    if (compare_gather(c->names, n, a, err) != 0)
        return -1;
    return runs_read(&c->runs, a->logbook, c->names, n, err);
}

int compare_partner(const struct compare *c, int run)
{
    const struct compared_run *of = &c->runs.runs[run];
    int group = c->runs.runs[c->baseline].group;
    if (!compare_is_grouped(c))
        return run == c->baseline ? -1 : c->baseline;
    if (of->group == group)
        return -1;
    for (int i = 0; i < c->runs.n; i++)
        if (c->runs.runs[i].group == group && c->runs.runs[i].seed == of->seed)
            return i;
    return -1;
}

/* ---- differences ---- */

/* The margin is given in nats a token; a byte's share of it follows from the baseline's tokens a byte. */
static double margin_in(const struct compare *c, const struct evaluation *baseline, enum loss_unit unit,
                        int domain)
{
    if (unit == NATS_PER_TOKEN)
        return c->margin;
    return c->margin * evaluation_mean(baseline, BITS_PER_BYTE, domain) /
           evaluation_mean(baseline, NATS_PER_TOKEN, domain);
}

static int add_difference(struct compare *c, const struct paired_documents *p, struct run_difference d,
                          struct error *err)
{
    d.documents = evaluation_count(&p->left, d.domain);
    if (d.documents == 0)
        return 0;
    if (paired_interval(p, d.unit, d.domain, (uint64_t)c->seed, &d.i, err) != 0 ||
        paired_documents_effect(p, d.unit, d.domain, &d.effect, err) != 0)
        return -1;
    d.verdict =
        d.unlike ? VERDICT_UNDETERMINED : interval_verdict(&d.i, margin_in(c, &p->right, d.unit, d.domain));
    struct run_difference *items = realloc(c->differences, ((size_t)c->n_differences + 1) * sizeof *items);
    if (!items)
        return error_no_memory(err, "the differences");
    c->differences = items;
    items[c->n_differences++] = d;
    return 0;
}

static int compare_pair(struct compare *c, int run, int baseline, struct error *err)
{
    const struct compared_run *x = &c->runs.runs[run], *y = &c->runs.runs[baseline];
    if (strcmp(x->task, y->task) != 0)
        return 0; /* a loss of one says nothing of the other */
    bool same_words = x->vocabulary_id == y->vocabulary_id, of_text = x->of_text && y->of_text;
    struct run_difference d = {.run = run, .baseline = baseline, .domain = -1};
    struct paired_documents p;
    if (paired_documents_init(&p, &c->evaluations[run], &c->evaluations[baseline],
                              x->corpus_id != y->corpus_id, err) != 0)
        return -1;
    /* An image in other tokens is the same image. */
    d.unlike = of_text ? paired_documents_unlike(&p, same_words) : 0;
    d.unit = same_words ? NATS_PER_TOKEN : BITS_PER_BYTE;
    int result = add_difference(c, &p, d, err);
    d.unit = of_text ? BITS_PER_BYTE : NATS_PER_TOKEN;
    for (d.domain = 0; d.domain < c->domains.n && result == 0; d.domain++)
        result = add_difference(c, &p, d, err);
    paired_documents_release(&p);
    return result;
}

/* Adjusts the p-values of one family, and takes back a better or worse that does not survive. */
static int adjust_family(struct compare *c, bool of_domains, struct error *err)
{
    double *p = malloc(((size_t)c->n_differences + 1) * sizeof *p);
    if (!p)
        return error_no_memory(err, "the differences");
    for (int i = 0; i < c->n_differences; i++)
        p[i] = (c->differences[i].domain >= 0) == of_domains ? c->differences[i].i.p : NAN;
    int result = benjamini_hochberg(p, c->n_differences, p, err);
    for (int i = 0; i < c->n_differences && result == 0; i++) {
        struct run_difference *d = &c->differences[i];
        if ((d->domain >= 0) != of_domains)
            continue;
        d->adjusted = p[i];
        d->verdict = adjusted_verdict(d->verdict, p[i], compare_level);
    }
    free(p);
    return result;
}

struct losses_asked compare_asked(const struct compare *c)
{
    return (struct losses_asked){
        .runs = c->runs.ids, .split = c->split, .step = c->step, .key = c->key, .value = c->value};
}

static int check_label(const struct compare *c, struct error *err)
{
    int n = 0;
    for (int i = 0; i < c->runs.n; i++)
        n += c->evaluations[i].n;
    if (c->key && n == 0)
        return error_set(err, STATUS_INPUT,
                         "none of these runs has losses of split '%s' in documents with the "
                         "label %s=%s",
                         c->split, c->key, c->value);
    return 0;
}

static int read_curves(struct compare *c, struct logbook *lb, struct error *err)
{
    const struct losses_asked asked = compare_asked(c);
    struct query *q;
    int more;
    if (query_open(&q, lb, "analysis/compare_curves", err) != 0)
        return -1;
    losses_bind(&asked, q);
    while ((more = query_step(q, err)) == 1) {
        struct curve_point *curve = realloc(c->curve, ((size_t)c->n_curve + 1) * sizeof *curve);
        if (!curve) {
            more = error_no_memory(err, "the losses");
            break;
        }
        c->curve = curve;
        curve[c->n_curve++] =
            (struct curve_point){(int)query_int(q, "position"), (int)query_int(q, "documents"),
                                 query_int(q, "step"), query_real(q, "loss")};
    }
    query_close(q);
    return more;
}

/* The first of a run's lowest evaluations, among those that cover the most documents. */
static int find_best(struct compare *c, struct error *err)
{
    c->best = calloc((size_t)c->runs.n, sizeof *c->best);
    if (!c->best)
        return error_no_memory(err, "the losses");
    for (int run = 0; run < c->runs.n; run++) {
        int most = 0;
        c->best[run] = (struct best_loss){-1, NAN};
        for (int i = 0; i < c->n_curve; i++)
            if (c->curve[i].run == run && c->curve[i].documents > most)
                most = c->curve[i].documents;
        for (int i = 0; i < c->n_curve; i++) {
            const struct curve_point *p = &c->curve[i];
            if (p->run == run && p->documents == most && isfinite(p->loss) && !(p->loss >= c->best[run].loss))
                c->best[run] = (struct best_loss){p->step, p->loss};
        }
    }
    return 0;
}

int compare_losses(struct compare *c, const struct analysis *a, struct error *err)
{
    const struct losses_asked asked = compare_asked(c);
    c->evaluations = calloc((size_t)c->runs.n, sizeof *c->evaluations);
    if (!c->evaluations)
        return error_no_memory(err, "the losses");
    c->n_evaluations = c->runs.n;
    if (evaluations_read(c->evaluations, c->runs.n, &c->domains, a->logbook, &asked, err) != 0 ||
        check_label(c, err) != 0 || read_curves(c, a->logbook, err) != 0 || find_best(c, err) != 0)
        return -1;
    for (int i = 0; i < c->runs.n; i++) {
        int partner = compare_partner(c, i);
        if (partner >= 0 && compare_pair(c, i, partner, err) != 0)
            return -1;
    }
    return adjust_family(c, false, err) != 0 || adjust_family(c, true, err) != 0 ? -1 : 0;
}

const struct run_difference *compare_difference(const struct compare *c, int run, int domain)
{
    for (int i = 0; i < c->n_differences; i++)
        if (c->differences[i].run == run && c->differences[i].domain == domain)
            return &c->differences[i];
    return NULL;
}

/* ---- seeds ---- */

bool compare_is_repeated(const struct compare *c, int run)
{
    for (int i = 0; i < run; i++)
        if (c->runs.runs[i].group == c->runs.runs[run].group &&
            c->runs.runs[i].seed == c->runs.runs[run].seed)
            return true;
    return false;
}

static int compare_group(struct compare *c, int group, struct error *err)
{
    struct group_difference row = {.group = group};
    int n = 0;
    double *differences = malloc((size_t)c->runs.n * sizeof *differences);
    struct group_difference *items =
        realloc(c->group_differences, ((size_t)c->n_group_differences + 1) * sizeof *items);
    if (items)
        c->group_differences = items;
    if (!items || !differences) {
        free(differences);
        return error_no_memory(err, "the seeds");
    }
    for (int i = 0; i < c->runs.n; i++) {
        const struct run_difference *d = compare_difference(c, i, -1);
        if (c->runs.runs[i].group != group || !d || d->unlike || !isfinite(d->i.estimate) ||
            compare_is_repeated(c, i))
            continue;
        row.unit = d->unit;
        differences[n++] = d->i.estimate;
    }
    student_interval(differences, n, compare_level, &row.i);
    row.effect = paired_effect(differences, NULL, n);
    row.verdict = interval_verdict(&row.i, margin_in(c, &c->evaluations[c->baseline], row.unit, -1));
    items[c->n_group_differences++] = row;
    free(differences);
    return 0;
}

int compare_groups(struct compare *c, struct error *err)
{
    for (int g = 0; g < c->runs.n_groups; g++)
        if (g != c->runs.runs[c->baseline].group && compare_group(c, g, err) != 0)
            return -1;
    return 0;
}

int compare_group_losses(const struct compare *c, int group, struct interval *i, struct error *err)
{
    int n = 0;
    double *losses = malloc((size_t)c->runs.n * sizeof *losses);
    if (!losses)
        return error_no_memory(err, "the seeds");
    for (int r = 0; r < c->runs.n; r++)
        if (c->runs.runs[r].group == group && !compare_is_repeated(c, r))
            losses[n++] = evaluation_mean(&c->evaluations[r], NATS_PER_TOKEN, -1);
    student_interval(losses, n, compare_level, i);
    free(losses);
    return 0;
}

int compare_group_at(const struct compare *c, int group, int64_t step, struct interval *i, double *lowest,
                     double *highest, struct error *err)
{
    int n = 0;
    double *losses = malloc((size_t)c->runs.n * sizeof *losses);
    if (!losses)
        return error_no_memory(err, "the seeds");
    *lowest = *highest = NAN;
    for (int p = 0; p < c->n_curve; p++) {
        const struct curve_point *at = &c->curve[p];
        if (at->step != step || c->runs.runs[at->run].group != group || compare_is_repeated(c, at->run))
            continue;
        losses[n++] = at->loss;
        *lowest = fmin(*lowest, at->loss);
        *highest = fmax(*highest, at->loss);
    }
    student_interval(losses, n, compare_level, i);
    free(losses);
    return 0;
}

/* ---- routing agreement ---- */

static int agree_in_layer(struct compare *c, int a, int b, const struct moe_layer *layer, struct error *err)
{
    struct routing_agreement row = {.a = a, .b = b, .layer = layer->layer};
    struct routing_agreement *items = realloc(c->agreements, ((size_t)c->n_agreements + 1) * sizeof *items);
    if (!items)
        return error_no_memory(err, "the probe's routing");
    c->agreements = items;
    if (matched_routing(&c->probes[a], &c->probes[b], layer->layer, layer->n_experts, (uint64_t)c->seed,
                        &row.m, err) != 0)
        return -1;
    items[c->n_agreements++] = row;
    return 0;
}

static int agree_pair(struct compare *c, int a, int b, struct error *err)
{
    const struct compared_run *x = &c->runs.runs[a], *y = &c->runs.runs[b];
    if (c->probes[a].n == 0 || c->probes[b].n == 0)
        return 0;
    for (int i = 0; i < x->n_layers; i++) {
        const struct moe_layer *other = runs_layer(y, x->layers[i].layer);
        if (other && other->n_experts == x->layers[i].n_experts &&
            agree_in_layer(c, a, b, &x->layers[i], err) != 0)
            return -1;
    }
    return 0;
}

/* The last pass of every run that has one. */
static int read_probes(struct compare *c, const struct analysis *a, struct error *err)
{
    int64_t first, last;
    c->probes = calloc((size_t)c->runs.n, sizeof *c->probes);
    if (!c->probes)
        return error_no_memory(err, "the probe's routing");
    c->n_probes = c->runs.n;
    for (int i = 0; i < c->runs.n; i++) {
        const struct compared_run *run = &c->runs.runs[i];
        struct imported imported;
        if (imported_read(&imported, a->logbook, run->run_id, err) != 0)
            return -1;
        if (imported.slots_by_id)
            compare_doubt(
                c, "routing",
                "'%s' was imported with experts in the order of their ids: its first choices are not known, "
                "nor compared",
                run->name);
        if (run->n_layers == 0 || imported.slots_by_id)
            continue;
        if (probe_span(a->logbook, run->run_id, &first, &last, err) != 0 ||
            (last >= 0 && probe_pass_read(&c->probes[i], a->logbook, run->run_id, last, err) != 0))
            return -1;
    }
    return 0;
}

int compare_routing(struct compare *c, const struct analysis *a, struct error *err)
{
    if (read_probes(c, a, err) != 0)
        return -1;
    for (int i = 0; i < c->runs.n; i++)
        for (int j = i + 1; j < c->runs.n; j++)
            if (agree_pair(c, i, j, err) != 0)
                return -1;
    return 0;
}
