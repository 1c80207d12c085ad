/* How often the analyses find what is not there, and how often what is: logbooks are simulated, without an
 * effect and with planted ones, and asked by the code that the programs ask them by. The unit of their tests
 * is the document; beside each stands the same question with the token for its unit, to see that it fails. */
#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/options.h"
#include "base/progress.h"
#include "bench/shared/asked.h"
#include "bench/shared/figures.h"

struct arguments {
    int64_t logbooks, planted, documents, seed;
    double tokens, spread;
    bool quiet;
    const char *folder, *format, *json;
};
static struct arguments args = {.logbooks = 1000,
                                .planted = 200,
                                .documents = 10,
                                .tokens = 24,
                                .spread = 1,
                                .folder = "build/bench",
                                .format = "table"};

static const struct option_spec options[] = {
    {"logbooks", 0, OPTION_INT, &args.logbooks, "N", "without an effect (default 1000)"},
    {"planted", 0, OPTION_INT, &args.planted, "N", "of each planted effect (default 200; 0: none)"},
    {"documents", 0, OPTION_INT, &args.documents, "N", "of each of four domains (default 10)"},
    {"tokens", 0, OPTION_REAL, &args.tokens, "N", "of a document, in the median (default 24)"},
    {"spread", 0, OPTION_REAL, &args.spread, "X",
     "of the documents' lengths: standard deviation of their logarithm (default 1)"},
    {"seed", 0, OPTION_INT, &args.seed, "N", "other logbooks (default 0)"},
    {"folder", 0, OPTION_STRING, &args.folder, "FOLDER",
     "where a logbook lies while it is asked (default build/bench)"},
    {"quiet", 'q', OPTION_FLAG, &args.quiet, NULL, "no progress"},
    {"format", 0, OPTION_STRING, &args.format, "FORMAT", "table, csv, json"},
    {"json", 0, OPTION_STRING, &args.json, "FILE", "the same as JSON, in a file"},
    {0},
};

static const struct program program = {
    .verb = "calibration",
    .operands = "",
    .purpose = "measure how often the analyses find what is not there, and how often what is",
    .details =
        "Four domains, three layers, top-2 of 8 experts, documents of 8 to 256 tokens. Each logbook is\n"
        "written, and asked by the functions behind specialization, compare and demand; found is the share\n"
        "of logbooks in which a test finds something at 5 %, low and high its exact interval of 95 %\n"
        "(Clopper and Pearson). token: the same question with the token for its unit.\n"
        "effect is in units of the documents' own effects; with none, found should be 5 % or less.",
    .examples = "bench/calibration --planted 0\nbench/calibration --logbooks 200 --documents 25",
    .options = options,
};

/* ---- one logbook ---- */

static int try_one(const struct simulated_effect *effect, uint64_t number, const char *path,
                   struct answers *x, struct error *err)
{
    struct simulated_shape shape = simulated_shape_defaults();
    struct simulated s;
    shape.documents = (int)args.documents;
    shape.tokens = args.tokens;
    shape.spread = args.spread;
    int result = simulated_draw(&s, &shape, effect, number, err);
    if (result == 0)
        result = simulated_write(&s, path, err);
    if (result == 0)
        result = asked_all(&s, path, x, err);
    simulated_release(&s);
    return result;
}

/* ---- many ---- */

struct tally { /* of one size of effect */
    double effect;
    int n, by_document[N_ASKED], by_token[N_ASKED];
};

/* The chance of success at which found or more of n successes have a probability of `tail`: by halving, since
 * inverses of the beta distribution do not always converge. */
static double chance_of(int found, int n, double tail)
{
    double low = 0, high = 1;
    for (int i = 0; i < 50 && found > 0; i++) {
        double middle = (low + high) / 2;
        if (gsl_cdf_binomial_Q((unsigned)found - 1, middle, (unsigned)n) < tail)
            low = middle;
        else
            high = middle;
    }
    return found > 0 ? high : 0;
}

