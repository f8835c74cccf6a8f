/* Making problems. Every array has a random stream of its own, so that a case which is made smaller keeps
 * what it can of the values that it failed with.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "kernels/attention_kernels.h"
#include "kernels/kernels.h"

uint64_t random_bits(uint64_t *rng)
{
    uint64_t z = (*rng += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

int64_t random_between(uint64_t *rng, int64_t lo, int64_t hi)
{
    return lo + (int64_t)(random_bits(rng) % (uint64_t)(hi - lo + 1));
}

float gaussian(uint64_t *rng)
{
    const double u = ((double)(random_bits(rng) >> 11) + 0.5) * 0x1p-53;
    const double v = (double)(random_bits(rng) >> 11) * 0x1p-53;
    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

static void *array(int64_t n, size_t size)
{
    void *x = calloc(n > 0 ? (size_t)n : 1, size);
    if (!x) abort();
    return x;
}

typedef enum stream { STREAM_K, STREAM_V, STREAM_Q, STREAM_MASKS, STREAM_HEADS, STREAMS } stream;

static uint64_t stream_of(uint64_t seed, int sequence, stream which)
{
    uint64_t rng = seed + (uint64_t)(sequence * STREAMS + (int)which) * UINT64_C(0x632be59bd9b4e019);
    return random_bits(&rng);
}

bool format_holds(mqa_kv_type type, float x)
{
    _Alignas(64) unsigned char run[64 * 1024];
    return sizeof run >= mqa_k_run_bytes(type, 1) && mqa_pack_k(type, run, 1, 0, &x);
}

/* ---- values ---------------------------------------------------------------------------------------- */

static float *values_of(values_kind kind, stream which, uint64_t seed, int64_t n, int d)
{
    uint64_t rng = seed;
    float *x = array(n * d, sizeof *x);
    const stream smallest = (stream)(seed / 7 % 3); /* of k, v and q */
    for (int64_t i = 0; i < n * d; i++) {
        x[i] = gaussian(&rng);
        if (kind == VALUES_OUTLIERS && which != STREAM_Q && i % d % 16 == 3) x[i] *= 50;
        if (kind == VALUES_DENORMAL && which == smallest) x[i] *= 1e-39f;
        if (kind == VALUES_ZERO && which == STREAM_K) x[i] = 0;
        if (kind == VALUES_ZERO && which == STREAM_V) x[i] = (float)(i % d) - 3;
        /* A few tokens and a few queries whose products are beyond f32. */
        if (kind == VALUES_HUGE && which != STREAM_V && (i / d + (int64_t)(seed % 5)) % 5 == 0) x[i] *= 3e19f;
        if (kind == VALUES_HUGE && which == STREAM_V && seed % 4 == 0) x[i] *= 3e37f;
    }
    return x;
}

static float scale_of(values_kind kind, int d)
{
    const float usual = 1.0f / sqrtf((float)d);
    switch (kind) {
    case VALUES_SIGMA_3:
        return 3 * usual;
    case VALUES_SIGMA_10:
        return 10 * usual;
    case VALUES_NEGATIVE_SCALE:
        return -usual;
    case VALUES_SCORES_1E4:
        return 4000 * usual;
    default:
        return usual;
    }
}

static float *sinks_of(const problem_shape *s, uint64_t rng)
{
    if (s->sinks == SINKS_NONE) return NULL;
    static const float extremes[] = {-1e4f, 1e4f, 1e30f, -1e30f, 0, 80, -80};
    float *x = array(s->n_heads, sizeof *x);
    for (int h = 0; h < s->n_heads; h++)
        x[h] = s->sinks == SINKS_USUAL ? 2 * gaussian(&rng) : extremes[random_bits(&rng) % 7];
    return x;
}

static float *slopes_of(const problem_shape *s, uint64_t rng)
{
    if (s->slopes == SLOPES_NONE) return NULL;
    static const float extremes[] = {1e30f, -1e30f, 3e38f, -3e38f, 1e4f, -1e4f, 1e-30f, 0};
    float *x = array(s->n_heads, sizeof *x);
    for (int h = 0; h < s->n_heads; h++) {
        if (s->slopes == SLOPES_USUAL) x[h] = exp2f(-8 * (float)(h + 1) / (float)s->n_heads);
        if (s->slopes == SLOPES_MIXED) x[h] = gaussian(&rng) * (random_bits(&rng) % 4 ? 0.05f : 100);
        if (s->slopes == SLOPES_HUGE) x[h] = extremes[random_bits(&rng) % 8];
    }
    return x;
}

