/* All that can be read of a logbook through sql/read.h, read to the end: for tests in which that may fail.
 * The run is number 1. Each returns 0, or -1 and what was said. */
#ifndef TESTS_READING_H
#define TESTS_READING_H
#include "sql/read.h"

typedef int reading(struct logbook *lb, struct error *err);
int reading_blocks(struct logbook *lb, struct error *err);
int reading_probabilities(struct logbook *lb, struct error *err);
int reading_queries(struct logbook *lb, struct error *err); /* every query of queries/, as JSON */

#endif
