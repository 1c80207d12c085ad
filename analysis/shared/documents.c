#include "analysis/shared/documents.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/selection.h"

/* Room for one more item at items[n]; grows by doubling. Returns the new place of the items, or NULL, when
 * the old ones stay. */
static void *grow(void *items, int n, size_t size)
{
    if (n & (n - 1))
        return items;
    return realloc(items, (n ? 2 * (size_t)n : 1) * size);
}

/* ---- labels ---- */

static void labels_of_release(struct labels_of *l)
{
    for (int i = 0; i < l->n_values; i++)
        free(l->values[i]);
    free(l->values);
    free(l->value);
    free(l->key);
}

static int labels_of_init(struct labels_of *l, const char *key, int n_documents, struct error *err)
{
    *l =
        (struct labels_of){.key = strdup(key), .value = malloc(((size_t)n_documents + 1) * sizeof *l->value)};
    if (!l->key || !l->value) {
        labels_of_release(l);
        return error_no_memory(err, "the documents' labels");
    }
    for (int d = 0; d < n_documents; d++)
        l->value[d] = -1;
    return 0;
}

/* Values come sorted: a new one is unlike the one before. */
static int add_value(struct labels_of *l, const char *value, int document, struct error *err)
{
    if (l->n_values == 0 || strcmp(l->values[l->n_values - 1], value) != 0) {
        char **values = grow(l->values, l->n_values, sizeof *values);
        if (values)
            l->values = values;
        if (!values || !(values[l->n_values] = strdup(value)))
            return error_no_memory(err, "the documents' labels");
        l->n_values++;
    }
    l->value[document] = l->n_values - 1;
    return 0;
}

static int add_labels(struct documents *d, const char *key, struct error *err)
{
    struct labels_of *labels = realloc(d->labels, ((size_t)d->n_labels + 1) * sizeof *labels);
    if (!labels)
        return error_no_memory(err, "the documents' labels");
    d->labels = labels;
    if (labels_of_init(&labels[d->n_labels], key, d->n_documents, err) != 0)
        return -1;
    d->n_labels++;
    return 0;
}

int documents_index(const struct documents *d, int64_t document_id)
{
    for (int i = 0; i < d->n_documents; i++)
        if (d->ids[i] == document_id)
            return i;
    return -1;
}

static int read_labels(struct documents *d, struct query *q, struct error *err)
{
    int more;
    while ((more = query_step(q, err)) == 1) {
        const char *key = query_word(q, "key");
        int document = documents_index(d, query_int(q, "document_id"));
        bool same = d->n_labels > 1 && strcmp(d->labels[d->n_labels - 1].key, key) == 0;
        if (!same && add_labels(d, key, err) != 0)
            return -1;
        if (document >= 0 &&
            add_value(&d->labels[d->n_labels - 1], query_word(q, "value"), document, err) != 0)
            return -1;
    }
    return more;
}

/* A label that all documents share, or that hardly any two share (a file name), has nothing to compare. */
static void drop_idle_labels(struct documents *d)
{
    int kept = 1;
    for (int i = 1; i < d->n_labels; i++)
        if (d->labels[i].n_values < 2 || d->labels[i].n_values > d->n_documents / 2)
            labels_of_release(&d->labels[i]);
        else
            d->labels[kept++] = d->labels[i];
    d->n_labels = d->n_labels < kept ? d->n_labels : kept;
}

/* ---- documents, steps, samples ---- */

static int more_documents(struct documents *d, int capacity)
{
    int64_t *ids = realloc(d->ids, (size_t)capacity * sizeof *ids);
    if (!ids)
        return -1;
    d->ids = ids;
    int *value = realloc(d->labels[0].value, (size_t)capacity * sizeof *value);
    if (!value)
        return -1;
    d->labels[0].value = value;
    return 0;
}

static int read_documents(struct documents *d, struct query *q, struct error *err)
{
    int more, capacity = 0;
    while ((more = query_step(q, err)) == 1) {
        if (d->n_documents == capacity) {
            capacity = capacity ? 2 * capacity : 64;
            if (more_documents(d, capacity) != 0)
                return error_no_memory(err, "the documents");
        }
        d->ids[d->n_documents++] = query_int(q, "document_id");
        if (add_value(&d->labels[0], query_word(q, "domain"), d->n_documents - 1, err) != 0)
            return -1;
    }
    return more;
}

