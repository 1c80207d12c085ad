SELECT count(*) FROM temp.input_part;
