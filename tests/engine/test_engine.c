/* What the engine promises, one thing at a time: beginnings computed once, budgets, deadlines, turns, pins,
 * threads. That all of it together changes no answer is for test_traces.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "engine_rig.h"

#include "../model/scratch_model.h"

#include <pthread.h>
#include <stdatomic.h>

#include "engine/state.h"

static const synthetic *const models[] = {&small_gemma3, &small_llama};

typedef struct served {
    rig r;
    mqa_engine *engine;
    int32_t *tokens; /* random ones, for prompts */
} served;

enum { TOKENS = 2000 };

static served serve(const synthetic *m, const mqa_engine_options *options)
{
    served s = {0};
    synthetic_write(m, path);
    s.r = rig_open(path, (rig_options){0});
    OK(mqa_engine_create(s.r.model, options, &s.engine, &err));
    s.tokens = random_tokens(TOKENS, s.r.info.n_vocab, 11);
    return s;
}

static void end(served *s)
{
    free(s->tokens);
    mqa_engine_destroy(&s->engine);
    assert_null(s->engine);
    rig_close(&s->r);
}

static mqa_request request_of(const int32_t *prompt, int64_t n, int64_t max_tokens)
{
    mqa_request q = mqa_request_default();
    q.prompt = prompt;
    q.n_prompt = n;
    q.max_tokens = max_tokens;
    q.ignore_end = true;
    return q;
}

static void tenant(mqa_engine *engine, const char *name, size_t budget, int weight)
{
    const mqa_tenant_options o = {.struct_size = sizeof o, .budget_bytes = budget, .weight = weight};
    OK(mqa_engine_tenant_set(engine, name, &o, &err));
}

/* ---- beginnings ---- */

static void a_new_prompt_of_many_is_computed_once(void **state)
{
    (void)state;
    enum { N = 8, PROMPT = 1100 };
    for (int m = 0; m < 2; m++) {
        const mqa_engine_options o = mqa_engine_options_default();
        served s = serve(models[m], &o);
        const mqa_request q = request_of(s.tokens, PROMPT, 6);
        reply *replies[N];
        for (int i = 0; i < N; i++) replies[i] = submit(s.engine, &q);
        for (int i = 0; i < N; i++) run_until_over(s.engine, replies[i]);
        /* All but the first have all of it but the last token. */
        assert_int_equal(stats_of(s.engine).prompt_rows, PROMPT + N - 1);
        assert_int_equal(stats_of(s.engine).cached_tokens, (N - 1) * (PROMPT - 1));
        reply *again = submit(s.engine, &q);
        run_until_over(s.engine, again);
        assert_int_equal(again->usage.cached_tokens, PROMPT - 1);
        assert_same(again, replies[3]);
        free(again);
        for (int i = 0; i < N; i++) free(replies[i]);
        end(&s);
    }
}

/* Prompts that part after 700 tokens, one after the other and all at once. */
static void prompts_that_part_share_what_is_common(void **state)
{
    (void)state;
    enum { N = 5, COMMON = 700, PROMPT = 900 };
    for (int m = 0; m < 2; m++)
        for (int together = 0; together < 2; together++) {
            const mqa_engine_options o = mqa_engine_options_default();
            served s = serve(models[m], &o);
            int32_t prompts[N][PROMPT];
            reply *replies[N];
            mqa_request q[N];
            const bool windows = s.r.info.n_window_layers > 0;
            const int64_t at_a_page = COMMON / 64 * 64;
            for (int i = 0; i < N; i++) {
                memcpy(prompts[i], s.tokens, sizeof prompts[i]);
                for (int k = COMMON; k < PROMPT; k++) prompts[i][k] = 3 + (k * (i + 1)) % 290;
                q[i] = request_of(prompts[i], PROMPT, 4);
                replies[i] = submit(s.engine, &q[i]);
                if (!together) run_until_over(s.engine, replies[i]);
            }
            for (int i = 0; i < N; i++) {
                run_until_over(s.engine, replies[i]);
                reply *expected = alone(s.r.model, &q[i]);
                assert_same(replies[i], expected);
                free(expected);
            }
            /* Windows, in turn: the second finds nothing and leaves a checkpoint for those after it. */
            const int64_t second = windows && !together ? 0 : windows ? at_a_page : COMMON;
            assert_int_equal(replies[0]->usage.cached_tokens, 0);
            assert_int_equal(replies[1]->usage.cached_tokens, second);
            for (int i = 2; i < N; i++)
                assert_int_equal(replies[i]->usage.cached_tokens, windows ? at_a_page : COMMON);
            for (int i = 0; i < N; i++) free(replies[i]);
            end(&s);
        }
}

