#include "tests/fuzz/importing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import/shared/reading.h"
#include "sql/read.h"

/* fuzz_file lends its names for four calls. */
static char log_path[4096], trace_path[4096], ids_path[4096], logbook_path[4096];

/* A logbook without runs, whose tables are made once. */
static uint8_t *fresh;
static size_t n_fresh;

void fuzz_import_open(void)
{
    static const char trace[] = "{\"step\":0,\"layer\":0,\"top_indices\":[[1,2],[0,3],[2,1]]}\n"
                                "{\"step\":0,\"layer\":1,\"top_indices\":[[1,2],[0,3],[2,1]]}\n"
                                "{\"step\":2,\"layer\":0,\"top_indices\":[[1,2],[0,3]]}\n";
    struct logbook *lb;
    struct error err;
    snprintf(log_path, sizeof log_path, "%s", fuzz_file("log"));
    snprintf(trace_path, sizeof trace_path, "%s", fuzz_file("trace"));
    snprintf(ids_path, sizeof ids_path, "%s", fuzz_file("ids"));
    snprintf(logbook_path, sizeof logbook_path, "%s", fuzz_file("log.db"));
    fuzz_write("trace", trace, sizeof trace - 1);
    fuzz_write("ids", "1 2 3 4 5 6", 11);
    fuzz_require(moescope_open(&lb, logbook_path, &err) == 0, err.text);
    moescope_close(lb);
    free(fresh);
    fresh = fuzz_read(logbook_path, &n_fresh);
}

static void check_whole(struct logbook *lb)
{
    struct check_finding findings[CHECK_MAX_FINDINGS];
    struct error err;
    int n = CHECK_MAX_FINDINGS;
    fuzz_require(logbook_check(lb, findings, &n, &err) == 0, "a logbook can be checked");
    for (int i = 0; i < n; i++) {
        fuzz_require(findings[i].violations == 0, findings[i].detail);
    }
}

static void import_again(struct reading *d, const struct request *r)
{
    static const struct moescope_setting setting = {"import.format", "\"fuzz\""};
    struct logbook *lb;
    struct keep *keep = NULL;
    struct error err;
    fuzz_write("log.db", fresh, n_fresh);
    fuzz_require(moescope_open(&lb, logbook_path, &err) == 0, err.text);
    const struct keep_run imported = {.logbook = lb,
                                      .name = "a",
                                      .split = d->format->split,
                                      .router = "imported",
                                      .texts = "0",
                                      .config = &setting,
                                      .n_config = 1};
    fuzz_require(logbook_begin_whole(lb, &err) == 0, "a transaction begins");
    int result = keep_open(&keep, &imported, &d->survey, r, &d->side, &err);
    if (result == 0) {
        result = reading_keep(d, keep, &err);
    }
    keep_close(keep);
    result = logbook_end_whole(lb, result, &err);
    fuzz_require(result == 0 || err.text[0] != '\0', "an error has words");
    check_whole(lb);
    moescope_close(lb);
}

void fuzz_import(const struct importing *i)
{
    static const char *accepted[N_TRAPS];
    const bool is_trace = i->from == NULL;
    const char *path = is_trace ? trace_path : log_path;
    const char *files[2] = {path, path};
    char *domains[2] = {NULL, NULL};
    struct error err;
    for (int t = 0; t < N_TRAPS; t++) {
        accepted[t] = trap_name((enum trap)(t + 1));
    }
    struct request r = {.from = is_trace ? "megatron" : i->from,
                        .layer_base = -1,
                        .experts = i->flags & ASKS_EXPERTS ? 8 : 0,
                        .topk = i->flags & ASKS_TOPK ? 2 : 0,
                        .layers = i->flags & ASKS_TOPK ? 2 : 0,
                        .shared = i->flags & WITH_SHARED ? 1 : 0,
                        .ranks = i->flags & TWICE ? RANKS_SUM : RANKS_AUTO,
                        .select = i->select,
                        .axes = i->axes,
                        .tokens = i->flags & WITH_TOKENS ? ids_path : NULL,
                        .documents = is_trace ? log_path : NULL,
                        .files = files,
                        .domains = domains,
                        .n_files = i->flags & TWICE ? 2 : 1};
    if (i->flags & ACCEPTS) {
        r.accept = (struct string_list){accepted, N_TRAPS};
    }
    struct reading d = {.progress = {.quiet = true}};
    int result = reading_survey(&d, &r, &err);
    fuzz_require(result == 0 || err.text[0] != '\0', "an error has words");
    if (result == 0 && findings_refuse(&d.survey.findings, NULL) == 0) {
        import_again(&d, &r);
    }
    reading_release(&d);
}
