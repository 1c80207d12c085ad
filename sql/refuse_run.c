/* What a run is not begun with. */
#include <string.h>

#include "sql/db.h"
#include "sql/refuse.h"

/* ---- layers ---- */

static int refuse_parameters(const struct moescope_layer *l, struct error *err)
{
    int64_t least = l->each == NULL ? l->expert_parameters : 0;
    for (int e = 0; l->each != NULL && e < l->n_experts; e++) {
        least = l->each[e] < least ? l->each[e] : least;
    }
    least = l->shared_parameters < least ? l->shared_parameters : least;
    if (least >= 0) {
        return 0;
    }
    return error_set(err, STATUS_USAGE, "layer %d: an expert of %lld parameters", l->layer, (long long)least);
}

static int refuse_layer(const struct moescope_layer *l, struct error *err)
{
    if (l->layer < 0 || l->layer >= LOGBOOK_MAX_LAYERS) {
        return error_set(err, STATUS_USAGE, "layer %d: a logbook holds layers 0 to %d", l->layer,
                         LOGBOOK_MAX_LAYERS - 1);
    }
    if (l->router == NULL) {
        return error_set(err, STATUS_USAGE, "layer %d: the name of its router may not be NULL", l->layer);
    }
    if (l->n_experts < 1 || l->n_experts > CODEC_MAX_EXPERTS) {
        return error_set(err, STATUS_USAGE, "layer %d: %d experts; a layer has 1 to %d", l->layer,
                         l->n_experts, CODEC_MAX_EXPERTS);
    }
    if (l->n_shared < 0 || l->n_shared > CODEC_MAX_EXPERTS) {
        return error_set(err, STATUS_USAGE, "layer %d: %d shared experts; a layer has 0 to %d", l->layer,
                         l->n_shared, CODEC_MAX_EXPERTS);
    }
    if (l->k < 0 || l->k > l->n_experts) {
        return error_set(err, STATUS_USAGE,
                         "layer %d: %d experts a token, of %d; 0 says that the number varies", l->layer, l->k,
                         l->n_experts);
    }
    return refuse_parameters(l, err);
}

static int refuse_layers(const struct moescope_run *run, struct error *err)
{
    bool known[LOGBOOK_MAX_LAYERS] = {false};
    if (run->n_layers < 0) {
        return error_set(err, STATUS_USAGE, "a run of %d layers", run->n_layers);
    }
    if (run->n_layers > 0 && refuse_null(run->layers, "the run's layers", err) != 0) {
        return -1;
    }
    for (int i = 0; i < run->n_layers; i++) {
        int layer = run->layers[i].layer;
        if (refuse_layer(&run->layers[i], err) != 0) {
            return -1;
        }
        if (known[layer]) {
            return error_set(err, STATUS_USAGE, "layer %d is there twice", layer);
        }
        known[layer] = true;
    }
    return 0;
}

/* ---- configuration ---- */

static int refuse_json(struct logbook *lb, const char *json, const char *what, struct error *err)
{
    struct statement s;
    int64_t valid = 0;
    int result = statement_open(&s, lb, "store/json_valid", err);
    if (result == 0) {
        statement_text(&s, ":json", json);
        result = statement_scalar(&s, &valid, NULL, err);
    }
    statement_close(&s);
    return result == 0 && !valid ? error_set(err, STATUS_USAGE, "%s is no JSON value: %s", what, json)
                                 : result;
}

static int refuse_setting(struct logbook *lb, const struct moescope_setting *setting, struct error *err)
{
    if (refuse_null(setting->key, "the key of a setting", err) != 0 ||
        refuse_null(setting->value_json, "its value", err) != 0 ||
        refuse_json(lb, setting->value_json, "its value", err) != 0) {
        return setting->key != NULL ? error_prefix(err, "setting '%s'", setting->key) : -1;
    }
    return 0;
}

static int refuse_config(struct logbook *lb, const struct moescope_run *run, struct error *err)
{
    if (run->n_config < 0) {
        return error_set(err, STATUS_USAGE, "a run of %d settings", run->n_config);
    }
    if (run->n_config > 0 && refuse_null(run->config, "the run's config", err) != 0) {
        return -1;
    }
    for (int i = 0; i < run->n_config; i++) {
        if (refuse_setting(lb, &run->config[i], err) != 0) {
            return -1;
        }
        for (int j = 0; j < i; j++) {
            if (strcmp(run->config[i].key, run->config[j].key) == 0) {
                return error_set(err, STATUS_USAGE, "setting '%s' is there twice", run->config[i].key);
            }
        }
    }
    return run->machine_json != NULL ? refuse_json(lb, run->machine_json, "the run's machine", err) : 0;
}

/* ---- all of it ---- */

/* What of other tables a run names. */
static int refuse_references(struct logbook *lb, const struct moescope_run *run, struct error *err)
{
    struct statement s;
    int result = statement_open(&s, lb, "store/run_references", err);
    if (result == 0) {
        statement_text(&s, ":uuid", run->uuid);
        statement_int(&s, ":corpus", run->corpus_id);
        statement_int(&s, ":vocabulary", run->vocabulary_id);
        result = statement_step(&s, err) == 1 ? 0 : -1;
    }
    if (result == 0 && sqlite3_column_int(s.handle, 0) != 0) {
        result = error_set(err, STATUS_USAGE, "'%s' has a run of uuid '%s' already", lb->path, run->uuid);
    } else if (result == 0 && sqlite3_column_int(s.handle, 1) == 0) {
        result = error_set(err, STATUS_USAGE, "'%s' has no corpus %lld", lb->path, (long long)run->corpus_id);
    } else if (result == 0 && sqlite3_column_int(s.handle, 2) == 0) {
        result = error_set(err, STATUS_USAGE, "'%s' has no vocabulary %lld", lb->path,
                           (long long)run->vocabulary_id);
    }
    statement_close(&s);
    return result;
}

int refuse_run(struct logbook *lb, const struct moescope_run *run, struct error *err)
{
    if (refuse_null(run->task, "the run's task", err) != 0 ||
        refuse_null(run->router, "the run's router", err) != 0 || refuse_layers(run, err) != 0 ||
        refuse_config(lb, run, err) != 0) {
        return -1;
    }
    return refuse_references(lb, run, err);
}
