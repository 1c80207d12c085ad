#include "import/shared/keep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "import/shared/texts.h"
#include "import/shared/vocabulary.h"
#include "sql/codec.h"

enum { QUEUE_BYTES = 24 << 20 };

struct piece_of { /* of a stretch: within one document, and short enough for a block */
    int sequence; /* handle in the batch */
    int first, n, domain;
};

struct held { /* a stretch whose layers may still come */
    int first_piece, n_pieces;
};

struct kept_layer {
    const struct survey_layer *from;
    int number;                                      /* in the logbook */
    bool varies;                                     /* rows need to be looked at one by one */
    bool seen, gates_unknown, probabilities_unknown; /* in the step at hand */
};

struct sums { /* of a domain, of the step at hand; (n_layers, n_experts) each */
    int64_t *assignments;
    double *gates, *probabilities;
};

struct keep {
    const struct survey *survey;
    const struct request *request;
    struct side *side;
    struct logbook *logbook;
    struct moescope_writer *writer;
    struct moescope_batch *batch;
    struct texts texts;
    struct vocabulary_file vocabulary;
    const char *split;
    int64_t run_id, step, step_tokens;
    int64_t n_choices; /* that were written */
    int64_t *starts;   /* (n_files) offset of each file's first token without a document; -1 */
    int64_t position;  /* in the stream of all tokens, of the next one */
    bool domains, drop_gates;
    int n_experts, n_layers, most_tokens;
    int index_of[LOGBOOK_MAX_LAYERS]; /* by the file's number; -1: left out */
    struct kept_layer layers[LOGBOOK_MAX_LAYERS];
    struct sums *sums; /* (n_sums) 0: all domains, d + 1: domain d */
    int n_sums;
    struct held *held;
    int n_held, held_capacity;
    struct piece_of *pieces;
    int n_pieces, pieces_capacity;
    int32_t *ids; /* of a piece */
    float *wide;  /* (n_wide) probabilities of more experts than their file has */
    size_t n_wide;
    struct integers_of {
        int32_t *offsets, *expert;
        float *gate;
        int64_t capacity;
    } rows; /* of a block that varies */
};

/* ---- layers ---- */

static bool row_wise(const struct survey_layer *l, int n_experts)
{
    return l->columns <= 0 || l->n_unrouted > 0 || l->n_missing > 0 || l->n_duplicated > 0 || l->n_zero > 0 ||
           l->largest >= n_experts;
}

/* The model's blocks come first; those that predict further tokens are numbered on. */
static void number_layers(struct keep *k)
{
    int base = k->request->layer_base == 1 ? 1 : 0, behind = 0, widest = 1;
    for (int i = 0; i < LOGBOOK_MAX_LAYERS; i++) {
        const struct survey_layer *l = k->survey->layers[i];
        k->index_of[i] = -1;
        if (l == NULL || survey_layer_is_dense(l)) {
            continue;
        }
        struct kept_layer *to = &k->layers[k->n_layers];
        *to = (struct kept_layer){.from = l, .varies = row_wise(l, k->n_experts)};
        to->number = i < MTP_LAYER ? i - base : behind;
        behind = to->number + 1;
        widest = l->widest > widest ? l->widest : widest;
        k->index_of[i] = k->n_layers++;
    }
    int most = CODEC_MAX_DECISIONS / widest;
    k->most_tokens = most < STRETCH_TOKENS ? most : STRETCH_TOKENS;
}

static int begin_run(struct keep *k, const struct keep_run *run, struct error *err)
{
    struct moescope_layer *layers = calloc((size_t)k->n_layers + 1, sizeof *layers);
    if (layers == NULL) {
        return error_no_memory(err, "the layers of a run");
    }
    for (int i = 0; i < k->n_layers; i++) {
        const struct kept_layer *l = &k->layers[i];
        layers[i] = (struct moescope_layer){.layer = l->number,
                                            .router = run->router,
                                            .n_experts = k->n_experts,
                                            .k = l->varies ? 0 : l->from->columns};
        if (l->from->n_rows == 0) {
            layers[i].k = k->request->topk > 0 ? (int)k->request->topk : k->survey->topk;
        }
    }
    const struct moescope_run of = {.name = run->name,
                                    .task = "language_model",
                                    .router = run->router,
                                    .program = "moescope import " MOESCOPE_VERSION,
                                    .corpus_id = k->texts.corpus_id,
                                    .vocabulary_id = k->texts.vocabulary_id,
                                    .config = run->config,
                                    .n_config = run->n_config,
                                    .layers = layers,
                                    .n_layers = k->n_layers};
    int result = moescope_begin_run(run->logbook, &of, &k->run_id, err);
    free(layers);
    return result;
}

