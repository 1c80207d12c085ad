#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/specialization.h"

/* Conventions, said in the program's help. */
static const double weak = 0.05;   /* of the most that the domain could tell */
static const double settled = 0.9; /* of the agreement with the final choices, above chance */

/* "0.41", and "0.00" rather than "-0.00". */
static double shown(double nats)
{
    return nats > 0 ? nats : 0;
}

/* "0.41 nat, chance at most 0.02, 0.11 at step 0, 0.20 for a hash router; 300 documents" */
static void add_figures(struct text *t, const struct association *now, const struct association *before)
{
    text_printf(t, "%.2f nat, chance at most %.2f", shown(now->null.observed), shown(now->null.high));
    if (before)
        text_printf(t, ", %.2f at step %" PRId64, shown(before->null.observed), before->step);
    text_printf(t, ", %.2f for a hash router; %d documents", shown(now->hash.mean), now->n_documents);
}

/* How much of it is vocabulary. What is left between equal tokens is estimated from below. */
static void add_tokens_part(struct text *t, const struct specialization *s, int layer)
{
    const struct association *given =
        associations_find(&s->associations, layer, QUESTION_DOMAIN_GIVEN_TOKEN, s->step);
    const struct association *token = associations_find(&s->associations, layer, QUESTION_TOKEN, s->step);
    bool beyond = given->q <= significant;
    if (beyond && given->null.observed >= 0.005)
        text_printf(t, "; given the token, still %.2f or more", given->null.observed);
    else if (beyond)
        text_add(t, "; given the token, still some");
    else
        text_add(t, "; given the token, nothing for certain");
    text_printf(t, "; the token alone tells %.2f", shown(token->null.observed));
}

/* The interval of the difference from the first step does not lie above 0. */
static bool no_better(const struct association *before, const struct interval *growth)
{
    return before && !isnan(growth->low) && !(growth->low > 0);
}

/* Told apart, but not certainly better than by routers that know the token alone. */
static bool no_more_than_hash(const struct association *x)
{
    return association_holds(x) && !isnan(x->interval.low) && !association_beyond_hash(x);
}

static const char *no_better_word(const struct association *before)
{
    return before->step == 0 ? "untrained" : "unchanged";
}

/* What to say and, returned, the verdict in a word. */
static const char *describe_domains(struct text *t, const struct association *now,
                                    const struct association *before, const struct interval *growth)
{
    bool is_weak = now->null.observed < weak * association_ceiling(now);
    if (!association_holds(now)) {
        text_add(t, "experts do not tell domains apart");
        return "none";
    }
    if (before && isnan(growth->low)) {
        text_printf(t,
                    "experts tell domains apart, too few documents to say whether more than at step %" PRId64,
                    before->step);
        return "undetermined";
    }
    if (no_better(before, growth)) {
        text_printf(t, "experts tell domains apart no better than at step %" PRId64, before->step);
        return no_better_word(before);
    }
    text_printf(t, "experts tell domains apart%s", is_weak ? ", but weakly" : "");
    return is_weak ? "weak" : "specialised";
}

static const struct association *domains_now(const struct specialization *s, int layer)
{
    return associations_find(&s->associations, layer, QUESTION_DOMAIN, s->step);
}

static void judge_domains(const struct specialization *s, int layer, const struct interval *growth,
                          struct verdicts *v)
{
    const struct association *now = domains_now(s, layer), *before = specialization_before(s, now);
    struct text t;
    char subject[32];
    text_init(&t);
    snprintf(subject, sizeof subject, "layer %d", layer);
    const char *verdict = describe_domains(&t, now, before, growth);
    if (no_more_than_hash(now))
        text_add(&t, ", no more than a hash router");
    text_add(&t, " (");
    add_figures(&t, now, before);
    if (association_holds(now) && !s->imported.ids_unknown)
        add_tokens_part(&t, s, layer);
    text_add(&t, ")");
    verdict_add(v, subject, verdict, "%s: %s", subject, t.data);
    v->failed = v->failed || t.failed;
    text_release(&t);
}

/* The expert that does most to set the domain apart, of those that certainly prefer it; -1: none. */
static int server_of(const struct specialization *s, int i, int n_experts, int domain)
{
    int best = -1;
    double most = 0;
    for (int e = 0; e < n_experts; e++) {
        const struct lift_cell *cell = &s->lifts[i][domain * n_experts + e];
        double part = cell->share * log(cell->lift);
        if (s->q[i][domain * n_experts + e] <= significant && !(cell->low <= 1) && part > most) {
            most = part;
            best = e;
        }
    }
    return best;
}

