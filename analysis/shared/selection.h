/* Some of a probe's documents: those with given labels. */
#ifndef ANALYSIS_SHARED_SELECTION_H
#define ANALYSIS_SHARED_SELECTION_H
#include "analysis/shared/documents.h"
#include "base/options.h"

/* Each of `where` is KEY=VALUE, KEY a key of document_label or "domain": STATUS_USAGE where one is not. */
int selection_check(const struct string_list *where, struct error *err);

/* Keeps the documents that have, of every key named, one of the values named with it; values that are left
 * without documents go as well. Before the samples are read. STATUS_INPUT where no document has one of them,
 * or none has them all. */
int selection_keep(struct documents *d, const struct string_list *where, const char *run, struct error *err);

#endif
