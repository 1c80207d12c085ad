#include "import/shared/columns.h"

#include <stdio.h>
#include <string.h>

#include "base/options.h"

static const char *const words[N_COLUMNS] = {"step",  "layer", "token",    "slot",   "expert", "gate",
                                             "count", "id",    "document", "domain", "phase"};

/* Of BigMoeOnEdge, SGLang, moe-trace, lattice and people's own tables. */
static const struct {
    const char *name;
    enum column column;
} usual[] = {{"step", COLUMN_STEP},         {"iter", COLUMN_STEP},         {"layer", COLUMN_LAYER},
             {"layer_id", COLUMN_LAYER},    {"layer_idx", COLUMN_LAYER},   {"token", COLUMN_TOKEN},
             {"token_idx", COLUMN_TOKEN},   {"position", COLUMN_TOKEN},    {"slot", COLUMN_SLOT},
             {"rank", COLUMN_SLOT},         {"expert", COLUMN_EXPERT},     {"experts", COLUMN_EXPERT},
             {"expert_id", COLUMN_EXPERT},  {"expert_ids", COLUMN_EXPERT}, {"selected_ids", COLUMN_EXPERT},
             {"topk_ids", COLUMN_EXPERT},   {"gate", COLUMN_GATE},         {"gates", COLUMN_GATE},
             {"weight", COLUMN_GATE},       {"weights", COLUMN_GATE},      {"gate_weights", COLUMN_GATE},
             {"topk_weights", COLUMN_GATE}, {"count", COLUMN_COUNT},       {"token_id", COLUMN_ID},
             {"document", COLUMN_DOCUMENT}, {"domain", COLUMN_DOMAIN}};

const char *column_word(enum column column)
{
    return words[column];
}

static int parse_pair(struct columns *c, const char *pair, size_t n, struct error *err)
{
    const char *equals = memchr(pair, '=', n);
    char word[64];
    size_t length = equals != NULL ? (size_t)(equals - pair) : n;
    snprintf(word, sizeof word, "%.*s", (int)(length < 63 ? length : 63), pair);
    for (int i = 0; i < N_COLUMNS; i++) {
        if (strcmp(words[i], word) == 0 && equals != NULL && n - length > 1) {
            size_t rest = n - length - 1;
            snprintf(c->names[i], sizeof c->names[i], "%.*s", (int)(rest < 63 ? rest : 63), equals + 1);
            return 0;
        }
    }
    const char *near = nearest_name(word, words, N_COLUMNS);
    return error_set(err, STATUS_USAGE, "--columns '%.*s' is not COLUMN=NAME%s%s%s", (int)(n < 80 ? n : 80),
                     pair, near != NULL ? "; COLUMN may be '" : "", near != NULL ? near : "",
                     near != NULL ? "'" : "");
}

int columns_parse(struct columns *c, const char *map, struct error *err)
{
    *c = (struct columns){.names = {""}};
    while (map != NULL && *map != '\0') {
        size_t n = strcspn(map, ",");
        if (parse_pair(c, map, n, err) != 0) {
            return -1;
        }
        map += n + (map[n] == ',');
    }
    return 0;
}

/* A name that --columns gives to one column is no other's. */
int columns_find(const struct columns *c, const char *name)
{
    for (int i = 0; i < N_COLUMNS; i++) {
        if (c->names[i][0] != '\0' && strcmp(c->names[i], name) == 0) {
            return i;
        }
    }
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        if (strcmp(usual[i].name, name) == 0 && c->names[usual[i].column][0] == '\0') {
            return (int)usual[i].column;
        }
    }
    return -1;
}
