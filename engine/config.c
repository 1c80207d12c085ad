#include "engine/config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/ini.h"
#include "base/options.h"
#include "engine/mixed.h"

static const char *const kinds[] = {"transformer", "unigram",     "bigram",     "mlp",
                                    "convolution", "soft_moe",    "joint_gate", "norm_soft_moe",
                                    "norm_mlp",    "single_gate", "mixed",      NULL};
static const char *const decisions[] = {"all", "held_out", "probe", "none", NULL};
static const char *const splits[] = {"coverage", "rank", "blind", NULL}; /* enum visibility_split */
static const char *const draws[] = {"random", "balanced", NULL};
static const char *const scopes[] = {"layer", "shared", NULL};
static const char *const drifts[] = {"none", "mix", "noise", NULL}; /* enum drift */
static const char *const stream_splits[] = {"train", "valid", NULL};
static const char *const domain_loads[] = {"held_out", "all", NULL};
static const char *const ensemblers[] = {"sum", "none", NULL};

#define NO_LIMIT 1e18

const struct config_key config_keys[] = {
    {"data.corpus", CONFIG_TEXT, "", 0, 0, NULL,
     "the prepared corpus: the folder that `moescope corpus` wrote; or a folder of images, as "
     "corpora/fashion-mnist.sh and corpora/glyphs.sh make them"},
    {"model.kind", CONFIG_CHOICE, "transformer", 0, 0, kinds,
     "transformer, or a count-based baseline: unigram, bigram (Kneser-Ney); of images: mlp, convolution, "
     "soft_moe (one Soft MoE layer over patches), single_gate (experts on a frozen base), joint_gate (gate, "
     "experts and the stages before them trained together); mixed: of several sources, as corpora/mixed.sh "
     "makes them; norm_soft_moe, norm_mlp: of the norm of random vectors, which "
     "takes no corpus"},
    {"model.layers", CONFIG_INT, "4", 1, MAX_LAYERS, NULL, "blocks of attention and experts"},
    {"model.width", CONFIG_INT, "256", 2, 65536, NULL,
     "width of the residual stream; model.heads must divide it"},
    {"model.heads", CONFIG_INT, "4", 1, 1024, NULL, "attention heads"},
    {"model.context", CONFIG_INT, "256", 1, 65535, NULL, "longest sequence, in tokens"},
    {"model.dense_hidden", CONFIG_INT, "0", 0, 1048576, NULL,
     "hidden width of dense blocks; 0: router.k * router.hidden, the same active size as the experts"},
    {"router.name", CONFIG_CHOICE, "topk", 0, 0, router_names,
     "who decides: dense (no experts), topk, topp (experts until their probabilities exceed router.p), mask "
     "(MaskMoE), hash (one expert a vocabulary item), bias (balanced without a loss), relu (ReMoE), "
     "expert_choice (not causal: no language model), noisy_topk"},
    {"router.experts", CONFIG_INT_LIST, "16", 1, 65535, NULL,
     "routed experts of each block; a list differs by block, its last number serving all that follow"},
    {"router.k", CONFIG_INT_LIST, "2", 1, 65535, NULL,
     "experts a token (relu, expert_choice: on average); a list differs by block"},
    {"router.p", CONFIG_REAL, "0.4", 0, 1, NULL,
     "topp: a token takes its likeliest experts until their probabilities add up to more than this; 1: all"},
    {"router.hidden", CONFIG_INT_LIST, "512", 1, 1048576, NULL,
     "hidden width of an expert; a list differs by block"},
    {"router.renormalize", CONFIG_BOOL, "false", 0, 0, NULL,
     "make the weights of a token's chosen experts sum to 1; needs k > 1. bias: to router.scale, its "
     "default; "
     "noisy_topk always does; not for topp, relu, expert_choice"},
    {"router.scale", CONFIG_REAL, "1", 1e-6, 1e6, NULL, "bias: what weights are multiplied with"},
    {"router.bias_rate", CONFIG_REAL, "0.001", 0, 1000, NULL,
     "bias: by how much an expert's bias rises or falls at each update"},
    {"router.importance", CONFIG_REAL, "0.1", 0, NO_LIMIT, NULL,
     "noisy_topk: weight of its importance loss (0.1 in Shazeer et al. 2017's language models)"},
    {"router.load", CONFIG_REAL, "0.1", 0, NO_LIMIT, NULL,
     "noisy_topk: weight of its load loss (0.1 in Shazeer et al. 2017's language models)"},
    {"router.noise", CONFIG_REAL, "0", 0, 100, NULL,
     "standard deviation of normal noise on the logits, in training"},
    {"router.shared", CONFIG_INT, "0", 0, 1024, NULL,
     "shared experts of each block, that every token takes beside the routed ones"},
    {"router.shared_hidden", CONFIG_INT, "0", 0, 1048576, NULL,
     "hidden width of a shared expert; 0: that of a routed one"},
    {"router.capacity", CONFIG_REAL, "0", 0, NO_LIMIT, NULL,
     "an expert takes at most capacity * tokens * k / experts of a pass, in training and evaluation; "
     "the rest is dropped and counted; 0: no limit"},
    {"mask.split", CONFIG_CHOICE, "coverage", 0, 0, splits,
     "mask: frequent ids are the fewest that make up mask.coverage of the train tokens (coverage), or the "
     "first mask.rank (rank), or as many tokens' worth as with coverage whatever their frequency (blind: a "
     "control)"},
    {"mask.coverage", CONFIG_REAL, "0.8", 0, 1, NULL,
     "mask: share of the train tokens; 1: all ids are frequent"},
    {"mask.rank", CONFIG_INT, "1024", 0, NO_LIMIT, NULL, "mask: frequent ids, by rank"},
    {"mask.visible", CONFIG_INT, "8", 0, 65535, NULL, "mask: experts that a frequent id sees; 0: all"},
    {"mask.rare_visible", CONFIG_INT, "1", 0, 65535, NULL, "mask: experts that a rare id sees; 0: all"},
    {"mask.draw", CONFIG_CHOICE, "random", 0, 0, draws,
     "mask, hash: experts of an id are drawn at random, or so that all get alike shares of the train tokens"},
    {"mask.scope", CONFIG_CHOICE, "layer", 0, 0, scopes,
     "mask, hash: each block draws for itself, or all share one draw"},
    {"mask.rare_gate", CONFIG_REAL, "0", 0, 100, NULL,
     "mask: what the weights of a rare id's experts add up to; 0: their probabilities (1 with one expert)"},
    {"network.filters", CONFIG_INT_LIST, "32,64,64", 1, 65536, NULL,
     "convolution: filters of each stage, 3 x 3, which ends in a max pool of 2 x 2"},
    {"network.residual", CONFIG_BOOL, "false", 0, 0, NULL,
     "convolution: each stage has two more convolutions, whose outputs are added to the first one's"},
    {"network.hidden", CONFIG_INT, "128", 1, 1048576, NULL,
     "mlp, convolution, norm_mlp: units before the outputs"},
    {"network.patch", CONFIG_INT, "14", 1, 65536, NULL, "soft_moe: a token is a square of so many pixels"},
    {"gate.base", CONFIG_TEXT, "", 0, 0, NULL,
     "single_gate: the checkpoint of the convolution that it stands on; joint_gate: of the one whose weights "
     "it begins with; without it, at random"},
    {"gate.stage", CONFIG_INT, "2", 1, 64, NULL,
     "single_gate, joint_gate: experts take the features behind so many stages"},
    {"gate.per_stage", CONFIG_BOOL, "false", 0, 0, NULL,
     "joint_gate: a gate before every stage from gate.stage on, for experts of that stage alone"},
    {"gate.epochs", CONFIG_INT, "5", 1, 10000, NULL, "single_gate: of training the gate to name clusters"},
    {"gate.learning_rate", CONFIG_REAL, "0.01", 0, 100, NULL, "single_gate: of the gate"},
    {"gate.epsilon", CONFIG_REAL, "0.1", 0, 1, NULL,
     "single_gate: an expert's samples are drawn by (1 - epsilon) g + epsilon / experts"},
    {"gate.ensembler", CONFIG_CHOICE, "sum", 0, 0, ensemblers,
     "single_gate: what is said, and what an expert is trained for: the base's scores and its own added up "
     "(sum), or its own alone (none)"},
    {"gate.seed", CONFIG_INT, "-1", -1, NO_LIMIT, NULL,
     "single_gate: of the clusters and the gate; -1: the run's"},
    {"gate.timings", CONFIG_INT, "0", 0, NO_LIMIT, NULL,
     "single_gate: at the end base, expert and exits are timed on so many probe images, in batches of 1 and "
     "64; 0: not at all"},
    {"mixed.experts", CONFIG_TEXT, "convolution:32,convolution:16,sequence:64,sequence:32,mlp:192,mlp:64", 0,
     0, NULL,
     "mixed: its experts, ARCHITECTURE:WIDTH each, of convolution, sequence, mlp (of all positions), bag (of "
     "their mean)"},
    {"mixed.routing", CONFIG_CHOICE, "gate", 0, 0, mixed_routing_names,
     "mixed: experts are chosen by a gate (router.name, over each sample), by source (an expert each: an "
     "oracle), "
     "or all are run and averaged (a fixed ensemble)"},
    {"mixed.width", CONFIG_INT, "32", 1, 65536, NULL, "mixed: width of a position behind the stems"},
    {"mixed.output", CONFIG_INT, "64", 1, 65536, NULL, "mixed: width of what experts give to the heads"},
    {"mixed.sources", CONFIG_TEXT, "all", 0, 0, NULL,
     "mixed: sources to train and evaluate on, with commas; all: those of the corpus"},
    {"mixed.start", CONFIG_TEXT, "", 0, 0, NULL,
     "mixed: the checkpoint whose weights training begins with; empty: random ones"},
    {"mixed.stream", CONFIG_CHOICE, "train", 0, 0, stream_splits,
     "mixed: the samples that updates draw; valid: held-out ones, for a stream that is only watched "
     "(train.learning_rate = 0)"},
    {"drift.kind", CONFIG_CHOICE, "none", 0, 0, drifts,
     "mixed: what becomes of the stream of samples: none, mix (sources get other shares), noise (images "
     "become "
     "noisy)"},
    {"drift.at", CONFIG_INT, "0", 0, NO_LIMIT, NULL,
     "mixed: the update from which on the stream has drifted"},
    {"drift.shares", CONFIG_INT_LIST, "1", 0, 1000000, NULL,
     "mixed: shares of the sources in a stream whose mix has drifted, in the corpus's order; before, all are "
     "alike"},
    {"drift.noise", CONFIG_REAL, "1", 0, 1000, NULL,
     "mixed: deviation of the noise on images, in deviations of their pixels"},
    {"norm.dimensions", CONFIG_INT, "10", 1, 65536, NULL, "norm_*: numbers of a vector"},
    {"norm.variance", CONFIG_REAL, "5", 0, NO_LIMIT, NULL, "norm_*: of each number"},
    {"norm.token", CONFIG_INT, "2", 1, 65536, NULL, "norm_soft_moe: numbers of a token"},
    {"soft.slots", CONFIG_INT, "1", 1, 65536, NULL, "soft_moe: slots of an expert"},
    {"soft.residual", CONFIG_BOOL, "false", 0, 0, NULL, "soft_moe: tokens are added to the layer's outputs"},
    {"soft.subsets", CONFIG_INT_LIST, "0", 0, 65535, NULL,
     "soft_moe: at the end accuracy is told with so many experts an image, the likeliest (Chung et al. 2024, "
     "Algorithm 1) and random ones; 0: none"},
    {"loss.balance", CONFIG_REAL, "0.01", 0, NO_LIMIT, NULL,
     "weight of the balance loss (topk: uniform = 1; topp: uniform = experts a token); default 0 where a "
     "router has nothing to balance or does so by itself: hash, bias, relu, expert_choice, noisy_topk"},
    {"loss.z", CONFIG_REAL, "0.001", 0, NO_LIMIT, NULL,
     "weight of the router z-loss; default 0 without a softmax"},
    {"loss.entropy", CONFIG_REAL, "0", 0, NO_LIMIT, NULL,
     "weight of the entropy of a token's probabilities; default 0.0001 for topp (as reported of Huang et al. "
     "2024)"},
    {"loss.cost_exponent", CONFIG_REAL, "0", 0, 10, NULL,
     "mixed: the balance loss is least where experts' loads are as their cost to the power of minus this: 0: "
     "equal loads; 1: equal work"},
    {"train.steps", CONFIG_INT, "1000", 0, NO_LIMIT, NULL, "optimiser updates"},
    {"train.tokens_per_step", CONFIG_INT, "4096", 1, 1e8, NULL,
     "at most this many tokens an update; sequences are packed and never cut to fit"},
    {"train.batch", CONFIG_INT, "256", 1, 1e6, NULL,
     "images, samples or vectors a forward and backward pass"},
    {"train.accumulation", CONFIG_INT, "1", 1, 10000, NULL,
     "forward and backward passes an update; each takes at most tokens_per_step / accumulation tokens "
     "(train.batch images or vectors), "
     "and their gradients are averaged whatever tokens each holds"},
    {"train.learning_rate", CONFIG_REAL, "0.002", 0, 100, NULL, "highest learning rate"},
    {"train.warmup", CONFIG_INT, "100", 0, NO_LIMIT, NULL,
     "updates over which the learning rate rises to its highest; the first has 1/warmup of it"},
    {"train.final_rate", CONFIG_REAL, "0.1", 0, 1, NULL, "the cosine ends at this share of the highest rate"},
    {"train.decay", CONFIG_REAL, "0.1", 0, 100, NULL, "AdamW's weight decay, on matrices but the embedding"},
    {"train.beta1", CONFIG_REAL, "0.9", 0, 0.999999, NULL, "AdamW"},
    {"train.beta2", CONFIG_REAL, "0.95", 0, 0.999999, NULL, "AdamW"},
    {"train.clip", CONFIG_REAL, "1", 0, NO_LIMIT, NULL, "largest norm of the gradient; 0: no clipping"},
    {"train.threads", CONFIG_INT, "0", 0, 1024, NULL,
     "threads; 0: one per core. Results do not depend on it"},
    {"train.checkpoint_every", CONFIG_INT, "200", 0, NO_LIMIT, NULL,
     "updates between checkpoints; 0: only at the end and on interruption"},
    {"valid.every", CONFIG_INT, "200", 0, NO_LIMIT, NULL,
     "updates between validations, besides the last; 0: only the last"},
    {"valid.tokens_per_document", CONFIG_INT, "256", 1, NO_LIMIT, NULL,
     "validation reads this many tokens from the start of each held-out document"},
    {"valid.seen_documents", CONFIG_INT, "0", 0, 1e6, NULL,
     "at the end, this many train documents of each domain are read again without learning, as split seen"},
    {"probe.every", CONFIG_INT, "200", 0, NO_LIMIT, NULL,
     "updates between probes, besides steps 0, 1, 2, 4, 8, ... and the last; 0: those only"},
    {"probe.tokens_per_document", CONFIG_INT, "64", 1, NO_LIMIT, NULL,
     "the probe reads this many tokens from the start of each of its documents"},
    {"log.decisions", CONFIG_CHOICE, "all", 0, 0, decisions,
     "whose decisions and token losses are kept: all, held_out (all but those of training), those of the "
     "probe, none. Loads and losses by document always"},
    {"log.gate_bits", CONFIG_INT, "8", 8, 16, NULL, "bits a logged gate: 8 or 16"},
    {"log.domain_loads", CONFIG_CHOICE, "held_out", 0, 0, domain_loads,
     "loads by domain for held-out splits, or for all (a row a domain, layer and step)"},
};
const int config_n_keys = sizeof config_keys / sizeof *config_keys;

