# SPDX-License-Identifier: Apache-2.0
"""A name server for tests: addresses and services that were added, on 127.0.0.1:53. For a network of one's own."""
import socket
import struct
import threading

A, AAAA, SRV = 1, 28, 33


def _name(text):
    return b"".join(bytes([len(part)]) + part.encode() for part in text.rstrip(".").split(".")) + b"\0"


class Server:
    """Answers in a thread until stop()."""

    def __init__(self):
        self.records = {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def add_address(self, host, address):
        self.records.setdefault((host, A), []).append(socket.inet_aton(address))

    def add_service(self, service, host, port):
        self.records.setdefault((service, SRV), []).append(struct.pack(">HHH", 0, 1, port) + _name(host))

    def _answer(self, query):
        at, parts = 12, []
        while query[at]:
            parts.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind = struct.unpack(">H", query[at + 1:at + 3])[0]
        name = ".".join(parts).lower()
        found = self.records.get((name, kind), [])
        known = found or any(host == name for host, _ in self.records)
        head = query[:2] + struct.pack(">HHHHH", 0x8580 | (0 if known else 3), 1, len(found), 0, 0)
        body = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 9, len(data)) + data for data in found)
        return head + query[12:at + 5] + body

    def _serve(self):
        while True:
            try:
                query, who = self.socket.recvfrom(4096)
                if not query:
                    return
                self.socket.sendto(self._answer(query), who)
            except OSError:
                return

    def stop(self):
        self.socket.sendto(b"", self.socket.getsockname())
        self.thread.join(5)
        self.socket.close()
