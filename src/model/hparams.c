/* SPDX-License-Identifier: Apache-2.0 */
#include "model/hparams.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/constants.h"

/* Far above any model, low enough that products of two fit an int and of three a size_t. */
enum {
    MAX_LAYERS = 4096,
    MAX_EMBD = 65536,
    MAX_FF = 1 << 20,
    MAX_HEADS = 4096,
    MAX_VOCAB = 1 << 24,
    KEY_BYTES = 128
};

static const char *full_key(char out[KEY_BYTES], const char *arch, const char *key)
{
    snprintf(out, KEY_BYTES, "%s.%s", arch, key);
    return out;
}

mqa_status mqa_read_int(const mqa_gguf *gguf, const char *arch, const char *key, bool optional, int min,
                        int max, int *out, mqa_error *err)
{
    char name[KEY_BYTES];
    int32_t value;
    const mqa_status status = mqa_gguf_get_i32(gguf, full_key(name, arch, key), &value, err);
    if (status == MQA_ERR_NOT_FOUND && optional) return MQA_OK;
    if (status == MQA_ERR_NOT_FOUND)
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: the key %s is missing", mqa_gguf_path(gguf), name);
    if (status != MQA_OK) return status;
    if (value < min || value > max)
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: %s is %d, which is not in [%d, %d]", mqa_gguf_path(gguf),
                        name, value, min, max);
    *out = value;
    return MQA_OK;
}

mqa_status mqa_read_double(const mqa_gguf *gguf, const char *arch, const char *key, bool optional, double min,
                           double max, double *out, mqa_error *err)
{
    char name[KEY_BYTES];
    float value;
    const mqa_status status = mqa_gguf_get_f32(gguf, full_key(name, arch, key), &value, err);
    if (status == MQA_ERR_NOT_FOUND && optional) return MQA_OK;
    if (status == MQA_ERR_NOT_FOUND)
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: the key %s is missing", mqa_gguf_path(gguf), name);
    if (status != MQA_OK) return status;
    if (!((double)value >= min && (double)value <= max))
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: %s is %g, which is not in [%g, %g]", mqa_gguf_path(gguf),
                        name, (double)value, min, max);
    *out = (double)value;
    return MQA_OK;
}

mqa_status mqa_check_neutral(const mqa_gguf *gguf, const char *arch, const mqa_neutral_key *keys, int n,
                             mqa_error *err)
{
    for (int i = 0; i < n; i++) {
        char name[KEY_BYTES];
        full_key(name, arch, keys[i].key);
        if (!mqa_gguf_find_value(gguf, name)) continue;
        float value = NAN;
        int32_t integer;
        bool truth;
        if (mqa_gguf_get_i32(gguf, name, &integer, NULL) == MQA_OK)
            value = (float)integer;
        else if (mqa_gguf_get_bool(gguf, name, &truth, NULL) == MQA_OK)
            value = truth;
        else
            (void)mqa_gguf_get_f32(gguf, name, &value, NULL);
        if (!((double)value == keys[i].value))
            return mqa_fail(err, MQA_ERR_UNSUPPORTED,
                            "%s: %s is set to something other than %g, which mqa can't compute",
                            mqa_gguf_path(gguf), name, keys[i].value);
    }
    return MQA_OK;
}

static mqa_status read_sizes(const mqa_gguf *gguf, const char *arch, mqa_hparams *hp, mqa_error *err)
{
    MQA_TRY(mqa_read_int(gguf, arch, "block_count", false, 1, MAX_LAYERS, &hp->n_layers, err));
    MQA_TRY(mqa_read_int(gguf, arch, "context_length", false, 1, INT_MAX, &hp->context_length, err));
    MQA_TRY(mqa_read_int(gguf, arch, "embedding_length", false, 1, MAX_EMBD, &hp->n_embd, err));
    MQA_TRY(mqa_read_int(gguf, arch, "feed_forward_length", false, 1, MAX_FF, &hp->n_ff, err));
    return mqa_read_int(gguf, arch, "attention.head_count", false, 1, MAX_HEADS, &hp->n_heads, err);
}

