/* The verdict of moescope drift in words: what each monitor promises and keeps, what it made of each run's
 * change, which of the two was sooner. */
#include <math.h>

#include "analysis/shared/drift.h"

const char *const drift_finding_names[4] = {"detected", "late", "missed", "unlike"};

/* Within a tenth of the run length, by when about one unchanged stream in ten has had an alarm as well. */
static const double soon = 0.1;

enum drift_finding drift_finding(const struct drift *d, const struct stream *s, int monitor)
{
    const struct found_change *f = &s->found[monitor];
    struct interval before;
    poisson_interval(f->false_alarms, s->before, 0.95, &before);
    if (before.low > 1 / d->arl)
        return DRIFT_UNLIKE;
    if (isnan(f->delay.median))
        return DRIFT_MISSED;
    return f->delay.median <= soon * d->arl ? DRIFT_DETECTED : DRIFT_LATE;
}

static const char *plural(int n)
{
    return n == 1 ? "" : "s";
}

/* ---- the reference ---- */

static bool is_too_frequent(const struct drift *d, const struct promise *p)
{
    return p->rate.low > 1 / d->arl;
}

static const char *promise_word(const struct drift *d, const struct promise *p)
{
    if (is_too_frequent(d, p))
        return "too frequent";
    return p->rate.high < 1 / d->arl ? "too rare" : "kept";
}

static int count_watched(const struct drift *d)
{
    return d->monitors[MONITOR_USAGE].n_parts;
}

static void add_what(const struct drift *d, int monitor, struct text *t)
{
    if (monitor == MONITOR_LOSS)
        text_add(t, d->monitors[monitor].statistic == DRIFT_UPPER
                        ? "mean loss of a window, a rise alone"
                        : "mean loss of a window, a rise or a fall");
    else if (count_watched(d) == 1)
        text_add(t, "shares of a layer's experts");
    else
        text_printf(t, "shares of experts, the layer that is farthest off of %d", count_watched(d));
}

static void judge_promise(const struct drift *d, int monitor, struct verdicts *v, struct text *t)
{
    const struct promise *p = &d->promises[monitor];
    int checked = drift_reference(d)->n - d->learnt;
    text_clear(t);
    add_what(d, monitor, t);
    verdict_add(
        v, monitor_names[monitor], promise_word(d, p),
        "%s: %s: alarm above %.2f, which is once in %.0f windows without change (simulated %.0f +- %.0f, "
        "learnt from %d windows); in the %d others %d false alarm%s, %.3g in 1000 windows (95 %% %.3g to "
        "%.3g; stated %.3g), in other orders %.3g%s",
        monitor_names[monitor], t->data, d->monitors[monitor].threshold, d->arl, p->simulated.run_length,
        p->simulated.error, d->learnt, checked, p->alarms, plural(p->alarms), 1000 * p->rate.estimate,
        1000 * p->rate.low, 1000 * p->rate.high, 1000 / d->arl, 1000 * p->reordered,
        is_too_frequent(d, p) ? ": the reference itself changes" : "");
}

/* ---- the changes ---- */

static void add_as_it_happened(const struct stream *s, int monitor, struct text *t)
{
    const struct found_change *f = &s->found[monitor];
    int after = s->n - s->before;
    if (f->alarm >= 0)
        text_printf(t, "%s raises its alarm at step %lld, window %d after the change at step %lld",
                    monitor_names[monitor], (long long)s->step[f->alarm], f->alarm - s->before + 1,
                    (long long)s->change);
    else
        text_printf(t, "%s raises no alarm in the %d window%s after the change at step %lld",
                    monitor_names[monitor], after, plural(after), (long long)s->change);
    if (f->false_alarms > 0)
        text_printf(t, ", and %d in the %d windows before", f->false_alarms, s->before);
}

