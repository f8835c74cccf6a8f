/* SPDX-License-Identifier: Apache-2.0 */
#include "server/state.h"

#include <stdio.h>

#include "base/folders.h"

mqa_status mqa_state_folder(const char *given, char *out, size_t room, mqa_error *err)
{
    if (!given) {
        if (mqa_user_folder("XDG_STATE_HOME", ".local/state", out, room, NULL) != MQA_OK)
            return mqa_fail(err, MQA_ERR_IO, "no home folder to keep the state in: give --state DIR");
        return mqa_make_parents(out, 0700, err);
    }
    const int n = snprintf(out, room, "%s", given);
    if (n <= 0 || (size_t)n >= room)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "the state folder's name is empty or too long");
    return MQA_OK;
}
