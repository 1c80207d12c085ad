/* What a file lies on, by the name that Linux gives the file system ("ext4", "nfs4", "fuse.sshfs"): WAL needs
 * memory that all readers share, which file systems over a network do not have, or only pretend to. */
#ifndef SQL_FILESYSTEM_H
#define SQL_FILESYSTEM_H
#include <stdbool.h>
#include <stddef.h>

enum { FILESYSTEM_NAME = 64 }; /* room for a name and its NUL */

/* The file system that `path` lies on, by the text of /proc/self/mountinfo (proc(5)). The path is absolute,
 * without "." and links, and need not exist. "" when the text does not tell. */
void filesystem_by_mounts(const char *mountinfo, const char *path, char name[FILESYSTEM_NAME]);

/* The same as this machine has it, for any path; of one that does not exist, its folder's. The environment
 * variable MOESCOPE_FILESYSTEM, where it is set, is believed instead. */
void filesystem_of(const char *path, char name[FILESYSTEM_NAME]);

/* Whether a file system of that name may be shared between machines. Of a FUSE that is not known to be local
 * it is assumed: WAL there could cost the logbook, going without it costs speed. */
bool filesystem_is_remote(const char *name);

#endif
