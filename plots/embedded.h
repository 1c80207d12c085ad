/* The table plots/embed.sh makes of the gnuplot scripts and the page's style sheet. */
#ifndef PLOTS_EMBEDDED_H
#define PLOTS_EMBEDDED_H

struct plot_file {
    const char *name, *text; /* "loss.gp" */
};
extern const struct plot_file plot_files[];
extern const int n_plot_files;

#endif
