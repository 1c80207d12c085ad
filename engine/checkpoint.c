#include "engine/checkpoint.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* ---- writing ---- */

/* The same tensors three times over: values, first moments, second moments; of routers' states the values. */
enum { VALUES, N_SETS = 3, N_STATE = 12 /* what describe_state adds */ };
static const char *const set_prefix[N_SETS] = {"", "adam.m.", "adam.v."};

static bool in_set(const struct parameter *p, int set)
{
    return p->trained || set == VALUES;
}

static void add_integer(cJSON *metadata, const char *name, int64_t value)
{
    char text[32];

    snprintf(text, sizeof text, "%" PRId64, value);
    cJSON_AddStringToObject(metadata, name, text);
}

/* CRC-32 of all behind the length, with zeros in its own place: whoever has only the file sees what is not as
 * it was saved. (The logbook knows its SHA-256.) */
static const char crc_key[] = "\"crc32\":\"", no_crc[] = "00000000";
enum { CRC_DIGITS = sizeof no_crc - 1 };

/* Where its digits are in a header, or NULL. The key's quotes keep it from being found within a string. */
static char *find_crc(const char *header, size_t length)
{
    char *key = memmem(header, length, crc_key, sizeof crc_key - 1);
    size_t behind = key ? (size_t)(key - header) + sizeof crc_key - 1 : length;

    return behind + CRC_DIGITS <= length ? key + sizeof crc_key - 1 : NULL;
}

static void describe_state(cJSON *metadata, const struct checkpoint_state *s)
{
    char flops[40];

    cJSON_AddStringToObject(metadata, "format", "moescope 1");
    cJSON_AddStringToObject(metadata, "crc32", no_crc);
    add_integer(metadata, "step", s->step);
    add_integer(metadata, "epoch", s->epoch);
    add_integer(metadata, "next", s->next);
    add_integer(metadata, "seed", s->seed);
    add_integer(metadata, "tokens", s->tokens);
    add_integer(metadata, "vocabulary", s->vocabulary);
    snprintf(flops, sizeof flops, "%a", s->flops); /* whole: a resumed run's sum goes on exactly */
    cJSON_AddStringToObject(metadata, "flops", flops);
    cJSON_AddStringToObject(metadata, "corpus_sha256", s->corpus_sha256);
    cJSON_AddStringToObject(metadata, "vocabulary_sha256", s->vocabulary_sha256);
    cJSON_AddStringToObject(metadata, "core_type", s->core_type);
}

static void describe_config(cJSON *metadata, const struct config *config)
{
    char name[80];

    for (int i = 0; i < config_n_keys; i++) {
        snprintf(name, sizeof name, "config.%s", config_keys[i].name);
        cJSON_AddStringToObject(metadata, name, config->values[i]);
    }
}

static void describe_tensor(cJSON *header, const char *prefix, const struct parameter *p, size_t *at)
{
    char name[64];
    cJSON *tensor, *shape, *offsets;

    snprintf(name, sizeof name, "%s%s", prefix, p->name);
    tensor = cJSON_AddObjectToObject(header, name);
    cJSON_AddStringToObject(tensor, "dtype", "F32");
    shape = cJSON_AddArrayToObject(tensor, "shape");
    for (int i = 0; i < p->n_dimensions; i++)
        cJSON_AddItemToArray(shape, cJSON_CreateNumber(p->shape[i]));
    offsets = cJSON_AddArrayToObject(tensor, "data_offsets");
    cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)*at));
    *at += p->count * sizeof(float);
    cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)*at));
}

