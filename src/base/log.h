/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MQA_BASE_LOG_H
#define MQA_BASE_LOG_H

#include "mqa/context.h"

/* Hands one line to the sink's callback; nothing happens without one. */
__attribute__((format(printf, 3, 4))) void mqa_log(const mqa_log_sink *sink, mqa_log_level level,
                                                   const char *fmt, ...);

#endif
