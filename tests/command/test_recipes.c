/* corpora/: what plain.pl keeps of a package's files, and how the recipes end when they cannot work. Nothing
 * is downloaded here. The working folder is the repository's. */
#include <setjmp.h>
#include <stdarg.h>
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

/* Text enough for a document to be kept (400 bytes), each line its own. */
static void add_filler(struct text *t, const char *word)
{
    for (int i = 0; i < 12; i++)
        text_printf(t, "Sentence %d of %s is here to make the document long.\n", i, word);
}

/* plain.pl over files named in `list`, "CLASS PATH" a line; returns how many documents there are. */
static int convert(const char *folder, const char *kind, const char *language, int bytes, const char *list)
{
    test_write_text(folder, "list", list);
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
    test_write_text(folder, "thing.7", t.data);
    test_write_text(folder, "link.7", ".so man7/thing.7\n");
    test_write_text(folder, "mdoc.7", ".Dd today\n.Dt MDOC 7\n.Sh NAME\n");
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
    test_write_text(folder, "p.7", t.data);
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
    test_write_text(folder, "x.h", c.data);
    test_write_text(folder, "x.py", python.data);
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
    test_write_text(folder, "p.html", t.data);
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
    test_write_text(folder, "wise", t.data);
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
    test_write_text(folder, "kjv", t.data);
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
        test_write_text(folder, name, t.data);
        text_printf(&list, "%d %s\n", i < 4 ? 1 : 0, name);
        text_release(&t);
    }
    test_write_text(folder, "latin.html", "caf\xE9");
    text_add(&list, "0 latin.html\n");
    /* a document has about 660 bytes: class 0 gives one of the two alike, then two of class 1 reach 1500 */
    assert_int_equal(convert(folder, "html", "en", 1500, list.data), 3);
    struct test_run r = test_run("ls '%s/out' | grep -c '^[45]'", folder);
    assert_string_equal(r.out, "1\n");
    test_run_release(&r);
    text_release(&list);
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
    test_write_text(folder, "out/something", "else");
    for (int i = 0; i < 4; i++) {
        ends(test_run("sh corpora/%s.sh", recipes[i][0]), 2, "usage");
        ends(test_run("sh corpora/%s.sh a b c d", recipes[i][0]), 2, "usage");
    }
    for (int i = 0; i < 4; i++) {
        struct test_run r = test_run("rm -f '%s'/out/*.t[sx][vt]", folder);
        test_run_release(&r);
        ends(test_run("sh corpora/%s.sh '%s/out'", recipes[i][0], folder), 3, "choose another");
        snprintf(marker, sizeof marker, "out/%s", recipes[i][1]);
        test_write_text(folder, marker, "something");
        ends(test_run("sh corpora/%s.sh '%s/out'", recipes[i][0], folder), 0, "is complete");
    }
    ends(test_run("sh corpora/mixed.sh '%s/new' '%s/out/none'", folder, folder), 3,
         "is not what corpora/default.sh makes");
}

static void a_failed_download_is_told_and_leaves_no_text(void **state)
{
    const char *folder = *state;
    test_write_text(folder, "apt-get", "#!/bin/sh\necho 'E: Unable to locate package' >&2\nexit 100\n");
    test_write_text(folder, "npm", "#!/bin/sh\necho 'npm ERR! network' >&2\nexit 1\n");
    struct test_run r = test_run("chmod +x '%s/apt-get' '%s/npm'", folder, folder);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    ends(test_run("PATH=\"%s:$PATH\" sh corpora/default.sh '%s/text'", folder, folder), 4, "apt-get update");
    ends(test_run("PATH=\"%s:$PATH\" sh corpora/fashion-mnist.sh '%s/images'", folder, folder), 4,
         "apt-get update");
    ends(test_run("PATH=\"%s:$PATH\" sh corpora/glyphs.sh '%s/glyphs'", folder, folder), 4, "apt-get update");
    ends(test_run("MOESCOPE_BIN=/nowhere sh corpora/glyphs.sh '%s/glyphs'", folder), 4, "run 'make' first");
    ends(test_run("PATH=\"%s:$PATH\" sh corpora/brown.sh '%s/text'", folder, folder), 4, "npm ERR! network");
    r = test_run("ls '%s' | grep -e '^text$' -e '^images$' -e '^glyphs$' -e partial", folder);
    assert_string_equal(r.out, "");
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
        cmocka_unit_test_setup_teardown(recipes_know_when_to_stop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_download_is_told_and_leaves_no_text, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
