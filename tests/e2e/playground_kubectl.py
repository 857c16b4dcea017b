#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Drives real kubectls against quorate-playground's API server, each step with its expected result.

usage: playground_kubectl.py PATH-TO-quorate-playground
KUBECTL_OLD (1.20) and KUBECTL_NEW (1.32) name the programs; one that is absent is skipped with a line.
PLAYGROUND_PORT (default 22100) is the first port to use.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "build/bin/quorate-playground"
PORT = int(os.environ.get("PLAYGROUND_PORT", "22100"))
STEPS = []
failures = []


def step(function):
    STEPS.append(function)
    return function


class Server:
    def __init__(self, folder, port):
        self.folder, self.port = folder, port
        self.kubeconfig = os.path.join(folder, "kubeconfig")
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [PROGRAM, "up", "--dir", os.path.join(self.folder, "state"), "--kubeconfig", self.kubeconfig,
             "--port", str(self.port), "--nodes", "0"], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert "ready" in line, line
        with open(os.path.join(self.folder, "state", "token")) as file:
            self.token = file.read().strip()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0, "exit code after SIGTERM"

    def http(self, method, path, body=None, token=None, kind="application/json", agent="e2e/1"):
        data = None if body is None else (body if isinstance(body, bytes) else json.dumps(body).encode())
        request = urllib.request.Request("http://127.0.0.1:%d%s" % (self.port, path), data=data, method=method)
        request.add_header("Authorization", "Bearer " + (self.token if token is None else token))
        request.add_header("Content-Type", kind)
        request.add_header("User-Agent", agent)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read().decode()
                return answer.status, json.loads(text) if text.startswith("{") else text
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            return error.code, json.loads(text) if text.startswith("{") else text


class Kubectl:
    def __init__(self, program, server, is_new):
        self.program, self.server, self.is_new = program, server, is_new
        self.environment = dict(os.environ, KUBECONFIG=server.kubeconfig, HOME=server.folder)

    def command(self, words):
        return [self.program] + words

    def run(self, *words, stdin=None, code=0, environment=None):
        done = subprocess.run(self.command(list(words)), input=stdin, text=True, capture_output=True, timeout=60,
                              env=dict(self.environment, **(environment or {})))
        if code is not None and done.returncode != code:
            raise AssertionError("%s: exit %d, wanted %d\n%s%s" % (
                " ".join(words), done.returncode, code, done.stdout, done.stderr))
        return done.stdout + done.stderr

    def json(self, *words):
        return json.loads(self.run(*words, "-o", "json"))


def has(text, *parts):
    for part in parts:
        assert part in text, "no %r in:\n%s" % (part, text)


def lacks(text, *parts):
    for part in parts:
        assert part not in text, "%r in:\n%s" % (part, text)


def eventually(check, seconds=15):
    end = time.time() + seconds
    while True:
        try:
            return check()
        except AssertionError:
            if time.time() > end:
                raise
            time.sleep(0.1)


POD = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
  - {name: a, image: one, ports: [{containerPort: 80, name: http}], env: [{name: A, value: "1"}, {name: B, value: "2"}]}
  - {name: b, image: two}
"""

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
"""

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.test.quorate.dev}
spec:
  group: test.quorate.dev
  names: {plural: boats, singular: boat, kind: Boat, shortNames: [bo], categories: [all, sea]}
  scope: Namespaced
  versions:
  - name: v1alpha1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.sails, statusReplicasPath: .status.sails, labelSelectorPath: .status.selector}
    additionalPrinterColumns:
    - {name: Sails, type: integer, jsonPath: .spec.sails}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    - {name: Harbour, type: string, jsonPath: .spec.harbour, priority: 1}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            required: [harbour]
            x-kubernetes-validations: [{rule: "self.sails >= 0"}]
            properties:
              sails: {type: integer, minimum: 0, maximum: 9, default: 3}
              harbour: {type: string, pattern: '^[a-z]+$', description: "where it lies"}
              flag: {type: string, enum: [Red, Blue], default: Red}
              size: {x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}
              built: {type: string, format: date-time}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
              crew:
                type: array
                minItems: 1
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items: {type: object, required: [name], properties: {name: {type: string}, rank: {type: string, default: mate}}}
          status:
            type: object
            properties:
              sails: {type: integer}
              selector: {type: string}
              conditions:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [type]
                items: {type: object, properties: {type: {type: string}, status: {type: string}}}
