/* The harness: see checkkern.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "checkkern.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/half.h"

int ck_n_tables;
const mqa_kernels *ck_tables[16];
static const char *names[16];

void ck_add_table(const char *name, const mqa_kernels *k)
{
    names[ck_n_tables] = name;
    ck_tables[ck_n_tables++] = k;
}

const char *ck_name(const mqa_kernels *k)
{
    for (int i = 0; i < ck_n_tables; i++)
        if (ck_tables[i] == k) return names[i];
    return mqa_isa_name(k->isa);
}

static char current[256];
static int failures, checks;

void ck_case(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(current, sizeof current, fmt, args);
    va_end(args);
}

void ck_fail(const char *fmt, ...)
{
    va_list args;
    if (failures++ >= 20) return;
    printf("FAILED %s: ", current);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("\n");
}

void ck_same(const char *what, const float *expected, const float *got, size_t n)
{
    checks++;
    for (size_t i = 0; i < n; i++) {
        if (isnan(expected[i]) && isnan(got[i])) continue;
        if (mqa_f32_bits(expected[i]) == mqa_f32_bits(got[i])) continue;
        ck_fail("%s[%zu] is %a, should be %a", what, i, (double)got[i], (double)expected[i]);
        return;
    }
}

void ck_same_bytes(const char *what, const void *expected, const void *got, size_t n)
{
    const uint8_t *a = expected, *b = got;
    checks++;
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i]) {
            ck_fail("byte %zu of %s is %d, should be %d", i, what, b[i], a[i]);
            return;
        }
}

/* --- buffers --- */

enum { FILL = 0xa5, MAX_BUFFERS = 8192 };
static struct {
    uint8_t *map, *data;
    size_t map_size, usable, size;
} buffers[MAX_BUFFERS];
static int n_buffers;

void *ck_buffer(size_t size, size_t alignment)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t usable = (size + alignment + 64 + page - 1) / page * page;
    uint8_t *map = mmap(NULL, usable + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || n_buffers == MAX_BUFFERS || mprotect(map + usable, page, PROT_NONE) != 0) {
        fprintf(stderr, "checkkern: no memory for a buffer of %zu bytes\n", size);
        exit(1);
    }
    uint8_t *data = map + (usable - size) / alignment * alignment;
    memset(map, FILL, usable);
    buffers[n_buffers].map = map;
    buffers[n_buffers].data = data;
    buffers[n_buffers].map_size = usable + page;
    buffers[n_buffers].usable = usable;
    buffers[n_buffers++].size = size;
    return data;
}

void ck_release_all(void)
{
    while (n_buffers) {
        n_buffers--;
        const uint8_t *map = buffers[n_buffers].map, *data = buffers[n_buffers].data;
        for (size_t i = 0; i < buffers[n_buffers].usable; i++)
            if ((map + i < data || map + i >= data + buffers[n_buffers].size) && map[i] != FILL) {
                ck_fail("wrote at %td of a buffer of %zu bytes", map + i - data, buffers[n_buffers].size);
                break;
            }
        munmap(buffers[n_buffers].map, buffers[n_buffers].map_size);
    }
}

static void on_fault(int signal_number)
{
    static const char text[] = "FAILED by a fault (access beyond a buffer, or an illegal instruction) in: ";
    if (write(1, text, sizeof text - 1) < 0 || write(1, current, strlen(current)) < 0 ||
        write(1, "\n", 1) < 0)
        signal_number = 0;
    _exit(128 + signal_number);
}

/* --- random values --- */

static uint64_t state = 88172645463325252u;

uint32_t ck_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}
float ck_uniform(float lo, float hi)
{
    return lo + (hi - lo) * (float)(ck_random() >> 8) * 0x1p-24f;
}
float ck_normal(void) /* nearly: a sum of twelve uniform ones */
{
    float x = -6.0f;
    for (int i = 0; i < 12; i++) x += ck_uniform(0, 1);
    return x;
}
void ck_fill_normal(float *x, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++) x[i] = scale * ck_normal();
}

/* --- time --- */

double ck_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double best_rate(void (*fn)(void *arg), void *arg, double (*clock)(void), double burst, int tries)
{
    double best = 0;
    for (long n = 1; tries;) {
        const double start = clock();
        for (long i = 0; i < n; i++) fn(arg);
        const double seconds = clock() - start;
        if (seconds < burst && (double)n / 2 < 1.0 / burst * 1e7) {
            n *= 2;
            continue;
        }
        if ((double)n / seconds > best) best = (double)n / seconds;
        tries--;
    }
    return best;
}

double ck_rate(void (*fn)(void *arg), void *arg)
{
    return best_rate(fn, arg, cpu_seconds, 0.002, 20);
}

double ck_wall_rate(void (*fn)(void *arg), void *arg)
{
    return best_rate(fn, arg, ck_seconds, 0.03, 8);
}

static void thousand_cycles(void *arg)
{
    uint64_t *x = arg, y = *x;
#if defined(__x86_64__)
    for (int i = 0; i < 100; i++) /* ten additions, each waiting for the one before */
        __asm__ volatile("add $1, %0; add $1, %0; add $1, %0; add $1, %0; add $1, %0;"
                         "add $1, %0; add $1, %0; add $1, %0; add $1, %0; add $1, %0"
                         : "+r"(y));
#endif
    *x = y;
}

double ck_gigahertz(void)
{
    uint64_t x = 0;
    return 1e-6 * ck_rate(thousand_cycles, &x);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*check)(void), (*bench)(void);
    } families[] = {{"linear", check_linear, bench_linear},
                    {"rows", check_rows, bench_rows},
                    {"attention", check_attention, bench_attention},
                    {"pairs", check_pairs, NULL},
                    {"scores", check_scores, NULL},
                    {"math", check_math, NULL}};
    enum { FAMILIES = sizeof families / sizeof *families };
    int bench = 0, wanted[FAMILIES] = {0}, any = 0;
    for (int i = 1; i < argc; i++) {
        int known = strcmp(argv[i], "--bench") == 0;
        bench |= known;
        for (int f = 0; f < FAMILIES; f++)
            if (strcmp(argv[i], families[f].name) == 0) known = any = wanted[f] = 1;
        if (!known) {
            fprintf(stderr,
                    "checkkern: '%s' is neither --bench nor linear, rows, attention, pairs, scores or math\n",
                    argv[i]);
            return 2;
        }
    }
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
    signal(SIGILL, on_fault);
    signal(SIGFPE, on_fault);
    for (int isa = MQA_ISA_AVX2; isa <= MQA_ISA_NEON; isa++)
        if (mqa_isa_available((mqa_isa)isa))
            ck_add_table(mqa_isa_name((mqa_isa)isa), mqa_kernels_get((mqa_isa)isa));
    ck_add_variants();
    printf("checkkern on %s:", mqa_cpu_detect()->name);
    for (int i = 0; i < ck_n_tables; i++) printf("%s %s", i ? "," : "", names[i]);
    printf("\n");
    for (int f = 0; f < FAMILIES; f++) {
        if (any && !wanted[f]) continue;
        const int failed = failures, checked = checks;
        void (*const run)(void) = bench ? families[f].bench : families[f].check;
        if (run == NULL) continue;
        run();
        ck_release_all();
        if (!bench && checks > checked)
            printf("%-10s %d comparisons, %d failures\n", families[f].name, checks - checked,
                   failures - failed);
        else if (!bench)
            printf("%-10s %d failures\n", families[f].name, failures - failed);
    }
    return failures ? 1 : 0;
}
