-- How often, and how surely, was each expert chosen by each domain?
SELECT d.name AS domain, c.layer, c.expert, sum(c.decisions) AS decisions, sum(c.gate_sum) / sum(c.decisions) AS gate
FROM routing_count AS c JOIN domain AS d USING (domain_id)
GROUP BY d.name, c.layer, c.expert;
