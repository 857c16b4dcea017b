#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A data directory that an earlier release wrote starts under this one, and holds what it held.

    engine_upgrade.py                    the suite
    engine_upgrade.py --make FILE        writes such a directory with this release, for tests/data"""
import json
import os
import shutil
import sys
import tarfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import quorate  # noqa: E402
from quorate import ROOT, Member, Suite, b64, http  # noqa: E402

quorate.PORT_FIRST, quorate.PORT_LAST = 21350, 21399
quorate._next_port = quorate.PORT_FIRST + (os.getpid() * 37) % (quorate.PORT_LAST - quorate.PORT_FIRST)

FORMATS = {"v1": os.path.join(ROOT, "tests", "data", "store-v1.tar.xz")}
LEASE, YEARS = "1000", "9000000000"
PASSWORDS = {"root": "root-word", "alice": "alice-word"}


def post(member, path, body, user=None):
    headers = {}
    if user:
        headers["Authorization"] = post(member, "/v3/auth/authenticate", {"name": user, "password": PASSWORDS[user]})[1]["token"]
    status, text = http("POST", member.client + path, json.dumps(body), headers)
    return status, json.loads(text)


def make(path):
    """All that a store holds: keys with history, deleted and compacted ones, a lease, users, and what the log has alone."""
    suite = Suite("engine-upgrade-make")
    member = Member(suite, "m1", data_dir=os.path.join(suite.dir, "data"))
    member.flags["snapshot-count"] = "20"  # a .snap file as well
    member.start()
    post(member, "/v3/lease/grant", {"TTL": YEARS, "ID": LEASE})
    for i in range(50):
        post(member, "/v3/kv/put", {"key": b64(f"key-{i % 10}"), "value": b64(f"value-{i}")})
    post(member, "/v3/kv/put", {"key": b64("leased"), "value": b64("x"), "lease": LEASE})
    post(member, "/v3/kv/deleterange", {"key": b64("key-9")})
    post(member, "/v3/kv/compaction", {"revision": "30", "physical": True})
    for user, password in PASSWORDS.items():
        post(member, "/v3/auth/user/add", {"name": user, "password": password})
    post(member, "/v3/auth/user/grant", {"user": "root", "role": "root"})
    post(member, "/v3/auth/role/add", {"name": "reader"})
    post(member, "/v3/auth/role/grant", {"name": "reader", "perm": {"permType": "READ", "key": b64("key-"), "range_end": b64("key.")}})
    post(member, "/v3/auth/user/grant", {"user": "alice", "role": "reader"})
    post(member, "/v3/auth/enable", {})
    member.kill()  # what is not in the store yet is in the log
    with tarfile.open(path, "w:xz", preset=9) as tar:
        tar.add(member.data, "data", filter=lambda info: None if info.name.endswith("-lock") else info)
    shutil.rmtree(suite.dir)


def reads_what_it_held(suite, name, path):
    folder = suite.folder(name)
    with tarfile.open(path) as tar:
        tar.extractall(folder)
    member = Member(suite, "m1", data_dir=os.path.join(folder, "data")).start()
    everything = {"key": b64("key-"), "range_end": b64("key.")}
    for start in ("first", "second"):
        say = lambda what: f"format {name}, {start} start: {what}"  # noqa: E731, B023
        answer = post(member, "/v3/kv/range", everything, "alice")[1]
        suite.equal(say("a user reads all keys"), [(kv["key"], kv["value"], kv["version"]) for kv in answer["kvs"]],
                    [(b64(f"key-{i}"), b64(f"value-{40 + i}"), "5") for i in range(9)])
        old = post(member, "/v3/kv/range", {**everything, "revision": "40"}, "alice")[1]
        suite.equal(say("and their history"), [kv["value"] for kv in old["kvs"]][:2], [b64("value-30"), b64("value-31")])
        gone = post(member, "/v3/kv/range", {**everything, "revision": "29"}, "alice")[1]
        suite.contains(say("what was compacted is gone"), gone.get("message", ""), "has been compacted")
        lease = post(member, "/v3/lease/timetolive", {"ID": LEASE, "keys": True}, "root")[1]
        suite.equal(say("the lease has its key"), (lease["grantedTTL"], lease["keys"]), (YEARS, [b64("leased")]))
        suite.equal(say("rights hold"), post(member, "/v3/kv/put", {"key": b64("key-1")}, "alice")[0], 403)
        suite.equal(say("the users are there"), post(member, "/v3/auth/user/list", {}, "root")[1]["users"], ["alice", "root"])
        suite.equal(say("it takes writes"), post(member, "/v3/kv/put", {"key": b64(start), "value": b64("1")}, "root")[0], 200)
        member.stop()
        member.start()
    suite.equal(f"format {name}: what was written since is there", post(member, "/v3/kv/range", {"key": b64("first")}, "root")[1]["count"], "1")


def formats(suite):
    for name, path in FORMATS.items():
        reads_what_it_held(suite, name, path)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--make":
        sys.exit(make(sys.argv[2]))
    sys.exit(Suite("engine-upgrade").run([formats]))
