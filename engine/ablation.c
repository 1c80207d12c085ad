#include "engine/ablation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/text.h"
#include "engine/blas.h"
#include "engine/record.h"
#include "engine/task.h"
#include "engine/trainer.h"
#include "sql/read.h"

enum { NAME_MAX_LENGTH = 512 };

struct subject { /* the run, as the logbook knows it */
    int64_t id, seed, step;
    char *name, *uuid, *checkpoint, sha256[SHA256_HEX];
    int n_layers, layer[MAX_LAYERS], n_experts[MAX_LAYERS], k[MAX_LAYERS];
};

struct ablation {
    enum intervention_kind kind;
    int layer;     /* -1: all */
    int expert, k; /* of those kinds that have one; otherwise -1 and 0 */
    char *name;    /* of its run */
    bool begun;    /* broken off, or of another step: made anew */
};

struct plan { /* those that are not there yet */
    struct ablation *items;
    int n;
};

struct job {
    const struct ablation_request *request;
    struct subject subject;
    struct plan plan;
    struct checkpoint checkpoint;
    struct corpus corpus;
    struct pool *pool;
    struct trainer trainer;
    struct logbook *logbook;
    struct recorder recorder;
    struct intervention *interventions; /* (n_layers) */
    struct ranked_choices *untrained;   /* (n_layers) */
    int *order;
    char *lock;
    int lock_descriptor;
};

/* ---- the run ---- */

static int subject_read_row(struct subject *s, struct query *q, struct error *err)
{
    const char *path = query_text(q, "path");

    s->name = strdup(query_word(q, "name"));
    s->uuid = strdup(query_word(q, "uuid"));
    s->seed = query_int(q, "seed");
    if (!s->name || !s->uuid)
        return error_no_memory(err, "the run");
    if (query_text(q, "ablation_of"))
        return error_set(err, STATUS_USAGE, "'%s' is an ablation itself; name the run that it is of",
                         s->name);
    if (!path)
        return 0;
    s->checkpoint = strdup(path);
    s->step = query_int(q, "step");
    snprintf(s->sha256, sizeof s->sha256, "%s", query_word(q, "sha256"));
    return s->checkpoint ? 0 : error_no_memory(err, "the run");
}

static int subject_read_layers(struct subject *s, struct logbook *lb, struct error *err)
{
    struct query *q;
    int more;

    if (query_open(&q, lb, "analysis/layers", err))
        return -1;
    query_bind_int(q, ":run", s->id);
    while ((more = query_step(q, err)) > 0 && s->n_layers < MAX_LAYERS) {
        s->layer[s->n_layers] = (int)query_int(q, "layer");
        s->n_experts[s->n_layers] = (int)query_int(q, "n_experts");
        s->k[s->n_layers++] = query_is_null(q, "k") ? 0 : (int)query_int(q, "k");
    }
    query_close(q);
    if (more >= 0 && s->n_layers == 0)
        return error_set(err, STATUS_INPUT, "run '%s' has no MoE layers: there is nothing to ablate",
                         s->name);
    return more < 0 ? -1 : 0;
}

static int subject_read(struct subject *s, struct logbook *lb, const char *run, struct error *err)
{
    struct query *q;
    int result;

    if (logbook_find_run(lb, run, &s->id, err) || query_open(&q, lb, "ablate/run", err))
        return -1;
    query_bind_int(q, ":run", s->id);
    result = query_step(q, err) == 1 ? subject_read_row(s, q, err) : -1;
    query_close(q);
    return result || subject_read_layers(s, lb, err) ? -1 : 0;
}

/* ---- what is to be made ---- */

/* Whether its decisions are drawn. */
static bool is_drawn(enum intervention_kind kind)
{
    return kind == INTERVENE_RANDOM || kind == INTERVENE_SHUFFLED;
}

/* "top2/without.layer1.expert3", "top2/random@probe"; caller frees. */
static char *ablation_name(const struct ablation *a, const struct ablation_request *request, const char *run)
{
    struct text t;

    text_init(&t);
    text_printf(&t, "%s/%s", run, intervention_names[a->kind]);
    if (a->layer >= 0)
        text_printf(&t, ".layer%d", a->layer);
    if (a->expert >= 0)
        text_printf(&t, ".expert%d", a->expert);
    if (a->k > 0)
        text_printf(&t, ".%d", a->k);
    if (strcmp(request->split, "valid") != 0)
        text_printf(&t, "@%s", request->split);
    if (request->seed != 0 && is_drawn(a->kind))
        text_printf(&t, "#%lld", (long long)request->seed);
    return text_detach(&t);
}

