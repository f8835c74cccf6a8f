/* The planner: what an attention design costs in memory and time on a machine, before anything is run.
 *
 * Three inputs and a report:
 *
 *     mqa_design   a model's shape: groups of equal layers, and its matrices     (from a GGUF, a config.json,
 * flags) mqa_machine  bandwidth, arithmetic, memory, and how much of it is reached  (measured here, or a row
 * of a table) mqa_demand   contexts, requests, formats, a shared beginning, tenants, what is wanted
 *     mqa_report   figures of each design at each context, what a change would bring, a verdict
 *
 * Sizes of the cache come from kvcache/, the functions that the allocator itself goes by
 * (mqa_cache_page_bytes, mqa_kv_bytes, and kvcache/cache.h's for shared beginnings and for what has to be
 * reserved); sizes of packed weights from kernels/. Nothing here computes its own. Bytes and counts are
 * checked: what is beyond 2^63, or isn't a shape, is an error and never a wrapped number. Times are
 * doubles.
 *
 * Units: bytes, seconds, operations (a multiply-add is two), unless a name says otherwise (_ms).
 *
 * The model of time. One step takes R rows (tokens) of all requests through the model: decoding has a row a
 * request, a prompt `chunk` rows at once. A step's time is a sum over its parts, because they run one after
 * the other; each part takes the roofline's time (Williams, Waterman, Patterson 2009): the largest of what
 * memory and arithmetic take alone, each divided by the share of it that our kernels reach, which is
 * measured:
 *
 *     matrices of a format   max(bytes / bandwidth(W) / linear[format].memory(R),
 *                                2 * values * R / peak / linear[format](R))
 *                            + (outputs / 64 * seconds_per_granule
 *                               + small_bytes / 4096 * seconds_per_small_page)  (of matrices below 2 MiB)
 *                              * the part of W's bytes that comes from memory
 *     attention of a group   max(bytes / bandwidth(W) / attention[format].memory(rows),
 *                                max(2 * (d_qk + d_vo) * heads * keys / peak, heads * keys / exp_rate)
 *                                / attention[format](rows on one KV head)
 *                                + heads * keys * seconds_per_score[format]
 *                                + V's values * seconds_per_turned_value[format])   (where V is in K)
 *                                * threads at work
 *                            + units * seconds_per_unit   (of a request's rows on one KV head)
 *     each layer             seconds_per_layer                                   (threads' meetings)
 *     each step              seconds_per_step + requests * seconds_per_request
 *     each row               seconds_per_value * values that go in and out of the matrices it goes through
 *                            (norms, RoPE, activations, rounding to what products take)
 *                            + seconds_per_kv_value[format] * values of K and V that it leaves in the caches
 *
 * Arithmetic is shared by the threads as far as there are spans of 512 keys for each of them: with one
 * request of 512 tokens on one KV head, the other threads wait.
 *
 * Where shares of arithmetic are measured, memory and arithmetic overlap in part: a part takes arithmetic's
 * time and what memory takes longer than the cache they were measured in, divided by memory's share; at least
 * bytes / bandwidth(W). A share above 1 says how much of the difference is hidden behind arithmetic.
 *
 * W is the step's working set, all that it reads, so that a model which fits in a cache is read from there;
 * bandwidth(W) is what loops that only read get from so much memory, times the share of it that steps of
 * decoding were seen to reach (weights and K and V take the cache's room from each other).
 * Bytes of attention are those of K and V that somebody sees, each once however many rows see them (heads
 * that share them, requests with a common beginning): that is what multi-query attention is for. Rows on one
 * KV head: n_heads / n_kv_heads for each token that asks of the same K and V. As it grows, arithmetic
 * intensity, operations a byte, grows with it, until the peak holds and not the bandwidth: mqa_times.bound
 * says which.
 *
 * Threads: nothing here has state; different objects may be used from different threads.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_PLANNER_PLANNER_H
#define MQA_PLANNER_PLANNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gguf/gguf.h"
#include "mqa/cache.h"

/* ---- a design ---- */

/* What a layer keeps of a token: K and V of all tokens, of a window of them, or one latent vector that both
 * are computed from (MLA, DeepSeek-V2, arXiv:2405.04434, in its absorbed form). */
typedef enum mqa_kind { MQA_KIND_GLOBAL = 0, MQA_KIND_WINDOW = 1, MQA_KIND_LATENT = 2 } mqa_kind;
#define MQA_KINDS 3
const char *mqa_kind_name(mqa_kind kind); /* "global", "window", "latent" */

