#include "tests/pictures.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "tests/support.h"
#include "tests/tiny.h"

static void write_set(const char *folder, const char *set, int n, uint64_t seed)
{
    enum { SIZE = PICTURES_SIDE * PICTURES_SIDE };
    uint8_t images[16 + PICTURES_TRAIN * SIZE] = {0, 0, 8, 3,
                                                  0, 0, 0, (uint8_t)n,
                                                  0, 0, 0, PICTURES_SIDE,
                                                  0, 0, 0, PICTURES_SIDE},
                                         labels[8 + PICTURES_TRAIN] = {0, 0, 8, 1, 0, 0, 0, (uint8_t)n};
    char name[64];
    struct random r;

    random_seed(&r, seed, 0);
    for (int i = 0; i < n; i++) {
        labels[8 + i] = (uint8_t)picture_label(i);
        for (int p = 0; p < SIZE; p++)
            images[16 + i * SIZE + p] =
                (uint8_t)(random_below(&r, 100) + (p / PICTURES_SIDE == picture_label(i) ? 150 : 0));
    }
    snprintf(name, sizeof name, "%s-images.idx.gz", set);
    test_write(folder, name, images, 16 + (size_t)(n * SIZE)); /* zlib reads plain files too */
    snprintf(name, sizeof name, "%s-labels.idx.gz", set);
    test_write(folder, name, labels, 8 + (size_t)n);
}

void pictures_write(const char *folder)
{
    static const char classes[] = "top\nmiddle\nlow\n";

    write_set(folder, "train", PICTURES_TRAIN, 1);
    write_set(folder, "test", PICTURES_TEST, 2);
    test_write(folder, "classes.txt", classes, sizeof classes - 1);
}

void pictures_open(struct tiny *t)
{
    char path[4096];

    t->folder = test_folder();
    t->bin = test_bin();
    snprintf(path, sizeof path, "%s/pictures", t->folder);
    tiny_expect(test_run("mkdir %s", path), 0, "");
    pictures_write(path);
}
