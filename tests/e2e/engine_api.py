#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What else clients find on the client port, beside etcd 3.6 where that speaks it too: streams over WebSocket, ranges in
parts, what a learner answers, metrics by name."""
import http.server as http_server
import json
import os
import re
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import gotools  # noqa: E402  (first: it builds etcd 3.6)
import quorate  # noqa: E402
from gotools import EtcdMember  # noqa: E402
from quorate import Member, Suite, b64, http, wait_for  # noqa: E402
from websocket import PING, PONG, CLOSE, Refused, WebSocket, frame  # noqa: E402

quorate.PORT_FIRST, quorate.PORT_LAST = 21200, 21399
quorate._next_port = quorate.PORT_FIRST + (os.getpid() * 37) % (quorate.PORT_LAST - quorate.PORT_FIRST)


def post(member, path, body, headers=None):
    """Status and JSON; text where it is none."""
    status, text = http("POST", member.client + path, json.dumps(body), headers)
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


OWN = {"cluster_id", "member_id", "raft_term"}


def bare(value):
    """A value without what is each cluster's own."""
    if isinstance(value, dict):
        return {k: bare(v) for k, v in value.items() if k not in OWN}
    if isinstance(value, str):
        return value.replace("\u00a0", " ")  # Go's protobuf puts one or the other into its errors
    return [bare(v) for v in value] if isinstance(value, list) else value


# ---- WebSocket ----

def watched(member):
    """Everything that one connection is told: a watch made, two puts, a second watch, a cancel, a progress report."""
    told = []
    ws = WebSocket(member.client, "/v3/watch?method=POST", {"Sec-WebSocket-Protocol": None})
    ws.send({"create_request": {"key": b64("w"), "watch_id": "7"}})
    told.append(ws.json())
    post(member, "/v3/kv/put", {"key": b64("w"), "value": b64("1")})
    told.append(ws.json())
    ws.send('{"create_request":{"key":"%s",' % b64("x"), last=False)
    ws.send('"watch_id":8}}', opcode=0)
    told.append(ws.json())
    post(member, "/v3/kv/put", {"key": b64("x"), "value": b64("2")})
    told.append(ws.json())
    ws.send({"cancel_request": {"watch_id": 7}})
    told.append(ws.json())
    ws.send({"progress_request": {}})
    told.append(ws.json())
    ws.end()
    return bare(told)


def kept_alive(member):
    lease = post(member, "/v3/lease/grant", {"TTL": "600"})[1]["ID"]
    ws = WebSocket(member.client, "/v3/lease/keepalive")
    told = []
    for _ in range(3):
        ws.send({"ID": lease})
        told.append(ws.json()["result"]["TTL"])
    ws.send({"ID": "1"})
    told.append(ws.json()["result"].get("TTL"))
    ws.end()
    return told


def one_answer(member, path, message):
    """What one message is answered with, and that nothing follows."""
    ws = WebSocket(member.client, path)
    ws.send(message)
    told = [ws.json(), ws.json()]
    ws.end()
    return bare(told)


def websocket_beside_etcd(suite):
    etcd, ours = EtcdMember(suite, "etcd").start(), Member(suite, "ours").start()
    want, got = watched(etcd), watched(ours)
    suite.equal("a watch over WebSocket is told the same, message by message", got, want)
    suite.check("and it was told of both puts", json.dumps(got).count('"kv"') == 2, got)
    suite.equal("keep-alives are answered one by one", kept_alive(ours), kept_alive(etcd))
    for what, path, message in (
            ("a put", "/v3/kv/put", {"key": b64("a"), "value": b64("b")}),
            ("a range", "/v3/kv/range", {"key": b64("a")}),
            ("an error", "/v3/kv/range", {}),
            ("an unknown field's name", "/v3/kv/range", {"key": b64("a"), "none": 1}),
            ("no JSON of a message", "/v3/kv/range", '{"key":7}')):
        suite.equal(f"{what} is answered over WebSocket as etcd does", one_answer(ours, path, message), one_answer(etcd, path, message))
    suite.equal("an error of a stream is told", one_answer(ours, "/v3/lease/keepalive", '{"ID":{}}'),
                [{"error": {"code": 3, "message": "proto: (line 1:7): invalid value for int64 field ID: {"}}, None])
    for what, headers in (("the version", {"Sec-WebSocket-Version": "8"}), ("the key", {"Sec-WebSocket-Key": None})):
        codes = []
        for member in (etcd, ours):
            try:
                WebSocket(member.client, "/v3/watch", headers).end()
                codes.append(101)
            except Refused as refused:
                codes.append(refused.status)
        suite.equal(f"a handshake without {what} is refused as etcd does", codes[1], codes[0])
        suite.equal("with 400", codes[1], 400)


