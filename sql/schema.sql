-- The logbook's schema. Tables hold what was logged, packed; the views in sql/views/ are what people query.
-- Relations without a leading underscore or the word "block" are the public contract.

-- One row per training or routing run.
--     SELECT name, router, seed, status, config ->> '$."model.active_parameters"' AS active FROM run ORDER BY run_id;
CREATE TABLE run (
    run_id        INTEGER PRIMARY KEY,
    uuid          TEXT NOT NULL UNIQUE, -- 128 random bits: the identity that survives merging; the name is a label
    name          TEXT NOT NULL UNIQUE, -- what people call it
    task          TEXT NOT NULL,        -- language_model, classification, regression, mixture
    router        TEXT NOT NULL,        -- dense, topk, ...
    seed          INTEGER NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('running', 'finished', 'interrupted', 'failed', 'imported')),
    started_at    TEXT NOT NULL,        -- UTC, ISO 8601 with milliseconds
    heartbeat_at  TEXT,                 -- last committed batch: a running run that is long silent was killed
    finished_at   TEXT,                 -- NULL while it runs; of any end, good or bad
    vocabulary_id INTEGER REFERENCES vocabulary,
    corpus_id     INTEGER REFERENCES corpus,
    config        TEXT NOT NULL CHECK (json_valid(config)), -- object with dotted keys; see run_config
    program       TEXT,                 -- name and version of what wrote it
    machine       TEXT CHECK (machine IS NULL OR json_valid(machine)) -- cpu, threads, BLAS and its core type
) STRICT;

-- The logs that a run is made of. A process writes one log; the ranks of a data-parallel run write one each, all
-- under the run's uuid, and `moescope merge` adds them up. Of a log that was added to others, what it held by then
-- is kept: it could not be told from the sum whether it has grown since.
--     SELECT name, count(*) AS logs, max(origin) AS origin FROM run_part JOIN run USING (run_id) GROUP BY name;
CREATE TABLE run_part (
    run_id    INTEGER NOT NULL REFERENCES run,
    part      TEXT NOT NULL UNIQUE, -- 128 random bits; in a logbook of schema version 1 the run's uuid
    origin    TEXT,                 -- the file it was merged from; NULL: it was written here
    last_step INTEGER,              -- that it had logged, -1: none; NULL: the run is made of this log alone
    held      TEXT CHECK (held IS NULL OR json_valid(held)), -- its status and how many rows; NULL likewise
    added_at  TEXT NOT NULL,        -- UTC, ISO 8601 with milliseconds
    PRIMARY KEY (run_id, part)
) STRICT, WITHOUT ROWID;

-- The MoE blocks of a run; dense blocks have no row. Rows may differ by layer.
--     SELECT name, layer, n_experts, coalesce(k, 'varies') AS k FROM moe_layer JOIN run USING (run_id);
CREATE TABLE moe_layer (
    run_id    INTEGER NOT NULL REFERENCES run,
    layer     INTEGER NOT NULL, -- 0-based block index
    router    TEXT NOT NULL,
    n_experts INTEGER NOT NULL, -- routed experts
    k         INTEGER,          -- experts a token; NULL: varies by token
    PRIMARY KEY (run_id, layer)
) STRICT, WITHOUT ROWID;

-- One row per expert, so that an expert that is never chosen is a row and not an absence.
--     SELECT run_id, layer, kind, count(*) AS experts, sum(parameters) AS weights
--     FROM expert GROUP BY run_id, layer, kind;
CREATE TABLE expert (
    run_id     INTEGER NOT NULL REFERENCES run,
    layer      INTEGER NOT NULL,
    expert     INTEGER NOT NULL, -- from 0, the routed ones first
    kind       TEXT NOT NULL,    -- routed, shared
    parameters INTEGER NOT NULL, -- weights in it
    PRIMARY KEY (run_id, layer, expert)
) STRICT, WITHOUT ROWID;

--     SELECT v.name, count(*) AS pieces
--     FROM vocabulary AS v JOIN token USING (vocabulary_id) GROUP BY vocabulary_id;
CREATE TABLE vocabulary (
    vocabulary_id INTEGER PRIMARY KEY,
    name          TEXT NOT NULL,
    sha256        TEXT NOT NULL UNIQUE -- of the tokeniser's model
) STRICT;

