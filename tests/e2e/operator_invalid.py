#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a person can write wrong in an EtcdCluster, and what they are told.

The schema refuses each kind of wrong value in each field with 422 and the field's name. What only the operator can
judge ends as a condition that names the field and the way out; nothing is made for it, and after the correction it
goes on."""
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from operatorworld import CORE, GROUP, Cluster, expect, main, say  # noqa: E402

CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/etcdclusters.quorate.dev"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
QUIET_SECONDS = 5
SAMPLES = {"string": "text", "integer": 7, "boolean": True, "array": [], "object": {}}
NO_PATTERN_TAKES = "not so: \x7f"


def right_value(schema):
    """A value that the schema takes, as the ground on which one thing is made wrong."""
    kind = schema["type"]
    if "default" in schema and kind != "object":
        return schema["default"]
    if "enum" in schema:
        return schema["enum"][0]
    if kind == "integer":
        return schema.get("minimum", 1)
    if kind == "object":
        return {name: right_value(schema["properties"][name]) for name in schema.get("required", [])}
    return SAMPLES[kind]


def wrong_values(schema):
    """Each kind of wrong value with what it is; a path below the field where the fault is named, if there is one."""
    kind = schema["type"]
    for other, value in SAMPLES.items():
        if other != kind:
            yield f"{other} instead of {kind}", value, ""
    yield f"fraction instead of {kind}", 1.5, ""
    if "enum" in schema:
        yield "not in the list", "Nonsense", ""
        if schema["enum"][0].swapcase() not in schema["enum"]:
            yield "wrong case", schema["enum"][0].swapcase(), ""
        yield "empty", "", ""
    if "minimum" in schema:
        yield "below the minimum", schema["minimum"] - 1, ""
        yield "negative", -1, ""
    if "maximum" in schema:
        yield "above the maximum", schema["maximum"] + 1, ""
    if "pattern" in schema:
        yield "against the pattern", NO_PATTERN_TAKES, ""
    if "maxLength" in schema:
        yield "too long", "x" * (schema["maxLength"] + 1), ""
    if "maxProperties" in schema:
        yield "too many entries", {f"key{i}": "v" for i in range(schema["maxProperties"] + 1)}, ""
    if "additionalProperties" in schema:
        yield "an entry of the wrong type", {"key": 5}, ".key"
    if "maxItems" in schema:
        item = right_value(schema["items"])
        rows = [f"n{i}" if isinstance(item, str) else {**item, **({"name": f"n{i}"} if "name" in item else {})}
                for i in range(schema["maxItems"] + 1)]
        yield "too many items", rows, ""
    if kind == "array":
        yield "an item of the wrong type", [5 if schema["items"]["type"] == "string" else "text"], "[0]"
        item = schema["items"]
        for name in item.get("required", []):
            yield f"an item without {name}", [{}], f"[0].{name}"
            yield f"an item with a wrong {name}", [{name: 5}], f"[0].{name}"
        for key in schema.get("x-kubernetes-list-map-keys", []):
            yield "the same item twice", [{key: "a"}, {key: "a"}], "[1]"


def fields(schema, path):
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from fields(child, path + [name])


def nest(path, value):
    for name in reversed(path):
        value = {name: value}
    return value


def the_schema_refuses_each_wrong_value_and_names_its_field(world):
    versions = world.get(CRD)["spec"]["versions"]
    spec = versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    count = 0
    names = set()
    for path, schema in fields(spec, []):
        name = ".".join(["spec"] + path)
        names.add(name)
        for what, value, below in wrong_values(schema):
            count += 1
            status, answer = world.request("POST", GROUP + "/etcdclusters", {
                "apiVersion": "quorate.dev/v1alpha1", "kind": "EtcdCluster",
                "metadata": {"name": f"wrong-{count}"}, "spec": nest(path, value)})
            causes = [c.get("field") for c in (answer.get("details") or {}).get("causes", [])]
            expect(status == 422, f"{name}, {what}: {status}, not 422: {str(answer)[:300]}")
            expect(name + below in causes and name + below in answer["message"],
                   f"{name}, {what}: the answer names {causes}: {answer['message'][:300]}")
    expect(not world.items(GROUP + "/etcdclusters"), "a refused cluster was stored")
    say(f"  {count} wrong values in {len(names)} fields, each refused with 422 and its field")


def a_typo_in_a_field_is_told(world):
    manifest = ("apiVersion: quorate.dev/v1alpha1\nkind: EtcdCluster\nmetadata: {name: typo}\n"
                "spec: {replcas: 3, tls: {mode: Disabled}}\n")
    code, text = world.kubectl("apply", "-f", "-", stdin=manifest)
    expect(code != 0 and "replcas" in text, f"kubectl took a field that does not exist: {text}")
    say(f"  {text.strip()}")


# What the schema takes and the operator refuses: the spec, the field named, the reason.
REFUSED = [
    ({"tls": {"leafLifetime": "1s"}}, "spec.tls.leafLifetime", "InvalidSpec"),
    ({"tls": {"mode": "Secrets"}}, "spec.tls.secrets.peer", "InvalidSpec"),
    ({"tls": {"caLifetime": "1000h"}}, "spec.tls.caLifetime", "InvalidSpec"),
    ({"tls": {"serverNames": ["not a name"]}}, "spec.tls.serverNames", "InvalidSpec"),
    ({"engine": "Etcd"}, "spec.engine", "EngineNotSupported"),
    ({"storage": {"size": "1Mi"}}, "spec.storage.size", "InvalidSpec"),
    ({"storage": {"size": "0"}}, "spec.storage.size", "InvalidSpec"),
    ({"storage": {"size": "99999999999999999999Ti"}}, "spec.storage.size", "InvalidSpec"),
    ({"storage": {"size": "1Gi"}, "options": {"quotaBackend": "2Gi"}}, "spec.options.quotaBackend", "InvalidSpec"),
    ({"options": {"quotaBackend": "1"}}, "spec.options.quotaBackend", "InvalidSpec"),
    ({"options": {"autoCompaction": {"mode": "Revision", "retention": "5m"}}},
     "spec.options.autoCompaction.retention", "InvalidSpec"),
    ({"options": {"autoCompaction": {"mode": "Periodic", "retention": "10000"}}},
     "spec.options.autoCompaction.retention", "InvalidSpec"),
    ({"repair": {"notReadyGracePeriod": "0s"}}, "spec.repair.notReadyGracePeriod", "InvalidSpec"),
    ({"repair": {"nodeLostGracePeriod": "1ms"}}, "spec.repair.nodeLostGracePeriod", "InvalidSpec"),
    ({"repair": {"learnerPromoteTimeout": "1s"}}, "spec.repair.learnerPromoteTimeout", "InvalidSpec"),
    ({"repair": {"nodeLostGracePeriod": "9999999h"}}, "spec.repair.nodeLostGracePeriod", "InvalidSpec"),
    ({"progressDeadline": "1s"}, "spec.progressDeadline", "InvalidSpec"),
    ({"pod": {"labels": {"quorate.dev/cluster": "other"}}}, "spec.pod.labels", "InvalidSpec"),
    ({"pod": {"annotations": {"quorate.dev/x": "y"}}}, "spec.pod.annotations", "InvalidSpec"),
    ({"services": {"client": {"labels": {"app.kubernetes.io/name": "x"}}}}, "spec.services.client.labels",
     "InvalidSpec"),
    ({"services": {"client": {"annotations": {"quorate.dev/x": "y"}}}}, "spec.services.client.annotations",
     "InvalidSpec"),
]
BAD_NAMES = ["n" * 41, "1st", "dotted.name"]
WAY_OUT = re.compile(r"\b(set|write|use|needs|remove|lower|create)\b")


def post(world, name, spec):
    body = {"apiVersion": "quorate.dev/v1alpha1", "kind": "EtcdCluster", "metadata": {"name": name, "namespace": "default"},
            "spec": {"replicas": 1, "tls": {"mode": "Disabled"}, **spec}}
    status, answer = world.request("POST", GROUP + "/etcdclusters", body)
    expect(status == 201, f"{name}: {status} {str(answer)[:300]}")
    return Cluster(world, name)


def is_refused(cluster, field, reason):
    """The condition that tells it, or None while there is none."""
    found = cluster.object()
    rows = {c["type"]: c for c in found.get("status", {}).get("conditions", [])}
    if rows.get("Stalled", {}).get("status") != "True":
        return None
    for kind, status in (("Stalled", "True"), ("Ready", "False")):
        row = rows[kind]
        told = row["status"] == status and row["reason"] == reason and field in row["message"]
        expect(told, f"{cluster.name}: {kind} does not name {field}: {row}")
        expect(WAY_OUT.search(row["message"].replace(field, "")), f"no way out is told: {row['message']}")
    expect(rows["Reconciling"]["status"] == "False", "it says that it works on it")
    expect(found["status"]["observedGeneration"] == found["metadata"]["generation"], "an old generation was judged")
    expect(len(found["status"]["phase"]) <= 80, f"the column PHASE is {len(found['status']['phase'])} characters wide")
    return rows["Stalled"]["message"]


def parts(cluster):
    return [name for path in (CORE + "/pods", CORE + "/services", CORE + "/persistentvolumeclaims", BUDGETS,
                              GROUP + "/etcdmembers") for name in cluster.owned(path)]


def what_only_the_operator_can_judge_is_a_condition(world):
    world.operator_start()
    rows = [(post(world, f"refused-{i}", spec), field, reason) for i, (spec, field, reason) in enumerate(REFUSED)]
    rows += [(post(world, name, {}), "metadata.name", "InvalidSpec") for name in BAD_NAMES]
    for cluster, field, reason in rows:
        message = world.wait(lambda: is_refused(cluster, field, reason), 20, f"{cluster.name} ({field}) is refused")
        say(f"  {message}")
        reasons = [e["reason"] for e in cluster.events()]
        expect(reasons == [reason], f"{cluster.name}: events {reasons}, not one {reason}")
    time.sleep(QUIET_SECONDS)
    for cluster, _, _ in rows:
        expect(not parts(cluster), f"made for an invalid cluster: {parts(cluster)}")
    writes = world.writes()
    time.sleep(QUIET_SECONDS)
    expect(world.writes() == writes, "the operator goes on writing about clusters that nobody has changed")
    corrected = [(0, {"tls": {"leafLifetime": None}}), (10, {"options": {"autoCompaction": {"retention": "10000"}}}),
                 (17, {"pod": {"labels": None}})]
    for i, _ in corrected:
        rows[i][0].patch(dict(corrected)[i])
    for i, _ in corrected:
        rows[i][0].wait_settled(1, 60)
        expect(rows[i][0].condition("Stalled") == "False", "it is still Stalled")
    say(f"  {len(rows)} refused with nothing made; {len(corrected)} corrected, and they serve")
    for cluster, _, _ in rows:
        cluster.delete()
    for cluster, _, _ in rows:
        world.wait(cluster.gone, 60, f"{cluster.name} is gone")
    world.operator_stop()


def a_running_cluster_lives_through_a_wrong_change(world):
    world.operator_start()
    cluster = Cluster(world, "live")
    cluster.create(1)
    names = cluster.wait_settled(1)
    uids = [p["metadata"]["uid"] for p in world.items(CORE + "/pods")]
    cluster.patch({"engine": "Etcd", "replicas": 3})
    world.wait(lambda: is_refused(cluster, "spec.engine", "EngineNotSupported"), 20, "the change is refused")
    time.sleep(QUIET_SECONDS)
    expect([p["metadata"]["uid"] for p in world.items(CORE + "/pods")] == uids, "its Pods were touched")
    expect(cluster.condition("Available") == "True", "it says that it does not serve")
    cluster.patch({"engine": "Quorate"})
    grown = cluster.wait_settled(3)
    expect(set(names) <= set(grown), f"from {names} to {grown}")
    cluster.delete_and_wait()
    world.operator_stop()


if __name__ == "__main__":
    sys.exit(main([the_schema_refuses_each_wrong_value_and_names_its_field, a_typo_in_a_field_is_told,
                   what_only_the_operator_can_judge_is_a_condition, a_running_cluster_lives_through_a_wrong_change]))
