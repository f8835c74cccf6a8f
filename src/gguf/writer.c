/* Writes GGUF files: metadata and tensor infos grow as bytes in memory, tensors' data is borrowed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gguf/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/new_file.h"
#include "base/utf8.h"
#include "gguf/reader.h"

typedef struct buffer {
    uint8_t *data;
    size_t size, capacity;
} buffer;

typedef struct entry {
    const char *name; /* first: mqa_gguf_sort_names */
    const void *data; /* tensors: borrowed */
    size_t bytes;
    size_t offset_at; /* tensors: where in infos the offset stands */
} entry;

typedef struct entries {
    entry *data;
    size_t n, capacity;
} entries;

struct mqa_gguf_writer {
    buffer values, infos;
    entries keys, tensors;
    uint32_t alignment;
    mqa_error first; /* of the add functions */
};

/* Room for one more element of this size. */
static bool grow(void **data, size_t n, size_t more, size_t *capacity, size_t size)
{
    size_t needed, bytes;
    if (!mqa_add(n, more, &needed)) return false;
    if (needed <= *capacity) return true;
    const size_t wanted = needed < 16 ? 16 : needed + needed / 2;
    void *moved = mqa_mul(wanted, size, &bytes) ? realloc(*data, bytes) : NULL;
    if (moved == NULL) return false;
    *data = moved;
    *capacity = wanted;
    return true;
}

static void fail_memory(mqa_gguf_writer *w, const char *name)
{
    if (w->first.status == MQA_OK) mqa_fail(&w->first, MQA_ERR_OUT_OF_MEMORY, "'%s': out of memory", name);
}

static void put(mqa_gguf_writer *w, buffer *b, const void *data, size_t size)
{
    if (w->first.status != MQA_OK || size == 0) return;
    if (!grow((void **)&b->data, b->size, size, &b->capacity, 1)) {
        fail_memory(w, "GGUF writer");
        return;
    }
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void put_integer(mqa_gguf_writer *w, buffer *b, uint64_t value, size_t bytes)
{
    uint8_t le[8];
    for (size_t i = 0; i < 8; i++) le[i] = (uint8_t)(value >> (8 * i));
    put(w, b, le, bytes);
}

static void put_str(mqa_gguf_writer *w, buffer *b, const char *data, size_t size)
{
    put_integer(w, b, size, 8);
    put(w, b, data, size);
}

/* Elements of the machine's own byte order, which for GGUF must be little endian: so is every machine we
 * build for; put_integer where another comes. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "put_elements writes memory as it is");
static void put_elements(mqa_gguf_writer *w, mqa_gguf_value_type type, const void *values, size_t count)
{
    put(w, &w->values, values, count * mqa_gguf_value_bytes(type));
}

/* Notes a key's or tensor's name. NULL: something is wrong, now or before. */
static entry *add_entry(mqa_gguf_writer *w, entries *list, const char *name, size_t max_length, size_t max_n)
{
    if (w->first.status != MQA_OK) return NULL;
    const size_t length = name ? strlen(name) : 0;
    if (length == 0 || length > max_length || !mqa_utf8_valid((const uint8_t *)name, length)) {
        mqa_fail(&w->first, MQA_ERR_INVALID_ARGUMENT, "'%.80s': a name of 1 to %zu bytes of UTF-8 is needed",
                 name ? name : "", max_length);
        return NULL;
    }
    if (list->n == max_n) {
        mqa_fail(&w->first, MQA_ERR_INVALID_ARGUMENT, "'%s': more than %zu of its kind", name, max_n);
        return NULL;
    }
    char *copy = strdup(name);
    if (copy == NULL || !grow((void **)&list->data, list->n, 1, &list->capacity, sizeof *list->data)) {
        free(copy);
        fail_memory(w, name);
        return NULL;
    }
    entry *added = &list->data[list->n++];
    *added = (entry){.name = copy};
    return added;
}

static bool add_key(mqa_gguf_writer *w, const char *key, uint32_t type)
{
    if (add_entry(w, &w->keys, key, MQA_GGUF_MAX_KEY, MQA_GGUF_MAX_VALUES) == NULL) return false;
    put_str(w, &w->values, key, strlen(key));
    put_integer(w, &w->values, type, 4);
    return true;
}

static bool fixed_type(mqa_gguf_writer *w, const char *key, mqa_gguf_value_type type)
{
    if (mqa_gguf_value_bytes(type) > 0) return true;
    if (w->first.status == MQA_OK)
        mqa_fail(&w->first, MQA_ERR_INVALID_ARGUMENT, "'%s': %s has no fixed size", key ? key : "",
                 mqa_gguf_value_type_name(type));
    return false;
}

mqa_status mqa_gguf_writer_create(mqa_gguf_writer **out, mqa_error *err)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "GGUF writer: out of memory");
    (*out)->alignment = MQA_GGUF_ALIGNMENT;
    return MQA_OK;
}

