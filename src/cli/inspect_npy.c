/* Probabilities into a .npy file (NumPy's format, version 1.0), each row at its place; what nobody sees is a
 * hole in the file, and reads as 0.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "inspect.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/new_file.h"

enum { HEADER = 128 };

struct inspect_npy {
    const char *path;
    mqa_new_file file;
    size_t n_heads, n_tokens;
    atomic_int error; /* errno of the first write that failed */
};

static void put(inspect_npy *npy, const void *data, size_t n, size_t at)
{
    const char *from = data;
    while (n > 0) {
        const ssize_t done = pwrite(fileno(npy->file.stream), from, n, (off_t)at);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) {
            int none = 0;
            atomic_compare_exchange_strong(&npy->error, &none, done < 0 ? errno : EIO);
            return;
        }
        from += done;
        at += (size_t)done;
        n -= (size_t)done;
    }
}

static int start(inspect_npy *npy, int n_layers)
{
    size_t bytes, n = npy->n_tokens;
    if (!mqa_mul(n, n, &bytes) || !mqa_mul(bytes, sizeof(float) * npy->n_heads * (size_t)n_layers, &bytes) ||
        bytes > (size_t)1 << 44)
        return cli_error(CLI_FAILED, "%s: all probabilities of %zu tokens are too many: take fewer by -n",
                         npy->path, n);
    mqa_error err;
    const mqa_status status = mqa_new_file_open(npy->path, &npy->file, &err);
    if (status != MQA_OK) return cli_error_status(status, &err);
    char header[HEADER + 1] = "\x93NUMPY\x01\x00";
    header[8] = HEADER - 10; /* length of the rest, little endian */
    snprintf(header + 10, sizeof header - 10,
             "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %zu, %zu, %zu), }", n_layers,
             npy->n_heads, n, n);
    const size_t used = 10 + strlen(header + 10);
    memset(header + used, ' ', HEADER - used - 1);
    header[HEADER - 1] = '\n';
    put(npy, header, HEADER, 0);
    if (ftruncate(fileno(npy->file.stream), (off_t)(HEADER + bytes)) != 0 && !npy->error)
        atomic_store(&npy->error, errno);
    return CLI_DONE;
}

int inspect_npy_open(const inspect_job *job, inspect_npy **out)
{
    inspect_npy *npy = calloc(1, sizeof *npy);
    if (!npy) return cli_error(CLI_FAILED, "%s: no memory", job->npy);
    *npy = (inspect_npy){.path = job->npy, .n_heads = (size_t)job->info.n_heads, .n_tokens = job->tokens.n};
    const int code = start(npy, job->info.n_layers);
    if (code == CLI_DONE)
        *out = npy;
    else
        free(npy);
    return code;
}

void inspect_npy_row(void *arg, int layer, int head, int64_t query, int64_t first_key, const float *p, int n)
{
    inspect_npy *npy = arg;
    const size_t row = ((size_t)layer * npy->n_heads + (size_t)head) * npy->n_tokens + (size_t)query;
    put(npy, p, (size_t)n * sizeof *p, HEADER + (row * npy->n_tokens + (size_t)first_key) * sizeof *p);
}

int inspect_npy_close(inspect_npy **npy, bool keep)
{
    inspect_npy it = **npy;
    free(*npy);
    *npy = NULL;
    mqa_error err;
    mqa_status status = MQA_OK;
    if (it.error)
        status = mqa_fail(&err, MQA_ERR_IO, "%s: %s", it.path, strerror(it.error));
    else if (keep)
        status = mqa_new_file_finish(&it.file, &err);
    mqa_new_file_abandon(&it.file);
    return status == MQA_OK || !keep ? CLI_DONE : cli_error_status(status, &err);
}
