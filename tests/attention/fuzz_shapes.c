/* Descriptors that are used once, and calls on plain arrays.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_world.h"

enum { UNSUPPORTED = 1 << MQA_ERR_UNSUPPORTED };

static float *new_floats(int64_t n, float x)
{
    float *array = malloc((size_t)n * sizeof *array + 1);
    if (!array) abort();
    for (int64_t i = 0; i < n; i++) array[i] = x;
    return array;
}

static unsigned if_wild(const reader *r)
{
    return FINE | (r->wild ? REFUSED : 0);
}

/* ---- contexts and names -------------------------------------------------------------------------- */

bool op_context(world *w, reader *r)
{
    static const mqa_allocator no_allocator = {0};
    static const mqa_parallel_for no_threads = {0};
    mqa_context_options o = mqa_context_options_default();
    mqa_context *ctx;
    mqa_status status;
    o.struct_size = take_struct_size(r, sizeof o);
    o.isa = (mqa_isa)take_int(r, MQA_ISA_AUTO, MQA_ISA_NEON_C);
    o.numerics = (mqa_numerics)take_int(r, 0, 1);
    o.n_threads = take_int(r, 1, 2);
    if (o.n_threads > 2 && o.n_threads <= 4096) o.n_threads = 3; /* possible, and slow */
    if (take_one_in(r, 16)) o.allocator = &no_allocator, r->wild = true;
    if (take_one_in(r, 16)) o.parallel_for = &no_threads, r->wild = true;
    CALL(w, if_wild(r) | UNSUPPORTED, status, mqa_context_create(&o, &ctx, &w->err));
    MUST(w, (ctx != NULL) == (status == MQA_OK), "context: out");
    mqa_context_destroy(&ctx);
    return true;
}

/* No call believes in what isn't there. */
static bool refuses_nothing(world *w)
{
    mqa_error *err = &w->err;
    mqa_status status;
    mqa_cache_need need;
    mqa_rope *rope;
    float x[1] = {0};
    CALL(w, REFUSED, status, mqa_context_create(NULL, NULL, err));
    CALL(w, REFUSED, status, mqa_rope_create(NULL, NULL, &rope, err));
    CALL(w, REFUSED, status, mqa_rope_apply(NULL, 0, 1, 1, x, 1, 1, err));
    CALL(w, REFUSED, status, mqa_cache_create(w->ctx, &w->config, NULL, err));
    CALL(w, REFUSED, status, mqa_sequence_create(NULL, NULL, err));
    CALL(w, REFUSED, status, mqa_sequence_create_at(w->cache, 0, NULL, err));
    CALL(w, REFUSED, status, mqa_sequence_extend(NULL, 1, err));
    CALL(w, REFUSED, status, mqa_sequence_extend_need(w->stranger, 1, NULL, err));
    CALL(w, REFUSED, status, mqa_sequence_truncate(NULL, 0, err));
    CALL(w, REFUSED, status, mqa_sequence_fork(w->stranger, 0, NULL, err));
    CALL(w, REFUSED, status, mqa_sequence_fork_need(NULL, 0, &need, err));
    CALL(w, REFUSED, status, mqa_sequence_write(NULL, 0, 0, 1, x, 1, 1, x, 1, 1, err));
    CALL(w, REFUSED, status, mqa_sequence_write_paged(w->stranger, 0, 0, 1, NULL, err));
    CALL(w, REFUSED, status, mqa_sequence_read(NULL, 0, 0, 1, x, 1, 1, x, 1, 1, err));
    CALL(w, REFUSED, status, mqa_plan_create(NULL, NULL, NULL, err));
    CALL(w, REFUSED, status, mqa_plan_batch(NULL, NULL, 1, err));
    CALL(w, REFUSED, status, mqa_plan_run(NULL, NULL, err));
    mqa_cache_destroy(NULL), mqa_sequence_destroy(NULL), mqa_plan_destroy(NULL), mqa_rope_destroy(NULL);
    mqa_context_destroy(NULL);
    MUST(w, mqa_sequence_shared_tokens(NULL, w->stranger) == 0, "nothing shares tokens");
    return true;
}

