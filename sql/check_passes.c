/* Passes: the sequences of one run, step and split, against the exact sums that were logged of it. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "sql/check.h"
#include "sql/loads.h"

/* ---- samples ---- */

static void check_sample(struct statement *s, struct check_finding *finding)
{
    int64_t id = sqlite3_column_int64(s->handle, 0);
    size_t n = (size_t)sqlite3_column_int64(s->handle, 1) + 1;
    struct piece stored = statement_column_blob(s, 2), tokens = statement_column_blob(s, 3);
    char hex[SHA256_HEX], kept[SHA256_HEX] = "";
    sha256_bytes(tokens.bytes, tokens.n, hex);
    for (size_t i = 0; i < stored.n && i < 32; i++) {
        snprintf(kept + 2 * i, 3, "%02x", stored.bytes[i]);
    }
    finding->checked++;
    if (tokens.n != 2 * n && tokens.n != 4 * n) {
        violated(finding, "sample %" PRId64 ": %zu bytes of tokens for %zu ids", id, tokens.n, n);
    } else if (strcmp(hex, kept) != 0) {
        violated(finding, "sample %" PRId64 ": the tokens do not have their sha256", id);
    }
}

static int read_samples(struct check *c, struct check_finding *finding, struct error *err)
{
    struct statement s;
    if (statement_open(&s, c->lb, "store/check_samples", err) != 0) {
        return -1;
    }
    int result;
    while ((result = statement_step(&s, err)) == 1) {
        check_sample(&s, finding);
        check_advance(c, "samples");
    }
    statement_close(&s);
    return result;
}

/* ---- a pass ---- */

struct document_count {                     /* of a sequence, then of all sequences of a document */
    int64_t document_id, n_tokens, unknown; /* unknown: losses too large or not finite */
    double loss_sum;
};

struct passes {
    struct check *check;
    struct logbook *lb;
    struct statement sequences, blocks, probabilities, loads, figures, documents;
    struct block_check block;
    struct check_finding *load, *gates, *probability_sums, *figure, *loss, *order;
    struct layer_count layers[LOGBOOK_MAX_LAYERS]; /* of the run at hand */
    struct document_count *counts;                 /* of the pass at hand; sorted at its end */
    int n_counts, counts_capacity;
    int64_t run_id, step, n_tokens;
    int64_t last_sequence; /* of the steps so far in this run and split */
    char split[16], where[64];
    bool in_order; /* the run's sequences came in the order of its steps */
    bool open;
};

static void forget_layers(struct passes *p)
{
    for (int l = 0; l < LOGBOOK_MAX_LAYERS; l++) {
        layer_count_release(&p->layers[l]);
    }
}

static int read_layer(struct passes *p, struct statement *s, struct error *err)
{
    int64_t layer = sqlite3_column_int64(s->handle, 0);
    int64_t n_experts = sqlite3_column_int64(s->handle, 1);
    if (layer < 0 || layer >= LOGBOOK_MAX_LAYERS || n_experts <= 0 || n_experts > CODEC_MAX_EXPERTS) {
        return 0; /* the foreign keys' and experts' checks say what is wrong */
    }
    if (p->layers[layer].accepted != NULL) {
        return 0; /* the layer once more, in a table without its key */
    }
    return layer_count_init(&p->layers[layer], (int)n_experts, sqlite3_column_int(s->handle, 2),
                            sums_to_one((const char *)sqlite3_column_text(s->handle, 3)), err);
}

static int read_layers(struct passes *p, struct error *err)
{
    struct statement s;
    int result = statement_open(&s, p->lb, "store/check_layers", err);
    forget_layers(p);
    if (result == 0) {
        statement_int(&s, ":run", p->run_id);
        while ((result = statement_step(&s, err)) == 1) {
            if (read_layer(p, &s, err) != 0) {
                result = -1;
                break;
            }
        }
    }
    statement_close(&s);
    return result;
}

