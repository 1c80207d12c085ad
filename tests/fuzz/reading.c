/* Every way of reading a logbook, and the programs that do more with one. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sql/read.h"
#include "tests/fuzz/hostile.h"

static int64_t sum; /* of all that was read, so that reading is not left out */

static void read_blocks(struct logbook *lb, const struct block_filter *filter)
{
    struct blocks *bs;
    struct block b;
    struct error err;
    if (blocks_open(&bs, lb, filter, &err) != 0) {
        return;
    }
    for (int i = 0; i < 200 && blocks_next(bs, &b, &err) == 1; i++) {
        sum += b.n_tokens + b.ids[b.n_tokens] + (b.layer >= 0 && b.layer < LOGBOOK_MAX_LAYERS);
        for (int t = 0; t < b.n_tokens; t++) {
            sum += b.ids[t] + !isnan(b.loss[t]);
            for (int d = b.offsets[t]; d < b.offsets[t + 1]; d++) {
                fuzz_require(b.expert[d] >= 0 && b.expert[d] < b.n_experts, "an expert of the layer");
                sum += b.dropped[d] + !isnan(b.gate[d]);
            }
        }
    }
    blocks_close(bs);
}

static void read_probabilities(struct logbook *lb, const struct block_filter *filter)
{
    struct probabilities *ps;
    struct probability_block b;
    struct error err;
    if (probabilities_open(&ps, lb, filter, &err) != 0) {
        return;
    }
    for (int i = 0; i < 200 && probabilities_next(ps, &b, &err) == 1; i++) {
        sum += b.ids[b.n_tokens];
        for (int j = 0; j < b.n_tokens * b.n_experts; j++) {
            fuzz_require(b.probability[j] >= 0 && b.probability[j] <= 1, "a probability");
        }
    }
    probabilities_close(ps);
}

static void check(struct logbook *lb)
{
    struct check_finding findings[CHECK_MAX_FINDINGS];
    struct error err;
    int n = CHECK_MAX_FINDINGS;
    if (logbook_check(lb, findings, &n, &err) == 0) {
        for (int i = 0; i < n; i++) {
            fuzz_require((findings[i].violations > 0) == (findings[i].detail[0] != '\0'),
                         "a violation in words");
        }
    }
}

static void ask_named(struct logbook *lb, int which, int64_t run)
{
    static const char *const folders[] = {"queries/", "analysis/", "check/", "train/"};
    struct query *q = NULL;
    struct error err;
    const char *name = NULL;
    for (int f = 0, i; name == NULL; f = (f + 1) % 4) {
        for (i = 0; which >= 0 && (name = sql_name(folders[f], i)) != NULL; i++) {
            if (which-- == 0) {
                break;
            }
        }
    }
    if (query_open(&q, lb, name, &err) == 0) {
        query_bind_int(q, ":run", run);
        query_bind_int(q, ":run_a", run);
        query_bind_int(q, ":run_b", 3 - run);
        query_bind_text(q, ":runs", "[1,2]");
        query_bind_text(q, ":split", "probe");
        FILE *nothing = fopen("/dev/null", "w");
        (void)query_print(q, nothing, (enum table_format)(run % 3), NULL, &err);
        fclose(nothing);
    }
    query_close(q);
}

/* ---- programs, compiled with another name for main ---- */

int main_of_check(int argc, char **argv);
int main_of_collapse(int argc, char **argv);
int main_of_compare(int argc, char **argv);
int main_of_demand(int argc, char **argv);
int main_of_drift(int argc, char **argv);
int main_of_export(int argc, char **argv);
int main_of_merge(int argc, char **argv);
int main_of_migrate(int argc, char **argv);
int main_of_prune(int argc, char **argv);
int main_of_runs(int argc, char **argv);
int main_of_snapshot(int argc, char **argv);
int main_of_specialization(int argc, char **argv);
int main_of_sql(int argc, char **argv);
int main_of_watch(int argc, char **argv);

