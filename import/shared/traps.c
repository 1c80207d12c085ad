/* What the sums of a survey say about the nineteen traps. Those that only a format can see it tells itself.
 */
#include <stdio.h>
#include <string.h>

#include "import/shared/survey.h"

enum { FEW_ROWS = 32, BYTE_IDS = 256 };

struct judging {
    struct survey *s;
    const struct request *r;
    int n_experts;
};

#define add(j, ...) findings_add(&(j)->s->findings, &(j)->r->accept, __VA_ARGS__)

/* ---- sums over layers ---- */

struct layer_sum {
    int64_t n;       /* in all layers */
    int n_layers;    /* that have any */
    int first, last; /* of them; -1 */
};

static struct layer_sum sum_layers(const struct survey *s, size_t member)
{
    struct layer_sum sum = {.first = -1, .last = -1};
    for (int i = 0; i < LOGBOOK_MAX_LAYERS; i++) {
        const struct survey_layer *l = s->layers[i];
        int64_t n = 0;
        if (l != NULL && !survey_layer_is_dense(l)) {
            memcpy(&n, (const char *)l + member, sizeof n);
        }
        sum.n += n;
        sum.n_layers += n > 0;
        sum.first = sum.first < 0 && n > 0 ? i : sum.first;
        sum.last = n > 0 ? i : sum.last;
    }
    return sum;
}
#define sum_of(s, member) sum_layers(s, offsetof(struct survey_layer, member))

static double percent(int64_t n, int64_t of)
{
    return of > 0 ? 100.0 * (double)n / (double)of : 0;
}

/* "3, 5 to 9": the layers for which `is` holds. */
static int name_layers(const struct survey *s, bool (*is)(const struct survey_layer *), char *text,
                       size_t size)
{
    int n = 0, first = -1;
    size_t at = 0;
    text[0] = '\0';
    for (int i = 0; i <= LOGBOOK_MAX_LAYERS; i++) {
        bool here = i < LOGBOOK_MAX_LAYERS && s->layers[i] != NULL && is(s->layers[i]);
        n += here;
        if (here && first < 0) {
            first = i;
        } else if (!here && first >= 0) {
            int wrote = i - 1 > first
                            ? snprintf(text + at, size - at, "%s%d to %d", at > 0 ? ", " : "", first, i - 1)
                            : snprintf(text + at, size - at, "%s%d", at > 0 ? ", " : "", first);
            at += (size_t)wrote < size - at ? (size_t)wrote : size - at - 1;
            first = -1;
        }
    }
    return n;
}

/* ---- 1, 5: rows that are none ---- */

static bool is_constant(const struct survey_layer *l)
{
    return survey_layer_is_constant(l) && !survey_layer_is_dense(l);
}

static void judge_zero_rows(struct judging *j)
{
    struct layer_sum zero = sum_of(j->s, n_zero), rows = sum_of(j->s, n_rows);
    char layers[160];
    if (zero.n > 0) {
        add(j, TRAP_ZERO_ROWS, RULING_REFUSED,
            "log them anew; --accept zero-rows takes such rows as tokens that were not routed",
            "%lld of %lld rows hold expert 0 in every column, in %d layers from layer %d on",
            (long long)zero.n, (long long)rows.n, zero.n_layers, zero.first);
    } else if (name_layers(j->s, is_constant, layers, sizeof layers) > 0) {
        add(j, TRAP_ZERO_ROWS, RULING_UNKNOWN, "look whether the layer is dense, or its router has collapsed",
            "every token has the same experts in layer %s", layers);
    }
}

static void judge_dense_layers(struct judging *j)
{
    char layers[160];
    int n = name_layers(j->s, survey_layer_is_dense, layers, sizeof layers);
    if (n > 0) {
        add(j, TRAP_DENSE_LAYERS, RULING_NOTED, "nothing, if the model is dense there: they are left out",
            "%d layer%s hold%s no choice: %s", n, n > 1 ? "s" : "", n > 1 ? "" : "s", layers);
    }
}

/* ---- 2, 3, 7, 19: ids ---- */

