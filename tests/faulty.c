#include "tests/faulty.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* ---- what fails ---- */

static struct {
    atomic_long counted, fail_at;
    atomic_bool stays, failed, full;
} writes;

void faulty_writes(enum faulty_write how, long n, bool stays)
{
    writes.counted = 0;
    writes.failed = false;
    writes.stays = stays;
    writes.full = how == FAULTY_FULL;
    writes.fail_at = n;
}

long faulty_writes_counted(void)
{
    return writes.counted;
}

bool faulty_failed(void)
{
    return writes.failed;
}

/* SQLITE_OK, or what the call must fail with. */
static int write_result(int broken)
{
    long number = ++writes.counted, at = writes.fail_at;
    if (at == 0 || number < at || (number > at && !writes.stays)) {
        return SQLITE_OK;
    }
    writes.failed = true;
    return writes.full ? SQLITE_FULL : broken;
}

/* ---- files ---- */

struct file {
    sqlite3_file base;
    sqlite3_file *real;
};

static sqlite3_file *real_of(sqlite3_file *f)
{
    return ((struct file *)(void *)f)->real;
}

static int file_close(sqlite3_file *f)
{
    return real_of(f)->pMethods->xClose(real_of(f));
}

static int file_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
    return real_of(f)->pMethods->xRead(real_of(f), to, n, at);
}

static int file_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
    int result = write_result(SQLITE_IOERR_WRITE);
    return result != SQLITE_OK ? result : real_of(f)->pMethods->xWrite(real_of(f), from, n, at);
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    int result = write_result(SQLITE_IOERR_TRUNCATE);
    return result != SQLITE_OK ? result : real_of(f)->pMethods->xTruncate(real_of(f), size);
}

/* Otherwise nothing is flushed: no test pulls a plug, and sweeps are ten times as fast. */
static int file_sync(sqlite3_file *f, int flags)
{
    (void)f, (void)flags;
    return write_result(SQLITE_IOERR_FSYNC);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return real_of(f)->pMethods->xFileSize(real_of(f), size);
}

static int file_lock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int file_unlock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int file_reserved(sqlite3_file *f, int *held)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), held);
}

static int file_control(sqlite3_file *f, int operation, void *argument)
{
    return real_of(f)->pMethods->xFileControl(real_of(f), operation, argument);
}

static int file_sector(sqlite3_file *f)
{
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int file_traits(sqlite3_file *f)
{
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int file_map(sqlite3_file *f, int page, int size, int extend, void volatile **to)
{
    return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, to);
}

static int file_shared_lock(sqlite3_file *f, int first, int n, int flags)
{
    return real_of(f)->pMethods->xShmLock(real_of(f), first, n, flags);
}

static void file_barrier(sqlite3_file *f)
{
    real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int file_unmap(sqlite3_file *f, int remove)
{
    return real_of(f)->pMethods->xShmUnmap(real_of(f), remove);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, /* with shared memory, without mapped files */
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_traits,
    .xShmMap = file_map,
    .xShmLock = file_shared_lock,
    .xShmBarrier = file_barrier,
    .xShmUnmap = file_unmap,
};

/* ---- the system ---- */

static sqlite3_vfs *real_vfs, vfs;
static _Atomic(sqlite3_int64) clock_offset; /* milliseconds */

static int vfs_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out_flags)
{
    struct file *file = (struct file *)(void *)f;
    (void)v;
    file->real = (sqlite3_file *)(void *)(file + 1);
    file->base.pMethods = NULL;
    int result = real_vfs->xOpen(real_vfs, name, file->real, flags, out_flags);
    if (file->real->pMethods != NULL) { /* open as far as must be closed */
        file->base.pMethods = &methods;
    }
    return result;
}

static int vfs_time(sqlite3_vfs *v, sqlite3_int64 *now)
{
    (void)v;
    int result = real_vfs->xCurrentTimeInt64(real_vfs, now);
    *now += clock_offset;
    return result;
}

void faulty_clock(double seconds)
{
    clock_offset = (sqlite3_int64)(seconds * 1000);
}

/* ---- memory ---- */

static sqlite3_mem_methods real_memory;
static bool (*memory_is_short)(void);

void faulty_memory(bool (*is_short)(void))
{
    memory_is_short = is_short;
}

static void *memory_new(int n)
{
    return memory_is_short != NULL && memory_is_short() ? NULL : real_memory.xMalloc(n);
}

static void *memory_resize(void *p, int n)
{
    return memory_is_short != NULL && memory_is_short() ? NULL : real_memory.xRealloc(p, n);
}

void faulty_start(void)
{
    sqlite3_mem_methods memory;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory), SQLITE_OK);
    memory = real_memory;
    memory.xMalloc = memory_new;
    memory.xRealloc = memory_resize;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &memory), SQLITE_OK);
    real_vfs = sqlite3_vfs_find(NULL);
    assert_non_null(real_vfs);
    vfs = *real_vfs; /* what is not ours goes to the same functions; they look at nothing of it */
    vfs.pNext = NULL;
    vfs.zName = "faulty";
    vfs.szOsFile += (int)sizeof(struct file);
    vfs.xOpen = vfs_open;
    vfs.xCurrentTimeInt64 = vfs_time;
    assert_int_equal(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
}
