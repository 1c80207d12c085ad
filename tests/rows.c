#include "tests/rows.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

int rows_count(const char *csv)
{
    int n = -1;
    for (; *csv; csv++)
        n += *csv == '\n';
    return n;
}

static int column_number(const char *csv, const char *column)
{
    size_t n = strlen(column);
    const char *end = csv + strcspn(csv, "\n");
    for (int i = 0; csv < end; i++) {
        size_t length = strcspn(csv, ",\n");
        if (length == n && strncmp(csv, column, n) == 0)
            return i;
        csv += length + 1;
    }
    fail_msg("there is no column '%s'", column);
    return -1;
}

static const char *find_row(const char *csv, const char *start)
{
    const char *row = strchr(csv, '\n');
    while (row && row[1]) {
        if (strncmp(row + 1, start, strlen(start)) == 0)
            return row + 1;
        row = strchr(row + 1, '\n');
    }
    fail_msg("no row begins with '%s' in\n%s", start, csv);
    return NULL;
}

char *rows_text(const char *csv, const char *start, const char *column)
{
    int n = column_number(csv, column);
    const char *cell = find_row(csv, start);
    for (int i = 0; i < n; i++)
        cell += strcspn(cell, ",\n") + 1;
    /* A quoted cell goes to the end of its row: it is the last. */
    size_t length = *cell == '"' ? strcspn(cell, "\n") : strcspn(cell, ",\n");
    char *text = strndup(cell, length);
    assert_non_null(text);
    return text;
}

double rows_real(const char *csv, const char *start, const char *column)
{
    char *text = rows_text(csv, start, column), *end;
    double value = *text ? strtod(text, &end) : NAN;
    if (*text && *end)
        fail_msg("'%s' in column '%s' is not a number", text, column);
    free(text);
    return value;
}

void rows_expect(const char *csv, const char *start, const char *column, const char *expected)
{
    char *text = rows_text(csv, start, column);
    assert_string_equal(text, expected);
    free(text);
}
