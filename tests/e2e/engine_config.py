#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How a member is told what to do: configuration files, variables, every flag of etcd 3.6, unix sockets,
--force-new-cluster, directories that need no --initial-* flag, and what keeps secrets in."""
import glob
import json
import os
import re
import shutil
import stat
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib"))
import quorate  # noqa: E402
from quorate import QUORATE, ROOT, SLOW, Cluster, Member, Result, Suite, ctl, free_port, wait_for  # noqa: E402

quorate.PORT_FIRST, quorate.PORT_LAST = 21000, 21199
quorate._next_port = quorate.PORT_FIRST + (os.getpid() * 37) % 200
DOC = os.path.join(ROOT, "docs", "compatibility-flags.md")


class Filed(Member):
    """A member whose command line names a file, and nothing that counts beside it."""
    config = None
    variables = False

    def command(self):
        said = {"name": self.name, "data-dir": self.data, "listen-client-urls": self.client, "advertise-client-urls": self.client,
                "listen-peer-urls": self.peer, "initial-advertise-peer-urls": self.peer, "initial-cluster": self.initial_cluster,
                **self.flags}
        path = self.data + ".yml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.config or json.dumps(said))
        if self.variables:
            self.extra = {"ETCD_CONFIG_FILE": path}
            return [QUORATE]
        return [QUORATE, "--config-file", path, "--name=ignored", "--snapshot-count=1", "--data-dir=/no/such"]


def run_with(suite, *flags, env=None, seconds=15):
    """Exit status and what it says; it is ended when it runs on."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ETCD_")}
    environment.update(env or {})
    try:
        done = subprocess.run([QUORATE, *flags], capture_output=True, text=True, timeout=seconds * SLOW,
                              cwd=suite.folder("cwd"), env=environment, check=False)
    except subprocess.TimeoutExpired as error:
        return Result(None, "", str(error.stderr))
    return Result(done.returncode, done.stdout, done.stderr)


def etcd36():
    """etcd 3.6 with its tools, where they have been built; else None."""
    build = subprocess.run([os.path.join(ROOT, "tests", "tools", "build.sh"), "--where"], capture_output=True, text=True, check=False)
    folder = build.stdout.strip()
    return folder if build.returncode == 0 and os.path.exists(os.path.join(folder, "etcd")) else None


# ---- files and variables ----

def files(suite):
    m = Filed(suite, "filed")
    m.flags = {"snapshot-count": 77, "feature-gates": "CompactHashCheck=true", "nonsense": 1, "pre-vote": True,
               "corrupt-check-time": 3600 * 10**9, "socket-options": {"reuse-port": True}}
    m.start()
    suite.equal("a member started by a file (JSON is YAML too) serves", m.ctl("put", "k", "v").out, "OK\n")
    suite.contains("it says that nothing else counts", m.log(), "loaded server configuration, other configuration command line flags")
    suite.contains("a key that is not known is named and left out, as etcd leaves it out", m.log(), '"key":"nonsense"')
    suite.contains("the gate of the file is open", quorate.http("GET", m.client + "/metrics")[1],
                   'etcd_server_feature_enabled{name="CompactHashCheck",stage="ALPHA"} 1')
    suite.equal("the name of the command line does not count", m.ctl("member", "list").out.split(", ")[2], "filed")
    m.stop()

    m.config = (f"# as people write it\nname: filed\ndata-dir: '{m.data}'\nlisten-client-urls: {m.client}\n"
                f"advertise-client-urls: {m.client}\nlisten-peer-urls: {m.peer}\ninitial-advertise-peer-urls: {m.peer}\n"
                "log-outputs: [stderr, '" + m.data + ".copy']\nclient-transport-security:\n  auto-tls: false\n")
    m.variables = True
    m.command()
    m.start(extra_env={"ETCD_CONFIG_FILE": m.data + ".yml", "ETCD_SNAPSHOT_COUNT": "not even a number"})
    suite.equal("YAML named by a variable, on the same directory, without --initial-*", m.ctl("get", "k").out, "k\nv\n")
    with open(m.data + ".copy", encoding="utf-8") as file:
        suite.contains("the log goes to a file as well", file.read(), "ready to serve client requests")
    m.stop()

    bad = os.path.join(suite.dir, "bad.yml")
    for text, words in (("snapshot-count: many\n", "cannot unmarshal string into snapshot-count"), ("a: [\n", "line 2"),
                        ("feature-gates: Foo=true\n", "unrecognized feature gate: Foo"), ("- 1\n", "must be an object"),
                        ("discovery: http://a/b\ninitial-cluster: a=http://127.0.0.1:1\n", "multiple discovery or bootstrap flags")):
        with open(bad, "w", encoding="utf-8") as file:
            file.write(text)
        got = run_with(suite, "--config-file", bad)
        suite.check(f"{text!r} is refused", got.code == 1 and words in got.err, got)
    got = run_with(suite, "--config-file", "/no/such/file")
    suite.check("a file that is not there", got.code == 1 and "open /no/such/file" in got.err, got)


