/* A row a decision, as CSV, as fast as it can be had: what other databases are given to answer the same
 * questions (bench/rivals). Not a bench of its own; `moescope export` is what people are served with. */
#include <stdio.h>

#include "base/file.h"
#include "base/options.h"
#include "sql/read.h"

static const char *output, *split;

static const struct option_spec options[] = {
    {"split", 0, OPTION_STRING, &split, "SPLIT", "of this one only (default: all)"},
    {"output", 'o', OPTION_STRING, &output, "FILE", "instead of stdout"},
    {0},
};

static const struct program program = {
    .verb = "bench-unpack",
    .operands = "DB",
    .purpose = "write every decision of a logbook as a line of CSV",
    .details =
        "sequence_id,layer,position,slot,expert,gate without a heading, in order of run, sequence, layer.",
    .examples = "bench/unpack build/bench/large.db -o build/bench/large.csv",
    .options = options,
    .min_operands = 1,
    .max_operands = 1,
};

/* Digits from the right; returns where they begin in buffer[0..end-1]. */
static char *digits(char *end, int64_t n)
{
    do
        *--end = (char)('0' + n % 10);
    while (n /= 10);
    return end;
}

static void put_int(FILE *out, int64_t n)
{
    char buffer[24], *end = buffer + sizeof buffer;
    char *first;

    *--end = ',';
    first = digits(end, n);
    fwrite_unlocked(first, 1, (size_t)(end + 1 - first), out);
}

static void put_block(FILE *out, const struct block *b)
{
    for (int t = 0; t < b->n_tokens; t++) {
        for (int i = b->offsets[t]; i < b->offsets[t + 1]; i++) {
            put_int(out, b->sequence_id);
            put_int(out, b->layer);
            put_int(out, t);
            put_int(out, i - b->offsets[t]);
            put_int(out, b->expert[i]);
            fprintf(out, "%.9g\n", (double)b->gate[i]);
        }
    }
}

static int put_run(FILE *out, struct logbook *lb, const char *name, struct error *err)
{
    struct block_filter filter = {.split = split, .last_step = INT64_MAX, .layer = -1};
    struct blocks *blocks;
    struct block block;
    int result;

    if (logbook_find_run(lb, name, &filter.run_id, err) || blocks_open(&blocks, lb, &filter, err))
        return -1;
    while ((result = blocks_next(blocks, &block, err)) == 1)
        put_block(out, &block);
    blocks_close(blocks);
    return result;
}

static int run(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    struct logbook *lb;
    struct query *runs;
    int result;

    (void)context;
    (void)n_operands;
    if (logbook_open(&lb, operands[0], err))
        return -1;
    result = query_open(&runs, lb, "queries/runs", err);
    if (result == 0) {
        while ((result = query_step(runs, err)) == 1) {
            if (put_run(out, lb, query_word(runs, "name"), err)) {
                result = -1;
                break;
            }
        }
        query_close(runs);
    }
    moescope_close(lb);
    return result;
}

int main(int argc, char **argv)
{
    return program_main(&program, argc, argv, &output, run, NULL);
}
