/* One layer of one chunk: scores again, probabilities, sums.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "inspect/layer.h"

#include <math.h>
#include <string.h>

#include "inspect/sums.h"
#include "kernels/context.h"
#include "kernels/valid.h"
#include "kvcache/cache.h"
#include "model/session.h"

enum {
    SPAN_GRANULES = MQA_SPAN / MQA_GRANULE,
    SPAN_WORDS = MQA_SPAN / MQA_TILE,
    STRIDE = MQA_SPAN + MQA_TILE /* of the probabilities' rows: no power of two, for the cache's sake */
};

/* A layer in the hands of all threads. */
typedef struct layer_look {
    mqa_inspector *in;
    const mqa_step *step;
    const mqa_sequence *sequence;
    int layer, cache_layer;
    int64_t first; /* position of the step's first row */
} layer_look;

/* Rows of a unit: KV head by KV head, then query by query, then the heads that share that KV head. */
typedef struct unit_work {
    const layer_look *look;
    const mqa_inspector *in;
    const mqa_attention_kernels *kernels;
    const mqa_cache_config *config;
    int n_heads, group, rows;
    int64_t first, end; /* its queries' positions */
    int n;              /* queries */
    double *sums, *documents;
    float *map; /* [n_heads][bin_rows][bins] */
    int bin_rows;
    /* scratch: */
    unsigned char *q;               /* [rows] packed */
    float *turned;                  /* [rows][head_dim] */
    double *m, *l;                  /* [rows] of all keys */
    float *span_m, *span_l, *plogp; /* [rows] of a span */
    float *p;                       /* [rows][STRIDE] */
} unit_work;

/* ---- scratch ---- */

static size_t section(size_t *end, size_t bytes)
{
    const size_t begin = *end;
    *end += mqa_round_up(bytes, MQA_CACHE_LINE);
    return begin;
}

static size_t divide(const mqa_inspector *in, unsigned char *memory, unit_work *out)
{
    const mqa_hparams *hp = &in->model->hp;
    const size_t rows = (size_t)in->unit * (size_t)hp->n_heads, d = (size_t)hp->head_dim;
    const size_t cells = (size_t)hp->n_heads * (size_t)in->unit_bin_rows * (size_t)in->result->maps.bins;
    size_t end = 0;
    const size_t q = section(&end, rows * MQA_Q_ROW_BYTES(d)),
                 turned = section(&end, rows * d * sizeof(float));
    const size_t m = section(&end, rows * sizeof(double)), l = section(&end, rows * sizeof(double));
    const size_t span = section(&end, 3 * rows * sizeof(float));
    const size_t p = section(&end, rows * STRIDE * sizeof(float)), map = section(&end, cells * sizeof(float));
    if (!memory) return end;
    out->q = memory + q;
    out->turned = (float *)(void *)(memory + turned);
    out->m = (double *)(void *)(memory + m);
    out->l = (double *)(void *)(memory + l);
    out->span_m = (float *)(void *)(memory + span);
    out->span_l = out->span_m + rows;
    out->plogp = out->span_l + rows;
    out->p = (float *)(void *)(memory + p);
    out->map = (float *)(void *)(memory + map);
    return end;
}

size_t mqa_inspector_scratch_bytes(const mqa_inspector *in)
{
    return divide(in, NULL, NULL);
}

/* ---- rows ---- */

static int row_of(const unit_work *w, int query, int head)
{
    return (head / w->group * w->n + query) * w->group + head % w->group;
}

static float *probabilities(const unit_work *w, int query, int head)
{
    return w->p + (size_t)row_of(w, query, head) * STRIDE;
}

static bool pack_queries(const unit_work *w)
{
    const mqa_workspace *ws = w->look->step->ws;
    const int d = w->config->head_dim_qk, block = mqa_cache_k_block(w->config);
    for (int begin = 0; begin < w->rows; begin += MQA_MAX_ROWS) {
        const int n = w->rows - begin < MQA_MAX_ROWS ? w->rows - begin : MQA_MAX_ROWS;
        const float *q[MQA_MAX_ROWS];
        for (int r = begin; r < begin + n; r++) {
            const int kv_head = r / (w->n * w->group), query = r / w->group % w->n;
            const size_t token = (size_t)(w->first - w->look->first) + (size_t)query;
            float *row = w->turned + (size_t)r * (size_t)d;
            memcpy(row,
                   ws->q + token * (size_t)ws->q_width +
                       (size_t)(kv_head * w->group + r % w->group) * (size_t)d,
                   (size_t)d * sizeof *row);
            w->look->step->kernels->rows.hadamard(row, d, block);
            q[r - begin] = row;
        }
        if (!w->kernels->pack_q[w->config->k_type](q, n, d, w->in->model->hp.sm_scale,
                                                   w->q + (size_t)begin * MQA_Q_ROW_BYTES(d)))
            return false;
    }
    return true;
}

