/* Designs: what they are put together from, and what they weigh.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "planner/design.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "kernels/attention_kernels.h"
#include "kernels/linear_kernels.h"
#include "kvcache/cache.h"

void mqa_design_text(char *out, size_t size, const char *text, size_t length)
{
    const size_t n = length < size ? length : size - 1;
    memcpy(out, text, n);
    out[n] = 0;
    mqa_one_line(out);
}

/* ---- putting together ---- */

static mqa_status check_count(const char *what, int64_t value, int64_t max, mqa_error *err)
{
    if (value >= 1 && value <= max) return MQA_OK;
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "%s is %" PRId64 ": not from 1 to %" PRId64, what, value,
                    max);
}

mqa_status mqa_design_add(mqa_design *design, mqa_role role, uint32_t type, int64_t n_in, int64_t n_out,
                          int64_t n, int64_t n_used, mqa_error *err)
{
    if (n == 0) return MQA_OK;
    char what[64];
    snprintf(what, sizeof what, "the input width of a matrix (%s)", mqa_role_name(role));
    MQA_TRY(check_count(what, n_in, MQA_MAX_WIDTH, err));
    snprintf(what, sizeof what, "the output width of a matrix (%s)", mqa_role_name(role));
    MQA_TRY(check_count(what, n_out, MQA_MAX_WIDTH, err));
    snprintf(what, sizeof what, "the number of matrices (%s)", mqa_role_name(role));
    MQA_TRY(check_count(what, n, (int64_t)MQA_MAX_LAYERS * MQA_MAX_EXPERTS, err));
    if (n_used > n) n_used = n;
    for (int i = 0; i < design->n_matrices; i++) {
        mqa_matrices *m = &design->matrices[i];
        if (m->role != role || m->type != type || m->n_in != n_in || m->n_out != n_out) continue;
        m->n += n;
        m->n_used += n_used;
        return check_count(what, m->n, (int64_t)MQA_MAX_LAYERS * MQA_MAX_EXPERTS, err);
    }
    if (design->n_matrices == MQA_DESIGN_MATRICES)
        return mqa_fail(err, MQA_ERR_UNSUPPORTED, "more than %d different matrices in a model",
                        MQA_DESIGN_MATRICES);
    design->matrices[design->n_matrices++] = (mqa_matrices){
        .role = role, .type = type, .n_in = (int)n_in, .n_out = (int)n_out, .n = n, .n_used = n_used};
    return MQA_OK;
}

mqa_status mqa_design_add_vectors(mqa_design *design, int64_t n_in, int64_t n, mqa_error *err)
{
    if (n_in == 0) return MQA_OK;
    return mqa_design_add(design, MQA_ROLE_VECTOR, MQA_GGUF_F32, n_in, 1, n, n, err);
}

bool mqa_same_attention(const mqa_layer_group *a, const mqa_layer_group *b)
{
    return a->n_heads == b->n_heads && a->n_kv_heads == b->n_kv_heads && a->head_dim_qk == b->head_dim_qk &&
           a->head_dim_vo == b->head_dim_vo && a->v_in_k == b->v_in_k && a->window == b->window &&
           a->n_sink_tokens == b->n_sink_tokens;
}

static mqa_status check_group(const mqa_layer_group *g, mqa_error *err)
{
    MQA_TRY(check_count("the number of layers", g->n_layers, MQA_MAX_LAYERS, err));
    MQA_TRY(check_count("the number of heads", g->n_heads, MQA_MAX_HEADS, err));
    MQA_TRY(check_count("the number of KV heads", g->n_kv_heads, MQA_MAX_HEADS, err));
    if (g->n_heads % g->n_kv_heads != 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "%d heads over %d KV heads: the heads are no multiple of the KV heads", g->n_heads,
                        g->n_kv_heads);
    /* The cache's own limits, in its own words. */
    const mqa_cache_config given = mqa_group_cache(g, MQA_KV_BF16, MQA_KV_BF16);
    mqa_cache_config config;
    mqa_cache_layout layout;
    return mqa_cache_layout_make(&given, &config, &layout, err);
}

mqa_status mqa_design_add_layers(mqa_design *design, mqa_layer_group group, mqa_error *err)
{
    if (group.n_layers == 0) return MQA_OK;
    group.kind = group.v_in_k ? MQA_KIND_LATENT : group.window > 0 ? MQA_KIND_WINDOW : MQA_KIND_GLOBAL;
    MQA_TRY(check_group(&group, err));
    MQA_TRY(
        check_count("the number of layers", (int64_t)design->n_layers + group.n_layers, MQA_MAX_LAYERS, err));
    design->n_layers += group.n_layers;
    if (group.n_heads > design->n_heads) design->n_heads = group.n_heads;
    for (int i = 0; i < design->n_groups; i++) {
        if (!mqa_same_attention(&design->groups[i], &group)) continue;
        design->groups[i].n_layers += group.n_layers;
        return MQA_OK;
    }
    if (design->n_groups == MQA_DESIGN_GROUPS)
        return mqa_fail(err, MQA_ERR_UNSUPPORTED, "layers of more than %d sorts of attention in a model",
                        MQA_DESIGN_GROUPS);
    design->groups[design->n_groups++] = group;
    return MQA_OK;
}

