/* moescope compare: which run is better, and is the difference real? Final losses are paired by document and
 * resampled by document within domains, which speaks about these trained models; with --group-by seed the
 * unit is the seed, which speaks about what was trained. What should not be compared is said before anybody
 * asks. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/losses.h"
#include "analysis/shared/matched.h"
#include "analysis/shared/program.h"
#include "analysis/shared/runs.h"

static const double level = 0.95; /* of every interval here */

struct difference {            /* of a run from its baseline, over all documents or one domain's */
    int run, baseline, domain; /* domain -1: all */
    int documents, unlike; /* unlike: of which the two read different pieces, which leaves it undetermined */
    enum loss_unit unit;
    struct interval i;
    double adjusted; /* p by Benjamini-Hochberg over all runs, or over all runs and domains */
    enum verdict verdict;
};

struct agreement_row {
    int a, b, layer;
    struct matched_routing m;
};

struct seed_row { /* of a group from the baseline's */
    int group, seeds;
    enum loss_unit unit;
    struct interval i;
    enum verdict verdict;
};

struct reasons {
    char **texts;
    int n;
    bool failed;
};

struct compare {
    /* options */
    const char *baseline_name, *group_by, *split;
    double margin;
    int64_t seed, step;

    char **names; /* (n) the baseline first when it was not among the operands */
    struct runs runs;
    int baseline;
    struct evaluation *evaluations; /* (n_runs) */
    int n_evaluations;
    struct domain_names domains;
    struct difference *differences;
    int n_differences;
    struct probe_pass *probes; /* (n_runs) */
    int n_probes;
    struct agreement_row *agreements;
    int n_agreements;
    struct seed_row *seeds;
    int n_seeds;
    struct reasons reasons;
};

static void compare_release(struct compare *c)
{
    for (int i = 0; i < c->n_evaluations; i++)
        evaluation_release(&c->evaluations[i]);
    for (int i = 0; i < c->n_probes; i++)
        probe_pass_release(&c->probes[i]);
    for (int i = 0; i < c->reasons.n; i++)
        free(c->reasons.texts[i]);
    free(c->reasons.texts);
    free(c->evaluations);
    free(c->probes);
    free(c->differences);
    free(c->agreements);
    free(c->seeds);
    free(c->names);
    domain_names_release(&c->domains);
    runs_release(&c->runs);
}

/* Room for one more item of an array that grows by doubling; NULL without memory. */
static void *grown(void *items, int n, size_t size)
{
    return (n & (n - 1)) == 0 ? realloc(items, (n ? 2 * (size_t)n : 1) * size) : items;
}

static void add_reason(struct reasons *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add_reason(struct reasons *r, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    for (int i = 0; i < r->n && text; i++)
        if (strcmp(r->texts[i], text) == 0) { /* said of another pair already */
            free(text);
            return;
        }
    char **texts = grown(r->texts, r->n, sizeof *texts);
    if (texts)
        r->texts = texts;
    if (!texts || !text) {
        r->failed = true;
        free(text);
        return;
    }
    texts[r->n++] = text;
}

static bool is_grouped(const struct compare *c)
{
    return c->group_by != NULL;
}

/* ---- which runs, against which ---- */

static int choose_runs(struct analysis *a, struct compare *c, struct error *err)
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
    if (n < 2)
        return error_set(err, STATUS_USAGE,
                         "only one run: name at least two, the baseline first; 'moescope runs %s' "
                         "lists them",
                         a->path);
    return runs_read(&c->runs, a->logbook, c->names, n, err);
}

/* What a run is measured against: the baseline or, between groups, the baseline group's run of the same seed.
 */
static int partner_of(const struct compare *c, int run)
{
    const struct compared_run *of = &c->runs.runs[run];
    int group = c->runs.runs[c->baseline].group;
    if (!is_grouped(c))
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

static int add_difference(struct compare *c, const struct paired_documents *p, struct difference d,
                          struct error *err)
{
    d.documents = evaluation_count(&p->left, d.domain);
    if (d.documents == 0)
        return 0;
    if (paired_interval(p, d.unit, d.domain, (uint64_t)c->seed, &d.i, err) != 0)
        return -1;
    d.verdict =
        d.unlike ? VERDICT_UNDETERMINED : interval_verdict(&d.i, margin_in(c, &p->right, d.unit, d.domain));
    struct difference *items = grown(c->differences, c->n_differences, sizeof *items);
    if (!items)
        return error_no_memory(err, "the differences");
    c->differences = items;
    items[c->n_differences++] = d;
    return 0;
}

static int compare_pair(struct compare *c, int run, int baseline, struct error *err)
{
    const struct compared_run *x = &c->runs.runs[run], *y = &c->runs.runs[baseline];
    bool same_words = x->vocabulary_id == y->vocabulary_id;
    struct difference d = {.run = run, .baseline = baseline, .domain = -1};
    struct paired_documents p;
    if (paired_documents_init(&p, &c->evaluations[run], &c->evaluations[baseline],
                              x->corpus_id != y->corpus_id, err) != 0)
        return -1;
    d.unlike = paired_documents_unlike(&p, same_words);
    d.unit = same_words ? NATS_PER_TOKEN : BITS_PER_BYTE;
    int result = add_difference(c, &p, d, err);
    d.unit = BITS_PER_BYTE;
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
        struct difference *d = &c->differences[i];
        if ((d->domain >= 0) != of_domains)
            continue;
        d->adjusted = p[i];
        if ((d->verdict == VERDICT_BETTER || d->verdict == VERDICT_WORSE) && p[i] > 1 - level)
            d->verdict = VERDICT_UNDETERMINED;
    }
    free(p);
    return result;
}

