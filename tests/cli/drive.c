/* SPDX-License-Identifier: Apache-2.0 */
#include "drive.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *drive_program;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

enum { MAX_ARGS = 40 };

static void child(const char *const *args, const drive_options *o, int in, int out, int err)
{
    char *argv[MAX_ARGS + 2] = {(char *)drive_program};
    for (int i = 0; args[i] && i < MAX_ARGS; i++) argv[i + 1] = (char *)args[i];
    dup2(in, STDIN_FILENO);
    dup2(err, STDERR_FILENO);
    if (o->closed_output) {
        int ends[2];
        if (pipe(ends) == 0) {
            close(ends[0]);
            dup2(ends[1], STDOUT_FILENO);
        }
    } else {
        dup2(out, STDOUT_FILENO);
    }
    unsetenv("MQA_ISA");
    if (o->environment) putenv((char *)o->environment);
    if (o->most_memory && !SANITIZED) {
        struct rlimit limit = {o->most_memory, o->most_memory};
        setrlimit(RLIMIT_AS, &limit);
    }
    alarm(60);
    execv(drive_program, argv);
    _exit(127);
}

static char *slurp(int fd, size_t *n)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    if (!text || pread(fd, text, (size_t)size, 0) != size) abort();
    *n = (size_t)size;
    close(fd);
    return text;
}

drive_result drive(const char *const *args, const drive_options *options)
{
    static const drive_options none;
    const drive_options *o = options ? options : &none;
    int in = memfd_create("in", MFD_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC),
        err = memfd_create("err", MFD_CLOEXEC);
    if (in < 0 || out < 0 || err < 0) abort();
    if (o->input && write(in, o->input, strlen(o->input)) < 0) abort();
    lseek(in, 0, SEEK_SET);
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) abort();
    if (pid == 0) child(args, o, in, out, err);
    close(in);
    if (o->interrupt_ms) {
        struct timespec t = {o->interrupt_ms / 1000, o->interrupt_ms % 1000 * 1000000L};
        nanosleep(&t, NULL);
        kill(pid, SIGINT);
    }
    int status;
    struct rusage usage;
    if (wait4(pid, &status, 0, &usage) != pid) abort();
    drive_result r = {.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                      .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                      .max_rss_kib = usage.ru_maxrss};
    r.out = slurp(out, &r.n_out);
    r.err = slurp(err, &r.n_err);
    return r;
}

void drive_free(drive_result *result)
{
    free(result->out);
    free(result->err);
}

int drive_failed_well(const char *const *args, const drive_result *r)
{
    const char *newline = strchr(r->err, '\n');
    const char *wrong = NULL;
    if (r->signal)
        wrong = "ended by a signal";
    else if (r->code != 1 && r->code != 2)
        wrong = "exit code is neither 1 nor 2";
    else if (!newline || newline[1] != 0 || strlen(r->err) != r->n_err)
        wrong = "stderr is not one line";
    else if (strncmp(r->err, "mqa", 3) != 0 || newline - r->err < 12)
        wrong = "stderr's line says too little";
    else if (r->n_out)
        wrong = "stdout is not empty";
    if (!wrong) return 1;
    printf("mqa");
    for (int i = 0; args[i]; i++) printf(" '%.60s'", args[i]);
    printf(": %s (code %d, signal %d)\n  stderr: %s\n  stdout: %.300s\n", wrong, r->code, r->signal, r->err,
           r->out);
    return 0;
}

const char *drive_tiny_model(void)
{
    const char *path = getenv("MQA_TINY");
    if (!path) path = MQA_SOURCE "/examples/tiny/tiny-mqa.gguf";
    return access(path, R_OK) == 0 ? path : NULL;
}
