/* moescope corpus FOLDER -o OUT: reads a folder of text, splits it by document, learns a vocabulary on the
 * train split, encodes, balances the domains and writes it all as a folder that training reads
 * (engine/corpus.h). */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/folder.h"
#include "base/options.h"
#include "base/progress.h"
#include "base/table.h"
#include "engine/corpus_format.h"
#include "engine/prepare.h"

struct job {
    const char *folder, *out, *format_name;
    enum table_format format;
    struct prepare_options options;
    bool no_balance;
    char *name; /* options.name where it was made from the folder's */
    char *out_trimmed;
    struct text settings;
    char input_sha256[SHA256_HEX];
    struct source source;
    struct tokenizer tokenizer;
    struct text partial; /* the folder in the making, beside OUT */
};

/* ---- the command line ---- */

static int in_range(const char *name, int64_t value, int64_t least, int64_t most, struct error *err)
{
    if (value >= least && value <= most)
        return 0;
    return error_set(err, STATUS_USAGE,
                     "option '--%s' takes %lld to %lld, not %lld; see 'moescope corpus --help'", name,
                     (long long)least, (long long)most, (long long)value);
}

/* The folder's own name, where none was given. */
static int choose_name(struct job *j, struct error *err)
{
    if (!j->options.name) {
        char *path = realpath(j->folder, NULL);
        if (!path)
            return error_errno(err, "read", j->folder);
        const char *slash = strrchr(path, '/');
        j->name = strdup(slash && slash[1] ? slash + 1 : path);
        free(path);
        if (!j->name)
            return error_no_memory(err, "a name");
        j->options.name = j->name;
    }
    const char *name = j->options.name;
    size_t n = strlen(name);
    if (n == 0 || n > CORPUS_NAME_BYTES || strpbrk(name, ";\n\r\t") || strchr(" #\"", name[0]) ||
        name[n - 1] == ' ' || utf8_first_error(name, n) >= 0)
        return error_set(err, STATUS_USAGE, "'%s' cannot be a corpus' name; give another with --name", name);
    return 0;
}

static int check_options(struct job *j, struct error *err)
{
    const struct prepare_options *o = &j->options;
    j->options.balance = !j->no_balance;
    if (!j->out || !*j->out)
        return error_set(err, STATUS_USAGE,
                         "option '-o OUT' is missing or empty; see 'moescope corpus --help'");
    if (in_range("vocabulary", o->n_vocabulary, TOKENIZER_LEAST_VOCABULARY, 1000000, err) != 0 ||
        in_range("max-document-bytes", o->max_document_bytes, 0, INT64_MAX / 4, err) != 0 ||
        in_range("valid", o->n_valid, 1, 1000000, err) != 0 ||
        in_range("probe", o->n_probe, 1, 1000000, err) != 0 ||
        in_range("tokens-per-domain", o->tokens_per_domain, 0, INT64_MAX / 4, err) != 0)
        return -1;
    if (j->no_balance && o->tokens_per_domain)
        return error_set(err, STATUS_USAGE,
                         "options '--no-balance' and '--tokens-per-domain' exclude each other");
    if (table_format_parse(j->format_name, &j->format, err) != 0)
        return -1;
    j->out = j->out_trimmed = folder_trimmed(j->out);
    return j->out ? 0 : error_no_memory(err, "a path");
}

/* ---- what was read ---- */

static void say_source(const struct source *s)
{
    char a[32];
    int64_t bytes = 0;
    for (int i = 0; i < s->n_documents; i++)
        bytes += s->documents[i].d.n_bytes;
    fprintf(stderr, "read %d documents in %d domains, %s\n", s->n_documents, s->n_domains,
            text_bytes(a, (double)bytes));
    if (s->n_cut)
        fprintf(stderr, "cut %d long documents: %s left out (see --max-document-bytes)\n", s->n_cut,
                text_bytes(a, (double)s->cut_bytes));
    if (s->n_empty)
        fprintf(stderr, "skipped %d empty documents\n", s->n_empty);
    if (s->n_ignored)
        fprintf(stderr, "ignored %d files that are not DOMAIN/*.txt\n", s->n_ignored);
    if (s->n_blocks)
        fprintf(stderr, "warning: %d documents hold U+2581, which reads back as a space\n", s->n_blocks);
}

