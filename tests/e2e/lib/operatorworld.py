# SPDX-License-Identifier: Apache-2.0
"""What the operator's suites share: a playground, one operator as a process, clusters, and who watches them.

QUORATE_BUILD is the build folder. Loopback only, ports 28000 to 28999; every process that was started is ended by
its process id, and all state is in one temporary folder."""
import argparse
import base64
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
GROUP = "/apis/quorate.dev/v1alpha1/namespaces/default"
CORE = "/api/v1/namespaces/default"
EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
ETCDCTL = os.environ.get("DEBIAN_ETCDCTL") or shutil.which("etcdctl") or "etcdctl"
KUBECTL = os.environ.get("KUBECTL_NEW") or shutil.which("kubectl") or os.environ.get("KUBECTL_OLD") or "kubectl"
PORT_FIRST, PORT_COUNT = 28000, 1000
COMMAND_SECONDS_MAX = 120


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Failed(Exception):
    pass


def expect(holds, text):
    """A sentence that must hold."""
    if not holds:
        raise Failed(text)


def free_port():
    for i in range(PORT_COUNT):
        port = PORT_FIRST + (os.getpid() * 37 + i) % PORT_COUNT
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Failed("no free port from 28000 to 28999")


class World:
    """An API server with a kubelet behind it, and one operator."""

    def __init__(self, args):
        self.build = os.path.abspath(args.build)
        self.dir = tempfile.mkdtemp(prefix="quorate-e2e-")
        self.state = os.path.join(self.dir, "state")
        self.playground = None
        self.operator = None
        self.operator_log = os.path.join(self.dir, "operator.log")
        self.kubeconfig = os.path.join(self.dir, "kubeconfig")
        self.metrics_address = None
        self.tls = None
        if args.kubeconfig:
            self.kubeconfig = args.kubeconfig
        else:
            self.playground_start(args)
        text = open(self.kubeconfig, encoding="utf-8").read()
        field = lambda name: (re.search(name + r": *\"?([^\s\"]+)", text) or [None, None])[1]
        self.url, self.token = field("server"), field("token")
        authority = field("certificate-authority-data")
        if authority:
            self.tls = ssl.create_default_context(cadata=base64.b64decode(authority).decode())

    def program(self, name):
        return os.path.join(self.build, "bin", name)

    # ---- processes ----

    def playground_start(self, args):
        log = open(os.path.join(self.dir, "playground.log"), "w", encoding="utf-8")
        command = [self.program("quorate-playground"), "up", "--dir", self.state, "--kubeconfig", self.kubeconfig,
                   "--port", str(free_port()), "--nodes", str(args.nodes)]
        if args.member:
            command += ["--image", "quorate=" + args.member]
        self.playground = subprocess.Popen(command, stdout=log, stderr=log)
        self.wait(lambda: os.path.exists(self.kubeconfig) or self.playground.poll() is not None, 30,
                  "the playground starts")
        expect(self.playground.poll() is None, "the playground ended at its start: " + log.name)

    def operator_start(self, crash_at=None, elect=False):
        env = dict(os.environ)
        if crash_at:
            env["QUORATE_OPERATOR_CRASH_AT"] = crash_at
        self.metrics_address = f"127.0.0.1:{free_port()}"
        log = open(self.operator_log, "a", encoding="utf-8")
        self.operator = subprocess.Popen(
            [self.program("quorate-operator"), "--kubeconfig", self.kubeconfig, "--metrics-address",
             self.metrics_address, f"--leader-elect={'true' if elect else 'false'}"], stdout=log, stderr=log, env=env)
        log.close()

    def operator_stop(self):
        if self.operator and self.operator.poll() is None:
            self.operator.send_signal(signal.SIGTERM)
            try:
                self.operator.wait(10)
            except subprocess.TimeoutExpired:
                self.operator.kill()
                self.operator.wait()
        self.operator = None

    def stop(self, keep):
        self.operator_stop()
        if self.playground:
            self.playground.send_signal(signal.SIGTERM)
            try:
                self.playground.wait(20)
            except subprocess.TimeoutExpired:
                self.playground.kill()
                self.playground.wait()
        if keep:
            say(f"kept: {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def run(self, *command, stdin=None):
        """A program's exit code and what it printed."""
        env = {**os.environ, "KUBECONFIG": self.kubeconfig, "ETCDCTL_API": "3", "HOME": self.dir}
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=env, check=False,
                              timeout=COMMAND_SECONDS_MAX)
        return done.returncode, done.stdout + done.stderr

    def kubectl(self, *args, stdin=None):
        return self.run(KUBECTL, *args, stdin=stdin)

    def play(self, *args):
        """A command to the running playground, such as ("pod", "destroy", "demo-0")."""
        code, text = self.run(self.program("quorate-playground"), *args, "--dir", self.state)
        expect(code == 0, f"quorate-playground {' '.join(args)}: {text}")
        return text.strip()

    # ---- the API ----

    def request(self, method, path, body=None, kind="application/json"):
        request = urllib.request.Request(
            self.url + path, method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": "Bearer " + self.token, "Content-Type": kind, "Accept": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10, context=self.tls) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}")

    def get(self, path):
        return self.request("GET", path)[1]

    def items(self, path):
        return self.get(path).get("items", [])

    def apply_crd(self, name):
        text = open(os.path.join(ROOT, "crd", name), encoding="utf-8").read()
        plural = name.split(".")[0]
        request = urllib.request.Request(
            f"{self.url}/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.quorate.dev"
            "?fieldManager=e2e&force=true", method="PATCH", data=text.encode(),
            headers={"Authorization": "Bearer " + self.token, "Content-Type": "application/apply-patch+yaml"})
        urllib.request.urlopen(request, timeout=10, context=self.tls).read()
        self.wait(lambda: "items" in self.get(f"{GROUP}/{plural}"), 10, f"{plural} are served")

    @staticmethod
    def wait(done, seconds, what):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            result = done()
            if result:
                return result
            time.sleep(0.2)
        raise Failed(f"not in {seconds} s: {what}")

    # ---- counts ----

    def metrics(self):
        with urllib.request.urlopen(f"http://{self.metrics_address}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return {m[1]: float(m[2]) for m in re.finditer(r"^([a-z_]+(?:\{[^}]*\})?) (\S+)$", text, re.M)}

    def changes(self):
        return {name: value for name, value in self.metrics().items() if name.startswith("quorate_operator_changes")}

    def writes(self):
        """What the operator changed, as the API server counted it."""
        rows = {}
        for agent, counts in self.get("/playground/writes")["byUserAgent"].items():
            if agent.startswith("quorate-operator"):
                rows.update(counts)
        return rows

    def zero_writes_at_rest(self, seconds=20):
        """Nothing is written for so long. The numbers that the last change left (sizes, indexes) may be brought up to
        date once by one status per cluster; after that it must be quiet."""
        for is_last in (False, True):
            before, told = self.writes(), self.changes()
            time.sleep(seconds)
            after = self.writes()
            found = {what: count - before.get(what, 0) for what, count in after.items() if count != before.get(what)}
            if not found:
                expect(told == self.changes(), "the operator counts changes at rest")
                return
            clusters = len(self.items(GROUP + "/etcdclusters"))
            only_numbers = found.keys() == {"total", "patch etcdclusters/status"} and found["total"] <= clusters
            expect(only_numbers and not is_last, f"writes at rest: {found}")


