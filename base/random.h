/* xoshiro256++ (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021), seeded by
 * splitmix64. The state is plain data, so that a checkpoint can keep it. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H
#include <stdint.h>

struct random {
    uint64_t s[4];
};

void random_seed(struct random *r, uint64_t seed, uint64_t stream); /* same seed, other stream: independent */
uint64_t random_bits(struct random *r);
double random_uniform(struct random *r);             /* [0, 1) */
uint64_t random_below(struct random *r, uint64_t n); /* 0 .. n-1, unbiased */
double random_normal(struct random *r);              /* mean 0, variance 1 (Box-Muller, no cached half) */
void random_shuffle(struct random *r, int *items, int n); /* Fisher-Yates */

#endif
