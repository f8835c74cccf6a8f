/* Files without a name, for what a process keeps on disk for itself: gone when closed, whatever ends the
 * process.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_BASE_UNNAMED_FILE_H
#define MQA_BASE_UNNAMED_FILE_H

#include <stddef.h>

#include "base/status.h"

/* One on the folder's file system, for its owner alone (0600), to read and write; *fd is the caller's. Where
 * the file system knows no such files it has a name (below) for a moment. MQA_ERR_IO. */
mqa_status mqa_unnamed_file_open(const char *folder, int *fd, mqa_error *err);
/* The second way alone: for tests. */
mqa_status mqa_unnamed_file_open_named(const char *folder, int *fd, mqa_error *err);

/* Removes names that somebody killed in that moment has left. MQA_ERR_IO where the folder can't be read. */
mqa_status mqa_unnamed_files_clean(const char *folder, mqa_error *err);

/* All n bytes at offset, or MQA_ERR_IO; reading past the end is MQA_ERR_FORMAT. */
mqa_status mqa_file_write_at(int fd, size_t offset, const void *bytes, size_t n, mqa_error *err);
mqa_status mqa_file_read_at(int fd, size_t offset, void *bytes, size_t n, mqa_error *err);

#endif
