#include "tests/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void *get(size_t n, size_t size)
{
    void *p = calloc(n + !n, size);

    if (!p)
        fail_msg("no memory for a test's corpus");
    return p;
}

/* ---- corpus ---- */

enum { FIRST_WORD = TOKEN_EOS + 1, NAME_BYTES = 32 };

static void fill_document(struct corpus *c, struct document *d, int number,
                          const struct memory_document *from)
{
    int words = c->n_vocabulary - FIRST_WORD;

    *d = (struct document){.name = c->documents_text + (size_t)number * NAME_BYTES,
                           .domain = from->domain,
                           .split = from->split,
                           .first = c->n_ids,
                           .n_ids = from->n_ids};
    snprintf(d->name, NAME_BYTES, "domain%d/%03d.txt", from->domain, number);
    for (int i = 0; i < from->n_ids; i++)
        c->ids[c->n_ids++] = FIRST_WORD + (number * 5 + i * (from->domain + 1)) % words;
    c->ids[d->first] = TOKEN_BOS;
    if (d->n_ids > 1)
        c->ids[c->n_ids - 1] = TOKEN_EOS;
    d->n_bytes = corpus_bytes(c->vocabulary, c->ids + d->first, d->n_ids);
}

static void fill_vocabulary(struct corpus *c)
{
    static char texts[] = "<0xE3>", *const pieces = texts + 2; /* "xE3>": its ends are 1 to 4 bytes long */

    c->vocabulary = get((size_t)c->n_vocabulary, sizeof *c->vocabulary);
    for (int v = 0; v < c->n_vocabulary; v++)
        c->vocabulary[v] = v < FIRST_WORD ? (struct vocabulary_item){.text = texts, .kind = "special"}
                           : v == FIRST_WORD
                               ? (struct vocabulary_item){.text = texts, .kind = "byte"}
                               : (struct vocabulary_item){.text = pieces + 3 - v % 4, .kind = "piece"};
}

void memory_corpus(struct corpus *c, const struct memory_document *documents, int n, int n_vocabulary)
{
    size_t n_ids = 0;

    *c = (struct corpus){.name = strdup("memory"), .n_documents = n, .n_vocabulary = n_vocabulary};
    for (int i = 0; i < n; i++) {
        n_ids += (size_t)documents[i].n_ids;
        c->n_domains = documents[i].domain >= c->n_domains ? documents[i].domain + 1 : c->n_domains;
    }
    sha256_bytes("memory corpus", 13, c->sha256);
    sha256_bytes("memory vocabulary", 17, c->vocabulary_sha256);
    fill_vocabulary(c);
    c->documents = get((size_t)n, sizeof *c->documents);
    c->documents_text = get((size_t)n, NAME_BYTES);
    c->ids = get(n_ids, sizeof *c->ids);
    for (int i = 0; i < n; i++)
        fill_document(c, &c->documents[i], i, &documents[i]);
}

void memory_corpus_release(struct corpus *c)
{
    free(c->name);
    free(c->vocabulary);
    free(c->documents);
    free(c->documents_text);
    free(c->ids);
    *c = (struct corpus){0};
}

void memory_small_corpus(struct corpus *c)
{
    struct memory_document documents[20];

    for (int i = 0; i < 20; i++) {
        enum corpus_split split = i < 12 ? SPLIT_TRAIN : i < 16 ? SPLIT_VALID : SPLIT_PROBE;
        documents[i] = (struct memory_document){i % 2, split, 20 + i * 7 % 24};
    }
    memory_corpus(c, documents, 20, 24);
}

/* ---- configuration ---- */

