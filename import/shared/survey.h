/* What a first reading of the files learns: the shape of the run, and running sums in which the traps show.
 */
#ifndef IMPORT_SHARED_SURVEY_H
#define IMPORT_SHARED_SURVEY_H
#include "base/file.h"
#include "import/shared/intake.h"
#include "sql/logbook.h"

enum { SURVEY_COLUMNS = 64 };

struct survey_layer {
    int number;           /* as the file has it */
    int n_experts;        /* that the file says; 0: nothing */
    int columns, widest;  /* of its rows; -1: they differ; the most */
    int64_t n_rows;       /* tokens */
    int64_t n_unrouted;   /* rows without any choice */
    int64_t n_missing;    /* single choices that are missing in the other rows */
    int64_t n_zero;       /* rows of nothing but 0, of two columns and more */
    int64_t n_duplicated; /* rows with an expert twice */
    int64_t n_several;    /* rows of two choices and more */
    int64_t n_ascending;  /* of them, in the order of their ids */
    int64_t n_repeated;   /* rows equal to the one before, in runs of PADDING_RUN and longer */
    int64_t n_steady;     /* rows since the last change */
    int64_t n_decisions;
    int32_t largest; /* id */
    int64_t *count;  /* (n_count) choices by id */
    int n_count;
    int32_t first[SURVEY_COLUMNS];           /* the first row */
    uint64_t constant;                       /* columns that never differed from it, a bit each */
    int64_t n_gates, n_gates_wrong;          /* known; negative or not finite */
    int64_t n_gate_rows, n_gates_descending; /* rows */
    int64_t n_probability_rows;
    int64_t n_loads;
    int64_t *last_load; /* (n_last) */
    int n_last, load_file;
    bool fell, changed; /* some count was less than at the step before; more */
};

struct survey_file {
    uint64_t layers[LOGBOOK_MAX_LAYERS / 64]; /* which it has */
    uint64_t content;                         /* a hash of all rows, in whatever order */
    int64_t n_tokens, n_stretches;
    int n_layers;
    int32_t largest; /* id */
};

struct survey {
    struct survey_layer *layers[LOGBOOK_MAX_LAYERS]; /* by number; NULL: not seen */
    struct survey_file *files;                       /* (n_files) */
    int n_files, last_file, experts;                 /* experts: that there are said to be; 0 */
    char **domains;                                  /* (n_files) of the request */
    int64_t first_step, last_step, n_steps, n_tokens, n_decisions, n_loads;
    int64_t n_with_ids, n_without_next; /* tokens whose id is known; stretches whose last target is not */
    int32_t largest_token;
    int topk;            /* that a file of counts says; 0 */
    bool takes_layers;   /* its format does: see import_format */
    bool has_domains;    /* some stretch or load named its own */
    struct sha256 texts; /* of documents, offsets and ids, in order, however they are cut */
    struct survey_text { /* that is going on */
        char name[320];
        int64_t next, n; /* offset, tokens so far */
    } text;
    struct findings findings;
};

int survey_init(struct survey *s, const struct request *r, struct error *err); /* which must stay */
void survey_release(struct survey *s);                                         /* safe on zeroed */

int survey_stretch(struct survey *s, const struct stretch *t, struct error *err);
int survey_routing(struct survey *s, const struct stretch *t, const struct routed *r, struct error *err);
int survey_load(struct survey *s, const struct load *l, struct error *err);

void survey_end(struct survey *s); /* of what is still going on */
/* Adds the findings that the sums show. */
void survey_judge(struct survey *s, const struct request *r);

/* ---- what follows for the run ---- */

/* Whether its rows hold nothing but zeros, which no choice of two experts can be, or nothing at all. */
bool survey_layer_is_dense(const struct survey_layer *l);
bool survey_layer_is_constant(const struct survey_layer *l);       /* the same choice for every token */
int32_t survey_id_below(const struct survey_layer *l, int32_t id); /* the next smaller one that occurs; -1 */
bool survey_has_wrong_gates(const struct survey *s);               /* negative or no numbers */
/* Experts of every layer: what was said, or what was seen. */
int survey_experts(const struct survey *s, const struct request *r);

#endif