/* The header, padded with spaces so that tensors begin on a multiple of 8. NULL when memory is short. */
static char *make_header(const struct parameters *parameters, const struct config *config,
                         const struct checkpoint_state *state)
{
    cJSON *header = cJSON_CreateObject(), *metadata = cJSON_AddObjectToObject(header, "__metadata__");
    size_t at = 0, length, padded;
    int tensors = 0;
    char *json = NULL, *result = NULL;

    describe_state(metadata, state);
    describe_config(metadata, config);
    for (int set = 0; set < N_SETS; set++) {
        for (int i = 0; i < parameters->n; i++) {
            if (!in_set(&parameters->items[i], set))
                continue;
            describe_tensor(header, set_prefix[set], &parameters->items[i], &at);
            tensors++;
        }
    }
    /* cJSON's helpers return NULL when memory is short; what is missing shows in the counts */
    if (cJSON_GetArraySize(header) == 1 + tensors && cJSON_GetArraySize(metadata) == N_STATE + config_n_keys)
        json = cJSON_PrintUnformatted(header);
    cJSON_Delete(header);
    if (!json)
        return NULL;
    length = strlen(json);
    padded = (length + 7) / 8 * 8;
    result = malloc(padded + 1);
    if (result) {
        memcpy(result, json, length);
        memset(result + length, ' ', padded - length);
        result[padded] = '\0';
    }
    cJSON_free(json);
    return result;
}

static void seal(char *header, const struct parameters *parameters, const float *const sets[N_SETS])
{
    char *at = find_crc(header, strlen(header)), digits[CRC_DIGITS + 1];
    uLong crc = crc32_z(0, (const Bytef *)header, strlen(header));

    for (int set = 0; set < N_SETS; set++) {
        for (int i = 0; i < parameters->n; i++) {
            const struct parameter *p = &parameters->items[i];
            if (in_set(p, set))
                crc = crc32_z(crc, (const Bytef *)(sets[set] + p->offset), p->count * sizeof(float));
        }
    }
    snprintf(digits, sizeof digits, "%08lx", crc & 0xffffffffUL);
    if (at)
        memcpy(at, digits, CRC_DIGITS);
}

static int write_bytes(FILE *f, struct sha256 *hash, const void *bytes, size_t n)
{
    sha256_add(hash, bytes, n);
    return fwrite(bytes, 1, n, f) == n ? 0 : -1;
}

static int write_all(FILE *f, struct sha256 *hash, const char *header, const struct parameters *parameters,
                     const float *const sets[N_SETS])
{
    uint64_t length = strlen(header);

    if (write_bytes(f, hash, &length, sizeof length) || write_bytes(f, hash, header, length))
        return -1;
    for (int set = 0; set < N_SETS; set++) {
        for (int i = 0; i < parameters->n; i++) {
            const struct parameter *p = &parameters->items[i];
            if (in_set(p, set) && write_bytes(f, hash, sets[set] + p->offset, p->count * sizeof(float)))
                return -1;
        }
    }
    return 0;
}

int checkpoint_save(const char *path, const struct parameters *parameters, const float *m, const float *v,
                    const struct config *config, const struct checkpoint_state *state,
                    char sha256[SHA256_HEX], struct error *err)
{
    const float *const sets[N_SETS] = {[VALUES] = parameters->values, m, v};
    char *header = make_header(parameters, config, state);
    struct sha256 hash;
    struct output out;
    int result = -1;

    if (!header)
        return error_no_memory(err, "a checkpoint's header");
    seal(header, parameters, sets);
    sha256_start(&hash);
    if (output_open(&out, path, err) == 0) {
        if (write_all(out.stream, &hash, header, parameters, sets) == 0)
            result = output_commit(&out, err);
        else
            error_errno(err, "write", path);
        output_discard(&out);
    }
    sha256_finish(&hash, sha256);
    free(header);
    return result;
}

/* ---- reading ---- */

static int not_ours(const struct checkpoint *c, const char *why, struct error *err)
{
    return error_set(err, STATUS_INPUT, "'%s' is not a whole moescope checkpoint: %s", c->path, why);
}

static const char *metadata_text(const struct checkpoint *c, const char *name)
{
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(c->header, "__metadata__");

    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(metadata, name));
}

static int64_t metadata_integer(const struct checkpoint *c, const char *name)
{
    const char *text = metadata_text(c, name);

    return text ? strtoll(text, NULL, 10) : -1;
}

static void copy_text(const struct checkpoint *c, const char *name, char *to, size_t size)
{
    const char *text = metadata_text(c, name);

    snprintf(to, size, "%s", text ? text : "");
}