def websocket_frames(suite):
    member = Member(suite, "frames")
    member.flags["cors"] = "http://good.example"
    member.start()
    ws = WebSocket(member.client, "/v3/watch", {"Origin": "http://good.example"},
                   first=frame(json.dumps({"create_request": {"key": b64("k")}})))
    suite.check("a message right behind the handshake is read", ws.json()["result"]["created"])
    ws.send("are you there", opcode=PING)
    suite.equal("a ping is answered", ws.receive(), (PONG, b"are you there"))
    ws.send(b"\x03\xe8", opcode=CLOSE)
    suite.equal("a close is answered by one", ws.close_code(), 1000)
    suite.check("and ends the watch", wait_for(lambda: member.metric("etcd_debugging_mvcc_watcher_total") == 0))
    try:
        WebSocket(member.client, "/v3/watch", {"Origin": "http://evil.example"}).end()
        suite.check("a page of another origin is refused", False)
    except Refused as refused:
        suite.equal("a page of another origin is refused", refused.status, 403)
    for what, data, code in (
            ("a frame that is not masked", b"\x81\x05hello", 1002),
            ("a reserved bit", b"\xc1\x80\0\0\0\0", 1002),
            ("a message larger than any request", b"\x81\xff" + b"\0\0\x10\0\0\0\0\0" + b"\0\0\0\0", 1009)):
        ws = WebSocket(member.client, "/v3/watch")
        ws.socket.sendall(data)
        suite.equal(f"{what} closes with {code}", ws.close_code(), code)
        ws.end()
    # Many small parts of one message, and many messages of one stream: neither piles up.
    ws = WebSocket(member.client, "/v3/kv/put")
    try:
        ws.send('{"key":"', last=False)
        for _ in range(400):
            ws.send("A" * 20000, opcode=0, last=False)
        code = ws.close_code()
    except OSError:
        code = 1009  # it has closed while we were sending
    suite.equal("a message of 8 MB in parts closes with 1009", code, 1009)
    ws.end()
    try:
        WebSocket(member.client, "/v3/kv/none").end()
        suite.check("a path that is not there is no WebSocket", False)
    except Refused as refused:
        suite.equal("a path that is not there is no WebSocket", refused.status, 404)
    suite.check("the member still answers", post(member, "/v3/kv/put", {"key": b64("a")})[0] == 200)
    for i in range(40):
        post(member, "/v3/kv/put", {"key": b64(f"p{i:02}"), "value": b64("p" * 100000)})
    all_p = {"key": b64("p"), "range_end": b64("q")}
    answer = post(member, "/v3/kv/range", all_p)[1]
    suite.equal("a large answer of the gateway is whole", (len(answer["kvs"]), answer["count"]), (40, "40"))
    ws = WebSocket(member.client, "/v3/kv/range")
    ws.send(all_p)
    answer = ws.json()
    suite.equal("an answer that comes in parts is one message", (len(answer["kvs"]), answer["count"], ws.close_code()), (40, "40", 1000))
    ws.end()
    # One that asks and does not read.
    watch = WebSocket(member.client, "/v3/watch")
    watch.send({"create_request": {"key": b64("big")}})
    watch.json()
    value = b64("v" * 500000)
    for _ in range(60):
        post(member, "/v3/kv/put", {"key": b64("big"), "value": value})
    before = member.metric("process_resident_memory_bytes")
    got = 0
    while got < 60:
        got += len(watch.json()["result"].get("events", []))
    suite.equal("a slow reader is told of all 60 changes", got, 60)
    suite.check("and the member did not hold them all for it", before < 400e6, before)
    watch.end()
    suite.equal("it stops by itself with sockets open", (WebSocket(member.client, "/v3/watch"), member.stop())[1], 143)


