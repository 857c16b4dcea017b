# SPDX-License-Identifier: Apache-2.0
"""Certificates of the TLS suites, made by the openssl program, and members that have them on all ports."""
import os
import socket
import ssl
import subprocess
import urllib.request

import quorate
from quorate import Cluster, Member, http, wait_for

BUILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "build.sh")


def built(program):
    """A program of etcd 3.6 when it has been built before; None: not here."""
    where = subprocess.run([BUILD, "--where"], capture_output=True, text=True, check=False).stdout.strip()
    path = os.path.join(where, program)
    return path if where and os.path.exists(path) else None


def openssl(*args, stdin=None):
    done = subprocess.run(["openssl", *args], input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {args}: {done.stderr[-600:]}")
    return done.stdout


class Authority:
    """A CA in a folder, and what it signs. Files are replaced by renaming, as a careful administrator does."""

    def __init__(self, folder, name):
        self.folder, self.name, self.serial, self.revoked = folder, name, 100, []
        os.makedirs(folder, exist_ok=True)
        self.cert, self.key = os.path.join(folder, f"{name}.crt"), os.path.join(folder, f"{name}.key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-keyout", self.key, "-out", self.cert, "-subj", f"/CN={name}",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, name, common_name="", hosts="IP:127.0.0.1", usage="serverAuth,clientAuth"):
        """Paths of a new certificate and its key, and its serial number."""
        self.serial += 1
        cert, key = os.path.join(self.folder, f"{name}.crt"), os.path.join(self.folder, f"{name}.key")
        request = openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                          "-keyout", key + ".new", "-subj", f"/O={name}" + (f"/CN={common_name}" if common_name else ""))
        extensions = os.path.join(self.folder, f"{name}.ext")
        with open(extensions, "w", encoding="utf-8") as file:
            file.write(f"basicConstraints=critical,CA:FALSE\nextendedKeyUsage={usage}\n")
            if hosts:
                file.write(f"subjectAltName={hosts}\n")
        openssl("x509", "-req", "-CA", self.cert, "-CAkey", self.key, "-set_serial", str(self.serial), "-days", "1",
                "-extfile", extensions, "-out", cert + ".new", stdin=request)
        os.rename(key + ".new", key)
        os.rename(cert + ".new", cert)
        return cert, key, self.serial

    def revoke(self, path, serials):
        """A revocation list in DER, as etcd wants it."""
        index = os.path.join(self.folder, f"{self.name}.index")
        with open(index, "w", encoding="utf-8") as file:
            for serial in serials:
                digits = f"{serial:X}"
                digits = digits if len(digits) % 2 == 0 else "0" + digits
                file.write(f"R\t300101000000Z\t200101000000Z\t{digits}\tunknown\t/O=x\n")
        config = os.path.join(self.folder, f"{self.name}.cnf")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"[ca]\ndefault_ca=a\n[a]\ndatabase={index}\ndefault_md=sha256\ndefault_crl_days=1\n"
                       "crl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\n")
        pem = openssl("ca", "-gencrl", "-config", config, "-cert", self.cert, "-keyfile", self.key)
        openssl("crl", "-outform", "DER", "-out", path + ".new", stdin=pem)
        os.rename(path + ".new", path)


class Pki:
    """Two authorities, for clients and for peers, and the certificate of a client."""

    def __init__(self, suite, name):
        folder = suite.folder(name)
        self.folder = folder
        self.clients, self.peers = Authority(folder, "client-ca"), Authority(folder, "peer-ca")
        self.other = Authority(folder, "other-ca")
        self.client = self.clients.issue("client", "root", hosts="", usage="clientAuth")
        self.stranger = self.other.issue("stranger", "root", hosts="", usage="clientAuth")
        self.crl = os.path.join(folder, "clients.crl")
        self.clients.revoke(self.crl, [])
        context = ssl.create_default_context(cafile=self.clients.cert)
        context.load_cert_chain(self.client[0], self.client[1])
        # All of this program's own https requests from now on.
        urllib.request.install_opener(urllib.request.build_opener(urllib.request.HTTPSHandler(context=context)))

    def ctl_flags(self, cert=None, ca=None):
        cert = cert or self.client
        return [f"--cacert={ca or self.clients.cert}", f"--cert={cert[0]}", f"--key={cert[1]}"]


class TlsMember(Member):
    """https on all ports, certificates demanded on both sides."""

    def __init__(self, suite, name, pki, metrics=False):
        super().__init__(suite, name, metrics=metrics)
        self.pki = pki
        self.client, self.peer = self.client.replace("http:", "https:"), self.peer.replace("http:", "https:")
        self.metrics = self.metrics and self.metrics.replace("http:", "https:")
        self.initial_cluster = f"{name}={self.peer}"
        self.renew()

    def renew(self):
        """New certificates; the same files."""
        self.server_cert = self.pki.clients.issue(f"{self.name}-server")
        self.peer_cert = self.pki.peers.issue(f"{self.name}-peer", "member")

    def tls_flags(self):
        return {"cert-file": self.server_cert[0], "key-file": self.server_cert[1],
                "trusted-ca-file": self.pki.clients.cert, "client-cert-auth": "true",
                "client-crl-file": self.pki.crl,
                "peer-cert-file": self.peer_cert[0], "peer-key-file": self.peer_cert[1],
                "peer-trusted-ca-file": self.pki.peers.cert, "peer-client-cert-auth": "true"}

    def command(self):
        return super().command() + [f"--{key}={value}" for key, value in self.tls_flags().items()
                                    if key not in self.flags]

    def ctl(self, *args, program=None, cert=None, ca=None, **kwargs):
        was = quorate.ETCDCTL
        quorate.ETCDCTL = program or was
        try:
            return quorate.ctl([self.client], *self.pki.ctl_flags(cert, ca), *args, **kwargs)
        finally:
            quorate.ETCDCTL = was


class TlsEtcd(TlsMember):
    """A member that runs etcd itself."""
    program = None

    def command(self):
        return [self.program] + super().command()[1:]

    def wait_ready(self, seconds=20):
        if not wait_for(lambda: http("GET", self.client + "/health", timeout=2)[0] == 200, seconds):
            raise RuntimeError(f"{self.name} is not ready: {self.log()[-1200:]}")


def found(members):
    initial = ",".join(f"{m.name}={m.peer}" for m in members)
    for member in members:
        member.initial_cluster = initial
        member.start(wait=False)
    for member in members:
        member.wait_ready(30)


def cluster_of(members):
    """A quorate.Cluster around members that were made by hand."""
    cluster = Cluster.__new__(Cluster)
    cluster.members = members
    return cluster


def serial_at(url, pki, cert=None):
    """The serial number that a new connection is shown."""
    host, port = url.split("//")[1].rsplit(":", 1)
    context = ssl.create_default_context(cafile=pki.clients.cert)
    cert = cert or pki.client
    context.load_cert_chain(cert[0], cert[1])
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname=host) as secure:
            return int(secure.getpeercert()["serialNumber"], 16)
