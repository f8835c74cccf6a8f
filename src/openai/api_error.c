/* SPDX-License-Identifier: Apache-2.0 */
#include "openai/api_error.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/status.h"

static void fill(mqa_api_error *e, int status, const char *type, const char *code, const char *fmt,
                 va_list args)
{
    *e = (mqa_api_error){.status = status, .type = type, .code = code};
    vsnprintf(e->message, sizeof e->message, fmt, args);
    mqa_one_line(e->message); /* a name of the client's may be in it, cut in the middle of a character */
}

bool mqa_api_invalid(mqa_api_error *e, const char *param, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fill(e, 400, "invalid_request_error", NULL, fmt, args);
    va_end(args);
    snprintf(e->param, sizeof e->param, "%s", param ? param : "");
    mqa_one_line(e->param);
    return false;
}

bool mqa_api_refuse(mqa_api_error *e, int status, const char *type, const char *code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fill(e, status, type, code, fmt, args);
    va_end(args);
    return false;
}

bool mqa_api_no_model(mqa_api_error *e, const char *model)
{
    mqa_api_refuse(e, 404, "invalid_request_error", "model_not_found",
                   "the model '%.200s' isn't here, or isn't for this key", model);
    snprintf(e->param, sizeof e->param, "model");
    return false;
}

bool mqa_api_failed(mqa_api_error *e, mqa_status status, const mqa_error *err)
{
    switch (status) {
    case MQA_ERR_INVALID_ARGUMENT:
    case MQA_ERR_UNSUPPORTED:
    case MQA_ERR_FORMAT:
    case MQA_ERR_BUDGET: /* a grammar that is too ambiguous, say */
        return mqa_api_invalid(e, NULL, "%s", err->message);
    case MQA_ERR_OUT_OF_MEMORY:
        return mqa_api_refuse(e, 503, "server_error", "out_of_memory", "%s", err->message);
    default:
        return mqa_api_refuse(e, 500, "server_error", NULL, "%s", err->message);
    }
}

json_t *mqa_api_error_json(const mqa_api_error *e)
{
    json_t *param = e->param[0] ? json_string(e->param) : json_null();
    return json_pack("{s:{s:s, s:s, s:o, s:s?}}", "error", "message", e->message, "type", e->type, "param",
                     param, "code", e->code);
}
