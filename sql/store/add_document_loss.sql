INSERT INTO document_loss (run_id, step, split, document_id, n_tokens, n_bytes, loss_sum)
VALUES (:run, :step, :split, :document, :n_tokens, :n_bytes, :loss_sum);
