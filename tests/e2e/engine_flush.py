#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Natural group commit, counted: one client's put is one flush, a hundred clients share them."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from quorate import Cluster, Load, Member, Suite  # noqa: E402

FLUSHES = "etcd_disk_wal_fsync_duration_seconds_count"


def flushes_per_put(suite, member, endpoints, streams, count):
    before = member.metric(FLUSHES)
    said = Load(suite, endpoints, streams=streams, count=count).finish()
    flushes = member.metric(FLUSHES) - before
    per_put = flushes / max(said["done"], 1)
    print(f"     {streams} clients: {said['done']} puts, {flushes:.0f} flushes: {per_put:.3f} per put, "
          f"{said['per_second']} puts/s, longest wait {said['longest_gap'] * 1000:.0f} ms", flush=True)
    suite.equal(f"{streams} clients: every put was acknowledged", (said["done"], said["failed"]), (count, 0))
    return per_put


def one_member(suite):
    m = Member(suite, "m1").start()
    per_put = flushes_per_put(suite, m, [m.client], 1, 1000)
    suite.check("one client: a put is one flush", 1.0 <= per_put <= 1.2, per_put)
    per_put = flushes_per_put(suite, m, [m.client], 100, 20000)
    suite.check("a hundred clients share flushes", per_put < 0.5, per_put)


def three_members(suite):
    c = Cluster(suite).start()
    leader = c.leader()
    per_put = flushes_per_put(suite, leader, [leader.client], 1, 1000)
    suite.check("three members, one client: a put is one flush of the leader", 1.0 <= per_put <= 1.2, per_put)
    per_put = flushes_per_put(suite, leader, [leader.client], 100, 20000)
    suite.check("three members, a hundred clients share flushes", per_put < 0.5, per_put)
    follower = c.followers()[0]
    per_put = flushes_per_put(suite, follower, c.endpoints(), 100, 20000)
    suite.check("followers share flushes as well", per_put < 0.5, per_put)


if __name__ == "__main__":
    sys.exit(Suite("engine-flush").run([one_member, three_members]))
