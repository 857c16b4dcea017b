#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Users, roles, tokens and rights: etcdctl's commands, the calls behind them, three members, members of etcd's.

The same commands and calls go to one member of ours and to real etcds (Debian's 3.4, and 3.6 where it could be
built); what comes back must be the same. Parts can be named as arguments. Ports 35500 to 35999."""
import base64
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import quorate  # noqa: E402
from etcds import agree, kind_of, leader_of, programs  # noqa: E402
from quorate import Cluster, Member, Suite, Watcher, http, wait_for  # noqa: E402

quorate.PORT_FIRST, quorate.PORT_LAST = 35500, 35999
quorate._next_port = quorate.PORT_FIRST + (os.getpid() * 37) % (quorate.PORT_LAST - quorate.PORT_FIRST)
CANARY = "canary-of-a-password"
ROOT = f"root:{CANARY}-root"
SEEN_TOKENS = []


def b64(text):
    return base64.b64encode(text.encode()).decode()


def call(member, path, body=None, token=None):
    """A call through the JSON gateway: 0 and the answer, or its gRPC code and text."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = token
    status, text = http("POST", f"{member.client}/v3/{path}", json.dumps(body or {}), headers)
    try:
        answer = json.loads(text)
    except ValueError:
        return status, text
    if status != 200:
        return answer.get("code", status), answer.get("message") or answer.get("error")
    return 0, answer


def first_line(member, path, body, token):
    """The first message of a stream."""
    request = urllib.request.Request(f"{member.client}/v3/{path}", data=json.dumps(body).encode(), method="POST",
                                     headers={"Authorization": token})
    with urllib.request.urlopen(request, timeout=10 * quorate.SLOW) as answer:
        return answer.readline().decode()


def login(member, user):
    name, password = user.split(":", 1)
    code, answer = call(member, "auth/authenticate", {"name": name, "password": password})
    if code != 0:
        return None
    SEEN_TOKENS.append(answer["token"])
    return answer["token"]


def run(key, **more):
    return {"key": b64(key), **{name: b64(v) if name in ("value", "range_end") else v for name, v in more.items()}}


def open_end(key):
    return {"key": b64(key), "range_end": base64.b64encode(b"\0").decode()}


def setup_users(member, enable=True):
    """root, al (reads and writes k/ to k0, reads r), bo (may do nothing)."""
    for args in (["user", "add", ROOT], ["user", "add", f"al:{CANARY}-al"], ["user", "add", f"bo:{CANARY}-bo"],
                 ["role", "add", "rw"], ["role", "grant-permission", "rw", "readwrite", "k/", "k0"],
                 ["role", "grant-permission", "rw", "read", "r"], ["user", "grant-role", "al", "rw"],
                 ["user", "grant-role", "root", "root"]):
        done = member.ctl(*args)
        if done.code != 0:
            raise RuntimeError(f"{args}: {done}")
    if enable and member.ctl("auth", "enable").code != 0:
        raise RuntimeError("auth cannot be enabled")


def one(suite, flags=None):
    member = Member(suite, "m1")
    member.flags = dict({"bcrypt-cost": "4"}, **(flags or {}))
    return member.start()


# ---- the same to all: commands and calls ----