def websocket_users(suite):
    ours = Member(suite, "ours").start()
    post(ours, "/v3/auth/user/add", {"name": "root", "password": "r"})
    post(ours, "/v3/auth/user/grant", {"user": "root", "role": "root"})
    post(ours, "/v3/auth/enable", {})
    token = post(ours, "/v3/auth/authenticate", {"name": "root", "password": "r"})[1]["token"]
    empty, wrong = {"code": 3, "message": "etcdserver: user name is empty"}, {"code": 16, "message": "etcdserver: invalid auth token"}
    fine = {"header": {"revision": "1"}}
    for what, headers, protocol, want in (
            ("without a token nothing is answered", {}, None, empty),
            ("a token in the protocol lets in", {"Sec-WebSocket-Protocol": f"Bearer, {token}"}, "Bearer", fine),
            ("also without the space", {"Sec-WebSocket-Protocol": f"Bearer,{token}"}, "Bearer", fine),
            ("a wrong one does not", {"Sec-WebSocket-Protocol": "Bearer, wrong"}, "Bearer", wrong),
            ("a token in a cookie lets in", {"Cookie": f"a=b; token={token}"}, None, fine),
            ("a header, which etcd does not look at, does not", {"Authorization": token}, None, empty)):
        ws = WebSocket(ours.client, "/v3/kv/range", headers)
        ws.send({"key": b64("a")})
        suite.equal(what, (ws.headers.get("sec-websocket-protocol"), bare(ws.json())), (protocol, want))
        ws.end()


# ---- metrics ----

# What etcd's own dashboards and alerts ask for (contrib/mixin), with the labels that they go by.
MIXIN = {
    "etcd_server_has_leader": (), "etcd_server_leader_changes_seen_total": (), "etcd_server_proposals_committed_total": (),
    "etcd_server_proposals_applied_total": (), "etcd_server_proposals_pending": (), "etcd_server_proposals_failed_total": (),
    "etcd_server_quota_backend_bytes": (), "etcd_mvcc_db_total_size_in_bytes": (), "etcd_mvcc_db_total_size_in_use_in_bytes": (),
    "etcd_disk_wal_fsync_duration_seconds_bucket": ("le",), "etcd_disk_backend_commit_duration_seconds_bucket": ("le",),
    "etcd_network_peer_round_trip_time_seconds_bucket": ("To", "le"), "etcd_network_peer_sent_failures_total": ("To",),
    "etcd_network_peer_sent_bytes_total": ("To",), "etcd_network_peer_received_bytes_total": ("From",),
    "etcd_network_client_grpc_sent_bytes_total": (), "etcd_network_client_grpc_received_bytes_total": (),
    "grpc_server_started_total": ("grpc_method", "grpc_service", "grpc_type"),
    "grpc_server_handled_total": ("grpc_code", "grpc_method", "grpc_service", "grpc_type"), "process_resident_memory_bytes": (),
}
# Names of etcd's that mean nothing here; docs/compatibility.md says why.
NOT_THERE = ("go_", "etcd_debugging_disk_backend_commit_", "etcd_debugging_snap_save_marshalling_duration_seconds",
             "etcd_debugging_store_", "etcd_grpc_proxy_", "etcd_server_go_version", "etcd_snap_fsync_duration_seconds",
             "process_network_", "process_virtual_memory_max_bytes", "promhttp_")


def cluster(suite, kind, prefix, size=3):
    members = [kind(suite, f"{prefix}{i}") for i in range(size)]
    for member in members:
        member.initial_cluster = ",".join(f"{m.name}={m.peer}" for m in members)
        member.start(wait=False)
    for member in members:
        member.wait_ready()
    return members


def metrics_of(member):
    """Type of each name, and labels of each sample's name."""
    types, labels = {}, {}
    for line in http("GET", member.client + "/metrics")[1].splitlines():
        words = line.split()
        if line.startswith("# TYPE"):
            types[words[2]] = words[3]
        elif line and not line.startswith("#"):
            name, _, rest = line.rpartition(" ")[0].partition("{")
            labels.setdefault(name, set()).add(tuple(sorted(re.findall(r'([A-Za-z_]+)="', rest))))
    return types, labels


def some_work(members):
    for i in range(20):
        post(members[0], "/v3/kv/put", {"key": b64("key"), "value": b64("x" * 95)})
    ws = WebSocket(members[0].client, "/v3/watch")
    ws.send({"create_request": {"key": b64("key"), "start_revision": "2"}})
    events = 0
    while events < 20:
        events += len(ws.json()["result"].get("events", []))
    post(members[0], "/v3/kv/compaction", {"revision": "15", "physical": True})
    post(members[0], "/v3/kv/range", {"key": b64("key")})
    time.sleep(1)
    ws.end()


