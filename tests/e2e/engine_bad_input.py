#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What goes wrong: flags, addresses, folders, damaged logs, garbage on the ports, requests that are too large.
Each gives an error that says what to do and the right exit status; nothing acknowledged is lost."""
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from quorate import QUORATE, SLOW, Cluster, Load, Member, Suite, ctl, free_port, http, wait_for  # noqa: E402

FAST = 15


def run_with(suite, *flags, env=None):
    """Exit status (None: it runs on) and what it says."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ETCD_")}
    environment.update(env or {})
    try:
        done = subprocess.run([QUORATE, *flags], capture_output=True, text=True, timeout=FAST * SLOW,
                              cwd=suite.folder("cwd"), env=environment, check=False)
    except subprocess.TimeoutExpired as error:
        return None, str(error.stderr)
    return done.returncode, done.stdout + done.stderr


def refuses(suite, behaviour, words, *flags, code=1, env=None):
    got, text = run_with(suite, *flags, env=env)
    suite.check(behaviour, got == code and all(word in text for word in words), f"exit {got}, want {code} with {words}: {text}")


def flags(suite):
    client, peer = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    urls = [f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}"]
    data = ["--data-dir", os.path.join(suite.dir, "flags")]
    refuses(suite, "an unknown flag", ["no-such-flag"], "--no-such-flag", code=2)
    refuses(suite, "a flag without its value", ["data-dir"], "--data-dir", code=2)
    refuses(suite, "a number that is none", ["heartbeat-interval", "soon"], "--heartbeat-interval=soon", code=2)
    refuses(suite, "a switch that is neither true nor false", ["pre-vote", "maybe"], "--pre-vote=maybe", code=2)
    refuses(suite, "an argument that is no flag", ["serve"], "serve", code=2)
    refuses(suite, "an election timeout shorter than five heartbeats", ["--election-timeout", "--heartbeat-interval", "5 times"],
            "--election-timeout=300", "--heartbeat-interval=100")
    refuses(suite, "listening elsewhere without saying where clients find it", ["--advertise-client-urls is required"],
            f"--listen-client-urls={client}")
    refuses(suite, "a URL that is none", ["listen-client-urls"], "--listen-client-urls=127.0.0.1", "--advertise-client-urls=" + client)
    refuses(suite, "a cluster state that does not exist", ["--initial-cluster-state is new or existing"], *urls, "--initial-cluster-state=old")
    refuses(suite, "an initial cluster without this member", ["--initial-cluster must contain m1="], *urls, *data, "--name=m1",
            f"--initial-cluster=other={peer}")
    refuses(suite, "an initial cluster with another URL for this member", ["--initial-advertise-peer-urls"], *urls, *data, "--name=m1",
            "--initial-cluster=m1=http://127.0.0.1:1")
    refuses(suite, "environment and flag that contradict each other", ["conflicting environment variable", "ETCD_NAME"], *urls, "--name=m1",
            env={"ETCD_NAME": "m2"})
    refuses(suite, "joining a cluster that nobody answers for", ["cannot fetch cluster info from peer urls"], *urls, *data, "--name=m1",
            f"--initial-cluster=m1={peer},m2=http://127.0.0.1:1", "--initial-cluster-state=existing")
    refuses(suite, "an unknown compaction mode", ["auto-compaction-mode", "periodic or revision"], *urls, "--auto-compaction-mode=never")
    code, text = run_with(suite, "--version")
    suite.check("--version", code == 0 and text.startswith("etcd Version: 3.6."), (code, text))
    code, text = run_with(suite, "--help")
    suite.check("--help names flags by group", code == 0 and "--initial-cluster" in text and "Clustering" in text, (code, text[:200]))
    m = Member(suite, "m1")
    m.start(extra_env={"ETCD_NO_SUCH_THING": "x"})
    suite.check("an unknown ETCD_ variable is a warning", "unrecognized environment variable" in m.log() and "ETCD_NO_SUCH_THING" in m.log(), m.log())


