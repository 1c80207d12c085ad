#include "import/shared/texts.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "import/shared/vocabulary.h"

static const struct moescope_token unknown_token[] = {{.text = "<unknown>", .kind = "special"}};

/* Of ids without texts: whose they are nobody knows, and so they are those of this import alone. */
static void name_vocabulary(struct moescope_corpus *c, const struct vocabulary_file *v, bool ids_known)
{
    static char none[SHA256_HEX];
    if (v != NULL && ids_known) {
        c->vocabulary_name = "imported";
        c->vocabulary_sha256 = v->sha256;
        c->tokens = v->tokens;
        c->n_tokens = v->n;
    } else if (ids_known) {
        c->vocabulary_name = "ids without texts";
        c->vocabulary_sha256 = c->sha256;
    } else {
        sha256_bytes("unknown tokens", strlen("unknown tokens"), none);
        c->vocabulary_name = "unknown tokens";
        c->vocabulary_sha256 = none;
        c->tokens = unknown_token;
        c->n_tokens = 1;
    }
}

int texts_open(struct texts *t, struct logbook *lb, const char *split, const char *sha256, const char *name,
               const struct vocabulary_file *v, bool ids_known, struct error *err)
{
    *t = (struct texts){.logbook = lb, .split = split};
    t->corpus = (struct moescope_corpus){.name = name, .sha256 = sha256};
    name_vocabulary(&t->corpus, v, ids_known);
    return moescope_add_corpus(lb, &t->corpus, &t->corpus_id, &t->vocabulary_id, NULL, NULL, err);
}

void texts_release(struct texts *t)
{
    for (int i = 0; i < t->n_domains; i++) {
        free(t->domains[i]);
    }
    free(t->domains);
    free(t->domain_ids);
    free(t->last);
    free(t->last_of);
    seen_release(&t->named);
    *t = (struct texts){0};
}

static int index_of(struct texts *t, const char *name, int64_t id, int *domain_index, struct error *err)
{
    for (*domain_index = 0; *domain_index < t->n_domains; ++*domain_index) {
        if (strcmp(t->domains[*domain_index], name) == 0) {
            return 0;
        }
    }
    char **domains = realloc(t->domains, ((size_t)t->n_domains + 1) * sizeof *domains);
    t->domains = domains != NULL ? domains : t->domains;
    int64_t *ids = realloc(t->domain_ids, ((size_t)t->n_domains + 1) * sizeof *ids);
    t->domain_ids = ids != NULL ? ids : t->domain_ids;
    char *copy = strdup(name);
    if (domains == NULL || ids == NULL || copy == NULL) {
        free(copy);
        return error_no_memory(err, "a domain");
    }
    domains[t->n_domains] = copy;
    ids[t->n_domains++] = id;
    return 0;
}

static int add_document(struct texts *t, const struct moescope_document *d, int64_t *id, int *domain_index,
                        struct error *err)
{
    struct moescope_corpus one = {.documents = d, .n_documents = 1};
    int64_t domain_id;
    if (logbook_add_documents(t->logbook, t->corpus_id, &one, id, &domain_id, err) != 0) {
        return -1;
    }
    return index_of(t, d->domain, domain_id, domain_index, err);
}

/* Its text is not known: documents are the same where their corpora and names are. */
static void hash_document(const struct texts *t, const char *name, char hex[SHA256_HEX])
{
    struct sha256 s;
    sha256_start(&s);
    sha256_add(&s, t->corpus.sha256, strlen(t->corpus.sha256));
    sha256_add(&s, name, strlen(name));
    sha256_finish(&s, hex);
}

/* A document is of one domain: one of that name and another domain is another one, "NAME (DOMAIN)". */
static int name_apart(struct texts *t, const char *name, const char *domain, struct text *out,
                      struct error *err)
{
    int64_t *known, of = seen_number_of(domain) + 1;
    if (seen_find_name(&t->named, name, &known, err) != 0) {
        return -1;
    }
    *known = *known == 0 ? of : *known;
    text_add(out, name);
    if (*known != of) {
        text_printf(out, " (%s)", domain);
    }
    return out->failed ? error_no_memory(err, "a document") : 0;
}

static int find_document(struct texts *t, const char *name, const char *domain,
                         const struct side_document *side, struct error *err)
{
    char sha256[SHA256_HEX];
    struct text apart;
    text_init(&apart);
    int result = name_apart(t, name, domain, &apart, err);
    if (result == 0) {
        hash_document(t, apart.data, sha256);
        const struct moescope_document d = {.name = apart.data,
                                            .domain = domain,
                                            .sha256 = sha256,
                                            .split = t->split,
                                            .labels = side != NULL ? side->labels : NULL,
                                            .n_labels = side != NULL ? side->n_labels : 0};
        result = add_document(t, &d, &t->last_id, &t->last_domain, err);
    }
    text_release(&apart);
    return result;
}

int texts_document(struct texts *t, const char *name, const char *domain, const struct side_document *side,
                   int64_t *id, int *domain_index, struct error *err)
{
    domain = domain != NULL ? domain : "unknown";
    if (t->last == NULL || strcmp(t->last, name) != 0 || strcmp(t->last_of, domain) != 0) {
        if (find_document(t, name, domain, side, err) != 0) {
            return -1;
        }
        free(t->last);
        free(t->last_of);
        t->last = strdup(name);
        t->last_of = strdup(domain);
        if (t->last == NULL || t->last_of == NULL) {
            return error_no_memory(err, "a document");
        }
    }
    *id = t->last_id;
    *domain_index = t->last_domain;
    return 0;
}

/* A domain needs no document, but the logbook knows domains by theirs: a document of its name stands for it.
 */
int texts_domain(struct texts *t, const char *name, int *domain_index, struct error *err)
{
    int64_t id;
    for (*domain_index = 0; *domain_index < t->n_domains; ++*domain_index) {
        if (strcmp(t->domains[*domain_index], name) == 0) {
            return 0;
        }
    }
    return texts_document(t, name, name, NULL, &id, domain_index, err);
}
