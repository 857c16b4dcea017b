#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The suite of simulated worlds: as many as the figures below ask for, every seed that once failed, and one trace a hundred
times. A run that shows less than the frozen figures fails, so that it cannot shrink unseen.

usage: simulation.py BIN_FOLDER"""
import json
import os
import subprocess
import sys
import tempfile

# Frozen: what a run has to show at least. Change them only upwards.
WORLDS = 1400
FAULTS = 56000
OF_EACH_KIND = 100
OPERATIONS = 1360000
REPEATS = 100

SEEDS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "seeds")
failed = []


def check(behaviour, holds, detail=""):
    print(("ok - " if holds else "FAIL - ") + behaviour + ("" if holds else f": {detail}"), flush=True)
    if not holds:
        failed.append(behaviour)


def worlds(sim):
    with tempfile.NamedTemporaryFile() as lines:
        run = subprocess.run([sim, "--seeds", f"1..{WORLDS}", "--json", lines.name], capture_output=True, text=True, check=False)
        print(run.stdout, end="")
        print(run.stderr, end="")
        code = run.returncode
        outcomes = [json.loads(line) for line in open(lines.name, encoding="utf-8")]
    kinds = {}
    for outcome in outcomes:
        for kind, count in outcome["faults"].items():
            kinds[kind] = kinds.get(kind, 0) + count
    rare = {kind: count for kind, count in kinds.items() if count < OF_EACH_KIND}
    check("no rule is broken in any world", code == 0 and not any(o["violations"] for o in outcomes), code)
    check("nothing is left undecided", not any(o["undecided"] for o in outcomes))
    check(f"{WORLDS} worlds", len(outcomes) >= WORLDS, len(outcomes))
    check(f"{FAULTS} faults", sum(kinds.values()) >= FAULTS, sum(kinds.values()))
    check(f"{OF_EACH_KIND} of each kind", not rare, rare)
    operations = sum(o["operations"] for o in outcomes)
    check(f"{OPERATIONS} operations checked", operations >= OPERATIONS, operations)


def seeds_that_failed(sim):
    for name in sorted(os.listdir(SEEDS)):
        for line in open(os.path.join(SEEDS, name), encoding="utf-8"):
            words = line.split("#")[0].split()
            if words:
                run = subprocess.run([sim, *words], capture_output=True, text=True, check=False)
                check(f"{name}: {' '.join(words)}", run.returncode == 0, run.stderr[-400:])


def main():
    sim = os.path.join(sys.argv[1], "quorate-sim")
    one = subprocess.run([sim, "--seed", "7", "--operations", "200", "--faults", "12", "--repeat", str(REPEATS)], capture_output=True, text=True, check=False)
    check(f"one trace, {REPEATS} of {REPEATS} times", one.returncode == 0, one.stdout + one.stderr)
    again = [subprocess.run([sim, "--seed", "8"], capture_output=True, text=True, check=False).stdout.split('"hash":')[1][:20] for _ in range(3)]
    check("the same trace in another process", len(set(again)) == 1, again)
    seeds_that_failed(sim)
    worlds(sim)
    return 1 if failed else 0


sys.exit(main())
