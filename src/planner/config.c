/* From a transformers config.json to a design.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "planner/config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* By model_type; of those with a picture part, what their text_config calls itself, or the whole. */
static const struct {
    const char *name;
    mqa_config_reader *read;
} readers[] = {
    {"llama", mqa_config_llama},          {"mistral", mqa_config_mistral},
    {"mixtral", mqa_config_mixtral},      {"gemma", mqa_config_gemma},
    {"gemma2", mqa_config_gemma2},        {"gemma3", mqa_config_gemma3},
    {"gemma3_text", mqa_config_gemma3},   {"qwen2", mqa_config_qwen2},
    {"qwen2_moe", mqa_config_qwen2_moe},  {"qwen3", mqa_config_qwen3},
    {"qwen3_moe", mqa_config_qwen3_moe},  {"falcon", mqa_config_falcon},
    {"RefinedWeb", mqa_config_falcon},    {"RefinedWebModel", mqa_config_falcon},
    {"gpt_bigcode", mqa_config_bigcode},  {"deepseek_v2", mqa_config_deepseek},
    {"deepseek_v3", mqa_config_deepseek}, {"kimi_k2", mqa_config_deepseek},
    {"phi3", mqa_config_mistral},         {"gpt_oss", mqa_config_gpt_oss},
    {"llama4", mqa_config_llama4},        {"llama4_text", mqa_config_llama4},
};
enum { N_READERS = sizeof readers / sizeof readers[0], MAX_BYTES = 16 << 20 };

/* ---- keys ---- */

static const json_t *find(const mqa_config *c, const char *key)
{
    const json_t *value = json_object_get(c->object, key);
    return json_is_null(value) ? NULL : value;
}

bool mqa_config_has(const mqa_config *c, const char *key)
{
    return find(c, key) != NULL;
}

mqa_status mqa_config_int(const mqa_config *c, const char *key, bool optional, int64_t min, int64_t max,
                          int64_t *out, mqa_error *err)
{
    const json_t *value = find(c, key);
    if (!value && optional) return MQA_OK;
    if (!value) return mqa_fail(err, MQA_ERR_FORMAT, "the key %s is missing", key);
    if (!json_is_integer(value)) return mqa_fail(err, MQA_ERR_FORMAT, "%s is no whole number", key);
    const int64_t n = json_integer_value(value);
    if (n < min || n > max)
        return mqa_fail(err, MQA_ERR_FORMAT, "%s is %" PRId64 ", not from %" PRId64 " to %" PRId64, key, n,
                        min, max);
    *out = n;
    return MQA_OK;
}

mqa_status mqa_config_bool(const mqa_config *c, const char *key, bool *out, mqa_error *err)
{
    const json_t *value = find(c, key);
    if (!value) return MQA_OK;
    if (!json_is_boolean(value)) return mqa_fail(err, MQA_ERR_FORMAT, "%s is neither true nor false", key);
    *out = json_is_true(value);
    return MQA_OK;
}

const char *mqa_config_text(const mqa_config *c, const char *key)
{
    return json_string_value(find(c, key));
}

/* ---- formats ---- */

/* The nearest of the formats that there are: two bytes a weight for either 16-bit float, 8.5 bits for
 * fp8, 4.5 for 4 bits in groups. */
static void read_types(mqa_config *c)
{
    const char *dtype = mqa_config_text(c, "torch_dtype");
    if (!dtype) dtype = mqa_config_text(c, "dtype");
    c->type = dtype && strcmp(dtype, "float32") == 0 ? MQA_GGUF_F32 : MQA_GGUF_BF16;
    c->expert_type = c->type;
    const mqa_config quant = {.object = find(c, "quantization_config")};
    const char *method = mqa_config_text(&quant, "quant_method");
    if (!method) return;
    int64_t bits = 0;
    (void)mqa_config_int(&quant, "bits", true, 1, 32, &bits, NULL);
    if (strcmp(method, "mxfp4") == 0) {
        c->expert_type = MQA_GGUF_MXFP4;
    } else if (strcmp(method, "fp8") == 0 || bits == 8) {
        c->type = c->expert_type = MQA_GGUF_Q8_0;
    } else if (bits == 4) {
        c->type = c->expert_type = MQA_GGUF_Q4_0;
    }
}

