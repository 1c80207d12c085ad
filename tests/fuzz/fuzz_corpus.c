/* Prepared corpora: any bytes as each of their files, under a corpus.ini that gives their hashes (or that is
 * foreign too); what loads is decoded whole. Then the list of pieces that sentencepiece's program prints. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "engine/corpus.h"
#include "engine/corpus_format.h"
#include "engine/tokenizer.h"
#include "tests/fuzz/fuzz.h"

static void write_ini(const char *const *names, char (*hashes)[SHA256_HEX], int n)
{
    struct text t;
    text_init(&t);
    text_add(&t, "[corpus]\nname = fuzz\nformat = 1\nsha256 = 00\n[files]\n");
    for (int i = 0; i < n; i++) {
        text_printf(&t, "%s = %s\n", names[i], hashes[i]);
    }
    fuzz_write(CORPUS_FILE_INI, t.data, t.length);
    text_release(&t);
}

static void use(const struct corpus *c)
{
    struct text t;
    text_init(&t);
    for (int d = 0; d < c->n_documents; d++) {
        const struct document *document = &c->documents[d];
        fuzz_require(document->domain >= 0 && document->domain < c->n_domains, "a domain of the corpus");
        fuzz_require(document->first >= 0 && document->n_ids <= c->n_ids - document->first,
                     "ids that are there");
        corpus_decode(c->vocabulary, c->ids + document->first, document->n_ids, &t);
        fuzz_require((int64_t)t.length ==
                         corpus_bytes(c->vocabulary, c->ids + document->first, document->n_ids),
                     "as many bytes as are counted");
        text_clear(&t);
    }
    text_release(&t);
}

static void load(struct fuzz_input *in, bool wide, bool foreign_ini)
{
    const char *const names[] = {CORPUS_FILE_DOCUMENTS, CORPUS_FILE_VOCABULARY,
                                 wide ? CORPUS_FILE_TOKENS_32 : CORPUS_FILE_TOKENS_16, CORPUS_FILE_MODEL};
    char hashes[4][SHA256_HEX];
    struct corpus c;
    struct error err;
    for (int i = 0; i < 4; i++) {
        size_t length = fuzz_number(in, 2), n;
        uint8_t *piece = fuzz_piece(in, length, &n);
        sha256_bytes(piece, n, hashes[i]);
        fuzz_write(names[i], piece, n);
        free(piece);
    }
    write_ini(names, hashes, 4);
    if (foreign_ini) {
        fuzz_write(CORPUS_FILE_INI, in->bytes, in->n);
    }
    if (corpus_load(&c, fuzz_folder(), &err) == 0) {
        use(&c);
        corpus_release(&c);
    }
    (void)corpus_input_hash(fuzz_folder(), hashes[0]);
}

static void parse_pieces(struct fuzz_input *in)
{
    struct tokenizer t;
    struct error err;
    if (tokenizer_parse(&t, fuzz_text(in, in->n), "fuzz", &err) == 0) {
        tokenizer_release(&t);
    }
}

static void run(const uint8_t *bytes, size_t n)
{
    struct fuzz_input in = {bytes, n};
    uint8_t kind = fuzz_byte(&in);
    if (kind & 4) {
        parse_pieces(&in);
    } else {
        load(&in, kind & 1, kind & 2);
    }
}

/* ---- seeds ---- */

static void add_piece(struct text *t, const void *bytes, size_t n)
{
    const uint8_t length[2] = {(uint8_t)n, (uint8_t)(n >> 8)};
    text_add_bytes(t, length, 2);
    text_add_bytes(t, bytes, n);
}

static const char documents[] =
    "train\tc\tc/a.txt\t4\t4\t0\t0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\tlang=c\n"
    "probe\tenglish\tenglish/b\\t.txt\t2\t3\t4\t"
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n";
static const char vocabulary[] = "0\tspecial\t0\t<unk>\n1\tspecial\t2\t<s>\n2\tspecial\t2\t</s>\n"
                                 "3\tbyte\t1\t<0xE3>\n4\tpiece\t2\t a\\n\n";

static void seed_corpus(struct fuzz_seeds *s, bool wide)
{
    static const uint8_t ids[] = {1, 3, 4, 2, 1, 4, 2};
    uint8_t tokens[sizeof ids * 4] = {0};
    size_t width = wide ? 4 : 2;
    struct text t;
    text_init(&t);
    for (size_t i = 0; i < sizeof ids; i++) {
        tokens[i * width] = ids[i];
    }
    text_add_bytes(&t, wide ? "\1" : "", 1); /* "" has a NUL */
    add_piece(&t, documents, sizeof documents - 1);
    add_piece(&t, vocabulary, sizeof vocabulary - 1);
    add_piece(&t, tokens, sizeof ids * width);
    add_piece(&t, "model", 5);
    fuzz_seeds_add(s, t.data, t.length);
    text_release(&t);
}

static void seed(struct fuzz_seeds *s)
{
    static const char ini[] = "\2\0\0\0\0\0\0\0\0[corpus]\nname = x\nformat = 1\nsha256 = 12\n[files]\n"
                              "documents.tsv = 12\ntokens.u16 = 12\n[source]\nsha256 = 12\n";
    struct text t;
    seed_corpus(s, false);
    seed_corpus(s, true);
    fuzz_seeds_add(s, ini, sizeof ini - 1);
    text_init(&t);
    text_add(&t, "\4<unk>\t0\n<s>\t0\n</s>\t0\n");
    for (int b = 0; b < 256; b++) {
        text_printf(&t, "<0x%02X>\t0\n", (unsigned)b);
    }
    text_add(&t, "\xE2\x96\x81"
                 "a\t-1\nb\tc\t-2\n");
    fuzz_seeds_add(s, t.data, t.length);
    text_release(&t);
}

static const char *const words[] = {"train\t",
                                    "valid\t",
                                    "probe\t",
                                    "routed\t",
                                    "\\t",
                                    "\\n",
                                    "\\\\",
                                    "=",
                                    "<0x0A>",
                                    "byte",
                                    "special",
                                    "piece",
                                    "[corpus]",
                                    "[files]",
                                    "format =",
                                    "9223372036854775807",
                                    "4611686018427387904",
                                    "\xE2\x96\x81",
                                    NULL};

const struct fuzz_target fuzz_corpus = {
    .name = "corpus", .most = 8192, .seed = seed, .run = run, .words = words};
