/* moescope route: sends new text through a trained model and logs what its routers decide. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/options.h"
#include "base/table.h"
#include "base/text.h"
#include "engine/blas.h"
#include "engine/checkpoint.h"
#include "engine/corpus.h"
#include "engine/evaluate.h"
#include "engine/record.h"
#include "engine/task.h"
#include "sql/read.h"

struct arguments {
    const char *checkpoint, *name, *corpus, *domain, *format, *output;
    int64_t threads;
};
static struct arguments args = {.format = "table"};

static const struct option_spec options[] = {
    {"checkpoint", 'c', OPTION_STRING, &args.checkpoint, "FILE", "the trained model (.safetensors)"},
    {"name", 'n', OPTION_STRING, &args.name, "NAME",
     "the new run's name (default: the checkpoint's name + '-routed')"},
    {"domain", 0, OPTION_STRING, &args.domain, "NAME",
     "domain of all texts (default: the name of each one's folder)"},
    {"corpus", 0, OPTION_STRING, &args.corpus, "FOLDER",
     "the prepared corpus whose vocabulary the model has (default: where it was in training)"},
    {"threads", 0, OPTION_INT, &args.threads, "N", "threads; 0: one per core (default)"},
    {"format", 0, OPTION_STRING, &args.format, "FORMAT", "table, csv, json"},
    {"output", 'o', OPTION_STRING, &args.output, "FILE", "write the losses there, whole or not at all"},
    {0},
};

static const struct program program = {
    .verb = "route",
    .operands = "DB FILE...",
    .purpose = "send new text through a trained model and log its routing as split 'routed'",
    .details = "Prints the loss of each document. Every decision goes into DB under a run of its own, with "
               "the whole\n"
               "probability vectors, at the checkpoint's step.",
    .examples =
        "moescope route log.db --checkpoint log.db.checkpoints/top2.safetensors letter.txt notes/*.txt\n"
        "moescope sql log.db \"SELECT layer, expert, count(*) FROM routing WHERE split = 'routed' GROUP BY "
        "1, 2\"",
    .options = options,
    .min_operands = 2,
    .max_operands = -1,
};

/* The part of a path behind its last slash, without a suffix: a copy. */
static char *base_name(const char *path, const char *suffix)
{
    const char *slash = strrchr(path, '/');
    char *name = strdup(slash ? slash + 1 : path);
    size_t n = name ? strlen(name) : 0, cut = strlen(suffix);

    if (n > cut && strcmp(name + n - cut, suffix) == 0)
        name[n - cut] = '\0';
    return name;
}

/* The folder that a file lies in, by name: "text" for notes/x.txt is "notes"; "text" when there is none. */
static char *folder_name(const char *path)
{
    const char *end = strrchr(path, '/'), *begin = end;

    while (begin && begin > path && begin[-1] != '/')
        begin--;
    return begin && end > begin ? strndup(begin, (size_t)(end - begin)) : strdup("text");
}

/* ---- the texts, as a corpus of their own ---- */

static int find_domain(struct corpus *c, const char *path)
{
    char *name = args.domain ? strdup(args.domain) : folder_name(path);

    if (!name)
        return -1;
    for (int i = 0; i < c->n_domains; i++) {
        if (strcmp(c->domains[i], name) == 0) {
            free(name);
            return i;
        }
    }
    c->domains[c->n_domains] = name;
    return c->n_domains++;
}

static int fill_document(struct corpus *c, int i, const struct encoded_text *text, struct error *err)
{
    struct document *d = &c->documents[i];

    *d = (struct document){.split = SPLIT_ROUTED,
                           .n_bytes = (int64_t)text->n_bytes,
                           .first = c->n_ids,
                           .n_ids = text->n_ids,
                           .name = (char *)text->name, /* both outlive the corpus */
                           .domain = find_domain(c, text->name)};
    sha256_bytes(text->text, text->n_bytes, d->sha256);
    c->n_documents++;
    if (d->domain < 0)
        return error_no_memory(err, text->name);
    memcpy(c->ids + c->n_ids, text->ids, (size_t)text->n_ids * sizeof *c->ids);
    c->n_ids += text->n_ids;
    return 0;
}

