#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who is served over TLS and who is not, as a table: certificates, chains, revocation, versions, suites and changed
files, on the client, the peer and the metrics listener, and when a member dials its peers. Each row is also asked of
etcd 3.6 where it was built: what differs is named in the row and explained in docs/compatibility.md.

The openssl program makes all certificates. Parts can be named as arguments. Ports 22000 to 22199."""
import os
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
import warnings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import quorate  # noqa: E402
from quorate import ROOT, Member, Suite, free_port, wait_for  # noqa: E402
from tlsworld import built, openssl  # noqa: E402

quorate.PORT_FIRST, quorate.PORT_LAST = 22000, 22199
quorate._next_port = quorate.PORT_FIRST + (os.getpid() * 37) % (quorate.PORT_LAST - quorate.PORT_FIRST)
warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 is asked for here so that it is refused
PATHS = {"client": "/version", "peer": "/version", "metrics": "/health"}
ALL, NONE = frozenset(PATHS), frozenset()
PLAIN = frozenset(("client", "metrics"))  # where nobody asks from which address a certificate is shown
DOCUMENT = os.path.join(ROOT, "docs", "compatibility.md")
LOCAL = "subjectAltName=IP:127.0.0.1"
BOTH = "extendedKeyUsage=clientAuth,serverAuth"
PAST, FUTURE = ("200101000000Z", "210101000000Z"), ("20400101000000Z", "20410101000000Z")
SUITE_NAMES = {"ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"}


# ---- certificates ----

class Authority:
    """A CA and what it signs; every file is <folder>/<name>.crt, .key, .chain."""

    def __init__(self, folder, name, parent=None, lines=("basicConstraints=critical,CA:TRUE",), **how):
        self.folder, self.name, self.serial, self.parent = folder, name, 100, parent
        self.cert, self.key = self.path(name + ".crt"), self.path(name + ".key")
        lines = [*lines, "keyUsage=critical,keyCertSign,cRLSign", "subjectKeyIdentifier=hash"]
        if parent:
            parent.sign(name, subject="/CN=" + how.pop("subject", name), lines=lines, **how)
        else:
            self.sign(name, subject="/CN=" + how.pop("subject", name), lines=lines, itself=True, **how)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def sign(self, name, subject="/CN=member", lines=(BOTH, LOCAL), key="EC:P-256", digest="sha256", dates=None,
             itself=False, serial=None):
        """Paths of a certificate with its key: (certificate and what leads to the root, key)."""
        self.serial += 1
        kind, size = key.split(":")
        make = {"EC": ["-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{size}"], "RSA": ["-newkey", f"rsa:{size}"],
                "ED": ["-newkey", "ed25519"]}[kind]
        request = self.write(name + ".csr", openssl("req", "-new", *make, "-nodes", "-keyout", self.path(name + ".key"),
                                                    "-subj", subject))
        cert = self.path(name + ".crt")
        serial = serial or self.serial
        extensions = ["-extfile", self.write(name + ".ext", "\n".join(lines) + "\n")] if lines else []
        if itself and not dates:
            openssl("x509", "-req", "-in", request, "-signkey", self.path(name + ".key"), "-days", "2", "-" + digest,
                    "-set_serial", str(serial), *extensions, "-out", cert)
        elif dates:
            by = ["-selfsign", "-keyfile", self.path(name + ".key")] if itself else [
                "-cert", self.cert, "-keyfile", self.key]
            config = self.write(name + ".cnf", f"[ca]\ndefault_ca=a\n[a]\ndatabase={self.write(name + '.index', '')}\n"
                                f"serial={self.write(name + '.serial', f'{serial:04X}')}\nnew_certs_dir={self.folder}\n"
                                f"default_md={digest}\npolicy=p\nunique_subject=no\n[p]\ncommonName=optional\n")
            openssl("ca", "-batch", "-notext", "-config", config, "-in", request, "-startdate", dates[0], "-enddate",
                    dates[1], *by, *extensions, "-out", cert)
        else:
            openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-days", "1", "-" + digest,
                    "-set_serial", str(serial), *extensions, "-out", cert)
        return self.chained(name, itself), self.path(name + ".key")

    def chained(self, name, itself):
        text, above = open(self.path(name + ".crt"), encoding="utf-8").read(), None if itself else self
        while above and above.parent:
            text += open(above.cert, encoding="utf-8").read()
            above = above.parent
        return self.write(name + ".chain", text)

    def revoke(self, name, serials, form="DER", dates=("200101000000Z", "20400101000000Z")):
        index = "".join(f"R\t300101000000Z\t200101000000Z\t{s:04X}\tunknown\t/O=x\n" for s in serials)
        config = self.write("crl.cnf", f"[ca]\ndefault_ca=a\n[a]\ndatabase={self.write('crl.index', index)}\n"
                            "default_md=sha256\ncrl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\n")
        pem = openssl("ca", "-gencrl", "-config", config, "-cert", self.cert, "-keyfile", self.key, "-crl_lastupdate",
                      dates[0], "-crl_nextupdate", dates[1])
        openssl("crl", "-outform", form, "-out", self.path(name + ".new"), stdin=pem)
        os.rename(self.path(name + ".new"), self.path(name))
        return self.path(name)


class Pki:
    """All authorities and certificates of the table."""

    def __init__(self, folder):
        self.folder = folder
        root = self.root = Authority(folder, "root")
        self.other = Authority(folder, "other")
        self.twin = Authority(folder, "twin", subject="root")  # the name of the root with a key of its own
        self.old_root = Authority(folder, "old-root", dates=PAST)
        self.sha1_root = Authority(folder, "sha1-root", digest="sha1")
        self.rsa_root = Authority(folder, "rsa-root", key="RSA:2048")
        self.weak_root = Authority(folder, "weak-root", key="RSA:1024")
        self.constrained = Authority(folder, "constrained", lines=(
            "basicConstraints=critical,CA:TRUE", "nameConstraints=critical,permitted;IP:10.0.0.0/255.0.0.0"))
        self.middle = Authority(folder, "middle", parent=root)
        self.low = Authority(folder, "low", parent=self.middle)
        self.short = Authority(folder, "short", parent=root, lines=("basicConstraints=critical,CA:TRUE,pathlen:0",))
        self.too_low = Authority(folder, "too-low", parent=self.short)
        self.old_middle = Authority(folder, "old-middle", parent=root, dates=PAST)
        self.no_authority = Authority(folder, "no-authority", parent=root, lines=("basicConstraints=critical,CA:FALSE",))
        self.bound = Authority(folder, "bound", parent=root, lines=(
            "basicConstraints=critical,CA:TRUE", "extendedKeyUsage=emailProtection"))
        self.fallen = Authority(folder, "fallen", parent=root, serial=0x700)
        self.trusted = root.write("trusted.crt", "".join(
            open(a.cert, encoding="utf-8").read()
            for a in (root, self.rsa_root, self.old_root, self.sha1_root, self.weak_root, self.constrained)))
        self.server = root.sign("server")
        self.server_rsa = root.sign("server-rsa", key="RSA:2048")
        self.crl = root.revoke("list.crl", [0x666, 0x700])
        self.good = root.sign("good")


def alone(cert):
    """The same without what leads to the root."""
    return cert[0].replace(".chain", ".crt"), cert[1]


def certificates(pki):
    """Rows: behaviour, certificate, where it is served, where etcd serves it, why that differs."""
    root, sign = pki.root, pki.root.sign
    rows = [
        ("a good certificate, ECDSA P-256", pki.good, ALL),
        ("none", None, NONE),
        ("ECDSA P-384", sign("p384", key="EC:P-384"), ALL),
        ("ECDSA P-521", sign("p521", key="EC:P-521"), ALL),
        ("Ed25519", sign("ed", key="ED:25519"), ALL),
        ("RSA of 2048 bits", sign("rsa2048", key="RSA:2048"), ALL),
        ("RSA of 1024 bits", sign("rsa1024", key="RSA:1024"), NONE, ALL, "RSA keys below 2048 bits"),
        ("signed with SHA-1", sign("sha1", digest="sha1"), NONE),
        ("of an authority with an RSA key", pki.rsa_root.sign("by-rsa-root"), ALL),
        ("signed with MD5", pki.rsa_root.sign("md5", digest="md5"), NONE),
        ("signed with SHA-1 and RSA", pki.rsa_root.sign("sha1-rsa", digest="sha1"), NONE),
        ("signed with SHA-512", sign("sha512", digest="sha512"), ALL),
        ("expired", sign("expired", dates=PAST), NONE),
        ("not valid yet", sign("future", dates=FUTURE), NONE),
        ("of another authority", pki.other.sign("stranger"), NONE),
        ("of another authority with the same name", pki.twin.sign("by-twin"), NONE),
        ("signed by itself", root.sign("itself", itself=True), NONE),
        ("of an authority that has expired", pki.old_root.sign("by-old-root"), NONE),
        ("of a root that is signed with SHA-1", pki.sha1_root.sign("by-sha1-root"), ALL),
        ("of a root with an RSA key of 1024 bits", pki.weak_root.sign("by-weak-root"), NONE, ALL,
         "RSA keys below 2048 bits"),
        ("for servers alone", sign("servers", lines=("extendedKeyUsage=serverAuth", LOCAL)), NONE),
        ("for clients alone", sign("clients", lines=("extendedKeyUsage=clientAuth", LOCAL)), ALL),
        ("for mail", sign("mail", lines=("extendedKeyUsage=emailProtection", LOCAL)), NONE),
        ("for any use", sign("any-use", lines=("extendedKeyUsage=anyExtendedKeyUsage", LOCAL)), ALL),
        ("without a use", sign("no-use", lines=(LOCAL,)), ALL),
        ("whose key may not sign", sign("no-sign", lines=(BOTH, LOCAL, "keyUsage=critical,keyEncipherment")), NONE, ALL,
         "a certificate whose key usage does not allow signatures"),
        ("of version 1, without extensions", sign("version1", lines=()), ALL),
        ("with an unknown critical extension", sign("critical", lines=(BOTH, LOCAL, "1.2.3.4.5=critical,ASN1:NULL")),
         NONE),
        ("that is an authority itself", sign("an-ca", lines=(BOTH, LOCAL, "basicConstraints=critical,CA:TRUE")), ALL),
        ("through an authority between", pki.middle.sign("by-middle"), ALL),
        ("through one between that is not shown", alone(pki.middle.sign("by-middle-2")), NONE),
        ("through two between", pki.low.sign("by-low"), ALL),
        ("below an authority that may have none below it", pki.too_low.sign("by-too-low"), NONE),
        ("through one between that has expired", pki.old_middle.sign("by-old-middle"), NONE),
        ("through one between that is no authority", pki.no_authority.sign("by-no-authority"), NONE),
        ("through one between that is for mail", pki.bound.sign("by-bound"), NONE),
        ("through one between that is revoked", pki.fallen.sign("by-fallen"), NONE),
        ("for an address that its authority may not name", pki.constrained.sign("by-constrained"), NONE),
        ("revoked", sign("revoked", serial=0x666), NONE),
        ("with the number of one that another authority revoked", pki.middle.sign("same-number", serial=0x666), NONE),
        ("without a subject", sign("no-subject", subject="/", lines=(BOTH, "subjectAltName=critical,IP:127.0.0.1")), ALL),
        ("that names no host", sign("no-host", lines=(BOTH,)), ALL),
        ("for another address", sign("other-ip", lines=(BOTH, "subjectAltName=IP:127.0.0.9")), PLAIN,
         frozenset(("client",)), "shown to the metrics port"),
        ("for two addresses, one right", sign("two-ip", lines=(BOTH, "subjectAltName=IP:10.0.0.1,IP:127.0.0.1")), ALL),
        ("for a name of the caller's address", sign("dns", lines=(BOTH, "subjectAltName=DNS:localhost")), ALL),
        ("for a name that does not resolve", sign("no-dns", lines=(BOTH, "subjectAltName=DNS:nowhere.invalid")), PLAIN,
         frozenset(("client",)), "shown to the metrics port"),
        ("for a wildcard name elsewhere", sign("wild", lines=(BOTH, "subjectAltName=DNS:*.nowhere.invalid")), PLAIN,
         frozenset(("client",)), "shown to the metrics port"),
        ("for a wildcard name and the address", sign("wild-ip", lines=(
            BOTH, "subjectAltName=DNS:*.nowhere.invalid,IP:127.0.0.1")), ALL),
        ("for a mail address alone", sign("mail-san", lines=(BOTH, "subjectAltName=email:a@b.c")), ALL),
    ]
    return [row if len(row) == 5 else (*row, row[2], None) for row in rows]


# ---- asking ----

def ask(url, path, cert=None, least=ssl.TLSVersion.TLSv1, most=ssl.TLSVersion.TLSv1_3, suites="ALL",
        alpn=("http/1.1",), session=None):
    """What comes of a request: (served?, why not, the connection's session, the number of the server's certificate)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers(suites + ":@SECLEVEL=0")
    context.minimum_version, context.maximum_version = least, most
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if cert:
        context.load_cert_chain(*cert)
    host, port = url.split("//")[1].rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=15) as plain:
            with context.wrap_socket(plain, session=session) as secure:
                shown = secure.getpeercert(binary_form=True)
                secure.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                said = secure.recv(4096)
                return said.startswith(b"HTTP/1.1 200"), said[:40], secure.session, shown
    except OSError as error:
        return False, str(error), None, None


