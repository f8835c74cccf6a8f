/* ggml's flash attention on a row, as a peer's process (worker.py has the protocol). Compiled against the
 * headers of llama.cpp, or of ik_llama.cpp with -DPEER_IK.
 *
 * usage: ggml_attention heads kv_heads d_k d_v v_in_k requests shared queries window threads OUT CONTEXTS
 * TYPES CONTEXTS, TYPES  lists with commas; types: f32, f16, bf16, q8_0
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ggml.h"
#ifdef PEER_IK
#define PLAN(graph, threads)                 ggml_graph_plan(graph, threads)
#define QUANTIZE(type, from, to, rows, each) ggml_quantize_chunk(type, from, to, 0, rows, each, NULL, NULL)
#else
#include "ggml-cpu.h"
#define PLAN(graph, threads)                 ggml_graph_plan(graph, threads, NULL)
#define QUANTIZE(type, from, to, rows, each) ggml_quantize_chunk(type, from, to, 0, rows, each, NULL)
#endif

enum {
    MOST_CONTEXTS = 16,
    MOST_REQUESTS = 256,
    MASK_ROWS = 64 /* ik_llama.cpp wants masks of whole 64 rows */
};

typedef struct row {
    int64_t heads, kv_heads, d_k, d_v, v_in_k, requests, shared, queries, window, threads;
    int64_t context[MOST_CONTEXTS], n_contexts;
} row;

/* One cache type's graph: an operation for each request. */
typedef struct variant {
    const char *name;
    struct ggml_cgraph *graph;
    struct ggml_cplan plan;
    struct ggml_tensor *out[MOST_REQUESTS];
} variant;

