/* The models that people use, where they are. Wants MQA_TEST_MODELS, their folder if the environment names
 * none.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_TESTS_MODEL_REAL_H
#define MQA_TESTS_MODEL_REAL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* Skips the test where there is none. */
static inline const char *real_model_path(const char *file)
{
    static char path[4096];
    const char *folder = getenv("MQA_MODELS");
    snprintf(path, sizeof path, "%s/%s", folder && *folder ? folder : MQA_TEST_MODELS, file);
    if (access(path, R_OK) == 0) return path;
    print_message("%s isn't there\n", path);
    skip();
    return NULL;
}

#endif
