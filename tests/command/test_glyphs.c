/* moescope glyphs on a few of DejaVu's fonts: what the images show, that no family is on two sides, which
 * faces are left out, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "corpora/shared/face.h"
#include "engine/corpus.h"
#include "tests/support.h"

static char *folder, *bin;

/* Three families in FOLDER/NAME, of 2, 1 and 1 faces, beside a file that is none. */
static void write_fonts(const char *name)
{
    struct test_run r = test_run(
        "cd '%s' && rm -rf %s && mkdir -p %s/Mono %s/Sans %s/Serif && cd %s && "
        "dejavu=/usr/share/fonts/truetype/dejavu &&"
        "cp $dejavu/DejaVuSans.ttf $dejavu/DejaVuSans-Bold.ttf Sans && cp $dejavu/DejaVuSerif.ttf Serif &&"
        "cp $dejavu/DejaVuSansMono.ttf Mono && echo licence > Sans/LICENCE.txt",
        folder, name, name, name, name, name);
    if (r.status != 0)
        fail_msg("are the fonts of fonts-dejavu-core installed? %s", r.err);
    test_run_release(&r);
}

static struct test_run glyphs(const char *fonts, const char *out, const char *more)
{
    return test_run("cd '%s' && %s/moescope-glyphs %s -o %s %s", folder, bin, fonts, out, more);
}

static void says(struct test_run r, int status, const char *word)
{
    if (r.status != status || (!strstr(r.err, word) && !strstr(r.out, word)))
        fail_msg("status %d, not %d, or without '%s': %s%s", r.status, status, word, r.out, r.err);
    test_run_release(&r);
}

static void load(struct corpus *c, const char *out)
{
    char path[4096];
    struct error err;

    snprintf(path, sizeof path, "%s/%s", folder, out);
    test_must(corpus_load(c, path, &err), &err);
}

static const char *family_of(const struct corpus *c, int d)
{
    assert_string_equal(c->documents[d].labels[1].key, "family");
    return c->documents[d].labels[1].value;
}

/* ---- sets ---- */

static int faces_of(const char *family)
{
    return strcmp(family, "Sans") == 0 ? 2 : 1;
}

/* One family each; copies for training alone. */
static void test_sets(void **state)
{
    const char *families[N_SPLITS] = {NULL};
    int images[N_SPLITS] = {0}, of_class[N_GLYPHS] = {0};
    struct corpus c;

    (void)state;
    says(glyphs("fonts", "sets", "--copies 2"), 0, "drew 4 faces of 3 families; skipped 0");
    load(&c, "sets");
    assert_int_equal(c.n_domains, N_GLYPHS);
    for (int d = 0; d < c.n_documents; d++) {
        enum corpus_split split = c.documents[d].split;
        if (!families[split])
            families[split] = family_of(&c, d);
        assert_string_equal(families[split], family_of(&c, d));
        images[split]++;
        of_class[c.documents[d].domain]++;
    }
    assert_string_not_equal(families[SPLIT_TRAIN], families[SPLIT_VALID]);
    assert_string_not_equal(families[SPLIT_TRAIN], families[SPLIT_PROBE]);
    assert_string_not_equal(families[SPLIT_VALID], families[SPLIT_PROBE]);
    assert_int_equal(images[SPLIT_TRAIN], 3 * N_GLYPHS * faces_of(families[SPLIT_TRAIN]));
    assert_int_equal(images[SPLIT_VALID], N_GLYPHS * faces_of(families[SPLIT_VALID]));
    assert_int_equal(images[SPLIT_PROBE], N_GLYPHS * faces_of(families[SPLIT_PROBE]));
    for (int i = 1; i < N_GLYPHS; i++)
        assert_int_equal(of_class[i], of_class[0]);
    corpus_release(&c);
}

static void test_same_seed_same_bytes(void **state)
{
    (void)state;
    says(glyphs("fonts", "one", "--seed 7"), 0, "");
    says(glyphs("fonts", "two", "--seed 7"), 0, "");
    says(glyphs("fonts", "three", "--seed 8"), 0, "");
    says(test_run("cd '%s' && diff -r one two", folder), 0, "");
    says(test_run("cd '%s' && diff -rq one three", folder), 1, "train-images.idx.gz differ");
}

/* ---- what the images show ---- */

struct extent { /* of ink, in pixels from the upper left; means are weighted by ink */
    int top, bottom, left, right;
    double x, y, ink;
};

static struct extent extent_of(const uint8_t *pixels)
{
    struct extent e = {GLYPH_SIDE, -1, GLYPH_SIDE, -1, 0.0, 0.0, 0.0};

