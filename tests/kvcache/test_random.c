/* Random operations on a cache and on a plain model of it: programs of cache_model.h.
 * MQA_CACHE_PROGRAM=… runs one alone.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cache_model.h"

int main(void)
{
    return programs_main(&cache_programs, 150);
}
