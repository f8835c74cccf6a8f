/* A model of one file, or of several: opening and lookup.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "gguf/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf/reader.h"

struct mqa_gguf {
    size_t n_parts, n_tensors;
    mqa_gguf_part *parts;
    const mqa_gguf_tensor **tensors; /* in the files' order */
    const mqa_gguf_tensor **by_name; /* sorted */
};

/* The end of a split file's name: number (from 1) and count, five digits each. */
#define SPLIT_SUFFIX        "-%05u-of-%05u.gguf"
#define SPLIT_SUFFIX_LENGTH 20

static mqa_status get_split(const mqa_gguf_part *part, const char *key, uint32_t max, uint32_t *out,
                            mqa_error *err)
{
    const mqa_gguf_value *value = mqa_gguf_part_find(part, key);
    if (value == NULL) return MQA_OK;
    __int128 integer = 0;
    MQA_TRY(mqa_gguf_value_integer(value, part->file.path, 0, max, &integer, err));
    *out = (uint32_t)integer;
    return MQA_OK;
}

/* path becomes the name of file number (from 0) of count. False if path isn't a split file's name. */
static bool rename_split(char *path, uint32_t own, uint32_t number, uint32_t count)
{
    const size_t length = strlen(path);
    char suffix[2 * SPLIT_SUFFIX_LENGTH];
    if (length < SPLIT_SUFFIX_LENGTH) return false;
    char *end = path + length - SPLIT_SUFFIX_LENGTH;
    snprintf(suffix, sizeof suffix, SPLIT_SUFFIX, own + 1, count);
    if (strcmp(end, suffix) != 0) return false;
    snprintf(suffix, sizeof suffix, SPLIT_SUFFIX, number + 1, count);
    memcpy(end, suffix, SPLIT_SUFFIX_LENGTH);
    return true;
}

static mqa_status open_next(mqa_gguf *gguf, uint32_t number, uint32_t count, mqa_error *err)
{
    char *path = strdup(gguf->parts[0].file.path);
    if (path == NULL)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "%s: out of memory", gguf->parts[0].file.path);
    mqa_gguf_part *part = &gguf->parts[number];
    mqa_status status = MQA_OK;
    if (!rename_split(path, 0, number, count))
        status = mqa_fail(err, MQA_ERR_FORMAT,
                          "%s: the first of %u files by split.count, but not by its name (…" SPLIT_SUFFIX
                          "); give it that name",
                          path, count, 1u, count);
    if (status == MQA_OK)
        status = mqa_gguf_part_open(path, MQA_GGUF_MAX_TENSORS - gguf->n_tensors, part, err);
    free(path);
    if (status != MQA_OK) return status;
    gguf->n_parts++;
    gguf->n_tensors += part->n_tensors;
    uint32_t its_number = UINT32_MAX, its_count = UINT32_MAX;
    MQA_TRY(get_split(part, "split.no", UINT16_MAX, &its_number, err));
    MQA_TRY(get_split(part, "split.count", UINT16_MAX, &its_count, err));
    if (its_number != number || its_count != count)
        return mqa_fail(err, MQA_ERR_FORMAT,
                        "%s: split.no and split.count are not %u and %u, as its name says", part->file.path,
                        number, count);
    return MQA_OK;
}

static mqa_status refuse_later_part(const mqa_gguf_part *part, uint32_t number, uint32_t count,
                                    mqa_error *err)
{
    char *first = strdup(part->file.path);
    mqa_status status = MQA_ERR_FORMAT;
    if (first && rename_split(first, number, 0, count))
        status = mqa_fail(err, status, "%s: file %u of %u of a split model; open the first, %s",
                          part->file.path, number + 1, count, first);
    else
        status = mqa_fail(err, status, "%s: split.no is %u of %u; open the first file of the split model",
                          part->file.path, number, count);
    free(first);
    return status;
}

