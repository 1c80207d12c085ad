/* Logs of other engines as text, and what stands beside them: JSON, JSON lines, CSV, vocabularies. The first
 * byte says which format, the second what is asked of it; the file is the rest. What the doctor takes is
 * imported, and must be a logbook that its check finds nothing wrong with. */
#include <stdlib.h>
#include <string.h>

#include "import/shared/vocabulary.h"
#include "tests/fuzz/importing.h"

static const char *const names[] = {"megatron", "megatron-counts", "answers",   "olmoe", "jsonl",
                                    "csv",      "documents",       "vocabulary"};
enum { DOCUMENTS = 6, VOCABULARY = 7, N_NAMES = 8 };

static void run(const uint8_t *bytes, size_t n)
{
    struct fuzz_input in = {bytes, n};
    struct vocabulary_file v;
    struct error err;
    int format = fuzz_below(&in, N_NAMES), flags = fuzz_byte(&in);
    fuzz_write("log", in.bytes, in.n);
    if (format == VOCABULARY) {
        (void)vocabulary_file_open(&v, fuzz_file("log"), &err);
        vocabulary_file_close(&v);
        return;
    }
    fuzz_import(&(struct importing){.from = format == DOCUMENTS ? NULL : names[format], .flags = flags});
}

static void add(struct fuzz_seeds *s, int format, int flags, const char *text)
{
    size_t n = strlen(text);
    uint8_t *bytes = malloc(n + 2);
    fuzz_require(bytes != NULL, "there is memory");
    bytes[0] = (uint8_t)format;
    bytes[1] = (uint8_t)flags;
    memcpy(bytes + 2, text, n);
    fuzz_seeds_add(s, bytes, n + 2);
    free(bytes);
}

static void seed(struct fuzz_seeds *s)
{
    static const char *const texts[N_NAMES] = {
        "{\"step\":0,\"block\":\"decoder\",\"layer\":0,\"num_tokens\":2,\"topk\":2,\"top_indices\":[[1,2],[0,"
        "-1]]}\n"
        "{\"step\":0,\"block\":\"mtp\",\"mtp_idx\":0,\"layer\":1,\"top_indices\":[[3, 2],[0,0]], "
        "\"x\":[{},null,1e3]}\n",
        "{\"iter\":0,\"layer\":0,\"tpe\":[[1,2,3,4],[0,0,0,1]]}\n{\"iter\":1,\"layer\":0,\"tpe\":[[1,2,3,4]]}"
        "\n",
        "{\"id\":\"a\\u00e9\",\"domain\":\"c\",\"prompt_token_ids\":[1,2],\"prompt_routed_experts\":[[[1,2],["
        "0,3]]],"
        "\"choices\":[{\"token_ids\":[4,5],\"routed_experts\":[[[1,2],[3,0]],[[-1,-1],[-1,-1]]]}]}",
        "{\"input_ids\":[1,2],\"exp_ids\":[[[1,2,3],[4,5,6]],[[0,1,2],[3,4,5]]]}",
        "{\"layer_idx\":0,\"token_idx\":0,\"selected_ids\":[3,1],\"gate_weights\":[0.7,0.3],\"document\":"
        "\"d\"}\n"
        "{\"layer\":1,\"token\":1,\"expert\":2,\"count\":null}\n",
        "step,layer,token,slot,expert,gate,document\n0,0,0,0,3,0.5,\"a "
        "\"\"b\"\"\"\n0,0,0,1,1,0.25,c\n0,1,5,0,2,nan,c\n",
        "document,domain,first,length,language\nd0,c,0,2,en\nd1,\"e\",2,3,\n",
        "{\"added_tokens\":[{\"id\":0,\"content\":\"<s>\"}],\"model\":{\"vocab\":{\"\\u0120w\":1,\"\\u00e2\":"
        "2}}}"};
    for (int f = 0; f < N_NAMES; f++) {
        add(s, f, 0, texts[f]);
        add(s, f, ASKS_TOPK | ACCEPTS | ASKS_EXPERTS, texts[f]);
    }
    add(s, 0, ACCEPTS | WITH_TOKENS | TWICE, texts[0]);
    add(s, 2, ASKS_TOPK | ACCEPTS, "{\"meta_info\":{\"routed_experts\":\"AQAAAAIAAAADAAAAAAAAAA==\"}}");
    add(s, 5, ACCEPTS, "layer_id,expert_id,count\n0,0,5\n0,1,7\n");
    add(s, 5, ASKS_TOPK, "layer,expert\n0,1\n0,2\n1,1\n1,0\n0,3\n0,0\n");
    add(s, 5, ACCEPTS, "turn,phase,step,layer,slot,expert,weight\n0,0,0,0,0,5,0.5\n0,1,0,0,0,5,nan\n");
    add(s, 7, 0, "a\n\xE2\x96\x81thing\n<0xE3>\n");
}

static const char *const words[] = {"\"top_indices\":",
                                    "\"layer\":",
                                    "\"step\":",
                                    "[[",
                                    "]]",
                                    "],[",
                                    "\"routed_experts\":",
                                    "null",
                                    "-1",
                                    "65535",
                                    "1e9",
                                    "\\ud83d\\ude00",
                                    "\"\"",
                                    NULL};

const struct fuzz_target fuzz_logs = {
    .name = "logs", .most = 4096, .open = fuzz_import_open, .seed = seed, .run = run, .words = words};
