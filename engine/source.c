#include "engine/source.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/folder.h"
#include "base/random.h"
#include "engine/corpus_format.h"

enum { DEEPEST = 32 };        /* folders below a domain: links can make circles */
enum { LEAST_DOCUMENTS = 3 }; /* train, valid and probe need one each */

/* Room for one more item in an array that grows by doubling; NULL when there is no memory. */
static void *grow(void *items, int n, size_t size)
{
    if (n & (n - 1))
        return items;
    return realloc(items, (size_t)(n > 0 ? 2 * n : 1) * size);
}

/* ---- documents of one file ---- */

/* Where to end a text of more than `most` bytes: behind the last line end, or between two characters. */
static size_t cut_at(const char *text, size_t most)
{
    const char *end = memrchr(text, '\n', most);
    if (end && (size_t)(end - text) >= most / 2) /* not where one line is nearly everything */
        return (size_t)(end - text) + 1;
    while (most > 0 && ((unsigned char)text[most] & 0xC0) == 0x80)
        most--;
    return most;
}

static bool is_blank(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r\n\v", text[i]))
            return false;
    return true;
}

static int add_document(struct source *s, const char *file, int part, char *text, size_t n, int64_t max_bytes,
                        struct error *err)
{
    struct source_document *more = grow(s->documents, s->n_documents, sizeof *more);
    struct text name;
    if (!more)
        return error_no_memory(err, "the documents");
    s->documents = more;
    text_init(&name);
    text_printf(&name, part > 1 ? "%s#%d" : "%s", file, part);
    struct source_document *d = &more[s->n_documents];
    *d = (struct source_document){.d.name = text_detach(&name), .d.domain = s->n_domains - 1, .text = text};
    if (!d->d.name)
        return error_no_memory(err, "a name");
    s->n_documents++;
    if (max_bytes > 0 && n > (size_t)max_bytes) {
        size_t kept = cut_at(text, (size_t)max_bytes);
        s->n_cut++;
        s->cut_bytes += (int64_t)(n - kept);
        n = kept;
    }
    s->n_blocks += memmem(text, n, "\xE2\x96\x81", 3) != NULL;
    d->d.n_bytes = (int64_t)n;
    sha256_bytes(text, n, d->d.sha256);
    return 0;
}

/* Form feeds part documents; the line end that often follows one belongs to neither. */
static int add_parts(struct source *s, const char *file, char *text, size_t n, int64_t max_bytes,
                     struct error *err)
{
    char *end = text + n;
    for (int part = 1; text <= end; part++) {
        char *stop = memchr(text, '\f', (size_t)(end - text));
        size_t length = (size_t)((stop ? stop : end) - text);
        if (part > 1 && length && *text == '\n') {
            text++;
            length--;
        }
        if (is_blank(text, length))
            s->n_empty++;
        else if (add_document(s, file, part, text, length, max_bytes, err) != 0)
            return -1;
        text += length + 1;
    }
    return 0;
}

static int add_file(struct source *s, const char *path, const char *name, int64_t max_bytes,
                    struct error *err)
{
    size_t n;
    char **more = grow(s->files, s->n_files, sizeof *more);
    if (!more)
        return error_no_memory(err, "the files");
    s->files = more;
    if (file_read(path, &s->files[s->n_files], &n, err) != 0)
        return -1;
    char *text = s->files[s->n_files++];
    int64_t at = utf8_first_error(text, n);
    if (at >= 0)
        return error_set(err, STATUS_INPUT,
                         "'%s' is not UTF-8 text: byte %lld is 0x%02X; convert it, for example by iconv",
                         path, (long long)at, (unsigned char)text[at]);
    return add_parts(s, name, text, n, max_bytes, err);
}

/* ---- folders ---- */

static bool ends_in_txt(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, ".txt") == 0;
}

static int add_folder(struct source *s, const char *path, const char *name, int64_t max_bytes, int depth,
                      struct error *err);

