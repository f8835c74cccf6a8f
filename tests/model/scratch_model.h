/* A file for a synthetic model, for one test alone: `path`, made by setup and removed by teardown.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_MODEL_SCRATCH_MODEL_H
#define TESTS_MODEL_SCRATCH_MODEL_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "synthetic.h" /* before path, which its parameters would shadow */

static char path[64];

static int setup(void **state)
{
    (void)state;
    strcpy(path, "/tmp/mqa-model-XXXXXX");
    const int fd = mkstemp(path);
    if (fd >= 0) close(fd);
    return fd >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

#endif
