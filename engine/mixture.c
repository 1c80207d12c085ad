#include "engine/mixture.h"

#include <stdlib.h>

const char *const source_kind_names[N_SOURCE_KINDS] = {"image", "text", "series", "table"};

void mixture_release(struct mixture *m)
{
    for (int s = 0; s < m->n; s++) {
        idx_release(&m->sources[s].inputs);
        free(m->sources[s].label);
        free(m->sources[s].target);
    }
    free(m->text);
    *m = (struct mixture){0};
}

int mixture_source_of(const struct mixture *m, int document)
{
    int s = m->n - 1;

    while (s > 0 && document < m->sources[s].first_document)
        s--;
    return s;
}

void mixture_fill(const struct mixture_source *s, int sample, float *x)
{
    size_t first = (size_t)sample * s->size;

    for (size_t i = 0; i < s->size; i++)
        x[i] = s->inputs.reals ? s->inputs.reals[first + i]
               : s->kind == SOURCE_IMAGE
                   ? ((float)s->inputs.bytes[first + i] - s->scale.mean) / s->scale.deviation
                   : (float)s->inputs.bytes[first + i];
}
