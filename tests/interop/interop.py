#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same etcdctl commands to clusters of Quorate and of etcd, and what it says compared field by field.

  interop.py 3.4|3.6 [GROUP ...] [--list] [--show]

The cases are cases.py, the comparison is compare.py; what may differ stands in expected/<version>.txt, with its reason
in docs/compatibility.md. Each entry there must occur. A command or a flag of the binary that is in no case fails.
Loopback only, ports 21800 to 21999. Exit 77: that etcd or etcdctl is not here."""
import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "e2e", "lib")]
import quorate  # noqa: E402
from etcds import BUILD, BUILD_SECONDS_MAX, Etcd, program  # noqa: E402
import cases  # noqa: E402
import compare  # noqa: E402

quorate.PORT_FIRST, quorate.PORT_LAST = 21800, 21999
quorate._next_port = quorate.PORT_FIRST + (os.getpid() * 37) % (quorate.PORT_LAST - quorate.PORT_FIRST)
COMMAND_SECONDS_MAX = 60
WAIT_SECONDS_MAX = 30
GROUPS_AT_ONCE = 4
COMPATIBILITY = os.path.join(ROOT, "docs", "compatibility.md")


def etcdctl_of(version):
    """The client of that version; None: it is not here."""
    if version == "3.4":
        path = os.environ.get("DEBIAN_ETCDCTL") or shutil.which("etcdctl")
        said = subprocess.run([path or "false", "version"], capture_output=True, text=True, check=False,
                              env=clean_env()).stdout
        return path if said.startswith("etcdctl version: 3.4.") else None
    if shutil.which("go"):
        subprocess.run([BUILD, "etcdctl"], stdin=subprocess.DEVNULL, timeout=BUILD_SECONDS_MAX, check=False,
                       env={**os.environ, "QUIET": "yes"})
    folder = subprocess.run([BUILD, "--where"], capture_output=True, text=True, check=True).stdout.strip()
    path = os.path.join(folder, "etcdctl")
    return path if os.path.exists(path) else None


def clean_env():
    return {k: v for k, v in os.environ.items() if not k.startswith(("ETCD_", "ETCDCTL_"))}


# ---- one side of a group: its members and the processes that run on ----

def member_id(peer, token):
    """As every member computes it for a cluster that is founded."""
    return int.from_bytes(hashlib.sha1((peer + token).encode()).digest()[:8], "big")


class Side:
    """A cluster of one kind, and what its clients were told."""

    def __init__(self, suite, group, kind, binary):
        self.suite, self.group, self.binary = suite, group, binary
        self.kind = kind
        self.seconds, self.slow = 0, []
        self.names, self.vars, self.running, self.results = compare.Names(), {}, {}, []
        self.dir = suite.folder(f"{group.name}-{kind.__name__.lower()}")
        self.members = [kind(suite, "?", data_dir=os.path.join(self.dir, f"data{i}")) for i in range(group.members)]
        # Lists are in the order of ids, which follow from ports: the names are given in that order.
        self.members.sort(key=lambda m: member_id(m.peer, "interop"))
        for i, member in enumerate(self.members):
            member.name = f"m{i + 1}"
            self.know(member)
        initial = ",".join(f"{m.name}={m.peer}" for m in self.members)
        for member in self.members:
            member.initial_cluster = initial
            member.flags = {"initial-cluster-token": "interop", "unsafe-no-fsync": "true", **group.flags}
        self.names.literal(self.dir, "<dir>")
        self.vars.update({"dir": self.dir, "all": ",".join(m.client[7:] for m in self.members)})

    def know(self, member):
        self.vars.update({member.name: member.client[7:], f"{member.name}.peer": member.peer,
                          f"{member.name}.data": member.data})
        self.names.literal(member.client[7:], f"<{member.name}>")
        self.names.literal(member.peer[7:], f"<{member.name} peer>")

    def start(self):
        for member in self.members:
            member.start(wait=False)
        for member in self.members:
            member.wait_ready(60)
        for member in self.members:
            number = member_id(member.peer, "interop")
            self.names.id(number, f"<member {member.name}>")
            self.vars[f"{member.name}.id"] = f"{number:x}"
        said = json.loads(quorate.http("POST", self.members[0].client + "/v3/cluster/member/list", "{}")[1])
        self.names.id(said["header"]["cluster_id"], "<cluster>")
        if len(self.members) > 1:
            self.lead(self.members[0])
            self.settle()

    def settle(self):
        """Members of etcd 3.6 find the version of their stores some seconds after they have started."""
        def is_settled():
            states = [json.loads(quorate.http("POST", m.client + "/v3/maintenance/status", "{}")[1])
                      for m in self.members]
            return all(not s["version"].startswith("3.6.") or s.get("storageVersion") == "3.6.0" for s in states)
        if not quorate.wait_for(is_settled, WAIT_SECONDS_MAX, 0.2):
            raise RuntimeError("the version of a store is not decided")

    def lead(self, member):
        """Makes it the leader."""
        def leads():
            status = json.loads(quorate.http("POST", member.client + "/v3/maintenance/status", "{}")[1])
            if status["leader"] == status["header"]["member_id"]:
                return True
            target = json.dumps({"targetID": status["header"]["member_id"]})
            for other in self.members:
                quorate.http("POST", other.client + "/v3/maintenance/transfer-leadership", target)
            return False
        if not quorate.wait_for(leads, WAIT_SECONDS_MAX, 0.2):
            raise RuntimeError(f"{member.name} does not become the leader")

    # -- steps --

    def fill(self, text):
        return re.sub(r"\$([a-z][a-z0-9]*(?:\.[a-z]+)?)", lambda m: str(self.vars[m.group(1)]), text)

    def command(self, step):
        at = ",".join(self.vars[name] for name in step.at.split(",")) if step.at else None
        # A busy machine may take longer than the usual five seconds.
        return [self.binary, "--command-timeout=40s"] + ([f"--endpoints={at}"] if at else []) + [self.fill(arg) for arg in step.args]

    def once(self, step):
        # An empty text is an end of file at once, as /dev/null is.
        stdin = self.fill(step.stdin or "").encode()
        try:
            done = subprocess.run(self.command(step), input=stdin, capture_output=True, check=False, cwd=self.dir,
                                  timeout=2 * COMMAND_SECONDS_MAX * quorate.SLOW, env={**clean_env(), **step.env})
            return done.returncode, done.stdout, done.stderr
        except subprocess.TimeoutExpired as error:
            return "no end", error.stdout or b"", error.stderr or b""

    def run_step(self, step):
        """None, or (exit code, output, errors) to be compared."""
        if step.kind == "call":
            return step.function(self)
        if step.kind == "run":
            end = time.time() + WAIT_SECONDS_MAX * quorate.SLOW
            result = self.once(step)
            while step.until and not re.search(step.until.encode(), result[1] + result[2]) and time.time() < end:
                time.sleep(0.2)
                result = self.once(step)
            self.save(step, result[1])
            return result
        if step.kind == "start":
            path = os.path.join(self.dir, f"run-{len(self.results)}")
            with open(path + ".out", "wb") as out, open(path + ".err", "wb") as err:
                process = subprocess.Popen(self.command(step), stdin=subprocess.PIPE, stdout=out, stderr=err,
                                           env={**clean_env(), **step.env}, cwd=self.dir)
            self.running[step.name] = (process, path)
            return None
        return self.move(step)

    def said(self, path):
        with open(path + ".out", "rb") as out, open(path + ".err", "rb") as err:
            return out.read(), err.read()

    def move(self, step):
        """A step of a process that runs on."""
        process, path = self.running[step.name]
        if step.kind == "expect":
            found = quorate.wait_for(lambda: re.search(step.until.encode(), b"".join(self.said(path)), re.S) or
                                     process.poll() is not None, WAIT_SECONDS_MAX, 0.02)
            self.save(step, self.said(path)[0])
            return ("expected" if found else "it never came", *self.said(path)) if not found else None
        if step.kind == "send":
            process.stdin.write(self.fill(step.stdin).encode())
            process.stdin.flush()
            return None
        if step.signal:
            process.send_signal(step.signal)
        else:
            process.stdin.close()
        try:
            code = process.wait(WAIT_SECONDS_MAX * quorate.SLOW)
        except subprocess.TimeoutExpired:
            process.kill()
            code = "no end"
        return (code, *self.said(path))

    def save(self, step, out):
        for name, pattern in step.save.items():
            match = re.search(pattern, out.decode("utf-8", "replace"))
            if match:
                self.vars[name] = match.group(1)
                self.names.id(int(match.group(1), 16), f"<{name}>")
            elif name not in self.vars:
                self.vars[name] = "0"

    def run(self):
        """All steps; stops at one that breaks the side itself."""
        began = time.time()
        try:
            self.start()
            for step in self.group.steps:
                started = time.time()
                self.results.append(self.run_step(step))
                self.slow.append((time.time() - started, step.label()))
        except Exception as error:  # pylint: disable=broad-except
            return f"{self.kind.__name__}: step {len(self.results)}: {type(error).__name__}: {error}"
        finally:
            self.seconds = time.time() - began
            for process, _ in self.running.values():
                if process.poll() is None:
                    process.kill()
                    process.wait()
            for member in self.members:
                if member.is_running():
                    member.kill()
        return None


# ---- what differs ----

class Expected:
    """expected/<version>.txt: what may differ, and where the reason stands."""

    def __init__(self, version):
        self.path, self.entries = os.path.join(HERE, "expected", f"{version}.txt"), []
        with open(COMPATIBILITY, encoding="utf-8") as file:
            rows = [line[2:].split(" | ")[0].strip() for line in file if line.startswith("| ")]
        self.mistakes = []
        with open(self.path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                line = line.rstrip("\n")
                if not line or line.startswith("#"):
                    continue
                cells = line.split(" | ")
                if len(cells) != 5:
                    self.mistakes.append(f"{self.path}:{number}: five cells, please")
                    continue
                if cells[4].strip() not in rows:
                    self.mistakes.append(f"{self.path}:{number}: docs/compatibility.md has no row {cells[4]!r}")
                self.entries.append({"line": number, "patterns": [re.compile(cell.strip()) for cell in cells[:4]],
                                     "count": 0})

    def allows(self, case, field, ours, theirs):
        for entry in self.entries:
            if all(pattern.fullmatch(text) for pattern, text in zip(entry["patterns"], (case, field, ours, theirs))):
                entry["count"] += 1
                return True
        return False

    def unused(self):
        return [f"{self.path}:{entry['line']} did not occur" for entry in self.entries if entry["count"] == 0]


def fields_of(step, result, names):
    if result is None:
        return []
    code, out, err = result
    for pattern, name in step.masks:
        out = re.sub(pattern.encode(), name.encode(), out)
        err = re.sub(pattern.encode(), name.encode(), err)
    if step.sort:
        out = cases.sorted_output(out, step.how(), step.sort)
        err = cases.sorted_output(err, step.how(), step.sort) if step.sort == "line" else err
    fields = [("exit code", str(code) if not step.any_code else "<code>")]
    fields += compare.fields_of_output(out, step.how(), names)
    return fields + compare.fields_of_errors(err, names)


def compare_group(group, ours, theirs, expected, show):
    """The number of steps compared, and the differences that nothing allows."""
    compared, found, seen = 0, [], {}
    for i, step in enumerate(group.steps):
        if i >= len(ours.results) or i >= len(theirs.results):
            break
        if ours.results[i] is None and theirs.results[i] is None:
            continue
        label = f"{group.name}/{step.label()}"
        seen[label] = seen.get(label, 0) + 1
        label += f" #{seen[label]}" if seen[label] > 1 else ""
        fields = [fields_of(step, side.results[i], side.names) for side in (ours, theirs)]
        compared += 1
        if show:
            print(f"{label}\n" + "\n".join(f"    {field}: {value}" for field, value in fields[0]))
        for field, mine, other in compare.differences(*fields):
            if not expected.allows(label, field, mine, other):
                found.append(f"{label} | {field} | {mine} | {other}")
    return compared, found


# ---- is every command in a case ----

def commands_of(binary):
    """{command: its own flags} as `help` of the binary lists them."""
    def said(*args):
        done = subprocess.run([binary, *args], capture_output=True, text=True, env=clean_env(), check=False)
        return done.stdout + done.stderr

    def flags_in(text):
        return set(re.findall(r"^\s+(?:-\w, )?(--[a-z][a-z0-9-]*)[=\[]", text, re.M)) - {"--help"}
    top = said("help")
    commands = {}
    for line in top.split("COMMANDS:")[1].split("OPTIONS:")[0].splitlines():
        name = re.split(r"\t+| {2,}", line.strip())[0]
        if name:
            text = said(*name.split(), "--help").split("GLOBAL OPTIONS")[0].split("\nOPTIONS:")
            commands[name] = flags_in(text[1]) if len(text) > 1 else set()
    commands["(global)"] = flags_in(top.split("OPTIONS:")[1])
    return commands


def not_covered(binary, groups):
    commands = commands_of(binary)
    used = {name: set() for name in commands}
    met = {"(global)"}
    for step in (step for group in groups for step in group.steps if step.args):
        words = [arg for arg in step.args if not arg.startswith("-")]
        flags = {arg.split("=")[0] for arg in step.args if arg.startswith("-")}
        flags = {{"-w": "--write-out", "-i": "--interactive", "-l": "--listen", "-d": "--discovery-srv"}.get(f, f)
                 for f in flags}
        for size in (2, 1):
            name = " ".join(words[:size])
            if name in commands:
                met.add(name)
                used[name] |= flags
                used["(global)"] |= flags
                break
        used["(global)"] |= flags
    used["(global)"] |= {"--endpoints"}
    out = [f"no case for the command \"{name}\"" for name in commands if name not in met]
    for name, flags in commands.items():
        for flag in sorted(flags - used[name]):
            if (name, flag) not in cases.LEFT_OUT:
                out.append(f"no case for the flag {flag} of \"{name}\"")
    return out


# ---- the run ----

def run_group(pair):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(Side.run, pair))


def main():
    parser = argparse.ArgumentParser(prog="interop.py")
    parser.add_argument("version", choices=["3.4", "3.6"])
    parser.add_argument("groups", nargs="*")
    parser.add_argument("--list", action="store_true", help="the names of the groups")
    parser.add_argument("--show", action="store_true", help="what was compared")
    options = parser.parse_args()
    # Shells start what runs in the background with SIGINT ignored, which commands would inherit: many end by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    every = cases.groups(options.version)
    groups = [g for g in every if not options.groups or g.name in options.groups]
    if options.list:
        print("\n".join(f"{g.name}: {len(g.steps)} steps" for g in every))
        return 0
    binary, etcd = etcdctl_of(options.version), program(options.version)
    if not binary or not etcd:
        print(f"skipped: no etcd and etcdctl {options.version} here")
        return 77
    began = time.time()
    suite = quorate.Suite("interop")
    if os.path.isdir("/dev/shm"):  # nobody flushes: what a disk does is no part of this
        shutil.rmtree(suite.dir)
        suite.dir = tempfile.mkdtemp(prefix="quorate-interop-", dir="/dev/shm")
    expected = Expected(options.version)
    failures = expected.mistakes + not_covered(binary, every)
    kinds = (type("Quorate", (quorate.Member,), {}), type("Etcd", (Etcd,), {"program": etcd}))
    pairs = [tuple(Side(suite, group, kind, binary) for kind in kinds) for group in groups]
    compared = 0
    try:
        with concurrent.futures.ThreadPoolExecutor(GROUPS_AT_ONCE) as pool:
            broken = list(pool.map(run_group, pairs))
        for group, pair, errors in zip(groups, pairs, broken):
            failures += [f"{group.name}: {error}" for error in errors if error]
            count, found = compare_group(group, *pair, expected, options.show)
            failures += found
            compared += count
            if options.show:
                print("\n".join(f"    {seconds:.1f} s: {label} ({side.kind.__name__})" for side in pair
                                for seconds, label in side.slow if seconds > 2))
            print(f"{'FAIL' if found or any(errors) else 'ok'} - {group.name}: {count} commands "
                  f"({pair[0].seconds:.0f} s and {pair[1].seconds:.0f} s)", flush=True)
    finally:
        suite.stop_all()
    if len(groups) == len(every):
        failures += expected.unused()
    for failure in failures:
        print("FAIL - " + failure)
    allowed = sum(entry["count"] for entry in expected.entries)
    print(f"etcdctl {options.version}: {compared} commands to Quorate and to etcd, {len(failures)} failures, "
          f"{allowed} differences of {len(expected.entries)} kinds that expected/{options.version}.txt allows, "
          f"{time.time() - began:.0f} s")
    if not failures:
        shutil.rmtree(suite.dir, ignore_errors=True)
    else:
        print(f"what is left is in {suite.dir}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
