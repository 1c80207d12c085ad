/* moescope prune: a smaller logbook, that says what it no longer has. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"
#include "base/table.h"
#include "base/text.h"
#include "sql/care.h"

struct choices {
    const char *run, *split, *format, *output;
    int64_t first_step, last_step, keep_every;
    bool probabilities, losses, keep_decisions, force, dry_run, no_vacuum, quiet;
};

/* ---- the request ---- */

enum { SPLITS = 5 };
static const char *const splits[SPLITS] = {"train", "valid", "probe", "routed", "seen"};

static const char *split_named(const char *name, size_t n)
{
    for (int i = 0; i < SPLITS; i++) {
        if (strlen(splits[i]) == n && strncmp(splits[i], name, n) == 0) {
            return splits[i];
        }
    }
    return NULL;
}

/* "train,probe"; each once. */
static int read_splits(const char *list, const char *chosen[SPLITS], int *n, struct error *err)
{
    *n = 0;
    for (const char *at = list;; at += strcspn(at, ",") + 1) {
        size_t length = strcspn(at, ",");
        const char *split = split_named(at, length);
        if (split == NULL) {
            return error_set(
                err, STATUS_USAGE,
                "--split '%.*s' is none of train, valid, probe and routed (several: train,probe)",
                (int)length, at);
        }
        int known = 0;
        while (known < *n && chosen[known] != split) {
            known++;
        }
        if (known == *n) {
            chosen[(*n)++] = split;
        }
        if (at[length] == '\0') {
            return 0;
        }
    }
}

static int check_choices(const struct choices *c, struct error *err)
{
    if (c->run == NULL) {
        return error_set(err, STATUS_USAGE, "say by --run whose decisions are to be dropped");
    }
    if (c->first_step > c->last_step) {
        return error_set(err, STATUS_USAGE, "--first-step %" PRId64 " is behind --last-step %" PRId64,
                         c->first_step, c->last_step);
    }
    if (c->keep_every < 0 || c->keep_every == 1) {
        return error_set(err, STATUS_USAGE, "--keep-every %" PRId64 ": give a number of steps, 2 or more",
                         c->keep_every);
    }
    if (c->keep_decisions && !c->probabilities && !c->losses) {
        return error_set(err, STATUS_USAGE,
                         "--keep-decisions leaves nothing to drop; add --probabilities or --losses");
    }
    return 0;
}

/* ---- what is told ---- */

static int print_pruned(const struct choices *c, const struct pruned *p, FILE *out, enum table_format format,
                        struct error *err)
{
    static const char *const columns[] = {"run",    "passes", "decisions", "probabilities",
                                          "losses", "bytes",  "dry_run"};
    struct table *t = table_open(out, format, NULL, columns, 7);
    table_text(t, c->run);
    table_int(t, p->passes);
    table_int(t, p->decisions);
    table_int(t, p->probabilities);
    table_int(t, p->losses);
    table_int(t, p->bytes);
    table_int(t, c->dry_run);
    return t != NULL ? table_close(t, err) : error_no_memory(err, "a table");
}

static void say_pruned(const struct choices *c, const struct pruned *p)
{
    char decisions[32], bytes[32];
    if (p->passes == 0) {
        fprintf(stderr, "nothing to drop: '%s' has nothing of that kind in those passes\n", c->run);
        return;
    }
    fprintf(stderr, "%s %s of %" PRId64 " passes of '%s', %s decisions among them\n",
            c->dry_run ? "would drop" : "dropped", text_bytes(bytes, (double)p->bytes), p->passes, c->run,
            text_count(decisions, (double)p->decisions));
}

/* Shrinking is a kindness: where it cannot be had, the space is free inside the file all the same. */
static void shrink(struct logbook *lb, bool no_vacuum)
{
    struct error err;
    int64_t given_back;
    char bytes[32];
    if (no_vacuum) {
        fputs("the file keeps its size, the space is for what is logged next\n", stderr);
    } else if (logbook_vacuum(lb, &given_back, &err) != 0) {
        fprintf(stderr, "the file keeps its size: %s; `moescope snapshot` makes a small copy\n", err.text);
    } else {
        fprintf(stderr, "%s given back\n", text_bytes(bytes, (double)given_back));
    }
}

/* ---- all of it ---- */

