/* A GGUF writer that owns the tensors it is given, and makes some up.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_COMPARE_BUILDER_H
#define MQA_COMPARE_BUILDER_H

#include "gguf/writer.h"

typedef struct mqa_builder {
    mqa_gguf_writer *writer;
    void **owned; /* [n_owned] until destroy */
    size_t n_owned, capacity;
    uint64_t random; /* the state that made-up values are drawn from */
} mqa_builder;

mqa_status mqa_builder_create(uint64_t seed, mqa_builder *out, mqa_error *err);
void mqa_builder_destroy(mqa_builder *b);

/* n * size bytes that live until destroy. */
mqa_status mqa_builder_take(mqa_builder *b, size_t n, size_t size, void **out, mqa_error *err);

/* dims[0] is a row's values; an absent dimension is 0. Values are even in +-sqrt(3 / dims[0]), so that rows
 * of variance 1 stay so. type: what mqa_gguf_quantize writes; where a row doesn't fill its blocks, F16. */
mqa_status mqa_builder_random(mqa_builder *b, const char *name, uint32_t type, const size_t dims[3],
                              mqa_error *err);
/* The same as tensor "blk.<layer>.<name>.weight" of rows x columns (x heads, where not 0). */
mqa_status mqa_builder_layer_random(mqa_builder *b, int layer, const char *name, uint32_t type, int n_in,
                                    int n_out, int n_heads, mqa_error *err);
/* n ones in F32: a norm's weights. layer -1: the name alone. */
mqa_status mqa_builder_ones(mqa_builder *b, int layer, const char *name, int n, mqa_error *err);

#endif
