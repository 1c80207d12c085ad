/* engine/config.h: the table of keys against itself, what is read from files and --set, and what is said
 * about what cannot be read. */
#include "engine/config.h"

#include <cjson/cJSON.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/close.h"
#include "tests/support.h"

static void open_config(struct config *c)
{
    struct error err = {0};

    if (config_init(c, &err))
        fail_msg("%s", err.text);
}

static void set(struct config *c, const char *assignment)
{
    struct error err = {0};

    if (config_set(c, assignment, &err))
        fail_msg("%s", err.text);
}

/* The assignment must be refused as wrong usage, with these words in the message. */
static void refuse(const char *assignment, const char *words)
{
    struct config c;
    struct error err = {0};

    open_config(&c);
    assert_int_equal(config_set(&c, assignment, &err), -1);
    assert_int_equal(err.status, STATUS_USAGE);
    if (!strstr(err.text, words) || strncmp(err.text, "--set", 5) != 0)
        fail_msg("'%s': \"%s\" does not say \"%s\"", assignment, err.text, words);
    config_release(&c);
}

/* ---- the table ---- */

static void test_defaults_pass_their_own_checks(void **state)
{
    struct config c;
    struct error err = {0};

    (void)state;
    open_config(&c);
    assert_true(config_n_keys > 30);
    for (int i = 0; i < config_n_keys; i++) {
        const struct config_key *key = &config_keys[i];
        if (config_assign(&c, key->name, key->initial, &err))
            fail_msg("%s", err.text);
        assert_string_equal(config_text(&c, key->name), key->initial);
        assert_non_null(strchr(key->name, '.'));
        assert_true(strlen(key->help) > 0);
        assert_int_equal(key->choices != NULL, key->kind == CONFIG_CHOICE);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(config_keys[j].name, key->name);
    }
    config_release(&c);
}

/* Both ends of every range are allowed, and what is next to them is not. */
static void test_ranges(void **state)
{
    struct config c;
    char value[64];

    (void)state;
    open_config(&c);
    for (int i = 0; i < config_n_keys; i++) {
        const struct config_key *key = &config_keys[i];
        if (key->kind != CONFIG_INT && key->kind != CONFIG_REAL && key->kind != CONFIG_INT_LIST)
            continue;
        const double ends[] = {key->low, key->high}, outside[] = {key->low - 1.0, key->high * 1.01 + 1.0};
        for (int end = 0; end < 2; end++) {
            snprintf(value, sizeof value, "%.17g", ends[end]);
            assert_int_equal(config_assign(&c, key->name, value, NULL), 0);
            snprintf(value, sizeof value, "%.17g", floor(outside[end]));
            assert_int_equal(config_assign(&c, key->name, value, NULL), -1);
        }
    }
    config_release(&c);
}

static void test_default_model(void **state)
{
    struct config c;
    struct model_config m;
    struct error err = {0};

    (void)state;
    open_config(&c);
    if (config_model(&c, 8192, &m, &err))
        fail_msg("%s", err.text);
    /* the reference model R of the design */
    assert_int_equal(m.n_layers, 4);
    assert_int_equal(m.width, 256);
    assert_int_equal(m.n_heads, 4);
    assert_int_equal(m.context, 256);
    assert_int_equal(m.vocabulary, 8192);
    for (int l = 0; l < 4; l++) {
        assert_string_equal(m.layers[l].router->name, "topk");
        assert_int_equal(m.layers[l].routing.n_experts, 16);
        assert_int_equal(m.layers[l].routing.k, 2);
        assert_int_equal(m.layers[l].hidden, 512);
        assert_false(m.layers[l].routing.renormalize);
    }
    config_release(&c);
}

/* ---- --set ---- */

static void test_set(void **state)
{
    struct config c;

    (void)state;
    open_config(&c);
    set(&c, "model.width=32");
    set(&c, "train.learning_rate=2.5e-3");
    set(&c, "router.renormalize=true");
    set(&c, "router.name=dense");
    set(&c, "data.corpus=a=b c"); /* only the first = divides */
    set(&c, "train.steps=1e6");
    assert_int_equal(config_int(&c, "model.width"), 32);
    assert_close(config_real(&c, "train.learning_rate"), 0.0025, 0.0);
    assert_true(config_bool(&c, "router.renormalize"));
    assert_string_equal(config_text(&c, "router.name"), "dense");
    assert_string_equal(config_text(&c, "data.corpus"), "a=b c");
    assert_int_equal(config_int(&c, "train.steps"), 1000000);
    set(&c, "model.width=64"); /* the last one holds */
    assert_int_equal(config_int(&c, "model.width"), 64);
    config_release(&c);
    config_release(&c); /* safe twice */
}

