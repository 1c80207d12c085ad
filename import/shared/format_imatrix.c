/* llama.cpp's importance matrices (GGUF): how often each expert's matrices were multiplied, which is how
 * often it was chosen. Counts alone; a file a domain gives a table of domains. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import/shared/arrays.h"
#include "import/shared/format.h"
#include "sql/codec.h"
#include "sql/logbook.h"

enum { MOST_EXACT = 1 << 24 };

/* The same routing, in order of preference: down comes behind the others and is in every file. */
static const char *const tensors[] = {"ffn_down_exps", "ffn_up_exps", "ffn_gate_exps", "ffn_gate_up_exps"};
enum { N_TENSORS = sizeof tensors / sizeof *tensors };

struct imatrix {
    struct intake *in;
    struct arrays *arrays;
    const char *path, *domain;
    int file;
    int64_t step;
    float *counts, *others; /* (n_experts) */
    int64_t *rounded;
    int repeated, different, first_different; /* layers whose tensors agree, or do not */
    double largest, tokens, assignments;      /* the last two of layers whose router is counted as well */
};

static const struct array *tensor_of(const struct imatrix *m, int layer, const char *which)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%d.%s.weight.counts", layer, which);
    return arrays_find(m->arrays, name);
}

static int reserve(struct imatrix *m, int64_t n, struct error *err)
{
    free(m->counts);
    free(m->rounded);
    m->counts = malloc(2 * (size_t)n * sizeof *m->counts);
    m->rounded = malloc((size_t)n * sizeof *m->rounded);
    if (m->counts == NULL || m->rounded == NULL) {
        return error_no_memory(err, "counts of experts");
    }
    m->others = m->counts + n;
    return 0;
}

/* Whether the other tensors of the layer count the same. */
static int compare(struct imatrix *m, int layer, const struct array *x, struct error *err)
{
    int n_same = 0, n_different = 0;
    for (int i = 0; i < N_TENSORS; i++) {
        const struct array *y = tensor_of(m, layer, tensors[i]);
        if (y == NULL || y == x || y->count != x->count) {
            continue;
        }
        if (arrays_reals(m->arrays, y, 0, y->count, m->others, err) != 0) {
            return -1;
        }
        bool same = memcmp(m->counts, m->others, (size_t)x->count * sizeof *m->counts) == 0;
        n_same += same;
        n_different += !same;
    }
    m->repeated += n_same > 0 && n_different == 0;
    m->first_different = m->different == 0 && n_different > 0 ? layer : m->first_different;
    m->different += n_different > 0;
    return 0;
}

static int round_counts(struct imatrix *m, int layer, int64_t n, struct error *err)
{
    for (int64_t e = 0; e < n; e++) {
        float count = m->counts[e];
        if (!(count >= 0) || count > 1e15f || fabsf(count - roundf(count)) > 0.01f) {
            return error_set(err, STATUS_INPUT, "'%s': layer %d, expert %lld has a count of %g", m->path,
                             layer, (long long)e, (double)count);
        }
        m->rounded[e] = (int64_t)roundf(count);
        m->largest = count > m->largest ? count : m->largest;
    }
    return 0;
}

/* The router itself saw every token once, where its matrix is counted. */
static int count_tokens(struct imatrix *m, int layer, int64_t n, struct error *err)
{
    const struct array *x = tensor_of(m, layer, "ffn_gate_inp");
    float tokens = 0;
    if (x != NULL && x->count > 0 && arrays_reals(m->arrays, x, 0, 1, &tokens, err) != 0) {
        return -1;
    }
    for (int64_t e = 0; tokens > 0 && e < n; e++) {
        m->assignments += (double)m->rounded[e];
    }
    m->tokens += tokens;
    return 0;
}

