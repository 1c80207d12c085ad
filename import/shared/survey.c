#include "import/shared/survey.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sql/loads.h"

enum { PADDING_RUN = 16, MOST_IDS = 1 << 20, MOST_COLUMNS = 1024 };
static const int64_t most_decisions = INT64_C(1) << 60; /* by counts: sums of them must not overflow */

int survey_init(struct survey *s, const struct request *r, struct error *err)
{
    *s = (struct survey){.n_files = r->n_files,
                         .domains = r->domains,
                         .experts = (int)r->experts,
                         .first_step = -1,
                         .last_step = -1,
                         .largest_token = -1};
    s->files = calloc((size_t)r->n_files, sizeof *s->files);
    for (int i = 0; s->files != NULL && i < r->n_files; i++) {
        s->files[i].largest = -1;
    }
    sha256_start(&s->texts);
    return s->files != NULL ? 0 : error_no_memory(err, "a survey of the files");
}

void survey_release(struct survey *s)
{
    for (int l = 0; l < LOGBOOK_MAX_LAYERS; l++) {
        if (s->layers[l] != NULL) {
            free(s->layers[l]->count);
            free(s->layers[l]->last_load);
            free(s->layers[l]);
        }
    }
    free(s->files);
    *s = (struct survey){0};
}

/* ---- layers and experts as they turn up ---- */

static struct survey_layer *layer_of(struct survey *s, int number, int file, struct error *err)
{
    if (number < 0 || number >= LOGBOOK_MAX_LAYERS) {
        (void)error_set(err, STATUS_INPUT, "layer %d: a logbook holds layers 0 to %d", number,
                        LOGBOOK_MAX_LAYERS - 1);
        return NULL;
    }
    if (s->layers[number] == NULL) {
        struct survey_layer *l = calloc(1, sizeof *l);
        if (l == NULL) {
            (void)error_no_memory(err, "a survey of a layer");
            return NULL;
        }
        *l = (struct survey_layer){.number = number, .largest = -1, .constant = UINT64_MAX};
        s->layers[number] = l;
    }
    uint64_t bit = (uint64_t)1 << (number % 64), *bits = &s->files[file].layers[number / 64];
    s->files[file].n_layers += (*bits & bit) == 0;
    *bits |= bit;
    return s->layers[number];
}

static int count_up_to(struct survey_layer *l, int32_t largest, struct error *err)
{
    if (largest < l->n_count) {
        return 0;
    }
    if (largest >= MOST_IDS) {
        return error_set(err, STATUS_INPUT, "layer %d: expert %d, which cannot be one", l->number, largest);
    }
    int n = l->n_count > 0 ? l->n_count : 256;
    while (n <= largest) {
        n *= 2;
    }
    int64_t *count = realloc(l->count, (size_t)n * sizeof *count);
    if (count == NULL) {
        return error_no_memory(err, "counts of experts");
    }
    memset(count + l->n_count, 0, (size_t)(n - l->n_count) * sizeof *count);
    l->count = count;
    l->n_count = n;
    return 0;
}

/* ---- tokens ---- */

void survey_end(struct survey *s)
{
    sha256_add(&s->texts, &s->text.n, sizeof s->text.n);
    s->text.n = 0;
}

static void add_texts(struct survey *s, const struct stretch *t)
{
    const char *name = t->document != NULL ? t->document : "";
    const char *domain = t->domain != NULL             ? t->domain
                         : s->domains[t->file] != NULL ? s->domains[t->file]
                                                       : "";
    int n_ids = t->n_ids < t->n_tokens ? t->n_ids : t->n_tokens;
    if (s->text.n == 0 || strncmp(s->text.name, name, sizeof s->text.name - 1) != 0 ||
        s->text.next != t->offset) {
        survey_end(s);
        snprintf(s->text.name, sizeof s->text.name, "%s", name);
        sha256_add(&s->texts, name, strlen(name) + 1);
        sha256_add(&s->texts, domain, strlen(domain) + 1);
        sha256_add(&s->texts, &t->offset, sizeof t->offset);
    }
    s->text.next = t->offset + t->n_tokens;
    s->text.n += t->n_tokens;
    if (n_ids > 0) {
        sha256_add(&s->texts, t->ids, (size_t)n_ids * sizeof *t->ids);
    }
}

static int reach_step(struct survey *s, int64_t step, int file, struct error *err)
{
    if (step < s->last_step) {
        return error_set(
            err, STATUS_INPUT,
            file != s->last_file
                ? "step %lld comes after step %lld of another file; join the files in the order of steps"
                : "step %lld comes after step %lld; sort the file by step",
            (long long)step, (long long)s->last_step);
    }
    s->first_step = s->first_step < 0 ? step : s->first_step;
    s->n_steps += step > s->last_step;
    s->last_step = step;
    s->last_file = file;
    return 0;
}

