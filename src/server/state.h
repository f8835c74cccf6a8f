/* Where a server keeps what outlives it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_SERVER_STATE_H
#define MQA_SERVER_STATE_H

#include <stddef.h>

#include "mqa/status.h"

/* given, or else $XDG_STATE_HOME/mqa, or else ~/.local/state/mqa; the folders above it are made. */
mqa_status mqa_state_folder(const char *given, char *out, size_t room, mqa_error *err);

#endif
