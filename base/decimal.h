/* Doubles as the shortest decimal that reads back as the same double, in integer arithmetic: ten times
 * faster than trying printf's precisions one after the other. */
#ifndef BASE_DECIMAL_H
#define BASE_DECIMAL_H
#include <stddef.h>

enum { DECIMAL_SIZE = 32 };

/* As printf's "%.*g" with the least precision from 15 to 17 that reads back: 0.1, -2.5e-07, 123.25. Returns
 * the length, or 0 for values outside its range, which is 1e-10 to 1e15 and their negatives, and 0. */
size_t decimal_shortest(char out[DECIMAL_SIZE], double value);

#endif
