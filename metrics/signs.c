/* With x = off + share * delta, delta = estimate - theta, a draw of signs s has the mean m = sum s x and,
 * about it, the residuals s x - m share, whose variance within strata is a polynomial in delta of degree 2.
 * Its coefficients are worked out once for each draw, so that any theta is tried in a moment. */
#include "metrics/signs.h"

#include <math.h>
#include <stdlib.h>

/* A variance is 0 when it is smaller than this share of the squares it is the rest of. */
static const double rounding = 1e-12;

struct stratum { /* sums over its documents */
    int first, end;
    double off, share;                      /* of off, share */
    double off_off, off_share, share_share; /* of products */
    /* of one draw, times the signs: */
    double signed_off, signed_share, signed_off_share, signed_share_share;
};

struct drawn {          /* of one draw */
    double off, share;  /* the mean is off + share * delta */
    double variance[3]; /* its coefficients */
};

struct signs {
    struct stratum *strata;
    struct drawn *draws;
    int n_strata, n_draws;
    double squares[2]; /* sums of off^2, share^2: what roundings are measured by */
    double variance;   /* of the estimate: the residuals of the signs as they are do not hang on delta */
};

static void divide(struct signs *g, const struct part *parts, int n)
{
    for (int i = 0; i < n; i++) {
        if (i == 0 || parts[i].stratum != parts[i - 1].stratum)
            g->strata[g->n_strata++] = (struct stratum){.first = i};
        struct stratum *s = &g->strata[g->n_strata - 1];
        s->end = i + 1;
        s->off += parts[i].off;
        s->share += parts[i].share;
        s->off_off += parts[i].off * parts[i].off;
        s->off_share += parts[i].off * parts[i].share;
        s->share_share += parts[i].share * parts[i].share;
    }
}

/* The variance of the estimate; what is smaller than roundings make it is 0. */
static void set_variance(struct signs *g, double estimate)
{
    for (int i = 0; i < g->n_strata; i++) {
        const struct stratum *s = &g->strata[i];
        int n = s->end - s->first;
        g->squares[0] += s->off_off;
        g->squares[1] += s->share_share;
        if (n > 1)
            g->variance += n / (n - 1.) * (s->off_off - s->off * s->off / n);
    }
    if (g->variance <= rounding * (g->squares[0] + estimate * estimate * g->squares[1]))
        g->variance = 0;
}

static void draw_stratum(struct stratum *s, const struct part *parts, struct random *r)
{
    uint64_t bits = 0;
    s->signed_off = s->signed_share = s->signed_off_share = s->signed_share_share = 0;
    for (int i = s->first; i < s->end; i++) {
        int place = (i - s->first) % 64;
        bits = place == 0 ? random_bits(r) : bits;
        double sign = bits >> place & 1 ? 1 : -1, off = sign * parts[i].off, share = sign * parts[i].share;
        s->signed_off += off;
        s->signed_share += share;
        s->signed_off_share += off * parts[i].share;
        s->signed_share_share += share * parts[i].share;
    }
}

/* Residuals s x - m share, squared and summed: x^2 - 2 m s x share + m^2 share^2. */
static void add_variance(struct drawn *d, const struct stratum *s)
{
    int n = s->end - s->first;
    const double rest[2] = {s->signed_off - d->off * s->share, s->signed_share - d->share * s->share};
    const double squares[3] = {
        s->off_off - 2 * d->off * s->signed_off_share + d->off * d->off * s->share_share,
        2 * (s->off_share - d->off * s->signed_share_share - d->share * s->signed_off_share +
             d->off * d->share * s->share_share),
        s->share_share - 2 * d->share * s->signed_share_share + d->share * d->share * s->share_share};
    const double sums[3] = {rest[0] * rest[0], 2 * rest[0] * rest[1], rest[1] * rest[1]};
    for (int i = 0; i < 3 && n > 1; i++)
        d->variance[i] += n / (n - 1.) * (squares[i] - sums[i] / n);
}

static void draw(struct signs *g, const struct part *parts, struct drawn *d, struct random *r)
{
    *d = (struct drawn){0};
    for (int i = 0; i < g->n_strata; i++) {
        draw_stratum(&g->strata[i], parts, r);
        d->off += g->strata[i].signed_off;
        d->share += g->strata[i].signed_share;
    }
    for (int i = 0; i < g->n_strata; i++)
        add_variance(d, &g->strata[i]);
}

/* Of "the true value is estimate - delta". Sums of the same numbers in another order differ in their last
 * bits; such ties count. */
static double p_of(const struct signs *g, double delta)
{
    double least = rounding * (g->squares[0] + delta * delta * g->squares[1]);
    int as_large = 0;
    for (int i = 0; i < g->n_draws; i++) {
        const struct drawn *d = &g->draws[i];
        double mean = d->off + d->share * delta;
        double variance = d->variance[0] + delta * (d->variance[1] + delta * d->variance[2]);
        variance = variance > least ? variance : 0;
        as_large += mean * mean * g->variance >= delta * delta * variance * (1 - 1e-9);
    }
    return (1. + as_large) / (1. + g->n_draws);
}

/* How far the interval reaches in one direction, to a ten thousandth; NaN: there is no end to it. */
static double reach(const struct signs *g, double direction, double rejected)
{
    double inside = 0, outside = sqrt(g->variance);
    for (int doublings = 0; p_of(g, direction * outside) > rejected; doublings++) {
        if (doublings == 40)
            return NAN;
        inside = outside;
        outside *= 2;
    }
    while (outside - inside > 1e-4 * outside) {
        double middle = (inside + outside) / 2;
        if (p_of(g, direction * middle) > rejected)
            inside = middle;
        else
            outside = middle;
    }
    return outside;
}

static void answer(const struct signs *g, double estimate, double level, struct signs_answer *x)
{
    x->p = p_of(g, estimate);
    x->low = x->high = estimate;
    if (g->variance > 0) {
        x->low -= reach(g, 1, 1 - level);
        x->high += reach(g, -1, 1 - level);
    }
    if (isnan(x->low) || isnan(x->high))
        x->low = x->high = NAN;
}

int signs_test(const struct part *parts, int n, double estimate, int n_draws, double level, struct random *r,
               struct signs_answer *x, struct error *err)
{
    struct signs g = {.strata = calloc((size_t)n + 1, sizeof *g.strata),
                      .draws = calloc((size_t)n_draws + 1, sizeof *g.draws),
                      .n_draws = n_draws};
    int result = g.strata && g.draws ? 0 : error_no_memory(err, "the changes of sign");
    if (result == 0) {
        divide(&g, parts, n);
        set_variance(&g, estimate);
        for (int i = 0; i < n_draws; i++)
            draw(&g, parts, &g.draws[i], r);
        answer(&g, estimate, level, x);
    }
    free(g.strata);
    free(g.draws);
    return result;
}
