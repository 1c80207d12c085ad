/* What `make install` puts where, and that it works from there: programs, library by pkg-config, manual,
 * completions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/options.h"
#include "tests/support.h"

static char *bin, *folder;

static struct test_run install(const char *action)
{
    return test_run(
        "DESTDIR='%s/dest' PREFIX=/usr LIBDIR=/usr/lib MANDIR=/usr/share/man BASHDIR=/usr/share/bash "
        "ZSHDIR=/usr/share/zsh PYTHONDIR=/usr/share/moescope/python DOCDIR=/usr/share/doc/moescope "
        "BUILT='%s' PAGES='%s/pages' VERSION=" MOESCOPE_VERSION " sh packaging/install.sh %s",
        folder, bin, folder, action);
}

static void expect_quiet(struct test_run r)
{
    assert_string_equal(r.err, "");
    assert_string_equal(r.out, "");
    assert_int_equal(r.status, 0);
    test_run_release(&r);
}

static int open_all(void **state)
{
    (void)state;
    bin = test_bin();
    folder = test_folder();
    expect_quiet(
        test_run("MOESCOPE_BIN='%s' sh packaging/pages.sh " MOESCOPE_VERSION " '%s/pages'", bin, folder));
    expect_quiet(install("install"));
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    test_folder_remove(folder);
    free(bin);
    return 0;
}

/* In the folder, with the installed tree as $d. */
static void expect(const char *commands, const char *out)
{
    struct test_run r = test_run("cd '%s' && d='%s/dest/usr' && %s", folder, folder, commands);
    assert_string_equal(r.err, "");
    assert_string_equal(r.out, out);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
}

static void test_programs(void **state)
{
    (void)state;
    expect("\"$d\"/bin/moescope --version", "moescope " MOESCOPE_VERSION "\n");
    expect("\"$d\"/bin/moescope collapse --version", "moescope collapse " MOESCOPE_VERSION "\n");
    expect("\"$d\"/bin/moescope --help | grep -c '^  [a-z]'; ls \"$d\"/bin | grep -c moescope-", "23\n23\n");
    expect("find \"$d\" -type f -perm /022; find \"$d\" -name '*.new'", "");
}

static void test_client(void **state)
{
    (void)state;
    struct test_run r = test_run(
        "cd '%s' && d=$PWD/dest/usr && export PKG_CONFIG_PATH=\"$d\"/lib/pkgconfig "
        "PKG_CONFIG_SYSROOT_DIR=$PWD/dest && "
        "pkg-config --modversion moescope && cc -Wall -Werror \"$d\"/share/doc/moescope/examples/client.c "
        "$(pkg-config --cflags --libs moescope) -o client && LD_LIBRARY_PATH=\"$d\"/lib ./client log.db && "
        "\"$d\"/bin/moescope check log.db >/dev/null && "
        "echo 'SELECT round(entropy(expert), 3) FROM routing;' | \"$d\"/bin/moescope sql log.db",
        folder);
    assert_string_equal(r.err, "");
    assert_string_equal(r.out, MOESCOPE_VERSION "\n0.693\n");
    assert_int_equal(r.status, 0);
    test_run_release(&r);
}

static void test_python(void **state)
{
    (void)state;
    struct test_run r = test_run("/usr/bin/python3 -c 'import numpy'");
    bool can = r.status == 0;
    test_run_release(&r);
    if (!can) {
        print_message("           skipped: no numpy here\n");
        return;
    }
    expect("unset MOESCOPE_LIBRARY; PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=\"$d\"/share/moescope/python "
           "/usr/bin/python3 "
           "-c 'import moescope; print(moescope.version(), moescope._c._name.startswith(\"/\"))'",
           MOESCOPE_VERSION " True\n");
}

static void test_manual(void **state)
{
    (void)state;
    expect("ls \"$d\"/share/man/man1 | wc -l; cd \"$d\"/share/man && echo man3/* man5/*",
           "24\nman3/moescope.3 man5/moescope-schema.5\n");
    struct test_run r = test_run("command -v groff");
    bool can = r.status == 0;
    test_run_release(&r);
    if (!can) {
        print_message("           skipped: no groff here\n");
        return;
    }
    expect("for p in \"$d\"/share/man/man*/*; do groff -man -Tutf8 -ww -z \"$p\" 2>&1; done", "");
    /* Every option and every example of every verb, and every public function. */
    expect("for v in $(ls \"$d\"/bin | sed -n 's/moescope-//p'); do groff -man -Tascii -P-cbou -rLL=300n "
           "\"$d\"/share/man/man1/moescope-$v.1 >page; \"$d\"/bin/moescope-$v --help | grep -o -e "
           "'--[a-z][a-z-]*' "
           "-e '^  moescope [a-z].*' | sort -u | while read -r x; do grep -q -F -e \"$x\" page || echo \"$v: "
           "$x\"; "
           "done; done",
           "");
    expect("groff -man -Tascii -P-cbou -rLL=300n \"$d\"/share/man/man3/moescope.3 >page; "
           "grep -o 'moescope_[a-z_]*(' \"$d\"/include/moescope.h | sort -u | while read -r x; do grep -q -F "
           "\"$x\" page "
           "|| echo \"$x\"; done",
           "");
    expect("groff -man -Tascii -P-cbou -rLL=300n \"$d\"/share/man/man5/moescope-schema.5 >page; "
           "grep -c -e '^EXPERT_LOAD (VIEW)$' -e '^ROUTING (VIEW)$' -e '^       loss_sum (real)$' page",
           "3\n");
}

static void test_bash(void **state)
{
    (void)state;
    expect("bash -c '. \"$0\"/share/bash/moescope; ask() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); "
           "_moescope; "
           "echo \"${COMPREPLY[@]}\"; }; complete -p moescope; ask moescope exp; ask moescope export --f; "
           "ask moescope export log.db -p; touch log.db; ask moescope check lo' \"$d\"",
           "complete -o filenames -F _moescope moescope\nexport\n--first-step --format\n-p\nlog.db\n");
    expect("for v in $(ls \"$d\"/bin | sed -n 's/moescope-//p'); do bash -c '. \"$0\"/share/bash/moescope; "
           "COMP_WORDS=(moescope $1 --); COMP_CWORD=2; _moescope; printf \"%s\\n\" \"${COMPREPLY[@]}\"' "
           "\"$d\" $v | sort "
           ">offered; \"$d\"/bin/moescope-$v --help | sed -n '/^Options:/,/^$/s/^  "
           ".\\{4\\}\\(--[a-z-]*\\).*/\\1/p' | sort | "
           "diff - offered; done",
           "");
}

static void test_zsh(void **state)
{
    (void)state;
    struct test_run r = test_run("command -v zsh");
    bool can = r.status == 0;
    test_run_release(&r);
    if (!can) {
        print_message("           skipped: no zsh here\n");
        return;
    }
    expect("zsh -n \"$d\"/share/zsh/_moescope", "");
}

/* What others put there stays. */
static void test_uninstall(void **state)
{
    (void)state;
    expect("touch \"$d\"/bin/other", "");
    expect_quiet(install("uninstall"));
    expect("find \"$d\" -type f -o -type l | sed \"s,$d/,,\"; ls -d \"$d\"/share/doc/moescope "
           "\"$d\"/lib/moescope "
           "2>/dev/null || true",
           "bin/other\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_programs),  cmocka_unit_test(test_client), cmocka_unit_test(test_python),
        cmocka_unit_test(test_manual),    cmocka_unit_test(test_bash),   cmocka_unit_test(test_zsh),
        cmocka_unit_test(test_uninstall),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
