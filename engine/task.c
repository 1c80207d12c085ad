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