def metrics_by_name(suite):
    etcds, ours = cluster(suite, EtcdMember, "e"), cluster(suite, Member, "q")
    some_work(etcds)
    some_work(ours)
    # etcd looks at round trips every 30 seconds.
    trip = "etcd_network_peer_round_trip_time_seconds"
    wait_for(lambda: trip in metrics_of(etcds[0])[0], 60)
    types, labels = metrics_of(ours[0])
    theirs, their_labels = metrics_of(etcds[0])
    missing = {name for name in theirs if name not in types and not name.startswith(NOT_THERE)}
    suite.equal("each metric of etcd is there, but for those that mean nothing here", missing, set())
    suite.equal("none of those is there by now", {n for n in types if n.startswith(NOT_THERE)}, set())
    suite.equal("all have etcd's types", {n for n in types if n in theirs and types[n] != theirs[n]}, set())
    suite.equal("and etcd's labels", {n: (labels[n], their_labels[n]) for n in labels if n in their_labels and
                                      not labels[n] <= their_labels[n]}, {})
    for name, want in MIXIN.items():
        suite.equal(f"the mixin's {name}", labels.get(name), {tuple(sorted(want))})
    leader = next(m for m in ours if m.metric("etcd_server_is_leader"))
    suite.check("round trips are measured", leader.metric(trip + "_count") > 2)
    suite.check("within a second", leader.metric(trip + "_sum") < leader.metric(trip + "_count"))
    for name in ("etcd_debugging_mvcc_events_total", "etcd_debugging_mvcc_total_put_size_in_bytes", "etcd_network_known_peers",
                 "etcd_debugging_mvcc_db_compaction_keys_total", "etcd_network_active_peers", "etcd_debugging_mvcc_pending_events_total"):
        suite.equal(f"{name} has etcd's value", ours[0].metric(name), etcds[0].metric(name))
    for name in ("etcd_network_peer_sent_bytes_total", "etcd_network_peer_received_bytes_total",
                 "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds_count"):
        suite.check(f"{name} counts", ours[0].metric(name) > 0)
    next(m for m in ours[1:] if m is not leader).kill()
    suite.check("a peer that has gone is counted", wait_for(lambda: ours[0].metric("etcd_network_disconnected_peers_total") == 1 and
                                                            ours[0].metric("etcd_network_active_peers") == 1))
    suite.check("and what could not be sent to it", wait_for(lambda: leader.metric("etcd_network_peer_sent_failures_total") > 0))


# ---- learners ----

# One of each call, with what makes it pass where calls are let in at all.
CALLS = [
    ("kv/range", {"key": b64("a"), "serializable": True}), ("kv/range", {"key": b64("a")}),
    ("kv/put", {"key": b64("a")}), ("kv/deleterange", {"key": b64("z")}),
    ("kv/txn", {"success": [{"request_range": {"key": b64("a"), "serializable": True}}]}), ("kv/compaction", {"revision": "1"}),
    ("lease/grant", {"TTL": "10"}), ("lease/revoke", {"ID": "1"}), ("lease/timetolive", {"ID": "1"}), ("lease/leases", {}),
    ("lease/keepalive", {"ID": "1"}), ("watch", {"create_request": {"key": b64("a")}}),
    ("cluster/member/list", {}), ("cluster/member/list", {"linearizable": True}), ("cluster/member/add", {"peerURLs": ["http://127.0.0.1:1"]}),
    ("cluster/member/remove", {"ID": "1"}), ("cluster/member/update", {"ID": "1", "peerURLs": ["http://127.0.0.1:1"]}),
    ("cluster/member/promote", {"ID": "1"}),
    ("maintenance/alarm", {}), ("maintenance/hash", {}), ("maintenance/hashkv", {}), ("maintenance/defragment", {}),
    ("maintenance/transfer-leadership", {"targetID": "1"}), ("maintenance/downgrade", {"action": 0, "version": "3.5.0"}),
    ("auth/status", {}), ("auth/enable", {}), ("auth/authenticate", {"name": "a", "password": "b"}), ("auth/user/list", {}),
    ("auth/role/add", {"name": "r"}), ("lock/lock", {"name": b64("l")}), ("lock/unlock", {"key": b64("l")}),
    ("election/campaign", {"name": b64("e")}), ("election/leader", {"name": b64("e")}), ("election/observe", {"name": b64("e")}),
]


