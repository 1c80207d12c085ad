#include "import/shared/intake.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "import/shared/reading.h"

struct intake {
    struct reading *reading;
    struct keep *keep; /* NULL: the first time */
    struct stretch *open;
    int n_open, capacity;
    int64_t held;
    int64_t bytes;
    int32_t *expert; /* without shared columns */
    float *gate;
    int64_t row_capacity;
};

/* ---- what formats ask ---- */

const struct request *intake_request(const struct intake *in)
{
    return in->reading->request;
}

bool intake_writes(const struct intake *in)
{
    return in->keep != NULL;
}

bool intake_accepts(const struct intake *in, enum trap trap)
{
    return trap_accepted(&in->reading->request->accept, trap);
}

int intake_layers_of(const struct intake *in, int file)
{
    const struct survey *s = &in->reading->survey;
    if (in->keep == NULL) {
        return 0;
    }
    if (file >= 0) {
        return s->files[file].n_layers;
    }
    int n = 0;
    for (int i = 0; i < LOGBOOK_MAX_LAYERS; i++) {
        n += s->layers[i] != NULL;
    }
    return n;
}

int64_t intake_held(const struct intake *in)
{
    return in->held;
}

void intake_finding(struct intake *in, enum trap trap, enum ruling ruling, const char *instead,
                    const char *format, ...)
{
    char text[400];
    va_list arguments;
    if (in->keep != NULL) {
        return;
    }
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    findings_add(&in->reading->survey.findings, &in->reading->request->accept, trap, ruling, instead, "%s",
                 text);
}

void intake_progress(struct intake *in, int64_t bytes)
{
    in->bytes += bytes;
    progress_update(&in->reading->progress, in->bytes, "");
}

/* ---- what formats give ---- */

int intake_begin(struct intake *in, const struct stretch *s, int *handle, struct error *err)
{
    if (in->n_open == in->capacity) {
        int capacity = in->capacity > 0 ? 2 * in->capacity : 64;
        struct stretch *open = realloc(in->open, (size_t)capacity * sizeof *open);
        if (open == NULL) {
            return error_no_memory(err, "tokens of a file");
        }
        in->open = open;
        in->capacity = capacity;
    }
    if (in->keep != NULL ? keep_stretch(in->keep, s, handle, err) != 0
                         : survey_stretch(&in->reading->survey, s, err) != 0) {
        return -1;
    }
    /* With each step the store begins anew, and so do handles here. */
    *handle = in->keep != NULL ? *handle : in->n_open;
    in->n_open = *handle;
    in->open[in->n_open++] = *s;
    return 0;
}

static int reserve_rows(struct intake *in, int64_t n, struct error *err)
{
    if (n <= in->row_capacity) {
        return 0;
    }
    free(in->expert);
    free(in->gate);
    in->row_capacity = 0;
    in->expert = malloc((size_t)n * sizeof *in->expert);
    in->gate = malloc((size_t)n * sizeof *in->gate);
    if (in->expert == NULL || in->gate == NULL) {
        return error_no_memory(err, "rows of choices");
    }
    in->row_capacity = n;
    return 0;
}

static int leave_out_shared(struct intake *in, struct routed *r, int n_tokens, struct error *err)
{
    int k = r->k, kept = k - (int)in->reading->request->shared;
    if (kept < 1) {
        return error_set(err, STATUS_INPUT, "layer %d: --shared %d leaves nothing of %d columns", r->layer,
                         k - kept, k);
    }
    if (reserve_rows(in, (int64_t)n_tokens * kept, err) != 0) {
        return -1;
    }
    for (size_t t = 0; t < (size_t)n_tokens; t++) {
        memcpy(in->expert + t * (size_t)kept, r->expert + t * (size_t)k, (size_t)kept * sizeof *in->expert);
        if (r->gate != NULL) {
            memcpy(in->gate + t * (size_t)kept, r->gate + t * (size_t)k, (size_t)kept * sizeof *in->gate);
        }
    }
    r->k = kept;
    r->expert = in->expert;
    r->gate = r->gate != NULL ? in->gate : NULL;
    return 0;
}

int intake_routing(struct intake *in, int handle, const struct routed *routed, struct error *err)
{
    struct routed r = *routed;
    const struct stretch *s = &in->open[handle];
    if (in->reading->request->shared > 0 && leave_out_shared(in, &r, s->n_tokens, err) != 0) {
        return -1;
    }
    in->held += (int64_t)s->n_tokens * r.k;
    return in->keep != NULL ? keep_routing(in->keep, handle, &r, err)
                            : survey_routing(&in->reading->survey, s, &r, err);
}

