/* base/file.h: files in, files out whole or not at all, hashes. */
#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support.h"

/* Every test works in a new folder, the one in *state, and names files without a path. */
static int enter_folder(void **state)
{
    *state = test_folder();
    return chdir(*state);
}

static int leave_folder(void **state)
{
    int result = chdir("/");
    test_folder_remove(*state);
    return result;
}

static int count_files(const char *folder)
{
    DIR *d = opendir(folder);
    int n = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void check_content(const char *path, const char *expected)
{
    char *bytes = NULL;
    size_t n = 0;
    struct error err;
    assert_int_equal(file_read(path, &bytes, &n, &err), 0);
    assert_string_equal(bytes, expected);
    assert_int_equal(n, strlen(expected));
    free(bytes);
}

static void test_read(void **state)
{
    char *bytes = NULL;
    size_t n = 0;
    struct error err;
    test_write(*state, "some", "a\0b\n", 4);
    assert_int_equal(file_read("some", &bytes, &n, &err), 0);
    assert_int_equal(n, 4);
    assert_memory_equal(bytes, "a\0b\n", 5); /* and the NUL behind it */
    free(bytes);
    test_write(*state, "empty", "", 0);
    check_content("empty", "");
}

/* No size is known beforehand, and the text is longer than the first buffer. */
static void test_read_without_size(void **state)
{
    char *bytes = NULL, big[20000];
    size_t n = 0;
    struct error err;
    (void)state;
    int ends[2];
    memset(big, 'x', sizeof big);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], big, sizeof big), sizeof big);
    close(ends[1]);
    char path[32];
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    assert_int_equal(file_read(path, &bytes, &n, &err), 0);
    assert_int_equal(n, sizeof big);
    assert_memory_equal(bytes, big, n);
    free(bytes);
    close(ends[0]);
}

