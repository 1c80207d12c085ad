/* What moescope compare measures between runs, what it holds against comparing them, and what it says of it
 * in words. The tables are in analysis/compare.c. */
#ifndef ANALYSIS_SHARED_COMPARE_H
#define ANALYSIS_SHARED_COMPARE_H
#include "analysis/shared/collapse.h"
#include "analysis/shared/losses.h"
#include "analysis/shared/matched.h"
#include "analysis/shared/program.h"
#include "analysis/shared/runs.h"

struct run_difference {        /* of a run from its baseline, over all documents or one domain's */
    int run, baseline, domain; /* domain -1: all */
    int documents, unlike; /* unlike: of which the two read different pieces, which leaves it undetermined */
    enum loss_unit unit;
    struct interval i;
    double effect;   /* the difference beside its spread over documents; paired_effect */
    double adjusted; /* p by Benjamini-Hochberg over all runs, or over all runs and domains */
    enum verdict verdict;
};

struct group_difference { /* of a group of runs from the baseline's, paired by seed */
    int group;
    enum loss_unit unit;
    struct interval i; /* i.n seeds; 0: none in common */
    double effect;     /* beside its spread over seeds */
    enum verdict verdict;
};

struct frequency_bucket {                   /* of ids of the baseline's corpus */
    int64_t ids, train_tokens, least, most; /* least, most: train tokens of its rarest and most frequent id */
    double share;                           /* of all train tokens */
};

struct frequency_difference {           /* in one bucket of token frequency, in nats per token */
    int run, baseline, bucket;          /* indices of runs or, paired by seed, of groups */
    int n, unlike;                      /* documents, of which the two read different pieces; or seeds */
    double tokens, loss, baseline_loss; /* means over seeds */
    struct judged by_token;             /* every token counts alike */
    struct judged by_domain;            /* every domain does: rare tokens are not spread evenly over them */
};

struct frequency_differences {
    struct frequency_difference *items;
    int n;
};

struct routing_agreement { /* of two runs in one layer */
    int a, b, layer;
    struct matched_routing m;
};

struct curve_point { /* an evaluation of a run: nats a token over so many documents; loss NaN: not finite */
    int run, documents;
    int64_t step;
    double loss;
};

struct best_loss { /* the lowest of a run's evaluations, in nats a token */
    int64_t step;  /* -1: none */
    double loss;
};

struct router_side { /* one layer of a run: its load and whom its experts tell apart; NaN: not known */
    int run;
    struct moe_layer layer;
    struct load_summary load; /* of the last window; n_experts 0: no loads */
    enum finding finding;
    struct interval information; /* nats that a document's domain tells about the expert, at the last probe */
    double null_high, at_start, hash; /* with labels permuted (97.5 %); at the first probe; of hash routers */
    int documents;
};

struct reason {
    const char *kind; /* what it is about: corpus, vocabulary, task, documents, training, ... */
    char *text;
};
struct reasons { /* each once */
    struct reason *items;
    int n;
    bool failed; /* out of memory; reported once, at the end */
};

struct compare {
    /* options */
    const char *baseline_name, *group_by, *split, *by, *where_label; /* as they are given */
    double margin;                                                   /* nats per token */
    int64_t seed, step;
    const char *of;    /* what `by` means: input, target; NULL: not by frequency */
    char *key, *value; /* of where_label; NULL: all documents */

    char **names; /* (n) the baseline first when it was not among the operands */
    struct runs runs;
    int baseline;
    struct evaluation *evaluations; /* (n_runs) */
    int n_evaluations;
    struct curve_point *curve; /* by run, then step */
    int n_curve;
    struct best_loss *best; /* (n_runs) */
    struct domain_names domains;
    struct run_difference *differences;
    int n_differences;
    struct group_difference *group_differences;
    int n_group_differences;
    struct frequency_bucket buckets[N_BUCKETS];
    struct evaluation *by_frequency; /* (n_runs, N_BUCKETS); NULL without --by */
    struct frequency_differences frequency, frequency_seeds;
    struct probe_pass *probes; /* (n_runs) the last of each */
    int n_probes;              /* 0: not read */
    struct routing_agreement *agreements;
    int n_agreements;
    struct router_side *routers;
    int n_routers;
    struct reasons reasons;
};

/* ---- measuring: in this order ---- */

int compare_choose_runs(struct compare *c, struct analysis *a, struct error *err);
/* Where one of the names is "FILE:RUN", and no run of this logbook, all of them become a logbook of their
 * own, which takes the place of a->logbook; runs keep these names. */
int compare_gather(char *const *names, int n, struct analysis *a, struct error *err);
int compare_losses(struct compare *c, const struct analysis *a, struct error *err);
int compare_groups(struct compare *c, struct error *err); /* with --group-by seed */
/* With --by: STATUS_INPUT where the runs have no buckets in common or a run's token losses were not kept. */
int compare_by_frequency(struct compare *c, const struct analysis *a, struct error *err);
int compare_routing(struct compare *c, const struct analysis *a, struct error *err); /* may be left out */
int compare_routers(struct compare *c, const struct analysis *a, struct error *err); /* likewise */
/* What is not comparable, or to be kept in mind. */
int compare_find_reasons(struct compare *c, struct error *err);
void compare_release(struct compare *c); /* safe on zeroed */

/* Adds a reason, once. */
void compare_doubt(struct compare *c, const char *kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static const double compare_level = 0.95; /* of every interval here */

/* Which losses the options ask for. */
struct losses_asked compare_asked(const struct compare *c);
/* A run before it has the same settings and seed: that is a repetition, not another seed. */
bool compare_is_repeated(const struct compare *c, int run);
/* What a run is measured against: the baseline or, between groups, the baseline group's run of the same seed;
 * -1: nothing. */
int compare_partner(const struct compare *c, int run);
/* NULL: no documents in common. domain -1: all. */
const struct run_difference *compare_difference(const struct compare *c, int run, int domain);
/* Mean loss in nats per token over a group's seeds; i->n is how many. */
int compare_group_losses(const struct compare *c, int group, struct interval *i, struct error *err);

/* The same at one step, over those of its runs that were evaluated there. *lowest, *highest: of them. */
int compare_group_at(const struct compare *c, int group, int64_t step, struct interval *i, double *lowest,
                     double *highest, struct error *err);

static inline bool compare_is_grouped(const struct compare *c)
{
    return c->group_by != NULL;
}

static inline const char *compare_name(const struct compare *c, int run)
{
    return c->runs.runs[run].name;
}

/* The verdict of the program: `state` of *a is a struct compare. */
int compare_judge(struct analysis *a, struct verdicts *v, struct error *err);

#endif
