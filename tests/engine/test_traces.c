/* The engine under everything at once: random requests of several tenants, with beginnings in common,
 * cancelled, closed, preempted, under small budgets. Each answer is that of the request alone, no budget is
 * ever passed, nothing leaks, and all that was let in ends.
 *
 * MQA_TRACES: how many (20); MQA_SEED: the first one's (1).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "engine_rig.h"

#include "../model/synthetic.h"

#include "model/session.h"

enum { TENANTS = 3, REQUESTS = 24, LONGEST_PROMPT = 420, STEMS = 4 };

typedef struct trace {
    uint32_t random;
    rig r;
    mqa_engine *engine;
    mqa_engine_options options;
    double time;
    int32_t stems[STEMS][LONGEST_PROMPT];
    int32_t prompts[REQUESTS][LONGEST_PROMPT];
    int32_t stops[REQUESTS][2];
    mqa_logit_bias bias[REQUESTS][3];
    mqa_request requests[REQUESTS];
    reply *replies[REQUESTS];
    bool closed[REQUESTS];
    int n_submitted;
    bool long_answers; /* to short prompts: what was let in grows */
    bool crowded;      /* and there is room for a few of many */
} trace;

static char path[64];
static const char *const names[TENANTS] = {"one", "two", "three"};

static int64_t draw(trace *t, int64_t below)
{
    return below > 0 ? (int64_t)(synthetic_random(&t->random) % (uint32_t)below) : 0;
}

/* Steps seem to take any time, so that the rows of prompts vary. */
static double odd_clock(void *user)
{
    trace *t = user;
    t->time += (double)(synthetic_random(&t->random) % 1000) * 1e-5;
    return t->time;
}

/* ---- requests ---- */

static void make_requests(trace *t)
{
    const int n_vocab = t->r.info.n_vocab;
    for (int s = 0; s < STEMS; s++) {
        /* Later stems go on from earlier ones. */
        const int64_t common = s ? draw(t, LONGEST_PROMPT) : 0;
        if (s) memcpy(t->stems[s], t->stems[draw(t, s)], (size_t)common * sizeof(int32_t));
        /* Some go in circles, so that what comes next is easily guessed, rightly or not. */
        const int64_t circle = draw(t, 2) ? 1 + draw(t, 12) : LONGEST_PROMPT;
        for (int64_t i = common; i < LONGEST_PROMPT; i++)
            t->stems[s][i] =
                i < common + circle ? 3 + (int32_t)draw(t, n_vocab - 3) : t->stems[s][i - circle];
    }
    for (int i = 0; i < REQUESTS; i++) {
        mqa_request *q = &t->requests[i];
        *q = mqa_request_default();
        q->tenant = names[draw(t, TENANTS)];
        q->n_prompt = 1 + draw(t, draw(t, 2) ? LONGEST_PROMPT : 80);
        q->prompt = t->prompts[i];
        const int64_t own = draw(t, 3) ? draw(t, 20) : 0;
        memcpy(t->prompts[i], t->stems[draw(t, STEMS)], (size_t)q->n_prompt * sizeof(int32_t));
        for (int64_t k = q->n_prompt > own ? q->n_prompt - own : 0; k < q->n_prompt; k++)
            t->prompts[i][k] = (int32_t)draw(t, n_vocab);
        q->max_tokens = 1 + draw(t, draw(t, 4) ? 30 : 150);
        q->n_choices = draw(t, 4) ? 1 : 1 + (int)draw(t, 4);
        q->sampling.seed = (uint64_t)draw(t, 5);
        q->sampling.temperature = draw(t, 4) ? 1.0f : 0;
        q->ignore_end = draw(t, 2);
        if (t->long_answers) {
            q->n_prompt = 1 + draw(t, 60);
            q->max_tokens = 1 + draw(t, 300);
            q->ignore_end = true;
        }
        q->no_cache = draw(t, 8) == 0;
        q->n_logprobs = (int)draw(t, 5) - 1;
        q->priority = (int)draw(t, 3);
        if (draw(t, 3) == 0) q->frequency_penalty = (float)draw(t, 20) / 8;
        if (draw(t, 3) == 0) q->presence_penalty = (float)draw(t, 20) / 8;
        if (draw(t, 3) == 0) q->repetition_penalty = 1 + (float)draw(t, 20) / 16;
        for (int k = 0; k < 3; k++)
            t->bias[i][k] = (mqa_logit_bias){(int32_t)(3 + 7 * k + draw(t, 7)), (float)draw(t, 9) - 4};
        q->bias = t->bias[i];
        q->n_bias = (int)draw(t, 4);
        t->stops[i][0] = (int32_t)draw(t, n_vocab), t->stops[i][1] = (int32_t)draw(t, n_vocab);
        q->stop_tokens = t->stops[i];
        q->n_stop_tokens = (int)draw(t, 3);
    }
}