"""

BOAT = """
apiVersion: test.quorate.dev/v1alpha1
kind: Boat
metadata: {name: %s}
spec: {harbour: kiel, crew: [{name: ann}]}
"""


@step
def shows_itself(k):
    has(k.run("version"), "1.32.0-quorate-playground" if k.is_new else "GitVersion:\"v1.32.0")
    has(k.run("cluster-info"), "is running at")
    has(k.run("api-resources"), "configmaps", "customresourcedefinitions", "poddisruptionbudgets")
    has(k.run("api-resources", "--namespaced=false", "-o", "name"), "nodes")
    has(k.run("api-versions"), "apps/v1", "coordination.k8s.io/v1", "v1")
    has(k.run("get", "--raw", "/healthz"), "ok")
    has(k.run("get", "--raw", "/api/v1/namespaces/default"), '"name":"default"')
    has(k.run("config", "current-context"), "playground")
    has(k.run("auth", "can-i", "create", "pods"), "yes")
    has(k.run("get", "ns"), "NAME", "default", "Active")
    has(k.run("get", "sc"), "standard (default)")
    if k.is_new:
        has(k.run("auth", "whoami"), "playground-admin")


@step
def creates_and_shows(k):
    k.run("create", "configmap", "plain", "--from-literal=a=b", "--from-literal=c=d")
    has(k.run("create", "configmap", "plain", "--from-literal=a=b", code=1),
        'configmaps "plain" already exists')
    has(k.run("get", "cm", "plain"), "DATA", "2")
    has(k.run("get", "cm", "plain", "-o", "yaml"), "a: b", "kind: ConfigMap")
    assert k.json("get", "cm", "plain")["data"] == {"a": "b", "c": "d"}
    assert k.run("get", "cm", "plain", "-o", "name") == "configmap/plain\n"
    assert k.run("get", "cm", "plain", "-o", "jsonpath={.data.a}") == "b"
    has(k.run("get", "cm", "-o", "custom-columns=N:.metadata.name,A:.data.a"), "N", "plain", "b")
    has(k.run("get", "cm", "missing", code=1), 'configmaps "missing" not found')
    has(k.run("get", "cm,secret", "--ignore-not-found", "--show-labels"), "LABELS")
    has(k.run("describe", "cm", "plain"), "a:", "Name:")
    has(k.run("get", "cm", "--sort-by=.metadata.name"), "plain")
    k.run("create", "secret", "generic", "hidden", "--from-literal=k=v")
    assert k.json("get", "secret", "hidden")["data"] == {"k": "dg=="}
    k.run("create", "-f", "-", stdin='{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s2"},"stringData":{"x":"hi"}}')
    assert k.json("get", "secret", "s2")["data"] == {"x": "aGk="}
    name = k.run("create", "-o", "name", "-f", "-",
                 stdin='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"gen-"}}').strip()
    assert name.startswith("configmap/gen-") and len(name) == len("configmap/gen-") + 5, name
    before = k.json("get", "cm", "plain")["metadata"]["resourceVersion"]
    k.run("create", "configmap", "dry", "--from-literal=a=b", "--dry-run=server")
    has(k.run("get", "cm", "dry", code=1), "not found")
    assert k.json("get", "cm", "plain")["metadata"]["resourceVersion"] == before
    has(k.run("create", "configmap", "Bad_Name", "--from-literal=a=b", code=1), "RFC 1123")
    has(k.run("create", "cm", "x", "-n", "nowhere", "--from-literal=a=b", code=1), 'namespaces "nowhere" not found')


@step
def applies_on_the_client(k):
    has(k.run("apply", "-f", "-", stdin=POD + "---" + SERVICE), "pod/web created", "service/web created")
    has(k.run("apply", "-f", "-", stdin=POD + "---" + SERVICE), "pod/web unchanged", "service/web unchanged")
    changed = POD.replace("image: two", "image: three").replace("app: web", "app: web, tier: front")
    has(k.run("diff", "-f", "-", stdin=changed, code=1), "-  - image: two", "+  - image: three")
    has(k.run("apply", "-f", "-", stdin=changed), "pod/web configured")
    pod = k.json("get", "pod", "web")
    assert [c["image"] for c in pod["spec"]["containers"]] == ["one", "three"]
    assert pod["metadata"]["labels"] == {"app": "web", "tier": "front"}
    k.run("apply", "-f", "-", stdin=POD)
    assert k.json("get", "pod", "web")["metadata"]["labels"] == {"app": "web"}
    has(k.run("apply", "-f", "-", stdin=POD.replace("containerPort: 80", "containerPort: 81"), code=1),
        "pod updates may not change fields")
    assert k.json("get", "svc", "web")["spec"]["clusterIP"].startswith("10.96.")
    has(k.run("get", "pod", "-o", "wide"), "READY", "0/2", "Pending", "NODE")
    has(k.run("get", "svc", "-o", "wide"), "SELECTOR", "app=web", "80/TCP")
    has(k.run("describe", "pod", "web"), "Image:", "one", "Status:")
    has(k.run("describe", "svc", "web"), "TargetPort:", "http/TCP")
    has(k.run("apply", "-f", "-", stdin=POD.replace("image: two", "image: two, wrong: 1"), code=1), "wrong")


@step
def applies_on_the_server(k):
    k.run("apply", "--server-side", "--field-manager=one", "-f", "-", stdin="""
