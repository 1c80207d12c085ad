#include "base/folder.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

/* ---- what is in one ---- */

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

int folder_list(struct folder_list *l, const char *path, struct error *err)
{
    struct dirent **entries;
    int n = scandir(path, &entries, visible, by_bytes);

    *l = (struct folder_list){0};
    if (n < 0)
        return error_errno(err, "read", path);
    l->names = calloc((size_t)n + 1, sizeof *l->names);
    for (int i = 0; i < n; i++) {
        if (l->names && (l->names[l->n] = strdup(entries[i]->d_name)) != NULL)
            l->n++;
        free(entries[i]);
    }
    free(entries);
    if (l->names && l->n == n)
        return 0;
    folder_list_release(l);
    return error_no_memory(err, "the names in a folder");
}

void folder_list_release(struct folder_list *l)
{
    for (int i = 0; l->names && i < l->n; i++)
        free(l->names[i]);
    free(l->names);
    *l = (struct folder_list){0};
}

/* ---- one that appears whole ---- */

char *folder_trimmed(const char *path)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    return strndup(path, n);
}

int folder_make_partial(const char *path, struct text *partial, struct error *err)
{
    char *parent = strdup(path);
    if (!parent)
        return error_no_memory(err, "a path");
    char *slash = strrchr(parent, '/');
    int result = 0;
    if (slash && slash != parent) {
        *slash = '\0';
        result = file_make_folder(parent, err);
    }
    free(parent);
    text_clear(partial);
    text_printf(partial, "%s.partial-%ld", path, (long)getpid());
    if (result == 0 && partial->failed)
        return error_no_memory(err, "a path");
    if (result == 0 && mkdir(partial->data, 0777) != 0)
        result = error_output(err, "create", partial->data);
    if (result != 0)
        text_clear(partial);
    return result;
}

int folder_remove(const char *path, const char *const *names)
{
    struct text file;

    text_init(&file);
    for (; *names; names++) {
        text_clear(&file);
        text_printf(&file, "%s/%s", path, *names);
        if (!file.failed)
            unlink(file.data);
    }
    text_release(&file);
    return rmdir(path);
}
