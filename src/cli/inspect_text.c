/* The texts of `mqa inspect`, as tokens of documents.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

static const char *short_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* The encoding of n bytes becomes the next document. Only the text's beginning has a BOS. */
static int add_document(inspect_job *job, const char *text, size_t n, const char *name, int part)
{
    if (job->n_documents == MQA_INSPECT_DOCUMENTS)
        return cli_error(CLI_USAGE, "more than %d documents: take fewer, or a longer --separator",
                         MQA_INSPECT_DOCUMENTS);
    const size_t before = job->tokens.n;
    mqa_error err;
    const mqa_status status = mqa_tokenizer_encode(mqa_model_tokenizer(job->model), text, n,
                                                   before ? 0 : MQA_ENCODE_ADD_SPECIAL, &job->tokens, &err);
    if (status != MQA_OK) return cli_error_status(status, &err);
    if (job->tokens.n == before) return cli_error(CLI_FAILED, "%s: a text without a token", name);
    inspect_document *document = &job->documents[job->n_documents++];
    if (part > 0)
        snprintf(document->name, sizeof document->name, "%.120s %d", name, part);
    else
        snprintf(document->name, sizeof document->name, "%.150s", name);
    mqa_one_line(document->name);
    document->first = (int64_t)before;
    document->n_tokens = (int64_t)(job->tokens.n - before);
    return CLI_DONE;
}

static int add_text(inspect_job *job, const mqa_text *text, const char *name)
{
    const char *at = text->n ? text->bytes : "";
    size_t left = text->n;
    const size_t n = job->separator ? strlen(job->separator) : 0;
    int code = CLI_DONE;
    for (int part = 1; n && code == CLI_DONE; part++) {
        const char *found = left ? memmem(at, left, job->separator, n) : NULL;
        const size_t end = found ? (size_t)(found - at) + n : 0;
        if (!found || end == left) /* the rest is one document */
            return add_document(job, at, left, name, part > 1 ? part : 0);
        code = add_document(job, at, end, name, part);
        at += end;
        left -= end;
    }
    return n ? code : add_document(job, at, left, name, 0);
}

/* Keeps the first n tokens and the documents that have some of them. */
static void cut(inspect_job *job, int64_t n)
{
    if ((int64_t)job->tokens.n <= n) return;
    job->tokens.n = (size_t)n;
    while (job->documents[job->n_documents - 1].first >= n) job->n_documents--;
    inspect_document *last = &job->documents[job->n_documents - 1];
    last->n_tokens = n - last->first;
}

static int encode(inspect_job *job, const mqa_text *texts, int n)
{
    int code = cli_open_model(&job->common, job->model_path, &job->ctx, &job->model);
    if (code != CLI_DONE) return code;
    mqa_model_get_info(job->model, &job->info);
    for (int i = 0; i < n && code == CLI_DONE; i++)
        code = add_text(job, &texts[i],
                        job->files.n  ? short_name(job->files.at[i])
                        : job->prompt ? "prompt"
                                      : "stdin");
    if (code == CLI_DONE && job->most_tokens) cut(job, job->most_tokens);
    return code;
}

/* Texts first, since a wrong name shows at once and a model takes a while. */
int inspect_read(inspect_job *job)
{
    const int n = job->files.n ? job->files.n : 1;
    mqa_text *texts = calloc((size_t)n, sizeof *texts);
    if (!texts) return cli_error(CLI_FAILED, "no memory for %d texts", n);
    int code = CLI_DONE;
    for (int i = 0; i < n && code == CLI_DONE; i++)
        code = cli_read_prompt(job->prompt, job->files.n ? job->files.at[i] : NULL, &texts[i]);
    if (code == CLI_DONE) code = encode(job, texts, n);
    for (int i = 0; i < n; i++) mqa_text_free(&texts[i]);
    free(texts);
    return code;
}
