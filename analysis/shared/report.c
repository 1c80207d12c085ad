/* Opening the logbook, running the analyses, keeping their tables. */
#include "analysis/shared/report.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analysis/shared/jobs.h"
#include "base/file.h"
#include "base/progress.h"

/* ---- runs ---- */

static char *copy(const char *s)
{
    return s ? strdup(s) : NULL;
}

static void run_release(struct report_run *run)
{
    char *texts[] = {run->name,        run->file,          run->uuid,        run->router,
                     run->status,      run->started_at,    run->finished_at, run->program,
                     run->corpus,      run->corpus_sha256, run->vocabulary,  run->vocabulary_sha256,
                     run->pruned_probe};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        free(texts[i]);
    free(run->layers);
}

/* Letters, digits, dot, dash and line of the name; a name that loses something gets its run's number. */
static char *file_name(const char *name, int64_t run_id)
{
    struct text t;
    bool changed = *name == '.' || *name == '-' || !*name;
    text_init(&t);
    for (const char *s = name; *s && t.length < 80; s++) {
        bool plain = isalnum((unsigned char)*s) || strchr("._-", *s);
        changed = changed || !plain;
        text_add_bytes(&t, plain ? s : "_", 1);
    }
    if (changed || strlen(name) > t.length)
        text_printf(&t, "_%lld", (long long)run_id);
    return text_detach(&t);
}

static int run_read(struct report_run *run, struct query *q, struct error *err)
{
    *run = (struct report_run){
        .run_id = query_int(q, "run_id"),
        .seed = query_int(q, "seed"),
        .last_step = query_int(q, "last_step"),
        .name = copy(query_word(q, "name")),
        .uuid = copy(query_word(q, "uuid")),
        .router = copy(query_word(q, "router")),
        .status = copy(query_word(q, "status")),
        .started_at = copy(query_word(q, "started_at")),
        .finished_at = copy(query_text(q, "finished_at")),
        .program = copy(query_text(q, "program")),
        .corpus = copy(query_text(q, "corpus")),
        .corpus_sha256 = copy(query_text(q, "corpus_sha256")),
        .vocabulary = copy(query_text(q, "vocabulary")),
        .vocabulary_sha256 = copy(query_text(q, "vocabulary_sha256")),
        .pruned_probe = copy(query_text(q, "pruned_probe")),
        .n_experts = (int)query_int(q, "n_experts"),
        .k = (int)query_int(q, "k"),
    };
    run->baseline =
        run->router && (strcmp(run->router, "unigram") == 0 || strcmp(run->router, "bigram") == 0);
    run->file = run->name ? file_name(run->name, run->run_id) : NULL;
    return run->file ? 0 : error_no_memory(err, "the runs");
}

static int read_runs(struct report *r, int64_t run_id, struct error *err)
{
    struct query *q;
    int more;
    if (query_open(&q, r->logbook, "analysis/report_runs", err) != 0)
        return -1;
    if (run_id > 0)
        query_bind_int(q, ":run", run_id);
    while ((more = query_step(q, err)) == 1) {
        struct report_run *runs = realloc(r->runs, ((size_t)r->n_runs + 1) * sizeof *runs);
        if (!runs) {
            more = error_no_memory(err, "the runs");
            break;
        }
        r->runs = runs;
        r->n_runs++;
        if ((more = run_read(&runs[r->n_runs - 1], q, err)) != 0)
            break;
    }
    query_close(q);
    return more < 0 ? -1 : 0;
}

/* Trained runs first; otherwise the order stays. */
static void baselines_last(struct report *r)
{
    int placed = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = placed; i < r->n_runs; i++)
            if (r->runs[i].baseline == (pass == 1)) {
                struct report_run run = r->runs[i];
                memmove(&r->runs[placed + 1], &r->runs[placed], (size_t)(i - placed) * sizeof run);
                r->runs[placed++] = run;
            }
}

/* The first dense run, or else the first: what a router must beat. */
static void choose_reference(struct report *r)
{
    r->reference = 0;
    for (int i = r->n_trained - 1; i >= 0; i--)
        if (r->runs[i].n_layers == 0)
            r->reference = i;
}

