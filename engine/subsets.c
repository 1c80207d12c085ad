#include "engine/subsets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernels.h"

static const uint64_t draw_stream = 0x7375627365747300U, label_stream = 0x77726f6e67000000U;

struct search {
    struct classifier *c;
    const struct corpus *corpus;
    int N, k, classes;
    struct random draws, labels;
    int64_t likeliest, random[SUBSET_DRAWS], fixed, best, wrong;
    uint8_t *chosen;      /* (N) the fixed subset */
    double *weight;       /* (N) combine weights over the choosing samples */
    float *bias, *shares; /* (B, classes) scores without experts; (B, N, classes) what each adds to them */
    uint8_t *used;        /* (2^N) a subset that was some image's first right one */
};

/* ---- the fixed subset ---- */

static int heavier(const double *weight, int a, int b)
{
    return weight[a] > weight[b] || (weight[a] == weight[b] && a < b);
}

static void choose_fixed(struct search *s, const struct samples *choosing)
{
    for (int next = 0; classifier_in_order(s->c, s->corpus, choosing, &next);) {
        classifier_forward(s->c, s->corpus, false, 1.0F);
        soft_network_add_weights(&s->c->net, s->c->n_images, s->weight);
    }
    for (int e = 0; e < s->N; e++) {
        int before = 0;
        for (int other = 0; other < s->N; other++)
            before += heavier(s->weight, other, e);
        s->chosen[e] = before < s->k;
    }
}

/* ---- search ---- */

static const float *scores(const struct search *s)
{
    return s->c->net.network.nodes[s->c->net.network.n - 1].value;
}

/* The head is linear, so that an expert's share of the scores is what it alone adds to those without any. */
static void measure_shares(struct search *s)
{
    size_t classes = (size_t)s->classes;

    for (int e = -1; e < s->N; e++) {
        soft_network_keep_one(&s->c->net, s->c->n_images, e);
        if (e < 0)
            memcpy(s->bias, scores(s), (size_t)s->c->n_images * classes * sizeof *s->bias);
        for (int b = 0; b < s->c->n_images && e >= 0; b++)
            for (size_t i = 0; i < classes; i++)
                s->shares[((size_t)b * (size_t)s->N + (size_t)e) * classes + i] =
                    scores(s)[(size_t)b * classes + i] - s->bias[(size_t)b * classes + i];
    }
}

static int predict(const struct search *s, int b, unsigned subset)
{
    float sum[256];

    memcpy(sum, s->bias + (size_t)b * (size_t)s->classes, (size_t)s->classes * sizeof *sum);
    for (int e = 0; e < s->N; e++) {
        const float *share = s->shares + ((size_t)b * (size_t)s->N + (size_t)e) * (size_t)s->classes;
        for (int i = 0; i < s->classes && (subset >> e & 1); i++)
            sum[i] += share[i];
    }
    return largest_of(sum, s->classes);
}

static void search_image(struct search *s, int b)
{
    int label = s->c->label[b], other = (int)random_below(&s->labels, (uint64_t)(s->classes - 1));
    bool right = false, wrong = false;

    other += other >= label;
    for (unsigned subset = 0; subset < 1U << s->N && !(right && wrong); subset++) {
        if (__builtin_popcount(subset) != s->k)
            continue;
        int prediction = predict(s, b, subset);
        if (prediction == label && !right) {
            right = true;
            s->used[subset] = 1;
        }
        wrong |= prediction == other;
    }
    s->best += right;
    s->wrong += wrong;
}

/* ---- the whole ---- */

static int64_t right(struct search *s)
{
    classifier_predict(s->c);
    return classifier_right(s->c);
}

static void measure_batch(struct search *s)
{
    struct soft_network *net = &s->c->net;
    int B = s->c->n_images;

    classifier_forward(s->c, s->corpus, false, 1.0F);
    soft_network_keep_likeliest(net, B, s->k);
    s->likeliest += right(s);
    soft_network_keep_same(net, B, s->chosen);
    s->fixed += right(s);
    for (int draw = 0; draw < SUBSET_DRAWS; draw++) {
        soft_network_keep_random(net, B, s->k, &s->draws);
        s->random[draw] += right(s);
    }
    if (!s->used)
        return;
    measure_shares(s);
    for (int b = 0; b < B; b++)
        search_image(s, b);
}

static void conclude(const struct search *s, int images, struct subset_figures *f)
{
    double squares = 0.0, unique = 0.0;

    *f = (struct subset_figures){.k = s->k,
                                 .likeliest = (double)s->likeliest / images,
                                 .fixed = (double)s->fixed / images,
                                 .best = s->used ? (double)s->best / images : NAN,
                                 .wrong = s->used ? (double)s->wrong / images : NAN,
                                 .unique = NAN};
    for (int draw = 0; draw < SUBSET_DRAWS; draw++)
        f->random += (double)s->random[draw] / images / SUBSET_DRAWS;
    for (int draw = 0; draw < SUBSET_DRAWS; draw++)
        squares += pow((double)s->random[draw] / images - f->random, 2);
    f->deviation = sqrt(squares / (SUBSET_DRAWS - 1));
    for (unsigned subset = 0; s->used && subset < 1U << s->N; subset++)
        unique += s->used[subset];
    if (s->used)
        f->unique = unique;
}

static int claim(struct search *s, struct error *err)
{
    size_t N = (size_t)s->N, classes = (size_t)s->classes;
    bool searched = s->N <= MOST_SEARCHED && s->classes <= 256;

    s->chosen = calloc(N + 1, sizeof *s->chosen);
    s->weight = calloc(N + 1, sizeof *s->weight);
    s->bias = searched ? calloc((size_t)s->c->net.max_samples * classes + 1, sizeof *s->bias) : NULL;
    s->shares = searched ? calloc((size_t)s->c->net.max_samples * N * classes + 1, sizeof *s->shares) : NULL;
    s->used = searched ? calloc((size_t)1 << s->N, sizeof *s->used) : NULL;
    return s->chosen && s->weight && (!searched || (s->bias && s->shares && s->used))
               ? 0
               : error_no_memory(err, "subsets of experts");
}

int subsets_measure(struct classifier *c, const struct corpus *corpus, const struct samples *samples,
                    const struct samples *choosing, int k, uint64_t seed, struct subset_figures *f,
                    struct error *err)
{
    struct search s = {
        .c = c, .corpus = corpus, .N = soft_network_experts(&c->net), .k = k, .classes = corpus->n_domains};
    int result = claim(&s, err);

    if (result == 0) {
        random_seed(&s.draws, seed, draw_stream + (uint64_t)k);
        random_seed(&s.labels, seed, label_stream);
        choose_fixed(&s, choosing);
        for (int next = 0; classifier_in_order(c, corpus, samples, &next);)
            measure_batch(&s);
        conclude(&s, samples->n, f);
    }
    free(s.chosen);
    free(s.weight);
    free(s.bias);
    free(s.shares);
    free(s.used);
    return result;
}
