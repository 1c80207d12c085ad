/* engine/image_corpus.h: images as documents, their splits, labels and ids, what is refused. */
#include "engine/image_corpus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/pictures.h"
#include "tests/support.h"

static char *folder;

static int open_folder(void **state)
{
    (void)state;
    folder = test_folder();
    pictures_write(folder);
    return 0;
}

static int close_folder(void **state)
{
    (void)state;
    test_folder_remove(folder);
    return 0;
}

static void load(struct corpus *c)
{
    struct error err;

    test_must(corpus_load(c, folder, &err), &err);
}

static void test_documents(void **state)
{
    struct corpus c;
    int splits[N_SPLITS] = {0};

    (void)state;
    load(&c);
    assert_int_equal(c.n_documents, PICTURES_TRAIN + PICTURES_TEST);
    assert_int_equal(c.images.n, c.n_documents);
    assert_int_equal(c.n_domains, PICTURES_CLASSES);
    for (int d = 0; d < c.n_documents; d++) {
        const struct document *document = &c.documents[d];
        int label = picture_label(d % PICTURES_TRAIN);
        splits[document->split]++;
        assert_int_equal(document->domain, label);
        assert_int_equal(document->n_ids, 2);
        assert_int_equal(c.ids[document->first], 0);
        assert_int_equal(c.ids[document->first + 1], 1 + label);
        assert_string_equal(document->labels[0].key, "class");
        assert_string_equal(document->labels[0].value, c.domains[label]);
        assert_int_equal(document->n_bytes, PICTURES_SIDE * PICTURES_SIDE);
    }
    assert_int_equal(splits[SPLIT_TRAIN], PICTURES_TRAIN - PICTURES_PROBE);
    assert_int_equal(splits[SPLIT_PROBE], PICTURES_PROBE);
    assert_int_equal(splits[SPLIT_VALID], PICTURES_TEST);
    assert_int_equal(c.documents[59].split, SPLIT_PROBE);
    assert_string_equal(c.documents[59].name, "train/000059");
    assert_string_equal(c.documents[PICTURES_TRAIN].name, "test/000000");
    corpus_release(&c);
}

static void test_vocabulary(void **state)
{
    static const char *const texts[] = {"image", "top", "middle", "low"};
    struct corpus c;

    (void)state;
    load(&c);
    assert_int_equal(c.n_vocabulary, 4);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(c.vocabulary[i].text, texts[i]);
        assert_string_equal(c.vocabulary[i].kind, i ? "class" : "special");
        assert_int_equal(corpus_token_bytes(&c.vocabulary[i]), 0);
    }
    /* the probe is images 59 and 119, both of the last class */
    assert_int_equal(c.vocabulary[1].train_count, 40);
    assert_int_equal(c.vocabulary[3].train_count, 38);
    corpus_release(&c);
}

/* The hash is that of what is in the folder, wherever it is. */
static void test_hash(void **state)
{
    struct corpus a, b;
    uint8_t byte;
    char path[4096];

    (void)state;
    load(&a);
    load(&b);
    assert_string_equal(a.sha256, b.sha256);
    corpus_release(&b);
    snprintf(path, sizeof path, "%s/test-images.idx.gz", folder);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, 100, SEEK_SET), 0);
    byte = (uint8_t)(fgetc(f) ^ 1);
    assert_int_equal(fseek(f, 100, SEEK_SET), 0);
    fputc(byte, f);
    fclose(f);
    load(&b);
    assert_string_not_equal(a.sha256, b.sha256);
    assert_string_equal(a.vocabulary_sha256, b.vocabulary_sha256);
    corpus_release(&a);
    corpus_release(&b);
    pictures_write(folder);
}

/* ---- families, and a set for the probe ---- */

static void path_to(char path[4096], const char *name)
{
    snprintf(path, 4096, "%s/%s", folder, name);
}

/* Image i of a set is of family i % 2. */
static void write_families(const char *set, int n)
{
    int32_t family[PICTURES_TRAIN];
    char path[4096], name[64];
    struct error err;

    for (int i = 0; i < n; i++)
        family[i] = i % 2;
    snprintf(name, sizeof name, "%s-families.idx.gz", set);
    path_to(path, name);
    test_must(images_write_labels(path, family, n, &err), &err);
}

