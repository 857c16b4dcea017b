# SPDX-License-Identifier: Apache-2.0
"""What the engine's end-to-end suites share: members as processes on loopback, etcdctl, HTTP, verdicts.

QUORATE_BIN is the folder of the programs (default build/bin), DEBIAN_ETCDCTL the client (default: PATH).
Every process is ended by its process id; all state is in one temporary folder per suite."""
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BIN = os.environ.get("QUORATE_BIN", os.path.join(ROOT, "build", "bin"))
QUORATE = os.path.join(BIN, "quorate")
ETCDCTL = os.environ.get("DEBIAN_ETCDCTL") or shutil.which("etcdctl") or "etcdctl"
# Sanitizers make everything slower; their suites say by how much.
SLOW = float(os.environ.get("QUORATE_E2E_SLOW", "1"))
PORT_FIRST, PORT_LAST = 25000, 25999
_next_port = PORT_FIRST + (os.getpid() * 37) % (PORT_LAST - PORT_FIRST)


_reserved = []  # one abstract socket per port: it belongs to this process until it ends


def _reserve(port):
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(f"\0quorate-e2e-{port}")
    except OSError:
        name.close()
        return False
    _reserved.append(name)
    return True


def free_port():
    """A port that nobody listens on and no other suite has taken, from the range of these suites."""
    global _next_port
    for _ in range(PORT_LAST - PORT_FIRST):
        port = _next_port
        _next_port = PORT_FIRST if port == PORT_LAST else port + 1
        if not _reserve(port):
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port from 25000 to 25999")


class Suite:
    """Verdicts, one line each, and the folder that everything of the suite lives in."""

    def __init__(self, name):
        self.name, self.passed, self.failed, self.members = name, 0, 0, []
        self.dir = tempfile.mkdtemp(prefix=f"quorate-{name}-")
        for program in (QUORATE, ETCDCTL):
            if not (os.path.exists(program) or shutil.which(program)):
                print(f"FAIL - {program} is not there (QUORATE_BIN, DEBIAN_ETCDCTL)")
                sys.exit(1)

    def check(self, behaviour, holds, detail=""):
        if holds:
            self.passed += 1
            print(f"ok - {behaviour}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL - {behaviour}: {str(detail)[-1500:]}", flush=True)
        return bool(holds)

    def equal(self, behaviour, got, want):
        return self.check(behaviour, got == want, f"got {got!r}, want {want!r}")

    def contains(self, behaviour, text, part):
        return self.check(behaviour, part in text, f"{part!r} is not in {text!r}")

    def skip(self, behaviour, why):
        print(f"skip - {behaviour}: {why}", flush=True)

    def run(self, parts):
        """Runs the parts in order; one that breaks is a failure, and the next one still runs."""
        only = sys.argv[1:]
        try:
            for part in parts:
                if only and part.__name__ not in only:
                    continue
                try:
                    part(self)
                except Exception as error:  # a broken part must not hide the others
                    self.check(part.__name__, False, f"{type(error).__name__}: {error}")
                finally:
                    self.stop_all()
        finally:
            self.stop_all()
        return self.end()

    def stop_all(self):
        for member in self.members:
            if member.is_running():
                member.kill()
            for line in member.sanitizer_reports():
                self.check(f"no sanitizer report of {member.name}", False, line)
        self.members = []

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        if self.failed == 0 and not os.environ.get("QUORATE_E2E_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)
        else:
            print(f"logs and data are in {self.dir}", flush=True)
        return 1 if self.failed else 0

    def folder(self, name):
        path = os.path.join(self.dir, name)
        os.makedirs(path, exist_ok=True)
        return path


class Member:
    """One engine process: its ports, folder, flags and log."""

    def __init__(self, suite, name, metrics=False, data_dir=None):
        self.suite, self.name, self.process, self.flags = suite, name, None, {}
        self.client = f"http://127.0.0.1:{free_port()}"
        self.peer = f"http://127.0.0.1:{free_port()}"
        self.metrics = f"http://127.0.0.1:{free_port()}" if metrics else None
        count = len(suite.members)
        self.data = data_dir or os.path.join(suite.dir, f"{name}-{count}-{free_port()}")
        self.log_path = self.data + ".log"
        self.cluster_state, self.initial_cluster = "new", f"{name}={self.peer}"
        suite.members.append(self)

    def command(self):
        flags = {
            "name": self.name, "data-dir": self.data,
            "listen-client-urls": self.client, "advertise-client-urls": self.client,
            "listen-peer-urls": self.peer, "initial-advertise-peer-urls": self.peer,
            "initial-cluster": self.initial_cluster, "initial-cluster-state": self.cluster_state,
        }
        if self.metrics:
            flags["listen-metrics-urls"] = self.metrics
        flags.update(self.flags)
        return [QUORATE] + [f"--{key}={value}" for key, value in flags.items()]

    def start(self, wait=True, extra_env=None):
        env = {k: v for k, v in os.environ.items() if not k.startswith("ETCD_")}
        env.update(extra_env or {})
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, env=env,
                                            stdin=subprocess.DEVNULL)
        if wait:
            self.wait_ready()
        return self

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def wait_ready(self, seconds=20):
        """Answers linearizable reads; raises with the log's end when it does not in time."""
        end = time.time() + seconds * SLOW
        while time.time() < end:
            if not self.is_running():
                break
            if http("GET", self.client + "/readyz", timeout=2)[0] == 200:
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} is not ready (exit {self.process.poll()}): {self.log()[-1200:]}")

    def wait_exit(self, seconds=15):
        """The exit status as a shell shows it; None: still running."""
        try:
            code = self.process.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            return None
        return 128 - code if code < 0 else code

    def stop(self, seconds=15):
        self.process.send_signal(signal.SIGTERM)
        return self.wait_exit(seconds)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_log(self, text, seconds=10):
        return wait_for(lambda: text in self.log(), seconds)

    def sanitizer_reports(self):
        if not os.path.exists(self.log_path):
            return []
        log = self.log()
        found = []
        for mark in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer",
                     "runtime error:"):
            at = log.find(mark)
            if at >= 0:
                found.append(log[at:at + 1500])
        return found

    def metric(self, name):
        """The sum of the samples called name; None: it is not there."""
        status, text = http("GET", self.client + "/metrics")
        values = [float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                  if status == 200 and (line.startswith(name + " ") or line.startswith(name + "{"))]
        return sum(values) if values else None

    def ctl(self, *args, **kwargs):
        return ctl([self.client], *args, **kwargs)

    def status(self):
        return self.ctl("endpoint", "status", "-w", "json").json()[0]["Status"]

    def id(self):
        return self.status()["header"]["member_id"]


