#include "import/shared/vocabulary.h"
int vocabulary_file_open(struct vocabulary_file *v, const char *path, struct error *err)
{
    (void)v;
    (void)path;
    (void)err;
    return 0;
}
void vocabulary_file_close(struct vocabulary_file *v)
{
    (void)v;
}
