#include "analysis/shared/runs.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Settings that change what is written down and when, or how fast, but not what is trained. */
static const char *const idle_settings[] = {
    "log.", "probe.", "train.threads", "train.checkpoint_every", "valid.every", NULL};

void runs_release(struct runs *r)
{
    for (int i = 0; i < r->n; i++) {
        struct compared_run *run = &r->runs[i];
        free(run->name);
        free(run->task);
        free(run->router);
        free(run->status);
        free(run->machine);
        free(run->corpus);
        free(run->vocabulary);
        free(run->pruned);
        free(run->layers);
    }
    for (int i = 0; i < r->n_settings; i++) {
        for (int j = 0; j < r->n && r->settings[i].values; j++)
            free(r->settings[i].values[j]);
        free(r->settings[i].values);
        free(r->settings[i].key);
    }
    free(r->settings);
    free(r->runs);
    free(r->ids);
    *r = (struct runs){0};
}

/* ---- the runs ---- */

static char *text_or_none(struct query *q, const char *column)
{
    return strdup(query_word(q, column));
}

static int read_run(struct compared_run *run, struct query *q, struct error *err)
{
    run->seed = query_int(q, "seed");
    run->corpus_id = query_is_null(q, "corpus_id") ? 0 : query_int(q, "corpus_id");
    run->vocabulary_id = query_is_null(q, "vocabulary_id") ? 0 : query_int(q, "vocabulary_id");
    run->n_layers = (int)query_int(q, "moe_layers");
    run->of_text = strcmp(query_word(q, "task"), "language_model") == 0;
    run->tokens = run->seconds = run->gigaflop = NAN;
    run->name = text_or_none(q, "name");
    run->task = text_or_none(q, "task");
    run->router = text_or_none(q, "router");
    run->status = text_or_none(q, "status");
    run->machine = text_or_none(q, "machine");
    run->corpus = text_or_none(q, "corpus");
    run->vocabulary = text_or_none(q, "vocabulary");
    run->pruned = text_or_none(q, "pruned");
    if (!run->name || !run->task || !run->router || !run->status || !run->machine || !run->corpus ||
        !run->vocabulary || !run->pruned)
        return error_no_memory(err, "the runs");
    return 0;
}

static int read_runs(struct runs *r, struct logbook *lb, struct error *err)
{
    struct query *q;
    int more = 0;
    if (query_open(&q, lb, "analysis/compare_runs", err) != 0)
        return -1;
    query_bind_text(q, ":runs", r->ids);
    for (int i = 0; i < r->n && (more = query_step(q, err)) == 1; i++)
        if (read_run(&r->runs[i], q, err) != 0)
            more = -1;
    query_close(q);
    if (more == 0)
        return error_set(err, STATUS_INPUT, "a run disappeared while it was read");
    return more < 0 ? -1 : 0;
}

static int read_layers(struct runs *r, struct logbook *lb, struct error *err)
{
    for (int i = 0; i < r->n; i++) {
        struct compared_run *run = &r->runs[i];
        if (run->n_layers > 0 &&
            analysis_load_layers(lb, run->run_id, run->name, &run->layers, &run->n_layers, err) != 0)
            return -1;
    }
    return 0;
}

static int read_costs(struct runs *r, struct logbook *lb, struct error *err)
{
    struct query *q;
    int more = 1;
    if (query_open(&q, lb, "analysis/compare_cost", err) != 0)
        return -1;
    query_bind_text(q, ":runs", r->ids);
    for (int i = 0; i < r->n && (more = query_step(q, err)) == 1; i++) {
        r->runs[i].tokens = query_real(q, "tokens");
        r->runs[i].seconds = query_real(q, "seconds");
        r->runs[i].gigaflop = query_real(q, "gigaflop");
    }
    query_close(q);
    return more < 0 ? -1 : 0;
}

static int find_runs(struct runs *r, struct logbook *lb, char *const *names, int n, struct error *err)
{
    struct text ids;
    r->runs = calloc((size_t)n, sizeof *r->runs);
    if (!r->runs)
        return error_no_memory(err, "the runs");
    r->n = n;
    text_init(&ids);
    for (int i = 0; i < n; i++) {
        if (logbook_find_run(lb, names[i], &r->runs[i].run_id, err) != 0) {
            text_release(&ids);
            return -1;
        }
        text_printf(&ids, "%s%lld", i ? "," : "[", (long long)r->runs[i].run_id);
    }
    text_add(&ids, "]");
    r->ids = text_detach(&ids);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++)
            if (r->runs[i].run_id == r->runs[j].run_id)
                return error_set(err, STATUS_USAGE, "run '%s' is named twice", names[i]);
    return r->ids ? 0 : error_no_memory(err, "the runs");
}

/* ---- settings ---- */

