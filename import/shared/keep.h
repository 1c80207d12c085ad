/* The second reading: what the intake is given is written into a logbook. */
#ifndef IMPORT_SHARED_KEEP_H
#define IMPORT_SHARED_KEEP_H
#include "import/shared/side.h"
#include "import/shared/survey.h"
#include "sql/logbook.h"

struct keep_run {
    struct logbook *logbook;
    const char *name, *split, *router, *texts; /* a hash: runs over the same texts have the same */
    const char *vocabulary;                    /* a file's path; NULL: none */
    const struct moescope_setting *config;
    int n_config;
};

struct keep;
/* Begins the run, within the caller's transaction. */
int keep_open(struct keep **k, const struct keep_run *run, const struct survey *s, const struct request *r,
              struct side *side, struct error *err);
int keep_stretch(struct keep *k, const struct stretch *t, int *handle, struct error *err);
int keep_routing(struct keep *k, int handle, const struct routed *r, struct error *err);
int keep_load(struct keep *k, const struct load *l, struct error *err);
int64_t keep_choices_written(const struct keep *k); /* 0 of NULL */
int keep_flush(struct keep *k, struct error *err);
/* Ends the run, as imported. */
int keep_finish(struct keep *k, struct error *err);
void keep_close(struct keep *k); /* safe on NULL */

#endif
