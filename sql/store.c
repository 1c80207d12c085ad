/* Putting a batch into the tables: prepared statements, and the ids that exist only now. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/text.h"
#include "sql/batch.h"

enum store_statement {
    ADD_METRIC,
    ADD_LAYER_METRIC,
    ADD_LOAD,
    ADD_DOCUMENT_LOSS,
    ADD_EVENT,
    ADD_CHECKPOINT,
    HAS_DOMAIN,
    DOCUMENT_TOKENS,
    FIND_SAMPLE,
    ADD_SAMPLE,
    ADD_SEQUENCE,
    ADD_OUTCOME,
    ADD_ROUTING,
    ADD_PROBABILITY,
    ADD_INTEGERS,
    COUNT_INTEGERS,
    CLOSE_WINDOWS,
    WINDOW_ENTRY,
    ADD_WINDOW,
    HEARTBEAT,
    N_STATEMENTS
};

static const char *const statement_names[N_STATEMENTS] = {
    [ADD_METRIC] = "store/add_metric",       [ADD_LAYER_METRIC] = "store/add_layer_metric",
    [ADD_LOAD] = "store/add_load",           [ADD_DOCUMENT_LOSS] = "store/add_document_loss",
    [ADD_EVENT] = "store/add_event",         [ADD_CHECKPOINT] = "store/add_checkpoint",
    [HAS_DOMAIN] = "store/has_domain",       [DOCUMENT_TOKENS] = "store/document_tokens",
    [FIND_SAMPLE] = "store/find_sample",     [ADD_SAMPLE] = "store/add_sample",
    [ADD_SEQUENCE] = "store/add_sequence",   [ADD_OUTCOME] = "store/add_outcome",
    [ADD_ROUTING] = "store/add_routing",     [ADD_PROBABILITY] = "store/add_probability",
    [ADD_INTEGERS] = "store/add_integers",   [COUNT_INTEGERS] = "store/integers",
    [CLOSE_WINDOWS] = "store/close_windows", [WINDOW_ENTRY] = "store/window_entry",
    [ADD_WINDOW] = "store/add_window",       [HEARTBEAT] = "store/heartbeat",
};

struct store {
    struct logbook *lb;
    int64_t run_id;
    int64_t integers; /* _integer holds 0 .. integers - 1; -1: not looked up yet */
    time_t heartbeat; /* of the last one written */
    struct window window;
    struct statement statements[N_STATEMENTS];
};

int store_open(struct store **out, struct logbook *lb, int64_t run_id, struct error *err)
{
    struct store *s = calloc(1, sizeof *s);
    *out = s;
    if (s == NULL) {
        return error_no_memory(err, "a logbook writer");
    }
    s->lb = lb;
    s->run_id = run_id;
    s->integers = -1;
    for (int i = 0; i < N_STATEMENTS; i++) {
        if (statement_open(&s->statements[i], lb, statement_names[i], err) != 0) {
            store_close(s);
            *out = NULL;
            return -1;
        }
        statement_int(&s->statements[i], ":run", run_id); /* stays bound over resets */
    }
    return 0;
}

void store_close(struct store *s)
{
    if (s == NULL) {
        return;
    }
    for (int i = 0; i < N_STATEMENTS; i++) {
        statement_close(&s->statements[i]);
    }
    window_release(&s->window);
    free(s);
}

/* ---- rows ---- */

static const char *number_status(double value)
{
    return isnan(value) ? "nan" : isfinite(value) ? "ok" : value > 0 ? "+inf" : "-inf";
}

static void real_or_null(struct statement *s, const char *parameter, double value)
{
    if (isfinite(value)) {
        statement_real(s, parameter, value);
    } else {
        statement_null(s, parameter);
    }
}

static void int_or_null(struct statement *s, const char *parameter, int64_t value)
{
    if (value >= 0) {
        statement_int(s, parameter, value);
    } else {
        statement_null(s, parameter);
    }
}

