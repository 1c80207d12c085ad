/* A convolutional network's training step beside the matrix products that it cannot do without: forward, the
 * filters' gradient and the input's, which the first layer does not need. The products alone are timed at the
 * same widths and depths, with as many samples at a time as each is fastest with, on arrays that stay in
 * cache. Steps and products take turns, so that the machine's mood falls on both. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/options.h"
#include "base/progress.h"
#include "bench/shared/figures.h"
#include "bench/shared/made_up.h"
#include "bench/shared/median.h"
#include "engine/blas.h"
#include "engine/classifier.h"
#include "engine/nodes.h"

enum { IMAGES = 512, SIDE = 28, CLASSES = 10, MAX_BLOCKS = 1000, WARM_UP = 2, MAX_PRODUCTS = 3 * MAX_NODES };

struct arguments {
    struct string_list set;
    int64_t blocks, threads;
    bool quiet;
    const char *format, *json;
};
static struct arguments args = {.blocks = 30, .format = "table"};

static const struct option_spec options[] = {
    {"set", 's', OPTION_LIST, &args.set, "SECTION.KEY=VALUE", "for every network, on top of its own"},
    {"blocks", 0, OPTION_INT, &args.blocks, "N", "steps, each beside its products (default 30)"},
    {"threads", 0, OPTION_INT, &args.threads, "N", "0: one per core"},
    {"quiet", 'q', OPTION_FLAG, &args.quiet, NULL, "no progress"},
    {"format", 0, OPTION_STRING, &args.format, "FORMAT", "table, csv, json"},
    {"json", 0, OPTION_STRING, &args.json, "FILE", "the same as JSON, in a file"},
    {0},
};

static const struct program program = {
    .verb = "bench-convolution",
    .operands = "",
    .purpose = "time a convolutional network's training step against the sgemm limit on its own shapes",
    .details =
        "share: the median over blocks of the time of the products alone by that of the whole step;\n"
        "low, high: an interval of that median, at 95 % or more from six blocks on, by their ranks alone.",
    .examples = "bench/convolution\nbench/convolution --threads 1 --set network.residual=true",
    .options = options,
};

static const struct measured_network {
    const char *name, *settings[2];
} networks[] = {
    {"filters 32, 64, 64; hidden 128", {"network.filters=32,64,64", "network.hidden=128"}},
    {"filters 16, 32, 32; hidden 64", {"network.filters=16,32,32", "network.hidden=64"}},
};

/* ---- products ---- */

enum role { FORWARD, WEIGHTS, INPUTS };

struct product {
    enum role role;
    int rows, in, out; /* of one sample */
    int samples;       /* at a time */
};

struct products {
    struct product items[MAX_PRODUCTS];
    int n, B;
    struct pool *pool;
    struct arena memory;
    float *operands;      /* x, w and y of any product */
    float **result;       /* (threads) */
    double multiply_adds; /* of a step */
};

/* Operands are read and a result is written in places of their own: what is multiplied stays as it is. */
static struct gemm gemm_of(const struct product *p, int samples, const float *operands, float *result)
{
    int rows = p->rows * samples;
    const float *x = operands, *w = x + (size_t)rows * (size_t)p->in, *y = w + (size_t)p->in * (size_t)p->out;

    switch (p->role) {
    case FORWARD:
        return gemm_forward(x, w, result, rows, p->in, p->out, 0.0F);
    case WEIGHTS:
        return gemm_weight_gradient(y, x, result, rows, p->in, p->out);
    default:
        return gemm_input_gradient(y, w, result, rows, p->in, p->out, 0.0F);
    }
}

struct call {
    const struct products *all;
    const struct product *product;
};

static void product_range(void *context, int first, int last, int worker)
{
    const struct call *c = context;
    struct gemm g = gemm_of(c->product, last - first, c->all->operands, c->all->result[worker]);

    gemm_one(&g);
}