static int read_run(struct passes *p, struct error *err)
{
    struct statement s;
    int result = statement_open(&s, p->lb, "store/check_run", err);
    p->in_order = false;
    if (result == 0) {
        statement_int(&s, ":run", p->run_id);
        result = statement_step(&s, err);
    }
    if (result == 1) {
        p->in_order = sqlite3_column_int(s.handle, 1) != 0;
    }
    statement_close(&s);
    return result < 0 ? -1 : read_layers(p, err);
}

/* ---- one sequence ---- */

/* The entry to add a sequence of that document to; NULL when memory is short. */
static struct document_count *count_of(struct passes *p, int64_t document_id)
{
    if (p->n_counts > 0 && p->counts[p->n_counts - 1].document_id == document_id) {
        return &p->counts[p->n_counts - 1];
    }
    if (p->n_counts == p->counts_capacity) {
        int capacity = p->counts_capacity > 0 ? 2 * p->counts_capacity : 64;
        void *counts = realloc(p->counts, (size_t)capacity * sizeof *p->counts);
        if (counts == NULL) {
            return NULL;
        }
        p->counts = counts;
        p->counts_capacity = capacity;
    }
    struct document_count *count = &p->counts[p->n_counts++];
    *count = (struct document_count){.document_id = document_id};
    return count;
}

static int check_losses(struct passes *p, int64_t sequence_id, int64_t document_id, int64_t n_tokens,
                        struct piece losses, uint32_t checksum, struct error *err)
{
    if (losses.bytes == NULL) {
        return 0;
    }
    p->block.checksums->checked++;
    if (piece_checksum(&losses, 1) != checksum) {
        violated(p->block.checksums, "losses of sequence %" PRId64, sequence_id);
    }
    if (losses.n != 2 * (size_t)n_tokens) {
        violated(p->block.decoded, "sequence %" PRId64 ": %zu bytes of losses for %" PRId64 " tokens",
                 sequence_id, losses.n, n_tokens);
        return 0;
    }
    struct document_count *count = count_of(p, document_id);
    if (count == NULL) {
        return error_no_memory(err, "the losses of documents");
    }
    for (int64_t t = 0; t < n_tokens; t++) {
        float loss;
        unpack_losses(&loss, losses.bytes + 2 * t, 1);
        count->unknown += isnan(loss);
        count->loss_sum += isnan(loss) ? 0 : (double)loss;
    }
    count->n_tokens += n_tokens;
    return 0;
}