static int store_metrics(struct store *store, const struct moescope_batch *b, struct error *err)
{
    const struct batch_metric *m = b->metrics.items;
    for (int i = 0; i < b->metrics.n; i++, m++) {
        struct statement *s = &store->statements[m->layer < 0 ? ADD_METRIC : ADD_LAYER_METRIC];
        statement_int(s, ":step", m->step);
        statement_text(s, ":split", batch_string(b, m->split));
        statement_int(s, ":layer", m->layer);
        statement_text(s, ":name", batch_string(b, m->name));
        real_or_null(s, ":value", m->value);
        statement_text(s, ":status", number_status(m->value));
        if (statement_run(s, err) != 0) {
            return error_prefix(err, "metric '%s' of step %lld", batch_string(b, m->name),
                                (long long)m->step);
        }
    }
    return 0;
}

/* A load of a domain that is not there would be found by nobody who asks for domains. */
static int refuse_domain(struct store *store, int64_t domain_id, struct error *err)
{
    struct statement *s = &store->statements[HAS_DOMAIN];
    bool found = true;
    int64_t one;
    if (domain_id != 0) {
        statement_int(s, ":domain", domain_id);
        if (statement_scalar(s, &one, &found, err) != 0) {
            return -1;
        }
    }
    return found ? 0
                 : error_set(err, STATUS_USAGE, "'%s' has no domain %lld", store->lb->path,
                             (long long)domain_id);
}

static int store_loads(struct store *store, const struct moescope_batch *b, struct error *err)
{
    struct statement *s = &store->statements[ADD_LOAD];
    const struct batch_load *l = b->loads.items;
    for (int i = 0; i < b->loads.n; i++, l++) {
        statement_int(s, ":step", l->step);
        statement_text(s, ":split", batch_string(b, l->split));
        statement_int(s, ":layer", l->layer);
        statement_int(s, ":domain", l->domain_id);
        statement_text(s, ":experts", batch_string(b, l->experts));
        if (refuse_domain(store, l->domain_id, err) != 0 || statement_run(s, err) != 0) {
            return error_prefix(err, "load of step %lld, layer %d", (long long)l->step, l->layer);
        }
    }
    return 0;
}

static int window_entry(struct store *store, const struct load_numbers *n, struct text *json,
                        struct error *err)
{
    struct statement *s = &store->statements[WINDOW_ENTRY];
    statement_int(s, ":assignments", n->assignments);
    statement_int(s, ":dropped", n->dropped);
    real_or_null(s, ":gate_sum", n->gate_sum);
    real_or_null(s, ":probability_sum", n->probability_sum);
    if (statement_step(s, err) != 1) {
        return -1;
    }
    text_add(json, json->length > 1 ? "," : "");
    text_add(json, (const char *)sqlite3_column_text(s->handle, 0));
    statement_reset(s);
    return 0;
}

static int add_window(struct store *store, const struct window_layer *layer, int64_t last, struct error *err)
{
    struct statement *s = &store->statements[ADD_WINDOW];
    struct text json;
    int result = 0;
    text_init(&json);
    text_add(&json, "[");
    for (int e = 0; e < layer->n_experts && result == 0; e++) {
        result = window_entry(store, &layer->sums[e], &json, err);
    }
    text_add(&json, "]");
    if (result == 0 && json.failed) {
        result = error_no_memory(err, "a window's loads");
    }
    if (result == 0) {
        statement_int(s, ":first", store->window.first);
        statement_int(s, ":last", last);
        statement_int(s, ":layer", layer->layer);
        statement_text(s, ":experts", json.data);
        result = statement_run(s, err);
    }
    text_release(&json);
    return result;
}

/* From the sums at hand; where they are not whole (the window began before this writer did), from the rows.
 */
static int close_window(struct store *store, int64_t last, struct error *err)
{
    struct window *w = &store->window;
    int64_t first = last - last % LOGBOOK_WINDOW_STEPS;
    w->closed = w->closed || w->first == first;
    if (w->whole && w->first == first) {
        for (int i = 0; i < w->n_layers; i++) {
            if (w->layers[i].n_steps > 0 && add_window(store, &w->layers[i], last, err) != 0) {
                return -1;
            }
        }
        return 0;
    }
    struct statement *s = &store->statements[CLOSE_WINDOWS];
    statement_int(s, ":first", first);
    statement_int(s, ":last", last);
    return statement_run(s, err);
}

