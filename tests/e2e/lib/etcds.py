# SPDX-License-Identifier: Apache-2.0
"""Members that run a real etcd, and what clusters of both kinds are asked.

DEBIAN_ETCD is Debian's etcd 3.4 (default: PATH). etcd 3.5 and 3.6 are what tests/tools has built."""
import os
import shutil
import subprocess

import quorate
from quorate import http, wait_for

BUILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "build.sh")
BUILD_SECONDS_MAX = 1200


class Etcd(quorate.Member):
    """A member that runs etcd itself, with the same flags."""
    program = None

    def command(self):
        return [self.program] + super().command()[1:]

    def wait_ready(self, seconds=20):
        """/readyz came with 3.5.11; /health asks for a leader in all of them."""
        ready = wait_for(lambda: not self.is_running() or http("GET", self.client + "/health", timeout=2)[0] == 200,
                         seconds)
        if not ready or not self.is_running():
            raise RuntimeError(f"{self.name} is not ready (exit {self.process.poll()}): {self.log()[-1200:]}")


def _debian():
    path = os.environ.get("DEBIAN_ETCD") or shutil.which("etcd")
    if not path:
        return None
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout
    return path if said.startswith("etcd Version: 3.4.") else None


def programs():
    """Version -> program of each etcd that is here; builds 3.5 and 3.6 where there is Go."""
    found = {"3.4": _debian()}
    if shutil.which("go"):
        subprocess.run([BUILD, "etcd", "etcd35"], stdin=subprocess.DEVNULL, timeout=BUILD_SECONDS_MAX, check=False,
                       env={**os.environ, "QUIET": "yes"})
    for version, where in (("3.5", "--where35"), ("3.6", "--where")):
        folder = subprocess.run([BUILD, where], capture_output=True, text=True, check=True).stdout.strip()
        path = os.path.join(folder, "etcd")
        found[version] = path if os.path.exists(path) else None
    return {version: path for version, path in found.items() if path}


def program(version):
    """The program of this etcd alone, built where there is Go; None: it is not here."""
    if version == "3.4":
        return _debian()
    name, where = {"3.5": ("etcd35", "--where35"), "3.6": ("etcd", "--where")}[version]
    if shutil.which("go"):
        subprocess.run([BUILD, name], stdin=subprocess.DEVNULL, timeout=BUILD_SECONDS_MAX, check=False,
                       env={**os.environ, "QUIET": "yes"})
    folder = subprocess.run([BUILD, where], capture_output=True, text=True, check=True).stdout.strip()
    path = os.path.join(folder, "etcd")
    return path if os.path.exists(path) else None


def kind_of(version, path):
    """The class of members that run this etcd. entries_to_cut: about what must be written until its log is cut; 3.4
    keeps 5000 entries behind a snapshot whatever it is told."""
    # They compare hashes with their peers by themselves, at each start and all the time.
    flags = {"snapshot-count": "100", "experimental-initial-corrupt-check": "true",
             "experimental-corrupt-check-time": "2s"}
    if version != "3.4":
        flags["experimental-snapshot-catchup-entries"] = "10"
    cut = {"3.4": r"compacted raft log at (\d+)", "3.5": r'"compact-index":(\d+)'}
    return type("Etcd" + version.replace(".", ""), (Etcd,),
                {"program": path, "version": version, "flags_here": flags,
                 "entries_to_cut": 5400 if version == "3.4" else 300,
                 "cut_pattern": cut.get(version, r'"saved snapshot[^"]*","snapshot-index":(\d+)'),
                 "cut_behind": 0 if version in cut else 10})


def hash_of(member, revision):
    """HashKV of one member at a revision and what was compacted before it, or what it says instead."""
    answer = member.ctl("endpoint", "hashkv", f"--rev={revision}", "-w", "json")
    if answer.code != 0:
        return answer.err
    said = answer.json()[0]["HashKV"]
    return said["hash"], said["compact_revision"]


def newest(members):
    return max(m.status()["header"]["revision"] for m in members)


def agree(suite, behaviour, members, seconds=30):
    """All members come to the same hash at the newest revision."""
    revision = newest(members)

    def same():
        if any(m.status()["header"]["revision"] < revision for m in members):
            return None
        return len({hash_of(m, revision) for m in members}) == 1 or None
    return suite.check(behaviour, wait_for(same, seconds, 0.2),
                       [(m.name, m.status(), hash_of(m, revision)) for m in members])


def leader_of(members, seconds=15):
    """The member that all of them call leader."""
    def agreed():
        states = [m.status() for m in members]
        leaders = {s.get("leader", 0) for s in states}
        if len(leaders) != 1:
            return None
        return next((m for m, s in zip(members, states) if s["header"]["member_id"] in leaders), None)
    return wait_for(agreed, seconds, 0.1)


def cluster_version(member):
    """As its client port tells it: "3.5.0"."""
    return quorate.json.loads(http("GET", member.client + "/version")[1])["etcdcluster"]
