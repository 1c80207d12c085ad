/* Runs of several files as one logbook, for whoever compares them: everything that tells runs, documents and
 * samples apart goes by hashes in a merge, and by ids afterwards, as in any logbook. */
#include <stdio.h>

#include "sql/db.h"
#include "sql/merge.h"
#include "sql/read.h"

static int find_there(const struct gathered_run *run, struct error *err)
{
    struct logbook *lb;
    int64_t id;
    if (logbook_open(&lb, run->path, err) != 0) {
        return -1;
    }
    int result = logbook_find_run(lb, run->name, &id, err);
    moescope_close(lb);
    return result;
}

struct told {
    enum merge_deed deed;
    char name_here[256];
};

static void tell(void *context, const struct merge_run *run)
{
    struct told *told = context;
    told->deed = run->deed;
    snprintf(told->name_here, sizeof told->name_here, "%s", run->name_here);
}

static int gather_run(struct logbook *lb, const struct gathered_run *run, struct error *err)
{
    struct told told = {.deed = MERGE_ADDED};
    const struct merge_options options = {
        .only = run->name, .as = run->as, .refuse_taken = true, .tell = tell, .context = &told};
    if (find_there(run, err) != 0 || logbook_merge(lb, run->path, &options, err) != 0) {
        return -1;
    }
    return told.deed == MERGE_ADDED ? 0
                                    : error_set(err, STATUS_USAGE, "run '%s' of '%s' is the same run as '%s'",
                                                run->name, run->path, told.name_here);
}

int logbook_gather(struct logbook **out, const struct gathered_run *runs, int n, struct error *err)
{
    int result = db_open_nameless(out, runs[0].path, err);
    for (int i = 0; i < n && result == 0; i++) {
        result = gather_run(*out, &runs[i], err);
    }
    if (result == 0) {
        result = db_turn_to_reading(*out, err);
    }
    if (result != 0) {
        db_abandon(out);
    }
    return result;
}
