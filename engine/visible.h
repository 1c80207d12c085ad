/* Which experts a vocabulary item may go to, drawn before training from how often it occurs in the training
 * text (MaskMoE, Su et al. 2024; the paper leaves the split and the draw open, so they are options).
 *
 * A set is a row of N floats: 0 invisible, 1 visible to a frequent id, 2 visible to a rare id, so that a
 * checkpoint says all of it. Letters: V vocabulary, N experts. */
#ifndef ENGINE_VISIBLE_H
#define ENGINE_VISIBLE_H
#include "engine/routing.h"

int visible_check(const struct router_config *c, struct error *err);
/* Fills visible (V, N). count: (V) train tokens of each id, NULL: all alike. The same seed gives the same
 * sets; with visibility.shared every layer does. */
int visible_draw(const struct router_config *c, int layer, uint64_t seed, int vocabulary,
                 const int64_t *count, float *visible, struct error *err);
/* Whether visible (V, N) is what could have been drawn: everybody sees somebody. */
bool visible_fits(const struct router_config *c, int vocabulary, const float *visible);
/* frequent (V) becomes true where visibility.split says so. */
int visible_split(const struct visibility_config *c, uint64_t seed, int vocabulary, const int64_t *count,
                  bool *frequent, struct error *err);

static inline int visible_count(const float *visible /* (N) */, int N)
{
    int n = 0;

    for (int e = 0; e < N; e++)
        n += visible[e] > 0.0F;
    return n;
}
static inline bool visible_rare(const float *visible /* (N) */, int N)
{
    for (int e = 0; e < N; e++) {
        if (visible[e] > 0.0F)
            return visible[e] > 1.0F;
    }
    return false;
}

#endif
