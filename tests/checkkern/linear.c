/* Linear layers: packing, quantised activations, y = W x for every format.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/memory.h"
#include "base/threads.h"
#include "checkkern.h"

static const struct {
    const char *name;
    mqa_linear_format f; /* bits, zero, group, has_min, f16_scales */
} formats[] = {
    {"Q4_0", {4, 8, 32, false, true}},    {"Q4_1", {4, 0, 32, true, true}},
    {"Q5_0", {5, 16, 32, false, true}},   {"Q5_1", {5, 0, 32, true, true}},
    {"Q8_0", {8, 128, 32, false, true}},  {"Q4_K", {4, 0, 32, true, false}},
    {"Q5_K", {5, 0, 32, true, false}},    {"Q6_K", {6, 32, 16, false, false}},
    {"Q2_K", {4, 0, 16, true, false}},    {"Q3_K", {4, 4, 16, false, false}},
    {"5 of 16", {5, 16, 16, true, true}}, {"6 of 32", {6, 0, 32, true, true}},
    {"8 of 16", {8, 0, 16, true, false}},
};
enum { N_FORMATS = sizeof formats / sizeof *formats };

typedef enum fill { RANDOM, EXTREME } fill;

/* A weight on buffers of its own; plain[n_out * n_in] gets its values as f32. */
static mqa_linear_weight make_weight(mqa_linear_format f, int n_in, int n_out, fill how, float *plain)
{
    size_t bytes = 0;
    if (!mqa_linear_bytes(f, n_in, n_out, &bytes)) ck_fail("mqa_linear_bytes refused");
    uint8_t *data = ck_buffer(bytes, 64);
    memset(data, 0, bytes);
    const int groups = (n_in + f.group - 1) / f.group;
    uint8_t *q = ck_buffer((size_t)n_in, 1);
    float *scale = ck_buffer(sizeof(float) * (size_t)groups, 4);
    float *min = f.has_min ? ck_buffer(sizeof(float) * (size_t)groups, 4) : NULL;
    for (int o = 0; o < n_out; o++) {
        for (int i = 0; i < n_in; i++) {
            const uint32_t top = (1u << f.bits) - 1, x = ck_random();
            q[i] = (uint8_t)(how == EXTREME ? (o % 3 == 0   ? top
                                               : o % 3 == 1 ? 0
                                               : x & 1      ? top
                                                            : 0)
                                            : x & top);
        }
        for (int g = 0; g < groups; g++) {
            scale[g] = 0.01f * ck_normal();
            if (f.f16_scales) scale[g] = mqa_f16_to_f32(mqa_f32_to_f16(scale[g]));
            if (!min) continue;
            min[g] = 0.1f * ck_normal();
            if (f.f16_scales) min[g] = mqa_f16_to_f32(mqa_f32_to_f16(min[g]));
        }
        mqa_linear_pack_row(f, data, n_in, o, q, scale, min);
        for (int i = 0; plain && i < n_in; i++)
            plain[(size_t)o * (size_t)n_in + (size_t)i] =
                fmaf((float)q[i] - (float)f.zero, scale[i / f.group], min ? min[i / f.group] : 0.0f);
    }
    return (mqa_linear_weight){.format = f,
                               .n_in = n_in,
                               .n_out = n_out,
                               .n_blocks = (n_in + MQA_LINEAR_BLOCK - 1) / MQA_LINEAR_BLOCK,
                               .block_bytes = mqa_linear_block_bytes(f),
                               .data = data};
}

static mqa_linear_rows make_rows(int rows, int n_in)
{
    const size_t blocks = (size_t)rows * (size_t)((n_in + MQA_LINEAR_BLOCK - 1) / MQA_LINEAR_BLOCK);
    return (mqa_linear_rows){.q = ck_buffer(blocks * MQA_LINEAR_BLOCK, 4),
                             .scale = ck_buffer(blocks * sizeof(float), 4),
                             .sum16 = ck_buffer(blocks * 2 * sizeof(int32_t), 4)};
}

static float *make_inputs(int rows, size_t stride, int n_in, fill how)
{
    float *x = ck_buffer(sizeof(float) * ((size_t)(rows - 1) * stride + (size_t)n_in), 4);
    for (size_t i = 0; i < (size_t)(rows - 1) * stride + (size_t)n_in; i++)
        x[i] = i % stride >= (size_t)n_in ? NAN
               : how == EXTREME           ? (ck_random() & 1 ? 1.5f : -1.5f)
                                          : ck_normal();
    return x;
}