COMMANDS = [
    ["auth", "enable"], ["user", "add", ROOT], ["user", "add", ROOT], ["auth", "enable"], ["user", "add", ":x"],
    ["user", "get", "root"], ["user", "get", "nobody"], ["role", "add", "one"], ["role", "add", "one"],
    ["role", "add", ""], ["role", "get", "one"], ["role", "get", "none"], ["user", "grant-role", "nobody", "one"],
    ["user", "grant-role", "root", "none"], ["user", "add", "al:" + CANARY], ["user", "add", "np", "--no-password"],
    ["user", "grant-role", "al", "one"], ["user", "grant-role", "al", "one"],
    ["role", "grant-permission", "one", "readwrite", "k/", "k0"], ["role", "grant-permission", "one", "read", "r"],
    ["role", "grant-permission", "one", "write", "w"], ["role", "grant-permission", "one", "read", "w"],
    ["role", "grant-permission", "one", "read", "--prefix", "p"], ["role", "grant-permission", "one", "read",
                                                                    "--from-key", "x"],
    ["role", "grant-permission", "none", "read", "k"], ["role", "get", "one"],
    ["role", "revoke-permission", "one", "nokey"], ["role", "revoke-permission", "one", "--from-key", "x"],
    ["role", "get", "one"], ["role", "list"], ["user", "list"], ["user", "get", "al", "--detail"],
    ["put", "k/1", "v"], ["put", "r", "v"], ["put", "other", "v"],
    ["user", "grant-role", "root", "root"], ["role", "add", "root"], ["auth", "enable"], ["auth", "enable"],
    ["get", "k/1"], ["put", "k/1", "v"], ["user", "list"],
    ["--user", "al:wrong", "get", "k/1"], ["--user", "nobody:x", "get", "k/1"], ["--user", "np:x", "get", "k/1"],
    ["--user", "al:" + CANARY, "get", "k/1"], ["--user", "al:" + CANARY, "get", "k/", "k0"],
    ["--user", "al:" + CANARY, "get", "k/", "k1"], ["--user", "al:" + CANARY, "get", "--from-key", "k/"],
    ["--user", "al:" + CANARY, "get", "--prefix", "k/"], ["--user", "al:" + CANARY, "get", "--prefix", "p"],
    ["--user", "al:" + CANARY, "put", "k/2", "v"], ["--user", "al:" + CANARY, "put", "r", "v"],
    ["--user", "al:" + CANARY, "put", "w", "v"], ["--user", "al:" + CANARY, "put", "other", "v"],
    ["--user", "al:" + CANARY, "del", "k/2"], ["--user", "al:" + CANARY, "del", "r"],
    ["--user", "al:" + CANARY, "del", "--prefix", "k"], ["--user", "al:" + CANARY, "put", "--prev-kv", "k/1", "v2"],
    ["--user", "al:" + CANARY, "user", "get", "al"], ["--user", "al:" + CANARY, "user", "get", "root"],
    ["--user", "al:" + CANARY, "role", "get", "one"], ["--user", "al:" + CANARY, "role", "get", "root"],
    ["--user", "al:" + CANARY, "role", "add", "two"], ["--user", "al:" + CANARY, "user", "list"],
    ["--user", "al:" + CANARY, "auth", "disable"], ["--user", "al:" + CANARY, "compact", "2"],
    ["--user", "al:" + CANARY, "defrag"], ["--user", "al:" + CANARY, "endpoint", "hashkv"],
    ["--user", ROOT, "user", "delete", "root"], ["--user", ROOT, "user", "revoke-role", "root", "root"],
    ["--user", ROOT, "role", "delete", "root"], ["--user", ROOT, "user", "revoke-role", "al", "none"],
    ["--user", ROOT, "role", "get", "root"], ["--user", ROOT, "get", "k/1"], ["--user", ROOT, "put", "new", "v"],
    ["--user", ROOT, "role", "delete", "one"], ["--user", "al:" + CANARY, "get", "k/1"],
    ["--user", ROOT, "user", "get", "al"], ["--user", ROOT, "user", "delete", "al"],
    ["--user", "al:" + CANARY, "get", "k/1"], ["--user", ROOT, "user", "delete", "al"],
    ["--user", ROOT, "compact", "2"], ["--user", ROOT, "auth", "disable"], ["auth", "disable"], ["get", "k/1"],
    ["user", "delete", "root"], ["role", "delete", "root"], ["user", "list"], ["role", "list"],
]


def told(done):
    """What a person sees; the gRPC code where etcdctl tells it."""
    error = re.findall(r"^Error: +(.*)$", done.err, re.M)
    code = re.findall(r"code = (\w+) desc = ", done.err)
    return done.code, done.out, error[-1] if error else "", code[-1] if code else ""


