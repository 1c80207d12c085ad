SELECT domain_id FROM domain WHERE name = :name;
