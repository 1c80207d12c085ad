/* Samples of several sources as a task: engine/mixed.h, engine/draws.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/progress.h"
#include "engine/evaluate.h"
#include "engine/task.h"
#include "engine/trainer.h"
#include "metrics/sample.h"

static const uint64_t draw_stream = 0x6d69786564000000U, router_stream = 0x6d69786e6f697365U,
                      noise_stream = 0x647269667465640U;

/* ---- opening ---- */

static int open_samples(struct trainer *t, struct error *err)
{
    struct draws *d = &t->draws;
    bool held_out = config_choice(t->config, "mixed.stream") == 1;

    if (t->corpus->mixture.n == 0)
        return error_set(err, STATUS_USAGE,
                         "corpus '%s' is not of several sources; model.kind = mixed learns those that "
                         "corpora/mixed.sh makes",
                         t->corpus->name);
    if (draws_select(d, t->config, t->corpus, err) || trainer_open_samples(t, 1, 0, 0, err))
        return -1;
    draws_filter(d, t->corpus, &t->train);
    draws_filter(d, t->corpus, &t->valid);
    draws_filter(d, t->corpus, &t->probe);
    return draws_init(d, t->config, t->corpus, held_out ? &t->valid : &t->train, err);
}

/* mixed.start: the weights of another run. */
static int start_from(struct trainer *t, const char *path, struct error *err)
{
    struct checkpoint c;

    if (!*path)
        return 0;
    if (checkpoint_open(&c, path, err))
        return -1;
    int result = checkpoint_load(&c, &t->mixed.network.parameters, NULL, NULL, err);
    checkpoint_close(&c);
    return result ? error_prefix(err, "mixed.start '%s'", path) : 0;
}

static int open_mixed(struct trainer *t, struct error *err)
{
    if (open_samples(t, err) ||
        mixed_init(&t->mixed, t->config, t->corpus, t->pool, (uint64_t)t->seed, err) ||
        start_from(t, config_text(t->config, "mixed.start"), err))
        return -1;
    t->parameters = &t->mixed.network.parameters;
    return tally_init(&t->tally, &t->mixed.layer, 1, t->corpus->n_domains, t->corpus->n_documents, err);
}

static void close_mixed(struct trainer *t)
{
    mixed_release(&t->mixed);
}

/* ---- learning ---- */

static int learn(struct trainer *t, struct losses *sum, struct error *err)
{
    struct mixed *m = &t->mixed;
    struct random draw, noise;
    double start = clock_seconds();

    tally_clear(&t->tally, false, false);
    random_seed(&draw, (uint64_t)t->seed, draw_stream + (uint64_t)t->step);
    random_seed(&noise, (uint64_t)t->seed, router_stream + (uint64_t)t->step);
    draws_fill(&t->draws, m, draws_drifted(&t->draws, t->step), &draw);
    struct losses losses = mixed_forward(m, t->corpus, true, &noise);
    losses_add(sum, &losses, 1.0);
    t->seconds_in[PART_NETWORK] += clock_seconds() - start;
    struct pass pass = mixed_pass(m);
    tally_add(&t->tally, t->corpus, &pass);
    return t->sink->pass(t->sink->context, t->step, SPLIT_TRAIN, &pass, err);
}

static void updated(struct trainer *t)
{
    mixed_update(&t->mixed);
}

static double mean_multiply_adds(const struct mixed *m)
{
    double sum = 0.0;

    for (int b = 0; b < m->n; b++)
        sum += mixed_multiply_adds(m, b) / m->n;
    return sum;
}

/* Once forward, and back for the inputs and for the weights. */
static double flops(const struct trainer *t)
{
    return 6.0 * mean_multiply_adds(&t->mixed) * t->mixed.n;
}

static int tell(struct trainer *t, const struct losses *l, struct error *err)
{
    bool gate = t->mixed.how == ROUTE_BY_GATE;

    if (trainer_tell(t, SPLIT_TRAIN, "loss", l->lm, err) ||
        (gate && trainer_tell(t, SPLIT_TRAIN, "balance", l->balance, err)))
        return -1;
    return trainer_tell(t, SPLIT_TRAIN, "multiply_adds", mean_multiply_adds(&t->mixed), err);
}

