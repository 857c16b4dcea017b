#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hostile clients and lying peers, each beside an honest client: HTTP/2 floods, slow handshakes and headers, clients that
never read, oversized and nested requests, garbage on the peer port, HTTP/1.1 abuse. The member lives, the honest client
is served, memory stays within a bound, and who broke a rule is disconnected.

    floods.py                     each flood for 2 s (FLOOD [FLOOD ...] for some of them)
    floods.py --seconds 30        as long as it is told; --report FILE writes the figures as a table
"""
import json
import os
import random
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import h2raw  # noqa: E402
from h2raw import (CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, KV, PING, PREFACE, RST_STREAM, SETTINGS, WATCH,  # noqa: E402
                   WINDOW_UPDATE, Conn, Gone, address_of, frame, grpc_message, literal, pb_bytes, pb_int, put, request_block)
from quorate import Member, Suite  # noqa: E402

GROWTH_MB_MAX = 64      # of the member's memory under one flood
P99_RATIO_MAX = 3       # of the honest client, where it is judged (--judge)
KEYS, VALUE_BYTES = 20000, 1000  # 20 MB to be asked for


# ---- attackers: each runs in a process of its own until it is ended ----

def connections(url, make, count=1):
    """Runs make(conn) on count threads; a connection that the server closes is made again."""
    def run():
        while True:
            try:
                make()
            except (Gone, OSError):
                time.sleep(0.01)
    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def drain(sock):
    """Throws away what has come, so that only the server's rules stop the flood."""
    try:
        while sock.recv(1 << 16, socket.MSG_DONTWAIT):
            pass
    except BlockingIOError:
        pass


def opened(url, **options):
    """With its first settings said and acknowledged on both sides."""
    return Conn(url, timeout=5, **options).ready()


def flood_frames(url, block, count=4):
    """The same bytes again and again."""
    def make():
        conn = opened(url)
        while True:
            conn.send(block)
            drain(conn.sock)
    connections(url, make, count)


def rapid_reset(url):
    block = request_block(KV + "Range")
    body = grpc_message(pb_bytes(1, b"k/") + pb_bytes(2, b"k0"))

    def make():
        conn = opened(url)
        while True:
            out = bytearray()
            for _ in range(500):
                stream = conn.next_stream
                conn.next_stream += 2
                out += frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, body)
                out += frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
            conn.send(out)
            drain(conn.sock)
    connections(url, make, 4)


def rapid_reset_of_headers(url):
    block = request_block(KV + "Put")

    def make():
        conn = opened(url)
        while True:
            out = bytearray()
            for _ in range(500):
                out += frame(HEADERS, END_HEADERS, conn.next_stream, block)
                out += frame(RST_STREAM, 0, conn.next_stream, struct.pack(">I", 8))
                conn.next_stream += 2
            conn.send(out)
            drain(conn.sock)
    connections(url, make, 4)


def continuation(url):
    part = frame(CONTINUATION, 0, 1, literal(b"x-filler", b"y" * 100) * 50)

    def make():
        conn = opened(url)
        conn.send(frame(HEADERS, 0, 1, request_block(KV + "Put")))
        while True:
            conn.send(part * 10)
    connections(url, make, 4)


def settings(url):
    flood_frames(url, frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 2000)


def ping(url):
    flood_frames(url, frame(PING, 0, 0, b"12345678") * 2000)


def empty_data(url):
    def make():
        conn = opened(url)
        conn.send(frame(HEADERS, END_HEADERS, 1, request_block(KV + "Put")))
        while True:
            conn.send(frame(DATA, 0, 1) * 5000)
    connections(url, make, 4)


def empty_headers(url):
    def make():
        conn = opened(url)
        while True:
            out = bytearray()
            for _ in range(1000):
                out += frame(HEADERS, END_HEADERS, conn.next_stream)
                conn.next_stream += 2
            conn.send(out)
            drain(conn.sock)
    connections(url, make, 4)


