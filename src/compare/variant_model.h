/* The same model with other attention, as a file that the runner loads: what mqa_design_vary says, made.
 *
 * Sharing: new KV head j serves the query heads [j * n / m, (j + 1) * n / m) of n heads; its rows of W_K and
 * W_V are the mean of those that these heads had (mean pooling, Ainslie et al. 2023, arXiv:2305.13245 section
 * 2.1), or the one that they had, where heads become more. MLA: random matrices, since none can be had from
 * K's and V's without training; the rest is as in the file.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_COMPARE_VARIANT_MODEL_H
#define MQA_COMPARE_VARIANT_MODEL_H

#include "gguf/gguf.h"
#include "planner/planner.h"

/* base: llama or gemma3. MQA_ERR_UNSUPPORTED says why it can't be: heads that don't divide, an architecture
 * without such attention. MQA_VARIANT_WINDOW isn't made. */
mqa_status mqa_variant_model_write(const mqa_gguf *base, mqa_variant variant, const char *path,
                                   mqa_error *err);

#endif
