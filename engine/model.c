#include "engine/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "engine/blas.h"
#include "engine/kernels.h"

/* Logits are made, used and forgotten in chunks of tokens: the whole (T, V) matrix never exists. */
enum { LOGIT_ROWS = 2048 };

/* That one task takes through the vocabulary and back: OpenBLAS copies the embedding once for each. By the
 * chunk, not by the number of threads. */
static int logit_task_rows(int rows)
{
    int eighth = rows / 8;

    return eighth < 64 ? 64 : eighth > 256 ? 256 : eighth;
}

const char *const part_names[N_PARTS] = {"embedding", "attention", "router", "experts", "output",
                                         "network",   "optimiser", "data",   "logging"};

/* ---- the configuration ---- */

static int check_positive(int value, const char *key, struct error *err)
{
    return value >= 1 ? 0 : error_set(err, STATUS_USAGE, "%s is %d; it must be at least 1", key, value);
}

static int check_block(const struct layer_config *b, struct error *err)
{
    if (b->router->not_causal)
        return error_set(err, STATUS_USAGE,
                         "router.name = %s looks at the tokens that follow: a language model would see what "
                         "it is to predict; choose another router",
                         b->router->name);
    if (b->n_shared > 0 && !b->router->routes)
        return error_set(err, STATUS_USAGE,
                         "router.shared is %d, but a dense block has no routed experts to share with; set "
                         "model.dense_hidden instead",
                         b->n_shared);
    return b->n_shared > 0 ? check_positive(b->shared_hidden, "router.shared_hidden", err) : 0;
}

int model_config_check(const struct model_config *c, struct error *err)
{
    if (c->n_layers < 1 || c->n_layers > MAX_LAYERS)
        return error_set(err, STATUS_USAGE, "model.layers is %d; it must be 1 to %d", c->n_layers,
                         MAX_LAYERS);
    if (check_positive(c->width, "model.width", err) || check_positive(c->n_heads, "model.heads", err) ||
        check_positive(c->context, "model.context", err) ||
        check_positive(c->vocabulary, "the vocabulary", err))
        return -1;
    if (c->width % c->n_heads != 0)
        return error_set(err, STATUS_USAGE, "model.heads is %d, which does not divide model.width %d",
                         c->n_heads, c->width);
    if (c->width / c->n_heads % 2 != 0)
        return error_set(
            err, STATUS_USAGE,
            "model.width %d / model.heads %d is odd; rotary positions need an even width per head", c->width,
            c->n_heads);
    for (int l = 0; l < c->n_layers; l++) {
        const struct layer_config *b = &c->layers[l];
        if (check_positive(b->hidden, "the hidden width of a block", err) ||
            (b->router->routes && check_positive(b->routing.n_experts, "router.experts", err)) ||
            b->router->check(&b->routing, err) || check_block(b, err))
            return error_prefix(err, "block %d", l);
    }
    return 0;
}

static double shared_width(const struct layer_config *b)
{
    return (double)b->n_shared * b->shared_hidden;
}

static struct router_shape shape_of(const struct model_config *c, int l)
{
    struct router_shape shape = {0};

    if (c->layers[l].router->routes)
        router_shape(c->layers[l].router, &c->layers[l].routing, c->vocabulary, &shape);
    return shape;
}

static int matrices_of(const struct model_config *c, int l)
{
    struct router_shape shape = shape_of(c, l);

    return shape.weight + (shape.second != NULL);
}

double model_active_weights(const struct model_config *c, const double *k)
{
    double D = c->width, sum = D * c->vocabulary;

    for (int l = 0; l < c->n_layers; l++) {
        const struct layer_config *b = &c->layers[l];
        int fixed = router_fixed_k(b->router, &b->routing);
        double decisions = k ? k[l] : fixed > 0 ? fixed : (double)NAN;
        double experts = b->router->routes ? decisions * b->hidden : b->hidden;
        sum += 4.0 * D * D + 3.0 * D * (experts + shared_width(b)) +
               matrices_of(c, l) * D * b->routing.n_experts;
    }
    return sum;
}

double model_flops_per_token(const struct model_config *c, const double *k, double mean_context)
{
    return 6.0 * model_active_weights(c, k) + 12.0 * c->n_layers * mean_context * c->width / 2.0;
}

