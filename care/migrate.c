/* moescope migrate: take a logbook of an older schema to the present one. */
#include <stdio.h>
#include <stdlib.h>

#include "base/options.h"
#include "base/text.h"
#include "sql/migrate.h"

struct choices {
    const char *backup;
    bool no_backup;
};

static char *default_backup(const char *path)
{
    struct text name;
    text_init(&name);
    text_printf(&name, "%s.backup", path);
    return text_detach(&name);
}

static int migrate(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    const struct choices *c = context;
    const char *path = operands[0];
    struct logbook_migration done;
    (void)n_operands, (void)out;
    if (c->backup != NULL && c->no_backup) {
        return error_set(err, STATUS_USAGE, "--backup and --no-backup exclude each other");
    }
    char *own = c->backup == NULL && !c->no_backup ? default_backup(path) : NULL;
    if (own == NULL && c->backup == NULL && !c->no_backup) {
        return error_no_memory(err, "the backup's name");
    }
    const char *backup = c->backup != NULL ? c->backup : own;
    int result = logbook_migrate(path, backup, &done, err);
    if (result == 0 && done.from == done.to) {
        fprintf(stderr, "moescope migrate: '%s' is of schema version %d already\n", path, done.to);
    } else if (result == 0) {
        fprintf(stderr, "moescope migrate: '%s' went from schema version %d to %d%s%s%s\n", path, done.from,
                done.to, backup != NULL ? "; as it was: '" : "", backup != NULL ? backup : "",
                backup != NULL ? "'" : "");
    }
    free(own);
    return result;
}

int main(int argc, char **argv)
{
    struct choices c = {0};
    const struct option_spec options[] = {
        {"backup", 0, OPTION_STRING, &c.backup, "FILE",
         "keep the logbook as it was in FILE, which must not be there yet (default DB.backup)"},
        {"no-backup", 0, OPTION_FLAG, &c.no_backup, NULL, "keep no backup"},
        {0}};
    const struct program program = {
        .verb = "migrate",
        .operands = "DB",
        .purpose = "take a logbook of an older schema to the present one",
        .details =
            "Programs that read take a logbook of any older schema as it is; those that write want the "
            "present one.\nNothing changes a schema but this program. It first makes a backup, then does "
            "all in one transaction:\nkilled, or out of room, the logbook is as it was. A logbook of the "
            "present schema is left alone; one of a\nnewer schema is refused.\n",
        .examples = "moescope migrate log.db\n"
                    "moescope migrate log.db --backup old/log.db\n",
        .options = options,
        .min_operands = 1,
        .max_operands = 1};
    return program_main(&program, argc, argv, NULL, migrate, &c);
}