--     SELECT token_id, text FROM token WHERE kind = 'piece' ORDER BY length(text) DESC, token_id LIMIT 10;
CREATE TABLE token (
    vocabulary_id INTEGER NOT NULL REFERENCES vocabulary,
    token_id      INTEGER NOT NULL,
    text          TEXT NOT NULL, -- spaces as spaces; a byte that is no character as <0xE3>
    kind          TEXT NOT NULL, -- piece, byte, special
    PRIMARY KEY (vocabulary_id, token_id)
) STRICT, WITHOUT ROWID;

--     SELECT c.name, d.split, count(*) AS documents, sum(d.n_tokens) AS tokens
--     FROM corpus AS c JOIN document AS d USING (corpus_id) GROUP BY c.name, d.split;
CREATE TABLE corpus (
    corpus_id INTEGER PRIMARY KEY,
    name      TEXT NOT NULL,
    sha256    TEXT NOT NULL UNIQUE -- of all documents, labels, splits and tokens
) STRICT;

-- How often each vocabulary item occurs in the corpus's train split.
--     SELECT text, train_count FROM token_count JOIN token USING (vocabulary_id, token_id)
--     ORDER BY train_count DESC LIMIT 10;
CREATE TABLE token_count (
    corpus_id     INTEGER NOT NULL REFERENCES corpus,
    vocabulary_id INTEGER NOT NULL REFERENCES vocabulary,
    token_id      INTEGER NOT NULL,
    train_count   INTEGER NOT NULL,
    PRIMARY KEY (corpus_id, vocabulary_id, token_id)
) STRICT, WITHOUT ROWID;

--     SELECT d.name, count(*) AS documents FROM domain AS d JOIN document USING (domain_id) GROUP BY domain_id;
CREATE TABLE domain (
    domain_id INTEGER PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE
) STRICT;

--     SELECT split, count(*) AS documents, sum(n_bytes) AS bytes, 1.0 * sum(n_bytes) / sum(n_tokens) AS per_token
--     FROM document GROUP BY split;
CREATE TABLE document (
    document_id INTEGER PRIMARY KEY,
    corpus_id   INTEGER NOT NULL REFERENCES corpus,
    domain_id   INTEGER NOT NULL REFERENCES domain,
    name        TEXT NOT NULL,
    sha256      TEXT NOT NULL,    -- of its text
    split       TEXT NOT NULL,    -- train, valid, probe, routed
    n_bytes     INTEGER NOT NULL, -- of its UTF-8 text, of its pixels
    n_tokens    INTEGER NOT NULL, -- predictions: one less than its ids; of an image: pixels, the most tokens that it can be
    UNIQUE (corpus_id, name)
) STRICT;

-- More than one label per document: language, topic, genre, class, source.
--     SELECT count(*) AS labelled, count(DISTINCT key) AS keys, count(DISTINCT value) AS labels FROM document_label;
CREATE TABLE document_label (
    document_id INTEGER NOT NULL REFERENCES document,
    key         TEXT NOT NULL,
    value       TEXT NOT NULL,
    PRIMARY KEY (document_id, key)
) STRICT, WITHOUT ROWID;

-- A piece of a document, stored once whatever runs and passes see it.
--     SELECT count(*) AS samples, sum(n_tokens) AS tokens, sum(length(tokens)) AS bytes FROM sample;
CREATE TABLE sample (
    sample_id   INTEGER PRIMARY KEY,
    document_id INTEGER NOT NULL REFERENCES document,
    offset      INTEGER NOT NULL, -- of its first token within the document
    n_tokens    INTEGER NOT NULL, -- inputs; one more id is kept, the last target
    sha256      BLOB NOT NULL,    -- of tokens
    tokens      BLOB NOT NULL,    -- little-endian ids, 2 bytes each when length is 2 * (n_tokens + 1), else 4
    UNIQUE (document_id, offset, n_tokens)
) STRICT;