static int finish_runs(struct report *r, struct error *err)
{
    baselines_last(r);
    for (int i = 0; i < r->n_runs; i++) {
        struct report_run *run = &r->runs[i];
        r->n_trained += !run->baseline;
        run->type = 1 + i % 7;
        bool moe = run->n_experts > 0;
        if (moe &&
            analysis_load_layers(r->logbook, run->run_id, run->name, &run->layers, &run->n_layers, err) != 0)
            return -1;
        r->n_moe += moe;
    }
    choose_reference(r);
    for (int i = 1; i < r->n_runs; i++) {
        const char *a = r->runs[0].vocabulary_sha256, *b = r->runs[i].vocabulary_sha256;
        r->in_bits = r->in_bits || (a && b && strcmp(a, b) != 0);
    }
    return 0;
}

int report_open(struct report *r, const struct string_list *names, struct error *err)
{
    int64_t run_id;
    int result = logbook_open(&r->logbook, r->db, err);
    if (result == 0 && names->n == 0)
        result = read_runs(r, 0, err);
    for (int i = 0; result == 0 && i < names->n; i++) {
        result = logbook_find_run(r->logbook, names->items[i], &run_id, err);
        for (int j = 0; result == 0 && j < r->n_runs; j++)
            if (r->runs[j].run_id == run_id)
                result = error_set(err, STATUS_USAGE, "run '%s' is named twice", names->items[i]);
        if (result == 0)
            result = read_runs(r, run_id, err);
    }
    if (result == 0 && r->n_runs == 0)
        result = error_set(err, STATUS_INPUT, "'%s' holds no run; train one first", r->db);
    if (result == 0 && r->n_runs > REPORT_RUNS)
        result = error_set(err, STATUS_USAGE,
                           "a report takes at most %d runs, '%s' holds %d: choose some with --run",
                           REPORT_RUNS, r->db, r->n_runs);
    return result == 0 ? finish_runs(r, err) : -1;
}

void report_close(struct report *r)
{
    for (int i = 0; i < r->n_runs; i++)
        run_release(&r->runs[i]);
    free(r->runs);
    for (int i = 0; i < r->n_sources; i++) {
        free(r->sources[i].path);
        free(r->sources[i].problem);
        csv_release(&r->sources[i].csv);
    }
    free(r->sources);
    figures_release(&r->figures);
    moescope_close(r->logbook);
    *r = (struct report){0};
}

int report_run_named(const struct report *r, const char *name)
{
    for (int i = 0; name && i < r->n_runs; i++)
        if (strcmp(r->runs[i].name, name) == 0)
            return i;
    return -1;
}

/* ---- tables of other analyses ---- */

static const struct {
    const char *verb, *table;
} wanted[] = {
    {"collapse", "verdict"},
    {"collapse", "onset"},
    {"collapse", "load"},
    {"collapse", "experts"},
    {"specialization", "verdict"},
    {"specialization", "information"},
    {"specialization", "lift"},
    {"specialization", "tokens"},
    {"specialization", "vocabulary"},
    {"specialization", "coactivation"},
    {"specialization", "flow"},
    {"specialization", "saturation"},
    {"specialization", "repetition"},
    {"demand", "verdict"},
    {"demand", "layers"},
    {"demand", "rank_mass"},
    {"demand", "domains"},
    {"demand", "steps"},
    {"demand", "frequency"},
    {"demand", "position"},
    {"demand", "working_set"},
};
/* Of compare: of which runs, and with what options. */
static const struct {
    const char *table;
    bool of_one, of_seeds; /* also where there is one run; only where some differ in nothing but the seed */
    bool logged;           /* takes losses of tokens, which a baseline that counts never logs */
    const char *options[4];
} wanted_of_compare[] = {
    {.table = "verdict"},
    {.table = "config"},
    {.table = "losses", .of_one = true},
    {.table = "difference"},
    {.table = "domains", .of_one = true},
    {.table = "cost", .of_one = true},
    {.table = "agreement"},
    {.table = "routers"},
    {.table = "incomparable"},
    {.table = "seeds", .of_seeds = true, .options = {"--group-by", "seed"}},
    {.table = "curves", .of_seeds = true},
    {.table = "perplexity", .of_one = true, .logged = true, .options = {"--by", "target-frequency"}},
    {.table = "frequency", .logged = true, .options = {"--by", "target-frequency"}},
};

