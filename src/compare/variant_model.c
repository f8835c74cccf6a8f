/* SPDX-License-Identifier: Apache-2.0 */
#include "compare/variant_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare/builder.h"

enum { KEY_BYTES = 128 };

/* What of the base matters here. */
typedef struct base_shape {
    char arch[32];
    int n_layers, n_embd, n_heads, n_kv_heads, head_dim;
    uint32_t type; /* of attn_q: what MLA's random matrices get, where it can be written */
} base_shape;

static mqa_status get_int(const mqa_gguf *base, const char *arch, const char *key, bool optional, int most,
                          int *out, mqa_error *err)
{
    char name[KEY_BYTES];
    int32_t value;
    snprintf(name, sizeof name, "%s.%s", arch, key);
    const mqa_status status = mqa_gguf_get_i32(base, name, &value, err);
    if (status == MQA_ERR_NOT_FOUND && optional) return MQA_OK;
    if (status != MQA_OK) return status;
    if (value < 1 || value > most)
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: %s is %d", mqa_gguf_path(base), name, (int)value);
    *out = value;
    return MQA_OK;
}

static mqa_status read_base(const mqa_gguf *base, base_shape *out, mqa_error *err)
{
    mqa_gguf_str arch;
    *out = (base_shape){0};
    MQA_TRY(mqa_gguf_get_str(base, "general.architecture", &arch, err));
    if (arch.size < sizeof out->arch) memcpy(out->arch, arch.data, arch.size);
    if (strcmp(out->arch, "llama") != 0 && strcmp(out->arch, "gemma3") != 0)
        return mqa_fail(err, MQA_ERR_UNSUPPORTED,
                        "%s: only models of llama's and gemma3's architecture can be given other attention",
                        mqa_gguf_path(base));
    MQA_TRY(get_int(base, out->arch, "block_count", false, 4096, &out->n_layers, err));
    MQA_TRY(get_int(base, out->arch, "embedding_length", false, 65536, &out->n_embd, err));
    MQA_TRY(get_int(base, out->arch, "attention.head_count", false, 4096, &out->n_heads, err));
    out->n_kv_heads = out->n_heads;
    MQA_TRY(get_int(base, out->arch, "attention.head_count_kv", true, 4096, &out->n_kv_heads, err));
    out->head_dim = out->n_embd / out->n_heads;
    MQA_TRY(get_int(base, out->arch, "attention.key_length", true, 1024, &out->head_dim, err));
    if (out->head_dim < 1 || out->head_dim > 1024 || out->n_heads % out->n_kv_heads != 0)
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: %d KV heads of %d values don't divide %d heads",
                        mqa_gguf_path(base), out->n_kv_heads, out->head_dim, out->n_heads);
    const mqa_gguf_tensor *q = mqa_gguf_find_tensor(base, "blk.0.attn_q.weight");
    out->type = q ? q->type : MQA_GGUF_F16;
    return MQA_OK;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static void add_tensor(mqa_builder *b, const mqa_gguf_tensor *t)
{
    mqa_gguf_writer_add_tensor(b->writer, t->name, t->type, t->n_dims, t->dims, t->data);
}

/* ---- sharing K and V ---- */

/* What pooled rows are kept in: the least that loses little. */
static uint32_t pooled_type(const mqa_gguf_tensor *t)
{
    if (t->type == MQA_GGUF_F32 || t->type == MQA_GGUF_F16 || t->type == MQA_GGUF_BF16) return t->type;
    return t->dims[0] % 32 == 0 ? MQA_GGUF_Q8_0 : MQA_GGUF_F16;
}

typedef struct pooling {
    const mqa_gguf_tensor *from;
    size_t from_row_bytes, to_row_bytes;
    uint32_t type;
    int n_heads, n_from, n_to, head_dim; /* query heads, KV heads before and after */
    float *row, *sum;                    /* [dims[0]] each */
} pooling;

