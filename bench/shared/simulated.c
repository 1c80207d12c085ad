#include "bench/shared/simulated.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "bench/shared/synthetic.h"
#include "sql/logbook.h"

/* Scales of the documents' own effects and of their tokens' noise: a document's tokens are more like each
 * other than like those of other documents, yet not the same. */
static const double document_logit = 0.5, token_logit = 1.0; /* of logits */
static const double document_loss = 0.02, token_loss = 0.3;  /* of a difference in nats */

struct simulated_shape simulated_shape_defaults(void)
{
    return (struct simulated_shape){.domains = 4,
                                    .documents = 10,
                                    .layers = 3,
                                    .experts = 8,
                                    .k = 2,
                                    .vocabulary = 100,
                                    .tokens = 24,
                                    .spread = 1,
                                    .shortest = 8,
                                    .longest = 256};
}

/* ---- memory ---- */

void simulated_release(struct simulated *s)
{
    free(s->domain);
    free(s->length);
    free(s->ids);
    free(s->probability);
    free(s->expert);
    free(s->gate);
    free(s->difference);
    free(s->loss);
    *s = (struct simulated){0};
}

static int allocate_documents(struct simulated *s, struct error *err)
{
    s->domain = calloc((size_t)s->n_documents + 1, sizeof *s->domain);
    s->length = calloc((size_t)s->n_documents + 1, sizeof *s->length);
    return s->domain && s->length ? 0 : error_no_memory(err, "simulated documents");
}

static int allocate_tokens(struct simulated *s, struct error *err)
{
    size_t tokens = (size_t)s->n_tokens, layers = (size_t)s->shape.layers;
    s->ids = calloc(tokens + (size_t)s->n_documents, sizeof *s->ids);
    s->probability = calloc(layers * tokens * (size_t)s->shape.experts, sizeof *s->probability);
    s->expert = calloc(layers * tokens * (size_t)s->shape.k, sizeof *s->expert);
    s->gate = calloc(layers * tokens * (size_t)s->shape.k, sizeof *s->gate);
    s->difference = calloc(tokens, sizeof *s->difference);
    s->loss = calloc(tokens, sizeof *s->loss);
    return s->ids && s->probability && s->expert && s->gate && s->difference && s->loss
               ? 0
               : error_no_memory(err, "simulated tokens");
}

/* ---- drawing ---- */

/* Student's t of 3 degrees of freedom. */
static double draw_heavy(struct random *r)
{
    double normal = random_normal(r), squares = 0;
    for (int i = 0; i < 3; i++) {
        double x = random_normal(r);
        squares += x * x;
    }
    return normal / sqrt(squares / 3);
}

static void draw_lengths(struct simulated *s, struct random *r)
{
    for (int d = 0; d < s->n_documents; d++) {
        double length = s->shape.tokens * exp(s->shape.spread * random_normal(r));
        length = fmin(fmax(round(length), s->shape.shortest), s->shape.longest);
        s->domain[d] = d / s->shape.documents;
        s->length[d] = (int)length;
        s->n_tokens += s->length[d];
    }
}

/* Softmax of the document's preferences and the token's noise. */
static void draw_probability(struct random *r, const double *preference, double scale, int n_experts,
                             float *p)
{
    double sum = 0;
    for (int e = 0; e < n_experts; e++) {
        p[e] = (float)exp(scale * (preference[e] + token_logit * random_normal(r)));
        sum += (double)p[e];
    }
    for (int e = 0; e < n_experts; e++)
        p[e] = (float)((double)p[e] / sum);
}

static void draw_document_routing(struct simulated *s, const struct simulated_effect *effect, int layer,
                                  int document, int first, double *preference, struct random *r)
{
    int n = s->shape.experts, k = s->shape.k;
    double scale = layer == 0 ? 1 + effect->spread * document_logit : 1;
    for (int e = 0; e < n; e++)
        preference[e] = document_logit * draw_heavy(r);
    preference[s->domain[document] % n] += document_logit * effect->routing;
    for (int t = first; t < first + s->length[document]; t++) {
        size_t at = (size_t)layer * (size_t)s->n_tokens + (size_t)t;
        float *p = s->probability + at * (size_t)n;
        draw_probability(r, preference, scale, n, p);
        take_largest(p, n, k, s->expert + at * (size_t)k, s->gate + at * (size_t)k);
    }
}