def help_of(text):
    """Flags of a help text with their defaults ('' when there is none)."""
    found = {}
    for name, default in re.findall(r"^ +--([a-z0-9-]+)(?: +'?([^'\n]*)'?)?", text, re.MULTILINE):
        found[name] = default.strip()
    return found


def every_flag(suite):
    ours = help_of(run_with(suite, "--help").out)
    suite.check("--help lists its flags in groups", len(ours) > 100 and all(
        f"\n{group}:\n" in run_with(suite, "--help").out for group in ("Member", "Clustering", "Security", "Auth", "Logging", "Unsafe")), ours)
    version = run_with(suite, "--version")
    suite.check("--version begins as etcd's", version.code == 0 and version.out.startswith("etcd Version: 3.6."), version)
    with open(DOC, encoding="utf-8") as file:
        table = file.read()
    rows = set(re.findall(r"^\| `--([a-z0-9.-]+)`", table, re.MULTILINE))
    suite.equal("each of ours has its row in docs/compatibility-flags.md", sorted(set(ours) - rows), [])
    tools = etcd36()
    if tools is None:
        suite.skip("every flag of etcd 3.6", "its program has not been built (tests/tools/build.sh)")
        return
    theirs = help_of(subprocess.run([os.path.join(tools, "etcd"), "--help"], capture_output=True, text=True, check=True).stdout)
    suite.check("etcd's help is read", len(theirs) > 120, sorted(theirs))
    suite.equal("each flag of etcd 3.6 has its row", sorted(set(theirs) - rows), [])
    refused, dropped = [], []
    usable = {name: "" if "math." in value or "$" in value else value for name, value in theirs.items()}
    usable["max-concurrent-streams"] = "5"
    for name, value in usable.items():
        if name in ("version", "help"):
            continue
        # A flag without a default in the help is a switch, or a number or duration: 0 is each of them.
        words = [f"--{name}={value}"] if value else [f"--{name}={word}" for word in ("", "0")]
        said = [run_with(suite, word, "--version") for word in words]
        if not any(one.code == 0 for one in said):
            refused.append((name, said[0].err))
    suite.equal("each flag of etcd 3.6 is taken with its default", refused, [])
    for older in (False, True):
        names = {n: v for n, v in usable.items() if n not in ("config-file", "version", "initial-cluster") and v != ""
                 and (f"experimental-{n}" not in usable or not older) and (older or not n.startswith("experimental-"))}
        m = Member(suite, f"older-{older}")
        taken = {"name", "data-dir", "listen-client-urls", "advertise-client-urls", "listen-peer-urls", "initial-advertise-peer-urls",
                 "initial-cluster", "initial-cluster-state", "discovery-fallback"}
        m.start(extra_env={"ETCD_" + n.upper().replace("-", "_"): v for n, v in names.items() if n not in taken})
        dropped += re.findall(r'unrecognized environment variable.*', m.log())
        suite.check("with " + ("the older names" if older else "all defaults") + " as variables it serves", m.ctl("put", "k", "v").out == "OK\n")
        m.stop()
    suite.equal("no variable is unknown", dropped, [])


