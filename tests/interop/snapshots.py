#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Snapshot files, every way round: saved from Quorate and from etcd 3.4 and 3.6, told of by etcdctl, etcdutl and
quoratectl alike, restored by etcdutl and quoratectl, served by Quorate and by etcd 3.4, 3.5 and 3.6: the same keys,
revisions, leases, users, roles and alarms. And what happens with files that are damaged.

The parts can be named as arguments. Loopback only, ports 21600 to 21799. What is not on this machine is left out: the
rest of Debian's tools and of Go's is used as far as it is there."""
import concurrent.futures
import gzip
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tarfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tests", "e2e", "lib")]
import quorate  # noqa: E402
from etcds import BUILD, Etcd, programs  # noqa: E402
from quorate import Member, Suite, b64, wait_for  # noqa: E402

quorate.PORT_FIRST, quorate.PORT_LAST = 21600, 21799
quorate._next_port = quorate.PORT_FIRST + (os.getpid() * 37) % (quorate.PORT_LAST - quorate.PORT_FIRST)
QUORATECTL = os.path.join(quorate.BIN, "quoratectl")
VECTORS = os.path.join(ROOT, "..", "shared", "vectors")
USER = "root:rootpw"
PAGE = 4096
AT_ONCE = 4  # members that mostly wait for their disk


def tool(name):
    """etcdctl or etcdutl of 3.6, built where there is Go; None: it is not here."""
    if shutil.which("go"):
        subprocess.run([BUILD, name], stdin=subprocess.DEVNULL, timeout=1200, check=False,
                       env={**os.environ, "QUIET": "yes"})
    where = subprocess.run([BUILD, "--where"], capture_output=True, text=True, check=True).stdout.strip()
    path = os.path.join(where, name)
    return path if os.path.exists(path) else None


ETCDS = {version: type("Etcd" + version.replace(".", ""), (Etcd,), {"program": path})
         for version, path in programs().items()}
ETCDUTL = tool("etcdutl")
ETCDCTL_34 = quorate.ETCDCTL if "3.4" in ETCDS else None
KINDS = {"Quorate": Member, **{f"etcd {version}": kind for version, kind in ETCDS.items()}}
SOURCES = [name for name in ("Quorate", "etcd 3.4", "etcd 3.6") if name in KINDS]


def run(program, *args, env=None, stdin=None):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("ETCD_", "ETCDCTL_"))}
    done = subprocess.run([program, *args], capture_output=True, text=True, timeout=60 * quorate.SLOW, check=False,
                          input=stdin, env={**clean, **(env or {})})
    return quorate.Result(done.returncode, done.stdout, done.stderr)


def ours(*args, **kwargs):
    return run(QUORATECTL, *args, **kwargs)


# ---- a member by its gateway ----

class Api:
    """JSON calls to a member, as a user when there is one."""

    def __init__(self, member, user=None):
        self.member, self.headers = member, {}
        if user:
            name, password = user.split(":")
            self.headers["Authorization"] = self.call("auth/authenticate", name=name, password=password)["token"]

    def call(self, path, **body):
        status, text = quorate.http("POST", f"{self.member.client}/v3/{path}", json.dumps(body), self.headers, timeout=40)
        if status != 200:
            raise RuntimeError(f"{path}: {status} {text[:300]}")
        return json.loads(text)

    def put(self, key, value, lease=0):
        return self.call("kv/put", key=b64(key), value=b64(value), lease=str(lease))

    def txn(self, *operations):
        return self.call("kv/txn", success=list(operations))


def put(key, value):
    return {"request_put": {"key": b64(key), "value": b64(value)}}


def remove(key):
    return {"request_delete_range": {"key": b64(key)}}


def fill(member):
    """Keys with histories, a compaction, leases, an alarm, users and roles; auth is on afterwards."""
    api = Api(member)
    for batch in range(20):
        api.txn(*[put(f"/registry/pods/p{batch:02}-{i:02}", f"{batch}-{i} " + "x" * (i * 7)) for i in range(60)])
    for batch in range(0, 20, 2):
        api.txn(*[put(f"/registry/pods/p{batch:02}-{i:02}", f"changed {i}") for i in range(0, 60, 3)],
                *[remove(f"/registry/pods/p{batch:02}-{i:02}") for i in range(1, 60, 5) if i % 3])
    api.put("/big", "B" * 300_000)
    api.put("/empty", "")
    revision = int(api.put("/registry/pods/p00-01", "again")["header"]["revision"])
    api.call("kv/compaction", revision=str(revision - 6))
    for ttl in (86_400, 172_800):
        lease = api.call("lease/grant", TTL=str(ttl))["ID"]
        for i in range(3):
            api.put(f"/leased/{ttl}/{i}", str(i), lease)
    api.call("kv/deleterange", key=b64("/registry/pods/p19"), range_end=b64("/registry/pods/p20"))
    api.call("auth/role/add", name="reader")
    api.call("auth/role/grant", name="reader",
             perm={"permType": "READ", "key": b64("/registry/"), "range_end": b64("/registry0")})
    api.call("auth/role/add", name="root")
    for name, password, role in (("root", "rootpw", "root"), ("alice", "alicepw", "reader")):
        api.call("auth/user/add", name=name, password=password)
        api.call("auth/user/grant", user=name, role=role)
    identity = api.call("maintenance/status")["header"]["member_id"]
    api.call("maintenance/alarm", action="ACTIVATE", memberID=identity, alarm="NOSPACE")
    api.call("auth/enable")


def root_of(member):
    """Calls as root; one token per start of the member, for each costs its server a tenth of a second."""
    if getattr(member, "root", None) is None or member.root[0] is not member.process:
        member.root = (member.process, Api(member, USER))
    return member.root[1]


def answers(member):
    return root_of(member).call("kv/range", key="AA==")


def start(member):
    """Ready is who answers: with an alarm, /health does not say so."""
    member.start(wait=False)
    if not wait_for(lambda: not member.is_running() or answers(member), 40) or not member.is_running():
        raise RuntimeError(f"{member.name} does not serve (exit {member.process.poll()}): {member.log()[-1200:]}")
    return member


def state_of(member):
    """All that a snapshot must carry, as clients see it."""
    api = root_of(member)
    answer = api.call("kv/range", key="AA==", range_end="AA==")
    leases = {}
    for lease in api.call("lease/leases").get("leases", []):
        told = api.call("lease/timetolive", ID=lease["ID"], keys=True)
        leases[lease["ID"]] = (told["grantedTTL"], sorted(told.get("keys", [])))
    users = {name: api.call("auth/user/get", name=name).get("roles")
             for name in api.call("auth/user/list")["users"]}
    roles = {name: api.call("auth/role/get", role=name).get("perm") if name != "root" else "all"
             for name in api.call("auth/role/list")["roles"]}  # newer servers spell out what root may
    revision = answer["header"]["revision"]
    return {"revision": revision, "keys": answer["kvs"], "leases": leases, "users": users, "roles": roles,
            "alarms": api.call("maintenance/alarm", action="GET").get("alarms"),
            "refused without a user": quorate.http("POST", member.client + "/v3/kv/range", '{"key":"AA=="}')[0] != 200,
            "hash": hash_at(member, revision)}


def hash_at(member, revision, user=USER):
    """Of a machine that has much to do, asked until it answers."""
    def ask():
        said = run(quorate.ETCDCTL, f"--endpoints={member.client}", *([f"--user={user}"] if user else []),
                   "--command-timeout=30s", "--dial-timeout=10s", "endpoint", "hashkv", f"--rev={revision}", "-w", "json",
                   env={"ETCDCTL_API": "3"})
        answer = said.json()[0]["HashKV"]
        return answer["hash"], answer["compact_revision"]
    return wait_for(ask, 60, 0.5)


def short(state):
    return {k: v if k != "keys" else f"{len(v)} keys, {hashlib.sha256(json.dumps(v).encode()).hexdigest()[:8]}"
            for k, v in state.items()}


def equal_states(suite, behaviour, got, want):
    suite.check(behaviour, got == want, f"got {short(got)}, want {short(want)}")


# ---- restoring ----

def restore_flags(member, **more):
    flags = {"name": member.name, "data-dir": member.data, "initial-cluster": member.initial_cluster,
             "initial-advertise-peer-urls": member.peer, **more}
    return [f"--{key}={value}" if value is not True else f"--{key}" for key, value in flags.items()]


def restored(suite, tool_name, path, kind, name, has_users=True, **flags):
    """A member of that kind, running on what that tool made of the file."""
    member = KINDS[kind](suite, name, data_dir=os.path.join(suite.dir, f"{name}-{quorate.free_port()}"))
    program = {"quoratectl": QUORATECTL, "etcdutl": ETCDUTL, "etcdctl 3.4": ETCDCTL_34}[tool_name]
    done = run(program, "snapshot", "restore", path, *restore_flags(member, **flags), env={"ETCDCTL_API": "3"})
    if done.code != 0:
        raise RuntimeError(f"{tool_name} snapshot restore: {done}")
    if "wal-dir" in flags:
        member.flags["wal-dir"] = flags["wal-dir"]
    return start(member) if has_users else member.start()


def stop(suite, member):
    """At once: the state is known, the folder is not needed any more."""
    if member.is_running():
        member.kill()
    for line in member.sanitizer_reports():
        suite.check(f"no sanitizer report of {member.name}", False, line)
    suite.members.remove(member)
    shutil.rmtree(member.data, ignore_errors=True)


def servers_of(tool_name):
    """etcdutl 3.6 keeps the cluster version of its snapshot, which older servers refuse."""
    return [kind for kind in KINDS if tool_name == "quoratectl" or kind in ("Quorate", "etcd 3.6")]


# ---- the matrix ----

def sources(suite):
    """Kind -> path and state; made once."""
    if hasattr(suite, "sources"):
        return suite.sources
    suite.sources = {}
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for kind, path, want, saved, both in pool.map(lambda kind: one_source(suite, kind), SOURCES):
            suite.check(f"quoratectl saves a snapshot of {kind}", saved.code == 0 and
                        saved.out.startswith(f"Snapshot saved at {path}\n") and os.path.getsize(path) % 512 == 32 and
                        not os.path.exists(path + ".part"), saved)
            suite.equal(f"with the keys that etcdctl saves from {kind} (the log has gone on: tokens are entries)",
                        *[[told[k] for k in ("revision", "totalKey", "version")] for told in both])
            suite.sources[kind] = (path, want)
    return suite.sources


def one_source(suite, kind):
    member = KINDS[kind](suite, "source").start()
    fill(member)
    want = state_of(member)
    path = os.path.join(suite.dir, f"from-{kind.replace(' ', '-')}.db")
    saved = ours("snapshot", "save", path, f"--endpoints={member.client}", f"--user={USER}")
    run(quorate.ETCDCTL, f"--endpoints={member.client}", f"--user={USER}", "snapshot", "save", path + ".etcdctl",
        env={"ETCDCTL_API": "3"})
    both = [ours("snapshot", "status", file, "-w", "json").json() for file in (path, path + ".etcdctl")]
    stop(suite, member)
    return kind, path, want, saved, both


def statuses(suite):
    """The three tools tell the same of the same file."""
    for kind, (path, want) in sources(suite).items():
        said = ours("snapshot", "status", path, "-w", "json").json()
        suite.equal(f"status of a snapshot of {kind}: revision and keys",
                    [said["revision"], said["totalKey"]], [int(want["revision"]), len(want["keys"])])
        for form in ("simple", "json", "fields", "table") if ETCDUTL else ():
            suite.equal(f"the same as etcdutl 3.6 prints, as {form}", ours("snapshot", "status", path, "-w", form).out,
                        run(ETCDUTL, "snapshot", "status", path, "-w", form).out)
        if ETCDCTL_34:
            old = run(ETCDCTL_34, "snapshot", "status", path, "-w", "json", env={"ETCDCTL_API": "3"}).json()
            suite.equal("the same hash, revision and size as etcdctl 3.4 tells (it counts revisions, not keys)",
                        [old["hash"], old["revision"], old["totalSize"]],
                        [said["hash"], said["revision"], said["totalSize"]])
        verdict = ours("snapshot", "verify", path)
        suite.check("and quoratectl finds nothing wrong with it", verdict.code == 0, verdict)


def one_restore(suite, kind, tool_name, server):
    """Verdicts: behaviour, got, want."""
    path, want = suite.sources[kind]
    member = restored(suite, tool_name, path, server, "r")
    state = state_of(member)
    api = root_of(member)
    api.call("maintenance/alarm", action="DEACTIVATE", memberID=want["alarms"][0]["memberID"], alarm="NOSPACE")
    after = [int(api.put("/new", "1")["header"]["revision"]),
             [m["name"] for m in api.call("cluster/member/list")["members"]]]
    verdicts = []
    if server == "Quorate" and (kind == "Quorate" or tool_name == "etcdctl 3.4"):
        verdicts = restarted(member)
    stop(suite, member)
    return verdicts + [(f"from {kind}, restored by {tool_name}, served by {server}: all is as it was", short(state), short(want)),
            ("and it goes on from there, alone in its cluster", after, [int(want["revision"]) + 1, ["r"]])]


def restarted(member):
    """The second start goes by what the first one has kept."""
    before = state_of(member)
    member.stop()
    after = state_of(start(member))
    put_at = int(root_of(member).put("/again", "1")["header"]["revision"])
    return [("a second start finds all of it", short(after), short(before)),
            ("and takes writes", put_at, int(before["revision"]) + 1)]


def taken_over(suite):
    """A folder that was restored, ran under etcd, and is then started by Quorate, twice."""
    for tool_name, server in [("quoratectl", "etcd 3.4")] + ([("etcdutl", "etcd 3.6")] if ETCDUTL else []):
        if server not in KINDS:
            suite.skip(f"taking over from {server}", "it is not on this machine")
            continue
        path, want = sources(suite)["Quorate"]
        theirs = restored(suite, tool_name, path, server, "t")
        root_of(theirs).call("maintenance/alarm", action="DEACTIVATE", memberID=want["alarms"][0]["memberID"],
                             alarm="NOSPACE")
        for i in range(20):
            root_of(theirs).put(f"/later/{i}", str(i))
        want = state_of(theirs)
        theirs.kill()
        member = Member(suite, "t", data_dir=theirs.data)
        member.client, member.peer, member.initial_cluster = theirs.client, theirs.peer, theirs.initial_cluster
        equal_states(suite, f"restored by {tool_name}, run by {server}, killed, taken over: all is as it was",
                     state_of(start(member)), want)
        for behaviour, got, expected in restarted(member):
            suite.equal(behaviour, got, expected)
        stop(suite, member)


def restores(suite):
    """Restored by both tools, served by all servers: what clients see is what they saw."""
    tools = ["quoratectl"] + (["etcdutl"] if ETCDUTL else [])
    cases = [(kind, tool_name, server) for kind in sources(suite) for tool_name in tools
             for server in servers_of(tool_name)]
    if ETCDCTL_34:
        cases.append(("Quorate", "etcdctl 3.4", "Quorate"))
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for verdicts in pool.map(lambda case: one_restore(suite, *case), cases):
            for behaviour, got, want in verdicts:
                suite.equal(behaviour, got, want)


def again(suite):
    """A second time around: what was restored and served is saved, and restored by the other's tool."""
    if not ETCDUTL:
        suite.skip("a second time around", "etcdutl needs Go")
        return
    path, want = sources(suite)["etcd 3.6"]
    for kind, first, second, server in (("Quorate", "quoratectl", "etcdutl", "etcd 3.6"),
                                        ("etcd 3.6", "etcdutl", "quoratectl", "Quorate")):
        member = restored(suite, first, path, kind, "first")
        path2 = os.path.join(suite.dir, f"again-{first}.db")
        saved = ours("snapshot", "save", path2, "--endpoints", member.client, "--user", "root", "--password", "rootpw")
        suite.check(f"saved again from {kind}", saved.code == 0, saved)
        stop(suite, member)
        member = restored(suite, second, path2, server, "second")
        equal_states(suite, f"and restored by {second}, served by {server}: still the same", state_of(member), want)
        stop(suite, member)


