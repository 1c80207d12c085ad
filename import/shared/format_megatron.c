/* Megatron-Core: router_trace_rank{r}.jsonl, a line a layer and micro-batch with the experts of every token,
 * and tokens_per_expert/rank{r}.jsonl, which counts. Files of several ranks are read side by side, step by
 * step. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "import/shared/format.h"
#include "import/shared/json.h"
#include "sql/logbook.h"

enum { WORTH_WRITING = 1 << 18 /* decisions */ };

enum { MTP_BLOCKS = 8 }; /* and layers of each */

struct record { /* a line */
    int64_t step, layer, mtp, n_tokens, topk;
    bool is_mtp, has_step, has_layer, has_rows;
    int width;      /* of its rows: columns, or experts of the rank */
    int64_t n_rows; /* tokens, or micro-batches */
    struct integers rows;
};

struct micro_batch {
    int handle; /* -1: none, or it was let go */
    int n_tokens, n_layers;
    int64_t offset;
};

/* A layer's n-th record of a step is of the step's n-th micro-batch. */
struct micro_batches {
    struct micro_batch *items;
    int n, capacity;
};

struct rank {
    struct input input;
    struct json json;
    struct record record; /* that comes next */
    bool more;
    int64_t told;                 /* bytes that the progress bar knows of */
    int seen[LOGBOOK_MAX_LAYERS]; /* records of each layer in this step */
    struct micro_batches batches;
    struct {
        int64_t layers[MTP_BLOCKS]; /* their numbers in the file */
        int n;
    } mtp[MTP_BLOCKS];
};

struct megatron {
    struct intake *in;
    const struct request *request;
    struct rank *ranks;
    int n_ranks, incomplete;
    int owner[LOGBOOK_MAX_LAYERS]; /* --ranks layers: 1 + the rank that has the layer */
    int64_t step, offset;          /* of the next token in the stream */
    int64_t *count;                /* (n_experts) of a micro-batch */
    int n_experts;
};

/* ---- lines ---- */

static int read_word(struct json *j, const char *word, bool *is, struct error *err)
{
    struct text t;
    text_init(&t);
    int result = json_string(j, &t, JSON_KEY, err);
    *is = strcmp(t.data, word) == 0;
    text_release(&t);
    return result;
}

static int read_member(struct rank *rank, const char *key, struct error *err)
{
    struct json *j = &rank->json;
    struct record *r = &rank->record;
    if (strcmp(key, "step") == 0 || strcmp(key, "iter") == 0) {
        r->has_step = true;
        return json_integer(j, &r->step, err);
    }
    if (strcmp(key, "layer") == 0) {
        r->has_layer = true;
        return json_integer(j, &r->layer, err);
    }
    if (strcmp(key, "block") == 0) {
        return read_word(j, "mtp", &r->is_mtp, err);
    }
    if (strcmp(key, "top_indices") == 0 || strcmp(key, "tpe") == 0) {
        r->has_rows = true;
        return json_integer_rows(j, &r->rows, &r->width, &r->n_rows, err);
    }
    int64_t *number = strcmp(key, "num_tokens") == 0 ? &r->n_tokens
                      : strcmp(key, "topk") == 0     ? &r->topk
                      : strcmp(key, "mtp_idx") == 0  ? &r->mtp
                                                     : NULL;
    return number != NULL && !json_null(j) ? json_integer(j, number, err)
           : number != NULL                ? 0
                                           : json_skip(j, err);
}

/* A block that predicts further tokens may have several layers, and need not say which block it is: each
 * layer of a block gets a number of its own. */
static int64_t mtp_layer(struct rank *rank)
{
    const struct record *r = &rank->record;
    int block = r->mtp >= 0 && r->mtp < MTP_BLOCKS ? (int)r->mtp : 0, n = 0;
    while (n < rank->mtp[block].n && rank->mtp[block].layers[n] != r->layer) {
        n++;
    }
    if (n == MTP_BLOCKS || r->mtp >= MTP_BLOCKS) {
        return LOGBOOK_MAX_LAYERS; /* which is refused */
    }
    rank->mtp[block].layers[n] = r->layer;
    rank->mtp[block].n = n == rank->mtp[block].n ? n + 1 : rank->mtp[block].n;
    return MTP_LAYER + block + (int64_t)n * MTP_BLOCKS;
}

