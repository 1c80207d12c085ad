#include "engine/single_gate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernels.h"
#include "engine/kmeans.h"
#include "engine/optimiser.h"

static const uint64_t gate_stream = 0x6761746500000000U;
enum { MOST_ITERATIONS = 100 };

/* ---- the base ---- */

static int find_nodes(struct single_gate *g, const struct config *config, struct error *err)
{
    const struct network *n = &g->base.net.network;
    int stage = (int)config_int(config, "gate.stage");

    g->feature = classifier_stage_end(&g->base, stage - 1);
    if (g->feature < 0)
        return error_set(err, STATUS_USAGE, "gate.stage is %d, but the base has %d stages", stage,
                         config_count(&g->base_config, "network.filters"));
    g->embedding = n->nodes[n->n - 1].input[0];
    return 0;
}

/* ---- the experts ---- */

static int make_experts(struct single_gate *g, const struct config *config, struct pool *pool,
                        struct error *err)
{
    const struct network *base = &g->base.net.network;
    int stage = (int)config_int(config, "gate.stage");
    char prefix[32];

    for (int k = 0; k < g->K; k++) {
        int entry = network_input(&g->experts, base->nodes[g->feature].extent);
        snprintf(prefix, sizeof prefix, "experts.%d.", k);
        g->expert[k] = (struct branch){.entry = entry,
                                       .last = classifier_describe_tail(&g->experts, &g->base_config, prefix,
                                                                        entry, stage, g->n_classes)};
    }
    if (network_build(&g->experts, g->base.net.max_samples, pool, err))
        return -1;
    for (int k = 0; k < g->K; k++) {
        snprintf(prefix, sizeof prefix, "experts.%d.", k);
        if (network_copy(&g->experts, prefix, base, err) < 0)
            return -1;
    }
    g->base_cost = network_multiply_adds(base, -1, base->n - 1);
    g->expert_cost = network_multiply_adds(&g->experts, g->expert[0].entry, g->expert[0].last);
    return 0;
}

/* ---- clusters and the gate ---- */

static size_t embedding_width(const struct single_gate *g)
{
    return extent_size(g->base.net.network.nodes[g->embedding].extent);
}

/* rows: (n, E) */
static void embed(struct single_gate *g, const struct corpus *corpus, const struct samples *train,
                  float *rows)
{
    size_t E = embedding_width(g), at = 0;

    for (int next = 0; classifier_in_order(&g->base, corpus, train, &next);) {
        size_t B = (size_t)g->base.n_images;
        classifier_forward(&g->base, corpus, false, 1.0F);
        memcpy(rows + at * E, g->base.net.network.nodes[g->embedding].value, B * E * sizeof *rows);
        at += B;
    }
}

static double variance(const float *rows, int n, int width)
{
    double sum = 0.0;

    for (int j = 0; j < width; j++) {
        double mean = 0.0, squares = 0.0;
        for (int i = 0; i < n; i++) {
            double x = (double)rows[(size_t)i * (size_t)width + (size_t)j];
            mean += x / n;
            squares += x * x / n;
        }
        sum += squares - mean * mean;
    }
    return sum;
}

static int make_gate(struct single_gate *g, struct pool *pool, uint64_t seed, struct error *err)
{
    int input = network_input(&g->gate, (struct extent){1, 1, (int)embedding_width(g)});

    network_linear(&g->gate, input, "gate", g->K);
    if (network_build(&g->gate, g->base.net.max_samples, pool, err))
        return -1;
    parameters_seed(&g->gate.parameters, seed);
    return 0;
}

/* One update of the gate on rows order[first ..]. */
static void gate_update(struct single_gate *g, struct optimiser *o, const float *rows, const int32_t *cluster,
                        const int *order, int B, int64_t updates, double rate)
{
    size_t E = embedding_width(g);

    for (int b = 0; b < B; b++) {
        memcpy(g->gate.nodes[0].value + (size_t)b * E, rows + (size_t)order[b] * E, E * sizeof(float));
        g->chosen[b] = cluster[order[b]];
    }
    network_forward(&g->gate, B);
    network_cross_entropy(&g->gate, g->chosen, B, 1.0F / (float)B, g->loss);
    network_backward(&g->gate, B);
    optimiser_update(o, g->gate.pool, &g->gate.parameters, rate, updates,
                     optimiser_norm(g->gate.pool, &g->gate.parameters));
}

