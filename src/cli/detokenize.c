/* mqa detokenize: token ids to text.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "tokenizer/array.h"

static int take_id(const char *word, int wrong, mqa_tokens *ids)
{
    int64_t n;
    mqa_error err;
    if (!cli_parse_int(word, &n) || n < 0 || n > INT32_MAX)
        return cli_error(wrong, "'%.80s' is no token id: give whole numbers from 0", word);
    mqa_status status = mqa_tokens_push(ids, (int32_t)n, &err);
    return status == MQA_OK ? CLI_DONE : cli_error_status(status, &err);
}

/* Ids in a text, with anything of blanks, commas and brackets between: what `mqa tokenize` prints, and
 * what other programs do. */
static int take_text(char *text, mqa_tokens *ids)
{
    static const char between[] = " \t\r\n,[]";
    char *rest = NULL;
    int code = CLI_DONE;
    for (char *word = strtok_r(text, between, &rest); word && code == CLI_DONE;
         word = strtok_r(NULL, between, &rest))
        code = take_id(word, CLI_FAILED, ids);
    return code;
}

static mqa_status decode(const mqa_tokenizer *tokenizer, const mqa_tokens *ids, unsigned flags, bool utf8,
                         mqa_text *out, mqa_error *err)
{
    if (!utf8) return mqa_tokenizer_decode(tokenizer, ids->ids, ids->n, flags, out, err);
    mqa_detokenizer *stream = NULL;
    mqa_status status = mqa_detokenizer_create(tokenizer, flags, &stream, err);
    for (size_t i = 0; status == MQA_OK && i < ids->n; i++)
        status = mqa_detokenizer_push(stream, ids->ids[i], out, err);
    if (status == MQA_OK) status = mqa_detokenizer_finish(stream, out, err);
    mqa_detokenizer_destroy(&stream);
    return status;
}

int cli_detokenize(int argc, char **argv)
{
    const char *path = NULL, *file = NULL;
    bool json = false, special = false;
    const cli_option table[] = {
        CLI_OPTIONS_MODEL(&path),
        {'f', "file", CLI_TEXT, &file, "FILE", "a file with the ids (default: stdin)", 0, 0, false},
        {0, "special", CLI_FLAG, &special, NULL, "control tokens as their text", 0, 0, false},
        {0, "json", CLI_FLAG, &json, NULL, "print one JSON object", 0, 0, false},
        CLI_OPTIONS_END,
    };
    const char **words;
    int n_words;
    int code = cli_parse(argc, argv, table, "prints the text of token ids, exactly.", "[ID...]", 1 << 20,
                         &words, &n_words);
    if (code != CLI_GO_ON) return code;
    if (!path) return cli_error(CLI_USAGE, "no model: give -m FILE");
    if (file && n_words) return cli_error(CLI_USAGE, "both ids and a file: give one");

    mqa_text text = {0}, out = {0};
    mqa_tokens ids = {0};
    mqa_tokenizer *tokenizer = NULL;
    code = CLI_DONE;
    for (int i = 0; i < n_words && code == CLI_DONE; i++) code = take_id(words[i], CLI_USAGE, &ids);
    if (code == CLI_DONE && !n_words) {
        code = cli_read_text(file, &text);
        if (code == CLI_DONE && text.n && memchr(text.bytes, 0, text.n))
            code = cli_error(CLI_FAILED, "%s: holds a NUL, so it is no list of ids", file ? file : "stdin");
        if (code == CLI_DONE && text.n) code = take_text(text.bytes, &ids);
    }
    if (code == CLI_DONE) {
        mqa_error err;
        unsigned flags = MQA_DECODE_STRIP_PREFIX | (special ? MQA_DECODE_SPECIAL : 0);
        mqa_status status = mqa_tokenizer_load(path, &tokenizer, &err);
        if (status == MQA_OK) status = decode(tokenizer, &ids, flags, json, &out, &err);
        if (status != MQA_OK) {
            code = cli_error_status(status, &err);
        } else if (json) {
            cli_print_json(json_pack("{s:o}", "text", json_stringn(out.n ? out.bytes : "", out.n)));
        } else {
            if (out.n) fwrite(out.bytes, 1, out.n, stdout);
            if (isatty(STDOUT_FILENO)) putchar('\n');
        }
    }
    mqa_tokenizer_destroy(&tokenizer);
    mqa_tokens_free(&ids);
    mqa_text_free(&text);
    mqa_text_free(&out);
    return code;
}
