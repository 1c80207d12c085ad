-- The yardstick of bench/logbook: what people do first, a row a decision. Relations are named as a logbook's, so
-- that one query can be asked of both.
PRAGMA journal_mode = WAL;
PRAGMA synchronous = 1;
CREATE TABLE routing (
    run_id      INTEGER NOT NULL,
    step        INTEGER NOT NULL,
    sequence_id INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    layer       INTEGER NOT NULL,
    slot        INTEGER NOT NULL,
    expert      INTEGER NOT NULL,
    gate        REAL NOT NULL
);
CREATE TABLE sequence (
    sequence_id INTEGER PRIMARY KEY,
    domain_id   INTEGER NOT NULL
);
CREATE TABLE domain (
    domain_id INTEGER PRIMARY KEY,
    name      TEXT NOT NULL
);
CREATE VIEW routing_count AS
SELECT s.domain_id, r.layer, r.expert, 1 AS decisions, r.gate AS gate_sum
FROM routing AS r JOIN sequence AS s USING (sequence_id);