static int compare_losses(struct analysis *a, struct compare *c, struct error *err)
{
    c->evaluations = calloc((size_t)c->runs.n, sizeof *c->evaluations);
    if (!c->evaluations)
        return error_no_memory(err, "the losses");
    c->n_evaluations = c->runs.n;
    if (evaluations_read(c->evaluations, c->runs.n, &c->domains, a->logbook, c->runs.ids, c->split, c->step,
                         err) != 0)
        return -1;
    for (int i = 0; i < c->runs.n; i++) {
        int partner = partner_of(c, i);
        if (partner >= 0 && compare_pair(c, i, partner, err) != 0)
            return -1;
    }
    return adjust_family(c, false, err) != 0 || adjust_family(c, true, err) != 0 ? -1 : 0;
}

static const struct difference *difference_of(const struct compare *c, int run, int domain)
{
    for (int i = 0; i < c->n_differences; i++)
        if (c->differences[i].run == run && c->differences[i].domain == domain)
            return &c->differences[i];
    return NULL;
}

/* ---- seeds ---- */

/* A run before it has the same settings and seed: that is a repetition, not another seed. */
static bool is_repeated(const struct compare *c, int run)
{
    for (int i = 0; i < run; i++)
        if (c->runs.runs[i].group == c->runs.runs[run].group &&
            c->runs.runs[i].seed == c->runs.runs[run].seed)
            return true;
    return false;
}

static int compare_group(struct compare *c, int group, struct error *err)
{
    struct seed_row row = {.group = group};
    double *differences = malloc((size_t)c->runs.n * sizeof *differences);
    struct seed_row *items = grown(c->seeds, c->n_seeds, sizeof *items);
    if (items)
        c->seeds = items;
    if (!items || !differences) {
        free(differences);
        return error_no_memory(err, "the seeds");
    }
    for (int i = 0; i < c->runs.n; i++) {
        const struct difference *d = difference_of(c, i, -1);
        if (c->runs.runs[i].group != group || !d || d->unlike || !isfinite(d->i.estimate) ||
            is_repeated(c, i))
            continue;
        row.unit = d->unit;
        differences[row.seeds++] = d->i.estimate;
    }
    row.i = (struct interval){NAN, NAN, NAN, NAN, 0, 0};
    if (row.seeds > 0)
        student_interval(differences, row.seeds, level, &row.i);
    row.verdict = interval_verdict(&row.i, margin_in(c, &c->evaluations[c->baseline], row.unit, -1));
    items[c->n_seeds++] = row;
    free(differences);
    return 0;
}

static int compare_seeds(struct compare *c, struct error *err)
{
    for (int g = 0; g < c->runs.n_groups; g++)
        if (g != c->runs.runs[c->baseline].group && compare_group(c, g, err) != 0)
            return -1;
    return 0;
}

/* ---- routing agreement ---- */

static int agree_in_layer(struct compare *c, int a, int b, const struct moe_layer *layer, struct error *err)
{
    struct agreement_row row = {.a = a, .b = b, .layer = layer->layer};
    struct agreement_row *items = grown(c->agreements, c->n_agreements, sizeof *items);
    if (!items)
        return error_no_memory(err, "the probe's routing");
    c->agreements = items;
    if (matched_routing(&c->probes[a], &c->probes[b], layer->layer, layer->n_experts, (uint64_t)c->seed,
                        &row.m, err) != 0)
        return -1;
    items[c->n_agreements++] = row;
    return 0;
}

static const struct moe_layer *layer_of(const struct compared_run *run, int layer)
{
    for (int i = 0; i < run->n_layers; i++)
        if (run->layers[i].layer == layer)
            return &run->layers[i];
    return NULL;
}

static int agree_pair(struct compare *c, int a, int b, struct error *err)
{
    const struct compared_run *x = &c->runs.runs[a], *y = &c->runs.runs[b];
    if (c->probes[a].n == 0 || c->probes[b].n == 0)
        return 0;
    for (int i = 0; i < x->n_layers; i++) {
        const struct moe_layer *other = layer_of(y, x->layers[i].layer);
        if (other && other->n_experts == x->layers[i].n_experts &&
            agree_in_layer(c, a, b, &x->layers[i], err) != 0)
            return -1;
    }
    return 0;
}

