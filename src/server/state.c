/* SPDX-License-Identifier: Apache-2.0 */
#include "server/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/status.h"

/* All folders above the last one. */
static mqa_status make_parents(char *path, mqa_error *err)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        const int rc = mkdir(path, 0700);
        const int why = errno;
        if (rc != 0 && why != EEXIST)
            return mqa_fail(err, MQA_ERR_IO, "state folder %s: %s", path, strerror(why));
        *slash = '/';
    }
    return MQA_OK;
}

mqa_status mqa_state_folder(const char *given, char *out, size_t room, mqa_error *err)
{
    const char *home = getenv("HOME"), *xdg = getenv("XDG_STATE_HOME");
    int n;
    if (given)
        n = snprintf(out, room, "%s", given);
    else if (xdg && *xdg == '/')
        n = snprintf(out, room, "%s/mqa", xdg);
    else if (home && *home)
        n = snprintf(out, room, "%s/.local/state/mqa", home);
    else
        return mqa_fail(err, MQA_ERR_IO, "no home folder to keep the state in: give --state DIR");
    if (n <= 0 || (size_t)n >= room)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "the state folder's name is empty or too long");
    return given ? MQA_OK : make_parents(out, err);
}
