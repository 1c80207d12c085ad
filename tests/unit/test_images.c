/* engine/images.h: IDX files plain and compressed, every way in which they can be unfit, written and read
 * again; pixels as numbers. */
#include "engine/images.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support.h"

/* Three images of 2 x 2: 0 1 2 3, 4 5 6 7, 8 9 10 11; labels 2, 0, 1. */
static const uint8_t images_idx[] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0,  0,
                                     0, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static const uint8_t labels_idx[] = {0, 0, 8, 1, 0, 0, 0, 3, 2, 0, 1};

static int enter_folder(void **state)
{
    *state = test_folder();
    test_write(*state, "images", images_idx, sizeof images_idx);
    test_write(*state, "labels", labels_idx, sizeof labels_idx);
    return chdir(*state);
}

static int leave_folder(void **state)
{
    int result = chdir("/");
    test_folder_remove(*state);
    return result;
}

static void check_whole(const char *images, const char *labels)
{
    struct images im;
    struct error err;

    test_must(images_read(&im, images, labels, &err), &err);
    assert_true(im.n == 3 && im.height == 2 && im.width == 2 && im.channels == 1 && im.n_classes == 3);
    assert_memory_equal(im.pixels, images_idx + 16, 12);
    assert_true(im.label[0] == 2 && im.label[1] == 0 && im.label[2] == 1);
    images_release(&im);
}

static void test_read(void **state)
{
    (void)state;
    check_whole("images", "labels");
    struct test_run r = test_run("gzip -k images labels");
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    check_whole("images.gz", "labels.gz");
}

/* Four dimensions: one image of 1 x 2 with 3 channels. */
static void test_channels(void **state)
{
    const uint8_t bytes[] = {0, 0, 8, 4, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6};
    const uint8_t label[] = {0, 0, 8, 1, 0, 0, 0, 1, 9};
    struct images im;
    struct error err;

    test_write(*state, "colour", bytes, sizeof bytes);
    test_write(*state, "label", label, sizeof label);
    test_must(images_read(&im, "colour", "label", &err), &err);
    assert_true(im.n == 1 && im.height == 1 && im.width == 2 && im.channels == 3 && im.n_classes == 10);
    images_release(&im);
}

/* What is written is what was read: sizes beyond a byte, grey and in colour. */
static void test_write_images(void **state)
{
    enum { N = 300, BYTES = N * 2 * 3 };
    uint8_t pixels[BYTES];
    int32_t label[N];

    (void)state;
    for (int i = 0; i < BYTES; i++)
        pixels[i] = (uint8_t)(i * 7);
    for (int i = 0; i < N; i++)
        label[i] = 255 - i % 256;
    for (int channels = 1; channels <= 3; channels += 2) {
        struct images im = {N, 2, 3 / channels, channels, 256, pixels, label}, back;
        struct error err;
        test_must(images_write(&im, "written", "written-labels", &err), &err);
        test_must(images_read(&back, "written", "written-labels", &err), &err);
        assert_true(back.n == N && back.height == 2 && back.width == 3 / channels);
        assert_true(back.channels == channels && back.n_classes == 256);
        assert_memory_equal(back.pixels, pixels, BYTES);
        assert_memory_equal(back.label, label, sizeof label);
        images_release(&back);
    }
}

static void test_cannot_write(void **state)
{
    uint8_t pixel = 1;
    int32_t label = 0;
    const struct images im = {1, 1, 1, 1, 1, &pixel, &label};
    struct error err;

    (void)state;
    assert_int_equal(images_write(&im, "nowhere/images", "labels", &err), -1);
    assert_int_equal(err.status, STATUS_MACHINE);
    assert_non_null(strstr(err.text, "cannot write 'nowhere/images'"));
    assert_int_equal(images_write(&im, "written", "/dev/full", &err), -1);
    assert_int_equal(err.status, STATUS_MACHINE);
    assert_non_null(strstr(err.text, "cannot write '/dev/full'"));
}

