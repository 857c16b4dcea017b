#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A kube-apiserver on a cluster of the operator, with the flags that its Secret for clients holds and nothing else:
mutual TLS, the client Service as its load balancer, a member lost under it."""
import os
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import controlplane  # noqa: E402
from operatorworld import CORE, Cluster, expect, main, say  # noqa: E402

MOUNT = "/etc/quorate/client"
MAPS = "/api/v1/namespaces/default/configmaps"
COUNT = 60


class Folder:
    """What a control plane wants of a suite."""

    def __init__(self, path):
        self.path = path

    def folder(self, name):
        path = os.path.join(self.path, name)
        os.makedirs(path)
        return path


def flags_of(world, cluster):
    """The flags of the Secret, its files in a folder that stands for the mount."""
    values = cluster.secret(f"{cluster.name}-client")
    folder = os.path.join(world.dir, "mounted")
    os.makedirs(folder)
    for name in ("ca.crt", "tls.crt", "tls.key"):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(values[name])
    lines = values["flags"].replace(MOUNT, folder).split()
    return dict(line[2:].split("=", 1) for line in lines)


def in_the_playground(world):
    """A program that runs kube-apiserver where the names of Services are known."""
    path = os.path.join(world.dir, "kube-apiserver")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\nexec {world.program('quorate-playground')} exec-env --dir {world.state} -- "
                   f"{controlplane.APISERVER} \"$@\"\n")
    os.chmod(path, stat.S_IRWXU)
    return path


def a_kube_apiserver_runs_on_the_secret_for_clients(world):
    world.operator_start()
    cluster = Cluster(world, "store", "Auto")
    cluster.create(3)
    cluster.wait_settled(3)
    flags = flags_of(world, cluster)
    expect(set(flags) == {"etcd-servers", "etcd-cafile", "etcd-certfile", "etcd-keyfile"}, f"flags: {set(flags)}")
    controlplane.APISERVER = in_the_playground(world)
    plane = controlplane.ControlPlane(Folder(world.dir), [], flags)
    try:
        plane.start(with_manager=False)
        for i in range(COUNT):
            if i == COUNT // 3:
                world.request("DELETE", f"{CORE}/pods/store-1")
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"map-{i}"}, "data": {"i": str(i)}}
            # The answer to one that was under way may be lost; it is there all the same when it is asked for again.
            world.wait(lambda body=body: plane.request("POST", MAPS, body)[0] in (201, 409), 30, f"map {i} is stored")
        names = [m["metadata"]["name"] for m in plane.request("GET", MAPS)[1]["items"]]
        expect(sum(name.startswith("map-") for name in names) == COUNT, f"{len(names)} maps")
        cluster.wait_settled(3)
        expect(plane.apiserver.is_running(), "the API server ended")
        code, text = cluster.etcdctl("get", "/registry/configmaps/default/map-0", "--keys-only")
        expect(code == 0 and "map-0" in text, f"the store does not hold it: {text}")
    finally:
        plane.stop()
    say(f"  {COUNT} objects by {flags['etcd-servers']}, a member restarted meanwhile")
    world.operator_stop()


if __name__ == "__main__":
    sys.exit(main([a_kube_apiserver_runs_on_the_secret_for_clients], nodes=3))
