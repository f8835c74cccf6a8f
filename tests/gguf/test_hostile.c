/* Damaged and hostile files: each ends in a status that names the field, or opens and can be read.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/resource.h>
#include <time.h>

#include "exercise.h"
#include "gguf/writer.h"
#include "scratch.h"

/* Files made by hand, field by field. */
typedef struct bytes {
    uint8_t data[4096];
    size_t size;
} bytes;

static void put(bytes *b, uint64_t value, size_t n)
{
    assert_true(b->size + n <= sizeof b->data);
    for (size_t i = 0; i < n; i++) b->data[b->size++] = (uint8_t)(value >> (8 * i));
}

static void put_raw(bytes *b, const char *data, size_t n)
{
    for (size_t i = 0; i < n; i++) put(b, (uint8_t)data[i], 1);
}

static void put_str(bytes *b, const char *text)
{
    put(b, strlen(text), 8);
    put_raw(b, text, strlen(text));
}

static bytes header(uint32_t version, uint64_t n_tensors, uint64_t n_values)
{
    bytes b = {.size = 0};
    put_raw(&b, "GGUF", 4);
    put(&b, version, 4);
    put(&b, n_tensors, 8);
    put(&b, n_values, 8);
    return b;
}

static void put_u32(bytes *b, const char *key, uint32_t value)
{
    put_str(b, key);
    put(b, MQA_GGUF_VALUE_U32, 4);
    put(b, value, 4);
}

static void put_tensor(bytes *b, const char *name, uint32_t type, uint64_t offset, uint32_t n_dims,
                       uint64_t d0, uint64_t d1)
{
    const uint64_t dims[] = {d0, d1, 1, 1, 1, 1, 1, 1};
    put_str(b, name);
    put(b, n_dims, 4);
    for (uint32_t d = 0; d < n_dims && d < 8; d++) put(b, dims[d], 8);
    put(b, type, 4);
    put(b, offset, 8);
}

static void put_data(bytes *b, size_t alignment, size_t n)
{
    while (b->size % alignment) put(b, 0, 1);
    while (n--) put(b, 0x3c, 1);
}

static mqa_status open_bytes(const void *data, size_t size, mqa_error *err)
{
    assert_int_equal(scratch_write(scratch("hostile.gguf"), data, size), 0);
    *err = (mqa_error){0};
    const mqa_status status = exercise_file(scratch("hostile.gguf"), err);
    if (status != MQA_OK) {
        assert_int_equal(err->status, status);
        assert_non_null(strstr(err->message, "hostile.gguf: "));
    }
    return status;
}

static void expect(const bytes *b, mqa_status status, const char *text)
{
    mqa_error err;
    const mqa_status got = open_bytes(b->data, b->size, &err);
    if (got != status) fail_msg("%s, not %s: %s", mqa_status_name(got), mqa_status_name(status), err.message);
    if (!strstr(err.message, text)) fail_msg("'%s' not in '%s'", text, err.message);
}

static void headers(void **state)
{
    (void)state;
    bytes b = {.size = 0};
    expect(&b, MQA_ERR_FORMAT, "not a GGUF file");
    put_raw(&b, "ggml", 4);
    put_data(&b, 1, 40);
    expect(&b, MQA_ERR_FORMAT, "not a GGUF file");
    for (uint32_t version = 2; version <= 3; version++) {
        b = header(version, 0, 0);
        expect(&b, MQA_OK, "");
    }
    b = header(1, 0, 0);
    expect(&b, MQA_ERR_UNSUPPORTED, "version 1");
    b = header(0, 0, 0);
    expect(&b, MQA_ERR_UNSUPPORTED, "version 0");
    b = header(0x03000000, 0, 0);
    expect(&b, MQA_ERR_UNSUPPORTED, "big-endian");
    b = header(3, UINT64_MAX, 0);
    expect(&b, MQA_ERR_FORMAT, "tensors");
    b = header(3, 0, UINT64_MAX);
    expect(&b, MQA_ERR_FORMAT, "keys");
    b = header(3, UINT64_MAX / 88 + 2, 0); /* wraps when multiplied by a struct's size */
    expect(&b, MQA_ERR_FORMAT, "tensors");
    b = header(3, 0, 1);
    expect(&b, MQA_ERR_FORMAT, "1 keys");
    b = header(3, 1, 0);
    expect(&b, MQA_ERR_FORMAT, "1 tensors");
}