/* A corpus of the texts, with the vocabulary that `trained` lends. */
static int fill_corpus(struct corpus *c, const struct corpus *trained, const struct encoded_text *texts,
                       int n, struct error *err)
{
    struct sha256 hash;
    int64_t n_ids = 0;

    for (int i = 0; i < n; i++)
        n_ids += texts[i].n_ids;
    *c = (struct corpus){.vocabulary = trained->vocabulary, .n_vocabulary = trained->n_vocabulary};
    memcpy(c->vocabulary_sha256, trained->vocabulary_sha256, sizeof c->vocabulary_sha256);
    c->name = strdup("routed");
    c->documents = calloc((size_t)n, sizeof *c->documents);
    c->domains = calloc((size_t)n, sizeof *c->domains);
    c->ids = calloc((size_t)n_ids + 1, sizeof *c->ids);
    if (!c->name || !c->documents || !c->domains || !c->ids)
        return error_no_memory(err, "the texts");
    sha256_start(&hash);
    for (int i = 0; i < n; i++) {
        if (fill_document(c, i, &texts[i], err))
            return -1;
        sha256_add(&hash, c->documents[i].name, strlen(c->documents[i].name) + 1);
        sha256_add(&hash, c->domains[c->documents[i].domain], strlen(c->domains[c->documents[i].domain]) + 1);
        sha256_add(&hash, texts[i].ids, (size_t)texts[i].n_ids * sizeof *texts[i].ids);
    }
    sha256_finish(&hash, c->sha256);
    return 0;
}

struct operand {
    dev_t device;
    ino_t inode;
    const char *path;
};

static int by_file(const void *a, const void *b)
{
    const struct operand *x = a, *y = b;

    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    return (x->inode > y->inode) - (x->inode < y->inode);
}

/* A file given twice would count twice. What cannot be found is left to who reads it. */
static int check_distinct(char **paths, int n, struct error *err)
{
    struct operand *files = calloc((size_t)n, sizeof *files);
    int n_files = 0, result = 0;

    if (!files)
        return error_no_memory(err, "the texts");
    for (int i = 0; i < n; i++) {
        struct stat s;
        if (stat(paths[i], &s) == 0 && S_ISREG(s.st_mode))
            files[n_files++] = (struct operand){s.st_dev, s.st_ino, paths[i]};
    }
    qsort(files, (size_t)n_files, sizeof *files, by_file);
    for (int i = 1; i < n_files && result == 0; i++) {
        if (by_file(&files[i - 1], &files[i]) == 0)
            result = error_set(err, STATUS_USAGE, "the same file is given twice: '%s' and '%s'",
                               files[i - 1].path, files[i].path);
    }
    free(files);
    return result;
}

static int read_texts(struct encoded_text *texts, char **paths, int n, const struct corpus *trained,
                      struct error *err)
{
    for (int i = 0; i < n; i++) {
        char *bytes;
        texts[i].name = paths[i];
        if (file_read(paths[i], &bytes, &texts[i].n_bytes, err))
            return -1;
        texts[i].text = bytes;
        if (texts[i].n_bytes == 0)
            return error_set(err, STATUS_INPUT, "'%s' is empty", paths[i]);
    }
    return corpus_encode(trained->model_path, trained->n_vocabulary, texts, n, err);
}

/* ---- routing ---- */

struct job {
    struct checkpoint checkpoint;
    struct corpus trained, corpus; /* the one it was trained on; the new texts */
    struct encoded_text *texts;
    int n_texts;
    struct logbook *logbook;
    struct recorder recorder;
    struct pool *pool;
    struct model model;
    struct packed packed;
    struct tally tally;
    struct samples samples;
    char *name;
};

static void job_release(struct job *s)
{
    samples_release(&s->samples);
    tally_release(&s->tally);
    packed_release(&s->packed);
    model_release(&s->model);
    pool_close(s->pool);
    recorder_release(&s->recorder);
    moescope_close(s->logbook);
    for (int i = 0; i < s->corpus.n_domains; i++)
        free(s->corpus.domains[i]); /* ours; the vocabulary is lent */
    s->corpus.vocabulary = NULL;
    corpus_release(&s->corpus);
    corpus_release(&s->trained);
    checkpoint_close(&s->checkpoint);
    for (int i = 0; s->texts && i < s->n_texts; i++) {
        free(s->texts[i].ids);
        free((char *)s->texts[i].text);
    }
    free(s->texts);
    free(s->name);
}

static int print_losses(const struct job *s, FILE *out, struct error *err)
{
    static const char *const columns[] = {"document", "domain", "tokens", "loss", "bits_per_byte"};
    enum table_format format;
    struct table *t;

    if (table_format_parse(args.format, &format, err))
        return -1;
    t = table_open(out, format, NULL, columns, 5);
    for (int d = 0; d < s->corpus.n_documents && t; d++) {
        const struct document *document = &s->corpus.documents[d];
        table_text(t, document->name);
        table_text(t, s->corpus.domains[document->domain]);
        table_int(t, s->tally.document_tokens[d]);
        table_real(t, s->tally.document_loss[d] / (double)s->tally.document_tokens[d]);
        table_real(t, s->tally.document_loss[d] / log(2.0) / (double)s->tally.document_bytes[d]);
    }
    return t ? table_close(t, err) : error_no_memory(err, "a table");
}