def calls(member):
    """Calls that no command makes, as root, al, bo and nobody."""
    tokens = {"root": login(member, ROOT), "al": login(member, f"al:{CANARY}-al"),
              "bo": login(member, f"bo:{CANARY}-bo"), "nobody": None, "false": "abcdefghijklmnop.7"}
    lease = 7
    put = run("k/1", value="v")
    far = run("other", value="v")
    asked = [
        ("kv/range", run("k/1")), ("kv/range", open_end("k/1")), ("kv/range", run("k/1", serializable=True)),
        ("kv/range", {}), ("kv/put", {}), ("kv/put", put), ("kv/put", run("r", value="v")),
        ("kv/put", {**far, "prev_kv": True}),
        ("kv/deleterange", run("k/none", range_end="k/nonf")), ("kv/deleterange", open_end("k/none")),
        ("kv/txn", {"success": [{"requestPut": put}], "failure": [{"requestRange": run("other")}]}),
        ("kv/txn", {"compare": [{"key": b64("other"), "target": "VERSION", "version": "0"}],
                    "success": [{"requestPut": put}]}),
        ("kv/txn", {"compare": [{**run("k/1", range_end="k0"), "target": "VERSION", "version": "0"}],
                    "success": [{"requestRange": run("k/1")}]}),
        ("kv/txn", {"success": [{"requestRange": run("r")}]}), ("kv/txn", {"success": [{"requestRange": run("q")}]}),
        ("auth/user/get", {"name": "al"}), ("auth/user/get", {"name": "bo"}), ("auth/user/list", {}),
        ("auth/role/get", {"role": "rw"}), ("auth/role/get", {"role": "root"}), ("auth/role/list", {}),
        ("auth/user/add", {"name": "x", "password": "y" * 73}), ("auth/user/add", {"name": ""}),
        ("auth/role/grant", {"name": "rw"}), ("auth/role/grant", {"name": "rw", "perm": {"key": ""}}),
        ("auth/role/grant", {"name": "rw", "perm": {"key": b64("b"), "range_end": b64("a")}}),
        ("auth/role/revoke", {"role": "rw", "key": b64("none")}),
        ("auth/authenticate", {"name": "al", "password": "no"}), ("auth/authenticate", {"name": "", "password": ""}),
        ("kv/compaction", {"revision": "1"}), ("maintenance/snapshot", {}),
        ("cluster/member/remove", {"ID": "1"}), ("cluster/member/add", {"peerURLs": ["http://x:1"]}),
        ("cluster/member/promote", {"ID": "1"}),
    ]
    call(member, "lease/grant", {"ID": lease, "TTL": 600}, tokens["root"])
    call(member, "kv/put", run("other", value="v", lease=lease), tokens["root"])
    asked += [("kv/put", run("k/1", value="v", lease=lease)), ("lease/timetolive", {"ID": lease, "keys": True}),
              ("lease/revoke", {"ID": lease}), ("lease/revoke", {"ID": 99})]
    outcomes = []
    for path, body in asked:
        for who in ("nobody", "false", "bo", "al"):
            code, answer = call(member, path, body, tokens[who])
            outcomes.append((path, json.dumps(body), who, code, answer if code != 0 else "fine"))
    return outcomes


def the_same_as_etcd(suite):
    ours = one(suite)
    others = []
    for version, path in programs().items():
        if version not in ("3.4", "3.6"):
            continue
        other = kind_of(version, path)(suite, "e" + version.replace(".", ""))
        other.flags = {"bcrypt-cost": "4"}
        other.start(wait=False)
        other.wait_ready()
        others.append(other)
    for command in COMMANDS:
        want = told(ours.ctl(*command))
        for other in others:
            got = told(other.ctl(*command))
            if got != want and not (other.version == "3.4" and command[2:] == ["role", "get", "root"]):
                suite.check(f"{' '.join(command).replace(CANARY, '...')} as etcd {other.version}", False,
                            f"ours {want}, etcd {got}")
    suite.check(f"{len(COMMANDS)} commands as {len(others)} etcds", True)
    for member in [ours] + others:
        for name in ("al", "bo", "np", "root"):
            member.ctl("user", "delete", name)
        for name in ("rw", "one", "root"):
            member.ctl("role", "delete", name)
        setup_users(member)
    want = calls(ours)
    for other in others:
        got = calls(other)
        differ = [(a, b[3:]) for a, b in zip(want, got) if a != b and not differs_by_age(other.version, a, b)]
        suite.check(f"{len(want)} calls as etcd {other.version}", not differ, differ)


def differs_by_age(version, ours, theirs):
    """What the etcd at hand did not ask yet, or says in another form; ours must be the stricter one."""
    path, body, who = ours[:3]
    if path == "maintenance/snapshot":  # a stream: the gateway answers 200 and puts the error inside
        return True
    if path == "lease/revoke" and "99" in body and theirs[3] == 5:
        return ours[3] in (3, 16)  # who asks is looked at first since 2026
    if path == "kv/compaction" and theirs[3] == 11:
        return ours[3] in (3, 7, 16)  # root's since 2026
    if path == "auth/user/add" and "yyyy" in body:
        return ours[3] in (2, 3, 16)
    return version == "3.4" and (path.startswith("lease/") or path == "auth/authenticate" or "lease" in body)


# ---- what etcd asks since 2026 ----

