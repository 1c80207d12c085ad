/* Runs renamed and deleted. */
#include "base/text.h"
#include "sql/care.h"
#include "sql/change.h"
#include "sql/read.h"

/* ---- delete ---- */

static int delete_one(struct logbook *lb, int64_t run_id, struct error *err)
{
    const struct parameter everything[] = {{":run", run_id, NULL}, {":step", INT64_MIN, NULL}};
    if (db_script(lb, "store/resume_run", everything, 2, err) != 0) {
        return -1;
    }
    return db_script(lb, "store/delete_run", everything, 1, err);
}

/* Its ablations go with it: nobody else would know what they are of. */
static int delete_run(struct logbook *lb, struct run_change *change, int64_t run_id, struct error *err)
{
    int64_t ablation;
    if (query_one_int(lb, "store/count_sequences", run_id, &change->sequences, err) != 0) {
        return -1;
    }
    do {
        if (query_one_int(lb, "store/ablation_of", run_id, &ablation, err) != 0 ||
            (ablation > 0 && delete_one(lb, ablation, err) != 0)) {
            return -1;
        }
    } while (ablation > 0);
    return delete_one(lb, run_id, err);
}

/* ---- rename ---- */

static int refuse_name(struct logbook *lb, const struct run_change *change, struct error *err)
{
    int64_t other;
    if (*change->new_name == '\0') {
        return error_set(err, STATUS_USAGE, "run '%s' needs a new name that is not empty", change->run);
    }
    if (logbook_find_run(lb, change->new_name, &other, NULL) == 0) {
        return error_set(err, STATUS_USAGE, "'%s' has a run named '%s' already; choose another name",
                         lb->path, change->new_name);
    }
    return 0;
}

static int tell_rename(struct logbook *lb, const struct run_change *change, int64_t run_id, struct error *err)
{
    struct text message;
    text_init(&message);
    text_printf(&message, "was named '%s'", change->run);
    const struct parameter event[] = {
        {":run", run_id, NULL}, {":kind", 0, "renamed"}, {":message", 0, message.data}};
    int result =
        message.failed ? error_no_memory(err, "an event") : db_script(lb, "store/add_event", event, 3, err);
    text_release(&message);
    return result;
}

static int rename_run(struct logbook *lb, const struct run_change *change, int64_t run_id, struct error *err)
{
    const struct parameter parameters[] = {{":run", run_id, NULL}, {":name", 0, change->new_name}};
    if (refuse_name(lb, change, err) != 0 || db_script(lb, "store/rename_run", parameters, 2, err) != 0) {
        return -1;
    }
    return tell_rename(lb, change, run_id, err);
}

/* ---- all of it ---- */

static int change_runs(struct logbook *lb, struct run_change *changes, int n, bool force, int64_t *freed,
                       struct error *err)
{
    int64_t before, after, run_id;
    if (change_free_bytes(lb, &before, err) != 0) {
        return -1;
    }
    for (int i = 0; i < n; i++) {
        if (change_find_run(lb, changes[i].run, force, &run_id, err) != 0 ||
            (changes[i].new_name != NULL ? rename_run(lb, &changes[i], run_id, err)
                                         : delete_run(lb, &changes[i], run_id, err)) != 0) {
            return -1;
        }
    }
    if (change_free_bytes(lb, &after, err) != 0) {
        return -1;
    }
    *freed = after > before ? after - before : 0;
    return 0;
}

int logbook_change_runs(struct logbook *lb, struct run_change *changes, int n, bool force, bool dry_run,
                        int64_t *freed, struct error *err)
{
    if (change_begin(lb, err) != 0) {
        return -1;
    }
    return change_end(lb, change_runs(lb, changes, n, force, freed, err), dry_run, err);
}
