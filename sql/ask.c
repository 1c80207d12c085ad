#include "sql/ask.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* ---- queries by name ---- */

/* The first line of a file is a comment: the question that it answers. Caller frees. */
static char *question_of(const char *sql)
{
    const char *end = strchr(sql, '\n');
    while (*sql == '-' || *sql == ' ') {
        sql++;
    }
    return end != NULL && end > sql ? strndup(sql, (size_t)(end - sql)) : strdup("");
}

int ask_list(const char *folder, const char *name_column, const char *line_column, FILE *out,
             enum table_format format, struct error *err)
{
    const char *const columns[] = {name_column, line_column};
    struct table *t = table_open(out, format, NULL, columns, 2);
    const char *name;
    if (t == NULL) {
        return error_no_memory(err, "a table");
    }
    for (int i = 0; (name = sql_name(folder, i)) != NULL; i++) {
        char *question = question_of(sql_text(name));
        table_text(t, name + strlen(folder));
        table_text(t, question);
        free(question);
    }
    return table_close(t, err);
}

bool ask_is_word(const char *s)
{
    for (; *s != '\0'; s++) {
        if (!isalnum((unsigned char)*s) && *s != '_' && *s != '-') {
            return false;
        }
    }
    return true;
}

int ask_open(struct query **q, struct logbook *lb, const char *text, struct error *err)
{
    struct text name;
    int result;
    if (!ask_is_word(text)) {
        return query_open_text(q, lb, text, err);
    }
    text_init(&name);
    text_printf(&name, "queries/%s", text);
    if (name.failed) {
        result = error_no_memory(err, "a query's name");
    } else if (sql_text(name.data) == NULL) {
        result =
            error_set(err, STATUS_USAGE, "no query is named '%s'; `moescope sql --list` names them", text);
    } else {
        result = query_open(q, lb, name.data, err);
    }
    text_release(&name);
    return result;
}

/* ---- parameters ---- */

static void bind_value(struct query *q, const char *parameter, const char *value)
{
    char *end;
    errno = 0;
    long long whole = strtoll(value, &end, 10);
    if (*value != '\0' && *end == '\0' && errno == 0) {
        query_bind_int(q, parameter, whole);
        return;
    }
    double real = strtod(value, &end);
    if (*value != '\0' && *end == '\0') {
        query_bind_real(q, parameter, real);
    } else {
        query_bind_text(q, parameter, value);
    }
}

static int unknown_parameter(struct query *q, const char *parameter, struct error *err)
{
    struct text known;
    const char *name;

    text_init(&known);
    for (int i = 0; (name = query_parameter(q, i)) != NULL; i++)
        text_printf(&known, "%s%s", i ? ", " : "; it has ", name + 1);
    error_set(err, STATUS_USAGE, "the query has no parameter '%s'%s", parameter + 1,
              known.length ? known.data : "");
    text_release(&known);
    return -1;
}

static bool has_parameter(struct query *q, const char *parameter)
{
    const char *name;

    for (int i = 0; (name = query_parameter(q, i)) != NULL; i++)
        if (strcmp(name, parameter) == 0)
            return true;
    return false;
}

int ask_bind(struct query *q, const char *assignment, struct error *err)
{
    const char *equals = strchr(assignment, '=');
    struct text parameter;
    if (equals == NULL || equals == assignment) {
        return error_set(err, STATUS_USAGE, "--param '%s' is not NAME=VALUE", assignment);
    }
    text_init(&parameter);
    text_add(&parameter, *assignment == ':' ? "" : ":");
    text_add_bytes(&parameter, assignment, (size_t)(equals - assignment));
    if (parameter.failed) {
        text_release(&parameter);
        return error_no_memory(err, "a parameter");
    }
    int result = has_parameter(q, parameter.data) ? 0 : unknown_parameter(q, parameter.data, err);
    if (result == 0)
        bind_value(q, parameter.data, equals + 1);
    text_release(&parameter);
    return result;
}
