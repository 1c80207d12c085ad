/* moescope drift: has the stream that a model reads changed, and which tells sooner, the experts it uses or
 * its loss? Two monitors are calibrated on a reference without change to the same average run length, checked
 * on windows they have not learnt from, and followed through the changes of other runs. How soon is a matter
 * of luck in one stream; in other orders of the same windows it has a distribution. */
#include <math.h>
#include <string.h>

#include "analysis/shared/drift.h"

enum { MOST_STREAMS = 1000000 };
static const double longest_run_length = 100000;

static int check_options(const struct drift *d, struct error *err)
{
    if (!(d->arl >= 2 && d->arl <= longest_run_length))
        return error_set(err, STATUS_USAGE, "--arl needs a number of windows from 2 to %g",
                         longest_run_length);
    if (!(d->lambda > 0 && d->lambda <= 1))
        return error_set(err, STATUS_USAGE, "--lambda needs a number above 0 and up to 1");
    if (d->streams < 100 || d->streams > MOST_STREAMS)
        return error_set(err, STATUS_USAGE, "--streams needs a number from 100 to %d", MOST_STREAMS);
    if (d->block < 0 || d->block > INT32_MAX)
        return error_set(err, STATUS_USAGE, "--block needs a number of windows from 1");
    if (strcmp(d->loss_side, "both") != 0 && strcmp(d->loss_side, "upper") != 0)
        return error_set(err, STATUS_USAGE, "a change of the loss is 'both' or 'upper', not '%s'",
                         d->loss_side);
    return 0;
}

static int prepare(struct analysis *a, struct error *err)
{
    struct drift *d = a->state;
    if (check_options(d, err) != 0 || drift_read(d, a, err) != 0 || drift_set_up(d, err) != 0 ||
        drift_follow(d, err) != 0)
        return -1;
    return d->figures ? drift_draw(d, a->path, err) : 0;
}

static void bind(const struct analysis *a, struct query *q)
{
    drift_bind(a->state, q);
}

static int judge(struct analysis *a, struct verdicts *v, struct error *err)
{
    /* --exit-code with another table asks for the finding alone. */
    return analysis_wants(a, "verdict") ? drift_judge(a, v, err) : 0;
}

static bool found(const struct analysis *a)
{
    const struct drift *d = a->state;
    for (int i = 1; i < d->n; i++)
        if (d->items[i].found[MONITOR_USAGE].alarm >= 0)
            return true;
    return false;
}

/* ---- tables ---- */

static void table_step(struct table *t, int64_t step)
{
    if (step >= 0)
        table_int(t, step);
    else
        table_null(t);
}

static int delay_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct drift *d = a->state;
    (void)err;
    for (int i = 1; i < d->n; i++)
        for (int m = 0; m < N_MONITORS; m++) {
            const struct stream *s = &d->items[i];
            const struct found_change *f = &s->found[m];
            table_text(t, s->run->name);
            table_text(t, monitor_names[m]);
            table_text(t, drift_finding_names[drift_finding(d, s, m)]);
            table_int(t, s->change);
            table_step(t, drift_alarm_step(s, m));
            table_figure(t, f->alarm >= 0 ? f->alarm - s->before + 1 : (double)NAN);
            table_figure(t, f->delay.mean);
            table_figure(t, f->delay.median);
            table_figure(t, f->delay.p90);
            table_figure(t, f->delay.missed);
            table_int(t, f->false_alarms);
            table_figure(t, f->early);
            table_int(t, s->before);
            table_int(t, s->n - s->before);
        }
    return 0;
}

static int sooner_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct drift *d = a->state;
    (void)err;
    for (int i = 1; i < d->n; i++) {
        const struct sooner *s = &d->items[i].sooner;
        table_text(t, d->items[i].run->name);
        table_figure(t, s->usage);
        table_figure(t, s->loss);
        table_figure(t, s->together);
        table_figure(t, s->neither);
    }
    return 0;
}

