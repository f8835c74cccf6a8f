/* The KV cache: pages of packed tiles, shared by the layers of one kind and by sequences with a common
 * beginning, under hard byte budgets: the cache's, and those of accounts.
 *
 * A cache holds n_layers layers of the same shape (a model with global and sliding-window layers has two
 * caches). Sequences own pages of 64, 128 or 256 tokens by a block table that all its layers share. K and V
 * are packed once, when a token is appended, into the layout the kernels read. No result depends on the size
 * of pages, on where they lie, or on who shares them.
 *
 * Appending:        mqa_sequence_extend, then mqa_sequence_write in every layer
 * Speculation:      extend, write, run, then mqa_sequence_truncate what was refused
 * A common prefix:  write it once, then mqa_sequence_fork for each that goes on from there
 *
 * Positions. A token's position is its index in the whole text, an int64 from 0. A sequence holds the tokens
 * [first_position, length): first_position is 0 but for mqa_sequence_create_at, and a sequence's length is
 * always the position after its last token, whatever the first one's is. Positions, not indices into the
 * sequence, are what every function here takes.
 *
 * Windows and sinks. In a cache with a window, pages that no later query sees are given back, but for those
 * of the tokens at positions below n_sink_tokens: attention sinks (StreamingLLM, arXiv:2309.17453), which
 * mqa_plan_options.n_sink_tokens then shows. So a sequence holds two runs of tokens, and its positions stay
 * what they are:
 *
 *     [first_position, first_gone)   the sinks' pages, once something behind them was given back; else empty
 *     [first_held, length)           the window's pages; else everything
 *
 * Sinks are the first tokens of the text: a sequence that begins after them (mqa_sequence_create_at) has
 * none, and its rows see none.
 *
 * Sharing. A page may be in several sequences; such a page never changes. Appending to a sequence whose last
 * page is shared and not full replaces it by a copy first (copy on write). A shared page counts once in the
 * budget.
 *
 * Accounts. A budget for some of the sequences, of one cache or of several (a model's global and its window
 * cache), and of accounts below it: one for each tenant, say, under one for all. A page is charged to the
 * account of the sequence that took it, and to all above, from then until it is free: sharing it by a fork,
 * or giving its sequence another account, moves no charge. Nothing is taken that would pass any of these
 * budgets.
 *
 * Outliers. In real models a few dims of K (often of V too) are 10 to 50 times as large as the others, and
 * where a scale serves a whole token, as in int8, all other dims lose the bits that those take. k_hadamard
 * and v_hadamard store a head's dims after an orthonormal Hadamard transform H (QuaRot, arXiv:2404.00456;
 * QuIP#, arXiv:2402.04396), which spreads each value over its block: the largest power of two that divides
 * the head dim (128: one block of 128; 96: three of 32; an odd dim: nothing changes). Results are those of
 * the same formula, since (Hq).(Hk) = q.k and H is its own inverse: q is transformed where it is packed,
 * after RoPE; out and partial states come turned back, so that states of any caches merge; mqa_sequence_read
 * gives what was written, at the price of one more rounding to f32. Bytes and pages are as without.
 *
 * What that costs: log2(block) additions a value when a token is written, and for each query row of a run.
 * Use it with int8 and int4; f32, bf16, f16 and fp8 have an exponent for each value and gain nothing (and f16
 * may refuse what it would hold as given, since a block's values can add up to sqrt(block) times as much). V
 * in K is transformed as its K is, and v_hadamard isn't looked at; head_dim_vo must be a multiple of K's
 * block then, as it is for 576 and 512, whose blocks have 64 dims: else mqa_cache_create refuses.
 *
 * Threads. What changes a cache or a block table (create, destroy, extend, fork, truncate, evict, keep,
 * defragment) runs alone: no other call on that cache meanwhile, or on one that shares an account with it.
 * Between such calls mqa_sequence_write, mqa_sequence_write_paged and mqa_sequence_read may run on any number
 * of threads, as long as no two of them have tokens of the same granule (64 from a multiple of 64 on) of the
 * same layer of the same sequence and one of the two writes. What only asks (lengths, bytes, needs) may run
 * beside them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CACHE_H
#define MQA_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mqa/context.h"
#include "mqa/rope.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- formats and configurations ---- */

/* How K or V is stored; see docs/numerics.md section 3. K and V may differ. */
typedef enum mqa_kv_type {
    MQA_KV_F32 = 0,
    MQA_KV_BF16 = 1,
    MQA_KV_INT8 = 2,     /* a scale for each token and head */
    MQA_KV_F16 = 3,      /* values beyond 65504 are refused */
    MQA_KV_FP8_E4M3 = 4, /* 3 bits of fraction, and a scale for each token and head */
    MQA_KV_FP8_E5M2 = 5, /* 2 bits of fraction; the same */
    MQA_KV_INT4 = 6,     /* a scale for each token, head and 32 values along d: 4.5 bits a value */
} mqa_kv_type;
#define MQA_KV_TYPES 7