mqa_status mqa_design_add_attention(mqa_design *design, uint32_t type, int64_t n_heads, int64_t n_kv_heads,
                                    int64_t head_dim, int64_t layers, mqa_error *err)
{
    const int64_t embd = design->n_embd, q = n_heads * head_dim, kv = n_kv_heads * head_dim;
    MQA_TRY(mqa_design_add(design, MQA_ROLE_QUERY, type, embd, q, layers, layers, err));
    MQA_TRY(mqa_design_add(design, MQA_ROLE_KEY_VALUE, type, embd, kv, 2 * layers, 2 * layers, err));
    return mqa_design_add(design, MQA_ROLE_OUT, type, q, embd, layers, layers, err);
}

mqa_status mqa_design_add_latent(mqa_design *design, uint32_t type, const mqa_latent *l, int64_t layers,
                                 mqa_error *err)
{
    const int64_t embd = design->n_embd, q = l->n_heads * (l->head_dim_nope + l->rope_dims);
    MQA_TRY(mqa_design_add_layers(design,
                                  (mqa_layer_group){.n_layers = (int)layers,
                                                    .n_heads = (int)l->n_heads,
                                                    .n_kv_heads = 1,
                                                    .head_dim_qk = (int)(l->rank + l->rope_dims),
                                                    .head_dim_vo = (int)l->rank,
                                                    .v_in_k = true},
                                  err));
    if (l->query_rank > 0) {
        MQA_TRY(mqa_design_add(design, MQA_ROLE_QUERY, type, embd, l->query_rank, layers, layers, err));
        MQA_TRY(mqa_design_add(design, MQA_ROLE_QUERY, type, l->query_rank, q, layers, layers, err));
        MQA_TRY(mqa_design_add_vectors(design, l->query_rank, layers, err));
    } else {
        MQA_TRY(mqa_design_add(design, MQA_ROLE_QUERY, type, embd, q, layers, layers, err));
    }
    MQA_TRY(
        mqa_design_add(design, MQA_ROLE_KEY_VALUE, type, embd, l->rank + l->rope_dims, layers, layers, err));
    MQA_TRY(mqa_design_add_vectors(design, l->rank, layers, err));
    const int64_t heads = l->n_heads * layers;
    MQA_TRY(mqa_design_add(design, MQA_ROLE_LATENT_UP, type, l->head_dim_nope, l->rank, heads, heads, err));
    MQA_TRY(mqa_design_add(design, MQA_ROLE_LATENT_UP, type, l->rank, l->head_dim_v, heads, heads, err));
    return mqa_design_add(design, MQA_ROLE_OUT, type, l->n_heads * l->head_dim_v, embd, layers, layers, err);
}

/* Gate, up and down of n feed-forward parts. */
static mqa_status add_part(mqa_design *d, mqa_role role, uint32_t type, bool plain, int64_t ff, int64_t n,
                           int64_t n_used, mqa_error *err)
{
    const int ways_in = plain ? 1 : 2;
    MQA_TRY(mqa_design_add(d, role, type, d->n_embd, ff, ways_in * n, ways_in * n_used, err));
    return mqa_design_add(d, role, type, ff, d->n_embd, n, n_used, err);
}

mqa_status mqa_design_add_feed_forward(mqa_design *d, uint32_t type, uint32_t expert_type, int64_t layers,
                                       const mqa_feed_forward *f, mqa_error *err)
{
    const int64_t dense = f->experts > 0 ? f->dense_layers : layers, sparse = layers - dense;
    if (dense < 0 || sparse < 0 || f->experts > MQA_MAX_EXPERTS || f->experts_used > f->experts)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "%" PRId64 " of %" PRId64 " experts, %" PRId64 " of %" PRId64
                        " layers without: that can't be",
                        f->experts_used, f->experts, f->dense_layers, layers);
    MQA_TRY(add_part(d, MQA_ROLE_FEED_FORWARD, type, f->plain, f->ff, dense, dense, err));
    if (sparse == 0) return MQA_OK;
    MQA_TRY(add_part(d, MQA_ROLE_EXPERT, expert_type, f->plain, f->expert_ff, sparse * f->experts,
                     sparse * f->experts_used, err));
    if (f->shared_ff > 0)
        MQA_TRY(add_part(d, MQA_ROLE_FEED_FORWARD, type, f->plain, f->shared_ff, sparse, sparse, err));
    return mqa_design_add(d, MQA_ROLE_ROUTER, type, d->n_embd, f->experts, sparse, sparse, err);
}

mqa_status mqa_design_add_vocabulary(mqa_design *d, uint32_t type, bool untied, mqa_error *err)
{
    MQA_TRY(mqa_design_add(d, MQA_ROLE_HEAD, type, d->n_embd, d->n_vocab, 1, 1, err));
    return mqa_design_add(d, MQA_ROLE_EMBEDDING, type, d->n_embd, d->n_vocab, untied, 0, err);
}

