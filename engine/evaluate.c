#include "engine/evaluate.h"

#include <math.h>

double tally_mean_loss(const struct tally *t)
{
    return t->loss / (double)t->n_tokens;
}

/* A document's bytes, scaled by the share of its tokens that was read. */
static double bytes_read(const struct tally *t, const struct corpus *c)
{
    double bytes = 0.0;

    for (int d = 0; d < t->n_documents; d++) {
        const struct document *document = &c->documents[d];
        if (t->document_tokens[d] == 0)
            continue; /* not read; it may have nothing to predict at all */
        bytes += (double)document->n_bytes * (double)t->document_tokens[d] / (double)(document->n_ids - 1);
    }
    return bytes;
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
        tally_add(e->tally, e->corpus, e->packed, e->model);
        if (sink->pass(sink->context, e->step, split, e->packed, e->model, err))
            return -1;
    }
    if (sink->summary(sink->context, e->step, split, e->tally, err) ||
        sink->metric(sink->context, e->step, split, "loss", tally_mean_loss(e->tally), err))
        return -1;
    return sink->metric(sink->context, e->step, split, "bits_per_byte",
                        e->tally->loss / log(2.0) / bytes_read(e->tally, e->corpus), err);
}
