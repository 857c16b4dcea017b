#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""faultfs through the kernel: what a program sees of a power cut, of failing and slow syncs, of maps and locks.
The disk behind it has a unit test of its own (test_faultdisk.c)."""
import errno
import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from faultfs import FaultDisk  # noqa: E402

BIN = os.environ.get("QUORATE_BIN", os.path.join(HERE, "..", "..", "build", "bin"))


def reason_to_skip():
    if os.getuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "needs root and /dev/fuse"
    if not os.path.exists(os.path.join(BIN, "faultfs")):
        return "faultfs was not built: libfuse3-dev is missing"
    return None


class OneDisk(unittest.TestCase):
    def setUp(self):
        self.base = tempfile.mkdtemp(prefix="quorate-faultfs-")
        self.disk = FaultDisk(os.path.join(BIN, "faultfs"), os.path.join(self.base, "disk"))

    def tearDown(self):
        self.disk.stop()
        self.assertFalse(os.path.ismount(self.disk.folder))
        shutil.rmtree(self.base)

    def path(self, name):
        return os.path.join(self.disk.folder, name)

    def write(self, name, data, at=0, sync=False):
        fd = os.open(self.path(name), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.pwrite(fd, data, at)
            if sync:
                os.fdatasync(fd)
        finally:
            os.close(fd)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def sync_folder(self, name=""):
        fd = os.open(self.path(name), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def test_a_cut_takes_what_was_not_synced_also_from_the_pages_of_the_kernel(self):
        self.write("a", b"one", sync=True)
        self.sync_folder()
        self.write("a", b"two and more")
        self.write("b", b"x")
        self.assertEqual(self.read("a"), b"two and more")
        self.assertEqual(self.disk.cut(), {"lost": 2, "kept": 0, "names": 1})
        self.assertEqual(self.read("a"), b"one")
        self.assertEqual(os.listdir(self.disk.folder), ["a"])

    def test_names_come_back(self):
        os.mkdir(self.path("d"))
        self.write("d/a", b"a", sync=True)
        self.sync_folder("d")
        self.sync_folder()
        os.rename(self.path("d/a"), self.path("d/b"))
        os.mkdir(self.path("e"))
        self.assertEqual(sorted(os.listdir(self.disk.folder)), ["d", "e"])
        self.disk.cut()
        self.assertEqual(os.listdir(self.disk.folder), ["d"])
        self.assertEqual(os.listdir(self.path("d")), ["a"])
        self.assertEqual(self.read("d/a"), b"a")

    def test_a_read_only_map_sees_what_is_written_by_another_descriptor(self):
        self.write("m", b"\0" * 65536)
        fd = os.open(self.path("m"), os.O_RDWR)
        with mmap.mmap(fd, 65536, mmap.MAP_SHARED, mmap.PROT_READ) as seen:
            for turn in range(200):
                at = (turn * 997) % 65000
                os.pwrite(fd, b"%04d" % turn, at)
                self.assertEqual(seen[at:at + 4], b"%04d" % turn)
        os.close(fd)

    def test_a_shared_map_writes_to_the_file(self):
        self.write("m", b"\0" * 8192)
        fd = os.open(self.path("m"), os.O_RDWR)
        with mmap.mmap(fd, 8192) as shared:
            shared[5000:5004] = b"lock"
            shared.flush()
        os.close(fd)
        self.assertEqual(self.read("m")[5000:5004], b"lock")

    def test_a_descriptor_that_syncs_each_write_keeps_them(self):
        self.write("a", b"........")
        self.sync_folder()
        fd = os.open(self.path("a"), os.O_WRONLY | os.O_DSYNC)
        os.pwrite(fd, b"meta", 0)
        os.close(fd)
        self.disk.cut()
        self.assertEqual(self.read("a")[:4], b"meta")

    def test_a_failed_sync_is_told_and_its_bytes_are_gone_after_the_cut(self):
        self.write("a", b"good", sync=True)
        self.sync_folder()
        self.disk.tell("fail-fsync", 1)
        with self.assertRaises(OSError) as failed:
            self.write("a", b"lost", sync=True)
        self.assertEqual(failed.exception.errno, errno.EIO)
        fd = os.open(self.path("a"), os.O_RDWR)
        os.fdatasync(fd)
        os.close(fd)
        self.assertEqual(self.read("a"), b"lost")
        self.disk.cut()
        self.assertEqual(self.read("a"), b"good")
        self.assertEqual(self.disk.tell("stat")["syncs_failed"], 1)

    def test_syncs_may_fail_for_some_files_alone(self):
        self.disk.tell("fail-fsync", 1, ".wal")
        self.write("a.db", b"x", sync=True)
        self.write("b.tmp", b"x")
        os.rename(self.path("b.tmp"), self.path("b.wal"))
        with self.assertRaises(OSError):
            self.write("b.wal", b"y", sync=True)
        self.write("b.wal", b"y", sync=True)

    def test_writes_fail_when_told_and_when_it_is_full(self):
        self.write("a", b"x" * 4096)
        self.disk.tell("fail-write", 1)
        with self.assertRaises(OSError):
            self.write("a", b"y")
        self.write("a", b"y")
        self.disk.tell("full")
        self.write("a", b"z", at=4000)
        self.assertEqual(os.statvfs(self.disk.folder).f_bavail, 0)
        with self.assertRaises(OSError) as failed:
            self.write("a", b"z", at=5000)
        self.assertEqual(failed.exception.errno, errno.ENOSPC)
        self.disk.tell("clear")
        self.write("a", b"z", at=5000)

    def test_a_slow_sync_waits_and_ends_when_the_delay_does(self):
        self.disk.tell("delay-fsync", 60000)
        ended = threading.Event()

        def slow():
            self.write("a", b"x", sync=True)
            ended.set()
        thread = threading.Thread(target=slow)
        thread.start()
        self.write("b", b"others go on")
        self.assertEqual(self.read("b"), b"others go on")
        self.assertFalse(ended.wait(0.3))
        self.disk.tell("delay-fsync", 0)
        self.assertTrue(ended.wait(10))
        thread.join()

    def test_rot_is_seen_by_the_next_who_opens_the_file(self):
        self.write("a", b"abc", sync=True)
        self.assertEqual(self.read("a"), b"abc")
        self.assertEqual(self.disk.tell("rot", "a", 1, 1), {"bytes": 1})
        self.assertEqual(self.read("a"), b"arc")

    def test_a_killed_program_can_be_cut_off_while_it_writes(self):
        script = ("import os,sys\nfd=os.open(sys.argv[1],os.O_RDWR|os.O_CREAT)\nn=0\n"
                  "while True:\n n+=1\n os.pwrite(fd,b'%08d'%n,0)\n os.fdatasync(fd)\n"
                  " os.write(1,b'%08d\\n'%n)\n")
        self.write("n", b"")
        self.sync_folder()
        for seed in range(3):
            process = subprocess.Popen([sys.executable, "-c", script, self.path("n")], stdout=subprocess.PIPE)
            told = process.stdout.readline().split()  # it is under way
            time.sleep(0.1)
            process.send_signal(signal.SIGKILL)
            told += process.communicate()[0].split()
            self.disk.cut(seed, 50)
            self.assertGreaterEqual(int(self.read("n") or b"0"), int(told[-1]))


if __name__ == "__main__":
    REASON = reason_to_skip()
    if REASON:
        print(f"skipped: {REASON}")
        sys.exit(77)
    unittest.main()
