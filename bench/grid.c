/* How close a training step of one block comes to the machine's limit, whatever the number of experts, how
 * many of them a token takes and how wide they are; and what more experts cost when a token takes as many,
 * and the other way round. Every step is measured beside sgemm in the same block: cost is in operations that
 * sgemm would have done in the time, so that shapes can be compared although they are not measured at the
 * same moment. */
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

struct arguments {
    struct string_list set, only;
    const char *format, *json;
    int64_t blocks, vocabulary, threads, megabytes, width;
    bool quiet;
};
static struct arguments args = {.format = "table", .blocks = 6, .vocabulary = 1024, .megabytes = 2048};

static const struct option_spec options[] = {
    {"set", 's', OPTION_LIST, &args.set, "SECTION.KEY=VALUE", "for every shape, on top of its own"},
    {"group", 'g', OPTION_LIST, &args.only, "NAME",
     "grid, experts or activated (may be repeated; default: all)"},
    {"width", 0, OPTION_INT, &args.width, "N", "shapes of this width alone (default: all)"},
    {"blocks", 0, OPTION_INT, &args.blocks, "N", "of each shape, steps beside the limit (default 6)"},
    {"vocabulary", 0, OPTION_INT, &args.vocabulary, "N", "items (default 1024)"},
    {"megabytes", 0, OPTION_INT, &args.megabytes, "N",
     "shapes whose weights, gradients and moments are more are left out (default 2048)"},
    {"threads", 0, OPTION_INT, &args.threads, "N", "0: one per core"},
    {"quiet", 'q', OPTION_FLAG, &args.quiet, NULL, "no progress"},
    {"format", 0, OPTION_STRING, &args.format, "FORMAT", "table, csv, json"},
    {"json", 0, OPTION_STRING, &args.json, "FILE", "the same as JSON, in a file"},
    {0},
};

static const struct program program = {
    .verb = "bench-grid",
    .operands = "",
    .purpose = "time training steps of many shapes against the sgemm limit",
    .details =
        "One block, 2048 tokens a step, context 128, experts twice as wide as the residual stream.\n"
        "group: grid; experts: more of them, two a token; activated: more of 64 a token.\n"
        "rows: mean tokens of an expert, which are the rows of its products; share, low, high: the median "
        "over\n"
        "blocks of the part of sgemm's limit that the step reaches, and an interval of it by ranks.\n"
        "cost: GFLOP that sgemm would do in the time of the step, and so on for the parts: experts, router\n"
        "(with choosing and balancing), optimiser, rest. experts_gflop / experts: how well their products "
        "do.",
    .examples = "bench/grid\nbench/grid --group experts --blocks 20",
    .options = options,
};

struct shape {
    const char *group;
    int width, experts, k;
};

/* A column of experts for each width, and k where there are experts to choose from; then the two curves. */
static const struct shape shapes[] = {
    {"grid", 64, 4, 2},        {"grid", 64, 16, 2},       {"grid", 64, 64, 1},
    {"grid", 64, 64, 2},       {"grid", 64, 64, 8},       {"grid", 64, 256, 2},
    {"grid", 128, 4, 2},       {"grid", 128, 16, 2},      {"grid", 128, 64, 1},
    {"grid", 128, 64, 2},      {"grid", 128, 64, 8},      {"grid", 128, 256, 2},
    {"grid", 128, 256, 8},     {"grid", 256, 4, 2},       {"grid", 256, 16, 1},
    {"grid", 256, 16, 2},      {"grid", 256, 16, 8},      {"grid", 256, 256, 8},
    {"grid", 512, 4, 1},       {"grid", 512, 4, 2},       {"grid", 512, 16, 1},
    {"grid", 512, 16, 2},      {"grid", 512, 16, 8},      {"grid", 512, 64, 2},
    {"grid", 512, 64, 8},      {"grid", 1024, 4, 1},      {"grid", 1024, 4, 2},
    {"grid", 1024, 16, 2},     {"experts", 256, 4, 2},    {"experts", 256, 8, 2},
    {"experts", 256, 16, 2},   {"experts", 256, 32, 2},   {"experts", 256, 64, 2},
    {"experts", 256, 128, 2},  {"experts", 256, 256, 2},  {"activated", 256, 64, 1},
    {"activated", 256, 64, 2}, {"activated", 256, 64, 3}, {"activated", 256, 64, 4},
    {"activated", 256, 64, 6}, {"activated", 256, 64, 8},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes, MOST_SETTINGS = 64 };

static double weights_of(const struct shape *s)
{
    return 3.0 * s->experts * s->width * 2.0 * s->width; /* of the experts: the rest is little beside them */
}

static bool is_wanted(const struct shape *s)
{
    enum { BYTES = 4 * 4 }; /* of a weight with its gradient and two moments */
    bool named = args.only.n == 0;

    for (int i = 0; i < args.only.n; i++)
        named = named || strcmp(args.only.items[i], s->group) == 0;
    return named && (args.width == 0 || args.width == s->width) &&
           BYTES * weights_of(s) <= 1e6 * (double)args.megabytes;
}

