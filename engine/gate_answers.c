#include "engine/gate_answers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/kernels.h"

const char *const exit_rule_names[N_EXIT_RULES] = {"alpha", "confidence"};
const int exit_hundredths[N_THRESHOLDS] = {1,  2,  3,  5,  10, 15, 20, 25, 30, 35, 40, 45, 50,
                                           55, 60, 65, 70, 75, 80, 85, 90, 95, 97, 98, 99};
const char *const granularity_names[N_GRANULARITIES] = {"sample", "class", "true_class"};

int gate_answers_init(struct gate_answers *a, const struct single_gate *g, struct error *err)
{
    size_t K = (size_t)g->K, cells = (size_t)g->base.net.max_samples * K * (size_t)g->n_classes;

    *a = (struct gate_answers){0};
    a->expert = arena_claim(&a->memory, K, sizeof *a->expert);
    a->scores = arena_claim(&a->memory, cells, sizeof *a->scores);
    if (a->memory.failed) {
        gate_answers_release(a);
        return error_no_memory(err, "experts' scores");
    }
    memset(a->expert, 0, K * sizeof *a->expert);
    return 0;
}

void gate_answers_release(struct gate_answers *a)
{
    arena_release(&a->memory);
    *a = (struct gate_answers){0};
}

/* ---- one image ---- */

struct image {
    const struct single_gate *g;
    const float *base, *expert, *gate; /* (C), (K, C), (K) */
    int label, first;                  /* the likeliest expert */
    float confidence;
};

/* Whether base (if it counts) + expert k names the label. */
static bool right_by(const struct image *m, bool with_base, int k)
{
    int C = m->g->n_classes, best = 0;
    float highest = -INFINITY;

    for (int i = 0; i < C; i++) {
        float score = m->expert[k * C + i] + (with_base ? m->base[i] : 0.0F);
        if (score > highest) {
            highest = score;
            best = i;
        }
    }
    return best == m->label;
}

/* Whether what is said by the experts whose gates, times scale, reach `least`, weighted by their gates, names
 * the label. */
