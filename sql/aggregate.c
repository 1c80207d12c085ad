#include "sql/aggregate.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "metrics/load.h"
#include "metrics/sample.h"

/* An aggregate collects its column's numbers and hands them, ascending, to a metric. */
struct numbers {
    double *x;
    int n, capacity;
    double p; /* the second argument, a percentage */
    bool any;
};

typedef double metric(const struct numbers *v);

static double deviation(const struct numbers *v)
{
    return sample_deviation(v->x, v->n);
}

static double percentile(const struct numbers *v)
{
    return quantile_sorted(v->x, v->n, v->p / 100);
}

static double median(const struct numbers *v)
{
    return quantile_sorted(v->x, v->n, 0.5);
}

static double entropy(const struct numbers *v)
{
    return load_entropy(v->x, v->n);
}

static double gini(const struct numbers *v)
{
    return load_gini_sorted(v->x, v->n);
}

struct aggregate {
    const char *name;
    int n_arguments;
    bool weights; /* only numbers of 0 and more make sense */
    metric *metric;
};
static const struct aggregate aggregates[] = {
    {"stddev", 1, false, deviation}, {"percentile", 2, false, percentile},
    {"median", 1, false, median},    {"entropy", 1, true, entropy},
    {"gini", 1, true, gini},
};

static void complain(sqlite3_context *context, const char *what)
{
    const struct aggregate *a = sqlite3_user_data(context);
    char *message = sqlite3_mprintf("%s(): %s", a->name, what);
    sqlite3_result_error(context, message != NULL ? message : what, -1);
    sqlite3_free(message);
}

static bool read_percentage(sqlite3_context *context, struct numbers *v, sqlite3_value *value)
{
    int type = sqlite3_value_numeric_type(value);
    double p = sqlite3_value_double(value);
    if ((type != SQLITE_INTEGER && type != SQLITE_FLOAT) || !(p >= 0 && p <= 100)) {
        complain(context, "the second argument must be a number from 0 to 100");
        return false;
    }
    if (v->any && p != v->p) { /* lint: they are compared as they were given */
        complain(context, "the second argument must be the same for all rows");
        return false;
    }
    v->p = p;
    v->any = true;
    return true;
}

static bool reserve(sqlite3_context *context, struct numbers *v)
{
    if (v->n < v->capacity) {
        return true;
    }
    int capacity = v->capacity > 0 ? 2 * v->capacity : 64;
    double *x = v->capacity < INT_MAX / 2 ? sqlite3_realloc64(v->x, (size_t)capacity * sizeof *x) : NULL;
    if (x == NULL) {
        sqlite3_result_error_nomem(context);
        return false;
    }
    v->x = x;
    v->capacity = capacity;
    return true;
}

static void add_number(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const struct aggregate *a = sqlite3_user_data(context);
    struct numbers *v = sqlite3_aggregate_context(context, sizeof *v);
    int type = sqlite3_value_numeric_type(argv[0]);
    if (v == NULL) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (argc > 1 && !read_percentage(context, v, argv[1])) {
        return;
    }
    if (type == SQLITE_NULL) {
        return;
    }
    double x = sqlite3_value_double(argv[0]);
    if (type != SQLITE_INTEGER && type != SQLITE_FLOAT) {
        complain(context, "the argument must be a number");
    } else if (a->weights && !(x >= 0)) {
        complain(context, "the argument must not be negative");
    } else if (reserve(context, v)) {
        v->x[v->n++] = x;
    }
}

static void finish(sqlite3_context *context)
{
    const struct aggregate *a = sqlite3_user_data(context);
    struct numbers *v = sqlite3_aggregate_context(context, 0); /* NULL: there was no row */
    if (v != NULL && v->n > 0) {
        sample_sort(v->x, v->n);
        double result = a->metric(v);
        if (isfinite(result)) {
            sqlite3_result_double(context, result);
        }
    }
    if (v != NULL) {
        sqlite3_free(v->x);
    }
}

int aggregates_register(sqlite3 *db)
{
    int code = SQLITE_OK;
    for (size_t i = 0; i < sizeof aggregates / sizeof aggregates[0] && code == SQLITE_OK; i++) {
        const struct aggregate *a = &aggregates[i];
        code = sqlite3_create_function_v2(db, a->name, a->n_arguments,
                                          SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, (void *)a,
                                          NULL, add_number, finish, NULL);
    }
    return code;
}
