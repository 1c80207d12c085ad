-- On what machine, with which text and for how long were the runs of a study trained?
-- Runs named CONFIGURATION.seedN.
-- :runs, a JSON array of run ids: these alone.
WITH study_run AS (
    SELECT run_id, substr(name, 1, instr(name, '.seed') - 1) AS configuration, machine, program, corpus_id FROM run
    WHERE instr(name, '.seed') > 1 AND status = 'finished'
      AND (:runs IS NULL OR run_id IN (SELECT value FROM json_each(:runs)))
),
spent AS (
    SELECT r.run_id, max(CASE m.name WHEN 'seconds' THEN m.value END) AS seconds,
           max(CASE m.name WHEN 'tokens' THEN m.value END) AS tokens
    FROM study_run AS r JOIN metric AS m USING (run_id)
    WHERE m.split = 'train' AND m.name IN ('seconds', 'tokens')
    GROUP BY r.run_id
)
SELECT r.machine ->> 'cpu' AS cpu, r.machine ->> 'core_type' AS core_type, r.machine ->> 'threads' AS threads,
       r.program, substr(c.sha256, 1, 12) AS corpus, count(*) AS runs, avg(s.tokens) / 1e6 AS megatokens,
       sum(s.seconds) / 60 AS minutes
FROM study_run AS r
JOIN corpus AS c USING (corpus_id)
LEFT JOIN spent AS s USING (run_id)
GROUP BY cpu, core_type, threads, r.program, c.sha256
ORDER BY runs DESC;
