/* What reports are made of: the model of time (planner.h), tenants.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_PLANNER_FORECAST_H
#define MQA_PLANNER_FORECAST_H

#include "planner/planner.h"

/* One step of decoding: a token more for each of demand's requests, all with `context` tokens then. */
mqa_status mqa_time_token(const mqa_design *design, const mqa_machine *machine, const mqa_demand *demand,
                          int64_t context, mqa_times *out, mqa_error *err);
/* n_tokens of one request from position `from` on, in the demand's chunks, and logits of the last. */
mqa_status mqa_time_prompt(const mqa_design *design, const mqa_machine *machine, const mqa_demand *demand,
                           int64_t from, int64_t n_tokens, mqa_times *out, mqa_error *err);

/* forecast.c: one tenant's requests and its budget. */
mqa_status mqa_forecast_tenant(const mqa_design *design, const mqa_demand *demand, const mqa_tenant *tenant,
                               mqa_tenant_figures *out, mqa_error *err);

/* What a report is judged by: what is short (memory, a tenant's budget, the prompt's or a token's time that
 * is wanted), else a token's time. The value is better the smaller. */
typedef enum mqa_goal { MQA_GOAL_MEMORY, MQA_GOAL_BUDGETS, MQA_GOAL_PROMPT, MQA_GOAL_TOKEN } mqa_goal;
mqa_goal mqa_goal_of(const mqa_report *report);
double mqa_goal_value(mqa_goal goal, const mqa_figures *figures);
/* Whether anything is short. */
bool mqa_goal_is_missed(const mqa_report *report);

/* changes.c: fills in changes, best first. verdict.c: the sentences, when all else is there. */
mqa_status mqa_report_changes(mqa_report *report, mqa_error *err);
void mqa_report_verdict(mqa_report *report);

#endif
