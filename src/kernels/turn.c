/* K runs read as V: the same values, from [d/per][16][per] to [token/per][d_v][per].
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "kernels/attention_kernels.h"

/* A square of per x per values: `per` tokens of one K tile and `per` dims. In K a token's dims lie together,
 * in V a dim's tokens. bytes: of a value. */
static inline void turn_squares(const unsigned char *k, unsigned char *v, int d, int d_v, int per, int bytes)
{
    const size_t tile_bytes = (size_t)MQA_PAD(d) * MQA_TILE * (size_t)bytes, row = (size_t)MQA_PAD(d_v) * 4;
    for (int t = 0; t < MQA_GRANULE; t += per) {
        const unsigned char *from = k + (size_t)(t / MQA_TILE) * tile_bytes + (size_t)(t % MQA_TILE) * 4;
        unsigned char *to = v + (size_t)(t / per) * row;
        for (int i = 0; i < MQA_PAD(d_v); i += per, from += MQA_TILE * 4, to += 4 * per)
            for (int a = 0; a < per; a++)     /* token */
                for (int b = 0; b < per; b++) /* dim */
                    memcpy(to + 4 * b + bytes * a, from + 4 * a + bytes * b, (size_t)bytes);
    }
}

void mqa_v_from_k(mqa_kv_type type, const void *k_run, int d, int d_v, void *v_run)
{
    switch (type) {
    case MQA_KV_F32:
        turn_squares(k_run, v_run, d, d_v, 1, 4);
        break;
    case MQA_KV_BF16:
        turn_squares(k_run, v_run, d, d_v, 2, 2);
        break;
    case MQA_KV_INT8: { /* the same scales; K is biased, V is not */
        const size_t header = MQA_GRANULE * sizeof(float);
        unsigned char *values = (unsigned char *)v_run + header;
        memcpy(v_run, k_run, header);
        turn_squares((const unsigned char *)k_run + header, values, d, d_v, 4, 1);
        for (size_t i = 0; i < (size_t)MQA_GRANULE * (size_t)MQA_PAD(d_v); i++) values[i] ^= 0x80;
        break;
    }
    }
}
