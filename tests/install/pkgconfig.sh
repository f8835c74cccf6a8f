#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A compiler and pkg-config, nothing else: shared, then static.
. "$(dirname "$0")/lib.sh"
fresh pkgconfig
export PKG_CONFIG_LIBDIR="$stage/$LIBDIR/pkgconfig"
[ "$(pkg-config --modversion mqa)" = "$VERSION" ] || fail "mqa.pc says another version"
strict="-std=c99 -Wall -Wextra -pedantic -Werror"
for program in attention decode_loop; do
    source=$SOURCE/examples/$program.c
    # shellcheck disable=SC2046,SC2086
    "$CC" $CFLAGS $strict "$source" $(pkg-config --cflags --libs mqa) -o "shared_$program"
    # shellcheck disable=SC2046,SC2086
    "$CC" $CFLAGS $strict "$source" $(pkg-config --cflags --static --libs mqa | sed 's/-lmqa/-l:libmqa.a/') -o "static_$program"
done
assert_shared shared_attention
assert_static static_attention
run_consumers static
export LD_LIBRARY_PATH="$stage/$LIBDIR"
run_consumers shared
