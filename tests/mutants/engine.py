#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The engine's planted bugs (base/plant.h): the simulator must catch each of them. For each bug, five series of worlds are
run until one fails; the table says by which check, and after how many worlds (median of the five).

usage: engine.py BIN_FOLDER [--series N] [--worlds N] [--only N,...] [--table FILE] [--jobs N]"""
import argparse
import concurrent.futures
import re
import statistics
import subprocess
import sys
import time

SERIES_APART = 100000
# Bugs that need more of something than a world has by default.
OPTIONS = {}
# Caught, but after hundreds of worlds: only when they are asked for by number.
RARE = {40}


def plants(sim):
    out = subprocess.run([sim, "--plants"], capture_output=True, text=True, check=True).stdout
    found = []
    for line in out.splitlines():
        match = re.match(r"\s*(\d+)\s+(\S+)\s+(.*)", line)
        found.append((int(match[1]), match[2], match[3]))
    return found


def one_series(sim, number, first, worlds):
    """Worlds until one fails (None: none did), and the check that noticed."""
    command = [sim, "--plant", str(number), "--seeds", f"{first}..{first + worlds - 1}", "--until-failure", "--jobs", "1", "--quiet"]
    command += OPTIONS.get(number, [])
    out = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    match = re.search(r"first failed seed (\d+) by (\S+)", out)
    return (int(match[1]) - first + 1, match[2]) if match else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin")
    parser.add_argument("--series", type=int, default=5)
    parser.add_argument("--worlds", type=int, default=500, help="at most so many in a series")
    parser.add_argument("--only", default="")
    parser.add_argument("--table")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    sim = arguments.bin + "/quorate-sim"
    wanted = {int(n) for n in arguments.only.split(",") if n}
    chosen = [p for p in plants(sim) if p[0] in wanted or not wanted and p[0] not in RARE]
    begin = time.monotonic()
    lines = ["| # | planted bug | noticed by | worlds (median, most) |", "|---|---|---|---|"]
    missed = 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        runs = {p[0]: [pool.submit(one_series, sim, p[0], 1 + s * SERIES_APART, arguments.worlds) for s in range(arguments.series)]
                for p in chosen}
        for number, name, what in chosen:
            results = [run.result() for run in runs[number]]
            caught = [r for r in results if r]
            if len(caught) < len(results):
                missed += 1
                print(f"MISSED {number} {name}: caught in {len(caught)} of {len(results)} series of {arguments.worlds} worlds")
                continue
            counts = [r[0] for r in caught]
            checks = sorted({r[1] for r in caught}, key=lambda c: -sum(r[1] == c for r in caught))
            print(f"ok - {number} {name}: {', '.join(checks)} after {statistics.median(counts):.0f} (most {max(counts)})", flush=True)
            lines.append(f"| {number} | {what} | {', '.join(checks)} | {statistics.median(counts):.0f}, {max(counts)} |")
    if arguments.table:
        with open(arguments.table, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    print(f"{len(chosen)} planted bugs, {missed} missed, {time.monotonic() - begin:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
