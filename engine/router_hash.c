/* Hash layer (Roller et al. 2021): a token's expert is looked up by its id in a table made before training.
 * Weight 1, no router to learn, no balance loss. router.k must be 1. The table is a draw of one visible
 * expert an id (engine/visible.h), so that mask with one expert an id is this router. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/routers.h"
#include "engine/visible.h"

static int hash_check(const struct router_config *c, struct error *err)
{
    if (c->k != 1)
        return error_set(err, STATUS_USAGE,
                         "router.k is %d; a hash layer has one expert a token: router.k = 1", c->k);
    return 0;
}

static void hash_shape(const struct router_config *c, int vocabulary, struct router_shape *shape)
{
    (void)c;
    *shape = (struct router_shape){.state = "table", .state_rows = vocabulary};
}

static int hash_init(const struct router_config *c, int layer, uint64_t seed, int vocabulary,
                     const int64_t *count, float *state, struct error *err)
{
    size_t N = (size_t)c->n_experts;
    float *visible = malloc((size_t)vocabulary * N * sizeof *visible);
    struct router_config one = *c;

    if (!visible)
        return error_no_memory(err, "the hash table");
    one.visibility.visible = one.visibility.rare_visible = 1;
    if (visible_draw(&one, layer, seed, vocabulary, count, visible, err)) {
        free(visible);
        return -1;
    }
    for (int v = 0; v < vocabulary; v++) {
        for (size_t e = 0; e < N; e++) {
            if (visible[(size_t)v * N + e] > 0.0F)
                state[v] = (float)e;
        }
    }
    free(visible);
    return 0;
}

static bool hash_fits(const struct router_config *c, int vocabulary, const float *state)
{
    bool fits = true;

    for (int v = 0; v < vocabulary && fits; v++)
        fits = state[v] >= 0.0F && state[v] < (float)c->n_experts && state[v] == floorf(state[v]);
    return fits;
}

static void hash_score(const struct router *router, struct pool *pool, const struct router_input *in,
                       struct routing *out)
{
    size_t N = (size_t)out->n_experts, cells = (size_t)in->T * N;

    (void)pool;
    memset(out->logit, 0, cells * sizeof *out->logit);
    memset(out->probability, 0, cells * sizeof *out->probability);
    memset(out->log_sum, 0, (size_t)in->T * sizeof *out->log_sum);
    for (int t = 0; t < in->T; t++)
        out->probability[(size_t)t * N + (size_t)router->state[in->token[t]]] = 1.0F;
}

static void hash_select(const struct router *router, struct pool *pool, const struct router_input *in,
                        struct routing *out)
{
    (void)pool;
    for (int t = 0; t < in->T; t++) {
        out->offset[t] = t;
        out->expert[t] = (int32_t)router->state[in->token[t]];
        out->gate[t] = out->weight[t] = 1.0F;
    }
    out->offset[in->T] = in->T;
}

static void hash_backward(const struct router *router, struct pool *pool, const struct router_input *in,
                          struct routing *out)
{
    (void)router;
    (void)pool;
    (void)in;
    (void)out;
}

const struct router_ops router_hash = {
    .name = "hash",
    .help = "one expert a vocabulary item, drawn before training",
    .routes = true,
    .max_k = fixed_k,
    .check = hash_check,
    .shape = hash_shape,
    .init_state = hash_init,
    .state_fits = hash_fits,
    .score = hash_score,
    .select = hash_select,
    .backward = hash_backward,
};