static void check_quantize(const mqa_kernels *reference, const mqa_kernels *tested)
{
    static const int sizes[] = {1, 15, 16, 31, 32, 33, 64, 100, 640};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int n = sizes[s], rows = 19;
        const size_t stride = (size_t)n + 3, blocks = (size_t)rows * (size_t)((n + 31) / 32);
        float *x = make_inputs(rows, stride, n, RANDOM);
        static const float odd[] = {0.0f,     -0.0f,     1e-45f, -1e-38f, 1e-31f, 0x1p-100f, 0x0.fffffp-100f,
                                    INFINITY, -INFINITY, NAN,    3e38f,   -3e38f, 127.0f,    0.5f};
        for (int r = 0; r < 14; r++) { /* rows of nothing else, and one such value among others */
            for (int i = 0; i < n && r % 2 == 0; i++) x[(size_t)r * stride + (size_t)i] = odd[r];
            if (r % 2) x[(size_t)r * stride + ck_random() % (size_t)n] = odd[r];
        }
        for (int i = 0; i < n; i++) { /* ties: quants of half an integer */
            x[14 * stride + (size_t)i] = i ? (float)(ck_random() % 255) * 0.5f - 63.5f : 127.0f;
            x[15 * stride + (size_t)i] = 0.0f;
            x[16 * stride + (size_t)i] = odd[6];
            x[17 * stride + (size_t)i] = odd[9];
        }
        ck_case("quantize_rows %s, n %d", ck_name(tested), n);
        mqa_linear_rows a = make_rows(rows, n), b = make_rows(rows, n);
        reference->linear.quantize_rows(x, stride, rows, n, &a);
        tested->linear.quantize_rows(x, stride, rows, n, &b);
        ck_same_bytes("q", a.q, b.q, blocks * 32);
        ck_same("scale", a.scale, b.scale, blocks);
        ck_same_bytes("sum16", a.sum16, b.sum16, blocks * 2 * sizeof(int32_t));
        ck_release_all();
    }
}

/* The plain C kernel against binary64 arithmetic on the values themselves. */
static void check_reference(const mqa_kernels *k, const mqa_linear_weight *w, const float *plain,
                            const mqa_linear_rows *x, int rows, const float *y, size_t y_stride)
{
    (void)k;
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < w->n_out; o++) {
            double sum = 0, size = 0;
            for (int i = 0; i < w->n_in; i++) {
                const size_t block = (size_t)r * (size_t)w->n_blocks + (size_t)(i / 32);
                const double p = (double)plain[(size_t)o * (size_t)w->n_in + (size_t)i] *
                                 x->q[block * 32 + (size_t)(i % 32)] * (double)x->scale[block];
                sum += p;
                size += fabs(p);
            }
            const double error = fabs((double)y[(size_t)r * y_stride + (size_t)o] - sum);
            if (error > 2e-6 * size + 1e-30 || isnan(error)) {
                ck_fail("plain C: row %d output %d is %g, in binary64 %g", r, o,
                        (double)y[(size_t)r * y_stride + (size_t)o], sum);
                return;
            }
        }
}

