/* Files without a name, and checksums.
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

#include "base/checksum.h"
#include "base/unnamed_file.h"

static int names_in(const char *folder)
{
    int n = 0;
    DIR *dir = opendir(folder);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void nobody_else_sees_them(void **state)
{
    (void)state;
    char folder[] = "/tmp/mqa-unnamed-XXXXXX";
    assert_non_null(mkdtemp(folder));
    for (int named = 0; named < 2; named++) {
        int fd = -1;
        struct stat st;
        mqa_error err;
        char bytes[8];
        assert_int_equal((named ? mqa_unnamed_file_open_named : mqa_unnamed_file_open)(folder, &fd, &err),
                         MQA_OK);
        assert_int_equal(fstat(fd, &st), 0);
        assert_true(st.st_nlink == 0 && (st.st_mode & 07777) == 0600 && names_in(folder) == 0);
        assert_int_equal(mqa_file_write_at(fd, 3, "hello", 5, &err), MQA_OK);
        assert_int_equal(mqa_file_read_at(fd, 0, bytes, 8, &err), MQA_OK);
        assert_memory_equal(bytes, "\0\0\0hello", 8);
        assert_int_equal(mqa_file_read_at(fd, 1, bytes, 8, &err), MQA_ERR_FORMAT);
        assert_non_null(strstr(err.message, "ends at byte 8"));
        close(fd);
        assert_int_equal(mqa_file_read_at(fd, 0, bytes, 8, &err), MQA_ERR_IO);
        assert_int_equal(mqa_file_write_at(fd, 0, bytes, 8, &err), MQA_ERR_IO);
    }
    assert_int_equal(rmdir(folder), 0);
    int fd;
    assert_int_equal(mqa_unnamed_file_open(folder, &fd, NULL), MQA_ERR_IO);
    assert_int_equal(mqa_unnamed_file_open_named(folder, &fd, NULL), MQA_ERR_IO);
    assert_int_equal(mqa_unnamed_files_clean(folder, NULL), MQA_ERR_IO);
}

static void names_that_were_left_go_and_no_others(void **state)
{
    (void)state;
    char folder[] = "/tmp/mqa-unnamed-XXXXXX", path[100];
    static const char *const names[] = {"mqa-unnamed.123456", "mqa-unnamed.", "mqa-unnamed", "mine"};
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        fclose(fopen(path, "w"));
    }
    assert_int_equal(mqa_unnamed_files_clean(folder, NULL), MQA_OK);
    assert_int_equal(names_in(folder), 2);
    for (int i = 2; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(folder), 0);
}

/* Every bit, length and seed counts, and so does the order. */
static void a_checksum_sees_every_change(void **state)
{
    (void)state;
    enum { N = 200 };
    unsigned char bytes[N];
    for (int i = 0; i < N; i++) bytes[i] = (unsigned char)(i * 37);
    for (size_t n = 0; n <= N; n++) {
        const uint64_t sum = mqa_checksum(7, bytes, n);
        assert_int_equal(mqa_checksum(7, bytes, n), sum);
        assert_true(mqa_checksum(8, bytes, n) != sum);
        assert_true(n == 0 || mqa_checksum(7, bytes, n - 1) != sum);
        for (size_t bit = 0; bit < 8 * n; bit++) {
            bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
            assert_true(mqa_checksum(7, bytes, n) != sum);
            bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        }
    }
    unsigned char zeros[64] = {0}, swapped[64];
    assert_true(mqa_checksum(0, zeros, 32) != mqa_checksum(0, zeros, 64));
    memcpy(swapped, bytes + 32, 32);
    memcpy(swapped + 32, bytes, 32);
    assert_true(mqa_checksum(0, swapped, 64) != mqa_checksum(0, bytes, 64));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nobody_else_sees_them),
                                       cmocka_unit_test(names_that_were_left_go_and_no_others),
                                       cmocka_unit_test(a_checksum_sees_every_change)};
    return cmocka_run_group_tests_name("unnamed_file", tests, NULL, NULL);
}
