#include "base/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

/* What getopt_long returns for the option at index i of the table: beyond every character, so that a long
 * option and a letter cannot be taken for one another. */
enum { LONG_OPTION = 1000, HELP_OPTION = 500, VERSION_OPTION = 501 };

void string_list_release(struct string_list *list)
{
    free(list->items);
    *list = (struct string_list){0};
}

static int string_list_add(struct string_list *list, const char *item, struct error *err)
{
    const char **items = realloc(list->items, ((size_t)list->n + 1) * sizeof *items);
    if (!items)
        return error_no_memory(err, "the command line");
    items[list->n++] = item;
    list->items = items;
    return 0;
}

static int count_options(const struct program *p)
{
    int n = 0;
    while (p->options && p->options[n].name)
        n++;
    return n;
}

static int usage_error(const struct program *p, struct error *err, const char *message)
{
    return error_set(err, STATUS_USAGE, "%s; see 'moescope %s --help'", message, p->verb);
}

/* ---- help ---- */

/* "-r, --run NAME" */
static void add_option_left(struct text *t, const struct option_spec *o)
{
    if (o->letter)
        text_printf(t, "  -%c, --%s", o->letter, o->name);
    else
        text_printf(t, "      --%s", o->name);
    if (o->kind != OPTION_FLAG)
        text_printf(t, " %s", o->argument ? o->argument : "VALUE");
}

static void add_option_line(struct text *t, const struct option_spec *o, size_t width)
{
    size_t start = t->length;
    add_option_left(t, o);
    while (!t->failed && t->length - start < width)
        text_add(t, " ");
    text_printf(t, "  %s%s\n", o->help ? o->help : "", o->kind == OPTION_LIST ? " (may be repeated)" : "");
}

static bool letter_taken(const struct program *p, char letter)
{
    for (int i = 0; i < count_options(p); i++)
        if (p->options[i].letter == letter)
            return true;
    return false;
}

static void add_options(struct text *t, const struct program *p)
{
    struct option_spec help = {"help",          letter_taken(p, 'h') ? 0 : 'h', OPTION_FLAG, NULL, NULL,
                               "show this help"};
    struct option_spec version = {"version", 0, OPTION_FLAG, NULL, NULL, "show the version"};
    int n = count_options(p);
    struct text left;
    size_t width = strlen("      --version");
    text_init(&left);
    for (int i = 0; i < n; i++) {
        text_clear(&left);
        add_option_left(&left, &p->options[i]);
        width = left.length > width ? left.length : width;
    }
    text_release(&left);
    text_add(t, "\nOptions:\n");
    for (int i = 0; i < n; i++)
        add_option_line(t, &p->options[i], width);
    add_option_line(t, &help, width);
    add_option_line(t, &version, width);
}

static void add_example_lines(struct text *t, const char *lines)
{
    text_add(t, "\nExamples:\n");
    while (*lines) {
        size_t n = strcspn(lines, "\n");
        if (n > 0) {
            text_add(t, "  ");
            text_add_bytes(t, lines, n);
        }
        text_add(t, "\n");
        lines += n + (lines[n] == '\n');
    }
}

/* The first line is read by the dispatcher: "moescope VERB - PURPOSE". */
static int print_help(const struct program *p, struct error *err)
{
    struct text t;
    text_init(&t);
    text_printf(&t, "moescope %s - %s\n\nUsage: moescope %s [OPTION]...", p->verb, p->purpose, p->verb);
    if (p->operands && *p->operands)
        text_printf(&t, " %s", p->operands);
    text_add(&t, "\n");
    add_options(&t, p);
    if (p->details)
        text_printf(&t, "\n%s%s", p->details,
                    *p->details && p->details[strlen(p->details) - 1] == '\n' ? "" : "\n");
    if (p->examples)
        add_example_lines(&t, p->examples);
    int result = t.failed ? error_no_memory(err, "the help") : 0;
    if (result == 0)
        fwrite(t.data, 1, t.length, stdout);
    text_release(&t);
    return result;
}

/* ---- values ---- */

static int parse_int(const struct option_spec *o, const char *value, struct error *err)
{
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    if (end == value || *end || isspace((unsigned char)*value))
        return error_set(err, STATUS_USAGE, "option '--%s' needs a whole number, not '%s'", o->name, value);
    if (errno == ERANGE)
        return error_set(err, STATUS_USAGE, "the number '%s' of option '--%s' is too large", value, o->name);
    *(int64_t *)o->target = n;
    return 0;
}