def addresses(suite):
    m = Member(suite, "m1").start()
    m.ctl("put", "k", "v")
    for port in ("client", "peer", "metrics"):
        other = Member(suite, "m2", metrics=True)
        setattr(other, port, m.peer if port == "peer" else m.client)
        other.initial_cluster = f"m2={other.peer}"
        other.start(wait=False)
        code = other.wait_exit(FAST)
        taken = getattr(other, port).split("//")[1]
        suite.check(f"a {port} address in use ends it with 1 and names the address", code == 1 and taken in other.log() and "in use" in other.log(),
                    (code, other.log()))
    other = Member(suite, "m3")
    other.client = "http://192.0.2.1:2379"
    other.start(wait=False)
    suite.check("an address of another machine", other.wait_exit(FAST) == 1 and "192.0.2.1:2379" in other.log(), other.log())
    suite.equal("the member that has the address does not notice", m.ctl("get", "k").out, "k\nv\n")


def folders(suite):
    m = Member(suite, "m1").start()
    m.ctl("put", "k", "v")
    second = Member(suite, "m1", data_dir=m.data)
    second.log_path = m.data + "-second.log"
    second.start(wait=False)
    code = second.wait_exit(FAST)
    suite.check("a data directory that another process uses", code == 1 and m.data in second.log(), (code, second.log()))
    suite.equal("who uses it does not notice", (m.ctl("put", "k2", "v").out, m.ctl("get", "k").out), ("OK\n", "k\nv\n"))
    m.kill()
    file_path = os.path.join(suite.dir, "a-file")
    with open(file_path, "w", encoding="utf-8") as file:
        file.write("x")
    wrong = Member(suite, "m1", data_dir=os.path.join(file_path, "data"))
    wrong.log_path = os.path.join(suite.dir, "wrong.log")
    wrong.start(wait=False)
    suite.check("a data directory below a file", wrong.wait_exit(FAST) == 1 and file_path in wrong.log(), wrong.log())
    m.start()
    suite.equal("all is there afterwards", m.ctl("get", "--prefix", "k", "--print-value-only").out, "v\nv\n")


def another_cluster(suite):
    c = Cluster(suite, token="mine").start()
    c.members[0].ctl("put", "mine", "1")
    foreign = Cluster(suite, 1, token="foreign").start()
    foreign.members[0].ctl("put", "foreign", "1")
    foreign.members[0].stop()
    # A member whose folder was swapped for one of another cluster, at the same addresses.
    victim = c.followers()[0]
    rest = [m for m in c.members if m is not victim]
    own = victim.data
    victim.stop()
    victim.data = foreign.members[0].data
    victim.start(wait=False)
    told = wait_for(lambda: any("cluster ID mismatch" in m.log() for m in rest + [victim]), 15)
    suite.check("a data directory of another cluster: the log says that the cluster ids differ", told, victim.log()[-1500:])
    suite.equal("the others go on", rest[0].ctl("put", "after", "1").out, "OK\n")
    suite.check("and hold nothing of it", rest[0].ctl("get", "foreign").out == "" and rest[1].ctl("get", "foreign").out == "", "")
    if victim.is_running():
        victim.stop()
    victim.data = own
    victim.start()
    suite.equal("with its own folder it is a member again", victim.ctl("get", "after", "--print-value-only").out, "1\n")
    suite.check("HashKV is equal on all", c.hashes_agree(), c.hashes())
    # Its folder is lost: it must not come back empty under its old id.
    victim.kill()
    shutil.move(victim.data, victim.data + "-lost")
    victim.start(wait=False)
    suite.check("a member that lost its folder does not come back empty", victim.wait_exit(FAST) == 1 and
                "has already been bootstrapped" in victim.log() and "remove it from the cluster" in victim.log(), victim.log()[-800:])
    stranger = Member(suite, "m9")
    stranger.cluster_state = "existing"
    stranger.initial_cluster = c.members[0].initial_cluster + f",m9={stranger.peer}"
    stranger.start(wait=False)
    suite.check("a member that was not added does not join", stranger.wait_exit(FAST) == 1 and "member count is unequal" in stranger.log(), stranger.log())


def wal_files(member):
    folder = os.path.join(member.data, "member", "wal")
    return sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".wal"))


def data_end(path):
    """Behind the last byte that is not a preallocated zero."""
    with open(path, "rb") as file:
        return len(file.read().rstrip(b"\0"))