static int compare_routing(struct analysis *a, struct compare *c, struct error *err)
{
    int64_t first, last;
    c->probes = calloc((size_t)c->runs.n, sizeof *c->probes);
    if (!c->probes)
        return error_no_memory(err, "the probe's routing");
    c->n_probes = c->runs.n;
    for (int i = 0; i < c->runs.n; i++) {
        const struct compared_run *run = &c->runs.runs[i];
        if (run->n_layers == 0)
            continue;
        if (probe_span(a->logbook, run->run_id, &first, &last, err) != 0)
            return -1;
        if (last >= 0 && probe_pass_read(&c->probes[i], a->logbook, run->run_id, last, err) != 0)
            return -1;
    }
    for (int i = 0; i < c->runs.n; i++)
        for (int j = i + 1; j < c->runs.n; j++)
            if (agree_pair(c, i, j, err) != 0)
                return -1;
    return 0;
}

/* ---- what is not comparable ---- */

static bool is_unfinished(const struct compared_run *run)
{
    return strcmp(run->status, "finished") != 0 && strcmp(run->status, "imported") != 0;
}

static void doubt_run(struct compare *c, int i)
{
    const struct compared_run *run = &c->runs.runs[i];
    const struct evaluation *e = &c->evaluations[i];
    if (is_unfinished(run))
        add_reason(&c->reasons, "run '%s' is %s: its losses are those of step %lld, not final", run->name,
                   run->status, (long long)e->step);
    if (e->step < 0)
        add_reason(&c->reasons, "run '%s' has no losses of split '%s'%s: it cannot be compared", run->name,
                   c->split, c->step >= 0 ? " up to that step" : "");
    if (run->n_layers > 0 && c->n_probes && c->probes[i].n == 0)
        add_reason(&c->reasons, "run '%s' logged no routing of a probe: no routing agreement", run->name);
    if (e->n_not_finite)
        add_reason(&c->reasons,
                   "run '%s': the loss of %d of %d documents is not finite: no figure is given for it",
                   run->name, e->n_not_finite, e->n);
}

/* Texts, words and documents. */
static void doubt_documents(struct compare *c, int run, int baseline)
{
    const struct compared_run *x = &c->runs.runs[run], *y = &c->runs.runs[baseline];
    const struct evaluation *e = &c->evaluations[run], *f = &c->evaluations[baseline];
    const struct difference *d = difference_of(c, run, -1);
    int common = d ? d->documents : 0;
    if (x->corpus_id != y->corpus_id)
        add_reason(&c->reasons,
                   "'%s' and '%s' have different corpora (%s, %s): documents are matched by their text",
                   x->name, y->name, x->corpus, y->corpus);
    if (x->vocabulary_id != y->vocabulary_id)
        add_reason(
            &c->reasons,
            "'%s' and '%s' have different vocabularies: only bits per byte are compared, not nats per token",
            x->name, y->name);
    if (d && d->unlike)
        add_reason(&c->reasons,
                   "'%s' and '%s' read different pieces of %d of %d documents: their difference is "
                   "shown, but not judged",
                   x->name, y->name, d->unlike, d->documents);
    if (e->step >= 0 && f->step >= 0 && (common < e->n || common < f->n))
        add_reason(&c->reasons,
                   "'%s' has losses of %d documents, '%s' of %d: the %d that both have are compared", x->name,
                   e->n, y->name, f->n, common);
    if (d && isnan(d->i.low) && isfinite(d->i.estimate))
        add_reason(
            &c->reasons,
            "'%s' and '%s': no interval, since a domain has only %d documents in common (%d are needed)",
            x->name, y->name, d->i.smallest, bootstrap_defaults().min_documents);
}

/* Training: steps and tokens; a run that only counts has neither. */
static void doubt_training(struct compare *c, int run, int baseline)
{
    const struct compared_run *x = &c->runs.runs[run], *y = &c->runs.runs[baseline];
    int64_t a = c->evaluations[run].step, b = c->evaluations[baseline].step;
    if (isnan(x->tokens) != isnan(y->tokens)) {
        const char *counted = isnan(x->tokens) ? x->name : y->name;
        add_reason(&c->reasons, "'%s' logged no training: it has no cost and, where it only counts, no steps",
                   counted);
        return;
    }
    if (fabs(x->tokens - y->tokens) > 0.01 * fmax(x->tokens, y->tokens))
        add_reason(&c->reasons, "'%s' saw %.0f tokens of training, '%s' %.0f", x->name, x->tokens, y->name,
                   y->tokens);
    if (c->step >= 0 && a >= 0 && b >= 0 && a != b)
        add_reason(&c->reasons, "'%s' is measured at step %lld, '%s' at step %lld", x->name, (long long)a,
                   y->name, (long long)b);
}

