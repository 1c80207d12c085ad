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

static void name_document(const struct marks *m, const char *path, int64_t first, const int64_t *document,
                          struct marked *out)
{
    char base[256];
    request_base_name(path, base, sizeof base);
    out->document[0] = '\0';
    if (m->document != NULL) {
        snprintf(out->document, sizeof out->document, "document %" PRId64, document[0]);
    } else if (m->row > 0) {
        snprintf(out->document, sizeof out->document, "%s#%lld", base, (long long)(first / m->row));
    }
}

int marks_next(struct marks *m, const char *path, int64_t first, int most, struct marked *out,
               struct error *err)
{
    int64_t mask[AT_ONCE], ids[AT_ONCE], values[AT_ONCE];
    char before[sizeof out->document];
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
    memcpy(before, out->document, sizeof before);
    name_document(m, path, first, values, out);
    out->offset = strcmp(before, out->document) == 0 ? out->offset + out->n_kept : 0;
    out->first = first;
    out->n = n;
    out->n_kept = 0;
    out->has_ids = m->ids != NULL;
    for (int i = 0; i < n; i++) {
        if (m->mask == NULL || mask[i] != 0) {
            out->kept[out->n_kept] = i;
            out->ids[out->n_kept++] = m->ids != NULL ? (int32_t)ids[i] : 0;
        }
    }
    return 0;
}
