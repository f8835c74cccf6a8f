/* Figures and maps against the formulas, written out over whole matrices in double: queries come from an
 * observer of its own, keys from the cache.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "model/synthetic.h"

#include <math.h>

#include "inspect/inspect.h"
#include "inspect/sums.h"
#include "model/rig.h"
#include "model/session.h"

/* All probabilities of a text: p[layer][head][query][key]. */
typedef struct matrices {
    int n_layers, n_heads, n;
    double *p;
} matrices;

static double *row_of(const matrices *m, int layer, int head, int query)
{
    return m->p + (((size_t)layer * (size_t)m->n_heads + (size_t)head) * (size_t)m->n + (size_t)query) *
                      (size_t)m->n;
}

static matrices matrices_make(const mqa_model_info *info, int n)
{
    matrices m = {.n_layers = info->n_layers, .n_heads = info->n_heads, .n = n};
    m.p = calloc((size_t)m.n_layers * (size_t)m.n_heads * (size_t)n * (size_t)n, sizeof *m.p);
    assert_non_null(m.p);
    return m;
}

/* The formula: softmax of q . k scaled, over the keys that are not after the query nor out of its window. */
static mqa_status formula(void *user, const mqa_step *step, const mqa_layer *layer, mqa_error *err)
{
    const matrices *m = user;
    const mqa_hparams *hp = &step->model->hp;
    const mqa_segment *s = &step->segments[0];
    const size_t d = (size_t)hp->head_dim, kv = (size_t)hp->n_kv_heads;
    const int64_t window = layer->kind == MQA_LAYER_WINDOW ? hp->window : m->n;
    const int64_t first = s->position >= window ? s->position - window + 1 : 0, end = s->position + s->n_rows;
    float *k = malloc((size_t)(end - first) * kv * d * sizeof *k);
    MQA_TRY(mqa_sequence_read(s->sequence[layer->kind], layer->cache_layer, first, end - first, k, kv * d, d,
                              NULL, 0, 0, err));
    for (int64_t i = s->position; i < end; i++)
        for (int head = 0; head < hp->n_heads; head++) {
            double *row = row_of(m, (int)(layer - step->model->layers), head, (int)i), largest = -INFINITY,
                   sum = 0;
            const float *q =
                step->ws->q + (size_t)(i - s->position) * (size_t)step->ws->q_width + (size_t)head * d;
            const int kv_head = head / (hp->n_heads / hp->n_kv_heads);
            const int64_t lo = i >= window ? i - window + 1 : 0;
            for (int64_t t = lo; t <= i; t++) {
                const float *key = k + ((size_t)(t - first) * kv + (size_t)kv_head) * d;
                row[t] = 0;
                for (size_t c = 0; c < d; c++) row[t] += (double)q[c] * (double)key[c];
                row[t] *= (double)hp->sm_scale;
                largest = fmax(largest, row[t]);
            }
            for (int64_t t = lo; t <= i; t++) sum += row[t] = exp(row[t] - largest);
            for (int64_t t = lo; t <= i; t++) row[t] /= sum;
        }
    free(k);
    return MQA_OK;
}

static void collect(void *user, int layer, int head, int64_t query, int64_t first_key, const float *p, int n)
{
    double *row = row_of(user, layer, head, (int)query);
    for (int i = 0; i < n; i++) row[first_key + i] = (double)p[i];
}

static double log2p(double p)
{
    return p > 0 ? log2(p) : 0;
}

static void near(double got, double want, double tolerance, const char *what, int layer, int head)
{
    if (fabs(got - want) <= tolerance) return;
    fail_msg("layer %d head %d: %s is %.9g, not %.9g", layer, head, what, got, want);
}

/* ---- each figure, from the whole matrix ---- */