def shown_by(url, cert):
    return ask(url, PATHS["client"], cert)[3]


def der(path):
    return ssl.PEM_cert_to_DER_cert(open(path, encoding="utf-8").read().split("-----END CERTIFICATE-----")[0]
                                    + "-----END CERTIFICATE-----\n")


class Listener(Member):
    """One member with https on all three listeners; program: None is ours."""

    def __init__(self, suite, name, program, pki, flags=None, server=None):
        super().__init__(suite, name, metrics=True)
        self.program = program
        for url in ("client", "peer", "metrics"):
            setattr(self, url, getattr(self, url).replace("http:", "https:"))
        self.initial_cluster = f"{name}={self.peer}"
        server = server or pki.server
        self.flags = {"cert-file": server[0], "key-file": server[1], "peer-cert-file": server[0],
                      "peer-key-file": server[1], "trusted-ca-file": pki.trusted, "peer-trusted-ca-file": pki.trusted,
                      "client-cert-auth": "true", "peer-client-cert-auth": "true", **(flags or {})}

    def command(self):
        command = super().command()
        return command if self.program is None else [self.program] + command[1:]

    def url(self, listener):
        return getattr(self, listener)

    def up(self):
        """All three listeners take connections: nothing else is asked before."""
        def takes(url):
            host, port = url.split("//")[1].rsplit(":", 1)
            with socket.create_connection((host, int(port)), timeout=2):
                return True
        ready = wait_for(lambda: not self.is_running() or all(takes(self.url(k)) for k in PATHS), 30)
        if not ready or not self.is_running():
            raise RuntimeError(f"{self.name} does not listen: {self.log()[-1200:]}")


