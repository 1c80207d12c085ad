/* moescope ablate: what does the model lose when its routing is interfered with? The ablations that are
 * missing are made (engine/ablation.h), each a run of its own in the logbook; the tables read all that there
 * are. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/ablated.h"
#include "base/options.h"
#include "engine/ablation.h"

struct state {
    struct ablation_request request;
    struct string_list what;
    bool no_new;
    struct ablations ablations;
};

static struct state state = {.request = {.layer = -1, .split = "valid"},
                             .ablations = {.split = "valid", .margin = 0.01}};

static const struct option_spec options[] = {
    {"what", 'w', OPTION_LIST, &state.what, "KIND",
     "without, rerouted, k, random, shuffled or untrained; may be given again (default: all of them)"},
    {"layer", 'l', OPTION_INT, &state.request.layer, "N", "in this block alone (default: all, and each)"},
    {"split", 0, OPTION_STRING, &state.request.split, "SPLIT", "valid (default) or probe"},
    {"margin", 0, OPTION_REAL, &state.ablations.margin, "NATS",
     "what counts as no loss, per token (default 0.01)"},
    {"seed", 0, OPTION_INT, &state.request.seed, "N", "of random and shuffled (default 0)"},
    {"checkpoint", 'c', OPTION_STRING, &state.request.checkpoint, "FILE",
     "the trained model (default: the run's last)"},
    {"corpus", 0, OPTION_STRING, &state.request.corpus, "FOLDER",
     "the prepared corpus (default: where it was in training)"},
    {"threads", 0, OPTION_INT, &state.request.threads, "N", "threads; 0: one per core (default)"},
    {"no-new", 0, OPTION_FLAG, &state.no_new, NULL, "make none, show those that are there"},
    {"quiet", 'q', OPTION_FLAG, &state.request.quiet, NULL, "no progress"},
    {0},
};

/* ---- making them ---- */

static int choose_kinds(struct state *s, struct error *err)
{
    const char *names[N_INTERVENTIONS];
    int n = N_INTERVENTIONS - 1;

    for (int i = 0; i < n; i++)
        names[i] = intervention_names[i + 1];
    for (int i = 0; i < n; i++)
        s->request.what[i + 1] = s->what.n == 0;
    for (int i = 0; i < s->what.n; i++) {
        int kind = 1;
        while (kind < N_INTERVENTIONS && strcmp(intervention_names[kind], s->what.items[i]) != 0)
            kind++;
        if (kind == N_INTERVENTIONS) {
            const char *near = nearest_name(s->what.items[i], names, n);
            return error_set(err, STATUS_USAGE,
                             "--what '%s' is none of without, rerouted, k, random, shuffled, untrained%s%s%s",
                             s->what.items[i], near ? "; did you mean '" : "", near ? near : "",
                             near ? "'?" : "");
        }
        s->request.what[kind] = true;
    }
    return 0;
}

static int make(void *context, const char *logbook, const char *run, struct error *err)
{
    struct state *s = context;

    if (strcmp(s->request.split, "valid") != 0 && strcmp(s->request.split, "probe") != 0)
        return error_set(err, STATUS_USAGE, "--split is valid or probe, not '%s'", s->request.split);
    if (!(s->ablations.margin >= 0.0))
        return error_set(err, STATUS_USAGE, "--margin needs a number from 0");
    s->ablations.split = s->request.split;
    s->request.logbook = logbook;
    s->request.run = run;
    if (choose_kinds(s, err))
        return -1;
    return s->no_new ? 0 : ablation_make(&s->request, err);
}

static int prepare(struct analysis *a, struct error *err)
{
    struct state *s = a->state;

    return ablations_read(&s->ablations, a, err);
}

static void bind(const struct analysis *a, struct query *q)
{
    const struct state *s = a->state;

    query_bind_text(q, ":split", s->request.split);
}

static int judge(struct analysis *a, struct verdicts *v, struct error *err)
{
    const struct state *s = a->state;

    (void)err;
    return ablations_judge(&s->ablations, a, v);
}

/* ---- tables ---- */

static void add_int(struct table *t, int64_t value, bool known)
{
    if (known)
        table_int(t, value);
    else
        table_null(t);
}

static void add_judged(struct table *t, const struct judged *j)
{
    table_figure(t, j->i.estimate);
    table_figure(t, j->i.low);
    table_figure(t, j->i.high);
    table_figure(t, j->adjusted);
    table_text(t, verdict_names[j->verdict]);
}

static int layer_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct ablations *s = &((struct state *)a->state)->ablations;

    (void)err;
    for (int i = 0; i < s->n; i++) {
        const struct ablated *x = &s->items[i];
        if (x->expert >= 0 || x->k >= 0)
            continue;
        table_text(t, x->what);
        add_int(t, x->layer, x->layer >= 0);
        table_int(t, x->seed);
        table_int(t, x->documents);
        add_judged(t, &x->all);
    }
    return 0;
}

