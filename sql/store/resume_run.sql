-- Forgets what the run :run logged for the steps :step and later, and marks it as running. The checkpoint
-- of :step goes too: the trainer takes it again where it is due, and what was only taken because the run was
-- interrupted is no part of the run.
DELETE FROM routing_block WHERE block_id IN (
    SELECT s.sequence_id * 1024 + l.layer
    FROM sequence AS s JOIN moe_layer AS l ON l.run_id = s.run_id
    WHERE s.run_id = :run AND s.step >= :step);
DELETE FROM probability_block WHERE block_id IN (
    SELECT s.sequence_id * 1024 + l.layer
    FROM sequence AS s JOIN moe_layer AS l ON l.run_id = s.run_id
    WHERE s.run_id = :run AND s.step >= :step);
DELETE FROM outcome WHERE run_id = :run AND step >= :step;
DELETE FROM sequence WHERE run_id = :run AND step >= :step;
-- Samples that no pass refers to any more, so that the file ends up as that of an unbroken run.
DELETE FROM sample
WHERE sample_id NOT IN (SELECT sample_id FROM sequence)
  AND sample_id NOT IN (SELECT sample_id FROM outcome);
DELETE FROM load_block WHERE run_id = :run AND step >= :step;
DELETE FROM load_window_block WHERE run_id = :run AND first_step + 100 > :step; -- one that was cut short, too
DELETE FROM metric WHERE run_id = :run AND step >= :step;
DELETE FROM layer_metric WHERE run_id = :run AND step >= :step;
DELETE FROM document_loss WHERE run_id = :run AND step >= :step;
DELETE FROM checkpoint WHERE run_id = :run AND step >= :step;
DELETE FROM event WHERE run_id = :run AND step >= :step AND kind IN ('alarm', 'alarm_over'); -- raised again, if so
UPDATE run
SET status = 'running', finished_at = NULL, heartbeat_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
WHERE run_id = :run;
