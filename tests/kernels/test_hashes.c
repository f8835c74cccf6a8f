/* The bits of every recipe: attention over fixed inputs, hashed, against the file of hashes that every CPU
 * must reproduce (data/hashes.txt). Each recipe runs on its plain C version, so all of them are checked on
 * any machine, and on each instruction set that this one has.
 *
 * usage: test_hashes [--print]     --print writes the file's lines instead of checking them
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "kernels/reference/reference.h"
#include "kernels/valid.h"

enum { ROWS = 7, SPANS = 3, GRANULES = 8 * SPANS, LENGTH = 1100 };

static const int dims[] = {16, 64, 80, 256};
static bool printing;
static int checked;

/* Values in [-2, 2) with 16 bits, from a 64-bit LCG: exact in f32 and the same everywhere. */
static float next_value(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)((int32_t)(*state >> 48) - 32768) / 16384.0f;
}

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++) hash = (hash ^ ((const uint8_t *)data)[i]) * 1099511628211u;
    return hash;
}

static void *zeroed(size_t size)
{
    void *p = aligned_alloc(64, (size + 63) / 64 * 64);
    assert_non_null(p);
    return memset(p, 0, size);
}

/* Row r sees the tokens [13 r, LENGTH - 40 r): several spans, and both edges inside granules. rows, block: K,
 * V, q and the states are transformed in such blocks; 1: not at all. */
static uint64_t attention_hash(const mqa_attention_kernels *a, const mqa_row_kernels *rows,
                               mqa_kv_type k_type, mqa_kv_type v_type, int d, int block)
{
    uint64_t state = (uint64_t)d;
    void *k_runs[GRANULES], *v_runs[GRANULES];
    float x[256], q_data[ROWS][256], out_data[ROWS][256];
    const float *q[ROWS];
    float *out[ROWS];
    for (int g = 0; g < GRANULES; g++) {
        k_runs[g] = zeroed(mqa_k_run_bytes(k_type, d));
        v_runs[g] = zeroed(mqa_v_run_bytes(v_type, d));
    }
    for (int t = 0; t < LENGTH; t++) {
        for (int i = 0; i < d; i++) x[i] = next_value(&state);
        rows->hadamard(x, d, block);
        assert_true(mqa_pack_k(k_type, k_runs[t / MQA_GRANULE], d, t % MQA_GRANULE, x));
        for (int i = 0; i < d; i++) x[i] = next_value(&state);
        rows->hadamard(x, d, block);
        assert_true(mqa_pack_v(v_type, v_runs[t / MQA_GRANULE], d, t % MQA_GRANULE, x));
    }
    for (int r = 0; r < ROWS; r++) {
        for (int i = 0; i < d; i++) q_data[r][i] = next_value(&state);
        rows->hadamard(q_data[r], d, block);
        q[r] = q_data[r];
        out[r] = out_data[r];
    }

    void *q_block = zeroed(ROWS * MQA_Q_ROW_BYTES(d));
    float *s = zeroed(sizeof(float) * ROWS * MQA_SPAN);
    float *o[2] = {zeroed(sizeof(float) * ROWS * (size_t)MQA_PAD(d)),
                   zeroed(sizeof(float) * ROWS * (size_t)MQA_PAD(d))};
    float m[2][ROWS], l[2][ROWS], p_scale[ROWS], lse[ROWS];
    assert_true(a->pack_q[k_type](q, ROWS, d, 0.25f, q_block));
    for (int span = 0; span < SPANS; span++) {
        const void *const *k = (const void *const *)&k_runs[8 * span],
                          *const *v = (const void *const *)&v_runs[8 * span];
        const int to = span > 0;
        a->scores[k_type](q_block, ROWS, d, k, 8, NULL, s, MQA_SPAN);
        for (int r = 0; r < ROWS; r++) {
            int lo = 13 * r - MQA_SPAN * span, hi = LENGTH - 40 * r - MQA_SPAN * span;
            lo = lo < 0 ? 0 : lo;
            hi = hi < 0 ? 0 : hi > MQA_SPAN ? MQA_SPAN : hi;
            uint16_t valid[MQA_SPAN / MQA_TILE];
            mqa_valid_range(valid, MQA_SPAN / MQA_TILE, lo, hi);
            a->softmax[v_type](s + r * MQA_SPAN, 8, valid, v, &m[to][r], &l[to][r], &p_scale[r]);
        }
        a->pv[v_type](s, MQA_SPAN, p_scale, ROWS, v, 8, d, NULL, o[to]);
        if (span) a->fold(ROWS, d, m[0], l[0], o[0], m[1], l[1], o[1]);
    }
    for (int r = 0; r < ROWS; r++) rows->hadamard(o[0] + r * MQA_PAD(d), d, block);
    a->finish(ROWS, d, m[0], l[0], o[0], out, lse);

    uint64_t hash = hash_bytes(14695981039346656037u, lse, sizeof lse);
    for (int r = 0; r < ROWS; r++) hash = hash_bytes(hash, out_data[r], sizeof(float) * (size_t)d);
    for (int g = 0; g < GRANULES; g++) {
        free(k_runs[g]);
        free(v_runs[g]);
    }
    free(q_block);
    free(s);
    free(o[0]);
    free(o[1]);
    return hash;
}

