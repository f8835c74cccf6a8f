/* From a GGUF to a design: hyperparameters by its keys, matrices by its tensors.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "planner/design.h"

typedef struct source {
    const mqa_gguf *gguf;
    char arch[48];
    int64_t layers, heads, kv_heads, head_dim, head_dim_v, embd, experts_used, rank, rope_dims, window;
    bool tied;
} source;

/* ---- keys ---- */

static const char *full_key(const source *s, const char *key)
{
    static _Thread_local char full[128];
    snprintf(full, sizeof full, "%s.%s", s->arch, key);
    return full;
}

static mqa_status read_int(const source *s, const char *key, bool optional, int64_t min, int64_t max,
                           int64_t *out, mqa_error *err)
{
    int32_t n;
    const mqa_status status = mqa_gguf_get_i32(s->gguf, full_key(s, key), &n, err);
    if (status == MQA_ERR_NOT_FOUND && optional) return MQA_OK;
    if (status != MQA_OK) return status;
    if (n < min || n > max)
        return mqa_fail(err, MQA_ERR_FORMAT, "%s is %" PRId32 ", not from %" PRId64 " to %" PRId64,
                        full_key(s, key), n, min, max);
    *out = n;
    return MQA_OK;
}

static mqa_status read_keys(source *s, mqa_error *err)
{
    mqa_gguf_str arch;
    MQA_TRY(mqa_gguf_get_str(s->gguf, "general.architecture", &arch, err));
    mqa_design_text(s->arch, sizeof s->arch, arch.data, arch.size);
    MQA_TRY(read_int(s, "block_count", false, 1, MQA_MAX_LAYERS, &s->layers, err));
    MQA_TRY(read_int(s, "embedding_length", false, 1, MQA_MAX_WIDTH, &s->embd, err));
    MQA_TRY(read_int(s, "attention.head_count", false, 1, MQA_MAX_HEADS, &s->heads, err));
    s->kv_heads = s->heads;
    MQA_TRY(read_int(s, "attention.head_count_kv", true, 1, MQA_MAX_HEADS, &s->kv_heads, err));
    s->head_dim = s->embd / s->heads;
    MQA_TRY(read_int(s, "attention.key_length", true, 1, 1024, &s->head_dim, err));
    s->head_dim_v = s->head_dim;
    MQA_TRY(read_int(s, "attention.value_length", true, 1, 1024, &s->head_dim_v, err));
    MQA_TRY(read_int(s, "attention.kv_lora_rank", true, 1, 1024, &s->rank, err));
    MQA_TRY(read_int(s, "rope.dimension_count", true, 0, 1024, &s->rope_dims, err));
    MQA_TRY(read_int(s, "attention.value_length_mla", true, 1, 1024, &s->head_dim_v, err));
    MQA_TRY(read_int(s, "expert_used_count", true, 0, MQA_MAX_EXPERTS, &s->experts_used, err));
    return read_int(s, "attention.sliding_window", true, 0, INT32_MAX, &s->window, err);
}

/* ---- layers ---- */

/* How many layers have the window, by the file or by what the architecture always does. */
static mqa_status count_windows(const source *s, int64_t *out, mqa_error *err)
{
    static const struct {
        const char *arch;
        int pattern;
    } patterns[] = {{"gemma2", 2}, {"gemma3", 6}, {"gpt-oss", 2}, {"llama4", 4}, {"cohere2", 4}};
    if (s->window == 0) return MQA_OK;
    const mqa_gguf_value *value =
        mqa_gguf_find_value(s->gguf, full_key(s, "attention.sliding_window_pattern"));
    if (value && value->is_array) {
        const mqa_gguf_value *is_local;
        MQA_TRY(mqa_gguf_get_i32s(s->gguf, value->key, &is_local, err));
        if (is_local->count < (size_t)s->layers)
            return mqa_fail(err, MQA_ERR_FORMAT, "%s has %zu elements for %" PRId64 " layers", value->key,
                            is_local->count, s->layers);
        for (int64_t i = 0; i < s->layers; i++) *out += mqa_gguf_i32_at(is_local, (size_t)i) != 0;
        return MQA_OK;
    }
    int64_t pattern = 0;
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        if (strcmp(patterns[i].arch, s->arch) == 0) pattern = patterns[i].pattern;
    MQA_TRY(read_int(s, "attention.sliding_window_pattern", true, 1, INT32_MAX, &pattern, err));
    *out = pattern > 0 ? s->layers - s->layers / pattern : s->layers;
    return MQA_OK;
}

