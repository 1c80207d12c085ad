/* The limit cases that routers are known by, to the last bit: MaskMoE between a hash layer and top-k, top-p
 * between one expert and all; what a hash has no part in; what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/blas.h"
#include "engine/visible.h"
#include "tests/close.h"
#include "tests/numeric.h"
#include "tests/training.h"

/* ---- limits of MaskMoE ---- */

/* Trains both and compares, byte by byte, all tensors of the first that the second has as well. Returns how
 * many there were. */
static int assert_same_weights(settings first, settings second)
{
    struct training a, b;
    int same = 0;

    training_open(&a, first, 1, 4);
    training_open(&b, second, 2, 4);
    assert_int_equal(training_run(&a), TRAIN_FINISHED);
    assert_int_equal(training_run(&b), TRAIN_FINISHED);
    for (int i = 0; i < a.trainer.model.parameters.n; i++) {
        const struct parameter *p = &a.trainer.model.parameters.items[i];
        for (int j = 0; j < b.trainer.model.parameters.n; j++) {
            const struct parameter *q = &b.trainer.model.parameters.items[j];
            if (!p->trained || strcmp(p->name, q->name) != 0)
                continue;
            assert_int_equal(p->count, q->count);
            assert_memory_equal(a.trainer.model.parameters.values + p->offset,
                                b.trainer.model.parameters.values + q->offset, p->count * sizeof(float));
            same++;
        }
    }
    training_close(&a);
    training_close(&b);
    return same;
}

/* One visible expert for every id: the same draw as the hash table, gate 1, no gradient for the router. */
static void test_mask_of_one_is_hash(void **state)
{
    static const char *const draws[][2] = {{"mask.draw=random", "mask.scope=layer"},
                                           {"mask.draw=random", "mask.scope=shared"},
                                           {"mask.draw=balanced", "mask.scope=layer"}};

    (void)state;
    for (int i = 0; i < 3; i++) {
        const char *const mask[] = {"router.name=mask", "router.k=1", "mask.visible=1",   "train.steps=20",
                                    "loss.balance=.1",  "loss.z=0.1", "loss.entropy=0.1", draws[i][0],
                                    draws[i][1],        NULL};
        const char *const hash[] = {
            "router.name=hash", "router.k=1", "train.steps=20", "loss.z=0", draws[i][0], draws[i][1], NULL};
        /* embedding and last norm; of 2 blocks: 2 norms, 2 of attention, 2 of experts */
        assert_int_equal(assert_same_weights(mask, hash), 2 + 2 * 6);
    }
}

static void test_mask_of_all_is_topk(void **state)
{
    static const char *const ks[][2] = {{"router.k=1", "router.renormalize=false"},
                                        {"router.k=2", "router.renormalize=false"},
                                        {"router.k=2", "router.renormalize=true"},
                                        {"router.k=3", "router.renormalize=true"}};

    (void)state;
    for (int i = 0; i < 4; i++) {
        const char *const mask[] = {"router.name=mask",
                                    "mask.visible=0",
                                    "mask.rare_visible=0",
                                    "train.steps=20",
                                    ks[i][0],
                                    ks[i][1],
                                    NULL};
        const char *const topk[] = {"router.name=topk", "train.steps=20", ks[i][0], ks[i][1], NULL};
        assert_int_equal(assert_same_weights(mask, topk), 2 + 2 * 7);
    }
}

/* Rare ids that see all experts and get gates of 1 are no longer plain top-1. */
static void test_a_mask_can_tell(void **state)
{
    static const char *const mask[] = {
        "router.name=mask",  "router.k=1",       "mask.visible=0", "mask.rare_visible=0",
        "mask.coverage=0.5", "mask.rare_gate=1", "train.steps=20", NULL};
    static const char *const topk[] = {"router.k=1", "train.steps=20", NULL};
    struct training a, b;

    (void)state;
    training_open(&a, mask, 1, 4);
    training_open(&b, topk, 1, 4);
    training_run(&a);
    training_run(&b);
    assert_memory_not_equal(a.trainer.model.parameters.values, b.trainer.model.parameters.values,
                            a.trainer.model.parameters.n_weights * sizeof(float));
    training_close(&a);
    training_close(&b);
}

static const struct router *router_of(const struct training *r, int layer)
{
    return &r->trainer.model.layers[layer].router;
}

/* A hash has a table and nothing to learn. */
static void test_hash_has_no_weights(void **state)
{
    static const char *const hash[] = {"router.name=hash", "router.k=1", "train.steps=3", NULL};
    struct training r;
    float before[64];

    (void)state;
    training_open(&r, hash, 1, 4);
    assert_null(router_of(&r, 0)->weight);
    assert_null(router_of(&r, 0)->d_weight);
    memcpy(before, router_of(&r, 1)->state, 24 * sizeof(float));
    training_run(&r);
    assert_memory_equal(before, router_of(&r, 1)->state, 24 * sizeof(float));
    for (int t = 0; t < r.trainer.model.layers[1].routing.n_tokens; t++) {
        assert_true(r.trainer.model.layers[1].routing.weight[t] == 1.0F);
        assert_int_equal(r.trainer.model.layers[1].routing.offset[t], t);
    }
    training_close(&r);
}

