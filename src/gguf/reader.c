/* Parses one GGUF file. Each check stands before the first use of what it checks.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gguf/reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"

typedef struct reader {
    mqa_gguf_part *part;
    mqa_cursor c;
    uint32_t alignment;
    mqa_error *err;
} reader;

static const char *path_of(const reader *r)
{
    return r->part->file.path;
}

static size_t remaining(const reader *r)
{
    return r->c.size - r->c.position;
}

static mqa_status cut_short(const reader *r, const char *what, size_t i)
{
    return mqa_fail(r->err, MQA_ERR_FORMAT, "%s: ends at byte %zu, within %s %zu; get the file again",
                    path_of(r), r->c.size, what, i);
}

static mqa_status out_of_memory(const reader *r)
{
    return mqa_fail(r->err, MQA_ERR_OUT_OF_MEMORY, "%s: out of memory", path_of(r));
}

/* A key or a tensor's name, copied and terminated. */
static mqa_status read_name(reader *r, const char *what, size_t i, size_t max, const char **out)
{
    const uint64_t size = mqa_cursor_u64(&r->c);
    if (!r->c.ok) return cut_short(r, what, i);
    if (size == 0 || size > max)
        return mqa_fail(r->err, MQA_ERR_FORMAT, "%s: %s %zu: its name has %" PRIu64 " bytes, not 1 to %zu",
                        path_of(r), what, i, size, max);
    const uint8_t *bytes = mqa_cursor_bytes(&r->c, (size_t)size);
    if (bytes == NULL) return cut_short(r, what, i);
    if (memchr(bytes, 0, (size_t)size) || !mqa_utf8_valid(bytes, (size_t)size))
        return mqa_fail(r->err, MQA_ERR_FORMAT, "%s: %s %zu: its name is not UTF-8, or contains NUL",
                        path_of(r), what, i);
    char *name = malloc((size_t)size + 1);
    if (name == NULL) return out_of_memory(r);
    memcpy(name, bytes, (size_t)size);
    name[size] = '\0';
    *out = name;
    return MQA_OK;
}

static mqa_status read_strings(reader *r, mqa_gguf_value *value)
{
    uint64_t *index = NULL;
    if (value->is_array && value->count > 0) {
        index = malloc((value->count + MQA_GGUF_INDEX_STRIDE - 1) / MQA_GGUF_INDEX_STRIDE * sizeof *index);
        if (index == NULL) return out_of_memory(r);
        value->index = index;
    }
    const size_t start = r->c.position;
    for (size_t i = 0; i < value->count; i++) {
        if (index && i % MQA_GGUF_INDEX_STRIDE == 0) index[i / MQA_GGUF_INDEX_STRIDE] = r->c.position - start;
        const uint64_t size = mqa_cursor_u64(&r->c);
        if (size > remaining(r) || mqa_cursor_bytes(&r->c, (size_t)size) == NULL)
            return mqa_fail(r->err, MQA_ERR_FORMAT,
                            "%s: key '%s': string %zu (%" PRIu64 " bytes) goes past the end", path_of(r),
                            value->key, i, size);
    }
    value->data = r->c.data + start;
    value->size = r->c.position - start;
    return MQA_OK;
}

