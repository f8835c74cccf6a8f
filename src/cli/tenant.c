/* mqa tenant: who may use a server, and how much of it. A server that runs takes changes within a second.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "server/state.h"
#include "server/store.h"

typedef struct tenant_options {
    const char *folder, *models;
    size_t budget;
    int64_t tokens_per_minute, weight, priority;
    bool is_operator, no_operator, new_key, json;
} tenant_options;

enum { NOT_SAID = -1000 }; /* of numbers that may be set or left */

static int failed(mqa_status status, const mqa_error *err)
{
    return status == MQA_OK ? CLI_DONE : cli_error_status(status, err);
}

static json_t *tenant_json(const mqa_tenant_record *t)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:s, s:b}", "name", t->name, "budget_bytes",
                     (json_int_t)t->budget_bytes, "tokens_per_minute", (json_int_t)t->tokens_per_minute,
                     "weight", (json_int_t)t->weight, "priority", (json_int_t)t->priority, "models",
                     t->models, "operator", t->is_operator);
}

/* What was said on the command line, into the tenant. */
static void apply(const tenant_options *o, mqa_tenant_record *t)
{
    if (o->budget != SIZE_MAX) t->budget_bytes = (int64_t)o->budget;
    if (o->tokens_per_minute != NOT_SAID) t->tokens_per_minute = o->tokens_per_minute;
    if (o->weight != NOT_SAID) t->weight = o->weight;
    if (o->priority != NOT_SAID) t->priority = o->priority;
    if (o->models) snprintf(t->models, sizeof t->models, "%s", o->models);
    if (o->is_operator) t->is_operator = true;
    if (o->no_operator) t->is_operator = false;
}

static void make_key(mqa_tenant_record *t, char key[MQA_KEY_TEXT_BYTES])
{
    mqa_key_make(key);
    mqa_key_hash(key, strlen(key), t->key_hash);
}

static void show_key(const tenant_options *o, const mqa_tenant_record *t, const char *key)
{
    if (o->json) {
        json_t *json = tenant_json(t);
        if (json) json_object_set_new(json, "key", json_string(key));
        cli_print_json(json);
        return;
    }
    printf("%s\n", key);
    fprintf(stderr, "mqa tenant: this is the key of '%s'. It is shown this once: keep it.\n", t->name);
}

static int add(const tenant_options *o, mqa_store *store, const char *name)
{
    mqa_error err;
    mqa_tenant_record t = {.weight = 1};
    char key[MQA_KEY_TEXT_BYTES];
    mqa_status status = mqa_tenant_check_name(name, &err);
    if (status != MQA_OK) return cli_error(CLI_USAGE, "%s", err.message);
    snprintf(t.name, sizeof t.name, "%s", name);
    apply(o, &t);
    make_key(&t, key);
    status = mqa_store_add(store, &t, &err);
    if (status == MQA_OK) show_key(o, &t, key);
    return failed(status, &err);
}

static int set(const tenant_options *o, mqa_store *store, const char *name)
{
    mqa_error err;
    mqa_tenant_record t;
    char key[MQA_KEY_TEXT_BYTES] = "";
    mqa_status status = mqa_store_get(store, name, &t, &err);
    if (status != MQA_OK) return cli_error_status(status, &err);
    apply(o, &t);
    if (o->new_key) make_key(&t, key);
    status = mqa_store_set(store, &t, &err);
    if (status == MQA_OK && o->new_key)
        show_key(o, &t, key);
    else if (status == MQA_OK && o->json)
        cli_print_json(tenant_json(&t));
    return failed(status, &err);
}

static int remove_one(mqa_store *store, const char *name)
{
    mqa_error err;
    return failed(mqa_store_remove(store, name, &err), &err);
}

static int list_one(const tenant_options *o, mqa_store *store, const mqa_tenant_record *t)
{
    mqa_error err;
    mqa_usage_sum sum;
    const mqa_status status = mqa_store_usage(store, t->name, &sum, &err);
    if (status != MQA_OK) return cli_error_status(status, &err);
    if (o->json) {
        json_t *json = tenant_json(t);
        json_t *usage =
            json_pack("{s:I, s:I, s:I, s:I}", "requests", (json_int_t)sum.n_requests, "prompt_tokens",
                      (json_int_t)sum.prompt_tokens, "cached_tokens", (json_int_t)sum.cached_tokens,
                      "completion_tokens", (json_int_t)sum.completion_tokens);
        if (json) json_object_set_new(json, "usage", usage);
        cli_print_json(json);
        return CLI_DONE;
    }
    char rate[32] = "-", name[2 * MQA_TENANT_NAME];
    if (t->tokens_per_minute) snprintf(rate, sizeof rate, "%lld", (long long)t->tokens_per_minute);
    snprintf(name, sizeof name, "%s%s", t->name, t->is_operator ? " (operator)" : "");
    printf("%-28s %12s %12s %9lld %9lld %10lld %14lld %14lld  %s\n", name,
           t->budget_bytes ? cli_bytes((double)t->budget_bytes) : "-", rate, (long long)t->weight,
           (long long)t->priority, (long long)sum.n_requests, (long long)sum.prompt_tokens,
           (long long)sum.completion_tokens, t->models[0] ? t->models : "all");
    return CLI_DONE;
}