/* ---- the file ---- */

/* "models/Llama-3-8B/config.json" is Llama-3-8B, "falcon-7b.json" falcon-7b. */
static void name_after_path(const char *path, char *out, size_t size)
{
    const char *end = path + strlen(path), *begin = strrchr(path, '/');
    if (begin && strcmp(begin, "/config.json") == 0) {
        end = begin;
        while (begin > path && begin[-1] != '/') begin--;
    } else {
        begin = begin ? begin + 1 : path;
        const char *dot = strrchr(begin, '.');
        if (dot && dot > begin) end = dot;
    }
    mqa_design_text(out, size, begin, (size_t)(end - begin));
}

static mqa_status unknown(const char *arch, mqa_error *err)
{
    char list[400] = "";
    size_t n = 0;
    for (size_t i = 0; i < N_READERS && n < sizeof list; i++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", readers[i].name);
    return mqa_fail(err, MQA_ERR_UNSUPPORTED, "model_type '%.40s' isn't known; known are %s", arch, list);
}

static mqa_status read_object(const json_t *object, mqa_design *out, mqa_error *err)
{
    mqa_config c = {.object = object};
    if (!json_is_object(object)) return mqa_fail(err, MQA_ERR_FORMAT, "JSON, but no object");
    const char *arch = mqa_config_text(&c, "model_type");
    if (!arch) return mqa_fail(err, MQA_ERR_FORMAT, "the key model_type is missing: no transformers config");
    read_types(&c);
    const json_t *text = find(&c, "text_config");
    if (json_is_object(text)) {
        c.object = text;
        const char *inner = mqa_config_text(&c, "model_type");
        if (inner) arch = inner;
    }
    c.arch = arch;
    mqa_design_text(out->arch, sizeof out->arch, arch, strlen(arch));
    for (size_t i = 0; i < N_READERS; i++) {
        if (strcmp(arch, readers[i].name) != 0) continue;
        MQA_TRY(readers[i].read(&c, out, err));
        return mqa_design_finish(out, err);
    }
    return unknown(arch, err);
}

mqa_status mqa_design_from_config(const char *path, const char *text, size_t size, mqa_design *out,
                                  mqa_error *err)
{
    if (size > MAX_BYTES)
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: %zu bytes: no config.json is so long", path, size);
    *out = (mqa_design){0};
    name_after_path(path, out->name, sizeof out->name);
    json_error_t where;
    json_t *object = json_loadb(text, size, 0, &where);
    if (!object)
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: line %d of the JSON: %s", path, where.line, where.text);
    mqa_error detail;
    const mqa_status status = read_object(object, out, &detail);
    json_decref(object);
    return status == MQA_OK ? MQA_OK : mqa_fail(err, status, "%s: %s", path, detail.message);
}

mqa_status mqa_design_from_file(const char *path, mqa_design *out, mqa_error *err)
{
    mqa_file file;
    MQA_TRY(mqa_file_map(path, &file, err));
    const bool is_gguf = file.size >= 4 && memcmp(file.data, "GGUF", 4) == 0;
    mqa_status status = MQA_OK;
    if (!is_gguf) status = mqa_design_from_config(path, (const char *)file.data, file.size, out, err);
    mqa_file_unmap(&file);
    if (!is_gguf) return status;
    mqa_gguf *gguf = NULL;
    MQA_TRY(mqa_gguf_open(path, &gguf, err));
    status = mqa_design_from_gguf(gguf, out, err);
    mqa_gguf_close(&gguf);
    return status;
}