static int split(struct job *j, struct error *err)
{
    struct source *s = &j->source;
    int *n_short = malloc((size_t)s->n_domains * sizeof *n_short);
    if (!n_short)
        return error_no_memory(err, "the domains");
    source_split(s, j->options.seed, (int)j->options.n_valid, (int)j->options.n_probe, n_short);
    struct text small;
    int64_t asked = j->options.n_valid + j->options.n_probe;
    text_init(&small);
    for (int i = 0; i < s->n_domains; i++)
        if (n_short[i])
            text_printf(&small, "%s %s %lld", small.length ? "," : "", s->domains[i],
                        (long long)(asked - n_short[i]));
    if (small.length)
        fprintf(stderr, "warning: small domains hold out fewer than %lld documents:%s\n", (long long)asked,
                small.data);
    text_release(&small);
    free(n_short);
    return 0;
}

/* ---- steps ---- */

static int make_vocabulary(struct job *j, const char *model_path, struct error *err)
{
    double coverage = 1, started = clock_seconds();
    const struct prepare_options *o = &j->options;
    if (!o->model)
        fprintf(stderr, "learning a vocabulary of %lld from the train documents\n",
                (long long)o->n_vocabulary);
    if (prepare_model(&j->source, o, j->partial.data, &coverage, err) != 0 ||
        tokenizer_load(&j->tokenizer, model_path, err) != 0)
        return -1;
    if (!o->model)
        fprintf(stderr, "learnt %d pieces in %.1f s\n", j->tokenizer.n_items, clock_seconds() - started);
    if (!o->model && j->tokenizer.n_items < o->n_vocabulary)
        fprintf(stderr, "warning: the text gives no more than %d pieces\n", j->tokenizer.n_items);
    if (!o->model && coverage < 0.9995)
        fprintf(stderr,
                "warning: the rarest %.3g %% of the characters are left to bytes; a larger --vocabulary "
                "would hold them\n",
                100 * (1 - coverage));
    if (!o->model)
        text_printf(&j->settings, "character_coverage = %g\n", coverage);
    return 0;
}

static int encode(struct job *j, const char *model_path, struct error *err)
{
    double started = clock_seconds();
    int n_lossy;
    if (prepare_encode(&j->source, &j->tokenizer, model_path, &n_lossy, err) != 0)
        return -1;
    fprintf(stderr, "encoded %d documents in %.1f s\n", j->source.n_documents, clock_seconds() - started);
    if (n_lossy > j->source.n_blocks)
        fprintf(stderr, "warning: %d documents do not come back byte for byte: the model normalises text\n",
                n_lossy);
    return 0;
}

static int balance(struct job *j, struct error *err)
{
    int64_t target = j->options.tokens_per_domain;
    int dropped = 0;
    if (j->options.balance) {
        if (source_balance(&j->source, &target, err) != 0)
            return -1;
        for (int i = 0; i < j->source.n_documents; i++)
            dropped += j->source.documents[i].dropped;
        fprintf(stderr, "balanced the domains at %lld train tokens: dropped %d documents\n",
                (long long)target, dropped);
    }
    const struct source *s = &j->source;
    text_printf(&j->settings,
                "dropped_documents = %d\ncut_documents = %d\ncut_bytes = %lld\nempty_documents = %d\n",
                dropped, s->n_cut, (long long)s->cut_bytes, s->n_empty);
    return j->settings.failed ? error_no_memory(err, "the settings") : 0;
}

static int write_corpus(struct job *j, struct error *err)
{
    struct corpus c;
    if (prepare_corpus(&c, &j->source, &j->tokenizer, &j->options, err) != 0)
        return -1;
    int result = corpus_write(&c, j->partial.data, j->input_sha256, j->settings.data, err);
    prepare_release(&c);
    return result;
}

/* ---- OUT appears whole or not at all ---- */

/* Removes a folder of ours; what else lies in it stays, and the folder with it. */
static int remove_corpus(const char *folder)
{
    static const char *const names[] = {CORPUS_FILE_INI,
                                        CORPUS_FILE_DOCUMENTS,
                                        CORPUS_FILE_VOCABULARY,
                                        CORPUS_FILE_TOKENS_16,
                                        CORPUS_FILE_TOKENS_32,
                                        CORPUS_FILE_MODEL,
                                        NULL};

    return folder_remove(folder, names);
}

