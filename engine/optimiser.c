#include "engine/optimiser.h"

#include <math.h>
#include <stdlib.h>

#include "engine/kernels.h"

int optimiser_init(struct optimiser *o, const struct parameters *p, struct error *err)
{
    o->first = calloc(p->n_weights + 1, sizeof *o->first);
    o->second = calloc(p->n_weights + 1, sizeof *o->second);
    if (o->first && o->second)
        return 0;
    optimiser_release(o);
    return error_no_memory(err, "the optimiser");
}

void optimiser_release(struct optimiser *o)
{
    free(o->first);
    free(o->second);
    o->first = o->second = NULL;
}

double optimiser_norm(struct pool *pool, const struct parameters *p)
{
    return sqrt(sum_of_squares(pool, p->gradients, p->n_weights));
}

void optimiser_update(struct optimiser *o, struct pool *pool, struct parameters *p, double learning_rate,
                      int64_t updates, double norm)
{
    struct adamw s = {.learning_rate = (float)learning_rate,
                      .beta1 = (float)o->beta1,
                      .beta2 = (float)o->beta2,
                      .epsilon = 1e-8F,
                      .correction1 = (float)(1.0 - pow(o->beta1, (double)updates + 1.0)),
                      .correction2 = (float)(1.0 - pow(o->beta2, (double)updates + 1.0)),
                      .gradient_scale = o->clip > 0.0 && norm > o->clip ? (float)(o->clip / norm) : 1.0F};

    for (int i = 0; i < p->n; i++) {
        const struct parameter *item = &p->items[i];
        if (!item->trained)
            continue;
        s.decay = item->decay ? (float)o->decay : 0.0F;
        adamw_update(pool, &s, p->values + item->offset, p->gradients + item->offset, o->first + item->offset,
                     o->second + item->offset, item->count);
    }
}

double schedule_rate(const struct schedule *s, int64_t updates)
{
    double left = (double)(s->updates - s->warmup), done = (double)(updates - s->warmup);

    if (updates < s->warmup)
        return s->highest * ((double)updates + 1.0) / (double)s->warmup;
    double wave = 0.5 * (1.0 + cos(3.14159265358979323846 * fmin(done / fmax(1.0, left), 1.0)));
    return s->highest * (s->final_share + (1.0 - s->final_share) * wave);
}