/* ---- a span ---- */

/* The keys of a span that some query of the unit sees, in whole granules. */
typedef struct span_keys {
    int64_t first;
    int n_granules, n;
} span_keys;

static int64_t seen_from(const unit_work *w, int64_t position)
{
    return mqa_sequence_seen_from(w->look->sequence, position);
}

static span_keys keys_of(const unit_work *w, int64_t span)
{
    int64_t first = seen_from(w, w->first) / MQA_GRANULE, end = (w->end + MQA_GRANULE - 1) / MQA_GRANULE;
    if (first < span * SPAN_GRANULES) first = span * SPAN_GRANULES;
    if (end > (span + 1) * SPAN_GRANULES) end = (span + 1) * SPAN_GRANULES;
    const int n = (int)(end - first);
    return (span_keys){.first = first * MQA_GRANULE, .n_granules = n, .n = n * MQA_GRANULE};
}

static void score(const unit_work *w, const span_keys *keys)
{
    const int rows = w->n * w->group, d = w->config->head_dim_qk;
    for (int kv_head = 0; kv_head < w->config->n_kv_heads; kv_head++) {
        const void *runs[SPAN_GRANULES];
        for (int g = 0; g < keys->n_granules; g++)
            runs[g] = mqa_sequence_granule(w->look->sequence, w->look->cache_layer, kv_head,
                                           keys->first / MQA_GRANULE + g);
        for (int row = 0; row < rows; row += MQA_MAX_ROWS) {
            const size_t at = (size_t)(kv_head * rows + row);
            w->kernels->scores[w->config->k_type](w->q + at * MQA_Q_ROW_BYTES(d),
                                                  rows - row < MQA_MAX_ROWS ? rows - row : MQA_MAX_ROWS, d,
                                                  runs, keys->n_granules, NULL, w->p + at * STRIDE, STRIDE);
        }
    }
}

static int within(int64_t x, int n)
{
    return x < 0 ? 0 : x > n ? n : (int)x;
}

/* p = exp(score - span_m), span_l its sum, of the keys that each row sees; 0 for the others. */
static void exponentials(const unit_work *w, int64_t span, span_keys *keys)
{
    *keys = keys_of(w, span);
    score(w, keys);
    for (int query = 0; query < w->n; query++) {
        uint16_t words[SPAN_WORDS];
        const int64_t position = w->first + query;
        const int lo = within(seen_from(w, position) - keys->first, keys->n),
                  hi = within(position + 1 - keys->first, keys->n);
        mqa_valid_range(words, 4 * keys->n_granules, lo, hi);
        for (int head = 0; head < w->n_heads; head++) {
            const int row = row_of(w, query, head);
            float p_scale;
            w->kernels->softmax[MQA_KV_F32](w->p + (size_t)row * STRIDE, keys->n_granules,
                                            hi - lo == keys->n ? NULL : words, NULL, &w->span_m[row],
                                            &w->span_l[row], &p_scale);
        }
    }
}

/* What the states of a span, relative to its own maximum, are worth relative to m. */
static double weight(float span_m, double m)
{
    return span_m == -INFINITY ? 0 : mqa_exp64((double)span_m - m);
}

static void fold_states(const unit_work *w)
{
    for (int row = 0; row < w->rows; row++) {
        if (w->span_m[row] == -INFINITY) continue;
        const double m = fmax(w->m[row], (double)w->span_m[row]);
        w->l[row] = w->l[row] * mqa_exp64(w->m[row] - m) + (double)w->span_l[row] * weight(w->span_m[row], m);
        w->m[row] = m;
    }
}

/* ---- sums of a row ---- */

/* A row of probabilities and the part of them that isn't 0. */
typedef struct row_part {
    const float *p; /* of key `first` */
    int64_t first, lo, hi, position;
} row_part;