static void check_shape(int format, int n_in, int n_out, int max_rows, fill how)
{
    static const int row_counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 16, 17, 63, 64, 65, 133};
    const mqa_linear_format f = formats[format].f;
    const mqa_kernels *reference = mqa_kernels_get(MQA_ISA_REFERENCE);
    float *plain = malloc(sizeof(float) * (size_t)n_in * (size_t)n_out);
    ck_case("linear pack %s, %d x %d", formats[format].name, n_out, n_in);
    const mqa_linear_weight w = make_weight(f, n_in, n_out, how, plain);
    float *row = ck_buffer(sizeof(float) * (size_t)n_in, 4);
    for (int o = 0; o < n_out; o++) {
        mqa_linear_unpack_row(&w, o, row);
        ck_same("unpacked", plain + (size_t)o * (size_t)n_in, row, (size_t)n_in);
    }
    const int tiles = (n_out + 15) / 16, rows = max_rows;
    const size_t y_stride = (size_t)tiles * 16 + 16, stride = (size_t)n_in + 5;
    mqa_linear_rows x = make_rows(rows, n_in);
    reference->linear.quantize_rows(make_inputs(rows, stride, n_in, how), stride, rows, n_in, &x);
    const size_t y_bytes = sizeof(float) * ((size_t)(rows - 1) * y_stride + (size_t)tiles * 16);
    float *expected = ck_buffer(y_bytes, 64), *y = ck_buffer(y_bytes, 64);
    void *scratch = ck_buffer(mqa_linear_scratch_bytes(&w), 64);
    ck_case("linear plain C %s, %d x %d", formats[format].name, n_out, n_in);
    reference->linear.linear(&w, &x, rows, 0, tiles, expected, y_stride, scratch);
    check_reference(reference, &w, plain, &x, rows < 9 ? rows : 9, expected, y_stride);
    free(plain);
    for (int i = 0; i < ck_n_tables; i++) {
        const mqa_kernels *k = ck_tables[i];
        for (size_t c = 0; c < sizeof row_counts / sizeof *row_counts; c++) {
            const int n = row_counts[c];
            if (n > rows) break;
            for (int from = 0; from < tiles; from += 2) { /* all tiles, then some */
                const int to = from ? (from + 2 < tiles ? from + 2 : tiles) : tiles;
                ck_case("linear %s %s, %d x %d, rows %d, tiles %d to %d", ck_name(k), formats[format].name,
                        n_out, n_in, n, from, to);
                memset(y, 0xa5, y_bytes);
                memset(scratch, 0xff, mqa_linear_scratch_bytes(&w)); /* NaN */
                k->linear.linear(&w, &x, n, from, to, y, y_stride, scratch);
                for (int r = 0; r < rows; r++) {
                    const size_t at = (size_t)r * y_stride;
                    uint8_t untouched[4096];
                    memset(untouched, 0xa5, sizeof untouched);
                    if (r < n)
                        ck_same("y", expected + at + from * 16, y + at + from * 16, (size_t)(to - from) * 16);
                    else
                        ck_same_bytes("a row beyond the last", untouched, y + at, 64 * (size_t)tiles);
                    ck_same_bytes("outputs before the first", untouched, y + at, 64 * (size_t)from);
                    ck_same_bytes("outputs behind the last", untouched, y + at + to * 16,
                                  64 * (size_t)(tiles - to + (r < rows - 1)));
                }
            }
        }
    }
    ck_release_all();
}

void check_linear(void)
{
    for (int i = 0; i < ck_n_tables; i++) check_quantize(mqa_kernels_get(MQA_ISA_REFERENCE), ck_tables[i]);
    for (int f = 0; f < N_FORMATS; f++) {
        static const int n_in[] = {1, 16, 31, 32, 33, 48, 64, 100};
        for (size_t s = 0; s < sizeof n_in / sizeof *n_in; s++)
            check_shape(f, n_in[s], (int)(1 + 7 * s), 9, RANDOM);
        check_shape(f, 256, 48, 133, RANDOM);
        check_shape(f, 1024, 33, 17, EXTREME);
    }
}

/* --- rates --- */

typedef struct bench_case {
    const mqa_kernels *k;
    mqa_linear_weight w;
    mqa_linear_rows x;
    int rows, tiles;
    float *y;
    void *scratch;
} bench_case;

static void run_linear(void *arg)
{
    const bench_case *b = arg;
    b->k->linear.linear(&b->w, &b->x, b->rows, 0, b->tiles, b->y, (size_t)b->tiles * 16, b->scratch);
}
static void run_quantize(void *arg)
{
    bench_case *b = arg;
    b->k->linear.quantize_rows(b->y, (size_t)b->w.n_in, b->rows, b->w.n_in, &b->x);
}

static void bench_rates(const mqa_kernels *k)
{
    static const int rows[] = {1, 2, 3, 4, 8, 64, 512}, sizes[] = {640, 1024, 2048};
    enum { N_ROWS = sizeof rows / sizeof *rows, N_OUT = 2048 };
    printf("linear %s, one thread at %.2f GHz, %d outputs: GOP/s (2 a multiply-add)\n%-8s %6s",
           mqa_isa_name(k->isa), ck_gigahertz(), N_OUT, "", "inputs");
    for (int r = 0; r < N_ROWS; r++) printf("  rows %3d", rows[r]);
    printf("\n");
    for (int f = 0; f < 8; f++)
        for (int s = 0; s < 3; s++) {
            bench_case b = {.k = k, .tiles = N_OUT / 16};
            b.w = make_weight(formats[f].f, sizes[s], N_OUT, RANDOM, NULL);
            b.x = make_rows(512, sizes[s]);
            b.scratch = ck_buffer(mqa_linear_scratch_bytes(&b.w), 64);
            b.y = ck_buffer(sizeof(float) * 512 * N_OUT, 64);
            k->linear.quantize_rows(make_inputs(512, (size_t)sizes[s], sizes[s], RANDOM), (size_t)sizes[s],
                                    512, sizes[s], &b.x);
            printf("%-8s %6d", formats[f].name, sizes[s]);
            for (int r = 0; r < N_ROWS; r++) {
                b.rows = rows[r];
                printf(" %9.1f", 2e-9 * ck_rate(run_linear, &b) * rows[r] * sizes[s] * N_OUT);
                fflush(stdout);
            }
            printf("\n");
            ck_release_all();
        }
    bench_case b = {.k = k, .rows = 64, .w.n_in = 1024, .x = make_rows(64, 1024)};
    b.y = make_inputs(64, 1024, 1024, RANDOM);
    printf("quantize_rows: %.2f Gvalues/s\n", 1e-9 * ck_rate(run_quantize, &b) * 64 * 1024);
    ck_release_all();
}

