#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TLS from outside: three members with certificates on all ports, driven by etcdctl of 3.4 and (where it was built)
3.6; who is refused; certificates replaced under a writer; --auto-tls; members of etcd beside ours.

The openssl program makes all certificates. Parts can be named as arguments. Ports 35000 to 35499."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import quorate  # noqa: E402
from quorate import Load, Member, Suite, Watcher, http, wait_for  # noqa: E402
from tlsworld import Pki, TlsEtcd, TlsMember, built, cluster_of, found, serial_at  # noqa: E402

quorate.PORT_FIRST, quorate.PORT_LAST = 35000, 35499
quorate._next_port = quorate.PORT_FIRST + (os.getpid() * 37) % (quorate.PORT_LAST - quorate.PORT_FIRST)


def clients(suite):
    """One cluster, all that clients do and all who are refused."""
    pki = Pki(suite, "clients")
    members = [TlsMember(suite, f"m{i + 1}", pki, metrics=i == 0) for i in range(3)]
    found(members)
    programs = {"3.4": quorate.ETCDCTL, "3.6": built("etcdctl")}
    for version, program in programs.items():
        if program is None:
            suite.skip(f"etcdctl {version}", "it was not built")
            continue
        key, first, second = f"k{version}", members[0], members[1]
        suite.equal(f"etcdctl {version} puts", first.ctl("put", key, "v", program=program).out, "OK\n")
        suite.equal(f"etcdctl {version} gets", second.ctl("get", key, program=program).out, f"{key}\nv\n")
        path = os.path.join(suite.dir, f"{version}.db")
        suite.equal(f"etcdctl {version} saves a snapshot", first.ctl("snapshot", "save", path, program=program).code, 0)
        added = wait_for(lambda p=program: first.ctl("member", "add", "more", "--learner",
                                                     "--peer-urls=https://127.0.0.1:35499", program=p).code == 0, 15, 0.5)
        suite.check(f"etcdctl {version} adds a member, once the links are old enough", added, first.log()[-600:])
        more = next((m for m in first.ctl("member", "list", "-w", "json").json()["members"] if "name" not in m), {})
        removed = first.ctl("member", "remove", f"{more.get('ID', 0):x}", program=program)
        suite.check(f"etcdctl {version} removes it", removed.code == 0, removed)
    watcher = Watcher(suite, [members[2].client], *[], *pki.ctl_flags(), "seen", "--prefix")
    wait_for(lambda: members[2].metric("etcd_debugging_mvcc_watcher_total"), 10)
    members[0].ctl("put", "seen1", "by watch")
    suite.check("a watch through another member sees the put", watcher.wait("by watch"), watcher.text())
    watcher.stop()
    suite.equal("/health over https", http("GET", members[0].client + "/health")[0], 200)
    suite.contains("metrics over https", http("GET", members[0].metrics + "/metrics")[1], "etcd_server_has_leader 1")
    for version in ("--http1.1", "--http2") if shutil.which("curl") else ():
        seen = subprocess.run(["curl", "-s", version, "--cacert", pki.clients.cert, "--cert", pki.client[0], "--key",
                               pki.client[1], members[0].client + "/version"], capture_output=True, text=True,
                              timeout=20, check=False)
        suite.contains(f"curl {version} reads the version", seen.stdout, '"etcdserver"')
    refused(suite, pki, members)


def refused(suite, pki, members):
    first = members[0]
    quick = ("--dial-timeout=1s", "--command-timeout=1s")
    own_ca = first.ctl(*quick, "put", "no", "no", ca=pki.other.cert)
    suite.check("a server of another authority is not trusted", own_ca.code != 0, own_ca)
    stranger = first.ctl(*quick, "put", "no", "no", cert=pki.stranger)
    suite.check("a client of another authority is refused", stranger.code != 0, stranger)
    nobody = quorate.ctl([first.client], f"--cacert={pki.clients.cert}", *quick, "put", "no", "no")
    suite.check("a client without a certificate is refused", nobody.code != 0, nobody)
    plain = quorate.ctl([first.client.replace("https", "http")], *quick, "put", "no", "no")
    suite.check("a client without TLS is refused", plain.code != 0, plain)
    suite.check("the log says who was refused", first.wait_log('"msg":"rejected connection on client endpoint"'),
                first.log()[-600:])
    suite.equal("nothing of them was written", first.ctl("get", "no").out, "")
    metrics = subprocess.run(["openssl", "s_client", "-connect", first.metrics.split("//")[1], "-CAfile",
                              pki.clients.cert, "-quiet"], input="GET /metrics HTTP/1.0\r\n\r\n",
                             capture_output=True, text=True, timeout=20, check=False)
    suite.check("nor are metrics for those without", "etcd_server" not in metrics.stdout, metrics.stdout[-300:])
    revoked = pki.clients.issue("revoked", "root", hosts="", usage="clientAuth")
    suite.equal("a client that will be revoked is served", first.ctl("get", "x", cert=revoked).code, 0)
    pki.clients.revoke(pki.crl, [revoked[2]])
    suite.check("once revoked it is refused", first.ctl(*quick, "get", "x", cert=revoked).code != 0)
    suite.equal("the others are served", first.ctl("get", "x").code, 0)
    pki.clients.revoke(pki.crl, [])


