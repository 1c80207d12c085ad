/* A tiny prepared corpus and a tiny model for the tests of the programs that train: two domains of made-up
 * sentences, built by the real `moescope corpus` with a real sentencepiece vocabulary. Whatever cannot be
 * done fails the test it was called from. */
#ifndef TESTS_TINY_H
#define TESTS_TINY_H
#include "tests/support.h"

/* Where the corpus (FOLDER/text, FOLDER/corpus) and the tests' logbooks are, and the programs. */
struct tiny {
    char *folder, *bin;
};
void tiny_open(struct tiny *t);
void tiny_release(struct tiny *t);

/* Settings of a model of a few thousand weights. */
extern const char *const tiny_model;

/* moescope train in the folder, with the settings above and `more`. */
struct test_run tiny_train(const struct tiny *t, const char *db, const char *name, const char *more);
/* Requires an exit status and words on stderr; releases the run. */
void tiny_expect(struct test_run r, int status, const char *said);
/* What sqlite3 answers; caller frees. */
char *tiny_ask(const struct tiny *t, const char *db, const char *sql);
void tiny_expect_answer(const struct tiny *t, const char *db, const char *sql, const char *expected);

/* Everything a logbook says but for times, the events of being interrupted, and paths; caller frees. */
char *tiny_contents(const struct tiny *t, const char *db);
void tiny_expect_contents(const struct tiny *t, const char *db, const char *expected);
/* Two logbooks say the same. */
void tiny_expect_same(const struct tiny *t, const char *one, const char *other);

#endif
