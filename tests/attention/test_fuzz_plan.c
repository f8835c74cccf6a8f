/* Random programs of calls with hostile arguments (fuzz_world.h). MQA_PLAN_PROGRAM=… runs one alone.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fuzz_world.h"

int main(void)
{
    return programs_main(&plan_programs, 1000 / programs_share());
}
