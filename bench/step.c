/* How close a training step comes to the machine's limit. Trains on random tokens, so that it needs no
 * corpus, and measures sgemm (2048 x 2048 x 2048, as many threads) between steps in the same process: the
 * ratio is what counts, the machine's mood falls on both sides. Several numbers of threads take turns, each
 * with a model of its own, and must train to the same bytes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"
#include "base/progress.h"
#include "bench/shared/figures.h"
#include "bench/shared/median.h"
#include "bench/shared/trainee.h"
#include "engine/blas.h"

/* rivals/torch_moe.py tells its loss at the same place. */
enum { MOST_COUNTS = 8, MOST_THREADS = 1024, FINGERPRINT_UPDATES = 3 };
static const char loss_before[] = "loss before the third update, nats";

struct arguments {
    struct string_list set;
    const char *threads, *format, *json;
    int64_t blocks, vocabulary;
    bool quiet;
};
static struct arguments args = {.threads = "0", .format = "table", .blocks = 20, .vocabulary = 8192};

static const struct option_spec options[] = {
    {"set", 's', OPTION_LIST, &args.set, "SECTION.KEY=VALUE",
     "the model's shape; the defaults are reference model R"},
    {"blocks", 0, OPTION_INT, &args.blocks, "N", "steps to time, each beside the limit (default 20)"},
    {"vocabulary", 0, OPTION_INT, &args.vocabulary, "N", "items (default 8192)"},
    {"threads", 0, OPTION_STRING, &args.threads, "N[,N]...",
     "0: one per core (default); of several, all are compared with the first"},
    {"quiet", 'q', OPTION_FLAG, &args.quiet, NULL, "no progress"},
    {"format", 0, OPTION_STRING, &args.format, "FORMAT", "table, csv, json"},
    {"json", 0, OPTION_STRING, &args.json, "FILE", "the same as JSON, in a file"},
    {0},
};

static const struct program program = {
    .verb = "bench-step",
    .operands = "",
    .purpose = "time a training step against the sgemm limit",
    .details =
        "value: of a part, its share of the step; of the step's operations at the limit, the median over "
        "blocks\n"
        "of the time that sgemm would take for them by the time of the step; of a speed-up, the median "
        "ratio\n"
        "within blocks.\n"
        "low, high: an interval of that median, at 95 % or more from six blocks on, by their ranks alone.\n"
        "sha256: of all gradients and weights after three updates, which are done twice.",
    .examples = "bench/step\nbench/step --threads 1,2\n"
                "bench/step --set model.width=128 --set router.hidden=128 --vocabulary 4096",
    .options = options,
};

struct bench {
    int n; /* numbers of threads */
    struct contestant {
        struct pool *pool;
        struct trainee trainee;
        char sha256[SHA256_HEX], again[SHA256_HEX];
        double loss;
    } items[MOST_COUNTS];
};

/* ---- results ---- */

static void tell(struct figures *f, const struct contestant *c, const char *what, double seconds,
                 struct median value, const char *sha256)
{
    figures_int(f, pool_threads(c->pool));
    figures_text(f, what);
    figures_real(f, 1e3 * seconds);
    figures_real(f, value.value);
    figures_real(f, value.low);
    figures_real(f, value.high);
    figures_text(f, sha256);
}

static struct median one(double value)
{
    return (struct median){value, NAN, NAN};
}

/* What the step and its parts take. */
static void tell_step(struct figures *f, struct contestant *c)
{
    struct trainee *t = &c->trainee;
    int n = (int)args.blocks;
    double step = blocks_median(t->step, NULL, n).value;

    for (int i = 0; i < N_PARTS; i++) {
        double part = blocks_median(t->part[i], NULL, n).value;
        if (part > 0.0)
            tell(f, c, part_names[i], part, blocks_median(t->part[i], t->step, n), NULL);
    }
    tell(f, c, "the whole step", step, one(1.0), NULL);
    struct median share = blocks_median(t->share, NULL, n);
    tell(f, c, "its operations at sgemm's limit", step * share.value, share, NULL);
    tell(f, c, loss_before, NAN, one(c->loss), NULL);
    tell(f, c,
         strcmp(c->sha256, c->again) == 0 ? "gradients and weights: the same bytes in both runs"
                                          : "gradients and weights: OTHER BYTES in the second run",
         NAN, one(NAN), c->sha256);
}

