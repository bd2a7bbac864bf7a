#!/bin/sh
# Builds the reactor without Node, against a fake kernel, under ASan and UBSan, and runs its tests.
# Usage: native/test/run.sh [rounds of the random walk]. The last line is `N passed, N failed`.
#        native/test/run.sh compile
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
out="$root/build/native-test"
mkdir -p "$out"
cd "$root"
# Who comes second (npm test starts the compiler early, beside the build) waits, and finds the work done.
exec 9>"$out/lock"
if command -v flock >/dev/null 2>&1; then flock 9; fi
standard="$out/standard.h"
flags='-std=c++20 -g1 -O1 -Wall -Wextra -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all -Inative/src -Inative/test'
# Everything but Node and the real kernel; an object is built again when any source or header is newer.
newest=$(ls -t native/src/*/*.h native/test/*.h | head -n 1)
sources=$(ls native/src/*/*.cc native/test/*.cc | grep -v -e node_loop.cc -e net/sockets.cc -e net/tls)
objects=
stale=
for source in $sources; do
  object="$out/$(echo "$source" | tr / -).o"
  objects="$objects $object"
  if [ ! -e "$object" ] || [ "$source" -nt "$object" ] || [ "$newest" -nt "$object" ]; then stale="$stale $source"; fi
done
if [ -n "$stale" ]; then
  # Half of the compiler's time went into reading the standard library again for each source: it is read once.
  grep -ho '^#include <[a-z_]*>' native/src/*/*.h native/src/*/*.cc native/test/* | sort -u >"$standard.new"
  if ! cmp -s "$standard.new" "$standard" || [ ! -e "$standard.gch" ]; then
    mv "$standard.new" "$standard"
    ${CXX:-g++} $flags -x c++-header "$standard" -o "$standard.gch"
  fi
  echo "$stale" | tr ' ' '\n' | grep . | xargs -P 2 -I{} sh -c \
    "${CXX:-g++} $flags -include $standard -c {} -o $out/\$(echo {} | tr / -).o"
fi
# What sockets_test.cc interrupts; nobody else here calls any of them.
wrapped=
for call in socket bind listen connect accept4 getsockopt setsockopt getsockname getpeername recv send sendmsg shutdown \
  epoll_create1 epoll_ctl epoll_wait eventfd getrandom; do
  wrapped="$wrapped -Wl,--wrap=$call"
done
# shellcheck disable=SC2086
if [ "$(ls -t "$out/tests" $objects 2>/dev/null | head -n 1)" != "$out/tests" ]; then ${CXX:-g++} $flags $wrapped $objects -o "$out/tests"; fi
if [ "${1:-}" = compile ]; then exit 0; fi
exec "$out/tests" "${1:-100}"
