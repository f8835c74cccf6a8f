/* mqa tokenize: text to token ids.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdio.h>

#include "args.h"

static void print_ids(const mqa_tokens *tokens)
{
    for (size_t i = 0; i < tokens->n; i++) printf("%s%" PRId32, i ? " " : "", tokens->ids[i]);
    if (tokens->n) putchar('\n');
}

/* "1234 'text'": control bytes and quotes as escapes, so that a line stays one. */
static void print_pieces(const mqa_tokenizer *tokenizer, const mqa_tokens *tokens)
{
    for (size_t i = 0; i < tokens->n; i++) {
        size_t n = 0;
        const char *piece = mqa_tokenizer_piece(tokenizer, tokens->ids[i], &n);
        printf("%6" PRId32 " '", tokens->ids[i]);
        for (size_t j = 0; j < n; j++) {
            unsigned char c = (unsigned char)piece[j];
            if (c < 0x20 || c == 0x7f)
                printf("\\x%02x", c);
            else
                printf(c == '\'' || c == '\\' ? "\\%c" : "%c", c);
        }
        printf("'\n");
    }
}

static void print_object(const mqa_tokens *tokens)
{
    json_t *ids = json_array();
    for (size_t i = 0; i < tokens->n; i++) json_array_append_new(ids, json_integer(tokens->ids[i]));
    cli_print_json(json_pack("{s:o, s:I}", "ids", ids, "tokens", (json_int_t)tokens->n));
}

int cli_tokenize(int argc, char **argv)
{
    const char *path = NULL, *prompt = NULL, *file = NULL;
    bool json = false, pieces = false, no_bos = false, no_special = false;
    const cli_option table[] = {
        CLI_OPTIONS_MODEL(&path),
        {'p', "prompt", CLI_TEXT, &prompt, "TEXT", "the text", 0, 0, false},
        {'f', "file", CLI_TEXT, &file, "FILE", "the text's file (default: stdin)", 0, 0, false},
        {0, "no-bos", CLI_FLAG, &no_bos, NULL, "no tokens that the text doesn't hold", 0, 0, false},
        {0, "no-parse-special", CLI_FLAG, &no_special, NULL, "\"<eos>\" in the text is plain text", 0, 0,
         false},
        {0, "pieces", CLI_FLAG, &pieces, NULL, "one token a line, with its text", 0, 0, false},
        {0, "json", CLI_FLAG, &json, NULL, "print one JSON object", 0, 0, false},
        CLI_OPTIONS_END,
    };
    int code = cli_parse(argc, argv, table, "prints the token ids of a text.", NULL, 0, NULL, NULL);
    if (code != CLI_GO_ON) return code;
    if (!path) return cli_error(CLI_USAGE, "no model: give -m FILE");
    if (json && pieces) return cli_error(CLI_USAGE, "both --json and --pieces: give one");

    mqa_text text = {0};
    mqa_tokenizer *tokenizer = NULL;
    mqa_tokens tokens = {0};
    code = cli_read_prompt(prompt, file, &text);
    if (code == CLI_DONE) {
        mqa_error err;
        unsigned flags = (no_bos ? 0 : MQA_ENCODE_ADD_SPECIAL) | (no_special ? 0 : MQA_ENCODE_PARSE_SPECIAL);
        mqa_status status = mqa_tokenizer_load(path, &tokenizer, &err);
        if (status == MQA_OK)
            status =
                mqa_tokenizer_encode(tokenizer, text.bytes ? text.bytes : "", text.n, flags, &tokens, &err);
        if (status != MQA_OK)
            code = cli_error_status(status, &err);
        else if (json)
            print_object(&tokens);
        else if (pieces)
            print_pieces(tokenizer, &tokens);
        else
            print_ids(&tokens);
    }
    mqa_tokens_free(&tokens);
    mqa_tokenizer_destroy(&tokenizer);
    mqa_text_free(&text);
    return code;
}
