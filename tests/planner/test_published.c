/* Published numbers, met from the models' config.json: data/SOURCES.md says where each comes from.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rig.h"

static const struct {
    const char *name;
    uint64_t parameters;
    size_t kv_bytes_per_token, kv_bytes_growth;
} published[] = {
    {"llama-2-70b", 68976648192, 327680, 327680},     {"llama-3-8b", 8030261248, 131072, 131072},
    {"llama-3.1-405b", 405853388800, 516096, 516096}, {"mistral-7b", 7241732096, 131072, 0},
    {"mixtral-8x7b", 46702792704, 131072, 131072},    {"falcon-7b", 6921720704, 8192, 8192},
    {"falcon-40b", 41303293952, 122880, 122880},      {"starcoder", 15517456384, 20480, 20480},
    {"gemma-2b", 2506172416, 18432, 18432},           {"gemma-2-2b", 2614341888, 106496, 53248},
    {"gemma-3-270m", 268098176, 18432, 3072},         {"gemma-3-4b", 3880263168, 139264, 20480},
    {"qwen2.5-72b", 72706203648, 327680, 327680},     {"qwen3-0.6b", 596049920, 114688, 114688},
    {"qwen3-30b-a3b", 30532122624, 98304, 98304},     {"qwen1.5-moe-a2.7b", 14315784192, 196608, 196608},
    {"phi-3-mini-4k", 3821079552, 393216, 0},         {"gpt-oss-20b", 20914757184, 49152, 24576},
    {"deepseek-v3", 671026419200, 70272, 70272},      {"deepseek-v2-lite", 15706484224, 31104, 31104},
    {"llama-4-scout", 107769861120, 196608, 49152},
};

static mqa_figures figures_of(const mqa_design *design, mqa_kv_type type, int64_t context)
{
    const mqa_machine machine = machine_of("H100 SXM");
    mqa_demand demand;
    mqa_demand_default(&demand);
    demand.k_type = demand.v_type = type;
    mqa_figures f;
    assert_ok(mqa_forecast(design, &machine, &demand, context, &f, why));
    return f;
}

static void test_published(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        const mqa_design design = design_of(published[i].name);
        const mqa_figures f = figures_of(&design, MQA_KV_BF16, 64);
        if (f.parameters != published[i].parameters ||
            f.kv_bytes_per_token != published[i].kv_bytes_per_token ||
            f.kv_bytes_growth != published[i].kv_bytes_growth)
            fail_msg("%s: %llu parameters, %zu bytes a token, %zu for good", published[i].name,
                     (unsigned long long)f.parameters, f.kv_bytes_per_token, f.kv_bytes_growth);
    }
}

/* What DeepSeek-V3's paper says one token goes through: 37 billion of 671 (the embedding's row is looked up).
 */
static void test_active(void **unused)
{
    (void)unused;
    const mqa_design v3 = design_of("deepseek-v3");
    const mqa_figures f = figures_of(&v3, MQA_KV_BF16, 64);
    assert_int_equal((f.active_parameters + 500000000) / 1000000000, 37);
    const mqa_design oss = design_of("gpt-oss-20b"); /* 3.61 billion: arXiv:2508.10925, table 1 */
    assert_int_equal((figures_of(&oss, MQA_KV_BF16, 64).active_parameters + 5000000) / 10000000, 361);
}

/* Gemma 3 270M: 3 KiB a token for good, and a ring of 512 tokens in 15 layers, 7.5 MiB. */
static void test_windows(void **unused)
{
    (void)unused;
    const mqa_design gemma = design_of("gemma-3-270m");
    const mqa_machine machine = machine_of("H100 SXM");
    mqa_demand demand;
    mqa_demand_default(&demand);
    demand.generate = 1;
    mqa_figures f;
    assert_ok(mqa_forecast(&gemma, &machine, &demand, 32768, &f, why));
    assert_int_equal(f.kv[MQA_KIND_GLOBAL].n_layers, 3);
    assert_int_equal(f.kv[MQA_KIND_WINDOW].n_layers, 15);
    assert_int_equal(f.kv[MQA_KIND_GLOBAL].request_bytes, 96 << 20);
    assert_int_equal(f.kv[MQA_KIND_WINDOW].request_bytes, 7680 << 10);
    assert_int_equal(f.kv_bytes, (96 << 20) + (7680 << 10));
}

/* 16-bit weights are two bytes each where no width has to be rounded up. */
static void test_weight_bytes(void **unused)
{
    (void)unused;
    const mqa_design llama = design_of("llama-3-8b");
    const size_t norms = 65 * 4096; /* f32 */
    size_t bytes;
    assert_ok(mqa_design_weight_bytes(&llama, MQA_GGUF_BF16, &bytes, why));
    assert_int_equal(bytes, 2 * (8030261248 - norms) + 4 * norms);
    assert_ok(mqa_design_weight_bytes(&llama, MQA_GGUF_Q8_0, &bytes, why));
    assert_int_equal(bytes, (8030261248 - norms) / 32 * 34 + 4 * norms);
    assert_ok(mqa_design_weight_bytes(&llama, MQA_GGUF_Q4_0, &bytes, why));
    assert_int_equal(bytes, (8030261248 - norms) / 32 * 18 + 4 * norms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_published), cmocka_unit_test(test_active),
                                       cmocka_unit_test(test_windows), cmocka_unit_test(test_weight_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