apiVersion: v1
kind: ConfigMap
metadata: {name: shared}
data: {a: "1", b: "2"}
""")
    other = """
apiVersion: v1
kind: ConfigMap
metadata: {name: shared}
data: {a: "%s", c: "3"}
"""
    has(k.run("apply", "--server-side", "--field-manager=two", "-f", "-", stdin=other % "9", code=1),
        'conflict with "one" using v1: .data.a')
    k.run("apply", "--server-side", "--field-manager=two", "--force-conflicts", "-f", "-", stdin=other % "9")
    assert k.json("get", "cm", "shared")["data"] == {"a": "9", "b": "2", "c": "3"}
    k.run("apply", "--server-side", "--field-manager=one", "-f", "-",
          stdin="---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: shared}, data: {b: '2'}}")
    k.run("apply", "--server-side", "--field-manager=two", "-f", "-",
          stdin="---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: shared}, data: {c: '3'}}")
    assert k.json("get", "cm", "shared")["data"] == {"b": "2", "c": "3"}
    k.run("apply", "--server-side", "--field-manager=two", "--dry-run=server", "-f", "-",
          stdin="---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: shared}, data: {c: '4'}}")
    assert k.json("get", "cm", "shared")["data"]["c"] == "3"
    k.run("apply", "--server-side", "-f", "-", stdin=SERVICE.replace("name: web", "name: web2"))
    k.run("apply", "--server-side", "-f", "-", stdin=SERVICE.replace("name: web", "name: web2"))
    assert k.json("get", "svc", "web2")["spec"]["clusterIP"].startswith("10.96.")


@step
def patches_labels_and_edits(k):
    k.run("create", "configmap", "p", "--from-literal=a=1", "--from-literal=b=2")
    k.run("patch", "cm", "p", "--type=merge", "-p", '{"data":{"a":null,"c":"3"}}')
    assert k.json("get", "cm", "p")["data"] == {"b": "2", "c": "3"}
    k.run("patch", "cm", "p", "--type=json", "-p", '[{"op":"test","path":"/data/b","value":"2"},'
          '{"op":"add","path":"/data/x~1y","value":"4"},{"op":"remove","path":"/data/c"}]')
    assert k.json("get", "cm", "p")["data"] == {"b": "2", "x/y": "4"}
    k.run("patch", "cm", "p", "--type=json", "-p", '[{"op":"test","path":"/data/b","value":"9"}]', code=1)
    k.run("create", "deployment", "d", "--image=one")
    k.run("patch", "deployment", "d", "-p", '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"s"}]}}}}')
    names = [c["name"] for c in k.json("get", "deploy", "d")["spec"]["template"]["spec"]["containers"]]
    assert sorted(names) == ["one", "side"], names
    k.run("patch", "deployment", "d", "-p",
          '{"spec":{"template":{"spec":{"containers":[{"name":"side","$patch":"delete"}]}}}}')
    assert len(k.json("get", "deploy", "d")["spec"]["template"]["spec"]["containers"]) == 1
    k.run("label", "cm", "p", "x=y")
    has(k.run("label", "cm", "p", "x=z", code=1), "overwrite")
    k.run("label", "cm", "p", "x=z", "--overwrite")
    k.run("annotate", "cm", "p", "note=hello world")
    found = k.json("get", "cm", "p")
    assert found["metadata"]["labels"] == {"x": "z"} and found["metadata"]["annotations"]["note"] == "hello world"
    has(k.run("get", "cm", "-l", "x=z"), "p")
    lacks(k.run("get", "cm", "-l", "x!=z", "-o", "name"), "configmap/p\n")
    has(k.run("get", "cm", "-l", "x in (a,z)", "-o", "name"), "configmap/p\n")
    has(k.run("get", "cm", "--field-selector=metadata.name=p", "-o", "name"), "configmap/p\n")
    k.run("label", "cm", "p", "x-")
    editor = os.path.join(k.server.folder, "editor.sh")
    with open(editor, "w") as file:
        file.write('#!/bin/sh\nsed -i \'s/b: "2"/b: edited/\' "$1"\n')
    os.chmod(editor, 0o755)
    has(k.run("edit", "cm", "p", environment={"EDITOR": editor, "KUBE_EDITOR": editor}), "edited")
    assert k.json("get", "cm", "p")["data"]["b"] == "edited"
    found = k.json("get", "cm", "p")
    stale = dict(found, metadata=dict(found["metadata"], resourceVersion="1"))
    has(k.run("replace", "-f", "-", stdin=json.dumps(stale), code=1), "the object has been modified")
    found["data"] = {"new": "1"}
    has(k.run("replace", "-f", "-", stdin=json.dumps(found)), "replaced")
    assert k.json("get", "cm", "p")["data"] == {"new": "1"}


@step
def scales_and_counts_generations(k):
    first = k.json("get", "deploy", "d")["metadata"]["generation"]
    k.run("scale", "deployment", "d", "--replicas=4")
    deployment = k.json("get", "deploy", "d")
    assert deployment["spec"]["replicas"] == 4 and deployment["metadata"]["generation"] == first + 1
    k.run("label", "deploy", "d", "a=b")
    assert k.json("get", "deploy", "d")["metadata"]["generation"] == first + 1
    has(k.run("get", "deploy", "d"), "0/4")


@step
def keeps_custom_resources(k):
    has(k.run("apply", "-f", "-", stdin=CRD), "created")
    has(k.run("wait", "--for=condition=Established", "crd/boats.test.quorate.dev", "--timeout=5s"), "condition met")
    has(k.run("get", "crd"), "boats.test.quorate.dev")
    has(k.run("apply", "-f", "-", stdin=BOAT % "ada"), "boat.test.quorate.dev/ada created")
    boat = k.json("get", "bo", "ada")
    assert boat["spec"]["sails"] == 3 and boat["spec"]["flag"] == "Red", boat
    assert boat["spec"]["crew"] == [{"name": "ann", "rank": "mate"}] and boat["metadata"]["generation"] == 1
    has(k.run("get", "boats"), "SAILS", "READY", "AGE", "ada", "3")
    lacks(k.run("get", "boats"), "HARBOUR")
    has(k.run("get", "boats", "-o", "wide"), "HARBOUR", "kiel")
    has(k.run("get", "sea"), "ada")
    has(k.run("get", "all"), "boat.test.quorate.dev/ada")
    wrong = "---\n{apiVersion: test.quorate.dev/v1alpha1, kind: Boat, metadata: {name: bad}, spec: " \
            "{harbour: X1, sails: 12, flag: Green, crew: [], built: yesterday}}"
    text = k.run("create", "--validate=false", "-f", "-", stdin=wrong, code=1)
    has(text, 'The Boat "bad" is invalid',
        'spec.harbour: Invalid value: "X1": spec.harbour in body should match \'^[a-z]+$\'',
        "spec.sails: Invalid value: 12: spec.sails in body should be less than or equal to 9",
        'spec.flag: Unsupported value: "Green": supported values: "Red", "Blue"',
        "spec.crew", "spec.built")
    has(k.run("create", "--validate=false", "-f", "-", code=1,
              stdin="---\n{apiVersion: test.quorate.dev/v1alpha1, kind: Boat, metadata: {name: bad}, spec: {}}"),
        "spec.harbour: Required value")
    k.run("create", "--validate=false", "-f", "-", stdin=(BOAT % "bob").replace(
        "harbour: kiel", "harbour: kiel, unknown: 1, size: 5, free: {any: [1]}"))
    spec = k.json("get", "boat", "bob")["spec"]
    assert "unknown" not in spec and spec["free"] == {"any": [1]} and spec["size"] == 5, spec
    has(k.run("create", "-f", "-", code=1, stdin=(BOAT % "eve").replace("kiel", "kiel, unknown: 1")), "unknown")
    k.run("scale", "boat/ada", "--replicas=7")
    assert k.json("get", "boat", "ada")["spec"]["sails"] == 7
    status, answer = k.server.http("PATCH", "/apis/test.quorate.dev/v1alpha1/namespaces/default/boats/ada/status",
                                   {"spec": {"sails": 1}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}},
                                   kind="application/merge-patch+json")
    assert status == 200 and answer["spec"]["sails"] == 7 and answer["metadata"]["generation"] == 2, answer
    has(k.run("wait", "--for=condition=Ready", "boat/ada", "--timeout=5s"), "condition met")
    if k.is_new:
        has(k.run("wait", "--for=jsonpath={.spec.sails}=7", "boat/ada", "--timeout=5s"), "condition met")
    has(k.run("explain", "boat.spec.harbour"), "where it lies")
    has(k.run("explain", "pod.spec.containers"), "image")
    has(k.run("describe", "boat", "ada"), "Harbour:", "kiel")
    has(k.run("patch", "boat", "ada", "--type=merge", "-p", '{"spec":{"sails":"many"}}', code=1),
        'must be of type integer: "string"')
    broken = CRD.replace("boats", "ships").replace("x-kubernetes-int-or-string: true, ", "")
    has(k.run("create", "--validate=false", "-f", "-", stdin=broken, code=1), "type", "Required value")
    k.run("delete", "crd", "boats.test.quorate.dev", "--timeout=20s")
    text = k.run("get", "boats", code=1)
    assert "doesn't have a resource type" in text or "could not find the requested resource" in text, text


@step
def watches(k):
    process = subprocess.Popen(k.command(["get", "cm", "-w", "-o", "name"]), env=k.environment,
                               stdout=subprocess.PIPE, text=True)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")))
    reader.start()
    try:
        def listed():
            assert "configmap/p\n" in lines, lines
        eventually(listed)
        k.run("create", "configmap", "seen", "--from-literal=a=b")

        def seen():
            assert "configmap/seen\n" in lines, lines
        eventually(seen)
    finally:
        process.kill()
        reader.join()
    table = subprocess.Popen(k.command(["get", "cm", "-w"]), env=k.environment, stdout=subprocess.PIPE, text=True)
    rows = []
    reader = threading.Thread(target=lambda: rows.extend(iter(table.stdout.readline, "")))
    reader.start()
    try:
        def headed():
            assert any("DATA" in row for row in rows), rows
        eventually(headed)
        k.run("label", "cm", "seen", "touched=yes")

        def twice():
            assert len([row for row in rows if row.startswith("seen ")]) >= 2, rows
        eventually(twice)
    finally:
        table.kill()
        reader.join()
    k.run("create", "configmap", "leaving")
    waiter = subprocess.Popen(k.command(["wait", "--for=delete", "cm/leaving", "--timeout=20s"]), env=k.environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    time.sleep(0.3)
    k.run("delete", "cm", "leaving")
    assert waiter.wait(20) == 0, waiter.stdout.read()


@step
def deletes(k):
    k.run("delete", "cm", "seen", "--wait=true")
    owner = json.loads(k.run("create", "configmap", "owner", "-o", "json"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"],
                 "blockOwnerDeletion": True}

    def child(name):
        k.run("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": name, "ownerReferences": [reference]}}))

    def gone(name):
        def check():
            has(k.run("get", "cm", name, code=1), "not found")
        eventually(check)

    child("child")
    k.run("delete", "cm", "owner")
    gone("child")
    owner = json.loads(k.run("create", "configmap", "owner", "-o", "json"))
    reference["uid"] = owner["metadata"]["uid"]
    child("child")
    k.run("delete", "cm", "owner", "--cascade=foreground" if k.is_new else "--cascade=true")
    gone("child")
    owner = json.loads(k.run("create", "configmap", "owner", "-o", "json"))
    reference["uid"] = owner["metadata"]["uid"]
    child("child")
    k.run("delete", "cm", "owner", "--cascade=orphan")
    gone("owner")
    assert "ownerReferences" not in k.json("get", "cm", "child")["metadata"]
    k.run("patch", "cm", "child", "--type=merge", "-p", '{"metadata":{"finalizers":["test.quorate.dev/hold"]}}')
    k.run("delete", "cm", "child", "--wait=false")
    assert "deletionTimestamp" in k.json("get", "cm", "child")["metadata"]
    k.run("patch", "cm", "child", "--type=json", "-p", '[{"op":"remove","path":"/metadata/finalizers"}]')
    gone("child")
    k.run("create", "configmap", "m1")
    k.run("label", "cm", "m1", "batch=1")
    k.run("delete", "cm", "-l", "batch=1")
    gone("m1")
    k.run("create", "ns", "room")
    k.run("create", "cm", "-n", "room", "inside")
    k.run("delete", "ns", "room", "--timeout=20s")
    has(k.run("get", "ns", "room", code=1), "not found")
    has(k.run("delete", "cm", "nothing", code=1), "not found")
    k.run("delete", "pod", "web", "--timeout=20s")


@step
def binds_claims_and_endpoints(k):
    k.run("apply", "-f", "-", stdin="""
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: disk}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
""")

    def bound():
        has(k.run("get", "pvc"), "disk", "Bound", "1Gi", "RWO", "standard")
    eventually(bound)
    k.run("patch", "pvc", "disk", "-p", '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}')

    def grown():
        assert k.json("get", "pvc", "disk")["status"]["capacity"]["storage"] == "2Gi"
    eventually(grown)
    volume = k.json("get", "pvc", "disk")["spec"]["volumeName"]
    has(k.run("get", "pv", volume), "default/disk", "Delete")
    k.run("delete", "pvc", "disk", "--timeout=20s")

    def released():
        has(k.run("get", "pv", volume, code=1), "not found")
    eventually(released)
    k.run("apply", "-f", "-", stdin=POD)
    status, _ = k.server.http("PATCH", "/api/v1/namespaces/default/pods/web/status", {"status": {
        "phase": "Running", "podIP": "127.1.2.3", "conditions": [{"type": "Ready", "status": "True"}]}},
        kind="application/merge-patch+json")
    assert status == 200

    def endpoint():
        has(k.run("get", "endpoints", "web"), "127.1.2.3:80")
        has(k.run("get", "endpointslices", "-o", "yaml"), "127.1.2.3")
    eventually(endpoint)
    k.run("apply", "-f", "-", stdin="""
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: guard}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
""")
    has(k.run("get", "pdb", "guard"), "MIN AVAILABLE", "N/A")

    def guarded():
        assert k.json("get", "pdb", "guard")["status"]["disruptionsAllowed"] == 0
    eventually(guarded)
    status, answer = k.server.http("POST", "/api/v1/namespaces/default/pods/web/eviction", {
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}})
    assert status == 429, answer
    has(k.run("logs", "web", "-c", "a", code=1), "no kubelet")
    k.server.http("POST", "/api/v1/namespaces/default/events", {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e1"}, "type": "Normal", "reason": "Seen",
        "message": "it was seen", "involvedObject": {"kind": "Pod", "name": "web", "namespace": "default",
                                                      "uid": k.json("get", "pod", "web")["metadata"]["uid"]},
        "lastTimestamp": "2030-01-01T00:00:00Z"})
    has(k.run("get", "events"), "Seen", "pod/web", "it was seen")
    has(k.run("describe", "pod", "web"), "it was seen")
    has(k.run("get", "--raw", "/apis/events.k8s.io/v1/events"), '"note":"it was seen"')
    k.run("delete", "pdb,svc,pod,deploy", "--all", "--timeout=20s")


@step
def answers_like_a_server(k):
    http = k.server.http
    assert http("GET", "/api/v1/pods", token="wrong")[0] == 401
    assert http("GET", "/nothing")[0] == 404
    assert http("GET", "/api/v1/nothings")[0] == 404
    for i in range(5):
        http("POST", "/api/v1/namespaces/default/configmaps",
             {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "page-%d" % i}})
    names, token = [], ""
    while True:
        _, page = http("GET", "/api/v1/namespaces/default/configmaps?limit=2&continue=" + token)
        names += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue", "").replace("/", "%2F")
        if not token:
            break
    assert [n for n in names if n.startswith("page-")] == ["page-%d" % i for i in range(5)], names
    assert len(names) == len(set(names))
    _, lists = http("GET", "/api/v1/configmaps")
    last = lists["metadata"]["resourceVersion"]
    http("DELETE", "/api/v1/namespaces/default/configmaps/page-0")
    _, text = http("GET", "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1&resourceVersion=" + last)
    assert text["type"] == "DELETED" and text["object"]["metadata"]["name"] == "page-0", text
    status, text = http("GET", "/api/v1/configmaps?resourceVersion=99999999")
    assert status == 504 and "Too large resource version" in text["message"]
    status, answer = http("DELETE", "/api/v1/namespaces/default/configmaps/page-1",
                          {"preconditions": {"uid": "other"}})
    assert status == 409 and "Precondition failed" in answer["message"]
    assert http("DELETE", "/api/v1/namespaces/default/configmaps?labelSelector=none%3Dsuch")[0] == 200
    assert http("GET", "/api/v1/namespaces/default/configmaps/page-1")[0] == 200
    status, answer = http("PUT", "/api/v1/namespaces/default/configmaps/page-1", b"{broken")
    assert status == 400, answer
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
             "spec": {"holderIdentity": "me", "leaseDurationSeconds": 5, "renewTime": "2030-01-01T00:00:00.123456Z"}}
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    status, made = http("POST", path, lease)
    assert status == 201, made
    made["spec"]["holderIdentity"] = "you"
    assert http("PUT", path + "/l", made)[0] == 200
    assert http("PUT", path + "/l", made)[0] == 409
    http("DELETE", path + "/l")


@step
def injects_faults_and_counts(k):
    http = k.server.http
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "f"}}
    http("POST", "/api/v1/namespaces/default/configmaps", config, agent="counted/1")
    _, writes = http("GET", "/playground/writes")
    assert writes["byUserAgent"]["counted/1"]["create configmaps"] >= 1, writes
    assert http("POST", "/playground/faults", {"wrong": 1})[0] == 400
    http("POST", "/playground/faults", {"tooManyRequests": 100, "userAgent": "victim"})
    assert http("GET", "/api/v1/pods", agent="victim/1")[0] == 429
    assert http("GET", "/api/v1/pods")[0] == 200
    http("POST", "/playground/faults", {"conflict": 100})
    status, answer = http("PUT", "/api/v1/namespaces/default/configmaps/f", config)
    assert status == 409 and "the object has been modified" in answer["message"]
    http("POST", "/playground/faults", {"internalError": 100})
    assert http("GET", "/api/v1/pods")[0] == 500
    http("POST", "/playground/faults", {"gone": 100})
    assert http("GET", "/api/v1/pods")[0] == 410
    _, event = http("GET", "/api/v1/pods?watch=1&timeoutSeconds=1")
    assert event["type"] == "ERROR" and event["object"]["code"] == 410, event
    http("POST", "/playground/faults", {"cutAfter": 100})
    try:
        http("POST", "/api/v1/namespaces/default/configmaps",
             {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cut"}})
        raise AssertionError("the connection was not cut")
    except (urllib.error.URLError, ConnectionError):
        pass
    http("POST", "/playground/faults", {"staleAnyList": 100, "staleChanges": 1})
    _, lists = http("GET", "/api/v1/namespaces/default/configmaps")
    assert "cut" not in [item["metadata"]["name"] for item in lists["items"]]
    http("POST", "/playground/faults", {"duplicateEvents": 100})
    revision = http("GET", "/api/v1/configmaps")[1]["metadata"]["resourceVersion"]
    http("DELETE", "/api/v1/namespaces/default/configmaps/cut")
    request = urllib.request.Request(
        "http://127.0.0.1:%d/api/v1/configmaps?watch=1&timeoutSeconds=1&resourceVersion=%s" % (k.server.port, revision))
    request.add_header("Authorization", "Bearer " + k.server.token)
    with urllib.request.urlopen(request, timeout=20) as answer:
        events = [json.loads(line) for line in answer.read().decode().splitlines()]
    assert [e["type"] for e in events] == ["DELETED", "DELETED"], events
    http("POST", "/playground/faults", {})
    http("DELETE", "/api/v1/namespaces/default/configmaps/f")


@step
def survives_a_restart(k):
    k.run("apply", "-f", "-", stdin=CRD)
    k.run("apply", "-f", "-", stdin=BOAT % "kept")
    before = k.json("get", "boat", "kept")
    k.server.stop()
    k.server.start()
    assert k.json("get", "boat", "kept") == before
    k.run("label", "boat", "kept", "after=restart")
    assert int(k.json("get", "boat", "kept")["metadata"]["resourceVersion"]) > int(
        before["metadata"]["resourceVersion"])
    status, event = k.server.http("GET", "/api/v1/pods?watch=1&timeoutSeconds=1&resourceVersion=2")
    assert event["type"] == "ERROR" and event["object"]["reason"] == "Expired", event
    k.run("delete", "crd", "boats.test.quorate.dev", "--timeout=20s")


def run_all(program, is_new, port):
    folder = tempfile.mkdtemp(prefix="quorate-playground-")
    server = Server(folder, port)
    kubectl = Kubectl(program, server, is_new)
    for function in STEPS:
        name = "%s: %s" % (os.path.basename(os.path.dirname(program)) + "/" + ("new" if is_new else "old"),
                           function.__name__)
        try:
            function(kubectl)
            print("ok    " + name, flush=True)
        except Exception as error:  # every step is reported, whatever it threw
            failures.append(name)
            print("FAIL  %s\n%s: %s" % (name, type(error).__name__, error), flush=True)
    server.stop()
    shutil.rmtree(folder)


def main():
    for offset, (variable, is_new) in enumerate((("KUBECTL_OLD", False), ("KUBECTL_NEW", True))):
        program = os.environ.get(variable, "")
        if not program or not os.access(program, os.X_OK):
            print("skip  %s names no program" % variable)
            continue
        run_all(program, is_new, PORT + offset)
    for words, code in ((["--help"], 0), (["up"], 2), (["down"], 2), (["up", "--wrong"], 2),
                        (["up", "--dir", "x", "--kubeconfig", "y", "--image", "noequals"], 2)):
        done = subprocess.run([PROGRAM] + words, capture_output=True, text=True, timeout=20)
        if done.returncode != code or not (done.stdout + done.stderr).strip():
            failures.append("command line " + " ".join(words))
            print("FAIL  command line %s: exit %d" % (words, done.returncode))
    print("%d failures" % len(failures))
    return 1 if failures else 0


sys.exit(main())
