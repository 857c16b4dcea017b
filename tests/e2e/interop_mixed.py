#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Members of ours and of etcd's in one cluster: Debian's 3.4 always, 3.5 and 3.6 where they could be built.

Each version is met in both shapes (one of ours with two of theirs, two of ours with one of theirs): each member
leads, is killed and restarted, lags until only a snapshot helps; learners of each kind come in under a leader of
the other. Parts can be named as arguments, and a version ("3.5") picks its parts. Ports 32000 to 32399."""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import quorate  # noqa: E402
from etcds import agree, cluster_version, hash_of, kind_of, leader_of, newest, programs  # noqa: E402
from quorate import Load, Member, Suite, Watcher, http, wait_for  # noqa: E402

VERSIONS = ("3.4", "3.5", "3.6")
SECONDS_MAX = 400 * quorate.SLOW
ARGUMENTS, sys.argv[1:] = sys.argv[1:], []
quorate.PORT_FIRST, quorate.PORT_LAST = 32000, 32399
quorate._next_port = quorate.PORT_FIRST + (os.getpid() * 37) % (quorate.PORT_LAST - quorate.PORT_FIRST)
PROGRAMS = {}
OURS_SMALL_LOG = {"snapshot-count": "100", "snapshot-catchup-entries": "10"}


class Ours(Member):
    """One of ours that cuts its log early, as those of etcd's here do."""
    entries_to_cut = 300
    cut_pattern = r'"saved snapshot","snapshot-index":(\d+)'
    cut_behind = 10

    def __init__(self, suite, name, hold=None):
        super().__init__(suite, name)
        self.flags = dict(OURS_SMALL_LOG)
        if hold:
            self.flags["hold-cluster-version"] = hold

    def snapshots_received(self):
        return self.log().count("applied snapshot")


def theirs(kind, suite, name):
    member = kind(suite, name)
    member.flags = dict(kind.flags_here)
    member.snapshots_received = lambda: member.metric("etcd_network_snapshot_receive_success") or 0
    return member


def is_ours(member):
    return isinstance(member, Ours)


def one_of_each(members):
    """The first of ours and the first of etcd's."""
    return next(m for m in members if is_ours(m)), next(m for m in members if not is_ours(m))


def found(members):
    """They begin a cluster together; the last of three is late, which is not to have lost its data."""
    late = members[2:]
    for member in members:
        member.initial_cluster = ",".join(f"{m.name}={m.peer}" for m in members)
    for member in members:
        if member not in late:
            member.start(wait=False)
    for member in [m for m in members if m not in late] + late:
        if member in late:
            member.start(wait=False)
        member.wait_ready(30)
    return members


def lead(suite, members, target):
    """Moves the lead; says so only when it fails, since every part does it."""
    def moved():
        leader = leader_of(members)
        return leader is target or (leader and leader.ctl("move-leader", format(target.id(), "x")).code == 0 and
                                    leader_of(members) is target)
    if not wait_for(moved, 20, 0.2):
        suite.check(f"{target.name} takes over the lead", False, target.log()[-800:])
        raise RuntimeError("the lead cannot be moved")


def join(suite, members, new, learner):
    """Adds new through the leader; a learner is promoted once it has caught up. The id as text."""
    leader = leader_of(members)
    more = ["--learner"] if learner else []
    added = []

    def add():
        added.append(leader.ctl("member", "add", new.name, f"--peer-urls={new.peer}", *more))
        return added[-1].code == 0
    if not wait_for(add, 20, 0.5):
        suite.check(f"{leader.name} adds {new.name}", False, added[-1])
        raise RuntimeError(f"{new.name} cannot be added")
    ident = added[-1].out.split()[1]
    new.initial_cluster = ",".join(f"{m.name}={m.peer}" for m in [*members, new])
    new.cluster_state = "existing"
    new.start(wait=False)
    if learner:
        last = []

        def promote():
            last.append(leader.ctl("member", "promote", ident))
            return last[-1].code == 0
        suite.check(f"{new.name} comes in as a learner under {leader.name} and is promoted",
                    wait_for(promote, 30, 0.3), (last[-1:], new.log()[-800:]))
    new.wait_ready(30)
    members.append(new)
    return ident