/* Row i of new head `to`: the mean of those of the heads that its query heads had. */
static mqa_status pool_row(const pooling *p, int to, int i, uint8_t *out, mqa_error *err)
{
    const size_t n = p->from->dims[0];
    const int first = to * p->n_heads / p->n_to, last = (to + 1) * p->n_heads / p->n_to - 1;
    const int from0 = first * p->n_from / p->n_heads, from1 = last * p->n_from / p->n_heads;
    memset(p->sum, 0, n * sizeof *p->sum);
    for (int from = from0; from <= from1; from++) {
        const size_t row = (size_t)from * (size_t)p->head_dim + (size_t)i;
        MQA_TRY(mqa_gguf_dequantize(p->from->type, p->from->data + row * p->from_row_bytes, p->row, n, err));
        for (size_t c = 0; c < n; c++) p->sum[c] += p->row[c];
    }
    for (size_t c = 0; c < n; c++) p->sum[c] /= (float)(from1 - from0 + 1);
    return mqa_gguf_quantize(p->type, p->sum, out, n, err);
}

/* Heads that become more, or stay, are copied as they are, in whatever type. */
static void copy_head(const pooling *p, int to, uint8_t *out)
{
    const size_t bytes = (size_t)p->head_dim * p->from_row_bytes;
    memcpy(out, p->from->data + (size_t)(to * p->n_from / p->n_to) * bytes, bytes);
}

static mqa_status pool(mqa_builder *b, pooling *p, mqa_error *err)
{
    const mqa_gguf_tensor *t = p->from;
    const mqa_gguf_type_info *info = mqa_gguf_type_find(p->type);
    const int rows = p->n_to * p->head_dim;
    void *data = NULL, *rows2 = NULL;
    p->from_row_bytes = t->n_bytes / t->dims[1];
    p->to_row_bytes = t->dims[0] / info->block_values * info->block_bytes;
    MQA_TRY(mqa_builder_take(b, (size_t)rows, p->to_row_bytes, &data, err));
    MQA_TRY(mqa_builder_take(b, 2 * t->dims[0], sizeof(float), &rows2, err));
    p->row = rows2;
    p->sum = p->row + t->dims[0];
    for (int to = 0; to < p->n_to; to++) {
        uint8_t *out = (uint8_t *)data + (size_t)(to * p->head_dim) * p->to_row_bytes;
        if (p->n_to >= p->n_from) copy_head(p, to, out);
        for (int i = 0; p->n_to < p->n_from && i < p->head_dim; i++)
            MQA_TRY(pool_row(p, to, i, out + (size_t)i * p->to_row_bytes, err));
    }
    mqa_gguf_writer_add_tensor(b->writer, t->name, p->type, 2, (size_t[]){t->dims[0], (size_t)rows}, data);
    return MQA_OK;
}

static mqa_status share_tensor(mqa_builder *b, const base_shape *s, const mqa_gguf_tensor *t, int n_kv_heads,
                               mqa_error *err)
{
    int layer, end = 0;
    char what;
    if (sscanf(t->name, "blk.%d.attn_%c.weight%n", &layer, &what, &end) != 2 || t->name[end] ||
        (what != 'k' && what != 'v')) {
        add_tensor(b, t);
        return MQA_OK;
    }
    if (t->dims[1] != (size_t)s->n_kv_heads * (size_t)s->head_dim || t->n_dims != 2)
        return mqa_fail(err, MQA_ERR_FORMAT, "%s is no matrix of %d heads of %d", t->name, s->n_kv_heads,
                        s->head_dim);
    pooling p = {.from = t,
                 .type = n_kv_heads >= s->n_kv_heads ? t->type : pooled_type(t),
                 .n_heads = s->n_heads,
                 .n_from = s->n_kv_heads,
                 .n_to = n_kv_heads,
                 .head_dim = s->head_dim};
    return pool(b, &p, err);
}

