#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clusters of the operator that speak TLS: made so by default, certificates renewed and authorities replaced under a
writer, Secrets given by a person, plain text with a warning; no key is ever told."""
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from operatorworld import CORE, GROUP, Cluster, expect, main, say  # noqa: E402
from tlsworld import Authority  # noqa: E402

AUTHORITIES = ("peer-ca", "client-ca")
MANAGER = "/apis/cert-manager.io/v1/namespaces/default"
LEAVES = ("peer-tls", "server-tls", "operator-tls", "client")


class Writer(threading.Thread):
    """One put after the other, each a client of its own that makes its handshake anew, to the member whose turn it is."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster, self.is_over, self.failures, self.count = cluster, False, [], 0

    def run(self):
        endpoints = self.cluster.endpoints().split(",")
        while not self.is_over:
            files = self.cluster.client_files()
            code, text = self.cluster.etcdctl("--command-timeout=10s", "put", f"w{self.count}", "v", files=files,
                                              endpoints=endpoints[self.count % len(endpoints)])
            if code != 0:
                self.failures.append(text[-300:])
            self.count += 1

    def end(self):
        self.is_over = True
        self.join(30)
        expect(self.count > 10, f"only {self.count} writes were tried")
        expect(not self.failures, f"{len(self.failures)} of {self.count} writes failed: {self.failures[:2]}")
        return self.count


def keys_of(cluster):
    """Each private key of the cluster, as it stands in a PEM line and as base64."""
    found = []
    for name in AUTHORITIES + LEAVES:
        values = cluster.secret(f"{cluster.name}-{name}")
        expect(values, f"Secret {name} is not there")
        found += [text.split("\n")[1] for key, text in values.items() if key.endswith(".key")]
    return found


def no_key_is_told(world, cluster, keys):
    told = str(cluster.object()) + str(cluster.events()) + open(world.operator_log, encoding="utf-8").read()
    told += str(world.items(CORE + "/pods")) + str(world.items(GROUP + "/etcdmembers"))
    for key in keys:
        expect(key not in told and key[4:40] not in told, "a private key is told in status, events, Pods or the log")
    expect("PRIVATE KEY" not in told, "a key is told")


def step_of(cluster):
    tls = cluster.status().get("tls", {})
    return {(tls.get(name, {}).get("step"), tls.get(name, {}).get("generation"))
            for name in ("peerAuthority", "clientAuthority")}


def speaks_tls_unless_told_otherwise(world):
    world.operator_start()
    cluster = Cluster(world, "sec", "Auto")
    body = cluster.body(3, repair={"notReadyGracePeriod": "20s"})
    del body["spec"]["tls"]
    status, answer = world.request("POST", GROUP + "/etcdclusters", body)
    expect(status == 201, f"create: {status} {answer}")
    cluster.wait_settled(3)
    expect(cluster.condition("CertificatesValid") == "True", f"{cluster.conditions()['CertificatesValid']}")

    values = cluster.secret("sec-client")
    expect(set(values) == {"ca.crt", "tls.crt", "tls.key", "endpoints", "flags"}, f"the Secret has {set(values)}")
    expect(values["flags"].count("--etcd-") == 4 and values["endpoints"] in values["flags"], values["flags"])
    code, text = cluster.etcdctl("put", "a", "b", endpoints=values["endpoints"])
    expect(code == 0 and "OK" in text, f"etcdctl with the Secret for users: {text}")

    files = cluster.client_files()
    url = "https://sec-0.sec-peers.default.svc:2379"
    refused = {
        "no certificate": (files[:2], url),
        "plain text": ([], url.replace("https", "http")),
        "a peer's certificate": (files[:2] + cluster.client_files("sec-peer-tls")[2:], url),
        "a server without our authority": (cluster.client_files("sec-peer-tls")[:2] + files[2:], url),
        "the port of peers with a client's certificate": (files, url.replace("2379", "2380")),
    }
    for what, (flags, endpoint) in refused.items():
        code, text = cluster.etcdctl("--command-timeout=2s", "--dial-timeout=2s", "get", "a", files=flags, endpoints=endpoint)
        expect(code != 0, f"{what}: was served: {text}")
    no_key_is_told(world, cluster, keys_of(cluster))
    world.zero_writes_at_rest(5)
    say(f"  {len(refused)} others are refused; its members: {cluster.owned(CORE + '/pods')}")


