#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The shared library's text stays below 2 MB.
. "$(dirname "$0")/lib.sh"
text=$(size "$lib" | awk 'NR == 2 { print $1 }')
echo "$text bytes of text"
[ "$text" -gt 0 ] && [ "$text" -lt 2000000 ] || fail "too many"
