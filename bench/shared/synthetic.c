#include "bench/shared/synthetic.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "metrics/demand.h"

enum { MAX_DOMAINS = 8, MAX_EXPERTS = 1024 };
static const char *const domain_names[MAX_DOMAINS] = {"c",           "english", "german",  "japanese",
                                                      "mathematics", "python",  "russian", "spanish"};

/* ---- what is drawn ---- */

/* A router's probabilities for a token: the domain's preferences and noise of the same weight. */
static void draw_probability(struct random *r, const float *preference, float *p, int n_experts)
{
    float sum = 0.0F;

    for (int e = 0; e < n_experts; e++) {
        float uniform = ((float)random_below(r, 1 << 24) + 0.5F) / (float)(1 << 24);
        p[e] = expf(preference[e]) / -logf(uniform);
        sum += p[e];
    }
    for (int e = 0; e < n_experts; e++)
        p[e] /= sum;
}

void take_largest(const float *p, int n_experts, int k, int32_t *expert, float *gate)
{
    for (int slot = 0; slot < k; slot++) {
        int best = -1;
        for (int e = 0; e < n_experts; e++) {
            bool taken = false;
            for (int i = 0; i < slot; i++)
                taken = taken || expert[i] == e;
            if (!taken && (best < 0 || p[e] > p[best]))
                best = e;
        }
        expert[slot] = best;
        gate[slot] = p[best];
    }
}

/* Adds a token to the sums of all domains and to those of its own. */
static void add_to_load(struct synthetic_layer *l, const struct synthetic_shape *shape, int domain, int first,
                        int last, const float *p)
{
    const size_t rows[2] = {0, (size_t)(domain + 1) * (size_t)shape->experts};

    for (int row = 0; row < 2; row++) {
        for (int i = first; i < last; i++) {
            l->assignments[rows[row] + (size_t)l->expert[i]]++;
            l->gate_sum[rows[row] + (size_t)l->expert[i]] += (double)l->gate[i];
        }
        for (int e = 0; e < shape->experts; e++)
            l->probability_sum[rows[row] + (size_t)e] += (double)p[e];
    }
}

static void add_figures(struct synthetic_layer *l, const struct synthetic_shape *shape, const float *p)
{
    double mass[MAX_EXPERTS];

    rank_mass(p, shape->experts, mass);
    for (int e = 0; e < shape->experts; e++)
        l->rank_mass[e] += mass[e] / shape->tokens;
    l->entropy += router_entropy(p, shape->experts) / shape->tokens;
}

static void draw_layer(struct synthetic *s, struct random *r, const float *preference,
                       struct synthetic_layer *l)
{
    const struct synthetic_shape *shape = &s->shape;
    float p[MAX_EXPERTS] = {0};
    int n = 0;

    for (int t = 0; t < shape->tokens; t++) {
        int domain = t / shape->context % shape->domains;
        int k = shape->varying ? 1 + (int)random_below(r, (uint64_t)shape->k) : shape->k;
        draw_probability(r, preference + (size_t)domain * (size_t)shape->experts, p, shape->experts);
        take_largest(p, shape->experts, k, l->expert + n, l->gate + n);
        l->offsets[t] = n;
        n += k;
        add_to_load(l, shape, domain, l->offsets[t], n, p);
        if (l->probability) {
            memcpy(l->probability + (size_t)t * (size_t)shape->experts, p,
                   (size_t)shape->experts * sizeof *p);
            add_figures(l, shape, p);
        }
    }
    l->offsets[shape->tokens] = n;
}

static int draw_steps(struct synthetic *s, struct error *err)
{
    size_t n = (size_t)s->shape.domains * (size_t)s->shape.experts, layers = (size_t)s->shape.layers;
    float *preference = calloc(layers * n, sizeof *preference);
    struct random r;

    if (!preference)
        return error_no_memory(err, "synthetic steps");
    random_seed(&r, 1, 0);
    for (size_t i = 0; i < layers * n; i++)
        preference[i] = (float)random_normal(&r);
    for (size_t i = 0; i < s->n_drawn; i++)
        draw_layer(s, &r, preference + i % layers * n, &s->layers[i]);
    for (size_t i = 0; i < (size_t)s->n_steps * (size_t)s->shape.tokens; i++)
        s->loss[i] = (float)(-3.0 * log(random_uniform(&r) + 1e-9));
    free(preference);
    return 0;
}