def bumped(suite):
    """--bump-revision --mark-compacted: revisions jump, watches from before end."""
    path, want = sources(suite)["Quorate"]
    known = int(want["revision"])
    for tool_name, server in [("quoratectl", "Quorate")] + ([("quoratectl", "etcd 3.6"), ("etcdutl", "Quorate")]
                                                            if ETCDUTL else []):
        member = restored(suite, tool_name, path, server, "b",
                          **{"bump-revision": 1_000_000, "mark-compacted": True})
        state = state_of(member)
        suite.equal(f"bumped by {tool_name}, served by {server}: keys as before, a million revisions later",
                    [state["keys"] == want["keys"], int(state["revision"]) - known], [True, 1_000_000])
        watch = quorate.Watcher(suite, [member.client], "/", "--prefix", f"--rev={known}", f"--user={USER}")
        suite.check("a watch from before ends", watch.wait("compacted"), watch.text())
        watch.stop()
        stop(suite, member)
    for flags in (["--bump-revision=5"], ["--mark-compacted"]):
        refused = ours("snapshot", "restore", path, *flags, f"--data-dir={suite.dir}/no")
        suite.check(f"{flags[0]} alone is refused", refused.code == 128 and "go together" in refused.err, refused)


def three_members(suite):
    """One file, three folders, one cluster: Quorate twice, and etcd where it is here."""
    path, want = sources(suite)["Quorate"]
    kinds = [Member, Member, ETCDS.get("3.6", Member)]
    members = [kind(suite, f"m{i}") for i, kind in enumerate(kinds)]
    initial = ",".join(f"{m.name}={m.peer}" for m in members)
    for member in members:
        member.initial_cluster = initial
        member.flags["initial-cluster-token"] = "again"
        done = ours("snapshot", "restore", path, *restore_flags(member, **{"initial-cluster-token": "again"}))
        suite.check(f"a folder for {member.name}", done.code == 0 and "3 in all" in done.out, done)
    for member in members:
        member.start(wait=False)
    for member in members:
        suite.check(f"{member.name} serves", wait_for(lambda: answers(member), 40),
                    member.log()[-600:])
    equal_states(suite, "they found one cluster that holds what was saved", state_of(members[0]), want)
    names = [m["name"] for m in root_of(members[2]).call("cluster/member/list")["members"]]
    suite.equal("of all three", sorted(names), ["m0", "m1", "m2"])
    suite.check("and agree on the hash", wait_for(lambda: len({hash_at(m, want["revision"]) for m in members}) == 1, 20),
                [hash_at(m, want["revision"]) for m in members])