/* ---- the trace ---- */

/* Sometimes just what one of the requests takes at worst, or little more. */
static void set_tenant(trace *t, int which, size_t unit)
{
    mqa_tenant_options o = {.struct_size = sizeof o,
                            .budget_bytes = draw(t, 3) ? unit * (size_t)(30 + draw(t, 150)) : 0,
                            .weight = (int)draw(t, 4)};
    if (draw(t, 2)) {
        const mqa_request *q = &t->requests[draw(t, REQUESTS)];
        o.budget_bytes = mqa_engine_request_bytes(t->engine, q->n_prompt, q->max_tokens, 1) +
                         unit * (size_t)draw(t, draw(t, 2) ? 3 : 20);
    }
    if (t->crowded || (t->long_answers && draw(t, 3))) o.budget_bytes = 0;
    OK(mqa_engine_tenant_set(t->engine, names[which], &o, &err));
}

static void open_engine(trace *t, const synthetic *m)
{
    t->r = rig_open(path, (rig_options){.threads = 1 + (int)draw(t, 3)});
    t->options = mqa_engine_options_default();
    const mqa_cache_config page = {.struct_size = sizeof page,
                                   .n_layers = m->n_layers,
                                   .n_kv_heads = m->n_kv_heads,
                                   .head_dim_qk = m->head_dim,
                                   .head_dim_vo = m->head_dim,
                                   .k_type = MQA_KV_BF16,
                                   .v_type = MQA_KV_BF16};
    const size_t unit = mqa_cache_page_bytes(&page);
    t->options.kv_budget_bytes = unit * (size_t)(draw(t, 2) ? 12 + draw(t, 40) : 1000);
    t->options.admission = draw(t, 2) ? MQA_ADMISSION_RESERVE : MQA_ADMISSION_OVERCOMMIT;
    if (t->crowded) t->options.admission = MQA_ADMISSION_OVERCOMMIT;
    t->long_answers = t->crowded || (t->options.admission == MQA_ADMISSION_OVERCOMMIT && draw(t, 3));
    if (t->long_answers) t->options.kv_budget_bytes = unit * (size_t)(8 + draw(t, 8));
    t->options.chunk = (int)(1 + draw(t, 4)) * 64;
    if (draw(t, 4) == 0) t->options.chunk = 8 + (int)draw(t, 30);
    t->options.max_running = 4 + (int)draw(t, t->options.chunk - 4 < 20 ? t->options.chunk - 4 : 20);
    t->options.max_checkpoints = 1 + (int)draw(t, draw(t, 2) ? 4 : 50);
    t->options.checkpoint_tokens = 64 * (1 + draw(t, 4));
    t->options.no_prefix_cache = draw(t, 8) == 0;
    t->options.draft_max = draw(t, 4) ? (int)draw(t, 64) : 0;
    if (t->crowded) t->options.chunk = 64, t->options.max_running = 16 + (int)draw(t, 16);
    t->options.now = odd_clock;
    t->options.now_user = t;
    if (draw(t, 4)) t->options.spill_dir = "/tmp";
    if (draw(t, 3) == 0) t->options.spill_limit = (size_t)draw(t, (int64_t)t->options.kv_budget_bytes);
    OK(mqa_engine_create(t->r.model, &t->options, &t->engine, &err));
    make_requests(t);
    for (int i = 0; i < TENANTS; i++) set_tenant(t, i, unit / (size_t)m->n_layers);
}

