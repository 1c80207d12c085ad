/* base/progress.h: the bar on a terminal, the lines elsewhere. Time is not waited for: the clock's readings
 * in `struct progress` are moved into the past. */
#include "base/progress.h"

#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* stderr goes into a pipe or a terminal `columns` wide until it is taken back. */
struct capture {
    int kept, from;
};

static struct capture capture_begin(int columns)
{
    struct capture c;
    int ends[2];
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    if (columns)
        assert_int_equal(openpty(&ends[0], &ends[1], NULL, NULL, &size), 0);
    else
        assert_int_equal(pipe(ends), 0);
    c.kept = dup(2);
    c.from = ends[0];
    assert_int_equal(dup2(ends[1], 2), 2);
    close(ends[1]);
    assert_int_equal(fcntl(c.from, F_SETFL, O_NONBLOCK), 0);
    return c;
}

/* What was written since the last call, at most n - 1 bytes. */
static void capture_read(struct capture *c, char *said, size_t n)
{
    ssize_t got, length = 0;
    while ((got = read(c->from, said + length, n - 1 - (size_t)length)) > 0)
        length += got;
    said[length] = '\0';
}

static void capture_end(struct capture *c)
{
    dup2(c->kept, 2);
    close(c->kept);
    close(c->from);
}

static int set_terminal(void **state)
{
    (void)state;
    unsetenv("NO_COLOR");
    return setenv("TERM", "xterm", 1);
}

static const double ten_hours = 36000;

static void test_plain_lines(void **state)
{
    (void)state;
    struct progress p;
    char said[512];
    struct capture c = capture_begin(0);
    progress_start(&p, "train", 200, 0, false);
    progress_update(&p, 1, "too early");
    capture_read(&c, said, sizeof said);
    char early[512];
    snprintf(early, sizeof early, "%s", said);
    p.started -= ten_hours;
    p.last_drawn -= 6;
    progress_update(&p, 50, "loss 4.21");
    progress_update(&p, 51, "too early again");
    capture_read(&c, said, sizeof said);
    char line[512];
    snprintf(line, sizeof line, "%s", said);
    p.done = 200;
    progress_finish(&p, "done");
    capture_read(&c, said, sizeof said);
    capture_end(&c);
    assert_string_equal(early, "");
    /* A quarter took ten hours, so the rest takes thirty. */
    assert_string_equal(line, "train:  25 % (50 of 200)  1 d 06 h left  loss 4.21\n");
    assert_string_equal(said, "train: 200 in 10 h 00 min  done\n");
}

/* 100 of 200 were there before; a fifth of the rest took ten hours, four fifths are left. */
static void test_time_left_after_a_resume(void **state)
{
    (void)state;
    struct progress p;
    char said[512];
    struct capture c = capture_begin(0);
    progress_start(&p, "train", 200, 100, false);
    p.started -= ten_hours;
    p.last_drawn -= 6;
    progress_update(&p, 120, NULL);
    capture_read(&c, said, sizeof said);
    capture_end(&c);
    assert_string_equal(said, "train:  60 % (120 of 200)  1 d 16 h left\n");
}

static void test_interrupted(void **state)
{
    (void)state;
    struct progress p;
    char said[512];
    struct capture c = capture_begin(0);
    progress_start(&p, "train", 200, 0, false);
    progress_update(&p, 50, NULL);
    p.started -= ten_hours;
    progress_finish(&p, NULL);
    capture_read(&c, said, sizeof said);
    capture_end(&c);
    assert_string_equal(said, "train: 50 of 200 in 10 h 00 min\n");
}

static void test_unknown_total(void **state)
{
    (void)state;
    struct progress p;
    char said[512];
    struct capture c = capture_begin(0);
    progress_start(&p, "read", 0, 0, false);
    p.last_drawn -= 6;
    progress_update(&p, 1234567, "files");
    capture_read(&c, said, sizeof said);
    capture_end(&c);
    assert_string_equal(said, "read: 1.23 M  files\n");
}

static void test_quiet(void **state)
{
    (void)state;
    struct progress p;
    char said[512];
    struct capture c = capture_begin(80);
    progress_start(&p, "train", 10, 0, true);
    p.last_drawn -= 6;
    progress_update(&p, 5, "x");
    progress_finish(&p, "x");
    capture_read(&c, said, sizeof said);
    capture_end(&c);
    assert_string_equal(said, "");
    assert_int_equal(p.done, 5); /* but it still counts */
}

