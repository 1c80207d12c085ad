/* engine/mixed.h: batches and passes. */
#include "engine/mixed.h"

#include <string.h>

#include "engine/kernels.h"

/* ---- batches ---- */

void mixed_clear(struct mixed *m)
{
    m->n = 0;
}

bool mixed_add(struct mixed *m, const struct sample *s)
{
    if (m->n == m->max_samples)
        return false;
    m->added[m->n++] = s;
    return true;
}

static void order_by_source(struct mixed *m)
{
    int at = 0;

    for (int s = 0; s < m->S; s++) {
        m->first[s] = at;
        for (int b = 0; b < m->n; b++)
            if (mixture_source_of(m->mixture, m->added[b]->document) == s)
                m->sample[at++] = m->added[b];
    }
    m->first[m->S] = at;
}

static int count_of(const struct mixed *m, int s)
{
    return m->first[s + 1] - m->first[s];
}

static float *values_of(struct mixed *m, int node)
{
    return m->network.nodes[node].value;
}

static float *gradients_of(struct mixed *m, int node)
{
    return m->network.nodes[node].gradient;
}

/* ---- forward ---- */

static void fill_inputs(struct mixed *m, int s)
{
    const struct mixture_source *source = &m->mixture->sources[s];
    float *x = values_of(m, m->stem[s].entry);

    for (int i = 0; i < count_of(m, s); i++, x += source->size) {
        mixture_fill(source, m->sample[m->first[s] + i]->document - source->first_document, x);
        for (size_t j = 0; j < source->size && m->noise > 0.0F && source->kind == SOURCE_IMAGE; j++)
            x[j] += m->noise * (float)random_normal(m->random);
    }
}

static size_t form_size(const struct mixed *m)
{
    return MIXED_POSITIONS * (size_t)m->D;
}

static void run_stems(struct mixed *m)
{
    size_t size = form_size(m);

    for (int s = 0; s < m->S; s++) {
        if (count_of(m, s) == 0)
            continue;
        fill_inputs(m, s);
        network_forward_between(&m->network, m->stem[s].entry, m->stem[s].last, count_of(m, s));
        memcpy(m->form + (size_t)m->first[s] * size, values_of(m, m->stem[s].last),
               (size_t)count_of(m, s) * size * sizeof *m->form);
    }
    for (int b = 0; b < m->n; b++) {
        float *mean = m->mean + (size_t)b * (size_t)m->D;
        memset(mean, 0, (size_t)m->D * sizeof *mean);
        for (int i = 0; i < MIXED_POSITIONS; i++)
            add_scaled(mean, m->form + (size_t)b * size + (size_t)i * (size_t)m->D, 1.0F / MIXED_POSITIONS,
                       m->D);
    }
}

/* Without a gate: one expert a source, or all of them alike. */
static void route_by_rule(struct mixed *m)
{
    struct routing *r = &m->routing;
    int k = m->how == ROUTE_TO_ALL ? m->N : 1, s = 0;
    float weight = 1.0F / (float)k;

    r->n_tokens = m->n;
    memset(r->probability, 0, (size_t)m->n * (size_t)m->N * sizeof *r->probability);
    memset(r->dropped, 0, (size_t)m->n * (size_t)k);
    memset(r->requested, 0, (size_t)m->N * sizeof *r->requested);
    for (int b = 0; b < m->n; b++) {
        while (b >= m->first[s + 1])
            s++;
        r->offset[b + 1] = (b + 1) * k;
        for (int i = 0; i < k; i++) {
            int expert = m->how == ROUTE_TO_ALL ? i : s;
            r->expert[b * k + i] = expert;
            r->gate[b * k + i] = r->weight[b * k + i] = weight;
            r->probability[b * m->N + expert] = weight;
            r->requested[expert]++;
        }
    }
}

static struct router_input gate_input(const struct mixed *m, struct random *noise)
{
    return (struct router_input){.x = m->mean, .token = m->input, .T = m->n, .D = m->D, .noise = noise};
}

static void route(struct mixed *m, struct random *noise)
{
    struct router_input in = gate_input(m, noise);

    if (m->how == ROUTE_BY_GATE)
        router_route(&m->router, m->pool, &in, &m->routing);
    else
        route_by_rule(m);
}

static void say_class(struct mixed *m, int s, const int32_t *label)
{
    const struct mixture_source *source = &m->mixture->sources[s];
    size_t classes = (size_t)source->n_classes;

    for (int i = 0, b = m->first[s]; i < count_of(m, s); i++, b++)
        m->outcome[b] = (struct outcome){
            .target = label[i],
            .prediction = largest_of(values_of(m, m->head[s].last) + (size_t)i * classes, source->n_classes),
            .exit = -1};
}

/* The source's head on its samples: losses, predictions, the head's gradient. */
static void run_head(struct mixed *m, int s)
{
    const struct mixture_source *source = &m->mixture->sources[s];
    int n = count_of(m, s), last = m->head[s].last;
    float scale = 1.0F / (float)m->n, *loss = m->loss + m->first[s], *target = m->value + m->first[s];
    int32_t *label = m->target + m->first[s];

    memcpy(values_of(m, m->head[s].entry), m->joined + (size_t)m->first[s] * (size_t)m->E,
           (size_t)n * (size_t)m->E * sizeof *m->joined);
    network_forward_between(&m->network, m->head[s].entry, last, n);
    for (int i = 0; i < n; i++) {
        int sample = m->sample[m->first[s] + i]->document - source->first_document;
        label[i] = source->label ? source->label[sample] : 0;
        target[i] = source->target ? source->target[sample] : 0.0F;
    }
    if (source->label) {
        network_cross_entropy_of(&m->network, last, label, n, scale, loss);
        say_class(m, s, label);
        return;
    }
    network_squared_error_of(&m->network, last, target, n, scale, loss);
    memcpy(target, values_of(m, last), (size_t)n * sizeof *target);
    for (int i = 0; i < n; i++)
        m->outcome[m->first[s] + i] = (struct outcome){.target = -1, .prediction = -1, .exit = -1};
}

