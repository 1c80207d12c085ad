/* Files of other engines, made by tests/foreign.py with what ought to be read from them. */
#ifndef TESTS_FOREIGN_H
#define TESTS_FOREIGN_H
#include <stdbool.h>
#include <stddef.h>

/* Fills the folder with files of a kind; false, and says so, where their writer is not installed. */
bool foreign_make(const char *kind, const char *folder);

/* Every file of the folder of which something is expected is read, whole and in pieces, as integers and as
 * reals, and is what is expected; returns how many they were. */
int foreign_compare(const char *folder, const char *format);

/* To open these bytes, or to read what is in them, is an error: STATUS_INPUT, with the file's name and these
 * words. */
void foreign_refused(const void *bytes, size_t n, const char *words);
/* They end in an error or in some numbers, and in nothing worse; true: all could be read. */
bool foreign_survived(const void *bytes, size_t n);

#endif
