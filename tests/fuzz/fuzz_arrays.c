/* Arrays in foreign files: npy, npz, safetensors, GGUF, .pt. */
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "base/text.h"
#include "import/shared/arrays.h"
#include "tests/fuzz/arrays.h"
#include "tests/laid.h"

enum { PIECE = 1000, MOST = 7000 /* elements of an array that are read */ };

/* ---- reading ---- */

static void read_piece(struct arrays *a, const struct array *x, int64_t first, int64_t n)
{
    static float reals[PIECE];
    static int64_t integers[PIECE];
    struct error err;
    bool has_reals = arrays_reals(a, x, first, n, reals, &err) == 0;

    fuzz_require(has_reals || err.text[0] != '\0', "an error has words");
    if (arrays_integers(a, x, first, n, integers, &err) == 0) {
        for (int64_t i = 0; has_reals && i < n; i++)
            fuzz_require(reals[i] == (float)integers[i], "an integer is the same as a real");
    }
}

static void read_array(struct arrays *a, const struct array *x)
{
    int64_t count = 1, most = x->count < MOST ? x->count : MOST, piece = 1;

    fuzz_require(x->n_dimensions >= 0 && x->n_dimensions <= ARRAY_MAX_DIMENSIONS, "dimensions fit");
    for (int i = 0; i < x->n_dimensions; i++)
        count *= x->shape[i] > 0 || count == 0 ? x->shape[i] : 0;
    fuzz_require(count == x->count && arrays_find(a, x->name) == x, "an array is what its shape says");
    for (int64_t at = 0; at < most; at += piece) {
        piece = piece * 3 < PIECE ? piece * 3 : PIECE;
        piece = piece < most - at ? piece : most - at;
        read_piece(a, x, at, piece);
    }
    read_piece(a, x, x->count / 2, x->count / 2 < 9 ? x->count / 2 : 9);
    read_piece(a, x, x->count, 0);
    if (x->count > 0)
        read_piece(a, x, x->count - 1, 1);
}

static void read_file(const void *bytes, size_t n)
{
    struct arrays *a;
    struct error err = {0};
    void *exact = malloc(n > 0 ? n : 1);

    fuzz_require(exact != NULL, "there is memory");
    memcpy(exact, bytes, n);
    if (arrays_open_memory(&a, exact, n, "bytes", &err) == 0) {
        fuzz_require(arrays_format(a) != NULL, "it has a format");
        for (int i = 0; i < arrays_n(a); i++)
            read_array(a, arrays_at(a, i));
        for (int i = 0; i < arrays_n_notes(a); i++)
            fuzz_require(arrays_note(a, arrays_note_key(a, i)) != NULL, "a note is found");
        arrays_close(a);
    } else {
        fuzz_require(err.status == STATUS_INPUT && strstr(err.text, "'bytes'") != NULL,
                     "the file is to blame");
    }
    free(exact);
}

/* ---- laying ---- */

/* Two members, the length of the first in front. */
static void lay_members(struct text *t, struct fuzz_input *in)
{
    size_t n = fuzz_number(in, 2);

    n = n < in->n ? n : in->n;
    const struct laid_entry entries[] = {{"a.npy", in->bytes, n, 0},
                                         {"b/c.npy", in->bytes + n, in->n - n, 0}};
    laid_zip(t, entries, 2);
}

void fuzz_lay_arrays(struct text *t, struct fuzz_input *in)
{
    enum arrays_way way = (enum arrays_way)fuzz_below(in, ARRAYS_N_WAYS);
    size_t first;

    switch (way) {
    case ARRAYS_HEADER:
        laid_number(t, fuzz_number(in, 2), 8);
        text_add_bytes(t, in->bytes, in->n);
        break;
    case ARRAYS_PICKLE:
        first = fuzz_number(in, 2);
        first = first < in->n ? first : in->n;
        laid_pt(t, in->bytes, first, in->bytes + first, in->n - first);
        break;
    case ARRAYS_MEMBERS:
        lay_members(t, in);
        break;
    case ARRAYS_DEFLATED:
        first = fuzz_number(in, 2);
        laid_zip(t, &(struct laid_entry){"a/data.pkl", in->bytes, in->n, (uint32_t)first + 1}, 1);
        break;
    case ARRAYS_WHOLE:
    case ARRAYS_N_WAYS:
        text_add_bytes(t, in->bytes, in->n);
    }
}

static void run(const uint8_t *bytes, size_t n)
{
    struct fuzz_input in = {bytes, n};
    struct text t;

    text_init(&t);
    fuzz_lay_arrays(&t, &in);
    read_file(t.data, t.length);
    text_release(&t);
}

/* ---- seeds ---- */

