#include <stdlib.h>

#include "analysis/shared/association.h"
#include "analysis/shared/compare.h"
#include "bench/shared/asked.h"

static bool excludes(const struct interval *i, double value)
{
    return i->low > value || i->high < value;
}

static int ask_tokens_losses(const struct simulated *s, struct answers *x, struct error *err)
{
    double *p = calloc((size_t)s->shape.domains, sizeof *p);
    if (!p)
        return error_no_memory(err, "the tokens' tests");
    for (int d = 0, first = 0, end = 0; d < s->n_documents; d++) {
        end += s->length[d];
        if (d + 1 < s->n_documents && s->domain[d + 1] == s->domain[d])
            continue;
        p[s->domain[d]] = token_t(s->difference + first, end - first);
        first = end;
    }
    x->by_token[DIFFERENCE] = token_t(s->difference, s->n_tokens) <= significant;
    x->by_token[DIFFERENCE_DOMAIN] = p[0] <= significant;
    int result = token_any(p, s->shape.domains, &x->by_token[DIFFERENCE_ANY], err);
    free(p);
    return result;
}

static void note_differences(const struct compare *c, struct answers *x)
{
    for (int i = 0; i < c->n_differences; i++) {
        const struct run_difference *d = &c->differences[i];
        bool directed = d->verdict == VERDICT_BETTER || d->verdict == VERDICT_WORSE;
        if (d->domain < 0)
            x->by_document[DIFFERENCE] = excludes(&d->i, 0);
        if (d->domain == 0)
            x->by_document[DIFFERENCE_DOMAIN] = excludes(&d->i, 0);
        x->by_document[DIFFERENCE_ANY] = x->by_document[DIFFERENCE_ANY] || (d->domain >= 0 && directed);
    }
}

int asked_compare(const struct simulated *s, const struct analysis *of, struct answers *x, struct error *err)
{
    static char first[] = SIMULATED_RUN, second[] = SIMULATED_OTHER;
    char *names[] = {second, first};
    struct compare c = {.split = "probe", .step = -1, .seed = 1};
    struct analysis a = {
        .logbook = of->logbook, .path = of->path, .operands = names, .n_operands = 2, .state = &c};
    int result = compare_choose_runs(&c, &a, err);
    if (result == 0)
        result = compare_losses(&c, &a, err);
    if (result == 0) {
        note_differences(&c, x);
        result = ask_tokens_losses(s, x, err);
    }
    compare_release(&c);
    return result;
}
