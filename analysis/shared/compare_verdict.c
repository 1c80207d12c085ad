/* The verdict of moescope compare in words: each run or group against its baseline, what the statements are
 * about, routing, settings, and the reasons for doubt. */
#include <math.h>
#include <string.h>

#include "analysis/shared/compare.h"

/* ---- one run ---- */

/* " (sql, verse)": those with that verdict, six at most. */
static void add_domain_names(struct text *t, const struct compare *c, int run, enum verdict of)
{
    int named = 0;
    text_add(t, " (");
    for (int i = 0; i < c->n_differences; i++) {
        const struct run_difference *d = &c->differences[i];
        if (d->run == run && d->domain >= 0 && d->verdict == of && named++ < 6)
            text_printf(t, "%s%s", named > 1 ? ", " : "", c->domains.names[d->domain]);
    }
    text_add(t, named > 6 ? ", ...)" : ")");
}

/* "; of 12 domains better in 10, worse in 2 (sql, verse)": those that go against the whole are named. */
static void add_domain_verdicts(struct text *t, const struct compare *c, int run, enum verdict whole)
{
    static const enum verdict order[] = {VERDICT_BETTER, VERDICT_WORSE, VERDICT_EQUIVALENT,
                                         VERDICT_UNDETERMINED};
    const char *separator = "";
    int counts[4] = {0}, n = 0;
    for (int i = 0; i < c->n_differences; i++)
        if (c->differences[i].run == run && c->differences[i].domain >= 0) {
            counts[c->differences[i].verdict]++;
            n++;
        }
    if (n < 2)
        return;
    if (counts[whole] == n) {
        text_printf(t, "; %s in all %d domains", verdict_names[whole], n);
        return;
    }
    text_printf(t, "; of %d domains ", n);
    for (int o = 0; o < 4; o++) {
        if (counts[order[o]] == 0)
            continue;
        text_printf(t, "%s%s in %d", separator, verdict_names[order[o]], counts[order[o]]);
        separator = ", ";
        if (order[o] != whole && (order[o] == VERDICT_BETTER || order[o] == VERDICT_WORSE))
            add_domain_names(t, c, run, order[o]);
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
                        const struct interval *i, const char *kind, double effect)
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
        text_add(t, " (no interval");
    else
        text_printf(t, directed ? " (95 %% %s %.3f to %.3f" : " (95 %% %s %+.3f to %+.3f", kind, low, high);
    if (isfinite(effect))
        text_printf(t, directed ? "; effect size %.2f" : "; effect size %+.2f",
                    directed ? sign * effect : effect);
    text_add(t, ")");
}

/* "; lower before, 3.412 at step 400": of those that were better before they were finished. */
static void add_best(struct text *t, const struct compare *c, int run)
{
    const struct best_loss *best = &c->best[run];
    double last = evaluation_mean(&c->evaluations[run], NATS_PER_TOKEN, -1);
    if (best->step >= 0 && best->step < c->evaluations[run].step && best->loss < last - c->margin)
        text_printf(t, "; it was lower before, %.3f nats per token at step %lld", best->loss,
                    (long long)best->step);
}

static void judge_run(const struct compare *c, int run, struct verdicts *v, struct text *t)
{
    const struct run_difference *d = compare_difference(c, run, -1);
    const struct compared_run *of = &c->runs.runs[run];
    int baseline = compare_partner(c, run);
    if (!d) {
        verdict_add(v, of->name, "not compared", "%s: no losses of documents that %s has too", of->name,
                    compare_name(c, baseline));
        return;
    }
    text_clear(t);
    add_finding(t, d->verdict, compare_name(c, baseline), d->unit, &d->i, "interval", d->effect);
    text_printf(t, " on the same %d documents, %.3f against %.3f", d->documents,
                evaluation_mean(&c->evaluations[run], d->unit, -1),
                evaluation_mean(&c->evaluations[baseline], d->unit, -1));
    if (d->unlike)
        text_printf(t, "; not judged, since they read different pieces of %d documents", d->unlike);
    if (runs_unfinished(of))
        text_printf(t, "; it is %s, at step %lld", of->status, (long long)c->evaluations[run].step);
    if (!d->unlike)
        add_domain_verdicts(t, c, run, d->verdict);
    add_cost(t, c, run, baseline);
    add_best(t, c, run);
    verdict_add(v, of->name, verdict_names[d->verdict], "%s: %s", of->name, t->data);
}

