/* The classification of images as a task: engine/classifier.h's models. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/progress.h"
#include "engine/evaluate.h"
#include "engine/subsets.h"
#include "engine/task.h"
#include "engine/trainer.h"

/* ---- opening ---- */

static int wrong_subsets(const struct trainer *t, const char *why, struct error *err)
{
    return error_set(err, STATUS_USAGE, "soft.subsets = %s: %s", config_text(t->config, "soft.subsets"), why);
}

/* Before anything is trained for them. */
static int check_subsets(const struct trainer *t, struct error *err)
{
    int n = config_count(t->config, "soft.subsets"), experts = soft_network_experts(&t->classifier.net);

    for (int i = 0; i < n; i++) {
        int64_t k = config_int_at(t->config, "soft.subsets", i);
        if (k == 0 && n == 1)
            return 0;
        if (t->classifier.net.soft < 0)
            return wrong_subsets(t, "model.kind is not soft_moe", err);
        if (k < 1 || k >= experts)
            return wrong_subsets(t, "each must be from 1 to one less than router.experts", err);
        for (int other = 0; other < i; other++) {
            if (config_int_at(t->config, "soft.subsets", other) == k)
                return wrong_subsets(t, "one is there twice", err);
        }
    }
    return t->corpus->n_domains > 1 ? 0 : wrong_subsets(t, "there is only one class", err);
}

static int open_images(struct trainer *t, struct error *err)
{
    const struct corpus *corpus = t->corpus;
    struct classifier *c = &t->classifier;

    if (classifier_init(c, t->config, corpus, t->pool, (uint64_t)t->seed, err) || check_subsets(t, err) ||
        (c->gated.n_blocks > 0 && *config_text(t->config, "gate.base") &&
         classifier_begin_at_base(c, t->config, corpus, err)))
        return -1;
    t->parameters = &c->net.network.parameters;
    if (trainer_open_samples(t, 1, 0, 0, err))
        return -1;
    return tally_init(&t->tally, c->layers, c->n_layers, corpus->n_domains, corpus->n_documents, err);
}

static void close_images(struct trainer *t)
{
    classifier_release(&t->classifier);
}

/* ---- learning ---- */

static int learn(struct trainer *t, struct losses *sum, struct error *err)
{
    struct classifier *c = &t->classifier;
    int passes = (int)config_int(t->config, "train.accumulation");
    bool all = strcmp(config_text(t->config, "log.decisions"), "all") == 0;

    tally_clear(&t->tally, strcmp(config_text(t->config, "log.domain_loads"), "all") == 0, false);
    t->n_right = 0;
    for (int i = 0; i < passes; i++) {
        double start = clock_seconds();
        classifier_clear(c);
        while (classifier_add(c, t->corpus, stream_peek(&t->stream)))
            stream_advance(&t->stream);
        struct losses l = classifier_forward(c, t->corpus, true, 1.0F / (float)passes);
        losses_add(sum, &l, 1.0 / passes);
        t->n_right += classifier_right(c);
        t->seconds_in[PART_NETWORK] += clock_seconds() - start;
        start = clock_seconds();
        struct pass pass = classifier_pass(c, all); /* the order counts where it is kept */
        tally_add(&t->tally, t->corpus, &pass);
        if (t->sink->pass(t->sink->context, t->step, SPLIT_TRAIN, &pass, err))
            return -1;
        t->seconds_in[PART_LOGGING] += clock_seconds() - start;
    }
    return 0;
}

static double flops(const struct trainer *t)
{
    return soft_network_flops(&t->classifier.net, (double)t->tally.n_tokens);
}

static int tell(struct trainer *t, const struct losses *l, struct error *err)
{
    double images = (double)t->tally.n_tokens / t->classifier.net.tokens;

    return trainer_tell_losses(t, l, t->classifier.gated.n_blocks, err) ||
                   trainer_tell(t, SPLIT_TRAIN, "accuracy", (double)t->n_right / images, err)
               ? -1
               : 0;
}

static void summarise(const struct trainer *t, struct summary *s)
{
    soft_network_summarise(&t->classifier.net, t->task->name, config_text(t->config, "model.kind"),
                           t->corpus->n_vocabulary, s);
    if (t->classifier.gated.n_blocks > 0)
        gated_summarise(&t->classifier.gated, s);
    s->tokens_per_step *= (double)config_int(t->config, "train.accumulation");
}

/* ---- evaluating ---- */

static int tell_subsets(struct trainer *t, const struct subset_figures *f, struct error *err)
{
    const struct {
        const char *name;
        double value;
    } metrics[] = {{"likeliest", f->likeliest}, {"random", f->random}, {"random_deviation", f->deviation},
                   {"fixed", f->fixed},         {"best", f->best},     {"wrong", f->wrong},
                   {"unique", f->unique}};
    char name[64];

    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        snprintf(name, sizeof name, "subset_%d_%s", f->k, metrics[i].name);
        if (!isnan(metrics[i].value) && trainer_tell(t, SPLIT_VALID, name, metrics[i].value, err))
            return -1;
    }
    return 0;
}

/* soft.subsets: what the model still knows with k of its experts. */
static int evaluate_subsets(struct trainer *t, const struct samples *samples, struct error *err)
{
    struct subset_figures f;

    for (int i = 0; i < config_count(t->config, "soft.subsets"); i++) {
        int k = (int)config_int_at(t->config, "soft.subsets", i);
        if (k == 0)
            continue;
        if (subsets_measure(&t->classifier, t->corpus, samples, &t->probe, k, (uint64_t)t->seed, &f, err) ||
            tell_subsets(t, &f, err))
            return -1;
    }
    return 0;
}

static int evaluate_images(struct trainer *t, const struct samples *samples, enum corpus_split split,
                           struct error *err)
{
    struct classifier *c = &t->classifier;
    const struct sink *sink = t->sink;
    int64_t right = 0;

    tally_clear(&t->tally, true, true);
    for (int next = 0; classifier_in_order(c, t->corpus, samples, &next);) {
        classifier_forward(c, t->corpus, false, 1.0F);
        right += classifier_right(c);
        struct pass pass = classifier_pass(c, true);
        tally_add(&t->tally, t->corpus, &pass);
        if (sink->pass(sink->context, t->step, split, &pass, err))
            return -1;
    }
    if (sink->summary(sink->context, t->step, split, &t->tally, err) ||
        trainer_tell(t, split, "loss", tally_mean_loss(&t->tally), err) ||
        trainer_tell(t, split, "accuracy", (double)right / samples->n, err) ||
        trainer_tell(t, split, "multiply_adds", c->net.multiply_adds, err))
        return -1;
    return split == SPLIT_VALID && t->step == t->steps && c->net.soft >= 0 ? evaluate_subsets(t, samples, err)
                                                                           : 0;
}

/* Soft slots take a share of every token: nothing is decided. */
static struct routing *routing_of(struct trainer *t, int i)
{
    return t->classifier.gated.n_blocks > 0 ? &t->classifier.gated.block[i].routing : NULL;
}

const struct task task_images = {.name = "classification",
                                 .kinds = classifier_kinds,
                                 .open = open_images,
                                 .close = close_images,
                                 .learn = learn,
                                 .flops = flops,
                                 .summarise = summarise,
                                 .tell = tell,
                                 .evaluate = evaluate_images,
                                 .routing = routing_of};