/* The soft cap and ALiBi over the same values, times 8. */
static uint64_t softcap_hash(const mqa_attention_kernels *a)
{
    uint64_t state = 1;
    float x[1024];
    for (int i = 0; i < 1024; i++) x[i] = 8 * next_value(&state);
    a->softcap(x, 1024, 30.0f);
    return hash_bytes(14695981039346656037u, x, sizeof x);
}

static uint64_t alibi_hash(const mqa_attention_kernels *a)
{
    uint64_t state = 2;
    float x[1024];
    for (int i = 0; i < 1024; i++) x[i] = 8 * next_value(&state);
    a->alibi(x, 1024, -0.3f, -20000000);
    return hash_bytes(14695981039346656037u, x, sizeof x);
}

static uint64_t committed_hash(const char *recipe, const char *k, const char *v, int d)
{
    FILE *f = fopen(MQA_TEST_DATA "/hashes.txt", "r");
    assert_non_null(f);
    char line[256], name[64], kt[16], vt[16];
    unsigned long long hash, found = 0;
    int dim;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%63s %15s %15s %d %llx", name, kt, vt, &dim, &hash) == 5 && !strcmp(name, recipe) &&
            !strcmp(kt, k) && !strcmp(vt, v) && dim == d)
            found = hash;
    fclose(f);
    return found;
}

/* Scores go by K's format and the rest by V's, so not every pair is needed: each format with itself and with
 * bf16, the only one that recipes differ in (and the first three all ways). */
static bool is_hashed(int k, int v)
{
    return k == v || k == MQA_KV_BF16 || v == MQA_KV_BF16 || (k <= MQA_KV_INT8 && v <= MQA_KV_INT8);
}

static void check_hash(const char *what, const mqa_attention_kernels *a, const char *k, const char *v, int d,
                       uint64_t hash)
{
    if (printing) {
        printf("%s %s %s %d %016llx\n", a->recipe, k, v, d, (unsigned long long)hash);
        return;
    }
    const uint64_t expected = committed_hash(a->recipe, k, v, d);
    if (hash != expected)
        fail_msg("%s: %s %s %s %d: %016llx, the file says %016llx", what, a->recipe, k, v, d,
                 (unsigned long long)hash, (unsigned long long)expected);
    checked++;
}

static void check_table(const char *what, const mqa_attention_kernels *a, const mqa_row_kernels *rows)
{
    static const char *const names[MQA_KV_TYPES] = {"f32",      "bf16",     "int8", "f16",
                                                    "fp8_e4m3", "fp8_e5m2", "int4"};
    for (int k = 0; k < MQA_KV_TYPES; k++)
        for (int v = 0; v < MQA_KV_TYPES; v++)
            for (size_t i = 0; i < sizeof dims / sizeof *dims && is_hashed(k, v); i++)
                check_hash(what, a, names[k], names[v], dims[i],
                           attention_hash(a, rows, (mqa_kv_type)k, (mqa_kv_type)v, dims[i], 1));
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        const int d = dims[i], block = mqa_hadamard_block(d);
        check_hash(what, a, "bf16", "hadamard", d,
                   attention_hash(a, rows, MQA_KV_BF16, MQA_KV_BF16, d, block));
        check_hash(what, a, "int8", "hadamard", d,
                   attention_hash(a, rows, MQA_KV_INT8, MQA_KV_INT8, d, block));
        check_hash(what, a, "int4", "hadamard", d,
                   attention_hash(a, rows, MQA_KV_INT4, MQA_KV_INT4, d, block));
    }
    check_hash(what, a, "scores", "softcap", 0, softcap_hash(a));
    check_hash(what, a, "scores", "alibi", 0, alibi_hash(a));
}

static void plain_c_versions(void **unused)
{
    (void)unused;
    static mqa_kernels table;
    const mqa_kernels *reference = mqa_kernels_get(MQA_ISA_REFERENCE);
    check_table("reference", &reference->attention[MQA_NUMERICS_PORTABLE], &reference->rows);
    table = *reference;
    mqa_avx512_bf16_reference(&table);
    check_table("avx512-bf16 in plain C", &table.attention[MQA_NUMERICS_FAST], &table.rows);
    static const mqa_isa others[] = {MQA_ISA_AMX_C, MQA_ISA_NEON_C};
    for (int i = 0; i < 2; i++) {
        const mqa_kernels *k = mqa_kernels_get(others[i]);
        check_table(mqa_isa_name(others[i]), &k->attention[MQA_NUMERICS_FAST], &k->rows);
    }
}

static void every_instruction_set_here(void **unused)
{
    (void)unused;
    for (int isa = MQA_ISA_REFERENCE; isa <= MQA_ISA_NEON_C; isa++) {
        const mqa_kernels *k = mqa_kernels_get((mqa_isa)isa);
        if (!k) continue;
        const bool plain = isa == MQA_ISA_AMX_C || isa == MQA_ISA_NEON_C; /* their recipes: above */
        if (!plain) check_table(mqa_isa_name((mqa_isa)isa), &k->attention[MQA_NUMERICS_FAST], &k->rows);
        check_table(mqa_isa_name((mqa_isa)isa), &k->attention[MQA_NUMERICS_PORTABLE], &k->rows);
        print_message("%s: fast is %s\n", mqa_isa_name((mqa_isa)isa), k->attention[MQA_NUMERICS_FAST].recipe);
    }
    assert_true(checked > 0);
}

int main(int argc, char **argv)
{
    printing = argc > 1 && strcmp(argv[1], "--print") == 0;
    if (printing) {
        plain_c_versions(NULL);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_c_versions),
        cmocka_unit_test(every_instruction_set_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
