/* moescope watch: a run that goes on, in the terminal: how far it is, its loss, where its loads go, what
 * alarms there were. It reads, and holds nothing: whoever writes the logbook does not notice. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "analysis/shared/watch.h"
#include "base/options.h"
#include "base/terminal.h"

struct choices {
    const char *run;
    double every;
    bool once;
};

static int check(const struct frame *f, struct error *err)
{
    return f->text.failed ? error_no_memory(err, "the picture") : 0;
}

static int print_once(const struct watch *w, FILE *out, struct error *err)
{
    struct frame f;
    frame_init(&f, terminal_columns(stdout), 0, terminal_has_colours(stdout));
    watch_draw(w, &f);
    int result = check(&f, err);
    if (result == 0)
        fputs(f.text.data, out);
    frame_release(&f);
    return result;
}

static int draw(const struct watch *w, struct screen *s, struct error *err)
{
    struct frame f;
    frame_init(&f, terminal_columns(stdout), terminal_rows(stdout), terminal_has_colours(stdout));
    watch_draw(w, &f);
    int result = check(&f, err);
    if (result == 0)
        screen_draw(s, &f.text);
    frame_release(&f);
    return result;
}

/* Until the next look; 1: that was the last. *status: what the program ends with. */
static int wait_for_next(const struct watch *w, double seconds, struct screen *s, int *status,
                         struct error *err)
{
    int what;
    for (;;)
        switch (screen_wait(s, seconds, &what)) {
        case SCREEN_TIME:
            return 0;
        case SCREEN_RESIZED:
            if (draw(w, s, err) != 0)
                return -1;
            break;
        case SCREEN_KEY:
            if (what == 'q' || what == 'Q')
                return 1;
            break;
        case SCREEN_SIGNAL:
            *status = 128 + what;
            return 1;
        }
}

static int look_on(struct watch *w, double seconds, struct screen *s, int *status, struct error *err)
{
    int last = 0;
    while (last == 0) {
        if (draw(w, s, err) != 0)
            return -1;
        if (w->name && watch_is_over(w))
            return 0;
        last = wait_for_next(w, seconds, s, status, err);
        if (last == 0 && watch_read(w, err) != 0)
            return -1;
    }
    return last < 0 ? -1 : 0;
}

/* The last picture stays behind on the screen that was there before. */
static int take_screen(struct watch *w, double seconds, FILE *out, struct error *err)
{
    struct screen s;
    int status = 0;
    screen_take(&s, out);
    int result = look_on(w, seconds, &s, &status, err);
    screen_give_back(&s);
    if (result == 0)
        result = print_once(w, out, err);
    return result == 0 ? status : -1;
}

static int run(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    const struct choices *c = context;
    struct watch w = {.path = operands[0], .name = c->run};
    (void)n_operands;
    if (!(c->every >= 0.01 && c->every <= 86400))
        return error_set(err, STATUS_USAGE, "--every takes 0.01 seconds to a day, not %g", c->every);
    int result = watch_read(&w, err);
    if (result == 0)
        result =
            c->once || !terminal_is(stdout) ? print_once(&w, out, err) : take_screen(&w, c->every, out, err);
    watch_release(&w);
    return result;
}

int main(int argc, char **argv)
{
    struct choices c = {.every = 1};
    const struct option_spec options[] = {
        {"run", 'r', OPTION_STRING, &c.run, "NAME",
         "that run, until it ends (default: the newest that is running, then the next)"},
        {"once", '1', OPTION_FLAG, &c.once, NULL,
         "print one picture and end; so too where output is no terminal"},
        {"every", 'e', OPTION_REAL, &c.every, "SECONDS", "between two looks (default 1)"},
        {0}};
    const struct program program = {
        .verb = "watch",
        .operands = "DB",
        .purpose = "show a run while it trains: loss, loads, alarms, speed, time left",
        .details =
            "Ends by q or Ctrl-C, and with --run when the run does. The logbook is opened for each look and "
            "closed again,\nso that its writer never waits (on a network file system, where there is no WAL, "
            "for as long as "
            "a look takes). COLUMNS gives the width where output is no "
            "terminal.\n"
            "States of layers are those of moescope collapse, up to now.",
        .examples = "moescope watch log.db\n"
                    "moescope watch log.db --run top1 --every 5\n"
                    "moescope watch log.db --once | tail",
        .options = options,
        .min_operands = 1,
        .max_operands = 1,
    };
    return program_main(&program, argc, argv, NULL, run, &c);
}