/* When the batch has the last training step of a window, the window's sums. */
static int store_windows(struct store *store, const struct moescope_batch *b, struct error *err)
{
    const struct batch_load *l = b->loads.items;
    int64_t last = -1;
    for (int i = 0; i < b->loads.n; i++, l++) {
        struct piece numbers = batch_piece(b, l->numbers);
        if (numbers.bytes == NULL) {
            continue;
        }
        if (window_left(&store->window, l->step) && close_window(store, store->window.last, err) != 0) {
            return error_prefix(err, "loads up to step %lld", (long long)store->window.last);
        }
        window_add(&store->window, l->step, l->layer, l->n_experts, numbers.bytes);
        if (l->step > last && l->step % LOGBOOK_WINDOW_STEPS == LOGBOOK_WINDOW_STEPS - 1) {
            last = l->step;
        }
    }
    if (last < 0 || close_window(store, last, err) == 0) {
        return 0;
    }
    return error_prefix(err, "loads up to step %lld", (long long)last);
}

/* The document that is logged of must be there and, where its length is known, reach as far. */
static int refuse_document(struct store *store, int64_t document_id, int64_t reach, struct error *err)
{
    struct statement *s = &store->statements[DOCUMENT_TOKENS];
    int64_t n_tokens = 0;
    bool found;
    statement_int(s, ":document", document_id);
    if (statement_scalar(s, &n_tokens, &found, err) != 0) {
        return -1;
    }
    if (!found) {
        return error_set(err, STATUS_USAGE, "'%s' has no document %lld", store->lb->path,
                         (long long)document_id);
    }
    return n_tokens <= 0 || reach <= n_tokens
               ? 0
               : error_set(err, STATUS_USAGE, "a piece that ends at token %lld of a document of %lld",
                           (long long)reach, (long long)n_tokens);
}

static int store_document_losses(struct store *store, const struct moescope_batch *b, struct error *err)
{
    struct statement *s = &store->statements[ADD_DOCUMENT_LOSS];
    const struct batch_document_loss *d = b->document_losses.items;
    for (int i = 0; i < b->document_losses.n; i++, d++) {
        statement_int(s, ":step", d->step);
        statement_text(s, ":split", batch_string(b, d->split));
        statement_int(s, ":document", d->document_id);
        statement_int(s, ":n_tokens", d->n_tokens);
        statement_int(s, ":n_bytes", d->n_bytes);
        real_or_null(s, ":loss_sum", d->loss_sum);
        if (statement_run(s, err) != 0) {
            (void)refuse_document(store, d->document_id, 0, err); /* says it better, where that is why */
            return error_prefix(err, "loss of document %lld in step %lld", (long long)d->document_id,
                                (long long)d->step);
        }
    }
    return 0;
}