/* The next turn of a conversation has all of the last one's answer. */
static void an_answer_is_a_beginning(void **state)
{
    (void)state;
    for (int m = 0; m < 2; m++) {
        const mqa_engine_options o = mqa_engine_options_default();
        served s = serve(models[m], &o);
        mqa_request q = request_of(s.tokens, 300, 20);
        reply *first = submit(s.engine, &q);
        run_until_over(s.engine, first);
        int32_t text[400];
        memcpy(text, s.tokens, 300 * sizeof *text);
        memcpy(text + 300, first->choices[0].tokens, 20 * sizeof *text);
        memcpy(text + 320, s.tokens + 500, 30 * sizeof *text);
        q = request_of(text, 350, 5);
        reply *next = submit(s.engine, &q);
        run_until_over(s.engine, next);
        assert_int_equal(next->usage.cached_tokens, 319); /* its last token was never computed */
        q = request_of(text, 319, 5); /* all of it is there, but logits come of computing */
        reply *same = submit(s.engine, &q);
        run_until_over(s.engine, same);
        assert_int_equal(same->usage.cached_tokens, 318);
        assert_int_equal(same->choices[0].tokens[0], first->choices[0].tokens[19]);
        free(first), free(next), free(same);
        end(&s);
    }
}

/* Long prompts leave checkpoints on the way. */
static void checkpoints_on_the_way(void **state)
{
    (void)state;
    mqa_engine_options o = mqa_engine_options_default();
    o.checkpoint_tokens = 256;
    served s = serve(&small_gemma3, &o);
    mqa_request q = request_of(s.tokens, 1000, 2);
    reply *first = submit(s.engine, &q);
    run_until_over(s.engine, first);
    int32_t text[1000];
    memcpy(text, s.tokens, sizeof text);
    text[600] ^= 1;
    q.prompt = text;
    reply *next = submit(s.engine, &q);
    run_until_over(s.engine, next);
    assert_int_equal(next->usage.cached_tokens, 512);
    free(first), free(next);
    end(&s);
}

static void tenants_dont_see_each_others(void **state)
{
    (void)state;
    for (int m = 0; m < 2; m++) {
        const mqa_engine_options o = mqa_engine_options_default();
        served s = serve(models[m], &o);
        tenant(s.engine, "a", 0, 1);
        tenant(s.engine, "b", 0, 1);
        mqa_request q = request_of(s.tokens, 400, 2);
        q.tenant = "a";
        reply *a = submit(s.engine, &q);
        run_until_over(s.engine, a);
        q.tenant = "b";
        reply *b = submit(s.engine, &q);
        run_until_over(s.engine, b);
        assert_int_equal(b->usage.cached_tokens, 0);
        q.tenant = "a";
        q.no_cache = true;
        reply *c = submit(s.engine, &q);
        run_until_over(s.engine, c);
        assert_int_equal(c->usage.cached_tokens, 0);
        assert_int_equal(tenant_stats_of(s.engine, 1).checkpoints, m == 0 ? 2 : 1);
        OK(mqa_engine_tenant_remove(s.engine, "a", &err));
        assert_int_equal(mqa_engine_tenant_remove(s.engine, "a", NULL), MQA_ERR_NOT_FOUND);
        step(s.engine);
        assert_string_equal(tenant_stats_of(s.engine, 1).name, "b");
        assert_int_equal(stats_of(s.engine).bytes_in_use, tenant_stats_of(s.engine, 1).bytes_in_use);
        free(a), free(b), free(c);
        end(&s);
    }
}

