/* moescope watch: one picture where output is no terminal, at any width; on a terminal one that follows the
 * run, its window and the keys, and leaves the screen as it was. And nobody waits for it: a writer that may
 * not wait at all writes on beside it. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/progress.h"
#include "base/text.h"
#include "tests/fixture.h"

enum { EXPERTS = 8, LAYERS = 2, TOKENS = 800, PLANNED = 200, DONE = 120 };

static struct fixture fixture;

/* ---- a run that goes on ---- */

/* From step 60 on layer 0 sends everything to expert 3. Half a second and 800 tokens a step; the loss falls.
 */
static void add_step(struct moescope_batch *b, int64_t step)
{
    static const int64_t even[EXPERTS] = {100, 100, 100, 100, 100, 100, 100, 100}, one[EXPERTS] = {[3] = 800};
    static const double sums[EXPERTS] = {0};
    for (int layer = 0; layer < LAYERS; layer++) {
        struct moescope_load load = {0,    layer, EXPERTS, layer == 0 && step >= 60 ? one : even,
                                     NULL, sums,  sums};
        moescope_batch_load(b, step, "train", &load);
        moescope_batch_layer_metric(b, step, "train", layer, "router_entropy", 0.5 * log(EXPERTS));
    }
    moescope_batch_metric(b, step, "train", "loss", 2 + 6 / (1 + 0.1 * (double)step));
    moescope_batch_metric(b, step, "train", "tokens", (double)TOKENS * (double)(step + 1));
    moescope_batch_metric(b, step, "train", "seconds", 0.5 * (double)(step + 1));
}

static int64_t begin_run(const char *name, int n_layers)
{
    static const struct moescope_setting planned = {"train.steps", "200"};
    struct moescope_layer layers[LAYERS];
    struct error err = {0};
    int64_t run_id;
    for (int i = 0; i < n_layers; i++)
        layers[i] = (struct moescope_layer){
            .layer = i, .router = "topk", .n_experts = EXPERTS, .k = 1, .expert_parameters = 1};
    struct moescope_run run = {.name = name,
                               .task = "language_model",
                               .router = n_layers ? "topk" : "dense",
                               .program = "test",
                               .machine_json = "{}",
                               .seed = 7,
                               .config = &planned,
                               .n_config = 1,
                               .layers = layers,
                               .n_layers = n_layers};
    test_must(moescope_begin_run(fixture.logbook, &run, &run_id, &err), &err);
    return run_id;
}

static struct moescope_writer *open_writer(int64_t run_id)
{
    struct moescope_writer_options options = {.gate_bits = 8};
    struct moescope_writer *w;
    struct error err;
    test_must(moescope_writer_open(&w, fixture.logbook, run_id, &options, &err), &err);
    return w;
}

static void write_steps(struct moescope_writer *w, int64_t first, int64_t end)
{
    struct error err;
    for (int64_t step = first; step < end; step++) {
        struct moescope_batch *b = moescope_batch_new(w, &err);
        test_must(b ? 0 : -1, &err);
        add_step(b, step);
        if (step == 65)
            moescope_batch_event(b, step, "alarm", 0, -1, 1, "collapsed since step 60 (load entropy)");
        test_must(moescope_batch_commit(b, &err), &err);
    }
}

static void write_run(const char *name, int n_layers, int64_t steps, const char *status)
{
    int64_t run_id = begin_run(name, n_layers);
    struct moescope_writer *w = open_writer(run_id);
    struct error err;
    if (n_layers > 0)
        write_steps(w, 0, steps);
    test_must(moescope_writer_close(w, &err), &err);
    if (status)
        test_must(moescope_end_run(fixture.logbook, run_id, status, &err), &err);
}

static int open_all(void **state)
{
    (void)state;
    fixture_open(&fixture, 2, 2);
    fixture.verb = "watch";
    write_run("running", LAYERS, DONE, NULL);
    write_run("new", LAYERS, 0, "failed");
    write_run("dense", 0, 0, "finished");
    write_run("evil\033[2J", LAYERS, 4, "interrupted");
    fixture_finish(&fixture);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    fixture_release(&fixture);
    return 0;
}

/* ---- one picture ---- */

static char *picture_of(const char *arguments)
{
    struct test_run r = fixture_ask(&fixture, "%s", arguments);
    if (r.status != 0 || *r.err)
        fail_msg("status %d: %s", r.status, r.err);
    free(r.err);
    return r.out;
}

static void expect_words(const char *picture, const char *words)
{
    if (!strstr(picture, words))
        fail_msg("'%s' is not in:\n%s", words, picture);
}

