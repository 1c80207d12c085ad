/* The `sql` verb: whatever SQL it is given, on a connection that could write, the file stays as it was and no
 * other appears. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "sql/read.h"
#include "tests/fuzz/hostile.h"
#include "tests/support.h"

static uint8_t *valid;
static size_t n_valid;

static void open_logbook(void)
{
    valid = hostile_logbook(&n_valid);
    hostile_limit();
    fuzz_write("query.db", valid, n_valid);
}

static int count_files(void)
{
    int n = 0;
    DIR *folder = opendir(fuzz_folder());
    fuzz_require(folder != NULL, "the folder is there");
    while (readdir(folder) != NULL) {
        n++;
    }
    closedir(folder);
    return n;
}

static void run(const uint8_t *bytes, size_t n)
{
    struct fuzz_input in = {bytes, n};
    char *sql = fuzz_text(&in, n);
    size_t n_after;
    int files = count_files();
    hostile_rest();
    hostile_ask(fuzz_file("query.db"), sql);
    uint8_t *after = fuzz_read(fuzz_file("query.db"), &n_after);
    fuzz_require(n_after == n_valid && memcmp(valid, after, n_valid) == 0, "the logbook is as it was");
    fuzz_require(count_files() == files, "no file has appeared");
    free(after);
    free(sql);
}

static void seed(struct fuzz_seeds *s)
{
    static const char *const others[] = {
        "SELECT name FROM run; DELETE FROM run",
        "ATTACH 'x.db' AS x",
        "VACUUM INTO 'x.db'",
        "PRAGMA user_version = 5",
        "SELECT * FROM pragma_optimize",
        "WITH a AS (SELECT 1) INSERT INTO run SELECT * FROM a",
        "EXPLAIN QUERY PLAN SELECT * FROM routing",
        "SELECT load_extension('x')",
        "PRAGMA table_info(run)",
        "CREATE TEMP TABLE t AS SELECT 1",
        "SELECT * FROM pragma_journal_mode('wal')",
        "REPLACE INTO run VALUES (1)",
        "UPDATE sqlite_master SET sql = ''",
        "SELECT json_group_array(value) FROM json_each('[1,2]')",
        "SELECT DISTINCT layer, count(*) OVER (PARTITION BY expert) FROM routing WHERE run_id = :run"};
    const char *name;
    for (int i = 0; (name = sql_name("queries/", i)) != NULL; i++) {
        fuzz_seeds_add(s, sql_text(name), strlen(sql_text(name)));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        fuzz_seeds_add(s, others[i], strlen(others[i]));
    }
}

static const char *const words[] = {"SELECT ",
                                    "INSERT INTO ",
                                    "UPDATE ",
                                    "DELETE FROM ",
                                    "REPLACE INTO ",
                                    "CREATE ",
                                    "TABLE ",
                                    "TEMP ",
                                    "VIEW ",
                                    "TRIGGER ",
                                    "VIRTUAL TABLE ",
                                    "USING fts5(",
                                    "PRAGMA ",
                                    "ATTACH ",
                                    "DETACH ",
                                    "VACUUM ",
                                    "INTO ",
                                    "EXPLAIN ",
                                    "ANALYZE ",
                                    "REINDEX ",
                                    "BEGIN;",
                                    "COMMIT;",
                                    "SAVEPOINT a;",
                                    "RETURNING ",
                                    "ON CONFLICT ",
                                    "WITH RECURSIVE ",
                                    "sqlite_schema",
                                    "sqlite_master",
                                    "run",
                                    "routing",
                                    "expert_load",
                                    "pragma_optimize",
                                    "pragma_",
                                    "writable_schema=1",
                                    "journal_mode=off",
                                    "user_version=",
                                    "load_extension(",
                                    "zeroblob(",
                                    "json_each(",
                                    "fts3_tokenizer(",
                                    "sqlite_dbpage",
                                    "dbstat",
                                    ";",
                                    "--",
                                    "/*",
                                    ":run",
                                    "x'00'",
                                    NULL};

const struct fuzz_target fuzz_query = {
    .name = "query", .most = 4096, .open = open_logbook, .seed = seed, .run = run, .words = words};