double model_config_weights(const struct model_config *c)
{
    double D = c->width, sum = D * c->vocabulary + D;

    for (int l = 0; l < c->n_layers; l++) {
        const struct layer_config *b = &c->layers[l];
        double N = b->router->routes ? b->routing.n_experts : 1;
        sum +=
            2.0 * D + 4.0 * D * D + 3.0 * D * (N * b->hidden + shared_width(b)) + matrices_of(c, l) * N * D;
    }
    return sum;
}

double model_config_states(const struct model_config *c)
{
    double sum = 0.0;

    for (int l = 0; l < c->n_layers; l++) {
        struct router_shape shape = shape_of(c, l);
        double columns = shape.state_columns > 0 ? shape.state_columns : 1;
        sum += shape.state ? shape.state_rows * columns : 0.0;
    }
    return sum;
}

/* ---- the parameter table ---- */

static void add_vector(struct model *m, const char *name, const float **value, float **gradient)
{
    parameters_add(&m->parameters, name, value, gradient, 1, (const int[]){m->config.width})->mean = 1.0F;
}

static void add_tensor(struct model *m, const char *name, const float **value, float **gradient,
                       float deviation, int n, const int *shape)
{
    struct parameter *p = parameters_add(&m->parameters, name, value, gradient, n, shape);

    p->deviation = deviation;
    p->decay = true;
}

static void add_matrix(struct model *m, const char *name, const float **value, float **gradient,
                       float deviation, int rows, int columns)
{
    add_tensor(m, name, value, gradient, deviation, 2, (const int[]){rows, columns});
}

static void add_layer(struct model *m, int l)
{
    const float base = 0.02F, residual = base / sqrtf(2.0F * (float)m->config.n_layers);
    struct layer *b = &m->layers[l];
    struct router_shape shape = shape_of(&m->config, l);
    int D = m->config.width, F = b->config->hidden, N = b->experts.n_experts;
    char name[48];
#define NAME(suffix) (snprintf(name, sizeof name, "layers.%d." suffix, l), name)

    add_vector(m, NAME("norm1"), &b->norm1, &b->d_norm1);
    add_matrix(m, NAME("qkv"), &b->qkv, &b->d_qkv, base, 3 * D, D);
    add_matrix(m, NAME("projection"), &b->projection, &b->d_projection, residual, D, D);
    add_vector(m, NAME("norm2"), &b->norm2, &b->d_norm2);
    if (shape.weight)
        add_matrix(m, NAME("router"), &b->router.weight, &b->router.d_weight, base, N, D);
    if (shape.second) {
        snprintf(name, sizeof name, "layers.%d.router.%s", l, shape.second);
        add_matrix(m, name, &b->router.second, &b->router.d_second, base, N, D);
    }
    add_tensor(m, NAME("experts.in"), &b->experts.in, &b->experts.d_in, base, 3, (const int[]){N, 2 * F, D});
    add_tensor(m, NAME("experts.out"), &b->experts.out, &b->experts.d_out, residual, 3,
               (const int[]){N, D, F});
    if (b->shared.n_experts > 0) {
        add_matrix(m, NAME("shared.in"), &b->shared.in, &b->shared.d_in, base, 2 * b->shared.F, D);
        add_matrix(m, NAME("shared.out"), &b->shared.out, &b->shared.d_out, residual, D, b->shared.F);
    }
#undef NAME
}

static void add_state(struct model *m, int l)
{
    struct router_shape shape = shape_of(&m->config, l);
    char name[48];

    if (!shape.state)
        return;
    snprintf(name, sizeof name, "layers.%d.router.%s", l, shape.state);
    parameters_add(&m->parameters, name, &m->layers[l].router.state, NULL, shape.state_columns > 0 ? 2 : 1,
                   (const int[]){shape.state_rows, shape.state_columns})
        ->layer = l;
}

static void describe_parameters(struct model *m)
{
    const int shape[] = {m->config.vocabulary, m->config.width};

    parameters_add(&m->parameters, "embedding", &m->embedding, &m->d_embedding, 2, shape)->deviation = 0.02F;
    for (int l = 0; l < m->config.n_layers; l++)
        add_layer(m, l);
    add_vector(m, "norm", &m->norm, &m->d_norm);
    for (int l = 0; l < m->config.n_layers; l++)
        add_state(m, l);
}

