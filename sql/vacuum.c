/* Free space given back, in place. */
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/text.h"
#include "sql/care.h"
#include "sql/db.h"
#include "sql/read.h"

enum { VACUUM_BUSY_MILLISECONDS = 2000, USUAL_BUSY_MILLISECONDS = 60000 };

/* ---- is there room? ---- */

/* Where SQLite puts its temporary files. */
static const char *temporary_folder(void)
{
    const char *folders[] = {getenv("SQLITE_TMPDIR"), getenv("TMPDIR"), "/var/tmp", "/usr/tmp", "/tmp", "."};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        struct stat info;
        if (folders[i] != NULL && stat(folders[i], &info) == 0 && S_ISDIR(info.st_mode) &&
            access(folders[i], W_OK | X_OK) == 0) {
            return folders[i];
        }
    }
    return ".";
}

static int refuse_small(struct logbook *lb, const char *path, double needed, struct error *err)
{
    struct statvfs fs;
    char need[32], have[32];
    if (statvfs(path, &fs) != 0 || (double)fs.f_bavail * (double)fs.f_frsize >= needed) {
        return 0;
    }
    return error_set(err, STATUS_MACHINE,
                     "cannot shrink '%s': it takes %s of temporary space at '%s', and %s are free there",
                     lb->path, text_bytes(need, needed), path,
                     text_bytes(have, (double)fs.f_bavail * (double)fs.f_frsize));
}

/* The content is copied to a temporary file, and the pages that it then overwrites to a journal beside the
 * logbook. */
static int refuse_full_disk(struct logbook *lb, struct error *err)
{
    const char *folder = temporary_folder();
    struct stat here, there;
    int64_t bytes;
    if (logbook_bytes(lb, &bytes, err) != 0) {
        return -1;
    }
    bool one = stat(lb->path, &here) == 0 && stat(folder, &there) == 0 && here.st_dev == there.st_dev;
    if (refuse_small(lb, lb->path, (double)bytes * (one ? 2 : 1), err) != 0) {
        return -1;
    }
    return one ? 0 : refuse_small(lb, folder, (double)bytes, err);
}

/* ---- the work ---- */

/* In WAL mode all of it would go through the WAL, which a single reader can keep from being put back. */
static int leave_wal(struct logbook *lb, struct error *err)
{
    if (db_exec(lb, sql_text("store/journal_delete"), "shrink", NULL) == 0) {
        return 0;
    }
    int code = sqlite3_errcode(lb->db) & 0xff;
    if (code != SQLITE_BUSY && code != SQLITE_LOCKED) {
        return db_error(lb, "shrink", err);
    }
    return error_set(err, STATUS_MACHINE,
                     "cannot shrink '%s': another program has it open; close that and try again", lb->path);
}

static int64_t size_of_file(struct logbook *lb)
{
    struct stat info;
    return stat(lb->path, &info) == 0 ? (int64_t)info.st_size : 0;
}

int logbook_vacuum(struct logbook *lb, int64_t *given_back, struct error *err)
{
    if (refuse_full_disk(lb, err) != 0) {
        return -1;
    }
    sqlite3_busy_timeout(lb->db, VACUUM_BUSY_MILLISECONDS);
    int result = leave_wal(lb, err);
    int64_t before = size_of_file(lb);
    if (result == 0) {
        result = db_run(lb, "store/vacuum_cache", err);
        if (result == 0) {
            result = db_exec(lb, sql_text("store/vacuum"), "shrink", err);
            db_run(lb, "store/usual_cache", NULL);
        }
    }
    sqlite3_busy_timeout(lb->db, USUAL_BUSY_MILLISECONDS);
    *given_back = before - size_of_file(lb);
    return result;
}
