#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One member, driven by Debian's unchanged etcdctl: every command, the errors' exact words, restarts, a full quota."""
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from quorate import Member, Suite, Watcher, b64, http, wait_for  # noqa: E402


def error_of(result):
    """etcdctl's last word; the log lines of its own retries stand before it."""
    return result.err.strip().splitlines()[-1] if result.err.strip() else ""


def put_and_get(suite):
    m = Member(suite, "m1").start()
    suite.equal("put answers OK", m.ctl("put", "k", "v").out, "OK\n")
    suite.equal("get gives key and value", m.ctl("get", "k").out, "k\nv\n")
    suite.equal("put --prev-kv gives what was there", m.ctl("put", "--prev-kv", "k", "w").out, "OK\nk\nv\n")
    suite.equal("get of nothing is empty and no error", (m.ctl("get", "none").code, m.ctl("get", "none").out), (0, ""))
    suite.equal("a value from stdin with any bytes", (m.ctl("put", "raw", stdin="a\nb\x00c").out, m.ctl("get", "raw", "--print-value-only").out),
                ("OK\n", "a\nb\x00c\n"))
    got = m.ctl("get", "k", "-w", "json").json()
    suite.equal("json shows revisions and version", (got["kvs"][0], got["count"]),
                ({"key": b64("k"), "create_revision": 2, "mod_revision": 3, "version": 2, "value": b64("w")}, 1))
    suite.equal("an empty value is kept apart from no key", (m.ctl("put", "empty", "").out, m.ctl("get", "empty").out), ("OK\n", "empty\n\n"))
    suite.contains("put of no key is refused in etcd's words", error_of(m.ctl("put", "", "v")), "etcdserver: key is not provided")
    suite.equal("put --ignore-value keeps the value", (m.ctl("put", "--ignore-value", "k").out, m.ctl("get", "k", "--print-value-only").out), ("OK\n", "w\n"))
    suite.contains("--ignore-value of a missing key", error_of(m.ctl("put", "--ignore-value", "missing")), "etcdserver: key not found")
    suite.contains("put with an unknown lease", error_of(m.ctl("put", "--lease=1234", "x", "y")), "etcdserver: requested lease not found")


def ranges(suite):
    m = Member(suite, "m1").start()
    # Values, versions and times run against the keys' order, so that each sort shows itself.
    for key, value in (("a/3", "x"), ("a/1", "z"), ("a/2", "y"), ("b", "q"), ("a/1", "w"), ("a/1", "zz"), ("a/2", "yy")):
        m.ctl("put", key, value)

    def keys(*args):
        return m.ctl("get", *args, "--keys-only").out.split()
    suite.equal("prefix", keys("--prefix", "a/"), ["a/1", "a/2", "a/3"])
    suite.equal("from-key", keys("--from-key", "a/3"), ["a/3", "b"])
    suite.equal("range [key, end)", keys("a/1", "a/3"), ["a/1", "a/2"])
    suite.equal("everything", keys("--prefix", ""), ["a/1", "a/2", "a/3", "b"])
    suite.equal("limit", keys("--prefix", "a/", "--limit=2"), ["a/1", "a/2"])
    limited = m.ctl("get", "--prefix", "a/", "--limit=2", "-w", "json").json()
    suite.equal("a limited answer says how many there are and that more exist", (limited["count"], limited.get("more")), (3, True))
    fields = m.ctl("get", "--prefix", "a/", "--limit=1", "-w", "fields").out
    suite.check("the fields form", '"Count" : 3' in fields and '"More" : true' in fields and fields.count('"Key"') == 1, fields)
    suite.equal("keys-only gives no values", ["value" in kv for kv in m.ctl("get", "--prefix", "a/", "--keys-only", "-w", "json").json()["kvs"]], [False] * 3)
    orders = {"KEY": ["a/1", "a/2", "a/3"], "VERSION": ["a/3", "a/2", "a/1"], "CREATE": ["a/3", "a/1", "a/2"],
              "MODIFY": ["a/3", "a/1", "a/2"], "VALUE": ["a/3", "a/2", "a/1"]}
    for target, ascending in orders.items():
        suite.equal(f"sort by {target.lower()} ascending", keys("--prefix", "a/", f"--sort-by={target}", "--order=ASCEND"), ascending)
        suite.equal(f"sort by {target.lower()} descending", keys("--prefix", "a/", f"--sort-by={target}", "--order=DESCEND"), ascending[::-1])
    suite.equal("sort, then limit", keys("--prefix", "a/", "--sort-by=VALUE", "--order=DESCEND", "--limit=1"), ["a/1"])
    suite.equal("the past is read by revision", m.ctl("get", "a/1", "--rev=3", "--print-value-only").out, "z\n")
    suite.equal("a key that was not there yet", m.ctl("get", "b", "--rev=4").out, "")
    for level in ("l", "s"):
        suite.equal(f"consistency={level}", m.ctl("get", "a/3", f"--consistency={level}", "--print-value-only").out, "x\n")
    suite.contains("a revision to come", error_of(m.ctl("get", "a/1", "--rev=1000")), "etcdserver: mvcc: required revision is a future revision")