/* KL(g*, g) against the nearest centre is the cross entropy of the clusters. */
static int train_gate(struct single_gate *g, const struct config *config, const float *rows,
                      const struct kmeans *clusters, uint64_t seed, struct error *err)
{
    struct optimiser o = {.beta1 = 0.9, .beta2 = 0.999};
    int n = clusters->n, B = g->base.net.max_samples, epochs = (int)config_int(config, "gate.epochs");
    int64_t updates = 0;
    int *order = malloc((size_t)n * sizeof *order);
    struct random r;

    if (!order || optimiser_init(&o, &g->gate.parameters, err)) {
        free(order);
        return order ? -1 : error_no_memory(err, "the gate");
    }
    random_seed(&r, seed, gate_stream);
    for (int i = 0; i < n; i++)
        order[i] = i;
    for (int epoch = 0; epoch < epochs; epoch++) {
        random_shuffle(&r, order, n);
        for (int first = 0; first < n; first += B, updates++)
            gate_update(g, &o, rows, clusters->cluster, order + first, n - first < B ? n - first : B, updates,
                        config_real(config, "gate.learning_rate"));
    }
    optimiser_release(&o);
    free(order);
    return 0;
}

/* probability (B, K) and the likeliest expert, from the gate's logits. */
static void gate_softmax(struct single_gate *g, int B)
{
    softmax_rows(g->gate.pool, g->gate.nodes[g->gate.n - 1].value, g->probability, NULL, B, g->K);
    for (int b = 0; b < B; b++)
        g->chosen[b] = largest_of(g->probability + (size_t)b * (size_t)g->K, g->K);
}

/* Expert k draws train images by g + epsilon: (1 - epsilon) g_k + epsilon / K. count (classes, K): images by
 * class and likeliest expert. */
static void set_draws(struct single_gate *g, const struct config *config, const struct corpus *corpus,
                      const struct samples *train, const float *rows, const struct kmeans *clusters,
                      float *count)
{
    size_t E = embedding_width(g), n = (size_t)g->n;
    double epsilon = config_real(config, "gate.epsilon"), agreed = 0.0;
    int most = g->base.net.max_samples;

    for (int first = 0; first < g->n; first += most) {
        int B = g->n - first < most ? g->n - first : most;
        memcpy(g->gate.nodes[0].value, rows + (size_t)first * E, (size_t)B * E * sizeof *rows);
        network_forward(&g->gate, B);
        gate_softmax(g, B);
        for (int b = 0; b < B; b++) {
            size_t i = (size_t)first + (size_t)b;
            agreed += g->chosen[b] == clusters->cluster[i];
            count[corpus->images.label[train->items[i].document] * g->K + g->chosen[b]] += 1.0F;
            for (int k = 0; k < g->K; k++) {
                double before = i > 0 ? g->cumulative[(size_t)k * n + i - 1] : 0.0;
                g->cumulative[(size_t)k * n + i] =
                    before + (1.0 - epsilon) * (double)g->probability[b * g->K + k] + epsilon / g->K;
            }
        }
    }
    g->gate_agreement = agreed / g->n;
    for (int c = 0; c < g->n_classes; c++)
        g->expert_of_class[c] = largest_of(count + (size_t)c * (size_t)g->K, g->K);
}

static int cluster_and_gate(struct single_gate *g, const struct config *config, const struct corpus *corpus,
                            const struct samples *train, struct pool *pool, uint64_t seed, struct error *err)
{
    int E = (int)embedding_width(g);
    struct kmeans clusters = {0};
    float *rows = calloc((size_t)train->n * (size_t)E, sizeof *rows),
          *count = calloc((size_t)g->n_classes * (size_t)g->K, sizeof *count);

    if (!rows || !count) {
        free(rows);
        free(count);
        return error_no_memory(err, "the embeddings");
    }
    embed(g, corpus, train, rows);
    int result = kmeans_run(&clusters, pool, rows, train->n, E, g->K, MOST_ITERATIONS, seed, err) ||
                         make_gate(g, pool, seed, err) || train_gate(g, config, rows, &clusters, seed, err)
                     ? -1
                     : 0;
    if (result == 0) {
        g->distortion = clusters.distortion / variance(rows, train->n, E);
        set_draws(g, config, corpus, train, rows, &clusters, count);
    }
    kmeans_release(&clusters);
    free(rows);
    free(count);
    return result;
}

