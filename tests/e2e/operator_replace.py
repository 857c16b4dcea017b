#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A member whose process and volume are gone is replaced: remove, then add, one change at a time, nothing lost.

The whole series of member lists and of status.operation is recorded while it happens, and judged afterwards."""
import glob
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from operatorworld import CORE, Cluster, Load, Watcher, expect, kinds_of_changes, main, operations_follow_each_other, say  # noqa: E402

REPLACED_SECONDS_MAX = 60
KEYS = 200


def judge_series(watcher, old_id, new_id):
    """Remove, add, promote, and nothing else; the old id is out before the new one is in."""
    words = kinds_of_changes(watcher.lists)
    expect(words == ["removed", "added", "promoted"], f"the changes were {words}")
    expect(old_id in watcher.lists[0][1] and old_id not in watcher.lists[1][1], "the first to leave was another one")
    expect(new_id in watcher.lists[2][1] and new_id not in watcher.lists[1][1], "the first to come was another one")
    finished = operations_follow_each_other(watcher.operations)
    kinds = [(kind, result) for kind, _, result in finished if kind != "Recreate"]
    expect(kinds == [("Replace", "Succeeded")], f"the operations were {finished}")


def replace(cluster, victim):
    """Destroys the member and waits for its successor, while one client writes."""
    world = cluster.world
    before = cluster.member_list()
    old_id = int(before[victim][0], 16)
    load = Load(cluster, 2 * REPLACED_SECONDS_MAX)
    survivor = next(name for name in before if name != victim)
    watcher = Watcher(cluster, survivor).begin()
    start = time.monotonic()
    world.play("pod", "destroy", victim)
    world.wait(lambda: victim not in (cluster.settled(3) or [victim]), REPLACED_SECONDS_MAX,
               f"{victim} is replaced")
    seconds = time.monotonic() - start
    watcher.end()
    told = load.stop()
    after = cluster.member_list()
    fresh = sorted(after.keys() - before.keys())
    expect(len(fresh) == 1 and victim not in after, f"from {before} to {after}")
    new_id = int(after[fresh[0]][0], 16)
    expect(new_id not in {int(row[0], 16) for row in before.values()}, "a member id was used again")
    judge_series(watcher, old_id, new_id)
    expect(told["done"] > 0 and not load.lost(), f"acknowledged writes are lost: {load.lost()[:5]}")
    say(f"  {victim} ({old_id:x}) to {fresh[0]} ({new_id:x}) in {seconds:.1f} s, {watcher.samples} member lists and "
        f"{len(watcher.operations)} statuses judged; {told['done']} writes acknowledged meanwhile, none lost, "
        f"longest pause {told['longest_gap']:.2f} s")
    return seconds


def a_lost_member_is_replaced_one_change_at_a_time(world):
    world.operator_start()
    cluster = Cluster(world, "heal")
    cluster.create(3)
    names = cluster.wait_settled(3)
    wrote = cluster.write_keys("kept/", 0, KEYS)
    leader = cluster.status()["leader"]
    follower = next(name for name in names if name != leader)
    for victim in (follower, leader):
        replace(cluster, victim)
        expect(cluster.read_keys("kept/") == wrote, "keys from before the loss are not all there")
    reasons = cluster.reasons()
    for reason in ("RemovedMember", "AddedMember", "PromotedMember"):
        expect(reasons.count(reason) >= 2, f"no event {reason} for each replacement: {reasons}")
    expect("QuorumLost" not in reasons, "an event says that the quorum was lost, and it was not")
    cluster.delete_and_wait()


def damage_log(world, member):
    """Overwrites the beginning of the member's write-ahead log on its volume."""
    uid = world.get(f"{CORE}/persistentvolumeclaims/data-{member}")["metadata"]["uid"]
    files = glob.glob(os.path.join(world.state, "volumes", f"pvc-{uid}", "**", "*.wal"), recursive=True)
    expect(files, f"{member} has no log")
    for path in files:
        with open(path, "r+b") as file:
            file.seek(64)
            file.write(b"\xff" * 4096)


def a_member_with_damaged_data_is_replaced(world):
    """Its exit code says that a restart is of no use, so nobody waits for a grace period."""
    cluster = Cluster(world, "hurt")
    cluster.create(3, repair={"notReadyGracePeriod": "10m", "nodeLostGracePeriod": "10m"})
    names = cluster.wait_settled(3)
    wrote = cluster.write_keys("kept/", 0, KEYS)
    leader = cluster.status()["leader"]
    victim = next(name for name in names if name != leader)
    damage_log(world, victim)
    start = time.monotonic()
    world.play("pod", "kill", victim)
    world.wait(lambda: victim not in (cluster.settled(3) or [victim]), REPLACED_SECONDS_MAX, f"{victim} is replaced")
    say(f"  {victim} in {time.monotonic() - start:.1f} s")
    notes = [e["note"] for e in cluster.events() if e["reason"] == "RemovedMember"]
    expect(len(notes) == 1 and "its data cannot be used" in notes[0], f"the removal was told as {notes}")
    expect(cluster.read_keys("kept/") == wrote, "keys are lost")
    cluster.delete_and_wait()


if __name__ == "__main__":
    sys.exit(main([a_lost_member_is_replaced_one_change_at_a_time, a_member_with_damaged_data_is_replaced]))