static int list(const tenant_options *o, mqa_store *store)
{
    mqa_error err;
    mqa_tenant_record *all;
    size_t n;
    mqa_status status = mqa_store_list(store, &all, &n, &err);
    if (status != MQA_OK) return cli_error_status(status, &err);
    if (!o->json)
        printf("%-28s %12s %12s %9s %9s %10s %14s %14s  %s\n", "tenant", "KV budget", "tokens/min", "weight",
               "priority", "requests", "prompt tokens", "answer tokens", "models");
    int code = CLI_DONE;
    for (size_t i = 0; i < n && code == CLI_DONE; i++) code = list_one(o, store, &all[i]);
    free(all);
    return code;
}

static int dispatch(const tenant_options *o, const char *verb, const char *name)
{
    const bool needs_name = strcmp(verb, "list") != 0;
    if (needs_name && !name) return cli_error(CLI_USAGE, "%s whom? Give a tenant's name", verb);
    if (!needs_name && name) return cli_error(CLI_USAGE, "unexpected word '%.80s' after list", name);
    char folder[4096];
    mqa_error err;
    mqa_status status = o->models ? mqa_tenant_check_models(o->models, &err) : MQA_OK;
    if (status != MQA_OK) return cli_error(CLI_USAGE, "--models: %s", err.message);
    status = mqa_keys_init(&err);
    if (status == MQA_OK) status = mqa_state_folder(o->folder, folder, sizeof folder, &err);
    mqa_store *store = NULL;
    if (status == MQA_OK) status = mqa_store_open(folder, &store, &err);
    if (status != MQA_OK) return cli_error_status(status, &err);
    int code = strcmp(verb, "add") == 0      ? add(o, store, name)
               : strcmp(verb, "set") == 0    ? set(o, store, name)
               : strcmp(verb, "remove") == 0 ? remove_one(store, name)
                                             : list(o, store);
    mqa_store_close(&store);
    return code;
}

int cli_tenant(int argc, char **argv)
{
    tenant_options o = {
        .budget = SIZE_MAX, .tokens_per_minute = NOT_SAID, .weight = NOT_SAID, .priority = NOT_SAID};
    const cli_option table[] = {
        {0, "state", CLI_TEXT, &o.folder, "DIR", "the server's state folder (default: ~/.local/state/mqa)", 0,
         0, false},
        {0, "kv-budget", CLI_BYTES, &o.budget, "BYTES", "of KV cache at most; 0: as much as the server has",
         0, CLI_MAX_INT, false},
        {0, "tokens-per-minute", CLI_INT, &o.tokens_per_minute, "N", "of prompts and answers; 0: no limit", 0,
         CLI_MAX_INT, false},
        {0, "weight", CLI_INT, &o.weight, "N", "of its turns where tenants wait for each other, default 1", 1,
         1000, false},
        {0, "priority", CLI_INT, &o.priority, "N",
         "its requests start before those of tenants with less, default 0", -100, 100, false},
        {0, "models", CLI_TEXT, &o.models, "NAME,…", "it may use only these; '' (default): all", 0, 0, false},
        {0, "operator", CLI_FLAG, &o.is_operator, NULL, "may see all tenants' figures", 0, 0, false},
        {0, "no-operator", CLI_FLAG, &o.no_operator, NULL, "may not", 0, 0, false},
        {0, "new-key", CLI_FLAG, &o.new_key, NULL, "set: a new key in the place of the old one", 0, 0, false},
        CLI_OPTIONS_JSON(&o),
        CLI_OPTIONS_END,
    };
    const char **words;
    int n;
    int code = cli_parse(
        argc, argv, table,
        "who may use the server.\n  add NAME     makes a tenant and shows its key, once\n  set NAME    "
        " changes what is given\n  remove NAME  takes its key away; its usage stays on record\n  list   "
        "      all of them, with what they used",
        "add|set|remove|list [NAME]", 2, &words, &n);
    if (code != CLI_GO_ON) return code;
    static const char *const verbs[] = {"add", "set", "remove", "list"};
    for (size_t i = 0; n > 0 && i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(words[0], verbs[i]) == 0) return dispatch(&o, words[0], n > 1 ? words[1] : NULL);
    return cli_error(CLI_USAGE,
                     n ? "no verb '%.80s': give add, set, remove or list" : "give add, set, remove or list",
                     n ? words[0] : "");
}
