UPDATE run SET heartbeat_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE run_id = :run;
