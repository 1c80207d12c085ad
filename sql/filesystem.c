#include "sql/filesystem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

/* ---- /proc/self/mountinfo ---- */

struct mount {
    long id, parent;
    char *point;
    const char *type;
};

struct mounts {
    char *text; /* a copy of the mountinfo, cut into strings */
    struct mount *items;
    size_t n;
};

/* Space, tab, newline and backslash are written as \040 and the like. */
static void unescape(char *s)
{
    char *to = s;
    for (; *s != '\0'; s++) {
        if (s[0] == '\\' && strspn(s + 1, "01234567") >= 3) {
            *to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 3;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
}

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw": id, parent, device, root, mount point,
 * options, any number of tags, a dash, type, source, options. False for a line that is none. */
static bool read_mount(char *line, struct mount *m)
{
    enum { ID, PARENT, POINT = 4, LEAST = 6 };
    char *word, *rest = NULL;
    int i = 0;
    *m = (struct mount){0};
    for (word = strtok_r(line, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest), i++) {
        if (i == ID) {
            m->id = strtol(word, NULL, 10);
        } else if (i == PARENT) {
            m->parent = strtol(word, NULL, 10);
        } else if (i == POINT) {
            m->point = word;
        } else if (i >= LEAST && strcmp(word, "-") == 0) {
            m->type = strtok_r(NULL, " ", &rest);
            break;
        }
    }
    if (m->type == NULL) {
        return false;
    }
    unescape(m->point);
    return true;
}

static void mounts_release(struct mounts *mounts)
{
    free(mounts->text);
    free(mounts->items);
}

/* What memory is too short for is not there. */
static void read_mounts(struct mounts *mounts, const char *mountinfo)
{
    size_t lines = 1;
    char *line, *rest = NULL;
    for (const char *c = mountinfo; *c != '\0'; c++) {
        lines += *c == '\n';
    }
    *mounts = (struct mounts){.text = strdup(mountinfo), .items = malloc(lines * sizeof *mounts->items)};
    if (mounts->text == NULL || mounts->items == NULL) {
        return;
    }
    for (line = strtok_r(mounts->text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        mounts->n += read_mount(line, &mounts->items[mounts->n]);
    }
}

static const struct mount *find_id(const struct mounts *mounts, long id)
{
    for (size_t i = 0; i < mounts->n; i++) {
        if (mounts->items[i].id == id) {
            return &mounts->items[i];
        }
    }
    return NULL;
}

/* The root of all that is seen: its parent is outside, or itself. */
static const struct mount *find_root(const struct mounts *mounts)
{
    for (size_t i = 0; i < mounts->n; i++) {
        const struct mount *m = &mounts->items[i];
        if (strcmp(m->point, "/") == 0 && (m->parent == m->id || find_id(mounts, m->parent) == NULL)) {
            return m;
        }
    }
    return NULL;
}

static bool lies_in(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strcmp(folder, "/") == 0 || (strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0'));
}

/* Where the way to `path` leaves the mount `in`: the first mount point that it meets. What is mounted over
 * the root of `in` itself is met first of all. NULL: the path ends in this mount. */
static const struct mount *next_mount(const struct mounts *mounts, const struct mount *in, const char *path)
{
    const struct mount *next = NULL;
    for (size_t i = 0; i < mounts->n; i++) {
        const struct mount *m = &mounts->items[i];
        if (m->parent == in->id && m != in && lies_in(path, m->point) &&
            (next == NULL || strlen(m->point) < strlen(next->point))) {
            next = m;
        }
    }
    return next;
}

/* The kernel's own walk, from the root down: the longest mount point alone would find mounts that a later one
 * higher up has hidden. */
void filesystem_by_mounts(const char *mountinfo, const char *path, char name[FILESYSTEM_NAME])
{
    struct mounts mounts;
    const struct mount *next;
    name[0] = '\0';
    read_mounts(&mounts, mountinfo);
    const struct mount *at = find_root(&mounts);
    for (size_t steps = 0; at != NULL && steps <= mounts.n; steps++) { /* no text makes it go in circles */
        next = next_mount(&mounts, at, path);
        if (next == NULL) {
            snprintf(name, FILESYSTEM_NAME, "%s", at->type);
            break;
        }
        at = next;
    }
    mounts_release(&mounts);
}

/* ---- this machine ---- */

/* The path with all links followed; of a file that is not there yet, its folder's. Caller frees. */
static char *resolve(const char *path)
{
    char *whole = realpath(path, NULL), *copy = whole == NULL ? strdup(path) : NULL;
    if (copy != NULL) {
        char *slash = strrchr(copy, '/');
        if (slash != NULL) {
            slash[slash == copy] = '\0';
        }
        whole = realpath(slash != NULL ? copy : ".", NULL);
        free(copy);
    }
    return whole;
}

void filesystem_of(const char *path, char name[FILESYSTEM_NAME])
{
    const char *told = getenv("MOESCOPE_FILESYSTEM");
    char *mountinfo = NULL, *whole = NULL;
    size_t n;
    name[0] = '\0';
    if (told != NULL && *told != '\0') {
        snprintf(name, FILESYSTEM_NAME, "%s", told);
        return;
    }
    whole = resolve(path);
    if (whole != NULL && file_read("/proc/self/mountinfo", &mountinfo, &n, NULL) == 0) {
        filesystem_by_mounts(mountinfo, whole, name);
    }
    free(mountinfo);
    free(whole);
}

/* ---- names ---- */

static bool is_among(const char *name, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (strcmp(name, *names) == 0) {
            return true;
        }
    }
    return false;
}

bool filesystem_is_remote(const char *name)
{
    /* clang-format off */
    static const char *const remote[] = {
        "nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncp", "ncpfs", "afs", "coda", "9p", /* servers */
        "lustre", "lustre_lite", "beegfs", "beegfs_nodev", "fhgfs", "ceph", "gpfs", "glusterfs", /* clusters */
        "orangefs", "pvfs2", "panfs", "wekafs", "quobyte", "acfs", "cvfs", "dvs", "infinidat", "vastnfs",
        "ocfs2", "gfs", "gfs2", /* one disk, many machines */
        "vboxsf", "vmhgfs", "virtiofs", "prl_fs", "drvfs", "fakeowner", /* of a virtual machine's host */
        "davfs", "fuse", NULL,
    };
    static const char *const local[] = { /* FUSE in front of a disk of this machine */
        "fuse.fuse-overlayfs", "fuse.gocryptfs", "fuse.encfs", "fuse.ntfs", "fuse.ntfs-3g", "fuse.exfat", NULL,
    };
    /* clang-format on */
    return is_among(name, remote) || (strncmp(name, "fuse.", 5) == 0 && !is_among(name, local));
}
