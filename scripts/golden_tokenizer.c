/* Ids by llama.cpp, for golden_tokenizer.py: one text in hex a line on stdin; on stdout its ids without and
 * with special tokens parsed.
 *
 *     cc golden_tokenizer.c -I LLAMA/include -I LLAMA/ggml/include -L LLAMA/bin -lllama -lggml-base
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void quiet(enum ggml_log_level level, const char *text, void *user)
{
    (void)level, (void)text, (void)user;
}

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    llama_log_set(quiet, NULL);
    struct llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    struct llama_model *model = llama_model_load_from_file(argv[1], params);
    if (!model) return 1;
    const struct llama_vocab *vocab = llama_model_get_vocab(model);
    static char line[1 << 20], text[1 << 19];
    static llama_token ids[1 << 20];
    while (fgets(line, sizeof line, stdin)) {
        int n = (int)strcspn(line, "\n") / 2;
        for (int i = 0; i < n; i++) {
            unsigned byte;
            sscanf(line + 2 * i, "%2x", &byte);
            text[i] = (char)byte;
        }
        for (int parse = 0; parse < 2; parse++) {
            int count = llama_tokenize(vocab, text, n, ids, 1 << 20, false, parse);
            for (int i = 0; i < count; i++) printf("%s%d", i ? "," : "", ids[i]);
            putchar(parse ? '\n' : '\t');
        }
    }
    return 0;
}
