/* Scenario files: sections of `key = value`, each key in a table that says what it is and where it goes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "planner/design.h"

enum { MAX_BYTES = 1 << 20, MAX_LINE = 2048, MAX_KEYS = 24 };

typedef enum value_kind {
    VALUE_TEXT,  /* max: bytes; given again, it goes on */
    VALUE_INT,   /* int64_t, 1 .. max */
    VALUE_COUNT, /* int64_t, 0 .. max */
    VALUE_SMALL, /* int, 1 .. max */
    VALUE_RATE,  /* double above 0 */
    VALUE_BYTES,
    VALUE_YES, /* bool: yes or no */
    VALUE_CONTEXTS,
    VALUE_KV_BOTH,
    VALUE_KV,
    VALUE_WEIGHTS,
    VALUE_DESIGNS
} value_kind;

typedef struct key {
    const char *name;
    value_kind kind;
    size_t offset; /* in mqa_scenario; of a tenant's keys: in mqa_tenant */
    int64_t max;
} key;

#define AT(member) offsetof(mqa_scenario, member)
#define OF(member) offsetof(mqa_tenant, member)

static const key top_keys[] = {{"title", VALUE_TEXT, AT(title), sizeof((mqa_scenario *)0)->title},
                               {"question", VALUE_TEXT, AT(question), sizeof((mqa_scenario *)0)->question},
                               {NULL, 0, 0, 0}};
static const key model_keys[] = {{"file", VALUE_TEXT, AT(model_file), sizeof((mqa_scenario *)0)->model_file},
                                 {"name", VALUE_TEXT, AT(shape_name), sizeof((mqa_scenario *)0)->shape_name},
                                 {"layers", VALUE_INT, AT(shape.layers), MQA_MAX_LAYERS},
                                 {"heads", VALUE_INT, AT(shape.heads), MQA_MAX_HEADS},
                                 {"kv_heads", VALUE_INT, AT(shape.kv_heads), MQA_MAX_HEADS},
                                 {"head_dim", VALUE_INT, AT(shape.head_dim), 1024},
                                 {"head_dim_v", VALUE_INT, AT(shape.head_dim_v), 1024},
                                 {"vocab", VALUE_INT, AT(shape.vocab), MQA_MAX_WIDTH},
                                 {"embd", VALUE_INT, AT(shape.embd), MQA_MAX_WIDTH},
                                 {"ff", VALUE_INT, AT(shape.ff), MQA_MAX_WIDTH},
                                 {"latent_rank", VALUE_INT, AT(shape.latent_rank), 1024},
                                 {"rope_dims", VALUE_INT, AT(shape.rope_dims), 1024},
                                 {"query_rank", VALUE_INT, AT(shape.query_rank), MQA_MAX_WIDTH},
                                 {"experts", VALUE_INT, AT(shape.experts), MQA_MAX_EXPERTS},
                                 {"experts_used", VALUE_INT, AT(shape.experts_used), MQA_MAX_EXPERTS},
                                 {"shared_experts", VALUE_COUNT, AT(shape.shared_experts), MQA_MAX_EXPERTS},
                                 {"expert_ff", VALUE_INT, AT(shape.expert_ff), MQA_MAX_WIDTH},
                                 {"dense_layers", VALUE_COUNT, AT(shape.dense_layers), MQA_MAX_LAYERS},
                                 {"window", VALUE_COUNT, AT(shape.window), MQA_MAX_CONTEXT},
                                 {"window_pattern", VALUE_COUNT, AT(shape.window_pattern), MQA_MAX_LAYERS},
                                 {"sinks", VALUE_COUNT, AT(shape.sinks), MQA_MAX_CONTEXT},
                                 {"untied", VALUE_YES, AT(shape.untied), 0},
                                 {NULL, 0, 0, 0}};
static const key machine_keys[] = {
    {"name", VALUE_TEXT, AT(machine_name), sizeof((mqa_scenario *)0)->machine_name},
    {"bandwidth", VALUE_RATE, AT(machine.bandwidth), 0},
    {"f32", VALUE_RATE, AT(machine.peak[MQA_RATE_F32]), 0},
    {"bf16", VALUE_RATE, AT(machine.peak[MQA_RATE_BF16]), 0},
    {"int8", VALUE_RATE, AT(machine.peak[MQA_RATE_INT8]), 0},
    {"memory", VALUE_BYTES, AT(machine.memory), 0},
    {NULL, 0, 0, 0}};
