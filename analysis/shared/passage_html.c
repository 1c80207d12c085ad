/* A passage as HTML. Colours are hues; lightness is the page's matter, so that light and dark both work. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/figure.h"
#include "analysis/shared/passage.h"
#include "analysis/shared/svg.h"

/* "expert 3 (0.41), then 7 (0.30)" */
static void add_choices(struct text *page, const struct passage_layer *l, int token)
{
    for (int32_t i = l->offset[token]; i < l->offset[token + 1]; i++) {
        text_printf(page, "%s%d", i == l->offset[token] ? "expert " : ", ", l->expert[i]);
        if (!isnan(l->gate[i]))
            text_printf(page, " (%.2f)", (double)l->gate[i]);
    }
}

static void add_token(struct text *page, const struct passage *p, const struct passage_layer *l, int token)
{
    int expert = passage_first(l, token), before = token > 0 ? passage_first(l, token - 1) : -1;
    struct text word, visible;
    bool breaks;
    text_init(&word);
    text_init(&visible);
    passage_add_token(&word, p, token, &breaks);
    text_add_visible(&visible, word.data ? word.data : "", "");
    if (expert >= 0) {
        text_printf(page, "<b class=x%d title=\"", expert);
        add_choices(page, l, token);
        text_add(page, "\">");
        if (token == 0 || expert != before)
            text_printf(page, "<sub>%d</sub>", expert);
    }
    text_add_html(page, visible.data ? visible.data : "");
    text_add(page, expert >= 0 ? "</b>" : "");
    text_add(page, breaks ? "<br>" : "");
    page->failed = page->failed || word.failed || visible.failed;
    text_release(&word);
    text_release(&visible);
}

struct used { /* an expert's first choices in the passage */
    int expert, count;
};

static int used_order(const void *left, const void *right)
{
    const struct used *a = left, *b = right;
    return a->count != b->count ? b->count - a->count : a->expert - b->expert;
}

/* Experts by first choices, busiest first; returns how many have any. used: (n_experts). */
static int count_used(const struct passage *p, const struct passage_layer *l, struct used *used)
{
    int n = 0;
    for (int e = 0; e < l->n_experts; e++)
        used[e] = (struct used){e, 0};
    for (int token = 0; token < p->n_tokens; token++) {
        int e = passage_first(l, token);
        if (e >= 0 && e < l->n_experts)
            used[e].count++;
    }
    qsort(used, (size_t)l->n_experts, sizeof *used, used_order);
    while (n < l->n_experts && used[n].count > 0)
        n++;
    return n;
}

/* "Expert 3 has 21 % of this text" for each that has some. */
static void add_legend(const struct passage *p, const struct passage_layer *l, struct text *page)
{
    struct used *used = malloc((size_t)l->n_experts * sizeof *used);
    if (!used) {
        page->failed = true;
        return;
    }
    int n = count_used(p, l, used);
    text_add(page, "<ul class=experts aria-label=\"Experts and their share of the first choices\">");
    for (int i = 0; i < n; i++)
        text_printf(page, "<li class=x%d>%d <sub>%.0f %%</sub>", used[i].expert, used[i].expert,
                    100.0 * used[i].count / p->n_tokens);
    text_add(page, "</ul>\n");
    free(used);
}

void passage_add_html(const struct passage *p, struct text *page)
{
    for (int i = 0; i < p->n_layers; i++) {
        const struct passage_layer *l = &p->layers[i];
        text_printf(page, "<h3>Layer %d</h3>\n", l->layer);
        add_legend(p, l, page);
        text_add(page, "<p class=passage>");
        for (int token = 0; token < p->n_tokens; token++)
            add_token(page, p, l, token);
        text_add(page, "</p>\n");
    }
}

void passage_add_style(int n_experts, struct text *page)
{
    text_add(page, plot_file("passage.css"));
    for (int e = 0; e < n_experts; e++)
        text_printf(page, ".x%d{--h:%.0f%s}", e, passage_hue(e), passage_is_deep(e) ? ";--d:1" : "");
    text_add(page, "\n");
}

/* How many experts the passage's first choices are among. */
static int count_experts(const struct passage *p)
{
    int n = 0;
    for (int i = 0; i < p->n_layers; i++)
        for (int token = 0; token < p->n_tokens; token++)
            n = passage_first(&p->layers[i], token) >= n ? passage_first(&p->layers[i], token) + 1 : n;
    return n;
}

static void add_head(const struct passage *p, const char *run, struct text *page)
{
    text_add(page,
             "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<meta name=viewport "
             "content=\"width=device-width, initial-scale=1\">\n<meta name=color-scheme content=\"light "
             "dark\">\n<title>");
    text_add_html(page, p->document);
    text_add(page, " by expert: ");
    text_add_html(page, run);
    text_add(page, "</title>\n<style>\n");
    text_add(page, plot_file("report.css"));
    passage_add_style(count_experts(p), page);
    text_add(page, "</style>\n</head>\n<body>\n<header>\n<p class=kicker>moescope specialization</p>\n<h1>");
    text_add_html(page, p->document);
    text_add(page, "</h1>\n<p class=about>Every token on the colour of its first expert, whose number stands "
                   "before the first of its tokens. Run <b>");
    text_add_html(page, run);
    text_printf(page,
                "</b>, %s at step %" PRId64 ", %d tokens. Experts of one number in two layers have nothing "
                "in common.</p>\n</header>\n<main>\n",
                p->split, p->step, p->n_tokens);
}

int passage_page(const struct passage *p, const char *run, FILE *out, struct error *err)
{
    struct text page;
    text_init(&page);
    add_head(p, run, &page);
    passage_add_html(p, &page);
    text_add(&page, "</main>\n</body>\n</html>\n");
    int result = page.failed ? error_no_memory(err, "the page") : 0;
    if (result == 0)
        fwrite(page.data, 1, page.length, out);
    text_release(&page);
    return result;
}
