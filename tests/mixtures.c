#include "tests/mixtures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/support.h"

enum { SIDE = 8, LETTERS = 16, TIMES = 16, COLUMNS = 5, MOST = 64 };

struct file { /* an IDX file in the making */
    uint8_t bytes[16 + MIXTURES_TRAIN * MOST * 4];
    size_t n;
};

static void add_word(struct file *f, uint32_t word)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        f->bytes[f->n++] = (uint8_t)(word >> shift);
}

static void add_real(struct file *f, float x)
{
    uint32_t word;

    memcpy(&word, &x, sizeof word);
    add_word(f, word);
}

static void begin(struct file *f, uint8_t type, int n, int a, int b)
{
    f->n = 0;
    add_word(f, (uint32_t)type << 8 | (uint32_t)(1 + (a > 0) + (b > 0)));
    add_word(f, (uint32_t)n);
    if (a > 0)
        add_word(f, (uint32_t)a);
    if (b > 0)
        add_word(f, (uint32_t)b);
}

static void add_picture(struct file *x, struct file *y, int i, struct random *r)
{
    for (int p = 0; p < SIDE * SIDE; p++)
        x->bytes[x->n++] = (uint8_t)(random_below(r, 100) + (p / (SIDE * SIDE / 2) == i % 2 ? 150 : 0));
    y->bytes[y->n++] = (uint8_t)(i % 2);
}

static void add_text(struct file *x, struct file *y, int i, struct random *r)
{
    for (int p = 0; p < LETTERS; p++)
        x->bytes[x->n++] = (uint8_t)('a' + 8 * (i % 3) + (int)random_below(r, 8));
    y->bytes[y->n++] = (uint8_t)(i % 3);
}

static void add_series(struct file *x, struct file *y, int i, struct random *r)
{
    double value = 0.0;

    (void)i;
    for (int t = 0; t < TIMES; t++)
        add_real(x, (float)(value += random_normal(r)));
    add_real(y, (float)(value / 10.0));
}

static void add_row(struct file *x, struct file *y, int i, struct random *r)
{
    for (int c = 0; c < COLUMNS; c++)
        add_real(x, (float)(c == 0 ? (i % 2 ? 1.0 : -1.0) * (0.5 + random_uniform(r)) : random_normal(r)));
    y->bytes[y->n++] = (uint8_t)(i % 2);
}

static const struct {
    const char *name, *kind, *classes;
    uint8_t inputs, targets; /* types of IDX */
    int a, b;
    void (*add)(struct file *x, struct file *y, int i, struct random *r);
} sources[MIXTURES_SOURCES] = {{"pictures", "image", "above\nbelow\n", 8, 8, SIDE, SIDE, add_picture},
                               {"words", "text", "early\nmiddle\nlate\n", 8, 8, LETTERS, 0, add_text},
                               {"walks", "series", NULL, 13, 13, TIMES, 1, add_series},
                               {"rows", "table", "minus\nplus\n", 13, 8, COLUMNS, 0, add_row}};

static void write_set(const char *folder, int s, const char *set, int n, uint64_t seed)
{
    struct file *x = calloc(1, sizeof *x), *y = calloc(1, sizeof *y);
    char name[64];
    struct random r;

    assert_true(x && y);
    random_seed(&r, seed, (uint64_t)s);
    begin(x, sources[s].inputs, n, sources[s].a, sources[s].b);
    begin(y, sources[s].targets, n, 0, 0);
    for (int i = 0; i < n; i++)
        sources[s].add(x, y, i, &r);
    snprintf(name, sizeof name, "%s-inputs.idx.gz", set);
    test_write(folder, name, x->bytes, x->n);
    snprintf(name, sizeof name, "%s-targets.idx.gz", set);
    test_write(folder, name, y->bytes, y->n);
    free(x);
    free(y);
}

void mixtures_write(const char *folder)
{
    char path[4096], list[256] = "";

    for (int s = 0; s < MIXTURES_SOURCES; s++) {
        struct test_run r = test_run("mkdir %s/%s", folder, sources[s].name);
        assert_int_equal(r.status, 0);
        test_run_release(&r);
        snprintf(path, sizeof path, "%s/%s", folder, sources[s].name);
        write_set(path, s, "train", MIXTURES_TRAIN, 1);
        write_set(path, s, "test", MIXTURES_TEST, 2);
        if (sources[s].classes)
            test_write(path, "classes.txt", sources[s].classes, strlen(sources[s].classes));
        size_t at = strlen(list);
        snprintf(list + at, sizeof list - at, "%s\t%s\n", sources[s].name, sources[s].kind);
    }
    test_write(folder, "sources.txt", list, strlen(list));
}