static void doubt_routing(struct compare *c, int run, int baseline)
{
    const struct compared_run *x = &c->runs.runs[run], *y = &c->runs.runs[baseline];
    if (isnan(x->tokens) || isnan(y->tokens))
        return; /* said already: no training, so no routing */
    if ((x->n_layers == 0) != (y->n_layers == 0))
        add_reason(&c->reasons, "'%s' has no MoE layers: no routing to compare with '%s'",
                   x->n_layers == 0 ? x->name : y->name, x->n_layers == 0 ? y->name : x->name);
    for (int i = 0; i < x->n_layers; i++) {
        const struct moe_layer *other = layer_of(y, x->layers[i].layer);
        if (y->n_layers > 0 && !other)
            add_reason(&c->reasons, "'%s' has experts in block %d, '%s' has none there: no routing agreement",
                       x->name, x->layers[i].layer, y->name);
        else if (other && other->n_experts != x->layers[i].n_experts)
            add_reason(&c->reasons, "block %d has %d experts in '%s' and %d in '%s': no routing agreement",
                       x->layers[i].layer, x->layers[i].n_experts, x->name, other->n_experts, y->name);
    }
    if (c->n_probes && c->probes[run].n && c->probes[run].step != c->probes[baseline].step &&
        c->probes[baseline].n)
        add_reason(&c->reasons, "the last probe of '%s' is at step %lld, that of '%s' at step %lld", x->name,
                   (long long)c->probes[run].step, y->name, (long long)c->probes[baseline].step);
}

/* Settings that decide what was measured and written down. */
static void doubt_settings(struct compare *c)
{
    static const char *const keys[] = {"valid.tokens_per_document", "probe.tokens_per_document",
                                       "log.decisions", NULL};
    const char *machine = NULL;
    static const char *const effects[] = {"losses are of different pieces of text", "probes are different",
                                          "routing was logged for different tokens"};
    bool different_machines = false;
    for (int k = 0; keys[k]; k++) {
        const struct setting *s = runs_setting(&c->runs, keys[k]);
        for (int i = 0; s && i < c->runs.n; i++)
            if (s->values[i] && s->values[c->baseline] && strcmp(s->values[i], s->values[c->baseline]) != 0)
                add_reason(&c->reasons, "%s is %s in '%s' and %s in '%s': %s", keys[k], s->values[i],
                           c->runs.runs[i].name, s->values[c->baseline], c->runs.runs[c->baseline].name,
                           effects[k]);
    }
    for (int i = 0; i < c->runs.n; i++)
        if (!isnan(c->runs.runs[i].seconds)) {
            machine = machine ? machine : c->runs.runs[i].machine;
            different_machines |= strcmp(c->runs.runs[i].machine, machine) != 0;
        }
    if (different_machines)
        add_reason(&c->reasons,
                   "the runs were not all trained on the same machine: seconds and tokens per second are "
                   "not comparable");
}

static void doubt_bytes(struct compare *c)
{
    int partial = 0;
    for (int i = 0; i < c->runs.n; i++)
        partial = c->evaluations[i].n_partial > partial ? c->evaluations[i].n_partial : partial;
    if (partial)
        add_reason(&c->reasons,
                   "%d documents were read in part: bits per byte take each to have the bytes per token of "
                   "its whole "
                   "text, the same for all runs of one vocabulary",
                   partial);
}

static void find_doubts(struct compare *c)
{
    for (int i = 0; i < c->runs.n; i++)
        doubt_run(c, i);
    for (int i = 0; i < c->runs.n; i++) {
        int partner = partner_of(c, i);
        if (partner < 0 && is_grouped(c) && c->runs.runs[i].group != c->runs.runs[c->baseline].group)
            add_reason(&c->reasons,
                       "'%s' has seed %lld, which no run of the baseline's group has: left out of the "
                       "differences",
                       c->runs.runs[i].name, (long long)c->runs.runs[i].seed);
        if (partner < 0)
            continue;
        doubt_documents(c, i, partner);
        doubt_training(c, i, partner);
        doubt_routing(c, i, partner);
    }
    doubt_settings(c);
    doubt_bytes(c);
}

static int compare_prepare(struct analysis *a, struct error *err)
{
    struct compare *c = a->state;
    bool everything = analysis_wants(a, "verdict");
    if (c->group_by && strcmp(c->group_by, "seed") != 0)
        return error_set(err, STATUS_USAGE, "runs can be grouped by seed, not by '%s'", c->group_by);
    if (c->margin < 0)
        return error_set(err, STATUS_USAGE, "the margin must not be negative");
    if (choose_runs(a, c, err) != 0 || compare_losses(a, c, err) != 0)
        return -1;
    if (is_grouped(c) && compare_seeds(c, err) != 0)
        return -1;
    if ((everything || analysis_wants(a, "agreement") || analysis_wants(a, "incomparable")) &&
        compare_routing(a, c, err) != 0)
        return -1;
    find_doubts(c);
    return c->reasons.failed ? error_no_memory(err, "the reasons") : 0;
}

/* ---- words ---- */

static const char *run_name(const struct compare *c, int run)
{
    return c->runs.runs[run].name;
}