static bool has_domains(const struct keep *k)
{
    bool domains = k->survey->has_domains || side_has_domains(k->side);
    for (int i = 0; i < k->request->n_files; i++) {
        domains = domains || k->request->domains[i] != NULL;
    }
    return domains;
}

int keep_open(struct keep **out, const struct keep_run *run, const struct survey *s, const struct request *r,
              struct side *side, struct error *err)
{
    const struct moescope_writer_options options = {.gate_bits = 16, .queue_bytes = QUEUE_BYTES};
    struct keep *k = *out = calloc(1, sizeof *k);
    if (k == NULL) {
        return error_no_memory(err, "an import");
    }
    *k = (struct keep){
        .survey = s, .request = r, .side = side, .logbook = run->logbook, .split = run->split, .step = -1};
    k->n_experts = survey_experts(s, r);
    if (k->n_experts > CODEC_MAX_EXPERTS) {
        return error_set(
            err, STATUS_INPUT,
            "'%s' names expert %d, and a logbook takes %d experts; --experts says how many there are",
            r->files[0], k->n_experts - 1, CODEC_MAX_EXPERTS);
    }
    for (int i = 0; i < LOGBOOK_MAX_LAYERS; i++) {
        const struct survey_layer *l = s->layers[i];
        if (l != NULL && l->n_probability_rows > 0 && l->n_experts > k->n_experts) {
            return error_set(err, STATUS_USAGE, "layer %d has scores of %d experts, and --experts says %d", i,
                             l->n_experts, k->n_experts);
        }
    }
    k->domains = has_domains(k);
    k->drop_gates = trap_accepted(&r->accept, TRAP_SELECTION_SCORE) && survey_has_wrong_gates(s);
    if (r->layer_base == 1 && s->layers[0] != NULL && !survey_layer_is_dense(s->layers[0])) {
        return error_set(err, STATUS_USAGE, "there is a layer 0; --layer-base 1 cannot be");
    }
    number_layers(k);
    k->ids = calloc((size_t)k->most_tokens + 1, sizeof *k->ids);
    k->starts = malloc((size_t)r->n_files * sizeof *k->starts);
    if (k->ids == NULL || k->starts == NULL) {
        return error_no_memory(err, "an import");
    }
    for (int f = 0; f < r->n_files; f++) {
        k->starts[f] = -1;
    }
    if (run->vocabulary != NULL && vocabulary_file_open(&k->vocabulary, run->vocabulary, err) != 0) {
        return -1;
    }
    side_rewind(side);
    if (texts_open(&k->texts, run->logbook, run->split, run->texts, run->name,
                   run->vocabulary != NULL ? &k->vocabulary : NULL, s->n_with_ids > 0 || side->ids != NULL,
                   err) != 0 ||
        begin_run(k, run, err) != 0) {
        return -1;
    }
    return moescope_writer_open(&k->writer, run->logbook, k->run_id, &options, err);
}

static void sums_release(struct sums *s)
{
    free(s->assignments);
    free(s->gates);
    free(s->probabilities);
}

void keep_close(struct keep *k)
{
    if (k == NULL) {
        return;
    }
    if (k->batch != NULL) {
        moescope_batch_discard(k->batch);
    }
    moescope_writer_close(k->writer, NULL);
    for (int i = 0; i < k->n_sums; i++) {
        sums_release(&k->sums[i]);
    }
    texts_release(&k->texts);
    vocabulary_file_close(&k->vocabulary);
    free(k->sums);
    free(k->held);
    free(k->pieces);
    free(k->ids);
    free(k->starts);
    free(k->wide);
    free(k->rows.offsets);
    free(k->rows.expert);
    free(k->rows.gate);
    free(k);
}

/* ---- sums of a step ---- */