/* ---- masks ----------------------------------------------------------------------------------------- */

enum { MAX_DOCUMENTS = 1000 };

static void make_documents(problem *p, int i, uint64_t *rng)
{
    const sequence_shape *s = &p->shape.of[i];
    if (s->document == 0) return;
    const int64_t end = s->n + s->q_ahead;
    int64_t *starts = array(MAX_DOCUMENTS, sizeof *starts), n = 0;
    for (int64_t at = 0; at < end && n < MAX_DOCUMENTS; at += random_between(rng, 1, 2 * s->document))
        starts[n++] = at;
    if (n == 0) starts[n++] = 0;
    p->documents[i] = starts;
    p->n_documents[i] = n;
}

static void set_bit(uint8_t *row, int64_t b)
{
    row[b / 8] |= (uint8_t)(1u << b % 8);
}

static void make_bits(problem *p, int i, uint64_t *rng)
{
    const sequence_shape *s = &p->shape.of[i];
    if (s->bits == BITS_NONE) return;
    const bool tree = s->bits == BITS_TREE;
    const int64_t tokens = tree ? s->n_queries : s->bits_tokens < 1 ? 1 : s->bits_tokens;
    p->bits_first[i] = tree ? position_of(p, i, 0) : s->bits_first;
    p->bits_stride[i] = (size_t)((tokens + 7) / 8 + random_between(rng, 0, 2));
    p->bits[i] = array(s->n_queries, p->bits_stride[i]);
    const int64_t covered = 8 * (int64_t)p->bits_stride[i];
    for (int64_t query = 0; query < s->n_queries; query++) {
        uint8_t *row = p->bits[i] + (size_t)query * p->bits_stride[i];
        if (tree) {
            const int64_t parent = random_between(rng, -1, query - 1);
            if (parent >= 0)
                memcpy(row, row - (size_t)(query - parent) * p->bits_stride[i], p->bits_stride[i]);
            set_bit(row, query);
            continue;
        }
        const int64_t share = random_between(rng, 0, 4); /* of the bits, in quarters */
        for (int64_t b = 0; b < covered; b++)
            if (random_between(rng, 0, 3) < share) set_bit(row, b);
    }
}

/* ---- all of it ------------------------------------------------------------------------------------- */

int64_t position_of(const problem *p, int i, int64_t query)
{
    const sequence_shape *s = &p->shape.of[i];
    return s->n + s->q_ahead - s->n_queries + query;
}

/* V that lies in K is its first d_v dims. */
static float *first_dims(const float *k, int64_t n, int d, int d_v)
{
    float *v = array(n * d_v, sizeof *v);
    for (int64_t t = 0; t < n; t++) memcpy(v + t * d_v, k + t * d, (size_t)d_v * sizeof *v);
    return v;
}

problem make_problem(const problem_shape *s, uint64_t *rng)
{
    const uint64_t seed = random_bits(rng);
    problem p = {.shape = *s, .sm_scale = scale_of(s->values, s->d)};
    for (int i = 0; i < s->n_sequences; i++) {
        const sequence_shape *of = &s->of[i];
        const int64_t vectors = of->n * s->n_kv_heads;
        p.k[i] = values_of(s->values, STREAM_K, stream_of(seed, i, STREAM_K), vectors, s->d);
        p.q[i] =
            values_of(s->values, STREAM_Q, stream_of(seed, i, STREAM_Q), of->n_queries * s->n_heads, s->d);
        if (!s->v_in_k)
            p.v[i] = values_of(s->values, STREAM_V, stream_of(seed, i, STREAM_V), vectors, s->d_v);
        const size_t common = (size_t)(of->shared * s->n_kv_heads) * sizeof(float);
        if (common > 0) {
            memcpy(p.k[i], p.k[of->parent], common * (size_t)s->d);
            if (!s->v_in_k) memcpy(p.v[i], p.v[of->parent], common * (size_t)s->d_v);
        }
        if (s->v_in_k) p.v[i] = first_dims(p.k[i], vectors, s->d, s->d_v);
        uint64_t masks = stream_of(seed, i, STREAM_MASKS);
        make_documents(&p, i, &masks);
        make_bits(&p, i, &masks);
    }
    p.sinks = sinks_of(s, stream_of(seed, 0, STREAM_HEADS));
    p.slopes = slopes_of(s, stream_of(seed, 1, STREAM_HEADS));
    return p;
}

