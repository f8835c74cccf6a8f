/* libFuzzer target: the input is a program of operations (cache_model.h).
 *
 *     cmake -B build/fuzz -DMQA_FUZZ=ON -DCMAKE_C_COMPILER=clang && cmake --build build/fuzz --target
 * fuzz_cache build/fuzz/tests/kvcache/fuzz_cache -max_len=524 -timeout=20 corpus
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>

#include "cache_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *why = run_model(data, size);
    if (!why) return 0;
    fprintf(stderr, "%s\n", why);
    abort();
}