class Table:
    """Both programs with the same flags, and the rows asked of them."""

    def __init__(self, suite, pki, name, flags=None, server=None):
        self.suite, self.pki, self.rows = suite, pki, 0
        etcd = built("etcd")
        self.ours = Listener(suite, name, None, pki, flags, server)
        self.theirs = Listener(suite, name + "-etcd", etcd, pki, flags, server) if etcd else None
        for member in self.members():
            member.start(wait=False)
        for member in self.members():
            member.up()

    def members(self):
        return [m for m in (self.ours, self.theirs) if m]

    def row(self, behaviour, want, theirs=None, reason=None, cert=None, listeners=PATHS, **how):
        """Asks all listeners; want and theirs: those that serve (theirs None: the same)."""
        theirs = want if theirs is None else theirs
        if reason:
            with open(DOCUMENT, encoding="utf-8") as file:
                self.suite.check(f"the document names: {reason}", reason in file.read())
        self.rows += 1
        for member, expected in zip((self.ours, self.theirs), (want, theirs)):
            if member is None:
                continue
            got = {listener: ask(member.url(listener), PATHS[listener], cert, **how) for listener in listeners}
            served = frozenset(listener for listener in listeners if got[listener][0])
            self.suite.check(f"{'etcd' if member is self.theirs else 'ours'}: {behaviour}: "
                             f"{', '.join(sorted(expected)) or 'refused'}", served == expected & frozenset(listeners),
                             {k: v[1] for k, v in got.items() if v[0] != (k in expected)})

    def end(self):
        self.suite.equal("nobody has stopped", [m.name for m in self.members() if not m.is_running()], [])
        for member in self.members():
            member.kill()


