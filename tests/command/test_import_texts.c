/* What an import makes of documents, domains, tokens and names, case by case: small files, and what they must
 * become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support.h"

#define DOCUMENTS                                                                                            \
    "SELECT group_concat(d.name || ' ' || m.name || ' ' || \"offset\" || '+' || s.n_tokens, ', ') FROM "     \
    "(SELECT * FROM sample ORDER BY document_id, \"offset\") AS s JOIN document AS d USING (document_id) "   \
    "JOIN domain AS m USING (domain_id)"
#define CHOICES                                                                                              \
    "SELECT group_concat(position || ':' || expert || ':' || token_id, ' ') FROM (SELECT * FROM routing "    \
    "ORDER BY sequence_id, position, layer, slot)"

static const struct {
    const char *what;
    const char *a, *b; /* files "a" and "b"; b may be NULL */
    const char *arguments;
    const char *sql, *answer; /* sql NULL: the answer is in what it complains of */
} cases[] = {
    {"a table that goes layer by layer", "layer,token,expert\n0,0,1\n0,5000,2\n1,0,3\n1,5000,0\n", NULL, "a",
     DOCUMENTS, "a unknown 0+2"},
    {"slots in any order", "token,layer,slot,expert\n0,0,1,1\n0,0,0,2\n1,0,1,3\n1,0,0,5\n", NULL, "a",
     CHOICES, "0:2:0 0:1:0 1:5:0 1:3:0"},
    {"a slot that comes again", "token,layer,slot,expert\n0,0,0,1\n0,0,1,2\n0,0,0,3\n0,0,1,5\n", NULL, "a",
     CHOICES, "0:1:0 0:2:0 1:3:0 1:5:0"},
    {"token numbers that begin anew", "token,layer,expert\n0,0,1\n0,0,2\n0,0,3\n", NULL, "a --topk 2", NULL,
     "a token of layer 0 has 3 choices, and --topk says 2"},
    {"two ids of a token", "token,layer,expert,token_id\n0,0,1,5\n0,1,1,6\n", NULL, "a", NULL,
     "a token has the ids 5 and 6"},
    {"ids of all tokens, behind the first document as well",
     "document,token,layer,expert\nA,0,0,1\nA,1,0,2\nB,0,0,3\nB,1,0,4\n", "10 11 12 13", "a --tokens b",
     CHOICES, "0:1:10 1:2:11 0:3:12 1:4:13"},
    {"too few ids, as text", "token,layer,expert\n0,0,1\n1,0,2\n2,0,3\n", "7",
     "a --tokens b --accept rows-and-tokens", CHOICES, "0:1:7 1:2:0 2:3:0"},
    {"ids beside a log that has its own", "token,layer,expert,token_id\n0,0,1,5\n", "7", "a --tokens b", NULL,
     "'a' has token ids of its own; leave --tokens out"},
    {"ids that are none", "token,layer,expert\n0,0,1\n", "[1, 2]", "a --tokens b", NULL,
     "token ids are whole numbers below 2^31"},
    {"a document that comes back", "document,token,layer,expert\nA,0,0,1\nB,0,0,1\nA,1,0,1\nB,1,0,1\n", NULL,
     "a", DOCUMENTS, "A unknown 0+1, A unknown 1+1, B unknown 0+1, B unknown 1+1"},
    {"domains without documents", "domain,token,layer,expert\nx,0,0,1\ny,1,0,3\nx,2,0,3\n", NULL, "a",
     DOCUMENTS, "x x 0+1, x x 1+1, y y 0+1"},
    {"domains of counts", "domain,layer,expert,count\nx,0,0,5\ny,0,0,7\n", NULL, "a",
     "SELECT group_concat(coalesce(m.name, 'all') || assignments, ' ') FROM expert_load LEFT JOIN domain AS "
     "m "
     "USING (domain_id)",
     "all12 x5 y7"},
    {"one name in two domains", "document,token,layer,expert\n0,0,0,1\n",
     "document,token,layer,expert\n0,0,0,5\n", "--domain code=a --domain prose=b", DOCUMENTS,
     "0 code 0+1, 0 (prose) prose 0+1"},
    {"places win over names", "document,token,layer,expert\nA,0,0,1\nA,1,0,2\nB,0,0,3\nB,1,0,4\n",
     "document,first,length,domain\nz,0,1,p\ny,1,,q\n", "a --documents b", DOCUMENTS,
     "z p 0+1, y q 0+1, y q 1+2"},
    {"places beyond the log", "token,layer,expert\n0,0,1\n", "document,first\nz,100\n", "a --documents b",
     NULL, "document 'z' is said to begin at token 100"},
    {"a name twice", "token,layer,expert\n0,0,1\n", "document,domain\nz,c\nz,d\n", "a --documents b", NULL,
     "'b': document 'z' is there twice"},
    {"labels of any kind", "document,token,layer,expert\nz,0,0,1\n",
     "{\"document\":\"z\",\"share\":0.5,\"seen\":true}\n", "a --documents b",
     "SELECT group_concat(key || value, ' ') FROM (SELECT * FROM document_label ORDER BY key)",
     "seentrue share0.5"},
    {"a name that begins with #", "document,token,layer,expert\n#a,0,0,1\nb,0,0,2\n", NULL, "a", DOCUMENTS,
     "#a unknown 0+1, b unknown 0+1"},
    {"a mark in front, blanks in the heading",
     "\xEF\xBB\xBFstep, gate ,token,layer,expert\n0,0.5,0,0,1\n7,0.25,0,0,2\n", NULL, "a",
     "SELECT group_concat(step || ' ' || gate, ', ') FROM routing", "0 0.5, 7 0.25"},
    {"a column that is not there", "token,layer,expert\n0,0,1\n", NULL, "a --columns gate=weigth", NULL,
     "'a' has no 'weigth', which --columns names for gate"},
    {"a token without choices",
     "{\"layer\":0,\"token\":0,\"experts\":[1],\"token_id\":5}\n{\"layer\":0,\"token\":1,\"experts\":[],"
     "\"token_id\":6}\n{\"layer\":0,\"token\":2,\"experts\":[2],\"token_id\":7}\n",
     NULL, "a", CHOICES, "0:1:5 2:2:7"},
    {"lists end tokens", "{\"layer\":0,\"experts\":[[1]]}\n{\"layer\":0,\"experts\":[\t[2]]}\n", NULL, "a",
     CHOICES, "0:1:0 1:2:0"},
    {"answers' names",
     "{\"id\":\"a\",\"routed_experts\":[[[1,2]]]}\n{\"id\":\"a\",\"routed_experts\":[[[1,2]]]}\n"
     "{\"id\":\"a (2)\",\"routed_experts\":[[[1,2]]]}\n{\"choices\":[{\"message\":{\"tool_calls\":[{\"id\":"
     "\"call_1\"}]},\"routed_experts\":[[[1,2]]]}],\"id\":\"chat-1\"}\n"
     "{\"metadata\":{\"domain\":\"in\"},\"domain\":\"out\",\"id\":7,\"routed_experts\":[[[1,2]]]}",
     NULL, "a", DOCUMENTS,
     "a unknown 0+1, a (2) unknown 0+1, a (2) (2) unknown 0+1, chat-1 unknown 0+1, 7 out 0+1"},
    {"an answer that begins nowhere",
     "{\"id\":\"a\",\"routed_experts_prompt_start\":-2000,\"routed_experts\":[[[1,2]]]}", NULL, "a", NULL,
     "routed_experts_prompt_start -2000"},
    {"copies of answers", "{\"id\":\"a\",\"routed_experts\":[[[1,2]]]}",
     "{\"id\":\"a\",\"routed_experts\":[[[1,2]]]}", "a b --ranks replicas", DOCUMENTS, "a unknown 0+1"},
    {"ranks of layers, of what has none", "{\"id\":\"a\",\"routed_experts\":[[[1,2]]]}",
     "{\"id\":\"a\",\"routed_experts\":[[[1,2]]]}", "a b --ranks layers", NULL,
     "--ranks layers is for megatron"},
    {"layers that predict further tokens",
     "{\"step\":0,\"layer\":0,\"top_indices\":[[2,1],[0,3]]}\n{\"step\":0,\"block\":\"mtp\",\"layer\":7,"
     "\"top_indices\":[[2,1],[0,3]]}\n{\"step\":0,\"block\":\"mtp\",\"layer\":8,\"top_indices\":[[2,1],[0,3]"
     "]}\n{\"step\":0,\"layer\":0,\"top_indices\":[],\"num_tokens\":0}\n",
     NULL, "a",
     "SELECT group_concat(layer || ' ' || n) FROM (SELECT layer, count(*) AS n FROM routing GROUP "
     "BY layer)",
     "0 4,1 4,2 4"},
    {"one layer in two ranks", "{\"step\":0,\"layer\":0,\"top_indices\":[[2,1]]}\n",
     "{\"step\":0,\"layer\":0,\"top_indices\":[[2,3]]}\n", "a b --ranks layers", NULL,
     "layer 0 is in 'a' as well, and --ranks layers says that each has its own"},
    {"a layer before the first", "layer,token,expert\n0,0,1\n1,0,1\n", NULL,
     "a --layer-base 1 --accept layer-base", NULL, "there is a layer 0; --layer-base 1 cannot be"},
    {"no ids, and a vocabulary", "token,layer,expert\n0,0,1\n", "x\ny\n", "a --vocabulary b",
     "SELECT text FROM token", "<unknown>"},
    {"steps of two tables", "step,token,layer,expert\n5,0,0,1\n", "step,token,layer,expert\n0,0,0,1\n",
     "a b --ranks sum", NULL, "step 0 comes after step 5 of another file"},
};

