/* How fast the logbook takes decisions in and gives them back, beside what anybody would do first: an SQLite
 * table with a row a decision. The same decisions go into both in one run of this program, and the same
 * questions are asked of both, so that the ratios hold whatever machine it is and whatever mood it is in. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/options.h"
#include "base/progress.h"
#include "base/text.h"
#include "bench/shared/figures.h"
#include "bench/shared/synthetic.h"
#include "sql/read.h"
#include "sql/rows.h"

enum { DRAWN_STEPS = 8, DOMAINS = 4, SEQUENCE_READS = 9 };

struct arguments {
    int64_t decisions, layers, experts, k, tokens, context, gate_bits, epochs;
    bool varying, writer_only, keep, quiet;
    const char *folder, *format, *json;
};
static struct arguments args = {.decisions = 33554432,
                                .layers = 4,
                                .experts = 16,
                                .k = 2,
                                .tokens = 4096,
                                .context = 256,
                                .gate_bits = 8,
                                .epochs = 1,
                                .folder = "build/bench",
                                .format = "table"};

static const struct option_spec options[] = {
    {"decisions", 0, OPTION_INT, &args.decisions, "N", "decisions to log (default 33554432)"},
    {"layers", 0, OPTION_INT, &args.layers, "N", "default 4: the shape is that of reference model R"},
    {"experts", 0, OPTION_INT, &args.experts, "N", "default 16"},
    {"k", 0, OPTION_INT, &args.k, "N", "experts a token (default 2)"},
    {"varying", 0, OPTION_FLAG, &args.varying, NULL, "1 to k experts a token"},
    {"tokens", 0, OPTION_INT, &args.tokens, "N", "tokens a step (default 4096)"},
    {"context", 0, OPTION_INT, &args.context, "N", "tokens a sequence (default 256)"},
    {"gate-bits", 0, OPTION_INT, &args.gate_bits, "N", "8 (default) or 16"},
    {"epochs", 0, OPTION_INT, &args.epochs, "N",
     "how often every text is seen (default 1: all of it is new)"},
    {"writer-only", 0, OPTION_FLAG, &args.writer_only, NULL, "the logbook's writer alone"},
    {"folder", 0, OPTION_STRING, &args.folder, "FOLDER", "where the files are made (default build/bench)"},
    {"keep", 0, OPTION_FLAG, &args.keep, NULL, "keep the files"},
    {"quiet", 'q', OPTION_FLAG, &args.quiet, NULL, "no progress"},
    {"format", 0, OPTION_STRING, &args.format, "FORMAT", "table, csv, json"},
    {"json", 0, OPTION_STRING, &args.json, "FILE", "the same as JSON, in a file"},
    {0},
};

static const struct program program = {
    .verb = "bench-logbook",
    .operands = "",
    .purpose = "measure the logbook against a plain table with a row a decision",
    .details =
        "times_better: the logbook's rate by the plain table's, or the plain table's cost by the logbook's.",
    .examples = "bench/logbook\nbench/logbook --writer-only --layers 8 --experts 64 --k 8\n"
                "bench/logbook --decisions 1000000 --format json",
    .options = options,
};

struct bench {
    struct synthetic synthetic;
    int64_t steps, decisions, run_id;
    char *logbook, *rows; /* paths */
    double packing;       /* seconds in the calls that add to a batch */
    struct figures figures;
    struct progress progress;
};

/* ---- results ---- */

/* One line of the table; NaN: not measured, or not to be compared. */
static void tell(struct bench *b, const char *measure, const char *unit, double logbook, double rows,
                 bool is_cost)
{
    figures_text(&b->figures, measure);
    figures_text(&b->figures, unit);
    figures_real(&b->figures, logbook);
    figures_real(&b->figures, rows);
    figures_real(&b->figures, is_cost ? rows / logbook : logbook / rows);
}

static double millions(const struct bench *b, double seconds)
{
    return (double)b->decisions / seconds * 1e-6;
}

static double bytes_per_decision(const struct bench *b, const char *path)
{
    struct stat file;

    return stat(path, &file) == 0 ? (double)file.st_size / (double)b->decisions : NAN;
}