/* Layers of the same attention. They share one cache, as a session's do. */
typedef struct mqa_layer_group {
    mqa_kind kind;
    int n_layers;
    int n_heads, n_kv_heads;
    int head_dim_qk, head_dim_vo; /* as the cache keeps them: MLA's are rank + RoPE dims, and rank */
    bool v_in_k;                  /* MLA */
    int64_t window;               /* keys that a query sees, itself included; 0: all */
    int64_t n_sink_tokens;
} mqa_layer_group;

typedef enum mqa_role {
    MQA_ROLE_EMBEDDING, /* looked up: one row a token. A tied one is MQA_ROLE_HEAD only */
    MQA_ROLE_HEAD,      /* logits; used once a token that is generated, and once at a prompt's end */
    MQA_ROLE_QUERY,
    MQA_ROLE_KEY_VALUE, /* K and V, or MLA's way down to the latent vector */
    MQA_ROLE_LATENT_UP, /* MLA's ways from the latent vector to heads, which absorbed decoding applies to q
                           and o */
    MQA_ROLE_OUT,
    MQA_ROLE_FEED_FORWARD,
    MQA_ROLE_EXPERT,
    MQA_ROLE_ROUTER,
    MQA_ROLE_OTHER, /* in the file and in memory, in no step (vision towers, prediction heads) */
    MQA_ROLE_VECTOR /* norms and biases: n_in values each, f32 in memory */
} mqa_role;
#define MQA_ROLES 11
const char *mqa_role_name(mqa_role role);

/* Matrices of the same role, shape and format. */
typedef struct mqa_matrices {
    mqa_role role;
    uint32_t type; /* mqa_gguf_type: what the file or the config says; mqa_demand.weights may say otherwise */
    int n_in, n_out;
    int64_t n;      /* how many there are in the model */
    int64_t n_used; /* how many of them one token goes through: fewer than n for experts */
} mqa_matrices;

#define MQA_DESIGN_GROUPS   8
#define MQA_DESIGN_MATRICES 128
typedef struct mqa_design {
    char name[96];  /* "Meta-Llama-3-8B", or what the file is called; after mqa_design_vary "… as MQA" */
    char label[24]; /* short, for columns: "as is", "MHA", "GQA-8", "MQA", "MLA", "window 1:5" */
    char arch[48];  /* "llama" */
    int n_layers, n_embd, n_vocab;
    int head_dim;           /* of a query, before MLA's absorption: what MHA would have */
    int n_heads;            /* the most of any group */
    int64_t context_length; /* what it was trained for; 0: not said */
    mqa_layer_group groups[MQA_DESIGN_GROUPS];
    int n_groups;
    mqa_matrices matrices[MQA_DESIGN_MATRICES];
    int n_matrices;
} mqa_design;

/* What the command line and a scenario's [model] say of a shape; 0 (NULL) where not given. The feed-forward
 * part is gated (three matrices), the embedding is tied unless untied. */
typedef struct mqa_shape {
    const char *name;
    int64_t layers, heads, kv_heads, head_dim, head_dim_v, vocab, embd, ff;
    int64_t latent_rank, rope_dims, query_rank; /* MLA: kv_lora_rank, qk_rope_head_dim, q_lora_rank */
    int64_t experts, experts_used, shared_experts, expert_ff, dense_layers; /* MoE */
    int64_t window, sinks;
    int64_t window_pattern; /* every so-manieth layer is global, the others have the window; 0: all have it */
    int64_t context_length;
    bool untied;
} mqa_shape;
mqa_status mqa_design_from_shape(const mqa_shape *shape, mqa_design *out, mqa_error *err);

/* Of an open file: hyperparameters by its keys, matrices by its tensors, exactly. */
mqa_status mqa_design_from_gguf(const mqa_gguf *gguf, mqa_design *out, mqa_error *err);
/* Of a transformers config.json: text[size], any bytes. `path` is for messages. MQA_ERR_UNSUPPORTED names an
 * architecture that isn't known, and lists those that are. */
mqa_status mqa_design_from_config(const char *path, const char *text, size_t size, mqa_design *out,
                                  mqa_error *err);
/* By what the file begins with: a GGUF, or JSON. */
mqa_status mqa_design_from_file(const char *path, mqa_design *out, mqa_error *err);

