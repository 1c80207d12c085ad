/* The other alarm: routers that look healthy because they do nothing. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/collapse.h"
#include "analysis/shared/imported.h"
#include "analysis/shared/losses.h"
#include "analysis/shared/probe.h"

/* ---- the probe: what has changed since step 0 ---- */

/* How many first choices of the last pass are still those of the first, in one layer. */
static int compare_passes(struct collapse_layer *l, const struct monitor_layer *of,
                          const struct probe_pass *start, const struct probe_pass *end, struct error *err)
{
    struct agreement agreement;
    if (agreement_init(&agreement, of->n_experts, err) != 0)
        return -1;
    int result = 0;
    for (int i = 0; i < end->n && result == 0; i++) {
        const struct probe_entry *e = &end->entries[i];
        const struct probe_entry *before = probe_pass_find(start, e->layer, e->sample_id);
        if (e->layer == of->layer && before)
            result = agreement_add(&agreement, &before->slots, &e->slots, err);
    }
    if (result == 0)
        agreement_rates(&agreement, &l->since_start);
    agreement_release(&agreement);
    return result;
}

int collapse_compare_with_start(struct collapse *c, const struct analysis *a, struct error *err)
{
    struct probe_pass start = {0}, end = {0};
    struct imported imported;
    if (imported_read(&imported, a->logbook, a->run_id, err) != 0 ||
        probe_span(a->logbook, a->run_id, &c->probe_first, &c->probe_last, err) != 0)
        return -1;
    if (c->probe_first != 0 || c->probe_last <= 0 || imported.slots_by_id)
        return 0; /* no untrained router to compare with, or nothing but it */
    int result = probe_pass_read(&start, a->logbook, a->run_id, 0, err);
    if (result == 0)
        result = probe_pass_read(&end, a->logbook, a->run_id, c->probe_last, err);
    for (int i = 0; i < c->n_layers && result == 0; i++)
        result = compare_passes(&c->layers[i], &c->monitor.series[i].of, &start, &end, err);
    probe_pass_release(&start);
    probe_pass_release(&end);
    return result;
}

/* ---- random choices in its place ---- */

static int find_random_run(struct collapse *c, const struct analysis *a, int64_t *run_id, struct error *err)
{
    struct query *q;
    if (query_open(&q, a->logbook, "analysis/collapse_random", err) != 0)
        return -1;
    query_bind_int(q, ":run", a->run_id);
    int more = query_step(q, err);
    if (more == 1) {
        *run_id = query_int(q, "run_id");
        c->random.run = strdup(query_word(q, "name"));
        if (!c->random.run)
            more = error_no_memory(err, "a run's name");
    }
    query_close(q);
    return more < 0 ? -1 : 0;
}

/* of: this run's losses, then those with random choices. */
static int pair_losses(struct collapse *c, const struct evaluation of[2], struct error *err)
{
    struct paired_documents pairs;
    if (paired_documents_init(&pairs, &of[1], &of[0], false, err) != 0)
        return -1;
    int result = paired_interval(&pairs, NATS_PER_TOKEN, -1, 0, &c->random.cost, err);
    c->random.no_effect = interval_verdict(&c->random.cost, random_margin) == VERDICT_EQUIVALENT;
    c->random.has_effect = c->random.cost.low > random_margin;
    paired_documents_release(&pairs);
    return result;
}

static int compare_with_random(struct collapse *c, const struct analysis *a, struct error *err)
{
    struct evaluation of[2] = {{0}, {0}};
    struct domain_names domains = {0};
    struct losses_asked asked = {.split = "valid", .step = -1};
    char ids[64];
    int64_t other = 0;
    if (find_random_run(c, a, &other, err) != 0)
        return -1;
    if (!c->random.run)
        return 0;
    snprintf(ids, sizeof ids, "[%" PRId64 ",%" PRId64 "]", a->run_id, other);
    asked.runs = ids;
    int result = evaluations_read(of, 2, &domains, a->logbook, &asked, err);
    if (result == 0)
        result = pair_losses(c, of, err);
    evaluation_release(&of[0]);
    evaluation_release(&of[1]);
    domain_names_release(&domains);
    return result;
}

/* ---- both ---- */

void collapse_judge_untrained(struct collapse *c)
{
    struct untrained_rule rule = untrained_rule_default();
    for (int i = 0; i < c->n_layers; i++)
        c->layers[i].untrained = monitor_untrained(&c->monitor, i, &rule, c->layers[i].since_start.first);
}

int collapse_judge_routers(struct collapse *c, const struct analysis *a, struct error *err)
{
    if (collapse_compare_with_start(c, a, err) != 0 || compare_with_random(c, a, err) != 0)
        return -1;
    collapse_judge_untrained(c);
    return 0;
}
