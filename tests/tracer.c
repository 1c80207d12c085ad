#include "tests/tracer.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum kind { BY_DESCRIPTOR, BY_PATH, BY_PATH_AT, OPENS };

static const struct changing_call {
    uint64_t number;
    const char *name;
    enum kind kind;
} calls[] = {
    {SYS_write, "write", BY_DESCRIPTOR},
    {SYS_pwrite64, "pwrite64", BY_DESCRIPTOR},
    {SYS_writev, "writev", BY_DESCRIPTOR},
    {SYS_fsync, "fsync", BY_DESCRIPTOR},
    {SYS_fdatasync, "fdatasync", BY_DESCRIPTOR},
    {SYS_ftruncate, "ftruncate", BY_DESCRIPTOR},
    {SYS_renameat2, "renameat2", BY_PATH_AT},
    {SYS_renameat, "rename", BY_PATH_AT},
    {SYS_unlinkat, "unlink", BY_PATH_AT},
    {SYS_openat, "create", OPENS},
#ifdef SYS_rename /* not on newer machines */
    {SYS_rename, "rename", BY_PATH},
    {SYS_unlink, "unlink", BY_PATH},
#endif
};

static void become(const char *folder, const char *const *argv)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 || chdir(folder) != 0 ||
        ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
        _exit(126);
    }
    kill(getpid(), SIGSTOP); /* until the tracer is ready */
    execv(argv[0], (char *const *)argv);
    _exit(127);
}

/* A string in the other's memory; cut at what is readable. */
static void read_string(pid_t pid, uint64_t address, char *to, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/mem", (long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, to, size - 1, (off_t)address);
    to[n > 0 ? n : 0] = '\0';
    if (fd >= 0) {
        close(fd);
    }
}

/* What the call would change, by its path within the folder; false when that is no file there. */
static bool changed_file(const char *folder, pid_t pid, const struct changing_call *c,
                         const struct __ptrace_syscall_info *info, char *file, size_t size)
{
    char whole[PATH_MAX] = "", link[64];
    size_t n = strlen(folder);
    if (c->kind == BY_DESCRIPTOR) {
        snprintf(link, sizeof link, "/proc/%ld/fd/%d", (long)pid, (int)info->entry.args[0]);
        ssize_t length = readlink(link, whole, sizeof whole - 1);
        whole[length > 0 ? length : 0] = '\0';
    } else {
        read_string(pid, info->entry.args[c->kind == BY_PATH ? 0 : 1], whole, sizeof whole);
    }
    if (c->kind == OPENS && !(info->entry.args[2] & O_CREAT)) {
        return false;
    }
    const char *name = whole;
    if (name[0] == '/') {
        if (strncmp(name, folder, n) != 0 || name[n] != '/') {
            return false;
        }
        name += n + 1;
    }
    snprintf(file, size, "%.*s", (int)size - 1, name);
    return *file != '\0';
}

static void count_call(struct traced *t, const char *folder, pid_t pid, const struct trace_point *at)
{
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0 ||
        info.op != PTRACE_SYSCALL_INFO_ENTRY) {
        return;
    }
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        char file[sizeof t->file];
        if (calls[i].number != info.entry.nr || (at->call != NULL && strcmp(at->call, calls[i].name) != 0) ||
            !changed_file(folder, pid, &calls[i], &info, file, sizeof file) ||
            (at->file != NULL && fnmatch(at->file, file, 0) != 0)) {
            continue;
        }
        t->calls++;
        if (t->calls == at->n) {
            t->killed = true;
            snprintf(t->call, sizeof t->call, "%s", calls[i].name);
            memcpy(t->file, file, sizeof file);
        }
    }
}

/* One stop of one thread; lets it go on. */
static void attend(struct traced *t, const char *folder, pid_t child, pid_t pid, int status,
                   const struct trace_point *at)
{
    int signal = WSTOPSIG(status);
    if (signal == (SIGTRAP | 0x80)) {
        count_call(t, folder, pid, at);
        signal = 0;
    } else if (signal == SIGTRAP || signal == SIGSTOP) { /* exec, a new thread */
        signal = 0;
    }
    if (t->killed) {
        kill(child, SIGKILL);
    } else {
        ptrace(PTRACE_SYSCALL, pid, NULL, (intptr_t)signal);
    }
}

struct traced traced_run(const char *folder, const char *const *argv, const struct trace_point *at)
{
    struct traced t = {0};
    char real[PATH_MAX];
    int status;
    if (!realpath(folder, real)) {
        fail_msg("cannot resolve '%s'", folder);
    }
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        become(folder, argv);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) {
        fail_msg("cannot trace a child: %s", strerror(errno));
    }
    ptrace(PTRACE_SETOPTIONS, child, NULL,
           (intptr_t)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL));
    ptrace(PTRACE_SYSCALL, child, NULL, NULL);
    for (;;) {
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0 && errno == EINTR) {
            continue;
        }
        if (pid < 0) {
            return t; /* none is left */
        }
        if (WIFSTOPPED(status)) {
            attend(&t, real, child, pid, status, at);
        } else if (pid == child) {
            t.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
    }
}
