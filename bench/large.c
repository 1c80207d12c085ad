/* A logbook of hundreds of millions of decisions, and what its readers make of it: the time of what people
 * ask first, which must not depend on how much was logged, and the memory of every program that reads it. */
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/options.h"
#include "base/progress.h"
#include "base/text.h"
#include "bench/shared/figures.h"
#include "bench/shared/synthetic.h"
#include "sql/read.h"

enum { RUNS = 3, DRAWN_STEPS = 16, DOMAINS = 4, EVALUATE_EVERY = 200 };

struct arguments {
    int64_t decisions, layers, experts, k;
    bool make_only, questions_only, quiet;
    const char *folder, *bin, *format, *json;
};
static struct arguments args = {.decisions = 300000000,
                                .layers = 4,
                                .experts = 16,
                                .k = 2,
                                .folder = "build/bench",
                                .bin = "bin",
                                .format = "table"};

static const struct option_spec options[] = {
    {"decisions", 0, OPTION_INT, &args.decisions, "N", "of training, in three runs (default 300 million)"},
    {"layers", 0, OPTION_INT, &args.layers, "N", "of a logbook that is to be made (default 4)"},
    {"experts", 0, OPTION_INT, &args.experts, "N", "in each (default 16)"},
    {"k", 0, OPTION_INT, &args.k, "K", "of them for each token (default 2)"},
    {"folder", 0, OPTION_STRING, &args.folder, "FOLDER",
     "where large.db is made, or found: it is kept (default build/bench)"},
    {"bin", 0, OPTION_STRING, &args.bin, "FOLDER", "the programs to be measured (default bin)"},
    {"make-only", 0, OPTION_FLAG, &args.make_only, NULL, "make the logbook, measure nothing"},
    {"questions", 0, OPTION_FLAG, &args.questions_only, NULL,
     "measure opening and questions alone, the file out of memory at first"},
    {"quiet", 'q', OPTION_FLAG, &args.quiet, NULL, "no progress"},
    {"format", 0, OPTION_STRING, &args.format, "FORMAT", "table, csv, json"},
    {"json", 0, OPTION_STRING, &args.json, "FILE", "the same as JSON, in a file"},
    {0},
};

static const struct program program = {
    .verb = "bench-large",
    .operands = "",
    .purpose = "measure the readers of a logbook of 300 million decisions",
    .details =
        "Three runs of 4096 tokens a step, by default of reference model R's shape: 4 layers, top-2 of 16\n"
        "experts; evaluated every 200 steps on a probe and a validation of 64 documents each.",
    .examples = "bench/large --folder build/bench\nbench/large --decisions 10000000 --make-only\n"
                "bench/large --decisions 3000000000 --folder build/bench/huge --questions",
    .options = options,
};

struct bench {
    struct synthetic synthetic;
    char *path;
    struct figures figures;
    struct progress progress;
    int64_t steps; /* of each run */
};

/* ---- the logbook ---- */

static const struct synthetic_shape unrouted = {.tokens = 4096,
                                                .context = 256,
                                                .domains = DOMAINS,
                                                .vocabulary = 8192,
                                                .groups = 72,
                                                .probe_groups = 4,
                                                .document_size = 16};

static bool is_doubling(int64_t step)
{
    return (step & (step - 1)) == 0;
}

/* A batch as the trainer fills it: what is due before the step, then the step, unless it is the end. */
static int write_step(struct bench *b, struct moescope_writer *w, int64_t step, struct error *err)
{
    struct moescope_batch *batch = moescope_batch_new(w, err);
    bool last = step == b->steps, due = last || step % EVALUATE_EVERY == 0;

    if (!batch)
        return -1;
    if (due)
        synthetic_add_pass(&b->synthetic, batch, step, "valid");
    if (due || is_doubling(step))
        synthetic_add_pass(&b->synthetic, batch, step, "probe");
    if (!last)
        synthetic_add_step(&b->synthetic, batch, step);
    return moescope_batch_commit(batch, err);
}

static int write_run(struct bench *b, struct logbook *lb, int seed, struct error *err)
{
    const struct moescope_writer_options writing = {.gate_bits = 8};
    struct moescope_writer *w = NULL;
    char name[32];
    int64_t run_id;
    int result = 0;

    snprintf(name, sizeof name, "top2-seed%d", seed);
    b->synthetic.shift = seed;
    if (synthetic_begin_run(&b->synthetic, lb, name, seed, &run_id, err) ||
        moescope_writer_open(&w, lb, run_id, &writing, err))
        return -1;
    for (int64_t step = 0; step <= b->steps && result == 0; step++) {
        result = write_step(b, w, step, err);
        progress_update(&b->progress, seed * b->steps + step, name);
    }
    if (moescope_writer_close(w, result ? NULL : err))
        result = -1;
    return result ? -1 : moescope_end_run(lb, run_id, "finished", err);
}

