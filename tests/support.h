/* What tests of every kind share: a temporary folder, a file in it, a command run and its output kept. A
 * helper that cannot do its work fails the test it was called from. */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H
#include <stddef.h>

#include "base/error.h"

/* Fails the test with the error's text unless the result is 0. */
void test_must(int result, const struct error *err);

char *test_folder(void); /* a new empty folder; hand it to test_folder_remove */
void test_folder_remove(char *path);
void test_write(const char *folder, const char *name, const void *bytes, size_t n);
void test_write_text(const char *folder, const char *name, const char *text);

/* A command given to /bin/sh, its input empty; killed with all it started after two minutes. `status` is its
 * exit status, 128 + the signal that ended it, or TEST_TIMEOUT. Both outputs end in a NUL. */
enum { TEST_TIMEOUT = -1 };
struct test_run {
    int status;
    char *out, *err;
};
struct test_run test_run(const char *format, ...) __attribute__((format(printf, 1, 2)));
void test_run_release(struct test_run *r);

/* Runs SQL, which changes the file, in the stock sqlite3 shell; whatever it complains of fails the test. */
void test_sql(const char *path, const char *sql);
/* What the shell answers to a line of SQL; caller frees. The file may be in WAL mode, as one that was killed.
 */
char *test_ask(const char *path, const char *sql);
void test_answer(const char *path, const char *sql, const char *expected);
/* Turns a logbook into what a moescope of schema version 1 would have written. */
void test_make_version_1(const char *path);

/* Where the programs under test are: $MOESCOPE_BIN, else "bin"; always an absolute path. Caller frees. */
char *test_bin(void);
/* The same of the benches: $MOESCOPE_BENCH, else "build/release/bench"; NULL: not there. Caller frees. */
char *test_bench(void);

#endif