def leave(suite, members, gone):
    """Removes a member through another; it stops by itself."""
    other = next(m for m in members if m is not gone)
    ident = format(gone.id(), "x")
    # A member counts as there when it has been for five seconds: until then nobody may be removed.
    removed = wait_for(lambda: other.ctl("member", "remove", ident).code == 0, 20, 0.5)
    members.remove(gone)
    suite.check(f"{gone.name} is removed, and stops", removed and gone.wait_exit(20) is not None, gone.log()[-800:])


def cut_index(member):
    """The log of this member begins about here, as it says itself."""
    cut = [int(index) for index in re.findall(member.cut_pattern, member.log())]
    return max(cut, default=0) - member.cut_behind


def load(suite, member, count):
    """Puts of a hundred streams; all must go through."""
    done = Load(suite, [member.client], streams=100, keys=3, bytes=100, count=count, prefix="/load").finish()
    if done["done"] < count:
        suite.check(f"{count} puts through {member.name}", False, done)


def writes_and_watches(suite, version, members):
    """Whoever leads, each member takes writes, and watchers of each kind see them all in order."""
    ours, other = one_of_each(members)
    for leader in members:
        lead(suite, members, leader)
        prefix = f"/led/{leader.name}/"
        watchers = [Watcher(suite, [m.client], prefix, "--prefix", "--prev-kv", f"--rev={newest(members) + 1}")
                    for m in (ours, other)]
        codes = [m.ctl("put", prefix + m.name, "1").code for m in members]
        codes += [m.ctl("txn", stdin=f"\nput {prefix}t {m.name}\ndel {prefix}{m.name}\n\n\n").code for m in members]
        members[0].ctl("put", prefix + "end", "x")
        suite.check(f"{version}: {leader.name} leads, writes go through each", codes == [0] * len(codes), codes)
        ended = all(w.wait(prefix + "end") for w in watchers)
        said = {"".join(w.stop().split()) for w in watchers}
        suite.check(f"{version}: watchers on both kinds see the same", ended and len(said) == 1, said)
        agree(suite, f"{version}: {leader.name} leads, the hashes are the same", members)


def leases_across(suite, version, members):
    """Granted by one, kept alive through each, expired by a leader of each kind, gone everywhere."""
    for leader in one_of_each(members):
        lead(suite, members, leader)
        follower = next(m for m in members if is_ours(m) != is_ours(leader))
        short = follower.ctl("lease", "grant", "2").out.split()[1]
        follower.ctl("put", "/short", "1", f"--lease={short}")
        lease = follower.ctl("lease", "grant", "600").out.split()[1]
        leader.ctl("put", "/kept", "1", f"--lease={lease}")
        alive = [m.ctl("lease", "keep-alive", "--once", lease).out for m in members]
        suite.check(f"{version}: {leader.name} leads, each keeps a lease alive",
                    all("keepalived with TTL(600)" in text for text in alive), alive)
        shown = [m.ctl("lease", "timetolive", lease, "--keys").out for m in members]
        suite.check(f"{version}: and tells its keys", all("/kept" in text for text in shown), shown)
        suite.check(f"{version}: one that nobody keeps expires on all",
                    wait_for(lambda: all(m.ctl("get", "/short", "--consistency=s").out == "" for m in members), 15, 0.3))
        suite.equal(f"{version}: {follower.name} revokes", follower.ctl("lease", "revoke", lease).code, 0)
        suite.check(f"{version}: its key goes on all", wait_for(
            lambda: all(m.ctl("get", "/kept", "--consistency=s").out == "" for m in members), 10, 0.2))


def kills_and_restarts(suite, version, members):
    """The leader of each kind is killed; each member is stopped and started."""
    for leader in one_of_each(members):
        lead(suite, members, leader)
        leader.kill()
        rest = [m for m in members if m is not leader]
        suite.check(f"{version}: without {leader.name}, which led, writes go on", wait_for(
            lambda: all(m.ctl("put", f"/without/{leader.name}", "1", timeout=8).code == 0 for m in rest), 25))
        leader.start()
    for member in members:
        member.stop()
        leader_of([m for m in members if m is not member])
        member.start()
        suite.check(f"{version}: {member.name} comes back after a restart", wait_for(
            lambda: member.ctl("put", f"/back/{member.name}", "1").code == 0, 15))
    agree(suite, f"{version}: the hashes are the same after kills and restarts", members)


