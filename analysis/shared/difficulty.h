/* How hard each token of the probe is, by the loss that another run has on it: a run that has no part in what
 * is asked, since the model's own loss depends on the experts it used. */
#ifndef ANALYSIS_SHARED_DIFFICULTY_H
#define ANALYSIS_SHARED_DIFFICULTY_H
#include "analysis/shared/documents.h"

struct difficulty {
    int64_t *sample; /* (n_samples) ids, ascending */
    int *first;      /* (n_samples + 1) where each one's tokens begin */
    signed char
        *tenth; /* (first[n_samples]) 0: among the easiest tenth of the tokens, ..., 9; -1: not known */
    int n_samples;
};

/* From the last probe of the run of that name. STATUS_INPUT when it kept no loss of any of these tokens. */
int difficulty_read(struct difficulty *d, struct logbook *lb, const char *run,
                    const struct documents *documents, struct error *err);
void difficulty_release(struct difficulty *d);                                  /* safe on zeroed */
int difficulty_of(const struct difficulty *d, int64_t sample_id, int position); /* tenth, or -1 */

#endif
