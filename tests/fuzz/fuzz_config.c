/* Configurations: any bytes as an .ini file, or lines of section.key=value as --set takes them. What is taken
 * must be a JSON value again, and a model's configuration or a complaint. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "engine/config.h"
#include "tests/fuzz/fuzz.h"

static void require_json(const struct config *c)
{
    struct text t;
    for (int key = 0; key < config_n_keys; key++) {
        text_init(&t);
        config_json(c, key, &t);
        cJSON *json = cJSON_Parse(t.data);
        fuzz_require(json != NULL, "a setting is JSON");
        cJSON_Delete(json);
        text_release(&t);
    }
}

static void assign_lines(struct config *c, char *lines)
{
    struct error err;
    for (char *line; (line = strsep(&lines, "\n")) != NULL;) {
        (void)config_set(c, line, &err);
    }
}

/* First byte odd: a file; even: lines. */
static void run(const uint8_t *bytes, size_t n)
{
    struct fuzz_input in = {bytes, n};
    struct config c;
    struct model_config m;
    struct error err;
    fuzz_require(config_init(&c, &err) == 0, "a configuration");
    if (fuzz_byte(&in) & 1) {
        fuzz_write("config.ini", in.bytes, in.n);
        (void)config_read(&c, fuzz_file("config.ini"), &err);
    } else {
        char *lines = fuzz_text(&in, in.n);
        assign_lines(&c, lines);
        free(lines);
    }
    require_json(&c);
    (void)config_model(&c, 1000, &m, &err);
    config_release(&c);
}

static void seed(struct fuzz_seeds *s)
{
    static const char file[] = "\1; a comment\n[model]\nlayers = 2\n  width = 64\n[router]\nname = topk\n"
                               "experts = 4,8\nrenormalize = true\n[train]\nlearning_rate = 1e-3\n";
    static const char lines[] = "\2model.layers=3\nrouter.k=1,2\nlog.decisions=probe\ndata.corpus=a b\n";
    fuzz_seeds_add(s, file, sizeof file - 1);
    fuzz_seeds_add(s, lines, sizeof lines - 1);
}

static const char *const words[] = {
    "[model]",   "[router]",      "[train]",      "[log]",       "layers=", "width=",     "heads=",
    "context=",  "dense_hidden=", "name=",        "experts=",    "k=",      "hidden=",    "noise=",
    "capacity=", "steps=",        "model.",       "router.",     "train.",  "decisions=", "gate_bits=",
    "warmup=",   "true",          "0x10",         "1e18",        "inf",     "nan",        "-0",
    "dense",     "topk",          "\xef\xbb\xbf", "transformer", NULL};

const struct fuzz_target fuzz_config = {
    .name = "config", .most = 4096, .seed = seed, .run = run, .words = words};
