/* Single-gated MoE as a task: engine/single_gate.h. An update gives every expert a batch of its own. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "engine/evaluate.h"
#include "engine/kernels.h"
#include "engine/task.h"
#include "engine/trainer.h"

static const uint64_t draw_stream = 0x6472617773000000U;

static int open_gate(struct trainer *t, struct error *err)
{
    struct single_gate *g = &t->gate;

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

/* ---- learning ---- */

static int learn(struct trainer *t, struct losses *sum, struct error *err)
{
    struct single_gate *g = &t->gate;
    struct random r;

    (void)err;
    tally_clear(&t->tally, false, false);
    for (int k = 0; k < g->K; k++) {
        double start = clock_seconds();
        random_seed(&r, (uint64_t)t->seed, draw_stream + (uint64_t)t->step * (uint64_t)g->K + (uint64_t)k);
        sum->lm += single_gate_learn(g, t->corpus, &t->train, k, &r, 1.0F) / g->K;
        t->tally.n_tokens += g->base.n_images;
        t->seconds_in[PART_NETWORK] += clock_seconds() - start;
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

/* Thresholds 0.05 to 0.95 in hundredths, of the two published rules (Royer et al. 2023): alpha, experts whose
 * gate times what the base leaves open reaches the threshold are run, none of them: exit; and confidence,
 * exit where the base's best probability reaches it, otherwise the likeliest expert is run. */
enum { N_THRESHOLDS = 19, EXIT_ALPHA = 0, EXIT_CONFIDENCE = 1, N_RULES = 2 };
static const char *const rule_names[N_RULES] = {"alpha", "confidence"};

static double threshold(int i)
{
    return 0.05 * (i + 1);
}

struct answers { /* right ones, and multiply-adds, of all images */
    int64_t base, first, two;
    int64_t right[N_RULES][N_THRESHOLDS];
    double runs[N_RULES][N_THRESHOLDS]; /* experts that were run */
};

struct image { /* what is known of one */
    const struct single_gate *g;
    const float *base, *expert, *gate; /* (classes), (K, classes), (K) */
    int label, first;                  /* the likeliest expert */
    double confidence;                 /* the base's best probability */
};

static double best_probability(const float *score, int n)
{
    double sum = 0.0, most = (double)score[largest_of(score, n)];

    for (int i = 0; i < n; i++)
        sum += exp((double)score[i] - most);
    return 1.0 / sum;
}

/* Whether the weighted sum of base + expert over the experts that reach `least` names the label. */
static bool right_with(const struct image *m, double scale, double least, int *runs)
{
    int classes = m->g->n_classes, best = 0;
    double highest = -INFINITY;

    *runs = 0;
    for (int k = 0; k < m->g->K; k++)
        *runs += scale * (double)m->gate[k] >= least;
    for (int i = 0; i < classes; i++) {
        double sum = 0.0;
        for (int k = 0; k < m->g->K; k++)
            if (scale * (double)m->gate[k] >= least)
                sum += (double)m->gate[k] * (double)(m->base[i] + m->expert[k * classes + i]);
        if (sum > highest) {
            highest = sum;
            best = i;
        }
    }
    return best == m->label;
}

static float second_gate(const struct image *m)
{
    float second = -1.0F;

    for (int k = 0; k < m->g->K; k++)
        second = k != m->first && m->gate[k] > second ? m->gate[k] : second;
    return second;
}

static void add_answers(struct answers *a, const struct image *m, bool first_is_right)
{
    bool base_is_right = largest_of(m->base, m->g->n_classes) == m->label;
    int runs;

    a->base += base_is_right;
    a->first += first_is_right;
    a->two += m->g->K > 1 ? right_with(m, 1.0, (double)second_gate(m), &runs) : first_is_right;
    for (int i = 0; i < N_THRESHOLDS; i++) {
        bool right = right_with(m, 1.0 - m->confidence, threshold(i), &runs);
        a->right[EXIT_ALPHA][i] += runs > 0 ? right : base_is_right;
        a->runs[EXIT_ALPHA][i] += runs;
        bool stops = m->confidence >= threshold(i);
        a->right[EXIT_CONFIDENCE][i] += stops ? base_is_right : first_is_right;
        a->runs[EXIT_CONFIDENCE][i] += !stops;
    }
}

static int tell_exits(struct trainer *t, enum corpus_split split, const struct answers *a, int n,
                      struct error *err)
{
    char name[64];

    for (int rule = 0; rule < N_RULES; rule++) {
        for (int i = 0; i < N_THRESHOLDS; i++) {
            int hundredths = (int)lround(100.0 * threshold(i));
            snprintf(name, sizeof name, "exit_%s_%d_accuracy", rule_names[rule], hundredths);
            if (trainer_tell(t, split, name, (double)a->right[rule][i] / n, err))
                return -1;
            snprintf(name, sizeof name, "exit_%s_%d_multiply_adds", rule_names[rule], hundredths);
            if (trainer_tell(t, split, name, t->gate.base_cost + t->gate.expert_cost * a->runs[rule][i] / n,
                             err))
                return -1;
        }
    }
    return 0;
}

/* scores (B, classes): the base's and those of each image's likeliest expert. */
static void add_batch(struct single_gate *g, const float *expert, float *scores, struct answers *a)
{
    size_t classes = (size_t)g->n_classes, K = (size_t)g->K;

    for (size_t b = 0; b < (size_t)g->base.n_images; b++) {
        const float *base = g->score + b * classes;
        struct image m = {.g = g,
                          .base = base,
                          .expert = expert + b * K * classes,
                          .gate = g->probability + b * K,
                          .label = g->base.label[b],
                          .first = g->chosen[b],
                          .confidence = best_probability(base, g->n_classes)};
        for (size_t i = 0; i < classes; i++)
            scores[b * classes + i] = base[i] + m.expert[(size_t)m.first * classes + i];
        add_answers(a, &m, largest_of(scores + b * classes, g->n_classes) == m.label);
    }
}

static int pass_all(struct trainer *t, const struct samples *samples, enum corpus_split split, float *expert,
                    float *scores, struct answers *a, struct error *err)
{
    struct single_gate *g = &t->gate;

    for (int next = 0; classifier_in_order(&g->base, t->corpus, samples, &next);) {
        single_gate_look(g, t->corpus);
        single_gate_all(g, expert);
        add_batch(g, expert, scores, a);
        struct pass pass = single_gate_pass(g, scores);
        tally_add(&t->tally, t->corpus, &pass);
        if (t->sink->pass(t->sink->context, t->step, split, &pass, err))
            return -1;
    }
    return 0;
}

static int tell_answers(struct trainer *t, const struct samples *samples, enum corpus_split split,
                        const struct answers *a, struct error *err)
{
    double n = samples->n;

    if (t->sink->summary(t->sink->context, t->step, split, &t->tally, err) ||
        trainer_tell(t, split, "loss", tally_mean_loss(&t->tally), err) ||
        trainer_tell(t, split, "accuracy", (double)a->first / n, err) ||
        trainer_tell(t, split, "accuracy_two", (double)a->two / n, err) ||
        trainer_tell(t, split, "accuracy_base", (double)a->base / n, err) ||
        trainer_tell(t, split, "multiply_adds", t->gate.base_cost + t->gate.expert_cost, err))
        return -1;
    return t->step == t->steps ? tell_exits(t, split, a, samples->n, err) : 0;
}

static int evaluate_gate(struct trainer *t, const struct samples *samples, enum corpus_split split,
                         struct error *err)
{
    size_t scores_of = (size_t)t->gate.base.net.max_samples * (size_t)t->gate.n_classes;
    float *expert = malloc(scores_of * (size_t)t->gate.K * sizeof *expert),
          *scores = malloc(scores_of * sizeof *scores);
    struct answers a = {0};
    int result = expert && scores ? 0 : error_no_memory(err, "experts' scores");

    tally_clear(&t->tally, true, true);
    if (result == 0)
        result = pass_all(t, samples, split, expert, scores, &a, err);
    if (result == 0)
        result = tell_answers(t, samples, split, &a, err);
    free(expert);
    free(scores);
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