static struct sums *sums_of(struct keep *k, int domain, struct error *err)
{
    while (k->n_sums <= domain + 1) {
        size_t n = (size_t)k->n_layers * (size_t)k->n_experts + 1;
        struct sums *sums = realloc(k->sums, ((size_t)k->n_sums + 1) * sizeof *sums);
        if (sums == NULL) {
            (void)error_no_memory(err, "the loads of a step");
            return NULL;
        }
        k->sums = sums;
        sums[k->n_sums] =
            (struct sums){calloc(n, sizeof(int64_t)), calloc(n, sizeof(double)), calloc(n, sizeof(double))};
        struct sums *s = &sums[k->n_sums++];
        if (s->assignments == NULL || s->gates == NULL || s->probabilities == NULL) {
            (void)error_no_memory(err, "the loads of a step");
            return NULL;
        }
    }
    return &k->sums[domain + 1];
}

static struct moescope_batch *batch_of(struct keep *k, struct error *err)
{
    if (k->batch == NULL) {
        k->batch = moescope_batch_new(k->writer, err);
    }
    return k->batch;
}

static void log_load(struct keep *k, int layer, int domain)
{
    size_t at = (size_t)layer * (size_t)k->n_experts;
    const struct kept_layer *l = &k->layers[layer];
    const struct sums *s = &k->sums[domain + 1];
    const struct moescope_load load = {.domain_id = domain < 0 ? 0 : k->texts.domain_ids[domain],
                                       .layer = l->number,
                                       .n_experts = k->n_experts,
                                       .assignments = s->assignments + at,
                                       .gate_sum = l->gates_unknown ? NULL : s->gates + at,
                                       .probability_sum =
                                           l->probabilities_unknown ? NULL : s->probabilities + at};
    moescope_batch_load(k->batch, k->step, k->split, &load);
}

static int end_step(struct keep *k, struct error *err)
{
    if (k->step < 0) {
        return 0;
    }
    if (batch_of(k, err) == NULL) {
        return -1;
    }
    for (int i = 0; i < k->n_layers; i++) {
        for (int d = -1; k->layers[i].seen && d < (k->domains ? k->n_sums - 1 : 0); d++) {
            log_load(k, i, d);
        }
        k->layers[i].seen = k->layers[i].gates_unknown = k->layers[i].probabilities_unknown = false;
    }
    size_t n = (size_t)k->n_layers * (size_t)k->n_experts;
    for (int d = 0; d < k->n_sums; d++) {
        memset(k->sums[d].assignments, 0, n * sizeof(int64_t));
        memset(k->sums[d].gates, 0, n * sizeof(double));
        memset(k->sums[d].probabilities, 0, n * sizeof(double));
    }
    moescope_batch_metric(k->batch, k->step, k->split, "tokens", (double)k->step_tokens);
    k->step_tokens = 0;
    return keep_flush(k, err);
}

static int reach_step(struct keep *k, int64_t step, struct error *err)
{
    if (step == k->step) {
        return 0;
    }
    if (end_step(k, err) != 0) {
        return -1;
    }
    k->step = step;
    return 0;
}

int64_t keep_choices_written(const struct keep *k)
{
    return k != NULL ? k->n_choices : 0;
}

int keep_flush(struct keep *k, struct error *err)
{
    struct moescope_batch *b = k->batch;
    k->batch = NULL;
    k->n_held = k->n_pieces = 0;
    return b != NULL ? moescope_batch_commit(b, err) : 0;
}

int keep_finish(struct keep *k, struct error *err)
{
    struct moescope_writer *w = k->writer;
    if (end_step(k, err) != 0) {
        return -1;
    }
    k->writer = NULL;
    return moescope_writer_close(w, err) == 0 ? moescope_end_run(k->logbook, k->run_id, "imported", err) : -1;
}

/* ---- stretches, cut into pieces ---- */

static void *grow(void *items, int n, int *capacity, size_t size, struct error *err)
{
    if (n < *capacity) {
        return items;
    }
    int more = *capacity > 0 ? 2 * *capacity : 64;
    void *grown = realloc(items, (size_t)more * size);
    if (grown == NULL) {
        (void)error_no_memory(err, "pieces of text");
        return NULL;
    }
    *capacity = more;
    return grown;
}