/* ---- the whole ---- */

static int claim(struct single_gate *g, const struct samples *train, struct error *err)
{
    size_t B = (size_t)g->base.net.max_samples, K = (size_t)g->K;

    g->n = train->n;
    g->expert = arena_claim(&g->memory, K, sizeof *g->expert);
    g->cumulative = arena_claim(&g->memory, K * (size_t)train->n, sizeof *g->cumulative);
    g->probability = arena_claim(&g->memory, B * K, sizeof *g->probability);
    g->score = arena_claim(&g->memory, B * (size_t)g->n_classes, sizeof *g->score);
    g->chosen = arena_claim(&g->memory, B, sizeof *g->chosen);
    g->said = arena_claim(&g->memory, B * (size_t)g->n_classes, sizeof *g->said);
    g->leaves = arena_claim(&g->memory, B, sizeof *g->leaves);
    g->row = arena_claim(&g->memory, B, sizeof *g->row);
    g->load = arena_claim(&g->memory, K, sizeof *g->load);
    g->expert_of_class = arena_claim(&g->memory, (size_t)g->n_classes, sizeof *g->expert_of_class);
    g->loss = arena_claim(&g->memory, B, sizeof *g->loss);
    g->outcome = arena_claim(&g->memory, B, sizeof *g->outcome);
    if (g->memory.failed)
        return error_no_memory(err, "the gate");
    g->layer = (struct routed_layer){0, &g->routing};
    return routing_init(&g->routing, (int)B, g->K, 1, err);
}

int single_gate_init(struct single_gate *g, const struct config *config, const struct corpus *corpus,
                     const struct samples *train, struct pool *pool, uint64_t seed, struct error *err)
{
    g->K = (int)config_int_at(config, "router.experts", 0);
    g->n_classes = corpus->n_domains;
    g->ensembled = strcmp(config_text(config, "gate.ensembler"), "sum") == 0;
    if (config_int(config, "gate.seed") >= 0)
        seed = (uint64_t)config_int(config, "gate.seed");
    if (g->K > train->n)
        return error_set(err, STATUS_USAGE, "router.experts is %d, more than there are train images", g->K);
    return classifier_load_base(&g->base, &g->base_config, config, corpus, pool, err) ||
                   find_nodes(g, config, err) || claim(g, train, err) || make_experts(g, config, pool, err) ||
                   cluster_and_gate(g, config, corpus, train, pool, seed, err)
               ? -1
               : 0;
}

void single_gate_release(struct single_gate *g)
{
    classifier_release(&g->base);
    config_release(&g->base_config);
    network_release(&g->gate);
    network_release(&g->experts);
    routing_release(&g->routing);
    arena_release(&g->memory);
    *g = (struct single_gate){0};
}

/* ---- learning ---- */