/* The same model with other attention: as many layers, query heads and values a head.
 * GQA-8 and GQA-4 have 8 and 4 KV heads; MLA is DeepSeek-V2's with a latent vector of 4 * head_dim and a RoPE
 * key of head_dim / 2; WINDOW keeps a window of 1,024 in five layers of six (Gemma 3, arXiv:2503.19786).
 * Norms on q and k are left as they are. MQA_ERR_UNSUPPORTED where it can't be (heads don't divide; a design
 * with fewer heads than that). */
static inline int mqa_mla_rank(int head_dim)
{
    return 4 * head_dim;
}
static inline int mqa_mla_rope_dims(int head_dim)
{
    return head_dim / 2;
}
typedef enum mqa_variant {
    MQA_VARIANT_AS_IS = 0,
    MQA_VARIANT_MHA,
    MQA_VARIANT_GQA8,
    MQA_VARIANT_GQA4,
    MQA_VARIANT_MQA,
    MQA_VARIANT_MLA,
    MQA_VARIANT_WINDOW
} mqa_variant;
#define MQA_VARIANTS 7
const char *mqa_variant_name(mqa_variant variant); /* "as is", "MHA", "GQA-8", …: mqa_design.label */
/* "as-is", "mha", "gqa-8", "gqa-4", "mqa", "mla", "window"; else MQA_ERR_INVALID_ARGUMENT. */
mqa_status mqa_variant_parse(const char *name, mqa_variant *out, mqa_error *err);
mqa_status mqa_design_vary(const mqa_design *from, mqa_variant variant, mqa_design *out, mqa_error *err);
/* Whether the two keep the same things in their caches, so that showing both would be a copy. */
bool mqa_design_same_attention(const mqa_design *a, const mqa_design *b);

/* All values; and those that one token is multiplied with (of a tied embedding all, of experts those used).
 */
mqa_status mqa_design_parameters(const mqa_design *design, uint64_t *all, uint64_t *active, mqa_error *err);

/* Bytes of the packed weights in memory: all matrices in the format `type` (a mqa_gguf_type) instead of their
 * own; MQA_WEIGHTS_AS_IS: in their own, for a GGUF what mqa_model_info.weight_bytes will be. */
#define MQA_WEIGHTS_AS_IS UINT32_MAX
mqa_status mqa_design_weight_bytes(const mqa_design *design, uint32_t type, size_t *out, mqa_error *err);
/* Formats that are offered by name: "f32", "bf16", "q8_0", "q6_k", "q5_k", "q4_k", "q4_0", "mxfp4"; "as-is".
 */
mqa_status mqa_weights_parse(const char *name, uint32_t *out, mqa_error *err);
const char *mqa_weights_name(uint32_t type);
#define MQA_WEIGHT_FORMATS 8
extern const uint32_t mqa_weight_formats[MQA_WEIGHT_FORMATS];

/* The cache that a group's layers take, as a session would make it. */
mqa_cache_config mqa_group_cache(const mqa_layer_group *group, mqa_kv_type k, mqa_kv_type v);

/* ---- a machine ---- */

/* How weights are multiplied: by the bits that a value is unpacked from. */
typedef enum mqa_weight_class {
    MQA_WEIGHTS_F32,
    MQA_WEIGHTS_BF16,
    MQA_WEIGHTS_8BIT,
    MQA_WEIGHTS_6BIT,
    MQA_WEIGHTS_5BIT,
    MQA_WEIGHTS_4BIT
} mqa_weight_class;
#define MQA_WEIGHT_CLASSES 6
mqa_weight_class mqa_weight_class_of(uint32_t gguf_type);
const char *mqa_weight_class_name(mqa_weight_class c); /* "f32", "bf16", "8-bit", … */

/* A share of what arithmetic gives, by rows, at 1, 4, 16, 64, 256 and 1,024 rows; between them by log(rows),
 * outside as at the ends. A share may exceed 1 where the roof is a table's and not a measurement's. */
#define MQA_CURVE_POINTS 6
extern const int mqa_curve_rows[MQA_CURVE_POINTS];
typedef struct mqa_curve {
    double share[MQA_CURVE_POINTS];
    double memory[MQA_CURVE_POINTS]; /* the share of bandwidth that is reached by what memory takes */
} mqa_curve;
double mqa_curve_at(const double shares[MQA_CURVE_POINTS], double rows);

typedef enum mqa_rate { MQA_RATE_F32 = 0, MQA_RATE_BF16 = 1, MQA_RATE_INT8 = 2 } mqa_rate;
#define MQA_RATES 3

