/* What logging everything costs a training run. The real trainer trains on made-up text; blocks of steps with
 * the logbook and blocks without take turns, so that the machine's mood falls on both, and a block is timed
 * until all it logged is on disk. The median over pairs of blocks of the ratio of their times is the answer.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/options.h"
#include "base/progress.h"
#include "base/random.h"
#include "bench/shared/figures.h"
#include "bench/shared/median.h"
#include "engine/blas.h"
#include "engine/record.h"
#include "engine/trainer.h"

enum {
    DOMAINS = 4,
    DOCUMENTS = 256,
    DOCUMENT_IDS = 2049,
    VOCABULARY = 8192,
    MAX_PAIRS = 1000,
    MAX_SETTINGS = 8,
    NAME_BYTES = 32
};

struct arguments {
    struct string_list set;
    int64_t pairs, block, threads;
    bool quiet;
    const char *folder, *format, *json;
};
static struct arguments args = {.pairs = 12, .block = 4, .folder = "build/bench", .format = "table"};

static const struct option_spec options[] = {
    {"set", 's', OPTION_LIST, &args.set, "SECTION.KEY=VALUE", "for both shapes, on top of their own"},
    {"pairs", 0, OPTION_INT, &args.pairs, "N", "pairs of blocks, one with and one without (default 12)"},
    {"block", 0, OPTION_INT, &args.block, "N", "steps in a block (default 4)"},
    {"threads", 0, OPTION_INT, &args.threads, "N", "0: one per core"},
    {"folder", 0, OPTION_STRING, &args.folder, "FOLDER", "where the files are made (default build/bench)"},
    {"quiet", 'q', OPTION_FLAG, &args.quiet, NULL, "no progress"},
    {"format", 0, OPTION_STRING, &args.format, "FORMAT", "table, csv, json"},
    {"json", 0, OPTION_STRING, &args.json, "FILE", "the same as JSON, in a file"},
    {0},
};

static const struct program program = {
    .verb = "bench-overhead",
    .operands = "",
    .purpose = "measure what logging everything costs a training step",
    .details =
        "cost: the median over pairs of the time with the logbook by the time without, less 1;\n"
        "low, high: an interval of that median, at 95 % or more from six pairs on, by their ranks alone.",
    .examples = "bench/overhead\nbench/overhead --pairs 30 --block 8 --format json",
    .options = options,
};

struct measured_shape {
    const char *name;
    const char *settings[MAX_SETTINGS];
};
static const struct measured_shape shapes[] = {
    {"R: width 256, 4 layers, top-2 of 16", {NULL}},
    {"decision-heavy: width 64, 8 layers, top-8 of 64",
     {"model.width=64", "model.heads=2", "model.layers=8", "router.experts=64", "router.k=8",
      "router.hidden=32"}},
};

/* ---- the corpus ---- */

static void fill_document(struct corpus *c, int number, enum corpus_split split, int64_t n_ids,
                          struct random *r)
{
    struct document *d = &c->documents[number];

    *d = (struct document){.name = c->documents_text + (size_t)number * NAME_BYTES,
                           .domain = number % DOMAINS,
                           .split = split,
                           .n_bytes = 4 * n_ids,
                           .first = c->n_ids,
                           .n_ids = n_ids};
    snprintf(d->name, NAME_BYTES, "%d.txt", number);
    for (int64_t i = 0; i < n_ids; i++)
        c->ids[c->n_ids++] = (int32_t)random_below(r, VOCABULARY);
}

/* All for training, but one document of two predictions each for validation and probe. */
static int make_corpus(struct corpus *c, struct error *err)
{
    static char names[DOMAINS][2] = {"a", "b", "c", "d"}, word[] = "word", title[] = "made up";
    static char *domains[DOMAINS] = {names[0], names[1], names[2], names[3]};
    struct random r;

    *c = (struct corpus){.name = title,
                         .domains = domains,
                         .n_domains = DOMAINS,
                         .n_documents = DOCUMENTS,
                         .n_vocabulary = VOCABULARY};
    c->vocabulary = calloc(VOCABULARY, sizeof *c->vocabulary);
    c->documents = calloc(DOCUMENTS, sizeof *c->documents);
    c->documents_text = calloc(DOCUMENTS, NAME_BYTES);
    c->ids = calloc((size_t)DOCUMENTS * DOCUMENT_IDS, sizeof *c->ids);
    if (!c->vocabulary || !c->documents || !c->documents_text || !c->ids)
        return error_no_memory(err, "the corpus");
    for (int v = 0; v < VOCABULARY; v++)
        c->vocabulary[v] = (struct vocabulary_item){.text = word, .kind = "piece", .train_count = 1};
    random_seed(&r, 1, 0);
    for (int d = 0; d < DOCUMENTS; d++)
        fill_document(c, d,
                      d > 1 ? SPLIT_TRAIN
                      : d   ? SPLIT_VALID
                            : SPLIT_PROBE,
                      d > 1 ? DOCUMENT_IDS : 3, &r);
    return 0;
}

