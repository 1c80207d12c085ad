SELECT sample_id, n_tokens, sha256, tokens FROM sample;
