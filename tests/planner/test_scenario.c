/* Scenario files: what they say, what is wrong with them and on which line; and those that ship.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rig.h"

#include <dirent.h>

static mqa_status parse(const char *text, mqa_scenario *out, mqa_error *err)
{
    return mqa_scenario_parse("folder/a.scenario", text, strlen(text), out, err);
}

static void test_all_keys(void **unused)
{
    (void)unused;
    static const char text[] =
        "# a comment\n"
        "title = A title # and a comment\r\n"
        "question = One line,\n"
        "question = and another\n"
        "\n"
        "[model]\n"
        "name = mine\n"
        "layers = 12\n heads=16\nkv_heads = 4\n\thead_dim = 64\nhead_dim_v = 32\n"
        "vocab = 50_000\nembd = 1024\nff = 4096\nexperts = 8\nexperts_used = 2\n"
        "shared_experts = 1\nexpert_ff = 512\ndense_layers = 2\n"
        "window = 1024\nwindow_pattern = 6\nsinks = 4\nuntied = yes\n"
        "[machine]\n"
        "name = L4\nbandwidth = 1 TB/s\nf32 = 1TFLOP/s\nbf16 = 2e12\nint8 = 4 TOPS\nmemory = 48 GB\n"
        "[demand]\n"
        "context = 1000, 2_000,3000\ngenerate = 100\nrequests = 7\nshared = 50\nchunk = 256\n"
        "page_tokens = 128\nkv_type = int8\nv_type = f16\nweights = q4_k\nmemory = 2GiB\n"
        "tokens_per_s = 12.5\nprompt_ms = 900\ndesigns = mqa, as-is\n"
        "[tenant Some One]\nrequests = 3\ncontext = 60000\nshared = 0\nbudget = 512MiB\n"
        "[tenant b]\n";
    mqa_scenario s;
    assert_ok(parse(text, &s, why));
    assert_string_equal(s.title, "A title");
    assert_string_equal(s.question, "One line, and another");
    assert_string_equal(s.shape.name, "mine");
    const mqa_shape *m = &s.shape;
    assert_true(m->layers == 12 && m->heads == 16 && m->kv_heads == 4 && m->head_dim == 64 &&
                m->head_dim_v == 32 && m->vocab == 50000 && m->embd == 1024 && m->ff == 4096 &&
                m->experts == 8 && m->experts_used == 2 && m->shared_experts == 1 && m->expert_ff == 512 &&
                m->dense_layers == 2 && m->window == 1024 && m->window_pattern == 6 && m->sinks == 4 &&
                m->untied);
    assert_string_equal(s.machine_name, "L4");
    assert_true(s.machine.bandwidth == 1e12 && s.machine.peak[MQA_RATE_F32] == 1e12 &&
                s.machine.peak[MQA_RATE_BF16] == 2e12 && s.machine.peak[MQA_RATE_INT8] == 4e12 &&
                s.machine.memory == 48000000000);
    const mqa_demand *d = &s.demand;
    assert_true(d->n_contexts == 3 && d->contexts[0] == 1000 && d->contexts[1] == 2000 &&
                d->contexts[2] == 3000);
    assert_true(d->generate == 100 && d->requests == 7 && d->shared == 50 && d->chunk == 256 &&
                d->page_tokens == 128 && d->k_type == MQA_KV_INT8 && d->v_type == MQA_KV_F16 &&
                d->weights == MQA_GGUF_Q4_K && d->memory == (size_t)2 << 30 && d->want_tokens_per_s == 12.5 &&
                d->want_prompt_ms == 900);
    assert_true(s.n_designs == 2 && s.designs[0] == MQA_VARIANT_MQA && s.designs[1] == MQA_VARIANT_AS_IS);
    assert_int_equal(d->n_tenants, 2);
    assert_string_equal(d->tenants[0].name, "Some One");
    assert_true(d->tenants[0].requests == 3 && d->tenants[0].context == 60000 &&
                d->tenants[0].budget_bytes == (size_t)512 << 20);
    assert_true(d->tenants[1].requests == 1 && d->tenants[1].budget_bytes == 0);
    assert_ok(mqa_demand_check(d, why));
}

static void test_defaults(void **unused)
{
    (void)unused;
    mqa_scenario s;
    mqa_demand d;
    mqa_demand_default(&d);
    assert_ok(parse("[model]\nfile = m.gguf", &s, why)); /* without a last newline */
    assert_string_equal(s.model_file, "folder/m.gguf");
    assert_memory_equal(&s.demand, &d, sizeof d);
    assert_ok(parse("[model]\nfile = /m.gguf\n", &s, why));
    assert_string_equal(s.model_file, "/m.gguf");
    assert_ok(mqa_scenario_parse("a", "[model]\nfile = m", 16, &s, why));
    assert_string_equal(s.model_file, "m");
}