    for (int p = 0; p < GLYPH_PIXELS; p++) {
        int x = p % GLYPH_SIDE, y = p / GLYPH_SIDE;
        e.ink += pixels[p] / 255.0;
        e.x += pixels[p] / 255.0 * x;
        e.y += pixels[p] / 255.0 * y;
        if (pixels[p] < 64)
            continue;
        e.top = y < e.top ? y : e.top;
        e.bottom = y > e.bottom ? y : e.bottom;
        e.left = x < e.left ? x : e.left;
        e.right = x > e.right ? x : e.right;
    }
    e.x /= e.ink;
    e.y /= e.ink;
    return e;
}

/* The glyph of the first face in the split. */
static struct extent shown(const struct corpus *c, enum corpus_split split, char glyph)
{
    for (int d = 0; d < c->n_documents; d++) {
        if (c->documents[d].split == split && c->domains[c->documents[d].domain][0] == glyph)
            return extent_of(c->images.pixels + (size_t)d * GLYPH_PIXELS);
    }
    fail_msg("there is no '%c'", glyph);
    return (struct extent){0};
}

static int height(struct extent e)
{
    return e.bottom - e.top;
}

static void test_shapes(void **state)
{
    struct corpus c;
    const int least = (GLYPH_SIDE - GLYPH_BOX) / 2, most = GLYPH_SIDE - 1 - least;

    (void)state;
    says(glyphs("fonts", "shapes", "--copies 0"), 0, "");
    load(&c, "shapes");
    for (int d = 0; d < c.n_documents; d++) {
        struct extent e = extent_of(c.images.pixels + (size_t)d * GLYPH_PIXELS);
        assert_true(e.ink > 8.0 && e.top >= least && e.left >= least && e.bottom <= most && e.right <= most);
    }
    for (int split = SPLIT_TRAIN; split <= SPLIT_PROBE; split++) {
        struct extent L = shown(&c, split, 'L'), T = shown(&c, split, 'T'), J = shown(&c, split, 'J');
        assert_true(L.y > (L.top + L.bottom) / 2.0 + 1.0 && L.x < (L.left + L.right) / 2.0 - 1.0);
        assert_true(T.y < (T.top + T.bottom) / 2.0 - 1.0);
        assert_true(J.x > (J.left + J.right) / 2.0);
        /* one baseline, from which g descends; small letters are smaller */
        assert_true(abs(shown(&c, split, 'x').bottom - L.bottom) <= 1);
        assert_true(shown(&c, split, 'g').bottom >= L.bottom + 3);
        assert_true(height(shown(&c, split, 'c')) <= height(shown(&c, split, 'C')) - 3);
        assert_true(height(shown(&c, split, 'o')) <= height(shown(&c, split, '0')) - 3);
    }
    corpus_release(&c);
}

/* A copy is near what it is of, and is not it. */
static void test_copies(void **state)
{
    struct random r;
    struct face f;
    struct FT_LibraryRec_ *library;
    uint8_t first[GLYPH_PIXELS], copy[GLYPH_PIXELS];
    char path[4096];
    struct text reason;
    struct error err;
    int n;

    (void)state;
    snprintf(path, sizeof path, "%s/fonts/Serif/DejaVuSerif.ttf", folder);
    text_init(&reason);
    random_seed(&r, 1, 0);
    test_must(face_start(&library, &err), &err);
    test_must(face_open(&f, library, path, 0, &n, &err), &err);
    assert_int_equal(n, 1);
    assert_true(face_measure(&f, &reason));
    test_must(face_draw(&f, 'R', &pose_upright, first, &err), &err);
    struct extent a = extent_of(first);
    for (int i = 0; i < 100; i++) {
        struct pose p = pose_random(&r);
        test_must(face_draw(&f, 'R', &p, copy, &err), &err);
        struct extent b = extent_of(copy);
        assert_memory_not_equal(first, copy, sizeof first);
        assert_true(b.x - a.x < 2.8 && a.x - b.x < 2.8 && b.y - a.y < 2.8 && a.y - b.y < 2.8);
        assert_true(b.ink > 0.70 * a.ink && b.ink < 1.12 * a.ink); /* scale squared */
    }
    /* by hand: two pixels to the right and up, on the same grid */
    const struct pose moved = {.scale = 1.0, .x = 2.0, .y = 2.0};
    test_must(face_draw(&f, 'R', &moved, copy, &err), &err);
    for (int y = 0; y + 2 < GLYPH_SIDE; y++)
        assert_memory_equal(copy + y * GLYPH_SIDE + 2, first + (y + 2) * GLYPH_SIDE, GLYPH_SIDE - 2);
    face_release(&f);
    face_stop(library);
    text_release(&reason);
}

/* ---- what is left out ---- */

