/* Reader and writer: a file by the gguf package, our own round trip, typed access, split models, and the
 * real models where they are.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <sys/stat.h>

#include "exercise.h"
#include "gguf/writer.h"
#include "scratch.h"

static mqa_gguf *open_ok(const char *path)
{
    mqa_gguf *gguf;
    mqa_error err;
    if (mqa_gguf_open(path, &gguf, &err) != MQA_OK) fail_msg("%s", err.message);
    return gguf;
}

static void assert_str(mqa_gguf_str str, const char *expected)
{
    assert_int_equal(str.size, strlen(expected));
    assert_memory_equal(str.data, expected, str.size);
}

/* data/package.gguf as scripts/golden_gguf_blocks.py writes it. */
static void package_file(void **state)
{
    (void)state;
    mqa_gguf *g = open_ok(MQA_TEST_DATA "/package.gguf");
    mqa_error err;
    uint32_t u32;
    uint64_t u64;
    int32_t i32;
    float f32;
    bool flag = false;
    mqa_gguf_str str;
    const mqa_gguf_value *array;
    char line[40];
    assert_int_equal(mqa_gguf_version(g), 3);
    assert_int_equal(mqa_gguf_n_files(g), 1);
    assert_int_equal(mqa_gguf_get_str(g, "general.architecture", &str, &err), MQA_OK);
    assert_str(str, "testarch");
    assert_int_equal(mqa_gguf_get_u32(g, "t.u8", &u32, &err), MQA_OK);
    assert_int_equal(u32, 200);
    assert_int_equal(mqa_gguf_get_u32(g, "t.u16", &u32, &err), MQA_OK);
    assert_int_equal(u32, 60000);
    assert_int_equal(mqa_gguf_get_u32(g, "t.u32", &u32, &err), MQA_OK);
    assert_int_equal(u32, 4000000000u);
    assert_int_equal(mqa_gguf_get_i32(g, "t.i8", &i32, &err), MQA_OK);
    assert_int_equal(i32, -100);
    assert_int_equal(mqa_gguf_get_i32(g, "t.i16", &i32, &err), MQA_OK);
    assert_int_equal(i32, -30000);
    assert_int_equal(mqa_gguf_get_i32(g, "t.i32", &i32, &err), MQA_OK);
    assert_int_equal(i32, -2000000000);
    assert_int_equal(mqa_gguf_get_u64(g, "t.u64", &u64, &err), MQA_OK);
    assert_true(u64 == UINT64_MAX);
    assert_int_equal(mqa_gguf_get_f32(g, "t.f32", &f32, &err), MQA_OK);
    assert_true(f32 == 0.1f);
    assert_int_equal(mqa_gguf_get_f32(g, "t.f64", &f32, &err), MQA_OK);
    assert_true(f32 == -2.5f);
    assert_int_equal(mqa_gguf_get_bool(g, "t.bool", &flag, &err), MQA_OK);
    assert_true(flag);
    assert_int_equal(mqa_gguf_get_str(g, "t.str", &str, &err), MQA_OK);
    assert_str(str, "gr\xc3\xbc\xc3\x9f \xe4\xb8\x96\xe7\x95\x8c");

    /* what doesn't fit, or isn't there, is refused by name and leaves *out alone */
    u32 = 77;
    i32 = 77;
    assert_int_equal(mqa_gguf_get_u32(g, "t.i8", &u32, &err), MQA_ERR_FORMAT);
    assert_non_null(strstr(err.message, "'t.i8' is -100"));
    assert_int_equal(mqa_gguf_get_u32(g, "t.u64", &u32, &err), MQA_ERR_FORMAT);
    assert_int_equal(mqa_gguf_get_i32(g, "t.u32", &i32, &err), MQA_ERR_FORMAT);
    assert_int_equal(mqa_gguf_get_i32(g, "t.i64", &i32, &err), MQA_ERR_FORMAT);
    assert_int_equal(mqa_gguf_get_u32(g, "t.f32", &u32, &err), MQA_ERR_FORMAT);
    assert_int_equal(mqa_gguf_get_u32(g, "t.bool", &u32, &err), MQA_ERR_FORMAT);
    assert_int_equal(mqa_gguf_get_u32(g, "t.ints", &u32, &err), MQA_ERR_FORMAT);
    assert_int_equal(mqa_gguf_get_bool(g, "t.u8", &flag, &err), MQA_ERR_FORMAT);
    assert_int_equal(mqa_gguf_get_f32(g, "t.u8", &f32, &err), MQA_ERR_FORMAT);
    assert_int_equal(mqa_gguf_get_str(g, "t.strs", &str, &err), MQA_ERR_FORMAT);
    assert_int_equal(mqa_gguf_get_strs(g, "t.str", &array, &err), MQA_ERR_FORMAT);
    assert_int_equal(mqa_gguf_get_i32s(g, "t.floats", &array, &err), MQA_ERR_FORMAT);
    assert_int_equal(mqa_gguf_get_u32(g, "t.absent", &u32, &err), MQA_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "'t.absent' is missing"));
    assert_int_equal(mqa_gguf_optional(mqa_gguf_get_u32(g, "t.absent", &u32, &err)), MQA_OK);
    assert_int_equal(u32, 77);
    assert_int_equal(i32, 77);

    assert_int_equal(mqa_gguf_get_i32s(g, "t.ints", &array, &err), MQA_OK);
    assert_int_equal(array->count, 3);
    assert_int_equal(mqa_gguf_i32_at(array, 1), -1);
    assert_int_equal(mqa_gguf_i32_at(array, 2), 2000000000);
    assert_int_equal(mqa_gguf_get_i32s(g, "t.bools", &array, &err), MQA_OK);
    assert_int_equal(mqa_gguf_i32_at(array, 0), 1);
    assert_int_equal(mqa_gguf_i32_at(array, 1), 0);
    assert_int_equal(mqa_gguf_get_i32s(g, "t.u8s", &array, &err), MQA_OK);
    assert_int_equal(mqa_gguf_i32_at(array, 2), 255);
    assert_int_equal(mqa_gguf_get_f32s(g, "t.floats", &array, &err), MQA_OK);
    assert_true(mqa_gguf_f32_at(array, 2) == 1e10f);
    assert_string_equal(mqa_gguf_format_value(array, line, sizeof line), "[0.5, -1, 1e+10]");
    assert_int_equal(mqa_gguf_get_strs(g, "t.strs", &array, &err), MQA_OK);
    assert_int_equal(array->count, 40);
    for (int i = 39; i >= 0; i--) {
        snprintf(line, sizeof line, "token %d", i);
        assert_str(mqa_gguf_str_at(array, (size_t)i), line);
    }
    assert_string_equal(mqa_gguf_format_value(array, line, sizeof line),
                        "[\"token 0\", \"token 1\", \"token 2\", \"t...");

    assert_int_equal(mqa_gguf_n_tensors(g), 3);
    static const char *const names[] = {"ramp.f32", "ramp.f16", "ramp.q8_0"};
    for (int t = 0; t < 3; t++) {
        const mqa_gguf_tensor *tensor = mqa_gguf_find_tensor(g, names[t]);
        assert_non_null(tensor);
        assert_ptr_equal(tensor, mqa_gguf_tensor_at(g, (size_t)t));
        assert_int_equal(tensor->n_dims, 2);
        assert_int_equal(tensor->dims[0], 64);
        assert_int_equal(tensor->dims[1], 3);
        assert_int_equal(tensor->n_values, 192);
        assert_int_equal(tensor->n_bytes, t == 0 ? 768 : t == 1 ? 384 : 204);
        assert_ptr_equal(tensor->data, tensor->file->data + tensor->offset);
        float values[192];
        assert_int_equal(mqa_gguf_dequantize(tensor->type, tensor->data, values, 192, &err), MQA_OK);
        for (int i = 0; i < 192; i++)
            assert_true(fabsf(values[i] - ((float)i / 8 - 7)) <= (t == 2 ? 0.07f : 0.0f));
    }
    assert_null(mqa_gguf_find_tensor(g, "ramp"));
    mqa_gguf_close(&g);
    assert_null(g);
    mqa_gguf_close(&g);
    mqa_gguf_close(NULL);
}

