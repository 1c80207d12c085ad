/* moescope train: trains one run and logs it. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/options.h"
#include "base/progress.h"
#include "base/table.h"
#include "base/text.h"
#include "engine/blas.h"
#include "engine/checkpoint.h"
#include "engine/config.h"
#include "engine/corpus.h"
#include "engine/evaluate.h"
#include "engine/record.h"
#include "engine/trainer.h"
#include "metrics/baseline.h"
#include "sql/read.h"

struct arguments {
    const char *log, *name, *config, *checkpoint, *format;
    struct string_list set;
    int64_t seed, alarm_stop;
    bool resume, quiet, list_keys, dry_run, profile, alarm;
};

static const int64_t no_seed = INT64_MIN; /* none was given */
static struct arguments args = {.format = "table", .seed = INT64_MIN};

static const struct option_spec options[] = {
    {"log", 'l', OPTION_STRING, &args.log, "DB", "the logbook; made when it is not there; needed"},
    {"name", 'n', OPTION_STRING, &args.name, "NAME", "the run's name, new in the logbook; needed"},
    {"config", 'c', OPTION_STRING, &args.config, "FILE.ini", "configuration; every key has a default"},
    {"set", 's', OPTION_LIST, &args.set, "SECTION.KEY=VALUE", "one key, after --config"},
    {"seed", 0, OPTION_INT, &args.seed, "N", "initial weights, order of data, noise (default 0)"},
    {"resume", 'r', OPTION_FLAG, &args.resume, NULL,
     "go on where the run of that name stopped; start it when there is none"},
    {"checkpoint", 0, OPTION_STRING, &args.checkpoint, "FILE", "default: DB.checkpoints/NAME.safetensors"},
    {"alarm", 'a', OPTION_FLAG, &args.alarm, NULL,
     "say when a layer collapses, has everything on or is balanced by doing nothing; logged as an event"},
    {"alarm-stop", 0, OPTION_INT, &args.alarm_stop, "WINDOWS",
     "--alarm, and stop with status 1 once a collapse has lasted WINDOWS hundredths of the run (default: go "
     "on)"},
    {"dry-run", 0, OPTION_FLAG, &args.dry_run, NULL, "say what the run would cost and stop"},
    {"profile", 0, OPTION_FLAG, &args.profile, NULL, "at the end, print where a step's time went"},
    {"list-keys", 0, OPTION_FLAG, &args.list_keys, NULL,
     "print every configuration key, its default and meaning"},
    {"format", 0, OPTION_STRING, &args.format, "FORMAT", "of --list-keys and --profile: table, csv, json"},
    {"quiet", 'q', OPTION_FLAG, &args.quiet, NULL, "no progress, only errors"},
    {0},
};

static const struct program program = {
    .verb = "train",
    .operands = "",
    .purpose = "train one run and log every routing decision",
    .details = "Interrupted (Ctrl-C), it finishes the step, saves a checkpoint and marks the run; --resume "
               "goes on,\n"
               "bit for bit; so too when --alarm-stop ends it. Balanced runs may dip early and recover: the "
               "alarm says so when\n"
               "they have. A loss that is not finite ends the run as "
               "failed and keeps the last checkpoint.",
    .examples = "moescope train --log log.db --name top2 --config demo.ini\n"
                "moescope train --log log.db --name top1 --config demo.ini --set router.k=1 --set "
                "loss.balance=0 --seed 3\n"
                "moescope train --log log.db --name top2 --resume\n"
                "moescope train --log log.db --name top1 --config demo.ini --alarm-stop 20\n"
                "moescope train --list-keys --format csv",
    .options = options,
    .min_operands = 0,
    .max_operands = 0,
};

static volatile sig_atomic_t interrupted; /* the signal's number */
static volatile sig_atomic_t stop;        /* asked for by a signal or by the alarm */

/* The first signal asks for an orderly stop, a later one kills. Those that come together are one: to a whole
 * group of processes goes a signal of its own and what its leader sends on. */
