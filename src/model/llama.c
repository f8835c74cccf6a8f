/* Llama and what is built like it (SmolLM2, TinyLlama, Mistral without window): SwiGLU, RoPE on adjacent
 * pairs, because the converter has permuted the rows of Q and K.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "model/hparams.h"
#include "model/layers.h"
#include "model/weights.h"

static const char arch[] = "llama";

static mqa_status load(mqa_loader *loader, mqa_model *model, mqa_error *err)
{
    static const mqa_neutral_key neutral[] = {{"expert_count", 0},
                                              {"attention.sliding_window", 0},
                                              {"attention.clamp_kqv", 0},
                                              {"attention.causal", 1},
                                              {"attention.max_alibi_bias", 0},
                                              {"use_parallel_residual", 0},
                                              {"embedding_scale", 1},
                                              {"residual_scale", 1},
                                              {"logit_scale", 1},
                                              {"attention.temperature_length", 0}};
    MQA_TRY(mqa_read_hparams(loader->gguf, arch, MQA_ROPE_ADJACENT, 10000, &model->hp, err));
    MQA_TRY(mqa_check_neutral(loader->gguf, arch, neutral, sizeof neutral / sizeof neutral[0], err));
    MQA_TRY(mqa_model_make_layers(model, err));
    for (int i = 0; i < model->hp.n_layers; i++) MQA_TRY(mqa_load_layer_common(loader, model, i, err));
    return mqa_load_common(loader, model, err);
}

static mqa_status forward(mqa_step *step, mqa_error *err)
{
    const mqa_model *model = step->model;
    const int last = model->hp.n_layers - 1;
    mqa_embed(step, &model->layers[0].attn_norm);
    for (int i = 0; i <= last; i++) {
        const mqa_layer *l = &model->layers[i];
        mqa_project_qkv(step, l);
        mqa_rotate(step, l);
        MQA_TRY(mqa_attend(step, l, i == last, err));
        mqa_project_out(step, l);
        mqa_residual(step, NULL, &l->ffn_norm);
        mqa_feed_forward(step, l, step->kernels->rows.silu_mul);
        mqa_residual(step, NULL, i == last ? &model->output_norm : &l[1].attn_norm);
    }
    return mqa_head(step, err);
}

const mqa_arch mqa_arch_llama = {.name = arch, .load = load, .forward = forward};