def rights(suite):
    member = one(suite)
    setup_users(member)
    root, al, bo = (login(member, u) for u in (ROOT, f"al:{CANARY}-al", f"bo:{CANARY}-bo"))
    denied = (7, "etcdserver: permission denied")
    empty = (3, "etcdserver: user name is empty")

    def nested(op, depth=3):
        txn = {"success": [op]}
        for _ in range(depth):
            txn = {"success": [], "failure": [{"requestTxn": txn}]}
        return txn
    suite.equal("a put three transactions down needs its right",
                call(member, "kv/txn", nested({"requestPut": run("other", value="v")}), al), denied)
    suite.equal("a read in the branch that is not taken needs its right",
                call(member, "kv/txn", nested({"requestRange": run("other")}), al), denied)
    suite.equal("a comparison of another's key needs its right", call(member, "kv/txn", {
        "compare": [{"key": b64("other"), "target": "VALUE", "value": b64("x")}], "success": []}, al), denied)
    suite.equal("what is allowed is allowed three transactions down", call(
        member, "kv/txn", nested({"requestPut": run("k/5", value="v")}), al)[0], 0)
    member.ctl("--user", ROOT, "role", "grant-permission", "rw", "write", "w/", "w0")
    al = login(member, f"al:{CANARY}-al")
    suite.equal("a put of what may only be written is fine", call(member, "kv/put", run("w/1", value="v"), al)[0], 0)
    for path, op, body in (("kv/put", "requestPut", run("w/1", value="v")),
                           ("kv/deleterange", "requestDeleteRange", run("w/1"))):
        body["prev_kv"] = True
        suite.equal(f"prev_kv of {path} reads", call(member, path, body, al), denied)
        suite.equal(f"prev_kv of {path} in a transaction reads",
                    call(member, "kv/txn", nested({op: body}, 1), al), denied)
    call(member, "lease/grant", {"ID": 5, "TTL": 600}, root)
    call(member, "kv/put", run("other", value="v", lease=5), root)
    suite.equal("a lease of keys that may not be written takes no more keys",
                call(member, "kv/put", run("k/1", value="v", lease=5), al), denied)
    suite.equal("nor in a transaction",
                call(member, "kv/txn", nested({"requestPut": run("k/1", value="v", lease=5)}, 1), al), denied)
    suite.equal("nor is it revoked", call(member, "lease/revoke", {"ID": 5}, al), denied)
    suite.equal("its keys are not told", call(member, "lease/timetolive", {"ID": 5, "keys": True}, al), denied)
    suite.equal("its time is", call(member, "lease/timetolive", {"ID": 5}, al)[0], 0)
    suite.equal("all leases are not told to who may not read their keys", call(member, "lease/leases", {}, al), denied)
    suite.equal("nor is it kept alive", call(member, "lease/keepalive", {"ID": 5}, al)[0] != 0, True)
    for path, body in (("lease/grant", {"TTL": 60}), ("lease/revoke", {"ID": 5}), ("lease/timetolive", {"ID": 5}),
                       ("lease/leases", {}), ("cluster/member/list", {}), ("maintenance/status", {}),
                       ("maintenance/alarm", {"action": "GET"})):
        suite.equal(f"{path} is not for nobody", call(member, path, body), empty)
        if path not in ("lease/revoke", "lease/leases"):
            suite.equal(f"{path} is for everybody with an account", call(member, path, body, bo)[0], 0)
    for path, body in (("maintenance/alarm", {"action": "ACTIVATE", "memberID": "1", "alarm": "NOSPACE"}),
                       ("maintenance/defragment", {}), ("maintenance/transfer-leadership", {"targetID": "1"}),
                       ("kv/compaction", {"revision": "1"}), ("cluster/member/add", {"peerURLs": ["http://x:1"]}),
                       ("cluster/member/update", {"ID": "1", "peerURLs": ["http://x:1"]}), ("auth/status", {})):
        suite.equal(f"{path} is for root", call(member, path, body, al), denied)
    suite.equal("locks need the rights of their keys", call(member, "lock/lock", {"name": b64("other")}, al),
                (2, denied[1]))
    suite.equal("and are had with them", call(member, "lock/lock", {"name": b64("k/lock")}, al)[0], 0)
    suite.equal("a lock is not for nobody", call(member, "lock/lock", {"name": b64("k/lock2")})[0] != 0, True)


def watches(suite):
    member = one(suite)
    setup_users(member)
    user = ["--user", f"al:{CANARY}-al"]
    for name, args in (("of another's key", ["other"]), ("of more than a run", ["k/", "k1"]), ("of everything", ["--prefix", ""])):
        watcher = Watcher(suite, [member.client], *user, *args)
        suite.check(f"a watch {name} is denied", watcher.wait("permission denied"), watcher.text())
        watcher.stop()
    for name, create in (("of all that follow a key", open_end("k/")), ("of all keys", open_end("")),
                         ("of one key in words for all", {"key": "", "range_end": ""})):
        said = first_line(member, "watch", {"create_request": create}, login(member, user[1]))
        suite.contains(f"a watch {name} is denied", said, "code = PermissionDenied desc = etcdserver: permission denied")
    suite.contains("a watch with a false token is denied", first_line(
        member, "watch", {"create_request": run("k/1")}, "abcdefghijklmnop.7"), "etcdserver: invalid auth token")
    nobody = Watcher(suite, [member.client], "k/1")
    suite.check("a watch without a token is denied", nobody.wait("user name is empty"), nobody.text())
    nobody.stop()
    watcher = Watcher(suite, [member.client], *user, "k/", "k0")
    time.sleep(0.5)
    member.ctl("--user", ROOT, "put", "k/1", "first")
    suite.check("a watch of one's own run is told", watcher.wait("first"), watcher.text())
    member.ctl("--user", ROOT, "role", "revoke-permission", "rw", "k/", "k0")
    suite.contains("what was taken away is denied", member.ctl(*user, "get", "k/1").err, "permission denied")
    member.ctl("--user", ROOT, "put", "k/1", "second")
    suite.check("a watch that was allowed goes on, as in etcd", watcher.wait("second"), watcher.text())
    watcher.stop()
    token = login(member, f"al:{CANARY}-al")
    member.ctl("--user", ROOT, "user", "delete", "al")
    suite.equal("a deleted user's token is worth nothing", call(member, "kv/range", run("r"), token),
                (16, "etcdserver: invalid auth token"))


