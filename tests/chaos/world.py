# SPDX-License-Identifier: Apache-2.0
"""The world of a chaos run: network, disks and members, all inside namespaces of its own that end with it.

Members live at PREFIX.0.N in a network namespace each, joined by a bridge. Between them stands linkproxy: they
advertise PREFIX.1.N, and it speaks for I from PREFIX.2.I. Nothing here touches the interfaces of the machine."""
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

from faultfs import FaultDisk

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BIN = os.environ.get("QUORATE_BIN", os.path.join(ROOT, "build", "bin"))
# The programs beside the engine, where QUORATE_BIN is a build with sanitizers.
TOOLS = os.environ.get("QUORATE_CHAOS_TOOLS", BIN)
CACHE = os.environ.get("QUORATE_CACHE", os.path.expanduser("~/.cache/quorate"))
ETCDCTL = os.environ.get("DEBIAN_ETCDCTL") or os.path.join(CACHE, "debian/usr/bin/etcdctl")
SLOW = float(os.environ.get("QUORATE_E2E_SLOW", "1"))
PREFIX = "10.77"
PEER_PORT, CLIENT_PORT = 2380, 2379
LOOP_DISK_MB = 400
READY_SECONDS = 60


def run(*command, stdin=None, check=True, timeout=60):
    done = subprocess.run([str(word) for word in command], input=stdin, capture_output=True, text=True,
                          timeout=timeout * SLOW, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr.strip()[-500:]}")
    return done


def wait_for(condition, seconds, pause=0.05):
    end = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(pause)


class Network:
    """Namespaces joined by a bridge, and who may not send to whom."""

    def __init__(self, size, folder):
        self.size, self.lock, self.cuts, self.holders = size, threading.Lock(), {}, {}
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "br0", "type", "bridge")
        run("ip", "addr", "add", f"{PREFIX}.0.254/16", "dev", "br0")
        for member in range(1, size + 1):
            run("ip", "addr", "add", f"{PREFIX}.1.{member}/32", "dev", "br0")
            run("ip", "addr", "add", f"{PREFIX}.2.{member}/32", "dev", "br0")
        run("ip", "link", "set", "br0", "up")
        for member in range(1, size + 1):
            self.add(member)
        self.control_path = os.path.join(folder, "proxy.control")
        self.proxy = subprocess.Popen(
            [os.path.join(TOOLS, "linkproxy"), "--members", str(size), "--prefix", PREFIX, "--port", str(PEER_PORT),
             "--control", self.control_path], stdin=subprocess.DEVNULL)
        if not wait_for(lambda: os.path.exists(self.control_path), 10):
            raise RuntimeError("linkproxy does not start")
        self.own_path = os.path.join(folder, "proxy.own")
        self.own = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.own.bind(self.own_path)
        self.own.settimeout(20)

    def add(self, member):
        holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL)
        self.holders[member] = holder.pid
        mine = os.readlink("/proc/self/ns/net")
        if not wait_for(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != mine, 10):
            raise RuntimeError("no network namespace")
        run("ip", "link", "add", f"v{member}", "type", "veth", "peer", "name", "eth0", "netns", holder.pid)
        run("ip", "link", "set", f"v{member}", "master", "br0", "up")
        run(*self.inside(member), "sh", "-c", "ip link set lo up && ip link set eth0 up && "
            f"ip addr add {PREFIX}.0.{member}/16 dev eth0")

    def inside(self, member):
        """The words to put before a command that runs in that member's namespace."""
        return ["nsenter", f"--net=/proc/{self.holders[member]}/ns/net"]

    def cut(self, name, pairs):
        """Under that name: I sends nothing to J, for each (I, J)."""
        with self.lock:
            self.cuts[name] = set(pairs)
            self.apply()

    def heal(self, name):
        with self.lock:
            self.cuts.pop(name, None)
            self.apply()

    def apply(self):
        gone = set().union(*self.cuts.values()) if self.cuts else set()
        for member in self.holders:
            targets = ", ".join(f"{PREFIX}.{net}.{j}" for i, j in sorted(gone) if i == member for net in (1, 2))
            rule = f"ip daddr {{ {targets} }} drop\n" if targets else ""
            run(*self.inside(member), "nft", "-f", "-", stdin=(
                "table inet chaos\ndelete table inet chaos\ntable inet chaos {\nchain out {\n"
                f"type filter hook output priority 0;\n{rule}}}\n}}\n"))

    def tell(self, text):
        """One request to linkproxy."""
        with self.lock:
            self.own.sendto(text.encode(), self.control_path)
            answer = self.own.recv(64).decode()
        if answer != "ok":
            raise RuntimeError(f"linkproxy: {text}: {answer}")


