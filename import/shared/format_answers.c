/* Answers of servers that were saved, as JSON or JSON lines: vLLM's routed_experts (nested lists, or base64
 * of an .npy), SGLang's (base64 of int32 without a header), and the c4_results.jsonl of OLMoE's analysis.
 * Where in an answer they stand differs from version to version: what counts is the keys, wherever they are.
 * One answer is held at a time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import/shared/arrays.h"
#include "import/shared/base64.h"
#include "import/shared/format.h"
#include "import/shared/json.h"

enum { MOST_NAME = 512, MOST_DEPTH = 32 };

enum part_kind { PART_PROMPT, PART_ANSWER };

struct part { /* rows of a prompt, or of one choice */
    enum part_kind kind;
    int choice;
    int n_layers, k;
    int64_t n_rows, start; /* the token that row 0 is of */
    struct integers rows;  /* (n_rows, n_layers, k) */
};

struct answer {
    char name[MOST_NAME], domain[MOST_NAME];
    struct part *parts;
    int n_parts, capacity; /* parts keep their memory */
    struct integers prompt_ids, ids;
    int64_t start;
    int choice, n_choices;
};

struct answers {
    struct intake *in;
    const struct request *request;
    struct input input;
    struct json json;
    struct answer answer;
    struct base64 base64;
    struct integers block; /* of a layer */
    int64_t told, number;  /* of the answer in its file */
    int file;
    bool narrow;
};

/* ---- rows out of lists ---- */

static struct part *new_part(struct answers *a, enum part_kind kind, struct error *err)
{
    struct answer *w = &a->answer;
    if (w->n_parts == w->capacity) {
        int capacity = w->capacity > 0 ? 2 * w->capacity : 4;
        struct part *parts = realloc(w->parts, (size_t)capacity * sizeof *parts);
        if (parts == NULL) {
            (void)error_no_memory(err, "an answer");
            return NULL;
        }
        memset(parts + w->capacity, 0, (size_t)(capacity - w->capacity) * sizeof *parts);
        w->parts = parts;
        w->capacity = capacity;
    }
    struct part *p = &w->parts[w->n_parts++];
    *p = (struct part){.kind = kind, .choice = w->choice, .rows = p->rows};
    p->rows.n = 0;
    return p;
}

/* [[[k numbers] for each layer] for each token] */
static int read_lists(struct answers *a, struct part *p, struct error *err)
{
    struct json *j = &a->json;
    int64_t layers;
    int more;
    if (json_enter(j, JSON_ARRAY, "a list of tokens", err) != 0) {
        return -1;
    }
    while ((more = json_item(j, err)) == 1) {
        if (json_integer_rows(j, &p->rows, &p->k, &layers, err) != 0) {
            return -1;
        }
        if (p->n_rows++ == 0) {
            p->n_layers = (int)layers;
        }
        if (layers != p->n_layers || layers == 0) {
            return input_refuse(&a->input, err, "token %lld has %lld layers, not %d",
                                (long long)p->n_rows - 1, (long long)layers, p->n_layers);
        }
    }
    return more;
}

/* ---- rows out of base64 ---- */

static int take_base64(void *context, const char *bytes, size_t n, struct error *err)
{
    return base64_add(context, bytes, n, err);
}

static int shape_part(struct answers *a, struct part *p, int64_t n_rows, int64_t n_layers, int64_t k,
                      struct error *err)
{
    if (n_rows < 0 || n_layers < 1 || n_layers > MTP_LAYER || k < 1 || k > INT16_MAX ||
        n_rows > INT32_MAX / (n_layers * k)) {
        return input_refuse(&a->input, err, "routed_experts of %lld tokens, %lld layers, %lld columns",
                            (long long)n_rows, (long long)n_layers, (long long)k);
    }
    p->n_rows = n_rows;
    p->n_layers = (int)n_layers;
    p->k = (int)k;
    p->rows.n = 0;
    return integers_reserve(&p->rows, n_rows * n_layers * k + 1, err);
}

