#include "import/shared/seen.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

struct seen_number {
    int64_t number, count;
    bool used;
};

/* Where the number is, or would be; at least half of the room is free. */
static struct seen_number *place_of(struct seen_number *entries, size_t room, int64_t number)
{
    size_t at =
        (size_t)((uint64_t)number * UINT64_C(0x9e3779b97f4a7c15) >> 32) % room; /* 2^64 / golden ratio */
    while (entries[at].used && entries[at].number != number) {
        at = (at + 1) % room;
    }
    return &entries[at];
}

static int make_room(struct seen *s, struct error *err)
{
    size_t room = s->room > 0 ? 2 * s->room : 64;
    struct seen_number *entries = calloc(room, sizeof *entries);
    if (entries == NULL) {
        return error_no_memory(err, "names of a file");
    }
    for (size_t i = 0; i < s->room; i++) {
        if (s->entries[i].used) {
            *place_of(entries, room, s->entries[i].number) = s->entries[i];
        }
    }
    free(s->entries);
    s->entries = entries;
    s->room = room;
    return 0;
}

int seen_find(struct seen *s, int64_t number, int64_t **count, struct error *err)
{
    if (2 * s->n >= s->room && make_room(s, err) != 0) {
        return -1;
    }
    struct seen_number *e = place_of(s->entries, s->room, number);
    if (!e->used) {
        *e = (struct seen_number){.number = number, .used = true};
        s->n++;
    }
    *count = &e->count;
    return 0;
}

int64_t seen_number_of(const char *name)
{
    char hex[SHA256_HEX];
    sha256_bytes(name, strlen(name), hex);
    hex[15] = '\0';
    return strtoll(hex, NULL, 16);
}

int seen_find_name(struct seen *s, const char *name, int64_t **count, struct error *err)
{
    return seen_find(s, seen_number_of(name), count, err);
}

void seen_release(struct seen *s)
{
    free(s->entries);
    *s = (struct seen){0};
}