static void pins_are_there_for_all(void **state)
{
    (void)state;
    for (int m = 0; m < 2; m++) {
        const mqa_engine_options o = mqa_engine_options_default();
        served s = serve(models[m], &o);
        uint64_t id;
        OK(mqa_engine_pin(s.engine, s.tokens, 500, &id, &err));
        reply pin = {.id = id};
        run_until_over(s.engine, &pin);
        assert_int_equal(pin.status, MQA_OK);
        const size_t pinned = stats_of(s.engine).bytes_in_use;
        assert_true(pinned > 0 && stats_of(s.engine).bytes_kept == 0 && stats_of(s.engine).pinned == 1);
        static const char *const names[] = {"a", "b"};
        for (int i = 0; i < 2; i++) {
            tenant(s.engine, names[i], 0, 1);
            mqa_request q = request_of(s.tokens, 600, 2);
            q.tenant = names[i];
            reply *r = submit(s.engine, &q);
            run_until_over(s.engine, r);
            assert_int_equal(r->usage.cached_tokens, 500);
            reply *expected = alone(s.r.model, &q);
            assert_same(r, expected);
            free(r), free(expected);
        }
        /* What is pinned is nobody else's, but for who shares it. */
        const size_t least = mqa_engine_request_bytes(s.engine, 600, 2, 1);
        mqa_engine_options tight = o;
        tight.kv_budget_bytes = pinned + least / 2;
        mqa_engine *small;
        OK(mqa_engine_create(s.r.model, &tight, &small, &err));
        OK(mqa_engine_pin(small, s.tokens, 500, &id, &err));
        pin = (reply){.id = id};
        run_until_over(small, &pin);
        mqa_request q = request_of(s.tokens, 600, 2);
        mqa_submission out;
        if (m == 1) { /* no ring: what it shares is most of what it needs */
            reply *r = submit(small, &q);
            run_until_over(small, r);
            assert_true(r->finish == MQA_FINISH_LENGTH && r->usage.cached_tokens == 500);
            free(r);
        }
        q.prompt = s.tokens + 1;
        assert_int_equal(mqa_engine_submit(small, &q, &out, NULL), MQA_ERR_BUDGET);
        assert_true(out.refusal == MQA_REFUSAL_TOO_LARGE && out.available == tight.kv_budget_bytes - pinned);
        mqa_engine_destroy(&small);
        id = 1;
        OK(mqa_engine_unpin(s.engine, id, &err));
        assert_int_equal(mqa_engine_unpin(s.engine, id, NULL), MQA_ERR_NOT_FOUND);
        for (int i = 0; i < 2; i++) OK(mqa_engine_tenant_remove(s.engine, names[i], &err));
        step(s.engine);
        assert_int_equal(stats_of(s.engine).bytes_in_use, 0);
        end(&s);
    }
}

/* ---- budgets, deadlines, refusals ---- */

static double now_of(void *user)
{
    return *(double *)user;
}

static void what_never_fits_is_refused_at_once(void **state)
{
    (void)state;
    mqa_engine_options o = mqa_engine_options_default();
    o.max_requests = 3;
    served s = serve(&small_gemma3, &o);
    const size_t bytes = mqa_engine_request_bytes(s.engine, 300, 50, 2);
    mqa_request q = request_of(s.tokens, 300, 50);
    mqa_submission out;
    q.n_choices = 2;
    q.tenant = "small";
    assert_int_equal(mqa_engine_submit(s.engine, &q, &out, NULL), MQA_ERR_NOT_FOUND);
    assert_int_equal(out.refusal, MQA_REFUSAL_TENANT);
    tenant(s.engine, "small", bytes - 1, 1);
    mqa_error err;
    assert_int_equal(mqa_engine_submit(s.engine, &q, &out, &err), MQA_ERR_BUDGET);
    assert_true(out.refusal == MQA_REFUSAL_TOO_LARGE && out.needed == bytes && out.available == bytes - 1);
    tenant(s.engine, "small", bytes, 1);
    reply *r = submit(s.engine, &q);
    run_until_over(s.engine, r);
    assert_int_equal(r->finish, MQA_FINISH_LENGTH);
    free(r);

    reply *waiting[3];
    for (int i = 0; i < 3; i++) waiting[i] = submit(s.engine, &q);
    assert_int_equal(mqa_engine_submit(s.engine, &q, &out, &err), MQA_ERR_BUDGET);
    assert_true(out.refusal == MQA_REFUSAL_BUSY && out.id == 0);
    for (int i = 0; i < 3; i++) run_until_over(s.engine, waiting[i]), free(waiting[i]);
    const mqa_engine_stats stats = stats_of(s.engine);
    assert_true(stats.refused == 2 && stats.finished == 4);

    /* What fitted when it came, and then no more. */
    r = submit(s.engine, &q);
    tenant(s.engine, "small", bytes / 2, 1);
    run_until_over(s.engine, r);
    assert_true(r->finish == MQA_FINISH_ERROR && r->status == MQA_ERR_BUDGET);
    free(r);

    static const int32_t bad[] = {-1};
    mqa_request wrong[8];
    for (int i = 0; i < 8; i++) wrong[i] = request_of(s.tokens, 10, 1);
    wrong[0].n_prompt = 0, wrong[1].prompt = bad, wrong[1].n_prompt = 1, wrong[2].max_tokens = 5000;
    wrong[3].n_choices = 0, wrong[4].sampling.top_p = 0, wrong[5].repetition_penalty = 0;
    wrong[6].struct_size = 1, wrong[7].n_logprobs = 21;
    for (int i = 0; i < 8; i++) {
        assert_int_equal(mqa_engine_submit(s.engine, &wrong[i], &out, &err), MQA_ERR_INVALID_ARGUMENT);
        assert_int_equal(out.refusal, MQA_REFUSAL_INVALID);
    }
    end(&s);
}

