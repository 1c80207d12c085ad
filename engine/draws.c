#include "engine/draws.h"

#include <string.h>

/* ---- which sources ---- */

int draws_select(struct draws *d, const struct config *config, const struct corpus *corpus, struct error *err)
{
    const char *list = config_text(config, "mixed.sources");

    *d = (struct draws){.n_sources = corpus->mixture.n};
    bool all = strcmp(list, "all") == 0;
    for (int s = 0; s < d->n_sources; s++)
        d->used[s] = all;
    for (const char *name = list; !all && name; name = strchr(name, ',') ? strchr(name, ',') + 1 : NULL) {
        size_t n = strcspn(name, ",");
        int s = 0;
        while (s < d->n_sources &&
               (strlen(corpus->domains[s]) != n || strncmp(corpus->domains[s], name, n) != 0))
            s++;
        if (s == d->n_sources)
            return error_set(err, STATUS_USAGE, "mixed.sources names '%.*s', but '%s' has no such source",
                             (int)n, name, corpus->name);
        d->used[s] = true;
    }
    return 0;
}

void draws_filter(const struct draws *d, const struct corpus *corpus, struct samples *s)
{
    int n = 0;

    s->n_tokens = 0;
    for (int i = 0; i < s->n; i++) {
        if (!d->used[mixture_source_of(&corpus->mixture, s->items[i].document)])
            continue;
        s->items[n++] = s->items[i];
        s->n_tokens += s->items[i].n_tokens;
    }
    s->n = n;
}

/* ---- shares ---- */

static void find_ranges(struct draws *d, const struct corpus *corpus)
{
    for (int i = 0; i < d->samples->n; i++) {
        int s = mixture_source_of(&corpus->mixture, d->samples->items[i].document);
        if (d->last[s] == 0)
            d->first[s] = i;
        d->last[s] = i + 1;
    }
}

/* Shares of the sources in use, made to add up to 1. */
static int set_shares(struct draws *d, const struct config *config, struct error *err)
{
    double plain = 0.0, drifted = 0.0;

    for (int s = 0; s < d->n_sources; s++) {
        d->share[s] = d->used[s] && d->last[s] > 0;
        d->drifted[s] = d->drift == DRIFT_MIX ? d->share[s] * (double)config_int_at(config, "drift.shares", s)
                                              : d->share[s];
        plain += d->share[s];
        drifted += d->drifted[s];
    }
    if (plain <= 0.0 || drifted <= 0.0)
        return error_set(err, STATUS_USAGE, "drift.shares is %s: no source is left to draw from",
                         config_text(config, "drift.shares"));
    for (int s = 0; s < d->n_sources; s++) {
        d->share[s] /= plain;
        d->drifted[s] /= drifted;
    }
    return 0;
}

int draws_init(struct draws *d, const struct config *config, const struct corpus *corpus,
               const struct samples *samples, struct error *err)
{
    d->drift = (enum drift)config_choice(config, "drift.kind");
    d->at = config_int(config, "drift.at");
    d->noise = (float)config_real(config, "drift.noise");
    d->samples = samples;
    find_ranges(d, corpus);
    return set_shares(d, config, err);
}

/* ---- drawing ---- */

bool draws_drifted(const struct draws *d, int64_t step)
{
    return d->drift != DRIFT_NONE && step >= d->at;
}

static int draw_source(const struct draws *d, const double *share, struct random *r)
{
    double x = random_uniform(r);
    int last = 0;

    for (int s = 0; s < d->n_sources; s++) {
        if (share[s] <= 0.0)
            continue;
        last = s;
        if ((x -= share[s]) < 0.0)
            break;
    }
    return last;
}

void draws_fill(const struct draws *d, struct mixed *m, bool drifted, struct random *r)
{
    mixed_clear(m);
    for (int b = 0; b < m->max_samples; b++) {
        int s = draw_source(d, drifted ? d->drifted : d->share, r), n = d->last[s] - d->first[s];
        mixed_add(m, &d->samples->items[d->first[s] + (int)random_below(r, (uint64_t)n)]);
    }
    m->noise = drifted && d->drift == DRIFT_NOISE ? d->noise : 0.0F;
    m->random = r;
}
