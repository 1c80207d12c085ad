/* Logs of other engines as arrays: SGLang's .pt, llama.cpp's GGUF, TensorRT-LLM's safetensors, scores and
 * choices as any of them. Two bytes say which format and what is asked of it; the rest is as for arrays. */
#include <string.h>

#include "tests/fuzz/arrays.h"
#include "tests/fuzz/importing.h"
#include "tests/laid.h"

enum dump { SGLANG, IMATRIX, TENSORRT, LOGITS, ROUTED, N_DUMPS };
static const char *const names[] = {"sglang", "imatrix", "tensorrt-llm", "logits", "routed-experts"};
enum { SELECTS = 64, LAYERS_FIRST = 128 }; /* and the flags of importing.h */

static void run(const uint8_t *bytes, size_t n)
{
    struct fuzz_input in = {bytes, n};
    struct text file;
    int dump = fuzz_below(&in, N_DUMPS), flags = fuzz_byte(&in);
    const char *select = dump != LOGITS || !(flags & SELECTS) ? NULL
                         : flags & WITH_SHARED                ? "sigmoid"
                         : flags & TWICE                      ? "topk-softmax"
                                                              : "softmax-topk";
    const char *axes = dump == LOGITS   ? (flags & LAYERS_FIRST ? "LTE" : "TLE")
                       : dump == ROUTED ? (flags & LAYERS_FIRST ? "LTK" : NULL)
                                        : NULL;
    text_init(&file);
    fuzz_lay_arrays(&file, &in);
    fuzz_write("log", file.data, file.length);
    text_release(&file);
    fuzz_import(&(struct importing){.from = names[dump], .flags = flags, .select = select, .axes = axes});
}

/* ---- seeds ---- */

static void add(struct fuzz_seeds *s, enum dump dump, int flags, enum arrays_way way, int length,
                const struct text *rest)
{
    const uint8_t prefix[] = {(uint8_t)dump, (uint8_t)flags};
    fuzz_arrays_seed(s, prefix, sizeof prefix, way, length, rest);
}

#define COUNTS      PICKLED_TENSOR_OF("IntStorage", "\14")
#define KEY(key, n) "X" n "\0\0\0" key
#define PICKLE_OF(bytes)                                                                                     \
    {                                                                                                        \
        bytes, sizeof(bytes) - 1                                                                             \
    }

/* Twelve numbers from 0 to 3, as int32. */
static const char numbers[48] = "\1\0\0\0\2\0\0\0\3\0\0\0\0\0\0\0\1\0\0\0\2\0\0\0"
                                "\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\1\0\0\0\3\0\0";

static const struct {
    const char *bytes;
    size_t n;
} pickles[] = {
    /* stat: [2 passes, 2 layers, 3 experts] */
    PICKLE_OF("\x80\2}(" KEY("rank", "\4") "K\0" KEY("logical_count", "\15") COUNTS
              "K\0K\2K\2K\3\x87K\6K\3K\1\x87" PICKLED_HOOKS "u."),
    /* per_pass: [2 layers, 4 experts], placed as a map says */
    PICKLE_OF("\x80\2}(" KEY("records", "\7") "]}(" KEY("forward_pass_id", "\17") "K\7" KEY(
        "global_physical_count", "\25") COUNTS "K\0K\2K\4\x86K\4K\1\x86" PICKLED_HOOKS
                                               "ua" KEY("last_physical_to_logical_map", "\34") COUNTS
              "K\4K\2K\4\x86K\4K\1\x86" PICKLED_HOOKS "u."),
    /* per_token: [2 layers, 3 tokens, 2 columns] */
    PICKLE_OF("\x80\2}" KEY("records", "\7") "]}(" KEY("input_ids", "\11") "](K\5K\6K\7e" KEY(
        "extend_seq_lens", "\17") "](K\2e" KEY("topk_ids_of_layer", "\21") COUNTS
              "K\0K\2K\3K\2\x87K\6K\2K\1\x87" PICKLED_HOOKS "uas."),
};

static void seed_sglang(struct fuzz_seeds *s)
{
    struct text t;
    text_init(&t);
    for (size_t i = 0; i < sizeof pickles / sizeof *pickles; i++) {
        text_clear(&t);
        text_add_bytes(&t, pickles[i].bytes, pickles[i].n);
        text_add_bytes(&t, numbers, sizeof numbers);
        add(s, SGLANG, ACCEPTS, ARRAYS_PICKLE, (int)pickles[i].n, &t);
        add(s, SGLANG, ACCEPTS | TWICE | ASKS_TOPK, ARRAYS_PICKLE, (int)pickles[i].n, &t);
    }
    text_release(&t);
}

