/* moescope corpus on small folders, with the real sentencepiece programs: what it writes, what it refuses,
 * that nothing of the text is lost and that the same input gives the same bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/text.h"
#include "engine/corpus.h"
#include "engine/tokenizer.h"
#include "tests/support.h"

struct fixture {
    char *folder, *bin; /* folder/text is what is prepared */
};

static int set_up(void **state)
{
    struct fixture *f = malloc(sizeof *f);
    assert_non_null(f);
    *f = (struct fixture){.folder = test_folder(), .bin = test_bin()};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    test_folder_remove(f->folder);
    free(f->bin);
    free(f);
    return 0;
}

/* folder/NAME for a name made from a format. */
static void write_under(const struct fixture *f, const char *bytes, size_t n, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void write_under(const struct fixture *f, const char *bytes, size_t n, const char *format, ...)
{
    char name[200], path[600];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    for (char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(path, sizeof path, "%s/%.*s", f->folder, (int)(slash - name), name);
        mkdir(path, 0777);
    }
    test_write(f->folder, name, bytes, n);
}

/* A document of so many sentences over a domain's own words. */
static void write_sentences(const struct fixture *f, const char *domain, int number, int sentences,
                            struct random *r)
{
    static const char *const words[2][6] = {{"expert", "router", "token", "gate", "layer", "load"},
                                            {"für", "Straße", "größer", "日本", "привет", "мир"}};
    struct text t;
    text_init(&t);
    for (int s = 0; s < sentences; s++) {
        for (int w = 0; w < 8; w++)
            text_printf(&t, "%s%s", w ? " " : "", words[domain[0] != 'a'][random_below(r, 6)]);
        text_add(&t, ".\n");
    }
    assert_false(t.failed);
    write_under(f, t.data, t.length, "text/%s/%02d.txt", domain, number);
    text_release(&t);
}

/* Domains "a" and "b"; those of b are several times as long. */
static void write_two_domains(const struct fixture *f, int documents)
{
    struct random r;
    random_seed(&r, 1, 1);
    for (int i = 0; i < documents; i++) {
        write_sentences(f, "a", i, 10, &r);
        write_sentences(f, "b", i, 90, &r);
    }
}

/* moescope-corpus text -o OUT OPTIONS, the vocabulary small. */
static struct test_run prepare(const struct fixture *f, const char *out, const char *options)
{
    return test_run("'%s/moescope-corpus' '%s/text' -o '%s/%s' --vocabulary 320 %s", f->bin, f->folder,
                    f->folder, out, options);
}

static void load(const struct fixture *f, const char *out, struct corpus *c)
{
    struct error err;
    char path[600];
    snprintf(path, sizeof path, "%s/%s", f->folder, out);
    if (corpus_load(c, path, &err) != 0)
        fail_msg("%s", err.text);
}

static void succeeds(struct test_run r)
{
    if (r.status != 0)
        fail_msg("status %d: %s", r.status, r.err);
    test_run_release(&r);
}

/* Fails with this status, says each of the words (NULL: no second one), leaves nothing behind but text. */
static void fails(const struct fixture *f, struct test_run r, int status, const char *word, const char *other)
{
    if (r.status != status || !strstr(r.err, word) || (other && !strstr(r.err, other)))
        fail_msg("status %d, not %d, or without '%s': %s", r.status, status, word, r.err);
    assert_string_equal(r.out, "");
    test_run_release(&r);
    r = test_run("ls -A '%s' | grep -v -x -e text -e bin | tr '\\n' ' '", f->folder);
    assert_string_equal(r.out, "");
    test_run_release(&r);
}

/* ---- what is written ---- */

/* All that a tokeniser likes to lose. */
static const char *const difficult[] = {
    "if (x) {\n\treturn  y;\n\t\t    deep();   \n}\n\n\n\nend\n",
    "no line end",
    "\n",
    "   \n\t\n x",
    "\r\ncarriage\rreturn\r\n",
    "Ünïcödé 日本語 \xF0\x9F\x98\x80 \xE2\x80\x8B zero width\n",
    "<unk> <s> </s> <0x0A> \\n \\ \\t\n",
    "a\xC2\xA0no-break space, \xE3\x80\x80 ideographic space, e\xCC\x81 combining\n",
};
enum { N_DIFFICULT = sizeof difficult / sizeof difficult[0] };

/* The bytes of a document's tokens, one after the other, lead through its text: after each of them, what was
 * decoded so far is as long as they said. */
static void decodes_by_token(const struct corpus *c, const struct document *d, const struct text *whole)
{
    struct text one;
    size_t at = 0;
    text_init(&one);
    for (int64_t i = 0; i < d->n_ids; i++) {
        const int32_t *id = c->ids + d->first + i;
        text_clear(&one);
        corpus_decode(c->vocabulary, id, 1, &one);
        assert_int_equal(one.length, corpus_token_bytes(&c->vocabulary[*id]));
        assert_memory_equal(one.data, whole->data + at, one.length);
        at += one.length;
    }
    assert_int_equal(at, whole->length);
    text_release(&one);
}

static void nothing_of_the_text_is_lost(void **state)
{
    const struct fixture *f = *state;
    struct corpus c;
    int compared = 0;
    write_two_domains(f, 12);
    for (int i = 0; i < N_DIFFICULT; i++)
        write_under(f, difficult[i], strlen(difficult[i]), "text/c/%d.txt", i);
    write_under(f, "two parts:\n\f\nhere", 17, "text/c/parts.txt");
    succeeds(prepare(f, "out", "--no-balance"));
    load(f, "out", &c);
    assert_int_equal(c.n_domains, 3);
    for (int i = 0; i < c.n_documents; i++) {
        const struct document *d = &c.documents[i];
        struct text back;
        char hex[SHA256_HEX];
        text_init(&back);
        corpus_decode(c.vocabulary, c.ids + d->first, d->n_ids, &back);
        assert_int_equal(back.length, d->n_bytes);
        /* what is predicted: all but the first, and each piece of it */
        assert_int_equal(corpus_bytes(c.vocabulary, c.ids + d->first + 1, d->n_ids - 1), d->n_bytes);
        decodes_by_token(&c, d, &back);
        sha256_bytes(back.data, back.length, hex);
        assert_string_equal(hex, d->sha256);
        if (strcmp(d->name, "c/0.txt") == 0)
            assert_string_equal(back.data, difficult[0]);
        if (strcmp(d->name, "c/parts.txt#2") == 0)
            assert_string_equal(back.data, "here");
        compared += strcmp(c.domains[d->domain], "c") == 0;
        text_release(&back);
    }
    /* "\n" is blank and skipped; the file of two parts counts twice */
    assert_int_equal(compared, N_DIFFICULT - 1 + 2);
    corpus_release(&c);
}

static void splits_and_counts_agree(void **state)
{
    const struct fixture *f = *state;
    struct corpus c;
    int splits[2][N_SPLITS] = {{0}};
    int64_t counts = 0, train = 0;
    write_two_domains(f, 20);
    write_under(f, "a\tlanguage=en\n", 14, "text/labels.tsv");
    succeeds(prepare(f, "out", "--valid 3 --probe 2 --no-balance --name 'a name'"));
    load(f, "out", &c);
    assert_string_equal(c.name, "a name");
    for (int i = 0; i < c.n_documents; i++) {
        const struct document *d = &c.documents[i];
        splits[d->domain][d->split]++;
        train += d->split == SPLIT_TRAIN ? d->n_ids : 0;
        assert_int_equal(d->n_labels, d->domain == 0);
    }
    for (int d = 0; d < 2; d++) {
        assert_int_equal(splits[d][SPLIT_TRAIN], 15);
        assert_int_equal(splits[d][SPLIT_VALID], 3);
        assert_int_equal(splits[d][SPLIT_PROBE], 2);
    }
    for (int i = 0; i < c.n_vocabulary; i++)
        counts += c.vocabulary[i].train_count;
    assert_int_equal(counts, train);
    assert_int_equal(c.vocabulary[TOKEN_BOS].train_count, 30);
    assert_int_equal(c.vocabulary[TOKEN_UNKNOWN].train_count, 0);
    corpus_release(&c);
}

static int64_t train_tokens(const struct corpus *c, int domain)
{
    int64_t n = 0;
    for (int i = 0; i < c->n_documents; i++)
        if (c->documents[i].domain == domain && c->documents[i].split == SPLIT_TRAIN)
            n += c->documents[i].n_ids - 1;
    return n;
}

static void domains_are_balanced_by_train_tokens(void **state)
{
    const struct fixture *f = *state;
    struct corpus whole, balanced, few;
    write_two_domains(f, 20);
    succeeds(prepare(f, "whole", "--valid 2 --probe 2 --no-balance"));
    succeeds(prepare(f, "balanced", "--valid 2 --probe 2"));
    succeeds(prepare(f, "few", "--valid 2 --probe 2 --tokens-per-domain 500"));
    load(f, "whole", &whole);
    load(f, "balanced", &balanced);
    load(f, "few", &few);
    int64_t least = train_tokens(&whole, 0), longest = 0;
    if (train_tokens(&whole, 1) < 2 * least)
        fail_msg("%lld and %lld", (long long)least, (long long)train_tokens(&whole, 1));
    for (int i = 0; i < whole.n_documents; i++)
        if (whole.documents[i].n_ids > longest)
            longest = whole.documents[i].n_ids;
    assert_int_equal(train_tokens(&balanced, 0), least);
    assert_in_range(train_tokens(&balanced, 1), least, least + longest);
    for (int d = 0; d < 2; d++)
        assert_in_range(train_tokens(&few, d), 500, 500 + longest);
    /* what is held out stays whole */
    assert_int_equal(whole.n_documents - balanced.n_documents, 16 - (balanced.n_documents - 8 - 16));
    corpus_release(&whole);
    corpus_release(&balanced);
    corpus_release(&few);
}

static void the_same_input_gives_the_same_bytes(void **state)
{
    const struct fixture *f = *state;
    write_two_domains(f, 12);
    succeeds(prepare(f, "one", ""));
    succeeds(prepare(f, "two", ""));
    succeeds(prepare(f, "other", "--seed 2"));
    struct test_run r = test_run("cd '%s' && diff -r one two && ls one | wc -l", f->folder);
    assert_int_equal(r.status, 0);
    assert_string_equal(r.out, "5\n");
    test_run_release(&r);
    r = test_run("cd '%s' && cmp -s one/documents.tsv other/documents.tsv", f->folder);
    assert_int_equal(r.status, 1);
    test_run_release(&r);
}

static ino_t inode(const struct fixture *f, const char *name)
{
    struct stat info;
    char path[600];
    snprintf(path, sizeof path, "%s/%s", f->folder, name);
    assert_int_equal(stat(path, &info), 0);
    return info.st_ino;
}

static void a_complete_corpus_is_kept_and_another_replaced(void **state)
{
    const struct fixture *f = *state;
    write_two_domains(f, 12);
    struct test_run first = prepare(f, "out", "--format csv"), second = prepare(f, "out/", "--format csv");
    ino_t made = inode(f, "out");
    assert_non_null(strstr(second.err, "kept"));
    assert_string_equal(first.out, second.out);
    test_run_release(&first);
    test_run_release(&second);

    second = prepare(f, "out", "--seed 2");
    assert_non_null(strstr(second.err, "replacing"));
    succeeds(second);
    assert_true(inode(f, "out") != made);

    made = inode(f, "out");
    write_under(f, "One more document.\n", 19, "text/a/more.txt");
    succeeds(prepare(f, "out", "--seed 2"));
    assert_true(inode(f, "out") != made);

    made = inode(f, "out");
    write_under(f, "One other document.\n", 20, "text/a/more.txt"); /* the name stays */
    succeeds(prepare(f, "out", "--seed 2"));
    assert_true(inode(f, "out") != made);

    test_write(f->folder, "out/tokens.u16", "damage", 6);
    second = prepare(f, "out", "--seed 2");
    assert_non_null(strstr(second.err, "tokens.u16"));
    succeeds(second);
    struct test_run r = test_run("ls -A '%s' | tr '\\n' ' '", f->folder);
    assert_string_equal(r.out, "out text ");
    test_run_release(&r);
}

static void a_model_can_be_used_again(void **state)
{
    const struct fixture *f = *state;
    struct corpus one, two;
    char options[700];
    write_two_domains(f, 12);
    succeeds(prepare(f, "one", ""));
    write_under(f, "Quite other words, zygotes.\n", 28, "text/a/more.txt");
    snprintf(options, sizeof options, "--model '%s/one/tokens.model'", f->folder);
    succeeds(prepare(f, "two", options));
    load(f, "one", &one);
    load(f, "two", &two);
    assert_string_equal(one.vocabulary_sha256, two.vocabulary_sha256);
    assert_string_not_equal(one.sha256, two.sha256);
    corpus_release(&one);
    corpus_release(&two);
}

static void the_table_comes_in_every_format(void **state)
{
    const struct fixture *f = *state;
    write_two_domains(f, 12);
    struct test_run r = prepare(f, "out", "--valid 2 --probe 2 --format csv");
    assert_memory_equal(r.out, "domain,documents,bytes,tokens,bytes_per_token,train,", 52);
    assert_non_null(strstr(r.out, "\na,12,"));
    succeeds(r);
    r = prepare(f, "out", "--valid 2 --probe 2 --format json");
    assert_memory_equal(r.out, "[", 1);
    assert_non_null(strstr(r.out, "\"b\""));
    succeeds(r);
    r = prepare(f, "out", "--format xml");
    assert_int_equal(r.status, 2);
    test_run_release(&r);
}

/* ---- the library's way to encode later text ---- */

static void later_text_is_encoded_as_the_corpus_was(void **state)
{
    const struct fixture *f = *state;
    struct corpus c;
    struct error err;
    write_two_domains(f, 12);
    succeeds(prepare(f, "out", "--no-balance"));
    load(f, "out", &c);
    struct encoded_text texts[2] = {{.name = "empty", .text = "", .n_bytes = 0}};
    struct text back;
    text_init(&back);
    corpus_decode(c.vocabulary, c.ids + c.documents[0].first, c.documents[0].n_ids, &back);
    texts[1] = (struct encoded_text){.name = "again", .text = back.data, .n_bytes = back.length};
    assert_int_equal(corpus_encode(c.model_path, c.n_vocabulary, texts, 2, &err), 0);
    assert_int_equal(texts[0].n_ids, 2); /* BOS, EOS */
    assert_int_equal(texts[1].n_ids, c.documents[0].n_ids);
    assert_memory_equal(texts[1].ids, c.ids + c.documents[0].first, (size_t)texts[1].n_ids * sizeof(int32_t));
    free(texts[0].ids);
    free(texts[1].ids);

    texts[1] = (struct encoded_text){.name = "broken", .text = "ab\xFF", .n_bytes = 3};
    assert_int_equal(corpus_encode(c.model_path, c.n_vocabulary, texts, 2, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_non_null(strstr(err.text, "'broken'"));
    assert_non_null(strstr(err.text, "byte 2"));
    assert_null(texts[0].ids);

    texts[1] = (struct encoded_text){.name = "fine", .text = "ab", .n_bytes = 2};
    assert_int_equal(corpus_encode(c.model_path, c.n_vocabulary - 1, texts, 2, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_non_null(strstr(err.text, "pieces, where the vocabulary has"));
    text_release(&back);
    corpus_release(&c);
}

/* An encoder that answers what no model can mean, first in PATH: no endless reading, no id beyond the
 * vocabulary. */
static void answers_that_are_no_ids_are_refused(void **state)
{
    static const char *const answers[] = {"3 x", "-1", "99999999999999999999", "65536"};
    const struct fixture *f = *state;
    struct corpus c;
    struct error err;
    struct text script, path;
    write_two_domains(f, 12);
    succeeds(prepare(f, "out", "--no-balance"));
    load(f, "out", &c);
    char *before = strdup(getenv("PATH"));
    text_init(&script);
    text_init(&path);
    text_printf(&path, "%s/bin:%s", f->folder, before);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct encoded_text text = {.name = "a", .text = "a", .n_bytes = 1};
        text_clear(&script);
        text_printf(&script, "#!/bin/sh\necho '%s'\n", answers[i]);
        write_under(f, script.data, script.length, "bin/spm_encode");
        struct test_run r = test_run("chmod +x '%s/bin/spm_encode'", f->folder);
        test_run_release(&r);
        setenv("PATH", path.data, 1);
        assert_int_equal(corpus_encode(c.model_path, c.n_vocabulary, &text, 1, &err), -1);
        setenv("PATH", before, 1);
        assert_int_equal(err.status, STATUS_MACHINE);
        assert_non_null(strstr(err.text, "something else than ids"));
        assert_null(text.ids);
    }
    text_release(&script);
    text_release(&path);
    free(before);
    corpus_release(&c);
}

/* ---- what is refused ---- */

static void bytes_that_are_not_utf8_are_named(void **state)
{
    const struct fixture *f = *state;
    write_two_domains(f, 12);
    write_under(f, "caf\xE9\n", 5, "text/a/latin1.txt");
    fails(f, prepare(f, "out", ""), 3, "a/latin1.txt", "byte 3 is 0xE9");
    write_under(f, "a\0b", 3, "text/a/latin1.txt");
    fails(f, prepare(f, "out", ""), 3, "a/latin1.txt", "byte 1 is 0x00");
}

static void folders_without_domains_are_refused(void **state)
{
    const struct fixture *f = *state;
    fails(f, prepare(f, "out", ""), 3, "/text'", "no such file");
    write_under(f, "lost", 4, "text/file.txt");
    fails(f, prepare(f, "out", ""), 3, "no domains", "DOMAIN/FILE.txt");
    write_under(f, "notes", 5, "text/a/notes.md");
    fails(f, prepare(f, "out", ""), 3, "no domains", NULL);
    write_under(f, "one", 3, "text/a/1.txt");
    write_under(f, "two", 3, "text/a/2.txt");
    write_under(f, " ", 1, "text/a/3.txt");
    fails(f, prepare(f, "out", ""), 3, "domain 'a' has 2 documents that are not empty", NULL);
}

static void bad_labels_are_refused(void **state)
{
    const struct fixture *f = *state;
    write_two_domains(f, 12);
    write_under(f, "a\tlanguage=en\nb\tlanguage\n", 25, "text/labels.tsv");
    fails(f, prepare(f, "out", ""), 3, "line 2", "labels.tsv");
    write_under(f, "a\tlanguage=en\nq\tlanguage=en\n", 28, "text/labels.tsv");
    fails(f, prepare(f, "out", ""), 3, "'q'", "no domain");
}

static void what_is_no_corpus_is_not_replaced(void **state)
{
    const struct fixture *f = *state;
    write_two_domains(f, 12);
    write_under(f, "mine", 4, "out/file");
    struct test_run r = prepare(f, "out", "");
    assert_int_equal(r.status, 3);
    assert_non_null(strstr(r.err, "not a prepared corpus"));
    test_run_release(&r);
    r = test_run("cat '%s/out/file' && rm '%s/out/file'", f->folder, f->folder);
    assert_string_equal(r.out, "mine");
    test_run_release(&r);
    succeeds(prepare(f, "out", "")); /* an empty folder is as good as none */
}

static void a_damaged_model_is_refused(void **state)
{
    const struct fixture *f = *state;
    char options[700];
    write_two_domains(f, 12);
    write_under(f, "no model", 8, "text/model");
    snprintf(options, sizeof options, "--model '%s/text/model'", f->folder);
    fails(f, prepare(f, "out", options), 3, "not a sentencepiece model", NULL);
    snprintf(options, sizeof options, "--model '%s/text/none'", f->folder);
    fails(f, prepare(f, "out", options), 3, "text/none", "no such file");
}

/* 400 characters, none rarer than another, are more than 300 pieces have room for. */
static void a_vocabulary_has_room_for_the_characters(void **state)
{
    enum { CHARACTERS = 400 };
    const struct fixture *f = *state;
    char bytes[3 * CHARACTERS];
    for (int i = 0; i < CHARACTERS; i++) { /* from U+4E00 on */
        int code = 0x4e00 + i;
        bytes[3 * i] = (char)(0xe0 | code >> 12);
        bytes[3 * i + 1] = (char)(0x80 | (code >> 6 & 0x3f));
        bytes[3 * i + 2] = (char)(0x80 | (code & 0x3f));
    }
    write_two_domains(f, 12);
    for (int i = 0; i < 12; i++) {
        write_under(f, bytes, sizeof bytes, "text/zh/%d.txt", i);
    }
    fails(f, prepare(f, "out", "--vocabulary 300"), 2, "does not suit this text: Vocabulary size is smaller",
          NULL);
}

static void bad_command_lines_are_refused(void **state)
{
    const struct fixture *f = *state;
    write_two_domains(f, 12);
    fails(f, test_run("'%s/moescope-corpus' '%s/text'", f->bin, f->folder), 2, "-o OUT", NULL);
    fails(f, test_run("'%s/moescope-corpus' -o x", f->bin), 2, "moescope corpus --help", NULL);
    fails(f, prepare(f, "out", "--vocabulary 271"), 2, "272", NULL);
    fails(f, prepare(f, "out", "--vocabulary ten"), 2, "ten", NULL);
    fails(f, prepare(f, "out", "--valid 0"), 2, "valid", NULL);
    fails(f, prepare(f, "out", "--probe 0"), 2, "probe", NULL);
    fails(f, prepare(f, "out", "--max-document-bytes -1"), 2, "max-document-bytes", NULL);
    fails(f, prepare(f, "out", "--no-balance --tokens-per-domain 9"), 2, "exclude", NULL);
    fails(f, prepare(f, "out", "--name 'a;b'"), 2, "--name", NULL);
}

/* ---- when the machine fails ---- */

static void missing_programs_are_named(void **state)
{
    const struct fixture *f = *state;
    write_two_domains(f, 12);
    fails(f, test_run("PATH= '%s/moescope-corpus' '%s/text' -o '%s/out'", f->bin, f->folder, f->folder), 4,
          "spm_train", "package 'sentencepiece'");
}

/* A trainer that does what its name stands for here, first in PATH. */
static struct test_run with_trainer(const struct fixture *f, const char *script)
{
    write_under(f, script, strlen(script), "bin/spm_train");
    return test_run(
        "chmod +x '%s/bin/spm_train' && PATH=\"%s/bin:$PATH\" '%s/moescope-corpus' '%s/text' -o '%s/out'",
        f->folder, f->folder, f->bin, f->folder, f->folder);
}

static void a_failing_trainer_is_reported(void **state)
{
    const struct fixture *f = *state;
    write_two_domains(f, 12);
    fails(f, with_trainer(f, "#!/bin/sh\necho 'out of luck' >&2\nexit 1\n"), 4, "spm_train", "out of luck");
    fails(f, with_trainer(f, "#!/bin/sh\nkill -9 $$\n"), 4, "signal 9", NULL);
}

static void an_interruption_leaves_nothing(void **state)
{
    const struct fixture *f = *state;
    write_two_domains(f, 12);
    /* the first call asks for help; the second interrupts the program that waits */
    fails(f,
          with_trainer(f, "#!/bin/sh\ncase $1 in --help) exit 0 ;; esac\nkill -INT $PPID\nexec sleep 60\n"),
          4, "interrupted", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_of_the_text_is_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(splits_and_counts_agree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(domains_are_balanced_by_train_tokens, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_same_input_gives_the_same_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_complete_corpus_is_kept_and_another_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_model_can_be_used_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_table_comes_in_every_format, set_up, tear_down),
        cmocka_unit_test_setup_teardown(later_text_is_encoded_as_the_corpus_was, set_up, tear_down),
        cmocka_unit_test_setup_teardown(answers_that_are_no_ids_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bytes_that_are_not_utf8_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(folders_without_domains_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_labels_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_corpus_is_not_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_model_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_vocabulary_has_room_for_the_characters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_command_lines_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(missing_programs_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failing_trainer_is_reported, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_interruption_leaves_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
