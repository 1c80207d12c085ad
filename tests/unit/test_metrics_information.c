/* metrics/information.h against tables and documents worked out by hand. Seeds are fixed. */
#include "metrics/information.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/close.h"

static const double exact = 1e-12;

static struct information_options estimator(enum information_estimator which)
{
    return (struct information_options){which, 2, 2};
}

/* ---- one table ---- */

static void test_table(void **state)
{
    (void)state;
    const double diagonal[] = {2, 0, 0, 2}, flat[] = {1, 1, 1, 1}, empty[4] = {0};
    assert_close(mutual_information(diagonal, 2, 2), log(2), exact);
    assert_close(mutual_information(flat, 2, 2), 0, 0);
    assert_close(mutual_information(empty, 2, 2), 0, 0);
    /* p = 3/8, 1/8, 1/8, 3/8 against 1/4 each: 2 (3/8) ln(3/2) + 2 (1/8) ln(1/2) */
    const double leaning[] = {3, 1, 1, 3};
    assert_close(mutual_information(leaning, 2, 2), 0.75 * log(1.5) - 0.25 * log(2), exact);
    /* an empty row and an empty column change nothing */
    const double padded[] = {3, 0, 1, 0, 0, 0, 1, 0, 3};
    assert_close(mutual_information(padded, 3, 3), 0.75 * log(1.5) - 0.25 * log(2), exact);
    /* one expert has no information to give */
    const double column[] = {5, 7, 0};
    assert_close(mutual_information(column, 3, 1), 0, exact);
}

static void test_miller_madow(void **state)
{
    (void)state;
    /* T = 4. Diagonal: 2 cells, 2 rows, 2 columns: 2 - 2 - 2 + 1 = -1, I + 1/8. Flat: 4 - 4 + 1 = 1, 0 - 1/8.
     * The padding is neither row nor column. */
    const double diagonal[] = {2, 0, 0, 2}, flat[] = {1, 1, 0, 1, 1, 0}, empty[4] = {0};
    assert_close(mutual_information_miller_madow(diagonal, 2, 2), log(2) + 0.125, exact);
    assert_close(mutual_information_miller_madow(flat, 2, 3), -0.125, exact);
    assert_close(mutual_information_miller_madow(empty, 2, 2), 0, 0);
}

/* ---- documents ---- */

/* Two labels, two documents each, and each label has an expert of its own. */
static const double parted[] = {4, 0, 4, 0, 0, 4, 0, 4};
static const int parted_label[] = {0, 0, 1, 1};

static double information(const struct labelling *l, const double *count, int n_experts,
                          enum information_estimator which, double *by_document)
{
    struct information_options o = estimator(which);
    struct random r;
    double nats = -99;
    random_seed(&r, 1, 0);
    assert_int_equal(document_information(l, count, n_experts, &o, &r, &nats, by_document, NULL), 0);
    return nats;
}

static void test_documents_parted(void **state)
{
    (void)state;
    const struct labelling l = {4, 2, parted_label, NULL};
    double by_document[4];
    assert_close(information(&l, parted, 2, INFORMATION_PLUG_IN, by_document), log(2), exact);
    assert_close(by_document[3], 4 * log(2), exact);
    /* T = 16, -1 as for the diagonal table: ln 2 + 1/32 */
    assert_close(information(&l, parted, 2, INFORMATION_MILLER_MADOW, NULL), log(2) + 1. / 32, exact);
    /* Two folds take one document of each label however they are dealt: 4 of 4 with the own label, 4 of 8 in
     * all, smoothing 2, q = (4 + 1) / (8 + 2): ln((4 + 1) / (4 x 4/8 + 1)) = ln(5/3) */
    assert_close(information(&l, parted, 2, INFORMATION_CROSS_FITTED, by_document), log(5. / 3), exact);
    assert_close(by_document[0], 4 * log(5. / 3), exact);
}

