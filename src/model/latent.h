/* Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434), absorbed: building blocks beside layers.h's.
 *
 * Unfolded, head h has keys [W_UK_h c; r] and values W_UV_h c of a token's latent c (kv_rank values, normed)
 * and rotated key r, which all heads share. Since (W_UK_h c) . q = c . (W_UK_h^T q), the query takes W_UK in
 * instead, and W_UV waits until after the softmax: attention runs over [c; r] itself with V = c, one "KV
 * head" for all heads, so that nothing is ever unfolded for a token of the cache.
 *
 *     q_h = [W_UK_h^T nope_h; rope_h]      k = [c; r]      out_h = W_UV_h (sum of p c)
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_MODEL_LATENT_H
#define MQA_MODEL_LATENT_H

#include "model/layers.h"

/* q and k of in_embd, absorbed and rotated: what mqa_attend takes (v isn't looked at). */
void mqa_latent_project(mqa_step *step, const mqa_layer *layer);
/* attn = W_UV attn, head by head: what mqa_project_out takes. */
void mqa_latent_unfold(mqa_step *step, const mqa_layer *layer);

#endif
