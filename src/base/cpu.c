/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cpu.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)

#include <cpuid.h>

enum { /* XCR0: which registers the operating system saves */
       XCR0_AVX = 0x6,
       XCR0_AVX512 = 0xe6,
       XCR0_AMX = 0x60000
};
enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };

static bool bit(unsigned word, int n)
{
    return word >> n & 1;
}

static uint64_t xcr0(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0)); /* the intrinsic would need -mxsave */
    return (uint64_t)hi << 32 | lo;
}

/* Linux gives AMX's 8 KiB of tile state only to processes that ask, before their first use of a tile. */
static bool ask_for_tiles(void)
{
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

static void read_name(mqa_cpu *cpu)
{
    unsigned r[12] = {0};
    if ((unsigned)__get_cpuid_max(0x80000000, NULL) < 0x80000004) return; /* clang: int */
    for (unsigned i = 0; i < 3; i++)
        __get_cpuid(0x80000002 + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2], &r[4 * i + 3]);
    char brand[49] = {0};
    memcpy(brand, r, sizeof r);
    const char *start = brand + strspn(brand, " ");
    size_t n = strlen(start);
    while (n > 0 && start[n - 1] == ' ') n--;
    if (n > 0) snprintf(cpu->name, sizeof cpu->name, "%.*s", (int)n, start);
}

static void detect(mqa_cpu *cpu)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(0, &a, &b, &c, &d)) return;
    unsigned vendor[3] = {b, d, c};
    memcpy(cpu->vendor, vendor, sizeof vendor);
    read_name(cpu);

    __get_cpuid(1, &a, &b, &c, &d);
    int family = a >> 8 & 15, model = a >> 4 & 15;
    if (family == 6 || family == 15) model += (a >> 16 & 15) << 4;
    if (family == 15) family += a >> 20 & 255;
    cpu->family = family;
    cpu->model = model;

    bool osxsave = bit(c, 27);
    uint64_t os = osxsave ? xcr0() : 0;
    bool os_avx = (os & XCR0_AVX) == XCR0_AVX && bit(c, 28);
    bool os_avx512 = os_avx && (os & XCR0_AVX512) == XCR0_AVX512;
    bool os_amx = (os & XCR0_AMX) == XCR0_AMX;
    cpu->fma = os_avx && bit(c, 12);
    cpu->f16c = os_avx && bit(c, 29);

    unsigned n_subleaves;
    if (!__get_cpuid_count(7, 0, &n_subleaves, &b, &c, &d)) return;
    cpu->avx2 = os_avx && bit(b, 5);
    cpu->avx512 = os_avx512 && bit(b, 16) && bit(b, 30) && bit(b, 31) && bit(b, 17); /* F, BW, VL, DQ */
    cpu->avx512_vnni = cpu->avx512 && bit(c, 11);
    if (os_amx && bit(d, 24) && ask_for_tiles()) {
        cpu->amx_tile = true;
        cpu->amx_int8 = bit(d, 25);
        cpu->amx_bf16 = bit(d, 22);
    }
    if (n_subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) {
        cpu->avx_vnni = cpu->avx2 && bit(a, 4);
        cpu->avx512_bf16 = cpu->avx512 && bit(a, 5);
    }
}

#elif defined(__aarch64__)

#include <sys/auxv.h>

enum { /* Linux's HWCAP bits; older headers lack the later ones */
       CAP_ASIMD = 1 << 1,
       CAP_ASIMDDP = 1 << 20,
       CAP2_I8MM = 1 << 13,
       CAP2_BF16 = 1 << 14
};

static void detect(mqa_cpu *cpu)
{
    unsigned long caps = getauxval(AT_HWCAP), caps2 = getauxval(AT_HWCAP2);
    cpu->neon = caps & CAP_ASIMD;
    cpu->neon_dotprod = caps & CAP_ASIMDDP;
    cpu->neon_i8mm = caps2 & CAP2_I8MM;
    cpu->neon_bf16 = caps2 & CAP2_BF16;

    /* The kernel gives a process the identification register in text. */
    FILE *f = fopen("/sys/devices/system/cpu/cpu0/regs/identification/midr_el1", "re");
    unsigned long long midr = 0;
    if (f && fscanf(f, "%llx", &midr) == 1) {
        int implementer = (int)(midr >> 24 & 255);
        snprintf(cpu->vendor, sizeof cpu->vendor, "0x%02x", implementer);
        cpu->family = implementer;
        cpu->model = (int)(midr >> 4 & 0xfff);
        snprintf(cpu->name, sizeof cpu->name, "aarch64 implementer 0x%02x part 0x%03x", implementer,
                 cpu->model);
    }
    if (f) fclose(f);
}

#else

static void detect(mqa_cpu *cpu)
{
    (void)cpu;
}

#endif

/* "/sys/devices/system/cpu/cpu0/cache/index2/size" and the like. */
static bool cache_file(int index, const char *name, char *text, int size)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, name);
    FILE *f = fopen(path, "re");
    if (!f) return false;
    bool ok = fgets(text, size, f) != NULL;
    fclose(f);
    return ok;
}

static long parse_size(const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (n < 0 || n > 1L << 32) return 0;
    return *end == 'K' ? n << 10 : *end == 'M' ? n << 20 : n;
}

static void read_caches(mqa_cpu *cpu)
{
    char type[32], level[16], size[32];
    for (int i = 0; i < 16 && cache_file(i, "type", type, sizeof type); i++) {
        if (!cache_file(i, "level", level, sizeof level) || !cache_file(i, "size", size, sizeof size))
            continue;
        if (type[0] == 'I') continue; /* instructions */
        long bytes = parse_size(size);
        if (level[0] == '1') cpu->l1d_bytes = bytes;
        if (level[0] == '2') cpu->l2_bytes = bytes;
        if (level[0] == '3') cpu->l3_bytes = bytes;
    }
#ifdef _SC_LEVEL1_DCACHE_SIZE
    struct {
        long *bytes;
        int name;
    } known[] = {{&cpu->l1d_bytes, _SC_LEVEL1_DCACHE_SIZE},
                 {&cpu->l2_bytes, _SC_LEVEL2_CACHE_SIZE},
                 {&cpu->l3_bytes, _SC_LEVEL3_CACHE_SIZE}};
    for (int i = 0; i < 3; i++) {
        long bytes = *known[i].bytes == 0 ? sysconf(known[i].name) : 0;
        if (bytes > 0) *known[i].bytes = bytes;
    }
#endif
}

static mqa_cpu the_cpu;

static void detect_once(void)
{
    snprintf(the_cpu.name, sizeof the_cpu.name, "unknown");
    detect(&the_cpu);
    read_caches(&the_cpu);
}

const mqa_cpu *mqa_cpu_detect(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, detect_once);
    return &the_cpu;
}