static void free_entries(entries *list)
{
    for (size_t i = 0; i < list->n; i++) free((void *)list->data[i].name);
    free(list->data);
}

void mqa_gguf_writer_destroy(mqa_gguf_writer **writer)
{
    if (writer == NULL || *writer == NULL) return;
    free((*writer)->values.data);
    free((*writer)->infos.data);
    free_entries(&(*writer)->keys);
    free_entries(&(*writer)->tensors);
    free(*writer);
    *writer = NULL;
}

void mqa_gguf_writer_add_scalar(mqa_gguf_writer *w, const char *key, mqa_gguf_value_type type,
                                const void *value)
{
    if (fixed_type(w, key, type) && add_key(w, key, type)) put_elements(w, type, value, 1);
}

void mqa_gguf_writer_add_u32(mqa_gguf_writer *w, const char *key, uint32_t value)
{
    mqa_gguf_writer_add_scalar(w, key, MQA_GGUF_VALUE_U32, &value);
}

void mqa_gguf_writer_add_f32(mqa_gguf_writer *w, const char *key, float value)
{
    mqa_gguf_writer_add_scalar(w, key, MQA_GGUF_VALUE_F32, &value);
}

void mqa_gguf_writer_add_bool(mqa_gguf_writer *w, const char *key, bool value)
{
    mqa_gguf_writer_add_scalar(w, key, MQA_GGUF_VALUE_BOOL, &(uint8_t){value});
}

void mqa_gguf_writer_add_str(mqa_gguf_writer *w, const char *key, const char *value)
{
    if (add_key(w, key, MQA_GGUF_VALUE_STR)) put_str(w, &w->values, value, strlen(value));
}

static bool add_array(mqa_gguf_writer *w, const char *key, mqa_gguf_value_type type, size_t count)
{
    if (!add_key(w, key, MQA_GGUF_VALUE_ARRAY)) return false;
    put_integer(w, &w->values, type, 4);
    put_integer(w, &w->values, count, 8);
    return true;
}

void mqa_gguf_writer_add_array(mqa_gguf_writer *w, const char *key, mqa_gguf_value_type type,
                               const void *values, size_t count)
{
    if (fixed_type(w, key, type) && add_array(w, key, type, count)) put_elements(w, type, values, count);
}

void mqa_gguf_writer_add_strs(mqa_gguf_writer *w, const char *key, const mqa_gguf_str *values, size_t count)
{
    if (!add_array(w, key, MQA_GGUF_VALUE_STR, count)) return;
    for (size_t i = 0; i < count; i++) put_str(w, &w->values, values[i].data, values[i].size);
}

void mqa_gguf_writer_add_value(mqa_gguf_writer *w, const mqa_gguf_value *value)
{
    if (value->is_array ? add_array(w, value->key, value->type, value->count)
                        : add_key(w, value->key, value->type))
        put(w, &w->values, value->data, value->size);
}

void mqa_gguf_writer_set_alignment(mqa_gguf_writer *w, uint32_t alignment)
{
    if (alignment < MQA_GGUF_MIN_ALIGNMENT || alignment > MQA_GGUF_MAX_ALIGNMENT ||
        (alignment & (alignment - 1))) {
        if (w->first.status == MQA_OK)
            mqa_fail(&w->first, MQA_ERR_INVALID_ARGUMENT, "alignment %u is not a power of two from %d to %u",
                     alignment, MQA_GGUF_MIN_ALIGNMENT, MQA_GGUF_MAX_ALIGNMENT);
        return;
    }
    w->alignment = alignment;
    mqa_gguf_writer_add_u32(w, "general.alignment", alignment);
}

static bool tensor_bytes(uint32_t type, uint32_t n_dims, const size_t *dims, size_t *bytes)
{
    const mqa_gguf_type_info *info = mqa_gguf_type_find(type);
    size_t n = 1;
    if (info == NULL || n_dims > MQA_GGUF_MAX_DIMS || (n_dims ? dims[0] : 1) % info->block_values != 0)
        return false;
    for (uint32_t d = 0; d < n_dims; d++)
        if (dims[d] == 0 || !mqa_mul(n, dims[d], &n)) return false;
    return mqa_mul(n / info->block_values, info->block_bytes, bytes);
}

