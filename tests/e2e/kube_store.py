#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kube-apiserver with the engine as its store: lists, pages, watches, leases of Events, compaction by the API server,
and the engine killed under it, alone and as a cluster of three. The parts can be named as arguments.
Loopback only, ports 27000 to 27499; every process is ended by its process id."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import gotools  # noqa: E402,F401  (first: it finds the programs)
from controlplane import ControlPlane  # noqa: E402
from kubework import MAPS, WRITERS, Load, config_map, in_parallel  # noqa: E402
from quorate import ROOT, Cluster, Member, Suite, wait_for  # noqa: E402

COUNT = 500
EVENT_TTL_SECONDS = 5
COMPACT_SECONDS = 3


def lists_pages_watches(suite, plane):
    start = plane.get(MAPS)["metadata"]["resourceVersion"]
    watch = plane.watch(f"{MAPS}?watch=true&labelSelector=made%3Dhere&resourceVersion={start}")
    names = [f"m{i:03}" for i in range(COUNT)]
    began = time.time()
    made = in_parallel(names, lambda n: plane.request("POST", MAPS, config_map(n, v="x" * 200)))
    suite.check(f"{COUNT} ConfigMaps are created", all(status == 201 for status, _ in made.values()),
                [v for v in made.values() if v[0] != 201][:2])
    print(f"  {COUNT / (time.time() - began):.0f} creations a second by {WRITERS} writers")
    pages, token, versions = [], "", set()
    while True:
        page = plane.get(f"{MAPS}?labelSelector=made%3Dhere&limit=50&continue={token}")
        pages.append([o["metadata"]["name"] for o in page["items"]])
        versions.add(page["metadata"]["resourceVersion"])
        token = page["metadata"].get("continue", "")
        if not token:
            break
        if len(pages) == 3:  # what changes between two pages is not in them
            plane.request("PUT", f"{MAPS}/m499", config_map("m499", v="changed"))
    suite.check("ten pages of one revision", len(pages) == 10 and len(versions) == 1, (len(pages), versions))
    suite.equal("together they are the whole, in order", sum(pages, []), names)
    whole = plane.get(f"{MAPS}?labelSelector=made%3Dhere")
    suite.equal("and so is one list", len(whole["items"]), COUNT)
    again = plane.get(f"{MAPS}/m000")
    status, _ = plane.request("PUT", f"{MAPS}/m000", {**again, "data": {"v": "1"}})
    stale, _ = plane.request("PUT", f"{MAPS}/m000", {**again, "data": {"v": "2"}})
    suite.equal("a change from an old version is a conflict", (status, stale), (200, 409))
    suite.equal("deletion of all of them", plane.request("DELETE", f"{MAPS}?labelSelector=made%3Dhere")[0], 200)
    suite.equal("none is left", plane.get(f"{MAPS}?labelSelector=made%3Dhere")["items"], [])
    wait_for(lambda: sum(e["type"] == "DELETED" for e in watch.events) == COUNT, 20)
    count = {kind: sum(e["type"] == kind for e in watch.events) for kind in ("ADDED", "MODIFIED", "DELETED")}
    suite.equal("the watch saw each", count, {"ADDED": COUNT, "MODIFIED": 2, "DELETED": COUNT})
    order = [int(e["object"]["metadata"]["resourceVersion"]) for e in watch.events]
    suite.check("in the order of revisions", order == sorted(order))
    watch.close()


def reads_from_its_cache(suite, plane):
    """Lists that must be fresh are served from the API server's cache when the store answers progress requests."""
    plane.request("POST", MAPS, config_map("fresh"))
    for _ in range(5):
        plane.get(MAPS)
    reads = [(labels, value) for labels, value in plane.metric("apiserver_watch_cache_consistent_read_total")
             if 'resource="configmaps"' in labels]
    suite.check("consistent lists come from its cache: the store reports progress", any(
        'success="true"' in labels and 'fallback="false"' in labels and value > 0 for labels, value in reads), reads)
    suite.check("none fell back to the store", not any('fallback="true"' in labels and value > 0
                                                       for labels, value in reads), reads)


def definitions_and_their_objects(suite, plane):
    path = os.path.join(ROOT, "crd", "etcdmembers.yaml")
    suite.equal("a definition is taken", plane.kubectl("apply", "--server-side", "-f", path).code, 0)
    suite.equal("and established", plane.kubectl("wait", "--for=condition=Established", "--timeout=20s", "-f", path).code,
                0)
    url = "/apis/quorate.dev/v1alpha1/namespaces/default/etcdmembers"
    body = {"apiVersion": "quorate.dev/v1alpha1", "kind": "EtcdMember", "metadata": {"name": "m-0"},
            "spec": {"clusterName": "m", "ordinal": 0}}
    suite.check("its objects are stored", wait_for(lambda: plane.request("POST", url, body)[0] in (201, 409), 15))
    suite.equal("and read", plane.get(url + "/m-0")["spec"]["clusterName"], "m")