# ---- addresses ----

def sockets(suite):
    folder = suite.folder("s")
    m = Member(suite, "m1")
    m.flags = {"listen-client-urls": f"{m.client},unix://{folder}/client.sock", "socket-reuse-port": "true"}
    m.start()
    path = f"{folder}/client.sock"
    suite.check("a unix socket of clients is there", stat.S_ISSOCK(os.stat(path).st_mode))
    suite.equal("etcdctl writes through it", ctl([f"unix://{path}"], "put", "k", "v").out, "OK\n")
    done = subprocess.run(["curl", "-s", "--unix-socket", path, "http://localhost/health"], capture_output=True, text=True, check=False)
    suite.contains("HTTP is spoken there too", done.stdout, '"health":"true"')
    m.kill()
    m.start()
    suite.equal("the socket that a killed process left is replaced", ctl([f"unix://{path}"], "get", "k").out, "k\nv\n")
    m.stop()
    suite.check("it goes with the process", not os.path.exists(path))

    members = [Member(suite, f"u{i}") for i in (1, 2, 3)]
    for member in members:
        member.peer = f"unix://{folder}/{member.name}.sock"
    for member in members:
        member.initial_cluster = ",".join(f"{one.name}={one.peer}" for one in members)
        member.start(wait=False)
    for member in members:
        member.wait_ready()
    suite.equal("three members that know each other by unix sockets", members[1].ctl("put", "k", "w").out, "OK\n")
    suite.equal("read each other's writes", members[2].ctl("get", "k").out, "k\nw\n")
    for member in members:
        member.stop()

    m = Member(suite, "m1")
    m.flags = {"listen-client-urls": f"{m.client},unixs://{folder}/tls.sock", "auto-tls": "true"}
    m.start()
    done = subprocess.run(["curl", "-sk", "--unix-socket", f"{folder}/tls.sock", "https://localhost/health"],
                          capture_output=True, text=True, check=False)
    suite.contains("TLS over a unix socket", done.stdout, '"health":"true"')
    m.stop()


# ---- directories ----

def force_new(suite):
    cluster = Cluster(suite, 3)
    cluster.start()
    for i in range(50):
        cluster.members[0].ctl("put", f"k{i}", "v")
    leader = cluster.leader()
    survivor = next(m for m in cluster.members if m is not leader)
    suite.check("it has what was written", wait_for(lambda: survivor.ctl("get", "k49", "--consistency=s").out == "k49\nv\n"))
    cluster_id = survivor.status()["header"]["cluster_id"]
    for member in cluster.members:
        member.kill()
    survivor.flags["force-new-cluster"] = "true"
    survivor.start()
    members = survivor.ctl("member", "list", "-w", "json").json()
    suite.equal("one member is left", [one["name"] for one in members["members"]], [survivor.name])
    suite.equal("of the same cluster", members["header"]["cluster_id"], cluster_id)
    suite.equal("its data is there", len(survivor.ctl("get", "k", "--prefix", "--keys-only").out.split()), 50)
    suite.equal("it takes writes alone", survivor.ctl("put", "after", "1").out, "OK\n")
    suite.contains("it warns", survivor.log(), "the others must never come back")
    survivor.kill()
    survivor.start()
    suite.equal("the flag does no harm at the next start", survivor.ctl("get", "after").out, "after\n1\n")
    survivor.stop()
    del survivor.flags["force-new-cluster"]
    survivor.start()
    suite.equal("nor is it missed", survivor.ctl("get", "after").out, "after\n1\n")
    joiner = Member(suite, "m9")
    added = survivor.ctl("member", "add", "m9", f"--peer-urls={joiner.peer}")
    joiner.initial_cluster, joiner.cluster_state = f"{survivor.name}={survivor.peer},m9={joiner.peer}", "existing"
    joiner.flags["initial-cluster-token"] = cluster.token
    joiner.start()
    suite.equal("a new member joins it", joiner.ctl("get", "after").out, "after\n1\n")
    suite.check("and it is a member", added.code == 0, added)
    joiner.stop()
    survivor.kill()
    survivor.flags["force-new-cluster"] = "true"
    survivor.start()
    suite.equal("of two, too, one can go on", len(survivor.ctl("member", "list").lines()), 1)
    survivor.stop()


