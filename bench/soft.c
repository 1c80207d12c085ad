/* What a Soft MoE saves when only k of its n experts are loaded and run (Chung et al. 2024, Algorithm 1 and
 * their table of latencies). Layers one upon the other, each added to its input, take a batch of made-up
 * tokens forward; every k has a block of passes in each round, in turns, so that the machine's mood falls on
 * all, and its ratio is to the block of k = n in the same round.
 *
 * "Loaded" is meant strictly: before a block is timed, the weights of all other experts are closed to reading
 * (mprotect), so that touching one of them would end the program. They stay in memory, where they are not
 * read; what it takes to fetch an expert's weights from elsewhere is not measured. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/options.h"
#include "base/progress.h"
#include "base/random.h"
#include "bench/shared/figures.h"
#include "bench/shared/median.h"
#include "engine/blas.h"
#include "engine/kernels.h"
#include "engine/soft_moe.h"

enum {
    QUARTERS = 4,
    MOST_SETTINGS = 2 * QUARTERS - 1,
    MOST_ROUNDS = 1000,
    MOST_LAYERS = 64,
    GRAIN = 1 << 16
};
static const double block_seconds = 0.2; /* passes of k = n fill so much */

struct arguments {
    struct string_list images;
    const char *format, *json;
    int64_t experts, layers, width, hidden, tokens, rounds, threads;
    bool quiet;
};
static struct arguments args = {
    .format = "table", .experts = 8, .layers = 6, .width = 768, .hidden = 3072, .tokens = 196, .rounds = 12};

static const struct option_spec options[] = {
    {"experts", 0, OPTION_INT, &args.experts, "N", "of a layer, a multiple of 4, one slot each (default 8)"},
    {"layers", 0, OPTION_INT, &args.layers, "N", "one upon the other (default 6)"},
    {"width", 0, OPTION_INT, &args.width, "N", "of a token (default 768)"},
    {"hidden", 0, OPTION_INT, &args.hidden, "N", "units of an expert (default 3072)"},
    {"tokens", 0, OPTION_INT, &args.tokens, "N", "of an image (default 196: 14 x 14 patches)"},
    {"images", 'b', OPTION_LIST, &args.images, "N", "of a batch (may be repeated; default 1 and 100)"},
    {"rounds", 0, OPTION_INT, &args.rounds, "N", "in which every k has a block (default 12)"},
    {"threads", 0, OPTION_INT, &args.threads, "N", "0: one per core"},
    {"quiet", 'q', OPTION_FLAG, &args.quiet, NULL, "no progress"},
    {"format", 0, OPTION_STRING, &args.format, "FORMAT", "table, csv, json"},
    {"json", 0, OPTION_STRING, &args.json, "FILE", "the same as JSON, in a file"},
    {0},
};

static const struct program program = {
    .verb = "bench-soft",
    .operands = "",
    .purpose = "time a Soft MoE's forward pass with k of its experts loaded and run",
    .details =
        "chosen: the k experts with the largest combine weights, over all images together, or each image's "
        "own,\n"
        "of which a batch needs more than k. loaded: experts of a layer whose weights are read, a mean, and "
        "the\n"
        "weights of all layers; the others are closed to reading. ratio: to k = n in the same round, a "
        "median;\n"
        "low, high: an interval of that median, at 95 % or more from six rounds on, by their ranks alone.",
    .examples = "bench/soft\nbench/soft --images 1 --hidden 6144 --rounds 30\n"
                "bench/soft --layers 1 --experts 16 --format json",
    .options = options,
};

/* ---- the layers ---- */

struct stack {
    struct soft_moe layers[MOST_LAYERS];
    void *experts[MOST_LAYERS]; /* of each layer: in, then out, in pages of their own */
    int n, experts_each;
    size_t matrix, bytes; /* weights of one of an expert's two matrices; bytes of a layer's experts */
};

/* Uniform around 0, with the variance that keeps values in scale. Four of 16 bits a draw. */
static void fill(float *to, size_t n, int inputs, struct random *r)
{
    float scale = 1.7320508F / 32768.0F / sqrtf((float)inputs);
    uint64_t bits = 0;

    for (size_t i = 0; i < n; i++) {
        bits = i % 4 ? bits >> 16 : random_bits(r);
        to[i] = scale * (float)(int16_t)(bits & 0xFFFF);
    }
}