/* ---- backward ---- */

static void heads_backward(struct mixed *m)
{
    size_t E = (size_t)m->E;

    for (int s = 0; s < m->S; s++) {
        if (count_of(m, s) == 0)
            continue;
        network_backward_between(&m->network, m->head[s].entry, m->head[s].last, count_of(m, s));
        memcpy(m->d_joined + (size_t)m->first[s] * E, gradients_of(m, m->head[s].entry),
               (size_t)count_of(m, s) * E * sizeof *m->d_joined);
    }
}

static void gate_backward(struct mixed *m)
{
    struct router_input in = gate_input(m, NULL);
    size_t D = (size_t)m->D;

    memset(m->d_mean, 0, (size_t)m->n * D * sizeof *m->d_mean);
    router_backward(&m->router, m->pool, &in, m->d_mean, &m->routing);
    for (int b = 0; b < m->n; b++)
        for (int i = 0; i < MIXED_POSITIONS; i++)
            add_scaled(m->d_form + (size_t)b * form_size(m) + (size_t)i * D, m->d_mean + (size_t)b * D,
                       1.0F / MIXED_POSITIONS, m->D);
}

static void stems_backward(struct mixed *m)
{
    size_t size = form_size(m);

    for (int s = 0; s < m->S; s++) {
        if (count_of(m, s) == 0)
            continue;
        memcpy(gradients_of(m, m->stem[s].last), m->d_form + (size_t)m->first[s] * size,
               (size_t)count_of(m, s) * size * sizeof *m->d_form);
        network_backward_between(&m->network, m->stem[s].entry, m->stem[s].last, count_of(m, s));
    }
}

/* ---- passes ---- */

struct losses mixed_forward(struct mixed *m, const struct corpus *corpus, bool train, struct random *noise)
{
    struct losses losses = {0};

    order_by_source(m);
    for (int b = 0; b < m->n; b++) {
        m->input[b] = 0;
        m->start[b] = b;
    }
    m->start[m->n] = m->n;
    run_stems(m);
    route(m, noise);
    branches_forward(&m->network, m->expert, &m->routing, m->form, m->joined, m->row, m->load);
    for (int s = 0; s < m->S; s++)
        if (count_of(m, s) > 0)
            run_head(m, s);
    if (m->how == ROUTE_BY_GATE)
        router_add_losses(&m->router, m->pool, &m->routing, &m->loss_weights, train ? 1.0F : 0.0F, &losses);
    for (int b = 0; b < m->n; b++) {
        losses.lm += (double)m->loss[b] / m->n;
        m->target[b] = corpus->ids[corpus->documents[m->sample[b]->document].first + 1];
        m->outcome[b].multiply_adds = (int64_t)mixed_multiply_adds(m, b);
    }
    if (train) {
        heads_backward(m);
        memset(m->d_form, 0, (size_t)m->n * form_size(m) * sizeof *m->d_form);
        branches_backward(&m->network, m->expert, &m->routing, m->d_joined, m->d_form, m->row, m->load);
        if (m->how == ROUTE_BY_GATE)
            gate_backward(m);
        stems_backward(m);
    }
    return losses;
}

void mixed_update(struct mixed *m)
{
    const struct router *r = &m->router;
    const struct routing *last = &m->routing;
    double k = (double)routing_decisions(last) / m->n;
    struct router_usage usage = {.n_tokens = m->n,
                                 .requested = last->requested,
                                 .sparsity = 1.0 - k / m->N,
                                 .target = 1.0 - (double)r->config.k / m->N};

    for (int i = 0; m->how == ROUTE_BY_GATE && r->ops->update && i < m->network.parameters.n; i++) {
        const struct parameter *p = &m->network.parameters.items[i];
        if (!p->trained)
            r->ops->update(&r->config, &usage, m->network.parameters.values + p->offset);
    }
}

struct pass mixed_pass(struct mixed *m)
{
    return (struct pass){.n_sequences = m->n,
                         .start = m->start,
                         .sample = m->sample,
                         .input = m->input,
                         .target = m->target,
                         .loss = m->loss,
                         .outcome = m->outcome,
                         .layers = &m->layer,
                         .n_layers = 1};
}

/* ---- what it costs ---- */

double mixed_multiply_adds(const struct mixed *m, int b)
{
    const struct routing *r = &m->routing;
    int s = mixture_source_of(m->mixture, m->sample[b]->document);
    double sum = m->stem[s].multiply_adds + m->head[s].multiply_adds +
                 (m->how == ROUTE_BY_GATE ? (double)m->N * m->D : 0.0);

    for (int i = r->offset[b]; i < r->offset[b + 1]; i++)
        sum += m->row[i] < 0 ? 0.0 : m->expert[r->expert[i]].multiply_adds;
    return sum;
}
