/* A mixture of sources as a corpus: a folder as corpora/mixed.sh leaves it,
 *
 *   sources.txt                              a line a source: NAME <tab> KIND (image, text, series, table)
 *   NAME/classes.txt                         a name a line, in the order of the labels; none: real targets
 *   NAME/{train,test}-{inputs,targets}.idx.gz   (engine/idx.h)
 *
 * A sample is a document (engine/labelled.h) of its source's domain, with its class as a label; it is one
 * prediction. The vocabulary is "sample" and, from 1 on, each source's classes, or its name alone where
 * targets are real. */
#ifndef ENGINE_MIXTURE_CORPUS_H
#define ENGINE_MIXTURE_CORPUS_H
#include <stdbool.h>

#include "engine/corpus.h"

bool mixture_corpus_is(const char *folder);
/* As corpus_load; fills c->mixture. */
int mixture_corpus_load(struct corpus *c, const char *folder, struct error *err);

#endif