static int store_events(struct store *store, const struct moescope_batch *b, struct error *err)
{
    struct statement *s = &store->statements[ADD_EVENT];
    const struct batch_event *e = b->events.items;
    for (int i = 0; i < b->events.n; i++, e++) {
        statement_int(s, ":step", e->step);
        statement_text(s, ":kind", batch_string(b, e->kind));
        statement_text(s, ":message", batch_string(b, e->message));
        int_or_null(s, ":layer", e->layer);
        int_or_null(s, ":expert", e->expert);
        real_or_null(s, ":value", e->value);
        if (statement_run(s, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int store_checkpoints(struct store *store, const struct moescope_batch *b, struct error *err)
{
    struct statement *s = &store->statements[ADD_CHECKPOINT];
    const struct batch_checkpoint *c = b->checkpoints.items;
    for (int i = 0; i < b->checkpoints.n; i++, c++) {
        statement_int(s, ":step", c->step);
        statement_text(s, ":path", batch_string(b, c->path));
        statement_text(s, ":sha256", batch_string(b, c->sha256));
        if (statement_run(s, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- sequences ---- */

static int hex_digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void sha256_binary(struct piece bytes, uint8_t out[32])
{
    char hex[SHA256_HEX];
    sha256_bytes(bytes.bytes, bytes.n, hex);
    for (size_t i = 0; i < 32; i++) {
        out[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    }
}

/* A document's piece is stored once. The same piece with other tokens would make old passes lie. */
static int find_sample(struct store *store, const struct batch_sequence *q, struct piece tokens,
                       int64_t *sample_id, bool *found, struct error *err)
{
    struct statement *s = &store->statements[FIND_SAMPLE];
    statement_int(s, ":document", q->document_id);
    statement_int(s, ":offset", q->offset);
    statement_int(s, ":n_tokens", q->n_tokens);
    int result = statement_step(s, err);
    *found = result == 1;
    if (result != 1) {
        return result;
    }
    *sample_id = sqlite3_column_int64(s->handle, 0);
    struct piece stored = statement_column_blob(s, 1);
    if (stored.n != tokens.n || memcmp(stored.bytes, tokens.bytes, tokens.n) != 0) {
        (void)error_set(
            err, STATUS_INPUT,
            "document '%s', offset %lld: '%s' has other tokens there; were two texts named alike, "
            "or the corpus prepared anew under the same hash?",
            (const char *)sqlite3_column_text(s->handle, 2), (long long)q->offset, store->lb->path);
        result = -1;
    } else {
        result = 0;
    }
    statement_reset(s);
    return result;
}

static int add_sample(struct store *store, const struct batch_sequence *q, struct piece tokens,
                      int64_t *sample_id, struct error *err)
{
    struct statement *s = &store->statements[ADD_SAMPLE];
    uint8_t sha256[32];
    if (refuse_document(store, q->document_id, q->offset + q->n_tokens, err) != 0) {
        return -1;
    }
    sha256_binary(tokens, sha256);
    statement_int(s, ":document", q->document_id);
    statement_int(s, ":offset", q->offset);
    statement_int(s, ":n_tokens", q->n_tokens);
    statement_blob(s, ":sha256", (struct piece){sha256, 32});
    statement_blob(s, ":tokens", tokens);
    return statement_insert(s, sample_id, err);
}

/* The checksum as SQLite stores it smallest: as a signed number of 32 bits. */
static void bind_checksum(struct statement *s, uint32_t checksum)
{
    statement_int(s, ":checksum", (int32_t)checksum);
}

static int store_outcome(struct store *store, const struct moescope_batch *b, const struct batch_sequence *q,
                         int64_t sample_id, struct error *err)
{
    struct statement *s = &store->statements[ADD_OUTCOME];
    statement_int(s, ":step", q->step);
    statement_text(s, ":split", batch_string(b, q->split));
    statement_int(s, ":sample", sample_id);
    statement_int(s, ":target", q->outcome.target);
    statement_int(s, ":prediction", q->outcome.prediction);
    int_or_null(s, ":exit", q->outcome.exit);
    int_or_null(s, ":multiply_adds", q->outcome.multiply_adds);
    return statement_run(s, err);
}

static int store_sequence(struct store *store, const struct moescope_batch *b, struct batch_sequence *q,
                          struct error *err)
{
    struct piece tokens = batch_piece(b, q->tokens);
    int64_t sample_id;
    bool found;
    if (find_sample(store, q, tokens, &sample_id, &found, err) != 0 ||
        (!found && add_sample(store, q, tokens, &sample_id, err) != 0)) {
        return -1;
    }
    struct statement *s = &store->statements[ADD_SEQUENCE];
    struct piece losses = batch_piece(b, q->losses);
    statement_int(s, ":step", q->step);
    statement_text(s, ":split", batch_string(b, q->split));
    statement_int(s, ":sample", sample_id);
    statement_blob(s, ":losses", losses);
    if (losses.bytes != NULL) {
        bind_checksum(s, q->checksum);
    } else {
        statement_null(s, ":checksum");
    }
    if (statement_insert(s, &q->sequence_id, err) != 0) {
        return -1;
    }
    return q->classified ? store_outcome(store, b, q, sample_id, err) : 0;
}

static int store_sequences(struct store *store, struct moescope_batch *b, struct error *err)
{
    struct batch_sequence *q = b->sequences.items;
    for (int i = 0; i < b->sequences.n; i++, q++) {
        if (store_sequence(store, b, q, err) != 0) {
            return error_prefix(err, "sequence of document %lld in step %lld", (long long)q->document_id,
                                (long long)q->step);
        }
    }
    return 0;
}

static int64_t block_id(const struct moescope_batch *b, int sequence, int layer)
{
    const struct batch_sequence *q = (const struct batch_sequence *)b->sequences.items + sequence;
    return q->sequence_id * LOGBOOK_MAX_LAYERS + layer;
}

static int store_blocks(struct store *store, const struct moescope_batch *b, struct error *err)
{
    struct statement *s = &store->statements[ADD_ROUTING];
    const struct batch_block *k = b->blocks.items;
    for (int i = 0; i < b->blocks.n; i++, k++) {
        statement_int(s, ":block", block_id(b, k->sequence, k->layer));
        statement_text(s, ":codec", k->codec->name);
        int_or_null(s, ":k", k->k > 0 ? k->k : -1);
        statement_real(s, ":scale", k->scale);
        statement_blob(s, ":experts", batch_piece(b, k->experts));
        statement_blob(s, ":gates", batch_piece(b, k->gates));
        statement_blob(s, ":offsets", batch_piece(b, k->offsets));
        statement_blob(s, ":dropped", batch_piece(b, k->dropped));
        bind_checksum(s, k->checksum);
        if (statement_run(s, err) != 0) {
            return error_prefix(err, "routing of layer %d", k->layer);
        }
    }
    return 0;
}

static int store_probabilities(struct store *store, const struct moescope_batch *b, struct error *err)
{
    struct statement *s = &store->statements[ADD_PROBABILITY];
    const struct batch_probability *p = b->probabilities.items;
    for (int i = 0; i < b->probabilities.n; i++, p++) {
        statement_int(s, ":block", block_id(b, p->sequence, p->layer));
        statement_int(s, ":n_experts", p->n_experts);
        statement_blob(s, ":p", batch_piece(b, p->p));
        bind_checksum(s, p->checksum);
        if (statement_run(s, err) != 0) {
            return error_prefix(err, "probabilities of layer %d", p->layer);
        }
    }
    return 0;
}

/* ---- the rest ---- */

/* The decoding views count by _integer: it must reach as far as the longest block. The number is looked up
 * in every transaction that might extend it, for another program may have done so. */
static int extend_integers(struct store *store, int needed, struct error *err)
{
    if (needed <= store->integers) {
        return 0;
    }
    if (statement_scalar(&store->statements[COUNT_INTEGERS], &store->integers, NULL, err) != 0) {
        return -1;
    }
    if (needed <= store->integers) {
        return 0;
    }
    struct statement *s = &store->statements[ADD_INTEGERS];
    statement_int(s, ":n", needed);
    store->integers = needed;
    return statement_run(s, err);
}

/* Once a second is enough to tell a living run from a dead one. */
static int store_heartbeat(struct store *store, struct error *err)
{
    time_t now = time(NULL);
    if (now == store->heartbeat) {
        return 0;
    }
    store->heartbeat = now;
    return statement_run(&store->statements[HEARTBEAT], err);
}

void store_forget(struct store *s)
{
    s->integers = -1;
    s->heartbeat = 0;
    window_forget(&s->window);
}

int store_batch(struct store *s, struct moescope_batch *b, struct error *err)
{
    batch_sort(b);
    if (store_metrics(s, b, err) != 0 || store_loads(s, b, err) != 0 || store_windows(s, b, err) != 0 ||
        store_document_losses(s, b, err) != 0 || store_events(s, b, err) != 0 ||
        store_checkpoints(s, b, err) != 0 || store_sequences(s, b, err) != 0 ||
        store_blocks(s, b, err) != 0 || store_probabilities(s, b, err) != 0 ||
        extend_integers(s, b->longest, err) != 0) {
        return -1;
    }
    return store_heartbeat(s, err);
}