int intake_load(struct intake *in, const struct load *load, struct error *err)
{
    return in->keep != NULL ? keep_load(in->keep, load, err) : survey_load(&in->reading->survey, load, err);
}

void intake_topk(struct intake *in, int k)
{
    in->reading->survey.topk = k;
}

int intake_flush(struct intake *in, struct error *err)
{
    in->n_open = 0;
    in->held = 0;
    return in->keep != NULL ? keep_flush(in->keep, err) : 0;
}

/* ---- readings ---- */

static int read_files(struct reading *d, struct keep *k, struct error *err)
{
    struct intake in = {.reading = d, .keep = k};
    progress_start(&d->progress, k != NULL ? "import" : "look", d->bytes, 0, d->progress.quiet);
    int result = d->format->read(&in, d->request, err);
    if (result == 0) {
        result = intake_flush(&in, err);
    }
    if (result == 0 && k != NULL) {
        result = keep_finish(k, err);
    }
    if (result == 0) {
        intake_progress(&in, d->bytes - in.bytes); /* of formats that do not read from front to back */
        progress_finish(&d->progress, "");
    }
    free(in.open);
    free(in.expert);
    free(in.gate);
    return result;
}

static int64_t size_of(const struct request *r)
{
    int64_t bytes = 0;
    struct stat s;
    for (int i = 0; i < r->n_files; i++) {
        bytes += stat(r->files[i], &s) == 0 ? s.st_size : 0;
    }
    return bytes;
}

/* As many ids as tokens, or one more. */
static int judge_ids(struct reading *d, struct error *err)
{
    const struct survey *s = &d->survey;
    int64_t rows = s->n_tokens, got = 0, n = 0;
    int32_t ids[1024];
    if (d->side.ids == NULL) {
        return 0;
    }
    do {
        if (side_read_ids(&d->side, n, 1024, ids, &got, err) != 0) {
            return -1;
        }
        n += got;
    } while (got == 1024);
    if (n != rows && n != rows + 1) {
        findings_add(
            &d->survey.findings, &d->request->accept, TRAP_ROWS_AND_TOKENS, RULING_REFUSED,
            "give the ids of exactly these tokens; --accept rows-and-tokens joins them from the front",
            "there are %lld rows a layer and %lld ids", (long long)rows, (long long)n);
    } else {
        findings_add(&d->survey.findings, NULL, TRAP_ROWS_AND_TOKENS, RULING_NOTED, "nothing",
                     n == rows ? "%lld rows a layer and %lld ids: the last target is not known"
                               : "%lld rows a layer and %lld ids: the last one is a target alone",
                     (long long)rows, (long long)n);
    }
    return 0;
}

int reading_survey(struct reading *d, const struct request *r, struct error *err)
{
    d->request = r;
    d->bytes = size_of(r);
    if (format_find(&d->format, r, err) != 0) {
        return -1;
    }
    if (r->ranks == RANKS_LAYERS && !d->format->takes_layers) {
        return error_set(err, STATUS_USAGE,
                         "--ranks layers is for megatron; of %s put all layers into one file",
                         d->format->name);
    }
    if (survey_init(&d->survey, r, err) != 0 || side_open(&d->side, r, err) != 0 ||
        read_files(d, NULL, err) != 0 || judge_ids(d, err) != 0) {
        return -1;
    }
    if (d->survey.n_decisions == 0 && d->survey.n_loads == 0) {
        return error_set(err, STATUS_INPUT, "'%s' holds no choice of experts", r->files[0]);
    }
    if (d->survey.n_with_ids > 0 && d->side.ids != NULL) {
        return error_set(err, STATUS_USAGE, "'%s' has token ids of its own; leave --tokens out", r->files[0]);
    }
    if (d->survey.n_tokens > 0 && side_check_places(&d->side, d->survey.n_tokens, err) != 0) {
        return -1;
    }
    d->survey.takes_layers = d->format->takes_layers;
    survey_judge(&d->survey, r);
    return 0;
}

int reading_keep(struct reading *d, struct keep *k, struct error *err)
{
    return read_files(d, k, err);
}

void reading_release(struct reading *d)
{
    side_close(&d->side);
    survey_release(&d->survey);
}