/* With its exact interval of 95 % (Clopper and Pearson 1934): as many failures are as unlikely. */
static void tell_share(struct figures *f, int found, int n)
{
    figures_real(f, (double)found / n);
    figures_real(f, chance_of(found, n, 0.025));
    figures_real(f, 1 - chance_of(n - found, n, 0.025));
}

static void tell(struct figures *f, const struct tally *t)
{
    for (int i = 0; i < N_ASKED; i++) {
        figures_text(f, questions_asked[i].document);
        figures_real(f, t->effect);
        figures_int(f, t->n);
        tell_share(f, t->by_document[i], t->n);
        figures_text(f, questions_asked[i].token);
        tell_share(f, t->by_token[i], t->n);
    }
}

static int count(struct tally *t, struct progress *p, const char *path, struct error *err)
{
    const struct simulated_effect effect = {t->effect, t->effect, t->effect};
    char note[32];
    snprintf(note, sizeof note, "effect %g", t->effect);
    for (int i = 0; i < t->n; i++) {
        struct answers x = {0};
        uint64_t number = (uint64_t)args.seed << 32 | (uint64_t)(t->effect * 256) << 20 | (uint64_t)i;
        if (try_one(&effect, number, path, &x, err) != 0)
            return -1;
        for (int j = 0; j < N_ASKED; j++) {
            t->by_document[j] += x.by_document[j];
            t->by_token[j] += x.by_token[j];
        }
        progress_update(p, p->done + 1, note);
    }
    return 0;
}

static int count_all(struct figures *f, const char *path, struct error *err)
{
    static const double effects[] = {0, 0.25, 0.5, 1, 2};
    int n = args.planted > 0 ? (int)(sizeof effects / sizeof *effects) : 1, result = 0;
    struct progress p;
    progress_start(&p, "asking logbooks", args.logbooks + (n - 1) * args.planted, 0, args.quiet);
    for (int i = 0; i < n && result == 0; i++) {
        struct tally t = {.effect = effects[i], .n = (int)(i == 0 ? args.logbooks : args.planted)};
        result = count(&t, &p, path, err);
        if (result == 0)
            tell(f, &t);
    }
    progress_finish(&p, "");
    remove(path);
    return result;
}

/* ---- main ---- */

static int check(struct error *err)
{
    if (args.logbooks < 1 || args.logbooks >= 1 << 20 || args.planted < 0 || args.planted >= 1 << 20)
        return error_set(err, STATUS_USAGE, "--logbooks takes 1 to a million, --planted 0 to a million");
    if (args.documents < 2 || args.documents > 1000 || !(args.spread >= 0 && args.spread <= 3) ||
        !(args.tokens >= 1 && args.tokens <= 256))
        return error_set(err, STATUS_USAGE,
                         "--documents takes 2 to 1000, --tokens 1 to 256, --spread 0 to 3");
    return args.seed >= 0 && args.seed <= INT32_MAX
               ? 0
               : error_set(err, STATUS_USAGE, "--seed takes 0 to %d", INT32_MAX);
}

static int run(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    static const char *const columns[] = {"test", "effect", "logbooks",    "found",     "low",
                                          "high", "token",  "token_found", "token_low", "token_high"};
    struct figures f;
    char *path;
    (void)context;
    (void)operands;
    (void)n_operands;
    if (check(err) != 0 || file_make_folder(args.folder, err) != 0)
        return -1;
    if (asprintf(&path, "%s/calibration.db", args.folder) < 0)
        return error_no_memory(err, "a path");
    int result = figures_open(&f, out, args.format, args.json,
                              "What is found where nothing is, and where something is", columns, 10, err);
    if (result == 0)
        result = figures_close(&f, count_all(&f, path, err), err);
    free(path);
    return result;
}

int main(int argc, char **argv)
{
    return program_main(&program, argc, argv, NULL, run, NULL);
}