int model_seed(struct model *m, uint64_t seed, struct error *err)
{
    parameters_seed(&m->parameters, seed);
    for (int i = 0; i < m->parameters.n; i++) {
        const struct parameter *p = &m->parameters.items[i];
        const struct layer_config *b = &m->config.layers[p->layer];
        if (!p->trained &&
            b->router->init_state(&b->routing, p->layer, seed, m->config.vocabulary, m->config.token_count,
                                  m->parameters.values + p->offset, err))
            return -1;
    }
    return 0;
}

void model_update_router(struct model *m, int l, const struct router_usage *usage)
{
    const struct layer_config *b = &m->config.layers[l];

    for (int i = 0; i < m->parameters.n && b->router->update; i++) {
        const struct parameter *p = &m->parameters.items[i];
        if (!p->trained && p->layer == l)
            b->router->update(&b->routing, usage, m->parameters.values + p->offset);
    }
}

/* ---- memory ---- */

static float *claim(struct model *m, size_t floats)
{
    return arena_claim(&m->activations, floats, sizeof(float));
}

static int init_layer(struct model *m, int l, struct error *err)
{
    struct layer *b = &m->layers[l];
    size_t T = (size_t)m->max_tokens, D = (size_t)m->config.width;
    struct router_shape shape = shape_of(&m->config, l);
    bool routes = b->config->router->routes;
    int k = routes ? b->config->router->max_k(&b->config->routing) : 1;

    b->input = claim(m, T * D);
    b->normed1 = claim(m, T * D);
    b->attended_qkv = claim(m, 3 * T * D);
    b->scores = claim(m, m->score_capacity);
    b->attended = claim(m, T * D);
    b->middle = claim(m, T * D);
    b->normed2 = claim(m, T * D);
    b->inverse_rms1 = claim(m, T);
    b->inverse_rms2 = claim(m, T);
    if ((int64_t)m->max_tokens * k > INT32_MAX)
        return error_set(err, STATUS_USAGE,
                         "block %d: %d tokens of %d experts each are more than one pass can hold; lower "
                         "router.k, model.context or train.tokens_per_step",
                         l, m->max_tokens, k);
    if (routes && (routing_init(&b->routing, m->max_tokens, b->experts.n_experts, k, err) ||
                   routing_extend(&b->routing, m->max_tokens, &shape, err)))
        return -1;
    if (b->shared.n_experts > 0 &&
        dispatch_init(&b->shared_dispatch, m->max_tokens, 1, (int)D, b->shared.F, err))
        return -1;
    return dispatch_init(&b->dispatch, m->max_tokens * k, b->experts.n_experts, (int)D, b->config->hidden,
                         err);
}

static int init_activations(struct model *m, struct error *err)
{
    const struct model_config *c = &m->config;
    size_t T = (size_t)m->max_tokens, D = (size_t)c->width, rows = T, hidden = 0;

    /* the longest scores: full sequences; a batch never holds more tokens than max_tokens */
    m->score_capacity = T * (size_t)c->context * (size_t)c->n_heads;
    for (int l = 0; l < c->n_layers; l++) {
        const struct layer_config *b = &c->layers[l];
        size_t k = b->router->routes ? (size_t)b->router->max_k(&b->routing) : 1;
        rows = k * T > rows ? k * T : rows;
        hidden = k * T * (size_t)b->hidden > hidden ? k * T * (size_t)b->hidden : hidden;
        hidden = T * (size_t)shared_width(b) > hidden ? T * (size_t)shared_width(b) : hidden;
        if (init_layer(m, l, err))
            return -1;
    }
    m->output = claim(m, T * D);
    m->normed = claim(m, T * D);
    m->inverse_rms = claim(m, T);
    m->token_loss = claim(m, T);
    m->logits = claim(m, (T < LOGIT_ROWS ? T : LOGIT_ROWS) * (size_t)c->vocabulary);
    m->d_stream = claim(m, T * D);
    m->d_normed = claim(m, T * D);
    m->d_wide = claim(m, 3 * T * D);
    m->rope = claim(m, (size_t)c->context * D / (size_t)c->n_heads);
    m->norm_scratch = claim(m, rmsnorm_scratch(m->max_tokens, c->width));
    m->attention_scratch = claim(m, (size_t)pool_threads(m->pool) * attention_scratch(c->context));
    m->score_start = arena_claim(&m->activations, T, sizeof *m->score_start);
    m->scratch.d_y = claim(m, rows * D);
    m->scratch.d_x = claim(m, rows * D);
    m->scratch.d_a = claim(m, hidden);
    return m->activations.failed ? error_no_memory(err, "the model's activations") : 0;
}

