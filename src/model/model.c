/* Models: which architecture, loading, information.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "model/model.h"

#include <string.h>

#include "base/log.h"
#include "base/take_struct.h"
#include "model/weights.h"

static const mqa_arch *const archs[] = {&mqa_arch_deepseek2, &mqa_arch_gemma3, &mqa_arch_llama};

static mqa_status find_arch(const mqa_gguf *gguf, const mqa_arch **out, mqa_error *err)
{
    mqa_gguf_str name;
    const mqa_status status = mqa_gguf_get_str(gguf, "general.architecture", &name, err);
    if (status == MQA_ERR_NOT_FOUND)
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: the key general.architecture is missing",
                        mqa_gguf_path(gguf));
    if (status != MQA_OK) return status;
    for (size_t i = 0; i < sizeof archs / sizeof archs[0]; i++) {
        if (strlen(archs[i]->name) != name.size || memcmp(archs[i]->name, name.data, name.size) != 0)
            continue;
        *out = archs[i];
        return MQA_OK;
    }
    return mqa_fail(err, MQA_ERR_UNSUPPORTED,
                    "%s: general.architecture is '%.*s': mqa runs deepseek2, gemma3 and llama",
                    mqa_gguf_path(gguf), (int)(name.size < 60 ? name.size : 60), name.data);
}

mqa_status mqa_model_make_layers(mqa_model *model, mqa_error *err)
{
    model->layers = mqa_alloc_array(model->ctx->allocator, (size_t)model->hp.n_layers, sizeof *model->layers);
    if (!model->layers)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for %d layers", model->hp.n_layers);
    return MQA_OK;
}

static mqa_status keep_name(mqa_model *model, const mqa_gguf *gguf, mqa_error *err)
{
    mqa_gguf_str name = {.data = "", .size = 0};
    (void)mqa_gguf_get_str(gguf, "general.name", &name, NULL); /* a name that isn't one is no name */
    model->name = mqa_alloc(model->ctx->allocator, name.size + 1);
    if (!model->name) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for the model's name");
    model->name_bytes = name.size + 1;
    memcpy(model->name, name.data, name.size);
    mqa_one_line(model->name);
    return MQA_OK;
}

static mqa_status load_weights(mqa_model *model, const mqa_gguf *gguf, const mqa_model_options *options,
                               mqa_error *err)
{
    mqa_loader loader;
    mqa_status status = mqa_loader_create(model, gguf, options, &loader, err);
    if (status == MQA_OK) status = model->arch->load(&loader, model, err);
    if (status == MQA_OK) status = mqa_loader_check_all_used(&loader, err);
    mqa_loader_destroy(&loader);
    return status;
}

static mqa_status make_ropes(mqa_model *model, mqa_error *err)
{
    for (int kind = 0; kind < MQA_LAYER_KINDS; kind++)
        if (model->n_layers_of[kind] > 0)
            MQA_TRY(mqa_rope_create(model->ctx, &model->hp.rope[kind], &model->rope[kind], err));
    return MQA_OK;
}

static mqa_status load(mqa_model *model, const mqa_gguf *gguf, const mqa_model_options *options,
                       mqa_error *err)
{
    MQA_TRY(find_arch(gguf, &model->arch, err));
    MQA_TRY(keep_name(model, gguf, err));
    MQA_TRY(mqa_tokenizer_create(gguf, &model->tokenizer, err));
    MQA_TRY(load_weights(model, gguf, options, err));
    if (mqa_tokenizer_n_tokens(model->tokenizer) > model->hp.n_vocab)
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: the tokenizer has %d tokens, token_embd.weight %d rows",
                        mqa_gguf_path(gguf), mqa_tokenizer_n_tokens(model->tokenizer), model->hp.n_vocab);
    for (int i = 0; i < model->hp.n_layers; i++)
        model->layers[i].cache_layer = model->n_layers_of[model->layers[i].kind]++;
    MQA_TRY(make_ropes(model, err));
    model->file_bytes = mqa_gguf_file_bytes(gguf);
    mqa_log(&model->ctx->log, MQA_LOG_DEBUG, "model: %s, %d layers, %zu bytes of weights", model->arch->name,
            model->hp.n_layers, model->weight_bytes);
    return MQA_OK;
}

