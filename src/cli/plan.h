/* `mqa plan`: what its files share.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CLI_PLAN_H
#define MQA_CLI_PLAN_H

#include "args.h"
#include "plan_page.h"
#include "planner/planner.h"

/* What the command line says; numbers that it doesn't are -1, texts NULL. */
typedef struct plan_options {
    cli_common common; /* kv: MQA_KV_TYPES where not said */
    const char *input; /* a GGUF, a config.json or a scenario; NULL: the shape */
    mqa_shape shape;   /* zeroes where not said */
    cli_list contexts; /* n 0: not said */
    int64_t generate, requests, shared, chunk, page_tokens;
    const char *weights, *memory, *designs;
    double tokens_per_s, prompt_ms; /* 0: not said */
    const char *machine, *bandwidth, *flops;
    bool csv, calibrate;
    plan_files files; /* beside what is printed */
} plan_options;

/* What is planned, from the file and the options; an option goes before what a scenario says. */
typedef struct plan_input {
    mqa_scenario scenario; /* demand, designs, the machine's name and figures: of the whole input */
    mqa_design design;
    mqa_machine machine;
} plan_input;
/* CLI_GO_ON, or an exit code. */
int plan_read_input(const plan_options *options, plan_input *out);

/* This machine: calibrated before, or now if asked to or never before, and kept. CLI_GO_ON, or an exit code.
 */
int plan_this_machine(const cli_common *common, bool calibrate, mqa_machine *out);
/* Keeps a calibration for plans to come, and says where, or why not. */
void plan_keep_machine(const mqa_context *ctx, const mqa_machine *machine);

void plan_print_table(const mqa_report *report);
void plan_print_json(const mqa_report *report); /* one object a line: each design at each context */
void plan_print_csv(const mqa_report *report);
void plan_print_machines(bool json);

#endif