def peers(suite):
    """A member with a wrong certificate stays outside; the others go on; with the right one it is back."""
    pki = Pki(suite, "peers")
    members = [TlsMember(suite, f"p{i + 1}", pki) for i in range(3)]
    for member in members:
        member.flags["peer-cert-allowed-cn"] = "member"
    found(members)
    cluster = cluster_of(members)
    last = cluster.followers()[0]
    others = [m for m in members if m is not last]
    wrong = {"of another authority": pki.other.issue("wrong-ca", "member"),
             "of another name": pki.peers.issue("wrong-cn", "somebody"),
             "from another address": pki.peers.issue("wrong-ip", "member", hosts="IP:127.0.0.9")}
    for what, cert in wrong.items():
        last.stop()
        marks = {m.name: m.log().count("rejected connection on peer endpoint") for m in others}
        last.flags.update({"peer-client-cert-file": cert[0], "peer-client-key-file": cert[1]})
        last.start(wait=False)
        suite.check(f"a peer with a certificate {what} is refused",
                    wait_for(lambda m=marks: all(o.log().count("rejected connection on peer endpoint") > m[o.name]
                                                 for o in others), 15), others[0].log()[-600:])
        suite.equal("the others go on", others[0].ctl("put", "on", what).out, "OK\n")
    for key in ("peer-client-cert-file", "peer-client-key-file"):
        del last.flags[key]
    last.stop()
    last.start(wait=False)
    suite.check("with its own certificate it is back", wait_for(lambda: last.ctl("get", "on").code == 0, 20),
                last.log()[-600:])
    bare = quorate.ctl([others[0].peer], "--insecure-skip-tls-verify", "--command-timeout=2s", "member", "list")
    suite.check("a caller of the peer port without a certificate is refused", bare.code != 0, bare)
    suite.check("all hold the same", cluster.hashes_agree(), cluster.hashes())


def reload(suite):
    """All certificates are replaced while a writer runs."""
    pki = Pki(suite, "reload")
    members = [TlsMember(suite, f"r{i + 1}", pki) for i in range(3)]
    found(members)
    cluster = cluster_of(members)
    load = Load(suite, cluster.endpoints(), streams=4, seconds=4, rate=300, cacert=pki.clients.cert,
                cert=pki.client[0], key=pki.client[1])
    wait_for(lambda: len(load.record()[1]) > 100, 10)
    for _ in range(3):
        before = [m.server_cert[2] for m in members]
        for member in members:
            member.renew()
        for member, old in zip(members, before):
            suite.check(f"a new connection to {member.name} sees the new certificate",
                        serial_at(member.client, pki) == member.server_cert[2] != old)
    said = load.finish()
    suite.equal("no write failed meanwhile", said["failed"], 0)
    suite.check("and there were many", said["done"] > 100, said)
    members[2].kill()
    members[2].start()
    suite.check("a member that restarts meets the others with the new ones", cluster.hashes_agree(), cluster.hashes())
    sent, done = load.record()
    suite.equal("all that was sent was acknowledged", len(done), len(sent))