/* With just the worst case to go by, prompts are read in smaller parts, and are read. */
static void the_worst_case_is_enough(void **state)
{
    (void)state;
    for (int of_all = 0; of_all < 2; of_all++) {
        mqa_engine_options o = mqa_engine_options_default();
        served s = serve(&small_gemma3, &o);
        const size_t bytes = mqa_engine_request_bytes(s.engine, 1500, 70, 2);
        if (of_all) {
            end(&s);
            o.kv_budget_bytes = bytes;
            s = serve(&small_gemma3, &o);
        }
        tenant(s.engine, "t", of_all ? 0 : bytes, 1);
        mqa_request q = request_of(s.tokens + 1, 1500, 70);
        q.tenant = "t";
        q.n_choices = 2;
        for (int round = 0; round < 3; round++) {
            q.prompt += round == 2; /* first two of the same, where room is made of what the first left */
            reply *r = submit(s.engine, &q);
            while (!r->over) {
                step(s.engine);
                take_events(s.engine, r);
                assert_budgets_kept(s.engine, MQA_ADMISSION_RESERVE);
            }
            assert_int_equal(r->finish, MQA_FINISH_LENGTH);
            free(r);
        }
        end(&s);
    }
}

/* Cached pages are others' to take, until somebody begins with them: from then on they count. */
static void what_is_cached_counts_once_it_is_used(void **state)
{
    (void)state;
    mqa_engine_options o = mqa_engine_options_default();
    served s = serve(&small_llama, &o);
    const size_t page = mqa_engine_request_bytes(s.engine, 1, 1, 1);
    const size_t both =
        mqa_engine_request_bytes(s.engine, 640, 60, 1) + mqa_engine_request_bytes(s.engine, 20, 300, 1);
    end(&s);
    for (int enough = 0; enough < 2; enough++) {
        o.kv_budget_bytes = both - (enough ? 0 : page);
        s = serve(&small_llama, &o);
        mqa_request q = request_of(s.tokens, 600, 60);
        reply *first = submit(s.engine, &q);
        run_until_over(s.engine, first); /* 659 tokens stay */
        q = request_of(s.tokens + 700, 20, 300);
        reply *other = submit(s.engine, &q);
        for (int i = 0; i < 5; i++) step(s.engine);
        int32_t text[640];
        memcpy(text, s.tokens, 600 * sizeof *text);
        memcpy(text + 600, first->choices[0].tokens, 40 * sizeof *text);
        q = request_of(text, 640, 60);
        reply *next = submit(s.engine, &q);
        for (int i = 0; i < 5; i++) step(s.engine);
        assert_int_equal(stats_of(s.engine).running, 1 + enough);
        while (!next->over || !other->over) {
            step(s.engine);
            assert_budgets_kept(s.engine, MQA_ADMISSION_RESERVE);
            take_events(s.engine, next);
            take_events(s.engine, other);
        }
        assert_int_equal(next->usage.cached_tokens, enough ? 639 : next->usage.cached_tokens);
        free(first), free(other), free(next);
        end(&s);
    }
}