static mqa_status share(mqa_builder *b, const mqa_gguf *base, const base_shape *s, int n_kv_heads,
                        mqa_error *err)
{
    char key[KEY_BYTES];
    const int more = n_kv_heads > s->n_kv_heads ? n_kv_heads : s->n_kv_heads;
    const int fewer = n_kv_heads < s->n_kv_heads ? n_kv_heads : s->n_kv_heads;
    if (n_kv_heads > s->n_heads || s->n_heads % n_kv_heads != 0 || more % fewer != 0)
        return mqa_fail(err, MQA_ERR_UNSUPPORTED, "%d KV heads can't be made of %d for %d heads", n_kv_heads,
                        s->n_kv_heads, s->n_heads);
    snprintf(key, sizeof key, "%s.attention.head_count_kv", s->arch);
    for (size_t i = 0; i < mqa_gguf_n_values(base); i++) {
        const mqa_gguf_value *value = mqa_gguf_value_at(base, i);
        if (strcmp(value->key, key) != 0 && strcmp(value->key, "general.alignment") != 0)
            mqa_gguf_writer_add_value(b->writer, value);
    }
    mqa_gguf_writer_add_u32(b->writer, key, (uint32_t)n_kv_heads);
    for (size_t i = 0; i < mqa_gguf_n_tensors(base); i++)
        MQA_TRY(share_tensor(b, s, mqa_gguf_tensor_at(base, i), n_kv_heads, err));
    return MQA_OK;
}

/* ---- latent attention ---- */

typedef struct latent_shape {
    int rank, rope, nope, v_dim;
} latent_shape;

static void add_latent_keys(mqa_builder *b, const base_shape *s, const latent_shape *l)
{
    const struct {
        const char *key;
        int value;
    } keys[] = {{"leading_dense_block_count", s->n_layers},
                {"attention.kv_lora_rank", l->rank},
                {"attention.head_count_kv", 1},
                {"attention.key_length", l->rank + l->rope},
                {"attention.value_length", l->rank},
                {"attention.key_length_mla", l->nope + l->rope},
                {"attention.value_length_mla", l->v_dim},
                {"rope.dimension_count", l->rope}};
    char key[KEY_BYTES];
    mqa_gguf_writer_add_str(b->writer, "general.architecture", "deepseek2");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        snprintf(key, sizeof key, "deepseek2.%s", keys[i].key);
        mqa_gguf_writer_add_u32(b->writer, key, (uint32_t)keys[i].value);
    }
}

/* The base's keys that mean the same there, under deepseek2's name. */
static void copy_keys(mqa_builder *b, const mqa_gguf *base, const base_shape *s)
{
    static const char *const same[] = {"block_count",          "context_length",
                                       "embedding_length",     "feed_forward_length",
                                       "attention.head_count", "attention.layer_norm_rms_epsilon",
                                       "rope.freq_base"};
    char from[KEY_BYTES], to[KEY_BYTES];
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        snprintf(from, sizeof from, "%s.%s", s->arch, same[i]);
        snprintf(to, sizeof to, "deepseek2.%s", same[i]);
        const mqa_gguf_value *found = mqa_gguf_find_value(base, from);
        if (!found) continue;
        mqa_gguf_value value = *found;
        value.key = to;
        mqa_gguf_writer_add_value(b->writer, &value);
    }
    for (size_t i = 0; i < mqa_gguf_n_values(base); i++) {
        const mqa_gguf_value *value = mqa_gguf_value_at(base, i);
        if (begins(value->key, "tokenizer.") || strcmp(value->key, "general.name") == 0)
            mqa_gguf_writer_add_value(b->writer, value);
    }
}