/* "better in 10 of 12 domains, worse in 2 (sql, verse)" */
static void add_domain_verdicts(struct text *t, const struct compare *c, int run, enum verdict of)
{
    int counts[4] = {0}, n = 0, named = 0;
    for (int i = 0; i < c->n_differences; i++)
        if (c->differences[i].run == run && c->differences[i].domain >= 0) {
            counts[c->differences[i].verdict]++;
            n++;
        }
    if (n < 2)
        return;
    if (counts[of] == n) {
        text_printf(t, "; %s in all %d domains", verdict_names[of], n);
        return;
    }
    static const enum verdict order[] = {VERDICT_BETTER, VERDICT_WORSE, VERDICT_EQUIVALENT,
                                         VERDICT_UNDETERMINED};
    const char *separator = "";
    text_printf(t, "; of %d domains ", n);
    for (int o = 0; o < 4; o++) {
        if (counts[order[o]] == 0)
            continue;
        text_printf(t, "%s%s in %d", separator, verdict_names[order[o]], counts[order[o]]);
        separator = ", ";
        /* Those that go against the whole are named. */
        bool against = (order[o] == VERDICT_BETTER && of != VERDICT_BETTER) ||
                       (order[o] == VERDICT_WORSE && of != VERDICT_WORSE);
        if (!against)
            continue;
        text_add(t, " (");
        named = 0;
        for (int i = 0; i < c->n_differences; i++)
            if (c->differences[i].run == run && c->differences[i].domain >= 0 &&
                c->differences[i].verdict == order[o] && named++ < 6)
                text_printf(t, "%s%s", named > 1 ? ", " : "", c->domains.names[c->differences[i].domain]);
        text_add(t, named > 6 ? ", ...)" : ")");
    }
}

static void add_cost(struct text *t, const struct compare *c, int run, int baseline)
{
    const struct compared_run *x = &c->runs.runs[run], *y = &c->runs.runs[baseline];
    double work = x->gigaflop / y->gigaflop, time = x->seconds / y->seconds;
    if (fabs(work - 1) < 0.005)
        text_add(t, "; the same arithmetic");
    else if (isfinite(work))
        text_printf(t, "; %.2f times the arithmetic", work);
    if (isfinite(time))
        text_printf(t, "%s %.2f times the seconds", isfinite(work) ? " and" : ";", time);
}

static const char *unit_words(enum loss_unit unit)
{
    return unit == NATS_PER_TOKEN ? "nats per token" : "bits per byte";
}

/* "better than dense by 0.041 nats per token (95 % interval 0.035 to 0.047)" */
static void add_finding(struct text *t, enum verdict verdict, const char *baseline, enum loss_unit unit,
                        const struct interval *i, const char *kind)
{
    bool directed = verdict == VERDICT_BETTER || verdict == VERDICT_WORSE;
    double sign = verdict == VERDICT_BETTER ? -1 : 1;
    double low = fmin(sign * i->low, sign * i->high), high = fmax(sign * i->low, sign * i->high);
    if (directed)
        text_printf(t, "%s than %s by %.3f %s", verdict_names[verdict], baseline, sign * i->estimate,
                    unit_words(unit));
    else
        text_printf(t, "%s %s, difference %+.3f %s",
                    verdict == VERDICT_EQUIVALENT ? "equivalent to" : "undetermined against", baseline,
                    i->estimate, unit_words(unit));
    if (isnan(i->low))
        text_add(t, " (no interval)");
    else
        text_printf(t, directed ? " (95 %% %s %.3f to %.3f)" : " (95 %% %s %+.3f to %+.3f)", kind, low, high);
}

static void judge_run(const struct compare *c, int run, struct verdicts *v, struct text *t)
{
    const struct difference *d = difference_of(c, run, -1);
    const struct compared_run *of = &c->runs.runs[run];
    int baseline = partner_of(c, run);
    if (!d) {
        verdict_add(v, of->name, "not compared", "%s: no losses of documents that %s has too", of->name,
                    run_name(c, baseline));
        return;
    }
    text_clear(t);
    add_finding(t, d->verdict, run_name(c, baseline), d->unit, &d->i, "interval");
    text_printf(t, " on the same %d documents, %.3f against %.3f", d->documents,
                evaluation_mean(&c->evaluations[run], d->unit, -1),
                evaluation_mean(&c->evaluations[baseline], d->unit, -1));
    if (d->unlike)
        text_printf(t, "; not judged, since they read different pieces of %d documents", d->unlike);
    if (is_unfinished(of))
        text_printf(t, "; it is %s, at step %lld", of->status, (long long)c->evaluations[run].step);
    if (!d->unlike)
        add_domain_verdicts(t, c, run, d->verdict);
    add_cost(t, c, run, baseline);
    verdict_add(v, of->name, verdict_names[d->verdict], "%s: %s", of->name, t->data);
}

static void judge_group(const struct compare *c, const struct seed_row *row, struct verdicts *v,
                        struct text *t)
{
    char name[128], baseline[128];
    runs_group_name(&c->runs, row->group, name);
    runs_group_name(&c->runs, c->runs.runs[c->baseline].group, baseline);
    text_clear(t);
    if (row->seeds == 0)
        text_printf(t, "has no seed in common with %s: nothing is paired, nothing is said", baseline);
    else {
        add_finding(t, row->verdict, baseline, row->unit, &row->i, "Student-t interval");
        text_printf(t, ", paired over %d seed%s", row->seeds, row->seeds == 1 ? "" : "s");
        if (row->seeds < 3)
            text_add(t, "; fewer than 3 seeds tell next to nothing");
        else if (row->seeds < 5)
            text_add(t, "; five are usual for a headline");
    }
    verdict_add(v, name, row->seeds ? verdict_names[row->verdict] : "not compared", "%s: %s", name, t->data);
}

