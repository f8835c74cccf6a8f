/* libFuzzer target: the input is a program of operations (cache_model.h). docs/building.md says how to run
 * it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cache_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return programs_fuzz(&cache_programs, data, size);
}
