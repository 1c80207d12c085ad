-- Extends _integer, which holds 0, 1, ..., to :n numbers.
INSERT INTO _integer (i)
WITH RECURSIVE n(i) AS (SELECT (SELECT count(*) FROM _integer) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :n)
SELECT i FROM n WHERE i < :n;
