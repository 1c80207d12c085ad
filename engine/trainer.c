#include "engine/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "engine/blas.h"
#include "engine/evaluate.h"

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

static int init_data(struct trainer *t, const struct corpus *corpus, struct error *err)
{
    const struct config *c = t->config;
    int context = t->model.config.context, seen = (int)config_int(c, "valid.seen_documents"), most = 1;

    if (samples_init(&t->train, corpus, SPLIT_TRAIN, context, 0, err) ||
        samples_init(&t->valid, corpus, SPLIT_VALID, context, config_int(c, "valid.tokens_per_document"),
                     err) ||
        samples_init(&t->probe, corpus, SPLIT_PROBE, context, config_int(c, "probe.tokens_per_document"),
                     err))
        return -1;
    if (seen > 0 &&
        samples_init_seen(&t->seen, corpus, context, config_int(c, "valid.tokens_per_document"), seen, err))
        return -1;
    for (int l = 0; l < t->model.config.n_layers; l++)
        most = t->model.layers[l].experts.n_experts > most ? t->model.layers[l].experts.n_experts : most;
    t->requested = malloc((size_t)most * sizeof *t->requested);
    if (!t->requested)
        return error_no_memory(err, "expert loads");
    if (stream_init(&t->stream, &t->train, (uint64_t)t->seed, err) ||
        packed_init(&t->packed, tokens_per_pass(c), err))
        return -1;
    return tally_init(&t->tally, t->model.routed, t->model.n_routed, corpus->n_domains, corpus->n_documents,
                      err);
}

int trainer_init(struct trainer *t, const struct config *config, const struct corpus *corpus, int64_t seed,
                 struct pool *pool, struct error *err)
{
    struct model_config model;
    int64_t *token_count = NULL;

    *t = (struct trainer){.config = config,
                          .corpus = corpus,
                          .seed = seed,
                          .steps = config_int(config, "train.steps"),
                          .loss = NAN,
                          .valid_loss = NAN};
    if (check_sizes(config, err) || config_model(config, corpus->n_vocabulary, &model, err))
        return -1;
    token_count = corpus_train_counts(corpus, err);
    if (!token_count)
        return -1;
    model.token_count = token_count;
    if (model_init(&t->model, &model, tokens_per_pass(config), pool, err)) {
        free(token_count);
        return -1;
    }
    int seeded = model_seed(&t->model, (uint64_t)seed, err);
    t->model.config.token_count = NULL; /* needed no more */
    free(token_count);
    if (seeded) {
        trainer_release(t);
        return -1;
    }
    t->optimiser = (struct optimiser){.beta1 = config_real(config, "train.beta1"),
                                      .beta2 = config_real(config, "train.beta2"),
                                      .decay = config_real(config, "train.decay"),
                                      .clip = config_real(config, "train.clip")};
    if (optimiser_init(&t->optimiser, &t->model.parameters, err) || init_data(t, corpus, err)) {
        trainer_release(t);
        return -1;
    }
    return 0;
}

void trainer_release(struct trainer *t)
{
    tally_release(&t->tally);
    packed_release(&t->packed);
    stream_release(&t->stream);
    samples_release(&t->train);
    samples_release(&t->valid);
    samples_release(&t->probe);
    samples_release(&t->seen);
    free(t->requested);
    optimiser_release(&t->optimiser);
    model_release(&t->model);
    *t = (struct trainer){0};
}

/* ---- checkpoints ---- */

static double seconds_so_far(const struct trainer *t)
{
    return t->seconds + clock_seconds() - t->clock;
}

/* Where training stands before it reads on. */
static struct checkpoint_state state_here(const struct trainer *t)
{
    struct checkpoint_state state = {.step = t->step,
                                     .epoch = t->stream.epoch,
                                     .next = t->stream.next,
                                     .seed = t->seed,
                                     .tokens = t->tokens,
                                     .flops = t->flops,
                                     .vocabulary = t->corpus->n_vocabulary};

    snprintf(state.corpus_sha256, sizeof state.corpus_sha256, "%s", t->corpus->sha256);
    snprintf(state.vocabulary_sha256, sizeof state.vocabulary_sha256, "%s", t->corpus->vocabulary_sha256);
    snprintf(state.core_type, sizeof state.core_type, "%s", blas_core_type());
    return state;
}

/* The weights must still be those of state->step. The logbook holds every earlier step before the file says
 * that they were taken. */
static int save(struct trainer *t, const struct checkpoint_state *state, struct error *err)
{
    char sha256[SHA256_HEX];

    if (t->sink->drain(t->sink->context, err) ||
        checkpoint_save(t->checkpoint_path, &t->model, t->optimiser.first, t->optimiser.second, t->config,
                        state, sha256, err))
        return -1;
    return t->sink->checkpoint(t->sink->context, t->step, t->checkpoint_path, sha256, err);
}

static int refuse(const struct checkpoint *c, const char *what, const char *then, const char *now,
                  struct error *err)
{
    return error_set(err, STATUS_INPUT, "cannot resume from '%s': %s was %s, now it is %s", c->path, what,
                     then, now);
}

