/* Corpora, vocabularies, domains and documents: each stored once, known by its hash or name. */
#include <stdlib.h>
#include <string.h>

#include "sql/db.h"
#include "sql/logbook.h"
#include "sql/refuse.h"

/* The id behind a hash, if it is there. */
static int find_by_sha256(struct logbook *lb, const char *find, const char *sha256, int64_t *id, bool *found,
                          struct error *err)
{
    struct statement s;
    int result = statement_open(&s, lb, find, err);
    if (result == 0) {
        statement_text(&s, ":sha256", sha256);
        result = statement_scalar(&s, id, found, err);
    }
    statement_close(&s);
    return result;
}

/* Finds by hash or adds by name and hash. */
static int find_or_add(struct logbook *lb, const char *find, const char *add, const char *name,
                       const char *sha256, int64_t *id, bool *found, struct error *err)
{
    struct statement s;
    if (find_by_sha256(lb, find, sha256, id, found, err) != 0) {
        return -1;
    }
    if (*found) {
        return 0;
    }
    int result = statement_open(&s, lb, add, err);
    if (result == 0) {
        statement_text(&s, ":name", name);
        statement_text(&s, ":sha256", sha256);
        result = statement_scalar(&s, id, NULL, err);
    }
    statement_close(&s);
    return result;
}

static int add_tokens(struct logbook *lb, const struct moescope_corpus *corpus, int64_t vocabulary_id,
                      struct error *err)
{
    struct statement s;
    int result = statement_open(&s, lb, "store/add_token", err);
    for (int i = 0; result == 0 && i < corpus->n_tokens; i++) {
        statement_int(&s, ":vocabulary", vocabulary_id);
        statement_int(&s, ":token", i);
        statement_text(&s, ":text", corpus->tokens[i].text);
        statement_text(&s, ":kind", corpus->tokens[i].kind);
        result = statement_run(&s, err);
    }
    statement_close(&s);
    return result;
}

static int add_token_counts(struct logbook *lb, const struct moescope_corpus *corpus, int64_t corpus_id,
                            int64_t vocabulary_id, struct error *err)
{
    struct statement s;
    int result = statement_open(&s, lb, "store/add_token_count", err);
    for (int i = 0; result == 0 && i < corpus->n_tokens; i++) {
        statement_int(&s, ":corpus", corpus_id);
        statement_int(&s, ":vocabulary", vocabulary_id);
        statement_int(&s, ":token", i);
        statement_int(&s, ":train_count", corpus->tokens[i].train_count);
        result = statement_run(&s, err);
    }
    statement_close(&s);
    return result;
}

/* ---- documents ---- */

struct document_statements {
    struct statement find_domain, add_domain, find, add, add_label;
};

static int open_statements(struct document_statements *s, struct logbook *lb, struct error *err)
{
    memset(s, 0, sizeof *s);
    if (statement_open(&s->find_domain, lb, "store/find_domain", err) != 0 ||
        statement_open(&s->add_domain, lb, "store/add_domain", err) != 0 ||
        statement_open(&s->find, lb, "store/find_document", err) != 0 ||
        statement_open(&s->add, lb, "store/add_document", err) != 0 ||
        statement_open(&s->add_label, lb, "store/add_label", err) != 0) {
        return -1;
    }
    return 0;
}

static void close_statements(struct document_statements *s)
{
    statement_close(&s->find_domain);
    statement_close(&s->add_domain);
    statement_close(&s->find);
    statement_close(&s->add);
    statement_close(&s->add_label);
}

static int domain_id(struct document_statements *s, const char *name, int64_t *id, struct error *err)
{
    bool found;
    statement_text(&s->find_domain, ":name", name);
    if (statement_scalar(&s->find_domain, id, &found, err) != 0) {
        return -1;
    }
    if (found) {
        return 0;
    }
    statement_text(&s->add_domain, ":name", name);
    return statement_scalar(&s->add_domain, id, NULL, err);
}

