#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What users of the Python package etcd3 do, over TLS with a certificate. Prints one line per step; the lines are the
same for every server that is an etcd.   usage: python_etcd3.py URL CA CERT KEY"""
import hashlib
import io
import sys
import threading
import time

import etcd3

URL, CA, CERT, KEY = sys.argv[1:5]
HOST, PORT = URL.split("//")[1].rsplit(":", 1)
WAIT_SECONDS = 30


def connect(**who):
    return etcd3.client(host=HOST, port=int(PORT), ca_cert=CA, cert_cert=CERT, cert_key=KEY, timeout=WAIT_SECONDS, **who)


def say(step, *results):
    print(step + ":", *results, flush=True)


def error_of(call):
    """The name of what a call raises, and the server's words where there are some."""
    try:
        call()
    except Exception as error:  # that is what is asked for
        return type(error).__name__, getattr(error, "details", lambda: "")()
    return "none", ""


def keys_and_values(client):
    say("put", client.put("a", "1").prev_kv.key)
    say("get", client.get("a")[0], client.get("nothing"))
    say("put again", client.put("a", "2", prev_kv=True).prev_kv.value)
    meta = client.get("a")[1]
    say("version", meta.version, meta.mod_revision - meta.create_revision, meta.lease_id)
    say("binary", client.put("b\0\xff".encode("latin-1"), bytes(range(256))) is not None,
        client.get("b\0\xff".encode("latin-1"))[0] == bytes(range(256)))
    for i in range(5):
        client.put(f"p/{i}", str(i))
    say("prefix", [v for v, _ in client.get_prefix("p/")])
    say("prefix, backwards", [v for v, _ in client.get_prefix("p/", sort_order="descend", sort_target="key")])
    say("keys only", [(v, m.key) for v, m in client.get_prefix("p/", keys_only=True)])
    say("range", [v for v, _ in client.get_range("p/1", "p/3")])
    say("one megabyte", client.put("big", b"x" * 1000000) is not None, len(client.get("big")[0]))
    say("too large", *error_of(lambda: client.put("big", b"x" * 2000000)))
    say("delete", client.delete("a"), client.delete("a"), client.delete("big", prev_kv=True))
    say("delete prefix", client.delete_prefix("p/").deleted)
    say("put if not there", client.put_if_not_exists("n", "1"), client.put_if_not_exists("n", "2"))
    say("replace", client.replace("n", "1", "2"), client.replace("n", "1", "3"), client.get("n")[0])


def transactions(client):
    t = client.transactions
    client.put("t", "1")
    good, answers = client.transaction(
        compare=[t.value("t") == "1", t.version("t") > 0, t.mod("t") > 1, t.create("none") == 0],
        success=[t.put("t", "2"), t.get("t"), t.delete("none")], failure=[t.get("t")])
    say("txn", good, [type(a).__name__ for a in answers], answers[1][0][0])
    good, answers = client.transaction(compare=[t.value("t") == "1"], success=[], failure=[t.get("t"), t.get("n")])
    say("txn, else", good, [a[0][0] for a in answers])
    inner = t.txn(compare=[t.value("t") == "2"], success=[t.put("t", "3")], failure=[])
    good, _ = client.transaction(compare=[t.version("t") > 0], success=[inner], failure=[])
    say("txn in a txn", good, client.get("t")[0])
    say("the same key twice", *error_of(lambda: client.transaction(
        compare=[], success=[t.put("t", "1"), t.put("t", "2")], failure=[])))


def watches(client):
    events, cancel = client.watch_prefix("w/")
    got = []
    reader = threading.Thread(target=lambda: got.extend(
        (type(e).__name__, e.key, e.value) for e in events), daemon=True)
    reader.start()
    time.sleep(0.3)  # the iterator gives no sign that it stands
    first = client.put("w/1", "a").header.revision
    client.put("w/2", "b")
    client.put("w/1", "c")
    client.delete("w/2")
    end = time.time() + WAIT_SECONDS
    while len(got) < 4 and time.time() < end:
        time.sleep(0.02)
    cancel()
    reader.join(WAIT_SECONDS)
    say("watch", got)
    old, cancel = client.watch_prefix("w/", start_revision=first, prev_kv=True)
    say("watch of the past", [(type(next(old)).__name__) for _ in range(4)])
    cancel()
    client.compact(client.put("w/1", "d").header.revision)
    past, cancel = client.watch("w/1", start_revision=first)
    say("watch of what is compacted", error_of(lambda: next(past))[0])
    answers = []
    ident = client.add_watch_callback("w/3", lambda answer: answers.extend(answer.events))
    time.sleep(0.3)
    client.put("w/3", "x")
    end = time.time() + WAIT_SECONDS
    while not answers and time.time() < end:
        time.sleep(0.02)
    client.cancel_watch(ident)
    say("watch with a callback", [e.value for e in answers])