static void judge_scope(const struct compare *c, struct verdicts *v)
{
    bool same_but_seed = c->runs.n_groups < c->runs.n;
    if (is_grouped(c))
        verdict_add(v, "scope", "methods",
                    "scope: statements about methods; the unit is the seed, each paired with the baseline's "
                    "run of the "
                    "same seed; equivalent is within %g nats per token",
                    c->margin);
    else
        verdict_add(
            v, "scope", "models",
            "scope: statements about these trained models, not about methods; the unit is the document, "
            "resampled within domains; methods take several seeds of each and --group-by seed%s; equivalent "
            "is within %g nats per token",
            same_but_seed ? " (some of these runs differ only in it)" : "", c->margin);
}

static void judge_config(const struct compare *c, struct verdicts *v, struct text *t)
{
    int said = 0;
    text_clear(t);
    text_printf(t, "config: %d setting%s", c->runs.n_differing,
                c->runs.n_differing == 1 ? " differs" : "s differ");
    for (int i = 0; i < c->runs.n_settings; i++)
        if (c->runs.settings[i].differs && said++ < 8)
            text_printf(t, "%s%s", said == 1 ? " (" : ", ", c->runs.settings[i].key);
    text_add(t, said > 8 ? ", ...)" : said ? ")" : "");
    verdict_add(v, "config", c->runs.n_differing ? "different" : "equal", "%s, %d are equal", t->data,
                c->runs.n_settings - c->runs.n_differing);
}

/* One sentence a pair of runs: least and most over layers. */
static void judge_agreement(const struct compare *c, int first, int n, struct verdicts *v, struct text *t)
{
    const struct agreement_row *rows = &c->agreements[first];
    double low = INFINITY, high = -INFINITY, chance = -INFINITY;
    char subject[300];
    for (int i = 0; i < n; i++) {
        low = fmin(low, rows[i].m.agreement.agreement);
        high = fmax(high, rows[i].m.agreement.agreement);
        chance = fmax(chance, rows[i].m.agreement.chance);
    }
    if (!isfinite(low))
        return;
    snprintf(subject, sizeof subject, "%s and %s", run_name(c, rows->a), run_name(c, rows->b));
    text_clear(t);
    text_printf(t, high - low < 0.005 ? "%.0f %%" : "%.0f to %.0f %%", 100 * low, 100 * high);
    verdict_add(
        v, subject, "routing",
        "%s: with experts matched, %s of the probe's tokens go to the same first expert, by layer (by chance "
        "at most %.0f %%; %d documents)",
        subject, t->data, 100 * chance, rows->m.documents);
}

static void judge_agreements(const struct compare *c, struct verdicts *v, struct text *t)
{
    int shown = 0;
    for (int i = 0; i < c->n_agreements && shown < 6;) {
        int n = 1;
        while (i + n < c->n_agreements && c->agreements[i + n].a == c->agreements[i].a &&
               c->agreements[i + n].b == c->agreements[i].b)
            n++;
        judge_agreement(c, i, n, v, t);
        i += n;
        shown++;
    }
}

static int compare_verdicts(struct analysis *a, struct verdicts *v, struct error *err)
{
    struct compare *c = a->state;
    struct text t;
    if (!analysis_wants(a, "verdict"))
        return 0; /* --exit-code with another table: the finding alone */
    text_init(&t);
    for (int i = 0; i < c->n_seeds; i++)
        judge_group(c, &c->seeds[i], v, &t);
    for (int i = 0; i < c->runs.n && !is_grouped(c); i++)
        if (i != c->baseline)
            judge_run(c, i, v, &t);
    judge_scope(c, v);
    judge_agreements(c, v, &t);
    judge_config(c, v, &t);
    for (int i = 0; i < c->reasons.n; i++)
        verdict_add(v, "incomparable", "note", "note: %s", c->reasons.texts[i]);
    int result = t.failed ? error_no_memory(err, "the verdict") : 0;
    text_release(&t);
    return result;
}

/* Worse than the baseline: what a gate before merging wants to know. */
static bool compare_found(const struct analysis *a)
{
    const struct compare *c = a->state;
    for (int i = 0; i < c->n_seeds; i++)
        if (c->seeds[i].verdict == VERDICT_WORSE)
            return true;
    for (int i = 0; i < c->n_differences && !is_grouped(c); i++)
        if (c->differences[i].domain < 0 && c->differences[i].verdict == VERDICT_WORSE)
            return true;
    return false;
}

