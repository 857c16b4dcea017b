#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Starts Quorate and etcd, one member each with nothing in it, lets the program `differential` send both the same
random operations, and on a difference looks for a short list of operations that shows it, on fresh servers each time.

  differential.py [3.4] [3.6] [--count N] [--seed S] [--replay FILE] [--no-shrink]

Exit 0: no difference; 1: one; 77: that etcd is not here. Neither server flushes (this is no test of durability)."""
import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e", "lib"))
import quorate  # noqa: E402
from etcds import Etcd, program  # noqa: E402

quorate.PORT_FIRST, quorate.PORT_LAST = 34500, 34999
quorate._next_port = quorate.PORT_FIRST + (os.getpid() * 37) % (quorate.PORT_LAST - quorate.PORT_FIRST)
PROGRAM = os.path.join(quorate.BIN, "differential")
COUNTS = {"3.6": 100000, "3.4": 30000}
SHRINK_SECONDS = 120
RUN_SECONDS_MAX = 1200


class Pair:
    """Two fresh servers and the program between them."""

    def __init__(self, suite, version, etcd):
        self.suite, self.version = suite, version
        self.kind = type("EtcdMember", (Etcd,), {"program": etcd})

    def run(self, *args, quiet=False):
        """The exit code and what was said."""
        members = [quorate.Member(self.suite, "quorate"), self.kind(self.suite, "etcd")]
        try:
            for member in members:
                member.flags = {"unsafe-no-fsync": "true", "quota-backend-bytes": str(8 << 30), "bcrypt-cost": "4",
                                "auth-token-ttl": "7200"}
                if self.version == "3.4":
                    del member.flags["auth-token-ttl"]  # as long as a run lasts
                member.start(wait=False)
            for member in members:
                member.wait_ready(60)
            command = [PROGRAM, "--endpoints", ",".join(m.client for m in members), "--etcd", self.version, *args]
            if not quiet:
                code = subprocess.run(command, check=False, timeout=RUN_SECONDS_MAX).returncode
                return (code if code in (0, 1) else 2), ""
            done = subprocess.run(command, capture_output=True, check=False, timeout=RUN_SECONDS_MAX)
            return done.returncode, done.stdout.decode(errors="replace")
        finally:
            for member in members:
                alive = member.is_running()
                if alive:
                    member.kill()
                elif not quiet:
                    print(f"{member.name} ended by itself: {member.log()[-1500:]}")
                self.suite.members.remove(member)
                shutil.rmtree(member.data, ignore_errors=True)
            for port in quorate._reserved:
                port.close()
            quorate._reserved.clear()


def shrink(pair, path):
    """Cuts the list while a difference of that kind remains, and shows what is left."""
    with open(path, encoding="utf-8") as file:
        best = file.readlines()
    small, tried = path + ".small", path + ".tried"
    end = time.time() + SHRINK_SECONDS * quorate.SLOW

    def kind_of(said):
        """What differs, and at which kind of operation."""
        lines = said.splitlines()
        at = next((i for i, line in enumerate(lines) if line.startswith("DIFFERENCE")), None)
        return at is not None and (lines[at].split(",")[0], lines[at + 1].split(" ")[0])

    def differs(lines):
        with open(tried, "w", encoding="utf-8") as file:
            file.writelines(lines)
        code, said = pair.run("--replay", tried, quiet=True)
        return code == 1 and kind_of(said) == wanted

    wanted = kind_of(pair.run("--replay", path, quiet=True)[1])
    if not wanted:
        print("\nthe same operations show no difference again")
        return

    for size in (1, 3, 10, 30, 100, 300, 1000, 3000, 10000):  # only what came last
        if size < len(best) and time.time() < end and differs(best[-size:]):
            best = best[-size:]
            break
    part = max(len(best) // 2, 1)
    while part >= 1 and time.time() < end:
        at, cut = 0, False
        while at < len(best) - 1 and time.time() < end:
            rest = best[:at] + best[at + part:]
            if rest and differs(rest):
                best, cut = rest, True
            else:
                at += part
        if part == 1 and not cut:
            break
        part = max(part // 2, 1)
    with open(small, "w", encoding="utf-8") as file:
        file.writelines(best)
    print(f"\n{len(best)} operations show a difference (differential.py {pair.version} --replay {small}):", flush=True)
    with open(tried, "w", encoding="utf-8") as file:
        file.writelines(best)
    for line in best[:30]:
        print("  " + line[:300].rstrip())
    print(pair.run("--replay", tried, quiet=True)[1], flush=True)


def compare(suite, version, etcd, options):
    pair = Pair(suite, version, etcd)
    count, seed = options.count or COUNTS[version], options.seed or random.randrange(1, 1 << 31)
    if options.replay:
        return pair.run("--replay", options.replay)[0]
    ops = os.path.join(suite.dir, f"ops-{version}")
    print(f"Quorate and etcd {version}, {count} operations, seed {seed}", flush=True)
    code = pair.run("--seed", str(seed), "--count", str(count), "--save", ops)[0]
    if code == 1 and os.path.exists(ops) and not options.no_shrink:
        shrink(pair, ops)
    return code


def main():
    parser = argparse.ArgumentParser(prog="differential.py")
    parser.add_argument("versions", nargs="*", default=[], help="3.4, 3.6; default: both")
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--replay")
    parser.add_argument("--no-shrink", action="store_true", help="looks for no shorter list")
    options = parser.parse_args()
    wanted = options.versions or ["3.4", "3.6"]
    found = {version: program(version) for version in wanted}
    here = [version for version in wanted if found[version]]
    if not here:
        print(f"skipped: no etcd {' or '.join(wanted)} here")
        sys.exit(77)
    suite = quorate.Suite("differential")
    if os.path.isdir("/dev/shm"):
        shutil.rmtree(suite.dir)
        suite.dir = tempfile.mkdtemp(prefix="quorate-differential-", dir="/dev/shm")
    code = 0
    try:
        for version in here:
            code = max(code, compare(suite, version, found[version], options))
    finally:
        suite.stop_all()
        if code == 0 and sys.exc_info()[0] is None:
            shutil.rmtree(suite.dir, ignore_errors=True)
        else:
            print(f"what is left is in {suite.dir}")
    subprocess.run([PROGRAM, "--left-out"], check=False)
    sys.exit(code)


main()
