/* The rows of the table of formats; private to import/shared/. */
#ifndef IMPORT_SHARED_FORMAT_H
#define IMPORT_SHARED_FORMAT_H
#include "import/shared/formats.h"

extern const struct import_format format_megatron, format_tokens_per_expert, format_olmoe, format_answers,
    format_sglang, format_imatrix, format_tensorrt, format_logits, format_routed, format_jsonl, format_csv;

#endif
