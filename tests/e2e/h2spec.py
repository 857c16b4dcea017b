#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""h2spec, the conformance test of HTTP/2, against the client port. What fails is listed here with its reason, and nothing
else may fail. Needs Go; h2spec is built once into the cache."""
import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from quorate import Member, Suite  # noqa: E402

MODULE = "github.com/summerwind/h2spec/cmd/h2spec@latest"
CACHE = os.path.join(os.environ.get("QUORATE_CACHE", os.path.expanduser("~/.cache/quorate")), "h2spec")
ANSWERED = "the answer is a status without a message, so it has HEADERS and no DATA"
EARLY = "the request is refused by its head, and the answer may be there before the wrong frame is"
FORGOTTEN = "streams that have ended are not remembered; what still comes for them is passed over, as RFC 9113 5.1 allows for late frames"
SNIFFED = "one port serves HTTP/1.1 too: what is no preface is read as that, answered 400 and closed"
# Section and place of each case that may fail.
KNOWN = {
    ("generic/2", 2): ANSWERED, ("generic/2", 3): ANSWERED,
    ("http2/3.5", 2): SNIFFED,
    ("http2/5.1", 8): FORGOTTEN, ("http2/5.1", 9): FORGOTTEN, ("http2/5.1", 11): FORGOTTEN, ("http2/5.1", 12): FORGOTTEN,
    ("http2/5.1.1", 2): FORGOTTEN,
}
# What h2spec saw instead when the answer to the stream's request overtook it: an answer, or the reset behind one.
ANSWERS = ("HEADERS Frame (length:", "RST_STREAM Frame (length:4,")


def program():
    path = os.path.join(CACHE, "h2spec")
    if not os.path.exists(path):
        go = shutil.which("go") or "/usr/local/go/bin/go"
        if not os.path.exists(go):
            print("skip - h2spec: there is no Go here")
            sys.exit(77)
        os.makedirs(CACHE, exist_ok=True)
        subprocess.run([go, "install", MODULE], check=True, env={**os.environ, "GOBIN": CACHE, "GOFLAGS": "-mod=mod"})
    return path


def conforms(suite):
    member = Member(suite, "m1").start()
    report = os.path.join(suite.dir, "report.xml")
    subprocess.run([PROGRAM, "-h", "127.0.0.1", "-p", member.client.rsplit(":", 1)[1], "-P", "/etcdserverpb.KV/Range", "-o", "1",
                    "-j", report], capture_output=True, check=False)
    passed, seen = 0, set()
    for group in xml.parse(report).getroot().iter("testsuite"):
        for place, case in enumerate(group.iter("testcase"), 1):
            key = (group.get("package"), place)
            wrong = case.find("failure") if case.find("failure") is not None else case.find("error")
            if wrong is None:
                passed += 1
            elif key in KNOWN:
                seen.add((*key, KNOWN[key]))
            elif any((wrong.text or "").splitlines()[-1].startswith(sign) for sign in ANSWERS):
                seen.add((*key, EARLY))
            else:
                suite.check(f"{key[0]} {key[1]}: {case.get('classname')}", False, json.dumps(wrong.text or wrong.get("message")))
    suite.check(f"{passed} cases pass", passed >= 125, passed)
    for section, place, reason in sorted(seen):
        print(f"   # {section} {place} does not: {reason}")
    suite.check("the member lives", member.is_running(), member.log()[-500:])


if __name__ == "__main__":
    PROGRAM = program()
    sys.exit(Suite("h2spec").run([conforms]))
