/* What the doctor says: nineteen ways in which logs of routing mislead, and which of them a log shows. */
#ifndef IMPORT_SHARED_FINDINGS_H
#define IMPORT_SHARED_FINDINGS_H
#include <stdbool.h>

#include "base/error.h"
#include "base/options.h"

enum trap {
    TRAP_ZERO_ROWS = 1,    /* rows that were never filled in */
    TRAP_DUPLICATES,       /* an expert twice in one token */
    TRAP_SENTINELS,        /* ids that mean "none" */
    TRAP_ROWS_AND_TOKENS,  /* as many rows as ids, or one less */
    TRAP_DENSE_LAYERS,     /* dense layers among those that are logged */
    TRAP_LAYER_BASE,       /* layers from 0 or from 1 */
    TRAP_PHYSICAL_IDS,     /* experts as they are placed, not as they are called */
    TRAP_RANK_FILES,       /* files to be added up, or copies of each other */
    TRAP_SLOT_ORDER,       /* slots by id, not by rank */
    TRAP_SHARED_COLUMNS,   /* shared experts among the routed */
    TRAP_PROBABILITIES,    /* called logits */
    TRAP_SELECTION_SCORE,  /* what selects is not the gate */
    TRAP_PADDING,          /* tokens that are none */
    TRAP_VARYING_CHOICES,  /* pruned choices, rejected drafts, counts with a past */
    TRAP_CACHED_PREFIX,    /* tokens that were not computed again */
    TRAP_FLOAT_COUNTS,     /* counts beyond what their floats hold */
    TRAP_SHORT_LAYER,      /* a layer that saw fewer tokens */
    TRAP_REPEATED_TENSORS, /* gate, up and down count the same tokens */
    TRAP_NARROW_IDS,       /* ids of 8 bits, more than 256 experts */
    N_TRAPS = TRAP_NARROW_IDS
};

/* noted: it is so, and dealt with; unknown: the log cannot tell, and analyses that need it will say so;
 * refused: it cannot be true, or would be read in two ways. */
enum ruling { RULING_NOTED, RULING_UNKNOWN, RULING_REFUSED };
extern const char *const ruling_names[];

struct finding {
    enum trap trap;
    enum ruling ruling;
    bool accepted; /* it was refused, but for --accept */
    char seen[400], instead[240];
};

struct findings {
    struct finding items[N_TRAPS]; /* one a trap: the first, or the worst */
    int n;
};

const char *trap_name(enum trap trap); /* "duplicates", as --accept takes it */
const char *trap_why(enum trap trap);  /* a sentence: what goes wrong where nobody looks */

/* The names that --accept may be given; STATUS_USAGE for another one. */
int findings_check_accepted(const struct string_list *accepted, struct error *err);
bool trap_accepted(const struct string_list *accepted, enum trap trap);

/* `instead`: what to pass or do. A refusal that is accepted is noted. */
void findings_add(struct findings *f, const struct string_list *accepted, enum trap trap, enum ruling ruling,
                  const char *instead, const char *format, ...) __attribute__((format(printf, 6, 7)));
const struct finding *findings_find(const struct findings *f, enum trap trap); /* NULL: no */
void findings_sort(struct findings *f);

/* The first refusal as an error of STATUS_INPUT, "duplicates: SEEN; INSTEAD"; 0: there is none. */
int findings_refuse(const struct findings *f, struct error *err);

#endif
