# SPDX-License-Identifier: Apache-2.0
"""The programs that tests/tools builds from Go modules, and the ports of the suites that use them.

Import this before anything else of lib: it builds what is missing (ten minutes the first time) and ends the
suite with 77, "skipped", where there is no Go."""
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
BUILD = os.path.join(HERE, "..", "..", "tools", "build.sh")
BUILD_SECONDS_MAX = 3600


def build():
    """The folder of the programs."""
    code = subprocess.run([BUILD], stdin=subprocess.DEVNULL, timeout=BUILD_SECONDS_MAX, check=False).returncode
    if code != 0:
        sys.exit(code)
    return subprocess.run([BUILD, "--where"], capture_output=True, text=True, check=True).stdout.strip()


TOOLS = build()
ETCD, ETCDCTL, ETCDUTL = (os.path.join(TOOLS, name) for name in ("etcd", "etcdctl", "etcdutl"))
ETCDCTL_OLD = os.environ.get("DEBIAN_ETCDCTL") or shutil.which("etcdctl")  # of Debian: 3.4
os.environ["DEBIAN_ETCDCTL"] = ETCDCTL

import quorate  # noqa: E402  (it reads DEBIAN_ETCDCTL when it is imported)
from etcds import Etcd  # noqa: E402

quorate.PORT_FIRST, quorate.PORT_LAST = 27000, 27499
quorate._next_port = quorate.PORT_FIRST + (os.getpid() * 37) % (quorate.PORT_LAST - quorate.PORT_FIRST)


def _clean_env():
    """etcdctl 3.6 warns of ETCDCTL_API, which older ones want."""
    return {k: v for k, v in os.environ.items() if not k.startswith("ETCDCTL_")}


quorate._clean_env = _clean_env


class EtcdMember(Etcd):
    """A member that runs etcd 3.6 itself."""
    program = ETCD


def etcdutl(*args, timeout=60):
    """etcdutl 3.6, which reads files and asks no server."""
    done = subprocess.run([ETCDUTL, *args], capture_output=True, text=True, timeout=timeout, check=False)
    return quorate.Result(done.returncode, done.stdout, done.stderr)
