/* engine/data.h: documents into samples, samples into batches. Nothing may be lost, doubled, cut or mixed. */
#include "engine/data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/memory.h"

enum { CONTEXT = 8, MAX_TOKENS = 20, N_DOCUMENTS = 11, N_IDS = 32 };

/* Train documents of 1 id (nothing to predict), 2 (one prediction), 9 (exactly one context), 10 (one more),
 * 25 (exactly three contexts) and so on; others between them. */
static const struct memory_document documents[N_DOCUMENTS] = {
    {0, SPLIT_TRAIN, 1},  {0, SPLIT_TRAIN, 2},  {1, SPLIT_VALID, 30}, {1, SPLIT_TRAIN, 9},
    {2, SPLIT_TRAIN, 10}, {2, SPLIT_PROBE, 17}, {0, SPLIT_TRAIN, 25}, {0, SPLIT_TRAIN, 4},
    {1, SPLIT_TRAIN, 6},  {2, SPLIT_TRAIN, 13}, {2, SPLIT_VALID, 1},
};

struct fixture {
    struct corpus corpus;
    struct samples samples;
};

static void fixture_open(struct fixture *f, enum corpus_split split, int64_t tokens_per_document)
{
    struct error err = {0};

    memory_corpus(&f->corpus, documents, N_DOCUMENTS, 50);
    if (samples_init(&f->samples, &f->corpus, split, CONTEXT, tokens_per_document, &err))
        fail_msg("%s", err.text);
}

static void fixture_close(struct fixture *f)
{
    samples_release(&f->samples);
    samples_release(&f->samples); /* safe twice */
    memory_corpus_release(&f->corpus);
}

/* ---- samples ---- */

/* How often each prediction of each document is in the samples. */
static void count_predictions(const struct fixture *f, int counts[N_DOCUMENTS][N_IDS])
{
    int64_t total = 0;

    memset(counts, 0, sizeof(int) * N_DOCUMENTS * N_IDS);
    for (int i = 0; i < f->samples.n; i++) {
        const struct sample *s = &f->samples.items[i];
        assert_in_range(s->document, 0, N_DOCUMENTS - 1);
        assert_in_range(s->n_tokens, 1, CONTEXT);
        assert_true(s->offset >= 0);
        /* the last target is id offset + n_tokens: within the document */
        assert_in_range(s->offset + s->n_tokens, 1, documents[s->document].n_ids - 1);
        for (int j = 0; j < s->n_tokens; j++)
            counts[s->document][s->offset + j]++;
        total += s->n_tokens;
    }
    assert_int_equal(total, f->samples.n_tokens);
}

static void check_coverage(enum corpus_split split, int tokens_per_document)
{
    struct fixture f;
    int counts[N_DOCUMENTS][N_IDS];

    fixture_open(&f, split, tokens_per_document);
    count_predictions(&f, counts);
    for (int d = 0; d < N_DOCUMENTS; d++) {
        int wanted = documents[d].split == split ? documents[d].n_ids - 1 : 0;
        if (tokens_per_document > 0 && wanted > tokens_per_document)
            wanted = tokens_per_document;
        for (int i = 0; i < N_IDS; i++)
            assert_int_equal(counts[d][i], i < wanted ? 1 : 0);
    }
    fixture_close(&f);
}

static void test_every_prediction_once(void **state)
{
    (void)state;
    check_coverage(SPLIT_TRAIN, 0);
    check_coverage(SPLIT_VALID, 0);
    check_coverage(SPLIT_PROBE, 0);
}

static void test_tokens_per_document(void **state)
{
    (void)state;
    for (int n = 1; n < 30; n++)
        check_coverage(SPLIT_TRAIN, n);
}

/* By hand, in contexts of 8: 1 -> none; 2 -> 1; 9 -> 8; 10 -> 8 + 1; 25 -> 8 + 8 + 8; 4 -> 3; 6 -> 5; 13 -> 8
 * + 4. Eleven samples, 62 predictions. */
static void test_samples_by_hand(void **state)
{
    static const int lengths[] = {1, 8, 8, 1, 8, 8, 8, 3, 5, 8, 4};
    struct fixture f;

    (void)state;
    fixture_open(&f, SPLIT_TRAIN, 0);
    assert_int_equal(f.samples.n, 11);
    assert_int_equal(f.samples.n_tokens, 62);
    for (int i = 0; i < 11; i++)
        assert_int_equal(f.samples.items[i].n_tokens, lengths[i]);
    fixture_close(&f);
}