static int add_labels(struct document_statements *s, const struct moescope_document *d, int64_t document_id,
                      struct error *err)
{
    for (int i = 0; i < d->n_labels; i++) {
        statement_int(&s->add_label, ":document", document_id);
        statement_text(&s->add_label, ":key", d->labels[i].key);
        statement_text(&s->add_label, ":value", d->labels[i].value);
        if (statement_run(&s->add_label, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int add_document(struct document_statements *s, const struct moescope_document *d, int64_t corpus_id,
                        int64_t domain, int64_t *document_id, struct error *err)
{
    bool found;
    statement_int(&s->find, ":corpus", corpus_id);
    statement_text(&s->find, ":name", d->name);
    if (statement_scalar(&s->find, document_id, &found, err) != 0) {
        return -1;
    }
    if (found) {
        return 0;
    }
    statement_int(&s->add, ":corpus", corpus_id);
    statement_int(&s->add, ":domain", domain);
    statement_text(&s->add, ":name", d->name);
    statement_text(&s->add, ":sha256", d->sha256);
    statement_text(&s->add, ":split", d->split);
    statement_int(&s->add, ":n_bytes", d->n_bytes);
    statement_int(&s->add, ":n_tokens", d->n_tokens);
    if (statement_scalar(&s->add, document_id, NULL, err) != 0) {
        return -1;
    }
    return add_labels(s, d, *document_id, err);
}

static int add_documents(struct logbook *lb, const struct moescope_corpus *corpus, int64_t corpus_id,
                         int64_t *document_ids, int64_t *domain_ids, struct error *err)
{
    struct document_statements s;
    int result = open_statements(&s, lb, err);
    for (int i = 0; result == 0 && i < corpus->n_documents; i++) {
        const struct moescope_document *d = &corpus->documents[i];
        result = domain_id(&s, d->domain, &domain_ids[i], err);
        if (result == 0) {
            result = add_document(&s, d, corpus_id, domain_ids[i], &document_ids[i], err);
        }
        if (result != 0) {
            error_prefix(err, "document '%s'", d->name);
        }
    }
    close_statements(&s);
    return result;
}

/* ---- what is refused ---- */

static int refuse_tokens(const struct moescope_corpus *corpus, struct error *err)
{
    if (corpus->n_tokens > 0 && refuse_null(corpus->tokens, "the vocabulary's tokens", err) != 0) {
        return -1;
    }
    for (int i = 0; i < corpus->n_tokens; i++) {
        const struct moescope_token *t = &corpus->tokens[i];
        if (refuse_null(t->text, "its text", err) != 0 || refuse_null(t->kind, "its kind", err) != 0) {
            return error_prefix(err, "token %d", i);
        }
        if (t->train_count < 0) {
            return error_set(err, STATUS_USAGE, "token %d: it occurs %lld times", i,
                             (long long)t->train_count);
        }
    }
    return 0;
}

static int refuse_labels(const struct moescope_document *d, struct error *err)
{
    if (d->n_labels > 0 && refuse_null(d->labels, "the labels", err) != 0) {
        return -1;
    }
    for (int i = 0; i < d->n_labels; i++) {
        if (refuse_null(d->labels[i].key, "the key of a label", err) != 0 ||
            refuse_null(d->labels[i].value, "the value of a label", err) != 0) {
            return -1;
        }
        for (int j = 0; j < i; j++) {
            if (strcmp(d->labels[i].key, d->labels[j].key) == 0) {
                return error_set(err, STATUS_USAGE, "the label '%s' is there twice", d->labels[i].key);
            }
        }
    }
    return 0;
}

static int refuse_document(const struct moescope_document *d, struct error *err)
{
    if (refuse_null(d->name, "a document's name", err) != 0) {
        return -1;
    }
    if (refuse_null(d->domain, "its domain", err) != 0 || refuse_null(d->sha256, "its sha256", err) != 0 ||
        refuse_split(d->split, err) != 0 || refuse_labels(d, err) != 0) {
        return error_prefix(err, "document '%s'", d->name);
    }
    if (d->n_bytes >= 0 && d->n_tokens >= 0) {
        return 0;
    }
    return error_set(err, STATUS_USAGE, "document '%s': %lld tokens of %lld bytes", d->name,
                     (long long)d->n_tokens, (long long)d->n_bytes);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Two documents of a name would be one, and what is logged of the second be the first's. */
static int refuse_same_names(const struct moescope_corpus *corpus, struct error *err)
{
    int n = corpus->n_documents, result = 0;
    const char **names = calloc((size_t)n + 1, sizeof *names);
    if (names == NULL) {
        return error_no_memory(err, "the names of documents");
    }
    for (int i = 0; i < n; i++) {
        names[i] = corpus->documents[i].name;
    }
    qsort(names, (size_t)n, sizeof *names, by_text);
    for (int i = 1; i < n && result == 0; i++) {
        if (strcmp(names[i - 1], names[i]) == 0) {
            result = error_set(err, STATUS_USAGE, "two documents are named '%s'", names[i]);
        }
    }
    free(names);
    return result;
}

static int refuse_documents(const struct moescope_corpus *corpus, const int64_t *document_ids,
                            const int64_t *domain_ids, struct error *err)
{
    if (corpus->n_documents <= 0) {
        return corpus->n_documents == 0
                   ? 0
                   : error_set(err, STATUS_USAGE, "a corpus of %d documents", corpus->n_documents);
    }
    if (refuse_null(corpus->documents, "the corpus' documents", err) != 0 ||
        refuse_null(document_ids, "the place for the documents' ids", err) != 0 ||
        refuse_null(domain_ids, "the place for the domains' ids", err) != 0) {
        return -1;
    }
    for (int i = 0; i < corpus->n_documents; i++) {
        if (refuse_document(&corpus->documents[i], err) != 0) {
            return -1;
        }
    }
    return refuse_same_names(corpus, err);
}

static int refuse_corpus(const struct moescope_corpus *corpus, struct error *err)
{
    if (refuse_null(corpus, "the corpus", err) != 0 ||
        refuse_null(corpus->name, "the corpus' name", err) != 0 ||
        refuse_null(corpus->sha256, "the corpus' sha256", err) != 0 ||
        refuse_null(corpus->vocabulary_name, "the vocabulary's name", err) != 0 ||
        refuse_null(corpus->vocabulary_sha256, "the vocabulary's sha256", err) != 0) {
        return -1;
    }
    if (corpus->n_tokens < 0) {
        return error_set(err, STATUS_USAGE, "a vocabulary of %d tokens", corpus->n_tokens);
    }
    return refuse_tokens(corpus, err);
}

/* ---- a vocabulary that is known ---- */

static bool is_token(struct statement *s, const struct moescope_token *token)
{
    const char *text = (const char *)sqlite3_column_text(s->handle, 0);
    const char *kind = (const char *)sqlite3_column_text(s->handle, 1);
    return text != NULL && kind != NULL && strcmp(text, token->text) == 0 && strcmp(kind, token->kind) == 0;
}

/* Other tokens under the hash of a vocabulary that is there would be read as those that are. */
static int compare_tokens(struct logbook *lb, const struct moescope_corpus *corpus, int64_t vocabulary_id,
                          struct error *err)
{
    struct statement s;
    int n = 0, result = statement_open(&s, lb, "store/vocabulary_tokens", err);
    if (result == 0) {
        statement_int(&s, ":vocabulary", vocabulary_id);
        while ((result = statement_step(&s, err)) == 1 && n < corpus->n_tokens &&
               is_token(&s, &corpus->tokens[n])) {
            n++;
        }
    }
    statement_close(&s);
    if (result < 0 || (result == 0 && n == corpus->n_tokens)) {
        return result;
    }
    return error_set(err, STATUS_USAGE,
                     "'%s' has the vocabulary '%s' of the same sha256 with other tokens, from number %d on",
                     lb->path, corpus->vocabulary_name, n);
}

/* ---- a corpus ---- */

static int add_corpus(struct logbook *lb, const struct moescope_corpus *corpus, int64_t *corpus_id,
                      int64_t *vocabulary_id, int64_t *document_ids, int64_t *domain_ids, struct error *err)
{
    bool old_vocabulary, old_corpus;
    if (find_or_add(lb, "store/find_vocabulary", "store/add_vocabulary", corpus->vocabulary_name,
                    corpus->vocabulary_sha256, vocabulary_id, &old_vocabulary, err) != 0 ||
        find_or_add(lb, "store/find_corpus", "store/add_corpus", corpus->name, corpus->sha256, corpus_id,
                    &old_corpus, err) != 0) {
        return -1;
    }
    if (old_vocabulary && corpus->n_tokens > 0 && compare_tokens(lb, corpus, *vocabulary_id, err) != 0) {
        return -1;
    }
    if (!old_vocabulary && add_tokens(lb, corpus, *vocabulary_id, err) != 0) {
        return -1;
    }
    if ((!old_corpus || !old_vocabulary) &&
        add_token_counts(lb, corpus, *corpus_id, *vocabulary_id, err) != 0) {
        return -1;
    }
    return add_documents(lb, corpus, *corpus_id, document_ids, domain_ids, err);
}

int moescope_add_corpus(struct logbook *lb, const struct moescope_corpus *corpus, int64_t *corpus_id,
                        int64_t *vocabulary_id, int64_t *document_ids, int64_t *domain_ids, struct error *err)
{
    if (refuse_null(lb, "the corpus' logbook", err) != 0 || refuse_corpus(corpus, err) != 0 ||
        refuse_documents(corpus, document_ids, domain_ids, err) != 0 || db_begin(lb, err) != 0) {
        return -1;
    }
    return db_end(lb, add_corpus(lb, corpus, corpus_id, vocabulary_id, document_ids, domain_ids, err), err);
}

int logbook_add_documents(struct logbook *lb, int64_t corpus_id, const struct moescope_corpus *corpus,
                          int64_t *document_ids, int64_t *domain_ids, struct error *err)
{
    if (refuse_documents(corpus, document_ids, domain_ids, err) != 0 || db_begin(lb, err) != 0) {
        return -1;
    }
    return db_end(lb, add_documents(lb, corpus, corpus_id, document_ids, domain_ids, err), err);
}