def deletes(suite):
    m = Member(suite, "m1").start()
    for key in ("a", "b", "c", "p/1", "p/2", "z"):
        m.ctl("put", key, key)
    suite.equal("del says how many", m.ctl("del", "a").out, "1\n")
    suite.equal("del of nothing", m.ctl("del", "a").out, "0\n")
    suite.equal("a delete of nothing makes no revision", m.ctl("get", "b", "-w", "json").json()["header"]["revision"], 8)
    suite.equal("del of a range", m.ctl("del", "b", "d").out, "2\n")
    suite.equal("del --prefix --prev-kv gives what it deleted", m.ctl("del", "--prefix", "p/", "--prev-kv").out, "2\np/1\np/1\np/2\np/2\n")
    suite.equal("del --from-key", m.ctl("del", "--from-key", "").out, "1\n")
    suite.equal("nothing is left", m.ctl("get", "--prefix", "").out, "")
    m.ctl("put", "a", "again")
    kv = m.ctl("get", "a", "-w", "json").json()["kvs"][0]
    suite.equal("a key that came back begins anew", (kv["version"], kv["create_revision"] == kv["mod_revision"]), (1, True))


def transactions(suite):
    m = Member(suite, "m1").start()
    m.ctl("put", "k", "v")

    def txn(compare, success="put hit yes", failure="put hit no"):
        m.ctl("del", "hit")
        result = m.ctl("txn", stdin=f"{compare}\n\n{success}\n\n{failure}\n\n")
        return result.out.splitlines()[0] if result.out else error_of(result)
    for compare, want in (('value("k") = "v"', "SUCCESS"), ('value("k") = "w"', "FAILURE"), ('value("k") > "a"', "SUCCESS"),
                          ('value("k") < "a"', "FAILURE"), ('value("k") != "w"', "SUCCESS"), ('version("k") = "1"', "SUCCESS"),
                          ('version("none") = "0"', "SUCCESS"), ('create("k") = "2"', "SUCCESS"), ('create("k") > "2"', "FAILURE"),
                          ('mod("k") = "2"', "SUCCESS"), ('mod("k") < "2"', "FAILURE"), ('value("none") = ""', "FAILURE"),
                          ('value("k") = "v"\nversion("k") = "9"', "FAILURE")):
        suite.equal(f"txn {compare!r}", (txn(compare), m.ctl("get", "hit", "--print-value-only").out.strip()),
                    (want, "yes" if want == "SUCCESS" else "no"))
    before = m.ctl("get", "k", "-w", "json").json()["header"]["revision"]
    result = m.ctl("txn", stdin='value("k") = "v"\n\nput t1 1\nget t1\nput t2 2\ndel k\n\n\n')
    suite.check("later operations of a txn see earlier ones", "SUCCESS" in result.out and "t1\n1" in result.out, result)
    got = m.ctl("get", "--prefix", "t", "-w", "json").json()
    suite.equal("a txn is one revision", (got["header"]["revision"], [kv["mod_revision"] for kv in got["kvs"]]), (before + 1, [before + 1] * 2))
    suite.contains("a key put twice in one txn", error_of(m.ctl("txn", stdin="\nput d 1\nput d 2\n\n\n")), "etcdserver: duplicate key given in txn request")
    many = "\n" + "".join(f"put m{i} 1\n" for i in range(129)) + "\n\n"
    suite.contains("more operations than allowed", error_of(m.ctl("txn", stdin=many)), "etcdserver: too many operations in txn request")
    suite.equal("a refused txn leaves nothing", m.ctl("get", "--prefix", "m").out + m.ctl("get", "d").out, "")