static int read_steps(struct documents *d, struct query *q, struct error *err)
{
    int more;
    while ((more = query_step(q, err)) == 1) {
        int64_t *steps = grow(d->steps, d->n_steps, sizeof *steps);
        if (!steps)
            return error_no_memory(err, "the probe's steps");
        d->steps = steps;
        steps[d->n_steps++] = query_int(q, "step");
    }
    return more;
}

/* One query into *d by one of the functions above. */
static int read_by(struct documents *d, struct logbook *lb, int64_t run_id, const char *name,
                   int (*read)(struct documents *, struct query *, struct error *), struct error *err)
{
    struct query *q;
    if (query_open(&q, lb, name, err) != 0)
        return -1;
    query_bind_int(q, ":run", run_id);
    int result = read(d, q, err);
    query_close(q);
    return result;
}

static int add_sample(struct documents *d, const struct block *b, bool some, struct error *err)
{
    int document = documents_index(d, b->document_id);
    if (document < 0 && some)
        return 0;
    if (document < 0)
        return error_set(err, STATUS_INPUT, "sample %" PRId64 " belongs to no document", b->sample_id);
    struct probe_sample *samples = grow(d->samples, d->n_samples, sizeof *samples);
    size_t n = (size_t)b->n_tokens + 1;
    if (!samples)
        return error_no_memory(err, "the probe's samples");
    d->samples = samples;
    struct probe_sample *s = &samples[d->n_samples];
    *s = (struct probe_sample){b->sample_id, document, b->n_tokens, malloc(n * sizeof *s->ids)};
    if (!s->ids)
        return error_no_memory(err, "the probe's samples");
    memcpy(s->ids, b->ids, n * sizeof *s->ids);
    d->n_samples++;
    d->n_tokens += b->n_tokens;
    return 0;
}

static int sample_order(const void *left, const void *right)
{
    const struct probe_sample *a = left, *b = right;
    if (a->document != b->document)
        return a->document < b->document ? -1 : 1;
    return (a->sample_id > b->sample_id) - (a->sample_id < b->sample_id);
}

/* One layer is enough: its blocks carry the tokens. some: samples of other documents are passed over. */
static int read_samples(struct documents *d, struct logbook *lb, int64_t run_id, int layer, bool some,
                        struct error *err)
{
    int64_t step = d->steps[d->n_steps - 1];
    struct block_filter filter = {run_id, "probe", step, step, layer};
    struct blocks *blocks;
    struct block b;
    int more;
    if (blocks_open(&blocks, lb, &filter, err) != 0)
        return -1;
    while ((more = blocks_next(blocks, &b, err)) == 1)
        if (add_sample(d, &b, some, err) != 0) {
            more = -1;
            break;
        }
    blocks_close(blocks);
    if (d->n_samples > 0)
        qsort(d->samples, (size_t)d->n_samples, sizeof *d->samples, sample_order);
    return more;
}

static int first_layer(struct logbook *lb, int64_t run_id, int *layer, struct error *err)
{
    int64_t first = 0;
    int result = query_one_int(lb, "analysis/layers", run_id, &first, err);
    *layer = (int)first;
    return result;
}

static int read_all(struct documents *d, struct logbook *lb, int64_t run_id, const char *run,
                    const struct string_list *where, struct error *err)
{
    int layer;
    bool some = where && where->n > 0;
    if (read_by(d, lb, run_id, "analysis/probe_steps", read_steps, err) != 0)
        return -1;
    if (d->n_steps == 0)
        return 0;
    if (add_labels(d, "domain", err) != 0 ||
        read_by(d, lb, run_id, "analysis/probe_documents", read_documents, err) != 0 ||
        read_by(d, lb, run_id, "analysis/probe_labels", read_labels, err) != 0)
        return -1;
    if (some && selection_keep(d, where, run, err) != 0)
        return -1;
    drop_idle_labels(d);
    return first_layer(lb, run_id, &layer, err) == 0 ? read_samples(d, lb, run_id, layer, some, err) : -1;
}

