#include "analysis/shared/losses.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const loss_unit_names[2] = {"nats/token", "bits/byte"};
const char *const frequency_names[N_BUCKETS] = {"first 50 %", "50 to 80 %", "80 to 95 %", "rest",
                                                "unseen in training"};

/* ---- reading ---- */

void domain_names_release(struct domain_names *d)
{
    for (int i = 0; i < d->n; i++)
        free(d->names[i]);
    free(d->names);
    *d = (struct domain_names){0};
}

/* Index of the name, added when it is new; -1 without memory. */
static int domain_index(struct domain_names *d, const char *name)
{
    for (int i = 0; i < d->n; i++)
        if (strcmp(d->names[i], name) == 0)
            return i;
    char **names = realloc(d->names, ((size_t)d->n + 1) * sizeof *names);
    if (!names)
        return -1;
    d->names = names;
    if (!(names[d->n] = strdup(name)))
        return -1;
    return d->n++;
}

static int append(struct evaluation *e, const struct scored_document *document, struct error *err)
{
    /* Grows by doubling: at every power of two there is no room left. */
    if ((e->n & (e->n - 1)) == 0) {
        struct scored_document *grown = realloc(e->documents, (e->n ? 2 * (size_t)e->n : 1) * sizeof *grown);
        if (!grown)
            return error_no_memory(err, "the losses");
        e->documents = grown;
    }
    e->documents[e->n++] = *document;
    e->n_not_finite += !isfinite(document->loss_sum);
    return 0;
}

static int add_row(struct evaluation *e, struct domain_names *domains, struct query *q, struct error *err)
{
    struct scored_document d = {.document_id = query_int(q, "document_id"),
                                .domain = domain_index(domains, query_word(q, "domain")),
                                .whole = query_int(q, "n_tokens") >= query_int(q, "document_tokens"),
                                .n_tokens = query_real(q, "n_tokens"),
                                .loss_sum = query_real(q, "loss_sum"),
                                .n_bytes = query_real(q, "n_bytes")};
    if (d.domain < 0)
        return error_no_memory(err, "the losses");
    snprintf(d.sha256, sizeof d.sha256, "%s", query_word(q, "sha256"));
    e->step = query_int(q, "step");
    return append(e, &d, err);
}

static int read_rows(struct evaluation *evaluations, int n_runs, bool by_frequency,
                     struct domain_names *domains, struct query *q, struct error *err)
{
    int more, buckets = by_frequency ? N_BUCKETS : 1;
    while ((more = query_step(q, err)) == 1) {
        int64_t run = query_int(q, "position"), bucket = by_frequency ? query_int(q, "bucket") : 0;
        if (run >= 0 && run < n_runs && bucket >= 0 && bucket < buckets &&
            add_row(&evaluations[run * buckets + bucket], domains, q, err) != 0)
            return -1;
    }
    return more;
}

void losses_bind(const struct losses_asked *asked, struct query *q)
{
    query_bind_text(q, ":runs", asked->runs);
    query_bind_text(q, ":split", asked->split);
    query_bind_text(q, ":key", asked->key);
    query_bind_text(q, ":value", asked->value);
    query_bind_text(q, ":of", asked->of);
    if (asked->step >= 0)
        query_bind_int(q, ":step", asked->step);
}

int evaluations_read(struct evaluation *evaluations, int n_runs, struct domain_names *domains,
                     struct logbook *lb, const struct losses_asked *asked, struct error *err)
{
    struct query *q;
    int n = n_runs * (asked->of ? N_BUCKETS : 1);
    for (int i = 0; i < n; i++)
        evaluations[i] = (struct evaluation){.step = -1};
    if (query_open(&q, lb, asked->of ? "analysis/compare_frequency" : "analysis/compare_losses", err) != 0)
        return -1;
    losses_bind(asked, q);
    int result = read_rows(evaluations, n_runs, asked->of != NULL, domains, q, err);
    query_close(q);
    return result;
}

void evaluation_release(struct evaluation *e)
{
    free(e->documents);
    *e = (struct evaluation){.step = -1};
}

/* ---- one run ---- */

static bool is_in(const struct scored_document *d, int domain)
{
    return domain < 0 || d->domain == domain;
}

/* What a loss is divided by: nats by it are in that unit. */
static double size_in(const struct scored_document *d, enum loss_unit unit)
{
    return unit == NATS_PER_TOKEN ? d->n_tokens : d->n_bytes * log(2);
}

