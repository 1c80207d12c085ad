#include "engine/prepare.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/process.h"
#include "engine/corpus_format.h"

/* ---- what decides the result ---- */

int prepare_settings(const struct prepare_options *o, struct text *settings, struct error *err)
{
    char hex[SHA256_HEX] = "";
    if (o->model && sha256_file(o->model, hex, err) != 0)
        return -1;
    text_printf(settings, "name = %s\nmax_document_bytes = %lld\nvalid = %lld\nprobe = %lld\nseed = %lld\n",
                o->name, (long long)o->max_document_bytes, (long long)o->n_valid, (long long)o->n_probe,
                (long long)o->seed);
    text_printf(settings, "balance = %s\ntokens_per_domain = %lld\n", o->balance ? "yes" : "no",
                (long long)o->tokens_per_domain);
    if (o->model)
        text_printf(settings, "model = %s\n", hex);
    else
        text_printf(settings, "vocabulary = %lld\n", (long long)o->n_vocabulary);
    return settings->failed ? error_no_memory(err, "the settings") : 0;
}

static void hash_string(struct sha256 *hash, const char *s)
{
    sha256_add(hash, s, strlen(s) + 1);
}

void prepare_hash(const struct source *s, const struct text *settings, char hex[SHA256_HEX])
{
    struct sha256 hash;
    sha256_start(&hash);
    hash_string(&hash, settings->data);
    for (int i = 0; i < s->n_documents; i++) {
        const struct document *d = &s->documents[i].d;
        hash_string(&hash, d->name);
        hash_string(&hash, corpus_split_names[d->split]);
        hash_string(&hash, d->sha256);
        for (int l = 0; l < d->n_labels; l++) {
            hash_string(&hash, d->labels[l].key);
            hash_string(&hash, d->labels[l].value);
        }
    }
    sha256_finish(&hash, hex);
}

/* ---- the vocabulary ---- */

