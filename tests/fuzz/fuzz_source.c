/* Folders of text: any bytes as a document and as labels.tsv. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/source.h"
#include "tests/fuzz/fuzz.h"

static void open_folder(void)
{
    fuzz_require(mkdir(fuzz_file("text"), 0777) == 0 && mkdir(fuzz_file("text/c"), 0777) == 0,
                 "a folder is made");
    fuzz_write("text/c/a.txt", "one", 3);
    fuzz_write("text/c/b.txt", "two", 3);
}

static void run(const uint8_t *bytes, size_t n)
{
    struct fuzz_input in = {bytes, n};
    struct source s;
    struct error err;
    int64_t most = fuzz_byte(&in);
    size_t length = fuzz_number(&in, 2);
    length = length < in.n ? length : in.n;
    fuzz_write("text/labels.tsv", in.bytes, length);
    fuzz_write("text/c/c.txt", in.bytes + length, in.n - length);
    if (source_read(&s, fuzz_file("text"), most, &err) == 0) {
        source_split(&s, 1, 1, 1, NULL);
        source_release(&s);
    }
}

static void seed(struct fuzz_seeds *s)
{
    static const char text[] =
        "\100\60\0c\tlanguage=c\tgenre=code\nc/c.txt\ttopic=x y\tz=\\t\n# none\nA line.\n"
        "Another \xC3\xA9\xE2\x96\x81.\n\fThe second document\n\f\fthe last";
    fuzz_seeds_add(s, text, sizeof text - 1);
}

static const char *const words[] = {"c/c.txt#2",    "\t",           "=",    "\f",
                                    "\xE2\x96\x81", "\xEF\xBB\xBF", "\r\n", NULL};

const struct fuzz_target fuzz_source = {
    .name = "source", .most = 4096, .open = open_folder, .seed = seed, .run = run, .words = words};
