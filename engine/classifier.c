#include "engine/classifier.h"

#include <stdlib.h>
#include <string.h>

#include "engine/checkpoint.h"
#include "engine/kernels.h"

const char *const classifier_kinds[] = {"mlp", "convolution", "soft_moe", "joint_gate", NULL};

/* ---- what it is made of ---- */

static int describe_hidden(struct network *n, const struct config *config, const char *prefix, int from)
{
    char name[48];

    snprintf(name, sizeof name, "%shidden", prefix);
    from = network_reshape(n, from, (struct extent){1, 1, (int)extent_size(network_extent(n, from))});
    return network_relu(n, network_linear(n, from, name, (int)config_int(config, "network.hidden")));
}

static const char *part_name(char name[32], const char *prefix, int stage, const char *part)
{
    snprintf(name, 32, "%sstages.%d.%s", prefix, stage, part);
    return name;
}

static int describe_stage(struct network *n, const struct config *config, const char *prefix, int from,
                          int stage)
{
    int filters = (int)config_int_at(config, "network.filters", stage);
    bool residual = config_bool(config, "network.residual");
    char name[32];

    from = network_convolution_stage(n, from, part_name(name, prefix, stage, "in"), filters, 3,
                                     residual ? 1 : 2);
    if (!residual)
        return from;
    int first = network_convolution_stage(n, from, part_name(name, prefix, stage, "first"), filters, 3, 1);
    int second = network_convolution(n, first, part_name(name, prefix, stage, "second"), filters, 3, 1);
    return network_max_pool(n, network_relu(n, network_sum(n, from, second)), 2);
}

static int describe_stages(struct network *n, const struct config *config, const char *prefix, int from,
                           int first, int end)
{
    for (int stage = first; stage < end; stage++)
        from = describe_stage(n, config, prefix, from, stage);
    return from;
}

static int describe_head(struct network *n, const struct config *config, const char *prefix, int from,
                         int n_classes)
{
    char name[48];

    snprintf(name, sizeof name, "%shead", prefix);
    return network_linear(n, describe_hidden(n, config, prefix, from), name, n_classes);
}

static int n_stages(const struct config *config)
{
    return config_count(config, "network.filters");
}

int classifier_describe_tail(struct network *n, const struct config *config, const char *prefix, int from,
                             int first_stage, int n_classes)
{
    from = describe_stages(n, config, prefix, from, first_stage, n_stages(config));
    return describe_head(n, config, prefix, from, n_classes);
}

int classifier_stage_end(const struct classifier *c, int stage)
{
    const struct network *n = &c->net.network;

    for (int i = 0; i < n->n; i++) {
        if (network_is_pool(n, i) && stage-- == 0)
            return i;
    }
    return -1;
}

static int describe_soft_moe(struct classifier *c, const struct config *config, int from)
{
    struct network *n = &c->net.network;
    int patches = network_patches(n, from, (int)config_int(config, "network.patch"));

    c->net.soft = network_soft_moe(n, patches, "soft", (int)config_int_at(config, "router.experts", 0),
                                   (int)config_int(config, "soft.slots"),
                                   (int)config_int_at(config, "router.hidden", 0));
    from = config_bool(config, "soft.residual") ? network_sum(n, c->net.soft, patches) : c->net.soft;
    c->net.tokens = network_extent(n, patches).height;
    return network_reshape(n, from, (struct extent){1, 1, (int)extent_size(network_extent(n, from))});
}

struct stages { /* what an expert of a joint gate is */
    const struct config *config;
    int first, end, n_classes;
};

static int describe_expert_stages(struct network *n, const void *context, int number, int entry)
{
    const struct stages *s = context;
    char prefix[32];

    snprintf(prefix, sizeof prefix, "experts.%d.", number);
    entry = describe_stages(n, s->config, prefix, entry, s->first, s->end);
    return s->end < n_stages(s->config) ? entry : describe_head(n, s->config, prefix, entry, s->n_classes);
}

