/* The endpoints that answer at once.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/endpoints.h"

#include <stdlib.h>
#include <string.h>

#include "openai/ask.h"
#include "server/inside.h"
#include "server/page.h"
#include "tokenizer/array.h"

static const char as_json[] = "application/json; charset=utf-8";

void mqa_exchange_json(mqa_exchange *x, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (text)
        mqa_exchange_answer(x, 200, as_json, text, strlen(text));
    else
        mqa_exchange_answer(x, 500, "text/plain", "no memory", 9);
    free(text);
}

void mqa_exchange_error(mqa_exchange *x, const mqa_api_error *error)
{
    json_t *json = mqa_api_error_json(error);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (error->retry_after > 0) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%d", error->retry_after);
        mqa_exchange_add_header(x, "Retry-After", seconds);
    }
    if (error->status == 401) mqa_exchange_add_header(x, "WWW-Authenticate", "Bearer");
    mqa_exchange_answer(x, error->status, as_json, text ? text : "{}", text ? strlen(text) : 2);
    free(text);
}

/* ---- health, models ---- */

void mqa_endpoint_health(mqa_service *s, mqa_exchange *x, mqa_asking *asking)
{
    (void)asking;
    if (atomic_load(&s->draining)) {
        mqa_api_error e;
        mqa_api_refuse(&e, 503, "server_error", "shutting_down", "the server is shutting down");
        mqa_exchange_error(x, &e);
        return;
    }
    mqa_exchange_json(x, json_pack("{s:s}", "status", "ok"));
}

static json_t *model_json(const mqa_service *s)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:{s:s, s:I, s:I, s:I, s:I}}", "id", s->model_name, "object",
                     "model", "created", (json_int_t)s->started, "owned_by", "mqa", "meta", "arch",
                     s->info.arch, "n_vocab", (json_int_t)s->info.n_vocab, "n_ctx", (json_int_t)s->context,
                     "n_params", (json_int_t)s->info.n_params, "size", (json_int_t)s->info.file_bytes);
}

void mqa_endpoint_models(mqa_service *s, mqa_exchange *x, mqa_asking *asking)
{
    json_t *models = json_array();
    if (mqa_tenant_may_use(&asking->tenant, s->model_name)) json_array_append_new(models, model_json(s));
    mqa_exchange_json(x, json_pack("{s:s, s:o}", "object", "list", "data", models));
}

/* ---- tokens ---- */

static bool parse_object(mqa_exchange *x, json_t **out, mqa_api_error *e)
{
    size_t n;
    const char *body = mqa_exchange_body(x, &n);
    json_error_t where;
    *out = json_loadb(body, n, JSON_ALLOW_NUL, &where);
    if (json_is_object(*out)) return true;
    json_decref(*out);
    *out = NULL;
    return mqa_api_invalid(e, NULL, "the body must be a JSON object");
}

static bool take_flag(const json_t *object, const char *name, bool *out, mqa_api_error *e)
{
    const json_t *v = json_object_get(object, name);
    if (json_is_boolean(v)) *out = json_is_true(v);
    return !v || json_is_null(v) || json_is_boolean(v) ||
           mqa_api_invalid(e, name, "'%s' must be true or false", name);
}

static json_t *tokens_json(const mqa_service *s, const mqa_tokens *tokens, bool with_pieces)
{
    json_t *list = json_array();
    for (size_t i = 0; i < tokens->n; i++) {
        json_t *id = json_integer(tokens->ids[i]);
        if (with_pieces) {
            size_t n;
            const char *piece = mqa_tokenizer_piece(s->tokenizer, tokens->ids[i], &n);
            json_t *text = json_stringn(piece, n); /* NULL where it is no UTF-8: then its bytes */
            if (!text) {
                text = json_array();
                for (size_t k = 0; k < n; k++) json_array_append_new(text, json_integer((uint8_t)piece[k]));
            }
            id = json_pack("{s:o, s:o}", "id", id, "piece", text);
        }
        json_array_append_new(list, id);
    }
    return list;
}

