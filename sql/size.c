/* How large a run's log will be, from the shape of a step: the packed blobs, which are exact, and what a row
 * of each table costs around them, measured with SQLite 3.40 (tests/sql/test_storage.c holds them together).
 */
#include <math.h>

#include "sql/logbook.h"

enum {
    EMPTY_LOGBOOK = 1100000,  /* a page for each table and index */
    SEQUENCE_ROW = 50,        /* with its entry in the index sequence_pass */
    SAMPLE_ROW = 80,          /* sha256, and an entry in the index of pieces */
    BLOCK_ROW = 34,           /* ids, codec, scale, checksum */
    LOAD_OF_EXPERT = 50,      /* four numbers, two of them with 17 digits */
    STEP_METRICS = 560,       /* about ten figures */
    LAYER_METRIC = 60,        /* router entropy */
    DOCUMENT_LOSS = 42,       /* one a sequence at most */
    EVALUATION_METRICS = 1000 /* figures of a pass over the probe: rank mass, loads by domain not counted */
};
static const double page_fill = 0.98; /* what a page of 32 KiB holds of rows of a kilobyte */

struct pass_shape {
    double tokens, context, layers, n_experts, k;
    int expert_bytes, gate_bytes;
};

static double decision_bytes(const struct pass_shape *p)
{
    double blocks = p->tokens / p->context * p->layers;
    double bytes = p->tokens * p->layers * p->k * (p->expert_bytes + p->gate_bytes) + blocks * BLOCK_ROW;
    bool varies = floor(p->k) < p->k;
    return varies ? bytes + blocks * 2 * (p->context + 1) : bytes;
}

static double token_bytes(const struct pass_shape *p)
{
    return p->tokens * 2 + p->tokens / p->context * SEQUENCE_ROW; /* losses */
}

/* What every training step logs, decisions kept or not. */
static double summary_bytes(const struct pass_shape *p)
{
    return STEP_METRICS + p->layers * (p->n_experts * LOAD_OF_EXPERT + LAYER_METRIC) +
           p->tokens / p->context * DOCUMENT_LOSS;
}

double logbook_size_estimate(const struct logbook_size_shape *shape)
{
    const double context = shape->context > 0 ? (double)shape->context : 1;
    const double id_bytes = shape->vocabulary > 65536 ? 4 : 2;
    struct pass_shape step = {.tokens = (double)shape->tokens_per_step,
                              .context = context,
                              .layers = shape->moe_layers,
                              .n_experts = shape->n_experts,
                              .k = shape->k,
                              .expert_bytes = shape->n_experts > 256 ? 2 : 1,
                              .gate_bytes = shape->gate_bits == 16 ? 2 : 1};
    struct pass_shape probe = step;
    double steps = (double)shape->steps, samples = 0;
    double bytes = steps * summary_bytes(&step);
    probe.tokens = shape->probe_tokens;
    bytes += shape->probe_passes * (EVALUATION_METRICS + summary_bytes(&probe));
    if (shape->decisions >= 2) {
        bytes += steps * (token_bytes(&step) + decision_bytes(&step));
        samples += (double)shape->distinct_tokens / context;
    }
    if (shape->decisions >= 1) {
        double blocks = probe.tokens / context * probe.layers;
        double vectors = 2 * probe.tokens * probe.layers * probe.n_experts + blocks * BLOCK_ROW;
        bytes += shape->probe_passes * (token_bytes(&probe) + decision_bytes(&probe) + vectors);
        samples += probe.tokens / context;
    }
    bytes += samples * (id_bytes * (context + 1) + SAMPLE_ROW);
    return EMPTY_LOGBOOK + bytes / page_fill;
}
