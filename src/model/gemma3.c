/* Gemma 3: local layers with a window between global ones, norms before and after each half of a block,
 * norms on q and k, GELU, embeddings scaled by sqrt(n_embd).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>

#include "model/hparams.h"
#include "model/layers.h"
#include "model/weights.h"

static const char arch[] = "gemma3";

/* Every `pattern`-th layer is global; a file may also say it of each layer by an array of booleans. */
static mqa_status set_layer_kinds(const mqa_gguf *gguf, mqa_model *model, mqa_error *err)
{
    static const char key[] = "gemma3.attention.sliding_window_pattern";
    const mqa_gguf_value *value = mqa_gguf_find_value(gguf, key), *is_local = NULL;
    int pattern = 6;
    if (value && value->is_array) {
        MQA_TRY(mqa_gguf_get_i32s(gguf, key, &is_local, err));
        if (is_local->count < (size_t)model->hp.n_layers)
            return mqa_fail(err, MQA_ERR_FORMAT, "%s: %s has %zu elements for %d layers", mqa_gguf_path(gguf),
                            key, is_local->count, model->hp.n_layers);
    } else {
        MQA_TRY(
            mqa_read_int(gguf, arch, "attention.sliding_window_pattern", true, 1, 1 << 20, &pattern, err));
    }
    for (int i = 0; i < model->hp.n_layers; i++) {
        const bool local = is_local ? mqa_gguf_i32_at(is_local, (size_t)i) != 0 : i % pattern < pattern - 1;
        model->layers[i].kind = local && model->hp.window > 0 ? MQA_LAYER_WINDOW : MQA_LAYER_GLOBAL;
    }
    return MQA_OK;
}

static mqa_status read_keys(const mqa_gguf *gguf, mqa_hparams *hp, mqa_error *err)
{
    static const mqa_neutral_key neutral[] = {{"attn_logit_softcapping", 0},
                                              {"final_logit_softcapping", 0},
                                              {"attention.causal", 1},
                                              {"expert_count", 0}};
    MQA_TRY(mqa_read_hparams(gguf, arch, MQA_ROPE_NEOX, 1e6, hp, err));
    MQA_TRY(mqa_check_neutral(gguf, arch, neutral, sizeof neutral / sizeof neutral[0], err));
    MQA_TRY(mqa_read_int(gguf, arch, "attention.sliding_window", true, 0, 1 << 30, &hp->window, err));

    /* Local layers have a base of their own, and linear scaling is for the global ones. */
    mqa_rope_config *local = &hp->rope[MQA_LAYER_WINDOW];
    local->factor = 1;
    local->base = 10000;
    MQA_TRY(mqa_read_double(gguf, arch, "rope.freq_base_swa", true, 1, 1e15, &local->base, err));
    hp->embd_scale = sqrtf((float)hp->n_embd);
    /* The 27B model, known by its depth, scales by its width per head instead. */
    if (hp->n_layers == 62) hp->sm_scale = 1.0f / sqrtf((float)(hp->n_embd / hp->n_heads));
    return MQA_OK;
}

static mqa_status load(mqa_loader *loader, mqa_model *model, mqa_error *err)
{
    const mqa_hparams *hp = &model->hp;
    MQA_TRY(read_keys(loader->gguf, &model->hp, err));
    MQA_TRY(mqa_model_make_layers(model, err));
    MQA_TRY(set_layer_kinds(loader->gguf, model, err));
    for (int i = 0; i < hp->n_layers; i++) {
        mqa_layer *l = &model->layers[i];
        MQA_TRY(mqa_load_layer_common(loader, model, i, err));
        MQA_TRY(mqa_load_vector(loader, i, "attn_q_norm.weight", hp->head_dim, &l->q_norm, err));
        MQA_TRY(mqa_load_vector(loader, i, "attn_k_norm.weight", hp->head_dim, &l->k_norm, err));
        MQA_TRY(
            mqa_load_vector(loader, i, "post_attention_norm.weight", hp->n_embd, &l->post_attn_norm, err));
        MQA_TRY(mqa_load_vector(loader, i, "post_ffw_norm.weight", hp->n_embd, &l->post_ffn_norm, err));
    }
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
        mqa_residual(step, &l->post_attn_norm, &l->ffn_norm);
        mqa_feed_forward(step, l, step->kernels->rows.gelu_mul);
        mqa_residual(step, &l->post_ffn_norm, i == last ? &model->output_norm : &l[1].attn_norm);
    }
    return mqa_head(step, err);
}

const mqa_arch mqa_arch_gemma3 = {.name = arch, .load = load, .forward = forward};
