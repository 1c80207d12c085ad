/* moescope import: logs of other engines, into the relations that all analyses read. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/options.h"
#include "base/text.h"
#include "import/shared/reading.h"
#include "sql/care.h"
#include "sql/read.h"

struct choices {
    struct request request;
    const char *name;
    bool quiet;
};

/* ---- what the run is made of ---- */

enum { N_SIDES = 3 };

/* All that is read, and all that changes how: who asks for the same again gets the same again. */
struct identity {
    const struct request *request;
    char (*files)[SHA256_HEX];                           /* (n_files) */
    char sha256[SHA256_HEX], sides[N_SIDES][SHA256_HEX]; /* of --tokens, --documents, --vocabulary; "" */
    pthread_t thread;
    bool started;
    int result;
    struct error err;
};

static void add_word(struct sha256 *s, const char *word)
{
    sha256_add(s, word != NULL ? word : "", word != NULL ? strlen(word) + 1 : 1);
}

static int add_file(struct sha256 *s, const char *path, char hex[SHA256_HEX], struct error *err)
{
    if (path != NULL && sha256_file(path, hex, err) != 0) {
        return -1;
    }
    add_word(s, path != NULL ? hex : NULL);
    return 0;
}

static void add_options(struct sha256 *s, const struct request *r)
{
    const int64_t numbers[] = {r->experts, r->layers, r->topk, r->step, r->layer_base, r->shared, r->ranks};
    const char *const words[] = {r->from, r->split, r->axes, r->select, r->columns};
    sha256_add(s, numbers, sizeof numbers);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        add_word(s, words[i]);
    }
    for (int i = 0; i < r->accept.n; i++) {
        add_word(s, r->accept.items[i]);
    }
}

static void *identify(void *context)
{
    struct identity *i = context;
    const struct request *r = i->request;
    const char *const sides[N_SIDES] = {r->tokens, r->documents, r->vocabulary};
    struct sha256 s;
    sha256_start(&s);
    add_options(&s, r);
    for (int f = 0; f < r->n_files && i->result == 0; f++) {
        add_word(&s, r->domains[f]);
        i->result = add_file(&s, r->files[f], i->files[f], &i->err);
    }
    for (int f = 0; f < N_SIDES && i->result == 0; f++) {
        i->result = add_file(&s, sides[f], i->sides[f], &i->err);
    }
    sha256_finish(&s, i->sha256);
    return NULL;
}

/* Hashes while the files are looked through: their pages are read once. */
static int identity_start(struct identity *i, const struct request *r, struct error *err)
{
    *i = (struct identity){.request = r, .files = calloc((size_t)r->n_files, SHA256_HEX)};
    if (i->files == NULL) {
        return error_no_memory(err, "the hashes of files");
    }
    i->started = pthread_create(&i->thread, NULL, identify, i) == 0;
    if (!i->started) {
        identify(i);
    }
    return 0;
}

static int identity_finish(struct identity *i, struct error *err)
{
    if (i->started) {
        pthread_join(i->thread, NULL);
    }
    i->started = false;
    if (i->result != 0 && err != NULL) {
        *err = i->err;
    }
    return i->result;
}

/* ---- settings of the run ---- */

enum { MOST_SETTINGS = 32 };

struct settings {
    struct moescope_setting items[MOST_SETTINGS];
    struct text texts[MOST_SETTINGS];
    int n;
};

static struct text *setting(struct settings *s, const char *key)
{
    text_init(&s->texts[s->n]);
    s->items[s->n].key = key;
    return &s->texts[s->n++];
}

static void set_word(struct settings *s, const char *key, const char *word)
{
    struct text *t = setting(s, key);
    if (word != NULL) {
        text_add_json(t, word);
    } else {
        text_add(t, "null");
    }
}

static void set_files(struct settings *s, const struct identity *i)
{
    struct text *t = setting(s, "import.files");
    char name[256];
    for (int f = 0; f < i->request->n_files; f++) {
        const char *slash = strrchr(i->request->files[f], '/');
        snprintf(name, sizeof name, "%s", slash != NULL ? slash + 1 : i->request->files[f]);
        text_add(t, f > 0 ? "," : "[");
        text_add(t, "{\"name\":");
        text_add_json(t, name);
        text_printf(t, ",\"sha256\":\"%s\"", i->files[f]);
        if (i->request->domains[f] != NULL) {
            text_add(t, ",\"domain\":");
            text_add_json(t, i->request->domains[f]);
        }
        text_add(t, "}");
    }
    text_add(t, "]");
}

