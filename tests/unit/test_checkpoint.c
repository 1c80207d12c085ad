/* engine/checkpoint.h: what is saved comes back bit for bit, the file is a safetensors file, and nothing that
 * is not a whole checkpoint gets past the door. */
#include "engine/checkpoint.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/memory.h"
#include "tests/support.h"

enum { VOCABULARY = 11 };

static const char *const tiny[] = {"model.layers=2",
                                   "model.width=4",
                                   "model.heads=1",
                                   "router.experts=2",
                                   "router.k=1",
                                   "router.hidden=3",
                                   NULL};

struct fixture {
    char *folder, path[4096], sha256[SHA256_HEX];
    struct pool *pool;
    struct config config;
    struct model model;
    float *m, *v;
    struct checkpoint_state state;
    char *bytes; /* of the file that was saved */
    size_t n_bytes, n_header;
};

static float *random_floats(size_t n, struct random *r)
{
    float *x = malloc(n * sizeof *x);

    for (size_t i = 0; i < n; i++)
        x[i] = (float)random_normal(r);
    return x;
}

static void open_model(struct fixture *f, const struct config *config, struct model *model)
{
    struct model_config c;
    struct error err = {0};

    if (config_model(config, VOCABULARY, &c, &err) || model_init(model, &c, 16, f->pool, &err))
        fail_msg("%s", err.text);
}

static int save(struct fixture *f, const char *path, struct error *err)
{
    return checkpoint_save(path, &f->model.parameters, f->m, f->v, &f->config, &f->state, f->sha256, err);
}

static void fixture_open(struct fixture *f)
{
    struct random r;
    struct error err = {0};
    uint64_t length;

    memset(f, 0, sizeof *f);
    f->folder = test_folder();
    snprintf(f->path, sizeof f->path, "%s/run.safetensors", f->folder);
    assert_int_equal(pool_open(&f->pool, 1, NULL), 0);
    memory_config(&f->config, tiny);
    open_model(f, &f->config, &f->model);
    assert_int_equal(model_seed(&f->model, 3, NULL), 0);
    random_seed(&r, 4, 0);
    f->m = random_floats(f->model.parameters.n_weights, &r);
    f->v = random_floats(f->model.parameters.n_weights, &r);
    f->state = (struct checkpoint_state){
        .step = 12, .epoch = 1, .next = 5, .seed = -7, .tokens = 123456789012345, .vocabulary = VOCABULARY};
    memset(f->state.corpus_sha256, 'c', 64);
    memset(f->state.vocabulary_sha256, 'd', 64);
    snprintf(f->state.core_type, sizeof f->state.core_type, "Haswell");
    if (save(f, f->path, &err) || file_read(f->path, &f->bytes, &f->n_bytes, &err))
        fail_msg("%s", err.text);
    memcpy(&length, f->bytes, sizeof length);
    f->n_header = length;
}

static void fixture_close(struct fixture *f)
{
    free(f->m);
    free(f->v);
    free(f->bytes);
    model_release(&f->model);
    config_release(&f->config);
    pool_close(f->pool);
    test_folder_remove(f->folder);
}

static void assert_same_tensors(const struct model *model, const float *a, const float *b)
{
    for (int i = 0; i < model->parameters.n; i++) {
        const struct parameter *p = &model->parameters.items[i];
        assert_memory_equal(a + p->offset, b + p->offset, p->count * sizeof(float));
    }
}

/* Opens the file at `path` and loads its weights, and the moments too when asked. */
static int open_and_load(struct fixture *f, const char *path, bool moments, struct model *model,
                         struct error *err)
{
    struct checkpoint c;
    float *m = calloc(model->parameters.n_weights, sizeof *m),
          *v = calloc(model->parameters.n_weights, sizeof *v);
    int result = checkpoint_open(&c, path, err);

    if (result == 0) {
        result = checkpoint_load(&c, &model->parameters, moments ? m : NULL, moments ? v : NULL, err) ||
                         checkpoint_check_states(&c, model, err)
                     ? -1
                     : 0;
        if (result == 0 && moments) {
            assert_same_tensors(model, m, f->m);
            assert_same_tensors(model, v, f->v);
        }
        checkpoint_close(&c);
    }
    checkpoint_close(&c); /* after failing and twice: harmless */
    free(m);
    free(v);
    return result;
}

/* ---- round trip ---- */