static void describe_joint_gate(struct classifier *c, const struct config *config, int from, int n_classes)
{
    int end = n_stages(config), next, first = (int)config_int(config, "gate.stage");
    const struct router_ops *ops = router_find(config_text(config, "router.name"));

    from = describe_stages(&c->net.network, config, "", from, 0, first);
    for (int stage = first; stage < end; stage = next) {
        next = config_bool(config, "gate.per_stage") ? stage + 1 : end;
        struct router_config routing = config_routing(config, stage - first);
        from = gated_add(&c->gated, &c->net.network, from, ops, &routing, describe_expert_stages,
                         &(struct stages){config, stage, next, n_classes});
    }
}

static void describe(struct classifier *c, const struct config *config, const struct corpus *corpus)
{
    const char *kind = config_text(config, "model.kind");
    const struct images *im = &corpus->images;
    int from = network_input(&c->net.network, (struct extent){im->height, im->width, im->channels});

    c->net.soft = -1;
    c->net.tokens = 1;
    if (strcmp(kind, "convolution") == 0)
        classifier_describe_tail(&c->net.network, config, "", from, 0, corpus->n_domains);
    else if (strcmp(kind, "mlp") == 0)
        network_linear(&c->net.network, describe_hidden(&c->net.network, config, "", from), "head",
                       corpus->n_domains);
    else if (strcmp(kind, "joint_gate") == 0)
        describe_joint_gate(c, config, from, corpus->n_domains);
    else
        network_linear(&c->net.network, describe_soft_moe(c, config, from), "head", corpus->n_domains);
    if (c->net.network.failed)
        c->net.soft = -1; /* there may be no such node: building tells why */
}

/* ---- memory ---- */

static int claim(struct classifier *c, int max_images, struct error *err)
{
    size_t B = (size_t)max_images, tokens = B * (size_t)c->net.tokens;

    c->index = arena_claim(&c->memory, B, sizeof *c->index);
    c->label = arena_claim(&c->memory, B, sizeof *c->label);
    c->prediction = arena_claim(&c->memory, B, sizeof *c->prediction);
    c->image_loss = arena_claim(&c->memory, B, sizeof *c->image_loss);
    c->start = arena_claim(&c->memory, B + 1, sizeof *c->start);
    c->input = arena_claim(&c->memory, tokens, sizeof *c->input);
    c->target = arena_claim(&c->memory, tokens, sizeof *c->target);
    c->loss = arena_claim(&c->memory, tokens, sizeof *c->loss);
    c->sample = arena_claim(&c->memory, B, sizeof *c->sample);
    c->outcome = arena_claim(&c->memory, B, sizeof *c->outcome);
    return c->memory.failed ? error_no_memory(err, "a batch of images") : 0;
}

/* Of the train set, the probe in it included: test images take no part. */
static struct pixel_scale scale_of(const struct corpus *corpus)
{
    struct images learned = corpus->images;

    for (learned.n = 0; learned.n < corpus->n_documents; learned.n++)
        if (corpus->documents[learned.n].split == SPLIT_VALID)
            break;
    return images_scale(&learned);
}

/* The gates read features: they have no ids of tokens to go by, no noise, and no state. */
static int check_joint_gate(const struct config *config, struct error *err)
{
    int stage = (int)config_int(config, "gate.stage");

    if (strcmp(config_text(config, "model.kind"), "joint_gate") != 0)
        return 0;
    if (strcmp(config_text(config, "router.name"), "topk") != 0 || config_real(config, "router.noise") > 0.0)
        return error_set(err, STATUS_USAGE,
                         "model.kind = joint_gate takes router.name = topk without router.noise");
    if (stage >= n_stages(config))
        return error_set(err, STATUS_USAGE, "gate.stage is %d, but network.filters has %d stages", stage,
                         n_stages(config));
    return 0;
}

