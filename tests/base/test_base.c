/* Status, memory, files and logging.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/new_file.h"
#include "base/status.h"
#include "base/take_struct.h"
#include "mqa/version.h"

static void status_names(void **state)
{
    (void)state;
    assert_string_equal(mqa_status_name(MQA_OK), "MQA_OK");
    assert_string_equal(mqa_status_name(MQA_ERR_INTERNAL), "MQA_ERR_INTERNAL");
    for (int i = MQA_OK; i <= MQA_ERR_INTERNAL; i++) {
        assert_non_null(mqa_status_name((mqa_status)i));
        assert_true(strlen(mqa_status_message((mqa_status)i)) > 3);
    }
    assert_non_null(mqa_status_name((mqa_status)-1));
    assert_non_null(mqa_status_message((mqa_status)99));
}

static void fail_makes_one_line(void **state)
{
    (void)state;
    mqa_error err;
    assert_int_equal(mqa_fail(NULL, MQA_ERR_IO, "x"), MQA_ERR_IO);
    assert_int_equal(
        mqa_fail(&err, MQA_ERR_FORMAT, "a\nb\x1b[0m %s %d", "\xc3\xa9\xff\xe2\x82\xac\xc2\x85", 7),
        MQA_ERR_FORMAT);
    assert_int_equal(err.status, MQA_ERR_FORMAT);
    assert_string_equal(err.message, "a?b?[0m \xc3\xa9?\xe2\x82\xac?? 7");
    mqa_fail(&err, MQA_ERR_IO, "outer: %s", "inner");
    mqa_fail(&err, MQA_ERR_IO, "more: %s", err.message);
    assert_string_equal(err.message, "more: outer: inner");

    char big[1200]; /* cut in the middle of a character */
    for (size_t i = 0; i + 3 < sizeof big; i += 3) memcpy(big + i, "\xe2\x82\xac", 4);
    mqa_fail(&err, MQA_ERR_IO, "%s", big);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    assert_int_equal(err.message[sizeof err.message - 2], '?');
}

/* What a program built with other headers passes: three versions of one struct. */
typedef struct options_1 {
    size_t struct_size;
    int64_t a;
} options_1;
typedef struct options_2 {
    size_t struct_size;
    int64_t a, b;
} options_2;
typedef struct options_3 {
    size_t struct_size;
    int64_t a, b, c;
} options_3;

static mqa_status take_2(const void *given, options_2 *own, mqa_error *err)
{
    return mqa_take_struct("options", given, own, sizeof *own, sizeof(options_1), err);
}

static void structs_grow(void **state)
{
    (void)state;
    mqa_error err;
    options_2 own = {.b = 99};
    assert_int_equal(take_2(&(options_1){sizeof(options_1), 5}, &own, &err), MQA_OK);
    assert_int_equal(own.struct_size, sizeof own);
    assert_int_equal(own.a, 5);
    assert_int_equal(own.b, 0); /* not what lay there */
    assert_int_equal(take_2(&(options_2){sizeof(options_2), 5, 6}, &own, &err), MQA_OK);
    assert_int_equal(own.b, 6);
    assert_int_equal(take_2(&(options_3){sizeof(options_3), 7, 8, 0}, &own, &err), MQA_OK);
    assert_int_equal(own.struct_size, sizeof own);
    assert_int_equal(own.a + own.b, 15);
    own.b = 99;
    assert_int_equal(take_2(&(options_3){sizeof(options_3), 7, 8, 1}, &own, &err), MQA_ERR_UNSUPPORTED);
    assert_int_equal(own.b, 99);
    assert_non_null(strstr(err.message, "byte 24"));
    assert_int_equal(take_2(NULL, &own, &err), MQA_ERR_INVALID_ARGUMENT);
    static const size_t never[] = {0, 3, sizeof(options_1) - 1, SIZE_MAX};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(take_2(&(options_2){.struct_size = never[i]}, &own, &err), MQA_ERR_INVALID_ARGUMENT);

    const options_2 defaults = {.a = 1, .b = 2};
    options_1 old = {0};
    mqa_give_struct(&defaults, sizeof defaults, &old, sizeof old); /* a write beyond it: the sanitizer's */
    assert_int_equal(old.struct_size, sizeof old);
    assert_int_equal(old.a, 1);
    options_3 new = {.c = 99};
    mqa_give_struct(&defaults, sizeof defaults, &new, sizeof new);
    assert_int_equal(new.struct_size, sizeof new);
    assert_int_equal(new.b, 2);
    assert_int_equal(new.c, 0);
    mqa_give_struct(&defaults, sizeof defaults, NULL, sizeof new);
    mqa_give_struct(&defaults, sizeof defaults, &new, 4);
}

static void version(void **state)
{
    (void)state;
    char text[40];
    snprintf(text, sizeof text, "%d.%d.%d", MQA_VERSION_MAJOR, MQA_VERSION_MINOR, MQA_VERSION_PATCH);
    assert_string_equal(mqa_version(), text);
}

typedef struct counts {
    int live;
    size_t bytes, alignment;
} counts;

