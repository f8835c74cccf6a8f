/* The inside of an inspection: what is summed up while the text goes by.
 *
 * Queries are dealt with in units of a few neighbours, all heads together, each unit by one thread. A unit
 * leaves its sums in a place of its own; after a layer's run they are added in the order of the text, so that
 * nothing depends on which thread did what.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_INSPECT_LAYER_H
#define MQA_INSPECT_LAYER_H

#include <stdatomic.h>

#include "inspect/inspect.h"
#include "model/layers.h"

/* Distances from a query back to a key, cut into buckets: bucket b has at[b] .. at[b + 1] - 1. Every window
 * asked for is an edge, so what lies outside of it is a sum of buckets. */
enum { MQA_MAX_BUCKETS = 256 };
typedef struct mqa_buckets {
    int n;
    int64_t at[MQA_MAX_BUCKETS + 1];
    int window[MQA_INSPECT_WINDOWS]; /* the bucket that begins at windows[i] */
} mqa_buckets;

void mqa_buckets_make(const mqa_inspect_options *options, int64_t n_tokens, mqa_buckets *out);

/* Where things stand among the doubles of a unit's, or a layer's, sums. Of a head: */
enum { MQA_SUM_PLOGP = 0, MQA_SUM_SINKS = 1, MQA_SUM_SINKS_LOST = 2 /* [n_windows], then the buckets */ };
typedef struct mqa_sums_layout {
    size_t head;    /* doubles of one head */
    size_t buckets; /* where they begin in it */
    size_t pairs;   /* where they begin behind the heads: middle_plogp's part of the divergence, and overlap,
                       of heads (0, 1), (0, 2), (1, 2), (0, 3), … */
    size_t doubles; /* of everything */
} mqa_sums_layout;

static inline size_t mqa_pair_index(int a, int b) /* a < b */
{
    return (size_t)b * (size_t)(b - 1) / 2 + (size_t)a;
}

typedef struct mqa_inspector {
    const mqa_model *model;
    const mqa_inspect_options *options;
    mqa_inspection *result;
    int64_t n_tokens;
    mqa_buckets buckets;
    mqa_sums_layout layout;
    int unit;          /* queries of a unit: a power of two that divides the chunk */
    int unit_bin_rows; /* rows of a map that begin and end in a unit; 0: a row takes several */
    int n_units;       /* of a chunk */
    size_t scratch_bytes;
    unsigned char *scratch;     /* [threads] */
    double *unit_sums;          /* [n_units][layout.doubles] */
    double *unit_documents;     /* [n_units][unit * n_heads][n_documents], or NULL */
    float *unit_maps;           /* [n_units][n_heads][bins] where unit_bin_rows is 0, else NULL */
    double *sums;               /* [n_layers][layout.doubles] */
    float *map_rows;            /* [n_layers][n_heads][bins] the open row, as unit_maps */
    size_t work_done, work_all; /* for progress */
    atomic_int not_finite;
} mqa_inspector;

/* Bytes of a thread's scratch; unit, unit_bin_rows and result->maps are set. */
size_t mqa_inspector_scratch_bytes(const mqa_inspector *in);
/* An observer's call: looks at one layer of a chunk. */
mqa_status mqa_inspector_attends(void *inspector, const mqa_step *step, const mqa_layer *layer,
                                 mqa_error *err);

/* After the text: the sums of all layers as figures. */
void mqa_inspector_finish(const mqa_inspector *in);

#endif