static void test_set_refuses(void **state)
{
    (void)state;
    refuse("model.width", "not of the form section.key=value");
    refuse("", "not of the form section.key=value");
    refuse("model.widht=3", "unknown key 'model.widht'; did you mean 'model.width'?");
    refuse("router.noize=3", "did you mean 'router.noise'?");
    refuse("xyzzy.plugh=3", "unknown key 'xyzzy.plugh'; 'moescope train --list-keys'"); /* nothing is near */
    refuse("=3", "unknown key ''");
    refuse("model.width=", "which is not a number");
    refuse("model.width=4 2", "which is not a number");
    refuse("model.width=abc", "model.width is 'abc', which is not a number");
    refuse("model.width=1.5", "must be a whole number");
    refuse("model.width=1", "model.width is 1; it must be at least 2");
    refuse("model.layers=129", "model.layers is 129; it must be at most 128");
    refuse("train.learning_rate=nan", "which is not a number");
    refuse("train.learning_rate=inf", "at most 100");
    refuse("train.learning_rate=1e999", "which is not a number");
    refuse("train.decay=-1", "at least 0");
    refuse("router.name=top", "router.name is 'top'; it must be one of: dense, topk");
    refuse("router.renormalize=yes", "true or false");
    refuse("router.k=1,,2", "which is not a number");
    refuse("router.k=1,", "which is not a number");
    refuse("router.k=0,1", "at least 1");
}

/* What is refused leaves what was there. Values as long as fits; one more byte is too long. */
static void test_refusal_changes_nothing(void **state)
{
    char assignment[CONFIG_VALUE + 32] = "data.corpus=";
    size_t at = strlen(assignment);
    struct config c;
    struct error err = {0};

    (void)state;
    open_config(&c);
    assert_int_equal(config_set(&c, "model.width=7x", &err), -1);
    assert_int_equal(config_int(&c, "model.width"), 256);
    memset(assignment + at, 'p', CONFIG_VALUE - 1);
    set(&c, assignment);
    assert_int_equal(strlen(config_text(&c, "data.corpus")), CONFIG_VALUE - 1);
    assignment[at + CONFIG_VALUE - 1] = 'q';
    assert_int_equal(config_set(&c, assignment, &err), -1);
    assert_null(strchr(config_text(&c, "data.corpus"), 'q'));
    config_release(&c);
}

/* ---- lists ---- */

static void test_lists_by_layer(void **state)
{
    static const int64_t k[] = {3, 1, 2, 2, 2};
    struct config c;
    struct model_config m;
    struct error err = {0};

    (void)state;
    open_config(&c);
    set(&c, "router.k=3,1,2");
    set(&c, "router.experts=4, 8");
    assert_string_equal(config_text(&c, "router.experts"), "4,8"); /* as a resumed run's will be compared */
    set(&c, "router.hidden=10");
    set(&c, "model.layers=5");
    for (int l = 0; l < 5; l++) {
        assert_int_equal(config_int_at(&c, "router.k", l), k[l]);
        assert_int_equal(config_int_at(&c, "router.hidden", l), 10);
    }
    if (config_model(&c, 100, &m, &err))
        fail_msg("%s", err.text);
    for (int l = 0; l < 5; l++) {
        assert_int_equal(m.layers[l].routing.k, k[l]);
        assert_int_equal(m.layers[l].routing.n_experts, l == 0 ? 4 : 8);
    }
    config_release(&c);
}

/* A dense block is as wide as the experts that a token would meet, unless told otherwise. */
static void test_dense_width(void **state)
{
    struct config c;
    struct model_config m;
    struct error err = {0};

    (void)state;
    open_config(&c);
    set(&c, "router.name=dense");
    set(&c, "router.k=3,2");
    set(&c, "router.hidden=100,50");
    assert_int_equal(config_model(&c, 100, &m, &err), 0);
    assert_int_equal(m.layers[0].hidden, 300);
    assert_int_equal(m.layers[1].hidden, 100);
    assert_int_equal(m.layers[3].hidden, 100);
    set(&c, "model.dense_hidden=77");
    assert_int_equal(config_model(&c, 100, &m, &err), 0);
    assert_int_equal(m.layers[2].hidden, 77);
    config_release(&c);
}

static void check_model_error(const char *const *assignments, const char *words)
{
    struct config c;
    struct model_config m;
    struct error err = {0};

    open_config(&c);
    for (; *assignments; assignments++)
        set(&c, *assignments);
    assert_int_equal(config_model(&c, 100, &m, &err), -1);
    assert_int_equal(err.status, STATUS_USAGE);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
    config_release(&c);
}

static void test_models_that_cannot_be(void **state)
{
    (void)state;
    check_model_error((const char *const[]){"model.heads=3", NULL}, "does not divide model.width 256");
    check_model_error((const char *const[]){"model.width=12", "model.heads=4", NULL}, "even width per head");
    check_model_error((const char *const[]){"router.k=2,17", NULL},
                      "block 1: router.k is 17 but there are 16 experts");
    check_model_error((const char *const[]){"router.k=1", "router.renormalize=true", NULL},
                      "block 0: router.renormalize");
}

/* ---- files ---- */

static int read_text(struct config *c, const char *content, struct error *err)
{
    char *folder = test_folder(), path[4096];

    test_write_text(folder, "run.ini", content);
    snprintf(path, sizeof path, "%s/run.ini", folder);
    int result = config_read(c, path, err);
    test_folder_remove(folder);
    return result;
}

