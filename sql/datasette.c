/* A logbook's canned queries and relations, as Datasette's metadata. */
#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "sql/export.h"

static bool begins(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

/* ---- the comment at the head of a file ---- */

/* The first line of it, or those behind, as one line; the SQL follows it. */
static const char *add_comment(struct text *t, const char *sql, bool first)
{
    struct text line;
    text_init(&line);
    for (int i = 0; begins(sql, "--"); i++) {
        size_t n = strcspn(sql, "\n");
        if ((i == 0) == first && !begins(sql, "--     ")) {
            size_t skipped = n > 2 ? 3 : n;
            text_add(&line, line.length > 0 ? " " : "");
            text_add_bytes(&line, sql + skipped, n - skipped);
        }
        sql += n + (sql[n] == '\n');
    }
    text_add_json(t, line.failed || line.data == NULL ? "" : line.data);
    t->failed = t->failed || line.failed;
    text_release(&line);
    return sql;
}

/* ---- parameters ---- */

static size_t name_length(const char *s)
{
    size_t n = 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '_') {
        n++;
    }
    return n;
}

/* Datasette binds every parameter as text, also one that is left empty. */
static void add_parameter(struct text *t, const char *name, size_t n)
{
    int length = (int)n;
    text_printf(t, "CASE WHEN :%.*s = '' THEN NULL WHEN :%.*s GLOB '*[^0-9]*' THEN :%.*s ELSE :%.*s + 0 END",
                length, name, length, name, length, name, length, name);
}

static void add_sql(struct text *t, const char *sql)
{
    struct text typed;
    bool quoted = false;
    text_init(&typed);
    for (const char *s = sql; *s != '\0';) {
        size_t n = *s == ':' && !quoted ? name_length(s + 1) : 0;
        if (n > 0) {
            add_parameter(&typed, s + 1, n);
        } else {
            text_add_bytes(&typed, s, 1);
        }
        quoted = *s == '\'' ? !quoted : quoted;
        s += n + 1;
    }
    text_add_json(t, typed.failed || typed.data == NULL ? "" : typed.data);
    t->failed = t->failed || typed.failed;
    text_release(&typed);
}

/* ---- the whole ---- */

static void add_queries(struct text *t)
{
    static const char folder[] = "queries/";
    const char *name, *separator = "";
    for (int i = 0; (name = sql_name(folder, i)) != NULL; i++) {
        const char *sql = sql_text(name);
        if (begins(name, "queries/study_")) { /* answered by `moescope study`, for runs that its file names */
            continue;
        }
        text_printf(t, "%s\n        ", separator);
        text_add_json(t, name + strlen(folder));
        text_add(t, ": {\"title\": ");
        add_comment(t, sql, true);
        text_add(t, ", \"description\": ");
        sql = add_comment(t, sql, false);
        text_add(t, ",\n          \"sql\": ");
        add_sql(t, sql);
        text_add(t, "}");
        separator = ",";
    }
}

static void add_relations(struct text *t)
{
    static const char folder[] = "views/";
    static const char *const hidden[] = {"_byte", "_integer"};
    const char *name, *separator = "";
    for (int i = 0; (name = sql_name(folder, i)) != NULL; i++) {
        text_printf(t, "%s\n        ", separator);
        text_add_json(t, name + strlen(folder));
        text_add(t, ": {\"description\": ");
        add_comment(t, sql_text(name), true);
        text_add(t, "}");
        separator = ",";
    }
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++) {
        text_printf(t, ",\n        \"%s\": {\"hidden\": true}", hidden[i]);
    }
}

/* The name under which Datasette serves the file: its own without the ending. */
static void add_database(struct text *t, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path,
               *dot = strrchr(name, '.');
    struct text stem;
    text_init(&stem);
    text_add_bytes(&stem, name, dot != NULL && dot > name ? (size_t)(dot - name) : strlen(name));
    text_add_json(t, stem.failed ? "" : stem.data);
    t->failed = t->failed || stem.failed;
    text_release(&stem);
}

int datasette_write(FILE *out, const char *path, struct error *err)
{
    struct text t;
    text_init(&t);
    text_add(&t, "{\n  \"databases\": {\n    ");
    add_database(&t, path);
    text_add(&t, ": {\n      \"source\": \"moescope\",\n      \"queries\": {");
    add_queries(&t);
    text_add(&t, "\n      },\n      \"tables\": {");
    add_relations(&t);
    text_add(&t, "\n      }\n    }\n  }\n}\n");
    int result = t.failed ? error_no_memory(err, "metadata") : 0;
    if (result == 0) {
        fwrite(t.data, 1, t.length, out);
    }
    text_release(&t);
    return result;
}