int model_init(struct model *m, const struct model_config *config, int max_tokens, struct pool *pool,
               struct error *err)
{
    *m = (struct model){.config = *config, .pool = pool, .max_tokens = max_tokens};
    if (model_config_check(config, err))
        return -1;
    m->layers = calloc((size_t)config->n_layers, sizeof *m->layers);
    m->routed = calloc((size_t)config->n_layers, sizeof *m->routed);
    if (!m->layers || !m->routed) {
        model_release(m);
        return error_no_memory(err, "the model");
    }
    for (int l = 0; l < config->n_layers; l++) {
        struct layer *b = &m->layers[l];
        b->config = &m->config.layers[l];
        b->experts.n_experts = b->config->router->routes ? b->config->routing.n_experts : 1;
        b->experts.D = config->width;
        b->experts.F = b->config->hidden;
        b->shared = (struct experts){
            .n_experts = b->config->n_shared > 0, .D = config->width, .F = (int)shared_width(b->config)};
        b->router.ops = b->config->router;
        b->router.config = b->config->routing;
        if (b->config->router->routes)
            m->routed[m->n_routed++] = (struct routed_layer){l, &b->routing};
    }
    describe_parameters(m);
    if (parameters_allocate(&m->parameters, err) || init_activations(m, err)) {
        model_release(m);
        return -1;
    }
    rope_table(m->rope, config->context, config->width / config->n_heads);
    return 0;
}

void model_release(struct model *m)
{
    for (int l = 0; m->layers && l < m->config.n_layers; l++) {
        routing_release(&m->layers[l].routing);
        dispatch_release(&m->layers[l].dispatch);
        dispatch_release(&m->layers[l].shared_dispatch);
    }
    arena_release(&m->activations);
    free(m->layers);
    free(m->routed);
    parameters_release(&m->parameters);
    *m = (struct model){0};
}

/* ---- forward ---- */

/* Charges the time since *start to a part. */
static void charge(struct model *m, enum part part, double *start)
{
    double now = clock_seconds();

    m->seconds[part] += now - *start;
    *start = now;
}

static void embed(struct model *m, const struct batch *b, float *x)
{
    int D = m->config.width;

    for (int t = 0; t < b->n_tokens; t++)
        memcpy(x + (size_t)t * D, m->embedding + (size_t)b->input[t] * D, sizeof *x * (size_t)D);
}

static struct attention attention_of(struct model *m, struct layer *b, const struct batch *batch)
{
    return (struct attention){.n_sequences = batch->n_sequences,
                              .D = m->config.width,
                              .n_heads = m->config.n_heads,
                              .context = m->config.context,
                              .start = batch->start,
                              .score_start = m->score_start,
                              .qkv = b->attended_qkv,
                              .scores = b->scores,
                              .output = b->attended,
                              .scratch = m->attention_scratch};
}

/* middle = input + projection(attention(norm1(input))) */
static void attention_layer(struct model *m, struct layer *b, const struct batch *batch)
{
    int T = batch->n_tokens, D = m->config.width;
    struct gemm qkv = gemm_forward(b->normed1, b->qkv, b->attended_qkv, T, D, 3 * D, 0.0F);
    struct gemm project = gemm_forward(b->attended, b->projection, b->middle, T, D, D, 1.0F);
    struct attention a = attention_of(m, b, batch);

    rmsnorm_forward(m->pool, b->input, b->norm1, b->normed1, b->inverse_rms1, T, D);
    gemm_batch(m->pool, &qkv, 1);
    rope_apply(m->pool, b->attended_qkv, batch->position, m->rope, T, D, m->config.n_heads, 1.0F);
    attention_forward(m->pool, &a);
    memcpy(b->middle, b->input, sizeof *b->middle * (size_t)T * (size_t)D);
    gemm_batch(m->pool, &project, 1);
}

