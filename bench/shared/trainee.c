#include "bench/shared/trainee.h"

#include <math.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "base/progress.h"
#include "bench/shared/made_up.h"
#include "engine/blas.h"

enum { LIMIT_SIZE = 2048, LIMIT_REPEATS = 3, WARM_UP = 2 };
static const double block_seconds = 0.3;
static const struct loss_weights weights = {.balance = 0.01F, .z = 0.001F};

int trainee_open(struct trainee *t, const char *const *settings, int n_settings, int vocabulary,
                 struct pool *pool, struct error *err)
{
    struct model_config shape;

    *t = (struct trainee){.steps = 1};
    if (config_init(&t->config, err) || config_set_all(&t->config, settings, n_settings, err) ||
        config_model(&t->config, vocabulary, &shape, err))
        return -1;
    int tokens = (int)config_int(&t->config, "train.tokens_per_step");
    t->gflop = 1e-9 * model_flops_per_token(&shape, NULL, shape.context) * tokens;
    return model_init(&t->model, &shape, tokens, pool, err) || model_seed(&t->model, 1, err) ||
                   made_up_batch(&t->batch, tokens, shape.context, vocabulary, err) ||
                   made_up_optimiser(&t->optimiser, &t->model.parameters, err)
               ? -1
               : 0;
}

void trainee_release(struct trainee *t)
{
    optimiser_release(&t->optimiser);
    made_up_release(&t->batch);
    model_release(&t->model);
    config_release(&t->config);
}

static void forward_backward(struct trainee *t)
{
    t->loss = model_forward(&t->model, &t->batch, true, 1.0F, &weights, NULL).lm;
}

static void update(struct trainee *t)
{
    made_up_update(&t->model, &t->optimiser, t->updates++);
}

static double time_steps(struct trainee *t, int n)
{
    double start = clock_seconds();

    for (int i = 0; i < n; i++) {
        forward_backward(t);
        update(t);
    }
    return (clock_seconds() - start) / n;
}

int trainee_fingerprint(struct trainee *t, int updates, char hex[SHA256_HEX], struct error *err)
{
    const struct parameters *p = &t->model.parameters;
    struct sha256 sum;

    if (model_seed(&t->model, 1, err))
        return -1;
    memset(t->optimiser.first, 0, p->n_weights * sizeof *t->optimiser.first);
    t->updates = 0;
    memset(t->optimiser.second, 0, p->n_weights * sizeof *t->optimiser.second);
    time_steps(t, updates - 1);
    sha256_start(&sum);
    forward_backward(t);
    sha256_add(&sum, p->gradients, p->n_weights * sizeof *p->gradients);
    update(t);
    sha256_add(&sum, p->values, p->n_values * sizeof *p->values);
    sha256_finish(&sum, hex);
    return 0;
}

void trainee_warm_up(struct trainee *t)
{
    double seconds = INFINITY;

    for (int i = 0; i < WARM_UP; i++)
        seconds = fmin(seconds, time_steps(t, 1));
    t->steps = (int)ceil(block_seconds / seconds);
}

/* OpenBLAS's threads look for more work for some 30 ms before they sleep, and would take a core from the
 * step. */
static double measure_limit(struct pool *pool, struct error *err)
{
    const struct timespec rest = {.tv_nsec = 50000000};
    double limit = blas_measure_limit(pool, LIMIT_SIZE, LIMIT_REPEATS, err);

    nanosleep(&rest, NULL);
    return limit;
}

static void time_block(struct trainee *t, int block)
{
    memset(t->model.seconds, 0, sizeof t->model.seconds);
    t->step[block] = time_steps(t, t->steps);
    for (int i = 0; i < N_PARTS; i++)
        t->part[i][block] = t->model.seconds[i] / t->steps;
}

int trainee_run_block(struct trainee *t, int block, struct error *err)
{
    bool steps_first = block % 2;

    if (steps_first)
        time_block(t, block);
    t->limit[block] = measure_limit(t->model.pool, err);
    if (t->limit[block] <= 0.0)
        return -1;
    if (!steps_first)
        time_block(t, block);
    t->share[block] = t->gflop / (t->step[block] * t->limit[block]);
    return 0;
}

struct median blocks_median(const double *above, const double *below, int n)
{
    double ratio[MOST_BLOCKS] = {0};

    for (int i = 0; i < n; i++)
        ratio[i] = below ? above[i] / below[i] : above[i];
    return median_of(ratio, n);
}
