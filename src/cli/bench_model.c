/* mqa bench model: prompts of P tokens (pp) and generation of N tokens (tg), each behind D tokens of
 * context, as llama-bench measures them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

typedef struct model_bench {
    cli_common common;
    const char *path;
    cli_list prompts, generations, depths;
    int64_t repeats;

    mqa_context *ctx;
    mqa_model *model;
    mqa_session *session;
    int n_vocab;
    float *logits;
    int32_t *tokens; /* as many random ones as the longest test evaluates */
} model_bench;

static int64_t largest(const cli_list *list)
{
    int64_t max = 0;
    for (int i = 0; i < list->n; i++) max = list->at[i] > max ? list->at[i] : max;
    return max;
}

static mqa_status eval(model_bench *b, int64_t from, int64_t n, mqa_logits want, mqa_error *err)
{
    mqa_eval_item item = {.tokens = b->tokens + from, .n_tokens = n, .want = want, .logits = b->logits};
    return mqa_session_eval(b->session, &item, 1, &cli_stop, err);
}

/* Brings the sequence to depth: back from beyond it where the windows still hold the pages, else anew. */
static mqa_status go_to(model_bench *b, int64_t depth, mqa_error *err)
{
    if (depth > 0 && mqa_session_length(b->session, 0) >= depth &&
        mqa_session_truncate(b->session, 0, depth, err) == MQA_OK)
        return MQA_OK;
    mqa_status status = mqa_session_truncate(b->session, 0, 0, err);
    return status == MQA_OK && depth > 0 ? eval(b, 0, depth, MQA_LOGITS_NONE, err) : status;
}

static mqa_status once(model_bench *b, bool generate, int64_t n, int64_t depth, double *seconds,
                       mqa_error *err)
{
    mqa_status status = go_to(b, depth, err);
    if (status != MQA_OK) return status;
    double t0 = cli_now();
    if (generate)
        for (int64_t i = 0; status == MQA_OK && i < n; i++)
            status = eval(b, depth + i, 1, MQA_LOGITS_LAST, err);
    else
        status = eval(b, depth, n, MQA_LOGITS_LAST, err);
    *seconds = cli_now() - t0;
    return status;
}

static mqa_status test(model_bench *b, bool generate, int64_t n, int64_t depth, mqa_error *err)
{
    double seconds[BENCH_MAX_REPEATS];
    /* The first run is the warm-up; for generation a short one does. */
    int64_t warm = generate && n > 4 ? 4 : n;
    mqa_status status = once(b, generate, warm, depth, &seconds[0], err);
    for (int i = 0; status == MQA_OK && i < b->repeats; i++)
        status = once(b, generate, n, depth, &seconds[i], err);
    if (status != MQA_OK) return status;

    int repeats = (int)b->repeats;
    bench_sort(seconds, repeats);
    double rate = (double)n / bench_median(seconds, repeats);
    double best = (double)n / seconds[0], worst = (double)n / seconds[repeats - 1];
    char name[32];
    snprintf(name, sizeof name, "%s%lld", generate ? "tg" : "pp", (long long)n);
    if (b->common.json)
        cli_print_json(json_pack("{s:s, s:s, s:I, s:f, s:f, s:f, s:i, s:i, s:s}", "bench", "model", "test",
                                 name, "depth", (json_int_t)depth, "tokens_per_s", rate, "tokens_per_s_min",
                                 worst, "tokens_per_s_max", best, "repeats", repeats, "threads",
                                 mqa_context_n_threads(b->ctx), "recipe", mqa_session_recipe(b->session)));
    else
        printf("%-8s %7lld %12.2f %12.2f %12.2f\n", name, (long long)depth, rate, worst, best);
    fflush(stdout);
    return MQA_OK;
}

