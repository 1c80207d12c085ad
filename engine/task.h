/* What the training loop (engine/trainer.h) trains: a kind of model with the data it learns from and what it
 * has to tell. One row a kind; the loop knows nothing else of it. */
#ifndef ENGINE_TASK_H
#define ENGINE_TASK_H
#include "base/error.h"
#include "engine/checkpoint.h"
#include "engine/corpus.h"
#include "engine/data.h"
#include "engine/summary.h"

struct trainer;
struct task {
    const char *name;         /* run.task */
    const char *const *kinds; /* values of model.kind, ended by NULL */
    /* What it is trained on, where nothing is read. NULL: data.corpus. */
    int (*make_corpus)(struct corpus *c, const struct config *config, struct error *err);
    /* Model, weights, samples and tally, from t's configuration, corpus, pool and seed; sets t->parameters.
     */
    int (*open)(struct trainer *t, struct error *err);
    void (*close)(struct trainer *t); /* safe on zeroed */
    /* Forward and backward passes of one update: told to the sink, added to t->tally, gradients left in
     * t->parameters. */
    int (*learn)(struct trainer *t, struct losses *sum, struct error *err);
    /* After the optimiser's update. NULL: nothing to do. */
    void (*updated)(struct trainer *t);
    double (*flops)(const struct trainer *t); /* of the update in t->tally */
    void (*summarise)(const struct trainer *t, struct summary *s);
    /* The update's metrics of its own, besides those of every loop. */
    int (*tell)(struct trainer *t, const struct losses *l, struct error *err);
    /* Forward passes without learning, told to the sink with their summary and metrics; sums in t->tally. */
    int (*evaluate)(struct trainer *t, const struct samples *samples, enum corpus_split split,
                    struct error *err);
    /* The i-th routed block's decisions, which an intervention may change. NULL: no router makes them. */
    struct routing *(*routing)(struct trainer *t, int i);
    /* Refuses weights that came out of a checkpoint and cannot be. NULL: none. */
    int (*check)(const struct trainer *t, const struct checkpoint *c, struct error *err);
};

extern const struct task task_language, task_images, task_norm, task_gate, task_mixed;
/* NULL: no task has that kind (baselines that count). */
const struct task *task_find(const char *kind);
/* What a configuration trains on: the task's own, or the prepared corpus data.corpus. */
int task_corpus(struct corpus *c, const struct config *config, struct error *err);

#endif