class Cluster:
    def __init__(self, world, name, tls="Disabled"):
        self.world, self.name, self.tls = world, name, tls
        self.path = f"{GROUP}/etcdclusters/{name}"

    # ---- the object ----

    def body(self, replicas, **spec):
        return {"apiVersion": "quorate.dev/v1alpha1", "kind": "EtcdCluster",
                "metadata": {"name": self.name, "namespace": "default"},
                "spec": {"replicas": replicas, "tls": {"mode": self.tls},
                         "repair": {"notReadyGracePeriod": "5s", "nodeLostGracePeriod": "5s"}, **spec}}

    def create(self, replicas, **spec):
        status, body = self.world.request("POST", GROUP + "/etcdclusters", self.body(replicas, **spec))
        expect(status == 201, f"create: {status} {body}")

    def patch(self, spec):
        status, body = self.world.request("PATCH", self.path, {"spec": spec}, "application/merge-patch+json")
        expect(status == 200, f"patch: {status} {body}")

    def scale(self, replicas):
        self.patch({"replicas": replicas})

    def object(self):
        return self.world.get(self.path)

    def status(self):
        return self.object().get("status", {})

    def conditions(self):
        return {c["type"]: c for c in self.status().get("conditions", [])}

    def condition(self, kind):
        return self.conditions().get(kind, {}).get("status")

    def owned(self, path):
        return sorted(o["metadata"]["name"] for o in self.world.items(path)
                      if o["metadata"].get("labels", {}).get("quorate.dev/cluster") == self.name)

    def settled(self, replicas):
        """What must hold when there is nothing left to do."""
        found = self.object()
        status = found.get("status", {})
        ready = {c["type"]: c["status"] for c in status.get("conditions", [])}.get("Ready")
        if ready != "True" or status.get("voters") != replicas or status.get("operation"):
            return None
        if status.get("observedGeneration") != found["metadata"]["generation"]:
            return None
        pods = self.owned(CORE + "/pods")
        same = pods == self.owned(GROUP + "/etcdmembers") and \
            ["data-" + pod for pod in pods] == self.owned(CORE + "/persistentvolumeclaims")
        return pods if same and len(pods) == replicas else None

    def wait_settled(self, replicas, seconds=120):
        return self.world.wait(lambda: self.settled(replicas), seconds, f"{self.name} has {replicas} members")

    def delete(self):
        self.world.request("DELETE", self.path)

    def gone(self):
        return self.object().get("code") == 404 and not self.owned(CORE + "/pods")

    def delete_and_wait(self, seconds=60):
        self.delete()
        self.world.wait(self.gone, seconds, "the cluster is gone")

    def events(self):
        """Events that tell of the cluster, oldest first."""
        rows = [e for e in self.world.items(EVENTS) if e.get("regarding", {}).get("name") == self.name]
        return sorted(rows, key=lambda e: e.get("eventTime") or "")

    def reasons(self):
        return [e["reason"] for e in self.events()]

    def one_cluster_id(self):
        """Every volume carries the id that the status names."""
        ids = {p["metadata"].get("annotations", {}).get("quorate.dev/cluster-id")
               for p in self.world.items(CORE + "/persistentvolumeclaims")
               if p["metadata"].get("labels", {}).get("quorate.dev/cluster") == self.name}
        want = self.status()["clusterID"]
        expect(ids == {want}, f"more than one cluster id: {ids}, status {want}")
        return want

    # ---- the members ----

    def addresses(self):
        """Pod name to IP, of the Pods that have one."""
        return {p["metadata"]["name"]: p["status"]["podIP"] for p in self.world.items(CORE + "/pods")
                if p["metadata"].get("labels", {}).get("quorate.dev/cluster") == self.name
                and p.get("status", {}).get("podIP")}

    def endpoints(self):
        if self.tls == "Disabled":
            return ",".join(f"http://{ip}:2379" for ip in self.addresses().values())
        return ",".join(f"https://{pod}.{self.name}-peers.default.svc:2379" for pod in self.addresses())

    def secret(self, name):
        """The decoded values of a Secret; empty when it is not there."""
        data = self.world.get(f"{CORE}/secrets/{name}").get("data", {})
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def client_files(self, secret=None):
        """The flags of etcdctl for the Secret for users, as files written anew."""
        name = secret or f"{self.name}-client"
        values = self.secret(name)
        expect(values, f"Secret {name} is not there")
        flags = []
        for key, flag in (("ca.crt", "--cacert"), ("tls.crt", "--cert"), ("tls.key", "--key")):
            path = os.path.join(self.world.dir, f"{name}-{key}")
            with open(path + ".new", "w", encoding="utf-8") as file:
                file.write(values[key])
            os.rename(path + ".new", path)
            flags += [flag, path]
        return flags

    def etcdctl(self, *args, endpoints=None, stdin=None, files=None):
        command = [ETCDCTL, "--endpoints", endpoints or self.endpoints()]
        if self.tls != "Disabled":
            # Certificates are for names, which only the playground's processes know.
            command = [self.world.program("quorate-playground"), "exec-env", "--dir", self.world.state, "--", *command]
            command += self.client_files() if files is None else files
        return self.world.run(*command, *args, stdin=stdin)

    def member_list(self):
        """Name to (id, is learner), as etcdctl tells."""
        code, text = self.etcdctl("member", "list", "-w", "json")
        expect(code == 0, f"etcdctl member list: {text}")
        return {m.get("name", ""): (f"{m['ID']:x}", m.get("isLearner", False)) for m in json.loads(text)["members"]}

    def write_keys(self, prefix, first, count):
        """Writes count keys, a hundred in a transaction, and gives them with their values."""
        wrote = {f"{prefix}{i:05d}": f"value-{i}" for i in range(first, first + count)}
        keys = list(wrote)
        for at in range(0, count, 100):
            puts = "".join(f"put {key} {wrote[key]}\n" for key in keys[at:at + 100])
            code, text = self.etcdctl("txn", stdin="\n" + puts + "\n\n")
            expect(code == 0 and text.count("OK") == len(keys[at:at + 100]), f"etcdctl txn: {text[-500:]}")
        return wrote

    def read_keys(self, prefix):
        code, text = self.etcdctl("get", prefix, "--prefix", "-w", "json")
        expect(code == 0, f"etcdctl get: {text[-500:]}")
        return {base64.b64decode(kv["key"]).decode(): base64.b64decode(kv.get("value", "")).decode()
                for kv in json.loads(text).get("kvs", [])}