static void keys(void **state)
{
    (void)state;
    bytes b = header(3, 0, 1);
    put(&b, UINT64_MAX, 8);
    put_data(&b, 1, 64);
    expect(&b, MQA_ERR_FORMAT, "key 0: its name has 18446744073709551615 bytes");
    b = header(3, 0, 1);
    put(&b, 0, 8);
    put_data(&b, 1, 64);
    expect(&b, MQA_ERR_FORMAT, "key 0: its name has 0 bytes");
    static const struct {
        const char *name;
        size_t size;
    } bad[] = {{"a\0b", 3}, {"a\xff", 2}, {"\xc0\x80", 2}, {"\xed\xa0\x80", 3}, {"\xe2\x82", 2}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        b = header(3, 0, 1);
        put(&b, bad[i].size, 8);
        put_raw(&b, bad[i].name, bad[i].size);
        put(&b, MQA_GGUF_VALUE_U32, 4);
        put(&b, 1, 4);
        expect(&b, MQA_ERR_FORMAT, "key 0: its name is not UTF-8");
    }
    b = header(3, 0, 2);
    put_u32(&b, "twice", 1);
    put_u32(&b, "twice", 1);
    expect(&b, MQA_ERR_FORMAT, "key 'twice' is there twice");
    static const uint32_t types[] = {13, 14, 100, UINT32_MAX};
    for (size_t i = 0; i < 4; i++) {
        b = header(3, 0, 1);
        put_str(&b, "odd");
        put(&b, types[i], 4);
        put_data(&b, 1, 32);
        expect(&b, MQA_ERR_FORMAT, "key 'odd': unknown value type");
    }
    b = header(3, 0, 1);
    put_str(&b, "text");
    put(&b, MQA_GGUF_VALUE_STR, 4);
    put(&b, UINT64_MAX - 7, 8);
    put_data(&b, 1, 32);
    expect(&b, MQA_ERR_FORMAT, "key 'text': string 0 (18446744073709551608 bytes)");
    b = header(3, 0, 1);
    put_str(&b, "new\nline\x1b[2J");
    put(&b, 99, 4);
    put_data(&b, 1, 32);
    expect(&b, MQA_ERR_FORMAT, "'new?line?[2J'");
}

static void arrays(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        uint64_t count;
        mqa_status status;
        const char *text;
    } cases[] = {
        {MQA_GGUF_VALUE_ARRAY, 1, MQA_ERR_UNSUPPORTED, "arrays of arrays"},
        {77, 0, MQA_ERR_FORMAT, "unknown value type 77"},
        {MQA_GGUF_VALUE_U8, UINT64_MAX, MQA_ERR_FORMAT, "18446744073709551615 values of u8"},
        {MQA_GGUF_VALUE_U64, (UINT64_MAX >> 3) + 2, MQA_ERR_FORMAT, "values of u64"},
        {MQA_GGUF_VALUE_F32, 9, MQA_ERR_FORMAT, "9 values of f32"},
        {MQA_GGUF_VALUE_F32, 8, MQA_OK, ""},
        {MQA_GGUF_VALUE_STR, UINT64_MAX >> 1, MQA_ERR_FORMAT, "values of str"},
        {MQA_GGUF_VALUE_STR, 4, MQA_ERR_FORMAT, "key 'list': string 0"},
        {MQA_GGUF_VALUE_STR, 0, MQA_OK, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bytes b = header(3, 0, 1);
        put_str(&b, "list");
        put(&b, MQA_GGUF_VALUE_ARRAY, 4);
        put(&b, cases[i].type, 4);
        put(&b, cases[i].count, 8);
        put_data(&b, 1, 32);
        expect(&b, cases[i].status, cases[i].text);
    }
}