def flip(path, from_end):
    """Flips a bit in a value: between records there is padding, which nobody reads."""
    with open(path, "r+b") as file:
        content = file.read().rstrip(b"\0")
        offset = content.rfind(b"v" * 100, 0, len(content) - from_end) + 50
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x40]))


def damaged_logs(suite):
    m = Member(suite, "m1").start()
    for i in range(50):
        m.ctl("put", f"k{i}", "v" * 200)
    time.sleep(1.5)  # the mark of what is durable is written once a second
    m.kill()
    saved = m.data + "-saved"
    shutil.copytree(m.data, saved)
    wal = wal_files(m)[-1]
    end = data_end(wal)
    with open(wal, "r+b") as file:  # what a power cut leaves: the head of a record that was never flushed
        file.seek((end + 7) // 8 * 8)
        file.write(bytes([0x60, 1, 0, 0, 0, 0, 0, 0]) + os.urandom(100))
    m.start()
    suite.equal("a torn tail behind what was flushed is cut, nothing is lost", m.ctl("get", "--prefix", "k", "-w", "json").json()["count"], 50)
    suite.contains("and told", m.log(), "the end of the log was damaged")
    suite.equal("it goes on", m.ctl("put", "on", "x").out, "OK\n")
    m.kill()
    m.start()
    suite.equal("also after another restart", m.ctl("get", "on").out, "on\nx\n")
    m.kill()
    for behaviour, offset in (("in the middle", end // 2), ("near the end", 0)):
        shutil.rmtree(m.data)
        shutil.copytree(saved, m.data)
        flip(wal, offset)
        m.start(wait=False)
        code = m.wait_exit(FAST)
        last = m.log().strip().splitlines()[-1]
        suite.check(f"a flipped byte {behaviour} of the log of a single member: it refuses and says what to do",
                    code == 65 and "restore a snapshot" in last and "damaged" in last, (code, last))
    shutil.rmtree(m.data)
    shutil.copytree(saved, m.data)
    os.remove(wal)
    m.start(wait=False)
    code = m.wait_exit(5)
    lost = code is None and m.ctl("get", "--prefix", "k", "-w", "json").json().get("count", 0) != 50
    suite.check("a log that is gone beside a store that is there is no new member", code == 65 and not lost, (code, m.log()[-600:]))


def damaged_log_of_one_of_three(suite):
    c = Cluster(suite).start()
    for i in range(60):
        c.members[i % 3].ctl("put", f"k{i}", "v" * 200)
    time.sleep(1.5)
    for behaviour, offset in (("in the middle", 2), ("near the end", 0)):
        victim = c.followers()[0]
        victim.kill()
        wal = wal_files(victim)[-1]
        end = data_end(wal)
        flip(wal, end // offset if offset else 0)
        up = c.running()[0]
        up.ctl("put", "while-down", behaviour)
        victim.start(wait=False)
        healed = wait_for(lambda: victim.ctl("get", "while-down", "--consistency=s", "--print-value-only").out == behaviour + "\n", 30)
        suite.check(f"a flipped byte {behaviour} of the log of one of three: the leader brings it back", healed, victim.log()[-1500:])
        suite.contains("and it says that its log was damaged", victim.log(), "the end of the log was damaged")
        if not healed:
            return
        victim.wait_ready()
        suite.check("HashKV is equal on all", c.hashes_agree(), c.hashes())
        suite.equal("nothing is lost", victim.ctl("get", "--prefix", "k", "-w", "json").json()["count"], 60)
        victim.kill()
        victim.start()
        suite.equal("also not when it starts once more", victim.ctl("get", "--prefix", "k", "-w", "json").json()["count"], 60)


def send_raw(url, data, read=True):
    host, port = url.split("//")[1].split(":")
    got = b""
    try:
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.settimeout(3)
            connection.sendall(data)
            while read:
                part = connection.recv(65536)
                if not part:
                    break
                got += part
    except OSError:
        pass
    return got


def garbage(suite):
    m = Member(suite, "m1", metrics=True).start()
    m.ctl("put", "k", "v")
    chance = random.Random(7)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    hello = bytes.fromhex("16030100c8010000c40303") + bytes(190)
    cluster = f"{m.status()['header']['cluster_id']:x}"
    head = f"X-Server-From: 1234\r\nX-Server-Version: 3.6.0\r\nX-Min-Cluster-Version: 3.0.0\r\nX-Etcd-Cluster-ID: {cluster}\r\n"
    pieces = [
        bytes(1000), chance.randbytes(5000), hello, b"\r\n" * 1000, b"GET", b"GET / HTTP/9.9\r\n\r\n", b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
        b"POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /raft HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
        preface, preface + chance.randbytes(3000), preface + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]) + chance.randbytes(100) * 50,
        preface + bytes([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]) + bytes(100),
        f"POST /raft HTTP/1.1\r\nHost: x\r\n{head}Content-Length: 500\r\n\r\n".encode() + chance.randbytes(500),
        f"POST /raft/snapshot HTTP/1.1\r\nHost: x\r\n{head}Content-Length: 500\r\n\r\n".encode() + chance.randbytes(500),
        f"POST /raft/snapshot HTTP/1.1\r\nHost: x\r\n{head}Content-Length: 500\r\n\r\n".encode() + bytes(8) + chance.randbytes(492),
        f"GET /raft/stream/msgapp/1234 HTTP/1.1\r\nHost: x\r\n{head}X-Raft-To: 1\r\n\r\n".encode(),
        f"POST /leases HTTP/1.1\r\nHost: x\r\n{head}Content-Length: 50\r\n\r\n".encode() + chance.randbytes(50),
    ]
    for place, url in (("client", m.client), ("peer", m.peer), ("metrics", m.metrics)):
        for piece in pieces:
            send_raw(url, piece, read=len(piece) > 5)
        for _ in range(30):
            send_raw(url, chance.choice(pieces)[:chance.randrange(1, 200)] + chance.randbytes(50), read=False)
        suite.check(f"garbage on the {place} port: the member lives and serves", m.is_running() and m.ctl("get", "k").out == "k\nv\n", m.log()[-600:])
    answer = send_raw(m.peer, b"GET /raft/stream/message/1234 HTTP/1.1\r\nHost: x\r\nX-Etcd-Cluster-ID: 1\r\nX-Server-Version: 3.6.0\r\n"
                              b"X-Min-Cluster-Version: 3.0.0\r\nX-Server-From: 1234\r\nConnection: close\r\n\r\n")
    suite.check("a peer of another cluster is told so", b" 412 " in answer.split(b"\r\n")[0] and b"cluster ID mismatch" in answer, answer)
    # One connection of each kind that stays open and says nothing more.
    idle = [socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))) for url in (m.client, m.peer, m.metrics) for _ in range(50)]
    for connection in idle:
        connection.sendall(b"G")
    suite.equal("150 silent connections do not keep others out", m.ctl("get", "k").out, "k\nv\n")
    for connection in idle:
        connection.close()
    suite.equal("it ends in order", m.stop(), 143)


