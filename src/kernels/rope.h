#ifndef MQA_KERNELS_ROPE_H
#define MQA_KERNELS_ROPE_H
#include "kernels/row_kernels.h"
#include "mqa/rope.h"
struct mqa_rope {
    int first_dim, n_dims;
};
static inline void mqa_rope_table_at(const mqa_rope *r, int64_t position, float *c, float *s)
{
    (void)r, (void)position, (void)c, (void)s;
}
static inline void mqa_rope_turn(const mqa_rope *r, const mqa_row_kernels *k, float *x, const float *c,
                                 const float *s)
{
    (void)r, (void)k, (void)x, (void)c, (void)s;
}
#endif