MQA_API const char *mqa_kv_type_name(mqa_kv_type type); /* "f32", "bf16", "fp8_e4m3", … */
/* Takes those names, and llama.cpp's "q8_0" for int8, "q4_0" for int4. Else MQA_ERR_INVALID_ARGUMENT. */
MQA_API mqa_status mqa_kv_type_parse(const char *name, mqa_kv_type *out, mqa_error *err);

typedef struct mqa_cache mqa_cache;
typedef struct mqa_sequence mqa_sequence;
typedef struct mqa_account mqa_account;

typedef struct mqa_cache_config {
    size_t struct_size; /* sizeof(mqa_cache_config) */
    int n_layers;
    int n_kv_heads;
    int head_dim_qk, head_dim_vo; /* 1 .. 1024 */
    mqa_kv_type k_type, v_type;
    /* V is the first head_dim_vo values of K, in K's format, and takes no room of its own: multi-head latent
     * attention in its absorbed form (DeepSeek-V2, arXiv:2405.04434), head dims 576 and 512. */
    bool v_in_k;
    /* K, V stored after a Hadamard transform of each head's dims, against outliers: see above. */
    bool k_hadamard, v_hadamard;
    int64_t window;        /* keys a query sees, self included; 0: all. Pages behind it are given back, */
    int64_t n_sink_tokens; /* but for those of the first tokens of the text. 0: none; only with a window */
    int64_t max_pages;     /* page ids in the arena: the address space, not yet memory */
    size_t budget_bytes;   /* never exceeded by pages in use; 0: max_pages decides */
    const mqa_rope *rope;  /* turns K by its position when it is written; NULL: K comes turned. Outlives us */
    int page_tokens; /* 64, 128 or 256; 0: 64. Larger: shorter block tables, more of the last page unused */
} mqa_cache_config;

/* Bytes of one page (page_tokens tokens of all layers and heads): exactly what the arena takes for it. 0 for
 * an invalid config. */
MQA_API size_t mqa_cache_page_bytes(const mqa_cache_config *config);

/* Exact bytes of pages in use by one sequence of n_tokens tokens that was appended in chunks of at most
 * chunk tokens (a window keeps its sinks, its last `window` tokens, the chunk in flight, and page rounding of
 * each). The sequence begins at position 0. SIZE_MAX where that is more than a size_t holds; 0 for an invalid
 * config, no tokens or no chunk. */
MQA_API size_t mqa_kv_bytes(const mqa_cache_config *config, int64_t n_tokens, int64_t chunk);

/* ---- caches ---- */

MQA_API mqa_status mqa_cache_create(mqa_context *ctx, const mqa_cache_config *config, mqa_cache **out,
                                    mqa_error *err);
/* All its sequences first. */
MQA_API void mqa_cache_destroy(mqa_cache **cache);

/* Pages in use, each counted once however many sequences share it. At most the budget. */
MQA_API size_t mqa_cache_bytes_in_use(const mqa_cache *cache);
/* Pages that have memory: those in use, and those given back by sequences and kept for the next. */
MQA_API size_t mqa_cache_bytes_resident(const mqa_cache *cache);

/* Moves the pages in use to the lowest ids and gives the memory behind them back to the operating system.
 * No result changes; plans stay valid. Cannot fail: it needs no memory, and moves only pages that lie too
 * high. */
typedef struct mqa_defragment_report {
    int64_t pages_moved;
    size_t bytes_resident; /* mqa_cache_bytes_resident afterwards */
    size_t bytes_returned; /* to the operating system, in whole pages of its own; 0 where the memory is a
                              caller's allocator's, which then stays resident */
} mqa_defragment_report;
MQA_API void mqa_cache_defragment(mqa_cache *cache, mqa_defragment_report *report); /* report may be NULL */

/* Of those in use, pages that kept sequences alone hold: destroying all of these would free them. */
MQA_API size_t mqa_cache_bytes_kept(const mqa_cache *cache);

/* ---- accounts ---- */

/* budget_bytes 0: none, it only counts. parent: the account above, or NULL; at most seven above. */
MQA_API mqa_status mqa_account_create(mqa_context *ctx, mqa_account *parent, size_t budget_bytes,
                                      mqa_account **out, mqa_error *err);
/* Gives the handle up. What is charged to it stays so, and charged to those above, until it is free;
 * sequences that have the account go on as before. */
MQA_API void mqa_account_destroy(mqa_account **account);
/* Below what is in use, too: then nothing more is taken until that has come down. 0: none. */
MQA_API void mqa_account_set_budget(mqa_account *account, size_t budget_bytes);