void mqa_endpoint_tokenize(mqa_service *s, mqa_exchange *x, mqa_asking *asking)
{
    (void)asking;
    mqa_api_error e;
    json_t *body;
    if (!parse_object(x, &body, &e)) {
        mqa_exchange_error(x, &e);
        return;
    }
    const json_t *content = json_object_get(body, "content");
    mqa_tokens tokens = {0};
    mqa_error err;
    bool add = false, parse = true, pieces = false;
    bool ok = json_is_string(content) || mqa_api_invalid(&e, "content", "'content' must be a string");
    ok = ok && take_flag(body, "add_special", &add, &e) && take_flag(body, "parse_special", &parse, &e) &&
         take_flag(body, "with_pieces", &pieces, &e);
    if (ok) {
        const unsigned flags = (add ? MQA_ENCODE_ADD_SPECIAL : 0u) | (parse ? MQA_ENCODE_PARSE_SPECIAL : 0u);
        const mqa_status status = mqa_tokenizer_encode(s->tokenizer, json_string_value(content),
                                                       json_string_length(content), flags, &tokens, &err);
        ok = status == MQA_OK || mqa_api_failed(&e, status, &err);
    }
    if (ok)
        mqa_exchange_json(x, json_pack("{s:o}", "tokens", tokens_json(s, &tokens, pieces)));
    else
        mqa_exchange_error(x, &e);
    mqa_tokens_free(&tokens);
    json_decref(body);
}

static bool take_ids(const json_t *list, int n_vocab, mqa_tokens *out, mqa_api_error *e)
{
    size_t i;
    json_t *v;
    if (!json_is_array(list)) return mqa_api_invalid(e, "tokens", "'tokens' must be an array of token ids");
    json_array_foreach((json_t *)list, i, v)
    {
        mqa_error err;
        int64_t id;
        if (!mqa_json_whole(v, 0, n_vocab - 1, &id))
            return mqa_api_invalid(e, "tokens", "'tokens[%zu]' is no token id of this model", i);
        const mqa_status status = mqa_tokens_push(out, (int32_t)id, &err);
        if (status != MQA_OK) return mqa_api_failed(e, status, &err);
    }
    return true;
}

void mqa_endpoint_detokenize(mqa_service *s, mqa_exchange *x, mqa_asking *asking)
{
    (void)asking;
    mqa_api_error e;
    json_t *body;
    if (!parse_object(x, &body, &e)) {
        mqa_exchange_error(x, &e);
        return;
    }
    mqa_tokens tokens = {0};
    mqa_text text = {0};
    mqa_detokenizer *stream = NULL;
    mqa_error err;
    bool ok = take_ids(json_object_get(body, "tokens"), s->info.n_vocab, &tokens, &e);
    mqa_status status = ok ? mqa_detokenizer_create(s->tokenizer, MQA_DECODE_SPECIAL, &stream, &err) : MQA_OK;
    for (size_t i = 0; ok && status == MQA_OK && i < tokens.n; i++)
        status = mqa_detokenizer_push(stream, tokens.ids[i], &text, &err);
    if (ok && status == MQA_OK) status = mqa_detokenizer_finish(stream, &text, &err);
    if (status != MQA_OK) ok = mqa_api_failed(&e, status, &err);
    if (ok)
        mqa_exchange_json(x, json_pack("{s:o}", "content", json_stringn(text.n ? text.bytes : "", text.n)));
    else
        mqa_exchange_error(x, &e);
    mqa_detokenizer_destroy(&stream);
    mqa_text_free(&text);
    mqa_tokens_free(&tokens);
    json_decref(body);
}

/* ---- the page ---- */

void mqa_endpoint_page(mqa_service *s, mqa_exchange *x, mqa_asking *asking)
{
    (void)s, (void)asking;
    const mqa_page_file *file =
        mqa_page_find(mqa_exchange_path(x)); /* the routes name those that are there */
    mqa_exchange_add_header(
        x, "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src "
        "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    mqa_exchange_add_header(x, "X-Content-Type-Options", "nosniff");
    mqa_exchange_add_header(x, "Referrer-Policy", "no-referrer");
    mqa_exchange_answer(x, 200, file->type, (const char *)file->bytes, file->n);
}
