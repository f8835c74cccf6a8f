/* mqa serve: OpenAI's completions for many tenants, until SIGTERM or Ctrl-C.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "server/service.h"
#include "server/state.h"

typedef struct serve_options {
    cli_common common;
    mqa_service_options service;
    const char *admission, *folder;
    int64_t port, max_connections, draft_max;
    double drain_seconds;
    bool quiet;
} serve_options;

/* A signal writes a byte here, and main waits for one. */
static int wake_pipe[2];

static void on_signal(int signal_number)
{
    (void)signal_number;
    const ssize_t n = write(wake_pipe[1], "x", 1);
    (void)n;
}

static int catch_signals(void)
{
    if (pipe(wake_pipe) != 0) return cli_error(CLI_FAILED, "no pipe for signals");
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    return CLI_DONE;
}

static void log_line(void *user, const char *line)
{
    (void)user;
    fprintf(stderr, "%s\n", line);
}

static void say_ready(const serve_options *o, const mqa_service *service)
{
    const bool v6 = strchr(o->service.host, ':') != NULL;
    if (o->common.json)
        cli_print_json(json_pack("{s:s, s:s, s:i}", "event", "ready", "host", o->service.host, "port",
                                 mqa_service_port(service)));
    else
        printf("mqa serve: ready at http://%s%s%s:%d\n", v6 ? "[" : "", o->service.host, v6 ? "]" : "",
               mqa_service_port(service));
    fflush(stdout);
}

static int work(serve_options *o)
{
    char folder[4096];
    mqa_error err;
    mqa_context *ctx;
    mqa_model *model;
    mqa_status status = mqa_state_folder(o->folder, folder, sizeof folder, &err);
    if (status != MQA_OK) return cli_error_status(status, &err);
    int code = catch_signals();
    if (code == CLI_DONE) code = cli_open_model(&o->common, o->service.model_path, &ctx, &model);
    if (code != CLI_DONE) return code;
    mqa_service *service = NULL;
    o->service.state_folder = folder;
    status = mqa_service_start(ctx, model, &o->service, &service, &err);
    if (status == MQA_OK) {
        char byte;
        say_ready(o, service);
        while (read(wake_pipe[0], &byte, 1) < 0) continue;
        mqa_service_stop(&service, o->drain_seconds);
    } else {
        code = cli_error_status(status, &err);
    }
    mqa_model_destroy(&model);
    mqa_context_destroy(&ctx);
    return code;
}

int cli_serve(int argc, char **argv)
{
    serve_options o = {.common = CLI_COMMON_DEFAULT,
                       .service = mqa_service_options_default(),
                       .admission = "reserve",
                       .drain_seconds = 60};
    mqa_service_options *s = &o.service;
    o.port = s->port;
    o.max_connections = s->max_connections;
    o.draft_max = s->draft_max;
    const cli_option table[] = {
        CLI_OPTIONS_MODEL(&s->model_path),
        {0, "host", CLI_TEXT, &s->host, "ADDRESS",
         "where to listen, default 127.0.0.1; others need tenants' keys", 0, 0, false},
        {'p', "port", CLI_INT, &o.port, "N", "default 8080; 0: any that is free", 0, 65535, false},
        {0, "state", CLI_TEXT, &o.folder, "DIR", "tenants and usage (default: ~/.local/state/mqa)", 0, 0,
         false},
        {'c', "ctx-size", CLI_INT, &s->context, "N",
         "tokens of a request with its answer; 0 (default): the model's", 0, INT32_MAX, false},
        {0, "kv-budget", CLI_BYTES, &s->kv_budget, "BYTES",
         "of KV cache for all, never exceeded (default: a quarter of the memory)", 1, CLI_MAX_INT, false},
        {0, "admission", CLI_TEXT, &o.admission, "reserve|overcommit",
         "let in what is sure to finish (default), or more, and put some back when memory is short", 0, 0,
         false},
        CLI_OPTIONS_DRAFT(&o.draft_max),
        {0, "spill", CLI_TEXT, &s->spill, "DIR|off",
         "what overcommit puts back goes to files there while it waits (default: spill in the state folder), "
         "or is computed again",
         0, 0, false},
        {0, "spill-limit", CLI_BYTES, &s->spill_limit, "BYTES", "there at most (default: as --kv-budget)", 1,
         CLI_MAX_INT, false},
        {0, "max-tokens", CLI_INT, &s->default_max_tokens, "N",
         "of a chat's answer, where the request doesn't say; default 1024", 1, INT32_MAX, false},
        {0, "queue-seconds", CLI_REAL, &s->queue_seconds, "S",
         "how long a request may wait for memory, default 300", 0.001, 86400, false},
        {0, "max-body", CLI_BYTES, &s->max_body_bytes, "BYTES", "of a request, default 16MiB", 1024, 1e9,
         false},
        {0, "max-header", CLI_BYTES, &s->max_header_bytes, "BYTES", "of a request's headers, default 32KiB",
         4096, 1e6, false},
        {0, "max-connections", CLI_INT, &o.max_connections, "N", "at once, default 2048", 1, 100000, false},
        {0, "header-seconds", CLI_REAL, &s->header_seconds, "S", "for the headers to come, default 30", 0.1,
         3600, false},
        {0, "body-seconds", CLI_REAL, &s->body_seconds, "S", "for the body to come, default 60", 0.1, 3600,
         false},
        {0, "drain-seconds", CLI_REAL, &o.drain_seconds, "S",
         "after SIGTERM, for the answers that are under way; default 60", 0, 86400, false},
        {'q', "quiet", CLI_FLAG, &o.quiet, NULL, "no log on stderr", 0, 0, false},
        CLI_OPTIONS_SESSION(&o.common),
        CLI_OPTIONS_CONTEXT(&o.common),
        CLI_OPTIONS_END,
    };
    int code = cli_parse(
        argc, argv, table,
        "serves a model to many tenants over OpenAI's interface.\nOne line on stdout says that it is "
        "ready; the log, a JSON object a line, goes to stderr.",
        NULL, 0, NULL, NULL);
    if (code != CLI_GO_ON) return code;
    if (!s->model_path) return cli_error(CLI_USAGE, "no model: give -m FILE");
    mqa_error err;
    if (mqa_admission_parse(o.admission, &s->admission, &err) != MQA_OK)
        return cli_error(CLI_USAGE, "--admission: %s", err.message);
    if (s->admission != MQA_ADMISSION_OVERCOMMIT && (s->spill || s->spill_limit > 0))
        return cli_error(CLI_USAGE,
                         "--spill and --spill-limit are for --admission overcommit: nothing is put "
                         "back otherwise");
    s->port = (int)o.port;
    s->max_connections = (int)o.max_connections;
    s->draft_max = (int)o.draft_max;
    s->k_type = o.common.kv[0];
    s->v_type = o.common.kv[1];
    s->kv_plain = o.common.kv_plain;
    if (!o.quiet) s->log = log_line;
    return work(&o);
}