class FaultyDisk:
    """faultfs under a member."""
    kind = "faultfs"

    def __init__(self, folder):
        self.fs = FaultDisk(os.path.join(TOOLS, "faultfs"), folder, fsync_us=300)
        self.data = os.path.join(folder, "data")

    def fill(self):
        self.fs.tell("full")

    def free(self):
        self.fs.tell("clear")

    def close(self):
        self.fs.stop()


class LoopDisk:
    """A small ext4 of its own in a file: what a full disk really does."""
    kind = "loop"

    def __init__(self, folder):
        self.folder, self.image = folder, folder + ".img"
        self.data, self.ballast = os.path.join(folder, "data"), os.path.join(folder, "ballast")
        os.makedirs(folder, exist_ok=True)
        with open(self.image, "wb") as file:
            file.truncate(LOOP_DISK_MB * 1024 * 1024)
        run("mkfs.ext4", "-q", "-F", "-m", "0", self.image)
        run("mount", "-o", "loop", self.image, folder)

    def fill(self):
        """All but nothing is left; fallocate takes what there is."""
        for _ in range(3):
            left = os.statvfs(self.folder)
            size = left.f_bavail * left.f_frsize
            with open(self.ballast, "ab") as file:
                try:
                    os.posix_fallocate(file.fileno(), file.tell(), max(size, 4096))
                except OSError:
                    pass

    def free(self):
        if os.path.exists(self.ballast):
            os.unlink(self.ballast)

    def close(self):
        run("umount", self.folder)
        os.unlink(self.image)


class PlainDisk:
    kind = "plain"

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.data = os.path.join(folder, "data")

    def fill(self):
        raise RuntimeError("a plain disk is not ours to fill")

    def free(self):
        pass

    def close(self):
        pass


def etcd_version(program):
    """Like "3.4"; empty when it cannot be run."""
    said = run(program, "--version", check=False).stdout
    return ".".join(said.split()[2].split(".")[:2]) if said.startswith("etcd Version: ") else ""


