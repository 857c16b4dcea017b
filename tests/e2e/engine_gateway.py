#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The HTTP side of the client port: the JSON gateway beside etcd's own, locks and elections through it, who may use it,
and the alarm for a member whose disk holds something else."""
import base64
import glob
import hashlib
import http.client
import json
import os
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import quorate  # noqa: E402
from quorate import Member, Suite, b64, http as ask, wait_for  # noqa: E402

quorate.PORT_FIRST, quorate.PORT_LAST = 36000, 36499
quorate._next_port = quorate.PORT_FIRST + (os.getpid() * 37) % (quorate.PORT_LAST - quorate.PORT_FIRST)

import etcds  # noqa: E402  (it takes its ports from there)

SECONDS_MAX = 20
# What differs between two clusters that did the same.
OWN = {"cluster_id", "member_id", "raft_term", "leader", "raftIndex", "raftTerm", "raftAppliedIndex", "dbSize", "dbSizeInUse",
       "version_of_server", "memberID"}


def connect(member):
    return http.client.HTTPConnection(member.client.split("//")[1], timeout=SECONDS_MAX * quorate.SLOW)


def post(member, path, body, headers=None):
    """Status and JSON (or text) of one request."""
    connection = connect(member)
    try:
        connection.request("POST", path, body if isinstance(body, (str, bytes)) else json.dumps(body), headers or {})
        answer = connection.getresponse()
        text = answer.read().decode()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text
    finally:
        connection.close()


class Lines:
    """The answers of a stream, one JSON value per line, as they come."""

    def __init__(self, member, path, body):
        self.connection = connect(member)
        self.connection.request("POST", path, json.dumps(body) if isinstance(body, dict) else body)
        self.answer = self.connection.getresponse()

    def next(self):
        line = self.answer.readline()
        return json.loads(line) if line.strip() else None

    def close(self):
        # The answer holds the socket as well.
        self.answer.close()
        self.connection.close()


def bare(value):
    """A value without what is each cluster's own."""
    if isinstance(value, dict):
        return {k: bare(v) for k, v in value.items() if k not in OWN}
    if isinstance(value, str):
        return value.replace("\u00a0", " ")  # Go's protobuf puts one or the other into its errors, at random
    return [bare(v) for v in value] if isinstance(value, list) else value


def grant(member, ttl):
    return post(member, "/v3/lease/grant", {"TTL": str(ttl)})[1]["ID"]


def cluster(suite, size, flags=None):
    members = [Member(suite, f"m{i}") for i in range(size)]
    for member in members:
        member.initial_cluster = ",".join(f"{m.name}={m.peer}" for m in members)
        member.flags.update(flags or {})
        member.start(wait=False)
    for member in members:
        member.wait_ready()
    return members


