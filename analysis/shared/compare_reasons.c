/* What is not comparable between runs, or to be kept in mind. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/compare.h"

void compare_doubt(struct compare *c, const char *kind, const char *format, ...)
{
    struct reasons *r = &c->reasons;
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    for (int i = 0; i < r->n && text; i++)
        if (strcmp(r->items[i].text, text) == 0) { /* said of another pair already */
            free(text);
            return;
        }
    struct reason *items = realloc(r->items, ((size_t)r->n + 1) * sizeof *items);
    if (items)
        r->items = items;
    if (!items || !text) {
        r->failed = true;
        free(text);
        return;
    }
    items[r->n++] = (struct reason){kind, text};
}

static void doubt_run(struct compare *c, int i)
{
    const struct compared_run *run = &c->runs.runs[i];
    const struct evaluation *e = &c->evaluations[i];
    if (runs_unfinished(run))
        compare_doubt(c, "status", "run '%s' is %s: its losses are those of step %lld, not final", run->name,
                      run->status, (long long)e->step);
    if (e->step < 0)
        compare_doubt(c, "losses", "run '%s' has no losses of split '%s'%s: it cannot be compared", run->name,
                      c->split, c->step >= 0 ? " up to that step" : "");
    if (run->n_layers > 0 && c->n_probes && c->probes[i].n == 0)
        compare_doubt(c, "routing", "run '%s' logged no routing of a probe: no routing agreement", run->name);
    if (*run->pruned)
        compare_doubt(c, "pruned", "run '%s' was pruned: it has no more %s", run->name, run->pruned);
    if (e->n_not_finite)
        compare_doubt(c, "losses",
                      "run '%s': the loss of %d of %d documents is not finite: no figure is given for it",
                      run->name, e->n_not_finite, e->n);
}

/* Texts, words and documents. */
static void doubt_documents(struct compare *c, int run, int baseline)
{
    const struct compared_run *x = &c->runs.runs[run], *y = &c->runs.runs[baseline];
    const struct evaluation *e = &c->evaluations[run], *f = &c->evaluations[baseline];
    const struct run_difference *d = compare_difference(c, run, -1);
    int common = d ? d->documents : 0;
    if (strcmp(x->task, y->task) != 0) {
        compare_doubt(
            c, "task",
            "'%s' is trained on the task %s and '%s' on %s: their losses are not of one kind, and not "
            "compared",
            x->name, x->task, y->name, y->task);
        return;
    }
    if (x->corpus_id != y->corpus_id)
        compare_doubt(c, "corpus",
                      "'%s' and '%s' have different corpora (%s, %s): documents are matched by their text",
                      x->name, y->name, x->corpus, y->corpus);
    if (x->vocabulary_id != y->vocabulary_id)
        compare_doubt(
            c, "vocabulary",
            "'%s' and '%s' have different tokenisers (%s, %s), hence different vocabularies: only bits "
            "per byte are compared, not nats per token",
            x->name, y->name, x->vocabulary, y->vocabulary);
    if (d && d->unlike)
        compare_doubt(c, "documents",
                      "'%s' and '%s' read different pieces of %d of %d documents: their difference is "
                      "shown, but not judged",
                      x->name, y->name, d->unlike, d->documents);
    if (e->step >= 0 && f->step >= 0 && common == 0)
        compare_doubt(c, "documents",
                      "'%s' and '%s' have no held-out document in common (of %d and %d): not compared",
                      x->name, y->name, e->n, f->n);
    else if (e->step >= 0 && f->step >= 0 && (common < e->n || common < f->n))
        compare_doubt(c, "documents",
                      "'%s' has losses of %d documents, '%s' of %d: the %d that both have are compared",
                      x->name, e->n, y->name, f->n, common);
    if (d && isnan(d->i.low) && isfinite(d->i.estimate))
        compare_doubt(
            c, "documents",
            "'%s' and '%s': no interval, since a domain has only %d documents in common (%d are needed)",
            x->name, y->name, d->i.smallest, interval_defaults().min_documents);
}

/* Training: steps and tokens; a run that only counts has neither. */
static void doubt_training(struct compare *c, int run, int baseline)
{
    const struct compared_run *x = &c->runs.runs[run], *y = &c->runs.runs[baseline];
    int64_t a = c->evaluations[run].step, b = c->evaluations[baseline].step;
    if (isnan(x->tokens) != isnan(y->tokens)) {
        const char *counted = isnan(x->tokens) ? x->name : y->name;
        compare_doubt(c, "training",
                      "'%s' logged no training: it has no cost and, where it only counts, no steps", counted);
        return;
    }
    if (fabs(x->tokens - y->tokens) > 0.01 * fmax(x->tokens, y->tokens))
        compare_doubt(c, "training", "'%s' saw %.0f tokens of training, '%s' %.0f", x->name, x->tokens,
                      y->name, y->tokens);
    if (c->step >= 0 && a >= 0 && b >= 0 && a != b)
        compare_doubt(c, "training", "'%s' is measured at step %lld, '%s' at step %lld", x->name,
                      (long long)a, y->name, (long long)b);
}

