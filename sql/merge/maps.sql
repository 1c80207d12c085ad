-- What a merge remembers of the input at hand: which id here stands for which id there.
CREATE TEMP TABLE IF NOT EXISTS vocabulary_map (old INTEGER PRIMARY KEY, new INTEGER NOT NULL);
CREATE TEMP TABLE IF NOT EXISTS corpus_map (old INTEGER PRIMARY KEY, new INTEGER NOT NULL);
CREATE TEMP TABLE IF NOT EXISTS domain_map (old INTEGER PRIMARY KEY, new INTEGER NOT NULL);
CREATE TEMP TABLE IF NOT EXISTS document_map (old INTEGER PRIMARY KEY, new INTEGER NOT NULL);
CREATE TEMP TABLE IF NOT EXISTS sample_map (old INTEGER PRIMARY KEY, new INTEGER); -- NULL: wanted, not looked up yet

-- The logs that the run at hand is made of, there and here, and what each holds.
CREATE TEMP TABLE IF NOT EXISTS input_part (part TEXT PRIMARY KEY, origin TEXT, last_step INTEGER, held TEXT, added_at TEXT);
CREATE TEMP TABLE IF NOT EXISTS output_part (part TEXT PRIMARY KEY, last_step INTEGER, held TEXT);

-- Of a run whose parts are added up: predicted tokens and bytes of what is here and of what is added, and the
-- metrics that differ, with what becomes of them. Layer -1: a metric of the whole run.
CREATE TEMP TABLE IF NOT EXISTS weight (
    step INTEGER, split TEXT, tokens INTEGER, bytes INTEGER, added_tokens INTEGER, added_bytes INTEGER,
    PRIMARY KEY (step, split)
) WITHOUT ROWID;
CREATE TEMP TABLE IF NOT EXISTS difference (
    step INTEGER, split TEXT, layer INTEGER, name TEXT, value REAL, status TEXT, how TEXT,
    PRIMARY KEY (step, split, layer, name)
) WITHOUT ROWID;
