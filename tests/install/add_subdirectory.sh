#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A CMake project that takes the source tree in, with a C compiler as all it has. Its -Ofast must not reach our sums.
. "$(dirname "$0")/lib.sh"
fresh add_subdirectory
configure() { # OPTION…
    "$CMAKE" -G "$GENERATOR" -S "$SOURCE/tests/install/add_subdirectory" -B . -DCMAKE_C_COMPILER="$CC" \
        -DCMAKE_C_FLAGS="$CFLAGS -Ofast" -DMQA_SOURCE="$SOURCE" -DMQA_KERNEL_OPT=-O1 "$@"
}

configure
"$CMAKE" --build .
assert_static consumer_attention
run_consumers consumer
[ -z "$(find . -name 'libmqa.so*')" ] || fail "built a shared library that nobody asked for"
[ ! -e rooms ] || fail "our build files lie among the parent's"
[ -z "$(ctest -N | grep 'Test *#')" ] || fail "the parent got our tests"
"$CMAKE" --install . --prefix "$PWD/prefix"
[ ! -e prefix ] || fail "the parent's install brought ours along: $(find prefix)"

configure -DBUILD_SHARED_LIBS=ON
"$CMAKE" --build .
assert_shared consumer_attention
run_consumers consumer
