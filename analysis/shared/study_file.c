/* Reading a study's file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/study.h"
#include "base/ini.h"
#include "base/options.h"
#include "base/text.h"

struct reading {
    struct study *study;
    bool quick;
    char *quick_runs; /* a list of configurations; NULL: all */
};

static int no_memory(struct error *err)
{
    return error_no_memory(err, "the study");
}

static int set_text(char **field, const char *value, struct error *err)
{
    free(*field);
    *field = strdup(value);
    return *field ? 0 : no_memory(err);
}

static int set_int(int64_t *field, const char *key, const char *value, int64_t least, struct error *err)
{
    char *end;

    errno = 0;
    *field = strtoll(value, &end, 10);
    if (errno || *value == '\0' || *end != '\0' || *field < least)
        return error_set(err, STATUS_USAGE, "%s is '%s'; it must be a whole number from %lld on", key, value,
                         (long long)least);
    return 0;
}

static int set_real(double *field, const char *key, const char *value, struct error *err)
{
    char *end;

    *field = strtod(value, &end);
    if (*value == '\0' || *end != '\0' || !(*field >= 0.0))
        return error_set(err, STATUS_USAGE, "%s is '%s'; it must be a number from 0 on", key, value);
    return 0;
}

static int set_bool(bool *field, const char *key, const char *value, struct error *err)
{
    *field = strcmp(value, "true") == 0;
    return *field || strcmp(value, "false") == 0
               ? 0
               : error_set(err, STATUS_USAGE, "%s is '%s'; it must be true or false", key, value);
}

/* A seed that counted twice would make intervals narrower than they are. */
static int check_seed(const struct study *s, struct error *err)
{
    int64_t seed = s->seeds[s->n_seeds];

    if (s->n_seeds >= STUDY_MOST_SEEDS)
        return error_set(err, STATUS_USAGE, "seeds are more than %d", STUDY_MOST_SEEDS);
    for (int i = 0; i < s->n_seeds; i++) {
        if (s->seeds[i] == seed)
            return error_set(err, STATUS_USAGE, "seeds has %lld twice", (long long)seed);
    }
    return 0;
}

static int set_seeds(struct study *s, const char *value, struct error *err)
{
    char *copy = strdup(value), *rest = copy, *item;
    int result = copy ? 0 : no_memory(err);

    s->n_seeds = 0;
    while (result == 0 && (item = strsep(&rest, ",")) != NULL) {
        int64_t *seeds = realloc(s->seeds, ((size_t)s->n_seeds + 1) * sizeof *seeds);
        if (!seeds) {
            result = no_memory(err);
            break;
        }
        s->seeds = seeds;
        if (set_int(&seeds[s->n_seeds], "seeds", item + strspn(item, " "), 0, err) || check_seed(s, err))
            result = -1;
        s->n_seeds++;
    }
    free(copy);
    return result;
}

/* The last word about a key holds. */
static int settings_set(struct study_settings *s, const char *key, const char *value, struct error *err)
{
    for (int i = 0; i < s->n; i++) {
        if (strcmp(s->items[i].key, key) == 0)
            return set_text(&s->items[i].value, value, err);
    }
    struct study_setting *grown = realloc(s->items, ((size_t)s->n + 1) * sizeof *grown);
    if (!grown)
        return no_memory(err);
    s->items = grown;
    grown[s->n] = (struct study_setting){strdup(key), strdup(value)};
    s->n++;
    return grown[s->n - 1].key && grown[s->n - 1].value ? 0 : no_memory(err);
}

static void settings_release(struct study_settings *s)
{
    for (int i = 0; i < s->n; i++) {
        free(s->items[i].key);
        free(s->items[i].value);
    }
    free(s->items);
}

/* Makes room for one more of an array and clears it; NULL without memory. */
static void *grow(void *array, int *n, size_t size)
{
    char *grown = realloc(array, ((size_t)*n + 1) * size);

    if (grown)
        memset(grown + (size_t)(*n)++ * size, 0, size);
    return grown;
}

/* ---- sections ---- */

