/* SPDX-License-Identifier: Apache-2.0 */
#include "base/folders.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

mqa_status mqa_user_folder(const char *variable, const char *otherwise, char *out, size_t room,
                           mqa_error *err)
{
    const char *own = getenv(variable), *home = getenv("HOME");
    int n;
    if (own && own[0] == '/')
        n = snprintf(out, room, "%s/mqa", own);
    else if (home && home[0] == '/')
        n = snprintf(out, room, "%s/%s/mqa", home, otherwise);
    else
        return mqa_fail(err, MQA_ERR_NOT_FOUND, "neither %s nor HOME says where to keep files", variable);
    if (n < 0 || (size_t)n >= room)
        return mqa_fail(err, MQA_ERR_IO, "the path of the folder by %s or HOME is too long", variable);
    return MQA_OK;
}

mqa_status mqa_make_parents(const char *path, unsigned mode, mqa_error *err)
{
    char *folder = strdup(path);
    if (!folder) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a path");
    mqa_status status = MQA_OK;
    for (char *slash = strchr(folder + (*folder != 0), '/'); slash && status == MQA_OK;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(folder, mode) != 0 && errno != EEXIST)
            status = mqa_fail(err, MQA_ERR_IO, "%s: %s", folder, strerror(errno));
        *slash = '/';
    }
    free(folder);
    return status;
}
