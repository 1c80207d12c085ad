/* The stream of samples that a model of several sources learns from or is watched on: every update's batch is
 * drawn anew, a source by its share, then one of its samples; from a given update on the stream may have
 * drifted. All is a function of seed and update. */
#ifndef ENGINE_DRAWS_H
#define ENGINE_DRAWS_H
#include "base/error.h"
#include "base/random.h"
#include "engine/config.h"
#include "engine/corpus.h"
#include "engine/data.h"
#include "engine/mixed.h"

enum drift { DRIFT_NONE, DRIFT_MIX, DRIFT_NOISE };

struct draws {
    int n_sources;
    bool used[MIXTURE_MOST]; /* mixed.sources */
    enum drift drift;
    int64_t at;                                        /* the first update that has drifted */
    double share[MIXTURE_MOST], drifted[MIXTURE_MOST]; /* of the sources; each adds up to 1 */
    float noise;
    const struct samples *samples;               /* what is drawn */
    int first[MIXTURE_MOST], last[MIXTURE_MOST]; /* of them, each source's: first .. last - 1 */
};

/* Leaves out of s the samples of sources that mixed.sources does not name. */
int draws_select(struct draws *d, const struct config *config, const struct corpus *corpus,
                 struct error *err);
void draws_filter(const struct draws *d, const struct corpus *corpus, struct samples *s);
/* After both: what is drawn, and how. */
int draws_init(struct draws *d, const struct config *config, const struct corpus *corpus,
               const struct samples *samples, struct error *err);

bool draws_drifted(const struct draws *d, int64_t step);
/* Fills m with the update's batch. */
void draws_fill(const struct draws *d, struct mixed *m, bool drifted, struct random *r);

#endif
