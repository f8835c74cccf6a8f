/* Chat forms: recognised by the marks in the model's template, then written by hand.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "tokenizer/internal.h"

#include <stdlib.h>
#include <string.h>

static const char *find(mqa_piece text, const char *mark)
{
    return text.n ? memmem(text.bytes, text.n, mark, strlen(mark)) : NULL;
}

/* A ChatML template that puts a system message in where there is none holds it as one literal:
 * '<|im_start|>system\nText<|im_end|>\n'. Elsewhere the literal ends before <|im_end|>. */
static mqa_status take_default_system(mqa_tokenizer *t, mqa_piece template, mqa_error *err)
{
    static const char open[] = "<|im_start|>system", end[] = "<|im_end|>";
    const char *start = template.bytes, *limit = template.bytes + template.n, *at;
    while ((at = find(template, open))) {
        const char *p = at + strlen(open);
        template = (mqa_piece){p, (size_t)(limit - p)};
        char quote = at > start ? at[-1] : 0;
        const char *stop = find(template, end);
        if ((quote != '\'' && quote != '"') || !stop || memchr(p, quote, (size_t)(stop - p))) continue;
        char *text = malloc((size_t)(stop - p) + 1);
        if (!text) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "chat template: no memory");
        size_t n = 0;
        for (; p < stop; p++) {
            bool escaped = *p == '\\' && p + 1 < stop;
            text[n++] = !escaped ? *p : *++p == 'n' ? '\n' : *p;
        }
        text[n] = 0;
        if (text[0] == '\n') {
            memmove(text, text + 1, n);
            t->chat_system = text;
            return MQA_OK;
        }
        free(text);
    }
    return MQA_OK;
}

mqa_status mqa_chat_build(mqa_tokenizer *t, const mqa_vocab *vocab, mqa_error *err)
{
    static const struct {
        const char *mark;
        mqa_chat_form form;
    } marks[] = {{"<|im_start|>", MQA_CHAT_CHATML},
                 {"<start_of_turn>", MQA_CHAT_GEMMA},
                 {"<|start_header_id|>", MQA_CHAT_LLAMA3},
                 {"[INST]", MQA_CHAT_LLAMA2}};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (!find(vocab->chat_template, marks[i].mark)) continue;
        t->chat_form = marks[i].form;
        return t->chat_form == MQA_CHAT_CHATML ? take_default_system(t, vocab->chat_template, err) : MQA_OK;
    }
    bool gemma = vocab->architecture.n >= 5 && memcmp(vocab->architecture.bytes, "gemma", 5) == 0;
    t->chat_form = gemma ? MQA_CHAT_GEMMA : MQA_CHAT_CHATML;
    if (vocab->chat_template.n > 0)
        t->chat_note = gemma ? "the model's chat template is not one that is known; using Gemma's form"
                             : "the model's chat template is not one that is known; using ChatML";
    else
        t->chat_note = gemma ? "the model has no chat template (is it a base model?); using Gemma's form"
                             : "the model has no chat template (is it a base model?); using ChatML";
    return MQA_OK;
}

mqa_chat_form mqa_tokenizer_chat_form(const mqa_tokenizer *t, const char **note)
{
    if (note) *note = t->chat_note;
    return t->chat_form;
}

/* A conversation being written: spans are the template's own parts. */
typedef struct chat {
    mqa_text *text;
    mqa_span *spans;
    size_t n_spans, spans_capacity;
} chat;

static mqa_status mark(chat *c, const char *text, mqa_error *err)
{
    size_t begin = c->text->n, n = strlen(text);
    if (n == 0) return MQA_OK;
    MQA_TRY(mqa_text_append(c->text, text, n, err));
    if (c->n_spans > 0 && c->spans[c->n_spans - 1].end == begin) {
        c->spans[c->n_spans - 1].end += n;
        return MQA_OK;
    }
    MQA_TRY(mqa_array_reserve(&c->spans, &c->spans_capacity, c->n_spans + 1, sizeof *c->spans, err));
    c->spans[c->n_spans++] = (mqa_span){begin, begin + n};
    return MQA_OK;
}

static bool is_space(char ch)
{
    return ch == ' ' || (ch >= '\t' && ch <= '\r');
}

typedef enum trim { TRIM_NOTHING, TRIM_END, TRIM_BOTH } trim;

static mqa_status content(chat *c, const char *text, trim what, mqa_error *err)
{
    size_t n = strlen(text);
    for (; what == TRIM_BOTH && n > 0 && is_space(text[0]); n--) text++;
    while (what != TRIM_NOTHING && n > 0 && is_space(text[n - 1])) n--;
    return mqa_text_append(c->text, text, n, err);
}

static bool has_role(const mqa_chat_message *message, const char *role)
{
    return strcmp(message->role, role) == 0;
}

static bool is_reply(const mqa_chat_message *message)
{
    return has_role(message, "assistant") || has_role(message, "model");
}

static mqa_status chatml(chat *c, const mqa_tokenizer *t, const mqa_chat_message *m, size_t n, bool open,
                         mqa_error *err)
{
    if (t->chat_system && n > 0 && !has_role(&m[0], "system")) {
        MQA_TRY(mark(c, "<|im_start|>system\n", err));
        MQA_TRY(content(c, t->chat_system, TRIM_NOTHING, err));
        MQA_TRY(mark(c, "<|im_end|>\n", err));
    }
    for (size_t i = 0; i < n; i++) {
        MQA_TRY(mark(c, "<|im_start|>", err));
        MQA_TRY(content(c, is_reply(&m[i]) ? "assistant" : m[i].role, TRIM_NOTHING, err));
        MQA_TRY(mark(c, "\n", err));
        MQA_TRY(content(c, m[i].content, TRIM_NOTHING, err));
        MQA_TRY(mark(c, "<|im_end|>\n", err));
    }
    return open ? mark(c, "<|im_start|>assistant\n", err) : MQA_OK;
}

