/* Guesses: where they are found, that they save steps and never change an answer, and that their rows are
 * counted where rows are shared out. That answers are those of the requests alone, whatever is guessed, is in
 * test_traces and test_draws, too.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "engine_rig.h"

#include "../model/scratch_model.h"

#include "engine/lookup.h"
#include "engine/state.h"

static const synthetic *const models[] = {&small_gemma3, &small_llama};

typedef struct served {
    rig r;
    double now;
    mqa_engine *engine;
    int32_t tokens[2000]; /* in circles of ten */
} served;

static void serve(served *s, const synthetic *m, mqa_engine_options o)
{
    synthetic_write(m, path);
    s->r = rig_open(path, (rig_options){0});
    s->now = 0;
    if (!o.now) o.now = even_clock, o.now_user = &s->now;
    OK(mqa_engine_create(s->r.model, &o, &s->engine, &err));
    for (int i = 0; i < 2000; i++) s->tokens[i] = 3 + i % 10 * 7;
}

static void end(served *s)
{
    mqa_engine_destroy(&s->engine);
    rig_close(&s->r);
}

static mqa_request greedy(const int32_t *prompt, int64_t n, int64_t max_tokens)
{
    mqa_request q = mqa_request_default();
    q.prompt = prompt;
    q.n_prompt = n;
    q.max_tokens = max_tokens;
    q.sampling.temperature = 0;
    q.ignore_end = true;
    q.n_logprobs = 3;
    return q;
}

/* ---- where guesses are found ---- */

/* For every place how much stands before it as before the end, forward. */
static int64_t plain_lookup(const int32_t *text, int64_t n, int *matched)
{
    int64_t found = 0;
    *matched = 0;
    for (int64_t at = 1; at < n; at++) {
        int length = 0;
        while (length < at && length < MQA_MOST_MATCH && text[at - 1 - length] == text[n - 1 - length])
            length++;
        if (length < MQA_LEAST_MATCH || length < *matched) continue;
        *matched = length;
        found = at;
    }
    return found;
}

static void lookups_are_those_of_a_plain_search(void **state)
{
    (void)state;
    uint32_t random = 5;
    int seen[MQA_MOST_MATCH + 1] = {0};
    int32_t text[60];
    for (int i = 0; i < 20000; i++) {
        const uint32_t n_words = 1 + synthetic_random(&random) % 12;
        const int64_t n = (int64_t)(synthetic_random(&random) % 61);
        for (int64_t k = 0; k < n; k++) text[k] = (int32_t)(synthetic_random(&random) % n_words);
        int matched, expected;
        assert_int_equal(mqa_lookup(text, n, &matched), plain_lookup(text, n, &expected));
        assert_int_equal(matched, expected);
        seen[matched]++;
    }
    for (int k = 0; k <= MQA_MOST_MATCH; k++) assert_true(k == 1 || seen[k] > 0);
}

/* ---- answers ---- */

/* Fewer steps than tokens; the same answer; and what it leaves in the cache is that answer's, too. */
static void guesses_that_hold_save_steps(void **state)
{
    (void)state;
    for (int m = 0; m < 2; m++) {
        served s;
        serve(&s, models[m], mqa_engine_options_default());
        mqa_request q = greedy(s.tokens, 300, 400);
        reply *r = submit(s.engine, &q), *expected = alone(s.r.model, &q);
        for (int i = 0; i < 1000 && !r->over; i++) {
            step(s.engine);
            assert_budgets_kept(s.engine, MQA_ADMISSION_RESERVE);
            take_events(s.engine, r);
        }
        const mqa_engine_stats stats = stats_of(s.engine);
        assert_true(r->over);
        assert_same(r, expected);
        assert_true(stats.accepted_tokens > (m ? 10 : 200) && stats.accepted_tokens <= stats.drafted_tokens);
        assert_int_equal(stats.decode_rows + stats.accepted_tokens + 1, 400);
        /* From what the answer left, less its last tokens. */
        int32_t longer[720];
        memcpy(longer, s.tokens, 300 * sizeof *longer);
        memcpy(longer + 300, r->choices[0].tokens, 400 * sizeof *longer);
        q = greedy(longer, 699, 20);
        reply *next = submit(s.engine, &q), *alone_too = alone(s.r.model, &q);
        run_until_over(s.engine, next);
        assert_int_equal(next->usage.cached_tokens, 698);
        assert_same(next, alone_too);
        free(r), free(expected), free(next), free(alone_too);
        end(&s);
    }
}

