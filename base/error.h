/* Errors are values: every function that can fail takes a `struct error *` last and returns 0, or -1
 * after filling it in. Libraries never print and never exit; a program prints `err.text` once and exits
 * with `err.status`. Messages are lower case, cause first, the subject in quotes, and end by saying what
 * to do next where that is known: "cannot open 'x.db': no such file; train a run first". */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

/* Exit statuses of every program. */
enum status {
    STATUS_OK = 0,
    STATUS_FINDING = 1, /* the finding asked for with --exit-code holds */
    STATUS_USAGE = 2,   /* the command line or the configuration is wrong */
    STATUS_INPUT = 3,   /* the input cannot be used: missing, not a logbook, corrupt, no such run */
    STATUS_MACHINE = 4  /* the machine failed: disk full, no memory, a tool missing */
};

struct error {
    enum status status;
    char text[1024];
};

/* Fills in *err (which may be NULL) and returns -1, so that `return error_set(...)` reads well. */
int error_set(struct error *err, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the text that is there; returns -1. */
int error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The usual complaint when malloc returned NULL; `what` names what it was for. */
int error_no_memory(struct error *err, const char *what);

/* Maps errno to a status and says "cannot VERB 'PATH': REASON". */
int error_errno(struct error *err, const char *verb, const char *path);

/* The same for an output: that it cannot be written is never the input's fault, whatever errno says. */
int error_output(struct error *err, const char *verb, const char *path);

/* Seen by the compiler and by static analysis, the value is -1 and nothing else: without this they follow the
 * path on which a failure counts as success. */
static inline int error_value(int value)
{
    (void)value;
    return -1;
}
#define error_set(...)                error_value(error_set(__VA_ARGS__))
#define error_prefix(...)             error_value(error_prefix(__VA_ARGS__))
#define error_no_memory(err, what)    error_value(error_no_memory(err, what))
#define error_errno(err, verb, path)  error_value(error_errno(err, verb, path))
#define error_output(err, verb, path) error_value(error_output(err, verb, path))

#endif