static int publish(struct job *j, struct error *err)
{
    struct text old;
    text_init(&old);
    text_printf(&old, "%s.old-%ld", j->out, (long)getpid());
    bool replaced = false;
    int result = old.failed ? error_no_memory(err, "a path") : 0;
    if (result == 0 && file_exists(j->out)) {
        replaced = rename(j->out, old.data) == 0;
        if (!replaced)
            result = error_output(err, "replace", j->out);
    }
    if (result == 0 && rename(j->partial.data, j->out) != 0) {
        result = error_output(err, "write", j->out);
        if (replaced)
            rename(old.data, j->out);
    } else if (replaced && remove_corpus(old.data) != 0)
        fprintf(stderr, "'%s' held other files too: they are in '%s'\n", j->out, old.data);
    text_release(&old);
    return result;
}

/* From the making of a folder on there is something to clean up. A signal ends the program that is waited
 * for, and then the way is the one of every error; the main thread blocks it until then. A thread of a
 * library may be the one to receive it, and hands it on. */
static void heard(int signal_number)
{
    if (gettid() != getpid())
        tgkill(getpid(), getpid(), signal_number);
}

static void catch_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = heard};
    sigset_t mask;
    sigemptyset(&mask);
    for (int i = 0; i < 3; i++) {
        sigaction(signals[i], &action, NULL);
        sigaddset(&mask, signals[i]);
    }
    sigprocmask(SIG_BLOCK, &mask, NULL);
}

static int prepare(struct job *j, struct error *err)
{
    struct text model;
    catch_signals();
    if (folder_make_partial(j->out, &j->partial, err) != 0)
        return -1;
    text_init(&model);
    text_printf(&model, "%s/%s", j->partial.data, CORPUS_FILE_MODEL);
    int result = model.failed ? error_no_memory(err, "a path") : 0;
    if (result == 0 && (make_vocabulary(j, model.data, err) != 0 || encode(j, model.data, err) != 0 ||
                        balance(j, err) != 0 || write_corpus(j, err) != 0 || publish(j, err) != 0))
        result = -1;
    if (result != 0)
        remove_corpus(j->partial.data);
    text_release(&model);
    return result;
}

/* ---- what came of it ---- */

struct sums {
    int64_t documents, bytes, tokens;
};

static void print_domain(struct table *t, const struct corpus *c, int domain)
{
    struct sums all = {0}, by_split[N_SPLITS] = {0};
    for (int i = 0; i < c->n_documents; i++) {
        const struct document *d = &c->documents[i];
        if (d->domain != domain)
            continue;
        for (int k = 0; k < 2; k++) {
            struct sums *s = k ? &all : &by_split[d->split];
            s->documents++;
            s->bytes += d->n_bytes;
            s->tokens += d->n_ids - 1; /* predictions: all but BOS */
        }
    }
    table_text(t, c->domains[domain]);
    table_int(t, all.documents);
    table_int(t, all.bytes);
    table_int(t, all.tokens);
    table_real(t, (double)all.bytes / (double)all.tokens);
    for (int s = SPLIT_TRAIN; s <= SPLIT_PROBE; s++) {
        table_int(t, by_split[s].documents);
        table_int(t, by_split[s].tokens);
    }
}

static int print_corpus(const struct job *j, const struct corpus *c, struct error *err)
{
    static const char *const columns[] = {"domain",          "documents", "bytes",        "tokens",
                                          "bytes_per_token", "train",     "train_tokens", "valid",
                                          "valid_tokens",    "probe",     "probe_tokens"};
    struct table *t = table_open(stdout, j->format, c->name, columns, sizeof columns / sizeof columns[0]);
    if (!t)
        return error_no_memory(err, "the table");
    for (int i = 0; i < c->n_domains; i++)
        print_domain(t, c, i);
    return table_close(t, err);
}

/* Loading is the last check of what was written. */
static int show(const struct job *j, struct error *err)
{
    struct corpus c;
    if (corpus_load(&c, j->out, err) != 0)
        return -1;
    int result = print_corpus(j, &c, err);
    corpus_release(&c);
    return result;
}

/* ---- the whole ---- */

static bool is_empty_folder(const char *path)
{
    DIR *folder = opendir(path);
    int n = 0;
    if (!folder)
        return false;
    while (readdir(folder))
        n++;
    closedir(folder);
    return n <= 2; /* itself and what is above it */
}

