/* What the engine draws, against a loop that is as plain as can be: one session, one sequence, a token at a
 * time, logits changed as docs/numerics.md section 7 says.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "engine_rig.h"

#include "../model/scratch_model.h"

#include <math.h>

#include "engine/state.h"

/* ---- the plain loop ---- */

enum { MOST = 200 };

static int count(const int32_t *tokens, int64_t n, int32_t token)
{
    int times = 0;
    for (int64_t i = 0; i < n; i++) times += tokens[i] == token;
    return times;
}

static bool is_allowed(int32_t token, int64_t position)
{
    return (token + position) % 3 != 0 || token == 2;
}

static void change(const mqa_request *q, const int32_t *text, int64_t n, float *x, int n_vocab)
{
    for (int t = 0; t < n_vocab; t++) {
        const int own = count(text + q->n_prompt, n - q->n_prompt, t);
        if (q->repetition_penalty != 1 && count(text, n, t) > 0)
            x[t] = x[t] > 0 ? x[t] / q->repetition_penalty : x[t] * q->repetition_penalty;
        if (own > 0) {
            const float times = q->frequency_penalty * (float)own;
            x[t] = x[t] - times;
            x[t] = x[t] - q->presence_penalty;
        }
        for (int i = 0; i < q->n_bias; i++)
            if (q->bias[i].token == t) x[t] = x[t] + q->bias[i].bias;
        if (q->mask.fill && !is_allowed(t, n)) x[t] = -INFINITY;
    }
}

static void check_logprobs(const float *x, int n_vocab, const answer *a, int at, int n_top)
{
    double sum = 0, max = (double)x[0];
    for (int t = 0; t < n_vocab; t++) max = fmax(max, (double)x[t]);
    for (int t = 0; t < n_vocab; t++) sum += exp((double)x[t] - max);
    const double log_sum = max + log(sum);
    assert_true(fabs((double)a->logprobs[at] - ((double)x[a->tokens[at]] - log_sum)) < 1e-5);
    for (int i = 0; i < n_top; i++) {
        const mqa_token_logprob *top = &a->top[at][i];
        assert_true(fabs((double)top->logprob - ((double)x[top->token] - log_sum)) < 1e-5);
        int before = 0; /* tokens that should stand before it */
        for (int t = 0; t < n_vocab; t++)
            before += x[t] > x[top->token] || (x[t] == x[top->token] && t < top->token);
        assert_int_equal(before, i);
    }
}

static void check_choice(rig *r, const mqa_request *q, int choice, const answer *a)
{
    int32_t text[1024], token;
    float *x = malloc((size_t)r->info.n_vocab * sizeof *x);
    void *scratch = malloc((size_t)r->info.n_vocab * 8);
    int64_t n = q->n_prompt;
    memcpy(text, q->prompt, (size_t)n * sizeof *text);
    OK(mqa_session_truncate(r->session, 0, 0, &err));
    mqa_eval_item item = {0, text, n, MQA_LOGITS_LAST, x};
    for (int i = 0;; i++) {
        OK(mqa_session_eval(r->session, &item, 1, NULL, &err));
        if (i < a->n && q->n_logprobs >= 0) check_logprobs(x, r->info.n_vocab, a, i, q->n_logprobs);
        change(q, text, n, x, r->info.n_vocab);
        mqa_sampling sampling = q->sampling;
        sampling.choice = (uint32_t)choice;
        OK(mqa_sample(&sampling, x, r->info.n_vocab, n, scratch, &token, &err));
        bool stops = token == 2 && !q->ignore_end;
        for (int k = 0; k < q->n_stop_tokens; k++) stops |= q->stop_tokens[k] == token;
        if (stops) {
            assert_true(a->n == i && a->finish == MQA_FINISH_STOP && a->ended_by == token);
            break;
        }
        assert_true(i < a->n);
        assert_int_equal(a->tokens[i], token);
        text[n++] = token;
        if (i + 1 == q->max_tokens) {
            assert_true(a->n == i + 1 && a->finish == MQA_FINISH_LENGTH);
            break;
        }
        item = (mqa_eval_item){0, text + n - 1, 1, MQA_LOGITS_LAST, x};
    }
    free(x);
    free(scratch);
}

/* ---- a mask ---- */

typedef struct masked {
    int64_t at[4]; /* positions, by choice */
    int n_vocab, releases, busy;
} masked;

static mqa_status fill(void *user, int choice, uint64_t *allowed, mqa_error *err)
{
    (void)err;
    masked *m = user;
    assert_int_equal(m->busy++, 0);
    for (int32_t t = 0; t < m->n_vocab; t++)
        if (is_allowed(t, m->at[choice])) allowed[t / 64] |= (uint64_t)1 << t % 64;
    m->busy--;
    return MQA_OK;
}

static mqa_status accept(void *user, int choice, int32_t token, mqa_error *err)
{
    (void)err;
    masked *m = user;
    assert_true(is_allowed(token, m->at[choice]));
    m->at[choice]++;
    return MQA_OK;
}

static void release(void *user)
{
    ((masked *)user)->releases++;
}

/* ---- tests ---- */

/* All requests at once, so that they are in each other's way as much as can be; a prompt without repetitions
 * and one that goes in circles, so that much is guessed. */