/* Of the gates, or of a Soft MoE layer. */
static int init_layers(struct classifier *c, const struct config *config, struct error *err)
{
    c->layers = &c->net.layer;
    c->n_layers = c->net.soft >= 0;
    if (c->gated.n_blocks == 0)
        return 0;
    if (gated_build(&c->gated, err))
        return -1;
    c->gated.weights = config_loss_weights(config);
    c->net.multiply_adds = gated_usual_multiply_adds(&c->gated);
    c->layers = c->gated.layers;
    c->n_layers = c->gated.n_blocks;
    return 0;
}

int classifier_init(struct classifier *c, const struct config *config, const struct corpus *corpus,
                    struct pool *pool, uint64_t seed, struct error *err)
{
    int batch = (int)config_int(config, "train.batch");

    if (corpus->images.n == 0)
        return error_set(
            err, STATUS_USAGE,
            "corpus '%s' is text; model.kind = %s learns images, as corpora/fashion-mnist.sh and "
            "corpora/glyphs.sh make them",
            corpus->name, config_text(config, "model.kind"));
    if (check_joint_gate(config, err))
        return -1;
    describe(c, config, corpus);
    if (soft_network_build(&c->net, batch, pool, seed, err) || init_layers(c, config, err) ||
        claim(c, batch, err))
        return -1;
    c->scale = scale_of(corpus);
    return 0;
}

void classifier_release(struct classifier *c)
{
    gated_release(&c->gated);
    soft_network_release(&c->net);
    arena_release(&c->memory);
    *c = (struct classifier){0};
}

/* ---- what stands on another ---- */

static int check_base(const struct config *own, const struct checkpoint *c, const struct corpus *corpus,
                      struct error *err)
{
    const char *kind = config_text(own, "model.kind");

    if (strcmp(kind, "convolution") != 0)
        return error_set(err, STATUS_USAGE,
                         "gate.base '%s' is of a model of kind %s; it must be a convolution", c->path, kind);
    if (strcmp(c->state.corpus_sha256, corpus->sha256) != 0)
        return error_set(err, STATUS_INPUT, "gate.base '%s' was trained on other images than '%s'", c->path,
                         corpus->name);
    return 0;
}

/* The checkpoint's own configuration, but for how many images a batch has. */
static int adopt_base_config(struct config *own, const struct checkpoint *c, const struct config *config,
                             struct error *err)
{
    if (config_init(own, err))
        return -1;
    for (int i = 0; i < config_n_keys; i++) {
        if (config_assign(own, config_keys[i].name, c->config.values[i], err))
            return -1;
    }
    return config_assign(own, "train.batch", config_text(config, "train.batch"), err);
}

int classifier_load_base(struct classifier *c, struct config *own, const struct config *config,
                         const struct corpus *corpus, struct pool *pool, struct error *err)
{
    struct checkpoint checkpoint;
    const char *path = config_text(config, "gate.base");

    if (!*path)
        return error_set(err, STATUS_USAGE,
                         "gate.base is not set: the checkpoint of a convolution, such as "
                         "LOG.db.checkpoints/NAME.safetensors");
    if (checkpoint_open(&checkpoint, path, err))
        return -1;
    int result = adopt_base_config(own, &checkpoint, config, err) ||
                         check_base(own, &checkpoint, corpus, err) ||
                         classifier_init(c, own, corpus, pool, 0, err) ||
                         checkpoint_load(&checkpoint, &c->net.network.parameters, NULL, NULL, err)
                     ? -1
                     : 0;
    checkpoint_close(&checkpoint);
    return result;
}

/* Which of a joint gate's weights the base has: all but those of the gates. */
static int copy_base(struct classifier *c, const struct network *base, struct error *err)
{
    struct network *n = &c->net.network;
    char prefix[32];
    int copied = network_copy(n, "", base, err), more = copied;

    for (int e = 0; e < c->gated.block[0].router.config.n_experts && more >= 0; e++) {
        snprintf(prefix, sizeof prefix, "experts.%d.", e);
        more = network_copy(n, prefix, base, err);
        copied += more;
    }
    if (more < 0)
        return -1;
    return copied == n->parameters.n - c->gated.n_blocks
               ? 0
               : error_set(err, STATUS_USAGE, "gate.base has not the stages that network.* asks for");
}