def watches(suite):
    m = Member(suite, "m1").start()
    key = Watcher(suite, [m.client], "w")
    prefix = Watcher(suite, [m.client], "--prefix", "--prev-kv", "w")
    time.sleep(1)
    m.ctl("put", "w", "1")
    m.ctl("put", "w2", "2")
    m.ctl("put", "w", "3")
    m.ctl("del", "w")
    suite.check("watch sees puts and deletes in order", key.wait("DELETE\nw\n"), key.text())
    suite.equal("watch of a key shows that key alone", key.text().split("\n"), ["PUT", "w", "1", "PUT", "w", "3", "DELETE", "w", "", ""])
    suite.check("watch of a prefix with prev-kv", prefix.wait("DELETE\nw\n3\nw\n") and "PUT\nw\n1\nw\n3\n" in prefix.text() and "PUT\nw2\n2\n" in prefix.text(),
                prefix.text())
    past = Watcher(suite, [m.client], "--rev=2", "w")
    suite.check("watch from a revision of the past", past.wait("PUT\nw\n1\nPUT\nw\n3\nDELETE\nw\n"), past.text())
    many = Watcher(suite, [m.client], "-i", interactive="watch i1\nwatch i2 --prefix\n")
    time.sleep(1)
    m.ctl("put", "i1", "one")
    m.ctl("put", "i2/x", "two")
    suite.check("several watches on one stream", many.wait("i1\none") and many.wait("i2/x\ntwo"), many.text())
    many.process.stdin.write("progress\n")
    many.process.stdin.flush()
    suite.check("progress is told when asked for", many.wait("progress notify: 7"), many.text())
    suite.check("watchers are counted", wait_for(lambda: m.metric("etcd_debugging_mvcc_watcher_total") == 5.0), m.metric("etcd_debugging_mvcc_watcher_total"))
    for watcher in (key, prefix, past, many):
        watcher.stop()
    suite.check("watchers that went are not counted", wait_for(lambda: m.metric("etcd_debugging_mvcc_watcher_total") == 0.0), "")
    m.ctl("compaction", "5")
    gone = Watcher(suite, [m.client], "--rev=2", "w")
    suite.check("watch of a compacted revision is told so", gone.wait("required revision has been compacted"), gone.text())
    gone.stop()


def leases(suite):
    m = Member(suite, "m1").start()
    granted = m.ctl("lease", "grant", "300").out
    suite.check("lease grant", re.fullmatch(r"lease [0-9a-f]{16} granted with TTL\(300s\)\n", granted), granted)
    lease = granted.split()[1]
    m.ctl("put", "--lease=" + lease, "l1", "x")
    m.ctl("put", "--lease=" + lease, "l2", "x")
    alive = m.ctl("lease", "keep-alive", "--once", lease).out
    suite.equal("keep-alive --once", alive, f"lease {lease} keepalived with TTL(300)\n")
    ttl = m.ctl("lease", "timetolive", "--keys", lease).out
    suite.check("timetolive --keys", re.search(r"granted with TTL\(300s\), remaining\(\d+s\)", ttl) and "l1" in ttl and "l2" in ttl, ttl)
    listed = m.ctl("lease", "list").out
    suite.equal("lease list", listed, f"found 1 leases\n{lease}\n")
    suite.equal("revoke", m.ctl("lease", "revoke", lease).out, f"lease {lease} revoked\n")
    suite.equal("revoking deletes the keys", m.ctl("get", "--prefix", "l").out, "")
    suite.equal("a lease that is gone has expired", m.ctl("lease", "timetolive", lease).out, f"lease {lease} already expired\n")
    suite.contains("revoking it again", error_of(m.ctl("lease", "revoke", lease)), "etcdserver: requested lease not found")
    suite.contains("a lease of ages", error_of(m.ctl("lease", "grant", "9000000001")), "etcdserver: too large lease TTL")
    short = m.ctl("lease", "grant", "1").out
    suite.contains("a short lease is raised to the least", short, "granted with TTL(2s)")
    m.ctl("put", "--lease=" + short.split()[1], "short", "x")
    m.ctl("put", "stays", "x")
    suite.check("expiry deletes the key", wait_for(lambda: m.ctl("get", "short").out == "", 15), m.ctl("get", "short"))
    suite.equal("and no other", m.ctl("get", "stays").out, "stays\nx\n")
    kept = Watcher(suite, [m.client], "short")
    long = m.ctl("lease", "grant", "600").out.split()[1]
    m.ctl("put", "--lease=" + long, "long", "x")
    m.kill()
    m.start()
    ttl = m.ctl("lease", "timetolive", "--keys", long).out
    suite.check("a lease and its keys outlive kill -9", "granted with TTL(600s)" in ttl and "long" in ttl, ttl)
    kept.stop()