static int load(struct job *s, char **paths, struct error *err)
{
    const char *folder;

    if (checkpoint_open(&s->checkpoint, args.checkpoint, err))
        return -1;
    if (task_find(config_text(&s->checkpoint.config, "model.kind")) != &task_language)
        return error_set(err, STATUS_USAGE,
                         "'%s' is of a model of kind %s; text can be routed through a transformer",
                         args.checkpoint, config_text(&s->checkpoint.config, "model.kind"));
    folder = args.corpus ? args.corpus : config_text(&s->checkpoint.config, "data.corpus");
    if (corpus_load(&s->trained, folder, err))
        return error_prefix(err, "the vocabulary's corpus (see --corpus)");
    if (strcmp(s->trained.vocabulary_sha256, s->checkpoint.state.vocabulary_sha256) != 0)
        return error_set(err, STATUS_INPUT,
                         "'%s' has another vocabulary than '%s' was trained with; pass --corpus", folder,
                         args.checkpoint);
    s->texts = calloc((size_t)s->n_texts, sizeof *s->texts);
    if (!s->texts)
        return error_no_memory(err, "the texts");
    if (read_texts(s->texts, paths, s->n_texts, &s->trained, err))
        return -1;
    return fill_corpus(&s->corpus, &s->trained, s->texts, s->n_texts, err);
}

static int make_model(struct job *s, struct error *err)
{
    struct model_config config;
    int tokens;

    if (config_model(&s->checkpoint.config, s->trained.n_vocabulary, &config, err) ||
        checkpoint_fits(&s->checkpoint, &config, err))
        return -1;
    tokens = config.context < 2048 ? 2048 : config.context;
    if (pool_open(&s->pool, (int)args.threads, err) || model_init(&s->model, &config, tokens, s->pool, err) ||
        checkpoint_load(&s->checkpoint, &s->model.parameters, NULL, NULL, err) ||
        checkpoint_check_states(&s->checkpoint, &s->model, err) || packed_init(&s->packed, tokens, err) ||
        samples_init(&s->samples, &s->corpus, SPLIT_ROUTED, config.context, 0, err))
        return -1;
    return tally_init(&s->tally, s->model.routed, s->model.n_routed, s->corpus.n_domains,
                      s->corpus.n_documents, err);
}

/* Before anything is stored. A run of routed text is made in one go: there is nothing to resume. */
static int check_name(struct job *s, const char *db, struct error *err)
{
    struct query *q = NULL;
    int found;

    if (query_open(&q, s->logbook, "train/run", err))
        return -1;
    query_bind_text(q, ":name", s->name);
    found = query_step(q, err);
    query_close(q);
    if (found > 0)
        return error_set(err, STATUS_USAGE, "'%s' has a run named '%s' already; pass another --name", db,
                         s->name);
    return found;
}

static int route(struct job *s, struct error *err)
{
    struct evaluation e = {&s->model,  &s->corpus, &s->recorder.sink,
                           &s->packed, &s->tally,  s->checkpoint.state.step};
    int result = evaluate(&e, &s->samples, SPLIT_ROUTED, err);

    if (result == 0)
        result = s->recorder.sink.commit(&s->recorder, err);
    if (recorder_end(&s->recorder, result ? "failed" : "finished", result ? NULL : err))
        result = -1;
    return result;
}

static int begin_run(struct job *s, struct error *err)
{
    struct summary model;

    summarise_model(&s->model.config, parameters_count(&s->model.parameters), &model);
    return recorder_begin(&s->recorder, s->name, s->checkpoint.state.seed, &model, pool_threads(s->pool),
                          err);
}

static int run(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    struct job s = {.n_texts = n_operands - 1};
    int result = -1;

    (void)context;
    if (!args.checkpoint)
        return error_set(err, STATUS_USAGE, "--checkpoint is needed; see 'moescope route --help'");
    if (check_distinct(operands + 1, s.n_texts, err))
        return -1;
    blas_start();
    s.name = args.name ? strdup(args.name) : base_name(args.checkpoint, ".safetensors");
    if (s.name && !args.name) {
        struct text t;
        text_init(&t);
        text_printf(&t, "%s-routed", s.name);
        free(s.name);
        s.name = text_detach(&t);
    }
    if (!s.name)
        error_no_memory(err, "the run's name");
    else if (load(&s, operands + 1, err) == 0 && make_model(&s, err) == 0 &&
             moescope_open(&s.logbook, operands[0], err) == 0 && check_name(&s, operands[0], err) == 0 &&
             recorder_open(&s.recorder, s.logbook, &s.checkpoint.config, &s.corpus, err) == 0 &&
             begin_run(&s, err) == 0 && route(&s, err) == 0)
        result = print_losses(&s, out, err);
    job_release(&s);
    return result;
}

int main(int argc, char **argv)
{
    return program_main(&program, argc, argv, &args.output, run, NULL);
}
