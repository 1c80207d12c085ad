#include "tests/fuzz/hostile.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "sql/db.h"
#include "sql/extension.h"
#include "sql/read.h"
#include "tests/support.h"
#include "tests/trial.h"

/* ---- limits ---- */

enum { TICK = 1000 /* instructions of SQLite's machine */, MOST_TICKS = 150 };
static int ticks;

static int tick(void *context)
{
    (void)context;
    return ++ticks > MOST_TICKS;
}

static int limit_connection(sqlite3 *db, char **message, const struct sqlite3_api_routines *api)
{
    (void)message, (void)api;
    sqlite3_progress_handler(db, TICK, tick, NULL);
    return SQLITE_OK;
}

void hostile_limit(void)
{
    sqlite3_auto_extension((void (*)(void))limit_connection);
}

void hostile_rest(void)
{
    ticks = 0;
}

/* Until the next rest. */
static void lift_limit(void)
{
    ticks = INT_MIN;
}

/* ---- a valid logbook ---- */

enum { TOKENS = 5, STEPS = 3 };

/* Fixed, varying and soft. */
static const struct moescope_layer small[] = {
    {.layer = 0, .router = "topk", .n_experts = 4, .k = 2, .expert_parameters = 10},
    {.layer = 2, .router = "threshold", .n_experts = 3, .n_shared = 1},
    {.layer = 3, .router = "soft", .n_experts = 3, .k = 3}};
/* The same, and so many experts that an id takes two bytes. */
static const struct moescope_layer large[] = {
    {.layer = 0, .router = "topk", .n_experts = 4, .k = 2, .expert_parameters = 10},
    {.layer = 2, .router = "threshold", .n_experts = 3},
    {.layer = 3, .router = "soft", .n_experts = 3, .k = 3},
    {.layer = 5, .router = "topk", .n_experts = 260, .k = 1}};
static const float probability[TOKENS * 4] = {0.5f, 0.25f, 0.125f, 0.125f, 0.1f,  0.2f, 0.3f, 0.4f, 1,   0, 0,
                                              0,    0.25f, 0.25f,  0.25f,  0.25f, 0.7f, 0.1f, 0.1f, 0.1f};

static void add_blocks(struct moescope_batch *b, int handle, int64_t step, int n_layers, const char *split)
{
    static const int32_t two[] = {0, 1, 3, 2, 0, 1, 1, 0, 0, 3}, some[] = {2, 0, 1, 1, 0},
                         offsets[] = {0, 2, 2, 3, 4, 5},
                         every[] = {0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2},
                         one[] = {259, 1, 7, 128, 256};
    static const uint8_t dropped[] = {0, 0, 0, 1, 0, 0, 0, 0, 1, 0};
    static const float unknown[] = {NAN, NAN, NAN, NAN, NAN};
    const struct moescope_block blocks[] = {
        {.layer = 0,
         .n_experts = 4,
         .k = 2,
         .expert = two,
         .gate = probability,
         .dropped = step ? dropped : NULL},
        {.layer = 2,
         .n_experts = 3,
         .offsets = offsets,
         .expert = some,
         .gate = step == 1 ? unknown : probability},
        {.layer = 3, .n_experts = 3, .k = 3, .expert = every, .gate = probability},
        {.layer = 5, .n_experts = 260, .k = 1, .expert = one, .gate = probability}};
    for (int i = 0; i < n_layers; i++) {
        moescope_batch_routing(b, handle, &blocks[i]);
        if (i < 3 && strcmp(split, "probe") == 0) {
            moescope_batch_probability(b, handle, blocks[i].layer, blocks[i].n_experts, probability);
        }
    }
}