mqa_status mqa_design_finish(mqa_design *d, mqa_error *err)
{
    uint64_t all, active;
    size_t bytes;
    MQA_TRY(mqa_design_parameters(d, &all, &active, err));
    MQA_TRY(mqa_design_weight_bytes(d, MQA_WEIGHTS_AS_IS, &bytes, err));
    const mqa_design whole = *d;
    return mqa_design_vary(&whole, MQA_VARIANT_AS_IS, d, err);
}

/* ---- what it weighs ---- */

/* *sum += a * b * c. */
static mqa_status add_product(size_t *sum, size_t a, size_t b, size_t c, const char *what, mqa_error *err)
{
    size_t product;
    if (mqa_mul(a, b, &product) && mqa_mul(product, c, &product) && mqa_add(*sum, product, sum) &&
        *sum <= MQA_MOST)
        return MQA_OK;
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "the model's %s are more than 2^63", what);
}

mqa_status mqa_design_parameters(const mqa_design *design, uint64_t *all, uint64_t *active, mqa_error *err)
{
    size_t sums[2] = {0, 0};
    for (int i = 0; i < design->n_matrices; i++) {
        const mqa_matrices *m = &design->matrices[i];
        const size_t n_in = (size_t)m->n_in, n_out = (size_t)m->n_out;
        MQA_TRY(add_product(&sums[0], n_in, n_out, (size_t)m->n, "parameters", err));
        MQA_TRY(add_product(&sums[1], n_in, n_out, (size_t)m->n_used, "parameters", err));
    }
    *all = sums[0];
    *active = sums[1];
    return MQA_OK;
}

/* One matrix as model/matrix.c packs it. */
static bool packed_bytes(uint32_t type, int n_in, int n_out, size_t *out)
{
    const mqa_gguf_type_info *info = mqa_gguf_type_find(type);
    if (!info) return false;
    const mqa_gguf_quant q = info->quant;
    const mqa_linear_format format = {
        .bits = q.bits, .zero = q.zero, .group = q.group, .has_min = q.has_min, .f16_scales = q.f16_scales};
    if (q.bits > 0) return mqa_linear_bytes(format, n_in, n_out, out);
    if (!info->readable) { /* the program can't run it: the file's own bytes */
        size_t blocks;
        return mqa_mul((size_t)n_in, (size_t)n_out, &blocks) &&
               mqa_mul(blocks / info->block_values + 1, info->block_bytes, out);
    }
    const size_t granules = (size_t)(n_out + MQA_GRANULE - 1) / MQA_GRANULE;
    return mqa_mul(mqa_k_run_bytes(type == MQA_GGUF_BF16 ? MQA_KV_BF16 : MQA_KV_F32, n_in), granules, out);
}

mqa_status mqa_matrices_bytes(const mqa_matrices *m, uint32_t type, size_t *out, mqa_error *err)
{
    if (m->role == MQA_ROLE_VECTOR) {
        *out = (size_t)m->n_in * sizeof(float); /* whatever the file says */
        return MQA_OK;
    }
    /* A head's block of a latent's matrices begins a granule of its own (model/weights.h). */
    const int n_out =
        m->role == MQA_ROLE_LATENT_UP ? (m->n_out + MQA_GRANULE - 1) / MQA_GRANULE * MQA_GRANULE : m->n_out;
    if (packed_bytes(type == MQA_WEIGHTS_AS_IS ? m->type : type, m->n_in, n_out, out)) return MQA_OK;
    return mqa_fail(err, MQA_ERR_UNSUPPORTED, "weights of type %u: not known",
                    type == MQA_WEIGHTS_AS_IS ? m->type : type);
}

mqa_status mqa_design_weight_bytes(const mqa_design *design, uint32_t type, size_t *out, mqa_error *err)
{
    size_t sum = 0;
    for (int i = 0; i < design->n_matrices; i++) {
        const mqa_matrices *m = &design->matrices[i];
        size_t bytes;
        MQA_TRY(mqa_matrices_bytes(m, type, &bytes, err));
        MQA_TRY(add_product(&sum, bytes, (size_t)m->n, 1, "weights", err));
    }
    *out = sum;
    return MQA_OK;
}

mqa_cache_config mqa_group_cache(const mqa_layer_group *group, mqa_kv_type k, mqa_kv_type v)
{
    return (mqa_cache_config){.struct_size = sizeof(mqa_cache_config),
                              .n_layers = group->n_layers,
                              .n_kv_heads = group->n_kv_heads,
                              .head_dim_qk = group->head_dim_qk,
                              .head_dim_vo = group->head_dim_vo,
                              .k_type = k,
                              .v_type = v,
                              .v_in_k = group->v_in_k,
                              .window = group->window,
                              .n_sink_tokens = group->n_sink_tokens};
}