static void compare_bind(const struct analysis *a, struct query *q)
{
    const struct compare *c = a->state;
    int other = c->baseline == 0 ? 1 : 0;
    query_bind_text(q, ":runs", c->runs.ids);
    query_bind_text(q, ":split", c->split);
    if (c->step >= 0)
        query_bind_int(q, ":step", c->step);
    query_bind_int(q, ":run_a", c->runs.runs[c->baseline].run_id);
    query_bind_int(q, ":run_b", c->runs.runs[other].run_id);
}

/* ---- tables ---- */

/* What is not known is left empty, in every format. */
static void put_real(struct table *t, double x)
{
    if (isnan(x))
        table_null(t);
    else
        table_real(t, x);
}

static const char *config_column(const struct analysis *a, int i)
{
    const struct compare *c = a->state;
    return i < c->runs.n ? c->runs.runs[i].name : NULL;
}

static int config_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    (void)err;
    for (int i = 0; i < c->runs.n_settings; i++) {
        const struct setting *s = &c->runs.settings[i];
        if (!s->differs)
            continue;
        table_text(t, s->key);
        for (int j = 0; j < c->runs.n; j++)
            table_text(t, s->values[j]);
    }
    return 0;
}

static int loss_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    for (int i = 0; i < c->runs.n; i++) {
        const struct evaluation *e = &c->evaluations[i];
        struct interval nats, bits;
        if (evaluation_interval(e, NATS_PER_TOKEN, -1, (uint64_t)c->seed, &nats, err) != 0 ||
            evaluation_interval(e, BITS_PER_BYTE, -1, (uint64_t)c->seed, &bits, err) != 0)
            return -1;
        table_text(t, run_name(c, i));
        table_int(t, c->runs.runs[i].seed);
        if (e->step >= 0)
            table_int(t, e->step);
        else
            table_null(t);
        table_int(t, e->n);
        put_real(t, nats.estimate);
        put_real(t, nats.low);
        put_real(t, nats.high);
        put_real(t, bits.estimate);
        put_real(t, bits.low);
        put_real(t, bits.high);
    }
    return 0;
}

static int difference_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    (void)err;
    for (int i = 0; i < c->n_differences; i++) {
        const struct difference *d = &c->differences[i];
        table_text(t, run_name(c, d->run));
        table_text(t, run_name(c, d->baseline));
        table_text(t, d->domain < 0 ? "all" : c->domains.names[d->domain]);
        table_int(t, d->documents);
        put_real(t, d->i.estimate);
        put_real(t, d->i.low);
        put_real(t, d->i.high);
        table_text(t, verdict_names[d->verdict]);
        table_text(t, loss_unit_names[d->unit]);
        put_real(t, d->adjusted);
    }
    return 0;
}

static int domain_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    for (int i = 0; i < c->runs.n; i++)
        for (int d = 0; d < c->domains.n; d++) {
            struct interval bits;
            int n = evaluation_count(&c->evaluations[i], d);
            if (n == 0)
                continue;
            if (evaluation_interval(&c->evaluations[i], BITS_PER_BYTE, d, (uint64_t)c->seed, &bits, err) != 0)
                return -1;
            table_text(t, run_name(c, i));
            table_text(t, c->domains.names[d]);
            table_int(t, n);
            put_real(t, bits.estimate);
            put_real(t, bits.low);
            put_real(t, bits.high);
        }
    return 0;
}

static int agreement_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    (void)err;
    for (int i = 0; i < c->n_agreements; i++) {
        const struct agreement_row *r = &c->agreements[i];
        table_text(t, run_name(c, r->a));
        table_text(t, run_name(c, r->b));
        table_int(t, r->layer);
        put_real(t, r->m.agreement.agreement);
        put_real(t, r->m.agreement.chance);
        put_real(t, r->m.interval.low);
        put_real(t, r->m.interval.high);
        put_real(t, r->m.agreement.above);
        table_int(t, r->m.documents);
        put_real(t, r->m.agreement.n_tokens);
    }
    return 0;
}

static int seed_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    char name[128], baseline[128];
    (void)err;
    for (int i = 0; i < c->n_seeds; i++) {
        const struct seed_row *r = &c->seeds[i];
        table_text(t, runs_group_name(&c->runs, r->group, name));
        table_text(t, runs_group_name(&c->runs, c->runs.runs[c->baseline].group, baseline));
        table_int(t, r->seeds);
        put_real(t, r->i.estimate);
        put_real(t, r->i.low);
        put_real(t, r->i.high);
        table_text(t, r->seeds ? verdict_names[r->verdict] : NULL);
        table_text(t, loss_unit_names[r->unit]);
        put_real(t, r->i.p);
    }
    return 0;
}

/* Mean and interval over the seeds of one group. */
static int group_row(const struct compare *c, int group, struct table *t, struct error *err)
{
    struct interval i;
    char name[128];
    int n = 0;
    double *losses = malloc((size_t)c->runs.n * sizeof *losses);
    if (!losses)
        return error_no_memory(err, "the seeds");
    for (int r = 0; r < c->runs.n; r++)
        if (c->runs.runs[r].group == group && !is_repeated(c, r))
            losses[n++] = evaluation_mean(&c->evaluations[r], NATS_PER_TOKEN, -1);
    student_interval(losses, n, level, &i);
    table_text(t, runs_group_name(&c->runs, group, name));
    table_int(t, n);
    put_real(t, i.estimate);
    put_real(t, i.low);
    put_real(t, i.high);
    free(losses);
    return 0;
}

