#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The operator from outside: real processes, a real API, members killed, the operator killed at every change.

Runs against `quorate-playground` from the build folder (QUORATE_BUILD), or against an API server that is there
already (--kubeconfig FILE; it must have a kubelet).
Loopback only, ports 23800 to 23899; every process that it started is ended by its process id."""
import argparse
import base64
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

GROUP = "/apis/quorate.dev/v1alpha1/namespaces/default"
CORE = "/api/v1/namespaces/default"
METRICS = "127.0.0.1:23801"


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Failed(Exception):
    pass


class World:
    """An API server with a kubelet behind it, and one operator."""

    def __init__(self, args):
        self.build = args.build
        self.dir = tempfile.mkdtemp(prefix="quorate-e2e-")
        self.playground = None
        self.operator = None
        self.operator_log = os.path.join(self.dir, "operator.log")
        self.kubeconfig = os.path.join(self.dir, "kubeconfig")
        self.tls = None
        if args.kubeconfig:
            self.kubeconfig = args.kubeconfig
        else:
            self.playground_start(args.member)
        text = open(self.kubeconfig, encoding="utf-8").read()
        field = lambda name: (re.search(name + r": *\"?([^\s\"]+)", text) or [None, None])[1]
        self.url, self.token = field("server"), field("token")
        authority = field("certificate-authority-data")
        if authority:
            self.tls = ssl.create_default_context(cadata=base64.b64decode(authority).decode())

    def playground_start(self, member):
        log = open(os.path.join(self.dir, "playground.log"), "w", encoding="utf-8")
        self.playground = subprocess.Popen(
            [os.path.join(self.build, "bin/quorate-playground"), "up", "--dir", os.path.join(self.dir, "state"),
             "--kubeconfig", self.kubeconfig, "--port", "23800", "--image",
             "quorate=" + (member or os.path.join(self.build, "bin/quorate"))], stdout=log, stderr=log)
        self.wait(lambda: os.path.exists(self.kubeconfig) or self.playground.poll() is not None, 30,
                  "the playground starts")

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

    @staticmethod
    def wait(done, seconds, what):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            result = done()
            if result:
                return result
            time.sleep(0.2)
        raise Failed(f"not in {seconds} s: {what}")

    def operator_start(self, crash_at=None, elect=False):
        env = dict(os.environ)
        if crash_at:
            env["QUORATE_OPERATOR_CRASH_AT"] = crash_at
        log = open(self.operator_log, "a", encoding="utf-8")
        self.operator = subprocess.Popen(
            [os.path.join(self.build, "bin/quorate-operator"), "--kubeconfig", self.kubeconfig, "--metrics-address",
             METRICS, f"--leader-elect={'true' if elect else 'false'}"], stdout=log, stderr=log, env=env)

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

    def metrics(self):
        with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return {m[1]: float(m[2]) for m in re.finditer(r"^([a-z_]+(?:\{[^}]*\})?) (\S+)$", text, re.M)}

    def changes(self):
        return {name: value for name, value in self.metrics().items() if name.startswith("quorate_operator_changes")}


class Cluster:
    def __init__(self, world, name):
        self.world, self.name = world, name

    def create(self, replicas):
        status, body = self.world.request("POST", GROUP + "/etcdclusters", {
            "apiVersion": "quorate.dev/v1alpha1", "kind": "EtcdCluster",
            "metadata": {"name": self.name, "namespace": "default"},
            "spec": {"replicas": replicas, "tls": {"mode": "Disabled"},
                     "repair": {"notReadyGracePeriod": "5s", "nodeLostGracePeriod": "5s"}}})
        if status != 201:
            raise Failed(f"create: {status} {body}")

    def patch(self, spec):
        status, body = self.world.request("PATCH", f"{GROUP}/etcdclusters/{self.name}", {"spec": spec},
                                          "application/merge-patch+json")
        if status != 200:
            raise Failed(f"patch: {status} {body}")

    def scale(self, replicas):
        self.patch({"replicas": replicas})

    def object(self):
        return self.world.get(f"{GROUP}/etcdclusters/{self.name}")

    def condition(self, kind):
        for condition in self.object().get("status", {}).get("conditions", []):
            if condition["type"] == kind:
                return condition["status"]
        return None

    def owned(self, path):
        return sorted(o["metadata"]["name"] for o in self.world.items(path)
                      if o["metadata"].get("labels", {}).get("quorate.dev/cluster") == self.name)

    def settled(self, replicas):
        """What must hold when there is nothing left to do."""
        status = self.object().get("status", {})
        if self.condition("Ready") != "True" or status.get("voters") != replicas or status.get("operation"):
            return None
        if status.get("observedGeneration") != self.object()["metadata"]["generation"]:
            return None
        pods = self.owned(CORE + "/pods")
        same = pods == self.owned(GROUP + "/etcdmembers") and \
            ["data-" + pod for pod in pods] == self.owned(CORE + "/persistentvolumeclaims")
        return pods if same and len(pods) == replicas else None

    def wait_settled(self, replicas, seconds=120):
        return self.world.wait(lambda: self.settled(replicas), seconds, f"{self.name} has {replicas} members")

    def delete(self):
        self.world.request("DELETE", f"{GROUP}/etcdclusters/{self.name}")

    def gone(self):
        return self.object().get("code") == 404 and not self.owned(CORE + "/pods")


def zero_writes_at_rest(world, seconds=20):
    before = world.changes()
    time.sleep(seconds)
    after = world.changes()
    if before != after:
        raise Failed(f"changes at rest: {[(k, before.get(k), v) for k, v in after.items() if before.get(k) != v]}")


def grows_rests_shrinks_and_goes(world):
    world.operator_start()
    cluster = Cluster(world, "life")
    cluster.create(3)
    first = cluster.wait_settled(3)
    cluster_id = cluster.object()["status"]["clusterID"]
    say(f"  three members: {first}")
    zero_writes_at_rest(world)
    for replicas in (5, 3, 1, 3):
        cluster.scale(replicas)
        say(f"  {replicas} members: {cluster.wait_settled(replicas)}")
    cluster.patch({"availability": {"podDisruptionBudget": "Off"}})
    world.wait(lambda: not cluster.owned("/apis/policy/v1/namespaces/default/poddisruptionbudgets"), 30,
               "the budget is gone")
    if cluster.object()["status"]["clusterID"] != cluster_id:
        raise Failed("the cluster id changed")
    names = cluster.owned(CORE + "/pods")
    if max(int(n.rsplit("-", 1)[1]) for n in names) < 6:
        raise Failed(f"an ordinal was used again: {names}")
    cluster.delete()
    world.wait(cluster.gone, 60, "the cluster is gone")
    world.operator_stop()


def is_killed_after_every_change(world):
    """Each life of the operator makes one change and dies; the cluster must come out as without deaths."""
    cluster = Cluster(world, "crashy")
    cluster.create(1)
    lives = 0
    for replicas in (1, 3, 2):
        cluster.scale(replicas)
        idle = 0
        end = time.monotonic() + 400
        while not (cluster.settled(replicas) and idle):
            if time.monotonic() > end:
                raise Failed(f"{replicas} members are not reached by one change at a time")
            world.operator_start("1:after" if lives % 2 == 0 else "2:before")
            lives += 1
            try:
                world.operator.wait(4)
                if world.operator.returncode != -signal.SIGKILL:
                    raise Failed(f"the operator ended by itself: {world.operator.returncode}")
                idle = 0
            except subprocess.TimeoutExpired:
                idle = 1
                world.operator_stop()
        say(f"  {replicas} members: {cluster.settled(replicas)} after {lives} lives")
    ids = {p["metadata"].get("annotations", {}).get("quorate.dev/cluster-id")
           for p in world.items(CORE + "/persistentvolumeclaims")
           if p["metadata"].get("labels", {}).get("quorate.dev/cluster") == "crashy"}
    if ids != {cluster.object()["status"]["clusterID"]}:
        raise Failed(f"more than one cluster id: {ids}")
    cluster.delete()
    end = time.monotonic() + 200
    while not cluster.gone():
        if time.monotonic() > end:
            raise Failed("deletion is not reached by one change at a time")
        world.operator_start("1:after")
        lives += 1
        try:
            world.operator.wait(4)
        except subprocess.TimeoutExpired:
            world.operator_stop()
    say(f"  gone after {lives} lives")


def replaces_members(world):
    """One that a person wants replaced (added before removed), and one whose volume is gone (the other way)."""
    world.operator_start()
    cluster = Cluster(world, "heal")
    cluster.create(3)
    cluster.wait_settled(3)
    world.request("DELETE", f"{GROUP}/etcdmembers/heal-1")
    world.wait(lambda: "heal-1" not in cluster.owned(CORE + "/pods"), 60, "heal-1 is gone")
    say(f"  asked for: {cluster.wait_settled(3)}")
    world.request("DELETE", f"{CORE}/persistentvolumeclaims/data-heal-0")
    world.request("DELETE", f"{CORE}/pods/heal-0")
    world.wait(lambda: "heal-0" not in cluster.owned(CORE + "/pods"), 60, "heal-0 is gone")
    say(f"  volume lost: {cluster.wait_settled(3)}")
    events = {e.get("reason") for e in world.items("/apis/events.k8s.io/v1/namespaces/default/events")
              if e.get("regarding", {}).get("name") == "heal"}
    say(f"  events: {sorted(events)}")
    if not events:
        raise Failed("no event tells of it")
    cluster.delete()
    world.wait(cluster.gone, 60, "the cluster is gone")
    world.operator_stop()


FAULTS = {"conflict": 10, "gone": 10, "tooManyRequests": 5, "internalError": 10, "cutBefore": 10, "cutAfter": 10, "cutWatch": 10,
          "duplicateEvents": 20, "delayEvents": 20, "delayMs": 500, "staleAnyList": 10, "userAgent": "quorate-operator"}


def comes_through_a_bad_api(world):
    """Conflicts, 410, 429, 500, lost answers, cut and doubled and late events, stale lists: all at once."""
    status, body = world.request("PUT", "/playground/faults", FAULTS)
    if status != 200:
        raise Failed(f"faults: {status} {body}")
    world.operator_start()
    cluster = Cluster(world, "rough")
    cluster.create(3)
    say(f"  three members: {cluster.wait_settled(3, 300)}")
    cluster.scale(1)
    say(f"  one member: {cluster.wait_settled(1, 300)}")
    world.request("PUT", "/playground/faults", {})
    ids = {p["metadata"].get("annotations", {}).get("quorate.dev/cluster-id")
           for p in world.items(CORE + "/persistentvolumeclaims")
           if p["metadata"].get("labels", {}).get("quorate.dev/cluster") == "rough"}
    if ids != {cluster.object()["status"]["clusterID"]}:
        raise Failed(f"more than one cluster id: {ids}")
    zero_writes_at_rest(world, 15)
    cluster.delete()
    world.wait(cluster.gone, 60, "the cluster is gone")
    world.operator_stop()


def uses_what_is_granted(world):
    """Every right to write that the chart grants was used by the scenarios before, and nothing else was."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    granted = set()
    for name in ("rules-clusters.yaml", "rules-lease.yaml"):
        text = open(os.path.join(root, "helm/quorate/files", name), encoding="utf-8").read()
        rules = re.findall(r"apiGroups: \[(.*?)\].*?resources: \[(.*?)\].*?verbs: \[(.*?)\]", text, re.S)
        for group, resource, verbs in rules:
            plural, _, subresource = resource.partition("/")
            where = plural + ("" if group == '""' else "." + group) + ("/" + subresource if subresource else "")
            granted |= {f"{verb} {where}" for verb in verbs.split(", ") if verb not in ("get", "list", "watch")}
    granted.discard("update etcdclusters.quorate.dev/finalizers")  # asked for by servers that check owner references
    agents = world.get("/playground/writes")["byUserAgent"]
    used = {what for agent, rows in agents.items() if agent.startswith("quorate-operator")
            for what in rows if what != "total"}
    # What is made by an apply is counted as a patch; servers ask for the right to create as well.
    made = {kind for kind in ("pods", "services", "persistentvolumeclaims", "poddisruptionbudgets.policy",
                              "etcdmembers.quorate.dev") if f"patch {kind}" in used}
    used |= {f"create {kind}" for kind in made}
    say(f"  used: {sorted(used)}")
    if used - granted:
        raise Failed(f"used and not granted: {used - granted}")
    if granted - used:
        raise Failed(f"granted and not used: {granted - used}")


