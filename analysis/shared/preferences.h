/* The tokens that set each expert of a layer apart. */
#ifndef ANALYSIS_SHARED_PREFERENCES_H
#define ANALYSIS_SHARED_PREFERENCES_H
#include "analysis/shared/routed.h"

struct preference {        /* of an expert for a token */
    int expert, documents; /* documents in which the expert was given the token */
    int64_t token;
    double count, lift; /* lift: its share of the token's decisions over its share of all */
    double score;       /* count ln lift: the token's part in the expert's divergence from the layer */
};

/* Those with lift above 1, by expert, highest score first; caller frees. A token that fewer documents than
 * PREFERENCE_DOCUMENTS gave the expert is left out: a document full of it says little about the expert. */
enum { PREFERENCE_DOCUMENTS = 3 };
int preferences_find(const struct routed *s, const struct documents *d, struct preference **preferences,
                     int64_t *n, struct error *err);

#endif