def no_initial_flags(suite):
    m = Member(suite, "m1").start()
    m.ctl("put", "k", "v")
    snapshot = os.path.join(suite.dir, "snap.db")
    m.ctl("snapshot", "save", snapshot)
    m.stop()
    bare = [QUORATE, "--name=m1", f"--data-dir={m.data}", f"--listen-client-urls={m.client}", f"--advertise-client-urls={m.client}",
            f"--listen-peer-urls={m.peer}"]
    m.command = lambda: bare
    m.start()
    suite.equal("a directory that is there needs no --initial-* flag", m.ctl("get", "k").out, "k\nv\n")
    m.stop()
    tools = etcd36()
    restore = [os.path.join(tools, "etcdutl")] if tools else [quorate.ETCDCTL]
    other = Member(suite, "m1")
    subprocess.run([*restore, "snapshot", "restore", snapshot, "--name=m1", f"--data-dir={other.data}", f"--initial-cluster=m1={other.peer}",
                    f"--initial-advertise-peer-urls={other.peer}"], env=quorate._clean_env(), capture_output=True, check=True)
    other.command = lambda: [QUORATE, "--name=m1", f"--data-dir={other.data}", f"--listen-client-urls={other.client}",
                             f"--advertise-client-urls={other.client}", f"--listen-peer-urls={other.peer}"]
    other.start()
    suite.equal("nor does a directory that was restored", other.ctl("get", "k").out, "k\nv\n")
    other.stop()


# ---- finding each other ----

def members_of(suite, names, program_of_first=None):
    """Members without --initial-cluster; the first one may be etcd itself."""
    found = []
    for name in names:
        member = Member(suite, name)
        member.initial_cluster = ""
        if program_of_first and not found:
            command = member.command
            member.command = lambda command=command: [program_of_first] + command()[1:]
        found.append(member)
    return found


def one_cluster(suite, what, members):
    for member in members:
        member.wait_ready()
    suite.equal(f"{what}: a cluster of three", members[0].ctl("put", "k", what).out, "OK\n")
    suite.equal(f"{what}: that all are in", [m.ctl("get", "k").out for m in members], [f"k\n{what}\n"] * 3)
    suite.equal(f"{what}: all names", sorted(line.split(", ")[2] for line in members[2].ctl("member", "list").lines()),
                sorted(m.name for m in members))