mqa_status mqa_model_load(mqa_context *ctx, const char *path, const mqa_model_options *options,
                          mqa_model **out, mqa_error *err)
{
    if (!ctx || !path || !out)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_model_load: ctx, path or out is NULL");
    *out = NULL;
    mqa_model_options own = {0};
    if (options) MQA_TRY(MQA_TAKE(mqa_model_options, options, &own, err));
    mqa_gguf *gguf;
    MQA_TRY(mqa_gguf_open(path, &gguf, err));
    mqa_model *model = mqa_alloc(ctx->allocator, sizeof *model);
    mqa_status status;
    if (model) {
        model->ctx = ctx;
        status = load(model, gguf, &own, err);
    } else {
        status = mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a model");
    }
    mqa_gguf_close(&gguf);
    if (status != MQA_OK)
        mqa_model_destroy(&model);
    else
        *out = model;
    return status;
}

static void destroy_layer(const mqa_allocator *a, mqa_layer *l)
{
    mqa_vector *vectors[] = {&l->attn_norm, &l->q_norm,        &l->k_norm,   &l->post_attn_norm,
                             &l->ffn_norm,  &l->post_ffn_norm, &l->q_a_norm, &l->kv_a_norm};
    mqa_matrix *matrices[] = {&l->q,    &l->k,   &l->v,    &l->out, &l->gate, &l->up,
                              &l->down, &l->q_a, &l->kv_a, &l->k_b, &l->v_b};
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        mqa_release(a, vectors[i]->data, (size_t)vectors[i]->n * sizeof(float));
    for (size_t i = 0; i < sizeof matrices / sizeof matrices[0]; i++) mqa_matrix_destroy(a, matrices[i]);
}

void mqa_model_destroy(mqa_model **model)
{
    if (!model || !*model) return;
    mqa_model *m = *model;
    const mqa_allocator *a = m->ctx->allocator;
    for (int i = 0; m->layers && i < m->hp.n_layers; i++) destroy_layer(a, &m->layers[i]);
    mqa_release(a, m->layers, (size_t)m->hp.n_layers * sizeof *m->layers);
    for (int kind = 0; kind < MQA_LAYER_KINDS; kind++) mqa_rope_destroy(&m->rope[kind]);
    mqa_matrix_destroy(a, &m->embd);
    mqa_matrix_destroy(a, &m->head);
    mqa_release(a, m->output_norm.data, (size_t)m->output_norm.n * sizeof(float));
    mqa_release(a, m->name, m->name_bytes);
    mqa_tokenizer_destroy(&m->tokenizer);
    mqa_release(a, m, sizeof *m);
    *model = NULL;
}

void mqa_model_get_info(const mqa_model *model, mqa_model_info *out)
{
    const mqa_hparams *hp = &model->hp;
    const int n_window = model->n_layers_of[MQA_LAYER_WINDOW];
    *out = (mqa_model_info){.arch = model->arch->name,
                            .name = model->name,
                            .n_layers = hp->n_layers,
                            .n_embd = hp->n_embd,
                            .n_ff = hp->n_ff,
                            .n_heads = hp->n_heads,
                            .n_kv_heads = hp->n_kv_heads,
                            .head_dim = hp->head_dim,
                            .n_vocab = hp->n_vocab,
                            .context_length = hp->context_length,
                            .window = n_window > 0 ? hp->window : 0,
                            .n_window_layers = n_window,
                            .n_params = model->n_params,
                            .weight_bytes = model->weight_bytes,
                            .file_bytes = model->file_bytes,
                            .head_dim_v = hp->v_dim,
                            .kv_lora_rank = hp->latent.kv_rank};
}

const mqa_tokenizer *mqa_model_tokenizer(const mqa_model *model)
{
    return model->tokenizer;
}