bool op_names(world *w, reader *r)
{
    const int n = take_int(r, 0, 12);
    char text[WORLD_RECORD + 1] = {0};
    mqa_kv_type type;
    mqa_isa isa;
    mqa_status status;
    for (int i = 0; r->at < r->end; i++) text[i] = (char)take_byte(r);
    MUST(w,
         mqa_kv_type_name((mqa_kv_type)n) && mqa_status_name((mqa_status)n) && mqa_isa_name((mqa_isa)n) &&
             mqa_status_message((mqa_status)n),
         "%d has no name", n);
    (void)mqa_isa_available((mqa_isa)n);
    CALL(w, FINE | REFUSED, status, mqa_kv_type_parse(text, &type, &w->err));
    CALL(w, FINE | REFUSED, status, mqa_isa_parse(text, &isa, &w->err));
    return refuses_nothing(w);
}

/* ---- RoPE ---------------------------------------------------------------------------------------- */

mqa_rope_config take_rope(reader *r, int d)
{
    mqa_rope_config c = mqa_rope_config_default();
    c.struct_size = take_struct_size(r, sizeof c);
    c.n_dims = take_int(r, 1, d / 2);
    if (c.n_dims > 0 && c.n_dims <= d / 2) c.n_dims *= 2; /* even, but for a wild one */
    c.first_dim = take_int(r, 0, 3);
    c.style = (mqa_rope_style)take_int(r, 0, 1);
    c.scaling = (mqa_rope_scaling)take_int(r, 0, 3);
    c.base = take_double(r, 10000);
    c.factor = take_double(r, 4);
    c.original_context = take_double(r, 4096);
    c.low_freq_factor = take_double(r, 1);
    c.high_freq_factor = take_double(r, 4);
    c.beta_fast = take_double(r, 32);
    c.beta_slow = take_double(r, 1);
    c.attention_factor = take_double(r, 0);
    c.truncate = take_byte(r) % 2;
    return c;
}

bool op_rope(world *w, reader *r)
{
    enum { D = 40, TOKENS = 3 };
    mqa_rope_config c = take_rope(r, 16);
    double factors[D];
    mqa_rope *rope;
    mqa_status status;
    for (int i = 0; i < D; i++) factors[i] = take_double(r, 1.5);
    if (take_one_in(r, 4)) c.freq_factors = factors;
    if (c.n_dims > D) c.freq_factors = NULL; /* it has so many only */
    CALL(w, if_wild(r), status, mqa_rope_create(w->ctx, &c, &rope, &w->err));
    MUST(w, (rope != NULL) == (status == MQA_OK), "rope: out");
    if (!rope) return true;
    const int64_t position = take_number(r, -5, 5000), end = c.first_dim + c.n_dims;
    float *x = new_floats(TOKENS * end, 1);
    world_before_call(w);
    status = mqa_rope_apply(rope, position, TOKENS, 1, x, (size_t)end, (size_t)end, &w->err);
    bool good = world_called(w, "mqa_rope_apply", status, if_wild(r));
    for (int64_t i = 0; i < TOKENS * end && status == MQA_OK && good; i++)
        if (!isfinite(x[i])) good = differ(w, "rope makes no number of 1");
    free(x);
    mqa_rope_destroy(&rope);
    return good;
}

/* ---- caches -------------------------------------------------------------------------------------- */

/* What one may do with a cache of any shape. */
static bool use_cache(world *w, mqa_cache *cache, const mqa_cache_config *c, reader *r)
{
    mqa_sequence *seq = NULL, *fork = NULL;
    mqa_plan *plan = NULL;
    mqa_plan_options o = mqa_plan_options_default();
    o.n_heads = c->n_kv_heads;
    mqa_status status;
    mqa_error *err = &w->err;
    world_before_call(w);
    if (!(status = mqa_sequence_create(cache, &seq, err)) &&
        !(status = mqa_sequence_extend(seq, take_number(r, 1, 130), err)) &&
        !(status = mqa_sequence_fork(seq, mqa_sequence_length(seq) / 2, &fork, err)) &&
        !(status = mqa_plan_create(cache, &o, &plan, err))) {
        const mqa_plan_item items[] = {{.sequence = seq, .n_queries = 1},
                                       {.sequence = fork, .n_queries = 1, .q_ahead = 1}};
        mqa_sequence_evict(seq);
        status = mqa_plan_batch(plan, items, 2, err);
    }
    const bool good = world_called(w, "a cache of any shape", status, FINE | REFUSED | DEAR);
    mqa_plan_destroy(&plan);
    mqa_sequence_destroy(&fork);
    mqa_sequence_destroy(&seq);
    return good;
}

