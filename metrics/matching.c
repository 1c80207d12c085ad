#include "metrics/matching.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the assignment problem ---- */

/* Columns are 1 .. n, column 0 is where the row to be placed waits; rows likewise. Costs are -gain. The
 * potentials u, v keep every reduced cost -gain - u - v >= 0, and 0 on the pairs that are matched. */
struct search {
    int n;
    const double *gain;
    double *u, *v;     /* (n + 1) potentials of rows, of columns */
    double *least;     /* (n + 1) least reduced cost by which the search could reach a column */
    int *row, *before; /* (n + 1) row matched to a column, 0: none; the column the path came from */
    char *reached;     /* (n + 1) */
};

static void search_release(struct search *s)
{
    free(s->u);
    free(s->v);
    free(s->least);
    free(s->row);
    free(s->before);
    free(s->reached);
}

static int search_init(struct search *s, const double *gain, int n, struct error *err)
{
    size_t size = (size_t)n + 1;
    *s = (struct search){n,
                         gain,
                         calloc(size, sizeof *s->u),
                         calloc(size, sizeof *s->v),
                         calloc(size, sizeof *s->least),
                         calloc(size, sizeof *s->row),
                         calloc(size, sizeof *s->before),
                         calloc(size, 1)};
    if (s->u && s->v && s->least && s->row && s->before && s->reached)
        return 0;
    search_release(s);
    return error_no_memory(err, "matching experts");
}

/* Relaxes the edges out of the row that sits in `from`; returns the nearest column not reached yet. */
static int search_nearest(struct search *s, int from)
{
    int row = s->row[from], nearest = 0;
    for (int c = 1; c <= s->n; c++) {
        if (s->reached[c])
            continue;
        double reduced = -s->gain[(size_t)(row - 1) * (size_t)s->n + (size_t)(c - 1)] - s->u[row] - s->v[c];
        if (reduced < s->least[c]) {
            s->least[c] = reduced;
            s->before[c] = from;
        }
        if (nearest == 0 || s->least[c] < s->least[nearest])
            nearest = c;
    }
    return nearest;
}

/* Moves the potentials so that the nearest column's reduced cost becomes 0. */
static void search_shift(struct search *s, double by)
{
    for (int c = 0; c <= s->n; c++)
        if (s->reached[c]) {
            s->u[s->row[c]] += by;
            s->v[c] -= by;
        } else
            s->least[c] -= by;
}

/* Finds the cheapest path from an unmatched row to a free column and flips the matches along it. */
static void search_place(struct search *s, int row)
{
    int column = 0;
    s->row[0] = row;
    for (int c = 0; c <= s->n; c++)
        s->least[c] = INFINITY;
    memset(s->reached, 0, (size_t)s->n + 1);
    do {
        s->reached[column] = 1;
        int next = search_nearest(s, column);
        search_shift(s, s->least[next]);
        column = next;
    } while (s->row[column] != 0);
    while (column != 0) {
        s->row[column] = s->row[s->before[column]];
        column = s->before[column];
    }
}

int best_matching(const double *gain, int n, int *match, struct error *err)
{
    struct search s;
    if (search_init(&s, gain, n, err) != 0)
        return -1;
    for (int row = 1; row <= n; row++)
        search_place(&s, row);
    for (int column = 1; column <= n; column++)
        match[s.row[column] - 1] = column - 1;
    search_release(&s);
    return 0;
}

/* ---- agreement ---- */

struct halves {
    const struct paired_choices *p;
    int *half;                /* (n_documents) 0 or 1 */
    double *joint[2];         /* (n_experts, n_experts) tokens of each half by choice of a, of b */
    int *match;               /* (n_experts) */
    double matched, expected; /* tokens, so far */
};

static void halves_release(struct halves *h)
{
    free(h->half);
    free(h->joint[0]);
    free(h->joint[1]);
    free(h->match);
}

static int halves_init(struct halves *h, const struct paired_choices *p, struct error *err)
{
    size_t n = (size_t)p->n_experts;
    *h = (struct halves){.p = p,
                         .half = malloc((size_t)p->n_documents * sizeof *h->half),
                         .joint = {calloc(n * n, sizeof **h->joint), calloc(n * n, sizeof **h->joint)},
                         .match = malloc(n * sizeof *h->match)};
    if (h->half && h->joint[0] && h->joint[1] && h->match)
        return 0;
    halves_release(h);
    return error_no_memory(err, "matching experts");
}

static int halves_deal(struct halves *h, struct random *r, struct error *err)
{
    const struct paired_choices *p = h->p;
    for (int d = 0; d < p->n_documents; d++)
        h->half[d] = d % 2;
    random_shuffle(r, h->half, p->n_documents);
    for (int d = 0; d < p->n_documents; d++)
        for (int64_t t = p->offset[d]; t < p->offset[d + 1]; t++) {
            if (p->a[t] < 0 || p->a[t] >= p->n_experts || p->b[t] < 0 || p->b[t] >= p->n_experts)
                return error_set(err, STATUS_INPUT, "an expert is out of range: %d and %d of %d",
                                 (int)p->a[t], (int)p->b[t], p->n_experts);
            h->joint[h->half[d]][(size_t)p->a[t] * (size_t)p->n_experts + (size_t)p->b[t]] += 1;
        }
    return 0;
}

/* Tokens that two routers with these loads would agree on by chance under h->match. */
static double halves_chance(const struct halves *h, const double *joint)
{
    size_t n = (size_t)h->p->n_experts;
    double tokens = 0, together = 0;
    for (size_t i = 0; i < n * n; i++)
        tokens += joint[i];
    for (size_t e = 0; e < n; e++) {
        double a = 0, b = 0;
        for (size_t i = 0; i < n; i++) {
            a += joint[e * n + i];
            b += joint[i * n + (size_t)h->match[e]];
        }
        together += a * b;
    }
    return tokens > 0 ? together / tokens : 0;
}

/* Matches on the other half, counts on `half`. */
static int halves_count(struct halves *h, int half, double *by_document, struct error *err)
{
    const struct paired_choices *p = h->p;
    if (best_matching(h->joint[!half], p->n_experts, h->match, err) != 0)
        return -1;
    h->expected += halves_chance(h, h->joint[half]);
    for (int d = 0; d < p->n_documents; d++) {
        if (h->half[d] != half)
            continue;
        double same = 0;
        for (int64_t t = p->offset[d]; t < p->offset[d + 1]; t++)
            same += h->match[p->a[t]] == p->b[t];
        h->matched += same;
        if (by_document)
            by_document[d] = same;
    }
    return 0;
}

int matched_agreement(const struct paired_choices *p, struct random *r, struct matched_agreement *m,
                      double *by_document, struct error *err)
{
    struct halves h;
    *m = (struct matched_agreement){(double)p->offset[p->n_documents], NAN, NAN, NAN};
    if (p->n_documents < 2 || m->n_tokens <= 0)
        return 0;
    if (halves_init(&h, p, err) != 0)
        return -1;
    int result = halves_deal(&h, r, err);
    for (int half = 0; half < 2 && result == 0; half++)
        result = halves_count(&h, half, by_document, err);
    if (result == 0) {
        m->agreement = h.matched / m->n_tokens;
        m->chance = h.expected / m->n_tokens;
        m->above = m->chance < 1 ? (m->agreement - m->chance) / (1 - m->chance) : NAN;
    }
    halves_release(&h);
    return result;
}
