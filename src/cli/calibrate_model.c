/* Models made up in memory.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "calibrate.h"
#include "gguf/types.h"
#include "model/weights.h"

static mqa_status no_memory(mqa_error *err)
{
    return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for the weights to calibrate with");
}

/* Small numbers of both signs, the same in every row. */
static mqa_status fill(mqa_matrix *w, const mqa_gguf_quant *quant, mqa_error *err)
{
    const size_t n = mqa_round_up((size_t)w->n_in, MQA_GGUF_MAX_BLOCK);
    float *x = mqa_alloc_array(NULL, n, sizeof *x), *scale = mqa_alloc_array(NULL, n, sizeof *scale);
    uint8_t *q = mqa_alloc(NULL, n);
    bool ok = x && scale && q;
    for (size_t i = 0; ok && i < n; i++) {
        q[i] = (uint8_t)(i * 2654435761u >> 24 & ((1u << quant->bits) - 1));
        x[i] = ldexpf((float)(i * 2654435761u >> 24 & 255) - 127.5f, -12);
        scale[i] = 0x1p-10f;
    }
    for (int row = 0; ok && row < w->n_out; row++) {
        if (w->form == MQA_FORM_QUANTS)
            mqa_linear_pack_row(w->quants.format, w->data, w->n_in, row, q, scale,
                                quant->has_min ? scale : NULL);
        else
            ok = mqa_matrix_pack_floats(w, row, x);
    }
    mqa_release(NULL, x, n * sizeof *x);
    mqa_release(NULL, scale, n * sizeof *scale);
    mqa_release(NULL, q, n);
    return ok ? MQA_OK : no_memory(err);
}

/* like: of the same shape, whose weights are taken; NULL: they are made. */
static mqa_status make_matrix(const mqa_context *ctx, uint32_t type, int n_in, int n_out,
                              const mqa_matrix *like, mqa_matrix *out, mqa_error *err)
{
    const mqa_gguf_quant q = mqa_gguf_type_find(type)->quant;
    const mqa_form form = q.bits > 0 ? MQA_FORM_QUANTS : type == MQA_GGUF_BF16 ? MQA_FORM_BF16 : MQA_FORM_F32;
    const mqa_linear_format format = {
        .bits = q.bits, .zero = q.zero, .group = q.group, .has_min = q.has_min, .f16_scales = q.f16_scales};
    MQA_TRY(mqa_matrix_create(ctx->allocator, form, format, n_in, n_out, out, err));
    if (!like) return fill(out, &q, err);
    memcpy(out->data, like->data, out->bytes);
    return MQA_OK;
}

static mqa_status make_norm(const mqa_context *ctx, int n, mqa_vector *out, mqa_error *err)
{
    out->data = mqa_alloc_array(ctx->allocator, (size_t)n, sizeof *out->data);
    if (!out->data) return no_memory(err);
    out->n = n;
    for (int i = 0; i < n; i++) out->data[i] = 1;
    return MQA_OK;
}

static mqa_status make_layer(mqa_model *m, const calibrate_shape *s, int layer, mqa_error *err)
{
    const mqa_layer *first = layer > 0 ? &m->layers[0] : NULL;
    mqa_layer *l = &m->layers[layer];
    const int q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;
    const mqa_context *ctx = m->ctx;
    l->cache_layer = m->n_layers_of[MQA_LAYER_GLOBAL]++;
    MQA_TRY(make_norm(ctx, s->embd, &l->attn_norm, err));
    MQA_TRY(make_norm(ctx, s->embd, &l->ffn_norm, err));
    MQA_TRY(make_matrix(ctx, s->type, s->embd, q, first ? &first->q : NULL, &l->q, err));
    MQA_TRY(make_matrix(ctx, s->type, s->embd, kv, first ? &first->k : NULL, &l->k, err));
    MQA_TRY(make_matrix(ctx, s->type, s->embd, kv, first ? &first->v : NULL, &l->v, err));
    MQA_TRY(make_matrix(ctx, s->type, q, s->embd, first ? &first->out : NULL, &l->out, err));
    MQA_TRY(make_matrix(ctx, s->type, s->embd, s->ff, first ? &first->gate : NULL, &l->gate, err));
    MQA_TRY(make_matrix(ctx, s->type, s->embd, s->ff, first ? &first->up : NULL, &l->up, err));
    return make_matrix(ctx, s->type, s->ff, s->embd, first ? &first->down : NULL, &l->down, err);
}

static mqa_status make(mqa_model *m, const calibrate_shape *s, mqa_error *err)
{
    mqa_hparams *hp = &m->hp;
    *hp = (mqa_hparams){.n_layers = s->layers,
                        .n_embd = s->embd,
                        .n_ff = s->ff,
                        .n_heads = s->heads,
                        .n_kv_heads = s->kv_heads,
                        .head_dim = s->head_dim,
                        .v_dim = s->head_dim,
                        .out_dim = s->head_dim,
                        .n_vocab = s->vocab,
                        .context_length = 1 << 20,
                        .norm_eps = 1e-5f,
                        .sm_scale = 1.0f / sqrtf((float)s->head_dim),
                        .embd_scale = 1};
    hp->rope[MQA_LAYER_GLOBAL] = mqa_rope_config_default();
    hp->rope[MQA_LAYER_GLOBAL].n_dims = s->head_dim;
    MQA_TRY(mqa_model_make_layers(m, err));
    for (int i = 0; i < s->layers; i++) MQA_TRY(make_layer(m, s, i, err));
    MQA_TRY(make_norm(m->ctx, s->embd, &m->output_norm, err));
    MQA_TRY(make_matrix(m->ctx, s->type, s->embd, s->vocab, NULL, &m->embd, err));
    return mqa_rope_create(m->ctx, &hp->rope[MQA_LAYER_GLOBAL], &m->rope[MQA_LAYER_GLOBAL], err);
}

mqa_status calibrate_model(mqa_context *ctx, const calibrate_shape *shape, mqa_model **out, mqa_error *err)
{
    *out = mqa_alloc(ctx->allocator, sizeof **out);
    if (!*out) return no_memory(err);
    (*out)->ctx = ctx;
    (*out)->arch = &mqa_arch_llama;
    const mqa_status status = make(*out, shape, err);
    if (status != MQA_OK) mqa_model_destroy(out);
    return status;
}
