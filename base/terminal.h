/* What is asked of a terminal, and one that is taken over for a while: the whole screen is a picture that is
 * drawn anew, keys are not echoed, and whatever ends the program gives the screen back as it was. */
#ifndef BASE_TERMINAL_H
#define BASE_TERMINAL_H
#include <stdbool.h>
#include <stdio.h>

#include "base/text.h"

bool terminal_is(FILE *stream); /* a terminal that can move its cursor (TERM is not "dumb") */
/* Colours: on a terminal, but not with NO_COLOR (no-color.org); anywhere with CLICOLOR_FORCE, for pagers. */
bool terminal_has_colours(FILE *stream);
/* $COLUMNS where it is no terminal; 80 and 24 where nobody knows. */
int terminal_columns(FILE *stream);
int terminal_rows(FILE *stream);

/* One at a time: signals are the process's. */
struct screen {
    FILE *out;
    bool taken;
};
void screen_take(struct screen *s, FILE *out);
/* Safe on one that was not taken. */
void screen_give_back(struct screen *s);
/* Replaces the picture; its lines end in LF and fit the screen. */
void screen_draw(struct screen *s, const struct text *picture);

enum screen_event {
    SCREEN_TIME,    /* the time is over */
    SCREEN_RESIZED, /* or come back from a pause (Ctrl-Z): draw anew */
    SCREEN_KEY,
    SCREEN_SIGNAL /* asked to end */
};
/* Waits that long. *what: the key, or the signal's number. */
enum screen_event screen_wait(struct screen *s, double seconds, int *what);

#endif