static void add_delays(const struct drift *d, const struct stream *s, int monitor, struct text *t)
{
    const struct drift_delay *delay = &s->found[monitor].delay;
    text_printf(t, "; in %d other orders of the windows ", d->simulation.streams);
    if (isnan(delay->median))
        text_printf(t, "it misses %.3g %%", 100 * delay->missed);
    else
        text_printf(t, "after %.3g on average, median %.0f", delay->mean, delay->median);
    if (!isnan(delay->p90))
        text_printf(t, ", 90 %% within %.0f", delay->p90);
    else if (!isnan(delay->median))
        text_printf(t, ", missed in %.3g %%", 100 * delay->missed);
    if (s->before > 0)
        text_printf(t, "; a false alarm before in %.3g %%", 100 * s->found[monitor].early);
}

static void judge_change(const struct drift *d, const struct stream *s, int monitor, struct verdicts *v,
                         struct text *t)
{
    text_clear(t);
    add_as_it_happened(s, monitor, t);
    add_delays(d, s, monitor, t);
    if (drift_finding(d, s, monitor) == DRIFT_UNLIKE)
        text_add(t, "; before its change already it is not like the reference, so that delays mean nothing");
    verdict_add(v, s->run->name, drift_finding_names[drift_finding(d, s, monitor)], "%s: %s", s->run->name,
                t->data);
}

/* Of alarms that are no better than chance, one comes first as well. */
static const char *sooner_word(const struct drift *d, const struct stream *s)
{
    enum drift_finding usage = drift_finding(d, s, MONITOR_USAGE), loss = drift_finding(d, s, MONITOR_LOSS);
    if (usage == DRIFT_UNLIKE || loss == DRIFT_UNLIKE)
        return drift_finding_names[DRIFT_UNLIKE];
    if (usage != DRIFT_DETECTED && loss != DRIFT_DETECTED)
        return "neither";
    if (s->sooner.usage > 0.5)
        return "usage sooner";
    return s->sooner.loss > 0.5 ? "loss sooner" : "no difference";
}

static void judge_sooner(const struct drift *d, const struct stream *s, struct verdicts *v)
{
    const struct sooner *share = &s->sooner;
    verdict_add(
        v, s->run->name, sooner_word(d, s),
        "%s: of %d streams usage is sooner in %.3g %%, loss in %.3g %%, both at once in %.3g %%, neither "
        "in %.3g %%",
        s->run->name, d->simulation.streams, 100 * share->usage, 100 * share->loss, 100 * share->together,
        100 * share->neither);
}

/* ---- to be kept in mind ---- */

static void judge_dependence(const struct drift *d, struct verdicts *v)
{
    if (d->simulation.block > 1)
        verdict_add(
            v, "windows", "note",
            "note: neighbouring windows are alike, so that streams are made of blocks of %d; false alarms "
            "come somewhat more often than stated all the same",
            d->simulation.block);
}

static void judge_unwatched(const struct drift *d, struct verdicts *v)
{
    int n = d->n_layers - count_watched(d);
    if (n > 0)
        verdict_add(v, "layers", "note",
                    "note: %d of %d layers are not watched, since their usage does not vary", n, d->n_layers);
}

/* How much one reference's run length differs from another's is mostly a matter of their windows: a mean over
 * many windows is known better than a moving average by their ratio. */
static void judge_learnt(const struct drift *d, struct verdicts *v)
{
    double rests_on = (2 - d->lambda) / d->lambda;
    if (d->learnt < 20 * rests_on)
        verdict_add(
            v, "reference", "note",
            "note: %d windows to learn from are few for an average of about %.0f: the run length holds over "
            "many such references, this one's may well be a third off",
            d->learnt, rests_on);
}

int drift_judge(struct analysis *a, struct verdicts *v, struct error *err)
{
    const struct drift *d = a->state;
    struct text t;
    text_init(&t);
    for (int m = 0; m < N_MONITORS; m++)
        judge_promise(d, m, v, &t);
    for (int i = 1; i < d->n; i++) {
        for (int m = 0; m < N_MONITORS; m++)
            judge_change(d, &d->items[i], m, v, &t);
        judge_sooner(d, &d->items[i], v);
    }
    judge_dependence(d, v);
    judge_unwatched(d, v);
    judge_learnt(d, v);
    int result = t.failed ? error_no_memory(err, "the verdict") : 0;
    text_release(&t);
    return result;
}
