#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""etcd 3.6 and the engine: its clients against our server, its files read by us and ours by it (interop_mixed.py
has members of both in one cluster). The parts can be named as arguments. Loopback only, ports 27000 to 27499."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from gotools import ETCDCTL, ETCDCTL_OLD, EtcdMember, etcdutl  # noqa: E402
from etcds import hash_of  # noqa: E402
from controlplane import Process  # noqa: E402
from quorate import Member, Suite, Watcher, b64, wait_for  # noqa: E402

LOAD_SECONDS_MAX = 120


def keys_and_transactions(suite):
    member = Member(suite, "kv").start()
    suite.equal("put", member.ctl("put", "/a", "1").out, "OK\n")
    member.ctl("put", "/a", "2")
    member.ctl("put", "/b", "3")
    suite.equal("get by prefix, keys in order", member.ctl("get", "/", "--prefix").lines(), ["/a", "2", "/b", "3"])
    suite.equal("get at an older revision", member.ctl("get", "/a", "--rev=2", "--print-value-only").lines()[:1], ["1"])
    suite.equal("count only", member.ctl("get", "/", "--prefix", "--count-only", "--write-out=fields").out
                .count('"Count" : 2'), 1)
    suite.equal("sorted by modification, descending",
                member.ctl("get", "/", "--prefix", "--keys-only", "--sort-by=MODIFY", "--order=DESCEND").out.split(),
                ["/b", "/a"])
    suite.equal("bounds of modification revisions",
                member.ctl("get", "/", "--prefix", "--keys-only", "--min-mod-rev=4").out.split(), ["/b"])
    answer = member.ctl("put", "/a", "4", "--prev-kv", "-w", "json").json()
    suite.equal("the value before", answer["prev_kv"]["value"], b64("2"))
    taken = member.ctl("txn", stdin='mod("/a") > "0"\nvalue("/b") = "3"\n\nput /c yes\nget /c\n\nput /c no\n\n')
    suite.equal("a transaction that holds", taken.lines()[0], "SUCCESS")
    other = member.ctl("txn", stdin='create("/a") = "0"\n\nput /c again\n\nget /c\n\n')
    suite.equal("a transaction that does not hold", [other.lines()[0], other.lines()[-1]], ["FAILURE", "yes"])
    suite.equal("a transaction changes one revision", member.ctl("get", "/c", "-w", "json").json()["kvs"][0]["version"],
                1)
    twice = member.ctl("txn", stdin="\nput /d 1\nput /d 2\n\n\n")
    suite.contains("the same key twice is refused", twice.err, "duplicate key given in txn request")
    suite.equal("delete answers with the count", member.ctl("del", "/", "--prefix").out, "3\n")
    big = member.ctl("put", "/big", stdin="x" * 3_000_000)
    suite.check("a request that is too large is refused", big.code != 0 and
                ("too large" in big.err or "larger than max" in big.err), big)


def watches(suite):
    member = Member(suite, "watch").start()
    member.ctl("put", "/w/1", "a")
    member.ctl("put", "/w/2", "b")
    live = Watcher(suite, [member.client], "/w/", "--prefix", "--prev-kv")
    old = Watcher(suite, [member.client], "/w/", "--prefix", "--rev=2")
    suite.check("a watch from an old revision brings what was", old.wait("/w/2"), old.text())
    wait_for(lambda: "Watch created" in live.text(), 1)
    member.ctl("put", "/w/2", "c")
    member.ctl("del", "/w/1")
    suite.check("puts and deletes arrive", old.wait("DELETE"), old.text())
    suite.equal("in the order of revisions", old.stop().split(),
                ["PUT", "/w/1", "a", "PUT", "/w/2", "b", "PUT", "/w/2", "c", "DELETE", "/w/1"])
    suite.check("the value before comes with it", live.wait("DELETE") and "\nb\n" in live.text(), live.text())
    live.stop()
    revision = member.status()["header"]["revision"]
    member.ctl("compact", str(revision))
    gone = Watcher(suite, [member.client], "/w/", "--prefix", "--rev=1")
    suite.check("a watch from a compacted revision ends and says so", gone.wait("compacted"), gone.text())
    gone.stop()
    progress = Watcher(suite, [member.client], "-i", interactive="watch /w/ --prefix\nprogress\n")
    suite.check("progress on request", progress.wait("progress notify"), progress.text())
    progress.stop()


