/* This machine, for plans: calibrated once, and kept.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "base/cpu.h"
#include "calibrate.h"
#include "plan.h"

/* Brand strings of virtual machines leave out what tells generations apart. */
static void make_key(const mqa_context *ctx, char *out, size_t size)
{
    const mqa_cpu *cpu = mqa_cpu_detect();
    snprintf(out, size, "%s, family %d, model %d, %d threads, %s%s", cpu->name, cpu->family, cpu->model,
             mqa_context_n_threads(ctx), mqa_isa_name(mqa_context_isa(ctx)),
             mqa_context_numerics(ctx) == MQA_NUMERICS_PORTABLE ? ", portable" : "");
}

void plan_keep_machine(const mqa_context *ctx, const mqa_machine *machine)
{
    mqa_error err;
    char key[160], path[1024];
    make_key(ctx, key, sizeof key);
    if (mqa_machine_save(key, machine, path, sizeof path, &err) != MQA_OK)
        fprintf(stderr, "the calibration isn't kept: %s\n", err.message);
    else
        fprintf(stderr, "kept in %s\n", path);
}

/* thorough: asked for; else it is in the way of a plan. */
static int calibrate_now(mqa_context *ctx, bool thorough, mqa_machine *out)
{
    mqa_error err;
    fprintf(stderr, "calibrating for this machine: %s in which others should rest\n",
            thorough ? "about two minutes" : "once, about a minute");
    const mqa_status status = calibrate_machine(ctx, thorough, out, &err);
    if (status != MQA_OK) return cli_error_status(status, &err);
    plan_keep_machine(ctx, out);
    return CLI_GO_ON;
}

int plan_this_machine(const cli_common *common, bool calibrate, mqa_machine *out)
{
    mqa_context *ctx = NULL;
    char key[160];
    int code = cli_open_context(common, &ctx);
    if (code != CLI_DONE) return code;
    make_key(ctx, key, sizeof key);
    mqa_error err;
    const mqa_status status = calibrate ? MQA_ERR_NOT_FOUND : mqa_machine_load(key, out, &err);
    code = CLI_GO_ON;
    if (status == MQA_ERR_NOT_FOUND)
        code = calibrate_now(ctx, calibrate, out);
    else if (status != MQA_OK)
        code = cli_error_status(status, &err);
    mqa_context_destroy(&ctx);
    return code;
}
