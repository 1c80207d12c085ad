#include <pthread.h>
#include <stdlib.h>

#include "analysis/shared/selection.h"
#include "analysis/shared/specialization.h"

void specialization_release(struct specialization *s)
{
    for (int i = 0; i < s->n_routed; i++)
        routed_release(&s->routed[i]);
    for (int i = 0; i < s->n_lifts; i++) {
        free(s->lifts[i]);
        free(s->q[i]);
    }
    free(s->routed);
    free(s->lifts);
    free(s->q);
    associations_release(&s->associations);
    questions_release(&s->questions);
    documents_release(&s->documents);
    probe_pass_release(&s->first);
    probe_pass_release(&s->last);
    string_list_release(&s->where);
}

/* ---- the probe ---- */

static int read_passes(struct specialization *s, const struct analysis *a, struct error *err)
{
    if (documents_read(&s->documents, a->logbook, a->run_id, a->run, &s->where, err) != 0 ||
        documents_choose_step(&s->documents, a->run, &s->step, err) != 0 ||
        probe_pass_read(&s->last, a->logbook, a->run_id, s->step, err) != 0)
        return -1;
    int64_t first = s->documents.steps[0];
    return first == s->step ? 0 : probe_pass_read(&s->first, a->logbook, a->run_id, first, err);
}

int specialization_read(struct specialization *s, const struct analysis *a, struct error *err)
{
    if (selection_check(&s->where, err) != 0 ||
        imported_read(&s->imported, a->logbook, a->run_id, err) != 0 || read_passes(s, a, err) != 0)
        return -1;
    s->routed = calloc((size_t)a->n_layers, sizeof *s->routed);
    if (!s->routed)
        return error_no_memory(err, "the probe's routing");
    for (; s->n_routed < a->n_layers; s->n_routed++) {
        const struct moe_layer *l = &a->layers[s->n_routed];
        if (routed_init(&s->routed[s->n_routed], &s->documents, &s->last, l->layer, l->n_experts, err) != 0)
            return -1;
    }
    return 0;
}

int specialization_follow(const struct specialization *s, const struct analysis *a, struct course *c,
                          struct error *err)
{
    return course_follow(c, a->logbook, a->run_id, &s->documents, s->routed, a->n_layers, s->step, err);
}

/* ---- information ---- */

/* All layers at one step. Most of this program's time goes into the permutations, so that the two steps are
 * measured side by side. */
struct measuring {
    const struct analysis *analysis;
    const struct documents *documents;
    const struct questions *questions;
    const struct probe_pass *pass;
    int n_permutations;
    struct hashed hashed;
    struct associations associations;
    int result;
    struct error err;
};

static int measure_layer(struct measuring *m, const struct moe_layer *layer)
{
    struct routed routed;
    if (routed_init(&routed, m->documents, m->pass, layer->layer, layer->n_experts, &m->err) != 0)
        return -1;
    int result = associations_measure(&m->associations, m->questions, m->documents, &routed, m->pass->step,
                                      m->n_permutations, &m->hashed, &m->err);
    routed_release(&routed);
    return result;
}

static void *measure_pass(void *context)
{
    struct measuring *m = context;
    for (int i = 0; i < m->analysis->n_layers && m->result == 0; i++)
        m->result = measure_layer(m, &m->analysis->layers[i]);
    if (m->result == 0)
        m->result = associations_adjust(&m->associations, m->pass->step, &m->err);
    hashed_release(&m->hashed);
    return NULL;
}

static int measure_both(struct measuring passes[2], struct error *err)
{
    pthread_t thread;
    bool beside = passes[1].pass->n > 0 && pthread_create(&thread, NULL, measure_pass, &passes[1]) == 0;
    measure_pass(&passes[0]);
    if (beside)
        pthread_join(thread, NULL);
    else if (passes[1].pass->n > 0)
        measure_pass(&passes[1]);
    for (int i = 0; i < 2; i++)
        if (passes[i].result != 0) {
            *err = passes[i].err;
            return -1;
        }
    return 0;
}

int specialization_associate(struct specialization *s, const struct analysis *a, struct error *err)
{
    if (s->associations.n > 0)
        return 0;
    if (questions_prepare(&s->questions, &s->documents, !s->imported.ids_unknown, err) != 0)
        return -1;
    struct measuring passes[2] = {{.analysis = a,
                                   .documents = &s->documents,
                                   .questions = &s->questions,
                                   .n_permutations = (int)s->permutations}};
    passes[1] = passes[0];
    passes[0].pass = &s->last;
    passes[1].pass = &s->first;
    int result = measure_both(passes, err);
    if (result == 0)
        result = associations_join(&s->associations, &passes[0].associations, err);
    if (result == 0)
        result = associations_join(&s->associations, &passes[1].associations, err);
    associations_release(&passes[0].associations);
    associations_release(&passes[1].associations);
    return result;
}

const struct association *specialization_before(const struct specialization *s, const struct association *x)
{
    if (s->first.n == 0 || x->step == s->first.step)
        return NULL;
    return associations_find(&s->associations, x->layer, x->label, s->first.step);
}

/* ---- lift ---- */

/* Adjusts the p-values of all layers, domains and experts together. */
static int adjust(struct specialization *s, const struct analysis *a, struct error *err)
{
    int n = 0, at = 0;
    for (int i = 0; i < a->n_layers; i++)
        n += specialization_domains(s) * a->layers[i].n_experts;
    double *p = malloc(((size_t)n + 1) * sizeof *p);
    if (!p)
        return error_no_memory(err, "the lifts");
    for (int i = 0; i < a->n_layers; i++)
        for (int c = 0; c < specialization_domains(s) * a->layers[i].n_experts; c++)
            p[at++] = s->lifts[i][c].p;
    int result = benjamini_hochberg(p, n, p, err);
    at = 0;
    for (int i = 0; i < a->n_layers; i++)
        for (int c = 0; c < specialization_domains(s) * a->layers[i].n_experts; c++)
            s->q[i][c] = p[at++];
    free(p);
    return result;
}

static int measure_layer_lift(struct specialization *s, const struct routed *routed, struct lift_cell *cells,
                              struct error *err)
{
    struct interval_options o = interval_defaults();
    struct random r;
    random_seed(&r, 2, (uint64_t)routed->layer);
    return domain_lift(routed->count, routed->tokens, s->documents.labels[0].value, s->documents.n_documents,
                       specialization_domains(s), routed->n_experts, &o, &r, cells, err);
}

int specialization_lift(struct specialization *s, const struct analysis *a, struct error *err)
{
    if (s->lifts)
        return 0;
    s->lifts = calloc((size_t)a->n_layers, sizeof(struct lift_cell *));
    s->q = calloc((size_t)a->n_layers, sizeof(double *));
    if (!s->lifts || !s->q)
        return error_no_memory(err, "the lifts");
    s->n_lifts = a->n_layers;
    for (int i = 0; i < a->n_layers; i++) {
        size_t n = (size_t)specialization_domains(s) * (size_t)a->layers[i].n_experts;
        s->lifts[i] = calloc(n, sizeof **s->lifts);
        s->q[i] = calloc(n, sizeof **s->q);
        if (!s->lifts[i] || !s->q[i])
            return error_no_memory(err, "the lifts");
        if (measure_layer_lift(s, &s->routed[i], s->lifts[i], err) != 0)
            return -1;
    }
    return adjust(s, a, err);
}