static double time_product(const struct products *all, const struct product *p)
{
    struct call c = {all, p};
    double start = clock_seconds();

    pool_ranges(all->pool, product_range, &c, all->B, p->samples);
    return clock_seconds() - start;
}

static double time_products(const struct products *all)
{
    double sum = 0.0;

    for (int i = 0; i < all->n; i++)
        sum += time_product(all, &all->items[i]);
    return sum;
}

/* As many samples at a time as it is fastest with, by the best of a few times. */
static void choose_samples(const struct products *all, struct product *p)
{
    enum { TIMES = 5 };
    double best = 1e9;
    int chosen = 1;

    for (p->samples = 1; p->samples <= all->B; p->samples *= 2) {
        for (int i = 0; i < TIMES; i++) {
            double seconds = time_product(all, p);
            if (seconds < best) {
                best = seconds;
                chosen = p->samples;
            }
        }
    }
    p->samples = chosen;
}

/* What a node does to a sample: rows of `in` values each become `out`; false: it has no products. */
static bool shape_of(const struct network *n, const struct node *node, struct product *p)
{
    struct extent in = n->nodes[node->input[0]].extent;
    const struct convolution *c = &node->convolution;

    *p = (struct product){.in = in.channels, .out = node->extent.channels, .rows = in.height * in.width};
    if (node->operation == &node_linear)
        return true;
    if (node->operation != &node_convolution)
        return false;
    p->rows = convolution_extent(c, in.height) * convolution_extent(c, in.width);
    p->in *= c->kernel * c->kernel;
    return true;
}

/* All products of the network; returns how many floats the largest one's operands are. */
static size_t collect(struct products *all, const struct network *n)
{
    size_t most = 0;

    for (int i = 1; i < n->n; i++) {
        const struct node *node = &n->nodes[i];
        struct product p;
        if (!shape_of(n, node, &p))
            continue;
        size_t rows = (size_t)all->B * (size_t)p.rows, in = (size_t)p.in, out = (size_t)p.out;
        most = rows * (in + out) + in * out > most ? rows * (in + out) + in * out : most;
        for (p.role = FORWARD; p.role <= (n->nodes[node->input[0]].wants_gradient ? INPUTS : WEIGHTS);
             p.role++) {
            all->items[all->n++] = p;
            all->multiply_adds += (double)(rows * in * out);
        }
    }
    return most;
}

static int products_open(struct products *all, const struct network *n, struct error *err)
{
    int threads = pool_threads(n->pool);

    all->pool = n->pool;
    all->B = n->max_samples;
    size_t most = collect(all, n);
    all->operands = arena_claim(&all->memory, most, sizeof *all->operands);
    all->result = arena_claim(&all->memory, (size_t)threads, sizeof *all->result);
    for (int t = 0; !all->memory.failed && t < threads; t++)
        all->result[t] = arena_claim(&all->memory, most, sizeof **all->result);
    if (all->memory.failed)
        return error_no_memory(err, "the products");
    for (size_t i = 0; i < most; i++)
        all->operands[i] = 1e-3F * (float)(i % 17);
    for (int t = 0; t < threads; t++)
        memset(all->result[t], 0, most * sizeof **all->result);
    for (int i = 0; i < all->n; i++)
        choose_samples(all, &all->items[i]);
    return 0;
}

/* ---- a network that trains ---- */

struct runner {
    struct config config;
    struct classifier classifier;
    struct optimiser optimiser;
    struct products products;
    double step[MAX_BLOCKS], alone[MAX_BLOCKS], share[MAX_BLOCKS];
};

static int configure(struct config *c, const struct measured_network *network, struct error *err)
{
    static const char *const both[] = {"model.kind=convolution", "train.batch=128"};

    return config_init(c, err) || config_set_all(c, both, 2, err) ||
                   config_set_all(c, network->settings, 2, err) ||
                   config_set_all(c, args.set.items, args.set.n, err)
               ? -1
               : 0;
}