static int draw(const struct single_gate *g, int k, struct random *r)
{
    const double *cumulative = g->cumulative + (size_t)k * (size_t)g->n;
    double x = random_uniform(r) * cumulative[g->n - 1];
    int low = 0, high = g->n - 1;

    while (low < high) {
        int middle = low + (high - low) / 2;
        if (cumulative[middle] > x)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* ---- passes ---- */

void single_gate_look(struct single_gate *g, const struct corpus *corpus)
{
    const struct network *n = &g->base.net.network;
    size_t B = (size_t)g->base.n_images;

    classifier_forward(&g->base, corpus, false, 1.0F);
    memcpy(g->score, n->nodes[n->n - 1].value, B * (size_t)g->n_classes * sizeof *g->score);
    memcpy(g->gate.nodes[0].value, n->nodes[g->embedding].value, B * embedding_width(g) * sizeof(float));
    network_forward(&g->gate, g->base.n_images);
    gate_softmax(g, g->base.n_images);
    memset(g->leaves, 0, B * sizeof *g->leaves);
}

/* One decision an image, none of those that leave. */
static void decide(struct single_gate *g)
{
    struct routing *r = &g->routing;
    size_t K = (size_t)g->K;
    int n = 0;

    r->n_tokens = g->base.n_images;
    r->softmax = false; /* probabilities all the same: logits are not kept */
    memset(r->requested, 0, K * sizeof *r->requested);
    for (int b = 0; b < r->n_tokens; b++) {
        int k = g->chosen[b];
        if (!g->leaves[b]) {
            r->expert[n] = k;
            r->gate[n] = g->probability[(size_t)b * K + (size_t)k];
            r->weight[n++] = 1.0F;
            r->requested[k]++;
        }
        r->offset[b + 1] = n;
    }
    memcpy(r->probability, g->probability, (size_t)r->n_tokens * K * sizeof *r->probability);
}

static const float *features(const struct single_gate *g)
{
    return g->base.net.network.nodes[g->feature].value;
}

/* What the experts score, with the base's scores where the ensembler adds them up, or nobody else speaks. */
static void ensemble(struct single_gate *g)
{
    size_t classes = (size_t)g->n_classes;

    for (size_t b = 0; b < (size_t)g->base.n_images; b++) {
        if (g->ensembled || g->leaves[b])
            add_scaled(g->said + b * classes, g->score + b * classes, 1.0F, g->n_classes);
    }
}

static void run_chosen(struct single_gate *g)
{
    decide(g);
    branches_forward(&g->experts, g->expert, &g->routing, features(g), g->said, g->row, g->load);
    ensemble(g);
}

double single_gate_learn(struct single_gate *g, const struct corpus *corpus, const struct samples *train,
                         int k, struct random *r, float scale)
{
    int B = g->base.net.max_samples;
    struct node *head = &g->experts.nodes[g->expert[k].last];
    double sum = 0.0;

    classifier_clear(&g->base);
    while (classifier_add(&g->base, corpus, &train->items[draw(g, k, r)]))
        ;
    single_gate_look(g, corpus);
    for (int b = 0; b < B; b++)
        g->chosen[b] = k;
    run_chosen(g);
    memcpy(head->value, g->said, (size_t)B * (size_t)g->n_classes * sizeof *g->said);
    network_cross_entropy_of(&g->experts, g->expert[k].last, g->base.label, B, scale / (float)B, g->loss);
    network_backward_between(&g->experts, g->expert[k].entry, g->expert[k].last, B);
    for (int b = 0; b < B; b++)
        sum += (double)g->loss[b];
    return sum / B;
}

float single_gate_confidence(const float *score, int n)
{
    float sum = 0.0F, most = score[largest_of(score, n)];

    for (int i = 0; i < n; i++)
        sum += expf(score[i] - most);
    return 1.0F / sum;
}

void single_gate_say(struct single_gate *g, float confidence)
{
    for (size_t b = 0; b < (size_t)g->base.n_images; b++)
        g->leaves[b] =
            single_gate_confidence(g->score + b * (size_t)g->n_classes, g->n_classes) >= confidence;
    run_chosen(g);
}

void single_gate_all(struct single_gate *g, float *expert)
{
    size_t classes = (size_t)g->n_classes, B = (size_t)g->base.n_images;

    for (int k = 0; k < g->K; k++) {
        const struct node *entry = &g->experts.nodes[g->expert[k].entry],
                          *head = &g->experts.nodes[g->expert[k].last];
        memcpy(entry->value, features(g), B * extent_size(entry->extent) * sizeof *entry->value);
        network_forward_between(&g->experts, g->expert[k].entry, g->expert[k].last, (int)B);
        for (size_t b = 0; b < B; b++) {
            const float *score = head->value + b * classes;
            memcpy(expert + (b * (size_t)g->K + (size_t)k) * classes, score, classes * sizeof *expert);
            if (g->chosen[b] == k)
                memcpy(g->said + b * classes, score, classes * sizeof *score);
        }
    }
    decide(g);
    ensemble(g);
}

/* ---- what is told ---- */

struct pass single_gate_pass(struct single_gate *g)
{
    struct classifier *c = &g->base;

    for (int b = 0; b < c->n_images; b++) {
        const float *said = g->said + (size_t)b * (size_t)g->n_classes;
        double cost = g->base_cost + (g->leaves[b] ? 0.0 : g->expert_cost);
        g->loss[b] = cross_entropy_row_loss(said, c->label[b], g->n_classes);
        g->outcome[b] =
            (struct outcome){c->label[b], largest_of(said, g->n_classes), !g->leaves[b], (int64_t)cost};
    }
    return (struct pass){.n_sequences = c->n_images,
                         .start = c->start,
                         .sample = c->sample,
                         .input = c->input,
                         .target = c->target,
                         .loss = g->loss,
                         .outcome = g->outcome,
                         .layers = &g->layer,
                         .n_layers = 1};
}
