/* The two halves of `mqa info`.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CLI_INFO_H
#define MQA_CLI_INFO_H

#include "args.h"

int info_cpu(const cli_common *common);
int info_file(const char *path, bool tensors, bool json);

#endif