def leases(suite):
    member = Member(suite, "lease").start()
    lease = member.ctl("lease", "grant", "60").out.split()[1]
    suite.equal("a key with a lease", member.ctl("put", "/l", "1", f"--lease={lease}").out, "OK\n")
    text = member.ctl("lease", "timetolive", lease, "--keys").out
    suite.check("the rest of its life, and its keys", "granted with TTL(60s)" in text and "/l" in text, text)
    suite.check("keep alive", "keepalived with TTL(60)" in member.ctl("lease", "keep-alive", "--once", lease).out)
    suite.contains("it is listed", member.ctl("lease", "list").out, lease)
    member.ctl("lease", "revoke", lease)
    suite.equal("revoking takes the keys", member.ctl("get", "/l").out, "")
    short = member.ctl("lease", "grant", "1").out.split()[1]
    member.ctl("put", "/s", "1", f"--lease={short}")
    suite.check("a lease that nobody keeps expires", wait_for(lambda: member.ctl("get", "/s").out == "", 15, 0.3))
    suite.contains("one that is gone is not found", member.ctl("lease", "keep-alive", "--once", short).err + member.ctl(
        "lease", "revoke", short).err, "requested lease not found")


def maintenance(suite):
    member = Member(suite, "keep").start()
    for i in range(50):
        member.ctl("put", f"/k/{i % 10}", "v" * i)
    status = member.status()
    suite.check("endpoint status knows the fields of 3.6",
                status["version"].startswith("3.6.") and status["storageVersion"] == "3.6.0" and
                status["dbSizeQuota"] > 0 and status["leader"] == status["header"]["member_id"], status)
    suite.contains("endpoint health", member.ctl("endpoint", "health").err + member.ctl("endpoint", "health").out,
                   "is healthy")
    suite.check("alarms: none", member.ctl("alarm", "list").out == "" and member.ctl("alarm", "list").code == 0)
    revision = status["header"]["revision"]
    before = member.ctl("endpoint", "hashkv", f"--rev={revision}", "-w", "json").json()[0]["HashKV"]
    suite.equal("compaction to the newest", member.ctl("compact", str(revision), "--physical").code, 0)
    suite.contains("again is refused", member.ctl("compact", str(revision)).err, "has been compacted")
    suite.equal("defragmentation", member.ctl("defrag").code, 0)
    after = member.ctl("endpoint", "hashkv", "-w", "json").json()[0]["HashKV"]
    suite.check("hashkv names the compacted revision", after["compact_revision"] == revision and
                after["hash_revision"] == revision and after["hash"] != before["hash"], (before, after))
    return snapshot_travels(suite, member)


def snapshot_travels(suite, member):
    """Our snapshot: read by etcdutl, restored by it, served by etcd 3.6; etcd's data directory: served by us."""
    path = os.path.join(suite.dir, "keep.db")
    saved = member.ctl("snapshot", "save", path)
    suite.check("snapshot save", saved.code == 0 and os.path.exists(path), saved)
    want = member.status()["header"]["revision"]
    keys = member.ctl("get", "", "--prefix").out
    hash_kv = member.ctl("endpoint", "hashkv", "-w", "json").json()[0]["HashKV"]["hash"]
    state = etcdutl("snapshot", "status", path, "-w", "json")
    suite.check("etcdutl snapshot status", state.code == 0 and state.json()["revision"] == want and
                state.json()["totalKey"] == 10, state)
    theirs = EtcdMember(suite, "restored")
    restored = etcdutl("snapshot", "restore", path, "--name", "restored", "--data-dir", theirs.data,
                       "--initial-cluster", theirs.initial_cluster, "--initial-advertise-peer-urls", theirs.peer)
    suite.check("etcdutl snapshot restore", restored.code == 0, restored)
    theirs.start()
    suite.equal("etcd 3.6 serves what we held", theirs.ctl("get", "", "--prefix").out, keys)
    suite.equal("with the same hash", theirs.ctl("endpoint", "hashkv", f"--rev={want}", "-w", "json").json()[0]
                ["HashKV"]["hash"], hash_kv)
    theirs.ctl("put", "/from", "etcd")
    path2 = os.path.join(suite.dir, "theirs.db")
    suite.equal("etcd's own snapshot", theirs.ctl("snapshot", "save", path2).code, 0)
    member.stop()
    ours = Member(suite, "back")
    etcdutl("snapshot", "restore", path2, "--name", "back", "--data-dir", ours.data, "--initial-cluster",
            ours.initial_cluster, "--initial-advertise-peer-urls", ours.peer, "--bump-revision", "1000000",
            "--mark-compacted")
    ours.start()
    suite.equal("we serve what etcdutl restored", ours.ctl("get", "", "--prefix").out, "/from\netcd\n" + keys)
    suite.check("with the bumped revision", ours.status()["header"]["revision"] > 1000000, ours.status())
    stale = Watcher(suite, [ours.client], "/", "--prefix", f"--rev={want}")
    suite.check("and watches from before it end", stale.wait("compacted"), stale.text())
    stale.stop()