static mqa_status read_value(reader *r, size_t i, mqa_gguf_value *value)
{
    MQA_TRY(read_name(r, "key", i, MQA_GGUF_MAX_KEY, &value->key));
    uint32_t type = mqa_cursor_u32(&r->c);
    uint64_t count = 1;
    if (type == MQA_GGUF_VALUE_ARRAY) {
        value->is_array = true;
        type = mqa_cursor_u32(&r->c);
        count = mqa_cursor_u64(&r->c);
    }
    if (!r->c.ok) return cut_short(r, "key", i);
    if (type == MQA_GGUF_VALUE_ARRAY)
        return mqa_fail(r->err, MQA_ERR_UNSUPPORTED, "%s: key '%s': arrays of arrays are not supported",
                        path_of(r), value->key);
    const size_t bytes = type == MQA_GGUF_VALUE_STR ? sizeof(uint64_t) : mqa_gguf_value_bytes(type);
    if (bytes == 0)
        return mqa_fail(r->err, MQA_ERR_FORMAT, "%s: key '%s': unknown value type %u", path_of(r), value->key,
                        type);
    if (count > remaining(r) / bytes)
        return mqa_fail(r->err, MQA_ERR_FORMAT,
                        "%s: key '%s': %" PRIu64 " values of %s go past the end of the file", path_of(r),
                        value->key, count, mqa_gguf_value_type_name(type));
    value->type = type;
    value->count = (size_t)count;
    if (type == MQA_GGUF_VALUE_STR) return read_strings(r, value);
    value->size = value->count * bytes;
    value->data = mqa_cursor_bytes(&r->c, value->size);
    return MQA_OK;
}

static mqa_status read_values(reader *r, uint64_t n)
{
    mqa_gguf_part *part = r->part;
    const size_t least = 8 + 1 + 4 + 1; /* of a key: its length, a letter, a type, a byte */
    if (n > MQA_GGUF_MAX_VALUES || n > remaining(r) / least)
        return mqa_fail(r->err, MQA_ERR_FORMAT, "%s: header: %" PRIu64 " keys (at most %d, in %zu bytes)",
                        path_of(r), n, MQA_GGUF_MAX_VALUES, remaining(r));
    if (n == 0) return MQA_OK;
    part->values = calloc((size_t)n, sizeof *part->values);
    part->by_key = calloc((size_t)n, sizeof *part->by_key);
    if (part->values == NULL || part->by_key == NULL) return out_of_memory(r);
    for (size_t i = 0; i < n; i++) {
        part->n_values = i + 1; /* what close has to free, a half-read one included */
        part->by_key[i] = &part->values[i];
        MQA_TRY(read_value(r, i, &part->values[i]));
    }
    const char *twice = mqa_gguf_sort_names((const void **)part->by_key, part->n_values);
    if (twice) return mqa_fail(r->err, MQA_ERR_FORMAT, "%s: key '%s' is there twice", path_of(r), twice);
    return MQA_OK;
}

static mqa_status read_alignment(reader *r)
{
    const mqa_gguf_value *value = mqa_gguf_part_find(r->part, "general.alignment");
    r->alignment = MQA_GGUF_ALIGNMENT;
    if (value == NULL) return MQA_OK;
    __int128 alignment = 0;
    MQA_TRY(mqa_gguf_value_integer(value, path_of(r), MQA_GGUF_MIN_ALIGNMENT, MQA_GGUF_MAX_ALIGNMENT,
                                   &alignment, r->err));
    if (alignment & (alignment - 1))
        return mqa_fail(r->err, MQA_ERR_FORMAT, "%s: general.alignment is %u, not a power of two", path_of(r),
                        (unsigned)alignment);
    r->alignment = (uint32_t)alignment;
    return MQA_OK;
}

static mqa_status read_dims(reader *r, mqa_gguf_tensor *tensor)
{
    if (tensor->n_dims > MQA_GGUF_MAX_DIMS)
        return mqa_fail(r->err, MQA_ERR_FORMAT, "%s: tensor '%s': %u dimensions, at most %d", path_of(r),
                        tensor->name, tensor->n_dims, MQA_GGUF_MAX_DIMS);
    tensor->n_values = 1;
    for (uint32_t d = 0; d < MQA_GGUF_MAX_DIMS; d++) {
        const uint64_t dim = d < tensor->n_dims ? mqa_cursor_u64(&r->c) : 1;
        if (!r->c.ok) break; /* said by the caller */
        if (dim == 0 || dim > PTRDIFF_MAX || !mqa_mul(tensor->n_values, (size_t)dim, &tensor->n_values))
            return mqa_fail(r->err, MQA_ERR_FORMAT, "%s: tensor '%s': dimension %u is %" PRIu64, path_of(r),
                            tensor->name, d, dim);
        tensor->dims[d] = (size_t)dim;
    }
    return MQA_OK;
}

