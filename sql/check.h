/* What the parts of the check share. Private to sql/: check.c has the file and what SQL states, check_loads.c
 * the loads, check_passes.c the sequences of a pass against its sums, check_blocks.c what is in a block. */
#ifndef SQL_CHECK_H
#define SQL_CHECK_H
#include <stdbool.h>
#include <stdint.h>

#include "base/progress.h"
#include "sql/db.h"
#include "sql/read.h"

struct check {
    struct logbook *lb;
    struct check_finding *findings; /* the caller's array */
    int n, capacity;
    struct progress *progress; /* NULL: none */
    int64_t done;              /* samples, loads and sequences */
};

/* Findings beyond the caller's array go into the last one. The pointer stays good. */
struct check_finding *finding_add(struct check *c, const char *what);
/* Counts a violation; the first is kept in words. */
void violated(struct check_finding *finding, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What cannot be read is a violation; what the machine cannot do ends the check: -1. */
int unreadable(struct check_finding *finding, const struct error *err);
/* One more thing has been looked at. */
void check_advance(struct check *c, const char *what);

int check_loads(struct check *c, struct error *err);
int check_passes(struct check *c, struct error *err);

/* Routers whose probabilities add up to 1 over the experts of a token: softmaxes, and scores that are made to
 * before they are logged. Of relu a token may have none. */
bool sums_to_one(const char *router);

/* What a sum of n terms may be off by: doubles, added in another order. */
static inline double rounding_of(double sum)
{
    return 1e-9 * (1 + (sum < 0 ? -sum : sum));
}

/* ---- blocks ---- */

/* A layer in the pass at hand: counted from its blocks. */
struct layer_count {
    int n_experts, k; /* 0: no MoE layer; varies */
    bool sums_to_one;
    int64_t *accepted, *dropped; /* (n_experts) */
    double *gate_sum,
        *gate_half;          /* (n_experts) of accepted decisions; half a step of each gate's quantisation */
    bool any, gates_unknown; /* decisions were logged in this pass; not all of their gates */
    double *probability_sum; /* (n_experts) */
    double *rank_mass;       /* (n_experts) of routers whose probabilities sum to 1, sums over tokens */
    double entropy;          /* likewise */
    int64_t probability_tokens; /* whose probabilities were kept */
};
int layer_count_init(struct layer_count *l, int n_experts, int k, bool sums_to_one, struct error *err);
void layer_count_clear(struct layer_count *l); /* before another pass of the same run */
void layer_count_release(struct layer_count *l);

struct block_check { /* findings and memory that blocks need */
    struct check_finding *checksums, *decoded, *decisions, *probabilities;
    struct decisions buffer;
    double *entropy_of; /* (65536) -p ln p of a stored probability */
};
int block_check_init(struct block_check *b, struct check *c, struct error *err);
void block_check_release(struct block_check *b);

/* `row`: of scan/routing_blocks, of scan/probability_blocks. -1: short of memory. */
int check_routing_block(struct block_check *b, struct layer_count layers[], struct statement *row,
                        int64_t sequence_id, int64_t n_tokens, struct error *err);
int check_probability_block(struct block_check *b, struct layer_count layers[], struct statement *row,
                            int64_t sequence_id, int64_t n_tokens, struct error *err);

/* How far what is computed from 16-bit probabilities may be from the truth, per token. */
double entropy_tolerance(int n_experts);
double mass_tolerance(int n_experts);

#endif
