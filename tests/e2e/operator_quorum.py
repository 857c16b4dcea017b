#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A majority is lost: nobody is removed, nothing is deleted, a person is told; what comes back serves again.

And the other side: a leader that is killed costs an election, and nobody is told that the quorum was lost."""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from operatorworld import CORE, GROUP, Cluster, applied_members, expect, main, say  # noqa: E402

WATCHED_SECONDS = 30
KEYS = 200


def removals(world):
    """How often the operator deleted anything, and how often it called for a change of members."""
    deleted = sum(count for what, count in world.writes().items() if what.startswith("delete"))
    members = sum(count for what, count in world.changes().items() if "Member" in what or "Leader" in what)
    return deleted, members


def objects(cluster):
    """The parts of the cluster by uid: none may go, or be made again under the same name."""
    rows = {}
    for path in (CORE + "/pods", CORE + "/persistentvolumeclaims", GROUP + "/etcdmembers"):
        for item in cluster.world.items(path):
            if item["metadata"].get("labels", {}).get("quorate.dev/cluster") == cluster.name:
                rows[path.rsplit("/", 1)[1] + "/" + item["metadata"]["name"]] = item["metadata"]["uid"]
    return rows


def nobody_is_touched(cluster, survivor, before, seconds):
    """Watches for so long that nothing is removed; before is what there was."""
    rows, counts = before
    address = cluster.addresses()[survivor]
    members = applied_members(address)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        gone = rows.items() - objects(cluster).items()
        expect(not gone, f"gone without a quorum: {gone}")
        expect(applied_members(address) in (members, None), "the members changed without a quorum")
        time.sleep(0.5)
    expect(removals(cluster.world) == counts, f"removals: {counts} to {removals(cluster.world)}")


def is_told(cluster):
    """Available is False for QuorumLost, Stalled is True, and one event says it."""
    available = cluster.conditions().get("Available", {})
    return available.get("status") == "False" and available.get("reason") == "QuorumLost" and \
        cluster.condition("Stalled") == "True" and "QuorumLost" in cluster.reasons()


def events_of_the_loss(cluster):
    found = [e for e in cluster.events() if e["reason"] == "QuorumLost"]
    expect(len(found) == 1, f"{len(found)} events QuorumLost")
    expect(found[0]["type"] == "Warning" and "no member is removed" in found[0]["note"], f"the event: {found[0]}")
    return found[0]["note"]


def an_election_is_not_a_lost_quorum(world):
    world.operator_start()
    cluster = Cluster(world, "elect")
    cluster.create(3, repair={"notReadyGracePeriod": "30s", "nodeLostGracePeriod": "30s"})
    members = cluster.wait_settled(3)
    for _ in range(3):
        leader = cluster.status()["leader"]
        world.play("pod", "kill", leader)
        world.wait(lambda: cluster.status().get("leader") not in (leader, None), 30, "another leader")
        expect(cluster.wait_settled(3) == members, "a member that was only killed was replaced")
    expect("QuorumLost" not in cluster.reasons(), f"an election was called a lost quorum: {cluster.reasons()}")
    say(f"  three leaders killed; events: {sorted(set(cluster.reasons()))}")
    cluster.delete_and_wait()
    world.operator_stop()


def stopped_nodes_come_back(world):
    """Two of three are away with their nodes; their volumes are kept, so they serve again when the nodes are back."""
    world.operator_start()
    cluster = Cluster(world, "away")
    cluster.create(3)
    names = cluster.wait_settled(3)
    wrote = cluster.write_keys("kept/", 0, KEYS)
    nodes = {p["metadata"]["name"]: p["spec"]["nodeName"] for p in world.items(CORE + "/pods")}
    survivor = names[0]
    before = objects(cluster), removals(world)
    members = cluster.member_list()
    for name in names[1:]:
        world.play("node", "lose", nodes[name])
    start = time.monotonic()
    world.wait(lambda: is_told(cluster), 40, "the loss is told")
    say(f"  told after {time.monotonic() - start:.1f} s: {events_of_the_loss(cluster)}")
    nobody_is_touched(cluster, survivor, before, WATCHED_SECONDS)
    for name in names[1:]:
        world.play("node", "back", nodes[name])
    start = time.monotonic()
    world.wait(lambda: cluster.condition("Available") == "True", 60, "it is available again")
    say(f"  available {time.monotonic() - start:.1f} s after the nodes are back")
    cluster.wait_settled(3)
    expect(cluster.member_list() == members, "the members are not those from before")
    expect(cluster.read_keys("kept/") == wrote, "keys are lost")
    events_of_the_loss(cluster)
    cluster.delete_and_wait()
    world.operator_stop()


def destroyed_members_are_left_to_a_person(world):
    """Two of three are gone with their volumes: the operator must not guess."""
    world.operator_start()
    cluster = Cluster(world, "gone")
    cluster.create(3)
    names = cluster.wait_settled(3)
    cluster.write_keys("kept/", 0, KEYS)
    survivor = cluster.status()["leader"]
    deleted, _ = removals(world)
    claims = cluster.owned(CORE + "/persistentvolumeclaims")
    world.operator.send_signal(signal.SIGSTOP)  # it must not see one loss without the other
    for name in names:
        if name != survivor:
            world.play("pod", "destroy", name)
    world.operator.send_signal(signal.SIGCONT)
    start = time.monotonic()
    world.wait(lambda: is_told(cluster), 40, "the loss is told")
    say(f"  told after {time.monotonic() - start:.1f} s: {events_of_the_loss(cluster)}")
    expect(removals(world)[0] == deleted, "something was deleted")
    expect(len(applied_members(cluster.addresses()[survivor])) == 3, "a member was removed or added")
    nobody_is_touched(cluster, survivor, (objects(cluster), removals(world)), WATCHED_SECONDS)
    expect(cluster.owned(CORE + "/persistentvolumeclaims") == claims, "a volume claim was deleted")
    expect(len(cluster.status()["members"]) == 3, "the status forgot members")
    code, text = cluster.etcdctl("get", "kept/00001", "--consistency=s", "--print-value-only",
                                 endpoints=f"http://{cluster.addresses()[survivor]}:2379")
    expect(code == 0 and text.strip() == "value-1", f"the survivor does not answer serializable reads: {text}")
    events_of_the_loss(cluster)
    cluster.delete_and_wait()
    world.operator_stop()


if __name__ == "__main__":
    sys.exit(main([an_election_is_not_a_lost_quorum, stopped_nodes_come_back, destroyed_members_are_left_to_a_person]))
