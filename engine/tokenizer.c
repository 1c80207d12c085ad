#include "engine/tokenizer.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/process.h"

/* ---- the vocabulary ---- */

/* The value of a byte piece "<0xE3>", or -1. */
static int byte_of_piece(const char *piece)
{
    if (strlen(piece) != 6 || strncmp(piece, "<0x", 3) != 0 || piece[5] != '>' ||
        !isxdigit((unsigned char)piece[3]) || !isxdigit((unsigned char)piece[4]))
        return -1;
    return (int)strtol(piece + 3, NULL, 16);
}

/* In place: sentencepiece's U+2581 back to spaces. */
static void restore_spaces(char *piece)
{
    char *to = piece;
    for (const char *from = piece; *from; to++) {
        bool space = strncmp(from, "\xE2\x96\x81", 3) == 0;
        *to = *from;
        if (space)
            *to = ' ';
        from += space ? 3 : 1;
    }
    *to = '\0';
}

static void read_piece(struct tokenizer *t, int id, char *piece)
{
    struct vocabulary_item *item = &t->items[id];
    int byte = byte_of_piece(piece);
    *item = (struct vocabulary_item){.text = piece,
                                     .kind = id <= TOKEN_EOS ? "special"
                                             : byte >= 0     ? "byte"
                                                             : "piece"};
    t->n_bytes += byte >= 0;
    if (byte == '\n')
        t->newline = id;
    if (byte > 0 && byte < 0x80) {
        piece[0] = (char)byte;
        piece[1] = '\0';
    } else if (byte < 0)
        restore_spaces(piece);
}

/* Lines "PIECE tab SCORE"; a piece may hold a tab, a score cannot. */
static int read_pieces(struct tokenizer *t, struct error *err)
{
    int n = 0;
    for (const char *c = t->buffer; *c; c++)
        n += *c == '\n';
    t->items = calloc((size_t)n + 1, sizeof *t->items);
    if (!t->items)
        return error_no_memory(err, "the vocabulary");
    t->newline = -1;
    for (char *line = t->buffer; t->n_items < n;) {
        char *end = strchr(line, '\n'), *tab;
        *end = '\0';
        tab = strrchr(line, '\t');
        if (tab)
            *tab = '\0';
        read_piece(t, t->n_items++, line);
        line = end + 1;
    }
    return 0;
}

/* What the rest of the program relies on; models made elsewhere may differ. */
static int check_pieces(const struct tokenizer *t, const char *model_path, struct error *err)
{
    static const char *const specials[] = {"<unk>", "<s>", "</s>"};
    for (int i = 0; i <= TOKEN_EOS; i++) {
        const char *text = i < t->n_items ? t->items[i].text : NULL;
        if (!text || strcmp(text, specials[i]) != 0)
            return error_set(err, STATUS_INPUT,
                             "the model '%s' does not have %s as id %d; train it with those ids", model_path,
                             specials[i], i);
    }
    if (t->n_bytes != 256)
        return error_set(err, STATUS_INPUT,
                         "the model '%s' has no piece for every byte; train it with --byte_fallback",
                         model_path);
    return 0;
}

static int list_pieces(const char *model_path, char **list, struct error *err)
{
    struct text option, complaints;
    struct process p;
    int out, result = -1;
    size_t n;
    if (scratch_open(&out, err) != 0)
        return -1;
    text_init(&option);
    text_init(&complaints);
    text_printf(&option, "--model=%s", model_path);
    const struct process_setting setting = {.in = -1, .out = out, .package = TOKENIZER_PACKAGE};
    const char *const argv[] = {"spm_export_vocab", option.data, "--output_format=vocab", NULL};
    if (option.failed)
        error_no_memory(err, "a command line");
    else if (process_start(&p, argv, &setting, err) == 0) {
        result = process_wait(&p, &complaints, err);
        if (result != 0)
            error_set(err, STATUS_INPUT, "'%s' is not a sentencepiece model", model_path);
    }
    if (result == 0)
        result = scratch_read(out, list, &n, err);
    text_release(&option);
    text_release(&complaints);
    close(out);
    return result;
}

int tokenizer_parse(struct tokenizer *t, char *list, const char *model_path, struct error *err)
{
    *t = (struct tokenizer){.buffer = list};
    if (read_pieces(t, err) == 0 && check_pieces(t, model_path, err) == 0)
        return 0;
    tokenizer_release(t);
    return -1;
}

