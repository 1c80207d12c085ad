/* A clean copy of a logbook, also of one that a run is writing. */
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "sql/care.h"
#include "sql/db.h"

enum { INSTRUCTIONS_BETWEEN_LOOKS = 10000 };

int logbook_bytes(struct logbook *lb, int64_t *bytes, struct error *err)
{
    return db_scalar(lb, "store/bytes", bytes, err);
}

/* ---- may it be written? ---- */

/* SQLite would take what stands in such a file for a part of the new one. */
static int refuse_remains(const char *path, struct error *err)
{
    static const char *const suffixes[] = {"-wal", "-journal"};
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        struct text name;
        text_init(&name);
        text_printf(&name, "%s%s", path, suffixes[i]);
        bool remains = !name.failed && file_exists(name.data);
        text_release(&name);
        if (remains) {
            return error_set(err, STATUS_USAGE,
                             "cannot write '%s': there is '%s%s', so a program has that file open, or was "
                             "killed; choose another name",
                             path, path, suffixes[i]);
        }
    }
    return 0;
}

static int refuse_target(struct logbook *lb, const char *path, bool replace, struct error *err)
{
    struct stat source, target;
    bool exists = stat(path, &target) == 0;
    if (exists && stat(lb->path, &source) == 0 && source.st_dev == target.st_dev &&
        source.st_ino == target.st_ino) {
        return error_set(err, STATUS_USAGE, "'%s' is the logbook itself; choose another name for its copy",
                         path);
    }
    if (exists && !S_ISREG(target.st_mode)) {
        return error_set(err, STATUS_USAGE, "cannot write '%s': it is not a file; choose another name", path);
    }
    if (exists && !replace) {
        return error_set(err, STATUS_USAGE, "'%s' is there already; choose another name, or --force", path);
    }
    return refuse_remains(path, err);
}

/* A full disk would stop a run that writes there as well, so it is not tried. */
static int refuse_full_disk(const char *temporary, const char *path, int64_t needed, struct error *err)
{
    struct statvfs fs;
    char need[32], have[32];
    if (statvfs(temporary, &fs) != 0) {
        return 0; /* then the copy itself will tell */
    }
    double room = (double)fs.f_bavail * (double)fs.f_frsize;
    if (room >= (double)needed) {
        return 0;
    }
    return error_set(err, STATUS_MACHINE, "cannot write '%s': it takes %s, and %s are free there; make room",
                     path, text_bytes(need, (double)needed), text_bytes(have, room));
}

/* ---- the copy ---- */

struct copy {
    const char *file; /* that is growing */
    struct progress *progress;
};

static int look(void *context)
{
    struct copy *c = context;
    struct stat info;
    if (c->progress != NULL && stat(c->file, &info) == 0) {
        progress_update(c->progress, (int64_t)info.st_size, NULL);
    }
    return logbook_stopped();
}

static int copy_failed(struct logbook *lb, const char *path, struct error *err)
{
    int code = sqlite3_errcode(lb->db) & 0xff;
    if (code == SQLITE_FULL || code == SQLITE_IOERR) {
        return error_set(err, STATUS_MACHINE, "cannot write '%s': %s; make room, nothing was left behind",
                         path, sqlite3_errmsg(lb->db));
    }
    return db_error(lb, "copy", err);
}

static int copy_pages(struct logbook *lb, const struct output *o, struct progress *progress, const char *path,
                      struct error *err)
{
    struct statement s;
    struct copy c = {o->temporary, progress};
    int result = statement_open(&s, lb, "store/snapshot", err);
    if (result == 0) {
        statement_text(&s, ":path", o->temporary);
        sqlite3_progress_handler(lb->db, INSTRUCTIONS_BETWEEN_LOOKS, look, &c);
        result = statement_run(&s, NULL) == 0 ? 0 : copy_failed(lb, path, err);
        sqlite3_progress_handler(lb->db, 0, NULL, NULL);
    }
    statement_close(&s);
    return result;
}

/* No one may read the copy who may not read the logbook. */
static void restrict_rights(struct logbook *lb, const struct output *o)
{
    struct stat source, copy;
    int fd = fileno(o->stream);
    if (stat(lb->path, &source) == 0 && fstat(fd, &copy) == 0) {
        fchmod(fd, copy.st_mode & source.st_mode & 0777);
    }
}

static int copy_into(struct logbook *lb, const struct output *o, const char *path, struct progress *progress,
                     struct error *err)
{
    int64_t bytes;
    if (logbook_bytes(lb, &bytes, err) != 0 || refuse_full_disk(o->temporary, path, bytes, err) != 0) {
        return -1;
    }
    if (!lb->writable && db_run(lb, "store/query_only_off", err) != 0) {
        return -1;
    }
    int result = db_run(lb, "store/vacuum_cache", err);
    if (result == 0) {
        result = copy_pages(lb, o, progress, path, err);
        db_run(lb, "store/usual_cache", NULL);
    }
    if (!lb->writable && db_run(lb, "store/query_only_on", result == 0 ? err : NULL) != 0) {
        result = -1;
    }
    restrict_rights(lb, o);
    return result;
}

int logbook_snapshot(struct logbook *lb, const char *path, bool replace, struct progress *progress,
                     struct error *err)
{
    struct output o;
    if (refuse_target(lb, path, replace, err) != 0 || output_open(&o, path, err) != 0) {
        return -1;
    }
    if (copy_into(lb, &o, path, progress, err) != 0) {
        output_discard(&o);
        return -1;
    }
    return output_commit(&o, err);
}
