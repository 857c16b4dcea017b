#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The resource definitions, the manifests, the chart and the operator against a real Kubernetes API server, once
with the engine as its store and once with etcd 3.6. There are no nodes: Pods stay pending, everything else is real.

Loopback only, ports 27000 to 27499; every process is ended by its process id. Parts can be named as arguments:
on_the_engine, on_etcd."""
import copy
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from gotools import EtcdMember  # noqa: E402
from controlplane import ControlPlane, Process, WRITES  # noqa: E402
from quorate import BIN, ROOT, Member, Suite, free_port, http, wait_for  # noqa: E402

CRD = os.path.join(ROOT, "crd")
CRDS = [os.path.join(CRD, name) for name in sorted(os.listdir(CRD)) if name.endswith(".yaml")]
SAMPLES = os.path.join(CRD, "samples")
MANIFESTS = os.path.join(ROOT, "deploy", "manifests")
CHART = os.path.join(ROOT, "helm", "quorate")
RIGHTS = os.path.join(ROOT, "tests", "e2e", "data", "operator-rights.txt")
NAMESPACE = "quorate-system"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:quorate-operator"
GROUP = f"/apis/quorate.dev/v1alpha1/namespaces/{NAMESPACE}"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
REST_SECONDS = 12
STRICT = ("--server-side", "--dry-run=server", "--validate=strict")


# ---- the chart ----

def the_chart(suite, plane):
    """template, install, test, upgrade, rollback, uninstall; wrong values are refused before anything is sent."""
    plane.kubectl("create", "namespace", "charted")
    plane.kubectl("create", "namespace", "second")
    variants = {
        "defaults": [], "node access": ["--set", "nodeAccess=true"], "all namespaces": ["--set", "clusterWide=true"],
        "two namespaces": ["--set", "watchNamespaces={charted,second}"],
        "all that can be given": ["--set", "image.digest=sha256:" + "a" * 64, "--set", "priorityClassName=system-cluster-critical",
                                  "--set", "image.pullSecrets[0].name=pull", "--set", "podLabels.team=x",
                                  "--set", "tolerations[0].operator=Exists", "--set", "nodeSelector.disk=ssd",
                                  "--set", "serviceAccount.annotations.a=b", "--set-string", "podAnnotations.n=1"]}
    for name, values in variants.items():
        text = plane.helm("template", "quorate", CHART, "--namespace", "charted", *values)
        suite.check(f"helm template, {name}", text.code == 0, text)
        taken = plane.kubectl("apply", *STRICT, "-f", "-", stdin=text.out)
        suite.check(f"the API server takes it, {name}", taken.code == 0 and "Warning" not in taken.err, taken)
    for name, values in {"a word for a number": ["--set", "replicas=many"], "an unknown value": ["--set", "imgae.tag=x"],
                         "an unknown log level": ["--set", "logLevel=loud"], "a bad digest": ["--set", "image.digest=abc"],
                         "namespaces and all of them": ["--set", "clusterWide=true,watchNamespaces={a}"]}.items():
        refused = plane.helm("install", "wrong", CHART, "--namespace", "charted", *values)
        suite.check(f"refused: {name}", refused.code != 0 and "values don't meet the specifications of the schema"
                    in refused.err, refused)
    installed = plane.helm("install", "quorate", CHART, "--namespace", "charted")
    suite.check("helm install", installed.code == 0 and "STATUS: deployed" in installed.out, installed)
    suite.check("the definitions are there", crds_established(plane))
    suite.check("its Pod passes admission", wait_for(lambda: plane.get("/api/v1/namespaces/charted/pods")["items"], 20),
                plane.get("/apis/apps/v1/namespaces/charted/replicasets"))
    suite.check("helm test", plane.helm("test", "quorate", "--namespace", "charted").code == 0)
    upgraded = plane.helm("upgrade", "quorate", CHART, "--namespace", "charted", "--set", "nodeAccess=true",
                          "--set", "logLevel=debug")
    suite.check("helm upgrade", upgraded.code == 0, upgraded)
    role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/quorate-charted-nodes"
    suite.equal("the upgrade grants what it says", plane.request("GET", role)[0], 200)
    back = plane.helm("rollback", "quorate", "1", "--namespace", "charted")
    suite.check("helm rollback", back.code == 0, back)
    suite.equal("the rollback takes it away", plane.request("GET", role)[0], 404)
    gone = plane.helm("uninstall", "quorate", "--namespace", "charted")
    suite.check("helm uninstall", gone.code == 0, gone)
    left = plane.kubectl("get", "deploy,sa,role,rolebinding,clusterrole,clusterrolebinding", "-A", "-o", "name", "-l",
                         "app.kubernetes.io/instance=quorate")
    suite.equal("nothing of it is left", left.out, "")
    suite.check("but the definitions are", crds_established(plane))


def crds_established(plane):
    def both():
        found = {}
        for crd in plane.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")["items"]:
            found[crd["metadata"]["name"]] = {c["type"]: c["status"] for c in crd["status"]["conditions"]}
        wanted = [os.path.basename(path)[:-len(".yaml")] + ".quorate.dev" for path in CRDS]
        return all(found.get(name, {}).get("Established") == "True" and
                   "NonStructuralSchema" not in found[name] for name in wanted)
    return wait_for(both, 15)


# ---- definitions and manifests ----

def the_definitions(suite, plane):
    files = [word for path in CRDS for word in ("-f", path)]
    taken = plane.kubectl("apply", "--server-side", "--validate=strict", *files)
    suite.check("kubectl apply of the definitions", taken.code == 0 and "Warning" not in taken.err, taken)
    suite.check("they are established, with a structural schema", crds_established(plane))
    again = plane.kubectl("diff", "--server-side", *files)
    suite.equal("nothing differs from what was applied", (again.code, again.out), (0, ""))
    explained = wait_for(lambda: plane.kubectl("explain", "etcdcluster.spec.replicas").out, 15, 0.5)
    suite.contains("kubectl explain knows the fields", explained or "", "Count of voting members")


def the_manifests(suite, plane):
    plane.kubectl("apply", "--server-side", "-f", os.path.join(MANIFESTS, "namespace.yaml"))
    names = [n for n in sorted(os.listdir(MANIFESTS)) if n.endswith(".yaml") and n != "kustomization.yaml"]
    for name in names:
        taken = plane.kubectl("apply", *STRICT, "-f", os.path.join(MANIFESTS, name))
        suite.check(f"the API server takes {name}", taken.code == 0 and "Warning" not in taken.err, taken)
    applied = plane.kubectl("apply", "--server-side", "--validate=strict", "-k", MANIFESTS)
    suite.check("kubectl apply -k", applied.code == 0, applied)
    pods = wait_for(lambda: plane.get(CORE + "/pods")["items"], 20)
    suite.check("the operator's Pod passes the strictest Pod security", pods,
                plane.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets"))
    plane.kubectl("scale", "deploy", "quorate-operator", "--replicas=0", "-n", NAMESPACE)  # there is no node to run it
    for name in sorted(os.listdir(SAMPLES)):
        taken = plane.kubectl("apply", *STRICT, "-n", NAMESPACE, "-f", os.path.join(SAMPLES, name))
        suite.check(f"the API server takes the sample {name}", taken.code == 0 and "Warning" not in taken.err, taken)


# ---- what is refused ----

def cluster_object(name, **spec):
    return {"apiVersion": "quorate.dev/v1alpha1", "kind": "EtcdCluster",
            "metadata": {"name": name, "namespace": NAMESPACE}, "spec": {"tls": {"mode": "Disabled"}, **spec}}


# A path in the spec, a wrong value, the message that must come.
FORBIDDEN_KEY = {"app.kubernetes.io/name": "x"}
LABELS = "labels under quorate.dev/ and app.kubernetes.io/ are the operator's; use another prefix"
ANNOTATIONS = "annotations under quorate.dev/ and app.kubernetes.io/ are the operator's; use another prefix"
WRONG = [
    ("pod.labels", FORBIDDEN_KEY, LABELS), ("pod.labels", {"quorate.dev/x": "x"}, LABELS),
    ("pod.annotations", FORBIDDEN_KEY, ANNOTATIONS),
    ("services.client.labels", FORBIDDEN_KEY, LABELS), ("services.client.annotations", FORBIDDEN_KEY, ANNOTATIONS),
    ("options.autoCompaction", {"mode": "Revision", "retention": "5m"},
     'mode Revision needs a count of revisions as retention, such as "10000"'),
    ("options.autoCompaction", {"mode": "Periodic", "retention": "10000"},
     'mode Periodic needs a duration as retention, such as "5m"'),
    ("tls", {"mode": "Secrets", "secrets": {"peer": "x"}},
     "mode Secrets needs tls.secrets.peer, tls.secrets.server and tls.secrets.operator, the names of Secrets with "
     "tls.crt, tls.key and ca.crt"),
    ("tls", {"mode": "Auto", "secrets": {"peer": "x"}},
     "tls.secrets is for mode Secrets only; remove it or set tls.mode to Secrets"),
    ("tls.leafLifetime", "long", "spec.tls.leafLifetime"), ("tls.caGeneration", 0, "greater than or equal to 1"),
    ("replicas", 0, "should be greater than or equal to 1"), ("replicas", 10, "should be less than or equal to 9"),
    ("engine", "Zookeeper", 'supported values: "Quorate", "Etcd"'), ("version", "3.5", 'supported values: "3.6"'),
    ("storage.size", "big", "spec.storage.size"), ("storage.reclaimPolicy", "Burn", "supported values"),
    ("options.quotaBackend", "-1", "spec.options.quotaBackend"),
    ("options.snapshotCount", 1, "should be greater than or equal to 100"),
    ("repair.notReadyGracePeriod", "soon", "spec.repair.notReadyGracePeriod"),
    ("image.digest", "sha256:1", "spec.image.digest"), ("progressDeadline", "never", "spec.progressDeadline"),
    ("replicaz", 3, 'unknown field "spec.replicaz"'), ("storage.siez", "1Gi", 'unknown field "spec.storage.siez"'),
]
NAMES = [
    ("x" * 41, "the name is too long for the Services made from it; use at most 40 characters"),
    ("1st", "use lower-case letters, digits and '-' in the name, starting with a letter"),
    ("a.b", "use lower-case letters, digits and '-' in the name, starting with a letter"),
]
# A change of something that is there.
CHANGES = [
    ("storage.size", "1Gi", "storage.size cannot shrink; restore a backup into a new cluster to get smaller volumes"),
    ("storage.storageClassName", "other",
     "storage.storageClassName cannot be changed; restore a backup into a new cluster of the other class"),
    ("storage.storageClassName", None,
     "storage.storageClassName cannot be changed; restore a backup into a new cluster of the other class"),
]
MODE = "spec.tls.mode cannot be changed once the cluster runs; move the data to a new cluster for another mode"
MEMBER = ("ordinal", "a member cannot change its name; delete the EtcdMember to have it replaced")


def with_value(spec, path, value):
    spec = copy.deepcopy(spec)
    at, words = spec, path.split(".")
    for word in words[:-1]:
        at = at.setdefault(word, {})
    if value is None:
        at.pop(words[-1], None)
    else:
        at[words[-1]] = value
    return spec


def the_rules(suite, plane):
    """Each rule of the definitions refuses its object with its message; strict, nothing is stored."""
    url = GROUP + "/etcdclusters?dryRun=All&fieldValidation=Strict"
    spec = cluster_object("x")["spec"]
    said = []

    def refused(behaviour, answer, message):
        status, body = answer
        said.append(message)
        text = body.get("message", "") if isinstance(body, dict) else str(body)
        suite.check(f"refused: {behaviour}", status in (400, 422) and message in text, (status, text))

    for path, value, message in WRONG:
        refused(f"{path} = {json.dumps(value)}",
                plane.request("POST", url, cluster_object("x", **with_value(spec, path, value))), message)
    for name, message in NAMES:
        refused(f"the name {name[:8]}", plane.request("POST", url, cluster_object(name)), message)
    status, made = plane.request("POST", GROUP + "/etcdclusters",
                                 cluster_object("ruled", paused=True, storage={"size": "2Gi", "storageClassName": "a"}))
    suite.equal("a right one is taken", status, 201)
    suite.check("with its defaults", status == 201 and made["spec"]["replicas"] == 3 and
                made["spec"]["repair"]["policy"] == "Replace" and made["spec"]["engine"] == "Quorate", made)
    one = GROUP + "/etcdclusters/ruled"
    for path, value, message in CHANGES:
        changed = plane.get(one)
        changed["spec"] = with_value(changed["spec"], path, value)
        refused(f"{path} becomes {value}", plane.request("PUT", one + "?fieldValidation=Strict", changed), message)
    changed = with_value(plane.get(one), "spec.tls.mode", "Auto")
    suite.equal("the TLS mode of a cluster that never ran may change", plane.request("PUT", one, changed)[0], 200)
    founded = plane.request("PATCH", one + "/status", {"status": {"clusterID": "abc"}}, "application/merge-patch+json")
    suite.equal("a status is taken", founded[0], 200)
    refused("the TLS mode of one that runs", plane.request("PUT", one, with_value(plane.get(one), "spec.tls.mode", "Disabled")),
            MODE)
    grown = plane.get(one)
    grown["spec"]["storage"]["size"] = "3000Mi"
    suite.equal("a volume may grow", plane.request("PUT", one, grown)[0], 200)
    member = {"apiVersion": "quorate.dev/v1alpha1", "kind": "EtcdMember",
              "metadata": {"name": "ruled-0", "namespace": NAMESPACE}, "spec": {"clusterName": "ruled", "ordinal": 0}}
    suite.equal("a member is taken", plane.request("POST", GROUP + "/etcdmembers", member)[0], 201)
    refused("a member with another ordinal",
            plane.request("PATCH", GROUP + "/etcdmembers/ruled-0", {"spec": {MEMBER[0]: 1}},
                          "application/merge-patch+json"), MEMBER[1])
    for path in ("/etcdmembers/ruled-0", "/etcdclusters/ruled"):
        plane.request("DELETE", GROUP + path)
    written = [m for path in CRDS for m in re.findall(r"^\s*message: (\w.*)$", open(path, encoding="utf-8").read(), re.M)]
    suite.equal("every rule has its refused object", sorted(set(written) - set(said)), [])


# ---- rights ----

def the_rights(suite, plane):
    """All that the operator's account may do, in its namespace and elsewhere, against the list that is kept."""
    lines = []
    for title, where in (("in its namespace", NAMESPACE), ("in another namespace", "default")):
        listed = plane.kubectl("auth", "can-i", "--list", f"--as={ACCOUNT}", "--as-group=system:serviceaccounts",
                               "--as-group=system:authenticated", "-n", where)
        # Paths that are no resources are open to every account.
        lines += [f"# {title}"] + sorted({" ".join(line.split()) for line in listed.lines()[1:] if line[0] != " "})
    text = "\n".join(lines) + "\n"
    with open(RIGHTS, encoding="utf-8") as file:
        kept = file.read()
    suite.equal("the operator may do what the list says and no more", text, kept)
    for what in (("list", "secrets"), ("watch", "secrets"), ("delete", "secrets"), ("create", "pods", "--subresource=exec"), ("get", "configmaps"), ("create", "serviceaccounts", "--subresource=token"),
                 ("list", "pods", "-A"), ("delete", "services"), ("create", "rolebindings"), ("delete", "etcdclusters")):
        space = () if "-A" in what else ("-n", NAMESPACE)
        answer = plane.kubectl("auth", "can-i", *what, *space, f"--as={ACCOUNT}")
        suite.equal(f"it may not {' '.join(what)}", answer.out.strip(), "no")