static int parse_real(const struct option_spec *o, const char *value, struct error *err)
{
    char *end;
    double x = strtod(value, &end);
    if (end == value || *end || isspace((unsigned char)*value) || !isfinite(x))
        return error_set(err, STATUS_USAGE, "option '--%s' needs a number, not '%s'", o->name, value);
    *(double *)o->target = x;
    return 0;
}

static int option_store(const struct option_spec *o, const char *value, struct error *err)
{
    switch (o->kind) {
    case OPTION_FLAG:
        *(bool *)o->target = true;
        return 0;
    case OPTION_STRING:
        *(const char **)o->target = value;
        return 0;
    case OPTION_INT:
        return parse_int(o, value, err);
    case OPTION_REAL:
        return parse_real(o, value, err);
    case OPTION_LIST:
        return string_list_add(o->target, value, err);
    }
    return 0;
}

/* ---- parsing ---- */

/* The table in getopt's own terms. */
struct getopt_tables {
    struct option *longs;
    char *letters;
    int n;
};

static void getopt_tables_release(struct getopt_tables *g)
{
    free(g->longs);
    free(g->letters);
}

static int getopt_tables_init(struct getopt_tables *g, const struct program *p, struct error *err)
{
    int n = count_options(p);
    *g = (struct getopt_tables){calloc((size_t)n + 3, sizeof *g->longs), calloc((size_t)n + 2, 2), n};
    if (!g->longs || !g->letters) {
        getopt_tables_release(g);
        return error_no_memory(err, "the command line");
    }
    char *letter = g->letters;
    *letter++ = ':'; /* a missing argument is told apart from an unknown option */
    for (int i = 0; i < n; i++) {
        const struct option_spec *o = &p->options[i];
        int takes = o->kind == OPTION_FLAG ? no_argument : required_argument;
        g->longs[i] = (struct option){o->name, takes, NULL, LONG_OPTION + i};
        if (o->letter)
            *letter++ = o->letter;
        if (o->letter && takes == required_argument)
            *letter++ = ':';
    }
    if (!letter_taken(p, 'h'))
        *letter++ = 'h';
    g->longs[n] = (struct option){"help", no_argument, NULL, HELP_OPTION};
    g->longs[n + 1] = (struct option){"version", no_argument, NULL, VERSION_OPTION};
    return 0;
}

/* The table's entry for what getopt_long returned, or NULL. */
static const struct option_spec *option_of(const struct program *p, int code)
{
    for (int i = 0; i < count_options(p); i++)
        if (code == LONG_OPTION + i || (p->options[i].letter && code == p->options[i].letter))
            return &p->options[i];
    return NULL;
}

static int unknown_option(const struct program *p, const struct getopt_tables *g, const char *word,
                          struct error *err)
{
    char message[512], name[64];
    const char *names[64];
    int n = 0;
    for (; n < g->n + 2 && n < 64; n++)
        names[n] = g->longs[n].name;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    const char *near = nearest_name(name, names, n);
    if (near)
        snprintf(message, sizeof message, "unknown option '--%s', did you mean '--%s'?", name, near);
    else
        snprintf(message, sizeof message, "unknown option '%.300s'", word);
    return usage_error(p, err, message);
}

static bool is_ambiguous(const struct getopt_tables *g, const char *word)
{
    size_t n = strcspn(word + 2, "=");
    for (int i = 0; i < g->n + 2; i++)
        if (n > 0 && strncmp(g->longs[i].name, word + 2, n) == 0)
            return true;
    return false;
}

/* What getopt_long would have printed, in our words. */
static int refuse(const struct program *p, const struct getopt_tables *g, int code, char **argv,
                  struct error *err)
{
    char message[512];
    const struct option_spec *o = option_of(p, optopt);
    const char *word = optind > 0 ? argv[optind - 1] : "";
    if (code == ':' && o)
        snprintf(message, sizeof message, "option '--%s' needs %s", o->name,
                 o->argument ? o->argument : "a value");
    else if (optopt >= HELP_OPTION)
        snprintf(message, sizeof message, "option '%.*s' takes no value", (int)strcspn(word, "="), word);
    else if (optopt)
        snprintf(message, sizeof message, "unknown option '-%c'", optopt);
    else if (is_ambiguous(g, word))
        snprintf(message, sizeof message, "option '%.300s' is short for more than one", word);
    else
        return unknown_option(p, g, word, err);
    return usage_error(p, err, message);
}

static int check_operands(const struct program *p, int n, char **operands, struct error *err)
{
    char message[512];
    if (n < p->min_operands)
        snprintf(message, sizeof message, "missing operand, expected %s", p->operands);
    else if (p->max_operands >= 0 && n > p->max_operands)
        snprintf(message, sizeof message, "unexpected operand '%.300s'", operands[p->max_operands]);
    else
        return 0;
    return usage_error(p, err, message);
}