# ---- parts ----

def who_is_served(suite):
    pki = Pki(suite.folder("pki"))
    table = Table(suite, pki, "who", {"client-crl-file": pki.crl, "peer-crl-file": pki.crl})
    for behaviour, cert, want, theirs, reason in certificates(pki):
        table.row("a certificate " + behaviour, want, theirs, reason, cert)
    v12, v13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
    for name, version, want in (("1.0", ssl.TLSVersion.TLSv1, NONE), ("1.1", ssl.TLSVersion.TLSv1_1, NONE),
                                ("1.2", v12, ALL), ("1.3", v13, ALL)):
        table.row(f"TLS {name} alone", want, cert=pki.good, least=version, most=version)
    for suite_name in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"):
        table.row(f"TLS 1.2 with ECDHE-ECDSA-{suite_name}", ALL, cert=pki.good, most=v12,
                  suites="ECDHE-ECDSA-" + suite_name)
    table.row("TLS 1.2 with a suite of CBC", NONE, ALL, "suites of CBC", cert=pki.good, most=v12,
              suites="ECDHE-ECDSA-AES128-SHA")
    for what, names in (("without encryption", "eNULL"), ("without certificates", "aNULL"), ("of CBC and SHA-256",
                        "ECDHE-ECDSA-AES128-SHA256"), ("of CCM", "ECDHE-ECDSA-AES128-CCM")):
        table.row(f"TLS 1.2 with a suite {what}", NONE, cert=pki.good, most=v12, suites=names)
    table.row("no ALPN", ALL, cert=pki.good, alpn=())
    table.row("ALPN of something else", NONE, cert=pki.good, alpn=("spdy/1",))
    table.row("HTTP/2 offered, HTTP/1.1 spoken", frozenset(("peer", "metrics")), frozenset(("peer",)),
              "HTTP/2 on the metrics port", cert=pki.good, alpn=("h2", "http/1.1"), listeners=("peer", "metrics"))
    for suite_name in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"):
        for member in table.members():
            said = [subprocess.run(["openssl", "s_client", "-connect", member.url(k).split("//")[1], "-tls1_3",
                                    "-ciphersuites", suite_name, "-cert", pki.good[0], "-key", pki.good[1], "-quiet",
                                    "-ign_eof"], input=f"GET {PATHS[k]} HTTP/1.0\r\n\r\n", capture_output=True,
                                   text=True, timeout=20, check=False).stdout for k in PATHS]
            suite.check(f"{member.name}: TLS 1.3 with {suite_name}: all", all(" 200 OK" in s for s in said), said)
    for member in table.members():
        said = [quorate.http("GET", member.url(k).replace("https", "http") + PATHS[k])[0] for k in PATHS]
        suite.check(f"{member.name}: without TLS: refused", 200 not in said, said)
    resumed(suite, pki, table)
    print(f"  {table.rows} rows on three listeners")
    table.end()


