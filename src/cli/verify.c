/* mqa verify: runs what a receipt says once more, and says whether the same comes of it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "base/status.h"
#include "mqa/engine.h"
#include "openai/constrain.h"
#include "openai/request.h"
#include "server/keys.h"
#include "server/receipt.h"
#include "tokenizer/array.h"

typedef struct verify_run {
    const char *model_path, *key;
    cli_common common;
    mqa_context *ctx;
    mqa_model *model;
    mqa_engine *engine;
    mqa_text text;
    json_t *root;          /* what was read */
    const json_t *receipt; /* in it */
    mqa_tokens prompt;
    mqa_ask ask;
    mqa_tokens *outputs; /* [ask.n], of this run */
} verify_run;

static const char *text_of(const json_t *object, const char *a, const char *b)
{
    const json_t *v = json_object_get(object, a);
    const char *text = json_string_value(b ? json_object_get(v, b) : v);
    return text ? text : "";
}

/* ---- reading ---- */

/* A receipt, or an answer that holds one. */
static int read_receipt(verify_run *r, const char *path)
{
    int code = cli_read_text(path, &r->text);
    if (code != CLI_DONE) return code;
    json_error_t where;
    r->root = json_loadb(r->text.n ? r->text.bytes : "", r->text.n, 0, &where);
    if (!json_is_object(r->root))
        return cli_error(CLI_FAILED, "%s: no JSON object: %s", path ? path : "stdin", where.text);
    const json_t *inner = json_object_get(r->root, "receipt");
    r->receipt = json_is_object(inner) ? inner : r->root;
    mqa_error err;
    mqa_status status = mqa_receipt_check(r->receipt, r->key, &err);
    return status == MQA_OK ? CLI_DONE : cli_error_status(status, &err);
}

static int take_ids(const json_t *list, mqa_tokens *out)
{
    size_t i;
    json_t *v;
    mqa_error err;
    if (!json_is_array(list))
        return cli_error(CLI_FAILED, "the receipt has no token ids where they should be");
    json_array_foreach((json_t *)list, i, v)
    {
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
            return cli_error(CLI_FAILED, "the receipt's token ids aren't such");
        const mqa_status status = mqa_tokens_push(out, (int32_t)json_integer_value(v), &err);
        if (status != MQA_OK) return cli_error_status(status, &err);
    }
    return CLI_DONE;
}

/* Its parameters are a request's: with the prompt's ids they are one again. */
static int take_request(verify_run *r, int n_vocab)
{
    json_t *body = json_copy((json_t *)json_object_get(r->receipt, "parameters"));
    json_object_set(body, "prompt", json_object_get(r->receipt, "prompt"));
    if (!body) return cli_error(CLI_FAILED, "the receipt has no parameters");
    mqa_api_error e;
    const bool ok = mqa_ask_read(body, false, n_vocab, &r->ask, &e);
    json_decref(body);
    if (!ok) return cli_error(CLI_FAILED, "the receipt's parameters: %s", e.message);
    if (r->ask.n_prompts != 1 || r->ask.max_tokens < 1)
        return cli_error(CLI_FAILED, "the receipt's parameters aren't those of one request");
    r->outputs = calloc((size_t)r->ask.n, sizeof *r->outputs);
    if (!r->outputs) return cli_error(CLI_FAILED, "no memory for %d answers", r->ask.n);
    return take_ids(json_object_get(r->receipt, "prompt"), &r->prompt);
}

/* ---- running ---- */