# ---- the operator ----

class Operator:
    """quorate-operator with the token of its ServiceAccount and nothing else."""

    def __init__(self, suite, plane):
        self.plane, self.metrics = plane, f"127.0.0.1:{free_port()}"
        token = plane.kubectl("create", "token", "quorate-operator", "-n", NAMESPACE, "--duration=1h")
        self.config = plane.kubeconfig("operator", token_file=plane.write("token", token.out.strip()),
                                       namespace=NAMESPACE)
        self.log_path = os.path.join(suite.dir, f"operator-{free_port()}.log")
        self.process = None

    def start(self):
        env = {"PATH": os.environ.get("PATH", ""), "HOME": self.plane.dir}
        self.process = Process("quorate-operator", [
            os.path.join(BIN, "quorate-operator"), f"--kubeconfig={self.config}", f"--namespace={NAMESPACE}",
            "--leader-elect=true", f"--metrics-address={self.metrics}", "--resync=2s", "--log-level=debug"],
            self.log_path, env)
        return self

    def is_ready(self):
        return http("GET", f"http://{self.metrics}/readyz", timeout=2)[0] == 200


def names(plane, path, cluster):
    items = plane.get(path).get("items", [])
    return sorted(o["metadata"]["name"] for o in items if o["metadata"].get("labels", {}).get("quorate.dev/cluster")
                  == cluster)


