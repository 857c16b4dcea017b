#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The operator as a person with kubectl sees it: columns, describe, wait, scale, the order of events, the words."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from operatorworld import CORE, GROUP, ROOT, Cluster, expect, main, say  # noqa: E402

DEMO = os.path.join(ROOT, "crd", "samples", "demo.yaml")
CONDITIONS = ["Ready", "Reconciling", "Stalled", "Available", "Progressing", "Degraded", "QuorumHealthy", "MembersHealthy",
              "ClusterIDConsistent", "SpaceHealthy", "DataConsistent", "SpreadSatisfied", "UpToDate", "CertificatesValid", "Paused"]
OLD_KUBECTL = os.environ.get("KUBECTL_OLD")


def must(world, *args):
    code, text = world.kubectl(*args)
    expect(code == 0, f"kubectl {' '.join(args)}: {text}")
    return text


def table(text):
    """The rows of a printed table by their columns, cut where the header's words begin."""
    lines = text.rstrip("\n").split("\n")
    starts = [m.start() for m in re.finditer(r"\S+(?: \S+)*", lines[0])]
    names = [lines[0][a:b].strip() for a, b in zip(starts, starts[1:] + [None])]
    return [{n: line[a:b].strip() for n, a, b in zip(names, starts, starts[1:] + [None])} for line in lines[1:]]


def reads_well(text, where):
    """No accident of formatting, and a sentence's beginning."""
    expect(text and not re.search(r"\(null\)|%[a-z]|  |\{|\bNone\b| ,|[:;,]$", text), f"{where}: {text!r}")
    expect(text[0].isupper() or text[0].isdigit() or text.startswith(("spec.", "metadata.")), f"{where} begins small: {text!r}")
    expect(not text.endswith(".") and len(text.split()) >= 2, f"{where}: {text!r}")


def in_order(reasons, *wanted):
    """The wanted words stand in this order among the reasons."""
    at = 0
    for reason in reasons:
        if at < len(wanted) and reason == wanted[at]:
            at += 1
    expect(at == len(wanted), f"after {wanted[:at]} no {wanted[at:at + 1]} in {reasons}")


def columns(world):
    row = table(must(world, "get", "ec", "demo"))[0]
    expect(list(row) == ["NAME", "READY", "AVAILABLE", "LEADER", "VERSION", "DB", "PHASE", "AGE"], f"columns: {list(row)}")
    expect(row["READY"] == "3/3" and row["AVAILABLE"] == "True" and row["LEADER"].startswith("demo-"), f"row: {row}")
    expect(re.fullmatch(r"3\.6\.\d+", row["VERSION"]) and re.fullmatch(r"\d+(\.\d+)?[KMG]i", row["DB"]), f"row: {row}")
    expect(row["PHASE"] == "Healthy: 3 of 3 members serve" and re.fullmatch(r"[0-9ms]+", row["AGE"]), f"row: {row}")
    wide = table(must(world, "get", "ec", "demo", "-o", "wide"))[0]
    expect(int(wide["REVISION"]) >= 1 and int(wide["TERM"]) >= 1, f"wide: {wide}")
    for words in (("get", "etcdcluster"), ("get", "etcdclusters.quorate.dev"), ("get", "etcd")):
        expect("demo" in must(world, *words), f"kubectl {words} does not show it")
    rows = table(must(world, "get", "etcdmembers"))
    expect([r["NAME"] for r in rows] == ["demo-0", "demo-1", "demo-2"], f"members: {rows}")
    expect(all(r["CLUSTER"] == "demo" and r["PHASE"] == "Ready" and re.fullmatch("[0-9a-f]+", r["ID"]) and
               r["EVIDENCE"] == "" for r in rows), f"members: {rows}")
    expect(sorted(r["ROLE"] for r in rows) == ["Voter"] * 3, f"members: {rows}")


def describe(world, cluster):
    text = must(world, "describe", "ec", "demo")
    for part in ["Name:         demo", "Kind:         EtcdCluster", "Cluster ID:", "Last Operations:", "Events:"]:
        expect(part in text, f"kubectl describe has no {part!r}")
    told = re.findall(r"^    Type: +(\w+)$", text[:text.index("Last Operations")], re.M)
    expect(told == CONDITIONS, f"conditions: {told}")
    expect(" AddedMember " in text.replace("AddedMember", " AddedMember ") and "Promoted member demo-2" in text,
           "kubectl describe shows no events")
    for kind, row in cluster.conditions().items():
        reads_well(row["message"], f"condition {kind}")
    for event in cluster.events():
        reads_well(event["note"], f"event {event['reason']}")


