#include "engine/evaluate.h"

#include <math.h>

double tally_mean_loss(const struct tally *t)
{
    return t->loss / (double)t->n_tokens;
}

double tally_bits_per_byte(const struct tally *t)
{
    return t->loss / log(2.0) / (double)t->n_bytes;
}

int evaluate(const struct evaluation *e, const struct samples *samples, enum corpus_split split,
             struct error *err)
{
    const struct sink *sink = e->sink;
    struct loss_weights none = {0};
    int next = 0;

    tally_clear(e->tally, true, true);
    while (packed_in_order(e->packed, e->corpus, samples, &next)) {
        model_forward(e->model, &e->packed->batch, false, 1.0F, &none, NULL);
        struct pass pass = packed_pass(e->packed, e->model);
        tally_add(e->tally, e->corpus, &pass);
        if (sink->pass(sink->context, e->step, split, &pass, err))
            return -1;
    }
    if (sink->summary(sink->context, e->step, split, e->tally, err) ||
        sink->metric(sink->context, e->step, split, "loss", tally_mean_loss(e->tally), err))
        return -1;
    return sink->metric(sink->context, e->step, split, "bits_per_byte", tally_bits_per_byte(e->tally), err);
}
