#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: tests/coverage.sh. Builds the Raft core with clang's coverage, runs its unit tests and all
# scripts, and demands every branch and nearly every condition (tests/coverage_check.py has the
# numbers). The planted bugs (base/plant.h) are compiled in; each one of the core's is switched on
# once, must be noticed by the random clusters, and what it runs counts for its own lines only.
# Exit 1 when something is not covered (it is named), a test fails or a plant is not noticed.
set -euo pipefail
cd "$(dirname "$0")/.."
out=build-coverage
mkdir -p "$out/obj" "$out/plain" "$out/planted"
rm -f "$out"/plain/* "$out"/planted/*

# Some decisions with a planted bug in them are too deep for MC/DC; clang says so, and leaves them out.
common=(-std=gnu11 -w -O1 -g -D_GNU_SOURCE -DQUORATE_PLANTS "-DQUORATE_SOURCE_DIR=\"$PWD\"" -I.)
measured=(-fprofile-instr-generate -fcoverage-mapping -fcoverage-mcdc)
compile() { # object, source, flags
    local object=$1 source=$2
    shift 2
    clang-19 "${common[@]}" "$@" -c -o "$object" "$source"
}

core=() rest=()
for source in engine/raft/*.c; do
    object="$out/obj/raft_$(basename "$source" .c).o"
    compile "$object" "$source" "${measured[@]}"
    core+=("$object")
done
cat >"$out/obj/plant_on.c" <<'END'
/* SPDX-License-Identifier: Apache-2.0 */
/* Switches the planted bug of $PLANT on; a broken invariant leaves its coverage behind. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

int plant_on;
int __llvm_profile_write_file(void);

static void on_abort(int number)
{
    (void)number;
    (void)__llvm_profile_write_file();
    _exit(1);
}

__attribute__((constructor)) static void plant_read(void)
{
    const char *number = getenv("PLANT");
    plant_on = number == NULL ? 0 : atoi(number);
    (void)signal(SIGABRT, on_abort);
}
END
for source in base/{alloc,assert,buf,err,rng,str}.c tests/sim/raft_invariants.c tests/unit/raft/lib_*.c \
    "$out/obj/plant_on.c"; do
    object="$out/obj/rest_$(basename "$source" .c).o"
    compile "$object" "$source" -Itests/unit/raft
    rest+=("$object")
done
programs=()
for source in tests/unit/raft/test_*.c tests/unit/sim/test_raft_invariants.c; do
    name=$(basename "$source" .c)
    clang-19 "${common[@]}" -Itests/unit/raft "${measured[@]:0:1}" -o "$out/$name" "$source" "${core[@]}" "${rest[@]}" -lcmocka
    programs+=("$name")
done
clang-19 "${common[@]}" "${measured[@]:0:1}" -o "$out/raft-script" tests/raftscript/*.c "${core[@]}" "${rest[@]}"

failed=0
for name in "${programs[@]}"; do
    LLVM_PROFILE_FILE="$out/plain/$name.profraw" "$out/$name" >"$out/$name.log" 2>&1 ||
        { echo "$name failed:"; tail -20 "$out/$name.log"; failed=1; }
done
LLVM_PROFILE_FILE="$out/plain/scripts.profraw" "$out/raft-script" tests/raftscript/cases/*.txt ||
    { echo "scripts failed"; failed=1; }

# Each planted bug of the core: its number is in base/plant.h.
for name in $(grep -ho 'PLANT([a-z_]*)' engine/raft/*.c | sed 's/PLANT(\(.*\))/\1/' | sort -u); do
    number=$(sed -n "s/^ *X(\([0-9]*\), $name, .*/\1/p" base/plant.h)
    if PLANT="$number" RAFT_SEEDS="${RAFT_SEEDS:-100}" LLVM_PROFILE_FILE="$out/planted/$number.profraw" \
        "$out/test_cluster" >"$out/plant_$name.log" 2>&1; then
        echo "planted bug $number ($name) was not noticed by the random clusters"
        failed=1
    fi
done

for kind in plain planted; do
    llvm-profdata-19 merge -o "$out/$kind.profdata" "$out/$kind"/*.profraw
    llvm-cov-19 export "$out/raft-script" -instr-profile="$out/$kind.profdata" >"$out/$kind.json"
done
python3 tests/coverage_check.py "$out/plain.json" "$out/planted.json" || failed=1
exit $failed
