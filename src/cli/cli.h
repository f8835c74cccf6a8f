/* What the subcommands of `mqa` share: exit codes, error lines, output, time, interruption.
 *
 * The program has one thread of its own (the context's pool apart) and lives as long as one command, so
 * the state here is global.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CLI_CLI_H
#define MQA_CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "mqa/context.h"
#include "mqa/status.h"
#include "mqa/tokenizer.h"

/* An exit code of 2 means that the command line alone is wrong, whatever the files hold. */
enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_INTERRUPTED = 130 };

/* The subcommands: argv[0] is the command's last word, as in main. They return an exit code. */
int cli_run(int argc, char **argv);
int cli_batch(int argc, char **argv);
int cli_tokenize(int argc, char **argv);
int cli_detokenize(int argc, char **argv);
int cli_info(int argc, char **argv);
int cli_perplexity(int argc, char **argv);
int cli_serve(int argc, char **argv);
int cli_verify(int argc, char **argv);
int cli_tenant(int argc, char **argv);
int cli_inspect(int argc, char **argv);
int cli_plan(int argc, char **argv);
int cli_compare(int argc, char **argv);
int cli_bench(int argc, char **argv);
int cli_bench_model(int argc, char **argv);
int cli_bench_attention(int argc, char **argv);
int cli_bench_roofline(int argc, char **argv);
int cli_bench_serve(int argc, char **argv);

/* "run", "bench model": for error lines and help. Set by the routers. */
extern const char *cli_command;
/* From the environment variable MQA_ISA; checked by main. */
extern mqa_isa cli_isa;

/* One line on stderr, "mqa run: …", in place of any progress bar; returns code. */
__attribute__((format(printf, 2, 3))) int cli_error(int code, const char *fmt, ...);
/* The same from a failed call of the library: exit code 1, or 130 for MQA_ERR_CANCELLED. */
int cli_error_status(mqa_status status, const mqa_error *err);

/* Prints one object on one line of stdout and drops the reference to it. */
void cli_print_json(json_t *object);
/* Flushes stdout. code, or 1 where stdout couldn't take everything; a broken pipe is no news to anybody
 * and makes no line. */
int cli_finish(int code);
/* Whether stdout still takes output. */
bool cli_output_ok(void);

/* Seconds of a steady clock. */
double cli_now(void);
/* "1.25 MiB", in one of four static buffers. */
const char *cli_bytes(double bytes);

/* After this, the first Ctrl-C sets cli_stop; a second one ends the program. */
void cli_catch_interrupt(void);
extern volatile int cli_stop;

/* The whole of a file, or of stdin where path is NULL; appended to *out. Exit code 0 or 1. */
int cli_read_text(const char *path, mqa_text *out);

/* A progress bar on stderr: on a terminal only. cli_error clears it. Its type is that of
 * mqa_model_options.progress (user: the label), so it returns nonzero once cli_stop is set. */
int cli_progress(void *label, size_t done, size_t total);
void cli_progress_clear(void);

#endif
