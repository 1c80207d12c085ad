#include "tests/scarce.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#include "tests/faulty.h"

static struct {
    atomic_int whose;
    atomic_long left; /* allocations until the one that fails; 0 or less: it was that one, or none will */
    atomic_bool stays, failed;
} scarce;

void scarce_memory(enum scarce whose, long n, bool stays)
{
    scarce.left = 0;
    scarce.failed = false;
    scarce.stays = stays;
    scarce.whose = (int)whose;
    scarce.left = n;
}

bool scarce_failed(void)
{
    return scarce.failed;
}

static bool is_short(enum scarce whose)
{
    if (scarce.whose != (int)whose) {
        return false;
    }
    bool fails = scarce.failed ? scarce.stays : scarce.left > 0 && --scarce.left == 0;
    if (fails) {
        scarce.failed = true;
        errno = ENOMEM;
    }
    return fails;
}

static bool sqlite_is_short(void)
{
    return is_short(SCARCE_SQLITE);
}

void scarce_start(void)
{
    faulty_start();
    faulty_memory(sqlite_is_short);
}

/* ---- ours: names that the linker knows ---- */

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming) */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);

void *__wrap_malloc(size_t n)
{
    return is_short(SCARCE_OURS) ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return is_short(SCARCE_OURS) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return is_short(SCARCE_OURS) ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s)
{
    return is_short(SCARCE_OURS) ? NULL : __real_strdup(s);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming) */
