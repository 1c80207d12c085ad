/* Finding the embedded .sql files by name. */
#include <string.h>

#include "sql/embedded.h"
#include "sql/read.h"

const char *sql_text(const char *name)
{
    int low = 0, high = n_sql_files;
    while (low < high) {
        int middle = (low + high) / 2;
        int order = strcmp(name, sql_files[middle].name);
        if (order == 0) {
            return sql_files[middle].text;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const char *sql_name(const char *folder, int i)
{
    size_t length = strlen(folder);
    for (int f = 0; f < n_sql_files; f++) {
        if (strncmp(sql_files[f].name, folder, length) == 0 && i-- == 0) {
            return sql_files[f].name;
        }
    }
    return NULL;
}