class Load:
    """One client that writes without pause until it is stopped; acknowledged writes are on record."""

    def __init__(self, cluster, seconds_max, rate=200):
        self.cluster, self.prefix = cluster, f"load{int(time.monotonic() * 1000)}/"
        self.record = os.path.join(cluster.world.dir, self.prefix[:-1] + ".txt")
        self.process = subprocess.Popen(
            [cluster.world.program("kvload"), "--endpoints", cluster.endpoints(), "--record", self.record,
             "--prefix", self.prefix, "--seconds", str(seconds_max), "--rate", str(rate), "--streams", "1",
             "--keys", "50", "--timeout-ms", "2000"], stdout=subprocess.PIPE, text=True)

    def stop(self):
        """What kvload tells of itself."""
        self.process.send_signal(signal.SIGTERM)
        text, _ = self.process.communicate(timeout=20)
        return json.loads(text)

    def lost(self):
        """Keys whose value is neither the last acknowledged one nor one whose outcome the client does not know."""
        acknowledged, unknown = {}, {}
        with open(self.record, encoding="utf-8") as file:
            for line in file:
                what, key, value = line.split()[:3]
                if what == "sent":
                    unknown.setdefault(key, set()).add(value)
                elif what == "done":
                    unknown[key].discard(value)
                    acknowledged[key] = value
        found = {key: value.rstrip(".") for key, value in self.cluster.read_keys(self.prefix).items()}
        return [(key, value, found.get(key)) for key, value in acknowledged.items()
                if found.get(key) not in unknown[key] | {value}]


