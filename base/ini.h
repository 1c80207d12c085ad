/* INI files, by inih: [section] lines, key = value lines, comments behind ; or #. Read line by line, so that
 * complaints name the line that they are about. */
#ifndef BASE_INI_H
#define BASE_INI_H
#include "base/error.h"

/* Told each entry in order; -1 with *err ends the reading, and "'FILE' line N: " goes before what it says. */
typedef int ini_entry(void *context, const char *section, const char *key, const char *value,
                      struct error *err);
/* What is no INI line is STATUS_USAGE. */
int ini_read(const char *path, ini_entry *entry, void *context, struct error *err);

#endif
