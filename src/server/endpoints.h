/* The functions that routes name.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_SERVER_ENDPOINTS_H
#define MQA_SERVER_ENDPOINTS_H

#include "server/routes.h"

mqa_endpoint mqa_endpoint_completions, mqa_endpoint_chat; /* complete.c */
mqa_endpoint mqa_endpoint_metrics, mqa_endpoint_status;   /* figures.c */
mqa_endpoint mqa_endpoint_health, mqa_endpoint_models, mqa_endpoint_tokenize, mqa_endpoint_detokenize,
    mqa_endpoint_page; /* endpoints.c */

#endif
