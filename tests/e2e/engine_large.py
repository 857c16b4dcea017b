#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Large and long: ranges of everything at once in bounded memory, thousands of watchers on one stream, leases that expire
at once, compaction and defragmentation, each beside a writer; clients that never read.

    engine_large.py [PART ...]     sizes for every day
    engine_large.py --full         200,000 keys of 1 KiB, 100 ranges at once, 1,000,000 revisions, 100,000 leases"""
import json
import os
import select
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import h2raw  # noqa: E402
from h2raw import (DATA, END_HEADERS, END_STREAM, HEADERS, KV, LEASE, MAINTENANCE, WATCH, WINDOW_UPDATE, Conn, fill_keys, frame,  # noqa: E402
                   grpc_message, pb_bytes, pb_fields, pb_int, put, request_block)
from quorate import SLOW, Member, Suite, http, wait_for  # noqa: E402

FULL = "--full" in sys.argv
if FULL:
    sys.argv.remove("--full")
RANGE_KEYS, RANGES = (200000, 100) if FULL else (20000, 30)
WATCHERS = 10000
LEASES = 100000 if FULL else 20000
REVISIONS = 1000000 if FULL else 100000
SILENT_WATCHERS, SILENT_MB = 100, 64 if FULL else 24
# Of the member's own memory, above what it had: all ranges together, all silent watchers together.
RANGE_GROWTH_MB, SILENT_GROWTH_MB = 160, 64
ALL = pb_bytes(1, b"k/") + pb_bytes(2, b"k0")


def member_of(suite):
    member = Member(suite, "m1", metrics=False)
    member.flags.update({"quota-backend-bytes": 8 << 30, "max-request-bytes": 4 << 20})
    if os.environ.get("QUORATE_LARGE_DIR"):
        member.data = os.path.join(os.environ["QUORATE_LARGE_DIR"], os.path.basename(member.data))
    return member.start()


class Beside:
    """A writer and the member's memory while something runs."""

    def __init__(self, member, seconds):
        self.member, self.before, self.on = member, h2raw.rss_anon_mb(member.process.pid), True
        self.peak = self.before
        self.probe = h2raw.Probe(member.client, seconds, 100)
        self.thread = threading.Thread(target=self.sample, daemon=True)
        self.thread.start()

    def sample(self):
        while self.on:
            self.peak = max(self.peak, h2raw.rss_anon_mb(self.member.process.pid))
            time.sleep(0.02)

    def end(self):
        figures = self.probe.result()
        self.on = False
        self.thread.join()
        figures["growth_mb"] = round(self.peak - self.before, 1)
        return figures


def tell(what, **figures):
    print(f"   # {what}: {json.dumps(figures)}", flush=True)


def alone(member, seconds=3):
    return h2raw.Probe(member.client, seconds, 100).result()


def read_all(conns):
    """Reads the answers of one call on each connection, as fast as they come; the size of each one's DATA."""
    live = {conn.sock.fileno(): {"conn": conn, "head": b"", "left": 0, "size": 0} for conn in conns}
    buffer = memoryview(bytearray(1 << 20))
    sizes = []
    while live:
        ready, _, _ = select.select(list(live), [], [], 120 * SLOW)
        if not ready:
            raise RuntimeError(f"{len(live)} answers do not go on")
        for fd in ready:
            one = live[fd]
            size = one["conn"].sock.recv_into(buffer)
            if size == 0:
                raise RuntimeError("a connection was closed")
            at = 0
            while at < size and fd in live:
                if one["left"] == 0 and len(one["head"]) < 9:
                    part = min(9 - len(one["head"]), size - at)
                    one["head"] += bytes(buffer[at:at + part])
                    at += part
                    one["left"] = int.from_bytes(one["head"][:3], "big") if len(one["head"]) == 9 else 0
                part = min(one["left"], size - at)
                one["left"] -= part
                at += part
                if len(one["head"]) == 9 and one["left"] == 0:
                    kind, flags, length = one["head"][3], one["head"][4], int.from_bytes(one["head"][:3], "big")
                    one["size"] += length if kind == DATA else 0
                    one["head"] = b""
                    if kind == h2raw.RST_STREAM:
                        raise RuntimeError("an answer was reset")
                    if kind in (DATA, HEADERS) and flags & END_STREAM:
                        sizes.append(one["size"])
                        del live[fd]
    return sizes