static const key demand_keys[] = {{"context", VALUE_CONTEXTS, AT(demand), 0},
                                  {"generate", VALUE_COUNT, AT(demand.generate), MQA_MAX_CONTEXT},
                                  {"requests", VALUE_INT, AT(demand.requests), MQA_MAX_REQUESTS},
                                  {"shared", VALUE_COUNT, AT(demand.shared), MQA_MAX_CONTEXT},
                                  {"chunk", VALUE_SMALL, AT(demand.chunk), 65536},
                                  {"page_tokens", VALUE_SMALL, AT(demand.page_tokens), 256},
                                  {"kv_type", VALUE_KV_BOTH, AT(demand), 0},
                                  {"k_type", VALUE_KV, AT(demand.k_type), 0},
                                  {"v_type", VALUE_KV, AT(demand.v_type), 0},
                                  {"weights", VALUE_WEIGHTS, AT(demand.weights), 0},
                                  {"memory", VALUE_BYTES, AT(demand.memory), 0},
                                  {"tokens_per_s", VALUE_RATE, AT(demand.want_tokens_per_s), 0},
                                  {"prompt_ms", VALUE_RATE, AT(demand.want_prompt_ms), 0},
                                  {"designs", VALUE_DESIGNS, AT(designs), 0},
                                  {NULL, 0, 0, 0}};
static const key tenant_keys[] = {{"requests", VALUE_INT, OF(requests), MQA_MAX_REQUESTS},
                                  {"context", VALUE_INT, OF(context), MQA_MAX_CONTEXT},
                                  {"shared", VALUE_COUNT, OF(shared), MQA_MAX_CONTEXT},
                                  {"budget", VALUE_BYTES, OF(budget_bytes), 0},
                                  {NULL, 0, 0, 0}};

typedef struct parser {
    const char *path;
    int line;
    mqa_scenario *out;
    const key *keys; /* of the section; NULL before the first line that needs one */
    const char *section;
    unsigned char *base; /* what offsets count from */
    bool seen[MAX_KEYS]; /* by place in keys */
    unsigned sections;   /* seen: bits 1 model, 2 machine, 4 demand */
    bool has_shape;      /* any key of [model] but file */
    mqa_error *err;
} parser;

