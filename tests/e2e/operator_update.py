#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A changed spec reaches the members one at a time, the leader last, under a writer; one that does not work goes no
further than the first member, and the earlier spec heals it."""
import base64
import json
import os
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from operatorworld import CORE, Cluster, expect, main, say  # noqa: E402

UPDATED_SECONDS_MAX = 120
KEYS = 100


class Writer(threading.Thread):
    """Puts without pause through whichever member answers; Pods change their addresses, so it asks for them again."""

    TIMEOUT_S = 2

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster, self.is_over = cluster, False
        self.acknowledged, self.longest_gap = {}, 0.0

    def put(self, address, key, value):
        body = json.dumps({"key": base64.b64encode(key.encode()).decode(), "value": base64.b64encode(value.encode()).decode()})
        with urllib.request.urlopen(f"http://{address}:2379/v3/kv/put", body.encode(), self.TIMEOUT_S) as answer:
            return answer.status == 200

    def run(self):
        addresses, count, last = [], 0, time.monotonic()
        while not self.is_over:
            key, value = f"written/{count % 50}", f"{count}"
            try:
                if not addresses:
                    addresses = list(self.cluster.addresses().values())
                done = self.put(addresses[0], key, value)
            except (OSError, IndexError):
                addresses, done = addresses[1:], False
                time.sleep(0.01)
            if done:
                now = time.monotonic()
                self.acknowledged[key] = int(value)
                self.longest_gap, last = max(self.longest_gap, now - last), now
                count += 1

    def stop(self):
        self.is_over = True
        self.join(10)
        expect(self.acknowledged, "nothing was written")

    def lost(self):
        """Values go up, so what is read is the last acknowledged one or a later one that was not answered."""
        found = self.cluster.read_keys("written/")
        return [key for key, value in self.acknowledged.items() if int(found.get(key, -1)) < value]


def pods(cluster):
    """Name to (uid, snapshot count), of the Pods of the cluster."""
    found = {}
    for pod in cluster.world.items(CORE + "/pods"):
        if pod["metadata"].get("labels", {}).get("quorate.dev/cluster") == cluster.name:
            args = pod["spec"]["containers"][0].get("args", [])
            count = [a.partition("=")[2] for a in args if a.startswith("--snapshot-count=")]
            found[pod["metadata"]["name"]] = (pod["metadata"]["uid"], count[0] if count else None)
    return found


def updated(cluster, replicas, wanted):
    rows = pods(cluster)
    return cluster.settled(replicas) and all(count == wanted for _, count in rows.values()) and rows


def a_new_spec_reaches_all_members_under_a_writer(world):
    world.operator_start()
    cluster = Cluster(world, "roll")
    cluster.create(3)
    cluster.wait_settled(3)
    wrote = cluster.write_keys("kept/", 0, KEYS)
    members, before, leader = cluster.member_list(), pods(cluster), cluster.status()["leader"]
    writer = Writer(cluster)
    writer.start()
    start = time.monotonic()
    cluster.patch({"options": {"snapshotCount": 5000}})
    after = world.wait(lambda: updated(cluster, 3, "5000"), UPDATED_SECONDS_MAX, "all members run the new spec")
    seconds = time.monotonic() - start
    writer.stop()
    expect(cluster.member_list().keys() == members.keys(), "the membership has changed")
    expect({n: i for n, (i, _) in cluster.member_list().items()} == {n: i for n, (i, _) in members.items()}, "ids have changed")
    expect(all(before[name][0] != after[name][0] for name in before), "a Pod was not made again")
    names = [e["note"].split()[1] for e in cluster.events() if e["reason"] == "UpdatingMember"]
    expect(sorted(names) == sorted(before), f"restarted in the order {names}")
    moved = cluster.reasons().count("MovedLeader")
    expect(moved <= 1, f"leadership was moved {moved} times")
    expect(moved == 0 or names[-1] == leader, f"restarted in the order {names}, and {leader} led")
    expect(not writer.lost(), f"acknowledged writes are lost: {writer.lost()}")
    expect(cluster.read_keys("kept/") == wrote, "keys are lost")
    expect("QuorumLost" not in cluster.reasons(), "an event says that the quorum was lost, and it was not")
    say(f"  {names} in {seconds:.1f} s; longest pause of the writer {writer.longest_gap:.2f} s, nothing lost")
    cluster.delete_and_wait()


def a_spec_that_does_not_work_halts_and_the_earlier_one_heals(world):
    cluster = Cluster(world, "halt")
    cluster.create(3, progressDeadline="15s")
    cluster.wait_settled(3)
    wrote = cluster.write_keys("kept/", 0, KEYS)
    before = pods(cluster)
    image = cluster.object()["spec"].get("image")
    cluster.patch({"image": {"repository": "no-such-engine", "tag": "1"}})
    world.wait(lambda: cluster.conditions().get("Stalled", {}).get("reason") == "UpdateHalted", UPDATED_SECONDS_MAX,
               "the update is halted")
    untouched = [name for name, row in pods(cluster).items() if before[name] == row]
    expect(len(untouched) == 2, f"more than one member was restarted: {untouched} are as they were")
    expect(cluster.read_keys("kept/") == wrote, "the others do not serve")
    expect("RemovedMember" not in cluster.reasons(), "a member was replaced because of a wrong spec")
    cluster.patch({"image": image})
    world.wait(lambda: cluster.settled(3), UPDATED_SECONDS_MAX, "the earlier spec heals the cluster")
    expect(cluster.member_list().keys() == before.keys(), "the membership has changed")
    expect(cluster.read_keys("kept/") == wrote, "keys are lost")
    cluster.delete_and_wait()


def a_single_member_takes_a_new_spec(world):
    cluster = Cluster(world, "single")
    cluster.create(1)
    cluster.wait_settled(1)
    wrote = cluster.write_keys("kept/", 0, KEYS)
    cluster.patch({"options": {"snapshotCount": 5000}})
    world.wait(lambda: updated(cluster, 1, "5000"), UPDATED_SECONDS_MAX, "the member runs the new spec")
    expect(cluster.read_keys("kept/") == wrote, "keys are lost")
    cluster.delete_and_wait()


if __name__ == "__main__":
    sys.exit(main([a_new_spec_reaches_all_members_under_a_writer, a_spec_that_does_not_work_halts_and_the_earlier_one_heals,
                   a_single_member_takes_a_new_spec]))