static mqa_status all_tests(model_bench *b, mqa_error *err)
{
    mqa_status status = MQA_OK;
    if (!b->common.json) {
        mqa_model_info info;
        mqa_model_get_info(b->model, &info);
        printf("%s %s, %d threads, %s\n%-8s %7s %12s %12s %12s\n", info.arch, info.name,
               mqa_context_n_threads(b->ctx), mqa_session_recipe(b->session), "test", "depth", "tokens/s",
               "min", "max");
    }
    for (int d = 0; d < b->depths.n; d++) {
        for (int i = 0; status == MQA_OK && i < b->prompts.n; i++)
            if (b->prompts.at[i]) status = test(b, false, b->prompts.at[i], b->depths.at[d], err);
        for (int i = 0; status == MQA_OK && i < b->generations.n; i++)
            if (b->generations.at[i]) status = test(b, true, b->generations.at[i], b->depths.at[d], err);
    }
    return status;
}

static int work(model_bench *b)
{
    int code = cli_open_model(&b->common, b->path, &b->ctx, &b->model);
    if (code != CLI_DONE) return code;
    mqa_model_info info;
    mqa_model_get_info(b->model, &info);
    int64_t longest =
        largest(&b->prompts) > largest(&b->generations) ? largest(&b->prompts) : largest(&b->generations);
    size_t n_tokens = (size_t)(largest(&b->depths) + longest);
    b->n_vocab = info.n_vocab;
    b->logits = malloc((size_t)info.n_vocab * sizeof *b->logits);
    b->tokens = malloc(n_tokens * sizeof *b->tokens);
    if (!b->logits || !b->tokens) return cli_error(CLI_FAILED, "no memory for %zu tokens", n_tokens);
    uint64_t random = 1;
    for (size_t i = 0; i < n_tokens; i++)
        b->tokens[i] = (int32_t)(bench_random(&random) % (uint64_t)info.n_vocab);

    mqa_session_options options = mqa_session_options_default();
    options.context = (int64_t)n_tokens;
    options.k_type = b->common.kv[0];
    options.v_type = b->common.kv[1];
    options.kv_plain = b->common.kv_plain;
    mqa_error err;
    mqa_status status = mqa_session_create(b->model, &options, &b->session, &err);
    if (status == MQA_OK) status = all_tests(b, &err);
    return status == MQA_OK ? CLI_DONE : cli_error_status(status, &err);
}

int cli_bench_model(int argc, char **argv)
{
    model_bench b = {.common = CLI_COMMON_DEFAULT,
                     .prompts = {{512}, 1},
                     .generations = {{32}, 1},
                     .depths = {{0}, 1},
                     .repeats = 5};
    const cli_option table[] = {
        CLI_OPTIONS_MODEL(&b.path),
        {'p', "n-prompt", CLI_LIST, &b.prompts, "N,...", "lengths of prompts, default 512; 0: none", 0,
         1 << 24, false},
        {'n', "n-gen", CLI_LIST, &b.generations, "N,...", "tokens to generate, default 32; 0: none", 0,
         1 << 24, false},
        {'d', "n-depth", CLI_LIST, &b.depths, "N,...", "tokens already in the context, default 0", 0, 1 << 24,
         false},
        {'r', "repetitions", CLI_INT, &b.repeats, "N", "runs, of which the median counts; default 5", 1,
         BENCH_MAX_REPEATS, false},
        CLI_OPTIONS_SESSION(&b.common),
        CLI_OPTIONS_CONTEXT(&b.common),
        CLI_OPTIONS_END,
    };
    int code =
        cli_parse(argc, argv, table, "tokens a second for prompts and generation.", NULL, 0, NULL, NULL);
    if (code != CLI_GO_ON) return code;
    if (!b.path) return cli_error(CLI_USAGE, "no model: give -m FILE");
    if (largest(&b.prompts) == 0 && largest(&b.generations) == 0)
        return cli_error(CLI_USAGE, "nothing to measure: give a -p or -n above 0");
    cli_catch_interrupt();
    code = work(&b);
    mqa_session_destroy(&b.session);
    mqa_model_destroy(&b.model);
    mqa_context_destroy(&b.ctx);
    free(b.logits);
    free(b.tokens);
    return code;
}
