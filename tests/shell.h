/* Commands as people type them, and what they must say. */
#ifndef TESTS_SHELL_H
#define TESTS_SHELL_H
#include <stdbool.h>

/* Runs `preparation` and then `commands` in a shell. Fails the test unless they end with that status,
 * standard output is `out`, and `said` is somewhere in standard error (NULL: nothing is there). */
void shell_expect(const char *preparation, const char *commands, int status, const char *out,
                  const char *said);

/* Whether this machine lets the tests do these; otherwise "skipped: why" is printed. */
bool shell_can_mount(void);      /* mount -t tmpfs */
bool shell_can_be_another(void); /* setpriv --reuid=65534 --clear-groups */

#endif
