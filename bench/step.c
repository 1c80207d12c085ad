/* How close a training step comes to the machine's limit. Trains on random tokens, so that it needs no
 * corpus, and measures sgemm (2048 x 2048 x 2048, every core) between steps in the same process: the ratio is
 * what counts, the machine's mood falls on both sides. */
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

struct arguments {
    struct string_list set;
    const char *format, *json;
    int64_t steps, vocabulary, threads;
};
static struct arguments args = {.format = "table", .steps = 8, .vocabulary = 8192};

static const struct option_spec options[] = {
    {"set", 's', OPTION_LIST, &args.set, "SECTION.KEY=VALUE",
     "the model's shape; the defaults are reference model R"},
    {"steps", 0, OPTION_INT, &args.steps, "N", "steps to time, after two to warm up (default 8)"},
    {"vocabulary", 0, OPTION_INT, &args.vocabulary, "N", "items (default 8192)"},
    {"threads", 0, OPTION_INT, &args.threads, "N", "0: one per core"},
    {"format", 0, OPTION_STRING, &args.format, "FORMAT", "table, csv, json"},
    {"json", 0, OPTION_STRING, &args.json, "FILE", "the same as JSON, in a file"},
    {0},
};

static const struct program program = {
    .verb = "bench-step",
    .operands = "",
    .purpose = "time a training step against the sgemm limit",
    .examples = "bench/step\nbench/step --set model.width=128 --set router.hidden=128 --vocabulary 4096",
    .options = options,
};

static void tell(struct figures *f, const char *part, double seconds, double step)
{
    figures_text(f, part);
    figures_real(f, 1e3 * seconds);
    figures_real(f, seconds / step);
}

/* seconds: of all steps; limit: sgemm's, in GFLOP/s. */
static int print(const struct model *m, double flops, double seconds, double limit, FILE *out,
                 struct error *err)
{
    static const char *const columns[] = {"part", "ms_per_step", "share"};
    double steps = (double)args.steps, step = seconds / steps, least = flops / limit * 1e-9;
    struct figures f;

    if (figures_open(&f, out, args.format, args.json, "Where a step goes", columns, 3, err))
        return -1;
    for (int i = 0; i < N_PARTS; i++)
        tell(&f, part_names[i], m->seconds[i] / steps, step);
    tell(&f, "the whole step", step, step);
    tell(&f, "its operations at sgemm's limit", least, step);
    if (figures_close(&f, 0, err))
        return -1;
    if (strcmp(args.format, "table") == 0)
        fprintf(out, "%.1f GFLOP a step, %.1f GFLOP/s; sgemm limit %.1f GFLOP/s (%s): %.1f %%\n",
                flops * 1e-9, flops / step * 1e-9, limit, blas_core_type(), 100.0 * least / step);
    return 0;
}

static int bench(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    struct config config;
    struct model_config mc;
    struct model m = {0};
    struct batch b = {0};
    struct pool *pool = NULL;
    struct loss_weights weights = {.balance = 0.01F, .z = 0.001F};
    double seconds = 0.0, limit = 0.0;
    struct optimiser optimiser = {0};
    int tokens, result = -1;

    (void)context;
    (void)operands;
    (void)n_operands;
    blas_start();
    if (config_init(&config, err))
        return -1;
    if (config_set_all(&config, args.set.items, args.set.n, err))
        goto done;
    tokens = (int)config_int(&config, "train.tokens_per_step");
    if (config_model(&config, (int)args.vocabulary, &mc, err) || pool_open(&pool, (int)args.threads, err) ||
        model_init(&m, &mc, tokens, pool, err) || made_up_batch(&b, tokens, mc.context, mc.vocabulary, err) ||
        model_seed(&m, 1, err) || made_up_optimiser(&optimiser, &m.parameters, err))
        goto done;
    for (int step = -2; step < args.steps; step++) {
        double start = clock_seconds();
        if (step == 0) {
            memset(m.seconds, 0, sizeof m.seconds);
            seconds = 0.0;
        }
        model_forward(&m, &b, true, 1.0F, &weights, NULL);
        made_up_update(&m, &optimiser);
        seconds += clock_seconds() - start;
        double one = blas_measure_limit(pool, 2048, 3, err);
        limit += step >= 0 ? one / (double)args.steps : 0.0;
    }
    result = print(&m, model_flops_per_token(&mc, NULL, mc.context) * tokens, seconds, limit, out, err);
done:
    optimiser_release(&optimiser);
    made_up_release(&b);
    model_release(&m);
    pool_close(pool);
    config_release(&config);
    return result;
}

int main(int argc, char **argv)
{
    int status = program_main(&program, argc, argv, NULL, bench, NULL);

    string_list_release(&args.set);
    return status;
}
