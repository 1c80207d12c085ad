/* moescope check: can this logbook be trusted? */
#include <inttypes.h>
#include <stdio.h>

#include "base/options.h"
#include "base/table.h"
#include "sql/read.h"

struct choices {
    const char *format, *output;
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
    struct logbook *lb = NULL;
    enum table_format format;
    int n = CHECK_MAX_FINDINGS;
    int result = table_format_parse(c->format, &format, err);
    if (result == 0) {
        result = logbook_open(&lb, operands[0], err);
    }
    if (result == 0) {
        result = logbook_check(lb, findings, &n, err);
    }
    if (result == 0) {
        violations = count_violations(findings, n);
        result = print_findings(findings, n, out, format, err);
    }
    logbook_close(lb);
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
            "  file             SQLite's own check of every page\n"
            "  foreign_keys     every row's parents are there\n"
            "  checksums        tokens, losses, decisions and probabilities are as they were written\n"
            "  blocks           they can be decoded, and name experts that exist\n"
            "  decisions        where a token has k experts, every logged sequence has k times its tokens\n"
            "  loads            decisions counted by expert are the exact loads of their step\n"
            "  document_losses  losses of tokens add up to their document's, to their rounding\n"
            "  contiguous_steps, loads_present, loads_tokens, loads_domains, experts, dangling, "
            "metric_status,\n"
            "  decoding         see the queries of these names in sql/check/\n"
            "\n"
            "Works while a run is writing. Exit status 3 when anything is violated.\n",
        .examples = "moescope check log.db\n"
                    "moescope check log.db --format csv\n",
        .options = options,
        .min_operands = 1,
        .max_operands = 1};
    return program_main(&program, argc, argv, &c.output, check, &c);
}
