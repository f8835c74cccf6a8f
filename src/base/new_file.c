/* Files that appear whole or not at all.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static mqa_status fail(mqa_error *err, const char *path, int reason)
{
    return mqa_fail(err, MQA_ERR_IO, "%s: can't be written: %s", path, strerror(reason));
}

mqa_status mqa_new_file_open(const char *path, mqa_new_file *out, mqa_error *err)
{
    *out = (mqa_new_file){0};
    struct stat st;
    if (lstat(path, &st) == 0 &&
        !S_ISREG(st.st_mode)) /* renaming would replace a device, or /dev/stdout, a link */
        return mqa_fail(err, MQA_ERR_IO, "%s: not a regular file; give the path of one, or of none", path);
    const size_t size = strlen(path) + 32;
    mqa_new_file file = {.path = strdup(path), .temporary = malloc(size)};
    if (file.path == NULL || file.temporary == NULL) {
        mqa_new_file_abandon(&file);
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "%s: out of memory", path);
    }
    snprintf(file.temporary, size, "%s.%ld.part", path, (long)getpid());
    const int fd = open(file.temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    file.stream = fd < 0 ? NULL : fdopen(fd, "wb");
    if (file.stream == NULL) {
        const int reason = errno;
        mqa_status status = fail(err, file.temporary, reason);
        if (fd >= 0) close(fd), unlink(file.temporary);
        mqa_new_file_abandon(&file);
        return status;
    }
    *out = file;
    return MQA_OK;
}

mqa_status mqa_new_file_finish(mqa_new_file *file, mqa_error *err)
{
    bool ok = !ferror(file->stream); /* of an earlier write; errno is most likely still that one's */
    if (ok) {
        errno = 0;
        ok = fflush(file->stream) == 0 && fsync(fileno(file->stream)) == 0;
    }
    int reason = errno ? errno : EIO;
    if (fclose(file->stream) != 0 && ok) ok = false, reason = errno;
    if (ok && rename(file->temporary, file->path) != 0) ok = false, reason = errno;
    mqa_status status = ok ? MQA_OK : fail(err, file->path, reason);
    if (!ok) unlink(file->temporary);
    file->stream = NULL;
    mqa_new_file_abandon(file);
    return status;
}

void mqa_new_file_abandon(mqa_new_file *file)
{
    if (file->stream) {
        fclose(file->stream);
        unlink(file->temporary);
    }
    free(file->path);
    free(file->temporary);
    *file = (mqa_new_file){0};
}