static int add_layer(struct stack *s, struct random *r, struct error *err)
{
    int D = (int)args.width, F = (int)args.hidden, N = s->experts_each;
    float *slots = malloc((size_t)N * (size_t)D * sizeof *slots);
    void *pages = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (!slots || pages == MAP_FAILED) {
        free(slots);
        return error_no_memory(err, "the experts");
    }
    float *in = pages, *out = in + (size_t)N * s->matrix;
    fill(slots, (size_t)N * (size_t)D, D, r);
    fill(in, (size_t)N * s->matrix, D, r);
    fill(out, (size_t)N * s->matrix, F, r);
    s->experts[s->n] = pages;
    s->layers[s->n++] = (struct soft_moe){
        .slots = slots, .in = in, .out = out, .n_experts = N, .slots_per_expert = 1, .D = D, .F = F};
    return 0;
}

static int stack_open(struct stack *s, struct error *err)
{
    struct random r;

    *s =
        (struct stack){.experts_each = (int)args.experts, .matrix = (size_t)args.width * (size_t)args.hidden};
    s->bytes = 2 * (size_t)s->experts_each * s->matrix * sizeof(float);
    random_seed(&r, 1, 0);
    for (int64_t l = 0; l < args.layers; l++) {
        if (add_layer(s, &r, err))
            return -1;
    }
    return 0;
}

static void stack_release(struct stack *s)
{
    for (int l = 0; l < s->n; l++) {
        free((float *)s->layers[l].slots);
        munmap(s->experts[l], s->bytes);
    }
}

/* Opens the experts marked in loaded (layers, N) and closes the others; NULL: opens all. */
static int load(const struct stack *s, const uint8_t *loaded, struct error *err)
{
    size_t bytes = s->matrix * sizeof(float), N = (size_t)s->experts_each;

    for (int l = 0; l < s->n; l++) {
        for (size_t e = 0; e < 2 * N; e++) { /* all of in, then all of out */
            int access = !loaded || loaded[(size_t)l * N + e % N] ? PROT_READ : PROT_NONE;
            if (mprotect((char *)s->experts[l] + e * bytes, bytes, access))
                return error_errno(err, "protect", "the experts");
        }
    }
    return 0;
}

/* ---- a forward pass ---- */

struct setting {
    int k;
    bool each; /* every image has its own k experts; otherwise the batch has k together */
};

struct run {
    const struct stack *stack;
    struct pool *pool;
    struct soft_moe_pass pass;
    int images, tokens, passes, n_settings;
    struct setting settings[MOST_SETTINGS];
    float *input, *x, *y; /* (images, tokens, width) */
    uint8_t *keep;        /* (images, N) of the layer at hand */
    uint8_t *loaded;      /* (layers, N) by at least one image */
    double seconds[MOST_SETTINGS][MOST_ROUNDS], read[MOST_SETTINGS];
};

static void choose(struct run *r, const struct setting *s)
{
    size_t N = (size_t)r->stack->experts_each, m = (size_t)r->tokens;

    if (!s->each) {
        soft_moe_likeliest(r->pass.combine, r->images * r->tokens, (int)N, 1, s->k, r->keep);
        for (size_t b = 1; b < (size_t)r->images; b++)
            memcpy(r->keep + b * N, r->keep, N);
        return;
    }
    for (size_t b = 0; b < (size_t)r->images; b++)
        soft_moe_likeliest(r->pass.combine + b * m * N, (int)m, (int)N, 1, s->k, r->keep + b * N);
}

struct sum {
    const float *a, *b;
    float *to;
};

static void add_range(void *context, int first, int last, int worker)
{
    const struct sum *s = context;

    (void)worker;
    for (int i = first; i < last; i++)
        s->to[i] = s->a[i] + s->b[i];
}