static void add_pass(struct trial *t, struct moescope_batch *b, int64_t step, const char *split, int n_layers)
{
    static const int32_t ids[] = {1, 2, 3, 0, 2, 1};
    static const float loss[TOKENS] = {0.5f, 1, 70, 1.5f, 2};
    for (int d = 0; d < 2; d++) {
        const struct moescope_sequence q = {
            .document_id = t->document_ids[d], .offset = d, .n_tokens = TOKENS - d, .ids = ids, .loss = loss};
        if (d == 0) {
            add_blocks(b, moescope_batch_sequence(b, step, split, &q), step, n_layers, split);
        } else {
            moescope_batch_sequence(b, step, split, &q);
        }
        moescope_batch_document_loss(b, step, split, t->document_ids[d], q.n_tokens, 2 * q.n_tokens, 76 - d);
    }
}

static void add_loads(struct moescope_batch *b, int64_t step, const char *split)
{
    static const int64_t some[] = {4, 3, 0, 1};
    static const double sums[] = {1.5, 0.5, 0.25, 0.125};
    struct moescope_load load = {
        .n_experts = 4, .assignments = some, .dropped = some, .gate_sum = sums, .probability_sum = sums};
    moescope_batch_load(b, step, split, &load);
    load.n_experts = 3;
    load.layer = 2;
    load.dropped = NULL;
    moescope_batch_load(b, step, split, &load);
    load.layer = 3;
    load.domain_id = 1;
    moescope_batch_load(b, step, split, &load);
}

static void add_run(struct trial *t, const char *name, const struct moescope_layer *layers, int n_layers,
                    int gate_bits)
{
    struct error err;
    trial_run(t, name, layers, n_layers, gate_bits);
    for (int64_t step = 0; step < STEPS; step++) {
        struct moescope_batch *b = moescope_batch_new(t->writer, &err);
        test_must(b != NULL ? 0 : -1, &err);
        moescope_batch_metric(b, step, "train", "loss", step == 1 ? INFINITY : 1.25);
        moescope_batch_metric(b, step, "train", "seconds", 0.5);
        moescope_batch_layer_metric(b, step, "train", 0, "router_entropy", 1.25);
        moescope_batch_layer_metric(b, step, "train", 0, "rank_mass_2", 0.75);
        add_loads(b, step, "train");
        add_loads(b, step, "probe");
        add_pass(t, b, step, "train", n_layers);
        add_pass(t, b, step, "probe", n_layers);
        moescope_batch_event(b, step, "alarm", 0, 1, 0.5, "an expert starves");
        test_must(moescope_batch_commit(b, &err), &err);
    }
    trial_end(t, "finished");
}

/* ---- SQLite, beside logbook_open: as little of it as does ---- */

static struct logbook connect_file(const char *path)
{
    struct logbook lb = {.path = (char *)path, .writable = true};
    fuzz_require(sqlite3_open_v2(path, &lb.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) == SQLITE_OK,
                 "a file is opened");
    return lb;
}

static void must(struct logbook *lb, const char *sql)
{
    struct error err;
    test_must(db_exec(lb, sql, "write", &err), &err);
}

static void try(struct logbook *lb, const char *sql)
{
    (void)sqlite3_exec(lb->db, sql, NULL, NULL, NULL);
}

uint8_t *hostile_logbook(size_t *n)
{
    struct trial t;
    lift_limit();
    trial_open(&t);
    add_run(&t, "first", small, 3, 8);
    add_run(&t, "second", large, 4, 16);
    trial_stop(&t);
    struct logbook lb = connect_file(t.path);
    must(&lb, "DELETE FROM _integer WHERE i > 263; PRAGMA page_size = 512; VACUUM");
    sqlite3_close(lb.db);
    uint8_t *bytes = fuzz_read(t.path, n);
    trial_release(&t);
    hostile_rest();
    return bytes;
}

/* The statement that makes a table with the same columns, and no more than them. */
static const char loosely[] =
    "SELECT 'CREATE TABLE ' || t.name || ' (' || "
    "group_concat('\"' || c.name || '\" ' || c.type || iif(c.pk = 1 AND c.\"notnull\" = 0, ' PRIMARY KEY', "
    "'')) || "
    "');' || char(10) || 'INSERT INTO main.' || t.name || ' SELECT * FROM valid.' || t.name || ';' "
    "FROM valid.sqlite_schema AS t, pragma_table_info(t.name, 'valid') AS c WHERE t.type = 'table' "
    "GROUP BY t.rowid ORDER BY t.rowid";

