/* A router by itself. Its matrix is the identity, so that a token's vector is its logits; a second one is 0
 * until a test says otherwise. Whatever cannot be done fails the test it was called from. */
#ifndef TESTS_ALONE_H
#define TESTS_ALONE_H
#include "engine/routing.h"
#include "tests/numeric.h"

struct alone {
    struct pool *pool;
    struct router router;
    struct routing routing;
    struct shelf shelf;
    float *second, *state; /* to be changed */
};

void alone_open(struct alone *a, const char *router, struct router_config config, int max_tokens);
void alone_close(struct alone *a);
/* Routes T tokens of N logits each; noise NULL: as in evaluation. */
void alone_route(struct alone *a, int T, const float *logits, struct random *noise);

/* Token t goes to these experts, in this order. */
void alone_expect(const struct alone *a, int t, const int *experts, int n);
/* What holds of every routing: no expert twice, gates as scores say, requests as counted. */
void alone_check(const struct alone *a);

#endif