/* Every finding, so that nobody needs the files to know how far to trust the run. */
static void set_findings(struct settings *s, const struct findings *f)
{
    struct text *t = setting(s, "import.findings");
    text_add(t, "{");
    for (int i = 0; i < f->n; i++) {
        text_printf(t, "%s\"%s\":", i > 0 ? "," : "", trap_name(f->items[i].trap));
        text_add_json(t, f->items[i].seen);
    }
    text_add(t, "}");
}

static int64_t gates_of(const struct survey *s)
{
    int64_t n = 0;
    for (int i = 0; i < LOGBOOK_MAX_LAYERS; i++) {
        n += s->layers[i] != NULL ? s->layers[i]->n_gates : 0;
    }
    return n;
}

static void set_all(struct settings *s, const struct reading *d, const struct identity *i)
{
    const struct survey *v = &d->survey;
    const struct request *r = d->request;
    bool choices = v->n_decisions > 0 && v->n_tokens > 0;
    bool gates = gates_of(v) > 0 && !trap_accepted(&r->accept, TRAP_SELECTION_SCORE);
    const struct finding *order = findings_find(&v->findings, TRAP_SLOT_ORDER);
    const struct finding *base = findings_find(&v->findings, TRAP_LAYER_BASE);
    set_word(s, "import.format", d->format->name);
    set_files(s, i);
    set_word(s, "import.sha256", i->sha256);
    set_word(s, "import.decisions", choices ? "all" : "none");
    set_word(s, "import.tokens",
             !choices                                   ? "none"
             : v->n_with_ids > 0 || d->side.ids != NULL ? "known"
                                                        : "unknown");
    set_word(s, "import.gates", gates ? "known" : "unknown");
    set_word(s, "import.slot_order", !choices ? "none" : order != NULL ? "id" : "rank");
    set_word(s, "import.experts", r->experts > 0 ? "declared" : "seen");
    set_word(s, "import.layer_base", base != NULL ? "unknown" : r->layer_base == 1 ? "1" : "0");
    set_word(s, "import.ranks", r->n_files > 1 ? (r->ranks_word != NULL ? r->ranks_word : "sum") : NULL);
    set_word(s, "import.select", r->select);
    set_findings(s, &v->findings);
    for (int k = 0; k < s->n; k++) {
        s->items[k].value_json = s->texts[k].data;
    }
}

static void settings_release(struct settings *s)
{
    for (int k = 0; k < s->n; k++) {
        text_release(&s->texts[k]);
    }
}

/* ---- the run ---- */

/* Of tokens whose ids are known, those and their documents; else nobody can tell whether two runs saw the
 * same, and they did not. */
static void identify_texts(struct reading *d, const struct identity *i, char hex[SHA256_HEX])
{
    struct survey *s = &d->survey;
    add_word(&s->texts, i->sides[0]);
    add_word(&s->texts, i->sides[1]);
    if (s->n_with_ids < s->n_tokens && d->side.ids == NULL) {
        add_word(&s->texts, i->sha256);
    }
    sha256_finish(&s->texts, hex);
}

static int look_up(const char *path, const char *name, const char *sha256, bool *there, bool *same,
                   struct error *err)
{
    struct logbook *lb = NULL;
    struct query *q = NULL;
    *there = *same = false;
    if (!file_exists(path)) {
        return 0;
    }
    int result = logbook_open(&lb, path, err);
    if (result == 0) {
        result = query_open(&q, lb, "import/run", err);
    }
    if (result == 0) {
        query_bind_text(q, ":name", name);
        result = query_step(q, err);
        *there = result == 1;
        *same = *there && strcmp(query_word(q, "status"), "imported") == 0 &&
                strcmp(query_word(q, "sha256"), sha256) == 0;
    }
    query_close(q);
    moescope_close(lb);
    return result < 0 ? -1 : 0;
}

/* Where the router's probabilities were there, the choice by them is that of top-k. */
static const char *router_of(const struct request *r, const struct reading *d)
{
    bool scores = strcmp(d->format->name, "logits") == 0;
    return scores && (r->select == NULL || strcmp(r->select, "sigmoid") != 0) ? "topk" : "imported";
}

static int write_run(struct logbook *lb, const struct choices *c, struct reading *d, const struct identity *i,
                     struct error *err)
{
    struct settings settings = {.n = 0};
    struct keep *keep = NULL;
    char texts[SHA256_HEX];
    identify_texts(d, i, texts);
    set_all(&settings, d, i);
    const struct keep_run run = {.logbook = lb,
                                 .name = c->name,
                                 .split = c->request.split != NULL ? c->request.split : d->format->split,
                                 .router = router_of(&c->request, d),
                                 .texts = texts,
                                 .vocabulary = c->request.vocabulary,
                                 .config = settings.items,
                                 .n_config = settings.n};
    int result = keep_open(&keep, &run, &d->survey, d->request, &d->side, err);
    if (result == 0) {
        result = reading_keep(d, keep, err);
    }
    d->n_choices = keep_choices_written(keep);
    keep_close(keep);
    settings_release(&settings);
    return result;
}

