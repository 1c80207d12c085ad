#include "import/shared/select.h"

#include <math.h>
#include <string.h>

#include "base/options.h"

int selection_parse(enum selection *s, const char *word, struct error *err)
{
    static const char *const words[] = {"", "softmax-topk", "topk-softmax", "sigmoid"};
    *s = SELECT_UNSAID;
    for (int i = 1; word != NULL && i < 4; i++) {
        if (strcmp(words[i], word) == 0) {
            *s = (enum selection)i;
            return 0;
        }
    }
    return word == NULL ? 0
                        : error_set(err, STATUS_USAGE,
                                    "--select is softmax-topk, topk-softmax or sigmoid, not '%s'", word);
}

int is_distribution(const float *row, int n_experts, double tolerance)
{
    double sum = 0;
    for (int e = 0; e < n_experts; e++) {
        if (!(row[e] >= 0)) {
            return -1;
        }
        sum += row[e];
    }
    return sum == 0 ? 0 : fabs(sum - 1) <= tolerance ? 1 : -1;
}

bool are_probabilities(const float *rows, int64_t n_rows, int n_experts, double tolerance)
{
    bool any = false;
    for (int64_t t = 0; t < n_rows; t++) {
        int row = is_distribution(rows + t * n_experts, n_experts, tolerance);
        if (row < 0) {
            return false;
        }
        any = any || row > 0;
    }
    return any;
}

/* The k largest, in order: most scores are smaller than the least of them, and cost one comparison. */
static void choose(const float *score, int n_experts, int k, int32_t *expert)
{
    int n = 0;
    for (int e = 0; e < n_experts; e++) {
        if (n == k && !(score[e] > score[expert[k - 1]])) {
            continue;
        }
        int at = n < k ? n++ : k - 1;
        for (; at > 0 && score[e] > score[expert[at - 1]]; at--) {
            expert[at] = expert[at - 1];
        }
        expert[at] = e;
    }
}

static void softmax(float *score, int n, float largest)
{
    double sum = 0;
    for (int e = 0; e < n; e++) {
        score[e] = expf(score[e] - largest);
        sum += score[e];
    }
    for (int e = 0; e < n; e++) {
        score[e] = (float)(score[e] / sum);
    }
}

/* What a file rounded, a logbook's check would call no distribution. */
static void scale_to_one(float *p, int n)
{
    double sum = 0;
    for (int e = 0; e < n; e++) {
        sum += p[e];
    }
    for (int e = 0; sum > 0 && e < n; e++) {
        p[e] = (float)(p[e] / sum);
    }
}

int select_experts(enum selection s, bool probabilities, float *score, int n_experts, int k, int32_t *expert,
                   float *gate)
{
    for (int e = 0; e < n_experts; e++) {
        if (!isfinite(score[e])) {
            return -1;
        }
    }
    choose(score, n_experts, k, expert);
    float largest = score[expert[0]];
    if (!probabilities && s == SELECT_SIGMOID) {
        for (int e = 0; e < n_experts; e++) {
            score[e] = 1 / (1 + expf(-score[e]));
        }
    } else if (!probabilities) {
        softmax(score, n_experts, largest);
    }
    double sum = 0;
    for (int i = 0; i < k; i++) {
        gate[i] = score[expert[i]];
        sum += gate[i];
    }
    for (int i = 0; s == SELECT_TOPK_SOFTMAX && sum > 0 && i < k; i++) {
        gate[i] = (float)(gate[i] / sum); /* a softmax over some is that over all, scaled to 1 */
    }
    if (probabilities) {
        scale_to_one(score, n_experts);
    }
    return 0;
}
