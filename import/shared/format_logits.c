/* What routers computed, or chose, as arrays: logits or probabilities [layers, tokens, experts] in any order
 * of the first two, or an array a layer ("layer_3", "router_logits.3"), in .npy, .npz, safetensors or .pt;
 * and vLLM's routed_experts.npy, whole numbers [tokens, layers, k]. Dimensions of batches are taken as
 * tokens. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import/shared/arrays.h"
#include "import/shared/format.h"
#include "import/shared/marks.h"
#include "import/shared/select.h"
#include "sql/logbook.h"

enum { AT_ONCE = 1 << 24 /* numbers */, SAMPLE_ROWS = 256 };

struct cube {
    struct arrays *arrays;
    const char *path;
    const struct array *whole;                        /* NULL: an array a layer */
    const struct array *of_layer[LOGBOOK_MAX_LAYERS]; /* by index */
    int number[LOGBOOK_MAX_LAYERS];                   /* by index, as its name has it */
    int n_layers, width;                              /* experts, or columns */
    int64_t n_tokens, row;                            /* row: tokens of each sequence of a batch; 0: none */
    bool layers_first, chosen;                        /* chosen: ids, not scores */
};

struct numbers { /* one of them, as the array's are */
    float *reals;
    int64_t *integers;
};

struct logits {
    struct intake *in;
    const struct request *request;
    struct cube cube;
    struct marks marks;
    struct marked marked;
    enum selection selection;
    bool probabilities, learnt;
    int file, k, most; /* tokens at once */
    int64_t stream;
    struct numbers rows, all; /* of some tokens in one layer, in all of them */
    float *gates;
    int32_t *experts;
};

static bool is_real(enum array_type t)
{
    return t == ARRAY_F16 || t == ARRAY_BF16 || t == ARRAY_F32 || t == ARRAY_F64;
}

static bool is_integer(enum array_type t)
{
    return t != ARRAY_BOOL && t != ARRAY_UNREADABLE && !is_real(t);
}

/* ---- which arrays ---- */

/* The number behind "layer_", "router_logits." and the like; -1: the array is none of a layer's. Numbers that
 * no layer can have are MTP_LAYER. */
static int layer_of(const struct array *x)
{
    static const char *const beginnings[] = {"layer_",         "layer.",       "layers.", "router_logits.",
                                             "router_logits_", "gate_logits.", NULL};
    for (int i = 0; beginnings[i] != NULL; i++) {
        size_t n = strlen(beginnings[i]);
        if (strncmp(x->name, beginnings[i], n) == 0 && isdigit((unsigned char)x->name[n])) {
            long number = strtol(x->name + n, NULL, 10);
            return number < MTP_LAYER ? (int)number : MTP_LAYER;
        }
    }
    return -1;
}

static int add_layer(struct cube *c, const struct array *x, struct error *err)
{
    int last = x->n_dimensions - 1, number = layer_of(x);
    for (int i = 0; i < c->n_layers; i++) {
        if (c->number[i] == number) {
            return error_set(err, STATUS_INPUT, "'%s': '%s' and '%s' are of the same layer", c->path,
                             c->of_layer[i]->name, x->name);
        }
    }
    if (number == MTP_LAYER) {
        return error_set(err, STATUS_INPUT, "'%s': '%s' is of a layer beyond %d", c->path, x->name,
                         MTP_LAYER - 1);
    }
    if (c->n_layers > 0 && is_integer(x->type) != is_integer(c->of_layer[0]->type)) {
        return error_set(err, STATUS_INPUT, "'%s': of '%s' and '%s' one has whole numbers, the other reals",
                         c->path, c->of_layer[0]->name, x->name);
    }
    if (last < 1) {
        return error_set(err, STATUS_INPUT, "'%s': '%s' is not [tokens, experts]", c->path, x->name);
    }
    int64_t n_tokens = x->shape[last] > 0 ? x->count / x->shape[last] : 0;
    if (c->n_layers > 0 && (n_tokens != c->n_tokens || x->shape[last] != c->width)) {
        return error_set(err, STATUS_INPUT,
                         "'%s': '%s' has %lld tokens of %lld, and another layer %lld of %d", c->path, x->name,
                         (long long)n_tokens, (long long)x->shape[last], (long long)c->n_tokens, c->width);
    }
    c->n_tokens = n_tokens;
    c->width = x->shape[last] <= 65536 ? (int)x->shape[last] : 0;
    c->row = last >= 2 ? marks_row(x->shape[last - 1], n_tokens) : 0;
    c->number[c->n_layers] = number;
    c->of_layer[c->n_layers++] = x;
    return 0;
}