static mqa_status read_tensor(reader *r, size_t i, mqa_gguf_tensor *tensor)
{
    MQA_TRY(read_name(r, "tensor", i, MQA_GGUF_MAX_NAME, &tensor->name));
    tensor->n_dims = mqa_cursor_u32(&r->c);
    if (r->c.ok) MQA_TRY(read_dims(r, tensor));
    tensor->type = mqa_cursor_u32(&r->c);
    const uint64_t offset = mqa_cursor_u64(&r->c);
    if (!r->c.ok) return cut_short(r, "tensor", i);

    const mqa_gguf_type_info *info = mqa_gguf_type_find(tensor->type);
    if (info == NULL)
        return mqa_fail(r->err, MQA_ERR_UNSUPPORTED, "%s: tensor '%s': unknown type %u", path_of(r),
                        tensor->name, tensor->type);
    if (tensor->dims[0] % info->block_values != 0)
        return mqa_fail(r->err, MQA_ERR_FORMAT,
                        "%s: tensor '%s': rows of %zu values are no whole blocks of %s (%u)", path_of(r),
                        tensor->name, tensor->dims[0], info->name, info->block_values);
    if (!mqa_mul(tensor->n_values / info->block_values, info->block_bytes, &tensor->n_bytes))
        return mqa_fail(r->err, MQA_ERR_FORMAT, "%s: tensor '%s': %zu values are too many", path_of(r),
                        tensor->name, tensor->n_values);
    if (offset % r->alignment != 0)
        return mqa_fail(r->err, MQA_ERR_FORMAT,
                        "%s: tensor '%s': its offset %" PRIu64 " is not aligned to %u", path_of(r),
                        tensor->name, offset, r->alignment);
    if (offset > r->c.size)
        return mqa_fail(r->err, MQA_ERR_FORMAT,
                        "%s: tensor '%s': its offset %" PRIu64 " is past the end of the file", path_of(r),
                        tensor->name, offset);
    tensor->offset = (size_t)offset; /* from the data section, whose place isn't known yet */
    return MQA_OK;
}

