#include <stdlib.h>
#include <string.h>

#include "engine/corpus_format.h"

struct written { /* one file of the folder and its hash */
    const char *name;
    char sha256[SHA256_HEX];
};

static int write_file(const char *folder, struct written *w, const void *bytes, size_t n, struct error *err)
{
    struct output o;
    struct text path;
    text_init(&path);
    text_printf(&path, "%s/%s", folder, w->name);
    int result = path.failed ? error_no_memory(err, "a path") : output_open(&o, path.data, err);
    if (result == 0) {
        fwrite(bytes, 1, n, o.stream);
        result = output_commit(&o, err);
        output_discard(&o);
    }
    sha256_bytes(bytes, n, w->sha256);
    text_release(&path);
    return result;
}

static int write_text(const char *folder, struct written *w, struct text *t, struct error *err)
{
    return t->failed ? error_no_memory(err, w->name) : write_file(folder, w, t->data, t->length, err);
}

static void describe_documents(const struct corpus *c, struct text *t)
{
    for (int i = 0; i < c->n_documents; i++) {
        const struct document *d = &c->documents[i];
        text_printf(t, "%s\t", corpus_split_names[d->split]);
        field_escape(t, c->domains[d->domain]);
        text_add(t, "\t");
        field_escape(t, d->name);
        text_printf(t, "\t%lld\t%lld\t%lld\t%s", (long long)d->n_bytes, (long long)d->n_ids,
                    (long long)d->first, d->sha256);
        for (int l = 0; l < d->n_labels; l++) {
            text_add(t, "\t");
            field_escape(t, d->labels[l].key);
            text_add(t, "=");
            field_escape(t, d->labels[l].value);
        }
        text_add(t, "\n");
    }
}

static void describe_vocabulary(const struct corpus *c, struct text *t)
{
    for (int i = 0; i < c->n_vocabulary; i++) {
        const struct vocabulary_item *item = &c->vocabulary[i];
        text_printf(t, "%d\t%s\t%lld\t", i, item->kind, (long long)item->train_count);
        field_escape(t, item->text);
        text_add(t, "\n");
    }
}

static void pack_tokens(const struct corpus *c, bool wide, struct text *t)
{
    enum { CHUNK = 1024 };
    unsigned char bytes[CHUNK * 4], *b = bytes;
    for (int64_t i = 0; i < c->n_ids; i++) {
        uint32_t id = (uint32_t)c->ids[i];
        for (int k = 0; k < (wide ? 4 : 2); k++)
            *b++ = (unsigned char)(id >> (8 * k));
        if (b > bytes + sizeof bytes - 4 || i + 1 == c->n_ids) {
            text_add_bytes(t, bytes, (size_t)(b - bytes));
            b = bytes;
        }
    }
}

static void describe_corpus(const struct corpus *c, const struct written *files, int n,
                            const char *input_sha256, const char *settings, struct text *t)
{
    int documents[N_SPLITS] = {0};
    int64_t bytes = 0;
    for (int i = 0; i < c->n_documents; i++) {
        documents[c->documents[i].split]++;
        bytes += c->documents[i].n_bytes;
    }
    text_printf(t, "[corpus]\nname = %s\nformat = %d\nsha256 = %s\n", c->name, CORPUS_FORMAT, c->sha256);
    text_printf(t, "domains = %d\ndocuments = %d\ntrain = %d\nvalid = %d\nprobe = %d\n", c->n_domains,
                c->n_documents, documents[SPLIT_TRAIN], documents[SPLIT_VALID], documents[SPLIT_PROBE]);
    text_printf(t, "bytes = %lld\nids = %lld\nvocabulary = %d\n\n[files]\n", (long long)bytes,
                (long long)c->n_ids, c->n_vocabulary);
    for (int i = 0; i < n; i++)
        text_printf(t, "%s = %s\n", files[i].name, files[i].sha256);
    text_printf(t, "\n[source]\nsha256 = %s\n%s", input_sha256, settings);
}

static int hash_model(const char *folder, struct written *w, struct error *err)
{
    struct text path;
    text_init(&path);
    text_printf(&path, "%s/%s", folder, w->name);
    int result = path.failed ? error_no_memory(err, "a path") : sha256_file(path.data, w->sha256, err);
    text_release(&path);
    return result;
}

int corpus_write(struct corpus *c, const char *folder, const char *input_sha256, const char *settings,
                 struct error *err)
{
    bool wide = c->n_vocabulary > 65536;
    struct written files[] = {{.name = CORPUS_FILE_DOCUMENTS},
                              {.name = CORPUS_FILE_VOCABULARY},
                              {.name = wide ? CORPUS_FILE_TOKENS_32 : CORPUS_FILE_TOKENS_16},
                              {.name = CORPUS_FILE_MODEL}};
    struct written ini = {.name = CORPUS_FILE_INI};
    struct text t[4];
    struct sha256 hash;
    for (int i = 0; i < 4; i++)
        text_init(&t[i]);
    describe_documents(c, &t[0]);
    describe_vocabulary(c, &t[1]);
    pack_tokens(c, wide, &t[2]);
    sha256_start(&hash);
    sha256_add(&hash, t[0].data, t[0].length);
    sha256_add(&hash, t[2].data, t[2].length);
    sha256_finish(&hash, c->sha256);
    int result = hash_model(folder, &files[3], err);
    for (int i = 0; i < 3 && result == 0; i++)
        result = write_text(folder, &files[i], &t[i], err);
    memcpy(c->vocabulary_sha256, files[3].sha256, SHA256_HEX);
    if (result == 0) {
        describe_corpus(c, files, 4, input_sha256, settings, &t[3]);
        result = write_text(folder, &ini, &t[3], err);
    }
    for (int i = 0; i < 4; i++)
        text_release(&t[i]);
    return result;
}