static void corpus_free(struct corpus *c)
{
    free(c->vocabulary);
    free(c->documents);
    free(c->documents_text);
    free(c->ids);
}

/* ---- a sink that can be switched off ---- */

struct pairing {
    struct sink sink; /* what the trainer is given */
    const struct sink *logbook;
    bool on;
    int64_t block, step;             /* blocks done; steps done in this one */
    double started, thread;          /* when the block began; what the trainer had spent on logging by then */
    double seconds[2], on_thread[2]; /* of the pair's blocks: without, with */
    double without[MAX_PAIRS], with[MAX_PAIRS]; /* seconds a step, of each pair */
    double thread_without, thread_with;         /* means over pairs, seconds a step on the training thread */
    int n;
    volatile sig_atomic_t stop;
    int failed;
    struct error err;
    struct progress progress;
};

static int pass(void *context, int64_t step, enum corpus_split split, const struct pass *pass,
                struct error *err)
{
    struct pairing *p = context;
    return p->on ? p->logbook->pass(p->logbook->context, step, split, pass, err) : 0;
}

static int summary(void *context, int64_t step, enum corpus_split split, const struct tally *tally,
                   struct error *err)
{
    struct pairing *p = context;
    return p->on ? p->logbook->summary(p->logbook->context, step, split, tally, err) : 0;
}

static int metric(void *context, int64_t step, enum corpus_split split, const char *name, double value,
                  struct error *err)
{
    struct pairing *p = context;
    return p->on ? p->logbook->metric(p->logbook->context, step, split, name, value, err) : 0;
}

static int event(void *context, int64_t step, const struct sink_event *event, struct error *err)
{
    struct pairing *p = context;
    return p->on ? p->logbook->event(p->logbook->context, step, event, err) : 0;
}

static int checkpoint(void *context, int64_t step, const char *path, const char *sha256, struct error *err)
{
    (void)context, (void)step, (void)path, (void)sha256, (void)err;
    return 0;
}

static int commit(void *context, struct error *err)
{
    struct pairing *p = context;
    return p->on ? p->logbook->commit(p->logbook->context, err) : 0;
}

static int drain(void *context, struct error *err)
{
    struct pairing *p = context;
    return p->logbook->drain(p->logbook->context, err);
}

/* ---- blocks ---- */

static void end_pair(struct pairing *p)
{
    double block = (double)args.block;

    p->without[p->n] = p->seconds[0] / block;
    p->with[p->n] = p->seconds[1] / block;
    p->thread_without += p->on_thread[0] / block / (double)args.pairs;
    p->thread_with += p->on_thread[1] / block / (double)args.pairs;
    p->stop = ++p->n == args.pairs;
}

/* Off and on, on and off, off and on, ...: a drift of the machine's speed cancels. */
static bool is_on(int64_t block)
{
    return block % 4 == 1 || block % 4 == 2;
}

/* After each step. The first two blocks warm up. */
static void count_step(void *context, const struct trainer *t)
{
    struct pairing *p = context;
    int64_t pair = p->block - 2;

    if (++p->step < args.block)
        return;
    if (p->on && p->logbook->drain(p->logbook->context, &p->err))
        p->failed = p->stop = 1;
    double now = clock_seconds(), thread = t->seconds_in[PART_LOGGING];
    if (pair >= 0) {
        p->seconds[p->on] = now - p->started;
        p->on_thread[p->on] = thread - p->thread;
        if (pair % 2 == 1)
            end_pair(p);
    }
    progress_update(&p->progress, ++p->block, p->on ? "with" : "without");
    p->step = 0;
    p->on = !p->stop && is_on(p->block);
    p->thread = thread;
    p->started = clock_seconds();
}

/* ---- the answer ---- */

static void tell(struct pairing *p, struct figures *f, const char *name)
{
    double ratio[MAX_PAIRS] = {0};

    for (int i = 0; i < p->n; i++)
        ratio[i] = p->with[i] / p->without[i] - 1.0;
    struct median cost = median_of(ratio, p->n);
    figures_text(f, name);
    figures_int(f, p->n);
    figures_real(f, 1e3 * median_of(p->without, p->n).value);
    figures_real(f, 1e3 * median_of(p->with, p->n).value);
    figures_real(f, cost.value);
    figures_real(f, cost.low);
    figures_real(f, cost.high);
    figures_real(f, 1e3 * p->thread_without);
    figures_real(f, 1e3 * p->thread_with);
}