static int copy_array(struct arrays *npy, const struct array *x, struct part *p, struct error *err)
{
    int64_t buffer[4096];
    for (int64_t at = 0; at < x->count; at += 4096) {
        int64_t n = x->count - at < 4096 ? x->count - at : 4096;
        if (arrays_integers(npy, x, at, n, buffer, err) != 0) {
            return -1;
        }
        for (int64_t i = 0; i < n; i++) {
            if (buffer[i] < INT32_MIN || buffer[i] > INT32_MAX) {
                return error_set(err, STATUS_INPUT, "expert %lld", (long long)buffer[i]);
            }
            p->rows.items[p->rows.n++] = (int32_t)buffer[i];
        }
    }
    return 0;
}

static int read_npy(struct answers *a, struct part *p, struct error *err)
{
    struct arrays *npy;
    if (arrays_open_memory(&npy, a->base64.bytes, a->base64.n, "routed_experts", err) != 0) {
        return input_place(&a->input, err);
    }
    const struct array *x = arrays_n(npy) == 1 ? arrays_at(npy, 0) : NULL;
    int result = x == NULL || x->n_dimensions != 3
                     ? input_refuse(&a->input, err, "routed_experts is not an array of three dimensions")
                     : shape_part(a, p, x->shape[0], x->shape[1], x->shape[2], err);
    if (result == 0) {
        a->narrow = a->narrow || x->type == ARRAY_U8;
        result = copy_array(npy, x, p, err) == 0 ? 0 : input_place(&a->input, err);
    }
    arrays_close(npy);
    return result;
}

static int32_t little_endian(const uint8_t *b, int width, bool is_signed)
{
    uint32_t value = 0;
    for (int i = 0; i < width; i++) {
        value |= (uint32_t)b[i] << (8 * i);
    }
    return is_signed && width == 2 ? (int16_t)value : (int32_t)value;
}

static int read_raw(struct answers *a, struct part *p, size_t width, bool is_signed, int64_t n_rows,
                    int64_t n_layers, int64_t k, struct error *err)
{
    if (shape_part(a, p, n_rows, n_layers, k, err) != 0) {
        return -1;
    }
    for (int64_t i = 0; i < n_rows * n_layers * k; i++) {
        p->rows.items[p->rows.n++] =
            little_endian(a->base64.bytes + (size_t)i * width, (int)width, is_signed);
    }
    return 0;
}

/* SGLang sends numbers without a header: how many layers and columns they are must be said. */
static int read_headless(struct answers *a, struct part *p, struct error *err)
{
    int64_t layers = a->request->layers, k = a->request->topk;
    if (layers == 0 || k == 0) {
        return input_refuse(&a->input, err,
                            "routed_experts of %zu bytes without a header; pass --layers and --topk",
                            a->base64.n);
    }
    if (a->base64.n % ((size_t)(4 * layers * k)) != 0) {
        return input_refuse(
            &a->input, err,
            "routed_experts has %zu bytes, which are no int32 of %lld layers and %lld columns", a->base64.n,
            (long long)layers, (long long)k);
    }
    return read_raw(a, p, 4, true, (int64_t)(a->base64.n / (size_t)(4 * layers * k)), layers, k, err);
}

static int read_base64(struct answers *a, struct part *p, struct error *err)
{
    base64_clear(&a->base64);
    if (json_string_pieces(&a->json, take_base64, &a->base64, err) != 0 ||
        base64_finish(&a->base64, err) != 0) {
        return err != NULL && strchr(err->text, '\'') != NULL ? -1 : input_place(&a->input, err);
    }
    bool npy = a->base64.n > 6 && memcmp(a->base64.bytes, "\x93NUMPY", 6) == 0;
    return npy ? read_npy(a, p, err) : read_headless(a, p, err);
}

static int read_part(struct answers *a, enum part_kind kind, struct error *err)
{
    if (json_null(&a->json)) {
        return 0; /* of an answer that was preempted */
    }
    struct part *p = new_part(a, kind, err);
    if (p == NULL) {
        return -1;
    }
    return json_peek(&a->json) == JSON_STRING ? read_base64(a, p, err) : read_lists(a, p, err);
}

