#include "import/shared/marks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import/shared/request.h"

enum { AT_ONCE = 4096 };

/* Values of the tokens from `first` on; 0 of arrays that are not there. Tokens come in order, and nothing is
 * read twice: going back costs much in what is compressed. */
struct values {
    int64_t first;
    int n;
    int64_t mask[AT_ONCE + 1], ids[AT_ONCE + 1], document[AT_ONCE + 1], domain[AT_ONCE + 1];
};

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

int64_t marks_row(int64_t tokens, int64_t n)
{
    return tokens > 1 && n / tokens > 1 ? tokens : 0;
}

/* Of an array [batch, tokens] or the like. */
static int64_t row_of(const struct array *x)
{
    return x != NULL && x->n_dimensions > 1 ? marks_row(x->shape[x->n_dimensions - 1], x->count) : 0;
}

int marks_find(struct marks *m, struct arrays *a, const struct request *r, int file, int64_t n_tokens,
               int64_t row, struct error *err)
{
    static const char *const ids[] = {"input_ids", "token_ids", NULL},
                             *const mask[] = {"attention_mask", NULL},
                             *const document[] = {"doc_id", "document_id", NULL},
                             *const domain[] = {"domain_id", NULL};
    const char *path = r->files[file];
    *m = (struct marks){.arrays = a, .path = path, .several = r->n_files > 1, .n_tokens = n_tokens};
    request_file_name(r, file, m->base, sizeof m->base);
    if (find(m, path, ids, &m->ids, err) != 0 || find(m, path, mask, &m->mask, err) != 0 ||
        find(m, path, document, &m->document, err) != 0 || find(m, path, domain, &m->domain, err) != 0) {
        return -1;
    }
    m->row = row_of(m->ids) > 0 ? row_of(m->ids) : row_of(m->mask) > 0 ? row_of(m->mask) : row;
    m->values = calloc(1, sizeof *m->values);
    return m->values != NULL ? 0 : error_no_memory(err, path);
}

void marks_release(struct marks *m)
{
    free(m->values);
    seen_release(&m->given);
    seen_release(&m->domains);
    *m = (struct marks){0};
}

/* ---- a stretch ---- */

/* Moves on to `first`, and reads up to n values from there. */
static int move_on(struct marks *m, const struct array *x, int64_t *values, int64_t first, int n,
                   struct error *err)
{
    const struct values *v = m->values;
    int there = (int)(v->first + v->n - first);
    if (x == NULL) {
        memset(values, 0, (size_t)n * sizeof *values);
        return 0;
    }
    memmove(values, values + (first - v->first), (size_t)there * sizeof *values);
    return n > there ? arrays_integers(m->arrays, x, first + there, n - there, values + there, err) : 0;
}

/* The tokens from `first` on, which lies in what was read before or right behind it; n or more. */
static int read_values(struct marks *m, int64_t first, int n, struct error *err)
{
    struct values *v = m->values;
    int there = (int)(v->first + v->n - first);
    if (move_on(m, m->mask, v->mask, first, n, err) != 0 || move_on(m, m->ids, v->ids, first, n, err) != 0 ||
        move_on(m, m->document, v->document, first, n, err) != 0 ||
        move_on(m, m->domain, v->domain, first, n, err) != 0) {
        return -1;
    }
    v->first = first;
    v->n = n > there ? n : there;
    return 0;
}

/* How many of the n values are equal to the first. */
static int run_of(const int64_t *values, int n)
{
    int i = 1;
    while (i < n && values[i] == values[0]) {
        i++;
    }
    return i;
}

/* A document is of one domain. Where nothing else makes documents, domains do. */
static int name_document(struct marks *m, const struct values *v, int64_t first, char name[MARKS_NAME],
                         int64_t *number, struct error *err)
{
    const char *between = m->several ? ": " : "", *base = m->several ? m->base : "";
    int64_t *domain;
    if (m->document != NULL) {
        *number = v->document[0];
        snprintf(name, MARKS_NAME, "%s%sdocument %" PRId64, base, between, *number);
    } else if (m->row > 0) {
        *number = first / m->row;
        snprintf(name, MARKS_NAME, "%s#%" PRId64, m->base, *number);
    } else if (m->domain != NULL) {
        *number = v->domain[0];
        snprintf(name, MARKS_NAME, "%s: domain %" PRId64, m->base, *number);
    } else {
        name[0] = '\0';
        return 0;
    }
    if (m->domain == NULL) {
        return 0;
    }
    if (seen_find(&m->domains, *number, &domain, err) != 0) {
        return -1;
    }
    if (*domain != 0 && *domain != v->domain[0] + 1) {
        return error_set(err, STATUS_INPUT, "'%s': '%s' is of domains %" PRId64 " and %" PRId64, m->path,
                         name, *domain - 1, v->domain[0]);
    }
    *domain = v->domain[0] + 1;
    return 0;
}

static int keep_ids(struct marks *m, const struct values *v, struct marked *out, struct error *err)
{
    out->n_kept = 0;
    for (int i = 0; i < out->n; i++) {
        if (m->mask != NULL && v->mask[i] == 0) {
            continue;
        }
        if (v->ids[i] < 0 || v->ids[i] > INT32_MAX) {
            return error_set(err, STATUS_INPUT, "'%s': '%s' has %lld at token %lld, which is no token's id",
                             m->path, m->ids->name, (long long)v->ids[i], (long long)(out->first + i));
        }
        out->kept[out->n_kept] = i;
        out->ids[out->n_kept++] = (int32_t)v->ids[i];
    }
    return 0;
}

/* The id behind the last token is its target, if that is of the same text. */
static int add_next(const struct marks *m, const struct values *v, bool there, struct marked *out)
{
    int n = out->n;
    bool same = there && (m->row == 0 || (out->first + n) % m->row > 0) && v->document[n] == v->document[0] &&
                (m->domain == NULL || v->domain[n] == v->domain[0]) && out->n_kept > 0 &&
                out->kept[out->n_kept - 1] == n - 1 && (m->mask == NULL || v->mask[n] != 0) &&
                v->ids[n] >= 0 && v->ids[n] <= INT32_MAX;
    if (same) {
        out->ids[out->n_kept] = (int32_t)v->ids[n];
    }
    return out->n_kept + same;
}

int marks_next(struct marks *m, int64_t first, int most, struct marked *out, struct error *err)
{
    const struct values *v = m->values;
    int64_t number = 0, *given, rest = m->n_tokens - first;
    int n = most < AT_ONCE ? most : AT_ONCE;
    n = rest < n ? (int)rest : n;
    bool there = rest > n;
    if (read_values(m, first, n + there, err) != 0) {
        return -1;
    }
    int whole = n;
    n = m->row > 0 && m->row - first % m->row < n ? (int)(m->row - first % m->row) : n;
    n = run_of(v->document, n);
    n = run_of(v->domain, n);
    there = there || n < whole;
    out->first = first;
    out->n = n;
    out->domain[0] = '\0';
    if (m->domain != NULL) {
        snprintf(out->domain, sizeof out->domain, "domain %" PRId64, v->domain[0]);
    }
    if (keep_ids(m, v, out, err) != 0 || name_document(m, v, first, out->document, &number, err) != 0) {
        return -1;
    }
    out->n_ids = m->ids != NULL ? add_next(m, v, there, out) : 0;
    if (out->document[0] == '\0') {
        return 0;
    }
    if (seen_find(&m->given, number, &given, err) != 0) {
        return -1;
    }
    out->offset = *given;
    *given += out->n_kept;
    return 0;
}
