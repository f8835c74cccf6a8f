/* The context: which instruction set, which numerics, which threads, whose memory.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CONTEXT_H
#define MQA_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include "mqa/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A caller's allocator. alloc returns size bytes aligned to alignment (a power of two) or NULL; the
 * memory need not be zeroed. free gets the same size. Both may be called from any thread that calls mqa. */
typedef struct mqa_allocator {
    void *(*alloc)(void *user, size_t size, size_t alignment);
    void (*free)(void *user, void *ptr, size_t size);
    void *user;
} mqa_allocator;

typedef enum mqa_log_level {
    MQA_LOG_DEBUG = 0,
    MQA_LOG_INFO = 1,
    MQA_LOG_WARN = 2,
    MQA_LOG_ERROR = 3
} mqa_log_level;

/* Gets one line without newline at a time. */
typedef struct mqa_log_sink {
    void (*line)(void *user, mqa_log_level level, const char *text);
    void *user;
} mqa_log_sink;

/* Instruction sets. MQA_ISA_AUTO takes what is fastest on this CPU, which is not always the newest it
 * has. MQA_ISA_AMX_C is AMX's arithmetic in plain C: the bits of MQA_ISA_AMX on any machine, slowly;
 * MQA_ISA_NEON_C likewise that of MQA_ISA_NEON on a CPU with the bf16 extension. */
typedef enum mqa_isa {
    MQA_ISA_AUTO = 0,
    MQA_ISA_REFERENCE = 1,
    MQA_ISA_AVX2 = 2,
    MQA_ISA_AVX512 = 3,
    MQA_ISA_AMX = 4,
    MQA_ISA_AMX_C = 5,
    MQA_ISA_NEON = 6,
    MQA_ISA_NEON_C = 7
} mqa_isa;

/* docs/numerics.md: FAST is the best arithmetic of this CPU, under a recipe with a name; PORTABLE gives
 * the same bits on every CPU. Both keep the row contract. */
typedef enum mqa_numerics { MQA_NUMERICS_FAST = 0, MQA_NUMERICS_PORTABLE = 1 } mqa_numerics;

/* A caller's thread pool, for hosts that have one (OpenMP, TBB, their own): mqa then starts no thread.
 * run calls task(arg, i, worker) exactly once for each i in [0, n_tasks), on as many threads as it likes, and
 * returns when all are done. Ascending i first is best: the dearest tasks come first. worker: 0 .. n_threads
 * - 1 of the context's options, never the same on two threads at once. */
typedef struct mqa_parallel_for {
    void (*run)(void *user, int n_tasks, void (*task)(void *arg, int i, int worker), void *arg);
    void *user;
} mqa_parallel_for;

typedef struct mqa_context mqa_context;

typedef struct mqa_context_options {
    size_t struct_size;             /* sizeof(mqa_context_options): set by mqa_context_options_default */
    mqa_isa isa;                    /* AUTO */
    mqa_numerics numerics;          /* FAST */
    int n_threads;                  /* the calling thread included; 0 (default): one for each CPU at hand */
    const mqa_allocator *allocator; /* NULL: the C library's. Copied. */
    const mqa_log_sink *log;        /* NULL: silence. Copied. */
    const mqa_parallel_for *parallel_for; /* NULL: the context has threads of its own. Copied. With it
                                             n_threads must be given */
} mqa_context_options;

/* Sets the first struct_size bytes, the caller's sizeof, to the defaults. For other languages; C has the next
 * one. */
MQA_API void mqa_context_options_init(mqa_context_options *out, size_t struct_size);
static inline mqa_context_options mqa_context_options_default(void)
{
    mqa_context_options out;
    mqa_context_options_init(&out, sizeof out);
    return out;
}

/* options NULL: the defaults. MQA_ERR_UNSUPPORTED if this CPU or build lacks options->isa.
 * A context serves one thread at a time; different contexts are independent. */
MQA_API mqa_status mqa_context_create(const mqa_context_options *options, mqa_context **out, mqa_error *err);
/* Sets *ctx to NULL; NULL and a pointer to NULL are fine. What was made from the context goes first. */
MQA_API void mqa_context_destroy(mqa_context **ctx);

MQA_API mqa_isa mqa_context_isa(const mqa_context *ctx); /* what AUTO became */
MQA_API mqa_numerics mqa_context_numerics(const mqa_context *ctx);
MQA_API int mqa_context_n_threads(const mqa_context *ctx);

/* "avx2" and back, as in the environment variable MQA_ISA of the program `mqa` (the library never reads
 * it). mqa_isa_parse gives MQA_ERR_INVALID_ARGUMENT for a name that isn't one. */
MQA_API const char *mqa_isa_name(mqa_isa isa);
MQA_API mqa_status mqa_isa_parse(const char *name, mqa_isa *out, mqa_error *err);
/* Whether this build and this CPU can run it. */
MQA_API int mqa_isa_available(mqa_isa isa);

#ifdef __cplusplus
}
#endif

#endif