def resumed(suite, pki, table):
    """A session that is taken up again is no way around a revocation."""
    cert = pki.root.sign("soon-revoked", serial=0x555)
    versions = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    sessions = {(m.name, v): ask(m.client, "/version", cert, most=v)[2] for m in table.members() for v in versions}
    pki.root.revoke("list.crl", [0x555, 0x666, 0x700])
    for member in table.members():
        for version in versions:
            session = sessions[member.name, version]
            context_free = ask(member.client, "/version", cert, most=version)[0]
            suite.check(f"{member.name}: revoked while a session stood, {version.name}: refused",
                        not context_free and session is not None)


def who_may(suite):
    """--client-cert-allowed-hostname, --peer-cert-allowed-cn, --peer-cert-allowed-hostname; no demand for one at all."""
    pki = Pki(suite.folder("pki-may"))
    sign = pki.root.sign
    named = sign("named", lines=(BOTH, "subjectAltName=DNS:good.corp.example,DNS:localhost"))
    wild = sign("wild-good", lines=(BOTH, "subjectAltName=DNS:*.corp.example,DNS:localhost"))
    top = sign("top-wild", lines=(BOTH, "subjectAltName=DNS:*.example,DNS:localhost"))
    wrong_host = sign("wrong-host", lines=(BOTH, "subjectAltName=DNS:bad.example,DNS:localhost"))
    by_subject = sign("by-subject", subject="/CN=good.corp.example", lines=(BOTH,))
    somebody = sign("somebody", subject="/CN=somebody")
    two_names = sign("two-names", subject="/CN=somebody/CN=member")
    two_names_other = sign("two-names-other", subject="/CN=member/CN=somebody")
    peer = frozenset(("peer",))
    table = Table(suite, pki, "may", {"client-cert-allowed-hostname": "good.corp.example,a.example", "peer-cert-allowed-cn": "member"})
    table.row("for the host, with the peers' name", ALL, cert=named)
    table.row("for a wildcard that covers the host", ALL, cert=wild)
    table.row("for a wildcard right below the top", peer, ALL, "a pattern right below the top", cert=top)
    table.row("for another host", peer, cert=wrong_host)
    table.row("the host as subject", NONE, cert=by_subject)
    table.row("with another name than the peers'", NONE, cert=somebody)
    table.row("with two names, the last is the peers'", peer, cert=two_names)
    table.row("with two names, the first is the peers'", NONE, cert=two_names_other)
    table.end()
    table = Table(suite, pki, "host", {"peer-cert-allowed-hostname": "good.corp.example", "trusted-ca-file": "",
                                       "client-cert-auth": "false"})
    open_to_all = frozenset(("client", "metrics"))
    table.row("no demand on clients; the peers' host", ALL, cert=named)
    table.row("no demand on clients; another host", open_to_all, cert=wrong_host)
    table.row("no demand on clients; none shown", open_to_all, cert=None)
    table.row("no demand on clients; of another authority", open_to_all, cert=pki.other.sign("stranger"))
    table.end()
    low = pki.low.sign("by-low-may")
    table = Table(suite, pki, "mid", {"trusted-ca-file": pki.middle.cert, "peer-trusted-ca-file": pki.middle.cert})
    table.row("the authority between is trusted, not its root", ALL, cert=low)
    table.row("one beside it", NONE, cert=pki.good)
    table.end()