static struct setting *new_setting(struct runs *r, const char *key)
{
    struct setting *grown = realloc(r->settings, ((size_t)r->n_settings + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    r->settings = grown;
    struct setting *s = &grown[r->n_settings];
    *s = (struct setting){strdup(key), calloc((size_t)r->n, sizeof *s->values), false};
    r->n_settings++;
    return s->key && s->values ? s : NULL;
}

/* Rows come by key, a row a run that has it. */
static int add_setting(struct runs *r, struct query *q, struct error *err)
{
    struct setting *s = r->n_settings ? &r->settings[r->n_settings - 1] : NULL;
    int64_t run = query_int(q, "position");
    if (!s || strcmp(s->key, query_word(q, "key")) != 0) {
        s = new_setting(r, query_word(q, "key"));
        if (!s)
            return error_no_memory(err, "the settings");
        s->differs = query_int(q, "differs") != 0;
        r->n_differing += s->differs;
    }
    const char *value = query_text(q, "value");
    if (run < 0 || run >= r->n)
        return 0;
    free(s->values[run]);
    s->values[run] = strdup(value ? value : "null");
    return s->values[run] ? 0 : error_no_memory(err, "the settings");
}

static int read_settings(struct runs *r, struct logbook *lb, struct error *err)
{
    struct query *q;
    int more;
    if (query_open(&q, lb, "analysis/compare_config", err) != 0)
        return -1;
    query_bind_text(q, ":runs", r->ids);
    while ((more = query_step(q, err)) == 1 && (more = add_setting(r, q, err)) == 0)
        ;
    query_close(q);
    return more;
}

const struct setting *runs_setting(const struct runs *r, const char *key)
{
    for (int i = 0; i < r->n_settings; i++)
        if (strcmp(r->settings[i].key, key) == 0)
            return &r->settings[i];
    return NULL;
}

/* ---- groups ---- */

static bool is_idle(const char *key)
{
    for (int i = 0; idle_settings[i]; i++)
        if (strncmp(key, idle_settings[i], strlen(idle_settings[i])) == 0)
            return true;
    return false;
}

static bool same_value(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool alike_but_for_seed(const struct runs *r, int a, int b)
{
    const struct compared_run *x = &r->runs[a], *y = &r->runs[b];
    if (x->corpus_id != y->corpus_id || x->vocabulary_id != y->vocabulary_id ||
        strcmp(x->router, y->router) != 0)
        return false;
    for (int i = 0; i < r->n_settings; i++)
        if (!is_idle(r->settings[i].key) && !same_value(r->settings[i].values[a], r->settings[i].values[b]))
            return false;
    return true;
}

static void form_groups(struct runs *r)
{
    for (int i = 0; i < r->n; i++) {
        r->runs[i].group = -1;
        for (int j = 0; j < i && r->runs[i].group < 0; j++)
            if (alike_but_for_seed(r, i, j))
                r->runs[i].group = r->runs[j].group;
        if (r->runs[i].group < 0)
            r->runs[i].group = r->n_groups++;
    }
}

/* What is left at the end of a common beginning: "-", "-s", "_seed". */
static size_t without_joint(const char *name, size_t n)
{
    static const char *const words[] = {"seed", "s"};
    for (int i = 0; i < 2; i++) {
        size_t length = strlen(words[i]);
        if (n > length && strncmp(name + n - length, words[i], length) == 0 &&
            !isalnum((unsigned char)name[n - length - 1])) {
            n -= length;
            break;
        }
    }
    while (n > 1 && strchr("-_.:/=", name[n - 1]))
        n--;
    return n;
}

static bool number_goes_on(const struct runs *r, int group, size_t n)
{
    for (int i = 0; i < r->n; i++)
        if (r->runs[i].group == group && isdigit((unsigned char)r->runs[i].name[n]))
            return true;
    return false;
}

const char *runs_group_name(const struct runs *r, int group, char buffer[128])
{
    const char *first = NULL;
    size_t n = 0;
    int members = 0;
    for (int i = 0; i < r->n; i++) {
        const char *name = r->runs[i].name;
        if (r->runs[i].group != group)
            continue;
        if (members++ == 0) {
            first = name;
            n = strlen(name);
        }
        for (size_t j = 0; j < n; j++)
            if (first[j] != name[j])
                n = j;
    }
    while (members > 1 && n > 0 && isdigit((unsigned char)first[n - 1]) && number_goes_on(r, group, n))
        n--; /* 1 and 11 have the 1 in common, which means nothing */
    if (members > 1)
        n = without_joint(first, n);
    if (n == 0)
        n = first ? strlen(first) : 0;
    snprintf(buffer, 128, "%.*s", (int)n, first ? first : "");
    return buffer;
}

int runs_read(struct runs *r, struct logbook *lb, char *const *names, int n, struct error *err)
{
    *r = (struct runs){0};
    if (find_runs(r, lb, names, n, err) != 0 || read_runs(r, lb, err) != 0 || read_layers(r, lb, err) != 0 ||
        read_costs(r, lb, err) != 0 || read_settings(r, lb, err) != 0) {
        runs_release(r);
        return -1;
    }
    form_groups(r);
    return 0;
}

const struct moe_layer *runs_layer(const struct compared_run *run, int layer)
{
    for (int i = 0; i < run->n_layers; i++)
        if (run->layers[i].layer == layer)
            return &run->layers[i];
    return NULL;
}

bool runs_unfinished(const struct compared_run *run)
{
    return strcmp(run->status, "finished") != 0 && strcmp(run->status, "imported") != 0;
}