static mqa_status gemma(chat *c, const mqa_chat_message *m, size_t n, bool open, mqa_error *err)
{
    const char *system = NULL; /* waits for a user turn */
    for (size_t i = 0; i < n; i++) {
        if (has_role(&m[i], "system")) {
            system = m[i].content;
            continue;
        }
        MQA_TRY(mark(c, is_reply(&m[i]) ? "<start_of_turn>model\n" : "<start_of_turn>user\n", err));
        if (system && !is_reply(&m[i])) {
            MQA_TRY(content(c, system, TRIM_NOTHING, err));
            MQA_TRY(mark(c, "\n\n", err));
            system = NULL;
        }
        MQA_TRY(content(c, m[i].content, TRIM_BOTH, err));
        MQA_TRY(mark(c, "<end_of_turn>\n", err));
    }
    return open ? mark(c, "<start_of_turn>model\n", err) : MQA_OK;
}

static mqa_status llama2(chat *c, const mqa_chat_message *m, size_t n, mqa_error *err)
{
    const char *system = NULL;
    for (size_t i = 0; i < n; i++) {
        if (has_role(&m[i], "system")) {
            system = m[i].content;
        } else if (is_reply(&m[i])) {
            MQA_TRY(mark(c, " ", err));
            MQA_TRY(content(c, m[i].content, TRIM_BOTH, err));
            MQA_TRY(mark(c, " </s>", err));
        } else {
            /* The system text and the turn it opens are trimmed as one. */
            trim what = system ? TRIM_END : TRIM_BOTH;
            MQA_TRY(mark(c, c->text->n > 0 ? "<s>[INST] " : "[INST] ", err));
            if (system) {
                MQA_TRY(mark(c, "<<SYS>>\n", err));
                MQA_TRY(content(c, system, TRIM_NOTHING, err));
                MQA_TRY(mark(c, "\n<</SYS>>\n\n", err));
                system = NULL;
            }
            MQA_TRY(content(c, m[i].content, what, err));
            MQA_TRY(mark(c, " [/INST]", err));
        }
    }
    return MQA_OK;
}

static mqa_status llama3(chat *c, const mqa_chat_message *m, size_t n, bool open, mqa_error *err)
{
    for (size_t i = 0; i < n; i++) {
        MQA_TRY(mark(c, "<|start_header_id|>", err));
        MQA_TRY(content(c, is_reply(&m[i]) ? "assistant" : m[i].role, TRIM_NOTHING, err));
        MQA_TRY(mark(c, "<|end_header_id|>\n\n", err));
        MQA_TRY(content(c, m[i].content, TRIM_BOTH, err));
        MQA_TRY(mark(c, "<|eot_id|>", err));
    }
    return open ? mark(c, "<|start_header_id|>assistant<|end_header_id|>\n\n", err) : MQA_OK;
}

/* c->text is empty at first: llama2 asks whether anything was written. */
static mqa_status write_chat(chat *c, const mqa_tokenizer *t, const mqa_chat_message *m, size_t n,
                             unsigned flags, mqa_error *err)
{
    bool open = flags & MQA_CHAT_OPEN_REPLY;
    if (!t || (!m && n > 0))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "chat: tokenizer or messages is NULL");
    for (size_t i = 0; i < n; i++)
        if (!m[i].role || !m[i].content)
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "chat: role or content of message %zu is NULL", i);
    switch (t->chat_form) {
    case MQA_CHAT_GEMMA:
        return gemma(c, m, n, open, err);
    case MQA_CHAT_LLAMA2:
        return llama2(c, m, n, err);
    case MQA_CHAT_LLAMA3:
        return llama3(c, m, n, open, err);
    case MQA_CHAT_CHATML:
        break;
    }
    return chatml(c, t, m, n, open, err);
}

mqa_status mqa_chat_render(const mqa_tokenizer *t, const mqa_chat_message *messages, size_t n_messages,
                           unsigned flags, mqa_text *out, mqa_error *err)
{
    if (!out) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "chat: out is NULL");
    mqa_text text = {0};
    chat c = {.text = &text};
    mqa_status status = write_chat(&c, t, messages, n_messages, flags, err);
    if (status == MQA_OK) status = mqa_text_append(out, text.bytes, text.n, err);
    free(c.spans);
    mqa_text_free(&text);
    return status;
}

mqa_status mqa_chat_encode(const mqa_tokenizer *t, const mqa_chat_message *messages, size_t n_messages,
                           unsigned flags, mqa_tokens *out, mqa_error *err)
{
    if (!out) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "chat: out is NULL");
    mqa_text text = {0};
    chat c = {.text = &text};
    size_t before = out->n;
    mqa_status status = write_chat(&c, t, messages, n_messages, flags, err);
    if (status == MQA_OK && mqa_tokenizer_adds_bos(t)) status = mqa_tokens_push(out, t->bos, err);
    if (status == MQA_OK) status = mqa_encode_spans(t, text.bytes, text.n, 0, c.spans, c.n_spans, out, err);
    if (status != MQA_OK) out->n = before;
    free(c.spans);
    mqa_text_free(&text);
    return status;
}