class Watcher(threading.Thread):
    """Records every version of a cluster's status.operation (by a watch) and every member list (by polling).

    The lists are those of one member that stays: what it has applied, in that order."""

    POLL_S = 0.02

    def __init__(self, cluster, member):
        super().__init__(daemon=True)
        self.cluster, self.is_over, self.error = cluster, False, None
        self.address = cluster.addresses()[member]
        self.lists = []       # (time, {id: (name, is learner)}), one per difference
        self.operations = []  # (time, operation or None, lastOperations), one per version
        self.samples = 0
        self.watch = threading.Thread(target=self.follow, daemon=True)
        self.connection = None

    def begin(self):
        self.watch.start()
        self.start()
        World.wait(lambda: self.lists and self.operations, 10, "the watcher sees the cluster")
        return self

    def end(self):
        self.is_over = True
        self.join(10)
        expect(self.error is None, f"the watcher: {self.error}")
        expect(self.watch.is_alive(), "the watch of the cluster was cut")
        return self

    def follow(self):
        world, name = self.cluster.world, self.cluster.name
        request = urllib.request.Request(
            f"{world.url}{GROUP}/etcdclusters?watch=1&fieldSelector=metadata.name%3D{name}",
            headers={"Authorization": "Bearer " + world.token, "Accept": "application/json"})
        with urllib.request.urlopen(request, timeout=600, context=world.tls) as answer:
            for line in answer:
                status = json.loads(line)["object"].get("status", {})
                self.operations.append((time.monotonic(), status.get("operation"), status.get("lastOperations", [])))

    def run(self):
        while not self.is_over:
            try:
                self.sample()
            except Exception as error:  # the thread's end must be told, whatever it was
                self.error = repr(error)
                return
            time.sleep(self.POLL_S)

    def sample(self):
        found = applied_members(self.address)
        if found is not None:
            self.samples += 1
            if not self.lists or self.lists[-1][1] != found:
                self.lists.append((time.monotonic(), found))


