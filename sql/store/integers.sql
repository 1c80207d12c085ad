SELECT count(*) FROM _integer;
