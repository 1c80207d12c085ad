/* Checkpoints: any bytes as a safetensors file, and any header with a length that fits it. What opens is
 * loaded into the model that it describes, as `moescope route` does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/checkpoint.h"
#include "engine/model.h"
#include "tests/fuzz/fuzz.h"
#include "tests/memory.h"
#include "tests/support.h"

enum { TOKENS = 16 };
static struct pool *pool;

static void open_pool(void)
{
    struct error err;
    test_must(pool_open(&pool, 1, &err), &err);
}

static void load(const struct checkpoint *c)
{
    struct model_config config;
    struct model model = {0};
    struct error err;
    if (config_model(&c->config, (int)c->state.vocabulary, &config, &err) == 0 &&
        checkpoint_fits(c, &config, &err) == 0 && model_init(&model, &config, TOKENS, pool, &err) == 0) {
        if (checkpoint_load(c, &model.parameters, NULL, NULL, &err) == 0)
            (void)checkpoint_check_states(c, &model, &err);
    }
    model_release(&model);
}

/* First byte even: the file as it stands; odd: the length of the header is put in front. */
static void run(const uint8_t *bytes, size_t n)
{
    struct fuzz_input in = {bytes, n};
    struct checkpoint c;
    struct error err;
    bool framed = fuzz_byte(&in) & 1;
    size_t header = framed ? fuzz_number(&in, 2) : 0;
    uint64_t length = header < in.n ? header : in.n;
    uint8_t *file = malloc(in.n + sizeof length);
    fuzz_require(file != NULL, "there is memory");
    memcpy(file, &length, sizeof length);
    memcpy(file + (framed ? sizeof length : 0), in.bytes, in.n);
    fuzz_write("checkpoint", file, in.n + (framed ? sizeof length : 0));
    free(file);
    if (checkpoint_open(&c, fuzz_file("checkpoint"), &err) == 0) {
        load(&c);
        checkpoint_close(&c);
    }
}

/* ---- seeds: a model of two blocks, as a file and in this target's language ---- */

static void save(const char *const *settings)
{
    struct config config;
    struct model_config shape;
    struct model model;
    struct error err;
    char sha256[SHA256_HEX];
    const struct checkpoint_state state = {
        .step = 5, .epoch = 1, .next = 2, .seed = 3, .tokens = 80, .vocabulary = 5, .core_type = "Haswell"};
    memory_config(&config, settings);
    test_must(config_model(&config, (int)state.vocabulary, &shape, &err), &err);
    test_must(model_init(&model, &shape, TOKENS, pool, &err), &err);
    test_must(checkpoint_save(fuzz_file("saved"), &model.parameters, model.parameters.values,
                              model.parameters.values, &config, &state, sha256, &err),
              &err);
    model_release(&model);
    config_release(&config);
}

static void seed(struct fuzz_seeds *s)
{
    static const char *const routed[] = {
        "model.layers=2", "model.width=2",   "model.heads=1",   "router.experts=2",
        "router.k=1",     "router.hidden=1", "model.context=2", NULL};
    static const char *const dense[] = {"model.layers=1",
                                        "model.width=2",
                                        "model.heads=1",
                                        "router.hidden=1",
                                        "model.context=2",
                                        "router.name=dense",
                                        NULL};
    for (int i = 0; i < 2; i++) {
        size_t n;
        save(i == 0 ? routed : dense);
        uint8_t *file = fuzz_read(fuzz_file("saved"), &n), *input = malloc(n + 1);
        fuzz_require(input != NULL && n > 8 && file[2] == 0, "a small checkpoint");
        input[0] = 0;
        memcpy(input + 1, file, n);
        fuzz_seeds_add(s, input, n + 1);
        input[0] = 1;
        memcpy(input + 1, file, 2);
        memcpy(input + 3, file + 8, n - 8);
        fuzz_seeds_add(s, input, n - 5);
        free(input);
        free(file);
    }
}

static const char *const words[] = {"\"__metadata__\"",
                                    "\"data_offsets\":[",
                                    "\"shape\":[",
                                    "\"dtype\":\"F32\"",
                                    "config.model.",
                                    "config.router.",
                                    "[[[[[[[[",
                                    "1e308",
                                    "9007199254740993",
                                    "-1",
                                    "2147483647",
                                    "null",
                                    "\"vocabulary\":",
                                    "model.layers",
                                    "model.width",
                                    "model.context",
                                    "router.experts",
                                    "router.hidden",
                                    "router.k",
                                    "65536",
                                    "embedding",
                                    "adam.m.",
                                    "\"format\":",
                                    "1048576",
                                    NULL};

const struct fuzz_target fuzz_checkpoint = {
    .name = "checkpoint", .most = 16384, .open = open_pool, .seed = seed, .run = run, .words = words};
