/* Streams made of windows that were seen: how long until an alarm, with and without a change. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/drift.h"

/* A stream without alarm ends after so many run lengths. */
static const double longest_stream = 10;

/* ---- dependence ---- */

/* Sum over the numbers of a window of their autocovariance at a lag. */
static double autocovariance(const double *windows, const double *mean, int n, int width, int lag)
{
    double sum = 0;
    for (int t = 0; t + lag < n; t++) {
        const double *now = windows + (size_t)t * (size_t)width, *later = now + (size_t)lag * (size_t)width;
        for (int i = 0; i < width; i++)
            sum += (now[i] - mean[i]) * (later[i] - mean[i]);
    }
    return sum / n;
}

/* r: (most + 1) autocovariances. The last lag before a stretch of lags without correlation to speak of. */
static int last_correlated(const double *r, int n, int most)
{
    double noise = 2 * sqrt(log10(n) / n) * r[0];
    int stretch = (int)fmax(5, ceil(sqrt(log10(n)))), quiet = 0;
    for (int lag = 1; lag <= most; lag++) {
        quiet = fabs(r[lag]) < noise ? quiet + 1 : 0;
        if (quiet == stretch)
            return lag - stretch;
    }
    return most;
}

static int block_from(const double *r, int n, int last)
{
    double spectrum = r[0], slope = 0, longest = ceil(fmin(3 * sqrt(n), n / 3.0));
    for (int lag = 1; lag <= last; lag++) {
        double taper = fmin(1, 2 - 2.0 * lag / last); /* Politis and Romano's flat top */
        spectrum += 2 * taper * r[lag];
        slope += 2 * taper * lag * r[lag];
    }
    double length = cbrt(1.5 * slope * slope / (spectrum * spectrum) * n);
    return (int)fmax(1, fmin(longest, round(length)));
}

int drift_block(const double *windows, int n, int width, struct error *err)
{
    int most = (int)ceil(sqrt(n)) + 5, block = 1;
    double *mean = calloc((size_t)width + 1, sizeof *mean), *r = calloc((size_t)most + 1, sizeof *r);
    if (most > n - 1)
        most = n - 1;
    if (!mean || !r) {
        free(mean);
        free(r);
        return error_no_memory(err, "the windows' dependence");
    }
    for (int t = 0; t < n; t++)
        for (int i = 0; i < width; i++)
            mean[i] += windows[(size_t)t * (size_t)width + (size_t)i] / n;
    for (int lag = 0; lag <= most; lag++)
        r[lag] = autocovariance(windows, mean, n, width, lag);
    int last = last_correlated(r, n, most);
    if (last > 0 && r[0] > 0)
        block = block_from(r, n, 2 * last < most ? 2 * last : most);
    free(mean);
    free(r);
    return block;
}

/* ---- windows drawn with replacement ---- */

struct draws {
    struct random *random;
    int n, block;
    int at, left; /* of the block at hand, which goes on from the first window after the last */
};

static int draw(struct draws *d)
{
    if (d->left == 0) {
        d->at = (int)random_below(d->random, (uint64_t)d->n);
        d->left = d->block;
    }
    int window = d->at;
    d->left--;
    d->at = d->at + 1 < d->n ? d->at + 1 : 0;
    return window;
}

/* ---- the same windows in another order ---- */

struct reordering {
    struct random *random;
    int n, block, n_blocks;
    int *order;     /* (n_blocks) */
    int shift;      /* where the first block begins */
    int at, within; /* place in the order, and in that block */
};

/* A function of the random numbers alone, whatever order came before. */
static void reorder(struct reordering *o)
{
    for (int i = 0; i < o->n_blocks; i++)
        o->order[i] = i;
    o->shift = (int)random_below(o->random, (uint64_t)o->n);
    random_shuffle(o->random, o->order, o->n_blocks);
    o->at = o->within = 0;
}

static int reordering_init(struct reordering *o, int n, int block, struct random *random, struct error *err)
{
    if (block > n)
        block = n;
    *o = (struct reordering){.random = random, .n = n, .block = block, .n_blocks = (n + block - 1) / block};
    o->order = malloc((size_t)o->n_blocks * sizeof *o->order);
    return o->order ? 0 : error_no_memory(err, "the streams");
}

