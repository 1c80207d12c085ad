#include "analysis/shared/passage.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void passage_release(struct passage *p)
{
    for (int i = 0; p->layers && i < p->n_layers; i++) {
        free(p->layers[i].offset);
        free(p->layers[i].expert);
        free(p->layers[i].gate);
    }
    free(p->layers);
    free(p->document);
    free(p->split);
    free(p->id);
    free(p->position);
    vocabulary_release(&p->vocabulary);
    *p = (struct passage){0};
}

/* ---- which pass ---- */

static int find_pass(struct passage *p, struct logbook *lb, int64_t run_id, const char *run,
                     const char *document, int64_t step, int64_t *document_id, struct error *err)
{
    struct query *q;
    if (query_open(&q, lb, "analysis/specialization_document", err) != 0)
        return -1;
    query_bind_int(q, ":run", run_id);
    if (step >= 0)
        query_bind_int(q, ":step", step);
    if (document)
        query_bind_text(q, ":document", document);
    int more = query_step(q, err);
    if (more == 1) {
        p->split = strdup(query_word(q, "split"));
        p->document = strdup(query_word(q, "document"));
        p->step = query_int(q, "step");
        *document_id = query_int(q, "document_id");
        more = p->split && p->document ? 0 : error_no_memory(err, "the text");
    } else if (more == 0) {
        char at[48] = "";
        if (step >= 0)
            snprintf(at, sizeof at, " at step %" PRId64, step);
        more = error_set(err, STATUS_INPUT,
                         "run '%s' logged no routing of %s%s%s%s; the relation `document` has the names", run,
                         document ? "document '" : "any document", document ? document : "",
                         document ? "'" : "", at);
    }
    query_close(q);
    return more;
}

/* ---- its tokens and choices ---- */

static int add_tokens(struct passage *p, const struct block *b, struct error *err)
{
    size_t n = (size_t)p->n_tokens + (size_t)b->n_tokens + 1;
    int32_t *id = realloc(p->id, n * sizeof *id);
    if (id)
        p->id = id;
    int64_t *position = realloc(p->position, n * sizeof *position);
    if (position)
        p->position = position;
    if (!id || !position)
        return error_no_memory(err, "the text");
    for (int t = 0; t < b->n_tokens; t++) {
        id[p->n_tokens] = b->ids[t];
        position[p->n_tokens++] = b->offset + t;
    }
    return 0;
}

/* Tokens without a choice in this layer, up to n of them in all. */
static int fill_up(struct passage_layer *l, int n, struct error *err)
{
    int32_t *offset = realloc(l->offset, ((size_t)n + 1) * sizeof *offset);
    if (!offset)
        return error_no_memory(err, "the text");
    if (!l->offset)
        offset[0] = 0;
    l->offset = offset;
    for (; l->n_tokens < n; l->n_tokens++)
        offset[l->n_tokens + 1] = offset[l->n_tokens];
    return 0;
}

/* The block's choices, of the last tokens that the passage has. */
static int add_choices(struct passage_layer *l, const struct block *b, int n_tokens, struct error *err)
{
    if (fill_up(l, n_tokens - b->n_tokens, err) != 0 || fill_up(l, n_tokens, err) != 0)
        return -1;
    int32_t before = l->offset[n_tokens - b->n_tokens];
    size_t n = (size_t)before + (size_t)b->n_decisions + 1;
    int32_t *expert = realloc(l->expert, n * sizeof *expert);
    if (expert)
        l->expert = expert;
    float *gate = realloc(l->gate, n * sizeof *gate);
    if (gate)
        l->gate = gate;
    if (!expert || !gate)
        return error_no_memory(err, "the text");
    for (int i = 0; i < b->n_decisions; i++) {
        expert[before + i] = b->expert[i];
        gate[before + i] = b->gate[i];
    }
    for (int t = 0; t <= b->n_tokens; t++)
        l->offset[n_tokens - b->n_tokens + t] = before + b->offsets[t];
    return 0;
}

static struct passage_layer *find_layer(struct passage *p, int layer)
{
    for (int i = 0; i < p->n_layers; i++)
        if (p->layers[i].layer == layer)
            return &p->layers[i];
    return NULL;
}

