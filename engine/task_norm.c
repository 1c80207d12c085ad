/* The norm of a vector as a task: engine/norm.h. */
#include "base/progress.h"
#include "engine/evaluate.h"
#include "engine/norm.h"
#include "engine/task.h"
#include "engine/trainer.h"

/* Vectors of training differ by seed and update; those held out do not. */
static const uint64_t train_stream = 0x6e6f726d00000000U, held_out_seed = 0x68656c64206f7574U;

static int open_norm(struct trainer *t, struct error *err)
{
    struct norm_model *m = &t->norm;

    if (norm_init(m, t->config, t->pool, (uint64_t)t->seed, err))
        return -1;
    t->parameters = &m->net.network.parameters;
    if (samples_init(&t->train, t->corpus, SPLIT_TRAIN, m->dimensions, 0, err) ||
        samples_init(&t->valid, t->corpus, SPLIT_VALID, m->dimensions, 0, err) ||
        samples_init(&t->probe, t->corpus, SPLIT_PROBE, m->dimensions, 0, err))
        return -1;
    return tally_init(&t->tally, &m->net.layer, m->net.soft >= 0, t->corpus->n_domains,
                      t->corpus->n_documents, err);
}

static void close_norm(struct trainer *t)
{
    norm_release(&t->norm);
}

static int add_pass(struct trainer *t, enum corpus_split split, struct error *err)
{
    struct pass pass = norm_pass(&t->norm);

    tally_add(&t->tally, t->corpus, &pass);
    return t->sink->pass(t->sink->context, t->step, split, &pass, err);
}

static int learn(struct trainer *t, struct losses *sum, struct error *err)
{
    struct norm_model *m = &t->norm;
    int passes = (int)config_int(t->config, "train.accumulation");
    uint64_t vectors = (uint64_t)m->net.max_samples;

    tally_clear(&t->tally, false, false);
    for (int i = 0; i < passes; i++) {
        double start = clock_seconds();
        norm_fill(m, t->train.items, m->net.max_samples, true, (uint64_t)t->seed,
                  train_stream + ((uint64_t)t->step * (uint64_t)passes + (uint64_t)i) * vectors);
        sum->lm += norm_forward(m, true, 1.0F / (float)passes) / passes;
        t->seconds_in[PART_NETWORK] += clock_seconds() - start;
        start = clock_seconds();
        if (add_pass(t, SPLIT_TRAIN, err))
            return -1;
        t->seconds_in[PART_LOGGING] += clock_seconds() - start;
    }
    return 0;
}

static double flops(const struct trainer *t)
{
    return soft_network_flops(&t->norm.net, (double)t->tally.n_tokens);
}

static void summarise(const struct trainer *t, struct summary *s)
{
    soft_network_summarise(&t->norm.net, t->task->name, config_text(t->config, "model.kind"),
                           t->corpus->n_vocabulary, s);
    s->tokens_per_step *= (double)config_int(t->config, "train.accumulation");
}

static int tell(struct trainer *t, const struct losses *l, struct error *err)
{
    return trainer_tell(t, SPLIT_TRAIN, "loss", l->lm, err);
}

static int evaluate_norm(struct trainer *t, const struct samples *samples, enum corpus_split split,
                         struct error *err)
{
    int most = t->norm.net.max_samples;

    tally_clear(&t->tally, true, true);
    for (int first = 0; first < samples->n; first += most) {
        int n = samples->n - first < most ? samples->n - first : most;
        norm_fill(&t->norm, samples->items + first, n, false, held_out_seed,
                  ((uint64_t)split << 32) + (uint64_t)first);
        norm_forward(&t->norm, false, 1.0F);
        if (add_pass(t, split, err))
            return -1;
    }
    if (t->sink->summary(t->sink->context, t->step, split, &t->tally, err))
        return -1;
    return trainer_tell(t, split, "loss", tally_mean_loss(&t->tally), err);
}

const struct task task_norm = {.name = "regression",
                               .kinds = norm_kinds,
                               .make_corpus = norm_corpus,
                               .open = open_norm,
                               .close = close_norm,
                               .learn = learn,
                               .flops = flops,
                               .summarise = summarise,
                               .tell = tell,
                               .evaluate = evaluate_norm};