/* Where a piece lies. */
struct place {
    int64_t at; /* in the stream of all tokens */
    int64_t document, offset;
    int n, domain;
    bool ends, cut; /* its document does, as far as is known; by a place of --documents */
};

/* A place in the stream that --documents gives a document wins over the names in the log. */
static int find_placed(struct keep *k, const struct stretch *t, const char *otherwise, struct place *p,
                       bool *found, struct error *err)
{
    int64_t next;
    const struct side_document *d = side_at(k->side, p->at, &next);
    *found = d != NULL;
    p->ends = p->cut = next - p->at <= p->n;
    p->n = p->ends ? (int)(next - p->at) : p->n;
    if (d == NULL) {
        return 0;
    }
    p->offset = p->at - d->first;
    const char *domain = d->domain != NULL ? d->domain : t->domain != NULL ? t->domain : otherwise;
    return texts_document(&k->texts, d->name, domain, d, &p->document, &p->domain, err);
}

/* A log without documents is one, and named by what says its tokens. */
static const char *name_of_file(const struct keep *k, const struct stretch *t)
{
    return k->request->tokens != NULL ? k->request->tokens : k->request->files[t->file];
}

/* Which document the piece that begins at token `first` of the stretch lies in; cut at its end. */
static int find_document(struct keep *k, const struct stretch *t, int first, struct place *p,
                         struct error *err)
{
    const char *of_file = k->request->domains[t->file], *listed = t->listed != NULL ? t->listed : t->document;
    char base[256];
    bool found;
    int result = find_placed(k, t, of_file, p, &found, err);
    if (result != 0 || found) {
        return result;
    }
    const char *name = t->document != NULL ? t->document : name_of_file(k, t);
    if (t->document == NULL) {
        request_base_name(name, base, sizeof base);
        listed = side_named(k->side, name) != NULL ? name : base;
    }
    const struct side_document *d = side_named(k->side, listed);
    const char *domain = d != NULL && d->domain != NULL ? d->domain : t->domain != NULL ? t->domain : of_file;
    p->offset = t->document != NULL          ? t->offset + first
                : k->request->tokens != NULL ? p->at
                                             : t->offset + first - k->starts[t->file];
    p->ends = p->ends || (t->document != NULL && first + p->n == t->n_tokens);
    return texts_document(&k->texts, name, domain, d, &p->document, &p->domain, err);
}

/* The ids of the piece's tokens and the one behind, 0 where it is not known. */
static int find_ids(struct keep *k, const struct stretch *t, int first, const struct place *p,
                    struct error *err)
{
    int n = p->n;
    memset(k->ids, 0, ((size_t)n + 1) * sizeof *k->ids);
    if (t->n_ids > 0) {
        int most = p->cut ? n : n + 1, there = t->n_ids - first < most ? t->n_ids - first : most;
        memcpy(k->ids, t->ids + first, (size_t)there * sizeof *k->ids);
    } else if (k->side->ids != NULL) {
        int64_t got;
        return side_read_ids(k->side, p->at, p->ends ? n : n + 1, k->ids, &got, err);
    }
    return 0;
}

static int add_piece(struct keep *k, const struct stretch *t, int first, struct place *at, struct error *err)
{
    struct piece_of *pieces = grow(k->pieces, k->n_pieces, &k->pieces_capacity, sizeof *pieces, err);
    if (pieces == NULL) {
        return -1;
    }
    k->pieces = pieces;
    if (find_document(k, t, first, at, err) != 0 || find_ids(k, t, first, at, err) != 0) {
        return -1;
    }
    const struct moescope_sequence q = {
        .document_id = at->document, .offset = at->offset, .n_tokens = at->n, .ids = k->ids};
    pieces[k->n_pieces++] =
        (struct piece_of){.first = first,
                          .n = at->n,
                          .domain = at->domain,
                          .sequence = moescope_batch_sequence(k->batch, t->step, k->split, &q)};
    return 0;
}