def log_apart(suite):
    """--wal-dir: the log lives elsewhere, and both start on it."""
    path, want = sources(suite)["Quorate"]
    for server in [kind for kind in ("Quorate", "etcd 3.6") if kind in KINDS]:
        place = os.path.join(suite.folder(f"log-{server.replace(' ', '')}"), "deep", "wal")
        member = restored(suite, "quoratectl", path, server, "w", **{"wal-dir": place})
        suite.check(f"{server} starts with its log apart", os.path.isdir(place) and
                    not os.path.exists(os.path.join(member.data, "member", "wal")) and
                    sorted(os.listdir(os.path.dirname(place)))[:1] != ["wal.part"], os.listdir(place))
        suite.equal("and serves it", state_of(member)["hash"], want["hash"])
        stop(suite, member)


def offline(suite):
    """From the folder of a member that is stopped; not from one that runs."""
    for kind in [kind for kind in ("Quorate", "etcd 3.4", "etcd 3.6") if kind in KINDS]:
        member = KINDS[kind](suite, "off").start()
        fill(member)
        want = state_of(member)
        path = os.path.join(suite.dir, f"offline-{kind.replace(' ', '')}.db")
        refused = ours("snapshot", "save", path, f"--data-dir={member.data}")
        suite.check(f"a member of {kind} that runs is left alone", refused.code == 1 and "in use" in refused.err and
                    not os.path.exists(path) and not os.path.exists(path + ".part"), refused)
        member.stop()
        saved = ours("snapshot", "save", path, f"--data-dir={member.data}")
        suite.check(f"one of {kind} that is stopped gives a snapshot", saved.code == 0 and saved.err == "", saved)
        other = restored(suite, "quoratectl", path, "Quorate", "from-folder")
        equal_states(suite, "with all that it held", state_of(other), want)
        stop(suite, other)
        start(member)
        equal_states(suite, "and it starts again as if nothing had been", state_of(member), want)
        stop(suite, member)
    nothing = ours("snapshot", "save", os.path.join(suite.dir, "x.db"), f"--data-dir={suite.dir}/nowhere")
    suite.check("a folder that is none says so", nothing.code == 1 and "holds no member" in nothing.err, nothing)


