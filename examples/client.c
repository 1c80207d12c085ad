/* The smallest logbook: one document, one layer of four experts, one step of three tokens.
 *
 *     cc client.c $(pkg-config --cflags --libs moescope) -o client && ./client log.db && moescope check
 * log.db */
#include <moescope.h>
#include <stddef.h>

int main(int argc, char **argv)
{
    struct moescope_logbook *lb = NULL;
    struct moescope_writer *writer = NULL;
    int64_t corpus_id, vocabulary_id, document_id, domain_id, run_id;
    const struct moescope_document document = {
        .name = "a.txt", .domain = "english", .sha256 = "d1", .split = "train", .n_bytes = 9, .n_tokens = 3};
    const struct moescope_token tokens[] = {{"the", "piece", 2}, {" cat", "piece", 1}, {" sat", "piece", 1}};
    const struct moescope_corpus corpus = {.name = "tiny",
                                           .sha256 = "c1",
                                           .vocabulary_name = "tiny",
                                           .vocabulary_sha256 = "v1",
                                           .tokens = tokens,
                                           .n_tokens = 3,
                                           .documents = &document,
                                           .n_documents = 1};
    const struct moescope_layer layer = {.layer = 0, .router = "topk", .n_experts = 4, .k = 1};
    struct moescope_run run = {
        .name = "first", .task = "language_model", .router = "topk", .layers = &layer, .n_layers = 1};
    const struct moescope_writer_options options = {.gate_bits = 8, .derive_loads = true};
    const int32_t ids[] = {0, 1, 2, 0}, experts[] = {3, 0, 3};
    const float losses[] = {2.5f, 1.5f, 0.5f}, gates[] = {0.75f, 0.5f, 0.25f};

    if (argc != 2 || moescope_open(&lb, argv[1], NULL) ||
        moescope_add_corpus(lb, &corpus, &corpus_id, &vocabulary_id, &document_id, &domain_id, NULL))
        return 1;
    run.corpus_id = corpus_id;
    run.vocabulary_id = vocabulary_id;
    if (moescope_begin_run(lb, &run, &run_id, NULL) ||
        moescope_writer_open(&writer, lb, run_id, &options, NULL))
        return 1;
    struct moescope_batch *batch = moescope_batch_new(writer, NULL); /* one a training step */
    const struct moescope_sequence sequence = {
        .document_id = document_id, .domain_id = domain_id, .n_tokens = 3, .ids = ids, .loss = losses};
    const struct moescope_block block = {
        .layer = 0, .n_experts = 4, .k = 1, .expert = experts, .gate = gates};
    int s = moescope_batch_sequence(batch, 0, "train", &sequence);
    moescope_batch_routing(batch, s, &block);
    moescope_batch_metric(batch, 0, "train", "loss", 1.5);
    moescope_batch_document_loss(batch, 0, "train", document_id, 3, 9, 4.5);
    if (moescope_batch_commit(batch, NULL) || moescope_writer_close(writer, NULL) ||
        moescope_end_run(lb, run_id, "finished", NULL))
        return 1;
    return moescope_close(lb) ? 0 : 1;
}
