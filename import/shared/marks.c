#include "import/shared/marks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "import/shared/request.h"

static int find(struct marks *m, const char *path, const char *const *names, const struct array **x,
                struct error *err)
{
    *x = NULL;
    for (; *names != NULL && *x == NULL; names++) {
        *x = arrays_find(m->arrays, *names);
    }
    if (*x == NULL || (*x)->count == m->n_tokens) {
        return 0;
    }
    return error_set(err, STATUS_INPUT, "'%s': '%s' has %lld values, and there are %lld rows a layer", path,
                     (*x)->name, (long long)(*x)->count, (long long)m->n_tokens);
}

static int64_t row_of(const struct array *x)
{
    return x != NULL && x->n_dimensions == 2 && x->shape[0] > 1 ? x->shape[1] : 0;
}

int marks_find(struct marks *m, struct arrays *a, const char *path, int64_t n_tokens, struct error *err)
{
    static const char *const ids[] = {"input_ids", "token_ids", NULL},
                             *const mask[] = {"attention_mask", NULL},
                             *const document[] = {"doc_id", "document_id", NULL},
                             *const domain[] = {"domain_id", NULL};
    *m = (struct marks){.arrays = a, .n_tokens = n_tokens};
    if (find(m, path, ids, &m->ids, err) != 0 || find(m, path, mask, &m->mask, err) != 0 ||
        find(m, path, document, &m->document, err) != 0 || find(m, path, domain, &m->domain, err) != 0) {
        return -1;
    }
    m->row = row_of(m->ids) > 0 ? row_of(m->ids) : row_of(m->mask);
    return 0;
}

enum { AT_ONCE = 4096 };

static int read(struct marks *m, const struct array *x, int64_t first, int n, int64_t *values,
                struct error *err)
{
    return x != NULL ? arrays_integers(m->arrays, x, first, n, values, err) : 0;
}

/* How many of the values are equal to the first. */
static int run_of(const int64_t *values, int n)
{
    int i = 1;
    while (i < n && values[i] == values[0]) {
        i++;
    }
    return i;
}

void marks_release(struct marks *m)
{
    seen_release(&m->given);
    *m = (struct marks){0};
}

/* Where the tokens lie in their document, or in the row that is one. */
static int count_on(struct marks *m, const char *path, const int64_t *document, struct marked *out,
                    int64_t before, struct error *err)
{
    char base[256];
    int64_t *given;
    if (m->document != NULL) {
        snprintf(out->document, sizeof out->document, "document %" PRId64, document[0]);
        if (seen_find(&m->given, document[0], &given, err) != 0) {
            return -1;
        }
        out->offset = *given;
        *given += out->n_kept;
        return 0;
    }
    out->document[0] = '\0';
    if (m->row > 0) {
        request_base_name(path, base, sizeof base);
        snprintf(out->document, sizeof out->document, "%s#%lld", base, (long long)(out->first / m->row));
        out->offset = out->first % m->row > 0 ? out->offset + before : 0;
    }
    return 0;
}

static int keep_ids(struct marks *m, const char *path, const int64_t *mask, const int64_t *ids,
                    struct marked *out, struct error *err)
{
    out->n_kept = 0;
    out->has_ids = m->ids != NULL;
    for (int i = 0; i < out->n; i++) {
        if (m->mask != NULL && mask[i] == 0) {
            continue;
        }
        if (m->ids != NULL && (ids[i] < 0 || ids[i] > INT32_MAX)) {
            return error_set(err, STATUS_INPUT, "'%s': '%s' has %lld at token %lld, which is no token's id",
                             path, m->ids->name, (long long)ids[i], (long long)(out->first + i));
        }
        out->kept[out->n_kept] = i;
        out->ids[out->n_kept++] = m->ids != NULL ? (int32_t)ids[i] : 0;
    }
    return 0;
}

int marks_next(struct marks *m, const char *path, int64_t first, int most, struct marked *out,
               struct error *err)
{
    int64_t mask[AT_ONCE], ids[AT_ONCE], values[AT_ONCE], before = out->n_kept;
    int n = most < AT_ONCE ? most : AT_ONCE;
    n = m->n_tokens - first < n ? (int)(m->n_tokens - first) : n;
    n = m->row > 0 && m->row - first % m->row < n ? (int)(m->row - first % m->row) : n;
    out->domain[0] = '\0';
    if (m->domain != NULL) {
        if (read(m, m->domain, first, n, values, err) != 0) {
            return -1;
        }
        n = run_of(values, n);
        snprintf(out->domain, sizeof out->domain, "domain %" PRId64, values[0]);
    }
    if (read(m, m->document, first, n, values, err) != 0) {
        return -1;
    }
    n = m->document != NULL ? run_of(values, n) : n;
    if (read(m, m->mask, first, n, mask, err) != 0 || read(m, m->ids, first, n, ids, err) != 0) {
        return -1;
    }
    out->first = first;
    out->n = n;
    return keep_ids(m, path, mask, ids, out, err) != 0 ? -1 : count_on(m, path, values, out, before, err);
}