static void forward(struct run *r, const struct setting *s)
{
    size_t N = (size_t)r->stack->experts_each;
    const float *x = r->input;

    memset(r->loaded, 0, (size_t)r->stack->n * N);
    for (int l = 0; l < r->stack->n; l++) {
        const struct soft_moe *layer = &r->stack->layers[l];
        soft_moe_weigh(r->pool, layer, x, &r->pass, r->images);
        choose(r, s);
        soft_moe_apply(r->pool, layer, x, r->keep, r->y, &r->pass, r->images);
        pool_ranges(r->pool, add_range, &(struct sum){x, r->y, r->x}, r->images * r->tokens * layer->D,
                    GRAIN);
        x = r->x;
        for (size_t i = 0; i < (size_t)r->images * N; i++)
            r->loaded[(size_t)l * N + i % N] |= r->keep[i];
    }
}

/* The first pass finds out what is needed, and warms up; it chooses as those that are timed will. */
static int run_block(struct run *r, int setting, int64_t round, struct error *err)
{
    const struct setting *s = &r->settings[setting];
    double read = 0.0;

    if (load(r->stack, NULL, err))
        return -1;
    forward(r, s);
    for (int i = 0; i < r->stack->n * r->stack->experts_each; i++)
        read += r->loaded[i];
    r->read[setting] = read / r->stack->n;
    if (load(r->stack, r->loaded, err))
        return -1;
    double start = clock_seconds();
    for (int i = 0; i < r->passes; i++)
        forward(r, s);
    r->seconds[setting][round] = (clock_seconds() - start) / r->passes;
    return 0;
}

/* ---- a batch ---- */

static void add_settings(struct run *r)
{
    for (int quarter = QUARTERS; quarter >= 1; quarter--)
        r->settings[r->n_settings++] = (struct setting){r->stack->experts_each * quarter / QUARTERS, false};
    for (int quarter = QUARTERS - 1; quarter >= 1 && r->images > 1; quarter--)
        r->settings[r->n_settings++] = (struct setting){r->stack->experts_each * quarter / QUARTERS, true};
}

static int run_open(struct run *r, const struct stack *s, struct pool *pool, int images, struct error *err)
{
    size_t n = (size_t)images * (size_t)args.tokens * (size_t)args.width;
    struct random random;

    *r = (struct run){.stack = s, .pool = pool, .images = images, .tokens = (int)args.tokens, .passes = 1};
    add_settings(r);
    r->input = malloc(n * sizeof *r->input);
    r->x = malloc(n * sizeof *r->x);
    r->y = malloc(n * sizeof *r->y);
    r->keep = malloc((size_t)images * (size_t)s->experts_each);
    r->loaded = malloc((size_t)s->n * (size_t)s->experts_each);
    if (!r->input || !r->x || !r->y || !r->keep || !r->loaded)
        return error_no_memory(err, "a batch");
    random_seed(&random, 2, 0);
    fill(r->input, n, 1, &random);
    return soft_moe_pass_init(&r->pass, &s->layers[0], images, r->tokens, err);
}

static void run_release(struct run *r)
{
    soft_moe_pass_release(&r->pass);
    free(r->input);
    free(r->x);
    free(r->y);
    free(r->keep);
    free(r->loaded);
}

/* Every round begins with another setting. */
static int measure(struct run *r, struct error *err)
{
    struct progress progress;
    char label[64];

    snprintf(label, sizeof label, "%d images", r->images);
    progress_start(&progress, label, args.rounds, 0, args.quiet);
    if (run_block(r, 0, 0, err))
        return -1;
    r->passes = 1 + (int)(block_seconds / r->seconds[0][0]);
    for (int64_t round = 0; round < args.rounds; round++) {
        for (int i = 0; i < r->n_settings; i++) {
            if (run_block(r, (int)((round + i) % r->n_settings), round, err))
                return -1;
        }
        progress_update(&progress, round + 1, "");
    }
    progress_finish(&progress, "");
    return 0;
}