static void alignments(void **state)
{
    (void)state;
    static const struct {
        uint32_t alignment;
        mqa_status status;
    } cases[] = {{0, MQA_ERR_FORMAT},
                 {1, MQA_ERR_FORMAT},
                 {4, MQA_ERR_FORMAT},
                 {8, MQA_OK},
                 {24, MQA_ERR_FORMAT},
                 {33, MQA_ERR_FORMAT},
                 {64, MQA_OK},
                 {1024, MQA_OK},
                 {8192, MQA_ERR_FORMAT},
                 {1u << 30, MQA_ERR_FORMAT},
                 {1u << 31, MQA_ERR_FORMAT},
                 {UINT32_MAX, MQA_ERR_FORMAT}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bytes b = header(3, 1, 1);
        put_u32(&b, "general.alignment", cases[i].alignment);
        put_tensor(&b, "t", MQA_GGUF_F32, 0, 1, 4, 0);
        put_data(&b, cases[i].alignment >= 8 && cases[i].alignment <= 1024 ? cases[i].alignment : 32, 16);
        expect(&b, cases[i].status,
               cases[i].status == MQA_OK                                      ? ""
               : cases[i].alignment >= 8192 && cases[i].alignment <= 1u << 30 ? "tensor 't'"
                                                                              : "general.alignment");
    }
    bytes b = header(3, 0, 1);
    put_str(&b, "general.alignment");
    put(&b, MQA_GGUF_VALUE_STR, 4);
    put_str(&b, "32");
    expect(&b, MQA_ERR_FORMAT, "'general.alignment' is of type str");
}

