/* What the log of another engine did not say of a run (moescope import), so that analyses which need it say
 * so and do not guess. All false for a run that was logged here. */
#ifndef ANALYSIS_SHARED_IMPORTED_H
#define ANALYSIS_SHARED_IMPORTED_H
#include <stdbool.h>

#include "analysis/shared/program.h"

struct imported {
    bool imported;
    bool ids_unknown; /* every token has id 0 */
    bool slots_by_id; /* slot 0 is the smallest id, not the first choice */
    bool gates_unknown;
    bool without_probabilities;
};
int imported_read(struct imported *i, struct logbook *lb, int64_t run_id, struct error *err);

/* Lines that say what is not known of `subject` ("run a"), and what is therefore left out. */
void imported_say(const struct imported *i, const char *subject, struct verdicts *v);

#endif
