/* Bytes that are not as they were written: a logbook, its WAL, a checkpoint and a prepared corpus, cut off at
 * any length or with a bit flipped in any byte. Every reader works or fails with STATUS_INPUT and the file's
 * name; none crashes or hangs. What `check` notices is counted by what the byte was for: it cannot notice a
 * figure that nothing else follows from. MOESCOPE_FAULTS=all visits every byte of the small logbook,
 * MOESCOPE_FAULTS=N one in N. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/random.h"
#include "engine/checkpoint.h"
#include "engine/corpus.h"
#include "tests/reading.h"
#include "tests/steps.h"
#include "tests/tiny.h"

enum {
    FEW_FLIPS = 250 / STEPS_SPARSE,
    FEW_CUTS = 40 / STEPS_SPARSE,
    FEW_FLIPS_OF_FILES = 80 / STEPS_SPARSE,
    FEW_FLIPS_OF_WAL = 40 / STEPS_SPARSE,
    FLIPS_OF_PROGRAMS = 3 + 3 / STEPS_SPARSE
};
enum { LONGEST_SECONDS = 60 }; /* of one look */

static struct tiny tiny;
static struct trial trial;
static char *bytes; /* of the small logbook */
static size_t n_bytes;
static struct random random_numbers;

/* MOESCOPE_FAULTS is set. */
static bool thorough(void)
{
    return steps_stride(2000) < 2000;
}

/* The small logbook is made smaller still: in pages of 1 KiB few bytes mean nothing. */
static int open_group(void **state)
{
    struct error err;
    int64_t safe;
    (void)state;
    random_seed(&random_numbers, 3, 0);
    tiny_open(&tiny);
    trial_open(&trial);
    steps_leave(&trial);
    steps_remove(&trial);
    test_must(steps_run(&trial, &safe, &err), &err);
    steps_leave(&trial);
    tiny_expect(test_run("sqlite3 '%s' 'PRAGMA page_size = 1024; VACUUM'", trial.path), 0, "");
    test_must(file_read(trial.path, &bytes, &n_bytes, &err), &err);
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    free(bytes);
    trial_release(&trial);
    tiny_release(&tiny);
    return 0;
}

/* ---- what a byte of the logbook is for ---- */

enum region { HEADER, SCHEMA, PACKED, FIGURES, NAMES, HELPERS, TREES, NOTHING, N_REGIONS };
static const char *const region_names[N_REGIONS] = {
    [HEADER] = "the file's header",
    [SCHEMA] = "the schema",
    [PACKED] = "packed decisions, losses, tokens",
    [FIGURES] = "metrics, loads, losses of documents",
    [NAMES] = "runs, corpora, events and the like",
    [HELPERS] = "indexes and helpers",
    [TREES] = "the heads of pages",
    [NOTHING] = "bytes not in use",
};

static enum region region_of_table(const char *name)
{
    static const struct {
        const char *name;
        enum region region;
    } tables[] = {{"sqlite_schema", SCHEMA}, {"routing_block", PACKED}, {"probability_block", PACKED},
                  {"sequence", PACKED},      {"sample", PACKED},        {"metric", FIGURES},
                  {"layer_metric", FIGURES}, {"load_block", FIGURES},   {"document_loss", FIGURES},
                  {"_integer", HELPERS},     {"_byte", HELPERS},        {"sequence_pass", HELPERS}};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        if (strcmp(tables[i].name, name) == 0) {
            return tables[i].region;
        }
    }
    return strncmp(name, "sqlite_autoindex_", 17) == 0 ? HELPERS : NAMES;
}

static size_t big_endian(const char *at)
{
    return (size_t)(unsigned char)at[0] << 8 | (unsigned char)at[1];
}

enum { PAGE = 1024, MOST_PAGES = 4096 };