static mqa_status read_heads(const mqa_gguf *gguf, const char *arch, mqa_hparams *hp, mqa_error *err)
{
    hp->n_kv_heads = hp->n_heads;
    MQA_TRY(mqa_read_int(gguf, arch, "attention.head_count_kv", true, 1, MAX_HEADS, &hp->n_kv_heads, err));
    if (hp->n_heads % hp->n_kv_heads != 0)
        return mqa_fail(err, MQA_ERR_FORMAT,
                        "%s: %s.attention.head_count %d is no multiple of attention.head_count_kv %d",
                        mqa_gguf_path(gguf), arch, hp->n_heads, hp->n_kv_heads);

    hp->head_dim = hp->n_embd / hp->n_heads;
    MQA_TRY(mqa_read_int(gguf, arch, "attention.key_length", true, 2, MQA_MAX_HEAD_DIM, &hp->head_dim, err));
    int v_dim = hp->head_dim;
    MQA_TRY(mqa_read_int(gguf, arch, "attention.value_length", true, 1, MQA_MAX_HEAD_DIM, &v_dim, err));
    if (v_dim != hp->head_dim)
        return mqa_fail(err, MQA_ERR_UNSUPPORTED,
                        "%s: %s.attention.key_length %d and value_length %d differ: mqa runs models whose "
                        "keys and values are equally long",
                        mqa_gguf_path(gguf), arch, hp->head_dim, v_dim);
    if (hp->head_dim < 2 || hp->head_dim > MQA_MAX_HEAD_DIM || hp->head_dim % 2 != 0)
        return mqa_fail(err, MQA_ERR_FORMAT,
                        "%s: a head has %d values (%s.embedding_length / attention.head_count "
                        "or attention.key_length): not an even number in [2, %d]",
                        mqa_gguf_path(gguf), hp->head_dim, arch, MQA_MAX_HEAD_DIM);
    hp->v_dim = hp->out_dim = hp->head_dim;
    return MQA_OK;
}

/* Multi-head latent attention. Files say it in one of two ways: of the heads that the latent cache is read
 * with (head_count_kv 1, key_length rank + rope, value_length rank, and the heads' own lengths as *_mla), or,
 * the older ones, of those that K and V would be unfolded to. */
static mqa_status read_latent(const mqa_gguf *gguf, const char *arch, mqa_hparams *hp, mqa_error *err)
{
    mqa_latent_hparams *l = &hp->latent;
    const char *path = mqa_gguf_path(gguf);
    int key = 0, value = 0, kv_heads = hp->n_heads;
    MQA_TRY(mqa_read_int(gguf, arch, "attention.kv_lora_rank", false, 1, MQA_MAX_HEAD_DIM, &l->kv_rank, err));
    MQA_TRY(mqa_read_int(gguf, arch, "attention.q_lora_rank", true, 0, MAX_EMBD, &l->q_rank, err));
    MQA_TRY(mqa_read_int(gguf, arch, "rope.dimension_count", false, 2, MQA_MAX_HEAD_DIM, &l->rope, err));
    MQA_TRY(mqa_read_int(gguf, arch, "attention.head_count_kv", true, 1, MAX_HEADS, &kv_heads, err));
    MQA_TRY(mqa_read_int(gguf, arch, "attention.key_length", false, 2, MQA_MAX_HEAD_DIM, &key, err));
    MQA_TRY(mqa_read_int(gguf, arch, "attention.value_length", false, 1, MQA_MAX_HEAD_DIM, &value, err));
    hp->head_dim = l->kv_rank + l->rope;
    char name[KEY_BYTES];
    l->unfolded = !mqa_gguf_find_value(gguf, full_key(name, arch, "attention.key_length_mla"));
    if (!l->unfolded) {
        if (key != hp->head_dim || value != l->kv_rank)
            return mqa_fail(err, MQA_ERR_FORMAT,
                            "%s: %s.attention.key_length %d and value_length %d don't go with kv_lora_rank "
                            "%d and rope.dimension_count %d",
                            path, arch, key, value, l->kv_rank, l->rope);
        MQA_TRY(mqa_read_int(gguf, arch, "attention.key_length_mla", false, 2, MQA_MAX_HEAD_DIM, &key, err));
        MQA_TRY(
            mqa_read_int(gguf, arch, "attention.value_length_mla", false, 1, MQA_MAX_HEAD_DIM, &value, err));
    }
    if (kv_heads != (l->unfolded ? hp->n_heads : 1))
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: %s.attention.head_count_kv is %d: %d goes with the lengths",
                        path, arch, kv_heads, l->unfolded ? hp->n_heads : 1);
    if (l->rope >= key || l->rope % 2 != 0 || hp->head_dim > MQA_MAX_HEAD_DIM)
        return mqa_fail(err, MQA_ERR_FORMAT,
                        "%s: %s.rope.dimension_count is %d: not an even number below the %d of a head's key "
                        "that makes at most %d with kv_lora_rank %d",
                        path, arch, l->rope, key, MQA_MAX_HEAD_DIM, l->kv_rank);
    l->nope = key - l->rope;
    hp->n_kv_heads = 1;
    hp->v_dim = l->kv_rank;
    hp->out_dim = value;
    return MQA_OK;
}

