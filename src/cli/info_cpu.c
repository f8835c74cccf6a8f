/* mqa info without a file: the CPU, the choice of kernels, and what was measured just now.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "base/cpu.h"
#include "info.h"
#include "mqa/attention.h"
#include "roofline.h"

enum { N_FEATURES = 14, N_LEVELS = 3 };

typedef struct feature {
    const char *name;
    bool there;
} feature;

typedef struct cpu_report {
    const mqa_cpu *cpu;
    feature features[N_FEATURES];
    int threads;
    const char *isa;
    char reason[160];
    char recipes[MQA_KV_TYPES][64];
    struct {
        const char *name;
        size_t bytes; /* of the working set; 0: no such level */
        double rate;
    } levels[N_LEVELS];
} cpu_report;

static void fill_features(cpu_report *r)
{
    const mqa_cpu *c = r->cpu;
    const feature features[N_FEATURES] = {
        {"avx2", c->avx2},
        {"fma", c->fma},
        {"f16c", c->f16c},
        {"avx512", c->avx512},
        {"avx512_vnni", c->avx512_vnni},
        {"avx512_bf16", c->avx512_bf16},
        {"avx_vnni", c->avx_vnni},
        {"amx_tile", c->amx_tile},
        {"amx_int8", c->amx_int8},
        {"amx_bf16", c->amx_bf16},
        {"neon", c->neon},
        {"neon_dotprod", c->neon_dotprod},
        {"neon_i8mm", c->neon_i8mm},
        {"neon_bf16", c->neon_bf16},
    };
    for (int i = 0; i < N_FEATURES; i++) r->features[i] = features[i];
}

/* Why this instruction set. dispatch.c decides; here is what it had to choose from. */
static void fill_reason(cpu_report *r)
{
    if (cli_isa != MQA_ISA_AUTO) {
        snprintf(r->reason, sizeof r->reason, "forced by MQA_ISA");
        return;
    }
    size_t n = (size_t)snprintf(r->reason, sizeof r->reason, "the fastest here of");
    for (int isa = MQA_ISA_REFERENCE; isa <= MQA_ISA_NEON_C && n < sizeof r->reason; isa++)
        if (mqa_isa_available((mqa_isa)isa))
            n += (size_t)snprintf(r->reason + n, sizeof r->reason - n, " %s", mqa_isa_name((mqa_isa)isa));
}

/* The recipe belongs to a plan: one of each format, over a cache without tokens. */
static mqa_status fill_recipe(mqa_context *ctx, mqa_kv_type type, char *out, size_t size, mqa_error *err)
{
    mqa_cache_config config = {.struct_size = sizeof config,
                               .n_layers = 1,
                               .n_kv_heads = 1,
                               .head_dim_qk = 64,
                               .head_dim_vo = 64,
                               .k_type = type,
                               .v_type = type,
                               .max_pages = 1};
    mqa_plan_options options = mqa_plan_options_default();
    options.n_heads = 1;
    options.sm_scale = 0.125f;
    mqa_cache *cache = NULL;
    mqa_plan *plan = NULL;
    mqa_status status = mqa_cache_create(ctx, &config, &cache, err);
    if (status == MQA_OK) status = mqa_plan_create(cache, &options, &plan, err);
    if (status == MQA_OK) snprintf(out, size, "%s", mqa_plan_recipe(plan));
    mqa_plan_destroy(&plan);
    mqa_cache_destroy(&cache);
    return status;
}