static void check_head(const matrices *m, const mqa_inspection *in, int layer, int head)
{
    const mqa_inspect_options *o = &in->options;
    const mqa_head_figures *f = mqa_inspection_head(in, layer, head);
    double entropy = 0, self = 0, previous = 0, sinks = 0, *distance = calloc((size_t)m->n, sizeof *distance);
    double lost[MQA_INSPECT_WINDOWS] = {0}, no_sinks[MQA_INSPECT_WINDOWS] = {0};
    for (int i = 0; i < m->n; i++) {
        const double *p = row_of(m, layer, head, i);
        for (int t = 0; t <= i; t++) {
            entropy -= p[t] * log2p(p[t]) / m->n;
            self += t == i ? p[t] / m->n : 0;
            previous += t == i - 1 ? p[t] / m->n : 0;
            sinks += t < o->n_sinks ? p[t] / m->n : 0;
            distance[i - t] += p[t] / m->n;
            for (int w = 0; w < o->n_windows; w++)
                if (i - t >= o->windows[w]) {
                    lost[w] += p[t] / m->n;
                    no_sinks[w] += t < o->n_sinks ? 0 : p[t] / m->n;
                }
        }
    }
    near(f->entropy, entropy, 1e-5, "entropy", layer, head);
    near(f->self, self, 1e-6, "self", layer, head);
    near(f->previous, previous, 1e-6, "previous", layer, head);
    near(f->sinks, sinks, 1e-6, "sinks", layer, head);
    for (int w = 0; w < o->n_windows; w++) {
        near(f->lost[w], lost[w], 1e-6, "lost", layer, head);
        near(f->lost_no_sinks[w], no_sinks[w], 1e-6, "lost_no_sinks", layer, head);
    }
    /* Spans are exact up to 16 and within a bucket, an eighth, beyond. */
    double sum = 0;
    int span50 = 0, span90 = 0;
    for (int i = 0; i < m->n; i++) {
        sum += distance[i];
        if (!span50 && sum >= 0.5) span50 = i + 1;
        if (!span90 && sum >= 0.9) span90 = i + 1;
    }
    near(f->span50, span50, span50 > 16 ? span50 / 7.0 : 1e-9, "span50", layer, head);
    near(f->span90, span90, span90 > 16 ? span90 / 7.0 : 1e-9, "span90", layer, head);
    free(distance);
}

static void check_pairs(const matrices *m, const mqa_inspection *in, int layer)
{
    const size_t base = (size_t)layer * (size_t)(m->n_heads * m->n_heads);
    for (int a = 0; a < m->n_heads; a++)
        for (int b = 0; b < m->n_heads; b++) {
            double divergence = 0, overlap = 0;
            int n = 0;
            for (int i = (int)in->options.compare_every; i < m->n; i += (int)in->options.compare_every, n++) {
                const double *p = row_of(m, layer, a, i), *q = row_of(m, layer, b, i);
                for (int t = 0; t <= i; t++) {
                    const double middle = (p[t] + q[t]) / 2;
                    divergence += 0.5 * p[t] * (log2p(p[t]) - log2p(middle)) +
                                  0.5 * q[t] * (log2p(q[t]) - log2p(middle));
                    overlap += fmin(p[t], q[t]);
                }
            }
            assert_int_equal(n, in->n_compared);
            if (n == 0) continue;
            const size_t at = base + (size_t)(a * m->n_heads + b);
            near(in->divergence[at], divergence / n, 1e-5, "divergence", layer, a);
            near(in->overlap[at], overlap / n, 1e-6, "overlap", layer, a);
        }
}

static void check_documents(const matrices *m, const mqa_inspection *in, int layer, int head)
{
    const mqa_inspect_options *o = &in->options;
    const int n = o->n_documents;
    for (int from = 0; from < n; from++)
        for (int on = 0; on < n; on++) {
            const int begin = (int)o->documents[from],
                      end = from + 1 < n ? (int)o->documents[from + 1] : m->n;
            const int lo = (int)o->documents[on], hi = on + 1 < n ? (int)o->documents[on + 1] : m->n;
            double share = 0;
            for (int i = begin; i < end; i++)
                for (int t = lo; t < hi; t++) share += row_of(m, layer, head, i)[t] / (end - begin);
            const size_t at =
                (((size_t)layer * (size_t)m->n_heads + (size_t)head) * (size_t)n + (size_t)from) * (size_t)n +
                (size_t)on;
            near(in->on_document[at], share, 1e-6, "a document's share", layer, head);
        }
}

static void check_map(const matrices *m, const mqa_inspection *in, int layer, int head)
{
    const mqa_maps *maps = &in->maps;
    const int step = 1 << maps->shift;
    for (int y = 0; y < maps->bins; y++)
        for (int x = 0; x < maps->bins; x++) {
            double sum = 0, largest = 0;
            int n = 0;
            for (int i = y * step; i < (y + 1) * step && i < m->n; i++, n++)
                for (int t = x * step; t < (x + 1) * step && t < m->n; t++) {
                    sum += row_of(m, layer, head, i)[t];
                    largest = fmax(largest, row_of(m, layer, head, i)[t]);
                }
            const double want = in->options.fold == MQA_MAP_MAX ? largest : sum / n;
            const int code = mqa_maps_row(maps, layer * m->n_heads + head, y)[x];
            if (abs(code - mqa_map_code(want)) > 1)
                fail_msg("layer %d head %d bin %d, %d: code %d, not %d", layer, head, y, x, code,
                         mqa_map_code(want));
        }
}

static void check_all(const matrices *m, const mqa_inspection *in)
{
    for (int layer = 0; layer < m->n_layers; layer++) {
        for (int head = 0; head < m->n_heads; head++) {
            check_head(m, in, layer, head);
            if (in->on_document) check_documents(m, in, layer, head);
            if (in->maps.bins) check_map(m, in, layer, head);
        }
        check_pairs(m, in, layer);
    }
}

