/* Row kernels of every instruction set against the plain C ones; math.c has the errors of the latter.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checkkern.h"

/* Normal values with a few that stand at the edges of what exp and the like do. */
static float *make_values(int n, int edges)
{
    static const float odd[] = {0.0f,  -0.0f,  88.0f,  89.0f,   -87.0f, -87.1f,
                                1e30f, -1e30f, 1e-40f, -1e-40f, 200.0f, -200.0f};
    float *x = ck_buffer(sizeof(float) * (size_t)n, 4);
    ck_fill_normal(x, (size_t)n, 4.0f);
    for (int i = 0; i < n && edges; i++)
        if (ck_random() % 4 == 0) x[i] = odd[ck_random() % (sizeof odd / sizeof *odd)];
    return x;
}

static float *copy_of(const float *x, int n)
{
    float *y = ck_buffer(sizeof(float) * (size_t)n, 4);
    memcpy(y, x, sizeof(float) * (size_t)n);
    return y;
}

typedef void two_rows_fn(const float *, const float *, int, float *);

/* y apart, y the first, y the second. */
static void check_gate(const char *name, two_rows_fn *reference, two_rows_fn *tested, const float *gate,
                       const float *up, int n)
{
    float *a = ck_buffer(sizeof(float) * (size_t)n, 4), *b = ck_buffer(sizeof(float) * (size_t)n, 4);
    reference(gate, up, n, a);
    tested(gate, up, n, b);
    ck_same(name, a, b, (size_t)n);
    b = copy_of(gate, n);
    tested(b, up, n, b);
    ck_same(name, a, b, (size_t)n);
    b = copy_of(up, n);
    tested(gate, b, n, b);
    ck_same(name, a, b, (size_t)n);
}

static void check_size(const mqa_row_kernels *reference, const mqa_kernels *table, int n, int edges)
{
    const mqa_row_kernels *tested = &table->rows;
    float *x = make_values(n, edges), *w = make_values(n, 0), *y = make_values(n, 0), *a, *b;
    ck_case("rows %s, n %d", ck_name(table), n);
    check_gate("gelu_mul", reference->gelu_mul, tested->gelu_mul, x, w, n);
    check_gate("silu_mul", reference->silu_mul, tested->silu_mul, x, w, n);

    a = ck_buffer(sizeof(float) * (size_t)n, 4);
    b = ck_buffer(sizeof(float) * (size_t)n, 4);
    reference->rms_norm(x, w, n, 1e-6f, a);
    tested->rms_norm(x, w, n, 1e-6f, b);
    ck_same("rms_norm", a, b, (size_t)n);
    b = copy_of(x, n);
    tested->rms_norm(b, w, n, 1e-6f, b);
    ck_same("rms_norm in place", a, b, (size_t)n);

    reference->scale(a, x, 0.3f, n);
    b = copy_of(x, n);
    tested->scale(b, b, 0.3f, n);
    ck_same("scale", a, b, (size_t)n);
    reference->add(a = copy_of(y, n), x, n);
    tested->add(b = copy_of(y, n), x, n);
    ck_same("add", a, b, (size_t)n);

    const float sums[2] = {reference->exp_sum(x, 1.5f, n, a), tested->exp_sum(copy_of(x, n), 1.5f, n, b)};
    ck_same("exp_sum's values", a, b, (size_t)n);
    ck_same("exp_sum", &sums[0], &sums[1], 1);

    for (int block = 1; block <= mqa_hadamard_block(n); block *= 2) {
        reference->hadamard(a = copy_of(x, n), n, block);
        tested->hadamard(b = copy_of(x, n), n, block);
        ck_same("hadamard", a, b, (size_t)n);
    }

    if (n % 2) return;
    float *c = make_values(n / 2, 0), *s = make_values(n / 2, 0);
    for (int neox = 0; neox < 2; neox++) {
        reference->rope(a = copy_of(y, n), n, neox, c, s);
        tested->rope(b = copy_of(y, n), n, neox, c, s);
        ck_same(neox ? "rope of halves" : "rope of neighbours", a, b, (size_t)n);
    }
}

void check_rows(void)
{
    static const int large[] = {64, 80, 95, 96, 128, 256, 576, 640, 641, 1024, 1536, 2048, 4097};
    for (int i = 0; i < ck_n_tables; i++) {
        const mqa_kernels *k = ck_tables[i];
        for (int n = 1; n <= 50 + (int)(sizeof large / sizeof *large); n++) {
            check_size(&mqa_kernels_get(MQA_ISA_REFERENCE)->rows, k, n <= 50 ? n : large[n - 51], n % 3 == 0);
            ck_release_all();
        }
    }
}

typedef struct bench_case {
    const mqa_row_kernels *k;
    int which, n;
    float *x, *w, *y, *c;
} bench_case;

static void run_rows(void *arg)
{
    const bench_case *b = arg;
    switch (b->which) {
    case 0:
        b->k->rms_norm(b->x, b->w, b->n, 1e-6f, b->y);
        break;
    case 1:
        b->k->rope(b->y, b->n, 1, b->c, b->c);
        break;
    case 2:
        b->k->rope(b->y, b->n, 0, b->c, b->c);
        break;
    case 3:
        b->k->gelu_mul(b->x, b->w, b->n, b->y);
        break;
    case 4:
        b->k->silu_mul(b->x, b->w, b->n, b->y);
        break;
    case 5:
        b->k->exp_sum(b->x, 9.0f, b->n, b->y);
        break;
    case 6:
        b->k->hadamard(b->y, b->n, 128);
        break;
    default:
        b->k->add(b->y, b->w, b->n);
    }
}

void bench_rows(void)
{
    static const char *const names[] = {"rms_norm", "rope, halves", "rope, neighbours", "gelu_mul",
                                        "silu_mul", "exp_sum",      "hadamard of 128",  "add"};
    const mqa_kernels *k = mqa_kernels_get(MQA_ISA_AUTO);
    enum { N = 2048 };
    printf("rows %s, one thread, %d values: Gvalues/s\n", mqa_isa_name(k->isa), N);
    bench_case b = {&k->rows,         0, N, make_values(N, 0), make_values(N, 0), make_values(N, 0),
                    make_values(N, 0)};
    for (int i = 0; i < N; i++)
        b.c[i] = 0.70710678f; /* a rotation, so that values stay as large as they are */
    for (; b.which < 8; b.which++) printf("  %-18s %.2f\n", names[b.which], 1e-9 * N * ck_rate(run_rows, &b));
}