/* Begins another order when all windows were given. The last block is shorter. */
static int next_of(struct reordering *o)
{
    int window = o->order[o->at] * o->block + o->within;
    if (++o->within == o->block || window + 1 == o->n) {
        o->within = 0;
        o->at++;
    }
    window = (window + o->shift) % o->n;
    if (o->at == o->n_blocks)
        reorder(o);
    return window;
}

/* ---- calibration ---- */

/* The statistic reached a new height: all that a run length depends on, whatever the threshold. */
struct height {
    double statistic;
    int window; /* from 1 */
};

struct heights {
    struct height *items;
    int n, capacity;
    int *first; /* (streams + 1) */
    int longest;
};

static int add_height(struct heights *h, double statistic, int window, struct error *err)
{
    if (h->n == h->capacity) {
        int capacity = h->capacity ? 2 * h->capacity : 4096;
        struct height *items = realloc(h->items, (size_t)capacity * sizeof *items);
        if (!items)
            return error_no_memory(err, "the streams");
        h->items = items;
        h->capacity = capacity;
    }
    h->items[h->n++] = (struct height){statistic, window};
    return 0;
}

/* One stream, in which the monitor has learnt from windows of its own. */
static int climb(struct drift_monitor *m, const double *windows, struct draws *d, int *drawn, double *average,
                 struct heights *h, struct error *err)
{
    double highest = -INFINITY;
    for (int t = 0; t < d->n; t++)
        drawn[t] = draw(d);
    drift_learn_drawn(m, windows, drawn, d->n);
    drift_begin(m, average);
    d->left = 0;
    for (int t = 1; t <= h->longest; t++) {
        double statistic = drift_step(m, average, windows + (size_t)draw(d) * (size_t)m->width, NULL);
        if (statistic > highest && add_height(h, statistic, t, err) != 0)
            return -1;
        highest = fmax(highest, statistic);
    }
    return 0;
}

static int climb_all(const struct drift_monitor *m, const double *windows, int n,
                     const struct drift_simulation *s, struct heights *h, struct error *err)
{
    struct drift_monitor again = *m;
    size_t width = (size_t)m->width;
    double *average = malloc(2 * width * sizeof *average);
    int *drawn = malloc((size_t)n * sizeof *drawn);
    int result = average && drawn ? 0 : error_no_memory(err, "the streams");
    again.parts = malloc((size_t)m->n_parts * sizeof *again.parts);
    if (!again.parts && result == 0)
        result = error_no_memory(err, "the streams");
    for (int i = 0; i < s->streams && result == 0; i++) {
        struct random random;
        struct draws d = {.random = &random, .n = n, .block = s->block};
        random_seed(&random, s->seed, (uint64_t)i);
        memcpy(again.parts, m->parts, (size_t)m->n_parts * sizeof *again.parts);
        for (int p = 0; p < m->n_parts; p++)
            again.parts[p].freedom = m->parts[p].freedom_seen;
        again.mean = average + width;
        h->first[i] = h->n;
        result = climb(&again, windows, &d, drawn, average, h, err);
        h->first[i + 1] = h->n;
    }
    free(again.parts);
    free(average);
    free(drawn);
    return result;
}

/* When stream i first exceeds the threshold; 0: not before its end. */
static int run_length(const struct heights *h, int i, double threshold)
{
    int low = h->first[i], high = h->first[i + 1];
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (h->items[middle].statistic > threshold)
            high = middle;
        else
            low = middle + 1;
    }
    return low < h->first[i + 1] ? h->items[low].window : 0;
}

/* Windows seen over alarms raised: the mean run length, to which streams that ended without alarm add what
 * they saw. */
static void measure(const struct heights *h, int streams, double threshold, struct drift_calibration *c)
{
    double sum = 0, squares = 0;
    *c = (struct drift_calibration){0};
    for (int i = 0; i < streams; i++) {
        int length = run_length(h, i, threshold);
        double seen = length > 0 ? length : h->longest;
        c->n_alarms += length > 0;
        sum += seen;
        squares += seen * seen;
    }
    double variance = fmax(0, squares / streams - sum / streams * sum / streams);
    c->run_length = c->n_alarms > 0 ? sum / c->n_alarms : INFINITY;
    c->error = c->n_alarms > 0 ? sqrt(variance * streams) / c->n_alarms : INFINITY;
}

