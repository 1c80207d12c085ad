#include "tests/support.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/progress.h"
#include "base/text.h"

static const double longest_run = 120; /* seconds */

void test_must(int result, const struct error *err)
{
    if (result != 0)
        fail_msg("%s", err->text);
}

char *test_folder(void)
{
    const char *parent = getenv("TMPDIR");
    struct text path;
    text_init(&path);
    text_printf(&path, "%s/moescope-test-XXXXXX", parent && *parent ? parent : "/tmp");
    char *folder = text_detach(&path);
    if (!folder || !mkdtemp(folder))
        fail_msg("cannot make a temporary folder: %s", strerror(errno));
    return folder;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)type;
    (void)where;
    return remove(path);
}

void test_folder_remove(char *path)
{
    if (path && nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
        fail_msg("cannot remove '%s': %s", path, strerror(errno));
    free(path);
}

void test_write(const char *folder, const char *name, const void *bytes, size_t n)
{
    struct text path;
    text_init(&path);
    text_printf(&path, "%s/%s", folder, name);
    FILE *f = path.failed ? NULL : fopen(path.data, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0)
        fail_msg("cannot write '%s': %s", path.data, strerror(errno));
    text_release(&path);
}

void test_write_text(const char *folder, const char *name, const char *text)
{
    test_write(folder, name, text, strlen(text));
}

void test_sql(const char *path, const char *sql)
{
    char *folder = test_folder(), *script = NULL;
    test_write_text(folder, "change.sql", sql);
    if (asprintf(&script, "%s/change.sql", folder) < 0)
        fail_msg("no memory for a path");
    struct test_run r = test_run("sqlite3 -batch -bail '%s' < '%s'", path, script);
    if (r.status != 0 || *r.err != '\0')
        fail_msg("sqlite3: %s\n%s", r.err, sql);
    test_run_release(&r);
    free(script);
    test_folder_remove(folder);
}

char *test_ask(const char *path, const char *sql)
{
    struct test_run r = test_run("sqlite3 -batch -bail '%s' \"%s\"", path, sql);
    if (r.status != 0 || *r.err != '\0')
        fail_msg("%s", r.err);
    free(r.err);
    return r.out;
}

void test_answer(const char *path, const char *sql, const char *expected)
{
    char *answer = test_ask(path, sql);
    if (strcmp(answer, expected) != 0)
        fail_msg("%s\n%sis not\n%s", sql, answer, expected);
    free(answer);
}

void test_make_version_1(const char *path)
{
    test_sql(path, "DROP TABLE run_part; DROP VIEW expert_load_window; DROP TABLE load_window_block; "
                   "PRAGMA user_version = 1;");
}

char *test_bin(void)
{
    const char *folder = getenv("MOESCOPE_BIN");
    char *path = realpath(folder && *folder ? folder : "bin", NULL);
    if (!path)
        fail_msg("no folder of programs '%s': build first, or set MOESCOPE_BIN", folder ? folder : "bin");
    return path;
}

/* The child's side: a process group of its own, so that a timeout reaches what the shell started too. */
static void become_command(const char *command, int out, int err)
{
    setpgid(0, 0);
    if (!freopen("/dev/null", "r", stdin) || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
        _exit(126);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

/* Reads both ends until both are closed; false when the time is over. */
static bool collect(int out, int err, struct text texts[2])
{
    struct pollfd ends[2] = {{.fd = out, .events = POLLIN}, {.fd = err, .events = POLLIN}};
    double deadline = clock_seconds() + longest_run;
    char piece[4096];
    while (ends[0].fd >= 0 || ends[1].fd >= 0) {
        double left = deadline - clock_seconds();
        if (left <= 0)
            return false;
        if (poll(ends, 2, (int)(left * 1000) + 1) < 0)
            continue; /* a signal */
        for (int i = 0; i < 2; i++) {
            if (ends[i].fd < 0 || !ends[i].revents)
                continue;
            ssize_t n = read(ends[i].fd, piece, sizeof piece);
            if (n > 0)
                text_add_bytes(&texts[i], piece, (size_t)n);
            else
                ends[i].fd = -1; /* poll passes over it */
        }
    }
    return true;
}

/* The parent's side: reads to the end or the deadline, then waits for the child. */
static struct test_run attend(pid_t child, int out, int err)
{
    struct text texts[2];
    int status = 0;
    text_init(&texts[0]);
    text_init(&texts[1]);
    bool ended = collect(out, err, texts);
    if (!ended)
        kill(-child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    struct test_run r = {.out = text_detach(&texts[0]), .err = text_detach(&texts[1])};
    r.status = !ended ? TEST_TIMEOUT : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (!r.out || !r.err)
        fail_msg("no memory for a command's output");
    return r;
}

struct test_run test_run(const char *format, ...)
{
    char *command = NULL;
    int out[2], err[2];
    va_list args;
    va_start(args, format);
    if (vasprintf(&command, format, args) < 0)
        fail_msg("no memory for a command");
    va_end(args);
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
        fail_msg("no pipe: %s", strerror(errno));
    fflush(NULL); /* or the child would write what is pending once more */
    pid_t child = fork();
    if (child == 0)
        become_command(command, out[1], err[1]);
    if (child < 0)
        fail_msg("cannot fork: %s", strerror(errno));
    free(command);
    close(out[1]);
    close(err[1]);
    struct test_run r = attend(child, out[0], err[0]);
    close(out[0]);
    close(err[0]);
    return r;
}

void test_run_release(struct test_run *r)
{
    free(r->out);
    free(r->err);
    *r = (struct test_run){0};
}

char *test_bench(void)
{
    const char *given = getenv("MOESCOPE_BENCH");
    return realpath(given ? given : "build/release/bench", NULL);
}