static void on_signal(int number)
{
    enum { TOGETHER_SECONDS = 2 };
    static struct timespec first;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!interrupted) {
        first = now;
        interrupted = number;
        stop = 1;
    } else if (now.tv_sec - first.tv_sec >= TOGETHER_SECONDS) {
        signal(number, SIG_DFL);
        raise(number); /* once the handler has returned */
    }
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void say(const char *text)
{
    if (!args.quiet)
        fprintf(stderr, "%s\n", text);
}

/* ---- what to run ---- */

static int list_keys(FILE *out, struct error *err)
{
    static const char *const columns[] = {"key", "default", "meaning"};
    enum table_format format;
    struct table *t;

    if (table_format_parse(args.format, &format, err))
        return -1;
    t = table_open(out, format, NULL, columns, 3);
    for (int i = 0; i < config_n_keys && t; i++) {
        table_text(t, config_keys[i].name);
        table_text(t, config_keys[i].initial);
        table_text(t, config_keys[i].help);
    }
    return t ? table_close(t, err) : error_no_memory(err, "a table");
}

/* Where a run's checkpoint is unless somebody says otherwise. A copy: the caller frees. */
static char *checkpoint_of(const char *log)
{
    struct text t;

    text_init(&t);
    text_printf(&t, "%s.checkpoints/%s.safetensors", log, args.name);
    return text_detach(&t);
}

static int make_parent(const char *path, struct error *err)
{
    char *folder = strdup(path), *slash = folder ? strrchr(folder, '/') : NULL;
    int result = 0;

    if (slash && slash != folder) {
        *slash = '\0';
        result = file_make_folder(folder, err);
    }
    free(folder);
    return result;
}

static int read_config(struct config *config, struct error *err)
{
    return config_init(config, err) || (args.config && config_read(config, args.config, err)) ||
                   config_set_all(config, args.set.items, args.set.n, err) || config_settle(config, err)
               ? -1
               : 0;
}

/* ---- the parts of a job ---- */

/* One trainer a run, by whatever path it names the logbook; one run a checkpoint. */
enum { RUN_LOCK, CHECKPOINT_LOCK, N_LOCKS };
struct lock {
    char *path;
    int descriptor;
};

struct job {
    struct config config;
    struct corpus corpus;
    struct checkpoint checkpoint;
    struct logbook *logbook;
    struct recorder recorder;
    struct pool *pool;
    struct trainer trainer;
    struct alarm alarm;
    char *checkpoint_path;
    bool has_checkpoint, resuming;
    int64_t run_id; /* of the run to go on with */
    struct lock locks[N_LOCKS];
    FILE *out;
    struct progress progress;
};

static void job_release(struct job *s)
{
    trainer_release(&s->trainer);
    alarm_close(&s->alarm);
    recorder_release(&s->recorder);
    pool_close(s->pool);
    if (!moescope_close(s->logbook) && s->recorder.run_id > 0 && !args.quiet)
        fprintf(
            stderr,
            "'%s' is open in another program, or its disk is full: the last steps are in '%s-wal' until the "
            "next run in it ends; copy it with moescope snapshot, not one file without the other\n",
            args.log, args.log);
    checkpoint_close(&s->checkpoint);
    corpus_release(&s->corpus);
    config_release(&s->config);
    for (int i = 0; i < N_LOCKS; i++) {
        file_unlock(s->locks[i].path, s->locks[i].descriptor);
        free(s->locks[i].path);
    }
    free(s->checkpoint_path);
}

