/* engine/mixed.h: what a mixture of experts over sources is made of, and its memory. */
#include "engine/mixed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const mixed_routing_names[] = {"gate", "source", "all", NULL};

enum { BYTES = 256, BYTE_WIDTH = 16 };

/* ---- stems and heads ---- */

static struct extent as_positions(int channels)
{
    return (struct extent){MIXED_POSITIONS, 1, channels};
}

/* Values of a source's sample, in equal parts to all positions. */
static int spread(struct network *n, int from)
{
    return network_reshape(n, from,
                           as_positions((int)extent_size(network_extent(n, from)) / MIXED_POSITIONS));
}

static int describe_stem(struct network *n, const struct mixture_source *s, struct branch *b, int D)
{
    const int *shape = s->inputs.shape;
    char name[48], table[48];
    int from;

    snprintf(name, sizeof name, "stems.%.20s", s->name);
    snprintf(table, sizeof table, "stems.%.20s.bytes", s->name);
    switch (s->kind) {
    case SOURCE_IMAGE:
        b->entry = network_input(n, (struct extent){shape[1], shape[2], 1});
        from = network_linear(n, network_patches(n, b->entry, shape[1] / MIXED_SIDE), name, D);
        break;
    case SOURCE_TEXT:
        b->entry = network_input(n, (struct extent){shape[1], 1, 1});
        from = network_linear(n, spread(n, network_embed(n, b->entry, table, BYTES, BYTE_WIDTH)), name, D);
        break;
    case SOURCE_SERIES:
        b->entry = network_input(n, (struct extent){shape[1], 1, shape[2]});
        from = network_linear(n, spread(n, b->entry), name, D);
        break;
    default:
        b->entry = network_input(n, (struct extent){1, 1, shape[1]});
        from = spread(n, network_linear(n, b->entry, name, MIXED_POSITIONS * D));
    }
    snprintf(name, sizeof name, "norms.%.20s", s->name);
    return network_norm(n, from, name);
}

static int describe_head(struct network *n, const struct mixture_source *s, struct branch *b, int E)
{
    char name[48];

    snprintf(name, sizeof name, "heads.%.20s", s->name);
    b->entry = network_entry(n, (struct extent){1, 1, E});
    return network_linear(n, network_relu(n, b->entry), name, s->n_classes ? s->n_classes : 1);
}

/* ---- experts ---- */

struct parts { /* names of an expert's weights */
    struct network *n;
    int expert;
};

static int linear(const struct parts *p, int from, const char *part, int out)
{
    char name[48];

    snprintf(name, sizeof name, "experts.%d.%s", p->expert, part);
    return network_linear(p->n, from, name, out);
}

static int flat(struct network *n, int from)
{
    return network_reshape(n, from, (struct extent){1, 1, (int)extent_size(network_extent(n, from))});
}

static int convolve(const struct parts *p, int from, const char *part, int hidden, int pool)
{
    char name[48];

    snprintf(name, sizeof name, "experts.%d.%s", p->expert, part);
    return network_convolution_stage(p->n, from, name, hidden, 3, pool);
}

static int convolution_expert(const struct parts *p, int from, int hidden)
{
    struct extent e = network_extent(p->n, from);
    int x = network_reshape(p->n, from, (struct extent){MIXED_SIDE, MIXED_SIDE, e.channels});

    return flat(p->n, convolve(p, convolve(p, x, "first", hidden, 1), "second", hidden, 2));
}

static int sequence_expert(const struct parts *p, int from, int hidden)
{
    char part[16];

    for (int length = MIXED_POSITIONS / 2; length >= 1; length /= 2) {
        int channels = network_extent(p->n, from).channels;
        from = network_reshape(p->n, from, (struct extent){length, 1, 2 * channels});
        snprintf(part, sizeof part, "join%d", length);
        from = network_relu(p->n, linear(p, from, part, hidden));
    }
    return from;
}

static int mlp_expert(const struct parts *p, int from, int hidden)
{
    return network_relu(p->n, linear(p, flat(p->n, from), "hidden", hidden));
}

static int bag_expert(const struct parts *p, int from, int hidden)
{
    return network_relu(p->n, linear(p, network_mean(p->n, from), "hidden", hidden));
}

static const struct architecture {
    const char *name;
    int (*describe)(const struct parts *p, int from, int hidden);
} architectures[] = {{"convolution", convolution_expert},
                     {"sequence", sequence_expert},
                     {"mlp", mlp_expert},
                     {"bag", bag_expert}};

