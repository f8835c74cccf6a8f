/* What the planner's enums are called, and the formats of weights that have a name.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "planner/planner.h"

const char *mqa_kind_name(mqa_kind kind)
{
    static const char *const names[MQA_KINDS] = {"global", "window", "latent"};
    return (unsigned)kind < MQA_KINDS ? names[kind] : "unknown";
}

const char *mqa_role_name(mqa_role role)
{
    static const char *const names[MQA_ROLES] = {
        [MQA_ROLE_EMBEDDING] = "embedding", [MQA_ROLE_HEAD] = "head",
        [MQA_ROLE_QUERY] = "query",         [MQA_ROLE_KEY_VALUE] = "key and value",
        [MQA_ROLE_LATENT_UP] = "latent up", [MQA_ROLE_OUT] = "attention out",
        [MQA_ROLE_FEED_FORWARD] = "FFN",    [MQA_ROLE_EXPERT] = "experts",
        [MQA_ROLE_ROUTER] = "router",       [MQA_ROLE_OTHER] = "other",
        [MQA_ROLE_VECTOR] = "vectors"};
    return (unsigned)role < MQA_ROLES ? names[role] : "unknown";
}

const char *mqa_bound_name(mqa_bound bound)
{
    static const char *const names[MQA_BOUNDS] = {"memory", "operations", "overhead"};
    return (unsigned)bound < MQA_BOUNDS ? names[bound] : "unknown";
}

const char *mqa_weight_class_name(mqa_weight_class c)
{
    static const char *const names[MQA_WEIGHT_CLASSES] = {"f32", "bf16", "8-bit", "6-bit", "5-bit", "4-bit"};
    return (unsigned)c < MQA_WEIGHT_CLASSES ? names[c] : "unknown";
}

/* ---- variants ---- */

static const struct {
    const char *label, *option;
} variants[MQA_VARIANTS] = {
    [MQA_VARIANT_AS_IS] = {"as is", "as-is"},   [MQA_VARIANT_MHA] = {"MHA", "mha"},
    [MQA_VARIANT_GQA8] = {"GQA-8", "gqa-8"},    [MQA_VARIANT_GQA4] = {"GQA-4", "gqa-4"},
    [MQA_VARIANT_MQA] = {"MQA", "mqa"},         [MQA_VARIANT_MLA] = {"MLA", "mla"},
    [MQA_VARIANT_WINDOW] = {"window", "window"}};

const char *mqa_variant_name(mqa_variant variant)
{
    return (unsigned)variant < MQA_VARIANTS ? variants[variant].label : "unknown";
}

mqa_status mqa_variant_parse(const char *name, mqa_variant *out, mqa_error *err)
{
    for (int i = 0; i < MQA_VARIANTS; i++) {
        if (strcmp(name, variants[i].option) != 0) continue;
        *out = (mqa_variant)i;
        return MQA_OK;
    }
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                    "design '%.40s': give as-is, mha, gqa-8, gqa-4, mqa, mla or window", name);
}

/* ---- formats of weights ---- */

const uint32_t mqa_weight_formats[MQA_WEIGHT_FORMATS] = {MQA_GGUF_F32,  MQA_GGUF_BF16, MQA_GGUF_Q8_0,
                                                         MQA_GGUF_Q6_K, MQA_GGUF_Q5_K, MQA_GGUF_Q4_K,
                                                         MQA_GGUF_Q4_0, MQA_GGUF_MXFP4};
static const char *const weight_names[MQA_WEIGHT_FORMATS] = {"f32",  "bf16", "q8_0", "q6_k",
                                                             "q5_k", "q4_k", "q4_0", "mxfp4"};

mqa_status mqa_weights_parse(const char *name, uint32_t *out, mqa_error *err)
{
    if (strcmp(name, "as-is") == 0) {
        *out = MQA_WEIGHTS_AS_IS;
        return MQA_OK;
    }
    for (int i = 0; i < MQA_WEIGHT_FORMATS; i++) {
        if (strcmp(name, weight_names[i]) != 0) continue;
        *out = mqa_weight_formats[i];
        return MQA_OK;
    }
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                    "weights '%.40s': give as-is, f32, bf16, q8_0, q6_k, q5_k, q4_k, q4_0 or mxfp4", name);
}

const char *mqa_weights_name(uint32_t type)
{
    for (int i = 0; i < MQA_WEIGHT_FORMATS; i++)
        if (mqa_weight_formats[i] == type) return weight_names[i];
    return type == MQA_WEIGHTS_AS_IS ? "as-is" : mqa_gguf_type_name(type);
}

mqa_weight_class mqa_weight_class_of(uint32_t gguf_type)
{
    if (gguf_type == MQA_GGUF_BF16) return MQA_WEIGHTS_BF16;
    const mqa_gguf_type_info *info = mqa_gguf_type_find(gguf_type);
    switch (info ? info->quant.bits : 0) {
    case 8:
        return MQA_WEIGHTS_8BIT;
    case 6:
        return MQA_WEIGHTS_6BIT;
    case 5:
        return MQA_WEIGHTS_5BIT;
    case 4:
        return MQA_WEIGHTS_4BIT;
    default:
        return MQA_WEIGHTS_F32;
    }
}