def join(suite, kind, name, members, *flags):
    """A new member that is added, and runs."""
    member = kind(suite, name)
    added = members[0].ctl("member", "add", name, f"--peer-urls={member.peer}", *flags)
    assert added.code == 0, added
    member.initial_cluster = ",".join(f"{m.name}={m.peer}" for m in [*members, member])
    member.cluster_state = "existing"
    return member.start(wait=False)


def learner_beside_etcd(suite):
    told = {}
    for kind, prefix in ((EtcdMember, "e"), (Member, "q")):
        members = cluster(suite, kind, prefix, 1)
        post(members[0], "/v3/kv/put", {"key": b64("a"), "value": b64("1")})
        learner = join(suite, kind, f"{prefix}l", members, "--learner")
        suite.check(f"a learner of {prefix} has caught up", wait_for(
            lambda: '"count"' in str(post(learner, "/v3/kv/range", {"key": b64("a"), "serializable": True})[1]).replace("'", '"'), 20))
        suite.check(f"a learner of {prefix} tells the version of its storage, at some time", wait_for(
            lambda: "storageVersion" in post(learner, "/v3/maintenance/status", {})[1], 30))
        answers = [(path, body, *map(bare, post(learner, f"/v3/{path}", body))) for path, body in CALLS]
        answers += [(path, http("GET", learner.client + path)[0]) for path in (
            "/health", "/health?serializable=true", "/livez", "/readyz", "/version", "/readyz/linearizable_read", "/readyz/is_learner")]
        status = post(learner, "/v3/maintenance/status", {})
        answers.append((status[0], status[1].get("isLearner"), sorted(k for k in status[1])))
        snapshot = http("POST", learner.client + "/v3/maintenance/snapshot", "{}")
        answers.append(("snapshot", snapshot[0], '"remaining_bytes"' in snapshot[1]))
        lists = learner.ctl("member", "list", "-w", "json")
        answers.append(("etcdctl member list", lists.code, lists.out, "rpc not supported for learner" in lists.err))
        told[prefix] = answers
    for want, got in zip(told["e"], told["q"]):
        suite.equal(f"a learner answers {want[0]} as etcd's does", got, want)
    served = [a for a in told["q"] if len(a) == 4 and a[2] == 200]
    suite.equal("of all calls but Status and Snapshot it serves a serializable range alone", [a[:2] for a in served], [CALLS[0]])


# ---- joining through members that lag ----

class Stand(http_server.BaseHTTPRequestHandler):
    """A member that knows of the newest one only when it has been asked often enough."""

    def do_GET(self):
        stand = self.server
        if self.path == "/members":
            stand.asked += 1
        known = stand.members if stand.asked > stand.lags else stand.members[:1]
        text = json.dumps(known if self.path == "/members" else {"etcdserver": "3.6.0", "etcdcluster": "3.6.0"}).encode()
        self.send_response(200 if self.path in ("/members", "/version") else 404)
        self.send_header("X-Etcd-Cluster-ID", "abc")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def stand_for(suite, name, lags):
    """A joiner, and the one whom it asks."""
    stand = http_server.ThreadingHTTPServer(("127.0.0.1", quorate.free_port()), Stand)
    joiner = Member(suite, name)
    stand.asked, stand.lags = 0, lags
    url = f"http://127.0.0.1:{stand.server_address[1]}"
    stand.members = [{"id": 1, "peerURLs": [url], "name": "old", "clientURLs": ["http://127.0.0.1:1"]}, {"id": 2, "peerURLs": [joiner.peer]}]
    threading.Thread(target=stand.serve_forever, daemon=True).start()
    joiner.cluster_state, joiner.initial_cluster = "existing", f"old={url},{name}={joiner.peer}"
    joiner.start(wait=False)
    return joiner, stand


def joining_a_lagging_member(suite):
    joiner, stand = stand_for(suite, "late", 3)
    suite.check("a member that is not known yet asks again, and joins", joiner.wait_log("joining an existing cluster", 20), joiner.log())
    suite.check("it was told three times that it is unknown", stand.asked >= 4, stand.asked)
    suite.check("and says so once", joiner.log().count("does not know this member yet") == 1, joiner.log())
    stand.shutdown()
    joiner, stand = stand_for(suite, "never", 10**6)
    suite.equal("one that nobody ever knows gives up", joiner.wait_exit(20), 1)
    suite.check("after it has asked for a while", stand.asked >= 5, stand.asked)
    for words in ("after 5000 ms of asking", "member count is unequal: 2 here, 1 in the cluster"):
        suite.contains("and says why", joiner.log(), words)
    suite.check("nothing is written", not os.path.exists(os.path.join(joiner.data, "member", "wal", "0000000000000000-0000000000000000.wal")))
    stand.shutdown()


