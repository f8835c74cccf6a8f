/* What a plan looks like: charts of a report, for pages, SVG and PNG.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CLI_PLAN_CHARTS_H
#define MQA_CLI_PLAN_CHARTS_H

#include "planner/planner.h"
#include "plot/chart.h"

typedef enum plan_chart {
    PLAN_CHART_CACHE,    /* KV bytes of all requests against context */
    PLAN_CHART_SPEED,    /* tokens a second of all requests against context */
    PLAN_CHART_REQUESTS, /* how many fit, against memory */
    PLAN_CHART_ROOFLINE, /* where a decoding step of each design stands */
    PLAN_CHART_TENANTS,  /* each tenant's KV beside its budget */
    PLAN_CHARTS
} plan_chart;

/* "cache", "speed", "requests", "roofline", "tenants": what --plot takes. */
const char *plan_chart_name(plan_chart chart);
/* What a reader has to know beside the picture: a sentence or two. */
const char *plan_chart_caption(plan_chart chart);

/* The charts of a report, and all that they point to but the report itself. */
typedef struct plan_charts plan_charts;
mqa_status plan_charts_make(const mqa_report *report, plan_charts **out, mqa_error *err);
void plan_charts_free(plan_charts *charts);
/* How many there are: without tenants one less. */
int plan_charts_count(const plan_charts *charts);
const mqa_chart *plan_charts_get(const plan_charts *charts, plan_chart chart);

#endif