def hands_over_by_lease(world):
    world.operator_start(elect=True)
    lease = "/apis/coordination.k8s.io/v1/namespaces/default/leases/quorate-operator"
    holder = world.wait(lambda: world.get(lease).get("spec", {}).get("holderIdentity"), 30, "a leader")
    world.operator_stop()
    if world.get(lease)["spec"].get("holderIdentity"):
        raise Failed("the Lease was not released")
    world.operator_start(elect=True)
    second = world.wait(lambda: world.get(lease)["spec"].get("holderIdentity"), 5, "the next leader at once")
    if second == holder:
        raise Failed("the same identity twice")
    body = world.get(lease)
    body["spec"]["holderIdentity"] = "usurper"
    world.request("PUT", lease, body)
    if world.operator.wait(20) != 1:
        raise Failed("an operator that lost its Lease did not stop")
    world.operator = None


SCENARIOS = [grows_rests_shrinks_and_goes, replaces_members, is_killed_after_every_change, hands_over_by_lease,
             comes_through_a_bad_api, uses_what_is_granted]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.environ.get("QUORATE_BUILD", "build"))
    parser.add_argument("--kubeconfig", help="an API server that is there already")
    parser.add_argument("--member", help="program that plays the members; default: bin/quorate of the build")
    parser.add_argument("--only", help="part of a scenario's name")
    args = parser.parse_args()
    failures = 0
    world = World(args)
    try:
        for path in ("etcdclusters.yaml", "etcdmembers.yaml"):
            apply_crd(world, path)
        for scenario in SCENARIOS:
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


def apply_crd(world, name):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    text = open(os.path.join(root, "crd", name), encoding="utf-8").read()
    plural = name.split(".")[0]
    request = urllib.request.Request(
        f"{world.url}/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.quorate.dev"
        "?fieldManager=e2e&force=true", method="PATCH", data=text.encode(),
        headers={"Authorization": "Bearer " + world.token, "Content-Type": "application/apply-patch+yaml"})
    urllib.request.urlopen(request, timeout=10, context=world.tls).read()
    World.wait(lambda: "items" in world.get(f"{GROUP}/{plural}"), 10, f"{plural} are served")


if __name__ == "__main__":
    sys.exit(main())
