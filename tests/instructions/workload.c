/* A small attention whose instructions scripts/count-instructions counts: one layer, one thread, AVX2.
 *
 * usage: workload decode|chunk f32|bf16|int8
 *
 * Everything that is chosen by the machine is fixed here, so that the count is the same on all: the thread,
 * the instruction set, the values. (valgrind shows a CPU of its own by cpuid, but the machine's cache sizes
 * in /sys: should a choice ever go by those, it must be fixed here, too.) Only what mqa_plan_run does is
 * counted.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mqa/attention.h"

typedef struct shape {
    const char *name;
    int heads, head_dim;
    int64_t context, queries;
} shape;

static const shape shapes[] = {{"decode", 32, 128, 2000, 1}, {"chunk", 8, 64, 1000, 40}};

static void must(mqa_status status, const mqa_error *err)
{
    if (status == MQA_OK) return;
    fprintf(stderr, "workload: %s\n", err->message);
    exit(1);
}

static float *values(size_t n)
{
    float *x = malloc(n * sizeof *x);
    if (!x) exit(1);
    uint32_t z = 1;
    for (size_t i = 0; i < n; i++) {
        z = z * 1664525u + 1013904223u;
        x[i] = (float)(z >> 8) * 0x1p-23f - 1.0f;
    }
    return x;
}

static void run(const shape *s, mqa_kv_type type)
{
    mqa_error err;
    mqa_context_options options = mqa_context_options_default();
    options.isa = MQA_ISA_AVX2;
    options.n_threads = 1;
    mqa_context *ctx;
    must(mqa_context_create(&options, &ctx, &err), &err);
    const mqa_cache_config config = {.struct_size = sizeof config,
                                     .n_layers = 1,
                                     .n_kv_heads = 1,
                                     .head_dim_qk = s->head_dim,
                                     .head_dim_vo = s->head_dim,
                                     .k_type = type,
                                     .v_type = type,
                                     .max_pages = (s->context + 63) / 64};
    mqa_cache *cache;
    mqa_sequence *sequence;
    must(mqa_cache_create(ctx, &config, &cache, &err), &err);
    must(mqa_sequence_create(cache, &sequence, &err), &err);
    must(mqa_sequence_extend(sequence, s->context, &err), &err);
    const size_t d = (size_t)s->head_dim, token = (size_t)s->heads * d, n_q = (size_t)s->queries * token;
    float *kv = values((size_t)s->context * d), *q = values(n_q), *out = values(n_q);
    must(mqa_sequence_write(sequence, 0, 0, s->context, kv, d, d, kv, d, d, &err), &err);

    mqa_plan_options plan_options = mqa_plan_options_default();
    plan_options.n_heads = s->heads;
    plan_options.sm_scale = 0.125f;
    mqa_plan *plan;
    must(mqa_plan_create(cache, &plan_options, &plan, &err), &err);
    const mqa_plan_item item = {.sequence = sequence, .n_queries = s->queries};
    must(mqa_plan_batch(plan, &item, 1, &err), &err);
    const mqa_run layer = {.struct_size = sizeof layer,
                           .q = q,
                           .q_stride_token = token,
                           .q_stride_head = d,
                           .out = out,
                           .out_stride_token = token,
                           .out_stride_head = d};
    must(mqa_plan_run(plan, &layer, &err), &err);

    mqa_plan_destroy(&plan);
    mqa_sequence_destroy(&sequence);
    mqa_cache_destroy(&cache);
    mqa_context_destroy(&ctx);
    free(kv);
    free(q);
    free(out);
}

int main(int argc, char **argv)
{
    mqa_error err;
    mqa_kv_type type;
    if (argc != 3) return 2;
    must(mqa_kv_type_parse(argv[2], &type, &err), &err);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        if (strcmp(argv[1], shapes[i].name) == 0) {
            run(&shapes[i], type);
            return 0;
        }
    return 2;
}