/* What is at OUT already: 1 the same corpus, 0 nothing or one to replace, -1 something else. */
static int look_at_out(const struct job *j, struct error *err)
{
    char there[SHA256_HEX];
    struct corpus c;
    struct error why;
    if (!file_exists(j->out))
        return 0;
    if (is_empty_folder(j->out))
        return 0;
    if (!corpus_input_hash(j->out, there))
        return error_set(err, STATUS_INPUT, "'%s' is there and is not a prepared corpus; choose another -o",
                         j->out);
    bool same = strcmp(there, j->input_sha256) == 0;
    if (same && corpus_load(&c, j->out, &why) == 0) {
        corpus_release(&c);
        fprintf(stderr, "kept '%s': made from the same text with the same options\n", j->out);
        return 1;
    }
    fprintf(stderr, "replacing '%s': %s\n", j->out, same ? why.text : "its text or its options were others");
    return 0;
}

static int run(struct job *j, struct error *err)
{
    if (choose_name(j, err) != 0 || prepare_settings(&j->options, &j->settings, err) != 0 ||
        source_read(&j->source, j->folder, j->options.max_document_bytes, err) != 0)
        return -1;
    say_source(&j->source);
    if (split(j, err) != 0)
        return -1;
    prepare_hash(&j->source, &j->settings, j->input_sha256);
    int there = look_at_out(j, err);
    if (there < 0 || (there == 0 && prepare(j, err) != 0))
        return -1;
    return show(j, err);
}

int main(int argc, char **argv)
{
    struct job j = {
        .format_name = "table",
        .options = {
            .n_vocabulary = 4096, .max_document_bytes = 8192, .n_valid = 25, .n_probe = 25, .seed = 1}};
    struct prepare_options *o = &j.options;
    const struct option_spec options[] = {
        {"output", 'o', OPTION_STRING, &j.out, "OUT", "the folder to write; needed"},
        {"name", 0, OPTION_STRING, &o->name, "NAME", "the corpus' name (default: the folder's)"},
        {"vocabulary", 0, OPTION_INT, &o->n_vocabulary, "N", "pieces to learn (default 4096)"},
        {"model", 0, OPTION_STRING, &o->model, "FILE",
         "use this sentencepiece model instead of learning one"},
        {"max-document-bytes", 0, OPTION_INT, &o->max_document_bytes, "N",
         "cut longer documents at a line end; 0: never (default 8192)"},
        {"valid", 0, OPTION_INT, &o->n_valid, "N",
         "documents of a domain held out for validation (default 25)"},
        {"probe", 0, OPTION_INT, &o->n_probe, "N",
         "documents of a domain held out for the probe (default 25)"},
        {"seed", 0, OPTION_INT, &o->seed, "N", "of the shuffle that splits (default 1)"},
        {"tokens-per-domain", 0, OPTION_INT, &o->tokens_per_domain, "N",
         "train tokens to keep of each domain; 0: as many as the smallest has (default 0)"},
        {"no-balance", 0, OPTION_FLAG, &j.no_balance, NULL, "keep every train document"},
        {"format", 0, OPTION_STRING, &j.format_name, "FORMAT", "table, csv or json (default table)"},
        {0}};
    const struct program program = {
        .verb = "corpus",
        .operands = "FOLDER",
        .purpose = "prepares a folder of text: vocabulary, splits by document, counts, hashes",
        .details =
            "FOLDER holds DOMAIN/*.txt in UTF-8. A file is a document; a form feed in a file starts "
            "another.\n"
            "FOLDER/labels.tsv may say more: 'DOMAIN key=value...' or 'DOMAIN/FILE key=value...' a line.\n"
            "Documents are held out whole, at most a third of a small domain. An OUT that was made from the\n"
            "same text with the same options is kept. Needs the programs of the Debian package "
            "sentencepiece.",
        .examples = "moescope corpus text -o corpus\n"
                    "moescope corpus text -o corpus --vocabulary 8192 --max-document-bytes 0",
        .options = options,
        .min_operands = 1,
        .max_operands = 1};
    struct error err = {0};
    int first = 0;
    bool done = false;
    text_init(&j.settings);
    text_init(&j.partial);
    int result = options_parse(&program, argc, argv, &first, &done, &err);
    if (result == 0 && !done)
        result = check_options(&j, &err);
    if (result == 0 && !done) {
        j.folder = argv[first];
        result = run(&j, &err);
    }
    source_release(&j.source);
    tokenizer_release(&j.tokenizer);
    text_release(&j.settings);
    text_release(&j.partial);
    free(j.name);
    free(j.out_trimmed);
    return program_finish(&program, result, &err);
}