/* The run's own configuration, from the logbook; what was given must agree with it. */
static int adopt_configuration(struct job *s, struct error *err)
{
    struct config earlier;
    struct query *q = NULL;
    int found = -1;

    if (config_init(&earlier, err))
        return -1;
    if (query_open(&q, s->logbook, "train/config", err) == 0) {
        query_bind_int(q, ":run", s->run_id);
        while ((found = query_step(q, err)) > 0) {
            const char *key = query_word(q, "key"), *value = query_text(q, "value");
            if (config_find(key) >= 0 && config_assign(&earlier, key, value ? value : "", err)) {
                found = error_prefix(err, "the configuration of run '%s'", args.name);
                break;
            }
        }
    }
    query_close(q);
    if (found == 0)
        found = config_adopt(&s->config, &earlier, err);
    config_release(&earlier);
    return found;
}

static int adopt_seed(int64_t seed, struct error *err)
{
    if (args.seed != no_seed && args.seed != seed)
        return error_set(err, STATUS_USAGE, "run '%s' has seed %lld; it cannot go on with %lld", args.name,
                         (long long)seed, (long long)args.seed);
    args.seed = seed;
    return 0;
}

/* Where the run's checkpoint is: as told, or where the logbook says, or the usual place. A run that had one
 * does not begin anew because it cannot be found. */
static int find_checkpoint(struct job *s, const char *recorded, struct error *err)
{
    if (!args.checkpoint && recorded && !file_exists(s->checkpoint_path) && file_exists(recorded)) {
        free(s->checkpoint_path);
        s->checkpoint_path = strdup(recorded);
        if (!s->checkpoint_path)
            return error_no_memory(err, "the checkpoint's path");
    }
    s->has_checkpoint = file_exists(s->checkpoint_path);
    if (recorded && !s->has_checkpoint)
        return error_set(
            err, STATUS_INPUT,
            "cannot go on with '%s': its checkpoint is neither '%s' nor '%s'; pass --checkpoint FILE",
            args.name, s->checkpoint_path, recorded);
    return 0;
}

/* ---- locks ---- */

static int take_lock(struct lock *lock, char *path, struct error *err)
{
    lock->path = path;
    if (!path)
        return error_no_memory(err, "a lock");
    if (make_parent(path, err))
        return -1;
    if (file_lock(path, &lock->descriptor, err))
        return error_prefix(err, "run '%s' is being trained", args.name);
    return 0;
}

/* A copy of the path with ".lock" behind it; caller frees. */
static char *lock_of(const char *path)
{
    struct text t;

    text_init(&t);
    text_printf(&t, "%s.lock", path);
    return text_detach(&t);
}

/* The run's lock lies where its checkpoint usually does, beside the logbook itself and not beside a link to
 * it. */
static int lock_run(struct job *s, struct error *err)
{
    char *log = realpath(args.log, NULL), *usual = checkpoint_of(log ? log : args.log);
    int result = 0;

    if (s->locks[RUN_LOCK].descriptor < 0)
        result = take_lock(&s->locks[RUN_LOCK], usual ? lock_of(usual) : NULL, err);
    free(usual);
    free(log);
    return result;
}

static bool is_open(const char *path, int descriptor)
{
    struct stat named, open;

    return stat(path, &named) == 0 && fstat(descriptor, &open) == 0 && named.st_dev == open.st_dev &&
           named.st_ino == open.st_ino;
}

/* Where the checkpoint lies elsewhere it has a lock of its own. What earlier trainers left of it when they
 * were killed goes. */
static int lock_checkpoint(struct job *s, struct error *err)
{
    char *path = lock_of(s->checkpoint_path);

    if (path && is_open(path, s->locks[RUN_LOCK].descriptor))
        free(path);
    else if (take_lock(&s->locks[CHECKPOINT_LOCK], path, err))
        return -1;
    output_sweep(s->checkpoint_path);
    return 0;
}

/* What a trainer that was killed with its last breath left: the run is whole. */
static void release_finished(struct job *s)
{
    struct error busy;

    if (file_exists(s->checkpoint_path) && lock_run(s, &busy) == 0)
        (void)lock_checkpoint(s, &busy);
}

/* ---- an earlier run ---- */

