# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# Shared by the scripts: where the tree is, how to speak, how to become root. Sourced, not run.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
models=$(realpath -m "${MQA_MODELS:-$root/models}")

say() { printf '%s\n' "$*" >&2; }
die() { # CODE MESSAGE
    say "${0##*/}: $2"
    exit "$1"
}

# Runs a command as root; returns 126 where there is no way to.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 126
    fi
}

# Runs a command with its output in a log that is shown only if it fails.
quietly() {
    local log rc=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 || rc=$?
    [ "$rc" = 0 ] || cat "$log" >&2
    rm -f "$log"
    return "$rc"
}