static void doubt_routing(struct compare *c, int run, int baseline)
{
    const struct compared_run *x = &c->runs.runs[run], *y = &c->runs.runs[baseline];
    if (isnan(x->tokens) || isnan(y->tokens))
        return; /* said already: no training, so no routing */
    if ((x->n_layers == 0) != (y->n_layers == 0))
        compare_doubt(c, "routing", "'%s' has no MoE layers: no routing to compare with '%s'",
                      x->n_layers == 0 ? x->name : y->name, x->n_layers == 0 ? y->name : x->name);
    for (int i = 0; i < x->n_layers; i++) {
        const struct moe_layer *other = runs_layer(y, x->layers[i].layer);
        if (y->n_layers > 0 && !other)
            compare_doubt(c, "routing",
                          "'%s' has experts in block %d, '%s' has none there: no routing agreement", x->name,
                          x->layers[i].layer, y->name);
        else if (other && other->n_experts != x->layers[i].n_experts)
            compare_doubt(c, "routing",
                          "block %d has %d experts in '%s' and %d in '%s': no routing agreement",
                          x->layers[i].layer, x->layers[i].n_experts, x->name, other->n_experts, y->name);
    }
    if (c->n_probes && c->probes[run].n && c->probes[run].step != c->probes[baseline].step &&
        c->probes[baseline].n)
        compare_doubt(c, "routing", "the last probe of '%s' is at step %lld, that of '%s' at step %lld",
                      x->name, (long long)c->probes[run].step, y->name, (long long)c->probes[baseline].step);
}

/* Settings that decide what was measured and written down. */
static void doubt_settings(struct compare *c)
{
    static const struct {
        const char *key, *effect;
    } settings[] = {{"valid.tokens_per_document", "losses are of different pieces of text"},
                    {"probe.tokens_per_document", "probes are different"},
                    {"log.decisions", "routing was logged for different tokens"},
                    {"import.select", "experts were chosen from scores in different ways"},
                    {"import.layer_base", "layers may be numbered differently"}};
    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++) {
        const struct setting *s = runs_setting(&c->runs, settings[k].key);
        const char *usual = s ? s->values[c->baseline] : NULL;
        for (int i = 0; usual && i < c->runs.n; i++)
            if (s->values[i] && strcmp(s->values[i], usual) != 0)
                compare_doubt(c, "settings", "%s is %s in '%s' and %s in '%s': %s", s->key, s->values[i],
                              compare_name(c, i), usual, compare_name(c, c->baseline), settings[k].effect);
    }
}

static void doubt_machines(struct compare *c)
{
    const char *machine = NULL; /* of the first that was trained */
    bool different = false;
    for (int i = 0; i < c->runs.n; i++)
        if (!isnan(c->runs.runs[i].seconds)) {
            machine = machine ? machine : c->runs.runs[i].machine;
            different |= strcmp(c->runs.runs[i].machine, machine) != 0;
        }
    if (different)
        compare_doubt(c, "machine",
                      "the runs were not all trained on the same machine: seconds and tokens per second are "
                      "not comparable");
}

static void doubt_pairs(struct compare *c)
{
    const struct compared_run *baseline = &c->runs.runs[c->baseline];
    for (int i = 0; i < c->runs.n; i++) {
        const struct compared_run *run = &c->runs.runs[i];
        int partner = compare_partner(c, i);
        if (partner >= 0) {
            doubt_documents(c, i, partner);
            doubt_training(c, i, partner);
            doubt_routing(c, i, partner);
        } else if (compare_is_grouped(c) && run->group != baseline->group) {
            compare_doubt(c, "seeds",
                          "'%s' has seed %lld, which no run of the baseline's group has: left out of the "
                          "differences",
                          run->name, (long long)run->seed);
        }
    }
}

int compare_find_reasons(struct compare *c, struct error *err)
{
    for (int i = 0; i < c->runs.n; i++)
        doubt_run(c, i);
    doubt_pairs(c);
    doubt_settings(c);
    doubt_machines(c);
    return c->reasons.failed ? error_no_memory(err, "the reasons") : 0;
}