static void test_read_errors(void **state)
{
    (void)state;
    char *bytes = NULL, hex[SHA256_HEX];
    size_t n = 0;
    struct error err;
    assert_int_equal(file_read("absent", &bytes, &n, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_string_equal(err.text, "cannot open 'absent': no such file or directory");
    assert_int_equal(file_read(".", &bytes, &n, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_string_equal(err.text, "cannot open '.': is a directory");
    assert_int_equal(sha256_file("absent", hex, &err), -1);
    assert_string_equal(err.text, "cannot open 'absent': no such file or directory");
    assert_null(bytes);
}

/* The old content stays readable until the commit, and nothing else is left behind after it. */
static void test_commit(void **state)
{
    struct output o;
    struct error err;
    test_write(*state, "out", "old", 3);
    assert_int_equal(output_open(&o, "out", &err), 0);
    fputs("new and longer", o.stream);
    fflush(o.stream);
    check_content("out", "old");
    assert_int_equal(count_files("."), 2);
    assert_int_equal(output_commit(&o, &err), 0);
    check_content("out", "new and longer");
    assert_int_equal(count_files("."), 1);
    output_discard(&o); /* harmless */
    assert_int_equal(output_commit(&o, &err), 0);
    check_content("out", "new and longer");
}

static void test_discard(void **state)
{
    struct output o;
    struct error err;
    test_write(*state, "out", "old", 3);
    assert_int_equal(output_open(&o, "out", &err), 0);
    fputs("half of the n", o.stream);
    output_discard(&o);
    check_content("out", "old");
    assert_int_equal(count_files("."), 1);
    assert_int_equal(output_open(&o, "fresh", &err), 0);
    fputs("x", o.stream);
    assert_false(file_exists("fresh"));
    output_discard(&o);
    assert_false(file_exists("fresh"));
}

/* Readable to whom the umask allows, not to the owner alone. */
static void test_mode_follows_umask(void **state)
{
    (void)state;
    struct output o;
    struct error err;
    struct stat info;
    mode_t kept = umask(022);
    assert_int_equal(output_open(&o, "out", &err), 0);
    assert_int_equal(output_commit(&o, &err), 0);
    umask(kept);
    assert_int_equal(stat("out", &info), 0);
    assert_int_equal(info.st_mode & 0777, 0644);
}

static void test_two_at_once(void **state)
{
    (void)state;
    struct output a, b;
    struct error err;
    assert_int_equal(output_open(&a, "out", &err), 0);
    assert_int_equal(output_open(&b, "out", &err), 0);
    fputs("a", a.stream);
    fputs("b", b.stream);
    assert_int_equal(output_commit(&a, &err), 0);
    check_content("out", "a");
    assert_int_equal(output_commit(&b, &err), 0);
    check_content("out", "b");
    assert_int_equal(count_files("."), 1);
}

static void test_link_stays_a_link(void **state)
{
    struct output o;
    struct error err;
    struct stat info;
    test_write(*state, "file", "old", 3);
    assert_int_equal(symlink("file", "link"), 0);
    assert_int_equal(output_open(&o, "link", &err), 0);
    fputs("new", o.stream);
    assert_int_equal(output_commit(&o, &err), 0);
    assert_int_equal(lstat("link", &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    check_content("file", "new");
}

/* A rename would put a plain file in its place. Never tried on a real device: should the code be wrong, a
 * test run by root would destroy it. */
static void test_special_files_are_written_in_place(void **state)
{
    (void)state;
    struct output o;
    struct error err;
    struct stat info;
    char said[16] = "";
    assert_int_equal(mkfifo("fifo", 0600), 0);
    int reader = open("fifo", O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    assert_int_equal(output_open(&o, "fifo", &err), 0);
    assert_int_equal(count_files("."), 1);
    fputs("through", o.stream);
    assert_int_equal(output_commit(&o, &err), 0);
    assert_int_equal(read(reader, said, sizeof said - 1), 7);
    assert_string_equal(said, "through");
    close(reader);
    assert_int_equal(stat("fifo", &info), 0);
    assert_true(S_ISFIFO(info.st_mode));
}

/* As in `-o /dev/stdout | less`. */
static void test_pipes_are_written_in_place(void **state)
{
    (void)state;
    struct output o;
    struct error err;
    char path[32], said[16] = "";
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[1]);
    assert_int_equal(output_open(&o, path, &err), 0);
    fputs("through", o.stream);
    assert_int_equal(output_commit(&o, &err), 0);
    assert_int_equal(read(ends[0], said, sizeof said - 1), 7);
    assert_string_equal(said, "through");
    close(ends[0]);
    close(ends[1]);
}

static void check_refused(const char *path, const char *reason)
{
    struct output o;
    struct error err;
    char expected[256];
    snprintf(expected, sizeof expected, "cannot write '%s': %s", path, reason);
    assert_int_equal(output_open(&o, path, &err), -1);
    assert_int_equal(err.status, STATUS_MACHINE);
    assert_string_equal(err.text, expected);
    output_discard(&o);
}

static void test_unwritable(void **state)
{
    test_write(*state, "file", "x", 1);
    assert_int_equal(mkdir("folder", 0777), 0);
    check_refused("absent/out", "no such file or directory");
    check_refused("file/out", "not a directory");
    check_refused("folder", "is a directory");
    check_refused("", "no such file or directory");
}

/* Root may write everywhere, so the test goes on as nobody if it was started as root. */
static void test_folder_without_permission(void **state)
{
    (void)state;
    assert_int_equal(chmod(*state, 0755), 0);
    assert_int_equal(mkdir("closed", 0555), 0);
    bool root = geteuid() == 0;
    if (root)
        assert_int_equal(seteuid(65534), 0);
    check_refused("closed/out", "permission denied");
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(count_files("closed"), 0);
}

/* Lets an open output write to /dev/full, which takes no byte: the disk fills up. Done by its descriptor, so
 * that no path of ours ever names the device. */
static void fill_disk(struct output *o)
{
    int full = open("/dev/full", O_WRONLY);
    assert_true(full >= 0);
    assert_true(dup2(full, fileno(o->stream)) >= 0);
    close(full);
}

static void test_disk_full(void **state)
{
    struct output o;
    struct error err;
    test_write(*state, "out", "old", 3);
    assert_int_equal(output_open(&o, "out", &err), 0);
    fill_disk(&o);
    fputs("too much", o.stream);
    assert_int_equal(output_commit(&o, &err), -1);
    assert_int_equal(err.status, STATUS_MACHINE);
    assert_string_equal(err.text, "cannot write 'out': no space left on device; make room");
    assert_null(o.stream);
    check_content("out", "old");
    assert_int_equal(count_files("."), 1);
}

/* A write that failed before the commit is not forgotten, though nothing is pending any more. */
static void test_earlier_failure(void **state)
{
    test_write(*state, "out", "old", 3);
    struct output o;
    struct error err;
    assert_int_equal(output_open(&o, "out", &err), 0);
    assert_int_equal(setvbuf(o.stream, NULL, _IONBF, 0), 0);
    fill_disk(&o);
    fputs("too much", o.stream);
    assert_int_equal(output_commit(&o, &err), -1);
    assert_int_equal(err.status, STATUS_MACHINE);
    assert_string_equal(err.text, "cannot write 'out': input/output error");
    check_content("out", "old");
}

/* The target turns into a folder meanwhile: the rename fails, and the unfinished file goes. */
static void test_failed_rename(void **state)
{
    (void)state;
    struct output o;
    struct error err;
    assert_int_equal(output_open(&o, "out", &err), 0);
    fputs("x", o.stream);
    assert_int_equal(mkdir("out", 0777), 0);
    assert_int_equal(output_commit(&o, &err), -1);
    assert_string_equal(err.text, "cannot write 'out': is a directory");
    assert_int_equal(count_files("."), 1);
}

static void test_stdout(void **state)
{
    (void)state;
    struct output o;
    struct error err;
    assert_int_equal(output_open(&o, NULL, &err), 0);
    assert_ptr_equal(o.stream, stdout);
    assert_int_equal(output_commit(&o, &err), 0);
    output_discard(&o);
    assert_true(fprintf(stdout, "%s", "") == 0); /* still open */
    assert_int_equal(fflush(stdout), 0);
}

static void test_make_folder(void **state)
{
    struct error err;
    assert_int_equal(file_make_folder("a/b//c/", &err), 0);
    assert_true(file_exists("a/b/c"));
    assert_int_equal(file_make_folder("a/b", &err), 0); /* there already */
    assert_int_equal(file_make_folder("/", &err), 0);
    test_write(*state, "file", "x", 1);
    assert_int_equal(file_make_folder("file", &err), -1);
    assert_string_equal(err.text, "cannot make the folder 'file': not a directory");
    assert_int_equal(err.status, STATUS_MACHINE);
    assert_int_equal(file_make_folder("file/below", &err), -1);
    assert_false(file_exists("absent"));
}

/* FIPS 180-4's examples of SHA-256 (one block, two blocks), the empty message, and a million times 'a'. */
static const char of_abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char of_two_blocks[] = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";
static const char of_nothing[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
static const char of_million[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";

static void test_sha256(void **state)
{
    (void)state;
    char hex[SHA256_HEX];
    sha256_bytes("abc", 3, hex);
    assert_string_equal(hex, of_abc);
    sha256_bytes(two_blocks, strlen(two_blocks), hex);
    assert_string_equal(hex, of_two_blocks);
    sha256_bytes("", 0, hex);
    assert_string_equal(hex, of_nothing);
}

static void test_sha256_in_pieces(void **state)
{
    (void)state;
    char hex[SHA256_HEX], piece[1000];
    struct sha256 s;
    memset(piece, 'a', sizeof piece);
    sha256_start(&s);
    for (int i = 0; i < 1000; i++)
        sha256_add(&s, piece, sizeof piece);
    sha256_finish(&s, hex);
    assert_string_equal(hex, of_million);
    sha256_start(&s);
    sha256_add(&s, two_blocks, 1);
    sha256_add(&s, two_blocks + 1, 0);
    sha256_add(&s, two_blocks + 1, strlen(two_blocks) - 1);
    sha256_finish(&s, hex);
    assert_string_equal(hex, of_two_blocks);
}

static void test_sha256_of_file(void **state)
{
    char hex[SHA256_HEX];
    struct error err;
    char *million = malloc(1000000);
    assert_non_null(million);
    memset(million, 'a', 1000000);
    test_write(*state, "million", million, 1000000);
    free(million);
    assert_int_equal(sha256_file("million", hex, &err), 0);
    assert_string_equal(hex, of_million);
    test_write(*state, "empty", "", 0);
    assert_int_equal(sha256_file("empty", hex, &err), 0);
    assert_string_equal(hex, of_nothing);
}

/* What killed writers of the file left goes, and nothing else. */
static void test_sweep(void **state)
{
    char *folder = test_folder(), path[512];
    (void)state;
    test_write(folder, "a", "x", 1);
    test_write(folder, "a.part-1-0", "x", 1);
    test_write(folder, "a.part-77-3", "x", 1);
    test_write(folder, "a.parts", "x", 1);
    test_write(folder, "b.part-1-0", "x", 1);
    snprintf(path, sizeof path, "%s/a", folder);
    output_sweep(path);
    struct test_run r = test_run("ls '%s' && cd '%s' && ln -s a link && touch a.part-1-1", folder, folder);
    assert_string_equal(r.out, "a\na.parts\nb.part-1-0\n");
    test_run_release(&r);
    snprintf(path, sizeof path, "%s/link", folder);
    output_sweep(path); /* a link's outputs lie beside the file itself */
    snprintf(path, sizeof path, "%s/none/at/all", folder);
    output_sweep(path);
    r = test_run("ls '%s'", folder);
    assert_string_equal(r.out, "a\na.parts\nb.part-1-0\nlink\n");
    test_run_release(&r);
    test_folder_remove(folder);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_read),
        IN_FOLDER(test_read_without_size),
        IN_FOLDER(test_read_errors),
        IN_FOLDER(test_commit),
        IN_FOLDER(test_discard),
        IN_FOLDER(test_mode_follows_umask),
        IN_FOLDER(test_two_at_once),
        IN_FOLDER(test_link_stays_a_link),
        IN_FOLDER(test_special_files_are_written_in_place),
        cmocka_unit_test(test_pipes_are_written_in_place),
        IN_FOLDER(test_unwritable),
        IN_FOLDER(test_folder_without_permission),
        IN_FOLDER(test_disk_full),
        IN_FOLDER(test_earlier_failure),
        IN_FOLDER(test_failed_rename),
        cmocka_unit_test(test_stdout),
        IN_FOLDER(test_make_folder),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_sha256_in_pieces),
        IN_FOLDER(test_sha256_of_file),
        cmocka_unit_test(test_sweep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