static void copy_loosely(struct logbook *lb)
{
    struct statement s;
    struct error err;
    struct text sql;
    const char *view;
    text_init(&sql);
    test_must(statement_open_text(&s, lb, "tables", loosely, &err), &err);
    while (statement_step(&s, &err) == 1) {
        text_add(&sql, (const char *)sqlite3_column_text(s.handle, 0));
    }
    statement_close(&s);
    must(lb, sql.data);
    for (int i = 0; (view = sql_name("views/", i)) != NULL; i++) {
        must(lb, sql_text(view));
    }
    text_release(&sql);
}

uint8_t *hostile_loose_logbook(size_t *n)
{
    char attach[512];
    uint8_t *valid = hostile_logbook(n);
    fuzz_write("valid.db", valid, *n);
    free(valid);
    remove(fuzz_file("loose.db"));
    struct logbook lb = connect_file(fuzz_file("loose.db"));
    snprintf(attach, sizeof attach, "PRAGMA page_size = 512; ATTACH '%s' AS valid; BEGIN",
             fuzz_file("valid.db"));
    must(&lb, attach);
    copy_loosely(&lb);
    must(&lb, "CREATE INDEX sequence_pass ON sequence (run_id, split, step, sample_id)");
    must(&lb, "PRAGMA application_id = 0x4D6F4573");
    snprintf(attach, sizeof attach, "PRAGMA user_version = %d; COMMIT", LOGBOOK_SCHEMA_VERSION);
    must(&lb, attach);
    sqlite3_close(lb.db);
    uint8_t *bytes = fuzz_read(fuzz_file("loose.db"), n);
    remove(fuzz_file("loose.db"));
    remove(fuzz_file("valid.db"));
    return bytes;
}

/* ---- writing ---- */

static const char *const texts[] = {"",
                                    "e8g8",
                                    "e8g16",
                                    "e16g8",
                                    "e16g16",
                                    "a8",
                                    "a16",
                                    "train",
                                    "probe",
                                    "valid",
                                    "routed",
                                    "first",
                                    "second",
                                    "running",
                                    "failed",
                                    "loss",
                                    "lm_loss",
                                    "shared",
                                    "dense",
                                    "topk",
                                    "'",
                                    "\"<&>",
                                    "%s%n%99d",
                                    "\x1b[2J",
                                    "\xff\xfe",
                                    "0x10",
                                    "1e999",
                                    "nan",
                                    "[]",
                                    "{}",
                                    "[[1,0,1,1]]",
                                    "[[9223372036854775807,0,1e308,\"x\"]]",
                                    "{\"a.b\":{\"c\":[1]},\"a.b\":1}",
                                    "[null]",
                                    "[[[[[[",
                                    "rank_mass_4611686018427387904",
                                    "rank_mass_-1",
                                    "router_entropy",
                                    "seconds",
                                    "2026-01-01T00:00:00.000Z"};
enum { N_TEXTS = sizeof texts / sizeof texts[0] };

static const double reals[] = {0.0,    -0.0,   1.0,     -1.0,     0.5,         1e308,
                               -1e308, 1e-320, 16384.0, INFINITY, 4294967296.5};
enum { N_REALS = sizeof reals / sizeof reals[0] };

static void bind_long_text(sqlite3_stmt *s, int parameter, struct fuzz_input *in)
{
    size_t n = (size_t)1 << fuzz_below(in, 16);
    char *text = malloc(n);
    fuzz_require(text != NULL, "there is memory");
    memset(text, "[x{\" \n"[fuzz_below(in, 6)], n);
    sqlite3_bind_text(s, parameter, text, (int)n, free);
}

