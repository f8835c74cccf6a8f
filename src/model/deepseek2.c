/* DeepSeek-V2 and V3 (and what is converted to their form, such as Kimi-K2): multi-head latent attention, run
 * absorbed over the latent cache. Their dense layers only: a model with experts is refused.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>

#include "model/hparams.h"
#include "model/latent.h"
#include "model/weights.h"

static const char arch[] = "deepseek2";

/* YaRN's two attention factors. transformers multiplies rotated q and k by m(mscale) / m(mscale_all_dim) and
 * sm_scale by m(mscale_all_dim)^2, where m(s) = 0.1 s log(factor) + 1. Files hold 0.1 mscale_all_dim, and the
 * two mscales are equal in every model there is. */
static mqa_status read_mscale(const mqa_gguf *gguf, mqa_hparams *hp, mqa_error *err)
{
    double log_multiplier = 0;
    MQA_TRY(
        mqa_read_double(gguf, arch, "rope.scaling.yarn_log_multiplier", true, 0, 10, &log_multiplier, err));
    mqa_rope_config *rope = &hp->rope[MQA_LAYER_GLOBAL];
    if (rope->scaling != MQA_ROPE_SCALING_YARN || log_multiplier == 0) return MQA_OK;
    if (rope->attention_factor == 0) rope->attention_factor = 1;
    const double m = rope->factor > 1 ? log_multiplier * mqa_log64(rope->factor) + 1 : 1;
    hp->sm_scale = (float)(m * m / sqrt(hp->latent.nope + hp->latent.rope));
    return MQA_OK;
}

static mqa_status read_keys(const mqa_gguf *gguf, mqa_hparams *hp, mqa_error *err)
{
    static const mqa_neutral_key neutral[] = {
        {"attention.causal", 1}, {"attention.temperature_scale", 0}, {"nextn_predict_layers", 0}};
    MQA_TRY(mqa_read_latent_hparams(gguf, arch, MQA_ROPE_ADJACENT, 10000, hp, err));
    MQA_TRY(mqa_check_neutral(gguf, arch, neutral, sizeof neutral / sizeof neutral[0], err));
    int n_dense = 0;
    MQA_TRY(mqa_read_int(gguf, arch, "leading_dense_block_count", true, 0, 1 << 20, &n_dense, err));
    if (n_dense < hp->n_layers)
        return mqa_fail(err, MQA_ERR_UNSUPPORTED,
                        "%s: layers from %d on have experts (deepseek2.leading_dense_block_count): mqa runs "
                        "dense layers only",
                        mqa_gguf_path(gguf), n_dense);
    return read_mscale(gguf, hp, err);
}

static mqa_status load_query(mqa_loader *loader, const mqa_hparams *hp, int i, mqa_layer *l, mqa_error *err)
{
    const int width = hp->n_heads * (hp->latent.nope + hp->latent.rope), rank = hp->latent.q_rank;
    if (rank == 0) return mqa_load_matrix(loader, i, "attn_q.weight", hp->n_embd, width, &l->q, err);
    MQA_TRY(mqa_load_matrix(loader, i, "attn_q_a.weight", hp->n_embd, rank, &l->q_a, err));
    MQA_TRY(mqa_load_vector(loader, i, "attn_q_a_norm.weight", rank, &l->q_a_norm, err));
    return mqa_load_matrix(loader, i, "attn_q_b.weight", rank, width, &l->q, err);
}

static mqa_status load_attention(mqa_loader *loader, const mqa_hparams *hp, int i, mqa_layer *l,
                                 mqa_error *err)
{
    const mqa_latent_hparams *la = &hp->latent;
    MQA_TRY(mqa_load_vector(loader, i, "attn_norm.weight", hp->n_embd, &l->attn_norm, err));
    MQA_TRY(load_query(loader, hp, i, l, err));
    MQA_TRY(mqa_load_matrix(loader, i, "attn_kv_a_mqa.weight", hp->n_embd, la->kv_rank + la->rope, &l->kv_a,
                            err));
    MQA_TRY(mqa_load_vector(loader, i, "attn_kv_a_norm.weight", la->kv_rank, &l->kv_a_norm, err));
    if (la->unfolded)
        return mqa_load_unfolded_heads(loader, i, "attn_kv_b.weight", hp, &l->k_b, &l->v_b, err);
    MQA_TRY(mqa_load_heads(loader, i, "attn_k_b.weight", hp->n_heads, la->nope, la->kv_rank, &l->k_b, err));
    return mqa_load_heads(loader, i, "attn_v_b.weight", hp->n_heads, la->kv_rank, hp->out_dim, &l->v_b, err);
}

static mqa_status load(mqa_loader *loader, mqa_model *model, mqa_error *err)
{
    const mqa_hparams *hp = &model->hp;
    MQA_TRY(read_keys(loader->gguf, &model->hp, err));
    MQA_TRY(mqa_model_make_layers(model, err));
    for (int i = 0; i < hp->n_layers; i++) {
        MQA_TRY(load_attention(loader, hp, i, &model->layers[i], err));
        MQA_TRY(mqa_load_layer_rest(loader, model, i, err));
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
        mqa_latent_project(step, l);
        MQA_TRY(mqa_attend(step, l, i == last, err));
        mqa_latent_unfold(step, l);
        mqa_project_out(step, l);
        mqa_residual(step, NULL, &l->ffn_norm);
        mqa_feed_forward(step, l, step->kernels->rows.silu_mul);
        mqa_residual(step, NULL, i == last ? &model->output_norm : &l[1].attn_norm);
    }
    return mqa_head(step, err);
}

const mqa_arch mqa_arch_deepseek2 = {.name = arch, .load = load, .forward = forward};
