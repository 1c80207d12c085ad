/* engine/tally.h: sums over passes. First on decisions written by hand, then on those of a model that ran. */
#include "engine/tally.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/blas.h"
#include "engine/evaluate.h"
#include "tests/close.h"
#include "tests/memory.h"

/* ---- by hand ---- */

/* Three sequences of two documents: tokens 0, 1 of document 0 (domain 0), token 2 of document 1 (domain 1),
 * token 3 of document 0 again. Two of three experts a token; token 1's second choice was refused.
 *
 *   token   p                   decisions        loss   target, its bytes
 *     0     1/2   1/4   1/4     0, 1             1.0     7     4
 *     1     1/4   1/2   1/4     1, 0 dropped     2.0     3     1
 *     2     1/4   1/4   1/2     2, 0             4.0     5     2
 *     3     1/2   1/4   1/4     0, 2             8.0     2     0 (end of the document)  */
enum { T = 4, N = 3, K = 2 };

static const struct memory_document documents[] = {{0, SPLIT_TRAIN, 9}, {1, SPLIT_TRAIN, 9}};
static const float probability[T * N] = {.5F, .25F, .25F, .25F, .5F, .25F, .25F, .25F, .5F, .5F, .25F, .25F};

struct by_hand {
    struct corpus corpus;
    struct routing routing;
    struct routed_layer layer;
    struct model model;
    struct packed packed;
    struct sample samples[3];
    float loss[T];
};

static void fill_routing(struct routing *r)
{
    static const int32_t experts[T * K] = {0, 1, 1, 0, 2, 0, 0, 2};

    r->n_tokens = T;
    for (int d = 0; d < T * K; d++) {
        r->offset[d / K] = d / K * K;
        r->expert[d] = experts[d];
        r->gate[d] = probability[d / K * N + experts[d]];
        r->dropped[d] = d == 3;
    }
    r->offset[T] = T * K;
    for (int i = 0; i < T * N; i++) {
        r->probability[i] = probability[i];
        r->logit[i] = logf(probability[i]) + 3.0F; /* log-sum-exp 3 */
        r->log_sum[i / N] = 3.0F;
    }
}

static void by_hand_open(struct by_hand *h)
{
    static const int32_t start[] = {0, 2, 3, 4};
    static const float loss[] = {1, 2, 4, 8};
    static const int32_t target[] = {7, 3, 5, TOKEN_EOS};

    memset(h, 0, sizeof *h);
    memory_corpus(&h->corpus, documents, 2, 20);
    h->layer.routing = &h->routing;
    assert_int_equal(routing_init(&h->routing, T, N, K, NULL), 0);
    fill_routing(&h->routing);
    assert_int_equal(packed_init(&h->packed, T, NULL), 0);
    h->packed.batch.n_tokens = T;
    h->packed.batch.n_sequences = 3;
    memcpy(h->packed.batch.start, start, sizeof start);
    memcpy(h->packed.batch.target, target, sizeof target);
    memcpy(h->loss, loss, sizeof loss);
    for (int s = 0; s < 3; s++) {
        h->samples[s] = (struct sample){.document = s == 1, .n_tokens = start[s + 1] - start[s]};
        h->packed.sample[s] = &h->samples[s];
    }
    h->model = (struct model){.routed = &h->layer, .n_routed = 1, .token_loss = h->loss};
}

static void by_hand_close(struct by_hand *h)
{
    packed_release(&h->packed);
    routing_release(&h->routing);
    memory_corpus_release(&h->corpus);
}

static void add_pass(struct tally *t, const struct by_hand *h)
{
    struct pass pass = packed_pass(&h->packed, &h->model);

    tally_add(t, &h->corpus, &pass);
}

static void check_counts(const int64_t *counts, int64_t a, int64_t b, int64_t c)
{
    assert_int_equal(counts[0], a);
    assert_int_equal(counts[1], b);
    assert_int_equal(counts[2], c);
}

static void check_sums(const double *sums, double a, double b, double c)
{
    assert_close(sums[0], a, 1e-6);
    assert_close(sums[1], b, 1e-6);
    assert_close(sums[2], c, 1e-6);
}