static void bind_ablation(struct query *q, const struct job *j, const struct ablation *a)
{
    query_bind_text(q, ":of", j->subject.uuid);
    query_bind_text(q, ":what", intervention_names[a->kind]);
    query_bind_text(q, ":split", j->request->split);
    query_bind_int(q, ":step", j->subject.step);
    if (a->layer >= 0)
        query_bind_int(q, ":layer", a->layer);
    if (a->expert >= 0)
        query_bind_int(q, ":expert", a->expert);
    if (a->k > 0)
        query_bind_int(q, ":k", a->k);
    if (is_drawn(a->kind))
        query_bind_int(q, ":seed", j->request->seed);
}

/* Sets a->name; *done: nothing to do. */
static int find_ablation(const struct job *j, struct logbook *lb, struct ablation *a, bool *done,
                         struct error *err)
{
    struct query *q;
    int found;

    if (query_open(&q, lb, "ablate/find", err))
        return -1;
    bind_ablation(q, j, a);
    found = query_step(q, err);
    a->begun = found > 0;
    *done = found > 0 && query_int(q, "done");
    if (found >= 0 && !*done) {
        a->name = found > 0 ? strdup(query_word(q, "name")) : ablation_name(a, j->request, j->subject.name);
        if (!a->name)
            found = error_no_memory(err, "an ablation's name");
    }
    query_close(q);
    return found < 0 ? -1 : 0;
}

static int plan_add(struct job *j, struct logbook *lb, struct ablation a, struct error *err)
{
    struct plan *p = &j->plan;
    bool done;

    if (find_ablation(j, lb, &a, &done, err))
        return -1;
    if (done)
        return 0;
    if ((p->n & (p->n - 1)) == 0) { /* grows by doubling */
        struct ablation *items = realloc(p->items, (p->n ? 2 * (size_t)p->n : 1) * sizeof *items);
        if (!items) {
            free(a.name);
            return error_no_memory(err, "the ablations");
        }
        p->items = items;
    }
    p->items[p->n++] = a;
    return 0;
}

static bool is_of_experts(enum intervention_kind kind)
{
    return kind == INTERVENE_WITHOUT || kind == INTERVENE_REROUTED;
}

/* Every expert; every k below the layer's, where tokens differ in it 1, 2, 4, ...; or the layer as a whole.
 */
static int plan_layer(struct job *j, struct logbook *lb, enum intervention_kind kind, int i,
                      struct error *err)
{
    const struct subject *s = &j->subject;
    struct ablation a = {.kind = kind, .layer = s->layer[i], .expert = -1};
    int result = 0;

    if (is_of_experts(kind)) {
        for (a.expert = 0; a.expert < s->n_experts[i] && result == 0; a.expert++)
            result = plan_add(j, lb, a, err);
        return result;
    }
    if (kind != INTERVENE_K)
        return plan_add(j, lb, a, err);
    for (a.k = 1; a.k < (s->k[i] ? s->k[i] : s->n_experts[i]) && result == 0;
         a.k = s->k[i] ? a.k + 1 : 2 * a.k)
        result = plan_add(j, lb, a, err);
    return result;
}

static int plan_kind(struct job *j, struct logbook *lb, enum intervention_kind kind, struct error *err)
{
    const struct subject *s = &j->subject;
    const struct ablation whole_model = {.kind = kind, .layer = -1, .expert = -1};
    bool whole = !is_of_experts(kind) && kind != INTERVENE_K && j->request->layer < 0;

    if (whole && plan_add(j, lb, whole_model, err))
        return -1;
    if (whole && s->n_layers == 1)
        return 0;
    for (int i = 0; i < s->n_layers; i++) {
        if ((j->request->layer < 0 || s->layer[i] == j->request->layer) && plan_layer(j, lb, kind, i, err))
            return -1;
    }
    return 0;
}

