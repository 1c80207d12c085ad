/* moescope glyphs FONTS -o OUT: draws digits and letters of fonts as a folder of images that training reads
 * (engine/image_corpus.h). It is a program of moescope's, and not one that its recipe, corpora/glyphs.sh,
 * compiles on the way, so that it is built, checked and tested as all others are, and draws anybody's fonts.
 *
 * Fonts are split by family: a design that was trained on is never tested on. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/folder.h"
#include "base/options.h"
#include "base/table.h"
#include "corpora/shared/face.h"
#include "engine/images.h"

enum { MOST_FAMILIES = 256, MOST_COPIES = 100 };
static const double most_bytes = 4e9; /* of a file that engine/images.c reads */

enum set { SET_TRAIN, SET_PROBE, SET_TEST, N_SETS };
static const char *const set_names[N_SETS] = {"train", "probe", "test"};
static const char *const files[] = {"train-images.idx.gz", "train-labels.idx.gz", "train-families.idx.gz",
                                    "probe-images.idx.gz", "probe-labels.idx.gz", "probe-families.idx.gz",
                                    "test-images.idx.gz",  "test-labels.idx.gz",  "test-families.idx.gz",
                                    "families.txt",        "classes.txt",         NULL};

enum stream { STREAM_SPLIT, STREAM_ORDER, STREAM_POSE = STREAM_ORDER + N_SETS }; /* of random numbers */

struct family {
    char *name;
    enum set set;
    int faces;
};

struct member { /* a face of a family */
    struct face face;
    int family;
    uint8_t *upright; /* (N_GLYPHS, GLYPH_PIXELS) */
};

struct drawn { /* a set */
    struct images images;
    int32_t *family; /* (n) */
};

struct job {
    const char *fonts, *out, *format;
    int64_t copies, seed;
    char *out_trimmed;
    struct FT_LibraryRec_ *library;
    struct family families[MOST_FAMILIES];
    struct member *members;
    int n_families, n_members, n_skipped, n_ignored;
    struct drawn sets[N_SETS];
    struct text partial; /* OUT in the making, beside it */
};

/* ---- faces ---- */

static const uint8_t *upright(const struct member *m, char glyph)
{
    return m->upright + (strchr(glyph_names, glyph) - glyph_names) * GLYPH_PIXELS;
}

/* A second copy of a face is no other face, least of all in another family; capitals alone are no letters. */
static void compare(const struct job *j, const struct member *m, struct text *reason)
{
    if (memcmp(upright(m, 'a'), upright(m, 'A'), GLYPH_PIXELS) == 0)
        text_add(reason, "draws 'a' as 'A'");
    for (int i = 0; i < j->n_members && reason->length == 0; i++) {
        if (memcmp(m->upright, j->members[i].upright, (size_t)N_GLYPHS * GLYPH_PIXELS) == 0)
            text_printf(reason, "looks as '%s' does", j->members[i].face.path);
    }
}

/* Draws the face upright; the reason why it is not fit, or none. */
static int inspect(const struct job *j, struct member *m, struct text *reason, struct error *err)
{
    m->upright = malloc((size_t)N_GLYPHS * GLYPH_PIXELS);
    if (!m->upright)
        return error_no_memory(err, "a face");
    if (face_measure(&m->face, reason)) {
        for (int c = 0; c < N_GLYPHS; c++) {
            if (face_draw(&m->face, glyph_names[c], &pose_upright, m->upright + (size_t)c * GLYPH_PIXELS,
                          err))
                return -1;
        }
        compare(j, m, reason);
    }
    return reason->failed ? error_no_memory(err, "a face") : 0;
}

static void member_release(struct member *m)
{
    face_release(&m->face);
    free(m->upright);
}

/* Takes the face over. */
static int add_member(struct job *j, struct member *m, struct error *err)
{
    struct member *more = realloc(j->members, (size_t)(j->n_members + 1) * sizeof *more);
    struct text reason;

    if (more)
        j->members = more;
    text_init(&reason);
    int result = more ? inspect(j, m, &reason, err) : error_no_memory(err, "a face");
    if (result == 0 && reason.length == 0) {
        j->members[j->n_members++] = *m;
        j->families[m->family].faces++;
    } else {
        if (result == 0)
            fprintf(stderr, "skipped '%s': it %s\n", m->face.path, reason.data);
        j->n_skipped += result == 0;
        member_release(m);
    }
    text_release(&reason);
    return result;
}

/* ---- families ---- */

