# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes control plane on loopback without nodes: its own CA, kube-apiserver with RBAC and an audit log,
kube-controller-manager, kubectl and helm. The store below it is a member of the engine or of etcd."""
import gotools
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time

from quorate import Result, free_port, wait_for

NAMES = ("kube-apiserver", "kube-controller-manager", "kubectl", "helm")
APISERVER, CONTROLLER_MANAGER, KUBECTL, HELM = (os.path.join(gotools.TOOLS, name) for name in NAMES)
COMMAND_SECONDS_MAX = 120
AUDIT_POLICY = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
                "rules": [{"level": "Metadata"}]}
WRITES = ("create", "update", "patch", "delete", "deletecollection")


class Process:
    """One program with its log; ended by its process id."""

    def __init__(self, name, command, log_path, env=None):
        self.name, self.log_path = name, log_path
        with open(log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)

    def is_running(self):
        return self.process.poll() is None

    def stop(self, seconds=20):
        if self.is_running():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()


class Watch:
    """The events of one watch of the API server, collected by a thread until it ends or is closed."""

    def __init__(self, plane, path):
        self.events, self.ended = [], False
        self.connection = http.client.HTTPSConnection("127.0.0.1", plane.port, timeout=300, context=plane.tls)
        self.connection.request("GET", path, None, {"Accept": "application/json"})
        self.answer = self.connection.getresponse()
        self.status = self.answer.status
        threading.Thread(target=self.collect, daemon=True).start()

    def collect(self):
        try:
            for line in self.answer:
                self.events.append(json.loads(line))
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            pass
        self.ended = True

    def close(self):
        try:
            self.connection.sock.shutdown(socket.SHUT_RDWR)
        except (OSError, AttributeError):
            pass


class ControlPlane:
    def __init__(self, suite, servers, flags=None):
        """servers: client URLs of the store; flags: further ones of kube-apiserver."""
        self.suite, self.servers, self.flags = suite, servers, dict(flags or {})
        self.dir = suite.folder(f"plane-{free_port()}")
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.apiserver = self.manager = None
        self.audit_path = self.path("audit.log")
        self.write("audit.json", json.dumps(AUDIT_POLICY))
        self.pki()
        self.kubeconfig("admin", cert="admin")
        self.tls = ssl.create_default_context(cafile=self.path("ca.crt"))
        self.tls.load_cert_chain(self.path("admin.crt"), self.path("admin.key"))
        self.tls_anonymous = ssl.create_default_context(cafile=self.path("ca.crt"))

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    # ---- keys and files ----

    def openssl(self, *args):
        subprocess.run(["openssl", *args], cwd=self.dir, check=True, capture_output=True, timeout=60)

    def pki(self):
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        self.openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test-ca",
                     "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        for name, subject, extension in (
                ("server", "/CN=kube-apiserver", "subjectAltName=IP:127.0.0.1,DNS:kubernetes.default.svc"),
                ("admin", "/O=system:masters/CN=admin", "extendedKeyUsage=clientAuth"),
                ("manager", "/CN=system:kube-controller-manager", "extendedKeyUsage=clientAuth")):
            self.openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
            self.write(f"{name}.ext", extension + "\n")
            self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                         "-out", f"{name}.crt", "-days", "2", "-extfile", f"{name}.ext")
        self.openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "sa.key")
        self.openssl("pkey", "-in", "sa.key", "-pubout", "-out", "sa.pub")

    def kubeconfig(self, name, cert=None, token_file=None, namespace="default"):
        """The path of a kubeconfig that uses a certificate or a token file."""
        user = {"tokenFile": token_file} if token_file else {
            "client-certificate": self.path(f"{cert}.crt"), "client-key": self.path(f"{cert}.key")}
        return self.write(f"{name}.kubeconfig", json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": self.url, "certificate-authority": self.path("ca.crt")}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": namespace}}]}))

    # ---- processes ----

    def start(self, with_manager=True):
        """Ready to take objects; raises when it is not in time."""
        flags = {
            "etcd-servers": ",".join(self.servers), "secure-port": self.port, "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1", "endpoint-reconciler-type": "none",
            "cert-dir": self.dir, "tls-cert-file": self.path("server.crt"),
            "tls-private-key-file": self.path("server.key"), "client-ca-file": self.path("ca.crt"),
            "authorization-mode": "Node,RBAC", "enable-admission-plugins": "NodeRestriction,OwnerReferencesPermissionEnforcement",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-signing-key-file": self.path("sa.key"), "service-account-key-file": self.path("sa.pub"),
            "service-cluster-ip-range": "10.96.0.0/16", "audit-policy-file": self.path("audit.json"),
            "audit-log-path": self.audit_path, "profiling": "false", **self.flags}
        self.apiserver = Process("kube-apiserver", [APISERVER] + [f"--{k}={v}" for k, v in flags.items()],
                                 self.path("apiserver.log"))
        ready = wait_for(lambda: self.request("GET", "/readyz")[0] == 200 or not self.apiserver.is_running(), 60, 0.2)
        if not ready or not self.apiserver.is_running():
            raise RuntimeError(f"kube-apiserver is not ready: {self.apiserver.log()[-1500:]}")
        if with_manager:
            self.start_manager()
        return self

    def start_manager(self):
        config = self.kubeconfig("manager", cert="manager")
        self.manager = Process("kube-controller-manager", [
            CONTROLLER_MANAGER, f"--kubeconfig={config}", f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}", "--bind-address=127.0.0.1", f"--secure-port={free_port()}",
            f"--cert-dir={self.dir}", f"--root-ca-file={self.path('ca.crt')}", "--leader-elect=false",
            f"--service-account-private-key-file={self.path('sa.key')}", "--use-service-account-credentials=true",
            "--profiling=false"], self.path("manager.log"))
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        if not wait_for(lambda: self.request("GET", account)[0] == 200, 60, 0.2):
            raise RuntimeError(f"kube-controller-manager does not work: {self.manager.log()[-1500:]}")

    def stop(self):
        """The clients of the API server first, else each waits for the others."""
        for process in (self.manager, self.apiserver):
            if process:
                process.stop()

    # ---- calls ----

    def request(self, method, path, body=None, kind="application/json", token=None, timeout=30):
        """Status and object, as the administrator or with a token; 0 and the reason when there is no answer."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout,
                                                 context=self.tls_anonymous if token else self.tls)
        headers = {"Accept": "application/json", "Content-Type": kind}
        if token:
            headers["Authorization"] = "Bearer " + token
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def get(self, path):
        return self.request("GET", path)[1]

    def run(self, program, *args, config="admin", stdin=None):
        """kubectl or helm with a home of their own."""
        env = {"PATH": os.environ.get("PATH", ""), "HOME": self.dir, "KUBECONFIG": self.path(f"{config}.kubeconfig"),
               "HELM_CACHE_HOME": self.path("helm"), "HELM_CONFIG_HOME": self.path("helm"),
               "HELM_DATA_HOME": self.path("helm")}
        try:
            done = subprocess.run([program, *args], input=stdin, capture_output=True, text=True, env=env,
                                  timeout=COMMAND_SECONDS_MAX, check=False)
        except subprocess.TimeoutExpired:
            return Result(-1, "", f"no end after {COMMAND_SECONDS_MAX} s")
        return Result(done.returncode, done.stdout, done.stderr)

    def kubectl(self, *args, **kwargs):
        return self.run(KUBECTL, *args, **kwargs)

    def helm(self, *args, **kwargs):
        return self.run(HELM, *args, **kwargs)

    def watch(self, path):
        return Watch(self, path)

    def audit(self, user=None, since=0.0):
        """What the API server wrote down: the finished requests of user."""
        events = []
        with open(self.audit_path, encoding="utf-8") as file:
            for line in file:
                if not line.endswith("\n"):
                    break
                event = json.loads(line)
                stamp = time.mktime(time.strptime(event["stageTimestamp"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
                if (user is None or event["user"].get("username") == user) and stamp >= since:
                    events.append(event)
        return events

    def metric(self, name):
        """The samples of a metric of the API server, as (labels, value)."""
        text = self.request("GET", "/metrics")[1]
        return [(line[len(name):line.rindex(" ")], float(line.rsplit(" ", 1)[1])) for line in text.splitlines()
                if line.startswith((name + " ", name + "{"))]