/* The next turn of a conversation: what an answer came to, with or without something new behind it. */
static void continue_an_answer(trace *t, mqa_request *q, int32_t *prompt)
{
    const int j = (int)draw(t, t->n_submitted);
    const reply *r = t->replies[j];
    if (!r || t->requests[j].n_prompt + r->choices[0].n > LONGEST_PROMPT) return;
    const int64_t before = t->requests[j].n_prompt, n = r->choices[0].n;
    memmove(prompt, t->prompts[j], (size_t)before * sizeof *prompt);
    memcpy(prompt + before, r->choices[0].tokens, (size_t)n * sizeof *prompt);
    q->n_prompt = before + n - (n > 0 ? draw(t, 2) : 0);
    q->tenant = t->requests[j].tenant;
    for (int64_t more = draw(t, 3) ? 0 : draw(t, 9); more > 0 && q->n_prompt < LONGEST_PROMPT; more--)
        prompt[q->n_prompt++] = (int32_t)draw(t, t->r.info.n_vocab);
}

static void submit_next(trace *t)
{
    const int i = t->n_submitted++;
    if (i > 0 && draw(t, 3) == 0) continue_an_answer(t, &t->requests[i], t->prompts[i]);
    mqa_request q = t->requests[i];
    if (draw(t, 12) == 0 && !t->crowded) q.wait_seconds = 0.05;
    if (draw(t, 12) == 0 && !t->crowded) q.total_seconds = 0.2;
    mqa_submission s;
    const mqa_status status = mqa_engine_submit(t->engine, &q, &s, NULL);
    t->closed[i] = true;
    if (s.refusal == MQA_REFUSAL_TOO_LARGE) {
        assert_true(status == MQA_ERR_BUDGET && s.needed > s.available);
        return;
    }
    assert_int_equal(status, MQA_OK);
    t->closed[i] = false;
    t->replies[i] = calloc(1, sizeof(reply));
    t->replies[i]->id = s.id;
    t->replies[i]->n_choices = q.n_choices;
}

static bool all_over(const trace *t)
{
    bool over = t->n_submitted == REQUESTS;
    for (int i = 0; i < t->n_submitted; i++) over &= t->closed[i] || t->replies[i]->over;
    return over;
}

static void run_trace(trace *t)
{
    for (int steps = 0; !all_over(t); steps++) {
        assert_true(steps < 20000);
        while (t->n_submitted < REQUESTS && draw(t, 3) == 0) submit_next(t);
        const int which = (int)draw(t, REQUESTS);
        if (which < t->n_submitted && !t->closed[which] && draw(t, 40) == 0) {
            if (draw(t, 2)) {
                mqa_engine_close(t->engine, t->replies[which]->id);
                t->closed[which] = true;
            } else {
                mqa_engine_cancel(t->engine, t->replies[which]->id);
            }
        }
        step(t->engine);
        assert_budgets_kept(t->engine, t->options.admission);
        for (int i = 0; i < t->n_submitted; i++)
            if (!t->closed[i]) take_events(t->engine, t->replies[i]);
    }
}

static void compare_answers(trace *t, int *compared)
{
    for (int i = 0; i < REQUESTS; i++) {
        if (!t->replies[i]) continue;
        reply *expected = alone(t->r.model, &t->requests[i]);
        const bool whole = t->replies[i]->over && t->replies[i]->finish <= MQA_FINISH_LENGTH;
        if (whole)
            assert_same(t->replies[i], expected);
        else
            assert_begins(t->replies[i], expected);
        *compared += whole;
        free(expected);
    }
}

