#include "engine/intervention.h"

#include <stdlib.h>

#include "engine/routing.h"

const char *const intervention_names[N_INTERVENTIONS] = {"nothing", "without",  "rerouted", "k",
                                                         "random",  "shuffled", "untrained"};

static int count_of(const struct routing *r, int t)
{
    return r->offset[t + 1] - r->offset[t];
}

static bool has_expert(const struct routing *r, int t, int expert)
{
    for (int d = r->offset[t]; d < r->offset[t + 1]; d++) {
        if (r->expert[d] == expert)
            return true;
    }
    return false;
}

static void drop(struct routing *r, int d)
{
    r->dropped[d] = 1;
    r->weight[d] = 0.0F;
}

/* The likeliest expert that token t does not have; -1 where the router gives no other any probability. */
static int next_expert(const struct routing *r, int t)
{
    const float *p = r->probability + (size_t)t * (size_t)r->n_experts;
    int best = -1;

    for (int e = 0; e < r->n_experts; e++) {
        if (p[e] > (best < 0 ? 0.0F : p[best]) && !has_expert(r, t, e))
            best = e;
    }
    return best;
}

static void take_away(const struct intervention *i, struct routing *r)
{
    for (int t = 0; t < r->n_tokens; t++) {
        for (int d = r->offset[t]; d < r->offset[t + 1]; d++) {
            if (r->expert[d] != i->expert)
                continue;
            int other = i->kind == INTERVENE_REROUTED ? next_expert(r, t) : -1;
            if (other >= 0)
                r->expert[d] = other;
            else
                drop(r, d);
        }
    }
}

static void truncate_token(struct routing *r, int first, int last, int k, bool renormalized)
{
    float all = 0.0F, kept = 0.0F;

    for (int d = first; d < last; d++)
        all += r->weight[d];
    for (int d = first + k; d < last; d++)
        drop(r, d);
    for (int d = first; d < last; d++)
        kept += r->weight[d];
    for (int d = first; d < last && renormalized && kept > 0.0F; d++)
        r->weight[d] *= all / kept;
}

static void truncate_all(const struct intervention *i, bool renormalized, struct routing *r)
{
    for (int t = 0; t < r->n_tokens; t++) {
        if (count_of(r, t) > i->k)
            truncate_token(r, r->offset[t], r->offset[t + 1], i->k, renormalized);
    }
}

static void swap_int(int32_t *a, int32_t *b)
{
    int32_t kept = *a;
    *a = *b;
    *b = kept;
}

static void swap_float(float *a, float *b)
{
    float kept = *a;
    *a = *b;
    *b = kept;
}

static void swap_byte(uint8_t *a, uint8_t *b)
{
    uint8_t kept = *a;
    *a = *b;
    *b = kept;
}

static int draw_below(struct random *r, int n)
{
    return (int)random_below(r, (uint64_t)n);
}

/* A walk over all ways to deal the same experts out: two tokens exchange what they have in a slot, unless one
 * of them had that expert already. Each decision is tried twenty times on average. */
static void deal_anew(struct intervention *i, struct routing *r)
{
    int64_t tries = 10 * (int64_t)routing_decisions(r);

    for (int64_t n = 0; n < tries; n++) {
        int t = draw_below(&i->random, r->n_tokens), u = draw_below(&i->random, r->n_tokens);
        int both = count_of(r, t) < count_of(r, u) ? count_of(r, t) : count_of(r, u);
        if (both == 0)
            continue;
        int slot = draw_below(&i->random, both), d = r->offset[t] + slot, e = r->offset[u] + slot;
        if (!r->dropped[d] && !r->dropped[e] && !has_expert(r, t, r->expert[e]) &&
            !has_expert(r, u, r->expert[d]))
            swap_int(&r->expert[d], &r->expert[e]);
    }
}

static void exchange(struct routing *r, int t, int u)
{
    for (int s = 0; s < count_of(r, t); s++) {
        int d = r->offset[t] + s, e = r->offset[u] + s;
        swap_int(&r->expert[d], &r->expert[e]);
        swap_float(&r->gate[d], &r->gate[e]);
        swap_float(&r->weight[d], &r->weight[e]);
        swap_byte(&r->dropped[d], &r->dropped[e]);
    }
}

static void shuffle(struct intervention *i, struct routing *r)
{
    for (int count = 1; count <= r->n_experts; count++) {
        int n = 0;
        for (int t = 0; t < r->n_tokens; t++) {
            if (count_of(r, t) == count)
                i->order[n++] = t;
        }
        for (int j = n - 1; j > 0; j--)
            exchange(r, i->order[j], i->order[draw_below(&i->random, j + 1)]);
    }
}

static void choose_as_untrained(struct intervention *i, struct routing *r)
{
    const struct ranked_choices *c = i->untrained;

    for (int t = 0; t < r->n_tokens; t++, i->next++) {
        const uint16_t *ranked = c->expert + i->next * (size_t)c->width;
        for (int s = 0; s < count_of(r, t); s++)
            r->expert[r->offset[t] + s] = ranked[s];
    }
}

static void count_dropped(struct routing *r)
{
    r->n_dropped = 0;
    for (int d = 0; d < routing_decisions(r); d++)
        r->n_dropped += r->dropped[d];
}

void intervention_apply(struct intervention *i, bool renormalized, struct routing *r)
{
    switch (i->kind) {
    case INTERVENE_WITHOUT:
    case INTERVENE_REROUTED:
        take_away(i, r);
        break;
    case INTERVENE_K:
        truncate_all(i, renormalized, r);
        break;
    case INTERVENE_RANDOM:
        deal_anew(i, r);
        break;
    case INTERVENE_SHUFFLED:
        shuffle(i, r);
        break;
    case INTERVENE_UNTRAINED:
        choose_as_untrained(i, r);
        break;
    case INTERVENE_NOTHING:
    case N_INTERVENTIONS:
        break;
    }
    count_dropped(r);
}

/* ---- what an untrained model chose ---- */

void ranked_choices_release(struct ranked_choices *c)
{
    free(c->expert);
    *c = (struct ranked_choices){0};
}

/* The token's own in slot order, then by probability; equal ones by number. */
static void rank_token(const struct routing *r, int t, uint16_t *ranked, int width)
{
    const float *p = r->probability + (size_t)t * (size_t)r->n_experts;
    int n = 0;

    for (int d = r->offset[t]; d < r->offset[t + 1] && n < width; d++)
        ranked[n++] = (uint16_t)r->expert[d];
    while (n < width) {
        int best = -1;
        for (int e = 0; e < r->n_experts; e++) {
            bool taken = false;
            for (int i = 0; i < n && !taken; i++)
                taken = ranked[i] == e;
            if (!taken && (best < 0 || p[e] > p[best]))
                best = e;
        }
        ranked[n++] = (uint16_t)best;
    }
}

int ranked_choices_add(struct ranked_choices *c, const struct routing *r, struct error *err)
{
    size_t tokens = (size_t)r->n_tokens;

    if (c->n_tokens + tokens > c->capacity) {
        size_t capacity = 2 * c->capacity + tokens;
        uint16_t *grown = realloc(c->expert, capacity * (size_t)c->width * sizeof *grown);
        if (!grown)
            return error_no_memory(err, "an untrained router's choices");
        c->expert = grown;
        c->capacity = capacity;
    }
    for (int t = 0; t < r->n_tokens; t++)
        rank_token(r, t, c->expert + (c->n_tokens + (size_t)t) * (size_t)c->width, c->width);
    c->n_tokens += tokens;
    return 0;
}