/* What was preempted comes before what is new. */
static void the_preempted_come_first(void **state)
{
    (void)state;
    mqa_engine_options o = mqa_engine_options_default();
    o.admission = MQA_ADMISSION_OVERCOMMIT;
    served s = serve(&small_llama, &o);
    const size_t page = mqa_engine_request_bytes(s.engine, 1, 1, 1);
    end(&s);
    o.kv_budget_bytes = 9 * page;
    s = serve(&small_llama, &o);
    reply *r[3];
    mqa_request q[3];
    for (int i = 0; i < 3; i++) q[i] = request_of(s.tokens + 50 * i, 10, i < 2 ? 500 : 20);
    for (int i = 0; i < 2; i++) r[i] = submit(s.engine, &q[i]);
    for (int i = 0; stats_of(s.engine).preempted == 0; i++) {
        assert_true(i < 1000);
        step(s.engine);
    }
    r[2] = submit(s.engine, &q[2]);
    for (int i = 0; !r[0]->over; i++) {
        step(s.engine);
        take_events(s.engine, r[0]), take_events(s.engine, r[2]);
        if (!r[0]->over) assert_int_equal(r[2]->choices[0].n, 0);
    }
    for (int i = 0; i < 3; i++) {
        run_until_over(s.engine, r[i]);
        reply *expected = alone(s.r.model, &q[i]);
        assert_same(r[i], expected);
        free(r[i]), free(expected);
    }
    assert_int_equal(stats_of(s.engine).preempted, 1);
    end(&s);
}

/* The tenant's budget is for one at a time: the others wait, up to their deadlines. */
static void what_has_no_room_waits(void **state)
{
    (void)state;
    double now = 100;
    mqa_engine_options o = mqa_engine_options_default();
    o.now = now_of;
    o.now_user = &now;
    served s = serve(&small_gemma3, &o);
    tenant(s.engine, "t", mqa_engine_request_bytes(s.engine, 200, 100, 1), 1);
    mqa_request q = request_of(s.tokens, 200, 100);
    q.tenant = "t";
    q.no_cache = true;
    reply *first = submit(s.engine, &q);
    q.wait_seconds = 5;
    reply *second = submit(s.engine, &q);
    q.wait_seconds = 0;
    q.total_seconds = 7;
    reply *third = submit(s.engine, &q);
    while (first->choices[0].n < 10) {
        step(s.engine);
        take_events(s.engine, first);
    }
    take_events(s.engine, second), take_events(s.engine, third);
    assert_true(first->choices[0].n == 10 && !second->over && second->choices[0].n == 0);
    assert_int_equal(stats_of(s.engine).waiting, 2);
    now = 106;
    step(s.engine);
    take_events(s.engine, second), take_events(s.engine, third);
    assert_true(second->over && second->finish == MQA_FINISH_DEADLINE && !third->over);
    assert_int_equal(second->usage.wait_seconds, 0);

    /* Cancelled: its pages are there for the next one in the same step. */
    mqa_engine_cancel(s.engine, first->id);
    mqa_engine_cancel(s.engine, 12345);
    step(s.engine);
    take_events(s.engine, first), take_events(s.engine, third);
    assert_true(first->over && first->finish == MQA_FINISH_CANCELLED && first->choices[0].n == 11);
    assert_true(third->choices[0].n == 0 && stats_of(s.engine).running == 1);
    while (third->choices[0].n == 0) {
        step(s.engine);
        take_events(s.engine, third);
    }
    now = 107.5;
    step(s.engine);
    take_events(s.engine, third);
    assert_true(third->over && third->finish == MQA_FINISH_DEADLINE && third->choices[0].n == 1);
    assert_true(third->usage.wait_seconds > 5.9 && third->usage.total_seconds > 7.4);
    assert_int_equal(stats_of(s.engine).bytes_in_use, 0);
    mqa_event e;
    bool got;
    assert_int_equal(mqa_engine_poll(s.engine, third->id, 0, &e, &got, NULL), MQA_ERR_NOT_FOUND);
    free(first), free(second), free(third);
    end(&s);
}

