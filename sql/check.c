/* Whether a logbook can be trusted: the file itself, then what it says, each figure against those it can be
 * rebuilt from. Checks that SQL can state are in sql/check/; here are those that decode blobs. A damaged file
 * does not end the check: what cannot be read is a violation, and the rest goes on. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "sql/db.h"
#include "sql/read.h"

/* ---- findings ---- */

struct findings {
    struct check_finding *items;
    int n, capacity;
};

/* Findings beyond the caller's array go into the last one. */
static struct check_finding *finding_add(struct findings *f, const char *what)
{
    struct check_finding *finding = &f->items[f->n < f->capacity ? f->n++ : f->capacity - 1];
    memset(finding, 0, sizeof *finding);
    snprintf(finding->what, sizeof finding->what, "%s", what);
    return finding;
}

/* Counts a violation; the first is kept in words. */
static void violated(struct check_finding *finding, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void violated(struct check_finding *finding, const char *format, ...)
{
    va_list arguments;
    if (finding->violations++ == 0) {
        va_start(arguments, format);
        vsnprintf(finding->detail, sizeof finding->detail, format, arguments);
        va_end(arguments);
    }
}

/* What cannot be read is a violation; what the machine cannot do ends the check. */
static int unreadable(struct check_finding *finding, const struct error *err)
{
    if (err->status != STATUS_INPUT) {
        return -1;
    }
    violated(finding, "%.200s", err->text);
    return 0;
}

/* ---- the file ---- */

static int read_integrity(struct logbook *lb, struct check_finding *finding, struct error *err)
{
    struct statement s;
    int result = db_scalar(lb, "store/check_pages", &finding->checked, err);
    if (result != 0 || statement_open(&s, lb, "store/check_file", err) != 0) {
        return -1;
    }
    while ((result = statement_step(&s, err)) == 1) {
        const char *text = (const char *)sqlite3_column_text(s.handle, 0);
        if (text == NULL || strcmp(text, "ok") != 0) {
            violated(finding, "%.200s", text != NULL ? text : "no answer");
        }
    }
    statement_close(&s);
    return result;
}

static int read_foreign_keys(struct logbook *lb, struct check_finding *finding, struct error *err)
{
    struct statement s;
    if (statement_open(&s, lb, "store/check_foreign_keys", err) != 0) {
        return -1;
    }
    int result;
    while ((result = statement_step(&s, err)) == 1) {
        violated(finding, "%s: row %" PRId64 " has no parent in %s",
                 (const char *)sqlite3_column_text(s.handle, 0), (int64_t)sqlite3_column_int64(s.handle, 1),
                 (const char *)sqlite3_column_text(s.handle, 2));
    }
    finding->checked = 1;
    statement_close(&s);
    return result;
}

/* ---- checks in SQL ---- */

static int read_stated(struct logbook *lb, const char *name, struct check_finding *finding, struct error *err)
{
    struct statement s;
    if (statement_open(&s, lb, name, err) != 0) {
        return -1;
    }
    int result = statement_step(&s, err);
    if (result == 1) {
        finding->checked = sqlite3_column_int64(s.handle, 0);
        finding->violations = sqlite3_column_int64(s.handle, 1);
        const char *detail = (const char *)sqlite3_column_text(s.handle, 2);
        if (finding->violations > 0) { /* a sentence about a NULL where none may be is NULL itself */
            snprintf(finding->detail, sizeof finding->detail, "%s",
                     detail != NULL ? detail : "a row without the values that it must have");
        }
        result = 0;
    }
    statement_close(&s);
    return result;
}

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

static int read_samples(struct logbook *lb, struct check_finding *finding, struct error *err)
{
    struct statement s;
    if (statement_open(&s, lb, "store/check_samples", err) != 0) {
        return -1;
    }
    int result;
    while ((result = statement_step(&s, err)) == 1) {
        check_sample(&s, finding);
    }
    statement_close(&s);
    return result;
}

/* ---- passes: decisions and losses of one run, step and split, against the exact sums ---- */

struct layer_count {
    int n_experts, k;            /* k 0: varies */
    int64_t *accepted, *dropped; /* (n_experts) counted from the blocks of this pass */
    bool any;                    /* decisions were logged in this pass */
};

struct document_count {
    int64_t document_id, n_tokens, unknown; /* unknown: losses too large or not finite */
    double loss_sum;
};

struct passes {
    struct logbook *lb;
    struct statement sequences, blocks, probabilities, loads, documents;
    struct check_finding *checksums, *decoded, *decisions, *load, *loss;
    struct layer_count layers[LOGBOOK_MAX_LAYERS]; /* of the run at hand */
    struct document_count *counts;                 /* of the pass at hand, in order of first appearance */
    int n_counts, counts_capacity;
    struct decisions buffer;
    int64_t run_id, step;
    char split[16], where[64];
    bool open;
};

static void forget_layers(struct passes *p)
{
    for (int l = 0; l < LOGBOOK_MAX_LAYERS; l++) {
        free(p->layers[l].accepted);
        free(p->layers[l].dropped);
    }
    memset(p->layers, 0, sizeof p->layers);
}

static int read_layer(struct passes *p, struct statement *s, struct error *err)
{
    int64_t layer = sqlite3_column_int64(s->handle, 0);
    int n_experts = sqlite3_column_int(s->handle, 1);
    if (layer < 0 || layer >= LOGBOOK_MAX_LAYERS || n_experts <= 0 || n_experts > CODEC_MAX_EXPERTS) {
        return 0; /* the foreign keys' and experts' checks say what is wrong */
    }
    struct layer_count *l = &p->layers[layer];
    l->n_experts = n_experts;
    l->k = sqlite3_column_int(s->handle, 2);
    l->accepted = calloc((size_t)n_experts, sizeof *l->accepted);
    l->dropped = calloc((size_t)n_experts, sizeof *l->dropped);
    return l->accepted != NULL && l->dropped != NULL ? 0 : error_no_memory(err, "the counts of a layer");
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

/* ---- one sequence ---- */

static struct document_count *count_of(struct passes *p, int64_t document_id)
{
    for (int i = p->n_counts - 1; i >= 0; i--) {
        if (p->counts[i].document_id == document_id) {
            return &p->counts[i];
        }
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
    p->checksums->checked++;
    if (piece_checksum(&losses, 1) != checksum) {
        violated(p->checksums, "losses of sequence %" PRId64, sequence_id);
    }
    if (losses.n != 2 * (size_t)n_tokens) {
        violated(p->decoded, "sequence %" PRId64 ": %zu bytes of losses for %" PRId64 " tokens", sequence_id,
                 losses.n, n_tokens);
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

static void count_decisions(struct layer_count *l, const struct decisions *d)
{
    l->any = true;
    for (int i = 0; i < d->n; i++) {
        int64_t *counts = d->dropped[i] ? l->dropped : l->accepted;
        counts[d->expert[i]]++;
    }
}

static void check_block(struct passes *p, int64_t sequence_id, int64_t n_tokens)
{
    struct statement *s = &p->blocks;
    int layer = (int)(sqlite3_column_int64(s->handle, 0) % LOGBOOK_MAX_LAYERS);
    const char *codec = (const char *)sqlite3_column_text(s->handle, 1);
    struct layer_count *l = &p->layers[layer];
    const struct packed_block packed = {.codec = codec_by_name(codec != NULL ? codec : ""),
                                        .k = sqlite3_column_int(s->handle, 2),
                                        .scale = sqlite3_column_double(s->handle, 3),
                                        .experts = statement_column_blob(s, 4),
                                        .gates = statement_column_blob(s, 5),
                                        .offsets = statement_column_blob(s, 6),
                                        .dropped = statement_column_blob(s, 7)};
    p->checksums->checked++;
    p->decoded->checked++;
    if (packed_block_checksum(&packed) != (uint32_t)sqlite3_column_int64(s->handle, 8)) {
        violated(p->checksums, "routing of sequence %" PRId64 ", layer %d", sequence_id, layer);
    }
    const char *wrong = packed.codec == NULL
                            ? "unknown codec"
                            : packed_block_decode(&packed, (int)n_tokens, l->n_experts, &p->buffer);
    if (wrong != NULL) {
        violated(p->decoded, "routing of sequence %" PRId64 ", layer %d: %s", sequence_id, layer, wrong);
        return;
    }
    p->decisions->checked++;
    if (l->k > 0 && p->buffer.n != n_tokens * l->k) {
        violated(p->decisions,
                 "sequence %" PRId64 ", layer %d: %d decisions for %" PRId64 " tokens with %d each",
                 sequence_id, layer, p->buffer.n, n_tokens, l->k);
    }
    count_decisions(l, &p->buffer);
}

static void check_probability(struct passes *p, int64_t sequence_id, int64_t n_tokens)
{
    struct statement *s = &p->probabilities;
    int layer = (int)(sqlite3_column_int64(s->handle, 0) % LOGBOOK_MAX_LAYERS);
    int64_t n_experts = sqlite3_column_int64(s->handle, 1);
    struct piece bytes = statement_column_blob(s, 2);
    p->checksums->checked++;
    p->decoded->checked++;
    if (piece_checksum(&bytes, 1) != (uint32_t)sqlite3_column_int64(s->handle, 3)) {
        violated(p->checksums, "probabilities of sequence %" PRId64 ", layer %d", sequence_id, layer);
    }
    if ((int64_t)bytes.n != 2 * n_tokens * n_experts) {
        violated(p->decoded, "probabilities of sequence %" PRId64 ", layer %d: %zu bytes", sequence_id, layer,
                 bytes.n);
    }
}

static int check_blocks(struct passes *p, int64_t sequence_id, int64_t n_tokens, struct error *err)
{
    struct statement *each[] = {&p->blocks, &p->probabilities};
    for (int i = 0; i < 2; i++) {
        int result;
        statement_int(each[i], ":first_block", sequence_id * LOGBOOK_MAX_LAYERS);
        statement_int(each[i], ":last_block", sequence_id * LOGBOOK_MAX_LAYERS + LOGBOOK_MAX_LAYERS - 1);
        while ((result = statement_step(each[i], err)) == 1) {
            (i == 0 ? check_block : check_probability)(p, sequence_id, n_tokens);
        }
        if (result != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- the end of a pass ---- */

static int compare_loads(struct passes *p, struct error *err)
{
    int result;
    statement_int(&p->loads, ":run", p->run_id);
    statement_int(&p->loads, ":step", p->step);
    statement_text(&p->loads, ":split", p->split);
    while ((result = statement_step(&p->loads, err)) == 1) {
        int64_t layer = sqlite3_column_int64(p->loads.handle, 0),
                e = sqlite3_column_int64(p->loads.handle, 1);
        if (layer < 0 || layer >= LOGBOOK_MAX_LAYERS || !p->layers[layer].any ||
            e >= p->layers[layer].n_experts) {
            continue;
        }
        const struct layer_count *l = &p->layers[layer];
        int64_t accepted = sqlite3_column_int64(p->loads.handle, 2);
        int64_t dropped = sqlite3_column_int64(p->loads.handle, 3);
        p->load->checked++;
        if (accepted != l->accepted[e] || dropped != l->dropped[e]) {
            violated(p->load,
                     "%s, layer %" PRId64 ", expert %" PRId64 ": %" PRId64 " assignments and %" PRId64
                     " dropped in the load, %" PRId64 " and %" PRId64 " among the decisions",
                     p->where, layer, e, accepted, dropped, l->accepted[e], l->dropped[e]);
        }
    }
    return result;
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
    struct document_count none = {.document_id = document_id}, *c = &none;
    for (int i = 0; i < p->n_counts; i++) {
        if (p->counts[i].document_id == document_id) {
            c = &p->counts[i];
        }
    }
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
    statement_int(&p->documents, ":run", p->run_id);
    statement_int(&p->documents, ":step", p->step);
    statement_text(&p->documents, ":split", p->split);
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

static int end_pass(struct passes *p, struct error *err)
{
    if (!p->open) {
        return 0;
    }
    int result = compare_loads(p, err);
    if (result == 0 && p->n_counts > 0) {
        result = compare_losses(p, err);
    }
    p->n_counts = 0;
    p->open = false;
    return result;
}

static int begin_pass(struct passes *p, int64_t run_id, int64_t step, const char *split, struct error *err)
{
    bool other_run = run_id != p->run_id;
    p->run_id = run_id;
    p->step = step;
    snprintf(p->split, sizeof p->split, "%s", split);
    snprintf(p->where, sizeof p->where, "run %" PRId64 ", step %" PRId64 " (%s)", run_id, step, split);
    p->open = true;
    if (other_run) {
        return read_layers(p, err);
    }
    for (int l = 0; l < LOGBOOK_MAX_LAYERS; l++) {
        struct layer_count *layer = &p->layers[l];
        if (layer->any) {
            memset(layer->accepted, 0, (size_t)layer->n_experts * sizeof *layer->accepted);
            memset(layer->dropped, 0, (size_t)layer->n_experts * sizeof *layer->dropped);
            layer->any = false;
        }
    }
    return 0;
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
    p->decoded->checked++;
    if (n_tokens < 0 || n_tokens > CODEC_MAX_DECISIONS) {
        violated(p->decoded, "sequence %" PRId64 ": %" PRId64 " tokens", sequence_id, n_tokens);
        return 0;
    }
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
        statement_open(&p->loads, p->lb, "store/check_loads", err) != 0 ||
        statement_open(&p->documents, p->lb, "store/check_document_losses", err) != 0) {
        return -1;
    }
    while ((result = statement_step(&p->sequences, err)) == 1) {
        if (check_sequence(p, err) != 0) {
            return -1;
        }
    }
    return result == 0 ? end_pass(p, err) : -1;
}

static int check_passes(struct logbook *lb, struct findings *f, struct error *err)
{
    struct passes *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return error_no_memory(err, "the check of decisions");
    }
    p->lb = lb;
    p->run_id = -1;
    p->checksums = finding_add(f, "checksums");
    p->decoded = finding_add(f, "blocks");
    p->decisions = finding_add(f, "decisions");
    p->load = finding_add(f, "loads");
    p->loss = finding_add(f, "document_losses");
    int result = read_samples(lb, p->checksums, err);
    if (result == 0) {
        result = read_passes(p, err);
    }
    if (result != 0) {
        result = unreadable(p->decoded, err);
    }
    statement_close(&p->sequences);
    statement_close(&p->blocks);
    statement_close(&p->probabilities);
    statement_close(&p->loads);
    statement_close(&p->documents);
    forget_layers(p);
    decisions_release(&p->buffer);
    free(p->counts);
    free(p);
    return result;
}

/* ---- all of it ---- */

static int check_stated(struct logbook *lb, struct findings *f, struct error *err)
{
    const char *name;
    for (int i = 0; (name = sql_name("check/", i)) != NULL; i++) {
        struct check_finding *finding = finding_add(f, name + strlen("check/"));
        if (read_stated(lb, name, finding, err) != 0 && unreadable(finding, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int check_all(struct logbook *lb, struct findings *f, struct error *err)
{
    struct check_finding *file = finding_add(f, "file");
    if (read_integrity(lb, file, err) != 0 && unreadable(file, err) != 0) {
        return -1;
    }
    struct check_finding *keys = finding_add(f, "foreign_keys");
    if (read_foreign_keys(lb, keys, err) != 0 && unreadable(keys, err) != 0) {
        return -1;
    }
    return check_passes(lb, f, err) != 0 ? -1 : check_stated(lb, f, err);
}

int logbook_check(struct logbook *lb, struct check_finding *findings, int *n, struct error *err)
{
    struct findings f = {findings, 0, *n};
    /* One view of the file for all checks, also while a run writes. */
    int result = db_exec(lb, "BEGIN", "read", err);
    if (result == 0) {
        result = check_all(lb, &f, err);
        sqlite3_exec(lb->db, "ROLLBACK", NULL, NULL, NULL);
    }
    *n = f.n;
    return result;
}