def maintenance(suite):
    m = Member(suite, "m1", metrics=True).start()
    for i in range(5):
        m.ctl("put", "k", str(i))
    status = m.status()
    suite.check("endpoint status as json", status["version"].startswith("3.6.") and status["leader"] == status["header"]["member_id"]
                and status["dbSize"] > 0 and status["raftIndex"] >= status["raftAppliedIndex"] > 0, status)
    table = m.ctl("endpoint", "status", "-w", "table").out
    suite.check("endpoint status as a table", "IS LEADER" in table and "|      true |" in table, table)
    health = m.ctl("endpoint", "health")
    suite.check("endpoint health", health.code == 0 and "is healthy: successfully committed proposal" in health.err + health.out, health)
    one = m.ctl("endpoint", "hashkv", "-w", "json").json()[0]["HashKV"]
    again = m.ctl("endpoint", "hashkv", "-w", "json").json()[0]["HashKV"]
    suite.check("endpoint hashkv", one["hash"] == again["hash"] and one["compact_revision"] == -1, (one, again))
    suite.check("endpoint hashkv as a table", str(one["hash"]) in m.ctl("endpoint", "hashkv", "-w", "table").out, "")
    m.ctl("put", "other", "x")
    changed = m.ctl("endpoint", "hashkv", "-w", "json").json()[0]["HashKV"]["hash"]
    suite.check("the hash follows the content", changed != one["hash"], changed)
    members = m.ctl("member", "list").out
    suite.equal("member list", members.strip(), f"{status['header']['member_id']:x}, started, m1, {m.peer}, {m.client}, false")
    suite.contains("move-leader to nobody", error_of(m.ctl("move-leader", "1")), "etcdserver: bad leader transferee")
    suite.equal("alarm list", (m.ctl("alarm", "list").code, m.ctl("alarm", "list").out), (0, ""))
    suite.equal("alarm disarm with none", (m.ctl("alarm", "disarm").code, m.ctl("alarm", "disarm").out), (0, ""))
    suite.equal("compaction", m.ctl("compaction", "4").out, "compacted revision 4\n")
    suite.equal("what is newer stays readable", m.ctl("get", "k", "--rev=4", "--print-value-only").out, "2\n")
    suite.contains("what is older is gone", error_of(m.ctl("get", "k", "--rev=3")), "etcdserver: mvcc: required revision has been compacted")
    suite.contains("compacting again", error_of(m.ctl("compaction", "4")), "etcdserver: mvcc: required revision has been compacted")
    suite.contains("compacting the future", error_of(m.ctl("compaction", "400")), "etcdserver: mvcc: required revision is a future revision")
    suite.equal("compaction --physical", m.ctl("compaction", "--physical", "6").out, "compacted revision 6\n")
    suite.equal("defrag", m.ctl("defrag").out, f"Finished defragmenting etcd member[{m.client}]\n")
    suite.equal("all is there after it", m.ctl("get", "--prefix", "", "--print-value-only").out, "4\nx\n")
    suite.equal("a member of one cannot lose itself", m.ctl("member", "remove", f"{status['header']['member_id']:x}").code, 1)
    suite.contains("an unknown member", error_of(m.ctl("member", "remove", "abcdef")), "etcdserver: member not found")
    suite.contains("promoting an unknown member", error_of(m.ctl("member", "promote", "abcdef")), "etcdserver: member not found")
    suite.contains("promoting a voter", error_of(m.ctl("member", "promote", f"{status['header']['member_id']:x}")),
                   "etcdserver: can only promote a learner member")


