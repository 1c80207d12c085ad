/* The collapse rule. There is no agreed one, so ours is written down, numbered and kept in figures' captions:
 * a layer is in breach at an evaluation when any of four holds
 *
 *   k-aware load entropy         < entropy_below       (0.5)
 *   effective experts e^H        < effective_share * N (0.5; where k/N <= 0.25: e^H is at least k)
 *   busiest expert's c_i / T     > top_share_above     (0.9; where k/N <= 0.5: it is at least k/N)
 *   dead experts (c_i = 0)       >= dead_share * N     (0.5)
 *
 * or, alone, where the router decides how many experts a token gets,
 *
 *   experts a token, sum(c) / T  >= everything_share * N (0.9)
 *
 * which is the other way to stop choosing: everything is on. A layer has collapsed when a breach lasts for
 * `lasting` evaluations and to the end of the series. Balanced runs dip early and recover: that is a
 * transient, not a collapse. Which steps make an evaluation is said in metrics/monitor.h.
 *
 * The other alarm, for the router that looks healthy because it does nothing: untrained_breach. */
#ifndef METRICS_COLLAPSE_H
#define METRICS_COLLAPSE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "metrics/load.h"

enum { COLLAPSE_RULE_VERSION = 3 };

struct collapse_rule {
    int version;
    double entropy_below, effective_share, top_share_above, dead_share, everything_share;
    int lasting;              /* M, at least 1 */
    double tokens_per_expert; /* an evaluation with T < this times N says nothing and is skipped */
};
struct collapse_rule collapse_rule_default(void); /* 0.5, 0.5, 0.9, 0.5, 0.9, 3, 50 */
/* "rule 3: k-aware entropy < 0.5, or ...": for captions. */
void collapse_rule_describe(const struct collapse_rule *rule, struct text *t);

/* What holds at one evaluation. */
enum breach {
    BREACH_ENTROPY = 1 << 0,
    BREACH_TOP_SHARE = 1 << 1,
    BREACH_DEAD = 1 << 2,
    BREACH_EFFECTIVE = 1 << 3,
    BREACH_EVERYTHING = 1 << 4,
    BREACH_UNKNOWN = -1 /* too few tokens, or no load at all: skip it */
};
/* An or of the above; 0: none. A figure that is not defined (one expert, k = N) breaches nothing. varies: the
 * router decides how many experts a token gets. */
int collapse_breach(const struct collapse_rule *rule, const struct load_summary *load, bool varies);

/* ---- a series of evaluations ---- */

enum collapse_state {
    COLLAPSE_NO_DATA,   /* no evaluation with enough tokens */
    COLLAPSE_NEVER,     /* no breach */
    COLLAPSE_TRANSIENT, /* breaches, none at the end */
    COLLAPSE_CENSORED,  /* in breach at the end, for fewer than `lasting` evaluations: too early to say */
    COLLAPSE_COLLAPSED, /* in breach at the end, for `lasting` or more */
    COLLAPSE_NO_CHOICE  /* never said by collapse_judge: the layer has none, every token gets every expert */
};
/* no_data, never, transient, censored, collapsed, no_choice */
extern const char *const collapse_state_names[6];

struct collapse_verdict {
    enum collapse_state state;
    int64_t onset_step; /* step of the first evaluation of the final breach (collapsed, censored); else -1 */
    int from_start;     /* that was the first usable evaluation: it may have begun before */
    int reasons;        /* all enum breach bits of the breach that the state speaks of */
    int all_reasons;    /* of any breach */
    int last_reasons;   /* those of the last usable evaluation; 0: not in breach */
    int64_t first_breach_step;                /* of any breach; -1: none */
    int n_evaluations, n_skipped, n_breached; /* usable; BREACH_UNKNOWN; in breach */
    int longest;                              /* most usable evaluations in breach in a row */
    int at_end;                               /* usable evaluations in breach in a row, to the end */
};
/* One evaluation more, in order of step: breach from collapse_breach. Before the first: collapse_unjudged. */
extern const struct collapse_verdict collapse_unjudged;
void collapse_follow(struct collapse_verdict *v, int breach, int64_t step, int lasting);
/* All at once; breach, step: (n). */
void collapse_judge(const int *breach, const int64_t *step, int n, int lasting, struct collapse_verdict *v);

/* ---- balanced but untrained ---- */

struct untrained_rule {
    int version;
    double load_entropy_above; /* k-aware, 0.9: balanced */
    double
        router_entropy_above; /* mean entropy of the router's probabilities / ln N, 0.98: it has no opinion */
    double agreement_above; /* share of first choices on the probe that are still those of step 0, 0.9: it has
                               learned none */
    double from_share;      /* of the planned run, 0.25: before, every router is like that */
};
enum untrained { UNTRAINED_NO_OPINION = 1 << 0, UNTRAINED_UNCHANGED = 1 << 1 };
struct untrained_rule untrained_rule_default(void); /* version 2: 0.9, 0.98, 0.9, 0.25 */
/* Whether nothing is learnt about who gets what while experts learn (hash; single_gate, whose gate is trained
 * first and then frozen), so that balance is no merit and to be unchanged no fault. */
bool untrained_by_design(const char *router);
/* At one evaluation: an or of enum untrained when the load is balanced, else 0; BREACH_UNKNOWN when the
 * load's entropy or both other figures are NaN (NaN: not known). Fixed routers breach by design. */
int untrained_breach(const struct untrained_rule *rule, double load_entropy_k_aware,
                     double router_entropy_normalised, double agreement_with_start);

#endif