static void tell(struct run *r, struct figures *f)
{
    double ratio[MOST_SETTINGS][MOST_ROUNDS];
    int n = (int)args.rounds;

    for (int i = 0; i < r->n_settings; i++) {
        for (int round = 0; round < n; round++)
            ratio[i][round] = r->seconds[i][round] / r->seconds[0][round];
    }
    for (int i = 0; i < r->n_settings; i++) {
        struct median to_all = median_of(ratio[i], n);
        figures_int(f, r->images);
        figures_int(f, r->settings[i].k);
        figures_text(f, r->settings[i].each ? "each image" : "all images");
        figures_real(f, r->read[i]);
        figures_real(f,
                     r->read[i] * r->stack->n * 2.0 * (double)(r->stack->matrix * sizeof(float)) / (1 << 20));
        figures_real(f, 1e3 * median_of(r->seconds[i], n).value);
        figures_real(f, to_all.value);
        figures_real(f, to_all.low);
        figures_real(f, to_all.high);
    }
}

static int bench_batch(const struct stack *s, struct pool *pool, int images, struct figures *f,
                       struct error *err)
{
    struct run *r = calloc(1, sizeof *r);

    if (!r)
        return error_no_memory(err, "a measurement");
    int result = run_open(r, s, pool, images, err) || measure(r, err) ? -1 : 0;
    if (result == 0)
        tell(r, f);
    run_release(r);
    free(r);
    return result;
}

/* ---- the whole ---- */

static int images_of(const char *text, struct error *err)
{
    char *end;
    long n = strtol(text, &end, 10);

    return *end == '\0' && n >= 1 && n <= 100000
               ? (int)n
               : error_set(err, STATUS_USAGE, "'--images %s': 1 to 100000 are a batch", text);
}

static int check_arguments(struct error *err)
{
    if (args.experts < QUARTERS || args.experts > 1024 || args.experts % QUARTERS != 0)
        return error_set(err, STATUS_USAGE, "--experts must be a multiple of %d, up to 1024", QUARTERS);
    if (args.layers < 1 || args.layers > MOST_LAYERS || args.rounds < 1 || args.rounds > MOST_ROUNDS)
        return error_set(err, STATUS_USAGE, "1 to %d layers, 1 to %d rounds", MOST_LAYERS, MOST_ROUNDS);
    if (args.width < 1 || args.hidden < 1 || args.tokens < 1 || args.width > 65536 || args.hidden > 65536 ||
        args.tokens > 65536)
        return error_set(err, STATUS_USAGE, "--width, --hidden and --tokens are from 1 to 65536");
    if (args.width * args.hidden * (int64_t)sizeof(float) % sysconf(_SC_PAGESIZE) != 0)
        return error_set(err, STATUS_USAGE, "--width times --hidden must fill whole pages of %ld floats",
                         sysconf(_SC_PAGESIZE) / (long)sizeof(float));
    for (int i = 0; i < args.images.n; i++) {
        if (images_of(args.images.items[i], err) < 0)
            return -1;
    }
    return 0;
}

static int bench_batches(const struct stack *s, struct pool *pool, FILE *out, struct error *err)
{
    static const char *const columns[] = {"images", "k",     "chosen_for", "loaded", "loaded_mib",
                                          "ms",     "ratio", "low",        "high"};
    static const char *const usual[] = {"1", "100"};
    const char *const *images = args.images.n ? args.images.items : usual;
    int n = args.images.n ? args.images.n : 2, result = 0;
    struct figures f;

    if (figures_open(&f, out, args.format, args.json, "A forward pass with k experts loaded and run", columns,
                     9, err))
        return -1;
    for (int i = 0; i < n && result == 0; i++)
        result = bench_batch(s, pool, images_of(images[i], NULL), &f, err);
    return figures_close(&f, result, err);
}

static int bench(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    struct stack stack = {0};
    struct pool *pool = NULL;
    int result = -1;

    (void)context;
    (void)operands;
    (void)n_operands;
    blas_start();
    if (check_arguments(err))
        return -1;
    if (pool_open(&pool, (int)args.threads, err) == 0 && stack_open(&stack, err) == 0)
        result = bench_batches(&stack, pool, out, err);
    stack_release(&stack);
    pool_close(pool);
    return result;
}

int main(int argc, char **argv)
{
    int status = program_main(&program, argc, argv, NULL, bench, NULL);

    string_list_release(&args.images);
    return status;
}