/* OLMoE's lists have the layers innermost: [[[layers] for each slot] for each token]. */
static int read_olmoe(struct answers *a, struct error *err)
{
    struct part *p = new_part(a, PART_ANSWER, err);
    if (p == NULL || read_lists(a, p, err) != 0) {
        return -1;
    }
    int k = p->n_layers, n_layers = p->k, row = k * n_layers;
    a->block.n = 0;
    if (integers_reserve(&a->block, row + 1, err) != 0) {
        return -1;
    }
    for (int64_t t = 0; t < p->n_rows; t++) {
        int32_t *e = p->rows.items + t * row;
        memcpy(a->block.items, e, (size_t)row * sizeof *e);
        for (int i = 0; i < row; i++) {
            e[i % n_layers * k + i / n_layers] = a->block.items[i];
        }
    }
    p->n_layers = n_layers;
    p->k = k;
    return 0;
}

/* ---- members ---- */

static int read_ids(struct answers *a, struct integers *ids, struct error *err)
{
    if (json_peek(&a->json) != JSON_ARRAY) {
        return json_skip(&a->json, err);
    }
    ids->n = 0;
    return json_integers(&a->json, ids, err);
}

static int read_name(struct answers *a, char name[MOST_NAME], struct error *err)
{
    struct text t;
    if (json_peek(&a->json) != JSON_STRING) {
        return json_skip(&a->json, err);
    }
    text_init(&t);
    int result = json_string(&a->json, &t, MOST_NAME - 1, err);
    if (name[0] == '\0') {
        snprintf(name, MOST_NAME, "%s", t.data);
    }
    text_release(&t);
    return result;
}

static bool is(const char *key, const char *const *names)
{
    while (*names != NULL && strcmp(*names, key) != 0) {
        names++;
    }
    return *names != NULL;
}

static int read_value(struct answers *a, const char *key, int depth, struct error *err);

/* An object of the answer, whichever; each of `choices` is a choice. */
static int read_object(struct answers *a, int depth,
                       struct error *err) /* NOLINT(misc-no-recursion): MOST_DEPTH */
{
    char key[JSON_KEY];
    int more =
        json_enter(&a->json, JSON_OBJECT, "an answer {...}", err) != 0 ? -1 : json_key(&a->json, key, err);
    for (; more == 1; more = json_key(&a->json, key, err)) {
        if (read_value(a, key, depth + 1, err) != 0) {
            return -1;
        }
    }
    return more;
}

static int read_array(struct answers *a, const char *key, int depth,
                      struct error *err) /* NOLINT(misc-no-recursion) */
{
    int more;
    bool choices = strcmp(key, "choices") == 0;
    if (json_enter(&a->json, JSON_ARRAY, "a list", err) != 0) {
        return -1;
    }
    while ((more = json_item(&a->json, err)) == 1) {
        if (choices) {
            a->answer.choice = a->answer.n_choices++;
        }
        if (json_peek(&a->json) == JSON_OBJECT ? read_object(a, depth + 1, err) != 0
                                               : json_skip(&a->json, err) != 0) {
            return -1;
        }
    }
    return more;
}

static int read_value(struct answers *a, const char *key, int depth,
                      struct error *err) /* NOLINT(misc-no-recursion) */
{
    static const char *const prompts[] = {"prompt_token_ids", "input_ids", NULL},
                             *const outputs[] = {"token_ids", "output_ids", "output_token_ids", NULL},
                             *const names[] = {"id", "request_id", "document", NULL};
    struct answer *w = &a->answer;
    if (strcmp(key, "routed_experts") == 0 || strcmp(key, "prompt_routed_experts") == 0) {
        return read_part(a, *key == 'p' ? PART_PROMPT : PART_ANSWER, err);
    }
    if (strcmp(key, "exp_ids") == 0) {
        return read_olmoe(a, err);
    }
    if (is(key, prompts) || is(key, outputs)) {
        return read_ids(a, is(key, prompts) ? &w->prompt_ids : &w->ids, err);
    }
    if (is(key, names) || strcmp(key, "domain") == 0) {
        return read_name(a, *key == 'd' && key[2] == 'm' ? w->domain : w->name, err);
    }
    if (strcmp(key, "routed_experts_prompt_start") == 0 || strcmp(key, "routed_experts_start_len") == 0) {
        return json_null(&a->json) ? 0 : json_integer(&a->json, &w->start, err);
    }
    enum json_kind kind = depth < MOST_DEPTH ? json_peek(&a->json) : JSON_END;
    return kind == JSON_OBJECT  ? read_object(a, depth, err)
           : kind == JSON_ARRAY ? read_array(a, key, depth, err)
                                : json_skip(&a->json, err);
}