static struct router_input router_input_of(const struct model *m, const struct layer *b,
                                           const struct batch *batch, struct random *noise)
{
    return (struct router_input){
        .x = b->normed2, .token = batch->input, .T = batch->n_tokens, .D = m->config.width, .noise = noise};
}

/* output = middle + experts(norm2(middle)), shared ones included */
static void expert_layer(struct model *m, struct layer *b, const struct batch *batch, float *output,
                         struct random *noise, double *start)
{
    int T = batch->n_tokens, D = m->config.width;

    rmsnorm_forward(m->pool, b->middle, b->norm2, b->normed2, b->inverse_rms2, T, D);
    memcpy(output, b->middle, sizeof *output * (size_t)T * (size_t)D);
    if (!b->config->router->routes) {
        dense_forward(m->pool, &b->experts, b->normed2, output, T, &b->dispatch);
    } else {
        struct router_input in = router_input_of(m, b, batch, noise);
        router_route(&b->router, m->pool, &in, &b->routing);
        charge(m, PART_ROUTER, start);
        experts_forward(m->pool, &b->experts, &b->routing, b->normed2, output, &b->dispatch);
    }
    if (b->shared.n_experts > 0)
        dense_forward(m->pool, &b->shared, b->normed2, output, T, &b->shared_dispatch);
    charge(m, PART_EXPERTS, start);
}

/* A chunk of rows at a time: logits, their losses, and when training the gradient of the rows. Then the
 * embedding's gradient over the chunk. */
struct output_chunk {
    struct model *m;
    const struct batch *batch;
    int first; /* token of the chunk's first row */
    bool train;
    float scale; /* of d loss / d logits */
};

static void output_rows(void *context, int first, int last, int worker)
{
    const struct output_chunk *c = context;
    struct model *m = c->m;
    int D = m->config.width, V = m->config.vocabulary, rows = last - first;
    size_t token = (size_t)c->first + (size_t)first;
    float *logits = m->logits + (size_t)first * (size_t)V;
    struct gemm forward = gemm_forward(m->normed + token * (size_t)D, m->embedding, logits, rows, D, V, 0.0F);
    struct gemm back =
        gemm_input_gradient(logits, m->embedding, m->d_normed + token * (size_t)D, rows, D, V, 0.0F);

    (void)worker;
    gemm_one(&forward);
    for (int r = 0; r < rows; r++) {
        float *row = logits + (size_t)r * (size_t)V;
        int target = c->batch->target[token + (size_t)r];
        m->token_loss[token + (size_t)r] =
            c->train ? cross_entropy_row(row, target, V, c->scale) : cross_entropy_row_loss(row, target, V);
    }
    if (c->train)
        gemm_one(&back);
}

static double output_loss(struct model *m, const struct batch *b, bool train, float scale)
{
    int T = b->n_tokens, D = m->config.width, V = m->config.vocabulary;
    double sum = 0.0;

    rmsnorm_forward(m->pool, m->output, m->norm, m->normed, m->inverse_rms, T, D);
    for (int first = 0; first < T; first += LOGIT_ROWS) {
        int rows = T - first < LOGIT_ROWS ? T - first : LOGIT_ROWS;
        struct output_chunk c = {m, b, first, train, scale};
        struct gemm embedding = gemm_weight_gradient(m->logits, m->normed + (size_t)first * (size_t)D,
                                                     m->d_embedding, rows, D, V);
        pool_ranges(m->pool, output_rows, &c, rows, logit_task_rows(rows));
        if (train)
            gemm_batch(m->pool, &embedding, 1);
    }
    for (int t = 0; t < T; t++)
        sum += m->token_loss[t];
    return sum / T;
}

/* ---- backward ---- */

/* d_stream arrives as the gradient of the block's output and leaves as that of `middle`. */
static void expert_layer_backward(struct model *m, struct layer *b, const struct batch *batch, double *start)
{
    int T = batch->n_tokens, D = m->config.width;

    memset(m->d_normed, 0, sizeof(float) * (size_t)T * (size_t)D);
    if (b->shared.n_experts > 0)
        dense_backward(m->pool, &b->shared, b->normed2, m->d_stream, m->d_normed, T, &b->shared_dispatch,
                       &m->scratch);
    if (!b->config->router->routes) {
        dense_backward(m->pool, &b->experts, b->normed2, m->d_stream, m->d_normed, T, &b->dispatch,
                       &m->scratch);
    } else {
        struct router_input in = router_input_of(m, b, batch, NULL);
        experts_backward(m->pool, &b->experts, &b->routing, m->d_stream, m->d_normed, &b->dispatch,
                         &m->scratch);
        charge(m, PART_EXPERTS, start);
        router_backward(&b->router, m->pool, &in, m->d_normed, &b->routing);
        charge(m, PART_ROUTER, start);
    }
    rmsnorm_backward(m->pool, b->middle, b->norm2, b->inverse_rms2, m->d_normed, m->d_stream, b->d_norm2,
                     m->norm_scratch, T, D);
    charge(m, PART_EXPERTS, start);
}

