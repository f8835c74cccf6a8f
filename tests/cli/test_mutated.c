/* Damaged model files through `mqa info` and `mqa run`: each ends with 0, or with 1 or 2 and one line; none
 * by a signal, none with more memory than the file's size and 100 MB.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "drive.h"

enum { N_FILES = 250, MAX_EXTRA_KIB = 100 * 1000 };

static uint64_t random_state;

static uint64_t random_below(uint64_t n)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % n;
}

/* Metadata and tensor list come first in the file: that's where most damage goes. */
static size_t place(size_t size)
{
    size_t head = size < 65536 ? size : 65536;
    static const size_t reach[] = {64, 2048, 0, 0};
    size_t n = reach[random_below(4)];
    if (n == 0) n = random_below(4) ? head : size;
    return random_below(n < size ? n : size);
}

static void mutate(uint8_t *data, size_t *size)
{
    static const uint64_t edges[] = {
        0,         1,        UINT64_MAX,        INT64_MAX,         (uint64_t)1 << 63, UINT32_MAX,
        INT32_MAX, 1u << 31, (uint64_t)1 << 40, (uint64_t)1 << 61, 0x7fc00000,        0x7f800000,
        9,         8};
    int rounds = 1 + (int)random_below(4);
    for (int i = 0; i < rounds; i++) {
        size_t at = place(*size);
        switch (random_below(6)) {
        case 0:
            *size = at > 0 ? at : 1;
            return;
        case 1:
        case 2:
            data[at] ^= (uint8_t)(1u << random_below(8));
            break;
        case 3: {
            uint64_t value = edges[random_below(sizeof edges / sizeof edges[0])];
            size_t n = random_below(2) ? 4 : 8;
            if (at + n <= *size) memcpy(data + at, &value, n);
            break;
        }
        case 4: {
            size_t from = place(*size), n = 1 + random_below(64);
            if (at + n <= *size && from + n <= *size) memmove(data + at, data + from, n);
            break;
        }
        case 5:
            for (size_t n = 1 + random_below(16); n > 0 && at < *size; n--)
                data[at++] = (uint8_t)random_below(256);
            break;
        }
    }
}

static int check(const char *const *args, long file_kib)
{
    const drive_options options = {.most_memory = (size_t)4 << 30};
    drive_result r = drive(args, &options);
    int ok = 1;
    if (r.code != 0) ok = drive_failed_well(args, &r);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    if (r.max_rss_kib > file_kib + MAX_EXTRA_KIB) {
        printf("%s: %ld KiB of memory for a file of %ld KiB\n", args[0], r.max_rss_kib, file_kib);
        ok = 0;
    }
#else
    (void)file_kib;
#endif
    int failed = r.code != 0;
    drive_free(&r);
    return ok ? failed : -1;
}

static void mutated_files(void **state)
{
    (void)state;
    const char *model = drive_tiny_model();
    if (!model) skip();
    FILE *f = fopen(model, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    size_t whole = (size_t)ftell(f);
    rewind(f);
    uint8_t *original = malloc(whole), *data = malloc(whole);
    assert_true(original && data);
    assert_int_equal(fread(original, 1, whole, f), whole);
    fclose(f);

    int n_refused = 0, n_bad = 0;
    for (int i = 0; i < N_FILES; i++) {
        random_state = (uint64_t)i;
        size_t size = whole;
        memcpy(data, original, whole);
        mutate(data, &size);
        char path[] = "/tmp/mqa-mutated-XXXXXX";
        int fd = mkstemp(path);
        assert_true(fd >= 0 && write(fd, data, size) == (ssize_t)size);
        close(fd);
        const char *const info[] = {"info", path, NULL};
        const char *const run[] = {"run", "-m", path, "-p", "Once",   "-n", "1",
                                   "-c",  "32", "-t", "1",  "--json", NULL};
        int a = check(info, (long)(size / 1024)), b = check(run, (long)(size / 1024));
        if (a < 0 || b < 0) {
            printf("mutation %d\n", i);
            n_bad++;
        }
        n_refused += b > 0;
        unlink(path);
    }
    printf("%d of %d damaged files were refused\n", n_refused, N_FILES);
    free(original);
    free(data);
    assert_int_equal(n_bad, 0);
    assert_true(n_refused > N_FILES / 4); /* else the damage misses what matters */
}

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    drive_program = argv[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(mutated_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
