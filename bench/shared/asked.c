#include "bench/shared/asked.h"

#include <gsl/gsl_cdf.h>
#include <stdlib.h>

#include "analysis/shared/association.h"
#include "metrics/resample.h"

const struct question_asked questions_asked[N_ASKED] = {
    {"specialization: information on the domain in one layer, p <= 0.05", "chi-square"},
    {"specialization: information on the domain in any layer, q <= 0.05", "chi-square, q"},
    {"specialization: experts tell domains apart in any layer", "chi-square, q"},
    {"specialization: lift of any expert in any domain, q <= 0.05", "chi-square, q"},
    {"specialization: lift of one expert in one domain, interval without 1", "chi-square"},
    {"compare: difference over all documents, interval without 0", "t"},
    {"compare: difference in one domain, interval without 0", "t"},
    {"compare: better or worse in any domain", "t, q"},
    {"demand: layers differ", "t, q"},
};

double token_chi_square(const double *table, int n_rows, int n_columns)
{
    double total = 0, statistic = 0;
    for (int i = 0; i < n_rows * n_columns; i++)
        total += table[i];
    for (int r = 0; r < n_rows; r++)
        for (int c = 0; c < n_columns; c++) {
            double row = 0, column = 0;
            for (int i = 0; i < n_columns; i++)
                row += table[r * n_columns + i];
            for (int i = 0; i < n_rows; i++)
                column += table[i * n_columns + c];
            double expected = row * column / total, off = table[r * n_columns + c] - expected;
            statistic += expected > 0 ? off * off / expected : 0;
        }
    return gsl_cdf_chisq_Q(statistic, (n_rows - 1) * (n_columns - 1));
}

double token_t(const double *x, int n)
{
    struct interval i;
    student_interval(x, n, 0.95, &i);
    return i.p;
}

int token_any(double *p, int n, bool *found, struct error *err)
{
    *found = false;
    if (benjamini_hochberg(p, n, p, err) != 0)
        return -1;
    for (int i = 0; i < n; i++)
        *found = *found || p[i] <= significant;
    return 0;
}

int asked_all(const struct simulated *s, const char *path, struct answers *x, struct error *err)
{
    static char name[] = SIMULATED_RUN;
    struct analysis a = {.path = path, .run = name, .max_experts = s->shape.experts};
    int result = logbook_open(&a.logbook, path, err);
    if (result == 0)
        result = logbook_find_run(a.logbook, name, &a.run_id, err);
    if (result == 0)
        result = analysis_load_layers(a.logbook, a.run_id, name, &a.layers, &a.n_layers, err);
    if (result == 0)
        result = asked_specialization(&a, x, err);
    if (result == 0)
        result = asked_compare(s, &a, x, err);
    if (result == 0)
        result = asked_demand(s, &a, x, err);
    free(a.layers);
    moescope_close(a.logbook);
    return result;
}