class Result:
    """What a command left: exit code, output, errors."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def json(self):
        return json.loads(self.out)

    def lines(self):
        return self.out.splitlines()

    def __repr__(self):
        return f"exit {self.code} out {self.out[-600:]!r} err {self.err[-600:]!r}"


def _clean_env():
    env = {k: v for k, v in os.environ.items() if not k.startswith("ETCDCTL_")}
    env["ETCDCTL_API"] = "3"
    return env


def ctl(endpoints, *args, stdin=None, timeout=30):
    """Debian's etcdctl, unchanged."""
    command = [ETCDCTL, f"--endpoints={','.join(endpoints)}", *args]
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True,
                              timeout=timeout * SLOW, env=_clean_env(), check=False)
    except subprocess.TimeoutExpired as error:
        return Result(-1, str(error.stdout), f"no end after {timeout} s: {error.stderr}")
    return Result(done.returncode, done.stdout, done.stderr)


def ctl_start(endpoints, *args):
    """etcdctl that runs on, as watch does; its output is read with lines_within."""
    return subprocess.Popen([ETCDCTL, f"--endpoints={','.join(endpoints)}", *args],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, bufsize=1, env=_clean_env())


class Watcher:
    """etcdctl watch with its output in a file, so that nothing blocks."""

    def __init__(self, suite, endpoints, *args, interactive=None):
        self.path = os.path.join(suite.dir, f"watch-{free_port()}.out")
        with open(self.path, "wb") as out:
            self.process = subprocess.Popen(
                [ETCDCTL, f"--endpoints={','.join(endpoints)}", "watch", *args],
                stdin=subprocess.PIPE, stdout=out, stderr=out, text=True, env=_clean_env())
        if interactive:
            self.process.stdin.write(interactive)
            self.process.stdin.flush()

    def text(self):
        with open(self.path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait(self, text, seconds=10):
        return wait_for(lambda: text in self.text(), seconds)

    def stop(self):
        self.process.kill()
        self.process.wait()
        return self.text()


def http(method, url, body=None, headers=None, timeout=10):
    """Status and text; 0 and the reason when there is no answer."""
    data = body.encode() if isinstance(body, str) else body
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=timeout * SLOW) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (OSError, ValueError) as error:
        return 0, str(error)