/* Of keys [lo, hi), as far as the row has them. */
static double sum_of(const row_part *row, int64_t lo, int64_t hi)
{
    if (lo < row->lo) lo = row->lo;
    if (hi > row->hi) hi = row->hi;
    return lo < hi ? (double)mqa_sum(row->p + (lo - row->first), (int)(hi - lo)) : 0;
}

static int bucket_of(const mqa_buckets *buckets, int64_t distance)
{
    int lo = 0, hi = buckets->n; /* at[lo] <= distance < at[hi] */
    while (hi - lo > 1) {
        const int middle = (lo + hi) / 2;
        if (buckets->at[middle] <= distance)
            lo = middle;
        else
            hi = middle;
    }
    return lo;
}

static void add_distances(const unit_work *w, const row_part *row, double *sums)
{
    const mqa_buckets *buckets = &w->in->buckets;
    int64_t end = row->hi; /* keys from here on are done */
    for (int b = bucket_of(buckets, row->position - (end - 1)); end > row->lo; b++) {
        const int64_t begin = row->position - buckets->at[b + 1] + 1;
        sums[b] += sum_of(row, begin, end);
        end = begin;
    }
}

static void add_sinks(const unit_work *w, const row_part *row, double *sums)
{
    const mqa_inspect_options *o = w->in->options;
    if (row->lo >= o->n_sinks) return;
    sums[MQA_SUM_SINKS] += sum_of(row, 0, o->n_sinks);
    for (int i = 0; i < o->n_windows; i++) {
        const int64_t end = row->position - o->windows[i] + 1;
        sums[MQA_SUM_SINKS_LOST + i] += sum_of(row, 0, end < o->n_sinks ? end : o->n_sinks);
    }
}

static void add_documents(const unit_work *w, const row_part *row, double *sums)
{
    const mqa_inspect_options *o = w->in->options;
    for (int i = 0; i < o->n_documents; i++)
        sums[i] += sum_of(row, o->documents[i], i + 1 < o->n_documents ? o->documents[i + 1] : row->hi);
}

static void add_to_map(const unit_work *w, const row_part *row, float *bins)
{
    const int shift = w->in->result->maps.shift;
    const bool largest = w->in->options->fold == MQA_MAP_MAX;
    for (int64_t lo = row->lo, end; lo < row->hi; lo = end) {
        end = ((lo >> shift) + 1) << shift;
        if (end > row->hi) end = row->hi;
        const float *p = row->p + (lo - row->first);
        float *bin = &bins[lo >> shift];
        if (largest)
            *bin = fmaxf(*bin, mqa_largest(p, (int)(end - lo)));
        else
            *bin += mqa_sum(p, (int)(end - lo));
    }
}

static void add_row(const unit_work *w, const span_keys *keys, int query, int head)
{
    const mqa_inspector *in = w->in;
    const int row_index = row_of(w, query, head);
    const int64_t position = w->first + query, from = seen_from(w, position);
    const row_part row = {.p = probabilities(w, query, head),
                          .first = keys->first,
                          .lo = from > keys->first ? from : keys->first,
                          .hi = position + 1 < keys->first + keys->n ? position + 1 : keys->first + keys->n,
                          .position = position};
    if (row.lo >= row.hi) return;
    double *sums = w->sums + (size_t)head * in->layout.head;
    sums[MQA_SUM_PLOGP] += (double)w->plogp[row_index];
    add_distances(w, &row, sums + in->layout.buckets);
    add_sinks(w, &row, sums);
    if (w->documents)
        add_documents(w, &row,
                      w->documents + ((size_t)query * (size_t)w->n_heads + (size_t)head) *
                                         (size_t)in->options->n_documents);
    const mqa_maps *maps = &in->result->maps;
    if (maps->bins) {
        const size_t bin_row = (size_t)((position >> maps->shift) - (w->first >> maps->shift));
        add_to_map(w, &row, w->map + ((size_t)head * (size_t)w->bin_rows + bin_row) * (size_t)maps->bins);
    }
    if (in->options->row)
        in->options->row(in->options->row_user, w->look->layer, head, position, row.lo,
                         row.p + (row.lo - row.first), (int)(row.hi - row.lo));
}

