/* A session's sequences on demand: forks give the bits of recomputing, budgets of accounts are never passed,
 * and what is said beforehand is what then happens.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rig.h"
#include "scratch_model.h"

#include "attention/plan.h"
#include "model/session.h"

enum { FIXED = 2, ON_DEMAND = 6, NUMBERS = FIXED + ON_DEMAND, LONGEST = 900 };

static mqa_session *make_session(mqa_model *model, int chunk, size_t budget)
{
    mqa_session_options o = mqa_session_options_default();
    o.context = LONGEST;
    o.max_sequences = FIXED;
    o.max_on_demand = ON_DEMAND;
    o.chunk = chunk;
    o.kv_budget_bytes = budget;
    mqa_session *session = NULL;
    OK(mqa_session_create(model, &o, &session, &err));
    return session;
}

/* ---- at random ---- */

/* What the session should hold. Tokens follow from where they stand and a sequence's seed, so that beginnings
 * are often the same. */
typedef struct world {
    rig r;
    mqa_session *session, *alone;
    mqa_account *account[2]; /* [0]: above [1] */
    struct {
        bool open;
        int64_t length;
        int32_t tokens[LONGEST];
    } s[NUMBERS];
    float *logits, *expected;
    uint32_t random;
} world;

static int64_t draw(world *w, int64_t below)
{
    return below > 0 ? (int64_t)(synthetic_random(&w->random) % (uint32_t)below) : 0;
}

static void check_budgets(const world *w)
{
    for (int i = 0; i < 2; i++) {
        mqa_account_usage u = {.struct_size = sizeof u};
        OK(mqa_account_get_usage(w->account[i], &u, &err));
        assert_true(u.budget == 0 || u.in_use <= u.budget);
    }
    mqa_account_usage u = {.struct_size = sizeof u};
    OK(mqa_account_get_usage(mqa_session_account(w->session), &u, &err));
    assert_true(u.in_use == mqa_session_kv_bytes(w->session) && u.in_use <= u.budget);
    assert_true(mqa_session_bytes_resident(w->session) <= u.budget);
}

static void check_logits(world *w, int which)
{
    const size_t bytes = (size_t)w->r.info.n_vocab * sizeof(float);
    OK(mqa_session_truncate(w->alone, 0, 0, &err));
    const mqa_eval_item item = {0, w->s[which].tokens, w->s[which].length, MQA_LOGITS_LAST, w->expected};
    OK(mqa_session_eval(w->alone, &item, 1, NULL, &err));
    assert_memory_equal(w->logits + (size_t)which * (size_t)w->r.info.n_vocab, w->expected, bytes);
}

static void op_eval(world *w)
{
    mqa_eval_item items[NUMBERS];
    int n = 0;
    const bool large = draw(w, 3) == 0;
    for (int i = 0; i < NUMBERS; i++) {
        const int64_t more = 1 + draw(w, large ? 250 : 20);
        if (!w->s[i].open || draw(w, 2) || w->s[i].length + more > LONGEST) continue;
        for (int64_t t = w->s[i].length; t < w->s[i].length + more; t++)
            w->s[i].tokens[t] = (int32_t)draw(w, w->r.info.n_vocab);
        items[n++] = (mqa_eval_item){i, w->s[i].tokens + w->s[i].length, more, MQA_LOGITS_LAST,
                                     w->logits + (size_t)i * (size_t)w->r.info.n_vocab};
    }
    mqa_cache_need need;
    OK(mqa_session_eval_need(w->session, items, n, &need, &err));
    const size_t before = mqa_session_kv_bytes(w->session);
    const mqa_status status = mqa_session_eval(w->session, items, n, NULL, NULL);
    assert_int_equal(status, need.taken <= need.available ? MQA_OK : MQA_ERR_BUDGET);
    if (status != MQA_OK) assert_int_equal(mqa_session_kv_bytes(w->session), before);
    for (int i = 0; i < n && status == MQA_OK; i++) w->s[items[i].sequence].length += items[i].n_tokens;
    for (int i = 0; i < NUMBERS; i++) assert_int_equal(mqa_session_length(w->session, i), w->s[i].length);
    if (n > 0 && status == MQA_OK) check_logits(w, items[draw(w, n)].sequence);
}

static void op_fork(world *w)
{
    int from = (int)draw(w, NUMBERS), to = (int)draw(w, NUMBERS);
    const int64_t length = w->s[from].length - draw(w, draw(w, 2) ? 3 : w->s[from].length + 1);
    const bool can = w->s[from].open && length >= 0 && mqa_session_can_fork(w->session, from, length);
    const bool fits = w->s[to].open && w->s[to].length == 0 && from != to;
    const mqa_status status = mqa_session_fork(w->session, from, length, to, NULL);
    if (!can || !fits) {
        assert_int_equal(status, MQA_ERR_INVALID_ARGUMENT);
        return;
    }
    assert_true(status == MQA_OK || status == MQA_ERR_BUDGET);
    if (status != MQA_OK) return;
    memcpy(w->s[to].tokens, w->s[from].tokens, (size_t)length * sizeof(int32_t));
    w->s[to].length = length;
}