int survey_stretch(struct survey *s, const struct stretch *t, struct error *err)
{
    if (reach_step(s, t->step, t->file, err) != 0) {
        return -1;
    }
    if (t->again) {
        return 0;
    }
    s->n_tokens += t->n_tokens;
    s->files[t->file].n_tokens += t->n_tokens;
    s->files[t->file].n_stretches++;
    s->n_with_ids += t->n_ids > 0 ? t->n_tokens : 0;
    s->has_domains = s->has_domains || t->domain != NULL;
    s->n_without_next += t->n_ids == t->n_tokens;
    add_texts(s, t);
    for (int i = 0; i < t->n_ids; i++) {
        if (t->ids[i] < 0) {
            return error_set(err, STATUS_INPUT, "token id %d is negative", t->ids[i]);
        }
        s->largest_token = t->ids[i] > s->largest_token ? t->ids[i] : s->largest_token;
    }
    return 0;
}

/* ---- rows ---- */

static int32_t largest_of(const int32_t *e, int64_t n)
{
    int32_t largest = -1;
    for (int64_t i = 0; i < n; i++) {
        largest = e[i] > largest ? e[i] : largest;
    }
    return largest;
}

/* Sums alike in whatever order the blocks come; unlike when one number differs, nearly always. */
static uint64_t hash_of(const int32_t *e, int64_t n, uint64_t seed)
{
    uint64_t sum = seed * 0x9E3779B97F4A7C15u;
    for (int64_t i = 0; i < n; i++) {
        sum += (uint64_t)(uint32_t)(e[i] + 1) * ((uint64_t)i * 0x9E3779B97F4A7C15u + 0xD1B54A32D192ED03u);
    }
    sum ^= sum >> 31;
    return sum * 0xBF58476D1CE4E5B9u;
}

/* Ids beyond the experts that there are said to be are marks, and no choices. */
static bool has_twice(const int32_t *e, int k, int32_t n_experts)
{
    for (int i = 1; i < k; i++) {
        for (int j = 0; j < i; j++) {
            if (e[i] == e[j] && e[i] >= 0 && e[i] < n_experts) {
                return true;
            }
        }
    }
    return false;
}

static void count_row(struct survey_layer *l, const int32_t *e, int k, int32_t n_experts)
{
    int32_t any = 0, before = -1;
    int missing = 0, falls = 0;
    for (int i = 0; i < k; i++) {
        any |= e[i];
        if (e[i] < 0) {
            missing++;
        } else {
            l->count[e[i]]++;
            falls += e[i] <= before;
            before = e[i];
        }
    }
    l->n_decisions += k - missing;
    if (missing == k) {
        l->n_unrouted++;
        return;
    }
    l->n_missing += missing;
    l->n_zero += any == 0 && k > 1;
    l->n_several += k - missing > 1;
    l->n_ascending += falls == 0 && k - missing > 1;
    l->n_duplicated += falls > 0 && any != 0 && has_twice(e, k, n_experts);
}

static void compare_row(struct survey_layer *l, const int32_t *e, const int32_t *before, int k)
{
    for (int i = 0; l->constant != 0 && i < k && i < SURVEY_COLUMNS; i++) {
        if (e[i] != l->first[i]) {
            l->constant &= ~((uint64_t)1 << i);
        }
    }
    bool routed = false;
    for (int i = 0; i < k && !routed; i++) {
        routed = e[i] >= 0;
    }
    if (!routed || before == NULL || e[0] != before[0] || memcmp(e, before, (size_t)k * sizeof *e) != 0) {
        l->n_steady = 0;
    } else if (++l->n_steady >= PADDING_RUN - 1) {
        l->n_repeated += l->n_steady == PADDING_RUN - 1 ? PADDING_RUN : 1;
    }
}

static void count_gates(struct survey_layer *l, const struct routed *r, int n_tokens)
{
    for (int t = 0; t < n_tokens; t++) {
        const float *g = r->gate + (size_t)t * (size_t)r->k;
        int rises = 0;
        for (int i = 0; i < r->k; i++) {
            l->n_gates_wrong +=
                !(g[i] >= 0 && isfinite(g[i])) && r->expert[(size_t)t * (size_t)r->k + (size_t)i] >= 0;
            rises += i > 0 && g[i] > g[i - 1];
        }
        l->n_gate_rows++;
        l->n_gates_descending += rises == 0;
        l->n_gates += r->k;
    }
}

