#include "tests/shell.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support.h"

void shell_expect(const char *preparation, const char *commands, int status, const char *out,
                  const char *said)
{
    struct test_run r = test_run("%s %s", preparation, commands);
    if (r.status != status || strcmp(r.out, out) != 0 ||
        (said == NULL ? r.err[0] != '\0' : strstr(r.err, said) == NULL)) {
        fail_msg("%s\nexit %d, not %d\n%s%s", commands, r.status, status, r.out, r.err);
    }
    test_run_release(&r);
}

static bool can(const char *command, const char *what)
{
    struct test_run r = test_run("%s", command);
    bool yes = r.status == 0;
    if (!yes) {
        print_message("skipped: cannot %s: %s", what, r.err[0] != '\0' ? r.err : "no reason was given\n");
    }
    test_run_release(&r);
    return yes;
}

bool shell_can_mount(void)
{
    return can("unshare -m mount -t tmpfs -o size=64k tmpfs /tmp", "mount a small file system");
}

bool shell_can_be_another(void)
{
    return can("setpriv --reuid=65534 --clear-groups true", "become another user");
}
