/* Options of the subcommands, over popt.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CLI_ARGS_H
#define MQA_CLI_ARGS_H

#include <stdint.h>

#include "cli.h"
#include "mqa/cache.h"
#include "mqa/model.h"

/* What an option's value is and what out points to. */
typedef enum cli_kind {
    CLI_FLAG,    /* bool, no value */
    CLI_TEXT,    /* const char *, valid until cli_args_free */
    CLI_TEXTS,   /* cli_texts: the option may come several times */
    CLI_INT,     /* int64_t, lo .. hi */
    CLI_REAL,    /* double, lo .. hi */
    CLI_BYTES,   /* size_t, lo .. hi: "2GiB", "1500000" (base/bytes.h) */
    CLI_LIST,    /* cli_list, each lo .. hi */
    CLI_KV,      /* mqa_kv_type */
    CLI_KV_BOTH, /* mqa_kv_type[2] */
    CLI_NUMERICS /* mqa_numerics */
} cli_kind;

typedef struct cli_list {
    int64_t at[16];
    int n;
} cli_list;

typedef struct cli_texts {
    const char *at[64];
    int n;
} cli_texts;

typedef struct cli_option {
    char letter;      /* 0: none */
    const char *name; /* NULL ends a table */
    cli_kind kind;
    void *out;         /* holds the default */
    const char *value; /* "N", for help */
    const char *help;
    double lo, hi;
    bool one_dash; /* "-ctk" is taken as "--ctk" */
} cli_option;

#define CLI_MAX_OPTIONS 64
#define CLI_MAX_INT     9007199254740991.0 /* what JSON numbers hold exactly */

/* Options of every command that has a context, and of those that have a cache. */
typedef struct cli_common {
    int64_t threads;
    mqa_numerics numerics;
    mqa_kv_type kv[2]; /* K, V */
    bool kv_plain;
    bool json;
} cli_common;

#define CLI_COMMON_DEFAULT                                                                                   \
    {                                                                                                        \
        .kv = { MQA_KV_BF16, MQA_KV_BF16 }                                                                   \
    }

/* clang-format off */
#define CLI_OPTIONS_JSON(c)                                                                                  \
    {.name = "json", .kind = CLI_FLAG, .out = &(c)->json, .help = "print JSON, one object a line"}
#define CLI_OPTIONS_CONTEXT(c)                                                                               \
    {.letter = 't', .name = "threads", .kind = CLI_INT, .out = &(c)->threads, .value = "N",                  \
     .help = "threads (default: one for each CPU at hand)", .lo = 1, .hi = 1024},                            \
    {.name = "numerics", .kind = CLI_NUMERICS, .out = &(c)->numerics, .value = "fast|portable",              \
     .help = "what this CPU does best (default), or the same bits on every CPU"},                            \
    CLI_OPTIONS_JSON(c)
#define CLI_OPTIONS_KV(c)                                                                                    \
    {.name = "kv-type", .kind = CLI_KV_BOTH, .out = (c)->kv, .value = "TYPE",                                \
     .help = "KV cache: f32, bf16 (default), f16, fp8_e4m3, fp8_e5m2, int8, int4"},                          \
    {.name = "ctk", .kind = CLI_KV, .out = &(c)->kv[0], .value = "TYPE", .help = "format of K alone",        \
     .one_dash = true},                                                                                      \
    {.name = "cache-type-k", .kind = CLI_KV, .out = &(c)->kv[0], .value = "TYPE", .help = "the same"},       \
    {.name = "ctv", .kind = CLI_KV, .out = &(c)->kv[1], .value = "TYPE", .help = "format of V alone",        \
     .one_dash = true},                                                                                      \
    {.name = "cache-type-v", .kind = CLI_KV, .out = &(c)->kv[1], .value = "TYPE", .help = "the same"}
#define CLI_OPTIONS_SESSION(c)                                                                               \
    CLI_OPTIONS_KV(c),                                                                                       \
    {.name = "kv-plain", .kind = CLI_FLAG, .out = &(c)->kv_plain,                                            \
     .help = "int8 and int4 without their Hadamard transform"}
#define CLI_OPTIONS_DRAFT(n)                                                                                 \
    {.name = "draft-max", .kind = CLI_INT, .out = (n), .value = "N", .lo = 0, .hi = 63,                      \
     .help = "tokens that a step guesses from the texts themselves at most, default 16; 0: none. Changes no "\
             "answer"}
#define CLI_OPTIONS_MODEL(path)                                                                              \
    {.letter = 'm', .name = "model", .kind = CLI_TEXT, .out = (path), .value = "FILE",                       \
     .help = "the model, a GGUF file"}
#define CLI_OPTIONS_END {.name = NULL}
/* clang-format on */

#define CLI_GO_ON (-1)

/* Reads argv into the table's variables. CLI_GO_ON, or an exit code: 0 after --help (printed with what, a
 * sentence or more), 2 after an error line. At most max_operands words may remain, which are counted in
 * *n_operands and returned in *operands (both may be NULL with max_operands 0). */
int cli_parse(int argc, char **argv, const cli_option *table, const char *what, const char *operand_help,
              int max_operands, const char ***operands, int *n_operands);
void cli_args_free(void);

/* One number, the whole of text; false for anything else. */
bool cli_parse_int(const char *text, int64_t *out);

/* The context that the options and MQA_ISA ask for. Exit code 0 or 1. */
int cli_open_context(const cli_common *common, mqa_context **out);
/* The context and the model in it, with a progress bar. Exit code 0, 1 or 130; both NULL unless 0. */
int cli_open_model(const cli_common *common, const char *path, mqa_context **ctx, mqa_model **model);

/* -p TEXT, -f FILE, or stdin: at most one of prompt and file may be given. Exit code 0, 1 or 2. */
int cli_read_prompt(const char *prompt, const char *file, mqa_text *out);

#endif