static size_t document_tokens(const struct synthetic *s)
{
    return (size_t)s->shape.document_size * (size_t)s->shape.context;
}

/* Some words are far more frequent than others. */
static void draw_ids(struct synthetic *s)
{
    struct random r;

    random_seed(&r, 2, 0);
    for (size_t i = 0; i < (size_t)s->n_documents * (document_tokens(s) + 1); i++) {
        double u = random_uniform(&r);
        s->ids[i] = (int32_t)(u * u * s->shape.vocabulary);
    }
}

/* ---- memory ---- */

static int layer_init(struct synthetic_layer *l, const struct synthetic_shape *shape, bool probability)
{
    size_t tokens = (size_t)shape->tokens, experts = (size_t)shape->experts;
    size_t sums = (size_t)(shape->domains + 1) * experts;

    l->offsets = malloc((tokens + 1) * sizeof *l->offsets);
    l->expert = malloc(tokens * (size_t)shape->k * sizeof *l->expert);
    l->gate = malloc(tokens * (size_t)shape->k * sizeof *l->gate);
    l->probability = probability ? malloc(tokens * experts * sizeof *l->probability) : NULL;
    l->assignments = calloc(sums, sizeof *l->assignments);
    l->gate_sum = calloc(sums, sizeof *l->gate_sum);
    l->probability_sum = calloc(sums, sizeof *l->probability_sum);
    l->rank_mass = calloc(experts, sizeof *l->rank_mass);
    return l->offsets && l->expert && l->gate && l->assignments && l->gate_sum && l->probability_sum &&
                   l->rank_mass && (l->probability || !probability)
               ? 0
               : -1;
}

static void layer_release(struct synthetic_layer *l)
{
    free(l->offsets);
    free(l->expert);
    free(l->gate);
    free(l->probability);
    free(l->assignments);
    free(l->gate_sum);
    free(l->probability_sum);
    free(l->rank_mass);
}

void synthetic_release(struct synthetic *s)
{
    for (size_t i = 0; s->layers && i < s->n_drawn; i++)
        layer_release(&s->layers[i]);
    free(s->layers);
    free(s->loss);
    free(s->ids);
    free(s->document_ids);
    free(s->domain_ids);
    *s = (struct synthetic){0};
}

static int check_shape(const struct synthetic_shape *shape, struct error *err)
{
    if (shape->layers < 1 || shape->experts < 1 || shape->experts > MAX_EXPERTS || shape->k < 1 ||
        shape->k > shape->experts || shape->context < 1 || shape->tokens < shape->context ||
        shape->tokens % shape->context != 0 || shape->domains < 1 || shape->domains > MAX_DOMAINS ||
        shape->vocabulary < 1 || shape->vocabulary > 65536 || shape->document_size < 1 ||
        shape->groups <= 2 * shape->probe_groups)
        return error_set(err, STATUS_USAGE,
                         "no such shape: 1 to %d experts, k of them, tokens a multiple of the context",
                         MAX_EXPERTS);
    return 0;
}

static int allocate(struct synthetic *s, bool probabilities, struct error *err)
{
    const struct synthetic_shape *shape = &s->shape;
    size_t documents = (size_t)s->n_documents;

    s->n_drawn = (size_t)s->n_steps * (size_t)shape->layers;
    s->layers = calloc(s->n_drawn, sizeof *s->layers);
    s->loss = malloc((size_t)s->n_steps * (size_t)shape->tokens * sizeof *s->loss);
    s->ids = malloc(documents * (document_tokens(s) + 1) * sizeof *s->ids);
    s->document_ids = malloc(documents * sizeof *s->document_ids);
    s->domain_ids = malloc(documents * sizeof *s->domain_ids);
    if (!s->layers || !s->loss || !s->ids || !s->document_ids || !s->domain_ids)
        return error_no_memory(err, "synthetic steps");
    for (size_t i = 0; i < s->n_drawn; i++) {
        if (layer_init(&s->layers[i], shape, probabilities))
            return error_no_memory(err, "synthetic steps");
    }
    return 0;
}

