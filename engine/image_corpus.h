/* A set of labelled images as a corpus: a folder as corpora/fashion-mnist.sh or corpora/glyphs.sh leaves it,
 *
 *   classes.txt                           a name a line, in the order of the labels
 *   {train,test}-{images,labels}.idx.gz   (engine/images.h)
 *   probe-{images,labels}.idx.gz          may be missing
 *   families.txt                          may be missing: a name a line of what images come from
 *   {train,test,probe}-families.idx.gz    with it: the family of each image, as labels are
 *
 * An image is a document (engine/labelled.h) of its class's domain, with the label class and, where there are
 * families, the label family; it is one prediction, of its class. The vocabulary is "image" and, from 1 on,
 * the classes. */
#ifndef ENGINE_IMAGE_CORPUS_H
#define ENGINE_IMAGE_CORPUS_H
#include <stdbool.h>

#include "engine/corpus.h"

bool image_corpus_is(const char *folder);
/* As corpus_load; fills c->images, document d being image d. */
int image_corpus_load(struct corpus *c, const char *folder, struct error *err);

#endif