static void test_a_picture(void **state)
{
    char *p = picture_of(""); /* the one that runs, not the newest */
    (void)state;
    assert_null(strchr(p, '\033')); /* no terminal */
    expect_words(p, "running  ● running");
    expect_words(p, "topk, 2 MoE layers of 8 experts, 1 a token, seed 7");
    expect_words(p, "60 %");
    expect_words(p, "120 of 200   1.60 k tokens/s   40 s left"); /* 80 steps of half a second */
    expect_words(p, "now 2.465");                                /* 2 + 6 / 12.9 */
    expect_words(p, "load      steps 118 to 119");
    expect_words(p, "layer 0   × × × █ × × × ×    1.0 of 8  collapsed since step 60");
    expect_words(p, "layer 1   ▄ ▄ ▄ ▄ ▄ ▄ ▄ ▄    8.0 of 8  healthy");
    expect_words(p, "step 65   alarm  layer 0  collapsed since step 60 (load entropy)");
    free(p);
}

static void test_other_runs(void **state)
{
    char *p = picture_of("--run new");
    (void)state;
    expect_words(p, "new  ■ failed");
    expect_words(p, "0 of 200");
    assert_null(strstr(p, "load"));
    free(p);
    p = picture_of("--run dense");
    expect_words(p, "dense  ✓ finished");
    free(p);
}

static void test_names_give_no_orders(void **state)
{
    char *p = picture_of("--run \"$(printf 'evil\\033[2J')\"");
    (void)state;
    assert_null(strchr(p, '\033'));
    expect_words(p, "evil\\x1b[2J  ■ interrupted");
    free(p);
}

/* No line is wider than the terminal, and none is lost. */
static void test_any_width(void **state)
{
    static const int widths[] = {1, 12, 20, 40, 79, 80, 81, 132, 250};
    int height = 0;
    (void)state;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        int n = 0;
        char *bin = test_bin();
        struct test_run r =
            test_run("COLUMNS=%d %s/moescope-watch %s --run running", widths[i], bin, fixture.path);
        assert_int_equal(r.status, 0);
        char *rest = r.out;
        for (char *line; (line = strsep(&rest, "\n")) != NULL; n++)
            if (text_columns(line) > widths[i])
                fail_msg("%d columns of %d: '%s'", text_columns(line), widths[i], line);
        assert_true(i == 0 || n == height);
        height = n;
        test_run_release(&r);
        free(bin);
    }
}

static void test_what_is_refused(void **state)
{
    (void)state;
    fixture_status(&fixture, "--run nobody", 3, "nobody");
    fixture_status(&fixture, "--every 0", 2, "--every takes");
    fixture_status(&fixture, "--every x", 2, "x");
    char *bin = test_bin();
    struct test_run r = test_run("%s/moescope-watch %s/none.db", bin, fixture.folder);
    assert_int_equal(r.status, 3);
    test_run_release(&r);
    free(bin);
}

/* ---- on a terminal ---- */

struct session {
    pid_t pid;
    int terminal;
    struct text seen;
};

static void start(struct session *s, int columns, int rows, const char *const *arguments)
{
    struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
    char *bin = test_bin(), *path = NULL;
    const char *argv[16] = {"moescope-watch", fixture.path};
    assert_true(asprintf(&path, "%s/moescope-watch", bin) > 0);
    for (int i = 0; arguments[i]; i++)
        argv[i + 2] = arguments[i];
    text_init(&s->seen);
    s->pid = forkpty(&s->terminal, NULL, NULL, &size);
    if (s->pid == 0) {
        setenv("TERM", "xterm-256color", 1);
        unsetenv("NO_COLOR");
        unsetenv("MOESCOPE_WAIT");
        execv(path, (char *const *)argv);
        _exit(127);
    }
    assert_true(s->pid > 0);
    free(path);
    free(bin);
}

/* Reads what is drawn up to the words; they are awaited for half a minute. */
static void await(struct session *s, const char *words)
{
    struct pollfd p = {.fd = s->terminal, .events = POLLIN};
    double deadline = clock_seconds() + 30;
    char piece[4096];
    const char *found;
    while (!(found = strstr(s->seen.data, words))) {
        if (clock_seconds() > deadline)
            fail_msg("'%s' was not drawn: %s", words, s->seen.data);
        ssize_t n = poll(&p, 1, 100) > 0 ? read(s->terminal, piece, sizeof piece) : 0;
        if (n < 0 && errno != EIO)
            fail_msg("terminal: %s", strerror(errno));
        if (n > 0)
            text_add_bytes(&s->seen, piece, (size_t)n);
    }
    char *rest = strdup(found + strlen(words));
    assert_non_null(rest);
    text_clear(&s->seen);
    text_add(&s->seen, rest);
    free(rest);
}