static mqa_status add_layers(const source *s, mqa_design *d, mqa_error *err)
{
    mqa_layer_group g = {.n_layers = (int)s->layers,
                         .n_heads = (int)s->heads,
                         .n_kv_heads = (int)s->kv_heads,
                         .head_dim_qk = (int)s->head_dim,
                         .head_dim_vo = (int)s->head_dim_v};
    if (s->rank > 0) {
        g.n_kv_heads = 1;
        g.head_dim_qk = (int)(s->rank + s->rope_dims);
        g.head_dim_vo = (int)s->rank;
        g.v_in_k = true;
        return mqa_design_add_layers(d, g, err);
    }
    int64_t windowed = 0;
    MQA_TRY(count_windows(s, &windowed, err));
    g.n_layers -= (int)windowed;
    MQA_TRY(mqa_design_add_layers(d, g, err));
    g.n_layers = (int)windowed;
    g.window = s->window;
    return mqa_design_add_layers(d, g, err);
}

/* ---- tensors ---- */

/* By the name after "blk.N.", or the whole one. Longest first where one begins as another does. */
static mqa_role role_of(const source *s, const char *name)
{
    static const struct {
        const char *begins;
        mqa_role role;
    } roles[] = {{"token_embd.", MQA_ROLE_EMBEDDING}, {"position_embd.", MQA_ROLE_EMBEDDING},
                 {"output.", MQA_ROLE_HEAD},          {"attn_qkv.", MQA_ROLE_QUERY},
                 {"attn_q.", MQA_ROLE_QUERY},         {"attn_q_a.", MQA_ROLE_QUERY},
                 {"attn_q_b.", MQA_ROLE_QUERY},       {"attn_k.", MQA_ROLE_KEY_VALUE},
                 {"attn_v.", MQA_ROLE_KEY_VALUE},     {"attn_kv_a_mqa.", MQA_ROLE_KEY_VALUE},
                 {"attn_kv_b.", MQA_ROLE_LATENT_UP},  {"attn_k_b.", MQA_ROLE_LATENT_UP},
                 {"attn_v_b.", MQA_ROLE_LATENT_UP},   {"attn_output.", MQA_ROLE_OUT},
                 {"ffn_gate_exps.", MQA_ROLE_EXPERT}, {"ffn_up_exps.", MQA_ROLE_EXPERT},
                 {"ffn_down_exps.", MQA_ROLE_EXPERT}, {"ffn_gate_up_exps.", MQA_ROLE_EXPERT},
                 {"ffn_gate_inp", MQA_ROLE_ROUTER},   {"ffn_", MQA_ROLE_FEED_FORWARD}};
    if (strncmp(name, "blk.", 4) == 0) {
        name += 4 + strspn(name + 4, "0123456789");
        if (*name == '.') name++;
    }
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (strncmp(name, roles[i].begins, strlen(roles[i].begins)) != 0) continue;
        const bool is_head = s->tied && roles[i].role == MQA_ROLE_EMBEDDING && name[0] == 't';
        return is_head ? MQA_ROLE_HEAD : roles[i].role;
    }
    return MQA_ROLE_OTHER;
}

/* An older file's attn_kv_b, which the model takes apart: each head's way up for keys, transposed in f32, and
 * for values. */