int keep_stretch(struct keep *k, const struct stretch *t, int *handle, struct error *err)
{
    if (reach_step(k, t->step, err) != 0 || batch_of(k, err) == NULL) {
        return -1;
    }
    struct held *held = grow(k->held, k->n_held, &k->held_capacity, sizeof *held, err);
    if (held == NULL) {
        return -1;
    }
    k->held = held;
    struct held h = {.first_piece = k->n_pieces};
    int64_t position = t->again ? t->offset : k->position;
    if (k->starts[t->file] < 0 && t->document == NULL) {
        k->starts[t->file] = t->offset;
    }
    for (int first = 0; first < t->n_tokens;) {
        int n = t->n_tokens - first < k->most_tokens ? t->n_tokens - first : k->most_tokens;
        struct place at = {.at = position + first, .n = n};
        if (add_piece(k, t, first, &at, err) != 0) {
            return -1;
        }
        first += at.n;
        h.n_pieces++;
    }
    *handle = k->n_held;
    held[k->n_held++] = h;
    k->step_tokens += t->again ? 0 : t->n_tokens;
    k->position += t->again ? 0 : t->n_tokens;
    return 0;
}

/* ---- choices ---- */

static int reserve_rows(struct keep *k, int64_t n, struct error *err)
{
    if (n <= k->rows.capacity) {
        return 0;
    }
    free(k->rows.offsets);
    free(k->rows.expert);
    free(k->rows.gate);
    k->rows.capacity = 0;
    k->rows.offsets = malloc(((size_t)n + 1) * sizeof *k->rows.offsets);
    k->rows.expert = malloc((size_t)n * sizeof *k->rows.expert);
    k->rows.gate = malloc((size_t)n * sizeof *k->rows.gate);
    if (k->rows.offsets == NULL || k->rows.expert == NULL || k->rows.gate == NULL) {
        return error_no_memory(err, "rows of choices");
    }
    k->rows.capacity = n;
    return 0;
}

static bool occurs(const int32_t *e, int n, int32_t id)
{
    for (int i = 0; i < n; i++) {
        if (e[i] == id) {
            return true;
        }
    }
    return false;
}

static bool all_zero(const int32_t *e, int n)
{
    int32_t any = 0;
    for (int i = 0; i < n; i++) {
        any |= e[i];
    }
    return any == 0 && n > 1;
}

/* What is a choice: the rest was accepted to be none. */
static int keep_choices(struct keep *k, const int32_t *e, const float *g, int n, int64_t at)
{
    int kept = 0;
    int32_t *to = k->rows.expert + at;
    for (int i = 0; i < n && !all_zero(e, n); i++) {
        if (e[i] >= 0 && e[i] < k->n_experts && !occurs(to, kept, e[i])) {
            to[kept] = e[i];
            k->rows.gate[at + kept++] = g != NULL ? g[i] : 0;
        }
    }
    return kept;
}

static int vary(struct keep *k, const struct routed *r, const struct piece_of *p, struct moescope_block *b,
                struct error *err)
{
    int64_t n = 0;
    if (reserve_rows(k, (int64_t)p->n * r->k + 1, err) != 0) {
        return -1;
    }
    for (int t = 0; t < p->n; t++) {
        size_t at = ((size_t)p->first + (size_t)t) * (size_t)r->k;
        k->rows.offsets[t] = (int32_t)n;
        n += keep_choices(k, r->expert + at, b->gate != NULL ? r->gate + at : NULL, r->k, n);
    }
    k->rows.offsets[p->n] = (int32_t)n;
    b->k = 0;
    b->offsets = k->rows.offsets;
    b->expert = k->rows.expert;
    b->gate = b->gate != NULL ? k->rows.gate : NULL;
    return 0;
}

static void count(struct sums *s, size_t at, const struct moescope_block *b, int64_t n)
{
    int64_t *assignments = s->assignments + at;
    double *gates = s->gates + at;
    for (int64_t i = 0; i < n; i++) {
        assignments[b->expert[i]]++;
    }
    for (int64_t i = 0; b->gate != NULL && i < n; i++) {
        gates[b->expert[i]] += b->gate[i];
    }
}

static void count_probabilities(const struct keep *k, struct sums *s, size_t at, const float *p, int n_tokens)
{
    for (int t = 0; t < n_tokens; t++) {
        for (int e = 0; e < k->n_experts; e++) {
            s->probabilities[at + (size_t)e] += p[(size_t)t * (size_t)k->n_experts + (size_t)e];
        }
    }
}

/* The router's probabilities of the piece's tokens, of as many experts as the run has. NULL: out of memory.
 */
