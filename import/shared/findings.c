#include "import/shared/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const ruling_names[] = {"noted", "unknown", "refused"};

static const struct {
    const char *name, *why;
} traps[N_TRAPS + 1] = {
    [TRAP_ZERO_ROWS] = {"zero-rows",
                        "a buffer that was not filled in reads as expert 0, which then looks busy"},
    [TRAP_DUPLICATES] = {"duplicates", "a router chooses an expert once: such rows are no choices"},
    [TRAP_SENTINELS] = {"sentinels",
                        "an id that means \"none\" would count as an expert, and as the busiest one"},
    [TRAP_ROWS_AND_TOKENS] = {"rows-and-tokens",
                              "shifted by a row, every token is given its neighbour's experts"},
    [TRAP_DENSE_LAYERS] = {"dense-layers", "a layer without a choice would be found collapsed"},
    [TRAP_LAYER_BASE] = {"layer-base", "shifted by one, layers are compared with their neighbours"},
    [TRAP_PHYSICAL_IDS] =
        {"physical-ids",
         "copies of one expert on several devices would be taken for several experts, or experts "
         "of several devices for one"},
    [TRAP_RANK_FILES] = {"rank-files",
                         "copies that are added up count every token several times; parts that are "
                         "not leave most out"},
    [TRAP_SLOT_ORDER] = {"slot-order",
                         "slot 0 is then not the router's first choice, and what asks for first "
                         "choices answers about small ids"},
    [TRAP_SHARED_COLUMNS] = {"shared-columns", "a shared expert takes every token and is no choice"},
    [TRAP_PROBABILITIES] = {"probabilities",
                            "softmax of probabilities flattens them: every router looks undecided"},
    [TRAP_SELECTION_SCORE] = {"selection-score",
                              "where a bias selects, the best score is not the largest gate"},
    [TRAP_PADDING] = {"padding",
                      "padding is routed like text, always alike, and makes its experts look busy"},
    [TRAP_VARYING_CHOICES] =
        {"varying-choices",
         "choices that were pruned away are missing, and drafts that were rejected or steps "
         "that hold all before them count what was not"},
    [TRAP_CACHED_PREFIX] = {"cached-prefix",
                            "tokens whose prefix was cached have no rows, which are those at the "
                            "beginning of prompts"},
    [TRAP_FLOAT_COUNTS] = {"float-counts", "beyond 2^24 a 32-bit float no longer counts by one"},
    [TRAP_SHORT_LAYER] = {"short-layer", "its rows are of other tokens than those of the layers before it"},
    [TRAP_REPEATED_TENSORS] = {"repeated-tensors",
                               "gate, up and down see the same tokens: a sum counts them thrice"},
    [TRAP_NARROW_IDS] = {"narrow-ids", "ids of experts above 255 wrapped around to those of others"},
};

const char *trap_name(enum trap trap)
{
    return traps[trap].name;
}

const char *trap_why(enum trap trap)
{
    return traps[trap].why;
}

int findings_check_accepted(const struct string_list *accepted, struct error *err)
{
    const char *names[N_TRAPS];
    for (int t = 1; t <= N_TRAPS; t++) {
        names[t - 1] = traps[t].name;
    }
    for (int i = 0; i < accepted->n; i++) {
        bool known = false;
        for (int t = 0; t < N_TRAPS; t++) {
            known = known || strcmp(names[t], accepted->items[i]) == 0;
        }
        if (!known) {
            const char *near = nearest_name(accepted->items[i], names, N_TRAPS);
            return error_set(err, STATUS_USAGE, "--accept '%s' is the name of no trap%s%s%s",
                             accepted->items[i],
                             near != NULL ? ", did you mean '" : "; moescope doctor lists them",
                             near != NULL ? near : "", near != NULL ? "'?" : "");
        }
    }
    return 0;
}

bool trap_accepted(const struct string_list *accepted, enum trap trap)
{
    for (int i = 0; accepted != NULL && i < accepted->n; i++) {
        if (strcmp(accepted->items[i], traps[trap].name) == 0) {
            return true;
        }
    }
    return false;
}

static struct finding *place_of(struct findings *f, enum trap trap, enum ruling ruling)
{
    for (int i = 0; i < f->n; i++) {
        if (f->items[i].trap == trap) {
            return ruling > f->items[i].ruling ? &f->items[i] : NULL;
        }
    }
    return &f->items[f->n++];
}

void findings_add(struct findings *f, const struct string_list *accepted, enum trap trap, enum ruling ruling,
                  const char *instead, const char *format, ...)
{
    va_list arguments;
    bool accept = ruling == RULING_REFUSED && trap_accepted(accepted, trap);
    struct finding *finding = place_of(f, trap, accept ? RULING_NOTED : ruling);
    if (finding == NULL) {
        return;
    }
    *finding = (struct finding){.trap = trap, .ruling = accept ? RULING_NOTED : ruling, .accepted = accept};
    va_start(arguments, format);
    vsnprintf(finding->seen, sizeof finding->seen, format, arguments);
    va_end(arguments);
    snprintf(finding->instead, sizeof finding->instead, "%s", accept || instead == NULL ? "" : instead);
}

const struct finding *findings_find(const struct findings *f, enum trap trap)
{
    for (int i = 0; i < f->n; i++) {
        if (f->items[i].trap == trap) {
            return &f->items[i];
        }
    }
    return NULL;
}

static int by_trap(const void *a, const void *b)
{
    const struct finding *x = a, *y = b;
    return (x->trap > y->trap) - (x->trap < y->trap);
}

void findings_sort(struct findings *f)
{
    qsort(f->items, (size_t)f->n, sizeof f->items[0], by_trap);
}

int findings_refuse(const struct findings *f, struct error *err)
{
    for (int i = 0; i < f->n; i++) {
        const struct finding *x = &f->items[i];
        if (x->ruling == RULING_REFUSED) {
            return error_set(err, STATUS_INPUT, "%s: %s; %s", trap_name(x->trap), x->seen, x->instead);
        }
    }
    return 0;
}
