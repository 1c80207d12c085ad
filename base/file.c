#include "base/file.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

/* ---- in ---- */

static FILE *open_to_read(const char *path, struct error *err)
{
    FILE *f = fopen(path, "rb");
    struct stat info;
    /* fopen opens a folder gladly and only reading fails; say it here. */
    if (f && fstat(fileno(f), &info) == 0 && S_ISDIR(info.st_mode)) {
        fclose(f);
        f = NULL;
        errno = EISDIR;
    }
    if (!f)
        error_errno(err, "open", path);
    return f;
}

/* Reads to the end whatever the size said to be: pipes and /proc have none. */
static int read_stream(FILE *f, const char *path, char **bytes, size_t *n, struct error *err)
{
    struct stat info;
    size_t capacity = 4096, length = 0;
    if (fstat(fileno(f), &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0)
        capacity = (size_t)info.st_size + 2; /* a NUL, and one byte free to meet the end of the file */
    char *data = malloc(capacity);
    while (data) {
        length += fread(data + length, 1, capacity - 1 - length, f);
        if (length < capacity - 1)
            break;
        char *more = capacity <= SIZE_MAX / 2 ? realloc(data, capacity * 2) : NULL;
        if (!more)
            free(data);
        data = more;
        capacity *= 2;
    }
    if (!data)
        return error_no_memory(err, path);
    if (ferror(f)) {
        free(data);
        return error_errno(err, "read", path);
    }
    data[length] = '\0';
    *bytes = data;
    *n = length;
    return 0;
}

int file_read(const char *path, char **bytes, size_t *n, struct error *err)
{
    FILE *f = open_to_read(path, err);
    if (!f)
        return -1;
    int result = read_stream(f, path, bytes, n, err);
    fclose(f);
    return result;
}

int file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

/* ---- out ---- */

/* A new file beside `path`, so that the rename stays within one file system. Not mkstemp: that makes files
 * nobody else may read, and the umask cannot be asked for without changing it. */
static int open_temporary(const char *path, char **temporary)
{
    int fd = -1;
    for (int i = 0; i < 100 && fd < 0; i++) {
        struct text name;
        text_init(&name);
        text_printf(&name, "%s.part-%ld-%d", path, (long)getpid(), i);
        *temporary = text_detach(&name);
        if (!*temporary) {
            errno = ENOMEM;
            return -1;
        }
        fd = open(*temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0)
            return fd;
        free(*temporary);
        *temporary = NULL;
        if (errno != EEXIST)
            break;
    }
    return fd;
}

static int open_beside(struct output *o, struct error *err)
{
    int fd = open_temporary(o->path, &o->temporary);
    o->stream = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (o->stream)
        return 0;
    error_output(err, "write", o->path);
    if (fd >= 0)
        close(fd);
    output_discard(o);
    return -1;
}

/* A device or a pipe (/dev/null, /dev/stdout) must be written in place: a rename would replace it. */
static int open_in_place(struct output *o, struct error *err)
{
    o->stream = fopen(o->path, "we");
    if (o->stream)
        return 0;
    error_output(err, "write", o->path);
    output_discard(o);
    return -1;
}

int output_open(struct output *o, const char *path, struct error *err)
{
    *o = (struct output){0};
    if (!path) {
        o->stream = stdout;
        return 0;
    }
    struct stat info, link;
    bool exists = stat(path, &info) == 0, regular = exists && S_ISREG(info.st_mode);
    bool linked = regular && lstat(path, &link) == 0 && S_ISLNK(link.st_mode);
    if (exists && S_ISDIR(info.st_mode))
        errno = EISDIR;
    else if (*path) /* without a name even its temporary neighbour would have one */
        /* Through a symbolic link to the file itself, so that the link stays a link. */
        o->path = linked ? realpath(path, NULL) : strdup(path);
    else
        errno = ENOENT;
    if (!o->path)
        return error_output(err, "write", path);
    return exists && !regular ? open_in_place(o, err) : open_beside(o, err);
}

/* Down to the disk: after a rename without it, a power cut can leave an empty file under the final name. */
static bool flush_to_disk(FILE *f)
{
    errno = 0;
    bool ok = fflush(f) == 0 && !ferror(f);
    if (ok && fsync(fileno(f)) != 0 && errno != EINVAL && errno != ENOTSUP && errno != EROFS)
        ok = false; /* pipes and devices have nothing to synchronise */
    if (!ok && errno == 0)
        errno = EIO; /* an earlier write failed and its reason is gone */
    return ok;
}

static int commit_stdout(struct error *err)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    if (errno == 0)
        errno = EIO;
    return error_output(err, "write", "standard output");
}