void memory_config(struct config *c, const char *const *assignments)
{
    static const char *const small[] = {"model.layers=2",
                                        "model.width=16",
                                        "model.heads=2",
                                        "model.context=8",
                                        "router.experts=4",
                                        "router.hidden=8",
                                        "train.tokens_per_step=32",
                                        "train.warmup=5",
                                        "train.learning_rate=0.02",
                                        "train.steps=20",
                                        "valid.every=0",
                                        "probe.every=0",
                                        "train.checkpoint_every=0",
                                        NULL};
    const char *const none[] = {NULL}, *const * lists[] = {small, assignments ? assignments : none};
    struct error err;

    if (config_init(c, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < 2; i++) {
        for (const char *const *a = lists[i]; *a; a++) {
            if (config_set(c, *a, &err))
                fail_msg("%s", err.text);
        }
    }
}

/* ---- sink ---- */

static int remember(struct memory_sink *s, struct memory_call call, struct error *err)
{
    if (s->n == s->fail_at)
        return error_set(err, STATUS_MACHINE, "the test's sink is full");
    if (s->n == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 64;
        s->calls = realloc(s->calls, (size_t)s->capacity * sizeof *s->calls);
        if (!s->calls)
            fail_msg("no memory for a test's sink");
    }
    s->calls[s->n++] = call;
    return 0;
}

static int on_pass(void *context, int64_t step, enum corpus_split split, const struct pass *pass,
                   struct error *err)
{
    int n_tokens = pass->start[pass->n_sequences];
    struct memory_call call = {.kind = MEMORY_PASS, .step = step, .split = split, .value = n_tokens};

    for (int t = 0; t < n_tokens; t++)
        call.loss += (double)pass->loss[t];
    return remember(context, call, err);
}

static int on_summary(void *context, int64_t step, enum corpus_split split, const struct tally *tally,
                      struct error *err)
{
    struct memory_call call = {.kind = MEMORY_SUMMARY,
                               .step = step,
                               .split = split,
                               .value = (double)tally->n_tokens,
                               .loss = tally->loss};

    return remember(context, call, err);
}

static int on_metric(void *context, int64_t step, enum corpus_split split, const char *name, double value,
                     struct error *err)
{
    struct memory_call call = {.kind = MEMORY_METRIC, .step = step, .split = split, .value = value};

    snprintf(call.name, sizeof call.name, "%s", name);
    return remember(context, call, err);
}

static int on_event(void *context, int64_t step, const struct sink_event *event, struct error *err)
{
    struct memory_call call = {
        .kind = MEMORY_EVENT, .step = step, .value = event->value, .layer = event->layer};

    snprintf(call.name, sizeof call.name, "%s", event->kind);
    return remember(context, call, err);
}

static int on_checkpoint(void *context, int64_t step, const char *path, const char *sha256, struct error *err)
{
    struct memory_call call = {.kind = MEMORY_CHECKPOINT, .step = step};
    char actual[SHA256_HEX];

    if (sha256_file(path, actual, err))
        return -1;
    assert_string_equal(sha256, actual);
    return remember(context, call, err);
}

static int on_commit(void *context, struct error *err)
{
    return remember(context, (struct memory_call){.kind = MEMORY_COMMIT, .step = -1}, err);
}

static int on_drain(void *context, struct error *err)
{
    return remember(context, (struct memory_call){.kind = MEMORY_DRAIN, .step = -1}, err);
}

void memory_sink_open(struct memory_sink *s)
{
    *s = (struct memory_sink){.sink = {.context = s,
                                       .pass = on_pass,
                                       .summary = on_summary,
                                       .metric = on_metric,
                                       .event = on_event,
                                       .checkpoint = on_checkpoint,
                                       .commit = on_commit,
                                       .drain = on_drain},
                              .fail_at = -1};
}

void memory_sink_release(struct memory_sink *s)
{
    free(s->calls);
    *s = (struct memory_sink){0};
}

double memory_metric(const struct memory_sink *s, int64_t step, enum corpus_split split, const char *name)
{
    double value = 0.0;
    int found = 0;

    for (int i = 0; i < s->n; i++) {
        const struct memory_call *c = &s->calls[i];
        if (c->kind != MEMORY_METRIC || c->step != step || c->split != split || strcmp(c->name, name) != 0)
            continue;
        value = c->value;
        found++;
    }
    if (found != 1)
        fail_msg("metric %s of step %lld was told %d times", name, (long long)step, found);
    return value;
}