static int study_entry(struct study *s, const char *key, const char *value, struct error *err)
{
    const struct {
        const char *key;
        char **field;
    } texts[] = {{"name", &s->name},           {"title", &s->title}, {"question", &s->question},
                 {"reference", &s->reference}, {"text", &s->text},   {"images", &s->images}};
    const char *const keys[] = {"name",
                                "title",
                                "question",
                                "reference",
                                "text",
                                "images",
                                "mixture",
                                "generated",
                                "vocabulary",
                                "seeds",
                                "margin",
                                "max_document_bytes",
                                "tokens_per_domain"};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(key, texts[i].key) == 0)
            return set_text(texts[i].field, value, err);
    }
    if (strcmp(key, "seeds") == 0)
        return set_seeds(s, value, err);
    if (strcmp(key, "mixture") == 0)
        return set_bool(&s->mixture, key, value, err);
    if (strcmp(key, "generated") == 0)
        return set_bool(&s->generated, key, value, err);
    if (strcmp(key, "margin") == 0)
        return set_real(&s->margin, key, value, err);
    if (strcmp(key, "vocabulary") == 0)
        return set_int(&s->vocabulary, key, value, 2, err);
    if (strcmp(key, "max_document_bytes") == 0)
        return set_int(&s->max_document_bytes, key, value, 0, err);
    if (strcmp(key, "tokens_per_domain") == 0)
        return set_int(&s->tokens_per_domain, key, value, 0, err);
    const char *near = nearest_name(key, keys, sizeof keys / sizeof *keys);
    return error_set(err, STATUS_USAGE, "unknown key '%s' in [study]%s%s%s", key,
                     near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int quick_entry(struct reading *r, const char *key, const char *value, struct error *err)
{
    if (!r->quick)
        return 0;
    if (strcmp(key, "seeds") == 0)
        return set_seeds(r->study, value, err);
    if (strcmp(key, "runs") == 0)
        return set_text(&r->quick_runs, value, err);
    return settings_set(&r->study->quick_settings, key, value, err);
}

static int ablations_entry(struct study *s, const char *key, const char *value, struct error *err)
{
    if (strcmp(key, "reference") == 0)
        return set_text(&s->ablation_reference, value, err);
    if (strchr(key, '.'))
        return settings_set(&s->ablation_settings, key, value, err);
    return error_set(
        err, STATUS_USAGE,
        "unknown key '%s' in [ablations]; reference, or a key of moescope train such as router.k", key);
}

static int set_part(bool *ablation, const char *value, struct error *err)
{
    *ablation = strcmp(value, "ablations") == 0;
    return *ablation || strcmp(value, "core") == 0
               ? 0
               : error_set(err, STATUS_USAGE, "part is '%s'; it must be core or ablations", value);
}

static int run_entry(struct study *s, const char *name, const char *key, const char *value, struct error *err)
{
    struct configuration *c = study_configuration(s, name);

    if (!c) {
        struct configuration *grown = grow(s->configurations, &s->n_configurations, sizeof *grown);
        if (!grown)
            return no_memory(err);
        s->configurations = grown;
        c = &grown[s->n_configurations - 1];
        if (set_text(&c->name, name, err) || set_text(&c->label, name, err))
            return -1;
    }
    if (strcmp(key, "label") == 0)
        return set_text(&c->label, value, err);
    if (strcmp(key, "paper") == 0)
        return set_text(&c->paper, value, err);
    if (strcmp(key, "part") != 0)
        return strchr(key, '.') ? settings_set(&c->settings, key, value, err)
                                : error_set(err, STATUS_USAGE,
                                            "unknown key '%s' in [run %s]; part, label, paper, or a key of "
                                            "moescope train such as router.k",
                                            key, name);
    return set_part(&c->ablation, value, err);
}

static int choice_entry(struct study *s, const char *name, const char *key, const char *value,
                        struct error *err)
{
    if (s->n_choices == 0 || strcmp(s->choices[s->n_choices - 1].name, name) != 0) {
        struct study_choice *grown = grow(s->choices, &s->n_choices, sizeof *grown);
        if (!grown)
            return no_memory(err);
        s->choices = grown;
        grown[s->n_choices - 1].share = 1.0;
        if (set_text(&grown[s->n_choices - 1].name, name, err) ||
            set_text(&grown[s->n_choices - 1].among, "*", err))
            return -1;
    }
    struct study_choice *c = &s->choices[s->n_choices - 1];
    if (strcmp(key, "among") == 0)
        return set_text(&c->among, value, err);
    if (strcmp(key, "share") == 0)
        return set_real(&c->share, key, value, err);
    if (strcmp(key, "part") == 0)
        return set_part(&c->ablation, value, err);
    return error_set(err, STATUS_USAGE, "unknown key '%s' in [choice %s]; among, share or part", key, name);
}

static int pair_entry(struct study *s, const char *key, const char *value, struct error *err)
{
    struct study_pair *grown = grow(s->pairs, &s->n_pairs, sizeof *grown);

    if (!grown)
        return no_memory(err);
    s->pairs = grown;
    return set_text(&grown[s->n_pairs - 1].left, key, err) ||
                   set_text(&grown[s->n_pairs - 1].right, value, err)
               ? -1
               : 0;
}

static int table_entry(struct study *s, const char *name, enum study_table_kind kind, const char *key,
                       const char *value, struct error *err)
{
    if (s->n_tables == 0 || strcmp(s->tables[s->n_tables - 1].name, name) != 0) {
        struct study_table *grown = grow(s->tables, &s->n_tables, sizeof *grown);
        if (!grown)
            return no_memory(err);
        s->tables = grown;
        grown[s->n_tables - 1].kind = kind;
        if (set_text(&grown[s->n_tables - 1].name, name, err))
            return -1;
    }
    struct study_table *t = &s->tables[s->n_tables - 1];
    if (t->kind != kind)
        return error_set(err, STATUS_USAGE, "two tables of different kinds are named '%s'", name);
    if (kind == TABLE_QUERY && strcmp(key, "query") == 0)
        return set_text(&t->query, value, err);
    if (strcmp(key, "title") == 0)
        return set_text(&t->title, value, err);
    return settings_set(&t->parameters, key, value, err);
}

static int buckets_entry(struct study *s, const char *name, const char *key, const char *value,
                         struct error *err)
{
    if (strcmp(key, "title") != 0 && strcmp(key, "of") != 0 && strcmp(key, "key") != 0 &&
        strcmp(key, "value") != 0)
        return error_set(err, STATUS_USAGE, "unknown key '%s' in [buckets %s]; title, of, key or value", key,
                         name);
    if (strcmp(key, "of") == 0 && strcmp(value, "input") != 0 && strcmp(value, "target") != 0)
        return error_set(err, STATUS_USAGE, "of is '%s'; it must be input or target", value);
    return table_entry(s, name, TABLE_BUCKETS, key, value, err);
}

static int metrics_entry(struct study *s, const char *name, const char *key, const char *value,
                         struct error *err)
{
    double margin;

    if (strcmp(key, "better") == 0 && strcmp(value, "higher") != 0 && strcmp(value, "lower") != 0)
        return error_set(err, STATUS_USAGE, "better is '%s'; it must be higher or lower", value);
    if (strcmp(key, "margin") == 0 && set_real(&margin, key, value, err))
        return -1;
    if (strcmp(key, "title") != 0 && strcmp(key, "of") != 0 && strcmp(key, "split") != 0 &&
        strcmp(key, "better") != 0 && strcmp(key, "margin") != 0)
        return error_set(err, STATUS_USAGE,
                         "unknown key '%s' in [metrics %s]; title, of, split, better or margin", key, name);
    return table_entry(s, name, TABLE_METRICS, key, value, err);
}

static int figure_entry(struct study *s, const char *name, const char *key, const char *value,
                        struct error *err)
{
    if (s->n_figures == 0 || strcmp(s->figures[s->n_figures - 1].name, name) != 0) {
        struct study_figure *grown = grow(s->figures, &s->n_figures, sizeof *grown);
        if (!grown)
            return no_memory(err);
        s->figures = grown;
        if (set_text(&grown[s->n_figures - 1].name, name, err) ||
            set_text(&grown[s->n_figures - 1].group, "configuration", err) ||
            set_text(&grown[s->n_figures - 1].script, "study-lines", err))
            return -1;
    }
    struct study_figure *f = &s->figures[s->n_figures - 1];
    const struct {
        const char *key;
        char **field;
    } texts[] = {{"table", &f->table}, {"script", &f->script},  {"title", &f->title}, {"x", &f->x},
                 {"y", &f->y},         {"low", &f->low},        {"high", &f->high},   {"group", &f->group},
                 {"unit", &f->unit},   {"x_label", &f->x_label}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(key, texts[i].key) == 0)
            return set_text(texts[i].field, value, err);
    }
    if (strcmp(key, "log") == 0)
        return set_bool(&f->log, key, value, err);
    if (strcmp(key, "zero") != 0)
        return error_set(
            err, STATUS_USAGE,
            "unknown key '%s' in [figure %s]; table, script, title, x, y, low, high, group, x_label, "
            "unit, zero or log",
            key, name);
    return set_bool(&f->zero, key, value, err);
}

