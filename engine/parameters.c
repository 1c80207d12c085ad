#include "engine/parameters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

enum { LINE = 16 }; /* floats of a cache line, on which every tensor starts */

struct parameter *parameters_add(struct parameters *p, const char *name, const float **value,
                                 float **gradient, int n, const int *shape)
{
    struct parameter *items = realloc(p->items, ((size_t)p->n + 1) * sizeof *items), *new = &p->spare;

    if (items) {
        p->items = items;
        new = &items[p->n++];
    }
    p->failed = p->failed || !items;
    *new = (struct parameter){.n_dimensions = n,
                              .offset = p->n_values,
                              .count = 1,
                              .trained = gradient,
                              .value = value,
                              .gradient = gradient};
    snprintf(new->name, sizeof new->name, "%s", name);
    for (int i = 0; i < n; i++) {
        new->shape[i] = shape[i];
        new->count *= (size_t)shape[i];
    }
    p->n_values += (new->count + LINE - 1) / LINE * LINE;
    if (new->trained)
        p->n_weights = p->n_values;
    return new;
}

int parameters_allocate(struct parameters *p, struct error *err)
{
    p->values = aligned_alloc(LINE * sizeof(float), (p->n_values + LINE) * sizeof(float));
    p->gradients = aligned_alloc(LINE * sizeof(float), (p->n_weights + LINE) * sizeof(float));
    if (p->failed || !p->values || !p->gradients)
        return error_no_memory(err, "a network's weights");
    memset(p->values, 0, p->n_values * sizeof(float));
    memset(p->gradients, 0, p->n_weights * sizeof(float));
    for (int i = 0; i < p->n; i++) {
        *p->items[i].value = p->values + p->items[i].offset;
        if (p->items[i].trained)
            *p->items[i].gradient = p->gradients + p->items[i].offset;
    }
    return 0;
}

void parameters_release(struct parameters *p)
{
    free(p->items);
    free(p->values);
    free(p->gradients);
    *p = (struct parameters){0};
}

static uint64_t hash_name(const char *name)
{
    uint64_t h = 1469598103934665603U; /* FNV-1a: only to give each name a random stream of its own */

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 1099511628211U;
    return h;
}

void parameters_seed(struct parameters *p, uint64_t seed)
{
    for (int i = 0; i < p->n; i++) {
        const struct parameter *item = &p->items[i];
        struct random r;
        random_seed(&r, seed, hash_name(item->name));
        for (size_t j = 0; j < item->count && item->trained; j++)
            p->values[item->offset + j] =
                item->mean + (item->deviation > 0.0F ? item->deviation * (float)random_normal(&r) : 0.0F);
    }
}

double parameters_count(const struct parameters *p)
{
    double n = 0.0;

    for (int i = 0; i < p->n; i++)
        n += p->items[i].trained ? (double)p->items[i].count : 0.0;
    return n;
}

const struct parameter *parameters_find(const struct parameters *p, const char *name)
{
    for (int i = 0; i < p->n; i++) {
        if (strcmp(p->items[i].name, name) == 0)
            return &p->items[i];
    }
    return NULL;
}