/* Not below what mqa_rope can turn by. */
static mqa_status read_factor(const mqa_gguf *gguf, const char *arch, const char *key, double *factor,
                              mqa_error *err)
{
    return mqa_read_double(gguf, arch, key, true, 1e-3, 1e6, factor, err);
}

/* YaRN (arXiv:2309.00071), by the keys of llama.cpp's converter. */
static mqa_status read_yarn(const mqa_gguf *gguf, const char *arch, const mqa_hparams *hp,
                            mqa_rope_config *rope, mqa_error *err)
{
    static const mqa_neutral_key neutral[] = {{"rope.scaling.yarn_ext_factor", 1},
                                              {"rope.scaling.attn_factor", 1}};
    int original = hp->context_length;
    rope->scaling = MQA_ROPE_SCALING_YARN;
    MQA_TRY(mqa_check_neutral(gguf, arch, neutral, sizeof neutral / sizeof neutral[0], err));
    MQA_TRY(read_factor(gguf, arch, "rope.scaling.factor", &rope->factor, err));
    MQA_TRY(
        mqa_read_int(gguf, arch, "rope.scaling.original_context_length", true, 1, INT_MAX, &original, err));
    MQA_TRY(
        mqa_read_double(gguf, arch, "rope.scaling.yarn_beta_fast", true, 1e-3, 1e6, &rope->beta_fast, err));
    MQA_TRY(
        mqa_read_double(gguf, arch, "rope.scaling.yarn_beta_slow", true, 1e-3, 1e6, &rope->beta_slow, err));
    MQA_TRY(mqa_read_double(gguf, arch, "rope.scaling.yarn_attn_factor", true, 1e-3, 1e3,
                            &rope->attention_factor, err));
    rope->original_context = original;
    return MQA_OK;
}

