#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A chaos run with members built with ThreadSanitizer: the first report ends a member and fails the run.
# usage: chaos_tsan.sh [arguments of chaos.py]   (QUORATE_BIN: the folder of the other programs)
set -euo pipefail
cd "$(dirname "$0")/../.."
flock build-tsan.lock sh -c "cmake -S . -B build-tsan -G Ninja -DCMAKE_BUILD_TYPE=TSan >/dev/null &&
    ninja -C build-tsan --quiet quorate"
export QUORATE_CHAOS_TOOLS="${QUORATE_BIN:-$PWD/build/bin}" QUORATE_BIN="$PWD/build-tsan/bin" QUORATE_E2E_SLOW=4
export TSAN_OPTIONS="exitcode=66:history_size=4"
exec python3 tests/chaos/chaos.py --seconds 60 --rate 100 "$@"
