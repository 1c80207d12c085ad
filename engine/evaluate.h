/* Forward passes without learning: validation, the probe, new text. */
#ifndef ENGINE_EVALUATE_H
#define ENGINE_EVALUATE_H
#include "base/error.h"
#include "engine/data.h"
#include "engine/model.h"
#include "engine/sink.h"
#include "engine/tally.h"

struct evaluation {
    struct model *model;
    const struct corpus *corpus;
    const struct sink *sink;
    struct packed *packed; /* room for batches */
    struct tally *tally;   /* left holding the sums, by domain and with concentration */
    int64_t step;
};

/* Routes all samples and tells the sink each pass, then the summary and the metrics loss (token-weighted
 * mean, nats) and bits_per_byte (over the bytes that the samples' tokens stand for). */
int evaluate(const struct evaluation *e, const struct samples *samples, enum corpus_split split,
             struct error *err);
double tally_mean_loss(const struct tally *t);
double tally_bits_per_byte(const struct tally *t);

#endif