/* "run top2" is of kind "run", named "top2". */
static const char *section_name(const char *section, const char *kind)
{
    size_t n = strlen(kind);

    return strncmp(section, kind, n) == 0 && section[n] == ' ' && section[n + 1] ? section + n + 1 : NULL;
}

static int on_entry(void *context, const char *section, const char *key, const char *value, struct error *err)
{
    struct reading *r = context;
    struct study *s = r->study;
    const char *name;

    if (strcmp(section, "study") == 0)
        return study_entry(s, key, value, err);
    if (strcmp(section, "settings") == 0)
        return settings_set(&s->settings, key, value, err);
    if (strcmp(section, "ablations") == 0)
        return ablations_entry(s, key, value, err);
    if (strcmp(section, "quick") == 0)
        return quick_entry(r, key, value, err);
    if (strcmp(section, "paper") == 0)
        return settings_set(&s->paper, key, value, err);
    if (strcmp(section, "pairs") == 0)
        return pair_entry(s, key, value, err);
    if ((name = section_name(section, "run")) != NULL)
        return run_entry(s, name, key, value, err);
    if ((name = section_name(section, "choice")) != NULL)
        return choice_entry(s, name, key, value, err);
    if ((name = section_name(section, "table")) != NULL)
        return table_entry(s, name, TABLE_QUERY, key, value, err);
    if ((name = section_name(section, "buckets")) != NULL)
        return buckets_entry(s, name, key, value, err);
    if ((name = section_name(section, "metrics")) != NULL)
        return metrics_entry(s, name, key, value, err);
    if ((name = section_name(section, "figure")) != NULL)
        return figure_entry(s, name, key, value, err);
    return error_set(err, STATUS_USAGE,
                     "unknown section [%s]; there are [study], [settings], [ablations], [quick], [run NAME], "
                     "[choice NAME], "
                     "[pairs], [table NAME], [buckets NAME], [metrics NAME], [figure NAME] and [paper]",
                     section);
}