-- One pass of one run over a sample.
--     SELECT run_id, split, step, count(*) AS sequences FROM sequence GROUP BY run_id, split, step;
CREATE TABLE sequence (
    sequence_id INTEGER PRIMARY KEY,
    run_id      INTEGER NOT NULL REFERENCES run,
    step        INTEGER NOT NULL, -- optimiser updates completed before this forward pass
    split       TEXT NOT NULL,    -- train, valid, probe, routed, seen
    sample_id   INTEGER NOT NULL REFERENCES sample,
    losses      BLOB,             -- 16-bit little-endian, 1/1024 nat, rounded; 65535: not finite or beyond
    checksum    INTEGER           -- CRC-32 of losses
) STRICT;
-- Finds a pass; with the sample in it, the question which samples are in use is answered by the index alone.
CREATE INDEX sequence_pass ON sequence (run_id, split, step, sample_id);

-- The decisions of one sequence in one layer. The rowid packs both: sequence_id * 1024 + layer.
--     SELECT codec, count(*) AS blocks, sum(length(experts) + coalesce(length(gates), 0)) AS bytes
--     FROM routing_block GROUP BY codec;
CREATE TABLE routing_block (
    block_id INTEGER PRIMARY KEY, -- sequence_id * 1024 + layer
    codec    TEXT NOT NULL,  -- e8g8, e8g16, e16g8, e16g16: bits an expert id, bits a gate; little-endian
                             -- a8, a16: all experts in order, ids implied
    k        INTEGER,        -- decisions a token; NULL: see offsets
    scale    REAL NOT NULL,  -- gate = scale / 16384 * stored / 255 (8 bits) or / 65535 (16 bits)
    experts  BLOB,           -- token by token, slot order
    gates    BLOB,           -- the same order; NULL: unknown
    offsets  BLOB,           -- n_tokens + 1 cumulative 16-bit counts, when k varies
    dropped  BLOB,           -- a bit a decision, lowest first, when any was refused by capacity
    checksum INTEGER NOT NULL -- CRC-32 of experts, gates, offsets, dropped, one after the other
) STRICT;

-- The router's whole probability vector, of the probe and of routed text: n_tokens x n_experts
-- 16-bit values, p = stored / 65535.
--     SELECT block_id % 1024 AS layer, n_experts, count(*) AS sequences FROM probability_block GROUP BY layer;
CREATE TABLE probability_block (
    block_id  INTEGER PRIMARY KEY, -- sequence_id * 1024 + layer
    n_experts INTEGER NOT NULL,
    p         BLOB NOT NULL,
    checksum  INTEGER NOT NULL -- CRC-32 of p
) STRICT;

-- Exact, unquantised loads, zeros included: an array of [assignments, dropped, gate_sum, probability_sum],
-- one entry an expert. Read it through the view expert_load.
--     SELECT run_id, split, count(*) AS rows, sum(length(experts)) AS bytes FROM load_block GROUP BY run_id, split;
CREATE TABLE load_block (
    run_id    INTEGER NOT NULL REFERENCES run,
    step      INTEGER NOT NULL,
    split     TEXT NOT NULL,
    layer     INTEGER NOT NULL,
    domain_id INTEGER NOT NULL, -- 0: all domains
    experts   TEXT NOT NULL,
    PRIMARY KEY (run_id, step, split, layer, domain_id)
) STRICT, WITHOUT ROWID;

-- The same of training, all domains together, summed over windows of a hundred steps: made from load_block as each
-- window ends (the last one: as the run ends), so that questions about a whole run need not read every step. Sums of
-- reals to 15 digits. Read it through the view expert_load_window.
--     SELECT run_id, first_step, last_step, layer FROM load_window_block
--     ORDER BY run_id, first_step, layer LIMIT 10;
CREATE TABLE load_window_block (
    run_id     INTEGER NOT NULL REFERENCES run,
    first_step INTEGER NOT NULL, -- a multiple of a hundred
    last_step  INTEGER NOT NULL,
    layer      INTEGER NOT NULL,
    experts    TEXT NOT NULL,
    PRIMARY KEY (run_id, first_step, layer)
) STRICT, WITHOUT ROWID;

