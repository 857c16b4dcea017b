#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real kube-apiserver on three members with certificates on both sides of every connection: `direct`, it knows all
three; `balanced`, it knows one TCP load balancer before them, and the cluster asks for rights (its certificate names
the user); `mixed`, two of the members are etcd 3.6. 2,000 objects of three kinds are created, paged through, watched,
changed by rivals and deleted; the history is compacted; a member is lost and replaced, and the API server restarted,
under writers. `reference` is the same on etcd 3.6 alone, to be compared by hand; it runs only when it is named.
Loopback only, ports 22000 to 22199; every process is ended by its process id."""
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import gotools  # noqa: E402  (first: it finds the programs)
import quorate  # noqa: E402
from controlplane import ControlPlane, Process  # noqa: E402
from etcds import agree, leader_of  # noqa: E402
from kubework import MAPS, Caller, Follower, Load, config_map, foreign_errors, in_parallel, store_errors  # noqa: E402
from quorate import Suite, free_port, wait_for  # noqa: E402
from tlsworld import Pki, TlsEtcd, TlsMember, found  # noqa: E402

quorate.PORT_FIRST, quorate.PORT_LAST = 22000, 22199
quorate._next_port = quorate.PORT_FIRST + (os.getpid() * 37) % (quorate.PORT_LAST - quorate.PORT_FIRST)
TlsEtcd.program = gotools.ETCD
BALANCER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib", "balancer.py")
COMPACT_SECONDS = 4
HOT = 10  # objects that all writers change at once
STEPS = 40  # changes of each
API = "/apis/e2e.quorate.dev/v1"
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.e2e.quorate.dev"},
    "spec": {"group": "e2e.quorate.dev", "scope": "Namespaced",
             "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
             "versions": [{"name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
                           "schema": {"openAPIV3Schema": {
                               "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}


def widget(name):
    return {"apiVersion": "e2e.quorate.dev/v1", "kind": "Widget", "metadata": {"name": name}, "data": {"n": "0"}}


def lease(name):
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40}}


KINDS = {  # path of the collection, how many, a page, an object
    "ConfigMaps": ("/api/v1/namespaces/busy/configmaps", 1000, 90, lambda n: config_map(n, n="0", v="x" * 300)),
    "custom resources": (API + "/namespaces/busy/widgets", 700, 500, widget),
    "Leases": ("/apis/coordination.k8s.io/v1/namespaces/busy/leases", 300, 50, lease),
}


# ---- 2,000 objects ----

def namespaces_and_definitions(suite, caller):
    for name in ("busy", "other"):
        status, _ = caller.request("POST", "/api/v1/namespaces", {
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        suite.equal(f"the namespace {name} is taken", status, 201)
    caller.request("DELETE", "/api/v1/namespaces/other")
    other = caller.get("/api/v1/namespaces/other")
    other["spec"]["finalizers"] = []
    caller.request("PUT", "/api/v1/namespaces/other/finalize", other)
    suite.equal("one is deleted", caller.request("GET", "/api/v1/namespaces/other")[0], 404)
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    suite.equal("a definition is taken", caller.request("POST", path, DEFINITION)[0], 201)
    suite.check("and served", wait_for(
        lambda: caller.request("GET", KINDS["custom resources"][0])[0] == 200, 30, 0.2))


def created_and_paged(suite, caller, kind):
    path, count, limit, make = KINDS[kind]
    names = [f"o{i:04}" for i in range(count)]

    def create(name):
        for _ in range(20):  # a definition that is new may not be served yet
            status, said = caller.request("POST", path, make(name))
            if status != 404:
                break
            time.sleep(0.2)
        return status, said
    began = time.time()
    made = in_parallel(names, create)
    print(f"  {kind}: {count / (time.time() - began):.0f} creations a second")
    suite.check(f"{count} {kind} are created", all(status == 201 for status, _ in made.values()),
                [v for v in made.values() if v[0] != 201][:2])
    pages, versions = caller.pages(path, limit)
    suite.equal(f"{kind} in pages of {limit}, of one version",
                (len(pages), len(versions), sum(pages, [])), (-(-count // limit), 1, names))
    suite.equal(f"{kind} in one list", len(caller.get(path)["items"]), count)


def changed_by_rivals(suite, caller, kind):
    """Writers that read, add one and write; who comes second is told so. Each success counts once."""
    path, conflicts = KINDS[kind][0], []

    def value_of(said):
        return said["spec"].get("leaseTransitions", 0) if kind == "Leases" else int(said["data"]["n"])

    def add_one(job):
        name = f"{path}/o{job % HOT:04}"
        for _ in range(200):
            said = caller.get(name)
            if kind == "Leases":
                said["spec"]["leaseTransitions"] = value_of(said) + 1
            else:
                said["data"]["n"] = str(value_of(said) + 1)
            status, _ = caller.request("PUT", name, said)
            if status == 200:
                return True
            if status != 409:
                return status
            conflicts.append(job)
        return False
    done = in_parallel(range(HOT * STEPS), add_one)
    suite.check(f"{kind}: each change comes through", all(v is True for v in done.values()), done)
    values = [value_of(caller.get(f"{path}/o{i:04}")) for i in range(HOT)]
    suite.equal(f"{kind}: none is lost or made twice", values, [STEPS] * HOT)
    stale = caller.get(f"{path}/o0000")
    first, second = (caller.request("PUT", f"{path}/o0000", {**stale, "metadata": {
        **stale["metadata"], "labels": {"by": by}}})[0] for by in ("one", "two"))
    suite.equal(f"{kind}: a change from an old version is a conflict", (first, second), (200, 409))
    print(f"  {kind}: {len(conflicts)} conflicts among {HOT * STEPS} changes")


def deleted(suite, caller, kind, watch, start):
    path, count, _, _ = KINDS[kind]
    in_parallel(range(count // 2), lambda i: caller.request("DELETE", f"{path}/o{i:04}"))
    suite.equal(f"the other half of the {kind} is deleted at once", caller.request("DELETE", path)[0], 200)
    suite.equal(f"no {kind} are left", caller.get(path)["items"], [])
    want = {"ADDED": count, "MODIFIED": HOT * STEPS + 1, "DELETED": count}

    def seen():
        return {t: sum(e["type"] == t for e in watch.seen()) for t in want}
    wait_for(lambda: seen() == want, 60, 0.2)
    suite.equal(f"a watch of {kind} saw each", seen(), want)
    order = [int(e["object"]["metadata"]["resourceVersion"]) for e in watch.events]
    suite.check("in the order of revisions", order == sorted(order) and len(set(order)) == len(order)
                and all(v > int(start) for v in order))


def two_thousand_objects(suite, plane, store):
    caller = Caller(plane)
    namespaces_and_definitions(suite, caller)
    starts = {kind: caller.get(path)["metadata"]["resourceVersion"] for kind, (path, _, _, _) in KINDS.items()}
    watches = {kind: Follower(plane, path, starts[kind]) for kind, (path, _, _, _) in KINDS.items()}
    for kind in KINDS:
        created_and_paged(suite, caller, kind)
        changed_by_rivals(suite, caller, kind)
    for kind in KINDS:
        deleted(suite, caller, kind, watches[kind], starts[kind])
        watches[kind].close()
    path = KINDS["Leases"][0]

    def compacted():
        return "compacted" in store.ctl("get", "x", f"--rev={starts['Leases']}").err
    suite.check("the API server compacts the store", wait_for(compacted, COMPACT_SECONDS * 6 + 20, 0.5))
    old = f"{path}?resourceVersion={starts['Leases']}&resourceVersionMatch=Exact"
    suite.check("it learns of that from a watch: a list at a compacted version is 410", wait_for(
        lambda: caller.request("GET", old)[0] == 410, 20, 0.2), caller.request("GET", old))


# ---- losses under load ----

class Losses:
    """Writers and a watcher while something is lost. As informers do, it goes on where its watch ended, and lists anew
    when that is too old for an API server that has just started."""

    def __init__(self, suite, plane, prefix):
        self.suite, self.plane, self.seen = suite, plane, set()
        self.version = plane.get(MAPS)["metadata"]["resourceVersion"]
        self.watch = plane.watch(f"{MAPS}?watch=true&resourceVersion={self.version}")
        self.load = Load(plane, prefix)
        suite.check("there is load", wait_for(lambda: len(self.load.acknowledged) > 50, 30), self.load.failures[:3])

    def goes_on(self, what):
        mark = len(self.load.acknowledged)
        self.suite.check(f"{what}: writes go on", wait_for(lambda: len(self.load.acknowledged) > mark + 50, 60, 0.2),
                         self.load.failures[-3:])

    def follow(self):
        """Takes what the watch has seen; a watch that ended goes on from its last version."""
        for event in list(self.watch.events):
            if event["type"] == "ADDED":
                self.seen.add(event["object"]["metadata"]["name"])
            if event["type"] != "ERROR":
                self.version = event["object"]["metadata"]["resourceVersion"]
        if self.watch.status == 410 or any(e["type"] == "ERROR" for e in list(self.watch.events)):
            whole = self.plane.get(MAPS)
            self.seen.update(o["metadata"]["name"] for o in whole["items"])
            self.version = whole["metadata"]["resourceVersion"]
        if self.watch.ended:
            self.watch = self.plane.watch(f"{MAPS}?watch=true&resourceVersion={self.version}")

    def end(self):
        self.load.stop()
        suite, plane, names = self.suite, self.plane, {name for _, name in self.load.acknowledged}
        print(f"  {len(names)} acknowledged, {len(self.load.failures)} not: "
              f"{sorted({(s, str(m)[:100]) for s, m, _ in self.load.failures})[:6]}")
        suite.check("the API server is ready", wait_for(lambda: plane.request("GET", "/readyz")[0] == 200, 30, 0.2))
        there = {o["metadata"]["name"] for o in plane.get(MAPS)["items"]}
        suite.equal("nothing that was acknowledged is lost", sorted(names - there), [])
        maybe = {name for _, _, name in self.load.failures}
        suite.equal("nothing is there that nobody wrote", sorted(
            n for n in there - names - maybe if n.startswith(self.load.prefix)), [])

        def all_seen():
            self.follow()
            return names <= self.seen
        suite.check("a watcher missed nothing", wait_for(all_seen, 60, 0.3),
                    sorted(names - self.seen)[:5])
        self.watch.close()


def replaced(suite, members, victim, losses):
    """The member's process and disk are gone; another takes its place at the same client URL."""
    others = [m for m in members if m is not victim]
    name = victim.id()
    victim.kill()
    losses.goes_on(f"{victim.name} is killed")
    shutil.rmtree(victim.data)
    removed = wait_for(lambda: others[0].ctl("member", "remove", f"{name:x}").code == 0, 30, 0.5)
    suite.check("it is removed from the cluster", removed)
    fresh = type(victim)(suite, victim.name + "n", victim.pki)
    fresh.client, fresh.flags = victim.client, dict(victim.flags)
    fresh.cluster_state = "existing"
    fresh.initial_cluster = ",".join(f"{m.name}={m.peer}" for m in others + [fresh])
    added = wait_for(lambda: others[0].ctl("member", "add", fresh.name, f"--peer-urls={fresh.peer}").code == 0, 30, 0.5)
    suite.check("another is added", added, others[0].log()[-600:])
    fresh.start(wait=False)
    fresh.wait_ready(60)
    losses.goes_on(f"{fresh.name} has taken its place")
    members[members.index(victim)] = fresh


