/* What the parts of the report's page share: report_page.c is the whole, report_findings.c the words it opens
 * with, report_tables.c runs and experts, report_passage.c a text. */
#ifndef ANALYSIS_SHARED_REPORT_PAGE_H
#define ANALYSIS_SHARED_REPORT_PAGE_H
#include "analysis/shared/html.h"
#include "analysis/shared/report.h"

struct page {
    struct text *html;
    const struct report *report;
    const char *link; /* from the page to the figures' folder; NULL when that is not known */
    struct colours colours;
    int n_figures;
};

/* One item of a list of findings: who (may be NULL) and the verdict on the left, the sentence beside them
 * without the name it may begin with. */
void page_add_finding(struct page *p, const char *who, const char *verdict, const char *text);
/* Everything an analysis said, as a list of findings. */
void page_add_all_verdicts(struct page *p, int run, const char *verb);
void page_add_findings(struct page *p);
void page_add_runs_table(struct page *p);
/* Whom each expert serves: the layer that tells domains apart best in the open, the others behind a click. */
void page_add_experts(struct page *p, int run);

/* A column of compare's table of costs; NaN where there is none. */
double report_cost(const struct report *r, int run, const char *column);
/* The layer that tells domains apart best at the last step; -1 when that is not known. */
int report_best_layer(const struct report *r, int run);
/* An expert's share of tokens, the mean over domains (all have as many documents in the probe). */
double report_mean_share(const struct csv *lift, int layer, int expert);
/* The word that collapse has for the whole run ("healthy"), NULL when it has none. */
const char *report_load_word(const struct report *r, int run);

struct client { /* an expert and a domain that it serves: q < 0.05 */
    int expert;
    const char *domain;
    double lift, low, high;
};
enum { MOST_CLIENTS = 512 };
/* Those of a layer (of one expert, or all with expert -1) with at least that lift, the strongest first. */
int report_clients(const struct csv *lift, int layer, int expert, double least,
                   struct client clients[MOST_CLIENTS]);

/* One document as each run routed it, coloured by expert, behind a click; runs that did not keep it are left
 * out. */
int page_add_passages(struct page *p, struct error *err);

#endif