static bool is_font(const char *name)
{
    static const char *const endings[] = {".ttf", ".otf", ".ttc", ".pfb"};
    size_t n = strlen(name);

    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        if (n > 4 && strcasecmp(name + n - 4, endings[i]) == 0)
            return true;
    }
    return false;
}

/* A file may have several faces. */
static int add_file(struct job *j, const char *path, int family, struct error *err)
{
    int n = 1;

    for (int i = 0; i < n; i++) {
        struct member m = {.family = family};
        if (face_open(&m.face, j->library, path, i, &n, err) || add_member(j, &m, err))
            return -1;
    }
    return 0;
}

static int add_files(struct job *j, const char *folder, int family, struct error *err)
{
    struct folder_list l;
    struct text path;
    int result = 0;

    if (folder_list(&l, folder, err))
        return -1;
    text_init(&path);
    for (int i = 0; i < l.n && result == 0; i++) {
        text_clear(&path);
        text_printf(&path, "%s/%s", folder, l.names[i]);
        if (path.failed)
            result = error_no_memory(err, "a path");
        else if (is_font(l.names[i]))
            result = add_file(j, path.data, family, err);
        else
            j->n_ignored++;
    }
    text_release(&path);
    folder_list_release(&l);
    return result;
}

/* A folder without a fit face is no family. */
static int add_family(struct job *j, const char *name, struct error *err)
{
    struct text path;

    if (strpbrk(name, "\n\t\r"))
        return error_set(err, STATUS_INPUT, "a folder of '%s' has a name of more than one line", j->fonts);
    if (j->n_families == MOST_FAMILIES)
        return error_set(err, STATUS_INPUT, "'%s' has more than %d families", j->fonts, MOST_FAMILIES);
    text_init(&path);
    text_printf(&path, "%s/%s", j->fonts, name);
    struct family *f = &j->families[j->n_families];
    *f = (struct family){.name = strdup(name)};
    int result = path.failed || !f->name ? error_no_memory(err, "a family")
                                         : add_files(j, path.data, j->n_families, err);
    text_release(&path);
    if (f->faces > 0)
        j->n_families++;
    else
        free(f->name);
    return result;
}

static int read_fonts(struct job *j, struct error *err)
{
    struct folder_list l;
    int result = 0;

    if (folder_list(&l, j->fonts, err))
        return -1;
    for (int i = 0; i < l.n && result == 0; i++)
        result = add_family(j, l.names[i], err);
    folder_list_release(&l);
    if (result == 0 && j->n_ignored)
        fprintf(stderr, "ignored %d files that are no fonts by their names\n", j->n_ignored);
    if (result == 0 && j->n_families < N_SETS)
        return error_set(err, STATUS_INPUT,
                         "'%s' has %d families with every digit and letter; train, test and probe need one "
                         "each: fonts are expected as '%s/FAMILY/FILE.ttf' or .otf, .ttc, .pfb",
                         j->fonts, j->n_families, j->fonts);
    return result;
}

/* One family in five is for testing, one in ten for the probe. */
static void split(struct job *j)
{
    int order[MOST_FAMILIES], n = j->n_families;
    int tests = n < 8 ? 1 : (n + 2) / 5, probes = n < 15 ? 1 : (n + 5) / 10;
    struct random r;

    random_seed(&r, (uint64_t)j->seed, STREAM_SPLIT);
    for (int i = 0; i < n; i++)
        order[i] = i;
    random_shuffle(&r, order, n);
    for (int i = 0; i < n; i++)
        j->families[order[i]].set = i < tests ? SET_TEST : i < tests + probes ? SET_PROBE : SET_TRAIN;
}

/* ---- sets ---- */

static int images_of_glyph(const struct job *j, enum set set)
{
    return set == SET_TRAIN ? 1 + (int)j->copies : 1;
}

static int claim_set(const struct job *j, enum set set, struct drawn *d, struct error *err)
{
    double n = 0.0;

    for (int i = 0; i < j->n_families; i++) {
        if (j->families[i].set == set)
            n += (double)j->families[i].faces * N_GLYPHS * images_of_glyph(j, set);
    }
    if (n * GLYPH_PIXELS > most_bytes)
        return error_set(err, STATUS_USAGE, "%.0f images are too many for a file; ask for fewer --copies", n);
    d->images = (struct images){.n = (int)n,
                                .height = GLYPH_SIDE,
                                .width = GLYPH_SIDE,
                                .channels = 1,
                                .n_classes = N_GLYPHS,
                                .pixels = malloc((size_t)n * GLYPH_PIXELS),
                                .label = malloc((size_t)n * sizeof(int32_t))};
    d->family = malloc((size_t)n * sizeof *d->family);
    return d->images.pixels && d->images.label && d->family ? 0 : error_no_memory(err, "images");
}