/* Bisection between the lowest and the highest of all heights. */
static void find_threshold(struct drift_monitor *m, const struct heights *h, int streams, double target,
                           struct drift_calibration *c)
{
    double low = INFINITY, high = -INFINITY;
    for (int i = 0; i < h->n; i++) {
        low = fmin(low, h->items[i].statistic);
        high = fmax(high, h->items[i].statistic);
    }
    for (int i = 0; i < 60; i++) {
        m->threshold = low + (high - low) / 2;
        measure(h, streams, m->threshold, c);
        if (c->run_length < target)
            low = m->threshold;
        else
            high = m->threshold;
    }
    m->threshold = high;
    measure(h, streams, m->threshold, c);
}

int drift_calibrate(struct drift_monitor *m, const double *windows, int n, double run_length,
                    const struct drift_simulation *s, struct drift_calibration *c, struct error *err)
{
    struct heights h = {.longest = (int)ceil(longest_stream * run_length)};
    h.first = calloc((size_t)s->streams + 1, sizeof *h.first);
    int result = h.first ? climb_all(m, windows, n, s, &h, err) : error_no_memory(err, "the streams");
    if (result == 0)
        find_threshold(m, &h, s->streams, run_length, c);
    free(h.first);
    free(h.items);
    return result;
}

/* ---- false alarms ---- */

static int64_t count_alarms(const struct drift_monitor *m, const double *windows, struct reordering *o,
                            double *average)
{
    int64_t alarms = 0;
    reorder(o);
    drift_begin(m, average);
    for (int t = 0; t < o->n; t++)
        if (drift_step(m, average, windows + (size_t)next_of(o) * (size_t)m->width, NULL) > m->threshold) {
            alarms++;
            drift_begin(m, average);
        }
    return alarms;
}

int drift_alarm_rate(const struct drift_monitor *m, const double *windows, int n,
                     const struct drift_simulation *s, double *rate, struct error *err)
{
    struct random random;
    struct reordering o;
    int64_t alarms = 0;
    double *average = malloc((size_t)m->width * sizeof *average);
    if (!average)
        return error_no_memory(err, "the streams");
    int result = reordering_init(&o, n, s->block, &random, err);
    for (int i = 0; i < s->streams && result == 0; i++) {
        random_seed(&random, s->seed, (uint64_t)i);
        alarms += count_alarms(m, windows, &o, average);
    }
    *rate = (double)alarms / s->streams / n;
    free(o.order);
    free(average);
    return result;
}

/* ---- delays ---- */

static void live_through(const struct drift_monitor *m, const struct drift_change *change,
                         struct reordering *control, struct reordering *changed, double *average, int *delay,
                         bool *early)
{
    size_t width = (size_t)m->width;
    *early = false;
    *delay = 0;
    drift_begin(m, average);
    if (change->before > 0)
        reorder(control);
    for (int t = 0; t < change->before; t++)
        if (drift_step(m, average, change->control + (size_t)next_of(control) * width, NULL) > m->threshold) {
            *early = true;
            drift_begin(m, average);
        }
    reorder(changed);
    for (int t = 1; t <= change->n_changed && *delay == 0; t++)
        if (drift_step(m, average, change->changed + (size_t)next_of(changed) * width, NULL) > m->threshold)
            *delay = t;
}

int drift_delays(const struct drift_monitor *m, const struct drift_change *change,
                 const struct drift_simulation *s, int *delay, bool *early, struct error *err)
{
    struct random random;
    struct reordering control = {0}, changed = {0};
    double *average = malloc((size_t)m->width * sizeof *average);
    int result = average ? 0 : error_no_memory(err, "the streams");
    if (result == 0)
        result = reordering_init(&control, change->n_control, s->block, &random, err);
    if (result == 0)
        result = reordering_init(&changed, change->n_changed, s->block, &random, err);
    for (int i = 0; i < s->streams && result == 0; i++) {
        random_seed(&random, s->seed, (uint64_t)i);
        live_through(m, change, &control, &changed, average, &delay[i], &early[i]);
    }
    free(control.order);
    free(changed.order);
    free(average);
    return result;
}
