SELECT json_valid(:json);