/* "layer 2, expert by domain (lift): c 3 (6.2), japanese 7 (9.1); none for english" */
static void judge_servers(const struct specialization *s, int i, const struct moe_layer *layer,
                          struct verdicts *v)
{
    struct text served, not_served;
    char subject[32];
    text_init(&served);
    text_init(&not_served);
    for (int domain = 0; domain < specialization_domains(s); domain++) {
        int e = server_of(s, i, layer->n_experts, domain);
        struct text *t = e < 0 ? &not_served : &served;
        text_printf(t, "%s%s", t->length ? ", " : "", specialization_domain(s, domain));
        if (e >= 0)
            text_printf(t, " %d (%.1f)", e, s->lifts[i][domain * layer->n_experts + e].lift);
    }
    snprintf(subject, sizeof subject, "layer %d", layer->layer);
    if (served.length > 0)
        verdict_add(v, subject, "experts", "%s, expert by domain (lift): %s%s%s", subject, served.data,
                    not_served.length ? "; none for " : "", not_served.data);
    v->failed = v->failed || served.failed || not_served.failed;
    text_release(&served);
    text_release(&not_served);
}

static const struct association *best_layer(struct analysis *a, const struct specialization *s,
                                            const char *label)
{
    const struct association *best = NULL;
    for (int i = 0; i < a->n_layers; i++) {
        const struct association *x = associations_find(&s->associations, a->layers[i].layer, label, s->step);
        if (!best || x->null.observed > best->null.observed)
            best = x;
    }
    return best;
}

/* ", 0.15 with topic held fixed" */
static void add_held_fixed(struct text *t, const struct specialization *s, const struct association *x)
{
    for (int l = 1; l < s->documents.n_labels; l++) {
        char name[64];
        snprintf(name, sizeof name, "%.30s|%.30s", x->label, s->documents.labels[l].key);
        const struct association *given = associations_find(&s->associations, x->layer, name, s->step);
        if (given && association_holds(given))
            text_printf(t, "; %.2f with %s held fixed", given->null.observed, s->documents.labels[l].key);
        else if (given)
            text_printf(t, "; nothing for certain with %s held fixed", s->documents.labels[l].key);
    }
}

/* Labels other than the domain: one sentence each. */
static void judge_labels(struct analysis *a, const struct specialization *s, struct verdicts *v)
{
    struct text t;
    text_init(&t);
    for (int l = 1; l < s->documents.n_labels; l++) {
        const struct association *x = best_layer(a, s, s->documents.labels[l].key);
        text_clear(&t);
        add_held_fixed(&t, s, x);
        if (association_holds(x))
            verdict_add(v, x->label, "told apart",
                        "%s (%d values) is told apart best in layer %d (%.2f nat of at most %.2f, chance at "
                        "most %.2f, %.2f for a hash router%s; %d documents)",
                        x->label, x->n_labels, x->layer, x->null.observed, association_ceiling(x),
                        shown(x->null.high), shown(x->hash.mean), t.length ? t.data : "", x->n_documents);
        else
            verdict_add(v, x->label, "none",
                        "%s (%d values) is not told apart in any layer (%.2f nat at most; %d documents)",
                        x->label, x->n_labels, shown(x->null.observed), x->n_documents);
    }
    v->failed = v->failed || t.failed;
    text_release(&t);
}

/* "routing has settled in layer 0 (by step 400), 2 (by step 800)", and where it still moves. */
static void judge_course(struct analysis *a, const struct course *c, struct verdicts *v)
{
    const struct passing *end = &c->passing[c->n - 1];
    struct text still, moving;
    text_init(&still);
    text_init(&moving);
    for (int i = 0; i < a->n_layers; i++) {
        const struct passing *p = &c->passing[(size_t)i * (size_t)c->n];
        int at = course_settled(c, i, settled);
        struct text *t = at < c->n - 1 ? &still : &moving;
        text_printf(t, "%s%d ", t->length ? ", " : "", a->layers[i].layer);
        if (t == &still)
            text_printf(t, "(by step %" PRId64 ")", p[at].step);
        else
            text_printf(t, "(%.0f %%)", 100 * (1 - p[at].previous.first));
    }
    if (still.length > 0)
        verdict_add(v, "routing", "settled",
                    "routing has settled in layer %s: 90 %% of the agreement with step %" PRId64
                    ", above chance, for good; %d probe passes",
                    still.data, end->step, c->n);
    if (moving.length > 0)
        verdict_add(
            v, "routing", "moving",
            "routing still moves in layer %s: share of first choices that changed between steps %" PRId64
            " and %" PRId64 "; %d probe passes",
            moving.data, end[-1].step, end->step, c->n);
    v->failed = v->failed || still.failed || moving.failed;
    text_release(&still);
    text_release(&moving);
}