static bool is_mark(const struct array *x)
{
    return x->n_dimensions < 3 && (strstr(x->name, "ids") != NULL || strstr(x->name, "mask") != NULL ||
                                   strstr(x->name, "_id") != NULL);
}

/* The order of the first two dimensions is said, or follows from --layers; that of ids is vLLM's. */
static int choose_axes(struct cube *c, const struct request *r, struct error *err)
{
    const int64_t *s = c->whole->shape;
    int last = c->whole->n_dimensions - 1;
    if (r->axes != NULL) {
        const char *want = c->chosen ? "K" : "E";
        if (strlen(r->axes) != 3 || r->axes[2] != *want || strspn(r->axes, "LT") != 2 ||
            r->axes[0] == r->axes[1]) {
            return error_set(err, STATUS_USAGE, "--axes is LT%s or TL%s for '%s', not '%s'", want, want,
                             c->path, r->axes);
        }
        c->layers_first = r->axes[0] == 'L';
    } else if (r->layers > 0 && (s[0] == r->layers) != (s[last - 1] == r->layers)) {
        c->layers_first = s[0] == r->layers;
    } else if (!c->chosen || last == 3) {
        return error_set(
            err, STATUS_USAGE,
            "'%s': are the %lld or the %lld the layers of [%s%lld, %lld, %lld]? pass --axes LT%c "
            "(layers first) or TL%c",
            c->path, (long long)s[0], (long long)s[last - 1], last == 3 ? "batch: " : "", (long long)s[0],
            (long long)s[last - 1], (long long)s[last], c->chosen ? 'K' : 'E', c->chosen ? 'K' : 'E');
    }
    return 0;
}

static int shape_whole(struct cube *c, const struct request *r, struct error *err)
{
    const struct array *x = c->whole;
    int last = x->n_dimensions - 1;
    c->chosen = is_integer(x->type);
    if (last != 2 && last != 3) {
        return error_set(err, STATUS_INPUT, "'%s': an array of %d dimensions, not [layers, tokens, experts]",
                         c->path, x->n_dimensions);
    }
    if (choose_axes(c, r, err) != 0) {
        return -1;
    }
    int64_t layers = x->shape[c->layers_first ? 0 : last - 1], width = x->shape[last];
    if (layers < 1 || layers > MTP_LAYER || width < 1 || width > 65536) {
        return error_set(err, STATUS_INPUT, "'%s': %lld layers of %lld", c->path, (long long)layers,
                         (long long)width);
    }
    c->n_layers = (int)layers;
    c->width = (int)width;
    c->n_tokens = x->count / layers / width;
    c->row = last == 3 ? marks_row(x->shape[c->layers_first ? 2 : 1], c->n_tokens) : 0;
    for (int i = 0; i < c->n_layers; i++) {
        c->number[i] = i;
    }
    return 0;
}

static int find_cube(struct cube *c, const struct request *r, struct error *err)
{
    const struct array *other = NULL;
    for (int i = 0; i < arrays_n(c->arrays); i++) {
        const struct array *x = arrays_at(c->arrays, i);
        if (layer_of(x) >= 0) {
            if (add_layer(c, x, err) != 0) {
                return -1;
            }
        } else if (!is_mark(x) && x->n_dimensions >= 3) {
            other = c->whole != NULL ? c->whole : other;
            c->whole = x;
        }
    }
    if (c->n_layers == 0 && other != NULL) {
        return error_set(
            err, STATUS_INPUT,
            "'%s': which of '%s' and '%s' is it? save one of them, or layers as layer_0, layer_1...", c->path,
            other->name, c->whole->name);
    }
    if (c->n_layers > 0) {
        c->whole = NULL;
        c->chosen = is_integer(c->of_layer[0]->type);
    } else if (c->whole == NULL) {
        return error_set(
            err, STATUS_INPUT,
            "'%s' has no array [layers, tokens, experts], nor any called layer_0 or router_logits.0",
            c->path);
    } else if (shape_whole(c, r, err) != 0) {
        return -1;
    }
    if (c->chosen != (strcmp(r->from, "logits") != 0) && strcmp(r->from, "auto") != 0) {
        return error_set(err, STATUS_INPUT, "'%s' has %s; --from %s reads them", c->path,
                         c->chosen ? "whole numbers" : "reals", c->chosen ? "routed-experts" : "logits");
    }
    return c->n_tokens > 0 && c->width > 0 ? 0 : error_set(err, STATUS_INPUT, "'%s' has no tokens", c->path);
}

