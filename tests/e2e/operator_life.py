#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The operator from outside: real processes, a real API, members killed, the operator killed at every change.

Runs against `quorate-playground` from the build folder (QUORATE_BUILD), or against an API server that is there
already (--kubeconfig FILE; it must have a kubelet)."""
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from operatorworld import CORE, GROUP, ROOT, Cluster, Failed, main, say  # noqa: E402


def grows_rests_shrinks_and_goes(world):
    world.operator_start()
    cluster = Cluster(world, "life")
    cluster.create(3)
    first = cluster.wait_settled(3)
    cluster_id = cluster.object()["status"]["clusterID"]
    say(f"  three members: {first}")
    world.zero_writes_at_rest()
    for replicas in (5, 3, 1, 3):
        cluster.scale(replicas)
        say(f"  {replicas} members: {cluster.wait_settled(replicas)}")
    cluster.patch({"availability": {"podDisruptionBudget": "Off"}})
    world.wait(lambda: not cluster.owned("/apis/policy/v1/namespaces/default/poddisruptionbudgets"), 30,
               "the budget is gone")
    if cluster.object()["status"]["clusterID"] != cluster_id:
        raise Failed("the cluster id changed")
    names = cluster.owned(CORE + "/pods")
    if max(int(n.rsplit("-", 1)[1]) for n in names) < 6:
        raise Failed(f"an ordinal was used again: {names}")
    cluster.delete_and_wait()
    world.operator_stop()


def is_killed_after_every_change(world):
    """Each life of the operator makes one change and dies; the cluster must come out as without deaths."""
    cluster = Cluster(world, "crashy", "Auto")
    cluster.create(1)
    lives = 0
    for replicas in (1, 3, 2):
        cluster.scale(replicas)
        idle = 0
        end = time.monotonic() + 400
        while not (cluster.settled(replicas) and idle):
            if time.monotonic() > end:
                raise Failed(f"{replicas} members are not reached by one change at a time")
            world.operator_start("1:after" if lives % 2 == 0 else "2:before")
            lives += 1
            try:
                world.operator.wait(4)
                if world.operator.returncode != -signal.SIGKILL:
                    raise Failed(f"the operator ended by itself: {world.operator.returncode}")
                idle = 0
            except subprocess.TimeoutExpired:
                idle = 1
                world.operator_stop()
        say(f"  {replicas} members: {cluster.settled(replicas)} after {lives} lives")
    cluster.one_cluster_id()
    cluster.delete()
    end = time.monotonic() + 200
    while not cluster.gone():
        if time.monotonic() > end:
            raise Failed("deletion is not reached by one change at a time")
        world.operator_start("1:after")
        lives += 1
        try:
            world.operator.wait(4)
        except subprocess.TimeoutExpired:
            world.operator_stop()
    say(f"  gone after {lives} lives")


def replaces_members(world):
    """One that a person wants replaced (added before removed), and one whose volume is gone (the other way)."""
    world.operator_start()
    cluster = Cluster(world, "heal", "Auto")
    cluster.create(3)
    cluster.wait_settled(3)
    world.request("DELETE", f"{GROUP}/etcdmembers/heal-1")
    world.wait(lambda: "heal-1" not in cluster.owned(CORE + "/pods"), 60, "heal-1 is gone")
    say(f"  asked for: {cluster.wait_settled(3)}")
    world.request("DELETE", f"{CORE}/persistentvolumeclaims/data-heal-0")
    world.request("DELETE", f"{CORE}/pods/heal-0")
    world.wait(lambda: "heal-0" not in cluster.owned(CORE + "/pods"), 60, "heal-0 is gone")
    say(f"  volume lost: {cluster.wait_settled(3)}")
    cluster.patch({"tls": {"serverNames": ["heal.example.org"]}})
    world.wait(lambda: cluster.reasons().count("IssuedCertificate") >= 5, 30, "the server has its new name")
    events = set(cluster.reasons())
    say(f"  events: {sorted(events)}")
    if not events:
        raise Failed("no event tells of it")
    cluster.delete_and_wait()
    world.operator_stop()


FAULTS = {"conflict": 10, "gone": 10, "tooManyRequests": 5, "internalError": 10, "cutBefore": 10, "cutAfter": 10, "cutWatch": 10,
          "duplicateEvents": 20, "delayEvents": 20, "delayMs": 500, "staleAnyList": 10, "userAgent": "quorate-operator"}


def comes_through_a_bad_api(world):
    """Conflicts, 410, 429, 500, lost answers, cut and doubled and late events, stale lists: all at once."""
    status, body = world.request("PUT", "/playground/faults", FAULTS)
    if status != 200:
        raise Failed(f"faults: {status} {body}")
    world.operator_start()
    cluster = Cluster(world, "rough", "Auto")
    cluster.create(3)
    say(f"  three members: {cluster.wait_settled(3, 300)}")
    cluster.scale(1)
    say(f"  one member: {cluster.wait_settled(1, 300)}")
    world.request("PUT", "/playground/faults", {})
    cluster.one_cluster_id()
    world.zero_writes_at_rest(15)
    cluster.delete_and_wait()
    world.operator_stop()


def uses_what_is_granted(world):
    """Every right to write that the chart grants was used by the scenarios before, and nothing else was."""
    granted = set()
    for name in ("rules-clusters.yaml", "rules-lease.yaml"):
        text = open(os.path.join(ROOT, "helm/quorate/files", name), encoding="utf-8").read()
        rules = re.findall(r"apiGroups: \[(.*?)\].*?resources: \[(.*?)\].*?verbs: \[(.*?)\]", text, re.S)
        for _, resource, verbs in rules:  # the playground counts by resource; none of ours is in two groups
            granted |= {f"{verb} {resource}" for verb in verbs.split(", ") if verb not in ("get", "list", "watch")}
    granted -= {f"{verb} {kind}" for verb in ("create", "patch") for kind in ("issuers", "certificates")}  # operator_tls
    granted.discard("update etcdclusters/finalizers")  # asked for by servers that check owner references
    agents = world.get("/playground/writes")["byUserAgent"]
    used = {what for agent, rows in agents.items() if agent.startswith("quorate-operator")
            for what in rows if what != "total"}
    # What is made by an apply is counted as a patch; servers ask for the right to create as well.
    made = {kind for kind in ("pods", "services", "persistentvolumeclaims", "poddisruptionbudgets",
                              "etcdmembers") if f"patch {kind}" in used}
    used |= {f"create {kind}" for kind in made}
    say(f"  used: {sorted(used)}")
    if used - granted:
        raise Failed(f"used and not granted: {used - granted}")
    if granted - used:
        raise Failed(f"granted and not used: {granted - used}")


def hands_over_by_lease(world):
    world.operator_start(elect=True)
    lease = "/apis/coordination.k8s.io/v1/namespaces/default/leases/quorate-operator"
    holder = world.wait(lambda: world.get(lease).get("spec", {}).get("holderIdentity"), 30, "a leader")
    world.operator_stop()
    if world.get(lease)["spec"].get("holderIdentity"):
        raise Failed("the Lease was not released")
    world.operator_start(elect=True)
    second = world.wait(lambda: world.get(lease)["spec"].get("holderIdentity"), 5, "the next leader at once")
    if second == holder:
        raise Failed("the same identity twice")
    body = world.get(lease)
    body["spec"]["holderIdentity"] = "usurper"
    world.request("PUT", lease, body)
    if world.operator.wait(20) != 1:
        raise Failed("an operator that lost its Lease did not stop")
    world.operator = None


SCENARIOS = [grows_rests_shrinks_and_goes, replaces_members, is_killed_after_every_change, hands_over_by_lease,
             comes_through_a_bad_api, uses_what_is_granted]


if __name__ == "__main__":
    sys.exit(main(SCENARIOS))
