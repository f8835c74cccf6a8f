/* Machines: curves, bandwidth, the table, calibrations on disk, numbers with units.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rig.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_curve(void **unused)
{
    (void)unused;
    const mqa_curve c = {.share = {0.1, 0.3, 0.5, 0.4, 0.8, 0.9}};
    assert_true(mqa_curve_at(c.share, 0) == 0.1 && mqa_curve_at(c.share, 1) == 0.1);
    for (int i = 0; i < MQA_CURVE_POINTS; i++)
        assert_true(fabs(mqa_curve_at(c.share, mqa_curve_rows[i]) - c.share[i]) < 1e-12);
    assert_true(fabs(mqa_curve_at(c.share, 2) - 0.2) < 1e-12); /* half of the way from 1 to 4 in logarithms */
    assert_true(fabs(mqa_curve_at(c.share, 32) - 0.45) < 1e-12);
    assert_true(mqa_curve_at(c.share, 1e12) == 0.9);
}

static void test_bandwidth(void **unused)
{
    (void)unused;
    const mqa_machine m = {.bandwidth = 10, .caches = {{1000, 100, 1}, {4000, 120, 0.5}}, .n_caches = 2};
    assert_true(mqa_machine_bandwidth(&m, 1) == 100 && mqa_machine_bandwidth(&m, 1000) == 100);
    assert_true(fabs(mqa_machine_bandwidth(&m, 2000) - 80) < 1e-9);
    assert_true(fabs(mqa_machine_bandwidth(&m, 4000) - 60) < 1e-9);
    assert_true(mqa_machine_bandwidth(&m, 4001) == 5);
    assert_true(mqa_part_from_memory(&m, 60) == 1); /* no shares were measured */
    mqa_machine measured = m;
    measured.curve_bytes = 1000; /* where a byte takes 1/100, and 1/5 from memory */
    assert_true(mqa_part_from_memory(&measured, 100) == 0 && mqa_part_from_memory(&measured, 200) == 0);
    assert_true(mqa_part_from_memory(&measured, 5) == 1 && mqa_part_from_memory(&measured, 1) == 1);
    assert_true(fabs(mqa_part_from_memory(&measured, 20) - (0.05 - 0.01) / (0.2 - 0.01)) < 1e-12);
}

static void test_table(void **unused)
{
    (void)unused;
    static const char *const names[] = {"h100 sxm",
                                        "H200",
                                        "a100-80gb",
                                        "l4",
                                        "M4Max",
                                        "raspberry pi 5",
                                        "AMD Zen 4, 2 cores",
                                        "amd zen5 2 cores",
                                        "Intel AMX, 2 cores"};
    mqa_machine m;
    mqa_error err;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(mqa_machine_find(names[i], &m, &err), MQA_OK);
    assert_int_equal(mqa_machine_find("h10", &m, &err), MQA_ERR_NOT_FOUND);
    assert_int_equal(mqa_machine_find("h1000", &m, &err), MQA_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "Raspberry Pi 5"));
    for (int i = 0; i < mqa_machine_count(); i++) {
        m = *mqa_machine_at(i);
        mqa_machine_assume(&m);
        assert_ok(mqa_machine_check(&m, why));
        assert_true(m.memory > 0 && strlen(m.source) > 20);
    }
    assert_null(mqa_machine_at(-1));
    assert_null(mqa_machine_at(mqa_machine_count()));
}

static void test_check(void **unused)
{
    (void)unused;
    const mqa_machine good = machine_of("L4");
    const double bad[] = {NAN, INFINITY, -1, 0, 1e300};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        mqa_machine m = good;
        m.bandwidth = bad[i];
        assert_int_equal(mqa_machine_check(&m, NULL), MQA_ERR_INVALID_ARGUMENT);
        m = good;
        m.peak[MQA_RATE_INT8] = bad[i];
        assert_int_equal(mqa_machine_check(&m, NULL), MQA_ERR_INVALID_ARGUMENT);
        m = good;
        m.linear[0].share[3] = bad[i];
        assert_int_equal(mqa_machine_check(&m, NULL), MQA_ERR_INVALID_ARGUMENT);
        m = good;
        m.n_caches = 1;
        m.caches[0].bytes = 1;
        m.caches[0].rate = bad[i];
        m.caches[0].share = 1;
        assert_int_equal(mqa_machine_check(&m, NULL), MQA_ERR_INVALID_ARGUMENT);
        m.caches[0].rate = 1;
        m.caches[0].share = bad[i];
        assert_int_equal(mqa_machine_check(&m, NULL), MQA_ERR_INVALID_ARGUMENT);
        if (bad[i] == 0) continue;
        m = good;
        m.seconds_per_layer = bad[i];
        assert_int_equal(mqa_machine_check(&m, NULL), MQA_ERR_INVALID_ARGUMENT);
        m = good;
        m.seconds_per_score[MQA_KV_F32] = bad[i];
        assert_int_equal(mqa_machine_check(&m, NULL), MQA_ERR_INVALID_ARGUMENT);
        m = good;
        m.seconds_per_turned_value[MQA_KV_INT4] = bad[i];
        assert_int_equal(mqa_machine_check(&m, NULL), MQA_ERR_INVALID_ARGUMENT);
        m = good;
        m.seconds_per_unit = bad[i];
        assert_int_equal(mqa_machine_check(&m, NULL), MQA_ERR_INVALID_ARGUMENT);
        m = good;
        m.seconds_per_request = bad[i];
        assert_int_equal(mqa_machine_check(&m, NULL), MQA_ERR_INVALID_ARGUMENT);
    }
}