/* ---- numbers ---- */

/* Where the row of a token and layer begins. */
static int64_t place(const struct cube *c, int64_t token, int layer)
{
    int64_t row = c->whole == NULL  ? token
                  : c->layers_first ? layer * c->n_tokens + token
                                    : token * c->n_layers + layer;
    return row * c->width;
}

/* Whether a token's layers lie together, so that some tokens are read whole. */
static bool tokens_first(const struct cube *c)
{
    return c->whole != NULL && !c->layers_first;
}

static int read_numbers(struct logits *q, const struct array *x, int64_t at, int64_t n, struct numbers *to,
                        struct error *err)
{
    return q->cube.chosen ? arrays_integers(q->cube.arrays, x, at, n, to->integers, err)
                          : arrays_reals(q->cube.arrays, x, at, n, to->reals, err);
}

/* Takes a layer's rows out of those of all layers. */
static void gather(struct logits *q, int n, int layer)
{
    size_t width = (size_t)q->cube.width, stride = width * (size_t)q->cube.n_layers;
    for (size_t t = 0; t < (size_t)n; t++) {
        size_t from = t * stride + (size_t)layer * width;
        if (q->cube.chosen) {
            memcpy(q->rows.integers + t * width, q->all.integers + from, width * sizeof *q->rows.integers);
        } else {
            memcpy(q->rows.reals + t * width, q->all.reals + from, width * sizeof *q->rows.reals);
        }
    }
}

/* Rows of n tokens of a layer, from `first` on; of arrays with the tokens first, read_tokens_whole comes
 * before. */
static int read_rows(struct logits *q, int64_t first, int n, int layer, struct error *err)
{
    const struct cube *c = &q->cube;
    if (tokens_first(c)) {
        gather(q, n, layer);
        return 0;
    }
    const struct array *x = c->whole != NULL ? c->whole : c->of_layer[layer];
    return read_numbers(q, x, place(c, first, layer), (int64_t)n * c->width, &q->rows, err);
}

static int read_tokens_whole(struct logits *q, int64_t first, int n, struct error *err)
{
    const struct cube *c = &q->cube;
    return tokens_first(c) ? read_numbers(q, c->whole, place(c, first, 0),
                                          (int64_t)n * c->n_layers * c->width, &q->all, err)
                           : 0;
}

static int take_chosen(struct logits *q, const struct marked *m, struct error *err)
{
    int k = q->k;
    for (int i = 0; i < m->n_kept * k; i++) {
        int64_t e = q->rows.integers[(int64_t)m->kept[i / k] * k + i % k];
        if (e < INT32_MIN || e > INT32_MAX) {
            return error_set(err, STATUS_INPUT, "expert %lld", (long long)e);
        }
        q->experts[i] = (int32_t)e;
    }
    return 0;
}

/* ---- files ---- */

/* Leaves padding out. */
static void keep_rows(struct logits *q)
{
    const struct marked *m = &q->marked;
    size_t width = (size_t)q->cube.width;
    for (int i = 0; i < m->n_kept; i++) {
        if (m->kept[i] != i) {
            memmove(q->rows.reals + (size_t)i * width, q->rows.reals + (size_t)m->kept[i] * width,
                    width * sizeof *q->rows.reals);
        }
    }
}

static int learn_k(struct logits *q, struct error *err)
{
    const struct cube *c = &q->cube;
    q->k = c->chosen ? c->width : (int)q->request->topk;
    if (q->k > 0 && q->k <= c->width) {
        return 0;
    }
    return error_set(err, STATUS_USAGE,
                     q->k == 0 ? "'%s' has scores of %d experts: pass --topk, how many a token gets"
                               : "'%s' has scores of %d experts, and --topk says %d",
                     c->path, c->width, q->k);
}

static bool look_like_probabilities(const struct logits *q, int n_kept)
{
    const struct cube *c = &q->cube;
    const struct array *x = c->whole != NULL ? c->whole : c->of_layer[0];
    int n = n_kept < SAMPLE_ROWS ? n_kept : SAMPLE_ROWS;
    return are_probabilities(q->rows.reals, n, c->width, x->type == ARRAY_BF16 ? 5e-3 : 1e-3);
}

