/* Going through sequences and their packed blocks: what the readers in C (sql/blocks.c) and the virtual
 * tables (sql/vtab.c) share. A filter narrows down what is read; whatever it leaves out costs no decoding.
 * Private to sql/. */
#ifndef SQL_SCAN_H
#define SQL_SCAN_H
#include "sql/db.h"

struct scan_range { /* both inclusive; low > high: nothing */
    int64_t low, high;
};
struct scan_filter {
    struct scan_range run, step, sequence, sample, document, domain, layer;
    const char *split; /* NULL: all; must live as long as the scan goes on */
};
void scan_filter_all(struct scan_filter *f);

struct scan_sequence { /* pieces live until the next sequence */
    int64_t sequence_id, run_id, step, sample_id, document_id, domain_id, offset;
    char split[64];
    int n_tokens;
    struct piece tokens; /* n_tokens + 1 ids of token_width bytes */
    int token_width;
    struct piece losses; /* NULL: not kept */
};

struct scan_block { /* pieces live until the next block */
    int layer, n_experts;
    struct packed_block packed;
    int n_decisions;
    struct piece probability; /* of a probability block, instead of packed: 16 bits each */
};

enum scan_kind { SCAN_SEQUENCES, SCAN_ROUTING, SCAN_PROBABILITIES };

struct scan {
    struct logbook *lb;
    enum scan_kind kind;
    bool contents; /* tokens and losses are wanted */
    struct scan_filter filter;
    struct statement by_id, by_run, by_split, sample, text, blocks;
    struct statement *passes; /* whichever of by_* serves the filter */
    struct scan_sequence sequence;
    struct scan_block block;
    bool on_block, walking;       /* `blocks` stands on a row; ... and goes on to the end of the table */
    bool handed_out;              /* that row is s->block */
    int64_t block_id, last_block; /* the row's; the last of the sequence that is wanted */
    int64_t layers_of;            /* the run that n_experts is of; -1: none yet */
    int32_t n_experts[LOGBOOK_MAX_LAYERS]; /* 0: not an MoE layer */
    bool in_sequence, done;
};

/* Statements are prepared once and serve any number of scans. *s need not be zeroed. */
int scan_open(struct scan *s, struct logbook *lb, enum scan_kind kind, bool contents, struct error *err);
void scan_close(struct scan *s);
void scan_start(struct scan *s, const struct scan_filter *filter);
/* At its end, letting go of the file: a reader that holds it keeps writers waiting (but in WAL mode). */
void scan_rest(struct scan *s);

/* 1: s->sequence is the next one, 0: no more, -1. */
int scan_next_sequence(struct scan *s, struct error *err);
/* Its two halves, for those who share a scan (sql/crew.h). The first finds the next sequence and no more of
 * it than sequence_id, run_id, step and split: 1, 0, -1. The second goes there, in any scan of the same
 * filter, and says whether it is wanted: 1, 0, -1. afresh: not behind the one before. */
int scan_find_sequence(struct scan *s, struct error *err);
int scan_enter_sequence(struct scan *s, const struct scan_sequence *found, bool afresh, struct error *err);
/* 1: s->block is the next block of s->sequence, checked against its checksum and its layer; 0: no more in it,
 * -1. */
int scan_next_block(struct scan *s, struct error *err);
/* The same across sequences: 0 at the end of them all. */
int scan_next_block_of_any(struct scan *s, struct error *err);

#endif
