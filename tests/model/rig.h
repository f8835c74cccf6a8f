/* A context, a model and a session in one, for tests.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_MODEL_RIG_H
#define TESTS_MODEL_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mqa/model.h"

#define OK(call)                                                                                             \
    do {                                                                                                     \
        mqa_error err = {0};                                                                                 \
        if ((call) != MQA_OK) fail_msg("%s:%d: %s", __FILE__, __LINE__, err.message);                        \
    } while (0)

typedef struct rig {
    mqa_context *ctx;
    mqa_model *model;
    mqa_session *session;
    mqa_model_info info;
} rig;

typedef struct rig_options {
    int threads, chunk, sequences;
    mqa_isa isa;
    mqa_numerics numerics;
    mqa_kv_type k_type, v_type;
    bool kv_plain;
    size_t budget;
    int64_t context;
} rig_options;

static inline rig rig_open(const char *path, rig_options o)
{
    rig r = {0};
    mqa_context_options ctx = mqa_context_options_default();
    ctx.n_threads = o.threads ? o.threads : 2;
    ctx.isa = o.isa;
    ctx.numerics = o.numerics;
    OK(mqa_context_create(&ctx, &r.ctx, &err));
    OK(mqa_model_load(r.ctx, path, NULL, &r.model, &err));
    mqa_model_get_info(r.model, &r.info);
    mqa_session_options s = mqa_session_options_default();
    s.context = o.context ? o.context : 2048;
    s.chunk = o.chunk;
    s.max_sequences = o.sequences;
    s.k_type = o.k_type;
    s.v_type = o.v_type;
    s.kv_plain = o.kv_plain;
    s.kv_budget_bytes = o.budget;
    OK(mqa_session_create(r.model, &s, &r.session, &err));
    return r;
}

static inline void rig_close(rig *r)
{
    mqa_session_destroy(&r->session);
    mqa_model_destroy(&r->model);
    mqa_context_destroy(&r->ctx);
}

/* Empties sequence 0 and gives the logits of all tokens, [n][n_vocab]; the caller frees. */
static inline float *rig_logits(rig *r, const int32_t *tokens, int64_t n)
{
    float *logits = malloc((size_t)n * (size_t)r->info.n_vocab * sizeof *logits);
    OK(mqa_session_truncate(r->session, 0, 0, &err));
    const mqa_eval_item item = {0, tokens, n, MQA_LOGITS_ALL, logits};
    OK(mqa_session_eval(r->session, &item, 1, NULL, &err));
    return logits;
}

static inline int32_t *random_tokens(int n, int n_vocab, unsigned seed)
{
    int32_t *tokens = malloc((size_t)n * sizeof *tokens);
    for (int i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        tokens[i] = (int32_t)((seed >> 8) % (unsigned)n_vocab);
    }
    return tokens;
}

#endif