int documents_read(struct documents *d, struct logbook *lb, int64_t run_id, const char *run,
                   const struct string_list *where, struct error *err)
{
    *d = (struct documents){0};
    int result = read_all(d, lb, run_id, run, where, err);
    if (result == 0 && d->n_samples == 0)
        result = error_set(err, STATUS_INPUT,
                           "run '%s' logged no routing of a probe, which this analysis rests on, or it was "
                           "pruned; train it with one",
                           run);
    if (result != 0)
        documents_release(d);
    return result;
}

void documents_release(struct documents *d)
{
    for (int i = 0; i < d->n_labels; i++)
        labels_of_release(&d->labels[i]);
    for (int i = 0; i < d->n_samples; i++)
        free(d->samples[i].ids);
    free(d->labels);
    free(d->samples);
    free(d->ids);
    free(d->steps);
    *d = (struct documents){0};
}

int documents_choose_step(const struct documents *d, const char *run, int64_t *step, struct error *err)
{
    if (*step < 0)
        *step = d->steps[d->n_steps - 1];
    for (int i = 0; i < d->n_steps; i++)
        if (d->steps[i] == *step)
            return 0;
    return error_set(err, STATUS_INPUT,
                     "run '%s' has no probe at step %" PRId64 "; its probe goes from step %" PRId64
                     " to %" PRId64 " in %d passes",
                     run, *step, d->steps[0], d->steps[d->n_steps - 1], d->n_steps);
}

/* ---- the vocabulary ---- */

static int widen(struct vocabulary *v, int n)
{
    char **text = realloc(v->text, (size_t)n * sizeof *text);
    if (!text)
        return -1;
    v->text = text;
    int64_t *count = realloc(v->train_count, (size_t)n * sizeof *count);
    if (!count)
        return -1;
    v->train_count = count;
    bool *piece = realloc(v->piece, (size_t)n * sizeof *piece);
    if (!piece)
        return -1;
    v->piece = piece;
    memset(text + v->n, 0, (size_t)(n - v->n) * sizeof *text);
    memset(count + v->n, 0, (size_t)(n - v->n) * sizeof *count);
    memset(piece + v->n, 0, (size_t)(n - v->n) * sizeof *piece);
    v->n = n;
    return 0;
}

static int add_token(struct vocabulary *v, struct query *q, struct error *err)
{
    enum { MOST_TOKENS = 1 << 22 }; /* memory is as much as the largest id asks for */
    int64_t id = query_int(q, "token_id");
    if (id < 0 || id >= MOST_TOKENS)
        return error_set(err, STATUS_INPUT, "the vocabulary has a token %" PRId64, id);
    if (id >= v->n) {
        int n = id < 512 ? 1024 : 2 * (int)id;
        if (widen(v, n) != 0)
            return error_no_memory(err, "the vocabulary");
    }
    v->train_count[id] = query_int(q, "train_count");
    v->piece[id] = strcmp(query_word(q, "kind"), "piece") == 0;
    free(v->text[id]);
    v->text[id] = strdup(query_word(q, "text"));
    return v->text[id] ? 0 : error_no_memory(err, "the vocabulary");
}

int vocabulary_read(struct vocabulary *v, struct logbook *lb, int64_t run_id, struct error *err)
{
    struct query *q;
    int more;
    *v = (struct vocabulary){0};
    if (query_open(&q, lb, "analysis/tokens", err) != 0)
        return -1;
    query_bind_int(q, ":run", run_id);
    while ((more = query_step(q, err)) == 1)
        if (add_token(v, q, err) != 0) {
            more = -1;
            break;
        }
    query_close(q);
    if (more != 0)
        vocabulary_release(v);
    return more;
}

void vocabulary_release(struct vocabulary *v)
{
    for (int i = 0; i < v->n; i++)
        free(v->text[i]);
    free(v->text);
    free(v->train_count);
    free(v->piece);
    *v = (struct vocabulary){0};
}

const char *vocabulary_text(const struct vocabulary *v, int64_t id, char buffer[32])
{
    if (id >= 0 && id < v->n && v->text[id])
        return v->text[id];
    snprintf(buffer, 32, "<%" PRId64 ">", id);
    return buffer;
}