/* A large one is overtaken by small ones of others, but not for ever. */
static void nobody_starves(void **state)
{
    (void)state;
    mqa_engine_options o = mqa_engine_options_default();
    served probe = serve(&small_llama, &o);
    const size_t small = mqa_engine_request_bytes(probe.engine, 60, 60, 1);
    const size_t large = mqa_engine_request_bytes(probe.engine, 300, 60, 1);
    end(&probe);
    o.kv_budget_bytes = large + small / 2;
    o.no_prefix_cache = true;
    served s = serve(&small_llama, &o);
    tenant(s.engine, "large", 0, 1);
    tenant(s.engine, "small", 0, 1);
    mqa_request q = request_of(s.tokens, 60, 60);
    q.tenant = "small";
    enum { STREAM = 200 };
    static reply *stream[STREAM];
    mqa_request l = request_of(s.tokens, 300, 60);
    l.tenant = "large";
    reply *r = NULL;
    int n = 0;
    for (int i = 0; !r || !r->over; i++) {
        assert_true(i < 10 * STREAM);
        if (i % 10 == 0) stream[n++] = submit(s.engine, &q); /* there is always another small one */
        if (i == 50) r = submit(s.engine, &l);
        step(s.engine);
        if (r) take_events(s.engine, r);
    }
    int before = 0;
    for (int i = 0; i < n; i++) {
        take_events(s.engine, stream[i]);
        before += stream[i]->over;
        free(stream[i]);
    }
    assert_in_range(before, 16, 24); /* overtaken 16 times */
    free(r);
    end(&s);
}

/* n replies end in this order, one by one: none has a token before those ahead of it are over. */
static void end_in_order(mqa_engine *engine, reply *const *r, const int *order, int n)
{
    for (int i = 0; i < n; i++) {
        run_until_over(engine, r[order[i]]);
        for (int later = i + 1; later < n; later++) {
            take_events(engine, r[order[later]]);
            assert_int_equal(r[order[later]]->choices[0].n, 0);
        }
    }
    for (int i = 0; i < n; i++) free(r[i]);
}

/* In a tenant, those of a higher priority start first; in one priority, the earlier ones. */
static void priorities_come_before_age(void **state)
{
    (void)state;
    mqa_engine_options o = mqa_engine_options_default();
    o.max_running = 1;
    served s = serve(&small_llama, &o);
    static const int priorities[] = {0, 1, 3, 1, 3}, order[] = {0, 2, 4, 1, 3};
    reply *r[5];
    for (int i = 0; i < 5; i++) {
        mqa_request q = request_of(s.tokens + 100 * i, 20, 3);
        q.priority = priorities[i];
        r[i] = submit(s.engine, &q);
        if (i == 0) step(s.engine);
    }
    end_in_order(s.engine, r, order, 5);
    end(&s);
}

/* Between tenants, whatever the requests' own priorities are. */
static void tenants_of_a_higher_priority_start_first(void **state)
{
    (void)state;
    mqa_engine_options o = mqa_engine_options_default();
    o.max_running = 1;
    served s = serve(&small_llama, &o);
    static const char *const names[] = {"low", "low", "middle", "high", "middle"};
    static const int order[] = {0, 3, 2, 4, 1};
    static const struct {
        const char *name;
        int priority;
    } tenants[] = {{"low", -3}, {"middle", 0}, {"high", 7}};
    for (int i = 0; i < 3; i++) {
        const mqa_tenant_options t = {.struct_size = sizeof t, .priority = tenants[i].priority};
        OK(mqa_engine_tenant_set(s.engine, tenants[i].name, &t, &err));
    }
    reply *r[5];
    for (int i = 0; i < 5; i++) {
        mqa_request q = request_of(s.tokens + 100 * i, 20, 3);
        q.tenant = names[i];
        q.priority = i == 1 ? 9 : 0;
        r[i] = submit(s.engine, &q);
        if (i == 0) step(s.engine);
    }
    end_in_order(s.engine, r, order, 5);
    end(&s);
}

/* ---- turns ---- */