static const struct report_source *find_source(const struct report *r, int run, const char *verb,
                                               const char *table)
{
    for (int i = 0; i < r->n_sources; i++)
        if (r->sources[i].run == run && strcmp(r->sources[i].verb, verb) == 0 &&
            strcmp(r->sources[i].table, table) == 0)
            return &r->sources[i];
    return NULL;
}

const struct csv *report_table(const struct report *r, int run, const char *verb, const char *table)
{
    const struct report_source *s = find_source(r, run, verb, table);
    return s && s->csv.n_rows > 0 ? &s->csv : NULL;
}

const char *report_problem(const struct report *r, int run, const char *verb, const char *table)
{
    const struct report_source *s = find_source(r, run, verb, table);
    return s ? s->problem : NULL;
}

/* FOLDER/tables/RUN-VERB-TABLE.csv */
static int add_source(struct report *r, int run, const char *verb, const char *table, struct error *err)
{
    struct text path;
    struct report_source *sources = realloc(r->sources, ((size_t)r->n_sources + 1) * sizeof *sources);
    if (!sources)
        return error_no_memory(err, "the tables");
    r->sources = sources;
    text_init(&path);
    text_printf(&path, "%s/tables/%s%s%s-%s.csv", r->folder, run < 0 ? "" : r->runs[run].file,
                run < 0 ? "" : "-", verb, table);
    sources[r->n_sources] = (struct report_source){run, verb, table, text_detach(&path), {0}, NULL};
    if (!sources[r->n_sources].path)
        return error_no_memory(err, "the tables");
    r->n_sources++;
    return 0;
}

/* Whether some runs look alike but for the seed, so that compare can speak of methods. */
static bool has_seeds(const struct report *r)
{
    for (int i = 0; i < r->n_trained; i++)
        for (int j = 0; j < i; j++) {
            const struct report_run *a = &r->runs[i], *b = &r->runs[j];
            if (a->seed != b->seed && strcmp(a->router, b->router) == 0 && a->n_experts == b->n_experts &&
                a->k == b->k)
                return true;
        }
    return false;
}

static int list_sources(struct report *r, struct error *err)
{
    bool seeds = has_seeds(r);
    for (size_t i = 0; i < sizeof wanted_of_compare / sizeof wanted_of_compare[0]; i++) {
        int n = wanted_of_compare[i].logged ? r->n_trained : r->n_runs;
        if ((n > 1 || (n == 1 && wanted_of_compare[i].of_one)) && (seeds || !wanted_of_compare[i].of_seeds) &&
            add_source(r, -1, "compare", wanted_of_compare[i].table, err) != 0)
            return -1;
    }
    for (int run = 0; run < r->n_runs; run++)
        for (size_t i = 0; r->runs[run].n_layers > 0 && i < sizeof wanted / sizeof wanted[0]; i++)
            if (add_source(r, run, wanted[i].verb, wanted[i].table, err) != 0)
                return -1;
    return 0;
}

enum { MOST_ARGUMENTS = REPORT_RUNS + 16 };

/* The reference first; returns how many arguments there are now. */
static int add_compared(const struct report *r, const char *table, const char *argv[MOST_ARGUMENTS], int n)
{
    size_t w = 0;
    while (strcmp(wanted_of_compare[w].table, table) != 0)
        w++;
    argv[n++] = r->runs[r->reference].name;
    for (int i = 0; i < (wanted_of_compare[w].logged ? r->n_trained : r->n_runs); i++)
        if (i != r->reference)
            argv[n++] = r->runs[i].name;
    for (const char *const *o = wanted_of_compare[w].options; *o; o++)
        argv[n++] = *o;
    return n;
}

