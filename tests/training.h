/* A training run in memory: the small corpus, a small model, a sink that remembers; only the checkpoint is a
 * file. Whatever cannot be done fails the test it was called from. */
#ifndef TESTS_TRAINING_H
#define TESTS_TRAINING_H
#include "engine/trainer.h"
#include "tests/memory.h"

struct training {
    struct corpus corpus;
    struct config config;
    struct pool *pool;
    struct memory_sink sink;
    struct trainer trainer;
    char *folder, path[4096];
    volatile sig_atomic_t stop;
    int64_t stop_after; /* updates */
};

typedef const char *const *settings; /* "section.key=value", ended by NULL */

/* Everything but the trainer; corpus: the small one. */
void training_prepare(struct training *r, settings s, int threads);
int training_start(struct training *r, int64_t seed, struct error *err);
void training_open(struct training *r, settings s, int threads, int64_t seed); /* both */
enum train_outcome training_run(struct training *r);
void training_close(struct training *r);

/* The same on the small set of images (tests/pictures.h). */
void training_open_pictures(struct training *r, settings s, int threads, int64_t seed);
void training_close_pictures(struct training *r);

#endif
