#include "base/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/progress.h"

bool terminal_is(FILE *stream)
{
    const char *term = getenv("TERM");
    return term && strcmp(term, "dumb") != 0 && isatty(fileno(stream));
}

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value && *value;
}

bool terminal_has_colours(FILE *stream)
{
    if (is_set("NO_COLOR"))
        return false;
    return terminal_is(stream) || is_set("CLICOLOR_FORCE");
}

/* A small number in the environment; 0: none. */
static int number_of(const char *name)
{
    const char *told = getenv(name);
    long value = told ? strtol(told, NULL, 10) : 0;
    return value > 0 && value <= 10000 ? (int)value : 0;
}

int terminal_columns(FILE *stream)
{
    struct winsize size;
    if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    int told = number_of("COLUMNS");
    return told ? told : 80;
}

int terminal_rows(FILE *stream)
{
    struct winsize size;
    return ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : 24;
}

/* ---- signals ---- */

static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
enum { N_ENDS = sizeof ends / sizeof ends[0] };

static volatile sig_atomic_t asked_to_end; /* the signal's number */
static volatile sig_atomic_t resized, pausing;

static void on_signal(int number)
{
    if (number == SIGWINCH)
        resized = 1;
    else if (number == SIGTSTP)
        pausing = 1;
    else
        asked_to_end = number;
}

/* Without SA_RESTART: they wake up who waits. */
static void catch (int number)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(number, &action, NULL);
}

/* ---- the screen ---- */

/* The alternate screen, its cursor hidden; and back. */
static const char take[] = "\033[?1049h\033[?25l\033[2J", give_back[] = "\033[?25h\033[?1049l";

static struct termios before; /* of standard input, if it is a terminal */
static bool changed_input;

static void quieten_input(void)
{
    struct termios quiet;
    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return;
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* signals by key stay */
    quiet.c_cc[VMIN] = 0;
    quiet.c_cc[VTIME] = 0;
    changed_input = tcsetattr(STDIN_FILENO, TCSANOW, &quiet) == 0;
}

static void put(const struct screen *s, const char *bytes, size_t n)
{
    fwrite(bytes, 1, n, s->out);
    fflush(s->out);
}

void screen_take(struct screen *s, FILE *out)
{
    *s = (struct screen){out, true};
    for (int i = 0; i < N_ENDS; i++)
        catch (ends[i]);
    catch (SIGWINCH);
    catch (SIGTSTP);
    quieten_input();
    put(s, take, sizeof take - 1);
}

void screen_give_back(struct screen *s)
{
    if (!s->taken)
        return;
    put(s, give_back, sizeof give_back - 1);
    if (changed_input)
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
    changed_input = s->taken = false;
}

/* In one write, each line ended by what clears the rest of it, so that nothing flickers. */
void screen_draw(struct screen *s, const struct text *picture)
{
    struct text t;
    text_init(&t);
    text_add(&t, "\033[H");
    const char *end, *line = picture->data;
    for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        text_add_bytes(&t, line, (size_t)(end - line));
        text_add(&t, end[1] ? "\033[K\r\n" : "\033[K");
    }
    text_add(&t, "\033[J");
    if (!t.failed)
        put(s, t.data, t.length);
    text_release(&t);
}

/* Stops as the default would, the screen given back meanwhile. */
static void pause_here(struct screen *s)
{
    FILE *out = s->out;
    pausing = 0;
    screen_give_back(s);
    kill(getpid(), SIGSTOP);
    screen_take(s, out);
}

enum screen_event screen_wait(struct screen *s, double seconds, int *what)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    double end = clock_seconds() + seconds;
    char key;
    for (;;) {
        double left = end - clock_seconds();
        if (asked_to_end) {
            *what = asked_to_end;
            return SCREEN_SIGNAL;
        }
        if (pausing) {
            pause_here(s);
            return SCREEN_RESIZED;
        }
        if (resized) {
            resized = 0;
            return SCREEN_RESIZED;
        }
        if (left <= 0)
            return SCREEN_TIME;
        int n = poll(&input, 1, (int)(left * 1000) + 1);
        if (n > 0 && read(STDIN_FILENO, &key, 1) == 1) {
            *what = (unsigned char)key;
            return SCREEN_KEY;
        }
        if (n > 0)
            input.fd = -1; /* at its end: nobody will press a key */
    }
}