/* A file or a folder of a domain. */
static int add_entry(struct source *s, const char *path, const char *name, int64_t max_bytes, int depth,
                     struct error *err)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return error_errno(err, "read", path);
    if (S_ISDIR(info.st_mode))
        return add_folder(s, path, name, max_bytes, depth + 1, err);
    if (S_ISREG(info.st_mode) && ends_in_txt(name))
        return add_file(s, path, name, max_bytes, err);
    s->n_ignored++;
    return 0;
}

static int add_folder(struct source *s, const char *path, const char *name, int64_t max_bytes, int depth,
                      struct error *err)
{
    struct folder_list entries;
    struct text below, below_name;
    if (depth > DEEPEST)
        return error_set(err, STATUS_INPUT, "'%s' lies too deep; is there a link to a folder above it?",
                         path);
    if (folder_list(&entries, path, err) != 0)
        return -1;
    int result = 0;
    text_init(&below);
    text_init(&below_name);
    for (int i = 0; i < entries.n && result == 0; i++) {
        text_clear(&below);
        text_clear(&below_name);
        text_printf(&below, "%s/%s", path, entries.names[i]);
        text_printf(&below_name, "%s/%s", name, entries.names[i]);
        if (below.failed || below_name.failed)
            result = error_no_memory(err, "a path");
        else
            result = add_entry(s, below.data, below_name.data, max_bytes, depth, err);
    }
    text_release(&below);
    text_release(&below_name);
    folder_list_release(&entries);
    return result;
}

/* One folder directly below FOLDER. A folder without text is no domain. */
static int add_domain(struct source *s, const char *path, const char *name, int64_t max_bytes,
                      struct error *err)
{
    int before = s->n_documents, empty = s->n_empty;
    char **more = grow(s->domains, s->n_domains, sizeof *more);
    if (!more)
        return error_no_memory(err, "the domains");
    s->domains = more;
    if (!(s->domains[s->n_domains] = strdup(name)))
        return error_no_memory(err, "a domain");
    s->n_domains++;
    if (add_folder(s, path, name, max_bytes, 0, err) != 0)
        return -1;
    int n = s->n_documents - before;
    if (n == 0 && s->n_empty == empty)
        free(s->domains[--s->n_domains]);
    else if (n < LEAST_DOCUMENTS)
        return error_set(err, STATUS_INPUT,
                         "domain '%s' has %d document%s%s; train, valid and probe need one each (a file is a "
                         "document, a form feed in a file starts another)",
                         name, n, n == 1 ? "" : "s", s->n_empty > empty ? " that are not empty" : "");
    return 0;
}

static int add_domains(struct source *s, const char *folder, int64_t max_bytes, struct error *err)
{
    struct folder_list entries;
    struct stat info;
    struct text path;
    if (folder_list(&entries, folder, err) != 0)
        return -1;
    int result = 0;
    text_init(&path);
    for (int i = 0; i < entries.n && result == 0; i++) {
        text_clear(&path);
        text_printf(&path, "%s/%s", folder, entries.names[i]);
        if (path.failed)
            result = error_no_memory(err, "a path");
        else if (stat(path.data, &info) != 0)
            result = error_errno(err, "read", path.data);
        else if (S_ISDIR(info.st_mode))
            result = add_domain(s, path.data, entries.names[i], max_bytes, err);
        else
            s->n_ignored += strcmp(entries.names[i], "labels.tsv") != 0;
    }
    text_release(&path);
    folder_list_release(&entries);
    if (result == 0 && s->n_domains == 0)
        return error_set(err, STATUS_INPUT, "'%s' holds no domains: text is expected as '%s/DOMAIN/FILE.txt'",
                         folder, folder);
    return result;
}

/* ---- labels ---- */

static bool names_document(const char *name, const struct source *s, const struct source_document *d)
{
    size_t n = strlen(name);
    if (strcmp(name, s->domains[d->d.domain]) == 0)
        return true;
    return strncmp(name, d->d.name, n) == 0 && (d->d.name[n] == '\0' || d->d.name[n] == '#');
}

/* One line: its name and where its labels are in s->labels. */
struct label_line {
    char *name;
    int first, n;
};