def snapshots_both_ways(suite, version, members):
    """A follower of each kind is down until a leader of the other kind has cut its log."""
    for leader in one_of_each(members):
        late = next(m for m in members if is_ours(m) != is_ours(leader))
        lead(suite, members, leader)
        before = late.snapshots_received() if is_ours(late) else 0
        last = late.status()["raftAppliedIndex"]
        late.kill()
        load(suite, leader, leader.entries_to_cut)
        leader.ctl("del", "/load", "--prefix")
        for _ in range(10):
            load(suite, leader, 150)  # it looks at its log when the next hundred entries have been applied
            if wait_for(lambda: cut_index(leader) > last + 1, 2):
                break
        late.start()
        suite.check(f"{version}: {late.name} gets a snapshot of {leader.name}",
                    wait_for(lambda: late.snapshots_received() > before, 20), late.log()[-800:])
        agree(suite, f"{version}: and the hashes are the same", members)


def learners_both_ways(suite, version, members):
    """Under a leader of each kind one of the other kind comes in as a learner, leads, and goes."""
    ours, other = one_of_each(members)
    for leader in (ours, other):
        lead(suite, members, leader)
        new = theirs(type(other), suite, "guest-etcd") if is_ours(leader) else Ours(suite, "guest-ours")
        join(suite, members, new, learner=True)
        agree(suite, f"{version}: four members with the same hash", members)
        lead(suite, members, new)
        suite.equal(f"{version}: {new.name} leads and takes writes", new.ctl("put", f"/by/{new.name}", "1").code, 0)
        lead(suite, members, leader)
        leave(suite, members, new)


