/* Runs of other logbooks: "other.db:top2". */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analysis/shared/compare.h"
#include "sql/merge.h"

/* The file before the first colon that has one before it; NULL: none has. Caller frees. */
static char *file_of(const char *name)
{
    for (const char *colon = strchr(name, ':'); colon; colon = strchr(colon + 1, ':')) {
        char *path = strndup(name, (size_t)(colon - name));
        if (path && *path && colon[1] && access(path, F_OK) == 0)
            return path;
        free(path);
    }
    return NULL;
}

/* run->path: a->path, or allocated. */
static int place_run(struct gathered_run *run, char *name, const struct analysis *a, bool *elsewhere,
                     struct error *err)
{
    struct error missing = {0};
    int64_t id;
    *run = (struct gathered_run){.path = a->path, .name = name, .as = name};
    if (logbook_find_run(a->logbook, name, &id, &missing) == 0)
        return 0;
    char *path = file_of(name);
    if (!path) {
        *err = missing;
        return strchr(name, ':')
                   ? error_set(err, STATUS_INPUT,
                               "no run '%s' in '%s', and no file before a colon in that name", name, a->path)
                   : -1;
    }
    run->path = path;
    run->name = name + strlen(path) + 1;
    *elsewhere = true;
    return 0;
}

static int gather(const struct gathered_run *runs, int n, struct analysis *a, struct error *err)
{
    struct logbook *collection;
    if (logbook_gather(&collection, runs, n, err) != 0)
        return -1;
    moescope_close(a->logbook);
    a->logbook = collection;
    a->collected = true;
    return 0;
}

int compare_gather(char *const *names, int n, struct analysis *a, struct error *err)
{
    struct gathered_run *runs = calloc((size_t)n + 1, sizeof *runs);
    bool elsewhere = false;
    int result = runs ? 0 : error_no_memory(err, "the runs");
    for (int i = 0; i < n && result == 0; i++) {
        result = place_run(&runs[i], names[i], a, &elsewhere, err);
        for (int j = 0; j < i && result == 0; j++)
            if (strcmp(names[i], names[j]) == 0)
                result = error_set(err, STATUS_USAGE, "run '%s' is named twice", names[i]);
    }
    if (result == 0 && elsewhere)
        result = gather(runs, n, a, err);
    for (int i = 0; runs && i < n; i++)
        if (runs[i].path != a->path)
            free((char *)runs[i].path);
    free(runs);
    return result;
}