/* ---- writing ---- */

static int write_steps(struct bench *b, struct logbook *lb, struct error *err)
{
    const struct moescope_writer_options writing = {.gate_bits = (int)args.gate_bits};
    struct moescope_writer *writer = NULL;
    int result = 0;

    if (moescope_writer_open(&writer, lb, b->run_id, &writing, err))
        return -1;
    for (int64_t step = 0; step < b->steps && result == 0; step++) {
        struct moescope_batch *batch = moescope_batch_new(writer, err);
        double start = clock_seconds();
        if (!batch) {
            result = -1;
            break;
        }
        synthetic_add_step(&b->synthetic, batch, step);
        b->packing += clock_seconds() - start;
        result = moescope_batch_commit(batch, err);
        progress_update(&b->progress, step + 1, "logbook");
    }
    if (moescope_writer_close(writer, result ? NULL : err))
        result = -1;
    return result;
}

/* Of all threads: what other programs on the machine do falls out of it. */
static double processor_seconds(void)
{
    struct timespec t;

    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0 ? (double)t.tv_sec + 1e-9 * (double)t.tv_nsec
                                                            : NAN;
}

struct cost {
    double seconds, processor;
};

static struct cost cost_since(struct cost start)
{
    return (struct cost){clock_seconds() - start.seconds, processor_seconds() - start.processor};
}

static struct cost cost_now(void)
{
    return (struct cost){clock_seconds(), processor_seconds()};
}

/* From the first batch to the closed file. */
static int write_logbook(struct bench *b, struct cost *cost, struct error *err)
{
    struct logbook *lb = NULL;
    int result = -1;

    if (moescope_open(&lb, b->logbook, err))
        return -1;
    if (synthetic_add_corpus(&b->synthetic, lb, err) == 0 &&
        synthetic_begin_run(&b->synthetic, lb, "bench", 0, &b->run_id, err) == 0) {
        struct cost start = cost_now();
        result = write_steps(b, lb, err);
        if (result == 0)
            result = moescope_end_run(lb, b->run_id, "finished", err);
        moescope_close(lb);
        *cost = cost_since(start);
    } else {
        moescope_close(lb);
    }
    return result;
}

static int write_row_step(struct bench *b, struct rows *rows, int64_t step, struct error *err)
{
    const struct synthetic_shape *shape = &b->synthetic.shape;

    for (int lane = 0; lane < b->synthetic.n_lanes; lane++) {
        const struct rows_sequence sequence = {
            .run_id = b->run_id,
            .step = step,
            .sequence_id = step * b->synthetic.n_lanes + lane + 1,
            .domain_id = b->synthetic.domain_ids[lane],
        };
        if (rows_add_sequence(rows, &sequence, err))
            return -1;
        for (int l = 0; l < shape->layers; l++) {
            const struct synthetic_layer *layer = synthetic_layer(&b->synthetic, step, l);
            const int32_t *offsets = layer->offsets + (ptrdiff_t)lane * shape->context;
            const struct rows_block block = {.layer = l,
                                             .n_tokens = shape->context,
                                             .offsets = offsets,
                                             .expert = layer->expert + offsets[0],
                                             .gate = layer->gate + offsets[0]};
            if (rows_add_block(rows, &sequence, &block, err))
                return -1;
        }
    }
    return 0;
}

static int write_row_steps(struct bench *b, struct rows *rows, struct error *err)
{
    for (int64_t step = 0; step < b->steps; step++) {
        if (rows_begin(rows, err) || write_row_step(b, rows, step, err) || rows_commit(rows, err))
            return -1;
        progress_update(&b->progress, step + 1, "rows");
    }
    return 0;
}

static int write_rows(struct bench *b, struct cost *cost, struct error *err)
{
    struct rows *rows;
    char name[32];
    int result = 0;

    if (rows_open(&rows, b->rows, err))
        return -1;
    for (int d = 0; d < DOMAINS && result == 0; d++) {
        snprintf(name, sizeof name, "domain %d", d);
        result = rows_add_domain(rows, b->synthetic.domain_ids[d], name, err);
    }
    struct cost start = cost_now();
    if (result == 0)
        result = write_row_steps(b, rows, err);
    rows_close(rows);
    *cost = cost_since(start);
    return result;
}

