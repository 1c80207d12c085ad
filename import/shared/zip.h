/* Zip files as numpy and torch write them: entries that are stored or deflated, zip64. The directory at the
 * end is what counts; entries may not overlap. */
#ifndef IMPORT_SHARED_ZIP_H
#define IMPORT_SHARED_ZIP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct arrays;
struct unpacking;

struct zip_entry {
    const char *name;
    int64_t header;       /* where its own header is, in the file */
    int64_t at;           /* where its bytes are */
    int64_t packed, size; /* of them, as they are and unpacked */
    uint32_t checksum;
    bool deflated, unsure;       /* unsure: a checksum of 0 is none */
    struct unpacking *unpacking; /* deflated: how far reading has come */
    int64_t checked;             /* stored: that many, from the first on, have this checksum */
    uint32_t checksum_so_far;
    int spooled; /* descriptor of a copy, unpacked; -1: none */
};

struct zip {
    struct zip_entry *entries; /* in the directory's order */
    int *by_name;
    int n;
};

int zip_open(struct arrays *a, struct error *err);                 /* a->zip, from a->blob */
void zip_close(struct zip *z);                                     /* safe on zeroed */
struct zip_entry *zip_find(const struct zip *z, const char *name); /* NULL: none */

/* ---- reading (unpack.c) ---- */

/* n bytes of an entry, unpacked. Where it is read to its end from front to back, its checksum is compared. */
int zip_read(struct arrays *a, struct zip_entry *e, int64_t at, void *out, size_t n, struct error *err);
/* Forgets how far reading has come, and the memory for it. */
void zip_rest(struct zip_entry *e);
/* From now on the entry is read anywhere as fast as on: what is deflated is copied into a temporary file. */
int zip_spool(struct arrays *a, struct zip_entry *e, struct error *err);

#endif