/* The images of one glyph, at places from order[0] on: as it is, then in poses. */
static int draw_glyph(const struct job *j, const struct member *m, int glyph, struct drawn *d,
                      const int *order, struct error *err)
{
    int n = images_of_glyph(j, j->families[m->family].set);

    for (int i = 0; i < n; i++) {
        uint8_t *pixels = d->images.pixels + (size_t)order[i] * GLYPH_PIXELS;
        d->images.label[order[i]] = glyph;
        d->family[order[i]] = m->family;
        if (i == 0) {
            memcpy(pixels, m->upright + (size_t)glyph * GLYPH_PIXELS, GLYPH_PIXELS);
        } else {
            struct random r;
            random_seed(&r, (uint64_t)j->seed, STREAM_POSE + (uint64_t)order[i]);
            struct pose pose = pose_random(&r);
            if (face_draw(&m->face, glyph_names[glyph], &pose, pixels, err))
                return -1;
        }
    }
    return 0;
}

/* In an order that is shuffled, as sets of images are expected to be. */
static int draw_set(const struct job *j, enum set set, struct drawn *d, struct error *err)
{
    struct random r;
    int next = 0, result = 0;

    if (claim_set(j, set, d, err))
        return -1;
    int *order = malloc((size_t)d->images.n * sizeof *order);
    if (!order)
        return error_no_memory(err, "the order of images");
    for (int i = 0; i < d->images.n; i++)
        order[i] = i;
    random_seed(&r, (uint64_t)j->seed, STREAM_ORDER + (uint64_t)set);
    random_shuffle(&r, order, d->images.n);
    for (int i = 0; i < j->n_members; i++) {
        if (j->families[j->members[i].family].set != set)
            continue;
        for (int glyph = 0; glyph < N_GLYPHS && result == 0; glyph++) {
            result = draw_glyph(j, &j->members[i], glyph, d, order + next, err);
            next += images_of_glyph(j, set);
        }
    }
    free(order);
    return result;
}

static int draw_sets(struct job *j, struct error *err)
{
    for (int set = 0; set < N_SETS; set++) {
        if (draw_set(j, set, &j->sets[set], err))
            return -1;
    }
    return 0;
}

/* ---- OUT ---- */

static int write_set(const struct job *j, enum set set, struct error *err)
{
    static const char *const kinds[] = {"images", "labels", "families"};
    const struct drawn *d = &j->sets[set];
    struct text paths[3];
    bool failed = false;

    for (int i = 0; i < 3; i++) {
        text_init(&paths[i]);
        text_printf(&paths[i], "%s/%s-%s.idx.gz", j->partial.data, set_names[set], kinds[i]);
        failed = failed || paths[i].failed;
    }
    int result = failed ? error_no_memory(err, "a path")
                        : images_write(&d->images, paths[0].data, paths[1].data, err) ||
                              images_write_labels(paths[2].data, d->family, d->images.n, err);
    for (int i = 0; i < 3; i++)
        text_release(&paths[i]);
    return result ? -1 : 0;
}

static int write_lines(const struct job *j, const char *file, const struct text *lines, struct error *err)
{
    struct output o = {0};
    struct text path;

    text_init(&path);
    text_printf(&path, "%s/%s", j->partial.data, file);
    int result =
        path.failed || lines->failed ? error_no_memory(err, "a list") : output_open(&o, path.data, err);
    if (result == 0) {
        fputs(lines->data, o.stream);
        result = output_commit(&o, err);
    }
    output_discard(&o);
    text_release(&path);
    return result;
}

static int write_names(const struct job *j, struct error *err)
{
    struct text names, letters;

    text_init(&names);
    text_init(&letters);
    for (int i = 0; i < j->n_families; i++)
        text_printf(&names, "%s\n", j->families[i].name);
    for (int c = 0; c < N_GLYPHS; c++)
        text_printf(&letters, "%c\n", glyph_names[c]);
    int result =
        write_lines(j, "families.txt", &names, err) || write_lines(j, "classes.txt", &letters, err) ? -1 : 0;
    text_release(&names);
    text_release(&letters);
    return result;
}