def discovery(suite):
    tools = etcd36()
    service = Member(suite, "service")
    service.flags = {"auto-tls": "true", "listen-client-urls": f"{service.client},https://127.0.0.1:{free_port()}"}
    service.start()
    secure = service.flags["listen-client-urls"].split(",")[1]
    ways = [("v3 discovery", {"discovery-endpoints": service.client.split("//")[1]}, None),
            ("v3 discovery with TLS", {"discovery-endpoints": "127.0.0.1:1," + secure.split("//")[1], "discovery-insecure-transport": "false",
                                       "discovery-insecure-skip-tls-verify": "true"}, None)]
    if tools:
        ways[0] = (ways[0][0] + " beside etcd", ways[0][1], os.path.join(tools, "etcd"))
    else:
        suite.skip("v3 discovery beside etcd 3.6", "its program has not been built")
    for number, (what, flags, first) in enumerate(ways):
        token = f"token-{number}"
        service.ctl("put", f"/_etcd/registry/{token}/_config/size", "3")
        members = members_of(suite, ("d1", "d2", "d3"), first)
        for member in members:
            member.flags = {"discovery-token": token, **flags}
        for member in members[1:]:
            member.start(wait=False)
        suite.check(f"{what}: two wait for the third", members[2].wait_log("waiting for peers from discovery service", 20), members[2].log())
        members[0].start(wait=False)
        one_cluster(suite, what, members)
        late = members_of(suite, ("late",))[0]
        late.flags = dict(members[1].flags)
        late.start(wait=False)
        suite.equal(f"{what}: a fourth finds it full", (late.wait_exit(), "discovery: cluster is full" in late.log()), (1, True))
        members[1].stop()
        members[1].start()
        suite.contains(f"{what}: later starts do not ask", members[1].log(), "discovery is ignored")
        for member in members:
            member.stop()
    for flags, words in (({"discovery-token": "none", "discovery-endpoints": service.client}, "discovery: size key not found"),
                         ({"discovery": "http://127.0.0.1:1/v2/keys/x"}, "v2 discovery is not spoken")):
        lost = members_of(suite, ("lost",))[0]
        lost.flags = flags
        lost.start(wait=False)
        suite.equal(f"without it: {words}", (lost.wait_exit(), words in lost.log()), (1, True))
    patient = members_of(suite, ("patient",))[0]
    service.ctl("put", "/_etcd/registry/two/_config/size", "2")
    patient.flags = {"discovery-token": "two", "discovery-endpoints": service.client}
    patient.start(wait=False)
    patient.wait_log("waiting for peers", 20)
    suite.equal("SIGTERM ends who waits", patient.stop(), 143)
    service.stop()


def by_dns(suite):
    """In a network and with a resolver of its own, where that is allowed."""
    if os.environ.get("QUORATE_OWN_NETWORK"):
        return inside(suite)
    probe = subprocess.run(["unshare", "-mn", "true"], capture_output=True, check=False)
    if probe.returncode != 0 or not shutil.which("ip"):
        suite.skip("SRV records", "no network of our own is to be had here (unshare -mn, ip)")
        return None
    done = subprocess.run(["unshare", "-mn", sys.executable, os.path.abspath(__file__), "by_dns"], capture_output=True, text=True,
                          env={**os.environ, "QUORATE_OWN_NETWORK": "1"}, check=False)
    for line in done.stdout.splitlines():
        if line.startswith(("ok - ", "FAIL - ")):
            suite.check(line.split(" - ", 1)[1], line.startswith("ok"), line)
    return suite.check("the part in its own network ended well", done.returncode == 0, done.stdout + done.stderr)


