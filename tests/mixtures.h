/* A small mixture of sources, as corpora/mixed.sh makes them: pictures of 8 x 8 pixels in 2 classes (bright
 * above or below), text of 16 bytes in 3 classes (of which letters), series of 16 times whose target is a
 * tenth of their last value, a table of 5 columns in 2 classes (the sign of the first). 120 train samples
 * each, of which 2 become the probe, and 24 to test. Whatever cannot be done fails the test it was called
 * from. */
#ifndef TESTS_MIXTURES_H
#define TESTS_MIXTURES_H

enum { MIXTURES_SOURCES = 4, MIXTURES_TRAIN = 120, MIXTURES_TEST = 24 };

void mixtures_write(const char *folder);

#endif