/* ---- cases ---- */

typedef struct scene {
    char path[64];
    rig r;
    int n;
    int32_t *tokens;
} scene;

static scene scene_make(const synthetic *model, int n, int threads)
{
    scene s = {.n = n};
    snprintf(s.path, sizeof s.path, "/tmp/mqa-inspect-%d.gguf", (int)getpid());
    synthetic_write(model, s.path);
    s.r = rig_open(s.path, (rig_options){.threads = threads, .k_type = MQA_KV_F32, .v_type = MQA_KV_F32});
    s.tokens = random_tokens(n, s.r.info.n_vocab, 5);
    return s;
}

static void scene_end(scene *s)
{
    rig_close(&s->r);
    unlink(s->path);
    free(s->tokens);
}

static mqa_inspect_options f32_options(void)
{
    mqa_inspect_options o = mqa_inspect_options_default();
    o.k_type = o.v_type = MQA_KV_F32;
    return o;
}

static void compare(const synthetic *model, int n, mqa_inspect_options o)
{
    scene s = scene_make(model, n, 2);
    matrices want = matrices_make(&s.r.info, n), got = matrices_make(&s.r.info, n);
    s.r.session->observer = (mqa_observer){formula, &want};
    const mqa_eval_item item = {.tokens = s.tokens, .n_tokens = n};
    OK(mqa_session_eval(s.r.session, &item, 1, NULL, &err));
    o.row = collect;
    o.row_user = &got;
    mqa_inspection *in;
    OK(mqa_inspect(s.r.model, &o, s.tokens, n, NULL, &in, &err));
    double worst = 0;
    for (size_t i = 0; i < (size_t)(want.n_layers * want.n_heads) * (size_t)n * (size_t)n; i++)
        worst = fmax(worst, fabs(got.p[i] - want.p[i]));
    print_message("%s, %d tokens: worst difference of a probability %.1e\n", model->arch, n, worst);
    assert_true(worst < 2e-6);
    check_all(&want, in);
    mqa_inspection_destroy(&in);
    free(want.p);
    free(got.p);
    scene_end(&s);
}

static synthetic f32_model(const synthetic *base)
{
    synthetic m = *base;
    m.type = MQA_GGUF_F32;
    return m;
}

/* Windows, sinks, documents and bins that end inside spans, units and each other; several chunks. */
static void windows_and_documents(void **state)
{
    (void)state;
    synthetic m = f32_model(&small_gemma3);
    m.n_layers = 6;
    mqa_inspect_options o = f32_options();
    o.n_windows = 5;
    memcpy(o.windows, (int64_t[]){1, 7, 64, 100, 1000}, 5 * sizeof *o.windows);
    o.n_documents = 4;
    memcpy(o.documents, (int64_t[]){0, 3, 517, 1000}, 4 * sizeof *o.documents);
    o.n_sinks = 5;
    o.compare_every = 3;
    o.max_bins = 32;
    compare(&m, 1100, o);
}

/* A bin for each token, and the largest instead of the mean; groups of three heads. */
static void one_bin_a_token(void **state)
{
    (void)state;
    const synthetic m = f32_model(&small_llama);
    mqa_inspect_options o = f32_options();
    o.max_bins = 1024;
    o.fold = MQA_MAP_MAX;
    o.n_sinks = 1;
    compare(&m, 333, o);
    o.max_bins = 64;
    compare(&m, 600, o);
    o.max_bins = 0;
    o.n_sinks = 0;
    compare(&m, 1, o);
}

/* So few that every bucket of distances is one token wide; and latent attention, whose heads share all. */
static void few_tokens(void **state)
{
    (void)state;
    const synthetic llama = f32_model(&small_llama), latent = f32_model(&small_deepseek2);
    compare(&llama, 12, f32_options());
    compare(&latent, 150, f32_options());
}

/* p log2 p as sums.h says, from the smallest probability that matters to 1. */
static void logarithms(void **state)
{
    (void)state;
    for (double x = 1e-30; x <= 1; x *= 1.0009) {
        float p[16] = {0};
        p[5] = (float)x;
        const double want = (double)p[5] * log2((double)p[5]);
        const double got = (double)mqa_scale_sum_plogp(p, 16, 1);
        if (fabs(got - want) > (double)p[5] * (3e-7 + 1.5e-7 * fabs(log2((double)p[5]))))
            fail_msg("%.9g: %.9g, not %.9g", x, got, want);
    }
    float none[16] = {0};
    assert_true(mqa_scale_sum_plogp(none, 16, 1) == 0);
}

/* A text of twice as many tokens, four times as many probabilities, takes no more memory but for the
 * cache. */