static void judge_duplicates(struct judging *j)
{
    struct layer_sum twice = sum_of(j->s, n_duplicated), rows = sum_of(j->s, n_rows);
    if (twice.n > 0) {
        add(j, TRAP_DUPLICATES, RULING_REFUSED,
            "look how the file was made; --accept duplicates keeps the first of equal ones",
            "%lld of %lld rows name an expert twice, in %d layers from layer %d on", (long long)twice.n,
            (long long)rows.n, twice.n_layers, twice.first);
    }
}

/* An id like 255 or 65535 far above all others is a mark. */
static bool looks_like_mark(const struct survey_layer *l)
{
    int32_t id = l->largest;
    return (id == 127 || id == 255 || id == 32767 || id == 65535) && survey_id_below(l, id) < id - id / 4 &&
           l->n_rows >= FEW_ROWS;
}

static void judge_sentinels(struct judging *j)
{
    int64_t beyond = 0;
    int32_t largest = -1;
    for (int i = 0; i < LOGBOOK_MAX_LAYERS; i++) {
        const struct survey_layer *l = j->s->layers[i];
        if (l == NULL || survey_layer_is_dense(l)) {
            continue;
        }
        if (j->r->experts == 0 && looks_like_mark(l)) {
            add(j, TRAP_SENTINELS, RULING_REFUSED,
                "pass --experts N; then --accept sentinels takes larger ids as no choice",
                "layer %d: id %d occurs %lld times, and the next smaller one is %d", i, l->largest,
                (long long)l->count[l->largest], survey_id_below(l, l->largest));
        }
        for (int e = j->n_experts; e < l->n_count; e++) {
            beyond += l->count[e];
        }
        largest = l->largest > largest ? l->largest : largest;
    }
    if (beyond > 0) {
        add(j, TRAP_SENTINELS, RULING_REFUSED,
            "pass the right --experts; --accept sentinels takes them as no choice",
            "%lld ids are %d or more, up to %d, where --experts says %d", (long long)beyond, j->n_experts,
            largest, j->n_experts);
    }
    struct layer_sum missing = sum_of(j->s, n_missing);
    if (missing.n > 0) {
        add(j, TRAP_SENTINELS, RULING_NOTED, "nothing: they are taken as no choice",
            "%lld negative ids in rows that have others, in %d layers from layer %d on", (long long)missing.n,
            missing.n_layers, missing.first);
    }
}

/* Every file names only the first few of the experts that the model has: each counts its own from 0. */
static void judge_local_ids(struct judging *j)
{
    const struct survey *s = j->s;
    int local = s->n_files > 1 && j->r->experts > 0;
    for (int f = 0; f < s->n_files; f++) {
        local = local && s->files[f].n_tokens >= FEW_ROWS && s->files[f].largest >= 0 &&
                s->files[f].largest < j->n_experts / s->n_files;
    }
    if (local) {
        add(j, TRAP_PHYSICAL_IDS, RULING_REFUSED,
            "log ids of the model's experts; --accept physical-ids takes the ids as they are",
            "none of %d files has an id of %d or more, though there are %d experts: each seems to count its "
            "own",
            s->n_files, j->n_experts / s->n_files, j->n_experts);
    }
}

/* ---- 6, 17: layers ---- */

static int first_layer(const struct survey *s)
{
    int i = 0;
    while (i < LOGBOOK_MAX_LAYERS && s->layers[i] == NULL) {
        i++;
    }
    return i;
}

static void judge_layer_base(struct judging *j)
{
    int first = first_layer(j->s), last = -1;
    for (int i = 0; i < MTP_LAYER; i++) {
        last = j->s->layers[i] != NULL ? i : last;
    }
    if (j->r->layers > 0 && last - (j->r->layer_base == 1) >= j->r->layers) {
        add(j, TRAP_LAYER_BASE, RULING_REFUSED,
            j->r->layer_base < 0 ? "pass --layer-base 1, or the right --layers" : "pass the right --layers",
            "there is a layer %d, and --layers says %lld", last, (long long)j->r->layers);
    } else if (first == 1 && j->r->layer_base < 0) {
        add(j, TRAP_LAYER_BASE, RULING_UNKNOWN,
            "pass --layer-base 0 if layer 0 is dense, 1 if layers are counted from 1",
            "the first layer is 1: either layer 0 is dense, or layers are counted from 1");
    } else if (first == 0 && j->r->layer_base == 1) {
        add(j, TRAP_LAYER_BASE, RULING_REFUSED, "pass --layer-base 0",
            "there is a layer 0, and --layer-base says that layers are counted from 1");
    }
}