/* The numerics that the recipe's name asks for; AMX's in plain C where the CPU has none. */
static int open_model(verify_run *r)
{
    const char *recipe = text_of(r->receipt, "recipe", NULL);
    mqa_error err;
    r->common.numerics = strncmp(recipe, "portable/", 9) == 0 ? MQA_NUMERICS_PORTABLE : MQA_NUMERICS_FAST;
    if (cli_isa == MQA_ISA_AUTO && strncmp(recipe, "amx-", 4) == 0 && !mqa_isa_available(MQA_ISA_AMX))
        cli_isa = MQA_ISA_AMX_C;
    const json_t *kv = json_object_get(r->receipt, "kv");
    mqa_status status = mqa_kv_type_parse(text_of(kv, "k", NULL), &r->common.kv[0], &err);
    if (status == MQA_OK) status = mqa_kv_type_parse(text_of(kv, "v", NULL), &r->common.kv[1], &err);
    if (status != MQA_OK) return cli_error_status(status, &err);
    r->common.kv_plain = json_is_true(json_object_get(kv, "plain"));
    char hash[MQA_HASH_HEX];
    status = mqa_file_hash(r->model_path, hash, &err);
    if (status != MQA_OK) return cli_error_status(status, &err);
    if (strcmp(hash, text_of(r->receipt, "model", "blake2b")) != 0)
        return cli_error(CLI_FAILED,
                         "%s isn't the receipt's model: its hash is %.16s…, the receipt says %.16s…",
                         r->model_path, hash, text_of(r->receipt, "model", "blake2b"));
    return cli_open_model(&r->common, r->model_path, &r->ctx, &r->model);
}

static int open_engine(verify_run *r)
{
    mqa_error err;
    mqa_engine_options o = mqa_engine_options_default();
    o.context = (int64_t)r->prompt.n + r->ask.max_tokens;
    o.kv_budget_bytes = SIZE_MAX / 4;
    o.k_type = r->common.kv[0];
    o.v_type = r->common.kv[1];
    o.kv_plain = r->common.kv_plain;
    o.no_prefix_cache = true;
    const mqa_status status = mqa_engine_create(r->model, &o, &r->engine, &err);
    if (status != MQA_OK) return cli_error_status(status, &err);
    if (strcmp(mqa_engine_recipe(r->engine), text_of(r->receipt, "recipe", NULL)) != 0)
        return cli_error(
            CLI_FAILED, "the receipt's arithmetic is %s, this would run %s: another CPU or MQA_ISA is needed",
            text_of(r->receipt, "recipe", NULL), mqa_engine_recipe(r->engine));
    return CLI_DONE;
}

static mqa_status take_events(verify_run *r, uint64_t id, bool *over, mqa_error *err)
{
    for (bool got = true; got && !*over;) {
        mqa_event event;
        MQA_TRY(mqa_engine_poll(r->engine, id, 0, &event, &got, err));
        if (!got) break;
        if (event.kind == MQA_EVENT_TOKEN)
            MQA_TRY(mqa_tokens_push(&r->outputs[event.choice], event.token, err));
        if (event.kind == MQA_EVENT_END) *over = true;
        if (event.kind == MQA_EVENT_END && event.status != MQA_OK)
            return mqa_fail(err, event.status, "%s", event.message);
    }
    return MQA_OK;
}

static bool constrain(const verify_run *r, mqa_token_mask *out, mqa_api_error *e)
{
    const mqa_tokenizer *tokenizer = mqa_model_tokenizer(r->model);
    mqa_languages *languages = NULL;
    mqa_error err;
    if (r->ask.format != MQA_ASK_TEXT) {
        const mqa_status status = mqa_languages_create(tokenizer, 0, &languages, &err);
        if (status != MQA_OK) return mqa_api_failed(e, status, &err);
    }
    const bool ok = mqa_constrain(&r->ask, languages, "", out, e);
    mqa_languages_destroy(&languages);
    return ok;
}

static int run(verify_run *r)
{
    mqa_request request;
    mqa_logit_bias *bias;
    mqa_submission submission;
    mqa_error err;
    mqa_api_error e;
    if (!mqa_request_of_ask(&r->ask, &r->prompt, r->ask.max_tokens, &request, &bias, &e))
        return cli_error(CLI_FAILED, "%s", e.message);
    if (!constrain(r, &request.mask, &e)) {
        free(bias);
        return cli_error(CLI_FAILED, "%s", e.message);
    }
    mqa_status status = mqa_engine_submit(r->engine, &request, &submission, &err);
    free(bias);
    bool over = false, busy;
    static char label[] = "answering";
    while (status == MQA_OK && !over && !cli_stop) {
        status = mqa_engine_step(r->engine, &busy, &err);
        if (status == MQA_OK) status = take_events(r, submission.id, &over, &err);
        cli_progress(label, r->outputs[0].n, (size_t)r->ask.max_tokens);
    }
    cli_progress_clear();
    if (cli_stop) return cli_error(CLI_INTERRUPTED, "interrupted");
    return status == MQA_OK ? CLI_DONE : cli_error_status(status, &err);
}