static void draws_are_those_of_a_plain_loop(void **state)
{
    (void)state;
    enum { N = 10, PROMPT = 150 };
    static const mqa_logit_bias bias[] = {{7, 3.5f}, {100, -INFINITY}, {12, -2}};
    static const int32_t stops[] = {40, 41, 42, 43};
    const synthetic *const models[] = {&small_gemma3, &small_llama};
    for (int m = 0; m < 4; m++) {
        synthetic_write(models[m % 2], path);
        rig r = rig_open(path, (rig_options){.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16});
        double now = 0;
        mqa_engine_options o = mqa_engine_options_default();
        o.now = even_clock;
        o.now_user = &now;
        mqa_engine *engine;
        OK(mqa_engine_create(r.model, &o, &engine, &err));
        engine->draft_seconds = 1e-3; /* so that much is guessed */
        int32_t *prompt = random_tokens(PROMPT, r.info.n_vocab, 9);
        for (int k = 5; k < PROMPT && m >= 2; k++) prompt[k] = prompt[k - 5];
        mqa_request q[N];
        reply *replies[N];
        masked masks[N] = {{{0}, 0, 0, 0}};
        for (int i = 0; i < N; i++) {
            q[i] = mqa_request_default();
            q[i].prompt = prompt;
            q[i].n_prompt = PROMPT - 7 * i;
            q[i].max_tokens = 60;
            q[i].ignore_end = i % 2;
            q[i].n_choices = 1 + i % 3;
            q[i].sampling = (mqa_sampling){.temperature = i % 5 == 4 ? 0 : 1.2f, .top_p = 1, .seed = 7};
            if (i % 4 == 1) q[i].sampling.top_k = 20, q[i].sampling.top_p = 0.9f, q[i].sampling.min_p = 0.01f;
            q[i].n_logprobs = i % 3 == 0 ? 5 : -1;
            if (i >= 2) q[i].repetition_penalty = 1.3f;
            if (i >= 3) q[i].frequency_penalty = 0.25f, q[i].presence_penalty = -0.5f;
            if (i >= 4) q[i].bias = bias, q[i].n_bias = 3;
            if (i >= 5) q[i].stop_tokens = stops, q[i].n_stop_tokens = 4;
            if (i >= 6) {
                for (int c = 0; c < 4; c++) masks[i].at[c] = q[i].n_prompt;
                masks[i].n_vocab = r.info.n_vocab;
                q[i].mask = (mqa_token_mask){fill, accept, release, &masks[i]};
            }
            replies[i] = submit(engine, &q[i]);
        }
        for (int i = 0; i < N; i++) run_until_over(engine, replies[i]);
        for (int i = 0; i < N; i++) {
            for (int c = 0; c < q[i].n_choices; c++) check_choice(&r, &q[i], c, &replies[i]->choices[c]);
            assert_int_equal(masks[i].releases, i >= 6);
            free(replies[i]);
        }
        const mqa_engine_stats s = stats_of(engine);
        assert_true(m < 2 || (s.accepted_tokens > 0 && s.drafted_tokens > s.accepted_tokens));
        free(prompt);
        mqa_engine_destroy(&engine);
        rig_close(&r);
    }
}

static mqa_status fill_nothing(void *user, int choice, uint64_t *allowed, mqa_error *err)
{
    (void)user, (void)choice, (void)allowed, (void)err;
    return MQA_OK;
}

static mqa_status fill_fails(void *user, int choice, uint64_t *allowed, mqa_error *err)
{
    (void)user, (void)allowed;
    if (choice == 0) {
        memset(allowed, 0xff, 300 / 8);
        return MQA_OK;
    }
    err->status = MQA_ERR_BUDGET;
    strcpy(err->message, "the grammar is too much");
    return MQA_ERR_BUDGET;
}

/* A choice that can't go on ends with what was wrong; others go on. */
static void a_mask_can_end_a_choice(void **state)
{
    (void)state;
    synthetic_write(&small_llama, path);
    rig r = rig_open(path, (rig_options){0});
    mqa_engine_options o = mqa_engine_options_default();
    mqa_engine *engine;
    OK(mqa_engine_create(r.model, &o, &engine, &err));
    int32_t *prompt = random_tokens(30, r.info.n_vocab, 9);
    mqa_request q = mqa_request_default();
    masked m = {{0}, 300, 0, 0};
    q.prompt = prompt;
    q.n_prompt = 30;
    q.max_tokens = 5;
    q.ignore_end = true;
    q.n_choices = 2;
    q.mask = (mqa_token_mask){fill_nothing, NULL, release, &m};
    reply *none = submit(engine, &q);
    q.mask.fill = fill_fails;
    reply *half = submit(engine, &q);
    run_until_over(engine, none);
    run_until_over(engine, half);
    assert_int_equal(none->finish, MQA_FINISH_ERROR);
    assert_int_equal(none->status, MQA_ERR_NOT_FINITE);
    assert_int_equal(half->choices[0].finish, MQA_FINISH_LENGTH);
    assert_int_equal(half->choices[0].n, 5);
    assert_int_equal(half->choices[1].finish, MQA_FINISH_ERROR);
    assert_int_equal(half->finish, MQA_FINISH_ERROR);
    assert_int_equal(half->status, MQA_ERR_BUDGET);
    assert_string_equal(half->message, "the grammar is too much");
    assert_int_equal(m.releases, 2);
    q.n_prompt = 0; /* refused: released all the same */
    mqa_submission s;
    assert_int_equal(mqa_engine_submit(engine, &q, &s, NULL), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(m.releases, 3);
    free(none), free(half), free(prompt);
    mqa_engine_destroy(&engine);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(draws_are_those_of_a_plain_loop),
                                       cmocka_unit_test(a_mask_can_end_a_choice)};
    return cmocka_run_group_tests_name("draws", tests, setup, teardown);
}