static int compare_offsets(const void *a, const void *b)
{
    const mqa_gguf_tensor *x = *(const mqa_gguf_tensor *const *)a, *y = *(const mqa_gguf_tensor *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Two tensors in one place would let a small file ask for any amount of memory once it is unpacked. */
static mqa_status refuse_overlaps(const reader *r)
{
    const mqa_gguf_part *part = r->part;
    const mqa_gguf_tensor **order = malloc(part->n_tensors * sizeof *order);
    if (order == NULL) return out_of_memory(r);
    for (size_t i = 0; i < part->n_tensors; i++) order[i] = &part->tensors[i];
    qsort(order, part->n_tensors, sizeof *order, compare_offsets);
    mqa_status status = MQA_OK;
    for (size_t i = 1; i < part->n_tensors && status == MQA_OK; i++)
        if (order[i]->offset - order[i - 1]->offset < order[i - 1]->n_bytes)
            status = mqa_fail(r->err, MQA_ERR_FORMAT, "%s: tensors '%s' and '%s' overlap", path_of(r),
                              order[i - 1]->name, order[i]->name);
    free(order);
    return status;
}

static mqa_status place_tensors(const reader *r)
{
    mqa_gguf_part *part = r->part;
    const size_t size = part->file.size, base = mqa_round_up(r->c.position, r->alignment);
    for (size_t i = 0; i < part->n_tensors; i++) {
        mqa_gguf_tensor *tensor = &part->tensors[i];
        if (base > size || tensor->offset > size - base || tensor->n_bytes > size - base - tensor->offset)
            return mqa_fail(
                r->err, MQA_ERR_FORMAT,
                "%s: tensor '%s': its %zu bytes go past the end of the file (%zu bytes); get it again",
                path_of(r), tensor->name, tensor->n_bytes, size);
        tensor->offset += base;
        tensor->data = part->file.data + tensor->offset;
    }
    return refuse_overlaps(r);
}

static mqa_status read_tensors(reader *r, uint64_t n, size_t max)
{
    mqa_gguf_part *part = r->part;
    const size_t least = 8 + 1 + 4 + 4 + 8; /* of a scalar with a name of one letter */
    if (n > max || n > remaining(r) / least)
        return mqa_fail(r->err, MQA_ERR_FORMAT, "%s: header: %" PRIu64 " tensors (at most %zu, in %zu bytes)",
                        path_of(r), n, max, remaining(r));
    if (n == 0) return MQA_OK;
    part->tensors = calloc((size_t)n, sizeof *part->tensors);
    if (part->tensors == NULL) return out_of_memory(r);
    for (size_t i = 0; i < n; i++) {
        part->n_tensors = i + 1;
        MQA_TRY(read_tensor(r, i, &part->tensors[i]));
    }
    return place_tensors(r);
}

static mqa_status read_part(reader *r, size_t max_tensors)
{
    mqa_gguf_part *part = r->part;
    const uint32_t magic = mqa_cursor_u32(&r->c);
    if (!r->c.ok || magic != MQA_GGUF_MAGIC)
        return mqa_fail(r->err, MQA_ERR_FORMAT, "%s: not a GGUF file (its first four bytes aren't 'GGUF')",
                        path_of(r));
    part->version = mqa_cursor_u32(&r->c);
    const uint64_t n_tensors = mqa_cursor_u64(&r->c), n_values = mqa_cursor_u64(&r->c);
    if (!r->c.ok)
        return mqa_fail(r->err, MQA_ERR_FORMAT, "%s: ends at byte %zu, within the header; get the file again",
                        path_of(r), r->c.size);
    if (part->version != 0 && (part->version & 0xffff) == 0)
        return mqa_fail(r->err, MQA_ERR_UNSUPPORTED,
                        "%s: a big-endian GGUF file; convert it to little endian", path_of(r));
    if (part->version != 2 && part->version != 3)
        return mqa_fail(r->err, MQA_ERR_UNSUPPORTED, "%s: GGUF version %u; versions 2 and 3 can be read",
                        path_of(r), part->version);
    MQA_TRY(read_values(r, n_values));
    MQA_TRY(read_alignment(r));
    return read_tensors(r, n_tensors, max_tensors);
}

mqa_status mqa_gguf_part_open(const char *path, size_t max_tensors, mqa_gguf_part *out, mqa_error *err)
{
    *out = (mqa_gguf_part){0};
    MQA_TRY(mqa_file_map(path, &out->file, err));
    reader r = {.part = out, .c = mqa_cursor_make(out->file.data, out->file.size), .err = err};
    const mqa_status status = read_part(&r, max_tensors);
    if (status != MQA_OK) mqa_gguf_part_close(out);
    return status;
}

void mqa_gguf_part_close(mqa_gguf_part *part)
{
    for (size_t i = 0; i < part->n_values; i++) {
        free((void *)part->values[i].key);
        free((void *)part->values[i].index);
    }
    for (size_t i = 0; i < part->n_tensors; i++) free((void *)part->tensors[i].name);
    free(part->values);
    free(part->by_key);
    free(part->tensors);
    mqa_file_unmap(&part->file);
    *part = (mqa_gguf_part){0};
}

const mqa_gguf_value *mqa_gguf_part_find(const mqa_gguf_part *part, const char *key)
{
    return mqa_gguf_search_names((const void *const *)part->by_key, part->n_values, key);
}
