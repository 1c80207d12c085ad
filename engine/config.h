/* A run's configuration: every key in one table with its default and what it means. The same table reads the
 * INI file and --set, writes the logbook's run_config, and is docs/config.md. Values are kept as they will be
 * stored, so that a run's config in the logbook is exactly what it ran with. */
#ifndef ENGINE_CONFIG_H
#define ENGINE_CONFIG_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/model.h"

enum { CONFIG_VALUE = 256 };

struct config {
    char (*values)[CONFIG_VALUE]; /* one a key, in the table's order */
    bool *given;                  /* assigned, not left at its default */
};

enum config_kind { CONFIG_INT, CONFIG_REAL, CONFIG_BOOL, CONFIG_CHOICE, CONFIG_TEXT, CONFIG_INT_LIST };
struct config_key {
    const char *name; /* section.key */
    enum config_kind kind;
    const char *initial;
    double low, high;           /* of numbers */
    const char *const *choices; /* of CONFIG_CHOICE, ended by NULL */
    const char *help;
};
extern const struct config_key config_keys[];
extern const int config_n_keys;

int config_init(struct config *c, struct error *err); /* the defaults */
void config_release(struct config *c);
/* Unknown keys and bad values are STATUS_USAGE, naming the file and line (or --set) and the nearest key. */
int config_read(struct config *c, const char *path, struct error *err);
int config_set(struct config *c, const char *assignment /* section.key=value */, struct error *err);
/* n of them in order, or fewer where one is NULL. */
int config_set_all(struct config *c, const char *const *assignments, int n, struct error *err);
int config_assign(struct config *c, const char *key, const char *value, struct error *err);

/* The index of a key in the table, or -1. */
int config_find(const char *key);
/* Makes *c the configuration `earlier` that a run began with, for going on with it. A key given in *c must
 * have the same value there (numbers as numbers), or it is STATUS_USAGE; but for where things are and how
 * fast they go: data.corpus and train.threads, which *c may set anew. */
int config_adopt(struct config *c, const struct config *earlier, struct error *err);

/* Gives keys that were left at a default which depends on the router their values, once all are read; refuses
 * losses that the router has no use for. */
int config_settle(struct config *c, struct error *err);

/* Unknown keys are programming errors (assert). */
int64_t config_int(const struct config *c, const char *key);
double config_real(const struct config *c, const char *key);
bool config_bool(const struct config *c, const char *key);
const char *config_text(const struct config *c, const char *key);
int config_choice(const struct config *c, const char *key); /* which of its choices, from 0 */
int config_count(const struct config *c, const char *key);  /* elements of a comma-separated list */
/* Element i of a comma-separated list; the last one serves for all that follow. */
int64_t config_int_at(const struct config *c, const char *key, int i);

/* A value as JSON: 3, 0.5, true, "topk", [3,2,2]. */
void config_json(const struct config *c, int key, struct text *out);

/* How block l routes. */
struct router_config config_routing(const struct config *c, int l);
struct loss_weights config_loss_weights(const struct config *c);

/* The model that the configuration describes, for a vocabulary. Checked. */
int config_model(const struct config *c, int vocabulary, struct model_config *m, struct error *err);

#endif