/* ---- a run ---- */

static int configure(struct config *c, const struct measured_shape *shape, struct error *err)
{
    static const char *const both[] = {"train.steps=1000000000", "train.checkpoint_every=0", "valid.every=0",
                                       "probe.every=0", "log.decisions=all"};

    return config_set_all(c, both, sizeof both / sizeof *both, err) ||
                   config_set_all(c, shape->settings, MAX_SETTINGS, err) ||
                   config_set_all(c, args.set.items, args.set.n, err)
               ? -1
               : 0;
}

/* Trains until there are enough pairs. */
static int train(struct pairing *p, struct trainer *t, struct recorder *r, const char *weights,
                 struct error *err)
{
    enum train_outcome outcome;

    struct summary model;
    t->task->summarise(t, &model);
    if (recorder_begin(r, "overhead", 1, &model, pool_threads(t->pool), err))
        return -1;
    p->sink = (struct sink){p, pass, summary, metric, event, checkpoint, commit, drain};
    p->logbook = &r->sink;
    t->sink = &p->sink;
    t->checkpoint_path = weights;
    t->stop = &p->stop;
    t->report = count_step;
    t->report_context = p;
    int result = trainer_run(t, &outcome, err);
    if (result == 0 && p->failed) {
        *err = p->err;
        result = -1;
    }
    if (result == 0 && outcome != TRAIN_INTERRUPTED)
        result = error_set(err, STATUS_INPUT, "training ended before it was measured");
    return recorder_end(r, "finished", result ? NULL : err) ? -1 : result;
}

static int measure(const struct measured_shape *shape, const struct corpus *corpus, struct figures *figures,
                   const char *const paths[2], struct error *err)
{
    struct pairing *p = calloc(1, sizeof *p);
    struct config config = {0};
    struct trainer t = {0};
    struct recorder r = {0};
    struct logbook *lb = NULL;
    struct pool *pool = NULL;
    int result = -1;

    if (!p)
        return error_no_memory(err, "a measurement");
    progress_start(&p->progress, shape->name, 2 + 2 * args.pairs, 0, args.quiet);
    unlink(paths[0]);
    if (config_init(&config, err) == 0 && configure(&config, shape, err) == 0 &&
        pool_open(&pool, (int)args.threads, err) == 0 &&
        trainer_init(&t, &config, corpus, 1, pool, err) == 0 && moescope_open(&lb, paths[0], err) == 0 &&
        recorder_open(&r, lb, &config, corpus, err) == 0)
        result = train(p, &t, &r, paths[1], err);
    if (result == 0) {
        progress_finish(&p->progress, "");
        tell(p, figures, shape->name);
    }
    recorder_release(&r);
    moescope_close(lb);
    trainer_release(&t);
    pool_close(pool);
    config_release(&config);
    free(p);
    unlink(paths[0]);
    unlink(paths[1]);
    return result;
}

static int measure_all(FILE *out, const char *const paths[2], struct error *err)
{
    static const char *const columns[] = {"shape", "pairs", "ms_without",        "ms_with",       "cost",
                                          "low",   "high",  "thread_ms_without", "thread_ms_with"};
    struct figures figures;
    struct corpus corpus = {0};
    int result = 0;

    if (figures_open(&figures, out, args.format, args.json, "What logging everything costs a training step",
                     columns, 9, err))
        return -1;
    result = make_corpus(&corpus, err);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes && result == 0; i++)
        result = measure(&shapes[i], &corpus, &figures, paths, err);
    corpus_free(&corpus);
    return figures_close(&figures, result, err);
}

static int run(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    char *paths[2] = {NULL, NULL};
    int result = -1;

    (void)context;
    (void)operands;
    (void)n_operands;
    if (args.pairs < 1 || args.pairs > MAX_PAIRS || args.block < 1)
        return error_set(err, STATUS_USAGE, "1 to %d pairs of at least one step", MAX_PAIRS);
    blas_start();
    if (file_make_folder(args.folder, err) == 0) {
        if (asprintf(&paths[0], "%s/overhead.db", args.folder) < 0 ||
            asprintf(&paths[1], "%s/overhead.safetensors", args.folder) < 0)
            result = error_no_memory(err, "paths");
        else
            result = measure_all(out, (const char *const *)paths, err);
    }
    free(paths[0]);
    free(paths[1]);
    return result;
}

int main(int argc, char **argv)
{
    int status = program_main(&program, argc, argv, NULL, run, NULL);

    string_list_release(&args.set);
    return status;
}