static void test_round_trip(void **state)
{
    struct fixture f;
    struct model other;
    struct checkpoint c;
    struct error err = {0};

    (void)state;
    fixture_open(&f);
    if (checkpoint_open(&c, f.path, &err))
        fail_msg("%s", err.text);
    assert_int_equal(c.state.step, 12);
    assert_int_equal(c.state.epoch, 1);
    assert_int_equal(c.state.next, 5);
    assert_int_equal(c.state.seed, -7);
    assert_int_equal(c.state.tokens, 123456789012345);
    assert_int_equal(c.state.vocabulary, VOCABULARY);
    assert_string_equal(c.state.corpus_sha256, f.state.corpus_sha256);
    assert_string_equal(c.state.vocabulary_sha256, f.state.vocabulary_sha256);
    assert_string_equal(c.state.core_type, "Haswell");
    for (int i = 0; i < config_n_keys; i++)
        assert_string_equal(c.config.values[i], f.config.values[i]);
    checkpoint_close(&c);
    open_model(&f, &f.config, &other);
    if (open_and_load(&f, f.path, true, &other, &err))
        fail_msg("%s", err.text);
    assert_same_tensors(&other, other.parameters.values, f.model.parameters.values);
    model_release(&other);
    fixture_close(&f);
}

/* The hash is the file's; the same state saved again is the same bytes. */
static void test_same_bytes(void **state)
{
    struct fixture f;
    char hex[SHA256_HEX], *again;
    size_t n;

    (void)state;
    fixture_open(&f);
    assert_int_equal(sha256_file(f.path, hex, NULL), 0);
    assert_string_equal(hex, f.sha256);
    assert_int_equal(save(&f, f.path, NULL), 0); /* over the old one */
    assert_int_equal(file_read(f.path, &again, &n, NULL), 0);
    assert_int_equal(n, f.n_bytes);
    assert_memory_equal(again, f.bytes, n);
    free(again);
    fixture_close(&f);
}

/* ---- the layout, as safetensors describes it ---- */

static size_t check_tensor(const struct fixture *f, const cJSON *t, size_t expected_offset)
{
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(t, "shape"),
                *offsets = cJSON_GetObjectItemCaseSensitive(t, "data_offsets"), *item;
    size_t count = 1, first = (size_t)cJSON_GetArrayItem(offsets, 0)->valuedouble;
    size_t last = (size_t)cJSON_GetArrayItem(offsets, 1)->valuedouble;

    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(t, "dtype")), "F32");
    assert_int_equal(cJSON_GetArraySize(offsets), 2);
    cJSON_ArrayForEach(item, shape) count *= (size_t)item->valueint;
    assert_int_equal(first, expected_offset); /* no holes */
    assert_int_equal(last - first, count * sizeof(float));
    assert_true(8 + f->n_header + last <= f->n_bytes);
    return last;
}

/* 8 bytes of length, little-endian; that much JSON, its metadata strings only; tensors without holes up to
 * the end of the file, beginning on a multiple of 8. */
static void test_layout(void **state)
{
    struct fixture f;
    const cJSON *item, *entry;
    size_t at = 0;
    int tensors = 0;

    (void)state;
    fixture_open(&f);
    assert_int_equal(f.n_header % 8, 0);
    assert_int_equal(f.bytes[8], '{');
    cJSON *header = cJSON_ParseWithLength(f.bytes + 8, f.n_header);
    assert_non_null(header);
    cJSON_ArrayForEach(item, header)
    {
        if (strcmp(item->string, "__metadata__") == 0) {
            cJSON_ArrayForEach(entry, item) assert_true(cJSON_IsString(entry));
            continue;
        }
        at = check_tensor(&f, item, at);
        tensors++;
    }
    assert_int_equal(tensors, 3 * f.model.parameters.n);
    assert_int_equal(8 + f.n_header + at, f.n_bytes);
    cJSON_Delete(header);
    fixture_close(&f);
}

/* A named tensor holds the parameter of that name: its values, and its moments under adam.m. and adam.v. */
static void test_names(void **state)
{
    static const char *const prefixes[] = {"", "adam.m.", "adam.v."};
    struct fixture f;

    (void)state;
    fixture_open(&f);
    const float *const sets[] = {f.model.parameters.values, f.m, f.v};
    cJSON *header = cJSON_ParseWithLength(f.bytes + 8, f.n_header);
    for (int set = 0; set < 3; set++) {
        for (int i = 0; i < f.model.parameters.n; i++) {
            const struct parameter *p = &f.model.parameters.items[i];
            char name[80];
            snprintf(name, sizeof name, "%s%s", prefixes[set], p->name);
            const cJSON *t = cJSON_GetObjectItemCaseSensitive(header, name);
            assert_non_null(t);
            int first = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(t, "data_offsets"), 0)->valueint;
            assert_memory_equal(f.bytes + 8 + f.n_header + first, sets[set] + p->offset,
                                p->count * sizeof(float));
        }
    }
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(header, "__metadata__");
    const cJSON *width = cJSON_GetObjectItemCaseSensitive(metadata, "config.model.width");
    assert_string_equal(cJSON_GetStringValue(width), "4");
    cJSON_Delete(header);
    fixture_close(&f);
}

