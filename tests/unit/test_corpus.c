/* engine/corpus.h and engine/source.h without sentencepiece: UTF-8, fields, decoding, a folder read, split
 * and balanced, a prepared folder written, loaded and damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "engine/corpus_format.h"
#include "engine/source.h"
#include "tests/support.h"

/* ---- UTF-8 ---- */

/* Positions by hand, from the table of well-formed sequences in the Unicode standard (3.9, table 3-7). */
static void utf8_errors_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        int64_t error;
    } cases[] = {
        {"", 0, -1},
        {"plain\ttext\n", 11, -1},
        {"\xC3\xA9", 2, -1},         /* e acute */
        {"\xE2\x82\xAC", 3, -1},     /* euro */
        {"\xF0\x9F\x98\x80", 4, -1}, /* U+1F600 */
        {"\xF4\x8F\xBF\xBF", 4, -1}, /* U+10FFFF, the last */
        {"\xED\x9F\xBF", 3, -1},     /* U+D7FF, before the surrogates */
        {"\xEE\x80\x80", 3, -1},     /* U+E000, behind them */
        {"ab\x80", 3, 2},            /* a continuation that continues nothing */
        {"\xC0\x80", 2, 0},          /* overlong NUL */
        {"\xC1\xBF", 2, 0},          /* overlong DEL */
        {"x\xE0\x9F\xBF", 4, 1},     /* overlong U+07FF */
        {"\xF0\x8F\xBF\xBF", 4, 0},  /* overlong U+FFFF */
        {"\xED\xA0\x80", 3, 0},      /* U+D800, a surrogate */
        {"\xED\xBF\xBF", 3, 0},      /* U+DFFF */
        {"\xF4\x90\x80\x80", 4, 0},  /* U+110000, above the last */
        {"\xF5\x80\x80\x80", 4, 0},  /* no such lead byte */
        {"\xFF", 1, 0},
        {"caf\xC3", 4, 3}, /* cut off at the end */
        {"\xE2\x82", 2, 0},
        {"\xE2\x28\xA1", 3, 0},      /* the second byte is no continuation */
        {"\xC3\xA9\xE2\x82(", 5, 2}, /* the error is where its sequence starts */
        {"a\0b", 3, 1},              /* NUL */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (utf8_first_error(cases[i].bytes, cases[i].n) != cases[i].error)
            fail_msg("case %zu: %lld, expected %lld", i,
                     (long long)utf8_first_error(cases[i].bytes, cases[i].n), (long long)cases[i].error);
}

/* ---- fields ---- */

static void escaped_fields_come_back(void **state)
{
    (void)state;
    static const char *const values[] = {
        "", "plain", "\t", "\n", "\r\n", "\\", "\\t", "a\tb\\nc\n\\\\", "\xE3\x81\x82 \t"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct text t;
        text_init(&t);
        field_escape(&t, values[i]);
        assert_null(strpbrk(t.data, "\t\n\r"));
        char *copy = strdup(t.data);
        assert_true(field_unescape(copy));
        assert_string_equal(copy, values[i]);
        free(copy);
        text_release(&t);
    }
}

static void unknown_escapes_are_refused(void **state)
{
    (void)state;
    char other[] = "a\\x", end[] = "a\\";
    assert_false(field_unescape(other));
    assert_false(field_unescape(end));
}

static void lines_split_into_fields(void **state)
{
    (void)state;
    char lines[] = "a\t\tb\nc\n\nlast\tone";
    char *rest = lines, *f[2];
    assert_int_equal(field_split(&rest, f, 2), 3); /* counted, though only two are kept */
    assert_string_equal(f[0], "a");
    assert_string_equal(f[1], "");
    assert_int_equal(field_split(&rest, f, 2), 1);
    assert_string_equal(f[0], "c");
    assert_int_equal(field_split(&rest, f, 2), 1);
    assert_string_equal(f[0], "");
    assert_int_equal(field_split(&rest, f, 2), 2);
    assert_string_equal(f[1], "one");
    assert_int_equal(field_split(&rest, f, 2), 0);
}