void mqa_gguf_writer_add_tensor(mqa_gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims,
                                const size_t *dims, const void *data)
{
    size_t bytes;
    entry *tensor = add_entry(w, &w->tensors, name, MQA_GGUF_MAX_NAME, MQA_GGUF_MAX_TENSORS);
    if (tensor == NULL) return;
    if (!tensor_bytes(type, n_dims, dims, &bytes)) {
        mqa_fail(&w->first, MQA_ERR_INVALID_ARGUMENT, "tensor '%s': its dims don't fit type %s", name,
                 mqa_gguf_type_name(type));
        return;
    }
    put_str(w, &w->infos, name, strlen(name));
    put_integer(w, &w->infos, n_dims, 4);
    for (uint32_t d = 0; d < n_dims; d++) put_integer(w, &w->infos, dims[d], 8);
    put_integer(w, &w->infos, type, 4);
    *tensor = (entry){.name = tensor->name, .data = data, .bytes = bytes, .offset_at = w->infos.size};
    put_integer(w, &w->infos, 0, 8); /* by place_tensors, when the alignment is known */
}

/* The offsets, into a copy of infos. */
static void place_tensors(const mqa_gguf_writer *w, uint8_t *infos)
{
    size_t offset = 0;
    for (size_t i = 0; i < w->tensors.n; i++) {
        const entry *tensor = &w->tensors.data[i];
        for (size_t b = 0; b < 8; b++) infos[tensor->offset_at + b] = (uint8_t)((uint64_t)offset >> (8 * b));
        offset += mqa_round_up(tensor->bytes, w->alignment); /* the data is in memory, so this can't wrap */
    }
}

static mqa_status refuse_duplicates(const entries *list, const char *what, mqa_error *err)
{
    if (list->n == 0) return MQA_OK;
    const void **order = malloc(list->n * sizeof *order);
    if (order == NULL) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "GGUF writer: out of memory");
    for (size_t i = 0; i < list->n; i++) order[i] = &list->data[i];
    const char *twice = mqa_gguf_sort_names(order, list->n);
    free(order);
    if (twice) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "%s '%s' was added twice", what, twice);
    return MQA_OK;
}

static bool pad(FILE *f, size_t position, size_t alignment)
{
    for (size_t n = mqa_round_up(position, alignment) - position; n > 0; n--)
        if (putc(0, f) == EOF) return false;
    return true;
}

static bool write_bytes(FILE *f, const void *data, size_t size)
{
    return size == 0 || fwrite(data, 1, size, f) == size;
}

/* Stops at the first failure, which f remembers. */
static void write_all(const mqa_gguf_writer *w, const uint8_t *infos, FILE *f)
{
    const uint32_t head[2] = {MQA_GGUF_MAGIC, 3};
    const uint64_t counts[2] = {w->tensors.n, w->keys.n};
    bool ok = write_bytes(f, head, sizeof head) && write_bytes(f, counts, sizeof counts) &&
              write_bytes(f, w->values.data, w->values.size) && write_bytes(f, infos, w->infos.size) &&
              pad(f, sizeof head + sizeof counts + w->values.size + w->infos.size, w->alignment);
    for (size_t i = 0; ok && i < w->tensors.n; i++)
        ok = write_bytes(f, w->tensors.data[i].data, w->tensors.data[i].bytes) &&
             pad(f, w->tensors.data[i].bytes, w->alignment);
}

mqa_status mqa_gguf_writer_finish(const mqa_gguf_writer *w, const char *path, mqa_error *err)
{
    if (w->first.status != MQA_OK) return mqa_fail(err, w->first.status, "%s: %s", path, w->first.message);
    MQA_TRY(refuse_duplicates(&w->keys, "key", err));
    MQA_TRY(refuse_duplicates(&w->tensors, "tensor", err));
    uint8_t *infos = malloc(w->infos.size + 1);
    if (infos == NULL) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "%s: out of memory", path);
    if (w->infos.size) memcpy(infos, w->infos.data, w->infos.size);
    place_tensors(w, infos);
    mqa_new_file file;
    mqa_status status = mqa_new_file_open(path, &file, err);
    if (status == MQA_OK) {
        write_all(w, infos, file.stream);
        status = mqa_new_file_finish(&file, err);
    }
    free(infos);
    return status;
}