static void test_by_hand(void **state)
{
    struct by_hand h;
    struct tally t;

    (void)state;
    by_hand_open(&h);
    assert_int_equal(tally_init(&t, &h.layer, 1, 2, 2, NULL), 0);
    tally_clear(&t, true, true);
    add_pass(&t, &h);
    const struct layer_tally *l = &t.layers[0];
    assert_int_equal(t.n_layers, 1);
    check_counts(l->assignments, 3, 2, 2); /* all domains: accepted only */
    check_counts(l->dropped, 1, 0, 0);
    check_sums(l->gate_sum, .5 + .25 + .5, .25 + .5, .5 + .25);
    check_sums(l->probability_sum, 1.5, 1.25, 1.25);
    check_counts(l->assignments + N, 2, 2, 1); /* domain 0: tokens 0, 1, 3 */
    check_counts(l->dropped + N, 1, 0, 0);
    check_sums(l->gate_sum + N, 1.0, .75, .25);
    check_sums(l->probability_sum + N, 1.25, 1.0, .75);
    check_counts(l->assignments + 2 * N, 1, 0, 1); /* domain 1: token 2 */
    check_counts(l->dropped + 2 * N, 0, 0, 0);
    check_sums(l->gate_sum + 2 * N, .25, 0, .5);
    check_sums(l->probability_sum + 2 * N, .25, .25, .5);
    /* each token: 1/2 ln 2 + 2 * 1/4 ln 4 = 3/2 ln 2; the largest, two largest, three of each: 1/2, 3/4, 1 */
    assert_close(l->entropy_sum, 4 * 1.5 * log(2), 1e-5);
    check_sums(l->rank_mass, 2.0, 3.0, 4.0);
    tally_release(&t);
    by_hand_close(&h);
}

/* Scores that are no softmax count as shares of their sum; a token without any has no part in figures of the
 * router. Token 1 has three times its scores, token 2 none. */
static void test_scores(void **state)
{
    struct by_hand h;
    struct tally t;

    (void)state;
    by_hand_open(&h);
    for (int e = 0; e < N; e++) {
        h.routing.probability[N + e] *= 3.0F;
        h.routing.probability[2 * N + e] = 0.0F;
    }
    assert_int_equal(tally_init(&t, &h.layer, 1, 2, 2, NULL), 0);
    tally_clear(&t, false, true);
    add_pass(&t, &h);
    const struct layer_tally *l = &t.layers[0];
    check_sums(l->probability_sum, 1.25, 1.0, .75);
    assert_int_equal(l->n_scored, 3);
    assert_close(l->entropy_sum, 3 * 1.5 * log(2), 1e-5);
    check_sums(l->rank_mass, 1.5, 2.25, 3.0);
    tally_clear(&t, false, true);
    assert_int_equal(l->n_scored, 0);
    tally_release(&t);
    by_hand_close(&h);
}

static void test_losses_by_hand(void **state)
{
    struct by_hand h;
    struct tally t;

    (void)state;
    by_hand_open(&h);
    assert_int_equal(tally_init(&t, &h.layer, 1, 2, 2, NULL), 0);
    tally_clear(&t, false, false);
    for (int pass = 1; pass <= 2; pass++) { /* passes add up */
        add_pass(&t, &h);
        assert_int_equal(t.n_tokens, 4 * pass);
        assert_close(t.loss, 15.0 * pass, 0.0);
        assert_close(tally_mean_loss(&t), 3.75, 0.0);
        assert_int_equal(t.document_tokens[0], 3 * pass);
        assert_int_equal(t.document_tokens[1], pass);
        assert_int_equal(t.n_bytes, 7 * pass);
        assert_int_equal(t.document_bytes[0], 5 * pass);
        assert_int_equal(t.document_bytes[1], 2 * pass);
        assert_close(tally_bits_per_byte(&t), 15 / log(2) / 7, 1e-12);
        assert_close(t.document_loss[0], 11.0 * pass, 0.0);
        assert_close(t.document_loss[1], 4.0 * pass, 0.0);
        assert_int_equal(t.domain_tokens[0], 3 * pass);
        assert_int_equal(t.domain_tokens[1], pass);
        assert_int_equal(t.layers[0].assignments[0], 3 * pass);
    }
    /* not asked for: not counted */
    check_counts(t.layers[0].assignments + N, 0, 0, 0);
    check_sums(t.layers[0].rank_mass, 0, 0, 0);
    tally_clear(&t, true, true);
    assert_int_equal(t.n_tokens, 0);
    assert_true(t.loss == 0.0 && t.document_loss[0] == 0.0 && t.layers[0].entropy_sum == 0.0);
    check_counts(t.layers[0].assignments, 0, 0, 0);
    check_counts(t.layers[0].dropped, 0, 0, 0);
    check_sums(t.layers[0].gate_sum, 0, 0, 0);
    assert_int_equal(t.document_tokens[0] + t.domain_tokens[0] + t.document_bytes[0] + t.n_bytes, 0);
    tally_release(&t);
    tally_release(&t); /* safe twice */
    by_hand_close(&h);
}

