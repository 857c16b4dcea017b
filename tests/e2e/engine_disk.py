#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Disks that are full, and one that does not answer: nothing is lost, nobody stops, no election storm, reads go on, writes
come back with the room. Needs root for small file systems of its own; says so otherwise."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from quorate import Cluster, Load, Member, Suite, wait_for  # noqa: E402

NO_SPACE = "etcdserver: mvcc: database space exceeded"
SEGMENT_MIB = 64
SMALL_MIB = SEGMENT_MIB + 26  # one segment of the log, the store, and little else


class Mounts:
    """Small file systems, unmounted at the end whatever happens."""

    def __init__(self, suite):
        self.suite, self.folders = suite, []

    def tmpfs(self, name, mib):
        folder = self.suite.folder(name)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "quorate-e2e", folder], check=True, capture_output=True)
        self.folders.append(folder)
        return folder

    def ext4(self, name, mib):
        image = os.path.join(self.suite.dir, name + ".img")
        folder = self.suite.folder(name)
        with open(image, "wb") as file:
            file.truncate(mib << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, folder], check=True, capture_output=True)
        self.folders.append(folder)
        return folder

    def grow(self, folder, mib):
        subprocess.run(["mount", "-o", f"remount,size={mib}m", folder], check=True)

    def end(self):
        for member in self.suite.members:
            if member.is_running():
                member.kill()
        for folder in self.folders:
            subprocess.run(["fsfreeze", "-u", folder], check=False, capture_output=True)
            subprocess.run(["umount", folder], check=False)


def with_mounts(part):
    def run(suite):
        if os.geteuid() != 0:
            suite.skip(part.__name__, "mounting a small file system needs root")
            return
        mounts = Mounts(suite)
        try:
            part(suite, mounts)
        except FileNotFoundError as error:
            suite.skip(part.__name__, f"{error.filename} is not on this machine")
        except subprocess.CalledProcessError as error:
            suite.skip(part.__name__, f"{error}: {(error.stderr or b'').decode().strip()}")
        finally:
            mounts.end()
    run.__name__ = part.__name__
    return run


def fill(member):
    """Puts until the member refuses; what was acknowledged."""
    load = Load(member.suite, [member.client], streams=4, bytes=20000, keys=10000, seconds=60)
    wait_for(lambda: NO_SPACE in member.ctl("put", "probe", "x").err, 50, 0.2)
    load.finish(stop=True)
    return load


def terms(members):
    return [m.status()["raftTerm"] for m in members]


@with_mounts
def one_member(suite, mounts):
    folder = mounts.tmpfs("alone", SMALL_MIB)
    m = Member(suite, "m1", data_dir=os.path.join(folder, "data"))
    m.log_path = os.path.join(suite.dir, "alone.log")
    m.flags["snapshot-count"] = "100000"
    m.start()
    load = fill(m)
    sent, done = load.record()
    suite.check("a full disk refuses writes by name and the member lives", m.is_running() and NO_SPACE in m.ctl("put", "k", "v").err, m.log()[-400:])
    suite.contains("it says so once", m.log(), "the disk is full")
    revision = m.status()["header"]["revision"]
    suite.check("reads are served, linearizable ones too", m.ctl("get", "load/", "--prefix", "--limit=1", "--keys-only").out.startswith("load/"), "")
    m.kill()
    m.start()
    suite.check("killed and started on the full disk it serves reads", m.status()["header"]["revision"] >= max(done.values()), revision)
    suite.check("and still refuses writes", wait_for(lambda: NO_SPACE in m.ctl("put", "k", "v").err, 10, 0.5), m.ctl("put", "k", "v"))
    mounts.grow(folder, 900)
    suite.check("with room again it takes writes by itself", wait_for(lambda: m.ctl("put", "after", "x").out == "OK\n", 20, 0.3), m.log()[-400:])
    count = m.ctl("get", "--prefix", "load/", "-w", "json", "--limit=1", timeout=60).json()["count"]
    suite.check("nothing acknowledged is lost", len({k for k, _ in done}) <= count <= len({k for k, _ in sent}), (len(done), count, len(sent)))
    suite.check("it says that there is room", m.wait_log("the disk has room again"), m.log()[-300:])