/* ---- what is not whole ---- */

/* Writes bytes as a file and opens it. Whatever happens, a failure is the input's, and a success has given
 * the weights that were saved. */
static int try_bytes(struct fixture *f, const char *bytes, size_t n, bool moments, struct model *model)
{
    struct error err = {0};
    char path[4200];

    snprintf(path, sizeof path, "%s/damaged", f->folder);
    remove(path); /* or file systems that guard a file written anew flush each of thousands */
    test_write(f->folder, "damaged", bytes, n);
    for (size_t i = 0; i < model->parameters.n_weights; i++)
        model->parameters.values[i] = -1.0F;
    int result = open_and_load(f, path, moments, model, &err);
    if (result == 0)
        assert_same_tensors(model, model->parameters.values, f->model.parameters.values);
    else if (err.status != STATUS_INPUT || !strstr(err.text, "damaged"))
        fail_msg("status %d: %s", err.status, err.text);
    return result;
}

static void refuse_bytes(struct fixture *f, const char *bytes, size_t n, struct model *model)
{
    for (int moments = 0; moments < 2; moments++) {
        if (try_bytes(f, bytes, n, moments, model) == 0)
            fail_msg("%zu bytes were taken for a whole checkpoint of %zu", n, f->n_bytes);
    }
}

static void test_cut_short(void **state)
{
    struct fixture f;
    struct model other;

    (void)state;
    fixture_open(&f);
    open_model(&f, &f.config, &other);
    for (size_t n = 0; n < 20; n++) /* within the length, and the first of the header */
        refuse_bytes(&f, f.bytes, n, &other);
    for (size_t i = 1; i <= 20; i++) /* across everything */
        refuse_bytes(&f, f.bytes, f.n_bytes * i / 21, &other);
    for (int i = -2; i <= 2; i++) /* around the end of the header */
        refuse_bytes(&f, f.bytes, 8 + f.n_header + (size_t)i, &other);
    for (size_t i = 1; i <= 9; i++) /* and of the file */
        refuse_bytes(&f, f.bytes, f.n_bytes - i, &other);
    char *longer = calloc(1, f.n_bytes + 4); /* a safetensors file has nothing behind its tensors either */
    memcpy(longer, f.bytes, f.n_bytes);
    refuse_bytes(&f, longer, f.n_bytes + 4, &other);
    free(longer);
    model_release(&other);
    fixture_close(&f);
}

/* Every bit of the length, and one bit of every byte of the header and the tensors. Only where the seal
 * itself is no longer seen may a flip pass: then all else is as it was. */
static void test_flipped_bits(void **state)
{
    struct fixture f;
    struct model other;
    int refused = 0;

    (void)state;
    fixture_open(&f);
    open_model(&f, &f.config, &other);
    for (int bit = 0; bit < 64; bit++) {
        f.bytes[bit / 8] ^= (char)(1 << bit % 8);
        refuse_bytes(&f, f.bytes, f.n_bytes, &other);
        f.bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (size_t i = 8; i < f.n_bytes; i++) {
        char flip = (char)(1 << i % 7);
        f.bytes[i] ^= flip;
        refused += try_bytes(&f, f.bytes, f.n_bytes, i % 2, &other) != 0;
        f.bytes[i] ^= flip;
    }
    assert_true(refused >= (int)f.n_bytes - 8 - (int)strlen("\"crc32\":\""));
    model_release(&other);
    fixture_close(&f);
}

/* A header of our own making in front of the tensors that were saved. */
static void refuse_header(struct fixture *f, const char *header, struct model *model)
{
    uint64_t length = strlen(header);
    size_t n_data = f->n_bytes - 8 - f->n_header;
    char *bytes = malloc(8 + length + n_data);

    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, length);
    memcpy(bytes + 8 + length, f->bytes + 8 + f->n_header, n_data);
    refuse_bytes(f, bytes, 8 + length + n_data, model);
    free(bytes);
}

