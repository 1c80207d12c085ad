/* An SQLite whose machine fails when told to: the nth write, the nth allocation; a clock that can be set. It
 * stands between SQLite and this machine in this process, so that a test sweeps n over all there are. */
#ifndef TESTS_FAULTY_H
#define TESTS_FAULTY_H
#include <stdbool.h>

/* Once, before SQLite is used. */
void faulty_start(void);

enum faulty_write { FAULTY_FULL, FAULTY_BROKEN }; /* the disk is full; it cannot be written */
/* The nth write, resize or flush of a file from now fails (1: the next), and with `stays` all that follow. 0:
 * none does. */
void faulty_writes(enum faulty_write how, long n, bool stays);
long faulty_writes_counted(void); /* since then */
bool faulty_failed(void);         /* whether one failed since then */

/* SQLite's own allocations go through this; NULL is what it then gets. */
void faulty_memory(bool (*is_short)(void));

void faulty_clock(double seconds); /* what SQLite takes for now is so much later than it is */

#endif