static void bind_value(sqlite3_stmt *s, int parameter, struct fuzz_input *in)
{
    size_t n;
    uint8_t *piece;
    switch (fuzz_below(in, 9)) {
    case 0:
        sqlite3_bind_null(s, parameter);
        break;
    case 1:
        sqlite3_bind_int64(s, parameter, fuzz_below(in, 8));
        break;
    case 2:
        sqlite3_bind_int64(s, parameter, fuzz_extreme(in));
        break;
    case 3:
        sqlite3_bind_double(s, parameter, reals[fuzz_below(in, N_REALS)]);
        break;
    case 4:
        sqlite3_bind_text(s, parameter, texts[fuzz_below(in, N_TEXTS)], -1, SQLITE_STATIC);
        break;
    case 5:
        bind_long_text(s, parameter, in);
        break;
    case 6:
        sqlite3_bind_zeroblob(s, parameter, 1 << fuzz_below(in, 20));
        break;
    default:
        n = fuzz_byte(in);
        piece = fuzz_piece(in, n & 63, &n);
        if (fuzz_byte(in) & 1) {
            sqlite3_bind_text(s, parameter, (char *)piece, (int)n, free);
        } else {
            sqlite3_bind_blob(s, parameter, piece, (int)n, free);
        }
    }
}

/* A table and one of its columns, chosen by two bytes. */
struct place {
    char table[64], column[64];
};

static bool choose_place(struct logbook *lb, struct fuzz_input *in, struct place *p)
{
    static const char sql[] =
        "SELECT t.name, c.name FROM pragma_table_list AS t, pragma_table_info(t.name) AS c "
        "WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite%' "
        "ORDER BY t.name, c.cid LIMIT 1 OFFSET ?1";
    struct statement s;
    int at = (int)fuzz_number(in, 2) % 120;
    bool found = statement_open_text(&s, lb, "place", sql, NULL) == 0 &&
                 sqlite3_bind_int(s.handle, 1, at) == SQLITE_OK && sqlite3_step(s.handle) == SQLITE_ROW;
    if (found) {
        snprintf(p->table, sizeof p->table, "%s", (const char *)sqlite3_column_text(s.handle, 0));
        snprintf(p->column, sizeof p->column, "%s", (const char *)sqlite3_column_text(s.handle, 1));
    }
    statement_close(&s);
    return found;
}

/* Prepares SQL of which T stands for the place's table and C for its column; binds ?1 to a value, ?2 to a
 * row, ?3 and ?4 to places in it; steps once. */
static void change(struct logbook *lb, struct fuzz_input *in, const char *sql)
{
    struct place p;
    struct text t;
    struct statement s;
    if (!choose_place(lb, in, &p)) {
        return;
    }
    text_init(&t);
    for (const char *c = sql; *c != '\0'; c++) {
        if (*c == 'T' || *c == 'C') {
            text_printf(&t, "\"%s\"", *c == 'T' ? p.table : p.column);
        } else {
            text_add_bytes(&t, c, 1);
        }
    }
    if (statement_open_text(&s, lb, "change", t.data, NULL) == 0) {
        bind_value(s.handle, 1, in);
        sqlite3_bind_int(s.handle, 2, fuzz_byte(in) & 15);
        sqlite3_bind_int(s.handle, 3, fuzz_byte(in));
        sqlite3_bind_int(s.handle, 4, fuzz_byte(in) & 15);
        (void)sqlite3_step(s.handle);
    }
    statement_close(&s);
    text_release(&t);
}

