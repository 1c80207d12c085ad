#include "bench/shared/made_up.h"

#include <stdlib.h>

#include "base/progress.h"
#include "base/random.h"
#include "engine/kernels.h"

int made_up_batch(struct batch *b, int tokens, int context, int vocabulary, struct error *err)
{
    struct random r;

    random_seed(&r, 1, 0);
    b->n_tokens = tokens;
    b->n_sequences = tokens / context;
    b->input = malloc(sizeof(int32_t) * (size_t)tokens);
    b->target = malloc(sizeof(int32_t) * (size_t)tokens);
    b->position = malloc(sizeof(int32_t) * (size_t)tokens);
    b->start = malloc(sizeof(int32_t) * ((size_t)b->n_sequences + 1));
    if (!b->input || !b->target || !b->position || !b->start)
        return error_no_memory(err, "the batch");
    for (int t = 0; t < tokens; t++) {
        b->input[t] = (int32_t)random_below(&r, (uint64_t)vocabulary);
        b->target[t] = (int32_t)random_below(&r, (uint64_t)vocabulary);
        b->position[t] = t % context;
    }
    for (int s = 0; s <= b->n_sequences; s++)
        b->start[s] = s * context;
    return 0;
}

void made_up_release(struct batch *b)
{
    free(b->input);
    free(b->target);
    free(b->position);
    free(b->start);
    *b = (struct batch){0};
}

void made_up_update(struct model *m, float *first, float *second)
{
    struct adamw s = {1e-4F, 0.9F, 0.95F, 1e-8F, 0.1F, 0.1F, 0.05F, 1.0F};
    double start = clock_seconds(),
           norm = sum_of_squares(m->pool, m->parameters.gradients, m->parameters.n_weights);

    s.gradient_scale = norm > 1.0 ? 1.0F : 0.5F; /* keeps the norm from being optimised away */
    adamw_update(m->pool, &s, m->parameters.values, m->parameters.gradients, first, second,
                 m->parameters.n_weights);
    m->seconds[PART_OPTIMISER] += clock_seconds() - start;
}