/* A bad value ends with the same hint as a bad option. */
static int store_or_hint(const struct program *p, const struct option_spec *o, struct error *err)
{
    struct error cause = {0};
    if (option_store(o, optarg, &cause) == 0)
        return 0;
    if (cause.status == STATUS_USAGE)
        return usage_error(p, err, cause.text);
    return error_set(err, cause.status, "%s", cause.text);
}

int options_parse(const struct program *p, int argc, char **argv, int *first, bool *done, struct error *err)
{
    struct getopt_tables g;
    *done = false;
    if (getopt_tables_init(&g, p, err) != 0)
        return -1;
    opterr = 0;
    optind = 0; /* start anew, whoever called getopt before */
    int code, result = 0;
    while (result == 0 && !*done && (code = getopt_long(argc, argv, g.letters, g.longs, NULL)) != -1) {
        const struct option_spec *o = option_of(p, code);
        if (code == '?' || code == ':')
            result = refuse(p, &g, code, argv, err);
        else if (o)
            result = store_or_hint(p, o, err);
        else {
            *done = true;
            if (code == VERSION_OPTION)
                printf("moescope %s %s\n", p->verb, MOESCOPE_VERSION);
            else
                result = print_help(p, err);
        }
    }
    *first = optind;
    if (result == 0 && !*done)
        result = check_operands(p, argc - optind, argv + optind, err);
    getopt_tables_release(&g);
    return result;
}

/* ---- the end of a program ---- */

/* Whoever read our output has gone, as `head` does when it has seen enough. Asked of the descriptor, since
 * errno of the failed write may be long gone. */
static bool reader_left(FILE *f)
{
    struct pollfd p = {.fd = fileno(f), .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP));
}

int program_finish(const struct program *p, int result, const struct error *err)
{
    int status = result;
    if (result < 0) {
        struct text text;
        text_init(&text);
        text_add_visible(&text, err->text, "\n\t");
        fprintf(stderr, "moescope %s: %s\n", p->verb, text.failed ? err->text : text.data);
        text_release(&text);
        status = err->status == STATUS_OK ? STATUS_MACHINE : (int)err->status;
    }
    errno = 0;
    if ((fflush(stdout) != 0 || ferror(stdout)) && !reader_left(stdout)) {
        fprintf(stderr, "moescope %s: cannot write to standard output%s%s\n", p->verb, errno ? ": " : "",
                errno ? strerror(errno) : "");
        status = STATUS_MACHINE;
    }
    return status;
}

/* ---- names ---- */

enum { LONGEST_NAME = 64 };

static int least(int a, int b, int c)
{
    int m = a < b ? a : b;
    return m < c ? m : c;
}

/* Letters to insert, drop, change or swap with their neighbour to turn a into b (optimal string alignment).
 * Three rows of the usual table are enough. */
static int edit_distance(const char *a, const char *b)
{
    int rows[3][LONGEST_NAME + 1], *before = rows[0], *above = rows[1], *row = rows[2];
    int n = (int)strlen(b);
    for (int j = 0; j <= n; j++)
        above[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            bool same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + !same);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        int *reused = before;
        before = above;
        above = row;
        row = reused;
    }
    return above[n];
}

const char *nearest_name(const char *word, const char *const *names, int n)
{
    size_t length = strlen(word);
    const char *best = NULL;
    if (length == 0 || length > LONGEST_NAME)
        return NULL;
    int best_distance = 2 + (int)length / 4; /* one slip, and one more in every four letters */
    for (int i = 0; i < n; i++) {
        if (strlen(names[i]) > LONGEST_NAME)
            continue;
        bool begins = length >= 3 && strncmp(names[i], word, length) == 0;
        int distance = begins ? 1 : edit_distance(word, names[i]);
        if (distance < best_distance && distance < (int)length) {
            best = names[i];
            best_distance = distance;
        }
    }
    return best;
}

int program_main(const struct program *p, int argc, char **argv, const char *const *output, program_body *run,
                 void *context)
{
    struct output out = {0};
    struct error err = {0};
    bool done = false;
    int first, result = options_parse(p, argc, argv, &first, &done, &err);

    if (result == 0 && !done)
        result = output_open(&out, output ? *output : NULL, &err);
    if (result == 0 && !done) {
        result = run(context, argv + first, argc - first, out.stream, &err);
        if (result >= 0 && output_commit(&out, &err))
            result = -1;
        output_discard(&out);
    }
    return program_finish(p, result, &err);
}