static void test_other_headers(void **state)
{
    struct fixture f;
    struct model other;

    (void)state;
    fixture_open(&f);
    open_model(&f, &f.config, &other);
    refuse_header(&f, "", &other);
    refuse_header(&f, "{}", &other);
    refuse_header(&f, "[]", &other);
    refuse_header(&f, "7", &other);
    refuse_header(&f, "{\"__metadata__\": 5}", &other);
    refuse_header(&f, "{\"__metadata__\": {\"format\": \"pt\"}}", &other); /* somebody else's */
    refuse_header(&f, "{\"__metadata__\": {\"format\": \"moescope 1\"}}", &other);
#define OURS                                                                                                 \
    "{\"__metadata__\": {\"format\": \"moescope 1\", \"step\": \"1\", \"epoch\": \"0\", \"next\": \"0\", "   \
    "\"vocabulary\": \"11\"}"
    refuse_header(&f, OURS "}", &other);
    refuse_header(&f, OURS ", \"embedding\": 5}", &other);
    refuse_header(&f, OURS ", \"embedding\": {\"dtype\": \"F32\", \"shape\": [11, 4]}}", &other);
    refuse_header(
        &f, OURS ", \"embedding\": {\"dtype\": \"F32\", \"shape\": [11, 4], \"data_offsets\": [0]}}", &other);
    refuse_header(
        &f, OURS ", \"embedding\": {\"dtype\": \"F32\", \"shape\": [11, 4], \"data_offsets\": [-176, 0]}}",
        &other);
    refuse_header(
        &f,
        OURS ", \"embedding\": {\"dtype\": \"F32\", \"shape\": [11, 4], \"data_offsets\": [1e300, 1e300]}}",
        &other);
    refuse_header(
        &f, OURS ", \"embedding\": {\"dtype\": \"F64\", \"shape\": [11, 4], \"data_offsets\": [0, 176]}}",
        &other);
#undef OURS
    model_release(&other);
    fixture_close(&f);
}

/* The saved header with a few characters changed, in a way that keeps every size. */
static void refuse_patched(struct fixture *f, const char *from, const char *to, struct model *model)
{
    char *at = memmem(f->bytes, 8 + f->n_header, from, strlen(from));

    assert_non_null(at);
    memcpy(at, to, strlen(to));
    refuse_bytes(f, f->bytes, f->n_bytes, model);
    memcpy(at, from, strlen(from));
}

static void test_patched_header(void **state)
{
    struct fixture f;
    struct model other;

    (void)state;
    fixture_open(&f);
    open_model(&f, &f.config, &other);
    refuse_patched(&f, "\"F32\"", "\"I32\"", &other);
    refuse_patched(&f, "[11,4]", "[4,11]", &other);
    refuse_patched(&f, "\"step\":\"12\"", "\"step\":\"-2\"", &other);
    refuse_patched(&f, "moescope 1", "moescope 2", &other);
    refuse_patched(&f, "\"config.model.width\":\"4\"", "\"config.model.width\":\"x\"", &other);
    assert_int_equal(try_bytes(&f, f.bytes, f.n_bytes, true, &other), 0); /* the patches are gone */
    model_release(&other);
    fixture_close(&f);
}

