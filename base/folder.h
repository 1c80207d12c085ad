/* Folders: what is in one, and one that appears whole or not at all. */
#ifndef BASE_FOLDER_H
#define BASE_FOLDER_H
#include "base/error.h"
#include "base/text.h"

/* The names in a folder that do not begin with a dot, in the order of their bytes. To be released; on failure
 * there is nothing to release. */
struct folder_list {
    char **names;
    int n;
};
int folder_list(struct folder_list *l, const char *path, struct error *err);
void folder_list_release(struct folder_list *l); /* safe on zeroed */

/* The path without slashes at its end, so that neighbours can be named after it; the caller frees, NULL: no
 * memory. */
char *folder_trimmed(const char *path);
/* A new folder beside `path`, to be renamed to it once it is complete, and the folders above. partial:
 * its path, empty on failure. */
int folder_make_partial(const char *path, struct text *partial, struct error *err);
/* Removes these files (NULL ends the names) and the folder, unless something else lies in it: 0. */
int folder_remove(const char *path, const char *const *names);

#endif