/* The region of every page, by SQLite's own table of them. */
static void read_pages(enum region pages[MOST_PAGES])
{
    struct test_run r =
        test_run("sqlite3 -readonly '%s' \"SELECT pageno, name FROM dbstat ORDER BY 1\"", trial.path);
    char *rest = NULL;
    assert_int_equal(r.status, 0);
    for (int i = 0; i < MOST_PAGES; i++) {
        pages[i] = NOTHING;
    }
    for (char *line = strtok_r(r.out, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        char *name = strchr(line, '|');
        long page = strtol(line, NULL, 10);
        assert_true(name != NULL && page >= 1 && page <= MOST_PAGES);
        pages[page - 1] = region_of_table(name + 1);
    }
    test_run_release(&r);
}

/* A page of a tree: its head, an array that grows up, cells that grow down, nothing in between. */
static enum region region_of(const enum region pages[MOST_PAGES], size_t at)
{
    size_t page = at / PAGE, within = at % PAGE, head = page == 0 ? 100 : 0;
    const char *start = bytes + page * PAGE;
    unsigned char kind = (unsigned char)start[head];
    if (at < 100) {
        return HEADER;
    }
    if (kind != 2 && kind != 5 && kind != 10 && kind != 13) { /* what overflows from a cell */
        return pages[page];
    }
    size_t array = head + (kind == 2 || kind == 5 ? 12 : 8);
    size_t free_from = array + 2 * big_endian(start + head + 3), cells = big_endian(start + head + 5);
    return within < free_from ? TREES : within < cells ? NOTHING : pages[page];
}

/* ---- the logbook ---- */

static void expect_input_error(int result, const struct error *err, const char *name, const char *what,
                               size_t at)
{
    if (result != 0 && (err->status != STATUS_INPUT || !strstr(err->text, name))) {
        fail_msg("%s at %zu: status %d, %s", what, at, (int)err->status, err->text);
    }
}

static bool check_notices(struct logbook *lb, const char *what, size_t at)
{
    struct check_finding findings[CHECK_MAX_FINDINGS];
    int n = CHECK_MAX_FINDINGS;
    struct error err = {0};
    int result = logbook_check(lb, findings, &n, &err);
    int64_t violations = 0;
    expect_input_error(result, &err, "log.db", what, at);
    for (int i = 0; result == 0 && i < n; i++) {
        violations += findings[i].violations;
    }
    return result != 0 || violations > 0;
}

/* Everything there is to read. Returns whether the damage was noticed. */
static bool look(const char *what, size_t at)
{
    static reading *const readers[] = {reading_blocks, reading_probabilities, reading_queries};
    struct logbook *lb;
    struct error err = {0};
    alarm(LONGEST_SECONDS);
    int result = logbook_open(&lb, trial.path, &err);
    expect_input_error(result, &err, "log.db", what, at);
    if (result != 0) {
        alarm(0);
        return true;
    }
    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++) {
        result = readers[i](lb, &err);
        expect_input_error(result, &err, "log.db", what, at);
    }
    bool noticed = check_notices(lb, what, at);
    moescope_close(lb);
    alarm(0);
    return noticed;
}

static void test_flipped_bits(void **state)
{
    enum region pages[MOST_PAGES];
    long tried[N_REGIONS] = {0}, noticed[N_REGIONS] = {0};
    long stride = steps_stride((long)n_bytes), flips = thorough() ? (long)n_bytes / stride : FEW_FLIPS;
    (void)state;
    read_pages(pages);
    for (long i = 0; i < flips; i++) {
        /* A sample: a tenth of it of the header and the schema. */
        size_t at = thorough() ? (size_t)(i * stride)
                               : (size_t)random_below(&random_numbers, i % 10 == 0 ? 2 * PAGE : n_bytes);
        enum region region = region_of(pages, at);
        char before = bytes[at];
        bytes[at] = (char)(bytes[at] ^ (1 << random_below(&random_numbers, 8)));
        test_write(trial.folder, "log.db", bytes, n_bytes);
        bytes[at] = before;
        tried[region]++;
        noticed[region] += look("flip", at);
    }
    print_message("%ld flips in a logbook of %zu bytes; noticed by check:\n", flips, n_bytes);
    for (int r = 0; r < N_REGIONS; r++) {
        print_message("  %6ld of %6ld in %s\n", noticed[r], tried[r], region_names[r]);
    }
    assert_true(noticed[PACKED] * 100 >= tried[PACKED] * 95);
    test_write(trial.folder, "log.db", bytes, n_bytes);
}

static void test_cut_off(void **state)
{
    long cuts = thorough() ? (long)(n_bytes / 97) : FEW_CUTS, noticed = 0;
    (void)state;
    for (long i = 0; i < cuts; i++) {
        size_t n = i < 3 ? (size_t)i * 50 : (size_t)random_below(&random_numbers, n_bytes);
        if (i % 3 == 2) {
            n = n / PAGE * PAGE; /* between pages nothing but the header tells */
        }
        test_write(trial.folder, "log.db", bytes, n);
        noticed += look("cut", n);
    }
    print_message("%ld of %ld cuts noticed\n", noticed, cuts);
    assert_int_equal(noticed, cuts);
    test_write(trial.folder, "log.db", bytes, n_bytes);
}

