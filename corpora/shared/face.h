/* Digits and letters of a font's face as grey images, drawn by FreeType; nothing else here uses it. All
 * glyphs of a face have one scale and one baseline, as in text, so that c and C, o and O differ by their
 * size. */
#ifndef CORPORA_SHARED_FACE_H
#define CORPORA_SHARED_FACE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/random.h"
#include "base/text.h"

enum {
    GLYPH_SIDE = 28, /* pixels of an image, as MNIST's are */
    GLYPH_PIXELS = GLYPH_SIDE * GLYPH_SIDE,
    GLYPH_BOX = 24, /* the square that the upright glyphs of a face fit into */
    N_GLYPHS = 62
};
extern const char glyph_names[N_GLYPHS + 1]; /* 0-9 A-Z a-z */

struct FT_LibraryRec_; /* FreeType's */
struct FT_FaceRec_;

struct face {
    struct FT_FaceRec_ *font;
    char *path;
    double scale,
        middle; /* pixels of a unit of the font; the height, in units, that is put into the middle */
};

int face_start(struct FT_LibraryRec_ **library, struct error *err);
void face_stop(struct FT_LibraryRec_ *library); /* NULL: nothing */

/* Opens a face of a font's file, the first being 0; *n: how many there are. */
int face_open(struct face *f, struct FT_LibraryRec_ *library, const char *path, int index, int *n,
              struct error *err);
void face_release(struct face *f); /* safe on zeroed */

/* Finds scale and middle; needed before drawing. false, with the reason, where a glyph is missing. */
bool face_measure(struct face *f, struct text *reason);

/* What becomes of an upright glyph: turned by radians, scaled, shifted by pixels. */
struct pose {
    double turn, scale, x, y;
};
extern const struct pose pose_upright;
struct pose pose_random(struct random *r); /* within 10 degrees, 0.85 to 1.05, 2 pixels each way */

/* pixels (GLYPH_SIDE, GLYPH_SIDE): how much of each the glyph covers, 255 for all. */
int face_draw(const struct face *f, char glyph, const struct pose *p, uint8_t *pixels, struct error *err);

#endif
