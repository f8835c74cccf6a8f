/* mqa bench roofline: read bandwidth by working set, arithmetic by format, on one thread and on all.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "bench.h"
#include "plan.h"
#include "roofline.h"

static void show_read(const cli_common *common, int threads, size_t bytes, double rate)
{
    if (common->json)
        cli_print_json(json_pack("{s:s, s:s, s:I, s:i, s:f}", "bench", "roofline", "test", "read", "bytes",
                                 (json_int_t)bytes, "threads", threads, "gbps", rate * 1e-9));
    else
        printf("read   %12s %4d threads %10.1f GB/s\n", cli_bytes((double)bytes), threads, rate * 1e-9);
    fflush(stdout);
}

static void show_ops(const cli_common *common, int threads, const char *test, double rate)
{
    if (common->json)
        cli_print_json(json_pack("{s:s, s:s, s:i, s:f}", "bench", "roofline", "test", test, "threads",
                                 threads, "gflops", rate * 1e-9));
    else
        printf("%-19s %4d threads %10.1f GFLOP/s\n", test, threads, rate * 1e-9);
    fflush(stdout);
}

static void show_exp(const cli_common *common, int threads, double rate)
{
    if (common->json)
        cli_print_json(json_pack("{s:s, s:s, s:i, s:f}", "bench", "roofline", "test", "exp", "threads",
                                 threads, "gexps", rate * 1e-9));
    else
        printf("%-19s %4d threads %10.2f G/s\n", "exp", threads, rate * 1e-9);
    fflush(stdout);
}

static mqa_status on_threads(const cli_common *common, mqa_context *ctx, int threads, mqa_error *err)
{
    size_t largest = roofline_working_set(4, threads);
    for (size_t bytes = (size_t)16 << 10; bytes <= largest; bytes *= 4) {
        double rate;
        if (bytes / 4096 < (size_t)threads) continue; /* less than a page each */
        mqa_status status = cli_stop ? MQA_ERR_CANCELLED : roofline_read(ctx, threads, bytes, &rate, err);
        if (status != MQA_OK) return status;
        show_read(common, threads, bytes, rate);
    }
    static const struct {
        const char *name;
        mqa_kv_type type;
        roofline_product product;
    } instructions[] = {{"fma f32", MQA_KV_F32, ROOFLINE_SCORES},
                        {"dot bf16", MQA_KV_BF16, ROOFLINE_SCORES},
                        {"dot int8, scores", MQA_KV_INT8, ROOFLINE_SCORES},
                        {"dot int8, P.V", MQA_KV_INT8, ROOFLINE_PV}};
    for (size_t i = 0; i < sizeof instructions / sizeof instructions[0]; i++) {
        const double rate = roofline_instruction(ctx, threads, instructions[i].type, instructions[i].product);
        if (rate > 0) show_ops(common, threads, instructions[i].name, rate);
    }
    show_exp(common, threads, roofline_exp(ctx, threads));
    for (int type = 0; type < MQA_KV_TYPES; type++) {
        double rate;
        mqa_status status =
            cli_stop ? MQA_ERR_CANCELLED : roofline_kernel(ctx, threads, (mqa_kv_type)type, &rate, err);
        if (status != MQA_OK) return status;
        char test[32];
        snprintf(test, sizeof test, "scores %s", mqa_kv_type_name((mqa_kv_type)type));
        show_ops(common, threads, test, rate);
    }
    return MQA_OK;
}

int cli_bench_roofline(int argc, char **argv)
{
    cli_common common = CLI_COMMON_DEFAULT;
    bool keep = false;
    const cli_option table[] = {
        {0, "keep", CLI_FLAG, &keep, NULL, "calibrate mqa plan for this machine too, and keep that", 0, 0,
         false},
        CLI_OPTIONS_CONTEXT(&common),
        CLI_OPTIONS_END,
    };
    int code = cli_parse(argc, argv, table, "what this machine's memory, caches and arithmetic give.", NULL,
                         0, NULL, NULL);
    if (code != CLI_GO_ON) return code;
    cli_catch_interrupt();
    mqa_context *ctx = NULL;
    code = cli_open_context(&common, &ctx);
    if (code != CLI_DONE) return code;
    mqa_error err;
    int threads = mqa_context_n_threads(ctx);
    mqa_status status = on_threads(&common, ctx, 1, &err);
    if (status == MQA_OK && threads > 1) status = on_threads(&common, ctx, threads, &err);
    if (status != MQA_OK) code = cli_error_status(status, &err);
    mqa_context_destroy(&ctx);
    if (code != CLI_DONE || !keep) return code;
    mqa_machine machine;
    code = plan_this_machine(&common, true, &machine);
    return code == CLI_GO_ON ? CLI_DONE : code;
}
