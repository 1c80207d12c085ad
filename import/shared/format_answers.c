/* Answers of servers that were saved, as JSON or JSON lines: routed_experts of vLLM, SGLang and what stands
 * behind them, in all of its packings, and the c4_results.jsonl of OLMoE's analysis.
 * Where in an answer they stand differs from version to version: what counts is the keys, wherever they are.
 * One answer is held at a time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import/shared/answer_rows.h"
#include "import/shared/format.h"
#include "import/shared/seen.h"

enum { MOST_NAME = 512, MOST_DEPTH = 32 };

enum part_kind { PART_PROMPT, PART_ANSWER };

struct part { /* rows of a prompt, or of one choice */
    enum part_kind kind;
    int choice;
    struct answer_rows rows;
};

struct answer {
    char name[MOST_NAME], domain[MOST_NAME]; /* of the members that lie the least deep */
    int name_depth, domain_depth;
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
    struct row_reader reader;
    struct integers block; /* of a layer */
    struct seen names;     /* answers by their names' checksums */
    int64_t told, number;  /* of the answer in its file */
    int file;
};

/* ---- rows ---- */

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
    p->kind = kind;
    p->choice = w->choice;
    return p;
}

static int read_part(struct answers *a, enum part_kind kind, struct error *err)
{
    if (json_null(&a->json)) {
        return 0; /* of an answer that was preempted */
    }
    struct part *p = new_part(a, kind, err);
    return p != NULL ? row_reader_take(&a->reader, &p->rows, err) : -1;
}