static void test_documents_that_take_no_part(void **state)
{
    (void)state;
    /* the four above, an empty one, one without a label */
    const double count[] = {4, 0, 0, 0, 4, 0, 0, 4, 9, 9, 0, 4};
    const int label[] = {0, 1, 0, 1, -1, 1};
    const struct labelling l = {6, 2, label, NULL};
    double by_document[6];
    assert_close(information(&l, count, 2, INFORMATION_PLUG_IN, by_document), log(2), exact);
    assert_close(information(&l, count, 2, INFORMATION_CROSS_FITTED, by_document), log(5. / 3), exact);
    assert_close(by_document[1], 0, 0);
    assert_close(by_document[4], 0, 0);
    const int none[] = {-1, -1, -1, -1, -1, -1};
    const struct labelling unlabelled = {6, 2, none, NULL};
    assert_nan(information(&unlabelled, count, 2, INFORMATION_CROSS_FITTED, by_document));
    assert_nan(information(&unlabelled, count, 2, INFORMATION_PLUG_IN, NULL));
}

static void test_labels_that_cannot_be_learned_add_nothing(void **state)
{
    (void)state;
    /* Label 2 has one document: the folds that judge it have never seen the label. */
    const double count[] = {4, 0, 4, 0, 0, 4, 0, 4, 1, 7};
    const int label[] = {0, 0, 1, 1, 2}, same[] = {0, 0, 0, 0, 0};
    const struct labelling l = {5, 3, label, NULL}, one_label = {5, 1, same, NULL};
    double by_document[5];
    assert_true(information(&l, count, 2, INFORMATION_CROSS_FITTED, by_document) > 0);
    assert_close(by_document[4], 0, 0);
    assert_close(information(&one_label, count, 2, INFORMATION_CROSS_FITTED, NULL), 0, exact);
    /* A single document is held out from nothing. */
    const struct labelling single = {1, 1, label, NULL};
    assert_close(information(&single, count, 2, INFORMATION_CROSS_FITTED, NULL), 0, 0);
    /* One expert. */
    const double all[] = {3, 1, 4};
    const struct labelling three = {3, 2, parted_label, NULL};
    assert_close(information(&three, all, 1, INFORMATION_CROSS_FITTED, NULL), 0, exact);
}