int evaluation_count(const struct evaluation *e, int domain)
{
    int n = 0;
    for (int i = 0; i < e->n; i++)
        n += is_in(&e->documents[i], domain);
    return n;
}

double evaluation_tokens(const struct evaluation *e)
{
    double tokens = 0.0;
    for (int i = 0; i < e->n; i++)
        tokens += e->documents[i].n_tokens;
    return tokens;
}

int evaluation_check_kept(const char *run, const struct evaluation *whole,
                          const struct evaluation *by_frequency, const struct losses_asked *asked,
                          struct error *err)
{
    double kept = 0.0, scored = evaluation_tokens(whole);
    for (int b = 0; b < N_BUCKETS; b++)
        kept += evaluation_tokens(&by_frequency[b]);
    if (whole->step < 0)
        return error_set(err, STATUS_INPUT, "run '%s' has no losses of split '%s'%s", run, asked->split,
                         asked->key ? " in documents with that label" : "");
    if (kept < scored)
        return error_set(
            err, STATUS_INPUT,
            "run '%s' kept the losses of %.0f of %.0f tokens of split '%s' at step %lld: losses by "
            "token frequency take runs with log.decisions = held_out or all",
            run, kept, scored, asked->split, (long long)whole->step);
    return 0;
}

double evaluation_mean(const struct evaluation *e, enum loss_unit unit, int domain)
{
    double loss = 0, size = 0;
    for (int i = 0; i < e->n; i++)
        if (is_in(&e->documents[i], domain)) {
            loss += e->documents[i].loss_sum;
            size += size_in(&e->documents[i], unit);
        }
    return size > 0 && isfinite(loss) ? loss / size : NAN;
}

/* Losses, sizes and strata of the documents of a domain, as intervals take them. */
struct columns {
    double *loss, *size;
    int *stratum;
    int n;
};

static void columns_release(struct columns *c)
{
    free(c->loss);
    free(c->size);
    free(c->stratum);
}

static int columns_init(struct columns *c, const struct evaluation *e, enum loss_unit unit, int domain,
                        struct error *err)
{
    size_t n = (size_t)e->n + 1;
    *c = (struct columns){malloc(n * sizeof *c->loss), malloc(n * sizeof *c->size),
                          malloc(n * sizeof *c->stratum), 0};
    if (!c->loss || !c->size || !c->stratum) {
        columns_release(c);
        return error_no_memory(err, "the losses");
    }
    for (int i = 0; i < e->n; i++) {
        const struct scored_document *d = &e->documents[i];
        if (!is_in(d, domain))
            continue;
        c->loss[c->n] = d->loss_sum;
        c->size[c->n] = size_in(d, unit);
        c->stratum[c->n++] = d->domain;
    }
    return 0;
}

static bool all_finite(const struct columns *c)
{
    for (int i = 0; i < c->n; i++)
        if (!isfinite(c->loss[i]))
            return false;
    return c->n > 0;
}

static const struct interval no_interval = {NAN, NAN, NAN, NAN, 0, 0};

int evaluation_interval(const struct evaluation *e, enum loss_unit unit, int domain, uint64_t seed,
                        struct interval *i, struct error *err)
{
    struct interval_options options = interval_defaults();
    struct columns c;
    struct random r;
    *i = no_interval;
    if (columns_init(&c, e, unit, domain, err) != 0)
        return -1;
    random_seed(&r, seed, 0);
    int result = all_finite(&c) ? ratio_interval(c.loss, c.size, c.stratum, c.n, &options, &r, i, err) : 0;
    columns_release(&c);
    return result;
}

/* ---- two runs ---- */

static int by_id(const void *left, const void *right)
{
    const struct scored_document *a = left, *b = right;
    return (a->document_id > b->document_id) - (a->document_id < b->document_id);
}

/* Equal texts in one corpus are told apart by their order. */
static int by_text(const void *left, const void *right)
{
    const struct scored_document *a = left, *b = right;
    int order = strcmp(a->sha256, b->sha256);
    return order ? order : by_id(left, right);
}

static int sorted_copy(struct evaluation *to, const struct evaluation *from, bool by_content,
                       struct error *err)
{
    *to = *from;
    to->documents = calloc((size_t)from->n + 1, sizeof *to->documents);
    if (!to->documents) {
        to->n = 0;
        return error_no_memory(err, "the losses");
    }
    if (from->n > 0) {
        memcpy(to->documents, from->documents, (size_t)from->n * sizeof *to->documents);
        qsort(to->documents, (size_t)to->n, sizeof *to->documents, by_content ? by_text : by_id);
    }
    return 0;
}