static int end(struct session *s)
{
    char piece[4096];
    int status;
    while (read(s->terminal, piece, sizeof piece) > 0)
        ;
    while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
        ;
    close(s->terminal);
    text_release(&s->seen);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static const char *const arguments_of_running[] = {"--run", "running", "--every", "0.05", NULL};

static void test_takes_and_gives_back_the_screen(void **state)
{
    struct session s;
    (void)state;
    start(&s, 90, 30, arguments_of_running);
    await(&s, "\033[?1049h\033[?25l");
    await(&s, "collapsed since step 60");
    assert_int_equal(write(s.terminal, "xq", 2), 2); /* x says nothing */
    await(&s, "\033[?25h\033[?1049l");
    await(&s, "collapsed since step 60"); /* the last picture stays */
    assert_int_equal(end(&s), 0);
}

static void test_interrupted(void **state)
{
    struct session s;
    (void)state;
    start(&s, 90, 30, arguments_of_running);
    await(&s, "collapsed since step 60");
    assert_int_equal(write(s.terminal, "\003", 1), 1); /* Ctrl-C */
    await(&s, "\033[?25h\033[?1049l");
    assert_int_equal(end(&s), 128 + SIGINT);
}

static void test_resized(void **state)
{
    struct session s;
    struct winsize small = {.ws_col = 30, .ws_row = 8};
    (void)state;
    start(&s, 90, 30, (const char *const[]){"--run", "running", "--every", "1000", NULL});
    await(&s, "collapsed since step 60");
    assert_int_equal(ioctl(s.terminal, TIOCSWINSZ, &small), 0);
    await(&s, "8 exper…"); /* at once, not after 1000 seconds */
    assert_int_equal(write(s.terminal, "q", 1), 1);
    assert_int_equal(end(&s), 0);
}

/* Ctrl-Z gives the screen back and stops; when it goes on it draws anew. */
static void test_paused(void **state)
{
    struct session s;
    int status;
    (void)state;
    start(&s, 90, 30, (const char *const[]){"--run", "running", "--every", "1000", NULL});
    await(&s, "collapsed since step 60");
    assert_int_equal(kill(s.pid, SIGTSTP), 0);
    await(&s, "\033[?25h\033[?1049l");
    assert_int_equal(waitpid(s.pid, &status, WUNTRACED), s.pid);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(kill(s.pid, SIGCONT), 0);
    await(&s, "\033[?1049h\033[?25l");
    await(&s, "collapsed since step 60");
    assert_int_equal(write(s.terminal, "q", 1), 1);
    assert_int_equal(end(&s), 0);
}

/* ---- beside a writer ---- */

/* The writer's connection fails at once where it would have to wait: so it never had to. The picture follows
 * what is written, ends when the run does, and the file stands alone afterwards. */
static void test_nobody_waits(void **state)
{
    struct session s;
    struct error err;
    (void)state;
    setenv("MOESCOPE_WAIT", "0", 1);
    test_must(moescope_open(&fixture.logbook, fixture.path, &err), &err);
    int64_t run_id = begin_run("live", LAYERS);
    struct moescope_writer *w = open_writer(run_id);
    write_steps(w, 0, 10);
    test_must(moescope_writer_drain(w, &err), &err);
    start(&s, 90, 30, (const char *const[]){"--run", "live", "--every", "0.01", NULL});
    await(&s, "10\033[2m of 200");
    for (int64_t step = 10; step < PLANNED; step += 10) {
        write_steps(w, step, step + 10);
        test_must(moescope_writer_drain(w, &err), &err);
        usleep(5000);
    }
    await(&s, "200\033[2m of 200");
    test_must(moescope_writer_close(w, &err), &err);
    test_must(moescope_end_run(fixture.logbook, run_id, "finished", &err), &err);
    await(&s, "✓ finished");
    assert_int_equal(end(&s), 0);
    assert_true(moescope_close(fixture.logbook));
    fixture.logbook = NULL;
    unsetenv("MOESCOPE_WAIT");
}

/* Resumed from step 50: what came later is forgotten, and so it is here. */
static void test_goes_back_with_a_resume(void **state)
{
    struct session s;
    struct error err;
    int64_t run_id;
    (void)state;
    test_must(moescope_open(&fixture.logbook, fixture.path, &err), &err);
    start(&s, 90, 30, arguments_of_running);
    await(&s, "collapsed since step 60");
    test_must(moescope_resume_run(fixture.logbook, "running", 50, &run_id, &err), &err);
    await(&s, "50\033[2m of 200");
    assert_int_equal(write(s.terminal, "q", 1), 1);
    await(&s, "steps 48 to 49");
    assert_int_equal(end(&s), 0);
    moescope_close(fixture.logbook);
    fixture.logbook = NULL;
}

static void test_silence(void **state)
{
    (void)state;
    test_sql(fixture.path,
             "UPDATE run SET heartbeat_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-10 minutes') "
             "WHERE name = 'running';");
    char *p = picture_of("--run running");
    expect_words(p, "○ silent for 10 min");
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_picture),
        cmocka_unit_test(test_other_runs),
        cmocka_unit_test(test_names_give_no_orders),
        cmocka_unit_test(test_any_width),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_takes_and_gives_back_the_screen),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_resized),
        cmocka_unit_test(test_paused),
        cmocka_unit_test(test_nobody_waits),
        cmocka_unit_test(test_goes_back_with_a_resume),
        cmocka_unit_test(test_silence),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