static void summarise(const struct trainer *t, struct summary *s)
{
    const struct mixed *m = &t->mixed;
    double all = parameters_count(&m->network.parameters), experts = 0.0;
    bool gate = m->how == ROUTE_BY_GATE;
    int k = gate ? router_fixed_k(m->router.ops, &m->router.config) : m->how == ROUTE_TO_ALL ? m->N : 1;
    const char *router = gate ? m->router.ops->name : mixed_routing_names[m->how];

    *s = (struct summary){.task = t->task->name,
                          .router = router,
                          .parameters = all,
                          .active_parameters = m->how == ROUTE_TO_ALL ? all : (double)NAN,
                          .flops_per_token = (double)NAN,
                          .context = 1,
                          .vocabulary = t->corpus->n_vocabulary,
                          .tokens_per_step = m->max_samples,
                          .n_layers = 1};
    for (int e = 0; e < m->N; e++)
        experts += (double)m->weights[e];
    s->layers[0] = (struct routed_summary){.router = router,
                                           .n_experts = m->N,
                                           .k = k,
                                           .expert_parameters = (int64_t)(experts / m->N),
                                           .each = m->weights};
}

/* ---- evaluating ---- */

struct answers { /* sums over the samples of a source */
    int n, right;
    double squared_error, squared_target, multiply_adds;
};

/* What it is worth: a share of right answers, or what is explained of a real target beyond a prediction of 0.
 */
static double score_of(const struct answers *a, bool classes)
{
    return classes ? (double)a->right / a->n : 1.0 - a->squared_error / a->squared_target;
}

static void add_answers(const struct trainer *t, struct answers *answers)
{
    const struct mixed *m = &t->mixed;

    for (int b = 0; b < m->n; b++) {
        int document = m->sample[b]->document, s = mixture_source_of(m->mixture, document);
        const struct mixture_source *source = &m->mixture->sources[s];
        struct answers *a = &answers[s];
        a->n++;
        a->multiply_adds += mixed_multiply_adds(m, b);
        a->right += m->outcome[b].target >= 0 && m->outcome[b].prediction == m->outcome[b].target;
        if (source->target) {
            double target = (double)source->target[document - source->first_document];
            a->squared_error += (double)m->loss[b];
            a->squared_target += target * target;
        }
    }
}

/* All samples, in order. log: the sink hears of every pass. */
static int answer_all(struct trainer *t, const struct samples *samples, enum corpus_split split, bool drifted,
                      bool log, struct answers *answers, struct error *err)
{
    struct mixed *m = &t->mixed;
    struct random r;

    random_seed(&r, (uint64_t)t->seed, noise_stream + (uint64_t)split);
    m->random = &r;
    m->noise = drifted && t->draws.drift == DRIFT_NOISE ? t->draws.noise : 0.0F;
    for (int next = 0; next < samples->n;) {
        mixed_clear(m);
        while (next < samples->n && mixed_add(m, &samples->items[next]))
            next++;
        mixed_forward(m, t->corpus, false, NULL);
        add_answers(t, answers);
        if (!log)
            continue;
        struct pass pass = mixed_pass(m);
        tally_add(&t->tally, t->corpus, &pass);
        if (t->sink->pass(t->sink->context, t->step, split, &pass, err))
            return -1;
    }
    return 0;
}