def http(method, url, timeout=2):
    """Status and text; 0 and the reason when there is no answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=timeout * SLOW) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, ""
    except (OSError, ValueError) as error:
        return 0, str(error)


class Member:
    """What stands at one place: a member, and after it was replaced another one with a name and a disk of its own."""

    def __init__(self, world, place, program, make_disk):
        self.world, self.place, self.program = world, place, program
        self.lock = threading.Lock()  # who does something to this member holds it
        self.generation, self.process, self.id, self.disk = 0, None, 0, None
        self.is_down = True           # on purpose
        self.may_exit = False         # its disk fails or it was removed
        self.client = f"http://{PREFIX}.0.{place}:{CLIENT_PORT}"
        self.peer = f"http://{PREFIX}.1.{place}:{PEER_PORT}"
        self.renew(make_disk)

    def renew(self, make_disk):
        """A new name and an empty disk."""
        if self.disk:
            self.disk.close()
        self.generation += 1
        self.name = f"m{self.place}g{self.generation}"
        self.disk = make_disk(os.path.join(self.world.folder, self.name))
        self.log_path = os.path.join(self.world.folder, self.name + ".txt")
        self.state, self.initial_cluster, self.id = "new", "", 0

    def is_engine(self):
        return os.path.basename(self.program) == "quorate"

    def command(self):
        flags = {
            "name": self.name, "data-dir": self.disk.data, "listen-client-urls": self.client,
            "advertise-client-urls": self.client, "listen-peer-urls": f"http://{PREFIX}.0.{self.place}:{PEER_PORT}",
            "initial-advertise-peer-urls": self.peer, "initial-cluster": self.initial_cluster,
            "initial-cluster-state": self.state, "initial-cluster-token": "chaos", **self.world.flags}
        if self.is_engine():
            flags.update(self.world.engine_flags)
        else:
            flags["logger"] = "zap"
        return [*self.world.network.inside(self.place), self.program] + [f"--{k}={v}" for k, v in flags.items()]

    def start(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("ETCD_")}
        env["TSAN_OPTIONS"] = f"halt_on_error=1:second_deadlock_stack=1:{env.get('TSAN_OPTIONS', '')}"
        self.world.note_life(self)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        self.is_down = False

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        self.is_down = True
        if self.is_running():
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.world.note_life(self)

    def is_ready(self):
        return self.is_running() and http("GET", self.client + "/readyz" if self.is_engine() else
                                          self.client + "/health")[0] == 200

    def status(self):
        """Of etcdctl endpoint status; None when there is no answer."""
        done = run(ETCDCTL, "--endpoints", self.client, "--command-timeout=2s", "endpoint", "status", "-w", "json",
                   check=False)
        try:
            return json.loads(done.stdout)[0]["Status"]
        except (ValueError, LookupError, TypeError):
            return None

    def log_tail(self, size=1500):
        with open(self.log_path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - size))
            return file.read().decode(errors="replace")


class World:
    """All of it. folder: everything that is written; programs: what runs at each place."""

    def __init__(self, folder, programs, disks, flags, engine_flags):
        """flags: of all members; engine_flags: of those that are not etcd's."""
        self.folder, self.flags, self.engine_flags = folder, flags, engine_flags
        self.lives_lock = threading.Lock()
        self.lives = []  # (time, member id): processes that started or ended
        os.environ["ETCDCTL_API"] = "3"
        self.network = Network(len(programs), folder)
        self.members = [Member(self, i + 1, program, disks[i]) for i, program in enumerate(programs)]
        initial = ",".join(f"{m.name}={m.peer}" for m in self.members)
        for member in self.members:
            member.initial_cluster = initial

    def note_life(self, member):
        with self.lives_lock:
            if member.id:  # the first start needs no note
                self.lives.append((time.monotonic_ns(), member.id))

    def place(self, number):
        return self.members[number - 1]

    def ctl(self, *args, endpoints=None, seconds=5):
        endpoints = endpoints or [m.client for m in self.members if m.is_running()]
        if not endpoints:
            return None
        done = run(ETCDCTL, "--endpoints", ",".join(endpoints), f"--command-timeout={seconds}s", *args, check=False)
        return done if done.returncode == 0 else None

    def member_list(self, endpoints=None):
        """Peer URL to (id, is learner, name); None when nobody answers."""
        done = self.ctl("member", "list", "-w", "json", endpoints=endpoints)
        if done is None:
            return None
        return {m["peerURLs"][0]: (m["ID"], m.get("isLearner", False), m.get("name", ""))
                for m in json.loads(done.stdout).get("members", [])} or None

    def leader(self):
        """The running member that says of itself that it leads in the newest term; None: there is none."""
        found = {}
        for member in self.members:
            state = member.status() if member.is_running() and not member.is_down else None
            if state and state.get("leader") and state["leader"] == state["header"]["member_id"]:
                found[state.get("raftTerm", 0)] = member
        return found[max(found)] if found else None

    def start(self):
        for member in self.members:
            member.start()
        for member in self.members:
            if not wait_for(member.is_ready, READY_SECONDS):
                raise RuntimeError(f"{member.name} is not ready: {member.log_tail()}")
        ids = self.member_list()
        for member in self.members:
            member.id = ids[member.peer][0]

    def keep(self, target):
        """Copies what the members' disks hold, so that it outlives the namespaces."""
        for member in self.members:
            try:
                shutil.copytree(member.disk.data, os.path.join(target, member.name), dirs_exist_ok=True)
            except (OSError, shutil.Error):
                pass

    def stop(self):
        for member in self.members:
            member.kill()
            try:
                member.disk.close()
            except (OSError, RuntimeError):
                pass
