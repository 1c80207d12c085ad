#include "analysis/shared/probe.h"

#include <stdlib.h>
#include <string.h>

int probe_span(struct logbook *lb, int64_t run_id, int64_t *first_step, int64_t *last_step, struct error *err)
{
    struct query *q;
    *first_step = *last_step = -1;
    if (query_open(&q, lb, "analysis/probe_span", err) != 0)
        return -1;
    query_bind_int(q, ":run", run_id);
    int more = query_step(q, err);
    if (more == 1 && !query_is_null(q, "first_step")) {
        *first_step = query_int(q, "first_step");
        *last_step = query_int(q, "last_step");
    }
    query_close(q);
    return more < 0 ? -1 : 0;
}

static int entry_order(const void *left, const void *right)
{
    const struct probe_entry *a = left, *b = right;
    if (a->layer != b->layer)
        return a->layer < b->layer ? -1 : 1;
    return (a->sample_id > b->sample_id) - (a->sample_id < b->sample_id);
}

static int copy_block(struct probe_entry *e, const struct block *b, struct error *err)
{
    size_t n_offsets = (size_t)b->n_tokens + 1, n = (size_t)b->n_decisions;
    int32_t *memory = malloc((n_offsets + n) * sizeof *memory);
    if (!memory)
        return error_no_memory(err, "the probe's routing");
    memcpy(memory, b->offsets, n_offsets * sizeof *memory);
    if (n > 0)
        memcpy(memory + n_offsets, b->expert, n * sizeof *memory);
    *e = (struct probe_entry){.sample_id = b->sample_id,
                              .document_id = b->document_id,
                              .domain_id = b->domain_id,
                              .layer = b->layer,
                              .n_experts = b->n_experts,
                              .slots = {b->n_tokens, memory, memory + n_offsets},
                              .memory = memory};
    return 0;
}

static int read_blocks(struct probe_pass *p, struct blocks *blocks, struct error *err)
{
    struct block b;
    int more, capacity = 0;
    while ((more = blocks_next(blocks, &b, err)) == 1) {
        if (p->n == capacity) {
            capacity = capacity ? 2 * capacity : 256;
            struct probe_entry *grown = realloc(p->entries, (size_t)capacity * sizeof *grown);
            if (!grown)
                return error_no_memory(err, "the probe's routing");
            p->entries = grown;
        }
        if (copy_block(&p->entries[p->n], &b, err) != 0)
            return -1;
        p->n++;
    }
    return more;
}

int probe_pass_read(struct probe_pass *p, struct logbook *lb, int64_t run_id, int64_t step, struct error *err)
{
    struct block_filter filter = {run_id, "probe", step, step, -1};
    struct blocks *blocks;
    *p = (struct probe_pass){.run_id = run_id, .step = step};
    if (blocks_open(&blocks, lb, &filter, err) != 0)
        return -1;
    int result = read_blocks(p, blocks, err);
    blocks_close(blocks);
    if (result == 0 && p->n > 0)
        qsort(p->entries, (size_t)p->n, sizeof *p->entries, entry_order);
    if (result != 0)
        probe_pass_release(p);
    return result;
}

void probe_pass_release(struct probe_pass *p)
{
    for (int i = 0; i < p->n; i++)
        free(p->entries[i].memory);
    free(p->entries);
    *p = (struct probe_pass){0};
}

const struct probe_entry *probe_pass_find(const struct probe_pass *p, int layer, int64_t sample_id)
{
    struct probe_entry key = {.layer = layer, .sample_id = sample_id};
    return p->n ? bsearch(&key, p->entries, (size_t)p->n, sizeof key, entry_order) : NULL;
}