static int check_record(struct rank *rank, struct error *err)
{
    struct record *r = &rank->record;
    const struct input *in = &rank->input;
    if (!r->has_step || !r->has_layer || !r->has_rows) {
        return input_refuse(in, err, "no %s",
                            !r->has_step    ? "step"
                            : !r->has_layer ? "layer"
                                            : "rows of experts (top_indices, tpe)");
    }
    if (r->n_tokens >= 0 && r->n_tokens != r->n_rows) {
        return input_refuse(in, err, "num_tokens is %lld, and top_indices has %lld rows",
                            (long long)r->n_tokens, (long long)r->n_rows);
    }
    if (r->n_rows == 0) {
        return 0;
    }
    if (r->topk >= 0 && r->topk != r->width) {
        return input_refuse(in, err, "topk is %lld, and top_indices has %d columns", (long long)r->topk,
                            r->width);
    }
    if (r->n_rows > INT32_MAX / r->width) {
        return input_refuse(in, err, "a micro-batch of %lld tokens", (long long)r->n_rows);
    }
    r->layer = r->is_mtp ? mtp_layer(rank) : r->layer;
    if (r->layer < 0 || r->layer >= LOGBOOK_MAX_LAYERS || r->step < 0) {
        return input_refuse(in, err, "layer %lld of step %lld", (long long)r->layer, (long long)r->step);
    }
    return 0;
}

static int next_record(struct megatron *m, struct rank *rank, struct error *err)
{
    struct record *r = &rank->record;
    char key[JSON_KEY];
    intake_progress(m->in, rank->input.n_read - rank->told);
    rank->told = rank->input.n_read;
    int more = json_document(&rank->json, err);
    rank->more = more == 1;
    if (more != 1) {
        return more;
    }
    *r = (struct record){.mtp = -1, .n_tokens = -1, .topk = -1, .rows = r->rows};
    r->rows.n = 0;
    more = json_enter(&rank->json, JSON_OBJECT, "a record {...}", err) != 0 ? -1
                                                                            : json_key(&rank->json, key, err);
    for (; more == 1; more = json_key(&rank->json, key, err)) {
        if (read_member(rank, key, err) != 0) {
            return -1;
        }
    }
    return more == 0 ? check_record(rank, err) : -1;
}

/* ---- ranks ---- */

static int number_of(const struct rank *rank)
{
    return rank->seen[rank->record.layer];
}

/* The rank to go on with: that of the smallest step; where ranks hold layers of the same tokens, that of the
 * micro-batch which is the least complete. */
static struct rank *choose(struct megatron *m)
{
    struct rank *best = NULL;
    for (int i = 0; i < m->n_ranks; i++) {
        struct rank *rank = &m->ranks[i];
        if (rank->more && (best == NULL || rank->record.step < best->record.step ||
                           (m->request->ranks == RANKS_LAYERS && rank->record.step == best->record.step &&
                            number_of(rank) < number_of(best)))) {
            best = rank;
        }
    }
    return best;
}

static void forget_handles(struct megatron *m)
{
    for (int i = 0; i < m->n_ranks; i++) {
        for (int b = 0; b < m->ranks[i].batches.n; b++) {
            m->ranks[i].batches.items[b].handle = -1;
        }
    }
    m->incomplete = 0;
}

static int begin_step(struct megatron *m, int64_t step, struct error *err)
{
    if (step == m->step) {
        return 0;
    }
    m->step = step;
    m->incomplete = 0;
    for (int i = 0; i < m->n_ranks; i++) {
        m->ranks[i].batches.n = 0;
        memset(m->ranks[i].seen, 0, sizeof m->ranks[i].seen);
    }
    return intake_flush(m->in, err);
}

/* ---- choices ---- */