/* The WAL of a run that was killed: what is good of it is there, whole steps, and nothing else. */
static void test_damaged_wal(void **state)
{
    struct trial s;
    struct error err;
    char *wal, path[512];
    size_t n_wal;
    int64_t least = 1000000, most = 0;
    static const struct steps_size size = {.sequences = 2, .tokens = 20};
    (void)state;
    trial_open(&s);
    test_must(steps_begin(&s, "r", &err), &err);
    test_must(moescope_writer_drain(s.writer, &err), &err);
    for (int step = 0; step < 8; step++) {
        test_must(steps_log(s.writer, s.document_ids[0], step, size, &err), &err);
    }
    tiny_expect(
        test_run("cd '%s' && mkdir killed && for i in $(seq 100); do n=$(sqlite3 -readonly log.db 'SELECT "
                 "max(step) "
                 "FROM metric'); test $n = 7 && break; sleep 0.02; done; cp log.db log.db-wal killed/",
                 s.folder),
        0, "");
    snprintf(path, sizeof path, "%s/killed/log.db-wal", s.folder);
    test_must(file_read(path, &wal, &n_wal, &err), &err);
    trial_end(&s, "finished");
    trial_stop(&s);
    snprintf(path, sizeof path, "%s/killed/log.db", s.folder);
    for (int i = 0; i < (thorough() ? 400 : FEW_FLIPS_OF_WAL); i++) {
        size_t at = random_below(&random_numbers, n_wal), n = i % 2 == 0 ? n_wal : at;
        wal[at] = (char)(wal[at] ^ 1);
        test_write(s.folder, "killed/log.db-wal", wal, n);
        wal[at] = (char)(wal[at] ^ 1);
        struct logbook *lb;
        struct query *q;
        test_must(logbook_open(&lb, path, &err), &err);
        test_must(query_open_text(&q, lb, "SELECT count(*) AS n FROM metric WHERE split = 'train'", &err),
                  &err);
        assert_int_equal(query_step(q, &err), 1);
        least = query_int(q, "n") < least ? query_int(q, "n") : least;
        most = query_int(q, "n") > most ? query_int(q, "n") : most;
        query_close(q);
        moescope_close(lb);
        steps_expect_clean(path);
    }
    print_message("of 8 steps in a damaged WAL %lld to %lld are left, all whole\n", (long long)least,
                  (long long)most);
    free(wal);
    trial_release(&s);
}

/* ---- programs ---- */

static void test_programs(void **state)
{
    static const char *const verbs[] = {"runs D",
                                        "check D",
                                        "collapse D --run r",
                                        "specialization D --run r",
                                        "demand D --run r",
                                        "report D --svg-only -o answer.html",
                                        "compare D r s",
                                        "sql D expert_labels",
                                        "train --log D --name r --resume"};
    char *whole;
    size_t n;
    struct error err;
    char path[512];
    (void)state;
    tiny_expect(tiny_train(&tiny, "d.db", "r", "--set train.steps=20"), 0, "");
    tiny_expect(tiny_train(&tiny, "d.db", "s", "--set train.steps=20"), 0, "");
    snprintf(path, sizeof path, "%s/d.db", tiny.folder);
    test_must(file_read(path, &whole, &n, &err), &err);
    for (int i = 0; i < (thorough() ? 200 : FLIPS_OF_PROGRAMS); i++) {
        size_t cut = i % 3 == 2 ? 32768 * (1 + (size_t)random_below(&random_numbers, n / 32768)) - i % 2 : n;
        for (int flip = 0; i % 3 != 2 && flip < 20; flip++) {
            whole[random_below(&random_numbers, i % 3 == 0 ? n : 32768)] ^= 1;
        }
        test_write(tiny.folder, "D", whole, cut);
        for (size_t v = 0; v < sizeof verbs / sizeof verbs[0]; v++) {
            struct test_run r = test_run("cd %s && rm -rf D-* D.* && timeout 60 %s/moescope-%s", tiny.folder,
                                         tiny.bin, verbs[v]);
            if (r.status != 0 && (r.status != 3 || !strstr(r.err, "'D"))) {
                fail_msg("%d, %s: status %d, %s", i, verbs[v], r.status, r.err);
            }
            test_run_release(&r);
        }
        free(whole);
        test_must(file_read(path, &whole, &n, &err), &err);
    }
    free(whole);
}

/* ---- checkpoints and corpora ---- */

static int read_checkpoint(const char *path, struct error *err)
{
    struct checkpoint c;
    if (checkpoint_open(&c, path, err) != 0) {
        return -1;
    }
    struct model_config config;
    struct model model = {0};
    struct pool *pool = NULL;
    int result = -1;
    if (config_model(&c.config, (int)c.state.vocabulary, &config, err) == 0 &&
        pool_open(&pool, 1, err) == 0 && model_init(&model, &config, 64, pool, err) == 0) {
        result = checkpoint_load(&c, &model.parameters, NULL, NULL, err) ||
                         checkpoint_check_states(&c, &model, err)
                     ? -1
                     : 0;
    }
    model_release(&model);
    pool_close(pool);
    checkpoint_close(&c);
    return result;
}