/* ---- the whole ---- */

static void configuration_release(struct configuration *c)
{
    free(c->name);
    free(c->label);
    free(c->paper);
    settings_release(&c->settings);
}

static bool listed(const char *list, const char *name)
{
    size_t n = strlen(name);

    for (const char *at = strstr(list, name); at; at = strstr(at + 1, name)) {
        bool begins = at == list || at[-1] == ',' || at[-1] == ' ';
        if (begins && (at[n] == '\0' || at[n] == ',' || at[n] == ' '))
            return true;
    }
    return false;
}

/* A quick study has fewer configurations. */
static void keep_listed(struct study *s, const char *list)
{
    int kept = 0;

    for (int i = 0; i < s->n_configurations; i++) {
        if (listed(list, s->configurations[i].name))
            s->configurations[kept++] = s->configurations[i];
        else
            configuration_release(&s->configurations[i]);
    }
    s->n_configurations = kept;
}

static int unknown_configuration(const struct study *s, const char *where, const char *name,
                                 struct error *err)
{
    return error_set(err, STATUS_USAGE, "'%s': %s names '%s', but there is no [run %s]", s->path, where, name,
                     name);
}

/* What a configuration stands on must be there, and be trained before it. */
static int check_runs(const struct study *s, const struct configuration *c, struct error *err)
{
    for (int i = 0; i < c->settings.n; i++) {
        const char *name = study_setting_run(c->settings.items[i].value);
        const struct configuration *other = name ? study_configuration(s, name) : NULL;
        if (name && !other)
            return unknown_configuration(s, c->settings.items[i].key, name, err);
        if (other >= c)
            return error_set(err, STATUS_USAGE,
                             "'%s': [run %s] stands on [run %s], which must come before it", s->path, c->name,
                             name);
    }
    return 0;
}

static int check(const struct study *s, bool quick, struct error *err)
{
    if (!s->name || !s->reference || s->n_configurations == 0 || s->n_seeds == 0)
        return error_set(err, STATUS_USAGE,
                         "'%s': a study needs name, reference and seeds in [study], and a [run NAME]",
                         s->path);
    if ((s->text != NULL) + (s->images != NULL) + s->mixture + s->generated > 1)
        return error_set(err, STATUS_USAGE, "'%s': a study has one of text, images, mixture and generated",
                         s->path);
    if (!study_configuration(s, s->reference))
        return unknown_configuration(s, "reference", s->reference, err);
    if (s->ablation_reference && !quick && !study_configuration(s, s->ablation_reference))
        return unknown_configuration(s, "[ablations]", s->ablation_reference, err);
    for (int i = 0; i < s->n_pairs && !quick; i++) {
        if (!study_configuration(s, s->pairs[i].left))
            return unknown_configuration(s, "[pairs]", s->pairs[i].left, err);
        if (!study_configuration(s, s->pairs[i].right))
            return unknown_configuration(s, "[pairs]", s->pairs[i].right, err);
    }
    for (int i = 0; i < s->n_configurations && !quick; i++) {
        if (check_runs(s, &s->configurations[i], err))
            return -1;
    }
    for (int i = 0; i < s->n_tables; i++) {
        if (s->tables[i].kind == TABLE_QUERY && !s->tables[i].query)
            return error_set(err, STATUS_USAGE, "'%s': [table %s] needs query", s->path, s->tables[i].name);
    }
    for (int i = 0; i < s->n_figures; i++) {
        const struct study_figure *f = &s->figures[i];
        if (!f->table || !f->x || !f->y)
            return error_set(err, STATUS_USAGE, "'%s': [figure %s] needs table, x and y", s->path, f->name);
    }
    return 0;
}

