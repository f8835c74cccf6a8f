/* How designs are put together: for the readers of shapes, configs and files.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_PLANNER_DESIGN_H
#define MQA_PLANNER_DESIGN_H

#include "planner/planner.h"

/* Far above any model; what is within them can be multiplied three at a time in 128 bits, and is still
 * checked where it is added up in 64. */
#define MQA_MAX_LAYERS  4096
#define MQA_MAX_WIDTH   (1 << 24) /* of any side of a matrix */
#define MQA_MAX_HEADS   65536
#define MQA_MAX_EXPERTS 65536

/* The most bytes and parameters that a figure may be: what JSON's integers hold. */
#define MQA_MOST ((size_t)INT64_MAX)

/* n matrices, of which a token uses n_used; n 0: none, and nothing happens. Equal ones become one entry. */
mqa_status mqa_design_add(mqa_design *design, mqa_role role, uint32_t type, int64_t n_in, int64_t n_out,
                          int64_t n, int64_t n_used, mqa_error *err);
/* n vectors of n_in values; n_in 0: nothing. */
mqa_status mqa_design_add_vectors(mqa_design *design, int64_t n_in, int64_t n, mqa_error *err);
/* Layers of one attention: joined to a group that is the same. Sets the kind, and the design's n_layers and
 * n_heads. */
mqa_status mqa_design_add_layers(mqa_design *design, mqa_layer_group group, mqa_error *err);

/* q, k, v and the output projection of `layers` layers without biases. */
mqa_status mqa_design_add_attention(mqa_design *design, uint32_t type, int64_t n_heads, int64_t n_kv_heads,
                                    int64_t head_dim, int64_t layers, mqa_error *err);

/* Latent attention as DeepSeek-V2 has it (arXiv:2405.04434, section 2.1): its matrices, norms and groups. */
typedef struct mqa_latent {
    int64_t n_heads, rank, rope_dims, query_rank; /* query_rank 0: q in one matrix */
    int64_t head_dim_nope, head_dim_v;
} mqa_latent;
mqa_status mqa_design_add_latent(mqa_design *design, uint32_t type, const mqa_latent *latent, int64_t layers,
                                 mqa_error *err);

/* The layers' other half. Experts (mixtures: arXiv:1701.06538) take the place of the dense part in all but
 * the first dense_layers layers. */
typedef struct mqa_feed_forward {
    int64_t ff;
    bool plain; /* up and down only, without a gate */
    int64_t experts, experts_used, expert_ff;
    int64_t shared_ff; /* width of what every token goes through besides; 0: none */
    int64_t dense_layers;
} mqa_feed_forward;
mqa_status mqa_design_add_feed_forward(mqa_design *design, uint32_t type, uint32_t expert_type,
                                       int64_t layers, const mqa_feed_forward *f, mqa_error *err);
/* The head, and the embedding where it is another matrix. */
mqa_status mqa_design_add_vocabulary(mqa_design *design, uint32_t type, bool untied, mqa_error *err);

/* When all is added: the label, and whether it can be counted. */
mqa_status mqa_design_finish(mqa_design *design, mqa_error *err);

/* Bytes of one of them, packed in a format or, MQA_WEIGHTS_AS_IS, its own. */
mqa_status mqa_matrices_bytes(const mqa_matrices *m, uint32_t type, size_t *out, mqa_error *err);

/* A copy of a text of anybody's: one line, cut to size. */
void mqa_design_text(char *out, size_t size, const char *text, size_t length);

/* Of two groups, whatever their numbers of layers. */
bool mqa_same_attention(const mqa_layer_group *a, const mqa_layer_group *b);

#endif
