/* How fast the logs of other engines are looked through and imported, beside how fast this machine reads the
 * same file and does nothing with it: Megatron's JSON lines, and chosen experts as an .npy. */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/options.h"
#include "base/progress.h"
#include "base/random.h"
#include "bench/shared/figures.h"

struct arguments {
    int64_t decisions, layers, experts, k, tokens;
    bool keep;
    const char *folder, *bin, *format, *json;
};
static struct arguments args = {.decisions = 100000000,
                                .layers = 48,
                                .experts = 128,
                                .k = 8,
                                .tokens = 4096,
                                .folder = "build/bench",
                                .bin = "bin",
                                .format = "table"};

static const struct option_spec options[] = {
    {"decisions", 0, OPTION_INT, &args.decisions, "N", "decisions of each file (default 100000000)"},
    {"layers", 0, OPTION_INT, &args.layers, "N", "default 48"},
    {"experts", 0, OPTION_INT, &args.experts, "N", "default 128"},
    {"k", 0, OPTION_INT, &args.k, "N", "experts a token (default 8)"},
    {"tokens", 0, OPTION_INT, &args.tokens, "N", "tokens of a micro-batch (default 4096)"},
    {"folder", 0, OPTION_STRING, &args.folder, "FOLDER", "where the files are made (default build/bench)"},
    {"bin", 0, OPTION_STRING, &args.bin, "FOLDER", "where the programs are (default bin)"},
    {"keep", 0, OPTION_FLAG, &args.keep, NULL, "keep the files"},
    {"format", 0, OPTION_STRING, &args.format, "FORMAT", "table, csv, json"},
    {"json", 0, OPTION_STRING, &args.json, "FILE", "the same as JSON, in a file"},
    {0},
};

static const struct program program = {
    .verb = "bench-import",
    .operands = "",
    .purpose = "measure moescope import and doctor against reading the same file",
    .details = "share_of_read is the rate by that of reading the file from the page cache in blocks of 1 "
               "MiB. Peak memory "
               "is the program's, resident.",
    .examples = "bench/import\nbench/import --decisions 10000000 --format json",
    .options = options,
};

enum { BLOCK = 1 << 20, NUMBER = 8 };

struct bench {
    struct figures figures;
    int64_t steps, decisions;
    char path[4096], logbook[4096];
};

/* ---- files ---- */

struct sink {
    FILE *file;
    char *block;
    size_t n;
};

static void flush(struct sink *s)
{
    fwrite(s->block, 1, s->n, s->file);
    s->n = 0;
}

static char *room(struct sink *s, size_t n)
{
    if (s->n + n > BLOCK) {
        flush(s);
    }
    return s->block + s->n;
}

static void put_text(struct sink *s, const char *text)
{
    size_t n = strlen(text);
    memcpy(room(s, n), text, n);
    s->n += n;
}

static void put_number(struct sink *s, uint32_t value)
{
    char digits[NUMBER], *at = digits + NUMBER, *to = room(s, NUMBER);
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    memcpy(to, at, (size_t)(digits + NUMBER - at));
    s->n += (size_t)(digits + NUMBER - at);
}

/* Slot i of a token: distinct for the slots of one, in no order of ids. */
static uint32_t expert_at(uint64_t token, int slot)
{
    uint64_t stride = 2 * (token >> 32 & 0xff) + 1;
    return (uint32_t)((token + stride * (uint64_t)slot) % (uint64_t)args.experts);
}

static void put_rows(struct sink *s, struct random *r)
{
    for (int64_t t = 0; t < args.tokens; t++) {
        uint64_t token = random_bits(r);
        put_text(s, t > 0 ? ", [" : "[");
        for (int i = 0; i < args.k; i++) {
            if (i > 0) {
                put_text(s, ", ");
            }
            put_number(s, expert_at(token, i));
        }
        put_text(s, "]");
    }
}

static void write_jsonl(const struct bench *b, struct sink *s, struct random *r)
{
    char head[256];
    for (int64_t step = 0; step < b->steps; step++) {
        for (int64_t layer = 0; layer < args.layers; layer++) {
            snprintf(head, sizeof head,
                     "{\"step\": %lld, \"stage\": \"pre_dispatch\", \"block\": \"decoder\", \"layer\": %lld, "
                     "\"rank\": 0, "
                     "\"num_tokens\": %lld, \"topk\": %lld, \"top_indices\": [",
                     (long long)step, (long long)layer, (long long)args.tokens, (long long)args.k);
            put_text(s, head);
            put_rows(s, r);
            put_text(s, "]}\n");
        }
    }
}