def automatic(suite):
    """--auto-tls and --peer-auto-tls: no file is given."""
    members = [Member(suite, f"a{i + 1}") for i in range(3)]
    for member in members:
        member.client, member.peer = (url.replace("http:", "https:") for url in (member.client, member.peer))
        member.flags.update({"auto-tls": "true", "peer-auto-tls": "true"})
    initial = ",".join(f"{m.name}={m.peer}" for m in members)
    for member in members:
        member.initial_cluster = initial
        member.start(wait=False)

    def put(member):
        cert = os.path.join(member.data, "fixtures", "client", "cert.pem")
        return quorate.ctl([member.client], f"--cacert={cert}", "--command-timeout=2s", "put", "auto", member.name)
    for member in members:
        suite.check(f"{member.name} serves with a certificate of its own making",
                    wait_for(lambda m=member: put(m).out == "OK\n", 20), member.log()[-600:])
    key = os.path.join(members[0].data, "fixtures", "peer", "key.pem")
    suite.equal("the key is its owner's alone", oct(os.stat(key).st_mode & 0o777), "0o600")
    with open(key, encoding="utf-8") as file:
        secret = file.read().splitlines()[1]
    before = os.stat(key).st_ino
    members[0].stop()
    members[0].start(wait=False)
    suite.check("it comes back with the same one",
                wait_for(lambda: put(members[0]).out == "OK\n", 20) and os.stat(key).st_ino == before)
    suite.check("no log holds the key", all(secret not in m.log() for m in members))


def mixed(suite):
    """One of etcd's members among ours, over peer TLS; each leaves and comes back."""
    debian = os.environ.get("DEBIAN_ETCD") or shutil.which("etcd")
    for version, program in (("3.4", debian), ("3.6", built("etcd"))):
        if program is None:
            suite.skip(f"a cluster with etcd {version}", "it is not here")
            continue
        pki = Pki(suite, f"mixed{version}")
        members = [TlsMember(suite, f"x{i + 1}", pki) for i in range(2)] + [TlsEtcd(suite, "theirs", pki)]
        members[2].program = program
        found(members)
        for member in members:
            suite.equal(f"with etcd {version}, {member.name} takes a put",
                        member.ctl("put", f"k-{member.name}", version).out, "OK\n")
        for member in (members[2], members[0]):
            member.kill()
            other = members[1]
            suite.check(f"without {member.name} ({version}) the others go on",
                        wait_for(lambda o=other: o.ctl("--command-timeout=3s", "put", "on", "1").out == "OK\n", 20))
            member.start()
        suite.check(f"all hold the same with etcd {version}", cluster_of(members).hashes_agree(),
                    cluster_of(members).hashes())
        for member in members:
            member.stop()


def flags(suite):
    """What is refused at the start, and what is only warned of."""
    pki = Pki(suite, "flags")
    cert, key, _ = pki.clients.issue("flags")

    def wrong(behaviour, text, changes, client=None):
        member = Member(suite, "f")
        member.client = client or member.client
        member.flags.update(changes)
        member.start(wait=False)
        code = member.wait_exit(10)
        suite.check(behaviour, code == 1 and text in member.log(), f"exit {code}: {member.log()[-400:]}")
    url = f"https://127.0.0.1:{quorate.free_port()}"
    wrong("https needs a certificate", f"(--cert-file, --key-file) must be provided for client url {url} with HTTPS",
          {}, client=url)
    wrong("a certificate needs its key", "KeyFile and CertFile must both be present[key: , cert: ", {"cert-file": cert})
    wrong("an unknown cipher", 'unexpected TLS cipher suite "X"', {"cipher-suites": "X"})
    wrong("an unknown version", 'unexpected TLS version "TLS1.0"', {"tls-min-version": "TLS1.0"})
    wrong("versions the wrong way round", "min version (TLS1.3) is greater than max version (TLS1.2)",
          {"tls-min-version": "TLS1.3", "tls-max-version": "TLS1.2"})
    wrong("a key that is not there", "/no/key: No such file", {"cert-file": cert, "key-file": "/no/key"}, client=url)
    member = Member(suite, "g")
    member.client_http = f"http://127.0.0.1:{quorate.free_port()}"
    member.flags.update({"cert-file": cert, "key-file": key, "listen-client-http-urls": member.client_http})
    member.start(wait=False)
    suite.check("the HTTP port answers", wait_for(lambda: http("GET", member.client_http + "/health")[0] == 200, 15),
                member.log()[-600:])
    suite.check("http with a certificate is warned of",
                "scheme is http or unix while key and cert files are present; ignoring key and cert files"
                in member.log())
    suite.equal("the other port speaks gRPC", member.ctl("put", "a", "b").out, "OK\n")
    suite.equal("and no HTTP", http("GET", member.client + "/health")[0], 0)


if __name__ == "__main__":
    sys.exit(Suite("engine_tls").run([flags, clients, peers, reload, automatic, mixed]))
