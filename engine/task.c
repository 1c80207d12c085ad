#include "engine/task.h"

#include <string.h>

static const struct task *const tasks[] = {&task_language, &task_images, &task_norm, &task_gate, &task_mixed};

const struct task *task_find(const char *kind)
{
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) {
        for (int k = 0; tasks[i]->kinds[k]; k++) {
            if (strcmp(tasks[i]->kinds[k], kind) == 0)
                return tasks[i];
        }
    }
    return NULL;
}

int task_corpus(struct corpus *c, const struct config *config, struct error *err)
{
    const struct task *task = task_find(config_text(config, "model.kind"));
    const char *folder = config_text(config, "data.corpus");

    if (task && task->make_corpus)
        return task->make_corpus(c, config, err);
    if (!*folder)
        return error_set(err, STATUS_USAGE,
                         "data.corpus is not set; prepare one with 'moescope corpus FOLDER -o OUT' and pass "
                         "--set data.corpus=OUT");
    return corpus_load(c, folder, err);
}
