/* A progress bar with time left on stderr: redrawn in place on a terminal, otherwise one plain line every
 * few seconds. Silent when `quiet`. */
#ifndef BASE_PROGRESS_H
#define BASE_PROGRESS_H
#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *label;
    int64_t total, done, resumed_from;
    double started, last_drawn;
    bool terminal, quiet, colour;
};

void progress_start(struct progress *p, const char *label, int64_t total, int64_t already_done, bool quiet);
/* `note` follows the bar: "loss 4.21  18 k tok/s". */
void progress_update(struct progress *p, int64_t done, const char *note);
/* A line of its own, whatever is quiet: what must be seen. The bar is drawn anew below it. */
void progress_say(struct progress *p, const char *line);
void progress_finish(struct progress *p, const char *note); /* leaves one line behind */
double clock_seconds(void);                                 /* monotonic */

#endif