@with_mounts
def the_leader_of_three(suite, mounts):
    c = Cluster(suite, 3)
    folder = mounts.tmpfs("first", SMALL_MIB)
    first = c.members[0]
    first.data = os.path.join(folder, "data")
    c.start()
    leader = c.leader()
    if leader is not first:
        leader.ctl("move-leader", f"{first.id():x}")
    suite.check("the member with the small disk leads", c.leader() is first, "")
    load = Load(suite, c.endpoints(), streams=4, bytes=20000, keys=10000, seconds=40)
    moved = wait_for(lambda: c.leader() is not first, 40, 0.3)
    suite.check("it hands the leadership over when its disk is full", moved, first.log()[-400:])
    term = c.leader().status()["raftTerm"]
    probe = c.leader()
    suite.check("writes go on at the others", wait_for(lambda: probe.ctl("put", "on", "x").out == "OK\n", 10, 0.2), "")
    time.sleep(3)
    suite.check("no election storm", c.leader().status()["raftTerm"] <= term + 1, (term, terms(c.running())))
    said = load.finish(stop=True)
    suite.check("all live", len(c.running()) == 3, said)
    mounts.grow(folder, 2000)
    suite.check("with room again it catches up: HashKV is equal on all", c.hashes_agree(60), c.hashes())
    _, done = load.record()
    suite.check("nothing acknowledged is lost", c.leader().status()["header"]["revision"] >= max(done.values()), said)


@with_mounts
def all_of_three(suite, mounts):
    c = Cluster(suite, 3)
    folders = [mounts.tmpfs(f"all-{i}", SMALL_MIB) for i in range(3)]
    for member, folder in zip(c.members, folders):
        member.data = os.path.join(folder, "data")
    c.start()
    load = Load(suite, c.endpoints(), streams=4, bytes=20000, keys=10000, seconds=60)
    # A follower with a little room left asks the leader, which takes no more: that one's clients time out.
    full = wait_for(lambda: all(m.ctl("put", "probe", "x", timeout=20).code != 0 for m in c.members) and
                    NO_SPACE in c.leader().ctl("put", "probe", "x", timeout=20).err, 60, 0.5)
    load.finish(stop=True)
    suite.check("all refuse writes when all disks are full", full, [m.ctl("put", "probe", "x").err for m in c.members])
    before = max(terms(c.running()))
    time.sleep(8)
    suite.check("no election storm", max(terms(c.running())) <= before + 1, (before, terms(c.running())))
    suite.check("all live and serve serializable reads", all(m.ctl("get", "load/", "--prefix", "--limit=1", "--consistency=s").code == 0 for m in c.members), "")
    suite.check("the leader serves linearizable ones", c.leader().ctl("get", "probe").code == 0, "")
    for folder in folders:
        mounts.grow(folder, 900)
    suite.check("with room again writes are taken by all", wait_for(lambda: all(m.ctl("put", "after", "x").out == "OK\n" for m in c.members), 30, 0.3), "")
    suite.check("HashKV is equal on all", c.hashes_agree(30), c.hashes())
    _, done = load.record()
    suite.check("nothing acknowledged is lost", c.leader().status()["header"]["revision"] >= max(done.values()), "")


@with_mounts
def a_silent_disk_under_the_leader(suite, mounts):
    c = Cluster(suite, 3)
    folder = mounts.ext4("frozen", 300)
    first = c.members[0]
    first.data = os.path.join(folder, "data")
    first.log_path = os.path.join(suite.dir, "frozen.log")
    c.start()
    if c.leader() is not first:
        c.leader().ctl("move-leader", f"{first.id():x}")
    suite.check("the member with the disk that will fall silent leads", c.leader() is first, "")
    load = Load(suite, c.endpoints(), streams=4, bytes=200, keys=100, seconds=30, timeout_ms=3000)
    time.sleep(1)
    silent_id = first.id()
    subprocess.run(["fsfreeze", "-f", folder], check=True, capture_output=True)
    others = [m for m in c.members if m is not first]
    frozen = time.monotonic()
    on = wait_for(lambda: any(m.ctl("put", "on", "x", timeout=4).out == "OK\n" for m in others), 20, 0.2)
    suite.check("writes go on at the others", on, [m.log()[-300:] for m in c.members])
    suite.check("another leads", wait_for(lambda: others[0].status().get("leader", 0) not in (0, silent_id), 10, 0.1), first.log()[-400:])
    print(f"    another leads after {time.monotonic() - frozen:.1f} s")
    subprocess.run(["fsfreeze", "-u", folder], check=True, capture_output=True)
    load.finish(stop=True)
    suite.check("the disk answers again: HashKV is equal on all", c.hashes_agree(30), c.hashes())
    _, done = load.record()
    suite.check("nothing acknowledged is lost", c.leader().status()["header"]["revision"] >= max(done.values()), "")


if __name__ == "__main__":
    sys.exit(Suite("engine-disk").run([one_member, the_leader_of_three, all_of_three, a_silent_disk_under_the_leader]))