/* ---- top-p ---- */

enum { N = 4, MOST = 8 };
struct trial {
    struct pool *pool;
    struct router router;
    struct routing routing;
    float identity[N * N], logits[MOST * N];
};

static void trial_open(struct trial *f, float p)
{
    memset(f, 0, sizeof *f);
    blas_start();
    assert_int_equal(pool_open(&f->pool, 2, NULL), 0);
    for (int i = 0; i < N; i++)
        f->identity[i * N + i] = 1.0F;
    f->router = (struct router){
        .ops = router_find("topp"), .config = {.n_experts = N, .p = p}, .weight = f->identity};
    assert_int_equal(routing_init(&f->routing, MOST, N, N, NULL), 0);
}

static void trial_close(struct trial *f)
{
    routing_release(&f->routing);
    pool_close(f->pool);
}

static void trial_route(struct trial *f, int T, const float *logits)
{
    struct router_input in = {.x = f->logits, .T = T, .D = N};

    memcpy(f->logits, logits, sizeof(float) * (size_t)(T * N));
    router_route(&f->router, f->pool, &in, &f->routing);
}

static void assert_chosen(const struct routing *r, int t, const int *experts, int n)
{
    assert_int_equal(r->offset[t + 1] - r->offset[t], n);
    for (int i = 0; i < n; i++) {
        int d = r->offset[t] + i;
        assert_int_equal(r->expert[d], experts[i]);
        assert_true(r->gate[d] == r->probability[t * N + experts[i]]);
        assert_true(r->weight[d] == r->gate[d]); /* raw, not renormalised */
        assert_false(r->dropped[d]);
    }
}

/* Of .1 .5 .15 .25: the first sum beyond .6 is .5 + .25, and the one that crosses is kept. */
static void test_crossing_expert_is_kept(void **state)
{
    static const float odds[3][N] = {{.1F, .5F, .15F, .25F}, {.7F, .1F, .1F, .1F}, {.28F, .28F, .24F, .2F}};
    float logits[3 * N];
    struct trial f;

    (void)state;
    for (int i = 0; i < 3 * N; i++)
        logits[i] = logf(odds[i / N][i % N]);
    trial_open(&f, 0.6F);
    trial_route(&f, 3, logits);
    assert_chosen(&f.routing, 0, (const int[]){1, 3}, 2);
    assert_chosen(&f.routing, 1, (const int[]){0}, 1);
    assert_chosen(&f.routing, 2, (const int[]){0, 1, 2}, 3); /* of equals the lower index first */
    assert_int_equal(routing_decisions(&f.routing), 6);
    trial_close(&f);
}

/* More than p, not p: two equal logits among hopeless ones have probabilities of exactly one half. */
static void test_equal_is_not_more(void **state)
{
    static const float logits[N] = {0.0F, -200.0F, 0.0F, -200.0F};
    struct trial f;

    (void)state;
    trial_open(&f, 0.5F);
    trial_route(&f, 1, logits);
    assert_true(f.routing.probability[0] == 0.5F);
    assert_chosen(&f.routing, 0, (const int[]){0, 2}, 2);
    f.router.config.p = 0.49F;
    trial_route(&f, 1, logits);
    assert_chosen(&f.routing, 0, (const int[]){0}, 1);
    trial_close(&f);
}

static void test_p_of_one_takes_all(void **state)
{
    static const float logits[2 * N] = {3.0F, 1.0F, 2.0F, 0.0F, 100.0F, 0.0F, 0.0F, 0.0F};
    struct trial f;

    (void)state;
    trial_open(&f, 1.0F);
    trial_route(&f, 2, logits);
    assert_chosen(&f.routing, 0, (const int[]){0, 2, 1, 3}, 4);
    assert_chosen(&f.routing, 1, (const int[]){0, 1, 2, 3}, 4);
    for (int e = 0; e < N; e++)
        assert_int_equal(f.routing.requested[e], 2);
    trial_close(&f);
}

static void test_one_hot_takes_one(void **state)
{
    static const float logits[N] = {0.0F, 0.0F, 90.0F, 0.0F};
    static const float ps[] = {0.0F, 0.4F, 0.999F};
    struct trial f;

    (void)state;
    for (int i = 0; i < 3; i++) {
        trial_open(&f, ps[i]);
        trial_route(&f, 1, logits);
        assert_chosen(&f.routing, 0, (const int[]){2}, 1);
        trial_close(&f);
    }
}

