#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Leaders stand still (SIGSTOP) and go on while others write through a new leader: no linearizable read of theirs
may be stale. Several small clusters at the same time; stale_probe.c reads and judges.

Twenty pauses by default, most near the election timeout, some longer; --count 500 --clusters 8 for the long run."""
import argparse
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e", "lib"))
import quorate  # noqa: E402
from quorate import SLOW, Cluster, Suite, wait_for  # noqa: E402

quorate.PORT_FIRST, quorate.PORT_LAST = 33000, 33999
quorate._next_port = quorate.PORT_FIRST + (os.getpid() * 37) % (quorate.PORT_LAST - quorate.PORT_FIRST)
PROBE = os.path.join(os.environ.get("QUORATE_CHAOS_TOOLS", quorate.BIN), "stale_probe")
# heartbeat and election timeout in milliseconds
TIMES = ((100, 1000), (50, 500), (30, 300), (100, 1000))
BACK_SECONDS = 20


def spans_of(total, chance):
    """How long each pause is: most near the election timeout (in its multiples, negative), some of seconds, few long."""
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


class Pauses(threading.Thread):
    """One cluster and its pauses."""

    def __init__(self, suite, number, spans):
        super().__init__(daemon=True)
        heartbeat, election = TIMES[number % len(TIMES)]
        self.suite, self.number, self.error, self.said = suite, number, None, {}
        self.done = self.moved = 0
        self.spans = [-span * election / 1000 if span < 0 else span for span in spans]
        self.cluster = Cluster(suite, 3, flags={"heartbeat-interval": heartbeat, "election-timeout": election,
                                                "snapshot-count": "5000"}, token=f"pauses-{number}")
        self.stderr = ""

    def run(self):
        try:
            self.cluster.start()
            probe = subprocess.Popen([PROBE, "--endpoints", ",".join(self.cluster.endpoints())],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            try:
                time.sleep(1)
                for span in self.spans:
                    self.pause(span)
            finally:
                probe.send_signal(signal.SIGTERM)
                out, self.stderr = probe.communicate(timeout=30)
            self.said = json.loads(out)
        except Exception as error:  # told by the main thread
            self.error = f"{type(error).__name__}: {error}"

    def pause(self, span):
        leader = self.cluster.leader(30)
        others = [m for m in self.cluster.members if m is not leader]
        before = leader.id()
        leader.process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(span)
        finally:
            leader.process.send_signal(signal.SIGCONT)
        back = wait_for(lambda: leader.status()["leader"] and
                        leader.status()["raftTerm"] == others[0].status()["raftTerm"], BACK_SECONDS, 0.1)
        if not back:
            raise RuntimeError(f"{leader.name} of cluster {self.number} did not come back after {span:.1f} s")
        self.done += 1
        self.moved += 1 if leader.status()["leader"] != before else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20, help="pauses, over all clusters")
    parser.add_argument("--clusters", type=int, default=4, help="at the same time")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    sys.argv = sys.argv[:1]
    suite = Suite("pauses")
    print(f"seed {options.seed}", flush=True)
    spans = spans_of(options.count, random.Random(options.seed))
    runs = [Pauses(suite, i, spans[i::options.clusters]) for i in range(options.clusters)]
    for each in runs:
        each.start()
    for each in runs:
        each.join(sum(each.spans) * 1.2 + 60 * SLOW + len(each.spans) * 30)
        suite.check(f"cluster {each.number} went through its pauses", not each.is_alive() and not each.error,
                    each.error)
    total = {key: sum(each.said.get(key, 0) for each in runs) for key in
             ("puts", "puts_unknown", "reads", "reads_failed", "late", "stale")}
    done, moved = sum(each.done for each in runs), sum(each.moved for each in runs)
    print(f"     {done} pauses of {min(min(e.spans) for e in runs):.1f} to {max(max(e.spans) for e in runs):.1f} s, "
          f"the lead moved in {moved}; {total}", flush=True)
    suite.equal(f"{options.count} pauses were made", done, options.count)
    suite.check("most pauses cost the leader its lead", moved >= done // 3, moved)
    suite.check("reads waited for members that stood still, and were answered", total["late"] > done, total)
    suite.equal(f"no read of {total['reads']} was stale", total["stale"], 0)
    for each in runs:
        if each.stderr:
            suite.check(f"nothing was told of cluster {each.number}", False, each.stderr)
    suite.stop_all()
    return suite.end()


if __name__ == "__main__":
    sys.exit(main())
