/* Single-gated MoE as a task: engine/single_gate.h. An update gives every expert a batch of its own. */
#include <stdio.h>
#include <string.h>

#include "base/progress.h"
#include "engine/evaluate.h"
#include "engine/gate_answers.h"
#include "engine/gate_timing.h"
#include "engine/task.h"
#include "engine/trainer.h"

static const uint64_t draw_stream = 0x6472617773000000U;
enum { TIMED_BATCH = 64 };

static int open_gate(struct trainer *t, struct error *err)
{
    struct single_gate *g = &t->gate;

    if (config_int(t->config, "gate.timings") > 0 && config_int(t->config, "train.batch") < TIMED_BATCH)
        return error_set(err, STATUS_USAGE, "gate.timings needs a train.batch of at least %d", TIMED_BATCH);
    if (trainer_open_samples(t, 1, 0, 0, err) ||
        single_gate_init(g, t->config, t->corpus, &t->train, t->pool, (uint64_t)t->seed, err))
        return -1;
    t->parameters = &g->experts.parameters;
    return tally_init(&t->tally, &g->layer, 1, t->corpus->n_domains, t->corpus->n_documents, err);
}

static void close_gate(struct trainer *t)
{
    single_gate_release(&t->gate);
}

/* Of the batch. */
static int add_pass(struct trainer *t, enum corpus_split split, struct error *err)
{
    struct pass pass = single_gate_pass(&t->gate);

    tally_add(&t->tally, t->corpus, &pass);
    return t->sink->pass(t->sink->context, t->step, split, &pass, err);
}

/* ---- learning ---- */

/* The loads of training are what experts were given: alike, whatever the gate's own are. */
static int learn(struct trainer *t, struct losses *sum, struct error *err)
{
    struct single_gate *g = &t->gate;
    struct random r;

    tally_clear(&t->tally, strcmp(config_text(t->config, "log.domain_loads"), "all") == 0, false);
    for (int k = 0; k < g->K; k++) {
        double start = clock_seconds();
        random_seed(&r, (uint64_t)t->seed, draw_stream + (uint64_t)t->step * (uint64_t)g->K + (uint64_t)k);
        sum->lm += single_gate_learn(g, t->corpus, &t->train, k, &r, 1.0F) / g->K;
        t->seconds_in[PART_NETWORK] += clock_seconds() - start;
        start = clock_seconds();
        if (add_pass(t, SPLIT_TRAIN, err))
            return -1;
        t->seconds_in[PART_LOGGING] += clock_seconds() - start;
    }
    return 0;
}

/* The base looks once; an expert forward, and back for inputs and weights. */
static double flops(const struct trainer *t)
{
    return 2.0 * (t->gate.base_cost + 3.0 * t->gate.expert_cost) * (double)t->tally.n_tokens;
}

static int tell(struct trainer *t, const struct losses *l, struct error *err)
{
    if (t->step == 0 && (trainer_tell(t, SPLIT_TRAIN, "gate_agreement", t->gate.gate_agreement, err) ||
                         trainer_tell(t, SPLIT_TRAIN, "distortion", t->gate.distortion, err)))
        return -1;
    return trainer_tell(t, SPLIT_TRAIN, "loss", l->lm, err);
}

static void summarise(const struct trainer *t, struct summary *s)
{
    const struct single_gate *g = &t->gate;
    double experts = parameters_count(&g->experts.parameters),
           rest = parameters_count(&g->base.net.network.parameters) + parameters_count(&g->gate.parameters);

    *s = (struct summary){.task = t->task->name,
                          .router = "single_gate",
                          .parameters = rest + experts,
                          .active_parameters = rest + experts / g->K,
                          .flops_per_token = 2.0 * (g->base_cost + 3.0 * g->expert_cost),
                          .context = 1,
                          .vocabulary = t->corpus->n_vocabulary,
                          .tokens_per_step = (double)g->base.net.max_samples * g->K,
                          .n_layers = 1};
    s->layers[0] = (struct routed_summary){
        .router = "single_gate", .n_experts = g->K, .k = 1, .expert_parameters = (int64_t)(experts / g->K)};
}

