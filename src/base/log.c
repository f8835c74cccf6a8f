/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/status.h"

void mqa_log(const mqa_log_sink *sink, mqa_log_level level, const char *fmt, ...)
{
    if (sink == NULL || sink->line == NULL) return;
    char text[1024];
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(text, sizeof text, fmt, args) < 0) text[0] = '\0';
    va_end(args);
    mqa_one_line(text);
    sink->line(sink->user, level, text);
}