static void draw_document_losses(struct simulated *s, const struct simulated_effect *effect, int document,
                                 int first, struct random *r)
{
    double own = document_loss * (draw_heavy(r) + effect->loss);
    for (int t = first; t < first + s->length[document]; t++) {
        s->loss[t] = -3 * log(1 - random_uniform(r));
        s->difference[t] = own + token_loss * random_normal(r);
    }
}

static void draw_documents(struct simulated *s, const struct simulated_effect *effect, double *preference,
                           struct random *r)
{
    int first = 0;
    for (int d = 0; d < s->n_documents; d++) {
        for (int t = 0; t <= s->length[d]; t++)
            s->ids[first + d + t] = (int32_t)random_below(r, (uint64_t)s->shape.vocabulary);
        for (int l = 0; l < s->shape.layers; l++)
            draw_document_routing(s, effect, l, d, first, preference, r);
        draw_document_losses(s, effect, d, first, r);
        first += s->length[d];
    }
}

int simulated_draw(struct simulated *s, const struct simulated_shape *shape,
                   const struct simulated_effect *effect, uint64_t number, struct error *err)
{
    struct random r;
    *s = (struct simulated){.shape = *shape, .n_documents = shape->domains * shape->documents};
    double *preference = calloc((size_t)shape->experts, sizeof *preference);
    int result = preference ? allocate_documents(s, err) : error_no_memory(err, "simulated documents");
    random_seed(&r, 5, number);
    if (result == 0) {
        draw_lengths(s, &r);
        result = allocate_tokens(s, err);
    }
    if (result == 0)
        draw_documents(s, effect, preference, &r);
    free(preference);
    return result;
}

/* ---- the logbook ---- */

enum { NAME = 24 };

/* names: (D), split into "domain/number" and the domain alone. */
static int add_corpus(const struct simulated *s, struct logbook *lb, struct moescope_document *documents,
                      struct moescope_token *tokens, char (*names)[2][NAME], int64_t *corpus_id,
                      int64_t *vocabulary_id, int64_t *ids, struct error *err)
{
    for (int d = 0; d < s->n_documents; d++) {
        snprintf(names[d][0], NAME, "domain%d/%d", s->domain[d], d);
        snprintf(names[d][1], NAME, "domain%d", s->domain[d]);
        documents[d] = (struct moescope_document){.name = names[d][0],
                                                  .domain = names[d][1],
                                                  .sha256 = names[d][0],
                                                  .split = "probe",
                                                  .n_bytes = (int64_t)4 * s->length[d],
                                                  .n_tokens = s->length[d]};
    }
    for (int v = 0; v < s->shape.vocabulary; v++)
        tokens[v] = (struct moescope_token){"", "piece", 1};
    const struct moescope_corpus corpus = {.name = "simulated",
                                           .sha256 = "simulated",
                                           .vocabulary_name = "simulated",
                                           .vocabulary_sha256 = "simulated",
                                           .tokens = tokens,
                                           .n_tokens = s->shape.vocabulary,
                                           .documents = documents,
                                           .n_documents = s->n_documents};
    return moescope_add_corpus(lb, &corpus, corpus_id, vocabulary_id, ids, ids + s->n_documents, err);
}

static int describe(const struct simulated *s, struct logbook *lb, int64_t *corpus_id, int64_t *vocabulary_id,
                    int64_t *ids, struct error *err)
{
    struct moescope_document *documents = calloc((size_t)s->n_documents + 1, sizeof *documents);
    struct moescope_token *tokens = calloc((size_t)s->shape.vocabulary + 1, sizeof *tokens);
    char(*names)[2][NAME] = calloc((size_t)s->n_documents + 1, sizeof *names);
    int result = -1;
    if (documents && tokens && names)
        result = add_corpus(s, lb, documents, tokens, names, corpus_id, vocabulary_id, ids, err);
    else
        error_no_memory(err, "a simulated corpus");
    free(documents);
    free(tokens);
    free(names);
    return result;
}

