/* Cells of a small CSV text, as the programs print it, for tests: rows are known by how they begin, columns
 * by name. What is not there fails the test. Cells before the one asked for must not hold commas. */
#ifndef TESTS_ROWS_H
#define TESTS_ROWS_H

int rows_count(const char *csv); /* without the heading */
/* The number in `column` of the first row that begins with `start` ("2,domain,100,"); NaN for an empty cell.
 */
double rows_real(const char *csv, const char *start, const char *column);
/* The same as text, to the end of the cell or row; caller frees. */
char *rows_text(const char *csv, const char *start, const char *column);
void rows_expect(const char *csv, const char *start, const char *column, const char *expected);

#endif
