#include "sql/loads.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void load_entry_add(struct text *json, int expert, const struct load_entry *entry)
{
    text_printf(json, "%s[%lld,%lld,", expert > 0 ? "," : "[", (long long)entry->assignments,
                (long long)entry->dropped);
    text_add_number(json, entry->gate_sum);
    text_add(json, ",");
    text_add_number(json, entry->probability_sum);
    text_add(json, "]");
}

/* ---- reading ---- */

static void skip_blanks(const char **at)
{
    while (isspace((unsigned char)**at)) {
        ++*at;
    }
}

static int expect(const char **at, char c)
{
    skip_blanks(at);
    if (**at != c) {
        return -1;
    }
    ++*at;
    return 0;
}

static int read_count(const char **at, int64_t *value)
{
    char *end;
    skip_blanks(at);
    *value = strtoll(*at, &end, 10);
    if (end == *at || *value < 0 || *value > load_most) {
        return -1;
    }
    *at = end;
    return 0;
}

static int read_sum(const char **at, double *value)
{
    char *end;
    skip_blanks(at);
    if (strncmp(*at, "null", 4) == 0) {
        *value = NAN;
        *at += 4;
        return 0;
    }
    *value = strtod(*at, &end);
    if (end == *at || !isfinite(*value)) {
        return -1;
    }
    *at = end;
    return 0;
}

int load_entry_next(const char **at, struct load_entry *entry)
{
    skip_blanks(at);
    bool first = **at == '[';
    if (!first && **at != ',' && **at != ']') {
        return -1;
    }
    ++*at;
    skip_blanks(at);
    if (**at == '\0' || (first && **at == ']')) {
        return **at == '\0' || expect(at, ']') == 0 ? 0 : -1;
    }
    if (expect(at, '[') != 0 || read_count(at, &entry->assignments) != 0 || expect(at, ',') != 0 ||
        read_count(at, &entry->dropped) != 0 || expect(at, ',') != 0 || read_sum(at, &entry->gate_sum) != 0 ||
        expect(at, ',') != 0 || read_sum(at, &entry->probability_sum) != 0) {
        return -1;
    }
    return expect(at, ']') == 0 ? 1 : -1;
}

int loads_add(struct text *sum, const char *a, const char *b)
{
    int result;
    for (int e = 0;; e++) {
        struct load_entry x, y;
        result = load_entry_next(&a, &x);
        if (result != load_entry_next(&b, &y) || result < 0) {
            return -1;
        }
        if (result == 0) {
            text_add(sum, e > 0 ? "]" : "[]");
            return 0;
        }
        x.assignments += y.assignments;
        x.dropped += y.dropped;
        x.gate_sum += y.gate_sum;
        x.probability_sum += y.probability_sum;
        load_entry_add(sum, e, &x);
    }
}