int study_read(struct study *s, const char *path, bool quick, struct error *err)
{
    struct reading r = {.study = s, .quick = quick};
    char *slash;
    int result;

    *s = (struct study){.margin = 0.01, .vocabulary = 4096, .max_document_bytes = 8192};
    s->path = strdup(path);
    s->folder = strdup(strchr(path, '/') ? path : ".");
    if (!s->path || !s->folder) {
        study_release(s);
        return no_memory(err);
    }
    slash = strrchr(s->folder, '/');
    if (slash)
        *slash = '\0';
    result = ini_read(path, on_entry, &r, err);
    if (result == 0 && r.quick_runs)
        keep_listed(s, r.quick_runs);
    if (result == 0)
        result = check(s, quick, err);
    free(r.quick_runs);
    if (result)
        study_release(s);
    return result;
}

static void figure_release(struct study_figure *f)
{
    char *const texts[] = {f->name, f->table, f->script, f->title, f->x,      f->y,
                           f->low,  f->high,  f->group,  f->unit,  f->x_label};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
}

void study_release(struct study *s)
{
    for (int i = 0; i < s->n_configurations; i++)
        configuration_release(&s->configurations[i]);
    for (int i = 0; i < s->n_choices; i++) {
        free(s->choices[i].name);
        free(s->choices[i].among);
    }
    for (int i = 0; i < s->n_pairs; i++) {
        free(s->pairs[i].left);
        free(s->pairs[i].right);
    }
    for (int i = 0; i < s->n_tables; i++) {
        free(s->tables[i].name);
        free(s->tables[i].query);
        free(s->tables[i].title);
        settings_release(&s->tables[i].parameters);
    }
    for (int i = 0; i < s->n_figures; i++)
        figure_release(&s->figures[i]);
    settings_release(&s->settings);
    settings_release(&s->ablation_settings);
    settings_release(&s->quick_settings);
    settings_release(&s->paper);
    free(s->configurations);
    free(s->choices);
    free(s->pairs);
    free(s->tables);
    free(s->figures);
    free(s->seeds);
    free(s->path);
    free(s->folder);
    free(s->name);
    free(s->title);
    free(s->question);
    free(s->reference);
    free(s->ablation_reference);
    free(s->text);
    free(s->images);
    *s = (struct study){0};
}

struct configuration *study_configuration(const struct study *s, const char *name)
{
    for (int i = 0; i < s->n_configurations; i++) {
        if (strcmp(s->configurations[i].name, name) == 0)
            return &s->configurations[i];
    }
    return NULL;
}

int study_reference(const struct study *s, bool ablation)
{
    const struct configuration *own =
        ablation && s->ablation_reference ? study_configuration(s, s->ablation_reference) : NULL;

    return (int)((own ? own : study_configuration(s, s->reference)) - s->configurations);
}

int study_settings_of(const struct study *s, const struct configuration *c,
                      const struct study_settings *places[STUDY_MOST_PLACES])
{
    int n = 0;

    places[n++] = &s->settings;
    if (c->ablation)
        places[n++] = &s->ablation_settings;
    places[n++] = &c->settings;
    places[n++] = &s->quick_settings;
    return n;
}

const char *study_setting_run(const char *value)
{
    return strncmp(value, "run:", 4) == 0 ? value + 4 : NULL;
}

const char *study_setting(const struct study *s, const struct configuration *c, const char *key)
{
    const struct study_settings *places[STUDY_MOST_PLACES];

    for (int p = study_settings_of(s, c, places) - 1; p >= 0; p--) {
        for (int i = 0; i < places[p]->n; i++) {
            if (strcmp(places[p]->items[i].key, key) == 0)
                return places[p]->items[i].value;
        }
    }
    return NULL;
}
