/* Several runs side by side: what they are, in which settings they differ, which differ in nothing but the
 * seed. */
#ifndef ANALYSIS_SHARED_RUNS_H
#define ANALYSIS_SHARED_RUNS_H
#include <stdbool.h>
#include <stdint.h>

#include "analysis/shared/program.h"

struct compared_run {
    int64_t run_id, seed, corpus_id, vocabulary_id; /* ids 0: none */
    char *name, *task, *router, *status, *machine, *corpus, *vocabulary;
    char *pruned; /* what was dropped from the logbook since, in words; "": nothing */
    struct moe_layer *layers;
    bool of_text;                     /* a language model; others have one loss a document, and no bytes */
    int n_layers;                     /* 0: dense, or a baseline that only counts */
    double tokens, seconds, gigaflop; /* of training; NaN: not logged */
    int group;                        /* runs alike but for the seed */
};

struct setting {
    char *key;
    char **values; /* (n_runs) NULL: that run has no such setting */
    bool differs;
};

struct runs {
    struct compared_run *runs;
    int n;
    char *ids; /* a JSON array of run ids, for :runs */
    struct setting *settings;
    int n_settings, n_differing;
    int n_groups;
};

/* names: (n), each a run's. STATUS_INPUT when there is no such run, STATUS_USAGE when one is named twice. */
int runs_read(struct runs *r, struct logbook *lb, char *const *names, int n, struct error *err);
void runs_release(struct runs *r); /* safe on zeroed */

const struct setting *runs_setting(const struct runs *r, const char *key); /* NULL: none */

const struct moe_layer *runs_layer(const struct compared_run *run, int layer); /* NULL: none there */
bool runs_unfinished(const struct compared_run *run);                          /* and not imported */

/* What the runs of a group are called: what their names have in common, "top2" of top2-s1 and top2-s2. A run
 * that is alone keeps its name. Written into buffer. */
const char *runs_group_name(const struct runs *r, int group, char buffer[128]);

#endif