static mqa_status open_parts(mqa_gguf *gguf, const char *path, mqa_error *err)
{
    gguf->parts = calloc(1, sizeof *gguf->parts);
    if (gguf->parts == NULL) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "%s: out of memory", path);
    MQA_TRY(mqa_gguf_part_open(path, MQA_GGUF_MAX_TENSORS, &gguf->parts[0], err));
    gguf->n_parts = 1;
    gguf->n_tensors = gguf->parts[0].n_tensors;

    uint32_t count = 1, number = 0, total = 0;
    MQA_TRY(get_split(&gguf->parts[0], "split.count", UINT16_MAX, &count, err));
    if (count <= 1) return MQA_OK;
    MQA_TRY(get_split(&gguf->parts[0], "split.no", UINT16_MAX, &number, err));
    if (number != 0) return refuse_later_part(&gguf->parts[0], number, count, err);
    mqa_gguf_part *parts = realloc(gguf->parts, count * sizeof *parts);
    if (parts == NULL) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "%s: out of memory", path);
    gguf->parts = parts;
    for (uint32_t i = 1; i < count; i++) MQA_TRY(open_next(gguf, i, count, err));
    total = (uint32_t)gguf->n_tensors;
    MQA_TRY(get_split(&gguf->parts[0], "split.tensors.count", INT32_MAX, &total, err));
    if (total != gguf->n_tensors)
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: split.tensors.count is %u, but its files hold %zu tensors",
                        path, total, gguf->n_tensors);
    return MQA_OK;
}

static mqa_status index_tensors(mqa_gguf *gguf, mqa_error *err)
{
    const char *path = gguf->parts[0].file.path;
    if (gguf->n_tensors == 0) return MQA_OK;
    gguf->tensors = calloc(gguf->n_tensors, sizeof *gguf->tensors);
    gguf->by_name = calloc(gguf->n_tensors, sizeof *gguf->by_name);
    if (gguf->tensors == NULL || gguf->by_name == NULL)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "%s: out of memory", path);
    size_t n = 0;
    for (size_t p = 0; p < gguf->n_parts; p++)
        for (size_t i = 0; i < gguf->parts[p].n_tensors; i++, n++) {
            gguf->parts[p].tensors[i].file = &gguf->parts[p].file;
            gguf->tensors[n] = gguf->by_name[n] = &gguf->parts[p].tensors[i];
        }
    const char *twice = mqa_gguf_sort_names((const void **)gguf->by_name, n);
    if (twice) return mqa_fail(err, MQA_ERR_FORMAT, "%s: tensor '%s' is there twice", path, twice);
    return MQA_OK;
}

mqa_status mqa_gguf_open(const char *path, mqa_gguf **out, mqa_error *err)
{
    *out = NULL;
    mqa_gguf *gguf = calloc(1, sizeof *gguf);
    if (gguf == NULL) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "out of memory");
    mqa_status status = open_parts(gguf, path, err);
    if (status == MQA_OK) status = index_tensors(gguf, err);
    if (status == MQA_OK)
        *out = gguf;
    else
        mqa_gguf_close(&gguf);
    return status;
}

void mqa_gguf_close(mqa_gguf **gguf)
{
    if (gguf == NULL || *gguf == NULL) return;
    for (size_t i = 0; i < (*gguf)->n_parts; i++) mqa_gguf_part_close(&(*gguf)->parts[i]);
    free((*gguf)->parts);
    free((*gguf)->tensors);
    free((*gguf)->by_name);
    free(*gguf);
    *gguf = NULL;
}

const char *mqa_gguf_path(const mqa_gguf *gguf)
{
    return gguf->parts[0].file.path;
}

uint32_t mqa_gguf_version(const mqa_gguf *gguf)
{
    return gguf->parts[0].version;
}

uint64_t mqa_gguf_file_bytes(const mqa_gguf *gguf)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < gguf->n_parts; i++) bytes += gguf->parts[i].file.size;
    return bytes;
}

size_t mqa_gguf_n_files(const mqa_gguf *gguf)
{
    return gguf->n_parts;
}

size_t mqa_gguf_n_values(const mqa_gguf *gguf)
{
    return gguf->parts[0].n_values;
}

const mqa_gguf_value *mqa_gguf_value_at(const mqa_gguf *gguf, size_t i)
{
    return &gguf->parts[0].values[i];
}

const mqa_gguf_value *mqa_gguf_find_value(const mqa_gguf *gguf, const char *key)
{
    return mqa_gguf_part_find(&gguf->parts[0], key);
}

size_t mqa_gguf_n_tensors(const mqa_gguf *gguf)
{
    return gguf->n_tensors;
}

const mqa_gguf_tensor *mqa_gguf_tensor_at(const mqa_gguf *gguf, size_t i)
{
    return gguf->tensors[i];
}

const mqa_gguf_tensor *mqa_gguf_find_tensor(const mqa_gguf *gguf, const char *name)
{
    return mqa_gguf_search_names((const void *const *)gguf->by_name, gguf->n_tensors, name);
}

void mqa_gguf_give_back(const mqa_gguf_tensor *tensor)
{
    mqa_file_give_back(tensor->file, tensor->offset, tensor->n_bytes);
}