#define MQA_MACHINE_CACHES 16
typedef struct mqa_machine {
    char name[96];
    char source[256]; /* where the figures come from: "measured 2026-11-25 on 2 threads, avx512", a data
                         sheet's address */
    bool measured;    /* by the kernels of this program; else shares are assumptions */
    int n_threads;    /* 0: not a matter */
    double bandwidth; /* bytes/s from memory */
    /* Bytes/s from a working set of so many bytes, ascending; bandwidth holds beyond. share: what a step of
     * decoding reaches of it, which reads weights and K and V in turn, each from a place of its own. */
    struct {
        double bytes, rate, share;
    } caches[MQA_MACHINE_CACHES];
    int n_caches;
    double peak[MQA_RATES]; /* operations/s */
    double exp_rate;        /* exponentials/s; 0: they are no bound */
    size_t memory;          /* bytes for everything; 0: not known */
    double curve_bytes; /* the working set by which shares of arithmetic are measured; 0: they are assumed,
                           and memory's time and arithmetic's overlap */
    mqa_curve linear[MQA_WEIGHT_CLASSES];
    mqa_curve attention[MQA_KV_TYPES]; /* by the format of K */
    double seconds_per_step, seconds_per_layer, seconds_per_value;
    /* What shares of wide matrices leave out, and narrow ones have more of: 64 outputs are a stream of memory
     * that has to be begun; and a matrix of less than 2 MiB lies in pages of 4 KiB, each to be looked up. */
    double seconds_per_granule, seconds_per_small_page;
    double seconds_per_kv_value[MQA_KV_TYPES]; /* a value of K or V into the cache, by its format */
    /* A score of attention besides the products that it is made from and goes into: its share in the row's
     * maximum, exponential and sum, which doesn't depend on the size of a head. By the format of K. */
    double seconds_per_score[MQA_KV_TYPES];
    /* A value of K turned into V, where V is in K: once for each key and 128 rows. By the format of K. */
    double seconds_per_turned_value[MQA_KV_TYPES];
    /* What a step takes for each of its requests, whatever they attend to; and attention of one request's
     * rows on one KV head, in one layer, however few keys it sees. */
    double seconds_per_request, seconds_per_unit;
} mqa_machine;

/* rate times share, between two sizes by the logarithm of the size; beyond the last, bandwidth times its
 * share. */
double mqa_machine_bandwidth(const mqa_machine *machine, double working_set);
/* Of what is read at such a bandwidth, the part that doesn't come from the cache in which shares of
 * arithmetic were measured; 1 where none were. */
double mqa_part_from_memory(const mqa_machine *machine, double bandwidth);
/* The arithmetic in which a cache format's and a weight class's products are computed. */
mqa_rate mqa_rate_of_kv(mqa_kv_type type);
mqa_rate mqa_rate_of_weights(mqa_weight_class c);

/* The table that ships: n of them, in a fixed order; by name (case and blanks don't matter), else
 * MQA_ERR_NOT_FOUND, which lists them. */
int mqa_machine_count(void);
const mqa_machine *mqa_machine_at(int i);
mqa_status mqa_machine_find(const char *name, mqa_machine *out, mqa_error *err);
/* A machine from figures alone, with the shares that are assumed where nothing was measured. */
void mqa_machine_assume(mqa_machine *machine);
/* Every figure finite and positive, where it must be. */
mqa_status mqa_machine_check(const mqa_machine *machine, mqa_error *err);

/* Calibrations are kept in $XDG_CACHE_HOME/mqa or ~/.cache/mqa, one JSON file each, named after the CPU, its
 * threads and instruction set (key: "AMD EPYC, 2 threads, avx512"). NOT_FOUND where there is none. A damaged
 * or older file is MQA_ERR_FORMAT: calibrate anew. */
mqa_status mqa_machine_load(const char *key, mqa_machine *out, mqa_error *err);
mqa_status mqa_machine_save(const char *key, const mqa_machine *machine, char *path, size_t path_size,
                            mqa_error *err);

/* ---- a demand ---- */

typedef struct mqa_tenant {
    char name[40];
    int64_t requests, context; /* at once; tokens each */
    int64_t shared;            /* tokens that the tenant's requests have in common */
    size_t budget_bytes;       /* for its KV; 0: none of its own */
} mqa_tenant;