void free_problem(problem *p)
{
    for (int i = 0; i < p->shape.n_sequences; i++)
        free(p->k[i]), free(p->v[i]), free(p->q[i]), free(p->documents[i]), free(p->bits[i]);
    free(p->sinks), free(p->slopes);
}

int k_block(const problem_shape *s)
{
    return s->k_hadamard ? mqa_hadamard_block(s->d) : 1;
}

int v_block(const problem_shape *s)
{
    if (s->v_in_k) return k_block(s);
    return s->v_hadamard ? mqa_hadamard_block(s->d_v) : 1;
}

void hadamard64(const float *x, int n, int block, double *y)
{
    for (int i = 0; i < n; i++) y[i] = (double)x[i] / sqrt(block);
    for (int step = 1; step < block; step *= 2)
        for (int i = 0; i < n; i++) {
            if (i & step) continue;
            const double a = y[i], b = y[i + step];
            y[i] = a + b;
            y[i + step] = a - b;
        }
}

/* The library's own transform and packing: stored values are what they say. */
static float *transformed(const float *x, int64_t vectors, int d, int block)
{
    float *y = array(vectors * d, sizeof *y);
    memcpy(y, x, (size_t)(vectors * d) * sizeof *y);
    for (int64_t t = 0; t < vectors; t++)
        mqa_kernels_get(MQA_ISA_REFERENCE)->rows.hadamard(y + t * d, d, block);
    return y;
}

static void turn_back(float *x, int64_t vectors, int d, int block)
{
    double y[1024];
    for (int64_t t = 0; t < vectors && block > 1; t++) {
        hadamard64(x + t * d, d, block, y);
        for (int c = 0; c < d; c++) x[t * d + c] = (float)y[c];
    }
}

problem stored_problem(const problem *p)
{
    const problem_shape *s = &p->shape;
    problem out = *p;
    unsigned char *run = aligned_alloc(64, mqa_k_run_bytes(MQA_KV_F32, 1024));
    for (int i = 0; i < s->n_sequences; i++) {
        const int64_t vectors = s->of[i].n * s->n_kv_heads;
        out.q[i] = transformed(p->q[i], s->of[i].n_queries * s->n_heads, s->d, k_block(s));
        out.k[i] = transformed(p->k[i], vectors, s->d, k_block(s));
        for (int64_t t = 0; t < vectors; t++) {
            if (!mqa_pack_k(s->k_type, run, s->d, 5, out.k[i] + t * s->d)) abort();
            mqa_unpack_k(s->k_type, run, s->d, 5, out.k[i] + t * s->d);
        }
        if (s->v_in_k) {
            out.v[i] = first_dims(out.k[i], vectors, s->d, s->d_v);
        } else {
            out.v[i] = transformed(p->v[i], vectors, s->d_v, v_block(s));
            for (int64_t t = 0; t < vectors; t++) {
                if (!mqa_pack_v(s->v_type, run, s->d_v, 5, out.v[i] + t * s->d_v)) abort();
                mqa_unpack_v(s->v_type, run, s->d_v, 5, out.v[i] + t * s->d_v);
            }
        }
        turn_back(out.v[i], vectors, s->d_v, v_block(s));
    }
    free(run);
    return out;
}

void free_stored(problem *p)
{
    for (int i = 0; i < p->shape.n_sequences; i++) free(p->q[i]), free(p->k[i]), free(p->v[i]);
}

void free_answer(const problem *p, answer *a)
{
    for (int i = 0; i < p->shape.n_sequences; i++) free(a->out[i]), free(a->lse[i]);
}

bool same_bits(const problem *p, const answer *a, const answer *b, row_id *first)
{
    const problem_shape *s = &p->shape;
    for (int i = 0; i < s->n_sequences; i++)
        for (int64_t r = 0; r < s->of[i].n_queries * s->n_heads; r++) {
            const size_t bytes = (size_t)s->d_v * sizeof(float);
            if (memcmp(a->out[i] + r * s->d_v, b->out[i] + r * s->d_v, bytes) == 0 &&
                memcmp(&a->lse[i][r], &b->lse[i][r], sizeof(float)) == 0)
                continue;
            *first = (row_id){i, r / s->n_heads, (int)(r % s->n_heads)};
            return false;
        }
    return true;
}