void fuzz_arrays_seed(struct fuzz_seeds *s, const void *prefix, size_t n_prefix, enum arrays_way way,
                      int length, const struct text *rest)
{
    struct text t;

    text_init(&t);
    text_add_bytes(&t, prefix, n_prefix);
    laid_number(&t, way, 1);
    if (way != ARRAYS_WHOLE)
        laid_number(&t, (uint64_t)length, 2);
    text_add_bytes(&t, rest->data, rest->length);
    fuzz_require(!t.failed, "there is memory");
    fuzz_seeds_add(s, t.data, t.length);
    text_release(&t);
}

static void add(struct fuzz_seeds *s, enum arrays_way way, int length, const struct text *rest)
{
    fuzz_arrays_seed(s, "", 0, way, length, rest);
}

static const char data[] = "\0\0\200\77\1\0\0\0\377\377\0\300\0\74\0\0abcdefgh";
static const char *const npy_headers[] = {
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n",
    "{'descr': '>u2', 'fortran_order': True, 'shape': (3, 2, 2), }\n",
    "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }\n",
    "{'descr': '<f2', 'fortran_order': True, 'shape': (4, 3,), }\n",
    "{'descr': '|b1', 'fortran_order': False, 'shape': (24,), }\n",
    "{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (6,), }\n",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (), }\n",
};
enum { N_HEADERS = sizeof npy_headers / sizeof npy_headers[0] };

static void seed_npy(struct fuzz_seeds *s)
{
    struct text t;

    text_init(&t);
    for (int i = 0; i < N_HEADERS; i++) {
        text_clear(&t);
        laid_npy(&t, npy_headers[i], data, i == 6 ? 8 : 24);
        add(s, ARRAYS_WHOLE, 0, &t);
        if (i % 2 == 0)
            continue;
        size_t first = t.length;
        laid_npy(&t, npy_headers[i - 1], data, 24);
        add(s, ARRAYS_MEMBERS, (int)first, &t);
        struct text zip;
        text_init(&zip);
        laid_zip(&zip,
                 (const struct laid_entry[]){{"x.npy", t.data, first, 0},
                                             {"y.npy", t.data + first, t.length - first, 0}},
                 2);
        add(s, ARRAYS_WHOLE, 0, &zip);
        text_release(&zip);
    }
    text_release(&t);
}

static void seed_safetensors(struct fuzz_seeds *s)
{
    static const char header[] = "{\"__metadata__\":{\"a\":\"b\\u00e9\"},\"x\":{\"dtype\":\"F32\",\"shape\":["
                                 "2],\"data_offsets\":[0,8]},"
                                 "\"y\":{\"dtype\":\"BF16\",\"shape\":[2,1],\"data_offsets\":[8,12]},\"z\":{"
                                 "\"dtype\":\"F8_E4M3\",\"shape\":[12],"
                                 "\"data_offsets\":[12,24]}}  ";
    struct text t;

    text_init(&t);
    laid_safetensors(&t, header, data, 24);
    add(s, ARRAYS_WHOLE, 0, &t);
    text_clear(&t);
    text_add(&t, header);
    text_add_bytes(&t, data, 24);
    add(s, ARRAYS_HEADER, (int)strlen(header), &t);
    text_release(&t);
}

static void seed_gguf(struct fuzz_seeds *s)
{
    struct text t;

    text_init(&t);
    laid_gguf(&t, 3, 4);
    laid_gguf_string(&t, "general.type");
    laid_number(&t, 8, 4);
    laid_gguf_string(&t, "imatrix");
    laid_gguf_string(&t, "imatrix.datasets");
    laid_number(&t, 9, 4);
    laid_number(&t, 8, 4);
    laid_number(&t, 2, 8);
    laid_gguf_string(&t, "a");
    laid_gguf_string(&t, "b");
    laid_gguf_string(&t, "general.alignment");
    laid_number(&t, 4, 4);
    laid_number(&t, 32, 4);
    laid_gguf_string(&t, "f");
    laid_number(&t, 12, 4);
    laid_number(&t, 0x3ff0000000000000, 8);
    laid_gguf_tensor(&t, "blk.0.counts", 8, 0, 0);
    laid_gguf_tensor(&t, "h", 16, 30, 32);
    laid_gguf_tensor(&t, "q", 32, 8, 64);
    laid_gguf_data(&t, 98);
    add(s, ARRAYS_WHOLE, 0, &t);
    text_release(&t);
}

#define TENSOR PICKLED_TENSOR_OF("IntStorage", "\6")
#define PICKLE_OF(bytes)                                                                                     \
    {                                                                                                        \
        bytes, sizeof(bytes) - 1                                                                             \
    }