__attribute__((format(printf, 2, 3))) static mqa_status wrong(const parser *p, const char *fmt, ...)
{
    char text[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return mqa_fail(p->err, MQA_ERR_FORMAT, "%s, line %d: %s", p->path, p->line, text);
}

/* ---- values ---- */

static bool parse_int(const char *text, int64_t min, int64_t max, int64_t *out)
{
    if (*text < '0' || *text > '9') return false;
    int64_t n = 0;
    for (; *text; text++) {
        if (*text == '_') continue; /* 60_000 */
        if (*text < '0' || *text > '9' || n > (max - (*text - '0')) / 10) return false;
        n = 10 * n + (*text - '0');
    }
    *out = n;
    return n >= min && n <= max;
}

static mqa_status take_text(const parser *p, const key *k, const char *value, char *out)
{
    const size_t have = strlen(out), more = strlen(value) + (have > 0);
    if (have + more >= (size_t)k->max)
        return wrong(p, "%s is longer than %d bytes", k->name, (int)k->max - 1);
    snprintf(out + have, (size_t)k->max - have, "%s%s", have ? " " : "", value);
    return MQA_OK;
}

/* Calls take with each word of a list with commas between. */
typedef mqa_status word_fn(parser *p, const char *word);
static mqa_status each_word(parser *p, const key *k, const char *value, word_fn *take)
{
    char word[64];
    for (const char *at = value;; at++) {
        at += strspn(at, " \t");
        size_t n = strcspn(at, ","), length = n;
        while (length > 0 && (at[length - 1] == ' ' || at[length - 1] == '\t')) length--;
        if (length == 0 || length >= sizeof word)
            return wrong(p, "%s: give words with commas between, not '%.60s'", k->name, value);
        memcpy(word, at, length);
        word[length] = 0;
        MQA_TRY(take(p, word));
        at += n;
        if (*at == 0) return MQA_OK;
    }
}

static mqa_status take_context(parser *p, const char *word)
{
    mqa_demand *d = &p->out->demand;
    int64_t n;
    if (!parse_int(word, 1, MQA_MAX_CONTEXT, &n))
        return wrong(p, "context '%s': give 1 to %" PRId64 " tokens", word, MQA_MAX_CONTEXT);
    if (d->n_contexts == MQA_DEMAND_CONTEXTS) return wrong(p, "more than %d contexts", MQA_DEMAND_CONTEXTS);
    d->contexts[d->n_contexts++] = n;
    return MQA_OK;
}

static mqa_status take_design(parser *p, const char *word)
{
    mqa_variant variant;
    mqa_error detail;
    if (mqa_variant_parse(word, &variant, &detail) != MQA_OK) return wrong(p, "%s", detail.message);
    if (p->out->n_designs == MQA_VARIANTS) return wrong(p, "more than %d designs", MQA_VARIANTS);
    p->out->designs[p->out->n_designs++] = variant;
    return MQA_OK;
}

static mqa_status take_int(const parser *p, const key *k, const char *value, int64_t min, int64_t *out)
{
    if (parse_int(value, min, k->max, out)) return MQA_OK;
    return wrong(p, "%s = '%.60s': give a whole number from %d to %" PRId64, k->name, value, (int)min,
                 k->max);
}

static mqa_status take_value(parser *p, const key *k, const char *value)
{
    void *const out = p->base + k->offset;
    mqa_error detail = {.message = ""};
    mqa_kv_type type;
    int64_t n = 0;
    switch (k->kind) {
    case VALUE_TEXT:
        return take_text(p, k, value, out);
    case VALUE_INT:
        return take_int(p, k, value, 1, out);
    case VALUE_COUNT:
        return take_int(p, k, value, 0, out);
    case VALUE_SMALL:
        MQA_TRY(take_int(p, k, value, 1, &n));
        *(int *)out = (int)n;
        return MQA_OK;
    case VALUE_RATE:
        if (!mqa_parse_rate(value, out)) break;
        return MQA_OK;
    case VALUE_BYTES:
        if (!mqa_parse_bytes(value, out)) break;
        return MQA_OK;
    case VALUE_YES:
        if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0) break;
        *(bool *)out = value[0] == 'y';
        return MQA_OK;
    case VALUE_CONTEXTS:
        p->out->demand.n_contexts = 0;
        return each_word(p, k, value, take_context);
    case VALUE_DESIGNS:
        return each_word(p, k, value, take_design);
    case VALUE_KV:
    case VALUE_KV_BOTH:
        if (mqa_kv_type_parse(value, &type, &detail) != MQA_OK) return wrong(p, "%s", detail.message);
        if (k->kind == VALUE_KV)
            *(mqa_kv_type *)out = type;
        else
            p->out->demand.k_type = p->out->demand.v_type = type;
        return MQA_OK;
    case VALUE_WEIGHTS:
        if (mqa_weights_parse(value, out, &detail) != MQA_OK) return wrong(p, "%s", detail.message);
        return MQA_OK;
    }
    return wrong(p, "%s = '%.60s': give %s", k->name, value,
                 k->kind == VALUE_BYTES ? "bytes, as in 2GiB"
                 : k->kind == VALUE_YES ? "yes or no"
                                        : "a number above 0, as in 42GB/s or 1.5");
}

/* ---- lines ---- */

static mqa_status begin_tenant(parser *p, const char *name)
{
    mqa_demand *d = &p->out->demand;
    if (d->n_tenants == MQA_DEMAND_TENANTS) return wrong(p, "more than %d tenants", MQA_DEMAND_TENANTS);
    mqa_tenant *t = &d->tenants[d->n_tenants++];
    *t = (mqa_tenant){.requests = 1, .context = 4096};
    if (strlen(name) >= sizeof t->name)
        return wrong(p, "a tenant's name is longer than %zu bytes", sizeof t->name - 1);
    snprintf(t->name, sizeof t->name, "%s", name);
    p->keys = tenant_keys;
    p->section = "tenant";
    p->base = (unsigned char *)t;
    return MQA_OK;
}