/* ---- calibrations on disk ---- */

static char folder[64];

static int make_folder(void **unused)
{
    (void)unused;
    snprintf(folder, sizeof folder, "/tmp/mqa-machine-XXXXXX");
    return mkdtemp(folder) && setenv("XDG_CACHE_HOME", folder, 1) == 0 ? 0 : -1;
}

static int drop_folder(void **unused)
{
    (void)unused;
    char line[128];
    snprintf(line, sizeof line, "rm -r %s", folder);
    return system(line);
}

static mqa_machine measured(void)
{
    mqa_machine m = machine_of("AMD Zen 4, 2 cores");
    m.measured = true;
    m.n_caches = 2;
    m.caches[0].bytes = 1 << 20;
    m.caches[0].rate = 1.25e11;
    m.caches[1].bytes = 1 << 24;
    m.caches[1].rate = 6.5e10;
    m.caches[0].share = 1;
    m.caches[1].share = 0.75;
    m.attention[MQA_KV_INT8].share[2] = 0.375;
    m.linear[MQA_WEIGHTS_5BIT].share[5] = 1.25;
    m.linear[MQA_WEIGHTS_4BIT].memory[4] = 0.625;
    m.seconds_per_layer = 2.5e-6;
    m.seconds_per_kv_value[MQA_KV_INT4] = 1.25e-8;
    m.seconds_per_value = 1.25e-10;
    m.seconds_per_score[MQA_KV_FP8_E5M2] = 2.5e-10;
    m.seconds_per_turned_value[MQA_KV_F16] = 1.5e-11;
    m.seconds_per_request = 3e-6;
    m.seconds_per_unit = 5e-7;
    m.curve_bytes = 8e6;
    return m;
}

static void test_save_and_load(void **unused)
{
    (void)unused;
    static const char key[] = "Some CPU (9 GHz), 2 threads, avx512";
    const mqa_machine m = measured();
    mqa_machine back;
    char path[256];
    assert_int_equal(mqa_machine_load(key, &back, NULL), MQA_ERR_NOT_FOUND);
    assert_ok(mqa_machine_save(key, &m, path, sizeof path, why));
    assert_ok(mqa_machine_load(key, &back, why));
    assert_string_equal(back.name, m.name);
    assert_string_equal(back.source, m.source);
    assert_true(back.measured && back.memory == m.memory && back.n_threads == m.n_threads);
    assert_true(back.bandwidth == m.bandwidth && back.n_caches == 2 && back.caches[1].rate == 6.5e10);
    assert_true(back.caches[0].share == 1 && back.caches[1].share == 0.75);
    assert_memory_equal(back.peak, m.peak, sizeof m.peak);
    assert_memory_equal(back.linear, m.linear, sizeof m.linear);
    assert_memory_equal(back.attention, m.attention, sizeof m.attention);
    assert_true(back.seconds_per_layer == 2.5e-6);
    assert_memory_equal(back.seconds_per_kv_value, m.seconds_per_kv_value, sizeof m.seconds_per_kv_value);
    assert_memory_equal(back.seconds_per_score, m.seconds_per_score, sizeof m.seconds_per_score);
    assert_memory_equal(back.seconds_per_turned_value, m.seconds_per_turned_value,
                        sizeof m.seconds_per_turned_value);
    assert_true(back.seconds_per_value == 1.25e-10);
    assert_true(back.seconds_per_request == 3e-6 && back.seconds_per_unit == 5e-7);
    assert_true(back.curve_bytes == 8e6);
    assert_ok(mqa_machine_save(key, &m, NULL, 0, why)); /* over the old one */

    /* Another key that makes the same file name is another machine. */
    mqa_error err;
    assert_int_equal(mqa_machine_load("Some CPU: 9 GHz  2 threads  avx512", &back, &err), MQA_ERR_FORMAT);
    assert_non_null(strstr(err.message, "--calibrate"));
}

static void write_file(const char *path, const char *text, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    fclose(file);
}