static int group_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    for (int g = 0; g < c->runs.n_groups && is_grouped(c); g++)
        if (group_row(c, g, t, err) != 0)
            return -1;
    return 0;
}

static int reason_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    (void)err;
    for (int i = 0; i < c->reasons.n; i++)
        table_text(t, c->reasons.texts[i]);
    return 0;
}

static const struct analysis_table tables[] = {
    {.name = "difference",
     .help = "a run and domain against the baseline, paired by document; below 0 is better; p by "
             "Benjamini-Hochberg",
     .columns = "run,baseline,domain,documents,difference,low,high,verdict,unit,p",
     .sql = "analysis/compare_losses",
     .rows = difference_rows},
    {.name = "losses",
     .help = "a run's final losses over all its documents, with bootstrap intervals over documents",
     .columns = "run,seed,step,documents,loss,low,high,bits_per_byte,bits_low,bits_high",
     .sql = "analysis/compare_losses",
     .rows = loss_rows},
    {.name = "domains",
     .help = "a run and domain, in bits per byte",
     .columns = "run,domain,documents,bits_per_byte,low,high",
     .sql = "analysis/compare_losses",
     .rows = domain_rows},
    {.name = "cost",
     .help = "what a run cost to train; tokens_per_second is the median of its steps",
     .columns = "run,parameters,active_parameters,tokens,seconds,tokens_per_second,gigaflop",
     .sql = "analysis/compare_cost"},
    {.name = "agreement",
     .help = "two runs and a layer: share of the probe's first choices that agree once experts are matched "
             "(on the "
             "other half of the documents)",
     .columns = "run_a,run_b,layer,agreement,chance,low,high,above_chance,documents,tokens",
     .sql = "analysis/compare_choices",
     .rows = agreement_rows},
    {.name = "config",
     .help = "a setting in which the runs differ",
     .columns = "key",
     .sql = "analysis/compare_config",
     .rows = config_rows,
     .more_columns = config_column},
    {.name = "seeds",
     .help = "a group of runs alike but for the seed against the baseline's group, paired by seed "
             "(--group-by seed)",
     .columns = "group,baseline,seeds,difference,low,high,verdict,unit,p",
     .rows = seed_rows},
    {.name = "groups",
     .help = "a group's mean loss in nats per token with Student's interval over its seeds (--group-by seed)",
     .columns = "group,seeds,loss,low,high",
     .rows = group_rows},
    {.name = "incomparable",
     .help = "what to keep in mind, or not to compare at all",
     .columns = "reason",
     .rows = reason_rows},
    {0}};

int main(int argc, char **argv)
{
    struct compare c = {.split = "valid", .margin = 0.01, .seed = 1, .step = -1};
    const struct option_spec options[] = {
        {"baseline", 'b', OPTION_STRING, &c.baseline_name, "RUN",
         "what the others are measured against (default: the "
         "first)"},
        {"margin", 'm', OPTION_REAL, &c.margin, "X", "nats per token that count as equal (default 0.01)"},
        {"group-by", 'g', OPTION_STRING, &c.group_by, "seed",
         "group runs alike but for the seed and compare the groups"},
        {"split", 0, OPTION_STRING, &c.split, "SPLIT",
         "whose losses: valid, probe or routed (default valid)"},
        {"step", 0, OPTION_INT, &c.step, "N", "the last evaluation up to step N (default: each run's last)"},
        {"seed", 0, OPTION_INT, &c.seed, "N", "of the resampling (default 1)"},
        {0}};
    const struct analysis_program program = {
        .command =
            {.verb = "compare",
             .operands = "DB RUN RUN...",
             .purpose = "which run is better, by how much, and is it real",
             .details =
                 "Differences are paired by document and below 0 where a run is better than the baseline. "
                 "Verdicts: better, worse,\nequivalent (the interval lies within the margin), "
                 "undetermined. Intervals are of 95 %, from 2000 resamples of\ndocuments within domains; "
                 "a domain with fewer than 10 documents has none.\n",
             .examples =
                 "moescope compare log.db dense top1 top2\n"
                 "moescope compare log.db top1 top2 --table difference --format csv\n"
                 "moescope compare log.db dense-1 dense-2 dense-3 top2-1 top2-2 top2-3 --group-by seed\n",
             .options = options,
             .min_operands = 2,
             .max_operands = -1},
        .tables = tables,
        .many_runs = true,
        .prepare = compare_prepare,
        .bind = compare_bind,
        .judge = compare_verdicts,
        .finding = compare_found,
        .finding_help = "exit with 1 if any run is worse than the baseline",
    };
    int status = analysis_main(&program, &c, argc, argv);
    compare_release(&c);
    return status;
}
