/* A tiny prepared corpus for the tests of the programs that train: two domains of made-up sentences, built by
 * the real `moescope corpus` with a real sentencepiece vocabulary. */
#ifndef TESTS_TINY_H
#define TESTS_TINY_H

/* Writes FOLDER/text and FOLDER/corpus; fails the test when the programs cannot. */
void tiny_corpus(const char *folder);

#endif