static void die(const char *what)
{
    fprintf(stderr, "ggml_attention: %s\n", what);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Value i of a stream: src/cli/bench.h. */
static float drawn(uint64_t stream, uint64_t i)
{
    uint64_t z = (stream << 40) + (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (float)((z ^ z >> 31) >> 40) * 0x1p-23f - 1.0f;
}

static int64_t context_of(const row *r, int64_t i)
{
    return r->context[i % r->n_contexts];
}

static int64_t asking(const row *r, int64_t i)
{
    return r->queries ? r->queries : context_of(r, i);
}

/* K (kind 1) or V (kind 2) of a request as ggml has it, [kv_head][token][d], in a cache's type. */
static struct ggml_tensor *cache_tensor(struct ggml_context *ctx, enum ggml_type type, const row *r,
                                        int64_t i, int kind)
{
    const int64_t n = context_of(r, i), d = kind == 1 ? r->d_k : r->d_v, width = r->kv_heads * d;
    struct ggml_tensor *t = ggml_new_tensor_4d(ctx, type, d, n, r->kv_heads, 1);
    float *head = malloc(sizeof *head * (size_t)(n * d));
    if (!head) die("no memory");
    for (int64_t h = 0; h < r->kv_heads; h++) {
        for (int64_t token = 0; token < n; token++) {
            const uint64_t sequence = (uint64_t)(token < r->shared ? r->requests : i);
            for (int64_t c = 0; c < d; c++)
                head[token * d + c] =
                    drawn(2 * sequence + (uint64_t)kind, (uint64_t)(token * width + h * d + c));
        }
        QUANTIZE(type, head, (char *)t->data + (size_t)h * t->nb[2], n, d);
    }
    free(head);
    return t;
}

static struct ggml_tensor *mask_tensor(struct ggml_context *ctx, const row *r, int64_t i)
{
    const int64_t n = context_of(r, i), nq = asking(r, i);
    const int64_t rows = (nq + MASK_ROWS - 1) / MASK_ROWS * MASK_ROWS;
    struct ggml_tensor *t = ggml_new_tensor_4d(ctx, GGML_TYPE_F16, n, rows, 1, 1);
    const ggml_fp16_t seen = ggml_fp32_to_fp16(0.0f), hidden = ggml_fp32_to_fp16(-INFINITY);
    ggml_fp16_t *to = t->data;
    for (int64_t query = 0; query < rows; query++)
        for (int64_t token = 0; token < n; token++) {
            const int64_t position = n - nq + query;
            const int see = token <= position && (r->window == 0 || token > position - r->window);
            *to++ = see ? seen : hidden;
        }
    return t;
}

static struct ggml_tensor *query_tensor(struct ggml_context *ctx, const row *r, int64_t i, uint64_t first)
{
    const int64_t nq = asking(r, i);
    struct ggml_tensor *t = ggml_new_tensor_4d(ctx, GGML_TYPE_F32, r->d_k, nq, r->heads, 1);
    for (int64_t query = 0; query < nq; query++)
        for (int64_t h = 0; h < r->heads; h++)
            for (int64_t c = 0; c < r->d_k; c++)
                ((float *)t->data)[(h * nq + query) * r->d_k + c] =
                    drawn(0, first + (uint64_t)((query * r->heads + h) * r->d_k + c));
    return t;
}

static size_t bytes_needed(const row *r, enum ggml_type type)
{
    size_t bytes = (size_t)64 << 20;
    for (int64_t i = 0; i < r->requests; i++) {
        const int64_t n = context_of(r, i), nq = asking(r, i);
        bytes += ggml_row_size(type, r->d_k) * (size_t)(n * r->kv_heads);
        bytes += ggml_row_size(type, r->d_v) * (size_t)(n * r->kv_heads);
        bytes += (size_t)(nq * r->heads * (r->d_k + r->d_v)) * sizeof(float);
        if (i < r->n_contexts) bytes += (size_t)(n * (nq + MASK_ROWS)) * sizeof(ggml_fp16_t);
    }
    return bytes;
}

static void prepare(variant *v, const row *r, enum ggml_type type)
{
    struct ggml_init_params params = {.mem_size = bytes_needed(r, type)};
    struct ggml_context *ctx = ggml_init(params);
    if (!ctx) die("no memory");
    struct ggml_tensor *masks[MOST_CONTEXTS] = {0};
    v->name = ggml_type_name(type);
    v->graph = ggml_new_graph(ctx);
    uint64_t first = 0;
    for (int64_t i = 0; i < r->requests; i++) {
        struct ggml_tensor **mask = &masks[i % r->n_contexts];
        if (!*mask) *mask = mask_tensor(ctx, r, i);
        struct ggml_tensor *k = cache_tensor(ctx, type, r, i, 1);
        struct ggml_tensor *values =
            r->v_in_k ? ggml_view_4d(ctx, k, r->d_v, k->ne[1], k->ne[2], 1, k->nb[1], k->nb[2], k->nb[3], 0)
                      : cache_tensor(ctx, type, r, i, 2);
        v->out[i] = ggml_flash_attn_ext(ctx, query_tensor(ctx, r, i, first), k, values, *mask,
                                        1.0f / sqrtf((float)r->d_k), 0, 0);
        ggml_build_forward_expand(v->graph, v->out[i]);
        first += (uint64_t)(asking(r, i) * r->heads * r->d_k);
    }
    v->plan = PLAN(v->graph, (int)r->threads);
    v->plan.work_data = malloc(v->plan.work_size + 64);
}

static double run(variant *v)
{
    const double t0 = now();
    ggml_graph_compute(v->graph, &v->plan);
    return now() - t0;
}

/* The result is [query][head][d_v] already. */
static void dump(const variant *v, const row *r, const char *folder)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.f32", folder, v->name);
    FILE *file = fopen(path, "wb");
    if (!file) die(path);
    for (int64_t i = 0; i < r->requests; i++)
        fwrite(v->out[i]->data, sizeof(float), (size_t)(asking(r, i) * r->heads * r->d_v), file);
    if (fclose(file) != 0) die(path);
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double measure(variant *v)
{
    enum { MOST = 10000 };
    static double times[MOST];
    const double first = run(v), start = now();
    if (first > 1) return first * 1e3;
    int n = 0;
    while (n < MOST && (n < 3 || now() - start < 0.2)) times[n++] = run(v);
    qsort(times, (size_t)n, sizeof *times, ascending);
    return 1e3 * (n % 2 ? times[n / 2] : 0.5 * (times[n / 2 - 1] + times[n / 2]));
}

static enum ggml_type type_of(const char *name)
{
    static const enum ggml_type types[] = {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0};
    for (int i = 0; i < 4; i++)
        if (strcmp(ggml_type_name(types[i]), name) == 0) return types[i];
    die("unknown type");
    return GGML_TYPE_F32;
}

int main(int argc, char **argv)
{
    if (argc != 14) die("13 words, please");
    row r;
    int64_t *const fields[] = {&r.heads,    &r.kv_heads, &r.d_k,     &r.d_v,    &r.v_in_k,
                               &r.requests, &r.shared,   &r.queries, &r.window, &r.threads};
    for (int i = 0; i < 10; i++) *fields[i] = atoll(argv[1 + i]);
    const char *folder = argv[11];
    r.n_contexts = 0;
    for (char *word = strtok(argv[12], ","); word && r.n_contexts < MOST_CONTEXTS; word = strtok(NULL, ","))
        r.context[r.n_contexts++] = atoll(word);
    if (r.requests > MOST_REQUESTS || r.n_contexts == 0) die("too many requests, or none");

    FILE *answers = fdopen(dup(STDOUT_FILENO), "w");
    dup2(STDERR_FILENO, STDOUT_FILENO); /* what ggml prints is no answer */
    if (!answers) die("no output");
    variant variants[4];
    int n = 0;
    for (char *word = strtok(argv[13], ","); word && n < 4; word = strtok(NULL, ",")) {
        prepare(&variants[n], &r, type_of(word));
        run(&variants[n]);
        dump(&variants[n], &r, folder);
        n++;
    }
    fprintf(answers, "{\"ready\": [");
    for (int i = 0; i < n; i++) fprintf(answers, "%s\"%s\"", i ? ", " : "", variants[i].name);
    fputs("], \"failed\": {}}\n", answers);
    fflush(answers);
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        for (int i = 0; i < n; i++)
            if (strcmp(line, variants[i].name) == 0)
                fprintf(answers, "{\"ms\": %.6f}\n", measure(&variants[i]));
        fflush(answers);
    }
    return 0;
}