def three_members(suite):
    cluster = Cluster(suite, flags={"bcrypt-cost": "4", "snapshot-count": "40", "snapshot-catchup-entries": "5"})
    members = cluster.members
    for member in members:
        member.start(wait=False)
    for member in members:
        member.wait_ready()
    setup_users(members[0])
    user = f"al:{CANARY}-al"
    for member in members:
        token = login(member, user)
        for other in members:
            suite.equal(f"a token of {member.name} is good at {other.name} at once",
                        call(other, "kv/range", run("k/1"), token)[0], 0)
    token = login(members[0], user)
    tokens_of_root = {m.name: login(m, ROOT) for m in members}
    leader = leader_of_auth(members)
    others = [m for m in members if m is not leader]
    target = call(others[0], "maintenance/status", {}, tokens_of_root[others[0].name])[1]["header"]["member_id"]
    suite.equal("root moves the leader", leader.ctl("--user", ROOT, "move-leader", format(int(target), "x")).code, 0)
    suite.check("tokens live through a change of leaders", wait_for(
        lambda: all(call(m, "kv/range", run("k/1"), token)[0] == 0 for m in members)))
    members[2].stop()
    members[0].ctl("--user", ROOT, "role", "grant-permission", "rw", "readwrite", "later")
    root = login(members[0], ROOT)
    for number in range(120):
        call(members[0], "kv/put", run("many", value=str(number)), root)
    members[2].start()
    suite.check("a member that was away comes back by a snapshot", members[2].wait_log("applied snapshot"))
    suite.equal("a member that was away knows the roles", members[2].ctl("--user", user, "put", "later", "v").code, 0)
    suite.check("the token of before is known or refused, never another's", call(
        members[2], "kv/range", run("k/1"), token)[0] in (0, 16))
    for member in members:
        member.kill()
    for member in members:
        member.start(wait=False)
    for member in members:
        member.wait_ready()
    suite.contains("auth stays on over a restart of all", members[1].ctl("get", "k/1").err, "user name is empty")
    suite.equal("so do users and roles", members[1].ctl("--user", user, "put", "k/1", "v").code, 0)
    change_password(suite, members, user)
    # A lease that ends is revoked by the leader itself, whatever it is attached to.
    root = login(members[0], ROOT)
    call(members[0], "lease/grant", {"ID": 9, "TTL": 2}, root)
    call(members[0], "kv/put", run("short", value="v", lease=9), root)
    suite.check("a lease ends though nobody shows a token for it", wait_for(
        lambda: call(members[1], "kv/range", run("short"), login(members[1], ROOT))[1].get("count") is None, 15, 0.5))
    suite.equal("auth is switched off by root", members[2].ctl("--user", ROOT, "auth", "disable").code, 0)
    suite.check("then everything is allowed on all", wait_for(
        lambda: all(call(m, "kv/range", run("other"))[0] == 0 for m in members)))


def change_password(suite, members, user):
    token = login(members[0], user)
    name = user.split(":")[0]
    done = call(members[1], "auth/user/changepw", {"name": name, "password": CANARY + "-new"},
                login(members[1], ROOT))
    suite.equal("root changes a password", done[0], 0)
    suite.equal("tokens from before it are worth nothing", call(members[1], "kv/range", run("k/1"), token)[0], 16)
    suite.equal("nor is the old password", login(members[2], user), None)
    suite.check("the new one is", login(members[2], f"{name}:{CANARY}-new"))


def leader_of_auth(members):
    def found():
        for member in members:
            status = call(member, "maintenance/status", {}, login(member, ROOT))[1]
            if status.get("leader") == status["header"]["member_id"]:
                return member
        return None
    return wait_for(found, 15, 0.2)