int config_find(const char *name)
{
    for (int i = 0; i < config_n_keys; i++) {
        if (strcmp(config_keys[i].name, name) == 0)
            return i;
    }
    return -1;
}

int config_init(struct config *c, struct error *err)
{
    c->values = calloc((size_t)config_n_keys, sizeof *c->values);
    c->given = calloc((size_t)config_n_keys, sizeof *c->given);
    if (!c->values || !c->given) {
        config_release(c);
        return error_no_memory(err, "the configuration");
    }
    for (int i = 0; i < config_n_keys; i++)
        snprintf(c->values[i], sizeof c->values[i], "%s", config_keys[i].initial);
    return 0;
}

void config_release(struct config *c)
{
    free(c->values);
    free(c->given);
    *c = (struct config){0};
}

/* ---- values ---- */

static int check_number(const struct config_key *key, const char *value, size_t length, struct error *err)
{
    char *end;
    double x;

    errno = 0;
    x = strtod(value, &end);
    if (length == 0 || end != value + length || errno == ERANGE || isnan(x))
        return error_set(err, STATUS_USAGE, "%s is '%.*s', which is not a number", key->name, (int)length,
                         value);
    if (key->kind != CONFIG_REAL && x != floor(x))
        return error_set(err, STATUS_USAGE, "%s is '%.*s'; it must be a whole number", key->name, (int)length,
                         value);
    if (x < key->low || x > key->high)
        return error_set(err, STATUS_USAGE, "%s is %g; it must be %s %g", key->name, x,
                         x < key->low ? "at least" : "at most", x < key->low ? key->low : key->high);
    return 0;
}

