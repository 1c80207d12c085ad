/* The intake: what every format turns its files into. An import reads its files twice. The first time the
 * intake only looks: it learns the shape of the run and gathers what the doctor judges
 * (import/shared/survey.h). The second time it writes to the logbook (import/shared/keep.h). A format does
 * the same both times, and keeps no more in memory than the rows that it is at.
 *
 *     intake_begin      some tokens that pass through the model together: a micro-batch, part of an answer
 *     intake_routing    their choices in one layer; layers in any order, also of several stretches in turn
 *     intake_load       or counts by expert, where there is nothing else
 *
 * Steps come in order. Layers have the numbers that the file gives them. */
#ifndef IMPORT_SHARED_INTAKE_H
#define IMPORT_SHARED_INTAKE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "import/shared/findings.h"
#include "import/shared/request.h"

enum {
    STRETCH_TOKENS = 4096,    /* formats that may choose cut their tokens into stretches of so many */
    HELD_DECISIONS = 1 << 22, /* after so many, stretches that are not complete are let go */
    MTP_LAYER = 900           /* and on: blocks that predict further tokens, behind the model's layers */
};

struct intake;

struct stretch {
    int64_t step;
    int file;             /* index of the input */
    int n_tokens;         /* 1 or more */
    const char *document; /* its name; NULL: the file's. A place in --documents wins over both */
    const char *listed;   /* its name in --documents; NULL: the same */
    const char *domain;   /* of that document; NULL: the file's, or what --documents says */
    int64_t offset;       /* of the first token in the document; without one, in the stream of all tokens */
    bool again;           /* the same tokens, let go before all layers were there */
    const int32_t *ids;   /* (n_ids) */
    int n_ids;            /* 0: unknown, or from --tokens; else n_tokens or n_tokens + 1 */
};
/* *handle: for intake_routing, until intake_flush. */
int intake_begin(struct intake *in, const struct stretch *s, int *handle, struct error *err);

struct routed {
    int layer;
    int k;                    /* columns */
    const int32_t *expert;    /* (n_tokens, k), negative: no choice */
    const float *gate;        /* (n_tokens, k) NULL: unknown */
    int n_experts;            /* of the layer; 0: unknown */
    const float *probability; /* (n_tokens, n_experts) NULL: unknown */
};
int intake_routing(struct intake *in, int handle, const struct routed *r, struct error *err);

struct load {
    int64_t step;
    int file, layer, n_experts;
    const int64_t *count; /* (n_experts) assignments; of parts of a step, they add up */
    const char *domain;   /* NULL: the file's */
};
int intake_load(struct intake *in, const struct load *load, struct error *err);

/* Experts a token, where there are counts alone and the files say it. */
void intake_topk(struct intake *in, int k);

/* What is complete may be written; handles are forgotten. Survey and store both count. */
int intake_flush(struct intake *in, struct error *err);
/* Decisions since the last flush. */
int64_t intake_held(const struct intake *in);

/* What only the format can see. */
void intake_finding(struct intake *in, enum trap trap, enum ruling ruling, const char *instead,
                    const char *format, ...) __attribute__((format(printf, 5, 6)));
bool intake_accepts(const struct intake *in, enum trap trap);
/* The second time: findings are known, shapes as well. */
bool intake_writes(const struct intake *in);
const struct request *intake_request(const struct intake *in);
/* How many layers that file has, or all of them; 0 the first time. */
int intake_layers_of(const struct intake *in, int file);
/* Bytes of all files that have been read, for the progress bar. */
void intake_progress(struct intake *in, int64_t bytes);

#endif
