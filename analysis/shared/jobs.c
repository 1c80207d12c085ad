#include "analysis/shared/jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cores.h"
#include "base/text.h"

/* ---- the list ---- */

static void free_arguments(char **argv)
{
    for (int i = 0; argv && argv[i]; i++)
        free(argv[i]);
    free(argv);
}

static char **copy_arguments(const char *const *argv)
{
    size_t n = 0;
    while (argv[n])
        n++;
    char **copy = calloc(n + 1, sizeof *copy);
    for (size_t i = 0; copy && i < n; i++)
        if (!(copy[i] = strdup(argv[i]))) {
            free_arguments(copy);
            return NULL;
        }
    return copy;
}

int job_add(struct job_list *list, const char *folder, void *of, const char *const *argv, struct error *err)
{
    if (list->n == list->capacity) {
        int capacity = list->capacity ? 2 * list->capacity : 16;
        struct job *jobs = realloc(list->jobs, (size_t)capacity * sizeof *jobs);
        if (!jobs)
            return error_no_memory(err, "programs to run");
        list->jobs = jobs;
        list->capacity = capacity;
    }
    struct job job = {.argv = copy_arguments(argv), .folder = folder, .of = of, .complaints = -1};
    if (!job.argv)
        return error_no_memory(err, "programs to run");
    list->jobs[list->n++] = job;
    return 0;
}

void job_list_release(struct job_list *list)
{
    for (int i = 0; i < list->n; i++) {
        free_arguments(list->jobs[i].argv);
        free(list->jobs[i].complaint);
    }
    free(list->jobs);
    *list = (struct job_list){0};
}

/* ---- one of them ---- */

/* Exit statuses by which a child says that it never became the program. */
enum { CHILD_NOT_FOUND = 126, CHILD_FAILED = 127 };

static void become(const struct job *job)
{
    int nothing = open("/dev/null", O_RDWR);
    if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(nothing, 1) < 0 || dup2(job->complaints, 2) < 0 ||
        (job->folder && chdir(job->folder) != 0))
        _exit(CHILD_FAILED);
    execvp(job->argv[0], job->argv);
    int reason = errno;
    dprintf(2, "cannot run '%s': %s\n", job->argv[0], strerror(reason));
    _exit(reason == ENOENT ? CHILD_NOT_FOUND : CHILD_FAILED);
}

static int job_start(struct job *job, struct error *err)
{
    FILE *kept = tmpfile();
    if (!kept)
        return error_errno(err, "make", "a temporary file");
    job->complaints = fcntl(fileno(kept), F_DUPFD_CLOEXEC, 3);
    fclose(kept);
    job->pid = job->complaints < 0 ? -1 : fork();
    if (job->pid == 0)
        become(job);
    if (job->pid > 0)
        return 0;
    int reason = errno;
    if (job->complaints >= 0)
        close(job->complaints);
    job->complaints = -1;
    return error_set(err, STATUS_MACHINE, "cannot start '%s': %s", job->argv[0], strerror(reason));
}

static void job_keep_complaint(struct job *job)
{
    struct text t;
    char buffer[4096];
    text_init(&t);
    lseek(job->complaints, 0, SEEK_SET);
    for (ssize_t n; (n = read(job->complaints, buffer, sizeof buffer)) > 0;)
        text_add_bytes(&t, buffer, (size_t)n);
    close(job->complaints);
    job->complaints = -1;
    job->complaint = text_detach(&t);
    size_t length = job->complaint ? strlen(job->complaint) : 0;
    while (length > 0 && job->complaint[length - 1] == '\n')
        job->complaint[--length] = '\0';
}

static void job_end(struct job *job, int wait_status)
{
    job->status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
    if (job->status == CHILD_NOT_FOUND)
        job->status = JOB_NOT_FOUND;
    job_keep_complaint(job);
}

/* ---- all of them ---- */

static int processors(void)
{
    int n = process_cores();
    return n > 8 ? 8 : n;
}

/* Waits for any child and finds the job it was; NULL when there is none left. */
static struct job *job_wait(struct job_list *list)
{
    int status;
    pid_t pid;
    do
        pid = wait(&status);
    while (pid < 0 && errno == EINTR);
    for (int i = 0; pid > 0 && i < list->n; i++)
        if (list->jobs[i].pid == pid && !list->jobs[i].complaint) {
            job_end(&list->jobs[i], status);
            return &list->jobs[i];
        }
    return NULL;
}

int job_list_run(struct job_list *list, void (*done)(void *state, int n_done), void *state, struct error *err)
{
    int started = 0, ended = 0, result = 0, together = processors();
    while (ended < started || (result == 0 && started < list->n)) {
        while (result == 0 && started < list->n && started - ended < together) {
            result = job_start(&list->jobs[started], err);
            started += result == 0;
        }
        if (ended == started)
            break;
        struct job *job = job_wait(list);
        if (!job)
            return error_set(err, STATUS_MACHINE, "lost sight of a program that was started");
        ended++;
        if (!job->complaint && result == 0)
            result = error_no_memory(err, "what a program said");
        if (done)
            done(state, ended);
    }
    return result;
}

char *sibling_program(const char *name)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        char path[PATH_MAX + 256];
        self[n] = '\0';
        char *slash = strrchr(self, '/');
        snprintf(path, sizeof path, "%.*s/%s", slash ? (int)(slash - self) : 0, self, name);
        if (slash && access(path, X_OK) == 0)
            return strdup(path);
    }
    return strdup(name);
}