/* A baseline has documents and no layers. */
static void test_without_layers(void **state)
{
    struct tally t;

    (void)state;
    assert_int_equal(tally_init(&t, NULL, 0, 2, 3, NULL), 0);
    tally_clear(&t, true, true);
    tally_add_document(&t, 2, 5, 12, 10.0);
    tally_add_document(&t, 2, 1, 0, 2.0);
    tally_add_document(&t, 0, 4, 8, 1.0);
    assert_int_equal(t.n_layers, 0);
    assert_int_equal(t.document_tokens[2], 6);
    assert_close(t.document_loss[2], 12.0, 0.0);
    assert_int_equal(t.n_tokens, 10);
    assert_close(tally_mean_loss(&t), 1.3, 1e-15);
    assert_int_equal(t.document_bytes[2], 12);
    assert_close(tally_bits_per_byte(&t), 13 / log(2) / 20, 1e-15);
    tally_release(&t);
}

/* ---- of a model ---- */

struct trained {
    struct corpus corpus;
    struct config config;
    struct pool *pool;
    struct model model;
    struct samples samples;
    struct packed packed;
    struct tally tally;
    struct memory_sink sink;
};

/* Blocks 0 and 2 route, with capacity; block 1 is dense. */
static void trained_open(struct trained *m)
{
    static const char *const three[] = {"model.layers=3", "router.capacity=1", NULL};
    struct model_config c;
    struct error err = {0};

    blas_start();
    memory_small_corpus(&m->corpus);
    memory_config(&m->config, three);
    memory_sink_open(&m->sink);
    if (pool_open(&m->pool, 2, &err) || config_model(&m->config, m->corpus.n_vocabulary, &c, &err))
        fail_msg("%s", err.text);
    c.layers[1].router = router_find("dense");
    if (model_init(&m->model, &c, 32, m->pool, &err) || packed_init(&m->packed, 32, &err) ||
        samples_init(&m->samples, &m->corpus, SPLIT_VALID, c.context, 0, &err) ||
        tally_init(&m->tally, m->model.routed, m->model.n_routed, m->corpus.n_domains, m->corpus.n_documents,
                   &err))
        fail_msg("%s", err.text);
    assert_int_equal(model_seed(&m->model, 1, NULL), 0);
}

static void trained_close(struct trained *m)
{
    tally_release(&m->tally);
    packed_release(&m->packed);
    samples_release(&m->samples);
    model_release(&m->model);
    pool_close(m->pool);
    memory_sink_release(&m->sink);
    config_release(&m->config);
    memory_corpus_release(&m->corpus);
}

/* Sums that must agree with each other: decisions with tokens, domains with the whole, mass with 1. */
static void check_reconciled(const struct tally *t, const struct layer_tally *l, int k)
{
    int64_t all = 0, domains[2] = {0, 0};
    double probability_sum = 0.0, lesser = 0.0;

    for (int e = 0; e < l->n_experts; e++) {
        size_t i = (size_t)e, n = (size_t)l->n_experts;
        all += l->assignments[i] + l->dropped[i];
        probability_sum += l->probability_sum[i];
        assert_int_equal(l->assignments[i], l->assignments[n + i] + l->assignments[2 * n + i]);
        assert_int_equal(l->dropped[i], l->dropped[n + i] + l->dropped[2 * n + i]);
        assert_close(l->gate_sum[i], l->gate_sum[n + i] + l->gate_sum[2 * n + i], 1e-9);
        assert_close(l->probability_sum[i], l->probability_sum[n + i] + l->probability_sum[2 * n + i], 1e-9);
        assert_true(l->rank_mass[i] >= lesser);
        lesser = l->rank_mass[i];
        for (size_t d = 0; d < 2; d++)
            domains[d] += l->assignments[(d + 1) * n + i] + l->dropped[(d + 1) * n + i];
    }
    assert_int_equal(all, t->n_tokens * k);
    for (int d = 0; d < 2; d++)
        assert_int_equal(domains[d], t->domain_tokens[d] * k);
    assert_close(probability_sum, (double)t->n_tokens, 1e-4);
    assert_close(l->rank_mass[l->n_experts - 1], (double)t->n_tokens, 1e-6);
    assert_in_range((int64_t)(1e6 * l->entropy_sum), 0,
                    (int64_t)(1e6 * log(l->n_experts) * (double)t->n_tokens) + 1);
}

