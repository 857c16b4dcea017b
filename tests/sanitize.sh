#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: tests/sanitize.sh asan|tsan. Builds the unit tests with gcc's sanitizers in build-asan or
# build-tsan and runs them: all of them with ASan and UBSan, those of the threaded modules with TSan.
# Exit 1 on any report or failed test; the last line counts.
set -eu
cd "$(dirname "$0")/.."
export ASAN_OPTIONS=strict_string_checks=1:quarantine_size_mb=64
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=second_deadlock_stack=1
# Random runs at full length are for the plain build; here each kind of step has to come up, not each seed.
export WALK_RUNS=2000 RAFT_SEEDS=100
case "${1:-}" in
asan) type=ASan modules='unit' ;;
tsan) type=TSan modules='^(base|rpc|peer|store|server|wal|apiserver|kubelet|kube)$' ;;
*) echo "usage: $0 asan|tsan" >&2 && exit 2 ;;
esac
build="build-$1"
mkdir -p "$build"
# Other suites build there too.
flock "$build.lock" sh -c "cmake -S . -B $build -G Ninja -DCMAKE_BUILD_TYPE=$type >/dev/null &&
    nice ninja -C $build -j2 units" >"$build/units.log" 2>&1 || { tail -40 "$build/units.log"; exit 1; }
nice ctest --test-dir "$build" -L "$modules" -j2 --no-tests=error --output-on-failure >"$build/ctest.log" 2>&1 || true
awk '/^ *[0-9]+\/[0-9]+ Test/ && !/Passed/ { bad = 1 }
     /^ *[0-9]+\/[0-9]+ Test/ && / Passed / { passed++; next }
     /^ *[0-9]+\/[0-9]+ Test/ { failed++ }
     bad { print; if (++lines > 200) bad = 0 }
     END { printf "%d passed, %d failed\n", passed, failed; exit failed > 0 || passed == 0 }' "$build/ctest.log"
