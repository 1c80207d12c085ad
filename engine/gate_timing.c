#include "engine/gate_timing.h"

#include <math.h>

#include "base/progress.h"

enum { REPEATS = 5, BASE = 0, EXPERT, EXITS, N_WAYS };

static double once(struct single_gate *g, const struct corpus *corpus, int way, float confidence)
{
    double start = clock_seconds();

    if (way == BASE) {
        classifier_forward(&g->base, corpus, false, 1.0F);
    } else {
        single_gate_look(g, corpus);
        single_gate_say(g, way == EXITS ? confidence : 2.0F);
    }
    return clock_seconds() - start;
}

static struct gate_timing measure(struct single_gate *g, const struct corpus *corpus,
                                  const struct samples *samples, int n_images, int batch, float confidence)
{
    double sum[N_WAYS] = {0.0};
    int done = 0;

    while (done < n_images && done < samples->n) {
        double least[N_WAYS] = {INFINITY, INFINITY, INFINITY};
        classifier_clear(&g->base);
        for (int i = 0; i < batch && done < samples->n; i++, done++)
            classifier_add(&g->base, corpus, &samples->items[done]);
        /* A way's first finds what the way before it left in caches. */
        for (int i = 0; i < REPEATS * N_WAYS; i++)
            least[i / REPEATS] = fmin(least[i / REPEATS], once(g, corpus, i / REPEATS, confidence));
        for (int way = 0; way < N_WAYS; way++)
            sum[way] += least[way];
    }
    return (struct gate_timing){sum[BASE] / done, sum[EXPERT] / done, sum[EXITS] / done};
}

static void set_pool(struct single_gate *g, struct pool *pool)
{
    g->base.net.network.pool = g->gate.pool = g->experts.pool = pool;
}

int gate_timing_measure(struct single_gate *g, const struct corpus *corpus, const struct samples *samples,
                        int n_images, int batch, float confidence, struct gate_timing *to, struct error *err)
{
    struct pool *usual = g->experts.pool, *one;

    if (pool_open(&one, 1, err))
        return -1;
    set_pool(g, one);
    *to = measure(g, corpus, samples, n_images, batch, confidence);
    set_pool(g, usual);
    pool_close(one);
    return 0;
}
