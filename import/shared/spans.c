#include "import/shared/spans.h"

#include <inttypes.h>
#include <stdlib.h>

/* What is empty stands before what begins where it is. */
static int compare(const void *x, const void *y)
{
    const struct span *a = x, *b = y;

    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return (a->end > b->end) - (a->end < b->end);
}

static int hole(const struct blob *s, int64_t from, int64_t to, struct error *err)
{
    return blob_refuse(s, err, "its bytes %" PRId64 " to %" PRId64 " belong to nothing", from, to);
}

int spans_check(const struct blob *s, struct span *spans, int n, int64_t begin, int64_t end, bool tight,
                struct error *err)
{
    int64_t at = begin;

    if (n > 0)
        qsort(spans, (size_t)n, sizeof *spans, compare);
    for (int i = 0; i < n; i++) {
        if (spans[i].begin < at && i > 0)
            return blob_refuse(s, err, "'%.100s' and '%.100s' in it overlap at offset %" PRId64,
                               spans[i - 1].name, spans[i].name, spans[i].begin);
        if (spans[i].begin < at || spans[i].end > end)
            return blob_refuse(s, err,
                               "'%.100s' in it has bytes %" PRId64 " to %" PRId64 ", and there are %" PRId64
                               " to %" PRId64 "; is it cut off?",
                               spans[i].name, spans[i].begin, spans[i].end, begin, end);
        if (tight && spans[i].begin > at)
            return hole(s, at, spans[i].begin, err);
        at = spans[i].end;
    }
    return tight && at < end ? hole(s, at, end, err) : 0;
}
