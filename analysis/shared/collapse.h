/* What moescope collapse measures, and what it says of it in words: a run's loads as metrics/monitor.h pools
 * and judges them, and the routers that look healthy because they do nothing. The tables are in
 * analysis/collapse.c. */
#ifndef ANALYSIS_SHARED_COLLAPSE_H
#define ANALYSIS_SHARED_COLLAPSE_H
#include "analysis/shared/program.h"
#include "metrics/monitor.h"
#include "metrics/resample.h"
#include "metrics/specialization.h"

/* What there is to say of a layer, the worst first; of a run, the worst of its layers'. */
enum finding {
    FINDING_COLLAPSED,   /* onto one expert or a few */
    FINDING_EVERYTHING,  /* everything is on */
    FINDING_CENSORED,    /* in breach at the end, too briefly to call it a collapse */
    FINDING_DEAD,        /* no collapse, but experts that get nothing */
    FINDING_UNBALANCED,  /* no collapse, but uneven */
    FINDING_INDIFFERENT, /* balanced by doing nothing */
    FINDING_TRANSIENT,   /* dipped and recovered */
    FINDING_HEALTHY,
    FINDING_FIXED,     /* decided before experts learn (hash, single_gate): balanced by design */
    FINDING_NO_CHOICE, /* every token gets every expert by configuration */
    FINDING_NO_DATA,
    N_FINDINGS
};

struct collapse_layer {
    struct collapse_verdict verdict;
    int lowest;                         /* window with the fewest effective experts */
    int64_t last_breach;                /* last step of the last window in breach; -1: none */
    struct agreement_rates since_start; /* probe, first pass against last; NaN: not known */
    int untrained;                      /* enum untrained, or BREACH_UNKNOWN */
    enum finding finding;
};

/* Losses of the same documents with this run's routing and with random choices in its place, if somebody made
 * that run. */
struct random_routing {
    char *run;            /* its name; NULL: there is none */
    struct interval cost; /* nats a token, random minus own */
    bool no_effect;       /* within +- random_margin */
    bool has_effect;      /* surely worse by more than that */
};
static const double random_margin = 0.01; /* nats a token */

struct collapse {
    /* options */
    int64_t window_steps; /* 0: as the monitor chooses */
    const char *split;
    struct collapse_rule rule;
    int64_t lasting; /* of the rule */

    struct monitor monitor;
    struct collapse_layer *layers; /* (n_layers) as the analysis has them */
    int n_layers;
    int64_t read_step;               /* the last that the monitor knows; -1: none */
    int64_t planned_steps;           /* of the run, or logged where that is not known */
    int64_t last_step;               /* logged; -1: none */
    int64_t probe_first, probe_last; /* -1: none */
    struct random_routing random;
    char status[32]; /* of the run */
};

/* Reads the loads of the run and judges every layer by them. */
int collapse_read(struct collapse *c, const struct analysis *a, struct error *err);
void collapse_release(struct collapse *c); /* safe on zeroed */
/* The same for a run that goes on: begun, then as many times as one likes read on from c->read_step, at most
 * `most` steps (0: all), and judged. *more: there may be steps left. */
int collapse_open(struct collapse *c, const struct analysis *a, struct error *err);
int collapse_read_on(struct collapse *c, const struct analysis *a, int64_t most, bool *more,
                     struct error *err);
void collapse_judge_loads(struct collapse *c);

/* Fills in since_start and untrained of every layer, and random; the first two of them alone. */
int collapse_judge_routers(struct collapse *c, const struct analysis *a, struct error *err);
int collapse_compare_with_start(struct collapse *c, const struct analysis *a, struct error *err);
void collapse_judge_untrained(struct collapse *c);
/* Fills in the findings, when all else is known. */
void collapse_find(struct collapse *c);

/* Rows of the table `steps`: each step alone, and pooled with those before it. */
int collapse_step_rows(struct collapse *c, const struct analysis *a, struct table *t, struct error *err);

/* What the queries name beyond :run. */
void collapse_bind(const struct collapse *c, struct query *q);

/* Layers with that finding. */
int collapse_count(const struct collapse *c, enum finding finding);
/* Balanced in the last window: by the bar that the other alarm uses, and nobody dead. */
bool collapse_is_balanced(const struct collapse *c, int layer);

/* ---- words ---- */

extern const char *const finding_names[N_FINDINGS];
const char *collapse_state_word(enum collapse_state state);
/* Why the state is what it is. No comma: tables can be cut at them. */
void collapse_add_detail(struct text *t, const struct collapse *c, int layer);

/* The verdict of the program: `state` of *a is a struct collapse. */
int collapse_judge_run(struct analysis *a, struct verdicts *v, struct error *err);

#endif
