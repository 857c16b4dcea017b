#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The engine's suites against a build with sanitizers: any report fails them.
# usage: engine_sanitized.sh ASan|TSan   (builds into build-asan/ or build-tsan/)
set -euo pipefail
cd "$(dirname "$0")/../.."
case ${1:-} in
ASan) folder=build-asan slow=3 ;;
TSan) folder=build-tsan slow=5 ;;
*) echo "usage: $0 ASan|TSan" >&2; exit 2 ;;
esac
flock "$folder.lock" sh -c "cmake -S . -B $folder -G Ninja -DCMAKE_BUILD_TYPE=$1 >/dev/null &&
    ninja -C $folder --quiet quorate kvload"
export QUORATE_BIN="$PWD/$folder/bin" QUORATE_E2E_SLOW=$slow
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=0:second_deadlock_stack=1
failed=0
# Of the longer ones the parts with the most threads at work.
for suite in engine_one engine_three engine_kill engine_bad_input "engine_tls reload" "engine_auth tokens certificates" \
    "engine_connections goodbye"; do
    read -ra parts <<<"$suite"
    echo "== $suite, $1"
    python3 "tests/e2e/${parts[0]}.py" "${parts[@]:1}" || failed=1
done
exit $failed