static mqa_status add_unfolded(const source *s, const mqa_gguf_tensor *t, mqa_design *d, mqa_error *err)
{
    const int64_t apart = (int64_t)t->dims[1] / s->heads, nope = apart - s->head_dim_v;
    if (s->rank == 0 || t->dims[0] != (size_t)s->rank || nope < 1 || apart * s->heads != (int64_t)t->dims[1])
        return mqa_fail(err, MQA_ERR_FORMAT, "the tensor %s: %zu x %zu don't go with the keys", t->name,
                        t->dims[0], t->dims[1]);
    MQA_TRY(mqa_design_add(d, MQA_ROLE_LATENT_UP, MQA_GGUF_F32, nope, s->rank, s->heads, s->heads, err));
    return mqa_design_add(d, MQA_ROLE_LATENT_UP, t->type, s->rank, s->head_dim_v, s->heads, s->heads, err);
}

static mqa_status add_tensor(const source *s, const mqa_gguf_tensor *t, mqa_design *d, mqa_error *err)
{
    if (t->n_dims < 2 || t->dims[1] == 1) {
        if (t->n_values > MQA_MAX_WIDTH)
            return mqa_fail(err, MQA_ERR_UNSUPPORTED, "the tensor %s: a vector of %zu values", t->name,
                            t->n_values);
        return mqa_design_add_vectors(d, (int64_t)t->n_values, 1, err);
    }
    const mqa_role role = role_of(s, t->name);
    if (role == MQA_ROLE_LATENT_UP && t->n_dims == 2) return add_unfolded(s, t, d, err);
    size_t n = t->n_values / t->dims[0] / t->dims[1];
    if (t->dims[0] > MQA_MAX_WIDTH || t->dims[1] > MQA_MAX_WIDTH || n > MQA_MAX_EXPERTS)
        return mqa_fail(err, MQA_ERR_UNSUPPORTED, "the tensor %s: %zu matrices of %zu x %zu", t->name, n,
                        t->dims[0], t->dims[1]);
    int64_t used = (int64_t)n;
    if (role == MQA_ROLE_EMBEDDING || role == MQA_ROLE_OTHER) used = 0;
    if (role == MQA_ROLE_EXPERT) used = s->experts_used;
    return mqa_design_add(d, role, t->type, (int64_t)t->dims[0], (int64_t)t->dims[1], (int64_t)n, used, err);
}

static mqa_status read_gguf(source *s, mqa_design *d, mqa_error *err)
{
    MQA_TRY(read_keys(s, err));
    memcpy(d->arch, s->arch, sizeof d->arch);
    d->n_embd = (int)s->embd;
    d->head_dim = (int)(s->rank > 0 ? s->head_dim_v : s->head_dim);
    (void)read_int(s, "context_length", true, 1, INT32_MAX, &d->context_length, NULL);
    const mqa_gguf_tensor *embd = mqa_gguf_find_tensor(s->gguf, "token_embd.weight");
    if (!embd) return mqa_fail(err, MQA_ERR_FORMAT, "the tensor token_embd.weight is missing");
    if (embd->dims[1] > MQA_MAX_WIDTH)
        return mqa_fail(err, MQA_ERR_UNSUPPORTED, "a vocabulary of %zu", embd->dims[1]);
    d->n_vocab = (int)embd->dims[1];
    s->tied = !mqa_gguf_find_tensor(s->gguf, "output.weight");
    MQA_TRY(add_layers(s, d, err));
    for (size_t i = 0; i < mqa_gguf_n_tensors(s->gguf); i++)
        MQA_TRY(add_tensor(s, mqa_gguf_tensor_at(s->gguf, i), d, err));
    return mqa_design_finish(d, err);
}

mqa_status mqa_design_from_gguf(const mqa_gguf *gguf, mqa_design *out, mqa_error *err)
{
    source s = {.gguf = gguf};
    *out = (mqa_design){0};
    mqa_gguf_str name;
    if (mqa_gguf_get_str(gguf, "general.name", &name, NULL) == MQA_OK && name.size > 0)
        mqa_design_text(out->name, sizeof out->name, name.data, name.size);
    else
        snprintf(out->name, sizeof out->name, "model");
    mqa_error detail;
    const mqa_status status = read_gguf(&s, out, &detail);
    return status == MQA_OK ? MQA_OK : mqa_fail(err, status, "%s: %s", mqa_gguf_path(gguf), detail.message);
}
