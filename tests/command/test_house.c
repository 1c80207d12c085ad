/* The house's own scripts: the pages that are generated are current, and the laws can be broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support.h"

/* Whoever changes an option, a configuration key or the schema runs `make docs` and commits what it wrote. */
static void test_generated_pages_are_current(void **state)
{
    static const char *const pages[] = {"commands.md", "config.md", "schema.md"};
    char *folder = test_folder(), *bin = test_bin();
    (void)state;
    struct test_run r = test_run("MOESCOPE_BIN='%s' sh scripts/docs.sh '%s'", bin, folder);
    assert_string_equal(r.err, "");
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        r = test_run("diff -u 'docs/%s' '%s/%s'", pages[i], folder, pages[i]);
        if (r.status != 0)
            fail_msg("docs/%s is not current; `make docs` writes it anew:\n%s%s", pages[i], r.out, r.err);
        test_run_release(&r);
    }
    free(bin);
    test_folder_remove(folder);
}

/* One line for each law, and what must not be taken for a breach of it. */
static const char lawless[] = "#include <cblas.h>\n"                                        /* 1: seam */
                              "#include <sqlite3.h>\n"                                      /* 2: seam */
                              "#include \"engine/model.h\"\n"                               /* 3: layer */
                              "#include \"lift.h\"\n"                                       /* 4: layer */
                              "#include \"base/text.h\"\n"                                  /* 5 */
                              "typedef struct x y;\n"                                       /* 6: type */
                              "strcpy(a, b);\n"                                             /* 7: unsafe */
                              "/* printf( */ snprintf(a, 2, \"puts(\\\"\"); p->exit(1);\n"  /* 8 */
                              "/* exit(1);\n"                                               /* 9 */
                              "   exit(1); */ exit(1);\n"                                   /* 10: library */
                              "fputs(a, stderr);\n"                                         /* 11: library */
                              "abort(); /* lint: allow library, a test of the comment */\n" /* 12 */
                              "abort(); /* lint: allow unsafe, the wrong law */\n"          /* 13: library */
                              "q = \"SELECT 1\";\n"                                         /* 14: sql */
                              "q = \"Select a run. SELECT it well\"; /* \"DELETE FROM run\" */\n" /* 15 */
                              "q = '\"'; printf(\"%d\", 1); // exit(1)\n" /* 16: library */
                              "#include <ft2build.h>\n";                  /* 17: seam */

static const char breaches[] =
    "metrics/lawless.c:1: seam: cblas.h is included in engine/blas.c only\n"
    "metrics/lawless.c:2: seam: sqlite3.h is included under sql/ only\n"
    "metrics/lawless.c:3: layer: metrics may not include engine/model.h\n"
    "metrics/lawless.c:4: layer: include \"lift.h\" by its path from the top\n"
    "metrics/lawless.c:6: type: write struct, union or enum out\n"
    "metrics/lawless.c:7: unsafe: strcpy has a safer sibling (snprintf, strtol, "
    "strtok_r, localtime_r, mkstemp...)\n"
    "metrics/lawless.c:10: library: libraries return errors and never exit\n"
    "metrics/lawless.c:11: library: only programs print\n"
    "metrics/lawless.c:13: library: libraries return errors and never exit\n"
    "metrics/lawless.c:14: sql: SQL text belongs into a .sql file\n"
    "metrics/lawless.c:16: library: only programs print\n"
    "metrics/lawless.c:17: seam: ft2build.h is included in corpora/shared/face.c only\n"
    "metrics/bare.h:1: guard: no #ifndef METRICS_BARE_H\n";

static void test_laws_can_be_broken(void **state)
{
    char *folder = test_folder();
    (void)state;
    struct test_run r = test_run("mkdir '%s/metrics'", folder);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    test_write(folder, "metrics/lawless.c", lawless, sizeof lawless - 1);
    test_write(folder, "metrics/bare.h", "int f(void);\n", 13);
    r = test_run("laws=$PWD/scripts/laws.awk; cd '%s' && awk -v programs= -f \"$laws\" metrics/lawless.c "
                 "metrics/bare.h",
                 folder);
    assert_string_equal(r.err, "");
    assert_string_equal(r.out, breaches);
    test_run_release(&r);
    test_folder_remove(folder);
}

/* A program may print and exit; layers may look down. */
static void test_programs_may_print(void **state)
{
    static const char program[] = "#include \"sql/read.h\"\n#include \"metrics/lift.h\"\nexit(puts(\"\"));\n";
    char *folder = test_folder();
    (void)state;
    struct test_run r = test_run("mkdir '%s/analysis'", folder);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    test_write(folder, "analysis/p.c", program, sizeof program - 1);
    r = test_run(
        "laws=$PWD/scripts/laws.awk; cd '%s' && awk -v programs='x.c analysis/p.c' -f \"$laws\" analysis/p.c",
        folder);
    assert_string_equal(r.err, "");
    assert_string_equal(r.out, "");
    test_run_release(&r);
    test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generated_pages_are_current),
        cmocka_unit_test(test_laws_can_be_broken),
        cmocka_unit_test(test_programs_may_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