static uint32_t get(const uint8_t *at, int bytes)
{
    uint32_t value = 0;

    for (int i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

static void put(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* The character map's group for ASCII, of format 12: first character, last one, first one's glyph. */
static uint8_t *ascii_group(uint8_t *font)
{
    uint8_t *map = NULL;

    for (uint32_t i = 0; i < get(font + 4, 2); i++) {
        const uint8_t *record = font + 12 + (size_t)16 * i;
        if (memcmp(record, "cmap", 4) == 0)
            map = font + get(record + 8, 4);
    }
    for (uint32_t i = 0; map && i < get(map + 2, 2); i++) {
        uint8_t *table = map + get(map + 4 + (size_t)8 * i + 4, 4);
        for (uint32_t g = 0; get(table, 2) == 12 && g < get(table + 12, 4); g++) {
            uint8_t *group = table + 16 + (size_t)12 * g;
            if (get(group, 4) <= 'A' && get(group + 4, 4) >= 'z')
                return group;
        }
    }
    fail_msg("the font has no map of format 12 with one group for ASCII");
    return NULL;
}

/* A copy of Serif in which the characters up to `last` are as they were; from `next` on they look as those
 * from `instead` on. */
static void write_remapped(const char *name, char last, char next, char instead)
{
    char path[4096], *bytes;
    size_t n;
    struct error err;

    snprintf(path, sizeof path, "%s/fonts/Serif/DejaVuSerif.ttf", folder);
    test_must(file_read(path, &bytes, &n, &err), &err);
    uint8_t *group = ascii_group((uint8_t *)bytes);
    uint32_t first = get(group, 4), end = get(group + 4, 4), glyph = get(group + 8, 4);
    put(group + 4, (uint32_t)last);
    put(group + 12, (uint32_t)next); /* in the place of the group behind, accented letters */
    put(group + 16, end);
    put(group + 20, glyph + (uint32_t)instead - first);
    test_write(folder, name, bytes, n);
    free(bytes);
}

static void test_left_out(void **state)
{
    struct corpus c;

    (void)state;
    write_fonts("more");
    write_remapped("more/Sans/0-no-q.ttf", 'P', 'R', 'R');
    write_remapped("more/Sans/1-capitals.otf", '`', 'a', 'A');
    says(test_run("cd '%s/more' && cp Mono/DejaVuSansMono.ttf Serif/again.ttf && mkdir None && cp "
                  "Sans/0-no-q.ttf None",
                  folder),
         0, "");
    struct test_run r = glyphs("more", "rest", "");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.err, "skipped 'more/Sans/0-no-q.ttf': it has no 'Q'"));
    assert_non_null(strstr(r.err, "skipped 'more/None/0-no-q.ttf': it has no 'Q'"));
    assert_non_null(strstr(r.err, "skipped 'more/Sans/1-capitals.otf': it draws 'a' as 'A'"));
    assert_non_null(
        strstr(r.err, "skipped 'more/Serif/again.ttf': it looks as 'more/Mono/DejaVuSansMono.ttf' does"));
    assert_non_null(strstr(r.err, "ignored 1 files"));
    assert_non_null(strstr(r.err, "drew 4 faces of 3 families; skipped 4"));
    test_run_release(&r);
    load(&c, "rest");
    corpus_release(&c);
}

/* ---- what is refused ---- */

static void test_refused(void **state)
{
    (void)state;
    write_fonts("bad");
    says(glyphs("bad", "bad-out", "--copies 101"), 2, "option '--copies' takes 0 to 100, not 101");
    says(glyphs("bad", "''", ""), 2, "option '-o OUT' is missing or empty");
    says(glyphs("nowhere", "bad-out", ""), 3, "nowhere");
    says(test_run("cd '%s' && touch bad-there && %s/moescope-glyphs bad -o bad-there", folder, bin), 3,
         "'bad-there' is there; choose another -o");
    says(test_run("cd '%s' && head -c 3000 bad/Mono/*.ttf > bad/Serif/cut.ttf", folder), 0, "");
    says(glyphs("bad", "bad-out", ""), 3, "'bad/Serif/cut.ttf' is no font that FreeType can read");
    says(test_run("cd '%s' && echo text > bad/Serif/cut.ttf", folder), 0, "");
    says(glyphs("bad", "bad-out", ""), 3, "'bad/Serif/cut.ttf' is no font that FreeType can read");
    says(test_run("cd '%s' && rm -r bad/Serif", folder), 0, "");
    says(glyphs("bad", "bad-out/", ""), 3, "'bad' has 2 families with every digit and letter");
    says(test_run("cd '%s' && ! ls -d bad-out* *partial*", folder), 0, "");
}

static void test_cannot_write(void **state)
{
    (void)state;
    says(glyphs("fonts", "/proc/glyphs", ""), 4, "cannot create '/proc/glyphs.partial");
}

static int open_group(void **state)
{
    (void)state;
    folder = test_folder();
    bin = test_bin();
    write_fonts("fonts");
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    test_folder_remove(folder);
    free(bin);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets),         cmocka_unit_test(test_same_seed_same_bytes),
        cmocka_unit_test(test_shapes),       cmocka_unit_test(test_copies),
        cmocka_unit_test(test_left_out),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cannot_write),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
