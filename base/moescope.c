/* moescope VERB ARGUMENT...: runs moescope-VERB, found beside this program or in PATH. Each verb is a
 * program of its own; this one knows their names and nothing else. */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/options.h"
#include "base/process.h"

static const char *const verbs[] = {"train",  "runs",   "specialization", "collapse", "demand", "compare",
                                    "report", "sql",    "check",          "route",    "corpus", "snapshot",
                                    "merge",  "prune",  "export",         "migrate",  "study",  "watch",
                                    "drift",  "ablate", "glyphs",         "import",   "doctor"};
enum { N_VERBS = sizeof verbs / sizeof verbs[0] };

/* "FOLDER/moescope-VERB" in the folder of this program; false where that cannot be told. */
static bool path_of_verb(const char *verb, char path[PATH_MAX])
{
    char name[PATH_MAX];
    snprintf(name, sizeof name, "moescope-%s", verb);
    return process_beside(name, path, PATH_MAX) == 0;
}

/* Runs `path --help` with nothing to read and its complaints dropped; returns what it prints, or NULL. */
static FILE *ask_for_help(const char *path, pid_t *child)
{
    int ends[2];
    if (pipe(ends) != 0)
        return NULL;
    *child = fork();
    if (*child == 0) {
        if (!freopen("/dev/null", "r", stdin) || !freopen("/dev/null", "w", stderr) || dup2(ends[1], 1) < 0)
            _exit(127);
        close(ends[0]);
        close(ends[1]);
        execl(path, path, "--help", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *answer = *child > 0 ? fdopen(ends[0], "r") : NULL;
    if (!answer) {
        close(ends[0]);
        if (*child > 0)
            waitpid(*child, NULL, 0);
    }
    return answer;
}

/* The first line of every help is "moescope VERB - PURPOSE"; the purpose has no other home. */
static void print_verb(const char *verb, const char *path)
{
    char line[512] = "";
    pid_t child;
    FILE *answer = ask_for_help(path, &child);
    if (answer) {
        if (!fgets(line, sizeof line, answer))
            line[0] = '\0';
        while (fgetc(answer) != EOF)
            ; /* to its end, or the child would die of a closed pipe */
        fclose(answer);
        waitpid(child, NULL, 0);
    }
    const char *purpose = strstr(line, " - ");
    printf("  %-15s %.*s\n", verb, purpose ? (int)strcspn(purpose + 3, "\n") : 0, purpose ? purpose + 3 : "");
}

static void print_help(void)
{
    char path[PATH_MAX];
    int listed = 0;
    fputs("moescope - a laboratory for Mixture-of-Experts routing\n\n"
          "Usage: moescope VERB [ARGUMENT]...\n\n"
          "Verbs:\n",
          stdout);
    fflush(stdout);
    for (int i = 0; i < N_VERBS; i++)
        if (path_of_verb(verbs[i], path) && access(path, X_OK) == 0) {
            print_verb(verbs[i], path);
            listed++;
        }
    if (listed == 0)
        fputs("  (none is installed beside this program)\n", stdout);
    fputs("\n'moescope VERB --help' shows a verb's options; 'moescope --version' shows the version.\n",
          stdout);
}

static bool is_verb(const char *word)
{
    for (int i = 0; i < N_VERBS; i++)
        if (strcmp(word, verbs[i]) == 0)
            return true;
    return false;
}

/* Returns only when the verb's program cannot be run; errno says why. */
static void run_verb(const char *verb, char **argv)
{
    char path[PATH_MAX], name[256];
    if (path_of_verb(verb, path)) {
        execv(path, argv);
        if (errno != ENOENT)
            return;
    }
    snprintf(name, sizeof name, "moescope-%s", verb);
    execvp(name, argv);
}

static int refuse(const char *word)
{
    int reason = errno;
    if (reason != ENOENT || is_verb(word)) {
        fprintf(stderr, "moescope: cannot run 'moescope-%s': %s\n", word,
                reason == ENOENT ? "not installed beside moescope nor in PATH" : strerror(reason));
        return STATUS_MACHINE;
    }
    const char *near = nearest_name(word, verbs, N_VERBS);
    if (near)
        fprintf(stderr, "moescope: unknown verb '%s', did you mean '%s'?\n", word, near);
    else
        fprintf(stderr, "moescope: unknown verb '%s'; 'moescope --help' lists them\n", word);
    return STATUS_USAGE;
}

static int finish_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return STATUS_OK;
    fputs("moescope: cannot write to standard output\n", stderr);
    return STATUS_MACHINE;
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "--help";
    bool help = strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
    if (help && argc > 2) { /* moescope help VERB */
        argv[1] = argv[2];
        argv[2] = (char *)"--help";
        word = argv[1];
    } else if (help) {
        print_help();
        return finish_output();
    }
    if (strcmp(word, "--version") == 0) {
        printf("moescope %s\n", MOESCOPE_VERSION);
        return finish_output();
    }
    if (*word == '-') {
        fprintf(stderr, "moescope: unknown option '%s'; the verb comes first, see 'moescope --help'\n", word);
        return STATUS_USAGE;
    }
    if (strchr(word, '/') || strlen(word) > 64)
        errno = ENOENT;
    else
        run_verb(word, argv + 1);
    return refuse(word);
}
