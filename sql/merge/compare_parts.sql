-- How the logs of a run there are related to those here. A log has grown when its last step, its number of rows
-- or its last sign of life is later.
SELECT (SELECT count(*) FROM temp.input_part) AS there,
       (SELECT count(*) FROM temp.output_part) AS here,
       count(*) AS shared,
       coalesce(sum(i.held = o.held), 0) AS same,
       coalesce(sum(i.held <> o.held AND
                    (i.last_step, i.held ->> 'rows', coalesce(i.held ->> 'heartbeat_at', ''),
                     coalesce(i.held ->> 'finished_at', '')) >=
                    (o.last_step, o.held ->> 'rows', coalesce(o.held ->> 'heartbeat_at', ''),
                     coalesce(o.held ->> 'finished_at', ''))), 0) AS grown
FROM temp.input_part AS i JOIN temp.output_part AS o USING (part);