/* Keeps what both have, in place; the left's domain counts for both. */
static void intersect(struct evaluation *left, struct evaluation *right, bool by_content)
{
    int i = 0, j = 0, kept = 0;
    left->n_not_finite = right->n_not_finite = 0;
    while (i < left->n && j < right->n) {
        struct scored_document *a = &left->documents[i], *b = &right->documents[j];
        int order = by_content ? strcmp(a->sha256, b->sha256) : by_id(a, b);
        i += order <= 0;
        j += order >= 0;
        if (order != 0)
            continue;
        left->n_not_finite += !isfinite(a->loss_sum);
        right->n_not_finite += !isfinite(b->loss_sum);
        b->domain = a->domain;
        left->documents[kept] = *a;
        right->documents[kept++] = *b;
    }
    left->n = right->n = kept;
}

int paired_documents_init(struct paired_documents *p, const struct evaluation *left,
                          const struct evaluation *right, bool by_content, struct error *err)
{
    *p = (struct paired_documents){0};
    if (sorted_copy(&p->left, left, by_content, err) != 0 ||
        sorted_copy(&p->right, right, by_content, err) != 0) {
        paired_documents_release(p);
        return -1;
    }
    intersect(&p->left, &p->right, by_content);
    return 0;
}

void paired_documents_release(struct paired_documents *p)
{
    evaluation_release(&p->left);
    evaluation_release(&p->right);
}

int paired_documents_unlike(const struct paired_documents *p, bool one_vocabulary)
{
    int n = 0;
    for (int i = 0; i < p->left.n; i++) {
        const struct scored_document *a = &p->left.documents[i], *b = &p->right.documents[i];
        n += one_vocabulary ? fabs(a->n_tokens - b->n_tokens) > 0.5
                            : fabs(a->n_bytes - b->n_bytes) > 0.5 || a->whole != b->whole;
    }
    return n;
}

static int interval_of_difference(const struct paired_documents *p, enum loss_unit unit, int domain,
                                  bool domains_alike, uint64_t seed, struct interval *i, struct error *err)
{
    struct interval_options options = interval_defaults();
    struct columns left, right;
    struct random r;
    options.equal_strata = domains_alike;
    *i = no_interval;
    if (columns_init(&left, &p->left, unit, domain, err) != 0)
        return -1;
    if (columns_init(&right, &p->right, unit, domain, err) != 0) {
        columns_release(&left);
        return -1;
    }
    random_seed(&r, seed, 0);
    int result = 0;
    if (all_finite(&left) && all_finite(&right))
        result = difference_interval(left.loss, left.size, right.loss, right.size, left.stratum, left.n,
                                     &options, &r, i, err);
    columns_release(&left);
    columns_release(&right);
    return result;
}

int paired_interval(const struct paired_documents *p, enum loss_unit unit, int domain, uint64_t seed,
                    struct interval *i, struct error *err)
{
    return interval_of_difference(p, unit, domain, false, seed, i, err);
}

int paired_documents_effect(const struct paired_documents *p, enum loss_unit unit, int domain, double *effect,
                            struct error *err)
{
    double *difference = malloc(((size_t)p->left.n + 1) * sizeof *difference);
    double *weight = malloc(((size_t)p->left.n + 1) * sizeof *weight);
    int n = 0;
    for (int i = 0; i < p->left.n && difference && weight; i++) {
        const struct scored_document *a = &p->left.documents[i], *b = &p->right.documents[i];
        double left = size_in(a, unit), right = size_in(b, unit);
        if (!is_in(a, domain) || !(left > 0) || !(right > 0))
            continue;
        difference[n] = a->loss_sum / left - b->loss_sum / right;
        weight[n++] = (left + right) / 2;
    }
    *effect = difference && weight ? paired_effect(difference, weight, n) : NAN;
    int result = difference && weight ? 0 : error_no_memory(err, "the losses");
    free(difference);
    free(weight);
    return result;
}

int paired_interval_of_domains(const struct paired_documents *p, enum loss_unit unit, uint64_t seed,
                               struct interval *i, struct error *err)
{
    return interval_of_difference(p, unit, -1, true, seed, i, err);
}