static int make_logbook(struct bench *b, struct error *err)
{
    struct logbook *lb = NULL;
    int result = 0;

    struct synthetic_shape shape = unrouted;
    if (args.layers < 1 || args.layers > 256 || args.experts < 1 || args.experts > 1024 || args.k < 1 ||
        args.k > args.experts)
        return error_set(err, STATUS_USAGE,
                         "--layers takes 1 to 256, --experts 1 to 1024, --k as many at most");
    shape.layers = (int)args.layers;
    shape.experts = (int)args.experts;
    shape.k = (int)args.k;
    b->steps = (int64_t)ceil((double)args.decisions / RUNS / (shape.tokens * shape.layers * shape.k));
    if (synthetic_init(&b->synthetic, &shape, DRAWN_STEPS, true, err) || moescope_open(&lb, b->path, err))
        return -1;
    progress_start(&b->progress, "making the logbook", RUNS * b->steps, 0, args.quiet);
    result = synthetic_add_corpus(&b->synthetic, lb, err);
    for (int i = 0; i < RUNS && result == 0; i++)
        result = write_run(b, lb, i, err);
    moescope_close(lb);
    progress_finish(&b->progress, b->path);
    return result;
}

/* ---- programs ---- */

/* Runs a program, its output thrown away. */
static int spawn(const char *const *argv, int *status, struct rusage *usage, struct error *err)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int failed;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (args.quiet)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    failed = posix_spawn(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed || wait4(pid, status, 0, usage) != pid)
        return error_set(err, STATUS_MACHINE, "cannot run '%s'", argv[0]);
    return 0;
}

/* In a process of its own: a program that is started counts its parent's memory as its own. */
static int make_elsewhere(struct error *err)
{
    const int64_t numbers[] = {args.decisions, args.layers, args.experts, args.k};
    char words[4][32];
    const char *argv[] = {"/proc/self/exe",
                          "--make-only",
                          "--folder",
                          args.folder,
                          "--decisions",
                          words[0],
                          "--layers",
                          words[1],
                          "--experts",
                          words[2],
                          "--k",
                          words[3],
                          args.quiet ? "--quiet" : NULL,
                          NULL};
    struct rusage usage;
    int status;

    for (int i = 0; i < 4; i++)
        snprintf(words[i], sizeof words[i], "%lld", (long long)numbers[i]);
    if (spawn(argv, &status, &usage, err))
        return -1;
    return status == 0 ? 0 : error_set(err, STATUS_MACHINE, "the logbook could not be made");
}

/* ---- what is measured ---- */

static void tell(struct bench *b, const char *kind, const char *what, double milliseconds, double mebibytes,
                 int status)
{
    figures_text(&b->figures, kind);
    figures_text(&b->figures, what);
    figures_real(&b->figures, milliseconds);
    figures_real(&b->figures, mebibytes);
    figures_int(&b->figures, status);
}

static int ask(struct bench *b, struct logbook *lb, const char *name, int64_t run_id, struct error *err)
{
    struct query *q;
    double start = clock_seconds();
    int result;

    if (query_open(&q, lb, name, err))
        return -1;
    query_bind_int(q, ":run", run_id);
    while ((result = query_step(q, err)) == 1) {
    }
    query_close(q);
    if (result == 0)
        tell(b, "question", name, 1e3 * (clock_seconds() - start), NAN, 0);
    return result;
}

/* Its pages leave the memory, so that the first to ask reads from disk. */
static int evict(const char *path, struct error *err)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);

    if (file < 0)
        return error_errno(err, "open", path);
    fdatasync(file); /* what is not on disk yet would stay */
    int failed = posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
    return failed ? error_set(err, STATUS_MACHINE, "cannot take '%s' out of memory", path) : 0;
}

/* Each is asked twice: by the second time the file's pages are in memory, if they fit. */
static int ask_all(struct bench *b, struct error *err)
{
    static const char *const names[] = {"queries/runs",           "bench/recent_loads",
                                        "queries/load_entropy",   "queries/loss_curve",
                                        "queries/loss_by_domain", "queries/router_entropy"};
    struct logbook *lb;
    int64_t run_id;
    int result = 0;

    if (args.questions_only && evict(b->path, err))
        return -1;
    double start = clock_seconds();
    if (logbook_open(&lb, b->path, err))
        return -1;
    tell(b, "question", "open", 1e3 * (clock_seconds() - start), NAN, 0);
    result = logbook_find_run(lb, "top2-seed2", &run_id, err);
    for (size_t i = 0; i < 2 * sizeof names / sizeof *names && result == 0; i++)
        result = ask(b, lb, names[i / 2], run_id, err);
    moescope_close(lb);
    return result;
}