def order(cluster):
    events = cluster.events()
    in_order([e["reason"] for e in events], "Created", "StartingSeed", "ClusterFounded", "SeedLatched",
             "ClientServiceOpened", "AddedMember", "StartedMember", "PromotedMember", "AddedMember", "StartedMember",
             "PromotedMember")
    for member in ("demo-1", "demo-2"):
        own = [e["reason"] for e in events if re.search(rf"\b{member}\b", e["note"])]
        expect(own == ["AddedMember", "StartedMember", "PromotedMember"], f"{member}: {own}")
    expect(all(e["type"] == "Normal" for e in events), "a warning while all went well")


def a_person_makes_looks_at_and_scales_a_cluster(world):
    world.operator_start()
    cluster = Cluster(world, "demo")
    must(world, "apply", "-f", DEMO)
    must(world, "wait", "--for=condition=Available", "ec/demo", "--timeout=60s")
    must(world, "wait", "--for=condition=Ready", "ec/demo", "--timeout=60s")
    columns(world)
    order(cluster)
    describe(world, cluster)
    expect("unchanged" in must(world, "apply", "-f", DEMO), "a second apply changes something")
    expect("scaled" in must(world, "scale", "ec", "demo", "--replicas=5"), "kubectl scale")
    world.wait(lambda: must(world, "get", "ec", "demo", "-o", "jsonpath={.status.ready}") == "5/5", 90, "five of five")
    cluster.wait_settled(5)
    expect(must(world, "get", "ec", "demo", "-o", "jsonpath={.status.replicas}/{.spec.replicas}") == "5/5", "replicas")
    expect(len(table(must(world, "get", "pods", "-l", must(world, "get", "ec", "demo", "-o", "jsonpath={.status.selector}")))) == 5,
           "status.selector does not select the Pods")
    code, text = world.kubectl("scale", "ec", "demo", "--replicas=5", "--current-replicas=3")
    expect(code != 0, f"a wrong precondition of kubectl scale was taken: {text}")
    code, text = world.kubectl("scale", "ec", "demo", "--replicas=0")
    expect(code != 0 and "spec.replicas" in text, f"scaled to zero: {text}")
    if OLD_KUBECTL:
        code, text = world.run(OLD_KUBECTL, "get", "ec")
        expect(code == 0 and "5/5" in text, f"an old kubectl: {text}")


def a_person_is_told_of_a_loss_and_what_comes_next(world):
    cluster = Cluster(world, "demo")
    names = cluster.wait_settled(5)
    leader = cluster.status()["leader"]
    victim = next(name for name in names if name != leader)
    must(world, "patch", "ec", "demo", "--type=merge", "-p", '{"spec":{"repair":{"policy":"Manual"}}}')
    world.play("pod", "destroy", victim)
    told = world.wait(lambda: cluster.condition("Stalled") == "True" and cluster.conditions(), 30, "the loss is told")
    for kind in ("Stalled", "Degraded", "MembersHealthy"):
        expect(victim in told[kind]["message"], f"{kind} does not name {victim}: {told[kind]}")
        say(f"  {kind}: {told[kind]['message']}")
    expect(f"delete EtcdMember {victim}" in told["Stalled"]["message"], "no way out is told")
    expect(told["Available"]["status"] == "True", "four of five serve, and it says no")
    must(world, "delete", "etcdmember", victim, "--wait=false")
    world.wait(lambda: victim not in (cluster.settled(5) or [victim]), 60, f"{victim} is replaced when asked for")
    for kind, row in {**cluster.conditions(), **told}.items():
        reads_well(row["message"], f"condition {kind}")
    events = cluster.events()
    for event in events:
        reads_well(event["note"], f"event {event['reason']}")
    say("  " + next(e["note"] for e in events if e["reason"] == "RemovedMember"))


def a_person_deletes_it_and_nothing_is_left(world):
    must(world, "delete", "ec", "demo", "--timeout=60s")
    cluster = Cluster(world, "demo")
    for path in (CORE + "/pods", CORE + "/services", CORE + "/persistentvolumeclaims", GROUP + "/etcdmembers",
                 "/apis/policy/v1/namespaces/default/poddisruptionbudgets"):
        world.wait(lambda: not cluster.owned(path), 20, f"{path} is empty")
    world.operator_stop()


if __name__ == "__main__":
    sys.exit(main([a_person_makes_looks_at_and_scales_a_cluster, a_person_is_told_of_a_loss_and_what_comes_next,
                   a_person_deletes_it_and_nothing_is_left]))
