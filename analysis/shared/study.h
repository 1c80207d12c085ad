/* A study: which runs answer a question, read from an INI file (docs/studies.md), and what the runs that are
 * there say. Nothing here trains. */
#ifndef ANALYSIS_SHARED_STUDY_H
#define ANALYSIS_SHARED_STUDY_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "analysis/shared/losses.h"
#include "base/error.h"
#include "base/file.h"
#include "base/table.h"
#include "base/text.h"
#include "metrics/resample.h"
#include "sql/read.h"

enum { STUDY_MOST_SEEDS = 64, STUDY_FEW_SEEDS = 3 }; /* with fewer an interval says next to nothing */
#define STUDY_LEVEL 0.95                             /* of every interval */
#define STUDY_POWER 0.8                              /* of what could have been detected */

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
enum study_table_kind { TABLE_QUERY, TABLE_BUCKETS, TABLE_METRICS };
struct study_table { /* a canned query, or SQL; losses by token frequency; metrics: the last two without a
                        query */
    char *name, *query, *title;
    enum study_table_kind kind;
    struct study_settings
        parameters; /* of the query; of buckets: of, key, value; of metrics: of, split, better, margin */
};

struct study_figure { /* drawn from a table: x and y are columns, group tells lines or points apart */
    char *name, *table, *script, *title, *x, *y, *low, *high, *group, *x_label, *unit;
    bool zero; /* differences: with a line at 0 and the study's margin */
    bool log;  /* y by its logarithm: all of it is above 0 */
};

struct study {
    char *path, *folder; /* the file, and where it is */
    char *name, *title, *question;
    char *reference,
        *ablation_reference; /* what a part's configurations are compared with; NULL: the core's */
    char *text;              /* a folder of text, from the file's own; NULL: the default text */
    char *images;            /* corpora/NAME.sh makes them; NULL: the study is of text */
    bool mixture;            /* or of the sources that corpora/mixed.sh packs */
    bool generated;          /* or of what its runs make themselves: nothing is read */
    double margin;
    int64_t vocabulary, max_document_bytes, tokens_per_domain;
    int64_t *seeds;
    int n_seeds;
    struct study_settings settings, ablation_settings; /* of every run; of the ablations, after those */
    struct study_settings quick_settings;              /* of every run of a quick study, after all others */
    struct configuration *configurations;
    int n_configurations;
    struct study_choice *choices;
    int n_choices;
    struct study_pair *pairs;
    int n_pairs;
    struct study_table *tables; /* of sections [table NAME], [buckets NAME], [metrics NAME] */
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
/* Where a configuration's settings stand, the study's first, its own (or [quick]'s) last: the last word about
 * a key holds. How many places there are. */
enum { STUDY_MOST_PLACES = 4 };
int study_settings_of(const struct study *s, const struct configuration *c,
                      const struct study_settings *places[STUDY_MOST_PLACES]);
/* NAME of a value "run:NAME", which is a checkpoint of that configuration; NULL: it is a value as it stands.
 */
const char *study_setting_run(const char *value);
/* The word that holds; NULL: the trainer's default. */
const char *study_setting(const struct study *s, const struct configuration *c, const char *key);

/* ---- what the logbook has of it ---- */

struct study_run {
    int64_t run_id, seed;
    char name[128], status[16], corpus[SHA256_HEX];
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

/* Their ids as a JSON array, as queries take :runs. */
void study_run_ids(const struct study_results *r, struct text *ids);

bool study_finished(const struct study_results *r, int configuration, int64_t seed);
bool study_diverged(const struct study_results *r, int configuration, int64_t seed);

/* Every setting that the study asks for must be the run's (numbers as numbers; keys that the run's version
 * did not know are passed over), and all runs must be of one corpus, or it is STATUS_INPUT naming the run. */
int study_check_runs(const struct study *s, const struct study_results *r, struct logbook *lb,
                     struct error *err);
/* They must be of the corpus with this hash. */
int study_check_corpus(const struct study_results *r, const char *corpus, struct error *err);

/* What is looked at: the configurations of the parts that were asked for. */
struct study_view {
    const struct study *study;
    const struct study_results *results;
    struct logbook *logbook;
    const bool *chosen; /* (n_configurations) */
};

/* Finished runs of the chosen configurations, in a list of its own. */
int study_shown(const struct study_view *v, struct study_results *shown, struct error *err);

/* Of one configuration: means over its finished runs. */
struct study_summary {
    int seeds;
    double probe_loss, probe_experts, valid_experts, flops_per_token, flops;
    struct interval valid_loss; /* Student's, over seeds */
    struct judged difference;   /* from the reference on valid documents, paired by seed; i.n is 0 for none */
};
/* seeds: (n_seeds) which of the study's count; NULL: all. The difference is not judged. */
void study_summarise(const struct study *s, const struct study_results *r, int configuration,
                     const bool *seeds, struct study_summary *summary);
/* summaries: (n_configurations), those not chosen without seeds; their differences are one family. */
int study_compare(const struct study_view *v, struct study_summary *summaries, struct error *err);

/* What a choice falls on, all figures over the seeds that the reference and every candidate have finished. */
struct study_chosen {
    int configuration;                    /* -1: none qualifies */
    struct study_summary best, reference; /* its difference judged by itself */
};
/* Whether it is about a configuration that is looked at. */
bool study_shows_choice(const struct study_view *v, const struct study_choice *choice);
void study_choose(const struct study *s, const struct study_results *r, const struct study_choice *choice,
                  struct study_chosen *out);

/* ---- tables ---- */

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

/* Differences of one configuration from the reference in one bucket, over the seeds that both have finished:
 * of all its tokens, and of the mean over domains, each counting alike (rare tokens are not spread evenly
 * over domains). */
struct bucket_difference {
    int seeds;
    double tokens, loss;    /* means over those seeds; of the reference, over all of its own */
    struct judged by_token; /* in the family of all buckets and configurations that are shown */
    struct interval by_domain;
};
/* differences: (n_configurations, N_BUCKETS), seeds 0 where there is nothing to show. `of` is "input" or
 * "target"; key, value: a label of the documents, NULL: all. Runs without every valid token's loss are
 * STATUS_INPUT. */
int study_buckets(const struct study_view *v, const char *of, const char *key, const char *value,
                  struct bucket_difference *differences, struct error *err);

/* ---- by metrics ---- */

struct study_metrics { /* what is asked */
    const char **names;
    int n;
    const char *split;
    bool higher_is_better;
    double margin; /* as good as equal; 0: nothing is */
};
struct metric_difference { /* of one configuration, over the seeds that have the metric at their last step */
    int seeds;
    struct interval value;    /* Student's */
    struct judged difference; /* from the reference, paired by seed; all that is asked is one family */
};
/* differences: (n metrics, n_configurations), seeds 0 where there is nothing to show. */
int study_metrics(const struct study_view *v, const struct study_metrics *asked,
                  struct metric_difference *differences, struct error *err);

#endif
