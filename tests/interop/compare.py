# SPDX-License-Identifier: Apache-2.0
"""What etcdctl said, cut into named fields, with everything that two clusters cannot share renamed consistently.

An id, an address or a folder becomes a name ("<m1>", "<id 2>") that is the same wherever it appears, in decimal and in
hex, so an answer that names the wrong member still differs. A number that depends on time or on elections alone (Raft
terms and indexes, sizes of files, durations) becomes "<term 1>" and so on, in the order of appearance in one answer.
Everything else is compared as it is: texts, exit codes, revisions, versions of keys, hashes."""
import json
import re

ID_MIN = 1 << 48  # no revision, count or TTL of these tests is as large; ids and leases nearly always are
HEX_ID = re.compile(r"(?<![0-9a-zA-Z])[0-9a-f]{12,16}(?![0-9a-zA-Z])")
DECIMAL_ID = re.compile(r"(?<![0-9a-zA-Z.])[0-9]{15,20}(?![0-9a-zA-Z])")
DURATION = re.compile(r"(?<![\w.(])\d+(\.\d+)?(e-\d+)?(ns|us|µs|ms|s)(?![\w])")
POINTER = re.compile(r"0x[0-9a-f]{8,14}(?![0-9a-f])")
UUID = re.compile(r"client-[0-9a-f]{8}-[0-9a-f-]{27}")
# Where a number is of one cluster's life: words of field names (json, fields, table), in lower case.
OF_ITS_LIFE = {
    "raft_term": "term", "raftterm": "term", "raft term": "term",
    "raftindex": "index", "raft index": "index", "raftappliedindex": "index", "raft applied index": "index",
    "dbsize": "size", "db size": "size", "dbsizeinuse": "size", "in use": "size",
    "% of quota": "share", "percentage not in use": "share", "took": "time",
}
PATCH = re.compile(r"\b3\.6\.[1-9]\d*")  # which of the releases that answer alike
LOG_TIMES = ("ts", "time")


class Names:
    """The renaming of one side."""

    def __init__(self):
        self.literals, self.ids = [], {}
        self.next_id = 1

    def literal(self, text, name):
        self.literals.append((text, name))
        self.literals.sort(key=lambda pair: -len(pair[0]))

    def id(self, number, name=None):
        number = int(number)
        if number not in self.ids:
            if name is None:
                name, self.next_id = f"<id {self.next_id}>", self.next_id + 1
            self.ids[number] = name
        return self.ids[number]

    def _hex(self, match):
        text = match.group(0)
        if text.isdigit() and len(text) < 16 and int(text, 16) not in self.ids:
            return text if int(text) < ID_MIN else self.id(text)
        return self.id(int(text, 16))

    def _decimal(self, match):
        number = int(match.group(0))
        return self.id(number) if number >= ID_MIN else match.group(0)

    def text(self, text):
        """Words of a text that etcdctl wrote for people."""
        for literal, name in self.literals:
            text = text.replace(literal, name)
        text = POINTER.sub("<pointer>", text)
        text = PATCH.sub("3.6.<patch>", text)
        text = re.sub(r"\b(Member|cluster) +(?=[0-9a-f]{12})", r"\1 ", text)  # an id may have a digit less
        text = UUID.sub("<client>", text)
        text = DURATION.sub("<time>", text)
        text = HEX_ID.sub(self._hex, text)
        return DECIMAL_ID.sub(self._decimal, text)

    def number(self, number):
        return self.id(number) if number >= ID_MIN and number != (1 << 63) - 1 else number


class Once:
    """Numbers of one answer by the order of their appearance."""

    def __init__(self):
        self.seen = {}

    def name(self, kind, value):
        seen = self.seen.setdefault(kind, [])
        if value not in seen:
            seen.append(value)
        return f"<{kind} {seen.index(value) + 1}>"


def _of_life(key, value, once):
    """None: the value stands for itself."""
    kind = OF_ITS_LIFE.get(key.lower())
    if kind is None or value in (0, "0", ""):
        return None
    return f"<{kind}>" if kind in ("size", "share", "time") else once.name(kind, str(value))


def flatten(value, path, names, once, out):
    if isinstance(value, dict):
        if not value:
            out.append((path, "{}"))
        for key in sorted(value):
            below = f"{path}.{key}" if path else key
            masked = None if isinstance(value[key], (dict, list)) else _of_life(key, value[key], once)
            if masked is None:
                flatten(value[key], below, names, once, out)
            else:
                out.append((below, masked))
    elif isinstance(value, list):
        if not value:
            out.append((path, "[]"))
        for i, item in enumerate(value):
            flatten(item, f"{path}[{i}]", names, once, out)
    elif isinstance(value, bool) or value is None:
        out.append((path, json.dumps(value)))
    elif isinstance(value, int):
        out.append((path, str(names.number(value))))
    else:
        out.append((path, names.text(str(value))))