static void *counting_alloc(void *user, size_t size, size_t alignment)
{
    counts *c = user;
    void *ptr = NULL;
    if (posix_memalign(&ptr, alignment, size) != 0) return NULL;
    memset(ptr, 0xaa, size);
    c->live++, c->bytes += size, c->alignment = alignment;
    return ptr;
}

static void counting_free(void *user, void *ptr, size_t size)
{
    counts *c = user;
    c->live--, c->bytes -= size;
    free(ptr);
}

static void check_block(const mqa_allocator *allocator, size_t size)
{
    unsigned char *p = mqa_alloc(allocator, size);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % MQA_CACHE_LINE, 0);
    if (size >= 2u << 20) assert_int_equal((uintptr_t)p % (2u << 20), 0);
    for (size_t i = 0; i<size; i += size> 4096 ? 509 : 1) assert_int_equal(p[i], 0);
    assert_int_equal(p[size - 1], 0);
    memset(p, 1, size);
    mqa_release(allocator, p, size);
}

static void memory(void **state)
{
    (void)state;
    counts c = {0};
    const mqa_allocator own = {counting_alloc, counting_free, &c};
    const size_t sizes[] = {1, 63, 64, 65, 4096, (2u << 20) - 1, 2u << 20, (2u << 20) + 1, (5u << 20) + 3};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        check_block(NULL, sizes[i]);
        check_block(&own, sizes[i]);
        assert_int_equal(c.alignment, sizes[i] >= 2u << 20 ? 2u << 20 : 64u);
    }
    assert_int_equal(c.live, 0);
    assert_int_equal(c.bytes, 0);

    assert_null(mqa_alloc(NULL, 0));
    assert_null(mqa_alloc(NULL, SIZE_MAX));
    assert_null(mqa_alloc(NULL, SIZE_MAX - (2u << 20)));
    assert_null(mqa_alloc_array(NULL, SIZE_MAX / 2, 3));
    mqa_release(NULL, NULL, 100);
    size_t n = 7;
    assert_false(mqa_mul(SIZE_MAX, 2, &n));
    assert_false(mqa_add(SIZE_MAX, 1, &n));
    assert_int_equal(n, 7);
    assert_int_equal(mqa_round_up(65, 64), 128);
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
    } good[] = {
        {"0", 0},
        {"1500000", 1500000},
        {"7B", 7},
        {"64K", 65536},
        {"64 kib", 65536},
        {"64KB", 64000},
        {"2GiB", (size_t)2 << 30},
        {"1.5G", (size_t)3 << 29},
        {".5M", 1 << 19},
        {"0.0000001K", 0},
        {"3MB", 3000000},
        {"1T", (size_t)1 << 40},
        {"18446744073709551615", SIZE_MAX},
        {"16383.99P", 0xfffff5c28f5c28f5},
    };
    static const char *const bad[] = {
        "",     " ",     "GiB",   "-1",  "+1",    "1e9",    "0x10",
        "1..2", "1.2.3", "2GiBs", "2iB", "2 G B", "16384P", "18446744073709551616",
        "nan",  "1E"};
    size_t bytes;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!mqa_bytes_parse(good[i].text, &bytes)) fail_msg("refused: %s", good[i].text);
        assert_int_equal(bytes, good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (mqa_bytes_parse(bad[i], &bytes)) fail_msg("taken: %s", bad[i]);
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static void files(void **state)
{
    (void)state;
    char dir[] = "/tmp/mqa-base-XXXXXX", path[64], fifo[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/file", dir);
    snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    mqa_file file;
    mqa_error err;
    assert_int_equal(mqa_file_map(path, &file, &err), MQA_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(mqa_file_map(dir, &file, &err), MQA_ERR_IO);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(mqa_file_map(fifo, &file, &err), MQA_ERR_IO);
    assert_int_equal(mqa_file_map(NULL, &file, &err), MQA_ERR_INVALID_ARGUMENT);

    write_file(path, "", 0);
    assert_int_equal(mqa_file_map(path, &file, &err), MQA_OK);
    assert_int_equal(file.size, 0);
    mqa_file_give_back(&file, 0, 10);
    mqa_file_unmap(&file);

    static uint8_t bytes[10000];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 7);
    write_file(path, bytes, sizeof bytes);
    assert_int_equal(mqa_file_map(path, &file, &err), MQA_OK);
    assert_int_equal(file.size, sizeof bytes);
    assert_string_equal(file.path, path);
    mqa_file_give_back(&file, 5, 9000);
    mqa_file_give_back(&file, 9999, SIZE_MAX);
    mqa_file_give_back(&file, SIZE_MAX, 5);
    assert_memory_equal(file.data, bytes, sizeof bytes); /* given back, and still there */
    mqa_file_unmap(&file);
    assert_null(file.data);
    mqa_file_unmap(&file);
    unlink(path), unlink(fifo), rmdir(dir);
}

static int entries(const char *dir)
{
    int n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    while (readdir(d)) n++;
    closedir(d);
    return n - 2;
}

static void content_is(const char *path, const char *text)
{
    mqa_file file;
    assert_int_equal(mqa_file_map(path, &file, NULL), MQA_OK);
    assert_int_equal(file.size, strlen(text));
    assert_memory_equal(file.data, text, file.size);
    mqa_file_unmap(&file);
}

/* Whole or not at all, and nothing is left beside it. */
static void new_files(void **state)
{
    (void)state;
    char dir[] = "/tmp/mqa-base-XXXXXX", path[64], deep[80];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/file", dir);
    snprintf(deep, sizeof deep, "%s/no/file", dir);
    mqa_new_file file;
    mqa_error err;
    assert_int_equal(mqa_new_file_open(deep, &file, &err), MQA_ERR_IO);
    mqa_new_file_abandon(&file);
    assert_int_equal(mqa_new_file_open(dir, &file, &err), MQA_ERR_IO);
    snprintf(deep, sizeof deep, "%s/fifo", dir); /* a device would do, but not if the check were broken */
    assert_int_equal(mkfifo(deep, 0600), 0);
    assert_int_equal(mqa_new_file_open(deep, &file, &err), MQA_ERR_IO);
    assert_non_null(strstr(err.message, "/fifo: not a regular file; give the path of one, or of none"));
    unlink(deep);
    assert_int_equal(entries(dir), 0);

    assert_int_equal(mqa_new_file_open(path, &file, &err), MQA_OK);
    fputs("one", file.stream);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(mqa_new_file_finish(&file, &err), MQA_OK);
    mqa_new_file_abandon(&file);
    content_is(path, "one");

    assert_int_equal(mqa_new_file_open(path, &file, &err), MQA_OK);
    fputs("two", file.stream);
    fflush(file.stream);
    content_is(path, "one");
    mqa_new_file_abandon(&file);
    content_is(path, "one");

    assert_int_equal(mqa_new_file_open(path, &file, &err), MQA_OK);
    assert_non_null(freopen("/dev/full", "w", file.stream)); /* a disk that is full */
    setvbuf(file.stream, NULL, _IONBF, 0);
    fputs("two", file.stream);
    assert_int_equal(mqa_new_file_finish(&file, &err), MQA_ERR_IO);
    assert_non_null(strstr(err.message, "No space left"));
    content_is(path, "one");

    assert_int_equal(mqa_new_file_open(path, &file, &err), MQA_OK);
    fputs("two", file.stream);
    assert_int_equal(mqa_new_file_finish(&file, &err), MQA_OK);
    content_is(path, "two");
    assert_int_equal(entries(dir), 1);

    snprintf(deep, sizeof deep, "%s/link", dir); /* as /dev/stdout is one */
    assert_int_equal(symlink(path, deep), 0);
    assert_int_equal(mqa_new_file_open(deep, &file, &err), MQA_ERR_IO);
    unlink(deep), unlink(path), rmdir(dir);
}

static void cursor(void **state)
{
    (void)state;
    const uint8_t data[] = {1,  2, 3, 4,    5,    6, 7, 8, 9, 10, 11, 12,   13,   14,
                            15, 0, 0, 0x80, 0x3f, 0, 0, 0, 0, 0,  0,  0xf8, 0xbf, 42};
    mqa_cursor c = mqa_cursor_make(data, sizeof data);
    assert_int_equal(mqa_cursor_u8(&c), 1);
    assert_int_equal(mqa_cursor_u16(&c), 0x0302);
    assert_int_equal(mqa_cursor_u32(&c), 0x07060504);
    assert_true(mqa_cursor_u64(&c) == UINT64_C(0x0f0e0d0c0b0a0908));
    assert_true(mqa_cursor_f32(&c) == 1.0f);
    assert_true(mqa_cursor_f64(&c) == -1.5);
    assert_int_equal(c.position, sizeof data - 1);
    assert_int_equal(mqa_cursor_u16(&c), 0); /* one byte left: past the end */
    assert_false(c.ok);
    assert_int_equal(c.position, sizeof data - 1);
    assert_int_equal(mqa_cursor_u8(&c), 0); /* and it stays failed */
    c = mqa_cursor_make(data, sizeof data);
    assert_ptr_equal(mqa_cursor_bytes(&c, 3), data);
    assert_null(mqa_cursor_bytes(&c, SIZE_MAX));
    assert_false(c.ok);
}

static void keep_line(void *user, mqa_log_level level, const char *text)
{
    snprintf(user, 100, "%d:%s", (int)level, text);
}

static void logging(void **state)
{
    (void)state;
    char line[100] = "";
    const mqa_log_sink sink = {keep_line, line};
    mqa_log(NULL, MQA_LOG_INFO, "nobody hears %d", 1);
    mqa_log(&(mqa_log_sink){0}, MQA_LOG_INFO, "nobody hears %d", 2);
    mqa_log(&sink, MQA_LOG_WARN, "n = %d\n", 3);
    assert_string_equal(line, "2:n = 3?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_names), cmocka_unit_test(fail_makes_one_line),
        cmocka_unit_test(structs_grow), cmocka_unit_test(version),
        cmocka_unit_test(sizes),        cmocka_unit_test(memory),
        cmocka_unit_test(files),        cmocka_unit_test(new_files),
        cmocka_unit_test(cursor),       cmocka_unit_test(logging),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
