/* What commands with a context, a model or a text have in common.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "args.h"
#include "tokenizer/array.h"

int cli_open_context(const cli_common *common, mqa_context **out)
{
    mqa_error err;
    mqa_context_options options = mqa_context_options_default();
    options.isa = cli_isa;
    options.numerics = common->numerics;
    options.n_threads = (int)common->threads;
    mqa_status status = mqa_context_create(&options, out, &err);
    return status == MQA_OK ? CLI_DONE : cli_error_status(status, &err);
}

int cli_open_model(const cli_common *common, const char *path, mqa_context **ctx, mqa_model **model)
{
    *ctx = NULL;
    *model = NULL;
    int code = cli_open_context(common, ctx);
    if (code != CLI_DONE) return code;
    static char label[] = "loading";
    mqa_model_options options = {
        .struct_size = sizeof options, .progress = cli_progress, .progress_user = label};
    mqa_error err;
    mqa_status status = mqa_model_load(*ctx, path, &options, model, &err);
    cli_progress_clear();
    if (status == MQA_OK) return CLI_DONE;
    mqa_context_destroy(ctx);
    return cli_error_status(status, &err);
}

int cli_read_prompt(const char *prompt, const char *file, mqa_text *out)
{
    if (prompt && file)
        return cli_error(CLI_USAGE, "both a prompt and a file: give -p or -f, or neither to read stdin");
    if (!prompt) return cli_read_text(file, out);
    mqa_error err;
    mqa_status status = mqa_text_append(out, prompt, strlen(prompt), &err);
    return status == MQA_OK ? CLI_DONE : cli_error_status(status, &err);
}
