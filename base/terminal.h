/* What a stream that people look at can show. */
#ifndef BASE_TERMINAL_H
#define BASE_TERMINAL_H
#include <stdbool.h>
#include <stdio.h>

bool terminal_is(FILE *stream); /* a terminal that can move its cursor (TERM is not "dumb") */
/* Colours: on a terminal, but not with NO_COLOR (no-color.org); anywhere with CLICOLOR_FORCE, for pagers. */
bool terminal_has_colours(FILE *stream);

#endif