/* ---- a group ---- */

static void judge_group(const struct compare *c, const struct group_difference *row, struct verdicts *v,
                        struct text *t)
{
    char name[128], baseline[128];
    runs_group_name(&c->runs, row->group, name);
    runs_group_name(&c->runs, c->runs.runs[c->baseline].group, baseline);
    text_clear(t);
    if (row->i.n == 0)
        text_printf(t, "has no seed in common with %s: nothing is paired, nothing is said", baseline);
    else {
        add_finding(t, row->verdict, baseline, row->unit, &row->i, "Student-t interval", row->effect);
        text_printf(t, ", paired over %d seed%s", row->i.n, row->i.n == 1 ? "" : "s");
        if (row->i.n < 3)
            text_add(t, "; fewer than 3 seeds tell next to nothing");
        else if (row->i.n < 5)
            text_add(t, "; five are usual for a headline");
    }
    verdict_add(v, name, row->i.n ? verdict_names[row->verdict] : "not compared", "%s: %s", name, t->data);
}

/* ---- by token frequency ---- */

static const char *name_of(const struct compare *c, int i, char buffer[128])
{
    return compare_is_grouped(c) ? runs_group_name(&c->runs, i, buffer) : compare_name(c, i);
}

static void add_bucket(struct text *t, const struct frequency_difference *d)
{
    text_printf(t, "%s %s (%+.3f", frequency_names[d->bucket], verdict_names[d->by_token.verdict],
                d->by_token.i.estimate);
    if (!isnan(d->by_token.i.low))
        text_printf(t, ", 95 %% %+.3f to %+.3f", d->by_token.i.low, d->by_token.i.high);
    if (d->by_domain.verdict != d->by_token.verdict)
        text_printf(t, "; with domains counting alike %s, %+.3f", verdict_names[d->by_domain.verdict],
                    d->by_domain.i.estimate);
    text_add(t, ")");
}

/* One sentence a run or group: the n buckets from `d` on. */
static void judge_frequency(const struct compare *c, const struct frequency_difference *d, int n,
                            struct verdicts *v, struct text *t)
{
    char name[128], baseline[128];
    const char *subject = name_of(c, d->run, name);
    text_clear(t);
    for (int i = 0; i < n; i++) {
        text_add(t, i ? ", " : "");
        add_bucket(t, &d[i]);
    }
    verdict_add(v, subject, "by frequency",
                "%s against %s by frequency of the %s token, in nats per token: %s", subject,
                name_of(c, d->baseline, baseline), c->of, t->data);
}

static void judge_frequencies(const struct compare *c, struct verdicts *v, struct text *t)
{
    const struct frequency_differences *all = compare_is_grouped(c) ? &c->frequency_seeds : &c->frequency;
    for (int i = 0, n; i < all->n; i += n) {
        for (n = 1; i + n < all->n && all->items[i + n].run == all->items[i].run;)
            n++;
        judge_frequency(c, &all->items[i], n, v, t);
    }
}

/* ---- all of them ---- */

