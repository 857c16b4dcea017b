# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 and gRPC by hand, for clients that no library would be: frames are bytes, windows are what the test says,
and nothing is read that is not asked for. Also the few bytes of protobuf that requests need."""
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
WINDOW_MAX = 2 ** 31 - 1
KV, WATCH, LEASE, MAINTENANCE = ("/etcdserverpb.KV/", "/etcdserverpb.Watch/", "/etcdserverpb.Lease/",
                                 "/etcdserverpb.Maintenance/")


# ---- protobuf ----

def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7f | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def pb_bytes(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def pb_int(field, number):
    return varint(field << 3) + varint(number & (2 ** 64 - 1))


def pb_fields(data):
    """(field, value) of a message: ints and bytes."""
    at = 0

    def read():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value
    while at < len(data):
        tag = read()
        value = read()
        if tag & 7 == 2:
            yield tag >> 3, data[at:at + value]
            at += value
        else:
            yield tag >> 3, value


def put(key, value, lease=0):
    return pb_bytes(1, key) + pb_bytes(2, value) + (pb_int(3, lease) if lease else b"")


def txn(puts):
    """A transaction of puts (messages of put())."""
    return b"".join(pb_bytes(2, pb_bytes(2, one)) for one in puts)


# ---- frames ----

def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def literal(name, value):
    """One header, literal, never indexed, no Huffman; both below 127 bytes."""
    return b"\x10" + bytes((len(name),)) + name + bytes((len(value),)) + value


def request_block(path, extra=()):
    headers = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path.encode()), (b":authority", b"localhost"),
               (b"content-type", b"application/grpc"), (b"te", b"trailers"), *extra]
    return b"".join(literal(name, value) for name, value in headers)


def grpc_message(message):
    return b"\0" + struct.pack(">I", len(message)) + message


def address_of(url):
    host, port = url.split("//")[1].rsplit(":", 1)
    return host, int(port)


class Gone(Exception):
    """The server closed the connection."""


class Conn:
    """One connection. window: what the server may send at first, per stream and in all."""

    def __init__(self, url, window=WINDOW_MAX, cafile=None, timeout=60, receive_buffer=None):
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        self.sock.connect(address_of(url))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if cafile:
            context = ssl.create_default_context(cafile=cafile)
            context.check_hostname = False
            context.set_alpn_protocols(["h2"])
            self.sock = context.wrap_socket(self.sock)
        self.next_stream, self.buffer = 1, bytearray()
        start = PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, window))
        if window > 65535:
            start += frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", window - 65535))
        self.send(start)

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError) as error:
            raise Gone(str(error)) from error

    def start(self, path, message=None, end=True, extra=()):
        """Sends a request; gives its stream."""
        stream = self.next_stream
        self.next_stream += 2
        out = frame(HEADERS, END_HEADERS, stream, request_block(path, extra))
        if message is not None:
            out += frame(DATA, END_STREAM if end else 0, stream, grpc_message(message))
        self.send(out)
        return stream

    def fill(self):
        try:
            data = self.sock.recv(1 << 20)
        except (ConnectionResetError, ssl.SSLError) as error:
            raise Gone(str(error)) from error
        if not data:
            raise Gone("closed")
        self.buffer += data

    def frames(self):
        """(kind, flags, stream, payload) as they come; answers SETTINGS and PING."""
        while True:
            while len(self.buffer) < 9:
                self.fill()
            size = int.from_bytes(self.buffer[:3], "big")
            while len(self.buffer) < 9 + size:
                self.fill()
            kind, flags = self.buffer[3], self.buffer[4]
            stream = int.from_bytes(self.buffer[5:9], "big") & WINDOW_MAX
            payload = bytes(self.buffer[9:9 + size])
            del self.buffer[:9 + size]
            if kind == SETTINGS and not flags & ACK:
                self.send(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                self.send(frame(PING, ACK, 0, payload))
            yield kind, flags, stream, payload

    def ready(self):
        """Waits for the server's windows; before, it takes 65,535 bytes."""
        for kind, _, _, _ in self.frames():
            if kind == WINDOW_UPDATE:
                return self

    def unary(self, path, message):
        """The answer's message; None: a status without one."""
        stream = self.start(path, message)
        body = bytearray()
        for kind, flags, on, payload in self.frames():
            if on != stream:
                continue
            if kind == RST_STREAM:
                raise Gone("reset")
            if kind == DATA:
                body += payload
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                break
        return bytes(body[5:]) if len(body) >= 5 else None

    def close(self):
        self.sock.close()


def fill_keys(url, count, value_bytes, prefix=b"k/", per_txn=100, lease=0, overwrite=None):
    """Puts count keys in transactions, some at a time; with overwrite, on that many keys only."""
    conn = Conn(url).ready()
    block = request_block(KV + "Txn")
    value = b"v" * value_bytes
    pending = 0
    answers = conn.frames()

    def wait_one():
        for kind, flags, _, _ in answers:
            if kind == HEADERS and flags & END_STREAM:
                return
            if kind in (RST_STREAM, GOAWAY):
                raise Gone("refused")
    for at in range(0, count, per_txn):
        numbers = [n if overwrite is None else n % overwrite for n in range(at, min(at + per_txn, count))]
        message = grpc_message(txn(put(prefix + b"%09d" % n, value, lease) for n in numbers))
        stream = conn.next_stream
        conn.next_stream += 2
        out = frame(HEADERS, END_HEADERS, stream, block)
        parts = [message[i:i + 16384] for i in range(0, len(message), 16384)]
        for i, part in enumerate(parts):
            out += frame(DATA, END_STREAM if i == len(parts) - 1 else 0, stream, part)
        conn.send(out)
        pending += 1
        if pending >= (8 if per_txn > 8 else 200):
            wait_one()
            pending -= 1
    for _ in range(pending):
        wait_one()
    conn.close()


# ---- an honest client, in a process of its own ----

def probe_main(url, seconds, rate, cafile):
    """Puts on one connection, one at a time and at most at a rate; the figures as JSON."""
    conn = Conn(url, cafile=cafile or None)
    times, start, number, failed = [], time.monotonic(), 0, 0
    next_at = start
    while time.monotonic() - start < seconds:
        time.sleep(max(0, next_at - time.monotonic()))
        sent = time.monotonic()
        next_at = max(next_at + 1 / rate, sent)
        try:
            answer = conn.unary(KV + "Put", put(b"probe/%d" % (number % 100), b"x" * 100))
            failed += answer is None
        except (Gone, OSError):
            failed += 1
            conn = Conn(url, cafile=cafile or None)
        times.append(time.monotonic() - sent)
        number += 1
    times.sort()
    print(json.dumps({"count": len(times), "failed": failed, "p50_ms": round(1000 * times[len(times) // 2], 2),
                      "p99_ms": round(1000 * times[len(times) * 99 // 100], 2), "max_ms": round(1000 * times[-1], 2)}))


class Probe:
    """The honest client running beside something."""

    def __init__(self, url, seconds, rate=200, cafile=""):
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), url, str(seconds), str(rate), cafile],
                                        stdout=subprocess.PIPE, text=True)

    def result(self):
        out, _ = self.process.communicate(timeout=900)
        return json.loads(out)


def rss_anon_mb(pid):
    """Memory of the process's own: without pages of files, which the kernel takes back as it likes."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
    return 0


if __name__ == "__main__":
    probe_main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), sys.argv[4] if len(sys.argv) > 4 else "")
