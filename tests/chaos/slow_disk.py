#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A leader whose disk is slower than the others' knows of what it has not applied yet."""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e", "lib")]
import quorate  # noqa: E402
from faultfs import FaultDisk  # noqa: E402
from faultfs_test import reason_to_skip  # noqa: E402
from quorate import Cluster, Suite, ctl  # noqa: E402

quorate.PORT_FIRST, quorate.PORT_LAST = 33000, 33999
quorate._next_port = quorate.PORT_FIRST + (os.getpid() * 37) % (quorate.PORT_LAST - quorate.PORT_FIRST)
FSYNC_MS = 300  # below the election timeout: it goes on to lead
LEASES = 10


def leases_are_known(suite):
    c = Cluster(suite, 3)
    disks = [FaultDisk(os.path.join(quorate.BIN, "faultfs"), m.data) for m in c.members]
    try:
        for member, disk in zip(c.members, disks):
            member.data = os.path.join(disk.folder, "data")
        c.start()
        leader = c.leader()
        follower = c.followers()[0]
        disks[c.members.index(leader)].tell("delay-fsync", FSYNC_MS)
        gone = []
        for turn in range(LEASES):
            granted = re.search(r"lease (\w+) granted", follower.ctl("lease", "grant", "60").out)
            asked = follower if turn % 2 else leader
            answer = ctl([asked.client], "lease", "keep-alive", "--once", granted.group(1))
            if "keepalived" not in answer.out:
                gone.append(answer)
        suite.check("a lease that was granted is renewed at once, though its grant is not applied at the leader yet",
                    not gone, gone[:2])
        suite.check("the leader led all the time", c.leader() is leader)
    finally:
        suite.stop_all()
        for disk in disks:
            disk.tell("clear")
            disk.stop()


if __name__ == "__main__":
    REASON = reason_to_skip()
    if REASON:
        print(f"skipped: {REASON}")
        sys.exit(77)
    sys.exit(Suite("slow-disk").run([leases_are_known]))
