/* The plain router: each token goes to its k likeliest experts (Shazeer et al. 2017; Fedus et al. 2022). */
#ifndef ENGINE_ROUTER_TOPK_H
#define ENGINE_ROUTER_TOPK_H
#include "engine/routing.h"

extern const struct router_ops router_topk;

#endif