/* Metrics of each source, and the mean of their scores, weighted as the stream draws them. */
static int tell_answers(struct trainer *t, enum corpus_split split, const char *prefix,
                        const struct answers *answers, const double *share, struct error *err)
{
    double score = 0.0, cost = 0.0;
    char name[96];

    for (int s = 0; s < t->draws.n_sources; s++) {
        const struct mixture_source *source = &t->corpus->mixture.sources[s];
        if (answers[s].n == 0)
            continue;
        double worth = score_of(&answers[s], source->label != NULL),
               adds = answers[s].multiply_adds / answers[s].n;
        score += share[s] * worth;
        cost += share[s] * adds;
        snprintf(name, sizeof name, "%s%s_%.40s", prefix, source->label ? "accuracy" : "skill", source->name);
        if (trainer_tell(t, split, name, worth, err))
            return -1;
        snprintf(name, sizeof name, "%smultiply_adds_%.40s", prefix, source->name);
        if (trainer_tell(t, split, name, adds, err))
            return -1;
    }
    snprintf(name, sizeof name, "%sscore", prefix);
    if (trainer_tell(t, split, name, score, err))
        return -1;
    snprintf(name, sizeof name, "%smultiply_adds", prefix);
    return trainer_tell(t, split, name, cost, err);
}

/* ---- latency ---- */

enum { LATENCIES = 300, WARM = 20 };

/* Milliseconds of a forward pass over n samples drawn from the stream: median and 99th percentile. Nothing
 * where batches are smaller. */
static int tell_latency(struct trainer *t, int n, struct error *err)
{
    double taken[LATENCIES];
    char name[64];
    struct random r;

    if (n > t->mixed.max_samples)
        return 0;
    random_seed(&r, (uint64_t)t->seed, noise_stream);
    for (int i = -WARM; i < LATENCIES; i++) {
        draws_fill(&t->draws, &t->mixed, false, &r);
        t->mixed.n = n;
        double start = clock_seconds();
        mixed_forward(&t->mixed, t->corpus, false, NULL);
        if (i >= 0)
            taken[i] = 1e3 * (clock_seconds() - start);
    }
    sample_sort(taken, LATENCIES);
    snprintf(name, sizeof name, "milliseconds_%d_p50", n);
    if (trainer_tell(t, SPLIT_VALID, name, quantile_sorted(taken, LATENCIES, 0.5), err))
        return -1;
    snprintf(name, sizeof name, "milliseconds_%d_p99", n);
    return trainer_tell(t, SPLIT_VALID, name, quantile_sorted(taken, LATENCIES, 0.99), err);
}

/* ---- all that is told ---- */

static int tell_drifted(struct trainer *t, const struct samples *samples, struct error *err)
{
    struct answers answers[MIXTURE_MOST] = {0};

    if (t->draws.drift == DRIFT_NONE)
        return 0;
    return answer_all(t, samples, SPLIT_VALID, true, false, answers, err) ||
                   tell_answers(t, SPLIT_VALID, "drifted_", answers, t->draws.drifted, err)
               ? -1
               : 0;
}

static int evaluate_mixed(struct trainer *t, const struct samples *samples, enum corpus_split split,
                          struct error *err)
{
    struct answers answers[MIXTURE_MOST] = {0};

    tally_clear(&t->tally, true, true);
    if (answer_all(t, samples, split, false, true, answers, err) ||
        t->sink->summary(t->sink->context, t->step, split, &t->tally, err) ||
        trainer_tell(t, split, "loss", tally_mean_loss(&t->tally), err) ||
        tell_answers(t, split, "", answers, t->draws.share, err))
        return -1;
    if (split != SPLIT_VALID || t->step < t->steps)
        return 0;
    return tell_drifted(t, samples, err) || tell_latency(t, 1, err) || tell_latency(t, 64, err) ? -1 : 0;
}

static struct routing *routing_of(struct trainer *t, int i)
{
    return i == 0 && t->mixed.how == ROUTE_BY_GATE ? &t->mixed.routing : NULL;
}

static const char *const kinds[] = {"mixed", NULL};
const struct task task_mixed = {.name = "mixture",
                                .kinds = kinds,
                                .open = open_mixed,
                                .close = close_mixed,
                                .learn = learn,
                                .updated = updated,
                                .flops = flops,
                                .summarise = summarise,
                                .tell = tell,
                                .evaluate = evaluate_mixed,
                                .routing = routing_of};