def hpack_bomb(url):
    """A value of 4,000 bytes goes into the table once; each later header is one byte that stands for it."""
    value = b"b" * 3900
    insert = b"\x40" + bytes((6,)) + b"x-bomb" + b"\x7f" + h2raw.varint(len(value) - 127) + value

    def make():
        conn = opened(url)
        out = frame(HEADERS, END_HEADERS, 1, request_block(KV + "Put") + insert)
        conn.send(out)
        conn.next_stream = 3
        while True:
            out = bytearray()
            for _ in range(50):
                out += frame(HEADERS, END_HEADERS, conn.next_stream, request_block(KV + "Put") + b"\xbe" * 12000)
                conn.next_stream += 2
            conn.send(out)
            drain(conn.sock)
    connections(url, make, 4)


def window_updates(url):
    def make():
        conn = opened(url, window=65535)
        conn.send(frame(HEADERS, END_HEADERS, 1, request_block(KV + "Put")))
        kind = random.randrange(3)
        while True:
            one = frame(WINDOW_UPDATE, 0, 1 if kind else 0, struct.pack(">I", 1))
            conn.send(one * 5000)
            if kind == 2:
                conn.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2 ** 31 - 1)) * 2)  # overflows
            drain(conn.sock)
    connections(url, make, 4)


def many_streams(url):
    """Requests that begin and never go on."""
    block = request_block(KV + "Put")

    def make():
        conn = opened(url)
        while True:
            out = bytearray()
            for _ in range(1000):
                out += frame(HEADERS, END_HEADERS, conn.next_stream, block)
                conn.next_stream += 2
            conn.send(out)
            drain(conn.sock)
    connections(url, make, 4)


def many_watches(url):
    """Watch streams, each with a watch, one after another."""
    block = request_block(WATCH + "Watch")
    body = grpc_message(pb_bytes(1, pb_bytes(1, b"k/") + pb_bytes(2, b"k0")))

    def make():
        conn = opened(url)
        while True:
            out = bytearray()
            for _ in range(500):
                out += frame(HEADERS, END_HEADERS, conn.next_stream, block) + frame(DATA, 0, conn.next_stream, body)
                conn.next_stream += 2
            conn.send(out)
            drain(conn.sock)
    connections(url, make, 4)


def slow_headers(url):
    """Connections that say one byte at a time."""
    start = PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, 0, 1, request_block(KV + "Put"))
    head = b"POST /v3/kv/range HTTP/1.1\r\nHost: x\r\n" + b"X-Slow: y\r\n" * 1000
    open_ones = []
    while True:
        while len(open_ones) < 1500:
            sock = socket.socket()
            sock.setblocking(False)
            try:
                sock.connect(address_of(url))
            except BlockingIOError:
                pass
            open_ones.append([sock, 0, start if len(open_ones) % 2 else head])
        for one in list(open_ones):
            try:
                one[0].send(one[2][one[1]:one[1] + 1])
                one[1] = min(one[1] + 1, len(one[2]) - 1)
            except BlockingIOError:
                pass
            except OSError:
                one[0].close()
                open_ones.remove(one)
        time.sleep(0.05)


