#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three members: what one is told, all say; leaders die, members come, are promoted, go and catch up by snapshot."""
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from quorate import Cluster, Load, Member, Suite, Watcher, ctl, ctl_start, http, wait_for  # noqa: E402


def error_of(result):
    return result.err.strip().splitlines()[-1] if result.err.strip() else ""


def hex_id(member):
    return f"{member.id():x}"


def changed(change):
    """As etcd, a member changes the membership once it was connected to the others for 5 s."""
    result = None

    def once():
        nonlocal result
        result = change()
        return result.code == 0 or "unhealthy cluster" not in result.err
    wait_for(once, 20, 0.5)
    return result


def reading_and_writing(suite):
    c = Cluster(suite).start()
    suite.check("three members elect one leader", c.leader() in c.members, "")
    members = c.members[0].ctl("member", "list", "-w", "json").json()["members"]
    suite.equal("all know each other by name and client URL", sorted((m["name"], m["clientURLs"][0]) for m in members),
                sorted((m.name, m.client) for m in c.members))
    suite.equal("one cluster id", len({m.status()["header"]["cluster_id"] for m in c.members}), 1)
    suite.equal("one cluster version", {json.loads(http("GET", m.client + "/version")[1])["etcdcluster"] for m in c.members}, {"3.6.0"})
    for writer in c.members:
        put = writer.ctl("put", f"by-{writer.name}", writer.name)
        reads = [m.ctl("get", f"by-{writer.name}", "--print-value-only").out for m in c.members]
        suite.equal(f"a put on {writer.name} is read on each at once", (put.out, reads), ("OK\n", [writer.name + "\n"] * 3))
    for m in c.members:
        suite.equal(f"serializable read on {m.name}", wait_for(lambda m=m: m.ctl("get", "by-m1", "--consistency=s", "--print-value-only").out), "m1\n")
    stale = 0
    one, two = c.followers()[:2]
    for i in range(20):
        one.ctl("put", "turn", str(i))
        stale += two.ctl("get", "turn", "--print-value-only").out != f"{i}\n"
    suite.equal("linearizable reads of a follower are never stale", stale, 0)
    txn = one.ctl("txn", stdin='mod("turn") > "0"\n\nput t done\n\n\n')
    suite.check("a transaction through a follower", txn.out.startswith("SUCCESS"), txn)
    suite.check("HashKV is equal on all members", c.hashes_agree(), c.hashes())
    health = ctl(c.endpoints(), "endpoint", "health", "--cluster")
    suite.check("endpoint health --cluster", health.code == 0 and (health.err + health.out).count("is healthy") == 3, health)
    two.ctl("compaction", "10")
    suite.check("compaction reaches all: HashKV is still equal", c.hashes_agree(), c.hashes())
    rtt = c.leader().metric("etcd_network_peer_round_trip_time_seconds_count")
    suite.check("peers are probed", rtt is None or rtt >= 0, rtt)


def streams_through_followers(suite):
    c = Cluster(suite).start()
    one, two = c.followers()[:2]
    leader = c.leader()
    watch = Watcher(suite, [one.client], "--prefix", "w")
    time.sleep(1)
    for i, m in enumerate((leader, one, two)):
        m.ctl("put", f"w{i}", "x")
    suite.check("a watch through a follower sees what each member was told", watch.wait("w0\nx\nPUT\nw1\nx\nPUT\nw2\nx\n"), watch.text())
    lease = one.ctl("lease", "grant", "300").out.split()[1]
    suite.equal("keep-alive through a follower", two.ctl("lease", "keep-alive", "--once", lease).out, f"lease {lease} keepalived with TTL(300)\n")
    one.ctl("put", "--lease=" + lease, "leased", "x")
    ttl = two.ctl("lease", "timetolive", "--keys", lease).out
    suite.check("timetolive through a follower", "granted with TTL(300s)" in ttl and "leased" in ttl, ttl)
    suite.equal("an unknown lease through a follower", one.ctl("lease", "timetolive", "4242").out, "lease 0000000000004242 already expired\n")
    short = one.ctl("lease", "grant", "2").out.split()[1]
    two.ctl("put", "--lease=" + short, "short", "x")
    suite.check("expiry reaches all", wait_for(lambda: all(m.ctl("get", "short", "--consistency=s").out == "" for m in c.members), 15), "")
    suite.equal("revoke through a follower", two.ctl("lease", "revoke", lease).out, f"lease {lease} revoked\n")
    suite.check("HashKV is equal afterwards", c.hashes_agree(), c.hashes())
    watch.stop()


