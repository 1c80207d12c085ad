#include "metrics/flow.h"

#include <math.h>
#include <stdlib.h>

int flow_init(struct flow *f, int n_from, int n_to, struct error *err)
{
    size_t from = (size_t)n_from, to = (size_t)n_to;
    *f = (struct flow){.n_from = n_from, .n_to = n_to};
    f->count = calloc(from * to + from + to, sizeof *f->count);
    if (!f->count)
        return error_no_memory(err, "paths between layers");
    f->from = f->count + from * to;
    f->to = f->from + from;
    return 0;
}

void flow_release(struct flow *f)
{
    free(f->count);
    *f = (struct flow){0};
}

int flow_add(struct flow *f, const struct slots *from, const struct slots *to, struct error *err)
{
    if (from->n_tokens != to->n_tokens)
        return error_set(err, STATUS_INPUT, "decisions of %d and of %d tokens make no paths", from->n_tokens,
                         to->n_tokens);
    for (int t = 0; t < from->n_tokens; t++) {
        const int32_t *a = from->expert + from->offset[t], *b = to->expert + to->offset[t];
        int n_a = from->offset[t + 1] - from->offset[t], n_b = to->offset[t + 1] - to->offset[t];
        if (n_a == 0 || n_b == 0)
            continue;
        f->n_tokens++;
        for (int i = 0; i < n_a; i++)
            f->from[a[i]]++;
        for (int j = 0; j < n_b; j++)
            f->to[b[j]]++;
        for (int i = 0; i < n_a; i++)
            for (int j = 0; j < n_b; j++)
                f->count[(size_t)a[i] * (size_t)f->n_to + (size_t)b[j]]++;
    }
    return 0;
}

double flow_expected(const struct flow *f, int from, int to)
{
    return f->n_tokens > 0 ? f->from[from] * f->to[to] / f->n_tokens : 0;
}

double flow_departure(const struct flow *f)
{
    double differences = 0, paths = 0;
    for (int i = 0; i < f->n_from; i++)
        for (int j = 0; j < f->n_to; j++) {
            double count = f->count[(size_t)i * (size_t)f->n_to + (size_t)j];
            differences += fabs(count - flow_expected(f, i, j));
            paths += count;
        }
    return paths > 0 ? differences / (2 * paths) : NAN;
}
