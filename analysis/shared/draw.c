/* gnuplot, side by side as far as there are processors. */
#include <stdlib.h>

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
static int add_gnuplot(const char *folder, struct job_list *jobs, const struct figure *f, struct error *err)
{
    struct text script;
    text_init(&script);
    text_printf(&script, "%s.gp", f->name);
    const char *const argv[] = {"env", "LC_ALL=C.UTF-8", "gnuplot", script.data, NULL};
    int result = script.failed ? error_no_memory(err, "the figures") : job_add(jobs, folder, NULL, argv, err);
    text_release(&script);
    return result;
}

static int check_drawn(const struct figures *f, const char *folder, const struct job_list *jobs,
                       struct error *err)
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
        return error_set(err, STATUS_MACHINE, "gnuplot failed on '%s/%s.gp': %s", folder, f->items[i]->name,
                         job->complaint);
    }
    return 0;
}

static void show_progress(void *progress, int n_done)
{
    progress_update(progress, n_done, "figures");
}

static int run_gnuplot(const struct figures *f, const char *folder, bool quiet, struct error *err)
{
    struct job_list jobs = {0};
    struct progress progress;
    int result = 0;
    for (int i = 0; result == 0 && i < f->n; i++)
        result = add_gnuplot(folder, &jobs, f->items[i], err);
    if (result == 0) {
        progress_start(&progress, "gnuplot", jobs.n, 0, quiet);
        result = job_list_run(&jobs, show_progress, &progress, err);
        progress_finish(&progress, "figures");
    }
    if (result == 0)
        result = check_drawn(f, folder, &jobs, err);
    job_list_release(&jobs);
    return result;
}

int figures_draw(const struct figures *f, const char *folder, const char *source, bool quiet,
                 struct error *err)
{
    if (write_style(folder, err) != 0)
        return -1;
    for (int i = 0; i < f->n; i++)
        if (figure_write(f->items[i], folder, source, err) != 0)
            return -1;
    return f->n > 0 ? run_gnuplot(f, folder, quiet, err) : 0;
}