static int check_blocks(struct passes *p, int64_t sequence_id, int64_t n_tokens, struct error *err)
{
    struct statement *each[] = {&p->blocks, &p->probabilities};
    if (sequence_id < 0 || sequence_id > INT64_MAX / LOGBOOK_MAX_LAYERS - 1) {
        violated(p->block.decoded, "sequence %" PRId64 ": an id that no block can be of", sequence_id);
        return 0;
    }
    for (int i = 0; i < 2; i++) {
        int result;
        statement_int(each[i], ":first_block", sequence_id * LOGBOOK_MAX_LAYERS);
        statement_int(each[i], ":last_block", sequence_id * LOGBOOK_MAX_LAYERS + LOGBOOK_MAX_LAYERS - 1);
        while ((result = statement_step(each[i], err)) == 1) {
            if ((i == 0 ? check_routing_block : check_probability_block)(&p->block, p->layers, each[i],
                                                                         sequence_id, n_tokens, err) != 0) {
                statement_reset(each[i]);
                return -1;
            }
        }
        if (result != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- the end of a pass: loads ---- */

struct load_row { /* an expert of a load */
    int layer, expert;
    struct load_entry load;
};

/* A gate is known to half a step of its block, a sum of gates to as much for each. Where the decisions are
 * not those of the load, their gates cannot be. */
static void compare_decisions(struct passes *p, const struct layer_count *l, const struct load_row *r)
{
    int e = r->expert;
    p->load->checked++;
    if (r->load.assignments != l->accepted[e] || r->load.dropped != l->dropped[e]) {
        violated(p->load,
                 "%s, layer %d, expert %d: %" PRId64 " assignments and %" PRId64
                 " dropped in the load, %" PRId64 " and %" PRId64 " among the decisions",
                 p->where, r->layer, e, r->load.assignments, r->load.dropped, l->accepted[e], l->dropped[e]);
        return;
    }
    if (l->gates_unknown || isnan(r->load.gate_sum)) {
        return;
    }
    p->gates->checked++;
    if (fabs(r->load.gate_sum - l->gate_sum[e]) > l->gate_half[e] + 1e-5 * (1 + fabs(r->load.gate_sum))) {
        violated(p->gates,
                 "%s, layer %d, expert %d: gates sum to %.6f in the load, to %.6f among the decisions",
                 p->where, r->layer, e, r->load.gate_sum, l->gate_sum[e]);
    }
}

static bool has_probabilities(const struct passes *p, const struct layer_count *l)
{
    return l->probability_tokens > 0 && l->probability_tokens == p->n_tokens;
}

static void compare_probability(struct passes *p, const struct layer_count *l, const struct load_row *r)
{
    if (!has_probabilities(p, l) || isnan(r->load.probability_sum)) {
        return;
    }
    p->probability_sums->checked++;
    double sum = l->probability_sum[r->expert];
    if (fabs(r->load.probability_sum - sum) > (double)p->n_tokens * mass_tolerance(1)) {
        violated(p->probability_sums,
                 "%s, layer %d, expert %d: probabilities sum to %.6f in the load, to %.6f over the tokens",
                 p->where, r->layer, r->expert, r->load.probability_sum, sum);
    }
}

static void bind_pass(struct passes *p, struct statement *s)
{
    statement_int(s, ":run", p->run_id);
    statement_int(s, ":step", p->step);
    statement_text(s, ":split", p->split);
}

/* Where the text is no load of the layer, `load_experts` tells. */
static void compare_load(struct passes *p, int layer, const char *experts)
{
    const struct layer_count *l = &p->layers[layer];
    struct load_row r = {.layer = layer};
    for (; r.expert < l->n_experts && load_entry_next(&experts, &r.load) == 1; r.expert++) {
        if (l->any) {
            compare_decisions(p, l, &r);
        }
        compare_probability(p, l, &r);
    }
}

static int compare_loads(struct passes *p, struct error *err)
{
    int result;
    bind_pass(p, &p->loads);
    while ((result = statement_step(&p->loads, err)) == 1) {
        int64_t layer = sqlite3_column_int64(p->loads.handle, 0);
        const char *experts = (const char *)sqlite3_column_text(p->loads.handle, 1);
        if (layer >= 0 && layer < LOGBOOK_MAX_LAYERS && experts != NULL) {
            compare_load(p, (int)layer, experts);
        }
    }
    return result;
}

/* ---- the end of a pass: figures of the routers ---- */

static void compare_figure(struct passes *p, const struct layer_count *l, int layer, const char *name,
                           double value)
{
    double tokens = (double)l->probability_tokens, mean = l->entropy / tokens;
    double tolerance = entropy_tolerance(l->n_experts);
    if (strcmp(name, "router_entropy") != 0) {
        long n = strtol(name + strlen("rank_mass_"), NULL, 10);
        if (n < 1 || n > l->n_experts) {
            return;
        }
        mean = l->rank_mass[n - 1] / tokens;
        tolerance = mass_tolerance(l->n_experts);
    }
    p->figure->checked++;
    if (!(fabs(value - mean) <= tolerance)) {
        violated(p->figure, "%s, layer %d: %s is %.6f, and %.6f by the probabilities", p->where, layer, name,
                 value, mean);
    }
}

static int compare_figures(struct passes *p, struct error *err)
{
    int result;
    bind_pass(p, &p->figures);
    while ((result = statement_step(&p->figures, err)) == 1) {
        int64_t layer = sqlite3_column_int64(p->figures.handle, 0);
        const char *name = (const char *)sqlite3_column_text(p->figures.handle, 1);
        if (layer >= 0 && layer < LOGBOOK_MAX_LAYERS && name != NULL && p->layers[layer].sums_to_one &&
            has_probabilities(p, &p->layers[layer])) {
            compare_figure(p, &p->layers[layer], (int)layer, name,
                           sqlite3_column_double(p->figures.handle, 2));
        }
    }
    return result;
}

/* ---- the end of a pass: losses ---- */

static int by_document(const void *a, const void *b)
{
    const struct document_count *x = a, *y = b;
    return (x->document_id > y->document_id) - (x->document_id < y->document_id);
}

/* One entry a document, in the order of their ids. */
static void fold_counts(struct passes *p)
{
    int n = 0;
    qsort(p->counts, (size_t)p->n_counts, sizeof *p->counts, by_document);
    for (int i = 0; i < p->n_counts; i++) {
        struct document_count *last = n > 0 ? &p->counts[n - 1] : NULL;
        if (last == NULL || last->document_id != p->counts[i].document_id) {
            p->counts[n++] = p->counts[i];
            continue;
        }
        last->n_tokens += p->counts[i].n_tokens;
        last->unknown += p->counts[i].unknown;
        last->loss_sum += p->counts[i].loss_sum;
    }
    p->n_counts = n;
}

/* Rounding costs at most half a unit a token; a loss that was too large to keep was 64 nats or more. */
static bool losses_agree(const struct document_count *c, bool known, double loss_sum)
{
    double tolerance = (double)c->n_tokens / (2 * LOSS_UNIT) + 1e-6 * fabs(loss_sum);
    double beyond = (double)c->unknown * (LOSS_NONE - 0.5) / LOSS_UNIT;
    if (!known) {
        return c->unknown > 0;
    }
    return c->unknown > 0 ? loss_sum >= c->loss_sum + beyond - tolerance
                          : fabs(loss_sum - c->loss_sum) <= tolerance;
}

static void compare_document(struct passes *p, int64_t document_id, int64_t n_tokens, bool known,
                             double loss_sum)
{
    const struct document_count key = {.document_id = document_id};
    const struct document_count *c =
        bsearch(&key, p->counts, (size_t)p->n_counts, sizeof *p->counts, by_document);
    c = c != NULL ? c : &key;
    p->loss->checked++;
    if (c->n_tokens != n_tokens) {
        violated(p->loss,
                 "%s, document %" PRId64 ": %" PRId64 " tokens in document_loss, %" PRId64
                 " in the sequences",
                 p->where, document_id, n_tokens, c->n_tokens);
    } else if (!losses_agree(c, known, loss_sum)) {
        violated(p->loss, "%s, document %" PRId64 ": loss %.6f in document_loss, %.6f in the sequences",
                 p->where, document_id, loss_sum, c->loss_sum);
    }
}

static int compare_losses(struct passes *p, struct error *err)
{
    int result, rows = 0;
    fold_counts(p);
    bind_pass(p, &p->documents);
    while ((result = statement_step(&p->documents, err)) == 1) {
        sqlite3_stmt *row = p->documents.handle;
        compare_document(p, sqlite3_column_int64(row, 0), sqlite3_column_int64(row, 1),
                         sqlite3_column_type(row, 2) != SQLITE_NULL, sqlite3_column_double(row, 2));
        rows++;
    }
    if (rows > 0 && rows < p->n_counts) {
        violated(p->loss, "%s: losses of %d documents in document_loss, of %d in the sequences", p->where,
                 rows, p->n_counts);
    }
    return result;
}

/* ---- from pass to pass ---- */

static int end_pass(struct passes *p, struct error *err)
{
    if (!p->open) {
        return 0;
    }
    if (compare_loads(p, err) != 0 || compare_figures(p, err) != 0 ||
        (p->n_counts > 0 && compare_losses(p, err) != 0)) {
        return -1;
    }
    p->n_counts = 0;
    p->open = false;
    return 0;
}

static int begin_pass(struct passes *p, int64_t run_id, int64_t step, const char *split, struct error *err)
{
    bool other_run = run_id != p->run_id;
    if (other_run || strcmp(split, p->split) != 0) {
        p->last_sequence = 0;
    }
    p->run_id = run_id;
    p->step = step;
    p->n_tokens = 0;
    snprintf(p->split, sizeof p->split, "%s", split);
    snprintf(p->where, sizeof p->where, "run %" PRId64 ", step %" PRId64 " (%s)", run_id, step, split);
    p->open = true;
    if (other_run) {
        return read_run(p, err);
    }
    for (int l = 0; l < LOGBOOK_MAX_LAYERS; l++) {
        layer_count_clear(&p->layers[l]);
    }
    return 0;
}

/* A log is written step by step: sequences that come before those of an earlier step are a step logged again.
 */
static void check_order(struct passes *p, int64_t sequence_id)
{
    if (!p->in_order) {
        return;
    }
    p->order->checked++;
    if (sequence_id < p->last_sequence) {
        violated(p->order,
                 "%s: sequence %" PRId64 " was logged before sequence %" PRId64
                 " of an earlier step; a step was logged again",
                 p->where, sequence_id, p->last_sequence);
    }
    p->last_sequence = sequence_id;
}

static int check_sequence(struct passes *p, struct error *err)
{
    sqlite3_stmt *row = p->sequences.handle;
    int64_t run_id = sqlite3_column_int64(row, 0), step = sqlite3_column_int64(row, 2);
    const char *split = (const char *)sqlite3_column_text(row, 1);
    int64_t sequence_id = sqlite3_column_int64(row, 3), n_tokens = sqlite3_column_int64(row, 5);
    split = split != NULL ? split : "";
    if (!p->open || run_id != p->run_id || step != p->step || strcmp(split, p->split) != 0) {
        if (end_pass(p, err) != 0 || begin_pass(p, run_id, step, split, err) != 0) {
            return -1;
        }
    }
    check_order(p, sequence_id);
    p->block.decoded->checked++;
    if (n_tokens < 0 || n_tokens > CODEC_MAX_DECISIONS) {
        violated(p->block.decoded, "sequence %" PRId64 ": %" PRId64 " tokens", sequence_id, n_tokens);
        return 0;
    }
    p->n_tokens += n_tokens;
    if (check_losses(p, sequence_id, sqlite3_column_int64(row, 4), n_tokens,
                     statement_column_blob(&p->sequences, 6), (uint32_t)sqlite3_column_int64(row, 7),
                     err) != 0) {
        return -1;
    }
    return check_blocks(p, sequence_id, n_tokens, err);
}

static int read_passes(struct passes *p, struct error *err)
{
    int result;
    if (statement_open(&p->sequences, p->lb, "store/check_sequences", err) != 0 ||
        statement_open(&p->blocks, p->lb, "scan/routing_blocks", err) != 0 ||
        statement_open(&p->probabilities, p->lb, "scan/probability_blocks", err) != 0 ||
        statement_open(&p->loads, p->lb, "store/check_pass_loads", err) != 0 ||
        statement_open(&p->figures, p->lb, "store/check_router_figures", err) != 0 ||
        statement_open(&p->documents, p->lb, "store/check_document_losses", err) != 0) {
        return -1;
    }
    while ((result = statement_step(&p->sequences, err)) == 1) {
        if (check_sequence(p, err) != 0) {
            return -1;
        }
        check_advance(p->check, "sequences");
    }
    return result == 0 ? end_pass(p, err) : -1;
}

static void release(struct passes *p)
{
    statement_close(&p->sequences);
    statement_close(&p->blocks);
    statement_close(&p->probabilities);
    statement_close(&p->loads);
    statement_close(&p->figures);
    statement_close(&p->documents);
    forget_layers(p);
    block_check_release(&p->block);
    free(p->counts);
    free(p);
}

int check_passes(struct check *c, struct error *err)
{
    struct passes *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return error_no_memory(err, "the check of decisions");
    }
    p->check = c;
    p->lb = c->lb;
    p->run_id = -1;
    int result = block_check_init(&p->block, c, err);
    p->load = finding_add(c, "loads");
    p->gates = finding_add(c, "gate_sums");
    p->probability_sums = finding_add(c, "probability_sums");
    p->figure = finding_add(c, "router_figures");
    p->loss = finding_add(c, "document_losses");
    p->order = finding_add(c, "order");
    if (result == 0) {
        result = read_samples(c, p->block.checksums, err);
    }
    if (result == 0) {
        result = read_passes(p, err);
    }
    if (result != 0) {
        result = unreadable(p->block.decoded, err);
    }
    release(p);
    return result;
}