/* Looks the name up, and takes over what the run began with. *finished: nothing is left to do. */
static int find_earlier(struct job *s, bool *finished, struct error *err)
{
    struct query *q = NULL;
    int result = -1, found;

    if (query_open(&q, s->logbook, "train/run", err))
        return -1;
    query_bind_text(q, ":name", args.name);
    found = query_step(q, err);
    if (found > 0 && !args.resume) {
        error_set(err, STATUS_USAGE,
                  "the logbook has a run '%s' already; choose another --name, or go on with --resume",
                  args.name);
    } else if (found > 0) {
        s->resuming = true;
        s->run_id = query_int(q, "run_id");
        *finished = strcmp(query_word(q, "status"), "finished") == 0;
        result =
            adopt_configuration(s, err) || adopt_seed(query_int(q, "seed"), err) ||
                    (!*finished && (lock_run(s, err) || find_checkpoint(s, query_text(q, "checkpoint"), err)))
                ? -1
                : 0;
    } else {
        result = found;
    }
    query_close(q);
    return result;
}

/* A checkpoint with a bit flipped would go on as if nothing were wrong, to another end. */
static int open_checkpoint(struct job *s, struct error *err)
{
    char sha256[SHA256_HEX];
    struct query *q = NULL;
    int found;

    if (checkpoint_open(&s->checkpoint, s->checkpoint_path, err) ||
        query_open(&q, s->logbook, "train/checkpoint", err))
        return -1;
    query_bind_int(q, ":run", s->run_id);
    query_bind_int(q, ":step", s->checkpoint.state.step);
    found = query_step(q, err);
    sha256_bytes(s->checkpoint.bytes, s->checkpoint.n_bytes, sha256);
    if (found > 0 && strcmp(query_text(q, "sha256"), sha256) != 0)
        found = error_set(
            err, STATUS_INPUT,
            "cannot go on with '%s': '%s' is not as the run saved it at step %lld; is it damaged, or of "
            "another run? pass --checkpoint FILE",
            args.name, s->checkpoint_path, (long long)s->checkpoint.state.step);
    query_close(q);
    return found < 0 ? -1 : 0;
}

static int seconds_before(struct job *s, struct error *err)
{
    struct query *q = NULL;
    int found;

    if (query_open(&q, s->logbook, "train/seconds", err))
        return -1;
    query_bind_int(q, ":run", s->run_id);
    query_bind_int(q, ":step", s->trainer.step);
    found = query_step(q, err);
    if (found > 0)
        s->trainer.seconds = query_real(q, "seconds");
    query_close(q);
    if (found == 0 && s->trainer.step > 0)
        return error_set(
            err, STATUS_INPUT,
            "cannot go on with '%s': its checkpoint is of step %lld, but '%s' does not reach that far; is it "
            "an older copy?",
            args.name, (long long)s->trainer.step, args.log);
    return found < 0 ? -1 : 0;
}

static void tell_alarm(void *context, int64_t step, const char *words)
{
    struct job *s = context;
    struct text line;

    text_init(&line);
    text_printf(&line, "step %lld, %s", (long long)step, words);
    progress_say(&s->progress, line.failed ? words : line.data);
    text_release(&line);
}

/* Between the run's trainer and its recorder. */
static int open_alarm(struct job *s, const struct summary *model, struct error *err)
{
    if (alarm_open(&s->alarm, model, s->trainer.steps, &s->recorder.sink, err) ||
        (s->resuming && recorder_replay(&s->recorder, &s->alarm, err)))
        return -1;
    s->alarm.stop_windows = args.alarm_stop;
    s->alarm.tell = tell_alarm;
    s->alarm.tell_context = s;
    s->trainer.sink = &s->alarm.sink;
    return 0;
}

