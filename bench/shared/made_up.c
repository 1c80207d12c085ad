#include "bench/shared/made_up.h"

#include <stdlib.h>

#include "base/progress.h"
#include "base/random.h"

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

int made_up_images(struct corpus *c, int n, int side, int classes, struct error *err)
{
    struct images *im = &c->images;
    struct random r;

    random_seed(&r, 1, 0);
    *c = (struct corpus){.n_domains = classes, .n_documents = n};
    *im = (struct images){.n = n, .height = side, .width = side, .channels = 1, .n_classes = classes};
    im->pixels = malloc((size_t)n * images_pixels(im));
    im->label = malloc((size_t)n * sizeof *im->label);
    c->documents = calloc((size_t)n, sizeof *c->documents); /* all of the train set */
    if (!im->pixels || !im->label || !c->documents) {
        made_up_images_release(c);
        return error_no_memory(err, "images");
    }
    for (size_t i = 0; i < (size_t)n * images_pixels(im); i++)
        im->pixels[i] = (uint8_t)random_below(&r, 256);
    for (int i = 0; i < n; i++)
        im->label[i] = (int32_t)random_below(&r, (uint64_t)classes);
    return 0;
}

void made_up_images_release(struct corpus *c)
{
    images_release(&c->images);
    free(c->documents);
    *c = (struct corpus){0};
}

int made_up_optimiser(struct optimiser *o, const struct parameters *p, struct error *err)
{
    *o = (struct optimiser){.beta1 = 0.9, .beta2 = 0.95, .decay = 0.1, .clip = 1.0};
    return optimiser_init(o, p, err);
}

void made_up_update(struct model *m, struct optimiser *o, int64_t updates)
{
    double start = clock_seconds();

    optimiser_update(o, m->pool, &m->parameters, 1e-4, updates, optimiser_norm(m->pool, &m->parameters));
    m->seconds[PART_OPTIMISER] += clock_seconds() - start;
}
