/* Status names and the one place where an error's text is made.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "mqa/version.h"

static const struct {
    const char *name, *message;
} statuses[] = {
    [MQA_OK] = {"MQA_OK", "no error"},
    [MQA_ERR_INVALID_ARGUMENT] = {"MQA_ERR_INVALID_ARGUMENT", "an argument is out of range"},
    [MQA_ERR_OUT_OF_MEMORY] = {"MQA_ERR_OUT_OF_MEMORY", "out of memory"},
    [MQA_ERR_BUDGET] = {"MQA_ERR_BUDGET", "a budget would be exceeded"},
    [MQA_ERR_UNSUPPORTED] = {"MQA_ERR_UNSUPPORTED", "not supported by this build or this CPU"},
    [MQA_ERR_IO] = {"MQA_ERR_IO", "the operating system refused"},
    [MQA_ERR_FORMAT] = {"MQA_ERR_FORMAT", "the file's content is damaged"},
    [MQA_ERR_NOT_FINITE] = {"MQA_ERR_NOT_FINITE", "a number is NaN or infinite"},
    [MQA_ERR_CANCELLED] = {"MQA_ERR_CANCELLED", "stopped on request"},
    [MQA_ERR_NOT_FOUND] = {"MQA_ERR_NOT_FOUND", "not found"},
    [MQA_ERR_INTERNAL] = {"MQA_ERR_INTERNAL", "a bug in mqa: please report it"},
};

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)

const char *mqa_version(void)
{
    return TEXT(MQA_VERSION_MAJOR) "." TEXT(MQA_VERSION_MINOR) "." TEXT(MQA_VERSION_PATCH);
}

static int known(mqa_status status)
{
    return (unsigned)status < sizeof statuses / sizeof statuses[0];
}

const char *mqa_status_name(mqa_status status)
{
    return known(status) ? statuses[status].name : "MQA_ERR_?";
}

const char *mqa_status_message(mqa_status status)
{
    return known(status) ? statuses[status].message : "an unknown status";
}

void mqa_one_line(char *text)
{
    uint8_t *p = (uint8_t *)text;
    for (size_t left = strlen(text), length; left > 0; p += length, left -= length) {
        length = mqa_utf8_length(p, left);
        const bool control = p[0] < 0x20 || p[0] == 0x7f || (p[0] == 0xc2 && length == 2 && p[1] < 0xa0);
        if (length == 0 || control) {
            *p = '?';
            length = 1; /* what is left of a C1 control is no character and becomes '?' too */
        }
    }
}

mqa_status mqa_fail(mqa_error *err, mqa_status status, const char *fmt, ...)
{
    if (err == NULL) return status;
    char text[sizeof err->message]; /* not in place: an argument may be err->message itself */
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(text, sizeof text, fmt, args) < 0) text[0] = '\0';
    va_end(args);
    mqa_one_line(text);
    err->status = status;
    memcpy(err->message, text, sizeof text);
    return status;
}