static void report(void *context, const struct trainer *t)
{
    struct job *s = context;
    char note[128], rate[32];
    int n = snprintf(note, sizeof note, "loss %.3f  ", t->loss);

    if (isfinite(t->valid_loss))
        n += snprintf(note + n, sizeof note - (size_t)n, "valid %.3f  ", t->valid_loss);
    snprintf(note + n, sizeof note - (size_t)n, "%s tokens/s", text_count(rate, t->tokens_per_second));
    progress_update(&s->progress, t->step + 1, note);
    if (s->alarm.stop)
        stop = 1;
}

static void announce(const struct job *s)
{
    const struct trainer *t = &s->trainer;
    char parameters[32], tokens[32], flops[32], size[32];
    struct summary m;

    if (args.quiet)
        return;
    t->task->summarise(t, &m);
    fprintf(stderr, "%s: %s parameters; %s tokens in %lld samples; ", args.name,
            text_count(parameters, m.parameters), text_count(tokens, (double)t->train.n_tokens),
            (long long)t->train.n);
    if (isfinite(m.active_parameters))
        fprintf(stderr, "%s weights and %s FLOP a token\n", text_count(flops, m.active_parameters),
                text_count(size, m.flops_per_token));
    else
        fprintf(stderr, "tokens differ in how many weights they pass\n");
    fprintf(stderr, "%s: the run will add about %s to %s\n", args.name,
            text_bytes(size, recorder_size_estimate(&s->config, &m, t->train.n_tokens, t->probe.n_tokens)),
            args.log);
    if (s->logbook && logbook_remote(s->logbook))
        fprintf(
            stderr,
            "%s: %s is on a network file system (%s): without WAL there, readers and the run wait for each "
            "other; a local disk is faster\n",
            args.name, args.log, logbook_remote(s->logbook));
    if (blas_pinned_below_machine())
        fprintf(stderr,
                "%s: OPENBLAS_CORETYPE=%s keeps BLAS from this machine's AVX-512; unset it (or try SkylakeX) "
                "for about "
                "twice the speed\n",
                args.name, blas_core_type());
}

static int print_profile(const struct job *s, struct error *err)
{
    static const char *const columns[] = {"part", "seconds", "share"};
    double seconds[N_PARTS];
    enum table_format format;
    double total = 0.0;
    struct table *t;

    if (table_format_parse(args.format, &format, err))
        return -1;
    for (int i = 0; i < N_PARTS; i++) {
        seconds[i] = s->trainer.model.seconds[i] + s->trainer.seconds_in[i];
        total += seconds[i];
    }
    t = table_open(s->out, format, "Where the time went", columns, 3);
    for (int i = 0; i < N_PARTS && t; i++) {
        if (seconds[i] == 0.0)
            continue;
        table_text(t, part_names[i]);
        table_real(t, seconds[i]);
        table_real(t, seconds[i] / total);
    }
    return t ? table_close(t, err) : error_no_memory(err, "a table");
}

/* What was committed is kept, whatever failed. */
static int how_to_go_on(struct error *err)
{
    struct error cause = *err;

    return error_set(err, cause.status, "%s; then go on with: moescope train --log %s --name %s --resume%s%s",
                     cause.text, args.log, args.name, args.checkpoint ? " --checkpoint " : "",
                     args.checkpoint ? args.checkpoint : "");
}

static int end_run(struct job *s, int result, enum train_outcome outcome, struct error *err)
{
    static const char *const status[] = {"finished", "interrupted", "failed"};
    char note[160];

    if (result)
        recorder_end(&s->recorder, "failed", NULL); /* err already says why */
    else
        result = recorder_end(&s->recorder, status[outcome], err);
    if (result)
        return err->status == STATUS_MACHINE ? how_to_go_on(err) : -1;
    if (isfinite(s->trainer.valid_loss))
        snprintf(note, sizeof note, "valid %.4f nats  %s", s->trainer.valid_loss, status[outcome]);
    else
        snprintf(note, sizeof note, "%s", status[outcome]);
    progress_finish(&s->progress, note);
    if (outcome == TRAIN_INTERRUPTED) {
        if (!args.quiet)
            fprintf(
                stderr, "%s after step %lld; go on with: moescope train --log %s --name %s --resume%s%s\n",
                interrupted ? "interrupted" : "stopped by the alarm", (long long)s->trainer.step, args.log,
                args.name, args.checkpoint ? " --checkpoint " : "", args.checkpoint ? args.checkpoint : "");
        /* The signal as a shell would say it, so that a script stops too. */
        return interrupted ? 128 + interrupted : STATUS_FINDING;
    }
    if (outcome == TRAIN_DIVERGED)
        return error_set(
            err, STATUS_INPUT,
            "the loss of '%s' is not finite at step %lld; the run is marked failed, its last checkpoint is "
            "kept; try a lower train.learning_rate",
            args.name, (long long)s->trainer.step);
    return 0;
}