/* Columns a terminal would fill: escape sequences and carriage returns take none. */
static int columns_of(const char *s)
{
    int n = 0;
    for (; *s; s++) {
        if (*s == '\033')
            s += strcspn(s, "Km");
        else
            n += *s != '\r' && ((unsigned char)*s & 0xc0) != 0x80;
    }
    return n;
}

static void draw(int columns, const char *note, char *said, size_t n)
{
    struct progress p;
    struct capture c = capture_begin(columns);
    progress_start(&p, "train", 200, 0, false);
    p.started -= ten_hours;
    progress_update(&p, 50, note);
    capture_read(&c, said, n);
    capture_end(&c);
}

static int count(const char *s, const char *part)
{
    int n = 0;
    for (; (s = strstr(s, part)); s += strlen(part))
        n++;
    return n;
}

static void test_bar(void **state)
{
    (void)state;
    char said[1024];
    draw(100, "loss 4.21", said, sizeof said);
    assert_memory_equal(said, "\rtrain  \033[36m", 13);
    assert_non_null(strstr(said, " 25 %  1 d 06 h left  loss 4.21\033[K"));
    assert_int_equal(count(said, "\xe2\x94\x81"), 30); /* the whole bar is drawn, the rest of it dim */
    assert_null(strchr(said, '\n'));
}

static void test_no_color(void **state)
{
    (void)state;
    char said[1024];
    setenv("NO_COLOR", "1", 1);
    draw(100, NULL, said, sizeof said);
    assert_null(strchr(said, 'm'));                    /* no colour is set; \033[K only clears */
    assert_int_equal(count(said, "\xe2\x94\x81"), 8);  /* a quarter of 30, to the nearest: heavy */
    assert_int_equal(count(said, "\xe2\x94\x80"), 22); /* the rest: light */
}

/* Every width is kept within, the last column left free: first the bar shrinks, then the note is cut. */
static void test_narrow_terminals(void **state)
{
    (void)state;
    char said[1024];
    for (int columns = 10; columns <= 120; columns += 5) {
        draw(columns, "loss 4.21  18 k tok/s, at \xc2\xb5 = 0.1", said, sizeof said);
        assert_true(columns_of(said) <= columns - 1);
    }
    /* 19 columns: 7 of "train  " and 12 more */
    draw(20, "loss 4.21", said, sizeof said);
    assert_non_null(strstr(said, "train   25 %  1 d 0\033[K"));
}

static void test_terminal_leaves_one_line(void **state)
{
    (void)state;
    struct progress p;
    char said[1024];
    struct capture c = capture_begin(80);
    progress_start(&p, "train", 200, 0, false);
    p.started -= ten_hours;
    progress_update(&p, 200, NULL);
    progress_finish(&p, "loss 1.5");
    capture_read(&c, said, sizeof said);
    capture_end(&c);
    const char *last = strrchr(said, 'K'); /* what the last clearing left */
    assert_non_null(last);
    assert_string_equal(last + 1, "train: 200 in 10 h 00 min  loss 1.5\r\n"); /* terminals add the \r */
}

static void test_dumb_terminal_gets_lines(void **state)
{
    (void)state;
    char said[1024];
    setenv("TERM", "dumb", 1);
    draw(80, NULL, said, sizeof said);
    assert_string_equal(said, ""); /* not due yet */
}

static void test_clock(void **state)
{
    (void)state;
    double a = clock_seconds(), b = clock_seconds();
    assert_true(a > 0 && b >= a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_plain_lines, set_terminal),
        cmocka_unit_test_setup(test_time_left_after_a_resume, set_terminal),
        cmocka_unit_test_setup(test_interrupted, set_terminal),
        cmocka_unit_test_setup(test_unknown_total, set_terminal),
        cmocka_unit_test_setup(test_quiet, set_terminal),
        cmocka_unit_test_setup(test_bar, set_terminal),
        cmocka_unit_test_setup(test_no_color, set_terminal),
        cmocka_unit_test_setup(test_narrow_terminals, set_terminal),
        cmocka_unit_test_setup(test_terminal_leaves_one_line, set_terminal),
        cmocka_unit_test_setup(test_dumb_terminal_gets_lines, set_terminal),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