static void add_routing(const struct simulated *s, struct moescope_batch *b, int sequence, int first)
{
    for (int l = 0; l < s->shape.layers; l++) {
        size_t at = (size_t)l * (size_t)s->n_tokens + (size_t)first;
        const struct moescope_block block = {.layer = l,
                                             .n_experts = s->shape.experts,
                                             .k = s->shape.k,
                                             .expert = s->expert + at * (size_t)s->shape.k,
                                             .gate = s->gate + at * (size_t)s->shape.k};
        moescope_batch_routing(b, sequence, &block);
        moescope_batch_probability(b, sequence, l, s->shape.experts,
                                   s->probability + at * (size_t)s->shape.experts);
    }
}

/* Of the second run nothing but losses is looked at. */
static void add_pass(const struct simulated *s, struct moescope_batch *b, const int64_t *ids, bool second)
{
    for (int d = 0, first = 0; d < s->n_documents; first += s->length[d++]) {
        double loss = 0;
        for (int t = first; t < first + s->length[d]; t++)
            loss += s->loss[t] + (second ? s->difference[t] : 0);
        moescope_batch_document_loss(b, 0, "probe", ids[d], s->length[d], (int64_t)4 * s->length[d], loss);
        const struct moescope_sequence sequence = {
            .document_id = ids[d], .n_tokens = s->length[d], .ids = s->ids + first + d};
        if (!second)
            add_routing(s, b, moescope_batch_sequence(b, 0, "probe", &sequence), first);
    }
}

static int begin_run(const struct simulated *s, struct logbook *lb, int64_t corpus_id, int64_t vocabulary_id,
                     bool second, int64_t *run_id, struct error *err)
{
    struct moescope_layer layers[LOGBOOK_MAX_LAYERS];
    for (int l = 0; l < s->shape.layers; l++)
        layers[l] = (struct moescope_layer){
            .layer = l, .router = "topk", .n_experts = s->shape.experts, .k = s->shape.k};
    const struct moescope_run run = {.name = second ? SIMULATED_OTHER : SIMULATED_RUN,
                                     .task = "language_model",
                                     .router = "topk",
                                     .program = "calibration",
                                     .machine_json = "{}",
                                     .corpus_id = corpus_id,
                                     .vocabulary_id = vocabulary_id,
                                     .layers = layers,
                                     .n_layers = s->shape.layers};
    return moescope_begin_run(lb, &run, run_id, err);
}

static int write_run(const struct simulated *s, struct logbook *lb, int64_t corpus_id, int64_t vocabulary_id,
                     const int64_t *ids, bool second, struct error *err)
{
    const struct moescope_writer_options writing = {.gate_bits = 8};
    struct moescope_writer *w;
    int64_t run_id;
    if (begin_run(s, lb, corpus_id, vocabulary_id, second, &run_id, err) != 0 ||
        moescope_writer_open(&w, lb, run_id, &writing, err) != 0)
        return -1;
    struct moescope_batch *batch = moescope_batch_new(w, err);
    if (batch)
        add_pass(s, batch, ids, second);
    int result = batch ? moescope_batch_commit(batch, err) : -1;
    if (moescope_writer_close(w, result ? NULL : err) != 0)
        result = -1;
    return result ? -1 : moescope_end_run(lb, run_id, "finished", err);
}

int simulated_write(const struct simulated *s, const char *path, struct error *err)
{
    struct logbook *lb = NULL;
    int64_t corpus_id, vocabulary_id, *ids = calloc(2 * (size_t)s->n_documents + 1, sizeof *ids);
    if (!ids)
        return error_no_memory(err, "simulated documents");
    remove(path);
    int result = moescope_open(&lb, path, err);
    if (result == 0)
        result = describe(s, lb, &corpus_id, &vocabulary_id, ids, err);
    for (int i = 0; i < 2 && result == 0; i++)
        result = write_run(s, lb, corpus_id, vocabulary_id, ids, i == 1, err);
    moescope_close(lb);
    free(ids);
    return result;
}
