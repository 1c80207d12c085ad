/* Memory that runs out: the nth allocation fails. Ours (malloc, calloc, realloc, strdup: the linker sends
 * them here, see the Makefile) and SQLite's. */
#ifndef TESTS_SCARCE_H
#define TESTS_SCARCE_H
#include <stdbool.h>

enum scarce { SCARCE_OURS, SCARCE_SQLITE };

void scarce_start(void); /* once, before SQLite is used */
/* The nth allocation of that kind from now fails (1: the next), and with `stays` all that follow; 0: none. */
void scarce_memory(enum scarce whose, long n, bool stays);
bool scarce_failed(void); /* whether one failed since then */

#endif
