/* A plan as files: one HTML page, or pictures.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CLI_PLAN_PAGE_H
#define MQA_CLI_PLAN_PAGE_H

#include "planner/planner.h"

/* Where to; NULL: not wanted. */
typedef struct plan_files {
    const char *html, *svg, *png;
    const char *plot; /* which chart svg and png show, by plan_chart_name; NULL: all on one sheet */
} plan_files;

/* Whether plot is the name of a chart: exit code 0 or 2. Before any work is done. */
int plan_files_check(const plan_files *files);
/* Writes them, each whole or not at all. title, question: of the scenario; "" where there is none. */
mqa_status plan_files_write(const plan_files *files, const mqa_report *report, const char *title,
                            const char *question, mqa_error *err);

#endif