static void op_open_or_close(world *w)
{
    int n_open = 0;
    for (int i = FIXED; i < NUMBERS; i++) n_open += w->s[i].open;
    if (draw(w, 3)) {
        int number = -1;
        const mqa_status status = mqa_session_open(w->session, &number, NULL);
        assert_int_equal(status, n_open < ON_DEMAND ? MQA_OK : MQA_ERR_BUDGET);
        if (status != MQA_OK) return;
        assert_true(number >= FIXED && number < NUMBERS && !w->s[number].open);
        w->s[number].open = true;
        w->s[number].length = 0;
        OK(mqa_session_set_account(w->session, number, w->account[draw(w, 2)], &err));
        return;
    }
    const int number = (int)draw(w, NUMBERS);
    mqa_session_close(w->session, number);
    w->s[number].open = number < FIXED;
    w->s[number].length = 0;
}

static void random_life(const synthetic *m, uint32_t seed, int n_steps)
{
    static world w;
    memset(&w, 0, sizeof w);
    w.random = seed;
    w.r = rig_open(path, (rig_options){.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16});
    const mqa_cache_config page = {.struct_size = sizeof page,
                                   .n_layers = 1,
                                   .n_kv_heads = m->n_kv_heads,
                                   .head_dim_qk = m->head_dim,
                                   .head_dim_vo = m->head_dim,
                                   .k_type = MQA_KV_BF16,
                                   .v_type = MQA_KV_BF16};
    const size_t unit = mqa_cache_page_bytes(&page);
    w.session = make_session(w.r.model, 1 + (int)draw(&w, 200), unit * (size_t)(40 + draw(&w, 250)));
    w.alone = make_session(w.r.model, 512, 0);
    OK(mqa_account_create(w.r.ctx, mqa_session_account(w.session), unit * (size_t)draw(&w, 200),
                          &w.account[0], &err));
    OK(mqa_account_create(w.r.ctx, w.account[0], unit * (size_t)draw(&w, 100), &w.account[1], &err));
    w.logits = malloc((size_t)NUMBERS * (size_t)w.r.info.n_vocab * sizeof(float));
    w.expected = malloc((size_t)w.r.info.n_vocab * sizeof(float));
    for (int i = 0; i < FIXED; i++) w.s[i].open = true;
    for (int step = 0; step < n_steps; step++) {
        const int64_t what = draw(&w, 10), number = draw(&w, NUMBERS);
        if (what < 4)
            op_eval(&w);
        else if (what < 6)
            op_fork(&w);
        else if (what < 8)
            op_open_or_close(&w);
        else if (what < 9)
            mqa_session_keep(w.session, (int)number, draw(&w, 2));
        else
            mqa_session_evict(w.session, (int)number);
        check_budgets(&w);
    }
    for (int i = 0; i < NUMBERS; i++) mqa_session_close(w.session, i);
    assert_int_equal(mqa_session_kv_bytes(w.session), 0);
    mqa_account_destroy(&w.account[0]);
    mqa_account_destroy(&w.account[1]);
    mqa_session_destroy(&w.session);
    mqa_session_destroy(&w.alone);
    free(w.logits);
    free(w.expected);
    rig_close(&w.r);
}

static void forks_come_to_what_recomputing_does(void **state)
{
    (void)state;
    const synthetic *const models[] = {&small_gemma3, &small_llama};
    for (int m = 0; m < 2; m++) {
        synthetic_write(models[m], path);
        for (uint32_t seed = 1; seed <= 6; seed++) random_life(models[m], seed * 77 + (uint32_t)m, 60);
    }
}

/* ---- what is said beforehand ---- */

/* The most bytes, for every cut of the tokens that a generator of lengths draws, and met by one at least. */
static void the_most_bytes_are_met_and_not_passed(void **state)
{
    (void)state;
    enum { N = 420, PART = 50 };
    const synthetic *const models[] = {&small_gemma3, &small_llama};
    for (int m = 0; m < 2; m++) {
        synthetic_write(models[m], path);
        rig r = rig_open(path, (rig_options){.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16});
        mqa_session *session = make_session(r.model, 512, 0);
        int32_t *tokens = random_tokens(N, r.info.n_vocab, 5);
        const mqa_session_most most = mqa_session_most_bytes(session, 0, N, PART);
        uint32_t random = 3;
        size_t seen = 0;
        for (int trial = 0; trial < 30; trial++) {
            mqa_session_close(session, 0);
            for (int done = 0, part; done < N; done += part) {
                part = 1 + (int)(synthetic_random(&random) % PART);
                if (part > N - done) part = N - done;
                const mqa_eval_item item = {0, tokens + done, part, MQA_LOGITS_NONE, NULL};
                OK(mqa_session_eval(session, &item, 1, NULL, &err));
                const mqa_cache *windows = session->kind[MQA_LAYER_WINDOW].cache;
                const size_t now = windows ? mqa_cache_bytes_in_use(windows) : 0;
                assert_true(now <= most.window_bytes);
                assert_true(mqa_session_kv_bytes(session) - now <= most.bytes);
                if (now > seen) seen = now;
                mqa_session_evict(session, 0);
            }
        }
        assert_int_equal(seen, most.window_bytes);
        assert_int_equal(mqa_cache_bytes_in_use(session->kind[MQA_LAYER_GLOBAL].cache), most.bytes);
        const mqa_session_most shared = mqa_session_most_bytes(session, 200, N, PART);
        assert_int_equal(most.bytes - shared.bytes, 3 * session->kind[MQA_LAYER_GLOBAL].page_bytes);
        assert_int_equal(mqa_session_most_bytes(session, 0, 0, 1).bytes, 0);
        free(tokens);
        mqa_session_destroy(&session);
        rig_close(&r);
    }
}