static void prompts_take_turns_by_weight(void **state)
{
    (void)state;
    mqa_engine_options o = mqa_engine_options_default();
    o.chunk = 256;
    served s = serve(&small_llama, &o);
    static const char *const names[] = {"light", "heavy"};
    for (int i = 0; i < 2; i++) tenant(s.engine, names[i], 0, 1 + 2 * i);
    reply *r[2];
    for (int i = 0; i < 2; i++) {
        mqa_request q = request_of(s.tokens + i, 1900, 1);
        q.tenant = names[i];
        r[i] = submit(s.engine, &q);
    }
    for (int i = 0; i < 4; i++) step(s.engine);
    /* 1,024 rows: a quarter and three quarters, which pages in use show. */
    const double light = (double)tenant_stats_of(s.engine, 1).bytes_in_use,
                 heavy = (double)tenant_stats_of(s.engine, 2).bytes_in_use;
    assert_true(heavy / light > 2.4 && heavy / light < 3.6);
    for (int i = 0; i < 2; i++) run_until_over(s.engine, r[i]), free(r[i]);
    end(&s);
}

/* A short prompt doesn't wait for a long one of another tenant, and one that generates has a row in each
 * step. */
static void a_long_prompt_stalls_nobody(void **state)
{
    (void)state;
    mqa_engine_options o = mqa_engine_options_default();
    o.chunk = 128;
    o.draft_max = 0;
    served s = serve(&small_gemma3, &o);
    tenant(s.engine, "long", 0, 1);
    tenant(s.engine, "chat", 0, 1);
    mqa_request q = request_of(s.tokens, 1990, 4);
    q.tenant = "long";
    reply *book = submit(s.engine, &q);
    for (int i = 0; i < 2; i++) step(s.engine);
    q = request_of(s.tokens + 5, 60, 8);
    q.tenant = "chat";
    reply *chat = submit(s.engine, &q);
    for (int i = 1; i <= 8; i++) {
        step(s.engine);
        take_events(s.engine, chat);
        assert_int_equal(chat->choices[0].n, i);
    }
    assert_true(chat->over);
    take_events(s.engine, book);
    assert_int_equal(book->choices[0].n, 0);
    run_until_over(s.engine, book);
    free(book), free(chat);
    end(&s);
}

/* While somebody generates, a step has as many rows of prompts as its time is said to allow. */
static void prompts_leave_time_for_answers(void **state)
{
    (void)state;
    double now = 1;
    mqa_engine_options o = mqa_engine_options_default();
    o.now = now_of;
    o.now_user = &now;
    o.draft_max = 0;
    for (int given = 0; given < 2; given++) {
        o.step_seconds = given ? 2 : 0;
        served s = serve(&small_llama, &o);
        mqa_request q = request_of(s.tokens, 10, 400);
        reply *chat = submit(s.engine, &q);
        for (int i = 0; i < 3; i++) step(s.engine);
        q = request_of(s.tokens + 3, 1800, 1);
        reply *book = submit(s.engine, &q);
        for (int i = 0; i < 300; i++) { /* a second, and one more for every 100 rows */
            mqa_learn(s.engine, 1, 0, 1, 0);
            mqa_learn(s.engine, 3, 200, 1, 0);
        }
        const uint64_t before = stats_of(s.engine).prompt_rows;
        step(s.engine);
        assert_in_range(stats_of(s.engine).prompt_rows - before, given ? 99 : 74, given ? 100 : 75);
        mqa_engine_cancel(s.engine, chat->id);
        run_until_over(s.engine, chat);
        run_until_over(s.engine, book);
        free(chat), free(book);
        end(&s);
    }
}

/* ---- threads ---- */

typedef struct client {
    served *s;
    pthread_t thread;
    int number, wrong;
    const reply *expected;
    const mqa_request *request;
} client;

