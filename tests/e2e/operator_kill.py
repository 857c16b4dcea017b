#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The operator is killed around every one of its changes, and the clusters come out as without deaths.

One life per call: each life of the operator is killed by SIGKILL right after its first change ("1:after"), or right
before its second one ("2:before"), and the next life goes on. So every change of creating, replacing, growing and
shrinking is the last one of a life, with its answer known or not. The changes of members that etcd saw, and every
status.operation, are recorded throughout and judged."""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from operatorworld import CORE, Cluster, Failed, Watcher, expect, kinds_of_changes, main, operations_follow_each_other, say  # noqa: E402

KEYS = 200
STEP_SECONDS_MAX = 150
IDLE_SECONDS = 2.5  # a life that lives so long in a settled cluster has nothing to do
REPLACED, GROWN, SHRUNK = ["removed", "added", "promoted"], ["added", "promoted"] * 2, ["removed"] * 2


def is_there(cluster, replicas, without):
    """The members, when so many are settled and the one that was lost is none of them."""
    names = cluster.settled(replicas)
    return names if names and without not in names else None


def live_until(world, cluster, replicas, without, crash_at):
    """Lives of the operator until the cluster is there and one life had nothing to do; how many there were."""
    lives = 0
    end = time.monotonic() + STEP_SECONDS_MAX
    while True:
        world.operator_start(crash_at)
        lives += 1
        born = time.monotonic()
        while world.operator.poll() is None:
            if time.monotonic() - born > IDLE_SECONDS and is_there(cluster, replicas, without):
                world.operator_stop()
                return lives
            if time.monotonic() > end:
                raise Failed(f"{replicas} members are not reached by lives of {crash_at}")
            try:
                world.operator.wait(0.3)
            except subprocess.TimeoutExpired:
                pass
        expect(world.operator.returncode == -signal.SIGKILL,
               f"the operator ended by itself: {world.operator.returncode}")


def go_through(world, cluster, step):
    """Creates, replaces, grows, shrinks; step(replicas, without) brings the cluster there. What the steps gave."""
    cluster.create(3)
    counts = [step(3, None)]
    wrote = cluster.write_keys("kept/", 0, KEYS)
    founded = cluster.one_cluster_id()
    names = cluster.settled(3)
    watcher = Watcher(cluster, names[0]).begin()
    victim = names[1]
    world.play("pod", "destroy", victim)
    counts.append(step(3, victim))
    for replicas in (5, 3):
        cluster.scale(replicas)
        counts.append(step(replicas, victim))
    watcher.end()
    words = kinds_of_changes(watcher.lists)
    expect(words == REPLACED + GROWN + SHRUNK, f"the changes of members were {words}")
    finished = [row for row in operations_follow_each_other(watcher.operations) if row[0] != "Recreate"]
    expect(all(result == "Succeeded" for _, _, result in finished), f"the operations were {finished}")
    expect(cluster.one_cluster_id() == founded, "the cluster id changed")
    expect(cluster.read_keys("kept/") == wrote, "keys are lost")
    return counts


def end_state(cluster):
    """What must be the same with and without deaths."""
    status = cluster.status()
    return {"conditions": {kind: (c["status"], c["reason"]) for kind, c in cluster.conditions().items()},
            "voters": status["voters"], "learners": status["learners"], "ready": status["ready"],
            "roles": sorted(m["role"] for m in status["members"]),
            "services": len(cluster.owned(CORE + "/services")),
            "budgets": len(cluster.owned("/apis/policy/v1/namespaces/default/poddisruptionbudgets")),
            "nextOrdinal": status["nextOrdinal"]}


def is_killed_around_every_change(world):
    calm = Cluster(world, "calm")
    world.operator_start()
    start = time.monotonic()
    go_through(world, calm, lambda replicas, without: world.wait(
        lambda: is_there(calm, replicas, without), STEP_SECONDS_MAX, f"{replicas} members without {without}"))
    want = end_state(calm)
    say(f"  without deaths in {time.monotonic() - start:.0f} s: {want}")
    calm.delete_and_wait()
    world.operator_stop()
    for crash_at in ("1:after", "2:before"):
        cluster = Cluster(world, "crashy" + crash_at[2:])
        start = time.monotonic()
        lives = go_through(world, cluster,
                           lambda replicas, without: live_until(world, cluster, replicas, without, crash_at))
        say(f"  {crash_at}: {sum(lives)} lives in {time.monotonic() - start:.0f} s (create, replace, up, down: {lives})")
        expect(end_state(cluster) == want, f"another end than without deaths: {end_state(cluster)}")
        world.operator_start()
        time.sleep(IDLE_SECONDS)
        world.zero_writes_at_rest(20)
        expect(end_state(cluster) == want, "the end did not hold")
        cluster.delete_and_wait()
        world.operator_stop()


if __name__ == "__main__":
    sys.exit(main([is_killed_around_every_change]))
