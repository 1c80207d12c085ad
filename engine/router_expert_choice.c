/* Expert choice (Zhou et al. 2022): experts choose tokens. Each takes the ceil(T k / N) tokens of the pass
 * that give it the largest probability, of a softmax over the experts; loads are equal by construction. A
 * token may get no expert, or all. Weights are the raw probabilities.
 *
 * Whether a token is chosen depends on tokens after it: not for language models. */
#include <math.h>

#include "engine/routers.h"

enum {
    COLUMN,
    CHOSEN,
    N_KEPT
}; /* an expert's probabilities (N, T), to be partitioned; 1 where chosen (T, N) */

static int expert_choice_check(const struct router_config *c, struct error *err)
{
    return one_to_n_experts(c, err) || no_renormalize(c, "expert_choice", err) ? -1 : 0;
}

static void expert_choice_shape(const struct router_config *c, int vocabulary, struct router_shape *shape)
{
    (void)c;
    (void)vocabulary;
    *shape = (struct router_shape){.weight = true, .n_kept = N_KEPT};
}

/* The n-th largest of v, which is put in another order (Hoare's quickselect). */
static float nth_largest(float *v, int count, int n)
{
    int low = 0, high = count - 1, at = n - 1;

    while (low < high) {
        float pivot = v[low + (high - low) / 2];
        int i = low, j = high;
        while (i <= j) {
            while (v[i] > pivot)
                i++;
            while (v[j] < pivot)
                j--;
            if (i <= j) {
                float swap = v[i];
                v[i++] = v[j];
                v[j--] = swap;
            }
        }
        if (at <= j)
            high = j;
        else if (at >= i)
            low = i;
        else
            break;
    }
    return v[at];
}

/* Tokens whose probabilities are not numbers come last. */
static float comparable(float p)
{
    return isnan(p) ? -1.0F : p;
}

/* Of equals the earlier tokens. */
static void choose_tokens(struct routing *r, int e, int n)
{
    int T = r->n_tokens, N = r->n_experts, equals = n;
    float *column = r->kept[COLUMN] + (size_t)e * T, least;

    for (int t = 0; t < T; t++)
        column[t] = comparable(r->probability[(size_t)t * N + e]);
    least = nth_largest(column, T, n);
    for (int t = 0; t < T; t++)
        equals -= column[t] > least;
    for (int t = 0; t < T; t++) {
        size_t cell = (size_t)t * N + e;
        float p = comparable(r->probability[cell]);
        r->kept[CHOSEN][cell] = p > least || (p == least && equals-- > 0) ? 1.0F : 0.0F;
    }
}

static void choose_range(void *context, int first, int last, int worker)
{
    const struct selection *c = context;
    struct routing *r = c->routing;
    int64_t all = (int64_t)r->n_tokens * c->router->config.k;

    (void)worker;
    for (int e = first; e < last; e++)
        choose_tokens(r, e, (int)((all + r->n_experts - 1) / r->n_experts));
}

static void select_range(void *context, int first, int last, int worker)
{
    const struct selection *c = context;
    struct routing *r = c->routing;
    int N = r->n_experts;

    (void)worker;
    for (int t = first; t < last; t++) {
        const float *chosen = r->kept[CHOSEN] + (size_t)t * N;
        int d = t * N, n = 0;
        for (int e = 0; e < N; e++)
            n += chosen[e] > 0.0F;
        choose_largest(r->probability + (size_t)t * N, chosen, N, n, r->expert + d, r->gate + d);
        weigh(r->gate + d, r->weight + d, n, plain_weighing(&c->router->config));
        r->offset[t + 1] = n;
    }
}

static void expert_choice_select(const struct router *router, struct pool *pool,
                                 const struct router_input *in, struct routing *out)
{
    struct selection c = {.router = router, .input = in, .routing = out};

    pool_ranges(pool, choose_range, &c, out->n_experts, 1);
    pool_ranges(pool, select_range, &c, in->T, ROUTER_ROWS);
    close_gaps(out, out->n_experts);
}

const struct router_ops router_expert_choice = {
    .name = "expert_choice",
    .help = "each expert takes its likeliest tokens; not causal",
    .routes = true,
    .softmax = true,
    .not_causal = true,
    .max_k = any_k,
    .varies = always_varies,
    .check = expert_choice_check,
    .shape = expert_choice_shape,
    .select = expert_choice_select,
    .backward = weights_backward,
};
