#include "tests/training.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/blas.h"
#include "tests/pictures.h"
#include "tests/support.h"

static void on_update(void *context, const struct trainer *t)
{
    struct training *r = context;

    r->stop = t->step + 1 == r->stop_after;
}

void training_prepare(struct training *r, settings s, int threads)
{
    struct error err = {0};

    memset(r, 0, sizeof *r);
    blas_start();
    memory_small_corpus(&r->corpus);
    memory_config(&r->config, s);
    memory_sink_open(&r->sink);
    r->folder = test_folder();
    snprintf(r->path, sizeof r->path, "%s/run.safetensors", r->folder);
    if (pool_open(&r->pool, threads, &err))
        fail_msg("%s", err.text);
}

int training_start(struct training *r, int64_t seed, struct error *err)
{
    if (trainer_init(&r->trainer, &r->config, &r->corpus, seed, r->pool, err))
        return -1;
    r->trainer.sink = &r->sink.sink;
    r->trainer.checkpoint_path = r->path;
    r->trainer.stop = &r->stop;
    r->trainer.report = on_update;
    r->trainer.report_context = r;
    r->stop_after = -1;
    return 0;
}

void training_open(struct training *r, settings s, int threads, int64_t seed)
{
    struct error err = {0};

    training_prepare(r, s, threads);
    if (training_start(r, seed, &err))
        fail_msg("%s", err.text);
}

void training_close(struct training *r)
{
    trainer_release(&r->trainer);
    trainer_release(&r->trainer); /* safe twice */
    memory_sink_release(&r->sink);
    config_release(&r->config);
    pool_close(r->pool);
    memory_corpus_release(&r->corpus);
    test_folder_remove(r->folder);
}

void training_open_pictures(struct training *r, settings s, int threads, int64_t seed)
{
    struct error err;
    char *folder = test_folder();

    training_prepare(r, s, threads);
    memory_corpus_release(&r->corpus);
    pictures_write(folder);
    test_must(corpus_load(&r->corpus, folder, &err), &err);
    test_folder_remove(folder);
    test_must(training_start(r, seed, &err), &err);
}

void training_close_pictures(struct training *r)
{
    struct corpus corpus = r->corpus;

    memset(&r->corpus, 0, sizeof r->corpus);
    training_close(r);
    corpus_release(&corpus);
}

enum train_outcome training_run(struct training *r)
{
    enum train_outcome outcome;
    struct error err = {0};

    if (trainer_run(&r->trainer, &outcome, &err))
        fail_msg("%s", err.text);
    return outcome;
}