static void test_missing_file(void **state)
{
    struct checkpoint c;
    struct error err = {0};

    (void)state;
    assert_int_equal(checkpoint_open(&c, "/nonexistent/run.safetensors", &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_int_equal(checkpoint_open(&c, "/", &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
}

/* A model of another shape takes nothing of it and says which tensor it is. */
static void test_wrong_shape(void **state)
{
    static const char *const changes[] = {"model.width=8", "router.experts=3", "router.hidden=4",
                                          "model.layers=3", "router.name=dense"};
    struct fixture f;

    (void)state;
    fixture_open(&f);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct config config;
        struct model other;
        struct error err = {0};
        memory_config(&config, tiny);
        assert_int_equal(config_set(&config, changes[i], &err), 0);
        open_model(&f, &config, &other);
        int result = open_and_load(&f, f.path, false, &other, &err);
        assert_int_equal(result, -1);
        assert_int_equal(err.status, STATUS_INPUT);
        assert_non_null(strstr(err.text, "tensor "));
        model_release(&other);
        config_release(&config);
    }
    fixture_close(&f);
}

/* A whole file, but its table leads to an expert that is not there, or an id sees nobody. */
static void check_state_refused(const char *router, float value, const char *tensor)
{
    struct fixture f;
    struct config config;
    struct model model, other;
    struct error err = {0};

    fixture_open(&f);
    memory_config(&config, tiny);
    assert_int_equal(config_set(&config, router, &err), 0);
    assert_int_equal(config_set(&config, "mask.visible=2", &err), 0);
    open_model(&f, &config, &model);
    open_model(&f, &config, &other);
    assert_int_equal(model_seed(&model, 3, &err), 0);
    assert_int_equal(checkpoint_save(f.path, &model.parameters, f.m, f.v, &config, &f.state, f.sha256, &err),
                     0);
    assert_int_equal(open_and_load(&f, f.path, false, &other, &err), 0);
    float *state = model.parameters.values + model.parameters.n_weights;
    state[0] = state[1] = value;
    assert_int_equal(checkpoint_save(f.path, &model.parameters, f.m, f.v, &config, &f.state, f.sha256, &err),
                     0);
    assert_int_equal(open_and_load(&f, f.path, false, &other, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_non_null(strstr(err.text, tensor));
    model_release(&model);
    model_release(&other);
    config_release(&config);
    fixture_close(&f);
}

static void test_states_that_lead_astray(void **state)
{
    (void)state;
    check_state_refused("router.name=hash", 2.0F, "tensor layers.0.router.table"); /* of two experts */
    check_state_refused("router.name=hash", -1.0F, "tensor layers.0.router.table");
    check_state_refused("router.name=hash", 0.5F, "tensor layers.0.router.table");
    check_state_refused("router.name=hash", (float)NAN, "tensor layers.0.router.table");
    check_state_refused("router.name=mask", 0.0F, "tensor layers.0.router.visible");
    check_state_refused("router.name=mask", 3.0F, "tensor layers.0.router.visible");
    check_state_refused("router.name=mask", (float)NAN, "tensor layers.0.router.visible");
}

/* ---- when it cannot be written ---- */

static void assert_untouched(const struct fixture *f)
{
    char *bytes;
    size_t n;

    assert_int_equal(file_read(f->path, &bytes, &n, NULL), 0);
    assert_int_equal(n, f->n_bytes);
    assert_memory_equal(bytes, f->bytes, n);
    free(bytes);
}

/* In a process of its own, as a user who is not root (who may write anywhere): its status, or 100 if it
 * succeeded after all. */
static int save_as_nobody(struct fixture *f)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct error err = {0};
        if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
            _exit(101);
        _exit(save(f, f->path, &err) == 0 ? 100 : (int)err.status);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Asked before memory is taken: a configuration of a larger model than the file has tensors for. */
static void test_other_size(void **state)
{
    struct fixture f;
    struct checkpoint c;
    struct model_config config;
    struct error err = {0};

    (void)state;
    fixture_open(&f);
    assert_int_equal(checkpoint_open(&c, f.path, &err), 0);
    assert_int_equal(config_model(&c.config, VOCABULARY, &config, &err), 0);
    assert_true(model_config_weights(&config) == parameters_count(&f.model.parameters));
    assert_int_equal(checkpoint_fits(&c, &config, &err), 0);
    config.layers[1].hidden = 1048576;
    assert_int_equal(checkpoint_fits(&c, &config, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_non_null(strstr(err.text, "another size"));
    checkpoint_close(&c);
    fixture_close(&f);
}

static void test_folder_not_writable(void **state)
{
    struct fixture f;
    struct test_run r;

    (void)state;
    fixture_open(&f);
    f.state.step = 13; /* would be another file */
    assert_int_equal(chmod(f.folder, 0555), 0);
    assert_int_equal(save_as_nobody(&f), STATUS_MACHINE);
    assert_int_equal(chmod(f.folder, 0755), 0);
    assert_untouched(&f);
    r = test_run("ls %s", f.folder);
    assert_string_equal(r.out, "run.safetensors\n"); /* and nothing half written beside it */
    test_run_release(&r);
    fixture_close(&f);
}

/* The disk is "full" after 1000 bytes. */
static void test_disk_full(void **state)
{
    struct fixture f;
    struct error err = {0};
    struct rlimit before, small;
    struct test_run r;

    (void)state;
    fixture_open(&f);
    f.state.step = 13;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){1000, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int result = save(&f, f.path, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(result, -1);
    assert_int_equal(err.status, STATUS_MACHINE);
    assert_untouched(&f);
    r = test_run("ls %s", f.folder);
    assert_string_equal(r.out, "run.safetensors\n");
    test_run_release(&r);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_other_headers),
        cmocka_unit_test(test_patched_header),
        cmocka_unit_test(test_missing_file),
        cmocka_unit_test(test_wrong_shape),
        cmocka_unit_test(test_states_that_lead_astray),
        cmocka_unit_test(test_other_size),
        cmocka_unit_test(test_folder_not_writable),
        cmocka_unit_test(test_disk_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