/* The Jensen-Shannon divergence is H((a + b) / 2) - (H(a) + H(b)) / 2. */
static void compare_heads(const unit_work *w, const span_keys *keys, int query)
{
    double *pairs = w->sums + w->in->layout.pairs;
    for (int b = 1; b < w->n_heads; b++)
        for (int a = 0; a < b; a++) {
            const mqa_two_rows two =
                mqa_compare_rows(probabilities(w, query, a), probabilities(w, query, b), keys->n);
            double *pair = pairs + 2 * mqa_pair_index(a, b);
            pair[0] += 0.5 * ((double)w->plogp[row_of(w, query, a)] + (double)w->plogp[row_of(w, query, b)]) -
                       (double)two.middle_plogp;
            pair[1] += (double)two.overlap;
        }
}

static void add_span(const unit_work *w, int64_t span)
{
    span_keys keys;
    exponentials(w, span, &keys);
    for (int row = 0; row < w->rows; row++)
        w->plogp[row] = mqa_scale_sum_plogp(w->p + (size_t)row * STRIDE, keys.n,
                                            (float)(weight(w->span_m[row], w->m[row]) / w->l[row]));
    for (int query = 0; query < w->n; query++) {
        for (int head = 0; head < w->n_heads; head++) add_row(w, &keys, query, head);
        const int64_t position = w->first + query;
        if (position > 0 && position % w->in->options->compare_every == 0) compare_heads(w, &keys, query);
    }
}

/* ---- maps ---- */

/* A finished row of bins to codes. */
static void finish_map_row(const mqa_inspector *in, int layer, int head, int64_t bin_row, const float *bins)
{
    const mqa_maps *maps = &in->result->maps;
    const int64_t begin = bin_row << maps->shift, end = (bin_row + 1) << maps->shift;
    const double queries = (double)((end < in->n_tokens ? end : in->n_tokens) - begin);
    const double factor = in->options->fold == MQA_MAP_MAX ? 1 : 1 / queries;
    uint8_t *codes = mqa_maps_row(maps, layer * in->model->hp.n_heads + head, (int)bin_row);
    for (int i = 0; i <= bin_row; i++) codes[i] = mqa_map_code((double)bins[i] * factor);
}

/* ---- tasks ---- */

static void look_at_unit(void *arg, int task, int worker)
{
    layer_look *look = arg;
    mqa_inspector *in = look->in;
    const mqa_hparams *hp = &in->model->hp;
    const mqa_maps *maps = &in->result->maps;
    const int64_t first = look->first + (int64_t)task * in->unit, last = look->first + look->step->n_rows;
    unit_work w = {.look = look,
                   .in = in,
                   .kernels = mqa_context_attention(in->model->ctx),
                   .config = &look->sequence->cache->config,
                   .n_heads = hp->n_heads,
                   .group = hp->n_heads / hp->n_kv_heads,
                   .first = first,
                   .end = last < first + in->unit ? last : first + in->unit,
                   .bin_rows = in->unit_bin_rows ? in->unit_bin_rows : 1,
                   .sums = in->unit_sums + (size_t)task * in->layout.doubles};
    w.n = (int)(w.end - w.first);
    w.rows = w.n * w.n_heads;
    divide(in, in->scratch + (size_t)worker * in->scratch_bytes, &w);
    memset(w.sums, 0, in->layout.doubles * sizeof *w.sums);
    if (in->unit_documents) {
        const size_t n = (size_t)in->unit * (size_t)w.n_heads * (size_t)in->options->n_documents;
        w.documents = in->unit_documents + (size_t)task * n;
        memset(w.documents, 0, n * sizeof *w.documents);
    }
    if (in->unit_maps) w.map = in->unit_maps + (size_t)task * (size_t)w.n_heads * (size_t)maps->bins;
    memset(w.map, 0, (size_t)w.n_heads * (size_t)w.bin_rows * (size_t)maps->bins * sizeof *w.map);
    for (int row = 0; row < w.rows; row++) {
        w.m[row] = -INFINITY;
        w.l[row] = 0;
    }
    if (!pack_queries(&w)) {
        atomic_store(&in->not_finite, 1);
        return;
    }

    const int64_t begin = seen_from(&w, w.first) / MQA_SPAN, end = (w.end - 1) / MQA_SPAN + 1;
    for (int64_t span = begin; span < end; span++) {
        span_keys keys;
        exponentials(&w, span, &keys);
        fold_states(&w);
    }
    for (int64_t span = begin; span < end; span++) add_span(&w, span);

    for (int i = 0; in->unit_bin_rows && i <= ((w.end - 1) >> maps->shift) - (w.first >> maps->shift); i++)
        for (int head = 0; maps->bins && head < w.n_heads; head++)
            finish_map_row(in, look->layer, head, (w.first >> maps->shift) + i,
                           w.map + ((size_t)head * (size_t)w.bin_rows + (size_t)i) * (size_t)maps->bins);
}

