/* mqa run: continue a text, or answer it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "args.h"
#include "constraint.h"

typedef struct run_options {
    cli_common common;
    const char *model, *prompt, *file;
    int64_t n_predict, context, top_k, seed;
    double temperature, top_p, min_p;
    bool chat, no_special;
    cli_constraint constraint;
} run_options;

typedef struct run_state {
    mqa_context *ctx;
    mqa_model *model;
    mqa_session *session;
    mqa_detokenizer *stream;
    mqa_text prompt, text; /* text: all that was generated */
    mqa_tokens tokens;
    float *logits;
    void *scratch;
    int n_vocab;
    int64_t n_generated, n_evaluated; /* of those generated, how many were evaluated in turn */
    double prompt_seconds, generate_seconds;
    const char *note;
} run_state;

static int parse(int argc, char **argv, run_options *o)
{
    const cli_option table[] = {
        CLI_OPTIONS_MODEL(&o->model),
        {'p', "prompt", CLI_TEXT, &o->prompt, "TEXT", "the text to continue", 0, 0, false},
        {'f', "file", CLI_TEXT, &o->file, "FILE", "its file (default: stdin)", 0, 0, false},
        {'n', "predict", CLI_INT, &o->n_predict, "N",
         "tokens at most; -1 (default): to the end, or until the context is full", -1, INT32_MAX, false},
        {'c', "ctx-size", CLI_INT, &o->context, "N", "context in tokens; 0 (default): the model's", 0,
         INT32_MAX, false},
        {0, "temp", CLI_REAL, &o->temperature, "T", "temperature, default 0.8; 0: always the likeliest token",
         0, 100, false},
        {0, "top-k", CLI_INT, &o->top_k, "N", "of the N likeliest, default 40; 0: off", 0, INT32_MAX, false},
        {0, "top-p", CLI_REAL, &o->top_p, "P", "of those that make up P together, default 0.95; 1: off", 1e-6,
         1, false},
        {0, "min-p", CLI_REAL, &o->min_p, "P",
         "of those at least P times as likely as the likeliest, default 0.05; 0: off", 0, 1, false},
        {'s', "seed", CLI_INT, &o->seed, "N",
         "the same seed gives the same text (default: a new one each time)", 0, CLI_MAX_INT, false},
        {0, "chat", CLI_FLAG, &o->chat, NULL, "the prompt is a message, in the model's chat form", 0, 0,
         false},
        {0, "no-parse-special", CLI_FLAG, &o->no_special, NULL, "\"<eos>\" in the prompt is plain text", 0, 0,
         false},
        CLI_OPTIONS_CONSTRAINT(&o->constraint),
        CLI_OPTIONS_SESSION(&o->common),
        CLI_OPTIONS_CONTEXT(&o->common),
        CLI_OPTIONS_END,
    };
    int code = cli_parse(
        argc, argv, table,
        "continues a text.\nGenerated text goes to stdout, figures to stderr. Ctrl-C ends it early.", NULL, 0,
        NULL, NULL);
    if (code != CLI_GO_ON) return code;
    if (!o->model) return cli_error(CLI_USAGE, "no model: give -m FILE");
    if (o->seed < 0) {
        uint32_t seed = 0;
        if (getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = (uint32_t)(cli_now() * 1e6);
        o->seed = seed;
    }
    return CLI_GO_ON;
}

static mqa_status encode(const run_options *o, run_state *s, mqa_error *err)
{
    const mqa_tokenizer *tokenizer = mqa_model_tokenizer(s->model);
    if (!o->chat) {
        unsigned flags = MQA_ENCODE_ADD_SPECIAL | (o->no_special ? 0 : MQA_ENCODE_PARSE_SPECIAL);
        return mqa_tokenizer_encode(tokenizer, s->prompt.n ? s->prompt.bytes : "", s->prompt.n, flags,
                                    &s->tokens, err);
    }
    mqa_chat_message message = {.role = "user", .content = s->prompt.n ? s->prompt.bytes : ""};
    mqa_tokenizer_chat_form(tokenizer, &s->note);
    return mqa_chat_encode(tokenizer, &message, 1, MQA_CHAT_OPEN_REPLY, &s->tokens, err);
}

static int start(run_options *o, run_state *s)
{
    mqa_error err;
    mqa_session_options options = mqa_session_options_default();
    options.context = o->context;
    options.k_type = o->common.kv[0];
    options.v_type = o->common.kv[1];
    options.kv_plain = o->common.kv_plain;
    mqa_status status = encode(o, s, &err);
    if (status != MQA_OK) return cli_error_status(status, &err);

    mqa_model_info info;
    mqa_model_get_info(s->model, &info);
    int64_t context = o->context ? o->context : info.context_length;
    if (s->tokens.n == 0)
        return cli_error(CLI_FAILED,
                         "the prompt is empty, and this model has no token to begin with: give a text");
    if ((int64_t)s->tokens.n > context)
        return cli_error(CLI_FAILED,
                         "the prompt has %zu tokens, the context %lld: give a shorter one or a larger -c",
                         s->tokens.n, (long long)context);

    s->n_vocab = info.n_vocab;
    s->logits = malloc((size_t)s->n_vocab * sizeof *s->logits);
    s->scratch = malloc((size_t)s->n_vocab * 8);
    if (!s->logits || !s->scratch)
        return cli_error(CLI_FAILED, "no memory for the logits of %d tokens", s->n_vocab);
    status = mqa_session_create(s->model, &options, &s->session, &err);
    if (status == MQA_OK) status = mqa_detokenizer_create(mqa_model_tokenizer(s->model), 0, &s->stream, &err);
    if (status == MQA_OK) status = cli_constraint_begin(&o->constraint, mqa_model_tokenizer(s->model), &err);
    return status == MQA_OK ? CLI_DONE : cli_error_status(status, &err);
}

static mqa_status eval(run_state *s, const int32_t *tokens, size_t n, mqa_error *err)
{
    mqa_eval_item item = {
        .tokens = tokens, .n_tokens = (int64_t)n, .want = MQA_LOGITS_LAST, .logits = s->logits};
    return mqa_session_eval(s->session, &item, 1, &cli_stop, err);
}

static void show(run_state *s, size_t from, bool json)
{
    if (json || s->text.n == from) return;
    fwrite(s->text.bytes + from, 1, s->text.n - from, stdout);
    fflush(stdout);
}

/* Until the end of the text, the limit, Ctrl-C (MQA_OK too: what there is counts) or a closed stdout. */
static mqa_status generate(run_options *o, run_state *s, mqa_error *err)
{
    const mqa_sampling sampling = {.temperature = (float)o->temperature,
                                   .top_k = (int)o->top_k,
                                   .top_p = (float)o->top_p,
                                   .min_p = (float)o->min_p,
                                   .seed = (uint64_t)o->seed};
    mqa_model_info info;
    mqa_model_get_info(s->model, &info);
    /* The last token is sampled from the logits of a full context and not evaluated itself. */
    int64_t limit = (o->context ? o->context : info.context_length) - (int64_t)s->tokens.n + 1;
    if (o->n_predict >= 0 && o->n_predict < limit) limit = o->n_predict;
    mqa_status status = MQA_OK;
    while (s->n_generated < limit && !cli_stop && cli_output_ok()) {
        int32_t token = MQA_TOKEN_NONE;
        status = cli_constraint_apply(&o->constraint, s->logits, s->n_vocab, err);
        if (status != MQA_OK) break;
        status = mqa_sample(&sampling, s->logits, s->n_vocab, (int64_t)s->tokens.n + s->n_generated,
                            s->scratch, &token, err);
        if (status != MQA_OK || mqa_tokenizer_is_end(mqa_model_tokenizer(s->model), token)) break;
        size_t from = s->text.n;
        status = cli_constraint_accept(&o->constraint, token, err);
        if (status != MQA_OK) break;
        status = mqa_detokenizer_push(s->stream, token, &s->text, err);
        if (status != MQA_OK) break;
        s->n_generated++;
        show(s, from, o->common.json);
        if (s->n_generated == limit) break;
        status = eval(s, &token, 1, err);
        if (status != MQA_OK) break;
        s->n_evaluated++;
    }
    if (status == MQA_ERR_CANCELLED) status = MQA_OK;
    size_t from = s->text.n;
    if (status == MQA_OK) status = mqa_detokenizer_finish(s->stream, &s->text, err);
    show(s, from, o->common.json);
    if (!o->common.json && s->text.n && s->text.bytes[s->text.n - 1] != '\n') putchar('\n');
    fflush(stdout);
    return status;
}

static void report(const run_options *o, const run_state *s)
{
    double prompt_rate = s->prompt_seconds > 0 ? (double)s->tokens.n / s->prompt_seconds : 0;
    /* The first token comes with the prompt; each further one (the end, too) is an evaluation. */
    double rate = s->n_evaluated ? (double)s->n_evaluated / s->generate_seconds : 0;
    size_t kv = mqa_session_kv_bytes(s->session), multi_head = mqa_session_kv_bytes_multi_head(s->session);
    const bool complete = cli_constraint_is_complete(&o->constraint);
    if (o->common.json) {
        cli_print_json(json_pack(
            "{s:o, s:b, s:I, s:I, s:f, s:f, s:I, s:I, s:s, s:I}", "text",
            json_stringn(s->text.n ? s->text.bytes : "", s->text.n), "complete", complete, "prompt_tokens",
            (json_int_t)s->tokens.n, "generated_tokens", (json_int_t)s->n_generated, "prompt_tokens_per_s",
            prompt_rate, "generated_tokens_per_s", rate, "kv_bytes", (json_int_t)kv, "kv_bytes_multi_head",
            (json_int_t)multi_head, "recipe", mqa_session_recipe(s->session), "seed", (json_int_t)o->seed));
        return;
    }
    if (s->note) fprintf(stderr, "mqa run: %s\n", s->note);
    if (!complete) fputs("mqa run: the text was cut short, before the grammar's end\n", stderr);
    fprintf(stderr,
            "prompt %zu tokens, %.1f tokens/s; generated %lld tokens, %.1f tokens/s; "
            "KV cache %s, as multi-head it would be %s (%.3g x); seed %lld\n",
            s->tokens.n, prompt_rate, (long long)s->n_generated, rate, cli_bytes((double)kv),
            cli_bytes((double)multi_head), kv ? (double)multi_head / (double)kv : 0.0, (long long)o->seed);
}

static int work(run_options *o, run_state *s)
{
    int code = cli_constraint_read(&o->constraint);
    if (code == CLI_DONE) code = cli_read_prompt(o->prompt, o->file, &s->prompt);
    if (code != CLI_DONE) return code;
    /* An editor ends a file's last line; that newline is seldom meant. */
    if (!o->prompt && s->prompt.n && s->prompt.bytes[s->prompt.n - 1] == '\n')
        s->prompt.bytes[--s->prompt.n] = 0;
    if (o->chat && s->prompt.n && memchr(s->prompt.bytes, 0, s->prompt.n))
        return cli_error(CLI_FAILED, "the message holds a NUL: give text");
    cli_catch_interrupt(); /* not while stdin is read, where it should end the program */
    code = cli_open_model(&o->common, o->model, &s->ctx, &s->model);
    if (code == CLI_DONE) code = start(o, s);
    if (code != CLI_DONE) return code;

    mqa_error err;
    double t0 = cli_now();
    mqa_status status = eval(s, s->tokens.ids, s->tokens.n, &err);
    double t1 = cli_now();
    s->prompt_seconds = t1 - t0;
    if (status == MQA_OK) status = generate(o, s, &err);
    s->generate_seconds = cli_now() - t1;
    if (status != MQA_OK) return cli_error_status(status, &err);
    if (cli_stop && s->n_generated == 0)
        return cli_error(CLI_INTERRUPTED, "interrupted before the first token");
    if (cli_output_ok()) report(o, s);
    return CLI_DONE;
}

int cli_run(int argc, char **argv)
{
    run_options o = {.common = CLI_COMMON_DEFAULT,
                     .n_predict = -1,
                     .top_k = 40,
                     .seed = -1,
                     .temperature = 0.8,
                     .top_p = 0.95,
                     .min_p = 0.05};
    int code = parse(argc, argv, &o);
    if (code != CLI_GO_ON) return code;
    run_state s = {0};
    code = work(&o, &s);
    cli_constraint_free(&o.constraint);
    mqa_detokenizer_destroy(&s.stream);
    mqa_session_destroy(&s.session);
    mqa_model_destroy(&s.model);
    mqa_context_destroy(&s.ctx);
    mqa_tokens_free(&s.tokens);
    mqa_text_free(&s.prompt);
    mqa_text_free(&s.text);
    free(s.logits);
    free(s.scratch);
    return code;
}