--     SELECT run.name, m.name AS metric, step, value FROM metric AS m JOIN run USING (run_id)
--     WHERE split = 'train' AND m.name IN ('loss', 'tokens_per_second') ORDER BY step DESC LIMIT 10;
CREATE TABLE metric (
    run_id INTEGER NOT NULL REFERENCES run,
    step   INTEGER NOT NULL,
    split  TEXT NOT NULL,
    name   TEXT NOT NULL, -- loss, lm_loss, balance_loss, z_loss, entropy_loss, router_loss, grad_norm, flops (so far), peak_memory (bytes), ...
    value  REAL,          -- NULL unless the status is ok
    -- IN would have SQLite build a table of the four for every row.
    status TEXT NOT NULL CHECK (status = 'ok' OR status = 'nan' OR status = '+inf' OR status = '-inf'),
    PRIMARY KEY (run_id, step, split, name)
) STRICT, WITHOUT ROWID;

-- What cannot be rebuilt from the chosen experts alone: router_entropy (nats, mean over tokens),
-- rank_mass_N (mean probability of the N likeliest experts, N = 1, 2, 4, ...).
--     SELECT name, layer, step, value FROM layer_metric WHERE name = 'router_entropy' AND split = 'train'
--     ORDER BY step DESC, layer LIMIT 10;
CREATE TABLE layer_metric (
    run_id INTEGER NOT NULL REFERENCES run,
    step   INTEGER NOT NULL,
    split  TEXT NOT NULL,
    layer  INTEGER NOT NULL,
    name   TEXT NOT NULL,
    value  REAL,
    PRIMARY KEY (run_id, step, split, layer, name)
) STRICT, WITHOUT ROWID;

-- Exact and kept whatever decisions are kept.
--     SELECT run_id, step, sum(loss_sum) / sum(n_tokens) AS nats_per_token,
--            sum(loss_sum) / 0.693147180559945 / sum(n_bytes) AS bits_per_byte
--     FROM document_loss WHERE split = 'valid' GROUP BY run_id, step;
CREATE TABLE document_loss (
    run_id      INTEGER NOT NULL REFERENCES run,
    step        INTEGER NOT NULL,
    split       TEXT NOT NULL,
    document_id INTEGER NOT NULL REFERENCES document,
    n_tokens    INTEGER NOT NULL, -- predicted
    n_bytes     INTEGER NOT NULL, -- UTF-8 bytes that the predicted tokens stand for
    loss_sum    REAL,             -- nats; NULL: not finite. Bits per byte: loss_sum / ln(2) / n_bytes
    PRIMARY KEY (run_id, step, split, document_id)
) STRICT, WITHOUT ROWID;

-- For classifiers.
--     SELECT count(*) AS answers, avg(target = prediction) AS accuracy FROM outcome;
CREATE TABLE outcome (
    run_id        INTEGER NOT NULL REFERENCES run,
    step          INTEGER NOT NULL,
    split         TEXT NOT NULL,
    sample_id     INTEGER NOT NULL REFERENCES sample,
    target        INTEGER,
    prediction    INTEGER,
    exit          INTEGER,
    multiply_adds INTEGER,
    PRIMARY KEY (run_id, step, split, sample_id)
) STRICT, WITHOUT ROWID;

--     SELECT count(*) AS events, count(DISTINCT kind) AS kinds, max(at) AS last FROM event;
CREATE TABLE event (
    event_id INTEGER PRIMARY KEY,
    run_id   INTEGER NOT NULL REFERENCES run,
    step     INTEGER,
    at       TEXT NOT NULL,
    kind     TEXT NOT NULL, -- started, resumed, interrupted, failed, finished, alarm, alarm_over, ...
    layer    INTEGER,
    expert   INTEGER,
    value    REAL,
    message  TEXT
) STRICT;

--     SELECT run.name, step, path FROM checkpoint JOIN run USING (run_id) ORDER BY run_id, step;
CREATE TABLE checkpoint (
    run_id INTEGER NOT NULL REFERENCES run,
    step   INTEGER NOT NULL,
    path   TEXT NOT NULL,
    sha256 TEXT NOT NULL, -- of the file
    PRIMARY KEY (run_id, step)
) STRICT, WITHOUT ROWID;

-- Helpers of the decoding views: the integers 0, 1, 2, ... as far as the longest block needs, and every
-- byte value in order, so that instr(bytes, substr(blob, i, 1)) - 1 is the value of byte i.
--     SELECT max(i) FROM _integer;
CREATE TABLE _integer (i INTEGER PRIMARY KEY) STRICT;
--     SELECT length(bytes) FROM _byte;
CREATE TABLE _byte (bytes BLOB NOT NULL) STRICT;