def slow_handshakes(url):
    """TLS that begins and does not go on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    out = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), out).do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello = out.read()
    open_ones = []
    while True:
        while len(open_ones) < 1500:
            sock = socket.socket()
            sock.setblocking(False)
            try:
                sock.connect(address_of(url))
            except BlockingIOError:
                pass
            open_ones.append([sock, 0, random.randrange(len(hello))])
        for one in list(open_ones):
            try:
                if one[1] == 0:
                    one[0].send(hello[:one[2]] if one[2] % 2 else hello)
                    one[1] = 1
                elif one[0].recv(65536) == b"":
                    raise OSError("closed")
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                one[0].close()
                open_ones.remove(one)
        time.sleep(0.02)


def slow_readers(url):
    """Ask for everything, again and again, and read nothing."""
    block = request_block(KV + "Range")
    body = grpc_message(pb_bytes(1, b"k/") + pb_bytes(2, b"k0"))
    page = grpc_message(pb_bytes(1, b"k/") + pb_bytes(2, b"k0") + pb_int(3, 100))
    watch = grpc_message(pb_bytes(1, pb_bytes(1, b"k/") + pb_bytes(2, b"k0") + pb_int(3, 2)))
    held = []
    while True:
        try:
            conn = Conn(url, timeout=1, receive_buffer=4096)
            out = bytearray()
            for i in range(200):
                stream = conn.next_stream
                conn.next_stream += 2
                if i % 4 == 3:
                    out += frame(HEADERS, END_HEADERS, stream, request_block(WATCH + "Watch")) + frame(DATA, 0, stream, watch)
                else:
                    out += frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, body if i % 4 else page)
            conn.send(out)
            held.append(conn)
        except (Gone, OSError):
            pass
        if len(held) >= 200:
            time.sleep(0.05)
            held.pop(0).close()


def closed_windows(url):
    """The same with windows of zero bytes: the answers may not even leave."""
    def make():
        conn = Conn(url, window=0, timeout=5)
        for _ in range(2000):
            conn.start(KV + "Range", pb_bytes(1, b"k/") + pb_bytes(2, b"k0") + pb_int(3, 500))
        while True:
            time.sleep(1)
            conn.send(frame(PING, h2raw.ACK, 0, b"12345678"))
    connections(url, make, 50)


def oversized(url):
    """Messages that say to be 4 GiB, and bodies that go on over every limit."""
    block = request_block(KV + "Put")

    def make():
        conn = opened(url)
        for size in (2 ** 32 - 1, 2 ** 31, 3 << 20, (2 << 20) - 5):
            for _ in range(20):
                stream = conn.next_stream
                conn.next_stream += 2
                conn.send(frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, 0, stream, b"\0" + struct.pack(">I", size)))
                conn.send(frame(DATA, 0, stream, b"z" * 16384) * 32)
                drain(conn.sock)
    connections(url, make, 4)


def unfinished(url):
    """Requests of two megabytes whose last byte never comes, on many streams and connections."""
    block = request_block(KV + "Put")

    def make():
        conn = opened(url)
        while True:
            stream = conn.next_stream
            conn.next_stream += 2
            conn.send(frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, 0, stream, b"\0" + struct.pack(">I", 2 << 20)))
            conn.send(frame(DATA, 0, stream, b"z" * 16384) * 60)
            drain(conn.sock)
    connections(url, make, 8)


def nested(url):
    """Transactions in transactions, as deep as a message can hold; 100 ranges over everything in one."""
    deep = b""
    for _ in range(20000):
        inner = pb_bytes(4, deep)
        deep = pb_bytes(2, inner)
        if len(deep) > 1 << 20:
            break
    wide = b"".join(pb_bytes(2, pb_bytes(1, pb_bytes(1, b"k/") + pb_bytes(2, b"k0") + pb_int(9, 1))) for _ in range(100))
    compares = b"".join(pb_bytes(1, pb_int(1, 1) + pb_int(2, 2) + pb_bytes(3, b"k%d" % i)) for i in range(128))
    shallow = pb_bytes(2, pb_bytes(4, pb_bytes(2, pb_bytes(4, pb_bytes(2, pb_bytes(2, put(b"n", b"v")))))))

    def make():
        conn = opened(url)
        while True:
            for message in (deep, wide, compares, shallow):
                stream = conn.next_stream
                conn.next_stream += 2
                data = grpc_message(message)
                parts = [data[i:i + 16384] for i in range(0, len(data), 16384)]
                conn.send(frame(HEADERS, END_HEADERS, stream, request_block(KV + "Txn")) + b"".join(
                    frame(DATA, END_STREAM if i == len(parts) - 1 else 0, stream, part) for i, part in enumerate(parts)))
            time.sleep(0.005)
            drain(conn.sock)
    connections(url, make, 2)


def requests(url):
    """Nothing forbidden, only too much: reads of everything and pages, as fast as they can be said, and the answers read."""
    block = request_block(KV + "Range")
    body = grpc_message(pb_bytes(1, b"k/") + pb_bytes(2, b"k0") + pb_int(3, 300))

    def make():
        conn = opened(url)
        while True:
            out = bytearray()
            for _ in range(200):
                out += frame(HEADERS, END_HEADERS, conn.next_stream, block) + frame(DATA, END_STREAM, conn.next_stream, body)
                conn.next_stream += 2
            conn.send(out)
            drain(conn.sock)
    connections(url, make, 4)


def garbage(url):
    def make():
        sock = socket.create_connection(address_of(url), timeout=2)
        sock.sendall(random.choice((b"", PREFACE, b"GET / HTTP/1.1\r\n", b"\x16\x03\x01")) + random.randbytes(20000))
        sock.recv(65536)
        sock.close()
    connections(url, make, 4)


def http1(url):
    """Requests in a row without reading, heads without end, bodies that never end, chunks that lie."""
    host = b"Host: x\r\n"
    key = b'{"key":"ay8=","range_end":"azA="}'
    pipelined = (b"POST /v3/kv/range HTTP/1.1\r\n" + host + b"Content-Length: %d\r\n\r\n" % len(key) + key) * 500

    def pipeline():
        sock = socket.create_connection(address_of(url), timeout=5)
        while True:
            sock.sendall(pipelined)

    def giant():
        sock = socket.create_connection(address_of(url), timeout=5)
        sock.sendall(b"POST /v3/kv/put HTTP/1.1\r\n" + host + b"Content-Length: 99999999999\r\n\r\n")
        while True:
            sock.sendall(b'{"key":"' + b"a" * 65536)

    def chunks():
        sock = socket.create_connection(address_of(url), timeout=5)
        sock.sendall(b"POST /v3/kv/put HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\n")
        while True:
            sock.sendall(b"1\r\n{\r\n" * 10000)

    def heads():
        sock = socket.create_connection(address_of(url), timeout=5)
        sock.sendall(b"GET /version HTTP/1.1\r\n")
        while True:
            sock.sendall(b"X-H: " + b"h" * 1000 + b"\r\n")

    def nest():
        sock = socket.create_connection(address_of(url), timeout=5)
        body = b'{"success":[{"request_txn":' * 30000
        sock.sendall(b"POST /v3/kv/txn HTTP/1.1\r\n" + host + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        sock.recv(65536)
    kinds = (pipeline, giant, chunks, heads, nest)
    threads = [threading.Thread(target=connections, args=(url, kind), daemon=True) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def lying_peer(url):
    """On the peer port: messages and snapshots whose lengths lie, unknown members, terms out of this world."""
    def post(path, body, length, extra=b""):
        sock = socket.create_connection(address_of(url), timeout=2)
        sock.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nX-Etcd-Cluster-Id: %s\r\nX-Server-From: 1\r\n" % cluster + extra +
                     b"X-Server-Version: 3.6.0\r\nX-Min-Cluster-Version: 3.0.0\r\nContent-Length: %d\r\n\r\n" % length + body)
        sock.settimeout(0.2)
        try:
            sock.recv(65536)
        except TimeoutError:
            pass
        sock.close()
    with urllib.request.urlopen(url + "/members", timeout=5) as answer:
        cluster = answer.headers["X-Etcd-Cluster-ID"].encode()
        own = json.loads(answer.read())[0]["id"]
    big = 2 ** 64 - 1
    message = (pb_int(1, 3) + pb_int(2, own) + pb_int(3, 1) + pb_int(4, big) + pb_int(5, big) + pb_int(6, big) +
               pb_bytes(7, pb_int(2, big) + pb_int(3, big) + pb_bytes(4, b"x" * 100)) + pb_int(8, big))

    def make():
        for path in (b"/raft", b"/raft/snapshot", b"/raft/stream/msgapp/1", b"/raft/probing", b"/leases", b"/leases/internal"):
            post(path, message, len(message))
            post(path, b"\xff" * 1000, 1000)
            post(path, struct.pack(">Q", 2 ** 60) + b"x" * 1000, 2 ** 40)
            post(path, message[:20], 60 << 20)
    connections(url, make, 8)


PEER_FLOODS = {"lying_peer", "garbage_peer"}
TLS_FLOODS = {"slow_handshakes"}
FLOODS = [rapid_reset, rapid_reset_of_headers, continuation, settings, ping, empty_data, empty_headers, hpack_bomb, window_updates,
          many_streams, many_watches, slow_headers, slow_handshakes, slow_readers, closed_windows, oversized, unfinished, nested,
          requests, garbage, http1, lying_peer]


# ---- the suite ----

class Sampler:
    """The largest own memory of a process while it runs."""

    def __init__(self, pid):
        self.pid, self.peak, self.on = pid, h2raw.rss_anon_mb(pid), True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while self.on:
            try:
                self.peak = max(self.peak, h2raw.rss_anon_mb(self.pid))
            except OSError:
                return
            time.sleep(0.02)

    def stop(self):
        self.on = False
        self.thread.join()
        return self.peak


def member_of(suite, tls):
    member = Member(suite, "tls" if tls else "m1")
    if os.environ.get("QUORATE_FLOODS_DIR"):
        member.data = os.path.join(os.environ["QUORATE_FLOODS_DIR"], os.path.basename(member.data))
    cafile = ""
    if tls:
        folder = suite.folder("certs")
        cafile = os.path.join(folder, "ca.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-keyout", os.path.join(folder, "key.pem"), "-out", cafile, "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"], check=True, capture_output=True)
        member.client = member.client.replace("http://", "https://")
        member.flags.update({"cert-file": cafile, "key-file": os.path.join(folder, "key.pem")})
        member.start(wait=False)
        if not member.wait_log("serving client traffic", 20):
            raise RuntimeError(member.log()[-1000:])
        time.sleep(0.5)
    else:
        member.start()
        h2raw.fill_keys(member.client, KEYS, VALUE_BYTES, per_txn=10)
    return member, cafile


def run_flood(suite, flood, seconds, judge, member, cafile, alone, rows):
    name = flood.__name__
    url = member.peer if name in PEER_FLOODS else member.client
    before = h2raw.rss_anon_mb(member.process.pid)
    sampler = Sampler(member.process.pid)
    attacker = subprocess.Popen(["nice", "-n", "10", sys.executable, os.path.abspath(__file__), "--attack", name, url],
                                stderr=subprocess.PIPE, text=True, start_new_session=True)
    time.sleep(0.3)
    probe = h2raw.Probe(member.client, seconds, 100, cafile)
    figures = probe.result()
    was_on = attacker.poll() is None
    attacker.kill()
    said = attacker.communicate()[1]
    growth = sampler.stop() - before
    rows.append((name, alone["p99_ms"], figures["p50_ms"], figures["p99_ms"], figures["max_ms"], growth))
    detail = {"alone": alone, "beside": figures, "growth_mb": round(growth, 1)}
    suite.check(f"{name}: the attack went on until it was ended", was_on, said[-500:])
    suite.check(f"{name}: the member lives", member.is_running(), member.log()[-1500:])
    suite.check(f"{name}: the honest client was served {figures['count']} times", figures["failed"] == 0, detail)
    suite.check(f"{name}: memory grew by {growth:.0f} MB of at most {GROWTH_MB_MAX}", growth <= GROWTH_MB_MAX, detail)
    print(f"   # {json.dumps(detail)}", flush=True)
    if judge:
        suite.check(f"{name}: p99 at most {P99_RATIO_MAX} times", figures["p99_ms"] <= P99_RATIO_MAX * alone["p99_ms"], detail)


def report(path, rows, seconds):
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"| flood ({seconds:g} s) | p99 alone, ms | p50 beside | p99 beside | longest | memory, MB more |\n|---|---|---|---|---|---|\n")
        for name, alone, p50, p99, longest, growth in rows:
            file.write(f"| {name} | {alone} | {p50} | {p99} | {longest} | {growth:.0f} |\n")


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["--attack"]:
        {flood.__name__: flood for flood in FLOODS}[arguments[1]](arguments[2])
        return 0
    seconds, judge, path, chosen = 2.0, False, None, []
    while arguments:
        word = arguments.pop(0)
        if word == "--seconds":
            seconds = float(arguments.pop(0))
        elif word == "--report":
            path = arguments.pop(0)
        elif word == "--judge":
            judge = True
        else:
            chosen.append(word)
    suite = Suite("floods")
    rows = []
    try:
        for tls in (False, True):
            floods = [f for f in FLOODS if (f.__name__ in TLS_FLOODS) == tls and (not chosen or f.__name__ in chosen)]
            for flood in floods:
                member, cafile = member_of(suite, tls)
                alone = h2raw.Probe(member.client, max(1, min(seconds, 5)), 100, cafile).result()
                run_flood(suite, flood, seconds, judge, member, cafile, alone, rows)
                suite.stop_all()
                shutil.rmtree(member.data, ignore_errors=True)
    finally:
        suite.stop_all()
    if path:
        report(path, rows, seconds)
    return suite.end()


if __name__ == "__main__":
    sys.exit(main())