/* As the header has it. */
static bool cache_is_valid(const mqa_cache_config *c, const mqa_rope *wide)
{
    const size_t page = mqa_cache_page_bytes(c);
    return c->struct_size == sizeof *c && c->n_layers > 0 && c->n_kv_heads > 0 && c->head_dim_qk > 0 &&
           c->head_dim_qk <= 1024 && c->head_dim_vo > 0 && c->head_dim_vo <= 1024 &&
           (unsigned)c->k_type < MQA_KV_TYPES && (unsigned)c->v_type < MQA_KV_TYPES && c->window >= 0 &&
           c->n_sink_tokens >= 0 && (c->n_sink_tokens == 0 || c->window > 0) &&
           (!c->v_in_k || c->head_dim_vo <= c->head_dim_qk) && c->max_pages > 0 &&
           c->max_pages <= INT32_MAX && (c->budget_bytes == 0 || (page > 0 && c->budget_bytes >= page)) &&
           (!c->v_in_k || !c->k_hadamard || c->head_dim_vo % (c->head_dim_qk & -c->head_dim_qk) == 0) &&
           (c->rope != wide || c->head_dim_qk >= 64) &&
           (c->page_tokens == 0 || c->page_tokens == 64 || c->page_tokens == 128 || c->page_tokens == 256);
}

bool op_cache(world *w, reader *r)
{
    static const int page_tokens[] = {0, 64, 128, 256};
    mqa_cache_config c = {.struct_size = take_struct_size(r, sizeof c),
                          .n_layers = take_int(r, 1, 3),
                          .n_kv_heads = take_int(r, 1, 3),
                          .head_dim_qk = take_int(r, 1, 40),
                          .head_dim_vo = take_int(r, 1, 40),
                          .k_type = (mqa_kv_type)take_int(r, 0, MQA_KV_TYPES - 1),
                          .v_type = (mqa_kv_type)take_int(r, 0, MQA_KV_TYPES - 1),
                          .window = take_one_in(r, 3) ? take_number(r, 0, 200) : 0,
                          .max_pages = take_number(r, 1, 9)};
    mqa_cache *cache;
    mqa_status status;
    c.page_tokens = take_one_in(r, 16) ? take_int(r, 1, 64) : page_tokens[take_byte(r) % 4];
    if (take_one_in(r, c.window > 0 ? 2 : 16)) c.n_sink_tokens = take_number(r, 0, 200);
    if (take_one_in(r, 8)) c.v_in_k = true;
    if (take_one_in(r, 4)) c.k_hadamard = true;
    if (take_one_in(r, 4)) c.v_hadamard = true;
    if (take_one_in(r, 8)) c.budget_bytes = (size_t)take_number(r, 0, 5000);
    if (take_one_in(r, 16)) c.rope = w->wide_rope;
    const int64_t n = take_number(r, 0, 9), chunk = take_number(r, 1, 9);
    const size_t page = mqa_cache_page_bytes(&c), kv = mqa_kv_bytes(&c, n, chunk);
    MUST(w, page == 0 || n < 1 || chunk < 1 || kv >= page, "%zu bytes a page, %zu of a sequence", page, kv);
    const mqa_cache_config *given = take_one_in(r, 64) ? NULL : &c;
    const bool valid = given && cache_is_valid(&c, w->wide_rope);
    const bool huge = c.n_kv_heads > 64 || c.n_layers > 64 || c.max_pages > 1 << 20; /* more than addresses */
    CALL(w, !valid ? REFUSED : FINE | (huge ? REFUSED : 0), status,
         mqa_cache_create(w->ctx, given, &cache, &w->err));
    MUST(w, (cache != NULL) == (status == MQA_OK) && (status != MQA_OK || page > 0), "cache: out");
    const bool good = !cache || use_cache(w, cache, &c, r);
    mqa_cache_destroy(&cache);
    return good;
}

/* ---- partial states ------------------------------------------------------------------------------ */

enum { STATE_ROWS = 5, STATE_D = 40 };

static mqa_states take_states(reader *r, bool empty)
{
    static const float m[] = {0, -3, 10, -60}, l[] = {1, 2, 700}, o[] = {1, -2, 0.5f, 300};
    mqa_states s = {new_floats(STATE_ROWS, -INFINITY), new_floats(STATE_ROWS, 0),
                    new_floats(STATE_ROWS * STATE_D, 0)};
    for (int i = 0; i < STATE_ROWS && !empty; i++) {
        s.m[i] = m[take_byte(r) % 4], s.l[i] = l[i % 3];
        for (int j = 0; j < STATE_D; j++) s.o[i * STATE_D + j] = o[(i + j) % 4];
    }
    if (empty) return s;
    const int at = (int)take_from(r, 0, STATE_ROWS - 1);
    s.m[at] = take_float(r, m, 4), s.l[at] = take_float(r, l, 3), s.o[at] = take_float(r, o, 4);
    return s;
}

