/* Read-only maps of files, and the cursor that reads them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint8_t nothing[1]; /* what an empty file maps to: mmap refuses length 0 */

static mqa_status map_open_file(int fd, mqa_file *file, mqa_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0) return mqa_fail(err, MQA_ERR_IO, "%s: %s", file->path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return mqa_fail(err, MQA_ERR_IO, "%s: not a regular file; give the path of one", file->path);
    if ((uintmax_t)st.st_size > PTRDIFF_MAX)
        return mqa_fail(err, MQA_ERR_IO, "%s: larger than this machine's addresses", file->path);
    file->size = (size_t)st.st_size;
    file->data = nothing;
    if (file->size == 0) return MQA_OK;
    void *data = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return mqa_fail(err, MQA_ERR_IO, "%s: can't be mapped: %s", file->path, strerror(errno));
    file->data = data;
    return MQA_OK;
}

mqa_status mqa_file_map(const char *path, mqa_file *out, mqa_error *err)
{
    *out = (mqa_file){0};
    if (path == NULL) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "no path given");
    mqa_file file = {.path = strdup(path)};
    if (file.path == NULL) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "%s: out of memory", path);
    /* O_NONBLOCK: opening a FIFO must not wait for its writer. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    mqa_status status;
    if (fd < 0)
        status =
            mqa_fail(err, errno == ENOENT ? MQA_ERR_NOT_FOUND : MQA_ERR_IO, "%s: %s", path, strerror(errno));
    else
        status = map_open_file(fd, &file, err);
    if (fd >= 0) close(fd); /* the map keeps the file */
    if (status == MQA_OK)
        *out = file;
    else
        free(file.path);
    return status;
}

void mqa_file_unmap(mqa_file *file)
{
    if (file == NULL) return;
    if (file->size > 0) munmap((void *)file->data, file->size);
    free(file->path);
    *file = (mqa_file){0};
}

void mqa_file_give_back(const mqa_file *file, size_t offset, size_t size)
{
    if (offset >= file->size || size == 0) return;
    if (size > file->size - offset) size = file->size - offset;
    /* Whole pages, outward: a page that is read after all comes back from the file. */
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t first = offset / page * page;
    madvise((uint8_t *)file->data + first, offset + size - first, MADV_DONTNEED);
}

mqa_cursor mqa_cursor_make(const void *data, size_t size)
{
    return (mqa_cursor){.data = data, .size = size, .ok = true};
}

const uint8_t *mqa_cursor_bytes(mqa_cursor *c, size_t n)
{
    if (!c->ok || n > c->size - c->position) {
        c->ok = false;
        return NULL;
    }
    const uint8_t *bytes = c->data + c->position;
    c->position += n;
    return bytes;
}

static uint64_t little_endian(mqa_cursor *c, size_t n)
{
    const uint8_t *bytes = mqa_cursor_bytes(c, n);
    uint64_t value = 0;
    if (bytes)
        for (size_t i = 0; i < n; i++) value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

uint8_t mqa_cursor_u8(mqa_cursor *c)
{
    return (uint8_t)little_endian(c, 1);
}
uint16_t mqa_cursor_u16(mqa_cursor *c)
{
    return (uint16_t)little_endian(c, 2);
}
uint32_t mqa_cursor_u32(mqa_cursor *c)
{
    return (uint32_t)little_endian(c, 4);
}
uint64_t mqa_cursor_u64(mqa_cursor *c)
{
    return little_endian(c, 8);
}

float mqa_cursor_f32(mqa_cursor *c)
{
    const uint32_t bits = mqa_cursor_u32(c);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double mqa_cursor_f64(mqa_cursor *c)
{
    const uint64_t bits = mqa_cursor_u64(c);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