static int parse_label_line(struct source *s, char *line, struct label_line *l)
{
    char *save = NULL;
    const char *between = strchr(line, '\t') ? "\t" : " "; /* with tabs, names may hold spaces */
    l->name = strtok_r(line, between, &save);
    l->first = s->n_labels;
    for (char *word; (word = strtok_r(NULL, between, &save));) {
        char *sign = strchr(word, '=');
        if (!sign || sign == word)
            return -1;
        *sign = '\0';
        s->labels[s->n_labels++] = (struct label){word, sign + 1};
    }
    l->n = s->n_labels - l->first;
    return 0;
}

/* A label that is there already, from a line further up, gets the new value. */
static int give_label(struct source_document *d, struct label label)
{
    for (int i = 0; i < d->d.n_labels; i++)
        if (strcmp(d->d.labels[i].key, label.key) == 0) {
            d->d.labels[i] = label;
            return 0;
        }
    struct label *more = grow(d->d.labels, d->d.n_labels, sizeof *more);
    if (!more)
        return -1;
    d->d.labels = more;
    more[d->d.n_labels++] = label;
    return 0;
}

static int give_labels(struct source *s, const struct label_line *l, bool *used, struct error *err)
{
    for (int i = 0; i < s->n_documents; i++) {
        struct source_document *d = &s->documents[i];
        if (!names_document(l->name, s, d))
            continue;
        *used = true;
        for (int k = 0; k < l->n; k++)
            if (give_label(d, s->labels[l->first + k]) != 0)
                return error_no_memory(err, "labels");
        if (d->d.n_labels > CORPUS_MOST_LABELS)
            return error_set(err, STATUS_INPUT, "'%s' has more than %d labels", d->d.name,
                             CORPUS_MOST_LABELS);
    }
    return 0;
}

static int apply_labels(struct source *s, const char *path, struct error *err)
{
    int number = 0;
    for (char *line = s->labels_text, *next; line && *line; line = next) {
        struct label_line l;
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        number++;
        line[strcspn(line, "\r")] = '\0';
        if (line[0] == '#' || !line[strspn(line, " \t")])
            continue;
        if (parse_label_line(s, line, &l) != 0)
            return error_set(err, STATUS_INPUT, "line %d of '%s' is not 'DOMAIN key=value...'", number, path);
        bool used = false;
        if (give_labels(s, &l, &used, err) != 0)
            return -1;
        if (!used)
            return error_set(err, STATUS_INPUT, "line %d of '%s' names '%s', which is no domain and no file",
                             number, path, l.name);
    }
    return 0;
}

static int read_labels(struct source *s, const char *folder, struct error *err)
{
    struct text path;
    size_t n = 0, signs = 1;
    text_init(&path);
    text_printf(&path, "%s/labels.tsv", folder);
    int result = path.failed ? error_no_memory(err, "a path") : 0;
    if (result == 0 && file_exists(path.data)) {
        result = file_read(path.data, &s->labels_text, &n, err);
        if (result == 0 && utf8_first_error(s->labels_text, n) >= 0)
            result = error_set(err, STATUS_INPUT, "'%s' is not UTF-8 text", path.data);
        for (size_t i = 0; i < n; i++)
            signs += s->labels_text[i] == '=';
        s->labels = malloc(signs * sizeof *s->labels);
        if (result == 0 && !s->labels)
            result = error_no_memory(err, "labels");
        if (result == 0)
            result = apply_labels(s, path.data, err);
    }
    text_release(&path);
    return result;
}

/* ---- the whole ---- */

int source_read(struct source *s, const char *folder, int64_t max_bytes, struct error *err)
{
    *s = (struct source){0};
    if (add_domains(s, folder, max_bytes, err) == 0 && read_labels(s, folder, err) == 0)
        return 0;
    source_release(s);
    return -1;
}

void source_release(struct source *s)
{
    for (int i = 0; i < s->n_documents; i++) {
        free(s->documents[i].d.name);
        free(s->documents[i].d.labels);
        free(s->documents[i].ids);
    }
    for (int i = 0; i < s->n_domains; i++)
        free(s->domains[i]);
    for (int i = 0; i < s->n_files; i++)
        free(s->files[i]);
    free(s->documents);
    free(s->domains);
    free(s->files);
    free(s->labels_text);
    free(s->labels);
    *s = (struct source){0};
}