def snapshots(suite):
    m = Member(suite, "m1").start()
    for i in range(20):
        m.ctl("put", f"s{i:02}", "v" * 1000)
    path = os.path.join(suite.dir, "saved.db")
    saved = m.ctl("snapshot", "save", path)
    suite.check("snapshot save", saved.code == 0 and os.path.exists(path), saved)
    if saved.code != 0:
        return
    suite.equal("the file ends with its sha256", os.path.getsize(path) % 512, 32)
    state = m.ctl("snapshot", "status", path, "-w", "json")
    suite.check("snapshot status", state.code == 0 and state.json()["revision"] == 21 and state.json()["totalKey"] >= 20, state)
    restored = os.path.join(suite.dir, "restored")
    result = m.ctl("snapshot", "restore", path, "--data-dir", restored, "--name", "m1", "--initial-cluster", f"m1={m.peer}",
                   "--initial-advertise-peer-urls", m.peer)
    suite.check("etcdctl restores it", result.code == 0, result)
    m.stop()
    back = Member(suite, "m1", data_dir=restored)
    back.client, back.peer, back.initial_cluster = m.client, m.peer, m.initial_cluster
    back.start()
    suite.equal("and a member starts on what it restored", back.ctl("get", "--prefix", "s", "-w", "json").json()["count"], 20)
    back.ctl("put", "after", "x")
    back.kill()
    back.start()
    suite.equal("which is written to and restarts", back.ctl("get", "after").out, "after\nx\n")


def plain_http(suite):
    m = Member(suite, "m1", metrics=True).start()
    m.ctl("put", "k", "v")
    for port in (m.client, m.metrics):
        place = "metrics" if port is m.metrics else "client"
        suite.equal(f"/health on the {place} port", http("GET", port + "/health"), (200, '{"health":"true","reason":""}'))
        suite.equal(f"/livez on the {place} port", http("GET", port + "/livez"), (200, "ok\n"))
        suite.equal(f"/livez?verbose on the {place} port", http("GET", port + "/livez?verbose"), (200, "[+]serializable_read ok\nok\n"))
        status, text = http("GET", port + "/readyz?verbose")
        checks = {f"[+]{c} ok" for c in ("data_corruption", "serializable_read", "linearizable_read", "non_learner")}
        suite.check(f"/readyz?verbose on the {place} port", status == 200 and set(text.strip().split("\n")) == checks | {"ok"}, text)
        text = http("GET", port + "/readyz?verbose&exclude=non_learner")[1]
        suite.check(f"/readyz with an exclusion on the {place} port", "non_learner ok" not in text and "data_corruption ok" in text, text)
        suite.equal(f"one check by its path on the {place} port", http("GET", port + "/readyz/linearizable_read"), (200, "ok\n"))
        status, text = http("GET", port + "/metrics")
        for name in ("etcd_server_has_leader 1", "etcd_server_is_leader 1", "etcd_disk_wal_fsync_duration_seconds_count",
                     "etcd_mvcc_db_total_size_in_bytes", "etcd_server_proposals_committed_total", "grpc_server_handled_total",
                     "process_resident_memory_bytes", "etcd_cluster_version"):
            suite.check(f"/metrics on the {place} port has {name}", status == 200 and name in text, text[:300])
    suite.equal("/health?serializable=true", http("GET", m.client + "/health?serializable=true"), (200, '{"health":"true","reason":""}'))
    suite.equal("/health takes GET only", http("POST", m.client + "/health", b"")[0], 405)
    version = json.loads(http("GET", m.client + "/version")[1])
    suite.check("/version", version["etcdserver"].startswith("3.6.") and version["etcdcluster"] == "3.6.0", version)
    suite.equal("/version on the peer port", json.loads(http("GET", m.peer + "/version")[1]), version)
    members = json.loads(http("GET", m.peer + "/members")[1])
    suite.equal("/members on the peer port", (members[0]["name"], members[0]["peerURLs"], members[0]["clientURLs"]), ("m1", [m.peer], [m.client]))
    suite.equal("an unknown path", http("GET", m.client + "/nothing")[0], 404)
    suite.equal("OPTIONS is answered for browsers", http("OPTIONS", m.client + "/v3/kv/put")[0], 200)


