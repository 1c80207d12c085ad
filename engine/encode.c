#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cores.h"
#include "base/process.h"
#include "engine/corpus.h"
#include "engine/tokenizer.h"

struct encoder { /* one spm_encode with its share of the texts */
    struct encoded_text *texts;
    int n_texts, in, out;
    struct process process;
};

/* A line end more where the last line has none; spm_encode answers line by line. */
static int write_lines(const struct encoder *e, struct error *err)
{
    FILE *f = fdopen(dup(e->in), "w");
    if (!f)
        return error_errno(err, "write", "a temporary file");
    for (int i = 0; i < e->n_texts; i++) {
        const struct encoded_text *t = &e->texts[i];
        fwrite(t->text, 1, t->n_bytes, f);
        if (t->n_bytes && t->text[t->n_bytes - 1] != '\n')
            fputc('\n', f);
    }
    bool failed = ferror(f);
    if (fclose(f) != 0 || failed || lseek(e->in, 0, SEEK_SET) != 0) {
        error_errno(err, "write", "a temporary file");
        if (err)
            err->status = STATUS_MACHINE;
        return -1;
    }
    return 0;
}

static int64_t count_byte(const char *bytes, size_t n, char byte)
{
    int64_t count = 0;
    const char *end = bytes + n;
    for (const char *c = bytes; c < end && (c = memchr(c, byte, (size_t)(end - c))); c++)
        count++;
    return count;
}

/* Reads one line of ids below n_vocabulary; the pointer moves behind it. -1: there is something else in it.
 */
static int64_t read_ids(const char **answer, int n_vocabulary, int32_t *ids)
{
    int64_t n = 0;
    const char *c = *answer;
    while (*c && *c != '\n') {
        int64_t id = *c >= '0' && *c <= '9' ? 0 : n_vocabulary;
        for (; *c >= '0' && *c <= '9' && id < n_vocabulary; c++)
            id = id * 10 + (*c - '0');
        if (id >= n_vocabulary)
            return -1;
        if (ids)
            ids[n] = (int32_t)id;
        n++;
        while (*c == ' ')
            c++;
    }
    *answer = *c ? c + 1 : c;
    return n;
}

/* The ids of one text from its lines of the answer. */
static int frame_text(struct encoded_text *t, const char **answer, const struct tokenizer *tokenizer,
                      struct error *err)
{
    int n_vocabulary = tokenizer->n_items;
    int64_t ends = count_byte(t->text, t->n_bytes, '\n');
    int64_t lines = ends + (t->n_bytes && t->text[t->n_bytes - 1] != '\n');
    const char *look = *answer;
    int64_t n = 2 + ends;
    for (int64_t i = 0; i < lines; i++) {
        int64_t more = read_ids(&look, n_vocabulary, NULL);
        if (more < 0)
            return error_set(err, STATUS_MACHINE, "'spm_encode' gave something else than ids of pieces");
        n += more;
    }
    t->ids = malloc((size_t)n * sizeof *t->ids);
    if (!t->ids)
        return error_no_memory(err, "token ids");
    t->ids[t->n_ids++] = TOKEN_BOS;
    for (int64_t i = 0; i < lines; i++) {
        t->n_ids += read_ids(answer, n_vocabulary, t->ids + t->n_ids);
        if (i < ends)
            t->ids[t->n_ids++] = tokenizer->newline;
    }
    t->ids[t->n_ids++] = TOKEN_EOS;
    return 0;
}

static int read_answer(struct encoder *e, const struct tokenizer *tokenizer, struct error *err)
{
    char *answer;
    size_t n;
    int64_t expected = 0;
    if (scratch_read(e->out, &answer, &n, err) != 0)
        return -1;
    for (int i = 0; i < e->n_texts; i++) {
        const struct encoded_text *t = &e->texts[i];
        expected += count_byte(t->text, t->n_bytes, '\n') + (t->n_bytes && t->text[t->n_bytes - 1] != '\n');
    }
    int result = 0;
    if (count_byte(answer, n, '\n') != expected)
        result = error_set(err, STATUS_MACHINE, "'spm_encode' gave %lld lines for %lld",
                           (long long)count_byte(answer, n, '\n'), (long long)expected);
    const char *rest = answer;
    for (int i = 0; i < e->n_texts && result == 0; i++)
        result = frame_text(&e->texts[i], &rest, tokenizer, err);
    free(answer);
    return result;
}

