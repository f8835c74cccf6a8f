/* Refusals in OpenAI's form: a status and {"error": {"message", "type", "param", "code"}}.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_OPENAI_API_ERROR_H
#define MQA_OPENAI_API_ERROR_H

#include <jansson.h>
#include <stdbool.h>

#include "mqa/status.h"

typedef struct mqa_api_error {
    int status;              /* of HTTP */
    const char *type, *code; /* constants; code may be NULL */
    char param[64];          /* "" : none */
    char message[512];
    int retry_after; /* seconds; 0: none */
} mqa_api_error;

/* All return false, so that a check can end by one of them. */
__attribute__((format(printf, 3, 4))) bool mqa_api_invalid(mqa_api_error *e, const char *param,
                                                           const char *fmt, ...); /* 400 */
__attribute__((format(printf, 5, 6))) bool mqa_api_refuse(mqa_api_error *e, int status, const char *type,
                                                          const char *code, const char *fmt, ...);
bool mqa_api_no_model(mqa_api_error *e, const char *model); /* 404, as where there is no such model */
/* From a failed call of the library: 400 for the caller's mistakes, what isn't supported and what is too
 * much, 503 for want of memory, 500 else. */
bool mqa_api_failed(mqa_api_error *e, mqa_status status, const mqa_error *err);

json_t *mqa_api_error_json(const mqa_api_error *e); /* NULL: no memory */

#endif
