/* moescope study: trains what a study's file asks for and is not there yet, by moescope train, one run after
 * the other, and prints what the runs say beside what the paper says. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analysis/shared/figure.h"
#include "analysis/shared/jobs.h"
#include "analysis/shared/program.h"
#include "analysis/shared/study.h"
#include "base/file.h"
#include "base/ini.h"
#include "base/process.h"
#include "base/progress.h"

struct choices {
    const char *out, *part, *format, *output, *table, *figures;
    bool quick, dry_run, no_training;
};

struct session {
    const struct choices *options;
    struct study study;
    struct text text, corpus, log; /* paths */
    struct logbook *logbook;
    struct study_results results;
    bool *chosen;   /* (n_configurations) of the parts asked for */
    double started; /* of the training of this call */
    int trained;    /* runs, in this call */
};

/* Recipes, and the folders they fill. */
static const char mixture[] = "mixed", mixture_images[] = "fashion-mnist";

static volatile sig_atomic_t interrupted; /* the signal's number */

static void on_signal(int number)
{
    interrupted = number;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void session_release(struct session *s)
{
    study_results_release(&s->results);
    moescope_close(s->logbook);
    study_release(&s->study);
    text_release(&s->text);
    text_release(&s->corpus);
    text_release(&s->log);
    free(s->chosen);
}

/* ---- where things are ---- */

static void find_corpus(struct session *s)
{
    const struct study *study = &s->study;
    const char *out = s->options->out;

    if (study->images || study->mixture) {
        text_printf(&s->corpus, "%s/%s", out, study->mixture ? mixture : study->images);
        return;
    }
    text_printf(&s->corpus, "%s/%s-%lld-%lld", out, study->text ? study->name : "corpus",
                (long long)study->vocabulary, (long long)study->max_document_bytes);
    if (study->tokens_per_domain > 0) /* another corpus, which studies may want beside the whole one */
        text_printf(&s->corpus, "-%lld", (long long)study->tokens_per_domain);
}

static int find_paths(struct session *s, struct error *err)
{
    const struct study *study = &s->study;
    const char *out = s->options->out, *quick = s->options->quick ? "-quick" : "";

    if (study->text)
        text_printf(&s->text, "%s%s%s", *study->text == '/' ? "" : study->folder,
                    *study->text == '/' ? "" : "/", study->text);
    else
        text_printf(&s->text, "%s/text", out);
    find_corpus(s);
    text_printf(&s->log, "%s/%s%s.db", out, study->name, quick);
    if (s->text.failed || s->corpus.failed || s->log.failed)
        return error_no_memory(err, "a path");
    return file_make_folder(out, err);
}

/* corpora/NAME.sh: beside the folder that this program is in, or here. */
static int find_recipe(const char *name, struct text *path, struct error *err)
{
    char beside[4096], file[256];

    snprintf(file, sizeof file, "../corpora/%s.sh", name);
    if (process_beside(file, beside, sizeof beside) == 0 && file_exists(beside))
        text_add(path, beside);
    else
        text_add(path, file + strlen("../"));
    if (path->failed)
        return error_no_memory(err, "a path");
    return file_exists(path->data)
               ? 0
               : error_set(err, STATUS_INPUT,
                           "there is no recipe '%s': neither beside this program's folder nor here",
                           path->data);
}

/* ---- other programs ---- */

static int run_program(const char *const *argv, struct error *err)
{
    struct process_setting setting = {.in = -1, .out = -1, .package = "moescope", .loud = true};
    struct process p;

    if (process_start(&p, argv, &setting, err))
        return -1;
    return process_wait(&p, NULL, err);
}

static int run_sibling(const char *name, const char **argv, struct error *err)
{
    char *program = sibling_program(name);
    int result;

    if (!program)
        return error_no_memory(err, "a program's path");
    argv[0] = program;
    result = run_program(argv, err);
    free(program);
    return result;
}

/* Makes `to` by a recipe, unless it is there; from: two folders that the recipe reads, or NULL. */
static int run_recipe(const char *name, const char *to, const char *const *from, struct error *err)
{
    struct text script;

    if (file_exists(to))
        return 0;
    text_init(&script);
    int result = find_recipe(name, &script, err);
    const char *const argv[] = {"sh", script.data, to, from ? from[0] : NULL, from ? from[1] : NULL, NULL};
    if (result == 0 && run_program(argv, err))
        result = error_prefix(err, "making '%s'", to);
    text_release(&script);
    return result;
}

static int prepare_text(struct session *s, struct error *err)
{
    char vocabulary[32], bytes[32], tokens[32];
    const char *argv[] = {
        NULL,       s->text.data,           "--output", s->corpus.data,        "--vocabulary",
        vocabulary, "--max-document-bytes", bytes,      "--tokens-per-domain", tokens,
        NULL};

    if (run_recipe("default", s->text.data, NULL, err))
        return -1;
    snprintf(vocabulary, sizeof vocabulary, "%lld", (long long)s->study.vocabulary);
    snprintf(bytes, sizeof bytes, "%lld", (long long)s->study.max_document_bytes);
    snprintf(tokens, sizeof tokens, "%lld", (long long)s->study.tokens_per_domain);
    return run_sibling("moescope-corpus", argv, err) ? error_prefix(err, "preparing the corpus") : 0;
}

/* Of the text and the images of other studies. */
static int prepare_mixture(struct session *s, struct error *err)
{
    struct text images;
    int result;

    if (file_exists(s->corpus.data))
        return 0;
    text_init(&images);
    text_printf(&images, "%s/%s", s->options->out, mixture_images);
    if (images.failed)
        result = error_no_memory(err, "a path");
    else if (run_recipe("default", s->text.data, NULL, err) ||
             run_recipe(mixture_images, images.data, NULL, err))
        result = -1;
    else
        result = run_recipe(mixture, s->corpus.data, (const char *const[]){s->text.data, images.data}, err);
    text_release(&images);
    return result;
}

static int make_corpus(struct session *s, struct error *err)
{
    if (s->study.generated)
        return 0;
    if (s->study.mixture)
        return prepare_mixture(s, err);
    return s->study.images ? run_recipe(s->study.images, s->corpus.data, NULL, err) : prepare_text(s, err);
}

/* ---- what is there ---- */

static int read_results(struct session *s, struct error *err)
{
    study_results_release(&s->results);
    if (!file_exists(s->log.data))
        return 0;
    if (!s->logbook && logbook_open(&s->logbook, s->log.data, err))
        return -1;
    if (study_results_read(&s->results, &s->study, s->logbook, err))
        return -1;
    return study_check_runs(&s->study, &s->results, s->logbook, err);
}

/* ---- training ---- */

static void run_name(const struct configuration *c, int64_t seed, char name[128])
{
    snprintf(name, 128, "%s.seed%lld", c->name, (long long)seed);
}

/* "run:NAME" is the checkpoint of that configuration's run of the same seed. */
static void add_value(const struct session *s, const char *value, int64_t seed, struct text *set)
{
    const char *name = study_setting_run(value);

    if (name)
        text_printf(set, "%s.checkpoints/%s.seed%lld.safetensors", s->log.data, name, (long long)seed);
    else
        text_add(set, value);
}

/* A configuration's settings as assignments, so that the last word holds. set: room for all; *n_set to be
 * released in any case. */
static int add_assignments(const struct session *s, const struct configuration *c, int64_t seed,
                           struct text *set, int *n_set, struct error *err)
{
    const struct study_settings *places[STUDY_MOST_PLACES];
    int n = 0, n_places = study_settings_of(&s->study, c, places);
    bool failed = false;

    text_init(&set[n]);
    text_printf(&set[n++], "data.corpus=%s", s->study.generated ? "" : s->corpus.data);
    for (int p = 0; p < n_places; p++) {
        for (int i = 0; i < places[p]->n; i++) {
            text_init(&set[n]);
            text_printf(&set[n], "%s=", places[p]->items[i].key);
            add_value(s, places[p]->items[i].value, seed, &set[n++]);
        }
    }
    for (int i = 0; i < n; i++)
        failed |= set[i].failed;
    *n_set = n;
    return failed ? error_no_memory(err, "a command line") : 0;
}

static int train(struct session *s, const struct configuration *c, int64_t seed, struct error *err)
{
    int most = 1 + s->study.settings.n + s->study.ablation_settings.n + c->settings.n +
               s->study.quick_settings.n,
        n = 0, sets = 0, result;
    const char **argv = calloc(2 * (size_t)most + 16, sizeof *argv);
    struct text *set = calloc((size_t)most, sizeof *set);
    char name[128], number[32];

    run_name(c, seed, name);
    snprintf(number, sizeof number, "%lld", (long long)seed);
    const char *const fixed[] = {"", "--log", s->log.data, "--name", name, "--seed", number, "--resume"};
    if (!argv || !set) {
        result = error_no_memory(err, "a command line");
    } else {
        for (; n < (int)(sizeof fixed / sizeof *fixed); n++)
            argv[n] = fixed[n];
        result = add_assignments(s, c, seed, set, &sets, err);
        for (int i = 0; i < sets; i++) {
            argv[n++] = "--set";
            argv[n++] = set[i].data;
        }
        if (result == 0)
            result = run_sibling("moescope-train", argv, err);
    }
    for (int i = 0; i < sets; i++)
        text_release(&set[i]);
    free(set);
    free(argv);
    return result;
}

static bool is_missing(const struct session *s, int configuration, int64_t seed)
{
    return s->chosen[configuration] && !study_finished(&s->results, configuration, seed) &&
           !study_diverged(&s->results, configuration, seed);
}

static int count_missing(const struct session *s)
{
    int n = 0;

    for (int k = 0; k < s->study.n_seeds; k++) {
        for (int c = 0; c < s->study.n_configurations; c++)
            n += is_missing(s, c, s->study.seeds[k]);
    }
    return n;
}

static void tell_progress(const struct session *s, int missing, const char *name)
{
    char left[32];

    if (s->trained == 0)
        fprintf(stderr, "%s: %d runs to train; now %s\n", s->study.name, missing, name);
    else
        fprintf(stderr, "%s: %d runs left, about %s; now %s\n", s->study.name, missing,
                text_duration(left, (clock_seconds() - s->started) / s->trained * missing), name);
}

/* A run whose loss is not finite has failed, the study has not: the others are trained. */
static bool has_diverged(struct session *s, int configuration, int64_t seed)
{
    struct error unread = {0};
    bool diverged =
        !interrupted && read_results(s, &unread) == 0 && study_diverged(&s->results, configuration, seed);

    moescope_close(s->logbook); /* trainings write to it */
    s->logbook = NULL;
    return diverged;
}

static int on_corpus_entry(void *sha256, const char *section, const char *key, const char *value,
                           struct error *err)
{
    (void)err;
    if (strcmp(section, "corpus") == 0 && strcmp(key, "sha256") == 0)
        snprintf(sha256, SHA256_HEX, "%s", value);
    return 0;
}

/* Before hours are spent: the runs that are there must be of the text's corpus as it is. (Images come from
 * one package, a mixture stays as it was made; that all runs are of one corpus is seen when they are read.)
 */
static int check_corpus(struct session *s, struct error *err)
{
    char sha256[SHA256_HEX] = "";
    struct text path;

    if (s->study.generated || s->study.images || s->study.mixture)
        return 0;
    text_init(&path);
    text_printf(&path, "%s/corpus.ini", s->corpus.data);
    int result =
        path.failed ? error_no_memory(err, "a path") : ini_read(path.data, on_corpus_entry, sha256, err);
    text_release(&path);
    return result ? -1 : study_check_corpus(&s->results, sha256, err);
}

/* Seed by seed, so that a study that is stopped has compared all it could. */
static int train_missing(struct session *s, struct error *err)
{
    int missing = count_missing(s);
    char name[128];

    if (missing == 0)
        return 0;
    if (make_corpus(s, err) || check_corpus(s, err))
        return -1;
    s->started = clock_seconds();
    for (int k = 0; k < s->study.n_seeds; k++) {
        for (int c = 0; c < s->study.n_configurations; c++) {
            int64_t seed = s->study.seeds[k];
            if (!is_missing(s, c, seed))
                continue;
            if (interrupted)
                return error_set(err, STATUS_MACHINE, "interrupted");
            run_name(&s->study.configurations[c], seed, name);
            tell_progress(s, missing, name);
            if (train(s, &s->study.configurations[c], seed, err) && !has_diverged(s, c, seed))
                return error_prefix(err, "run '%s'", name);
            s->trained++;
            missing--;
        }
    }
    return 0;
}

/* ---- which runs ---- */

static int choose_parts(struct session *s, struct error *err)
{
    const char *part = s->options->part;
    bool all = strcmp(part, "all") == 0, ablations = strcmp(part, "ablations") == 0;

    if (!all && !ablations && strcmp(part, "core") != 0)
        return error_set(err, STATUS_USAGE, "there is no part '%s'; core, ablations or all", part);
    s->chosen = calloc((size_t)s->study.n_configurations, sizeof *s->chosen);
    if (!s->chosen)
        return error_no_memory(err, "the study");
    for (int c = 0; c < s->study.n_configurations; c++) {
        const struct configuration *one = &s->study.configurations[c];
        s->chosen[c] = all || one->ablation == ablations || c == study_reference(&s->study, ablations);
    }
    return 0;
}

/* ---- what is printed ---- */

static int print_plan(struct session *s, FILE *out, enum table_format format, struct error *err)
{
    static const char *const columns[] = {"run", "part", "status", "tokens", "seconds"};
    struct table *t = table_open(out, format, NULL, columns, 5);
    char name[128];

    for (int k = 0; k < s->study.n_seeds && t; k++) {
        for (int c = 0; c < s->study.n_configurations; c++) {
            const struct study_run *run = study_results_find(&s->results, c, s->study.seeds[k]);
            if (!s->chosen[c])
                continue;
            run_name(&s->study.configurations[c], s->study.seeds[k], name);
            table_text(t, name);
            table_text(t, s->study.configurations[c].ablation ? "ablations" : "core");
            table_text(t, run ? run->status : "missing");
            table_figure(t, run ? run->tokens : (double)NAN);
            table_figure(t, run ? run->seconds : (double)NAN);
        }
    }
    return t ? table_close(t, err) : error_no_memory(err, "a table");
}

static struct study_view view_of(const struct session *s)
{
    return (struct study_view){&s->study, &s->results, s->logbook, s->chosen};
}

static void tell_diverged(const struct session *s)
{
    for (int i = 0; i < s->results.n; i++) {
        const struct study_run *run = &s->results.runs[i];
        if (run->diverged && s->chosen[run->configuration])
            fprintf(stderr,
                    "%s: the loss of run '%s' was not finite, so that no table has it; to train it anew: "
                    "moescope runs %s --delete %s\n",
                    s->study.name, run->name, s->log.data, run->name);
    }
}

static void tell_few_seeds(const struct session *s)
{
    int few = 0;

    for (int c = 0; c < s->study.n_configurations; c++) {
        int n = 0;
        for (int k = 0; k < s->study.n_seeds; k++)
            n += study_finished(&s->results, c, s->study.seeds[k]);
        few += s->chosen[c] && n > 0 && n < STUDY_FEW_SEEDS;
    }
    if (few > 0)
        fprintf(stderr,
                "%s: %d configurations have fewer than %d seeds: their intervals say next to nothing about "
                "methods\n",
                s->study.name, few, STUDY_FEW_SEEDS);
}

static int print_results(struct session *s, FILE *out, enum table_format format, struct error *err)
{
    if (s->results.n == 0)
        return error_set(err, STATUS_INPUT,
                         "'%s' has no run of this study yet; train them without --no-training", s->log.data);
    tell_diverged(s);
    tell_few_seeds(s);
    const struct study_view view = view_of(s);
    if (s->options->table)
        return study_print(&view, s->options->table, out, format, err);
    return format == TABLE_TEXT ? study_print_all(&view, out, err)
                                : study_print(&view, "configurations", out, format, err);
}

/* ---- figures ---- */

static int add_figure(struct session *s, const struct study_figure *f, struct figures *figures,
                      struct error *err)
{
    char *csv = NULL;
    size_t n;
    FILE *memory = open_memstream(&csv, &n);
    int result;

    if (!memory)
        return error_no_memory(err, "a figure");
    const struct study_view view = view_of(s);
    result = study_print(&view, f->table, memory, TABLE_CSV, err);
    if (fclose(memory) != 0 && result == 0)
        result = error_no_memory(err, "a figure");
    if (result == 0)
        result = study_add_figure(&s->study, f, csv, figures, err);
    free(csv);
    return result ? error_prefix(err, "[figure %s]", f->name) : 0;
}

static int draw_figures(struct session *s, struct error *err)
{
    const char *folder = s->options->figures, *slash = strrchr(s->log.data, '/');
    struct figures figures = {0};
    int result = file_make_folder(folder, err);

    for (int i = 0; i < s->study.n_figures && result == 0; i++)
        result = add_figure(s, &s->study.figures[i], &figures, err);
    if (result == 0)
        result = figures_draw(&figures, folder, slash ? slash + 1 : s->log.data, "svg", false, err);
    figures_release(&figures);
    return result;
}

/* ---- the program ---- */

static int conduct(struct session *s, FILE *out, enum table_format format, struct error *err)
{
    if (find_paths(s, err) || choose_parts(s, err) || read_results(s, err))
        return -1;
    if (s->options->dry_run)
        return print_plan(s, out, format, err);
    if (!s->options->no_training) {
        moescope_close(s->logbook); /* reads would see it as it was */
        s->logbook = NULL;
        if (train_missing(s, err))
            return interrupted ? 128 + interrupted : -1;
        if (read_results(s, err))
            return -1;
    }
    if (print_results(s, out, format, err))
        return -1;
    return s->options->figures ? draw_figures(s, err) : 0;
}

static int run(void *context, char **operands, int n, FILE *out, struct error *err)
{
    struct session s = {.options = context};
    enum table_format format;
    int result;

    (void)n;
    if (table_format_parse(s.options->format, &format, err) ||
        study_read(&s.study, operands[0], s.options->quick, err))
        return -1;
    text_init(&s.text);
    text_init(&s.corpus);
    text_init(&s.log);
    catch_signals();
    result = conduct(&s, out, format, err);
    session_release(&s);
    return result;
}

int main(int argc, char **argv)
{
    struct choices c = {.out = "build/studies", .part = "core", .format = "table"};
    const struct option_spec options[] = {
        {"out", 0, OPTION_STRING, &c.out, "FOLDER",
         "for text, corpus and the study's logbook (default build/studies)"},
        {"part", 'p', OPTION_STRING, &c.part, "PART", "core, ablations or all (default core)"},
        {"quick", 'q', OPTION_FLAG, &c.quick, NULL,
         "the small version that the file's [quick] describes, in a logbook of its own"},
        {"dry-run", 0, OPTION_FLAG, &c.dry_run, NULL,
         "list the runs and what is there of them; train nothing"},
        {"no-training", 0, OPTION_FLAG, &c.no_training, NULL, "print what the runs that are there say"},
        {"table", 't', OPTION_STRING, &c.table, "NAME",
         "one table alone (csv and json: default configurations)"},
        {"figures", 0, OPTION_STRING, &c.figures, "FOLDER",
         "draw the file's [figure NAME]s there, with scripts and data"},
        {"format", 'f', OPTION_STRING, &c.format, "FORMAT", "table, csv or json (default table)"},
        {"output", 'o', OPTION_STRING, &c.output, "FILE",
         "write to FILE, whole or not at all (default: stdout)"},
        {0}};
    const struct program program = {
        .verb = "study",
        .operands = "FILE.ini",
        .purpose = "train a study's missing runs and print what they say beside the paper",
        .details =
            "A study is a file: the runs (configurations times seeds), the question and the tables that "
            "answer "
            "it;\nstudies/ has one a paper. Its logbook is FOLDER/NAME.db, its runs are CONFIGURATION.seedN. "
            "Interrupted\n(Ctrl-C), it goes on where it stopped when it is started again. Intervals of the "
            "table "
            "configurations\nare over seeds (about methods), those of the table pairs over documents (about "
            "two "
            "trained models).",
        .examples = "moescope study studies/dynamic-routing.ini --dry-run\n"
                    "moescope study studies/dynamic-routing.ini\n"
                    "moescope study studies/maskmoe.ini --part ablations -o maskmoe.txt\n"
                    "moescope study studies/maskmoe.ini --no-training --table pairs --format csv",
        .options = options,
        .min_operands = 1,
        .max_operands = 1};
    return program_main(&program, argc, argv, &c.output, run, &c);
}