def restarts(suite):
    m = Member(suite, "m1").start()
    cluster = m.status()["header"]["cluster_id"]
    for i in range(30):
        m.ctl("put", f"r{i % 7}", str(i))
    m.ctl("compaction", "10")
    m.ctl("del", "r3")

    def content():
        return m.ctl("get", "--prefix", "", "-w", "json").json()["kvs"], m.ctl("endpoint", "hashkv", "-w", "json").json()[0]["HashKV"]["hash"]
    before = content()
    m.kill()
    m.start()
    suite.equal("kill -9 loses nothing", content(), before)
    suite.equal("SIGTERM ends it with 143", m.stop(), 143)
    m.start()
    suite.equal("SIGTERM loses nothing", content(), before)
    suite.equal("the cluster id stays", m.status()["header"]["cluster_id"], cluster)
    suite.equal("the next put follows on", m.ctl("put", "next", "x", "-w", "json").json()["header"]["revision"], 33)
    suite.contains("what was compacted stays compacted", error_of(m.ctl("get", "r1", "--rev=5")), "required revision has been compacted")
    m.kill()
    m.start(wait=False)
    m.kill()  # in the middle of starting
    m.start()
    suite.equal("killed while it started: nothing lost", m.ctl("get", "next").out, "next\nx\n")
    process = m.process
    process.send_signal(2)
    suite.equal("SIGINT ends it with 130", m.wait_exit(), 130)


def full_quota(suite):
    m = Member(suite, "m1")
    m.flags["quota-backend-bytes"] = str(4 * 1024 * 1024)
    m.start()
    value = "x" * 100000
    refused = None
    for i in range(80):
        result = m.ctl("put", "big", stdin=value + str(i))
        if result.code != 0:
            refused = result
            break
    suite.contains("a full quota refuses puts", error_of(refused) if refused else "", "etcdserver: mvcc: database space exceeded")
    suite.check("and raises the alarm", wait_for(lambda: "alarm:NOSPACE" in m.ctl("alarm", "list").out), m.ctl("alarm", "list"))
    suite.equal("/health says why", http("GET", m.client + "/health"), (503, '{"health":"false","reason":"ALARM NOSPACE"}'))
    suite.equal("/health?exclude=NOSPACE", http("GET", m.client + "/health?exclude=NOSPACE")[0], 200)
    suite.equal("/readyz does not fail for it", http("GET", m.client + "/readyz")[0], 200)
    suite.check("endpoint status names the alarm", "NOSPACE" in str(m.status().get("errors")), m.status())
    suite.check("reads go on", m.ctl("get", "big", "--keys-only").out.startswith("big"), "")
    suite.contains("leases are refused", error_of(m.ctl("lease", "grant", "100")), "etcdserver: mvcc: database space exceeded")
    m.kill()
    m.start(wait=False)
    suite.check("the alarm outlives a restart", wait_for(lambda: "alarm:NOSPACE" in m.ctl("alarm", "list").out), m.log())
    suite.contains("and holds", error_of(m.ctl("put", "small", "x")), "etcdserver: mvcc: database space exceeded")
    suite.equal("deletes go on", m.ctl("del", "big").out, "1\n")
    revision = m.status()["header"]["revision"]
    suite.equal("compaction goes on", m.ctl("compaction", "--physical", str(revision)).code, 0)
    suite.equal("defrag goes on", m.ctl("defrag", timeout=60).code, 0)
    disarmed = m.ctl("alarm", "disarm").out
    suite.contains("disarm", disarmed, "alarm:NOSPACE")
    suite.equal("and puts are taken again", m.ctl("put", "small", "x").out, "OK\n")
    suite.equal("/health is well again", http("GET", m.client + "/health")[0], 200)


if __name__ == "__main__":
    sys.exit(Suite("engine-one").run([put_and_get, ranges, deletes, transactions, watches, leases, maintenance, snapshots,
                                      plain_http, restarts, full_quota]))