static void say_basis(const struct specialization *s, struct verdicts *v)
{
    const struct documents *d = &s->documents;
    char against[96] = "which is its first, so that nothing says what the untrained router did";
    if (s->first.n > 0)
        snprintf(against, sizeof against, "against step %" PRId64, s->first.step);
    struct text only;
    text_init(&only);
    for (int i = 0; i < s->where.n; i++)
        text_printf(&only, "%s%s", i ? ", " : "; only those with ", s->where.items[i]);
    verdict_add(v, "probe", "basis",
                "probe at step %" PRId64 ", %s: %d documents of %d domains, %" PRId64 " tokens%s", s->step,
                against, d->n_documents, specialization_domains(s), d->n_tokens,
                only.length ? only.data : "");
    v->failed = v->failed || only.failed;
    text_release(&only);
    for (int i = 0; i < s->n_routed; i++)
        if (s->routed[i].first_choices)
            verdict_add(v, "probe", "first_choices",
                        "layer %d: every token has every expert, so that first choices are counted",
                        s->routed[i].layer);
}

/* "; in 2 of these no better than at step 0, in 1 no more than a hash router" */
static void add_reservations(struct text *t, int n_no_better, int64_t step, int n_hash)
{
    if (n_no_better > 0)
        text_printf(t, "; in %d of these no better than at step %" PRId64, n_no_better, step);
    if (n_hash > 0)
        text_printf(t, "%s in %d %sno more than a hash router", n_no_better > 0 ? "," : ";", n_hash,
                    n_no_better > 0 ? "" : "of these ");
}

/* The finding in one line. Layers that were as good untrained count, and are told. */
static void say_headline(struct analysis *a, const struct specialization *s, const struct interval *growth,
                         struct verdicts *v)
{
    const struct association *best = best_layer(a, s, QUESTION_DOMAIN), *before = NULL;
    int n = 0, n_no_better = 0, n_hash = 0;
    struct text but;
    text_init(&but);
    for (int i = 0; i < a->n_layers; i++) {
        const struct association *now = domains_now(s, a->layers[i].layer);
        before = specialization_before(s, now);
        bool apart = association_holds(now);
        n += apart;
        n_no_better += apart && no_better(before, &growth[i]);
        n_hash += no_more_than_hash(now);
    }
    add_reservations(&but, n_no_better, before ? before->step : 0, n_hash);
    if (n > 0)
        verdict_add(
            v, "run", n_no_better < n ? "specialised" : no_better_word(before),
            "experts tell domains apart in %d of %d layers, best in layer %d (%.2f nat of at most %.2f)%s", n,
            a->n_layers, best->layer, best->null.observed, association_ceiling(best),
            but.length ? but.data : "");
    else
        verdict_add(v, "run", "none", "experts tell domains apart in none of %d layers", a->n_layers);
    v->failed = v->failed || but.failed;
    text_release(&but);
}

/* growth: (n_layers) differences from the first step. */
static int measure_growth(const struct analysis *a, const struct specialization *s, struct interval *growth,
                          struct error *err)
{
    for (int i = 0; i < a->n_layers; i++) {
        const struct association *now = domains_now(s, a->layers[i].layer),
                                 *before = specialization_before(s, now);
        if (before && association_growth(&s->documents, before, now, &growth[i], err) != 0)
            return -1;
    }
    return 0;
}

static int judge_layers(struct analysis *a, struct specialization *s, struct verdicts *v, struct error *err)
{
    struct interval *growth = calloc((size_t)a->n_layers, sizeof *growth);
    if (!growth)
        return error_no_memory(err, "the verdict");
    int result = measure_growth(a, s, growth, err);
    if (result == 0)
        say_headline(a, s, growth, v);
    for (int i = 0; i < a->n_layers && result == 0; i++) {
        int layer = a->layers[i].layer;
        judge_domains(s, layer, &growth[i], v);
        if (association_holds(domains_now(s, layer)))
            judge_servers(s, i, &a->layers[i], v);
    }
    free(growth);
    return result;
}

int specialization_judge(struct analysis *a, struct verdicts *v, struct error *err)
{
    struct specialization *s = a->state;
    struct course c;
    if (specialization_associate(s, a, err) != 0 || specialization_lift(s, a, err) != 0)
        return -1;
    say_basis(s, v);
    imported_say(&s->imported, "the run", v);
    if (specialization_domains(s) < 2)
        verdict_add(v, "run", "undetermined",
                    "the probe has one domain only: there is nothing to tell apart");
    else if (judge_layers(a, s, v, err) != 0)
        return -1;
    judge_labels(a, s, v);
    if (specialization_judge_experts(a, v, err) != 0)
        return -1;
    if (s->imported.slots_by_id)
        return 0;
    if (specialization_follow(s, a, &c, err) != 0)
        return -1;
    if (c.n > 2)
        judge_course(a, &c, v);
    course_release(&c);
    return 0;
}