static void judge_scope(const struct compare *c, struct verdicts *v)
{
    bool same_but_seed = c->runs.n_groups < c->runs.n;
    if (compare_is_grouped(c))
        verdict_add(v, "scope", "methods",
                    "scope: statements about methods; the unit is the seed, each paired with the baseline's "
                    "run of the same seed; equivalent is within %g nats per token",
                    c->margin);
    else
        verdict_add(
            v, "scope", "models",
            "scope: statements about these trained models, not about methods; the unit is the document, "
            "within domains; methods take several seeds of each and --group-by seed%s; equivalent "
            "is within %g nats per token",
            same_but_seed ? " (some of these runs differ only in it)" : "", c->margin);
    if (c->key)
        verdict_add(v, "documents", "some",
                    "documents: losses are of documents with the label %s=%s alone, routing of all", c->key,
                    c->value);
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
    const struct routing_agreement *rows = &c->agreements[first];
    double low = INFINITY, high = -INFINITY, chance = -INFINITY;
    char subject[300];
    for (int i = 0; i < n; i++) {
        low = fmin(low, rows[i].m.agreement.agreement);
        high = fmax(high, rows[i].m.agreement.agreement);
        chance = fmax(chance, rows[i].m.agreement.chance);
    }
    if (!isfinite(low))
        return;
    snprintf(subject, sizeof subject, "%s and %s", compare_name(c, rows->a), compare_name(c, rows->b));
    text_clear(t);
    text_printf(t, high - low < 0.005 ? "%.0f %%" : "%.0f to %.0f %%", 100 * low, 100 * high);
    verdict_add(
        v, subject, "routing",
        "%s: with experts matched, %s of the probe's tokens go to the same first expert, by layer (by chance "
        "at most %.0f %%; %d documents)",
        subject, t->data, 100 * chance, rows->m.documents);
}

/* "0.39 to 0.55 nat", or "0.39 nat". */
static void add_range(struct text *t, double low, double high, int decimals)
{
    text_printf(t, "%.*f", decimals, low);
    if (high - low >= 0.5 * pow(10, -decimals))
        text_printf(t, " to %.*f", decimals, high);
}

/* One sentence a run: its n layers from the first of `sides` on. */
static void judge_routers(const struct compare *c, const struct router_side *sides, int n, struct verdicts *v,
                          struct text *t)
{
    double effective[2] = {INFINITY, -INFINITY}, nats[2] = {INFINITY, -INFINITY};
    int experts = 0, dead = 0;
    for (int i = 0; i < n; i++) {
        if (sides[i].load.n_experts > 0) {
            effective[0] = fmin(effective[0], sides[i].load.effective_experts);
            effective[1] = fmax(effective[1], sides[i].load.effective_experts);
            dead += sides[i].load.dead_experts;
        }
        nats[0] = fmin(nats[0], sides[i].information.estimate);
        nats[1] = fmax(nats[1], sides[i].information.estimate);
        experts = sides[i].layer.n_experts > experts ? sides[i].layer.n_experts : experts;
    }
    text_clear(t);
    if (isfinite(effective[0])) {
        text_add(t, "load over ");
        add_range(t, effective[0], effective[1], 1);
        text_printf(t, " effective experts of %d, by layer, %d dead", experts, dead);
    }
    if (isfinite(nats[0])) {
        text_add(t, t->length > 0 ? "; a document's domain tells " : "a document's domain tells ");
        add_range(t, nats[0], nats[1], 2);
        text_printf(t, " nat about the expert (%d documents)", sides->documents);
    }
    if (t->length > 0)
        verdict_add(v, compare_name(c, sides->run), "routers", "%s: %s", compare_name(c, sides->run),
                    t->data);
}

static void judge_all_routers(const struct compare *c, struct verdicts *v, struct text *t)
{
    for (int i = 0, n; i < c->n_routers; i += n) {
        for (n = 1; i + n < c->n_routers && c->routers[i + n].run == c->routers[i].run;)
            n++;
        judge_routers(c, &c->routers[i], n, v, t);
    }
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

int compare_judge(struct analysis *a, struct verdicts *v, struct error *err)
{
    const struct compare *c = a->state;
    struct text t;
    text_init(&t);
    for (int i = 0; i < c->n_group_differences; i++)
        judge_group(c, &c->group_differences[i], v, &t);
    for (int i = 0; i < c->runs.n && !compare_is_grouped(c); i++)
        if (i != c->baseline)
            judge_run(c, i, v, &t);
    judge_frequencies(c, v, &t);
    judge_scope(c, v);
    judge_all_routers(c, v, &t);
    judge_agreements(c, v, &t);
    judge_config(c, v, &t);
    for (int i = 0; i < c->reasons.n; i++)
        verdict_add(v, "incomparable", "note", "note: %s", c->reasons.items[i].text);
    int result = t.failed ? error_no_memory(err, "the verdict") : 0;
    text_release(&t);
    return result;
}