def ranges(suite):
    member = member_of(suite)
    fill_keys(member.client, RANGE_KEYS, 1024)
    before = alone(member)
    conns = [Conn(member.client, timeout=120) for _ in range(RANGES)]
    beside = Beside(member, 60 if FULL else 5)
    start = time.monotonic()
    for conn in conns:
        conn.start(KV + "Range", ALL)
    sizes = read_all(conns)
    seconds = time.monotonic() - start
    figures = beside.end()
    tell("ranges", alone=before, beside=figures, seconds=round(seconds, 1), mb=round(sum(sizes) / 1e6))
    suite.check(f"{RANGES} ranges of {RANGE_KEYS} keys at once: each is whole",
                len(sizes) == RANGES and min(sizes) > RANGE_KEYS * 1024 and max(sizes) - min(sizes) < 10, sizes[:5])
    suite.check(f"in {RANGE_GROWTH_MB} MB of memory at most", figures["growth_mb"] <= RANGE_GROWTH_MB, figures)
    suite.check("and every put beside them is answered", figures["failed"] == 0, figures)

    # One client takes its answer slowly; the keys are overwritten and history is compacted meanwhile.
    slow = Conn(member.client, window=65535, timeout=60)
    slow.start(KV + "Range", ALL)
    time.sleep(0.5)
    fill_keys(member.client, RANGE_KEYS, 8)
    revision = int(member.status()["header"]["revision"])
    compact = threading.Thread(target=member.ctl, args=("compact", str(revision), "--physical"), daemon=True)
    compact.start()
    time.sleep(0.3)
    slow.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2 ** 31 - 1 - 65535)) + frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 2 ** 30)))
    body = bytearray()
    for kind, flags, _, payload in slow.frames():
        body += payload if kind == DATA else b""
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            break
    fields = list(pb_fields(bytes(body[5:])))
    values = {len(dict(pb_fields(value))[5]) for field, value in fields if field == 2}
    count = next(value for field, value in fields if field == 4)
    suite.check("a range that was begun before keeps its revision through overwriting and compaction",
                values == {1024} and count == RANGE_KEYS, (values, count))
    compact.join(60)
    suite.check("and compaction goes on when it is over", wait_for(lambda: "finished scheduled compaction" in member.log(), 30), member.log()[-500:])
    status, text = http("POST", member.client + "/v3/kv/range", json.dumps({"key": "ay8=", "range_end": "azA="}), timeout=60)
    answer = json.loads(text)
    suite.check("the JSON gateway gives all of it too", status == 200 and len(answer["kvs"]) == RANGE_KEYS and
                answer["count"] == str(RANGE_KEYS) and "revision" in answer["header"], (status, text[:200]))
    descending = Conn(member.client).unary(KV + "Range", ALL + pb_int(5, 2) + pb_int(6, 0))
    keys = [dict(pb_fields(value))[1] for field, value in pb_fields(descending) if field == 2]
    suite.check("and in descending order", keys == sorted(keys, reverse=True) and len(keys) == RANGE_KEYS, keys[:3])


def watchers(suite):
    member = member_of(suite)
    before = alone(member)
    memory = h2raw.rss_anon_mb(member.process.pid)
    conn = Conn(member.client, timeout=60).ready()
    stream = conn.start(WATCH + "Watch")
    out = bytearray()
    for i in range(WATCHERS):
        key = b"k/%09d" % (i % 1000)
        out += frame(DATA, 0, stream, grpc_message(pb_bytes(1, pb_bytes(1, key))))
        if len(out) > 1 << 16:
            conn.send(bytes(out))
            out.clear()
    conn.send(bytes(out))
    body, created, events = bytearray(), set(), 0
    answers = conn.frames()

    def take(enough):
        nonlocal events
        while not enough():
            kind, _, _, payload = next(answers)
            if kind != DATA:
                continue
            body.extend(payload)
            at = 0
            while len(body) - at >= 5 and len(body) - at >= 5 + int.from_bytes(body[at + 1:at + 5], "big"):
                size = int.from_bytes(body[at + 1:at + 5], "big")
                message = list(pb_fields(bytes(body[at + 5:at + 5 + size])))
                at += 5 + size
                fields = dict(message)
                if fields.get(3):
                    created.add(fields.get(2, 0))
                events += sum(1 for field, _ in message if field == 11)
            del body[:at]
    take(lambda: len(created) == WATCHERS)
    grown = h2raw.rss_anon_mb(member.process.pid) - memory
    suite.check(f"{WATCHERS} watchers on one stream", len(created) == WATCHERS, len(created))
    beside = Beside(member, 3)
    start = time.monotonic()
    fill_keys(member.client, 5000, 100)
    # Keys 0 to 999 have ten watchers each and are put once.
    take(lambda: events >= WATCHERS)
    seconds = time.monotonic() - start
    figures = beside.end()
    tell("watchers", alone=before, beside=figures, seconds_to_all_events=round(seconds, 2), bytes_per_watcher=round(grown * 1e6 / WATCHERS))
    suite.check("each has its event", events == WATCHERS, events)
    suite.check("and every put beside them is answered", figures["failed"] == 0, figures)