def snapshots(suite):
    """A member that comes to the cluster by a snapshot, and a restored one, have the users."""
    member = one(suite, {"snapshot-count": "50", "snapshot-catchup-entries": "5"})
    setup_users(member)
    path = os.path.join(suite.dir, "users.db")
    suite.equal("root saves a snapshot", member.ctl("--user", ROOT, "snapshot", "save", path).code, 0)
    suite.check("al does not", member.ctl("--user", f"al:{CANARY}-al", "snapshot", "save", path + "2").code > 0)
    restored = Member(suite, "m1", data_dir=os.path.join(suite.dir, "restored"))
    done = quorate.ctl([], "snapshot", "restore", path, "--name", "m1", "--data-dir", restored.data,
                       "--initial-cluster", f"m1={restored.peer}", "--initial-advertise-peer-urls", restored.peer)
    suite.equal("etcdctl restores it", done.code, 0)
    restored.initial_cluster = f"m1={restored.peer}"
    restored.start(wait=False)
    has_users(suite, "ours has our users", restored)
    path34 = programs().get("3.4")
    if not path34:
        suite.skip("snapshots of users with etcd", "etcd 3.4 is not here")
        return
    kind = kind_of("3.4", path34)
    theirs = restored_from(path, kind(suite, "e1"))
    has_users(suite, "etcd has our users", theirs)
    path = os.path.join(suite.dir, "theirs.db")
    suite.equal("etcd's users are saved", theirs.ctl("--user", ROOT, "snapshot", "save", path).code, 0)
    has_users(suite, "ours has etcd's users", restored_from(path, Member(suite, "m2")))


def restored_from(path, member):
    quorate.ctl([], "snapshot", "restore", path, "--name", member.name, "--data-dir", member.data,
                "--initial-cluster", f"{member.name}={member.peer}", "--initial-advertise-peer-urls", member.peer)
    member.initial_cluster = f"{member.name}={member.peer}"
    member.start(wait=False)
    return member


def has_users(suite, what, member):
    member.wait_ready()
    suite.equal(f"{what}: al writes", member.ctl("--user", f"al:{CANARY}-al", "put", "k/1", "v").code, 0)
    suite.contains(f"{what}: bo does not", member.ctl("--user", f"bo:{CANARY}-bo", "put", "k/1", "v").err,
                   "permission denied")
    suite.contains(f"{what}: auth is on", member.ctl("get", "k/1").err, "user name is empty")


# ---- with members of etcd ----

def mixed(suite):
    for version, path in programs().items():
        if version not in ("3.4", "3.6"):
            continue
        for enabled_by_ours in (True, False):
            mixed_cluster(suite, version, path, enabled_by_ours)
            suite.stop_all()


def mixed_cluster(suite, version, path, enabled_by_ours):
    kind = kind_of(version, path)
    ours = Member(suite, "ours")
    ours.flags = {"bcrypt-cost": "4"}
    theirs = [kind(suite, "e1"), kind(suite, "e2")]
    members = [ours] + theirs
    for member in members:
        member.initial_cluster = ",".join(f"{m.name}={m.peer}" for m in members)
        if member is not ours:
            member.flags = {"bcrypt-cost": "4"}
        member.start(wait=False)
    for member in members:
        member.wait_ready(30)
    who = "ours" if enabled_by_ours else "etcd's"
    tag = f"with etcd {version}, enabled by {who}"
    first = ours if enabled_by_ours else theirs[0]
    setup_users(first)
    user = f"al:{CANARY}-al"
    for member in members:
        ok = wait_for(lambda: member.ctl("--user", user, "put", f"k/{member.name}", "v").code == 0, 10, 0.3)
        suite.check(f"{tag}: al writes at {member.name}", ok, member.ctl("--user", user, "put", "k/1", "v"))
        suite.contains(f"{tag}: al's limits at {member.name}", member.ctl("--user", user, "put", "other", "v").err,
                       "permission denied")
        suite.contains(f"{tag}: wrong password at {member.name}",
                       member.ctl("--user", "al:wrong", "put", "k/1", "v").err, "authentication failed")
    token = login(ours, user)
    suite.equal(f"{tag}: a token of ours is good at etcd's", call(theirs[0], "kv/range", run("k/1"), token)[0], 0)
    token = login(theirs[1], user)
    suite.equal(f"{tag}: a token of etcd's is good at ours", call(ours, "kv/range", run("k/1"), token)[0], 0)
    other = theirs[0] if enabled_by_ours else ours
    other.ctl("--user", ROOT, "role", "grant-permission", "rw", "readwrite", "added")
    for member in members:
        suite.check(f"{tag}: what {other.name} grants counts at {member.name}", wait_for(
            lambda: member.ctl("--user", user, "put", "added", "v").code == 0, 5, 0.3))
    for member in members:
        changed = member.ctl("--user", ROOT, "user", "add", f"new-{member.name}:{CANARY}-x")
        suite.equal(f"{tag}: {member.name} adds a user", changed.code, 0)
        for where in members:
            suite.check(f"{tag}: it logs in at {where.name}", wait_for(
                lambda: login(where, f"new-{member.name}:{CANARY}-x"), 5, 0.3))
            suite.equal(f"{tag}: and not without its password at {where.name}",
                        login(where, f"new-{member.name}:"), None)
    suite.equal(f"{tag}: auth is switched off", other.ctl("--user", ROOT, "auth", "disable").code, 0)
    wait_for(lambda: all(m.ctl("get", "k/1").code == 0 for m in members))
    agree(suite, f"{tag}: all hold the same", members)
    lists = [(m.ctl("user", "list").out, m.ctl("role", "get", "rw").out, m.ctl("user", "get", "al").out)
             for m in members]
    suite.check(f"{tag}: all tell the same users and roles", lists[0] == lists[1] == lists[2], lists)


