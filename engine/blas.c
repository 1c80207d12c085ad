#include "engine/blas.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/progress.h"

/* Large enough that packing B anew for each tile costs little, small enough that a few products already make
 * tasks for every core. */
enum { TILE_ROWS = 512, TILE_COLUMNS = 1024 };

void gemm_one(const struct gemm *g)
{
    if (g->m == 0 || g->n == 0)
        return;
    if (g->k == 0) { /* a sum of nothing; and BLAS refuses a row stride of 0 */
        for (int i = 0; i < g->m && g->beta == 0.0F; i++)
            memset(g->c + (size_t)i * g->ldc, 0, sizeof *g->c * (size_t)g->n);
        return;
    }
    cblas_sgemm(CblasRowMajor, g->trans_a ? CblasTrans : CblasNoTrans, g->trans_b ? CblasTrans : CblasNoTrans,
                g->m, g->n, g->k, 1.0F, g->a, g->lda, g->b, g->ldb, g->beta, g->c, g->ldc);
}

void gemm_naive(const struct gemm *g)
{
    for (int i = 0; i < g->m; i++) {
        for (int j = 0; j < g->n; j++) {
            double sum = g->beta != 0.0F ? (double)g->c[(size_t)i * g->ldc + j] : 0.0;
            for (int l = 0; l < g->k; l++) {
                double a = g->trans_a ? g->a[(size_t)l * g->lda + i] : g->a[(size_t)i * g->lda + l];
                double b = g->trans_b ? g->b[(size_t)j * g->ldb + l] : g->b[(size_t)l * g->ldb + j];
                sum += a * b;
            }
            g->c[(size_t)i * g->ldc + j] = (float)sum;
        }
    }
}

static int tiles_along(int n, int tile)
{
    return (n + tile - 1) / tile;
}

static struct gemm tile_of(const struct gemm *g, int index)
{
    int columns = tiles_along(g->n, TILE_COLUMNS);
    int i = index / columns * TILE_ROWS, j = index % columns * TILE_COLUMNS;
    struct gemm t = *g;

    t.m = g->m - i < TILE_ROWS ? g->m - i : TILE_ROWS;
    t.n = g->n - j < TILE_COLUMNS ? g->n - j : TILE_COLUMNS;
    t.a += g->trans_a ? (size_t)i : (size_t)i * g->lda;
    t.b += g->trans_b ? (size_t)j * g->ldb : (size_t)j;
    t.c += (size_t)i * g->ldc + j;
    return t;
}

struct batch_of_products {
    const struct gemm *jobs;
    int n_jobs;
};

static void run_tile(void *context, int index, int worker)
{
    const struct batch_of_products *b = context;
    int low = 0, high = b->n_jobs - 1;

    (void)worker;
    while (low < high) { /* the last job whose first tile is not past index */
        int middle = (low + high + 1) / 2;
        if (b->jobs[middle].first_tile <= index)
            low = middle;
        else
            high = middle - 1;
    }
    struct gemm tile = tile_of(&b->jobs[low], index - b->jobs[low].first_tile);
    gemm_one(&tile);
}

void gemm_batch(struct pool *pool, struct gemm *jobs, int n_jobs)
{
    struct batch_of_products b = {jobs, n_jobs};
    int n_tiles = 0;

    for (int i = 0; i < n_jobs; i++) {
        jobs[i].first_tile = n_tiles;
        n_tiles += tiles_along(jobs[i].m, TILE_ROWS) * tiles_along(jobs[i].n, TILE_COLUMNS);
    }
    pool_run(pool, run_tile, &b, n_tiles);
}

struct gemm gemm_forward(const float *x, const float *w, float *y, int rows, int in, int out, float beta)
{
    return (struct gemm){.trans_b = true,
                         .m = rows,
                         .n = out,
                         .k = in,
                         .a = x,
                         .lda = in,
                         .b = w,
                         .ldb = in,
                         .c = y,
                         .ldc = out,
                         .beta = beta};
}

struct gemm gemm_input_gradient(const float *dy, const float *w, float *dx, int rows, int in, int out,
                                float beta)
{
    return (struct gemm){.m = rows,
                         .n = in,
                         .k = out,
                         .a = dy,
                         .lda = out,
                         .b = w,
                         .ldb = in,
                         .c = dx,
                         .ldc = in,
                         .beta = beta};
}

struct gemm gemm_weight_gradient(const float *dy, const float *x, float *dw, int rows, int in, int out)
{
    return (struct gemm){.trans_a = true,
                         .m = out,
                         .n = in,
                         .k = rows,
                         .a = dy,
                         .lda = out,
                         .b = x,
                         .ldb = in,
                         .c = dw,
                         .ldc = in,
                         .beta = 1.0F};
}

void blas_start(void)
{
    openblas_set_num_threads(1);
}

const char *blas_core_type(void)
{
    return openblas_get_corename();
}

bool blas_pinned_below_machine(void)
{
#if defined(__x86_64__)
    static const char *const wide[] = {"SkylakeX", "Cooperlake", "SapphireRapids"};
    const char *core = openblas_get_corename();

    if (!getenv("OPENBLAS_CORETYPE") || !__builtin_cpu_supports("avx512f"))
        return false;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        if (strcasecmp(core, wide[i]) == 0)
            return false;
    }
    return true;
#else
    return false;
#endif
}

double blas_measure_limit(struct pool *pool, int n, int repeats, struct error *err)
{
    size_t count = (size_t)n * n;
    int threads = pool_threads(pool);
    float *memory = malloc(3 * count * sizeof *memory);
    double best = 0.0;

    if (!memory)
        return error_no_memory(err, "the sgemm measurement");
    for (size_t i = 0; i < 3 * count; i++)
        memory[i] = (float)(i % 17) * 0.01F;
    openblas_set_num_threads(threads);
    for (int r = 0; r < repeats; r++) {
        double start = clock_seconds();
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1.0F, memory, n, memory + count, n,
                    0.0F, memory + 2 * count, n);
        double rate = 2e-9 * (double)n * n * n / (clock_seconds() - start);
        best = rate > best ? rate : best;
    }
    openblas_set_num_threads(1);
    free(memory);
    return best;
}