/* Cut short anywhere, and with any byte another: refused, or a machine that passes the checks. */
static void test_damaged(void **unused)
{
    (void)unused;
    const mqa_machine m = measured();
    char path[256];
    size_t size;
    mqa_machine back;
    mqa_error err;
    assert_ok(mqa_machine_save("damaged", &m, path, sizeof path, why));
    char *text = read_whole(path, &size);
    for (size_t n = 0; n + 2 < size; n += 37) {
        write_file(path, text, n);
        assert_int_equal(mqa_machine_load("damaged", &back, &err), MQA_ERR_FORMAT);
    }
    random_state r = {5};
    for (int i = 0; i < 500; i++) {
        const size_t at = (size_t)pick(&r, 0, (int64_t)size - 1);
        const char was = text[at];
        text[at] = (char)pick(&r, 0, 255);
        write_file(path, text, size);
        if (mqa_machine_load("damaged", &back, &err) == MQA_OK) assert_ok(mqa_machine_check(&back, why));
        text[at] = was;
    }
    free(text);
}

/* A calibration of another version of this program, whose figures mean something else. */
static void test_older(void **unused)
{
    (void)unused;
    static const char of_version[] = "\"version\": 9,", older[] = "\"version\": 8,";
    const mqa_machine m = measured();
    char path[256];
    size_t size;
    mqa_machine back;
    mqa_error err;
    assert_ok(mqa_machine_save("older", &m, path, sizeof path, why));
    char *text = read_whole(path, &size);
    char *at = strstr(text, of_version);
    assert_non_null(at);
    memcpy(at, older, sizeof older - 1);
    write_file(path, text, size);
    assert_int_equal(mqa_machine_load("older", &back, &err), MQA_ERR_FORMAT);
    assert_non_null(strstr(err.message, "mqa plan --calibrate"));
    memcpy(at, of_version, sizeof of_version - 1);
    write_file(path, text, size);
    assert_ok(mqa_machine_load("older", &back, why));
    free(text);
}

static void test_no_place(void **unused)
{
    (void)unused;
    const mqa_machine m = measured();
    mqa_error err;
    assert_int_equal(setenv("XDG_CACHE_HOME", "/dev/null", 1), 0);
    assert_int_equal(mqa_machine_save("key", &m, NULL, 0, &err), MQA_ERR_IO);
    assert_int_equal(unsetenv("XDG_CACHE_HOME"), 0);
    char *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL;
    assert_int_equal(unsetenv("HOME"), 0);
    assert_int_equal(mqa_machine_save("key", &m, NULL, 0, &err), MQA_ERR_NOT_FOUND);
    if (home) setenv("HOME", home, 1);
    free(home);
    assert_int_equal(setenv("XDG_CACHE_HOME", folder, 1), 0);
}

/* ---- units ---- */

static void test_units(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        size_t bytes;
    } bytes[] = {{"1", 1},
                 {"2GiB", (size_t)2 << 30},
                 {"2 GiB", (size_t)2 << 30},
                 {"80GB", 80000000000},
                 {"1.5 MiB", 3 << 19},
                 {"64k", 65536},
                 {"64kB", 64000},
                 {"2G", (size_t)2 << 30},
                 {"1TiB", (size_t)1 << 40}};
    static const char *const bad_bytes[] = {"",      "0",      "-1",   "nan",   "inf",  "1e99",
                                            "GiB",   "2 GiBs", "0x10", "2GiB ", "2 Q",  "0.01",
                                            "1e400", "2/s",    " 1",   "1e9",   "9000P"};
    static const struct {
        const char *text;
        double rate;
    } rates[] = {{"42e9", 42e9},        {"42GB/s", 42e9}, {"3.35 TB/s", 3.35e12}, {"989TFLOP/s", 989e12},
                 {"460 GFLOPS", 460e9}, {"1.5", 1.5},     {"2 TOPS", 2e12},       {"1GiB/s", 1073741824}};
    static const char *const bad_rates[] = {"",         "0",     "-1",   "nan",   "inf",
                                            "1 mile/s", "1e400", "GB/s", "0x1p3", "1 GB/h"};
    size_t n;
    double x;
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++)
        assert_true(mqa_parse_bytes(bytes[i].text, &n) && n == bytes[i].bytes);
    for (size_t i = 0; i < sizeof bad_bytes / sizeof bad_bytes[0]; i++)
        if (mqa_parse_bytes(bad_bytes[i], &n)) fail_msg("'%s' is %zu bytes", bad_bytes[i], n);
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        assert_true(mqa_parse_rate(rates[i].text, &x) && fabs(x / rates[i].rate - 1) < 1e-12);
    for (size_t i = 0; i < sizeof bad_rates / sizeof bad_rates[0]; i++)
        if (mqa_parse_rate(bad_rates[i], &x)) fail_msg("'%s' is %g a second", bad_rates[i], x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_curve),   cmocka_unit_test(test_bandwidth),
                                       cmocka_unit_test(test_table),   cmocka_unit_test(test_check),
                                       cmocka_unit_test(test_units),   cmocka_unit_test(test_save_and_load),
                                       cmocka_unit_test(test_damaged), cmocka_unit_test(test_older),
                                       cmocka_unit_test(test_no_place)};
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