static int make_plan(struct job *j, struct error *err)
{
    const struct subject *s = &j->subject;
    struct logbook *lb;
    bool known = j->request->layer < 0;
    int result = -1;

    if (logbook_open(&lb, j->request->logbook, err))
        return -1;
    if (subject_read(&j->subject, lb, j->request->run, err))
        goto done;
    for (int i = 0; i < s->n_layers; i++)
        known = known || s->layer[i] == j->request->layer;
    if (!known) {
        error_set(err, STATUS_USAGE, "run '%s' has no experts in layer %lld", s->name,
                  (long long)j->request->layer);
        goto done;
    }
    result = plan_add(j, lb, (struct ablation){.kind = INTERVENE_NOTHING, .layer = -1, .expert = -1}, err);
    for (int kind = 1; kind < N_INTERVENTIONS && result == 0; kind++) {
        if (j->request->what[kind])
            result = plan_kind(j, lb, kind, err);
    }
done:
    moescope_close(lb);
    return result;
}

/* ---- the model ---- */

/* Beside the logbook, where a run's checkpoint usually is, when it is not where it was written. */
static int find_checkpoint(const struct job *j, char path[NAME_MAX_LENGTH], struct error *err)
{
    const struct subject *s = &j->subject;
    const char *given = j->request->checkpoint;

    if (given || (s->checkpoint && file_exists(s->checkpoint))) {
        snprintf(path, NAME_MAX_LENGTH, "%s", given ? given : s->checkpoint);
        return 0;
    }
    snprintf(path, NAME_MAX_LENGTH, "%s.checkpoints/%s.safetensors", j->request->logbook, s->name);
    if (file_exists(path))
        return 0;
    return error_set(err, STATUS_INPUT,
                     "the checkpoint of '%s' is neither '%s' nor '%s'; pass --checkpoint FILE", s->name,
                     s->checkpoint ? s->checkpoint : "in the logbook", path);
}

static int open_checkpoint(struct job *j, struct error *err)
{
    char path[NAME_MAX_LENGTH], sha256[SHA256_HEX];
    struct checkpoint *c = &j->checkpoint;

    if (find_checkpoint(j, path, err) || checkpoint_open(c, path, err))
        return -1;
    sha256_bytes(c->bytes, c->n_bytes, sha256);
    if (!j->subject.checkpoint || strcmp(sha256, j->subject.sha256) != 0)
        return error_set(err, STATUS_INPUT,
                         "'%s' is not as run '%s' saved it last; is it damaged, or of another run?", path,
                         j->subject.name);
    /* Losses and loads are what is asked for. */
    if (config_assign(&c->config, "log.decisions", "none", err))
        return -1;
    return j->request->corpus ? config_assign(&c->config, "data.corpus", j->request->corpus, err) : 0;
}

static int open_model(struct job *j, struct error *err)
{
    const struct task *task = task_find(config_text(&j->checkpoint.config, "model.kind"));
    struct trainer *t = &j->trainer;

    if (!task || !task->routing)
        return error_set(err, STATUS_USAGE,
                         "run '%s' is of a model of kind %s, whose experts no router chooses as it learns",
                         j->subject.name, config_text(&j->checkpoint.config, "model.kind"));
    if (task_corpus(&j->corpus, &j->checkpoint.config, err))
        return -1;
    if (strcmp(j->corpus.sha256, j->checkpoint.state.corpus_sha256) != 0)
        return error_set(err, STATUS_INPUT, "'%s' is another corpus than '%s' was trained on; pass --corpus",
                         config_text(&j->checkpoint.config, "data.corpus"), j->subject.name);
    if (pool_open(&j->pool, (int)j->request->threads, err) ||
        trainer_init(t, &j->checkpoint.config, &j->corpus, j->subject.seed, j->pool, err))
        return -1;
    t->step = j->checkpoint.state.step;
    t->steps = -1; /* what an evaluation does at a run's end alone is not repeated */
    for (int i = 0; i < t->tally.n_layers; i++) {
        if (!task->routing(t, i))
            return error_set(
                err, STATUS_USAGE,
                "run '%s' has experts in layer %d that no router chooses: nothing can be changed",
                j->subject.name, t->tally.layers[i].layer);
    }
    return 0;
}

static const struct samples *samples_of(const struct job *j)
{
    return strcmp(j->request->split, "probe") == 0 ? &j->trainer.probe : &j->trainer.valid;
}

