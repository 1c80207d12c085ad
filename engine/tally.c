#include "engine/tally.h"

#include <stdlib.h>
#include <string.h>

#include "metrics/demand.h"

static int layer_init(struct layer_tally *l, int layer, int n_experts, int n_domains)
{
    size_t cells = (size_t)n_experts * ((size_t)n_domains + 1);

    *l = (struct layer_tally){.layer = layer, .n_experts = n_experts};
    l->assignments = calloc(cells, sizeof *l->assignments);
    l->dropped = calloc(cells, sizeof *l->dropped);
    l->gate_sum = calloc(cells, sizeof *l->gate_sum);
    l->probability_sum = calloc(cells, sizeof *l->probability_sum);
    l->rank_mass = calloc((size_t)n_experts, sizeof *l->rank_mass);
    l->scratch = calloc((size_t)n_experts, sizeof *l->scratch);
    return l->assignments && l->dropped && l->gate_sum && l->probability_sum && l->rank_mass && l->scratch
               ? 0
               : -1;
}

int tally_init(struct tally *t, const struct routed_layer *layers, int n_layers, int n_domains,
               int n_documents, struct error *err)
{
    *t = (struct tally){.n_domains = n_domains, .n_documents = n_documents};
    t->layers = calloc((size_t)n_layers + 1, sizeof *t->layers);
    t->document_tokens = calloc((size_t)n_documents + 1, sizeof *t->document_tokens);
    t->document_bytes = calloc((size_t)n_documents + 1, sizeof *t->document_bytes);
    t->document_loss = calloc((size_t)n_documents + 1, sizeof *t->document_loss);
    t->domain_tokens = calloc((size_t)n_domains + 1, sizeof *t->domain_tokens);
    if (!t->layers || !t->document_tokens || !t->document_bytes || !t->document_loss || !t->domain_tokens)
        goto failed;
    for (int i = 0; i < n_layers; i++) {
        if (layer_init(&t->layers[t->n_layers++], layers[i].layer, layers[i].routing->n_experts, n_domains))
            goto failed;
    }
    return 0;
failed:
    tally_release(t);
    return error_no_memory(err, "expert loads");
}

void tally_release(struct tally *t)
{
    for (int l = 0; t->layers && l < t->n_layers; l++) {
        free(t->layers[l].assignments);
        free(t->layers[l].dropped);
        free(t->layers[l].gate_sum);
        free(t->layers[l].probability_sum);
        free(t->layers[l].rank_mass);
        free(t->layers[l].scratch);
    }
    free(t->layers);
    free(t->document_tokens);
    free(t->document_bytes);
    free(t->document_loss);
    free(t->domain_tokens);
    *t = (struct tally){0};
}

void tally_clear(struct tally *t, bool by_domain, bool concentration)
{
    t->by_domain = by_domain;
    t->concentration = concentration;
    t->n_tokens = t->n_bytes = 0;
    t->loss = 0.0;
    memset(t->document_tokens, 0, (size_t)t->n_documents * sizeof *t->document_tokens);
    memset(t->document_bytes, 0, (size_t)t->n_documents * sizeof *t->document_bytes);
    memset(t->document_loss, 0, (size_t)t->n_documents * sizeof *t->document_loss);
    memset(t->domain_tokens, 0, (size_t)t->n_domains * sizeof *t->domain_tokens);
    for (int i = 0; i < t->n_layers; i++) {
        struct layer_tally *l = &t->layers[i];
        size_t cells = (size_t)l->n_experts * ((size_t)t->n_domains + 1);
        memset(l->assignments, 0, cells * sizeof *l->assignments);
        memset(l->dropped, 0, cells * sizeof *l->dropped);
        memset(l->gate_sum, 0, cells * sizeof *l->gate_sum);
        memset(l->probability_sum, 0, cells * sizeof *l->probability_sum);
        memset(l->rank_mass, 0, (size_t)l->n_experts * sizeof *l->rank_mass);
        l->entropy_sum = 0.0;
        l->n_scored = 0;
    }
}

static void add_decisions(struct layer_tally *l, size_t row, const struct routing *r, int first, int last)
{
    size_t base = row * (size_t)l->n_experts;

    for (int d = r->offset[first]; d < r->offset[last]; d++) {
        size_t cell = base + (size_t)r->expert[d];
        l->assignments[cell] += !r->dropped[d];
        l->dropped[cell] += r->dropped[d];
        l->gate_sum[cell] += r->dropped[d] ? 0.0 : (double)r->gate[d];
    }
    for (int t = first; t < last; t++) {
        const float *p = r->probability + (size_t)t * (size_t)l->n_experts;
        double scale = routing_scale(r, t);
        for (int e = 0; e < l->n_experts; e++)
            l->probability_sum[base + (size_t)e] += scale * (double)p[e];
    }
}

static void add_router_figures(struct layer_tally *l, const struct routing *r, bool concentration)
{
    int N = l->n_experts;

    for (int t = 0; t < r->n_tokens; t++) {
        if (!(routing_scale(r, t) > 0.0))
            continue;
        l->n_scored++;
        l->entropy_sum += routing_entropy(r, t);
        if (!concentration)
            continue;
        rank_mass(r->probability + (size_t)t * N, N, l->scratch);
        for (int e = 0; e < N; e++)
            l->rank_mass[e] += l->scratch[e];
    }
}

double tally_decisions(const struct layer_tally *l, bool with_dropped)
{
    double n = 0.0;

    for (int e = 0; e < l->n_experts; e++)
        n += (double)(l->assignments[e] + (with_dropped ? l->dropped[e] : 0));
    return n;
}

void tally_add_document(struct tally *t, int document, int64_t n_tokens, int64_t n_bytes, double loss)
{
    t->document_tokens[document] += n_tokens;
    t->document_bytes[document] += n_bytes;
    t->document_loss[document] += loss;
    t->n_tokens += n_tokens;
    t->n_bytes += n_bytes;
    t->loss += loss;
}

static void add_losses(struct tally *t, const struct corpus *c, const struct pass *p)
{
    for (int s = 0; s < p->n_sequences; s++) {
        int document = p->sample[s]->document, first = p->start[s], n = p->start[s + 1] - first;
        double loss = 0.0;
        for (int i = first; i < first + n; i++)
            loss += (double)p->loss[i];
        tally_add_document(t, document, n, corpus_bytes(c->vocabulary, p->target + first, n), loss);
        t->domain_tokens[c->documents[document].domain] += n;
    }
}

void tally_add(struct tally *t, const struct corpus *c, const struct pass *p)
{
    add_losses(t, c, p);
    for (int i = 0; i < t->n_layers; i++) {
        struct layer_tally *l = &t->layers[i];
        const struct routing *r = p->layers[i].routing;
        add_decisions(l, 0, r, 0, r->n_tokens);
        for (int s = 0; s < p->n_sequences && t->by_domain; s++)
            add_decisions(l, 1 + (size_t)c->documents[p->sample[s]->document].domain, r, p->start[s],
                          p->start[s + 1]);
        add_router_figures(l, r, t->concentration);
    }
}
