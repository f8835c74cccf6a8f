# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
# Shared by the tests of this folder, which CTest runs with the variables that CMakeLists.txt sets. Sourced, not run.
set -eu
stage=$WORK/stage
lib=$stage/$LIBDIR/libmqa.so
archive=$stage/$LIBDIR/libmqa.a
include=$stage/$INCLUDEDIR
page=$stage/$MANDIR/man3/mqa.3

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# An empty folder of the test's own, which it goes to.
fresh() { # NAME
    rm -rf "${WORK:?}/$1"
    mkdir -p "$WORK/$1"
    cd "$WORK/$1"
}

# The functions that the installed headers declare with MQA_API, sorted.
declared() {
    cat "$include"/mqa/*.h | "$CC" -E -P "-I$include" -x c - | tr '\n;' ' \n' |
        sed -n 's/.*visibility("default")))\([^(]*\)(.*/\1/p' | sed 's/.*[ *]//' | sort -u
}

# The examples as consumers: their programs are here as PREFIX_attention and PREFIX_decode_loop.
run_consumers() { # PREFIX
    "./$1_attention" | grep -qx 'head 0: 49.5, head 31: 49.5' || fail "$1_attention: a wrong answer"
    "./$1_decode_loop" | grep -qx 'as one prompt: the same bits' || fail "$1_decode_loop: other bits"
}

# Whether a program takes its libmqa from the stage at run time.
assert_shared() { # PROGRAM
    $READELF -d "$1" | grep -q 'NEEDED.*libmqa\.so\.0' || fail "$1 doesn't ask for libmqa.so.0"
}
assert_static() { # PROGRAM
    ! $READELF -d "$1" | grep 'NEEDED.*libmqa' || fail "$1 needs the shared library"
}