static void tensors(void **state)
{
    (void)state;
    static const struct {
        uint32_t type, n_dims;
        uint64_t offset, d0, d1;
        mqa_status status;
        const char *text;
    } cases[] = {
        {MQA_GGUF_F32, 1, 0, 16, 0, MQA_OK, ""},
        {MQA_GGUF_F32, 0, 0, 0, 0, MQA_OK, ""},
        {MQA_GGUF_F32, 4, 0, 4, 4, MQA_OK, ""},
        {16, 1, 0, 0, 0, MQA_ERR_FORMAT, "dimension 0 is 0"},
        {MQA_GGUF_F32, 5, 0, 1, 1, MQA_ERR_FORMAT, "5 dimensions"},
        {MQA_GGUF_F32, UINT32_MAX, 0, 1, 1, MQA_ERR_FORMAT, "4294967295 dimensions"},
        {MQA_GGUF_F32, 2, 0, 4, 0, MQA_ERR_FORMAT, "dimension 1 is 0"},
        {MQA_GGUF_F32, 2, 0, UINT64_C(1) << 32, UINT64_C(1) << 32, MQA_ERR_FORMAT,
         "dimension 1 is 4294967296"},
        {MQA_GGUF_F32, 1, 0, UINT64_MAX, 0, MQA_ERR_FORMAT, "dimension 0 is 18446744073709551615"},
        {MQA_GGUF_F32, 1, 0, UINT64_C(1) << 62, 0, MQA_ERR_FORMAT, "values are too many"},
        {MQA_GGUF_F32, 1, 0, UINT64_C(1) << 40, 0, MQA_ERR_FORMAT, "go past the end"},
        {MQA_GGUF_F32, 1, 0, 17, 0, MQA_ERR_FORMAT, "go past the end"},
        {MQA_GGUF_F32, 1, 32, 9, 0, MQA_ERR_FORMAT, "go past the end"},
        {MQA_GGUF_F32, 1, 32, 8, 0, MQA_OK, ""},
        {MQA_GGUF_F32, 1, 64, 1, 0, MQA_ERR_FORMAT, "go past the end"},
        {MQA_GGUF_F32, 1, 16, 1, 0, MQA_ERR_FORMAT, "not aligned to 32"},
        {MQA_GGUF_F32, 1, UINT64_MAX - 31, 1, 0, MQA_ERR_FORMAT, "past the end of the file"},
        {MQA_GGUF_F32, 1, UINT64_C(1) << 40, 1, 0, MQA_ERR_FORMAT, "past the end of the file"},
        {MQA_GGUF_Q4_0, 1, 0, 33, 0, MQA_ERR_FORMAT, "no whole blocks of Q4_0"},
        {MQA_GGUF_Q4_0, 1, 0, 96, 0, MQA_OK, ""},
        {MQA_GGUF_Q4_0, 1, 0, 128, 0, MQA_ERR_FORMAT, "go past the end"},
        {4, 1, 0, 32, 0, MQA_ERR_UNSUPPORTED, "tensor 't': unknown type 4"},
        {UINT32_MAX, 1, 0, 32, 0, MQA_ERR_UNSUPPORTED, "unknown type 4294967295"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bytes b = header(3, 1, 0);
        put_tensor(&b, "t", cases[i].type, cases[i].offset, cases[i].n_dims, cases[i].d0, cases[i].d1);
        put_data(&b, 32, 64);
        expect(&b, cases[i].status, cases[i].text);
    }
    bytes b = header(3, 2, 0);
    put_tensor(&b, "t", MQA_GGUF_F32, 0, 1, 8, 0);
    put_tensor(&b, "t", MQA_GGUF_F32, 32, 1, 8, 0);
    put_data(&b, 32, 64);
    expect(&b, MQA_ERR_FORMAT, "tensor 't' is there twice");
    b = header(3, 2, 0);
    put_tensor(&b, "t", MQA_GGUF_F32, 32, 1, 8, 0);
    put_tensor(&b, "u", MQA_GGUF_F32, 0, 1, 9, 0);
    put_data(&b, 32, 64);
    expect(&b, MQA_ERR_FORMAT, "tensors 'u' and 't' overlap");
    b = header(3, 1, 0);
    put_tensor(&b, "a\x01\xff", MQA_GGUF_F32, 0, 1, 1, 0);
    put_data(&b, 32, 64);
    expect(&b, MQA_ERR_FORMAT, "tensor 0: its name is not UTF-8");
}

/* What is in a file that opens may still be refused when it is asked for. */
static void values(void **state)
{
    (void)state;
    bytes b = header(3, 0, 6);
    put_str(&b, "nul");
    put(&b, MQA_GGUF_VALUE_STR, 4);
    put(&b, 3, 8);
    put_raw(&b, "a\0b", 3);
    put_str(&b, "bytes");
    put(&b, MQA_GGUF_VALUE_STR, 4);
    put_str(&b, "\xff\xfe");
    put_str(&b, "nan");
    put(&b, MQA_GGUF_VALUE_F32, 4);
    put(&b, 0x7fc00000, 4);
    put_str(&b, "big");
    put(&b, MQA_GGUF_VALUE_F64, 4);
    put(&b, UINT64_C(0x7fe0000000000000), 8);
    put_str(&b, "seven");
    put(&b, MQA_GGUF_VALUE_BOOL, 4);
    put(&b, 7, 1);
    put_str(&b, "nans");
    put(&b, MQA_GGUF_VALUE_ARRAY, 4);
    put(&b, MQA_GGUF_VALUE_F32, 4);
    put(&b, 2, 8);
    put(&b, 0x7f800000, 4);
    put(&b, 0xffffffff, 4);
    expect(&b, MQA_OK, "");

    mqa_gguf *g;
    mqa_error err;
    mqa_gguf_str str;
    float f32;
    bool flag;
    const mqa_gguf_value *array;
    assert_int_equal(mqa_gguf_open(scratch("hostile.gguf"), &g, &err), MQA_OK);
    assert_int_equal(mqa_gguf_get_str(g, "nul", &str, &err), MQA_ERR_FORMAT);
    assert_non_null(strstr(err.message, "'nul'"));
    assert_int_equal(mqa_gguf_get_str(g, "bytes", &str, &err), MQA_ERR_FORMAT);
    assert_int_equal(mqa_gguf_get_f32(g, "nan", &f32, &err), MQA_ERR_FORMAT);
    assert_int_equal(mqa_gguf_get_f32(g, "big", &f32, &err), MQA_ERR_FORMAT);
    assert_int_equal(mqa_gguf_get_bool(g, "seven", &flag, &err), MQA_ERR_FORMAT);
    assert_int_equal(mqa_gguf_get_f32s(g, "nans", &array, &err), MQA_ERR_FORMAT);
    assert_non_null(strstr(err.message, "element 1 is NaN"));
    mqa_gguf_close(&g);
}

/* Every length of a small file with a bit of everything. */
static void truncations(void **state)
{
    (void)state;
    size_t size = 0;
    mqa_error err;
    uint8_t *data = scratch_read(MQA_TEST_DATA "/package.gguf", &size);
    assert_non_null(data);
    assert_int_equal(open_bytes(data, size, &err), MQA_OK);
    size_t shortest = size; /* the package pads the file's end */
    while (shortest > 0 && open_bytes(data, shortest - 1, &err) == MQA_OK) shortest--;
    assert_true(size - shortest < 32);
    for (size_t n = 0; n < shortest; n++) {
        const mqa_status status = open_bytes(data, n, &err);
        if (status != MQA_ERR_FORMAT) fail_msg("%zu bytes: %s", n, mqa_status_name(status));
    }
    free(data);
}

static uint64_t random_state;
static uint32_t next_random(void)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33);
}