int synthetic_init(struct synthetic *s, const struct synthetic_shape *shape, int n_steps, bool probabilities,
                   struct error *err)
{
    *s = (struct synthetic){.shape = *shape, .n_steps = n_steps};
    if (check_shape(shape, err))
        return -1;
    s->n_lanes = shape->tokens / shape->context;
    s->n_documents = s->n_lanes * shape->groups;
    if (allocate(s, probabilities, err) || draw_steps(s, err))
        return -1;
    draw_ids(s);
    return 0;
}

/* ---- corpus and run ---- */

static const char *split_of(const struct synthetic *s, int document)
{
    int group = document / s->n_lanes;

    return group < s->shape.probe_groups ? "probe" : group < 2 * s->shape.probe_groups ? "valid" : "train";
}

static void describe_documents(const struct synthetic *s, struct moescope_document *documents,
                               char (*names)[32])
{
    for (int d = 0; d < s->n_documents; d++) {
        const char *domain = domain_names[d % s->n_lanes % s->shape.domains];
        snprintf(names[d], sizeof names[d], "%s/%d.txt", domain, d);
        documents[d] = (struct moescope_document){.name = names[d],
                                                  .domain = domain,
                                                  .sha256 = names[d],
                                                  .split = split_of(s, d),
                                                  .n_bytes = 4 * (int64_t)document_tokens(s),
                                                  .n_tokens = (int64_t)document_tokens(s)};
    }
}

static void describe_tokens(const struct synthetic *s, struct moescope_token *tokens, char (*texts)[16])
{
    for (int v = 0; v < s->shape.vocabulary; v++) {
        snprintf(texts[v], sizeof texts[v], "w%d", v);
        tokens[v] = (struct moescope_token){texts[v], "piece", 1 + 1000000 / (v + 1)};
    }
}

int synthetic_add_corpus(struct synthetic *s, struct logbook *lb, struct error *err)
{
    size_t n = (size_t)s->n_documents, words = (size_t)s->shape.vocabulary;
    struct moescope_document *documents = malloc(n * sizeof *documents);
    char(*names)[32] = malloc(n * sizeof *names);
    struct moescope_token *tokens = malloc(words * sizeof *tokens);
    char(*texts)[16] = malloc(words * sizeof *texts);
    int result = -1;

    if (!documents || !names || !tokens || !texts) {
        error_no_memory(err, "the corpus's description");
        goto done;
    }
    describe_documents(s, documents, names);
    describe_tokens(s, tokens, texts);
    const struct moescope_corpus corpus = {.name = "synthetic",
                                           .sha256 = "synthetic",
                                           .vocabulary_name = "synthetic",
                                           .vocabulary_sha256 = "synthetic",
                                           .tokens = tokens,
                                           .n_tokens = s->shape.vocabulary,
                                           .documents = documents,
                                           .n_documents = s->n_documents};
    result = moescope_add_corpus(lb, &corpus, &s->corpus_id, &s->vocabulary_id, s->document_ids,
                                 s->domain_ids, err);
done:
    free(documents);
    free(names);
    free(tokens);
    free(texts);
    return result;
}

int synthetic_begin_run(const struct synthetic *s, struct logbook *lb, const char *name, int64_t seed,
                        int64_t *run_id, struct error *err)
{
    const struct moescope_setting config[] = {{"router.name", "\"topk\""}, {"log.decisions", "\"all\""}};
    struct moescope_layer layers[LOGBOOK_MAX_LAYERS];

    for (int l = 0; l < s->shape.layers; l++)
        layers[l] = (struct moescope_layer){.layer = l,
                                            .router = "topk",
                                            .n_experts = s->shape.experts,
                                            .k = s->shape.varying ? 0 : s->shape.k,
                                            .expert_parameters = 393216};
    const struct moescope_run run = {.name = name,
                                     .task = "language_model",
                                     .router = "topk",
                                     .program = "bench",
                                     .machine_json = "{}",
                                     .seed = seed,
                                     .corpus_id = s->corpus_id,
                                     .vocabulary_id = s->vocabulary_id,
                                     .config = config,
                                     .n_config = 2,
                                     .layers = layers,
                                     .n_layers = s->shape.layers};
    return moescope_begin_run(lb, &run, run_id, err);
}

/* ---- steps ---- */

