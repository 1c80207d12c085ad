#include "analysis/shared/spread.h"

#include <inttypes.h>
#include <stdlib.h>

const struct groups groupings[N_GROUPINGS] = {
    [BY_COUNT] = {7, {"0", "1-9", "10-99", "100-999", "1000-9999", "10000-99999", "100000+"}},
    [BY_WORD] = {3, {"word start", "continuation", "other"}},
    [BY_DIFFICULTY] = {10, {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"}},
};

static int bucket_of(int64_t train_count)
{
    int bucket = 0;
    for (int64_t bound = 1; bucket < groupings[BY_COUNT].n - 1 && train_count >= bound; bound *= 10)
        bucket++;
    return bucket;
}

/* ---- memory ---- */

void spread_release(struct spread *s)
{
    for (int i = 0; s->layers && i < s->n_layers; i++) {
        concentration_release(&s->layers[i].all);
        free(s->layers[i].memory);
    }
    free(s->layers);
    *s = (struct spread){0};
}

static struct sums carve(double **memory, size_t n)
{
    struct sums sums = {*memory, *memory + n};
    *memory += 2 * n;
    return sums;
}

static int layer_spread_init(struct layer_spread *l, const struct moe_layer *layer, int n_documents,
                             int n_positions, struct error *err)
{
    size_t documents = (size_t)n_documents, positions = (size_t)n_positions;
    l->layer = layer;
    l->memory = calloc(2 * ((2 + N_GROUPINGS * MOST_GROUPS) * documents + positions) + 1, sizeof *l->memory);
    if (!l->memory)
        return error_no_memory(err, "the router's probabilities");
    double *rest = l->memory;
    l->document = carve(&rest, documents);
    l->matched = carve(&rest, documents);
    l->position = carve(&rest, positions);
    for (int g = 0; g < N_GROUPINGS; g++)
        l->group[g] = carve(&rest, MOST_GROUPS * documents);
    return concentration_init(&l->all, layer->n_experts, err);
}

static int spread_init(struct spread *s, const struct analysis *a, const struct documents *d,
                       struct error *err)
{
    *s = (struct spread){.n_layers = a->n_layers};
    for (int i = 0; i < d->n_samples; i++)
        if (d->samples[i].n_tokens > s->n_positions)
            s->n_positions = d->samples[i].n_tokens;
    s->layers = calloc((size_t)a->n_layers, sizeof *s->layers);
    if (!s->layers)
        return error_no_memory(err, "the router's probabilities");
    for (int i = 0; i < a->n_layers; i++)
        if (layer_spread_init(&s->layers[i], &a->layers[i], d->n_documents, s->n_positions, err) != 0)
            return -1;
    return 0;
}

/* ---- one step in detail ---- */

static void add(struct sums *sums, int at, double needed)
{
    sums->needed[at] += needed;
    sums->tokens[at]++;
}

/* Which documents, tokens and positions; the same for every block. */
struct context {
    const struct analysis *analysis;
    const struct documents *documents;
    const struct vocabulary *vocabulary;
    const struct difficulty *difficulty;
    double *mass; /* (max_experts) scratch */
    int matched, n_positions;
};

static int64_t count_of(const struct vocabulary *v, int32_t id)
{
    return id < v->n ? v->train_count[id] : 0;
}

/* A piece that begins with a space begins a word; bytes and special tokens are neither. */
static int word_of(const struct vocabulary *v, int32_t id)
{
    if (id >= v->n || !v->piece[id])
        return 2;
    return v->text[id] && v->text[id][0] == ' ' ? 0 : 1;
}

static void add_token(struct layer_spread *l, const struct context *c, const struct probability_block *b,
                      int document, int position)
{
    int32_t id = b->ids[position];
    int n = c->documents->n_documents;
    rank_mass(b->probability + (size_t)position * (size_t)b->n_experts, l->all.n_experts, c->mass);
    int needed = experts_for_mass(c->mass, l->all.n_experts, concentration_levels[LEVEL_90]);
    if (needed == 0) /* no probability at all */
        return;
    add(&l->document, document, needed);
    if (position < c->matched)
        add(&l->matched, document, needed);
    if (position < c->n_positions)
        add(&l->position, position, needed);
    add(&l->group[BY_COUNT], bucket_of(count_of(c->vocabulary, id)) * n + document, needed);
    add(&l->group[BY_WORD], word_of(c->vocabulary, id) * n + document, needed);
    int tenth = c->difficulty ? difficulty_of(c->difficulty, b->sample_id, position) : -1;
    if (tenth >= 0)
        add(&l->group[BY_DIFFICULTY], tenth * n + document, needed);
}

static void add_block(struct spread *s, const struct context *c, const struct probability_block *b)
{
    int layer = analysis_layer_index(c->analysis, b->layer);
    int document = documents_index(c->documents, b->document_id);
    if (layer < 0 || document < 0 || b->n_experts != s->layers[layer].all.n_experts)
        return;
    struct layer_spread *l = &s->layers[layer];
    concentration_add(&l->all, b->probability, b->n_tokens);
    for (int t = 0; t < b->n_tokens; t++)
        add_token(l, c, b, document, t);
}

/* Tokens of ids beyond the vocabulary are not told apart. */
static int count_ids(struct spread *s, const struct documents *d, const struct vocabulary *v,
                     struct error *err)
{
    char *seen = calloc((size_t)v->n + 1, 1);
    if (!seen)
        return error_no_memory(err, "the tokens' frequencies");
    for (int i = 0; i < d->n_samples; i++)
        for (int t = 0; t < d->samples[i].n_tokens; t++) {
            int32_t id = d->samples[i].ids[t] < v->n ? d->samples[i].ids[t] : v->n;
            s->n_ids[bucket_of(count_of(v, id))] += !seen[id];
            seen[id] = 1;
        }
    free(seen);
    return 0;
}

int spread_missing(const struct analysis *a, int64_t step, struct error *err)
{
    return error_set(err, STATUS_INPUT,
                     "run '%s' kept no router probabilities of its probe at step %" PRId64
                     ", and the chosen experts alone do not tell how the rest of the mass lies",
                     a->run, step);
}

static int read_step(struct spread *s, const struct analysis *a, const struct context *c, int64_t step,
                     struct error *err)
{
    struct block_filter filter = {a->run_id, "probe", step, step, -1};
    struct probabilities *blocks;
    struct probability_block b;
    int more, n = 0;
    if (probabilities_open(&blocks, a->logbook, &filter, err) != 0)
        return -1;
    for (; (more = probabilities_next(blocks, &b, err)) == 1; n++)
        add_block(s, c, &b);
    probabilities_close(blocks);
    return more == 0 && n == 0 ? spread_missing(a, step, err) : more;
}

int spread_measure(struct spread *s, const struct analysis *a, const struct documents *d, int64_t step,
                   int matched, const struct difficulty *difficulty, struct error *err)
{
    struct vocabulary v;
    if (vocabulary_read(&v, a->logbook, a->run_id, err) != 0)
        return -1;
    struct context c = {a, d, &v, difficulty, malloc((size_t)a->max_experts * sizeof *c.mass), matched, 0};
    int result = c.mass ? spread_init(s, a, d, err) : error_no_memory(err, "the router's probabilities");
    c.n_positions = s->n_positions;
    if (result == 0)
        result = count_ids(s, d, &v, err);
    if (result == 0)
        result = read_step(s, a, &c, step, err);
    free(c.mass);
    vocabulary_release(&v);
    if (result != 0)
        spread_release(s);
    return result;
}

/* ---- all steps ---- */

void spread_steps_release(struct concentration *steps, int n)
{
    for (int i = 0; steps && i < n; i++)
        concentration_release(&steps[i]);
    free(steps);
}

static struct concentration *find(struct concentration *steps, const struct analysis *a,
                                  const struct documents *d, const struct probability_block *b)
{
    for (int i = 0; i < d->n_steps; i++)
        for (int j = 0; j < a->n_layers; j++)
            if (d->steps[i] == b->step && a->layers[j].layer == b->layer &&
                a->layers[j].n_experts == b->n_experts)
                return &steps[i * a->n_layers + j];
    return NULL;
}

static int read_steps(struct concentration *steps, const struct analysis *a, const struct documents *d,
                      int64_t last_step, struct error *err)
{
    struct block_filter filter = {a->run_id, "probe", 0, last_step, -1};
    struct probabilities *blocks;
    struct probability_block b;
    int more;
    if (probabilities_open(&blocks, a->logbook, &filter, err) != 0)
        return -1;
    while ((more = probabilities_next(blocks, &b, err)) == 1) {
        struct concentration *c = find(steps, a, d, &b);
        if (c)
            concentration_add(c, b.probability, b.n_tokens);
    }
    probabilities_close(blocks);
    return more;
}

int spread_steps(struct concentration **steps, const struct analysis *a, const struct documents *d,
                 int64_t last_step, struct error *err)
{
    int n = d->n_steps * a->n_layers, result = 0;
    *steps = calloc((size_t)n + 1, sizeof **steps);
    if (!*steps)
        return error_no_memory(err, "the router's probabilities");
    for (int i = 0; i < n && result == 0; i++)
        result = concentration_init(&(*steps)[i], a->layers[i % a->n_layers].n_experts, err);
    if (result == 0)
        result = read_steps(*steps, a, d, last_step, err);
    if (result != 0) {
        spread_steps_release(*steps, n);
        *steps = NULL;
    }
    return result;
}