/* One to eight bytes, words or fields of the first `reach` bytes changed. */
static void mutate(uint8_t *data, size_t reach)
{
    static const uint64_t interesting[] = {
        0, 1, 7, 8, 9, 0xff, 0x7fffffff, 0xffffffff, UINT64_MAX, UINT64_MAX / 2 + 1, UINT64_C(1) << 32};
    for (uint32_t n = 1 + next_random() % 8; n > 0; n--) {
        const size_t at = next_random() % reach;
        const size_t width = (size_t)1 << next_random() % 4;
        const uint64_t value = interesting[next_random() % (sizeof interesting / sizeof interesting[0])];
        if (next_random() % 2)
            data[at] ^= (uint8_t)(1 << next_random() % 8);
        else if (at + width <= reach)
            memcpy(data + at, &value, width);
    }
}

static bool check_mutant(uint32_t seed, int *refused)
{
    mqa_error err = {0};
    const mqa_status status = exercise_file(scratch("hostile.gguf"), &err);
    if (status != MQA_OK && status != MQA_ERR_FORMAT && status != MQA_ERR_UNSUPPORTED)
        fail_msg("seed %u: %s: %s", seed, mqa_status_name(status), err.message);
    return status == err.status && (*refused += status != MQA_OK) >= 0;
}

/* The `reach` bytes from `start` of the file, seed by seed. */
static void check_mutants(size_t start, size_t reach, size_t size)
{
    int refused = 0;
    FILE *f = fopen(scratch("hostile.gguf"), "r+b");
    uint8_t *intact = malloc(reach), *mutant = malloc(reach);
    assert_int_equal(ftruncate(fileno(f), (off_t)size), 0); /* a model's tensors: a hole */
    assert_int_equal(pread(fileno(f), intact, reach, (off_t)start), reach);
    for (uint32_t seed = 1; seed <= 250; seed++) {
        random_state = seed;
        memcpy(mutant, intact, reach);
        mutate(mutant, reach);
        assert_int_equal(pwrite(fileno(f), mutant, reach, (off_t)start), reach);
        assert_true(check_mutant(seed, &refused));
    }
    assert_int_equal(pwrite(fileno(f), intact, reach, (off_t)start), reach);
    fclose(f);
    free(intact), free(mutant);
    int intact_refused = 0;
    assert_true(check_mutant(0, &intact_refused));
    assert_int_equal(intact_refused, 0); /* so what was refused was refused for its mutation */
    assert_true(refused > 50);
}