static void memory_stays(void **state)
{
    (void)state;
    const synthetic m = small_llama;
    scene s = scene_make(&m, 4096, 1);
    mqa_inspect_options o = mqa_inspect_options_default();
    o.max_bins = 64;
    size_t bytes[2], kv[2];
    for (int i = 0; i < 2; i++) {
        mqa_inspection *in;
        OK(mqa_inspect(s.r.model, &o, s.tokens, i == 0 ? 2048 : 4096, NULL, &in, &err));
        bytes[i] = in->work_bytes;
        kv[i] = in->kv_bytes;
        mqa_inspection_destroy(&in);
    }
    assert_int_equal(kv[1], 2 * kv[0]);
    assert_true(bytes[1] < bytes[0] + bytes[0] / 10); /* some more buckets of distances */
    scene_end(&s);
}

/* Bits: whatever the number of threads. */
static void threads_change_nothing(void **state)
{
    (void)state;
    mqa_inspect_options o = mqa_inspect_options_default();
    o.n_windows = 1;
    o.windows[0] = 50;
    o.n_documents = 2;
    o.documents[1] = 300;
    mqa_inspection *in[2];
    scene s[2];
    for (int i = 0; i < 2; i++) {
        s[i] = scene_make(&small_gemma3, 700, i == 0 ? 1 : 5);
        OK(mqa_inspect(s[i].r.model, &o, s[i].tokens, 700, NULL, &in[i], &err));
    }
    const size_t all = (size_t)in[0]->n_layers * (size_t)in[0]->n_heads, pairs = all * (size_t)in[0]->n_heads;
    assert_memory_equal(in[0]->heads, in[1]->heads, all * sizeof *in[0]->heads);
    assert_memory_equal(in[0]->divergence, in[1]->divergence, pairs * sizeof(double));
    assert_memory_equal(in[0]->overlap, in[1]->overlap, pairs * sizeof(double));
    assert_memory_equal(in[0]->on_document, in[1]->on_document, all * 4 * sizeof(double));
    assert_memory_equal(in[0]->maps.codes, in[1]->maps.codes, in[0]->maps.bytes);
    for (int i = 0; i < 2; i++) {
        mqa_inspection_destroy(&in[i]);
        scene_end(&s[i]);
    }
}

/* ---- refusals ---- */

static int stop_at_once(void *user, size_t done, size_t total)
{
    assert_true(done <= total);
    return ++*(int *)user == 2;
}

static void refuse(const scene *s, mqa_inspect_options o, int64_t n, mqa_status want)
{
    mqa_inspection *in = (mqa_inspection *)s;
    mqa_error err = {0};
    assert_int_equal(mqa_inspect(s->r.model, &o, s->tokens, n, NULL, &in, &err), want);
    assert_null(in);
    assert_true(strlen(err.message) > 10);
}

static void refusals(void **state)
{
    (void)state;
    scene s = scene_make(&small_llama, 20, 1);
    mqa_inspect_options o = mqa_inspect_options_default();
    refuse(&s, o, 0, MQA_ERR_INVALID_ARGUMENT);
    refuse(&s, o, INT64_MAX, MQA_ERR_INVALID_ARGUMENT);
    o.n_windows = 1; /* of 0 */
    refuse(&s, o, 20, MQA_ERR_INVALID_ARGUMENT);
    o.n_windows = MQA_INSPECT_WINDOWS + 1;
    refuse(&s, o, 20, MQA_ERR_INVALID_ARGUMENT);
    for (int bins = -1; bins < 100000; bins = bins * 3 + 4) {
        o = mqa_inspect_options_default();
        o.max_bins = bins;
        refuse(&s, o, 20, MQA_ERR_INVALID_ARGUMENT);
    }
    o = mqa_inspect_options_default();
    o.n_sinks = -1;
    refuse(&s, o, 20, MQA_ERR_INVALID_ARGUMENT);
    o = mqa_inspect_options_default();
    o.n_documents = 2; /* the second begins at 0, too */
    refuse(&s, o, 20, MQA_ERR_INVALID_ARGUMENT);
    o.documents[1] = 20;
    refuse(&s, o, 20, MQA_ERR_INVALID_ARGUMENT);
    int calls = 0;
    o = mqa_inspect_options_default();
    o.progress = stop_at_once;
    o.progress_user = &calls;
    refuse(&s, o, 20, MQA_ERR_CANCELLED);
    assert_int_equal(calls, 2);
    s.tokens[3] = s.r.info.n_vocab;
    refuse(&s, mqa_inspect_options_default(), 20, MQA_ERR_INVALID_ARGUMENT);
    scene_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(windows_and_documents),
                                       cmocka_unit_test(one_bin_a_token),
                                       cmocka_unit_test(few_tokens),
                                       cmocka_unit_test(logarithms),
                                       cmocka_unit_test(memory_stays),
                                       cmocka_unit_test(threads_change_nothing),
                                       cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
