/* The same model with other attention.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <string.h>

#include "planner/design.h"

enum { WINDOW = 1024, WINDOW_PATTERN = 6 }; /* Gemma 3's: one layer of six is global */

/* How heads share K and V. */
static void name_sharing(const mqa_design *design, char *out, size_t size)
{
    const mqa_layer_group *g = &design->groups[0];
    if (g->v_in_k)
        snprintf(out, size, "MLA");
    else if (g->n_kv_heads == g->n_heads)
        snprintf(out, size, "MHA");
    else if (g->n_kv_heads == 1)
        snprintf(out, size, "MQA");
    else
        snprintf(out, size, "GQA-%d", g->n_kv_heads);
}

static bool has_windows(const mqa_design *design)
{
    for (int i = 0; i < design->n_groups; i++)
        if (design->groups[i].window > 0) return true;
    return false;
}

/* Takes the matrices of attention out; their format, which the new ones get. */
static uint32_t drop_attention(mqa_design *design)
{
    uint32_t type = MQA_GGUF_BF16;
    int kept = 0;
    for (int i = 0; i < design->n_matrices; i++) {
        const mqa_matrices m = design->matrices[i];
        if (m.role == MQA_ROLE_QUERY) type = m.type;
        if (m.role == MQA_ROLE_QUERY || m.role == MQA_ROLE_KEY_VALUE || m.role == MQA_ROLE_LATENT_UP ||
            m.role == MQA_ROLE_OUT)
            continue;
        design->matrices[kept++] = m;
    }
    design->n_matrices = kept;
    return type;
}

/* Every group with n_kv_heads; latent ones become global. */
static mqa_status share(const mqa_design *from, int n_kv_heads, mqa_design *out, mqa_error *err)
{
    if (from->n_heads % n_kv_heads != 0 || n_kv_heads > from->n_heads)
        return mqa_fail(err, MQA_ERR_UNSUPPORTED, "%d KV heads don't divide %d heads", n_kv_heads,
                        from->n_heads);
    const uint32_t type = drop_attention(out);
    out->n_groups = out->n_layers = out->n_heads = 0;
    for (int i = 0; i < from->n_groups; i++) {
        mqa_layer_group g = from->groups[i];
        g.n_heads = from->n_heads;
        g.n_kv_heads = n_kv_heads;
        g.head_dim_qk = g.head_dim_vo = from->head_dim;
        g.v_in_k = false;
        MQA_TRY(mqa_design_add_layers(out, g, err));
    }
    return mqa_design_add_attention(out, type, from->n_heads, n_kv_heads, from->head_dim, from->n_layers,
                                    err);
}

static mqa_status make_latent(const mqa_design *from, mqa_design *out, mqa_error *err)
{
    const mqa_latent latent = {.n_heads = from->n_heads,
                               .rank = mqa_mla_rank(from->head_dim),
                               .rope_dims = mqa_mla_rope_dims(from->head_dim),
                               .head_dim_nope = from->head_dim,
                               .head_dim_v = from->head_dim};
    if (has_windows(from)) return mqa_fail(err, MQA_ERR_UNSUPPORTED, "the design has windows");
    if (latent.rank + latent.rope_dims > 1024 || latent.rope_dims < 1)
        return mqa_fail(err, MQA_ERR_UNSUPPORTED, "a latent vector for heads of %d is beyond a cache's 1,024",
                        from->head_dim);
    const uint32_t type = drop_attention(out);
    out->n_groups = out->n_layers = out->n_heads = 0;
    return mqa_design_add_latent(out, type, &latent, from->n_layers, err);
}

static mqa_status make_windows(const mqa_design *from, mqa_design *out, mqa_error *err)
{
    if (has_windows(from)) return mqa_fail(err, MQA_ERR_UNSUPPORTED, "the design has windows already");
    if (from->n_groups != 1 || from->groups[0].v_in_k || from->n_layers < 2)
        return mqa_fail(err, MQA_ERR_UNSUPPORTED, "only for layers of one sort that keep K and V");
    mqa_layer_group global = from->groups[0], local = global;
    global.n_layers = from->n_layers >= WINDOW_PATTERN ? from->n_layers / WINDOW_PATTERN : 1;
    local.n_layers = from->n_layers - global.n_layers;
    local.window = WINDOW;
    out->n_groups = out->n_layers = 0;
    MQA_TRY(mqa_design_add_layers(out, global, err));
    return mqa_design_add_layers(out, local, err);
}

static mqa_status vary(const mqa_design *from, mqa_variant variant, mqa_design *out, mqa_error *err)
{
    switch (variant) {
    case MQA_VARIANT_AS_IS:
        return MQA_OK;
    case MQA_VARIANT_MHA:
        return share(from, from->n_heads, out, err);
    case MQA_VARIANT_GQA8:
        return share(from, 8, out, err);
    case MQA_VARIANT_GQA4:
        return share(from, 4, out, err);
    case MQA_VARIANT_MQA:
        return share(from, 1, out, err);
    case MQA_VARIANT_MLA:
        return make_latent(from, out, err);
    case MQA_VARIANT_WINDOW:
        return make_windows(from, out, err);
    }
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "variant %d: not of mqa_variant", (int)variant);
}

mqa_status mqa_design_vary(const mqa_design *from, mqa_variant variant, mqa_design *out, mqa_error *err)
{
    *out = *from;
    MQA_TRY(vary(from, variant, out, err));
    char sharing[16];
    name_sharing(out, sharing, sizeof sharing);
    if (variant == MQA_VARIANT_AS_IS)
        snprintf(out->label, sizeof out->label, "as is, %s", sharing);
    else if (variant == MQA_VARIANT_WINDOW)
        snprintf(out->label, sizeof out->label, "%s, window", sharing);
    else
        snprintf(out->label, sizeof out->label, "%s", mqa_variant_name(variant));
    if (variant != MQA_VARIANT_AS_IS)
        snprintf(out->name, sizeof out->name, "%.60s as %s", from->name, out->label);
    return MQA_OK;
}

bool mqa_design_same_attention(const mqa_design *a, const mqa_design *b)
{
    if (a->n_groups != b->n_groups) return false;
    for (int i = 0; i < a->n_groups; i++)
        if (a->groups[i].n_layers != b->groups[i].n_layers ||
            !mqa_same_attention(&a->groups[i], &b->groups[i]))
            return false;
    return true;
}