static int write_folder(struct job *j, struct error *err)
{
    int result = folder_make_partial(j->out, &j->partial, err);

    if (result)
        return -1;
    for (int set = 0; set < N_SETS && result == 0; set++)
        result = write_set(j, set, err);
    if (result == 0)
        result = write_names(j, err);
    if (result == 0 && rename(j->partial.data, j->out) != 0)
        result = error_output(err, "write", j->out);
    if (result)
        folder_remove(j->partial.data, files);
    return result;
}

static int show(const struct job *j, FILE *out, struct error *err)
{
    static const char *const columns[] = {"family", "set", "faces", "images"};
    enum table_format format;

    if (table_format_parse(j->format, &format, err))
        return -1;
    struct table *t = table_open(out, format, "Families of fonts", columns, 4);
    for (int i = 0; i < j->n_families; i++) {
        const struct family *f = &j->families[i];
        table_text(t, f->name);
        table_text(t, set_names[f->set]);
        table_int(t, f->faces);
        table_int(t, (int64_t)f->faces * N_GLYPHS * images_of_glyph(j, f->set));
    }
    return table_close(t, err);
}

/* ---- the whole ---- */

static int check_options(struct job *j, struct error *err)
{
    enum table_format unused;

    if (!j->out || !*j->out)
        return error_set(err, STATUS_USAGE,
                         "option '-o OUT' is missing or empty; see 'moescope glyphs --help'");
    if (j->copies < 0 || j->copies > MOST_COPIES)
        return error_set(err, STATUS_USAGE,
                         "option '--copies' takes 0 to %d, not %lld; see 'moescope glyphs --help'",
                         MOST_COPIES, (long long)j->copies);
    if (table_format_parse(j->format, &unused, err))
        return -1;
    j->out = j->out_trimmed = folder_trimmed(j->out);
    if (!j->out)
        return error_no_memory(err, "a path");
    return file_exists(j->out) ? error_set(err, STATUS_INPUT, "'%s' is there; choose another -o", j->out) : 0;
}

static int run(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    struct job *j = context;

    (void)n_operands;
    j->fonts = operands[0];
    if (check_options(j, err))
        return -1;
    if (face_start(&j->library, err) || read_fonts(j, err))
        return -1;
    split(j);
    if (draw_sets(j, err) || write_folder(j, err))
        return -1;
    fprintf(stderr, "drew %d faces of %d families; skipped %d\n", j->n_members, j->n_families, j->n_skipped);
    return show(j, out, err);
}

static void job_release(struct job *j)
{
    for (int i = 0; i < j->n_members; i++)
        member_release(&j->members[i]);
    for (int i = 0; i < j->n_families; i++)
        free(j->families[i].name);
    for (int set = 0; set < N_SETS; set++) {
        images_release(&j->sets[set].images);
        free(j->sets[set].family);
    }
    free(j->members);
    free(j->out_trimmed);
    text_release(&j->partial);
    face_stop(j->library);
}

int main(int argc, char **argv)
{
    static struct job j = {.format = "table", .copies = 4, .seed = 1};
    static const struct option_spec options[] = {
        {"output", 'o', OPTION_STRING, &j.out, "OUT", "the folder to write; needed"},
        {"copies", 0, OPTION_INT, &j.copies, "N",
         "of each train image beside it: shifted, turned, scaled a little (default 4)"},
        {"seed", 0, OPTION_INT, &j.seed, "N", "of the split, the order and the copies (default 1)"},
        {"format", 0, OPTION_STRING, &j.format, "FORMAT", "table, csv or json (default table)"},
        {0}};
    static const struct program program = {
        .verb = "glyphs",
        .operands = "FONTS",
        .purpose = "draws the digits and letters of fonts as images to train on, split by family",
        .details =
            "FONTS holds FAMILY/FILE.ttf, .otf, .ttc or .pfb. Images are 28 x 28, grey, of 62 classes, "
            "0-9 A-Z a-z, all\n"
            "of a face at one scale. One family in five is for testing, one in ten for the probe, "
            "without copies. A face is\n"
            "skipped that lacks one of the 62, or is drawn exactly as another or with capitals for "
            "small letters.",
        .examples = "moescope glyphs fonts -o glyphs\n"
                    "moescope glyphs fonts -o glyphs --copies 9 --seed 2",
        .options = options,
        .min_operands = 1,
        .max_operands = 1};

    text_init(&j.partial);
    int status = program_main(&program, argc, argv, NULL, run, &j);
    job_release(&j);
    return status;
}
