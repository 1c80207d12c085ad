/* A sound run by hand in a trial logbook, for the tests of the check and of what copies logbooks: every
 * figure in it follows from the others. Two MoE layers of 3 experts, 0 with top-1 and probabilities, 2 with a
 * varying number of experts; two sequences of 4 tokens a step, one of each document, all in split `train`. */
#ifndef TESTS_SOUND_H
#define TESTS_SOUND_H
#include "tests/trial.h"

enum { SOUND_STEPS = 6, SOUND_EXPERTS = 3, SOUND_TOKENS = 4, SOUND_INFINITE = 3 /* its last losses are */ };

/* Begins the run t->uuid, or a random one, and logs the steps 0 .. steps - 1; its writer stays open. Ranks
 * have other samples of the same documents, and losses that are higher by `rank` nats. */
void sound_run(struct trial *t, const char *name, int steps, int rank);
/* More steps of it, up to `last`; the first of them is the one after those of sound_run. */
void sound_steps(struct trial *t, int first, int last, int rank);
/* All at once: a logbook with one such run, ended as `status` says (NULL: still running), and closed. */
void sound_logbook(struct trial *t, const char *name, const char *uuid, int rank, const char *status);

/* " loads loads_tokens": what the check finds violated in a logbook, in order; caller frees. */
char *sound_violations(const char *path);
/* Fails the test, naming `what`, unless that is as expected. */
void sound_expect(const char *path, const char *expected, const char *what);

#endif