static int read_corpus(const char *path, struct error *err)
{
    struct corpus c = {0};
    int result = corpus_load(&c, path, err);
    corpus_release(&c);
    return result;
}

/* Damages a file of the folder here and there, and reads what it is part of. all_of_it: none may go
 * unnoticed. */
static void damage_file(const char *name, const char *read_path, int read(const char *, struct error *),
                        bool all_of_it)
{
    char path[512], readable[512], *whole;
    size_t n;
    struct error err = {0};
    long noticed = 0, cut_noticed = 0, tries = thorough() ? 4000 : FEW_FLIPS_OF_FILES;
    snprintf(path, sizeof path, "%s/%s", tiny.folder, name);
    snprintf(readable, sizeof readable, "%s/%s", tiny.folder, read_path);
    test_must(file_read(path, &whole, &n, &err), &err);
    test_must(read(readable, &err), &err);
    for (long i = 0; i < tries; i++) {
        size_t at = random_below(&random_numbers, i % 2 == 0 || n < 8192 ? n : 8192);
        int bit = 1 << random_below(&random_numbers, 8);
        whole[at] = (char)(whole[at] ^ bit);
        test_write(tiny.folder, name, whole, n);
        whole[at] = (char)(whole[at] ^ bit);
        int result = read(readable, &err);
        expect_input_error(result, &err, read_path, name, at);
        noticed += result != 0;
        test_write(tiny.folder, name, whole, at);
        result = read(readable, &err);
        expect_input_error(result, &err, read_path, name, at);
        cut_noticed += result != 0;
    }
    test_write(tiny.folder, name, whole, n);
    print_message("%s: %ld of %ld flips and %ld of %ld cuts noticed by who reads it\n", name, noticed, tries,
                  cut_noticed, tries);
    assert_true(!all_of_it || cut_noticed == tries);
    assert_true(!all_of_it || noticed * 100 >= tries * 99); /* but the name of a checksum itself */
    free(whole);
}

static void test_checkpoint(void **state)
{
    (void)state;
    tiny_expect(tiny_train(&tiny, "c.db", "r", "--set train.steps=20"), 0, "");
    damage_file("c.db.checkpoints/r.safetensors", "c.db.checkpoints/r.safetensors", read_checkpoint, true);
}

/* A run goes on from the bytes that it saved, or not at all. */
static void test_resume_from_a_damaged_checkpoint(void **state)
{
    char *whole, path[512];
    size_t n;
    struct error err;
    (void)state;
    tiny_expect(tiny_train(&tiny, "e.db", "r", "--set train.steps=60 --set train.checkpoint_every=20"), 0,
                "");
    tiny_expect(test_run("cd %s && sqlite3 e.db \"UPDATE run SET status = 'running'\"", tiny.folder), 0, "");
    snprintf(path, sizeof path, "%s/e.db.checkpoints/r.safetensors", tiny.folder);
    test_must(file_read(path, &whole, &n, &err), &err);
    for (int i = 0; i < 12; i++) {
        size_t at = n - 1 - (size_t)random_below(&random_numbers, i < 6 ? n - 8 : 100000);
        whole[at] = (char)(whole[at] ^ 4);
        test_write(tiny.folder, "e.db.checkpoints/r.safetensors", whole, n);
        whole[at] = (char)(whole[at] ^ 4);
        tiny_expect(
            test_run("cd %s && %s/moescope-train --log e.db --name r --resume", tiny.folder, tiny.bin), 3,
            "e.db.checkpoints/r.safetensors'");
        tiny_expect_answer(&tiny, "e.db", "SELECT max(step) FROM metric",
                           "60\n"); /* nothing was forgotten for it */
    }
    test_write(tiny.folder, "e.db.checkpoints/r.safetensors", whole, n);
    tiny_expect(test_run("cd %s && %s/moescope-train --log e.db --name r --resume", tiny.folder, tiny.bin), 0,
                "finished");
    free(whole);
}

static void test_corpus(void **state)
{
    (void)state;
    damage_file("corpus/tokens.u16", "corpus", read_corpus, true);
    damage_file("corpus/documents.tsv", "corpus", read_corpus, true);
    damage_file("corpus/vocabulary.tsv", "corpus", read_corpus, true);
    damage_file("corpus/tokens.model", "corpus", read_corpus, true);
    damage_file("corpus/corpus.ini", "corpus", read_corpus, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flipped_bits), cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_damaged_wal),  cmocka_unit_test(test_programs),
        cmocka_unit_test(test_checkpoint),   cmocka_unit_test(test_resume_from_a_damaged_checkpoint),
        cmocka_unit_test(test_corpus),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