static enum corpus_split split_of(const struct job *j)
{
    return strcmp(j->request->split, "probe") == 0 ? SPLIT_PROBE : SPLIT_VALID;
}

/* ---- what the untrained model chose ---- */

static int collect_pass(void *context, int64_t step, enum corpus_split split, const struct pass *p,
                        struct error *err)
{
    struct job *j = context;

    (void)step;
    (void)split;
    for (int i = 0; i < p->n_layers; i++) {
        if (ranked_choices_add(&j->untrained[i], p->layers[i].routing, err))
            return -1;
    }
    return 0;
}

static int skip_summary(void *context, int64_t step, enum corpus_split split, const struct tally *t,
                        struct error *err)
{
    (void)context, (void)step, (void)split, (void)t, (void)err;
    return 0;
}

static int skip_metric(void *context, int64_t step, enum corpus_split split, const char *name, double value,
                       struct error *err)
{
    (void)context, (void)step, (void)split, (void)name, (void)value, (void)err;
    return 0;
}

/* Before the weights are loaded. */
static int collect_untrained(struct job *j, struct error *err)
{
    const struct sink sink = {
        .context = j, .pass = collect_pass, .summary = skip_summary, .metric = skip_metric};
    struct trainer *t = &j->trainer;

    for (int i = 0; i < t->tally.n_layers; i++) {
        int N = t->tally.layers[i].n_experts, k = j->subject.k[i];
        j->untrained[i] = (struct ranked_choices){.n_experts = N, .width = k ? k : N};
    }
    t->sink = &sink;
    int result = t->task->evaluate(t, samples_of(j), split_of(j), err);
    t->sink = NULL;
    return result;
}

static bool is_planned(const struct plan *p, enum intervention_kind kind)
{
    for (int i = 0; i < p->n; i++) {
        if (p->items[i].kind == kind)
            return true;
    }
    return false;
}

static int prepare_interventions(struct job *j, struct error *err)
{
    int n = j->trainer.tally.n_layers, most = 1;

    for (int i = 0; i < n; i++) {
        int tokens = j->trainer.task->routing(&j->trainer, i)->max_tokens;
        most = tokens > most ? tokens : most;
    }
    j->interventions = calloc((size_t)n, sizeof *j->interventions);
    j->untrained = calloc((size_t)n, sizeof *j->untrained);
    j->order = malloc((size_t)most * sizeof *j->order);
    if (!j->interventions || !j->untrained || !j->order)
        return error_no_memory(err, "the ablations");
    if (is_planned(&j->plan, INTERVENE_UNTRAINED) && collect_untrained(j, err))
        return -1;
    return checkpoint_load(&j->checkpoint, j->trainer.parameters, NULL, NULL, err) ||
                   (j->trainer.task->check && j->trainer.task->check(&j->trainer, &j->checkpoint, err))
               ? -1
               : 0;
}

/* ---- one ablation ---- */

static void intervene(struct job *j, const struct ablation *a)
{
    struct trainer *t = &j->trainer;

    for (int i = 0; i < t->tally.n_layers; i++) {
        struct intervention *v = &j->interventions[i];
        bool chosen = a->layer < 0 || a->layer == t->tally.layers[i].layer;
        *v = (struct intervention){.kind = a->kind,
                                   .expert = a->expert,
                                   .k = a->k,
                                   .order = j->order,
                                   .untrained = &j->untrained[i]};
        random_seed(&v->random, (uint64_t)j->request->seed,
                    (uint64_t)t->tally.layers[i].layer * N_INTERVENTIONS + (uint64_t)a->kind);
        t->task->routing(t, i)->intervention = chosen ? v : NULL;
    }
}

enum { MOST_SETTINGS = 7, SETTING_LENGTH = 64 };

struct own_settings {
    struct moescope_setting items[MOST_SETTINGS];
    char json[MOST_SETTINGS][SETTING_LENGTH];
    int n;
};

static void add_text(struct own_settings *s, const char *key, const char *value)
{
    snprintf(s->json[s->n], SETTING_LENGTH, "\"%s\"", value); /* uuids and names of ours */
    s->items[s->n] = (struct moescope_setting){key, s->json[s->n]};
    s->n++;
}

static void add_number(struct own_settings *s, const char *key, int64_t value)
{
    snprintf(s->json[s->n], SETTING_LENGTH, "%lld", (long long)value);
    s->items[s->n] = (struct moescope_setting){key, s->json[s->n]};
    s->n++;
}