static int prune_logbook(const char *path, const struct choices *c, const struct prune_request *request,
                         struct pruned *pruned, struct error *err)
{
    struct logbook *lb;
    struct progress progress;
    if (logbook_open_to_change(&lb, path, err) != 0) {
        return -1;
    }
    logbook_stop_on_signals(lb);
    progress_start(&progress, "prune", 0, 0, c->quiet);
    int result = logbook_prune(lb, request, pruned, &progress, err);
    if (result == 0) {
        progress_finish(&progress, NULL);
        say_pruned(c, pruned);
    }
    if (result == 0 && pruned->passes > 0 && !c->dry_run) {
        shrink(lb, c->no_vacuum);
    }
    logbook_stop_on_signals(NULL);
    moescope_close(lb);
    return result;
}

static int prune(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    const struct choices *c = context;
    const char *chosen[SPLITS];
    struct pruned pruned;
    enum table_format format;
    struct prune_request request = {.run = c->run,
                                    .splits = chosen,
                                    .first_step = c->first_step,
                                    .last_step = c->last_step,
                                    .keep_every = c->keep_every,
                                    .decisions = !c->keep_decisions,
                                    .probabilities = c->probabilities,
                                    .losses = c->losses,
                                    .force = c->force,
                                    .dry_run = c->dry_run};
    (void)n_operands;
    if (table_format_parse(c->format, &format, err) != 0 || check_choices(c, err) != 0 ||
        read_splits(c->split, chosen, &request.n_splits, err) != 0 ||
        prune_logbook(operands[0], c, &request, &pruned, err) != 0) {
        return -1;
    }
    return print_pruned(c, &pruned, out, format, err);
}

int main(int argc, char **argv)
{
    struct choices c = {.split = "train", .format = "table", .first_step = 0, .last_step = INT64_MAX};
    const struct option_spec options[] = {
        {"run", 'r', OPTION_STRING, &c.run, "NAME", "the run; needed"},
        {"split", 's', OPTION_STRING, &c.split, "SPLIT,...",
         "of train, valid, probe, routed, seen (default train)"},
        {"first-step", 0, OPTION_INT, &c.first_step, "N", "from this step on (default 0)"},
        {"last-step", 0, OPTION_INT, &c.last_step, "N", "up to this step (default: the last)"},
        {"keep-every", 0, OPTION_INT, &c.keep_every, "N", "keep the steps that N divides"},
        {"probabilities", 0, OPTION_FLAG, &c.probabilities, NULL, "also the router's probability vectors"},
        {"losses", 0, OPTION_FLAG, &c.losses, NULL, "also the losses of tokens"},
        {"keep-decisions", 0, OPTION_FLAG, &c.keep_decisions, NULL, "of these two alone"},
        {"force", 0, OPTION_FLAG, &c.force, NULL, "also a run that stalled"},
        {"dry-run", 'n', OPTION_FLAG, &c.dry_run, NULL, "change nothing, say what would be"},
        {"no-vacuum", 0, OPTION_FLAG, &c.no_vacuum, NULL, "leave the file its size, the space free inside"},
        {"format", 'f', OPTION_STRING, &c.format, "FORMAT", "table, csv or json (default table)"},
        {"output", 'o', OPTION_STRING, &c.output, "FILE",
         "write to FILE, whole or not at all (default: stdout)"},
        {"quiet", 'q', OPTION_FLAG, &c.quiet, NULL, "no progress"},
        {0}};
    const struct program program = {
        .verb = "prune",
        .operands = "DB",
        .purpose = "drop a run's decisions, keep its loads, metrics and losses of documents, and say so",
        .details =
            "Drops whole passes, all that the run has of a step and a split, so that what stays adds up and\n"
            "`moescope check` is content. The run remembers what was dropped: an event `pruned`, and "
            "log.pruned\n"
            "in its configuration, which reports repeat. It cannot be undone.\n"
            "\n"
            "The file is shrunk in place where there is room for that: as much again as stays, beside it and "
            "in\n"
            "the folder for temporary files. A full disk leaves it as it was; so does a program that has it\n"
            "open. A run that is being written is refused.\n",
        .examples = "moescope prune log.db --run top2 --dry-run\n"
                    "moescope prune log.db --run top2 --keep-every 100\n"
                    "moescope prune log.db --run top2 --split train,probe --last-step 999 --probabilities\n",
        .options = options,
        .min_operands = 1,
        .max_operands = 1};
    return logbook_status(program_main(&program, argc, argv, &c.output, prune, &c));
}