def replaces_its_authorities_under_a_writer(world):
    cluster = Cluster(world, "sec", "Auto")
    cluster.patch({"tls": {"settleTime": "4s"}})
    before = keys_of(cluster)
    pods = {p["metadata"]["name"]: p["metadata"]["uid"] for p in world.items(CORE + "/pods")}
    writer = Writer(cluster)
    writer.start()
    cluster.patch({"tls": {"caGeneration": 2}})
    world.wait(lambda: ("TrustingNext", 1) in step_of(cluster), 30, "the next authorities are trusted")
    expect(cluster.conditions()["CertificatesValid"]["reason"] == "RotatingAuthority", "the rotation is not told")
    world.wait(lambda: ("Reissuing", 2) in step_of(cluster), 60, "they issue")
    world.wait(lambda: step_of(cluster) == {("Stable", 2)}, 60, "the old ones are gone")
    time.sleep(3)
    count = writer.end()
    after = keys_of(cluster)
    expect(not set(before) & set(after), "a key is still in use")
    no_key_is_told(world, cluster, before + after)
    now = {p["metadata"]["name"]: p["metadata"]["uid"] for p in world.items(CORE + "/pods")}
    expect(now == pods, "a Pod was made again")
    expect(cluster.secret("sec-client")["ca.crt"].count("BEGIN") == 1, "the old authority is still trusted")
    cluster.wait_settled(3)
    say(f"  two new authorities, {count} writes, none failed")
    cluster.delete_and_wait()
    names = [s["metadata"]["name"] for s in world.items(CORE + "/secrets")]
    world.wait(lambda: not [s for s in world.items(CORE + "/secrets") if s["metadata"]["name"].startswith("sec-")], 30,
               f"its Secrets went with it: {names}")


def renews_certificates_that_live_for_half_a_minute(world):
    cluster = Cluster(world, "brief", "Auto")
    cluster.create(1, tls={"mode": "Auto", "leafLifetime": "30s", "settleTime": "3s", "caLifetime": "10m"})
    cluster.wait_settled(1)
    first = cluster.secret("brief-server-tls")["tls.crt"]
    writer = Writer(cluster)
    writer.start()
    seen = {first}
    end = time.monotonic() + 90
    while len(seen) < 3:
        expect(time.monotonic() < end, f"{len(seen)} certificates in 90 s")
        seen.add(cluster.secret("brief-server-tls")["tls.crt"])
        time.sleep(1)
    say(f"  {len(seen)} certificates, {writer.end()} writes, none failed")
    cluster.delete()


def uses_secrets_that_a_person_gives(world):
    cluster = Cluster(world, "given", "Secrets")
    names = {"peer": "my-peer", "server": "my-server", "operator": "my-operator"}
    cluster.create(1, tls={"mode": "Secrets", "secrets": names})
    world.wait(lambda: cluster.conditions().get("CertificatesValid", {}).get("reason") == "SecretNotFound", 20,
               "it says which Secret is missing")
    expect(not cluster.owned(CORE + "/pods"), "a Pod was made before its certificates")
    hosts = ",".join(f"DNS:{name}.default.svc" for name in ("*.given-peers", "given-client"))
    folder = os.path.join(world.dir, "given")
    peers, clients = Authority(folder, "peer-ca"), Authority(folder, "client-ca")
    for kind, name in names.items():
        authority = peers if kind == "peer" else clients
        cert, key, _ = authority.issue(name, hosts="" if kind == "operator" else hosts)
        data = {"tls.crt": cert, "tls.key": key, "ca.crt": authority.cert}
        status, answer = world.request("POST", CORE + "/secrets", {
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/tls",
            "stringData": {what: open(path, encoding="utf-8").read() for what, path in data.items()}})
        expect(status == 201, f"{name}: {status} {answer}")
    cluster.wait_settled(1)
    code, text = cluster.etcdctl("put", "a", "b", files=cluster.client_files("my-operator"))
    expect(code == 0, f"etcdctl with the given certificate: {text}")
    expect(cluster.condition("CertificatesValid") == "True", "it does not say that they are valid")
    rows = cluster.status()["tls"]["certificates"]
    expect([r["secretName"] for r in rows] == list(names.values()), f"{rows}")
    cluster.patch({"tls": {"mode": "Disabled", "secrets": None}})
    world.wait(lambda: cluster.conditions()["Stalled"]["reason"] == "TLSModeChanged", 20, "the change is refused")
    expect(cluster.status()["tls"]["mode"] == "Secrets", "the mode was changed")
    say("  one member on given Secrets; to drop them is refused")
    cluster.delete_and_wait()


