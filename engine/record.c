#include "engine/record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"
#include "base/text.h"
#include "engine/blas.h"
#include "sql/read.h"

/* ---- the corpus ---- */

static void describe_document(const struct corpus *c, const struct document *d, struct moescope_label *labels,
                              struct moescope_document *out)
{
    *out = (struct moescope_document){.name = d->name,
                                      .domain = c->domains[d->domain],
                                      .sha256 = d->sha256,
                                      .split = corpus_split_names[d->split],
                                      .n_bytes = d->n_bytes,
                                      .n_tokens = c->images.n ? (int64_t)c->images.height * c->images.width
                                                              : d->n_ids - 1,
                                      .labels = labels,
                                      .n_labels = d->n_labels};
    for (int i = 0; i < d->n_labels; i++)
        labels[i] = (struct moescope_label){d->labels[i].key, d->labels[i].value};
}

static int store_corpus(struct recorder *r, struct logbook *lb, const struct corpus *c, struct error *err)
{
    size_t n_labels = 0, n_documents = (size_t)c->n_documents;
    struct moescope_label *labels;
    struct moescope_document *documents = malloc(n_documents * sizeof *documents);
    struct moescope_token *tokens = malloc((size_t)c->n_vocabulary * sizeof *tokens);
    int64_t *domain_of = malloc(n_documents * sizeof *domain_of);
    int result = -1;

    for (size_t i = 0; i < n_documents; i++)
        n_labels += (size_t)c->documents[i].n_labels;
    labels = malloc((n_labels + 1) * sizeof *labels);
    if (!documents || !tokens || !labels || !domain_of) {
        error_no_memory(err, "the corpus's description");
        goto done;
    }
    n_labels = 0;
    for (size_t i = 0; i < n_documents; i++) {
        describe_document(c, &c->documents[i], labels + n_labels, &documents[i]);
        n_labels += (size_t)c->documents[i].n_labels;
    }
    for (int i = 0; i < c->n_vocabulary; i++)
        tokens[i] = (struct moescope_token){c->vocabulary[i].text, c->vocabulary[i].kind,
                                            c->vocabulary[i].train_count};
    struct moescope_corpus corpus = {.name = c->name,
                                     .sha256 = c->sha256,
                                     .vocabulary_name = c->name,
                                     .vocabulary_sha256 = c->vocabulary_sha256,
                                     .tokens = tokens,
                                     .n_tokens = c->n_vocabulary,
                                     .documents = documents,
                                     .n_documents = c->n_documents};
    result =
        moescope_add_corpus(lb, &corpus, &r->corpus_id, &r->vocabulary_id, r->document_ids, domain_of, err);
    for (size_t i = 0; i < n_documents && result == 0; i++)
        r->domain_ids[c->documents[i].domain] = domain_of[i];
done:
    free(documents);
    free(tokens);
    free(labels);
    free(domain_of);
    return result;
}

/* ---- the run ---- */

struct settings { /* JSON texts of a run's configuration */
    struct moescope_setting *items;
    char **json;
    int n;
};

static void settings_release(struct settings *s)
{
    for (int i = 0; i < s->n; i++)
        free(s->json[i]);
    free(s->json);
    free(s->items);
}

static int settings_add(struct settings *s, const char *key, struct text *value)
{
    char *json = text_detach(value);

    text_init(value);
    if (!json)
        return -1;
    s->json[s->n] = json;
    s->items[s->n++] = (struct moescope_setting){key, json};
    return 0;
}

static int settings_add_number(struct settings *s, const char *key, double number)
{
    struct text t;
    int result;

    text_init(&t);
    text_add_number(&t, number);
    result = settings_add(s, key, &t);
    text_release(&t);
    return result;
}