static void nothing_is_guessed_where_it_is_off(void **state)
{
    (void)state;
    served s;
    mqa_engine_options o = mqa_engine_options_default();
    o.draft_max = 0;
    serve(&s, &small_llama, o);
    mqa_request q = greedy(s.tokens, 300, 100);
    reply *r = submit(s.engine, &q);
    run_until_over(s.engine, r);
    assert_int_equal(stats_of(s.engine).drafted_tokens, 0);
    free(r);
    mqa_engine *engine;
    o.draft_max = 64;
    assert_int_equal(mqa_engine_create(s.r.model, &o, &engine, NULL), MQA_ERR_INVALID_ARGUMENT);
    o.draft_max = -1;
    assert_int_equal(mqa_engine_create(s.r.model, &o, &engine, NULL), MQA_ERR_INVALID_ARGUMENT);
    end(&s);
}

/* An answer that is over amid its guesses: by a stop token, by its length. */
static void an_answer_can_end_amid_its_guesses(void **state)
{
    (void)state;
    for (int m = 0; m < 2; m++) {
        served s;
        serve(&s, models[m], mqa_engine_options_default());
        mqa_request q = greedy(s.tokens, 300, 120);
        reply *whole = alone(s.r.model, &q);
        for (int i = 0; i < 20; i++) {
            int32_t stop = whole->choices[0].tokens[60 + i];
            q.max_tokens = i % 2 ? 120 : 60 + i;
            q.stop_tokens = &stop;
            q.n_stop_tokens = i % 2;
            reply *r = submit(s.engine, &q), *expected = alone(s.r.model, &q);
            run_until_over(s.engine, r);
            assert_same(r, expected);
            free(r), free(expected);
        }
        assert_true(stats_of(s.engine).accepted_tokens > 0);
        free(whole);
        end(&s);
    }
}

/* The budget is what the request takes without guesses, to the byte; nothing is put back for them. */
static void guesses_keep_to_what_was_reserved(void **state)
{
    (void)state;
    for (int m = 0; m < 2; m++)
        for (int admission = 0; admission < 2; admission++) {
            served s;
            mqa_engine_options o = mqa_engine_options_default();
            o.admission = (mqa_admission)admission;
            o.draft_max = 63;
            serve(&s, models[m], o);
            mqa_request q = greedy(s.tokens, 300, 500);
            const mqa_tenant_options t = {.struct_size = sizeof t,
                                          .budget_bytes = mqa_engine_request_bytes(s.engine, 300, 500, 1)};
            OK(mqa_engine_tenant_set(s.engine, "t", &t, &err));
            q.tenant = "t";
            reply *r = submit(s.engine, &q), *expected = alone(s.r.model, &q);
            for (int i = 0; i < 1000 && !r->over; i++) {
                step(s.engine);
                assert_budgets_kept(s.engine, o.admission);
                take_events(s.engine, r);
            }
            assert_true(r->over);
            assert_same(r, expected);
            assert_true(stats_of(s.engine).accepted_tokens > (m ? 10 : 200));
            assert_int_equal(stats_of(s.engine).preempted, 0);
            free(r), free(expected);
            end(&s);
        }
}

/* ---- what they cost ---- */

/* A step is a second, a guess a quarter, and a prompt's row a hundredth of one. */
typedef struct costly {
    double now;
    mqa_engine *engine;
} costly;

static double costly_clock(void *user)
{
    costly *c = user;
    int64_t rows = 0;
    for (int i = 0; c->engine && i < c->engine->n_batch; i++) rows += c->engine->items[i].n_tokens;
    if (c->engine) c->now += 1 + 0.25 * c->engine->n_drafts + 0.01 * (double)(rows - c->engine->n_drafts);
    return c->now;
}

/* Rules out what would be guessed. */
typedef struct contrary {
    int32_t text[1024];
    int64_t n;
    int n_matches;
} contrary;

static mqa_status rule_out(void *user, int choice, uint64_t *allowed, mqa_error *err)
{
    (void)choice, (void)err;
    contrary *c = user;
    int matched;
    const int64_t at = mqa_lookup(c->text, c->n, &matched);
    for (int i = 0; i < 10; i++) { /* words of the circle only, so that there is always something to guess */
        const int32_t token = c->text[i];
        if (matched == 0 || token != c->text[at]) allowed[token / 64] |= (uint64_t)1 << token % 64;
    }
    c->n_matches += matched > 0;
    return MQA_OK;
}

static mqa_status append(void *user, int choice, int32_t token, mqa_error *err)
{
    (void)choice, (void)err;
    contrary *c = user;
    c->text[c->n++] = token;
    return MQA_OK;
}