# ---- ranges in parts ----

def range_stream(suite, member, request, token=None):
    """Status and messages of one KV.RangeStream; request is its message in wire form."""
    path = os.path.join(suite.dir, "range-request")
    with open(path, "wb") as file:
        file.write(b"\0" + struct.pack(">I", len(request)) + request)
    headers = ["-H", f"token: {token}"] if token else []
    done = subprocess.run(["curl", "-s", "--http2-prior-knowledge", "-D", path + ".head", "-H", "content-type: application/grpc",
                           "-H", "te: trailers", *headers, "--data-binary", f"@{path}", member.client + "/etcdserverpb.KV/RangeStream"],
                          capture_output=True, timeout=30, check=True)
    with open(path + ".head", encoding="utf-8") as file:
        head = dict(line.strip().split(": ", 1) for line in file if ": " in line)
    messages, data = [], done.stdout
    while data:
        size = struct.unpack(">I", data[1:5])[0]
        messages.append(data[5:5 + size])
        data = data[5 + size:]
    return head["grpc-status"], messages, head.get("grpc-message", "")


def ranges_in_parts(suite):
    member = Member(suite, "parts").start()
    for i in range(60):
        post(member, "/v3/kv/put", {"key": b64(f"r{i:02}"), "value": b64("v" * 20000)})
    everything = b"\x0a\x01r\x12\x01s"
    status, messages, _ = range_stream(suite, member, everything)
    suite.equal("a range comes in parts", (status, 4 <= len(messages) <= 8), ("0", True))
    whole = b"".join(messages)
    suite.equal("each key once, in order", [int(k) for k in re.findall(rb"\x0a\x03r(\d\d)", whole)], list(range(60)))
    suite.check("the count stands in the last", b"\x20\x3c" in messages[-1] and b"\x20\x3c\x0a" not in b"".join(messages[:-1]))
    suite.equal("a limit holds", len(re.findall(rb"\x0a\x03r\d\d", b"".join(range_stream(suite, member, everything + b"\x18\x07")[1]))), 7)
    suite.equal("an order of its own is refused as etcd 3.7 does", range_stream(suite, member, everything + b"\x28\x02")[::2],
                ("12", "RangeStream does not support custom sort orders"))
    suite.equal("so are filters", range_stream(suite, member, everything + b"\x50\x01")[::2],
                ("12", "RangeStream does not support revision filters"))
    suite.equal("a key is needed", range_stream(suite, member, b"")[::2], ("3", "etcdserver: key is not provided"))
    suite.equal("a revision to come is refused", range_stream(suite, member, everything + b"\x20\xe7\x07")[0], "11")
    suite.equal("it has no path of the gateway, as there", post(member, "/v3/kv/rangestream", {})[0], 404)
    for name in ("root", "reader"):
        post(member, "/v3/auth/user/add", {"name": name, "password": "p"})
    post(member, "/v3/auth/user/grant", {"user": "root", "role": "root"})
    post(member, "/v3/auth/role/add", {"name": "some"})
    post(member, "/v3/auth/role/grant", {"name": "some", "perm": {"permType": "READ", "key": b64("r0"), "range_end": b64("r1")}})
    post(member, "/v3/auth/user/grant", {"user": "reader", "role": "some"})
    post(member, "/v3/auth/enable", {})
    token = post(member, "/v3/auth/authenticate", {"name": "reader", "password": "p"})[1]["token"]
    suite.equal("without a user it is refused", range_stream(suite, member, everything)[0], "3")
    suite.equal("with one, what its role may not read", range_stream(suite, member, everything, token)[0], "7")
    suite.equal("but not what it may", range_stream(suite, member, b"\x0a\x02r0\x12\x02r1", token)[0], "0")


if __name__ == "__main__":
    sys.exit(Suite("engine-api").run([websocket_beside_etcd, websocket_frames, websocket_users, metrics_by_name,
                                   learner_beside_etcd,
                                   joining_a_lagging_member, ranges_in_parts]))