/* What a schema may be made of in order to harm who reads it. */
static const char *const schemas[] = {
    "DROP VIEW expert_load; CREATE VIEW expert_load AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + "
    "1 "
    "FROM n) SELECT 1 AS run_id, i AS step, 'train' AS split, NULL AS domain_id, 0 AS layer, 0 AS expert, 1 "
    "AS "
    "assignments, 0 AS dropped, 1.0 AS gate_sum, 1.0 AS probability_sum FROM n",
    "DROP TABLE sequence; CREATE VIEW sequence AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 "
    "FROM n) "
    "SELECT i AS sequence_id, 1 AS run_id, 0 AS step, 'probe' AS split, 1 AS sample_id, NULL AS losses, 0 AS "
    "checksum FROM n",
    "DROP TABLE moe_layer; CREATE VIEW moe_layer AS SELECT 1 AS run_id, i AS layer, 'x' AS router, 65536 AS "
    "n_experts, 1 AS k FROM _integer",
    "DROP TABLE routing_block; CREATE VIEW routing_block AS SELECT s.sequence_id * 1024 AS block_id, 'a8' AS "
    "codec, 65536 AS k, 1.0 AS scale, NULL AS experts, zeroblob(1000000000) AS gates, NULL AS offsets, NULL "
    "AS "
    "dropped, 0 AS checksum FROM sequence AS s",
    "DROP TABLE sample; CREATE TABLE sample (sample_id INTEGER PRIMARY KEY, document_id, offset, n_tokens AS "
    "(1 << 40), sha256, tokens AS (zeroblob(1000000)), x); INSERT INTO sample (sample_id, document_id, "
    "offset) "
    "VALUES (1, 1, 0), (2, 2, 0), (3, 1, 1)",
    "DROP TABLE run; CREATE VIRTUAL TABLE run USING fts5 (run_id, uuid, name, task, router, seed, status, "
    "started_at, heartbeat_at, finished_at, vocabulary_id, corpus_id, config, program, machine); INSERT INTO "
    "run "
    "(run_id, name, config) VALUES (1, 'first', '{}')",
    "DROP TABLE token; CREATE VIRTUAL TABLE token USING rtree (token_id, a, b)",
    "DROP TABLE sequence; CREATE VIRTUAL TABLE sequence USING moescope_routing",
    "DROP TABLE sample; CREATE VIRTUAL TABLE sample USING moescope_token_loss",
    "DROP TABLE moe_layer; CREATE VIRTUAL TABLE moe_layer USING moescope_routing_count",
    "DROP TABLE _integer; CREATE VIEW _integer AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 "
    "FROM n) "
    "SELECT i FROM n",
    "INSERT INTO moe_layer SELECT 1, i + 6, 'x', 65536, 2 FROM _integer; UPDATE moe_layer SET n_experts = "
    "65536",
    "UPDATE sequence SET sequence_id = sequence_id + (1 << 60); UPDATE probability_block SET n_experts = 1 "
    "<< 61",
    "UPDATE sample SET n_tokens = n_tokens + (1 << 32); UPDATE routing_block SET k = 1 << 31",
    "UPDATE run SET name = NULL, status = NULL, router = NULL; UPDATE token SET text = NULL",
    "INSERT INTO moe_layer SELECT * FROM moe_layer; INSERT INTO expert SELECT * FROM expert",
    "UPDATE probability_block SET n_experts = 0, p = x''; UPDATE routing_block SET scale = -scale; DELETE "
    "FROM "
    "moe_layer WHERE layer = 0",
    "DELETE FROM _byte",
    "INSERT INTO _byte SELECT bytes FROM _byte",
    "UPDATE _byte SET bytes = zeroblob(256)",
    "DELETE FROM _integer WHERE i > 2",
    "DROP VIEW routing; CREATE VIEW routing AS SELECT * FROM routing_count",
    "DROP VIEW run_config; CREATE VIEW run_config AS SELECT run_id, key, value FROM run_config",
    "CREATE TRIGGER t AFTER INSERT ON run BEGIN DELETE FROM run; END",
    "CREATE INDEX x ON run (length(hex(zeroblob(100000000))))",
    "DROP TABLE layer_metric; DROP VIEW token_loss; DROP TABLE expert",
    "ALTER TABLE run RENAME COLUMN name TO names",
    "ALTER TABLE metric ADD COLUMN x GENERATED ALWAYS AS (value / 0)",
    "PRAGMA application_id = 0",
    "PRAGMA user_version = 2147483647",
    "PRAGMA user_version = -1",
    "PRAGMA user_version = 0",
    "PRAGMA journal_mode = WAL",
    "PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = 'CREATE VIEW routing AS' WHERE name = "
    "'routing'",
    "PRAGMA writable_schema = 1; UPDATE sqlite_schema SET rootpage = 3",
    "PRAGMA writable_schema = 1; INSERT INTO sqlite_schema SELECT * FROM sqlite_schema WHERE name = 'run'",
    "PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = replace(sql, 'INTEGER', 'TEXT COLLATE "
    "nowhere')",
    "DROP TABLE load_block; CREATE TABLE load_block (run_id, step, split, layer, domain_id, experts); INSERT "
    "INTO "
    "load_block SELECT 1, i, 'train', 0, 0, '[' || substr(replace(hex(zeroblob(2000)), '0', '[1,0,1,1],'), "
    "1, "
    "39999) || ']' FROM _integer",
    "UPDATE run SET config = replace(hex(zeroblob(20000)), '0', '['); UPDATE run SET config = config || "
    "replace(config, '[', ']')"};