/* The first two train documents of each domain, five tokens of each: of domain 0 one has nothing to predict
 * and the other a single token. */
static void test_read_again(void **state)
{
    static const struct sample expected[] = {{1, 0, 1}, {3, 0, 5}, {4, 0, 5}, {8, 0, 5}, {9, 0, 5}};
    struct corpus corpus;
    struct samples samples;
    struct error err = {0};

    (void)state;
    memory_corpus(&corpus, documents, N_DOCUMENTS, 50);
    if (samples_init_seen(&samples, &corpus, CONTEXT, 5, 2, &err))
        fail_msg("%s", err.text);
    assert_int_equal(samples.n, 5);
    assert_int_equal(samples.n_tokens, 21);
    for (int i = 0; i < samples.n; i++) {
        assert_int_equal(samples.items[i].document, expected[i].document);
        assert_int_equal(samples.items[i].offset, expected[i].offset);
        assert_int_equal(samples.items[i].n_tokens, expected[i].n_tokens);
    }
    samples_release(&samples);
    memory_corpus_release(&corpus);
}

static void test_nothing_to_read(void **state)
{
    static const struct memory_document lonely[] = {{0, SPLIT_TRAIN, 9}, {0, SPLIT_VALID, 1}};
    struct corpus corpus;
    struct samples samples;
    struct error err = {0};

    (void)state;
    memory_corpus(&corpus, lonely, 2, 50);
    assert_int_equal(samples_init(&samples, &corpus, SPLIT_PROBE, CONTEXT, 0, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_non_null(strstr(err.text, "no probe documents"));
    assert_int_equal(samples_init(&samples, &corpus, SPLIT_VALID, CONTEXT, 0, &err),
                     -1); /* one id: no prediction */
    memory_corpus_release(&corpus);
}

/* ---- batches ---- */

/* A batch must be whole samples one after the other, with the corpus's ids, each from position 0. */
static void check_batch(const struct fixture *f, const struct packed *p)
{
    const struct batch *b = &p->batch;

    assert_in_range(b->n_tokens, 1, MAX_TOKENS);
    assert_true(b->n_sequences >= 1);
    assert_int_equal(b->start[0], 0);
    assert_int_equal(b->start[b->n_sequences], b->n_tokens);
    for (int s = 0; s < b->n_sequences; s++) {
        const struct sample *sample = p->sample[s];
        const int32_t *ids = f->corpus.ids + f->corpus.documents[sample->document].first + sample->offset;
        assert_int_equal(b->start[s + 1] - b->start[s], sample->n_tokens); /* never cut */
        for (int i = 0; i < sample->n_tokens; i++) {
            int t = b->start[s] + i;
            assert_int_equal(b->input[t], ids[i]);
            assert_int_equal(b->target[t], ids[i + 1]); /* n_tokens + 1 ids in all */
            assert_int_equal(b->position[t], i);
        }
    }
}

struct reader {
    struct fixture f;
    struct stream stream;
    struct packed packed;
};

static void reader_open(struct reader *r, uint64_t seed)
{
    fixture_open(&r->f, SPLIT_TRAIN, 0);
    assert_int_equal(stream_init(&r->stream, &r->f.samples, seed, NULL), 0);
    assert_int_equal(packed_init(&r->packed, MAX_TOKENS, NULL), 0);
}

static void reader_close(struct reader *r)
{
    packed_release(&r->packed);
    packed_release(&r->packed);
    stream_release(&r->stream);
    stream_release(&r->stream);
    fixture_close(&r->f);
}

/* The next n samples of the stream, as indices. */
static void read_samples(struct reader *r, int *indices, int n)
{
    int got = 0;

    while (got < n) {
        packed_from_stream(&r->packed, &r->f.corpus, &r->stream);
        check_batch(&r->f, &r->packed);
        for (int s = 0; s < r->packed.batch.n_sequences && got < n; s++)
            indices[got++] = (int)(r->packed.sample[s] - r->f.samples.items);
    }
}

/* Each epoch is all samples once, in an order of its own; an epoch may end within a batch. */
static void test_epochs(void **state)
{
    enum { EPOCHS = 6, N = 11 };
    struct reader r;
    int indices[EPOCHS * N], same = 0;

    (void)state;
    reader_open(&r, 7);
    read_samples(&r, indices, EPOCHS * N);
    for (int e = 0; e < EPOCHS; e++) {
        unsigned seen = 0;
        for (int i = 0; i < N; i++) {
            assert_false(seen >> indices[e * N + i] & 1U);
            seen |= 1U << indices[e * N + i];
        }
        assert_int_equal(seen, (1U << N) - 1);
        same += e > 0 && memcmp(indices, indices + e * N, sizeof(int) * N) == 0;
    }
    assert_int_equal(same, 0);
    reader_close(&r);
}

/* A batch stops only at a sample that would not have fitted. */
static void test_batches_are_full(void **state)
{
    struct reader r;

    (void)state;
    reader_open(&r, 3);
    for (int i = 0; i < 50; i++) {
        packed_from_stream(&r.packed, &r.f.corpus, &r.stream);
        check_batch(&r.f, &r.packed);
        struct stream next = r.stream;
        if (next.next < r.f.samples.n)
            assert_true(r.packed.batch.n_tokens + r.f.samples.items[next.order[next.next]].n_tokens >
                        MAX_TOKENS);
    }
    reader_close(&r);
}

/* The position after any batch, given to a new stream, goes on with the same batches: what resuming rests on.
 */
static void test_seek(void **state)
{
    enum { BATCHES = 14 };
    struct reader r, other;
    int64_t epochs[BATCHES];
    int nexts[BATCHES];

    (void)state;
    reader_open(&r, 5);
    for (int i = 0; i < BATCHES; i++) {
        epochs[i] = r.stream.epoch;
        nexts[i] = r.stream.next;
        packed_from_stream(&r.packed, &r.f.corpus, &r.stream);
    }
    assert_true(r.stream.epoch >= 2);
    for (int from = 0; from < BATCHES; from++) {
        reader_open(&other, 5);
        stream_seek(&other.stream, epochs[from], nexts[from]);
        stream_seek(&r.stream, epochs[from], nexts[from]);
        for (int i = from; i < BATCHES; i++) {
            packed_from_stream(&other.packed, &other.f.corpus, &other.stream);
            packed_from_stream(&r.packed, &r.f.corpus, &r.stream);
            assert_int_equal(other.packed.batch.n_tokens, r.packed.batch.n_tokens);
            assert_memory_equal(other.packed.batch.target, r.packed.batch.target,
                                sizeof(int32_t) * (size_t)r.packed.batch.n_tokens);
            if (i + 1 < BATCHES) {
                assert_int_equal(other.stream.epoch, epochs[i + 1]);
                assert_int_equal(other.stream.next, nexts[i + 1]);
            }
        }
        reader_close(&other);
    }
    reader_close(&r);
}

static void test_seeds(void **state)
{
    struct reader r;
    int first[11], again[11], other[11];

    (void)state;
    reader_open(&r, 1);
    read_samples(&r, first, 11);
    reader_close(&r);
    reader_open(&r, 1);
    read_samples(&r, again, 11);
    reader_close(&r);
    reader_open(&r, 2);
    read_samples(&r, other, 11);
    reader_close(&r);
    assert_memory_equal(first, again, sizeof first);
    assert_memory_not_equal(first, other, sizeof first);
}

static void test_in_order(void **state)
{
    struct fixture f;
    struct packed p;
    int next = 0, n = 0, batches = 0;

    (void)state;
    fixture_open(&f, SPLIT_TRAIN, 0);
    assert_int_equal(packed_init(&p, MAX_TOKENS, NULL), 0);
    while (packed_in_order(&p, &f.corpus, &f.samples, &next)) {
        check_batch(&f, &p);
        for (int s = 0; s < p.batch.n_sequences; s++)
            assert_ptr_equal(p.sample[s], &f.samples.items[n++]);
        assert_int_equal(next, n);
        batches++;
    }
    assert_int_equal(n, f.samples.n);
    /* of 20 tokens at most: 1 8 8 1 | 8 8 | 8 3 5 | 8 4 */
    assert_int_equal(batches, 4);
    assert_int_equal(packed_in_order(&p, &f.corpus, &f.samples, &next), 0);
    packed_release(&p);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_prediction_once),
        cmocka_unit_test(test_tokens_per_document),
        cmocka_unit_test(test_samples_by_hand),
        cmocka_unit_test(test_read_again),
        cmocka_unit_test(test_nothing_to_read),
        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_batches_are_full),
        cmocka_unit_test(test_seek),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
