#include "import/shared/side.h"

int side_open(struct side *s, const struct request *r, struct error *err)
{
    *s = (struct side){0};
    (void)r;
    (void)err;
    return 0;
}
void side_close(struct side *s)
{
    (void)s;
}
const struct side_document *side_at(const struct side *s, int64_t position, int64_t *next)
{
    (void)s;
    (void)position;
    *next = INT64_MAX;
    return 0;
}
const struct side_document *side_named(const struct side *s, const char *name)
{
    (void)s;
    (void)name;
    return 0;
}
bool side_has_domains(const struct side *s)
{
    (void)s;
    return false;
}
int side_read_ids(struct side *s, int64_t position, int64_t n, int32_t *ids, int64_t *got, struct error *err)
{
    (void)s;
    (void)position;
    (void)n;
    (void)ids;
    *got = 0;
    (void)err;
    return 0;
}
void side_rewind(struct side *s)
{
    (void)s;
}