# ---- tokens ----

def jwt(suite):
    folder = suite.folder("keys")

    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)
    openssl("genrsa", "-out", "rsa.pem", "2048")
    openssl("rsa", "-in", "rsa.pem", "-pubout", "-out", "rsa.pub")
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "ec.pem")
    openssl("genpkey", "-algorithm", "ed25519", "-out", "ed.pem")
    with open(os.path.join(folder, "secret"), "w", encoding="ascii") as file:
        file.write(CANARY + "-secret")
    for method, key in (("RS256", "rsa"), ("PS384", "rsa"), ("ES256", "ec"), ("EdDSA", "ed"), ("HS256", "secret")):
        path = os.path.join(folder, key if key == "secret" else key + ".pem")
        member = one(suite, {"auth-token": f"jwt,priv-key={path},sign-method={method},ttl=5s"})
        setup_users(member)
        token = login(member, f"al:{CANARY}-al")
        suite.equal(f"{method}: a token has three parts", len((token or "").split(".")), 3)
        suite.equal(f"{method}: a token is good", call(member, "kv/range", run("k/1"), token)[0], 0)
        suite.equal(f"{method}: so it is with Bearer", call(member, "kv/range", run("k/1"), "Bearer " + token)[0], 0)
        head, claims, signature = token.split(".")
        other = "A" if claims[8] != "A" else "B"
        for name, bad in (("claims", f"{head}.{claims[:8]}{other}{claims[9:]}.{signature}"),
                          ("signature", f"{head}.{claims}.{signature[:-3]}{'AAA' if signature[-3:] != 'AAA' else 'BBB'}"),
                          ("no signature", f"{head}.{claims}."),
                          ("no method", base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=") +
                           f".{claims}.")):
            suite.equal(f"{method}: {name} that were changed are refused", call(member, "kv/range", run("k/1"), bad),
                        (16, "etcdserver: invalid auth token"))
        member.ctl("--user", ROOT, "role", "grant-permission", "rw", "read", "z")
        suite.equal(f"{method}: a token from before a change asks to log in again",
                    call(member, "kv/range", run("k/1"), token), (3, "etcdserver: revision of auth store is old"))
        member.kill()
    member = one(suite, {"auth-token": f"jwt,priv-key={folder}/rsa.pem,pub-key={folder}/rsa.pub,sign-method=RS256,"
                                       "ttl=1s"})
    setup_users(member)
    token = login(member, f"al:{CANARY}-al")
    suite.check("a signed token's time ends", wait_for(
        lambda: call(member, "kv/range", run("k/1"), token)[0] == 16, 5, 0.3))
    member.kill()
    checks_only = Member(suite, "m1", data_dir=member.data)
    checks_only.initial_cluster = f"m1={checks_only.peer}"
    checks_only.flags = {"auth-token": f"jwt,pub-key={folder}/rsa.pub,sign-method=RS256"}
    checks_only.start()
    suite.equal("without the private key nobody logs in", call(
        checks_only, "auth/authenticate", {"name": "al", "password": CANARY + "-al"}),
        (2, "auth: token signing attempted with verify-only key"))