typedef struct mqa_account_usage {
    size_t struct_size;   /* sizeof(mqa_account_usage): set it before the call */
    size_t budget;        /* 0: none */
    size_t in_use;        /* bytes charged to it and to those below */
    size_t kept;          /* of them, pages that kept sequences alone hold */
    size_t window_in_use; /* of in_use, and of kept: in caches with a window */
    size_t window_kept;
} mqa_account_usage;
MQA_API mqa_status mqa_account_get_usage(const mqa_account *account, mqa_account_usage *out, mqa_error *err);

/* ---- sequences ---- */

/* An empty sequence, from position 0 on. */
MQA_API mqa_status mqa_sequence_create(mqa_cache *cache, mqa_sequence **out, mqa_error *err);

/* An empty sequence whose first token will stand at first_position, a multiple of MQA_SEQUENCE_UNIT (the
 * group of spans in docs/numerics.md): the later part of a long text, whose earlier tokens are somewhere
 * else, as on another machine. Attention over it sees its own tokens only; states of the parts merge to the
 * bits of the whole. */
#define MQA_SEQUENCE_UNIT 8192
MQA_API mqa_status mqa_sequence_create_at(mqa_cache *cache, int64_t first_position, mqa_sequence **out,
                                          mqa_error *err);

/* Gives its pages back, but for those that others share. */
MQA_API void mqa_sequence_destroy(mqa_sequence **seq);

/* Who pays for the pages it takes from now on; NULL (as created): only the cache's budget counts. A fork has
 * the account of the sequence it was forked from. */
MQA_API void mqa_sequence_set_account(mqa_sequence *seq, mqa_account *account);

/* Marks a sequence that is kept for later use only, as in a cache of prefixes: pages that such sequences
 * alone hold are counted apart (mqa_cache_bytes_kept), since they could be had back. Changes nothing else. A
 * fork isn't kept. */
MQA_API void mqa_sequence_keep(mqa_sequence *seq, bool keep);

MQA_API int64_t mqa_sequence_first_position(const mqa_sequence *seq); /* as created */
/* Where the two runs of tokens held begin and end (above): the first token from which on all are held, and
 * the first that was given back. Both are first_position where none was. */
MQA_API int64_t mqa_sequence_first_held(const mqa_sequence *seq);
MQA_API int64_t mqa_sequence_first_gone(const mqa_sequence *seq);
MQA_API int64_t mqa_sequence_length(const mqa_sequence *seq); /* the position after its last token */

/* Bytes of its pages, shared ones too; and of those that no other sequence has, which is what destroying it
 * would free. */
MQA_API size_t mqa_sequence_bytes(const mqa_sequence *seq);
MQA_API size_t mqa_sequence_unique_bytes(const mqa_sequence *seq);

/* Makes room for n_tokens more tokens and moves the length past them; their K and V must then be written in
 * every layer with mqa_sequence_write. All or nothing: MQA_ERR_BUDGET, where the cache's budget or one of the
 * sequence's accounts would be passed, leaves it as it was and names the bytes needed and available. A last
 * page that is shared and not full is copied first. Window caches give back the pages that no token from here
 * on can see. */
MQA_API mqa_status mqa_sequence_extend(mqa_sequence *seq, int64_t n_tokens, mqa_error *err);

/* Back to length tokens (undo of an extend or of speculation). Takes no memory, so it cannot exceed the
 * budget: a shared page that it ends in is copied when the sequence next grows. A window cache cannot go back
 * to where pages already given back would be seen: MQA_ERR_INVALID_ARGUMENT, unchanged. It can go back to its
 * beginning, and into its sinks (length <= first_gone): nothing is missing there. */
MQA_API mqa_status mqa_sequence_truncate(mqa_sequence *seq, int64_t length, mqa_error *err);

/* A second sequence with the same tokens up to length, as if seq were copied and truncated. Whole pages are
 * shared; of the page that length stands in, if any, it gets a copy of its own. Write seq's tokens in every
 * layer before: shared pages refuse writing. MQA_ERR_BUDGET, MQA_ERR_INVALID_ARGUMENT (as truncate) and
 * MQA_ERR_OUT_OF_MEMORY leave everything as it was, *out NULL. */
MQA_API mqa_status mqa_sequence_fork(mqa_sequence *seq, int64_t length, mqa_sequence **out, mqa_error *err);

/* How many tokens, from the first that both hold (the later mqa_sequence_first_held; sinks before it aren't
 * counted), are in the same pages: a prefix that attention need read only once. 0 for sequences of different
 * caches. */
MQA_API int64_t mqa_sequence_shared_tokens(const mqa_sequence *a, const mqa_sequence *b);