def inside(suite):
    from dns import Server  # pylint: disable=import-outside-toplevel
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    resolver = os.path.join(suite.dir, "resolv.conf")
    with open(resolver, "w", encoding="utf-8") as file:
        file.write("nameserver 127.0.0.1\noptions timeout:1 attempts:2\n")
    subprocess.run(["mount", "--bind", resolver, os.path.realpath("/etc/resolv.conf")], check=True)
    tools = etcd36()
    names = Server()
    for number, (what, suffix) in enumerate((("SRV records", ""), ("SRV records of a named service", "blue"))):
        members = members_of(suite, ("s1", "s2", "s3"), os.path.join(tools, "etcd") if tools and number == 0 else None)
        domain = f"d{number}.example.test"
        service = "_etcd-server" + (f"-{suffix}" if suffix else "") + f"._tcp.{domain}"
        for member in members:
            port = int(member.peer.rsplit(":", 1)[1])
            host = f"{member.name}.{domain}"
            names.add_address(host, "127.0.0.1")
            names.add_service(service, host, port)
            member.flags = {"discovery-srv": domain, "initial-advertise-peer-urls": f"http://{host}:{port}"}
            if suffix:
                member.flags["discovery-srv-name"] = suffix
        for member in members:
            member.start(wait=False)
        one_cluster(suite, what, members)
        for member in members:
            member.stop()
    addresses = ["10.77.0.1", "10.77.0.2", "10.77.0.3"]
    for address in addresses:
        subprocess.run(["ip", "addr", "add", address + "/32", "dev", "lo"], check=True)
    members = [Member(suite, f"l{i}") for i in (1, 2, 3)]
    for member, address in zip(members, addresses):
        member.peer = member.peer.replace("127.0.0.1", address)
    for member in members:
        member.initial_cluster = ",".join(f"{one.name}={one.peer}" for one in members)
        member.flags = {"feature-gates": "SetMemberLocalAddr=true"}
        member.start(wait=False)
    one_cluster(suite, "SetMemberLocalAddr", members)
    calls = [line.split() for line in subprocess.run(["ss", "-Htn", "state", "established"], capture_output=True, text=True,
                                                     check=True).stdout.splitlines()]
    ports = {one.peer.rsplit(":", 1)[1] for one in members}
    pairs = {(mine.rsplit(":", 1)[0], theirs.rsplit(":", 1)[0]) for mine, theirs in (call[2:4] for call in calls)
             if theirs.rsplit(":", 1)[1] in ports}
    suite.equal("with SetMemberLocalAddr members call from their own addresses", pairs,
                {(a, b) for a in addresses for b in addresses if a != b})
    for member in members:
        member.stop()
    for domain, port, words in (("nobody.example.test", 1, "no such records"), ("d0.example.test", 1, "cannot find local etcd member")):
        lost = members_of(suite, ("lost",))[0]
        lost.flags = {"discovery-srv": domain, "initial-advertise-peer-urls": f"http://127.0.0.1:{port}"}
        lost.start(wait=False)
        suite.equal(f"{domain}: {words}", (lost.wait_exit(30), words in lost.log()), (1, True))
    names.stop()


def secrets(suite):
    m = Member(suite, "m1")
    secure = f"127.0.0.1:{free_port()}"
    m.flags = {"auto-tls": "true", "unsafe-no-fsync": "true", "listen-client-urls": f"{m.client},https://{secure}"}
    m.start()
    with open(f"/proc/{m.process.pid}/status", encoding="utf-8") as file:
        suite.check("the process can be looked at", "Threads" in file.read())
    owner = os.stat(f"/proc/{m.process.pid}/environ").st_uid
    suite.contains("a process that holds keys forbids dumps", m.log(), "private keys are held")
    # It does not trust the certificate, and says so.
    subprocess.run(["openssl", "s_client", "-connect", secure, "-servername", "a.example", "-verify_return_error"],
                   stdin=subprocess.DEVNULL, capture_output=True, check=False)
    m.wait_log("rejected connection on client endpoint")
    line = next((json.loads(one) for one in m.log().splitlines() if "rejected connection on client" in one), {})
    suite.check("a refused handshake is logged with etcd's fields", line.get("server-name") == "a.example" and
                line.get("remote-addr", "").startswith("127.0.0.1:") and line.get("error"), line)
    suite.contains("--unsafe-no-fsync warns", m.log(), "--unsafe-no-fsync: a crash of this machine LOSES writes")
    suite.equal("the data directory is its owner's alone", stat.S_IMODE(os.stat(m.data).st_mode), 0o700)
    suite.check("its files under /proc belong to root", owner == 0, owner)
    m.stop()
    os.chmod(m.data, 0o755)
    m.flags = {"auto-tls": "true", "allow-memory-dumps": "true"}
    at = len(m.log())
    m.start()
    suite.contains("a directory that others can look into: a warning names it", m.log()[at:], f'chmod 700 it","path":"{m.data}","mode":"0755"')
    suite.check("--allow-memory-dumps", "private keys are held" not in m.log()[at:])
    m.stop()


if __name__ == "__main__":
    sys.exit(Suite("engine-config").run([files, every_flag, sockets, force_new, no_initial_flags, discovery, by_dns, secrets]))
