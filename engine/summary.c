#include "engine/summary.h"

#include <math.h>

#include "engine/task.h"

void summarise_model(const struct model_config *m, double parameters, struct summary *s)
{
    *s = (struct summary){.task = task_language.name,
                          .router = m->layers[0].router->name,
                          .parameters = parameters,
                          .active_parameters = model_active_weights(m, NULL),
                          .flops_per_token = model_flops_per_token(m, NULL, m->context),
                          .context = m->context,
                          .vocabulary = m->vocabulary};
    for (int l = 0; l < m->n_layers; l++) {
        const struct layer_config *b = &m->layers[l];
        if (b->router->routes)
            s->layers[s->n_layers++] =
                (struct routed_summary){.layer = l,
                                        .router = b->router->name,
                                        .n_experts = b->routing.n_experts,
                                        .k = router_fixed_k(b->router, &b->routing),
                                        .expert_parameters = (int64_t)3 * m->width * b->hidden,
                                        .n_shared = b->n_shared,
                                        .shared_parameters = (int64_t)3 * m->width * b->shared_hidden};
    }
}