int classifier_begin_at_base(struct classifier *c, const struct config *config, const struct corpus *corpus,
                             struct error *err)
{
    struct classifier base = {0};
    struct config own = {0};
    int result = classifier_load_base(&base, &own, config, corpus, c->net.network.pool, err) ||
                         copy_base(c, &base.net.network, err)
                     ? -1
                     : 0;

    classifier_release(&base);
    config_release(&own);
    return result;
}

/* ---- batches ---- */

void classifier_clear(struct classifier *c)
{
    c->n_images = 0;
    c->start[0] = 0;
}

bool classifier_add(struct classifier *c, const struct corpus *corpus, const struct sample *s)
{
    int b = c->n_images, first = b * c->net.tokens;

    if (b == c->net.max_samples)
        return false;
    c->index[b] = s->document;
    c->label[b] = corpus->images.label[s->document];
    c->sample[b] = s;
    for (int t = 0; t < c->net.tokens; t++) {
        c->input[first + t] = 0;
        c->target[first + t] = t + 1 < c->net.tokens ? 0 : 1 + c->label[b];
    }
    c->start[b + 1] = first + c->net.tokens;
    c->n_images++;
    return true;
}

bool classifier_in_order(struct classifier *c, const struct corpus *corpus, const struct samples *s,
                         int *next)
{
    classifier_clear(c);
    while (*next < s->n && classifier_add(c, corpus, &s->items[*next]))
        ++*next;
    return c->n_images > 0;
}

/* ---- passes ---- */

void classifier_predict(struct classifier *c)
{
    const struct node *last = &c->net.network.nodes[c->net.network.n - 1];
    int classes = (int)extent_size(last->extent);

    for (int b = 0; b < c->n_images; b++)
        c->prediction[b] = largest_of(last->value + (size_t)b * (size_t)classes, classes);
}

struct losses classifier_forward(struct classifier *c, const struct corpus *corpus, bool train, float scale)
{
    struct network *n = &c->net.network;
    struct losses losses = {0};
    int B = c->n_images;

    images_fill(&corpus->images, c->scale, c->index, B, n->nodes[0].value);
    if (c->gated.n_blocks > 0)
        losses = gated_forward(&c->gated, B, train ? scale : 0.0F);
    else
        network_forward(n, B);
    network_cross_entropy(n, c->label, B, scale / (float)B, c->image_loss);
    for (int b = 0; b < B; b++) {
        losses.lm += (double)c->image_loss[b] / B;
        for (int t = 0; t < c->net.tokens; t++)
            c->loss[b * c->net.tokens + t] = c->image_loss[b];
    }
    classifier_predict(c);
    if (train && c->gated.n_blocks > 0)
        gated_backward(&c->gated, B);
    else if (train)
        network_backward(n, B);
    return losses;
}

int classifier_right(const struct classifier *c)
{
    int n = 0;

    for (int b = 0; b < c->n_images; b++)
        n += c->prediction[b] == c->label[b];
    return n;
}

struct pass classifier_pass(struct classifier *c, bool ordered)
{
    if (c->net.soft >= 0)
        soft_network_route(&c->net, c->n_images, ordered);
    for (int b = 0; b < c->n_images; b++)
        c->outcome[b] = (struct outcome){
            c->label[b], c->prediction[b], -1,
            (int64_t)(c->gated.n_blocks > 0 ? gated_multiply_adds(&c->gated, b) : c->net.multiply_adds)};
    return (struct pass){.n_sequences = c->n_images,
                         .start = c->start,
                         .sample = c->sample,
                         .input = c->input,
                         .target = c->target,
                         .loss = c->loss,
                         .outcome = c->outcome,
                         .layers = c->layers,
                         .n_layers = c->n_layers};
}
