#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Connections of gRPC clients, frame by frame, as etcd 3.6 treats them: who pings too often is told to be calm, who is
silent is asked and then left, who is there when a member stops is told to go and gets what he had asked for; crowds
that come back after all authorities were replaced. Each check is made of etcd too, where it was built.
Parts can be named as arguments. Ports 22000 to 22199."""
import os
import signal
import ssl
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import quorate  # noqa: E402
from etcds import Etcd  # noqa: E402
from h2raw import (DATA, GOAWAY, HEADERS, KV, PING, RST_STREAM, SETTINGS, WATCH, Conn, Gone, frame, pb_bytes,  # noqa: E402
                   pb_fields, put)
from quorate import Load, Member, Suite, wait_for  # noqa: E402
from tlsworld import Authority, Pki, TlsMember, built, cluster_of, found  # noqa: E402

quorate.PORT_FIRST, quorate.PORT_LAST = 22000, 22199
quorate._next_port = quorate.PORT_FIRST + (os.getpid() * 37) % (quorate.PORT_LAST - quorate.PORT_FIRST)
ENHANCE_YOUR_CALM = 11
WATCH_ALL = pb_bytes(1, pb_bytes(1, b"w"))
PUTS = 300
CROWD = 200


class Theirs(Etcd):
    program = built("etcd")


def kinds(suite):
    if Theirs.program is None:
        suite.skip("the same with etcd 3.6", "it was not built")
        return [("ours", Member)]
    return [("ours", Member), ("etcd", Theirs)]


class Ear:
    """Reads a connection to its end; SETTINGS and PING are answered unless it is deaf."""

    def __init__(self, conn, deaf=False):
        self.conn, self.frames, self.is_over = conn, [], False
        if deaf:
            honest = conn.send
            conn.send = lambda data: None if data[3] == PING else honest(data)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        try:
            for kind, flags, stream, payload in self.conn.frames():
                self.frames.append((kind, flags, stream, payload))
        except (Gone, OSError):
            self.is_over = True

    def goaways(self):
        """(last stream, code, text) of each."""
        return [(*struct.unpack(">II", p[:8]), p[8:]) for kind, _, _, p in list(self.frames) if kind == GOAWAY]

    def answered(self):
        """The streams whose calls ended well: a message and then a status in trailers."""
        bodies = {s for kind, _, s, p in self.frames if kind == DATA and p}
        return {s for kind, flags, s, _ in self.frames if kind == HEADERS and flags & 1} & bodies


def pings_until_refused(url, pause, with_stream, most):
    """How many pings were sent before GOAWAY; None: it never came."""
    conn = Conn(url)
    ear = Ear(conn)
    if with_stream:
        conn.start(WATCH + "Watch", WATCH_ALL, end=False)
        wait_for(lambda: any(kind == DATA for kind, _, _, _ in ear.frames), 10)
    for count in range(1, most + 1):
        try:
            conn.send(frame(PING, 0, 0, b"12345678"))
        except (Gone, OSError):
            return count - 1, ear.goaways()
        time.sleep(pause)
        if ear.goaways():
            return count, ear.goaways()
    conn.close()
    return None, ear.goaways()


def pings(suite):
    """Two strikes are forgiven; what the server says in between forgives them as well."""
    for name, kind in kinds(suite):
        member = kind(suite, name).start()
        for with_stream in (False, True):
            count, goaways = pings_until_refused(member.client, 0.1, with_stream, 10)
            # With a stream the first ping comes after an answer, which forgives one.
            suite.check(f"{name}: who pings ten times a second {'with' if with_stream else 'without'} a stream is told "
                        "to be calm", count == 4 and [g[1:] for g in goaways] == [(ENHANCE_YOUR_CALM, b"too_many_pings")],
                        (count, goaways))
        suite.equal(f"{name}: others are served", member.ctl("put", "a", "b").out, "OK\n")
        member.stop()
        member = kind(suite, name + "-often")
        member.flags["grpc-keepalive-min-time"] = "100ms"
        member.start()
        count, goaways = pings_until_refused(member.client, 0.3, True, 8)
        suite.check(f"{name}: --grpc-keepalive-min-time allows it with a stream", count is None and not goaways,
                    (count, goaways))
        count, goaways = pings_until_refused(member.client, 0.3, False, 10)
        suite.check(f"{name}: and never without one", count == 4 and goaways, (count, goaways))
        member.kill()


def silence(suite):
    """--grpc-keepalive-interval and --grpc-keepalive-timeout: a client that says nothing is asked, then left."""
    for name, kind in kinds(suite):
        member = kind(suite, name)
        member.flags.update({"grpc-keepalive-interval": "1s", "grpc-keepalive-timeout": "1s"})
        member.start()
        deaf, honest = Ear(Conn(member.client), deaf=True), Ear(Conn(member.client))
        suite.check(f"{name}: a silent client is asked", wait_for(lambda: any(f[0] == PING for f in deaf.frames), 20))
        suite.check(f"{name}: and left when it does not answer", wait_for(lambda: deaf.is_over, 20))
        suite.check(f"{name}: one that answers stays", wait_for(
            lambda: sum(f[0] == PING for f in honest.frames) > 3, 30) and not honest.is_over)
        member.kill()


def goodbye(suite):
    """SIGTERM: GOAWAY twice, the second says up to where calls are answered, and they are."""
    for name, kind in kinds(suite):
        member = kind(suite, name).start()
        idle, watching, busy = (Conn(member.client) for _ in range(3))
        ears = [Ear(conn) for conn in (idle, watching, busy)]
        watching.start(WATCH + "Watch", WATCH_ALL, end=False)
        suite.check(f"{name}: all are connected", wait_for(
            lambda: all(any(f[0] == SETTINGS for f in e.frames) for e in ears) and any(
                f[0] == DATA for f in ears[1].frames), 10))
        sent = {}
        try:
            for i in range(PUTS):
                sent[busy.start(KV + "Put", put(b"bye/%d" % i, b"v"))] = i
                if i == PUTS // 3:
                    member.process.send_signal(signal.SIGTERM)
        except (Gone, OSError):
            pass
        began = time.time()
        suite.check(f"{name}: it stops", member.wait_exit(20) is not None)
        print(f"  {name}: {time.time() - began:.1f} s with a watch open, {len(ears[2].answered())} of {len(sent)} answered")
        for what, ear in zip(("an idle client", "one that watches", "one that writes"), ears):
            wait_for(lambda e=ear: e.is_over, 10)
            said = ear.goaways()
            suite.check(f"{name}: {what} is told to go, twice", len(said) == 2 and said[0][:2] == (2 ** 31 - 1, 0)
                        and said[1][1:] == (0, b"graceful_stop"), said)
        last = ears[2].goaways()[-1][0]
        answered = ears[2].answered()
        suite.equal(f"{name}: all up to the last stream that it named is answered",
                    sorted(s for s in sent if s <= last and s not in answered), [])
        suite.check(f"{name}: there were some", len(answered) > PUTS // 3, len(answered))
        suite.check(f"{name}: and nothing was reset", not any(f[0] == RST_STREAM for f in ears[2].frames))
        member.start()
        there = set(member.ctl("get", "bye/", "--prefix", "--keys-only").out.split())
        suite.equal(f"{name}: what was answered is there", [s for s in answered if f"bye/{sent[s]}" not in there], [])
        # Those behind it were not done: a client may send them again.
        suite.equal(f"{name}: and nothing else", len(there), len(answered))
        member.kill()


def crowd(suite, url, pki, count):
    """count connections at once, each with a put; how many were answered."""
    done, lock = [], threading.Lock()
    context = ssl.create_default_context(cafile=pki.clients.cert)
    context.load_cert_chain(pki.client[0], pki.client[1])
    context.set_alpn_protocols(["h2"])

    def one(number):
        for _ in range(20):
            try:
                conn = SecureConn(url, context)
                answer = conn.unary(KV + "Put", put(b"crowd/%d" % number, b"v"))
                conn.close()
                if answer is not None and dict(pb_fields(answer)).get(1):
                    with lock:
                        done.append(number)
                    return
            except (Gone, OSError):
                time.sleep(0.05)
    threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    return len(done)


class SecureConn(Conn):
    """A connection over a context that was made before: a crowd shares it."""

    def __init__(self, url, context):
        host, port = url.split("//")[1].rsplit(":", 1)
        plain = quorate.socket.create_connection((host, int(port)), timeout=60)
        self.sock = context.wrap_socket(plain, server_hostname=host)
        self.next_stream, self.buffer = 1, bytearray()
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))


def crowds(suite):
    """All authorities are replaced in three steps under a writer: both are trusted, certificates of the new one are
    shown, the old one is not trusted any more; and after each, a crowd connects anew, and again when a member is back."""
    pki = Pki(suite, "crowds")
    members = [TlsMember(suite, f"c{i + 1}", pki) for i in range(3)]
    trusted = os.path.join(pki.folder, "trusted.crt")

    def trust(*certs):
        with open(trusted + ".new", "w", encoding="utf-8") as file:
            file.write("".join(open(c, encoding="utf-8").read() for c in certs))
        os.rename(trusted + ".new", trusted)
    trust(pki.clients.cert)
    for member in members:
        # A crowd may take a busy machine's processor for seconds; that is no reason for an election here.
        member.flags.update({"trusted-ca-file": trusted, "heartbeat-interval": "500", "election-timeout": "10000",
                             "initial-election-tick-advance": "true"})
    found(members)
    old, fresh = pki.clients, Authority(pki.folder, "fresh-ca")
    old_client = pki.client
    load = Load(suite, cluster_of(members).endpoints(), streams=4, seconds=60, rate=100, timeout_ms=30000,
                cacert=old.cert, cert=old_client[0], key=old_client[1])
    wait_for(lambda: len(load.record()[1]) > 50, 20)
    trust(old.cert, fresh.cert)
    suite.equal("both are trusted: a crowd of the old", crowd(suite, members[0].client, pki, CROWD), CROWD)
    pki.clients = fresh
    pki.client = fresh.issue("fresh-client", "root", hosts="", usage="clientAuth")
    for member in members:
        member.renew()
        member.flags.pop("client-crl-file", None)
    suite.equal("certificates of the new: a crowd of the new", crowd(suite, members[0].client, pki, CROWD), CROWD)
    trust(fresh.cert)
    suite.equal("the old is gone: a crowd of the new", crowd(suite, members[1].client, pki, CROWD), CROWD)
    refused = quorate.ctl([members[0].client], f"--cacert={fresh.cert}", f"--cert={old_client[0]}",
                          f"--key={old_client[1]}", "--dial-timeout=2s", "--command-timeout=2s", "get", "x")
    suite.check("one of the old is refused", refused.code != 0, refused)
    said = load.finish(stop=True)
    suite.check("the writer's connections stood", said["failed"] == 0 or "etcdserver:" in said["last_failure"], said)
    members[2].stop()
    members[2].start(wait=False)
    suite.equal("a member that comes back is met by a crowd", crowd(suite, members[2].client, pki, CROWD), CROWD)
    quorate.urllib.request.install_opener(quorate.urllib.request.build_opener())
    members[0].ctl("put", "end", "1")
    suite.check("all hold the same", cluster_of(members).hashes_agree(), cluster_of(members).hashes())


if __name__ == "__main__":
    sys.exit(Suite("engine-connections").run([pings, silence, goodbye, crowds]))