/* ---- splits ---- */

static int domain_end(const struct source *s, int first)
{
    int i = first;
    while (i < s->n_documents && s->documents[i].d.domain == s->documents[first].d.domain)
        i++;
    return i;
}

/* A domain's own stream of random numbers: other domains may come and go without changing it. */
static uint64_t stream_of(const char *domain)
{
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a */
    for (; *domain; domain++)
        hash = (hash ^ (unsigned char)*domain) * 0x100000001B3u;
    return hash;
}

static void split_domain(struct source_document *documents, int n, struct random *r, int n_valid, int n_probe)
{
    /* The "inside-out" shuffle gives each document its place without another array. */
    for (int i = 0; i < n; i++) {
        int j = (int)random_below(r, (uint64_t)i + 1);
        documents[i].order = documents[j].order;
        documents[j].order = i;
    }
    for (int i = 0; i < n; i++) {
        int place = documents[i].order;
        documents[i].d.split = place < n_valid             ? SPLIT_VALID
                               : place < n_valid + n_probe ? SPLIT_PROBE
                                                           : SPLIT_TRAIN;
    }
}

void source_split(struct source *s, int64_t seed, int n_valid, int n_probe, int *n_short)
{
    for (int first = 0, end; first < s->n_documents; first = end) {
        end = domain_end(s, first);
        int n = end - first, held = n_valid + n_probe, valid = n_valid, probe = n_probe;
        int domain = s->documents[first].d.domain;
        struct random r;
        if (held > n / 3) {
            valid = (int)((int64_t)n_valid * (n / 3) / held);
            probe = (int)((int64_t)n_probe * (n / 3) / held);
            valid = valid > 1 ? valid : 1;
            probe = probe > 1 ? probe : 1;
        }
        if (n_short)
            n_short[domain] = held - valid - probe;
        random_seed(&r, (uint64_t)seed, stream_of(s->domains[domain]));
        split_domain(s->documents + first, n, &r, valid, probe);
    }
}

/* ---- balance ---- */

static int64_t predictions(const struct source_document *d)
{
    return d->d.split == SPLIT_TRAIN && !d->dropped ? d->d.n_ids - 1 : 0;
}

static int by_order_down(const void *a, const void *b)
{
    const struct source_document *x = *(struct source_document *const *)a,
                                 *y = *(struct source_document *const *)b;
    return (x->order < y->order) - (x->order > y->order);
}

static void balance_domain(struct source_document **sorted, int n, int64_t tokens, int64_t target)
{
    qsort(sorted, (size_t)n, sizeof *sorted, by_order_down);
    for (int i = 0; i < n; i++) {
        int64_t without = tokens - predictions(sorted[i]);
        if (without < target)
            break;
        if (sorted[i]->d.split == SPLIT_TRAIN)
            sorted[i]->dropped = true;
        tokens = without;
    }
}

/* The train tokens of the domain that has the fewest. */
static int64_t smallest_domain(const struct source *s)
{
    int64_t least = INT64_MAX;
    for (int first = 0, end; first < s->n_documents; first = end) {
        int64_t tokens = 0;
        end = domain_end(s, first);
        for (int i = first; i < end; i++)
            tokens += predictions(&s->documents[i]);
        least = tokens < least ? tokens : least;
    }
    return least;
}

int source_balance(struct source *s, int64_t *target, struct error *err)
{
    struct source_document **sorted = malloc(((size_t)s->n_documents + 1) * sizeof *sorted);
    if (!sorted)
        return error_no_memory(err, "the documents");
    if (*target <= 0)
        *target = smallest_domain(s);
    for (int first = 0, end; first < s->n_documents; first = end) {
        int64_t tokens = 0;
        end = domain_end(s, first);
        for (int i = first; i < end; i++) {
            sorted[i] = &s->documents[i];
            tokens += predictions(sorted[i]);
        }
        balance_domain(sorted + first, end - first, tokens, *target);
    }
    free(sorted);
    return 0;
}
