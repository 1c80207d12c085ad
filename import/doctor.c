/* moescope doctor: what is wrong with a log of routing, before anything believes it. */
#include <stdio.h>
#include <unistd.h>

#include "base/options.h"
#include "base/table.h"
#include "import/shared/reading.h"

struct choices {
    struct request request;
    const char *format, *output;
};

static int print_findings(const struct reading *d, FILE *out, enum table_format format, struct error *err)
{
    static const char *const columns[] = {"trap", "name", "ruling", "seen", "why", "instead"};
    struct table *t = table_open(out, format, NULL, columns, 6);
    for (int i = 0; t != NULL && i < d->survey.findings.n; i++) {
        const struct finding *f = &d->survey.findings.items[i];
        table_int(t, f->trap);
        table_text(t, trap_name(f->trap));
        table_text(t, f->accepted ? "accepted" : ruling_names[f->ruling]);
        table_text(t, f->seen);
        table_text(t, trap_why(f->trap));
        table_text(t, f->instead);
    }
    return t != NULL ? table_close(t, err) : error_no_memory(err, "a table");
}

static void print_words(const struct reading *d, FILE *out)
{
    const struct survey *s = &d->survey;
    fprintf(out, "%s: %lld tokens, %lld choices, steps %lld to %lld\n", d->format->name,
            (long long)s->n_tokens, (long long)s->n_decisions, (long long)s->first_step,
            (long long)s->last_step);
    for (int i = 0; i < s->findings.n; i++) {
        const struct finding *f = &s->findings.items[i];
        fprintf(out, "\n%2d %s (%s)\n   seen: %s\n   why:  %s\n", f->trap, trap_name(f->trap),
                f->accepted ? "accepted" : ruling_names[f->ruling], f->seen, trap_why(f->trap));
        if (f->instead[0] != '\0') {
            fprintf(out, "   do:   %s\n", f->instead);
        }
    }
    if (s->findings.n == 0) {
        fputs("nothing was found\n", out);
    }
}

static int doctor(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    struct choices *c = context;
    struct reading d = {.progress = {.quiet = !isatty(STDERR_FILENO)}};
    enum table_format format;
    int result = table_format_parse(c->format, &format, err);
    if (result == 0) {
        result = request_complete(&c->request, operands, n_operands, err);
    }
    if (result == 0) {
        result = reading_survey(&d, &c->request, err);
    }
    if (result == 0 && format == TABLE_TEXT) {
        print_words(&d, out);
    } else if (result == 0) {
        result = print_findings(&d, out, format, err);
    }
    if (result == 0 && findings_refuse(&d.survey.findings, NULL) != 0) {
        result = STATUS_INPUT;
    }
    reading_release(&d);
    return result;
}

int main(int argc, char **argv)
{
    struct choices c = {.format = "table"};
    enum { N_OWN = 2 };
    struct option_spec options[N_REQUEST_OPTIONS + N_OWN] = {
        {"format", 'f', OPTION_STRING, &c.format, "FORMAT", "table, csv or json (default table)"},
        {"output", 'o', OPTION_STRING, &c.output, "FILE",
         "write to FILE, whole or not at all (default: stdout)"}};
    request_options(&c.request, options + N_OWN);
    const struct program program = {
        .verb = "doctor",
        .operands = "FILE...",
        .purpose = "look through logs of routing of other engines for what would mislead",
        .details =
            "Reads them as `moescope import` would, and writes nothing. Each trap that shows is told with "
            "what was\nseen, why it matters and what to do; docs/import.md lists all nineteen. Exit status 3 "
            "when something\ncannot be true or can be read in two ways: import refuses such files.\n",
        .examples = "moescope doctor router_trace_rank0.jsonl\n"
                    "moescope doctor responses.jsonl --experts 128 --format json\n",
        .options = options,
        .min_operands = 0,
        .max_operands = -1};
    int status = program_main(&program, argc, argv, &c.output, doctor, &c);
    request_release(&c.request);
    return status;
}
