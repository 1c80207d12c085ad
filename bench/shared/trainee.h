/* A model that trains on one batch of random tokens, in blocks beside sgemm: what counts is the ratio of the
 * two within a block, for the machine's mood falls on both. */
#ifndef BENCH_SHARED_TRAINEE_H
#define BENCH_SHARED_TRAINEE_H
#include "base/error.h"
#include "base/file.h"
#include "bench/shared/median.h"
#include "engine/config.h"
#include "engine/model.h"
#include "engine/optimiser.h"

enum { MOST_BLOCKS = 1000 };

struct trainee {
    struct config config;
    struct model model;
    struct batch batch;
    struct optimiser optimiser;
    double gflop; /* of a step */
    int steps;    /* in a block */
    int64_t updates;
    double loss; /* nats, of the last forward pass */
    /* of each block */
    double step[MOST_BLOCKS];          /* seconds a step */
    double part[N_PARTS][MOST_BLOCKS]; /* seconds of them */
    double limit[MOST_BLOCKS];         /* GFLOP/s of sgemm, with as many threads */
    double share[MOST_BLOCKS];         /* of the limit, that the step reaches */
};

/* With settings on top of the defaults, which are reference model R. The pool stays the caller's. */
int trainee_open(struct trainee *t, const char *const *settings, int n_settings, int vocabulary,
                 struct pool *pool, struct error *err);
void trainee_release(struct trainee *t); /* safe on zeroed and released */

/* The SHA-256 of all gradients and weights after so many updates from the seed; leaves the loss before the
 * last of them. */
int trainee_fingerprint(struct trainee *t, int updates, char hex[SHA256_HEX], struct error *err);

/* To be called before the blocks: warms up, and gives a block as many steps as make a few tenths of a second.
 */
void trainee_warm_up(struct trainee *t);
/* Limit and steps, or steps and limit where `block` is odd: a drift of the machine's speed cancels. */
int trainee_run_block(struct trainee *t, int block, struct error *err);
/* Of above[i] / below[i] over n blocks; below NULL: of above[i]. */
struct median blocks_median(const double *above, const double *below, int n);

#endif
