/* The engine on the real models, where they are at hand: tenants, shared and own beginnings of a long text,
 * budgets that are too small for all at once, both admissions. Answers are those of the requests alone.
 * Models: the folder MQA_MODELS, else models/ in the source.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "../model/real.h"
#include "engine_rig.h"

#include <stdio.h>
#include <unistd.h>

static const char text_path[] = "/usr/share/common-licenses/GPL-3";

typedef struct real_model {
    const char *file;
    size_t budget;
} real_model;
static const real_model gemma3 = {"gemma-3-270m-q4_k_m.gguf", (size_t)90 << 20};
static const real_model smollm2 = {"SmolLM2-135M-Instruct.Q4_1.gguf", (size_t)100 << 20};

enum { REQUESTS = 18, TENANTS = 3, COMMON = 1300, CHECKED = 6 };

static void encode_text(const rig *r, mqa_tokens *tokens)
{
    static char text[40000];
    FILE *f = fopen(text_path, "r");
    if (!f) skip();
    const size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    OK(mqa_tokenizer_encode(mqa_model_tokenizer(r->model), text, n, MQA_ENCODE_ADD_SPECIAL, tokens, &err));
    assert_true(tokens->n > COMMON + 1000);
}

/* Most begin with the same long text, and then go on with parts of it that differ. */
static void make_request(mqa_request *q, int32_t *prompt, const mqa_tokens *text, int i)
{
    static const char *const names[TENANTS] = {"one", "two", "three"};
    const int64_t common = i % 5 == 4 ? 1 : COMMON - 100 * (i % 2), own = 20 + 17 * (i % 6);
    memcpy(prompt, text->ids, (size_t)common * sizeof *prompt);
    memcpy(prompt + common, text->ids + COMMON + 30 * i, (size_t)own * sizeof *prompt);
    *q = mqa_request_default();
    q->tenant = names[i % TENANTS];
    q->prompt = prompt;
    q->n_prompt = common + own;
    q->max_tokens = 12 + i;
    q->n_choices = 1 + (i % 7 == 3);
    q->sampling.seed = (uint64_t)i / 2;
    q->n_logprobs = i % 4 == 0 ? 2 : -1;
}

static void run_model(const real_model *m, mqa_admission admission)
{
    rig r = rig_open(real_model_path(m->file), (rig_options){.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16});
    mqa_tokens text = {0};
    encode_text(&r, &text);
    mqa_engine_options o = mqa_engine_options_default();
    o.kv_budget_bytes = m->budget;
    o.admission = admission;
    mqa_engine *engine;
    OK(mqa_engine_create(r.model, &o, &engine, &err));
    static const char *const names[TENANTS] = {"one", "two", "three"};
    for (int i = 0; i < TENANTS; i++) {
        const mqa_tenant_options t = {.struct_size = sizeof t, .budget_bytes = i ? m->budget / 2 : 0};
        OK(mqa_engine_tenant_set(engine, names[i], &t, &err));
    }
    static int32_t prompts[REQUESTS][2048];
    mqa_request q[REQUESTS];
    reply *replies[REQUESTS];
    for (int i = 0; i < REQUESTS; i++) make_request(&q[i], prompts[i], &text, i);
    int n = 0, over = 0;
    for (int steps = 0; over < REQUESTS; steps++) {
        assert_true(steps < 5000);
        while (n < REQUESTS && n < 4 + 2 * steps) {
            replies[n] = submit(engine, &q[n]);
            n++;
        }
        if (steps == 12) mqa_engine_cancel(engine, replies[5]->id);
        step(engine);
        assert_budgets_kept(engine, admission);
        over = 0;
        for (int i = 0; i < n; i++) {
            take_events(engine, replies[i]);
            over += replies[i]->over;
        }
    }
    const mqa_engine_stats s = stats_of(engine);
    print_message("%s, %s: %llu tokens cached of %llu, %llu evicted, %llu preempted\n", m->file,
                  mqa_admission_name(admission), (unsigned long long)s.cached_tokens,
                  (unsigned long long)s.prompt_tokens, (unsigned long long)s.evicted,
                  (unsigned long long)s.preempted);
    assert_true(s.cached_tokens > s.prompt_tokens / 3);
    for (int i = 0; i < CHECKED; i++) {
        const int which = (i * 7 + (int)admission) % REQUESTS;
        reply *expected = alone(r.model, &q[which]);
        assert_begins(replies[which], expected);
        if (which != 5) assert_same(replies[which], expected);
        free(expected);
    }
    for (int i = 0; i < REQUESTS; i++) free(replies[i]);
    mqa_engine_destroy(&engine);
    mqa_tokens_free(&text);
    rig_close(&r);
}

/* A text twice, to be said a third time: much of it can be guessed. Greedy and sampled, two choices, all
 * sharing the beginning; and what was guessed wrongly leaves no trace. */
static void repeat_a_text(const real_model *m)
{
    enum { TWICE = 240, N = 4 };
    rig r = rig_open(real_model_path(m->file), (rig_options){.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16});
    mqa_tokens text = {0};
    encode_text(&r, &text);
    int32_t prompt[2 * TWICE + 20];
    for (int i = 0; i < 2 * TWICE + 20; i++) prompt[i] = text.ids[i % TWICE];
    mqa_engine_options o = mqa_engine_options_default();
    mqa_engine *engine;
    OK(mqa_engine_create(r.model, &o, &engine, &err));
    for (int i = 0; i < N; i++) {
        mqa_request q = mqa_request_default();
        q.prompt = prompt;
        q.n_prompt = 2 * TWICE + 5 * i;
        q.max_tokens = 80;
        q.n_choices = 1 + i % 2;
        q.sampling.temperature = 0.4f * (float)i;
        q.sampling.seed = (uint64_t)i;
        q.n_logprobs = 2;
        if (i == 3) q.frequency_penalty = 0.1f;
        reply *got = submit(engine, &q), *expected = alone(r.model, &q);
        run_until_over(engine, got);
        assert_same(got, expected);
        free(got), free(expected);
    }
    const mqa_engine_stats s = stats_of(engine);
    print_message("%s: of %llu tokens %llu guessed, %llu held\n", m->file,
                  (unsigned long long)s.generated_tokens, (unsigned long long)s.drafted_tokens,
                  (unsigned long long)s.accepted_tokens);
    assert_true(s.accepted_tokens > 40);
    mqa_engine_destroy(&engine);
    mqa_tokens_free(&text);
    rig_close(&r);
}

static void gemma_repeats(void **state)
{
    (void)state;
    repeat_a_text(&gemma3);
}

static void smollm2_repeats(void **state)
{
    (void)state;
    repeat_a_text(&smollm2);
}

static void gemma_reserve(void **state)
{
    (void)state;
    run_model(&gemma3, MQA_ADMISSION_RESERVE);
}

static void gemma_overcommit(void **state)
{
    (void)state;
    run_model(&gemma3, MQA_ADMISSION_OVERCOMMIT);
}

static void smollm2_reserve(void **state)
{
    (void)state;
    run_model(&smollm2, MQA_ADMISSION_RESERVE);
}

static void smollm2_overcommit(void **state)
{
    (void)state;
    run_model(&smollm2, MQA_ADMISSION_OVERCOMMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gemma_reserve),   cmocka_unit_test(gemma_overcommit),
        cmocka_unit_test(smollm2_reserve), cmocka_unit_test(smollm2_overcommit),
        cmocka_unit_test(gemma_repeats),   cmocka_unit_test(smollm2_repeats)};
    return cmocka_run_group_tests_name("engine_real", tests, NULL, NULL);
}
