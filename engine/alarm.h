/* The live alarm: a sink in front of another. It passes everything on, watches the loads of training through
 * metrics/monitor.h, as `collapse` will later, and raises an event when a layer's state changes: `alarm` when
 * it has collapsed, has everything on, or is balanced by doing nothing; `alarm_over` when that has ended.
 * Events come with the step that completed the window. */
#ifndef ENGINE_ALARM_H
#define ENGINE_ALARM_H
#include "engine/sink.h"
#include "engine/summary.h"
#include "metrics/monitor.h"

struct alarm_layer {
    int32_t *choice; /* (n) the untrained router's first choices on the probe; -1: none */
    int64_t n, capacity;
    int64_t at, n_same, n_compared; /* of the probe at hand: tokens so far */
    double agreement;               /* of the last probe with step 0; NaN: not known */
    bool collapsed, indifferent;    /* after the last window */
};

struct alarm {
    struct sink sink; /* give its address to the trainer */
    const struct sink *behind;
    struct monitor monitor;
    struct untrained_rule untrained;
    struct alarm_layer *layers; /* (n_layers of the monitor) */
    int64_t stop_windows;       /* ask to stop when a collapse has lasted so many windows; 0: never */
    bool stop;                  /* it has */
    /* Told of each event in words, "layer 1: alarm: ..."; may be NULL. */
    void (*tell)(void *context, int64_t step, const char *words);
    void *tell_context;
};

int alarm_open(struct alarm *a, const struct summary *model, int64_t planned_steps, const struct sink *behind,
               struct error *err);
void alarm_close(struct alarm *a); /* safe on zeroed */

/* What a run that goes on did before: its loads go to the monitor, the probe of step 0 and the last one here,
 * each followed by alarm_end_probe; then alarm_settle takes the states as they are, telling nobody. */
int alarm_probe(struct alarm *a, int layer, int64_t step, const int32_t *offset, const int32_t *expert,
                int n_tokens, struct error *err);
void alarm_end_probe(struct alarm *a);
void alarm_settle(struct alarm *a);

#endif