/* ---- in the order of the text ---- */

static void add_documents_of(const layer_look *look, int unit)
{
    const mqa_inspector *in = look->in;
    const int64_t first = look->first + (int64_t)unit * in->unit;
    const size_t n_heads = (size_t)in->model->hp.n_heads, n = (size_t)in->options->n_documents;
    const double *from = in->unit_documents + (size_t)unit * (size_t)in->unit * n_heads * n;
    double *to = in->result->on_document + (size_t)look->layer * n_heads * n * n;
    size_t document = 0;
    for (int query = 0; query < in->unit && first + query < look->first + look->step->n_rows; query++) {
        while (document + 1 < n && in->options->documents[document + 1] <= first + query) document++;
        for (size_t head = 0; head < n_heads; head++, from += n)
            for (size_t i = 0; i < n; i++) to[(head * n + document) * n + i] += from[i];
    }
}

static void add_map_of(const layer_look *look, int unit)
{
    const mqa_inspector *in = look->in;
    const mqa_maps *maps = &in->result->maps;
    const int64_t first = look->first + (int64_t)unit * in->unit, bin_row = first >> maps->shift;
    const int64_t end = first + in->unit < in->n_tokens ? first + in->unit : in->n_tokens;
    const bool complete = end == in->n_tokens || end >> maps->shift > bin_row;
    const size_t n_heads = (size_t)in->model->hp.n_heads, bins = (size_t)maps->bins;
    for (size_t head = 0; head < n_heads; head++) {
        const float *from = in->unit_maps + ((size_t)unit * n_heads + head) * bins;
        float *to = in->map_rows + ((size_t)look->layer * n_heads + head) * bins;
        for (size_t i = 0; i < bins; i++)
            to[i] = in->options->fold == MQA_MAP_MAX ? fmaxf(to[i], from[i]) : to[i] + from[i];
        if (!complete) continue;
        finish_map_row(in, look->layer, (int)head, bin_row, to);
        memset(to, 0, bins * sizeof *to);
    }
}

static void add_unit(const layer_look *look, int unit)
{
    const mqa_inspector *in = look->in;
    const double *from = in->unit_sums + (size_t)unit * in->layout.doubles;
    double *to = in->sums + (size_t)look->layer * in->layout.doubles;
    for (size_t i = 0; i < in->layout.doubles; i++) to[i] += from[i];
    if (in->unit_documents) add_documents_of(look, unit);
    if (in->unit_maps) add_map_of(look, unit);
}

static mqa_status report(const layer_look *look, mqa_error *err)
{
    mqa_inspector *in = look->in;
    const mqa_inspect_options *o = in->options;
    const int64_t end = look->first + look->step->n_rows, window = look->sequence->cache->config.window;
    in->work_done += (size_t)(look->step->n_rows * (window && window < end ? window : end));
    if (o->progress && o->progress(o->progress_user, in->work_done, in->work_all))
        return mqa_fail(err, MQA_ERR_CANCELLED, "the inspection was stopped");
    return MQA_OK;
}

mqa_status mqa_inspector_attends(void *inspector, const mqa_step *step, const mqa_layer *layer,
                                 mqa_error *err)
{
    mqa_inspector *in = inspector;
    layer_look look = {.in = in,
                       .step = step,
                       .sequence = step->segments[0].sequence[layer->kind],
                       .layer = (int)(layer - in->model->layers),
                       .cache_layer = layer->cache_layer,
                       .first = step->segments[0].position};
    const int n_units = (step->n_rows + in->unit - 1) / in->unit;
    mqa_pool_run(step->pool, look_at_unit, &look, n_units);
    if (atomic_load(&in->not_finite))
        return mqa_fail(err, MQA_ERR_NOT_FINITE, "layer %d: a query is not finite", look.layer);
    for (int unit = 0; unit < n_units; unit++) add_unit(&look, unit);
    return report(&look, err);
}