static mqa_status read_rope(const mqa_gguf *gguf, const char *arch, const mqa_hparams *hp,
                            mqa_rope_config *rope, mqa_error *err)
{
    rope->n_dims = hp->head_dim;
    MQA_TRY(mqa_read_int(gguf, arch, "rope.dimension_count", true, 2, hp->head_dim, &rope->n_dims, err));
    if (rope->n_dims % 2 != 0)
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: %s.rope.dimension_count is odd (%d)", mqa_gguf_path(gguf),
                        arch, rope->n_dims);
    MQA_TRY(mqa_read_double(gguf, arch, "rope.freq_base", true, 1, 1e15, &rope->base, err));

    rope->scaling = MQA_ROPE_SCALING_LINEAR; /* by 1 unless the file says more */
    MQA_TRY(read_factor(gguf, arch, "rope.scale_linear", &rope->factor, err)); /* its old name */

    char name[KEY_BYTES];
    mqa_gguf_str type = {.data = "none", .size = 4};
    MQA_TRY(mqa_gguf_optional(mqa_gguf_get_str(gguf, full_key(name, arch, "rope.scaling.type"), &type, err)));
    if (type.size == 4 && memcmp(type.data, "yarn", 4) == 0) return read_yarn(gguf, arch, hp, rope, err);
    const bool linear = type.size == 6 && memcmp(type.data, "linear", 6) == 0;
    if (!linear && !(type.size == 4 && memcmp(type.data, "none", 4) == 0))
        return mqa_fail(err, MQA_ERR_UNSUPPORTED, "%s: %s is '%.*s': mqa knows none, linear and yarn",
                        mqa_gguf_path(gguf), name, (int)(type.size < 40 ? type.size : 40), type.data);
    if (linear) MQA_TRY(read_factor(gguf, arch, "rope.scaling.factor", &rope->factor, err));
    return MQA_OK;
}

/* What comes after the shape. */
static mqa_status read_rest(const mqa_gguf *gguf, const char *arch, mqa_rope_style style, double default_base,
                            mqa_hparams *hp, mqa_error *err)
{
    mqa_rope_config rope = mqa_rope_config_default();
    rope.style = style;
    rope.base = default_base;
    MQA_TRY(read_rope(gguf, arch, hp, &rope, err));
    for (int kind = 0; kind < MQA_LAYER_KINDS; kind++) hp->rope[kind] = rope;
    double eps;
    MQA_TRY(mqa_read_double(gguf, arch, "attention.layer_norm_rms_epsilon", false, 1e-30, 1, &eps, err));
    hp->norm_eps = (float)eps;
    hp->sm_scale = 1.0f / sqrtf((float)hp->head_dim);

    const mqa_gguf_tensor *embd = mqa_gguf_find_tensor(gguf, "token_embd.weight");
    if (!embd)
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: the tensor token_embd.weight is missing",
                        mqa_gguf_path(gguf));
    if (embd->dims[1] > MAX_VOCAB)
        return mqa_fail(err, MQA_ERR_FORMAT,
                        "%s: token_embd.weight has %zu rows; the most that mqa takes is %d",
                        mqa_gguf_path(gguf), embd->dims[1], MAX_VOCAB);
    hp->n_vocab = (int)embd->dims[1];

    /* Each layer has several tensors; this bounds what is allocated before they are looked for. */
    if ((size_t)hp->n_layers > mqa_gguf_n_tensors(gguf))
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: %s.block_count is %d, but the file has %zu tensors",
                        mqa_gguf_path(gguf), arch, hp->n_layers, mqa_gguf_n_tensors(gguf));
    return MQA_OK;
}

mqa_status mqa_read_hparams(const mqa_gguf *gguf, const char *arch, mqa_rope_style style, double default_base,
                            mqa_hparams *hp, mqa_error *err)
{
    *hp = (mqa_hparams){.embd_scale = 1};
    MQA_TRY(read_sizes(gguf, arch, hp, err));
    MQA_TRY(read_heads(gguf, arch, hp, err));
    return read_rest(gguf, arch, style, default_base, hp, err);
}

mqa_status mqa_read_latent_hparams(const mqa_gguf *gguf, const char *arch, mqa_rope_style style,
                                   double default_base, mqa_hparams *hp, mqa_error *err)
{
    *hp = (mqa_hparams){.embd_scale = 1};
    MQA_TRY(read_sizes(gguf, arch, hp, err));
    MQA_TRY(read_latent(gguf, arch, hp, err));
    MQA_TRY(read_rest(gguf, arch, style, default_base, hp, err));
    for (int kind = 0; kind < MQA_LAYER_KINDS; kind++) hp->rope[kind].first_dim = hp->latent.kv_rank;
    hp->sm_scale = 1.0f / sqrtf((float)(hp->latent.nope + hp->latent.rope));
    return MQA_OK;
}