int tokenizer_load(struct tokenizer *t, const char *model_path, struct error *err)
{
    char *list;
    *t = (struct tokenizer){0};
    if (access(model_path, R_OK) != 0)
        return error_errno(err, "open", model_path);
    return list_pieces(model_path, &list, err) == 0 ? tokenizer_parse(t, list, model_path, err) : -1;
}

void tokenizer_release(struct tokenizer *t)
{
    free(t->items);
    free(t->buffer);
    *t = (struct tokenizer){0};
}

/* ---- training ---- */

/* Older versions refuse options they do not know. */
static int has_option(const char *option, bool *has, struct error *err)
{
    static const char *const argv[] = {"spm_train", "--help", NULL};
    struct text help;
    struct process p;
    char *shown = NULL;
    size_t n;
    int out, result = -1;
    if (scratch_open(&out, err) != 0)
        return -1;
    const struct process_setting setting = {.in = -1, .out = out, .package = TOKENIZER_PACKAGE};
    text_init(&help);
    if (process_start(&p, argv, &setting, err) == 0) {
        struct error ignored; /* whatever status help ends with */
        process_wait(&p, &help, &ignored);
        result = scratch_read(out, &shown, &n, err);
    }
    *has = strstr(help.data, option) || (shown && strstr(shown, option));
    free(shown);
    text_release(&help);
    close(out);
    return result;
}

/* The last line of what the trainer said is its reason; what leads to it is progress. */
static int training_failed(const struct text *complaints, struct error *err)
{
    const char *reason = strstr(complaints->data, "Vocabulary size");
    if (!reason) {
        size_t n = complaints->length;
        reason = complaints->data + (n > 300 ? n - 300 : 0);
        return error_set(err, STATUS_MACHINE, "'spm_train' failed: %.*s", (int)strcspn(reason, "\n"), reason);
    }
    return error_set(err, STATUS_USAGE, "this vocabulary does not suit this text: %.*s",
                     (int)strcspn(reason, "\n"), reason);
}

static int train_once(int lines, const char *folder, int n_vocabulary, double coverage, bool white,
                      struct text *complaints, struct error *err)
{
    const struct process_setting setting = {
        .in = lines, .out = -1, .folder = folder, .package = TOKENIZER_PACKAGE};
    struct text options[2];
    struct process p;
    int result = -1;
    for (int i = 0; i < 2; i++)
        text_init(&options[i]);
    text_printf(&options[0], "--vocab_size=%d", n_vocabulary);
    text_printf(&options[1], "--character_coverage=%g", coverage);
    const char *const argv[] = {"spm_train",
                                "--input=/dev/stdin",
                                options[0].data,
                                options[1].data,
                                "--model_prefix=tokens", /* kept in the model: a path would change its hash */
                                "--model_type=bpe",
                                "--byte_fallback=true",
                                "--normalization_rule_name=identity",
                                "--remove_extra_whitespaces=false",
                                "--add_dummy_prefix=false",
                                "--hard_vocab_limit=false",
                                "--num_threads=1",
                                "--max_sentence_length=16384",
                                "--unk_id=0",
                                "--bos_id=1",
                                "--eos_id=2",
                                "--minloglevel=1",
                                white ? "--allow_whitespace_only_pieces=true" : NULL,
                                NULL};
    if (options[0].failed || options[1].failed)
        error_no_memory(err, "a command line");
    else if (lseek(lines, 0, SEEK_SET) != 0)
        error_errno(err, "read", "a temporary file");
    else if (process_start(&p, argv, &setting, err) == 0)
        result = process_wait(&p, complaints, err);
    for (int i = 0; i < 2; i++)
        text_release(&options[i]);
    return result;
}

int tokenizer_train(int lines, const char *folder, int n_vocabulary, double *coverage, struct error *err)
{
    /* With many characters and few pieces, the rare ones must do with bytes; sentencepiece refuses 0.98. */
    static const double coverages[] = {0.9995, 0.998, 0.995, 0.99, 0.985};
    enum { N = sizeof coverages / sizeof coverages[0] };
    struct text complaints;
    bool white;
    int result = -1;
    if (has_option("allow_whitespace_only_pieces", &white, err) != 0)
        return -1;
    text_init(&complaints);
    for (int i = 0; i < N && result != 0; i++) {
        *coverage = coverages[i];
        text_clear(&complaints);
        result = train_once(lines, folder, n_vocabulary, coverages[i], white, &complaints, err);
        if (!strstr(complaints.data, "required_chars"))
            break;
    }
    if (result != 0 && complaints.length)
        training_failed(&complaints, err);
    text_release(&complaints);
    return result;
}
