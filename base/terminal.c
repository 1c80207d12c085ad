#include "base/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool terminal_is(FILE *stream)
{
    const char *term = getenv("TERM");
    return term && strcmp(term, "dumb") != 0 && isatty(fileno(stream));
}

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value && *value;
}

bool terminal_has_colours(FILE *stream)
{
    if (is_set("NO_COLOR"))
        return false;
    return terminal_is(stream) || is_set("CLICOLOR_FORCE");
}