static int monitor_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct drift *d = a->state;
    (void)err;
    for (int m = 0; m < N_MONITORS; m++) {
        const struct promise *p = &d->promises[m];
        table_text(t, monitor_names[m]);
        table_figure(t, d->monitors[m].threshold);
        table_figure(t, d->arl);
        table_figure(t, p->simulated.run_length);
        table_figure(t, p->simulated.error);
        table_int(t, d->learnt);
        table_int(t, drift_reference(d)->n - d->learnt);
        table_int(t, p->alarms);
        table_figure(t, 1000 * p->rate.estimate);
        table_figure(t, 1000 * p->rate.low);
        table_figure(t, 1000 * p->rate.high);
        table_figure(t, 1000 / d->arl);
        table_figure(t, 1000 * p->reordered);
        table_int(t, d->simulation.block);
    }
    return 0;
}

static int layer_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct drift *d = a->state;
    (void)err;
    for (int l = 0; l < d->n_layers; l++) {
        const struct watched_layer *w = &d->layers[l];
        const struct drift_part *part = w->part < 0 ? NULL : &d->monitors[MONITOR_USAGE].parts[w->part];
        table_int(t, w->layer);
        table_int(t, w->n_experts);
        table_int(t, w->n_cells);
        table_figure(t, w->decisions);
        table_figure(t, part ? part->spread * w->decisions / (w->n_cells - 1) : (double)NAN);
        table_figure(t, part ? part->freedom : (double)NAN);
    }
    return 0;
}

/* Means of the shares in windows first .. end - 1; null where there are none. */
static void table_share(struct table *t, const struct drift *d, const struct stream *s,
                        const struct watched_layer *w, int expert, int first, int end)
{
    double sum = 0;
    for (int i = first; i < end; i++)
        sum += drift_loads(d, s, w, i)[expert] / drift_total(d, s, w, i);
    table_figure(t, end > first ? sum / (end - first) : (double)NAN);
}

static int expert_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct drift *d = a->state;
    (void)err;
    for (int i = 1; i < d->n; i++)
        for (int l = 0; l < d->n_layers; l++)
            for (int e = 0; e < d->layers[l].n_experts; e++) {
                const struct stream *s = &d->items[i];
                const struct watched_layer *w = &d->layers[l];
                table_text(t, s->run->name);
                table_int(t, w->layer);
                table_int(t, e);
                table_figure(t, w->share[e]);
                table_share(t, d, s, w, e, 0, s->before);
                table_share(t, d, s, w, e, s->before, s->n);
            }
    return 0;
}

static int window_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct drift *d = a->state;
    (void)err;
    for (int i = 0; i < d->n; i++)
        for (int m = 0; m < N_MONITORS; m++)
            for (int w = 0; w < d->items[i].n; w++) {
                const struct stream *s = &d->items[i];
                table_text(t, s->run->name);
                table_text(t, monitor_names[m]);
                table_int(t, s->step[w]);
                table_figure(t, s->statistic[m][w]);
                table_int(t, s->alarm[m][w]);
                table_text(t, drift_phase(d, s, w));
                table_step(t, drift_layer_of(d, s, m, w));
            }
    return 0;
}

static const struct analysis_table tables[] = {
    {.name = "delays",
     .help =
         "a run and monitor: windows from the change to the alarm, as it happened and in other orders of the "
         "windows",
     .columns = "run,monitor,found,change_step,alarm_step,delay,mean,median,p90,missed,false_alarms,early,"
                "windows_before,windows_after",
     .sql = "analysis/drift_windows",
     .rows = delay_rows},
    {.name = "sooner",
     .help = "a run and which monitor is sooner, in shares of the same streams",
     .columns = "run,usage,loss,together,neither",
     .sql = "analysis/drift_windows",
     .rows = sooner_rows},
    {.name = "monitors",
     .help = "a monitor: its threshold, and false alarms in 1000 windows that it has not learnt from",
     .columns = "monitor,threshold,run_length,simulated,error,learnt,checked,alarms,per_1000,low,high,stated,"
                "reordered,block",
     .sql = "analysis/drift_windows",
     .rows = monitor_rows},
    {.name = "layers",
     .help = "a layer of the reference; dispersion is 1 where decisions are independent",
     .columns = "layer,experts,cells,decisions,dispersion,freedom",
     .sql = "analysis/drift_windows",
     .rows = layer_rows},
    {.name = "experts",
     .help = "a run, layer and expert: its share of the decisions, in the reference and around the change",
     .columns = "run,layer,expert,reference,before,after",
     .sql = "analysis/drift_windows",
     .rows = expert_rows},
    {.name = "windows",
     .help = "a window as a monitor saw it; layer is the one that is farthest off",
     .columns = "run,monitor,step,statistic,alarm,phase,layer",
     .sql = "analysis/drift_windows",
     .rows = window_rows},
    {0}};

