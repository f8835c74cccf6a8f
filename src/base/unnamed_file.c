/* SPDX-License-Identifier: Apache-2.0 */
#include "base/unnamed_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

static const char prefix[] = "mqa-unnamed.";

static mqa_status fail(mqa_error *err, const char *folder)
{
    return mqa_fail(err, MQA_ERR_IO, "%s: no file can be made: %s", folder, strerror(errno));
}

mqa_status mqa_unnamed_file_open_named(const char *folder, int *fd, mqa_error *err)
{
    char path[4096];
    const int n = snprintf(path, sizeof path, "%s/%sXXXXXX", folder, prefix);
    if (n < 0 || (size_t)n >= sizeof path)
        return mqa_fail(err, MQA_ERR_IO, "%.100s…: the path is too long", folder);
    *fd = mkostemp(path, O_CLOEXEC);
    if (*fd < 0) return fail(err, folder);
    (void)unlink(path); /* or somebody has cleaned */
    return MQA_OK;
}

mqa_status mqa_unnamed_file_open(const char *folder, int *fd, mqa_error *err)
{
#ifdef O_TMPFILE
    *fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, S_IRUSR | S_IWUSR);
    if (*fd >= 0) return MQA_OK;
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) return fail(err, folder);
#endif
    return mqa_unnamed_file_open_named(folder, fd, err);
}

mqa_status mqa_unnamed_files_clean(const char *folder, mqa_error *err)
{
    DIR *dir = opendir(folder);
    if (!dir) return mqa_fail(err, MQA_ERR_IO, "%s: can't be read: %s", folder, strerror(errno));
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (strncmp(entry->d_name, prefix, sizeof prefix - 1) == 0)
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    return MQA_OK;
}

/* ---- whole pieces ---- */

static bool interrupted(ssize_t n)
{
    return n < 0 && errno == EINTR;
}

mqa_status mqa_file_write_at(int fd, size_t offset, const void *bytes, size_t n, mqa_error *err)
{
    for (size_t done = 0; done < n;) {
        const ssize_t part = pwrite(fd, (const char *)bytes + done, n - done, (off_t)(offset + done));
        if (interrupted(part)) continue;
        if (part <= 0)
            return mqa_fail(err, MQA_ERR_IO, "%zu bytes at %zu can't be written: %s", n, offset,
                            part < 0 ? strerror(errno) : "nothing more is taken");
        done += (size_t)part;
    }
    return MQA_OK;
}

mqa_status mqa_file_read_at(int fd, size_t offset, void *bytes, size_t n, mqa_error *err)
{
    for (size_t done = 0; done < n;) {
        const ssize_t part = pread(fd, (char *)bytes + done, n - done, (off_t)(offset + done));
        if (interrupted(part)) continue;
        if (part < 0)
            return mqa_fail(err, MQA_ERR_IO, "%zu bytes at %zu can't be read: %s", n, offset,
                            strerror(errno));
        if (part == 0)
            return mqa_fail(err, MQA_ERR_FORMAT, "it ends at byte %zu, within %zu bytes at %zu",
                            offset + done, n, offset);
        done += (size_t)part;
    }
    return MQA_OK;
}