static void mutants(void **state)
{
    (void)state;
    size_t size = 0;
    uint8_t *data = scratch_read(MQA_TEST_DATA "/package.gguf", &size);
    assert_non_null(data);
    assert_int_equal(scratch_write(scratch("hostile.gguf"), data, size), 0);
    free(data);
    check_mutants(0, 1200, size);
}

/* The first keys and the tensors' infos of a real model. */
static void mutants_of_a_model(void **state)
{
    (void)state;
    char path[512];
    mqa_error err;
    mqa_file file;
    mqa_gguf *g;
    const char *folder = getenv("MQA_MODELS");
    snprintf(path, sizeof path, "%s/SmolLM2-135M-Instruct.Q4_1.gguf",
             folder ? folder : MQA_TEST_DATA "/../../../models");
    if (access(path, R_OK) != 0) skip();
    assert_int_equal(mqa_gguf_open(path, &g, &err), MQA_OK);
    const size_t head = mqa_gguf_tensor_at(g, 0)->offset;
    mqa_gguf_close(&g);
    assert_int_equal(mqa_file_map(path, &file, &err), MQA_OK);
    assert_int_equal(scratch_write(scratch("hostile.gguf"), file.data, head), 0);
    check_mutants(0, 2048, file.size);
    check_mutants(head - 16384, 16384, file.size);
    mqa_file_unmap(&file);
}

/* As many keys and tensors as the limits allow, in adverse order: in time, and in little memory. */
static void at_the_limits(void **state)
{
    (void)state;
    enum { N_KEYS = 16384, N_TENSORS = 131072 };
    mqa_gguf_writer *w;
    mqa_error err;
    char name[32];
    const float value = 1;
    assert_int_equal(mqa_gguf_writer_create(&w, &err), MQA_OK);
    for (int i = 0; i < N_KEYS; i++) {
        snprintf(name, sizeof name, "k%08d", N_KEYS - i);
        mqa_gguf_writer_add_bool(w, name, true);
    }
    for (int i = 0; i < N_TENSORS; i++) {
        snprintf(name, sizeof name, "t%08d", (i * 7919) % N_TENSORS);
        mqa_gguf_writer_add_tensor(w, name, MQA_GGUF_F32, 1, (size_t[]){1}, &value);
    }
    assert_int_equal(mqa_gguf_writer_finish(w, scratch("limits.gguf"), &err), MQA_OK);
    mqa_gguf_writer_add_bool(w, "one more", true);
    assert_int_equal(mqa_gguf_writer_finish(w, scratch("never.gguf"), &err), MQA_ERR_INVALID_ARGUMENT);
    mqa_gguf_writer_destroy(&w);
    const clock_t start = clock();
    assert_int_equal(exercise_file(scratch("limits.gguf"), &err), MQA_OK);
    assert_true(clock() - start < 10 * CLOCKS_PER_SEC); /* quadratic would be minutes */
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    assert_true(usage.ru_maxrss < 400 << 10); /* KiB; sanitizers included */

    bytes b = header(3, 0, N_KEYS + 1);
    FILE *f = fopen(scratch("limits.gguf"), "wb");
    assert_non_null(f);
    fwrite(b.data, 1, b.size, f);
    for (int i = 0; i <= N_KEYS; i++) fwrite("\x01\0\0\0\0\0\0\0a\0\0\0\0\0\0\0", 1, 14, f);
    fclose(f);
    assert_int_equal(exercise_file(scratch("limits.gguf"), &err), MQA_ERR_FORMAT);
    assert_non_null(strstr(err.message, "16385 keys"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers),       cmocka_unit_test(keys),    cmocka_unit_test(arrays),
        cmocka_unit_test(alignments),    cmocka_unit_test(tensors), cmocka_unit_test(values),
        cmocka_unit_test(truncations),   cmocka_unit_test(mutants), cmocka_unit_test(mutants_of_a_model),
        cmocka_unit_test(at_the_limits),
    };
    return cmocka_run_group_tests_name("gguf_hostile", tests, scratch_setup, scratch_teardown);
}
