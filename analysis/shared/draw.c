/* gnuplot, side by side as far as there are processors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/figure.h"
#include "analysis/shared/jobs.h"
#include "base/file.h"
#include "base/progress.h"

static int write_style(const char *folder, struct error *err)
{
    struct text path;
    struct output out;
    int result = -1;
    text_init(&path);
    text_printf(&path, "%s/style.gp", folder);
    if (path.failed)
        error_no_memory(err, "the figures");
    else if (output_open(&out, path.data, err) == 0) {
        fputs(plot_file("style.gp"), out.stream);
        result = output_commit(&out, err);
        output_discard(&out);
    }
    text_release(&path);
    return result;
}

/* What gnuplot draws must not depend on who draws it. */
static int add_gnuplot(const char *folder, struct job_list *jobs, struct figure *f, const char *format,
                       struct error *err)
{
    struct text script, setting;
    text_init(&script);
    text_init(&setting);
    text_printf(&script, "%s.gp", f->name);
    text_printf(&setting, "format='%s'", format);
    const char *const argv[] = {"env", "LC_ALL=C.UTF-8", "gnuplot", "-e", setting.data, script.data, NULL};
    int result = script.failed || setting.failed ? error_no_memory(err, "the figures")
                                                 : job_add(jobs, folder, f, argv, err);
    text_release(&script);
    text_release(&setting);
    return result;
}

static int add_format(const struct figures *f, const char *folder, struct job_list *jobs, const char *format,
                      struct error *err)
{
    bool characters = strcmp(format, "txt") == 0;
    int result = 0;
    for (int i = 0; result == 0 && i < f->n; i++)
        if (!characters || !f->items[i]->map)
            result = add_gnuplot(folder, jobs, f->items[i], format, err);
    return result;
}

/* A word of the list after the other. */
static int add_formats(const struct figures *f, const char *folder, struct job_list *jobs,
                       const char *formats, struct error *err)
{
    int result = 0;
    while (*formats && result == 0) {
        char format[16];
        size_t n = strcspn(formats, " ");
        snprintf(format, sizeof format, "%.*s", (int)n, formats);
        result = add_format(f, folder, jobs, format, err);
        formats += n + strspn(formats + n, " ");
    }
    return result;
}

static int check_drawn(const char *folder, const struct job_list *jobs, struct error *err)
{
    for (int i = 0; i < jobs->n; i++) {
        const struct job *job = &jobs->jobs[i];
        if (job->status == 0)
            continue;
        /* env's own statuses for a program that is not there and one that cannot be run. */
        if (job->status == 127 || job->status == 126 || job->status == JOB_NOT_FOUND)
            return error_set(
                err, STATUS_MACHINE,
                "gnuplot is missing, so no page was written; scripts and data are in '%s': install "
                "gnuplot (Debian: gnuplot-nox) and run this again, or 'gnuplot FIGURE.gp' there",
                folder);
        const struct figure *drawn = job->of;
        return error_set(err, STATUS_MACHINE, "gnuplot failed on '%s/%s.gp': %s", folder, drawn->name,
                         job->complaint);
    }
    return 0;
}

static void show_progress(void *progress, int n_done)
{
    progress_update(progress, n_done, "figures");
}

static int run_gnuplot(const struct figures *f, const char *folder, const char *formats, bool quiet,
                       struct error *err)
{
    struct job_list jobs = {0};
    struct progress progress;
    int result = add_formats(f, folder, &jobs, formats, err);
    if (result == 0) {
        progress_start(&progress, "gnuplot", jobs.n, 0, quiet);
        result = job_list_run(&jobs, show_progress, &progress, err);
        progress_finish(&progress, "figures");
    }
    if (result == 0)
        result = check_drawn(folder, &jobs, err);
    job_list_release(&jobs);
    return result;
}

int figures_draw(const struct figures *f, const char *folder, const char *source, const char *formats,
                 bool quiet, struct error *err)
{
    if (write_style(folder, err) != 0)
        return -1;
    for (int i = 0; i < f->n; i++)
        if (figure_write(f->items[i], folder, source, err) != 0)
            return -1;
    return f->n > 0 ? run_gnuplot(f, folder, formats, quiet, err) : 0;
}
