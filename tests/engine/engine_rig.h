/* An engine, requests to it, and what came back; and the same request alone.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_ENGINE_ENGINE_RIG_H
#define TESTS_ENGINE_ENGINE_RIG_H

#include "../model/rig.h"

#include "mqa/engine.h"

typedef struct answer {
    int n;
    int32_t tokens[2048];
    float logprobs[2048];
    mqa_token_logprob top[2048][MQA_MAX_TOP_LOGPROBS];
    mqa_finish finish;
    int32_t ended_by;
} answer;

/* What came back of one request so far. */
typedef struct reply {
    uint64_t id;
    int n_choices;
    answer choices[4];
    bool over;
    mqa_finish finish;
    mqa_status status;
    mqa_usage usage;
    char message[256];
} reply;

/* Takes the events that are there. */
static inline void take_events(mqa_engine *engine, reply *r)
{
    mqa_event e;
    bool got = true;
    while (!r->over) {
        OK(mqa_engine_poll(engine, r->id, 0, &e, &got, &err));
        if (!got) return;
        answer *a = &r->choices[e.choice];
        switch (e.kind) {
        case MQA_EVENT_TOKEN:
            assert_true(e.choice < 4 && a->n < 2048 && a->finish == MQA_FINISH_NONE);
            a->logprobs[a->n] = e.logprob;
            memcpy(a->top[a->n], e.top, sizeof e.top);
            a->tokens[a->n++] = e.token;
            break;
        case MQA_EVENT_FINISH:
            assert_true(a->finish == MQA_FINISH_NONE && e.finish != MQA_FINISH_NONE);
            a->finish = e.finish;
            a->ended_by = e.token;
            break;
        case MQA_EVENT_END:
            for (int i = 0; i < r->n_choices; i++) assert_true(r->choices[i].finish != MQA_FINISH_NONE);
            r->over = true;
            r->finish = e.finish;
            r->status = e.status;
            r->usage = e.usage;
            memcpy(r->message, e.message, sizeof r->message);
        }
    }
}

static inline reply *submit(mqa_engine *engine, const mqa_request *request)
{
    reply *r = calloc(1, sizeof *r);
    mqa_submission s;
    OK(mqa_engine_submit(engine, request, &s, &err));
    r->id = s.id;
    r->n_choices = request->n_choices;
    return r;
}

static inline void step(mqa_engine *engine)
{
    bool busy;
    OK(mqa_engine_step(engine, &busy, &err));
}

static inline void run_until_over(mqa_engine *engine, reply *r)
{
    for (int i = 0; i < 20000 && !r->over; i++) {
        step(engine);
        take_events(engine, r);
    }
    assert_true(r->over);
}

/* A clock by which all steps take as long, so that it is always worth it to guess. */
static inline double even_clock(void *user)
{
    return *(double *)user += 1;
}

/* The request as the only one a new engine ever sees, nothing being guessed. */
static inline reply *alone(mqa_model *model, const mqa_request *request)
{
    mqa_engine_options o = mqa_engine_options_default();
    o.draft_max = 0;
    mqa_engine *engine = NULL;
    OK(mqa_engine_create(model, &o, &engine, &err));
    mqa_request own = *request;
    own.tenant = NULL;
    own.wait_seconds = own.total_seconds = 0;
    reply *r = submit(engine, &own);
    run_until_over(engine, r);
    mqa_engine_destroy(&engine);
    return r;
}

/* The same tokens and log probabilities, as far as `part` goes. */
static inline void assert_begins(const reply *part, const reply *whole)
{
    for (int c = 0; c < part->n_choices; c++) {
        const answer *a = &part->choices[c], *b = &whole->choices[c];
        assert_true(a->n <= b->n);
        assert_memory_equal(a->tokens, b->tokens, (size_t)a->n * sizeof *a->tokens);
        assert_memory_equal(a->logprobs, b->logprobs, (size_t)a->n * sizeof *a->logprobs);
        assert_memory_equal(a->top, b->top, (size_t)a->n * sizeof *a->top);
    }
}

static inline void assert_same(const reply *a, const reply *b)
{
    assert_begins(a, b);
    for (int c = 0; c < a->n_choices; c++) {
        assert_int_equal(a->choices[c].n, b->choices[c].n);
        assert_int_equal(a->choices[c].finish, b->choices[c].finish);
        assert_int_equal(a->choices[c].ended_by, b->choices[c].ended_by);
    }
}

static inline mqa_engine_stats stats_of(mqa_engine *engine)
{
    mqa_engine_stats s = {.struct_size = sizeof s};
    OK(mqa_engine_get_stats(engine, &s, &err));
    return s;
}

static inline mqa_tenant_stats tenant_stats_of(mqa_engine *engine, int index)
{
    mqa_tenant_stats s = {.struct_size = sizeof s};
    OK(mqa_engine_get_tenant_stats(engine, index, &s, &err));
    return s;
}

/* No budget is passed, and under RESERVE what was promised is there. */
static inline void assert_budgets_kept(mqa_engine *engine, mqa_admission admission)
{
    const mqa_engine_stats s = stats_of(engine);
    assert_true(s.bytes_in_use <= s.budget_bytes && s.bytes_resident <= s.budget_bytes);
    assert_true(s.bytes_kept <= s.bytes_in_use);
    /* What running choices hold they have claimed. */
    assert_true(s.bytes_in_use - s.bytes_kept <= s.bytes_reserved);
    if (admission == MQA_ADMISSION_RESERVE) {
        assert_int_equal(s.rescued, 0);
        assert_true(s.bytes_reserved <= s.budget_bytes);
    }
    size_t sum = 0, spilled = 0;
    for (int i = 0; i < s.tenants; i++) {
        const mqa_tenant_stats t = tenant_stats_of(engine, i);
        assert_true(t.budget_bytes == 0 || t.bytes_in_use <= t.budget_bytes);
        if (admission == MQA_ADMISSION_RESERVE && t.budget_bytes)
            assert_true(t.bytes_reserved <= t.budget_bytes);
        if (s.pinned == 0) assert_true(t.bytes_in_use - t.bytes_kept <= t.bytes_reserved);
        sum += t.bytes_in_use;
        spilled += t.bytes_spilled;
    }
    assert_int_equal(spilled, s.bytes_spilled);
    if (s.pinned == 0) assert_int_equal(sum, s.bytes_in_use); /* somebody pays for every page */
}

#endif