#define MQA_DEMAND_CONTEXTS 16
#define MQA_DEMAND_TENANTS  32
#define MQA_MAX_CONTEXT     ((int64_t)1 << 40)
#define MQA_MAX_REQUESTS    ((int64_t)1 << 24)
typedef struct mqa_demand {
    int64_t
        contexts[MQA_DEMAND_CONTEXTS]; /* tokens of a request in the end, prompt and answer; each is a row */
    int n_contexts;
    int64_t generate; /* how many of them are generated, one a step; the rest is prompt. 0: prompt only */
    int64_t requests; /* at once, all of the same context */
    int64_t shared;   /* tokens that all begin with: held once, computed once */
    int chunk;        /* tokens of a prompt evaluated at once */
    int page_tokens;  /* 64, 128, 256 */
    mqa_kv_type k_type, v_type;
    uint32_t weights;                       /* a mqa_gguf_type, or MQA_WEIGHTS_AS_IS */
    size_t memory;                          /* bytes for everything; 0: the machine's */
    double want_tokens_per_s;               /* of each request; 0: not said */
    double want_prompt_ms;                  /* until the first token; 0: not said */
    mqa_tenant tenants[MQA_DEMAND_TENANTS]; /* beside `requests`; the report has a line for each */
    int n_tenants;
} mqa_demand;
/* One request of 4,096 tokens, bf16, chunks of 512, pages of 64. */
void mqa_demand_default(mqa_demand *out);
mqa_status mqa_demand_check(const mqa_demand *demand, mqa_error *err);

/* ---- figures ---- */

/* One kind of layers' share of the cache. */
typedef struct mqa_kv_figures {
    int n_layers;
    size_t bytes_per_token;
    size_t request_bytes; /* one request at its context */
    size_t bytes;         /* all requests, what they share once */
} mqa_kv_figures;

typedef enum mqa_bound { MQA_BOUND_MEMORY = 0, MQA_BOUND_OPERATIONS = 1, MQA_BOUND_OVERHEAD = 2 } mqa_bound;
#define MQA_BOUNDS 3
const char *mqa_bound_name(mqa_bound bound); /* "memory", "operations", "overhead" */

/* A stretch of work: one step of decoding, or a whole prompt. */
typedef struct mqa_times {
    double seconds;
    double weights, attention, overhead; /* its parts: matrices, attention, all else; they add up */
    double by_bound[MQA_BOUNDS];         /* the same seconds by what held each part; they add up too */
    mqa_bound bound;                     /* the largest of those */
    double weight_bytes, kv_bytes;       /* read */
    double operations, attention_operations;
    double intensity;           /* operations a byte read, all parts */
    double attention_intensity; /* the same of attention alone: MHA's is near 1, MQA's near n_heads */
} mqa_times;

/* One design at one context under the demand. */
typedef struct mqa_figures {
    int64_t context;
    uint64_t parameters, active_parameters;
    size_t weights_bytes;
    size_t kv_bytes_per_token; /* what a token takes in all layers, while all hold it */
    size_t kv_bytes_growth;    /* … in the layers that hold it for good: what a longer context costs */
    size_t kv_request_bytes;   /* one request that shares nothing */
    size_t kv_bytes; /* all requests when each has `context` tokens: mqa_cache_bytes_in_use, to the byte */
    size_t kv_saved_bytes; /* what the shared beginning saves of them */
    size_t kv_peak_bytes;  /* the most at any moment, windows' chunks in flight included: what to reserve */
    mqa_kv_figures kv[MQA_KINDS];
    size_t kv_request_by_type[MQA_KV_TYPES]; /* kv_request_bytes if K and V were kept so */
    size_t work_bytes;                       /* activations and logits; an estimate, the rest is exact */
    size_t peak_bytes;                       /* weights, kv_peak_bytes, work_bytes */
    size_t memory;                           /* what there is; 0: not known, and then all fits */
    bool fits;
    int64_t
        max_requests; /* of this context that fit, sharing as the demand says; MQA_MAX_REQUESTS: at least */
    int64_t max_context; /* the longest that fits for the demand's requests; 0: none; MQA_MAX_CONTEXT: any */
    mqa_times prompt;    /* of one request, without what it shares with others, alone on the machine */
    mqa_times token;     /* one step of decoding that gives each request a token, at `context` */
    double prompt_ms;
    double ms_per_token; /* between two tokens of a request */
    double tokens_per_s; /* of all requests together */
    bool meets_speed;    /* want_tokens_per_s and want_prompt_ms, where said */
} mqa_figures;

