/* The oracle: the whole model, one loop a formula, in double. Slow and obviously right; the tests hold every
 * fast kernel and, by finite differences, every gradient against it. Letters as in engine/model.h. */
#ifndef ENGINE_NAIVE_H
#define ENGINE_NAIVE_H
#include "engine/convolution.h"
#include "engine/gated.h"
#include "engine/model.h"
#include "engine/network.h"
#include "engine/soft_moe.h"

/* y (T, out) = x (T, in) * w (out, in) transposed. */
void naive_linear(const double *x, const double *w, double *y, int T, int in, int out);
void naive_rmsnorm(const double *x, const double *gain, double *y, int T, int D);
/* Rotates queries and keys of qkv (T, 3 D) by their positions, in place. */
void naive_rope(double *qkv, const int32_t *position, int T, int D, int n_heads);
/* output (T, D) from qkv (T, 3 D), within the sequences that start marks. */
void naive_attention(const double *qkv, const int32_t *start, int n_sequences, int D, int n_heads,
                     double *output);
/* y (D) = out * (silu(x gate') * (x up')) for one token. in: (2 F, D), out: (D, F). */
void naive_expert(const double *x, const double *in, const double *out, double *y, int D, int F);
void naive_softmax(const double *logits, double *p, int n);
double naive_cross_entropy(const double *logits, int target, int V);

/* y (B, H', W', O) of x (B, H, W, C), w (O, K, K, C), bias (O). */
void naive_convolution(const struct convolution *c, const double *x, const double *w, const double *bias,
                       double *y, int B);
/* One sample: y (m, D) of x (m, D), slots (S, D), in (N, F, D), out (N, D, F). keep: (N) or NULL, as in
 * soft_moe_apply. dispatch (m, S), combine (m, S): NULL or written. */
void naive_soft_moe(const struct soft_moe *shape, const double *x, const double *slots, const double *in,
                    const double *out, const uint8_t *keep, double *y, int m, double *dispatch,
                    double *combine);

/* A network's last node for one sample, from weights laid out as n->parameters says and the values of its
 * inputs, in the list's order. Aborts when memory is short, as naive_model_loss does. */
void naive_network(const struct network *n, const double *weights, const double *const *inputs,
                   double *output);

/* The same of a network with gates whose router is topk with plain weights, held to what each block chose for
 * that sample in the last forward pass. logits: of each block's experts, one block behind the other. */
void naive_gated(const struct gated *g, const double *weights, const double *input, int sample,
                 double *output, double *logits);

/* One block's routing of one token: which experts, with which weights, given probabilities p (N). `fixed`
 * (k) holds the experts to use whatever p says, so that finite differences do not cross a change of mind;
 * NULL: the k likeliest. */
void naive_topk(const double *p, int N, int k, bool renormalize, const int32_t *fixed, int32_t *expert,
                double *weight);

/* Loss of the batch from weights laid out as m->parameters say: lm + weights.balance * sum of balance losses
 * + weights.z * sum of z losses + weights.entropy * sum of entropy losses + the routers' own. Routing is held
 * to what m->layers[].routing chose in the last model_forward of the same batch, dropped decisions and noise
 * included. token_loss: (T) or NULL. Aborts when memory is short: it
 * serves tests. */
double naive_model_loss(const struct model *m, const double *values, const struct batch *b,
                        const struct loss_weights *weights, double *token_loss);

#endif
