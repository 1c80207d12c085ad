/* moescope report: what the other analyses found, in words, figures and tables, on one page. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/report.h"
#include "base/folder.h"

struct choices {
    struct string_list runs;
    const char *output, *figures, *title;
    bool quiet, terminal, svg_only;
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

static int make_report(struct report *r, const struct choices *c, FILE *out, struct error *err)
{
    struct text text;
    text_init(&text);
    int result = report_open(r, &c->runs, err);
    if (result == 0)
        result = report_collect(r, err);
    if (result == 0)
        result = report_draw(r, err);
    if (result == 0)
        result = c->terminal ? report_terminal(r, &text, err) : report_page(r, &text, err);
    if (result == 0)
        fwrite(text.data, 1, text.length, out);
    text_release(&text);
    return result;
}

/* ---- a folder for what nobody asked to keep ---- */

static int make_temporary(struct text *folder, struct error *err)
{
    const char *place = getenv("TMPDIR");
    text_printf(folder, "%s/moescope-report-XXXXXX", place && *place ? place : "/tmp");
    if (folder->failed)
        return error_no_memory(err, "the report");
    return mkdtemp(folder->data) ? 0 : error_errno(err, "make", folder->data);
}

static void remove_files(const char *path)
{
    struct folder_list files;
    if (folder_list(&files, path, NULL) == 0)
        folder_remove(path, (const char *const *)files.names);
    folder_list_release(&files);
}

static void remove_temporary(const char *path)
{
    struct text tables;
    text_init(&tables);
    text_printf(&tables, "%s/tables", path);
    if (!tables.failed)
        remove_files(tables.data);
    remove_files(path);
    text_release(&tables);
}

static int run(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    const struct choices *c = context;
    struct text folder;
    bool temporary = c->terminal && !c->figures;
    (void)n_operands;
    if (!c->terminal && (!c->output || !*c->output))
        return error_set(err, STATUS_USAGE,
                         "no output was named: -o FILE.html, or --terminal; see 'moescope report --help'");
    text_init(&folder);
    int result = temporary ? make_temporary(&folder, err) : 0;
    if (!temporary)
        add_folder(&folder, c);
    struct report r = {.db = operands[0],
                       .output = c->output ? c->output : "",
                       .folder = folder.data,
                       .title = c->title,
                       .quiet = c->quiet,
                       .terminal = c->terminal,
                       .svg_only = c->svg_only};
    if (result == 0)
        result = folder.failed ? error_no_memory(err, "the report") : make_report(&r, c, out, err);
    report_close(&r);
    if (temporary && !folder.failed)
        remove_temporary(folder.data);
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
        {"terminal", 0, OPTION_FLAG, &c.terminal, NULL,
         "print what was found and draw the figures in characters; only --figures keeps files then"},
        {"svg-only", 0, OPTION_FLAG, &c.svg_only, NULL,
         "no PDF and PNG of the figures, in a third of the time"},
        {"quiet", 'q', OPTION_FLAG, &c.quiet, NULL, "show no progress"},
        {0}};
    const struct program program = {
        .verb = "report",
        .operands = "DB",
        .purpose = "one page with what all analyses found, in words, figures and tables",
        .details =
            "The page needs nothing beside it and no network. Figures are files as well, each a gnuplot "
            "script "
            "with its\ndata, drawn as SVG, PDF and PNG; 'gnuplot FIGURE.gp' draws it again.\n",
        .examples =
            "moescope report log.db -o report.html\n"
            "moescope report log.db --terminal | less\n"
            "moescope report log.db --run top2 --run dense -o top2.html --title 'Top-2 against dense'\n",
        .options = options,
        .min_operands = 1,
        .max_operands = 1,
    };
    int status = program_main(&program, argc, argv, &c.output, run, &c);
    string_list_release(&c.runs);
    return status;
}
