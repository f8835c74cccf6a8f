#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs below a DESTDIR, then moves what came. Nothing in it may remember where it was made or put.
. "$(dirname "$0")/lib.sh"
fresh stage.tmp
# Everything is of the component Unspecified; naming it spares the user's install_manifest.txt.
DESTDIR=$PWD "$CMAKE" --install "$BUILD" --prefix /first/place --component Unspecified
[ "$(ls)" = first ] || fail "installed beside DESTDIR's prefix: $(ls)"
rm -rf "$stage"
mv first/place "$stage"
for word in /first/place "$SOURCE" "$BUILD"; do
    ! grep -rIlF -e "$word" "$stage" || fail "these say $word"
done
for file in "$lib" "$lib.0" "$lib.$VERSION" "$archive" "$include/mqa/mqa.h" "$page"; do
    [ -e "$file" ] || fail "not installed: $file"
done