/* All the metadata of the package's file through our writer and back. */
static void round_trip(void **state)
{
    (void)state;
    mqa_gguf *g = open_ok(MQA_TEST_DATA "/package.gguf");
    mqa_error err;
    for (uint32_t alignment = 8; alignment <= 4096; alignment *= 8) {
        mqa_gguf_writer *w;
        assert_int_equal(mqa_gguf_writer_create(&w, &err), MQA_OK);
        for (size_t i = 0; i < mqa_gguf_n_values(g); i++)
            mqa_gguf_writer_add_value(w, mqa_gguf_value_at(g, i));
        if (alignment != 8) mqa_gguf_writer_set_alignment(w, alignment);
        for (size_t i = 0; i < mqa_gguf_n_tensors(g); i++) {
            const mqa_gguf_tensor *t = mqa_gguf_tensor_at(g, i);
            mqa_gguf_writer_add_tensor(w, t->name, t->type, t->n_dims, t->dims, t->data);
        }
        mqa_gguf_writer_add_tensor(w, "scalar", MQA_GGUF_F32, 0, NULL, &(float){3});
        mqa_gguf_writer_add_tensor(w, "four", MQA_GGUF_F32, 4, (size_t[]){1, 2, 1, 2}, (float[]){1, 2, 3, 4});
        if (mqa_gguf_writer_finish(w, scratch("round.gguf"), &err) != MQA_OK) fail_msg("%s", err.message);
        mqa_gguf_writer_destroy(&w);

        mqa_gguf *h = open_ok(scratch("round.gguf"));
        assert_int_equal(mqa_gguf_n_values(h), mqa_gguf_n_values(g) + (alignment != 8));
        for (size_t i = 0; i < mqa_gguf_n_values(g); i++) {
            const mqa_gguf_value *a = mqa_gguf_value_at(g, i), *b = mqa_gguf_value_at(h, i);
            assert_string_equal(a->key, b->key);
            assert_int_equal(a->type, b->type);
            assert_int_equal(a->is_array, b->is_array);
            assert_int_equal(a->count, b->count);
            assert_int_equal(a->size, b->size);
            assert_memory_equal(a->data, b->data, a->size);
        }
        assert_int_equal(mqa_gguf_n_tensors(h), mqa_gguf_n_tensors(g) + 2);
        for (size_t i = 0; i < mqa_gguf_n_tensors(h); i++) {
            const mqa_gguf_tensor *b = mqa_gguf_tensor_at(h, i);
            assert_int_equal((uintptr_t)b->data % (alignment == 8 ? 32 : alignment), 0);
            if (i >= mqa_gguf_n_tensors(g)) continue;
            const mqa_gguf_tensor *a = mqa_gguf_tensor_at(g, i);
            assert_string_equal(a->name, b->name);
            assert_int_equal(a->n_bytes, b->n_bytes);
            assert_memory_equal(a->data, b->data, a->n_bytes);
        }
        const mqa_gguf_tensor *four = mqa_gguf_find_tensor(h, "four");
        assert_int_equal(four->n_dims, 4);
        assert_int_equal(four->dims[3], 2);
        assert_int_equal(mqa_gguf_find_tensor(h, "scalar")->n_values, 1);
        mqa_gguf_close(&h);
    }
    mqa_gguf_close(&g);
}