static void test_file(void **state)
{
    struct config c;
    struct error err = {0};

    (void)state;
    open_config(&c);
    if (read_text(&c,
                  "; a comment\n# another\n\n[model]\nlayers = 2\n  width=48\r\nheads : 6 ; inline\n"
                  "[router]\nk = 4,\t2\n[data]\ncorpus = with a space",
                  &err))
        fail_msg("%s", err.text);
    assert_int_equal(config_int(&c, "model.layers"), 2);
    assert_int_equal(config_int(&c, "model.heads"), 6);
    assert_int_equal(config_int_at(&c, "router.k", 1), 2);
    assert_string_equal(config_text(&c, "data.corpus"), "with a space");
    assert_int_equal(read_text(&c, "", &err), 0);
    config_release(&c);
}

static void refuse_file(const char *content, const char *words)
{
    struct config c;
    struct error err = {0};

    open_config(&c);
    assert_int_equal(read_text(&c, content, &err), -1);
    assert_int_equal(err.status, STATUS_USAGE);
    if (!strstr(err.text, "/run.ini' line ") || !strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
    config_release(&c);
}

/* File, line, what is wrong, and the nearest key. */
static void test_file_refuses(void **state)
{
    char long_line[400] = "[model]\nlayers = 2\n[data]\ncorpus = ";
    size_t at = strlen(long_line);

    (void)state;
    refuse_file("[model]\nlayers = 2\nwidht = 3\n",
                "line 3: unknown key 'model.widht'; did you mean 'model.width'?");
    refuse_file("[model]\n\n# width\nwidth = much\n", "line 4: model.width is 'much', which is not a number");
    refuse_file("layers = 2\n", "line 1: unknown key '.layers'");
    refuse_file("[model]\nlayers = 2\nnonsense\n", "line 3: not a [section]");
    /* the first thing that is wrong, not the first line with what is wrong second */
    refuse_file("[model]\nnonsense\nlayers = x\n", "line 2: not a [section]");
    refuse_file("[model]\nlayers = x\nnonsense\nwidth = y\n", "line 2: model.layers is 'x'");
    refuse_file("[model\nlayers = 2\n", "line 1: not a [section]");
    memset(long_line + at, 'p', 300);
    refuse_file(long_line, "line 4: longer than 199 bytes");
}

static void test_file_missing(void **state)
{
    struct config c;
    struct error err = {0};
    char *folder = test_folder(), path[4096];

    (void)state;
    open_config(&c);
    snprintf(path, sizeof path, "%s/none.ini", folder);
    assert_int_equal(config_read(&c, path, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_non_null(strstr(err.text, "none.ini"));
    assert_int_equal(config_read(&c, folder, &err), -1); /* a folder is no file */
    test_folder_remove(folder);
    config_release(&c);
}

/* ---- JSON ---- */

static char *json_of(const struct config *c, const char *name)
{
    struct text t;

    text_init(&t);
    for (int i = 0; i < config_n_keys; i++) {
        if (strcmp(config_keys[i].name, name) == 0)
            config_json(c, i, &t);
    }
    return text_detach(&t);
}

static void check_json(const char *assignment, const char *name, const char *expected)
{
    struct config c;

    open_config(&c);
    set(&c, assignment);
    char *json = json_of(&c, name);
    assert_string_equal(json, expected);
    free(json);
    config_release(&c);
}

static void test_json(void **state)
{
    (void)state;
    check_json("model.width=32", "model.width", "32");
    check_json("train.steps=1e3", "train.steps", "1000");
    check_json("train.learning_rate=.5e-2", "train.learning_rate", "0.005");
    check_json("router.renormalize=true", "router.renormalize", "true");
    check_json("router.name=dense", "router.name", "\"dense\"");
    check_json("data.corpus=a \"b\"\\", "data.corpus", "\"a \\\"b\\\"\\\\\"");
    check_json("router.k=3", "router.k", "3");
    check_json("router.k=3, 2,2", "router.k", "[3,2,2]");
    check_json("router.k=+3,02,0x1", "router.k", "[3,2,1]"); /* as C reads them, JSON would not */
    check_json("router.k=0x2", "router.k", "2");
}

/* All defaults are JSON that a parser takes. */
static void test_json_parses(void **state)
{
    struct config c;

    (void)state;
    open_config(&c);
    for (int i = 0; i < config_n_keys; i++) {
        char *json = json_of(&c, config_keys[i].name);
        cJSON *value = cJSON_Parse(json);
        if (!value)
            fail_msg("%s: '%s' is not JSON", config_keys[i].name, json);
        cJSON_Delete(value);
        free(json);
    }
    config_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_pass_their_own_checks),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_default_model),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_set_refuses),
        cmocka_unit_test(test_refusal_changes_nothing),
        cmocka_unit_test(test_lists_by_layer),
        cmocka_unit_test(test_dense_width),
        cmocka_unit_test(test_models_that_cannot_be),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_file_refuses),
        cmocka_unit_test(test_file_missing),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_parses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