def wait_for(condition, seconds=10, pause=0.05):
    end = time.time() + seconds * SLOW
    while True:
        try:
            value = condition()
        except (RuntimeError, ValueError, KeyError, IndexError, OSError):
            value = None
        if value or time.time() > end:
            return value
        time.sleep(pause)


class Cluster:
    """Members that found a cluster together."""

    def __init__(self, suite, size=3, flags=None, token="e2e"):
        self.suite, self.flags, self.token = suite, dict(flags or {}), token
        self.members = [Member(suite, f"m{i + 1}") for i in range(size)]
        initial = ",".join(f"{m.name}={m.peer}" for m in self.members)
        for member in self.members:
            member.initial_cluster = initial
            member.flags = {"initial-cluster-token": token, **self.flags}

    def start(self):
        for member in self.members:
            member.start(wait=False)
        for member in self.members:
            member.wait_ready(30)
        return self

    def running(self):
        return [m for m in self.members if m.is_running()]

    def endpoints(self):
        return [m.client for m in self.members]

    def leader(self, seconds=15):
        """The running member that the others call leader, once they agree."""
        def agreed():
            running = self.running()
            states = [m.status() for m in running]
            leaders = {s.get("leader", 0) for s in states}
            if len(leaders) != 1 or 0 in leaders:
                return None
            for member, state in zip(running, states):
                if state["header"]["member_id"] in leaders:
                    return member
            return None
        leader = wait_for(agreed, seconds, 0.1)
        if not leader:
            raise RuntimeError("the members agree on no leader")
        return leader

    def followers(self):
        leader = self.leader()
        return [m for m in self.running() if m is not leader]

    def hashes(self, revision=0):
        """HashKV of each running member at one revision."""
        rev = f"--rev={revision}"
        out = []
        for member in self.running():
            answer = member.ctl("endpoint", "hashkv", rev, "-w", "json")
            out.append(answer.json()[0]["HashKV"]["hash"] if answer.code == 0 else answer.err)
        return out

    def hashes_agree(self, seconds=20):
        """Once all have applied the same: the hashes at the newest revision of the leader."""
        revision = self.leader().status()["header"]["revision"]

        def same():
            if any(m.status()["header"]["revision"] < revision for m in self.running()):
                return None
            found = self.hashes(revision)
            return found if len(set(found)) == 1 else None
        return wait_for(same, seconds, 0.2)


KVLOAD = os.path.join(BIN, "kvload")


class Load:
    """Puts without pause (tests/lib/kvload.c) and the record of what was acknowledged."""

    def __init__(self, suite, endpoints, **options):
        self.record_path = os.path.join(suite.dir, f"load-{free_port()}.txt")
        command = [KVLOAD, "--endpoints", ",".join(endpoints), "--record", self.record_path]
        for key, value in options.items():
            command += ["--" + key.replace("_", "-"), str(value)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, seconds=120, stop=False):
        """What it says of itself, once it is over."""
        if stop:
            self.process.send_signal(signal.SIGTERM)
        try:
            out, err = self.process.communicate(timeout=seconds * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise RuntimeError("the load does not end") from None
        if self.process.returncode != 0:
            raise RuntimeError(f"kvload: exit {self.process.returncode}: {err}")
        return json.loads(out)

    def record(self):
        """(key, value) of all that was sent; (key, value) -> revision of what was acknowledged."""
        sent, done = set(), {}
        with open(self.record_path, encoding="utf-8") as file:
            for line in file:
                words = line.split()
                if words[0] == "sent":
                    sent.add((words[1], words[2]))
                else:
                    done[(words[1], words[2])] = int(words[3])
        return sent, done


def b64(text):
    return base64.b64encode(text.encode()).decode()