static void expect_writer_failure(mqa_gguf_writer *w, mqa_status status, const char *text)
{
    mqa_error err;
    assert_int_equal(mqa_gguf_writer_finish(w, scratch("never.gguf"), &err), status);
    if (!strstr(err.message, text)) fail_msg("'%s' not in '%s'", text, err.message);
    assert_int_equal(access(scratch("never.gguf"), F_OK), -1);
    mqa_gguf_writer_destroy(&w);
    assert_null(w);
}

static mqa_gguf_writer *new_writer(void)
{
    mqa_gguf_writer *w;
    assert_int_equal(mqa_gguf_writer_create(&w, NULL), MQA_OK);
    return w;
}

static void writer_failures(void **state)
{
    (void)state;
    mqa_gguf_writer *w = new_writer();
    mqa_gguf_writer_add_u32(w, "same", 1);
    mqa_gguf_writer_add_u32(w, "same", 2);
    expect_writer_failure(w, MQA_ERR_INVALID_ARGUMENT, "'same'");
    w = new_writer();
    mqa_gguf_writer_add_u32(w, "", 1);
    expect_writer_failure(w, MQA_ERR_INVALID_ARGUMENT, "1 to 1023 bytes");
    w = new_writer();
    mqa_gguf_writer_add_u32(w, "a\xff", 1);
    mqa_gguf_writer_add_u32(w, "", 1); /* the first failure is the one reported */
    expect_writer_failure(w, MQA_ERR_INVALID_ARGUMENT, "'a?'");
    w = new_writer();
    mqa_gguf_writer_add_scalar(w, "k", MQA_GGUF_VALUE_STR, "x");
    expect_writer_failure(w, MQA_ERR_INVALID_ARGUMENT, "fixed size");
    w = new_writer();
    mqa_gguf_writer_set_alignment(w, 24);
    expect_writer_failure(w, MQA_ERR_INVALID_ARGUMENT, "alignment 24");
    w = new_writer();
    mqa_gguf_writer_add_tensor(w, "t", MQA_GGUF_Q4_0, 1, (size_t[]){33}, "");
    expect_writer_failure(w, MQA_ERR_INVALID_ARGUMENT, "'t'");
    w = new_writer();
    mqa_gguf_writer_add_tensor(w, "t", MQA_GGUF_F32, 2, (size_t[]){SIZE_MAX / 2, 3}, "");
    expect_writer_failure(w, MQA_ERR_INVALID_ARGUMENT, "'t'");

    /* what can't be written leaves nothing, and what was there stays */
    w = new_writer();
    mqa_error err;
    const int n_files = scratch_n_files();
    assert_int_equal(mqa_gguf_writer_finish(w, scratch("no/such/folder.gguf"), &err), MQA_ERR_IO);
    assert_int_equal(mkdir(scratch("folder"), 0700), 0);
    assert_int_equal(mqa_gguf_writer_finish(w, scratch("folder"), &err),
                     MQA_ERR_IO); /* can't be renamed over */
    assert_int_equal(rmdir(scratch("folder")), 0);
    assert_int_equal(scratch_n_files(), n_files);
    assert_int_equal(mqa_gguf_writer_finish(w, scratch("empty.gguf"), &err), MQA_OK);
    mqa_gguf_writer_destroy(&w);
    mqa_gguf *g = open_ok(scratch("empty.gguf"));
    assert_int_equal(mqa_gguf_n_values(g) + mqa_gguf_n_tensors(g), 0);
    assert_null(mqa_gguf_find_value(g, "x"));
    assert_null(mqa_gguf_find_tensor(g, "x"));
    mqa_gguf_close(&g);
}

