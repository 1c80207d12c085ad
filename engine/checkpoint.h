/* Checkpoints are safetensors files, readable from Python as they are: the model's tensors by name, AdamW's
 * moments as adam.m.NAME and adam.v.NAME, and in __metadata__ the configuration ("config.model.width") and
 * where training stood, with a CRC-32 of all of it. All random choices are functions of seed and step, so
 * there is no other state; and no times, so that a run that was interrupted and one that was not leave the
 * same bytes. */
#ifndef ENGINE_CHECKPOINT_H
#define ENGINE_CHECKPOINT_H
#include <stdint.h>

#include "base/error.h"
#include "base/file.h"
#include "engine/config.h"
#include "engine/model.h"
#include "engine/parameters.h"

struct checkpoint_state {
    int64_t step;         /* updates completed */
    int64_t epoch, next;  /* position in the training stream */
    int64_t seed, tokens; /* tokens trained on so far */
    int64_t vocabulary;   /* items */
    double flops;         /* spent so far; 0 in files of before they were counted */
    char corpus_sha256[SHA256_HEX], vocabulary_sha256[SHA256_HEX];
    char core_type[32]; /* of BLAS: another one would not continue bit for bit */
};

/* Whole or not at all. m, v: AdamW's moments, as long as the weights. */
int checkpoint_save(const char *path, const struct parameters *parameters, const float *m, const float *v,
                    const struct config *config, const struct checkpoint_state *state,
                    char sha256[SHA256_HEX], struct error *err);

struct checkpoint {
    struct checkpoint_state state;
    struct config config;
    char *path;
    char *bytes;
    size_t n_bytes;
    const char *data; /* where tensors begin */
    size_t n_data;
    void *header; /* parsed */
};
/* Reads and checks the header. STATUS_INPUT when it is not a whole checkpoint of ours. */
int checkpoint_open(struct checkpoint *c, const char *path, struct error *err);
/* Whether the file is as long as the tensors of such a model: asked before memory is taken for them, since a
 * header of a few bytes can speak of any size. */
int checkpoint_fits(const struct checkpoint *c, const struct model_config *config, struct error *err);
/* Copies the tensors into the parameters of a model of the same configuration; m and v may be NULL. */
int checkpoint_load(const struct checkpoint *c, const struct parameters *parameters, float *m, float *v,
                    struct error *err);
/* Refuses states of routers, as they were loaded, that the routers could not go by. */
int checkpoint_check_states(const struct checkpoint *c, const struct model *model, struct error *err);
void checkpoint_close(struct checkpoint *c);

#endif
