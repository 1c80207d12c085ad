/* The life of a run: begun, gone on with, ended. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "sql/db.h"
#include "sql/logbook.h"
#include "sql/refuse.h"

static int add_event(struct logbook *lb, int64_t run_id, int64_t step, const char *kind, const char *message,
                     struct error *err)
{
    struct statement s;
    int result = statement_open(&s, lb, "store/add_event", err);
    if (result == 0) {
        statement_int(&s, ":run", run_id);
        statement_int(&s, ":step", step);
        statement_text(&s, ":kind", kind);
        statement_text(&s, ":message", message);
        result = statement_run(&s, err);
    }
    statement_close(&s);
    return result;
}

/* Why readers were slow, or a power cut cost nothing: part of the run's story. */
static int add_remote_event(struct logbook *lb, int64_t run_id, int64_t step, struct error *err)
{
    char message[FILESYSTEM_NAME + 64];
    if (lb->remote[0] == '\0') {
        return 0;
    }
    snprintf(message, sizeof message, "network file system (%s): no WAL", lb->remote);
    return add_event(lb, run_id, step, "network", message, err);
}

static int add_experts(struct statement *s, int64_t run_id, const struct moescope_layer *layer,
                       struct error *err)
{
    for (int e = 0; e < layer->n_experts + layer->n_shared; e++) {
        bool shared = e >= layer->n_experts;
        int64_t routed = layer->each && !shared ? layer->each[e] : layer->expert_parameters;
        statement_int(s, ":run", run_id);
        statement_int(s, ":layer", layer->layer);
        statement_int(s, ":expert", e);
        statement_text(s, ":kind", shared ? "shared" : "routed");
        statement_int(s, ":parameters", shared ? layer->shared_parameters : routed);
        if (statement_run(s, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int add_layers(struct logbook *lb, const struct moescope_run *run, int64_t run_id, struct error *err)
{
    struct statement s, experts = {0};
    int result = statement_open(&s, lb, "store/add_layer", err);
    if (result == 0) {
        result = statement_open(&experts, lb, "store/add_expert", err);
    }
    for (int i = 0; result == 0 && i < run->n_layers; i++) {
        const struct moescope_layer *layer = &run->layers[i];
        statement_int(&s, ":run", run_id);
        statement_int(&s, ":layer", layer->layer);
        statement_text(&s, ":router", layer->router);
        statement_int(&s, ":n_experts", layer->n_experts);
        statement_int(&s, ":k", layer->k);
        result = statement_run(&s, err);
        if (result == 0) {
            result = add_experts(&experts, run_id, layer, err);
        }
    }
    statement_close(&experts);
    statement_close(&s);
    return result;
}

/* The views count a layer's experts by _integer, also of a run that logs nothing. */
static int extend_integers(struct logbook *lb, const struct moescope_run *run, struct error *err)
{
    struct statement s;
    int needed = 0;
    for (int i = 0; i < run->n_layers; i++) {
        needed = run->layers[i].n_experts > needed ? run->layers[i].n_experts : needed;
    }
    int result = statement_open(&s, lb, "store/add_integers", err);
    if (result == 0) {
        statement_int(&s, ":n", needed);
        result = statement_run(&s, err);
    }
    statement_close(&s);
    return result;
}

static void config_json(struct text *json, const struct moescope_run *run)
{
    text_add(json, "{");
    for (int i = 0; i < run->n_config; i++) {
        text_add(json, i > 0 ? ", " : "");
        text_add_json(json, run->config[i].key);
        text_add(json, ": ");
        text_add(json, run->config[i].value_json);
    }
    text_add(json, "}");
}

static int add_run(struct logbook *lb, const struct moescope_run *run, int64_t *run_id, struct error *err)
{
    struct text config;
    struct statement s;
    text_init(&config);
    config_json(&config, run);
    int result = statement_open(&s, lb, "store/add_run", err);
    if (result == 0 && config.failed) {
        result = error_no_memory(err, "a run's configuration");
    }
    if (result == 0) {
        statement_text(&s, ":uuid", run->uuid);
        statement_text(&s, ":name", run->name);
        statement_text(&s, ":task", run->task);
        statement_text(&s, ":router", run->router);
        statement_int(&s, ":seed", run->seed);
        statement_int(&s, ":vocabulary", run->vocabulary_id);
        statement_int(&s, ":corpus", run->corpus_id);
        statement_text(&s, ":config", config.data);
        statement_text(&s, ":program", run->program);
        statement_text(&s, ":machine", run->machine_json);
        result = statement_scalar(&s, run_id, NULL, err);
    }
    statement_close(&s);
    text_release(&config);
    return result;
}

static int find_run(struct logbook *lb, const char *name, int64_t *run_id, bool *found, struct error *err)
{
    struct statement s;
    int result = statement_open(&s, lb, "store/find_run", err);
    if (result == 0) {
        statement_text(&s, ":name", name);
        result = statement_scalar(&s, run_id, found, err);
    }
    statement_close(&s);
    return result;
}

static int add_part(struct logbook *lb, int64_t run_id, struct error *err)
{
    struct statement s;
    int result = statement_open(&s, lb, "store/add_part", err);
    if (result == 0) {
        statement_int(&s, ":run", run_id);
        result = statement_run(&s, err);
    }
    statement_close(&s);
    return result;
}

static int refuse_name(const char *name, struct error *err)
{
    if (refuse_null(name, "the run's name", err) != 0) {
        return -1;
    }
    return name[0] != '\0' ? 0 : error_set(err, STATUS_USAGE, "a run needs a name that is not empty");
}

static int begin_run(struct logbook *lb, const struct moescope_run *run, int64_t *run_id, struct error *err)
{
    bool taken;
    if (find_run(lb, run->name, run_id, &taken, err) != 0) {
        return -1;
    }
    if (taken) {
        return error_set(
            err, STATUS_USAGE,
            "'%s' has a run named '%s' already; choose another name, or go on with it by --resume", lb->path,
            run->name);
    }
    if (refuse_run(lb, run, err) != 0) {
        return error_prefix(err, "run '%s'", run->name);
    }
    if (add_run(lb, run, run_id, err) != 0 || add_part(lb, *run_id, err) != 0 ||
        add_layers(lb, run, *run_id, err) != 0 || extend_integers(lb, run, err) != 0) {
        return -1;
    }
    return add_event(lb, *run_id, 0, "started", NULL, err) != 0 ? -1 : add_remote_event(lb, *run_id, 0, err);
}

int moescope_begin_run(struct logbook *lb, const struct moescope_run *run, int64_t *run_id, struct error *err)
{
    if (refuse_null(lb, "the run's logbook", err) != 0 || refuse_null(run, "the run", err) != 0 ||
        refuse_name(run->name, err) != 0 || db_begin(lb, err) != 0) {
        return -1;
    }
    return db_end(lb, begin_run(lb, run, run_id, err), err);
}

/* Everything of the steps `step` and later. */
static int forget_steps(struct logbook *lb, int64_t run_id, int64_t step, struct error *err)
{
    const struct parameter parameters[] = {{":run", run_id, NULL}, {":step", step, NULL}};
    return db_script(lb, "store/resume_run", parameters, 2, err);
}

/* What several ranks logged is one sum by now, from which none of them can take its own back. */
static int refuse_parts(struct logbook *lb, const char *name, int64_t run_id, struct error *err)
{
    struct statement s;
    int64_t parts = 0;
    int result = statement_open(&s, lb, "store/count_parts", err);
    if (result == 0) {
        statement_int(&s, ":run", run_id);
        result = statement_scalar(&s, &parts, NULL, err);
    }
    statement_close(&s);
    if (result == 0 && parts > 1) {
        result =
            error_set(err, STATUS_INPUT,
                      "the run '%s' of '%s' is merged from %lld logs and cannot be resumed; resume it in "
                      "the logbooks that they came from",
                      name, lb->path, (long long)parts);
    }
    return result;
}

static int resume_run(struct logbook *lb, const char *name, int64_t step, int64_t *run_id, struct error *err)
{
    bool found;
    char message[64];
    if (find_run(lb, name, run_id, &found, err) != 0) {
        return -1;
    }
    if (!found) {
        return error_set(err, STATUS_INPUT, "'%s' has no run named '%s' to resume", lb->path, name);
    }
    if (refuse_parts(lb, name, *run_id, err) != 0 || forget_steps(lb, *run_id, step, err) != 0) {
        return -1;
    }
    snprintf(message, sizeof message, "goes on from step %lld", (long long)step);
    return add_event(lb, *run_id, step, "resumed", message, err) != 0
               ? -1
               : add_remote_event(lb, *run_id, step, err);
}

int moescope_resume_run(struct logbook *lb, const char *name, int64_t step, int64_t *run_id,
                        struct error *err)
{
    if (refuse_null(lb, "the run's logbook", err) != 0 || refuse_name(name, err) != 0 ||
        db_begin(lb, err) != 0) {
        return -1;
    }
    /* Foreign keys would have every deleted sample looked for among all sequences. */
    sqlite3_db_config(lb->db, SQLITE_DBCONFIG_ENABLE_FKEY, 0, NULL);
    int result = resume_run(lb, name, step, run_id, err);
    sqlite3_db_config(lb->db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    return db_end(lb, result, err);
}

/* The window of loads that the run ends in. */
static int close_window(struct logbook *lb, int64_t run_id, int64_t last_step, struct error *err)
{
    struct statement open, close = {0};
    int64_t first = 0;
    int result = statement_open(&open, lb, "store/open_window", err);
    if (result == 0) {
        statement_int(&open, ":run", run_id);
        result = statement_scalar(&open, &first, NULL, err);
    }
    if (result == 0) {
        result = statement_open(&close, lb, "store/close_windows", err);
    }
    if (result == 0) {
        statement_int(&close, ":run", run_id);
        statement_int(&close, ":first", first);
        statement_int(&close, ":last", last_step);
        result = statement_run(&close, err);
    }
    statement_close(&open);
    statement_close(&close);
    return result;
}

static int end_run(struct logbook *lb, int64_t run_id, const char *status, struct error *err)
{
    struct statement s;
    int64_t last_step = 0;
    bool found = false;
    int result = statement_open(&s, lb, "store/end_run", err);
    if (result == 0) {
        statement_int(&s, ":run", run_id);
        statement_text(&s, ":status", status);
        result = statement_scalar(&s, &last_step, &found, err);
    }
    statement_close(&s);
    if (result == 0 && !found) {
        result = error_set(err, STATUS_USAGE, "'%s' has no run %lld", lb->path, (long long)run_id);
    }
    if (result == 0) {
        result = close_window(lb, run_id, last_step, err);
    }
    return result == 0 ? add_event(lb, run_id, last_step, status, NULL, err) : -1;
}

static int refuse_end(const char *status, struct error *err)
{
    static const char *const ends[] = {"finished", "interrupted", "failed", "imported"};
    if (refuse_null(status, "the status that a run ends with", err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (strcmp(status, ends[i]) == 0) {
            return 0;
        }
    }
    return error_set(err, STATUS_USAGE, "a run ends finished, interrupted, failed or imported, not '%s'",
                     status);
}

int moescope_end_run(struct logbook *lb, int64_t run_id, const char *status, struct error *err)
{
    if (refuse_null(lb, "the run's logbook", err) != 0 || refuse_end(status, err) != 0 ||
        db_begin(lb, err) != 0) {
        return -1;
    }
    return db_end(lb, end_run(lb, run_id, status, err), err);
}