/* By the first tokens of the first layer. */
static int learn_kind(struct logits *q, struct error *err)
{
    const struct cube *c = &q->cube;
    q->learnt = true;
    if (c->chosen) {
        return 0;
    }
    if (read_rows(q, q->marked.first, q->marked.n, 0, err) != 0) {
        return -1;
    }
    keep_rows(q);
    q->probabilities = look_like_probabilities(q, q->marked.n_kept);
    if (q->probabilities) {
        intake_finding(q->in, TRAP_PROBABILITIES, RULING_NOTED, "nothing: they are taken as they are",
                       "'%s': rows are not negative and add up to 1: probabilities, not logits", c->path);
    } else if (q->selection == SELECT_UNSAID) {
        return error_set(
            err, STATUS_USAGE,
            "'%s' has logits: pass --select softmax-topk, topk-softmax or sigmoid, as the model chooses",
            c->path);
    }
    if (q->selection == SELECT_SIGMOID) {
        intake_finding(q->in, TRAP_SELECTION_SCORE, RULING_UNKNOWN, "log what was chosen beside the scores",
                       "experts are chosen by their scores alone; a bias that selects is not in the file");
    }
    return 0;
}

static int choose_rows(struct logits *q, const struct marked *m, int layer, struct error *err)
{
    int width = q->cube.width;
    keep_rows(q);
    if (!q->probabilities && m->first == 0 && look_like_probabilities(q, m->n_kept)) {
        return error_set(err, STATUS_INPUT,
                         "layer %d: these are probabilities, and logits in the first layer",
                         q->cube.number[layer]);
    }
    for (int i = 0; i < m->n_kept; i++) {
        float *score = q->rows.reals + (int64_t)i * width;
        if (q->probabilities && is_distribution(score, width, 0.05) < 0) {
            return error_set(err, STATUS_INPUT,
                             "layer %d, token %lld: not a row of probabilities, as the first rows are",
                             q->cube.number[layer], (long long)(m->first + m->kept[i]));
        }
        if (select_experts(q->selection, q->probabilities, score, width, q->k, q->experts + (int64_t)i * q->k,
                           q->gates + (int64_t)i * q->k) != 0) {
            return error_set(err, STATUS_INPUT, "layer %d, token %lld: a score that is not finite",
                             q->cube.number[layer], (long long)(m->first + m->kept[i]));
        }
    }
    return 0;
}

static int give_layer(struct logits *q, int handle, int layer, struct error *err)
{
    const struct cube *c = &q->cube;
    const struct marked *m = &q->marked;
    if (read_rows(q, m->first, m->n, layer, err) != 0 ||
        (c->chosen ? take_chosen(q, m, err) != 0 : choose_rows(q, m, layer, err) != 0)) {
        return -1;
    }
    const struct routed r = {.layer = c->number[layer],
                             .k = q->k,
                             .expert = q->experts,
                             .gate = c->chosen ? NULL : q->gates,
                             .n_experts = c->chosen ? 0 : c->width,
                             .probability = c->chosen ? NULL : q->rows.reals};
    return intake_routing(q->in, handle, &r, err);
}

static int give_tokens(struct logits *q, struct error *err)
{
    const struct marked *m = &q->marked;
    const struct stretch s = {.step = q->request->step,
                              .file = q->file,
                              .n_tokens = m->n_kept,
                              .document = m->document[0] != '\0' ? m->document : NULL,
                              .domain = m->domain[0] != '\0' ? m->domain : NULL,
                              .offset = m->document[0] != '\0' ? m->offset : q->stream,
                              .ids = m->n_ids > 0 ? m->ids : NULL,
                              .n_ids = m->n_ids};
    int handle;
    if (m->n_kept == 0) {
        return 0;
    }
    if (read_tokens_whole(q, m->first, m->n, err) != 0 || (!q->learnt && learn_kind(q, err) != 0) ||
        intake_begin(q->in, &s, &handle, err) != 0) {
        return -1;
    }
    for (int l = 0; l < q->cube.n_layers; l++) {
        if (give_layer(q, handle, l, err) != 0) {
            return -1;
        }
    }
    q->stream += m->document[0] == '\0' ? m->n_kept : 0;
    return intake_flush(q->in, err);
}

static bool reserve_numbers(const struct cube *c, struct numbers *x, size_t n)
{
    if (c->chosen) {
        x->integers = malloc(n * sizeof *x->integers);
    } else {
        x->reals = malloc(n * sizeof *x->reals);
    }
    return x->integers != NULL || x->reals != NULL;
}

/* Tokens at once: a power of two, and alike for all orders of the axes, so that the same texts are cut alike
 * and can be compared. */
static size_t tokens_at_once(const struct cube *c)
{
    size_t row = (size_t)c->width * (size_t)c->n_layers, n = STRETCH_TOKENS;
    while (n > 1 && n * row > AT_ONCE) {
        n /= 2;
    }
    return n;
}

