/* A study: which runs answer a question, read from an INI file (docs/studies.md), and what the runs that are
 * there say. Nothing here trains. */
#ifndef ANALYSIS_SHARED_STUDY_H
#define ANALYSIS_SHARED_STUDY_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "analysis/shared/losses.h"
#include "base/error.h"
#include "base/table.h"
#include "metrics/resample.h"
#include "sql/read.h"

enum { STUDY_MOST_SEEDS = 64 };

struct study_setting {
    char *key, *value; /* of moescope train: "router.k", "2" */
};
struct study_settings {
    struct study_setting *items;
    int n;
};

/* Runs that are alike but for the seed. Run N is named NAME.seedN in the logbook. */
struct configuration {
    char *name, *label, *paper; /* paper: the paper's own figures, as they are printed; or NULL */
    bool ablation;              /* part = ablations; the others are the core */
    struct study_settings settings;
};

/* An operating point: of the configurations that `among` (a glob) names, the one with the lowest loss on the
 * probe's documents whose experts there are at most `share` of the reference's; confirmed on valid ones. */
struct study_choice {
    char *name, *among;
    double share;
    bool ablation; /* of that part, against its reference */
};
struct study_pair { /* two configurations whose runs of a seed are compared document by document */
    char *left, *right;
};
struct study_table { /* a canned query, or losses by token frequency (query NULL) */
    char *name, *query, *title;
    struct study_settings parameters; /* of the query; of buckets: of, key, value */
};

struct study_figure { /* drawn from a table: x and y are columns, group tells lines or points apart */
    char *name, *table, *script, *title, *x, *y, *low, *high, *group, *x_label, *unit;
    bool zero; /* differences: with a line at 0 and the study's margin */
};

struct study {
    char *path, *folder; /* the file, and where it is */
    char *name, *title, *question;
    char *reference,
        *ablation_reference; /* what a part's configurations are compared with; NULL: the core's */
    char *text;              /* a folder of text, from the file's own; NULL: the default text */
    double margin;
    int64_t vocabulary, max_document_bytes, tokens_per_domain;
    int64_t *seeds;
    int n_seeds;
    struct study_settings settings, ablation_settings; /* of every run; of the ablations, after those */
    struct configuration *configurations;
    int n_configurations;
    struct study_choice *choices;
    int n_choices;
    struct study_pair *pairs;
    int n_pairs;
    struct study_table *tables; /* of sections [table NAME] and [buckets NAME] */
    int n_tables;
    struct study_figure *figures;
    int n_figures;
    struct study_settings paper; /* key: what; value: the paper's figure */
};

/* quick: what the file's section [quick] says takes the place of settings, seeds and configurations. Mistakes
 * name the file and, where they are one line's, the line. */
int study_read(struct study *s, const char *path, bool quick, struct error *err);
void study_release(struct study *s);                                                /* safe on zeroed */
struct configuration *study_configuration(const struct study *s, const char *name); /* NULL: none */
int study_reference(const struct study *s, bool ablation); /* index of a part's reference */
/* A setting of a configuration: its own, its part's, or the study's; NULL: the trainer's default. */
const char *study_setting(const struct study *s, const struct configuration *c, const char *key);

/* ---- what the logbook has of it ---- */

struct study_run {
    int64_t run_id, seed;
    char name[128], status[16];
    bool diverged;     /* failed because its loss was not finite: trained anew it would be again */
    int configuration; /* index */
    double probe_loss, probe_experts, valid_loss, valid_experts, tokens, flops, seconds; /* NaN: none */
};

struct study_results {
    struct study_run *runs; /* by configuration as the study lists them, then by seed */
    int n;
};

/* Runs of the logbook that belong to no configuration are left out. */
int study_results_read(struct study_results *r, const struct study *s, struct logbook *lb, struct error *err);
void study_results_release(struct study_results *r);
const struct study_run *study_results_find(const struct study_results *r, int configuration, int64_t seed);

bool study_finished(const struct study_results *r, int configuration, int64_t seed);
bool study_diverged(const struct study_results *r, int configuration, int64_t seed);

/* Every setting that the study asks for must be the run's (numbers as numbers; keys that the run's version
 * did not know are passed over), or it is STATUS_INPUT naming run and key. */
int study_check_run(const struct study *s, const struct configuration *c, struct logbook *lb, int64_t run_id,
                    const char *run, struct error *err);

/* Of one configuration: means over its finished runs. */
struct study_summary {
    int seeds;
    double probe_loss, probe_experts, valid_experts, flops_per_token, flops;
    struct interval valid_loss; /* Student's, over seeds */
    struct interval difference; /* from the reference on valid documents, paired by seed */
    enum verdict verdict;
};
void study_summarise(const struct study *s, const struct study_results *r, int configuration,
                     struct study_summary *summary);
/* The configuration that a choice falls on; -1: none qualifies. */
int study_choose(const struct study *s, const struct study_results *r, const struct study_choice *choice);

/* ---- tables ---- */

struct study_view {
    const struct study *study;
    const struct study_results *results;
    struct logbook *logbook;
    const bool *chosen; /* (n_configurations) which are shown */
};
/* One table by its name: configurations, choices, pairs, paper, or one of the file's own. */
int study_print(const struct study_view *v, const char *name, FILE *out, enum table_format format,
                struct error *err);
/* All of them under their titles, aligned. */
int study_print_all(const struct study_view *v, FILE *out, struct error *err);

/* ---- figures ---- */

struct figures;
/* Adds the figure whose table, as CSV, is `csv`; nothing when it has no rows to draw. */
int study_add_figure(const struct study *s, const struct study_figure *f, const char *csv,
                     struct figures *figures, struct error *err);

/* ---- by token frequency ---- */

/* Differences of one configuration from the reference in one bucket, paired by seed: of all its tokens, and
 * of the mean over domains, each counting alike (rare tokens are not spread evenly over domains). */
struct bucket_difference {
    double tokens, loss; /* means over seeds */
    struct interval by_token, by_domain;
    double adjusted;      /* by_token's p-value among those of all buckets and configurations */
    enum verdict verdict; /* on by_token, while its adjusted p-value is at most 0.05 */
};
/* differences: (n_configurations, N_BUCKETS); n of an interval is 0 where there is no pair. `of` is "input"
 * or "target"; key, value: a label of the documents, NULL: all. */
int study_buckets(const struct study *s, const struct study_results *r, struct logbook *lb, const char *of,
                  const char *key, const char *value, struct bucket_difference *differences,
                  struct error *err);

#endif