static int add_job(struct report *r, struct job_list *jobs, int source, struct error *err)
{
    const struct report_source *s = &r->sources[source];
    const char *argv[MOST_ARGUMENTS];
    char name[64];
    int n = 0;
    snprintf(name, sizeof name, "moescope-%s", s->verb);
    char *program = sibling_program(name);
    if (!program)
        return error_no_memory(err, "programs to run");
    argv[n++] = program;
    argv[n++] = r->db;
    if (s->run >= 0) {
        argv[n++] = "--run";
        argv[n++] = r->runs[s->run].name;
    } else
        n = add_compared(r, s->table, argv, n);
    const char *const rest[] = {"--table", s->table, "--format", "csv", "-o", s->path, NULL};
    memcpy(argv + n, rest, sizeof rest);
    int result = job_add(jobs, NULL, &r->sources[source], argv, err);
    free(program);
    return result;
}

/* An analysis that the logbook has nothing for leaves a gap in the page; anything else is a failure. */
static int take_answer(struct report_source *s, const struct job *job, struct error *err)
{
    if (job->status == STATUS_OK)
        return csv_read(&s->csv, s->path, err);
    unlink(s->path); /* of an earlier report: not what this one would say */
    if (job->status == STATUS_INPUT || job->status == STATUS_USAGE) {
        s->problem = strdup(*job->complaint ? job->complaint : "no reason was given");
        return s->problem ? 0 : error_no_memory(err, "the tables");
    }
    if (job->status == JOB_NOT_FOUND)
        return error_set(err, STATUS_MACHINE,
                         "moescope-%s is not installed beside moescope-report nor in PATH", s->verb);
    if (job->status > 128)
        return error_set(err, STATUS_MACHINE, "moescope-%s --table %s was ended by signal %d", s->verb,
                         s->table, job->status - 128);
    return error_set(err, STATUS_MACHINE, "moescope-%s --table %s failed with status %d: %s", s->verb,
                     s->table, job->status, job->complaint);
}

static void show_progress(void *progress, int n_done)
{
    progress_update(progress, n_done, "tables");
}

int report_collect(struct report *r, struct error *err)
{
    struct job_list jobs = {0};
    struct progress progress;
    struct text folder;
    text_init(&folder);
    text_printf(&folder, "%s/tables", r->folder);
    int result = folder.failed ? error_no_memory(err, "the tables") : file_make_folder(folder.data, err);
    text_release(&folder);
    if (result == 0)
        result = list_sources(r, err);
    for (int i = 0; result == 0 && i < r->n_sources; i++)
        result = add_job(r, &jobs, i, err);
    if (result == 0) {
        progress_start(&progress, "analyses", jobs.n, 0, r->quiet);
        result = job_list_run(&jobs, show_progress, &progress, err);
        progress_finish(&progress, "tables");
    }
    for (int i = 0; result == 0 && i < jobs.n; i++)
        result = take_answer(jobs.jobs[i].of, &jobs.jobs[i], err);
    job_list_release(&jobs);
    return result;
}

static struct estimate final_estimate(const struct report *r, int run, const char *value, const char *low,
                                      const char *high)
{
    struct estimate e = {NAN, NAN, NAN};
    const struct csv *losses = report_table(r, -1, "compare", "losses");
    for (int i = 0; losses && i < losses->n_rows; i++) {
        const char *name = csv_text(losses, i, "run");
        if (name && strcmp(name, r->runs[run].name) == 0) /* the last row is the last step */
            e = (struct estimate){csv_real(losses, i, value), csv_real(losses, i, low),
                                  csv_real(losses, i, high)};
    }
    return e;
}

struct estimate report_final_loss(const struct report *r, int run)
{
    return final_estimate(r, run, "loss", "low", "high");
}

struct estimate report_final_bits(const struct report *r, int run)
{
    return final_estimate(r, run, "bits_per_byte", "bits_low", "bits_high");
}

bool report_has_bits(const struct report *r)
{
    for (int i = 0; i < r->n_runs; i++)
        if (isfinite(report_final_bits(r, i).value))
            return true;
    return false;
}

struct estimate report_final(const struct report *r, int run)
{
    return r->in_bits ? report_final_bits(r, run) : report_final_loss(r, run);
}