static int by_order(const void *a, const void *b)
{
    const struct source_document *x = *(struct source_document *const *)a,
                                 *y = *(struct source_document *const *)b;
    if (x->d.domain != y->d.domain)
        return x->d.domain < y->d.domain ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

/* Train documents in their shuffled order, until the domain's share is full. */
static void write_sample(const struct source *s, struct source_document **sorted, FILE *f)
{
    int64_t share = PREPARE_SAMPLE_BYTES / s->n_domains, written = 0;
    for (int i = 0; i < s->n_documents; i++) {
        const struct source_document *d = sorted[i];
        if (i > 0 && d->d.domain != sorted[i - 1]->d.domain)
            written = 0;
        if (d->d.split != SPLIT_TRAIN || written >= share)
            continue;
        fwrite(d->text, 1, (size_t)d->d.n_bytes, f);
        fputc('\n', f); /* an empty line is not learnt from */
        written += d->d.n_bytes;
    }
}

static int open_sample(const struct source *s, int *fd, struct error *err)
{
    struct source_document **sorted = malloc(((size_t)s->n_documents + 1) * sizeof *sorted);
    if (!sorted)
        return error_no_memory(err, "the documents");
    for (int i = 0; i < s->n_documents; i++)
        sorted[i] = &s->documents[i];
    qsort(sorted, (size_t)s->n_documents, sizeof *sorted, by_order);
    int result = scratch_open(fd, err);
    FILE *f = result == 0 ? fdopen(dup(*fd), "w") : NULL;
    if (f) {
        write_sample(s, sorted, f);
        bool failed = ferror(f);
        if (fclose(f) != 0 || failed)
            result = error_set(err, STATUS_MACHINE, "cannot write a temporary file: %s", strerror(errno));
    } else if (result == 0)
        result = error_errno(err, "write", "a temporary file");
    free(sorted);
    return result;
}

static int train_model(const struct source *s, const struct prepare_options *o, const char *folder,
                       double *coverage, struct error *err)
{
    struct text rest;
    int lines = -1;
    text_init(&rest);
    text_printf(&rest, "%s/tokens.vocab", folder);
    int result = rest.failed ? error_no_memory(err, "a path") : open_sample(s, &lines, err);
    if (result == 0)
        result = tokenizer_train(lines, folder, (int)o->n_vocabulary, coverage, err);
    if (lines >= 0)
        close(lines);
    unlink(rest.data); /* the model has it all */
    text_release(&rest);
    return result;
}

static int copy_model(const char *from, const char *folder, struct error *err)
{
    struct output out;
    struct text to;
    char *bytes;
    size_t n;
    if (file_read(from, &bytes, &n, err) != 0)
        return -1;
    text_init(&to);
    text_printf(&to, "%s/" CORPUS_FILE_MODEL, folder);
    int result = to.failed ? error_no_memory(err, "a path") : output_open(&out, to.data, err);
    if (result == 0) {
        fwrite(bytes, 1, n, out.stream);
        result = output_commit(&out, err);
        output_discard(&out);
    }
    free(bytes);
    text_release(&to);
    return result;
}

int prepare_model(const struct source *s, const struct prepare_options *o, const char *folder,
                  double *coverage, struct error *err)
{
    return o->model ? copy_model(o->model, folder, err) : train_model(s, o, folder, coverage, err);
}

/* ---- encoding ---- */

static int count_lossy(const struct source *s, const struct tokenizer *t, int *n_lossy, struct error *err)
{
    struct text back;
    text_init(&back);
    *n_lossy = 0;
    for (int i = 0; i < s->n_documents && !back.failed; i++) {
        const struct source_document *d = &s->documents[i];
        text_clear(&back);
        corpus_decode(t->items, d->ids, d->d.n_ids, &back);
        *n_lossy += back.length != (size_t)d->d.n_bytes || memcmp(back.data, d->text, back.length) != 0;
    }
    int result = back.failed ? error_no_memory(err, "a document") : 0;
    text_release(&back);
    return result;
}

int prepare_encode(struct source *s, const struct tokenizer *t, const char *model_path, int *n_lossy,
                   struct error *err)
{
    struct encoded_text *texts = malloc(((size_t)s->n_documents + 1) * sizeof *texts);
    if (!texts)
        return error_no_memory(err, "the documents");
    for (int i = 0; i < s->n_documents; i++) {
        const struct source_document *d = &s->documents[i];
        texts[i] = (struct encoded_text){.name = d->d.name, .text = d->text, .n_bytes = (size_t)d->d.n_bytes};
    }
    int result = corpus_encode(model_path, t->n_items, texts, s->n_documents, err);
    for (int i = 0; i < s->n_documents && result == 0; i++) {
        s->documents[i].ids = texts[i].ids;
        s->documents[i].d.n_ids = texts[i].n_ids;
    }
    free(texts);
    return result == 0 ? count_lossy(s, t, n_lossy, err) : -1;
}

/* ---- the corpus ---- */

static int allocate(struct corpus *c, const struct source *s, struct error *err)
{
    for (int i = 0; i < s->n_documents; i++)
        if (!s->documents[i].dropped) {
            c->n_documents++;
            c->n_ids += s->documents[i].d.n_ids;
        }
    c->documents = malloc(((size_t)c->n_documents + 1) * sizeof *c->documents);
    c->ids = malloc(((size_t)c->n_ids + 1) * sizeof *c->ids);
    return c->documents && c->ids ? 0 : error_no_memory(err, "the corpus");
}

int prepare_corpus(struct corpus *c, const struct source *s, struct tokenizer *t,
                   const struct prepare_options *o, struct error *err)
{
    *c = (struct corpus){.name = (char *)o->name,
                         .domains = s->domains,
                         .n_domains = s->n_domains,
                         .vocabulary = t->items,
                         .n_vocabulary = t->n_items};
    if (allocate(c, s, err) != 0) {
        prepare_release(c);
        return -1;
    }
    int64_t behind = 0;
    struct document *d = c->documents;
    for (int i = 0; i < s->n_documents; i++) {
        if (s->documents[i].dropped)
            continue;
        *d = s->documents[i].d;
        d->first = behind;
        memcpy(c->ids + behind, s->documents[i].ids, (size_t)d->n_ids * sizeof *c->ids);
        for (int64_t k = 0; k < d->n_ids && d->split == SPLIT_TRAIN; k++)
            t->items[c->ids[behind + k]].train_count++;
        behind += d->n_ids;
        d++;
    }
    return 0;
}

void prepare_release(struct corpus *c)
{
    free(c->documents);
    free(c->ids);
    *c = (struct corpus){0};
}