def owned(plane, cluster):
    return {kind: names(plane, path, cluster) for kind, path in (
        ("members", GROUP + "/etcdmembers"), ("pods", CORE + "/pods"), ("volumes", CORE + "/persistentvolumeclaims"),
        ("services", CORE + "/services"), ("budgets", f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets"))}


ODD = {"replicas": 1, "tls": {"mode": "Auto", "serverNames": ["odd.example.org"]},
       "storage": {"size": "1024Mi", "storageClassName": "slow"},
       "availability": {"spread": {"host": "Required", "zone": "Off"}},
       "services": {"client": {"annotations": {"team": "a"}, "labels": {"team": "a"}, "type": "NodePort"}},
       "pod": {"resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}, "limits": {"memory": "2048Mi"}},
               "nodeSelector": {"disk": "ssd"}, "labels": {"team": "a"}, "annotations": {"note": "a"},
               "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}],
               "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                   {"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}]}},
               "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable":
                                              "ScheduleAnyway", "labelSelector": {"matchLabels": {"a": "b"}}}]}}


def the_operator(suite, plane):
    operator = Operator(suite, plane).start()
    try:
        suite.check("the operator is ready", wait_for(operator.is_ready, 20), operator.process.log()[-800:])
        holder = plane.get(f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/quorate-operator")
        suite.check("it holds the Lease", holder.get("spec", {}).get("holderIdentity"), holder)
        applied = plane.kubectl("apply", "-n", NAMESPACE, "-f", os.path.join(SAMPLES, "demo.yaml"))
        suite.check("kubectl apply of the sample", applied.code == 0, applied)
        suite.equal("a cluster with all that can be given",
                    plane.request("POST", GROUP + "/etcdclusters", cluster_object("odd", **ODD))[0], 201)
        for cluster in ("demo", "odd"):
            founds_one_member(suite, plane, operator, cluster)
        the_status(suite, plane)
        at_rest(suite, plane, operator)
        changes_in_the_spec(suite, plane)
        reads_nodes_when_it_may(suite, plane, operator)
        goes_with_its_cluster(suite, plane)
        no_call_was_refused(suite, plane, operator)
    finally:
        code = operator.process.stop()
    suite.equal("it ends when it is told to", code, 0)


def founds_one_member(suite, plane, operator, cluster):
    wanted = {"members": [f"{cluster}-0"], "pods": [f"{cluster}-0"], "volumes": [f"data-{cluster}-0"],
              "services": [f"{cluster}-client", f"{cluster}-peers"], "budgets": [cluster]}
    if not wait_for(lambda: owned(plane, cluster) == wanted, 20, 0.2):
        suite.check(f"{cluster}: a seed and what belongs to it", False,
                    (owned(plane, cluster), operator.process.log()[-800:]))
        return
    suite.check(f"{cluster}: a seed and what belongs to it", True)
    pod = plane.get(f"{CORE}/pods/{cluster}-0")
    suite.check(f"{cluster}: its Pod waits for a node", pod["status"]["phase"] == "Pending" and
                "nodeName" not in pod["spec"], pod["status"])
    owner = plane.get(f"{GROUP}/etcdclusters/{cluster}")["metadata"]
    for path in (f"{CORE}/pods/{cluster}-0", f"{CORE}/services/{cluster}-client", f"{GROUP}/etcdmembers/{cluster}-0"):
        references = plane.get(path)["metadata"].get("ownerReferences", [])
        suite.check(f"{path.split('/')[-1]} belongs to its cluster", len(references) == 1 and
                    references[0]["uid"] == owner["uid"] and references[0]["controller"], references)


def the_status(suite, plane):
    def published():
        cluster = plane.get(f"{GROUP}/etcdclusters/demo")
        status = cluster.get("status", {})
        return cluster if status.get("observedGeneration") == cluster["metadata"]["generation"] else None
    cluster = wait_for(published, 15)
    suite.check("the status is of this generation", cluster, plane.get(f"{GROUP}/etcdclusters/demo"))
    status = (cluster or {}).get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions", [])}
    suite.check("each condition has a reason and a message", conditions and all(
        re.fullmatch("[A-Z][A-Za-z]+", c["reason"]) and c["message"] and c["observedGeneration"] == 1
        for c in conditions.values()), conditions)
    suite.equal("it says what a cluster without a node is", {kind: conditions.get(kind, {}).get("status") for kind in (
        "Ready", "Available", "Reconciling", "Stalled")},
        {"Ready": "Unknown", "Available": "False", "Reconciling": "True", "Stalled": "False"})
    wait = plane.kubectl("wait", "--for=condition=Available=False", "etcdcluster/demo", "-n", NAMESPACE, "--timeout=5s")
    suite.equal("kubectl wait understands it", wait.code, 0)
    columns = plane.kubectl("get", "etcdclusters", "-n", NAMESPACE).lines()
    suite.check("kubectl get shows its columns", columns[0].split() == [
        "NAME", "READY", "AVAILABLE", "LEADER", "VERSION", "DB", "PHASE", "AGE"] and "0/3" in columns[1], columns)
    events = [e for e in plane.get(f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events")["items"]
              if e.get("regarding", {}).get("kind") == "EtcdCluster"]
    suite.check("Events tell of it", events and all(e["reason"] and e["note"] and e["reportingController"] and e["action"]
                                                    for e in events), events)
    shown = plane.kubectl("describe", "etcdcluster", "demo", "-n", NAMESPACE).out
    suite.check("kubectl describe shows them", "Events:" in shown and "<none>" not in shown.split("Events:")[-1], shown)


def writes(plane, since):
    """What the operator wrote, its Lease left out."""
    return [(e["verb"], e["requestURI"], e["responseStatus"]["code"]) for e in plane.audit(ACCOUNT, since)
            if e["verb"] in WRITES and e["objectRef"]["resource"] != "leases"]


def at_rest(suite, plane, operator):
    """Nothing changes, so nothing is written, though everything is looked at again and again."""
    time.sleep(4)
    since = time.time()
    time.sleep(REST_SECONDS)
    suite.equal(f"no write in {REST_SECONDS} s of rest", writes(plane, since), [])
    read = [e["requestURI"] for e in plane.audit(ACCOUNT, since) if e["verb"] in ("get", "list")
            and e["objectRef"]["resource"] not in ("leases", "secrets")]  # those are read by name, now and then
    suite.equal("and no read beside the watches", read, [])
    operator.process.stop()
    since = time.time()
    operator.start()
    suite.check("started again, it is ready", wait_for(operator.is_ready, 20), operator.process.log()[-800:])
    time.sleep(5)
    suite.equal("and writes nothing", writes(plane, since), [])


def changes_in_the_spec(suite, plane):
    scaled = plane.kubectl("scale", "etcdcluster", "odd", "--replicas=3", "-n", NAMESPACE)
    suite.check("kubectl scale", scaled.code == 0 and plane.get(f"{GROUP}/etcdclusters/odd")["spec"]["replicas"] == 3,
                scaled)
    plane.request("PATCH", f"{GROUP}/etcdclusters/odd", {"spec": {
        "services": {"client": {"type": "ClusterIP", "annotations": {"team": "b"}}},
        "availability": {"podDisruptionBudget": "Off"}}}, "application/merge-patch+json")

    def changed():
        service = plane.get(f"{CORE}/services/odd-client")
        return service["spec"]["type"] == "ClusterIP" and service["metadata"]["annotations"].get("team") == "b"
    suite.check("the Service follows the spec", wait_for(changed, 15), plane.get(f"{CORE}/services/odd-client"))
    suite.check("the budget goes", wait_for(lambda: owned(plane, "odd")["budgets"] == [], 15), owned(plane, "odd"))
    plane.request("DELETE", f"{CORE}/services/odd-client")
    suite.check("a deleted Service comes back", wait_for(lambda: "odd-client" in owned(plane, "odd")["services"], 15))


def reads_nodes_when_it_may(suite, plane, operator):
    for name in ("clusterrole-nodes.yaml", "clusterrolebinding-nodes.yaml"):
        plane.kubectl("apply", "-f", os.path.join(MANIFESTS, name))
    operator.process.stop()
    operator.start()

    def seen():
        return [e for e in plane.audit(ACCOUNT) if e["requestURI"].startswith("/api/v1/nodes")
                and e["responseStatus"]["code"] == 200]
    suite.check("with the optional right it reads Nodes", wait_for(seen, 15, 0.3))


def no_call_was_refused(suite, plane, operator):
    calls = plane.audit(ACCOUNT)
    suite.check("the audit log has the operator's calls", len(calls) > 20, len(calls))
    bad = [(e["verb"], e["requestURI"], e["responseStatus"]["code"], e["responseStatus"].get("message"))
           for e in calls if e["responseStatus"]["code"] >= 400 and e["responseStatus"]["code"] not in (404, 409)]
    nodes = [call for call in bad if call[1].startswith("/api/v1/nodes")]
    suite.equal("no call of the operator was refused", [call for call in bad if call not in nodes], [])
    suite.check("but the one for Nodes, an optional right, once in each life", len(nodes) <= 2, nodes)
    suite.check("its log speaks of nothing else", all('"kind":"Node"' in line for line in operator.process.log().lower()
                .replace('"kind":"node"', '"kind":"Node"').splitlines() if "forbidden" in line or
                "table of rights" in line), operator.process.log()[-800:])
    server = [(labels, value) for labels, value in plane.metric("apiserver_request_total") if 'code="403"' in labels
              and 'group="quorate.dev"' in labels]
    suite.equal("nor does the API server count one", server, [])


def goes_with_its_cluster(suite, plane):
    for cluster in ("demo", "odd"):
        gone = plane.kubectl("delete", "etcdcluster", cluster, "-n", NAMESPACE, "--timeout=60s")
        suite.check(f"kubectl delete of {cluster} returns", gone.code == 0, gone)
        empty = {kind: [] for kind in owned(plane, cluster)}
        suite.check(f"nothing of {cluster} is left", wait_for(lambda: owned(plane, cluster) == empty, 40, 0.3),
                    owned(plane, cluster))


PARTS = [the_chart, the_definitions, the_manifests, the_rules, the_rights, the_operator]


def with_store(suite, store):
    plane = ControlPlane(suite, [store.start().client])
    try:
        plane.start()
        for part in PARTS:
            try:
                part(suite, plane)
            except Exception as error:  # a broken part must not hide the others
                suite.check(part.__name__, False, f"{type(error).__name__}: {error}")
    finally:
        plane.stop()


def on_the_engine(suite):
    with_store(suite, Member(suite, "engine"))


def on_etcd(suite):
    with_store(suite, EtcdMember(suite, "etcd"))


if __name__ == "__main__":
    sys.exit(Suite("real-kube").run([on_the_engine, on_etcd]))
