#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long a cluster of three takes no write when its leader is killed: Quorate and etcd, in turns in one run.

  ./dev bench failover [--kills 100] [--out FILE] [--etcd 3.6|3.4]

Each kill: SIGKILL of the leader, then a put every 5 ms at the two survivors, in turns, until one is acknowledged
(failover_probe.c). Then the killed member is started again, and the next kill is that of the other cluster. Default
timeouts of both (heartbeat 100 ms, election 1000 ms), default flags, real flushes to the same disk. etcd is 3.6 where
tests/tools has built it, else Debian's 3.4. The figures go to a JSON file too. Exit 1 when Quorate is the slower one
at p50 or p99."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e", "lib"))
import quorate  # noqa: E402
from etcds import Etcd, program  # noqa: E402
from quorate import wait_for  # noqa: E402

quorate.PORT_FIRST, quorate.PORT_LAST = 34000, 34499
quorate._next_port = quorate.PORT_FIRST + (os.getpid() * 37) % (quorate.PORT_LAST - quorate.PORT_FIRST)
PROBE = os.path.join(quorate.BIN, "failover_probe")
ATTEMPT_SECONDS_MAX = 30
SETTLE_SECONDS = 0.3  # between a member's return and the next kill
BARS = 40


class Side:
    """One of the two clusters and its times in milliseconds."""

    def __init__(self, suite, name, kind):
        self.name, self.times, self.refused = name, [], []
        self.members = [kind(suite, f"m{i + 1}") for i in range(3)]
        initial = ",".join(f"{m.name}={m.peer}" for m in self.members)
        for member in self.members:
            member.initial_cluster = initial
            member.flags = {"initial-cluster-token": name}

    def start(self):
        for member in self.members:
            member.start(wait=False)
        for member in self.members:
            member.wait_ready(60)

    def leader(self):
        """The member that all three call leader, once all are there."""
        def agreed():
            said = subprocess.run([PROBE, "--endpoints", ",".join(m.client for m in self.members)],
                                  capture_output=True, text=True, check=False).stdout.split()
            ids, leaders = said[0::2], set(said[1::2])
            if len(ids) != len(self.members) or len(leaders) != 1:
                return None
            return next((m for m, i in zip(self.members, ids) if i in leaders), None)
        leader = wait_for(agreed, 60, 0.05)
        if leader is None:
            raise RuntimeError(f"{self.name}: no leader that all agree on")
        return leader

    def kill_once(self):
        leader = self.leader()
        time.sleep(SETTLE_SECONDS)
        survivors = [m.client for m in self.members if m is not leader]
        done = subprocess.run([PROBE, "--kill", str(leader.process.pid), "--endpoints", ",".join(survivors),
                               "--seconds", str(ATTEMPT_SECONDS_MAX)], capture_output=True, text=True, check=False)
        leader.process.wait()
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: no write was acknowledged: {done.stdout}{done.stderr}")
        said = json.loads(done.stdout)
        self.times.append(said["ms"])
        self.refused.append(said["last_refusal"])
        leader.start(wait=False)
        leader.wait_ready(60)
        return said


def percentile(times, share):
    """Nearest rank."""
    ordered = sorted(times)
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)]


def figures(times):
    return {"p50": percentile(times, 50), "p90": percentile(times, 90), "p99": percentile(times, 99),
            "max": max(times), "min": min(times), "mean": statistics.mean(times)}


def histogram(sides):
    top = max(max(side.times) for side in sides)
    width = 100 if top <= 2500 else 250 if top <= 6000 else 1000
    print(f"\n{'ms':>11}  " + "  ".join(f"{side.name:<{BARS}}" for side in sides))
    for low in range(int(min(min(s.times) for s in sides) // width * width), int(top) + 1, width):
        counts = [sum(low <= t < low + width for t in side.times) for side in sides]
        bars = [f"{'#' * min(count, BARS - 4)}{' ' + str(count) if count else ''}" for count in counts]
        print(f"{low:>5}-{low + width:<5}  " + "  ".join(f"{bar:<{BARS}}" for bar in bars).rstrip())


def report(sides, out, load):
    print(f"\n{'leader killed to next acknowledged write, ms':<46}"
          + "".join(f"{name:>8}" for name in ("min", "p50", "p90", "p99", "max", "mean")))
    result = {"load_at_start": load, "load_at_end": os.getloadavg()[0], "sides": {}}
    for side in sides:
        found = figures(side.times)
        result["sides"][side.name] = {**found, "times_ms": side.times}
        label = f"{side.name}, {len(side.times)} kills"
        print(f"{label:<46}" + "".join(f"{found[k]:>8.0f}" for k in ("min", "p50", "p90", "p99", "max", "mean")))
    histogram(sides)
    with open(out, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
    ours, theirs = (figures(side.times) for side in sides)
    slower = [k for k in ("p50", "p99") if ours[k] > theirs[k]]
    print(f"\n{sides[0].name} is " + (f"SLOWER at {' and '.join(slower)}" if slower else "not slower at p50 and p99")
          + f"; figures in {out}")
    return 1 if slower else 0


def main():
    parser = argparse.ArgumentParser(prog="./dev bench failover")
    parser.add_argument("--kills", type=int, default=100, help="of each cluster")
    parser.add_argument("--etcd", choices=("3.4", "3.5", "3.6"), help="default: 3.6 where it is built, else 3.4")
    parser.add_argument("--out", default=os.path.join(ROOT, "build", "failover.json"))
    options = parser.parse_args()
    version, path = next(((v, p) for v in ([options.etcd] if options.etcd else ["3.6", "3.4"])
                          for p in [program(v)] if p), (None, None))
    if path is None:
        sys.exit(f"failover: there is no etcd {options.etcd or '3.6 or 3.4'} here")
    suite = quorate.Suite("failover")
    kind = type("EtcdMember", (Etcd,), {"program": path})
    sides = [Side(suite, "quorate", quorate.Member), Side(suite, f"etcd {version}", kind)]
    load = os.getloadavg()[0]
    print(f"{options.kills} kills each, in turns; {os.cpu_count()} cores, load now {load:.1f}", flush=True)
    code = 1
    try:
        for side in sides:
            side.start()
        for turn in range(options.kills):
            took = []
            for side in sides if turn % 2 == 0 else reversed(sides):
                took.append(f"{side.name} {side.kill_once()['ms']:.0f} ms")
            print(f"  {turn + 1}/{options.kills}  " + "  ".join(sorted(took)) +
                  f"  load {os.getloadavg()[0]:.1f}", flush=True)
        code = report(sides, options.out, load)
    finally:
        suite.stop_all()
        suite.failed = 0 if sys.exc_info()[0] is None else 1
        if suite.failed:
            print(f"logs and data are in {suite.dir}")
        else:
            subprocess.run(["rm", "-rf", suite.dir], check=False)
    sys.exit(code)


main()
