/* A small set of labelled images: 4 x 4 pixels in three classes, class c with row c bright; 120 for training,
 * of which 2 become the probe, and 12 for testing. Whatever cannot be done fails the test it was called from.
 */
#ifndef TESTS_PICTURES_H
#define TESTS_PICTURES_H

enum {
    PICTURES_TRAIN = 120,
    PICTURES_PROBE = 2,
    PICTURES_TEST = 12,
    PICTURES_CLASSES = 3,
    PICTURES_SIDE = 4
};

/* The label of image i of either set. */
static inline int picture_label(int i)
{
    return i % PICTURES_CLASSES;
}

/* Writes the folder, as corpora/fashion-mnist.sh does. */
void pictures_write(const char *folder);
/* For tests of programs: a folder with `pictures` in it and no text. */
struct tiny;
void pictures_open(struct tiny *t);

#endif