static void write_npy(const struct bench *b, struct sink *s, struct random *r)
{
    char head[128];
    int64_t tokens = b->steps * args.tokens;
    int n =
        snprintf(head, sizeof head, "{'descr': '<i2', 'fortran_order': False, 'shape': (%lld, %lld, %lld), }",
                 (long long)tokens, (long long)args.layers, (long long)args.k);
    while ((n + 11) % 64 != 0) {
        head[n++] = ' ';
    }
    const char magic[] = {'\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0, (char)(n + 1), 0};
    memcpy(room(s, sizeof magic), magic, sizeof magic);
    s->n += sizeof magic;
    head[n] = '\0';
    put_text(s, head);
    put_text(s, "\n");
    for (int64_t row = 0; row < tokens * args.layers; row++) {
        uint64_t token = random_bits(r);
        for (int i = 0; i < args.k; i++) {
            uint32_t e = expert_at(token, i);
            char *to = room(s, 2);
            to[0] = (char)e;
            to[1] = (char)(e >> 8);
            s->n += 2;
        }
    }
}

static int write_file(const struct bench *b,
                      void (*write)(const struct bench *, struct sink *, struct random *), struct error *err)
{
    struct random r;
    struct sink s = {.file = fopen(b->path, "wb"), .block = malloc(BLOCK)};
    random_seed(&r, 1, 0);
    if (s.file == NULL || s.block == NULL) {
        free(s.block);
        return s.file == NULL ? error_output(err, "create", b->path) : error_no_memory(err, "a block");
    }
    write(b, &s, &r);
    flush(&s);
    free(s.block);
    bool failed = ferror(s.file) != 0;
    return fclose(s.file) != 0 || failed ? error_output(err, "write", b->path) : 0;
}

/* ---- measuring ---- */

static int read_plainly(const struct bench *b, double *seconds, struct error *err)
{
    static char block[BLOCK];
    int file = open(b->path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 1;
    double start = clock_seconds();
    while (file >= 0 && n > 0) {
        n = read(file, block, sizeof block);
    }
    *seconds = clock_seconds() - start;
    if (file < 0 || n < 0) {
        return error_errno(err, "read", b->path);
    }
    close(file);
    return 0;
}

static void become(const struct bench *b, const char *verb, const char *name)
{
    int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(nothing, 1);
    dup2(nothing, 2);
    if (strcmp(verb, "doctor") == 0) {
        execl(name, name, b->path, (char *)NULL);
    } else {
        execl(name, name, b->logbook, "--name", "a", "-q", b->path, (char *)NULL);
    }
    _exit(127);
}

struct cost {
    double seconds, processor, memory; /* processor: seconds of all threads; memory: bytes, its peak */
};

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

/* Runs the program to its end. */
static int measure(const struct bench *b, const char *verb, struct cost *cost, struct error *err)
{
    char name[4096];
    struct rusage usage;
    int status;
    snprintf(name, sizeof name, "%s/moescope-%s", args.bin, verb);
    double start = clock_seconds();
    pid_t child = fork();
    if (child == 0) {
        become(b, verb, name);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) != child) {
        return error_errno(err, "run", name);
    }
    cost->seconds = clock_seconds() - start;
    cost->processor = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
    cost->memory = 1024.0 * (double)usage.ru_maxrss;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? 0
               : error_set(err, STATUS_MACHINE, "'%s' failed on '%s'", name, b->path);
}

static void tell(struct bench *b, const char *input, const char *what, const struct cost *cost,
                 double read_seconds, double bytes)
{
    struct stat s;
    figures_text(&b->figures, input);
    figures_text(&b->figures, what);
    figures_real(&b->figures, cost->seconds);
    figures_real(&b->figures, cost->processor);
    figures_real(&b->figures, (double)b->decisions / cost->seconds * 1e-6);
    figures_real(&b->figures, stat(b->path, &s) == 0 ? (double)s.st_size / cost->seconds * 1e-6 : NAN);
    figures_real(&b->figures, read_seconds / cost->seconds);
    figures_real(&b->figures, cost->memory * 1e-6);
    figures_real(&b->figures, bytes);
}

static int measure_file(struct bench *b, const char *input, struct error *err)
{
    struct cost cost = {NAN, NAN, NAN};
    double read_seconds = NAN;
    struct stat s;
    for (int i = 0; i < 2; i++) { /* the first time it may come from the disk */
        if (read_plainly(b, &read_seconds, err) != 0) {
            return -1;
        }
    }
    cost.seconds = read_seconds;
    tell(b, input, "read", &cost, read_seconds, NAN);
    if (measure(b, "doctor", &cost, err) != 0) {
        return -1;
    }
    tell(b, input, "doctor", &cost, read_seconds, NAN);
    unlink(b->logbook);
    if (measure(b, "import", &cost, err) != 0) {
        return -1;
    }
    double bytes = stat(b->logbook, &s) == 0 ? (double)s.st_size / (double)b->decisions : NAN;
    tell(b, input, "import", &cost, read_seconds, bytes);
    return 0;
}

static int bench_file(struct bench *b, const char *input,
                      void (*write)(const struct bench *, struct sink *, struct random *), struct error *err)
{
    snprintf(b->path, sizeof b->path, "%s/import.%s", args.folder, input);
    int result = write_file(b, write, err);
    if (result == 0) {
        result = measure_file(b, input, err);
    }
    if (!args.keep) {
        unlink(b->path);
        unlink(b->logbook);
    }
    return result;
}

static int run(struct bench *b, FILE *out, struct error *err)
{
    static const char *const columns[] = {
        "input",       "measure",       "seconds",        "processor_seconds", "million_decisions_a_second",
        "mb_a_second", "share_of_read", "peak_megabytes", "bytes_a_decision"};
    if (args.decisions < 1 || args.layers < 1 || args.layers > 900 || args.k < 1 || args.experts < args.k ||
        args.experts > 65536 || args.tokens < 1 || args.tokens > 65536) {
        return error_set(err, STATUS_USAGE,
                         "there must be decisions, layers, tokens, and no more choices than experts");
    }
    int64_t of_step = args.layers * args.tokens * args.k;
    b->steps = (args.decisions + of_step - 1) / of_step;
    b->decisions = b->steps * of_step;
    snprintf(b->logbook, sizeof b->logbook, "%s/import.db", args.folder);
    if (file_make_folder(args.folder, err) != 0 ||
        figures_open(&b->figures, out, args.format, args.json, "import", columns, 9, err) != 0) {
        return -1;
    }
    int result = bench_file(b, "jsonl", write_jsonl, err);
    if (result == 0) {
        result = bench_file(b, "npy", write_npy, err);
    }
    return figures_close(&b->figures, result, err);
}

static int body(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    (void)operands;
    (void)n_operands;
    return run(context, out, err);
}

int main(int argc, char **argv)
{
    struct bench b = {.steps = 0};
    return program_main(&program, argc, argv, NULL, body, &b);
}
