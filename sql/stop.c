/* Signals that end a program, turned into a failure of what it is doing. */
#include <signal.h>

#include "sql/care.h"
#include "sql/db.h"

static struct logbook *volatile at_work;
static volatile sig_atomic_t stopped; /* the signal's number */

static void stop(int number)
{
    struct logbook *lb = at_work;
    stopped = number;
    if (lb != NULL) {
        sqlite3_interrupt(lb->db); /* sets a flag */
    }
}

void logbook_stop_on_signals(struct logbook *lb)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = stop, .sa_flags = (int)(SA_RESETHAND | SA_RESTART)};
    at_work = lb;
    for (size_t i = 0; lb != NULL && i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction now;
        if (sigaction(signals[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL) {
            sigaction(signals[i], &action, NULL);
        }
    }
}

bool logbook_stopped(void)
{
    return stopped != 0;
}

/* What was done before the signal could undo it is done. */
int logbook_status(int status)
{
    return stopped != 0 && status != STATUS_OK ? 128 + (int)stopped : status;
}