static void write_split(const char *name, uint16_t no, uint16_t count, int32_t total, const char *tensor)
{
    mqa_gguf_writer *w = new_writer();
    mqa_error err;
    const float value = no;
    if (no == 0) mqa_gguf_writer_add_str(w, "general.architecture", "split");
    mqa_gguf_writer_add_scalar(w, "split.no", MQA_GGUF_VALUE_U16, &no);
    mqa_gguf_writer_add_scalar(w, "split.count", MQA_GGUF_VALUE_U16, &count);
    mqa_gguf_writer_add_scalar(w, "split.tensors.count", MQA_GGUF_VALUE_I32, &total);
    mqa_gguf_writer_add_tensor(w, tensor, MQA_GGUF_F32, 1, (size_t[]){1}, &value);
    assert_int_equal(mqa_gguf_writer_finish(w, scratch(name), &err), MQA_OK);
    mqa_gguf_writer_destroy(&w);
}

static void expect_open_failure(const char *name, mqa_status status, const char *text)
{
    mqa_gguf *gguf;
    mqa_error err;
    assert_int_equal(mqa_gguf_open(scratch(name), &gguf, &err), status);
    assert_null(gguf);
    if (!strstr(err.message, text)) fail_msg("'%s' not in '%s'", text, err.message);
}