def versions_and_suites(suite):
    pki = Pki(suite.folder("pki-versions"))
    v12, v13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
    table = Table(suite, pki, "new", {"tls-min-version": "TLS1.3"})
    table.row("--tls-min-version=TLS1.3, a client of 1.2", NONE, cert=pki.good, most=v12)
    table.row("--tls-min-version=TLS1.3, a client of 1.3", ALL, cert=pki.good, least=v13)
    table.end()
    table = Table(suite, pki, "old", {"tls-max-version": "TLS1.2", "cipher-suites":
                                      "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_RSA_WITH_AES_128_GCM_SHA256"},
                  server=pki.server_rsa)
    table.row("--tls-max-version=TLS1.2, a client of 1.3 alone", NONE, cert=pki.good, least=v13)
    table.row("--tls-max-version=TLS1.2, a client of both", ALL, cert=pki.good, least=v12)
    for names, want in (("ECDHE-RSA-AES128-GCM-SHA256", ALL), ("AES128-GCM-SHA256", ALL),
                        ("ECDHE-RSA-AES256-GCM-SHA384", NONE), ("ECDHE-RSA-CHACHA20-POLY1305", NONE),
                        ("AES128-SHA", NONE), ("DHE-RSA-AES256-GCM-SHA384", NONE)):
        table.row(f"--cipher-suites, {names}", want, cert=pki.good, suites=names)
    table.end()