static int open_shape(struct trainee *t, const struct shape *s, struct pool *pool, struct error *err)
{
    char width[32], heads[32], experts[32], k[32], hidden[32];
    const char *settings[MOST_SETTINGS] = {"model.layers=1",
                                           "model.context=128",
                                           "train.tokens_per_step=2048",
                                           width,
                                           heads,
                                           experts,
                                           k,
                                           hidden};
    int n = 8;

    snprintf(width, sizeof width, "model.width=%d", s->width);
    snprintf(heads, sizeof heads, "model.heads=%d", s->width / 32);
    snprintf(experts, sizeof experts, "router.experts=%d", s->experts);
    snprintf(k, sizeof k, "router.k=%d", s->k);
    snprintf(hidden, sizeof hidden, "router.hidden=%d", 2 * s->width);
    for (int i = 0; i < args.set.n && n < MOST_SETTINGS; i++)
        settings[n++] = args.set.items[i];
    return trainee_open(t, settings, n, (int)args.vocabulary, pool, err);
}

/* ---- results ---- */

/* What sgemm would have done in so many seconds of each block, GFLOP. */
static double cost_of(const struct trainee *t, const double *seconds)
{
    double cost[MOST_BLOCKS] = {0};

    for (int64_t i = 0; i < args.blocks; i++)
        cost[i] = seconds[i] * t->limit[i];
    return median_of(cost, (int)args.blocks).value;
}

/* What --set has left of it. */
static struct shape settled(const struct shape *s, const struct config *c)
{
    return (struct shape){s->group, (int)config_int(c, "model.width"), (int)config_int(c, "router.experts"),
                          (int)config_int(c, "router.k")};
}

static void tell(struct figures *f, const struct shape *s, const struct trainee *t)
{
    const struct model *m = &t->model;
    int n = (int)args.blocks;
    struct median share = blocks_median(t->share, NULL, n);
    double experts = cost_of(t, t->part[PART_EXPERTS]), router = cost_of(t, t->part[PART_ROUTER]),
           optimiser = cost_of(t, t->part[PART_OPTIMISER]), step = cost_of(t, t->step);

    figures_text(f, s->group);
    figures_int(f, s->width);
    figures_int(f, s->experts);
    figures_int(f, s->k);
    figures_real(f, (double)m->max_tokens * s->k / s->experts);
    figures_real(f, 1e-6 * parameters_count(&m->parameters));
    figures_real(f, t->gflop);
    figures_real(f, 1e3 * blocks_median(t->step, NULL, n).value);
    figures_real(f, share.value);
    figures_real(f, share.low);
    figures_real(f, share.high);
    figures_real(f, step);
    figures_real(f, 6e-9 * weights_of(s) / s->experts * s->k * m->max_tokens);
    figures_real(f, experts);
    figures_real(f, router);
    figures_real(f, optimiser);
    figures_real(f, step - experts - router - optimiser);
}

/* ---- measuring ---- */

static int measure(const struct shape *s, struct pool *pool, struct figures *f, struct error *err)
{
    struct trainee *t = calloc(1, sizeof *t);
    int result;

    if (!t)
        return error_no_memory(err, "a model");
    result = open_shape(t, s, pool, err);
    if (result == 0)
        trainee_warm_up(t);
    for (int block = 0; block < args.blocks && result == 0; block++)
        result = trainee_run_block(t, block, err);
    if (result == 0) {
        struct shape actual = settled(s, &t->config);
        tell(f, &actual, t);
    }
    trainee_release(t);
    free(t);
    return result;
}

static int measure_all(struct pool *pool, struct figures *f, struct error *err)
{
    struct progress p;
    int n = 0, done = 0, result = 0;

    for (int i = 0; i < N_SHAPES; i++)
        n += is_wanted(&shapes[i]);
    if (n == 0)
        return error_set(err, STATUS_USAGE,
                         "no shape is left by --group (grid, experts, activated), --width and --megabytes");
    progress_start(&p, "shapes", n, 0, args.quiet);
    for (int i = 0; i < N_SHAPES && result == 0; i++) {
        if (!is_wanted(&shapes[i]))
            continue;
        result = measure(&shapes[i], pool, f, err);
        progress_update(&p, ++done, shapes[i].group);
    }
    progress_finish(&p, "");
    return result;
}

static int bench(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    static const char *const columns[] = {
        "group",       "width",          "experts",  "k",    "rows", "weights_millions", "gflop",
        "ms",          "share",          "low",      "high", "cost", "experts_gflop",    "experts_cost",
        "router_cost", "optimiser_cost", "rest_cost"};
    struct pool *pool = NULL;
    struct figures f;
    int result = -1;

    (void)context;
    (void)operands;
    (void)n_operands;
    if (args.blocks < 1 || args.blocks > MOST_BLOCKS)
        return error_set(err, STATUS_USAGE, "--blocks must be 1 to %d", MOST_BLOCKS);
    blas_start();
    if (pool_open(&pool, (int)args.threads, err) == 0 &&
        figures_open(&f, out, args.format, args.json, "Steps of one block beside sgemm's limit", columns,
                     sizeof columns / sizeof *columns, err) == 0)
        result = figures_close(&f, measure_all(pool, &f, err), err);
    pool_close(pool);
    return result;
}

int main(int argc, char **argv)
{
    int status = program_main(&program, argc, argv, NULL, bench, NULL);

    string_list_release(&args.set);
    string_list_release(&args.only);
    return status;
}