def a_restore_by_etcdctl_3_4(suite):
    """Its log names no members and its file no configuration: the .snap file does."""
    version = subprocess.run([ETCDCTL_OLD or "false", "version"], capture_output=True, text=True, check=False,
                             env={"ETCDCTL_API": "3"}).stdout
    if "etcdctl version: 3.4" not in version:
        suite.skip("a restore by etcdctl 3.4", "it is not on this machine")
        return
    source = Member(suite, "source").start()
    for i in range(20):
        source.ctl("put", f"/k/{i % 7}", str(i))
    path = os.path.join(suite.dir, "source.db")
    source.ctl("snapshot", "save", path)
    ours = Member(suite, "restored34")
    done = subprocess.run([ETCDCTL_OLD, "snapshot", "restore", path, "--name", "restored34", "--data-dir", ours.data,
                           "--initial-cluster", ours.initial_cluster, "--initial-advertise-peer-urls", ours.peer],
                          capture_output=True, text=True, check=False, env={"ETCDCTL_API": "3"})
    suite.check("etcdctl 3.4 restores our snapshot", done.returncode == 0, done)
    ours.start()
    suite.equal("and we serve it", ours.ctl("get", "", "--prefix").out, source.ctl("get", "", "--prefix").out)
    suite.equal("with writes", ours.ctl("put", "/new", "1").out, "OK\n")


def a_data_directory_of_etcd(suite):
    """etcd 3.6 is killed; we start on what it left, with the same name and ports, and go on."""
    theirs = EtcdMember(suite, "taken")
    theirs.flags = {"snapshot-count": "100", "experimental-snapshot-catchup-entries": "10"}
    theirs.start()
    lease = theirs.ctl("lease", "grant", "600").out.split()[1]
    for i in range(250):
        theirs.ctl("put", f"/k/{i % 40}", str(i), *([f"--lease={lease}"] if i % 10 == 0 else []))
    theirs.ctl("compact", "100")
    want = theirs.status()["header"]
    keys = theirs.ctl("get", "", "--prefix", "-w", "json").json()["kvs"]
    hash_kv = hash_of(theirs, want["revision"])
    theirs.kill()
    ours = Member(suite, "taken", data_dir=theirs.data)
    ours.client, ours.peer, ours.initial_cluster = theirs.client, theirs.peer, theirs.initial_cluster
    ours.start()
    have = ours.status()["header"]
    suite.equal("the same member of the same cluster, at the same revision",
                [have[k] for k in ("member_id", "cluster_id", "revision")],
                [want[k] for k in ("member_id", "cluster_id", "revision")])
    suite.equal("each key as it was", ours.ctl("get", "", "--prefix", "-w", "json").json()["kvs"], keys)
    suite.equal("the hash too", hash_of(ours, want["revision"]), hash_kv)
    suite.contains("leases are kept", ours.ctl("lease", "timetolive", lease, "--keys").out, "/k/")
    suite.equal("writes go on", ours.ctl("put", "/ours", "1").out, "OK\n")
    ours.kill()
    ours.start()
    suite.equal("and are there after a kill", ours.ctl("get", "/ours").lines(), ["/ours", "1"])
    ours.stop()
    theirs.start(wait=False)
    suite.check("etcd does not start on it by accident", theirs.wait_exit(20) not in (0, None),
                theirs.log()[-500:])


def locks_elections_and_mirrors(suite):
    one, two = Member(suite, "one").start(), Member(suite, "two").start()
    held = one.ctl("lock", "job", "--", "sh", "-c", "echo key is $ETCD_LOCK_KEY")
    suite.check("a lock is taken for a command", held.code == 0 and "key is job/" in held.out, held)
    suite.equal("and given back", one.ctl("get", "job", "--prefix").out, "")
    one.ctl("put", "/m/a", "1")
    mirror = Process("make-mirror", [ETCDCTL, f"--endpoints={one.client}", "make-mirror", "--prefix=/m/",
                                     two.client[len("http://"):]], os.path.join(suite.dir, "mirror.log"))
    suite.check("a mirror copies what is there", wait_for(lambda: two.ctl("get", "/m/a").lines() == ["/m/a", "1"], 15),
                mirror.log())
    one.ctl("put", "/m/b", "2")
    one.ctl("del", "/m/a")
    suite.check("and what comes", wait_for(lambda: two.ctl("get", "/m/", "--prefix").lines() == ["/m/b", "2"], 15),
                mirror.log())
    mirror.stop()


def quick_load(suite):
    member = Member(suite, "load").start()
    scale = member.ctl("check", "datascale", "--load=s", "--auto-compact", "--auto-defrag", timeout=LOAD_SECONDS_MAX)
    suite.check("check datascale", scale.code == 0 and "PASS" in scale.out, scale)
    print("  " + scale.out.strip().splitlines()[-1])
    suite.equal("nothing is left of it", member.ctl("get", "/etcdctl-check-datascale/", "--prefix", "--count-only",
                                                    "-w", "fields").out.count('"Count" : 0'), 1)


PARTS = [keys_and_transactions, watches, leases, maintenance, a_restore_by_etcdctl_3_4, a_data_directory_of_etcd,
         locks_elections_and_mirrors, quick_load]

if __name__ == "__main__":
    sys.exit(Suite("interop-etcd36").run(PARTS))