static int encoder_start(struct encoder *e, const char *model_option, struct error *err)
{
    const char *const argv[] = {"spm_encode", model_option, "--output_format=id", NULL};
    if (scratch_open(&e->in, err) != 0)
        return -1;
    if (scratch_open(&e->out, err) != 0)
        return -1;
    if (write_lines(e, err) != 0)
        return -1;
    const struct process_setting setting = {.in = e->in, .out = e->out, .package = TOKENIZER_PACKAGE};
    return process_start(&e->process, argv, &setting, err);
}

static void encoder_stop(struct encoder *e)
{
    process_kill(&e->process);
    if (e->in >= 0)
        close(e->in);
    if (e->out >= 0)
        close(e->out);
}

/* Cuts the texts into shares of about the same number of bytes, one for each processor. */
enum { MOST_ENCODERS = 8, LEAST_SHARE = 1 << 20 };
static int share_texts(struct encoded_text *texts, int n, struct encoder *encoders)
{
    size_t total = 0, given = 0;
    for (int i = 0; i < n; i++)
        total += texts[i].n_bytes;
    long most = process_cores();
    if (most > MOST_ENCODERS)
        most = MOST_ENCODERS;
    if (most > (long)(total / LEAST_SHARE))
        most = (long)(total / LEAST_SHARE);
    int k = most > 1 ? (int)most : 1;
    for (int e = 0, i = 0; e < k; e++) {
        encoders[e] = (struct encoder){.texts = texts + i, .in = -1, .out = -1};
        size_t until = total / (size_t)k * (size_t)(e + 1);
        for (; i < n && (given < until || e == k - 1); i++, encoders[e].n_texts++)
            given += texts[i].n_bytes;
    }
    return k;
}

static int check_texts(struct encoded_text *texts, int n, struct error *err)
{
    for (int i = 0; i < n; i++) {
        int64_t at = utf8_first_error(texts[i].text, texts[i].n_bytes);
        texts[i].ids = NULL;
        texts[i].n_ids = 0;
        if (at >= 0)
            return error_set(err, STATUS_INPUT, "'%s' is not UTF-8 text: byte %lld is 0x%02X", texts[i].name,
                             (long long)at, (unsigned char)texts[i].text[at]);
    }
    return 0;
}

static int encode_shares(struct encoder *encoders, int k, const char *model_path,
                         const struct tokenizer *tokenizer, struct error *err)
{
    struct text option;
    int started = 0, result = 0;
    text_init(&option);
    text_printf(&option, "--model=%s", model_path);
    if (option.failed)
        result = error_no_memory(err, "a command line");
    for (; started < k && result == 0; started++)
        result = encoder_start(&encoders[started], option.data, err);
    for (int e = 0; e < started && result == 0; e++) {
        result = process_wait(&encoders[e].process, NULL, err);
        if (result == 0)
            result = read_answer(&encoders[e], tokenizer, err);
    }
    for (int e = 0; e < k; e++)
        encoder_stop(&encoders[e]);
    text_release(&option);
    return result;
}

int corpus_encode(const char *model_path, int n_vocabulary, struct encoded_text *texts, int n,
                  struct error *err)
{
    struct encoder encoders[MOST_ENCODERS];
    struct tokenizer t;
    for (int i = 0; i < n; i++)
        texts[i].ids = NULL;
    if (check_texts(texts, n, err) != 0 || tokenizer_load(&t, model_path, err) != 0)
        return -1;
    int result;
    if (t.n_items != n_vocabulary)
        result = error_set(err, STATUS_INPUT, "'%s' has %d pieces, where the vocabulary has %d", model_path,
                           t.n_items, n_vocabulary);
    else
        result = encode_shares(encoders, share_texts(texts, n, encoders), model_path, &t, err);
    tokenizer_release(&t);
    for (int i = 0; i < n && result != 0; i++) {
        free(texts[i].ids);
        texts[i].ids = NULL;
        texts[i].n_ids = 0;
    }
    return result;
}