/* IN is the logbook, OUT a file that is not there, GOOD a copy of the valid logbook. */
static const struct {
    int (*main)(int argc, char **argv);
    const char *arguments[10];
} commands[] = {
    {main_of_collapse, {"IN", "--run", "first"}},
    {main_of_collapse, {"IN", "--run", "second", "--format", "json", "--table", "load"}},
    {main_of_collapse, {"IN", "--run", "first", "--split", "probe", "--window", "1", "--table", "dead"}},
    {main_of_collapse, {"IN", "--run", "second", "--table", "steps"}},
    {main_of_watch, {"IN", "--once"}},
    {main_of_watch, {"IN", "--once", "--run", "second"}},
    {main_of_demand, {"IN", "--run", "first"}},
    {main_of_demand, {"IN", "--run", "second", "--format", "csv"}},
    {main_of_specialization, {"IN", "--run", "first", "--permutations", "2"}},
    {main_of_specialization, {"IN", "--run", "second", "--permutations", "2", "--format", "json"}},
    {main_of_compare, {"IN", "first", "second"}},
    {main_of_compare, {"IN", "first", "second", "--split", "probe", "--format", "json"}},
    {main_of_compare, {"IN", "first", "second", "--group-by", "seed", "--table", "groups"}},
    {main_of_compare, {"IN", "first", "second", "--by", "target-frequency", "--table", "frequency"}},
    {main_of_compare, {"IN", "first", "second", "--by", "input-frequency", "--group-by", "seed"}},
    {main_of_drift, {"IN", "first", "second", "--change", "2"}},
    {main_of_check, {"IN", "--format", "json"}},
    {main_of_runs, {"IN"}},
    {main_of_runs, {"IN", "--delete", "first", "--rename", "second=first"}},
    {main_of_snapshot, {"IN", "OUT"}},
    {main_of_merge, {"OUT", "IN"}},
    {main_of_merge, {"GOOD", "IN"}},
    {main_of_merge, {"IN", "GOOD"}},
    {main_of_prune, {"IN", "--run", "first", "--keep-every", "2"}},
    {main_of_prune, {"IN", "--run", "second", "--split", "probe", "--probabilities", "--losses"}},
    {main_of_export, {"IN", "routing", "--run", "first", "--format", "npy"}},
    {main_of_export, {"IN", "expert_load", "--format", "csv", "--split", "probe"}},
    {main_of_export, {"IN", "run", "--format", "jsonl"}},
    {main_of_sql, {"IN", "experts_by_domain", "--run", "first", "--format", "json"}},
    {main_of_sql, {"IN", "SELECT * FROM run, sequence, token_loss USING (sequence_id) LIMIT 500"}},
    {main_of_migrate, {"IN", "--no-backup"}},
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static const char *argument(const char *word, const char *path)
{
    if (strcmp(word, "IN") == 0) {
        return path;
    }
    if (strcmp(word, "GOOD") == 0) {
        static uint8_t *good;
        static size_t n;
        good = good != NULL ? good : hostile_logbook(&n);
        fuzz_write("good.db", good, n);
        return fuzz_file("good.db");
    }
    return strcmp(word, "OUT") == 0 ? fuzz_file("out.db") : word;
}

static void remove_files(const char *name)
{
    static const char *const endings[] = {"", "-wal", "-shm", "-journal"};
    char path[64];
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        snprintf(path, sizeof path, "%s%s", name, endings[i]);
        unlink(fuzz_file(path));
    }
}

static void run_program(const char *path, int which)
{
    char *argv[12] = {(char *)"moescope"};
    int argc = 1;
    for (const char *const *a = commands[which].arguments; *a != NULL; a++) {
        argv[argc++] = (char *)argument(*a, path);
    }
    fuzz_quiet();
    int status = commands[which].main(argc, argv);
    fuzz_loud();
    fuzz_require(status >= 0 && status <= STATUS_MACHINE, "an exit status that is documented");
    remove_files("good.db");
    remove_files("out.db");
}

void hostile_read(const char *path, uint8_t way, uint8_t which)
{
    struct logbook *lb;
    struct error err;
    const struct block_filter filter = {.run_id = 1 + (which & 1),
                                        .split = which & 2 ? "probe" : NULL,
                                        .last_step = which & 4 ? 1 : INT64_MAX,
                                        .layer = which & 8 ? 2 : -1};
    way %= HOSTILE_WAYS;
    if (way >= 10) {
        run_program(path, which % N_COMMANDS);
        return;
    }
    if (logbook_open(&lb, path, &err) != 0) {
        return;
    }
    if (way <= 2) {
        read_blocks(lb, &filter);
    } else if (way == 3) {
        read_probabilities(lb, &filter);
    } else if (way <= 5) {
        check(lb);
    } else {
        ask_named(lb, which, 1 + (way & 1));
    }
    moescope_close(lb);
}
