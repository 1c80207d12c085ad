SELECT 1 FROM domain WHERE domain_id = :domain;
