/* mqa info: of a model file, or of this CPU.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "info.h"

int cli_info(int argc, char **argv)
{
    cli_common common = CLI_COMMON_DEFAULT;
    bool tensors = false;
    const cli_option table[] = {
        {0, "tensors", CLI_FLAG, &tensors, NULL, "list the file's tensors too", 0, 0, false},
        CLI_OPTIONS_CONTEXT(&common),
        CLI_OPTIONS_END,
    };
    const char **files;
    int n_files;
    int code = cli_parse(
        argc, argv, table,
        "what a GGUF file holds.\nWithout a file: this CPU's features, which instruction set mqa takes "
        "and why, and what its\ncaches and memory give (measured, a few seconds).",
        "[FILE]", 1, &files, &n_files);
    if (code != CLI_GO_ON) return code;
    if (n_files) return info_file(files[0], tensors, common.json);
    if (tensors) return cli_error(CLI_USAGE, "--tensors without a file: give one");
    return info_cpu(&common);
}