/* One of mixed.experts, up to its comma. */
static const struct architecture *parse_expert(const char *text, int *hidden)
{
    size_t n = strcspn(text, ":,");
    char *end;

    if (text[n] != ':')
        return NULL;
    long width = strtol(text + n + 1, &end, 10);
    if (end == text + n + 1 || (*end && *end != ',') || width < 1 || width > 65536)
        return NULL;
    *hidden = (int)width;
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
        if (strlen(architectures[i].name) == n && strncmp(architectures[i].name, text, n) == 0)
            return &architectures[i];
    return NULL;
}

static int describe_experts(struct mixed *m, const char *list, struct error *err)
{
    for (const char *text = list; text; m->N++) {
        struct branch *b = &m->expert[m->N];
        const struct parts p = {&m->network, m->N};
        int hidden;
        const struct architecture *a = parse_expert(text, &hidden);
        if (!a || m->N == MIXED_EXPERTS)
            return error_set(err, STATUS_USAGE,
                             "mixed.experts is '%s'; it must be at most %d of convolution, sequence, mlp and "
                             "bag, each with its width, like mlp:64,mlp:256",
                             list, MIXED_EXPERTS);
        b->entry = network_entry(&m->network, as_positions(m->D));
        b->last = linear(&p, a->describe(&p, b->entry, hidden), "out", m->E);
        text = strchr(text, ',');
        text = text ? text + 1 : NULL;
    }
    return 0;
}

/* ---- the gate ---- */

static void add_matrix(struct mixed *m, const char *name, const float **value, float **gradient)
{
    struct parameter *p =
        parameters_add(&m->network.parameters, name, value, gradient, 2, (const int[]){m->N, m->D});

    p->deviation = 0.02F;
    p->decay = true;
}

static int describe_gate(struct mixed *m, const struct config *config, struct router_shape *shape,
                         struct error *err)
{
    struct router *r = &m->router;
    char name[48];

    r->ops = router_find(config_text(config, "router.name"));
    r->config = config_routing(config, 0);
    r->config.n_experts = m->N;
    if (!r->ops->routes)
        return error_set(err, STATUS_USAGE, "router.name = %s has no gate", r->ops->name);
    if (r->ops->check(&r->config, err))
        return -1;
    router_shape(r->ops, &r->config, 1, shape);
    if (!shape->weight)
        return error_set(err, STATUS_USAGE,
                         "router.name = %s goes by vocabulary items, which samples do not have",
                         r->ops->name);
    add_matrix(m, "gate", &r->weight, &r->d_weight);
    snprintf(name, sizeof name, "gate.%s", shape->second ? shape->second : "");
    if (shape->second)
        add_matrix(m, name, &r->second, &r->d_second);
    snprintf(name, sizeof name, "gate.%s", shape->state ? shape->state : "");
    if (shape->state)
        parameters_add(&m->network.parameters, name, &r->state, NULL, shape->state_columns > 0 ? 2 : 1,
                       (const int[]){shape->state_rows, shape->state_columns});
    return 0;
}

/* Costs c of the experts: with exponent a, N sum_i f_i P_i becomes sum_j c_j^-a * sum_i c_i^a f_i P_i, least
 * (and 1) where loads are as c^-a: with a = 1 where all experts have the same work. */
static void price_experts(struct mixed *m, double exponent)
{
    double sum = 0.0;

    for (int e = 0; e < m->N; e++)
        sum += pow(m->expert[e].multiply_adds, -exponent);
    for (int e = 0; e < m->N; e++)
        m->cost[e] = sum * pow(m->expert[e].multiply_adds, exponent) / m->N;
    m->routing.cost = m->cost;
}

/* ---- the whole ---- */