def lost_and_replaced(suite, plane, members, victim):
    losses = Losses(suite, plane, "lost")
    replaced(suite, members, victim, losses)
    losses.follow()
    plane.apiserver.stop()
    calm = plane.apiserver.log()
    plane.start(with_manager=False)
    losses.goes_on("the API server is restarted")
    losses.end()
    agree(suite, "the members agree", members, 60)
    keys = {m.ctl("get", "/registry/", "--prefix", "--count-only", "--consistency=s", "-w", "fields").out.split(
        '"Count" : ')[-1].strip() for m in members}
    suite.check("each holds all keys", len(keys) == 1 and "" not in keys, keys)
    return calm


# ---- the worlds ----

def make_rights(suite, store):
    """Everybody who may do something has an account: the name in his certificate."""
    for words in (("role", "add", "root"), ("user", "add", "root", "--no-password"), ("user", "grant-role", "root", "root"),
                  ("auth", "enable")):
        done = store.ctl(*words)
        suite.check(" ".join(words), done.code == 0 or "already exists" in done.err, done)


def world(suite, kinds, balanced=False):
    pki = Pki(suite, f"{'-'.join(k.__name__ for k in kinds)}-{balanced}")
    members = [kind(suite, f"m{i + 1}", pki) for i, kind in enumerate(kinds)]
    found(members)
    balancer, servers = None, [m.client for m in members]
    if balanced:
        port = free_port()
        balancer = Process("balancer", [sys.executable, BALANCER, str(port)] + [s.split("//")[1] for s in servers],
                           os.path.join(suite.dir, "balancer.log"))
        servers = [f"https://127.0.0.1:{port}"]
        make_rights(suite, members[0])
        nobody = pki.clients.issue("nobody", "nobody", hosts="", usage="clientAuth")
        refused = members[0].ctl("get", "/registry/", "--prefix", cert=nobody)
        suite.check("a certificate of a user without rights reads nothing", refused.code != 0
                    and "permission denied" in refused.err, refused)
    plane = ControlPlane(suite, servers, {
        "etcd-cafile": pki.clients.cert, "etcd-certfile": pki.client[0], "etcd-keyfile": pki.client[1],
        "etcd-compaction-interval": f"{COMPACT_SECONDS}s"})
    try:
        plane.start(with_manager=False)
        suite.equal("the API server is ready, its store too", plane.request("GET", "/readyz/etcd")[0], 200)
        # Of mixed members ours leads, so that the API server's writes pass through it; then it is what is lost.
        victim = next((m for m in members if type(m) is TlsMember), members[0])
        leader = leader_of(members)
        if victim is not leader:
            moved = leader.ctl("move-leader", f"{victim.id():x}")
            suite.check(f"{victim.name} leads", moved.code == 0, moved)
        two_thousand_objects(suite, plane, members[1])
        suite.equal("no call of the API server to its store failed", [
            e for e in store_errors(plane.apiserver.log()) if e[0] not in ("Canceled", "OutOfRange")], [])
        lost_and_replaced(suite, plane, members, victim)
        print(f"  errors of the store that the API server saw: {dict(store_errors(plane.apiserver.log()))}")
        suite.equal("none that etcd would not give", foreign_errors(plane.apiserver.log()), [])
    finally:
        plane.stop()
        if balancer:
            balancer.stop()


def direct(suite):
    world(suite, [TlsMember] * 3)


def balanced(suite):
    world(suite, [TlsMember] * 3, balanced=True)


def mixed(suite):
    world(suite, [TlsEtcd, TlsMember, TlsEtcd])


def reference(suite):
    if "reference" in sys.argv:
        world(suite, [TlsEtcd] * 3)


def reference_balanced(suite):
    if "reference_balanced" in sys.argv:
        world(suite, [TlsEtcd] * 3, balanced=True)


if __name__ == "__main__":
    sys.exit(Suite("kube-store-tls").run([direct, balanced, mixed, reference, reference_balanced]))
