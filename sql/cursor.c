#include "sql/cursor.h"

bool cursor_in_range(const struct cursor *c, enum field field, int64_t value)
{
    return c->range[field].low <= value && value <= c->range[field].high;
}

bool range_is_all(struct scan_range r)
{
    return r.low == INT64_MIN && r.high == INT64_MAX;
}

void cursor_start_scan(struct cursor *c)
{
    const struct scan_filter filter = {
        c->range[FIELD_RUN],      c->range[FIELD_STEP],   c->range[FIELD_SEQUENCE], c->range[FIELD_SAMPLE],
        c->range[FIELD_DOCUMENT], c->range[FIELD_DOMAIN], c->range[FIELD_LAYER],    c->split};
    scan_start(&c->scan, &filter);
    c->filtered = c->scanned = false;
    for (int f = FIELD_POSITION; f < N_KEYS; f++) {
        c->filtered = c->filtered || !range_is_all(c->range[f]);
    }
    c->scan.sequence.n_tokens = 0; /* none yet: the first step finds that there is none, and goes on */
    cursor_enter_block(c);
}

static int64_t token_at(const struct cursor *c, int position)
{
    int32_t id;
    const struct scan_sequence *q = &c->scan.sequence;
    if (q->token_width == 2) {
        return (int64_t)read_16(q->tokens.bytes, (size_t)position);
    }
    unpack_integers(&id, 4, q->tokens.bytes + 4 * (size_t)position, 1);
    return (uint32_t)id;
}

static int64_t value_of_sequence(const struct cursor *c, enum field field)
{
    const struct scan_sequence *q = &c->scan.sequence;
    switch (field) {
    case FIELD_RUN:
        return q->run_id;
    case FIELD_STEP:
        return q->step;
    case FIELD_SEQUENCE:
        return q->sequence_id;
    case FIELD_SAMPLE:
        return q->sample_id;
    case FIELD_DOCUMENT:
        return q->document_id;
    case FIELD_DOMAIN:
        return q->domain_id;
    default:
        return c->scan.block.layer;
    }
}

int64_t cursor_value(const struct cursor *c, enum field field)
{
    const struct scan_block *b = &c->scan.block;
    switch (field) {
    case FIELD_POSITION:
        return c->position;
    case FIELD_TOKEN:
        return token_at(c, c->position);
    case FIELD_TARGET:
        return token_at(c, c->position + 1);
    case FIELD_SLOT:
        return c->decision - c->first;
    case FIELD_EXPERT:
        return packed_expert(&b->packed, b->n_experts, (size_t)c->decision);
    case FIELD_DROPPED:
        return packed_dropped(&b->packed, (size_t)c->decision);
    default:
        return value_of_sequence(c, field);
    }
}

bool cursor_passes(const struct cursor *c)
{
    for (int f = FIELD_POSITION; f < N_KEYS; f++) {
        if (!range_is_all(c->range[f]) &&
            !cursor_in_range(c, (enum field)f, cursor_value(c, (enum field)f))) {
            return false;
        }
    }
    return true;
}

double gate_from_stored(const struct packed_block *p, double stored)
{
    return p->scale / SCALE_UNIT * stored / (p->codec->gate_bytes == 1 ? 255 : 65535);
}

void cursor_enter_block(struct cursor *c)
{
    c->position = -1;
    c->decision = c->first = c->end = 0;
}

static bool step_decision(struct cursor *c)
{
    const struct packed_block *p = &c->scan.block.packed;
    if (c->position >= 0) {
        c->decision++;
    }
    while (c->decision >= c->end) {
        if (++c->position >= c->scan.sequence.n_tokens) {
            return false;
        }
        c->first = c->decision = packed_offset(p, c->position);
        c->end = packed_offset(p, c->position + 1);
    }
    return true;
}

bool cursor_step(struct cursor *c)
{
    if (c->relation->kind == SCAN_SEQUENCES) {
        return ++c->position < c->scan.sequence.n_tokens;
    }
    return step_decision(c);
}