static mqa_status fill(mqa_context *ctx, cpu_report *r, mqa_error *err)
{
    static const char *const names[N_LEVELS] = {"L2", "L3", "memory"};
    r->cpu = mqa_cpu_detect();
    r->threads = mqa_context_n_threads(ctx);
    r->isa = mqa_isa_name(mqa_context_isa(ctx));
    fill_features(r);
    fill_reason(r);
    mqa_status status = MQA_OK;
    for (int t = 0; status == MQA_OK && t < MQA_KV_TYPES; t++)
        status = fill_recipe(ctx, (mqa_kv_type)t, r->recipes[t], sizeof r->recipes[t], err);
    for (int i = 0; status == MQA_OK && i < N_LEVELS; i++) {
        r->levels[i].name = names[i];
        r->levels[i].bytes = roofline_working_set(i + 2, r->threads);
        if (cli_stop) status = MQA_ERR_CANCELLED;
        if (status == MQA_OK && r->levels[i].bytes)
            status = roofline_read(ctx, r->threads, r->levels[i].bytes, &r->levels[i].rate, err);
    }
    return status;
}

static void print_object(const cpu_report *r, mqa_numerics numerics)
{
    json_t *features = json_array(), *recipes = json_object(), *read = json_object();
    for (int i = 0; i < N_FEATURES; i++)
        if (r->features[i].there) json_array_append_new(features, json_string(r->features[i].name));
    for (int t = 0; t < MQA_KV_TYPES; t++)
        json_object_set_new(recipes, mqa_kv_type_name((mqa_kv_type)t), json_string(r->recipes[t]));
    for (int i = 0; i < N_LEVELS; i++)
        if (r->levels[i].bytes)
            json_object_set_new(read, r->levels[i].name, json_real(r->levels[i].rate * 1e-9));
    cli_print_json(json_pack("{s:s, s:s, s:i, s:i, s:o, s:I, s:I, s:I, s:s, s:s, s:s, s:i, s:o, s:o}", "cpu",
                             r->cpu->name, "vendor", r->cpu->vendor, "family", r->cpu->family, "model",
                             r->cpu->model, "features", features, "l1d_bytes", (json_int_t)r->cpu->l1d_bytes,
                             "l2_bytes", (json_int_t)r->cpu->l2_bytes, "l3_bytes",
                             (json_int_t)r->cpu->l3_bytes, "isa", r->isa, "isa_reason", r->reason, "numerics",
                             numerics == MQA_NUMERICS_FAST ? "fast" : "portable", "threads", r->threads,
                             "recipes", recipes, "read_gbps", read));
}

static void print_text(const cpu_report *r, mqa_numerics numerics)
{
    const mqa_cpu *c = r->cpu;
    printf("CPU        %s (%s, family %d, model %d)\nfeatures  ", c->name, c->vendor, c->family, c->model);
    for (int i = 0; i < N_FEATURES; i++)
        if (r->features[i].there) printf(" %s", r->features[i].name);
    printf("\ncaches     L1d %s, L2 %s a core; L3 %s\n", cli_bytes((double)c->l1d_bytes),
           cli_bytes((double)c->l2_bytes), cli_bytes((double)c->l3_bytes));
    printf("kernels    %s: %s\n", r->isa, r->reason);
    printf("numerics   %s:", numerics == MQA_NUMERICS_FAST ? "fast" : "portable");
    for (int t = 0; t < MQA_KV_TYPES; t++)
        printf("%s KV %s %s", t ? "," : "", mqa_kv_type_name((mqa_kv_type)t), r->recipes[t]);
    printf("\nthreads    %d\n", r->threads);
    for (int i = 0; i < N_LEVELS; i++)
        if (r->levels[i].bytes)
            printf("%-10s reads %.1f GB/s (measured, %s on %d threads)\n", r->levels[i].name,
                   r->levels[i].rate * 1e-9, cli_bytes((double)r->levels[i].bytes), r->threads);
}

int info_cpu(const cli_common *common)
{
    cli_catch_interrupt();
    mqa_context *ctx = NULL;
    int code = cli_open_context(common, &ctx);
    if (code != CLI_DONE) return code;
    mqa_error err;
    cpu_report report = {0};
    mqa_status status = fill(ctx, &report, &err);
    if (status != MQA_OK)
        code = cli_error_status(status, &err);
    else if (common->json)
        print_object(&report, common->numerics);
    else
        print_text(&report, common->numerics);
    mqa_context_destroy(&ctx);
    return code;
}