static void add_worst(struct table *t, const struct ablations *s, const struct ablated *x)
{
    int worst = ablated_worst_domain(s, x);

    if (worst < 0) {
        table_null(t);
        table_null(t);
        return;
    }
    table_text(t, s->domains.names[worst]);
    table_figure(t, x->domain[worst].i.estimate);
}

static int expert_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct ablations *s = &((struct state *)a->state)->ablations;

    (void)err;
    for (int i = 0; i < s->n; i++) {
        const struct ablated *x = &s->items[i];
        int layer = analysis_layer_index(a, x->layer);
        if (x->expert < 0 || layer < 0 || x->expert >= a->layers[layer].n_experts)
            continue;
        table_text(t, x->what);
        table_int(t, x->layer);
        table_int(t, x->expert);
        table_figure(t, s->share[(size_t)layer * (size_t)a->max_experts + (size_t)x->expert]);
        add_judged(t, &x->all);
        add_worst(t, s, x);
        table_text(t, loss_unit_names[s->unit]);
    }
    return 0;
}

static int k_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct ablations *s = &((struct state *)a->state)->ablations;

    (void)err;
    for (int i = 0; i < s->n; i++) {
        const struct ablated *x = &s->items[i];
        if (x->k < 0)
            continue;
        table_int(t, x->layer);
        table_int(t, x->k);
        table_int(t, x->documents);
        add_judged(t, &x->all);
    }
    return 0;
}

static int domain_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct ablations *s = &((struct state *)a->state)->ablations;

    (void)err;
    for (int i = 0; i < s->n; i++) {
        const struct ablated *x = &s->items[i];
        for (int d = 0; d < s->domains.n; d++) {
            table_text(t, x->what);
            add_int(t, x->layer, x->layer >= 0);
            add_int(t, x->expert, x->expert >= 0);
            add_int(t, x->k, x->k >= 0);
            table_text(t, s->domains.names[d]);
            table_int(t, x->domain[d].i.n);
            table_text(t, loss_unit_names[s->unit]);
            add_judged(t, &x->domain[d]);
        }
    }
    return 0;
}

static const struct analysis_table tables[] = {
    {"layers", "experts chosen at random within the load, shuffled among tokens, or as before training",
     "what,layer,seed,documents,loss_change,low,high,adjusted_p,verdict", "analysis/ablations", layer_rows,
     NULL},
    {"experts", "one expert left out, or its tokens sent to the next likeliest",
     "what,layer,expert,share,loss_change,low,high,adjusted_p,verdict,worst_domain,worst_change,worst_unit",
     "analysis/ablation_loads", expert_rows, NULL},
    {"k", "a layer's experts a token truncated", "layer,k,documents,loss_change,low,high,adjusted_p,verdict",
     NULL, k_rows, NULL},
    {"domains", "each of these by domain",
     "what,layer,expert,k,domain,documents,unit,loss_change,low,high,adjusted_p,verdict", NULL, domain_rows,
     NULL},
    {0},
};

static const struct analysis_program program = {
    .command =
        {
            .verb = "ablate",
            .operands = "DB",
            .purpose = "loss change when experts are left out, k is truncated or routing is made random",
            .details =
                "Evaluates the trained model again with one thing changed, for each of:\n"
                "  without    what an expert says is left out\n"
                "  rerouted   its tokens go to their next likeliest expert, with the same weight\n"
                "  k          a token keeps its first k experts\n"
                "  random     the experts of a pass are dealt anew, slot by slot: same loads, other tokens\n"
                "  shuffled   tokens exchange their experts, weights and all\n"
                "  untrained  tokens get the experts that the model chose for them before training\n"
                "Each is a run of its own, NAME/random.layer1, with its losses by document; one that is "
                "there is "
                "not made\n"
                "again, so that an interrupted call goes on. Changes are in nats a token unless said, with "
                "intervals\n"
                "over documents: a statement about this trained model. Adjusted p: among those of one "
                "kind.\n",
            .examples = "moescope ablate log.db --run top2\n"
                        "moescope ablate log.db --run top2 --what k --what random\n"
                        "moescope ablate log.db --run top2 --no-new --table experts --format csv\n"
                        "moescope demand log.db --run top2 --table needed",
            .options = options,
            .min_operands = 1,
            .max_operands = 1,
        },
    .tables = tables,
    .long_table = "domains",
    .before = make,
    .prepare = prepare,
    .bind = bind,
    .judge = judge,
};

int main(int argc, char **argv)
{
    int status = analysis_main(&program, &state, argc, argv);

    ablations_release(&state.ablations);
    string_list_release(&state.what);
    return status;
}