int64_t synthetic_epoch(const struct synthetic *s)
{
    return (int64_t)(s->shape.groups - 2 * s->shape.probe_groups) * s->shape.document_size;
}

const struct synthetic_layer *synthetic_layer(const struct synthetic *s, int64_t step, int layer)
{
    return &s->layers[(step + s->shift) % s->n_steps * s->shape.layers + layer];
}

int64_t synthetic_decisions(const struct synthetic *s, int64_t step)
{
    int64_t n = 0;

    for (int l = 0; l < s->shape.layers; l++)
        n += synthetic_layer(s, step, l)->offsets[s->shape.tokens];
    return n;
}

/* One sequence of a step that was drawn. */
static int add_sequence(const struct synthetic *s, struct moescope_batch *b, int64_t step, const char *split,
                        int64_t drawn, int lane, int document, int part)
{
    const struct synthetic_shape *shape = &s->shape;
    int first = lane * shape->context, offset = part * shape->context;
    const float *loss = s->loss + (size_t)((drawn + s->shift) % s->n_steps) * (size_t)shape->tokens;
    const struct moescope_sequence sequence = {.document_id = s->document_ids[document],
                                               .offset = offset,
                                               .n_tokens = shape->context,
                                               .ids = s->ids + (size_t)document * (document_tokens(s) + 1) +
                                                      (size_t)offset,
                                               .loss = loss + first};
    int handle = moescope_batch_sequence(b, step, split, &sequence);

    for (int l = 0; l < shape->layers; l++) {
        const struct synthetic_layer *layer = synthetic_layer(s, drawn, l);
        const struct moescope_block block = {.layer = l,
                                             .n_experts = shape->experts,
                                             .k = shape->varying ? 0 : shape->k,
                                             .offsets = shape->varying ? layer->offsets + first : NULL,
                                             .expert = layer->expert + layer->offsets[first],
                                             .gate = layer->gate + layer->offsets[first]};
        moescope_batch_routing(b, handle, &block);
    }
    return handle;
}

static void add_document_loss(const struct synthetic *s, struct moescope_batch *b, int64_t step,
                              const char *split, int64_t drawn, int lane, int document)
{
    const float *loss = s->loss + (size_t)((drawn + s->shift) % s->n_steps) * (size_t)s->shape.tokens +
                        (size_t)lane * (size_t)s->shape.context;
    double sum = 0.0;

    for (int t = 0; t < s->shape.context; t++)
        sum += (double)loss[t];
    moescope_batch_document_loss(b, step, split, s->document_ids[document], s->shape.context,
                                 (int64_t)4 * s->shape.context, sum);
}

static void add_loads(const struct synthetic *s, struct moescope_batch *b, int64_t step)
{
    for (int l = 0; l < s->shape.layers; l++) {
        const struct synthetic_layer *layer = synthetic_layer(s, step, l);
        const struct moescope_load load = {.layer = l,
                                           .n_experts = s->shape.experts,
                                           .assignments = layer->assignments,
                                           .gate_sum = layer->gate_sum,
                                           .probability_sum = layer->probability_sum};
        moescope_batch_load(b, step, "train", &load);
        moescope_batch_layer_metric(b, step, "train", l, "router_entropy", 2.0 + 1.0 / (1.0 + (double)step));
    }
}

static void add_metrics(const struct synthetic *s, struct moescope_batch *b, int64_t step)
{
    double seen = (double)(step + 1) * s->shape.tokens, loss = 3.0 + 6.0 / sqrt(1.0 + (double)step);
    const struct {
        const char *name;
        double value;
    } metrics[] = {
        {"loss", loss + 0.01}, {"lm_loss", loss},       {"balance_loss", 1.01},
        {"z_loss", 0.5},       {"grad_norm", 1.0 / 3},  {"learning_rate", 1e-3 / (1.0 + 1e-4 * (double)step)},
        {"tokens", seen},      {"seconds", seen / 5e4}, {"tokens_per_second", 5e4},
    };

    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++)
        moescope_batch_metric(b, step, "train", metrics[i].name, metrics[i].value);
}