static void describe(struct own_settings *s, const struct job *j, const struct ablation *a)
{
    s->n = 0;
    add_text(s, "ablate.run", j->subject.uuid);
    add_text(s, "ablate.what", intervention_names[a->kind]);
    add_text(s, "ablate.split", j->request->split);
    if (a->layer >= 0)
        add_number(s, "ablate.layer", a->layer);
    if (a->expert >= 0)
        add_number(s, "ablate.expert", a->expert);
    if (a->k > 0)
        add_number(s, "ablate.k", a->k);
    if (is_drawn(a->kind))
        add_number(s, "ablate.seed", j->request->seed);
}

static int evaluate_ablated(struct job *j, struct error *err)
{
    struct trainer *t = &j->trainer;
    int result = -1;

    t->sink = &j->recorder.sink;
    if (t->task->evaluate(t, samples_of(j), split_of(j), err) == 0)
        result = t->sink->commit(t->sink->context, err);
    t->sink = NULL;
    return result;
}

static int make_one(struct job *j, const struct ablation *a, const struct summary *model, struct error *err)
{
    struct own_settings settings;
    int result;

    describe(&settings, j, a);
    j->recorder.more = settings.items;
    j->recorder.n_more = settings.n;
    result = a->begun
                 ? recorder_resume(&j->recorder, a->name, 0, err)
                 : recorder_begin(&j->recorder, a->name, j->subject.seed, model, pool_threads(j->pool), err);
    if (result)
        return -1;
    intervene(j, a);
    result = evaluate_ablated(j, err);
    if (recorder_end(&j->recorder, result ? "failed" : "finished", result ? NULL : err))
        result = -1;
    return result;
}

static int make_all(struct job *j, struct error *err)
{
    struct progress progress;
    struct summary model;
    char label[NAME_MAX_LENGTH];

    j->trainer.task->summarise(&j->trainer, &model);
    snprintf(label, sizeof label, "ablations of %s", j->subject.name);
    progress_start(&progress, label, j->plan.n, 0, j->request->quiet);
    for (int i = 0; i < j->plan.n; i++) {
        if (make_one(j, &j->plan.items[i], &model, err))
            return -1;
        progress_update(&progress, i + 1, intervention_names[j->plan.items[i].kind]);
    }
    progress_finish(&progress, "done");
    return 0;
}

/* ---- all of it ---- */

static int take_lock(struct job *j, struct error *err)
{
    struct text t;

    text_init(&t);
    text_printf(&t, "%s.ablate.lock", j->request->logbook);
    j->lock = text_detach(&t);
    if (!j->lock)
        return error_no_memory(err, "a lock");
    return file_lock(j->lock, &j->lock_descriptor, err) ? error_prefix(err, "ablations are being made") : 0;
}

static void job_release(struct job *j)
{
    for (int i = 0; j->untrained && i < j->trainer.tally.n_layers; i++)
        ranked_choices_release(&j->untrained[i]);
    free(j->untrained);
    free(j->interventions);
    free(j->order);
    recorder_release(&j->recorder);
    moescope_close(j->logbook);
    trainer_release(&j->trainer);
    pool_close(j->pool);
    corpus_release(&j->corpus);
    checkpoint_close(&j->checkpoint);
    for (int i = 0; i < j->plan.n; i++)
        free(j->plan.items[i].name);
    free(j->plan.items);
    free(j->subject.name);
    free(j->subject.uuid);
    free(j->subject.checkpoint);
    file_unlock(j->lock, j->lock_descriptor);
    free(j->lock);
}

int ablation_make(const struct ablation_request *request, struct error *err)
{
    struct job j = {.request = request, .lock_descriptor = -1};
    int result = make_plan(&j, err);

    if (result == 0 && j.plan.n > 0) {
        blas_start();
        result = take_lock(&j, err) || open_checkpoint(&j, err) || open_model(&j, err) ||
                         prepare_interventions(&j, err) || moescope_open(&j.logbook, request->logbook, err) ||
                         recorder_open(&j.recorder, j.logbook, &j.checkpoint.config, &j.corpus, err) ||
                         make_all(&j, err)
                     ? -1
                     : 0;
    }
    job_release(&j);
    return result;
}
