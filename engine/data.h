/* From a corpus to batches. A document is cut into samples of at most `context` tokens; a sample never
 * crosses a document. Training visits all train samples in an order shuffled anew each epoch from the seed
 * alone, so that a position in the stream is two numbers and two runs with one seed see the same data. */
#ifndef ENGINE_DATA_H
#define ENGINE_DATA_H
#include <stdint.h>

#include "base/error.h"
#include "engine/corpus.h"
#include "engine/model.h"
#include "engine/pass.h"

struct samples {
    struct sample *items;
    int n;
    int64_t n_tokens;
};

/* Samples of one split, in the corpus's order. tokens_per_document: at most so many from its start; 0: all.
 */
int samples_init(struct samples *s, const struct corpus *c, enum corpus_split split, int context,
                 int64_t tokens_per_document, struct error *err);
/* The first train documents of each domain, to be read again without learning: what a model remembers. */
int samples_init_seen(struct samples *s, const struct corpus *c, int context, int64_t tokens_per_document,
                      int documents_per_domain, struct error *err);
void samples_release(struct samples *s);

struct stream {
    const struct samples *samples;
    int *order;
    uint64_t seed;
    int64_t epoch; /* the position: what a checkpoint keeps */
    int next;
};

int stream_init(struct stream *s, const struct samples *samples, uint64_t seed, struct error *err);
void stream_release(struct stream *s);
void stream_seek(struct stream *s, int64_t epoch, int next);
/* The next sample, of the next epoch where this one is at its end; advance goes on behind it. */
const struct sample *stream_peek(struct stream *s);
void stream_advance(struct stream *s);

/* A batch together with what each of its sequences is. */
struct packed {
    struct batch batch;
    const struct sample **sample; /* (n_sequences) */
    int max_tokens;
};
int packed_init(struct packed *p, int max_tokens, struct error *err);
void packed_release(struct packed *p);
/* What the last forward pass of the batch has to tell. */
struct pass packed_pass(const struct packed *p, const struct model *m);

/* Takes samples while they fit (at least one: max_tokens must be no less than the context). */
void packed_from_stream(struct packed *p, const struct corpus *c, struct stream *s);
/* The same from samples in order, from *next on; returns 0 when none are left. */
int packed_in_order(struct packed *p, const struct corpus *c, const struct samples *s, int *next);

#endif