static char *folder, *bin;

static int open_group(void **state)
{
    (void)state;
    folder = test_folder();
    bin = test_bin();
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    test_folder_remove(folder);
    free(bin);
    return 0;
}

static void test_cases(void **state)
{
    char path[512], expected[512];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_write_text(folder, "a", cases[i].a);
        test_write_text(folder, "b", cases[i].b != NULL ? cases[i].b : "");
        struct test_run r = test_run("cd '%s' && rm -f log.db && '%s/moescope-import' -q log.db --name x %s",
                                     folder, bin, cases[i].arguments);
        if ((cases[i].sql != NULL) != (r.status == 0) ||
            (cases[i].sql == NULL && strstr(r.err, cases[i].answer) == NULL)) {
            fail_msg("%s: status %d: %s%s", cases[i].what, r.status, r.out, r.err);
        }
        test_run_release(&r);
        if (cases[i].sql == NULL) {
            continue;
        }
        snprintf(path, sizeof path, "%s/log.db", folder);
        snprintf(expected, sizeof expected, "%s\n", cases[i].answer);
        char *answer = test_ask(path, cases[i].sql);
        if (strcmp(answer, expected) != 0) {
            fail_msg("%s: %s, not %s", cases[i].what, answer, expected);
        }
        free(answer);
        r = test_run("'%s/moescope-check' '%s'", bin, path);
        assert_int_equal(r.status, 0);
        test_run_release(&r);
    }
}

/* A long text is cut, and the token before a cut has its target all the same. */
static void test_targets_behind_a_cut(void **state)
{
    char path[512];
    (void)state;
    struct test_run r = test_run("awk 'BEGIN { print \"token,layer,expert,token_id\"; for (t = 0; t < 5000; "
                                 "t++) for (l = 0; l < 2; l++) printf \"%%d,%%d,%%d,%%d\\n\", t, l, (t + l) "
                                 "%% 8, t }' > '%s/long.csv' && cd '%s' && rm -f log.db && "
                                 "'%s/moescope-import' -q log.db --name x long.csv",
                                 folder, folder, bin);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    snprintf(path, sizeof path, "%s/log.db", folder);
    test_answer(path, DOCUMENTS, "long.csv unknown 0+4096, long.csv unknown 4096+904\n");
    test_answer(path, "SELECT hex(substr(tokens, -2)) FROM sample WHERE \"offset\" = 0", "0010\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases),
                                       cmocka_unit_test(test_targets_behind_a_cut)};
    return cmocka_run_group_tests(tests, open_group, close_group);
}
