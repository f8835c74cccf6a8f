#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mqa(3) and the README keep step with the headers and with examples/attention.c, which they quote.
. "$(dirname "$0")/lib.sh"
fresh man
sed -n '/^#include/,$p' "$SOURCE/examples/attention.c" >example
sed -n '/^```c$/,/^```$/p' "$SOURCE/README.md" | sed '/^```/d' | diff -u - example || fail "the README quotes another program"
sed -n '/^#include <mqa/,/^\.fi$/p' "$page" | sed -e '/^\.fi$/d' -e 's/\\e/\\/g' | diff -u - example ||
    fail "mqa(3) quotes another program"

for path in "$include"/mqa/*.h; do
    grep -q "mqa/${path##*/}\$" "$page" || fail "mqa(3) leaves out mqa/${path##*/}"
done
for name in $(grep -v '^\.BI' "$page" | grep -o 'mqa_[a-z_]*[a-z]' | sort -u); do
    grep -qw "$name" "$include"/mqa/*.h || fail "mqa(3) names $name, which no header has"
done
