/* A text coloured by expert, run by run. */
#include <inttypes.h>

#include "analysis/shared/passage.h"
#include "analysis/shared/report_page.h"

static void add_passage(struct page *p, const struct report_run *run, const struct passage *passage)
{
    text_add(p->html, "<details><summary>A text coloured by expert: ");
    text_add_html(p->html, run->name);
    text_add(p->html, "</summary>\n<p class=note>");
    text_add_html(p->html, passage->document);
    text_printf(p->html,
                ", %s at step %" PRId64
                ", %d tokens. Every token stands on the colour of its first expert, whose "
                "number stands before the first of its tokens.</p>\n",
                passage->split, passage->step, passage->n_tokens);
    passage_add_html(passage, p->html);
    text_add(p->html, "</details>\n");
}

int page_add_passages(struct page *p, struct error *err)
{
    const struct report *r = p->report;
    for (int i = 0; i < r->n_trained; i++) {
        const struct report_run *run = &r->runs[i];
        struct passage passage;
        struct error why = {0};
        if (run->n_layers == 0 || !report_table(r, i, "specialization", "verdict"))
            continue;
        if (passage_read(&passage, r->logbook, run->run_id, run->name, run->layers, run->n_layers, NULL, -1,
                         &why) != 0) {
            if (why.status == STATUS_INPUT)
                continue; /* pruned, or never routed */
            *err = why;
            return -1;
        }
        add_passage(p, run, &passage);
        passage_release(&passage);
    }
    return 0;
}