/* ---- comparing ---- */

/* Where the choice parts from the receipt; -1: nowhere. Stop strings ended a choice after its tokens, so this
 * run may have more of them. */
static int64_t parts_at(const mqa_tokens *said, const mqa_tokens *here, bool may_go_on)
{
    size_t i = 0;
    while (i < said->n && i < here->n && said->ids[i] == here->ids[i]) i++;
    return i == said->n && (i == here->n || may_go_on) ? -1 : (int64_t)i;
}

static int compare(verify_run *r)
{
    const json_t *outputs = json_object_get(r->receipt, "outputs");
    if (json_array_size(outputs) != (size_t)r->ask.n)
        return cli_error(CLI_FAILED, "the receipt has %zu answers to %d choices", json_array_size(outputs),
                         r->ask.n);
    int code = CLI_DONE;
    size_t n_tokens = 0;
    for (int i = 0; i < r->ask.n && code == CLI_DONE; i++) {
        mqa_tokens said = {0};
        code = take_ids(json_array_get(outputs, (size_t)i), &said);
        const int64_t at = code == CLI_DONE ? parts_at(&said, &r->outputs[i], r->ask.n_stops > 0) : -1;
        n_tokens += said.n;
        mqa_tokens_free(&said);
        if (at >= 0)
            code = cli_error(CLI_FAILED,
                             "not equal: choice %d parts from the receipt at token %lld of its answer", i,
                             (long long)at);
    }
    if (code != CLI_DONE) return code;
    if (r->common.json)
        cli_print_json(json_pack("{s:b, s:I, s:i, s:s, s:s}", "equal", 1, "tokens", (json_int_t)n_tokens,
                                 "choices", r->ask.n, "recipe", mqa_engine_recipe(r->engine), "isa",
                                 mqa_isa_name(mqa_context_isa(r->ctx))));
    else
        printf("equal: %zu tokens, %s on %s\n", n_tokens, mqa_engine_recipe(r->engine),
               mqa_isa_name(mqa_context_isa(r->ctx)));
    return CLI_DONE;
}

static int work(verify_run *r, const char *path)
{
    mqa_error err;
    const mqa_status status = mqa_keys_init(&err);
    if (status != MQA_OK) return cli_error_status(status, &err);
    cli_catch_interrupt();
    int code = read_receipt(r, path);
    if (code == CLI_DONE) code = open_model(r);
    if (code != CLI_DONE) return code;
    mqa_model_info info;
    mqa_model_get_info(r->model, &info);
    code = take_request(r, info.n_vocab);
    if (code == CLI_DONE) code = open_engine(r);
    if (code == CLI_DONE) code = run(r);
    return code == CLI_DONE ? compare(r) : code;
}

int cli_verify(int argc, char **argv)
{
    verify_run r = {.common = CLI_COMMON_DEFAULT};
    const cli_option table[] = {
        CLI_OPTIONS_MODEL(&r.model_path),
        {'k', "key", CLI_TEXT, &r.key, "KEY",
         "the public key that must have signed it (default: the one in it)", 0, 0, false},
        {'t', "threads", CLI_INT, &r.common.threads, "N", "threads (default: one for each CPU at hand)", 1,
         1024, false},
        CLI_OPTIONS_JSON(&r.common),
        CLI_OPTIONS_END,
    };
    const char **operands;
    int n;
    int code =
        cli_parse(argc, argv, table,
                  "runs what a receipt says once more, and says whether the same comes of it.\nA file of a "
                  "receipt or of an answer with one; without FILE it comes on stdin.",
                  "[FILE]", 1, &operands, &n);
    if (code != CLI_GO_ON) return code;
    if (!r.model_path) return cli_error(CLI_USAGE, "no model: give -m FILE");
    code = work(&r, n ? operands[0] : NULL);
    mqa_engine_destroy(&r.engine);
    for (int i = 0; r.outputs && i < r.ask.n; i++) mqa_tokens_free(&r.outputs[i]);
    free(r.outputs);
    mqa_model_destroy(&r.model);
    mqa_context_destroy(&r.ctx);
    mqa_ask_free(&r.ask);
    mqa_tokens_free(&r.prompt);
    mqa_text_free(&r.text);
    json_decref(r.root);
    return code;
}
