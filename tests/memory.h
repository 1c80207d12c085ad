/* What the engine needs to train, all of it in memory: a corpus of made-up documents, a small configuration,
 * and a sink that remembers what it was told. Whatever cannot be done fails the test it was called from. */
#ifndef TESTS_MEMORY_H
#define TESTS_MEMORY_H
#include "engine/config.h"
#include "engine/corpus.h"
#include "engine/sink.h"

/* ---- corpus ---- */

struct memory_document {
    int domain;
    enum corpus_split split;
    int n_ids;
};
/* Ids between BOS and EOS count upwards, in domain d by d + 1 from a start of the document's own, around the
 * vocabulary: easy to learn, and different at neighbouring places. Item 3 is the byte <0xE3>, item v > 3 a
 * piece of v % 4 + 1 bytes. */
void memory_corpus(struct corpus *c, const struct memory_document *documents, int n, int n_vocabulary);
void memory_corpus_release(struct corpus *c);

/* Two domains, 12 train, 4 valid and 4 probe documents of 20 to 43 ids; vocabulary of 24. */
void memory_small_corpus(struct corpus *c);

/* ---- configuration ---- */

/* 2 blocks of width 16, 2 heads, context 8, 4 experts of 8, top-2; 32 tokens a step; then the assignments,
 * ended by NULL (may be NULL itself). */
void memory_config(struct config *c, const char *const *assignments);

/* ---- sink ---- */

enum memory_kind {
    MEMORY_PASS,
    MEMORY_SUMMARY,
    MEMORY_METRIC,
    MEMORY_EVENT,
    MEMORY_CHECKPOINT,
    MEMORY_COMMIT,
    MEMORY_DRAIN
};

struct memory_call {
    enum memory_kind kind;
    int64_t step;
    enum corpus_split split;
    char name[48]; /* of a metric; kind of an event */
    double value;  /* of a metric or event; tokens of a pass or summary */
    int layer;     /* of an event; -1: none */
    double loss;   /* sum over the tokens of a pass or summary */
};

struct memory_sink {
    struct sink sink; /* give its address to the trainer */
    struct memory_call *calls;
    int n, capacity;
    int fail_at; /* call of this number fails; -1: none */
};

void memory_sink_open(struct memory_sink *s);
void memory_sink_release(struct memory_sink *s);
/* The only metric of that name, split and step; fails the test unless there is exactly one. */
double memory_metric(const struct memory_sink *s, int64_t step, enum corpus_split split, const char *name);

#endif