/* Rows of forks see their common pages together; a fork's copy is charged to the fork's account. */
static void forks_are_one_cascade(void **state)
{
    (void)state;
    enum { N = 700 };
    synthetic_write(&small_llama, path);
    rig r = rig_open(path, (rig_options){.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16});
    mqa_session *session = make_session(r.model, 512, 0);
    int32_t *tokens = random_tokens(N, r.info.n_vocab, 5);
    mqa_eval_item items[ON_DEMAND] = {{0, tokens, N, MQA_LOGITS_NONE, NULL}};
    OK(mqa_session_eval(session, items, 1, NULL, &err));
    mqa_account *account;
    OK(mqa_account_create(r.ctx, mqa_session_account(session), 0, &account, &err));
    for (int i = 0; i < ON_DEMAND; i++) {
        int number;
        OK(mqa_session_open(session, &number, &err));
        OK(mqa_session_set_account(session, number, account, &err));
        OK(mqa_session_fork(session, 0, N - i, number, &err));
        items[i] = (mqa_eval_item){number, tokens, 1, MQA_LOGITS_NONE, NULL};
    }
    mqa_account_usage usage = {.struct_size = sizeof usage};
    OK(mqa_account_get_usage(account, &usage, &err));
    assert_int_equal(usage.in_use, ON_DEMAND * session->kind[MQA_LAYER_GLOBAL].page_bytes);
    mqa_account_destroy(&account);
    OK(mqa_session_eval(session, items, ON_DEMAND, NULL, &err));
    const mqa_plan *plan = session->kind[MQA_LAYER_GLOBAL].plan;
    for (int i = 0; i < ON_DEMAND; i++) assert_int_equal(plan->items[i].n_shared, 1); /* span of 512 */
    free(tokens);
    mqa_session_destroy(&session);
    rig_close(&r);
}

static void wrong_numbers_change_nothing(void **state)
{
    (void)state;
    synthetic_write(&small_gemma3, path);
    rig r = rig_open(path, (rig_options){.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16});
    mqa_session *session = make_session(r.model, 64, 0);
    const int32_t token = 1;
    mqa_account *other;
    OK(mqa_account_create(r.ctx, NULL, 0, &other, &err));
    for (int number = -1; number <= NUMBERS; number++) {
        if (number == 0 || number == 1) continue;
        const mqa_eval_item item = {number, &token, 1, MQA_LOGITS_NONE, NULL};
        assert_int_equal(mqa_session_eval(session, &item, 1, NULL, NULL), MQA_ERR_INVALID_ARGUMENT);
        assert_int_equal(mqa_session_fork(session, 0, 0, number, NULL), MQA_ERR_INVALID_ARGUMENT);
        assert_int_equal(mqa_session_fork(session, number, 0, 0, NULL), MQA_ERR_INVALID_ARGUMENT);
        assert_int_equal(mqa_session_truncate(session, number, 0, NULL), MQA_ERR_INVALID_ARGUMENT);
        assert_int_equal(mqa_session_set_account(session, number, mqa_session_account(session), NULL),
                         MQA_ERR_INVALID_ARGUMENT);
        assert_false(mqa_session_can_fork(session, number, 0));
        assert_int_equal(mqa_session_length(session, number), 0);
        assert_int_equal(mqa_session_bytes(session, number), 0);
        mqa_session_close(session, number);
        mqa_session_keep(session, number, true);
        assert_int_equal(mqa_session_evict(session, number), 0);
    }
    assert_int_equal(mqa_session_set_account(session, 0, other, NULL), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_session_set_account(session, 0, NULL, NULL), MQA_ERR_INVALID_ARGUMENT);
    mqa_account_destroy(&other);
    mqa_session_destroy(&session);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forks_come_to_what_recomputing_does),
        cmocka_unit_test(the_most_bytes_are_met_and_not_passed),
        cmocka_unit_test(forks_are_one_cascade),
        cmocka_unit_test(wrong_numbers_change_nothing),
    };
    return cmocka_run_group_tests_name("sequences", tests, setup, teardown);
}