def certificates(suite):
    """With --client-cert-auth the name in a certificate is the user, for gRPC alone (CVE-2018-16886)."""
    folder = suite.folder("tls")

    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ca", "-keyout", "ca.key",
            "-out", "ca.pem")
    for name in ("al", "bo", "root", "server"):
        with open(os.path.join(folder, "ext"), "w", encoding="ascii") as file:
            file.write("subjectAltName=IP:127.0.0.1\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}" if name != "server" else "/O=server",
                "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days",
                "2", "-extfile", "ext", "-out", f"{name}.pem")

    def as_user(name, *args):
        return member.ctl(f"--cacert={folder}/ca.pem", f"--cert={folder}/{name}.pem", f"--key={folder}/{name}.key",
                          *args)
    member = Member(suite, "m1")
    member.client = member.client.replace("http:", "https:")
    member.flags = {"bcrypt-cost": "4", "cert-file": f"{folder}/server.pem", "key-file": f"{folder}/server.key",
                    "trusted-ca-file": f"{folder}/ca.pem", "client-cert-auth": "true"}
    member.start(wait=False)
    suite.check("the member serves clients with certificates",
                wait_for(lambda: as_user("al", "get", "x").code == 0, 20))
    for args in (["user", "add", ROOT], ["user", "add", "al", "--no-password"], ["user", "add", "bo", "--no-password"],
                 ["role", "add", "rw"], ["role", "grant-permission", "rw", "readwrite", "k/", "k0"],
                 ["user", "grant-role", "al", "rw"], ["user", "grant-role", "root", "root"], ["auth", "enable"]):
        suite.equal(f"{args[0]} {args[1]}", as_user("al", *args).code, 0)
    suite.equal("al's certificate is al", as_user("al", "put", "k/1", "v").code, 0)
    suite.contains("and no more than al", as_user("al", "put", "other", "v").err, "permission denied")
    suite.contains("bo's is bo", as_user("bo", "get", "k/1").err, "permission denied")
    suite.equal("root's is root", as_user("root", "user", "list").code, 0)
    suite.contains("a certificate without a name is nobody", as_user("server", "get", "k/1").err, "permission denied")
    suite.equal("a token goes before a certificate", as_user("bo", "--user", ROOT, "get", "k/1").code, 0)
    asked = subprocess.run(
        ["curl", "-s", "--cacert", f"{folder}/ca.pem", "--cert", f"{folder}/root.pem", "--key", f"{folder}/root.key",
         f"{member.client}/v3/kv/range", "-d", json.dumps(run("k/1"))], capture_output=True, text=True, check=False)
    suite.check("the gateway takes no user from a certificate", '"kvs"' not in asked.stdout and asked.stdout != "",
                asked.stdout + asked.stderr)


def tokens(suite):
    member = one(suite, {"auth-token-ttl": "2"})
    setup_users(member)
    token = login(member, f"al:{CANARY}-al")
    end = time.time() + 4 * quorate.SLOW
    good = []
    while time.time() < end:
        good.append(call(member, "kv/range", run("k/1"), token)[0])
        time.sleep(0.3)
    suite.check("a token that is used lives on", set(good) == {0}, good)
    suite.check("one that is not used ends", wait_for(
        lambda: time.sleep(3 * quorate.SLOW) or call(member, "kv/range", run("k/1"), token)[0] == 16, 12))
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(login(member, f"al:{CANARY}-al"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    suite.equal("twenty log in at a time, and none has another's token", len(set(answers) - {None}), 20)
    began = time.time()
    suite.equal("a token of an entry that is not there is refused in the end",
                call(member, "kv/range", run("k/1"), "abcdefghijklmnop.99999999")[0] != 0, True)
    suite.check("and not before its time", time.time() - began > 3, time.time() - began)
    member.kill()
    for flag, text in (("jwt", "auth: invalid auth options"), ("what", "auth: invalid auth options"),
                       ("jwt,sign-method=RS256", "auth: missing key data"),
                       ("jwt,sign-method=none", "auth: invalid auth options"),
                       ("jwt,priv-key=/none,sign-method=RS256", "/none"), ("jwt,x", "auth: invalid auth options")):
        wrong = Member(suite, "wrong")
        wrong.flags = {"auth-token": flag}
        wrong.start(wait=False)
        suite.check(f"--auth-token {flag} is refused", wrong.wait_exit() not in (0, None), wrong.log()[-300:])
        suite.contains(f"--auth-token {flag} says why", wrong.log(), text)


def secrets(suite):
    """Nothing of all the parts has left a password or a token where somebody may read it."""
    member = one(suite, {"log-level": "debug"})
    setup_users(member)
    token = login(member, f"al:{CANARY}-al")
    call(member, "kv/range", run("k/1"), token + "x")
    call(member, "auth/user/changepw", {"name": "al", "password": CANARY + "-2"}, login(member, ROOT))
    login(member, f"al:{CANARY}-wrong")
    member.stop()
    found = []
    for folder, _, files in os.walk(member.data):
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                if CANARY.encode() in file.read():
                    found.append(name)
    suite.equal("no file of a member holds a password", found, [])
    logs = [os.path.join(suite.dir, name) for name in os.listdir(suite.dir) if name.endswith(".log")]
    leaks = []
    for path in logs:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        if '"caller":"server/' not in text:
            continue  # etcd's own
        leaks += [path for word in [CANARY] + SEEN_TOKENS if word in text]
    suite.equal(f"no log of {len(logs)} holds a password or a token", leaks, [])


if __name__ == "__main__":
    sys.exit(Suite("auth").run([the_same_as_etcd, rights, watches, three_members, snapshots, mixed, jwt, certificates,
                                tokens, secrets]))