/* ---- an answer as stretches ---- */

static int give_rows(struct answers *a, const struct part *p, int handle, int64_t first, int n,
                     struct error *err)
{
    size_t row = (size_t)p->n_layers * (size_t)p->k;
    if (integers_reserve(&a->block, (int64_t)n * p->k + 1, err) != 0) {
        return -1;
    }
    for (int l = 0; l < p->n_layers; l++) {
        for (int t = 0; t < n; t++) {
            memcpy(a->block.items + (size_t)t * (size_t)p->k,
                   p->rows.items + ((size_t)first + (size_t)t) * row + (size_t)l * (size_t)p->k,
                   (size_t)p->k * sizeof *a->block.items);
        }
        const struct routed r = {.layer = l, .k = p->k, .expert = a->block.items};
        if (intake_routing(a->in, handle, &r, err) != 0) {
            return input_place(&a->input, err);
        }
    }
    return 0;
}

/* The ids of all tokens of a part's document, those of the prompt first; moved together on demand. */
static int join_ids(struct answer *w, struct error *err)
{
    if (integers_reserve(&w->prompt_ids, w->ids.n, err) != 0) {
        return -1;
    }
    if (w->ids.n > 0) {
        memcpy(w->prompt_ids.items + w->prompt_ids.n, w->ids.items, (size_t)w->ids.n * sizeof *w->ids.items);
    }
    w->prompt_ids.n += w->ids.n;
    w->ids.n = 0;
    return 0;
}

/* The last row may be of the last id or of the one before it. */
static bool ids_fit(struct answers *a, int64_t end)
{
    const struct answer *w = &a->answer;
    int64_t n = w->prompt_ids.n;
    if (n == 0 || end == n || end + 1 == n) {
        return n > 0;
    }
    intake_finding(
        a->in, TRAP_ROWS_AND_TOKENS, RULING_REFUSED,
        "save prompt_token_ids and token_ids with the answer (return_token_ids); --accept rows-and-tokens "
        "leaves ids out",
        "'%s' line %lld: rows of tokens up to %lld, and %lld ids", a->input.path, (long long)a->input.line,
        (long long)end, (long long)n);
    return false;
}