static void test_of_a_model(void **state)
{
    struct trained m;
    struct error err = {0};

    (void)state;
    trained_open(&m);
    struct evaluation e = {&m.model, &m.corpus, &m.sink.sink, &m.packed, &m.tally, 3};
    if (evaluate(&e, &m.samples, SPLIT_VALID, &err))
        fail_msg("%s", err.text);
    assert_int_equal(m.tally.n_layers, 2); /* the dense block has no loads */
    assert_int_equal(m.tally.layers[0].layer, 0);
    assert_int_equal(m.tally.layers[1].layer, 2);
    assert_int_equal(m.tally.n_tokens, m.samples.n_tokens);
    for (int i = 0; i < 2; i++)
        check_reconciled(&m.tally, &m.tally.layers[i], 2);
    for (int d = 12; d < 16; d++) /* read whole, in pieces of the context */
        assert_int_equal(m.tally.document_bytes[d], m.corpus.documents[d].n_bytes);
    int64_t dropped = 0;
    for (int i = 0; i < 4; i++)
        dropped += m.tally.layers[0].dropped[i];
    assert_true(dropped > 0); /* or the above would have shown less */
    trained_close(&m);
}

/* Bytes of the text from the document's id `first` on, `n` of them: what they decode to. */
static double decoded(const struct corpus *c, int document, int64_t first, int64_t n)
{
    struct text text;

    text_init(&text);
    corpus_decode(c->vocabulary, c->ids + c->documents[document].first + first, n, &text);
    assert_false(text.failed);
    double bytes = (double)text.length;
    text_release(&text);
    return bytes;
}

/* What the sink hears: every pass with its losses, then their sum by document and as means. Those by bytes
 * are over the text of the ten ids behind the first one. */
static void test_evaluation(void **state)
{
    struct trained m;
    struct error err = {0};
    double tokens = 0.0, loss = 0.0, bytes = 0.0;
    int passes = 0;

    (void)state;
    trained_open(&m);
    samples_release(&m.samples);
    assert_int_equal(samples_init(&m.samples, &m.corpus, SPLIT_VALID, 8, 10, NULL),
                     0); /* 10 of each document */
    struct evaluation e = {&m.model, &m.corpus, &m.sink.sink, &m.packed, &m.tally, 3};
    if (evaluate(&e, &m.samples, SPLIT_VALID, &err))
        fail_msg("%s", err.text);
    while (m.sink.calls[passes].kind == MEMORY_PASS) {
        tokens += m.sink.calls[passes].value;
        loss += m.sink.calls[passes++].loss;
    }
    assert_int_equal(passes + 3, m.sink.n);
    assert_true(passes > 1);
    assert_int_equal(m.sink.calls[passes].kind, MEMORY_SUMMARY);
    assert_close(tokens, 4 * 10, 0.0);
    assert_close(m.sink.calls[passes].loss, loss, 1e-9);
    assert_close(memory_metric(&m.sink, 3, SPLIT_VALID, "loss"), loss / 40, 1e-9);
    for (int d = 12; d < 16; d++)
        bytes += decoded(&m.corpus, d, 1, 10);
    assert_close(memory_metric(&m.sink, 3, SPLIT_VALID, "bits_per_byte"), loss / log(2) / bytes, 1e-9);
    trained_close(&m);
}

/* Document 0 has one id and so nothing to predict: it must not turn everybody's bits per byte into NaN. */
static void test_document_without_predictions(void **state)
{
    struct trained m;
    struct error err = {0};

    (void)state;
    trained_open(&m);
    m.corpus.documents[0].n_ids = 1;
    struct evaluation e = {&m.model, &m.corpus, &m.sink.sink, &m.packed, &m.tally, 0};
    if (evaluate(&e, &m.samples, SPLIT_VALID, &err))
        fail_msg("%s", err.text);
    assert_true(isfinite(memory_metric(&m.sink, 0, SPLIT_VALID, "bits_per_byte")));
    trained_close(&m);
}

/* Whatever the sink cannot take ends the evaluation. */
static void test_sink_fails(void **state)
{
    (void)state;
    for (int call = 0; call < 4; call++) {
        struct trained m;
        struct error err = {0};
        trained_open(&m);
        struct evaluation e = {&m.model, &m.corpus, &m.sink.sink, &m.packed, &m.tally, 0};
        samples_release(&m.samples);
        assert_int_equal(samples_init(&m.samples, &m.corpus, SPLIT_VALID, 8, 8, NULL),
                         0);   /* one pass of 32 */
        m.sink.fail_at = call; /* the pass, the summary, two metrics */
        assert_int_equal(evaluate(&e, &m.samples, SPLIT_VALID, &err), -1);
        assert_int_equal(err.status, STATUS_MACHINE);
        assert_int_equal(m.sink.n, call);
        trained_close(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_losses_by_hand),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_without_layers),
        cmocka_unit_test(test_of_a_model),
        cmocka_unit_test(test_evaluation),
        cmocka_unit_test(test_document_without_predictions),
        cmocka_unit_test(test_sink_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