def _of_json(text, names, once):
    """Each line a document, or the whole one; None: it is no JSON."""
    try:
        documents = [json.loads(text)]
    except ValueError:
        try:
            documents = [json.loads(line) for line in text.splitlines()]
        except ValueError:
            return None
    out = []
    for i, document in enumerate(documents):
        flatten(document, f"json{i if len(documents) > 1 else ''}", names, once, out)
    return out


def _of_table(text, names, once):
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()
            if line.startswith("|")]
    other = [line for line in text.splitlines() if line and line[0] not in "|+"]
    if not rows:
        return None
    out = [("columns", " | ".join(rows[0]))]
    for i, row in enumerate(rows[1:]):
        for k, cell in enumerate(row):
            column = rows[0][k] if k < len(rows[0]) else f"column {k}"
            masked = _of_life(column, cell, once)
            out.append((f"row {i}.{column}", names.text(cell) if masked is None else masked))
    return out + [(f"line {i}", names.text(line)) for i, line in enumerate(other)]


def _of_fields(text, names, once):
    out, seen = [], {}
    for line in text.splitlines():
        match = re.match(r'"?([A-Za-z #:\[\]0-9]*?)"? ?: (.*)$', line)
        key, value = (match.group(1), match.group(2)) if match else ("line", line)
        seen[key] = seen.get(key, 0) + 1
        masked = _of_life(key, value, once)
        out.append((f"{key} {seen[key]}", names.text(value) if masked is None else masked))
    return out


def _of_text(text, names, once):
    out = []
    for i, line in enumerate(text.splitlines()):
        status = re.match(r"(\S+, [0-9a-f]{6,16}, .*)$", line)
        cells = line.split(", ")
        if status and len(cells) >= 9:  # endpoint status
            for k, cell in enumerate(cells):
                kind = {0: None, 1: None}.get(k)
                if re.fullmatch(r"[\d.]+ [kMG]?B", cell):
                    kind = "size"
                elif cell.endswith("%"):
                    kind = "share"
                elif cell.isdigit() and k >= 5:
                    kind = "life"
                masked = names.text(cell) if kind is None else (f"<{kind}>" if kind != "life" else
                                                                once.name(kind, cell))
                out.append((f"line {i}.{k}", masked))
        else:
            out.append((f"line {i}", names.text(line)))
    return out


# ---- protobuf ----

def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7f) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def decode(data):
    """[(field number, int | bytes | list)] of a message without its description; raises when it is none."""
    out, at = [], 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag >> 3 == 0:
            raise ValueError("field 0")
        if tag & 7 == 0:
            value, at = _varint(data, at)
        elif tag & 7 == 2:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise ValueError("cut")
            value, at = data[at:at + size], at + size
            if any(byte < 0x20 for byte in value):
                try:
                    value = decode(value)
                except (ValueError, IndexError):
                    pass
        else:
            raise ValueError("wire type")
        out.append((tag >> 3, value))
    return out


def _flatten_pb(fields, path, names, once, out):
    for number, value in fields:
        below = f"{path}.{number}"
        if isinstance(value, list):
            _flatten_pb(value, below, names, once, out)
        elif isinstance(value, bytes):
            out.append((below, repr(names.text(value.decode("utf-8", "backslashreplace")))))
        elif below == "pb.1.4":  # header.raft_term
            out.append((below, once.name("term", value)))
        else:
            out.append((below, str(names.number(value))))


def _of_protobuf(data, names, once):
    try:
        fields = decode(data)
    except (ValueError, IndexError):
        return None
    out = []
    _flatten_pb(fields, "pb", names, once, out)
    return out


# ---- both streams ----

def fields_of_output(data, how, names):
    """[(field, value)] of standard output, written with -w how."""
    once = Once()
    if how == "protobuf":
        found = _of_protobuf(data, names, once)
        if found is not None:
            return found
    text = data.decode("utf-8", "backslashreplace")
    found = None
    if how == "json" and text.strip():
        found = _of_json(text, names, once)
    elif how == "table":
        found = _of_table(text, names, once)
    elif how == "fields":
        found = _of_fields(text, names, once)
    return _of_text(text, names, once) if found is None else found


def fields_of_errors(data, names):
    """Standard error: log lines as JSON are fields too, without their times."""
    out = []
    for i, line in enumerate(data.decode("utf-8", "backslashreplace").splitlines()):
        record = None
        if line.startswith("{"):
            try:
                record = json.loads(line)
            except ValueError:
                pass
        if isinstance(record, dict):
            for key in LOG_TIMES:
                if key in record:
                    record[key] = "<time>"
            flatten(record, f"log {i}", names, Once(), out)
        else:
            line = re.sub(r"^\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d[.\d]*(Z|[+-]\d{4})?", "<time>", line)
            out.append((f"error line {i}", names.text(line)))
    return out


def differences(ours, theirs):
    """[(field, ours, theirs)]; a field that one of them lacks is "(nothing)"."""
    mine, other = dict(ours), dict(theirs)
    order = [field for field, _ in ours] + [field for field, _ in theirs if field not in mine]
    return [(field, mine.get(field, "(nothing)"), other.get(field, "(nothing)")) for field in order
            if mine.get(field) != other.get(field)]
