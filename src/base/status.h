/* How code inside mqa fails: one line at the place that knows what was wrong.
 *
 *     if (n > limit) return mqa_fail(err, MQA_ERR_FORMAT, "tensor '%s': %" PRIu64 " dims", name, n);
 *     MQA_TRY(mqa_file_map(path, &file, err));
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_BASE_STATUS_H
#define MQA_BASE_STATUS_H

#include "mqa/status.h"

/* Makes text one line of valid UTF-8, in place: control characters and bytes that are no UTF-8 become '?'. */
void mqa_one_line(char *text);

/* Fills err (if not NULL), through mqa_one_line, and returns status. An argument may be err->message. */
__attribute__((format(printf, 3, 4))) mqa_status mqa_fail(mqa_error *err, mqa_status status, const char *fmt,
                                                          ...);

#define MQA_TRY(call)                                                                                        \
    do {                                                                                                     \
        mqa_status mqa_try_status_ = (call);                                                                 \
        if (mqa_try_status_ != MQA_OK) return mqa_try_status_;                                               \
    } while (0)

#endif
