/* What ablations say, in words. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/shared/ablated.h"

/* "costs 0.412 nats/token (0.390 to 0.431; 200 documents)" */
static void add_cost(struct text *t, const struct ablated *x)
{
    const struct interval *i = &x->all.i;

    text_printf(t, "%s %.4g nats/token", i->estimate < 0 ? "gains" : "costs", fabs(i->estimate));
    if (isnan(i->low))
        text_printf(t, " (%d documents; too few for an interval)", x->documents);
    else
        text_printf(t, " (%.4g to %.4g more; %d documents)", i->low, i->high, x->documents);
}

static void add_clause(struct text *t, const char *words)
{
    text_printf(t, "%s%s", t->length > 0 ? "; " : "", words);
}

static void judge_choice(const struct ablations *s, struct verdicts *v, const char *what, const char *words)
{
    const struct ablated *x = ablations_find(s, what, -1, -1, -1);
    struct text t;

    if (!x)
        return;
    text_init(&t);
    text_printf(&t, "%s in all layers ", words);
    add_cost(&t, x);
    if (x->all.verdict == VERDICT_EQUIVALENT)
        text_printf(&t, ": within the margin of %g, so which experts are chosen hardly matters", s->margin);
    verdict_add(v, what, verdict_names[x->all.verdict], "%s", t.failed ? words : t.data);
    text_release(&t);
}

/* The layer's costliest expert of those that were left out one by one. */
static const struct ablated *costliest(const struct ablations *s, int layer)
{
    const struct ablated *most = NULL;

    for (int i = 0; i < s->n; i++) {
        const struct ablated *x = &s->items[i];
        if (strcmp(x->what, "without") == 0 && x->layer == layer && isfinite(x->all.i.estimate) &&
            (!most || x->all.i.estimate > most->all.i.estimate))
            most = x;
    }
    return most;
}

static void add_experts(struct text *t, const struct ablations *s, const struct moe_layer *layer)
{
    const struct ablated *most = costliest(s, layer->layer);
    int harmless = 0, tried = 0;

    for (int e = 0; e < layer->n_experts; e++) {
        const struct ablated *x = ablations_find(s, "without", layer->layer, e, -1);
        tried += x != NULL;
        harmless += x && x->all.verdict == VERDICT_EQUIVALENT;
    }
    if (!most)
        return;
    add_clause(t, "leaving out expert ");
    text_printf(t, "%d ", most->expert);
    add_cost(t, most);
    text_printf(t, ", the most of any; %d of %d could each go within %g", harmless, tried, s->margin);
}

static void judge_layer(const struct ablations *s, const struct moe_layer *layer, struct verdicts *v)
{
    const struct ablated *random = ablations_find(s, "random", layer->layer, -1, -1);
    const char *verdict = random ? verdict_names[random->all.verdict] : "not tried";
    struct needed_k needed;
    struct text t;
    char subject[32];

    text_init(&t);
    snprintf(subject, sizeof subject, "layer %d", layer->layer);
    if (random) {
        add_clause(&t, "random choices within its load ");
        add_cost(&t, random);
    }
    add_experts(&t, s, layer);
    if (ablations_needed(s, layer, &needed) && needed.at) {
        add_clause(&t, "needs ");
        text_printf(&t, "%d of its experts a token (truncated to that it loses %.4g)", needed.needed,
                    needed.at->all.i.estimate);
    } else if (needed.now > 1 && ablations_find(s, "k", layer->layer, -1, needed.now - 1)) {
        add_clause(&t, "needs all its ");
        text_printf(&t, "%d experts a token", needed.now);
    }
    if (t.length > 0)
        verdict_add(v, subject, verdict, "%s: %s", subject, t.data);
    v->failed |= t.failed;
    text_release(&t);
}

int ablations_judge(const struct ablations *s, const struct analysis *a, struct verdicts *v)
{
    if (s->n == 0)
        verdict_add(v, "run", "not tried", "nothing has been ablated on split '%s'", s->split);
    judge_choice(s, v, "random", "dealing the experts anew at random, loads kept,");
    judge_choice(s, v, "shuffled", "giving each token another token's experts");
    judge_choice(s, v, "untrained", "choosing as the untrained model did");
    for (int i = 0; i < a->n_layers; i++)
        judge_layer(s, &a->layers[i], v);
    return 0;
}
