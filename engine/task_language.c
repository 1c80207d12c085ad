/* The language model as a task: next tokens of documents, cut into samples and packed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "engine/evaluate.h"
#include "engine/task.h"
#include "engine/trainer.h"

static const uint64_t noise_stream = 0x6e6f697365000000U;

static int tokens_per_pass(const struct config *config)
{
    return (int)(config_int(config, "train.tokens_per_step") / config_int(config, "train.accumulation"));
}

static int check_sizes(const struct config *config, struct error *err)
{
    int tokens = tokens_per_pass(config), context = (int)config_int(config, "model.context");

    if (tokens < context)
        return error_set(
            err, STATUS_USAGE,
            "train.tokens_per_step / train.accumulation is %d tokens, less than model.context %d: a "
            "full sequence would never fit",
            tokens, context);
    if (config_int(config, "log.gate_bits") != 8 && config_int(config, "log.gate_bits") != 16)
        return error_set(err, STATUS_USAGE, "log.gate_bits must be 8 or 16");
    return 0;
}

static int open_data(struct trainer *t, struct error *err)
{
    const struct config *c = t->config;
    const struct corpus *corpus = t->corpus;
    int most = 1;

    if (trainer_open_samples(t, t->model.config.context, config_int(c, "valid.tokens_per_document"),
                             config_int(c, "probe.tokens_per_document"), err))
        return -1;
    for (int l = 0; l < t->model.config.n_layers; l++)
        most = t->model.layers[l].experts.n_experts > most ? t->model.layers[l].experts.n_experts : most;
    t->requested = malloc((size_t)most * sizeof *t->requested);
    if (!t->requested)
        return error_no_memory(err, "expert loads");
    if (packed_init(&t->packed, tokens_per_pass(c), err))
        return -1;
    return tally_init(&t->tally, t->model.routed, t->model.n_routed, corpus->n_domains, corpus->n_documents,
                      err);
}

static int open_model(struct trainer *t, struct error *err)
{
    struct model_config model;
    int64_t *token_count;
    int result;

    if (config_model(t->config, t->corpus->n_vocabulary, &model, err))
        return -1;
    token_count = corpus_train_counts(t->corpus, err);
    if (!token_count)
        return -1;
    model.token_count = token_count;
    result = model_init(&t->model, &model, tokens_per_pass(t->config), t->pool, err);
    if (result == 0) {
        t->parameters = &t->model.parameters;
        result = model_seed(&t->model, (uint64_t)t->seed, err);
    }
    t->model.config.token_count = NULL; /* needed no more */
    free(token_count);
    return result;
}

static int open_language(struct trainer *t, struct error *err)
{
    if (t->corpus->images.n > 0)
        return error_set(err, STATUS_USAGE, "corpus '%s' is images; model.kind is one of %s, %s, %s for them",
                         t->corpus->name, classifier_kinds[0], classifier_kinds[1], classifier_kinds[2]);
    return check_sizes(t->config, err) || open_model(t, err) || open_data(t, err) ? -1 : 0;
}

static void close_language(struct trainer *t)
{
    packed_release(&t->packed);
    free(t->requested);
    model_release(&t->model);
}

/* What routers keep beside their weights moves by the decisions of the whole step. */
static void update_routers(struct trainer *t)
{
    struct tally *tally = &t->tally;
    struct router_usage usage = {.n_tokens = tally->n_tokens, .requested = t->requested};

    for (int i = 0; i < tally->n_layers; i++) {
        const struct layer_tally *l = &tally->layers[i];
        double cells = (double)tally->n_tokens * l->n_experts;
        int k = t->model.layers[l->layer].config->routing.k;
        usage.sparsity += (1.0 - tally_decisions(l, true) / cells) / tally->n_layers;
        usage.target += (1.0 - (double)k / l->n_experts) / tally->n_layers;
    }
    for (int i = 0; i < tally->n_layers; i++) {
        const struct layer_tally *l = &tally->layers[i];
        for (int e = 0; e < l->n_experts; e++)
            t->requested[e] = l->assignments[e] + l->dropped[e];
        model_update_router(&t->model, l->layer, &usage);
    }
}

/* What the step cost, by the experts that its tokens went to. */
static double step_flops(const struct trainer *t)
{
    const struct tally *tally = &t->tally;
    const struct model_config *m = &t->model.config;
    double k[MAX_LAYERS] = {0};

    for (int i = 0; i < tally->n_layers; i++)
        k[tally->layers[i].layer] = tally_decisions(&tally->layers[i], false) / (double)tally->n_tokens;
    return model_flops_per_token(m, k, m->context) * (double)tally->n_tokens;
}

static int learn(struct trainer *t, struct losses *sum, struct error *err)
{
    int passes = (int)config_int(t->config, "train.accumulation");
    struct loss_weights weights = config_loss_weights(t->config);
    struct random noise;

    random_seed(&noise, (uint64_t)t->seed, noise_stream + (uint64_t)t->step);
    tally_clear(&t->tally, strcmp(config_text(t->config, "log.domain_loads"), "all") == 0, false);
    for (int i = 0; i < passes; i++) {
        double start = clock_seconds();
        packed_from_stream(&t->packed, t->corpus, &t->stream);
        t->seconds_in[PART_DATA] += clock_seconds() - start;
        struct losses l =
            model_forward(&t->model, &t->packed.batch, true, 1.0F / (float)passes, &weights, &noise);
        losses_add(sum, &l, 1.0 / passes);
        start = clock_seconds();
        struct pass pass = packed_pass(&t->packed, &t->model);
        tally_add(&t->tally, t->corpus, &pass);
        if (t->sink->pass(t->sink->context, t->step, SPLIT_TRAIN, &pass, err))
            return -1;
        t->seconds_in[PART_LOGGING] += clock_seconds() - start;
    }
    return 0;
}

static bool has_own_loss(const struct trainer *t)
{
    for (int l = 0; l < t->model.config.n_layers; l++) {
        if (t->model.layers[l].config->router->own_loss)
            return true;
    }
    return false;
}

static int tell_losses(struct trainer *t, const struct losses *l, struct error *err)
{
    if (trainer_tell_losses(t, l, t->tally.n_layers, err) ||
        trainer_tell(t, SPLIT_TRAIN, "lm_loss", l->lm, err))
        return -1;
    return has_own_loss(t) ? trainer_tell(t, SPLIT_TRAIN, "router_loss", l->own, err) : 0;
}

static int evaluate_language(struct trainer *t, const struct samples *samples, enum corpus_split split,
                             struct error *err)
{
    struct evaluation e = {&t->model, t->corpus, t->sink, &t->packed, &t->tally, t->step};

    return evaluate(&e, samples, split, err);
}

static struct routing *routing_of(struct trainer *t, int i)
{
    return &t->model.layers[t->model.routed[i].layer].routing;
}

static int check_states(const struct trainer *t, const struct checkpoint *c, struct error *err)
{
    return checkpoint_check_states(c, &t->model, err);
}

static void summarise(const struct trainer *t, struct summary *s)
{
    summarise_model(&t->model.config, parameters_count(&t->model.parameters), s);
    s->tokens_per_step = (double)config_int(t->config, "train.tokens_per_step");
}

static const char *const kinds[] = {"transformer", NULL};
const struct task task_language = {.name = "language_model",
                                   .kinds = kinds,
                                   .open = open_language,
                                   .close = close_language,
                                   .learn = learn,
                                   .updated = update_routers,
                                   .flops = step_flops,
                                   .summarise = summarise,
                                   .tell = tell_losses,
                                   .evaluate = evaluate_language,
                                   .routing = routing_of,
                                   .check = check_states};
