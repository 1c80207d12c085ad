/* moescope merge: many logbooks into one. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/options.h"
#include "base/progress.h"
#include "base/table.h"
#include "sql/care.h"
#include "sql/merge.h"

struct choices {
    const char *format, *output;
    bool no_rename, quiet;
};

/* What the library's calls back need. */
struct job {
    const char *input;
    FILE *out;
    enum table_format format;
    struct table *table; /* NULL until there is something to tell */
    struct progress progress;
    bool quiet, started;
};

static void begin_table(struct job *job)
{
    static const char *const columns[] = {"input", "run", "done", "status", "sequences"};
    if (job->table == NULL) {
        job->table = table_open(job->out, job->format, NULL, columns, 5);
    }
}

static void tell(void *context, const struct merge_run *run)
{
    struct job *job = context;
    begin_table(job);
    table_text(job->table, job->input);
    table_text(job->table, run->name_here);
    table_text(job->table, merge_deeds[run->deed]);
    table_text(job->table, run->status);
    table_int(job->table, run->sequences);
    if (run->note != NULL) {
        fprintf(stderr, "moescope merge: run '%s' of '%s': %s\n", run->name, job->input, run->note);
    }
}

static void advance(void *context, int64_t done, int64_t total)
{
    struct job *job = context;
    if (!job->started) {
        progress_start(&job->progress, job->input, total, 0, job->quiet);
        job->started = true;
    }
    progress_update(&job->progress, done, "sequences");
}

static int merge_input(struct job *job, struct logbook *lb, const char *path, bool refuse_taken,
                       struct error *err)
{
    const struct merge_options options = {
        .refuse_taken = refuse_taken, .tell = tell, .advance = advance, .context = job};
    job->input = path;
    job->started = false;
    int result = logbook_merge(lb, path, &options, err);
    if (job->started) {
        progress_finish(&job->progress, result == 0 ? "merged" : "failed");
    }
    return result;
}

/* Before anything is made: that all of them are there and are logbooks. */
static int try_inputs(char **paths, int n, struct error *err)
{
    for (int i = 0; i < n; i++) {
        struct logbook *lb;
        if (logbook_open(&lb, paths[i], err) != 0) {
            return -1;
        }
        moescope_close(lb);
    }
    return 0;
}

static int merge_inputs(const struct choices *c, struct job *job, char **operands, int n_operands,
                        struct error *err)
{
    struct logbook *lb;
    bool made = access(operands[0], F_OK) != 0;
    int merged = 0;
    int result = moescope_open(&lb, operands[0], err);
    logbook_stop_on_signals(lb);
    for (; result == 0 && merged < n_operands - 1; merged += result == 0) {
        result = merge_input(job, lb, operands[merged + 1], c->no_rename, err);
    }
    logbook_stop_on_signals(NULL);
    moescope_close(lb);
    if (result != 0 && made && merged == 0) {
        unlink(operands[0]);
    }
    return result;
}

static int merge(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    const struct choices *c = context;
    struct job job = {.out = out, .quiet = c->quiet};
    if (table_format_parse(c->format, &job.format, err) != 0 ||
        try_inputs(operands + 1, n_operands - 1, err) != 0) {
        return -1;
    }
    int result = merge_inputs(c, &job, operands, n_operands, err);
    if (result == 0) {
        begin_table(&job);
    }
    if (job.table == NULL) {
        return result == 0 ? error_no_memory(err, "a table") : result;
    }
    return table_close(job.table, result == 0 ? err : NULL) != 0 ? -1 : result;
}

int main(int argc, char **argv)
{
    struct choices c = {.format = "table"};
    const struct option_spec options[] = {
        {"no-rename", 0, OPTION_FLAG, &c.no_rename, NULL,
         "a run whose name another run has in OUT is an error (default: it gets the name with -2 behind it)"},
        {"quiet", 'q', OPTION_FLAG, &c.quiet, NULL, "no progress"},
        {"format", 'f', OPTION_STRING, &c.format, "FORMAT", "table, csv or json (default table)"},
        {"output", 'o', OPTION_STRING, &c.output, "FILE",
         "write what was done to FILE, whole or not at all (default: stdout)"},
        {0}};
    const struct program program = {
        .verb = "merge",
        .operands = "OUT IN...",
        .purpose = "bring the runs of many logbooks together in one",
        .details =
            "OUT is made where there is none. Runs are the same when their uuids are, corpora, documents and "
            "samples\nwhen their hashes are; ids are given anew. Each input is merged whole or not at all; "
            "merging it again\nchanges nothing. What is done with a run:\n"
            "  added      it is new here\n"
            "  unchanged  all of it is here\n"
            "  renewed    it has grown since it was merged: what was here is replaced\n"
            "  summed     it is another log of a run that is here, as the ranks of a data-parallel run write "
            "them: loads\n             and loss sums add up, sequences are united; of metrics that differ, "
            "mean "
            "losses become the\n             mean weighted by tokens, others stay as they are. The run's "
            "event "
            "'merged' names them\n"
            "  kept       what is here holds more than what is there, and stays\n"
            "\n"
            "OUT must not be written by a running training: it would have to wait for the whole merge.\n"
            "An input that a run still writes into is taken as it is at one moment, up to its last whole "
            "step. "
            "A log that\nhas been summed cannot be taken out again: when it has grown, merge the original "
            "logbooks into a new file.\nCopied is what is there; `moescope check OUT` tells whether it is "
            "sound.\n",
        .examples = "moescope merge all.db first.db second.db\n"
                    "moescope merge run.db rank-*.db && moescope check run.db\n",
        .options = options,
        .min_operands = 2,
        .max_operands = -1};
    return logbook_status(program_main(&program, argc, argv, &c.output, merge, &c));
}
