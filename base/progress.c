#include "base/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/terminal.h"
#include "base/text.h"

static const double seconds_between_draws = 0.1, seconds_between_lines = 5;

double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void progress_start(struct progress *p, const char *label, int64_t total, int64_t already_done, bool quiet)
{
    *p = (struct progress){.label = label,
                           .total = total,
                           .done = already_done,
                           .resumed_from = already_done,
                           .started = clock_seconds(),
                           .terminal = terminal_is(stderr),
                           .quiet = quiet};
    p->colour = p->terminal && terminal_has_colours(stderr);
    p->last_drawn = p->started - (p->terminal ? seconds_between_draws : 0); /* a bar shows at once */
}

static double fraction_done(const struct progress *p)
{
    if (p->total <= 0)
        return 0;
    double f = (double)p->done / (double)p->total;
    return f < 0 ? 0 : f > 1 ? 1 : f;
}

/* From this process's own speed: what was done before a resume took none of its time. */
static void add_time_left(const struct progress *p, struct text *t)
{
    char buffer[32];
    int64_t here = p->done - p->resumed_from;
    if (here <= 0 || p->done >= p->total)
        return;
    double each = (clock_seconds() - p->started) / (double)here;
    text_printf(t, "  %s left", text_duration(buffer, each * (double)(p->total - p->done)));
}

/* "37 %  4 min 05 s left  note", or just the count where the total is not known. */
static void add_state(const struct progress *p, const char *note, bool with_count, struct text *t)
{
    char buffer[32];
    if (p->total <= 0)
        text_printf(t, "%s", text_count(buffer, (double)p->done));
    else {
        text_printf(t, "%3d %%", (int)(fraction_done(p) * 100));
        if (with_count)
            text_printf(t, " (%lld of %lld)", (long long)p->done, (long long)p->total);
        add_time_left(p, t);
    }
    if (note && *note)
        text_printf(t, "  %s", note);
}

static void add_bar(const struct progress *p, int width, struct text *t)
{
    int full = (int)(fraction_done(p) * width + 0.5);
    if (p->colour)
        text_add(t, "\033[36m");
    for (int i = 0; i < width; i++)
        text_add(t, i < full ? "━" : p->colour ? "" : "─");
    if (p->colour) {
        text_add(t, "\033[2m");
        for (int i = full; i < width; i++)
            text_add(t, "━");
        text_add(t, "\033[0m");
    }
}

/* One write, so that lines of other threads cannot land inside it. */
static void write_out(const struct text *t)
{
    if (t->failed)
        return;
    fwrite(t->data, 1, t->length, stderr);
    fflush(stderr);
}

static void draw_bar(const struct progress *p, const char *note)
{
    struct text state, line;
    text_init(&state);
    text_init(&line);
    add_state(p, note, false, &state);
    /* The last column stays free: a character there would scroll some terminals. */
    int room = terminal_columns(stderr) - 1 - text_columns(p->label) - 2;
    int bar = room - text_columns(state.data) - 1;
    bar = bar > 30 ? 30 : bar;
    text_printf(&line, "\r%s  ", p->label);
    /* cppcheck-suppress knownConditionTrueFalse ; it does not see what columns_of and room can be */
    if (p->total > 0 && bar >= 5) {
        add_bar(p, bar, &line);
        text_add(&line, " ");
    }
    text_add_bytes(&line, state.data, text_bytes_of_columns(state.data, room > 0 ? room : 0));
    text_add(&line, "\033[K"); /* whatever a longer line left behind */
    write_out(&line);
    text_release(&state);
    text_release(&line);
}

static void write_line(const struct progress *p, const char *note)
{
    struct text line;
    text_init(&line);
    text_printf(&line, "%s: ", p->label);
    add_state(p, note, true, &line);
    text_add(&line, "\n");
    write_out(&line);
    text_release(&line);
}

void progress_update(struct progress *p, int64_t done, const char *note)
{
    p->done = done;
    if (p->quiet)
        return;
    double now = clock_seconds();
    if (now - p->last_drawn < (p->terminal ? seconds_between_draws : seconds_between_lines))
        return;
    p->last_drawn = now;
    if (p->terminal)
        draw_bar(p, note);
    else
        write_line(p, note);
}

void progress_say(struct progress *p, const char *line)
{
    struct text t;
    text_init(&t);
    text_printf(&t, "%s%s: %s\n", p->terminal && !p->quiet ? "\r\033[K" : "", p->label, line);
    write_out(&t);
    text_release(&t);
    p->last_drawn = 0;
}

void progress_finish(struct progress *p, const char *note)
{
    if (p->quiet)
        return;
    char count[32], time[32];
    struct text line;
    text_init(&line);
    text_printf(&line, "%s%s: ", p->terminal ? "\r\033[K" : "", p->label);
    if (p->total > 0 && p->done < p->total)
        text_printf(&line, "%s of ", text_count(count, (double)p->done));
    text_printf(&line, "%s", text_count(count, (double)(p->total > 0 ? p->total : p->done)));
    text_printf(&line, " in %s", text_duration(time, clock_seconds() - p->started));
    text_printf(&line, "%s%s\n", note && *note ? "  " : "", note ? note : "");
    write_out(&line);
    text_release(&line);
}
