/* Public structs that begin with `size_t struct_size` may grow: fields are appended, never inside the size
 * that an earlier release had (padding counts), and zero means what the library did before the field was
 * there.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_BASE_TAKE_STRUCT_H
#define MQA_BASE_TAKE_STRUCT_H

#include <stddef.h>

#include "mqa/status.h"

/* Copies a caller's struct, of the size it says it has, to `own`, of own_size bytes. What an older caller
 * doesn't have becomes zero; what a newer one has beyond own_size must be zero. first_size: the struct's in
 * its first release. given NULL, or a size that never was: MQA_ERR_INVALID_ARGUMENT. */
mqa_status mqa_take_struct(const char *name, const void *given, void *own, size_t own_size, size_t first_size,
                           mqa_error *err);

/* The other way: the library's defaults into a caller's struct of struct_size bytes.
 * A size too small to hold itself is left alone: taking the struct then refuses it. */
void mqa_give_struct(const void *own, size_t own_size, void *out, size_t struct_size);

/* Nothing is released yet, so the first size is today's. */
#define MQA_TAKE(type, given, own, err) mqa_take_struct(#type, given, own, sizeof(type), sizeof(type), err)

#endif