static struct micro_batch *batch_at(struct micro_batches *b, int number, struct error *err)
{
    if (b->n == b->capacity) {
        int capacity = b->capacity > 0 ? 2 * b->capacity : 16;
        struct micro_batch *items = realloc(b->items, (size_t)capacity * sizeof *items);
        if (items == NULL) {
            (void)error_no_memory(err, "micro-batches");
            return NULL;
        }
        b->items = items;
        b->capacity = capacity;
    }
    if (number == b->n) {
        b->items[b->n++] = (struct micro_batch){.handle = -1};
    }
    return &b->items[number];
}

static int open_batch(struct megatron *m, const struct rank *rank, struct micro_batch *b, struct error *err)
{
    const struct record *r = &rank->record;
    bool again = b->n_tokens > 0;
    if (again && b->n_tokens != r->n_rows) {
        return input_refuse(&rank->input, err,
                            "layer %lld has %lld tokens, and another layer of its micro-batch %d",
                            (long long)r->layer, (long long)r->n_rows, b->n_tokens);
    }
    if (b->handle >= 0) {
        return 0;
    }
    b->offset = again ? b->offset : m->offset;
    b->n_tokens = (int)r->n_rows;
    m->offset += again ? 0 : r->n_rows;
    m->incomplete++;
    const struct stretch s = {.step = r->step,
                              .file = (int)(rank - m->ranks),
                              .n_tokens = b->n_tokens,
                              .offset = b->offset,
                              .again = again};
    return intake_begin(m->in, &s, &b->handle, err) == 0 ? 0 : input_place(&rank->input, err);
}

/* What is complete may be written; what is too much must be. */
static int let_go(struct megatron *m, struct error *err)
{
    int64_t held = intake_held(m->in);
    if (intake_writes(m->in) && ((m->incomplete == 0 && held > WORTH_WRITING) || held > HELD_DECISIONS)) {
        forget_handles(m);
        return intake_flush(m->in, err);
    }
    return 0;
}

static int give_choices(struct megatron *m, struct rank *rank, struct error *err)
{
    const struct record *r = &rank->record;
    if (r->n_rows == 0) {
        return 0; /* a micro-batch of no tokens, in every layer */
    }
    bool shared = m->request->ranks == RANKS_LAYERS;
    int *owner = &m->owner[r->layer], number = (int)(rank - m->ranks);
    *owner = *owner == 0 ? number + 1 : *owner;
    if (shared && *owner != number + 1) {
        return input_refuse(&rank->input, err,
                            "layer %lld is in '%s' as well, and --ranks layers says that each has its own",
                            (long long)r->layer, m->ranks[*owner - 1].input.path);
    }
    struct micro_batch *b = batch_at(shared ? &m->ranks->batches : &rank->batches, number_of(rank), err);
    if (b == NULL || open_batch(m, rank, b, err) != 0) {
        return -1;
    }
    rank->seen[r->layer]++;
    const struct routed routed = {.layer = (int)r->layer, .k = r->width, .expert = r->rows.items};
    if (intake_routing(m->in, b->handle, &routed, err) != 0) {
        return input_place(&rank->input, err);
    }
    b->n_layers++;
    m->incomplete -= b->n_layers == intake_layers_of(m->in, shared ? -1 : (int)(rank - m->ranks));
    return let_go(m, err);
}

/* ---- counts ---- */

/* The number behind "rank" in the file's name; else its place among the files. */
static int rank_number(const struct megatron *m, const struct rank *rank)
{
    const char *name = rank->input.path, *at = NULL, *slash = strrchr(name, '/');
    for (const char *s = slash != NULL ? slash : name; (s = strstr(s, "rank")) != NULL; s++) {
        const char *digits = s + strlen("rank") + (s[strlen("rank")] == '_');
        at = isdigit((unsigned char)*digits) ? digits : at;
    }
    return at != NULL ? (int)(strtol(at, NULL, 10) % 1000000) : (int)(rank - m->ranks);
}