static int read_state(struct checkpoint *c, struct error *err)
{
    struct checkpoint_state *s = &c->state;
    const char *format = metadata_text(c, "format");

    if (!format || strcmp(format, "moescope 1") != 0)
        return not_ours(c, "its metadata do not say so", err);
    s->step = metadata_integer(c, "step");
    s->epoch = metadata_integer(c, "epoch");
    s->next = metadata_integer(c, "next");
    s->seed = metadata_integer(c, "seed");
    s->tokens = metadata_integer(c, "tokens");
    s->vocabulary = metadata_integer(c, "vocabulary");
    s->flops = strtod(metadata_text(c, "flops") ? metadata_text(c, "flops") : "0", NULL);
    copy_text(c, "corpus_sha256", s->corpus_sha256, sizeof s->corpus_sha256);
    copy_text(c, "vocabulary_sha256", s->vocabulary_sha256, sizeof s->vocabulary_sha256);
    copy_text(c, "core_type", s->core_type, sizeof s->core_type);
    if (s->step < 0 || s->epoch < 0 || s->next < 0 || s->vocabulary < 1)
        return not_ours(c, "step or position is missing", err);
    return 0;
}

static int read_config(struct checkpoint *c, struct error *err)
{
    char name[80];

    if (config_init(&c->config, err))
        return -1;
    for (int i = 0; i < config_n_keys; i++) {
        snprintf(name, sizeof name, "config.%s", config_keys[i].name);
        const char *value = metadata_text(c, name);
        if (value && config_assign(&c->config, config_keys[i].name, value, err)) {
            if (err)
                err->status = STATUS_INPUT; /* nobody typed it */
            return error_prefix(err, "'%s'", c->path);
        }
    }
    return 0;
}

/* Tensors follow each other without holes and fill the file, so that nothing cut, shifted or appended passes,
 * whichever of them are wanted later. */
static int check_extent(const struct checkpoint *c, struct error *err)
{
    const cJSON *header = c->header, *item;
    double at = 0.0;

    cJSON_ArrayForEach(item, header)
    {
        const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(item, "data_offsets");
        const cJSON *first = cJSON_GetArrayItem(offsets, 0), *last = cJSON_GetArrayItem(offsets, 1);
        if (strcmp(item->string, "__metadata__") == 0)
            continue;
        if (!cJSON_IsNumber(first) || !cJSON_IsNumber(last) || first->valuedouble != at ||
            !(last->valuedouble >= at))
            return not_ours(c, "its tensors do not follow each other", err);
        at = last->valuedouble;
    }
    return at == (double)c->n_data ? 0 : not_ours(c, "its tensors do not fill the file", err);
}

/* Checkpoints of before there were seals pass. */
static int check_seal(const struct checkpoint *c, struct error *err)
{
    const char *header = c->bytes + sizeof(uint64_t), *at = find_crc(header, (size_t)(c->data - header));
    char digits[CRC_DIGITS + 1];

    if (!at)
        return 0;
    uLong crc = crc32_z(0, (const Bytef *)header, (size_t)(at - header));
    crc = crc32_z(crc, (const Bytef *)no_crc, CRC_DIGITS);
    crc = crc32_z(crc, (const Bytef *)(at + CRC_DIGITS), (size_t)(c->data - at) - CRC_DIGITS + c->n_data);
    snprintf(digits, sizeof digits, "%08lx", crc & 0xffffffffUL);
    return memcmp(at, digits, CRC_DIGITS) == 0 ? 0 : not_ours(c, "its bytes are not as they were saved", err);
}

