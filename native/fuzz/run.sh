#!/bin/sh
# Fuzzes the native parts with libFuzzer under ASan and UBSan. Usage: native/fuzz/run.sh [SECONDS for each target] [TARGET].
# What it learns stays in build/fuzz/corpus; an input that fails is kept in build/fuzz/failures and named, and
# `build/fuzz/TARGET FILE` runs it again. The last line is `N passed, N failed`; code 77: no clang++ with libFuzzer here.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
seconds=${1:-10}
targets=${2:-splitter topic_table reactor}
out="$root/build/fuzz"
mkdir -p "$out/objects" "$out/failures"
cd "$root"
CXX=${FUZZ_CXX:-clang++}

printf 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }\n' >"$out/probe.cc"
if ! "$CXX" -fsanitize=fuzzer,address,undefined "$out/probe.cc" -o "$out/probe" 2>"$out/probe.log"; then
  echo "skipped: $CXX with libFuzzer and its sanitizers is not installed (clang, libclang-rt-dev)"
  exit 77
fi

flags='-std=c++20 -g -O1 -Wall -Wextra -fno-omit-frame-pointer -fno-sanitize-recover=all -Inative/src -Inative/test -Inative/fuzz'
sanitizers='address,undefined'
# Everything but Node and the real kernel; an object is built again when any source or header is newer.
newest=$(ls -t native/src/*/*.h native/test/*.h native/fuzz/*.h | head -n 1)
objects=
stale=
for source in $(ls native/src/*/*.cc native/test/fake_kernel.cc native/test/no_tls.cc | grep -v -e node_loop.cc -e net/sockets.cc -e net/tls); do
  object="$out/objects/$(echo "$source" | tr / -).o"
  objects="$objects $object"
  if [ ! -e "$object" ] || [ "$source" -nt "$object" ] || [ "$newest" -nt "$object" ]; then stale="$stale $source"; fi
done
if [ -n "$stale" ]; then
  echo "$stale" | tr ' ' '\n' | grep . | xargs -P 2 -I{} sh -c \
    "$CXX $flags -fsanitize=fuzzer-no-link,$sanitizers -c {} -o $out/objects/\$(echo {} | tr / -).o"
fi

passed=0
failed=0
for target in $targets; do
  # shellcheck disable=SC2086
  "$CXX" $flags -fsanitize=fuzzer,$sanitizers "native/fuzz/${target}_fuzz.cc" $objects -o "$out/$target"
  mkdir -p "$out/corpus/$target"
  longest=$([ "$target" = reactor ] && echo 3208 || echo 2048)
  if "$out/$target" "$out/corpus/$target" -max_total_time="$seconds" -max_len="$longest" -timeout=20 -rss_limit_mb=1024 \
    -artifact_prefix="$out/failures/$target-" >"$out/$target.log" 2>&1; then
    passed=$((passed + 1))
    echo "ok $target: $(grep -E '^Done ' "$out/$target.log" || tail -n 1 "$out/$target.log")"
  else
    failed=$((failed + 1))
    echo "not ok $target"
    tail -n 60 "$out/$target.log"
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
