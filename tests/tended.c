#include "tests/tended.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/shell.h"

void tended_open(struct tiny *t, const char *first, const char *second)
{
    tiny_open(t);
    tiny_expect(tiny_train(t, "base.db", first, "--seed 1 --set train.steps=20"), 0, "");
    tiny_expect(tiny_train(t, "base.db", second, "--seed 2 --set train.steps=20"), 0, "");
}

void tended_expect(const struct tiny *t, const char *prelude, const char *commands, int status,
                   const char *out, const char *said)
{
    char *preparation = NULL;
    assert_true(asprintf(&preparation, "cd '%s'; B='%s'; D=copy.db; rm -f copy.db*; cp base.db $D; %s",
                         t->folder, t->bin, prelude) > 0);
    shell_expect(preparation, commands, status, out, said);
    free(preparation);
}
