/* What routers cost beside plain top-k. Each is trained on random tokens next to top-k with as many experts a
 * token as it has itself: steps of both and sgemm (2048 x 2048 x 2048, every core) take turns, so that the
 * machine's mood falls on all three. Operations are counted by the decisions that were made; the ratio is
 * that of what both reach of sgemm's limit. */
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"
#include "base/progress.h"
#include "bench/shared/figures.h"
#include "bench/shared/made_up.h"
#include "engine/blas.h"
#include "engine/config.h"
#include "engine/model.h"

enum { MOST_STEPS = 1000, WARM_UP = 2 };

struct arguments {
    struct string_list set, only;
    const char *format, *json;
    int64_t steps, vocabulary, threads;
    bool quiet;
};
static struct arguments args = {.format = "table", .steps = 8, .vocabulary = 8192};

static const struct option_spec options[] = {
    {"set", 's', OPTION_LIST, &args.set, "SECTION.KEY=VALUE",
     "the models' shape; the defaults are reference model R"},
    {"router", 'r', OPTION_LIST, &args.only, "NAME", "this one (may be repeated; default: all)"},
    {"steps", 0, OPTION_INT, &args.steps, "N", "steps of each to time, after two to warm up (default 8)"},
    {"vocabulary", 0, OPTION_INT, &args.vocabulary, "N", "items (default 8192)"},
    {"threads", 0, OPTION_INT, &args.threads, "N", "0: one per core"},
    {"quiet", 'q', OPTION_FLAG, &args.quiet, NULL, "no progress"},
    {"format", 0, OPTION_STRING, &args.format, "FORMAT", "table, csv, json"},
    {"json", 0, OPTION_STRING, &args.json, "FILE", "the same as JSON, in a file"},
    {0},
};

static const struct program program = {
    .verb = "bench-routers",
    .operands = "",
    .purpose = "time a training step with each router beside top-k with as many experts a token",
    .details = "k: experts a token, measured; of top-k beside it the nearest whole number. topp.p is chosen "
               "so that k "
               "is router.k at the initial weights; relu has there about half of the experts.\n"
               "limit: share of what sgemm reaches; ratio: by that of top-k.",
    .examples = "bench/routers\nbench/routers --router topp --steps 20",
    .options = options,
};

/* Settings of each, on top of those given. */
static const struct contestant {
    const char *router, *settings[4];
} contestants[] = {
    {"topk", {"router.name=topk"}},
    {"topp", {"router.name=topp"}},
    {"mask", {"router.name=mask", "mask.rare_visible=8"}},
    {"hash", {"router.name=hash", "router.k=1"}},
    {"bias", {"router.name=bias"}},
    {"relu", {"router.name=relu"}},
    {"expert_choice", {"router.name=expert_choice"}},
    {"noisy_topk", {"router.name=noisy_topk"}},
};
enum { N_CONTESTANTS = sizeof contestants / sizeof *contestants };

/* ---- a model that trains ---- */

struct runner {
    struct config config;
    struct model_config shape;
    struct router_ops open; /* expert choice, as if it were causal: its speed is as that of any other */
    struct model model;
    struct random noise;
    struct optimiser optimiser;
    double seconds[MOST_STEPS], flops[MOST_STEPS], router_seconds, k;
};

static int configure(struct runner *r, const char *const *settings, struct error *err)
{
    return config_init(&r->config, err) || config_set_all(&r->config, args.set.items, args.set.n, err) ||
                   config_set_all(&r->config, settings, 4, err) || config_settle(&r->config, err)
               ? -1
               : 0;
}

static int describe(struct runner *r, struct error *err)
{
    const char *name = config_text(&r->config, "router.name");
    bool causal = !router_find(name)->not_causal;

    if (causal)
        return config_model(&r->config, (int)args.vocabulary, &r->shape, err);
    if (config_set(&r->config, "router.name=topk", err) ||
        config_model(&r->config, (int)args.vocabulary, &r->shape, err))
        return -1;
    r->open = *router_find("expert_choice");
    r->open.not_causal = false;
    for (int l = 0; l < r->shape.n_layers; l++)
        r->shape.layers[l].router = &r->open;
    return 0;
}

