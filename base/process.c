#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- this program ---- */

double process_peak_memory(void)
{
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    return 1024.0 * (double)usage.ru_maxrss; /* Linux counts in KiB */
}

int process_beside(const char *name, char *path, size_t size)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return -1;
    self[n] = '\0';
    char *slash = strrchr(self, '/');
    if (!slash)
        return -1;
    *slash = '\0';
    n = snprintf(path, size, "%s/%s", self, name);
    return n > 0 && (size_t)n < size ? 0 : -1;
}

/* ---- scratch files ---- */

int scratch_open(int *fd, struct error *err)
{
    const char *folder = getenv("TMPDIR");
    struct text path;
    text_init(&path);
    text_printf(&path, "%s/moescope-XXXXXX", folder && *folder ? folder : "/tmp");
    if (path.failed)
        return error_no_memory(err, "the name of a temporary file");
    *fd = mkostemp(path.data, O_CLOEXEC);
    int result = *fd < 0 ? error_errno(err, "create", path.data) : 0;
    if (result == 0)
        unlink(path.data);
    else if (err)
        err->status = STATUS_MACHINE;
    text_release(&path);
    return result;
}

int scratch_read(int fd, char **bytes, size_t *n, struct error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return error_errno(err, "read", "a temporary file");
    char *data = malloc((size_t)info.st_size + 1);
    if (!data)
        return error_no_memory(err, "the output of another program");
    size_t length = 0;
    while (length < (size_t)info.st_size) {
        ssize_t got = pread(fd, data + length, (size_t)info.st_size - length, (off_t)length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            free(data);
            return error_errno(err, "read", "a temporary file");
        }
        length += (size_t)got;
    }
    data[length] = '\0';
    *bytes = data;
    *n = length;
    return 0;
}

/* ---- processes ---- */

static int use_file(posix_spawn_file_actions_t *actions, int fd, int as, int flags)
{
    return fd >= 0 ? posix_spawn_file_actions_adddup2(actions, fd, as)
                   : posix_spawn_file_actions_addopen(actions, as, "/dev/null", flags, 0);
}

/* The signals that ask a program to end. They get through while it waits, even where it blocks them, and
 * to the other program. */
static void unblocked_mask(sigset_t *mask)
{
    pthread_sigmask(SIG_BLOCK, NULL, mask);
    sigdelset(mask, SIGINT);
    sigdelset(mask, SIGTERM);
    sigdelset(mask, SIGHUP);
}

static int set_files(posix_spawn_file_actions_t *actions, const struct process_setting *s, int complaints)
{
    int reason = use_file(actions, s->in, STDIN_FILENO, O_RDONLY);
    if (!reason)
        reason = use_file(actions, s->out, STDOUT_FILENO, O_WRONLY);
    if (!reason && !s->loud)
        reason = posix_spawn_file_actions_adddup2(actions, complaints, STDERR_FILENO);
    if (!reason && s->folder)
        reason = posix_spawn_file_actions_addchdir_np(actions, s->folder);
    return reason;
}

/* Returns an errno. posix_spawnp reports a program that is not there, unlike a fork. */
static int spawn(struct process *p, const char *const *argv, const struct process_setting *s, int complaints)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t mask;
    int reason = posix_spawn_file_actions_init(&actions);
    if (reason)
        return reason;
    reason = posix_spawnattr_init(&attributes);
    if (!reason) {
        unblocked_mask(&mask);
        posix_spawnattr_setsigmask(&attributes, &mask);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
        reason = set_files(&actions, s, complaints);
        if (!reason) /* argv's strings are not written to; the interface is older than const */
            reason = posix_spawnp(&p->pid, argv[0], &actions, &attributes, (char *const *)argv, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return reason;
}

int process_start(struct process *p, const char *const *argv, const struct process_setting *setting,
                  struct error *err)
{
    *p = (struct process){.program = argv[0]};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return error_set(err, STATUS_MACHINE, "cannot run '%s': %s", p->program, strerror(errno));
    p->complaints = ends[0];
    int reason = spawn(p, argv, setting, ends[1]);
    close(ends[1]);
    if (!reason)
        return 0;
    p->pid = 0;
    close(p->complaints);
    if (reason == ENOENT && (!setting->folder || access(setting->folder, X_OK) == 0))
        return error_set(err, STATUS_MACHINE,
                         "the program '%s' is not installed; install the Debian package '%s'", p->program,
                         setting->package);
    return error_set(err, STATUS_MACHINE, "cannot run '%s': %s", p->program, strerror(reason));
}

static int ended(const struct process *p, int status, struct error *err)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGINT || WTERMSIG(status) == SIGTERM))
        return error_set(err, STATUS_MACHINE, "interrupted");
    if (WIFSIGNALED(status))
        return error_set(err, STATUS_MACHINE, "'%s' was ended by signal %d", p->program, WTERMSIG(status));
    return error_set(err, STATUS_MACHINE, "'%s' failed with status %d", p->program, WEXITSTATUS(status));
}

/* Reads to the end, which comes when the process does. Returns an errno. */
static int read_complaints(struct process *p, struct text *complaints)
{
    struct pollfd waiting = {.fd = p->complaints, .events = POLLIN};
    char bytes[4096];
    sigset_t mask;
    unblocked_mask(&mask);
    for (;;) {
        if (ppoll(&waiting, 1, NULL, &mask) < 0)
            return errno;
        ssize_t n = read(p->complaints, bytes, sizeof bytes);
        if (n <= 0)
            return n < 0 ? errno : 0;
        if (complaints)
            text_add_bytes(complaints, bytes, (size_t)n);
    }
}

int process_wait(struct process *p, struct text *complaints, struct error *err)
{
    int status, reason = read_complaints(p, complaints);
    if (!reason && waitpid(p->pid, &status, 0) != p->pid)
        reason = errno;
    if (reason) {
        process_kill(p);
        if (reason == EINTR)
            return error_set(err, STATUS_MACHINE, "interrupted");
        return error_set(err, STATUS_MACHINE, "cannot wait for '%s': %s", p->program, strerror(reason));
    }
    p->pid = 0;
    close(p->complaints);
    if (complaints && complaints->failed)
        return error_no_memory(err, "the output of another program");
    return ended(p, status, err);
}

void process_kill(struct process *p)
{
    if (p->pid <= 0)
        return;
    kill(p->pid, SIGTERM);
    while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    p->pid = 0;
    close(p->complaints);
}
