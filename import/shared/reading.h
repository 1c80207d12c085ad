/* The two readings of an import or of the doctor, and what they need. */
#ifndef IMPORT_SHARED_READING_H
#define IMPORT_SHARED_READING_H
#include "base/progress.h"
#include "import/shared/formats.h"
#include "import/shared/keep.h"
#include "import/shared/survey.h"

struct reading {
    const struct request *request;
    const struct import_format *format;
    struct side side;
    struct survey survey;
    struct progress progress;
    int64_t bytes;     /* of all files */
    int64_t n_choices; /* that were written, by an import */
};

/* The first reading: afterwards the survey has its findings. Refusals are among them, and no failure. */
int reading_survey(struct reading *d, const struct request *r, struct error *err);
/* The second one, into a run that has been begun. */
int reading_keep(struct reading *d, struct keep *k, struct error *err);
void reading_release(struct reading *d);

#endif