static void judge_short_layer(struct judging *j)
{
    int64_t most = 0;
    const struct survey_layer *last = NULL;
    char layers[160] = "";
    for (int i = 0; i < MTP_LAYER; i++) {
        const struct survey_layer *l = j->s->layers[i];
        if (l != NULL && l->n_rows > 0) {
            most = l->n_rows > most ? l->n_rows : most;
            last = l;
        }
    }
    for (int i = 0, n = 0; i < MTP_LAYER; i++) {
        const struct survey_layer *l = j->s->layers[i];
        if (l != NULL && l->n_rows > 0 && l->n_rows < most && n++ < 8) {
            size_t at = strlen(layers);
            snprintf(layers + at, sizeof layers - at, "%s%d (%lld)", at > 0 ? ", " : "", i,
                     (long long)l->n_rows);
        }
    }
    if (layers[0] != '\0') {
        bool only_last = last->n_rows < most;
        add(j, TRAP_SHORT_LAYER, RULING_NOTED,
            only_last ? "compare loads by layer in shares; llama.cpp leaves a prompt's last layer out"
                      : "compare loads by layer in shares",
            "most layers saw %lld tokens, and fewer layer %s", (long long)most, layers);
    }
}

/* ---- 8: files ---- */

/* Whether no layer is in two files. */
static bool have_own_layers(const struct survey *s)
{
    for (int f = 0; f < s->n_files; f++) {
        if (s->files[f].n_layers == 0) {
            return false;
        }
    }
    for (int w = 0; w < LOGBOOK_MAX_LAYERS / 64; w++) {
        uint64_t seen = 0;
        for (int f = 0; f < s->n_files; f++) {
            if (seen & s->files[f].layers[w]) {
                return false;
            }
            seen |= s->files[f].layers[w];
        }
    }
    return s->n_files > 1;
}

static void judge_files(struct judging *j)
{
    const struct survey *s = j->s;
    if (j->r->ranks == RANKS_AUTO && have_own_layers(s) && s->n_loads == 0) {
        add(j, TRAP_RANK_FILES, RULING_REFUSED,
            s->takes_layers
                ? "pass --ranks layers if they saw the same tokens (pipeline parallel), --ranks sum if "
                  "other ones"
                : "pass --ranks sum if they saw other tokens; if the same, put all layers into one file",
            "no layer is in two of the %d files", s->n_files);
    }
    for (int a = 0; a < s->n_files && j->r->ranks == RANKS_AUTO; a++) {
        for (int b = a + 1; b < s->n_files; b++) {
            if (s->files[a].content == s->files[b].content && s->files[a].content != 0) {
                add(j, TRAP_RANK_FILES, RULING_REFUSED,
                    "pass --ranks replicas to count the first alone, or --ranks sum if it is a coincidence",
                    "'%s' and '%s' hold the same choices", j->r->files[a], j->r->files[b]);
                return;
            }
        }
    }
}

/* ---- 9, 10, 12: slots and gates ---- */

static void judge_order(struct judging *j)
{
    int64_t ascending = 0, rows = 0, routed = 0, descending = 0, gates = 0; /* rows with gates */
    for (int i = 0; i < LOGBOOK_MAX_LAYERS; i++) {
        const struct survey_layer *l = j->s->layers[i];
        if (l != NULL && (l->columns > 1 || l->columns < 0) && !survey_layer_is_dense(l)) {
            ascending += l->n_ascending;
            rows += l->n_several;
            routed += l->n_rows - l->n_unrouted;
            descending += l->n_gates_descending;
            gates += l->n_gate_rows;
        }
    }
    if (rows > 0 && ascending == rows && !(gates == routed && descending == routed)) {
        add(j, TRAP_SLOT_ORDER, RULING_UNKNOWN, "nothing can be passed: log what top-k returns",
            "all %lld rows are in the order of their ids", (long long)rows);
    } else if (descending < gates) {
        add(j, TRAP_SELECTION_SCORE, RULING_NOTED, "nothing: slots are kept as they are, gates as well",
            "in %.1f %% of the rows a later slot has the larger gate: what selects is not the gate",
            percent(gates - descending, gates));
    }
}