def changed_files(suite):
    """Files that change under a member that runs."""
    pki = Pki(suite.folder("pki-changed"))
    root = pki.root
    pair = (root.path("pair.crt"), root.path("pair.key"))
    crl = root.path("changed.crl")
    trusted = root.path("changed-ca.crt")
    others = pki.other.sign("of-the-other")
    expired = root.sign("expired-server", dates=PAST)

    def put(path, source):
        with open(path + ".new", "wb") as file, open(source, "rb") as was:
            file.write(was.read())
        os.rename(path + ".new", path)
    first, second = root.sign("pair-1"), root.sign("pair-2")
    put(pair[0], first[0])
    put(pair[1], first[1])
    put(trusted, root.cert)
    root.revoke("changed.crl", [0x666])
    revoked = root.sign("revoked", serial=0x666)
    table = Table(suite, pki, "changed", {"client-crl-file": crl, "peer-crl-file": crl, "trusted-ca-file": trusted,
                                          "peer-trusted-ca-file": trusted}, server=pair)

    def shows(behaviour, cert):
        for member in table.members():
            suite.check(f"{member.name}: {behaviour}", shown_by(member.client, pki.good) == der(cert[0]))
    table.row("before any change", ALL, cert=pki.good)
    put(pair[1], second[1])
    table.row("a new key without its certificate", ALL, NONE, "that does not fit", cert=pki.good)
    put(pair[0], second[0])
    table.row("then its certificate", ALL, cert=pki.good)
    shows("the new one is shown", second)
    put(pair[1], expired[1])
    put(pair[0], expired[0])
    table.row("a certificate that has expired is shown", ALL, cert=pki.good)
    shows("it is that one", expired)
    put(pair[0], first[0])
    put(pair[1], first[1])
    put(trusted, pki.other.cert)
    table.row("the authority is replaced: who has a certificate of the old one", NONE, ALL, "`--trusted-ca-file` changes",
              cert=pki.good)
    table.row("the authority is replaced: of the new one", ALL, NONE, "`--trusted-ca-file` changes", cert=others)
    root.write("both-ca.crt", open(root.cert, encoding="utf-8").read() + open(pki.other.cert, encoding="utf-8").read())
    put(trusted, root.path("both-ca.crt"))
    table.row("both are trusted: of the new one", ALL, NONE, "`--trusted-ca-file` changes", cert=others)
    table.row("both are trusted: of the old one", ALL, cert=pki.good)
    root.revoke("changed.crl", [0x666], dates=PAST)
    table.row("a revocation list that has expired: one who is not on it", ALL, cert=pki.good)
    table.row("a revocation list that has expired: one who is", NONE, cert=revoked)
    root.revoke("changed.crl", [0x666], form="PEM")
    table.row("a revocation list in PEM: one who is not on it", ALL, NONE, "DER or PEM", cert=pki.good)
    table.row("a revocation list in PEM: one who is", NONE, cert=revoked)
    pki.other.revoke("changed.crl", [0x666])
    table.row("a list of another authority: one whose number is on it", NONE, cert=revoked)
    root.write("changed.crl", "no list")
    table.row("a revocation list that is none", NONE, cert=pki.good)
    os.unlink(crl)
    table.row("a revocation list that is gone", NONE, cert=pki.good)
    root.revoke("changed.crl", [])
    table.row("an empty one", ALL, cert=revoked)
    table.end()


