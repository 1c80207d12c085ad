#include "base/ini.h"

#include <ini.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

struct reading {
    ini_entry *entry;
    void *context;
    const char *rest; /* of the file */
    int line;         /* the last one handed out */
    bool failed;      /* at that line */
    struct error *err;
};

/* inih's reader. Indented lines would continue the value before them; here they are keys like others. */
static char *next_line(char *line, int size, void *stream)
{
    struct reading *r = stream;
    size_t length;

    if (r->failed || *r->rest == '\0')
        return NULL;
    r->line++;
    r->rest += strspn(r->rest, " \t");
    length = strcspn(r->rest, "\n");
    if (length >= (size_t)size) {
        r->failed = true;
        error_set(r->err, STATUS_USAGE, "longer than %d bytes", size - 1);
        return NULL;
    }
    memcpy(line, r->rest, length);
    line[length] = '\0';
    r->rest += length + (r->rest[length] == '\n');
    return line;
}

static int on_entry(void *user, const char *section, const char *name, const char *value)
{
    struct reading *r = user;

    r->failed = r->entry(r->context, section, name, value, r->err) != 0;
    return !r->failed;
}

int ini_read(const char *path, ini_entry *entry, void *context, struct error *err)
{
    struct reading r = {.entry = entry, .context = context, .err = err};
    char *bytes;
    size_t n;
    int line;

    if (file_read(path, &bytes, &n, err))
        return -1;
    r.rest = bytes;
    line = ini_parse_stream(next_line, &r, on_entry, &r); /* the first that inih did not take, or -2 */
    free(bytes);
    if (line > 0 && !(r.failed && r.line == line))
        return error_set(err, STATUS_USAGE, "'%s' line %d: not a [section], a key = value or a comment", path,
                         line);
    if (r.failed)
        return error_prefix(err, "'%s' line %d", path, r.line);
    return line == 0 ? 0 : error_no_memory(err, path);
}
