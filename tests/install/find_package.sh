#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A CMake project that finds the installed copy: mqa::mqa is shared, mqa::mqa_static static.
. "$(dirname "$0")/lib.sh"
fresh find_package
"$CMAKE" -G "$GENERATOR" -S "$SOURCE/tests/install/find_package" -B . -DCMAKE_C_COMPILER="$CC" \
    -DCMAKE_C_FLAGS="$CFLAGS" -DCMAKE_PREFIX_PATH="$stage" -DEXAMPLES="$SOURCE/examples" -DVERSION="$VERSION"
"$CMAKE" --build .
assert_shared shared_attention
assert_static static_attention
run_consumers shared
run_consumers static