def leaders(suite):
    c = Cluster(suite).start()
    old = c.leader()
    target = c.followers()[0]
    refused = target.ctl("move-leader", hex_id(target))
    suite.contains("a follower cannot move the leader", refused.err, "no leader endpoint given")
    moved = ctl(c.endpoints(), "move-leader", hex_id(target))
    suite.equal("move-leader", moved.out, f"Leadership transferred from {hex_id(old)} to {hex_id(target)}\n")
    suite.check("the target leads", wait_for(lambda: c.leader() is target), "")
    target.ctl("put", "before", "x")
    watch = Watcher(suite, [m.client for m in c.members if m is not target], "after")
    target.kill()
    began = time.time()
    rest = c.running()
    put = wait_for(lambda: ctl([rest[0].client], "put", "after", "x", "--command-timeout=500ms").code == 0, 15)
    suite.check(f"the leader is killed: writes go on after {time.time() - began:.1f} s", put, [m.log()[-500:] for m in rest])
    suite.equal("nothing was lost", [m.ctl("get", "before", "--print-value-only").out for m in rest], ["x\n", "x\n"])
    suite.check("an open watch goes on over the change", watch.wait("after\nx"), watch.text())
    watch.stop()
    target.start()
    suite.equal("the old leader comes back and follows", target.ctl("get", "after", "--print-value-only").out, "x\n")
    leader = c.leader()
    suite.equal("SIGTERM of the leader hands over and ends with 143", leader.stop(), 143)
    suite.check("somebody leads at once", wait_for(lambda: c.leader() is not leader), "")
    leader.start()
    first, second = c.members[0], c.members[1]
    first.kill()
    second.kill()
    alone = c.members[2]
    put = alone.ctl("put", "minority", "x", "--command-timeout=3s", timeout=10)
    suite.check("one of three takes no writes", put.code != 0, put)
    suite.equal("nor linearizable reads", alone.ctl("get", "before", "--command-timeout=3s", timeout=10).code, 1)
    suite.equal("but serializable reads", alone.ctl("get", "before", "--consistency=s", "--print-value-only").out, "x\n")
    suite.equal("its /health says so", http("GET", alone.client + "/health", timeout=10)[0], 503)
    first.start(wait=False)
    second.start(wait=False)
    suite.check("the others come back: writes go on", wait_for(lambda: alone.ctl("put", "majority", "x").code == 0, 20), alone.log()[-600:])
    suite.check("HashKV is equal on all members", c.hashes_agree(), c.hashes())
    for m in c.members:
        m.kill()
    for m in c.members:
        m.start(wait=False)
    for m in c.members:
        m.wait_ready(30)
    suite.equal("all killed and started: nothing was lost", [m.ctl("get", "before", "--print-value-only").out for m in c.members], ["x\n"] * 3)
    suite.check("HashKV is equal on all members again", c.hashes_agree(), c.hashes())