# Path and body; the same list goes to each server.
REQUESTS = [
    ("kv/put", {"key": b64("foo"), "value": b64("bar")}),
    ("kv/put", {"key": b64("foo"), "value": b64("bar2"), "prev_kv": True}),
    ("kv/put", {"key": b64("foo"), "value": b64("bar3"), "prevKv": True}),
    ("kv/put", {"key": b64("empty")}),
    ("kv/put", {"key": b64("foo2"), "value": "/+8=", "unknown": {"a": [1, {"b": None}]}}),
    ("kv/put", {"value": b64("x")}),
    ("kv/range", {"key": b64("foo")}),
    ("kv/range", {"key": b64("foo"), "range_end": b64("fop"), "sort_order": "DESCEND", "sort_target": 3, "limit": 1}),
    ("kv/range", {"key": b64("foo"), "rangeEnd": b64("fop"), "sortOrder": 1, "keysOnly": True, "limit": "10"}),
    ("kv/range", {"key": b64("foo"), "count_only": True, "range_end": "AA=="}),
    ("kv/range", {"key": b64("none")}),
    ("kv/range", {"key": b64("foo"), "revision": 2, "serializable": True}),
    ("kv/range", {"key": b64("foo"), "revision": "99"}),
    ("kv/txn", {"compare": [{"key": b64("foo"), "target": "VERSION", "result": "GREATER", "version": "0"}],
                "success": [{"requestRange": {"key": b64("foo")}}, {"request_put": {"key": b64("t"), "value": b64("1")}}],
                "failure": [{"request_delete_range": {"key": b64("foo")}}]}),
    ("kv/txn", {"compare": [{"key": b64("foo"), "target": "CREATE", "create_revision": "0"}],
                "failure": [{"request_txn": {"success": [{"request_put": {"key": b64("u")}}]}}]}),
    ("kv/txn", {"compare": [{}]}),
    ("kv/deleterange", {"key": b64("foo2"), "prev_kv": True}),
    ("kv/deleterange", {"key": b64("none")}),
    ("kv/compaction", {"revision": "3"}),
    ("kv/compaction", {"revision": "2"}),
    ("kv/range", {"key": b64("foo"), "revision": "2"}),
    ("lease/revoke", {"ID": "12345"}),
    ("kv/lease/revoke", {"ID": 12345}),
    ("lease/timetolive", {"ID": "12345", "keys": True}),
    ("lease/leases", {}),
    ("lease/grant", {"TTL": "60", "ID": "77"}),
    ("lease/grant", {"TTL": "60", "ID": "77"}),
    ("lease/grant", {"TTL": "99999999999", "ID": "78"}),
    ("lease/leases", ""),
    ("lease/revoke", {"ID": "77"}),
    ("cluster/member/remove", {"ID": "1"}),
    ("cluster/member/add", {"peerURLs": ["nonsense"]}),
    ("maintenance/transfer-leadership", {"targetID": "1"}),
    ("election/leader", {"name": b64("e")}),
    ("election/proclaim", {"value": b64("v")}),
    ("election/resign", {}),
    ("lock/lock", {"name": b64("l"), "lease": "4242"}),
    ("lock/unlock", {"key": b64("l/none")}),
    ("nothing/here", {}),
]
# Not asked of etcd 3.4, which has no such thing, or another text, or answers a failure with other words.
REQUESTS_36 = [
    ("kv/put", {"key": b64("foo2"), "value": "_-8"}),
    ("kv/range", {"key": b64("foo"), "min_mod_revision": 1e2, "limit": None}),
    ("maintenance/alarm", {"action": "GET"}),
    ("maintenance/hashkv", {}),
    ("maintenance/downgrade", {"action": "VALIDATE", "version": "3.5"}),
    ("maintenance/downgrade", {"action": 0, "version": "3.4"}),
    ("maintenance/downgrade", {"version": "x"}),
    ("maintenance/downgrade", {"action": "CANCEL"}),
    ("maintenance/downgrade", {"action": 7}),
    ("auth/status", {}),
    ("kv/put", '{"key":"Z*9v"}'),
    ("kv/put", '{"key":5}'),
    ("kv/put", '{"key":"Zm9v","key":"YmFy"}'),
    ("kv/put", '{"key"'),
    ("kv/range", '{"key":"Zm9v","limit":99999999999999999999}'),
    ("kv/range", '{"key":"Zm9v","limit":"1.5"}'),
    ("kv/range", '{"key":"Zm9v","serializable":"x"}'),
    ("kv/range", '{"key":"Zm9v","sort_order":"NOSUCH"}'),
    ("kv/range", ' {"key":"Zm9v"} trailing'),
]


def answers(member, requests):
    said = []
    for path, body in requests:
        status, value = post(member, "/v3/" + path, body)
        said.append((status, bare(value)))
    return said


def code_of(answer):
    """The gRPC code, and the status, which 3.4 has as 412 for a failed precondition."""
    status = 400 if answer[0] == 412 else answer[0]
    return status, answer[1].get("code", 5) if isinstance(answer[1], dict) else 5


