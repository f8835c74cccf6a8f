/* mqa: picks the subcommand.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "mqa/version.h"

static const struct {
    const char *name, *summary;
    int (*main)(int argc, char **argv);
} commands[] = {
    {"run", "continue a text, or answer with --chat", cli_run},
    {"batch", "answer a file of requests, many at a time", cli_batch},
    {"tokenize", "text to token ids", cli_tokenize},
    {"detokenize", "token ids to text", cli_detokenize},
    {"info", "what a model file holds; without a file, what this CPU does best", cli_info},
    {"perplexity", "how well a model predicts a text", cli_perplexity},
    {"serve", "a server with OpenAI's interface, for many tenants", cli_serve},
    {"verify", "whether a server's receipt is true", cli_verify},
    {"tenant", "who may use a server, and how much of it", cli_tenant},
    {"inspect", "which head attends where in a text", cli_inspect},
    {"plan", "what an attention design costs on a machine: memory, time, users", cli_plan},
    {"compare", "the same model with MHA, GQA, MQA and MLA: run, beside what is planned", cli_compare},
    {"bench", "speed: bench model, bench attention, bench roofline", cli_bench},
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static int print_help(void)
{
    printf("mqa %s: language models over multi-query attention\n\nUsage: mqa COMMAND [OPTION...]\n\n",
           mqa_version());
    for (int i = 0; i < N_COMMANDS; i++) printf("  %-12s %s\n", commands[i].name, commands[i].summary);
    printf(
        "\n'mqa help COMMAND' lists a command's options, mqa(1) has the details.\n"
        "MQA_ISA=reference|avx2|avx512|amx|amx-c|neon|neon-c in the environment forces an instruction set.\n"
        "Exit codes: 0 done, 1 failed, 2 wrong usage.\n");
    return CLI_DONE;
}

static int take_isa(void)
{
    const char *name = getenv("MQA_ISA");
    if (!name || !*name) return CLI_GO_ON;
    mqa_error err;
    if (mqa_isa_parse(name, &cli_isa, &err) != MQA_OK)
        return cli_error(CLI_USAGE, "MQA_ISA: %s", err.message);
    if (!mqa_isa_available(cli_isa))
        return cli_error(
            CLI_FAILED,
            "MQA_ISA=%s: this CPU or this build lacks it; 'mqa info' without MQA_ISA says what there is",
            name);
    return CLI_GO_ON;
}

static int dispatch(int argc, char **argv)
{
    const char *name = argv[0];
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strcmp(name, commands[i].name) != 0) continue;
        cli_command = commands[i].name;
        return commands[i].main(argc, argv);
    }
    return cli_error(CLI_USAGE, "no command '%.80s': 'mqa help' lists them", name);
}

/* mqa help COMMAND [SUBCOMMAND]: as COMMAND --help. */
static int help(int argc, char **argv)
{
    static char option[] = "--help";
    char *args[4] = {NULL};
    if (argc == 0) return print_help();
    if (argc > 2)
        return cli_error(CLI_USAGE, "unexpected word '%.80s' after help: give one command", argv[2]);
    if (argc == 2 && strcmp(argv[0], "bench") != 0)
        return cli_error(CLI_USAGE, "unexpected word '%.80s' after help: give one command", argv[1]);
    for (int i = 0; i < argc; i++) args[i] = argv[i];
    args[argc] = option;
    return dispatch(argc + 1, args);
}

static int command_line(int argc, char **argv)
{
    if (argc < 2) return cli_error(CLI_USAGE, "no command: 'mqa help' lists them");
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) return print_help();
    if (strcmp(word, "help") == 0) return help(argc - 2, argv + 2);
    if (strcmp(word, "--version") == 0) {
        printf("mqa %s\n", mqa_version());
        return CLI_DONE;
    }
    if (word[0] == '-')
        return cli_error(CLI_USAGE, "unknown option '%.80s': a command comes first, 'mqa help' lists them",
                         word);
    int code = take_isa();
    return code == CLI_GO_ON ? dispatch(argc - 1, argv + 1) : code;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is a failed write */
    int code = cli_finish(command_line(argc, argv));
    cli_args_free();
    return code;
}