/* From the gradient of `middle` to that of `input`, in d_stream. */
static void attention_layer_backward(struct model *m, struct layer *b, const struct batch *batch)
{
    int T = batch->n_tokens, D = m->config.width;
    struct gemm projection[] = {gemm_input_gradient(m->d_stream, b->projection, m->d_normed, T, D, D, 0.0F),
                                gemm_weight_gradient(m->d_stream, b->attended, b->d_projection, T, D, D)};
    struct gemm qkv[] = {gemm_input_gradient(m->d_wide, b->qkv, m->d_normed, T, D, 3 * D, 0.0F),
                         gemm_weight_gradient(m->d_wide, b->normed1, b->d_qkv, T, D, 3 * D)};
    struct attention a = attention_of(m, b, batch);

    gemm_batch(m->pool, projection, 2);
    a.d_output = m->d_normed;
    a.d_qkv = m->d_wide;
    attention_backward(m->pool, &a);
    rope_apply(m->pool, m->d_wide, batch->position, m->rope, T, D, m->config.n_heads, -1.0F);
    gemm_batch(m->pool, qkv, 2);
    rmsnorm_backward(m->pool, b->input, b->norm1, b->inverse_rms1, m->d_normed, m->d_stream, b->d_norm1,
                     m->norm_scratch, T, D);
}

static void embed_backward(struct model *m, const struct batch *b)
{
    int D = m->config.width;

    for (int t = 0; t < b->n_tokens; t++)
        add_scaled(m->d_embedding + (size_t)b->input[t] * D, m->d_stream + (size_t)t * D, 1.0F, D);
}

static void backward(struct model *m, const struct batch *b, double *start)
{
    int T = b->n_tokens, D = m->config.width;

    memset(m->d_stream, 0, sizeof(float) * (size_t)T * (size_t)D);
    rmsnorm_backward(m->pool, m->output, m->norm, m->inverse_rms, m->d_normed, m->d_stream, m->d_norm,
                     m->norm_scratch, T, D);
    charge(m, PART_OUTPUT, start);
    for (int l = m->config.n_layers - 1; l >= 0; l--) {
        expert_layer_backward(m, &m->layers[l], b, start);
        attention_layer_backward(m, &m->layers[l], b);
        charge(m, PART_ATTENTION, start);
    }
    embed_backward(m, b);
    charge(m, PART_EMBEDDING, start);
}

struct losses model_forward(struct model *m, const struct batch *b, bool train, float gradient_scale,
                            const struct loss_weights *weights, struct random *noise)
{
    struct losses losses = {0};
    int routed = 0;
    double start = clock_seconds();

    attention_layout(b->start, b->n_sequences, m->config.n_heads, m->score_start);
    embed(m, b, m->layers[0].input);
    charge(m, PART_EMBEDDING, &start);
    for (int l = 0; l < m->config.n_layers; l++) {
        struct layer *layer = &m->layers[l];
        attention_layer(m, layer, b);
        charge(m, PART_ATTENTION, &start);
        expert_layer(m, layer, b, l + 1 < m->config.n_layers ? m->layers[l + 1].input : m->output, noise,
                     &start);
        if (!layer->config->router->routes)
            continue;
        router_add_losses(&layer->router, m->pool, &layer->routing, weights, train ? gradient_scale : 0.0F,
                          &losses);
        charge(m, PART_ROUTER, &start);
        routed++;
    }
    losses.lm = output_loss(m, b, train, gradient_scale / (float)b->n_tokens);
    charge(m, PART_OUTPUT, &start);
    if (train)
        backward(m, b, &start);
    losses_average(&losses, routed);
    return losses;
}