def same_as_etcd(suite):
    ours = Member(suite, "m1").start()
    mine = answers(ours, REQUESTS)
    mine_36 = answers(ours, REQUESTS_36)
    programs = etcds.programs()
    for version in ("3.4", "3.6"):
        if version not in programs:
            suite.skip(f"the gateway of etcd {version} says the same", "it is not here")
            continue
        other = etcds.kind_of(version, programs[version])(suite, "m1")
        other.start()
        for (path, body), got, want in zip(REQUESTS, mine, answers(other, REQUESTS)):
            what = f"{path} {json.dumps(body) if isinstance(body, dict) else body} as in etcd {version}"
            if version == "3.4" and want[0] != 200:  # 3.4: other bodies of errors, and 404 for lease and path alike
                suite.equal(what, code_of(got), code_of(want))
            else:
                suite.equal(what, got, want)
        if version == "3.6":
            for (path, body), got, want in zip(REQUESTS_36, mine_36, answers(other, REQUESTS_36)):
                suite.equal(f"{path} {body} as in etcd 3.6", got, want)
        other.kill()


def streams(suite):
    m = Member(suite, "m1").start()
    post(m, "/v3/kv/put", {"key": b64("k"), "value": b64("1")})
    watch = Lines(m, "/v3/watch", {"create_request": {"key": b64("k"), "start_revision": "1"}})
    suite.check("a watch is created", watch.next()["result"].get("created"))
    suite.equal("it tells what was", watch.next()["result"]["events"][0]["kv"]["value"], b64("1"))
    post(m, "/v3/kv/put", {"key": b64("k"), "value": b64("2")})
    suite.equal("and what comes", watch.next()["result"]["events"][0]["kv"]["value"], b64("2"))
    post(m, "/v3/kv/deleterange", {"key": b64("k")})
    suite.equal("an event's type stands by name", watch.next()["result"]["events"][0]["type"], "DELETE")
    watch.close()
    suite.check("a client that goes ends its watch", wait_for(lambda: m.metric("etcd_debugging_mvcc_watcher_total") == 0, 10))
    lease = grant(m, 60)
    alive = Lines(m, "/v3/lease/keepalive", json.dumps({"ID": lease}) + json.dumps({"ID": "5"}))
    suite.equal("a keep-alive answers each request in turn", [alive.next()["result"].get("TTL"), alive.next()["result"].get("TTL"), alive.next()],
                ["60", None, None])
    alive.close()
    blob = bytes(range(256)) * 512
    for i in range(40):
        post(m, "/v3/kv/put", {"key": b64(f"big{i}"), "value": base64.b64encode(blob).decode()})
    snapshot, data, last = Lines(m, "/v3/maintenance/snapshot", {}), b"", None
    while (line := snapshot.next()) is not None:
        last = line["result"]
        data += base64.b64decode(last["blob"])
    suite.equal("a snapshot's last 32 bytes are its checksum", hashlib.sha256(data[:-32]).digest(), data[-32:])
    suite.check("it holds what was put", len(data) > 40 * len(blob) and data.count(blob[:4096]) >= 40, len(data))
    status, value = post(m, "/v3/watch", "{bad")
    suite.check("a stream that cannot begin fails with a status", status == 400 and value["error"]["code"] == 3, (status, value))


def hostile(suite):
    m = Member(suite, "m1")
    m.flags["max-request-bytes"] = "65536"
    m.start()
    deep = '{"compare":' + '[{"a":' * 100000
    cases = {"depth": deep, "deep unknown": '{"x":' + "[" * 200 + "]" * 200 + "}",
             "a nul": '{"key":"\\u0000\\u0000","name":"\\u0000"}', "lone surrogate": '{"key":"\\ud800"}',
             "no JSON": "\x00\x01\x02", "only spaces": " " * 1000, "an array": "[]", "a number": "5", "null": "null"}
    for name, body in cases.items():
        status, _ = post(m, "/v3/kv/put", body)
        suite.check(f"{name}: refused, not served", status == 400, status)
    status, value = post(m, "/v3/kv/put", {"key": b64("k"), "value": "A" * 400000})
    suite.equal("a value beyond --max-request-bytes", (status, value), (400, {"code": 3, "message": "etcdserver: request is too large"}))
    try:
        status = post(m, "/v3/kv/put", {"key": b64("k"), "value": "A" * 8000000})[0]
    except OSError:
        status = 429  # it stopped reading
    suite.check("a body larger than any message", status == 429, status)
    many = json.dumps({"success": [{"request_range": {"key": "YQ=="}}] * 20000})
    status, _ = post(m, "/v3/kv/txn", many)
    suite.check("too many operations", status in (400, 429, 500), status)
    suite.equal("it serves on", post(m, "/v3/kv/range", {"key": b64("none")})[0], 200)


