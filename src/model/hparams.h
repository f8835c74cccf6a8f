/* Hyperparameters from the keys "<arch>.…" of a file, checked so that nothing later overflows.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_MODEL_HPARAMS_H
#define MQA_MODEL_HPARAMS_H

#include "model/model.h"

/* The keys that all architectures share, and n_vocab from token_embd. rope[] gets the architecture's style,
 * the file's freq_base (or default_base) and linear scaling, for both kinds of layers; sm_scale is 1 /
 * sqrt(head_dim). */
mqa_status mqa_read_hparams(const mqa_gguf *gguf, const char *arch, mqa_rope_style style, double default_base,
                            mqa_hparams *hp, mqa_error *err);

/* The same for multi-head latent attention: hp->latent, and the rest as attention over the latent cache sees
 * it. sm_scale is that of the unfolded keys. */
mqa_status mqa_read_latent_hparams(const mqa_gguf *gguf, const char *arch, mqa_rope_style style,
                                   double default_base, mqa_hparams *hp, mqa_error *err);

/* "<arch>.<key>", an integer in [min, max]; *out keeps its value where the key is absent and optional. */
mqa_status mqa_read_int(const mqa_gguf *gguf, const char *arch, const char *key, bool optional, int min,
                        int max, int *out, mqa_error *err);
mqa_status mqa_read_double(const mqa_gguf *gguf, const char *arch, const char *key, bool optional, double min,
                           double max, double *out, mqa_error *err);

/* A key that changes the arithmetic in a way that we don't compute, unless it has this value. */
typedef struct mqa_neutral_key {
    const char *key;
    double value;
} mqa_neutral_key;
/* MQA_ERR_UNSUPPORTED for the first of keys[n] that the file sets otherwise. */
mqa_status mqa_check_neutral(const mqa_gguf *gguf, const char *arch, const mqa_neutral_key *keys, int n,
                             mqa_error *err);

#endif
