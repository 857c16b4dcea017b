#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Leaders stand still (SIGSTOP) and go on while others write through a new leader: no linearizable read of theirs
may be stale. Every second one is also cut off from its peers until after it went on, so that nothing tells it of its
successor. Several small clusters at the same time, each in namespaces of its own; stale_probe.c reads and judges.

Twenty pauses by default, most near the election timeout, some longer; --count 500 --clusters 8 for the long run."""
import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import world as w  # noqa: E402

# heartbeat and election timeout in milliseconds
TIMES = ((100, 1000), (50, 500), (30, 300), (100, 1000))
BACK_SECONDS = 30
CUT_AFTER_S = 0.7  # in election timeouts
NAMESPACES = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def spans_of(total, chance):
    """How long each pause is: most near the election timeout (in its multiples, negative), some seconds, few long."""
    spans = []
    for i in range(total):
        if i % 5 < 3:
            spans.append(-chance.uniform(0.8, 2.5))
        elif i % 10 != 9:
            spans.append(chance.uniform(3, 8))
        else:
            spans.append(chance.uniform(8, 30))
    chance.shuffle(spans)
    return spans


class Pauses:
    """One cluster and its pauses; runs in the namespaces."""

    def __init__(self, folder, number, spans):
        heartbeat, election = TIMES[number % len(TIMES)]
        self.election = election / 1000
        self.spans = [-span * self.election if span < 0 else span for span in spans]
        engine = os.path.join(w.BIN, "quorate")
        self.world = w.World(folder, [engine] * 3, [w.PlainDisk] * 3, {
            "heartbeat-interval": heartbeat, "election-timeout": election, "snapshot-count": "5000"}, {})
        self.done = self.moved = 0

    def run(self):
        self.world.start()
        probe = subprocess.Popen([os.path.join(w.TOOLS, "stale_probe"), "--endpoints",
                                  ",".join(m.client for m in self.world.members)],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(1)
        try:
            for turn, span in enumerate(self.spans):
                self.pause(span, is_cut=turn % 2 == 1)
        finally:
            probe.send_signal(signal.SIGTERM)
            out, err = probe.communicate(timeout=30)
            self.world.stop()
        return {**json.loads(out), "stories": err.splitlines()[:5], "done": self.done, "moved": self.moved,
                "shortest": min(self.spans), "longest": max(self.spans)}

    def pause(self, span, is_cut):
        leader = w.wait_for(self.world.leader, BACK_SECONDS, 0.1)
        if not leader:
            raise RuntimeError("there is no leader")
        others = [m for m in self.world.members if m is not leader]
        leader.process.send_signal(signal.SIGSTOP)
        try:
            if is_cut:
                self.world.network.cut("pause", [pair for m in others for pair in
                                                 ((leader.place, m.place), (m.place, leader.place))])
            time.sleep(span)
        finally:
            leader.process.send_signal(signal.SIGCONT)
        if is_cut:
            time.sleep(self.election * CUT_AFTER_S)
            self.world.network.heal("pause")

        def is_back():
            mine, theirs = leader.status(), others[0].status()
            return mine and theirs and mine.get("leader") and mine["leader"] == theirs.get("leader")
        if not w.wait_for(is_back, BACK_SECONDS, 0.1):
            raise RuntimeError(f"{leader.name} did not come back after {span:.1f} s: {leader.log_tail(600)}")
        self.done += 1
        self.moved += 1 if leader.status().get("leader") != leader.id else 0


def reason_to_skip():
    if os.getuid() != 0:
        return "namespaces need root"
    for program in ("nft", "ip", "unshare", "nsenter"):
        if not shutil.which(program):
            return f"{program} is not installed"
    for program in ("stale_probe", "linkproxy"):
        if not os.path.exists(os.path.join(w.TOOLS, program)):
            return f"{program} was not built"
    if subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode != 0:
        return "no namespaces of our own"
    return None


def run_all(options, folder):
    """Every cluster's result; None for one that broke."""
    spans = spans_of(options.count, random.Random(options.seed))
    children = []
    for number in range(options.clusters):
        own = os.path.join(folder, str(number))
        os.mkdir(own)
        command = [*NAMESPACES, sys.executable, os.path.abspath(__file__), "--inside", own, "--number", str(number),
                   "--spans", json.dumps(spans[number::options.clusters])]
        children.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))

    def abort(*_):
        for child in children:
            child.kill()
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, abort)
    results = [None] * len(children)

    def collect(at, child):
        out, err = child.communicate()
        lines = out.splitlines()
        if child.returncode == 0 and lines:
            results[at] = json.loads(lines[-1])
        else:
            print(f"FAIL - cluster {at}: exit {child.returncode}: {(out + err)[-1500:]}", flush=True)
    threads = [threading.Thread(target=collect, args=pair) for pair in enumerate(children)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20, help="pauses, over all clusters")
    parser.add_argument("--clusters", type=int, default=4, help="at the same time")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    for name in ("--inside", "--number", "--spans"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(Pauses(options.inside, int(options.number), json.loads(options.spans)).run()))
        return 0
    reason = reason_to_skip()
    if reason:
        print(f"skipped: {reason}")
        return 77
    print(f"seed {options.seed}", flush=True)
    folder = tempfile.mkdtemp(prefix="quorate-pauses-")
    results = [r for r in run_all(options, folder) if r]
    total = {key: sum(r[key] for r in results) for key in
             ("done", "moved", "puts", "puts_unknown", "reads", "reads_failed", "late", "stale")}
    if results:
        print(f"{total['done']} pauses of {min(r['shortest'] for r in results):.1f} to "
              f"{max(r['longest'] for r in results):.1f} s, the lead moved in {total['moved']}; {total['puts']} puts "
              f"acknowledged, {total['puts_unknown']} unknown; {total['reads']} reads, {total['late']} of them answered "
              f"after a wait, {total['reads_failed']} not; stale: {total['stale']}", flush=True)
    failures = [text for holds, text in (
        (total["done"] == options.count, f"{options.count} pauses were not made"),
        (total["moved"] >= options.count // 3, "leaders kept their lead: the pauses were no test"),
        (total["late"] > options.count, "no read waited for a member that stood still: the pauses were no test"),
        (total["stale"] == 0, "stale reads: " + "; ".join(s for r in results for s in r["stories"])[:3000]),
    ) if not holds]
    for text in failures:
        print("FAIL - " + text, flush=True)
    if failures:
        print(f"logs and data are in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