class FakePeer:
    """A peer that shows a certificate and remembers whether it was asked anything."""

    def __init__(self, cert, host="127.0.0.1", most=ssl.TLSVersion.TLSv1_3):
        self.port, self.asked, self.met, self.closed = free_port(), False, 0, False
        self.url = f"https://{host}:{self.port}"
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.set_ciphers("ALL:@SECLEVEL=0")
        self.context.minimum_version, self.context.maximum_version = ssl.TLSVersion.TLSv1, most
        self.context.load_cert_chain(*cert)
        self.socket = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while not self.closed:
            try:
                plain, _ = self.socket.accept()
            except OSError:
                return
            self.met += 1
            try:
                plain.settimeout(5)
                with self.context.wrap_socket(plain, server_side=True) as secure:
                    self.asked = self.asked or len(secure.recv(1000)) > 0
            except OSError:
                pass
            finally:
                plain.close()

    def close(self):
        self.closed = True
        self.socket.close()


def dialling(suite):
    """Whom a member trusts that it dials itself."""
    pki = Pki(suite.folder("pki-dial"))
    sign = pki.root.sign
    rows = [  # behaviour, certificate, do we ask it anything, does etcd, why not, further
        ("a good certificate", pki.server, True),
        ("through an authority between", pki.middle.sign("by-middle"), True),
        ("through one between that is not shown", alone(pki.middle.sign("by-middle-2")), False),
        ("expired", sign("expired", dates=PAST), False),
        ("not valid yet", sign("future", dates=FUTURE), False),
        ("of another authority", pki.other.sign("stranger"), False),
        ("signed by itself", pki.root.sign("itself", itself=True), False),
        ("for another address", sign("other-ip", lines=(BOTH, "subjectAltName=IP:127.0.0.9")), False),
        ("for a name while dialled by address", sign("dns", lines=(BOTH, "subjectAltName=DNS:localhost")), False),
        ("for that name", sign("dns2", lines=(BOTH, "subjectAltName=DNS:localhost")), True, True, None,
         {"host": "localhost"}),
        ("with the address as a name alone", sign("cn", subject="/CN=127.0.0.1", lines=(BOTH,)), False),
        ("for clients alone", sign("clients", lines=("extendedKeyUsage=clientAuth", LOCAL)), False),
        ("with another name", sign("somebody", subject="/CN=somebody"), False),
        ("RSA of 1024 bits", sign("rsa1024", key="RSA:1024"), False, True, "RSA keys below 2048 bits"),
        ("signed with SHA-1", sign("sha1", digest="sha1"), False),
        ("revoked", sign("revoked", serial=0x666), False, True, "when dialling"),
        ("a good one over TLS 1.1", pki.server, False, False, None, {"most": ssl.TLSVersion.TLSv1_1}),
        ("a good one over TLS 1.2", pki.server, True, True, None, {"most": ssl.TLSVersion.TLSv1_2}),
    ]
    for program in (None, built("etcd")):
        who = "ours" if program is None else "etcd"
        if program is None or os.path.exists(program):
            peers = [(row, FakePeer(row[1], **(row[5] if len(row) > 5 else {}))) for row in rows]
            member = Listener(suite, "dial-" + who, program, pki, {
                "peer-crl-file": pki.crl, "peer-cert-allowed-cn": "member"})
            member.initial_cluster = ",".join([f"{member.name}={member.peer}"] + [
                f"f{i}={peer.url}" for i, (_, peer) in enumerate(peers)])
            member.start(wait=False)
            wait_for(lambda: all(p.met > 1 and (p.asked or not (r[2] if program is None or len(r) < 4 else r[3]))
                                 for r, p in peers), 30)
            for row, peer in peers:
                want = row[2] if program is None or len(row) < 4 else row[3]
                suite.check(f"{who} dials {row[0]}: {'speaks' if want else 'goes away'}",
                            peer.met > 0 and peer.asked == want, (peer.met, peer.asked))
                peer.close()
            suite.check(f"{who} goes on", member.is_running(), member.log()[-500:])
            member.kill()


if __name__ == "__main__":
    urllib.request.install_opener(urllib.request.build_opener())
    sys.exit(Suite("tls-matrix").run([who_is_served, who_may, versions_and_suites, changed_files, dialling]))
