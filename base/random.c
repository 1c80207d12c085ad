#include "base/random.h"

#include <assert.h>
#include <math.h>

/* splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): every seed,
 * zero too, becomes a state of well mixed bits. */
static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void random_seed(struct random *r, uint64_t seed, uint64_t stream)
{
    /* Only the seed is mixed before the two are joined: (1, 2) and (2, 1) must not be one sequence. */
    uint64_t mixed = seed;
    uint64_t state = splitmix(&mixed) ^ stream;
    for (int i = 0; i < 4; i++)
        r->s[i] = splitmix(&state);
}

static uint64_t rotate_left(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t random_bits(struct random *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotate_left(s[0] + s[3], 23) + s[0];
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

double random_uniform(struct random *r)
{
    return (double)(random_bits(r) >> 11) * 0x1p-53; /* 53 bits: every multiple of 2^-53 is as likely */
}

uint64_t random_below(struct random *r, uint64_t n)
{
    assert(n > 0);
    /* The first 2^64 mod n values would be one too many for some remainders: draw again. */
    uint64_t refused = (0 - n) % n, bits;
    do
        bits = random_bits(r);
    while (bits < refused);
    return bits % n;
}

double random_normal(struct random *r)
{
    double u = 1 - random_uniform(r); /* (0, 1]: the logarithm exists */
    double angle = 6.283185307179586 * random_uniform(r);
    return sqrt(-2 * log(u)) * cos(angle);
}

void random_shuffle(struct random *r, int *items, int n)
{
    for (int i = n - 1; i > 0; i--) {
        int j = (int)random_below(r, (uint64_t)i + 1);
        int swapped = items[i];
        items[i] = items[j];
        items[j] = swapped;
    }
}