/* ---- decoding ---- */

static void ids_decode_to_bytes(void **state)
{
    (void)state;
    struct vocabulary_item items[] = {{(char *)"<unk>", "special", 0}, {(char *)"<s>", "special", 0},
                                      {(char *)"</s>", "special", 0},  {(char *)"\n", "byte", 0},
                                      {(char *)"<0xE2>", "byte", 0},   {(char *)"<0x82>", "byte", 0},
                                      {(char *)"<0xAC>", "byte", 0},   {(char *)" the", "piece", 0},
                                      {(char *)"<", "byte", 0},        {(char *)"<0xE2>", "piece", 0}};
    const int32_t ids[] = {1, 7, 3, 4, 5, 6, 8, 9, 2};
    struct text t;
    text_init(&t);
    corpus_decode(items, ids, 9, &t);
    /* the last is a piece that only looks like a byte */
    assert_string_equal(t.data, " the\n\xE2\x82\xAC<<0xE2>");
    text_release(&t);
}

/* ---- a folder of text ---- */

static void make_folder(const char *folder, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(mkdir(path, 0777), 0);
}

static void documents_are_cut_parted_and_skipped(void **state)
{
    (void)state;
    struct source s;
    struct error err;
    char *folder = test_folder();
    make_folder(folder, "b");
    make_folder(folder, "b/sub");
    make_folder(folder, "a");
    make_folder(folder, "nothing");
    test_write_text(folder, "nothing/notes.md", "no text");
    test_write_text(folder, "a/1.txt", "first\n\f\nsecond\n\f  \n\fthird"); /* the third part is blank */
    test_write_text(folder, "b/long.txt", "one two\nthree\nfour five six\n");
    test_write_text(folder, "b/line.txt", "\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9");
    test_write_text(folder, "b/sub/deep.txt", "deep");
    test_write_text(folder, "b/empty.txt", "");
    test_write_text(folder, "b/.hidden.txt", "hidden");
    test_write_text(folder, "labels.tsv",
                    "# a comment\n\nb\tlanguage=xx\ttopic=a topic\nb/long.txt language=yy\n");
    if (source_read(&s, folder, 15, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(s.n_domains, 2);
    assert_string_equal(s.domains[0], "a");
    assert_int_equal(s.n_documents, 6);
    assert_int_equal(s.n_empty, 2);
    assert_int_equal(s.n_ignored, 1);
    static const char *const names[] = {"a/1.txt",    "a/1.txt#2",  "a/1.txt#4",
                                        "b/line.txt", "b/long.txt", "b/sub/deep.txt"};
    for (int i = 0; i < 6; i++)
        assert_string_equal(s.documents[i].d.name, names[i]);
    assert_int_equal(s.documents[1].d.n_bytes, 7); /* "second" and its line end */
    assert_memory_equal(s.documents[1].text, "second\n", 7);
    /* 15 bytes would end inside the eighth character; 14 hold seven of two bytes */
    assert_int_equal(s.documents[3].d.n_bytes, 14);
    /* the last line end within 15 bytes is the one behind "three": 8 + 6 */
    assert_int_equal(s.documents[4].d.n_bytes, 14);
    assert_int_equal(s.n_cut, 2);
    assert_int_equal(s.cut_bytes, (16 - 14) + (28 - 14));
    assert_int_equal(s.documents[0].d.n_labels, 0);
    assert_int_equal(s.documents[4].d.n_labels, 2);
    assert_string_equal(s.documents[4].d.labels[0].key, "language");
    assert_string_equal(s.documents[4].d.labels[0].value, "yy"); /* the file's own line wins */
    assert_string_equal(s.documents[5].d.labels[0].value, "xx");
    assert_string_equal(s.documents[5].d.labels[1].value, "a topic");
    source_release(&s);
    test_folder_remove(folder);
}

/* A source in memory: `documents[d]` documents in domain d, each of `tokens` predictions. */
static void make_source(struct source *s, const int *documents, int n_domains, int tokens)
{
    *s = (struct source){0};
    s->domains = calloc((size_t)n_domains, sizeof *s->domains);
    for (int d = 0; d < n_domains; d++) {
        char name[32];
        snprintf(name, sizeof name, "domain%d", d);
        s->domains[d] = strdup(name);
        s->n_domains++;
        s->documents = realloc(s->documents, (size_t)(s->n_documents + documents[d]) * sizeof *s->documents);
        for (int i = 0; i < documents[d]; i++)
            s->documents[s->n_documents++] =
                (struct source_document){.d = {.domain = d, .n_ids = tokens + 1}};
    }
}

static int count_split(const struct source *s, int domain, enum corpus_split split)
{
    int n = 0;
    for (int i = 0; i < s->n_documents; i++)
        n += s->documents[i].d.domain == domain && s->documents[i].d.split == split &&
             !s->documents[i].dropped;
    return n;
}

static void splits_are_held_out_by_domain(void **state)
{
    (void)state;
    static const int documents[] = {200, 150, 149, 12, 3};
    /* all of it down to 150; below that n / 3 shared 3 : 2, rounded down, but one at least */
    static const int valid[] = {30, 30, 29, 2, 1}, probe[] = {20, 20, 19, 1, 1};
    struct source s;
    int n_short[5];
    make_source(&s, documents, 5, 10);
    source_split(&s, 7, 30, 20, n_short);
    for (int d = 0; d < 5; d++) {
        assert_int_equal(count_split(&s, d, SPLIT_VALID), valid[d]);
        assert_int_equal(count_split(&s, d, SPLIT_PROBE), probe[d]);
        assert_int_equal(count_split(&s, d, SPLIT_TRAIN), documents[d] - valid[d] - probe[d]);
        assert_int_equal(n_short[d], 50 - valid[d] - probe[d]);
    }
    source_release(&s);
}

static void a_domain_is_split_the_same_without_the_others(void **state)
{
    (void)state;
    static const int three[] = {100, 90, 80}, one[] = {100}, third[] = {80};
    struct source a, b, c, d;
    make_source(&a, three, 3, 10);
    make_source(&b, one, 1, 10);
    make_source(&c, one, 1, 10);
    make_source(&d, third, 1, 10);
    memcpy(d.domains[0], "domain2", sizeof "domain2"); /* a's third, now the first */
    source_split(&d, 1, 10, 10, NULL);
    source_split(&a, 1, 10, 10, NULL);
    source_split(&b, 1, 10, 10, NULL);
    source_split(&c, 2, 10, 10, NULL);
    int other_seed = 0;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(a.documents[i].d.split, b.documents[i].d.split);
        other_seed += b.documents[i].d.split != c.documents[i].d.split;
    }
    assert_true(other_seed > 0);
    for (int i = 0; i < 80; i++)
        assert_int_equal(a.documents[190 + i].d.split, d.documents[i].d.split);
    source_release(&d);
    source_release(&a);
    source_release(&b);
    source_release(&c);
}

static void balance_drops_whole_train_documents(void **state)
{
    (void)state;
    static const int documents[] = {16, 10, 40};
    struct source s;
    struct error err;
    int64_t target = 0;
    make_source(&s, documents, 3, 10);
    source_split(&s, 1, 2, 2, NULL); /* train: 12, 8 (10 / 3 = 3 held out, one each), 36 */
    assert_int_equal(source_balance(&s, &target, &err), 0);
    assert_int_equal(target, 80); /* 8 documents of 10 */
    for (int d = 0; d < 3; d++) {
        assert_int_equal(count_split(&s, d, SPLIT_TRAIN), 8);
        assert_int_equal(count_split(&s, d, SPLIT_VALID), d == 1 ? 1 : 2);
    }
    source_release(&s);
    /* a target between documents keeps the one that reaches it; a small domain keeps what it has */
    make_source(&s, documents, 3, 10);
    source_split(&s, 1, 2, 2, NULL);
    target = 95;
    assert_int_equal(source_balance(&s, &target, &err), 0);
    assert_int_equal(count_split(&s, 0, SPLIT_TRAIN), 10);
    assert_int_equal(count_split(&s, 1, SPLIT_TRAIN), 8);
    source_release(&s);
}

/* ---- a prepared folder ---- */

/* Two documents over a vocabulary of five; the model is any file, since nothing here encodes. */
static char *write_small(int n_vocabulary)
{
    static struct label label = {(char *)"language", (char *)"e\tn"};
    static char *const domains[] = {(char *)"d\\1"};
    static const int32_t ids[] = {1, 3, 4, 2, 1, 4, 2};
    struct document documents[] = {
        {.name = (char *)"d\\1/a b.txt", .split = SPLIT_TRAIN, .n_bytes = 4, .n_ids = 4},
        {.name = (char *)"d\\1/c.txt",
         .split = SPLIT_PROBE,
         .first = 4,
         .n_ids = 3,
         .labels = &label,
         .n_labels = 1}};
    struct vocabulary_item *items = calloc((size_t)n_vocabulary, sizeof *items);
    static const char *const texts[] = {"<unk>", "<s>", "</s>", "\n", " the"};
    for (int i = 0; i < n_vocabulary; i++)
        items[i] = (struct vocabulary_item){(char *)(i < 5 ? texts[i] : "x"),
                                            i < 3   ? "special"
                                            : i < 4 ? "byte"
                                                    : "piece",
                                            i};
    memset(documents[0].sha256, 'a', SHA256_HEX - 1);
    memset(documents[1].sha256, 'b', SHA256_HEX - 1);
    struct corpus c = {.name = (char *)"small",
                       .vocabulary = items,
                       .n_vocabulary = n_vocabulary,
                       .domains = (char **)domains,
                       .n_domains = 1,
                       .documents = documents,
                       .n_documents = 2,
                       .ids = (int32_t *)ids,
                       .n_ids = 7};
    struct error err;
    char *folder = test_folder();
    test_write_text(folder, "tokens.model", "model");
    assert_int_equal(corpus_write(&c, folder, "00ff", "seed = 1\n", &err), 0);
    free(items);
    return folder;
}

static void a_written_corpus_loads(void **state)
{
    (void)state;
    for (int wide = 0; wide < 2; wide++) { /* 16 bits a token, then 32 */
        struct corpus c;
        struct error err;
        char hex[SHA256_HEX], *folder = write_small(wide ? 70000 : 5);
        assert_int_equal(corpus_load(&c, folder, &err), 0);
        assert_string_equal(c.name, "small");
        assert_int_equal(c.n_vocabulary, wide ? 70000 : 5);
        assert_string_equal(c.vocabulary[3].text, "\n");
        assert_string_equal(c.vocabulary[4].text, " the");
        assert_int_equal(c.vocabulary[4].train_count, 4);
        assert_int_equal(c.n_domains, 1);
        assert_string_equal(c.domains[0], "d\\1");
        assert_int_equal(c.n_documents, 2);
        assert_string_equal(c.documents[0].name, "d\\1/a b.txt");
        assert_int_equal(c.documents[1].split, SPLIT_PROBE);
        assert_int_equal(c.documents[1].first, 4);
        assert_string_equal(c.documents[1].labels[0].value, "e\tn");
        assert_int_equal(c.n_ids, 7);
        assert_int_equal(c.ids[5], 4);
        assert_true(corpus_input_hash(folder, hex));
        assert_string_equal(hex, "00ff");
        corpus_release(&c);
        corpus_release(&c);
        test_folder_remove(folder);
    }
}

/* One byte of each file in turn; every time the file is named. */
static void damage_is_found(void **state)
{
    (void)state;
    static const char *const names[] = {"documents.tsv", "vocabulary.tsv", "tokens.u16", "tokens.model"};
    for (int i = 0; i < 4; i++) {
        struct corpus c;
        struct error err;
        size_t n;
        char path[512], *bytes, *folder = write_small(5);
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        assert_int_equal(file_read(path, &bytes, &n, &err), 0);
        bytes[n / 2] ^= 1;
        test_write(folder, names[i], bytes, n);
        free(bytes);
        assert_int_equal(corpus_load(&c, folder, &err), -1);
        assert_int_equal(err.status, STATUS_INPUT);
        assert_non_null(strstr(err.text, names[i]));
        test_folder_remove(folder);
    }
}

/* Hashes that agree do not make nonsense sound: what the loader reads must hang together. */
static void nonsense_is_refused(void **state)
{
    (void)state;
    static const char *const documents[] = {
        "",                                                      /* tokens without documents */
        "train\td\ta\t4\t4\t0\n",                                /* a field is missing */
        "train\td\ta\t4\t9\t0\tH\n",                             /* more ids than there are */
        "train\td\ta\t4\t4\t1\tH\nprobe\td\tb\t4\t3\t4\tH\n",    /* a gap in front */
        "train\td\ta\t4\t3\t0\tH\nprobe\td\tb\t4\t4\t3\tH\n",    /* not framed by BOS and EOS */
        "probe\td\ta\t4\t3\t4\tH\ntrain\td\tb\t4\t4\t0\tH\n",    /* out of order */
        "dream\td\ta\t4\t4\t0\tH\nprobe\td\tb\t4\t3\t4\tH\n",    /* no such split */
        "train\td\ta\t4\t4\t0\tH\tx\nprobe\td\tb\t4\t3\t4\tH\n", /* a label without a value */
        "train\td\ta\\z\t4\t4\t0\tH\nprobe\td\tb\t4\t3\t4\tH\n", /* an unknown escape */
    };
    char hash[SHA256_HEX] = "";
    memset(hash, 'a', SHA256_HEX - 1);
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
        struct corpus c;
        struct error err;
        struct text t;
        char hex[SHA256_HEX], *folder = write_small(5);
        text_init(&t);
        for (const char *s = documents[i]; *s; s++)
            if (*s == 'H')
                text_add(&t, hash);
            else
                text_add_bytes(&t, s, 1);
        test_write(folder, "documents.tsv", t.data, t.length);
        sha256_bytes(t.data, t.length, hex);
        struct test_run r = test_run(
            "cd '%s' && h=$(cat documents.tsv tokens.u16 | sha256sum | cut -c1-64) && sed -i -e \"0,/^sha256 "
            "= /s/^sha256 = .*/sha256 = $h/\" -e 's/^documents.tsv = .*/documents.tsv = %s/' corpus.ini",
            folder, hex);
        assert_int_equal(r.status, 0);
        test_run_release(&r);
        assert_int_equal(corpus_load(&c, folder, &err), -1);
        assert_int_equal(err.status, STATUS_INPUT);
        if (!strstr(err.text, "documents.tsv"))
            fail_msg("case %zu: %s", i, err.text);
        text_release(&t);
        test_folder_remove(folder);
    }
}

static void other_folders_are_no_corpus(void **state)
{
    (void)state;
    struct corpus c;
    struct error err;
    char *folder = test_folder();
    assert_int_equal(corpus_load(&c, folder, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_non_null(strstr(err.text, "moescope corpus FOLDER -o"));
    test_write_text(folder, "corpus.ini", "[corpus]\nformat = 99\n");
    assert_int_equal(corpus_load(&c, folder, &err), -1);
    assert_non_null(strstr(err.text, "format '99'"));
    test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_errors_are_found),
        cmocka_unit_test(escaped_fields_come_back),
        cmocka_unit_test(unknown_escapes_are_refused),
        cmocka_unit_test(lines_split_into_fields),
        cmocka_unit_test(ids_decode_to_bytes),
        cmocka_unit_test(documents_are_cut_parted_and_skipped),
        cmocka_unit_test(splits_are_held_out_by_domain),
        cmocka_unit_test(a_domain_is_split_the_same_without_the_others),
        cmocka_unit_test(balance_drops_whole_train_documents),
        cmocka_unit_test(a_written_corpus_loads),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(other_folders_are_no_corpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