/* line: "[model]", trimmed. */
static mqa_status begin_section(parser *p, char *line)
{
    static const struct {
        const char *name;
        const key *keys;
    } sections[] = {{"model", model_keys}, {"machine", machine_keys}, {"demand", demand_keys}};
    const size_t length = strlen(line);
    if (line[length - 1] != ']') return wrong(p, "'%.60s': a section ends with ]", line);
    line[length - 1] = 0;
    const char *name = line + 1;
    memset(p->seen, 0, sizeof p->seen);
    if (strncmp(name, "tenant ", 7) == 0 && name[7 + strspn(name + 7, " ")])
        return begin_tenant(p, name + 7 + strspn(name + 7, " "));
    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(name, sections[i].name) != 0) continue;
        if (p->sections & 1u << i) return wrong(p, "[%s] comes twice", name);
        p->sections |= 1u << i;
        p->keys = sections[i].keys;
        p->section = sections[i].name;
        p->base = (unsigned char *)p->out;
        return MQA_OK;
    }
    return wrong(p, "no section [%.60s]: there are model, machine, demand, and tenant NAME", name);
}

static char *trim(char *text)
{
    while (*text == ' ' || *text == '\t') text++;
    char *end = text + strlen(text);
    while (end > text && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r')) *--end = 0;
    return text;
}

static mqa_status take_line(parser *p, char *line)
{
    if (line[0] == '[') return begin_section(p, line);
    char *equals = strchr(line, '=');
    if (!equals) return wrong(p, "'%.60s': give key = value, or a [section]", line);
    *equals = 0;
    const char *name = trim(line), *value = trim(equals + 1);
    for (int i = 0; p->keys[i].name; i++) {
        const key *k = &p->keys[i];
        if (strcmp(k->name, name) != 0) continue;
        if (*value == 0) return wrong(p, "%s has no value", name);
        if (p->seen[i] && !(k->kind == VALUE_TEXT && p->keys == top_keys))
            return wrong(p, "%s is given twice", name);
        p->seen[i] = true;
        if (p->keys == model_keys && i > 0) p->has_shape = true;
        return take_value(p, k, value);
    }
    return wrong(p, "no key '%.60s' in %s%s", name, p->section, p->keys == top_keys ? "" : "'s section");
}

static mqa_status take_lines(parser *p, const char *text, size_t size)
{
    char line[MAX_LINE];
    for (size_t at = 0; at < size;) {
        p->line++;
        const char *end = memchr(text + at, '\n', size - at);
        const size_t length = end ? (size_t)(end - (text + at)) : size - at;
        if (length >= sizeof line) return wrong(p, "longer than %d bytes", MAX_LINE - 1);
        memcpy(line, text + at, length);
        line[length] = 0;
        at += length + 1;
        if (strlen(line) != length) return wrong(p, "a zero byte");
        char *comment = strchr(line, '#');
        if (comment) *comment = 0;
        char *rest = trim(line);
        if (*rest) MQA_TRY(take_line(p, rest));
    }
    return MQA_OK;
}

/* ---- the whole ---- */

/* A model's file is beside the scenario unless its path begins at the root. */
static mqa_status settle_file(const parser *p)
{
    mqa_scenario *s = p->out;
    const char *slash = strrchr(p->path, '/');
    if (!s->model_file[0] || s->model_file[0] == '/' || !slash) return MQA_OK;
    char whole[sizeof s->model_file];
    const int n = snprintf(whole, sizeof whole, "%.*s/%s", (int)(slash - p->path), p->path, s->model_file);
    if (n >= (int)sizeof whole) return wrong(p, "the path of the model's file is too long");
    memcpy(s->model_file, whole, (size_t)n + 1);
    return MQA_OK;
}

mqa_status mqa_scenario_parse(const char *path, const char *text, size_t size, mqa_scenario *out,
                              mqa_error *err)
{
    *out = (mqa_scenario){0};
    mqa_demand_default(&out->demand);
    parser p = {.path = path,
                .out = out,
                .keys = top_keys,
                .section = "the file's beginning",
                .base = (unsigned char *)out,
                .err = err};
    if (size > MAX_BYTES)
        return mqa_fail(err, MQA_ERR_FORMAT, "%s: %zu bytes: no scenario is so long", path, size);
    MQA_TRY(take_lines(&p, text, size));
    if (!(p.sections & 1) || (!out->model_file[0] && !p.has_shape))
        return wrong(&p, "the file ends without a [model] that has a file or a shape");
    if (out->model_file[0] && p.has_shape)
        return wrong(&p, "[model] has a file and a shape: give one of them");
    out->shape.name = out->shape_name;
    return settle_file(&p);
}

bool mqa_is_scenario(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size && strchr(" \t\r\n", text[at]) && text[at]) at++;
    const bool json = at < size && (text[at] == '{');
    return !json && !(size >= 4 && memcmp(text, "GGUF", 4) == 0);
}