static void judge_shared_columns(struct judging *j)
{
    for (int i = 0; i < LOGBOOK_MAX_LAYERS; i++) {
        const struct survey_layer *l = j->s->layers[i];
        int last = l != NULL ? l->columns - 1 : 0;
        if (l == NULL || last < 1 || last >= SURVEY_COLUMNS || l->n_rows < FEW_ROWS ||
            survey_layer_is_constant(l)) {
            continue;
        }
        if ((l->constant >> last & 1) && l->first[last] >= 0) {
            add(j, TRAP_SHARED_COLUMNS, RULING_REFUSED,
                "pass --shared 1 to leave it out, or --accept shared-columns to keep it",
                "layer %d: the last column of every row is expert %d", i, l->first[last]);
            return;
        }
    }
}

static void judge_gates(struct judging *j)
{
    struct layer_sum wrong = sum_of(j->s, n_gates_wrong), gates = sum_of(j->s, n_gates);
    if (wrong.n > 0) {
        add(j, TRAP_SELECTION_SCORE, RULING_REFUSED,
            "log what weighs the experts; --accept selection-score leaves all gates out",
            "%lld of %lld gates are negative or no numbers: scores that select, not gates",
            (long long)wrong.n, (long long)gates.n);
    }
}

/* ---- 4, 13, 14, 15: tokens ---- */

static void judge_padding(struct judging *j)
{
    struct layer_sum repeated = sum_of(j->s, n_repeated), rows = sum_of(j->s, n_rows);
    if (repeated.n * 50 > rows.n && repeated.n_layers > 0) {
        add(j, TRAP_PADDING, RULING_UNKNOWN,
            "leave padding out where the log is made, or give attention_mask beside the logits",
            "%.1f %% of the rows repeat the row before in runs of %d and more: padding?",
            percent(repeated.n, rows.n), 16);
    }
}

static void judge_varying(struct judging *j)
{
    bool varies = false;
    int accumulated = 0, layer = -1, loads = 0;
    for (int i = 0; i < LOGBOOK_MAX_LAYERS; i++) {
        const struct survey_layer *l = j->s->layers[i];
        varies = varies || (l != NULL && l->columns < 0);
        loads += l != NULL && l->n_loads > 3 && l->changed;
        if (l != NULL && l->n_loads > 3 && !l->fell && l->changed) {
            accumulated++;
            layer = layer < 0 ? i : layer;
        }
    }
    struct layer_sum missing = sum_of(j->s, n_missing), rows = sum_of(j->s, n_rows);
    if (accumulated > 0 && accumulated == loads) {
        add(j, TRAP_VARYING_CHOICES, RULING_REFUSED,
            "pass the last step alone, or log differences; --accept varying-choices takes the counts as they "
            "are",
            "no count of %d layers ever falls, from layer %d on: each step seems to hold all before it",
            accumulated, layer);
    } else if (varies || missing.n > 0) {
        add(j, TRAP_VARYING_CHOICES, RULING_NOTED, "nothing, if the router chooses so; else turn pruning off",
            "tokens differ in how many experts they have; %lld choices of %lld rows are missing",
            (long long)missing.n, (long long)rows.n);
    }
}

static void judge_prefix(struct judging *j)
{
    struct layer_sum unrouted = sum_of(j->s, n_unrouted), rows = sum_of(j->s, n_rows);
    if (unrouted.n > 0) {
        add(j, TRAP_CACHED_PREFIX, RULING_NOTED, "turn prefix caching off to have them",
            "%lld of %lld rows have no choice at all (%.1f %%)", (long long)unrouted.n, (long long)rows.n,
            percent(unrouted.n, rows.n));
    }
}

void survey_judge(struct survey *s, const struct request *r)
{
    struct judging j = {s, r, survey_experts(s, r)};
    survey_end(s);
    judge_zero_rows(&j);
    judge_dense_layers(&j);
    judge_duplicates(&j);
    judge_sentinels(&j);
    judge_local_ids(&j);
    judge_layer_base(&j);
    judge_short_layer(&j);
    judge_files(&j);
    judge_order(&j);
    judge_shared_columns(&j);
    judge_gates(&j);
    judge_padding(&j);
    judge_varying(&j);
    judge_prefix(&j);
    findings_sort(&s->findings);
}
