/* moescope check: can this logbook be trusted? */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/options.h"
#include "base/table.h"
#include "sql/read.h"

struct choices {
    const char *format, *output;
    bool quick;
};

static int print_findings(const struct check_finding *findings, int n, FILE *out, enum table_format format,
                          struct error *err)
{
    static const char *const columns[] = {"check", "checked", "violations", "first_violation"};
    struct table *t = table_open(out, format, NULL, columns, 4);
    if (t == NULL) {
        return error_no_memory(err, "a table");
    }
    for (int i = 0; i < n; i++) {
        table_text(t, findings[i].what);
        table_int(t, findings[i].checked);
        table_int(t, findings[i].violations);
        table_text(t, findings[i].violations > 0 ? findings[i].detail : NULL);
    }
    return table_close(t, err);
}

static int64_t count_violations(const struct check_finding *findings, int n)
{
    int64_t violations = 0;
    for (int i = 0; i < n; i++) {
        violations += findings[i].violations;
    }
    return violations;
}

static int check(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    const struct choices *c = context;
    int64_t violations = 0;
    struct check_finding findings[CHECK_MAX_FINDINGS];
    struct progress progress = {.quiet = !isatty(STDERR_FILENO)};
    const struct check_options how = {.quick = c->quick, .progress = &progress};
    struct logbook *lb = NULL;
    enum table_format format;
    int n = CHECK_MAX_FINDINGS;
    int result = table_format_parse(c->format, &format, err);
    if (result == 0) {
        result = logbook_open(&lb, operands[0], err);
    }
    if (result == 0) {
        result = logbook_check_with(lb, &how, findings, &n, err);
    }
    if (result == 0) {
        violations = count_violations(findings, n);
        result = print_findings(findings, n, out, format, err);
    }
    if (result == 0 && logbook_lacks_wal(lb)) {
        fprintf(stderr,
                "moescope check: '%s' is in WAL mode, but there is no '%s-wal'; if it was copied while a run "
                "wrote, its "
                "last steps are missing: moescope snapshot copies a whole one\n",
                operands[0], operands[0]);
    }
    moescope_close(lb);
    (void)n_operands;
    if (result == 0 && violations > 0) {
        fprintf(stderr, "moescope check: '%s' violates what a logbook promises, %" PRId64 " times\n",
                operands[0], violations);
        return STATUS_INPUT;
    }
    return result;
}

int main(int argc, char **argv)
{
    struct choices c = {.format = "table"};
    const struct option_spec options[] = {
        {"quick", 0, OPTION_FLAG, &c.quick, NULL,
         "leave out what decodes blocks and loads, and compare no index with its table"},
        {"format", 'f', OPTION_STRING, &c.format, "FORMAT", "table, csv or json (default table)"},
        {"output", 'o', OPTION_STRING, &c.output, "FILE",
         "write to FILE, whole or not at all (default: stdout)"},
        {0}};
    const struct program program = {
        .verb = "check",
        .operands = "DB",
        .purpose = "check a logbook: the file, its checksums, and every figure against those it follows from",
        .details =
            "Checks:\n"
            "  file                 SQLite's own check of every page\n"
            "  foreign_keys         every row's parents are there\n"
            "  checksums            tokens, losses, decisions and probabilities are as they were written\n"
            "  blocks               they can be decoded, and name experts that exist\n"
            "  decisions            where a token has k experts, every logged sequence has k times its "
            "tokens\n"
            "  probabilities        those of a token add up to 1 (but of relu, where it may have no expert)\n"
            "  loads                decisions counted by expert are the exact loads of their step\n"
            "  gate_sums            so are the decisions' gates, to their quantisation\n"
            "  probability_sums     so are the tokens' probabilities, where they are kept\n"
            "  router_figures       router_entropy and rank_mass_N are those of the probabilities\n"
            "  document_losses      losses of tokens add up to their document's, to their rounding\n"
            "  order                no step's sequences were logged before an earlier step's: none was "
            "logged twice\n"
            "  load_experts         every load has an entry for each expert of its layer\n"
            "  loads_domains        loads by domain add up to those of all domains\n"
            "  loads_tokens         decisions, dropped ones included, are k times the tokens of their step\n"
            "  loads_probabilities  probabilities add up to the tokens (but of relu)\n"
            "  load_windows         windows of a hundred steps hold what their steps hold\n"
            "  contiguous_steps, dangling, decoding, experts, loads_present, metric_status, parts, "
            "run_status,\n"
            "  samples              see the queries of these names in sql/check/\n"
            "\n"
            "Works while a run is writing. Exit status 3 when anything is violated.\n",
        .examples = "moescope check log.db\n"
                    "moescope check log.db --format csv\n"
                    "moescope check log.db --quick\n",
        .options = options,
        .min_operands = 1,
        .max_operands = 1};
    return program_main(&program, argc, argv, &c.output, check, &c);
}