/* Six images of its own, the last class first. */
static void write_probe(void)
{
    uint8_t pixels[6 * PICTURES_SIDE * PICTURES_SIDE] = {7};
    int32_t label[] = {2, 2, 1, 1, 0, 0};
    struct images im = {6, PICTURES_SIDE, PICTURES_SIDE, 1, 3, pixels, label};
    char images[4096], labels[4096];
    struct error err;

    path_to(images, "probe-images.idx.gz");
    path_to(labels, "probe-labels.idx.gz");
    test_must(images_write(&im, images, labels, &err), &err);
}

static void remove_extras(void)
{
    static const char *const names[] = {"families.txt",         "train-families.idx.gz",
                                        "test-families.idx.gz", "probe-images.idx.gz",
                                        "probe-labels.idx.gz",  "probe-families.idx.gz"};
    char path[4096];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        path_to(path, names[i]);
        unlink(path);
    }
}

static void test_probe(void **state)
{
    struct corpus c;
    int splits[N_SPLITS] = {0};

    (void)state;
    write_probe();
    load(&c);
    for (int d = 0; d < c.n_documents; d++)
        splits[c.documents[d].split]++;
    assert_int_equal(splits[SPLIT_TRAIN], PICTURES_TRAIN);
    assert_int_equal(splits[SPLIT_VALID], PICTURES_TEST);
    assert_int_equal(splits[SPLIT_PROBE], 6);
    const struct document *first = &c.documents[PICTURES_TRAIN + PICTURES_TEST];
    assert_string_equal(first->name, "probe/000000");
    assert_int_equal(first->domain, 2);
    assert_int_equal(
        c.images.pixels[(size_t)(PICTURES_TRAIN + PICTURES_TEST) * PICTURES_SIDE * PICTURES_SIDE], 7);
    assert_int_equal(c.vocabulary[3].train_count, 40);
    corpus_release(&c);
    remove_extras();
}

static void test_families(void **state)
{
    char plain[SHA256_HEX];
    struct corpus c;

    (void)state;
    load(&c);
    memcpy(plain, c.sha256, sizeof plain);
    corpus_release(&c);
    test_write(folder, "families.txt", "sans\nserif\n", 11);
    write_families("train", PICTURES_TRAIN);
    write_families("test", PICTURES_TEST);
    load(&c);
    for (int d = 0; d < c.n_documents; d++) {
        assert_int_equal(c.documents[d].n_labels, 2);
        assert_string_equal(c.documents[d].labels[0].key, "class");
        assert_string_equal(c.documents[d].labels[1].key, "family");
        assert_string_equal(c.documents[d].labels[1].value, d % 2 ? "serif" : "sans");
    }
    assert_string_not_equal(c.sha256, plain);
    corpus_release(&c);
    remove_extras();
    load(&c);
    assert_string_equal(c.sha256, plain);
    corpus_release(&c);
}

static void expect_refused(const char *said)
{
    struct corpus c;
    struct error err = {0};

    assert_int_equal(corpus_load(&c, folder, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    if (!strstr(err.text, said))
        fail_msg("'%s' does not say '%s'", err.text, said);
}

static void test_refused(void **state)
{
    static const uint8_t small[] = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 5, 5};
    static const uint8_t label[] = {0, 0, 8, 1, 0, 0, 0, 1, 0};
    char path[4096];

    (void)state;
    test_write(folder, "classes.txt", "top\nmiddle\n", 11);
    expect_refused("names 2 classes, but there are images of class 2");
    pictures_write(folder);
    test_write(folder, "test-images.idx.gz", small, sizeof small);
    expect_refused("has 12 labels for 1 images");
    test_write(folder, "test-labels.idx.gz", label, sizeof label);
    expect_refused("its images are of different sizes");
    snprintf(path, sizeof path, "%s/train-labels.idx.gz", folder);
    assert_int_equal(unlink(path), 0);
    expect_refused("train-labels.idx.gz");
    pictures_write(folder);
}

static void test_families_refused(void **state)
{
    (void)state;
    test_write(folder, "families.txt", "sans\nserif\n", 11);
    expect_refused("train-families.idx.gz");
    write_families("train", PICTURES_TRAIN);
    write_families("test", PICTURES_TEST - 1);
    expect_refused("test-families.idx.gz' has 11 labels for 12 images");
    write_families("test", PICTURES_TEST);
    write_probe();
    expect_refused("probe-families.idx.gz");
    test_write(folder, "families.txt", "sans\n", 5);
    expect_refused("train-families.idx.gz' has images of family 1, but");
    remove_extras();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_vocabulary),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_families_refused),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