static void nothing_is_left(trace *t)
{
    const mqa_engine_stats s = stats_of(t->engine);
    assert_true(s.waiting == 0 && s.running == 0 && s.choices == 0 && s.bytes_spilled == 0);
    assert_int_equal(s.bytes_in_use, s.bytes_kept); /* only beginnings */
    assert_true(!t->options.no_prefix_cache || s.bytes_in_use == 0);
    for (int i = 0; i < TENANTS; i++) OK(mqa_engine_tenant_remove(t->engine, names[i], &err));
    step(t->engine);
    assert_int_equal(stats_of(t->engine).bytes_in_use, 0);
    assert_int_equal(stats_of(t->engine).checkpoints, 0);
}

static void one_trace(const synthetic *m, uint32_t seed, bool crowded, mqa_engine_stats *sum, int *compared)
{
    trace *t = calloc(1, sizeof *t);
    t->crowded = crowded;
    t->random = seed * 2654435761u;
    open_engine(t, m);
    run_trace(t);
    compare_answers(t, compared);
    const mqa_engine_stats s = stats_of(t->engine);
    sum->preempted += s.preempted;
    sum->spilled += s.spilled;
    sum->restored += s.restored;
    sum->spill_errors += s.spill_errors;
    sum->cached_tokens += s.cached_tokens;
    sum->evicted += s.evicted;
    sum->refused += s.refused;
    sum->expired += s.expired;
    sum->failed += s.failed;
    sum->drafted_tokens += s.drafted_tokens;
    sum->accepted_tokens += s.accepted_tokens;
    nothing_is_left(t);
    mqa_engine_destroy(&t->engine);
    for (int i = 0; i < REQUESTS; i++) free(t->replies[i]);
    rig_close(&t->r);
    free(t);
}

static long number(const char *variable, long otherwise)
{
    const char *text = getenv(variable);
    return text ? strtol(text, NULL, 10) : otherwise;
}

static void answers_are_those_of_requests_alone(void **state)
{
    (void)state;
    strcpy(path, "/tmp/mqa-traces-XXXXXX");
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    const synthetic *const models[] = {&small_gemma3, &small_llama};
    const uint32_t first = (uint32_t)number("MQA_SEED", 1), n = (uint32_t)number("MQA_TRACES", 20);
    mqa_engine_stats sum = {0};
    int compared = 0;
    for (uint32_t seed = first; seed < first + n; seed++) {
        if (n < 20) print_message("seed %u\n", seed);
        synthetic_write(models[seed % 2], path);
        one_trace(models[seed % 2], seed, false, &sum, &compared);
        if (seed % 2 == 0) {
            synthetic_write(&small_llama, path);
            one_trace(&small_llama, seed, true, &sum, &compared);
        }
    }
    unlink(path);
    print_message("%d answers compared; %llu preempted, %llu spilled, %llu restored, %llu tokens cached, "
                  "%llu evicted, %llu refused, %llu expired; of %llu tokens guessed %llu held\n",
                  compared, (unsigned long long)sum.preempted, (unsigned long long)sum.spilled,
                  (unsigned long long)sum.restored, (unsigned long long)sum.cached_tokens,
                  (unsigned long long)sum.evicted, (unsigned long long)sum.refused,
                  (unsigned long long)sum.expired, (unsigned long long)sum.drafted_tokens,
                  (unsigned long long)sum.accepted_tokens);
    assert_int_equal(sum.failed, 0);
    assert_int_equal(sum.spill_errors, 0);
    /* What the traces are for did happen. */
    if (n >= 20)
        assert_true(sum.preempted > sum.spilled && sum.spilled > sum.restored && sum.restored > 0 &&
                    sum.cached_tokens > 0 && sum.evicted > 0 && sum.expired > 0 && sum.accepted_tokens > 0 &&
                    sum.drafted_tokens > sum.accepted_tokens);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers_are_those_of_requests_alone)};
    return cmocka_run_group_tests_name("traces", tests, NULL, NULL);
}
