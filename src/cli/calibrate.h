/* Calibration for plans: this machine's roofline, and how much of it our kernels reach.
 *
 * Everything is timed as a model runs it: linear layers through model/layers.h on weights made up in memory,
 * attention on caches full of random K and V, what steps and layers cost besides through sessions of such
 * models.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CLI_CALIBRATE_H
#define MQA_CLI_CALIBRATE_H

#include <stdbool.h>

#include "mqa/model.h"
#include "planner/planner.h"

/* All figures of the context's machine, threads and instruction set: one of so many rounds, about forty
 * seconds. MQA_ERR_CANCELLED once cli_stop is set. */
mqa_status calibrate_round(mqa_context *ctx, int round, int rounds, mqa_machine *out, mqa_error *err);
/* Each figure's median: a minute in which others on the machine were busy is one round's. */
enum { CALIBRATE_ROUNDS = 3 };
void calibrate_middle(const mqa_machine rounds[CALIBRATE_ROUNDS], mqa_machine *out);
/* One round; thorough: the medians of three. */
mqa_status calibrate_machine(mqa_context *ctx, bool thorough, mqa_machine *out, mqa_error *err);

/* ---- its parts ---- */

/* Seconds of run, called again and again for `seconds`, at least 5 times, up to four times as long where
 * other programs interrupt it: the median of runs that weren't interrupted, as `mqa compare` takes it; of all
 * where there are fewer than 5. */
typedef mqa_status calibrate_fn(void *arg, mqa_error *err);
mqa_status calibrate_time(calibrate_fn *run, void *arg, double seconds, double *out, mqa_error *err);

/* A model of llama's kind made up in memory: its weights mean nothing. Ended by mqa_model_destroy. Every
 * layer has weights of its own, in one gguf type. */
typedef struct calibrate_shape {
    int layers, embd, ff, heads, kv_heads, head_dim, vocab;
    uint32_t type;
} calibrate_shape;
mqa_status calibrate_model(mqa_context *ctx, const calibrate_shape *shape, mqa_model **out, mqa_error *err);

/* Seconds of a step of such a model's session: n_tokens of each request, behind depth others that are made
 * up. */
typedef struct calibrate_step {
    int requests;
    int64_t depth, n_tokens;
} calibrate_step;
/* What the planner says of the same: a step of decoding, or a prompt if all tokens are new. */
mqa_status calibrate_forecast(const mqa_machine *machine, const calibrate_shape *shape,
                              const calibrate_step *step, mqa_times *out, mqa_error *err);
mqa_status calibrate_session(mqa_context *ctx, const calibrate_shape *shape, const calibrate_step *step,
                             double *seconds, mqa_error *err);

/* Seconds of one layer's feed-forward part (gate, up and down of n_rows[i] rows, i < n), where layers follow
 * each other so that their weights come from memory: *working_set bytes of them; or one layer again and
 * again.
 */
typedef struct calibrate_ff {
    uint32_t type;
    int embd, ff;
    bool cached;                     /* one layer */
    double layer_bytes, working_set; /* filled in */
    double bandwidth;                /* likewise, unless cached */
} calibrate_ff;
mqa_status calibrate_feed_forward(mqa_context *ctx, calibrate_ff *ff, const int *n_rows, int n,
                                  double *seconds, mqa_error *err);

/* The bandwidth of so large a working set in this very second. On a shared machine memory gives twice as much
 * in one minute as in another, so a share of it means something only beside what it gave meanwhile: measure
 * before and after, and take the mean. */
mqa_status calibrate_bandwidth(mqa_context *ctx, double working_set, double *out, mqa_error *err);
/* The share of bandwidth that is reached, from a part that reads so many bytes and whose arithmetic takes
 * `arithmetic` from a cache: what is left of `measured` is what memory takes longer. */
double calibrate_memory_share(const mqa_machine *roof, double bytes, double bandwidth, double arithmetic,
                              double measured);
/* So many of a curve's points, few rows, are measured from memory; more rows are held by arithmetic, and
 * their shares of bandwidth are taken to be the last one's. */
#define CALIBRATE_FROM_MEMORY 3
/* roof: caches, curve_bytes and peaks are there. */
mqa_status calibrate_linear(mqa_context *ctx, const mqa_machine *roof, mqa_weight_class c, mqa_curve *out,
                            mqa_error *err);
/* Fills in, for a format of K and V: the machine's curve of attention, seconds_per_score,
 * seconds_per_turned_value, and in seconds_per_kv_value what packing a value takes on one thread. */
mqa_status calibrate_attention(mqa_context *ctx, mqa_machine *machine, mqa_kv_type type, mqa_error *err);
/* machine: all but what is filled in, seconds_per_ step, layer, value, kv_value, granule, small_page, request
 * and unit. */
mqa_status calibrate_overhead(mqa_context *ctx, mqa_machine *machine, mqa_error *err);
/* Last of all: caches[].share from steps of decoding whose working sets are that large, half weights and half
 * K and V. The share is what makes the plan of such a step as long as the step. */
mqa_status calibrate_streams(mqa_context *ctx, mqa_machine *machine, mqa_error *err);

#endif