def events_have_leases(suite, plane, store):
    before = set(store.ctl("lease", "list").lines()[1:])
    body = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e1"}, "reason": "Test", "message": "m",
            "involvedObject": {"kind": "ConfigMap", "name": "x", "namespace": "default"}, "type": "Normal"}
    url = "/api/v1/namespaces/default/events"
    suite.equal("an Event is taken", plane.request("POST", url, body)[0], 201)
    suite.check("it hangs on a lease", set(store.ctl("lease", "list").lines()[1:]) - before)
    key = store.ctl("get", "/registry/events/default/e1", "-w", "json").json()["kvs"][0]
    suite.check("its key says so", key.get("lease"), key)
    suite.check("and it goes when its time is over", wait_for(
        lambda: plane.request("GET", url + "/e1")[0] == 404, EVENT_TTL_SECONDS + 25, 0.5))


def compaction(suite, plane, store):
    old = plane.get(MAPS)["metadata"]["resourceVersion"]
    for i in range(20):
        plane.request("PUT", f"{MAPS}/fresh", config_map("fresh", v=str(i)))

    def compacted():
        return "compacted" in store.ctl("get", "x", f"--rev={old}").err
    suite.check("the API server compacts the store", wait_for(compacted, COMPACT_SECONDS * 6 + 10, 0.5))
    exact = f"{MAPS}?resourceVersion={old}&resourceVersionMatch=Exact"  # it learns of a compaction from a watch
    wait_for(lambda: plane.request("GET", exact)[0] == 410, 20, 0.2)
    status, body = plane.request("GET", exact)
    suite.equal("a list at a compacted version is 410", (status, body.get("reason")), (410, "Expired"))
    suite.check("the newest is served", plane.request("GET", MAPS)[0] == 200)


def killed_under_load(suite, plane, what, kill, bring_back):
    watch = plane.watch(f"{MAPS}?watch=true&resourceVersion={plane.get(MAPS)['metadata']['resourceVersion']}")
    load = Load(plane, what.split()[-1])
    wait_for(lambda: len(load.acknowledged) > 50, 30)
    before = len(load.acknowledged)
    suite.check("there is load", before > 20, before)
    began = time.time()
    kill()
    time.sleep(1)
    bring_back()
    goes_on = wait_for(lambda: len([1 for at, _ in list(load.acknowledged) if at > began + 1.5]) > 20, 40, 0.2)
    load.stop()
    suite.check(f"{what} killed: writes go on", goes_on, (before, len(load.acknowledged), load.failures[:3]))
    print(f"  {len(load.acknowledged)} acknowledged, {len(load.failures)} not, longest pause {load.gap(began):.1f} s")
    suite.check("the API server is ready", wait_for(lambda: plane.request("GET", "/readyz")[0] == 200, 20, 0.2))
    there = {o["metadata"]["name"] for o in plane.get(MAPS)["items"]}
    lost = [name for _, name in load.acknowledged if name not in there]
    suite.equal("nothing that was acknowledged is lost", lost, [])
    last = plane.request("POST", MAPS, config_map("last-" + what.split()[-1]))[1]["metadata"]["name"]
    seen = wait_for(lambda: watch.ended or any(e["object"]["metadata"].get("name") == last for e in watch.events), 20)
    suite.check("the watch goes on or ends", seen)
    if not watch.ended:
        names = {e["object"]["metadata"].get("name") for e in watch.events if e["type"] == "ADDED"}
        suite.equal("and missed nothing", [n for _, n in load.acknowledged if n not in names], [])
    watch.close()
    suite.check("the API server lived through it", plane.apiserver.is_running())


def with_plane(suite, servers, body):
    plane = ControlPlane(suite, servers, {"event-ttl": f"{EVENT_TTL_SECONDS}s",
                                          "etcd-compaction-interval": f"{COMPACT_SECONDS}s"})
    try:
        body(plane.start(with_manager=False))
    finally:
        plane.stop()


def on_one_member(suite):
    store = Member(suite, "store").start()

    def body(plane):
        for part in (lists_pages_watches, reads_from_its_cache, definitions_and_their_objects):
            part(suite, plane)
        events_have_leases(suite, plane, store)
        compaction(suite, plane, store)
        killed_under_load(suite, plane, "the store", store.kill, store.start)
    with_plane(suite, [store.client], body)


def on_three_members(suite):
    cluster = Cluster(suite).start()

    def body(plane):
        down = {}

        def kill_leader():
            down["leader"] = cluster.leader()
            down["leader"].kill()

        def kill_follower():
            down["follower"] = cluster.followers()[0]
            down["follower"].kill()
        killed_under_load(suite, plane, "the leader", kill_leader, lambda: None)
        down["leader"].start()
        killed_under_load(suite, plane, "a follower", kill_follower, lambda: None)
        down["follower"].start()
        suite.check("the members agree", cluster.hashes_agree())
    with_plane(suite, cluster.endpoints(), body)


if __name__ == "__main__":
    sys.exit(Suite("kube-store").run([on_one_member, on_three_members]))