def silent_watchers(suite):
    member = member_of(suite)
    def grown_by_writing():
        before = h2raw.rss_anon_mb(member.process.pid)
        fill_keys(member.client, SILENT_MB * 1000, 1000, overwrite=1000)
        time.sleep(1)
        return h2raw.rss_anon_mb(member.process.pid) - before
    grown_by_writing()
    unwatched = grown_by_writing()  # the log's newest entries are in memory too
    memory = h2raw.rss_anon_mb(member.process.pid)
    conns = []
    for _ in range(SILENT_WATCHERS):
        conn = Conn(member.client, receive_buffer=4096)
        conn.start(WATCH + "Watch", pb_bytes(1, pb_bytes(1, b"k/") + pb_bytes(2, b"k0") + pb_int(3, 1)), end=False)
        conns.append(conn)
    beside = Beside(member, 5)
    grown_by_writing()
    figures = beside.end()
    settled = h2raw.rss_anon_mb(member.process.pid) - memory - unwatched
    tell("silent watchers", beside=figures, for_watchers_mb=round(settled, 1), for_writes_mb=round(unwatched, 1))
    suite.check(f"{SILENT_WATCHERS} watchers that never read cost less than {SILENT_GROWTH_MB} MB of {SILENT_WATCHERS * SILENT_MB} MB of events",
                settled < SILENT_GROWTH_MB, (settled, unwatched, figures))
    suite.check("and every put beside them is answered", figures["failed"] == 0, figures)
    got = member.ctl("get", "k/000000001", "--print-value-only").out
    suite.check("others are served", len(got.strip()) == 1000, got[:50])


def leases(suite):
    member = member_of(suite)
    before = alone(member)
    conn = Conn(member.client, timeout=120).ready()
    block = request_block(LEASE + "LeaseGrant")
    answers = conn.frames()
    done = sent = 0
    ttl = 20 if FULL else 8
    while done < LEASES:
        out = bytearray()
        while sent < LEASES and sent - done < 500:
            sent += 1
            out += frame(HEADERS, END_HEADERS, conn.next_stream, block)
            out += frame(DATA, END_STREAM, conn.next_stream, grpc_message(pb_int(1, ttl) + pb_int(2, sent)))
            conn.next_stream += 2
        if out:
            conn.send(bytes(out))
        kind, flags, _, _ = next(answers)
        done += kind == HEADERS and bool(flags & END_STREAM)
    keyed = Conn(member.client)
    for first in range(1, 101):
        keyed.unary(KV + "Put", put(b"leased/%d" % first, b"v", first))
    count = len(member.ctl("lease", "list", timeout=60).lines())
    beside = Beside(member, ttl + (15 if FULL else 6))
    start = time.monotonic()
    gone = wait_for(lambda: member.ctl("lease", "list", timeout=60).out.startswith("found 0"), 180, 0.5)
    seconds = time.monotonic() - start
    figures = beside.end()
    tell("leases", alone=before, beside=figures, seconds_until_gone=round(seconds, 1), ttl=ttl)
    suite.check(f"{LEASES} leases that expire within a short time are all revoked", gone and count > 100, (count, seconds))
    suite.equal("and their keys are gone", member.ctl("get", "--prefix", "leased/").out, "")
    suite.check("and every put beside them is answered", figures["failed"] == 0, figures)


def compaction(suite):
    member = member_of(suite)
    fill_keys(member.client, REVISIONS, 100, per_txn=1, overwrite=REVISIONS // 10)
    before = alone(member)
    revision = int(member.status()["header"]["revision"])
    suite.check(f"{REVISIONS} revisions", revision >= REVISIONS, revision)
    beside = Beside(member, 8 if FULL else 4)
    start = time.monotonic()
    done = member.ctl("compact", str(revision), "--physical", timeout=120)
    seconds = time.monotonic() - start
    figures = beside.end()
    tell("compaction", alone=before, beside=figures, seconds=round(seconds, 2))
    suite.check("are compacted", done.code == 0, done)
    suite.check("and every put beside it is answered", figures["failed"] == 0, figures)
    size = member.status()["dbSize"]
    beside = Beside(member, 5 if FULL else 3)
    start = time.monotonic()
    answer = Conn(member.client).unary(MAINTENANCE + "Defragment", b"")
    seconds = time.monotonic() - start
    figures = beside.end()
    after = member.status()["dbSize"]
    tell("defragment", alone=before, beside=figures, seconds=round(seconds, 2), mb_before=round(size / 1e6), mb_after=round(after / 1e6))
    suite.check("defragmentation gives the space back", answer is not None and after < size / 2, (size, after))
    suite.check("and every put beside it is answered", figures["failed"] == 0, figures)
    counted = dict(pb_fields(Conn(member.client).unary(KV + "Range", ALL + pb_int(9, 1))))
    suite.equal("all keys are there", counted.get(4), REVISIONS // 10)


if __name__ == "__main__":
    sys.exit(Suite("engine-large").run([ranges, watchers, silent_watchers, leases, compaction]))