static void tell_comparison(struct figures *f, const struct contestant *first, const struct contestant *c)
{
    int n = (int)args.blocks, than = pool_threads(first->pool);
    char speed_up[64], limit[64], same[96];

    snprintf(speed_up, sizeof speed_up, "speed-up of the step over %d thread%s", than, than > 1 ? "s" : "");
    snprintf(limit, sizeof limit, "speed-up of sgemm over %d thread%s", than, than > 1 ? "s" : "");
    snprintf(same, sizeof same, "gradients and weights: %s as with %d thread%s",
             strcmp(c->sha256, first->sha256) == 0 ? "the same bytes" : "OTHER BYTES", than,
             than > 1 ? "s" : "");
    tell(f, c, speed_up, NAN, blocks_median(first->trainee.step, c->trainee.step, n), NULL);
    tell(f, c, limit, NAN, blocks_median(c->trainee.limit, first->trainee.limit, n), NULL);
    tell(f, c, same, NAN, one(NAN), c->sha256);
}

static int print(struct bench *b, FILE *out, struct error *err)
{
    static const char *const columns[] = {"threads", "part", "ms", "value", "low", "high", "sha256"};
    int n = (int)args.blocks;
    struct figures f;

    if (figures_open(&f, out, args.format, args.json, "Where a step goes", columns, 7, err))
        return -1;
    for (int i = 0; i < b->n; i++) {
        tell_step(&f, &b->items[i]);
        if (i > 0)
            tell_comparison(&f, &b->items[0], &b->items[i]);
    }
    if (figures_close(&f, 0, err))
        return -1;
    for (int i = 0; i < b->n && strcmp(args.format, "table") == 0; i++) {
        const struct trainee *t = &b->items[i].trainee;
        struct median share = blocks_median(t->share, NULL, n);
        fprintf(out,
                "%d thread%s: %.1f GFLOP a step, %.1f GFLOP/s; sgemm limit %.1f GFLOP/s (%s): %.1f %% [%.1f, "
                "%.1f]\n",
                pool_threads(b->items[i].pool), pool_threads(b->items[i].pool) > 1 ? "s" : "", t->gflop,
                t->gflop / blocks_median(t->step, NULL, n).value, blocks_median(t->limit, NULL, n).value,
                blas_core_type(), 100.0 * share.value, 100.0 * share.low, 100.0 * share.high);
    }
    return 0;
}

/* ---- measuring ---- */

static int open_contestant(struct contestant *c, int threads, struct error *err)
{
    return pool_open(&c->pool, threads, err) ||
                   trainee_open(&c->trainee, args.set.items, args.set.n, (int)args.vocabulary, c->pool, err)
               ? -1
               : 0;
}

static int open_all(struct bench *b, struct error *err)
{
    const char *at = args.threads;
    char *end;

    do {
        long threads = strtol(at, &end, 10);
        if (end == at || (*end && *end != ',') || threads < 0 || threads > MOST_THREADS ||
            b->n == MOST_COUNTS)
            return error_set(err, STATUS_USAGE,
                             "--threads takes up to %d numbers from 0 to %d between commas, not '%s'",
                             MOST_COUNTS, MOST_THREADS, args.threads);
        if (open_contestant(&b->items[b->n++], (int)threads, err))
            return -1;
        at = end + 1;
    } while (*end);
    return 0;
}

static void close_all(struct bench *b)
{
    for (int i = 0; i < b->n; i++) {
        trainee_release(&b->items[i].trainee);
        pool_close(b->items[i].pool);
    }
}

static int warm_up(struct bench *b, struct error *err)
{
    for (int i = 0; i < b->n; i++) {
        struct contestant *c = &b->items[i];
        if (trainee_fingerprint(&c->trainee, FINGERPRINT_UPDATES, c->sha256, err) ||
            trainee_fingerprint(&c->trainee, FINGERPRINT_UPDATES, c->again, err))
            return -1;
        c->loss = c->trainee.loss;
        trainee_warm_up(&c->trainee);
    }
    return 0;
}

static int run_blocks(struct bench *b, struct error *err)
{
    struct progress p;

    progress_start(&p, "blocks", args.blocks, 0, args.quiet);
    for (int block = 0; block < args.blocks; block++) {
        for (int i = 0; i < b->n; i++) {
            struct contestant *c = &b->items[block % 2 ? b->n - 1 - i : i];
            if (trainee_run_block(&c->trainee, block, err))
                return -1;
        }
        progress_update(&p, block + 1, "");
    }
    progress_finish(&p, "");
    return 0;
}

static int bench(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    struct bench *b;
    int result = -1;

    (void)context;
    (void)operands;
    (void)n_operands;
    if (args.blocks < 1 || args.blocks > MOST_BLOCKS)
        return error_set(err, STATUS_USAGE, "--blocks must be 1 to %d", MOST_BLOCKS);
    b = calloc(1, sizeof *b);
    if (!b)
        return error_no_memory(err, "the bench");
    blas_start();
    if (open_all(b, err) == 0 && warm_up(b, err) == 0 && run_blocks(b, err) == 0)
        result = print(b, out, err);
    close_all(b);
    free(b);
    return result;
}

int main(int argc, char **argv)
{
    int status = program_main(&program, argc, argv, NULL, bench, NULL);

    string_list_release(&args.set);
    return status;
}
