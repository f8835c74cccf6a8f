/* mqa perplexity: llama-perplexity's convention. The text is tokenized once and cut into windows without
 * overlap, the remainder dropped; where the model adds BOS it replaces each window's first token; the second
 * half of each window is scored.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "args.h"
#include "kernels/context.h"

enum { STEP = 32 }; /* tokens whose logits we hold at once: 32 MiB for Gemma's vocabulary */

typedef struct score_state {
    mqa_context *ctx;
    mqa_model *model;
    mqa_session *session;
    mqa_tokens tokens;
    float *logits; /* [STEP][n_vocab] */
    int n_vocab;
    int64_t context, n_windows, n_scored;
    double nll;
} score_state;

typedef struct score_task {
    const float *logits;
    int n_vocab;
    const int32_t *targets;
    double nll[STEP];
} score_task;

/* -log softmax(logits)[target]. The sum is in double: 262,144 small terms. */
static void score_row(void *arg, int row, int worker)
{
    (void)worker;
    score_task *task = arg;
    const float *x = task->logits + (size_t)row * (size_t)task->n_vocab;
    float max = x[0];
    for (int i = 1; i < task->n_vocab; i++) max = x[i] > max ? x[i] : max;
    double sum = 0;
    for (int i = 0; i < task->n_vocab; i++) sum += (double)expf(x[i] - max);
    task->nll[row] = log(sum) + (double)max - (double)x[task->targets[row]];
}

static mqa_status eval(score_state *s, const int32_t *tokens, int64_t n, mqa_logits want, mqa_error *err)
{
    mqa_eval_item item = {.tokens = tokens, .n_tokens = n, .want = want, .logits = s->logits};
    return mqa_session_eval(s->session, &item, 1, &cli_stop, err);
}

static mqa_status score_window(score_state *s, const int32_t *window, mqa_error *err)
{
    int64_t first = s->context / 2, end = s->context - 1; /* positions whose next token is scored */
    mqa_status status = mqa_session_truncate(s->session, 0, 0, err);
    if (status == MQA_OK) status = eval(s, window, first, MQA_LOGITS_NONE, err);
    for (int64_t at = first; status == MQA_OK && at < end; at += STEP) {
        int n = (int)(end - at < STEP ? end - at : STEP);
        status = eval(s, window + at, n, MQA_LOGITS_ALL, err);
        if (status != MQA_OK) break;
        score_task task = {.logits = s->logits, .n_vocab = s->n_vocab, .targets = window + at + 1};
        mqa_pool_run(s->ctx->pool, score_row, &task, n);
        for (int i = 0; i < n; i++) s->nll += task.nll[i];
        s->n_scored += n;
    }
    return status;
}

static mqa_status score(score_state *s, mqa_error *err)
{
    static char label[] = "scoring";
    const mqa_tokenizer *tokenizer = mqa_model_tokenizer(s->model);
    mqa_status status = MQA_OK;
    for (int64_t w = 0; status == MQA_OK && w < s->n_windows; w++) {
        cli_progress(label, (size_t)w, (size_t)s->n_windows);
        int32_t *window = s->tokens.ids + w * s->context;
        if (mqa_tokenizer_adds_bos(tokenizer)) window[0] = mqa_tokenizer_bos(tokenizer);
        status = score_window(s, window, err);
    }
    cli_progress_clear();
    return status;
}

static int work(const cli_common *common, const char *path, const char *file, score_state *s)
{
    mqa_error err;
    mqa_text text = {0};
    int code = cli_read_text(file, &text);
    if (code == CLI_DONE) {
        cli_catch_interrupt();
        code = cli_open_model(common, path, &s->ctx, &s->model);
    }
    mqa_status status = MQA_OK;
    if (code == CLI_DONE)
        status = mqa_tokenizer_encode(mqa_model_tokenizer(s->model), text.n ? text.bytes : "", text.n,
                                      MQA_ENCODE_ADD_SPECIAL, &s->tokens, &err);
    mqa_text_free(&text);
    if (code != CLI_DONE) return code;
    if (status != MQA_OK) return cli_error_status(status, &err);

    mqa_model_info info;
    mqa_model_get_info(s->model, &info);
    s->n_vocab = info.n_vocab;
    s->n_windows = (int64_t)s->tokens.n / s->context;
    if (s->n_windows == 0)
        return cli_error(
            CLI_FAILED, "%s: %zu tokens are less than one window of %lld: give a longer text or a smaller -c",
            file ? file : "stdin", s->tokens.n, (long long)s->context);
    s->logits = malloc((size_t)s->n_vocab * STEP * sizeof *s->logits);
    if (!s->logits) return cli_error(CLI_FAILED, "no memory for the logits of %d tokens", s->n_vocab);
    mqa_session_options options = mqa_session_options_default();
    options.context = s->context;
    options.k_type = common->kv[0];
    options.v_type = common->kv[1];
    options.kv_plain = common->kv_plain;
    status = mqa_session_create(s->model, &options, &s->session, &err);
    if (status == MQA_OK) status = score(s, &err);
    if (status != MQA_OK) return cli_error_status(status, &err);

    double perplexity = exp(s->nll / (double)s->n_scored);
    if (common->json)
        cli_print_json(json_pack("{s:f, s:I, s:s}", "perplexity", perplexity, "tokens",
                                 (json_int_t)s->n_scored, "recipe", mqa_session_recipe(s->session)));
    else
        printf("perplexity %.4f over %lld tokens (%lld windows of %lld, %s)\n", perplexity,
               (long long)s->n_scored, (long long)s->n_windows, (long long)s->context,
               mqa_session_recipe(s->session));
    return CLI_DONE;
}

int cli_perplexity(int argc, char **argv)
{
    cli_common common = CLI_COMMON_DEFAULT;
    const char *path = NULL, *file = NULL;
    score_state s = {.context = 512};
    const cli_option table[] = {
        CLI_OPTIONS_MODEL(&path),
        {'f', "file", CLI_TEXT, &file, "FILE", "the text (default: stdin)", 0, 0, false},
        {'c', "ctx-size", CLI_INT, &s.context, "N", "tokens a window, default 512", 4, 1 << 24, false},
        CLI_OPTIONS_SESSION(&common),
        CLI_OPTIONS_CONTEXT(&common),
        CLI_OPTIONS_END,
    };
    int code =
        cli_parse(argc, argv, table, "how well a model predicts a text, by llama-perplexity's convention.",
                  NULL, 0, NULL, NULL);
    if (code != CLI_GO_ON) return code;
    if (!path) return cli_error(CLI_USAGE, "no model: give -m FILE");
    code = work(&common, path, file, &s);
    mqa_session_destroy(&s.session);
    mqa_model_destroy(&s.model);
    mqa_context_destroy(&s.ctx);
    mqa_tokens_free(&s.tokens);
    free(s.logits);
    return code;
}