static int runner_open(struct runner *r, const char *const *settings, struct pool *pool, struct error *err)
{
    *r = (struct runner){0};
    random_seed(&r->noise, 1, 1);
    if (configure(r, settings, err) || describe(r, err) ||
        model_init(&r->model, &r->shape, (int)config_int(&r->config, "train.tokens_per_step"), pool, err) ||
        model_seed(&r->model, 1, err))
        return -1;
    return made_up_optimiser(&r->optimiser, &r->model.parameters, err);
}

static void runner_close(struct runner *r)
{
    optimiser_release(&r->optimiser);
    model_release(&r->model);
    config_release(&r->config);
}

static double decisions_of(const struct model *m, int l, const struct batch *b)
{
    return (double)routing_decisions(&m->layers[l].routing) / b->n_tokens;
}

static double mean_k(const struct model *m, const struct batch *b)
{
    double sum = 0.0;

    for (int l = 0; l < m->config.n_layers; l++)
        sum += decisions_of(m, l, b) / m->config.n_layers;
    return sum;
}

/* Forward, backward and update; `at` negative: to warm up. */
static void run_step(struct runner *r, const struct batch *b, int64_t at)
{
    struct model *m = &r->model;
    struct loss_weights weights = config_loss_weights(&r->config);
    double start = clock_seconds(), router = m->seconds[PART_ROUTER], k[MAX_LAYERS];

    model_forward(m, b, true, 1.0F, &weights, &r->noise);
    made_up_update(m, &r->optimiser, at + WARM_UP);
    if (at < 0)
        return;
    r->seconds[at] = clock_seconds() - start;
    r->router_seconds += m->seconds[PART_ROUTER] - router;
    for (int l = 0; l < m->config.n_layers; l++)
        k[l] = decisions_of(m, l, b);
    r->k += mean_k(m, b) / (double)args.steps;
    r->flops[at] = model_flops_per_token(&m->config, k, m->config.context) * b->n_tokens;
}

/* The p of top-p at which tokens have `wanted` experts. */
static void bisect_p(struct model *m, const struct batch *b, double wanted)
{
    double low = 0.0, high = 1.0;

    for (int i = 0; i < 20; i++) {
        double p = (low + high) / 2.0;
        for (int l = 0; l < m->config.n_layers; l++)
            m->layers[l].router.config.p = (float)p;
        model_forward(m, b, false, 1.0F, &(struct loss_weights){0}, NULL);
        *(mean_k(m, b) < wanted ? &low : &high) = p;
    }
}

/* ---- a pair ---- */

struct pair {
    struct runner router, topk;
    double limit[MOST_STEPS]; /* GFLOP/s */
};

/* Top-k with the number of experts that the router has at its initial weights. */
static int pair_open(struct pair *p, const struct contestant *c, struct pool *pool, const struct batch *b,
                     struct error *err)
{
    char k[32];
    const char *const topk[4] = {"router.name=topk", k};
    struct runner *r = &p->router;

    if (runner_open(r, c->settings, pool, err))
        return -1;
    if (strcmp(c->router, "topp") == 0)
        bisect_p(&r->model, b, (double)config_int(&r->config, "router.k"));
    model_forward(&r->model, b, false, 1.0F, &(struct loss_weights){0}, NULL);
    snprintf(k, sizeof k, "router.k=%.0f", fmax(1.0, round(mean_k(&r->model, b))));
    return runner_open(&p->topk, topk, pool, err);
}

static void pair_close(struct pair *p)
{
    runner_close(&p->router);
    runner_close(&p->topk);
}

static int pair_run(struct pair *p, struct pool *pool, const struct batch *b, struct error *err)
{
    for (int64_t step = -WARM_UP; step < args.steps; step++) {
        run_step(&p->router, b, step);
        run_step(&p->topk, b, step);
        double one = blas_measure_limit(pool, 2048, 3, err);
        if (one <= 0.0)
            return -1;
        if (step >= 0)
            p->limit[step] = one;
    }
    return 0;
}

static double median(const double *x)
{
    double sorted[MOST_STEPS];
    size_t n = (size_t)args.steps;

    memcpy(sorted, x, n * sizeof *x);
    gsl_sort(sorted, 1, n);
    return gsl_stats_median_from_sorted_data(sorted, 1, n);
}