static void test_usage_errors(void **state)
{
    (void)state;
    const int label[] = {0, 2, 1, 1};
    const struct labelling bad = {4, 2, label, NULL}, good = {4, 2, parted_label, NULL};
    struct information_options o = estimator(INFORMATION_CROSS_FITTED);
    struct random r;
    struct error err = {0};
    double nats;
    random_seed(&r, 1, 0);
    assert_int_equal(document_information(&bad, parted, 2, &o, &r, &nats, NULL, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_int_equal(document_information(&good, parted, 2, &o, NULL, &nats, NULL, &err), -1);
    assert_int_equal(err.status, STATUS_USAGE);
    o.n_folds = 1;
    assert_int_equal(document_information(&good, parted, 2, &o, &r, &nats, NULL, &err), -1);
    assert_int_equal(err.status, STATUS_USAGE);
}

/* ---- the null ---- */

static struct permutation_null null_of(const struct labelling *l, const double *count, int n_experts,
                                       enum information_estimator which, int n_permutations)
{
    struct information_options o = estimator(which);
    struct random r;
    struct permutation_null null;
    random_seed(&r, 7, 0);
    assert_int_equal(document_information_null(l, count, n_experts, &o, n_permutations, &r, &null, NULL), 0);
    return null;
}

static void test_null_of_four_documents(void **state)
{
    (void)state;
    /* Of the 3 ways to pair four documents one is the real one, with ln 2; the others mix and have 0. */
    const struct labelling l = {4, 2, parted_label, NULL};
    struct permutation_null null = null_of(&l, parted, 2, INFORMATION_PLUG_IN, 3000);
    assert_close(null.observed, log(2), exact);
    assert_close(null.p, 1. / 3, 0.03); /* standard error 0.009 */
    assert_close(null.mean, log(2) / 3, 0.02);
    assert_close(null.low, 0, exact);
    assert_close(null.high, log(2), exact);
    assert_int_equal(null.n, 3000);
}

static void test_null_within_strata(void **state)
{
    (void)state;
    /* One document of each label in a stratum: both strata swapped, or neither, keeps the partition (1/2). */
    const int across[] = {0, 1, 0, 1}, along[] = {5, 5, 9, 9};
    const struct labelling l = {4, 2, parted_label, across};
    struct permutation_null null = null_of(&l, parted, 2, INFORMATION_PLUG_IN, 3000);
    assert_close(null.p, 0.5, 0.03);
    assert_close(null.mean, log(2) / 2, 0.02);
    /* Each label is a stratum: nothing can move, nothing can be shown. */
    const struct labelling fixed = {4, 2, parted_label, along};
    assert_close(null_of(&fixed, parted, 2, INFORMATION_PLUG_IN, 50).p, 1, 0);
    assert_close(null_of(&fixed, parted, 2, INFORMATION_CROSS_FITTED, 50).p, 1, 0);
}

enum { DOCUMENTS = 60, EXPERTS = 4, LABELS = 3 };

/* Documents with a taste of their own, 90 of 100 decisions to one expert: drawn by chance, or by the label.
 */
static void clumped(double count[DOCUMENTS * EXPERTS], int label[DOCUMENTS], int by_label, uint64_t seed)
{
    struct random r;
    random_seed(&r, seed, 3);
    for (int d = 0; d < DOCUMENTS; d++) {
        label[d] = d % LABELS;
        int taste = by_label ? label[d] : (int)random_below(&r, EXPERTS);
        for (int e = 0; e < EXPERTS; e++)
            count[d * EXPERTS + e] = e == taste ? 91 : 3;
    }
}

static void test_documents_alike_inside_fool_the_plug_in(void **state)
{
    (void)state;
    double count[DOCUMENTS * EXPERTS];
    int label[DOCUMENTS];
    const struct labelling l = {DOCUMENTS, LABELS, label, NULL};
    int false_alarms = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        clumped(count, label, 0, seed);
        struct permutation_null null = null_of(&l, count, EXPERTS, INFORMATION_PLUG_IN, 200);
        /* (3 - 1)(4 - 1) / 2T = 0.0005 is what independent tokens would have; it is fifty times that */
        assert_true(null.mean > 0.02);
        false_alarms += null.p <= 0.05;
        assert_true(information(&l, count, EXPERTS, INFORMATION_CROSS_FITTED, NULL) < 0.02);
    }
    assert_true(false_alarms <= 4); /* 1 expected of 20; more than 4 has probability 0.003 */
}

static void test_null_finds_what_is_there(void **state)
{
    (void)state;
    double count[DOCUMENTS * EXPERTS];
    int label[DOCUMENTS];
    clumped(count, label, 1, 1);
    const struct labelling l = {DOCUMENTS, LABELS, label, NULL};
    for (int which = INFORMATION_PLUG_IN; which <= INFORMATION_CROSS_FITTED; which++) {
        struct permutation_null null = null_of(&l, count, EXPERTS, (enum information_estimator)which, 199);
        assert_close(null.p, 1. / 200, exact);
        assert_true(null.observed > 0.7 && null.high < 0.15 && null.low < null.mean);
    }
}

static void test_labels_that_cannot_move_have_p_1(void **state)
{
    (void)state;
    double count[DOCUMENTS * EXPERTS];
    int label[DOCUMENTS];
    clumped(count, label, 0, 2);
    /* every label is its own stratum; the folds are dealt anew, the estimate would vary, and must not */
    const struct labelling l = {DOCUMENTS, LABELS, label, label};
    struct permutation_null null = null_of(&l, count, EXPERTS, INFORMATION_CROSS_FITTED, 50);
    assert_close(null.p, 1, 0);
    assert_close(null.high, null.low, 0);
    assert_close(null.mean, null.observed, exact);
}

static void test_null_of_nothing(void **state)
{
    (void)state;
    const int none[] = {-1, -1};
    const double count[] = {1, 2, 3, 4};
    const struct labelling l = {2, 1, none, NULL};
    struct permutation_null null = null_of(&l, count, 2, INFORMATION_CROSS_FITTED, 10);
    assert_nan(null.observed);
    assert_nan(null.p);
}

/* ---- given the token id ---- */

static void test_merge(void **state)
{
    (void)state;
    struct token_cell c[] = {{5, 1, 0, 1}, {2, 9, 3, 1}, {5, 1, 0, 2},
                             {5, 0, 1, 1}, {2, 9, 3, 1}, {5, 1, 1, 1}};
    assert_int_equal(token_cells_merge(c, 6), 4);
    assert_int_equal(c[0].token, 2);
    assert_close(c[0].count, 2, 0);
    assert_int_equal(c[1].document, 0);
    assert_int_equal(c[2].expert, 0);
    assert_close(c[2].count, 3, 0);
    assert_int_equal(c[3].expert, 1);
    assert_int_equal(token_cells_merge(c, 0), 0);
}

static double given_id(const struct labelling *l, const struct token_cell *cells, int64_t n,
                       enum information_estimator which)
{
    struct information_options o = estimator(which);
    struct random r;
    double nats = -99;
    random_seed(&r, 1, 0);
    assert_int_equal(token_information(l, cells, n, 2, &o, &r, &nats, NULL, NULL), 0);
    return nats;
}

static void test_topic_given_the_word(void **state)
{
    (void)state;
    /* id 0 goes where the label says (ln 2), id 1 always to expert 0 (0); four decisions each: ln 2 / 2 */
    const struct token_cell cells[] = {{0, 0, 0, 1}, {0, 1, 0, 1}, {0, 2, 1, 1}, {0, 3, 1, 1},
                                       {1, 0, 0, 1}, {1, 1, 0, 1}, {1, 2, 0, 1}, {1, 3, 0, 1}};
    const struct labelling l = {4, 2, parted_label, NULL};
    assert_close(given_id(&l, cells, 8, INFORMATION_PLUG_IN), log(2) / 2, exact);
    /* id 0: -1 as the diagonal table; id 1: 2 cells, 2 rows, 1 column: 0. (4 ln 2 + 1/2) / 8 */
    assert_close(given_id(&l, cells, 8, INFORMATION_MILLER_MADOW), (4 * log(2) + 0.5) / 8, exact);
    /* id 0 alone: the other fold has one decision of each label, q_e = (1 + 1) / (2 + 2), q_ve the same,
     * smoothing 2: ln((1 + 1) / (1 x 1/2 + 1)) = ln(4/3) */
    assert_close(given_id(&l, cells, 4, INFORMATION_CROSS_FITTED), log(4. / 3), exact);
    /* with id 1: q_e = (3 + 1) / (4 + 2) and 1/3; q_ve = (1 + 4/3) / 4 = 7/12 and 5/12. Expert 0:
     * ln((1 + 7/6) / (1/2 + 7/6)) = ln(13/10); expert 1: ln((1 + 5/6) / (1/2 + 5/6)) = ln(11/8); id 1: 0 */
    assert_close(given_id(&l, cells, 8, INFORMATION_CROSS_FITTED), (2 * log(1.3) + 2 * log(1.375)) / 8,
                 exact);
    /* and by document: the first two have expert 0 of id 0, the others expert 1 */
    struct information_options o = estimator(INFORMATION_CROSS_FITTED);
    struct random r;
    double nats, by_document[4] = {9, 9, 9, 9};
    random_seed(&r, 1, 0);
    assert_int_equal(token_information(&l, cells, 8, 2, &o, &r, &nats, by_document, NULL), 0);
    for (int d = 0; d < 4; d++)
        assert_close(by_document[d], d < 2 ? log(1.3) : log(1.375), exact);
}

static void test_vocabulary_is_not_topic(void **state)
{
    (void)state;
    /* Each label has its own word and each word its own expert: ln 2 by document, 0 once the word is known.
     */
    const struct token_cell cells[] = {{3, 0, 0, 4}, {3, 1, 0, 4}, {8, 2, 1, 4}, {8, 3, 1, 4}};
    const struct labelling l = {4, 2, parted_label, NULL};
    assert_close(information(&l, parted, 2, INFORMATION_PLUG_IN, NULL), log(2), exact);
    assert_close(given_id(&l, cells, 4, INFORMATION_PLUG_IN), 0, exact);
    assert_close(given_id(&l, cells, 4, INFORMATION_CROSS_FITTED), 0, exact);
    const struct labelling one = {4, 2, parted_label, NULL};
    assert_nan(given_id(&one, cells, 0, INFORMATION_PLUG_IN));
}

static void test_one_id_is_no_condition(void **state)
{
    (void)state;
    double count[DOCUMENTS * EXPERTS], plain, given;
    int label[DOCUMENTS], n = 0;
    struct token_cell cells[DOCUMENTS * EXPERTS];
    clumped(count, label, 0, 5);
    for (int d = 0; d < DOCUMENTS; d++)
        for (int e = 0; e < EXPERTS; e++, n++)
            cells[n] = (struct token_cell){17, d, e, (float)count[n]};
    const struct labelling l = {DOCUMENTS, LABELS, label, NULL};
    struct information_options o = estimator(INFORMATION_MILLER_MADOW);
    assert_int_equal(document_information(&l, count, EXPERTS, &o, NULL, &plain, NULL, NULL), 0);
    assert_int_equal(token_information(&l, cells, n, EXPERTS, &o, NULL, &given, NULL, NULL), 0);
    assert_close(given, plain, exact);
}

static void test_null_given_the_word(void **state)
{
    (void)state;
    /* the four documents of test_null_of_four_documents, as one word */
    const struct token_cell cells[] = {{0, 0, 0, 1}, {0, 1, 0, 1}, {0, 2, 1, 1}, {0, 3, 1, 1}};
    const struct labelling l = {4, 2, parted_label, NULL};
    struct information_options o = estimator(INFORMATION_PLUG_IN);
    struct permutation_null null;
    struct random r;
    random_seed(&r, 11, 0);
    assert_int_equal(token_information_null(&l, cells, 4, 2, &o, 3000, &r, &null, NULL), 0);
    assert_close(null.observed, log(2), exact);
    assert_close(null.p, 1. / 3, 0.03);
}

static void test_cells_are_checked(void **state)
{
    (void)state;
    const struct token_cell unsorted[] = {{1, 0, 0, 1}, {0, 0, 0, 1}}, stray[] = {{0, 4, 0, 1}};
    const struct labelling l = {4, 2, parted_label, NULL};
    struct information_options o = estimator(INFORMATION_PLUG_IN);
    struct error err = {0};
    double nats;
    assert_int_equal(token_information(&l, unsorted, 2, 2, &o, NULL, &nats, NULL, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_int_equal(token_information(&l, stray, 1, 2, &o, NULL, &nats, NULL, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_miller_madow),
        cmocka_unit_test(test_documents_parted),
        cmocka_unit_test(test_documents_that_take_no_part),
        cmocka_unit_test(test_labels_that_cannot_be_learned_add_nothing),
        cmocka_unit_test(test_usage_errors),
        cmocka_unit_test(test_null_of_four_documents),
        cmocka_unit_test(test_null_within_strata),
        cmocka_unit_test(test_documents_alike_inside_fool_the_plug_in),
        cmocka_unit_test(test_null_finds_what_is_there),
        cmocka_unit_test(test_labels_that_cannot_move_have_p_1),
        cmocka_unit_test(test_null_of_nothing),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_topic_given_the_word),
        cmocka_unit_test(test_vocabulary_is_not_topic),
        cmocka_unit_test(test_one_id_is_no_condition),
        cmocka_unit_test(test_null_given_the_word),
        cmocka_unit_test(test_cells_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
