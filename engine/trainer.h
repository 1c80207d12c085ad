/* The training loop: steps, evaluations, probes, checkpoints, in an order that makes a resumed run the same
 * run.
 *
 *   for step = 0, 1, ...:  stop if asked to; validate and probe if due; stop after train.steps; one update
 *
 * A checkpoint of step s holds the weights that step s starts from. It is taken within step s, when its loss
 * and gradient have proved finite and before they are applied, so that a run that diverges keeps the last
 * weights that were good. Resuming deletes the logbook's steps from s on and goes on as if nothing had
 * happened. */
#ifndef ENGINE_TRAINER_H
#define ENGINE_TRAINER_H
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/checkpoint.h"
#include "engine/classifier.h"
#include "engine/config.h"
#include "engine/corpus.h"
#include "engine/data.h"
#include "engine/draws.h"
#include "engine/mixed.h"
#include "engine/model.h"
#include "engine/norm.h"
#include "engine/optimiser.h"
#include "engine/single_gate.h"
#include "engine/sink.h"
#include "engine/tally.h"
#include "engine/task.h"

enum train_outcome { TRAIN_FINISHED, TRAIN_INTERRUPTED, TRAIN_DIVERGED };

struct trainer {
    const struct task *task;
    const struct config *config;
    const struct corpus *corpus;
    struct pool *pool;
    const struct sink *sink;
    const char *checkpoint_path;
    const volatile sig_atomic_t *stop; /* set: finish the step, save, return */
    /* Told after each update; may be NULL. */
    void (*report)(void *context, const struct trainer *t);
    void *report_context;

    struct parameters *parameters; /* the task's model's */
    struct optimiser optimiser;
    struct samples train, valid, probe, seen; /* seen: only when asked for */
    struct stream stream;
    struct tally tally;
    struct norm_model norm;  /* of norms */
    struct single_gate gate; /* of one gate */
    struct mixed mixed;      /* of several sources */
    struct draws draws;      /* likewise */
    /* of images */
    struct classifier classifier;
    int64_t n_right; /* answers, of the last update */
    /* of a language model */
    struct model model;
    struct packed packed;
    int64_t *requested; /* (most experts of a block) */
    int64_t steps, step, tokens, seed;
    double flops; /* of all steps so far, by the decisions that were made */
    double seconds,
        clock; /* spent before this process (the caller sets it); when this process's part began */
    double seconds_in[N_PARTS]; /* where this process's time went, besides the model's own account of it */
    double loss, tokens_per_second; /* of the last update */
    double valid_loss;              /* of the last validation; NaN before */
};

/* seed decides initial weights, data order and noise. */
int trainer_init(struct trainer *t, const struct config *config, const struct corpus *corpus, int64_t seed,
                 struct pool *pool, struct error *err);
void trainer_release(struct trainer *t);
/* Puts weights, moments and position back; refuses another corpus, vocabulary or BLAS core type. */
int trainer_restore(struct trainer *t, const struct checkpoint *c, struct error *err);
/* From t->step to the end, or until stopped. A loss that is not finite is logged as such and ends the run
 * with TRAIN_DIVERGED; the last checkpoint stays. -1: the sink, the disk or memory failed. */
int trainer_run(struct trainer *t, enum train_outcome *outcome, struct error *err);

/* For tasks: samples of every split, the seen ones if asked for; tokens of a held-out document, 0: all. */
int trainer_open_samples(struct trainer *t, int context, int64_t valid_tokens, int64_t probe_tokens,
                         struct error *err);
/* For tasks: a metric of this step. */
int trainer_tell(struct trainer *t, enum corpus_split split, const char *name, double value,
                 struct error *err);
/* What the update minimised, and what its n_blocks routed blocks add to it. */
int trainer_tell_losses(struct trainer *t, const struct losses *l, int n_blocks, struct error *err);

#endif