static int store(const char *path, const struct choices *c, struct reading *d, const struct identity *i,
                 struct error *err)
{
    struct logbook *lb;
    bool fresh = !file_exists(path);
    if (moescope_open(&lb, path, err) != 0) {
        return -1;
    }
    logbook_stop_on_signals(lb);
    int result = logbook_begin_whole(lb, err);
    if (result == 0) {
        result = logbook_end_whole(lb, write_run(lb, c, d, i, err), err);
    }
    logbook_stop_on_signals(NULL);
    moescope_close(lb);
    if (result != 0 && fresh) {
        unlink(path);
    }
    return result;
}

static void tell(const struct choices *c, const struct reading *d, FILE *out)
{
    const struct survey *s = &d->survey;
    char tokens[32], choices[32];
    for (int i = 0; i < s->findings.n; i++) {
        const struct finding *f = &s->findings.items[i];
        fprintf(stderr, "moescope import: %s%s: %s\n", trap_name(f->trap), f->accepted ? " (accepted)" : "",
                f->seen);
    }
    fprintf(out, "imported '%s' (%s): %s tokens, %s choices\n", c->name, d->format->name,
            text_count(tokens, (double)s->n_tokens), text_count(choices, (double)d->n_choices));
}

static int import_into(const char *path, const struct choices *c, struct reading *d, struct identity *i,
                       FILE *out, struct error *err)
{
    bool there, same;
    if (reading_survey(d, &c->request, err) != 0 || findings_refuse(&d->survey.findings, err) != 0 ||
        identity_finish(i, err) != 0 || look_up(path, c->name, i->sha256, &there, &same, err) != 0) {
        return -1;
    }
    if (same) {
        fprintf(out, "'%s' has '%s' already, from the same files: nothing to do\n", path, c->name);
        return 0;
    }
    if (there) {
        return error_set(
            err, STATUS_USAGE,
            "'%s' has a run named '%s' already, not from these files as they are read now; choose "
            "another name, or delete it: moescope runs --delete",
            path, c->name);
    }
    if (store(path, c, d, i, err) != 0) {
        return -1;
    }
    tell(c, d, out);
    return 0;
}

static int import(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    struct choices *c = context;
    struct reading d = {.progress = {.quiet = c->quiet}};
    struct identity identity = {0};
    if (c->name == NULL || c->name[0] == '\0') {
        return error_set(err, STATUS_USAGE, "--name is missing: what shall the run be called?");
    }
    int result = request_complete(&c->request, operands + 1, n_operands - 1, err);
    if (result == 0) {
        result = identity_start(&identity, &c->request, err);
    }
    if (result == 0) {
        result = import_into(operands[0], c, &d, &identity, out, err);
        identity_finish(&identity, NULL);
    }
    free(identity.files);
    reading_release(&d);
    return result;
}

int main(int argc, char **argv)
{
    struct choices c = {.name = NULL};
    enum { N_OWN = 4 };
    struct option_spec options[N_REQUEST_OPTIONS + N_OWN];
    request_options(&c.request, options + N_OWN);
    const struct option_spec own[N_OWN] = {
        {"name", 0, OPTION_STRING, &c.name, "NAME", "what the run is called"},
        {"split", 0, OPTION_STRING, &c.request.split, "SPLIT",
         "train, valid, probe, routed or seen (default: train for Megatron, else probe)"},
        {"vocabulary", 0, OPTION_STRING, &c.request.vocabulary, "FILE",
         "texts of the token ids: a tokenizer.json, or a piece a line"},
        {"quiet", 'q', OPTION_FLAG, &c.quiet, NULL, "no progress bar"}};
    memcpy(options, own, sizeof own);
    const struct program program = {
        .verb = "import",
        .operands = "DB FILE...",
        .purpose = "import logs of routing that other engines wrote, as a run",
        .details =
            "docs/import.md says of every format how to make its files, what arrives and what does not.\n",
        .examples = "moescope import log.db --name a router_trace_rank*.jsonl\n",
        .options = options,
        .min_operands = 1,
        .max_operands = -1};
    int status = program_main(&program, argc, argv, NULL, import, &c);
    request_release(&c.request);
    return logbook_status(status);
}