static void *ask(void *arg)
{
    client *c = arg;
    for (int round = 0; round < 6; round++) {
        reply *r = submit(c->s->engine, c->request);
        if (round % 3 == 2) { /* goes away */
            if (c->number % 2) mqa_engine_cancel(c->s->engine, r->id);
            mqa_engine_close(c->s->engine, r->id);
            free(r);
            continue;
        }
        while (!r->over) {
            mqa_event e;
            bool got;
            if (mqa_engine_poll(c->s->engine, r->id, 5, &e, &got, NULL) != MQA_OK || !got) break;
            if (e.kind == MQA_EVENT_TOKEN) {
                answer *a = &r->choices[e.choice];
                c->wrong += e.token != c->expected->choices[0].tokens[a->n++];
            }
            r->over = e.kind == MQA_EVENT_END;
        }
        c->wrong += !r->over || r->choices[0].n != c->expected->choices[0].n;
        (void)stats_of(c->s->engine);
        free(r);
    }
    return NULL;
}

typedef struct stepping {
    mqa_engine *engine;
    atomic_int stop;
} stepping;

static void *work(void *arg)
{
    stepping *w = arg;
    while (!w->stop) {
        bool busy = false;
        if (mqa_engine_step(w->engine, &busy, NULL) != MQA_OK) break;
        if (!busy) mqa_engine_wait(w->engine, 1);
    }
    return NULL;
}

static void clients_have_threads_of_their_own(void **state)
{
    (void)state;
    enum { CLIENTS = 6 };
    const mqa_engine_options o = mqa_engine_options_default();
    served s = serve(&small_gemma3, &o);
    client clients[CLIENTS];
    mqa_request requests[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        requests[i] = request_of(s.tokens + i / 2, 100 + 20 * i, 10);
        clients[i] = (client){
            .s = &s, .number = i, .request = &requests[i], .expected = alone(s.r.model, &requests[i])};
    }
    stepping w = {.engine = s.engine};
    pthread_t worker;
    assert_int_equal(pthread_create(&worker, NULL, work, &w), 0);
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&clients[i].thread, NULL, ask, &clients[i]), 0);
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_int_equal(clients[i].wrong, 0);
        free((void *)clients[i].expected);
    }
    w.stop = 1;
    mqa_engine_wake(s.engine);
    pthread_join(worker, NULL);
    end(&s);
}

static uint64_t told[64];
static int n_told;

static void tell(void *user, uint64_t request)
{
    (void)user;
    told[n_told++ % 64] = request;
}

static void events_are_announced(void **state)
{
    (void)state;
    mqa_engine_options o = mqa_engine_options_default();
    o.on_events = tell;
    served s = serve(&small_llama, &o);
    const mqa_request q = request_of(s.tokens, 20, 3);
    reply *r = submit(s.engine, &q);
    step(s.engine);
    assert_true(n_told == 1 && told[0] == r->id);
    step(s.engine);
    step(s.engine);
    step(s.engine);
    assert_int_equal(n_told, 3); /* the last token, FINISH and END in one */
    take_events(s.engine, r);
    assert_true(r->over);
    free(r);
    end(&s); /* with requests that nobody asked for the end of, too */
    s = serve(&small_llama, &o);
    for (int i = 0; i < 3; i++) {
        const mqa_request other = request_of(s.tokens, 20, 3);
        r = submit(s.engine, &other);
        if (i < 2) step(s.engine);
        free(r);
    }
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_prompt_of_many_is_computed_once),
        cmocka_unit_test(prompts_that_part_share_what_is_common),
        cmocka_unit_test(an_answer_is_a_beginning),
        cmocka_unit_test(checkpoints_on_the_way),
        cmocka_unit_test(tenants_dont_see_each_others),
        cmocka_unit_test(pins_are_there_for_all),
        cmocka_unit_test(what_never_fits_is_refused_at_once),
        cmocka_unit_test(the_worst_case_is_enough),
        cmocka_unit_test(what_is_cached_counts_once_it_is_used),
        cmocka_unit_test(the_preempted_come_first),
        cmocka_unit_test(what_has_no_room_waits),
        cmocka_unit_test(nobody_starves),
        cmocka_unit_test(priorities_come_before_age),
        cmocka_unit_test(tenants_of_a_higher_priority_start_first),
        cmocka_unit_test(prompts_take_turns_by_weight),
        cmocka_unit_test(a_long_prompt_stalls_nobody),
        cmocka_unit_test(prompts_leave_time_for_answers),
        cmocka_unit_test(clients_have_threads_of_their_own),
        cmocka_unit_test(events_are_announced),
    };
    return cmocka_run_group_tests_name("engine", tests, setup, teardown);
}