static int check_list(const struct config_key *key, const char *value, struct error *err)
{
    for (;;) {
        size_t length = strcspn(value, ",");
        if (check_number(key, value, length, err))
            return -1;
        if (value[length] == '\0')
            return 0;
        value += length + 1;
    }
}

static int check_choice(const struct config_key *key, const char *value, struct error *err)
{
    struct text list;

    text_init(&list);
    for (int i = 0; key->choices[i]; i++) {
        if (strcmp(key->choices[i], value) == 0) {
            text_release(&list);
            return 0;
        }
        text_printf(&list, "%s%s", i ? ", " : "", key->choices[i]);
    }
    error_set(err, STATUS_USAGE, "%s is '%s'; it must be one of: %s", key->name, value, list.data);
    text_release(&list);
    return -1;
}

static int check_value(const struct config_key *key, const char *value, struct error *err)
{
    switch (key->kind) {
    case CONFIG_INT:
    case CONFIG_REAL:
        return check_number(key, value, strlen(value), err);
    case CONFIG_INT_LIST:
        return check_list(key, value, err);
    case CONFIG_BOOL:
        if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
            return error_set(err, STATUS_USAGE, "%s is '%s'; it must be true or false", key->name, value);
        return 0;
    case CONFIG_CHOICE:
        return check_choice(key, value, err);
    case CONFIG_TEXT:
        return 0;
    }
    return 0;
}

