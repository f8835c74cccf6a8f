/* Runs the program and says what came of it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_TESTS_CLI_DRIVE_H
#define MQA_TESTS_CLI_DRIVE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct drive_result {
    int code;        /* exit code; -1 if a signal ended it */
    int signal;      /* 0, or the signal */
    char *out, *err; /* stdout and stderr, terminated */
    size_t n_out, n_err;
    long max_rss_kib;
} drive_result;

typedef struct drive_options {
    const char *input;       /* stdin's text; NULL: empty */
    const char *environment; /* "MQA_ISA=avx2", or NULL; MQA_ISA is unset otherwise */
    size_t most_memory;      /* address space in bytes, 0: unlimited. Not heeded under sanitizers. */
    bool closed_output;      /* stdout is a pipe that nobody reads */
    int interrupt_ms;        /* SIGINT after so many milliseconds; 0: none */
} drive_options;

/* The program's path, from the test's first argument. */
extern const char *drive_program;
/* args: NULL-terminated, without the program's name. A run of more than a minute ends by SIGALRM. */
drive_result drive(const char *const *args, const drive_options *options);
void drive_free(drive_result *result);

/* Nonzero if an error was reported as it should be: code 1 or 2, nothing by signal, exactly one line on
 * stderr that starts with "mqa", nothing on stdout. Prints what is wrong. */
int drive_failed_well(const char *const *args, const drive_result *result);
/* The repository's tiny model, or NULL where there is none (MQA_TINY in the environment overrides). */
const char *drive_tiny_model(void);

#endif
