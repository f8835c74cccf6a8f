#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every installed header compiles alone, without a warning. usage: headers.sh c|c++ STANDARD…
# As C++ a program is linked and run besides, which names every function: without extern "C" a header compiles as well.
. "$(dirname "$0")/lib.sh"
language=$1
shift
fresh "headers_$language"
: >empty
"$CC" -x "$language" -fsyntax-only empty || {
    echo "$CC compiles no $language here"
    exit 77
}

for path in "$include"/mqa/*.h; do
    header=mqa/${path##*/}
    printf '#include <%s>\n#include <%s>\n' "$header" "$header" >alone
    for standard in "$@"; do
        "$CC" -x "$language" "-std=$standard" -Wall -Wextra -pedantic -Werror "-I$include" -fsyntax-only alone ||
            fail "$header as $standard"
    done
    echo '#include <mqa/mqa.h>' >all
    "$CC" -x "$language" "-I$include" -M all | grep -q "/$header" || fail "mqa/mqa.h leaves $header out"
done

if [ "$language" = c++ ]; then
    {
        echo '#include <mqa/mqa.h>'
        echo 'void (*all[])() = {'
        declared | sed 's/.*/    reinterpret_cast<void (*)()>(&),/'
        echo '};'
        cat "$SOURCE/examples/attention.c"
    } >all.cc
    # No exceptions, since a C compiler's driver doesn't link their runtime.
    # shellcheck disable=SC2086
    "$CC" $CFLAGS -x c++ -std=c++11 -fno-exceptions -Wall -Wextra -pedantic -Werror "-I$include" all.cc \
        -x none "$lib" "-Wl,-rpath,$stage/$LIBDIR" -o attention
    ./attention
fi