int output_commit(struct output *o, struct error *err)
{
    if (!o->stream)
        return 0;
    if (!o->path)
        return commit_stdout(err);
    bool ok = flush_to_disk(o->stream);
    int reason = errno;
    if (fclose(o->stream) != 0 && ok) {
        ok = false;
        reason = errno;
    }
    o->stream = NULL;
    if (ok && o->temporary && rename(o->temporary, o->path) != 0) {
        ok = false;
        reason = errno;
    }
    if (ok) {
        free(o->temporary);
        o->temporary = NULL;
    } else {
        errno = reason;
        error_output(err, "write", o->path);
    }
    output_discard(o);
    return ok ? 0 : -1;
}

void output_discard(struct output *o)
{
    if (o->stream && o->path)
        fclose(o->stream);
    if (o->temporary)
        unlink(o->temporary);
    free(o->temporary);
    free(o->path);
    *o = (struct output){0};
}

void output_sweep(const char *path)
{
    char *whole = realpath(path, NULL), *folder = whole ? whole : strdup(path);
    char *slash = folder ? strrchr(folder, '/') : NULL;
    const char *name = slash ? slash + 1 : folder;
    if (slash)
        *slash = '\0';
    DIR *entries = folder ? opendir(!slash ? "." : slash == folder ? "/" : folder) : NULL;
    size_t n = name ? strlen(name) : 0;
    struct dirent *entry;
    while (entries && (entry = readdir(entries))) {
        if (strncmp(entry->d_name, name, n) == 0 && strncmp(entry->d_name + n, ".part-", 6) == 0)
            unlinkat(dirfd(entries), entry->d_name, 0);
    }
    if (entries)
        closedir(entries);
    free(folder);
}

static int make_one_folder(const char *path, struct error *err)
{
    struct stat info;
    if (mkdir(path, 0777) == 0)
        return 0;
    int reason = errno;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return 0;
    errno = reason == EEXIST ? ENOTDIR : reason;
    return error_output(err, "make the folder", path);
}

int file_make_folder(const char *path, struct error *err)
{
    char *part = strdup(path);
    if (!part)
        return error_no_memory(err, "a path");
    int result = 0;
    for (char *slash = strchr(part + (*part == '/'), '/'); slash && result == 0;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        result = make_one_folder(part, err);
        *slash = '/';
    }
    if (result == 0)
        result = make_one_folder(part, err);
    free(part);
    return result;
}

/* ---- hashes ---- */

static_assert(sizeof(struct sha256_ctx) <= sizeof(struct sha256), "struct sha256 holds nettle's context");

static struct sha256_ctx *context(struct sha256 *s)
{
    return (struct sha256_ctx *)(void *)s->opaque;
}

void sha256_start(struct sha256 *s)
{
    sha256_init(context(s));
}

void sha256_add(struct sha256 *s, const void *bytes, size_t n)
{
    sha256_update(context(s), n, bytes);
}

void sha256_finish(struct sha256 *s, char hex[SHA256_HEX])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(context(s), sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[SHA256_HEX - 1] = '\0';
}

void sha256_bytes(const void *bytes, size_t n, char hex[SHA256_HEX])
{
    struct sha256 s;
    sha256_start(&s);
    sha256_add(&s, bytes, n);
    sha256_finish(&s, hex);
}

int sha256_file(const char *path, char hex[SHA256_HEX], struct error *err)
{
    FILE *f = open_to_read(path, err);
    if (!f)
        return -1;
    struct sha256 s;
    char piece[16384];
    size_t n;
    sha256_start(&s);
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        sha256_add(&s, piece, n);
    int result = ferror(f) ? error_errno(err, "read", path) : 0;
    fclose(f);
    if (result == 0)
        sha256_finish(&s, hex);
    return result;
}

/* ---- locks ---- */

/* Whether the path still names the open file: whoever held the lock may have removed it meanwhile. */
static bool is_named(int fd, const char *path)
{
    struct stat open, named;
    return fstat(fd, &open) == 0 && stat(path, &named) == 0 && open.st_dev == named.st_dev &&
           open.st_ino == named.st_ino;
}

int file_lock(const char *path, int *descriptor, struct error *err)
{
    int fd = -1;

    *descriptor = -1;
    do {
        if (fd >= 0)
            close(fd);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0)
            return error_errno(err, "open", path);
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            close(fd);
            return error_set(err, STATUS_USAGE, "'%s' is locked by another process", path);
        }
    } while (!is_named(fd, path));
    *descriptor = fd;
    return 0;
}

void file_unlock(const char *path, int descriptor)
{
    if (descriptor < 0)
        return;
    unlink(path); /* while it is held: whoever opens it next makes a new one */
    close(descriptor);
}
