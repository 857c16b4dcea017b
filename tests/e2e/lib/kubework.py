# SPDX-License-Identifier: Apache-2.0
"""What the suites with a real kube-apiserver do to it: calls by many threads, writers that go on through faults, and
what the API server says of its store."""
import collections
import http.client
import json
import re
import threading
import time

MAPS = "/api/v1/namespaces/default/configmaps"
WRITERS = 8
REFUSED_PAUSE_SECONDS = 0.1
# What a kube-apiserver is told by an etcd that lost a member, its leader or its connections, and by none that is well.
STORE_ERRORS = {
    "Unavailable": r"etcdserver: (leader changed|request timed out.*|no leader|server stopped|too many requests)"
                   r"|error reading from server: .*|closing transport .*|connection error: desc = .*"
                   r"|keepalive ping failed.*|transport is closing|the connection is draining",
    "Canceled": r"context canceled|grpc: the client connection is closing",
    "DeadlineExceeded": r".*", "FailedPrecondition": r"etcdserver: .*leader.*",
    "OutOfRange": r"etcdserver: mvcc: required revision has been compacted",
}


class Caller:
    """The requests of ControlPlane, each thread over a connection that it keeps."""

    def __init__(self, plane):
        self.plane, self.own = plane, threading.local()

    def request(self, method, path, body=None, timeout=60):
        """Status and object; 0 and the reason when there is no answer, which leaves open whether it was done."""
        if getattr(self.own, "connection", None) is None:
            self.own.connection = http.client.HTTPSConnection("127.0.0.1", self.plane.port, timeout=timeout,
                                                              context=self.plane.tls)
        try:
            self.own.connection.request(method, path, None if body is None else json.dumps(body),
                                        {"Accept": "application/json", "Content-Type": "application/json"})
            answer = self.own.connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.own.connection.close()
            self.own.connection = None
            return 0, str(error)

    def get(self, path):
        return self.request("GET", path)[1]

    def pages(self, path, limit):
        """The names of each page of a list, and the versions that the pages are of."""
        pages, versions, token = [], set(), ""
        while True:
            page = self.get(f"{path}?limit={limit}&continue={token}")
            pages.append([o["metadata"]["name"] for o in page["items"]])
            versions.add(page["metadata"]["resourceVersion"])
            token = page["metadata"].get("continue", "")
            if not token:
                return pages, versions


class Follower:
    """A watch of a collection that goes on from its last event when the API server ends it, as it does at times: when a
    definition has settled, those of its objects. seen() takes what has come."""

    def __init__(self, plane, path, version):
        self.plane, self.path, self.version, self.events = plane, path, version, []
        self.open()

    def open(self):
        self.watch, self.taken = self.plane.watch(f"{self.path}?watch=true&resourceVersion={self.version}"), 0

    def seen(self):
        is_over = self.watch.ended  # before its events are taken: none comes afterwards
        fresh = self.watch.events[self.taken:]
        self.taken += len(fresh)
        self.events += fresh
        if fresh and fresh[-1]["type"] != "ERROR":
            self.version = fresh[-1]["object"]["metadata"]["resourceVersion"]
        if is_over:
            self.open()
        return self.events

    def close(self):
        self.watch.close()


def store_errors(log):
    """The errors of gRPC in a log of the API server, as (code, text), with their counts."""
    found = re.findall(r"code = (\w+) desc = (.*?)(?:\\*\"|$)", log, re.MULTILINE)
    return collections.Counter((code, text.strip()) for code, text in found)


def foreign_errors(log):
    """Those of them that no etcd gives."""
    return [e for e in store_errors(log) if not re.fullmatch(STORE_ERRORS.get(e[0], "(?!)"), e[1])]


def config_map(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"made": "here"}}, "data": data}


def in_parallel(names, work):
    """work(name) for each name, by WRITERS threads; what they returned, by name."""
    results, rest, lock = {}, list(names), threading.Lock()

    def run():
        while True:
            with lock:
                if not rest:
                    return
                name = rest.pop(0)
            results[name] = work(name)
    threads = [threading.Thread(target=run, daemon=True) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(180)
    return results


class Load:
    """Writers that go on until they are told to stop and remember what was acknowledged."""

    def __init__(self, plane, prefix):
        self.plane, self.prefix, self.acknowledged, self.failures, self.running = plane, prefix, [], [], True
        self.lock, self.count = threading.Lock(), 0
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(WRITERS)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while self.running:
            with self.lock:
                self.count += 1
                name = f"{self.prefix}-{self.count:06}"
            status, said = self.plane.request("POST", MAPS, config_map(name, n=name), timeout=20)
            if status == 0:
                time.sleep(REFUSED_PAUSE_SECONDS)
            with self.lock:
                if status == 201:
                    self.acknowledged.append((time.time(), name))
                else:
                    self.failures.append((status, said if isinstance(said, str) else said.get("message"), name))

    def stop(self):
        self.running = False
        for thread in self.threads:
            thread.join(60)

    def gap(self, since):
        """The longest time without an acknowledgement after since."""
        times = sorted([since] + [at for at, _ in self.acknowledged if at > since])
        return max((b - a for a, b in zip(times, times[1:])), default=float("inf"))
