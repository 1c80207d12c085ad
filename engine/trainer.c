#include "engine/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/process.h"
#include "base/progress.h"
#include "engine/blas.h"
#include "engine/evaluate.h"
#include "engine/task.h"

int trainer_init(struct trainer *t, const struct config *config, const struct corpus *corpus, int64_t seed,
                 struct pool *pool, struct error *err)
{
    *t = (struct trainer){.task = task_find(config_text(config, "model.kind")),
                          .config = config,
                          .corpus = corpus,
                          .pool = pool,
                          .seed = seed,
                          .steps = config_int(config, "train.steps"),
                          .loss = NAN,
                          .valid_loss = NAN};
    t->optimiser = (struct optimiser){.beta1 = config_real(config, "train.beta1"),
                                      .beta2 = config_real(config, "train.beta2"),
                                      .decay = config_real(config, "train.decay"),
                                      .clip = config_real(config, "train.clip")};
    if (t->task->open(t, err) || optimiser_init(&t->optimiser, t->parameters, err) ||
        stream_init(&t->stream, &t->train, (uint64_t)seed, err)) {
        trainer_release(t);
        return -1;
    }
    return 0;
}

void trainer_release(struct trainer *t)
{
    tally_release(&t->tally);
    if (t->task)
        t->task->close(t);
    stream_release(&t->stream);
    samples_release(&t->train);
    samples_release(&t->valid);
    samples_release(&t->probe);
    samples_release(&t->seen);
    optimiser_release(&t->optimiser);
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
        checkpoint_save(t->checkpoint_path, t->parameters, t->optimiser.first, t->optimiser.second, t->config,
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
    if (checkpoint_load(c, t->parameters, t->optimiser.first, t->optimiser.second, err) ||
        (t->task->check && t->task->check(t, c, err)))
        return -1;
    t->step = s->step;
    t->tokens = s->tokens;
    t->flops = s->flops;
    stream_seek(&t->stream, s->epoch, (int)s->next);
    return 0;
}

/* ---- evaluation ---- */

int trainer_open_samples(struct trainer *t, int context, int64_t valid_tokens, int64_t probe_tokens,
                         struct error *err)
{
    int seen = (int)config_int(t->config, "valid.seen_documents");

    if (samples_init(&t->train, t->corpus, SPLIT_TRAIN, context, 0, err) ||
        samples_init(&t->valid, t->corpus, SPLIT_VALID, context, valid_tokens, err) ||
        samples_init(&t->probe, t->corpus, SPLIT_PROBE, context, probe_tokens, err))
        return -1;
    return seen > 0 ? samples_init_seen(&t->seen, t->corpus, context, valid_tokens, seen, err) : 0;
}

int trainer_tell(struct trainer *t, enum corpus_split split, const char *name, double value,
                 struct error *err)
{
    return t->sink->metric(t->sink->context, t->step, split, name, value, err);
}

int trainer_tell_losses(struct trainer *t, const struct losses *l, int n_blocks, struct error *err)
{
    const struct loss_weights weights = config_loss_weights(t->config);

    if (trainer_tell(t, SPLIT_TRAIN, "loss", losses_total(l, &weights, n_blocks), err))
        return -1;
    return n_blocks > 0 && (trainer_tell(t, SPLIT_TRAIN, "balance_loss", l->balance, err) ||
                            trainer_tell(t, SPLIT_TRAIN, "z_loss", l->z, err) ||
                            trainer_tell(t, SPLIT_TRAIN, "entropy_loss", l->entropy, err))
               ? -1
               : 0;
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
        if (t->task->evaluate(t, &t->valid, SPLIT_VALID, err))
            return -1;
        t->valid_loss = tally_mean_loss(&t->tally);
    }
    if (t->seen.n > 0 && t->step == t->steps && t->task->evaluate(t, &t->seen, SPLIT_SEEN, err))
        return -1;
    if (is_due(t, config_int(t->config, "probe.every")) || is_doubling(t->step))
        return t->task->evaluate(t, &t->probe, SPLIT_PROBE, err);
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

static int tell_step(struct trainer *t, const struct losses *l, double norm, double rate, struct error *err)
{
    const struct {
        const char *name;
        double value;
    } metrics[] = {
        {"grad_norm", norm},
        {"learning_rate", rate},
        {"tokens", (double)t->tokens},
        {"flops", t->flops},
        {"seconds", seconds_so_far(t)},
        {"tokens_per_second", t->tokens_per_second},
        {"peak_memory", process_peak_memory()},
    };

    if (t->sink->summary(t->sink->context, t->step, SPLIT_TRAIN, &t->tally, err) || t->task->tell(t, l, err))
        return -1;
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        if (trainer_tell(t, SPLIT_TRAIN, metrics[i].name, metrics[i].value, err))
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

    if (t->task->learn(t, &l, err))
        return -1;
    before = clock_seconds();
    norm = optimiser_norm(t->pool, t->parameters);
    finite = isfinite(l.lm) && isfinite(l.balance) && isfinite(l.z) && isfinite(l.entropy) &&
             isfinite(l.own) && isfinite(norm);
    t->seconds_in[PART_OPTIMISER] += clock_seconds() - before;
    before = clock_seconds();
    if (finite && checkpoint_due && save(t, &state, err))
        return -1;
    saving = clock_seconds() - before;
    before = clock_seconds();
    if (finite) {
        optimiser_update(&t->optimiser, t->pool, t->parameters, rate, t->step, norm);
        if (t->task->updated)
            t->task->updated(t);
    }
    t->seconds_in[PART_OPTIMISER] += clock_seconds() - before;
    before = clock_seconds();
    t->tokens += t->tally.n_tokens;
    t->flops += t->task->flops(t);
    t->tokens_per_second = (double)t->tally.n_tokens / (before - start - saving);
    if (tell_step(t, &l, norm, rate, err) || t->sink->commit(t->sink->context, err))
        return -1;
    t->seconds_in[PART_LOGGING] += clock_seconds() - before;
    return finite ? 0 : 1;
}

static int diverged(struct trainer *t, enum train_outcome *outcome, struct error *err)
{
    char message[160];
    const struct sink_event event = {.kind = "diverged", .layer = -1, .value = NAN, .message = message};

    *outcome = TRAIN_DIVERGED;
    snprintf(message, sizeof message,
             "the loss or its gradient is not finite at step %lld; try a lower train.learning_rate or loss "
             "weights",
             (long long)t->step);
    if (t->sink->event(t->sink->context, t->step, &event, err) || t->sink->commit(t->sink->context, err))
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
