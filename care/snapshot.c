/* moescope snapshot: a copy of a logbook that can be passed on, taken while a run may be writing. */
#include <stdio.h>

#include "base/options.h"
#include "base/text.h"
#include "sql/care.h"

struct choices {
    bool force, quiet;
};

static int snapshot(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    const struct choices *c = context;
    struct logbook *lb = NULL;
    struct progress progress;
    int64_t bytes = 0;
    char buffer[32];
    (void)n_operands, (void)out;
    int result = logbook_open(&lb, operands[0], err);
    if (result == 0) {
        logbook_stop_on_signals(lb);
        result = logbook_bytes(lb, &bytes, err);
    }
    if (result == 0) {
        progress_start(&progress, "snapshot", bytes, 0, c->quiet);
        result = logbook_snapshot(lb, operands[1], c->force, &progress, err);
    }
    logbook_stop_on_signals(NULL);
    moescope_close(lb);
    if (result == 0) {
        progress.done = bytes;
        progress_finish(&progress, text_bytes(buffer, (double)bytes));
    }
    return result;
}

int main(int argc, char **argv)
{
    struct choices c = {0};
    const struct option_spec options[] = {
        {"force", 0, OPTION_FLAG, &c.force, NULL, "replace OUT where it is there already"},
        {"quiet", 'q', OPTION_FLAG, &c.quiet, NULL, "no progress"},
        {0}};
    const struct program program = {
        .verb = "snapshot",
        .operands = "DB OUT",
        .purpose = "copy a logbook into one clean file, also while a run is writing",
        .details =
            "OUT holds what is committed, a whole number of training steps. It is compact, stands alone "
            "(no\n-wal or -shm beside it), can be read from a folder that is not writable, and appears "
            "whole or not\nat all. Never copy a logbook with cp while a run is writing: half of it may be "
            "in the -wal file.\n",
        .examples = "moescope snapshot log.db today.db\n"
                    "moescope snapshot log.db latest.db --force\n",
        .options = options,
        .min_operands = 2,
        .max_operands = 2};
    return logbook_status(program_main(&program, argc, argv, NULL, snapshot, &c));
}
