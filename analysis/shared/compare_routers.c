/* What the routers of each run do, side by side: their load as moescope collapse judges it, and what a
 * document's domain tells about the expert as moescope specialization measures it. Neither needs experts to
 * be matched. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/association.h"
#include "analysis/shared/compare.h"

enum { N_PERMUTATIONS = 200 };

/* That run alone, as the other analyses are given one. */
static struct analysis run_alone(const struct compare *c, const struct analysis *a, int run)
{
    const struct compared_run *of = &c->runs.runs[run];
    struct analysis alone = *a;
    alone.run_id = of->run_id;
    alone.run = of->name;
    alone.layers = of->layers;
    alone.n_layers = of->n_layers;
    return alone;
}

/* What the logbook has nothing for is left open, and said. */
static int left_open(struct compare *c, const struct error *err)
{
    if (err->status != STATUS_INPUT)
        return -1;
    compare_doubt(c, "routing", "%s", err->text);
    return 0;
}

static int see_loads(struct compare *c, const struct analysis *alone, struct router_side *sides,
                     struct error *err)
{
    struct collapse loads = {
        .rule = collapse_rule_default(), .split = NULL, .probe_first = -1, .probe_last = -1};
    int result = collapse_read(&loads, alone, err);
    if (result == 0)
        result = collapse_judge_routers(&loads, alone, err);
    if (result == 0)
        collapse_find(&loads);
    for (int i = 0; i < loads.n_layers && result == 0; i++) {
        sides[i].finding = loads.layers[i].finding;
        sides[i].load = *monitor_last(&loads.monitor, i);
    }
    bool logged = loads.last_step >= 0;
    collapse_release(&loads);
    if (result != 0 && err->status == STATUS_INPUT && !logged)
        error_set(err, STATUS_INPUT, "run '%s' logged no loads of training", alone->run);
    return result == 0 ? 0 : left_open(c, err);
}

/* ---- specialisation ---- */

struct domains_asked {
    struct documents documents;
    struct questions questions; /* the domain alone */
    struct hashed hashed;
};

static int measure_layer(struct domains_asked *d, const struct moe_layer *layer,
                         const struct probe_pass *pass, struct associations *out, struct error *err)
{
    struct routed routed;
    if (routed_init(&routed, &d->documents, pass, layer->layer, layer->n_experts, err) != 0)
        return -1;
    int result = associations_measure(out, &d->questions, &d->documents, &routed, pass->step, N_PERMUTATIONS,
                                      &d->hashed, err);
    routed_release(&routed);
    return result;
}

/* One association a layer, at that step of the probe. */
static int measure_step(struct domains_asked *d, const struct analysis *alone, int64_t step,
                        struct associations *out, struct error *err)
{
    struct probe_pass pass;
    int result = probe_pass_read(&pass, alone->logbook, alone->run_id, step, err);
    for (int i = 0; i < alone->n_layers && result == 0; i++)
        result = measure_layer(d, &alone->layers[i], &pass, out, err);
    probe_pass_release(&pass);
    return result;
}

static void keep(struct router_side *side, const struct association *first, const struct association *last)
{
    side->information = last->interval;
    side->information.estimate = last->null.observed;
    side->null_high = last->null.high;
    side->at_start = first ? first->null.observed : NAN;
    side->hash = last->hash.mean;
    side->documents = last->n_documents;
}

static int measure_domains(const struct analysis *alone, struct router_side *sides, struct error *err)
{
    struct domains_asked d = {0};
    struct associations last = {0}, first = {0};
    int result = documents_read(&d.documents, alone->logbook, alone->run_id, alone->run, NULL, err);
    int n_steps = result == 0 ? d.documents.n_steps : 0;
    if (result == 0)
        result = questions_of_domain(&d.questions, &d.documents, err);
    if (result == 0)
        result = measure_step(&d, alone, d.documents.steps[n_steps - 1], &last, err);
    if (result == 0 && n_steps > 1)
        result = measure_step(&d, alone, d.documents.steps[0], &first, err);
    for (int i = 0; i < alone->n_layers && result == 0; i++)
        keep(&sides[i], i < first.n ? &first.items[i] : NULL, &last.items[i]);
    associations_release(&last);
    associations_release(&first);
    hashed_release(&d.hashed);
    questions_release(&d.questions);
    documents_release(&d.documents);
    return result;
}

static int see_domains(struct compare *c, const struct analysis *alone, struct router_side *sides,
                       struct error *err)
{
    int64_t first, last;
    if (probe_span(alone->logbook, alone->run_id, &first, &last, err) != 0)
        return -1;
    return last < 0 || measure_domains(alone, sides, err) == 0 ? 0 : left_open(c, err);
}

/* ---- all runs ---- */

static int see_run(struct compare *c, const struct analysis *a, int run, struct error *err)
{
    const struct analysis alone = run_alone(c, a, run);
    struct router_side *sides = &c->routers[c->n_routers];
    for (int i = 0; i < alone.n_layers; i++)
        sides[i] = (struct router_side){.run = run,
                                        .layer = alone.layers[i],
                                        .information = {NAN, NAN, NAN, NAN, 0, 0},
                                        .null_high = NAN,
                                        .at_start = NAN,
                                        .hash = NAN};
    c->n_routers += alone.n_layers;
    return see_loads(c, &alone, sides, err) != 0 || see_domains(c, &alone, sides, err) != 0 ? -1 : 0;
}

int compare_routers(struct compare *c, const struct analysis *a, struct error *err)
{
    size_t n = 1;
    for (int i = 0; i < c->runs.n; i++)
        n += (size_t)c->runs.runs[i].n_layers;
    c->routers = calloc(n, sizeof *c->routers);
    if (!c->routers)
        return error_no_memory(err, "the routers");
    for (int i = 0; i < c->runs.n; i++)
        if (c->runs.runs[i].n_layers > 0 && see_run(c, a, i, err) != 0)
            return -1;
    return 0;
}
