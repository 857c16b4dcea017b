# SPDX-License-Identifier: Apache-2.0
"""A WebSocket client of as few lines as a test needs: frames may be cut and wrong on purpose."""
import base64
import hashlib
import json
import os
import socket
import struct

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Refused(Exception):
    """The handshake got another status than 101."""

    def __init__(self, status, text):
        super().__init__(f"{status} {text}")
        self.status, self.text = status, text


def frame(payload, opcode=TEXT, last=True, mask=b"\x01\x02\x03\x04"):
    payload = payload.encode() if isinstance(payload, str) else payload
    size = len(payload)
    head = bytes([(0x80 if last else 0) | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0x80 | 126]) + struct.pack(">H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", size)
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


class WebSocket:
    """Connected when it is made. url: http://host:port."""

    def __init__(self, url, path, headers=None, timeout=20, first=b""):
        host, port = url.split("//")[1].rsplit(":", 1)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket = socket.create_connection((host, int(port)), timeout=timeout)
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}:{port}"]
        fields = {"Upgrade": "websocket", "Connection": "keep-alive, Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key}
        fields.update(headers or {})
        lines += [f"{name}: {value}" for name, value in fields.items() if value is not None]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + first)
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while True:
            line = self.file.readline().decode().strip()
            if not line:
                break
            name, value = line.split(":", 1)
            self.headers[name.lower()] = value.strip()
        if self.status != 101:
            text = self.file.read(int(self.headers.get("content-length", 0))).decode()
            self.end()
            raise Refused(self.status, text)
        want = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
        assert self.headers["sec-websocket-accept"] == want, self.headers

    def send(self, value, **how):
        self.socket.sendall(frame(value if isinstance(value, (str, bytes)) else json.dumps(value), **how))

    def receive(self):
        """Opcode and payload of the next whole message or control frame; None, b"" at the end."""
        parts, opcode = b"", None
        while True:
            head = self.file.read(2)
            if len(head) < 2:
                return None, b""
            size = head[1] & 0x7f
            assert not head[1] & 0x80, "a server does not mask"
            if size == 126:
                size = struct.unpack(">H", self.file.read(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self.file.read(8))[0]
            payload = self.file.read(size)
            if head[0] & 0x08:
                return head[0] & 0x0f, payload
            opcode = opcode or head[0] & 0x0f
            parts += payload
            if head[0] & 0x80:
                return opcode, parts

    def json(self):
        """The next message, or None when the server closes."""
        opcode, payload = self.receive()
        return json.loads(payload) if opcode == TEXT else None

    def close_code(self):
        """Reads on to the end: the code of the frame that closed, None when there was none."""
        code = None
        while True:
            opcode, payload = self.receive()
            if opcode is None:
                return code
            if opcode == CLOSE:
                code = struct.unpack(">H", payload[:2])[0]

    def end(self):
        self.file.close()
        self.socket.close()