static int bench_writing(struct bench *b, struct error *err)
{
    struct cost logbook = {NAN, NAN}, rows = {NAN, NAN};

    progress_start(&b->progress, "writing", b->steps, 0, args.quiet);
    if (write_logbook(b, &logbook, err) || (!args.writer_only && write_rows(b, &rows, err)))
        return -1;
    progress_finish(&b->progress, "");
    tell(b, "write", "M decisions/s", millions(b, logbook.seconds), millions(b, rows.seconds), false);
    tell(b, "write, all threads", "M decisions/processor s", millions(b, logbook.processor),
         millions(b, rows.processor), false);
    tell(b, "write: packing, on the caller's thread", "M decisions/s", millions(b, b->packing), NAN, false);
    tell(b, "size", "bytes/decision", bytes_per_decision(b, b->logbook), bytes_per_decision(b, b->rows),
         true);
    return 0;
}

/* ---- questions ---- */

/* Asks, and counts the decisions that the answer speaks of: both files must say the same. */
static int ask(struct logbook *lb, const char *name, int64_t sequence, int64_t *decisions, double *seconds,
               struct error *err)
{
    struct query *q;
    double start = clock_seconds();
    int result;

    *decisions = 0;
    if (query_open(&q, lb, name, err))
        return -1;
    query_bind_int(q, ":sequence", sequence);
    while ((result = query_step(q, err)) == 1)
        *decisions += query_int(q, "decisions");
    query_close(q);
    *seconds = clock_seconds() - start;
    return result;
}

struct files { /* the same question goes to several connections */
    struct logbook *logbook, *stock, *rows;
};

static int compare(struct bench *b, const struct files *files, const char *name, const char *measure,
                   struct error *err)
{
    int64_t here, there;
    double logbook, rows;

    if (ask(files->logbook, name, 0, &here, &logbook, err) || ask(files->rows, name, 0, &there, &rows, err))
        return -1;
    if (here != there || here != b->decisions)
        return error_set(err, STATUS_INPUT,
                         "%s: the logbook tells of %lld decisions, the rows of %lld of %lld", name,
                         (long long)here, (long long)there, (long long)b->decisions);
    tell(b, measure, "M decisions/s", millions(b, logbook), millions(b, rows), false);
    return 0;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* The median time to decode one sequence, of several. */
static int read_sequences(const struct bench *b, struct logbook *lb, int reads, double *milliseconds,
                          struct error *err)
{
    double seconds[SEQUENCE_READS] = {0};
    int64_t decisions, n = b->steps * b->synthetic.n_lanes;

