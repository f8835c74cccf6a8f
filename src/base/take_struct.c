/* SPDX-License-Identifier: Apache-2.0 */
#include "base/take_struct.h"

#include <string.h>

#include "base/status.h"

mqa_status mqa_take_struct(const char *name, const void *given, void *own, size_t own_size, size_t first_size,
                           mqa_error *err)
{
    if (!given) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "%s is NULL", name);
    size_t size;
    memcpy(&size, given, sizeof size);
    /* A struct that isn't initialised is far more likely than one of 64 KiB. */
    if (size < first_size || size > 1 << 16)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "%s.struct_size is %zu: set it to sizeof(%s), %zu, or begin with the default", name,
                        size, name, own_size);
    const unsigned char *bytes = given;
    for (size_t i = own_size; i < size; i++)
        if (bytes[i] != 0)
            return mqa_fail(
                err, MQA_ERR_UNSUPPORTED,
                "%s has a field at byte %zu that this version of the library doesn't know: leave it zero, or "
                "use the library that the program was built for",
                name, i);
    const size_t common = size < own_size ? size : own_size;
    memcpy(own, given, common);
    memset((unsigned char *)own + common, 0, own_size - common);
    memcpy(own, &own_size, sizeof own_size);
    return MQA_OK;
}

void mqa_give_struct(const void *own, size_t own_size, void *out, size_t struct_size)
{
    if (!out || struct_size < sizeof struct_size) return;
    const size_t common = struct_size < own_size ? struct_size : own_size;
    memcpy(out, own, common);
    memset((unsigned char *)out + common, 0, struct_size - common);
    memcpy(out, &struct_size, sizeof struct_size);
}