/* Share of sgemm's limit, step by step. */
static double share_of(const struct runner *r, const double *limit)
{
    double share[MOST_STEPS] = {0};

    for (int64_t i = 0; i < args.steps; i++)
        share[i] = r->flops[i] / r->seconds[i] / (1e9 * limit[i]);
    return median(share);
}

static double ratio_of(const struct pair *p)
{
    double ratio[MOST_STEPS] = {0};

    for (int64_t i = 0; i < args.steps; i++)
        ratio[i] = p->router.flops[i] / p->router.seconds[i] / (p->topk.flops[i] / p->topk.seconds[i]);
    return median(ratio);
}

static void tell(struct figures *f, const struct contestant *c, const struct pair *p)
{
    const struct runner *r = &p->router;
    double sum = 0.0;

    for (int64_t i = 0; i < args.steps; i++)
        sum += r->seconds[i];
    figures_text(f, c->router);
    figures_real(f, r->k);
    figures_int(f, config_int(&p->topk.config, "router.k"));
    figures_real(f, 1e3 * median(r->seconds));
    figures_real(f, 1e-9 * median(r->flops));
    figures_real(f, r->router_seconds / sum);
    figures_real(f, share_of(r, p->limit));
    figures_real(f, share_of(&p->topk, p->limit));
    figures_real(f, ratio_of(p));
}

static bool wanted(const char *router)
{
    bool found = args.only.n == 0;

    for (int i = 0; i < args.only.n; i++)
        found = found || strcmp(args.only.items[i], router) == 0;
    return found;
}

static int bench_one(const struct contestant *c, struct pool *pool, const struct batch *b, struct figures *f,
                     struct error *err)
{
    struct pair *p = calloc(1, sizeof *p);
    int result = -1;

    if (!p)
        return error_no_memory(err, "a pair of models");
    if (!args.quiet)
        fprintf(stderr, "%s\n", c->router);
    if (pair_open(p, c, pool, b, err) == 0 && pair_run(p, pool, b, err) == 0) {
        tell(f, c, p);
        result = 0;
    }
    pair_close(p);
    free(p);
    return result;
}

static int check_arguments(struct error *err)
{
    for (int i = 0; i < args.only.n; i++) {
        bool found = false;
        for (int c = 0; c < N_CONTESTANTS; c++)
            found = found || strcmp(contestants[c].router, args.only.items[i]) == 0;
        if (!found)
            return error_set(err, STATUS_USAGE, "there is no router '%s' to time", args.only.items[i]);
    }
    if (args.steps < 1 || args.steps > MOST_STEPS)
        return error_set(err, STATUS_USAGE, "--steps must be 1 to %d", MOST_STEPS);
    return 0;
}

static int bench(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    static const char *const columns[] = {"router",       "k",     "top_k",       "ms_per_step", "gflop",
                                          "router_share", "limit", "top_k_limit", "ratio"};
    static const char *const none[4] = {NULL};
    struct runner plain = {0};
    struct pool *pool = NULL;
    struct batch b = {0};
    struct figures f;
    int result = -1;

    (void)context;
    (void)operands;
    (void)n_operands;
    blas_start();
    if (check_arguments(err))
        return -1;
    if (configure(&plain, none, err) == 0 && pool_open(&pool, (int)args.threads, err) == 0 &&
        made_up_batch(&b, (int)config_int(&plain.config, "train.tokens_per_step"),
                      (int)config_int(&plain.config, "model.context"), (int)args.vocabulary, err) == 0 &&
        figures_open(&f, out, args.format, args.json, "Routers beside top-k", columns, 9, err) == 0) {
        result = 0;
        for (int i = 0; i < N_CONTESTANTS && result == 0; i++)
            result = wanted(contestants[i].router) ? bench_one(&contestants[i], pool, &b, &f, err) : 0;
        result = figures_close(&f, result, err);
    }
    made_up_release(&b);
    pool_close(pool);
    config_release(&plain.config);
    return result;
}

int main(int argc, char **argv)
{
    int status = program_main(&program, argc, argv, NULL, bench, NULL);

    string_list_release(&args.set);
    string_list_release(&args.only);
    return status;
}