/* A row over a matrix that no cache holds, beside a loop that only reads. */
typedef struct stream_case {
    const mqa_kernels *k;
    mqa_pool *pool;
    mqa_linear_weight w;
    mqa_linear_rows x;
    size_t bytes;
    int rows;
    float *y;
} stream_case;

enum { STREAM_TASKS = 64 };

static void read_task(void *arg, int task, int worker)
{
    typedef long long v4 __attribute__((vector_size(32)));
    const stream_case *s = arg;
    const v4 *p = (const v4 *)s->w.data + s->bytes / 32 * (size_t)task / STREAM_TASKS;
    const v4 *end = (const v4 *)s->w.data + s->bytes / 32 * (size_t)(task + 1) / STREAM_TASKS;
    v4 a = {0}, b = a, c = a, d = a;
    for (; p + 4 <= end; p += 4) {
        a += p[0];
        b += p[1];
        c += p[2];
        d += p[3];
    }
    a += b + c + d;
    __asm__ volatile("" : : "m"(a));
    (void)worker;
}
static void linear_task(void *arg, int task, int worker)
{
    const stream_case *s = arg;
    const int tiles = s->w.n_out / 16;
    (void)worker;
    s->k->linear.linear(&s->w, &s->x, s->rows, tiles * task / STREAM_TASKS, tiles * (task + 1) / STREAM_TASKS,
                        s->y, (size_t)s->w.n_out, NULL); /* one or two rows need no scratch */
}
static void run_read(void *arg)
{
    const stream_case *s = arg;
    mqa_pool_run(s->pool, read_task, arg, STREAM_TASKS);
}
static void run_stream(void *arg)
{
    const stream_case *s = arg;
    mqa_pool_run(s->pool, linear_task, arg, STREAM_TASKS);
}

static void bench_stream(const mqa_kernels *k, int format, int n_out)
{
    stream_case s = {.k = k, .w = {.format = formats[format].f, .n_in = 640, .n_out = n_out, .n_blocks = 20}};
    s.w.block_bytes = mqa_linear_block_bytes(s.w.format);
    if (!mqa_linear_bytes(s.w.format, 640, n_out, &s.bytes)) return;
    uint8_t *data = mqa_alloc(NULL, s.bytes);
    if (data == NULL) return;
    memset(data, 1, s.bytes);
    s.w.data = data;
    s.x = make_rows(2, 640);
    s.y = ck_buffer(sizeof(float) * 2 * (size_t)n_out, 64);
    k->linear.quantize_rows(make_inputs(2, 640, 640, RANDOM), 640, 2, 640, &s.x);
    for (int threads = 1; threads <= mqa_cpu_count() && threads <= 2; threads++) {
        if (mqa_pool_create(threads, &s.pool, NULL) != MQA_OK) break;
        const double gb = 1e-9 * (double)s.bytes, read = ck_wall_rate(run_read, &s) * gb;
        s.rows = 1;
        const double one = ck_wall_rate(run_stream, &s) * gb;
        s.rows = 2;
        printf("%-5s %d x 640 (%.0f MB), %d thread%s: 1 row %.1f GB/s, 2 rows %.1f, reading alone %.1f\n",
               formats[format].name, n_out, 1e3 * gb, threads, threads > 1 ? "s" : "", one,
               ck_wall_rate(run_stream, &s) * gb, read);
        mqa_pool_destroy(&s.pool);
    }
    mqa_release(NULL, data, s.bytes);
    ck_release_all();
}

void bench_linear(void)
{
    const mqa_kernels *k = mqa_kernels_get(MQA_ISA_AUTO);
    bench_stream(k, 4, 262144);
    bench_stream(k, 2, 262144);
    bench_stream(k, 1, 262144);
    bench_stream(k, 7, 262144);
    bench_rates(k);
}