static int claim(struct mixed *m, struct error *err)
{
    size_t B = (size_t)m->max_samples, decisions = B * (size_t)m->N, form = MIXED_POSITIONS * (size_t)m->D;

    m->sample = arena_claim(&m->memory, B, sizeof *m->sample);
    m->added = arena_claim(&m->memory, B, sizeof *m->added);
    m->start = arena_claim(&m->memory, B + 1, sizeof *m->start);
    m->input = arena_claim(&m->memory, B, sizeof *m->input);
    m->target = arena_claim(&m->memory, B, sizeof *m->target);
    m->loss = arena_claim(&m->memory, B, sizeof *m->loss);
    m->value = arena_claim(&m->memory, B, sizeof *m->value);
    m->outcome = arena_claim(&m->memory, B, sizeof *m->outcome);
    m->form = arena_claim(&m->memory, B * form, sizeof *m->form);
    m->d_form = arena_claim(&m->memory, B * form, sizeof *m->d_form);
    m->mean = arena_claim(&m->memory, B * (size_t)m->D, sizeof *m->mean);
    m->d_mean = arena_claim(&m->memory, B * (size_t)m->D, sizeof *m->d_mean);
    m->joined = arena_claim(&m->memory, B * (size_t)m->E, sizeof *m->joined);
    m->d_joined = arena_claim(&m->memory, B * (size_t)m->E, sizeof *m->d_joined);
    m->row = arena_claim(&m->memory, decisions, sizeof *m->row);
    m->load = arena_claim(&m->memory, (size_t)m->N, sizeof *m->load);
    return m->memory.failed ? error_no_memory(err, "a batch") : 0;
}

static void describe_sources(struct mixed *m)
{
    for (int s = 0; s < m->S; s++)
        m->stem[s].last = describe_stem(&m->network, &m->mixture->sources[s], &m->stem[s], m->D);
    for (int s = 0; s < m->S; s++)
        m->head[s].last = describe_head(&m->network, &m->mixture->sources[s], &m->head[s], m->E);
}

static void count_costs(struct mixed *m)
{
    struct branch *const lists[] = {m->stem, m->head, m->expert};
    const int counts[] = {m->S, m->S, m->N};

    for (int list = 0; list < 3; list++)
        for (int i = 0; i < counts[list]; i++)
            lists[list][i].multiply_adds =
                network_multiply_adds(&m->network, lists[list][i].entry, lists[list][i].last);
}

/* Weights whose names begin with prefix. */
static double parameters_of(const struct mixed *m, const char *prefix)
{
    const struct parameters *p = &m->network.parameters;
    double sum = 0.0;

    for (int i = 0; i < p->n; i++)
        if (strncmp(p->items[i].name, prefix, strlen(prefix)) == 0)
            sum += (double)p->items[i].count;
    return sum;
}

static void count_weights(struct mixed *m)
{
    char prefix[32];

    for (int e = 0; e < m->N; e++) {
        snprintf(prefix, sizeof prefix, "experts.%d.", e);
        m->weights[e] = (int64_t)parameters_of(m, prefix);
    }
}

static int seed_weights(struct mixed *m, uint64_t seed, struct error *err)
{
    const struct router *r = &m->router;

    parameters_seed(&m->network.parameters, seed);
    for (int i = 0; i < m->network.parameters.n; i++) {
        const struct parameter *p = &m->network.parameters.items[i];
        if (!p->trained &&
            r->ops->init_state(&r->config, 0, seed, 1, NULL, m->network.parameters.values + p->offset, err))
            return -1;
    }
    return 0;
}

int mixed_init(struct mixed *m, const struct config *config, const struct corpus *corpus, struct pool *pool,
               uint64_t seed, struct error *err)
{
    struct router_shape shape = {0};

    *m = (struct mixed){.mixture = &corpus->mixture,
                        .pool = pool,
                        .S = corpus->mixture.n,
                        .D = (int)config_int(config, "mixed.width"),
                        .E = (int)config_int(config, "mixed.output"),
                        .max_samples = (int)config_int(config, "train.batch"),
                        .how = (enum mixed_routing)config_choice(config, "mixed.routing"),
                        .loss_weights = config_loss_weights(config)};
    m->layer = (struct routed_layer){0, &m->routing};
    describe_sources(m);
    if (describe_experts(m, config_text(config, "mixed.experts"), err))
        return -1;
    if (m->how == ROUTE_BY_SOURCE && m->N < m->S)
        return error_set(err, STATUS_USAGE,
                         "mixed.routing = source needs an expert a source, %d; there are %d", m->S, m->N);
    if ((m->how == ROUTE_BY_GATE && describe_gate(m, config, &shape, err)) ||
        network_build(&m->network, m->max_samples, pool, err) || claim(m, err) ||
        routing_init(&m->routing, m->max_samples, m->N, m->N, err) ||
        routing_extend(&m->routing, m->max_samples, &shape, err))
        return -1;
    count_costs(m);
    count_weights(m);
    price_experts(m, config_real(config, "loss.cost_exponent"));
    return seed_weights(m, seed, err);
}

void mixed_release(struct mixed *m)
{
    network_release(&m->network);
    routing_release(&m->routing);
    arena_release(&m->memory);
    *m = (struct mixed){0};
}