/* Blocks come sequence by sequence, layer by layer. */
static int read_blocks(struct passage *p, struct blocks *blocks, int64_t document_id, struct error *err)
{
    int64_t sequence = -1;
    struct block b;
    int more;
    while ((more = blocks_next(blocks, &b, err)) == 1) {
        struct passage_layer *l = find_layer(p, b.layer);
        if (b.document_id != document_id || !l)
            continue;
        if (b.sequence_id != sequence && add_tokens(p, &b, err) != 0)
            return -1;
        sequence = b.sequence_id;
        if (add_choices(l, &b, p->n_tokens, err) != 0)
            return -1;
    }
    for (int i = 0; i < p->n_layers && more == 0; i++)
        more = fill_up(&p->layers[i], p->n_tokens, err);
    return more;
}

static int read_pass(struct passage *p, struct logbook *lb, int64_t run_id, int64_t document_id,
                     struct error *err)
{
    struct block_filter filter = {run_id, p->split, p->step, p->step, -1};
    struct blocks *blocks;
    if (blocks_open(&blocks, lb, &filter, err) != 0)
        return -1;
    int result = read_blocks(p, blocks, document_id, err);
    blocks_close(blocks);
    return result;
}

int passage_read(struct passage *p, struct logbook *lb, int64_t run_id, const char *run,
                 const struct moe_layer *layers, int n_layers, const char *document, int64_t step,
                 struct error *err)
{
    int64_t document_id;
    *p = (struct passage){.n_layers = n_layers, .layers = calloc((size_t)n_layers + 1, sizeof *p->layers)};
    int result = p->layers ? 0 : error_no_memory(err, "the text");
    for (int i = 0; i < n_layers && result == 0; i++)
        p->layers[i] = (struct passage_layer){.layer = layers[i].layer, .n_experts = layers[i].n_experts};
    if (result == 0)
        result = find_pass(p, lb, run_id, run, document, step, &document_id, err);
    if (result == 0)
        result = read_pass(p, lb, run_id, document_id, err);
    if (result == 0)
        result = vocabulary_read(&p->vocabulary, lb, run_id, err);
    if (result != 0)
        passage_release(p);
    return result;
}

/* ---- one token ---- */

int passage_first(const struct passage_layer *l, int token)
{
    return l->offset[token] < l->offset[token + 1] ? l->expert[l->offset[token]] : -1;
}

double passage_hue(int expert)
{
    static const double golden_angle = 137.50776405003785;
    return fmod(25 + golden_angle * expert, 360);
}

bool passage_is_deep(int expert)
{
    return expert / 8 % 2 == 1;
}

/* "<0xE3>", a byte that the vocabulary has beside its pieces, as <E3>. */
static bool is_byte(const char *text)
{
    return strlen(text) == 6 && strncmp(text, "<0x", 3) == 0 && text[5] == '>';
}

void passage_add_token(struct text *t, const struct passage *p, int token, bool *breaks)
{
    char buffer[32];
    const char *text = vocabulary_text(&p->vocabulary, p->id[token], buffer);
    *breaks = false;
    if (is_byte(text)) {
        text_printf(t, "<%.2s>", text + 3);
        return;
    }
    for (const char *s = text; *s; s++) {
        char one[2] = {*s, '\0'};
        *breaks = *s == '\n';
        if (*s == '\n')
            text_add(t, "↵");
        else if (*s == '\t')
            text_add(t, "→");
        else
            text_add_bytes(t, one, 1);
    }
}

void passage_rows(const struct passage *p, struct table *t)
{
    struct text others;
    char buffer[32];
    text_init(&others);
    for (int i = 0; i < p->n_layers; i++)
        for (int token = 0; token < p->n_tokens; token++) {
            const struct passage_layer *l = &p->layers[i];
            int32_t first = l->offset[token], end = l->offset[token + 1];
            text_clear(&others);
            for (int32_t j = first + 1; j < end; j++)
                text_printf(&others, "%s%d", j > first + 1 ? " " : "", l->expert[j]);
            table_int(t, l->layer);
            table_int(t, p->position[token]);
            table_text(t, vocabulary_text(&p->vocabulary, p->id[token], buffer));
            if (first < end)
                table_int(t, l->expert[first]);
            else
                table_null(t);
            table_figure(t, first < end ? (double)l->gate[first] : NAN);
            table_text(t, others.length ? others.data : NULL);
        }
    text_release(&others);
}