enum { N_SCHEMAS = sizeof schemas / sizeof schemas[0] };
const int hostile_schemas = N_SCHEMAS;

/* A block whose lengths fit each other, with values of all kinds in it. */
static void fit_block(struct logbook *lb, struct fuzz_input *in)
{
    static const char sql[] =
        "UPDATE routing_block SET codec = ?1, k = ?2, scale = ?3, experts = ?4, gates = ?5, "
        "offsets = ?6, dropped = ?7 WHERE rowid IN (SELECT rowid FROM routing_block LIMIT 1 "
        "OFFSET ?8)";
    const struct codec *codec = &codecs[fuzz_below(in, N_CODECS)];
    int k = codec->expert_bytes == 0 ? 3 + (fuzz_below(in, 4) == 0) : fuzz_below(in, 5), n = 0;
    uint8_t offsets[2 * (TOKENS + 1)] = {0}, bytes[256];
    struct statement s;
    struct random r;
    for (int t = 0; t < TOKENS; t++) {
        n += k > 0 ? k : fuzz_below(in, 4);
        offsets[2 * t + 2] = (uint8_t)n;
    }
    random_seed(&r, fuzz_number(in, 2), 3);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bool high = codec->expert_bytes == 2 && i % 2; /* of an expert */
        bytes[i] = (uint8_t)(i >= 64 ? random_below(&r, 256) : high ? 0 : random_below(&r, 3));
    }
    if (statement_open_text(&s, lb, "fit", sql, NULL) == 0) {
        sqlite3_bind_text(s.handle, 1, codec->name, -1, SQLITE_STATIC);
        if (k > 0) {
            sqlite3_bind_int(s.handle, 2, k);
        } else {
            sqlite3_bind_blob(s.handle, 6, offsets, sizeof offsets, SQLITE_STATIC);
        }
        sqlite3_bind_double(s.handle, 3, reals[fuzz_below(in, N_REALS)]);
        if (codec->expert_bytes > 0) {
            sqlite3_bind_blob(s.handle, 4, bytes, n * codec->expert_bytes, SQLITE_STATIC);
        }
        if (fuzz_byte(in) & 3) {
            sqlite3_bind_blob(s.handle, 5, bytes + 64, n * codec->gate_bytes, SQLITE_STATIC);
        }
        if (fuzz_byte(in) & 1) {
            sqlite3_bind_blob(s.handle, 7, bytes + 128, (n + 7) / 8, SQLITE_STATIC);
        }
        sqlite3_bind_int(s.handle, 8, fuzz_below(in, 32));
        (void)sqlite3_step(s.handle);
    }
    statement_close(&s);
}

static void write_row(struct logbook *lb, struct fuzz_input *in)
{
    switch (fuzz_below(in, 9)) {
    case 0:
    case 1:
    case 2:
        change(lb, in, "update T set C = ?1 where rowid in (select rowid from T limit 1 offset ?2)");
        break;
    case 3:
        change(lb, in, "update T set C = ?1");
        break;
    case 4:
        change(lb, in, "delete from T where rowid in (select rowid from T limit 1 offset ?2)");
        break;
    case 5:
        change(lb, in, "insert or ignore into T (C) values (?1)");
        break;
    case 6:
        change(lb, in,
               "update T set C = cast(substr(C, 1, ?3) || ?1 || substr(C, ?3 + ?4) as blob) where rowid in "
               "(select rowid from T limit 1 offset ?2)");
        break;
    case 7:
        fit_block(lb, in);
        break;
    default:
        try(lb, schemas[fuzz_below(in, N_SCHEMAS)]);
    }
}

