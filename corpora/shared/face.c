#include "corpora/shared/face.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <ft2build.h>
#include FT_FREETYPE_H
#include FT_BBOX_H
#include FT_OUTLINE_H

enum { GRID = 64 }; /* FreeType's units of a pixel */

const char glyph_names[N_GLYPHS + 1] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

int face_start(FT_Library *library, struct error *err)
{
    return FT_Init_FreeType(library) ? error_no_memory(err, "FreeType") : 0;
}

void face_stop(FT_Library library)
{
    if (library)
        FT_Done_FreeType(library);
}

/* ---- a face ---- */

static int no_font(const char *path, FT_Error code, struct error *err)
{
    return error_set(err, STATUS_INPUT, "'%s' is no font that FreeType can read (its error 0x%02X)", path,
                     (unsigned)code);
}

int face_open(struct face *f, FT_Library library, const char *path, int index, int *n, struct error *err)
{
    FT_Error code;

    *f = (struct face){.path = strdup(path)};
    if (!f->path)
        return error_no_memory(err, "a path");
    code = FT_New_Face(library, path, index, &f->font);
    if (code) {
        face_release(f);
        return no_font(path, code, err);
    }
    *n = (int)f->font->num_faces;
    return 0;
}

void face_release(struct face *f)
{
    if (f->font)
        FT_Done_Face(f->font);
    free(f->path);
    *f = (struct face){0};
}

/* In units of the font. */
static FT_Error load(const struct face *f, char glyph, FT_BBox *box)
{
    FT_Error code = FT_Load_Char(f->font, (FT_ULong)glyph, FT_LOAD_NO_SCALE);

    return code ? code : FT_Outline_Get_BBox(&f->font->glyph->outline, box);
}

bool face_measure(struct face *f, struct text *reason)
{
    double low = INFINITY, high = -INFINITY, widest = 0.0;

    if (!FT_IS_SCALABLE(f->font) || FT_Select_Charmap(f->font, FT_ENCODING_UNICODE)) {
        text_add(reason, "has no outlines of Unicode's characters");
        return false;
    }
    for (int i = 0; i < N_GLYPHS; i++) {
        FT_BBox box;
        if (!FT_Get_Char_Index(f->font, (FT_ULong)glyph_names[i]) || load(f, glyph_names[i], &box) ||
            box.xMax <= box.xMin || box.yMax <= box.yMin) {
            text_printf(reason, "has no '%c'", glyph_names[i]);
            return false;
        }
        low = fmin(low, (double)box.yMin);
        high = fmax(high, (double)box.yMax);
        widest = fmax(widest, (double)(box.xMax - box.xMin));
    }
    f->scale = GLYPH_BOX / fmax(high - low, widest);
    f->middle = 0.5 * (low + high);
    return true;
}

/* ---- drawing ---- */

const struct pose pose_upright = {.scale = 1.0};

static double between(struct random *r, double least, double most)
{
    return least + (most - least) * random_uniform(r);
}

struct pose pose_random(struct random *r)
{
    struct pose p;

    p.turn = between(r, -1.0, 1.0) * atan(1.0) / 4.5;
    p.scale = between(r, 0.85, 1.05);
    p.x = between(r, -2.0, 2.0);
    p.y = between(r, -2.0, 2.0);
    return p;
}

/* From the font's units to the image's grid. */
static void place_points(FT_Outline *o, const struct face *f, const FT_BBox *box, const struct pose *p)
{
    double along = f->scale * p->scale * cos(p->turn), across = f->scale * p->scale * sin(p->turn);
    double middle = 0.5 * ((double)box->xMin + (double)box->xMax);

    for (int i = 0; i < o->n_points; i++) {
        double x = (double)o->points[i].x - middle, y = (double)o->points[i].y - f->middle;
        o->points[i].x = lround(GRID * (0.5 * GLYPH_SIDE + p->x + along * x - across * y));
        o->points[i].y = lround(GRID * (0.5 * GLYPH_SIDE + p->y + across * x + along * y));
    }
}

/* Without hinting, which is made for screens and differs between versions. */
int face_draw(const struct face *f, char glyph, const struct pose *p, uint8_t *pixels, struct error *err)
{
    FT_Bitmap bitmap = {.rows = GLYPH_SIDE,
                        .width = GLYPH_SIDE,
                        .pitch = GLYPH_SIDE,
                        .buffer = pixels,
                        .num_grays = 256,
                        .pixel_mode = FT_PIXEL_MODE_GRAY};
    FT_BBox box;
    FT_Error code = load(f, glyph, &box);

    memset(pixels, 0, GLYPH_PIXELS);
    if (!code) {
        place_points(&f->font->glyph->outline, f, &box, p);
        code = FT_Outline_Get_Bitmap(f->font->glyph->library, &f->font->glyph->outline, &bitmap);
    }
    return code ? no_font(f->path, code, err) : 0;
}