static const char details[] =
    "A window is a training step: with a learning rate of 0, what a trained model makes of a stream. `usage` "
    "watches the\nshares of the experts, `loss` the mean loss, both by moving averages of weight --lambda "
    "for the "
    "newest window. The\nfirst half of REFERENCE, a stream without change, says what is usual, and which "
    "threshold "
    "has --arl windows to a\nfalse alarm on average; the second half checks it. Each RUN changes at "
    "--change, or "
    "where its configuration says\n(drift.at). Delays count windows, 1 being the first that is changed; a "
    "stream "
    "that is missed counts as all of them in\n`mean`. Other orders shuffle the windows before and after the "
    "change "
    "apart, in blocks where neighbours are alike.\nfound: detected, by half of the orders within a tenth of "
    "--arl; "
    "late; missed, by half of them or more; unlike, since windows before the change raise more alarms than "
    "the "
    "reference promises.\n";

int main(int argc, char **argv)
{
    struct drift d = {.arl = 500,
                      .lambda = 0.1,
                      .layer = -1,
                      .change = -1,
                      .streams = 2000,
                      .seed = 1,
                      .loss_side = "both"};
    const struct option_spec options[] = {
        {"arl", 0, OPTION_REAL, &d.arl, "N", "windows to a false alarm, on average (default 500)"},
        {"change", 0, OPTION_INT, &d.change, "STEP",
         "first step of the runs that is changed (default: their drift.at)"},
        {"lambda", 0, OPTION_REAL, &d.lambda, "X",
         "weight of the newest window, up to 1: no memory (default 0.1)"},
        {"layer", 0, OPTION_INT, &d.layer, "L",
         "usage of this layer alone (default: all, the farthest off counts)"},
        {"loss-side", 0, OPTION_STRING, &d.loss_side, "SIDE",
         "alarms of the loss: both, or upper for a rise alone (default both)"},
        {"from", 0, OPTION_INT, &d.from, "STEP", "leave out what comes before, in all runs (default 0)"},
        {"block", 0, OPTION_INT, &d.block, "N",
         "windows that stay together in streams (default: by their autocorrelation)"},
        {"streams", 0, OPTION_INT, &d.streams, "N", "streams to simulate (default 2000)"},
        {"seed", 0, OPTION_INT, &d.seed, "N", "of the streams (default 1)"},
        {"figures", 0, OPTION_STRING, &d.figures, "FOLDER",
         "draw both monitors over each run's windows there (gnuplot)"},
        {0}};
    const struct analysis_program program = {
        .command = {.verb = "drift",
                    .operands = "DB REFERENCE [RUN]...",
                    .purpose =
                        "does a stream change, told by expert usage and by the loss: delays and false alarms",
                    .details = details,
                    .examples =
                        "moescope drift log.db steady shifted corrupted --arl 500\n"
                        "moescope drift log.db steady shifted --change 300 --table delays --format csv\n"
                        "moescope drift log.db steady shifted --layer 2 --figures figures\n",
                    .options = options,
                    .min_operands = 2,
                    .max_operands = -1},
        .tables = tables,
        .many_runs = true,
        .prepare = prepare,
        .bind = bind,
        .judge = judge,
        .finding = found,
        .finding_help = "exit with 1 if usage raises an alarm after the change of any run",
    };
    int status = analysis_main(&program, &d, argc, argv);
    drift_release(&d);
    return status;
}
