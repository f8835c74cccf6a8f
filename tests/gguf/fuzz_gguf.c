/* libFuzzer target: opens the input as a GGUF file and reads all of it.
 *
 *     cmake -B build-fuzz -DMQA_FUZZ=ON -DCMAKE_C_COMPILER=clang && cmake --build build-fuzz --target
 * fuzz_gguf build-fuzz/tests/gguf/fuzz_gguf -rss_limit_mb=400 -timeout=5 -max_len=8192 corpus
 * tests/gguf/data/corpus
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1; /* a file in memory, used again and again */
    char path[32];
    mqa_error err = {0};
    if (fd < 0) fd = memfd_create("fuzz", 0);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const mqa_status status = exercise_file(path, &err);
    if (status != MQA_OK && (err.status != status || err.message[0] == '\0')) abort();
    return 0;
}
