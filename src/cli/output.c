/* Lines for people, objects for programs, and the end of a command.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/status.h"
#include "cli.h"
#include "tokenizer/array.h"

const char *cli_command;
mqa_isa cli_isa = MQA_ISA_AUTO;
volatile int cli_stop;

int cli_error(int code, const char *fmt, ...)
{
    char line[640];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    mqa_one_line(line);
    cli_progress_clear();
    fflush(stdout); /* on a terminal what was printed comes first */
    fprintf(stderr, "mqa%s%s: %s\n", cli_command ? " " : "", cli_command ? cli_command : "", line);
    return code;
}

int cli_error_status(mqa_status status, const mqa_error *err)
{
    if (status == MQA_ERR_CANCELLED)
        return cli_error(CLI_INTERRUPTED, "interrupted before there was a result");
    return cli_error(CLI_FAILED, "%s", err->message);
}

static int output_error; /* errno of the first write that failed */

static void note_output(bool ok)
{
    if (!ok && !output_error) output_error = errno ? errno : EIO;
}

bool cli_output_ok(void)
{
    note_output(!ferror(stdout));
    return output_error == 0;
}

void cli_print_json(json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(object);
    if (!text) {
        errno = ENOMEM;
        note_output(false);
        return;
    }
    errno = 0;
    note_output(fputs(text, stdout) >= 0 && fputc('\n', stdout) != EOF && fflush(stdout) == 0);
    free(text);
}

int cli_finish(int code)
{
    errno = 0;
    note_output(fflush(stdout) == 0 && !ferror(stdout));
    if (!output_error || code != CLI_DONE) return code;
    if (output_error == EPIPE) return CLI_FAILED;
    return cli_error(CLI_FAILED, "writing to stdout: %s", strerror(output_error));
}

double cli_now(void)
{
    return mqa_seconds();
}

const char *cli_bytes(double bytes)
{
    static char buffers[4][24];
    static int next;
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    char *out = buffers[next++ % 4];
    int unit = 0;
    for (; bytes >= 1024 && unit < 4; unit++) bytes /= 1024;
    snprintf(out, sizeof buffers[0], unit ? "%.2f %s" : "%.0f %s", bytes, units[unit]);
    return out;
}

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    cli_stop = 1;
}

void cli_catch_interrupt(void)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    sigaction(SIGINT, &action, NULL);
}

static const char *const clear_line = "\r\033[K";
static bool bar_shown;

void cli_progress_clear(void)
{
    if (bar_shown) fputs(clear_line, stderr);
    bar_shown = false;
}

int cli_progress(void *label, size_t done, size_t total)
{
    enum { WIDTH = 30 };
    static double last;
    static int terminal = -1;
    if (terminal < 0) terminal = isatty(STDERR_FILENO);
    if (terminal && total > 0 && cli_now() - last > 0.1) {
        last = cli_now();
        double part = (double)done / (double)total;
        int filled = (int)(part * WIDTH);
        fprintf(stderr, "%s%s [%.*s%*s] %3.0f %%", clear_line, (const char *)label, filled,
                "##############################", WIDTH - filled, "", 100 * part);
        bar_shown = true;
    }
    return cli_stop;
}

int cli_read_text(const char *path, mqa_text *out)
{
    enum { CHUNK = 1 << 16 };
    const size_t most = (size_t)1 << 30;
    const char *name = path ? path : "stdin";
    FILE *file = path ? fopen(path, "rbe") : stdin;
    if (!file) return cli_error(CLI_FAILED, "%s: %s", name, strerror(errno));
    if (!path && isatty(STDIN_FILENO)) fputs("reading the text from the terminal; Ctrl-D ends it\n", stderr);
    char *chunk = malloc(CHUNK);
    mqa_error err = {.message = "no memory for a text"};
    mqa_status status = chunk ? MQA_OK : MQA_ERR_OUT_OF_MEMORY;
    errno = 0;
    while (status == MQA_OK) {
        size_t n = fread(chunk, 1, CHUNK, file);
        if (n == 0) break;
        status = out->n + n > most
                     ? mqa_fail(&err, MQA_ERR_INVALID_ARGUMENT, "%s: more than 1 GiB of text", name)
                     : mqa_text_append(out, chunk, n, &err);
    }
    int read_error = ferror(file) ? errno : 0;
    free(chunk);
    if (path) fclose(file);
    if (status != MQA_OK) return cli_error_status(status, &err);
    if (read_error) return cli_error(CLI_FAILED, "%s: %s", name, strerror(read_error));
    return CLI_DONE;
}