def large_requests(suite):
    m = Member(suite, "m1").start()
    fits = "x" * (1400 * 1000)
    suite.equal("a value of 1.4 MB is taken", (m.ctl("put", "fits", stdin=fits).out, len(m.ctl("get", "fits", "--print-value-only").out)),
                ("OK\n", len(fits) + 1))
    for size in (1600 * 1000, 2000 * 1000):
        result = m.ctl("put", "big", stdin="x" * size)
        suite.check(f"a request of {size / 1e6} MB is refused in etcd's words", result.code == 1 and
                    "etcdserver: request is too large" in result.err, result)
    said = Load(suite, [m.client], streams=1, count=1, bytes=2200 * 1000).finish()
    suite.check("a message beyond what is received at all", said["done"] == 0 and "grpc status 8" in said["last_failure"] and
                "received message larger than max" in said["last_failure"], said)
    suite.check("the member lives and has what it had", m.ctl("get", "fits", "--keys-only").out.startswith("fits") and m.ctl("get", "big").out == "", "")
    m.kill()
    m.start()
    suite.equal("also after a restart", len(m.ctl("get", "fits", "--print-value-only").out), len(fits) + 1)


if __name__ == "__main__":
    sys.exit(Suite("engine-bad-input").run([flags, addresses, folders, another_cluster, damaged_logs, damaged_log_of_one_of_three,
                                            garbage, large_requests]))
