#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pods on the playground, from outside: sh and python3 as images, volumes, probes, restarts, lost nodes, logs.

Loopback only, any free port; every process that it started is ended by its process id."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

BUILD = os.environ.get("QUORATE_BUILD", "build")
PROGRAM = os.path.join(BUILD, "bin/quorate-playground")
CORE = "/api/v1/namespaces/default"


class Failed(Exception):
    pass


def check(condition, what):
    if not condition:
        raise Failed(what)


class Playground:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="quorate-pods-")
        self.state = os.path.join(self.dir, "state")
        self.process = None
        self.start()

    def start(self, nodes=3):
        self.log = open(os.path.join(self.dir, "log"), "a", encoding="utf-8")
        config = os.path.join(self.dir, "kubeconfig")
        if os.path.exists(config):
            os.unlink(config)
        self.process = subprocess.Popen(
            [PROGRAM, "up", "--dir", self.state, "--kubeconfig", config, "--port", "0", "--nodes", str(nodes),
             "--image", "shell=/bin/sh", "--image", f"python={sys.executable}"], stdout=self.log, stderr=self.log)
        self.wait(lambda: os.path.exists(config) and os.path.exists(os.path.join(self.state, "port")), "it starts")
        with open(os.path.join(self.state, "port"), encoding="utf-8") as file:
            self.url = "http://127.0.0.1:" + file.read().strip()
        with open(os.path.join(self.state, "token"), encoding="utf-8") as file:
            self.token = file.read().strip()
        self.wait(lambda: self.get("/api/v1/nodes").get("items"), "it answers")

    def stop(self, number=signal.SIGTERM):
        if self.process:
            self.process.send_signal(number)
            code = self.process.wait(30)
            self.log.close()
            self.process = None
            check(code == 0 or number != signal.SIGTERM, f"it ended with {code}, see {self.dir}/log")

    def wait(self, done, what, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Failed(f"the playground ended with {self.process.returncode} before: {what}")
            try:
                result = done()
            except (ConnectionError, urllib.error.URLError):
                result = None
            if result:
                return result
            time.sleep(0.05)
        raise Failed(f"not in {seconds} s: {what}")

    def request(self, method, path, body=None, kind="application/json", raw=False):
        request = urllib.request.Request(
            self.url + path, method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": "Bearer " + self.token, "Content-Type": kind, "Accept": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            text = error.read()
        return text.decode() if raw else json.loads(text or b"{}")

    def get(self, path):
        return self.request("GET", path)

    def command(self, *words, ok=True):
        done = subprocess.run([PROGRAM, *words, "--dir", self.state], capture_output=True, text=True,
                              timeout=30, check=False)
        check((done.returncode == 0) == ok, f"{words}: {done.returncode} {done.stdout} {done.stderr}")
        return done.stdout

    def inside(self, *words):
        return subprocess.run([PROGRAM, "exec-env", "--dir", self.state, "--", *words], capture_output=True, text=True,
                              timeout=30, check=False).stdout

    def pod(self, name, script=None, **spec):
        container = spec.pop("container", {})
        container = {"name": "main", "image": "shell:1", **container}
        if script is not None:
            container["command"] = ["sh", "-c", script]
        labels = spec.pop("labels", {})
        body = {"metadata": {"name": name, "labels": labels},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **spec}}
        answer = self.request("POST", CORE + "/pods", body)
        check(answer.get("kind") == "Pod", f"create {name}: {answer}")

    def seen(self, name):
        return self.get(f"{CORE}/pods/{name}")

    def status(self, name):
        return self.seen(name).get("status", {})

    def container(self, name):
        return (self.status(name).get("containerStatuses") or [{}])[0]

    def condition(self, name, kind="Ready"):
        for row in self.status(name).get("conditions", []):
            if row["type"] == kind:
                return row["status"]
        return None

    def is_ready(self, name):
        return self.condition(name) == "True"

    def logs(self, name, query=""):
        return self.request("GET", f"{CORE}/pods/{name}/log?{query}", raw=True)

    def delete(self, name):
        self.request("DELETE", f"{CORE}/pods/{name}")
        self.wait(lambda: self.seen(name).get("code") == 404, f"{name} is gone")

    def claim(self, name):
        self.request("POST", CORE + "/persistentvolumeclaims", {
            "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})

    def events(self, name):
        return [e["reason"] for e in self.get(CORE + "/events")["items"] if e["involvedObject"]["name"] == name]


def with_claim(name):
    return {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": name}}],
            "container": {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}}


def a_pod_runs_to_its_end(play):
    play.pod("once", "echo hello; exit 0", restartPolicy="Never")
    play.pod("bad", "exit 65", restartPolicy="Never")
    play.wait(lambda: play.status("once").get("phase") == "Succeeded", "once succeeds")
    play.wait(lambda: play.status("bad").get("phase") == "Failed", "bad fails")
    check(play.logs("once") == "hello\n", "the log")
    ended = play.container("bad")["state"]["terminated"]
    check(ended["exitCode"] == 65 and ended["reason"] == "Error", f"the exit: {ended}")
    check({"Scheduled", "Started"} <= set(play.events("once")), f"events: {play.events('once')}")
    play.delete("once")
    play.delete("bad")


def a_volume_outlives_its_pod_and_its_container(play):
    play.claim("keep")
    play.pod("writer", "date +%N >> /data/lives; wc -l < /data/lives; sleep 0.1; [ $(wc -l < /data/lives) -gt 1 ] && exec sleep 1000",
             **with_claim("keep"))
    play.wait(lambda: play.container("writer").get("restartCount") == 1 and "running" in play.container("writer")["state"],
              "the second life")
    play.wait(lambda: play.logs("writer").strip() == "2", "the second life finds the first one's line")
    check(play.logs("writer", "previous=true").strip() == "1", "the log of the first life")
    node = play.seen("writer")["spec"]["nodeName"]
    play.delete("writer")
    play.pod("reader", "wc -l < /data/lives; exec sleep 1000", **with_claim("keep"))
    play.wait(lambda: play.logs("reader").strip() == "2", "another Pod finds both lines")
    check(play.seen("reader")["spec"]["nodeName"] == node, "the Pod is where its volume is")
    play.delete("reader")
    play.request("DELETE", CORE + "/persistentvolumeclaims/keep")
    volumes = os.path.join(play.state, "volumes")
    play.wait(lambda: not os.listdir(volumes), "the folder of the deleted claim is gone")


def a_crashing_container_backs_off(play):
    play.pod("crash", "echo life; exit 3")
    play.wait(lambda: play.container("crash").get("restartCount", 0) >= 2, "two restarts")
    row = play.wait(lambda: "waiting" in play.container("crash")["state"] and play.container("crash"), "it waits")
    check(row["state"]["waiting"]["reason"] == "CrashLoopBackOff", f"the reason: {row}")
    check(row["lastState"]["terminated"]["exitCode"] == 3, f"the last exit: {row}")
    check("BackOff" in play.events("crash"), "the event")
    play.delete("crash")


def init_containers_come_first(play):
    volumes = [{"name": "share", "emptyDir": {}}]
    mount = [{"name": "share", "mountPath": "/share"}]
    init = [{"name": name, "image": "shell", "command": ["sh", "-c", f"echo {name} >> /share/order"], "volumeMounts": mount}
            for name in ("one", "two")]
    play.pod("ordered", "cat /share/order; exec sleep 1000", volumes=volumes, initContainers=init,
             container={"volumeMounts": mount})
    play.wait(lambda: play.is_ready("ordered"), "it is ready")
    play.wait(lambda: play.logs("ordered") == "one\ntwo\n", "the order")
    play.delete("ordered")


def the_environment_is_that_of_the_pod(play):
    play.request("POST", CORE + "/configmaps", {"metadata": {"name": "conf"}, "data": {"color": "blue", "file.txt": "text"}})
    play.request("POST", CORE + "/secrets", {"metadata": {"name": "secret"}, "data": {"key": "czNjcjN0"}})
    env = [{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
           {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
           {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "color"}}},
           {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "key"}}},
           {"name": "BOTH", "value": "$(NAME)/$(COLOR)"}]
    mounts = [{"name": "conf", "mountPath": "/etc/conf"}, {"name": "secret", "mountPath": "/etc/secret"}]
    play.pod("env", "echo $BOTH $KEY $(cat /etc/conf/file.txt) $(cat /etc/secret/key) $IP", restartPolicy="Never",
             volumes=[{"name": "conf", "configMap": {"name": "conf"}}, {"name": "secret", "secret": {"secretName": "secret"}}],
             container={"env": env, "volumeMounts": mounts})
    play.wait(lambda: play.status("env").get("phase") == "Succeeded", "it ends")
    check(play.logs("env").strip() == f"env/blue s3cr3t text s3cr3t {play.status('env')['podIP']}", play.logs("env"))
    play.pod("lacking", "true", container={"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "no", "key": "k"}}}]})
    play.wait(lambda: play.container("lacking").get("state", {}).get("waiting", {}).get("reason") ==
              "CreateContainerConfigError", "a missing Secret is told")
    play.delete("env")
    play.delete("lacking")


SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if os.path.exists(sys.argv[2]) else 503)
        self.end_headers()
        self.wfile.write(sys.argv[3].encode())
    def log_message(self, *args):
        pass
host, port = sys.argv[1].split(":")
http.server.ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
"""


def server(play, name, **container):
    play.pod(name, labels={"app": "web"}, hostname=name, subdomain="web", volumes=[{"name": "run", "emptyDir": {}}],
             container={"image": "python:3", "args": ["-c", SERVER, "0.0.0.0:8080", "/run/app/ready", name],
                        "volumeMounts": [{"name": "run", "mountPath": "/run/app"}],
                        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1},
                        **container})


def set_ready(play, name, is_ready):
    path = os.path.join(play.state, "pods", play.seen(name)["metadata"]["uid"], "volumes/run/ready")
    if is_ready:
        with open(path, "w", encoding="utf-8"):
            pass
    else:
        os.unlink(path)


def names_lead_to_ready_pods(play):
    for name, headless in (("web", True), ("front", False)):
        spec = {"selector": {"app": "web"}, "ports": [{"port": 8080}]}
        if headless:
            spec.update(clusterIP="None", publishNotReadyAddresses=True)
        play.request("POST", CORE + "/services", {"metadata": {"name": name}, "spec": spec})
    for name in ("w-0", "w-1"):
        server(play, name)
        play.wait(lambda name=name: play.container(name).get("state", {}).get("running"), "it runs")
    fetch = "import urllib.request,sys; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"
    check(play.inside("getent", "hosts", "w-1.web.default.svc").split()[0] == play.status("w-1")["podIP"],
          "a Pod that is not ready has a name by its headless Service")
    check(play.inside("getent", "ahosts", "front.default.svc") == "", "a Service without ready Pods has no address")
    set_ready(play, "w-1", True)
    play.wait(lambda: play.is_ready("w-1"), "w-1 is ready")
    url = "http://front.default.svc:8080/"
    play.wait(lambda: play.inside(sys.executable, "-c", fetch, url).strip() == "w-1", "the Service leads to w-1")
    set_ready(play, "w-0", True)
    play.wait(lambda: play.is_ready("w-0"), "w-0 is ready")
    set_ready(play, "w-1", False)
    play.wait(lambda: play.inside(sys.executable, "-c", fetch, url).strip() == "w-0", "then to w-0 alone")
    check("Unhealthy" in play.events("w-1"), "the failed probe is told")
    play.delete("w-0")
    play.delete("w-1")
    play.wait(lambda: play.inside("getent", "hosts", "w-1.web.default.svc") == "", "a Pod that is gone has no name")


def a_failed_liveness_probe_restarts(play):
    play.pod("sick", "trap 'exit 7' TERM; touch /run/app/alive; while :; do sleep 0.05; done",
             volumes=[{"name": "run", "emptyDir": {}}],
             container={"volumeMounts": [{"name": "run", "mountPath": "/run/app"}],
                        "livenessProbe": {"exec": {"command": ["test", "-e", "/run/app/alive"]}, "periodSeconds": 1,
                                          "failureThreshold": 2, "initialDelaySeconds": 1}})
    play.wait(lambda: play.is_ready("sick"), "it runs")
    time.sleep(2.5)
    check(play.container("sick")["restartCount"] == 0, "a good probe leaves it alone")
    os.unlink(os.path.join(play.state, "pods", play.seen("sick")["metadata"]["uid"], "volumes/run/alive"))
    play.wait(lambda: play.container("sick")["restartCount"] == 1, "it is started again")
    check(play.container("sick")["lastState"]["terminated"]["exitCode"] == 7, "it was asked to end")
    check({"Unhealthy", "Killing"} <= set(play.events("sick")), "the events")
    play.delete("sick")


def a_lost_node_takes_its_pods_down_and_back(play):
    play.claim("local")
    spec = with_claim("local")
    play.pod("held", "echo up >> /data/ups; exec sleep 1000", **spec)
    play.wait(lambda: play.is_ready("held"), "it runs")
    node = play.seen("held")["spec"]["nodeName"]
    play.command("node", "lose", node)

    def is_node_ready():
        rows = play.get(f"/api/v1/nodes/{node}")["status"]["conditions"]
        return [row["status"] for row in rows if row["type"] == "Ready"][0] == "True"

    play.wait(lambda: not is_node_ready() and not play.is_ready("held"), "node and Pod are not ready")
    time.sleep(0.5)
    check(play.container("held")["restartCount"] == 0, "nobody tells of its containers")
    play.request("DELETE", f"{CORE}/pods/held")
    time.sleep(0.5)
    check(play.seen("held")["metadata"].get("deletionTimestamp"), "nobody confirms its deletion")
    for name in ("elsewhere-1", "elsewhere-2"):
        play.pod(name, "exec sleep 1000")
        play.wait(lambda name=name: play.is_ready(name), "others run")
        check(play.seen(name)["spec"]["nodeName"] != node, "nothing new goes to a lost node")
        play.delete(name)
    play.command("node", "back", node)
    play.wait(lambda: play.seen("held").get("code") == 404, "the deletion is confirmed when the node is back")
    play.wait(is_node_ready, "the node is ready")
    play.pod("again", "cat /data/ups; exec sleep 1000", **with_claim("local"))
    play.wait(lambda: play.logs("again") == "up\n", "the data is still there")
    play.delete("again")
    play.command("node", "lose", "node-99", ok=False)


def a_destroyed_pod_has_lost_its_volume(play):
    play.claim("doomed")
    play.pod("victim", "touch /data/file; exec sleep 1000", **with_claim("doomed"))
    play.wait(lambda: play.is_ready("victim"), "it runs")
    play.command("pod", "kill", "victim")
    play.wait(lambda: play.container("victim").get("restartCount") == 1 and play.is_ready("victim"), "killed, it runs again")
    play.command("pod", "destroy", "victim")
    claim = CORE + "/persistentvolumeclaims/doomed"
    play.wait(lambda: play.get(claim)["status"]["phase"] == "Lost", "its claim is Lost")
    play.wait(lambda: "waiting" in play.container("victim")["state"], "it does not start")
    time.sleep(3)
    check("waiting" in play.container("victim")["state"] and not play.is_ready("victim"), "and stays down")
    check("FailedMount" in play.events("victim"), "the event")
    play.delete("victim")
    play.request("DELETE", claim)


def logs_are_followed_and_cut(play):
    play.pod("talk", "for i in 1 2 3 4 5; do echo line $i; sleep 0.3; done", restartPolicy="Never")
    play.wait(lambda: play.container("talk").get("state", {}).get("running"), "it runs")
    text = play.logs("talk", "follow=true")
    check(text == "".join(f"line {i}\n" for i in range(1, 6)), f"followed to the end: {text!r}")
    check(play.logs("talk", "tailLines=2") == "line 4\nline 5\n", "the tail")
    check(play.logs("talk", "tailLines=0") == "", "no tail")
    check(play.logs("talk", "tailLines=9").startswith("line 1\n"), "more tail than there is")
    check(play.logs("talk", "limitBytes=3") == "lin", "the limit")
    check("not valid" in play.logs("talk", "container=nobody"), "no such container")
    play.delete("talk")


def a_stubborn_process_is_killed_after_its_grace(play):
    play.pod("stubborn", "trap '' TERM; echo up; while :; do sleep 0.05; done")
    play.wait(lambda: play.logs("stubborn") == "up\n", "it runs")
    began = time.monotonic()
    play.delete("stubborn")
    check(time.monotonic() - began >= 1, "it had its grace")


def a_pod_that_fits_nowhere_waits_and_says_why(play):
    play.pod("nowhere", "exec sleep 1000", nodeSelector={"kubernetes.io/hostname": "node-9"})
    play.wait(lambda: play.condition("nowhere", "PodScheduled") == "False", "it is refused")
    check("FailedScheduling" in play.events("nowhere"), "the event")
    play.delete("nowhere")
    play.pod("early", "exec sleep 1000", **with_claim("later"))
    play.wait(lambda: play.condition("early", "PodScheduled") == "False", "its claim is missing")
    play.claim("later")
    play.wait(lambda: play.is_ready("early"), "it runs when the claim is there")
    play.delete("early")


def deployments_replace_and_scale(play):
    apps = "/apis/apps/v1/namespaces/default/deployments"
    template = {"metadata": {"labels": {"app": "dep"}},
                "spec": {"terminationGracePeriodSeconds": 1,
                         "containers": [{"name": "main", "image": "shell", "command": ["sh", "-c", "exec sleep 1000"]}]}}
    play.request("POST", apps, {"metadata": {"name": "dep"},
                                "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "dep"}}, "template": template}})

    def is_done(count):
        dep = play.get(apps + "/dep")
        status = dep.get("status", {})
        return status.get("observedGeneration") == dep["metadata"]["generation"] and all(
            status.get(key) == count for key in ("replicas", "updatedReplicas", "readyReplicas"))

    def names():
        pods = play.get(CORE + "/pods?labelSelector=app%3Ddep")["items"]
        return {pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}

    play.wait(lambda: is_done(2), "two Pods")
    first = names()
    template["spec"]["containers"][0]["env"] = [{"name": "NEW", "value": "1"}]
    play.request("PATCH", apps + "/dep", {"spec": {"template": template}}, "application/merge-patch+json")
    play.wait(lambda: is_done(2) and not names() & first, "two new Pods")
    play.request("PATCH", apps + "/dep/scale", {"spec": {"replicas": 0}}, "application/merge-patch+json")
    play.wait(lambda: is_done(0) and not names(), "none after the scale")
    play.request("PATCH", apps + "/dep/scale", {"spec": {"replicas": 1}}, "application/merge-patch+json")
    play.wait(lambda: is_done(1), "one again")
    play.request("DELETE", apps + "/dep")
    play.wait(lambda: not play.get(CORE + "/pods?labelSelector=app%3Ddep")["items"], "its Pods go with it")


def jobs_run_to_their_end(play):
    batch = "/apis/batch/v1/namespaces/default/jobs"

    def job(name, script, **spec):
        play.request("POST", batch, {"metadata": {"name": name}, "spec": {**spec, "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "main", "image": "shell", "command": ["sh", "-c", script]}]}}}})

    def has(name, kind):
        rows = play.get(f"{batch}/{name}").get("status", {}).get("conditions", [])
        return [row for row in rows if row["type"] == kind and row["status"] == "True"]

    job("good", "exit 0", completions=2)
    job("bad", "exit 1", backoffLimit=1)
    play.wait(lambda: has("good", "Complete"), "the good one completes")
    check(play.get(batch + "/good")["status"]["succeeded"] == 2, "twice")
    play.wait(lambda: has("bad", "Failed"), "the bad one fails")
    check(play.get(batch + "/bad")["status"]["failed"] == 2, "after its second try")


def a_service_account_has_its_token_in_the_pod(play):
    play.request("POST", CORE + "/serviceaccounts", {"metadata": {"name": "robot"}})
    where = "/var/run/secrets/kubernetes.io/serviceaccount"
    script = (f"import urllib.request, os; text = lambda name: open('{where}/' + name).read().strip(); "
              "url = 'http://' + os.environ['KUBERNETES_SERVICE_HOST'] + ':' + os.environ['KUBERNETES_SERVICE_PORT']; "
              "head = {'Authorization': 'Bearer ' + text('token')}; "
              "print(urllib.request.urlopen(urllib.request.Request(url + '/api/v1/nodes', headers=head)).status, text('namespace'))")
    play.pod("robot", restartPolicy="Never", serviceAccountName="robot", container={"image": "python", "args": ["-c", script]})
    play.wait(lambda: play.status("robot").get("phase") in ("Succeeded", "Failed"), "it ends")
    check(play.logs("robot") == "200 default\n", play.logs("robot"))
    play.pod("plain", f"ls {where} || echo none", restartPolicy="Never", serviceAccountName="robot",
             automountServiceAccountToken=False)
    play.wait(lambda: play.status("plain").get("phase") == "Succeeded", "it ends")
    check(play.logs("plain").endswith("none\n"), "no token where none is wanted")
    play.delete("robot")
    play.delete("plain")


def processes_of(play):
    """Ids of processes whose working folder is in the playground's."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd").startswith(play.state + "/pods/"):
                found.append(int(pid))
        except OSError:
            pass
    return found


def nothing_outlives_the_playground(play):
    play.claim("after")
    play.pod("stays", "echo up >> /data/ups; (sleep 1000 &) ; exec sleep 1000", **with_claim("after"))
    play.pod("over", "exit 0", restartPolicy="Never")
    play.wait(lambda: play.is_ready("stays") and play.status("over").get("phase") == "Succeeded", "they run")
    address = play.status("stays")["podIP"]
    play.stop()
    check(processes_of(play) == [], "a stop ends all processes")
    play.start()
    play.wait(lambda: play.container("stays").get("restartCount") == 1 and play.is_ready("stays"), "it runs again")
    check(play.status("stays")["podIP"] == address, "with its address")
    check(play.status("over")["phase"] == "Succeeded" and play.container("over")["restartCount"] == 0, "what was over stays so")
    first = set(processes_of(play))
    play.stop(signal.SIGKILL)
    play.start()
    play.wait(lambda: play.container("stays").get("restartCount") == 2 and play.is_ready("stays"), "and after a crash")
    check(not first & set(processes_of(play)), "orphans of the crash are ended")
    path = play.get("/api/v1/persistentvolumes")["items"]
    folder = [v["spec"]["hostPath"]["path"] for v in path if v["spec"]["claimRef"]["name"] == "after"][0]
    with open(os.path.join(folder, "ups"), encoding="utf-8") as file:
        check(file.read() == "up\n" * 3, "the data is kept")
    second = subprocess.run([PROGRAM, "up", "--dir", play.state, "--kubeconfig", os.path.join(play.dir, "other"), "--port", "0"],
                            capture_output=True, text=True, timeout=30, check=False)
    check(second.returncode != 0 and "another playground" in second.stderr, f"one per folder: {second.stderr}")
    check(play.is_ready("stays"), "the first one is not harmed")


SCENARIOS = [a_pod_runs_to_its_end, a_volume_outlives_its_pod_and_its_container, a_crashing_container_backs_off,
             init_containers_come_first, the_environment_is_that_of_the_pod, names_lead_to_ready_pods,
             a_failed_liveness_probe_restarts, a_lost_node_takes_its_pods_down_and_back, a_destroyed_pod_has_lost_its_volume,
             logs_are_followed_and_cut, a_stubborn_process_is_killed_after_its_grace,
             a_pod_that_fits_nowhere_waits_and_says_why, deployments_replace_and_scale, jobs_run_to_their_end,
             a_service_account_has_its_token_in_the_pod, nothing_outlives_the_playground]


def main():
    failures = 0
    play = Playground()
    try:
        for scenario in SCENARIOS:
            if len(sys.argv) > 1 and sys.argv[1] not in scenario.__name__:
                continue
            began = time.monotonic()
            try:
                scenario(play)
                print(f"ok      {scenario.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
            except Failed as failed:
                failures += 1
                print(f"FAILED  {scenario.__name__}: {failed}", flush=True)
                if play.process is None:
                    break
    finally:
        try:
            play.stop()
        except Failed as failed:
            failures += 1
            print(f"FAILED  {failed}")
        left = processes_of(play)
        if left:
            failures += 1
            print(f"FAILED  processes are left: {left}")
        if failures:
            print(f"kept: {play.dir}")
        else:
            shutil.rmtree(play.dir)
    print("all passed" if failures == 0 else f"{failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