int trainer_restore(struct trainer *t, const struct checkpoint *c, struct error *err)
{
    const struct checkpoint_state *s = &c->state;

    if (s->seed != t->seed)
        return error_set(err, STATUS_INPUT,
                         "cannot resume from '%s': it is of a run with seed %lld, not %lld", c->path,
                         (long long)s->seed, (long long)t->seed);
    if (strcmp(s->corpus_sha256, t->corpus->sha256) != 0)
        return refuse(c, "the corpus's hash", s->corpus_sha256, t->corpus->sha256, err);
    if (strcmp(s->vocabulary_sha256, t->corpus->vocabulary_sha256) != 0)
        return refuse(c, "the vocabulary's hash", s->vocabulary_sha256, t->corpus->vocabulary_sha256, err);
    if (strcmp(s->core_type, blas_core_type()) != 0)
        return refuse(c, "BLAS's core type", s->core_type, blas_core_type(), err);
    if (s->next > t->train.n)
        return error_set(err, STATUS_INPUT, "cannot resume from '%s': its position is beyond the corpus",
                         c->path);
    if (checkpoint_load(c, &t->model, t->optimiser.first, t->optimiser.second, err))
        return -1;
    t->step = s->step;
    t->tokens = s->tokens;
    t->flops = s->flops;
    stream_seek(&t->stream, s->epoch, (int)s->next);
    return 0;
}

/* ---- evaluation ---- */

static int tell_metric(struct trainer *t, enum corpus_split split, const char *name, double value,
                       struct error *err)
{
    return t->sink->metric(t->sink->context, t->step, split, name, value, err);
}

static int evaluate_split(struct trainer *t, const struct samples *samples, enum corpus_split split,
                          struct error *err)
{
    struct evaluation e = {&t->model, t->corpus, t->sink, &t->packed, &t->tally, t->step};

    return evaluate(&e, samples, split, err);
}

static bool is_due(const struct trainer *t, int64_t every)
{
    return t->step == t->steps || (every > 0 && t->step % every == 0);
}

static bool is_doubling(int64_t step)
{
    return (step & (step - 1)) == 0; /* 0, 1, 2, 4, 8, ... */
}

static int evaluate_if_due(struct trainer *t, struct error *err)
{
    if (is_due(t, config_int(t->config, "valid.every"))) {
        if (evaluate_split(t, &t->valid, SPLIT_VALID, err))
            return -1;
        t->valid_loss = tally_mean_loss(&t->tally);
    }
    if (t->seen.n > 0 && t->step == t->steps && evaluate_split(t, &t->seen, SPLIT_SEEN, err))
        return -1;
    if (is_due(t, config_int(t->config, "probe.every")) || is_doubling(t->step))
        return evaluate_split(t, &t->probe, SPLIT_PROBE, err);
    return 0;
}

/* ---- one update ---- */

