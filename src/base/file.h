/* Files: read-only maps and a cursor that cannot leave them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_BASE_FILE_H
#define MQA_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct mqa_file {
    const uint8_t *data;
    size_t size;
    char *path; /* as given, for messages */
} mqa_file;

/* Regular files only. A file that is cut short by someone else while it is mapped ends the process by
 * SIGBUS where the lost part is read; nothing portable prevents that. */
mqa_status mqa_file_map(const char *path, mqa_file *out, mqa_error *err);
void mqa_file_unmap(mqa_file *file);
/* Tells the kernel that [offset, offset + size) won't be read again, so its pages can go. */
void mqa_file_give_back(const mqa_file *file, size_t offset, size_t size);

/* Little-endian reads from [data, data + size). After a read past the end, ok is false, every further
 * read gives 0, and position stays where the first failure was. */
typedef struct mqa_cursor {
    const uint8_t *data;
    size_t size, position;
    bool ok;
} mqa_cursor;

mqa_cursor mqa_cursor_make(const void *data, size_t size);
uint8_t mqa_cursor_u8(mqa_cursor *c);
uint16_t mqa_cursor_u16(mqa_cursor *c);
uint32_t mqa_cursor_u32(mqa_cursor *c);
uint64_t mqa_cursor_u64(mqa_cursor *c);
float mqa_cursor_f32(mqa_cursor *c);
double mqa_cursor_f64(mqa_cursor *c);
/* n bytes in place, or NULL. */
const uint8_t *mqa_cursor_bytes(mqa_cursor *c, size_t n);

#endif