static void free_states(mqa_states s)
{
    free(s.m), free(s.l), free(s.o);
}

static bool same_floats(const float *a, const float *b, int64_t n)
{
    return memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

static bool merge(world *w, reader *r, mqa_states a, mqa_states b, bool a_empty, bool b_empty)
{
    const int64_t any = take_number(r, 0, STATE_ROWS);
    const int64_t rows = any > STATE_ROWS ? -any : any; /* more than there are isn't ours to say */
    const int d = take_int(r, 1, STATE_D);
    const bool valid = rows >= 0 && d >= 1 && d <= 1024;
    if (valid && d > STATE_D) return true;
    const int64_t n = valid ? rows * d : 0;
    float *was = new_floats(n + 1, 0), *out = new_floats(n + 1, 0), lse[STATE_ROWS];
    memcpy(was, b_empty ? a.o : b.o, (size_t)n * sizeof *was);
    mqa_states bad = a;
    const bool lacks = take_one_in(r, 16);
    if (lacks) bad.l = NULL;
    world_before_call(w);
    mqa_status status = mqa_merge_states(w->ctx, rows, d, lacks ? bad : a, b, &w->err);
    bool good = world_called(w, "mqa_merge_states", status, valid && !lacks ? FINE : REFUSED);
    if (good && status == MQA_OK && !r->wild && (a_empty || b_empty) && !same_floats(was, a.o, n))
        good = differ(w, "empty states change others");
    world_before_call(w);
    if (good) {
        status = mqa_states_finish(w->ctx, rows, d, a, NULL, out, valid ? (size_t)d : 0, lse, &w->err);
        good = world_called(w, "mqa_states_finish", status, valid ? FINE : REFUSED);
    }
    for (int64_t i = 0; good && status == MQA_OK && !r->wild && i < n; i++)
        if (!isfinite(out[i])) good = differ(w, "merged states make no number");
    free(was), free(out);
    return good;
}

bool op_states(world *w, reader *r)
{
    const bool a_empty = take_one_in(r, 4), b_empty = take_one_in(r, 4);
    mqa_states a = take_states(r, a_empty), b = take_states(r, b_empty);
    const bool good = merge(w, r, a, b, a_empty, b_empty);
    free_states(a), free_states(b);
    return good;
}

/* ---- one call ------------------------------------------------------------------------------------ */

bool op_simple(world *w, reader *r)
{
    static const float scales[] = {0.2f, 1};
    const int kv_heads = take_int(r, 1, 2), ratio = (int)take_from(r, 1, 4), d = take_int(r, 1, 40);
    const int heads = take_one_in(r, 16) ? take_int(r, 0, 5) : (int)((unsigned)kv_heads * (unsigned)ratio);
    const int64_t n_kv = take_number(r, 1, 90), n_q = take_number(r, 1, n_kv > 0 && n_kv < 90 ? n_kv : 1);
    const float scale = take_float(r, scales, 2);
    const bool valid = kv_heads >= 1 && heads >= 1 && heads % kv_heads == 0 && d >= 1 && d <= 1024 &&
                       n_q >= 1 && n_q <= n_kv && isfinite(scale);
    const bool small = heads <= 16 && d <= 40 && n_kv <= 100;
    if (valid && !small) return true; /* there are no such arrays */
    const int64_t q_values = valid ? n_q * heads * d : 0, kv_values = valid ? n_kv * kv_heads * d : 0;
    float *q = new_floats(q_values, 0.5f), *k = new_floats(kv_values, 0.25f), *v = new_floats(kv_values, 2);
    float *out = new_floats(q_values, NAN);
    const bool lacks = take_one_in(r, 32);
    world_before_call(w);
    const mqa_status status =
        mqa_attention(w->ctx, heads, kv_heads, d, n_q, n_kv, q, lacks ? NULL : k, v, scale, out, &w->err);
    bool good = world_called(w, "mqa_attention", status,
                             valid && !lacks ? FINE | (r->wild ? NO_NUMBER : 0) : REFUSED);
    for (int64_t i = 0; good && status == MQA_OK && !r->wild && i < q_values; i++)
        if (fabsf(out[i] - 2) > 1e-5f) good = differ(w, "the mean of 2 is %g", (double)out[i]);
    free(q), free(k), free(v), free(out);
    return good;
}