def manager_kinds(world):
    """The two kinds of cert-manager that are used, without what they do."""
    for kind, plural in (("Issuer", "issuers"), ("Certificate", "certificates")):
        status, answer = world.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.cert-manager.io"},
            "spec": {"group": "cert-manager.io", "scope": "Namespaced",
                     "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": kind + "List"},
                     "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                         "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}})
        expect(status == 201, f"{plural}: {status} {answer}")
        world.wait(lambda path=f"{MANAGER}/{plural}": "items" in world.get(path), 10, f"{plural} are served")


def sign_what_is_asked_for(world, folder):
    """What cert-manager does: authorities sign themselves, leaves are signed by the authority of their Issuer."""
    issuers = {i["metadata"]["name"]: i["spec"] for i in world.items(MANAGER + "/issuers")}
    wanted = {c["metadata"]["name"]: c["spec"] for c in world.items(MANAGER + "/certificates")}
    expect(len(issuers) == 3 and len(wanted) == 6, f"asked for: {list(issuers)}, {list(wanted)}")
    authorities = {}
    for spec in sorted(wanted.values(), key=lambda s: not s.get("isCA")):
        issuer = issuers[spec["issuerRef"]["name"]]
        name = spec["secretName"]
        if spec.get("isCA"):
            expect("selfSigned" in issuer, f"{name} is not its own authority: {issuer}")
            authority = authorities[name] = Authority(folder, name)
            cert, key = authority.cert, authority.key
        else:
            authority = authorities[issuer["ca"]["secretName"]]
            hosts = ",".join([f"DNS:{n}" for n in spec.get("dnsNames", [])] +
                             [f"IP:{a}" for a in spec.get("ipAddresses", [])])
            usage = ",".join({"server auth": "serverAuth", "client auth": "clientAuth"}[u] for u in spec["usages"]
                             if u.endswith("auth"))
            cert, key, _ = authority.issue(name, spec["commonName"], hosts, usage)
        data = {"tls.crt": cert, "tls.key": key, "ca.crt": authority.cert}
        status, answer = world.request("POST", CORE + "/secrets", {
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/tls",
            "stringData": {what: open(path, encoding="utf-8").read() for what, path in data.items()}})
        expect(status == 201, f"{name}: {status} {answer}")


def has_cert_manager_issue_from_its_own_authorities(world):
    manager_kinds(world)
    cluster = Cluster(world, "managed", "CertManager")
    cluster.create(1)
    world.wait(lambda: len(world.items(MANAGER + "/certificates")) == 6, 20, "the Certificates are asked for")
    row = cluster.conditions()["CertificatesValid"]
    expect(row["reason"] == "CertificatesPending" and "cert-manager" in row["message"], f"{row}")
    expect(not cluster.owned(CORE + "/pods"), "a Pod was made before its certificates")
    sign_what_is_asked_for(world, os.path.join(world.dir, "managed"))
    cluster.wait_settled(1)
    code, text = cluster.etcdctl("put", "a", "b")
    expect(code == 0, f"etcdctl with the certificate of cert-manager: {text}")
    world.zero_writes_at_rest(3)
    cluster.patch({"tls": {"serverNames": ["etcd.example.org"]}})
    world.wait(lambda: "etcd.example.org" in world.get(MANAGER + "/certificates/managed-server-tls")["spec"]["dnsNames"],
               20, "the new name is asked for")
    say("  three Issuers, six Certificates; one member on what they issued")
    cluster.delete_and_wait()


def warns_of_plain_text(world):
    cluster = Cluster(world, "plain")
    cluster.create(1)
    cluster.wait_settled(1)
    row = cluster.conditions()["CertificatesValid"]
    expect((row["status"], row["reason"]) == ("False", "TLSDisabled"), f"{row}")
    secrets = [s["metadata"]["name"] for s in world.items(CORE + "/secrets") if s["metadata"]["name"].startswith("plain-")]
    expect(not secrets, f"Secrets of a cluster in plain text: {secrets}")
    cluster.delete_and_wait()
    world.operator_stop()


if __name__ == "__main__":
    sys.exit(main([speaks_tls_unless_told_otherwise, replaces_its_authorities_under_a_writer,
                   renews_certificates_that_live_for_half_a_minute, uses_secrets_that_a_person_gives,
                   has_cert_manager_issue_from_its_own_authorities, warns_of_plain_text], nodes=3))
