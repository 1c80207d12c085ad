#include "analysis/shared/imported.h"

int imported_read(struct imported *i, struct logbook *lb, int64_t run_id, struct error *err)
{
    struct query *q;
    *i = (struct imported){.imported = false};
    if (query_open(&q, lb, "analysis/imported", err) != 0)
        return -1;
    query_bind_int(q, ":run", run_id);
    int more = query_step(q, err);
    if (more == 1 && query_int(q, "imported"))
        *i = (struct imported){.imported = true,
                               .ids_unknown = query_int(q, "ids_unknown") != 0,
                               .slots_by_id = query_int(q, "slots_by_id") != 0,
                               .gates_unknown = query_int(q, "gates_unknown") != 0,
                               .without_probabilities = query_int(q, "has_probabilities") == 0};
    query_close(q);
    return more < 0 ? -1 : 0;
}

void imported_say(const struct imported *i, const char *subject, struct verdicts *v)
{
    if (i->ids_unknown)
        verdict_add(v, "import", "tokens unknown",
                    "%s was imported without its tokens' ids, so that nothing is said about tokens", subject);
    if (i->slots_by_id)
        verdict_add(
            v, "import", "first choices unknown",
            "%s was imported with experts in the order of their ids, so that nothing is said about first "
            "choices",
            subject);
}