static void guesses_that_never_hold_are_given_up(void **state)
{
    (void)state;
    served s;
    costly clock = {0};
    mqa_engine_options o = mqa_engine_options_default();
    o.now = costly_clock;
    o.now_user = &clock;
    serve(&s, &small_llama, o);
    clock.engine = s.engine;
    contrary c = {.n = 300};
    memcpy(c.text, s.tokens, 300 * sizeof *c.text);
    mqa_request q = greedy(s.tokens, 300, 600);
    q.mask = (mqa_token_mask){rule_out, append, NULL, &c};
    reply *r = submit(s.engine, &q);
    run_until_over(s.engine, r);
    const mqa_engine_stats stats = stats_of(s.engine);
    assert_true(c.n_matches > 300);
    assert_int_equal(stats.accepted_tokens, 0);
    assert_in_range(stats.drafted_tokens, 3, 40);
    free(r);
    end(&s);
}

/* Beside a long prompt: a step takes no longer than it may, guesses included, and half of
 * what is left of it is for the prompt. */
static void guesses_leave_time_for_prompts(void **state)
{
    (void)state;
    served s;
    costly clock = {0};
    mqa_engine_options o = mqa_engine_options_default();
    o.now = costly_clock;
    o.now_user = &clock;
    serve(&s, &small_gemma3, o);
    clock.engine = s.engine;
    mqa_request q = greedy(s.tokens, 300, 400);
    reply *chat = submit(s.engine, &q);
    for (int i = 0; i < 16; i++) step(s.engine);
    assert_true(stats_of(s.engine).step_seconds > 2); /* by itself */
    q = greedy(s.tokens + 3, 1800, 1);
    q.no_cache = true;
    reply *book = submit(s.engine, &q);
    const mqa_engine_stats before = stats_of(s.engine);
    for (int i = 0; i < 20; i++) {
        const uint64_t last = stats_of(s.engine).prompt_rows;
        step(s.engine);
        assert_true(stats_of(s.engine).step_seconds < 1.8);
        assert_true(stats_of(s.engine).prompt_rows >= last + 16); /* though its tenant has guessed before */
    }
    const mqa_engine_stats after = stats_of(s.engine);
    assert_true(after.accepted_tokens >= before.accepted_tokens + 15);
    assert_true(after.prompt_rows >= before.prompt_rows + 500);
    run_until_over(s.engine, chat), run_until_over(s.engine, book);
    free(chat), free(book);
    end(&s);
}

/* What a tenant has in guesses it has less in prompts. */
static void guesses_count_in_turns(void **state)
{
    (void)state;
    static const char *const names[] = {"guesses", "reads"};
    served s;
    costly clock = {0};
    mqa_engine_options o = mqa_engine_options_default();
    o.now = costly_clock;
    o.now_user = &clock;
    o.chunk = 128;
    o.step_seconds = 20;
    serve(&s, &small_gemma3, o);
    clock.engine = s.engine;
    for (int i = 0; i < 2; i++) {
        const mqa_tenant_options t = {.struct_size = sizeof t};
        OK(mqa_engine_tenant_set(s.engine, names[i], &t, &err));
    }
    mqa_request q = greedy(s.tokens, 300, 400);
    q.tenant = names[0];
    reply *replies[3] = {submit(s.engine, &q)};
    for (int i = 0; i < 7; i++) step(s.engine);
    const uint64_t before = stats_of(s.engine).drafted_tokens;
    for (int i = 0; i < 2; i++) {
        q = greedy(s.tokens + 1 + i, 1800, 1);
        q.tenant = names[i];
        q.no_cache = true;
        replies[1 + i] = submit(s.engine, &q);
    }
    for (int i = 0; i < 15; i++) step(s.engine);
    const int64_t guessed = (int64_t)(stats_of(s.engine).drafted_tokens - before);
    int64_t had[2]; /* rows of prompts, with those that its last turns left it */
    for (int i = 0; i < 2; i++) {
        const mqa_job *job = mqa_job_find(s.engine, replies[1 + i]->id);
        had[i] = job->choices[0].length + job->tenant->deficit;
    }
    assert_true(guessed > 150);
    assert_true(had[1] - had[0] > guessed / 2 && had[1] - had[0] < guessed + 128);
    for (int i = 0; i < 3; i++) run_until_over(s.engine, replies[i]), free(replies[i]);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lookups_are_those_of_a_plain_search),
                                       cmocka_unit_test(guesses_that_hold_save_steps),
                                       cmocka_unit_test(nothing_is_guessed_where_it_is_off),
                                       cmocka_unit_test(an_answer_can_end_amid_its_guesses),
                                       cmocka_unit_test(guesses_keep_to_what_was_reserved),
                                       cmocka_unit_test(guesses_that_never_hold_are_given_up),
                                       cmocka_unit_test(guesses_leave_time_for_prompts),
                                       cmocka_unit_test(guesses_count_in_turns)};
    return cmocka_run_group_tests_name("drafts", tests, setup, teardown);
}