def membership(suite):
    c = Cluster(suite).start()
    for i in range(50):
        c.members[i % 3].ctl("put", f"k{i}", "v" * 100)
    new = Member(suite, "m4")
    any_member = c.followers()[0]
    early = any_member.ctl("member", "add", "m4", "--learner", f"--peer-urls={new.peer}")
    suite.contains("a change within 5 s of the members' meeting is refused", error_of(early), "etcdserver: unhealthy cluster")
    added = changed(lambda: any_member.ctl("member", "add", "m4", "--learner", f"--peer-urls={new.peer}"))
    suite.check("member add --learner prints what to start it with", 'ETCD_INITIAL_CLUSTER_STATE="existing"' in added.out, added)
    time.sleep(1.1)  # an id is made of URLs and the second
    suite.contains("the same URL again", error_of(any_member.ctl("member", "add", "m5", f"--peer-urls={new.peer}")), "Peer URLs already exists")
    suite.contains("a second learner", error_of(any_member.ctl("member", "add", "m5", "--learner", "--peer-urls=http://127.0.0.1:1")),
                   "too many learner members in cluster")
    unstarted = [line for line in any_member.ctl("member", "list").lines() if "unstarted" in line]
    suite.check("it is listed as an unstarted learner", len(unstarted) == 1 and unstarted[0].endswith("true"), unstarted)
    learner_id = unstarted[0].split(",")[0] if unstarted else "0"
    refused = any_member.ctl("member", "promote", learner_id)
    suite.contains("a learner that was not started is not promoted", error_of(refused), "can only promote a learner member which is in sync with leader")
    new.initial_cluster = c.members[0].initial_cluster + f",m4={new.peer}"
    new.cluster_state = "existing"
    new.flags = {"initial-cluster-token": c.token}
    new.start(wait=False)
    suite.check("it joins and learns everything", wait_for(lambda: new.ctl("get", "k49", "--consistency=s").out.startswith("k49"), 20), new.log()[-1500:])
    suite.contains("a learner takes no writes", error_of(new.ctl("put", "x", "y")), "rpc not supported for learner")
    suite.check("it says that it is a learner", new.status().get("isLearner"), new.status())
    suite.check("its /readyz fails for that alone", "[-]non_learner failed" in http("GET", new.client + "/readyz?verbose")[1],
                http("GET", new.client + "/readyz?verbose"))
    promoted = None

    def promote():
        nonlocal promoted
        promoted = any_member.ctl("member", "promote", learner_id)
        return promoted.code == 0
    suite.check("promote, asked of a follower", wait_for(promote, 15), promoted)
    new.wait_ready()
    suite.equal("it takes writes now", new.ctl("put", "by-m4", "x").out, "OK\n")
    c.members.append(new)
    suite.check("HashKV is equal on all four", c.hashes_agree(), c.hashes())
    gone = c.followers()[0]
    rest = [m for m in c.members if m is not gone]
    gone_id = hex_id(gone)
    removed = changed(lambda: rest[0].ctl("member", "remove", gone_id))
    suite.check("member remove", removed.code == 0 and "removed from cluster" in removed.out, removed)
    suite.equal("the removed member stops by itself", gone.wait_exit(), 0)
    suite.contains("and says why", gone.log(), "the member has been permanently removed from the cluster")
    gone.start(wait=False)
    code = gone.wait_exit(20)
    suite.check("started again it stops again", code is not None, gone.log()[-800:])
    c.members.remove(gone)
    suite.equal("the others go on", rest[0].ctl("put", "after-remove", "x").out, "OK\n")
    leader = c.leader()
    other = [m for m in c.members if m is not leader][0]
    leader_id = hex_id(leader)
    removed = changed(lambda: other.ctl("member", "remove", leader_id))
    suite.check("the leader can be removed", removed.code == 0, removed)
    suite.equal("it stops by itself", leader.wait_exit(), 0)
    c.members.remove(leader)
    suite.check("the other two elect and go on", wait_for(lambda: other.ctl("put", "after-leader", "x").code == 0, 20), other.log()[-800:])
    target = c.members[0]
    url = target.peer.replace("127.0.0.1", "localhost")
    updated = other.ctl("member", "update", hex_id(target), f"--peer-urls={target.peer},{url}")
    suite.check("member update", updated.code == 0 and url in other.ctl("member", "list").out, updated)
    voter = Member(suite, "m5")
    # Two members that are there must agree to a third one, which is a voter from the start.
    added = changed(lambda: other.ctl("member", "add", "m5", f"--peer-urls={voter.peer}"))
    suite.check("member add of a voter", added.code == 0, added)
    line = [text for text in added.lines() if text.startswith("ETCD_INITIAL_CLUSTER=")]
    voter.initial_cluster = line[0].split("=", 1)[1].strip('"') if line else ""
    voter.cluster_state = "existing"
    voter.start()
    suite.equal("a voter joins and serves", voter.ctl("get", "after-leader", "--print-value-only").out, "x\n")
    c.members.append(voter)
    suite.check("HashKV is equal on all", c.hashes_agree(), c.hashes())
    stranger = [m for m in c.members if m is not c.leader()][0]
    stranger.kill()
    restarted = stranger.start()
    suite.equal("a member that joined restarts", restarted.ctl("get", "after-remove", "--print-value-only").out, "x\n")