static int read_olmoe(struct answers *a, struct error *err)
{
    struct part *p = new_part(a, PART_ANSWER, err);
    return p != NULL ? row_reader_take_slots(&a->reader, &p->rows, err) : -1;
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

/* Of several members of that name the one that lies the least deep counts, and of those the first. */
static int read_name(struct answers *a, char name[MOST_NAME], int *name_depth, int depth, struct error *err)
{
    enum json_kind kind = json_peek(&a->json);
    struct text t;
    int64_t number;
    if ((name[0] != '\0' && *name_depth <= depth) || (kind != JSON_STRING && kind != JSON_NUMBER)) {
        return json_skip(&a->json, err);
    }
    text_init(&t);
    int result = kind == JSON_STRING ? json_string(&a->json, &t, MOST_NAME - 1, err)
                                     : json_integer(&a->json, &number, err);
    if (result == 0 && kind == JSON_NUMBER) {
        text_add_int(&t, number);
    }
    if (result == 0) {
        snprintf(name, MOST_NAME, "%s", t.data);
        *name_depth = depth;
    }
    text_release(&t);
    return result;
}

static int read_start(struct answers *a, const char *key, struct error *err)
{
    int64_t *start = &a->answer.start;
    if (json_integer(&a->json, start, err) != 0) {
        return -1;
    }
    return *start >= 0 && *start <= INT32_MAX
               ? 0
               : input_refuse(&a->input, err, "%s %lld", key, (long long)*start);
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
    if (strcmp(key, "domain") == 0) {
        return read_name(a, w->domain, &w->domain_depth, depth, err);
    }
    if (is(key, names)) {
        return read_name(a, w->name, &w->name_depth, depth, err);
    }
    if (strcmp(key, "routed_experts_prompt_start") == 0 || strcmp(key, "routed_experts_start_len") == 0) {
        return json_null(&a->json) ? 0 : read_start(a, key, err);
    }
    enum json_kind kind = depth < MOST_DEPTH ? json_peek(&a->json) : JSON_END;
    return kind == JSON_OBJECT  ? read_object(a, depth, err)
           : kind == JSON_ARRAY ? read_array(a, key, depth, err)
                                : json_skip(&a->json, err);
}

/* ---- an answer as stretches ---- */

static int give_rows(struct answers *a, const struct answer_rows *rows, int handle, int64_t first, int n,
                     struct error *err)
{
    size_t k = (size_t)rows->k, row = (size_t)rows->n_layers * k;
    if (integers_reserve(&a->block, (int64_t)n * rows->k + 1, err) != 0) {
        return -1;
    }
    for (int l = 0; l < rows->n_layers; l++) {
        for (int t = 0; t < n; t++) {
            memcpy(a->block.items + (size_t)t * k,
                   rows->experts.items + ((size_t)first + (size_t)t) * row + (size_t)l * k,
                   k * sizeof *a->block.items);
        }
        const struct routed r = {.layer = l, .k = rows->k, .expert = a->block.items};
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

static int give_part(struct answers *a, const struct answer_rows *rows, int64_t start, const char *name,
                     bool with_ids, struct error *err)
{
    const struct answer *w = &a->answer;
    for (int64_t first = 0; first < rows->n; first += STRETCH_TOKENS) {
        int64_t n = rows->n - first < STRETCH_TOKENS ? rows->n - first : STRETCH_TOKENS;
        int64_t at = start + first, ids = with_ids ? w->prompt_ids.n - at : 0;
        const struct stretch s = {.step = a->request->step,
                                  .file = a->file,
                                  .n_tokens = (int)n,
                                  .document = name,
                                  .listed = w->name[0] != '\0' ? w->name : NULL,
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
        if (give_rows(a, rows, handle, first, (int)n, err) != 0) {
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

/* Documents have names of their own: of equal ones the second is "NAME (2)". */
static int name_document(struct answers *a, const char *wanted, char *name, size_t size, struct error *err)
{
    int64_t *times, n;
    snprintf(name, size, "%s", wanted);
    if (seen_find_name(&a->names, name, &times, err) != 0) {
        return -1;
    }
    for (n = ++*times; *times > 1; n++) {
        snprintf(name, size, "%s (%lld)", wanted, (long long)n);
        if (seen_find_name(&a->names, name, &times, err) != 0) {
            return -1;
        }
        ++*times;
    }
    return 0;
}

/* An answer without a name has its number. */
static void name_answer(const struct answers *a, char *name, size_t size)
{
    char base[MOST_NAME];
    if (a->answer.name[0] != '\0') {
        snprintf(name, size, "%s", a->answer.name);
        return;
    }
    request_file_name(a->request, a->file, base, sizeof base);
    snprintf(name, size, "%s:%lld", base, (long long)a->number);
}

static int give_answer(struct answers *a, struct error *err)
{
    struct answer *w = &a->answer;
    const struct part *prompt = prompt_of(w);
    int64_t behind = prompt != NULL ? prompt->rows.n : w->start;
    char wanted[MOST_NAME + 64], answer[sizeof wanted], choice[sizeof wanted];
    name_answer(a, wanted, sizeof wanted);
    if (join_ids(w, err) != 0 || name_document(a, wanted, answer, sizeof answer, err) != 0) {
        return -1;
    }
    for (int i = 0; i < w->n_parts; i++) {
        const struct part *p = &w->parts[i];
        int64_t start = p->kind == PART_PROMPT ? 0 : behind;
        bool whole = w->n_choices <= 1, own = !whole && p->kind == PART_ANSWER;
        bool with_ids = whole && p->kind == PART_ANSWER
                            ? ids_fit(a, start + p->rows.n)
                            : whole && w->prompt_ids.n >= p->rows.n && p->rows.n > 0;
        snprintf(wanted, sizeof wanted, "%.*s#%d", MOST_NAME + 32, answer, p->choice);
        if ((own && name_document(a, wanted, choice, sizeof choice, err) != 0) ||
            give_part(a, &p->rows, start, own ? choice : answer, with_ids, err) != 0) {
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
    if (a->reader.narrow && (a->request->experts > 256 || a->request->experts == 0)) {
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
    a.reader = (struct row_reader){.json = &a.json, .input = &a.input, .layers = r->layers, .topk = r->topk};
    for (; a.file < r->n_files && result == 0; a.file++) {
        result = read_file(&a, r->files[a.file], err);
    }
    if (result == 0) {
        judge_width(&a);
    }
    for (int i = 0; i < a.answer.capacity; i++) {
        integers_release(&a.answer.parts[i].rows.experts);
    }
    free(a.answer.parts);
    integers_release(&a.answer.prompt_ids);
    integers_release(&a.answer.ids);
    integers_release(&a.block);
    seen_release(&a.names);
    row_reader_release(&a.reader);
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
    "answers", "saved API answers with vLLM's or SGLang's routed_experts", "probe", is_answer, read_answers,
    false};
const struct import_format format_olmoe = {
    "olmoe", "c4_results.jsonl of OLMoE's run_moe_analysis.py", "probe", is_olmoe, read_answers, false};
