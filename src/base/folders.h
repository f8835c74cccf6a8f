/* Where a user's files go.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_BASE_FOLDERS_H
#define MQA_BASE_FOLDERS_H

#include <stddef.h>

#include "base/status.h"

/* "$variable/mqa" ("XDG_CACHE_HOME"), or "$HOME/otherwise/mqa" (".cache"). Paths that aren't absolute don't
 * count. MQA_ERR_NOT_FOUND where neither is set, MQA_ERR_IO where it is longer than room. */
mqa_status mqa_user_folder(const char *variable, const char *otherwise, char *out, size_t room,
                           mqa_error *err);

/* Makes the folders above path that aren't there. */
mqa_status mqa_make_parents(const char *path, unsigned mode, mqa_error *err);

#endif
