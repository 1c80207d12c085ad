#include "engine/norm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const norm_kinds[] = {"norm_soft_moe", "norm_mlp", NULL};

/* ---- documents ---- */

enum { NAME_BYTES = 16, N_DOCUMENTS = 1 + NORM_VALID + NORM_PROBE };
static char vector_text[] = "number", norm_text[] = "norm";

static int claim_corpus(struct corpus *c, int dimensions, struct error *err)
{
    c->vocabulary = calloc(2, sizeof *c->vocabulary);
    c->domains = calloc(1, sizeof *c->domains);
    c->documents = calloc(N_DOCUMENTS, sizeof *c->documents);
    c->documents_text = malloc((size_t)N_DOCUMENTS * NAME_BYTES);
    c->ids = calloc((size_t)dimensions + 1, sizeof *c->ids);
    c->name = malloc(64);
    c->model_path = strdup("");
    return c->vocabulary && c->domains && c->documents && c->documents_text && c->ids && c->name &&
                   c->model_path
               ? 0
               : error_no_memory(err, "the vectors");
}

static void add_document(struct corpus *c, enum corpus_split split, int number)
{
    struct document *d = &c->documents[c->n_documents];

    *d = (struct document){
        .name = c->documents_text + (size_t)c->n_documents * NAME_BYTES, .split = split, .n_ids = c->n_ids};
    snprintf(d->name, NAME_BYTES, "%s/%04d", corpus_split_names[split], number);
    sha256_bytes(d->name, strlen(d->name), d->sha256);
    c->n_documents++;
}

int norm_corpus(struct corpus *c, const struct config *config, struct error *err)
{
    int dimensions = (int)config_int(config, "norm.dimensions");

    *c = (struct corpus){0};
    if (claim_corpus(c, dimensions, err)) {
        corpus_release(c);
        return -1;
    }
    snprintf(c->name, 64, "norms of %d numbers of variance %g", dimensions,
             config_real(config, "norm.variance"));
    sha256_bytes(c->name, strlen(c->name), c->sha256);
    sha256_bytes(norm_text, strlen(norm_text), c->vocabulary_sha256);
    c->vocabulary[0] = (struct vocabulary_item){.text = vector_text, .kind = "special"};
    c->vocabulary[1] = (struct vocabulary_item){.text = norm_text, .kind = "class"};
    c->n_vocabulary = 2;
    c->domains[0] = norm_text;
    c->n_domains = 1;
    c->n_ids = dimensions + 1;
    c->ids[dimensions] = 1;
    add_document(c, SPLIT_TRAIN, 0);
    for (int i = 0; i < NORM_VALID; i++)
        add_document(c, SPLIT_VALID, i);
    for (int i = 0; i < NORM_PROBE; i++)
        add_document(c, SPLIT_PROBE, i);
    return 0;
}

/* ---- model ---- */

static int describe(struct norm_model *m, const struct config *config, struct error *err)
{
    struct network *n = &m->net.network;
    int token = (int)config_int(config, "norm.token"), from;

    m->net.soft = -1;
    m->net.tokens = 1;
    from = network_input(n, (struct extent){1, 1, m->dimensions});
    if (strcmp(config_text(config, "model.kind"), "norm_mlp") == 0) {
        from = network_relu(n, network_linear(n, from, "hidden", (int)config_int(config, "network.hidden")));
        network_linear(n, from, "head", 1);
        return 0;
    }
    if (m->dimensions % token != 0)
        return error_set(err, STATUS_USAGE, "norm.token %d does not divide norm.dimensions %d", token,
                         m->dimensions);
    m->net.tokens = m->dimensions / token;
    from = network_reshape(n, from, (struct extent){m->net.tokens, 1, token});
    from = m->net.soft = network_soft_moe(n, from, "soft", (int)config_int_at(config, "router.experts", 0),
                                          (int)config_int(config, "soft.slots"),
                                          (int)config_int_at(config, "router.hidden", 0));
    network_total(n, network_reshape(n, from, (struct extent){m->dimensions, 1, 1}));
    return 0;
}

int norm_init(struct norm_model *m, const struct config *config, struct pool *pool, uint64_t seed,
              struct error *err)
{
    size_t B = (size_t)config_int(config, "train.batch");

    m->dimensions = (int)config_int(config, "norm.dimensions");
    m->deviation = sqrt(config_real(config, "norm.variance"));
    if (describe(m, config, err) || soft_network_build(&m->net, (int)B, pool, seed, err))
        return -1;
    size_t tokens = B * (size_t)m->net.tokens;
    m->target = arena_claim(&m->memory, B, sizeof *m->target);
    m->error = arena_claim(&m->memory, B, sizeof *m->error);
    m->start = arena_claim(&m->memory, B + 1, sizeof *m->start);
    m->ids = arena_claim(&m->memory, tokens + 1, sizeof *m->ids);
    m->loss = arena_claim(&m->memory, tokens, sizeof *m->loss);
    m->sample = arena_claim(&m->memory, B, sizeof *m->sample);
    if (m->memory.failed)
        return error_no_memory(err, "a batch of vectors");
    memset(m->ids, 0, (tokens + 1) * sizeof *m->ids);
    return 0;
}

void norm_release(struct norm_model *m)
{
    soft_network_release(&m->net);
    arena_release(&m->memory);
    *m = (struct norm_model){0};
}

/* ---- batches ---- */

void norm_fill(struct norm_model *m, const struct sample *samples, int n, bool all, uint64_t seed,
               uint64_t stream)
{
    float *x = m->net.network.nodes[0].value;
    struct random r;

    m->n_vectors = n;
    m->start[0] = 0;
    for (int b = 0; b < n; b++) {
        double squares = 0.0;
        random_seed(&r, seed, stream + (uint64_t)b);
        for (int i = 0; i < m->dimensions; i++) {
            double number = m->deviation * random_normal(&r);
            x[(size_t)b * (size_t)m->dimensions + (size_t)i] = (float)number;
            squares += number * number;
        }
        m->target[b] = (float)sqrt(squares);
        m->sample[b] = all ? samples : samples + b;
        m->start[b + 1] = m->start[b] + m->net.tokens;
    }
}

double norm_forward(struct norm_model *m, bool train, float scale)
{
    int B = m->n_vectors, tokens = m->net.tokens;
    double sum = 0.0;

    network_forward(&m->net.network, B);
    network_squared_error(&m->net.network, m->target, B, scale / (float)B, m->error);
    for (int b = 0; b < B; b++) {
        sum += (double)m->error[b];
        for (int t = 0; t < tokens; t++)
            m->loss[b * tokens + t] = m->error[b];
    }
    if (train)
        network_backward(&m->net.network, B);
    return sum / B;
}

struct pass norm_pass(struct norm_model *m)
{
    if (m->net.soft >= 0)
        soft_network_route(&m->net, m->n_vectors, true);
    return (struct pass){.n_sequences = m->n_vectors,
                         .start = m->start,
                         .sample = m->sample,
                         .input = m->ids,
                         .target = m->ids,
                         .loss = m->loss,
                         .layers = &m->net.layer,
                         .n_layers = m->net.soft >= 0};
}
