/* A pull parser for JSON (RFC 8259): the caller asks for what it expects next, and nothing is kept but what
 * it asked for. Documents may follow one another, as in JSON lines. Arrays of integers, of which logs of
 * routing consist, have a fast way.
 *
 *     while ((more = json_document(&j, &err)) == 1)       each document of the file, {...} say
 *         while ((more = json_key(&j, key, &err)) == 1)   each member of that object
 *             strcmp(key, "step") == 0 ? json_integer(&j, &step, &err) : json_skip(&j, &err);
 *
 * Functions return 0, or -1 with *err naming file and line; those that ask whether something more comes
 * return 1 or 0. What is malformed is found where it is met, also in what is skipped. */
#ifndef IMPORT_SHARED_JSON_H
#define IMPORT_SHARED_JSON_H
#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "import/shared/input.h"

enum { JSON_KEY = 64, JSON_DEEPEST = 64 };

struct json {
    struct input *in;
    bool first; /* nothing of the object or array that was entered last has come yet */
    int depth;
};

enum json_kind { JSON_END, JSON_OBJECT, JSON_ARRAY, JSON_STRING, JSON_NUMBER, JSON_WORD /* true, null */ };

void json_start(struct json *j, struct input *in);

/* 1: a document begins; 0: the file ends. */
int json_document(struct json *j, struct error *err);
/* What kind of value comes next; JSON_END also for what can be none. */
enum json_kind json_peek(struct json *j);

/* Enters an object or array. STATUS_INPUT when something else comes; `what` names it in the complaint. */
int json_enter(struct json *j, enum json_kind kind, const char *what, struct error *err);
/* 1: the next member's key, cut to its buffer, its value comes next; 0: the object is left. */
int json_key(struct json *j, char key[JSON_KEY], struct error *err);
/* The same for keys of any length: at most `most` bytes of it, in place of what `key` held. */
int json_long_key(struct json *j, struct text *key, size_t most, struct error *err);
/* 1: the array's next item comes; 0: it is left. */
int json_item(struct json *j, struct error *err);

int json_integer(struct json *j, int64_t *value, struct error *err); /* also "3.0" */
int json_real(struct json *j, double *value, struct error *err);     /* also NaN, Infinity, null: NaN */
/* Added to `text`, at most `most` bytes of it, the rest is read and dropped. */
int json_string(struct json *j, struct text *text, size_t most, struct error *err);
/* A string in pieces, with its escapes undone, for those that are long. */
typedef int json_piece(void *context, const char *bytes, size_t n, struct error *err);
int json_string_pieces(struct json *j, json_piece *take, void *context, struct error *err);
int json_skip(struct json *j, struct error *err);
/* true or false. */
int json_truth(struct json *j, bool *value, struct error *err);
/* Whether null comes next, which is then taken. */
bool json_null(struct json *j);

/* Numbers that are collected; zeroed before first use. */
struct integers {
    int32_t *items;
    int64_t n, capacity;
};
int integers_reserve(struct integers *a, int64_t more, struct error *err);
void integers_release(struct integers *a);

/* The whole array that comes, [1,2,3]; its numbers are added. Each must fit into 32 bits. */
int json_integers(struct json *j, struct integers *a, struct error *err);
/* Rows [[1,2],[3,4]] of one width: *width is 0 before the first, or what it has to be. *rows: how many. */
int json_integer_rows(struct json *j, struct integers *a, int *width, int64_t *rows, struct error *err);

#endif