def access(suite):
    m = Member(suite, "m1")
    m.flags.update({"cors": "https://a.example,https://b.example", "host-whitelist": "localhost,127.0.0.1"})
    m.start()

    def head(method, path, headers):
        connection = connect(m)
        connection.request(method, path, "{}" if method == "POST" else None, headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, answer.getheader("Access-Control-Allow-Origin")
    body = "/v3/kv/range"
    suite.equal("a page of a listed origin may read", head("OPTIONS", body, {"Origin": "https://b.example"}), (200, "https://b.example"))
    suite.equal("one of another may not", head("OPTIONS", body, {"Origin": "https://c.example"}), (200, None))
    suite.equal("a foreign Host is misdirected", head("POST", body, {"Host": "evil.example:80"})[0], 421)
    suite.equal("also on other paths", head("GET", "/version", {"Host": "evil.example"})[0], 421)
    suite.equal("a listed one is served", head("GET", "/version", {"Host": "localhost:1"})[0], 200)
    suite.equal("a path of the gateway is posted to", ask("GET", m.client + "/v3/kv/put")[0], 501)
    suite.equal("/v3beta is /v3", post(m, "/v3beta/kv/range", {"key": b64("x")})[0], 200)
    suite.equal("/v3alpha is nothing", post(m, "/v3alpha/kv/range", {})[0], 404)
    m.stop()
    m.flags["enable-grpc-gateway"] = "false"
    m.start()
    suite.equal("without the gateway there are no such paths", post(m, "/v3/kv/range", {"key": b64("x")})[0], 404)


def with_users(suite):
    m = Member(suite, "m1").start()
    for path, body in (("user/add", {"name": "root", "password": "pw"}), ("role/add", {"name": "root"}),
                       ("user/grant", {"user": "root", "role": "root"}), ("enable", {})):
        status, value = post(m, "/v3/auth/" + path, body)
        if not suite.equal(f"auth/{path}", status, 200):
            return
    status, value = post(m, "/v3/kv/put", {"key": b64("k")})
    suite.equal("without a token nothing is put", (status, value), (400, {"code": 3, "message": "etcdserver: user name is empty"}))
    token = post(m, "/v3/auth/authenticate", {"name": "root", "password": "pw"})[1]["token"]
    suite.equal("with one it is", post(m, "/v3/kv/put", {"key": b64("k")}, {"Authorization": token})[0], 200)
    suite.equal("also called a bearer", post(m, "/v3/kv/put", {"key": b64("k")}, {"Authorization": "Bearer " + token})[0], 200)
    suite.equal("a wrong one is refused", post(m, "/v3/kv/put", {"key": b64("k")}, {"Authorization": "no.1"})[0], 401)
    suite.equal("a lock asks for the same rights", post(m, "/v3/lock/lock", {"name": b64("l")})[0] != 200, True)
    lease = post(m, "/v3/lease/grant", {"TTL": "60"}, {"Authorization": token})[1]["ID"]
    suite.equal("root may lock", post(m, "/v3/lock/lock", {"name": b64("l"), "lease": lease}, {"Authorization": token})[0], 200)


def locks(suite):
    members = cluster(suite, 3)
    clients, rounds = 6, 5
    seen, inside, broken = [0], [0], []

    def worker(number):
        m = members[number % 3]
        lease = grant(m, 30)
        for _ in range(rounds):
            status, value = post(m, "/v3/lock/lock", {"name": b64("mutex"), "lease": lease})
            if status != 200:
                broken.append(value)
                return
            inside[0] += 1
            if inside[0] != 1:
                broken.append(f"{inside[0]} inside")
            seen[0] += 1
            time.sleep(0.01)
            inside[0] -= 1
            post(m, "/v3/lock/unlock", {"key": value["key"]})
    threads = [threading.Thread(target=worker, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60 * quorate.SLOW)
    suite.equal("each got the lock each time, never two at once", (seen[0], broken), (clients * rounds, []))
    dead, patient = grant(members[0], 3), grant(members[1], 60)
    post(members[0], "/v3/lock/lock", {"name": b64("held"), "lease": dead})
    # A client that gives up while it waits leaves nothing behind.
    quitter = connect(members[1])
    quitter.request("POST", "/v3/lock/lock", json.dumps({"name": b64("held"), "lease": grant(members[1], 60)}))

    def waiting():
        return int(post(members[2], "/v3/kv/range", {"key": b64("held/"), "range_end": b64("held0")})[1].get("count", 0))
    suite.check("one who waits has a key", wait_for(lambda: waiting() == 2, 10), waiting())
    quitter.close()
    suite.check("it goes with its client", wait_for(lambda: waiting() == 1, 10), waiting())
    began = time.time()
    status, value = post(members[1], "/v3/lock/lock", {"name": b64("held"), "lease": patient})
    suite.check("a holder that died gives way when its lease ends", status == 200 and time.time() - began < 15 * quorate.SLOW, value)
    # Whose own lease ends while it waits does not get the lock.
    short, result = grant(members[2], 2), []
    waiter = threading.Thread(target=lambda: result.append(post(members[2], "/v3/lock/lock", {"name": b64("held"), "lease": short})))
    waiter.start()
    suite.check("a lease ends under one who waits", wait_for(lambda: waiting() == 1, 15) and wait_for(
        lambda: short not in [x["ID"] for x in post(members[2], "/v3/lease/leases", {})[1].get("leases", [])], 15))
    post(members[1], "/v3/lock/unlock", {"key": value["key"]})
    waiter.join(15 * quorate.SLOW)
    suite.equal("who waited is told", result, [(500, {"code": 2, "message": "mutex: session is expired"})])


def elections(suite):
    members = cluster(suite, 3)
    first, second = grant(members[0], 3), grant(members[1], 60)
    status, won = post(members[0], "/v3/election/campaign", {"name": b64("e"), "lease": first, "value": b64("one")})
    suite.equal("who is alone is elected", status, 200)
    observer = Lines(members[2], "/v3/election/observe", {"name": b64("e")})
    suite.equal("an observer hears of it", observer.next()["result"]["kv"]["value"], b64("one"))
    post(members[0], "/v3/election/proclaim", {"leader": won["leader"], "value": b64("one again")})
    suite.equal("and of what the leader says", observer.next()["result"]["kv"]["value"], b64("one again"))
    result = []
    rival = threading.Thread(target=lambda: result.append(
        post(members[1], "/v3/election/campaign", {"name": b64("e"), "lease": second, "value": b64("two")})))
    rival.start()
    suite.check("the leader's lease ends without it", wait_for(lambda: result, 20), result)
    rival.join(20 * quorate.SLOW)
    suite.equal("the next one is elected", result[0][0], 200)
    suite.equal("the observer hears of the next one", observer.next()["result"]["kv"]["value"], b64("two"))
    suite.equal("who lost may not proclaim", post(members[0], "/v3/election/proclaim", {"leader": won["leader"], "value": b64("x")}),
                (500, {"code": 2, "message": "election: not leader"}))
    # The cluster's own leader dies; the election goes on.
    leader = etcds.leader_of(members)
    others = [m for m in members if m is not leader]
    leader.kill()
    suite.check("the election outlives the cluster's leader", wait_for(
        lambda: post(others[0], "/v3/election/leader", {"name": b64("e")})[1].get("kv", {}).get("value") == b64("two"), 20))
    status, value = post(others[1], "/v3/election/resign", {"leader": result[0][1]["leader"]})
    suite.equal("a leader resigns", status, 200)
    suite.equal("and nobody leads", post(others[0], "/v3/election/leader", {"name": b64("e")}), (500, {"code": 2, "message": "election: no leader"}))
    observer.close()


MARK = b"this value is changed on the disk"


def crc32c(data):
    value = 0xffffffff
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
    return value ^ 0xffffffff


def mend_sum(data, at):
    """Where the checksum of the record around at lies, and what it must be: rot that a checksum shows ends the member, what a
    member wrote wrongly itself is for its peers to find. A node of LMDB: size u32, flags u16, size of the key u16, key, value."""
    for start in range(at, at - 200, -1):
        size, _, key_size = struct.unpack_from("<IHH", data, start - 25)
        if key_size == 17 and data[start - 9:start - 8] == b"_" and start + size > at:
            end = start + size - 4
            return end, struct.pack("<I", crc32c(data[start - 17:end]))
    return None


def change_on_disk(member):
    """One byte of the value, wherever the store has it, with the checksum that belongs to it."""
    changed = 0
    for path in glob.glob(os.path.join(member.data, "member", "store", "*.lmdb")):
        with open(path, "r+b") as file:
            data = bytearray(file.read())
            at = data.find(MARK)
            while at >= 0:
                data[at + 5] = ord("X")
                place = mend_sum(data, at)
                if place is not None:
                    data[place[0]:place[0] + 4] = place[1]
                changed += 1
                at = data.find(MARK, at + 1)
            file.seek(0)
            file.write(data)
    return changed


def corruption(suite):
    members = cluster(suite, 3, {"corrupt-check-time": "1s"})
    for i in range(50):
        post(members[0], "/v3/kv/put", {"key": b64(f"k{i}"), "value": b64("v")})
    post(members[0], "/v3/kv/put", {"key": b64("marked"), "value": base64.b64encode(MARK).decode()})
    suite.check("checks of healthy members find nothing", wait_for(
        lambda: any("finished peer corruption check" in m.log() for m in members), 20)
        and "alarms" not in post(members[0], "/v3/maintenance/alarm", {})[1])
    victim = next(m for m in members if m is not etcds.leader_of(members))
    bad = victim.id()
    victim.stop()
    suite.check("the value is in the store", change_on_disk(victim) > 0, os.listdir(victim.data))
    victim.flags["experimental-initial-corrupt-check"] = "true"
    victim.start(wait=False)
    suite.equal("with the check at the start it does not serve", victim.wait_exit(), 65)
    suite.contains("and says why", victim.log(), "found data inconsistency with peers")
    victim.flags["experimental-initial-corrupt-check"] = "false"
    victim.start(wait=False)
    other = next(m for m in members if m is not victim)
    alarms = wait_for(lambda: post(other, "/v3/maintenance/alarm", {})[1].get("alarms"), 30)
    suite.equal("the alarm names the member", alarms, [{"memberID": str(bad), "alarm": "CORRUPT"}])
    suite.equal("nothing is put any more", post(other, "/v3/kv/put", {"key": b64("k")})[1], {"code": 15, "message": "etcdserver: corrupt cluster"})
    suite.equal("/health says so", ask("GET", other.client + "/health")[0], 503)
    suite.contains("/readyz too", ask("GET", other.client + "/readyz")[1], "[-]data_corruption failed")


def compaction_hashes(suite):
    members = cluster(suite, 3, {"experimental-compact-hash-check-enabled": "true", "compact-hash-check-time": "1s"})
    for i in range(30):
        post(members[0], "/v3/kv/put", {"key": b64(f"k{i % 7}"), "value": b64(str(i))})
    post(members[0], "/v3/kv/put", {"key": b64("marked"), "value": base64.b64encode(MARK).decode()})
    post(members[0], "/v3/kv/compaction", {"revision": "10", "physical": True})
    suite.check("members agree on the hash of a compaction", wait_for(
        lambda: any("finished compaction hash check" in m.log() for m in members), 20))
    suite.equal("and no alarm is raised", "alarms" in post(members[0], "/v3/maintenance/alarm", {})[1], False)
    victim = next(m for m in members if m is not etcds.leader_of(members))
    bad = victim.id()
    victim.stop()
    change_on_disk(victim)
    victim.start()
    other = next(m for m in members if m is not victim)
    post(other, "/v3/kv/put", {"key": b64("k"), "value": b64("last")})
    post(other, "/v3/kv/compaction", {"revision": "33", "physical": True})
    alarms = wait_for(lambda: post(other, "/v3/maintenance/alarm", {})[1].get("alarms"), 30)
    suite.equal("the next one shows who deviates", alarms, [{"memberID": str(bad), "alarm": "CORRUPT"}])


def downgrade(suite):
    m = Member(suite, "m1").start()
    say = lambda body: post(m, "/v3/maintenance/downgrade", body)  # noqa: E731
    suite.check("a cluster version is decided", wait_for(lambda: etcds.cluster_version(m) == "3.6.0", 15))
    suite.equal("the version below may be aimed at", bare(say({"version": "3.5"})[1]).get("version"), "3.6")
    suite.equal("downgrade begins", say({"action": "ENABLE", "version": "3.5.0"})[0], 200)
    suite.equal("status tells it", post(m, "/v3/maintenance/status", {})[1]["downgradeInfo"], {"enabled": True, "targetVersion": "3.5.0"})
    suite.equal("a second one is refused", say({"version": "3.5"})[1]["message"] in (
        "etcdserver: cluster has a downgrade job in progress", "etcdserver: invalid downgrade target version"), True)
    suite.check("the cluster version goes down", wait_for(lambda: etcds.cluster_version(m) == "3.5.0", 20))
    suite.equal("it is taken back", say({"action": "CANCEL"})[0], 200)
    suite.check("and goes up again", wait_for(lambda: etcds.cluster_version(m) == "3.6.0", 20))


def paths(suite):
    m = Member(suite, "m1").start()
    get = lambda path: ask("GET", m.client + path)  # noqa: E731
    suite.equal("/livez", get("/livez"), (200, "ok\n"))
    suite.equal("/livez tells on request", get("/livez?verbose"), (200, "[+]serializable_read ok\nok\n"))
    for name in ("data_corruption", "serializable_read", "linearizable_read", "non_learner"):
        suite.equal(f"/readyz/{name}", get("/readyz/" + name), (200, "ok\n"))
        suite.check(f"/readyz without {name}", name not in get(f"/readyz?verbose&exclude={name}")[1])
    suite.equal("/readyz/nothing", get("/readyz/nothing")[0], 404)
    suite.equal("/health", json.loads(get("/health?serializable=true")[1]), {"health": "true", "reason": ""})
    suite.equal("/debug/vars", json.loads(get("/debug/vars")[1])["raft.status"]["raftState"], "StateLeader")
    for path in ("/", "/v2/keys", "/config/local/log", "/debug/pprof/heap"):
        suite.equal(f"{path} is nothing", get(path)[0], 404)


def metric_names(suite):
    m = Member(suite, "m1").start()
    post(m, "/v3/lease/grant", {"TTL": "60"})
    m.ctl("put", "k", "v")
    m.ctl("get", "k")
    m.ctl("defrag")
    post(m, "/v3/maintenance/hash", {})
    time.sleep(0.6)
    types = dict(line.split()[2:4] for line in ask("GET", m.client + "/metrics")[1].splitlines() if line.startswith("# TYPE"))
    with open(os.path.join(quorate.ROOT, "tests/data/metrics-3.6.14.txt"), encoding="utf-8") as file:
        wanted = [line.split() for line in file if not line.startswith("#")]
    for name, kind, *left_out in wanted:
        suite.equal(f"metric {name}", types.get(name), None if left_out else kind)
    for name in ("process_cpu_seconds_total", "process_open_fds", "process_max_fds", "process_start_time_seconds",
                 "process_virtual_memory_bytes", "process_resident_memory_bytes"):
        suite.check(name, m.metric(name) is not None and m.metric(name) >= 0)
    suite.check("the process began a moment ago", abs(m.metric("process_start_time_seconds") - time.time()) < 120)
    suite.check("puts are timed", m.metric('etcd_server_apply_duration_seconds_count{op="Put",success="true",version="v3"}') == 1)


if __name__ == "__main__":
    sys.exit(Suite("engine-gateway").run([same_as_etcd, streams, hostile, access, with_users, locks, elections, corruption,
                                          compaction_hashes, downgrade, paths, metric_names]))
