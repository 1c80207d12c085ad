#include "analysis/shared/selection.h"

#include <stdlib.h>
#include <string.h>

int selection_check(const struct string_list *where, struct error *err)
{
    for (int i = 0; i < where->n; i++) {
        const char *equals = strchr(where->items[i], '=');
        if (!equals || equals == where->items[i])
            return error_set(err, STATUS_USAGE, "--where-label takes KEY=VALUE (language=en), not '%s'",
                             where->items[i]);
    }
    return 0;
}

static size_t key_length(const char *condition)
{
    return (size_t)(strchr(condition, '=') - condition);
}

static bool same_key(const char *condition, const char *other)
{
    size_t n = key_length(condition);
    return n == key_length(other) && strncmp(condition, other, n) == 0;
}

/* Whether the document has that very label. */
static bool meets(const struct documents *d, int document, const char *condition)
{
    size_t n = key_length(condition);
    for (int i = 0; i < d->n_labels; i++) {
        const struct labels_of *l = &d->labels[i];
        if (strlen(l->key) == n && strncmp(l->key, condition, n) == 0)
            return l->value[document] >= 0 && strcmp(l->values[l->value[document]], condition + n + 1) == 0;
    }
    return false;
}

static bool is_wanted(const struct documents *d, int document, const struct string_list *where)
{
    bool wanted = true;
    for (int i = 0; i < where->n && wanted; i++) {
        wanted = false;
        for (int j = 0; j < where->n && !wanted; j++)
            wanted = same_key(where->items[i], where->items[j]) && meets(d, document, where->items[j]);
    }
    return wanted;
}

static int check_met(const struct documents *d, const struct string_list *where, const char *run,
                     struct error *err)
{
    for (int i = 0; i < where->n; i++) {
        int n = 0;
        for (int document = 0; document < d->n_documents; document++)
            n += meets(d, document, where->items[i]);
        if (n == 0)
            return error_set(err, STATUS_INPUT, "no document of the probe of run '%s' has the label %s", run,
                             where->items[i]);
    }
    return 0;
}

/* Drops the values without documents and numbers the others anew. place: (n_values) scratch. */
static void close_ranks(struct labels_of *l, int n_documents, int *place)
{
    int n = 0;
    for (int v = 0; v < l->n_values; v++)
        place[v] = -1;
    for (int d = 0; d < n_documents; d++)
        if (l->value[d] >= 0)
            place[l->value[d]] = 0;
    for (int v = 0; v < l->n_values; v++) {
        if (place[v] < 0) {
            free(l->values[v]);
            continue;
        }
        l->values[n] = l->values[v];
        place[v] = n++;
    }
    for (int d = 0; d < n_documents; d++)
        l->value[d] = l->value[d] >= 0 ? place[l->value[d]] : -1;
    l->n_values = n;
}

static int close_all_ranks(struct documents *d, struct error *err)
{
    for (int i = 0; i < d->n_labels; i++) {
        int *place = malloc(((size_t)d->labels[i].n_values + 1) * sizeof *place);
        if (!place)
            return error_no_memory(err, "the documents' labels");
        close_ranks(&d->labels[i], d->n_documents, place);
        free(place);
    }
    return 0;
}

int selection_keep(struct documents *d, const struct string_list *where, const char *run, struct error *err)
{
    int n = 0;
    if (check_met(d, where, run, err) != 0)
        return -1;
    bool *wanted = malloc(((size_t)d->n_documents + 1) * sizeof *wanted);
    if (!wanted)
        return error_no_memory(err, "the documents");
    for (int document = 0; document < d->n_documents; document++)
        wanted[document] = is_wanted(d, document, where);
    for (int document = 0; document < d->n_documents; document++) {
        if (!wanted[document])
            continue;
        d->ids[n] = d->ids[document];
        for (int i = 0; i < d->n_labels; i++)
            d->labels[i].value[n] = d->labels[i].value[document];
        n++;
    }
    free(wanted);
    d->n_documents = n;
    if (n == 0)
        return error_set(err, STATUS_INPUT,
                         "no document of the probe of run '%s' has all the labels that are asked for", run);
    return close_all_ranks(d, err);
}
