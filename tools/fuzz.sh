#!/usr/bin/env bash
# Fuzz: tools/fuzz.sh SECONDS [TARGET...]; without a target, each of them for as long.
#
# The stable compiler makes the code tell its coverage, and libFuzzer follows it. What is new goes to build/fuzz/,
# beside the small corpus of the repository; an input that breaks something stays in build/fuzz/TARGET-crashes/.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=$1
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(basename --suffix .rs -a fuzz/src/bin/*.rs)

host=$(rustc --print host-tuple)
coverage=(
  --cfg=fuzzing -Cpasses=sancov-module
  -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares
)
# With a target named, flags are for the code that is fuzzed and not for what builds it.
RUSTFLAGS="${coverage[*]}" cargo build --quiet --release \
  --manifest-path fuzz/Cargo.toml --target-dir build/fuzz/target --target "$host"

for target in "${targets[@]}"; do
  found=build/fuzz/$target
  crashes=build/fuzz/$target-crashes
  mkdir -p "$found" "$crashes" "fuzz/corpus/$target"
  echo "fuzz: $target for $seconds s"
  if ! "build/fuzz/target/$host/release/$target" -max_total_time="$seconds" -timeout=10 -len_control=10 \
    -artifact_prefix="$crashes/" -print_final_stats=1 "$found" "fuzz/corpus/$target" \
    >"build/fuzz/$target.log" 2>&1; then
    tail -n 30 "build/fuzz/$target.log"
    echo "fuzz: $target broke; the input is in $crashes"
    echo "fuzz: again with it: build/fuzz/target/$host/release/$target $crashes/INPUT"
    exit 1
  fi
  grep -E 'stat::(number_of_executed_units|average_exec_per_sec)|DONE' "build/fuzz/$target.log"
done