def reconfiguration_is_guarded(suite):
    c = Cluster(suite).start()
    down = c.followers()[0]
    down_id = hex_id(down)
    extra = changed(lambda: c.leader().ctl("member", "add", "m4", "--peer-urls=http://127.0.0.1:1"))
    suite.check("adding a fourth, not started voter is accepted", extra.code == 0, extra)
    second = c.leader().ctl("member", "add", "m5", "--peer-urls=http://127.0.0.1:2")
    suite.check("a fifth one before the fourth runs is refused", second.code != 0 and
                ("unhealthy cluster" in second.err or "not enough started members" in second.err), second)
    added_id = extra.out.split()[1] if extra.code == 0 else "0"
    suite.equal("the one that never ran is removed again", c.leader().ctl("member", "remove", added_id).code, 0)
    down.kill()
    up = c.leader()
    time.sleep(0.2)
    refused = up.ctl("member", "remove", hex_id([m for m in c.running() if m is not up][0]))
    suite.contains("removing a healthy one of two that are left is refused", error_of(refused), "etcdserver: unhealthy cluster")
    removed = up.ctl("member", "remove", down_id)
    suite.check("removing the dead one is not", removed.code == 0, removed)
    suite.equal("two go on", up.ctl("put", "k", "v").out, "OK\n")


def catching_up_by_snapshot(suite):
    c = Cluster(suite, flags={"snapshot-count": "50", "snapshot-catchup-entries": "10"}).start()
    late = c.followers()[0]
    lease = late.ctl("lease", "grant", "3000").out.split()[1]
    late.ctl("put", "--lease=" + lease, "leased", "x")
    late.ctl("put", "gone", "x")
    late.kill()
    up = c.running()[0]
    up.ctl("del", "gone")
    for i in range(150):
        up.ctl("put", f"s{i % 40}", "v" * 1000 + str(i))
    up.ctl("compaction", "40")
    suite.check("the log was cut meanwhile", any("saved snapshot" in m.log() for m in c.running()), "")
    late.start(wait=False)
    caught = wait_for(lambda: late.ctl("get", "s29", "--consistency=s", "--print-value-only").out.endswith("149\n"), 30)
    suite.check("a member that was down gets a snapshot", caught, late.log()[-1500:])
    suite.check("it says so", "applied snapshot" in late.log(), late.log()[-800:])
    late.wait_ready()
    suite.check("HashKV is equal on all members", c.hashes_agree(), c.hashes())
    suite.equal("what was deleted meanwhile is gone", late.ctl("get", "gone", "--consistency=s").out, "")
    ttl = late.ctl("lease", "timetolive", "--keys", lease).out
    suite.check("leases came with it", "leased" in ttl, ttl)
    suite.equal("it takes writes", late.ctl("put", "after", "x").out, "OK\n")
    late.kill()
    late.start()
    suite.equal("it restarts on what it got", late.ctl("get", "after", "--print-value-only").out, "x\n")
    suite.check("HashKV is equal after that", c.hashes_agree(), c.hashes())
    watch = Watcher(suite, [late.client], "s1")
    time.sleep(1)
    up.ctl("put", "s1", "watched")
    suite.check("watches work on it", watch.wait("watched"), watch.text())
    watch.stop()
    # A watch that was open on the member survives a snapshot that is installed under it.
    new = Member(suite, "m4")
    changed(lambda: up.ctl("member", "add", "m4", "--learner", f"--peer-urls={new.peer}"))
    new.initial_cluster = c.members[0].initial_cluster + f",m4={new.peer}"
    new.cluster_state, new.flags = "existing", dict(c.members[0].flags)
    new.start(wait=False)
    suite.check("a new member begins with a snapshot", wait_for(lambda: new.ctl("get", "after", "--consistency=s").out.startswith("after"), 30), new.log()[-1500:])
    new_id = hex_id(new)
    suite.check("and is promoted", wait_for(lambda: up.ctl("member", "promote", new_id).code == 0, 15), new.log()[-800:])
    new.wait_ready()
    c.members.append(new)
    suite.check("HashKV is equal on all four", c.hashes_agree(), c.hashes())


