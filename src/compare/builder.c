/* SPDX-License-Identifier: Apache-2.0 */
#include "compare/builder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

enum { NAME_BYTES = 96 };

mqa_status mqa_builder_create(uint64_t seed, mqa_builder *out, mqa_error *err)
{
    *out = (mqa_builder){.random = seed};
    return mqa_gguf_writer_create(&out->writer, err);
}

void mqa_builder_destroy(mqa_builder *b)
{
    mqa_gguf_writer_destroy(&b->writer);
    for (size_t i = 0; i < b->n_owned; i++) free(b->owned[i]);
    free(b->owned);
    *b = (mqa_builder){0};
}

mqa_status mqa_builder_take(mqa_builder *b, size_t n, size_t size, void **out, mqa_error *err)
{
    size_t bytes;
    if (b->n_owned == b->capacity) {
        const size_t capacity = b->capacity ? 2 * b->capacity : 64;
        void **owned = realloc(b->owned, capacity * sizeof *owned);
        if (!owned) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory to make a model in");
        b->owned = owned;
        b->capacity = capacity;
    }
    void *memory = mqa_mul(n, size, &bytes) ? malloc(bytes + 1) : NULL;
    if (!memory)
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a tensor of %zu times %zu bytes", n, size);
    b->owned[b->n_owned++] = memory;
    *out = memory;
    return MQA_OK;
}

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

mqa_status mqa_builder_random(mqa_builder *b, const char *name, uint32_t type, const size_t dims[3],
                              mqa_error *err)
{
    if (dims[0] % mqa_gguf_type_find(type)->block_values != 0) type = MQA_GGUF_F16;
    const mqa_gguf_type_info *info = mqa_gguf_type_find(type);
    const uint32_t n_dims = dims[2] ? 3 : dims[1] ? 2 : 1;
    const size_t rows = (dims[1] ? dims[1] : 1) * (dims[2] ? dims[2] : 1);
    const size_t row_bytes = dims[0] / info->block_values * info->block_bytes;
    const float a = sqrtf(3 / (float)dims[0]);
    void *data = NULL;
    MQA_TRY(mqa_builder_take(b, rows, row_bytes, &data, err));
    float *row = malloc(dims[0] * sizeof *row);
    if (!row) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a row of %zu values", dims[0]);
    mqa_status status = MQA_OK;
    for (size_t r = 0; status == MQA_OK && r < rows; r++) {
        for (size_t i = 0; i < dims[0]; i++) row[i] = a * ((float)(draw(&b->random) >> 40) * 0x1p-23f - 1.0f);
        status = mqa_gguf_quantize(type, row, (char *)data + r * row_bytes, dims[0], err);
    }
    free(row);
    if (status == MQA_OK) mqa_gguf_writer_add_tensor(b->writer, name, type, n_dims, dims, data);
    return status;
}

static const char *layer_name(char out[NAME_BYTES], int layer, const char *name)
{
    if (layer < 0)
        snprintf(out, NAME_BYTES, "%s.weight", name);
    else
        snprintf(out, NAME_BYTES, "blk.%d.%s.weight", layer, name);
    return out;
}

mqa_status mqa_builder_layer_random(mqa_builder *b, int layer, const char *name, uint32_t type, int n_in,
                                    int n_out, int n_heads, mqa_error *err)
{
    char full[NAME_BYTES];
    const size_t dims[3] = {(size_t)n_in, (size_t)n_out, (size_t)n_heads};
    return mqa_builder_random(b, layer_name(full, layer, name), type, dims, err);
}

mqa_status mqa_builder_ones(mqa_builder *b, int layer, const char *name, int n, mqa_error *err)
{
    char full[NAME_BYTES];
    void *data = NULL;
    MQA_TRY(mqa_builder_take(b, (size_t)n, sizeof(float), &data, err));
    for (int i = 0; i < n; i++) ((float *)data)[i] = 1;
    mqa_gguf_writer_add_tensor(b->writer, layer_name(full, layer, name), MQA_GGUF_F32, 1,
                               (size_t[]){(size_t)n}, data);
    return MQA_OK;
}
