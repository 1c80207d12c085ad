/* All parameters of a network in one allocation, described by one table: sizes, pointers, initial values, the
 * optimiser, checkpoints and gradient tests iterate it. */
#ifndef ENGINE_PARAMETERS_H
#define ENGINE_PARAMETERS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { MAX_DIMENSIONS = 4 };

struct parameter {
    char name[48]; /* "layers.0.experts.in" */
    int n_dimensions, shape[MAX_DIMENSIONS];
    size_t offset, count;  /* in floats */
    float mean, deviation; /* initial values: normal; without deviation all are the mean */
    bool decay;            /* weight decay applies */
    bool trained;          /* has a gradient; otherwise it is a state, behind all that have one */
    int layer;             /* of a state */
    const float **value;   /* the pointers that parameters_allocate sets */
    float **gradient;      /* NULL: a state has none */
};

struct parameters {
    struct parameter *items;
    int n;
    size_t n_weights, n_values; /* that are trained; with the states behind them; padding included */
    float *values;              /* (n_values) */
    float *gradients;           /* (n_weights) */
    struct parameter spare;     /* where an entry goes that found no memory: parameters_allocate says so */
    bool failed;
};

/* An entry behind all others, with shape[0..n-1]; the caller fills in mean, deviation and decay. All states
 * come after all that are trained (gradient NULL: a state). Good until the next call; never NULL. */
struct parameter *parameters_add(struct parameters *p, const char *name, const float **value,
                                 float **gradient, int n, const int *shape);
/* Memory for what was described, all 0, and every pointer into it. */
int parameters_allocate(struct parameters *p, struct error *err);
void parameters_release(struct parameters *p);
/* Initial values of what is trained, from the seed and each one's name alone: the same names get the same
 * values whatever else the network has. */
void parameters_seed(struct parameters *p, uint64_t seed);
const struct parameter *parameters_find(const struct parameters *p, const char *name); /* NULL: none */
/* Weights that are trained, padding left out. */
double parameters_count(const struct parameters *p);

#endif