def leases(client):
    lease = client.lease(60)
    client.put("l", "1", lease=lease)
    say("lease", lease.granted_ttl, 0 < lease.remaining_ttl <= 60, lease.keys, client.get("l")[1].lease_id == lease.id)
    say("refresh", [answer.TTL for answer in lease.refresh()])
    lease.revoke()
    say("revoked", client.get("l"), *error_of(lease.revoke))
    short = client.lease(1)
    client.put("l2", "1", lease=short)
    end = time.time() + WAIT_SECONDS
    while client.get("l2")[0] is not None and time.time() < end:
        time.sleep(0.1)
    say("its time is over", client.get("l2"))
    say("a lease that is not there", *error_of(lambda: client.put("l3", "1", lease=12345)))


def locks(client):
    order, other = [], connect()

    def second():
        with other.lock("lock", ttl=20):
            order.append("second")
    with client.lock("lock", ttl=20) as lock:
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.5)
        order.append("first")
        say("lock", lock.is_acquired(), other.lock("lock").acquire(timeout=0))
    thread.join(WAIT_SECONDS)
    say("one after the other", order)


def access(client):
    stub, rpc = client.auth_stub if hasattr(client, "auth_stub") else None, etcd3.etcdrpc
    stub = stub or rpc.AuthStub(client.channel)
    stub.RoleAdd(rpc.AuthRoleAddRequest(name="root"))
    stub.RoleAdd(rpc.AuthRoleAddRequest(name="reader"))
    grant = rpc.AuthRoleGrantPermissionRequest(name="reader")
    grant.perm.permType, grant.perm.key, grant.perm.range_end = 0, b"r/", b"r0"
    stub.RoleGrantPermission(grant)
    for name, role in (("root", "root"), ("anna", "reader")):
        stub.UserAdd(rpc.AuthUserAddRequest(name=name, password=name + "-secret"))
        stub.UserGrantRole(rpc.AuthUserGrantRoleRequest(user=name, role=role))
    client.put("r/1", "mine")
    stub.AuthEnable(rpc.AuthEnableRequest())
    say("nobody in particular", error_of(lambda: client.get("r/1")))
    anna = connect(user="anna", password="anna-secret")
    say("anna reads", anna.get("r/1")[0])
    say("anna writes", error_of(lambda: anna.put("r/1", "x")))
    say("anna reads elsewhere", error_of(lambda: anna.get("n")))
    say("a wrong password", error_of(lambda: connect(user="anna", password="x"))[0])
    root = connect(user="root", password="root-secret")
    say("root writes", root.put("r/2", "x") is not None, root.get("r/2")[0])
    stub = rpc.AuthStub(root.channel)
    say("users", list(stub.UserList(rpc.AuthUserListRequest(), metadata=root.metadata).users))
    stub.AuthDisable(rpc.AuthDisableRequest(), metadata=root.metadata)
    say("without rights again", client.get("r/2")[0])


def maintenance(client):
    status = client.status()
    say("status", status.version.split(".")[:2], status.db_size > 0, status.leader is not None)
    say("members", [m.name != "" and len(m.client_urls) == 1 for m in client.members])
    say("alarms", list(client.list_alarms()), len(list(client.create_alarm())), len(list(client.disarm_alarm())))
    client.defragment()
    say("hash", client.hash() > 0)
    file = io.BytesIO()
    client.snapshot(file)
    data = file.getvalue()
    say("snapshot", len(data) % 512 == 32, hashlib.sha256(data[:-32]).digest() == data[-32:])


def main():
    client = connect()
    for part in (keys_and_values, transactions, watches, leases, locks, access, maintenance):
        part(client)
    say("end")


if __name__ == "__main__":
    main()