static bool right_by_several(const struct image *m, float scale, float least, int *runs)
{
    int C = m->g->n_classes, best = 0;
    float highest = -INFINITY;

    *runs = 0;
    for (int k = 0; k < m->g->K; k++)
        *runs += scale * m->gate[k] >= least;
    for (int i = 0; i < C; i++) {
        float sum = 0.0F;
        for (int k = 0; k < m->g->K; k++) {
            if (scale * m->gate[k] >= least)
                sum += m->gate[k] * (m->expert[k * C + i] + (m->g->ensembled ? m->base[i] : 0.0F));
        }
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

static void add_exits(struct gate_answers *a, const struct image *m, bool base_is_right, bool said_is_right)
{
    int runs;

    for (int i = 0; i < N_THRESHOLDS; i++) {
        float threshold = 0.01F * (float)exit_hundredths[i];
        bool right = right_by_several(m, 1.0F - m->confidence, threshold, &runs);
        a->right[EXIT_ALPHA][i] += runs > 0 ? right : base_is_right;
        a->runs[EXIT_ALPHA][i] += runs;
        bool leaves = m->confidence >= threshold;
        a->right[EXIT_CONFIDENCE][i] += leaves ? base_is_right : said_is_right;
        a->runs[EXIT_CONFIDENCE][i] += !leaves;
    }
}

static void add_image(struct gate_answers *a, const struct image *m, bool said_is_right)
{
    int named = largest_of(m->base, m->g->n_classes), runs;
    bool base_is_right = named == m->label;
    const int32_t *expert_of_class = m->g->expert_of_class;
    const int expert[N_GRANULARITIES] = {m->first, expert_of_class[named], expert_of_class[m->label]};
    struct expert_answers *e = &a->expert[m->first];

    a->n++;
    a->base += base_is_right;
    a->said += said_is_right;
    a->two += m->g->K > 1 ? right_by_several(m, 1.0F, second_gate(m), &runs) : said_is_right;
    for (int i = 0; i < N_GRANULARITIES; i++) {
        a->with[i] += right_by(m, true, expert[i]);
        a->alone[i] += right_by(m, false, expert[i]);
    }
    e->n++;
    e->with += right_by(m, true, m->first);
    e->alone += right_by(m, false, m->first);
    e->base += base_is_right;
    add_exits(a, m, base_is_right, said_is_right);
}

void gate_answers_add(struct gate_answers *a, struct single_gate *g)
{
    size_t C = (size_t)g->n_classes, K = (size_t)g->K;

    single_gate_all(g, a->scores);
    for (size_t b = 0; b < (size_t)g->base.n_images; b++) {
        struct image m = {.g = g,
                          .base = g->score + b * C,
                          .expert = a->scores + b * K * C,
                          .gate = g->probability + b * K,
                          .label = g->base.label[b],
                          .first = g->chosen[b],
                          .confidence = single_gate_confidence(g->score + b * C, g->n_classes)};
        add_image(a, &m, largest_of(g->said + b * C, g->n_classes) == m.label);
    }
}

/* ---- what comes of it ---- */

int gate_answers_cheapest(const struct gate_answers *a, enum exit_rule rule, double share)
{
    int best = -1;

    for (int i = 0; i < N_THRESHOLDS; i++) {
        bool good = (double)(a->said - a->right[rule][i]) <= share * (double)a->n;
        if (good && (best < 0 || a->runs[rule][i] < a->runs[rule][best]))
            best = i;
    }
    return best;
}

struct telling { /* where figures go */
    const struct gate_answers *a;
    gate_figure *tell;
    void *context;
    struct error *err;
};

static int tell_share(const struct telling *t, const char *name, int64_t right, int64_t n)
{
    return t->tell(t->context, name, (double)right / (double)n, t->err);
}

static int tell_granularities(const struct telling *t)
{
    char name[64];

    for (int i = 0; i < N_GRANULARITIES; i++) {
        snprintf(name, sizeof name, "accuracy_by_%s", granularity_names[i]);
        if (tell_share(t, name, t->a->with[i], t->a->n))
            return -1;
        snprintf(name, sizeof name, "accuracy_by_%s_alone", granularity_names[i]);
        if (tell_share(t, name, t->a->alone[i], t->a->n))
            return -1;
    }
    return 0;
}

static int tell_experts(const struct telling *t, int K)
{
    char name[64];

    for (int k = 0; k < K; k++) {
        const struct expert_answers *e = &t->a->expert[k];
        const struct {
            const char *name;
            int64_t right;
        } figures[] = {{"accuracy", e->with}, {"alone", e->alone}, {"base", e->base}};
        snprintf(name, sizeof name, "expert_%d_images", k);
        if (t->tell(t->context, name, (double)e->n, t->err))
            return -1;
        for (size_t i = 0; i < sizeof figures / sizeof *figures && e->n > 0; i++) {
            snprintf(name, sizeof name, "expert_%d_%s", k, figures[i].name);
            if (tell_share(t, name, figures[i].right, e->n))
                return -1;
        }
    }
    return 0;
}

static int tell_exits(const struct telling *t, const struct single_gate *g)
{
    char name[64];

    for (int rule = 0; rule < N_EXIT_RULES; rule++) {
        for (int i = 0; i < N_THRESHOLDS; i++) {
            double runs = (double)t->a->runs[rule][i] / (double)t->a->n;
            snprintf(name, sizeof name, "exit_%s_%d_accuracy", exit_rule_names[rule], exit_hundredths[i]);
            if (tell_share(t, name, t->a->right[rule][i], t->a->n))
                return -1;
            snprintf(name, sizeof name, "exit_%s_%d_multiply_adds", exit_rule_names[rule],
                     exit_hundredths[i]);
            if (t->tell(t->context, name, g->base_cost + g->expert_cost * runs, t->err))
                return -1;
        }
    }
    return 0;
}

int gate_answers_tell(const struct gate_answers *a, const struct single_gate *g, gate_figure *tell,
                      void *context, struct error *err)
{
    const struct telling t = {a, tell, context, err};

    return tell(context, "multiply_adds_base", g->base_cost, err) ||
                   tell_share(&t, "accuracy_base", a->base, a->n) ||
                   tell_share(&t, "accuracy_two", a->two, a->n) || tell_granularities(&t) ||
                   tell_experts(&t, g->K) || tell_exits(&t, g)
               ? -1
               : 0;
}
