#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int(error_set)(struct error *err, enum status status, const char *format, ...)
{
    if (!err)
        return -1;
    va_list args;
    va_start(args, format);
    err->status = status;
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return -1;
}

int(error_prefix)(struct error *err, const char *format, ...)
{
    if (!err)
        return -1;
    char prefix[sizeof err->text], whole[2 * sizeof err->text + 2];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    int n = snprintf(whole, sizeof whole, "%s: %s", prefix, err->text);
    /* A text too long loses its end, never its beginning: the cause comes first. */
    size_t kept = n < 0 ? 0 : (size_t)n < sizeof err->text ? (size_t)n : sizeof err->text - 1;
    memcpy(err->text, whole, kept);
    err->text[kept] = '\0';
    return -1;
}

int(error_no_memory)(struct error *err, const char *what)
{
    return error_set(err, STATUS_MACHINE, "no memory for %s", what);
}

/* Some reasons lie in what the user named, the others in the machine. A folder that may not be written is
 * counted as input: another name or other rights cure it. */
static enum status status_of_errno(int code)
{
    switch (code) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
    case ENAMETOOLONG:
    case EEXIST:
    case ENOTEMPTY:
    case EINVAL:
        return STATUS_INPUT;
    default:
        return STATUS_MACHINE;
    }
}

/* strerror begins with a capital, our messages do not ("I/O error" is left alone: its second letter is no
 * small letter). */
static void reason_of_errno(int code, char *reason, size_t n)
{
    snprintf(reason, n, "%s", strerror(code));
    if (reason[0] >= 'A' && reason[0] <= 'Z' && reason[1] >= 'a' && reason[1] <= 'z')
        reason[0] = (char)(reason[0] - 'A' + 'a');
}

static const char *advice(int code)
{
    return code == ENOSPC || code == EDQUOT ? "; make room" : "";
}

int(error_errno)(struct error *err, const char *verb, const char *path)
{
    int code = errno;
    char reason[128];
    reason_of_errno(code, reason, sizeof reason);
    return error_set(err, status_of_errno(code), "cannot %s '%s': %s%s", verb, path, reason, advice(code));
}

int(error_output)(struct error *err, const char *verb, const char *path)
{
    error_errno(err, verb, path);
    if (err)
        err->status = STATUS_MACHINE;
    return -1;
}