static int unknown_key(const char *name, struct error *err)
{
    const char **names = malloc((size_t)config_n_keys * sizeof *names), *nearest = NULL;

    for (int i = 0; names && i < config_n_keys; i++)
        names[i] = config_keys[i].name;
    if (names)
        nearest = nearest_name(name, names, config_n_keys);
    free(names);
    return error_set(err, STATUS_USAGE, "unknown key '%s'%s%s%s; 'moescope train --list-keys' lists them",
                     name, nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

/* "8, 16" is "8,16", also for whoever compares it. */
static void drop_blanks(char *value)
{
    char *to = value;

    for (const char *from = value; *from; from++) {
        if (!isspace((unsigned char)*from))
            *to++ = *from;
    }
    *to = '\0';
}

int config_assign(struct config *c, const char *name, const char *value, struct error *err)
{
    int key = config_find(name);

    if (key < 0)
        return unknown_key(name, err);
    if (strlen(value) >= CONFIG_VALUE)
        return error_set(err, STATUS_USAGE, "%s is longer than %d bytes", name, CONFIG_VALUE - 1);
    if (check_value(&config_keys[key], value, err))
        return -1;
    snprintf(c->values[key], sizeof c->values[key], "%s", value);
    if (config_keys[key].kind == CONFIG_INT_LIST)
        drop_blanks(c->values[key]);
    c->given[key] = true;
    return 0;
}

static bool same_value(const struct config_key *key, const char *a, const char *b)
{
    bool number = key->kind == CONFIG_INT || key->kind == CONFIG_REAL;

    return number ? strtod(a, NULL) == strtod(b, NULL) : strcmp(a, b) == 0;
}

int config_adopt(struct config *c, const struct config *earlier, struct error *err)
{
    for (int i = 0; i < config_n_keys; i++) {
        const char *key = config_keys[i].name;
        bool free_choice = strcmp(key, "train.threads") == 0 || strcmp(key, "data.corpus") == 0;
        if (c->given[i] && free_choice)
            continue;
        if (c->given[i] && !same_value(&config_keys[i], c->values[i], earlier->values[i]))
            return error_set(err, STATUS_USAGE,
                             "cannot go on with another configuration: %s was %s, now it is %s", key,
                             earlier->values[i], c->values[i]);
        snprintf(c->values[i], sizeof c->values[i], "%s", earlier->values[i]);
    }
    return 0;
}

int config_set(struct config *c, const char *assignment, struct error *err)
{
    const char *equals = strchr(assignment, '=');
    char name[64];

    if (!equals || (size_t)(equals - assignment) >= sizeof name)
        return error_set(err, STATUS_USAGE, "--set '%s' is not of the form section.key=value", assignment);
    snprintf(name, sizeof name, "%.*s", (int)(equals - assignment), assignment);
    if (config_assign(c, name, equals + 1, err))
        return error_prefix(err, "--set");
    return 0;
}

int config_set_all(struct config *c, const char *const *assignments, int n, struct error *err)
{
    for (int i = 0; i < n && assignments[i]; i++) {
        if (config_set(c, assignments[i], err))
            return -1;
    }
    return 0;
}

static int on_entry(void *context, const char *section, const char *name, const char *value,
                    struct error *err)
{
    char key[128];

    snprintf(key, sizeof key, "%s.%s", section, name);
    return config_assign(context, key, value, err);
}

int config_read(struct config *c, const char *path, struct error *err)
{
    return ini_read(path, on_entry, c, err);
}

static const char *value_of(const struct config *c, const char *name)
{
    int key = config_find(name);

    assert(key >= 0);
    return c->values[key];
}

int64_t config_int(const struct config *c, const char *key)
{
    return (int64_t)strtod(value_of(c, key), NULL);
}

double config_real(const struct config *c, const char *key)
{
    return strtod(value_of(c, key), NULL);
}

bool config_bool(const struct config *c, const char *key)
{
    return strcmp(value_of(c, key), "true") == 0;
}

const char *config_text(const struct config *c, const char *key)
{
    return value_of(c, key);
}

int config_choice(const struct config *c, const char *name)
{
    const struct config_key *key = &config_keys[config_find(name)];
    int i = 0;

    while (strcmp(key->choices[i], config_text(c, name)) != 0)
        i++;
    return i;
}

int config_count(const struct config *c, const char *key)
{
    int n = 1;

    for (const char *comma = value_of(c, key); (comma = strchr(comma, ',')) != NULL; comma++)
        n++;
    return n;
}

int64_t config_int_at(const struct config *c, const char *key, int i)
{
    const char *value = value_of(c, key);

    for (const char *comma; i > 0 && (comma = strchr(value, ',')) != NULL; i--)
        value = comma + 1;
    return (int64_t)strtod(value, NULL);
}

/* Number by number: C takes +3, 03 and 0x3, JSON none of them. */
static void list_json(const char *value, struct text *out)
{
    bool several = strchr(value, ',') != NULL;

    text_add(out, several ? "[" : "");
    for (const char *comma;; value = comma + 1) {
        text_add_number(out, strtod(value, NULL));
        comma = strchr(value, ',');
        if (!comma)
            break;
        text_add(out, ",");
    }
    text_add(out, several ? "]" : "");
}

void config_json(const struct config *c, int key, struct text *out)
{
    const char *value = c->values[key];

    switch (config_keys[key].kind) {
    case CONFIG_INT:
    case CONFIG_REAL:
        text_add_number(out, strtod(value, NULL));
        break;
    case CONFIG_BOOL:
        text_add(out, value);
        break;
    case CONFIG_INT_LIST:
        list_json(value, out);
        break;
    case CONFIG_CHOICE:
    case CONFIG_TEXT:
        text_add_json(out, value);
        break;
    }
}

static int set_default(struct config *c, const char *name, double value, bool allowed, struct error *err)
{
    int key = config_find(name);

    if (!c->given[key]) {
        snprintf(c->values[key], sizeof c->values[key], "%.9g", value);
        return 0;
    }
    if (!allowed && config_real(c, name) > 0.0)
        return error_set(err, STATUS_USAGE,
                         "%s is %s, but router.name = %s has no softmax to apply it to; leave "
                         "it out",
                         name, c->values[key], config_text(c, "router.name"));
    return 0;
}

int config_settle(struct config *c, struct error *err)
{
    const struct router_ops *ops = router_find(config_text(c, "router.name"));

    if (!ops->routes)
        return 0;
    if (ops->renormalize && !c->given[config_find("router.renormalize")])
        snprintf(c->values[config_find("router.renormalize")], sizeof *c->values, "true");
    if (set_default(c, "loss.balance", (double)ops->balance, true, err) ||
        set_default(c, "loss.entropy", (double)ops->entropy, ops->softmax, err))
        return -1;
    return ops->softmax ? 0 : set_default(c, "loss.z", 0.0, false, err);
}

struct router_config config_routing(const struct config *c, int l)
{
    return (struct router_config){
        .n_experts = (int)config_int_at(c, "router.experts", l),
        .k = (int)config_int_at(c, "router.k", l),
        .p = (float)config_real(c, "router.p"),
        .renormalize = config_bool(c, "router.renormalize"),
        .noise = (float)config_real(c, "router.noise"),
        .capacity = (float)config_real(c, "router.capacity"),
        .rare_gate = (float)config_real(c, "mask.rare_gate"),
        .scale = (float)config_real(c, "router.scale"),
        .bias_rate = (float)config_real(c, "router.bias_rate"),
        .importance = (float)config_real(c, "router.importance"),
        .load = (float)config_real(c, "router.load"),
        .visibility = {.split = (enum visibility_split)config_choice(c, "mask.split"),
                       .coverage = config_real(c, "mask.coverage"),
                       .rank = (int)fmin((double)config_int(c, "mask.rank"), INT_MAX),
                       .visible = (int)config_int(c, "mask.visible"),
                       .rare_visible = (int)config_int(c, "mask.rare_visible"),
                       .balanced = config_choice(c, "mask.draw") == 1,
                       .shared = config_choice(c, "mask.scope") == 1}};
}

struct loss_weights config_loss_weights(const struct config *c)
{
    return (struct loss_weights){.balance = (float)config_real(c, "loss.balance"),
                                 .z = (float)config_real(c, "loss.z"),
                                 .entropy = (float)config_real(c, "loss.entropy")};
}

int config_model(const struct config *c, int vocabulary, struct model_config *m, struct error *err)
{
    *m = (struct model_config){.n_layers = (int)config_int(c, "model.layers"),
                               .width = (int)config_int(c, "model.width"),
                               .n_heads = (int)config_int(c, "model.heads"),
                               .context = (int)config_int(c, "model.context"),
                               .vocabulary = vocabulary};
    for (int l = 0; l < m->n_layers && l < MAX_LAYERS; l++) {
        struct layer_config *b = &m->layers[l];
        int dense = (int)config_int(c, "model.dense_hidden");
        b->router = router_find(config_text(c, "router.name"));
        b->routing = config_routing(c, l);
        b->hidden = (int)config_int_at(c, "router.hidden", l);
        b->n_shared = (int)config_int(c, "router.shared");
        b->shared_hidden = (int)config_int(c, "router.shared_hidden");
        if (b->shared_hidden == 0)
            b->shared_hidden = b->hidden;
        if (!b->router->routes)
            b->hidden = dense ? dense : (int)fmin((double)b->routing.k * b->hidden, INT_MAX / 4);
    }
    return model_config_check(m, err);
}