static mqa_status add_latent_layer(mqa_builder *b, const base_shape *s, const latent_shape *l, int i,
                                   mqa_error *err)
{
    const int width = s->n_heads * (l->nope + l->rope);
    MQA_TRY(mqa_builder_layer_random(b, i, "attn_q", s->type, s->n_embd, width, 0, err));
    MQA_TRY(mqa_builder_layer_random(b, i, "attn_kv_a_mqa", s->type, s->n_embd, l->rank + l->rope, 0, err));
    MQA_TRY(mqa_builder_ones(b, i, "attn_kv_a_norm", l->rank, err));
    MQA_TRY(mqa_builder_layer_random(b, i, "attn_k_b", s->type, l->nope, l->rank, s->n_heads, err));
    MQA_TRY(mqa_builder_layer_random(b, i, "attn_v_b", s->type, l->rank, l->v_dim, s->n_heads, err));
    return mqa_builder_layer_random(b, i, "attn_output", s->type, s->n_heads * l->v_dim, s->n_embd, 0, err);
}

static mqa_status make_latent(mqa_builder *b, const mqa_gguf *base, base_shape *s, mqa_error *err)
{
    const latent_shape l = {.rank = mqa_mla_rank(s->head_dim),
                            .rope = mqa_mla_rope_dims(s->head_dim),
                            .nope = s->head_dim,
                            .v_dim = s->head_dim};
    if (strcmp(s->arch, "llama") != 0)
        return mqa_fail(err, MQA_ERR_UNSUPPORTED, "%s has norms or windows that deepseek2 hasn't", s->arch);
    if (l.rank + l.rope > 1024 || l.rope < 2 || l.rope % 2 != 0)
        return mqa_fail(err, MQA_ERR_UNSUPPORTED,
                        "heads of %d values would take a latent of %d and %d: at most 1,024, the second even",
                        s->head_dim, l.rank, l.rope);
    if (s->type != MQA_GGUF_F32 && s->type != MQA_GGUF_F16 && s->type != MQA_GGUF_BF16 &&
        s->type != MQA_GGUF_Q4_0)
        s->type = MQA_GGUF_Q8_0;
    add_latent_keys(b, s, &l);
    copy_keys(b, base, s);
    for (size_t i = 0; i < mqa_gguf_n_tensors(base); i++) {
        const mqa_gguf_tensor *t = mqa_gguf_tensor_at(base, i);
        const char *name = strstr(t->name, ".attn_");
        if (!name || begins(name, ".attn_norm")) add_tensor(b, t);
    }
    for (int i = 0; i < s->n_layers; i++) MQA_TRY(add_latent_layer(b, s, &l, i, err));
    return MQA_OK;
}

/* ---- */

static mqa_status make(mqa_builder *b, const mqa_gguf *base, base_shape *s, mqa_variant variant,
                       mqa_error *err)
{
    switch (variant) {
    case MQA_VARIANT_AS_IS:
        return share(b, base, s, s->n_kv_heads, err);
    case MQA_VARIANT_MHA:
        return share(b, base, s, s->n_heads, err);
    case MQA_VARIANT_GQA8:
        return share(b, base, s, 8, err);
    case MQA_VARIANT_GQA4:
        return share(b, base, s, 4, err);
    case MQA_VARIANT_MQA:
        return share(b, base, s, 1, err);
    case MQA_VARIANT_MLA:
        return make_latent(b, base, s, err);
    case MQA_VARIANT_WINDOW:
        break;
    }
    return mqa_fail(err, MQA_ERR_UNSUPPORTED, "compare makes no models with windows");
}

mqa_status mqa_variant_model_write(const mqa_gguf *base, mqa_variant variant, const char *path,
                                   mqa_error *err)
{
    base_shape shape;
    mqa_builder b;
    MQA_TRY(read_base(base, &shape, err));
    MQA_TRY(mqa_builder_create((uint64_t)variant, &b, err));
    mqa_status status = make(&b, base, &shape, variant, err);
    if (status == MQA_OK) status = mqa_gguf_writer_finish(b.writer, path, err);
    mqa_builder_destroy(&b);
    return status;
}
