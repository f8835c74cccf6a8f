/* Status names and the one place where an error's text is made.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

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

/* Length of the printable UTF-8 character at p, or 0 where there is none (control characters, the C1
 * block, overlong forms, surrogates, a sequence cut short by the terminator). */
static size_t printable_length(const unsigned char *p)
{
    if (p[0] >= 0x20 && p[0] < 0x7f) return 1;
    const int tail1 = (p[0] && (p[1] & 0xc0) == 0x80);
    if (p[0] >= 0xc2 && p[0] <= 0xdf && tail1) return p[0] == 0xc2 && p[1] < 0xa0 ? 0 : 2;
    if (p[0] < 0xe0 || p[0] > 0xf4 || !tail1 || (p[2] & 0xc0) != 0x80) return 0;
    if (p[0] <= 0xef) {
        if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0)) return 0;
        return 3;
    }
    if ((p[3] & 0xc0) != 0x80 || (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90)) return 0;
    return 4;
}

void mqa_one_line(char *text)
{
    unsigned char *p = (unsigned char *)text;
    while (*p) {
        const size_t length = printable_length(p);
        if (length == 0) *p = '?';
        p += length ? length : 1;
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