static int read_layer(struct imatrix *m, int layer, bool *any, struct error *err)
{
    const struct array *x = NULL;
    for (int i = 0; i < N_TENSORS && x == NULL; i++) {
        x = tensor_of(m, layer, tensors[i]);
    }
    if (x == NULL) {
        return 0;
    }
    if (x->count < 1 || x->count > CODEC_MAX_EXPERTS) {
        return error_set(err, STATUS_INPUT, "'%s': '%s' has %lld counts", m->path, x->name,
                         (long long)x->count);
    }
    *any = true;
    if (reserve(m, x->count, err) != 0 || arrays_reals(m->arrays, x, 0, x->count, m->counts, err) != 0 ||
        compare(m, layer, x, err) != 0 || round_counts(m, layer, x->count, err) != 0 ||
        count_tokens(m, layer, x->count, err) != 0) {
        return -1;
    }
    const struct load load = {.step = m->step,
                              .file = m->file,
                              .layer = layer,
                              .n_experts = (int)x->count,
                              .count = m->rounded,
                              .domain = m->domain};
    return intake_load(m->in, &load, err) == 0 ? 0 : error_prefix(err, "'%s'", m->path);
}

static void judge(struct imatrix *m)
{
    if (m->largest >= MOST_EXACT) {
        intake_finding(
            m->in, TRAP_FLOAT_COUNTS, RULING_REFUSED,
            "make several matrices of less text each; --accept float-counts takes them as they are",
            "'%s': a count of %.0f, beyond 16777216", m->path, m->largest);
    }
    if (m->different > 0) {
        intake_finding(m->in, TRAP_REPEATED_TENSORS, RULING_UNKNOWN,
                       "see which tensors were left out by the engine",
                       "'%s': gate, up and down disagree in %d layers from layer %d on; down is taken",
                       m->path, m->different, m->first_different);
    } else if (m->repeated > 0) {
        intake_finding(m->in, TRAP_REPEATED_TENSORS, RULING_NOTED, "nothing: one of them is taken",
                       "'%s': gate, up and down count the same in %d layers", m->path, m->repeated);
    }
    if (m->tokens > 0) {
        double k = m->assignments / m->tokens;
        if (fabs(k - round(k)) < 0.01 * k && k < 1000) {
            intake_topk(m->in, (int)round(k));
        }
    }
}

static int read_layers(struct imatrix *m, struct error *err)
{
    bool any = false;
    for (int l = 0; l < MTP_LAYER; l++) {
        if (read_layer(m, l, &any, err) != 0) {
            return -1;
        }
    }
    if (!any) {
        return error_set(err, STATUS_INPUT,
                         "'%s' has no blk.N.ffn_down_exps.weight.counts: is the model a mixture?", m->path);
    }
    judge(m);
    return 0;
}

/* The older format, by its first name: int32 n, then length and name. */
static bool is_legacy(const char *path)
{
    char bytes[64] = "";
    FILE *f = fopen(path, "rb");
    size_t n = f != NULL ? fread(bytes, 1, sizeof bytes, f) : 0;
    if (f != NULL) {
        fclose(f);
    }
    return n == sizeof bytes && memcmp(bytes, "GGUF", 4) != 0 && memcmp(bytes + 8, "blk.", 4) == 0;
}

static int read_file(struct intake *in, const struct request *r, int file, struct error *err)
{
    char name[256];
    struct imatrix m = {.in = in, .path = r->files[file], .file = file, .step = r->step};
    request_file_name(r, file, name, sizeof name);
    m.domain = r->domains[file] != NULL ? r->domains[file] : r->n_files > 1 ? name : NULL;
    if (is_legacy(m.path)) {
        return error_set(
            err, STATUS_INPUT,
            "'%s' is an imatrix.dat of the older kind, which does not say how often each expert was chosen; "
            "make it anew as GGUF (llama-imatrix --output-format gguf)",
            m.path);
    }
    int result = arrays_open(&m.arrays, m.path, err);
    if (result == 0) {
        result = read_layers(&m, err);
    }
    arrays_close(m.arrays);
    free(m.counts);
    free(m.rounded);
    return result;
}

static int read_all(struct intake *in, const struct request *r, struct error *err)
{
    for (int f = 0; f < r->n_files; f++) {
        if (read_file(in, r, f, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static bool is_imatrix(const struct head *h)
{
    return (h->n > 4 && memcmp(h->bytes, "GGUF", 4) == 0) || is_legacy(h->path);
}

const struct import_format format_imatrix = {
    "imatrix", "llama.cpp's importance matrix as GGUF: counts", "probe", is_imatrix, read_all, false};