/* ---- evaluating ---- */

struct place { /* of a metric */
    struct trainer *t;
    enum corpus_split split;
};

static int tell_figure(void *context, const char *name, double value, struct error *err)
{
    const struct place *p = context;

    return trainer_tell(p->t, p->split, name, value, err);
}

static int tell_timing(struct trainer *t, int batch, float confidence, struct error *err)
{
    struct gate_timing m;

    if (gate_timing_measure(&t->gate, t->corpus, &t->probe, (int)config_int(t->config, "gate.timings"), batch,
                            confidence, &m, err))
        return -1;
    const struct {
        const char *name;
        double seconds;
    } figures[] = {{"base", m.base}, {"expert", m.expert}, {"exits", m.exits}};
    char name[64];

    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        snprintf(name, sizeof name, "milliseconds_%d_%s", batch, figures[i].name);
        if (trainer_tell(t, SPLIT_PROBE, name, 1000.0 * figures[i].seconds, err))
            return -1;
    }
    return 0;
}

/* With exits at the threshold that costs least and at most a tenth of a point of the probe's accuracy. */
static int tell_timings(struct trainer *t, const struct gate_answers *a, struct error *err)
{
    int cheapest = gate_answers_cheapest(a, EXIT_CONFIDENCE, 0.001);
    float confidence = cheapest < 0 ? 2.0F : 0.01F * (float)exit_hundredths[cheapest];

    if (config_int(t->config, "gate.timings") == 0)
        return 0;
    return tell_timing(t, 1, confidence, err) || tell_timing(t, TIMED_BATCH, confidence, err) ||
                   trainer_tell(t, SPLIT_PROBE, "milliseconds_threshold", (double)confidence, err)
               ? -1
               : 0;
}

/* Every expert on every image at the end alone. */
static int pass_all(struct trainer *t, const struct samples *samples, enum corpus_split split,
                    struct gate_answers *a, int64_t *right, struct error *err)
{
    struct single_gate *g = &t->gate;
    bool last = t->step == t->steps;

    for (int next = 0; classifier_in_order(&g->base, t->corpus, samples, &next);) {
        single_gate_look(g, t->corpus);
        if (last)
            gate_answers_add(a, g);
        else
            single_gate_say(g, 2.0F);
        if (add_pass(t, split, err))
            return -1;
        for (int b = 0; b < g->base.n_images; b++)
            *right += g->outcome[b].prediction == g->outcome[b].target;
    }
    return 0;
}

static int tell_all(struct trainer *t, enum corpus_split split, const struct gate_answers *a, double accuracy,
                    struct error *err)
{
    struct place place = {t, split};

    if (t->sink->summary(t->sink->context, t->step, split, &t->tally, err) ||
        trainer_tell(t, split, "loss", tally_mean_loss(&t->tally), err) ||
        trainer_tell(t, split, "accuracy", accuracy, err) ||
        trainer_tell(t, split, "multiply_adds", t->gate.base_cost + t->gate.expert_cost, err))
        return -1;
    if (t->step < t->steps)
        return 0;
    if (gate_answers_tell(a, &t->gate, tell_figure, &place, err))
        return -1;
    return split == SPLIT_PROBE ? tell_timings(t, a, err) : 0;
}

static int evaluate_gate(struct trainer *t, const struct samples *samples, enum corpus_split split,
                         struct error *err)
{
    struct gate_answers a;
    int64_t right = 0;

    if (gate_answers_init(&a, &t->gate, err))
        return -1;
    tally_clear(&t->tally, true, true);
    int result = pass_all(t, samples, split, &a, &right, err) ||
                         tell_all(t, split, &a, (double)right / samples->n, err)
                     ? -1
                     : 0;
    gate_answers_release(&a);
    return result;
}

static const char *const kinds[] = {"single_gate", NULL};
const struct task task_gate = {.name = "classification",
                               .kinds = kinds,
                               .open = open_gate,
                               .close = close_gate,
                               .learn = learn,
                               .flops = flops,
                               .summarise = summarise,
                               .tell = tell,
                               .evaluate = evaluate_gate};