/* Every key as it was, and what follows from them. */
static int settings_fill(struct settings *s, const struct recorder *r, const struct summary *m)
{
    size_t most = (size_t)config_n_keys + 3 + (size_t)r->n_more;
    struct text t;
    int failed = 0;

    s->items = calloc(most, sizeof *s->items);
    s->json = calloc(most, sizeof *s->json);
    if (!s->items || !s->json)
        return -1;
    text_init(&t);
    for (int i = 0; i < config_n_keys && !failed; i++) {
        config_json(r->config, i, &t);
        failed = settings_add(s, config_keys[i].name, &t);
    }
    for (int i = 0; i < r->n_more && !failed; i++) {
        text_add(&t, r->more[i].value_json);
        failed = settings_add(s, r->more[i].key, &t);
    }
    text_release(&t);
    if (!failed)
        failed = settings_add_number(s, "model.parameters", m->parameters);
    if (!failed && isfinite(m->active_parameters))
        failed = settings_add_number(s, "model.active_parameters", m->active_parameters) ||
                 settings_add_number(s, "model.flops_per_token", m->flops_per_token);
    return failed ? -1 : 0;
}

static void cpu_model(char *name, size_t size)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");

    snprintf(name, size, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        snprintf(name, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (f)
        fclose(f);
}

static char *machine_json(int threads)
{
    struct text t;
    char cpu[128];

    cpu_model(cpu, sizeof cpu);
    text_init(&t);
    text_add(&t, "{\"cpu\":");
    text_add_json(&t, cpu);
    text_printf(&t, ",\"threads\":%d,\"blas\":\"OpenBLAS\",\"core_type\":", threads);
    text_add_json(&t, blas_core_type());
    text_printf(&t, ",\"core_type_pinned\":%s}", blas_pinned_below_machine() ? "true" : "false");
    return text_detach(&t);
}

static void fill_layers(struct moescope_layer *layers, const struct summary *m)
{
    for (int i = 0; i < m->n_layers; i++) {
        const struct routed_summary *l = &m->layers[i];
        layers[i] = (struct moescope_layer){.layer = l->layer,
                                            .router = l->router,
                                            .n_experts = l->n_experts,
                                            .k = l->k,
                                            .expert_parameters = l->expert_parameters,
                                            .each = l->each,
                                            .n_shared = l->n_shared,
                                            .shared_parameters = l->shared_parameters};
    }
}

static int open_writer(struct recorder *r, struct error *err)
{
    struct moescope_writer_options options = {.gate_bits = (int)config_int(r->config, "log.gate_bits")};

    return moescope_writer_open(&r->writer, r->logbook, r->run_id, &options, err);
}

int recorder_begin(struct recorder *r, const char *name, int64_t seed, const struct summary *model,
                   int threads, struct error *err)
{
    struct settings settings = {0};
    struct moescope_layer layers[MAX_LAYERS];
    char *machine = machine_json(threads);
    int result = -1;

    if (!machine || settings_fill(&settings, r, model)) {
        error_no_memory(err, "the run's description");
        goto done;
    }
    fill_layers(layers, model);
    struct moescope_run run = {.name = name,
                               .task = model->task,
                               .router = model->router,
                               .program = "moescope " MOESCOPE_VERSION,
                               .machine_json = machine,
                               .seed = seed,
                               .corpus_id = r->corpus_id,
                               .vocabulary_id = r->vocabulary_id,
                               .config = settings.items,
                               .n_config = settings.n,
                               .layers = layers,
                               .n_layers = model->n_layers};
    result = moescope_begin_run(r->logbook, &run, &r->run_id, err) || open_writer(r, err) ? -1 : 0;
done:
    settings_release(&settings);
    free(machine);
    return result;
}

int recorder_resume(struct recorder *r, const char *name, int64_t step, struct error *err)
{
    return moescope_resume_run(r->logbook, name, step, &r->run_id, err) || open_writer(r, err) ? -1 : 0;
}

static int replay_probe(struct recorder *r, struct alarm *a, int64_t step, struct error *err)
{
    const struct block_filter filter = {r->run_id, "probe", step, step, -1};
    struct blocks *blocks;
    struct block b;
    int more;

    if (blocks_open(&blocks, r->logbook, &filter, err))
        return -1;
    while ((more = blocks_next(blocks, &b, err)) == 1) {
        if (alarm_probe(a, b.layer, step, b.offsets, b.expert, b.n_tokens, err)) {
            more = -1;
            break;
        }
    }
    blocks_close(blocks);
    alarm_end_probe(a);
    return more;
}

int recorder_replay(struct recorder *r, struct alarm *a, struct error *err)
{
    int64_t last, last_probe = 0;

    if (monitor_read(&a->monitor, r->logbook, r->run_id, "train", -1, 0, &last, err) ||
        query_one_int(r->logbook, "train/last_probe", r->run_id, &last_probe, err) ||
        replay_probe(r, a, 0, err) || (last_probe > 0 && replay_probe(r, a, last_probe, err)))
        return -1;
    alarm_settle(a);
    return 0;
}

int recorder_end(struct recorder *r, const char *status, struct error *err)
{
    int result = 0;

    moescope_batch_discard(r->batch); /* what was not committed belongs to no whole step */
    r->batch = NULL;
    result = moescope_writer_close(r->writer, err);
    r->writer = NULL;
    if (r->run_id > 0 &&
        moescope_end_run(r->logbook, r->run_id, result ? "failed" : status, result ? NULL : err))
        result = -1;
    return result;
}

void recorder_release(struct recorder *r)
{
    free(r->document_ids);
    free(r->domain_ids);
    r->document_ids = r->domain_ids = NULL;
}

/* ---- the sink ---- */

static struct moescope_batch *batch_of(struct recorder *r, struct error *err)
{
    if (!r->batch)
        r->batch = moescope_batch_new(r->writer, err);
    return r->batch;
}

/* Text that was routed on purpose is kept whole, whatever the training run kept of itself. */
static bool keeps_decisions(const struct recorder *r, enum corpus_split split)
{
    const char *decisions = config_text(r->config, "log.decisions");

    return split == SPLIT_ROUTED || strcmp(decisions, "all") == 0 ||
           (strcmp(decisions, "probe") == 0 && split == SPLIT_PROBE) ||
           (strcmp(decisions, "held_out") == 0 && split != SPLIT_TRAIN);
}

/* Scores that are no softmax are made to sum to 1; a token all of whose scores are 0 keeps them. */
static int add_probabilities(struct recorder *r, int handle, const struct routing *routing, int layer,
                             int first, int last, struct error *err)
{
    size_t N = (size_t)routing->n_experts;
    const float *scores = routing->probability + (size_t)first * N;
    float *shares;

    if (routing->softmax) {
        moescope_batch_probability(r->batch, handle, layer, routing->n_experts, scores);
        return 0;
    }
    shares = malloc((size_t)(last - first) * N * sizeof *shares);
    if (!shares)
        return error_no_memory(err, "a logged sequence");
    for (int t = first; t < last; t++) {
        double scale = routing_scale(routing, t);
        for (size_t e = 0; e < N; e++)
            shares[(size_t)(t - first) * N + e] =
                (float)(scale * (double)routing->probability[(size_t)t * N + e]);
    }
    moescope_batch_probability(r->batch, handle, layer, routing->n_experts, shares);
    free(shares);
    return 0;
}

static void add_layer_decisions(struct recorder *r, int handle, const struct routing *routing, int layer,
                                int first, int last)
{
    int at = routing->offset[first], k = routing->n_tokens > 0 ? routing->offset[1] - routing->offset[0] : 0;
    bool fixed = k > 0 && routing->offset[last] - at == k * (last - first);

    for (int t = first; fixed && t < last; t++)
        fixed = routing->offset[t + 1] - routing->offset[t] == k;
    struct moescope_block block = {.layer = layer,
                                   .n_experts = routing->n_experts,
                                   .k = fixed ? k : 0,
                                   .offsets = fixed ? NULL : routing->offset + first,
                                   .expert = routing->expert + at,
                                   .gate = routing->gate + at,
                                   .dropped = routing->n_dropped ? routing->dropped + at : NULL};
    moescope_batch_routing(r->batch, handle, &block);
}

static int add_sequence(struct recorder *r, int64_t step, enum corpus_split split, const struct pass *p,
                        int s, struct error *err)
{
    const struct sample *sample = p->sample[s];
    int first = p->start[s], n = p->start[s + 1] - first;
    int32_t *ids = malloc(((size_t)n + 1) * sizeof *ids);
    struct moescope_outcome outcome;

    if (!ids)
        return error_no_memory(err, "a logged sequence");
    memcpy(ids, p->input + first, (size_t)n * sizeof *ids);
    ids[n] = p->target[first + n - 1];
    bool classified = p->outcome && p->outcome[s].target >= 0;
    if (classified)
        outcome = (struct moescope_outcome){p->outcome[s].target, p->outcome[s].prediction,
                                            p->outcome[s].exit, p->outcome[s].multiply_adds};
    struct moescope_sequence sequence = {.document_id = r->document_ids[sample->document],
                                         .offset = sample->offset,
                                         .n_tokens = n,
                                         .ids = ids,
                                         .loss = p->loss + first,
                                         .outcome = classified ? &outcome : NULL};
    int handle = moescope_batch_sequence(r->batch, step, corpus_split_names[split], &sequence);
    free(ids);
    for (int i = 0; i < p->n_layers; i++) {
        const struct routed_layer *l = &p->layers[i];
        add_layer_decisions(r, handle, l->routing, l->layer, first, first + n);
        if ((split == SPLIT_PROBE || split == SPLIT_ROUTED) &&
            add_probabilities(r, handle, l->routing, l->layer, first, first + n, err))
            return -1;
    }
    return 0;
}

static int record_pass(void *context, int64_t step, enum corpus_split split, const struct pass *p,
                       struct error *err)
{
    struct recorder *r = context;

    if (!keeps_decisions(r, split))
        return 0;
    if (!batch_of(r, err))
        return -1;
    for (int s = 0; s < p->n_sequences; s++) {
        if (add_sequence(r, step, split, p, s, err))
            return -1;
    }
    return 0;
}

static void add_loads(struct recorder *r, int64_t step, const char *split, const struct tally *t,
                      const struct layer_tally *l)
{
    for (int d = 0; d <= (t->by_domain ? t->n_domains : 0); d++) {
        size_t base = (size_t)d * (size_t)l->n_experts;
        struct moescope_load load = {.domain_id = d ? r->domain_ids[d - 1] : 0,
                                     .layer = l->layer,
                                     .n_experts = l->n_experts,
                                     .assignments = l->assignments + base,
                                     .dropped = l->dropped + base,
                                     .gate_sum = l->gate_sum + base,
                                     .probability_sum = l->probability_sum + base};
        if (d == 0 || t->domain_tokens[d - 1] > 0)
            moescope_batch_load(r->batch, step, split, &load);
    }
}

static void add_router_figures(struct recorder *r, int64_t step, const char *split, const struct tally *t,
                               const struct layer_tally *l)
{
    char name[32];
    double tokens = (double)l->n_scored;

    if (l->n_scored == 0) /* relu: no token has an expert */
        return;
    moescope_batch_layer_metric(r->batch, step, split, l->layer, "router_entropy", l->entropy_sum / tokens);
    for (int n = 1; t->concentration && n <= l->n_experts; n *= 2) {
        snprintf(name, sizeof name, "rank_mass_%d", n);
        moescope_batch_layer_metric(r->batch, step, split, l->layer, name, l->rank_mass[n - 1] / tokens);
    }
}

static int record_summary(void *context, int64_t step, enum corpus_split split, const struct tally *t,
                          struct error *err)
{
    struct recorder *r = context;
    const char *name = corpus_split_names[split];

    if (!batch_of(r, err))
        return -1;
    for (int d = 0; d < t->n_documents; d++) {
        if (t->document_tokens[d] > 0)
            moescope_batch_document_loss(r->batch, step, name, r->document_ids[d], t->document_tokens[d],
                                         t->document_bytes[d], t->document_loss[d]);
    }
    for (int i = 0; i < t->n_layers; i++) {
        add_loads(r, step, name, t, &t->layers[i]);
        add_router_figures(r, step, name, t, &t->layers[i]);
    }
    return 0;
}

static int record_metric(void *context, int64_t step, enum corpus_split split, const char *name, double value,
                         struct error *err)
{
    struct recorder *r = context;

    if (!batch_of(r, err))
        return -1;
    moescope_batch_metric(r->batch, step, corpus_split_names[split], name, value);
    return 0;
}

static int record_event(void *context, int64_t step, const struct sink_event *event, struct error *err)
{
    struct recorder *r = context;

    if (!batch_of(r, err))
        return -1;
    moescope_batch_event(r->batch, step, event->kind, event->layer, -1, event->value, event->message);
    return 0;
}

static int record_checkpoint(void *context, int64_t step, const char *path, const char *sha256,
                             struct error *err)
{
    struct recorder *r = context;

    if (!batch_of(r, err))
        return -1;
    moescope_batch_checkpoint(r->batch, step, path, sha256);
    return 0;
}

static int record_commit(void *context, struct error *err)
{
    struct recorder *r = context;
    struct moescope_batch *batch = r->batch;

    r->batch = NULL;
    return batch ? moescope_batch_commit(batch, err) : 0;
}

static int record_drain(void *context, struct error *err)
{
    struct recorder *r = context;

    return moescope_writer_drain(r->writer, err);
}

int recorder_open(struct recorder *r, struct logbook *lb, const struct config *config,
                  const struct corpus *corpus, struct error *err)
{
    *r = (struct recorder){.logbook = lb, .config = config};
    r->sink = (struct sink){.context = r,
                            .pass = record_pass,
                            .summary = record_summary,
                            .metric = record_metric,
                            .event = record_event,
                            .checkpoint = record_checkpoint,
                            .commit = record_commit,
                            .drain = record_drain};
    r->document_ids = calloc((size_t)corpus->n_documents + 1, sizeof *r->document_ids);
    r->domain_ids = calloc((size_t)corpus->n_domains + 1, sizeof *r->domain_ids);
    if (!r->document_ids || !r->domain_ids) {
        recorder_release(r);
        return error_no_memory(err, "the logbook's ids");
    }
    if (store_corpus(r, lb, corpus, err)) {
        recorder_release(r);
        return -1;
    }
    return 0;
}

double recorder_size_estimate(const struct config *config, const struct summary *m, int64_t tokens_in_corpus,
                              int64_t probe_tokens)
{
    const char *decisions = config_text(config, "log.decisions");
    int64_t steps = config_int(config, "train.steps"), every = config_int(config, "probe.every");
    int64_t per_step = (int64_t)m->tokens_per_step;
    int routed = m->n_layers;
    double k = 0.0;

    for (int i = 0; i < routed; i++)
        k += (double)m->layers[i].k / routed;
    struct logbook_size_shape shape = {
        .steps = steps,
        .tokens_per_step = per_step,
        .context = m->context,
        .vocabulary = m->vocabulary,
        .distinct_tokens = steps * per_step < tokens_in_corpus ? steps * per_step : tokens_in_corpus,
        .moe_layers = routed,
        .n_experts = routed ? m->layers[0].n_experts : 0,
        .gate_bits = (int)config_int(config, "log.gate_bits"),
        .k = k,
        .probe_passes =
            2.0 + log2((double)(steps > 0 ? steps : 1)) + (every > 0 ? (double)steps / (double)every : 0.0),
        .probe_tokens = (double)probe_tokens,
        .decisions = strcmp(decisions, "all") == 0 ? 2 : strcmp(decisions, "probe") == 0};
    return logbook_size_estimate(&shape);
}