static void refused(const char *images, const char *labels, const char *expected)
{
    struct images im;
    struct error err;

    assert_int_equal(images_read(&im, images, labels, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    if (!strstr(err.text, expected))
        fail_msg("'%s' does not say '%s'", err.text, expected);
    assert_null(im.pixels);
}

/* The images with one byte of theirs set to another value. */
static void refused_with(const char *folder, size_t at, uint8_t value, const char *expected)
{
    uint8_t bytes[sizeof images_idx];

    memcpy(bytes, images_idx, sizeof bytes);
    bytes[at] = value;
    test_write(folder, "changed", bytes, sizeof bytes);
    refused("changed", "labels", expected);
}

static void test_refused(void **state)
{
    refused("nowhere", "labels", "cannot open 'nowhere'");
    refused("images", "nowhere", "cannot open 'nowhere'");
    refused("images", "images", "'images' has 3 dimensions; labels have 1");
    refused("labels", "labels", "'labels' has 1 dimensions; images have 3");
    refused_with(*state, 0, 1, "'changed' is not an IDX file");
    refused_with(*state, 2, 0x0C, "'changed' is not an IDX file");
    refused_with(*state, 2, 0x0D, "'changed' is cut short");
    refused_with(*state, 3, 5, "'changed' is not an IDX file");
    refused_with(*state, 7, 4, "'changed' is cut short");
    refused_with(*state, 7, 2, "'changed' has more bytes than its header says");
    refused_with(*state, 7, 0, "dimension 0 of its header is 0");
    refused_with(*state, 4, 0x7F, "its header asks for 8.5");
    test_write(*state, "empty", "", 0);
    refused("empty", "labels", "'empty' is cut short");
}

static void test_labels_refused(void **state)
{
    uint8_t bytes[] = {0, 0, 8, 1, 0, 0, 0, 2, 2, 0};

    test_write(*state, "fewer", bytes, sizeof bytes);
    refused("images", "fewer", "'fewer' has 2 labels for 3 images");
    test_write(*state, "real", (const uint8_t[]){0, 0, 0x0D, 1, 0, 0, 0, 1, 0x3F, 0x80, 0, 0}, 12);
    refused("images", "real", "'real' holds floats");
    test_write(*state, "real", (const uint8_t[]){0, 0, 0x0D, 1, 0, 0, 0, 1, 0x7F, 0x80, 0, 0}, 12);
    refused("images", "real", "'real': value 0 is not a finite number");
}

/* Every cut of a compressed file is seen, those within its check sum too. */
static void test_cut_gzip(void **state)
{
    struct test_run r = test_run("gzip -kf images && wc -c < images.gz");
    int size = (int)strtol(r.out, NULL, 10);

    (void)state;
    assert_true(size > 20);
    test_run_release(&r);
    for (int cut = 1; cut < size; cut++) {
        r = test_run("head -c %d images.gz > cut.gz", cut);
        test_run_release(&r);
        struct images im;
        struct error err;
        assert_int_equal(images_read(&im, "cut.gz", "labels", &err), -1);
        assert_int_equal(err.status, STATUS_INPUT);
    }
}

/* 0 .. 11: mean 5.5, variance 143 / 12. */
static void test_scale(void **state)
{
    const int index[] = {2, 0};
    struct images im;
    struct error err;
    float x[8];

    (void)state;
    test_must(images_read(&im, "images", "labels", &err), &err);
    struct pixel_scale scale = images_scale(&im);
    assert_true(fabs((double)scale.mean - 5.5) < 1e-6 &&
                fabs((double)scale.deviation - sqrt(143.0 / 12)) < 1e-6);
    images_fill(&im, scale, index, 2, x);
    assert_true(fabs((double)x[0] - 2.5 / sqrt(143.0 / 12)) < 1e-6);
    assert_true(fabs((double)x[7] + 2.5 / sqrt(143.0 / 12)) < 1e-6);
    memset(im.pixels, 7, 12); /* all alike: nothing to divide by */
    scale = images_scale(&im);
    assert_true(scale.mean == 7.0F && scale.deviation == 1.0F);
    images_release(&im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),         cmocka_unit_test(test_channels),
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_labels_refused),
        cmocka_unit_test(test_cut_gzip),     cmocka_unit_test(test_scale),
        cmocka_unit_test(test_write_images), cmocka_unit_test(test_cannot_write),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
