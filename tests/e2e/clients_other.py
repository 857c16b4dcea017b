#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients in other languages (tests/clients): etcd3 from PyPI with Python, jetcd from Maven Central with Java, over
TLS. Each program runs against a member of ours and one of etcd 3.6; what it prints must be the same, line by line, so
that a failure of the client is told from one of ours. What they need is fetched once; where that cannot be, that
language is skipped. Parts can be named as arguments. Ports 22000 to 22199."""
import difflib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import gotools  # noqa: E402  (first: it finds the programs)
import quorate  # noqa: E402
from quorate import ROOT, Suite  # noqa: E402
from tlsworld import Pki, TlsEtcd, TlsMember, found  # noqa: E402

quorate.PORT_FIRST, quorate.PORT_LAST = 22000, 22199
quorate._next_port = quorate.PORT_FIRST + (os.getpid() * 37) % (quorate.PORT_LAST - quorate.PORT_FIRST)
TlsEtcd.program = gotools.ETCD
CLIENTS = os.path.join(ROOT, "tests", "clients")
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "quorate")
FETCH_SECONDS_MAX, RUN_SECONDS_MAX = 600, 180
SKIPPED = []


def fetched(name, files, make):
    """The folder that make(folder) has filled from the files named, in the cache; None with the reason: it cannot."""
    digest = hashlib.sha256(b"".join(open(os.path.join(CLIENTS, f), "rb").read() for f in files)).hexdigest()[:12]
    folder = os.path.join(CACHE, f"clients-{name}-{digest}")
    os.makedirs(CACHE, exist_ok=True)
    with open(folder + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(os.path.join(folder, ".whole")):
            return folder, ""
        shutil.rmtree(folder, ignore_errors=True)
        try:
            make(folder)
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", b"") or b"").decode(errors="replace").strip().splitlines()
            return None, f"{error}: {said[-1] if said else ''}"[:300]
        with open(os.path.join(folder, ".whole"), "w", encoding="ascii"):
            return folder, ""


def fetch(*command):
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=FETCH_SECONDS_MAX, check=True)


def make_python(folder):
    fetch(sys.executable, "-m", "venv", folder)
    fetch(os.path.join(folder, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "-r",
          os.path.join(CLIENTS, "requirements.txt"))


def make_java(folder):
    """Maven's own files go there too: nothing is left in anybody's home."""
    fetch("mvn", "-q", "-B", "-f", os.path.join(CLIENTS, "pom.xml"), f"-Dmaven.repo.local={folder}/repository",
          "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies", f"-DoutputDirectory={folder}/jars")
    shutil.rmtree(os.path.join(folder, "repository"), ignore_errors=True)


def same_on_both(suite, language, command):
    """Runs it against both, at the same time; compares what it says."""
    pki = Pki(suite, language)
    # No user is named in it: these programs log in by password.
    client = pki.clients.issue("program", "", hosts="", usage="clientAuth")
    members = [TlsMember(suite, language, pki), TlsEtcd(suite, language + "-etcd", pki)]
    for member in members:
        found([member])
    runs = [subprocess.Popen(command + [m.client, pki.clients.cert, client[0], client[1]], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
            for m in members]
    said = []
    for run in runs:
        try:
            said.append(run.communicate(timeout=RUN_SECONDS_MAX))
        except subprocess.TimeoutExpired:
            run.kill()
            said.append(run.communicate())
    (ours, our_errors), (theirs, their_errors) = said
    suite.check(f"{language}: the client works with etcd", runs[1].returncode == 0 and theirs.rstrip().endswith("end:"),
                theirs[-300:] + their_errors[-1000:])
    suite.check(f"{language}: and with ours", runs[0].returncode == 0 and ours.rstrip().endswith("end:"),
                ours[-300:] + our_errors[-1000:])
    lines = list(difflib.unified_diff(theirs.splitlines(), ours.splitlines(), "etcd", "ours", lineterm="", n=0))
    suite.equal(f"{language}: {len(theirs.splitlines())} steps give the same", lines, [])
    for member in members:
        suite.check(f"{language}: {member.name} goes on", member.is_running(), member.log()[-500:])


def environment():
    return {k: v for k, v in os.environ.items() if not k.startswith(("GRPC_", "PYTHON", "JAVA_", "JDK_", "MAVEN_"))}


def python(suite):
    folder, why = fetched("python", ["requirements.txt"], make_python)
    if folder is None:
        SKIPPED.append(f"Python: {why}")
        return suite.skip("the client of Python", why)
    return same_on_both(suite, "python", [os.path.join(folder, "bin", "python"),
                                          os.path.join(CLIENTS, "python_etcd3.py")])


def java(suite):
    if not (shutil.which("java") and shutil.which("mvn")):
        SKIPPED.append("Java: neither maven nor a JDK is on this machine")
        return suite.skip("the client of Java", "neither maven nor a JDK is on this machine")
    folder, why = fetched("java", ["pom.xml"], make_java)
    if folder is None:
        SKIPPED.append(f"Java: {why}")
        return suite.skip("the client of Java", why)
    return same_on_both(suite, "java", ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{folder}/jars/*",
                                        os.path.join(CLIENTS, "Jetcd.java")])


if __name__ == "__main__":
    code = Suite("clients-other").run([python, java])
    if code == 0 and len(SKIPPED) == 2:
        print("; ".join(SKIPPED))
        code = 77
    sys.exit(code)