static void test_wrong(void **unused)
{
    (void)unused;
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"", "without a [model]"},
        {"[model]\n", "without a [model]"},
        {"[demand]\ncontext = 5\n", "without a [model]"},
        {"[model]\nname = x\nfile = y\n", "a file and a shape"},
        {"[model]\nlayers = 4\ncolour = red\n", "line 3: no key 'colour'"},
        {"colour = red\n", "line 1: no key 'colour'"},
        {"[model]\nlayers\n", "line 2: 'layers': give key = value"},
        {"[model]\nlayers =\n", "line 2: layers has no value"},
        {"[model]\nlayers = # 4\n", "line 2: layers has no value"},
        {"[model]\nlayers = 0\n", "line 2: layers = '0'"},
        {"[model]\nlayers = -1\n", "line 2: layers = '-1'"},
        {"[model]\nlayers = 4.5\n", "line 2: layers"},
        {"[model]\nlayers = 99999999999999999999999\n", "line 2: layers"},
        {"[model]\nlayers = 4\nlayers = 5\n", "line 3: layers is given twice"},
        {"[model]\nuntied = true\n", "give yes or no"},
        {"[model]\n[model]\n", "line 2: [model] comes twice"},
        {"[modell]\n", "line 1: no section [modell]"},
        {"[model\n", "line 1: '[model'"},
        {"[\n", "line 1: '['"},
        {"[]\n", "line 1: no section []"},
        {"[tenant]\n", "line 1: no section [tenant]"},
        {"[tenant ]\n", "line 1: no section [tenant ]"},
        {"[machine]\nbandwidth = nan\n", "line 2: bandwidth = 'nan'"},
        {"[machine]\nbandwidth = -4GB/s\n", "line 2: bandwidth"},
        {"[machine]\nbandwidth = 1e999\n", "line 2: bandwidth"},
        {"[machine]\nmemory = lots\n", "line 2: memory = 'lots': give bytes"},
        {"[demand]\ncontext = 1000000000000000000\n", "line 2: context '1000000000000000000'"},
        {"[demand]\ncontext = 5,\n", "line 2: context"},
        {"[demand]\ncontext = ,5\n", "line 2: context"},
        {"[demand]\ncontext = 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17\n", "line 2: more than 16 contexts"},
        {"[demand]\nkv_type = int7\n", "line 2: cache format 'int7'"},
        {"[demand]\nweights = q9\n", "line 2: weights 'q9'"},
        {"[demand]\ndesigns = mqa, gqa-5\n", "line 2: design 'gqa-5'"},
        {"[demand]\ntokens_per_s = fast\n", "line 2: tokens_per_s"},
        {"[tenant x]\nbudget = 0\n", "line 2: budget"},
        {"[tenant x]\nfile = y\n", "line 2: no key 'file'"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        mqa_scenario s;
        mqa_error err = {.message = ""};
        const mqa_status status = parse(wrong[i].text, &s, &err);
        if (status != MQA_ERR_FORMAT || !strstr(err.message, wrong[i].says) || strchr(err.message, '\n'))
            fail_msg("%s: status %d, '%s'", wrong[i].text, (int)status, err.message);
    }
}

static void test_hostile(void **unused)
{
    (void)unused;
    mqa_scenario s;
    mqa_error err;
    assert_int_equal(mqa_scenario_parse("a", "[model]\nname = x\0y\n", 19, &s, &err), MQA_ERR_FORMAT);
    char *text = malloc(4 << 20);
    assert_non_null(text);
    memset(text, 'a', 4 << 20);
    assert_int_equal(mqa_scenario_parse("a", text, 4 << 20, &s, &err), MQA_ERR_FORMAT);
    assert_int_equal(mqa_scenario_parse("a", text, 1 << 19, &s, &err), MQA_ERR_FORMAT);
    size_t n = 0; /* more tenants than there is room for */
    for (int i = 0; i < MQA_DEMAND_TENANTS + 1; i++) n += (size_t)sprintf(text + n, "[tenant t%d]\n", i);
    assert_int_equal(mqa_scenario_parse("a", text, n, &s, &err), MQA_ERR_FORMAT);
    assert_non_null(strstr(err.message, "line 33: more than 32 tenants"));
    n = (size_t)sprintf(text, "title = ");
    memset(text + n, 'b', 300);
    assert_int_equal(mqa_scenario_parse("a", text, n + 300, &s, &err), MQA_ERR_FORMAT);
    n = (size_t)sprintf(text, "[tenant %050d]\n", 1);
    assert_int_equal(mqa_scenario_parse("a", text, n, &s, &err), MQA_ERR_FORMAT);
    free(text);
}

/* Every scenario that ships is read, and its report made, with the machine it names. */
static void test_shipped(void **unused)
{
    (void)unused;
    DIR *dir = opendir(MQA_SCENARIOS);
    assert_non_null(dir);
    int n = 0;
    mqa_report *r = malloc(sizeof *r);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".scenario") != 0) continue;
        char path[1024];
        size_t size;
        snprintf(path, sizeof path, "%s/%s", MQA_SCENARIOS, entry->d_name);
        char *text = read_whole(path, &size);
        mqa_scenario s;
        assert_true(mqa_is_scenario(text, size));
        assert_ok(mqa_scenario_parse(path, text, size, &s, why));
        assert_true(s.title[0] && s.question[0]);
        n++;
        free(text);
        mqa_design design;
        mqa_error err;
        const mqa_status status = s.model_file[0] ? mqa_design_from_file(s.model_file, &design, &err)
                                                  : mqa_design_from_shape(&s.shape, &design, &err);
        if (status == MQA_ERR_NOT_FOUND && s.model_file[0])
            continue; /* a model that isn't part of the repository */
        if (status != MQA_OK) fail_msg("%s: %s", path, err.message);
        const mqa_machine machine = machine_of(s.machine_name[0] ? s.machine_name : "AMD Zen 4, 2 cores");
        if (mqa_report_make(&design, s.designs, s.n_designs, &machine, &s.demand, r, &err) != MQA_OK)
            fail_msg("%s: %s", path, err.message);
    }
    assert_true(n >= 1);
    free(r);
    closedir(dir);
}

static void test_is_scenario(void **unused)
{
    (void)unused;
    assert_true(mqa_is_scenario("title = x", 9));
    assert_true(mqa_is_scenario("", 0));
    assert_false(mqa_is_scenario(" \n{}", 4));
    assert_false(mqa_is_scenario("GGUF", 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_keys), cmocka_unit_test(test_defaults),
                                       cmocka_unit_test(test_wrong),    cmocka_unit_test(test_hostile),
                                       cmocka_unit_test(test_shipped),  cmocka_unit_test(test_is_scenario)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