enum { MOST_WORDS = 12 };
struct measured {
    const char *verb;
    /* DB is the logbook, OUT a file to be made, LAST that of the one before. */
    const char *words[MOST_WORDS];
};

static const struct measured verbs[] = {
    {"runs", {"DB"}},
    {"sql", {"DB", "load_entropy"}},
    {"sql", {"DB", "gate_by_slot"}},
    {"sql", {"DB", "experts_by_domain"}},
    {"collapse", {"DB", "--run", "top2-seed0"}},
    {"collapse", {"DB", "--run", "top2-seed0", "--table", "steps"}},
    {"watch", {"DB", "--once"}},
    {"demand", {"DB", "--run", "top2-seed0"}},
    {"specialization", {"DB", "--run", "top2-seed0"}},
    {"compare", {"DB", "top2-seed0", "top2-seed1"}},
    {"report", {"DB", "-o", "OUT"}},
    {"check", {"DB"}},
    {"export", {"DB", "routing", "--run", "top2-seed0", "--last-step", "99", "-o", "OUT"}},
    {"export", {"DB", "expert_load", "--run", "top2-seed0", "-o", "OUT"}},
    {"snapshot", {"DB", "OUT"}},
    {"merge", {"OUT", "DB"}},
    {"prune", {"LAST", "--run", "top2-seed0"}},
    {"runs", {"LAST", "--delete", "top2-seed1"}},
};

/* ---- programs ---- */

static int measure(struct bench *b, const struct measured *m, const char *out, struct error *err)
{
    const char *argv[MOST_WORDS + 2];
    struct rusage usage = {0};
    struct text path, what;
    int status = 0, result = 0, n = 1;

    text_init(&path);
    text_init(&what);
    text_printf(&path, "%s/moescope-%s", args.bin, m->verb);
    text_add(&what, m->verb);
    argv[0] = path.data;
    for (int i = 0; m->words[i]; i++) {
        const char *word = m->words[i];
        if (strcmp(word, "OUT") == 0)
            unlink(out);
        argv[n++] = strcmp(word, "DB") == 0                                 ? b->path
                    : strcmp(word, "OUT") == 0 || strcmp(word, "LAST") == 0 ? out
                                                                            : word;
        if (argv[n - 1] == word)
            text_printf(&what, " %s", word);
    }
    argv[n] = NULL;
    if (file_exists(path.data)) {
        double start = clock_seconds();
        result = spawn(argv, &status, &usage, err);
        if (result == 0)
            tell(b, "program", what.data, 1e3 * (clock_seconds() - start), (double)usage.ru_maxrss / 1024,
                 WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
    text_release(&path);
    text_release(&what);
    return result;
}

static int measure_programs(struct bench *b, struct error *err)
{
    size_t n = sizeof verbs / sizeof *verbs;
    int result = 0;
    char *out;

    if (asprintf(&out, "%s/large.out", args.folder) < 0)
        return error_no_memory(err, "a path");
    progress_start(&b->progress, "measuring programs", (int64_t)n, 0, args.quiet);
    for (size_t i = 0; i < n && result == 0; i++) {
        progress_update(&b->progress, (int64_t)i, verbs[i].verb);
        result = measure(b, &verbs[i], out, err);
    }
    progress_finish(&b->progress, "");
    unlink(out);
    free(out);
    return result;
}

/* ---- main ---- */

static int measure_all(struct bench *b, struct error *err)
{
    return (!args.questions_only && measure_programs(b, err)) || ask_all(b, err) ? -1 : 0;
}

static int run(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    static const char *const columns[] = {"kind", "what", "ms", "peak_mib", "status"};
    struct bench b = {0};
    int result = -1;

    (void)context;
    (void)operands;
    (void)n_operands;
    if (file_make_folder(args.folder, err))
        return -1;
    if (asprintf(&b.path, "%s/large.db", args.folder) < 0)
        return error_no_memory(err, "a path");
    if (args.make_only)
        result = make_logbook(&b, err);
    else
        result = file_exists(b.path) ? 0 : make_elsewhere(err);
    synthetic_release(&b.synthetic);
    if (result == 0 && !args.make_only) {
        result = figures_open(&b.figures, out, args.format, args.json, "The readers of a large logbook",
                              columns, 5, err);
        if (result == 0)
            result = figures_close(&b.figures, measure_all(&b, err), err);
    }
    free(b.path);
    return result;
}

int main(int argc, char **argv)
{
    return program_main(&program, argc, argv, NULL, run, NULL);
}
