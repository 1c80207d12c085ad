/* Steps as training logs them, whole and consistent, so that `check` is content: what each contains is a
 * function of its number and size alone. For the tests of what may befall a logbook. */
#ifndef TESTS_STEPS_H
#define TESTS_STEPS_H
#include <stdint.h>

#include "sql/logbook.h"
#include "tests/trial.h"

/* Layer 0: top-2 of 4 experts, some decisions dropped; layer 1: 0, 1 or 2 experts a token. */
enum { STEPS_LAYERS = 2, STEPS_EXPERTS = 4, STEPS_MOST_TOKENS = 512 };
extern const struct moescope_layer steps_layers[STEPS_LAYERS];

struct steps_size {
    int sequences, tokens; /* a step; tokens of each sequence */
};

/* One batch: metrics, loads, losses, decisions; every second step is of the probe as well, with
 * probabilities, every fourth has a checkpoint. Returns what the batch's commit does. */
int steps_log(struct moescope_writer *w, int64_t document_id, int64_t step, struct steps_size size,
              struct error *err);

/* A run of that name, its writer open: trial_run without failing the test. */
int steps_begin(struct trial *s, const char *name, struct error *err);
/* Goes on with it from that step. */
int steps_resume(struct trial *s, const char *name, int64_t step, struct error *err);

/* ---- a small run in which something may fail at any moment ---- */

enum { STEPS_OF_RUN = 6 };
/* Makes the logbook s->path and a whole run "r" in it. *safe: of how many steps it was told that they are
 * safe; the others may be there or not. Nothing here fails the test. */
int steps_run(struct trial *s, int64_t *safe, struct error *err);
void steps_leave(struct trial *s); /* closes what is open */
/* Once nothing fails any more: goes on from the steps that are safe, to the end, and closes. */
void steps_go_on(struct trial *s, int64_t safe);
/* How far a sweep over all that may fail goes at a time: 1 with MOESCOPE_FAULTS=all, which takes an hour;
 * with a number there, so far at most. Under the sanitizers, which take several times as long, STEPS_SPARSE
 * times as far as otherwise. */
#ifdef MOESCOPE_SANITIZED
enum { STEPS_SPARSE = 3 };
#else
enum { STEPS_SPARSE = 1 };
#endif
long steps_stride(long otherwise);
void steps_remove(const struct trial *s); /* the logbook and what lies beside it */
/* All that was safe is there, whole, and `check` is content; n: where it failed, to be told. */
void steps_expect_safe(const char *path, int64_t safe, long n);

/* ---- what is left ---- */

/* `moescope check` in this process; fails the test when it is not content. */
void steps_expect_clean(const char *path);
/* All that runs leave but their times and events; caller frees. */
char *steps_contents(struct trial *s);

#endif