/* Each rank counts its own experts from 0: which of the model's they are follows from how many there are. */
static int first_expert(struct megatron *m, const struct rank *rank, struct error *err)
{
    int local = rank->record.width, all = m->request->experts > 0 ? (int)m->request->experts : local;
    if (m->request->experts == 0) {
        intake_finding(m->in, TRAP_PHYSICAL_IDS, m->n_ranks > 1 ? RULING_REFUSED : RULING_UNKNOWN,
                       "pass --experts N, the experts of a layer on all ranks",
                       "'%s' counts %d experts of its rank; how many the model has is not said",
                       rank->input.path, local);
    } else if (all % local != 0) {
        return input_refuse(&rank->input, err, "%d experts of a rank do not divide --experts %d", local, all);
    }
    if (m->n_experts < all) {
        free(m->count);
        m->count = calloc((size_t)all, sizeof *m->count);
        if (m->count == NULL) {
            return error_no_memory(err, "counts of experts");
        }
        m->n_experts = all;
    }
    return rank_number(m, rank) % (all / local) * local;
}

static int give_counts(struct megatron *m, struct rank *rank, struct error *err)
{
    const struct record *r = &rank->record;
    int first = r->n_rows > 0 ? first_expert(m, rank, err) : 0;
    if (first < 0) {
        return -1;
    }
    if (r->n_rows == 0) {
        return 0;
    }
    memset(m->count, 0, (size_t)m->n_experts * sizeof *m->count);
    for (int64_t i = 0; i < r->rows.n; i++) {
        m->count[first + i % r->width] += r->rows.items[i];
    }
    const struct load load = {.step = r->step,
                              .file = (int)(rank - m->ranks),
                              .layer = (int)r->layer,
                              .n_experts = m->n_experts,
                              .count = m->count};
    return intake_load(m->in, &load, err) == 0 ? 0 : input_place(&rank->input, err);
}

/* ---- files ---- */

typedef int give_record(struct megatron *m, struct rank *rank, struct error *err);

static int open_ranks(struct megatron *m, struct error *err)
{
    m->n_ranks = m->request->n_files;
    m->ranks = calloc((size_t)m->n_ranks, sizeof *m->ranks);
    if (m->ranks == NULL) {
        m->n_ranks = 0;
        return error_no_memory(err, "the files of ranks");
    }
    for (int i = 0; i < m->n_ranks; i++) {
        m->ranks[i].input.file = -1;
    }
    for (int i = 0; i < m->n_ranks; i++) {
        if (input_open(&m->ranks[i].input, m->request->files[i], err) != 0) {
            return -1;
        }
        json_start(&m->ranks[i].json, &m->ranks[i].input);
        if (next_record(m, &m->ranks[i], err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int read_ranks(struct megatron *m, give_record *give, struct error *err)
{
    struct rank *rank;
    if (open_ranks(m, err) != 0) {
        return -1;
    }
    while ((rank = choose(m)) != NULL) {
        if (rank->record.step < m->step) {
            return input_refuse(&rank->input, err, "step %lld comes after step %lld; sort the file by step",
                                (long long)rank->record.step, (long long)m->step);
        }
        if (begin_step(m, rank->record.step, err) != 0 || give(m, rank, err) != 0) {
            return -1;
        }
        if (next_record(m, rank, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int read_all(struct intake *in, const struct request *r, give_record *give, struct error *err)
{
    struct megatron m = {.in = in, .request = r, .step = -1};
    int result = read_ranks(&m, give, err);
    for (int i = 0; i < m.n_ranks; i++) {
        input_close(&m.ranks[i].input);
        integers_release(&m.ranks[i].record.rows);
        free(m.ranks[i].batches.items);
    }
    free(m.ranks);
    free(m.count);
    return result;
}

static int read_traces(struct intake *in, const struct request *r, struct error *err)
{
    return read_all(in, r, give_choices, err);
}

static int read_counts(struct intake *in, const struct request *r, struct error *err)
{
    return read_all(in, r, give_counts, err);
}

static bool is_trace(const struct head *h)
{
    return head_begins(h, "{") && head_has(h, "\"top_indices\"");
}

static bool is_counts(const struct head *h)
{
    return head_begins(h, "{") && head_has(h, "\"tpe\"");
}

const struct import_format format_megatron = {
    "megatron", "Megatron-Core's router_trace_rank{r}.jsonl", "train", is_trace, read_traces, true};
const struct import_format format_tokens_per_expert = {
    "megatron-counts", "Megatron-Core's tokens_per_expert/rank{r}.jsonl",
    "train",           is_counts,
    read_counts,       true};