static double learning_rate(const struct trainer *t)
{
    struct schedule s = {.highest = config_real(t->config, "train.learning_rate"),
                         .final_share = config_real(t->config, "train.final_rate"),
                         .warmup = config_int(t->config, "train.warmup"),
                         .updates = t->steps};

    return schedule_rate(&s, t->step);
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

static void add_losses(struct losses *sum, const struct losses *l, double share)
{
    sum->lm += l->lm * share;
    sum->balance += l->balance * share;
    sum->z += l->z * share;
    sum->entropy += l->entropy * share;
    sum->own += l->own * share;
}

static int accumulate(struct trainer *t, struct losses *sum, struct error *err)
{
    int passes = (int)config_int(t->config, "train.accumulation");
    struct loss_weights weights = {.balance = (float)config_real(t->config, "loss.balance"),
                                   .z = (float)config_real(t->config, "loss.z"),
                                   .entropy = (float)config_real(t->config, "loss.entropy")};
    struct random noise;

    random_seed(&noise, (uint64_t)t->seed, noise_stream + (uint64_t)t->step);
    tally_clear(&t->tally, strcmp(config_text(t->config, "log.domain_loads"), "all") == 0, false);
    for (int i = 0; i < passes; i++) {
        double start = clock_seconds();
        packed_from_stream(&t->packed, t->corpus, &t->stream);
        t->model.seconds[PART_DATA] += clock_seconds() - start;
        struct losses l =
            model_forward(&t->model, &t->packed.batch, true, 1.0F / (float)passes, &weights, &noise);
        add_losses(sum, &l, 1.0 / passes);
        start = clock_seconds();
        struct pass pass = packed_pass(&t->packed, &t->model);
        tally_add(&t->tally, t->corpus, &pass);
        if (t->sink->pass(t->sink->context, t->step, SPLIT_TRAIN, &pass, err))
            return -1;
        t->model.seconds[PART_LOGGING] += clock_seconds() - start;
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

static int tell_step(struct trainer *t, const struct losses *l, double norm, double rate, struct error *err)
{
    bool routed = t->tally.n_layers > 0, own = has_own_loss(t);
    double sums = t->tally.n_layers;
    double total = l->lm +
                   sums * (config_real(t->config, "loss.balance") * l->balance +
                           config_real(t->config, "loss.z") * l->z +
                           config_real(t->config, "loss.entropy") * l->entropy) +
                   l->own;
    const struct {
        const char *name;
        double value;
        bool told;
    } metrics[] = {
        {"loss", total, true},
        {"lm_loss", l->lm, true},
        {"balance_loss", l->balance, routed},
        {"z_loss", l->z, routed},
        {"entropy_loss", l->entropy, routed},
        {"router_loss", l->own, own},
        {"grad_norm", norm, true},
        {"learning_rate", rate, true},
        {"tokens", (double)t->tokens, true},
        {"flops", t->flops, true},
        {"seconds", seconds_so_far(t), true},
        {"tokens_per_second", t->tokens_per_second, true},
    };

    if (t->sink->summary(t->sink->context, t->step, SPLIT_TRAIN, &t->tally, err))
        return -1;
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        if (metrics[i].told && tell_metric(t, SPLIT_TRAIN, metrics[i].name, metrics[i].value, err))
            return -1;
    }
    t->loss = l->lm;
    return 0;
}

/* Returns 1 when the loss or the gradient is not finite: logged, but not applied. A checkpoint that is due at
 * this step is taken between the gradient and the update: weights that give no finite loss never replace a
 * good one. */
static int train_step(struct trainer *t, bool checkpoint_due, struct error *err)
{
    const struct checkpoint_state state = state_here(t);
    struct losses l = {0};
    double start = clock_seconds(), rate = learning_rate(t), norm, before, saving;
    bool finite;

    if (accumulate(t, &l, err))
        return -1;
    before = clock_seconds();
    norm = optimiser_norm(t->model.pool, &t->model.parameters);
    finite = isfinite(l.lm) && isfinite(l.balance) && isfinite(l.z) && isfinite(l.entropy) &&
             isfinite(l.own) && isfinite(norm);
    t->model.seconds[PART_OPTIMISER] += clock_seconds() - before;
    before = clock_seconds();
    if (finite && checkpoint_due && save(t, &state, err))
        return -1;
    saving = clock_seconds() - before;
    before = clock_seconds();
    if (finite) {
        optimiser_update(&t->optimiser, t->model.pool, &t->model.parameters, rate, t->step, norm);
        update_routers(t);
    }
    t->model.seconds[PART_OPTIMISER] += clock_seconds() - before;
    before = clock_seconds();
    t->tokens += t->tally.n_tokens;
    t->flops += step_flops(t);
    t->tokens_per_second = (double)t->tally.n_tokens / (before - start - saving);
    if (tell_step(t, &l, norm, rate, err) || t->sink->commit(t->sink->context, err))
        return -1;
    t->model.seconds[PART_LOGGING] += clock_seconds() - before;
    return finite ? 0 : 1;
}

static int diverged(struct trainer *t, enum train_outcome *outcome, struct error *err)
{
    char message[160];

    *outcome = TRAIN_DIVERGED;
    snprintf(message, sizeof message,
             "the loss or its gradient is not finite at step %lld; try a lower train.learning_rate or loss "
             "weights",
             (long long)t->step);
    if (t->sink->event(t->sink->context, t->step, "diverged", message, err) ||
        t->sink->commit(t->sink->context, err))
        return -1;
    return 0;
}

/* The weights of the end are kept if they are good: their validation is the proof. */
static int finish(struct trainer *t, enum train_outcome *outcome, struct error *err)
{
    const struct checkpoint_state here = state_here(t);

    if (!isfinite(t->valid_loss))
        return diverged(t, outcome, err);
    if (t->step > 0 && save(t, &here, err))
        return -1;
    *outcome = TRAIN_FINISHED;
    return t->sink->commit(t->sink->context, err);
}

/* Between two steps; nothing of the next one is logged yet. The weights have given no loss yet, but the
 * update that made them was finite. */
static int interrupt(struct trainer *t, enum train_outcome *outcome, struct error *err)
{
    const struct checkpoint_state here = state_here(t);

    if (save(t, &here, err))
        return -1;
    *outcome = TRAIN_INTERRUPTED;
    return t->sink->commit(t->sink->context, err);
}

int trainer_run(struct trainer *t, enum train_outcome *outcome, struct error *err)
{
    int64_t every = config_int(t->config, "train.checkpoint_every");

    t->clock = clock_seconds();
    for (;; t->step++) {
        bool due = t->step > 0 && every > 0 && t->step % every == 0;
        if (t->stop && *t->stop && t->step < t->steps)
            return interrupt(t, outcome, err);
        if (evaluate_if_due(t, err))
            return -1;
        if (t->step >= t->steps)
            return finish(t, outcome, err);
        int result = train_step(t, due, err);
        if (result < 0)
            return -1;
        if (result > 0)
            return diverged(t, outcome, err);
        if (t->report)
            t->report(t->report_context, t);
    }
}
