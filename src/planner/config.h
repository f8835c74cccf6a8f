/* Reading a transformers config.json: keys, checked; and what most architectures have in common.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_PLANNER_CONFIG_H
#define MQA_PLANNER_CONFIG_H

#include <jansson.h>

#include "planner/design.h"

/* What is read of a config before its matrices are counted. Integers are within design.h's limits. */
typedef struct mqa_config {
    const json_t *object;
    const char *arch;
    uint32_t type;        /* of the weights, by dtype and quantization_config */
    uint32_t expert_type; /* of the experts': the same, but where only they are quantised */
    int64_t layers, embd, heads, kv_heads, head_dim, vocab, window;
    mqa_feed_forward ff;
    bool untied;
} mqa_config;

/* Keys, null as if absent. *out keeps its value where the key is absent and optional. */
mqa_status mqa_config_int(const mqa_config *c, const char *key, bool optional, int64_t min, int64_t max,
                          int64_t *out, mqa_error *err);
mqa_status mqa_config_bool(const mqa_config *c, const char *key, bool *out, mqa_error *err);
/* NULL where it is absent or no string. */
const char *mqa_config_text(const mqa_config *c, const char *key);
bool mqa_config_has(const mqa_config *c, const char *key);

/* One architecture: counts its matrices and groups its layers. */
typedef mqa_status mqa_config_reader(mqa_config *c, mqa_design *design, mqa_error *err);
mqa_config_reader mqa_config_llama, mqa_config_mistral, mqa_config_mixtral, mqa_config_gemma,
    mqa_config_gemma2, mqa_config_gemma3, mqa_config_qwen2, mqa_config_qwen2_moe, mqa_config_qwen3,
    mqa_config_qwen3_moe, mqa_config_gpt_oss, mqa_config_llama4;              /* config_llama.c */
mqa_config_reader mqa_config_falcon, mqa_config_bigcode, mqa_config_deepseek; /* config_others.c */

#endif