def history_is_the_same(suite, version, members):
    """HashKV at revisions from all over the history, before and after compactions; one is at a deletion."""
    ours, other = one_of_each(members)
    for i in range(6):
        ours.ctl("put", f"/h/{i}", "a")
        other.ctl("txn", stdin=f"\nput /h/{i} b\nput /i/{i} c\n\n\n")
    deleted = ours.ctl("del", "/h/3", "-w", "json").json()["header"]["revision"]
    for member in (other, ours, other):
        member.ctl("put", "/h/3", "again")
        member.ctl("del", "/h/1")
        member.ctl("put", "/i/1", "again")
    end = newest(members)
    for where, who in ((deleted - 6, ours), (deleted, other), (deleted + 4, ours)):
        done = who.ctl("compact", str(where), "--physical")
        agree(suite, f"{version}: {who.name} compacts to {where}", members)
        # At the compacted revision itself 3.4 answers nothing, and 3.5 what it was before the compaction.
        wrong = {}
        for revision in sorted({where + 1, max(deleted, where + 2), (where + end) // 2 + 1, end}):
            hashes = {hash_of(m, revision) for m in members}
            if len(hashes) != 1 or next(iter(hashes))[1] != where:
                wrong[revision] = hashes
        suite.check(f"{version}: the hashes are the same at every revision looked at", done.code == 0 and not wrong,
                    (done, wrong))
    keys = [m.ctl("get", "", "--prefix", "-w", "json").json() for m in members]
    suite.check(f"{version}: all the keys too", all(k["kvs"] == keys[0]["kvs"] for k in keys))
    asked = quorate.json.dumps({"revision": end})
    said = [quorate.json.loads(http("GET", m.peer + "/members/hashkv", asked)[1]) for m in members]
    suite.equal(f"{version}: peers are told the same hash", len({(s["hash"], s["compact_revision"]) for s in said}), 1)
    refused = http("GET", ours.peer + "/members/hashkv", '{"revision":1}')  # 3.4 hangs up here
    suite.check(f"{version}: ours refuses what is compacted as etcd does", refused[0] == 400 and
                "required revision has been compacted" in refused[1], refused)
    suite.equal(f"{version}: and the leases", len({tuple(sorted(m.ctl("lease", "list").lines())) for m in members}), 1)


def life(suite, version, members):
    suite.check(f"{version}: the cluster version is {version} everywhere", wait_for(
        lambda: all(cluster_version(m) == version + ".0" for m in members), 20), [cluster_version(m) for m in members])
    for part in (writes_and_watches, leases_across, snapshots_both_ways, learners_both_ways, kills_and_restarts,
                 history_is_the_same):
        start = time.monotonic()
        part(suite, version, members)
        print(f"  {version}: {part.__name__}: {time.monotonic() - start:.1f} s", flush=True)
    checked = "finished peer corruption check" if version == "3.4" else '"number-of-peers-checked":2'
    logs = "".join(m.log() for m in members if not is_ours(m))
    suite.check(f"{version}: etcd's own check for corruption looked at ours and found nothing",
                checked in logs and "mismatch" not in logs and members[0].ctl("alarm", "list").out == "",
                logs.count("finished peer corruption check"))
    suite.check(f"{version}: nobody has panicked", not any("panic" in m.log() for m in members))


def one_of_ours_with_two_of_theirs(suite, version, kind):
    """Founded together; nobody holds anything: the oldest member decides."""
    life(suite, version, found([theirs(kind, suite, "etcd1"), theirs(kind, suite, "etcd2"), Ours(suite, "ours1")]))


def two_of_ours_with_one_of_theirs(suite, version, kind):
    """Ours hold the version from the start, so that theirs can join, leave, and join again."""
    members = found([Ours(suite, "ours1", hold=version), Ours(suite, "ours2", hold=version)])
    first = theirs(kind, suite, "etcd1")
    lead(suite, members, members[0])
    load(suite, members[0], 300)
    join(suite, members, first, learner=True)
    life(suite, version, members)
    leave(suite, members, first)
    for leader in (members[1], members[0], members[1]):
        lead(suite, members, leader)  # a new leader asks for versions at once
    suite.equal(f"{version}: the version is held when the last of theirs has gone", [
        cluster_version(m) for m in members], [version + ".0"] * 2)
    join(suite, members, theirs(kind, suite, "etcd2"), learner=False)
    agree(suite, f"{version}: and one of theirs can come back", members)


def a_cluster_moves(suite, version, kind):
    """From etcd to ours, member by member; then the version rises, and there is no way back."""
    members = [theirs(kind, suite, "old").start()]
    lease = members[0].ctl("lease", "grant", "600").out.split()[1]
    members[0].ctl("put", "/leased", "1", f"--lease={lease}")
    load(suite, members[0], members[0].entries_to_cut)
    ours = Ours(suite, "new")
    join(suite, members, ours, learner=True)
    agree(suite, f"{version}: the cluster of etcd's has one of ours", members)
    suite.equal(f"{version}: which began with a snapshot", ours.snapshots_received(), 1)
    suite.contains(f"{version}: the lease came too", ours.ctl("lease", "list").out, lease)
    lead(suite, members, ours)
    leave(suite, members, members[0])
    suite.check(f"{version}: ours serves alone", wait_for(lambda: ours.ctl("put", "/alone", "1").code == 0, 20))
    suite.check(f"{version}: the version has risen, since nobody held it", wait_for(
        lambda: cluster_version(ours) == "3.6.0", 15), cluster_version(ours))
    if version != "3.6":
        late = kind(suite, "late")
        late.initial_cluster, late.cluster_state = f"new={ours.peer},late={late.peer}", "existing"
        ident = ours.ctl("member", "add", "late", f"--peer-urls={late.peer}", "--learner").out.split()[1]
        late.start(wait=False)
        suite.check(f"{version}: etcd itself refuses to join then, and says why", late.wait_exit(20) not in (None, 0) and
                    "incompatible with current running cluster" in late.log(), late.log()[-600:])
        suite.equal(f"{version}: it can be removed again", ours.ctl("member", "remove", ident).code, 0)
    back = theirs(kind, suite, "back") if version == "3.6" else None
    if back:
        load(suite, ours, 300)
        join(suite, members, back, learner=True)
        agree(suite, "3.6: the way back to etcd is the same", members)
        lead(suite, members, back)
        leave(suite, members, ours)
        suite.check("3.6: etcd serves alone", wait_for(lambda: back.ctl("put", "/alone", "2").code == 0, 20))


def a_version_is_held_against_leaders_of_etcd(suite, version, kind):
    """etcd 3.6 leads, one of ours holds 3.5: etcd's leader leaves it there, and etcd 3.5 can come in."""
    older = PROGRAMS.get("3.5")
    members = found([theirs(kind, suite, "etcd1"), theirs(kind, suite, "etcd2"), Ours(suite, "ours", hold="3.5")])
    suite.check("held: the cluster version is 3.5", wait_for(
        lambda: all(cluster_version(m) == "3.5.0" for m in members), 20), [cluster_version(m) for m in members])
    for leader in (members[0], members[2], members[1]):
        lead(suite, members, leader)
        leader.ctl("put", "/a", leader.name)
    time.sleep(5)  # etcd's leader looks every four seconds
    suite.equal("held: and stays, whoever leads", {cluster_version(m) for m in members}, {"3.5.0"})
    suite.contains("held: clients are told what ours is", http("GET", members[2].client + "/version")[1],
                   '"etcdserver":"3.6.')
    if older:
        join(suite, members, theirs(kind_of("3.5", older), suite, "old"), learner=True)
        agree(suite, "held: one of 3.5 joins", members)


def three_versions_at_once(suite, version, kind):
    """etcd allows one minor of skew; ours does not stand in its way."""
    if "3.4" not in PROGRAMS:
        return
    older = theirs(kind_of("3.4", PROGRAMS["3.4"]), suite, "etcd34")
    members = found([older, theirs(kind, suite, "etcd35"), Ours(suite, "ours")])
    suite.check("3.4, 3.5 and ours: the cluster version is 3.4", wait_for(
        lambda: all(cluster_version(m) == "3.4.0" for m in members), 20), [cluster_version(m) for m in members])
    for leader in (members[2], members[1], members[0]):
        lead(suite, members, leader)
        suite.equal(f"3.4, 3.5 and ours: {leader.name} leads, writes go through each",
                    [m.ctl("put", f"/{m.name}", leader.name).code for m in members], [0] * 3)
    agree(suite, "3.4, 3.5 and ours: the hashes are the same", members)


def downgrade(member, action):
    body = quorate.json.dumps({"action": action, "version": "3.5"})
    return http("POST", member.client + "/v3/maintenance/downgrade", body)


def a_downgrade_of_etcd_is_followed(suite, version, kind):
    """etcd's own way one minor back: ours record it, and do not raise the version meanwhile."""
    members = found([theirs(kind, suite, "etcd"), Ours(suite, "ours1"), Ours(suite, "ours2")])

    def all_are(wanted):
        return wait_for(lambda: all(cluster_version(m) == wanted for m in members), 20)
    suite.check("downgrade: the cluster version is 3.6", all_are("3.6.0"))
    lead(suite, members, members[1])
    said = downgrade(members[0], "ENABLE")
    suite.check("downgrade: asked of etcd, decided by ours, followed by all", said[0] == 200 and all_are("3.5.0"), said)
    suite.equal("downgrade: members of ours tell who asks", [
        http("GET", m.peer + "/downgrade/enabled")[1].strip() for m in members], ["true"] * 3)
    for leader in (members[2], members[0], members[1]):
        lead(suite, members, leader)
        leader.ctl("put", "/led/by", leader.name)
    members[2].kill()
    members[2].start()
    time.sleep(5)  # each leader looks every four seconds
    suite.check("downgrade: it stays, through leaders and a restart", all_are("3.5.0"))
    said = downgrade(members[0], "CANCEL")
    suite.check("downgrade: cancelled, the version rises again", said[0] == 200 and all_are("3.6.0"), said)
    agree(suite, "downgrade: the hashes are the same", members)


def what_cannot_be_is_refused(suite):
    """One of ours that is told to hold less than what is decided does not join, and leaves its folder alone."""
    ours = Ours(suite, "ours").start()
    suite.check("alone the version is 3.6", wait_for(lambda: cluster_version(ours) == "3.6.0", 15))
    late = Ours(suite, "late", hold="3.5")
    late.initial_cluster, late.cluster_state = f"ours={ours.peer},late={late.peer}", "existing"
    ours.ctl("member", "add", "late", f"--peer-urls={late.peer}", "--learner")
    late.start(wait=False)
    suite.equal("who would hold a lower version does not start", late.wait_exit(), 1)
    suite.contains("it says why, and what to do", late.log(),
                   "--hold-cluster-version is 3.5, but its version is decided as 3.6 already")
    wal = os.path.join(late.data, "member", "wal")
    suite.check("and has written nothing", not os.path.isdir(wal) or not os.listdir(wal))
    del late.flags["hold-cluster-version"]
    late.start(wait=False)
    suite.check("without the flag it joins from the same folder", wait_for(
        lambda: "applied snapshot" in late.log() or late.ctl("get", "/", "--consistency=s").code == 0, 15), late.log()[-500:])
    ours.stop()
    ours.flags["hold-cluster-version"] = "3.4"
    ours.start()
    suite.equal("a member that has decided more already starts all the same", cluster_version(ours), "3.6.0")
    suite.contains("with a warning", ours.log(), "it cannot be held there any more")


class Refusing(BaseHTTPRequestHandler):
    """A peer port of a version that refuses ours."""

    def do_GET(self):  # noqa: N802  (the name is that of http.server)
        self.send_error(412, "incompatible version", "incompatible version")

    do_POST = do_GET

    def send_error(self, code, message=None, explain=None):
        body = (message + "\n").encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def both_sides_say_why_they_do_not_talk(suite):
    ours = Ours(suite, "ours").start()
    refused = http("GET", ours.peer + "/raft/stream/message/1", headers={
        "X-Server-Version": "9.1.0", "X-Min-Cluster-Version": "9.0.0", "X-Etcd-Cluster-ID": "1"})
    suite.equal("a peer that needs a newer cluster is refused", (refused[0], refused[1].strip()),
                (412, "incompatible version"))
    suite.check("with both versions in the log", ours.wait_log("a peer of an incompatible version is refused") and
                '"remote-min-cluster-version":"9.0.0"' in ours.log(), ours.log()[-500:])
    stub = ThreadingHTTPServer(("127.0.0.1", quorate.free_port()), Refusing)
    Thread(target=stub.serve_forever, daemon=True).start()
    ours.ctl("member", "add", "other", "--learner", f"--peer-urls=http://127.0.0.1:{stub.server_port}")
    suite.check("one that is refused says the reason that it was given", ours.wait_log('"reason":"incompatible version"'),
                ours.log()[-800:])
    stub.shutdown()


def parts(wanted):
    """One function for each version and behaviour, so that the suite can name them."""
    shapes = (one_of_ours_with_two_of_theirs, two_of_ours_with_one_of_theirs, a_cluster_moves)
    out = [what_cannot_be_is_refused, both_sides_say_why_they_do_not_talk]
    for version in VERSIONS:
        if version not in PROGRAMS:
            continue
        kind = kind_of(version, PROGRAMS[version])
        alone = {"3.5": [three_versions_at_once],
                 "3.6": [a_version_is_held_against_leaders_of_etcd, a_downgrade_of_etcd_is_followed]}
        for shape in [*shapes, *alone.get(version, [])]:
            def part(suite, shape=shape, version=version, kind=kind):
                shape(suite, version, kind)
            part.__name__ = f"{shape.__name__}_{version}"
            out.append(part)
    return [p for p in out if any(w in p.__name__ or (w == "refused" and p in out[:2]) for w in wanted)]


def side_by_side():
    """The versions know nothing of each other and wait most of the time: each has a process of its own."""
    runs = []
    missing = [version for version in VERSIONS if version not in PROGRAMS]
    if missing:
        print(f"skip - everything with etcd {' and '.join(missing)}: not on this machine, and no Go to build it with",
              flush=True)
    for name in ["refused", *PROGRAMS]:
        out = tempfile.TemporaryFile(mode="w+")
        runs.append((name, out, subprocess.Popen([sys.executable, os.path.abspath(__file__), name], stdout=out,
                                                 stdin=subprocess.DEVNULL)))
    failed = 0
    for name, out, process in runs:
        start = time.monotonic()
        try:
            code = process.wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # it ends its members
            code = process.wait(30)
        out.seek(0)
        print(f"--- {name}\n{out.read()}", end="", flush=True)
        if code != 0:
            print(f"FAIL - {name}: exit {code} after {time.monotonic() - start:.0f} s", flush=True)
            failed = 1
    return failed


if __name__ == "__main__":
    PROGRAMS = programs()
    sys.exit(Suite("interop-mixed").run(parts(ARGUMENTS)) if ARGUMENTS else side_by_side())