/* Counts of four experts in two layers, and of the router's tokens in one. */
static void seed_imatrix(struct fuzz_seeds *s)
{
    static const float counts[] = {1, 2, 3, 4};
    static const char *const tensors[] = {"blk.0.ffn_down_exps.weight.counts",
                                          "blk.0.ffn_up_exps.weight.counts",
                                          "blk.3.ffn_down_exps.weight.counts"};
    struct text t;
    text_init(&t);
    laid_gguf(&t, 4, 1);
    laid_gguf_string(&t, "general.type");
    laid_number(&t, 8, 4);
    laid_gguf_string(&t, "imatrix");
    for (int i = 0; i < 3; i++) {
        laid_gguf_tensor(&t, tensors[i], 4, 0, 32 * (uint64_t)i);
    }
    laid_gguf_tensor(&t, "blk.0.ffn_gate_inp.weight.counts", 1, 0, 96);
    for (int i = 0; i < 4; i++) {
        laid_gguf_data(&t, 0);
        text_add_bytes(&t, i < 3 ? counts : &counts[3], i < 3 ? sizeof counts : sizeof *counts);
    }
    add(s, IMATRIX, 0, ARRAYS_WHOLE, 0, &t);
    add(s, IMATRIX, ACCEPTS | TWICE, ARRAYS_WHOLE, 0, &t);
    text_release(&t);
}

static void seed_safetensors(struct fuzz_seeds *s, enum dump dump, int flags, const char *header)
{
    struct text t;
    text_init(&t);
    text_add(&t, header);
    text_add_bytes(&t, numbers, sizeof numbers);
    add(s, dump, flags, ARRAYS_HEADER, (int)strlen(header), &t);
    text_release(&t);
}

static void seed_npy(struct fuzz_seeds *s, enum dump dump, int flags, const char *header)
{
    struct text t;
    text_init(&t);
    laid_npy(&t, header, numbers, sizeof numbers);
    add(s, dump, flags, ARRAYS_WHOLE, 0, &t);
    text_release(&t);
}

/* One [tokens, experts] of reals a layer, and what stands beside it. */
static void seed_npz(struct fuzz_seeds *s)
{
    struct text t;
    text_init(&t);
    laid_npy(&t, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }\n", numbers, sizeof numbers);
    size_t first = t.length;
    laid_npy(&t, "{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }\n", numbers, 12);
    struct text zip;
    text_init(&zip);
    laid_zip(&zip,
             (const struct laid_entry[]){{"layer_2.npy", t.data, first, 0},
                                         {"attention_mask.npy", t.data + first, t.length - first, 0}},
             2);
    add(s, LOGITS, ACCEPTS | ASKS_TOPK | SELECTS, ARRAYS_WHOLE, 0, &zip);
    text_release(&zip);
    text_release(&t);
}

static void seed(struct fuzz_seeds *s)
{
    seed_sglang(s);
    seed_imatrix(s);
    seed_safetensors(s, TENSORRT, ACCEPTS,
                     "{\"0_0\":{\"dtype\":\"I32\",\"shape\":[6],\"data_offsets\":[0,24]},\"0_1\":{\"dtype\":"
                     "\"I32\",\"shape\":[6],\"data_offsets\":[24,48]}}");
    seed_safetensors(
        s, LOGITS, ACCEPTS | ASKS_TOPK | SELECTS,
        "{\"router_logits.0\":{\"dtype\":\"BF16\",\"shape\":[3,4],\"data_offsets\":[0,24]},\"input_"
        "ids\":{\"dtype\":\"I32\",\"shape\":[1,3],\"data_offsets\":[24,36]},\"doc_id\":{\"dtype\":"
        "\"I32\",\"shape\":[3],\"data_offsets\":[36,48]}}");
    seed_npz(s);
    seed_npy(s, LOGITS, ACCEPTS | ASKS_TOPK | SELECTS,
             "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 1, 4), }\n");
    seed_npy(s, LOGITS, ACCEPTS | ASKS_TOPK | SELECTS | LAYERS_FIRST,
             "{'descr': '<f2', 'fortran_order': True, 'shape': (2, 3, 4), }\n");
    seed_npy(s, ROUTED, ACCEPTS, "{'descr': '<i4', 'fortran_order': False, 'shape': (3, 2, 2), }\n");
    seed_npy(s, ROUTED, ACCEPTS | WITH_TOKENS | ASKS_EXPERTS,
             "{'descr': '|u1', 'fortran_order': False, 'shape': (6, 4, 2), }\n");
}

static const char *const words[] = {"logical_count",
                                    "records",
                                    "topk_ids_of_layer",
                                    "global_physical_count",
                                    "last_physical_to_logical_map",
                                    "extend_seq_lens",
                                    "input_ids",
                                    "ffn_down_exps.weight.counts",
                                    "ffn_gate_inp.weight.counts",
                                    "blk.1.",
                                    "layer_0",
                                    "router_logits.1",
                                    "attention_mask",
                                    "doc_id",
                                    "domain_id",
                                    "\"1_0\":{",
                                    "\"shape\":[",
                                    "\"data_offsets\":[",
                                    "'shape': (",
                                    "'descr': '<f4'",
                                    "K\2K\2K\3\x87",
                                    NULL};

const struct fuzz_target fuzz_dumps = {
    .name = "dumps", .most = 16384, .open = fuzz_import_open, .seed = seed, .run = run, .words = words};