static void write_rows(const char *path, struct fuzz_input *in,
                       void (*write)(struct logbook *, struct fuzz_input *), const char *settings)
{
    enum { MOST_CHANGES = 10 };
    struct logbook lb = connect_file(path);
    sqlite3_progress_handler(lb.db, TICK, tick, NULL);
    sqlite3_limit(lb.db, SQLITE_LIMIT_LENGTH, 4 << 20);
    sqlite3_moescope_init(lb.db, NULL, NULL); /* so that a schema can name its modules */
    try(&lb, "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF");
    try(&lb, settings);
    for (int i = 0; i < MOST_CHANGES && in->n > 0; i++) {
        write(&lb, in);
    }
    sqlite3_close(lb.db);
}

void hostile_write(const char *path, struct fuzz_input *in)
{
    write_rows(path, in, write_row, "PRAGMA ignore_check_constraints = 1");
}

static void write_soundly(struct logbook *lb, struct fuzz_input *in)
{
    if (fuzz_below(in, 4) > 0) {
        fit_block(lb, in);
    } else {
        change(lb, in,
               "update or ignore T set C = ?1 where rowid in (select rowid from T limit 1 offset ?2)");
    }
}

void hostile_write_soundly(const char *path, struct fuzz_input *in)
{
    write_rows(path, in, write_soundly, "PRAGMA foreign_keys = 1");
}

/* ---- checksums ---- */

static void crc_of(sqlite3_context *context, int n, sqlite3_value **values)
{
    struct piece pieces[4];
    for (int i = 0; i < n && i < 4; i++) {
        pieces[i].bytes = sqlite3_value_blob(values[i]);
        pieces[i].n = (size_t)sqlite3_value_bytes(values[i]);
    }
    sqlite3_result_int64(context, piece_checksum(pieces, n));
}

static void sha_of(sqlite3_context *context, int n, sqlite3_value **values)
{
    char hex[SHA256_HEX];
    uint8_t bytes[32];
    const void *blob = sqlite3_value_blob(values[0]);
    (void)n;
    sha256_bytes(blob != NULL ? blob : "", (size_t)sqlite3_value_bytes(values[0]), hex);
    for (int i = 0; i < 32; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        bytes[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    sqlite3_result_blob(context, bytes, sizeof bytes, SQLITE_TRANSIENT);
}

void hostile_mend(const char *path)
{
    struct logbook lb = connect_file(path);
    sqlite3_create_function(lb.db, "crc", -1, SQLITE_UTF8, NULL, crc_of, NULL, NULL);
    sqlite3_create_function(lb.db, "sha", 1, SQLITE_UTF8, NULL, sha_of, NULL, NULL);
    try(&lb, "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF");
    try(&lb, "UPDATE routing_block SET checksum = crc(experts, gates, offsets, dropped)");
    try(&lb, "UPDATE probability_block SET checksum = crc(p)");
    try(&lb, "UPDATE sequence SET checksum = crc(losses)");
    try(&lb, "UPDATE sample SET sha256 = sha(tokens)");
    sqlite3_close(lb.db);
}

/* ---- the user's own SQL ---- */

void hostile_ask(const char *path, const char *sql)
{
    enum { MOST_ROWS = 50 };
    struct logbook lb = connect_file(path);
    struct query *q;
    struct error err;
    sqlite3_progress_handler(lb.db, TICK, tick, NULL);
    sqlite3_limit(lb.db, SQLITE_LIMIT_LENGTH, 1 << 20);
    if (query_open_text(&q, &lb, sql, &err) == 0) {
        for (int i = 0; i < MOST_ROWS && query_step(q, &err) == 1; i++) {
        }
        query_close(q);
    }
    fuzz_require(sqlite3_total_changes64(lb.db) == 0, "nothing was changed");
    fuzz_require(sqlite3_get_autocommit(lb.db) != 0, "no transaction was left open");
    sqlite3_close(lb.db);
}