/* Every chosen expert counts, by token: sets {1, 3} and {0}, mean probabilities (.4, .3, .125, .175):
 * 4 (.5 * .4 + .5 * .3 + .5 * .175) = 1.75. At uniform probabilities with all chosen: 4. */
static void test_balance_counts_every_expert(void **state)
{
    static const float odds[2 * N] = {.1F, .5F, .15F, .25F, .7F, .1F, .1F, .1F};
    static const float even[N] = {0};
    float logits[2 * N];
    struct trial f;

    (void)state;
    for (int i = 0; i < 2 * N; i++)
        logits[i] = logf(odds[i]);
    trial_open(&f, 0.6F);
    trial_route(&f, 2, logits);
    assert_close(balance_loss(f.router.ops, &f.routing, 0.5F), 1.75, 1e-6);
    for (int t = 0; t < 2; t++) { /* coefficient N f_i / T; f has no gradient */
        assert_close((double)f.routing.d_probability[t * N], 0.5 * 4 * 0.5 / 2, 1e-7);
        assert_close((double)f.routing.d_probability[t * N + 2], 0.0, 0.0);
    }
    f.router.config.p = 1.0F;
    trial_route(&f, 1, even);
    assert_close(balance_loss(f.router.ops, &f.routing, 0.0F), 4.0, 1e-6);
    assert_close(entropy_loss(&f.routing, 0.0F), log(4), 1e-6);
    trial_close(&f);
}

/* ---- who is frequent, who sees whom ---- */

enum { V = 10, EXPERTS = 5 };
static const int64_t counts[V] = {50, 0, 20, 10, 8, 4, 4, 2, 2, 0}; /* 100 in all */

static void check_frequent(struct visibility_config c, const char *expected)
{
    bool frequent[V];

    assert_int_equal(visible_split(&c, 3, V, counts, frequent, NULL), 0);
    for (int v = 0; v < V; v++)
        assert_int_equal(frequent[v], expected[v] == '1');
}

static void test_splits(void **state)
{
    (void)state;
    check_frequent((struct visibility_config){.coverage = 0.7}, "1010000000");
    check_frequent((struct visibility_config){.coverage = 0.71}, "1011000000");
    check_frequent((struct visibility_config){.coverage = 0.0}, "0000000000");
    check_frequent((struct visibility_config){.coverage = 1.0}, "1111111111"); /* the unseen as well */
    check_frequent((struct visibility_config){.split = VISIBLE_BY_RANK, .rank = 3}, "1011000000");
    check_frequent((struct visibility_config){.split = VISIBLE_BY_RANK, .rank = 99}, "1111111111");
}

/* As many tokens' worth of rare ids as the split by coverage has, whoever they are. */
static void test_blind_split(void **state)
{
    struct visibility_config c = {.split = VISIBLE_BLIND, .coverage = 0.7};
    bool frequent[V], seen_rare[V] = {0};

    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        int64_t mass = 0;
        assert_int_equal(visible_split(&c, seed, V, counts, frequent, NULL), 0);
        for (int v = 0; v < V; v++) {
            mass += frequent[v] ? 0 : counts[v];
            seen_rare[v] |= !frequent[v];
        }
        assert_in_range(mass, 28, 30);
    }
    assert_false(seen_rare[0]); /* 50 would be too many */
    for (int v = 1; v < V; v++)
        assert_true(seen_rare[v]);
    check_frequent((struct visibility_config){.split = VISIBLE_BLIND, .coverage = 1.0}, "1111111111");
    check_frequent((struct visibility_config){.split = VISIBLE_BLIND, .coverage = 0.0}, "0000000000");
}

static void draw(struct visibility_config c, int layer, uint64_t seed, float visible[V * EXPERTS])
{
    struct router_config config = {.n_experts = EXPERTS, .k = 1, .visibility = c};

    assert_int_equal(visible_draw(&config, layer, seed, V, counts, visible, NULL), 0);
}

static void test_draws(void **state)
{
    struct visibility_config c = {.coverage = 0.7, .visible = 3, .rare_visible = 1};
    float first[V * EXPERTS], second[V * EXPERTS];
    int times[EXPERTS] = {0};

    (void)state;
    draw(c, 0, 7, first);
    for (int v = 0; v < V; v++) {
        bool frequent = v == 0 || v == 2;
        assert_int_equal(visible_count(first + v * EXPERTS, EXPERTS), frequent ? 3 : 1);
        assert_int_equal(visible_rare(first + v * EXPERTS, EXPERTS), !frequent);
    }
    draw(c, 0, 7, second);
    assert_memory_equal(first, second, sizeof first);
    draw(c, 1, 7, second);
    assert_memory_not_equal(first, second, sizeof first);
    draw(c, 0, 8, second);
    assert_memory_not_equal(first, second, sizeof first);
    c.shared = true;
    draw(c, 0, 7, first);
    draw(c, 1, 7, second);
    assert_memory_equal(first, second, sizeof first);
    /* Uniform: of 1000 draws of one in five for id 9, each about 200 times (deviation 12.6). */
    for (uint64_t seed = 0; seed < 1000; seed++) {
        draw(c, 0, seed, first);
        for (int e = 0; e < EXPERTS; e++)
            times[e] += first[9 * EXPERTS + e] > 0.0F;
    }
    for (int e = 0; e < EXPERTS; e++)
        assert_in_range(times[e], 200 - 51, 200 + 51);
}

