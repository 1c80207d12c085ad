SELECT count(*) FROM main.run;