    for (int i = 0; i < reads; i++) {
        if (ask(lb, "bench/sequence", 1 + n * i / reads, &decisions, &seconds[i], err))
            return -1;
        if (decisions == 0)
            return error_set(err, STATUS_INPUT, "a sequence without decisions");
    }
    qsort(seconds, (size_t)reads, sizeof *seconds, by_size);
    *milliseconds = 1e3 * seconds[reads / 2];
    return 0;
}

static int bench_sequences(struct bench *b, const struct files *files, struct error *err)
{
    double logbook, stock, rows;

    if (read_sequences(b, files->logbook, SEQUENCE_READS, &logbook, err) ||
        read_sequences(b, files->stock, SEQUENCE_READS, &stock, err) ||
        read_sequences(b, files->rows, 1, &rows, err))
        return -1;
    tell(b, "one sequence, all layers", "ms", logbook, rows, true);
    tell(b, "one sequence, stock SQL view", "ms", stock, rows, true);
    return 0;
}

/* Every block decoded in C, as the analyses do; the rows have no such way. */
static int bench_decoding(struct bench *b, const struct files *files, struct error *err)
{
    const struct block_filter filter = {b->run_id, NULL, 0, INT64_MAX, -1};
    struct blocks *blocks;
    struct block block;
    int64_t decisions = 0;
    double start = clock_seconds();
    int result;

    if (blocks_open(&blocks, files->logbook, &filter, err))
        return -1;
    while ((result = blocks_next(blocks, &block, err)) == 1)
        decisions += block.n_decisions;
    blocks_close(blocks);
    if (result == 0 && decisions != b->decisions)
        return error_set(err, STATUS_INPUT, "%lld decisions were decoded", (long long)decisions);
    tell(b, "decode in C", "M decisions/s", millions(b, clock_seconds() - start), NAN, false);
    return result;
}

static int bench_questions(struct bench *b, struct error *err)
{
    struct files files = {0};
    int result = -1;

    if (logbook_open(&files.logbook, b->logbook, err) == 0 &&
        plain_open(&files.stock, b->logbook, err) == 0 && plain_open(&files.rows, b->rows, err) == 0 &&
        compare(b, &files, "bench/experts", "GROUP BY layer, expert", err) == 0 &&
        compare(b, &files, "bench/gates", "mean gate, GROUP BY layer, expert", err) == 0 &&
        compare(b, &files, "bench/domains", "mean gate by domain, layer, expert", err) == 0 &&
        bench_sequences(b, &files, err) == 0)
        result = bench_decoding(b, &files, err);
    moescope_close(files.logbook);
    moescope_close(files.stock);
    moescope_close(files.rows);
    return result;
}

/* ---- main ---- */

static void remove_files(const struct bench *b)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    const char *const paths[] = {b->logbook, b->rows};
    struct text path;

    text_init(&path);
    for (size_t i = 0; i < 8; i++) {
        text_clear(&path);
        text_printf(&path, "%s%s", paths[i / 4], ends[i % 4]);
        unlink(path.data);
    }
    text_release(&path);
}

/* Room for the documents that so many steps read. */
static int prepare(struct bench *b, struct error *err)
{
    struct synthetic_shape shape = {.layers = (int)args.layers,
                                    .experts = (int)args.experts,
                                    .k = (int)args.k,
                                    .varying = args.varying,
                                    .tokens = (int)args.tokens,
                                    .context = (int)args.context,
                                    .domains = DOMAINS,
                                    .vocabulary = 8192,
                                    .document_size = 16};
    double a_step = (double)args.tokens * (double)args.layers * (double)args.k * (args.varying ? 0.5 : 1.0);

    if (args.decisions < 1 || args.epochs < 1 || a_step < 1.0)
        return error_set(err, STATUS_USAGE, "there must be decisions");
    b->steps = (int64_t)ceil((double)args.decisions / a_step);
    shape.groups = 1 + (int)(b->steps / args.epochs / shape.document_size);
    if (synthetic_init(&b->synthetic, &shape, DRAWN_STEPS, false, err))
        return -1;
    for (int64_t step = 0; step < b->steps; step++)
        b->decisions += synthetic_decisions(&b->synthetic, step);
    if (file_make_folder(args.folder, err))
        return -1;
    if (asprintf(&b->logbook, "%s/logbook.db", args.folder) < 0 ||
        asprintf(&b->rows, "%s/rows.db", args.folder) < 0)
        return error_no_memory(err, "paths");
    remove_files(b);
    return 0;
}

static int run(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    static const char *const columns[] = {"measure", "unit", "logbook", "rows", "times_better"};
    struct bench b = {0};
    int result = -1;

    (void)context;
    (void)operands;
    (void)n_operands;
    if (prepare(&b, err) || figures_open(&b.figures, out, args.format, args.json,
                                         "The logbook and a table with a row a decision", columns, 5, err))
        goto done;
    if (bench_writing(&b, err) == 0 && (args.writer_only || bench_questions(&b, err) == 0))
        result = 0;
    result = figures_close(&b.figures, result, err);
    if (!args.keep)
        remove_files(&b);
done:
    synthetic_release(&b.synthetic);
    free(b.logbook);
    free(b.rows);
    return result;
}

int main(int argc, char **argv)
{
    return program_main(&program, argc, argv, NULL, run, NULL);
}