int survey_routing(struct survey *s, const struct stretch *t, const struct routed *r, struct error *err)
{
    struct survey_layer *l = layer_of(s, r->layer, t->file, err);
    int64_t n = (int64_t)t->n_tokens * r->k;
    if (l == NULL) {
        return -1;
    }
    if (r->k > MOST_COLUMNS) {
        return error_set(err, STATUS_INPUT,
                         "layer %d: %d columns of choices a token; are these scores or marks of all experts?",
                         r->layer, r->k);
    }
    int32_t largest = largest_of(r->expert, n);
    if (count_up_to(l, largest, err) != 0) {
        return -1;
    }
    if (l->n_rows == 0) {
        memcpy(l->first, r->expert,
               (size_t)(r->k < SURVEY_COLUMNS ? r->k : SURVEY_COLUMNS) * sizeof *l->first);
        l->columns = r->k;
    }
    l->columns = l->columns == r->k ? r->k : -1;
    l->widest = r->k > l->widest ? r->k : l->widest;
    l->n_experts = r->n_experts > l->n_experts ? r->n_experts : l->n_experts;
    int64_t before = l->n_decisions;
    for (int i = 0; i < t->n_tokens; i++) {
        const int32_t *e = r->expert + (size_t)i * (size_t)r->k;
        count_row(l, e, r->k, s->experts > 0 ? s->experts : INT32_MAX);
        compare_row(l, e, i > 0 ? e - r->k : NULL, r->k);
    }
    l->largest = largest > l->largest ? largest : l->largest;
    if (r->gate != NULL) {
        count_gates(l, r, t->n_tokens);
    }
    l->n_rows += t->n_tokens;
    l->n_probability_rows += r->probability != NULL ? t->n_tokens : 0;
    s->n_decisions += l->n_decisions - before;
    struct survey_file *f = &s->files[t->file];
    f->content += hash_of(r->expert, n, (uint64_t)t->step * LOGBOOK_MAX_LAYERS + (uint64_t)r->layer + 1);
    f->largest = largest > f->largest ? largest : f->largest;
    return 0;
}

/* ---- counts ---- */

/* Counts that never fall from step to step hold all that was before. */
static int compare_loads(struct survey_layer *l, const struct load *load, struct error *err)
{
    if (l->n_loads > 0 && load->file != l->load_file) {
        return 0; /* one rank's say it for all */
    }
    l->load_file = load->file;
    if (l->n_last != load->n_experts) {
        free(l->last_load);
        l->last_load = calloc((size_t)load->n_experts, sizeof *l->last_load);
        l->n_last = l->last_load != NULL ? load->n_experts : 0;
        if (l->last_load == NULL) {
            return error_no_memory(err, "counts of experts");
        }
    }
    for (int e = 0; e < load->n_experts; e++) {
        l->fell = l->fell || load->count[e] < l->last_load[e];
        l->changed = l->changed || (l->n_loads > 0 && load->count[e] > l->last_load[e]);
        l->last_load[e] = load->count[e];
    }
    l->n_loads++;
    return 0;
}

int survey_load(struct survey *s, const struct load *load, struct error *err)
{
    if (reach_step(s, load->step, load->file, err) != 0) {
        return -1;
    }
    s->files[load->file].n_stretches++;
    struct survey_layer *l = layer_of(s, load->layer, load->file, err);
    if (l == NULL || count_up_to(l, load->n_experts - 1, err) != 0) {
        return -1;
    }
    l->n_experts = load->n_experts > l->n_experts ? load->n_experts : l->n_experts;
    uint64_t hash = (uint64_t)load->step * LOGBOOK_MAX_LAYERS + (uint64_t)load->layer + 1;
    for (int e = 0; e < load->n_experts; e++) {
        if (load->count[e] < 0 || load->count[e] > load_most || s->n_decisions > most_decisions) {
            return error_set(err, STATUS_INPUT,
                             "step %lld, layer %d: expert %d has a count of %lld, after %lld in all; such "
                             "counts cannot be",
                             (long long)load->step, load->layer, e, (long long)load->count[e],
                             (long long)s->n_decisions);
        }
        l->count[e] += load->count[e];
        l->n_decisions += load->count[e];
        s->n_decisions += load->count[e];
        hash = (hash ^ (uint64_t)load->count[e]) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 29;
    }
    s->files[load->file].content += hash;
    s->n_loads++;
    s->has_domains = s->has_domains || load->domain != NULL;
    return compare_loads(l, load, err);
}

/* ---- what follows ---- */

bool survey_layer_is_constant(const struct survey_layer *l)
{
    uint64_t all =
        l->columns >= SURVEY_COLUMNS ? UINT64_MAX : ((uint64_t)1 << (l->columns > 0 ? l->columns : 0)) - 1;
    return l->n_rows >= PADDING_RUN && l->columns > 0 && (l->constant & all) == all;
}

bool survey_layer_is_dense(const struct survey_layer *l)
{
    return l->n_rows > 0 ? l->n_zero + l->n_unrouted == l->n_rows : l->n_loads > 0 && l->n_decisions == 0;
}

bool survey_has_wrong_gates(const struct survey *s)
{
    int64_t n = 0;
    for (int i = 0; i < LOGBOOK_MAX_LAYERS; i++) {
        n += s->layers[i] != NULL ? s->layers[i]->n_gates_wrong : 0;
    }
    return n > 0;
}

int32_t survey_id_below(const struct survey_layer *l, int32_t id)
{
    do {
        id--;
    } while (id >= 0 && (id >= l->n_count || l->count[id] == 0));
    return id;
}

int survey_experts(const struct survey *s, const struct request *r)
{
    int n = 0;
    for (int i = 0; i < LOGBOOK_MAX_LAYERS; i++) {
        const struct survey_layer *l = s->layers[i];
        if (l != NULL && !survey_layer_is_dense(l)) {
            int seen = l->n_experts > l->largest ? l->n_experts : l->largest + 1;
            n = seen > n ? seen : n;
        }
    }
    return r->experts > 0 ? (int)r->experts : n;
}
