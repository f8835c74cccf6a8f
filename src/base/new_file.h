/* Files that appear whole or not at all: written beside their name, then renamed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_BASE_NEW_FILE_H
#define MQA_BASE_NEW_FILE_H

#include <stdio.h>

#include "base/status.h"

typedef struct mqa_new_file {
    FILE *stream; /* to write to; its error flag is looked at by finish */
    char *path, *temporary;
} mqa_new_file;

/* A new file in path's folder. What is at path stays as it is until finish; it must be a regular file or
 * nothing. */
mqa_status mqa_new_file_open(const char *path, mqa_new_file *out, mqa_error *err);
/* Puts it in place, on disk, and frees *file; where anything failed since open, removes it instead. */
mqa_status mqa_new_file_finish(mqa_new_file *file, mqa_error *err);
/* Removes it and frees *file; nothing where it is finished or was never opened (all zero). */
void mqa_new_file_abandon(mqa_new_file *file);

#endif