# ---- files that are wrong ----

def reseal(data):
    return data[:-32] + hashlib.sha256(data[:-32]).digest()


def pages_of(data):
    """Kind -> number of its first page, by what each page says it is."""
    found = {}
    skip = 0
    for page in range((len(data) - 32) // PAGE):
        if skip:
            skip -= 1
            continue
        flags, _, overflow = struct.unpack_from("<HHI", data, page * PAGE + 8)
        skip = overflow
        kind = {1: "branch", 2: "leaf", 4: "meta", 16: "freelist"}.get(flags)
        if kind and kind not in found:
            found[kind] = page
    return found


def left(folder):
    return sorted(os.listdir(folder))


def refused_everywhere(suite, what, path, words, flags=()):
    """Restore says why, ends with 1 and leaves nothing."""
    folder = suite.folder("refused")
    done = ours("snapshot", "restore", path, f"--data-dir={folder}/new", *flags)
    suite.check(f"{what}: refused with a reason, nothing is left", done.code == 1 and left(folder) == [] and
                any(word in done.err for word in words) and done.err.startswith("Error: "), (done, left(folder)))


def wrong_files(suite):
    path, _ = sources(suite)["Quorate"]
    with open(path, "rb") as file:
        good = file.read()
    bad = os.path.join(suite.dir, "bad.db")

    def write(data):
        with open(bad, "wb") as file:
            file.write(data)

    def flipped(offset, bit=1):
        return good[:offset] + bytes([good[offset] ^ bit]) + good[offset + 1:]

    write(flipped(len(good) // 2))
    refused_everywhere(suite, "a flipped bit", bad, ["sha256"])
    for command in ("status", "verify"):
        said = ours("snapshot", command, bad)
        suite.check(f"{command} tells of it too", said.code == 1 and "sha256" in said.out + said.err, said)
    write(good[:-1] + bytes([good[-1] ^ 1]))
    refused_everywhere(suite, "a wrong sha256", bad, ["sha256"])
    write(good[:-32])
    refused_everywhere(suite, "no sha256", bad, ["--skip-hash-check"])
    taken = ours("snapshot", "restore", bad, "--skip-hash-check", f"--data-dir={suite.dir}/taken")
    suite.check("which --skip-hash-check takes", taken.code == 0, taken)
    for size in (0, 100, PAGE, len(good) // 3 // PAGE * PAGE, len(good) - PAGE):
        write(good[:size])
        refused_everywhere(suite, f"cut to {size} bytes", bad, ["cut", "whole", "ends", "hash"], ["--skip-hash-check"])
    for kind, page in sorted(pages_of(good).items()):
        offset = page * PAGE + (40 if kind == "meta" else 8)
        data = flipped(offset, 0x40)
        if kind == "meta":  # both of them: one alone is what there are two for
            data = data[:PAGE + 40] + bytes([data[PAGE + 40] ^ 0x40]) + data[PAGE + 41:]
        write(reseal(data))
        said = ours("snapshot", "verify", bad)
        suite.check(f"a {kind} page that is none, under a right sha256: verify names it",
                    said.code == 1 and "page" in said.out, said)
        if kind != "freelist":  # a restore has no need of it
            refused_everywhere(suite, f"a {kind} page that is none", bad, ["page"])
    at = good.find(b"\x0a\x15/registry/pods/p03-07")
    write(reseal(good[:at] + b"\xff" + good[at + 1:]))
    said = ours("snapshot", "verify", bad, "-w", "json")
    suite.check("a record that cannot be read, under a right sha256: verify names its revision", said.code == 1 and
                not said.json()["ok"] and any("revision 5" in text for text in said.json()["wrong"]), said)
    said = ours("snapshot", "status", bad)
    suite.check("and status says so too", said.code == 1 and "revision 5" in said.err, said)
    write(b"not a database at all" * 1000)
    refused_everywhere(suite, "another kind of file", bad, ["bbolt"], ["--skip-hash-check"])
    refused_everywhere(suite, "a folder", suite.folder("folder"), ["not a file", "input/output", "hash"],
                       ["--skip-hash-check"])
    refused_everywhere(suite, "no file", os.path.join(suite.dir, "nowhere.db"), ["not found"])


def newer_versions(suite):
    """A cluster version above 3.7 is refused, 3.7 itself is not."""
    path, _ = sources(suite)["Quorate"]
    with open(path, "rb") as file:
        good = file.read()
    at = good.find(b"clusterVersion3.")
    for minor, taken in ((b"7", True), (b"8", False)):
        data = good[:at + 16] + minor + good[at + 17:]
        bad = os.path.join(suite.dir, "newer.db")
        with open(bad, "wb") as file:
            file.write(reseal(data))
        if taken:
            done = ours("snapshot", "restore", bad, f"--data-dir={suite.dir}/of-3.7")
            suite.check("a snapshot of 3.7 is restored", done.code == 0, done)
        else:
            refused_everywhere(suite, "a snapshot of 3.8", bad, ["up to 3.7"])


def wrong_places(suite):
    path, _ = sources(suite)["Quorate"]
    folder = suite.folder("taken-place")
    with open(os.path.join(folder, "mine"), "w", encoding="utf-8") as file:
        file.write("x")
    done = ours("snapshot", "restore", path, f"--data-dir={folder}")
    suite.check("a folder with something in it is left alone", done.code == 1 and "not empty" in done.err and
                left(folder) == ["mine"], done)
    done = ours("snapshot", "restore", path, f"--data-dir={suite.dir}/fresh", f"--wal-dir={folder}")
    suite.check("so is a log folder that exists", done.code == 1 and "exists" in done.err and
                not os.path.exists(f"{suite.dir}/fresh"), done)
    empty = suite.folder("empty-place")
    os.makedirs(os.path.join(empty, "member.part", "snap"))
    done = ours("snapshot", "restore", path, f"--data-dir={empty}")
    suite.check("an empty folder is filled, also over a restore that was cut", done.code == 0 and
                left(empty) == ["member"], done)
    for flags, words in ((["--name=a"], "--initial-cluster"),
                         (["--name=a", "--initial-cluster=b=http://127.0.0.1:1"], "couldn't find local name"),
                         (["--initial-cluster=default=http://127.0.0.1:1"], "different URLs"),
                         (["--initial-cluster=default=nonsense"], "--initial-cluster")):
        done = ours("snapshot", "restore", path, f"--data-dir={suite.dir}/none", *flags)
        suite.check(f"{' '.join(flags)} is refused", (done.code == 128 and words in done.err or
                    flags == ["--name=a"]) and (done.code != 0 or flags == ["--name=a"]), done)
    suite.check("a save to a folder that is not there fails", ours(
        "snapshot", "save", f"{suite.dir}/no/x.db", "--endpoints=127.0.0.1:1").code == 1)
    nobody = ours("snapshot", "save", f"{suite.dir}/x.db", f"--endpoints=127.0.0.1:{quorate.free_port()}")
    suite.check("nobody there: said, and nothing is left", nobody.code == 1 and "127.0.0.1" in nobody.err and
                not os.path.exists(f"{suite.dir}/x.db.part"), nobody)
    several = ours("snapshot", "save", f"{suite.dir}/x.db", env={"ETCDCTL_ENDPOINTS": "a:1,b:2"})
    suite.check("one member is asked, not two", several.code == 1 and "one selected node" in several.err, several)


def who_may_save(suite):
    member = Member(suite, "guarded").start()
    fill(member)
    target = os.path.join(suite.dir, "guarded.db")
    for user, words in ((None, "user name is empty"), ("alice:alicepw", "permission denied"),
                        ("root:wrong", "invalid user ID or password")):
        done = ours("snapshot", "save", target, f"--endpoints={member.client}", *([f"--user={user}"] if user else []))
        suite.check(f"{user or 'nobody'} may not, and is told why", done.code == 1 and words in done.err and
                    not os.path.exists(target) and not os.path.exists(target + ".part"), done)
    done = ours("snapshot", "save", target, env={"ETCDCTL_ENDPOINTS": member.client, "ETCDCTL_USER": USER})
    suite.check("root may, by the variables of etcdctl", done.code == 0, done)


def over_tls(suite):
    """A member that certifies itself: known by its certificate, taken on trust when told to, else refused."""
    member = Member(suite, "tls")
    member.client = member.client.replace("http://", "https://")
    member.flags["auto-tls"] = "true"
    member.start(wait=False)
    certificate = os.path.join(member.data, "fixtures", "client", "cert.pem")
    host = member.client[len("https://"):]
    target = os.path.join(suite.dir, "tls.db")
    suite.check("over TLS, without looking at the certificate", wait_for(
        lambda: ours("snapshot", "save", target, f"--endpoints={host}", "--insecure-skip-tls-verify").code == 0, 20),
        member.log()[-500:])
    known = ours("snapshot", "save", target, f"--endpoints={host}", f"--cacert={certificate}")
    suite.check("and by its certificate", known.code == 0, known)
    for flags, words in (([f"--endpoints={member.client}"], "certificate"), ([f"--endpoints=http://{host}"], host),
                         ([f"--endpoints={host}", "--cacert=/nowhere.pem"], "/nowhere.pem"),
                         ([f"--endpoints={host}", f"--cert={certificate}"], "go together")):
        refused = ours("snapshot", "save", target + ".no", *flags)
        suite.check(f"{flags[-1].split('=')[0]} that does not fit is told", refused.code == 1 and words in refused.err
                    and not os.path.exists(target + ".no.part"), refused)


# ---- the files that are kept ----

def vectors(suite):
    """Files written by etcd 3.4 and 3.6: restored, taken over, and given back to etcd."""
    if not os.path.isdir(VECTORS):
        suite.skip("the files that are kept", "they are not beside this tree")
        return
    for version in ("3.4", "3.6"):
        folder = os.path.join(VECTORS, f"etcd-{version}")
        with gzip.open(os.path.join(folder, "keys.json.gz")) as file:
            keys = json.load(file)["kvs"]
        with open(os.path.join(folder, "hashkv.json"), encoding="utf-8") as file:
            want = json.load(file)[0]["HashKV"]
        for name, flags, user in (("snapshot.db", {}, None), ("snapshot-auth.db", {}, USER),
                                  ("copied-db", {"skip-hash-check": True}, USER)):
            member = restored(suite, "quoratectl", os.path.join(folder, name), "Quorate", "v", user is not None, **flags)
            check_vector(suite, f"{name} of etcd {version}, restored", member, user, keys, want)
            if name == "snapshot.db" and ETCDUTL:
                path = os.path.join(suite.dir, f"back-{version}.db")
                ours("snapshot", "save", path, f"--endpoints={member.client}")
                back = restored(suite, "etcdutl", path, "etcd 3.6", "back", False)
                check_vector(suite, "and back with etcd 3.6", back, None, keys, want)
                stop(suite, back)
            stop(suite, member)
        data = suite.folder(f"taken-{version}")
        with tarfile.open(os.path.join(folder, "data-dir.tar.gz")) as file:
            file.extractall(data, filter="data")
        at = next(root for root, folders, _ in os.walk(data) if "member" in folders)
        member = Member(suite, "v", data_dir=at).start()
        check_vector(suite, f"the data directory of etcd {version}, taken over", member, USER, keys, want)
        stop(suite, member)


def check_vector(suite, what, member, user, keys, want):
    api = Api(member, user)
    have = api.call("kv/range", key="AA==", range_end="AA==")["kvs"]
    flat = [[kv["key"], kv.get("value", ""), int(kv["mod_revision"]), int(kv["create_revision"]), int(kv["version"]),
             int(kv.get("lease", 0))] for kv in have]
    told = [[kv["key"], kv.get("value", ""), kv["mod_revision"], kv["create_revision"], kv["version"],
             kv.get("lease", 0)] for kv in keys]
    suite.check(f"{what}: every key as etcd told it", flat == told, f"{len(flat)} and {len(told)} keys")
    suite.equal("and the same hash", hash_at(member, want["header"]["revision"], user)[0], want["hash"])


PARTS = [statuses, restores, taken_over, again, bumped, three_members, log_apart, offline, wrong_files, newer_versions,
         wrong_places, who_may_save, over_tls, vectors]

if __name__ == "__main__":
    print("servers: " + ", ".join(KINDS) + ("" if ETCDUTL else "; no etcdutl"))
    sys.exit(Suite("snapshots").run(PARTS))