static int run_trainer(struct job *s, struct error *err)
{
    struct trainer *t = &s->trainer;
    enum train_outcome outcome = TRAIN_FINISHED;
    int result;

    if (pool_open(&s->pool, (int)config_int(&s->config, "train.threads"), err) ||
        trainer_init(t, &s->config, &s->corpus, args.seed, s->pool, err))
        return -1;
    if (s->has_checkpoint && trainer_restore(t, &s->checkpoint, err))
        return -1;
    announce(s);
    if (args.dry_run)
        return 0;
    if (s->resuming && seconds_before(s, err))
        return -1;
    struct summary model;
    t->task->summarise(t, &model);
    if (s->resuming ? recorder_resume(&s->recorder, args.name, t->step, err)
                    : recorder_begin(&s->recorder, args.name, args.seed, &model, pool_threads(s->pool), err))
        return -1;
    t->sink = &s->recorder.sink;
    if ((args.alarm || args.alarm_stop > 0) && open_alarm(s, &model, err))
        return end_run(s, -1, outcome, err);
    t->checkpoint_path = s->checkpoint_path;
    t->stop = &stop;
    t->report = report;
    t->report_context = s;
    progress_start(&s->progress, args.name, t->steps, t->step, args.quiet);
    result = trainer_run(t, &outcome, err);
    if (result == 0 && args.profile)
        result = print_profile(s, err);
    return end_run(s, result, outcome, err);
}

/* ---- baselines that count ---- */

static int learn_counts(struct baseline *b, const struct corpus *c, struct error *err)
{
    for (int d = 0; d < c->n_documents; d++) {
        const struct document *document = &c->documents[d];
        if (document->split == SPLIT_TRAIN && baseline_add(b, c->ids + document->first, document->n_ids, err))
            return -1;
    }
    baseline_finish(b);
    return 0;
}

/* The same predictions as the models' validation: the start of each held-out document. */
static int score_counts(const struct job *s, const struct baseline *b, enum baseline_order order,
                        const struct samples *valid, struct error *err)
{
    const struct corpus *c = &s->corpus;
    const struct sink *sink = &s->recorder.sink;
    struct tally tally;
    int result = -1;

    if (tally_init(&tally, NULL, 0, c->n_domains, c->n_documents, err))
        return -1;
    tally_clear(&tally, false, false);
    for (int i = 0; i < valid->n; i++) {
        const struct sample *sample = &valid->items[i];
        const int32_t *ids = c->ids + c->documents[sample->document].first + sample->offset;
        tally_add_document(&tally, sample->document, sample->n_tokens,
                           corpus_bytes(c->vocabulary, ids + 1, sample->n_tokens),
                           baseline_loss_sum(b, order, ids, sample->n_tokens + 1));
    }
    if (sink->summary(sink->context, 0, SPLIT_VALID, &tally, err) == 0 &&
        sink->metric(sink->context, 0, SPLIT_VALID, "loss", tally_mean_loss(&tally), err) == 0 &&
        sink->metric(sink->context, 0, SPLIT_VALID, "bits_per_byte", tally_bits_per_byte(&tally), err) == 0)
        result = sink->commit(sink->context, err);
    tally_release(&tally);
    return result;
}