static const struct {
    const char *bytes;
    size_t n;
} pickles[] = {
    PICKLE_OF("\x80\2}q\0(X\4\0\0\0rankq\1K\0X\1\0\0\0x" TENSOR "K\0K\2K\3\x86K\3K\1\x86" PICKLED_HOOKS
              "X\1\0\0\0yNu."),
    PICKLE_OF("\x80\2}(X\1\0\0\0a](K\1M\2\3J\4\5\6\7eX\1\0\0\0b](\x88\x89"
              "eX\1\0\0\0c](G?\xf0\0\0\0\0\0\0K\7eX\1\0\0\0d)u."),
    PICKLE_OF("\x80\2" TENSOR "K\1K\2K\2\x86K\1K\2\x86" PICKLED_HOOKS "."),
    PICKLE_OF("\x80\2](" TENSOR "K\5J\0\1\0\0K\2\x86K\0K\0\x86" PICKLED_HOOKS "\x8a\1\xff}K\1X\1\0\0\0zse."),
    PICKLE_OF("\x80\4\x95\x30\0\0\0\0\0\0\0}\x94(\x8c\1a\x94\x8f\x94(K\1\x90\x8c\1b\x94("
              "K\2K\3\x91\x8c\1c\x94\x8c\5torch\x94\x8c\4Size\x94\x93\x94K\4K\5\x86\x94\x85\x94R\x94u."),
    PICKLE_OF("\x80\2ccollections\nOrderedDict\n)R}X\4\0\0\0metaNsb."),
    PICKLE_OF("\x80\2ctorch._utils\n_rebuild_parameter\n(" TENSOR "K\0K\6\x85K\1\x85" PICKLED_HOOKS
              "\x88Nt."),
    PICKLE_OF(
        "\x80\2ctorch._utils\n_rebuild_tensor_v3\n((X\7\0\0\0storagectorch.storage\nUntypedStorage\nX\1\0\0\0"
        "0X\3\0\0\0cpuK\30tQK\1K\2\x85K\3\x85"
        "\x89Nctorch\nuint16\ntR."),
    PICKLE_OF("\x80\2cos\nsystem\nX\4\0\0\0true\x85R."),
    PICKLE_OF("\x80\2]q\0(h\0h\0e."),
    PICKLE_OF("\x80\2]Naq\1](h\1h\1eq\2](h\2h\2e."),
};
enum { N_PICKLES = sizeof pickles / sizeof pickles[0] };

static void seed_torch(struct fuzz_seeds *s)
{
    struct text t;
    uint8_t packed[1024];

    text_init(&t);
    for (int i = 0; i < N_PICKLES; i++) {
        uLongf n = sizeof packed;
        text_clear(&t);
        text_add_bytes(&t, pickles[i].bytes, pickles[i].n);
        text_add_bytes(&t, data, 24);
        add(s, ARRAYS_PICKLE, (int)pickles[i].n, &t);
        text_clear(&t);
        laid_pt(&t, pickles[i].bytes, pickles[i].n, data, 24);
        add(s, ARRAYS_WHOLE, 0, &t);
        fuzz_require(compress(packed, &n, (const Bytef *)pickles[i].bytes, pickles[i].n) == Z_OK,
                     "it is packed");
        text_clear(&t);
        text_add_bytes(&t, packed + 2, n - 6); /* without what zlib puts around it */
        add(s, ARRAYS_DEFLATED, (int)pickles[i].n - 1, &t);
    }
    text_release(&t);
}

static void seed(struct fuzz_seeds *s)
{
    seed_npy(s);
    seed_safetensors(s);
    seed_gguf(s);
    seed_torch(s);
}

static const char *const words[] = {"'descr': '<f4'",
                                    "'fortran_order': True",
                                    "'shape': (",
                                    "\x93NUMPY",
                                    "\"dtype\":\"I64\"",
                                    "\"shape\":[",
                                    "\"data_offsets\":[",
                                    "\"__metadata__\":{",
                                    "GGUF",
                                    "general.alignment",
                                    "PK\1\2",
                                    "PK\3\4",
                                    "PK\5\6",
                                    "PK\6\6",
                                    "PK\6\7",
                                    "ctorch\nFloatStorage\n",
                                    "ctorch\nSize\n",
                                    "ccollections\nOrderedDict\n",
                                    "ctorch._utils\n_rebuild_tensor_v2\n",
                                    "ctorch\nuint64\n",
                                    "\x8c\5torch",
                                    "X\1\0\0\0",
                                    "\x85R",
                                    "byteorder",
                                    "data.pkl",
                                    "9223372036854775807",
                                    "[[[[[[[[",
                                    NULL};

const struct fuzz_target fuzz_arrays = {
    .name = "arrays", .most = 65536, .seed = seed, .run = run, .words = words};
