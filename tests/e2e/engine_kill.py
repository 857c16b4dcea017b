#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SIGKILL under load: a client puts without pause while each member, the leader and all three are killed.
Nothing acknowledged may be missing, nothing may be there that nobody wrote, and all members must agree."""
import base64
import json
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from quorate import SLOW, Cluster, Load, Suite, Watcher, wait_for  # noqa: E402

PREFIX = "load/"


def text(data):
    """The written value without what fills it up."""
    return base64.b64decode(data or "").decode().rstrip(".")


def read_history(suite, member, last_revision):
    """Every put since the beginning, in order, as a watch from revision 1 tells it."""
    watch = Watcher(suite, [member.client], "--prefix", "--rev=1", "-w", "json", PREFIX)
    events = {}

    def whole():
        events.clear()
        for line in watch.text().splitlines():
            if not line.endswith("}"):
                return None
            for event in json.loads(line).get("Events") or []:
                kv = event["kv"]
                events[kv["mod_revision"]] = (text(kv["key"]), text(kv.get("value")), kv["version"])
        return events and max(events) >= last_revision
    wait_for(whole, 60, 0.5)
    watch.stop()
    return events


def verify(suite, cluster, load):
    """The record against what the members hold."""
    sent, done = load.record()
    last = max(done.values())
    history = read_history(suite, cluster.running()[0], last)
    missing = [(what, rev) for what, rev in done.items() if history.get(rev, (None, None))[:2] != what]
    suite.check(f"all {len(done)} acknowledged puts are there, each at its revision", not missing, missing[:5])
    unknown = [event for event in history.values() if event[:2] not in sent]
    suite.check("no key has a value that nobody wrote", not unknown, unknown[:5])
    values = [event[:2] for event in history.values()]
    suite.equal("no value was written twice", len(values), len(set(values)))
    newest, versions = {}, {}
    skipped = []
    for revision in sorted(history):
        key, value, version = history[revision]
        if version != versions.get(key, 0) + 1:
            skipped.append((revision, key, version))
        versions[key], newest[key] = version, value
    suite.check("versions of each key follow on each other", not skipped, skipped[:5])
    for member in cluster.running():
        answer = member.ctl("get", "--prefix", PREFIX, "-w", "json", timeout=60).json()
        state = {text(kv["key"]): text(kv.get("value")) for kv in answer["kvs"]}
        suite.check(f"{member.name} holds the newest value of every key", state == newest,
                    [(k, state.get(k), newest.get(k)) for k in newest if state.get(k) != newest[k]][:5])
    suite.check("HashKV agrees on all members", cluster.hashes_agree(30), cluster.hashes())


def restart(members, ready=True):
    for member in members:
        member.start(wait=False)
    for member in members if ready else []:
        member.wait_ready(30)


def killing(suite):
    seed = int(os.environ.get("QUORATE_E2E_SEED", time.time()))
    print(f"     seed {seed} (QUORATE_E2E_SEED)", flush=True)
    chance = random.Random(seed)
    # A small snapshot count, so that kills also meet log cuts and snapshots.
    c = Cluster(suite, flags={"snapshot-count": "5000", "snapshot-catchup-entries": "500"}).start()
    load = Load(suite, c.endpoints(), streams=12, keys=20, rate=1500, seconds=600)
    time.sleep(2)
    for member in c.members:
        member.kill()
        time.sleep(chance.uniform(1, 3))
        restart([member])
        time.sleep(chance.uniform(0.2, 1))
    suite.check("each member was killed and came back", True)
    for _ in range(2):
        leader = c.leader()
        leader.kill()
        time.sleep(chance.uniform(2, 4))
        restart([leader])
    suite.check("the leader was killed twice and came back", True)
    for _ in range(2):
        for member in c.members:
            member.kill()
        restart(c.members)
        time.sleep(chance.uniform(0.5, 1.5))
    suite.check("all three were killed at once, twice, and came back", True)
    for member in c.members:
        member.kill()
    c.members[0].start(wait=False)
    c.members[1].start(wait=False)
    c.members[0].wait_ready(30)
    time.sleep(2)
    restart([c.members[2]])
    time.sleep(1)
    said = load.finish(stop=True)
    print(f"     {said['done']} puts acknowledged, {said['failed']} not, longest gap {said['longest_gap']:.1f} s", flush=True)
    suite.check("the client got through", said["done"] > 1000, said)
    suite.check("no gap was longer than 20 s", said["longest_gap"] < 20 * SLOW, said)
    verify(suite, c, load)


def killing_a_single_member(suite):
    c = Cluster(suite, 1, flags={"snapshot-count": "3000", "snapshot-catchup-entries": "500"}).start()
    load = Load(suite, c.endpoints(), streams=12, keys=20, rate=3000, seconds=600)
    for _ in range(6):
        time.sleep(0.7)
        c.members[0].kill()
        restart(c.members)
    said = load.finish(stop=True)
    print(f"     {said['done']} puts acknowledged, {said['failed']} not, longest gap {said['longest_gap']:.1f} s", flush=True)
    verify(suite, c, load)


if __name__ == "__main__":
    sys.exit(Suite("engine-kill").run([killing, killing_a_single_member]))