static int give_part(struct answers *a, const struct part *p, int64_t start, const char *name, bool with_ids,
                     struct error *err)
{
    const struct answer *w = &a->answer;
    for (int64_t first = 0; first < p->n_rows; first += STRETCH_TOKENS) {
        int64_t n = p->n_rows - first < STRETCH_TOKENS ? p->n_rows - first : STRETCH_TOKENS;
        int64_t at = start + first, ids = with_ids ? w->prompt_ids.n - at : 0;
        const struct stretch s = {.step = a->request->step,
                                  .file = a->file,
                                  .n_tokens = (int)n,
                                  .document = name,
                                  .domain = w->domain[0] != '\0' ? w->domain : NULL,
                                  .offset = at,
                                  .ids = ids > 0 ? w->prompt_ids.items + at : NULL,
                                  .n_ids = ids > n   ? (int)n + 1
                                           : ids > 0 ? (int)ids
                                                     : 0};
        int handle;
        if (intake_begin(a->in, &s, &handle, err) != 0) {
            return input_place(&a->input, err);
        }
        if (give_rows(a, p, handle, first, (int)n, err) != 0) {
            return -1;
        }
        if (intake_held(a->in) > HELD_DECISIONS / 4 && intake_flush(a->in, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static const struct part *prompt_of(const struct answer *w)
{
    for (int i = 0; i < w->n_parts; i++) {
        if (w->parts[i].kind == PART_PROMPT) {
            return &w->parts[i];
        }
    }
    return NULL;
}

static int give_answer(struct answers *a, struct error *err)
{
    struct answer *w = &a->answer;
    const struct part *prompt = prompt_of(w);
    int64_t behind = prompt != NULL ? prompt->n_rows : w->start;
    char name[MOST_NAME + 32], base[256];
    request_base_name(a->input.path, base, sizeof base);
    if (join_ids(w, err) != 0) {
        return -1;
    }
    for (int i = 0; i < w->n_parts; i++) {
        const struct part *p = &w->parts[i];
        int64_t start = p->kind == PART_PROMPT ? 0 : behind;
        snprintf(name, sizeof name, "%s", w->name);
        if (w->name[0] == '\0') {
            snprintf(name, sizeof name, "%s:%lld", base, (long long)a->number);
        }
        if (w->n_choices > 1 && p->kind == PART_ANSWER) {
            size_t at = strlen(name);
            snprintf(name + at, sizeof name - at, "#%d", p->choice);
        }
        bool whole = w->n_choices <= 1;
        bool with_ids = whole && p->kind == PART_ANSWER
                            ? ids_fit(a, start + p->n_rows)
                            : whole && w->prompt_ids.n >= p->n_rows && p->n_rows > 0;
        if (give_part(a, p, start, name, with_ids, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- files ---- */

static void forget(struct answer *w)
{
    w->name[0] = w->domain[0] = '\0';
    w->n_parts = w->choice = w->n_choices = 0;
    w->prompt_ids.n = w->ids.n = w->start = 0;
}

static int read_document(struct answers *a, int depth,
                         struct error *err) /* NOLINT(misc-no-recursion): two deep */
{
    int more;
    if (json_peek(&a->json) != JSON_ARRAY || depth > 0) {
        forget(&a->answer);
        if (read_object(a, 0, err) != 0 || give_answer(a, err) != 0) {
            return -1;
        }
        a->number++;
        intake_progress(a->in, a->input.n_read - a->told);
        a->told = a->input.n_read;
        return 0;
    }
    if (json_enter(&a->json, JSON_ARRAY, "a list of answers", err) != 0) {
        return -1;
    }
    while ((more = json_item(&a->json, err)) == 1) {
        if (read_document(a, depth + 1, err) != 0) {
            return -1;
        }
    }
    return more;
}

static int read_file(struct answers *a, const char *path, struct error *err)
{
    int more;
    if (input_open(&a->input, path, err) != 0) {
        return -1;
    }
    json_start(&a->json, &a->input);
    a->told = a->number = 0;
    while ((more = json_document(&a->json, err)) == 1) {
        if (read_document(a, 0, err) != 0) {
            more = -1;
            break;
        }
    }
    input_close(&a->input);
    return more;
}

static void judge_width(struct answers *a)
{
    if (a->narrow && (a->request->experts > 256 || a->request->experts == 0)) {
        intake_finding(a->in, TRAP_NARROW_IDS, a->request->experts > 256 ? RULING_REFUSED : RULING_UNKNOWN,
                       "pass --experts if there are at most 256, else log wider ids",
                       a->request->experts > 256 ? "ids have 8 bits, and --experts says %lld"
                                                 : "ids have 8 bits; how many experts there are is not said",
                       (long long)a->request->experts);
    }
}

static int read_answers(struct intake *in, const struct request *r, struct error *err)
{
    struct answers a = {.in = in, .request = r, .input = {.file = -1}};
    int result = 0;
    for (; a.file < r->n_files && result == 0; a.file++) {
        result = read_file(&a, r->files[a.file], err);
    }
    if (result == 0) {
        judge_width(&a);
    }
    for (int i = 0; i < a.answer.capacity; i++) {
        integers_release(&a.answer.parts[i].rows);
    }
    free(a.answer.parts);
    integers_release(&a.answer.prompt_ids);
    integers_release(&a.answer.ids);
    integers_release(&a.block);
    base64_release(&a.base64);
    return result;
}

static bool is_olmoe(const struct head *h)
{
    return head_begins(h, "{") && head_has(h, "\"exp_ids\"");
}

static bool is_answer(const struct head *h)
{
    return (head_begins(h, "{") || head_begins(h, "[")) && head_has(h, "routed_experts\"");
}

const struct import_format format_answers = {
    "answers", "saved API answers with vLLM's or SGLang's routed_experts", "probe", is_answer, read_answers};
const struct import_format format_olmoe = {"olmoe", "c4_results.jsonl of OLMoE's run_moe_analysis.py",
                                           "probe", is_olmoe, read_answers};
