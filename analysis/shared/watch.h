/* What moescope watch knows of a run that goes on, and how it draws it. Reading is cheap and leaves no trace:
 * the logbook is opened, asked for what is new, and closed again, so that whoever writes it never waits for a
 * reader and can tidy the file up when it ends. */
#ifndef ANALYSIS_SHARED_WATCH_H
#define ANALYSIS_SHARED_WATCH_H
#include "analysis/shared/collapse.h"
#include "base/frame.h"

enum { WATCH_EVENTS = 8 };

struct watch_event {
    int64_t step; /* -1: none */
    int layer;    /* -1: none */
    char *kind, *message;
};

struct watch {
    const char *path, *name; /* name: the run asked for; NULL: the newest that runs, or else the newest */

    /* The run at hand; run_id 0: none yet. */
    int64_t run_id, seed, resumed;
    char *run, *router, *status;
    double silent;                          /* seconds since its last sign of life; NaN: none */
    int64_t planned_steps, step;            /* 0: not known; updates so far */
    double tokens_per_second, seconds_left; /* NaN: not known */
    double valid_loss;                      /* NaN: not yet */
    int64_t valid_step;
    double *loss; /* (n_loss) of training, by step; NaN: not logged or not finite */
    int64_t n_loss, capacity;
    struct watch_event events[WATCH_EVENTS]; /* the newest first */
    int n_events;

    struct analysis analysis; /* its logbook is open only while it is read */
    struct collapse collapse; /* n_layers 0: no experts */
    int64_t probe_step;       /* of the last probe that was compared with step 0 */
};

/* Asks for what is new. STATUS_INPUT when there is no such logbook or run. */
int watch_read(struct watch *w, struct error *err);
void watch_release(struct watch *w); /* safe on zeroed */
/* Nothing will follow: it has ended. */
bool watch_is_over(const struct watch *w);
/* It says that it runs, but has long been silent. */
bool watch_is_stalled(const struct watch *w);

/* The picture: all of it, or what matters most where the frame has a height. */
void watch_draw(const struct watch *w, struct frame *f);

#endif
