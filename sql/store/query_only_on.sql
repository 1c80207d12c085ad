PRAGMA query_only = 1;