/* Gives back now what the next extend would, the pages behind the window of the token to come that aren't
 * sinks'; returns the bytes that this frees. 0 in a cache without a window. */
MQA_API size_t mqa_sequence_evict(mqa_sequence *seq);

/* What an extend or fork would do to the budgets, before it is done. It succeeds (if there is memory for the
 * block table) exactly where taken <= available, and mqa_cache_bytes_in_use then changes by taken - returned.
 */
typedef struct mqa_cache_need {
    size_t taken;              /* new pages and copies */
    size_t returned;           /* pages behind the window, given back before any is taken */
    size_t available;          /* the rest of the least budget, with what is returned to it */
    const mqa_account *scarce; /* whose budget that is; NULL: the cache's */
} mqa_cache_need;
MQA_API mqa_status mqa_sequence_extend_need(const mqa_sequence *seq, int64_t n_tokens, mqa_cache_need *out,
                                            mqa_error *err);
MQA_API mqa_status mqa_sequence_fork_need(const mqa_sequence *seq, int64_t length, mqa_cache_need *out,
                                          mqa_error *err);

/* ---- tokens in and out ---- */

/* Packs K and V of tokens [position, position + n_tokens) into one layer. k: element (t, h, i) at
 * k[t * k_stride_token + h * k_stride_head + i], head_dim_qk floats; v likewise with head_dim_vo, or NULL
 * where V is in K. Strides are
 * in elements, so arrays of either order can be given as they are:
 *
 *     NHD [n_tokens][n_kv_heads][d]   stride_token = n_kv_heads * d, stride_head = d
 *     HND [n_kv_heads][n_tokens][d]   stride_token = d,              stride_head = n_tokens * d
 *
 * MQA_ERR_NOT_FINITE names the token and head; the tokens before it are written, and that token must be
 * written again. MQA_ERR_INVALID_ARGUMENT, nothing written, for tokens not held, or in a page that another
 * sequence shares. */
MQA_API mqa_status mqa_sequence_write(mqa_sequence *seq, int layer, int64_t position, int64_t n_tokens,
                                      const float *k, size_t k_stride_token, size_t k_stride_head,
                                      const float *v, size_t v_stride_token, size_t v_stride_head,
                                      mqa_error *err);

/* The stored values back as f32: what was written, rounded as the format does; 0 for tokens never written.
 * Tokens of one run, of the sinks or of the rest, at a time: MQA_ERR_INVALID_ARGUMENT for tokens not held.
 * Strides as above. k or v may be NULL, if only the other is wanted. */
MQA_API mqa_status mqa_sequence_read(const mqa_sequence *seq, int layer, int64_t position, int64_t n_tokens,
                                     float *k, size_t k_stride_token, size_t k_stride_head, float *v,
                                     size_t v_stride_token, size_t v_stride_head, mqa_error *err);

/* A host's own paged cache of one layer, in any page size (vLLM's and SGLang's are often 16 or 32). A
 * contiguous array is one page of as many tokens, without block table. */
typedef enum mqa_source_type { MQA_SOURCE_F32 = 0, MQA_SOURCE_BF16 = 1, MQA_SOURCE_F16 = 2 } mqa_source_type;
typedef enum mqa_source_layout {
    MQA_SOURCE_NHD = 0, /* [page][token][head][d] */
    MQA_SOURCE_HND = 1  /* [page][head][token][d] */
} mqa_source_layout;

typedef struct mqa_paged_source {
    size_t struct_size; /* sizeof(mqa_paged_source) */
    mqa_source_type type;
    mqa_source_layout layout;
    const void *k, *v;   /* of page 0, aligned to their type */
    int64_t n_pages;     /* that k and v have */
    int64_t page_tokens; /* 1 or more */
    size_t
        k_page_stride; /* elements from page to page, for arrays that hold K and V of a page side by side */
    size_t v_page_stride; /* (FlashInfer's [page][2][…]: 2 * page_tokens * n_kv_heads * d); 0: no gaps */
    const int32_t *block_table; /* [n_blocks] pages of the sequence in order; NULL: 0, 1, … n_pages-1 */
    int64_t n_blocks;           /* not looked at where block_table is NULL */
    int64_t first_token;        /* the call's first token in the sequence of the host: it is in block
                                   first_token / page_tokens */
} mqa_paged_source;

/* Packs tokens [position, position + n_tokens) of one layer from a host's pages; otherwise as
 * mqa_sequence_write. Every entry of the block table that is needed is checked against n_pages before
 * anything is read: MQA_ERR_INVALID_ARGUMENT, nothing written. */
MQA_API mqa_status mqa_sequence_write_paged(mqa_sequence *seq, int layer, int64_t position, int64_t n_tokens,
                                            const mqa_paged_source *source, mqa_error *err);

#ifdef __cplusplus
}
#endif

#endif
