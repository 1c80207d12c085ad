#include "import/shared/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import/shared/findings.h"
#include "sql/logbook.h"

void request_options(struct request *r, struct option_spec options[N_REQUEST_OPTIONS])
{
    *r = (struct request){.from = "auto", .layer_base = -1};
    const struct option_spec all[N_REQUEST_OPTIONS] = {
        {"from", 0, OPTION_STRING, &r->from, "FORMAT", "what the files are (default auto: by their content)"},
        {"experts", 0, OPTION_INT, &r->experts, "N",
         "routed experts of a layer (default: as many as are seen)"},
        {"layers", 0, OPTION_INT, &r->layers, "N", "layers of the model, where the file cannot say"},
        {"topk", 0, OPTION_INT, &r->topk, "K", "experts of a token, where the file cannot say"},
        {"step", 0, OPTION_INT, &r->step, "N", "the step of files that name none (default 0)"},
        {"ranks", 0, OPTION_STRING, &r->ranks_word, "HOW",
         "several files are: sum (other tokens each), replicas (the same: the first counts), layers (others "
         "each)"},
        {"layer-base", 0, OPTION_INT, &r->layer_base, "N", "0 or 1: the number of the model's first layer"},
        {"shared", 0, OPTION_INT, &r->shared, "N", "the last N columns are shared experts, to be left out"},
        {"axes", 0, OPTION_STRING, &r->axes, "ORDER",
         "of an array: LTE or TLE (layers, tokens, experts), LTK or TLK"},
        {"select", 0, OPTION_STRING, &r->select, "HOW",
         "from logits: softmax-topk, topk-softmax or sigmoid, with --topk"},
        {"columns", 0, OPTION_STRING, &r->columns, "MAP",
         "of csv and jsonl: step=NAME,layer=NAME,token=NAME,slot=NAME,expert=NAME,gate=NAME,..."},
        {"tokens", 0, OPTION_STRING, &r->tokens, "FILE",
         "ids of the tokens, in order: npy or numbers as text"},
        {"documents", 0, OPTION_STRING, &r->documents, "FILE",
         "CSV or JSON lines of document,domain,first,length[,LABEL...]"},
        {"domain", 0, OPTION_LIST, &r->domain_files, "NAME=FILE",
         "a file more, all of it of that domain; repeatable"},
        {"accept", 0, OPTION_LIST, &r->accept, "TRAP",
         "go on although the doctor refuses it, as the manual says; repeatable"},
        {0}};
    memcpy(options, all, sizeof all);
}

void request_base_name(const char *path, char *name, size_t size)
{
    const char *slash = strrchr(path, '/'), *from = slash != NULL ? slash + 1 : path;
    const char *dot = strrchr(from, '.');
    size_t n = dot != NULL && dot > from ? (size_t)(dot - from) : strlen(from);
    n = n < size ? n : size - 1;
    memcpy(name, from, n);
    name[n] = '\0';
}

void request_file_name(const struct request *r, int file, char *name, size_t size)
{
    char other[256], own[256];
    request_base_name(r->files[file], own, sizeof own);
    snprintf(name, size, "%s", own);
    for (int i = 0; i < r->n_files; i++) {
        request_base_name(r->files[i], other, sizeof other);
        if (i != file && strcmp(own, other) == 0) {
            snprintf(name, size, "%s", r->files[file]);
        }
    }
}

static int parse_ranks(struct request *r, struct error *err)
{
    static const char *const words[] = {"auto", "sum", "replicas", "layers"};
    r->ranks = RANKS_AUTO;
    for (int i = 0; r->ranks_word != NULL && i < 4; i++) {
        if (strcmp(words[i], r->ranks_word) == 0) {
            r->ranks = (enum ranks)i;
            return 0;
        }
    }
    return r->ranks_word == NULL
               ? 0
               : error_set(err, STATUS_USAGE, "--ranks is sum, replicas or layers, not '%s'", r->ranks_word);
}

static int check(const struct request *r, struct error *err)
{
    const struct {
        const char *name;
        int64_t value, least, most;
    } numbers[] = {{"experts", r->experts, 0, 65536}, {"layers", r->layers, 0, LOGBOOK_MAX_LAYERS},
                   {"topk", r->topk, 0, 65536},       {"step", r->step, 0, INT64_MAX / 2},
                   {"shared", r->shared, 0, 64},      {"layer-base", r->layer_base, -1, 1}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (numbers[i].value < numbers[i].least || numbers[i].value > numbers[i].most) {
            return error_set(err, STATUS_USAGE, "--%s %lld is out of range", numbers[i].name,
                             (long long)numbers[i].value);
        }
    }
    if (r->split != NULL && strcmp(r->split, "train") != 0 && strcmp(r->split, "valid") != 0 &&
        strcmp(r->split, "probe") != 0 && strcmp(r->split, "routed") != 0 && strcmp(r->split, "seen") != 0) {
        return error_set(err, STATUS_USAGE, "--split is train, valid, probe, routed or seen, not '%s'",
                         r->split);
    }
    return findings_check_accepted(&r->accept, err);
}

static int add_domain_file(struct request *r, const char *pair, struct error *err)
{
    const char *equals = strchr(pair, '=');
    if (equals == NULL || equals == pair || equals[1] == '\0') {
        return error_set(err, STATUS_USAGE, "--domain '%s' is not NAME=FILE", pair);
    }
    r->domains[r->n_files] = strndup(pair, (size_t)(equals - pair));
    if (r->domains[r->n_files] == NULL) {
        return error_no_memory(err, "a domain");
    }
    r->files[r->n_files++] = equals + 1;
    return 0;
}

int request_complete(struct request *r, char **files, int n, struct error *err)
{
    if (parse_ranks(r, err) != 0 || check(r, err) != 0) {
        return -1;
    }
    size_t most = (size_t)n + (size_t)r->domain_files.n;
    if (most == 0) {
        return error_set(err, STATUS_USAGE, "no file is named");
    }
    r->files = calloc(most, sizeof *r->files);
    r->domains = calloc(most, sizeof *r->domains);
    if (r->files == NULL || r->domains == NULL) {
        return error_no_memory(err, "the names of files");
    }
    for (; r->n_files < n; r->n_files++) {
        r->files[r->n_files] = files[r->n_files];
    }
    for (int i = 0; i < r->domain_files.n; i++) {
        if (add_domain_file(r, r->domain_files.items[i], err) != 0) {
            return -1;
        }
    }
    for (; r->ranks == RANKS_REPLICAS && r->n_files > 1; r->n_files--) { /* the first counts */
        free(r->domains[r->n_files - 1]);
    }
    return 0;
}

void request_release(struct request *r)
{
    for (int i = 0; i < r->n_files; i++) {
        free(r->domains[i]);
    }
    free(r->domains);
    free(r->files);
    string_list_release(&r->domain_files);
    string_list_release(&r->accept);
}