/* One expert an id, in order of frequency to the least loaded: 51, 21, 11 and 9 (counts and one more) take an
 * expert each, so do the first of 5 and 5; the other 5 goes to it, and so on. */
static void test_balanced_draw(void **state)
{
    struct visibility_config c = {.visible = 1, .rare_visible = 1, .balanced = true};
    float visible[V * EXPERTS];
    int64_t load[EXPERTS] = {0}, most = 0, least = 1000;

    (void)state;
    draw(c, 0, 7, visible);
    for (int v = 0; v < V; v++) {
        for (int e = 0; e < EXPERTS; e++)
            load[e] += visible[v * EXPERTS + e] > 0.0F ? counts[v] : 0;
    }
    for (int e = 0; e < EXPERTS; e++) {
        most = load[e] > most ? load[e] : most;
        least = load[e] < least ? load[e] : least;
    }
    assert_int_equal(most, 50); /* the most frequent id alone */
    assert_in_range(least, 8, 12);
}

/* ---- what is refused ---- */

static void check_refused(settings s, const char *why)
{
    struct config config;
    struct model_config model;
    struct error err = {0};

    memory_config(&config, s);
    int result = config_settle(&config, &err);
    if (result == 0)
        result = config_model(&config, 24, &model, &err);
    assert_int_equal(result, -1);
    assert_int_equal(err.status, STATUS_USAGE);
    if (!strstr(err.text, why))
        fail_msg("'%s' does not say '%s'", err.text, why);
    config_release(&config);
}

#define REFUSED(why, ...) check_refused((const char *const[]){__VA_ARGS__, NULL}, why)

static void test_refused(void **state)
{
    (void)state;
    REFUSED("learns nothing from the language loss", "router.k=1", "router.renormalize=true");
    REFUSED("block 1: router.renormalize with router.k = 1", "router.k=2,1", "router.renormalize=true");
    REFUSED("learns nothing from the language loss", "router.name=mask", "router.k=1", "mask.visible=2",
            "router.renormalize=true");
    REFUSED("router.k = 1", "router.name=hash", "router.k=2");
    REFUSED("has no softmax", "router.name=hash", "router.k=1", "loss.z=0.1");
    REFUSED("has no softmax", "router.name=hash", "router.k=1", "loss.entropy=0.1");
    REFUSED("topp weighs its experts with their raw probabilities", "router.name=topp",
            "router.renormalize=true");
    REFUSED("mask.visible is 9 but there are 4 experts", "router.name=mask", "mask.visible=9");
    REFUSED("a dense block has no routed experts", "router.name=dense", "router.shared=1");
}

/* Weights of losses that nobody gave follow the router. */
static void test_defaults_by_router(void **state)
{
    static const struct {
        const char *router;
        double balance, z, entropy;
    } expected[] = {{"router.name=topk", 0.01, 0.001, 0.0},
                    {"router.name=topp", 0.01, 0.001, 1e-4},
                    {"router.name=hash", 0.0, 0.0, 0.0}};

    (void)state;
    for (int i = 0; i < 3; i++) {
        const char *const s[] = {expected[i].router, NULL};
        struct config config;
        memory_config(&config, s);
        assert_int_equal(config_settle(&config, NULL), 0);
        assert_close(config_real(&config, "loss.balance"), expected[i].balance, 0.0);
        assert_close(config_real(&config, "loss.z"), expected[i].z, 0.0);
        assert_close(config_real(&config, "loss.entropy"), expected[i].entropy, 0.0);
        config_release(&config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mask_of_one_is_hash),
        cmocka_unit_test(test_mask_of_all_is_topk),
        cmocka_unit_test(test_a_mask_can_tell),
        cmocka_unit_test(test_hash_has_no_weights),
        cmocka_unit_test(test_crossing_expert_is_kept),
        cmocka_unit_test(test_equal_is_not_more),
        cmocka_unit_test(test_p_of_one_takes_all),
        cmocka_unit_test(test_one_hot_takes_one),
        cmocka_unit_test(test_balance_counts_every_expert),
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_blind_split),
        cmocka_unit_test(test_draws),
        cmocka_unit_test(test_balanced_draw),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_defaults_by_router),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