/* context: in place of the demand's. MQA_ERR_INVALID_ARGUMENT for what is beyond 2^63. Cheap
 * (microseconds), so that curves can be drawn by calling it. */
mqa_status mqa_forecast(const mqa_design *design, const mqa_machine *machine, const mqa_demand *demand,
                        int64_t context, mqa_figures *out, mqa_error *err);

/* ---- the report ---- */

typedef struct mqa_tenant_figures {
    size_t kv_bytes;      /* of its requests at their contexts */
    bool fits;            /* in its budget; true without one */
    int64_t max_requests; /* that its budget holds; MQA_MAX_REQUESTS without one */
    int64_t max_context;  /* of its requests, that its budget holds; MQA_MAX_CONTEXT without one */
} mqa_tenant_figures;

/* One thing done otherwise, all else left. */
typedef struct mqa_change {
    char what[96];       /* "K and V in int8" */
    char cost[200];      /* what it takes or loses, with its source */
    mqa_figures figures; /* at the first context */
    double gain; /* how much better the figure that the verdict is about becomes: 2 is half the time, or twice
                    the requests */
    bool retrains; /* needs a model trained so */
    bool settles;  /* what is short (memory, a tenant's budget, a speed that is wanted) no longer is */
} mqa_change;

#define MQA_REPORT_DESIGNS 8
#define MQA_REPORT_CHANGES 8
#define MQA_VERDICT_LINES  8
typedef struct mqa_report {
    mqa_machine machine;
    mqa_demand demand;
    mqa_design designs[MQA_REPORT_DESIGNS]; /* the first is what was asked about */
    int n_designs;
    mqa_figures rows[MQA_REPORT_DESIGNS][MQA_DEMAND_CONTEXTS];
    char beside[MQA_REPORT_DESIGNS]
               [200];   /* each design beside the first, at the first context: a sentence; or "" */
    char left_out[256]; /* variants that can't be, and why; or "" */
    mqa_tenant_figures tenants[MQA_DEMAND_TENANTS]; /* of the first design */
    bool tenants_fit;                       /* all of them together, beside the weights, in the memory */
    mqa_change changes[MQA_REPORT_CHANGES]; /* best first */
    int n_changes;
    char verdict[MQA_VERDICT_LINES][400]; /* sentences */
    int n_verdict;
} mqa_report;

/* design beside variants[n]: those that can't be, or that are what the design is already, are left out. A
 * report is large (hundreds of KiB): it belongs on the heap. */
mqa_status mqa_report_make(const mqa_design *design, const mqa_variant *variants, int n_variants,
                           const mqa_machine *machine, const mqa_demand *demand, mqa_report *out,
                           mqa_error *err);

/* ---- numbers with units ---- */

/* "2GiB", "80 GB", "512 MiB", "1048576": bytes, as base/bytes.h reads them; from 1 to 2^63 - 1. "42GB/s",
 * "3.35 TB/s", "989 TFLOP/s", "42e9": anything a second, finite and above 0; k, K, M, G, T are powers of
 * 1,000 there, Ki … Ti of 1,024. The whole text; else false. */
bool mqa_parse_bytes(const char *text, size_t *out);
bool mqa_parse_rate(const char *text, double *out);

/* ---- scenarios ---- */

/* A question as a file (examples/scenarios; docs/man/mqa.1 has the format): lines `key = value` under
 * [model], [machine], [demand] and [tenant NAME], comments from '#' on. Strict: an unknown section, key or
 * value is an error with its line. */
typedef struct mqa_scenario {
    char title[160], question[1024];
    char model_file[1024]; /* "" where [model] gives a shape; relative to the scenario's own folder, made
                              whole */
    mqa_shape shape;       /* its name points into shape_name */
    char shape_name[96];
    char machine_name[96]; /* "" for this machine, or a row's name */
    mqa_machine machine;   /* figures given one by one; 0: as the named one's */
    mqa_demand demand;
    mqa_variant designs[MQA_VARIANTS];
    int n_designs; /* 0: not said */
} mqa_scenario;
/* text[size]: any bytes. path: for messages, and for where model_file is looked for. */
mqa_status mqa_scenario_parse(const char *path, const char *text, size_t size, mqa_scenario *out,
                              mqa_error *err);
/* Neither a GGUF nor JSON, by the first bytes: then it is read as a scenario. */
bool mqa_is_scenario(const char *text, size_t size);

#endif
