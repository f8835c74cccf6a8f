#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The shared library exports what the installed headers declare with MQA_API, under MQA_0, and nothing else. No global name of
# the archive lacks the prefix mqa_. Both need only the C library.
. "$(dirname "$0")/lib.sh"
fresh symbols
declared >declared
$NM -D --defined-only "$lib" | awk '$2 != "A" { print $3 }' | sort >exported
sed 's/$/@@MQA_0/' declared | diff -u - exported || fail "-: declared and not exported, +: exported and not declared"
[ "$(wc -l <declared)" -ge 20 ] || fail "only $(wc -l <declared) functions found in the headers"
! grep -v '^mqa_' exported || fail "exported without the prefix"

$NM -g --defined-only "$archive" | awk 'NF == 3 && $3 !~ /^mqa_/ { print $3 }' >foreign
[ ! -s foreign ] || fail "global names in libmqa.a: $(cat foreign)"

$READELF -d "$lib" >dynamic
! grep NEEDED dynamic | grep -v -e 'libc\.' -e 'libm\.' -e 'libpthread\.' -e 'ld-linux' || fail "libraries beyond the C library"
grep -q 'SONAME.*\[libmqa\.so\.0\]' dynamic || fail "the soname is another"