static int reserve(struct logits *q, struct error *err)
{
    const struct cube *c = &q->cube;
    size_t width = (size_t)c->width, row = width * (size_t)c->n_layers;
    size_t n = tokens_at_once(c), k = c->chosen ? width : (size_t)q->request->topk + 1;
    q->most = (int)n;
    q->gates = malloc(n * k * sizeof *q->gates);
    q->experts = malloc(n * k * sizeof *q->experts);
    q->marked.kept = malloc(n * sizeof *q->marked.kept);
    q->marked.ids = malloc((n + 1) * sizeof *q->marked.ids);
    bool there = reserve_numbers(c, &q->rows, n * width) &&
                 (!tokens_first(c) || reserve_numbers(c, &q->all, n * row)) && q->gates && q->experts &&
                 q->marked.kept && q->marked.ids;
    return there ? 0 : error_no_memory(err, "rows of scores");
}

static void release(struct logits *q)
{
    free(q->rows.reals);
    free(q->rows.integers);
    free(q->all.reals);
    free(q->all.integers);
    free(q->gates);
    free(q->experts);
    free(q->marked.kept);
    free(q->marked.ids);
    marks_release(&q->marks);
    arrays_close(q->cube.arrays);
}

static int read_tokens(struct logits *q, struct error *err)
{
    const struct cube *c = &q->cube;
    if (learn_k(q, err) != 0 || reserve(q, err) != 0 ||
        marks_find(&q->marks, c->arrays, q->request, q->file, c->n_tokens, c->row, err) != 0) {
        return -1;
    }
    for (int64_t first = 0; first < q->cube.n_tokens; first += q->marked.n) {
        if (marks_next(&q->marks, first, q->most, &q->marked, err) != 0) {
            return -1;
        }
        if (give_tokens(q, err) != 0) {
            return err != NULL && err->status == STATUS_INPUT ? error_prefix(err, "'%s'", c->path) : -1;
        }
    }
    return 0;
}

static void judge_width(struct logits *q)
{
    const struct array *x = q->cube.whole != NULL ? q->cube.whole : q->cube.of_layer[0];
    if (q->cube.chosen && (x->type == ARRAY_U8 || x->type == ARRAY_I8) &&
        (q->request->experts > 256 || q->request->experts == 0)) {
        intake_finding(q->in, TRAP_NARROW_IDS, q->request->experts > 256 ? RULING_REFUSED : RULING_UNKNOWN,
                       "pass --experts if there are at most 256, else log wider ids",
                       q->request->experts > 256 ? "ids have 8 bits, and --experts says %lld"
                                                 : "ids have 8 bits; how many experts there are is not said",
                       (long long)q->request->experts);
    }
}

static int read_file(struct intake *in, const struct request *r, int file, int64_t *stream, struct error *err)
{
    struct logits q = {
        .in = in, .request = r, .file = file, .stream = *stream, .cube = {.path = r->files[file]}};
    int result = selection_parse(&q.selection, r->select, err);
    if (result == 0) {
        result = arrays_open(&q.cube.arrays, q.cube.path, err);
    }
    if (result == 0) {
        result = find_cube(&q.cube, r, err);
    }
    if (result == 0) {
        judge_width(&q);
        result = read_tokens(&q, err);
    }
    release(&q);
    *stream = q.stream;
    return result;
}

static int read_all(struct intake *in, const struct request *r, struct error *err)
{
    int64_t stream = 0;
    for (int f = 0; f < r->n_files; f++) {
        if (read_file(in, r, f, &stream, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static bool looks(const struct head *h, bool chosen)
{
    struct arrays *a;
    bool is = false;
    if (arrays_open(&a, h->path, NULL) != 0) {
        return false;
    }
    for (int i = 0; i < arrays_n(a) && !is; i++) {
        const struct array *x = arrays_at(a, i);
        is = (layer_of(x) >= 0 || (x->n_dimensions >= 3 && !is_mark(x))) &&
             (chosen ? is_integer(x->type) : is_real(x->type));
    }
    arrays_close(a);
    return is;
}

static bool has_scores(const struct head *h)
{
    return looks(h, false);
}

static bool has_choices(const struct head *h)
{
    return looks(h, true);
}

const struct import_format format_logits = {
    "logits", "router logits or probabilities as npy, npz, safetensors or pt", "probe", has_scores, read_all,
    false};
const struct import_format format_routed = {
    "routed-experts", "chosen experts as npy, npz, safetensors or pt (vLLM)",
    "probe",          has_choices,
    read_all,         false};