def paused_members(suite):
    """A member that stands still for a while and does not know it: no stale reads, no gap in a watch."""
    c = Cluster(suite, flags={"snapshot-count": "50", "snapshot-catchup-entries": "10"}).start()
    c.members[0].ctl("put", "turn", "old")
    leader = c.leader()
    others = [m for m in c.members if m is not leader]
    leader.process.send_signal(signal.SIGSTOP)
    put = wait_for(lambda: ctl([others[0].client], "put", "turn", "new", "--command-timeout=500ms").code == 0, 15)
    suite.check("the leader stands still: the others elect and go on", put, others[0].log()[-600:])
    reads = [ctl_start([leader.client], "get", "turn", "--print-value-only", "--command-timeout=10s") for _ in range(5)]
    time.sleep(0.3)
    leader.process.send_signal(signal.SIGCONT)
    said = [read.communicate()[0] for read in reads]
    suite.check("awake again, it answers no linearizable read with what it believed", not any("old" in text for text in said), said)
    suite.check("and follows", wait_for(lambda: leader.ctl("get", "turn", "--print-value-only").out == "new\n"), leader.log()[-600:])
    follower = [m for m in c.followers()][0]
    up = [m for m in c.members if m is not follower][0]
    watch = Watcher(suite, [follower.client], "--prefix", "p/")
    compacted = Watcher(suite, [follower.client], "--prefix", "none/")
    lease = follower.ctl("lease", "grant", "3000").out.split()[1]
    time.sleep(1)
    up.ctl("put", "p/first", "x")
    watch.wait("p/first")
    follower.process.send_signal(signal.SIGSTOP)
    for i in range(150):
        up.ctl("put", f"p/{i}", "x")
    # More than sockets hold, so that the log is cut before what the follower still gets from them.
    Load(suite, [up.client], streams=10, count=4000, bytes=20000, keys=10).finish()
    follower.process.send_signal(signal.SIGCONT)
    watched = watch.wait("p/149\nx", 30)
    keys = [line for line in watch.text().split() if line.startswith("p/")]
    suite.check("a follower that stood still gets a snapshot under an open watch", follower.wait_log("applied snapshot", 20) and "applied snapshot" in follower.log(), follower.log()[-600:])
    suite.check("the watch misses nothing and repeats nothing", watched and keys == ["p/first"] + [f"p/{i}" for i in range(150)], keys[-5:])
    follower.ctl("put", "--lease=" + lease, "none/1", "y")
    suite.check("other watches go on as well", compacted.wait("none/1\ny"), compacted.text())
    suite.check("HashKV is equal on all members", c.hashes_agree(), c.hashes())
    watch.stop()
    compacted.stop()


if __name__ == "__main__":
    sys.exit(Suite("engine-three").run([reading_and_writing, streams_through_followers, leaders, membership,
                                        reconfiguration_is_guarded, catching_up_by_snapshot, paused_members]))