static const float *of_all_experts(struct keep *k, const struct routed *r, const struct piece_of *p,
                                   struct error *err)
{
    const float *from = r->probability + (size_t)p->first * (size_t)r->n_experts;
    size_t width = (size_t)k->n_experts, n = (size_t)p->n * width;
    if (r->n_experts == k->n_experts) {
        return from;
    }
    if (n > k->n_wide) {
        free(k->wide);
        k->wide = malloc(n * sizeof *k->wide);
        k->n_wide = k->wide != NULL ? n : 0;
    }
    if (k->wide == NULL) {
        (void)error_no_memory(err, "probabilities");
        return NULL;
    }
    memset(k->wide, 0, n * sizeof *k->wide);
    for (size_t t = 0; t < (size_t)p->n; t++) {
        memcpy(k->wide + t * width, from + t * (size_t)r->n_experts, (size_t)r->n_experts * sizeof *from);
    }
    return k->wide;
}

static int add_block(struct keep *k, const struct routed *r, int layer, const struct piece_of *p,
                     struct error *err)
{
    const struct kept_layer *l = &k->layers[layer];
    size_t at = (size_t)p->first * (size_t)r->k, of_layer = (size_t)layer * (size_t)k->n_experts;
    bool gates = r->gate != NULL && !k->drop_gates;
    struct moescope_block b = {.layer = l->number,
                               .n_experts = k->n_experts,
                               .k = r->k,
                               .expert = r->expert + at,
                               .gate = gates ? r->gate + at : NULL};
    if (l->varies && vary(k, r, p, &b, err) != 0) {
        return -1;
    }
    int64_t n = l->varies ? b.offsets[p->n] : (int64_t)p->n * r->k;
    k->n_choices += n;
    const float *probability = NULL;
    if (r->probability != NULL && (probability = of_all_experts(k, r, p, err)) == NULL) {
        return -1;
    }
    moescope_batch_routing(k->batch, p->sequence, &b);
    if (probability != NULL) {
        moescope_batch_probability(k->batch, p->sequence, l->number, k->n_experts, probability);
    }
    for (int d = -1; d <= p->domain; d = d < 0 && k->domains ? p->domain : p->domain + 1) {
        struct sums *s = sums_of(k, d, err);
        if (s == NULL) {
            return -1;
        }
        count(s, of_layer, &b, n);
        if (probability != NULL) {
            count_probabilities(k, s, of_layer, probability, p->n);
        }
    }
    return 0;
}

int keep_routing(struct keep *k, int handle, const struct routed *r, struct error *err)
{
    int layer = k->index_of[r->layer];
    const struct held *h = &k->held[handle];
    if (layer < 0) {
        return 0;
    }
    struct kept_layer *l = &k->layers[layer];
    l->seen = true;
    l->gates_unknown = l->gates_unknown || r->gate == NULL || k->drop_gates;
    l->probabilities_unknown = l->probabilities_unknown || r->probability == NULL;
    for (int i = 0; i < h->n_pieces; i++) {
        if (add_block(k, r, layer, &k->pieces[h->first_piece + i], err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- counts ---- */

int keep_load(struct keep *k, const struct load *load, struct error *err)
{
    int layer = k->index_of[load->layer], domain = -1;
    const char *name = load->domain != NULL ? load->domain : k->request->domains[load->file];
    if (reach_step(k, load->step, err) != 0 || layer < 0) {
        return layer < 0 ? 0 : -1;
    }
    if (k->domains && texts_domain(&k->texts, name != NULL ? name : "unknown", &domain, err) != 0) {
        return -1;
    }
    struct kept_layer *l = &k->layers[layer];
    l->seen = l->gates_unknown = l->probabilities_unknown = true;
    for (int d = -1; d <= domain; d = d < 0 && k->domains ? domain : domain + 1) {
        struct sums *s = sums_of(k, d, err);
        if (s == NULL) {
            return -1;
        }
        for (int e = 0; e < load->n_experts && e < k->n_experts; e++) {
            s->assignments[(size_t)layer * (size_t)k->n_experts + (size_t)e] += load->count[e];
            k->n_choices += d < 0 ? load->count[e] : 0;
        }
    }
    return 0;
}