void synthetic_add_step(const struct synthetic *s, struct moescope_batch *b, int64_t step)
{
    int64_t at = step % synthetic_epoch(s);
    int group = 2 * s->shape.probe_groups + (int)(at / s->shape.document_size);

    for (int lane = 0; lane < s->n_lanes; lane++) {
        int document = group * s->n_lanes + lane;
        add_sequence(s, b, step, "train", step, lane, document, (int)(at % s->shape.document_size));
        add_document_loss(s, b, step, "train", step, lane, document);
    }
    add_loads(s, b, step);
    add_metrics(s, b, step);
}

/* ---- passes ---- */

static void add_probabilities(const struct synthetic *s, struct moescope_batch *b, int64_t drawn, int lane,
                              int handle)
{
    size_t first = (size_t)lane * (size_t)s->shape.context * (size_t)s->shape.experts;

    for (int l = 0; l < s->shape.layers; l++)
        moescope_batch_probability(b, handle, l, s->shape.experts,
                                   synthetic_layer(s, drawn, l)->probability + first);
}

/* Means over the drawn steps that a pass was made of. */
static void add_router_figures(const struct synthetic *s, struct moescope_batch *b, int64_t step,
                               const char *split, int layer)
{
    double groups = s->shape.probe_groups, entropy = 0.0, mass[MAX_EXPERTS] = {0.0};
    char name[32];

    for (int group = 0; group < s->shape.probe_groups; group++) {
        const struct synthetic_layer *drawn = synthetic_layer(s, step + group, layer);
        entropy += drawn->entropy / groups;
        for (int e = 0; e < s->shape.experts; e++)
            mass[e] += drawn->rank_mass[e] / groups;
    }
    moescope_batch_layer_metric(b, step, split, layer, "router_entropy", entropy);
    for (int n = 1; n <= s->shape.experts; n *= 2) {
        snprintf(name, sizeof name, "rank_mass_%d", n);
        moescope_batch_layer_metric(b, step, split, layer, name, mass[n - 1]);
    }
}

/* The sums of the steps drawn that a pass was made of, group by group. */
static void add_pass_loads(const struct synthetic *s, struct moescope_batch *b, int64_t step,
                           const char *split)
{
    enum { MOST = (MAX_DOMAINS + 1) * MAX_EXPERTS };
    static int64_t assignments[MOST];
    static double gate_sum[MOST], probability_sum[MOST];
    size_t experts = (size_t)s->shape.experts, n = (size_t)(s->shape.domains + 1) * experts;

    for (int l = 0; l < s->shape.layers; l++) {
        memset(assignments, 0, sizeof assignments);
        memset(gate_sum, 0, sizeof gate_sum);
        memset(probability_sum, 0, sizeof probability_sum);
        for (int group = 0; group < s->shape.probe_groups; group++) {
            const struct synthetic_layer *layer = synthetic_layer(s, step + group, l);
            for (size_t i = 0; i < n; i++) {
                assignments[i] += layer->assignments[i];
                gate_sum[i] += layer->gate_sum[i];
                probability_sum[i] += layer->probability_sum[i];
            }
        }
        add_router_figures(s, b, step, split, l);
        for (size_t row = 0; row <= (size_t)s->shape.domains; row++) {
            const struct moescope_load load = {.domain_id = row ? s->domain_ids[row - 1] : 0,
                                               .layer = l,
                                               .n_experts = s->shape.experts,
                                               .assignments = assignments + row * experts,
                                               .gate_sum = gate_sum + row * experts,
                                               .probability_sum = probability_sum + row * experts};
            moescope_batch_load(b, step, split, &load);
        }
    }
}

void synthetic_add_pass(const struct synthetic *s, struct moescope_batch *b, int64_t step, const char *split)
{
    bool probe = strcmp(split, "probe") == 0;

    for (int group = 0; group < s->shape.probe_groups; group++) {
        for (int lane = 0; lane < s->n_lanes; lane++) {
            int document = (probe ? group : s->shape.probe_groups + group) * s->n_lanes + lane;
            int handle = add_sequence(s, b, step, split, step + group, lane, document, 0);
            add_document_loss(s, b, step, split, step + group, lane, document);
            if (probe)
                add_probabilities(s, b, step + group, lane, handle);
        }
    }
    add_pass_loads(s, b, step, split);
    moescope_batch_metric(b, step, split, "loss", 3.0 + 6.0 / sqrt(1.0 + (double)step));
}
