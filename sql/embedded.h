/* The table sql/embed.sh makes of the .sql files; sql_text() and sql_name() in sql/read.h read it. */
#ifndef SQL_EMBEDDED_H
#define SQL_EMBEDDED_H

struct sql_file {
    const char *name, *text;
};
extern const struct sql_file sql_files[]; /* sorted by name */
extern const int n_sql_files;

#endif
