# SPDX-License-Identifier: Apache-2.0
"""Starts faultfs on a folder and tells it what to do to its disk (README.md names the requests)."""
import os
import socket
import subprocess
import time

ANSWER_SECONDS_MAX = 30


class FaultDisk:
    def __init__(self, program, folder, fsync_us=0):
        """folder: made when it is not there; the socket and the log lie beside it."""
        self.folder, self.socket_path = folder, folder + ".control"
        os.makedirs(folder, exist_ok=True)
        device = os.stat(folder).st_dev
        with open(folder + ".log", "ab") as log:
            self.process = subprocess.Popen(
                [program, "--mount", folder, "--control", self.socket_path, "--fsync-us", str(fsync_us)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 10
        while os.stat(folder).st_dev == device or not os.path.exists(self.socket_path):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"faultfs does not serve {folder}, see {folder}.log")
            time.sleep(0.01)

    def tell(self, *words):
        """One request; the answer without its "ok", as a dictionary."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(ANSWER_SECONDS_MAX)
            line.connect(self.socket_path)
            line.sendall(" ".join(str(word) for word in words).encode() + b"\n")
            answer = line.makefile().readline().split()
        if not answer or answer[0] != "ok":
            raise RuntimeError(f"faultfs: {words}: {' '.join(answer)}")
        return {key: int(value) for key, value in (word.split("=") for word in answer[1:])}

    def cut(self, seed=0, keep_percent=0):
        """What was not synced is gone; nobody may have files open then."""
        return self.tell("cut", seed, keep_percent)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
