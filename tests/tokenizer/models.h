/* The real models whose vocabularies the tests use; skips where a file is absent.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MODELS_H
#define MODELS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mqa/tokenizer.h"

typedef struct model {
    const char *file, *golden;
    bool byte_level;
} model;

static const model gemma = {"gemma-3-270m-q4_k_m.gguf", "gemma3.ids", false};
static const model smollm = {"SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2.ids", true};

static inline mqa_tokenizer *load(const model *m)
{
    char path[1024];
    const char *folder = getenv("MQA_MODELS");
    snprintf(path, sizeof path, "%s/%s", folder ? folder : MQA_TEST_MODELS, m->file);
    if (access(path, R_OK) != 0) skip();
    mqa_tokenizer *t;
    mqa_error err;
    if (mqa_tokenizer_load(path, &t, &err) != MQA_OK) fail_msg("%s", err.message);
    return t;
}

#endif