static double time_step(struct runner *r, const struct corpus *corpus, int block)
{
    struct classifier *c = &r->classifier;
    struct parameters *p = &c->net.network.parameters;
    struct pool *pool = c->net.network.pool;
    double start = clock_seconds();
    struct sample s = {.document = block};

    classifier_clear(c);
    while (classifier_add(c, corpus, &s))
        s.document = (s.document + 1) % corpus->n_documents;
    classifier_forward(c, corpus, true, 1.0F);
    optimiser_update(&r->optimiser, pool, p, 1e-4, 0, optimiser_norm(pool, p));
    return clock_seconds() - start;
}

static void tell(struct runner *r, struct figures *f, const char *name)
{
    int n = (int)args.blocks;

    struct median share = median_of(r->share, n);
    figures_text(f, name);
    figures_int(f, pool_threads(r->products.pool));
    figures_int(f, r->products.B);
    figures_real(f, 2e-9 * r->products.multiply_adds);
    figures_real(f, 1e3 * median_of(r->step, n).value);
    figures_real(f, 1e3 * median_of(r->alone, n).value);
    figures_real(f, share.value);
    figures_real(f, share.low);
    figures_real(f, share.high);
}

/* Step first, products first, step first, ...: a drift of the machine's speed cancels. */
static void run_blocks(struct runner *r, const struct corpus *corpus)
{
    for (int block = -WARM_UP; block < args.blocks; block++) {
        int at = block < 0 ? 0 : block;
        r->alone[at] = at % 2 ? time_products(&r->products) : 0.0;
        r->step[at] = time_step(r, corpus, at);
        r->alone[at] = at % 2 ? r->alone[at] : time_products(&r->products);
        r->share[at] = r->alone[at] / r->step[at];
    }
}

static int measure(const struct measured_network *network, const struct corpus *corpus, struct pool *pool,
                   struct figures *f, struct error *err)
{
    struct runner *r = calloc(1, sizeof *r);
    int result = -1;

    if (!r)
        return error_no_memory(err, "a network");
    if (!args.quiet)
        fprintf(stderr, "%s\n", network->name);
    if (configure(&r->config, network, err) == 0 &&
        classifier_init(&r->classifier, &r->config, corpus, pool, 1, err) == 0 &&
        made_up_optimiser(&r->optimiser, &r->classifier.net.network.parameters, err) == 0 &&
        products_open(&r->products, &r->classifier.net.network, err) == 0) {
        run_blocks(r, corpus);
        tell(r, f, network->name);
        result = 0;
    }
    arena_release(&r->products.memory);
    optimiser_release(&r->optimiser);
    classifier_release(&r->classifier);
    config_release(&r->config);
    free(r);
    return result;
}

static int bench(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    static const char *const columns[] = {"network",     "threads", "batch", "gflop", "ms_per_step",
                                          "ms_products", "share",   "low",   "high"};
    struct corpus corpus = {0};
    struct pool *pool = NULL;
    struct figures f;
    int result = -1;

    (void)context;
    (void)operands;
    (void)n_operands;
    if (args.blocks < 1 || args.blocks > MAX_BLOCKS)
        return error_set(err, STATUS_USAGE, "--blocks must be 1 to %d", MAX_BLOCKS);
    blas_start();
    if (made_up_images(&corpus, IMAGES, SIDE, CLASSES, err) == 0 &&
        pool_open(&pool, (int)args.threads, err) == 0 &&
        figures_open(&f, out, args.format, args.json, "A convolutional step beside its products", columns, 9,
                     err) == 0) {
        result = 0;
        for (size_t i = 0; i < sizeof networks / sizeof *networks && result == 0; i++)
            result = measure(&networks[i], &corpus, pool, &f, err);
        result = figures_close(&f, result, err);
    }
    pool_close(pool);
    made_up_images_release(&corpus);
    return result;
}

int main(int argc, char **argv)
{
    int status = program_main(&program, argc, argv, NULL, bench, NULL);

    string_list_release(&args.set);
    return status;
}
