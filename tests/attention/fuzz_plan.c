/* libFuzzer target: the input is a program of calls (fuzz_world.h). docs/building.md says how to run it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fuzz_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return programs_fuzz(&plan_programs, data, size);
}