static int run_counts(struct job *s, struct error *err)
{
    if (s->corpus.images.n > 0)
        return error_set(err, STATUS_USAGE, "corpus '%s' is images; there are no words to count",
                         s->corpus.name);
    enum baseline_order order = strcmp(config_text(&s->config, "model.kind"), "unigram") == 0
                                    ? BASELINE_UNIGRAM
                                    : BASELINE_KNESER_NEY;
    struct summary model = {.task = task_language.name,
                            .router = config_text(&s->config, "model.kind"),
                            .active_parameters = NAN,
                            .flops_per_token = NAN};
    struct baseline b = {0};
    struct samples valid = {0};
    int result = -1;

    if (samples_init(&valid, &s->corpus, SPLIT_VALID, (int)config_int(&s->config, "model.context"),
                     config_int(&s->config, "valid.tokens_per_document"), err) ||
        baseline_init(&b, s->corpus.n_vocabulary, err) || learn_counts(&b, &s->corpus, err))
        goto done;
    model.parameters = (double)(order == BASELINE_UNIGRAM ? s->corpus.n_vocabulary : b.n_pairs);
    if (s->resuming ? recorder_resume(&s->recorder, args.name, 0, err)
                    : recorder_begin(&s->recorder, args.name, args.seed, &model, 1, err))
        goto done;
    result = score_counts(s, &b, order, &valid, err);
    if (recorder_end(&s->recorder, result ? "failed" : "finished", result ? NULL : err))
        result = -1;
done:
    baseline_release(&b);
    samples_release(&valid);
    return result;
}

/* ---- main ---- */

/* A logbook that is there is asked for the run first: it may hold the configuration. One that is not there is
 * made only when all else is in order. */
static int prepare(struct job *s, bool *finished, struct error *err)
{
    s->checkpoint_path = args.checkpoint ? strdup(args.checkpoint) : checkpoint_of(args.log);
    if (!s->checkpoint_path)
        return error_no_memory(err, "the checkpoint's path");
    if (read_config(&s->config, err))
        return -1;
    if (args.dry_run)
        return task_corpus(&s->corpus, &s->config, err);
    if (file_exists(args.log) &&
        (moescope_open(&s->logbook, args.log, err) || find_earlier(s, finished, err)))
        return -1;
    if (*finished) {
        release_finished(s);
        return 0;
    }
    if (task_corpus(&s->corpus, &s->config, err) || lock_run(s, err) || lock_checkpoint(s, err) ||
        (s->has_checkpoint && open_checkpoint(s, err)) ||
        (!s->logbook && moescope_open(&s->logbook, args.log, err)))
        return -1;
    return recorder_open(&s->recorder, s->logbook, &s->config, &s->corpus, err);
}

static int run(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    struct job s = {.locks = {{NULL, -1}, {NULL, -1}}, .out = out};
    bool finished = false;
    int result;

    (void)context;
    (void)operands;
    (void)n_operands;
    if (args.list_keys)
        return list_keys(out, err);
    if (!args.log || !args.name)
        return error_set(err, STATUS_USAGE, "--log and --name are needed; see 'moescope train --help'");
    if (args.alarm_stop < 0)
        return error_set(err, STATUS_USAGE, "--alarm-stop needs a number of windows, not %lld",
                         (long long)args.alarm_stop);
    blas_start();
    catch_signals();
    result = prepare(&s, &finished, err);
    if (args.seed == no_seed)
        args.seed = 0;
    if (result == 0 && finished)
        say("the run is finished already; nothing to do");
    else if (result == 0)
        result = task_find(config_text(&s.config, "model.kind")) ? run_trainer(&s, err) : run_counts(&s, err);
    job_release(&s);
    return result;
}

int main(int argc, char **argv)
{
    int status = program_main(&program, argc, argv, NULL, run, NULL);

    string_list_release(&args.set);
    return status;
}