int checkpoint_open(struct checkpoint *c, const char *path, struct error *err)
{
    uint64_t length;

    *c = (struct checkpoint){.path = strdup(path)};
    if (!c->path)
        return error_no_memory(err, "a checkpoint");
    if (file_read(path, &c->bytes, &c->n_bytes, err))
        goto failed;
    memcpy(&length, c->bytes, c->n_bytes < sizeof length ? 0 : sizeof length);
    if (c->n_bytes < sizeof length || length > c->n_bytes - sizeof length) {
        not_ours(c, "it is too short", err);
        goto failed;
    }
    c->header = cJSON_ParseWithLength(c->bytes + sizeof length, length);
    c->data = c->bytes + sizeof length + length;
    c->n_data = c->n_bytes - sizeof length - length;
    if (!c->header) {
        not_ours(c, "its header is not JSON", err);
        goto failed;
    }
    if (read_state(c, err) || read_config(c, err) || check_extent(c, err) || check_seal(c, err))
        goto failed;
    return 0;
failed:
    checkpoint_close(c);
    return -1;
}

int checkpoint_fits(const struct checkpoint *c, const struct model_config *config, struct error *err)
{
    double size = sizeof(float) * (N_SETS * model_config_weights(config) + model_config_states(config));

    return size == (double)c->n_data
               ? 0
               : not_ours(c, "its configuration is that of a model of another size", err);
}

static int same_shape(const cJSON *shape, const struct parameter *p)
{
    if (cJSON_GetArraySize(shape) != p->n_dimensions)
        return 0;
    for (int i = 0; i < p->n_dimensions; i++) {
        const cJSON *item = cJSON_GetArrayItem(shape, i);
        if (!cJSON_IsNumber(item) || item->valuedouble != p->shape[i])
            return 0;
    }
    return 1;
}

static int load_tensor(const struct checkpoint *c, const char *prefix, const struct parameter *p, float *to,
                       struct error *err)
{
    char name[64], why[128];
    const cJSON *tensor, *offsets, *first, *last;
    const char *type;
    size_t size = p->count * sizeof(float);

    snprintf(name, sizeof name, "%s%s", prefix, p->name);
    tensor = cJSON_GetObjectItemCaseSensitive(c->header, name);
    type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(tensor, "dtype"));
    offsets = cJSON_GetObjectItemCaseSensitive(tensor, "data_offsets");
    first = cJSON_GetArrayItem(offsets, 0);
    last = cJSON_GetArrayItem(offsets, 1);
    snprintf(why, sizeof why, "tensor %s is missing, cut off or of another shape", name);
    if (!type || strcmp(type, "F32") != 0 || !cJSON_IsNumber(first) || !cJSON_IsNumber(last) ||
        !same_shape(cJSON_GetObjectItemCaseSensitive(tensor, "shape"), p))
        return not_ours(c, why, err);
    if (!(first->valuedouble >= 0.0) || !(last->valuedouble <= (double)c->n_data) ||
        last->valuedouble - first->valuedouble != (double)size)
        return not_ours(c, why, err);
    memcpy(to + p->offset, c->data + (size_t)first->valuedouble, size);
    return 0;
}

int checkpoint_load(const struct checkpoint *c, const struct parameters *parameters, float *m, float *v,
                    struct error *err)
{
    float *const sets[N_SETS] = {[VALUES] = parameters->values, m, v};

    for (int set = 0; set < N_SETS; set++) {
        for (int i = 0; i < parameters->n && sets[set]; i++) {
            const struct parameter *p = &parameters->items[i];
            if (in_set(p, set) && load_tensor(c, set_prefix[set], p, sets[set], err))
                return -1;
        }
    }
    return 0;
}

int checkpoint_check_states(const struct checkpoint *c, const struct model *model, struct error *err)
{
    char why[128];

    for (int i = 0; i < model->parameters.n; i++) {
        const struct parameter *p = &model->parameters.items[i];
        const struct layer_config *b = &model->config.layers[p->layer];
        if (p->trained || !b->router->state_fits ||
            b->router->state_fits(&b->routing, model->config.vocabulary,
                                  model->parameters.values + p->offset))
            continue;
        snprintf(why, sizeof why, "tensor %s is nothing that router %s could go by", p->name,
                 b->router->name);
        return not_ours(c, why, err);
    }
    return 0;
}

void checkpoint_close(struct checkpoint *c)
{
    cJSON_Delete(c->header);
    config_release(&c->config);
    free(c->bytes);
    free(c->path);
    *c = (struct checkpoint){0};
}