def applied_members(ip):
    """The member list that this member has applied: id to (peer URL, is learner); None when it does not answer."""
    connection = http.client.HTTPConnection(ip, 2380, timeout=1)
    try:
        connection.request("GET", "/members")
        answer = connection.getresponse()
        if answer.status != 200:
            return None
        return {m["id"]: (m["peerURLs"][0], bool(m.get("isLearner"))) for m in json.loads(answer.read())}
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def kinds_of_changes(lists):
    """Each step from one recorded member list to the next, in words; raises when a step is more than one change."""
    words = []
    for (_, before), (_, after) in zip(lists, lists[1:]):
        added, removed = after.keys() - before.keys(), before.keys() - after.keys()
        promoted = [i for i in after.keys() & before.keys() if before[i][1] and not after[i][1]]
        demoted = [i for i in after.keys() & before.keys() if after[i][1] and not before[i][1]]
        expect(len(added) + len(removed) + len(promoted) == 1 and not demoted,
               f"more than one change at once: {before} to {after}")
        expect(sum(row[1] for row in after.values()) <= 1, f"two learners at once: {after}")
        words.append("added" if added else "removed" if removed else "promoted")
    return words


def operations_follow_each_other(operations):
    """One operation at a time: another one begins only after the one before is among the last operations."""
    running = None
    finished = []
    for _, operation, last in operations:
        key = (operation["type"], operation["target"], operation["startedAt"]) if operation else None
        if running is not None and key != running:
            ended = [o for o in last if (o["type"], o["target"], o["startedAt"]) == running]
            expect(ended, f"{running} was dropped for {key}")
            finished.append((ended[0]["type"], ended[0]["target"], ended[0]["result"]))
        running = key
    return finished


def main(scenarios, nodes=5):
    """Runs the scenarios in one world; the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.environ.get("QUORATE_BUILD", os.path.join(ROOT, "build")))
    parser.add_argument("--kubeconfig", help="an API server that is there already; it must have a kubelet")
    parser.add_argument("--member", help="program that plays the members; default: bin/quorate of the build")
    parser.add_argument("--nodes", type=int, default=nodes)
    parser.add_argument("--only", help="part of a scenario's name")
    args = parser.parse_args()
    failures = 0
    world = World(args)
    try:
        for path in ("etcdclusters.yaml", "etcdmembers.yaml"):
            world.apply_crd(path)
        for scenario in scenarios:
            if args.only and args.only not in scenario.__name__:
                continue
            say(scenario.__name__)
            try:
                scenario(world)
            except Failed as failed:
                failures += 1
                say(f"  FAILED: {failed}")
                world.operator_stop()
    finally:
        world.stop(failures > 0)
    say("all passed" if failures == 0 else f"{failures} failed")
    return 1 if failures else 0