static void split_models(void **state)
{
    (void)state;
    write_split("m-00001-of-00003.gguf", 0, 3, 3, "a");
    write_split("m-00002-of-00003.gguf", 1, 3, 3, "b");
    expect_open_failure("m-00001-of-00003.gguf", MQA_ERR_NOT_FOUND, "m-00003-of-00003.gguf");
    write_split("m-00003-of-00003.gguf", 2, 3, 3, "c");
    mqa_gguf *g = open_ok(scratch("m-00001-of-00003.gguf"));
    assert_int_equal(mqa_gguf_n_files(g), 3);
    assert_int_equal(mqa_gguf_n_tensors(g), 3);
    for (size_t i = 0; i < 3; i++) {
        const mqa_gguf_tensor *t = mqa_gguf_find_tensor(g, (const char *[]){"a", "b", "c"}[i]);
        float value;
        assert_ptr_equal(t, mqa_gguf_tensor_at(g, i));
        memcpy(&value, t->data, sizeof value);
        assert_true(value == (float)i);
        assert_ptr_equal(t->file->data + t->offset, t->data);
        mqa_gguf_give_back(t);
    }
    mqa_gguf_close(&g);
    expect_open_failure("m-00002-of-00003.gguf", MQA_ERR_FORMAT, "m-00001-of-00003.gguf");

    write_split("m-00003-of-00003.gguf", 1, 3, 3, "c");
    expect_open_failure("m-00001-of-00003.gguf", MQA_ERR_FORMAT, "split.no");
    write_split("m-00003-of-00003.gguf", 2, 3, 3, "a");
    expect_open_failure("m-00001-of-00003.gguf", MQA_ERR_FORMAT, "'a' is there twice");
    write_split("m-00003-of-00003.gguf", 2, 3, 3, "c");
    write_split("m-00001-of-00003.gguf", 0, 3, 4, "a");
    expect_open_failure("m-00001-of-00003.gguf", MQA_ERR_FORMAT, "split.tensors.count");
    write_split("other.gguf", 0, 2, 2, "a");
    expect_open_failure("other.gguf", MQA_ERR_FORMAT, "-00001-of-00002.gguf");
    write_split("other.gguf", 1, 2, 2, "a");
    expect_open_failure("other.gguf", MQA_ERR_FORMAT, "first file");
    write_split("m-00001-of-65535.gguf", 0, 65535, 1, "a");
    expect_open_failure("m-00001-of-65535.gguf", MQA_ERR_NOT_FOUND, "m-00002-of-65535.gguf");
    write_split("alone.gguf", 0, 1, 1, "a");
    g = open_ok(scratch("alone.gguf"));
    mqa_gguf_close(&g);
}

static void check_model(const char *name, const char *architecture, size_t n_tensors, uint32_t kv_heads)
{
    char path[512], key[64];
    mqa_error err;
    mqa_gguf_str str;
    uint32_t u32;
    const mqa_gguf_value *tokens;
    const char *folder = getenv("MQA_MODELS");
    snprintf(path, sizeof path, "%s/%s", folder ? folder : MQA_TEST_DATA "/../../../models", name);
    if (access(path, R_OK) != 0) skip();
    assert_int_equal(exercise_file(path, &err), MQA_OK);
    mqa_gguf *g = open_ok(path);
    assert_int_equal(mqa_gguf_get_str(g, "general.architecture", &str, &err), MQA_OK);
    assert_str(str, architecture);
    snprintf(key, sizeof key, "%s.attention.head_count_kv", architecture);
    assert_int_equal(mqa_gguf_get_u32(g, key, &u32, &err), MQA_OK);
    assert_int_equal(u32, kv_heads);
    assert_int_equal(mqa_gguf_get_strs(g, "tokenizer.ggml.tokens", &tokens, &err), MQA_OK);
    assert_int_equal(tokens->count, mqa_gguf_find_tensor(g, "token_embd.weight")->dims[1]);
    assert_int_equal(mqa_gguf_n_tensors(g), n_tensors);
    mqa_gguf_close(&g);
}

static void gemma(void **state)
{
    (void)state;
    check_model("gemma-3-270m-q4_k_m.gguf", "gemma3", 236, 1);
}

static void smollm2(void **state)
{
    (void)state;
    check_model("SmolLM2-135M-Instruct.Q4_1.gguf", "llama", 272, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(package_file), cmocka_unit_test(round_trip), cmocka_unit_test(writer_failures),
        cmocka_unit_test(split_models), cmocka_unit_test(gemma),      cmocka_unit_test(smollm2),
    };
    return cmocka_run_group_tests_name("gguf", tests, scratch_setup, scratch_teardown);
}
