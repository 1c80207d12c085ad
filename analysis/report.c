/* moescope report: what the other analyses found, in words, figures and tables, on one page. */
#include <stdio.h>
#include <string.h>

#include "analysis/shared/report.h"

struct choices {
    struct string_list runs;
    const char *output, *figures, *title;
    bool quiet;
};

/* "demo.html" -> "demo.figures" */
static void add_folder(struct text *t, const struct choices *c)
{
    size_t n = strlen(c->output);
    if (c->figures) {
        n = strlen(c->figures);
        while (n > 1 && c->figures[n - 1] == '/')
            n--;
        text_add_bytes(t, c->figures, n);
        return;
    }
    if (n > 5 && strcmp(c->output + n - 5, ".html") == 0)
        n -= 5;
    text_add_bytes(t, c->output, n);
    text_add(t, ".figures");
}

static int make_page(struct report *r, const struct choices *c, FILE *out, struct error *err)
{
    struct text page;
    text_init(&page);
    int result = report_open(r, &c->runs, err);
    if (result == 0)
        result = report_collect(r, err);
    if (result == 0)
        result = report_draw(r, err);
    if (result == 0)
        result = report_page(r, &page, err);
    if (result == 0)
        fwrite(page.data, 1, page.length, out);
    text_release(&page);
    return result;
}

static int make_report(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    const struct choices *c = context;
    struct text folder;
    (void)n_operands;
    if (!c->output || !*c->output)
        return error_set(err, STATUS_USAGE,
                         "no output was named: -o FILE.html; see 'moescope report --help'");
    text_init(&folder);
    add_folder(&folder, c);
    struct report r = {
        .db = operands[0], .output = c->output, .folder = folder.data, .title = c->title, .quiet = c->quiet};
    int result = folder.failed ? error_no_memory(err, "the report") : make_page(&r, c, out, err);
    report_close(&r);
    text_release(&folder);
    return result;
}

int main(int argc, char **argv)
{
    struct choices c = {.output = NULL};
    const struct option_spec options[] = {
        {"run", 'r', OPTION_LIST, &c.runs, "NAME", "a run to report (default: all runs)"},
        {"output", 'o', OPTION_STRING, &c.output, "FILE", "the page, whole or not at all"},
        {"figures", 0, OPTION_STRING, &c.figures, "FOLDER",
         "where figures, their scripts and data go (default: FILE with .figures for .html)"},
        {"title", 't', OPTION_STRING, &c.title, "TEXT",
         "the page's title (default: from the logbook's name)"},
        {"quiet", 'q', OPTION_FLAG, &c.quiet, NULL, "show no progress"},
        {0}};
    const struct program program = {
        .verb = "report",
        .operands = "DB",
        .purpose = "one page with what all analyses found, in words, figures and tables",
        .details =
            "The page needs nothing beside it and no network. Figures are files as well, each a gnuplot "
            "script "
            "with its\ndata: 'gnuplot FIGURE.gp' draws it again, with -e \"format='pdf'\" for a paper.\n",
        .examples =
            "moescope report log.db -o report.html\n"
            "moescope report log.db --run top2 --run dense -o top2.html --title 'Top-2 against dense'\n",
        .options = options,
        .min_operands = 1,
        .max_operands = 1,
    };
    int status = program_main(&program, argc, argv, &c.output, make_report, &c);
    string_list_release(&c.runs);
    return status;
}
